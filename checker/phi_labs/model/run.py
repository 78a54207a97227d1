"""One trainee's copy of a lab: what it is, and the states it can be in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from phi_labs.errors import UserError
from phi_labs.model.entity import Entity, parse_entity

SCHEMA_VERSION = 1


class RunState(StrEnum):
    """Where a run is in its life."""

    PLANNED = "planned"  # known, nothing made yet
    STARTING = "starting"  # containers made, boot not finished
    READY = "ready"  # SSH answers
    PAUSED = "paused"  # frozen by the engine
    STOPPED = "stopped"  # containers there, processes gone
    FAILED = "failed"  # did not come up, or died under the trainee
    GONE = "gone"  # nothing left on the engine


class RunEvent(StrEnum):
    """What happens to a run."""

    START = "start"
    BOOTED = "booted"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    STOP = "stop"
    DIE = "die"
    RESET = "reset"
    REMOVE = "remove"


_S, _E = RunState, RunEvent
_TABLE: Mapping[tuple[RunState, RunEvent], RunState] = {
    (_S.PLANNED, _E.START): _S.STARTING,
    (_S.PLANNED, _E.REMOVE): _S.GONE,
    (_S.STARTING, _E.BOOTED): _S.READY,
    (_S.STARTING, _E.DIE): _S.FAILED,
    (_S.STARTING, _E.STOP): _S.STOPPED,
    (_S.STARTING, _E.RESET): _S.STARTING,
    (_S.STARTING, _E.REMOVE): _S.GONE,
    (_S.READY, _E.PAUSE): _S.PAUSED,
    (_S.READY, _E.STOP): _S.STOPPED,
    (_S.READY, _E.DIE): _S.FAILED,
    (_S.READY, _E.RESET): _S.STARTING,
    (_S.READY, _E.REMOVE): _S.GONE,
    (_S.PAUSED, _E.UNPAUSE): _S.READY,
    (_S.PAUSED, _E.STOP): _S.STOPPED,
    (_S.PAUSED, _E.DIE): _S.FAILED,
    (_S.PAUSED, _E.RESET): _S.STARTING,
    (_S.PAUSED, _E.REMOVE): _S.GONE,
    (_S.STOPPED, _E.START): _S.STARTING,
    (_S.STOPPED, _E.RESET): _S.STARTING,
    (_S.STOPPED, _E.REMOVE): _S.GONE,
    (_S.FAILED, _E.START): _S.STARTING,
    (_S.FAILED, _E.STOP): _S.STOPPED,
    (_S.FAILED, _E.RESET): _S.STARTING,
    (_S.FAILED, _E.REMOVE): _S.GONE,
}


def transition(state: RunState, event: RunEvent) -> RunState:
    """The state after ``event``; an event that the state does not allow is a UserError."""
    after = _TABLE.get((state, event))
    if after is None:
        possible = ", ".join(allowed(state)) or "nothing: start a new run"
        raise UserError(f"a run that is {state} cannot {event}", f"possible now: {possible}")
    return after


def allowed(state: RunState) -> tuple[RunEvent, ...]:
    """The events that ``state`` allows."""
    return tuple(event for event in RunEvent if (state, event) in _TABLE)


@dataclass(frozen=True)
class Run:
    """What identifies a run and what was made for it; secrets are kept elsewhere.

    ``images`` and ``containers`` map host name -> engine id. ``created_at`` is UTC, ISO 8601.
    ``organisation`` is the organisation file's path, empty for the default one. ``retry`` counts from 0;
    ``block`` is the trainee's MRN block (0..99999). ``network`` is empty for a one-host lab.
    """

    id: str
    lab: str
    trainee: str
    entity: Entity
    retry: int
    block: int
    created_at: str
    images: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    organisation: str = ""
    state: RunState = RunState.PLANNED

    def after(self, event: RunEvent) -> Self:
        """The same run after ``event``; UserError when its state does not allow it."""
        return replace(self, state=transition(self.state, event))

    def to_json(self) -> str:
        """One JSON object, keys sorted."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, sort_keys=True, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of ``to_json``; anything else is a UserError."""
        try:
            return cls._from_data(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"this is no record of a run: {error}", "remove the file, or restore it"
            ) from error

    @classmethod
    def _from_data(cls, data: dict[str, Any]) -> Self:
        version = data.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise UserError(
                f"run recorded in format {version!r}, not {SCHEMA_VERSION}", "use the phi-labs that wrote it"
            )
        if unknown := set(data) - {item.name for item in fields(cls)}:
            raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
        _expect(data, str, "id", "lab", "trainee", "created_at", "network", "organisation")
        _expect(data, int, "retry", "block")
        _expect(data, dict, "images", "containers")
        return cls(**{**data, "entity": parse_entity(data["entity"]), "state": RunState(data["state"])})


def _expect(data: Mapping[str, Any], kind: type, *keys: str) -> None:
    for key in keys:
        if not isinstance(data[key], kind):
            raise TypeError(f"{key} is not of type {kind.__name__}")
