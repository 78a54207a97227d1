"""The agent's answers on standard output."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

Json = dict[str, Any]


class Out:
    """Answers as lines; archive bytes travel as length-prefixed chunks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def line(self, answer: Json) -> None:
        self._file.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def chunk(self, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)))
        self._file.write(data)
