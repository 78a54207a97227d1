"""No way in or out of a machine but the engine; machines of one run find each other by name."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.machines.conftest import Box

from phi_labs.engine.docker import LABEL_PREFIX
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import host_spec
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab

pytestmark = pytest.mark.docker

# Says which of the given (address, port) answer, and which names resolve.
REACH = """
import json, os, socket, sys
os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"
wanted = json.loads(sys.argv[1])
found = []
for address, port in wanted["addresses"]:
    try:
        socket.create_connection((address, port), 0.4).close()
        found.append([address, port])
    except ConnectionRefusedError:
        found.append([address, "refused"])  # something is there
    except OSError:
        pass
for name in wanted["names"]:
    try:
        socket.getaddrinfo(name, 80)
        found.append(name)
    except OSError:
        pass
print(json.dumps(found))
"""


def reached(box: Box, addresses: list[tuple[str, int]], names: list[str]) -> list[object]:
    question = json.dumps({"addresses": addresses, "names": names})
    said = box.run("/usr/bin/python3", "-I", "-c", REACH, question)
    assert said.exit_code == 0, said.stderr.decode()
    found: list[object] = json.loads(said.stdout)
    return found


@pytest.fixture(scope="module")
def listening() -> Iterator[int]:
    """A port at which this machine answers on every address."""
    with socket.create_server(("", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    server.accept()

        threading.Thread(target=answer, daemon=True).start()
        yield int(server.getsockname()[1])


def own_addresses() -> list[str]:
    """Addresses of this machine: those of its interfaces, docker0 among them."""
    found = {"172.17.0.1"}
    for name in {socket.gethostname(), "localhost"}:
        try:
            found |= {str(item[4][0]) for item in socket.getaddrinfo(name, None, socket.AF_INET)}
        except OSError:
            continue
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found.add(str(probe.getsockname()[0]))
        except OSError:
            found.discard("")
    return sorted(address for address in found if not address.startswith("127."))


def make(installation: Installation, lab: Lab, name: str, network: str | None) -> Box:
    image = installation.image_of(lab, "one")
    labels = {"install": installation.state.install, "lab": "networks"}
    command = ["sleep", "infinity"]
    spec = host_spec(lab.hosts[0], image, kind="run", labels=labels, command=command, network=network)
    container = installation.engine.create(replace(spec, hostname=name))
    installation.engine.start(container)
    return Box(installation.engine, container)


@pytest.fixture(autouse=True)
def nothing_left(installation: Installation) -> Iterator[None]:
    yield
    labels = {"install": installation.state.install, "lab": "networks"}
    for item in installation.engine.containers(labels):
        installation.engine.remove(item.id)
    for network, _, _ in installation.engine.networks(labels):
        installation.engine.remove_network(network)


def test_a_single_machine_reaches_nothing(installation: Installation, tiny: Lab, listening: int) -> None:
    box = make(installation, tiny, "alone", None)
    addresses = [(address, listening) for address in own_addresses()]
    assert reached(box, [*addresses, ("192.0.2.53", 53)], ["example.net", "example.org"]) == []
    assert box.sh("ls /sys/class/net").split() == ["lo"]


def test_a_single_machine_knows_itself(installation: Installation, tiny: Lab) -> None:
    run = start_run(installation, tiny, "noa", spares=False).run
    try:
        box = Box(installation.engine, run.containers["one"])
        assert box.sh("getent ahosts localhost | cut -d' ' -f1 | sort -u").split() == ["127.0.0.1", "::1"]
        assert box.sh("getent hosts one").split() == ["127.0.1.1", "one"]
        assert box.sh("stat -c %a /etc/hosts /etc/resolv.conf").split() == ["644", "644"]
        assert box.sh("sudo -n true 2>&1") == ""
    finally:
        stop_run(installation, tiny.id, "noa")


def test_machines_of_a_run_find_each_other_and_nothing_else(
    installation: Installation, tiny: Lab, listening: int
) -> None:
    engine = installation.engine
    labels = {"install": installation.state.install, "lab": "networks"}
    network = engine.create_network(
        f"phi-labs-test-{secrets.token_hex(4)}", {LABEL_PREFIX + key: labels[key] for key in labels}
    )
    ehr, db = (make(installation, tiny, name, network) for name in ("ehr1", "db1"))
    db.begin(
        "import os, socket\nserver = socket.create_server(('', 5432))\nos.write(1, b'ready')\n"
        "while True: server.accept()\n"
    )
    assert reached(ehr, [("db1", 5432)], ["db1"]) == [["db1", 5432], "db1"]
    own = json.loads(ehr.run("/usr/sbin/ip", "-j", "-4", "addr", "show", "eth0").stdout)
    address = own[0]["addr_info"][0]["local"]
    gateway = address.rsplit(".", 1)[0] + f".{(int(address.rsplit('.', 1)[1]) & 0xF0) + 1}"
    outside = [(name, listening) for name in [*own_addresses(), gateway, "192.0.2.53"] if name != address]
    outside += [(name, 22) for name in own_addresses()]
    assert reached(ehr, outside, ["example.net", "example.com"]) == []


def test_two_networks_never_overlap(installation: Installation) -> None:
    engine = installation.engine
    labels = {LABEL_PREFIX + "install": installation.state.install, LABEL_PREFIX + "lab": "networks"}
    made = [engine.create_network(f"phi-labs-test-{secrets.token_hex(4)}", labels) for _ in range(3)]
    subnets = {engine._api.inspect_network(name)["IPAM"]["Config"][0]["Subnet"] for name in made}
    assert len(subnets) == 3
    assert all(subnet.endswith("/28") for subnet in subnets)
