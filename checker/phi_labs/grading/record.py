"""The record a trainee fills in: a small YAML form, read as data and never trusted to be well-formed."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from phi_labs.grading.host.files import Files

SIZE_LIMIT = 64 * 1024
DEPTH_LIMIT = 12


class Record:
    """The form at ``path`` of a machine.

    Attributes:
        error: why it cannot be read (missing, no regular file, too large, not YAML), None when it can.
    """

    def __init__(self, data: dict[str, Any], error: str | None, path: str) -> None:
        self._data = data
        self.error = error
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether there is a form that can be read."""
        return self.error is None

    def field(self, name: str) -> Any:
        """The value of a field (``a.b`` goes into mappings); None when it is missing or empty.

        Text is stripped; an empty string counts as None.
        """
        value: Any = self._data
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value.strip() or None
        return value


def read_record(host: Files, path: str) -> Record:
    """Read the form; every trouble with it is the record's ``error``, in words for the trainee."""
    file = host.file(path)
    if not file.exists:
        return Record({}, f"there is no record at {path}", path)
    if not stat.S_ISREG(file.type) or file.is_symlink:
        return Record({}, f"{path} is not a regular file", path)
    if file.size > SIZE_LIMIT:
        return Record({}, f"{path} is larger than {SIZE_LIMIT // 1024} KiB", path)
    return _parsed(file.content, path)


def _parsed(content: bytes, path: str) -> Record:
    try:
        text = content.decode("utf-8-sig")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                return Record({}, f"{path} uses YAML aliases; write the values out", path)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_LIMIT:
                return Record({}, f"{path} is nested too deeply", path)
        data = yaml.safe_load(text)
    except UnicodeDecodeError:
        return Record({}, f"{path} is not UTF-8 text", path)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        return Record({}, f"{path} is not valid YAML{where}", path)
    if not isinstance(data, dict):
        return Record({}, f"{path} holds no fields", path)
    return Record(data, None, path)
