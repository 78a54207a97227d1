"""From what the checks saw to points: pure, and the same for every way of running the checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Self

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.model.citations import Citation

if TYPE_CHECKING:  # pydantic costs 70 ms; reading a stored scorecard needs none of it
    from phi_labs.model.lab import Guard, Lab, Objective

SCHEMA_VERSION = 1
MESSAGE_LIMIT = 2000  # characters of one check's message
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
Assurance = Literal["practice", "supervised"]


class CheckStatus(StrEnum):
    """How one check ended; only ``passed`` counts."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    MISSING = "missing"
    DUPLICATE = "duplicate"


_UNTOLD = {
    CheckStatus.FAILED: "the check failed without saying what it saw",
    CheckStatus.ERROR: "the check could not be carried out",
    CheckStatus.SKIPPED: "the check was skipped",
    CheckStatus.MISSING: "no check answered",
    CheckStatus.DUPLICATE: "the check answered more than once",
}


@dataclass(frozen=True)
class ExpectedCheck:
    """A check known before grading: its id and the objective or guard it speaks for."""

    check: str
    target: str


@dataclass(frozen=True)
class CheckOutcome:
    """What one check said. ``target`` is an objective's or guard's id, ``duration`` is in seconds."""

    check: str
    target: str
    status: CheckStatus
    message: str = ""
    duration: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it counts as passed."""
        return self.status is CheckStatus.PASSED


@dataclass(frozen=True)
class ObjectiveScore:
    """One objective's points. ``earned`` is before, ``score`` after withholding and hints."""

    id: str
    title: str
    points: int
    earned: int
    withheld: int
    hint_cost: int
    withheld_by: tuple[str, ...]
    messages: tuple[str, ...]
    expected: str
    citations: tuple[Citation, ...]
    checks: tuple[CheckOutcome, ...]

    @property
    def passed(self) -> bool:
        """Whether all its checks passed, whatever the guards say."""
        return self.earned == self.points

    @property
    def score(self) -> int:
        """Points that remain."""
        return self.earned - self.withheld - self.hint_cost


@dataclass(frozen=True)
class GuardScore:
    """Whether one guard held, and which objectives it protects."""

    id: str
    title: str
    held: bool
    protects: tuple[str, ...]
    messages: tuple[str, ...]
    citations: tuple[Citation, ...]
    checks: tuple[CheckOutcome, ...]


@dataclass(frozen=True)
class About:
    """Whose scorecard this is; empty where nobody said. ``graded_at`` is UTC, ISO 8601.

    ``regrade_of`` is the attempt whose submission was graded again, 0 for a first grading.
    """

    trainee: str = ""
    entity: str = ""
    run: str = ""
    attempt: int = 0
    graded_at: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    regrade_of: int = 0


