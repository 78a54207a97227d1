"""A lab as its author wrote it: ``lab.yml`` and ``attempts/verdicts.yml``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, PrivateAttr, RootModel, StrictBool, StrictInt, StringConstraints

from phi_labs.errors import UserError
from phi_labs.model.citations import Citation, citation
from phi_labs.model.document import Loc, Problem, read_document
from phi_labs.model.entity import Entity
from phi_labs.model.nearest import did_you_mean
from phi_labs.model.validation import Account, FileModel, Line, Name, Text, validated

T = TypeVar("T")
POINTS = 100  # of every lab
# Attempts that every lab has without a script: all that was planted emptied, or moved out of the way.
GENERATED = ("generated-emptied", "generated-moved")
WITHOUT_SCRIPT = ("untouched", *GENERATED)
# The engine's own default but NET_RAW. Never SYS_TIME: ctime proves a change only without it.
Capability = Literal[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "SETFCAP",
    "SYS_CHROOT",
    "AUDIT_WRITE",
    "NET_BIND_SERVICE",
]
DEFAULT_CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
_NOT_HOSTS = ("checks", "attempts")
_MEMORY_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def _enough_memory(text: str) -> str:
    if not 2**24 <= memory_bytes(text) <= 2**32:
        raise ValueError("must be between 16m and 4g")
    return text


def memory_bytes(text: str) -> int:
    """``128m`` as a number of bytes."""
    return int(text[:-1]) * _MEMORY_UNITS[text[-1]]


Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}[kmg]$"), AfterValidator(_enough_memory)]
PolicyId = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]*-[0-9]+$")]
RecordPath = Annotated[str, StringConstraints(pattern=r"^/srv/records/[a-z0-9][a-z0-9._-]*\.ya?ml$")]


class Host(FileModel):
    """One container of a lab; its folder holds the Dockerfile."""

    name: Name = Field(description="folder beside lab.yml that holds the Dockerfile; also the hostname")
    login: Account = Field(description="the account that the trainee's SSH key opens")
    memory: Memory = Field("128m", description="limit; k, m or g")
    pids: Annotated[StrictInt, Field(ge=16, le=4096)] = Field(200, description="limit of processes")
    cpus: Annotated[float, Field(ge=0.1, le=8)] = Field(1.0, description="limit of processor time")
    capabilities: tuple[Capability, ...] = Field(
        DEFAULT_CAPABILITIES, description="Linux capabilities of the container"
    )
    pristine: StrictBool = Field(False, description="whether checks get an untouched machine of it as well")

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return memory_bytes(self.memory)


class Persona(FileModel):
    """An account with a job, through which checks look at the machine."""

    name: Account = Field(description="how checks call the persona")
    user: Account = Field(description="account name on the machine")
    job: Line = Field(description="what this person does, shown in messages")
    reads_logs: StrictBool = Field(False, description="whether the policy lets this persona read logs")
    traits: tuple[Account, ...] = Field((), description="free-form flags for checks")


class Hint(FileModel):
    """Advice on one objective; taking it costs points."""

    text: Text = Field(description="the advice")
    cost: Annotated[StrictInt, Field(ge=0, le=POINTS)] = Field(description="points; the first hint is free")


class Objective(FileModel):
    """A graded outcome."""

    id: Name = Field(description="what checks name in @objective")
    title: Line = Field(description="the outcome in one line")
    points: Annotated[StrictInt, Field(ge=1, le=POINTS)] = Field(description="all objectives add up to 100")
    citations: tuple[str, ...] = Field(min_length=1, description="ids of citations.yml")
    expected: Text = Field(description="what the policy expects; shown when the objective fails")
    hints: tuple[Hint, ...] = Field((), description="first free, together at most half of the points")

    @property
    def sources(self) -> tuple[Citation, ...]:
        """The citations with title and status."""
        return tuple(citation(item) for item in self.citations)


class Guard(FileModel):
    """A property that must stay true; when it fails, the objectives it protects score nothing."""

    id: Name = Field(description="what checks name in @guard")
    title: Line = Field(description="what must stay true, in one line")
    protects: Literal["all"] | tuple[Name, ...] = Field(description="ids of objectives, or all")
    citations: tuple[str, ...] = Field((), description="ids of citations.yml")

    @property
    def sources(self) -> tuple[Citation, ...]:
        """The citations with title and status."""
        return tuple(citation(item) for item in self.citations)


BUILT_IN_GUARDS = (
    Guard(
        id="machine-comes-up",
        title="The machine comes up again after a restart",
        protects="all",
        citations=(),
    ),
    Guard(
        id="captured-whole",
        title="Everything on the machine could be handed in",
        protects="all",
        citations=(),
    ),
    Guard(
        id="repaired-already",
        title="What a restart shows is on the running machine already",
        protects="all",
        citations=(),
    ),
)


class Lab(FileModel):
    """An exercise: ``lab.yml``, and the folder it stands in."""

    id: Name = Field(description="the folder's name")
    title: Line = Field(description="the task in a few words")
    summary: Line = Field(description="one sentence for listings")
    policy: PolicyId = Field(description="the written policy that is graded against, such as IT-07")
    minutes: Annotated[StrictInt, Field(ge=1, le=480)] = Field(description="what a trainee should plan")
    entities: tuple[Entity, ...] = Field(("ce", "ba"), min_length=1, description="who it can be taken as")
    record: RecordPath | None = Field(None, description="the form that the trainee fills in")
    hosts: tuple[Host, ...] = Field(min_length=1, description="the machines")
    personas: tuple[Persona, ...] = Field((), description="accounts with a job")
    objectives: tuple[Objective, ...] = Field(min_length=1, description="graded outcomes, 100 points in all")
    guards: tuple[Guard, ...] = Field((), description="what must stay true, beside the two built-in guards")

    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The lab's folder."""
        return self._folder

    @property
    def all_guards(self) -> tuple[Guard, ...]:
        """The lab's guards and the built-in ones."""
        return self.guards + BUILT_IN_GUARDS

    @property
    def objective_ids(self) -> tuple[str, ...]:
        """In the order of the file."""
        return tuple(objective.id for objective in self.objectives)

    @property
    def attempts(self) -> dict[str, Path]:
        """The scripts of attempts/ by name, sorted."""
        return {path.stem: path for path in sorted((self.folder / "attempts").glob("*.sh"))}

    def host(self, name: str) -> Host:
        """The host of that name; UserError when there is none."""
        return _pick(self.hosts, "name", name, f"host of lab {self.id}")

    @property
    def pristine_hosts(self) -> tuple[Host, ...]:
        """The hosts of which checks get an untouched machine as well."""
        return tuple(host for host in self.hosts if host.pristine)

    def context(self, name: str) -> Path:
        """The folder that holds the host's Dockerfile."""
        return self.folder / self.host(name).name

    def persona(self, name: str) -> Persona:
        """The persona of that name; UserError when there is none."""
        return _pick(self.personas, "name", name, f"persona of lab {self.id}")

    def objective(self, objective_id: str) -> Objective:
        """The objective of that id; UserError when there is none."""
        return _pick(self.objectives, "id", objective_id, f"objective of lab {self.id}")

    def guard(self, guard_id: str) -> Guard:
        """The guard of that id, built-in ones included; UserError when there is none."""
        return _pick(self.all_guards, "id", guard_id, f"guard of lab {self.id}")

    def protected_by(self, guard_id: str) -> tuple[str, ...]:
        """Ids of the objectives whose points that guard can withhold."""
        protects = self.guard(guard_id).protects
        return self.objective_ids if protects == "all" else protects

    def placed_in(self, folder: Path) -> Self:
        """The same lab, said to stand in ``folder``."""
        placed = self.model_copy()
        placed._folder = folder
        return placed


