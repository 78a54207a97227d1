"""Templates, and what the printable pages of a learner and of a cohort have in common."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from phi_labs import __version__
from phi_labs.model.cohort import Cohort
from phi_labs.model.scorecard import plain
from phi_labs.workshop.exports import facts

_TEMPLATES = Path(__file__).parent / "templates"
NONE = "\u2013"  # an en dash: no score
TRIGGERS = {
    "hire": "new hire",
    "change": "change of role or policy",
    "annual": "annual refresher",
    "sra-finding": "finding of a risk analysis",
    "incident": "incident",
}
COUNT_RULES = {
    "last": "the last supervised attempt before the deadline",
    "best": "the best supervised attempt before the deadline",
    "first": "the first supervised attempt before the deadline",
}


def page(name: str, cohort: Cohort, **values: Any) -> str:
    """The template of that name, filled in; every value is escaped."""
    common = {
        "style": _style(),
        "statement": facts.STATEMENT,
        "version": __version__,
        "title": cohort.title,
        "head_hash": cohort.head[0],
        "head_count": cohort.head[1],
    }
    return _template(name).render({**common, **values})


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _visible(value: Any) -> Any:
    """Text without characters that control a terminal or turn the direction; our own markup as it is."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _style() -> Markup:
    return Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file


def drawing(svg: str) -> Markup:
    """An SVG that ``chart`` made, which escapes what it is given."""
    return Markup(svg)  # noqa: S704 - see above


def minute(text: str) -> str:
    """A time to the minute: ``2026-03-02 17:04``; empty for none."""
    return text[:16].replace("T", " ")
