"""records release: the images that a closed workshop's submissions are graded again on, let go of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from phi_labs.cli.identity import login_name
from phi_labs.cli.options import AsJson, Yes, command
from phi_labs.cli.records_adding import ADD, By, Reason, filled
from phi_labs.cli.session import Session


def add_to(group: typer.Typer) -> None:
    """Register the command."""
    command(group, "release", panel=ADD, trainee=False)(release)


def release(  # noqa: PLR0913 - options of a command
    session: Session,
    workshop: Annotated[str, typer.Argument(metavar="W", help="A closed workshop.")],
    *,
    reason: Reason,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Let go of a closed workshop's images: what was handed in can then no longer be graded again.

    Attempts, scorecards and events stay.

    Example: phi-labs records release spring --reason "no appeals within the 60 days"
    """
    from phi_labs.records.address import records_url  # noqa: PLC0415 - SQLAlchemy
    from phi_labs.records.store import Records  # noqa: PLC0415
    from phi_labs.workshop.kept_images import release_images  # noqa: PLC0415 - the SDK

    actor = filled("--by", by if by is not None else login_name())
    why = filled("--reason", reason)
    url = records_url(session.installation.state.root)
    with Records(url, read_only=True):
        pass  # where there are none, none are begun
    question = f"let go of the images of {workshop}? Its submissions can no longer be graded again."
    if not session.confirm(question, yes=yes, unless="add --yes"):
        return 0
    with Records(url) as records, session.progress.busy("removing images"):
        done = release_images(session.installation, records, workshop, actor, why)
    if as_json:
        session.emit(asdict(done))
        return 0
    session.say(f"{len(done.removed)} images of {workshop} removed, {len(done.kept)} stay for others")
    if done.left:
        session.say(f"{len(done.left)} are in use: phi-labs doctor --clean --images removes them later")
    return 0
