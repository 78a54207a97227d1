"""records: verify, head, show, learner, export-events, and what people decide afterwards."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.records.samples import OPENED, graded

from phi_labs.__main__ import main
from phi_labs.model.wording import forbidden_phrases
from phi_labs.records.event import Kind
from phi_labs.records.store import Records

if TYPE_CHECKING:
    from tests.cli.conftest import Result, World

Call = Callable[..., "Result"]


@pytest.fixture
def path(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The records of a workshop in the state directory: ana was graded once, ben did nothing."""
    monkeypatch.delenv("PHI_LABS_RECORDS", raising=False)
    monkeypatch.setenv("LOGNAME", "sam")
    path = world.state.root / "records.db"
    with Records(f"sqlite:///{path}") as records:
        add(records, Kind.WORKSHOP_OPENED, **OPENED)
        add(records, Kind.ENROLLED, "ana", full_name="Ana Ruíz")
        add(records, Kind.ENROLLED, "ben")
        add(records, Kind.GRADED, "ana", **graded(1, 40))
    return path


def add(records: Records, kind: Kind, subject: str = "", /, workshop: str = "march", **data: Any) -> None:
    records.append(kind, workshop=workshop, actor="trainer", subject=subject, data=data)


def decided(path: Path) -> list[tuple[str, str, str, str, dict[str, Any]]]:
    """Events beyond the first four."""
    with Records(f"sqlite:///{path}", read_only=True) as records:
        return [
            (event.kind, event.workshop, event.subject, event.actor, dict(event.data))
            for event in records.events(after=4)
        ]


# -- reading -----------------------------------------------------------------------------------


def test_the_group_alone_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["records"])
    said = capsys.readouterr()
    assert code == 0
    for name in ("verify", "head", "show", "learner", "export-events", "appeal", "override", "attest"):
        assert name in said.out


def test_intact_records_verify_with_and_without_a_head(call: Call, path: Path, tmp_path: Path) -> None:
    said = call("records", "verify")
    assert (said.code, said.out[:32]) == (0, "4 events, each as it was written")
    assert "without --head FILE" in said.err
    head = tmp_path / "head.json"
    made = call("records", "head", "--output", str(head), "--workshop", "march", "--json")
    assert json.loads(made.out) == json.loads(head.read_text())
    assert (json.loads(made.out)["count"], json.loads(made.out)["workshop"]) == (4, "march")
    said = call("records", "verify", "--head", str(head))
    assert (said.code, said.err) == (0, "")


def test_problems_are_told_each_in_a_line_with_exit_code_1(call: Call, path: Path, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    call("records", "head", "--output", str(head))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER phi_labs_events_no_delete")
        connection.execute("DELETE FROM phi_labs_events WHERE number = 4")
    said = call("records", "verify", "--head", str(head))
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0].startswith("the trigger phi_labs_events_no_delete is gone")
    assert "the log ends at event 3, the head file counts 4: 1 were cut off" in said.out
    told = json.loads(call("records", "verify", "--head", str(head), "--json").out)
    assert (told["intact"], told["events"], len(told["problems"])) == (False, 3, 2)


def test_a_damaged_file_is_the_records_trouble(call: Call, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])
    said = call("records", "show")
    assert said.code == 3
    assert "damaged" in said.err
    assert "docs/records.md" in said.err


@pytest.mark.parametrize("words", ["verify", "head", "show", "learner ana", "export-events"])
def test_where_there_are_no_records_reading_makes_none(call: Call, world: World, words: str) -> None:
    said = call("records", *words.split())
    assert said.code == 2
    assert "there are no records" in said.err
    assert not (world.state.root / "records.db").exists()


