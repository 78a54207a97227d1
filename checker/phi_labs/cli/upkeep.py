"""doctor: what is missing on this machine, and the fix; and a broom."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from phi_labs.cli.options import AsJson, Yes, command
from phi_labs.cli.session import Session
from phi_labs.errors import EngineError, UserError

if TYPE_CHECKING:
    from phi_labs.cli.diagnosis import Finding
    from phi_labs.engine.docker import ContainerSummary
    from phi_labs.lifecycle.installation import Installation

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "missing": "bold red"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "doctor", panel="This machine", trainee=False)(doctor)


def doctor(  # noqa: PLR0913 - options of a command
    session: Session,
    *,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove the probe, waiting machines and lost ones; runs stay.")
    ] = False,
    images: Annotated[bool, typer.Option("--images", help="With --clean: the images, too.")] = False,
    others: Annotated[
        bool,
        typer.Option("--other-installations", help="With --clean: everything of other state directories."),
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Say what is missing on this machine and how to mend it; or tidy up with --clean.

    Examples: phi-labs doctor;  phi-labs stop --all && phi-labs doctor --clean

    Exit code: 0 labs can work here, 3 something is missing.
    """
    if (images or others) and not clean:
        raise UserError(
            "--images and --other-installations go with --clean", "phi-labs doctor --clean --images"
        )
    if clean:
        return _clean(session, images=images, others=others, yes=yes, as_json=as_json)
    from phi_labs.cli.diagnosis import Level, diagnose  # noqa: PLC0415 - the SDK, in the end

    findings = list(diagnose(lambda: session.installation))
    missing = [item for item in findings if item.level is Level.MISSING]
    if as_json:
        session.emit([asdict(item) for item in findings])
    else:
        session.show(_findings_view(findings))
        session.show(
            Text("\nLabs cannot work here yet." if missing else "\nLabs can work here.", style="bold")
        )
    return EngineError.exit_code if missing else 0


def _findings_view(findings: list[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for item in findings:
        text = Text(item.seen)
        if item.fix:
            text.append(f"\n-> {item.fix}", style="bold")
        table.add_row(Text(item.level.value, style=_STYLES[item.level.value]), item.topic, text)
    return table


# -- the broom -----------------------------------------------------------------------------------


def _clean(session: Session, *, images: bool, others: bool, yes: bool, as_json: bool) -> int:
    from phi_labs.cli.diagnosis import ours_and_others  # noqa: PLC0415 - the SDK
    from phi_labs.lifecycle.housekeeping import LOCK  # noqa: PLC0415
    from phi_labs.lifecycle.pool import remove_spares  # noqa: PLC0415

    installation = session.installation
    removed: list[str] = []
    with session.progress.busy("cleaning up"), installation.state.lock(LOCK):
        remove_spares(installation)
        mine, foreign = ours_and_others(installation)
        removed += _remove(installation, _superfluous(installation, mine))
    if others and foreign and _agreed(session, f"Remove {len(foreign)} containers of others?", yes=yes):
        removed += _remove(installation, foreign)
    if images and _agreed(
        session, "Remove all images of phi-labs? Building them again takes minutes.", yes=yes
    ):
        removed += _remove_images(session)
    if as_json:
        session.emit({"removed": removed})
    else:
        session.show(Text("\n".join(["removed:", *removed]) if removed else "There was nothing to remove."))
        if runs := installation.engine.containers({"kind": "run", "install": installation.state.install}):
            session.say(f"{len(runs)} machines of runs stay; phi-labs stop --all removes them")
    return 0


def _agreed(session: Session, question: str, *, yes: bool) -> bool:
    return session.confirm(question, yes=yes, unless="--yes goes on")


def _superfluous(installation: Installation, mine: list[ContainerSummary]) -> list[ContainerSummary]:
    from phi_labs.cli.diagnosis import orphans  # noqa: PLC0415

    runs = [item for item in mine if item.label("kind") == "run"]
    return [item for item in mine if item.label("kind") == "probe"] + orphans(installation, runs)


def _remove(installation: Installation, containers: list[ContainerSummary]) -> list[str]:
    for item in containers:
        installation.engine.remove(item.id)
    return [item.name for item in containers]


def _remove_images(session: Session) -> list[str]:
    """Remove all but those that submissions of workshops need to be graded again."""
    installation = session.installation
    from phi_labs.workshop.kept_images import images_needed_here  # noqa: PLC0415 - SQLAlchemy

    needed = images_needed_here(installation.state)
    everything = installation.engine.images()
    found = [name for name in everything if installation.engine.image_id(name) not in needed]
    # Children before their parents: an image in use is left, and the newest is nobody's parent.
    for name in found:
        installation.engine.remove_image(name)
    left = set(installation.engine.images())
    if kept := len(everything) - len(found):
        session.say(
            f"{kept} images stay: submissions of workshops need them; phi-labs records release lets go"
        )
    return [name for name in found if name not in left]
