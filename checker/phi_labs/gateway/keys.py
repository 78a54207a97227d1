"""Public keys that are taken, the gateway's own host key, and the algorithms it speaks."""

from __future__ import annotations

from pathlib import Path

import asyncssh

from phi_labs.errors import UserError
from phi_labs.lifecycle.state import State

# No SHA-1, no CBC; post-quantum first. Every OpenSSH since 2014 finds one of them.
EXCHANGES = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
CIPHERS = ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
KINDS = (*(name for name in SIGNATURES if not name.startswith("rsa")), "ssh-rsa")
RSA_BITS = 2048
_LINE = 16 * 1024


def public_key(text: str) -> asyncssh.SSHKey:
    """The key of a line like ``ssh-ed25519 AAAA... comment``.

    Raises:
        UserError: it is none, a private one, of an old kind, or too short.
    """
    if "PRIVATE KEY" in text:
        raise UserError(
            "this is a private key: nobody else should ever see it", "give the file that ends in .pub"
        )
    words = text.split()
    if len(text) > _LINE or len(words) < 2 or words[0] not in KINDS:
        raise UserError(
            "this is no public key of a kind that is taken",
            "the one line of ~/.ssh/id_ed25519.pub; ssh-keygen -t ed25519 makes it",
        )
    try:
        key = asyncssh.import_public_key(" ".join(words[:2]))
    except asyncssh.KeyImportError as error:
        raise UserError(f"this public key is damaged ({error})", "copy the whole line again") from error
    if words[0] == "ssh-rsa" and _bits(key) < RSA_BITS:
        raise UserError(
            f"this RSA key has fewer than {RSA_BITS} bits", "ssh-keygen -t ed25519 makes a better one"
        )
    return key


def key_line(key: asyncssh.SSHKey) -> str:
    """A key as one line, without a comment."""
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def fingerprint(key: asyncssh.SSHKey) -> str:
    """``SHA256:...``, as ``ssh-keygen -l`` shows it."""
    return key.get_fingerprint()


def host_key(state: State, folder: Path) -> asyncssh.SSHKey:
    """The gateway's own key, made on first use; 0600 in the state directory."""
    path = folder / "ssh_host_ed25519_key"
    with state.lock("gateway-host-key"):
        if not path.exists():
            made = asyncssh.generate_private_key("ssh-ed25519", comment="phi-labs gateway")
            state.write(path, made.export_private_key("openssh").decode())
            state.write(path.with_suffix(".pub"), made.export_public_key("openssh").decode())
    try:
        return asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError) as error:
        raise UserError(
            f"{path} cannot be read: {error}", "restore it; a new one makes every client warn"
        ) from error


def _bits(key: asyncssh.SSHKey) -> int:
    blob = key.public_data
    sizes = []
    while blob:  # string "ssh-rsa", mpint e, mpint n
        size = int.from_bytes(blob[:4], "big")
        sizes.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return int.from_bytes(sizes[-1], "big").bit_length()
