"""What is inside of archives, compressed files and pictures; all of it may be hostile."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator

from phi_labs.probe.agent.databases import pg_dump, sqlite
from phi_labs.probe.agent.pieces import Damaged, Decompressor, Inside, Opener, Stream, unpacked

LZMA_MEMORY = 96 << 20
ENTRIES = 100_000
PNG_TEXTS = frozenset({b"tEXt", b"iTXt", b"eXIf"})
BLOCK = 512
GZIP, BZIP2, XZ, ZIP, PG_DUMP, SQLITE, PNG = (
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\0",
    b"PK\x03\x04",
    b"PGDMP",
    b"SQLite format 3\0",
    b"\x89PNG\r\n\x1a\n",
)
# Of what a file must show at its beginning to be told by it.
HEAD = 512
ZIP_HEADER = struct.Struct("<4sHHHHHIIIHH")
STORED, DEFLATED, BZIPPED, LZMAED = 0, 8, 12, 14
ENCRYPTED, SIZE_FOLLOWS = 1, 8
UNKNOWN_SIZE = 0xFFFFFFFF


def kind_of(head: bytes) -> Opener | None:
    """What opens a file that begins so; None when it is nothing that has an inside."""
    for magic, opener in OPENERS.items():
        if head.startswith(magic):
            return opener
    return tar if _is_tar(head) else None


# -- compressed streams ----------------------------------------------------------------------


def gzip(stream: Stream) -> Inside:
    """Every member of a gzip file; what follows them is padding, which gzip itself passes over."""
    yield "gz", _members(stream, GZIP, lambda: zlib.decompressobj(31), "gzip")


def bzip2(stream: Stream) -> Inside:
    """Every stream of a bzip2 file."""
    yield "bz2", _members(stream, BZIP2, bz2.BZ2Decompressor, "bzip2")


def xz(stream: Stream) -> Inside:
    """Every stream of an xz file."""
    yield "xz", _members(stream, XZ, lambda: lzma.LZMADecompressor(memlimit=LZMA_MEMORY), "xz")


def _members(
    stream: Stream, magic: bytes, make: Callable[[], Decompressor | zlib._Decompress], what: str
) -> Iterator[bytes]:
    while stream.peek(len(magic)) == magic:
        yield from unpacked(stream, make(), what)


# -- zip ---------------------------------------------------------------------------------------


def zip_archive(stream: Stream) -> Inside:
    """Every member of a zip archive, by the headers before each: the directory at the end may lie.

    Members follow each other without overlap, so that no bomb is larger than deflate makes it.
    """
    for _ in range(ENTRIES):
        if stream.peek(4) != ZIP:
            return
        header = stream.take(ZIP_HEADER.size)
        if len(header) < ZIP_HEADER.size:
            raise Damaged("damaged zip archive: it ends early")
        _, _, flags, method, _, _, _, size, _, name, extra = ZIP_HEADER.unpack(header)
        stream.skip(name + extra)
        if flags & ENCRYPTED:
            raise Damaged("an encrypted zip archive")
        yield (
            "zip",
            _zip_member(stream, method, size, sized=not flags & SIZE_FOLLOWS and size != UNKNOWN_SIZE),
        )
        if flags & SIZE_FOLLOWS:
            _to_next_header(stream)
    raise Damaged(f"more than {ENTRIES} archived files")


def _zip_member(stream: Stream, method: int, size: int, *, sized: bool) -> Iterator[bytes]:
    if method == STORED:
        if not sized:
            raise Damaged("a zip archive with a member of unknown size")
        yield from stream.pieces(size)
    elif method == DEFLATED:
        yield from unpacked(stream, zlib.decompressobj(-15), "zip")
    elif method == BZIPPED:
        yield from unpacked(stream, bz2.BZ2Decompressor(), "zip")
    else:
        raise Damaged(f"a zip archive with an unknown compression ({method})")


def _to_next_header(stream: Stream) -> None:
    """Pass over the sizes that follow a member: 12 to 24 bytes."""
    head = stream.peek(28)
    at = head.find(b"PK", 4)
    stream.skip(at if at >= 0 else len(head))


# -- tar ---------------------------------------------------------------------------------------


def tar(stream: Stream) -> Inside:
    """Every file of a tar archive that has bytes."""
    for _ in range(ENTRIES):
        header, ended = stream.take(BLOCK), False
        while header and not header.strip(b"\0"):
            header, ended = stream.take(BLOCK), True
        if not header:
            return
        if not _is_tar(header):
            if ended:  # whatever follows an archive's end is no part of it
                return
            raise Damaged("damaged tar archive")
        size = _tar_size(header[124:136])
        kind = header[156:157]
        if size and kind in b"0\x007":
            yield "tar", stream.pieces(size)
        else:
            stream.skip(size)
        stream.skip(-size % BLOCK)
    raise Damaged(f"more than {ENTRIES} archived files")


def _is_tar(header: bytes) -> bool:
    if len(header) < BLOCK:
        return False
    try:
        said = int(header[148:156].strip(b"\0 ") or b"0", 8)
    except ValueError:
        return False
    return said > 0 and said == sum(header[:148]) + 8 * 32 + sum(header[156:])


def _tar_size(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError as error:
        raise Damaged("damaged tar archive") from error


# -- PNG -----------------------------------------------------------------------------------------


def png(stream: Stream) -> Inside:
    """The texts of a picture: in the file their checksums follow at once, and may be digits."""
    stream.skip(len(PNG))
    while len(head := stream.take(8)) == 8 and head[4:] != b"IEND":
        size = int.from_bytes(head[:4], "big")
        if head[4:] in PNG_TEXTS:
            yield "png", stream.pieces(size)
        else:
            stream.skip(size)
        stream.skip(4)


OPENERS: dict[bytes, Opener] = {
    GZIP: gzip,
    BZIP2: bzip2,
    XZ: xz,
    ZIP: zip_archive,
    PG_DUMP: pg_dump,
    SQLITE: sqlite,
    PNG: png,
}