class Verdict(FileModel):
    """What an attempt must be graded as: exactly these objectives, exactly these failing guards."""

    why: Line | None = Field(None, description="what is wrong with it; needed for wrong-*")
    earns: Literal["all"] | tuple[Name, ...] = Field(description="objectives whose own checks pass, or all")
    guards_fail: tuple[Name, ...] = Field(description="the exact set of failing guards")
    entities: tuple[Entity, ...] | None = Field(None, min_length=1, description="limits it to ce or ba")

    def earned(self, lab: Lab) -> frozenset[str]:
        """Ids of the objectives whose own checks pass, before guards withhold."""
        return frozenset(lab.objective_ids if self.earns == "all" else self.earns)

    def withheld(self, lab: Lab) -> frozenset[str]:
        """Ids of earned objectives whose points the failing guards withhold."""
        protected = {name for guard in self.guards_fail for name in lab.protected_by(guard)}
        return self.earned(lab) & protected

    def full_score(self, lab: Lab) -> bool:
        """Whether every objective is earned and none withheld."""
        return self.earned(lab) == set(lab.objective_ids) and not self.withheld(lab)

    def applies_to(self, entity: Entity) -> bool:
        """Whether the attempt is meant for that entity."""
        return self.entities is None or entity in self.entities


class Verdicts(RootModel[dict[Name, Verdict]]):
    """``verdicts.yml``: attempt name -> verdict."""

    model_config = {"frozen": True}

    def __getitem__(self, name: str) -> Verdict:
        return self.root[name]

    def __len__(self) -> int:
        return len(self.root)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the file."""
        return tuple(self.root)

    def items(self) -> Iterator[tuple[str, Verdict]]:
        """Name and verdict, in the order of the file."""
        yield from self.root.items()


def load_lab(folder: Path) -> Lab:
    """The lab in ``folder``; everything wrong with lab.yml is one UserError with file, line and key."""
    document = read_document(folder / "lab.yml")
    lab = validated(Lab, document).placed_in(folder)
    if problems := list(lab_problems(lab)):
        raise document.error(problems)
    return lab


def load_verdicts(lab: Lab) -> Verdicts:
    """The lab's attempts/verdicts.yml, matched with its scripts; UserError with file, line and key."""
    document = read_document(lab.folder / "attempts" / "verdicts.yml")
    verdicts = validated(Verdicts, document)
    if problems := list(verdict_problems(lab, verdicts)):
        raise document.error(problems)
    return verdicts


