"""What lifecycle relies on, asked of the real engine and of the fake one: the same answers."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator

import pytest
from tests.fakes.engine import FakeEngine

from phi_labs.engine.docker import LABEL_PREFIX, ContainerSpec, Engine
from phi_labs.engine.images import base_recipe, ensure_image
from phi_labs.errors import EngineError, MissingObject
from phi_labs.lifecycle.installation import Installation


class Bench:
    """An engine, an image it has, and labels that nobody else uses."""

    def __init__(self, engine: Engine, image: str, install: str) -> None:
        self.engine = engine
        self.image = image
        self.mine = {"install": install, "lab": f"contract-{secrets.token_hex(4)}"}

    def spec(self, name: str = "", **facts: object) -> ContainerSpec:
        return ContainerSpec(
            image=self.image,
            command=["sleep", "infinity"],
            name=name or f"phi-labs-contract-{secrets.token_hex(6)}",
            labels=self.labels,
            **facts,  # type: ignore[arg-type]
        )

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL_PREFIX + key: value for key, value in self.mine.items()}

    def create(self) -> str:
        return self.engine.create(self.spec())

    def started(self) -> str:
        container = self.create()
        self.engine.start(container)
        return container


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        fake = FakeEngine()
        list(fake.build(b"", "phi-labs/base:test", arguments={}, labels={}))
        yield Bench(fake, fake.tags["phi-labs/base:test"], "fake")
        fake.close()
        return
    installation: Installation = request.getfixturevalue("installation")
    lock = installation.state.lock_file("images")
    image = ensure_image(installation.engine, base_recipe(), lock, installation.tell)
    bench = Bench(installation.engine, image, installation.state.install)
    yield bench
    for found in bench.engine.containers(bench.mine):
        bench.engine.remove(found.id)
    for network, _, _ in bench.engine.networks(bench.mine):
        bench.engine.remove_network(network)


def test_a_container_goes_from_created_to_running_to_paused_and_back(bench: Bench) -> None:
    container = bench.create()
    assert bench.engine.inspect(container).status == "created"
    bench.engine.start(container)
    state = bench.engine.inspect(container)
    assert (state.status, state.running, state.image) == ("running", True, bench.image)
    assert state.pid > 0
    assert state.labels.items() >= bench.labels.items()
    bench.engine.pause(container)
    assert bench.engine.inspect(container).status == "paused"
    assert not bench.engine.inspect(container).running
    bench.engine.unpause(container)
    assert bench.engine.inspect(container).running


def test_what_makes_no_sense_in_a_state_is_refused(bench: Bench) -> None:
    container = bench.create()
    with pytest.raises(EngineError):
        bench.engine.pause(container)
    with pytest.raises(EngineError):
        bench.engine.exec_stream(container, ["true"])
    bench.engine.start(container)
    with pytest.raises(EngineError):
        bench.engine.unpause(container)


def test_a_removed_container_is_missing_and_removing_it_again_is_no_error(bench: Bench) -> None:
    container = bench.started()
    bench.engine.remove(container)
    bench.engine.remove(container)
    for ask in (bench.engine.inspect, bench.engine.start, bench.engine.pause):
        with pytest.raises(MissingObject):
            ask(container)
    with pytest.raises(MissingObject):
        bench.engine.exec_stream(container, ["true"])


def test_a_name_is_given_once(bench: Bench) -> None:
    spec = bench.spec()
    first = bench.engine.create(spec)
    with pytest.raises(EngineError):
        bench.engine.create(spec)
    other = bench.create()
    with pytest.raises(EngineError):
        bench.engine.rename(other, spec.name)
    bench.engine.rename(first, spec.name + "-new")
    assert bench.engine.inspect(first).name == spec.name + "-new"


def test_an_unknown_image_is_missing(bench: Bench) -> None:
    assert bench.engine.image_id("phi-labs/no-such-image:ever") is None
    assert bench.engine.image_id(bench.image) == bench.image
    spec = ContainerSpec("phi-labs/no-such-image:ever", ["true"], "phi-labs-contract-none", bench.labels)
    with pytest.raises(MissingObject):
        bench.engine.create(spec)


def test_containers_are_found_by_all_their_labels(bench: Bench) -> None:
    idle, running = bench.create(), bench.started()
    assert {item.id for item in bench.engine.containers(bench.mine)} == {idle, running}
    assert [item.id for item in bench.engine.containers(bench.mine, running_only=True)] == [running]
    assert bench.engine.containers({**bench.mine, "kind": "other"}) == []
    (found,) = bench.engine.containers(bench.mine, running_only=True)
    assert (found.status, found.image, found.label("lab")) == ("running", bench.image, bench.mine["lab"])
    assert found.label("nothing") == ""


def test_files_come_out_of_a_machine_that_was_not_started(bench: Bench) -> None:
    container = bench.create()
    with tarfile.open(fileobj=io.BytesIO(bench.engine.get_archive(container, "/etc/passwd"))) as tar:
        data = tar.extractfile("passwd")
        assert data is not None
        assert data.read().startswith(b"root:x:0:0")
    with pytest.raises(MissingObject):
        bench.engine.get_archive(container, "/srv/nothing")
    with pytest.raises(EngineError, match="larger than"):
        bench.engine.get_archive(container, "/etc/passwd", limit=3)


def test_networks_are_found_by_their_labels_and_removed_once(bench: Bench) -> None:
    network = bench.engine.create_network(f"phi-labs-contract-{secrets.token_hex(4)}", bench.labels)
    ((found, name, labels),) = bench.engine.networks(bench.mine)
    assert found == network
    assert name.startswith("phi-labs-contract-")
    assert labels.items() >= bench.labels.items()
    bench.engine.remove_network(network)
    bench.engine.remove_network(network)
    assert bench.engine.networks(bench.mine) == []
