"""Printable records: whole HTML, nothing from elsewhere, nothing smuggled in, all that is known."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.workshop.cohorts import cohort, learner, mixed_cohort, record, result
from tests.workshop.test_exports import ODD_TEXT, odd_cohort

from phi_labs.model.cohort import Cohort
from phi_labs.workshop.exports import facts
from phi_labs.workshop.exports.chart import HEIGHT, POINTS_PER_LINE, WIDTH, Line, Point, score_chart, thinned
from phi_labs.workshop.exports.cohort_page import cohort_page
from phi_labs.workshop.exports.learner_page import learner_page

VOID = {"meta", "br"}
REFERENCES = {"src", "href", "action", "data", "srcset", "poster", "xlink:href", "background"}


class Reader(HTMLParser):
    """Balanced tags, no scripts, no references, no handlers; gathers the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {name for name, _ in attrs} & REFERENCES
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> str:
    """The page's text on one line."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert not reader.seen & {"script", "link", "img", "iframe", "object", "base", "form"}
    return " ".join(" ".join(reader.text).split())


@pytest.fixture(scope="module")
def mixed() -> Cohort:
    return mixed_cohort()


def test_a_learners_record_holds_what_a_training_record_must(mixed: Cohort) -> None:
    text = read(learner_page(mixed, mixed.records[0]))
    counted = mixed.records[0].results[0].counted
    assert counted
    for wanted in (
        "Alice Example", "alice", "System administrator", "a covered entity", "employee", "Ana Ruiz",
        "2024-02-29", "2024-03-01", "new hire", "2026-03-02 11:00", "IT-07", counted.lab_version, "0.1.0",
        "sha256:abab", counted.seed, counted.submission, "2026-03-02 10:06", "100 of 100", "95 of 100",
        "pass mark 80 of 100", "old-logs: 2", "supervised", "Tova Trainer", "watched the whole session",
        "hands-on lab", "45 CFR 164.312(a)(1) Access control (standard)", "(addressable)", "164.530(j)",
        "Retain at least until 2032-03-02", "412 events, head f0f0", "supports evidence of training",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "not recorded" in text  # the change of role


def test_failed_attempts_stay_on_the_record(mixed: Cohort) -> None:
    page = learner_page(mixed, mixed.records[0])
    cells = re.findall(
        r'<td class="number">(\d+)</td><td>2026-03-02 \d\d:\d\d</td><td class="number">(\d+)</td>', page
    )
    assert cells[:3] == [("1", "55"), ("2", "40"), ("3", "100")]


def test_a_proposed_rule_is_said_to_be_no_law(mixed: Cohort) -> None:
    card = mixed.records[0].results[0].attempts[-1].scorecard
    proposed = replace(
        card.objectives[0].citations[0], status="proposed", title="MFA", rule_status_as_of="2026-11-21"
    )
    objective = replace(card.objectives[0], citations=(proposed,))
    changed = replace(card, objectives=(objective, *card.objectives[1:]))
    attempt = replace(mixed.records[0].results[0].attempts[-1], scorecard=changed)
    person = replace(mixed.records[0], results=(result("log-access", [attempt]),))
    text = read(learner_page(replace(mixed, records=(person,)), person))
    assert "90 FR 898 MFA (proposed, not law as of 2026-11-21)" in text


def test_an_override_and_an_exception_stand_there_with_who_and_why(mixed: Cohort) -> None:
    text = read(learner_page(mixed, mixed.records[2]))
    assert "85 of 100 *" in text
    assert "appeal granted: the check was wrong" in text
    assert "on parental leave" in text
    assert "excepted" in text


def test_what_does_not_count_is_said(mixed: Cohort) -> None:
    text = read(learner_page(mixed, mixed.records[3]))
    assert "the latest; none counts" in text
    assert "supervised, late" in text
    assert "practice" in text


def test_the_cohorts_record_names_everybody_and_who_did_not_finish(mixed: Cohort) -> None:
    text = read(cohort_page(mixed))
    assert "2 of 6 finished 3 began, did not finish 1 did not start" in text
    _, _, missing = text.partition("Who did not finish")
    assert "Alice Example" not in missing
    assert "Chen Example" not in missing
    assert "Bob Example ( bob ): log-access (attempted), temp-phi (not started)" in missing
    assert "Eve Example" in missing


def test_an_open_workshop_says_so(mixed: Cohort) -> None:
    assert "still open: figures may change" in read(cohort_page(replace(mixed, closed_at="")))
    assert "still open" in read(learner_page(replace(mixed, closed_at=""), mixed.records[0]))


def test_a_lab_graded_besides_the_scenario_is_kept_on_the_record(mixed: Cohort) -> None:
    narrow = replace(mixed, labs=("temp-phi",))
    text = read(learner_page(narrow, mixed.records[0]))
    assert "Close the EHR access log (log-access)" in text


@given(ODD_TEXT)
@settings(max_examples=40, deadline=None)
def test_no_name_breaks_a_page(text: str) -> None:
    odd = odd_cohort(text, replace(MIXED, records=MIXED.records[:2]))
    for page in (cohort_page(odd), learner_page(odd, odd.records[0])):
        said = read(page)
        if text.isascii() and text.isprintable():
            assert " ".join(text.split()) in said


def test_a_name_cannot_turn_the_direction_of_what_follows() -> None:
    odd = odd_cohort("\u202eevil\u2066\x1b[2J", MIXED)
    page = learner_page(odd, odd.records[0])
    assert not set(page) & set("\u202e\u2066\x1b")
    assert "<bdi>?evil??[2J</bdi>" in page


MIXED = mixed_cohort()


def test_the_same_cohort_gives_the_same_bytes(mixed: Cohort) -> None:
    assert learner_page(mixed, mixed.records[0]) == learner_page(MIXED, MIXED.records[0])
    assert cohort_page(mixed) == cohort_page(MIXED)


# -- figures ---------------------------------------------------------------------------------


def test_the_record_is_kept_six_years_from_its_last_entry(mixed: Cohort) -> None:
    assert facts.last_day(mixed) == mixed.closed_at
    assert facts.retain_until("2028-02-29T10:00:00+00:00") == "2034-02-28"
    assert facts.retain_until("") == ""


def test_heads_add_up_to_the_roster(mixed: Cohort) -> None:
    heads = facts.heads(mixed)
    assert heads.learners == heads.finished + heads.unfinished + heads.not_started


def test_a_lab_that_the_projection_left_out_counts_as_not_started() -> None:
    person = record(learner())
    both = cohort(person, labs=("log-access", "temp-phi"))
    assert [item.lab for item in facts.assigned(both, person)] == ["log-access", "temp-phi"]
    assert facts.heads(both).not_started == 1


# -- the chart -------------------------------------------------------------------------------

POINTS = st.lists(st.builds(Point, st.floats(1.7e9, 1.9e9), st.floats(-10, 110), st.booleans()), max_size=12)


@given(
    st.lists(
        st.builds(
            Line, st.text(st.characters(codec="utf-8", categories=["L", "P"]), max_size=12), POINTS.map(tuple)
        ),
        max_size=8,
    )
)
def test_a_chart_stays_within_its_frame(lines: list[Line]) -> None:
    svg = score_chart(lines, 80, "scores & <more>")
    if not any(line.points for line in lines):
        assert svg == ""
        return
    root = ET.fromstring(svg)  # noqa: S314 - made by our own program
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= WIDTH
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, 0)) <= HEIGHT
    names = [element for element in root.iter() if (element.text or "").strip()]
    assert len(names) >= sum(bool(line.points) for line in lines if line.name.strip())


def test_what_does_not_count_is_drawn_hollow() -> None:
    line = Line("log-access", (Point(1.7e9, 40, counts=False), Point(1.7e9 + 60, 90)))
    svg = score_chart([line], 80, "scores")
    assert svg.count('fill="#fff"') == 1


def test_names_of_lines_do_not_stand_on_each_other() -> None:
    lines = [Line(f"lab-{number}", (Point(1.7e9 + number, 100),)) for number in range(6)]
    svg = score_chart(lines, 80, "scores")
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)">lab-', svg))
    assert len(heights) == 6
    assert all(after - before >= 12 for before, after in pairwise(heights))


def test_many_points_are_thinned_and_the_last_one_stays() -> None:
    points = [Point(1.7e9 + number, number % 100) for number in range(10_001)]
    kept = thinned(points)
    assert len(kept) <= POINTS_PER_LINE
    assert kept[-1] == points[-1]
