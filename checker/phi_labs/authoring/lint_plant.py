"""Planting a lab in memory: whether it works, repeats itself, and differs between trainees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import yaml

from phi_labs.authoring.lint_subject import Finding, Subject, from_error
from phi_labs.errors import PhiLabsError
from phi_labs.lifecycle.accounts import Account, Accounts
from phi_labs.lifecycle.plant import Planting, plant
from phi_labs.model.brief import render_brief, render_debrief
from phi_labs.model.entity import Entity
from phi_labs.model.organisation import load_organisation

_SEEDS = (b"lint, one trainee".ljust(32), b"lint, another one".ljust(32))
_BLOCK = 41_000


class _Anybody(dict[str, Account]):
    """Stands for the accounts of an image that need not be built: whoever is asked for is there."""

    def __missing__(self, name: str) -> Account:
        self[name] = Account(name, _number(name), _number(name), f"/home/{name}", "/bin/bash")
        return self[name]

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - dict's own
        return self[name]


class _AnyGroup(dict[str, int]):
    """The same for groups."""

    def __missing__(self, name: str) -> int:
        return _number(name)

    def __contains__(self, name: object) -> bool:
        return True


def _number(name: str) -> int:
    return 1000 if name == "root" else 1001 + int(hashlib.sha256(name.encode()).hexdigest()[:4], 16)


def findings(subject: Subject) -> Iterator[Finding]:
    """What planting in memory shows."""
    path = subject.folder / "plant.py"
    entities = subject.lab.entities
    try:
        first, other, again = (_planted(subject, entities[0], seed) for seed in (*_SEEDS, _SEEDS[0]))
        planted = {
            entities[0]: first,
            **{entity: _planted(subject, entity, _SEEDS[0]) for entity in entities[1:]},
        }
    except PhiLabsError as error:
        yield from_error(subject.lab.id, path, "plant", error)
        return
    if _bytes(first) != _bytes(again):
        what = "plants something else for the same seed: a run could not be made again"
        yield subject.error(
            path, 0, "plant", what, "draw from p.rng(label), count time from phi_fixtures.EPOCH"
        )
    yield from _manifest(subject, first, other)
    yield from _form(subject, first)
    for entity, planting in planted.items():
        yield from _texts(subject, entity, planting)


def _planted(subject: Subject, entity: Entity, seed: bytes) -> Planting:
    anybody = Accounts(_Anybody(), _AnyGroup(), {})
    accounts = {host.name: anybody for host in subject.lab.hosts}
    planting = Planting(subject.lab, entity, load_organisation(), seed, _BLOCK, accounts)
    plant(planting)
    return planting


def _bytes(planting: Planting) -> str:
    archives = [planting.archive(host.name) for host in planting.lab.hosts]
    digest = hashlib.sha256(b"".join(archives) + planting.manifest.to_json().encode())
    return digest.hexdigest()


def _manifest(subject: Subject, first: Planting, other: Planting) -> Iterator[Finding]:
    path = subject.folder / "plant.py"
    if not first.manifest.sites:
        what = "notes nothing with p.planted: it can neither be swept for nor be emptied to try the grader"
        yield subject.error(path, 0, "plant", what, "call p.planted(site, path, patients, fields)")
    ours, others = first.manifest.answers, other.manifest.answers
    if subject.lab.record and ours == others:
        what = "the right answers are the same for two trainees: they can be copied"
        yield subject.error(
            path, 0, "plant-portable", what, "choose names, days and numbers from p.rng(label)"
        )
    identifiers = first.manifest.identifiers()
    for name, value in (*first.manifest.variables.items(), *ours.items()):
        if any(identifier in json.dumps(value, ensure_ascii=False) for identifier in identifiers):
            what = f"{name} holds a planted identifier, and is printed to trainees or asked of them"
            yield subject.error(path, 0, "plant", what, "facts about patients are counted, not named")


def _form(subject: Subject, planting: Planting) -> Iterator[Finding]:
    """The record's form, if it is planted as a file: it asks for what is graded."""
    if subject.lab.record is None:
        return
    files = [planting._files[host.name].get(subject.lab.record.strip("/")) for host in subject.lab.hosts]
    forms = [found[1] for found in files if found is not None]
    path = subject.folder / "plant.py"
    if not forms:
        what = f"does not plant {subject.lab.record}"
        yield subject.error(
            path, 0, "record-form", what, "plant the empty form, with a comment at each field"
        )
    for form in forms:
        try:
            asked = yaml.safe_load(form.decode())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            yield subject.error(
                path, 0, "record-form", f"the planted form is no YAML: {error}", "mend the form"
            )
            continue
        if not asked:
            yield subject.error(path, 0, "record-form", "the planted form asks for nothing", "give it fields")
        unknown = set(asked if isinstance(asked, dict) else ()) - set(planting.manifest.answers)
        for name in sorted(unknown):
            what = f"the form asks for `{name}`, and p.answer never says what is right"
            yield subject.advice(path, 0, "record-form", what, "grade it, or do not ask")


def _texts(subject: Subject, entity: Entity, planting: Planting) -> Iterator[Finding]:
    variables = planting.manifest.variables
    for name, render in (("brief.md", render_brief), ("debrief.md", render_debrief)):
        path = subject.folder / name
        try:
            render(subject.lab, planting.organisation, entity, variables)
        except PhiLabsError as error:
            yield from_error(subject.lab.id, path, "text", error)
