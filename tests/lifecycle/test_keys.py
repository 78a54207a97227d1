"""Derived SSH keys: the same seed gives the same bytes, and OpenSSH takes them."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
from pathlib import Path

import paramiko
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phi_labs.lifecycle.keys import derived_key


def test_the_same_seed_and_purpose_give_the_same_bytes() -> None:
    pair = derived_key(bytes(32), "trainee")
    assert pair == derived_key(bytes(32), "trainee")
    assert hashlib.sha256((pair.private + pair.public).encode()).hexdigest()[:16] == "dc74abcf40fcf642"


def test_another_purpose_or_seed_gives_another_key() -> None:
    keys = {derived_key(seed, purpose).public for seed in (bytes(32), b"1" * 32) for purpose in ("a", "b")}
    assert len(keys) == 4


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=1, max_size=64), st.text("abc xyz", max_size=20))
def test_paramiko_reads_every_private_key_and_agrees_on_the_public_half(seed: bytes, purpose: str) -> None:
    pair = derived_key(seed, purpose)
    key = paramiko.Ed25519Key.from_private_key(io.StringIO(pair.private))
    assert key.get_base64() == pair.public.split()[1]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed here")
@pytest.mark.parametrize("purpose", ["trainee", "host ehr1", "persona a-very-long-name-of-a-persona"])
def test_openssh_reads_the_private_key_and_agrees_on_the_public_half(tmp_path: Path, purpose: str) -> None:
    pair = derived_key(b"seed", purpose)
    file = tmp_path / "key"
    file.write_text(pair.private)
    file.chmod(0o600)
    shown = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == pair.public.split()
