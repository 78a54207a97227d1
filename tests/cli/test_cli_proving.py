"""verify without machines, and new: what authors type, and what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phi_labs.authoring import verify as proving
from phi_labs.authoring.verify import Job, Matrix, Row

if TYPE_CHECKING:
    from tests.cli.conftest import Result, World

Call = Callable[..., "Result"]


def test_new_writes_a_lab_that_lint_finds_nothing_against(call: Call, world: World) -> None:
    said = call("new", "fax-archive", "--title", "Close the fax archive")
    assert said.code == 0
    assert "Next: phi-labs verify fax-archive" in said.out
    assert (world.content / "labs" / "fax-archive" / "lab.yml").is_file()
    said = call("verify", "fax-archive", "--lint-only")
    assert (said.code, said.out) == (0, "lint of fax-archive: nothing found\n")
    assert "Close the fax archive" in call("labs").out


def test_new_says_in_json_where_the_lab_is(call: Call, world: World) -> None:
    said = call("new", "fax-archive", "--json")
    assert json.loads(said.out) == {
        "lab": "fax-archive",
        "folder": str(world.content / "labs" / "fax-archive"),
    }


@pytest.mark.parametrize("name", ["small", "Fax", "../fax"])
def test_new_refuses_names_that_are_taken_or_none(call: Call, name: str) -> None:
    said = call("new", name)
    assert said.code == 2
    assert said.out == ""


def test_lint_tells_file_line_and_how_to_mend(
    call: Call, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.content)
    said = call("verify", "small", "--lint-only")
    assert said.code == 1
    assert "error  labs/small/checks  no-checks" in said.out
    assert "-> write checks/test_<id>.py" in said.out
    assert "errors" in said.out.splitlines()[-1]


def test_lint_is_there_as_data(call: Call) -> None:
    found = json.loads(call("verify", "small", "--lint-only", "--json").out)
    assert found["ok"] is False
    assert {"lab", "file", "line", "severity", "rule", "what", "mend"} == set(found["lint"][0])


def test_errors_of_lint_end_verify_before_any_machine(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "verify", pytest.fail)
    said = call("verify", "small")
    assert said.code == 1
    assert "no machine was started" in said.err


def row(attempt: str, *, ok: bool = True, seed: int = 0) -> Row:
    return Row(
        Job("small", attempt, seed, "ce"), ("todays-log",), (), ("todays-log",) if ok else (), seconds=2.0
    )


LEFT = Job("small", "wrong-live-only", 0, "ce")
EXACT = Matrix((row("reference"), row("untouched")), 4.0)
UNDONE = Matrix((row("reference"),), 4.0, (LEFT,))
DIFFERS = Matrix((row("reference", ok=False),), 4.0, (LEFT,))


@pytest.mark.parametrize(("matrix", "code"), [(EXACT, 0), (UNDONE, 3), (DIFFERS, 1), (Matrix((), 0.1), 1)])
def test_what_is_not_proven_is_not_ok(
    call: Call, world: World, monkeypatch: pytest.MonkeyPatch, matrix: Matrix, code: int
) -> None:
    given = {}

    def prove(*_given: object, **named: object) -> Matrix:
        given.update(named)
        return matrix

    monkeypatch.setattr(proving, "verify", prove)
    # --only: authors try attempts while lint still has errors.
    said = call("verify", "small", "--only", "reference", "--budget", "0.5", "--plan", "full")
    assert said.code == code
    assert (given["budget"], given["plan"]) == (30.0, "full")
    kept = json.loads((world.state.root / "verify" / "newest.json").read_text())
    assert kept["ok"] is (code == 0)
    assert kept["rows"] == json.loads(json.dumps(matrix.to_data()["rows"]))
    if matrix.not_done:
        assert "1 not done" in said.out
        assert kept["not_done"][0]["attempt"] == "wrong-live-only"


def test_the_matrix_goes_where_it_is_told_to(
    call: Call, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(proving, "verify", lambda *_given, **_named: EXACT)
    output = tmp_path / "matrix.json"
    assert call("verify", "small", "--only", "reference", "--output", str(output)).code == 0
    kept = json.loads(output.read_text())
    assert kept["labs"][0] == {
        "lab": "small",
        "right": 1,
        "wrong": 0,
        "seeds": 1,
        "exact": 2,
        "tried": 2,
        "not_done": 0,
        "seconds_per_job": 2.0,
    }
    assert not (world.state.root / "verify").exists()


def test_a_covering_matrix_says_what_it_is(call: Call, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}

    def prove(*_given: object, **named: Any) -> Matrix:
        given.update(named)
        rows = (row("reference"), row("reference", seed=1))
        return Matrix(rows, 4.0, plan=named["plan"], turn=named["turn"])

    monkeypatch.setattr(proving, "verify", prove)
    said = call("verify", "small", "--only", "reference", "--turn", "2")
    assert (said.code, given["plan"], given["turn"]) == (0, "covering", 2)
    assert "all 2 verdicts exact, wrong ways on one seed each" in said.out
    kept = json.loads((world.state.root / "verify" / "newest.json").read_text())
    assert (kept["plan"], kept["turn"]) == ("covering", 2)


@pytest.mark.parametrize("more", [(), ("--mutate",)])
def test_an_attempt_that_is_not_there_proves_nothing(call: Call, more: tuple[str, ...]) -> None:
    said = call("verify", "small", "--only", "wrong-life-only", *more)
    assert said.code == 2
    assert "did you mean wrong-live-only" in said.err
