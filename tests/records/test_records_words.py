"""Events and training records as people read them, and head files."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.records.samples import OPENED, graded

from phi_labs.errors import UserError
from phi_labs.model.wording import forbidden_phrases
from phi_labs.records.event import Event, Head, Kind
from phi_labs.records.headfile import HeadFile, read_head_file, write_head_file
from phi_labs.records.store import CLOCK_SET_BACK, Records
from phi_labs.records.training import NOTHING, retain_until, training_records
from phi_labs.records.words import in_words

DATA: dict[Kind, tuple[dict[str, Any], str]] = {
    Kind.WORKSHOP_OPENED: (
        OPENED,
        "workshop opened by sam: scenario ce-it, CE, labs log-access, temp-phi; 70 points pass, "
        "the last attempt counts",
    ),
    Kind.ENROLLED: ({"full_name": "Ana", "role": "", "public_key": "ssh"}, "enrolled: full_name Ana"),
    Kind.CHANGED: ({"role": "lead"}, "changed: role lead"),
    Kind.LAB_ASSIGNED: (
        {"lab": "x", "due_at": "ten", "trigger": "hire"},
        "x assigned, due ten, because of hire",
    ),
    Kind.LAB_STARTED: ({"lab": "x", "retry": 2}, "x started, retry 2"),
    Kind.HINT_TAKEN: (
        {"lab": "x", "objective": "o", "number": 2, "cost": 5},
        "x: hint 2 on o taken, 5 points",
    ),
    Kind.RESCUE_USED: ({"lab": "x"}, "x: rescue console used"),
    Kind.GRADED: (
        graded(3, 40, late=True, regrade_of=1),
        "log-access graded, attempt 3: 40 points, supervised, late, attempt 1 graded again",
    ),
    Kind.NOT_GRADED: (
        {"lab": "x", "reason": "no room"},
        "x could not be graded: no room; no attempt counted",
    ),
    Kind.EXTENDED: ({"lab": "", "minutes": 20, "until": ""}, "every lab extended by 20 minutes"),
    Kind.RESET: ({"lab": "x"}, "x reset"),
    Kind.MESSAGE_SENT: ({"text": "hello"}, "message: hello"),
    Kind.SESSION: ({"what": "first-contact", "lab": "x"}, "session: first-contact, x"),
    Kind.APPEAL: ({"lab": "x", "event": 4, "reason": "why"}, "appeal against event 4 about x: why"),
    Kind.OVERRIDE: ({"lab": "x", "score": 80, "reason": "why"}, "score of x set to 80: why"),
    Kind.EXCEPTION: (
        {"lab": "", "reason": "leave", "approver": "pat"},
        "exempted from every lab, approved by pat: leave",
    ),
    Kind.ATTESTATION: ({"statement": "seen", "reason": "was there"}, "attested: seen (was there)"),
    Kind.LEGAL_HOLD: ({"held": True, "reason": "case 1"}, "legal hold placed: case 1"),
    Kind.WORKSHOP_CLOSED: ({}, "workshop closed"),
    Kind.IMAGES_RELEASED: ({}, "images released: kept submissions can no longer be graded again"),
}


def event(kind: str, data: dict[str, Any], at: str = "2026-03-02T08:00:00.000000+00:00") -> Event:
    return Event(1, at, kind, "march", "ana", "sam", data, "", "")


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_sentence(kind: Kind) -> None:
    data, said = DATA[kind]
    assert in_words(event(kind, data)) == said


def test_what_a_newer_version_wrote_is_shown_as_it_is() -> None:
    assert in_words(event("lab-dreamt-of", {"lab": "x"})) == "lab-dreamt-of: {'lab': 'x'}"
    assert in_words(event(Kind.RESET, {"labs": ["x"]})) == "reset: {'labs': ['x']}"


def test_a_clock_that_was_set_back_is_said() -> None:
    said = in_words(event(Kind.WORKSHOP_CLOSED, {CLOCK_SET_BACK: "2025-01-01"}))
    assert said == "workshop closed (the clock had been set back, it said 2025-01-01)"


def test_every_kind_is_documented_with_its_data() -> None:
    from phi_labs.records.event import NEEDED  # noqa: PLC0415 - of this test only

    page = (Path(__file__).resolve().parents[2] / "docs" / "records.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `")]
    rows = {name: line for line in table for name in line.split("|")[1].replace("`", "").strip().split(", ")}
    for kind in Kind:
        assert kind in rows, f"docs/records.md: {kind} undocumented"
        missing = [word for word in NEEDED.get(kind, ()) if f"`{word}`" not in rows[kind]]
        assert not missing, f"docs/records.md, {kind}: {missing} undocumented"


# -- training records --------------------------------------------------------------------------


@pytest.fixture
def told(records: Records) -> dict[str, dict[str, str]]:
    """Section -> label -> text, of ana's record."""
    common: dict[str, Any] = {"workshop": "march", "actor": "sam"}
    who = {
        "full_name": "Ana Ruíz",
        "role": "sysadmin",
        "entity": "ce",
        "manager": "mia",
        "hired": "2026-02-01",
    }
    records.append(Kind.WORKSHOP_OPENED, **common, data={**OPENED, "trigger": "annual"})
    records.append(Kind.ENROLLED, **common, subject="ana", data=who)
    records.append(
        Kind.LAB_ASSIGNED, **common, subject="ana", data={"lab": "log-access", "due_at": "2026-03-09"}
    )
    more = {
        "submission": "5ub", "seed": "5eed", "lab_version": "1ab", "checker_version": "0.1.0",
        "policy": "IT-07", "images": {"ehr1": "sha256:1"},
    }  # fmt: skip
    records.append(Kind.GRADED, **common, subject="ana", data=graded(1, 40, **more))
    records.append(Kind.GRADED, **common, subject="ana", data=graded(2, 85, **more))
    records.append(Kind.ATTESTATION, **common, subject="ana", data={"statement": "I was there"})
    records.append(Kind.LEGAL_HOLD, **common, subject="ana", data={"held": True, "reason": "case 1"})
    (record,) = training_records(records, "ana")
    return {section.title: dict(section.lines) for section in record.sections}


