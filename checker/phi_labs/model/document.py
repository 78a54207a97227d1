"""YAML files with line numbers: every complaint names file, line and key."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from phi_labs.errors import UserError

Loc = tuple[str | int, ...]

SIZE_LIMIT = 256 * 1024  # bytes; the largest lab file is a few KiB
DEPTH_LIMIT = 30  # libyaml composes recursively in C: 100,000 brackets end the process (tried)
SHOWN_PROBLEMS = 12
_STRING_TAG = "tag:yaml.org,2002:str"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Problem:
    """One complaint about one key of a file."""

    loc: Loc
    text: str


@dataclass(frozen=True)
class Document:
    """A YAML file: its data, and the line (from 1) on which each key or list item stands."""

    path: Path
    data: Any
    lines: Mapping[Loc, int]

    def line(self, loc: Loc) -> int:
        """Line of the key at ``loc``, or of the nearest enclosing one that the file has."""
        return self.lines.get(self.known(loc), 1)

    def known(self, loc: Loc) -> Loc:
        """The longest beginning of ``loc`` that the file has."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return loc

    def error(self, problems: Iterable[Problem], hint: str = "") -> UserError:
        """All problems as one UserError, a line each, in the order of the file."""
        ordered = sorted(problems, key=lambda problem: self.line(problem.loc))
        shown = [self._describe(problem) for problem in ordered[:SHOWN_PROBLEMS]]
        if len(ordered) > SHOWN_PROBLEMS:
            shown.append(f"... and {len(ordered) - SHOWN_PROBLEMS} more")
        return UserError("\n".join(shown), hint or "correct the file at the lines named above")

    def _describe(self, problem: Problem) -> str:
        key = key_text(problem.loc)
        where = f"{self.path}:{self.line(problem.loc)}"
        return f"{where}: {key}: {problem.text}" if key else f"{where}: {problem.text}"


def key_text(loc: Loc) -> str:
    """``("objectives", 0, "points")`` as ``objectives[0].points``."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_document(path: Path) -> Document:
    """Read one YAML file whose top level is a mapping.

    Unreadable, oversized, non-UTF-8, empty, malformed or oddly built files (duplicate keys, keys that
    are not text, aliases, deep nesting) are UserErrors.
    """
    text = _read_text(path)
    loader = None
    try:
        _refuse_aliases_and_depth(path, text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise _fault(path, node, "is empty" if node is None else "is not a mapping of keys to values")
        lines = _collect_lines(path, node)
        data = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _not_yaml(path, error) from error
    except ValueError as error:  # a scalar such as 2026-02-30
        raise UserError(f"{path}: not YAML: {error}", "put the value in quotes if it is text") from error
    finally:
        if loader is not None:
            loader.dispose()
    return Document(path, data, lines)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}", "check that the file exists") from error
    if len(content) > SIZE_LIMIT:
        raise UserError(
            f"{path}: larger than {SIZE_LIMIT // 1024} KiB", "this is no file of phi-labs; split it"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8", "save the file as UTF-8") from error


def _refuse_aliases_and_depth(path: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _fault(
                path, event, f"alias *{event.anchor}: aliases are not used here", "write the value out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            raise _fault(path, event, f"nested deeper than {DEPTH_LIMIT} levels")


def _collect_lines(path: Path, root: yaml.MappingNode) -> dict[Loc, int]:
    lines: dict[Loc, int] = {(): 1}
    for loc, line in _walk(path, root, ()):
        lines[loc] = line
    return lines


def _walk(path: Path, node: yaml.Node, loc: Loc) -> Iterator[tuple[Loc, int]]:
    if isinstance(node, yaml.MappingNode):
        yield from _walk_mapping(path, node, loc)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*loc, index), item.start_mark.line + 1
            yield from _walk(path, item, (*loc, index))


def _walk_mapping(path: Path, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[Loc, int]]:
    first: dict[Hashable, int] = {}
    for key, value in node.value:
        if key.tag != _STRING_TAG:
            written = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise _fault(path, key, f"key {written} is not text", "put the key in quotes")
        name, line = str(key.value), key.start_mark.line + 1
        if name in first:
            text = f"{key_text((*loc, name))}: is given twice (first on line {first[name]})"
            raise _fault(path, key, text, "keep one of the two")
        first[name] = line
        yield (*loc, name), line
        yield from _walk(path, value, (*loc, name))


def _fault(path: Path, place: Any, text: str, hint: str = "correct the file") -> UserError:
    line = place.start_mark.line + 1 if place is not None else 1
    return UserError(f"{path}:{line}: {text}", hint)


def _not_yaml(path: Path, error: yaml.YAMLError) -> UserError:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return UserError(
        f"{where}: not YAML: {what}", "check indentation, colons and quotes on and above that line"
    )
