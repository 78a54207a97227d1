"""Commands for authors and trainers: attempt, verify, new, bench, test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from phi_labs.authoring.plan import WORKERS, Plan
from phi_labs.cli import completion
from phi_labs.cli.options import AsJson, EntityName, LabId, command
from phi_labs.cli.session import Session
from phi_labs.errors import UserError
from phi_labs.model.content import lab_ids

if TYPE_CHECKING:
    from phi_labs.authoring.lint import Finding
    from phi_labs.model.lab import Lab

AUTHORS = "For authors and trainers"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "attempt", panel=AUTHORS)(attempt)
    command(app, "verify", panel=AUTHORS, trainee=False)(verify)
    command(app, "new", panel=AUTHORS, trainee=False)(new)
    command(app, "bench", panel=AUTHORS, trainee=False)(bench)
    app.command(
        "test",
        rich_help_panel=AUTHORS,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(run_tests)


def attempt(
    session: Session,
    lab: LabId,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", autocompletion=completion.attempts, help="A script of attempts/."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> int:
    """Apply one of a lab's prepared attempts to a run, over SSH. Scorecards then say practice.

    Without NAME: list them, with what each one is graded as. (This gives solutions away.)

    Examples: phi-labs attempt log-access reference;  phi-labs attempt log-access wrong-chmod-000

    Next: phi-labs grade LAB
    """
    found = session.lab(lab)
    if name is None:
        return _list_attempts(session, found, as_json=as_json)
    from phi_labs.authoring.attempts import apply_attempt  # noqa: PLC0415 - paramiko

    with session.progress.busy(f"applying {name} to {lab} of {session.trainee}"):
        said = apply_attempt(session.installation, found, session.trainee, name)
    if as_json:
        session.emit({"lab": lab, "trainee": session.trainee, "attempt": name, "output": said})
        return 0
    if said.strip():
        session.out.print(said.rstrip(), markup=False)
    session.out.print(f"applied [bold]{name}[/]  [dim]({session.progress.seconds:.1f} s)[/]")
    session.out.print(f"Next: [bold]phi-labs grade {escape(session.lab_words(lab))}[/]")
    return 0


def _list_attempts(session: Session, lab: Lab, *, as_json: bool) -> int:
    from phi_labs.model.lab import load_verdicts  # noqa: PLC0415 - pydantic

    verdicts = [(name, verdict) for name, verdict in load_verdicts(lab).items() if name != "untouched"]
    if as_json:
        session.emit(
            [
                {
                    "name": name,
                    "why": verdict.why,
                    "earns": sorted(verdict.earned(lab)),
                    "guards_fail": list(verdict.guards_fail),
                    "full_score": verdict.full_score(lab),
                }
                for name, verdict in verdicts
            ]
        )
        return 0
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, verdict in verdicts:
        outcome = "[green]full score[/]" if verdict.full_score(lab) else "[red]fails[/]"
        table.add_row(name, outcome, Text(verdict.why or ""))
    session.out.print(table)
    session.out.print(f"\nNext: [bold]phi-labs attempt {lab.id}[/] NAME, then phi-labs grade {lab.id}")
    return 0


def verify(  # noqa: PLR0913 - options of a command
    session: Session,
    labs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LAB ...]", autocompletion=completion.labs, help="Which labs; all by default."
        ),
    ] = None,
    *,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many different trainees.")] = 3,
    plan: Annotated[
        Plan, typer.Option(help="full: every attempt on all of them; covering: each wrong way on one.")
    ] = Plan.COVERING,
    turn: Annotated[
        int, typer.Option(min=0, help="Another turn of the covering plan tries wrong ways on other trainees.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many runs at a time.")] = WORKERS,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this attempt (may be repeated).")
    ] = None,
    entity: EntityName = None,
    lint_only: Annotated[
        bool, typer.Option("--lint-only", help="Only read the labs' files; needs no engine.")
    ] = False,
    mutate: Annotated[
        bool, typer.Option("--mutate", help="Leave out each command of the right ways; who notices?")
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=0, metavar="MINUTES", help="Begin nothing more after so many minutes."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where the result is kept, as JSON."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Prove a lab's graders: every right and every wrong attempt must get exactly its verdict.

    Every right way is tried on every trainee; each wrong way on one of them, or with --plan full on all.
    Reads the lab's files first (lint) and stops at errors in them, unless --only is given. Then prints
    attempts x objectives, expected against got, and keeps it as a file. Exit code 1 when anything differs,
    3 when the time was too short to try everything.

    Examples: phi-labs verify log-access;  phi-labs verify log-access --seeds 1 --only reference
    """
    names = labs or list(lab_ids(session.content))
    found = _linted(session, names)
    errors = any(finding.severity == "error" for finding in found)
    if lint_only or (errors and not only):
        return _show_lint(session, names, found, as_json=as_json)
    from phi_labs.authoring.keep import keep  # noqa: PLC0415
    from phi_labs.authoring.verify import verify as prove  # noqa: PLC0415 - SDK, paramiko, pytest
    from phi_labs.cli.lint_view import lint_view  # noqa: PLC0415
    from phi_labs.cli.matrix_view import matrix_view  # noqa: PLC0415
    from phi_labs.model.entity import parse_entity  # noqa: PLC0415

    chosen = [session.lab(name) for name in names]
    _attempts_known(chosen, only or ())
    if not as_json:
        session.show(lint_view(names, found))
    seconds = None if budget is None else budget * 60
    if mutate:
        return _mutated(session, chosen, only, workers, seconds, output, as_json=as_json)
    with session.progress.busy("verifying " + ", ".join(names)) as tell:
        matrix = prove(
            session.installation,
            chosen,
            seeds=seeds,
            plan=plan,
            turn=turn,
            entities=None if entity is None else [parse_entity(entity)],
            workers=workers,
            only=only or None,
            budget=seconds,
            progress=tell,
        )
    data = {"lint": [finding.to_data() for finding in found], **matrix.to_data()}
    kept = keep(session.installation.state, "verify", data, output)
    if as_json:
        session.emit(data)
    else:
        session.show(matrix_view(matrix))
        session.say(f"took {session.progress.seconds:.0f} s; kept as {kept}")
    if matrix.ok:
        return 0
    return 3 if matrix.exact and matrix.not_done else 1


