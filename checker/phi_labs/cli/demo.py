"""``phi-labs demo``: one lab, start to finish, on a machine of its own that is gone afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from phi_labs.cli import completion
from phi_labs.cli.options import AsJson, command
from phi_labs.cli.session import Session
from phi_labs.errors import PhiLabsError, UserError

if TYPE_CHECKING:
    from phi_labs.lifecycle.installation import Installation
    from phi_labs.model.lab import Lab
    from phi_labs.model.scorecard import Scorecard

DEMO = "phi-labs demo"  # the trainee; not a name that anybody signs up with
FIRST_LAB = "log-access"
REFERENCE = "reference"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "demo", panel="Begin here", trainee=False)(demo)


@dataclass
class _Shown:
    """What the demo has found out so far."""

    cards: dict[str, Scorecard] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def demo(
    session: Session,
    *,
    lab: Annotated[
        str, typer.Option("--lab", metavar="LAB", autocompletion=completion.labs, help="Which lab.")
    ] = FIRST_LAB,
    as_json: AsJson = False,
) -> int:
    """See one lab through: start it, grade it as it is, apply a fix over SSH, grade again, clean up.

    It shows scores and what the graders saw, never the fix.

    Next: phi-labs start LAB, and mend it yourself
    """
    found, shown = session.lab(lab), _Shown()
    if not as_json:
        session.show(
            f"[bold]{found.title}[/]  [dim]({lab})[/]\n{found.summary}\n\n"
            "[dim]A machine with this fault is started, graded, mended by a prepared script, graded again, "
            "and removed. All patients are synthetic.[/]\n"
        )
    with _demo_run(session, found):
        _start(session, found, shown, quiet=as_json)
        _grade(session, found, shown, "before", quiet=as_json)
        _mend(session, found, shown, quiet=as_json)
        _grade(session, found, shown, "after", quiet=as_json)
    if as_json:
        session.emit(
            {name: card.to_data() for name, card in shown.cards.items()} | {"seconds": shown.seconds}
        )
    else:
        _show_end(session, found, shown)
    if not shown.cards["after"].passed:
        raise PhiLabsError(
            f"the prepared script does not reach full score on {lab}", f"phi-labs verify {lab} shows where"
        )
    return 0


def _start(session: Session, lab: Lab, shown: _Shown, *, quiet: bool) -> None:
    from phi_labs.lifecycle.runs import start_run  # noqa: PLC0415 - the SDK

    with session.progress.busy(f"starting {lab.id}"):
        start_run(session.installation, lab, DEMO)
    _step_done(session, shown, "start", "the machine is up and answers over SSH", quiet=quiet)


def _grade(session: Session, lab: Lab, shown: _Shown, when: str, *, quiet: bool) -> None:
    from phi_labs.cli.scorecard_view import View, scorecard_view  # noqa: PLC0415
    from phi_labs.grading.grade import grade_run  # noqa: PLC0415 - pytest

    with session.progress.busy("grading it as it is" if when == "before" else "grading it again"):
        card = grade_run(session.installation, lab, DEMO).scorecard
    shown.cards[when] = card
    text = f"graded {when}: {card.score} of {card.points} points"
    _step_done(session, shown, f"grade {when}", text, quiet=quiet)
    if not quiet and when == "before":
        session.show("", scorecard_view(card, View(hints={}, next_steps=False)), "")


def _mend(session: Session, lab: Lab, shown: _Shown, *, quiet: bool) -> None:
    from phi_labs.authoring.attempts import apply_attempt  # noqa: PLC0415 - paramiko

    with session.progress.busy("mending it over SSH, as a trainee would"):
        apply_attempt(session.installation, lab, DEMO, REFERENCE)
    _step_done(session, shown, "mend", "mended over SSH (how is yours to find out)", quiet=quiet)


def _step_done(session: Session, shown: _Shown, step: str, text: str, *, quiet: bool) -> None:
    shown.seconds[step] = round(session.progress.seconds, 3)
    if not quiet:
        session.show(f"[green]✔[/] {text}  [dim]{session.progress.seconds:.2f} s[/]")


def _show_end(session: Session, lab: Lab, shown: _Shown) -> None:
    from phi_labs.cli.scorecard_view import comparison_view  # noqa: PLC0415

    session.show("", comparison_view(shown.cards["before"], shown.cards["after"]), "")
    session.show(
        f"The demo's machine is removed. Now yourself (in a checkout it is ./phi-labs):\n"
        f"  [bold cyan]phi-labs start {lab.id}[/]    a machine of your own\n"
        f"  [bold cyan]phi-labs brief {lab.id}[/]    what to do, and the policy you are graded by\n"
        f"  [bold cyan]phi-labs shell {lab.id}[/]    log in, repair; then phi-labs grade {lab.id}"
    )


@contextmanager
def _demo_run(session: Session, lab: Lab) -> Iterator[None]:
    """One demo at a time; whatever happens, nothing of it is left."""
    installation = session.installation
    with installation.state.lock("demo", wait=False) as free:
        if not free:
            raise UserError("another demo is at work here", "wait for its end")
        had_probe = bool(_probes(installation))
        _remove(installation, lab)  # what a demo left that was killed
        try:
            yield
        finally:
            with session.progress.busy("cleaning up"):
                _remove(installation, lab)
                _tidy(installation, lab, keep_probe=had_probe)


def _remove(installation: Installation, lab: Lab) -> None:
    from phi_labs.lifecycle.runs import stop_run  # noqa: PLC0415 - the SDK
    from phi_labs.model.trainee import slug  # noqa: PLC0415

    stop_run(installation, lab.id, DEMO)
    shutil.rmtree(installation.state.root / "attempts" / slug(DEMO) / lab.id, ignore_errors=True)


def _tidy(installation: Installation, lab: Lab, *, keep_probe: bool) -> None:
    """Remove spares that nobody needs any more, and the probe if the demo brought it."""
    from phi_labs.lifecycle.housekeeping import LOCK  # noqa: PLC0415 - the SDK
    from phi_labs.lifecycle.pool import spares_wanted, tidy  # noqa: PLC0415

    with installation.state.lock(LOCK):
        tidy(installation, lab if spares_wanted() else None)
    mine = {"kind": "run", "install": installation.state.install}
    if not keep_probe and not installation.engine.containers(mine):
        for container in _probes(installation):
            installation.engine.remove(container)


def _probes(installation: Installation) -> list[str]:
    labels = {"kind": "probe", "install": installation.state.install}
    return [item.id for item in installation.engine.containers(labels)]
