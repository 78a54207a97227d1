"""A machine's tree and its clone's are the same, path by path, whatever a trainee left there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.machines.conftest import HERE, Box, Running, TakeClone

from phi_labs.grading.clone import bring_to
from phi_labs.grading.submission import capture_run, load_submission
from phi_labs.probe.client import Probe

pytestmark = pytest.mark.docker

Tree = dict[str, dict[str, Any]]
SPARSE_SLACK = 2 * 128  # blocks of 512 bytes: a file system may round an extent up


def tree_of(box: Box) -> Tree:
    found: Tree = json.loads(box.python(HERE / "tree_walker.py"))
    return found


def readable(path: str) -> str:
    return os.fsdecode(bytes.fromhex(path))


def same(mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    blocks = abs(mine.get("blocks", 0) - theirs.get("blocks", 0)) <= SPARSE_SLACK
    return blocks and {**mine, "blocks": 0} == {**theirs, "blocks": 0}


def differences(mine: Tree, theirs: Tree) -> list[str]:
    lost = [f"lost: {readable(path)!r}" for path in mine.keys() - theirs.keys()]
    more = [f"too much: {readable(path)!r}" for path in theirs.keys() - mine.keys()]
    other = [
        f"{readable(path)!r}: {mine[path]} != {theirs[path]}"
        for path in mine.keys() & theirs.keys()
        if not same(mine[path], theirs[path])
    ]
    return [text[:600] for text in lost + more + other]


def test_a_clone_is_its_machine_path_by_path(
    running: Running, take_clone: TakeClone, probe: Probe, tmp_path: Path
) -> None:
    engine, run, box = running.installation.engine, running.run, running.box
    box.sh("for service in cron rsyslog ssh; do service $service stop; done")  # they write on
    pristine = take_clone(run.images["one"])
    before = tree_of(Box(engine, pristine.container))
    assert box.python(HERE / "nasty_tree.py") == b"built"
    mine = tree_of(box)
    assert len(before.keys() - mine.keys()) > 80, "the nasty tree removes nothing"
    assert len(differences(before, mine)) > 1200, "the nasty tree changes nothing"
    assert max(len(path) // 2 for path in mine) > 6000

    submission = capture_run(engine, probe, run, {"one": box.pid}, tmp_path)
    assert submission.problems == []
    assert bring_to(pristine, submission) == []
    theirs = tree_of(Box(engine, pristine.container))
    assert differences(mine, theirs) == []

    # Kept, compressed and read again it is still the same.
    submission.save()
    again = take_clone(run.images["one"])
    assert bring_to(again, load_submission(tmp_path)) == []
    assert differences(mine, tree_of(Box(engine, again.container))) == []
    archive = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert archive < 30 * 1024 * 1024, "a sparse file was written out"
