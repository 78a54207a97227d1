"""SSH keys derived from a run's seed: the same seed gives the same keys, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass

_MAGIC = b"openssh-key-v1\0"
_KIND = b"ssh-ed25519"


@dataclass(frozen=True)
class KeyPair:
    """An Ed25519 pair in OpenSSH's text formats."""

    private: str
    public: str


def derived_key(seed: bytes, purpose: str) -> KeyPair:
    """The Ed25519 pair of one purpose (``"host ehr1"``, ``"persona intern"``)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - 40 ms, only for start
        Ed25519PrivateKey,
    )
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    secret = hmac.new(seed, b"ssh key " + purpose.encode(), hashlib.sha256).digest()
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    comment = purpose.replace(" ", "-")
    blob = _string(_KIND) + _string(raw)
    text = f"{_KIND.decode()} {base64.b64encode(blob).decode()} {comment}"
    return KeyPair(private=_openssh_private(secret, raw, blob, comment), public=text)


def _openssh_private(secret: bytes, raw: bytes, blob: bytes, comment: str) -> str:
    """OpenSSH's own format (PROTOCOL.key); its two check words are free to choose and here derived."""
    check = hashlib.sha256(secret).digest()[:4]
    inner = check + check + _string(_KIND) + _string(raw) + _string(secret + raw) + _string(comment.encode())
    inner += bytes(range(1, 9))[: -len(inner) % 8]
    whole = (
        _MAGIC + _string(b"none") * 2 + _string(b"") + struct.pack(">I", 1) + _string(blob) + _string(inner)
    )
    lines = base64.encodebytes(whole).decode().replace("\n", "")
    body = "\n".join(lines[at : at + 70] for at in range(0, len(lines), 70))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
