"""Who gets in, how a key gets there, and what failures lead to."""

from __future__ import annotations

import os
import socket
from typing import Any

import asyncssh
import pytest
from tests.gateway.conftest import MakeWorld, World
from tests.gateway.test_sessions import Terminal, soon

from phi_labs.gateway.directory import User
from phi_labs.gateway.limits import Bounds

CODE = "7K3Q-9XTB-0HJM-42PD"


class Typist(asyncssh.SSHClient):
    """A client that types these answers when it is asked."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def kbdint_auth_requested(self) -> str:
        return ""

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Any
    ) -> list[str] | None:
        self.asked.append(instructions)
        if not prompts:
            return []
        return [self.answers.pop(0)] if self.answers else None


async def enrol(world: World, user: str, answers: list[str], keys: list[asyncssh.SSHKey]) -> list[str]:
    """Log in with a code; what was asked on the way. PermissionDenied when it did not work."""
    typist = Typist(answers)
    client = await asyncssh.connect(
        "127.0.0.1",
        world.port,
        config=None,
        username=user,
        client_keys=keys or None,
        known_hosts=None,
        agent_path=None,
        gss_host=None,
        client_factory=lambda: typist,
        preferred_auth="publickey,keyboard-interactive",
    )
    client.close()
    await client.wait_closed()
    return typist.asked


def refused(world: World, user: str, answers: list[str], *keys: asyncssh.SSHKey) -> bool:
    try:
        world.work(enrol(world, user, answers, list(keys)))
    except (asyncssh.PermissionDenied, asyncssh.ConnectionLost):
        return True
    return False


# -- keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["alice", "nobody", "", "+log-access", "alice++", "alice+a+b+c", "x" * 500])
def test_a_key_opens_nothing_but_its_own_users_door(world: World, login: str) -> None:
    assert world.run(login, "labs", key="eve").returncode == 255
    assert world.directory.machines[("alice", "log-access")]["ehr1"].opened == 0


def test_neither_passwords_nor_nothing_open_anything(world: World) -> None:
    async def tried() -> list[str]:
        found = []
        for more in ({"password": "alice"}, {"client_host_keysign": False}, {}):
            try:
                async with world.login("alice", client_keys=None, **more):
                    pass
            except asyncssh.PermissionDenied:
                found.append("denied")
        return found

    assert world.work(tried()) == ["denied"] * 3


def test_old_algorithms_are_not_spoken(world: World) -> None:
    for option in ("KexAlgorithms=diffie-hellman-group14-sha256", "Ciphers=aes128-cbc", "MACs=hmac-sha1"):
        more = ["-o", option, *(["-o", "Ciphers=aes128-ctr"] if option.startswith("MACs") else [])]
        done = world.run("alice", "labs", options=[*more, "-o", "LogLevel=INFO"])
        assert done.returncode == 255, option
        assert b"no matching" in done.stderr, done.stderr


def test_an_rsa_key_signs_with_sha2(world: World) -> None:
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    line = " ".join(key.export_public_key("openssh").decode().split()[:2])
    world.directory.users["alice"] = User("alice", (line,))
    path = world.folder / "rsa"
    path.write_bytes(key.export_private_key("openssh"))
    path.chmod(0o600)
    assert world.run("alice", "labs", key="rsa").returncode == 0


def test_the_log_says_who_came_and_never_what_was_typed(world: World) -> None:
    world.run("alice+log-access", "echo geheim")
    assert refused(world, "bob x=1", [], world.keys["eve"])
    soon(lambda: 'failed user="bob x=1" from=127.0.0.1 keys=1' in world.log())
    text = world.log()
    assert "login user=alice lab=log-access from=127.0.0.1 by=SHA256:" in text
    soon(lambda: "end user=alice lab=log-access" in world.log())
    assert "geheim" not in text
    assert oct((world.folder / "gateway.log").stat().st_mode & 0o777) == "0o600"


# -- codes ----------------------------------------------------------------------------------------------


def test_with_a_code_the_offered_key_becomes_the_users(world: World) -> None:
    world.directory.codes["carol"] = CODE
    key = world.keys["eve"]
    asked = world.work(enrol(world, "carol", [CODE], [key]))
    assert asked == ["Your key is not known here. If your trainer gave you a one-time code, type it now."]
    assert world.run("carol", "labs", key="eve").returncode == 0
    assert refused(world, "carol", [CODE], world.keys["bob"]), "a code works once"
    assert "key uploaded user=carol" in world.log()
    assert CODE not in world.log()


def test_openssh_shows_what_to_do(world: World) -> None:
    world.directory.codes["carol"] = CODE
    argv = without_batch_mode(world.ssh("carol", key="eve", options=["-tt"]))
    terminal = Terminal(argv)
    try:
        terminal.until("One-time code: ")
        terminal.type(CODE.lower().replace("-", "") + "\r")
        terminal.until("One-time code: ")  # the directory in memory takes it only as it was given
        terminal.type(CODE + "\r")
        terminal.until("phi-labs> ")
    finally:
        terminal.close()


def without_batch_mode(argv: list[str]) -> list[str]:
    at = argv.index("BatchMode=yes")
    return [*argv[: at - 1], *argv[at + 1 :]]


def test_with_several_keys_one_is_chosen(world: World) -> None:
    world.directory.codes["carol"] = CODE
    keys = [world.keys["bob"], world.keys["eve"]]
    asked = world.work(enrol(world, "carol", [CODE, "7", "2"], keys))
    assert keys[1].get_fingerprint() in asked[1]
    assert world.run("carol", "labs", key="eve").returncode == 0
    assert world.run("carol", "labs", key="bob").returncode == 255


def test_without_a_key_one_is_pasted_and_a_private_one_refused(world: World) -> None:
    world.directory.codes["carol"] = CODE
    private = world.keys["eve"].export_private_key("openssh").decode()
    line = world.keys["eve"].export_public_key("openssh").decode().strip()
    asked = world.work(enrol(world, "carol", [CODE, private, "rubbish", line], []))
    assert "ssh-keygen -t ed25519" in asked[1]
    assert "private key" in asked[2]
    assert "no public key" in asked[3]
    assert world.run("carol", "labs", key="eve").returncode == 0
    assert "PRIVATE" not in world.log()


def test_leaving_before_the_key_keeps_the_code(world: World) -> None:
    world.directory.codes["carol"] = CODE
    assert refused(world, "carol", [CODE, ""])
    assert world.directory.codes == {"carol": CODE}


def test_everybody_is_asked_for_a_code_in_the_same_words(world: World) -> None:
    world.directory.codes["carol"] = CODE

    async def asked(user: str) -> list[str]:
        typist = Typist(["wrong"])
        try:
            async with world.login(
                user, "eve", client_factory=lambda: typist, preferred_auth="publickey,keyboard-interactive"
            ):
                pass
        except asyncssh.PermissionDenied:
            return typist.asked
        raise AssertionError("somebody got in")

    assert world.work(asked("carol")) == world.work(asked("alice")) == world.work(asked("nobody"))


def test_another_users_code_opens_nothing(world: World) -> None:
    world.directory.codes["carol"] = CODE
    assert refused(world, "bob", [CODE], world.keys["eve"])
    assert world.directory.codes == {"carol": CODE}


# -- failures -------------------------------------------------------------------------------------------


def test_failures_lock_the_pair_of_user_and_address_and_nobody_else(world: World) -> None:
    for _ in range(5):
        assert world.run("alice", "labs", key="eve").returncode == 255
    soon(lambda: "locked=yes" in world.log())
    assert world.run("alice", "labs").returncode == 255, "locked, even with the right key"
    assert world.run("bob", "labs", key="bob").returncode == 0
    world.gateway.guard = type(world.gateway.guard)(world.gateway.bounds)
    assert world.run("alice", "labs").returncode == 0


def test_guessed_codes_close_code_entry_and_not_the_login_with_a_key(world: World) -> None:
    world.directory.codes["alice"] = CODE
    for _ in range(3):
        assert refused(world, "alice", ["AAAA", "BBBB", "CCCC"], world.keys["eve"])
    assert refused(world, "alice", [CODE], world.keys["eve"]), "code entry is closed"
    assert "code entry is locked" in world.log()
    assert world.run("alice", "labs").returncode == 0


def test_unfinished_logins_are_bounded_per_address(make_world: MakeWorld) -> None:
    world = make_world(Bounds(waiting_per_address=3))
    quiet = [socket.create_connection(("127.0.0.1", world.port), 5) for _ in range(3)]
    try:
        for peer in quiet:
            assert peer.recv(8).startswith(b"SSH-2.0")
        assert world.run("alice", "labs").returncode == 255
        quiet.pop().close()
        soon(lambda: world.run("alice", "labs").returncode == 0)
    finally:
        for peer in quiet:
            peer.close()


def test_rubbish_on_the_port_is_dropped(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.port), 5) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(2000))
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass
    assert world.run("alice", "labs").returncode == 0
