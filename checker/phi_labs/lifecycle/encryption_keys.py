"""Keys for encrypting files, derived from a run's seed: age's (X25519) and OpenPGP's (Ed25519 with Cv25519).

The same seed gives the same bytes, so nothing but the seed has to be kept; whoever knows it can decrypt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from phi_fixtures import EPOCH
from phi_labs.lifecycle.keys import KeyPair


@dataclass(frozen=True)
class PgpKey:
    """An OpenPGP key without a passphrase, armoured: what gpg exports.

    Attributes:
        fingerprint: of the primary key, 40 hexadecimal digits.
        encrypts: the long key id of the subkey that files are encrypted to, 16 hexadecimal digits.
    """

    private: str
    public: str
    fingerprint: str
    encrypts: str


def derived_age_key(seed: bytes, purpose: str) -> KeyPair:
    """An age identity (``AGE-SECRET-KEY-1...``) and its recipient (``age1...``), one line each."""
    secret = _secret(seed, f"age key {purpose}")
    return KeyPair(
        private=_bech32("age-secret-key-", secret).upper(), public=_bech32("age", _x25519_public(secret))
    )


def derived_pgp_key(seed: bytes, purpose: str, user_id: str, made: datetime = EPOCH) -> PgpKey:
    """An OpenPGP key that signs and decrypts, of the user id ``Name <address>``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - 40 ms, only for start
        Ed25519PrivateKey,
    )

    time = struct.pack(">I", int(made.timestamp()))
    signing, decrypting = (_secret(seed, f"pgp {part} key {purpose}") for part in ("primary", "sub"))
    signer = Ed25519PrivateKey.from_private_bytes(signing)
    scalar = bytes((decrypting[0] & 248, *decrypting[1:31], decrypting[31] & 127 | 64))
    primary = b"\x04" + time + _EDDSA + _point(signer.public_key().public_bytes_raw())
    subkey = b"\x04" + time + _ECDH + _point(_x25519_public(scalar)) + _KDF
    fingerprint = _fingerprint(primary)
    name = user_id.encode()

    def signature(kind: int, flags: int, over: bytes) -> bytes:
        head = bytes((4, kind, 22, 8)) + _sized(
            _subpacket(33, b"\x04" + fingerprint),
            _subpacket(2, time),
            _subpacket(27, bytes([flags])),
            *(_PREFERENCES if kind == _CERTIFIES else ()),
        )
        digest = hashlib.sha256(over + head + b"\x04\xff" + struct.pack(">I", len(head))).digest()
        signed = signer.sign(digest)
        unhashed = _sized(_subpacket(16, fingerprint[-8:]))
        return _packet(2, head + unhashed + digest[:2] + _mpi(signed[:32]) + _mpi(signed[32:]))

    certified = _hashed_key(primary) + b"\xb4" + struct.pack(">I", len(name)) + name
    bound = _hashed_key(primary) + _hashed_key(subkey)
    rest = [
        _packet(13, name) + signature(_CERTIFIES, _MAY_CERTIFY | _MAY_SIGN, certified),
        signature(_BINDS, _MAY_DECRYPT, bound),
    ]
    public = _packet(6, primary) + rest[0] + _packet(14, subkey) + rest[1]
    # gpg writes a Cv25519 secret with its first byte last, as it does all numbers.
    private = (
        _packet(5, primary + _unprotected(signing))
        + rest[0]
        + _packet(7, subkey + _unprotected(scalar[::-1]))
        + rest[1]
    )
    return PgpKey(
        private=_armoured("PRIVATE KEY", private),
        public=_armoured("PUBLIC KEY", public),
        fingerprint=fingerprint.hex().upper(),
        encrypts=_fingerprint(subkey)[-8:].hex().upper(),
    )


def _secret(seed: bytes, purpose: str) -> bytes:
    return hmac.new(seed, purpose.encode(), hashlib.sha256).digest()


def _x25519_public(secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415 - as above
        X25519PrivateKey,
    )

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


# --- Bech32, as BIP 173 says it, without its limit of 90 characters --------------------------------------

_LETTERS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _bech32(prefix: str, data: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    check = _polymod([*expanded, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values += [check >> 5 * (5 - place) & 31 for place in range(6)]
    return prefix + "1" + "".join(_LETTERS[value] for value in values)


def _polymod(values: Iterable[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATORS):
            state ^= generator if top >> place & 1 else 0
    return state


# --- OpenPGP packets, RFC 4880 and RFC 6637 --------------------------------------------------------------

_EDDSA: Final = bytes([22, 9]) + bytes.fromhex("2b06010401da470f01")
_ECDH: Final = bytes([18, 10]) + bytes.fromhex("2b060104019755010501")
_KDF: Final = bytes((3, 1, 8, 7))  # SHA-256, AES-128: what gpg gives a Cv25519 key
_CERTIFIES, _BINDS = 0x13, 0x18
_MAY_CERTIFY, _MAY_SIGN, _MAY_DECRYPT = 0x01, 0x02, 0x0C


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0x80 | tag << 2 | 1]) + struct.pack(">H", len(body)) + body


def _subpacket(kind: int, body: bytes) -> bytes:
    return bytes((len(body) + 1, kind)) + body


# AES-256, -192, -128; SHA-512, -384, -256; ZLIB, BZIP2, ZIP; modification detection.
_PREFERENCES: Final = tuple(
    _subpacket(kind, bytes(body))
    for kind, body in ((11, (9, 8, 7)), (21, (10, 9, 8)), (22, (2, 3, 1)), (30, (1,)))
)


def _sized(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">H", len(body)) + body


def _mpi(number: bytes) -> bytes:
    stripped = number.lstrip(b"\0")
    bits = len(stripped) * 8 - (8 - stripped[0].bit_length()) if stripped else 0
    return struct.pack(">H", bits) + stripped


def _point(public: bytes) -> bytes:
    return _mpi(b"\x40" + public)


def _unprotected(secret: bytes) -> bytes:
    number = _mpi(secret)
    return b"\0" + number + struct.pack(">H", sum(number) & 0xFFFF)


def _hashed_key(body: bytes) -> bytes:
    return b"\x99" + struct.pack(">H", len(body)) + body


def _fingerprint(body: bytes) -> bytes:
    return hashlib.sha1(_hashed_key(body), usedforsecurity=False).digest()


def _armoured(what: str, data: bytes) -> str:
    text = base64.b64encode(data).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    check = base64.b64encode(_crc24(data).to_bytes(3, "big")).decode()
    body = "\n".join(lines)
    return f"-----BEGIN PGP {what} BLOCK-----\n\n{body}\n={check}\n-----END PGP {what} BLOCK-----\n"


def _crc24(data: bytes) -> int:
    state = 0xB704CE
    for byte in data:
        state ^= byte << 16
        for _ in range(8):
            state = state << 1 ^ (0x1864CFB if state & 0x800000 else 0)
    return state & 0xFFFFFF
