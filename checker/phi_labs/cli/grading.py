"""Commands about scores: grade and demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phi_labs.cli.options import AsJson, LabId, command
from phi_labs.cli.reading import next_price
from phi_labs.cli.running import WORK
from phi_labs.cli.session import Session

if TYPE_CHECKING:
    from phi_labs.cli.scorecard_view import View
    from phi_labs.grading.grade import Graded
    from phi_labs.model.lab import Lab


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "grade", panel=WORK)(grade)


def grade(  # noqa: PLR0913 - options of a command
    session: Session,
    lab: LabId,
    *,
    number: Annotated[
        int | None,
        typer.Option("--from", metavar="N", min=1, help="Grade the kept submission of attempt N again."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every message in full.")] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Also save the scorecard as a picture.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Grade your machine as it is now. You can go on working meanwhile, and grade as often as you like.

    A copy of it is restarted and questioned from outside; what does not survive a restart is not fixed.

    Examples: phi-labs grade log-access;  phi-labs grade log-access --from 2 --json

    Exit code: 0 all objectives reached, 1 not all, 3 could not be graded (then no attempt is counted).
    """
    found = session.lab(lab)
    if number is None:
        session.run_of(lab)  # without one, say so before half a second of imports
    from phi_labs.grading.grade import grade_run, regrade  # noqa: PLC0415 - the SDK, pytest

    with session.progress.busy(f"grading {lab}"):
        if number is None:
            graded = grade_run(session.installation, found, session.trainee)
        else:
            graded = regrade(session.installation, found, session.trainee, number)
    show_graded(session, found, graded, full=full, svg=svg, as_json=as_json)
    return 0 if graded.scorecard.passed else 1


def show_graded(  # noqa: PLR0913 - what a scorecard is shown with
    session: Session,
    lab: Lab,
    graded: Graded,
    *,
    full: bool = False,
    svg: Path | None = None,
    as_json: bool = False,
) -> None:
    """Print a finished grading, and save its picture when that was asked for."""
    from phi_labs.cli.scorecard_view import scorecard_view  # noqa: PLC0415

    view = _view(session, lab, full=full)
    if as_json:
        session.emit(_graded_data(graded))
    else:
        session.show(scorecard_view(graded.scorecard, view))
    if svg is not None:
        from phi_labs.cli.picture import save_picture  # noqa: PLC0415

        save_picture(scorecard_view(graded.scorecard, view), svg, title=f"phi-labs grade {lab.id}")
        session.say(f"the picture is in {svg}")


def _view(session: Session, lab: Lab, *, full: bool) -> View:
    from phi_labs.cli.scorecard_view import View  # noqa: PLC0415

    retry = session.installation.state.retry_of(session.trainee, lab.id)
    taken = session.installation.state.hints(session.trainee, lab.id, retry)
    return View(
        hints=_prices(lab, taken),
        full=full,
        seconds=session.progress.seconds,
        trainee_words=session.lab_words(""),
    )


def _prices(lab: Lab, taken: Mapping[str, int]) -> dict[str, int]:
    prices = {item.id: next_price(item, taken.get(item.id, 0)) for item in lab.objectives}
    return {name: price for name, price in prices.items() if price is not None}


def _graded_data(graded: Graded) -> dict[str, Any]:
    return {
        **graded.scorecard.to_data(),
        "attempt": graded.number,
        "folder": str(graded.folder),
        "seconds": dict(graded.seconds),
    }
