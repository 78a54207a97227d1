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
SEALED = (
    *(b"Salted__", b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE", b"-----BEGIN PGP MESSAGE"),
    *(b"VimCrypt~", b"$ANSIBLE_VAULT;", b"LUKS\xba\xbe", b"\x03\xd9\xa2\x9a"),
    *(b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"LZIP", b"\x1f\x9d"),
)
PGP_TO_A_KEY, PGP_PASSPHRASE = 1, 3
PGP_KEY_VERSION, PGP_PASSPHRASE_VERSION = 3, 4
PGP_ALGORITHMS, PGP_CIPHERS = frozenset({1, 2, 16, 18, 25, 26}), range(1, 14)
PGP_PACKET, PGP_NEW_PACKET, PGP_KEY_ID, PGP_LEAST = 0x80, 0xC0, 8, 24
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
    if head.startswith(SEALED) or _is_openpgp(head):
        return sealed
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


# -- what only others can open ----------------------------------------------------------------


def sealed(_stream: Stream) -> Inside:
    """Encrypted, or packed by a program that nobody has here: nothing is known of its inside."""
    raise Damaged("it is encrypted, or packed in a way that is not looked into")
    yield  # a generator, as all openers are


def _is_openpgp(head: bytes) -> bool:
    """Whether a file begins as OpenPGP's encrypted messages do (RFC 9580, 5.1 and 5.3), in binary."""
    if len(head) < PGP_LEAST or head[0] < PGP_PACKET:
        return False
    new = head[0] >= PGP_NEW_PACKET
    tag = head[0] & 63 if new else head[0] >> 2 & 15
    at = 2 if new else 1 + (1 << (head[0] & 3))  # of the version: behind the length
    version, rest = head[at], head[at + 1 :]
    if tag == PGP_TO_A_KEY:
        return version == PGP_KEY_VERSION and rest[PGP_KEY_ID] in PGP_ALGORITHMS
    return tag == PGP_PASSPHRASE and version == PGP_PASSPHRASE_VERSION and rest[0] in PGP_CIPHERS


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
