"""Who the trainee works for: a covered entity (``ce``) or a business associate (``ba``)."""

from __future__ import annotations

from typing import Literal, get_args

from phi_labs.errors import UserError

Entity = Literal["ce", "ba"]
ENTITIES: tuple[Entity, ...] = get_args(Entity)
ENTITY_NAMES: dict[Entity, str] = {"ce": "covered entity", "ba": "business associate"}


def parse_entity(text: str) -> Entity:
    """``ce`` or ``ba`` in any case; anything else is a UserError."""
    for entity in ENTITIES:
        if text.strip().lower() == entity:
            return entity
    raise UserError(
        f"unknown entity {text!r}",
        "use ce (covered entity) or ba (business associate)",
    )