def test_a_training_record_says_who_why_what_and_who_vouches(told: dict[str, dict[str, str]]) -> None:
    who, why, lab = told["Who"], told["Why and how"], told["Lab log-access"]
    assert (who["name"], who["manager"], who["entity"]) == ("Ana Ruíz", "mia", "covered entity")
    assert who["employment"] == NOTHING
    assert (why["trigger"], why["pass mark"]) == ("annual", "70 points")
    assert lab["score that counts"] == "85 of 100, passed (attempt 2)"
    assert lab["attempt 1"].startswith("40 points, supervised, 2026-03-02T09:00:00+00:00")
    assert lab["  objectives"] == "got 85/85, missed 0/15"
    for part in (
        "seed 5eed",
        "lab version 1ab",
        "checker 0.1.0",
        "policy IT-07",
        "submission 5ub",
        "sha256:1",
    ):
        assert part in lab["  graded with"]
    assert lab["citations"] == "45 CFR 164.312(b) Audit controls (standard)"
    assert told["Lab temp-phi"]["attempts"] == "none"
    assert told["Assurance"]["attestation"].startswith("I was there (by sam")
    assert told["Record"]["legal hold"].endswith("case 1")


def test_a_training_record_is_evidence_and_claims_no_more(records: Records, told: dict[str, Any]) -> None:
    text = json.dumps([record.to_data() for record in training_records(records, "ana")])
    assert "supports evidence of training" in text
    assert forbidden_phrases(text) == []
    assert "certif" not in text.lower()
    assert "compliant" not in text.lower()


def test_an_unknown_learner_is_told_with_the_nearest(records: Records, told: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no learner 'anna'") as caught:
        training_records(records, "anna")
    assert "ana" in caught.value.hint


def test_records_are_kept_six_years_from_the_last_event() -> None:
    days = ("2024-02-29", "2023-02-28", "2026-03-02")
    kept = [retain_until([event("reset", {}, f"{day}T08:00:00+00:00")]) for day in days]
    assert kept == ["2030-03-01", "2029-02-28", "2032-03-02"]
    assert retain_until([]) == ""


# -- head files --------------------------------------------------------------------------------

HEAD = HeadFile("ab" * 32, 7, "2026-03-02T08:00:00+00:00", "march", "0a1b2c3d")


def test_a_head_file_is_read_back_and_is_the_owner_s_only(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    for _ in range(2):
        write_head_file(path, HEAD)
    assert read_head_file(path) == HEAD
    assert HEAD.head == Head("ab" * 32, 7)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["head.json"]


def test_a_head_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "head.json"
    write_head_file(path, HEAD)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_head_file(path, HeadFile("cd" * 32, 8, "", "", ""))
    assert read_head_file(path) == HEAD
    assert [file.name for file in tmp_path.iterdir()] == ["head.json"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"hash": "x", "count": 1, "time": "", "workshop": "", "install": ""}',
     '{"hash": 1, "count": 1, "time": "", "workshop": "", "install": ""}',
     HEAD.to_json().replace("7", "true"), HEAD.to_json().replace("7", "-7"), HEAD.to_json() * 2],
)  # fmt: skip
def test_what_is_no_head_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(text)
    with pytest.raises(UserError, match="no head file"):
        read_head_file(path)


def test_a_head_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_head_file(tmp_path / "head.json")
