"""Answering questions until standard input ends."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from collections.abc import Callable

from phi_labs.probe.agent.capture import answer_capture
from phi_labs.probe.agent.changes import answer_baseline, answer_changes, answer_occupied
from phi_labs.probe.agent.fingerprints import answer_fingerprints
from phi_labs.probe.agent.kernel import Ended, Refused
from phi_labs.probe.agent.memory import Memory
from phi_labs.probe.agent.questions import (
    answer_await,
    answer_can,
    answer_hash,
    answer_held,
    answer_hello,
    answer_list,
    answer_listeners,
    answer_processes,
    answer_read,
    answer_root,
    answer_servers,
    answer_stat,
)
from phi_labs.probe.agent.stream import Json, Out
from phi_labs.probe.agent.sweep import answer_sweep, answer_unlinked

ANSWERS: dict[str, Callable[[Memory, Json], Json]] = {
    "await": answer_await,
    "baseline": answer_baseline,
    "can": answer_can,
    "capture": answer_capture,
    "changes": answer_changes,
    "fingerprints": answer_fingerprints,
    "hash": answer_hash,
    "held": answer_held,
    "hello": answer_hello,
    "list": answer_list,
    "listeners": answer_listeners,
    "occupied": answer_occupied,
    "processes": answer_processes,
    "read": answer_read,
    "root": answer_root,
    "servers": answer_servers,
    "stat": answer_stat,
    "sweep": answer_sweep,
    "unlinked": answer_unlinked,
}


def answered(memory: Memory, question: Json) -> Json:
    """One answer; trouble with a question is told to the client, not raised."""
    try:
        return ANSWERS[question["op"]](memory, question)
    except Ended as error:
        return {"refused": f"ended: {error}", "gone": True}
    except Refused as error:
        return {"refused": str(error)}
    except FileNotFoundError as error:
        return {"refused": f"gone: {error}", "gone": True}
    except OSError as error:
        return {
            "refused": f"{type(error).__name__}: {error}",
            "errno": errno.errorcode.get(error.errno or 0, "?"),
        }


def main() -> None:
    """Answer until standard input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with os.fdopen(os.dup(1), "wb", buffering=1 << 18) as file:
        out = Out(file)
        memory = Memory(out)
        for line in sys.stdin.buffer:
            out.line(answered(memory, json.loads(line)))
