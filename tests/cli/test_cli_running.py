"""start, status, reset, stop, grade, attempt, demo and doctor, with engine and grader played by fakes."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phi_labs.errors import EngineError, NotGraded, UserError
from phi_labs.grading.grade import Graded
from phi_labs.lifecycle.runs import Started
from phi_labs.model.scorecard import CheckOutcome, CheckStatus, ExpectedCheck, score

if TYPE_CHECKING:
    from tests.cli.conftest import Result, World

Call = Callable[..., "Result"]
BUILT_IN = ("machine-comes-up", "captured-whole", "repaired-already")
TARGETS = ("todays-log", "older-logs", "reviewer-reads", *BUILT_IN)


def graded(world: World, *, passed: bool) -> Graded:
    status = CheckStatus.PASSED if passed else CheckStatus.FAILED
    outcomes = [
        CheckOutcome(name, name, status if name == "todays-log" else CheckStatus.PASSED, "seen")
        for name in TARGETS
    ]
    expected = [ExpectedCheck(name, name) for name in TARGETS[:3]]
    return Graded(score(world.lab, expected, outcomes), 1, Path("/attempts/0001"), {"checks": 0.2})


@pytest.fixture
def verdict(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Decide what the next grading says."""

    def decide(*, passed: bool = True, error: Exception | None = None) -> None:
        def grade(*_: Any, **__: Any) -> Graded:
            if error:
                raise error
            return graded(world, passed=passed)

        monkeypatch.setattr("phi_labs.grading.grade.grade_run", grade)
        monkeypatch.setattr("phi_labs.grading.grade.regrade", grade)

    return decide


# -- grade -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_of_grade_is_the_verdict(
    call: Call, world: World, verdict: Callable[..., None], passed: bool, code: int
) -> None:
    world.save_run()
    verdict(passed=passed)
    said = call("grade", "small")
    assert said.code == code
    assert f"{100 if passed else 40} of 100 points" in said.out
    data = json.loads(call("grade", "small", "--json").out)
    assert (data["passed"], data["attempt"]) == (passed, 1)


def test_what_could_not_be_graded_is_nobodys_zero(
    call: Call, world: World, verdict: Callable[..., None]
) -> None:
    world.save_run()
    verdict(error=NotGraded("the reader failed", "no attempt was counted"))
    said = call("grade", "small", "--json")
    assert (said.code, said.out) == (3, "")
    assert "no attempt was counted" in said.err


def test_an_old_attempt_is_graded_without_a_run(call: Call, verdict: Callable[..., None]) -> None:
    verdict()
    assert call("grade", "small", "--from", "1").code == 0
    assert call("grade", "small", "--from", "0").code == 2


def test_the_hint_pointer_carries_the_price_of_the_next_hint(
    call: Call, world: World, verdict: Callable[..., None]
) -> None:
    world.save_run()
    verdict(passed=False)
    assert "phi-labs hint small todays-log  (free)" in call("grade", "small").out
    call("hint", "small", "todays-log")
    assert "phi-labs hint small todays-log  (costs 10)" in call("grade", "small").out


def test_a_picture_is_saved_beside_the_answer(
    call: Call, world: World, verdict: Callable[..., None], tmp_path: Path
) -> None:
    world.save_run()
    verdict()
    assert call("grade", "small", "--svg", str(tmp_path / "card.svg")).code == 0
    assert (tmp_path / "card.svg").read_text().startswith("<svg")
    assert call("grade", "small", "--svg", str(tmp_path / "no" / "card.svg")).code == 2


# -- start, status, stop -----------------------------------------------------------------------


