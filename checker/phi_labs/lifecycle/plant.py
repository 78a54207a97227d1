"""Planting: a lab's ``plant.py`` fills a tar archive and a manifest, both in memory."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import random
import sys
import tarfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

from phi_fixtures import EPOCH, Hospital, Patient
from phi_fixtures.manifest import Manifest
from phi_labs.errors import PhiLabsError, UserError
from phi_labs.lifecycle.accounts import Accounts
from phi_labs.lifecycle.encryption_keys import PgpKey, derived_age_key, derived_pgp_key
from phi_labs.lifecycle.keys import KeyPair, derived_key
from phi_labs.model.entity import Entity
from phi_labs.model.lab import Lab
from phi_labs.model.organisation import Organisation

NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")


@dataclass
class Planting:
    """What a lab's ``plant(p)`` works with: the inputs of one run, and where its output goes.

    Everything planted is decided by (seed, block, entity, organisation); dates count from
    ``phi_fixtures.EPOCH``, never from the clock.
    """

    lab: Lab
    entity: Entity
    organisation: Organisation
    seed: bytes
    block: int
    accounts: dict[str, Accounts]
    manifest: Manifest = field(init=False)
    hospital: Hospital = field(init=False)
    _files: dict[str, dict[str, tuple[tarfile.TarInfo, bytes]]] = field(init=False)

    def __post_init__(self) -> None:
        self.manifest = Manifest(seed=self.seed.hex(), block=self.block)
        self.hospital = Hospital(self.seed, self.block)
        self._files = {host.name: {} for host in self.lab.hosts}

    # -- choices -------------------------------------------------------------------------

    def rng(self, label: str) -> random.Random:
        """A random generator that depends on the seed and the label only."""
        return random.Random(self.seed + b"/" + label.encode())  # noqa: S311 - reproducible on purpose

    def uid(self, name: str, host: str | None = None) -> int:
        """The uid of an account of the image."""
        return self.accounts[self._host(host)].user(name).uid

    def gid(self, name: str, host: str | None = None) -> int:
        """The gid of a group of the image."""
        return self.accounts[self._host(host)].gid(name)

    # -- files ---------------------------------------------------------------------------

    def file(  # noqa: PLR0913 - the facts of one file
        self,
        path: str,
        content: bytes | str,
        *,
        owner: str | int = "root",
        group: str | int = "root",
        mode: int = 0o644,
        mtime: datetime | None = None,
        host: str | None = None,
    ) -> None:
        """Plant a regular file."""
        data = content.encode() if isinstance(content, str) else content
        info = self._info(path, tarfile.REGTYPE, owner, group, mode, mtime, host)
        info.size = len(data)
        self._put(host, info, data)

    def directory(  # noqa: PLR0913 - the facts of one directory
        self,
        path: str,
        *,
        owner: str | int = "root",
        group: str | int = "root",
        mode: int = 0o755,
        mtime: datetime | None = None,
        host: str | None = None,
    ) -> None:
        """Plant a directory, or set owner and mode of one that the image has."""
        self._put(host, self._info(path, tarfile.DIRTYPE, owner, group, mode, mtime, host), b"")

    def symlink(self, path: str, target: str, *, host: str | None = None) -> None:
        """Plant a symbolic link."""
        info = self._info(path, tarfile.SYMTYPE, "root", "root", 0o777, None, host)
        info.linkname = target
        self._put(host, info, b"")

    # -- what the grader and the brief must know -------------------------------------------

    def planted(  # noqa: PLR0913 - the facts of one file
        self,
        site: str,
        path: str,
        patients: Iterable[Patient],
        fields: Iterable[str],
        *,
        host: str | None = None,
        kind: str = "",
    ) -> None:
        """Note in the manifest which patients' fields were written to ``path``, under a named site.

        ``kind`` is the name of the writer that made the file, if one did.
        """
        self.manifest.plant(site, path, patients, fields, host=self._host(host), kind=kind)

    def answer(self, name: str, value: Any) -> None:
        """A right answer of the record; also given to attempts as $PHI_<NAME>."""
        self.manifest.answers[name] = value

    def fact(self, name: str, value: Any) -> None:
        """Something checks need and trainees never see."""
        self.manifest.facts[name] = value

    def variable(self, name: str, value: Any) -> None:
        """Something the brief may print as {{ name }}."""
        self.manifest.variables[name] = value

    # -- keys ------------------------------------------------------------------------------

    def key_pair(self, label: str) -> KeyPair:
        """An SSH key pair of this run, the same for the same label; ``private`` and ``public`` are text."""
        return derived_key(self.seed, f"planted {label}")

    def age_key(self, label: str) -> KeyPair:
        """A key pair of this run for age: ``private`` is the identity, ``public`` the recipient."""
        return derived_age_key(self.seed, label)

    def pgp_key(self, label: str, user_id: str) -> PgpKey:
        """An OpenPGP key of this run that signs and decrypts; ``private`` and ``public`` are armoured."""
        return derived_pgp_key(self.seed, label, user_id)

    def public_key(self, persona: str) -> str:
        """The public half of a persona's key, one line; the private half stays in the manifest."""
        known: str = self.manifest.personas[persona]["public"]
        return known

    @property
    def trainee_public_key(self) -> str:
        """The public half of the trainee's own key, one line, as it opens the hosts' login accounts."""
        return trainee_key(self.seed).public

    def host_public_key(self, host: str) -> str:
        """A host's own SSH key as known_hosts spells it, without the name."""
        return " ".join(host_key(self.seed, host).public.split()[:2])

    # -- output ----------------------------------------------------------------------------

    def archive(self, host: str) -> bytes:
        """All that was planted on a host as one tar, directories before what they hold."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(self._files[host]):
                info, data = self._files[host][path]
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    def _put(self, host: str | None, info: tarfile.TarInfo, data: bytes) -> None:
        self._files[self._host(host)][info.name] = (info, data)

    def _host(self, host: str | None) -> str:
        return host or self.lab.hosts[0].name

    def _info(  # noqa: PLR0913, PLR0917 - the facts of one entry
        self,
        path: str,
        kind: bytes,
        owner: str | int,
        group: str | int,
        mode: int,
        mtime: datetime | None,
        host: str | None,
    ) -> tarfile.TarInfo:
        if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise UserError(f"plant.py of {self.lab.id}: {path!r} is no absolute path", "start it with /")
        info = tarfile.TarInfo(path.strip("/"))
        info.type = kind
        info.uid = owner if isinstance(owner, int) else self.uid(owner, host)
        info.gid = group if isinstance(group, int) else self.gid(group, host)
        info.mode = mode
        info.mtime = (mtime or EPOCH).timestamp()
        return info


def plant(planting: Planting) -> None:
    """Fill ``planting``: access for trainee and personas, then what the lab's own plant.py adds."""
    _plant_access(planting)
    with _blamed_on(planting.lab):
        _lab_module(planting.lab).plant(planting)