@dataclass(frozen=True)
class Scorecard:
    """The verdict on one submission."""

    lab: str
    title: str
    policy: str
    objectives: tuple[ObjectiveScore, ...]
    guards: tuple[GuardScore, ...]
    assurance: Assurance = "practice"
    rescue_used: bool = False
    about: About = About()
    schema_version: int = SCHEMA_VERSION

    @property
    def points(self) -> int:
        """Points that could be had."""
        return sum(item.points for item in self.objectives)

    @property
    def earned(self) -> int:
        """Points of the objectives whose checks passed."""
        return sum(item.earned for item in self.objectives)

    @property
    def withheld(self) -> int:
        """Earned points that failing guards withhold."""
        return sum(item.withheld for item in self.objectives)

    @property
    def hint_cost(self) -> int:
        """Earned points spent on hints."""
        return sum(item.hint_cost for item in self.objectives)

    @property
    def score(self) -> int:
        """Points that remain: earned - withheld - hint_cost."""
        return sum(item.score for item in self.objectives)

    @property
    def passed(self) -> bool:
        """Every objective earned and nothing withheld; hints do not matter."""
        return all(item.passed and not item.withheld for item in self.objectives)

    @property
    def failed_guards(self) -> tuple[GuardScore, ...]:
        """The guards that did not hold."""
        return tuple(guard for guard in self.guards if not guard.held)

    @property
    def stamps(self) -> tuple[str, ...]:
        """What a reader must know about how the score came about."""
        rescue = ("rescue console used",) if self.rescue_used else ()
        again = (f"attempt {self.about.regrade_of} graded again",) if self.about.regrade_of else ()
        return (self.assurance, *rescue, *again)

    @property
    def statement(self) -> str:
        """``earned 85, 40 withheld: the reviewer can no longer read``."""
        text = f"earned {self.earned}"
        if self.hint_cost:
            text += f", {self.hint_cost} spent on hints"
        if self.withheld:
            text += f", {self.withheld} withheld: {self._why_withheld()}"
        return text

    def _why_withheld(self) -> str:
        blamed = {guard_id for item in self.objectives if item.withheld for guard_id in item.withheld_by}
        return "; ".join(guard.messages[0] for guard in self.guards if guard.id in blamed)

    def about_run(self, about: About) -> Self:
        """The same scorecard, said to be about that run."""
        return replace(self, about=about)

    def to_data(self) -> dict[str, Any]:
        """JSON-able, with the derived figures beside the recorded ones."""
        data = asdict(self)
        for item, entry in zip(self.objectives, data["objectives"], strict=True):
            entry.update(passed=item.passed, score=item.score)
        totals = ("points", "earned", "withheld", "hint_cost", "score", "passed", "stamps", "statement")
        return {**data, **{name: getattr(self, name) for name in totals}}

    def to_json(self) -> str:
        """``to_data`` as text, keys sorted."""
        return json.dumps(self.to_data(), sort_keys=True, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of ``to_json``; anything else, also totals that disagree, is a UserError."""
        hint = "grade the submission again"
        try:
            data = json.loads(text)
            card = cls.from_data(data)
            agrees = json.loads(card.to_json()) == data
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"this is no scorecard: {error!r}", hint) from error
        if not agrees:
            raise UserError("this scorecard contradicts itself: its totals are not those of its parts", hint)
        return card

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_data``; derived figures are computed anew. Errors as ``from_json``."""
        hint = "grade the submission again"
        try:
            version = data["schema_version"]
            if version != SCHEMA_VERSION:
                raise UserError(f"scorecard in format {version!r}, not {SCHEMA_VERSION}", hint)
            return cls._from_data(data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"this is no scorecard: {error!r}", hint) from error

    @classmethod
    def _from_data(cls, data: Mapping[str, Any]) -> Self:
        objectives = tuple(_objective_from(item) for item in data["objectives"])
        guards = tuple(_guard_from(item) for item in data["guards"])
        plain = {key: data[key] for key in ("lab", "title", "policy", "assurance", "rescue_used")}
        return cls(objectives=objectives, guards=guards, about=About(**data["about"]), **plain)


def score(  # noqa: PLR0913 - one verdict, all that it depends on
    lab: Lab,
    expected: Sequence[ExpectedCheck],
    outcomes: Iterable[CheckOutcome],
    *,
    hint_costs: Mapping[str, int] | None = None,
    assurance: Assurance = "practice",
    rescue_used: bool = False,
    about: About | None = None,
) -> Scorecard:
    """The scorecard of ``outcomes``.

    ``expected`` are the lab's own checks; the built-in guards are always expected, each as one outcome whose
    ``check`` and ``target`` are the guard's id. ``hint_costs`` maps objective id -> points of hints taken.
    An objective or guard without any check never passes. A target the lab does not have is our error.
    """
    judged = _judged(lab, expected, list(outcomes))
    guards = tuple(_guard_score(lab, guard, judged[guard.id]) for guard in lab.all_guards)
    objectives = tuple(
        _objective_score(objective, judged[objective.id], guards, (hint_costs or {}).get(objective.id, 0))
        for objective in lab.objectives
    )
    return Scorecard(
        lab.id, lab.title, lab.policy, objectives, guards, assurance, rescue_used, about or About()
    )


def _judged(
    lab: Lab, expected: Sequence[ExpectedCheck], outcomes: list[CheckOutcome]
) -> dict[str, tuple[CheckOutcome, ...]]:
    """Target -> one outcome per check, expected or not; what was not said once and alone never passes."""
    from phi_labs.model.lab import BUILT_IN_GUARDS  # noqa: PLC0415 - the caller has a Lab, so it is loaded

    wanted = {(item.check, item.target) for item in expected}
    wanted |= {(guard.id, guard.id) for guard in BUILT_IN_GUARDS}
    said: dict[tuple[str, str], list[CheckOutcome]] = {key: [] for key in sorted(wanted)}
    for outcome in outcomes:
        said.setdefault((outcome.check, outcome.target), []).append(outcome)
    judged: dict[str, list[CheckOutcome]] = {
        target: [] for target in (*lab.objective_ids, *(guard.id for guard in lab.all_guards))
    }
    for (check, target), answers in said.items():
        if target not in judged:
            raise PhiLabsError(f"check {check} speaks for {target!r}, which lab {lab.id} does not have")
        judged[target].append(_one_answer(check, target, answers, (check, target) in wanted))
    return {target: tuple(answers) or (_missing(target),) for target, answers in judged.items()}


def _one_answer(check: str, target: str, answers: list[CheckOutcome], wanted: bool) -> CheckOutcome:
    if not answers:
        return CheckOutcome(check, target, CheckStatus.MISSING)
    if len(answers) > 1:
        return CheckOutcome(
            check, target, CheckStatus.DUPLICATE, duration=sum(item.duration for item in answers)
        )
    if not wanted:
        return replace(answers[0], status=CheckStatus.ERROR, message="a check answered that was not expected")
    return replace(answers[0], message=plain(answers[0].message))


def _missing(target: str) -> CheckOutcome:
    return CheckOutcome(target, target, CheckStatus.MISSING)


def _guard_score(lab: Lab, guard: Guard, checks: tuple[CheckOutcome, ...]) -> GuardScore:
    return GuardScore(
        id=guard.id,
        title=guard.title,
        held=all(check.passed for check in checks),
        protects=lab.protected_by(guard.id),
        messages=_messages(checks),
        citations=guard.sources,
        checks=checks,
    )


def _objective_score(
    objective: Objective, checks: tuple[CheckOutcome, ...], guards: Sequence[GuardScore], hints: int
) -> ObjectiveScore:
    earned = objective.points if all(check.passed for check in checks) else 0
    withheld_by = tuple(guard.id for guard in guards if not guard.held and objective.id in guard.protects)
    withheld = earned if withheld_by else 0
    return ObjectiveScore(
        id=objective.id,
        title=objective.title,
        points=objective.points,
        earned=earned,
        withheld=withheld,
        hint_cost=max(0, min(hints, objective.points // 2, earned - withheld)),
        withheld_by=withheld_by if withheld else (),
        messages=_messages(checks),
        expected=objective.expected,
        citations=objective.sources,
        checks=checks,
    )


def _messages(checks: tuple[CheckOutcome, ...]) -> tuple[str, ...]:
    texts = (check.message or _UNTOLD[check.status] for check in checks if not check.passed)
    return tuple(dict.fromkeys(texts))


def plain(text: str) -> str:
    """``text`` without control characters (a trainee chooses file names, and terminals obey), shortened.

    A name of bytes that are no text must not reach a file of ours either.
    """
    cleaned = _CONTROLS.sub("?", text.expandtabs(4))
    return cleaned if len(cleaned) <= MESSAGE_LIMIT else cleaned[: MESSAGE_LIMIT - 4] + " ..."


def _outcomes_from(items: list[dict[str, Any]]) -> tuple[CheckOutcome, ...]:
    return tuple(CheckOutcome(**{**item, "status": CheckStatus(item["status"])}) for item in items)


def _nested_from(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "messages": tuple(item["messages"]),
        "citations": tuple(Citation(**entry) for entry in item["citations"]),
        "checks": _outcomes_from(item["checks"]),
    }


def _objective_from(item: dict[str, Any]) -> ObjectiveScore:
    recorded = {key: value for key, value in item.items() if key not in ("passed", "score")}
    return ObjectiveScore(**{**recorded, **_nested_from(item), "withheld_by": tuple(item["withheld_by"])})


def _guard_from(item: dict[str, Any]) -> GuardScore:
    return GuardScore(**{**item, **_nested_from(item), "protects": tuple(item["protects"])})
