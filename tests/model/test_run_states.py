"""A run's life, its record, and trainees' names."""

from __future__ import annotations

import json

import pytest

from phi_labs.errors import UserError
from phi_labs.model.run import Run, RunEvent, RunState, allowed, transition
from phi_labs.model.trainee import slug, trainee_name

RUN = Run(
    id="r1",
    lab="log-access",
    trainee="Ada Ünal",
    entity="ba",
    retry=0,
    block=417,
    created_at="2026-11-21T10:00:00+00:00",
    images={"ehr1": "sha256:00"},
    containers={"ehr1": "c0ffee"},
)


def test_a_run_goes_through_its_life() -> None:
    run = RUN
    for event in ("start", "booted", "pause", "unpause", "die", "start", "booted", "reset", "booted", "stop"):
        run = run.after(RunEvent(event))
    assert run.state is RunState.STOPPED
    assert run.after(RunEvent.REMOVE).state is RunState.GONE


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_but_gone_leads_to_gone(state: RunState) -> None:
    if state is RunState.GONE:
        assert allowed(state) == ()
    else:
        assert transition(state, RunEvent.REMOVE) is RunState.GONE


@pytest.mark.parametrize("state", list(RunState))
@pytest.mark.parametrize("event", list(RunEvent))
def test_what_a_state_does_not_allow_is_refused(state: RunState, event: RunEvent) -> None:
    if event in allowed(state):
        assert isinstance(transition(state, event), RunState)
    else:
        with pytest.raises(UserError, match=f"a run that is {state} cannot {event}"):
            transition(state, event)


def test_a_run_survives_json() -> None:
    assert Run.from_json(RUN.to_json()) == RUN


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"state": "dancing"},
        {"entity": "xx"},
        {"extra": 1},
        {"block": "1"},
        {"images": []},
    ],
)
def test_a_spoiled_record_of_a_run_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Run.from_json(json.dumps({**json.loads(RUN.to_json()), **change}))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema_version": 1}'])
def test_what_is_no_record_of_a_run_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        Run.from_json(text)


@pytest.mark.parametrize(
    "name", ["ada", "Ada Lovelace", "a/b\\c", "李小龍", "Zoë 🩺", "../../etc", "-rf", "x" * 100]
)
def test_names_of_people_are_accepted_and_become_safe(name: str) -> None:
    assert trainee_name(name) == name
    made = slug(name)
    assert made.isascii()
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert made[0].isalnum()
    assert len(made) <= 35


@pytest.mark.parametrize(
    "name", ["", "   ", "\u200d", "x" * 101, "x" * 300, "a\nb", "a\x00b", "a\u202eb", "\udcff"]
)
def test_names_that_cannot_be_shown_are_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        trainee_name(name)
    caught.value.message.encode()  # can be printed
    assert caught.value.hint


def test_different_names_have_different_slugs() -> None:
    names = ["ada", "Ada", "adä", "a da", "a/da", "李", "王", "x" * 99, "x" * 100]
    assert len({slug(name) for name in names}) == len(names)


def test_one_name_written_two_ways_is_one_trainee() -> None:
    assert trainee_name("Zoe\u0308 \u00a0 Kay ") == trainee_name("Zo\u00eb Kay")
    assert slug("Zoe\u0308") == slug("Zo\u00eb")
    assert slug("Ada Lovelace") == "ada-lovelace-7674021617"  # never changes: runs are found by it
