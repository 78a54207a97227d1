"""A workshop of thirty over all labs: opened, solved through the gateway, graded, exported, closed."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from phi_labs.authoring.attempts import exports
from phi_labs.engine.docker import Engine
from phi_labs.lifecycle.state import State
from phi_labs.model.content import all_labs
from phi_labs.model.lab import Lab, Verdict, load_verdicts

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LEARNERS = 30
AT_ONCE = 6
UNTOUCHED = "untouched"
SCENARIO = """\
id: thirty
title: Thirty learners
summary: Everybody takes one of the labs.
trigger: annual
entity: ce
story: Repair the machine.
labs: [{labs}]
capacity: {{initial: 2, reserved: 0, capacity: 60}}
"""


@dataclass(frozen=True)
class Task:
    """What one learner does."""

    learner: str
    lab: Lab
    attempt: str
    verdict: Verdict

    @property
    def score(self) -> int:
        """What the verdict comes to, after guards withhold."""
        failed = set(self.verdict.guards_fail)
        protected = {name for guard in failed for name in self.lab.protected_by(guard)}
        return sum(
            item.points
            for item in self.lab.objectives
            if item.id in self.verdict.earned(self.lab) and item.id not in protected
        )


def tasks() -> list[Task]:
    """Right, wrong and untouched in turn, over all labs; attempts on one's own first machine only."""
    found = []
    for number in range(LEARNERS):
        labs = all_labs().labs
        lab = labs[number % len(labs)]
        ways = [
            (name, verdict)
            for name, verdict in sorted(load_verdicts(lab).items())
            if verdict.applies_to("ce") and (name == UNTOUCHED or is_for_first_host(lab, name))
        ]
        kinds: list[list[tuple[str, Verdict]]] = [
            [way for way in ways if way[1].full_score(lab)],
            [way for way in ways if way[0].startswith("wrong-")],
            [way for way in ways if way[0] == UNTOUCHED],
        ]
        turn = number // len(labs)
        chosen = kinds[turn % 3] if turn % 6 != 5 else kinds[1]
        name, verdict = chosen[number % len(chosen)]
        found.append(Task(f"learner{number:02d}", lab, name, verdict))
    return found


def is_for_first_host(lab: Lab, name: str) -> bool:
    """Whether the attempt is a script, to be run where one lands when no machine is named."""
    return name in lab.attempts and "# phi-labs: host" not in lab.attempts[name].read_text()


class Trainer:
    """The command line as a trainer uses it, on a state directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"

    def __call__(self, *words: str, code: int = 0) -> str:
        environment = {**os.environ, "PHI_LABS_STATE": str(self.state), "PHI_LABS_SPARES": "1"}
        argv = [sys.executable, "-P", "-m", "phi_labs", *words]
        ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=900, check=False)
        assert ran.returncode == code, f"{words}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def asked(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    trainer = Trainer(tmp_path)
    yield trainer
    subprocess.run(
        [sys.executable, "-P", "-m", "phi_labs", "workshop", "close", "--yes"],
        env={**os.environ, "PHI_LABS_STATE": str(trainer.state)},
        capture_output=True,
        check=False,
    )


def roster(folder: Path, work: list[Task]) -> tuple[Path, dict[str, asyncssh.SSHKey]]:
    keys = {task.learner: asyncssh.generate_private_key("ssh-ed25519") for task in work}
    path = folder / "roster.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "full_name", "email", "public_key", "entity"])
        for name, key in keys.items():
            public = key.export_public_key().decode().strip()
            rows.writerow([name, name.title(), f"{name}@corp.example.org", public, "CE"])
    return path, keys


async def solve(task: Task, key: asyncssh.SSHKey, port: int, state: State, gate: asyncio.Semaphore) -> int:
    """Log in straight into the lab, do it, come back to be graded; the score that the learner is shown."""
    async with gate:
        options: dict[str, Any] = {"client_keys": [key], "known_hosts": None, "agent_path": None}
        async with asyncssh.connect(
            "127.0.0.1", port, username=f"{task.learner}+{task.lab.id}", **options
        ) as inside:
            script = task.lab.attempts[task.attempt].read_text() if task.attempt != UNTOUCHED else "true"
            assert (await inside.run("true")).exit_status == 0  # with the first contact the lab is started
            manifest = await asyncio.to_thread(state.load_manifest, task.learner, task.lab.id)
            login = task.lab.hosts[0].login
            command = "bash -s" if "# phi-labs: user" in script.splitlines()[:3] else "sudo -n bash -s"
            done = await inside.run(command, input=exports(manifest.answers, login) + script)
            assert done.exit_status == 0, f"{task}: {done.stderr!r}"
        async with asyncssh.connect("127.0.0.1", port, username=task.learner, **options) as menu:
            shown = await menu.run(f"grade {task.lab.id} --json")
            score: int = json.loads(str(shown.stdout))["score"]
            return score


def test_thirty_learners_from_the_roster_to_the_closed_workshop(trainer: Trainer, tmp_path: Path) -> None:
    work = tasks()
    assert {task.lab.id for task in work} == {lab.id for lab in all_labs().labs}
    assert any(task.score == 100 for task in work)
    assert any(0 < task.score < 100 for task in work)
    (tmp_path / "scenarios").mkdir()
    scenario = tmp_path / "scenarios" / "thirty.yml"
    scenario.write_text(SCENARIO.format(labs=", ".join(f"{{id: {lab.id}}}" for lab in all_labs().labs)))
    path, keys = roster(tmp_path, work)
    trainer("workshop", "open", str(scenario), "--roster", str(path), "--listen", "127.0.0.1:0", "--no-wait")
    port = int(trainer.asked("workshop", "status")["listen"].rpartition(":")[2])
    state = State(trainer.state)

    async def everybody() -> list[int]:
        gate = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(solve(task, keys[task.learner], port, state, gate) for task in work))

    shown = asyncio.run(everybody())
    wanted = {task.learner: task.score for task in work}
    ways = {task.learner: f"{task.lab.id} {task.attempt}" for task in work}
    got = dict(zip(wanted, shown, strict=True))
    assert got == wanted, {ways[name]: (got[name], wanted[name]) for name in got if got[name] != wanted[name]}

    closed = trainer.asked("workshop", "close", "--yes")
    assert (closed["graded"], closed["ungraded"], closed["left"]) == (LEARNERS, [], [])
    assert trainer.asked("records", "verify", "--head", str(state.root / "workshops/thirty/head.json"))[
        "intact"
    ]
    for kind in ("csv", "json", "junit", "ctrf", "gradescope", "html", "misconceptions"):
        assert trainer.asked("workshop", "export", "--format", kind, "--out", str(tmp_path / "out" / kind))
    text = (tmp_path / "out/csv/gradebook.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == LEARNERS
    for task in work:
        row = next(item for item in rows if item["name"] == task.learner)
        assert row[f"{task.lab.id} score"] == str(task.score), f"{task.learner} {task.lab.id} {task.attempt}"
        assert row[f"{task.lab.id} assurance"] == "supervised"
    engine = Engine()
    assert engine.containers({"install": state.install}) == []
    assert engine.networks({"install": state.install}) == []
    engine.close()