def test_a_head_file_that_is_none_is_refused(call: Call, path: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    said = call("records", "verify", "--head", str(tmp_path / "x"))
    assert said.code == 2
    assert "no head file" in said.err


def test_events_are_shown_in_words(call: Call, path: Path) -> None:
    said = call("records", "show")
    assert said.code == 0
    lines = said.out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("1  20")
    assert "log-access graded, attempt 1: 40 points, supervised  [trainer]" in lines[3]
    assert [line[:1] for line in call("records", "show", "--learner", "ana").out.splitlines()] == ["2", "4"]
    assert "no such events" in call("records", "show", "--workshop", "april").err
    events = json.loads(call("records", "show", "--learner", "ana", "--json").out)
    assert events[1]["data"]["scorecard"]["score"] == 40


def test_a_message_cannot_command_the_terminal(call: Call, path: Path) -> None:
    with Records(f"sqlite:///{path}") as records:
        add(records, Kind.MESSAGE_SENT, text="[bold]\x1b[2J\nsecond line")
    said = call("records", "show")
    assert "message: [bold]?[2J second line" in said.out
    assert "\x1b" not in said.out


def test_a_training_record_is_shown_in_words(call: Call, path: Path) -> None:
    said = call("records", "learner", "ana")
    assert said.code == 0
    assert "Training record of ana, workshop march" in said.out
    assert "supports evidence of training" in said.out
    assert "score that counts: 40 of 100, not passed (attempt 1)" in said.out
    assert forbidden_phrases(said.out) == []
    (record,) = json.loads(call("records", "learner", "ana", "--workshop", "march", "--json").out)
    assert ["name", "Ana Ruíz"] in record["sections"][0]["lines"]
    said = call("records", "learner", "anna")
    assert (said.code, said.out) == (2, "")
    assert "did you mean ana?" in said.err


def test_the_log_is_exported_as_lines_of_json(call: Call, path: Path, tmp_path: Path) -> None:
    said = call("records", "export-events")
    numbers = [json.loads(line)["number"] for line in said.out.splitlines()]
    assert (said.code, numbers) == (0, [1, 2, 3, 4])
    done = call("records", "export-events", "--output", str(tmp_path / "events.jsonl"))
    assert "4 events written" in done.err
    assert (tmp_path / "events.jsonl").read_text() == said.out


def test_the_environment_names_other_records(
    call: Call, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with Records(other) as records:
        add(records, Kind.WORKSHOP_CLOSED, workshop="april")
    monkeypatch.setenv("PHI_LABS_RECORDS", other)
    assert "april" in call("records", "show").out
    monkeypatch.setenv("PHI_LABS_RECORDS", "mysql://x")
    assert call("records", "show").code == 2


# -- adding ------------------------------------------------------------------------------------


def test_an_override_is_an_event_with_who_and_why(call: Call, path: Path) -> None:
    said = call(
        "records", "override", "ana", "--lab", "log-access", "--score", "80", "--event", "4",
        "--reason", " appeal upheld ", "--by", "Privacy Officer",
    )  # fmt: skip
    assert said.code == 0
    assert said.out.startswith("event 5, ana in march: score of log-access set to 80: appeal upheld")
    assert said.out.endswith("(by Privacy Officer)\n")
    told = {"lab": "log-access", "event": 4, "score": 80, "reason": "appeal upheld"}
    assert decided(path) == [("override", "march", "ana", "Privacy Officer", told)]
    assert "80 of 100, passed (set by override)" in call("records", "learner", "ana").out
    assert call("records", "override", "ana", "--lab", "log-access", "--lift", "--reason", "no").code == 0
    assert "40 of 100, not passed (attempt 1)" in call("records", "learner", "ana").out
    assert call("records", "verify").code == 0


@pytest.mark.parametrize(
    ("words", "kind", "data"),
    [
        ("appeal ana --lab log-access", "appeal", {"lab": "log-access", "event": 0}),
        ("exception ben --approver pat", "exception", {"lab": "", "approver": "pat"}),
        ("exception ben --approver pat --lab temp-phi", "exception", {"lab": "temp-phi", "approver": "pat"}),
        ("attest ana --statement seen", "attestation", {"statement": "seen"}),
        ("legal-hold ana", "legal-hold", {"held": True}),
        ("legal-hold ana --lift", "legal-hold", {"held": False}),
    ],
)
def test_each_decision_is_an_event_of_its_own(
    call: Call, path: Path, words: str, kind: str, data: dict[str, Any]
) -> None:
    said = call("records", *words.split(), "--reason", "because", "--json")
    assert said.code == 0
    learner = words.split()[1]
    assert decided(path) == [(kind, "march", learner, "sam", {**data, "reason": "because"})]
    assert json.loads(said.out)["number"] == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("appeal ana --lab log-access", "missing option '--reason'"),
        ("appeal anna --lab log-access --reason x", "did you mean ana?"),
        ("appeal ana --lab log-acces --reason x", "did you mean log-access?"),
        ("appeal ana --lab log-access --event 2 --reason x", "event 2 is no grading of log-access"),
        ("appeal ana --lab log-access --workshop april --reason x", "not enrolled in workshop april"),
        ("override ana --lab log-access --score 101 --reason x", "101 is no score"),
        ("override ana --lab log-access --score -1 --reason x", "-1 is no score"),
        ("override ana --lab log-access --reason x", "either a score or --lift"),
        ("override ana --lab log-access --score 5 --lift --reason x", "either a score or --lift"),
        ("exception ana --reason x", "missing option '--approver'"),
        ("attest ana --reason x", "missing option '--statement'"),
        ("legal-hold ana --reason _", "--reason needs a text"),
        ("legal-hold ana --reason x --by _", "--by needs a text"),
    ],
)
def test_a_decision_that_is_not_clear_is_not_recorded(call: Call, path: Path, words: str, said: str) -> None:
    told = call("records", *(" " if word == "_" else word for word in words.split()))
    assert told.code == 2
    assert said in told.err
    assert decided(path) == []


def test_a_learner_of_two_workshops_needs_a_name_for_one(call: Call, path: Path) -> None:
    with Records(f"sqlite:///{path}") as records:
        add(records, Kind.WORKSHOP_OPENED, workshop="april", **OPENED)
        add(records, Kind.ENROLLED, "ana", workshop="april")
    said = call("records", "legal-hold", "ana", "--reason", "case 1")
    assert said.code == 2
    assert "ana is in march, april" in said.err
    assert call("records", "legal-hold", "ana", "--reason", "case 1", "--workshop", "april").code == 0
    assert "Training record of ana, workshop april" in call("records", "learner", "ana").out


def test_deciding_does_not_begin_records(call: Call, world: World) -> None:
    said = call("records", "legal-hold", "ana", "--reason", "case 1")
    assert said.code == 2
    assert not (world.state.root / "records.db").exists()


# -- letting go of images -----------------------------------------------------------------------


def test_release_asks_and_is_refused_while_the_workshop_is_open(call: Call, path: Path) -> None:
    words = ("records", "release", "march", "--reason", "no appeals")
    assert "add --yes" in call(*words).err
    said = call(*words, "--yes")
    assert said.code == 2
    assert "march is open" in said.err
    assert decided(path) == []


def test_release_where_there_are_no_records_begins_none(call: Call, world: World) -> None:
    assert call("records", "release", "march", "--reason", "x", "--yes").code == 2
    assert not (world.state.root / "records.db").exists()
