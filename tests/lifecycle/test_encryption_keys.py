"""Derived keys for age and OpenPGP: the same seed gives the same bytes, and the programs take them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phi_labs.lifecycle import encryption_keys
from phi_labs.lifecycle.encryption_keys import PgpKey, derived_age_key, derived_pgp_key

OFFICER = "Escrow officer <escrow@example.org>"
NEEDS_GPG = pytest.mark.skipif(shutil.which("gpg") is None, reason="GnuPG is not installed here")
# From age's own tests: 32 times the byte 0x42.
KNOWN_IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
KNOWN_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def test_the_same_seed_and_purpose_give_the_same_bytes() -> None:
    age, pgp = derived_age_key(bytes(32), "escrow"), derived_pgp_key(bytes(32), "escrow", OFFICER)
    assert age == derived_age_key(bytes(32), "escrow")
    assert pgp == derived_pgp_key(bytes(32), "escrow", OFFICER)
    whole = age.private + age.public + pgp.private + pgp.public + pgp.fingerprint + pgp.encrypts
    assert hashlib.sha256(whole.encode()).hexdigest()[:16] == "e965cc71edd97ec0"


def test_another_purpose_or_seed_gives_another_key() -> None:
    choices = [(seed, purpose) for seed in (bytes(32), b"1" * 32) for purpose in ("a", "b")]
    assert len({derived_age_key(*choice).public for choice in choices}) == 4
    assert len({derived_pgp_key(*choice, OFFICER).fingerprint for choice in choices}) == 4


def test_an_age_key_is_what_age_makes_of_the_same_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption_keys, "_secret", lambda *_: b"\x42" * 32)
    known = derived_age_key(b"", "")
    assert (known.private, known.public) == (KNOWN_IDENTITY, KNOWN_RECIPIENT)


Gpg = Callable[..., bytes]


@pytest.fixture
def gpg(tmp_path: Path) -> Gpg:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    def run(*words: str | Path, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", home, "--batch", "--quiet", "--trust-model", "always", *words]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


@NEEDS_GPG
@pytest.mark.parametrize("seed", [bytes(32), b"another seed", b"\xff" * 32])
def test_gpg_encrypts_to_the_public_half_and_decrypts_with_the_private_one(gpg: Gpg, seed: bytes) -> None:
    key: PgpKey = derived_pgp_key(seed, "escrow", OFFICER)
    gpg("--import", stdin=key.public.encode())
    listed = gpg("--with-colons", "--check-sigs").decode()
    fields = [line.split(":") for line in listed.splitlines()]
    assert next(row[9] for row in fields if row[0] == "fpr") == key.fingerprint
    assert [row[4] for row in fields if row[0] == "sub"] == [key.encrypts]
    assert [row[1] for row in fields if row[0] == "sig"] == ["!", "!"]
    sealed = gpg("--encrypt", "--recipient", key.fingerprint, stdin=b"a dump")
    gpg("--import", stdin=key.private.encode())
    assert gpg("--decrypt", stdin=sealed) == b"a dump"
    signed = gpg("--sign", stdin=b"a list")
    assert gpg("--decrypt", stdin=signed) == b"a list"
