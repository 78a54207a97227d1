"""The scorecard as it is printed: 80 columns, no colour, and nothing that may not be said."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from phi_labs.cli.picture import save_picture
from phi_labs.cli.scorecard_view import View, comparison_view, scorecard_view
from phi_labs.model.citations import citation
from phi_labs.model.scorecard import About, GuardScore, ObjectiveScore, Scorecard
from phi_labs.model.wording import forbidden_phrases

NOTHING_BESIDE = View(hints={})


def objective(name: str, earned: int = 0, **given: object) -> ObjectiveScore:
    values: dict[str, object] = {
        "id": name,
        "title": f"Title of {name}",
        "points": 50,
        "earned": earned,
        "withheld": 0,
        "hint_cost": 0,
        "withheld_by": (),
        "messages": () if earned else (f"the intern reads {name}",),
        "expected": "only reviewers read it",
        "citations": (citation("164.312(a)(1)"),),
        "checks": (),
    }
    return ObjectiveScore(**{**values, **given})  # type: ignore[arg-type]


def guard(name: str, held: bool = True, **given: object) -> GuardScore:
    values: dict[str, object] = {
        "id": name,
        "title": f"Guard {name}",
        "held": held,
        "protects": ("first", "second"),
        "messages": () if held else (f"{name} broke",),
        "citations": (),
        "checks": (),
    }
    return GuardScore(**{**values, **given})  # type: ignore[arg-type]


def card(*objectives: ObjectiveScore, guards: tuple[GuardScore, ...] = (), **given: object) -> Scorecard:
    about = About("Ana Ruiz", "ce", "r", 3, "2026-03-02T09:00:00+00:00")
    return Scorecard("small", "A small lab", "IT-07", objectives, guards, about=about, **given)  # type: ignore[arg-type]


def printed(view: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


GOLDEN = """\
A small lab   small, attempt 3
Ana Ruiz · covered entity · policy IT-07 · graded 2026-03-02 09:00\u00a0UTC in\u00a00.7\u00a0s

0 of 100 points   earned 50, 50 withheld
[practice: nobody supervised it]
[the rescue console was used]

✘ missed      0/50 Title of first
    seen     the intern reads first
    expected only reviewers read it
    why      45 CFR 164.312(a)(1) Access control (standard)
    hint     phi-labs hint small first  (costs 10)

! withheld    0/50 Title of second
    withheld earned 50, but this no longer holds: Guard reviewer-reads


What had to stay true ──────────────────────────────────────────────────────────
✘ Guard reviewer-reads
    seen     reviewer-reads broke
    so       50 points are withheld: second
✔ the rest holds (1 of 2)

Next
  phi-labs shell small    go on where you were; the machine was not touched
  phi-labs grade small    as often as you like
  phi-labs debrief small  gives solutions away; for afterwards"""


def test_a_scorecard_says_what_was_seen_expected_and_why_and_what_a_guard_took() -> None:
    scorecard = card(
        objective("first"),
        objective("second", 50, withheld=50, withheld_by=("reviewer-reads",)),
        guards=(guard("reviewer-reads", held=False), guard("ehr-logs")),
        rescue_used=True,
    )
    assert printed(scorecard_view(scorecard, View(hints={"first": 10}, seconds=0.71))) == GOLDEN


def test_a_full_score_is_short_and_points_to_the_debrief() -> None:
    text = printed(scorecard_view(card(objective("first", 50), objective("second", 50)), NOTHING_BESIDE))
    assert "100 of 100 points   every objective reached" in text
    assert "phi-labs debrief small" in text
    assert "expected" not in text


def test_points_spent_on_hints_are_told_beside_the_objective() -> None:
    text = printed(scorecard_view(card(objective("first", 50, hint_cost=10)), NOTHING_BESIDE))
    assert "earned 50, 10 spent on hints" in text
    assert "✔ reached    40/50" in text


def test_many_and_long_messages_are_cut_until_they_are_asked_for() -> None:
    messages = tuple(f"message {number} " + "long " * 100 for number in range(9))
    scorecard = card(objective("first", messages=messages))
    short = printed(scorecard_view(scorecard, NOTHING_BESIDE))
    assert "and 7 more (--full)" in short
    assert short.count("long") < 120
    full = printed(scorecard_view(scorecard, View(hints={}, full=True)))
    assert full.count("long") == 900


def test_a_broken_guard_that_takes_nothing_yet_says_so() -> None:
    text = printed(scorecard_view(card(objective("first"), guards=(guard("g", held=False),)), NOTHING_BESIDE))
    assert "once earned" in text
    assert "everything holds" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_runs_over_the_edge(width: int) -> None:
    scorecard = card(
        objective("first", messages=("/a/very/long/path" * 20,)), guards=(guard("g", held=False),)
    )
    text = printed(scorecard_view(scorecard, View(hints={"first": 0})), width)
    assert max(map(len, text.splitlines())) <= width


def test_messages_are_not_markup() -> None:
    text = printed(
        scorecard_view(card(objective("first", messages=("file [bold]x[/] [/nope]",))), NOTHING_BESIDE)
    )
    assert "file [bold]x[/] [/nope]" in text


def test_a_trainee_who_was_named_is_named_again_in_what_to_type() -> None:
    view = View(hints={"first": 0}, trainee_words=" --trainee 'Ana Ruiz'")
    text = printed(scorecard_view(card(objective("first")), view), 120)
    assert "phi-labs hint small first --trainee 'Ana Ruiz'" in text
    assert "phi-labs shell small --trainee 'Ana Ruiz'" in text


def test_it_claims_no_more_than_it_may() -> None:
    for points in (0, 50):
        assert not forbidden_phrases(
            printed(scorecard_view(card(objective("first", points)), NOTHING_BESIDE))
        )


def test_before_and_after_stand_side_by_side_without_the_fix() -> None:
    before, after = card(objective("first")), card(objective("first", 50))
    assert printed(comparison_view(before, after)).splitlines() == [
        "objective       before    after",
        "Title of first  ✘ 0/50  ✔ 50/50",
        "score             0/50    50/50",
    ]


def test_a_picture_is_the_same_bytes_every_time_and_fetches_nothing(tmp_path: Path) -> None:
    view = scorecard_view(card(objective("first")), NOTHING_BESIDE)
    for name in ("one.svg", "two.svg"):
        save_picture(view, tmp_path / name, title="phi-labs grade small")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert "Title" in text
    assert "https://" not in text.replace("https://www.textualize.io", "").replace("https://www.w3.org", "")
