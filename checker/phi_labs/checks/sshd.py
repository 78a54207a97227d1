"""What sshd takes for proof of who somebody is, conditions included."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

from phi_labs.checks.files import READ_BYTES, above, text_of, within_reach
from phi_labs.grading.host import Host
from phi_labs.grading.planted import Planted

Options = dict[str, list[str]]
SSH_PORT = 22
MAIN = "/etc/ssh/sshd_config"
CONFIGURATION_FILES = 50
KEY = re.compile(r"(?:ssh-|ecdsa-|sk-)\S+\s+(AAAA[A-Za-z0-9+/=]+)")
_MATCH = re.compile(r"^\s*match[\s=]", re.MULTILINE | re.IGNORECASE)
_INCLUDE = re.compile(r"^\s*include[\s=]+(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
# A copy's configuration stays as it is: nothing that checks run there is meant to change it.
_OPTIONS: WeakKeyDictionary[Host, dict[str, Options]] = WeakKeyDictionary()
_TEXTS: WeakKeyDictionary[Host, list[str]] = WeakKeyDictionary()
OTHER_PROOFS = ("hostbasedauthentication", "gssapiauthentication", "kerberosauthentication")


def assert_keys_only(host: Host, users: Iterable[str]) -> None:
    """Nothing opens these accounts but keys in files: no command that finds some, no signed certificate."""
    for user in users:
        options = options_for(host, user)
        command = option_word(options, "authorizedkeyscommand", "none")
        assert command == "none", f"sshd also takes keys from the command {command}."
        authorities = option_word(options, "trustedusercakeys", "none")
        assert authorities == "none", f"sshd also takes certificates that a key in {authorities} has signed."
        for name in OTHER_PROOFS:
            assert option_word(options, name, "no") == "no", f"sshd also lets people in by {name}."
    for name in ("authorizedkeyscommand", "trustedusercakeys"):
        values = {value.lower() for value in sometimes(host, name)} - {"none"}
        assert not values, f"sshd also goes by {name} {', '.join(sorted(values))}, under some condition."


def assert_own_keys_only(host: Host, planted: Planted) -> None:
    """No persona's key opens an account but that persona's own."""
    owners = {item.public_key.split()[1]: item.user for item in planted.personas if item.public_key}
    for user in host.accounts.users:
        foreign = {path for path, key in keys_of(host, user) if owners.get(key, user) != user}
        assert not foreign, f"A key in {', '.join(sorted(foreign))} opens the account {user}: another's."


def assert_homes_closed(host: Host, owners: Iterable[str], others: Iterable[str]) -> None:
    """None of the others can change what these accounts run at a log-in, or who gets in as them."""
    places = {user: _log_in_places(host, user) for user in owners if host.user(user).exists}
    for other in others:
        theirs = sorted({place for user, paths in places.items() if user != other for place in paths})
        allowed = within_reach(host, other, theirs)
        assert not allowed, (
            f"{other} can change {', '.join(allowed[:3])}, and with it what somebody else does."
        )


def _log_in_places(host: Host, user: str) -> set[str]:
    """Where sshd takes an account's keys from, what stands in its home, and the folders above."""
    home = host.user(user).home
    inside = [f"{home}/{name}" for name in host.listing(home)] if home.strip("/") else []
    return {place for path in (*key_files(host, user), *inside) for place in above(path)}


def assert_sshd_has_read(live: Host, planted: Mapping[str, str]) -> None:
    """The sshd of the running machine goes by the configuration on the disk, restarted or reloaded.

    sshd keeps each file that it read, as it stands there but for blanks before a line, to hand it on to
    every connection. What it keeps is compared, whatever the times of files say.

    Args:
        planted: path -> what stood there at first; where that is gone, sshd must not go by it.
    """
    assert live.socket(f"tcp://{SSH_PORT}").is_listening, (
        "sshd does not listen on your machine at the moment."
    )
    texts = {path: live.read(path, READ_BYTES) for path in _read_texts(live)}
    before = {path: text.encode() for path, text in planted.items()}
    gone = {path: text for path, text in before.items() if texts.get(path) != text}
    held = live.holds(SSH_PORT, [_as_kept(text) for text in (*texts.values(), *gone.values())])
    unread = [path for path, known in zip(texts, held, strict=False) if not known]
    assert not unread, (
        f"The sshd that runs on your machine has not read {', '.join(unread)} as it stands there."
    )
    kept = [path for path, known in zip(gone, held[len(texts) :], strict=True) if known]
    assert not kept, f"The sshd that runs on your machine still goes by the earlier {', '.join(kept)}."