def _attempts_known(labs: Sequence[Lab], wanted: Sequence[str]) -> None:
    """UserError when none of the labs has an attempt of that name: nothing tried proves nothing."""
    from phi_labs.model.lab import load_verdicts  # noqa: PLC0415 - pydantic
    from phi_labs.model.nearest import did_you_mean  # noqa: PLC0415

    known = {name for lab in labs for name in load_verdicts(lab).names} if wanted else set()
    for name in wanted:
        if name not in known:
            where = ", ".join(lab.id for lab in labs)
            hint = did_you_mean(name, sorted(known)) or f"phi-labs attempt {labs[0].id} lists them"
            raise UserError(f"there is no attempt {name!r} in {where}", hint)


def _mutated(  # noqa: PLR0913, PLR0917 - options of a command
    session: Session,
    labs: Sequence[Lab],
    only: list[str] | None,
    workers: int,
    budget: float | None,
    output: Path | None,
    *,
    as_json: bool,
) -> int:
    from phi_labs.authoring.keep import keep  # noqa: PLC0415
    from phi_labs.authoring.mutate import mutate  # noqa: PLC0415 - SDK, paramiko, pytest
    from phi_labs.cli.losses_view import losses_view  # noqa: PLC0415

    with session.progress.busy("breaking right ways of " + ", ".join(lab.id for lab in labs)) as tell:
        losses = mutate(session.installation, labs, workers=workers, only=only, budget=budget, progress=tell)
    data = losses.to_data()
    kept = keep(session.installation.state, "mutate", data, output)
    if as_json:
        session.emit(data)
    else:
        session.show(losses_view(losses))
        session.say(f"took {session.progress.seconds:.0f} s; kept as {kept}")
    if losses.ok:
        return 0
    return 3 if losses.clear and losses.not_done else 1


