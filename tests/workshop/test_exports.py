"""Exports: each format is read back by a reader or a schema that knows nothing of ours."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import junitparser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.workshop.cohorts import cohort, learner, mixed_cohort, record, result
from tests.workshop.foreign_schemas import CTRF, GRADESCOPE
from tests.workshop.junit_reader import properties, read_junit

from phi_labs.errors import UserError
from phi_labs.model.cohort import Adjustment, Cohort
from phi_labs.model.content import content_folder
from phi_labs.model.wording import forbidden_phrases
from phi_labs.workshop.exports import FORMATS, export_cohort, export_files
from phi_labs.workshop.exports.canonical import results_json
from phi_labs.workshop.exports.ctrf import ctrf
from phi_labs.workshop.exports.export import file_name
from phi_labs.workshop.exports.gradebook import gradebook, plain_cell
from phi_labs.workshop.exports.gradescope import gradescope
from phi_labs.workshop.exports.junit import junit
from phi_labs.workshop.exports.writing import write_whole

LABS = ("log-access", "temp-phi")
WITH_NAMES = ("csv", "json", "html")  # formats that are about people
ODD_TEXT = st.one_of(
    st.sampled_from(
        [
            '=HYPERLINK("http://x.example.org";"1")',
            "+1",
            "-2+3",
            "@SUM(A1)",
            "\uff1dcmd",
            'O"Neill, "the; second"',
            "a\nb\r\nc\td",
            "\u202eevil\u2066",
            "<script>alert(1)</script>",
            "]]>&amp;\x00\x0b\ufffe",
            "{{ 7*7 }}{% raw %}",
            "\u0627\u0644\u0639",
        ]
    ),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=40),
)


@pytest.fixture(scope="module")
def mixed() -> Cohort:
    return mixed_cohort()


def valid(schema: Mapping[str, Any], data: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")  # has no type stubs here
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(data)


def our_schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((content_folder() / "docs" / "schema" / "results.json").read_text())
    return loaded


def rows_of(content: bytes) -> list[dict[str, str]]:
    assert content.startswith(b"\xef\xbb\xbf")
    text = content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


# -- gradebook -------------------------------------------------------------------------------


def test_the_gradebook_has_a_row_for_everybody_on_the_roster(mixed: Cohort) -> None:
    rows = rows_of(gradebook(mixed))
    assert [row["name"] for row in rows] == ["alice", "bob", "chen", "dara", "eve", "farid"]
    assert [row["log-access score"] for row in rows] == ["100", "55", "85", "", "", "0"]
    assert [row["total"] for row in rows] == ["195", "55", "85", "0", "0", "0"]
    assert {row["total possible"] for row in rows} == {"200"}
    assert [row["finished"] for row in rows] == ["yes", "no", "yes", "no", "no", "no"]


def test_the_gradebook_tells_an_override_an_exception_and_what_does_not_count(mixed: Cohort) -> None:
    by_name = {row["name"]: row for row in rows_of(gradebook(mixed))}
    assert by_name["chen"]["log-access assurance"] == "overridden"
    assert by_name["chen"]["temp-phi standing"] == "not started, excepted"
    assert (by_name["dara"]["log-access attempts"], by_name["dara"]["log-access counted attempt"]) == (
        "1",
        "",
    )


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1", "\u00a0=1", "\uff1d1", "\uff0b1"]
)
def test_no_cell_of_a_gradebook_is_a_formula(cell: str) -> None:
    assert plain_cell(cell) == f"'{cell}"
    (row,) = rows_of(gradebook(cohort(record(learner(full_name=cell), result("log-access")))))
    assert row["full name"] == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Ana", "a=b", "Ruiz-Ortega", "100", "x@example.org"])
def test_ordinary_cells_stay_as_they_are(cell: str) -> None:
    assert plain_cell(cell) == cell


# -- canonical JSON --------------------------------------------------------------------------


def test_results_fit_their_schema_and_are_stable(mixed: Cohort) -> None:
    text = results_json(mixed)
    data = json.loads(text)
    valid(our_schema(), data)
    assert text == json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert text == results_json(mixed_cohort())
    assert data["summary"] == {"learners": 6, "finished": 2, "unfinished": 3, "not_started": 1}


def test_failed_attempts_stay_in_the_results(mixed: Cohort) -> None:
    alice = json.loads(results_json(mixed))["learners"][0]
    log_access = alice["labs"][0]
    assert [item["score"] for item in log_access["attempts"]] == [55, 40, 100]
    assert log_access["counted"] == log_access["attempts"][2]["event"]
    assert log_access["hints"] == {"old-logs": 2}
    locked_out = log_access["attempts"][1]
    assert locked_out["earned"] - locked_out["withheld"] == 40
    assert [item["id"] for item in locked_out["guards"] if not item["held"]] == ["reviewer-still-reads"]
    statuses = {entry["status"] for item in locked_out["objectives"] for entry in item["citations"]}
    assert statuses <= {"required", "addressable", "standard", "proposed"}


def test_what_nobody_recorded_is_null(mixed: Cohort) -> None:
    eve = json.loads(results_json(mixed))["learners"][4]
    assert (eve["role"], eve["manager"], eve["labs"][0]["score"]) == (None, None, None)


def test_the_schema_refuses_another_version_and_what_lacks_a_part(mixed: Cohort) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    data = json.loads(results_json(mixed))
    with pytest.raises(jsonschema.ValidationError):
        valid(our_schema(), {**data, "version": 2})
    with pytest.raises(jsonschema.ValidationError):
        valid(our_schema(), {key: value for key, value in data.items() if key != "summary"})


def test_a_reader_of_today_accepts_the_keys_of_tomorrow(mixed: Cohort) -> None:
    valid(our_schema(), {**json.loads(results_json(mixed)), "also": 1})


# -- formats of tests ------------------------------------------------------------------------


def test_junit_has_a_case_for_each_objective_and_a_skipped_one_where_nothing_counts(mixed: Cohort) -> None:
    cases = read_junit(junit(mixed))
    alice = [case for case in cases if case.suite == "log-access, alice"]
    assert [case.outcome for case in alice] == ["passed"] * 6
    bob = {case.name.partition(":")[0]: case for case in cases if case.suite == "log-access, bob"}
    assert [case.outcome for case in bob.values()].count("failure") == 3
    assert "<7 files> can be read by 'everybody' & more" in bob["old-logs"].text
    (eve,) = [case for case in cases if case.suite == "log-access, eve"]
    assert (eve.outcome, eve.message) == ("skipped", "not attempted")
    (dara,) = [case for case in cases if case.suite == "log-access, dara"]
    assert dara.message == "no attempt counts: all of them were late or practice"


def test_a_reader_of_others_finds_the_same_cases_in_junit(mixed: Cohort) -> None:
    words = {junitparser.Failure: "failure", junitparser.Skipped: "skipped"}
    suites = junitparser.JUnitXml.fromstring(junit(mixed).encode())
    found = [
        (suite.name, case.name, case.classname, words[type(case.result[0])] if case.result else "passed")
        for suite in suites
        for case in suite
    ]
    ours = read_junit(junit(mixed))
    assert found == [(case.suite, case.name, case.classname, case.outcome) for case in ours]
    assert suites.tests == len(ours)
    assert suites.failures == sum(case.outcome == "failure" for case in ours) > 0


def test_withheld_points_are_a_failure_that_names_the_guard(mixed: Cohort) -> None:
    cases = [case for case in read_junit(junit(mixed)) if case.suite == "log-access, chen"]
    withheld = [case for case in cases if case.outcome == "failure"]
    assert withheld
    assert all("points withheld: " in case.message for case in withheld)


def test_junit_tells_what_a_reader_of_scores_must_know(mixed: Cohort) -> None:
    told = properties(junit(mixed))
    assert told[4] == {
        "standing": "passed",
        "score": "85 of 100",
        "attempt": "1",
        "assurance": "supervised",
        "overridden": "a person set the score",
    }
    assert told[2]["rescue"] == "the rescue console was used"


def published(name: str) -> dict[str, Any]:
    """A schema as its owner publishes it; the README beside it holds the sum it was taken with."""
    folder = Path(__file__).parent / "published"
    text = (folder / name).read_bytes()
    assert f"`{name}`" in (folder / "README.md").read_text()
    assert hashlib.sha256(text).hexdigest() in (folder / "README.md").read_text()
    schema: dict[str, Any] = json.loads(text)
    return schema


def test_ctrf_fits_its_schema_and_its_summary_its_tests(mixed: Cohort) -> None:
    report = json.loads(ctrf(mixed))
    valid(CTRF, report)  # the stricter of the two: no key but those of the specification
    valid(published("ctrf-schema-0.0.json"), report)
    summary, tests = report["results"]["summary"], report["results"]["tests"]
    assert summary["tests"] == len(tests) == len(read_junit(junit(mixed)))
    for status in ("passed", "failed", "skipped"):
        assert summary[status] == sum(test["status"] == status for test in tests)
    assert summary["start"] <= summary["stop"]
    assert tests[0]["suite"] == ["week-10", "log-access", "alice"]


def test_gradescope_fits_its_schema_for_everybody(mixed: Cohort) -> None:
    for item in mixed.records:
        results = json.loads(gradescope(mixed, item))
        valid(GRADESCOPE, results)
        assert sum(test["max_score"] for test in results["tests"]) == 200
    alice = json.loads(gradescope(mixed, mixed.records[0]))
    assert alice["score"] == sum(test["score"] for test in alice["tests"]) == 195
    eve = json.loads(gradescope(mixed, mixed.records[4]))
    assert (eve["score"], {test["status"] for test in eve["tests"]}) == (0, {"failed"})


def test_an_override_counts_in_gradescope(mixed: Cohort) -> None:
    chen = json.loads(gradescope(mixed, mixed.records[2]))
    assert chen["score"] == 85
    assert "score set by a person" in chen["output"]


# -- what leaves -----------------------------------------------------------------------------


def test_no_export_holds_a_public_key(mixed: Cohort) -> None:
    for kind in FORMATS:
        for content in export_files(mixed, kind).values():
            text = content if isinstance(content, str) else content.decode()
            assert "SECRETNOT" not in text


def test_formats_of_tests_hold_login_names_only(mixed: Cohort) -> None:
    for kind in set(FORMATS) - set(WITH_NAMES):
        for content in export_files(mixed, kind).values():
            text = content if isinstance(content, str) else content.decode()
            assert "Alice Example" not in text
            assert "@mercyvalley" not in text
            assert "Ana Ruiz" not in text


def test_exports_say_what_they_are_and_claim_nothing(mixed: Cohort) -> None:
    for kind in FORMATS:
        for content in export_files(mixed, kind).values():
            text = content if isinstance(content, str) else content.decode()
            assert forbidden_phrases(text) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_workshop_that_nobody_came_to_can_be_exported(kind: str, tmp_path: Path) -> None:
    nobody = cohort(record(learner(), result("log-access")), closed_at="", entity="")
    empty = cohort()
    assert export_cohort(nobody, kind, tmp_path / "nobody")
    export_cohort(empty, kind, tmp_path / "empty")


def odd_cohort(text: str, base: Cohort) -> Cohort:
    """The cohort with a text wherever a person may have typed one."""
    adjustment = Adjustment(7, "appeal", base.opened_at, text, text, "log-access")
    person = replace(
        base.records[0].learner, full_name=text, role=text, manager=text, employment=text, name=text or "x"
    )
    odd = replace(base.records[0], learner=person, adjustments=(adjustment,))
    return replace(base, records=(odd, *base.records[1:]), title=text, trainer=text)


@given(ODD_TEXT)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_leaves_every_format_readable(mixed: Cohort, text: str) -> None:
    mixed = replace(mixed, records=mixed.records[:1])
    odd = odd_cohort(text, mixed)
    row = rows_of(gradebook(odd))[0]
    assert row["full name"] == plain_cell(text)
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row.values())
    data = json.loads(results_json(odd))
    valid(our_schema(), data)
    assert data["learners"][0]["full_name"] == text
    assert len(read_junit(junit(odd))) == len(read_junit(junit(mixed)))
    valid(CTRF, json.loads(ctrf(odd)))
    valid(published("ctrf-schema-0.0.json"), json.loads(ctrf(odd)))
    valid(GRADESCOPE, json.loads(gradescope(odd, odd.records[0])))


# -- writing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_files_are_for_nobody_elses_eyes(mixed: Cohort, tmp_path: Path, kind: str) -> None:
    before = os.umask(0)
    try:
        written = export_cohort(mixed, kind, tmp_path / "out" / "deep")
    finally:
        os.umask(before)
    assert written
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    folders = {path for path in (tmp_path / "out" / "deep").rglob("*") if path.is_dir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} <= {0o700}
    assert set((tmp_path / "out").rglob("*")) - folders - {tmp_path / "out" / "deep"} == set(written)


def test_an_export_replaces_an_earlier_one(mixed: Cohort, tmp_path: Path) -> None:
    (tmp_path / "gradebook.csv").write_text("old")
    (written,) = export_cohort(mixed, "csv", tmp_path)
    assert written.read_bytes() == gradebook(mixed)


def test_when_one_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match=r"b: cannot be written: a folder stands in its place"):
        write_whole(tmp_path, {"a": "new", "b": "new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_whole(tmp_path, {"a": "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_that_is_a_file_is_told(mixed: Cohort, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export_cohort(mixed, "csv", tmp_path / "out")


def test_an_unknown_format_names_the_nearest(mixed: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export_cohort(mixed, "jnuit", tmp_path)
    assert caught.value.hint == "did you mean junit?"


@given(ODD_TEXT)
def test_a_learners_file_stays_in_its_folder(name: str) -> None:
    made = file_name(name)
    assert Path(made).name == made
    assert not made.startswith((".", "-"))
    assert len(made) <= 40


def test_two_learners_never_share_a_file() -> None:
    names = ["alice", "Alice", "ALICE", "alice ", "../alice", "al/ice"]
    assert len({file_name(name) for name in names}) == len(names)
