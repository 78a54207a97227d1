"""Scenarios: found, read, matched with the labs that exist, and their story told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phi_labs.errors import UserError
from phi_labs.model.brief import render_template, template_line
from phi_labs.model.content import lab_folder, scenario_file, scenario_ids
from phi_labs.model.document import Problem, read_document
from phi_labs.model.entity import ENTITIES, ENTITY_NAMES, Entity
from phi_labs.model.lab import Lab, load_lab
from phi_labs.model.organisation import Organisation, load_organisation
from phi_labs.model.scenario import Scenario, Step, scenario_problems
from phi_labs.model.validation import validated
from phi_labs.model.wording import forbidden_phrases

__all__ = ["LoadedScenario", "Scenario", "Step", "all_scenarios", "find_scenario", "load_scenario", "story"]


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario and its labs, in its order; ``path`` and ``story_line`` say where its story stands."""

    scenario: Scenario
    labs: tuple[Lab, ...]
    path: Path
    story_line: int = 1

    def entity_of(self, roster_entity: Entity) -> Entity:
        """As whose staff a learner takes it: the scenario's entity, else the roster's."""
        return self.scenario.entity or roster_entity


@dataclass(frozen=True)
class BrokenScenario:
    """A scenario that cannot be used, and why."""

    id: str
    error: UserError


def find_scenario(name: str, content: Path | None = None) -> LoadedScenario:
    """The scenario of that id, or in that file (a name that ends in .yml or holds a slash).

    Raises:
        UserError: unknown (with the nearest name), or wrong (with file, line and key).
    """
    if name.endswith((".yml", ".yaml")) or "/" in name:
        return load_scenario(Path(name), content)
    return load_scenario(scenario_file(name, content), content)


def load_scenario(path: Path, content: Path | None = None) -> LoadedScenario:
    """The scenario in ``path`` and its labs; all that is wrong is one UserError with file, line and key."""
    document = read_document(path)
    scenario = validated(Scenario, document)
    problems = list(scenario_problems(scenario, path.stem))
    labs, unknown = _labs(scenario, content)
    problems += unknown
    problems += _entity_problems(scenario, labs)
    problems += _wording_problems(scenario)
    if problems:
        raise document.error(problems)
    loaded = LoadedScenario(scenario, tuple(labs.values()), path, document.line(("story",)))
    for entity in (scenario.entity,) if scenario.entity else ENTITIES:
        story(
            loaded, load_organisation(), entity
        )  # a story that does not render is told now, not in front of learners
    return loaded


def all_scenarios(content: Path | None = None) -> tuple[list[LoadedScenario], list[BrokenScenario]]:
    """Every scenario that can be used, sorted by id, and every one that cannot."""
    loaded, broken = [], []
    for scenario_id in scenario_ids(content):
        try:
            loaded.append(find_scenario(scenario_id, content))
        except UserError as error:
            broken.append(BrokenScenario(scenario_id, error))
    return loaded, broken


def _labs(scenario: Scenario, content: Path | None) -> tuple[dict[str, Lab], list[Problem]]:
    """Lab id -> lab, and a problem for each that there is none of.

    Raises:
        UserError: a lab exists, and its own files are wrong.
    """
    found: dict[str, Lab] = {}
    problems = []
    for index, lab_id in enumerate(scenario.lab_ids):
        try:
            folder = lab_folder(lab_id, content)
        except UserError as error:
            problems.append(Problem(("labs", index, "id"), f"{error.message}; {error.hint}"))
        else:
            found[lab_id] = load_lab(folder)
    return found, problems


def _entity_problems(scenario: Scenario, labs: dict[str, Lab]) -> Iterator[Problem]:
    for index, step in enumerate(scenario.labs):
        entities = labs[step.id].entities if step.id in labs else ENTITIES
        if scenario.entity and scenario.entity not in entities:
            text = f"{step.id} cannot be taken as staff of a {ENTITY_NAMES[scenario.entity]}"
            yield Problem(("labs", index, "id"), text)


def _wording_problems(scenario: Scenario) -> Iterator[Problem]:
    for key in ("title", "summary", "story"):
        for finding in forbidden_phrases(getattr(scenario, key)):
            yield Problem((key,), f"never say {finding.phrase!r}; say {finding.instead!r}")


# -- the story -------------------------------------------------------------------------------


def story(loaded: LoadedScenario, organisation: Organisation, entity: Entity) -> str:
    """What a learner reads first, as Markdown; UserError with file and line if it does not render."""
    words = _words(loaded, organisation, entity)
    try:
        return render_template(loaded.scenario.story, words)
    except Exception as error:  # a template can raise anything, and all of it is its author's to mend
        hint = f"names known here: {', '.join(sorted(words))}"
        line = loaded.story_line + template_line(error)
        raise UserError(f"{loaded.path}:{line}: story: {error}", hint) from error


def _words(loaded: LoadedScenario, organisation: Organisation, entity: Entity) -> dict[str, Any]:
    scenario = loaded.scenario
    return {
        "scenario": scenario.model_dump(mode="json"),
        "labs": [_lab_words(lab, organisation) for lab in loaded.labs],
        "organisation": organisation,
        "entity": entity,
        "entity_name": ENTITY_NAMES[entity],
        "party": organisation.party(entity),
        "notify": organisation.notify(entity),
        "notify_hours": organisation.notify_hours(entity),
    }


def _lab_words(lab: Lab, organisation: Organisation) -> dict[str, Any]:
    return {
        "id": lab.id,
        "title": lab.title,
        "minutes": lab.minutes,
        "policy": organisation.policy(lab.policy),
    }