def _linted(session: Session, names: Sequence[str]) -> list[Finding]:
    from phi_labs.authoring.lint import lint  # noqa: PLC0415 - pydantic
    from phi_labs.model.content import lab_folder  # noqa: PLC0415

    folders = [lab_folder(name, session.content) for name in names]
    with session.progress.busy("reading " + ", ".join(names)):
        return [finding for folder in folders for finding in lint(folder)]


def _show_lint(session: Session, names: Sequence[str], found: Sequence[Finding], *, as_json: bool) -> int:
    from phi_labs.cli.lint_view import lint_view  # noqa: PLC0415

    ok = not any(finding.severity == "error" for finding in found)
    if as_json:
        session.emit({"ok": ok, "lint": [finding.to_data() for finding in found]})
    else:
        session.show(lint_view(names, found))
        if not ok:
            session.say("no machine was started: mend the errors first, or try one attempt with --only NAME")
    return 0 if ok else 1


def new(
    session: Session,
    lab: Annotated[str, typer.Argument(metavar="LAB", help="Its id: lower-case letters, digits, hyphens.")],
    *,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="The task in a few words.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Write a new lab that passes lint and verify at once, to be changed step by step.

    Example: phi-labs new fax-archive --title "Close the fax archive"

    Next: phi-labs verify LAB --seeds 1
    """
    from phi_labs.authoring.scaffold import new_lab  # noqa: PLC0415 - pydantic

    folder = new_lab(lab, title, session.content)
    if as_json:
        session.emit({"lab": lab, "folder": str(folder)})
        return 0
    files = sum(path.is_file() for path in folder.rglob("*"))
    session.out.print(f"wrote [bold]{escape(str(folder))}[/]  [dim]({files} files)[/]")
    session.out.print("It works as it is; docs/authoring.md says in which order to change it.")
    session.out.print(f"Next: [bold]phi-labs verify {lab} --seeds 1[/]")
    return 0


def bench(
    session: Session,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="GROUP",
            help="labs, two-hosts, opening, grading, synthetic, roster or records; again for more.",
        ),
    ] = None,
    trainees: Annotated[
        int, typer.Option("--trainees", metavar="N", min=2, help="Of the workshop; fewer for slow machines.")
    ] = 200,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Also write the JSON to a file.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Measure speed and memory, side by side with what one would use instead.

    Examples: phi-labs bench --output figures.json;  phi-labs bench --only opening --trainees 50
    """
    from phi_labs.bench import Choice  # noqa: PLC0415 - SDK, testinfra
    from phi_labs.bench import bench as measure  # noqa: PLC0415
    from phi_labs.cli.bench_view import bench_view  # noqa: PLC0415

    choice = Choice.of(only or (), trainees)
    with session.progress.busy("measuring") as tell:
        report = measure(session.installation, tell, choice)
    data = report.to_data()
    if output is not None:
        import json  # noqa: PLC0415

        session.installation.state.write(output, json.dumps(data, indent=2) + "\n")
    if as_json:
        session.emit(data)
    else:
        session.show(bench_view(report))
    return 0


def run_tests(context: typer.Context) -> None:
    """Run the project's own tests; needs a checkout. Arguments go to pytest.

    Examples: ./phi-labs test;  ./phi-labs test tests/model -k scorecard
    """
    root = Path(__file__).resolve().parents[3]
    script = root / "phi-labs"
    if not (script.is_file() and (root / "tests").is_dir()):
        raise UserError(
            "the tests are not part of an installed phi-labs", "run ./phi-labs test in a checkout"
        )
    os.execv(script, [str(script), "test", *context.args])  # noqa: S606 - no shell on purpose
