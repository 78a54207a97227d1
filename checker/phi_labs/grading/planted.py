"""What checks know about a run: what was planted, and who is who."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from phi_fixtures.manifest import Manifest
from phi_labs.model.entity import Entity
from phi_labs.model.lab import Persona
from phi_labs.model.organisation import Organisation


@dataclass(frozen=True)
class PlantedPersona:
    """A persona of this run; its private key never was on the machine."""

    persona: Persona
    private_key: str
    public_key: str

    @property
    def name(self) -> str:
        """How checks call it."""
        return self.persona.name

    @property
    def user(self) -> str:
        """The account's name on the machine."""
        return self.persona.user

    @property
    def job(self) -> str:
        """What this person does."""
        return self.persona.job

    @property
    def traits(self) -> tuple[str, ...]:
        """The flags that lab.yml gives it."""
        return self.persona.traits

    @property
    def reads_logs(self) -> bool:
        """Whether the policy lets it read logs."""
        return self.persona.reads_logs

    def __str__(self) -> str:
        return f"{self.user} ({self.persona.job})"


class Personas:
    """The personas of a lab, by name and in order."""

    def __init__(self, personas: tuple[PlantedPersona, ...]) -> None:
        self._personas = personas

    def __iter__(self) -> Iterator[PlantedPersona]:
        return iter(self._personas)

    def __len__(self) -> int:
        return len(self._personas)

    def __getitem__(self, name: str) -> PlantedPersona:
        for persona in self._personas:
            if persona.name == name:
                return persona
        raise KeyError(name)

    def without(self, *names: str) -> Personas:
        """All but those; a name the lab does not have (such as root) is allowed."""
        return Personas(tuple(item for item in self._personas if item.name not in names))

    def having(self, trait: str) -> Personas:
        """Those with a trait."""
        return Personas(tuple(item for item in self._personas if trait in item.persona.traits))


@dataclass(frozen=True)
class Planted:
    """The manifest as checks see it."""

    manifest: Manifest
    personas: Personas
    entity: Entity
    organisation: Organisation

    @property
    def facts(self) -> dict[str, Any]:
        """What plant.py noted for checks."""
        return self.manifest.facts

    @property
    def answers(self) -> dict[str, Any]:
        """The right answers of the record."""
        return self.manifest.answers

    def identifiers(self, site: str | None = None) -> frozenset[str]:
        """The planted identifiers of one site, or of all."""
        return self.manifest.identifiers(site)


def planted_for(
    manifest: Manifest, personas: tuple[Persona, ...], entity: Entity, organisation: Organisation
) -> Planted:
    """Join a run's manifest with the lab's personas."""
    known = manifest.personas
    joined = tuple(
        PlantedPersona(
            item, known.get(item.name, {}).get("private", ""), known.get(item.name, {}).get("public", "")
        )
        for item in personas
    )
    return Planted(manifest, Personas(joined), entity, organisation)
