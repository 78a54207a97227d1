"""Everything that can be read in a file, whatever it is packed in; with the standard library alone."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

# At the start of a line (MIME) or of a JSON string.
_BASE64 = re.compile(rb"(?<=[\n\"])(?:[A-Za-z0-9+/]{4}\s*){6,}(?:[A-Za-z0-9+/]{2,3}={1,2})?")
_WIDE = re.compile(rb"(?:[\t\r\n\x20-\x7e]\x00){4,}")
_ZLIB_START: Final = b"\x78\x9c"
_DEEPEST: Final = 4


def readable(data: bytes, depth: int = 0) -> Iterator[str]:
    """The texts in a file's bytes, each layer of packing taken off."""
    if depth > _DEEPEST:
        return
    inner = list(_unpacked(data))
    for content in inner:
        yield from readable(content, depth + 1)
    if not inner:
        yield data.decode("latin-1")
        yield from (run.group().decode("utf-16-le") for run in _WIDE.finditer(data))
        for content in _in_base64(data):
            yield from readable(content, depth + 1)


def _unpacked(data: bytes) -> Iterator[bytes]:
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield archive.read(name)
    elif data[257:262] == b"ustar":
        yield from _from_tar(data)
    elif data.startswith(b"PGDMP"):
        yield data.partition(_ZLIB_START)[0]
        yield from _zlib_streams(data)


def _from_tar(data: bytes) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content:
                yield member.name.encode() + b"\n" + content.read()


def _zlib_streams(data: bytes) -> Iterator[bytes]:
    """Streams that lie in one piece: archives of few patients, whose tables fit a block each."""
    at = data.find(_ZLIB_START)
    while at >= 0:
        stream = zlib.decompressobj()
        yield stream.decompress(data[at:])
        at = data.find(_ZLIB_START, len(data) - len(stream.unused_data))


def _in_base64(data: bytes) -> Iterator[bytes]:
    for run in _BASE64.finditer(data):
        try:
            yield base64.b64decode(run.group())
        except binascii.Error:
            continue
