"""What is looked after while a workshop is open, on the real engine: rest, disks, machines that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import remove_traces
from tests.machines.conftest import Box
from tests.tiny_lab import FIX
from tests.workshop.desk import Clock, Desk

from phi_labs.engine.docker import LABEL_PREFIX, ContainerSpec
from phi_labs.errors import UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import lease, take
from phi_labs.lifecycle.runs import start_run
from phi_labs.lifecycle.state import State
from phi_labs.records.event import Kind
from phi_labs.workshop.closing import close
from phi_labs.workshop.janitor import Janitor
from phi_labs.workshop.ledger import steady
from phi_labs.workshop.provision import Step
from phi_labs.workshop.settings import save_settings
from phi_labs.workshop.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LEARNERS = ("ana", "ben", "cho", "dov", "eve", "fay")
LIMIT = 5  # MiB


class Site:
    """An open workshop in this process, its janitor, and somebody else's things on the same engine."""

    def __init__(self, folder: Path, desk: Desk | None = None) -> None:
        self.desk = desk or Desk(folder, LEARNERS)
        self.clock: Clock = self.desk.clock
        self.installation = Installation(self.desk.state, content=self.desk.installation.content)
        settings = replace(self.desk.settings, disk_limit=LIMIT)
        save_settings(self.desk.state, settings)
        self.workshop = Workshop(
            self.installation,
            self.desk.records,
            settings,
            self.desk.loaded,
            self.desk.roster,
            now=self.desk.now,
            tell=self.desk.told.append,
        )
        self.janitor = Janitor(self.workshop, self.desk.told.append)
        self.other = Installation(State(folder / "other"), content=self.installation.content)

    def box(self, learner: str, installation: Installation | None = None) -> Box:
        where = installation or self.installation
        run = where.state.load_run(learner, "tiny")
        assert run is not None
        return Box(where.engine, run.containers["one"])

    def status(self, learner: str) -> str:
        box = self.box(learner)
        return box.engine.inspect(box.container).status

    def come_and_go(self, learner: str) -> None:
        self.workshop.attendance.enter(learner, "tiny")
        self.workshop.attendance.leave(learner, "tiny")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHI_LABS_SPARES", "0")
        site = Site(tmp_path_factory.mktemp("site"))
        try:
            site.installation.image_of(site.desk.tiny, "one")
            start_run(site.other, site.desk.tiny, "ana", spares=False)
            site.workshop.open()
            assert site.workshop.provisioner.wait(60)
            yield site
        finally:
            site.workshop.let_go()
            remove_traces(site.installation)
            remove_traces(site.other)
            site.desk.close()


def test_an_idle_lab_rests_until_somebody_comes_and_one_with_a_session_does_not(site: Site) -> None:
    site.come_and_go("ana")
    site.workshop.attendance.enter("ben", "tiny")
    site.clock.move(minutes=14)
    site.janitor.pause_what_is_idle()
    assert site.status("ana") == "running"
    site.clock.move(minutes=2)
    site.janitor.pause_what_is_idle()
    assert (site.status("ana"), site.status("ben")) == ("paused", "running")
    site.workshop.attendance.enter("ana", "tiny")
    assert site.status("ana") == "running"
    site.janitor.pause_what_is_idle()
    assert site.status("ana") == "running"
    for learner in ("ana", "ben"):
        site.workshop.attendance.leave(learner, "tiny")


def test_a_lab_that_rests_is_graded_and_rests_on(site: Site) -> None:
    site.come_and_go("cho")
    site.box("cho").sh(FIX)
    site.clock.move(minutes=16)
    site.janitor.pause_what_is_idle()
    assert site.status("cho") == "paused"
    ticket = site.workshop.gradings.ask("cho", "tiny")
    assert ticket.done.wait(60)
    assert ticket.outcome is not None
    assert ticket.outcome.scorecard is not None
    assert ticket.outcome.scorecard["score"] == 100
    assert site.status("cho") == "paused"


def test_a_lab_that_outgrows_its_limit_is_handed_in_and_ended_and_nobody_else_is(site: Site) -> None:
    for learner in ("dov", "eve", "fay"):
        site.workshop.attendance.enter(learner, "tiny")
    site.box("dov").sh(FIX)
    site.box("dov").sh(f"dd if=/dev/urandom of=/var/tmp/much bs=1M count={LIMIT + 2} 2>&1")
    site.box("eve").sh("truncate -s 50G /var/tmp/sparse")  # takes no room
    site.box("fay").sh("dd if=/dev/urandom of=/var/tmp/little bs=1M count=1 2>&1")
    site.box("ana", site.other).sh(f"dd if=/dev/urandom of=/var/tmp/much bs=1M count={LIMIT + 2} 2>&1")
    with lease(site.installation) as held:  # the probe knows the image once it has seen it untouched
        image = site.installation.image_of(site.desk.tiny, "one")
        pristine = take(site.installation, site.desk.tiny, site.desk.tiny.hosts[0], image, held, kind="clone")
        site.installation.probe().baseline(image, site.installation.engine.inspect(pristine).pid)
    site.janitor.guard_disks()
    place = site.workshop.place("dov", "tiny")
    assert (place.finished, place.score) == ("disk", 100)
    assert site.installation.state.load_run("dov", "tiny") is None
    assert site.desk.state.attempts("dov", "tiny")[-1].submission.is_dir()
    said = [text for _, to, text in site.workshop.board.messages if to == "dov"]
    assert said == [f"tiny wrote more than {LIMIT} MiB: it is handed in as it is, and ended"]
    with pytest.raises(UserError, match="finished"):
        site.workshop.attendance.enter("dov", "tiny")
    for learner in ("eve", "fay"):
        assert site.status(learner) == "running"
        assert site.workshop.place(learner, "tiny").finished == ""
        site.workshop.attendance.leave(learner, "tiny")
    other = site.box("ana", site.other)
    assert other.engine.inspect(other.container).status == "running"
    site.workshop.extend("dov", 10)  # more time: a machine afresh, and the last attempt is kept
    site.come_and_go("dov")
    assert site.status("dov") == "running"


