"""Figures of a sweep: the probe's own search through plain text, beside ripgrep in the same container."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from phi_fixtures import EPOCH, Hospital
from phi_fixtures.manifest import NOT_TELLING
from phi_fixtures.people import PATIENT_FIELDS
from phi_fixtures.writers.ehr_log import lookup_line
from phi_labs.bench.report import Figure, compared, figure
from phi_labs.errors import EngineError
from phi_labs.lifecycle.installation import Installation

STRINGS = 1000
PATIENTS = 60
OTHERS = 4000  # of another hospital: all that ripgrep and we look at and must not find
MIB = 96
ROUNDS = 5
DEADLINE = 120.0
# Runs in the probe: the text is made of what comes in, ripgrep gets the same strings.
_SCRIPT = """
import json, os, subprocess, sys, time
sys.path.insert(0, "/agent")
from phi_labs.probe.agent.patterns import Patterns
from phi_labs.probe.agent.sweep import Sweep
given = json.loads(sys.stdin.buffer.readline())
text, strings, size = given["text"].encode(), given["strings"], given["mib"] << 20
places = ["/run/phi/bench.text", "/run/phi/bench.strings"]
try:
    with open(places[0], "wb") as file:
        for _ in range(size // len(text) + 1):
            file.write(text)
        size = file.tell()
    with open(places[1], "w") as file:
        file.write("\\n".join(strings))
    patterns, ours, theirs = Patterns(strings), [], []
    for _ in range(given["rounds"]):
        fd, began = os.open(places[0], os.O_RDONLY), time.perf_counter()
        found = Sweep(patterns, 1 << 40, 600).file(fd, "bench")
        ours.append((time.perf_counter() - began) * 1e9 / size)
        os.close(fd)
        began = time.perf_counter()
        subprocess.run(["rg", "-a", "-c", "-F", "-f", places[1], places[0]], capture_output=True)
        theirs.append((time.perf_counter() - began) * 1e9 / size)
finally:
    for place in places:
        if os.path.exists(place):
            os.unlink(place)
print(json.dumps({"ours": ours, "theirs": theirs, "found": sum(len(numbers) for _, numbers in found)}))
"""


def measure_sweep(installation: Installation) -> list[Figure]:
    """A thousand identifiers in plain text of another hospital's patients; in turn with ripgrep."""
    said = _in_the_probe(installation, {"text": _text(), "strings": _strings(), "mib": MIB, "rounds": ROUNDS})
    speed = figure("sweep of plain text", [1000 / seconds for seconds in said["ours"]], "MB/s", 300.0)
    return [
        replace(speed, at_least=True),
        compared("sweep of plain text", said["ours"], "s/GB", "ripgrep, same strings", said["theirs"], 2.0),
    ]


def _strings() -> list[str]:
    hospital = Hospital(b"sweep", 10004)
    fields = [name for name in PATIENT_FIELDS if name not in NOT_TELLING]
    texts = (text for number in range(PATIENTS) for text in hospital.patient(number).texts(fields).values())
    return sorted({text for text in texts if text})[:STRINGS]


def _text() -> str:
    hospital, lines = Hospital(b"others", 10017), []
    for number in range(OTHERS):
        patient = hospital.patient(number)
        lines.append(lookup_line(EPOCH, "ehr1", 812, "dr.okafor", patient, "chart-review"))
        lines.append(",".join(text for text in patient.texts(PATIENT_FIELDS).values() if text))
    return "\n".join(lines) + "\n"


def _in_the_probe(installation: Installation, question: dict[str, object]) -> dict[str, list[float]]:
    engine = installation.engine
    argv = ["python3", "-I", "-X", "utf8", "-c", _SCRIPT]
    stream = engine.exec_stream(installation.probe_container(), argv)
    try:
        stream.sendall(json.dumps(question).encode() + b"\n")
        stream.end_input()
        out = stream.read_until_end(limit=1 << 20, deadline=time.monotonic() + DEADLINE)
    finally:
        stream.close()
    if not out:
        raise EngineError("the sweep could not be measured: " + stream.stderr.decode(errors="replace")[-400:])
    said: dict[str, list[float]] = json.loads(out)
    return said
