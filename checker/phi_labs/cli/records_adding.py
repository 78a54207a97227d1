"""records: what people decide afterwards, each an event of its own with who and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.text import Text

from phi_labs.cli.identity import login_name
from phi_labs.cli.options import AsJson, command
from phi_labs.cli.session import Session
from phi_labs.errors import UserError

if TYPE_CHECKING:  # SQLAlchemy costs 0.2 s
    from phi_labs.model.cohort import LabResult, LearnerRecord
    from phi_labs.records.store import Records

ADD = "Add (nothing is ever changed or removed)"
REASON_LIMIT = 2000  # characters

Who: TypeAlias = Annotated[str, typer.Argument(metavar="LEARNER", help="The learner's name in the roster.")]
Workshop: TypeAlias = Annotated[
    str | None,
    typer.Option("--workshop", metavar="W", help="Which workshop; needed where the learner is in several."),
]
OfLab: TypeAlias = Annotated[str, typer.Option("--lab", metavar="LAB", help="About which lab.")]
By: TypeAlias = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who decides; default: your login name.")
]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")]
OfEvent: TypeAlias = Annotated[
    int, typer.Option("--event", metavar="N", help="The number of the grading that it is about.")
]


def add_to(group: typer.Typer) -> None:
    """Register the commands."""
    command(group, "appeal", panel=ADD, trainee=False)(appeal)
    command(group, "override", panel=ADD, trainee=False)(override)
    command(group, "exception", panel=ADD, trainee=False)(exception)
    command(group, "attest", panel=ADD, trainee=False)(attest)
    command(group, "legal-hold", panel=ADD, trainee=False)(legal_hold)


def appeal(  # noqa: PLR0913 - options of a command
    session: Session,
    learner: Who,
    *,
    lab: OfLab,
    reason: Reason,
    event: OfEvent = 0,
    workshop: Workshop = None,
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Record that a learner disagrees with a verdict.

    Example: phi-labs records appeal alice --lab log-access --reason "the auditor can read, see ticket 12"
    """
    with _Decision(session, learner, workshop, by, reason) as decision:
        result = decision.result(lab)
        _graded_here(result, event)
        return decision.record("appeal", {"lab": lab, "event": event}, as_json=as_json)


