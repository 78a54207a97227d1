"""What is kept on disk: the installation's identity, secrets of runs, and attempts.

What *runs* is read from the engine's labels, never from here. Files are 0600 in directories
0700 and written whole or not at all. A database comes later; nothing else touches these files.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phi_fixtures.manifest import Manifest
from phi_labs.errors import StateUnwritable, UserError
from phi_labs.model.run import Run
from phi_labs.model.trainee import slug

_ATTEMPT = re.compile(r"^[0-9]{4,}$")
# Record numbers have ten digits and begin with their block: from block 30,000 on none can be taken for an
# NPI, which begins with 1 or 2.
FIRST_BLOCK = 30_000
BLOCKS = 70_000


def default_state_folder() -> Path:
    """$PHI_LABS_STATE, else $XDG_STATE_HOME/phi-labs, else ~/.local/state/phi-labs."""
    if named := os.environ.get("PHI_LABS_STATE"):
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser().absolute() / "phi-labs"


@dataclass(frozen=True)
class RunFolder:
    """Where one run's secrets are."""

    path: Path

    @property
    def run(self) -> Path:
        """The run's own description."""
        return self.path / "run.json"

    @property
    def manifest(self) -> Path:
        """What was planted where."""
        return self.path / "manifest.json"

    @property
    def key(self) -> Path:
        """The trainee's private SSH key."""
        return self.path / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The machines' public host keys."""
        return self.path / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """A configuration that ssh, scp, sftp and editors can use."""
        return self.path / "ssh_config"

    @property
    def flags(self) -> Path:
        """What happened to this run that a scorecard must say."""
        return self.path / "flags.json"


@dataclass(frozen=True)
class AttemptFolder:
    """One numbered grading and all that it rests on."""

    number: int
    path: Path

    @property
    def scorecard(self) -> Path:
        """The verdict."""
        return self.path / "scorecard.json"

    @property
    def submission(self) -> Path:
        """The captured state of the machines."""
        return self.path / "submission"

    @property
    def manifest(self) -> Path:
        """What had been planted."""
        return self.path / "manifest.json"


