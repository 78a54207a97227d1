"""bundle: everything for a machine without internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phi_labs.cli import options
from phi_labs.cli.options import AsJson, command
from phi_labs.cli.session import Session

PANEL = "This machine"


def add_to(app: typer.Typer) -> None:
    """Register the group and its commands."""
    group = options.group("bundle", "Everything for a machine without internet, in one file.")
    command(group, "save", panel=PANEL, trainee=False)(save)
    command(group, "load", panel=PANEL, trainee=False)(load)
    app.add_typer(group, rich_help_panel=PANEL)


def save(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the bundle goes.")],
    *,
    as_json: AsJson = False,
) -> int:
    """Save images, wheels and content, with checksums. Needs a checkout and internet.

    Example: ./phi-labs bundle save phi-labs.bundle

    Next: carry it over; there: tar -xf phi-labs.bundle install.sh wheels, then sh install.sh DIR
    """
    from phi_labs.bundle.save import save as write  # noqa: PLC0415 - the SDK

    with session.progress.busy("saving") as tell:
        manifest = write(session.installation, file, tell)
    size = file.stat().st_size
    if as_json:
        session.emit(
            {"file": str(file), "bytes": size, "files": len(manifest.files), "images": manifest.images}
        )
    else:
        session.say(
            f"{file}: {size // 2**20} MiB, {len(manifest.images)} images, {len(manifest.files)} files"
        )
    return 0


def load(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle.")],
    *,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="Also unpack wheels and content there.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check a bundle as a whole, then give its images to the engine. No internet is needed.

    Example: phi-labs bundle load phi-labs.bundle
    """
    from phi_labs.bundle.load import load as take  # noqa: PLC0415 - the SDK

    with session.progress.busy("loading") as tell:
        loaded = take(session.installation.engine, file, tell, into=into)
    if as_json:
        session.emit({"images": loaded.manifest.images, "into": str(into) if into else None})
        return 0
    session.say(
        f"{len(loaded.manifest.images)} images are on the engine" + (f", the rest in {into}" if into else "")
    )
    if loaded.foreign and into:
        session.say(f"note: {loaded.foreign}")
    return 0
