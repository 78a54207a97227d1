"""Makes a real shared object without a compiler: functions that do nothing and return a number."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

# Machine number in ELF, and what "return this small number" looks like there.
MACHINES: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "x86_64": (62, lambda value: b"\xb8" + struct.pack("<i", value) + b"\xc3"),  # mov eax, value; ret
    "aarch64": (183, lambda value: struct.pack("<II", 0x52800000 | (value & 0xFFFF) << 5, 0xD65F03C0)),
}
BASE = 0x1000  # of file and memory; code follows the tables
LOAD, DYNAMIC, READ_EXECUTE, READ_WRITE = 1, 2, 5, 6
HASH, STRTAB, SYMTAB, STRSZ, SYMENT = 4, 5, 6, 10, 11
GLOBAL_FUNCTION = 0x12


def shared_object(functions: Mapping[str, int], machine: str) -> bytes:
    """An ELF library that exports these functions, each returning its number (0 to 65535)."""
    number, returning = MACHINES[machine]
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in functions)
    codes = [returning(value).ljust(16, b"\0") for value in functions.values()]
    count = len(functions) + 1
    symbols_at, hashes_at = 0x200, 0x200 + 24 * count
    strings_at = hashes_at + 4 * (2 + 1 + count)
    dynamic_at = (strings_at + len(strings) + 15) // 16 * 16
    symbols, name_at = bytes(24), 1
    for index, name in enumerate(functions):
        symbols += struct.pack("<IBBHQQ", name_at, GLOBAL_FUNCTION, 0, 1, BASE + 16 * index, 16)
        name_at += len(name) + 1
    # One bucket with all symbols in a chain.
    hashes = struct.pack(
        f"<{3 + count}I", 1, count, count - 1, *(max(index - 1, 0) for index in range(count))
    )
    entries = (
        (HASH, hashes_at),
        (STRTAB, strings_at),
        (SYMTAB, symbols_at),
        (STRSZ, len(strings)),
        (SYMENT, 24),
    )
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in (*entries, (0, 0)))
    end = BASE + 16 * len(codes)
    headers = _program_header(LOAD, 7, 0, end) + _program_header(
        DYNAMIC, READ_WRITE, dynamic_at, len(dynamic)
    )
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 3, number, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    image = bytearray(end)
    for at, data in (
        (0, head),
        (64, headers),
        (symbols_at, symbols),
        (hashes_at, hashes),
        (strings_at, strings),
        (dynamic_at, dynamic),
        (BASE, b"".join(codes)),
    ):
        image[at : at + len(data)] = data
    return bytes(image)


def _program_header(kind: int, flags: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, size, size, 0x1000)
