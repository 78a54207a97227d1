"""One invocation of the command line: who asks, about which content, and where answers go."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType

from phi_labs.cli.identity import trainee_of
from phi_labs.cli.progress import Progress
from phi_labs.errors import UserError

if TYPE_CHECKING:  # pydantic and the SDK cost 70 and 250 ms; --help and labs need neither or one
    from phi_labs.lifecycle.installation import Installation
    from phi_labs.model.lab import Lab
    from phi_labs.model.run import Run

MakeInstallation = Callable[[Callable[[str], None], Path | None], "Installation"]


def default_installation(tell: Callable[[str], None], content: Path | None) -> Installation:
    """The installation that the environment names."""
    from phi_labs.lifecycle.installation import Installation  # noqa: PLC0415 - see above

    return Installation(tell=tell, content=content)


class Output(Console):
    """Leaves a reader's going away to ``main``: rich itself exits with 1, which is our "not all passed"."""

    def on_broken_pipe(self) -> None:
        """Pass the BrokenPipeError on that rich has caught."""
        self.quiet = True
        raise BrokenPipeError


@dataclass
class Session:
    """What every command works with.

    Attributes:
        given_trainee: --trainee, None for the default.
        content: --content, None for the checkout's or the package's own.
        make_installation: how the installation is made; tests put in their own.
    """

    given_trainee: str | None = None
    content: Path | None = None
    make_installation: MakeInstallation = default_installation
    out: Console = field(default_factory=lambda: Output(highlight=False))
    err: Console = field(default_factory=lambda: Output(stderr=True, highlight=False))

    @cached_property
    def trainee(self) -> str:
        """The trainee's name; UserError when it cannot be one."""
        return trainee_of(self.given_trainee)

    @cached_property
    def progress(self) -> Progress:
        """Where progress goes."""
        return Progress(self.err)

    @cached_property
    def installation(self) -> Installation:
        """State directory and engine, made on first use."""
        return self.make_installation(self.progress.tell, self.content)

    def lab_words(self, lab_id: str) -> str:
        """What to type behind a command to mean this trainee's run of the lab again."""
        if self.given_trainee is None:
            return lab_id
        return f"{lab_id} --trainee {shlex.quote(self.given_trainee)}"

    def lab(self, lab_id: str) -> Lab:
        """That lab; UserError with the nearest names when it is unknown."""
        from phi_labs.model.content import find_lab  # noqa: PLC0415 - pydantic

        return find_lab(lab_id, self.content)

    def run_of(self, lab_id: str) -> Run:
        """The trainee's run of a lab as it was saved, without asking the engine; UserError if none."""
        self.lab_known(lab_id)
        run = self.installation.state.load_run(self.trainee, lab_id)
        if run is None:
            raise UserError(f"{self.trainee} has no run of {lab_id}", f"start one: phi-labs start {lab_id}")
        return run

    def lab_known(self, lab_id: str) -> None:
        """UserError with the nearest names when there is no such lab."""
        from phi_labs.model.content import lab_folder  # noqa: PLC0415 - rarely needed

        lab_folder(lab_id, self.content)

    def show(self, *what: RenderableType) -> None:
        """Print an answer."""
        self.out.print(*what)

    def say(self, text: str) -> None:
        """Print one remark on standard error, where it does not mix with answers."""
        self.err.print(f"phi-labs: {text}", markup=False, soft_wrap=True)

    def emit(self, data: Any) -> None:
        """Print JSON, and nothing else, on standard output."""
        print(json.dumps(data, indent=2, ensure_ascii=False, sort_keys=False), file=sys.stdout)

    def confirm(self, question: str, *, yes: bool, unless: str | None) -> bool:
        """Whether the user agrees.

        Args:
            unless: what to add to the command where nobody is there to ask; None: then it means yes.

        Raises:
            UserError: nobody is there to ask, and ``unless`` was given.
        """
        if yes or (unless is None and not sys.stdin.isatty()):
            return True
        if unless is not None and not sys.stdin.isatty():
            raise UserError(f"this needs an answer: {question}", unless)
        self.err.print(f"{question} [y/N] ", end="", markup=False)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}
