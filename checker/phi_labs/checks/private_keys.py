"""Whose private keys a file holds, passphrase or not."""

from __future__ import annotations

import base64
import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator

from phi_labs.checks.files import READ_BYTES
from phi_labs.grading.host import Host
from phi_labs.grading.leaks import Leaks

# What every file with a private key says of itself.
MARKS = frozenset({"PRIVATE KEY-----", "PuTTY-User-Key-File"})
UNKNOWN = "?"
_PEM = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----\s.*?-----END \1PRIVATE KEY-----", re.DOTALL)
_PUTTY = re.compile(rb"PuTTY-User-Key-File-.*?Public-Lines: (\d{1,3})\s+(.*)", re.DOTALL)
_OPENSSH = b"openssh-key-v1\0"
_BEFORE_THE_KEY = 3  # cipher, derivation and its options; then the number of keys
_UNPACKING: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "tar": bytes,
    "gz": lambda data: zlib.decompressobj(31).decompress(data, READ_BYTES),
    "bz2": lambda data: bz2.BZ2Decompressor().decompress(data, READ_BYTES),
    "xz": lambda data: lzma.LZMADecompressor(memlimit=READ_BYTES * 8).decompress(data, READ_BYTES),
    "base64": lambda data: base64.b64decode(b"".join(data.split())),
}


def private_keys(host: Host, marked: Leaks) -> dict[str, set[str]]:
    """Path -> the public halves, in base64, of all private keys in the files that bear one of the marks.

    ``?`` stands for a key of which nobody can see whose it is: under a passphrase that hides even that, or
    packed in a way that is not unpacked here.
    """
    found: dict[str, set[str]] = {}
    for leak in marked:
        if leak.identifiers & MARKS and host.file(leak.path).is_file:
            data = _unpacked(host.read(leak.path, READ_BYTES), leak.container)
            found.setdefault(leak.path, set()).update({UNKNOWN} if data is None else public_halves(data))
    return {path: keys for path, keys in found.items() if keys}


def public_halves(data: bytes) -> set[str]:
    """The public halves, in base64, of all private keys in some text; ``?`` for one that does not show it."""
    return {*map(_of_pem, _PEM.finditer(data)), *_of_putty(data)}


def _of_pem(block: re.Match[bytes]) -> str:
    if block[1] != b"OPENSSH ":
        return _by_loading(block[0])
    body = block[0].split(b"KEY-----")[1].rpartition(b"-----END")[0]
    try:
        blob = base64.b64decode(b"".join(body.split()))
        if not blob.startswith(_OPENSSH):
            return UNKNOWN
        rest = blob[len(_OPENSSH) :]
        for _ in range(_BEFORE_THE_KEY):
            _, rest = _string(rest)
        public, _ = _string(rest[4:])
    except ValueError:
        return UNKNOWN
    return base64.b64encode(public).decode()


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first string of SSH's encoding, and what follows it."""
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise ValueError("it ends early")
    return data[4 : 4 + size], data[4 + size :]


def _by_loading(pem: bytes) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - few checks need it
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        public = load_pem_private_key(pem, None).public_key()
        return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1].decode()
    except (ValueError, TypeError, UnsupportedAlgorithm):  # a passphrase is a TypeError
        return UNKNOWN


def _of_putty(data: bytes) -> Iterator[str]:
    for part in data.split(b"PuTTY-User-Key-File")[1:]:
        key = _PUTTY.match(b"PuTTY-User-Key-File" + part)
        yield b"".join(key[2].split()[: int(key[1])]).decode(errors="replace") if key else UNKNOWN


def _unpacked(data: bytes, container: str) -> bytes | None:
    """What was found inside of a container; None when it cannot be brought out here."""
    for name in container.split("+"):
        if name not in _UNPACKING:
            return None
        try:
            data = _UNPACKING[name](data)
        except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError):
            return None
    return data
