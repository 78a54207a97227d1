"""brief.md and debrief.md, rendered for one trainee's entity and organisation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from phi_labs.errors import UserError
from phi_labs.model.entity import ENTITY_NAMES, Entity

if TYPE_CHECKING:
    from phi_labs.model.lab import Lab
    from phi_labs.model.organisation import Organisation


def render_brief(
    lab: Lab, organisation: Organisation, entity: Entity, variables: Mapping[str, Any] | None = None
) -> str:
    """What the trainee reads first, as Markdown; UserError with file and line if it does not render."""
    return _render(lab.folder / "brief.md", _words(lab, organisation, entity), variables or {})


def render_debrief(
    lab: Lab, organisation: Organisation, entity: Entity, variables: Mapping[str, Any] | None = None
) -> str:
    """What the trainee reads afterwards, as Markdown; UserError with file and line if it does not render."""
    return _render(lab.folder / "debrief.md", _words(lab, organisation, entity), variables or {})


def names_of_a_run(lab: Lab, organisation: Organisation, entity: Entity) -> frozenset[str]:
    """The variables in brief.md that only a run of the lab can fill (its plant.py sets them)."""
    try:
        tree = ImmutableSandboxedEnvironment().parse((lab.folder / "brief.md").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TemplateSyntaxError):
        return frozenset()  # render_brief tells what is wrong, with file and line
    return frozenset(meta.find_undeclared_variables(tree)) - set(_words(lab, organisation, entity))


def _words(lab: Lab, organisation: Organisation, entity: Entity) -> dict[str, Any]:
    return {
        "lab": lab.model_dump(),  # data only: a template gets no Path to act on
        "organisation": organisation,
        "entity": entity,
        "entity_name": ENTITY_NAMES[entity],
        "party": organisation.party(entity),
        "notify": organisation.notify(entity),
        "notify_hours": organisation.notify_hours(entity),
        "policy": organisation.policy(lab.policy),
        "retention_days": organisation.retention_days,
    }


def _render(path: Path, words: dict[str, Any], variables: Mapping[str, Any]) -> str:
    if taken := sorted(set(words) & set(variables)):
        raise UserError(
            f"{path}: the lab's plant.py sets {', '.join(taken)}, which has a meaning of its own",
            "choose another name in p.variable(...)",
        )
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read: {error}", "every lab has a brief.md and a debrief.md"
        ) from error
    try:
        return render_template(source, {**words, **variables})
    except Exception as error:  # a template can raise anything, and all of it is its author's to mend
        hint = f"names known here: {', '.join(sorted({*words, *variables}))}"
        raise UserError(f"{path}:{template_line(error)}: {error}", hint) from error


def render_template(source: str, words: Mapping[str, Any]) -> str:
    """``source`` with ``words`` filled in; a mistake in it raises whatever Jinja2 does."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(source).render(words)


def template_line(error: BaseException) -> int:
    """The template's line: syntax errors carry it, others have it in the innermost template frame."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, frame = 1, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<template>":
            line = frame.tb_lineno
        frame = frame.tb_next
    return line
