"""Which checks a lab has, known from their source before any of them runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from phi_labs.errors import UserError
from phi_labs.model.lab import Lab
from phi_labs.model.nearest import did_you_mean
from phi_labs.model.scorecard import ExpectedCheck

DECORATORS = ("objective", "guard")


@dataclass(frozen=True)
class Check:
    """One check function: where it is, whom it speaks for, and what it asks for.

    ``id`` is ``file.py::function``.
    """

    id: str
    target: str
    fixtures: tuple[str, ...]
    line: int = 0

    @property
    def uses_live(self) -> bool:
        """Whether it also looks at the running machine."""
        return not {"live", "lives"}.isdisjoint(self.fixtures)

    @property
    def expected(self) -> ExpectedCheck:
        """As scoring knows it."""
        return ExpectedCheck(self.id, self.target)


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a check file; line 0 is the file, or the folder, as a whole."""

    path: Path
    line: int
    text: str
    hint: str

    @property
    def error(self) -> UserError:
        """As an error with file and line."""
        where = f"{self.path}:{self.line}" if self.line else str(self.path)
        return UserError(f"{where}: {self.text}", self.hint)


def check_files(lab: Lab) -> list[Path]:
    """The lab's check files, sorted."""
    return sorted((lab.folder / "checks").glob("test_*.py"))


def expected_checks(lab: Lab) -> list[Check]:
    """Every check of a lab.

    Raises:
        UserError: a file does not parse, a check speaks for nobody or for a name the lab does not
            have, or an objective or guard has no check.
    """
    found, faults = inspect_checks(lab)
    if faults:
        raise faults[0].error
    return found


def inspect_checks(lab: Lab) -> tuple[list[Check], list[Fault]]:
    """Every check of a lab that can be read, and everything that is wrong with its check files."""
    found: list[Check] = []
    faults: list[Fault] = []
    for path in check_files(lab):
        checks, wrong = _read(path)
        found += checks
        faults += wrong
    known = (*lab.objective_ids, *(guard.id for guard in lab.guards))
    for check in found:
        if check.target not in known:
            path = lab.folder / "checks" / check.id.partition("::")[0]
            what = f"{check.id} speaks for {check.target!r}, unknown in lab.yml"
            faults.append(Fault(path, check.line, what, did_you_mean(check.target, known)))
    silent = [name for name in known if name not in {check.target for check in found}]
    if silent:
        folder = lab.folder / "checks"
        what = f"lab {lab.id}: no check speaks for {', '.join(silent)}"
        faults.append(Fault(folder, 0, what, "add one: it would never pass"))
    return found, faults


def _read(path: Path) -> tuple[tuple[Check, ...], tuple[Fault, ...]]:
    try:
        return _parsed(path, path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        line = getattr(error, "lineno", 0) or 0
        return (), (Fault(path, line, f"cannot be read: {error}", "mend the check file"),)


@lru_cache(maxsize=16)  # by the text itself: parsing takes 20 ms, and a verification grades hundreds of times
def _parsed(path: Path, text: str) -> tuple[tuple[Check, ...], tuple[Fault, ...]]:
    tree = ast.parse(text, filename=str(path))
    checks, faults = [], list(_hidden(tree, path))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            target = _target(node)
            if target is None:
                what = f"{node.name} says neither @objective(...) nor @guard(...)"
                hint = "decorate it with the id it speaks for, as a plain string"
                faults.append(Fault(path, node.lineno, what, hint))
            else:
                checks.append(Check(f"{path.name}::{node.name}", target, _fixtures(node), node.lineno))
    return tuple(checks), tuple(faults)


def _hidden(tree: ast.Module, path: Path) -> Iterator[Fault]:
    """What would be overridden, or run without being expected, is a mistake of the author's."""
    plain = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    seen: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        if node not in plain:
            yield Fault(
                path,
                node.lineno,
                f"{node.name} is no plain function at the top level of the file",
                "a check stands for itself, in no class and under no condition",
            )
        if node.name in seen:
            yield Fault(path, node.lineno, f"{node.name} stands there twice", "give it another name")
        seen.add(node.name)


def _target(node: ast.FunctionDef) -> str | None:
    for decorator in node.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Name)
            and decorator.func.id in DECORATORS
            and len(decorator.args) == 1
            and isinstance(decorator.args[0], ast.Constant)
            and isinstance(decorator.args[0].value, str)
        ):
            return decorator.args[0].value
    return None


def _fixtures(node: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(argument.arg for argument in node.args.args)
