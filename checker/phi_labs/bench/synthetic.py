"""Figures of the synthetic data: making patients, importing, streaming, planting."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from phi_fixtures import Hospital
from phi_fixtures.planting import artefacts
from phi_labs.bench.report import Figure, compared, figure

SEED = b"phi-labs bench"
PATIENTS = 10_000
STREAMED = 200_000
LAB_PATIENTS = 200
ROUNDS = 5
MIB = 1024 * 1024
_IMPORT = "import time; t = time.perf_counter(); import phi_fixtures; print(time.perf_counter() - t)"
# Each in a process of its own, so that neither pays for what the bench holds in memory.
_OURS = f"""
import time
from phi_fixtures import Hospital
from phi_fixtures.population import core_rows
next(core_rows(Hospital({SEED!r}, 7).patients([0])))
began = time.perf_counter()
made = sum(1 for _ in core_rows(Hospital({SEED!r}, 7).patients(range({PATIENTS}))))
assert made == {PATIENTS}
print(time.perf_counter() - began)
"""
# What one writes first: a call per field (identifiers that could be real, but that is not the point).
_NAIVE = f"""
import time
from faker import Faker
fake = Faker("en_US")
fake.seed_instance(7)
began = time.perf_counter()
for number in range({PATIENTS}):
    (number, fake.numerify("##########"), fake.last_name(), fake.first_name(), fake.random_element("FM"),
     fake.date_of_birth(minimum_age=0, maximum_age=105), fake.ssn(), fake.phone_number(), fake.phone_number(),
     fake.email(), fake.street_address(), fake.city(), fake.state_abbr(), fake.zipcode(),
     fake.bothify("???#########"), fake.bothify("#?##-??#-??##"), fake.numerify("########"))
print(time.perf_counter() - began)
"""
_STREAM = (
    "import resource; from phi_fixtures import Hospital; from phi_fixtures.population import population\n"
    f"n = sum(1 for _ in population(Hospital({SEED!r}, 7), {STREAMED}))\n"
    f"assert n == {STREAMED}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
)


def measure_synthetic(tell: Callable[[str], None]) -> list[Figure]:
    """All figures that need no engine; about ten seconds, most of them naive Faker's."""
    tell(f"{PATIENTS} patients, beside Faker's own calls for the same fields")
    ours = [_in_python(_OURS) for _ in range(ROUNDS)]
    theirs = [_in_python(_NAIVE)]
    tell("importing, streaming and planting synthetic data")
    return [
        compared(f"{PATIENTS} patients", ours, "s", "naive Faker calls", theirs, 40, at_least=True),
        figure(f"{PATIENTS} patients", ours, "s", 0.15),
        figure("import of phi_fixtures", [_in_python(_IMPORT) * 1000 for _ in range(ROUNDS)], "ms", 80),
        figure(f"peak memory, {STREAMED} patients", [_in_python(_STREAM) / MIB], "MiB", 150),
        figure("planting a typical lab", [_timed(_plant_lab) * 1000 for _ in range(ROUNDS)], "ms", 150),
    ]


def _plant_lab() -> None:
    for _, artefact in artefacts(Hospital(SEED, 7), patients=LAB_PATIENTS):
        for _chunk in artefact.chunks():
            pass


def _in_python(program: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return float(done.stdout)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
