"""Events as sentences, for people who read the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phi_labs.records.event import Event, Kind
from phi_labs.records.store import CLOCK_SET_BACK

_Said = Mapping[str, Any]


def in_words(event: Event) -> str:
    """What happened; for a kind that this program does not know, its name and data."""
    sentence = _SENTENCES.get(event.kind)
    try:
        text = sentence(event.data) if sentence else f"{event.kind}: {dict(event.data)}"
    except (KeyError, TypeError, ValueError):  # of a newer phi-labs
        text = f"{event.kind}: {dict(event.data)}"
    if CLOCK_SET_BACK in event.data:
        text += f" (the clock had been set back, it said {event.data[CLOCK_SET_BACK]})"
    return text


def _opened(said: _Said) -> str:
    scenario = said["scenario"]
    name = scenario.get("id", "") if isinstance(scenario, Mapping) else scenario
    labs = ", ".join(lab["id"] for lab in said["labs"])
    return (
        f"workshop opened by {said['trainer']}: scenario {name}, {said['entity'].upper()}, labs {labs}; "
        f"{said['pass_mark']} points pass, the {said['count_rule']} attempt counts"
    )


def _person(said: _Said) -> str:
    return ", ".join(f"{name} {value}" for name, value in said.items() if value and name != "public_key")


def _assigned(said: _Said) -> str:
    due = f", due {said['due_at']}" if said.get("due_at") else ""
    why = f", because of {said['trigger']}" if said.get("trigger") else ""
    return f"{said['lab']} assigned{due}{why}"


def _graded(said: _Said) -> str:
    score, mark = said["scorecard"]["score"], ", late" if said.get("late") else ""
    again = f", attempt {said['regrade_of']} graded again" if said.get("regrade_of") else ""
    return f"{said['lab']} graded, attempt {said['number']}: {score} points, {said['assurance']}{mark}{again}"


def _started(said: _Said) -> str:
    retry = f", retry {said['retry']}" if said.get("retry") else ""
    return f"{said['lab']} started{retry}"


def _hint(said: _Said) -> str:
    return f"{said['lab']}: hint {said['number']} on {said['objective']} taken, {said.get('cost', 0)} points"


def _extended(said: _Said) -> str:
    until = f", until {said['until']}" if said.get("until") else ""
    return f"{said['lab'] or 'every lab'} extended by {said['minutes']} minutes{until}"


def _appeal(said: _Said) -> str:
    event = f" against event {said['event']}" if said.get("event") else ""
    return f"appeal{event} about {said['lab']}: {said['reason']}"


def _override(said: _Said) -> str:
    if said["score"] is None:
        return f"override of {said['lab']} lifted: {said['reason']}"
    return f"score of {said['lab']} set to {said['score']}: {said['reason']}"


def _exception(said: _Said) -> str:
    return f"exempted from {said['lab'] or 'every lab'}, approved by {said['approver']}: {said['reason']}"


def _attestation(said: _Said) -> str:
    reason = f" ({said['reason']})" if said.get("reason") else ""
    return f"attested: {said['statement']}{reason}"


def _released(said: _Said) -> str:
    reason = f" ({said['reason']})" if said.get("reason") else ""
    return f"images released: kept submissions can no longer be graded again{reason}"


_SENTENCES: dict[str, Callable[[_Said], str]] = {
    Kind.WORKSHOP_OPENED: _opened,
    Kind.ENROLLED: lambda said: f"enrolled: {_person(said)}",
    Kind.CHANGED: lambda said: f"changed: {_person(said)}",
    Kind.LAB_ASSIGNED: _assigned,
    Kind.LAB_STARTED: _started,
    Kind.HINT_TAKEN: _hint,
    Kind.RESCUE_USED: lambda said: f"{said['lab']}: rescue console used",
    Kind.GRADED: _graded,
    Kind.NOT_GRADED: lambda said: f"{said['lab']} could not be graded: {said['reason']}; no attempt counted",
    Kind.EXTENDED: _extended,
    Kind.RESET: lambda said: f"{said['lab']} reset",
    Kind.MESSAGE_SENT: lambda said: f"message: {said['text']}",
    Kind.SESSION: lambda said: f"session: {said['what']}" + (f", {said['lab']}" if said.get("lab") else ""),
    Kind.APPEAL: _appeal,
    Kind.OVERRIDE: _override,
    Kind.EXCEPTION: _exception,
    Kind.ATTESTATION: _attestation,
    Kind.LEGAL_HOLD: lambda said: f"legal hold {'placed' if said['held'] else 'lifted'}: {said['reason']}",
    Kind.WORKSHOP_CLOSED: lambda _said: "workshop closed",
    Kind.IMAGES_RELEASED: _released,
}
