"""Public keys of a roster: what is accepted, what is refused and why, and that no secret is repeated."""

from __future__ import annotations

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.workshop.keys import ed25519, line, number_field, rsa, wire

from phi_labs.workshop.roster_keys import BadKey, public_key

SK_APPLICATION = b"ssh:"


def made(algorithm: str, **options: int) -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(algorithm, comment="alice@laptop", **options)


def public_line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode()


@pytest.mark.parametrize(
    "algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
)
def test_keys_that_another_program_made_are_taken_without_their_comment(algorithm: str) -> None:
    written = public_line(made(algorithm))
    assert public_key(written) == " ".join(written.split()[:2])


def test_rsa_needs_3072_bits() -> None:
    assert public_key(rsa(3072)).startswith("ssh-rsa ")
    with pytest.raises(BadKey, match="RSA key of 3071 bits; at least 3072"):
        public_key(rsa(3071))
    with pytest.raises(BadKey, match="of 2048 bits"):
        public_key(public_line(made("ssh-rsa", key_size=2048)))


def test_keys_on_security_keys_are_taken() -> None:
    key = ed25519(1).split()[1]
    assert asyncssh.import_public_key(f"ssh-ed25519 {key}")
    inside = made("ssh-ed25519").public_data[-32:]
    assert public_key(line("sk-ssh-ed25519@openssh.com", inside, SK_APPLICATION)).startswith("sk-ssh-ed25519")


def test_a_private_key_is_told_and_never_repeated() -> None:
    pem = made("ssh-ed25519").export_private_key().decode()
    with pytest.raises(BadKey) as caught:
        public_key(pem)
    assert "private key" in str(caught.value)
    assert not {word for word in pem.split() if len(word) > 12} & set(str(caught.value).split())
    with pytest.raises(BadKey, match="private key"):
        public_key("PuTTY-User-Key-File-3: ssh-ed25519 Private-Lines: 1 AAAAsecret")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('command="/bin/sh" ' + ed25519(1), "options or other words in front"),
        ("no-pty " + ed25519(1), "options or other words in front"),
        ("alice@laptop", "no OpenSSH public key"),
        ("ssh-ed25519", "ends after its type"),
        ("ssh-ed25519 AAAA!!!!", "not base64"),
        (" ".join(["ssh-ed25519", ed25519(1).split()[1][:40]]), "cut off"),
        ("ssh-rsa " + ed25519(1).split()[1], "type in front is not the type inside"),
        ("ssh-dss AAAAB3NzaC1kc3MAAAAA", "DSA"),
        (line("ssh-ed25519", bytes(31)), "no ed25519 key"),
        (line("ssh-ed25519", bytes(32)), "no ed25519 key"),
        (line("ssh-ed25519", (1).to_bytes(32, "little")), "no ed25519 key"),
        (line("ssh-ed25519", b"\x07" * 32, b"more"), "more follows"),
        (rsa(3072, exponent=1), "no RSA key"),
        (rsa(3072, odd=False), "no RSA key"),
        (line("ecdsa-sha2-nistp256", b"nistp256", b"\x04" + b"\x01" * 64), "no ECDSA key"),
        (line("ecdsa-sha2-nistp256", b"nistp384", b"\x04" + b"\x01" * 64), "no ECDSA key"),
        (line("ssh-ed448", bytes(57)), "type that is not accepted"),
        ("---- BEGIN SSH2 PUBLIC KEY ----", "another format"),
    ],
)
def test_what_is_wrong_with_a_key_is_said(cell: str, message: str) -> None:
    with pytest.raises(BadKey, match=message):
        public_key(cell)


def test_two_spellings_of_one_key_are_one_key() -> None:
    kind, text = line("ssh-ed25519", b"\x07" * 32).split()
    stretched = f"{kind}   {text}   comment"
    assert public_key(stretched) == public_key(f"{kind} {text}")


def test_a_number_below_nothing_is_no_modulus() -> None:
    with pytest.raises(BadKey):
        public_key(line("ssh-rsa", number_field(65537), b"\xff" * 384))


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: line("ssh-ed25519", raw)))
def test_any_cell_is_a_key_or_a_complaint(cell: str) -> None:
    try:
        assert asyncssh.import_public_key(public_key(cell))
    except BadKey as error:
        assert str(error)


@given(st.binary(max_size=120))
def test_what_is_taken_has_been_read_to_its_end(raw: bytes) -> None:
    blob = line("ecdsa-sha2-nistp256", raw)
    with pytest.raises(BadKey):
        public_key(blob)
    assert wire(raw)[4:] == raw