def lab_problems(lab: Lab) -> Iterator[Problem]:
    """Everything in lab.yml that does not agree with itself or with its folder."""
    if lab.id != lab.folder.resolve().name:
        yield Problem(("id",), f"{lab.id!r} is not the name of its folder, {lab.folder.resolve().name!r}")
    if len(set(lab.entities)) != len(lab.entities):
        yield Problem(("entities",), "names an entity twice")
    yield from _host_problems(lab)
    yield from _twice(("personas",), "name", [persona.name for persona in lab.personas])
    yield from _objective_problems(lab)
    yield from _guard_problems(lab)


def _host_problems(lab: Lab) -> Iterator[Problem]:
    yield from _twice(("hosts",), "name", [host.name for host in lab.hosts])
    for index, host in enumerate(lab.hosts):
        loc: Loc = ("hosts", index, "name")
        if host.name in _NOT_HOSTS:
            yield Problem(loc, f"{host.name!r} is a folder with another meaning; choose another name")
        elif not (lab.folder / host.name / "Dockerfile").is_file():
            yield Problem(loc, f"there is no {host.name}/Dockerfile beside lab.yml")


def _objective_problems(lab: Lab) -> Iterator[Problem]:
    yield from _twice(("objectives",), "id", lab.objective_ids)
    total = sum(objective.points for objective in lab.objectives)
    if total != POINTS:
        yield Problem(("objectives",), f"points add up to {total}, not {POINTS}")
    if ("record" in lab.objective_ids) != (lab.record is not None):
        yield Problem(("record",), "the key `record` and an objective with the id `record` belong together")
    for index, objective in enumerate(lab.objectives):
        loc: Loc = ("objectives", index)
        yield from _unknown_citations((*loc, "citations"), objective.citations)
        yield from _hint_problems((*loc, "hints"), objective)


def _hint_problems(loc: Loc, objective: Objective) -> Iterator[Problem]:
    if objective.hints and objective.hints[0].cost != 0:
        yield Problem((*loc, 0, "cost"), "the first hint is free: cost must be 0")
    total = sum(hint.cost for hint in objective.hints)
    if total * 2 > objective.points:
        yield Problem(loc, f"hints cost {total}, more than half of the {objective.points} points")


