"""Compiled strings that all conversations share: compiling 7,000 takes 0.12 s, taking them from here 1 ms."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from phi_labs.probe.agent import vectorscan

PREFIX = "strings-"
WORTH_KEEPING = 500  # literals; fewer are compiled in a few milliseconds
ALL_BYTES = 48 << 20  # a lab's strings take about one MiB


@dataclass(frozen=True)
class Shelf:
    """A folder of compiled strings; what has not been used for longest makes room."""

    folder: str

    def holds(self, literals: Sequence[bytes]) -> bool:
        """Whether these were compiled before."""
        return len(literals) >= WORTH_KEEPING and os.path.exists(self._path(literals))

    def database(self, literals: Sequence[bytes]) -> vectorscan.Database | None:
        """These literals, compiled, if need be now; None where there is no library for that."""
        library = vectorscan.library()
        if library is None:
            return None
        return self._taken(library, literals) or self._made(library, literals)

    def _taken(self, library: vectorscan.Library, literals: Sequence[bytes]) -> vectorscan.Database | None:
        if not self.holds(literals):
            return None
        path = self._path(literals)
        with suppress(OSError, RuntimeError):  # it made room just now, or another version wrote it
            with open(path, "rb") as file:
                database = vectorscan.Database.restored(library, file.read())
            os.utime(path)
            return database
        return None

    def _made(self, library: vectorscan.Library, literals: Sequence[bytes]) -> vectorscan.Database:
        database = vectorscan.Database.compiled(library, literals)
        if len(literals) >= WORTH_KEEPING:
            with suppress(OSError):  # without room it is compiled again the next time
                self._put(self._path(literals), database.packed())
        return database

    def _put(self, path: str, data: bytes) -> None:
        left = ALL_BYTES - len(data)
        for old, size in self._newest_first():
            left -= size
            if left < 0:
                with suppress(FileNotFoundError):
                    os.unlink(old)
        if len(data) > ALL_BYTES:
            return
        new = f"{path}.{os.getpid()}"
        with open(new, "wb") as file:
            file.write(data)
        os.rename(new, path)  # nobody reads half of it

    def _newest_first(self) -> list[tuple[str, int]]:
        """(path, size) of what lies here."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(PREFIX):
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        found.append((status.st_mtime_ns, entry.path, status.st_size))
        return [(path, size) for _, path, size in sorted(found, reverse=True)]

    def _path(self, literals: Sequence[bytes]) -> str:
        digest = hashlib.sha256(b"".join(b"%d:%b" % (len(literal), literal) for literal in literals))
        return f"{self.folder}/{PREFIX}{digest.hexdigest()}"
