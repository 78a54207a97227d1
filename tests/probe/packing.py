"""Ways to hide bytes in files, with other tools than those that look for them."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Callable

Pack = Callable[[bytes], bytes]


def zipped(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("before.txt", b"nothing")
        archive.writestr("inside.txt", data)
    return buffer.getvalue()


def zipped_as_a_stream(data: bytes) -> bytes:
    """Sizes follow the members, as when a zip is written to a pipe."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("before.txt", b"nothing" * 100)
        archive.writestr("inside.txt", data)
    return buffer.getvalue()


def tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("a" * 150, b"nothing"), ("inside", data)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def custom_dump(data: bytes) -> bytes:
    """What pg_dump -Fc writes around its compressed tables, as far as it matters."""
    packed = zlib.compress(b"1\tbefore\n" + data + b"\n\\.\n")
    blocks = [packed[at : at + 4096] for at in range(0, len(packed), 4096)]
    body = b"".join(b"\0" + len(block).to_bytes(4, "little") + block for block in blocks)
    return b"PGDMP\x01\x0e\x00\x04\x08\x01" + b"toc" * 50 + b"\x01\x00\x03\0\0\0" + body + bytes(5)


def in_a_database(data: bytes) -> bytes:
    """A row whose other columns touch the value: digits before and after it."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE patients (number INTEGER, before TEXT, value BLOB, after TEXT)")
    rows = [(n, "12345", data if n == 500 else b"nothing", "67890") for n in range(1000)]
    connection.executemany("INSERT INTO patients VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    return connection.serialize()


def mailed(data: bytes) -> bytes:
    head = b"From: ehr@example.org\nContent-Transfer-Encoding: base64\n\n"
    return head + base64.encodebytes(data + b" and so on, until there is another line") + b"\n--end--\n"


def in_json(data: bytes) -> bytes:
    return json.dumps({"id": 7, "attachment": base64.b64encode(data).decode(), "next": "nothing"}).encode()


def in_json_with_lines(data: bytes) -> bytes:
    return json.dumps({"attachment": base64.encodebytes(data + bytes(60)).decode()}).encode()


def in_ldif(data: bytes) -> bytes:
    code = base64.b64encode(data + b" and some words behind it").decode()
    lines = [code[at : at + 76] for at in range(0, len(code), 76)]
    return ("dn: cn=x\ninfo:: " + "\n ".join(lines) + "\n").encode()


def shifted(count: int) -> Pack:
    return lambda data: in_json(b"x" * count + b" " + data)


PACKS: dict[str, Pack] = {
    "plain": lambda data: b"first " + data + b" last",
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "zip, stored": lambda data: zipped(data, zipfile.ZIP_STORED),
    "zip, bzip2": lambda data: zipped(data, zipfile.ZIP_BZIP2),
    "zip, written to a pipe": zipped_as_a_stream,
    "tar": tarred,
    "pg_dump": custom_dump,
    "sqlite": in_a_database,
    "mail": mailed,
    "json": in_json,
    "json, second place": shifted(1),
    "json, third place": shifted(2),
    "json with lines": in_json_with_lines,
    "ldif": in_ldif,
}
WIDE: dict[str, Pack] = {
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "utf-16-le": lambda data: data.decode().encode("utf-16-le"),
    "utf-16-be": lambda data: b"x" + data.decode().encode("utf-16-be"),
}
