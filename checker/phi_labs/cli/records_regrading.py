"""records regrade: kept submissions, graded again."""

from __future__ import annotations

from typing import Annotated

import typer

from phi_labs.cli.identity import login_name
from phi_labs.cli.options import AsJson, command
from phi_labs.cli.session import Session
from phi_labs.errors import UserError


def add_to(group: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(group, "regrade", panel=panel, trainee=False)(regrade)


def regrade(  # noqa: PLR0913 - options of a command
    session: Session,
    learner: Annotated[str | None, typer.Argument(metavar="[LEARNER]", help="Only this one's.")] = None,
    *,
    lab: Annotated[str | None, typer.Option("--lab", metavar="LAB", help="Only of this lab.")] = None,
    workshop: Annotated[
        str | None, typer.Option("--workshop", metavar="W", help="Which; not needed if there is one.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who wants it; else your login name.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Grade submissions that count once more, with today's checks. What was said before stays on record.

    Examples: phi-labs records regrade alice --lab log-access;  phi-labs records regrade --workshop spring

    Exit code: 0 all scores as before, 1 some changed, 3 some could not be graded.
    """
    from phi_labs.errors import PhiLabsError  # noqa: PLC0415
    from phi_labs.records.address import records_url  # noqa: PLC0415 - SQLAlchemy
    from phi_labs.records.cohort import read_cohort  # noqa: PLC0415
    from phi_labs.records.store import Records  # noqa: PLC0415
    from phi_labs.workshop.regrading import Again, grade_again, kept_attempts  # noqa: PLC0415 - the SDK, pytest

    done: list[Again] = []
    failed: list[dict[str, str]] = []
    with Records(records_url(session.installation.state.root)) as records:
        known = records.workshops()
        chosen = workshop or (known[0] if len(known) == 1 else None)
        if chosen is None:
            raise UserError("which workshop?", f"--workshop W; there are: {', '.join(known) or 'none'}")
        wanted = list(kept_attempts(read_cohort(records, chosen), learner or "", lab or ""))
        if not wanted:
            raise UserError("there is nothing to grade again", "nothing of it has been graded so far")
        with session.progress.busy("grading again") as tell:
            for number, (who, old) in enumerate(wanted, 1):
                try:
                    actor = by or login_name()
                    done.append(grade_again(session.installation, records, chosen, who, old, actor))
                    tell(f"{number}/{len(wanted)} {who} {old.lab}: {done[-1].before} -> {done[-1].after}")
                except PhiLabsError as error:
                    failed.append({"learner": who, "lab": old.lab, "reason": error.message})
                    tell(f"{number}/{len(wanted)} {who} {old.lab}: {error.message}")
    changed = [item for item in done if item.before != item.after]
    if as_json:
        session.emit({"graded": [vars(item) for item in done], "failed": failed})
    else:
        session.say(f"{len(done)} graded again, {len(changed)} with another score, {len(failed)} not graded")
    if failed:
        return 3
    return 1 if changed else 0