def override(  # noqa: PLR0913 - options of a command
    session: Session,
    learner: Who,
    *,
    lab: OfLab,
    reason: Reason,
    score: Annotated[
        int | None, typer.Option("--score", metavar="N", help="The score that counts now.")
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Let the attempts decide again.")] = False,
    event: OfEvent = 0,
    workshop: Workshop = None,
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Set the score of a lab by a person's decision; attempts stay as they are, and the record says so.

    Example: phi-labs records override alice --lab log-access --score 80 --reason "appeal of 3 March upheld"
    """
    if (score is None) is not lift:
        raise UserError("name either a score or --lift", "for example --score 80")
    with _Decision(session, learner, workshop, by, reason) as decision:
        result, most = decision.result(lab), decision.points(lab)
        if score is not None and not 0 <= score <= most:
            raise UserError(f"{score} is no score of {lab}", f"0 to {most} are")
        _graded_here(result, event)
        return decision.record("override", {"lab": lab, "event": event, "score": score}, as_json=as_json)


def exception(  # noqa: PLR0913 - options of a command
    session: Session,
    learner: Who,
    *,
    reason: Reason,
    approver: Annotated[str, typer.Option("--approver", metavar="NAME", help="Who approved it.")],
    lab: Annotated[str, typer.Option("--lab", metavar="LAB", help="From which lab; default: all.")] = "",
    workshop: Workshop = None,
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Record that a learner is exempted, and who approved that.

    Example: phi-labs records exception bob --reason "on leave until June" --approver "Privacy Officer"
    """
    with _Decision(session, learner, workshop, by, reason) as decision:
        if lab:
            decision.result(lab)
        data = {"lab": lab, "approver": filled("--approver", approver)}
        return decision.record("exception", data, as_json=as_json)


def attest(  # noqa: PLR0913 - options of a command
    session: Session,
    learner: Who,
    *,
    statement: Annotated[str, typer.Option("--statement", metavar="TEXT", help="What is attested.")],
    reason: Reason,
    workshop: Workshop = None,
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Record what somebody vouches for, in their own words.

    Example: phi-labs records attest alice --statement "I saw her work alone" --reason "supervised session"
    """
    with _Decision(session, learner, workshop, by, reason) as decision:
        return decision.record(
            "attestation", {"statement": filled("--statement", statement)}, as_json=as_json
        )


def legal_hold(  # noqa: PLR0913 - options of a command
    session: Session,
    learner: Who,
    *,
    reason: Reason,
    lift: Annotated[bool, typer.Option("--lift", help="End the hold.")] = False,
    workshop: Workshop = None,
    by: By = None,
    as_json: AsJson = False,
) -> int:
    """Record that a learner's records must be kept beyond their six years, or no longer have to be.

    Example: phi-labs records legal-hold alice --reason "case 2026-114"
    """
    with _Decision(session, learner, workshop, by, reason) as decision:
        return decision.record("legal-hold", {"held": not lift}, as_json=as_json)


class _Decision:
    """One decision about a learner: looked up, then recorded."""

    def __init__(
        self, session: Session, learner: str, workshop: str | None, by: str | None, reason: str
    ) -> None:
        self._session, self._name, self._wanted = session, learner, workshop
        self._by, self._reason = (
            filled("--by", by if by is not None else login_name()),
            filled("--reason", reason),
        )
        self._records: Records
        self._workshop = ""
        self._learner: LearnerRecord

    def __enter__(self) -> _Decision:
        from phi_labs.records.address import records_url  # noqa: PLC0415 - SQLAlchemy
        from phi_labs.records.store import Records  # noqa: PLC0415

        url = records_url(self._session.installation.state.root)
        with Records(url, read_only=True) as records:  # looking must not begin records where there are none
            self._workshop = _workshop_of(records, self._name, self._wanted)
            self._find(records)
        self._records = Records(url)
        return self

    def __exit__(self, *_: object) -> None:
        self._records.close()

    def _find(self, records: Records) -> None:
        from phi_labs.records.cohort import read_cohort  # noqa: PLC0415

        cohort = read_cohort(records, self._workshop)
        self._points = cohort.points
        self._learner = next(item for item in cohort.records if item.learner.name == self._name)

    def result(self, lab: str) -> LabResult:
        """The learner's standing in a lab; UserError when the workshop does not have it."""
        from phi_labs.model.nearest import did_you_mean  # noqa: PLC0415

        found = {item.lab: item for item in self._learner.results}
        if lab not in found:
            hint = did_you_mean(lab, found) or f"it has {', '.join(found)}"
            raise UserError(f"workshop {self._workshop} has no lab {lab!r}", hint)
        return found[lab]

    def points(self, lab: str) -> int:
        """The most that a lab gives."""
        return self._points.get(lab, 100)

    def record(self, kind: str, data: dict[str, Any], *, as_json: bool) -> int:
        """Add the event and show it; exit code 0."""
        from phi_labs.records.event import Kind  # noqa: PLC0415
        from phi_labs.records.words import in_words  # noqa: PLC0415

        event = self._records.append(
            Kind(kind),
            workshop=self._workshop,
            actor=self._by,
            subject=self._name,
            data={**data, "reason": self._reason},
        )
        if as_json:
            self._session.emit(event.to_data())
        else:
            about = f"event {event.number}, {self._name} in {self._workshop}: {in_words(event)}"
            self._session.out.print(Text(f"{about} (by {event.actor})"), soft_wrap=True)
        return 0


def _workshop_of(records: Records, learner: str, wanted: str | None) -> str:
    """The workshop that is meant; UserError when the learner is in none, or in several."""
    from phi_labs.model.nearest import did_you_mean  # noqa: PLC0415
    from phi_labs.records.event import Kind  # noqa: PLC0415

    enrolled = [(event.workshop, event.subject) for event in records.events(wanted, kind=Kind.ENROLLED)]
    found = list(dict.fromkeys(workshop for workshop, name in enrolled if name == learner))
    if not found:
        place = f"workshop {wanted}" if wanted else "any workshop"
        hint = did_you_mean(learner, [name for _, name in enrolled]) or "phi-labs records show says who is"
        raise UserError(f"{learner!r} is not enrolled in {place}", hint)
    if len(found) > 1:
        raise UserError(f"{learner} is in {', '.join(found)}", f"name one: --workshop {found[-1]}")
    return found[0]


def _graded_here(result: LabResult, event: int) -> None:
    known = [attempt.event for attempt in result.attempts]
    if event and event not in known:
        listed = ", ".join(str(number) for number in known) or "none yet"
        raise UserError(
            f"event {event} is no grading of {result.lab} for this learner", f"these are: {listed}"
        )


def filled(option: str, text: str) -> str:
    """Trimmed; UserError when nothing is left, or too much."""
    kept = text.strip()
    if not kept or len(kept) > REASON_LIMIT:
        raise UserError(
            f"{option} needs a text of 1 to {REASON_LIMIT} characters", "a record without it proves nothing"
        )
    return kept
