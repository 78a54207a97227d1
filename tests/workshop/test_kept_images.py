"""Images of a closed workshop: kept for grading again, let go of on record, never anybody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.records.samples import OPENED, graded

from phi_labs.errors import UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.records.event import Kind
from phi_labs.records.store import Records
from phi_labs.workshop.kept_images import images_needed_here, needed_images, release_images
from phi_labs.workshop.settings import Settings, save_settings


class Images:
    """An engine's images."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)
        self.in_use: set[str] = set()
        self.current = ""  # what every lab's tag names

    def image_id(self, reference: str) -> str | None:
        if reference in self.ids:
            return reference
        return self.current if "phi-labs/lab-" in reference and self.current else None

    def remove_image(self, reference: str) -> None:
        if reference not in self.in_use:
            self.ids.discard(reference)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(State(tmp_path / "state"))
    made.__dict__["engine"] = Images("old", "shared", "today", "other")
    return made


@pytest.fixture
def records(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """Spring was closed, summer is open; one image of spring is summer's, too."""
    monkeypatch.delenv("PHI_LABS_RECORDS", raising=False)
    with Records(f"sqlite:///{installation.state.root / 'records.db'}") as records:
        for workshop, images in {"spring": ("old", "shared", "today"), "summer": ("shared", "other")}.items():
            add(records, workshop, Kind.WORKSHOP_OPENED, **OPENED)
            for number, image in enumerate(images, 1):
                add(
                    records, workshop, Kind.GRADED, "ana", **{**graded(number, 40), "images": {"ehr1": image}}
                )
        add(records, "spring", Kind.WORKSHOP_CLOSED)
        yield records


def add(records: Records, workshop: str, kind: Kind, subject: str = "", /, **data: Any) -> None:
    records.append(kind, workshop=workshop, actor="trainer", subject=subject, data=data)


def engine(installation: Installation) -> Any:
    return installation.engine


def test_only_what_nobody_else_needs_is_removed_and_who_and_why_is_on_record(
    installation: Installation, records: Records
) -> None:
    engine(installation).current = "today"
    done = release_images(installation, records, "spring", "sam", "no appeals")
    assert (done.removed, done.kept, done.left) == (("old",), ("shared", "today"), ())
    assert engine(installation).ids == {"shared", "today", "other"}
    (event,) = records.events("spring", Kind.IMAGES_RELEASED)
    assert event.actor == "sam"
    assert event.data == {"reason": "no appeals", "images": ["old"], "shared": ["shared", "today"]}
    assert records.verify(records.head()) == []


def test_an_image_is_needed_until_the_last_workshop_lets_go(
    installation: Installation, records: Records
) -> None:
    assert needed_images(records)["shared"] == {"spring", "summer"}
    release_images(installation, records, "spring", "sam", "no appeals")
    assert needed_images(records) == {"shared": {"summer"}, "other": {"summer"}}
    add(records, "summer", Kind.WORKSHOP_CLOSED)
    assert release_images(installation, records, "summer", "sam", "over").removed == ("other", "shared")
    assert needed_images(records) == {}


def test_what_something_runs_on_is_left_and_told(installation: Installation, records: Records) -> None:
    engine(installation).in_use = {"old"}
    assert release_images(installation, records, "spring", "sam", "no appeals").left == ("old",)


def test_an_open_workshop_keeps_its_images(installation: Installation, records: Records) -> None:
    with pytest.raises(UserError, match="summer is open"):
        release_images(installation, records, "summer", "sam", "no appeals")
    assert "other" in engine(installation).ids
    assert not list(records.events("summer", Kind.IMAGES_RELEASED))


def test_a_legal_hold_keeps_images_until_it_is_lifted(installation: Installation, records: Records) -> None:
    add(records, "spring", Kind.LEGAL_HOLD, "ana", held=True, reason="case 1")
    with pytest.raises(UserError, match="ana are under a legal hold"):
        release_images(installation, records, "spring", "sam", "no appeals")
    add(records, "spring", Kind.LEGAL_HOLD, "ana", held=False, reason="case 1 closed")
    assert release_images(installation, records, "spring", "sam", "no appeals").removed


def test_letting_go_twice_or_of_nothing_is_a_mistake(installation: Installation, records: Records) -> None:
    release_images(installation, records, "spring", "sam", "no appeals")
    with pytest.raises(UserError, match=r"were released at .* by sam"):
        release_images(installation, records, "spring", "sam", "again")
    with pytest.raises(UserError, match=r"no workshop 'sprin'") as told:
        release_images(installation, records, "sprin", "sam", "no appeals")
    assert "spring" in told.value.hint


def test_a_broom_knows_what_submissions_need(installation: Installation, records: Records) -> None:
    assert images_needed_here(installation.state) == set()  # nobody held a workshop here
    save_settings(installation.state, Settings("spring", "s.yml", "r.csv", "sam"))
    assert images_needed_here(installation.state) == {"old", "shared", "today", "other"}
    release_images(installation, records, "spring", "sam", "no appeals")
    assert images_needed_here(installation.state) == {"shared", "other"}
