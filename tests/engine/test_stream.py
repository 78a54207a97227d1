"""Demultiplexing the engine's frames, whatever the boundaries at which they arrive."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.engine import frame

from phi_labs.engine.stream import ExecStream

Frames = list[tuple[int, bytes]]
FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8)


@pytest.fixture
def pair() -> Iterator[tuple[ExecStream, socket.socket]]:
    mine, theirs = socket.socketpair()
    mine.settimeout(2)
    stream = ExecStream(mine, "exec")
    yield stream, theirs
    stream.close()
    theirs.close()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these places."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@settings(max_examples=60, deadline=None)
@given(FRAMES, st.lists(st.integers(0, 400), max_size=12), st.integers(1, 30))
def test_output_and_errors_are_told_apart_wherever_frames_are_cut(
    frames: Frames, cuts: list[int], size: int
) -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        mine.settimeout(2)
        stream = ExecStream(mine, "exec")
        received = b""
        for piece in pieces(b"".join(frame(data, kind) for kind, data in frames), cuts):
            theirs.sendall(piece)
            stream.settimeout(0)
            while True:
                try:
                    received += stream.recv(size)
                except BlockingIOError:
                    break
        theirs.shutdown(socket.SHUT_WR)
        stream.settimeout(2)
        while data := stream.recv(size):
            received += data
        assert received == b"".join(data for kind, data in frames if kind == 1)
        assert stream.stderr == b"".join(data for kind, data in frames if kind == 2)


def test_a_raw_stream_passes_bytes_as_they_are() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.sendall(b"\x01\x00\x00\x00 no frame")
        assert ExecStream(mine, "exec", raw=True).recv(100) == b"\x01\x00\x00\x00 no frame"


def test_what_is_put_back_is_received_first(pair: tuple[ExecStream, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(frame(b"world"))
    stream.put_back(b"hello ")
    assert (stream.recv(3), stream.recv(100), stream.recv(100)) == (b"hel", b"lo ", b"world")


def test_only_the_beginning_of_standard_error_is_kept(pair: tuple[ExecStream, socket.socket]) -> None:
    stream, theirs = pair
    flood = threading.Thread(target=lambda: theirs.sendall(frame(b"e" * 300_000, 2) + frame(b"out")))
    flood.start()
    assert stream.recv(100) == b"out"
    flood.join()
    assert len(stream.stderr) == 64 * 1024


def test_reading_to_the_end_stops_at_its_limit(pair: tuple[ExecStream, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(frame(b"x" * 1000))
    assert stream.read_until_end(limit=10, deadline=time.monotonic() + 2) == b"x" * 10


def test_reading_to_the_end_gives_up_at_its_deadline(pair: tuple[ExecStream, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(frame(b"never ends"))
    with pytest.raises(TimeoutError):
        stream.read_until_end(limit=1000, deadline=time.monotonic() + 0.05)


def test_a_reset_connection_is_the_end_of_the_output(pair: tuple[ExecStream, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(frame(b"last words"))
    theirs.close()
    assert stream.recv(100) == b"last words"
    assert stream.recv(100) == b""


def test_ending_the_input_of_a_process_that_is_gone_is_no_error(
    pair: tuple[ExecStream, socket.socket],
) -> None:
    stream, theirs = pair
    theirs.close()
    stream.end_input()
    stream.close()
    stream.close()
    assert stream.closed


def test_closing_closes_the_descriptor_also_while_a_response_shares_it() -> None:
    mine, theirs = socket.socketpair()
    theirs.settimeout(2)
    with theirs:
        ExecStream(mine, "exec", owner=mine.makefile("rb")).close()
        assert theirs.recv(1) == b""
