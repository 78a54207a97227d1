"""OpenSSH public keys of a roster: parsed here, so that a bad one is told before anything starts.

No message ever repeats what stood in the cell: somebody may have pasted a private key.
"""

from __future__ import annotations

import base64
import binascii
import re

RSA_BITS = 3072
_TYPE = re.compile(r"(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+")
_SECRET = re.compile(r"PRIVATE[ -]KEY|PuTTY-User-Key-File", re.IGNORECASE)
_OTHER_FORMAT = re.compile(r"BEGIN (SSH2 |RSA )?PUBLIC KEY")
_FIELD_25519 = 2**255 - 19
# y of the eight points of small order on edwards25519: with such a "key" anybody's signature is good.
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _FIELD_25519 - 1,
        0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
# name -> (prime, b) of y^2 = x^3 - 3x + b, FIPS 186-4 D.1.2
_CURVES = {
    "nistp256": (
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        int("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16),
    ),
    "nistp384": (
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        int(
            "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a"
            "c656398d8a2ed19d2a85c8edd3ec2aef",
            16,
        ),
    ),
    "nistp521": (
        2**521 - 1,
        int(
            "051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109"
            "e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
            16,
        ),
    ),
}


class BadKey(ValueError):
    """Why a cell is no public key that may be used; the text never holds any of the cell."""


def public_key(cell: str) -> str:
    """The key as ``type base64``, its comment dropped.

    Accepted: ed25519 and ECDSA, both also on a security key (sk-...), and RSA of 3072 bits or more.

    Raises:
        BadKey: anything else.
    """
    if _SECRET.search(cell):
        raise BadKey(
            "is a private key; it is no secret any more: make a new pair (ssh-keygen -t ed25519) "
            "and give the line of its .pub file"
        )
    if _OTHER_FORMAT.search(cell):
        raise BadKey("is in another format than OpenSSH's; convert it: ssh-keygen -i -f FILE")
    words = cell.split()
    if not words or not _TYPE.fullmatch(words[0]):
        raise BadKey(_what_is_in_front(words))
    if len(words) < 2:
        raise BadKey("ends after its type; copy the whole line of the .pub file")
    kind, text = words[0], words[1]
    blob = _decoded(text)
    fields = _Fields(blob)
    if fields.text() != kind:
        raise BadKey("contradicts itself: the type in front is not the type inside")
    _check_kind(kind, fields)
    fields.end()
    return f"{kind} {base64.b64encode(blob).decode()}"  # one spelling for each key: nobody shares


def _what_is_in_front(words: list[str]) -> str:
    if any(_TYPE.fullmatch(word) for word in words):
        return "has options or other words in front of the key; give the key alone"
    return "is no OpenSSH public key; it begins with ssh-ed25519, ecdsa-sha2-... or ssh-rsa"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey("is damaged: its middle is not base64; copy the whole line again") from error


class _Fields:
    """The length-prefixed fields of a key's wire form (RFC 4251)."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    def take(self) -> bytes:
        start = self._at + 4
        end = start + int.from_bytes(self._blob[self._at : start], "big")
        if start > len(self._blob) or end > len(self._blob):
            raise BadKey("is cut off; copy the whole line of the .pub file")
        self._at = end
        return self._blob[start:end]

    def text(self) -> str:
        return self.take().decode("ascii", "replace")

    def number(self) -> int:
        return int.from_bytes(self.take(), "big", signed=True)

    def end(self) -> None:
        if self._at != len(self._blob):
            raise BadKey("is damaged: more follows after its end")


def _check_kind(kind: str, fields: _Fields) -> None:
    plain = kind.removeprefix("sk-").removesuffix("@openssh.com")
    if kind == "ssh-dss":
        raise BadKey("is a DSA key, which is weak; make another: ssh-keygen -t ed25519")
    if kind == "ssh-rsa":
        _check_rsa(fields)
    elif plain == "ssh-ed25519":
        _check_ed25519(fields)
    elif plain.startswith("ecdsa-sha2-") and plain.removeprefix("ecdsa-sha2-") in _CURVES:
        _check_ecdsa(plain.removeprefix("ecdsa-sha2-"), fields)
    else:
        raise BadKey("is of a type that is not accepted; use ed25519, ECDSA or RSA of 3072 bits")
    if kind.startswith("sk-"):
        fields.take()  # the application that the security key was told


def _check_rsa(fields: _Fields) -> None:
    exponent, modulus = fields.number(), fields.number()
    if modulus.bit_length() < RSA_BITS:
        bits = max(modulus.bit_length(), 0)
        raise BadKey(f"is an RSA key of {bits} bits; at least {RSA_BITS}, or ed25519")
    if exponent < 3 or exponent % 2 == 0 or modulus <= 0 or modulus % 2 == 0:
        raise BadKey("is no RSA key that can be used; make another: ssh-keygen -t ed25519")


def _check_ed25519(fields: _Fields) -> None:
    raw = fields.take()
    y = (int.from_bytes(raw, "little") & (2**255 - 1)) % _FIELD_25519
    if len(raw) != 32 or y in _SMALL_ORDER:
        raise BadKey("is no ed25519 key that can be used; make another: ssh-keygen -t ed25519")


def _check_ecdsa(curve: str, fields: _Fields) -> None:
    prime, b = _CURVES[curve]
    named, point = fields.text(), fields.take()
    size = (prime.bit_length() + 7) // 8
    x, y = (int.from_bytes(part, "big") for part in (point[1 : 1 + size], point[1 + size :]))
    whole = named == curve and len(point) == 1 + 2 * size and point[0] == 4
    if not whole or max(x, y) >= prime or (y * y - (x * x * x - 3 * x + b)) % prime:
        raise BadKey("is no ECDSA key that can be used; make another: ssh-keygen -t ed25519")
