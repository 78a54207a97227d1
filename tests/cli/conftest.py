"""The command line, called in this process, over a state directory of its own and without an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from phi_fixtures.manifest import Manifest
from phi_labs.__main__ import main
from phi_labs.engine.docker import ContainerSummary
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.model.lab import Lab, load_lab
from phi_labs.model.run import Run, RunState

LAB = """\
id: small
title: A small lab
summary: One host, two objectives.
policy: IT-07
minutes: 45
hosts:
  - name: ehr1
    login: itops
objectives:
  - id: todays-log
    title: Only reviewers read today's log
    points: 60
    citations: ["164.312(a)(1)"]
    expected: IT-07 lets reviewers read, nobody else.
    hints:
      - {text: "Who is in the group?", cost: 0}
      - {text: Look at the mode., cost: 10}
  - id: older-logs
    title: Only reviewers read older logs
    points: 40
    citations: ["164.312(a)(1)", "164.502(b)"]
    expected: The same for rotated logs.
guards:
  - id: reviewer-reads
    title: The reviewer still reads
    protects: [todays-log, older-logs]
    citations: ["164.312(b)"]
"""

VERDICTS = """\
untouched: {earns: [], guards_fail: []}
reference: {earns: all, guards_fail: []}
wrong-live-only:
  why: Older logs stay open.
  earns: [todays-log]
  guards_fail: []
"""


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class FakeEngine:
    """Containers in a list; what is removed is noted."""

    found: list[ContainerSummary] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def containers(self, labels: dict[str, str], *, running_only: bool = False) -> list[ContainerSummary]:
        return [
            item
            for item in self.found
            if item.id not in self.removed and all(item.label(key) == labels[key] for key in labels)
        ]

    def networks(self, labels: dict[str, str]) -> list[tuple[str, str, dict[str, str]]]:
        return []

    def remove(self, container: str) -> None:
        self.removed.append(container)

    def add(self, identifier: str, **labels: str) -> None:
        prefixed = {f"org.phi-labs.{key}": value for key, value in labels.items()}
        self.found.append(
            ContainerSummary(identifier, f"name-of-{identifier}", "running", "image", 1_790_000_000, prefixed)
        )


@dataclass
class World:
    """Everything a command of these tests meets."""

    content: Path
    installation: Installation
    engine: FakeEngine

    @property
    def state(self) -> State:
        return self.installation.state

    @property
    def lab(self) -> Lab:
        return load_lab(self.content / "labs" / "small")

    def save_run(self, trainee: str = "anna", lab: str = "small") -> Run:
        """A run as start_run leaves it, without machines."""
        run = Run(
            id="0123456789ab",
            lab=lab,
            trainee=trainee,
            entity="ce",
            retry=0,
            block=7,
            created_at="2026-03-02T00:00:00+00:00",
            containers={"ehr1": f"container-of-{trainee}"},
            state=RunState.READY,
        )
        self.state.save_run(
            run, Manifest(seed="00", block=7), {"id_ed25519": "key\n", "ssh_config": "Host small\n"}
        )
        self.engine.add(
            f"container-of-{trainee}",
            kind="run",
            install=self.state.install,
            run=run.id,
            lab=lab,
            trainee=trainee,
            entity="ce",
        )
        return run


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A content folder with the lab ``small``."""
    folder = tmp_path / "content" / "labs" / "small"
    (folder / "ehr1").mkdir(parents=True)
    (folder / "ehr1" / "Dockerfile").write_text("FROM phi-labs/base\n")
    (folder / "attempts").mkdir()
    for name in ("reference", "wrong-live-only"):
        (folder / "attempts" / f"{name}.sh").write_text("true\n")
    (folder / "attempts" / "verdicts.yml").write_text(VERDICTS)
    (folder / "lab.yml").write_text(LAB)
    (folder / "brief.md").write_text("# {{ lab.title }}\n\nYou work for a {{ entity_name }}.\n")
    (folder / "debrief.md").write_text("# Afterwards\n\nThe group was wrong.\n")
    return tmp_path / "content"


@pytest.fixture
def world(content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """State, content and engine of one test; the environment names nothing else."""
    for variable in ("PHI_LABS_CONTENT", "FORCE_COLOR", "TTY_COMPATIBLE", "DOCKER_HOST"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PHI_LABS_TRAINEE", "anna")
    monkeypatch.setenv("PHI_LABS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PHI_LABS_SPARES", "0")
    engine = FakeEngine()
    installation = Installation(state=State(tmp_path / "state"), content=content)
    installation.__dict__["engine"] = engine  # a cached property
    return World(content, installation, engine)


@pytest.fixture
def call(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """``call("grade", "small")``: one command over the world of this test."""

    def make(tell: Callable[[str], None], content: Path | None) -> Installation:
        world.installation.tell = tell
        return world.installation

    def run(*words: str) -> Result:
        more = (
            []
            if words[:1] in {("test",), ()} or words[0].startswith("-")
            else ["--content", str(world.content)]
        )
        capsys.readouterr()
        code = main([*words, *more], make)
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return run