class State:
    """The state directory of one installation; made on first use.

    Args:
        root: the directory, see ``default_state_folder``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            for folder in (root, root / "locks", root / "runs", root / "attempts"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._identity = self._read_identity()
        except OSError as error:
            raise StateUnwritable(
                f"cannot use the state directory {root}: {error.strerror}",
                "free space there, or name another one: PHI_LABS_STATE=/path",
            ) from error

    # -- identity ----------------------------------------------------------------------

    @property
    def install(self) -> str:
        """This installation's short random id; a label of everything it makes."""
        name: str = self._identity["install"]
        return name

    def seed(self, trainee: str, lab: str, retry: int) -> bytes:
        """32 bytes: HMAC of the master key over trainee, lab and retry."""
        message = json.dumps([trainee, lab, retry]).encode()
        return hmac.new(bytes.fromhex(self._identity["master_key"]), message, hashlib.sha256).digest()

    def _read_identity(self) -> dict[str, Any]:
        path = self.root / "install.json"
        with self.lock("identity"):
            if not path.exists():
                fresh = {"install": secrets.token_hex(4), "master_key": secrets.token_hex(32)}
                self.write_json(path, fresh)
            try:
                found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(
                    f"{path} is damaged: {error}",
                    "restore it from a backup; without it every seed changes",
                ) from error
        return found

    def block_of(self, trainee: str, lab: str, retry: int) -> int:
        """The MRN block of one seed: the same one for ever, and nobody else's."""
        path = self.root / "blocks.json"
        key = json.dumps([trainee, lab, retry])
        with self.lock("blocks"):
            known: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if key not in known:
                if len(known) >= BLOCKS:
                    raise UserError(
                        f"all {BLOCKS} blocks of record numbers are used up", "use a new state directory"
                    )
                # A secret start keeps blocks of different installations apart, most of the time.
                start = int.from_bytes(
                    hashlib.sha256(self._identity["master_key"].encode()).digest()[:4], "big"
                )
                known[key] = FIRST_BLOCK + (start + len(known)) % BLOCKS
                self.write_json(path, known)
        return known[key]

    # -- locks -------------------------------------------------------------------------

    def lock_file(self, name: str) -> Path:
        """The file behind a lock."""
        return self.root / "locks" / f"{name}.lock"

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock between processes; yields False when ``wait`` is off and another holds it."""
        path = self.lock_file(name)
        while True:
            with path.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    yield False
                    return
                if _still_there(path, file.fileno()):
                    yield True
                    return

    # -- runs --------------------------------------------------------------------------

    def run_folder(self, trainee: str, lab: str) -> RunFolder:
        """Where the secrets of a trainee's run of a lab are (made by ``save_run``)."""
        return RunFolder(self.root / "runs" / slug(trainee) / lab)

    def save_run(self, run: Run, manifest: Manifest, files: Mapping[str, str]) -> RunFolder:
        """Write a run's description, manifest and key files."""
        folder = self.run_folder(run.trainee, run.lab)
        self._make_folder(folder.path)
        self.write(folder.manifest, manifest.to_json())
        for name, text in files.items():
            self.write(folder.path / name, text)
        self.write_json(folder.flags, {})
        self.write(folder.run, run.to_json())
        return folder

    def load_run(self, trainee: str, lab: str) -> Run | None:
        """The run as it was saved, None when there is none."""
        path = self.run_folder(trainee, lab).run
        return Run.from_json(path.read_text(encoding="utf-8")) if path.exists() else None

    def load_manifest(self, trainee: str, lab: str) -> Manifest:
        """What was planted for a run."""
        return Manifest.from_json(self.run_folder(trainee, lab).manifest.read_text(encoding="utf-8"))

    def manifests(self) -> Iterator[tuple[str, str, Manifest]]:
        """(trainee, lab, what was planted) of every run and kept attempt."""
        places = [
            *sorted((self.root / "runs").glob("*/*")),
            *sorted((self.root / "attempts").glob("*/*/[0-9]*")),
        ]
        for place in places:
            if (place / "run.json").exists() and (place / "manifest.json").exists():
                run = Run.from_json((place / "run.json").read_text(encoding="utf-8"))
                text = (place / "manifest.json").read_text(encoding="utf-8")
                yield run.trainee, run.lab, Manifest.from_json(text)

    def runs(self) -> list[Run]:
        """Every saved run."""
        found = sorted((self.root / "runs").glob("*/*/run.json"))
        return [Run.from_json(path.read_text(encoding="utf-8")) for path in found]

    def forget_run(self, trainee: str, lab: str) -> None:
        """Remove a run's secrets; attempts stay."""
        shutil.rmtree(self.run_folder(trainee, lab).path, ignore_errors=True)

    def flag(self, trainee: str, lab: str, name: str) -> None:
        """Note something that later scorecards of this run must say."""
        folder = self.run_folder(trainee, lab)
        self.write_json(folder.flags, {**self.flags(trainee, lab), name: True})

    def flags(self, trainee: str, lab: str) -> dict[str, bool]:
        """What was noted with ``flag``."""
        path = self.run_folder(trainee, lab).flags
        found: dict[str, bool] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    # -- attempts, hints, retries --------------------------------------------------------

    def _lab_attempts(self, trainee: str, lab: str) -> Path:
        return self.root / "attempts" / slug(trainee) / lab

    def new_attempt(self, trainee: str, lab: str) -> AttemptFolder:
        """A fresh numbered folder that becomes an attempt when ``keep_attempt`` is called."""
        base = self._lab_attempts(trainee, lab)
        self._make_folder(base)
        path = base / f".grading-{secrets.token_hex(6)}"
        self._make_folder(path / "submission")
        return AttemptFolder(0, path)

    def keep_attempt(
        self, trainee: str, lab: str, attempt: AttemptFolder, scorecard: Callable[[int], str]
    ) -> AttemptFolder:
        """Give the folder the next number; from now on it counts.

        Args:
            scorecard: the scorecard's text for that number; written before the folder gets it, so that
                no attempt ever lacks one.
        """
        base = self._lab_attempts(trainee, lab)
        with self.lock("attempts"):
            number = max((found.number for found in self.attempts(trainee, lab)), default=0) + 1
            self.write(attempt.scorecard, scorecard(number))
            kept = AttemptFolder(number, base / f"{number:04d}")
            attempt.path.rename(kept.path)
        return kept

    def drop_attempt(self, attempt: AttemptFolder) -> None:
        """Remove a folder that did not become an attempt."""
        shutil.rmtree(attempt.path, ignore_errors=True)

    def drop_abandoned_attempts(self, older_than: float) -> None:
        """Remove folders of gradings that were killed: unfinished, and untouched for so many seconds."""
        for path in (self.root / "attempts").glob("*/*/.grading-*"):
            with contextlib.suppress(FileNotFoundError):  # it became an attempt in this moment
                if time.time() - path.stat().st_mtime > older_than:
                    shutil.rmtree(path, ignore_errors=True)

    def attempts(self, trainee: str, lab: str) -> list[AttemptFolder]:
        """Every kept attempt in order."""
        base = self._lab_attempts(trainee, lab)
        if not base.is_dir():
            return []
        names = sorted(path.name for path in base.iterdir() if _ATTEMPT.match(path.name))
        return [AttemptFolder(int(name), base / name) for name in names]

    def hints(self, trainee: str, lab: str, retry: int) -> dict[str, int]:
        """Objective id -> how many of its hints were taken for this seed."""
        path = self._lab_attempts(trainee, lab) / f"hints-{retry}.json"
        found: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    def take_hint(self, trainee: str, lab: str, retry: int, objective: str) -> None:
        """Count one more hint; stays taken across reset and stop, since it cannot be unread."""
        base = self._lab_attempts(trainee, lab)
        self._make_folder(base)
        taken = self.hints(trainee, lab, retry)
        taken[objective] = taken.get(objective, 0) + 1
        self.write_json(base / f"hints-{retry}.json", taken)

    def retry_of(self, trainee: str, lab: str) -> int:
        """The seed number in use: 0 until ``next_retry`` is called."""
        path = self._lab_attempts(trainee, lab) / "retry"
        return int(path.read_text(encoding="utf-8")) if path.exists() else 0

    def next_retry(self, trainee: str, lab: str) -> int:
        """Move on to a new seed; return its number."""
        base = self._lab_attempts(trainee, lab)
        self._make_folder(base)
        number = self.retry_of(trainee, lab) + 1
        self.write(base / "retry", str(number))
        return number

    # -- files ---------------------------------------------------------------------------

    def _make_folder(self, path: Path) -> None:
        """A folder below the root, 0700 like every folder on the way to it."""
        missing = [folder for folder in (path, *path.parents) if self.root in folder.parents]
        try:
            for folder in reversed(missing):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StateUnwritable(
                f"cannot make {path}: {error.strerror}",
                "free space there, or name another state directory: PHI_LABS_STATE=/path",
            ) from error

    @staticmethod
    def write(path: Path, text: str) -> None:
        """Write a file whole or not at all, 0600."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StateUnwritable(
                f"cannot write {path}: {error.strerror}",
                "free space there, or name another state directory: PHI_LABS_STATE=/path",
            ) from error

    def write_json(self, path: Path, data: Any) -> None:
        """Write JSON whole or not at all, 0600."""
        self.write(path, json.dumps(data, indent=1, sort_keys=True) + "\n")


def _still_there(path: Path, descriptor: int) -> bool:
    """Whether a locked file is still the one behind its name: its last holder may have removed it."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
