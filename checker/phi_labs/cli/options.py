"""Arguments and options that several commands share, and the decorator that gives commands a session."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeAlias

import typer

from phi_labs.cli import completion
from phi_labs.cli.session import MakeInstallation, Session, default_installation

P = ParamSpec("P")
COMMON = "Common options"

LabId: TypeAlias = Annotated[
    str, typer.Argument(metavar="LAB", autocompletion=completion.labs, help="The lab's id (phi-labs labs).")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
EntityName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--entity",
        metavar="ce|ba",
        autocompletion=completion.entities,
        help="Work for a covered entity (ce) or a business associate (ba).",
    ),
]
Trainee: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--trainee",
        metavar="NAME",
        help="Whose run. Default: $PHI_LABS_TRAINEE, else your login name.",
        rich_help_panel=COMMON,
    ),
]
Content: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--content",
        metavar="DIR",
        envvar="PHI_LABS_CONTENT",
        show_envvar=False,
        help="Folder that holds labs/. Default: $PHI_LABS_CONTENT, else the labs that came along.",
        rich_help_panel=COMMON,
    ),
]
Debug: TypeAlias = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=COMMON)]


def command(
    app: typer.Typer, name: str, *, panel: str, trainee: bool = True, hidden: bool = False
) -> Callable[[Callable[Concatenate[Session, P], int]], Callable[Concatenate[Session, P], int]]:
    """Register ``function(session, ...) -> exit code`` as a command with the common options.

    Args:
        trainee: whether the command is about a trainee.
        panel: heading under which ``--help`` lists it.
    """

    def register(function: Callable[Concatenate[Session, P], int]) -> Callable[Concatenate[Session, P], int]:
        app.command(name, rich_help_panel=panel, hidden=hidden)(_with_session(function, trainee=trainee))
        return function

    return register


def group(name: str, about: str) -> typer.Typer:
    """A group of commands that shows its help when none is named."""
    made = typer.Typer(name=name, help=about, invoke_without_command=True)

    @made.callback()
    def _alone(ctx: typer.Context) -> None:
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    return made


def _with_session(function: Callable[..., int], *, trainee: bool) -> Callable[..., int]:
    """The function as typer sees it: the session replaced by context and common options."""

    @functools.wraps(function)
    def run(ctx: typer.Context, **given: Any) -> int:
        given.pop("common_debug")  # main looks for it itself: an error may come before any parsing
        make: MakeInstallation = ctx.obj or default_installation
        session = Session(given.pop("common_trainee", None), given.pop("common_content"), make)
        return function(session, **given)

    common: dict[str, Any] = {"common_trainee": Trainee} if trainee else {}
    common |= {"common_content": Content, "common_debug": Debug}
    defaults = {"common_trainee": None, "common_content": None, "common_debug": False}
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    parameters = [
        inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own),
        *(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation
            )
            for name, annotation in common.items()
        ),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    return run
