"""Questions on what differs from a pristine image."""

from __future__ import annotations

import marshal
import os
import stat

from phi_labs.probe.agent.capture import attributes
from phi_labs.probe.agent.kernel import Refused, open_inside
from phi_labs.probe.agent.memory import Memory
from phi_labs.probe.agent.stream import Json
from phi_labs.probe.agent.walking import ENGINE_FILES, cache_file, listing, told

ANYBODY_RUNS = 0o111


def answer_baseline(memory: Memory, question: Json) -> Json:
    """Know the pristine image: by its cached listing, else by walking the pristine container ``pid``."""
    known = memory.known(question["key"])
    if known is None and question.get("pid"):
        known = listing(memory.roots[question["pid"]])
        place = cache_file(memory.cache, question["key"])
        temporary = f"{place}.{os.getpid()}"
        with open(temporary, "wb") as file:
            marshal.dump(known, file)
        os.replace(temporary, place)
    return {"known": known is not None, "paths": len(known or ())}


def answer_changes(memory: Memory, question: Json) -> Json:
    """Paths that differ from the pristine image: [path, known before, mode, uid, gid, size, capable]."""
    found = memory.changed(question)
    if found.cut:
        raise Refused("more paths than can be looked at")
    if len(found.items) > question["limit"]:
        raise Refused(f"more than {question['limit']} paths changed")
    root = memory.roots[question["pid"]]
    return {
        "changed": [
            # Rows, not mappings: a trainee may have made 100,000 files.
            [
                path,
                known,
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_size,
                capabilities(root, path, status),
            ]
            for path, known, status in found.items
            if path not in ENGINE_FILES
        ],
        "removed": [path for path in found.removed if path not in ENGINE_FILES],
        "trouble": told(found.trouble, 200),
    }


def capabilities(root: int, path: str, status: os.stat_result) -> bool:
    """Whether a program carries file capabilities; those of a file that nobody can run lend nothing."""
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & ANYBODY_RUNS:
        return False
    try:
        fd = open_inside(root, path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return "security.capability" in attributes(fd)
    finally:
        os.close(fd)


def answer_occupied(memory: Memory, question: Json) -> Json:
    """Bytes that changed paths take on the disk: a hole takes nothing, a file of several names counts once.

    ``cut`` says that there are more paths than can be looked at.
    """
    memory.forget(question)
    changed = memory.changed(question)
    files = {(status.st_dev, status.st_ino): status.st_blocks for _, _, status in changed.items}
    memory.forget(question)  # of use to nobody else
    return {"bytes": 512 * sum(files.values()), "cut": changed.cut}