def _guard_problems(lab: Lab) -> Iterator[Problem]:
    taken = {guard.id for guard in BUILT_IN_GUARDS} | set(lab.objective_ids)
    yield from _twice(("guards",), "id", [guard.id for guard in lab.guards])
    for index, guard in enumerate(lab.guards):
        loc: Loc = ("guards", index)
        if guard.id in taken:
            yield Problem((*loc, "id"), f"{guard.id!r} is already an objective or a built-in guard")
        if not guard.protects:
            yield Problem((*loc, "protects"), "protects nothing; name objectives, or all")
        if guard.protects != "all":
            yield from _unknown((*loc, "protects"), guard.protects, lab.objective_ids, "objective")
        yield from _unknown_citations((*loc, "citations"), guard.citations)


def _unknown_citations(loc: Loc, citations: Sequence[str]) -> Iterator[Problem]:
    for index, item in enumerate(citations):
        try:
            citation(item)
        except UserError as error:
            yield Problem((*loc, index), f"{error.message}; {error.hint}")


def verdict_problems(lab: Lab, verdicts: Verdicts) -> Iterator[Problem]:
    """Everything in verdicts.yml that does not agree with the lab and its scripts."""
    for name in ("untouched", "reference"):
        if name not in verdicts.root:
            yield Problem((), f"{name} is missing: every lab says what it earns")
    scripts = lab.attempts
    for name in set(scripts) - set(verdicts.root):
        yield Problem((), f"attempts/{name}.sh has no verdict here")
    for name, verdict in verdicts.items():
        if name in WITHOUT_SCRIPT and name in scripts:
            yield Problem((name,), f"attempts/{name}.sh has a name that is not a script's; rename it")
        if name not in WITHOUT_SCRIPT and name not in scripts:
            yield Problem((name,), f"there is no attempts/{name}.sh")
        yield from _one_verdict(lab, name, verdict)


def _one_verdict(lab: Lab, name: str, verdict: Verdict) -> Iterator[Problem]:
    guards = [guard.id for guard in lab.all_guards]
    unknown = list(_unknown((name, "guards_fail"), verdict.guards_fail, guards, "guard"))
    if verdict.earns != "all":
        unknown += _unknown((name, "earns"), verdict.earns, lab.objective_ids, "objective")
    if verdict.entities:
        unknown += _unknown((name, "entities"), verdict.entities, lab.entities, "entity of this lab")
    yield from unknown
    if not unknown:
        yield from _score_problems(lab, name, verdict)


def _score_problems(lab: Lab, name: str, verdict: Verdict) -> Iterator[Problem]:
    wrong = name.startswith("wrong-") or name in GENERATED
    if wrong and verdict.why is None:
        yield Problem((name, "why"), "is missing: say what is wrong with this attempt")
    if (wrong or name == "untouched") and verdict.full_score(lab):
        yield Problem((name,), "must not reach full score; is the verdict right, or the name?")
    if not wrong and name != "untouched" and not verdict.full_score(lab):
        yield Problem((name,), "must reach full score; name it wrong-... if it is meant to fail")


def _unknown(loc: Loc, names: Sequence[str], known: Sequence[str], kind: str) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name not in known:
            advice = did_you_mean(name, known) or f"known: {', '.join(known)}"
            yield Problem((*loc, index), f"{name!r} is no {kind}; {advice}")
        elif name in names[:index]:
            yield Problem((*loc, index), f"{name!r} is named twice")


def _twice(loc: Loc, key: str, values: Sequence[str]) -> Iterator[Problem]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Problem((*loc, index, key), f"{value!r} is used twice")


def _pick(items: Sequence[T], key: str, wanted: str, kind: str) -> T:
    for item in items:
        if getattr(item, key) == wanted:
            return item
    names = [str(getattr(item, key)) for item in items]
    advice = did_you_mean(wanted, names) or f"there are: {', '.join(names) or 'none'}"
    raise UserError(f"{wanted!r} is no {kind}", advice)
