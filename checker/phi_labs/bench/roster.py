"""A roster of 10,000 people, checked as a whole."""

from __future__ import annotations

import base64
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from phi_labs.bench.report import Figure, figure
from phi_labs.workshop.roster import read_roster

PEOPLE = 10_000
ROUNDS = 5
TARGET = 1.0  # seconds
_HEADER = "name,full_name,email,public_key,role,entity,employment,hired,access_since,role_changed,manager\n"


def measure_roster(tell: Callable[[str], None]) -> list[Figure]:
    """Reading and checking, every row with a key and three dates."""
    tell(f"a roster of {PEOPLE} people")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "roster.csv"
        path.write_text(_HEADER + "".join(_row(number) for number in range(PEOPLE)), encoding="utf-8")
        samples = [_timed(path) for _ in range(ROUNDS)]
    return [figure(f"roster of {PEOPLE} people", samples, "s", TARGET)]


def _timed(path: Path) -> float:
    began = time.perf_counter()
    read_roster(path)
    return time.perf_counter() - began


def _row(number: int) -> str:
    kind = b"ssh-ed25519"
    point = random.Random(number).randbytes(32)  # noqa: S311 - nobody logs in with it
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (kind, point))
    key = f"{kind.decode()} {base64.b64encode(blob).decode()} learner@laptop"
    return (
        f'learner{number},"Zoë Müller {number}",learner{number}@mercyvalley.example.org,{key},'
        "System administrator,CE,employee,2020-01-31,2020-02-01,2024-05-05,Ana Ruiz\n"
    )
