"""The organisation whose names, contacts and policy figures a lab prints and plants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictInt, StringConstraints

from phi_labs.model.document import read_document
from phi_labs.model.entity import Entity
from phi_labs.model.validation import FileModel, Line, Name, validated

Domain = Annotated[str, StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]+@([a-z0-9-]+\.)+[a-z]{2,}$")]
Phone = Annotated[str, StringConstraints(pattern=r"^[0-9+() .-]{7,24}$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]*(-[A-Z][A-Z0-9]*)*$")]
Hours = Annotated[StrictInt, Field(ge=1, le=1440)]
DEFAULT_ORGANISATION = Path(__file__).parent / "organisations" / "mercy-valley.yml"


class Contact(FileModel):
    """A person to notify."""

    name: Line
    role: Line
    email: Email
    phone: Phone


class CoveredEntity(FileModel):
    """The hospital. ``notify_hours`` is how soon its staff must tell the privacy officer."""

    name: Line
    short_name: Line
    domain: Domain
    privacy_officer: Contact
    associates_contact: Contact = Field(description="whom business associates report to under the BAA")
    notify_hours: Hours


class BusinessAssociate(FileModel):
    """The hosting company. ``notify_hours`` is how soon, under the BAA, it must tell the covered entity."""

    name: Line
    short_name: Line
    domain: Domain
    privacy_officer: Contact
    notify_hours: Hours


class Organisation(FileModel):
    """One organisation file: the covered entity, its business associate, and the policy's figures."""

    id: Name
    covered_entity: CoveredEntity
    business_associate: BusinessAssociate
    policy_prefix: Prefix = Field(description="the part of a policy id before the last hyphen, such as IT")
    retention_days: Annotated[StrictInt, Field(ge=1, le=3650)] = Field(description="of application logs")

    def party(self, entity: Entity) -> CoveredEntity | BusinessAssociate:
        """The trainee's employer."""
        return self.covered_entity if entity == "ce" else self.business_associate

    def notify(self, entity: Entity) -> Contact:
        """Whom the policy says to notify: the privacy officer, or (BA) the covered entity's contact."""
        covered = self.covered_entity
        return covered.privacy_officer if entity == "ce" else covered.associates_contact

    def notify_hours(self, entity: Entity) -> int:
        """Hours from discovery within which that contact must know."""
        return self.party(entity).notify_hours

    def policy(self, policy_id: str) -> str:
        """A lab's policy id under this organisation's prefix: ``IT-07`` becomes ``<prefix>-07``."""
        return f"{self.policy_prefix}-{policy_id.rpartition('-')[2]}"


def load_organisation(path: Path | None = None) -> Organisation:
    """The organisation file at ``path``, or the default one, Mercy Valley; UserError with file, line, key."""
    return validated(Organisation, read_document(path or DEFAULT_ORGANISATION))