@contextlib.contextmanager
def _blamed_on(lab: Lab) -> Iterator[None]:
    """Turn whatever a lab's own plant.py raises into a word to its author."""
    try:
        yield
    except PhiLabsError:
        raise
    except Exception as error:
        path = lab.folder / "plant.py"
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        where = f"{path}:{lines[-1]}" if lines else str(path)
        raise UserError(
            f"{where} fails: {type(error).__name__}: {error}", "mend it; --debug shows more"
        ) from error


def trainee_key(seed: bytes) -> KeyPair:
    """The key that opens the hosts' login accounts."""
    return derived_key(seed, "trainee")


def host_key(seed: bytes, host: str) -> KeyPair:
    """A host's own SSH key."""
    return derived_key(seed, f"host {host}")


def _plant_access(planting: Planting) -> None:
    trainee = trainee_key(planting.seed)
    for host in planting.lab.hosts:
        own = host_key(planting.seed, host.name)
        planting.file("/etc/ssh/ssh_host_ed25519_key", own.private, mode=0o600, host=host.name)
        planting.file("/etc/ssh/ssh_host_ed25519_key.pub", own.public + "\n", host=host.name)
        _plant_authorized(planting, host.name, host.login, trainee.public)
    for persona in planting.lab.personas:
        _plant_persona(planting, persona.name, persona.user)


def _plant_persona(planting: Planting, name: str, user: str) -> None:
    """A key pair for every persona that can log in; the private half stays in the manifest."""
    pair = derived_key(planting.seed, f"persona {name}")
    planting.manifest.personas[name] = {"user": user, "public": pair.public, "private": pair.private}
    for host in planting.lab.hosts:
        account = planting.accounts[host.name].users.get(user)
        if account is None or account.shell in NO_LOGIN or user == host.login:
            continue
        _plant_authorized(planting, host.name, user, pair.public)


def _plant_authorized(planting: Planting, host: str, user: str, public: str) -> None:
    account = planting.accounts[host].user(user)
    folder = f"{account.home}/.ssh"
    planting.directory(folder, owner=account.uid, group=account.gid, mode=0o700, host=host)
    path = f"{folder}/authorized_keys"
    planting.file(path, public + "\n", owner=account.uid, group=account.gid, mode=0o600, host=host)


def _lab_module(lab: Lab) -> ModuleType:
    """The lab's plant.py as a module of its own, never on sys.path."""
    path = lab.folder / "plant.py"
    name = f"phi_labs_plant_{lab.id.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"lab {lab.id} has no plant.py ({path})", "every lab plants its data with one")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # content folders may be read-only, and are hashed
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    function: Callable[[Planting], None] | None = getattr(module, "plant", None)
    if function is None:
        raise UserError(f"{path} has no function plant(p)", "see docs/lab-format.md#plantpy")
    return module
