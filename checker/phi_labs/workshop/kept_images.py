"""Images that kept submissions need to be graded again: kept until a trainer lets go of them, on record.

An image is kept for every workshop in which something was graded on it and that was not released.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from phi_labs.engine.images import lab_recipe
from phi_labs.errors import UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.model.content import all_labs
from phi_labs.model.nearest import did_you_mean
from phi_labs.records.address import records_url
from phi_labs.records.event import Kind
from phi_labs.records.store import Records
from phi_labs.workshop.settings import workshops


@dataclass(frozen=True)
class Released:
    """What became of a workshop's images, by id.

    Attributes:
        kept: those that today's labs start from, or that other workshops need.
        left: those that the engine would not remove, since something runs on them.
    """

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    left: tuple[str, ...]


def needed_images(records: Records) -> dict[str, set[str]]:
    """Image id -> the workshops whose kept submissions need it."""
    released = {event.workshop for event in records.events(kind=Kind.IMAGES_RELEASED)}
    found: dict[str, set[str]] = defaultdict(set)
    for event in records.events(kind=Kind.GRADED):
        if event.workshop not in released:
            for image in event.data.get("images", {}).values():
                found[image].add(event.workshop)
    return dict(found)


def images_needed_here(state: State) -> set[str]:
    """Ids of the images that submissions of this installation's workshops need; none where there was none.

    Raises:
        RecordsError: the records cannot be read, so that nobody knows.
    """
    if not workshops(state):
        return set()
    with Records(records_url(state.root), read_only=True) as records:
        return set(needed_images(records))


def release_images(
    installation: Installation, records: Records, workshop: str, actor: str, reason: str
) -> Released:
    """Let go of a closed workshop's images: recorded first, then removed.

    Raises:
        UserError: no such workshop, it is open, it was released before, or somebody's records are on hold.
    """
    _may_be_released(records, workshop)
    needed = needed_images(records)
    own = sorted(image for image, of in needed.items() if workshop in of)
    today = _images_of_labs(installation)
    shared = [image for image in own if image in today or needed[image] != {workshop}]
    going = [image for image in own if image not in shared]
    records.append(
        Kind.IMAGES_RELEASED,
        workshop=workshop,
        actor=actor,
        data={"reason": reason, "images": going, "shared": shared},
    )
    for image in going:
        installation.engine.remove_image(image)
    left = [image for image in going if installation.engine.image_id(image) is not None]
    return Released(tuple(image for image in going if image not in left), tuple(shared), tuple(left))


def _may_be_released(records: Records, workshop: str) -> None:
    known = records.workshops()
    if workshop not in known:
        hint = did_you_mean(workshop, known) or f"there are: {', '.join(known) or 'none'}"
        raise UserError(f"there is no workshop {workshop!r} in the records", hint)
    said = {event.kind: event for event in records.events(workshop)}
    if Kind.WORKSHOP_CLOSED not in said:
        raise UserError(f"workshop {workshop} is open", "close it first: phi-labs workshop close")
    if (before := said.get(Kind.IMAGES_RELEASED)) is not None:
        raise UserError(
            f"the images of {workshop} were released at {before.at[:16]} by {before.actor}",
            f"event {before.number} says why; nothing more is kept for it",
        )
    if held := _on_hold(records, workshop):
        raise UserError(
            f"records of {', '.join(held)} are under a legal hold",
            "evidence stays whole while it lasts: phi-labs records legal-hold NAME --lift ends it",
        )


def _on_hold(records: Records, workshop: str) -> list[str]:
    holds = {event.subject: event.data["held"] for event in records.events(workshop, Kind.LEGAL_HOLD)}
    return [name for name, held in holds.items() if held]


def _images_of_labs(installation: Installation) -> set[str]:
    """What today's labs start from: removing it would only have it built again."""
    labs = all_labs(installation.content).labs
    tags: Iterable[str] = (
        lab_recipe(lab.id, host.name, lab.context(host.name)).tag for lab in labs for host in lab.hosts
    )
    found = (installation.engine.image_id(tag) for tag in tags)
    return {image for image in found if image is not None}
