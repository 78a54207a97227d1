"""A grade from end to end: whose fault it is, what counts, and what is left behind."""

from __future__ import annotations

import os
import platform
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.machines.conftest import HERE, Running
from tests.tiny_lab import CHECKS, FIX, write_tiny_lab

from phi_labs.errors import EngineError, NotGraded, UserError
from phi_labs.grading import blame, clone, grade
from phi_labs.grading.blame import AT_FAULT
from phi_labs.grading.grade import Graded, grade_run, regrade
from phi_labs.grading.job import Terms
from phi_labs.grading.readers import Readers
from phi_labs.grading.submission import Submission, capture_run
from phi_labs.grading.worker import start_checks
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import tidy
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab
from phi_labs.model.scorecard import Scorecard
from phi_labs.probe.client import Probe

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("plain_asserts")]

EXTRA = """
@objective("closed")
def test_extra(host, live, planted):
    {body}
"""
StartWith = Callable[..., Running]


@pytest.fixture
def start_with(
    installation: Installation, tiny: Lab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[StartWith]:
    """Start a run of the tiny lab with one more check; stopped at the end of the test."""
    trainee = f"{request.node.name[:50]} {secrets.token_hex(3)}"

    def start(body: str = "pass", checks: str = CHECKS) -> Running:
        text = checks + EXTRA.format(body=body.replace("\n", "\n    "))
        lab = write_tiny_lab(tmp_path / "content", checks=text)
        return Running(installation, lab, start_run(installation, lab, trainee).run, trainee)

    yield start
    stop_run(installation, tiny.id, trainee)
    assert leftovers(installation) == [], "a grading left containers behind"


def leftovers(installation: Installation) -> list[str]:
    """Names of containers that only a grading needs."""
    mine = {"install": installation.state.install}
    kinds = ("clone", "interpreter")
    return [item.name for kind in kinds for item in installation.engine.containers({**mine, "kind": kind})]


def graded(running: Running) -> Graded:
    return grade_run(running.installation, running.lab, running.trainee, later=False)


def points(card: Scorecard) -> dict[str, int]:
    return {item.id: item.score for item in card.objectives}


def failed_guards(card: Scorecard) -> set[str]:
    return {guard.id for guard in card.failed_guards}


def messages(card: Scorecard, objective: str) -> str:
    return " / ".join(next(item.messages for item in card.objectives if item.id == objective))


def attempts(running: Running) -> list[int]:
    state = running.installation.state
    found = [item.number for item in state.attempts(running.trainee, running.lab.id)]
    folders = list(state._lab_attempts(running.trainee, running.lab.id).glob(".grading-*"))
    assert folders == [], "an unfinished attempt was left behind"
    return found


def test_a_lab_is_failed_untouched_passed_when_repaired_and_graded_again_from_the_record(
    start_with: StartWith,
) -> None:
    running = start_with()
    untouched = graded(running).scorecard
    assert points(untouched) == {"closed": 0, "flag": 0, "record": 0}
    assert failed_guards(untouched) == set()
    assert "intern reads /srv/secret.txt (3 identifiers)" in messages(untouched, "closed")
    assert "there is no record" in messages(untouched, "record")

    running.box.sh(FIX)
    repaired = graded(running)
    assert repaired.scorecard.score == 100
    assert repaired.scorecard.passed
    assert repaired.number == 2
    assert repaired.scorecard.about.attempt == 2

    again = regrade(running.installation, running.lab, running.trainee, 1)
    assert points(again.scorecard) == points(untouched)
    assert again.number == 3
    other = regrade(running.installation, running.lab, running.trainee, 2)
    assert other.scorecard.score == 100
    assert attempts(running) == [1, 2, 3, 4]
    assert Scorecard.from_json((other.folder / "scorecard.json").read_text()) == other.scorecard
    private = [path for path in other.folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert private == []
    with pytest.raises(UserError, match="no attempt 9"):
        regrade(running.installation, running.lab, running.trainee, 9)


def test_a_score_is_supervised_when_the_trainers_installation_says_so_and_no_attempt_was_applied(
    start_with: StartWith,
) -> None:
    running = start_with()
    assert graded(running).scorecard.assurance == "practice"

    def supervised() -> Graded:
        return grade_run(
            running.installation,
            running.lab,
            running.trainee,
            later=False,
            terms=Terms(assurance="supervised"),
        )

    first = supervised()
    assert first.scorecard.stamps == ("supervised",)
    again = regrade(running.installation, running.lab, running.trainee, first.number)
    assert again.scorecard.stamps == ("supervised", "attempt 2 graded again")
    running.installation.state.flag(running.trainee, running.lab.id, "attempt")
    assert supervised().scorecard.stamps == ("practice",)


def test_kept_interpreters_read_each_machines_own_configuration(start_with: StartWith) -> None:
    body = """
ports, rules = host.sshd_config["port"], host.sudoers.grants("intern")
assert False, f"{ports} {[grant.commands for grant in rules]} {len(host.logrotate())}"
"""
    running, readers = start_with(body), Readers()

    def said() -> str:
        card = grade_run(
            running.installation, running.lab, running.trainee, later=False, terms=Terms(readers=readers)
        )
        return next(text for text in card.scorecard.objectives[0].messages if text.startswith("["))

    try:
        assert said().startswith("['22'] [] ")
        running.box.sh(
            "echo 'Port 2022' > /etc/ssh/other.conf; echo 'Include /etc/ssh/*.conf' >> /etc/ssh/sshd_config\n"
            "mkdir /etc/more; echo 'intern ALL=(root) /bin/id' > /etc/more/rule; chmod 0440 /etc/more/rule\n"
            "echo '@includedir /etc/more' >> /etc/sudoers; rm -r /etc/logrotate.d"
        )
        assert said() == "['2022'] [('/bin/id',)] 0"
        running.box.sh("rm /etc/ssh/other.conf /etc/more/rule")
        assert said() == "['22'] [] 0"
    finally:
        readers.drop()


def test_a_failing_guard_withholds_the_points_it_protects(start_with: StartWith) -> None:
    running = start_with()
    running.box.sh(FIX + "echo nothing > /srv/secret.txt")
    card = graded(running).scorecard
    assert failed_guards(card) == {"kept"}
    assert points(card) == {"closed": 0, "flag": 35, "record": 20}
    assert (card.earned, card.withheld) == (100, 45)


def test_what_does_not_survive_a_restart_is_not_fixed(start_with: StartWith) -> None:
    running = start_with()
    running.box.sh("printf up > /run/flag.state")
    assert messages(graded(running).scorecard, "flag") == "the flag is down after a restart"


def test_a_service_that_was_not_restarted_is_seen_on_the_running_machine(start_with: StartWith) -> None:
    running = start_with()
    running.box.sh("printf up > /etc/flag.conf")
    assert messages(graded(running).scorecard, "flag") == "the flag is down now"


def test_a_failure_on_the_running_machine_outlives_it(start_with: StartWith) -> None:
    running = start_with()
    running.box.sh("printf up > /etc/flag.conf")
    graded(running)
    running.box.sh("/etc/init.d/flag restart")
    again = regrade(running.installation, running.lab, running.trainee, 1)
    assert messages(again.scorecard, "flag") == "the flag is down now"


# -- whose fault -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    ["raise RuntimeError('of the author')", "import os; os._exit(0)", "while True: pass"],
    ids=["raises", "dies", "hangs"],
)
def test_a_check_that_never_works_is_our_trouble_and_counts_no_attempt(
    start_with: StartWith, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start_checks.__kwdefaults__ is not None
    monkeypatch.setitem(start_checks.__kwdefaults__, "check_deadline", 2.0)
    running = start_with(body)
    with pytest.raises(NotGraded, match="test_extra does not work") as caught:
        graded(running)
    assert "no attempt was counted" in caught.value.hint
    assert attempts(running) == []


BREAKS_ON_SIDEWAYS = {
    "errs": "assert {'down': 1}[host.file('/etc/flag.conf').content_string]",
    "dies": "import os\nif host.file('/etc/flag.conf').content != b'down': os._exit(0)",
    "hangs": "while host.file('/etc/flag.conf').content != b'down': pass",
}


@pytest.mark.parametrize("how", BREAKS_ON_SIDEWAYS)
def test_a_check_that_breaks_on_this_submission_only_is_the_submissions_fault(
    start_with: StartWith, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start_checks.__kwdefaults__ is not None
    monkeypatch.setitem(start_checks.__kwdefaults__, "check_deadline", 2.0)
    running = start_with(BREAKS_ON_SIDEWAYS[how])
    running.box.sh(FIX + "printf sideways > /etc/flag.conf")
    card = graded(running).scorecard
    assert AT_FAULT in messages(card, "closed")
    assert ("did not end in time" in messages(card, "closed")) == (how == "hangs")
    assert points(card)["closed"] == 0
    assert points(card)["record"] == 20
    assert attempts(running) == [1]
    assert "KeyError" not in card.to_json()


def test_a_machine_that_does_not_come_up_fails_the_guard_not_the_grader(
    start_with: StartWith,
) -> None:
    running = start_with()
    running.box.sh(FIX + "printf '#!/bin/sh\\nexit 7\\n' > /usr/local/sbin/phi-boot")
    card = graded(running).scorecard
    assert failed_guards(card) == {"machine-comes-up", "kept"}
    assert card.score == 0
    assert "ended with exit code 7" in messages(card, "closed")
    assert attempts(running) == [1]


def test_a_boot_that_never_ends_is_given_up(start_with: StartWith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clone, "BOOT_DEADLINE", 1.5)
    running = start_with()
    running.box.sh("printf '#!/bin/sh\\nexec sleep 60\\n' > /etc/flag.hook; chmod +x /etc/flag.hook")
    card = graded(running).scorecard
    assert "machine-comes-up" in failed_guards(card)
    assert "did not finish its boot" in messages(card, "flag")


def test_a_boot_that_fails_also_untouched_is_our_trouble(
    start_with: StartWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_boot(*_arguments: object) -> None:
        raise clone.BootFailedError("the host is out of steam")

    def no_control(*_arguments: object) -> None:
        raise EngineError("nothing starts")

    monkeypatch.setattr(grade, "boot", no_boot)
    monkeypatch.setattr(blame, "control_machines", no_control)
    running = start_with()
    with pytest.raises(NotGraded, match="not even an untouched machine came up"):
        graded(running)
    assert attempts(running) == []


def test_a_grading_broken_off_in_the_middle_of_a_question_does_not_spoil_the_next(
    start_with: StartWith,
) -> None:
    checks = CHECKS + (
        "\n@objective('flag')\ndef test_asks_and_asks(live):\n"
        "    for _ in range(40):\n        live.forget(); live.leaks(['nothing'])\n"
    )
    running = start_with(checks=checks)
    running.box.sh("cp /usr/local/sbin/phi-boot /srv/kept")
    running.box.sh("printf '#!/bin/sh\\nexit 7\\n' > /usr/local/sbin/phi-boot")
    assert graded(running).scorecard.score == 0
    running.box.sh("cp /srv/kept /usr/local/sbin/phi-boot;" + FIX)
    card = graded(running).scorecard
    assert (card.score, failed_guards(card)) == (100, set())


# -- the grader's own parts ----------------------------------------------------------------------


def test_a_probe_that_was_removed_is_replaced(start_with: StartWith) -> None:
    running = start_with()
    installation = running.installation
    installation.probe().ask("hello")
    installation.engine.remove(installation.probe_container())
    assert points(graded(running).scorecard)["closed"] == 0
    assert attempts(running) == [1]


def dying_probe(installation: Installation, times: int) -> Callable[..., Submission]:
    """A capture in whose middle the probe is removed, so many times."""
    left = [times]

    def dies(*arguments: object) -> Submission:
        if left[0]:
            left[0] -= 1
            installation.engine.remove(installation.probe_container())
        return capture_run(*arguments)  # type: ignore[arg-type]

    return dies


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine may leave the stream to a dead probe open: do not wait long for answers."""
    assert Probe.ask.__kwdefaults__ is not None
    monkeypatch.setitem(Probe.ask.__kwdefaults__, "seconds", 3.0)


@pytest.mark.usefixtures("impatient")
def test_a_probe_that_dies_in_the_middle_is_replaced_and_the_grading_goes_on(
    start_with: StartWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_with()
    monkeypatch.setattr(grade, "capture_run", dying_probe(running.installation, 1))
    assert points(graded(running).scorecard)["closed"] == 0
    assert attempts(running) == [1]
    assert running.installation.engine.inspect(running.run.containers["one"]).running


@pytest.mark.usefixtures("impatient")
def test_a_machine_over_which_every_probe_dies_is_no_way_to_stall(
    start_with: StartWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_with()
    monkeypatch.setattr(grade, "capture_run", dying_probe(running.installation, 2))
    card = graded(running).scorecard
    assert card.score == 0
    assert "captured-whole" in [guard.id for guard in card.failed_guards]
    assert attempts(running) == [1]


def test_two_grades_of_one_run_at_once_are_refused(start_with: StartWith) -> None:
    running = start_with()
    with (
        running.installation.state.lock(f"grade-{running.run.id}"),
        pytest.raises(UserError, match="being graded at this moment"),
    ):
        graded(running)
    graded(running)
    assert attempts(running) == [1]


def test_an_interrupt_leaves_no_attempt_no_clone_and_a_running_machine(
    start_with: StartWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(grade, "bring_to", interrupted)
    running = start_with()
    with pytest.raises(KeyboardInterrupt):
        graded(running)
    assert attempts(running) == []
    assert running.installation.engine.inspect(running.run.containers["one"]).running


GRADING = """
import sys
from pathlib import Path
from phi_labs.grading.grade import grade_run
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.lab import load_lab
print("go", flush=True)
grade_run(Installation(), load_lab(Path(sys.argv[1])), sys.argv[2])
"""


def test_what_a_killed_grading_left_is_removed_but_nothing_that_is_in_use(
    start_with: StartWith, tmp_path: Path
) -> None:
    sign = tmp_path / "checks-run"
    running = start_with(f"open({str(sign)!r}, 'w').close()\nimport time; time.sleep(25)")
    installation = running.installation
    argv = [sys.executable, "-c", GRADING, str(running.lab.folder), running.trainee]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=dict(os.environ)) as grading:
        until = time.monotonic() + 30
        while not sign.exists():
            assert grading.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        taken = leftovers(installation)
        assert len(taken) == 2
        tidy(installation, None)
        assert leftovers(installation) == taken
        os.kill(grading.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while leftovers(installation):
        assert time.monotonic() < until, "the dead grading still holds its lease"
        tidy(installation, None)
    assert installation.engine.inspect(running.run.containers["one"]).running


# -- machines in odd states ------------------------------------------------------------------------


def test_a_paused_machine_is_woken_and_graded(start_with: StartWith) -> None:
    running = start_with()
    running.installation.engine.pause(running.run.containers["one"])
    graded(running)
    assert attempts(running) == [1]


def test_a_machine_that_was_removed_or_killed_is_told_and_counts_nothing(start_with: StartWith) -> None:
    running = start_with()
    engine, container = running.installation.engine, running.run.containers["one"]
    os.kill(engine.inspect(container).pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while engine.inspect(container).running and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(UserError, match="was stopped from outside") as caught:
        graded(running)
    assert "phi-labs start tiny" in caught.value.hint
    engine.remove(container)
    with pytest.raises(UserError, match="removed from outside"):
        graded(running)
    assert attempts(running) == []


def test_a_lease_on_a_file_of_phi_fails_the_guard_with_its_name(start_with: StartWith) -> None:
    running = start_with()
    running.box.sh(FIX)
    running.box.begin(
        "import fcntl, os, signal\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\n"
        "fd = os.open('/srv/secret.txt', os.O_RDWR)\nfcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "os.write(1, b'ready')\nsignal.pause()\n"
    )
    card = graded(running).scorecard
    assert "captured-whole" in failed_guards(card)
    assert card.score == 0
    (guard,) = [item for item in card.failed_guards if item.id == "captured-whole"]
    assert "/srv/secret.txt" in guard.messages[0]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the attack is written for x86-64")
def test_a_machine_that_shows_a_decoy_scores_nothing_and_the_attempt_counts(start_with: StartWith) -> None:
    running = start_with()
    running.box.sh(FIX)
    assert running.box.python(HERE / "ptrace_chroot.py") == b"chroot: 0"
    card = graded(running).scorecard
    assert "captured-whole" in failed_guards(card)
    assert card.score == 0
    assert attempts(running) == [1]


def test_a_trainees_escape_codes_never_reach_the_scorecard(start_with: StartWith) -> None:
    running = start_with()
    running.box.sh("cp /srv/secret.txt $'/srv/\\e[2Jcleared'; chmod 644 /srv/*")
    assert "\x1b" not in messages(graded(running).scorecard, "closed")