def test_start_says_what_to_type_next(call: Call, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.save_run()
    monkeypatch.setattr("phi_labs.lifecycle.runs.start_run", lambda *_, **__: Started(run, resumed=False))
    said = call("start", "small")
    assert said.code == 0
    for words in ("small is ready for anna", "phi-labs brief small", "phi-labs grade small", "ssh -F /"):
        assert words in said.out
    named = call("start", "small", "--trainee", "Ana Ruiz")
    assert "phi-labs shell small --trainee 'Ana Ruiz'" in named.out
    data = json.loads(call("start", "small", "--json").out)
    assert (data["lab"], data["ssh"], data["resumed"]) == ("small", ["small"], False)


def test_start_twice_says_that_it_resumes(call: Call, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.save_run()
    monkeypatch.setattr("phi_labs.lifecycle.runs.start_run", lambda *_, **__: Started(run, resumed=True))
    assert "still there, as you left it" in call("start", "small").out


def test_a_missing_organisation_file_is_told(call: Call) -> None:
    assert "no organisation file" in call("start", "small", "--organisation", "/nowhere.yml").err


def test_status_lists_runs_and_those_whose_machine_is_gone(call: Call, world: World) -> None:
    assert "No lab is running" in call("status").out
    world.save_run("anna")
    world.save_run("[bob]")
    world.engine.removed.append("container-of-anna")
    said = call("status")
    assert said.code == 0
    assert "[bob]" in said.out
    assert "anna's small is gone" in said.err
    rows = json.loads(call("status", "--json").out)
    assert [(row["trainee"], row["state"]) for row in rows] == [("[bob]", "ready"), ("anna", "gone")]


def test_stop_removes_one_run(call: Call, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phi_labs.lifecycle.pool.request_spares", lambda *_: None)
    world.save_run("anna")
    world.save_run("bob")
    assert call("stop", "small").code == 0
    assert world.engine.removed == ["container-of-anna"]
    assert [run.trainee for run in world.state.runs()] == ["bob"]
    assert call("stop", "small").code == 2


def test_stop_needs_to_know_what(call: Call, world: World) -> None:
    world.save_run()
    for words in (["stop"], ["stop", "small", "--all"]):
        said = call(*words)
        assert said.code == 2
        assert "you have: small" in said.err
    assert world.engine.removed == []


def test_stop_all_leaves_nothing_but_the_probe(call: Call, world: World) -> None:
    world.save_run("anna")
    world.save_run("bob")
    install = world.state.install
    world.engine.add("probe", kind="probe", install=install)
    world.engine.add("spare", kind="clone", install=install, lab="small")
    world.engine.add("lost", kind="run", install=install, run="f" * 12, lab="gone-lab", trainee="eve")
    world.engine.add("foreign", kind="run", install="other", run="e" * 12, lab="small", trainee="anna")
    said = call("stop", "--all", "--json")
    assert said.code == 0
    assert {(item["trainee"], item["lab"]) for item in json.loads(said.out)} == {
        ("anna", "small"),
        ("bob", "small"),
        ("eve", "gone-lab"),
    }
    left = [item.id for item in world.engine.containers({})]
    assert left == ["probe", "foreign"]
    assert world.state.runs() == []


# -- attempt -----------------------------------------------------------------------------------


def test_attempts_are_listed_with_their_verdict(call: Call) -> None:
    text = " ".join(call("attempt", "small").out.split())
    assert "wrong-live-only fails Older logs stay open." in text
    listed = json.loads(call("attempt", "small", "--json").out)
    assert [(item["name"], item["full_score"]) for item in listed] == [
        ("reference", True),
        ("wrong-live-only", False),
    ]


# -- demo --------------------------------------------------------------------------------------


@pytest.fixture
def played(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A demo whose steps only note that they were taken; grading says missed, then reached."""
    steps: list[str] = []

    def step(name: str, answer: Callable[[], Any]) -> Callable[..., Any]:
        def take(*_: Any, **__: Any) -> Any:
            steps.append(name)
            return answer()

        return take

    parts = {
        "phi_labs.lifecycle.runs.start_run": step("start", lambda: None),
        "phi_labs.authoring.attempts.apply_attempt": step("mend", lambda: ""),
        "phi_labs.lifecycle.runs.stop_run": step("stop", lambda: True),
        "phi_labs.lifecycle.pool.tidy": step("tidy", lambda: None),
        "phi_labs.grading.grade.grade_run": step("grade", lambda: graded(world, passed="mend" in steps)),
    }
    for name, replacement in parts.items():
        monkeypatch.setattr(name, replacement)
    return steps


def test_the_demo_shows_before_and_after_and_cleans_up(call: Call, played: list[str]) -> None:
    said = call("demo", "--lab", "small")
    assert said.code == 0
    assert played == ["stop", "start", "grade", "mend", "grade", "stop", "tidy"]
    assert "graded before: 40 of 100 points" in said.out
    assert "graded after: 100 of 100 points" in said.out
    assert "phi-labs start small" in said.out
    assert "reference" not in said.out + said.err


@pytest.mark.parametrize("error", [EngineError("died"), KeyboardInterrupt(), UserError("half-way")])
def test_the_demo_cleans_up_when_it_fails(
    call: Call, played: list[str], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("phi_labs.authoring.attempts.apply_attempt", failing)
    assert call("demo", "--lab", "small").code != 0
    assert played[-2:] == ["stop", "tidy"]


def test_a_demo_that_misses_full_score_is_our_trouble(
    call: Call, world: World, played: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phi_labs.grading.grade.grade_run", lambda *_, **__: graded(world, passed=False))
    assert call("demo", "--lab", "small").code == 3


# -- doctor ------------------------------------------------------------------------------------


def test_doctor_cleans_what_is_left_and_keeps_runs(call: Call, world: World) -> None:
    world.save_run()
    install = world.state.install
    world.engine.add("probe", kind="probe", install=install)
    world.engine.add("lost", kind="run", install=install, run="f" * 12, lab="small", trainee="eve")
    world.engine.add("foreign", kind="run", install="other", run="e" * 12, lab="small", trainee="anna")
    said = call("doctor", "--clean", "--json")
    assert said.code == 0
    assert json.loads(said.out) == {"removed": ["name-of-probe", "name-of-lost"]}
    assert [item.id for item in world.engine.containers({})] == ["container-of-anna", "foreign"]


def test_doctor_does_not_touch_others_without_a_yes(call: Call, world: World) -> None:
    world.engine.add("foreign", kind="run", install="other")
    assert call("doctor", "--clean", "--other-installations").code == 2
    assert world.engine.removed == []
    assert call("doctor", "--clean", "--other-installations", "--yes").code == 0
    assert world.engine.removed == ["foreign"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_doctor_says_that_the_engine_is_missing_and_how_to_get_one(
    call: Call, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    del world.installation.__dict__["engine"]
    said = call("doctor", "--json")
    gc.collect()  # the SDK leaves the refused socket behind; its warning belongs here
    assert said.code == 3
    findings = {item["topic"]: item for item in json.loads(said.out)}
    assert findings["container engine"]["level"] == "missing"
    assert "DOCKER_HOST=unix:///nonexistent" in findings["container engine"]["fix"]
