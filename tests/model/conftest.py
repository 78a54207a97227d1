"""A small lab of their own for these tests, and a way to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from phi_labs.model.lab import Lab, load_lab

LAB = """\
id: small
title: A small lab
summary: One host, two objectives.
policy: IT-07
minutes: 45
record: /srv/records/exposure-report.yml
hosts:
  - name: ehr1
    login: itops
personas:
  - name: intern
    user: intern
    job: Unprivileged intern on the ward desk
objectives:
  - id: todays-log
    title: Only reviewers read today's log
    points: 45
    citations: ["164.312(a)(1)"]
    expected: IT-07 lets reviewers read, nobody else.
    hints:
      - {text: "Who is in the group?", cost: 0}
      - {text: Look at the mode., cost: 10}
  - id: older-logs
    title: Only reviewers read older logs
    points: 35
    citations: ["164.312(a)(1)", "164.502(b)"]
    expected: The same for rotated logs.
  - id: record
    title: The exposure is on record
    points: 20
    citations: ["164.308(a)(6)(ii)"]
    expected: Every field of the form.
guards:
  - id: reviewer-reads
    title: The reviewer still reads
    protects: [todays-log, older-logs]
    citations: ["164.312(b)"]
  - id: ehr-still-logs
    title: The EHR still logs every lookup
    protects: all
"""

VERDICTS = """\
untouched: {earns: [], guards_fail: []}
reference: {earns: all, guards_fail: []}
wrong-live-only:
  why: Older logs stay open.
  earns: [todays-log, record]
  guards_fail: []
"""

Spoil = Callable[[str, str], Path]


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A content folder with the lab ``small``."""
    folder = tmp_path / "labs" / "small"
    (folder / "ehr1").mkdir(parents=True)
    (folder / "ehr1" / "Dockerfile").write_text("FROM phi-labs/base\n")
    (folder / "attempts").mkdir()
    for name in ("reference", "wrong-live-only"):
        (folder / "attempts" / f"{name}.sh").write_text("true\n")
    (folder / "attempts" / "verdicts.yml").write_text(VERDICTS)
    (folder / "lab.yml").write_text(LAB)
    return tmp_path


@pytest.fixture
def folder(content: Path) -> Path:
    """The folder of the lab ``small``."""
    return content / "labs" / "small"


@pytest.fixture
def lab(folder: Path) -> Lab:
    """The lab ``small``, loaded."""
    return load_lab(folder)


@pytest.fixture
def spoil_lab(folder: Path) -> Spoil:
    """Replace the only occurrence of a text in lab.yml; returns the lab's folder."""
    return lambda old, new: _replace(folder / "lab.yml", old, new).parent


@pytest.fixture
def spoil_verdicts(folder: Path) -> Spoil:
    """Replace the only occurrence of a text in verdicts.yml; returns the lab's folder."""
    return lambda old, new: _replace(folder / "attempts" / "verdicts.yml", old, new).parent.parent


def _replace(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
    path.write_text(text.replace(old, new))
    return path
