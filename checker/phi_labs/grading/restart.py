"""What the restart of a copy changed, of all that decides who may do what.

A boot can tell a copy from the running machine (its container's id is in /proc), so it could repair the
one and leave the other. Whatever a restart, or what it started, makes of the configuration must
therefore be there on the running machine already: compared is the copy, once all checks are
through, with the submission that it was made of.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from typing import Any

from phi_labs.grading.archive import Fingerprint, fingerprints
from phi_labs.grading.clone import Machine
from phi_labs.grading.job import Job
from phi_labs.grading.submission import Submission
from phi_labs.lifecycle.pool import take
from phi_labs.probe.client import WALK_DEADLINE

# What only an administrator changes. Data and logs change with every boot and every job: checks ask for them
# on the running machine.
PLACES = (
    *("etc", "usr", "opt", "boot"),
    *("bin", "sbin", "lib", "lib32", "lib64", "libx32"),
    *("srv/records", "var/spool/cron", "root", "home"),
)
INSIDE = tuple(place + "/" for place in PLACES)
HOMES = ("root/", "home/")
OF_A_HOME = "/.ssh/authorized_keys"  # the rest of a home is what its owner's programs leave there
BYTE_CODE = "/__pycache__/"  # Python makes it when root first runs a module; nothing decides by it
MOST_BYTES = 16 << 20
LIMIT = 2_000
TOLD = 4
COARSE = 20_000_000  # ns; the kernel stamps files by a clock that ticks every 4 to 10 ms


HandedIn = Mapping[str, dict[str, Fingerprint]]


def as_handed_in(submission: Submission) -> HandedIn:
    """Host -> what decides on it, as the submission has it beside the image."""
    found = {}
    for name in submission.hosts:
        with submission.archive(name) as archive:
            found[name] = fingerprints(archive, _counts, MOST_BYTES)
    return found


def changed_by_restart(job: Job, submission: Submission, before: HandedIn, since: int) -> str:
    """What the restart changed, in words for the trainee; empty when nothing.

    Args:
        before: what ``as_handed_in`` says.
        since: on the probe's clock, in nanoseconds: when the copies were as handed in.
    """
    told = [
        text
        for machine in job.machines.values()
        for text in _changed(
            job, machine, before[machine.name], submission.hosts[machine.name].removed, since
        )
    ]
    if not told:
        return ""
    more = f" and {len(told) - TOLD} more" if len(told) > TOLD else ""
    return (
        f"the restart, or what ran after it, changed {', '.join(told[:TOLD])}{more}; on the running machine "
        "they are not like that: repair them there, so that a restart finds it done (logs and data belong "
        "into /var)"
    )


def _changed(
    job: Job, machine: Machine, before: dict[str, Fingerprint], removed: Sequence[str], since: int
) -> list[str]:
    answer = job.probe.ask(
        "fingerprints",
        pid=machine.pid,
        key=machine.image,
        places=PLACES,
        since=since - COARSE,
        expected=list(before),
        limit=LIMIT,
        most_bytes=MOST_BYTES,
        seconds=WALK_DEADLINE,
    )
    if "refused" in answer:  # its own doing: an untouched machine changes nothing here
        return [f"more on {machine.name} than can be compared ({answer['refused']})"]
    rows = [row for row in answer["rows"] if _counts(row[0]) and before.get(row[0]) != _seen(row)]
    suspects = [row for row in rows if row[0] in before or not _as_known(row)]
    as_image = _contents_of_the_image(
        job, machine, [row for row in suspects if _may_be_as_image(row, before)]
    )
    changed = [row[0] for row in suspects if as_image.get(row[0]) != _seen(row)]
    already = set(removed)
    gone = [path for path in answer["gone"] if _counts(path) and not _below(path, already)]
    return [f"/{path} on {machine.name}" for path in (*changed, *gone)]


def _counts(path: str) -> bool:
    """Whether a path is of those that decide."""
    if path.startswith(HOMES):
        return OF_A_HOME in f"/{path}"
    return path.startswith(INSIDE) and BYTE_CODE not in path


def _seen(row: list[Any]) -> Fingerprint:
    _, mode, uid, gid, detail, kept, _ = row
    return Fingerprint(mode, uid, gid, detail, tuple(sorted(kept.items())))


def _as_known(row: list[Any]) -> bool:
    """Whether a directory, of which more is not to be known, is new or as the image has it."""
    _, mode, uid, gid, _, kept, known = row
    return stat.S_ISDIR(mode) and not kept and (known is None or known == [mode, uid, gid])


def _may_be_as_image(row: list[Any], before: dict[str, Fingerprint]) -> bool:
    path, mode, uid, gid, _, _, known = row
    return path not in before and known == [mode, uid, gid]


def _contents_of_the_image(job: Job, machine: Machine, rows: list[list[Any]]) -> dict[str, Fingerprint]:
    """What an untouched machine has at these paths: a boot may have written what was there already."""
    if not rows:
        return {}
    host = job.lab.host(machine.name)
    container = take(job.installation, job.lab, host, machine.image, job.held, kind="clone")
    answer = job.probe.must(
        "fingerprints",
        pid=job.engine.inspect(container).pid,
        key=machine.image,
        places=[row[0] for row in rows],
        since=0,
        expected=[],
        limit=LIMIT * 10,
        most_bytes=MOST_BYTES,
        seconds=WALK_DEADLINE,
    )
    return {row[0]: _seen(row) for row in answer["rows"]}


def _below(path: str, places: set[str]) -> bool:
    """Whether a path is one of the places or below one."""
    return path in places or any(path[:end] in places for end, letter in enumerate(path) if letter == "/")