def _as_kept(text: bytes) -> bytes:
    """A file as sshd holds it, with the ends by which it is told from a part of another one."""
    return b"\0" + re.sub(rb"^[ \t\r]+", b"", text, flags=re.MULTILINE) + b"\0"


def assert_let_in(host: Host, user: str, who: str) -> None:
    """sshd's rules on keys, accounts and groups let an account in.

    Args:
        who: what the message calls it.
    """
    options, groups = options_for(host, user), host.user(user).groups
    assert option_word(options, "pubkeyauthentication") == "yes", f"sshd no longer takes SSH keys from {who}."
    refused = (
        any(_matches({user}, words) for words in options.get("denyusers", []))
        or any(_matches(groups, words) for words in options.get("denygroups", []))
        or _not_among({user}, options.get("allowusers", []))
        or _not_among(groups, options.get("allowgroups", []))
    )
    assert not refused, f"sshd's configuration no longer lets {who} in."


def options_for(host: Host, user: str) -> Options:
    """sshd's options for one account; asked once for all where no Match block makes a difference."""
    known = _OPTIONS.setdefault(host, {})
    key = user if any(_MATCH.search(text) for text in _texts(host)) else ""
    if key not in known:
        known[key] = host.sshd_config_for(user)
    return known[key]


def option_word(options: Options, name: str, default: str = "") -> str:
    """The value of one option."""
    return " ".join(options.get(name, [default]))


def sometimes(host: Host, name: str) -> list[str]:
    """What sshd's configuration says of an option for some accounts or addresses only."""
    found = []
    for text in _texts(host):
        within = False  # a Match block ends with its file
        for line in text.splitlines():
            key, _, value = line.strip().replace("=", " ", 1).partition(" ")
            if key.lower() == "match":
                within = value.strip().lower() != "all"
            elif within and key.lower() == name:
                found.append(value.strip().strip('"'))
    return found


def key_files(host: Host, user: str) -> list[str]:
    """Every file from which sshd takes keys for an account, also under some condition only."""
    home, uid = host.user(user).home, host.user(user).uid
    blanks = {"%%": "%", "%h": home, "%u": user, "%U": str(uid)}
    always = option_word(options_for(host, user), "authorizedkeysfile")
    found = []
    for place in dict.fromkeys(" ".join([always, *sometimes(host, "authorizedkeysfile")]).split()):
        if place != "none":
            path = re.sub(r"%.", lambda match: blanks.get(match[0], match[0]), place)
            found.append(path if path.startswith("/") else f"{home}/{path}")
    return found


def keys_of(host: Host, user: str) -> set[tuple[str, str]]:
    """(file, key) of everything that opens an account; a key is its part in base64."""
    return {(path, key) for path in key_files(host, user) for key in KEY.findall(text_of(host, path))}


def _texts(host: Host) -> list[str]:
    """sshd's configuration as it is written: the file, and each that is included."""
    if host not in _TEXTS:
        _TEXTS[host] = list(_read_texts(host).values())
    return _TEXTS[host]


def _read_texts(host: Host) -> dict[str, str]:
    """Path -> text of sshd's configuration and of all that it includes."""
    todo, texts = [MAIN], dict[str, str]()
    while todo and len(texts) < CONFIGURATION_FILES:
        path = todo.pop()
        texts[path] = text_of(host, path)
        words = [word.strip('"') for line in _INCLUDE.findall(texts[path]) for word in line.split()]
        patterns = [word if word.startswith("/") else f"/etc/ssh/{word}" for word in words]
        todo += [file for pattern in patterns for file in _files_like(host, pattern) if file not in texts]
    return texts


def _files_like(host: Host, pattern: str) -> list[str]:
    folder, _, name = pattern.rpartition("/")
    return [f"{folder}/{item}" for item in host.listing(folder) if fnmatch.fnmatchcase(item, name)]


def _matches(names: Iterable[str], words: str) -> bool:
    wanted = words.split()
    return any(fnmatch.fnmatchcase(name, word.partition("@")[0]) for name in names for word in wanted)


def _not_among(names: Iterable[str], lists: list[str]) -> bool:
    return bool(lists) and not any(_matches(names, words) for words in lists)
