"""Whether a lab's checks stay inside their means, and what they tell trainees."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from phi_labs.authoring.lint_subject import Finding, Subject
from phi_labs.grading.expected import check_files, inspect_checks

ALLOWED = ("phi_labs.checks", "pytest")
# What a grader's own machine is asked with; a check asks the trainee's.
_OWN_MACHINE = frozenset(
    ("subprocess", "socket", "ctypes", "multiprocessing", "urllib", "http", "ftplib", "shutil")
)
# Formatted into a message, these are identifiers, right answers, or text of the machine.
_TELLING = """
identifiers answers facts mrn ssn dob display family given member_id content content_string stdout stderr
private_key patient patients canaries
"""
_LEAKS = frozenset(_TELLING.split())
# And these, when a variable of the check holds them.
_CARRIED = frozenset(("identifiers", "answers", "mrn", "ssn", "stdout", "stderr", "private_key"))
_PASSES_ON = frozenset(
    ("repr", "str", "sorted", "list", "set", "tuple", "frozenset", "max", "min", "next", "iter")
)
_COUNTS = frozenset(("len", "sum", "bool", "type", "any", "all"))
_SKIPS = frozenset(("skip", "skipif", "xfail", "importorskip"))


def findings(subject: Subject) -> Iterator[Finding]:
    """What is wrong with the files in checks/."""
    yield from _known_faults(subject)
    wanted = f"test_{subject.lab.id.replace('-', '_')}"
    for path in sorted((subject.folder / "checks").glob("*.py")):
        if not path.name.startswith(wanted):
            what = f"its name does not begin with {wanted}: names of check files are unique among labs"
            yield subject.error(path, 0, "check-name", what, f"call it {wanted}.py")
    for path in check_files(subject.lab):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except (SyntaxError, ValueError, OSError):
            continue  # told above
        yield from _imports(subject, path, tree)
        yield from _messages(subject, path, tree)
        yield from _recipes(subject, path, tree)


def _known_faults(subject: Subject) -> Iterator[Finding]:
    if not check_files(subject.lab):
        folder = subject.folder / "checks"
        yield subject.error(folder, 0, "no-checks", "there are no checks", "write checks/test_<id>.py")
        return
    for fault in inspect_checks(subject.lab)[1]:
        mend = fault.hint or "name an objective or guard of lab.yml"
        yield subject.error(fault.path, fault.line, "check-target", fault.text, mend)


def _imports(subject: Subject, path: Path, tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."] if not node.level else ["."]
        for name in names:
            top = name.partition(".")[0]
            if name not in ALLOWED and top not in sys.stdlib_module_names:
                what = f"imports {name}; checks import phi_labs.checks, pytest and the standard library"
                yield subject.error(
                    path, _line(node), "check-import", what, "ask through the fixtures instead"
                )
            elif top in _OWN_MACHINE:
                what = f"imports {name}, which asks the grader's own machine"
                yield subject.advice(
                    path, _line(node), "check-import", what, "ask host, live or pristine instead"
                )
        if isinstance(node, ast.Attribute) and node.attr in _SKIPS and _root(node) == "pytest":
            what = f"uses pytest's {node.attr}: a check that is skipped scores nothing"
            yield subject.error(path, _line(node), "check-skip", what, "assert what must hold")


def _messages(subject: Subject, path: Path, tree: ast.Module) -> Iterator[Finding]:
    helpers = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for top in tree.body:
        said = _Said(helpers, top)
        for node in ast.walk(top):
            if isinstance(node, ast.Assert):
                if node.msg is None:
                    what = "asserts without a message: the trainee would learn nothing"
                    yield subject.error(path, node.lineno, "check-message", what, "say what was seen")
                elif name := said.leaked(node.msg):
                    yield _leak(subject, path, node.lineno, name)
            elif isinstance(node, ast.Call) and _says_failure(node):
                for argument in node.args:
                    if name := said.leaked(argument):
                        yield _leak(subject, path, node.lineno, name)


def _leak(subject: Subject, path: Path, line: int, name: str) -> Finding:
    what = f"its message prints `{name}`: an identifier, a right answer or the machine's own text"
    return subject.error(path, line, "check-leak", what, "say how many and where, never which")


def _says_failure(node: ast.Call) -> bool:
    called = node.func
    if isinstance(called, ast.Name):
        return called.id == "AssertionError"
    return isinstance(called, ast.Attribute) and called.attr == "fail" and _root(called) == "pytest"


class _Said:
    """What messages inside of one function print: names that tell, also by way of variables and helpers."""

    def __init__(self, helpers: dict[str, ast.FunctionDef], inside: ast.AST, *, nested: bool = False) -> None:
        self.helpers = {} if nested else helpers
        self.carries: dict[str, str] = {}
        for _ in range(2):  # a variable made of a variable
            for node in ast.walk(inside):
                if isinstance(node, ast.Assign | ast.NamedExpr):
                    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                    carried = self.leaked(node.value, printed=True)
                    if isinstance(target, ast.Name) and carried in _CARRIED:
                        self.carries[target.id] = carried

    def leaked(self, node: ast.AST, *, printed: bool = False) -> str:  # noqa: PLR0911 - one for each kind
        """The first telling name that is formatted, empty when none; what is counted is not told."""
        if isinstance(node, ast.Call):
            return self._by_call(node, printed=printed)
        if isinstance(node, ast.FormattedValue):
            return self.leaked(node.value, printed=True)
        if isinstance(node, ast.Compare):
            return ""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            return self.leaked(node.right, printed=True)
        if printed and isinstance(node, ast.Attribute) and node.attr in _LEAKS:
            return node.attr
        if printed and isinstance(node, ast.Name):
            return self.carries.get(node.id, node.id if node.id in _LEAKS else "")
        if printed and isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            key = str(node.slice.value)
            return key if key in _LEAKS else self.leaked(node.value, printed=True)
        return self._first(list(ast.iter_child_nodes(node)), printed=printed)

    def _by_call(self, node: ast.Call, *, printed: bool) -> str:
        called, inside = node.func, [*node.args, *(word.value for word in node.keywords)]
        if isinstance(called, ast.Attribute):
            if called.attr in ("join", "format"):
                return self._first(inside, printed=True) or self.leaked(called.value, printed=printed)
            return called.attr if printed and called.attr in _LEAKS else ""
        name = called.id if isinstance(called, ast.Name) else ""
        if name in _PASSES_ON:
            return self._first(inside, printed=printed or name in ("str", "repr"))
        helper = self.helpers.get(name)
        if helper is None or name in _COUNTS:
            return ""
        own = _Said(self.helpers, helper, nested=True)
        returned = [item.value for item in ast.walk(helper) if isinstance(item, ast.Return) and item.value]
        return own._first(returned, printed=False)

    def _first(self, nodes: Sequence[ast.AST], *, printed: bool) -> str:
        return next(filter(None, (self.leaked(node, printed=printed) for node in nodes)), "")


def _recipes(subject: Subject, path: Path, tree: ast.Module) -> Iterator[Finding]:
    """An objective that compares a mode with a figure asks for a recipe."""
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef) or not _speaks_for_objective(function):
            continue
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Compare)
                and isinstance(node.left, ast.Attribute)
                and node.left.attr == "mode"
            ):
                what = "compares a mode with a figure: that is one recipe of several"
                yield subject.advice(
                    path, node.lineno, "check-recipe", what, "ask who can read it: host.as_user(...)"
                )


def _speaks_for_objective(function: ast.FunctionDef) -> bool:
    calls = [item.func for item in function.decorator_list if isinstance(item, ast.Call)]
    return any(isinstance(called, ast.Name) and called.id == "objective" for called in calls)


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))
