"""A run's life on the real engine: what the fake cannot prove."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.machines.conftest import Running, StartTiny
from tests.tiny_lab import write_tiny_lab

from phi_labs.errors import EngineError, UserError
from phi_labs.lifecycle import runs
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import need_live_run, reset_run, start_run, stop_run
from phi_labs.model.lab import Lab

pytestmark = pytest.mark.docker


def left(installation: Installation, trainee: str) -> list[str]:
    labels = {"install": installation.state.install, "trainee": trainee}
    found = [item.name for item in installation.engine.containers(labels)]
    return found + [name for _, name, _ in installation.engine.networks(labels)]


def test_a_start_makes_a_machine_without_a_network_that_holds_its_own_limits(running: Running) -> None:
    box = running.box
    assert box.sh("cat /sys/class/net/*/operstate | wc -l; hostname").split() == ["1", "one"]
    assert box.sh("cat /srv/secret.txt").count("\n") == 3
    bounding = int(box.sh("awk '/CapBnd/ {print $2}' /proc/self/status"), 16)
    net_admin, net_raw, sys_ptrace, sys_admin, sys_time = 12, 13, 19, 21, 25
    assert not any(bounding & 1 << number for number in (net_admin, net_raw, sys_ptrace, sys_admin, sys_time))
    limit = box.sh("cat /sys/fs/cgroup/memory.max 2>&- || cat /sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert int(limit) == 256 * 1024 * 1024


def test_a_second_start_resumes_and_a_reset_plants_the_same_bytes_again(
    start_tiny: StartTiny, installation: Installation, tiny: Lab
) -> None:
    running = start_tiny("resumer")
    running.box.sh("echo mine > /srv/mine")
    again = start_run(installation, tiny, "resumer")
    assert (again.resumed, again.run.containers) == (True, running.run.containers)
    assert running.box.sh("cat /srv/mine") == "mine\n"
    before = running.box.sh("sha256sum /srv/secret.txt /etc/ssh/ssh_host_ed25519_key")
    fresh = Running(installation, tiny, reset_run(installation, tiny, "resumer"), "resumer")
    assert fresh.run.containers != running.run.containers
    assert fresh.box.sh("sha256sum /srv/secret.txt /etc/ssh/ssh_host_ed25519_key") == before
    assert fresh.box.run("/usr/bin/test", "-e", "/srv/mine").exit_code == 1
    assert stop_run(installation, tiny.id, "resumer")
    assert left(installation, "resumer") == []


def test_a_machine_that_was_killed_or_paused_comes_back_with_its_files(running: Running) -> None:
    installation, engine = running.installation, running.installation.engine
    container = running.run.containers["one"]
    running.box.sh("echo mine > /srv/mine; echo gone > /run/gone; echo stale > /run/sshd.pid")
    engine.pause(container)
    assert start_run(installation, running.lab, running.trainee).resumed
    os.kill(engine.inspect(container).pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while engine.inspect(container).running and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(UserError, match="was stopped from outside"):
        need_live_run(installation, running.lab.id, running.trainee)
    assert start_run(installation, running.lab, running.trainee).resumed
    assert running.box.sh("cat /srv/mine") == "mine\n"
    assert running.box.run("/usr/bin/test", "-e", "/run/gone").exit_code == 1


def test_a_machine_that_eats_its_memory_takes_nobody_along(running: Running) -> None:
    said = running.box.run("/usr/bin/python3", "-I", "-c", "x = bytearray(1 << 30)", seconds=60)
    assert said.exit_code != 0
    started = start_run(running.installation, running.lab, running.trainee)
    assert started.resumed
    assert running.box.sh("echo alive") == "alive\n"


def test_a_broken_plant_leaves_nothing(installation: Installation, tiny: Lab, tmp_path: Path) -> None:
    broken = write_tiny_lab(tmp_path, plant="def plant(p):\n    p.file('/srv/x', 'x', owner='ghost')\n")
    with pytest.raises(UserError, match="ghost"):
        start_run(installation, broken, "unlucky")
    assert left(installation, "unlucky") == []
    assert installation.state.load_run("unlucky", tiny.id) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EngineError("it did not come up")])
def test_a_start_that_is_interrupted_or_fails_leaves_nothing(
    installation: Installation, tiny: Lab, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(runs, "_wait_until_up", broken)
    with pytest.raises(type(error)):
        start_run(installation, tiny, "interrupted")
    assert left(installation, "interrupted") == []
    assert installation.state.load_run("interrupted", tiny.id) is None
