"""JSON lines and chunks: answers belong to their questions, and a conversation that broke stays broken."""

from __future__ import annotations

import io
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.fakes.engine import frame

from phi_labs.engine.stream import ExecStream
from phi_labs.errors import HandsError, ProbeError, ProbeTimeout
from phi_labs.probe.hands_client import Hands
from phi_labs.probe.wire import Wire


@dataclass
class Talk:
    """Both ends of a conversation."""

    wire: Wire
    other: socket.socket

    def answers(self, *messages: object) -> None:
        """The other end says these lines."""
        self.other.sendall(frame(b"".join(json.dumps(item).encode() + b"\n" for item in messages)))


@pytest.fixture
def talk() -> Iterator[Talk]:
    mine, theirs = socket.socketpair()
    theirs.settimeout(2)
    wire = Wire(ExecStream(mine, "exec"), "the probe")
    yield Talk(wire, theirs)
    wire.close()
    theirs.close()


def test_a_question_is_one_line_of_json(talk: Talk) -> None:
    talk.wire.say({"op": "hello", "name": "ünïcode\n"})
    line = talk.other.recv(1000)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"op": "hello", "name": "ünïcode\n"}


def test_an_answer_may_arrive_in_pieces(talk: Talk) -> None:
    talk.wire.say({"op": "hello"})
    talk.other.sendall(frame(b'{"agent"'))
    talk.other.sendall(frame(b"words on standard error", 2))
    talk.other.sendall(frame(b":1}\n"))
    assert talk.wire.hear(1) == {"agent": 1}


def test_no_answer_in_time_is_told_apart_from_a_death(talk: Talk) -> None:
    talk.wire.say({"op": "hello"})
    with pytest.raises(ProbeTimeout):
        talk.wire.hear(0.02)


def test_a_dead_other_end_is_named_with_its_last_words(talk: Talk) -> None:
    talk.wire.say({"op": "hello"})
    talk.other.sendall(frame(b"Traceback\nMemoryError\n", 2))
    talk.other.close()
    with pytest.raises(ProbeError) as caught:
        talk.wire.hear(1)
    assert not isinstance(caught.value, ProbeTimeout)
    assert "MemoryError" in caught.value.hint


def test_a_late_answer_never_counts_for_the_next_question(talk: Talk) -> None:
    talk.wire.say({"op": "can"})
    with pytest.raises(ProbeTimeout):
        talk.wire.hear(0.02)
    talk.answers({"can": [True]}, {"can": [False]})
    with pytest.raises(ProbeError, match="out of step"):
        talk.wire.say({"op": "can"})


def test_a_question_that_was_broken_off_ends_the_conversation(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TimeIsUp(BaseException):
        pass

    def interrupt(_self: ExecStream, _size: int = 0) -> bytes:
        raise TimeIsUp

    talk.wire.say({"op": "stat"})
    monkeypatch.setattr(ExecStream, "recv", interrupt)
    with pytest.raises(TimeIsUp):
        talk.wire.hear(1)
    monkeypatch.undo()
    talk.answers({"exists": True})
    with pytest.raises(ProbeError, match="out of step"):
        talk.wire.say({"op": "stat"})


def test_an_archive_that_was_broken_off_ends_the_conversation(talk: Talk) -> None:
    talk.wire.say({"op": "capture"})
    talk.answers({"stream": True})
    assert talk.wire.hear(1) == {"stream": True}
    talk.other.sendall(frame(struct.pack(">I", 5) + b"abc"))
    with pytest.raises(ProbeTimeout):
        list(talk.wire.chunks(0.02))
    with pytest.raises(ProbeError, match="out of step"):
        talk.wire.say({"op": "hello"})


def test_chunks_end_with_the_empty_one_and_the_next_line_follows(talk: Talk) -> None:
    talk.wire.say({"op": "capture"})
    body = struct.pack(">I", 3) + b"abc" + struct.pack(">I", 2) + b"\n{" + struct.pack(">I", 0)
    talk.other.sendall(frame(b'{"stream":true}\n' + body + b'{"entries":2}\n'))
    assert talk.wire.hear(1) == {"stream": True}
    assert b"".join(talk.wire.chunks(1)) == b"abc\n{"
    assert talk.wire.hear(1) == {"entries": 2}
    talk.wire.say({"op": "hello"})


def test_a_file_is_sent_as_chunks(talk: Talk) -> None:
    talk.wire.send_chunks(io.BytesIO(b"archive"))
    assert talk.other.recv(100) == struct.pack(">I", 7) + b"archive" + struct.pack(">I", 0)


def test_talking_to_a_closed_end_is_the_probes_trouble(talk: Talk) -> None:
    talk.other.close()
    with pytest.raises(ProbeError):
        talk.wire.send_chunks(io.BytesIO(b"x" * 1_000_000))


@pytest.mark.parametrize("line", [b"nonsense", b"3", b"[]", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
def test_an_answer_without_sense_is_told_as_trouble_of_the_other_end(talk: Talk, line: bytes) -> None:
    talk.wire.say({"op": "hello"})
    talk.other.sendall(frame(line + b"\n"))
    with pytest.raises(ProbeError, match="makes no sense"):
        talk.wire.hear(1)


def test_an_answer_without_end_is_not_taken_for_ever() -> None:
    mine, theirs = socket.socketpair()
    with theirs:
        wire = Wire(ExecStream(mine, "exec"), "the probe", longest=1000)
        wire.say({"op": "hello"})
        for _ in range(2):
            theirs.sendall(frame(b"x" * 1001))
        with pytest.raises(ProbeError, match="does not end"):
            wire.hear(1)
        wire.close()


class Forged(Hands):
    """Hands in whose place the clone's root answers."""

    def __init__(self, answer: object) -> None:
        self._mine, theirs = socket.socketpair()
        super().__init__(ExecStream(self._mine, "exec"))
        theirs.sendall(frame(b'{"ready":true}\n' + json.dumps(answer).encode() + b"\n"))
        self.theirs = theirs


@pytest.mark.parametrize("answer", [{}, {"exit_code": "x", "stdout": 1}, {"exit_code": 0, "stdout": "="}, 1])
def test_forged_answers_of_hands_are_told_as_their_trouble(answer: object) -> None:
    hands = Forged(answer)
    with hands.theirs, pytest.raises(HandsError):
        hands.run(["/bin/true"], uid=0, gid=0, groups=[], timeout=1)
    hands.close()
    hands = Forged(answer)
    with hands.theirs, pytest.raises(HandsError):
        hands.start(["/bin/true"])
    hands.close()
