"""OpenSSH key lines made by hand: of any type, sound or not, the same in every run."""

from __future__ import annotations

import base64
import random


def wire(*fields: bytes) -> bytes:
    """Length-prefixed fields, as in RFC 4251."""
    return b"".join(len(item).to_bytes(4, "big") + item for item in fields)


def line(kind: str, *fields: bytes, comment: str = "") -> str:
    """``type base64 comment`` of a key with these fields."""
    return f"{kind} {base64.b64encode(wire(kind.encode(), *fields)).decode()} {comment}".strip()


def ed25519(number: int, comment: str = "") -> str:
    """An ed25519 key of its own for each number."""
    return line("ssh-ed25519", random.Random(number).randbytes(32), comment=comment)  # noqa: S311 - nobody logs in with it


def number_field(value: int) -> bytes:
    """A positive whole number as in RFC 4251 (mpint)."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def rsa(bits: int, exponent: int = 65537, *, odd: bool = True) -> str:
    """An RSA key whose modulus has that many bits (any odd number will do: nobody logs in with it)."""
    drawn = random.Random(bits).getrandbits(bits)  # noqa: S311 - as above
    modulus = (drawn | 1 << (bits - 1) | 1) - (not odd)
    return line("ssh-rsa", number_field(exponent), number_field(modulus))