def test_what_is_stopped_or_removed_from_outside_is_there_when_somebody_comes(site: Site) -> None:
    site.come_and_go("ben")
    site.box("ben").sh("echo mine > /root/note")
    site.box("ben").engine._api.stop(site.box("ben").container, timeout=0)
    site.come_and_go("ben")  # at once, not at the janitor's next round
    assert site.box("ben").sh("cat /root/note").strip() == "mine"
    site.box("ben").engine._api.stop(site.box("ben").container, timeout=0)
    site.janitor.reconcile()
    assert site.workshop.provisioner.wait(60)
    assert site.status("ben") == "running"
    before = site.box("ben").container
    site.installation.engine.remove(before)
    site.janitor.reconcile()
    assert site.workshop.provisioner.order("ben", "tiny") is None
    assert site.workshop.place("ben", "tiny").started_at is None
    gone = list(site.desk.records.events("day", Kind.SESSION, "ben"))
    assert gone[-1].data == {"what": "machine-gone", "lab": "tiny"}
    site.come_and_go("ben")
    assert site.box("ben").container != before
    order = site.workshop.provisioner.order("ben", "tiny")
    assert order is not None
    assert order.step is Step.READY


def test_janitor_and_close_touch_nothing_that_is_not_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHI_LABS_SPARES", "0")
    site = Site(tmp_path)
    engine = site.other.engine
    image = site.installation.image_of(site.desk.tiny, "one")
    strangers = [  # of another project; and of another installation, with a name like one of our clones
        ContainerSpec(image, ["sleep", "600"], f"strange-{site.other.state.install}", {}),
        ContainerSpec(
            image,
            ["sleep", "600"],
            f"phi-labs-taken-0123456789ab-{site.other.state.install}",
            {LABEL_PREFIX + "kind": "clone", LABEL_PREFIX + "install": site.other.state.install},
        ),
    ]
    made = [engine.create(spec) for spec in strangers]
    network = engine.create_network(
        f"strange-{site.other.state.install}", {LABEL_PREFIX + "install": site.other.state.install}
    )
    try:
        for container in made:
            engine.start(container)
        start_run(site.other, site.desk.tiny, "ana", spares=False)
        other = site.box("ana", site.other).container
        site.workshop.open()
        assert site.workshop.provisioner.wait(60)
        site.workshop.attendance.enter("ana", "tiny")
        site.workshop.attendance.leave("ana", "tiny")
        site.clock.move(minutes=30)
        for _ in range(2):
            site.janitor.tick()
        assert site.status("ana") == "paused"
        done = close(site.workshop)
        assert (done.graded, done.left) == (1, ())
        assert site.installation.engine.containers({"install": site.desk.state.install}) == []
        for container in (*made, other):
            assert engine.inspect(container).status == "running"
        assert network in [item[0] for item in engine.networks({"install": site.other.state.install})]
        assert not [line for line in site.desk.told if "Error" in line]
    finally:
        for container in made:
            engine.remove(container)
        engine.remove_network(network)
        site.workshop.let_go()
        remove_traces(site.installation)
        remove_traces(site.other)
        site.desk.close()


def test_a_clock_that_is_set_ends_no_time_limit_and_one_that_is_over_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHI_LABS_SPARES", "0")
    wall, elapsed = Clock(), [0.0]
    now = steady(wall(), wall, lambda: elapsed[0])
    site = Site(tmp_path, Desk(tmp_path, ("ana", "ben"), minutes=30, now=now))
    try:
        site.workshop.open()
        assert site.workshop.provisioner.wait(60)
        place = site.workshop.place("ana", "tiny")
        site.come_and_go("ana")
        for hours in (-5, 10):
            wall.move(hours=hours)
            elapsed[0] += 14 * 60
            site.janitor.end_what_is_over()
            assert (site.workshop.graders.under_way, place.finished) == ([], "")
        site.come_and_go("ben")  # whose half hour begins now
        elapsed[0] += 3 * 60
        site.janitor.end_what_is_over()
        assert site.workshop.graders.wait(60)
        assert (place.finished, site.workshop.place("ben", "tiny").finished) == ("time", "")
        events = list(site.desk.records.events("day"))
        (graded,) = [event for event in events if event.kind == Kind.GRADED]
        assert graded.data["late"] is False
        assert [event.at for event in events] == sorted(event.at for event in events)
        assert site.desk.records.verify() == []
    finally:
        site.workshop.let_go()
        remove_traces(site.installation)
        remove_traces(site.other)
        site.desk.close()
