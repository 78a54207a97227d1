"""Which checks a lab has, known from their source before any of them runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
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

    @property
    def uses_live(self) -> bool:
        """Whether it also looks at the running machine."""
        return not {"live", "lives"}.isdisjoint(self.fixtures)

    @property
    def expected(self) -> ExpectedCheck:
        """As scoring knows it."""
        return ExpectedCheck(self.id, self.target)


def check_files(lab: Lab) -> list[Path]:
    """The lab's check files, sorted."""
    return sorted((lab.folder / "checks").glob("test_*.py"))


def expected_checks(lab: Lab) -> list[Check]:
    """Every check of a lab.

    Raises:
        UserError: a file does not parse, a check speaks for nobody or for a name the lab does not
            have, or an objective or guard has no check.
    """
    found = [check for path in check_files(lab) for check in _checks_in(path)]
    known = (*lab.objective_ids, *(guard.id for guard in lab.guards))
    for check in found:
        if check.target not in known:
            raise UserError(
                f"{lab.folder / 'checks'}: {check.id} speaks for {check.target!r}, unknown in lab.yml",
                did_you_mean(check.target, known),
            )
    silent = [name for name in known if name not in {check.target for check in found}]
    if silent:
        raise UserError(
            f"lab {lab.id}: no check speaks for {', '.join(silent)}",
            f"add one to {lab.folder / 'checks'}: it would never pass",
        )
    return found


def _checks_in(path: Path) -> Iterator[Check]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}", "mend the check file") from error
    _refuse_hidden(tree, path)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield Check(f"{path.name}::{node.name}", _target(node, path), _fixtures(node))


def _refuse_hidden(tree: ast.Module, path: Path) -> None:
    """What would be overridden, or run without being expected, is a mistake of the author's."""
    plain = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    seen: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        if node not in plain:
            raise UserError(
                f"{path}:{node.lineno}: {node.name} is no plain function at the top level of the file",
                "a check stands for itself, in no class and under no condition",
            )
        if node.name in seen:
            raise UserError(f"{path}:{node.lineno}: {node.name} stands there twice", "give it another name")
        seen.add(node.name)


def _target(node: ast.FunctionDef, path: Path) -> str:
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
    raise UserError(
        f"{path}:{node.lineno}: {node.name} says neither @objective(...) nor @guard(...)",
        "decorate it with the id it speaks for, as a plain string",
    )


def _fixtures(node: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(argument.arg for argument in node.args.args)
