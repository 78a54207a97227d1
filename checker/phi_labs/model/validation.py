"""From a YAML document to a pydantic model, with complaints that an author can act on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, RootModel, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from phi_labs.model.document import Document, Loc, Problem
from phi_labs.model.nearest import did_you_mean

M = TypeVar("M", bound=BaseModel)


class FileModel(BaseModel):
    """Base of everything read from a file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Account = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]

_TEXTS = {
    "missing": "is missing",
    "string_type": "must be text (put it in quotes)",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_too_long": "is too long (at most {max_length} characters)",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}
_PATTERN_TEXTS = {
    r"^[1-9][0-9]{0,9}[kmg]$": "must be a number and k, m or g, such as 128m",
    r"^[a-z_][a-z0-9_-]{0,31}$": "must be an account name: lower-case letters, digits, _ and -",
    NAME_PATTERN: "must be lower-case letters, digits and hyphens, at most 40 of them",
    r"^[^\x00-\x1f\x7f]*$": "must be one line of text without control characters",
}


def validated(model: type[M], document: Document) -> M:
    """The document as ``model``; everything that does not fit becomes one UserError."""
    fitted, problems = fit(model, document)
    if fitted is None:
        raise document.error(problems)
    return fitted


def fit(model: type[M], document: Document) -> tuple[M | None, list[Problem]]:
    """The document as ``model``, or None and everything that does not fit."""
    try:
        return model.model_validate(document.data), []
    except ValidationError as error:
        found = _telling(error.errors(include_url=False))
        return None, list(dict.fromkeys(_problem(model, document, item) for item in found))


def _telling(items: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without "list too short" where pydantic only means that it dropped a malformed item."""
    return [item for item in items if item["type"] != "too_short" or not item["input"]]


def _problem(model: type[BaseModel], document: Document, item: ErrorDetails) -> Problem:
    loc: Loc = item["loc"]
    if item["type"] == "extra_forbidden":
        known = field_names(model, loc[:-1])
        advice = did_you_mean(str(loc[-1]), known) or f"known here: {', '.join(known)}"
        return Problem(loc, f"unknown key; {advice}")
    if item["type"] == "missing":
        return Problem(loc, _TEXTS["missing"])
    return Problem(document.known(loc), _text(item))


def _text(item: ErrorDetails) -> str:
    context: dict[str, Any] = item.get("ctx") or {}
    if item["type"] == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        return _PATTERN_TEXTS.get(pattern, f"{item['input']!r:.60} does not match {pattern}")
    template = _TEXTS.get(item["type"])
    return template.format(**context) if template else item["msg"].removeprefix("Value error, ")


def field_names(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that the model at ``loc`` inside ``model`` knows."""
    current: type[BaseModel] | None = model
    for step in loc:
        if isinstance(step, str) and current is not None:
            field = current.model_fields.get("root" if issubclass(current, RootModel) else step)
            current = next(_models_in(field.annotation), None) if field else None
    return list(current.model_fields) if current else []


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
