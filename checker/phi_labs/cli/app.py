"""The command line's root: what ``phi-labs --help`` shows, and how a line of words becomes a call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from phi_labs import __version__
from phi_labs.cli import (
    access,
    authoring,
    bundle,
    demo,
    gateway,
    grading,
    phi,
    preparing,
    reading,
    records,
    running,
    upkeep,
    workshop,
)
from phi_labs.cli.session import MakeInstallation
from phi_labs.errors import UserError

COMPLETION = "_PHI_LABS_COMPLETE"

app = typer.Typer(
    name="phi-labs",
    rich_markup_mode="rich",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "[bold]Begin:[/]  phi-labs demo        sees one lab through, start to finish, in a minute\n\n"
        "[bold]Then:[/]   phi-labs labs        choose one;  phi-labs brief LAB;  phi-labs start LAB\n\n"
        "[bold]Exit codes:[/]  0 done, or all objectives passed;  1 graded, not all passed;  "
        "2 your mistake (the message says what to mend);  3 the engine's trouble or ours"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"phi-labs {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Hands-on HIPAA labs: repair a real server that leaks synthetic patient data, and be graded.

    You get a broken machine, a written policy and SSH. Graders say what they saw, what is expected, and why.
    """


GROUPS = (
    demo,
    reading,
    running,
    grading,
    access,
    preparing,
    workshop,
    gateway,
    records,
    authoring,
    phi,
    upkeep,
    bundle,
)
for group in GROUPS:
    group.add_to(app)


def run(arguments: Sequence[str], make_installation: MakeInstallation | None = None) -> int:
    """Carry out one command line; return its exit code.

    Raises:
        UserError: unknown command or option, or a value that is missing or wrong.
        PhiLabsError: whatever the command met.
    """
    root = typer.main.get_command(app)
    if COMPLETION in os.environ:
        root.main(prog_name="phi-labs", args=list(arguments))
    try:
        with root.make_context("phi-labs", list(arguments) or ["--help"], obj=make_installation) as context:
            return int(root.invoke(context) or 0)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort as end:
        raise KeyboardInterrupt from end
    except typer.TyperException as error:
        raise _usage_error(error) from error


def _usage_error(error: typer.TyperException) -> UserError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "phi-labs"
    message = error.format_message().rstrip(".")
    hint = f"{path} --help shows what it takes"
    if context and message.startswith("No such option: --") and context.parent is None:
        hint = "options of a command stand behind it: phi-labs COMMAND ... --trainee NAME"
    return UserError(message[:1].lower() + message[1:], hint)
