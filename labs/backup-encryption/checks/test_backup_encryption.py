"""The checks of backup-encryption: the nightly job runs twice on two rebooted clones; on two untouched
machines every backup is restored with the escrow officer's key.

The property counts, not the recipe: no check asks for a tool, a file name or the form of the job. What can be
restored is loaded into a PostgreSQL that the trainee never touched and compared row by row.
"""

import base64
import datetime
import hashlib
import re
import secrets
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

import pytest

from phi_labs.checks import (
    assert_accounts_distinct,
    assert_accounts_unchanged,
    assert_no_patients_in_records,
    assert_nobody_locked_out,
    assert_stated,
    guard,
    objective,
    pace,
)

RESTORE = "/usr/local/sbin/restore-ehr"
STORE = "/srv/backups/ehr"
DATA = "/var/lib/postgresql/15/main"
BIN = "/usr/lib/postgresql/15/bin"
# Where PostgreSQL itself keeps rows. Anything else below its directory is somebody's hiding place.
HEAP = re.compile(rf"{DATA}/(base/\d+/\d+(_\w+)?(\.\d+)?|pg_wal/[0-9A-F]{{24}})$")
PAGE = 8192
# What stands on each page: size and version in those of tables, the log's own number in those of the log.
PAGE_MARKS = {"base": (slice(18, 20), b"\x04\x20"), "pg_wal": (slice(0, 2), b"\x10\xd1")}
JOBS = 10
JOB_SECONDS = 12.0
RESTORE_SECONDS = 10.0
# How long all of a kind may take. A check has 30 seconds, and the first that needs a stage pays for it.
JOBS_SECONDS, REFUSALS_SECONDS, RESTORES_SECONDS = 24.0, 5.0, 18.0
STORE_FILES = 2000
STORE_BYTES = 64 * 1024 * 1024
FILE_BYTES = 16 * 1024 * 1024
SCRIPT_BYTES = 1024 * 1024
SQL_BYTES = 8 * 1024 * 1024
DEPOSIT_BYTES = NOTE_BYTES = 4096
SECRET_LENGTH = 12
DATABASE_PORT = 5432
NOBODY = 65534
READER = 1000

# Who must stay who: host -> account -> uid and shell.
ACCOUNTS = {
    "ehrdb1": {
        "root": (0, "/bin/bash"),
        "itops": (1000, "/bin/bash"),
        "dpetrov": (1001, "/bin/bash"),
        "ehr": (980, "/usr/sbin/nologin"),
        "postgres": (101, "/bin/bash"),
    },
    "backup1": {
        "root": (0, "/bin/bash"),
        "itops": (1000, "/bin/bash"),
        "rhale": (1001, "/bin/bash"),
        "smendez": (1002, "/bin/bash"),
        "ehrbackup": (990, "/usr/sbin/nologin"),
    },
}


# --- everything that is tried on the clones, once ------------------------------------------------------


class Rows(NamedTuple):
    """What a restored database holds: table -> its lines in order; or why it could not be restored."""

    tables: dict[str, list[str]]
    trouble: str = ""


class Failed(NamedTuple):
    """Why a stage came to nothing."""

    why: str


LATE = Failed("The scheduled jobs and the restores did not come to an end in time.")


class Trial:
    """Two nights in the clones, and what the backup server's folder is worth afterwards.

    In stages, each made when a check first asks for it. What happens on the untouched machines happens beside
    the checks: what the restore command does in one thread, what is loaded in another. Each of these machines
    has hands of its own; the probe, which answers one question at a time, is asked nothing there.
    """

    def __init__(self, hosts, pristines, planted):
        self._hosts = hosts
        self._server = server_of(pristines)
        self._room = RestoreRoom(pristines["backup1"], planted)
        self._planted = planted
        self._stages = {}
        self._trying = ThreadPoolExecutor(1)
        self._loading = ThreadPoolExecutor(1)

    @property
    def nights(self):
        """Tonight and tomorrow night, over."""
        return self._once("nights", lambda: run_nights(self._hosts, self._planted))

    @property
    def sealed(self):
        """The files of the backup server's folder, by whom they are encrypted for."""
        self._once("room", self._furnishing)
        self._furnished.result()
        return self._room.sealed

    def found(self, name):
        """Where identifiers stand on a machine after the two nights."""
        return self._once(("found", name), lambda: self._sweep(name))

    def secrets_found(self, name):
        """Where deposited secrets stand on a machine after the two nights."""
        strings = self.sealed.secrets
        if not strings:
            return self.found(name).of(strings)
        return self._once(("secrets", name), lambda: self._hosts[name].find(strings))

    def given_out(self, place):
        """Days that the restore command gave out though it should not: see MUST_FAIL."""
        return self._once(place, lambda: self._given_out(place))

    def restored(self, day):
        """What the restore command made of a day with the escrow officer's key."""
        return self._once(("restored", day), lambda: self._restored(day))

    def _once(self, stage, make):
        if stage not in self._stages:
            self._stages[stage] = LATE
            try:
                self._stages[stage] = make()
            except AssertionError as failed:
                self._stages[stage] = Failed(str(failed))
        made = self._stages[stage]
        assert not isinstance(made, Failed), made.why
        return made

    def _furnishing(self):
        """Everything that is tried on the untouched machines, under way."""
        days = [*self.nights.gained, *self._planted.facts["nights"]]
        taken = self._room.take(self._hosts)
        self._furnished = self._trying.submit(self._room.furnish, taken)
        self._said = self._trying.submit(self._room.try_what_must_fail, days)
        restores = {day: self._trying.submit(self._room.restore, day) for day in days}
        self._rows = {day: self._loading.submit(self._load, restored) for day, restored in restores.items()}

    def _load(self, restored):
        script, trouble = restored.result()
        return Rows({}, trouble) if trouble else self._server.loaded(self._planted, script)

    def _sweep(self, name):
        strings = self._planted.manifest.identifiers() | self.nights.new_strings
        self._once("room", self._furnishing)  # goes on beside the sweep
        return self._hosts[name].find(strings)

    def _given_out(self, place):
        self._once("room", self._furnishing)
        said = self._said.result()
        assert not self._room.trouble, f"Nothing can be restored: {self._room.trouble}."
        return said[place]

    def _restored(self, day):
        self._once("room", self._furnishing)
        return self._rows[day].result()


TRIALS = WeakKeyDictionary()


@pytest.fixture
def trial(hosts, pristines, planted):
    """The trial of these clones."""
    database = hosts["ehrdb1"]
    if database not in TRIALS:
        TRIALS[database] = Trial(hosts, pristines, planted)
    return TRIALS[database]


class Patience:
    """So many seconds of a quiet computer for several things together."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._began = time.monotonic()

    def left(self, most):
        """How long the next thing may take; 0 when there is no time any more."""
        slower = pace()
        return max(min(most * slower, self._began + self._seconds * slower - time.monotonic()), 0.0)


# --- two nights ----------------------------------------------------------------------------------------


@dataclass
class Nights:
    """What two nights in the clones brought.

    Attributes:
        scheduled: all jobs that were found.
        delivering: those of every night after which something new lay on the backup server.
        in_between: files there in which patients could be read after one of the jobs, if only for an hour.
        gained: day -> the rows, table by table, that the database had gained by then.
    """

    scheduled: list
    delivering: list = field(default_factory=list)
    in_between: list[str] = field(default_factory=list)
    gained: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def new_strings(self):
        """What gives the new patients away."""
        rows = [row.split("\t") for gained in self.gained.values() for row in gained["patients"]]
        return frozenset(text for row in rows for text in (row[0], row[5]))

    def delivered(self, store, job, new, gained):
        """Note which job it was that delivered, and what of it can be read before the next job runs."""
        if new and job not in self.delivering:
            self.delivering.append(job)
        mrns = [row.split("\t")[0].encode() for row in gained["patients"]]
        self.in_between += [path for path in new if any(mrn in text_of(store, path) for mrn in mrns)]


def run_nights(hosts, planted):
    """Tonight and tomorrow night, each with rows that nobody has seen before and the jobs of every night.

    Jobs that run more seldom follow at the end, for what they leave behind or take away.
    """
    database, store = hosts["ehrdb1"], hosts["backup1"]
    await_database(database)
    jobs = [(host, job) for host in (database, store) for job in host.jobs()[:JOBS]]
    nights = Nights([job for _, job in jobs])
    gained = {table: [] for table in planted.facts["columns"]}
    today = datetime.datetime.now(datetime.UTC).date()
    patience = Patience(JOBS_SECONDS)
    for night in (0, 1):
        gained = {table: [*rows, new] for (table, rows), new in zip(gained.items(), new_rows(), strict=True)}
        insert(database, planted, {table: rows[-1:] for table, rows in gained.items()})
        before = tree(store, STORE)
        for host, job in jobs:
            if job.days_apart == 1:
                run_job(host, job, f"+{night}d" if night else "", patience.left(JOB_SECONDS))
                after = tree(store, STORE)
                new = [path for path in after if before.get(path) != after[path]]
                nights.delivered(store, job, new, gained)
                before = after
        nights.gained[(today + datetime.timedelta(days=night)).isoformat()] = gained
    for host, job in jobs:
        if job.days_apart not in (1, None):
            run_job(host, job, "+40d", patience.left(JOB_SECONDS))
    psql(database, "postgres", "CHECKPOINT;")
    return nights


def await_database(host):
    """PostgreSQL may still be busy with what the restart interrupted; where none runs, nobody waits."""
    if any(process.name == "postgres" for process in host.processes()):
        ready = f"for i in $(seq 600); do {BIN}/pg_isready -q && exit; sleep 0.02; done"
        tried(host, ["/bin/sh", "-c", ready], "ehr", timeout=8.0 * pace())


def new_rows():
    """One row for each table, in the order of their names, as lines of COPY; nobody can guess them."""
    number = f"V{secrets.randbelow(10**15):015d}"
    mrn = f"9{secrets.randbelow(10**9):09d}"
    family, given = (secrets.token_hex(6).translate(LETTERS).capitalize() for _ in range(2))
    ssn = f"9{secrets.randbelow(100):02d}-11-{secrets.randbelow(10**4):04d}"
    clinician = [f"dr.{secrets.token_hex(6).translate(LETTERS)}", family, given, "physician", r"\N", "CAR"]
    when = "2026-03-03 08:00:00+00"
    patient = [mrn, family, given, "F", "1961-05-04", ssn, "304-555-0100", r"\N", f"{given}@mail.example.org"]
    patient += ["1 Hale Lane", "Kestrelow", "PA", "00373", f"LKS-{number[1:9]}", r"\N", f"A{number[1:]}"]
    patient += [f"{family.upper()}, {given}", "304-555-0101"]
    rows = (
        clinician,
        [number, mrn, clinician[0], "CAR", when, when, "M17.11", "Unilateral primary osteoarthritis"],
        [f"{number}-N", number, f"{given} {family} (MRN {mrn}) seen for pain in the knee."],
        patient,
        [f"{number}-1", number, "1988-5", "4.6", "mg/L", r"\N", when],
    )
    return ["\t".join(row) for row in rows]


LETTERS = str.maketrans("0123456789", "ghijklmnop")
# Rows that others refer to come first.
LOADING = ("clinicians", "patients", "encounters", "notes", "results")


def insert(host, planted, rows):
    """The EHR writes rows, under its own account."""
    columns = planted.facts["columns"]
    script = "".join(
        "\n".join((f"COPY public.{table} ({columns[table]}) FROM stdin;", *rows[table], "\\.\n"))
        for table in LOADING
    )
    psql(host, "ehr", script)


def psql(host, user, script):
    """Run SQL on the lab's own server; what comes of it is looked at elsewhere."""
    argv = [f"{BIN}/psql", "-X", "-q", "-d", "ehr"]
    tried(host, argv, user, stdin=script.encode(), timeout=10.0 * pace())


def run_job(host, job, clock, timeout):
    """One start of a job, as cron would do it."""
    account = host.user(job.user)
    if account.exists and timeout:
        shell, home = job.environment.get("SHELL", "/bin/sh"), account.home or "/"
        environment = {"HOME": home, "LOGNAME": job.user, **job.environment}
        argv = [shell, "-c", f"cd; {job.command}"]
        tried(host, argv, job.user, env=environment, timeout=timeout, clock=clock)


def tried(host, argv, user="root", **how):
    """How a command ended; None when it took too long, said too much or could not be started."""
    with suppress(AssertionError):
        return host.run(argv, user, **how)
    return None


def text_of(host, path):
    """The content of a file, unpacked if it is a gzip file."""
    content = host.read(path, SQL_BYTES)
    with suppress(zlib.error):
        content = zlib.decompressobj(31).decompress(content, 4 * SQL_BYTES)
    return content


def tree(host, folder, depth=8):
    """Path -> (size, time of change) of all regular files below a folder."""
    found = {}
    for name in host.listing(folder):
        file = host.file(f"{folder}/{name}")
        if file.is_symlink or len(found) > STORE_FILES:
            continue
        if file.is_file:
            found[file.path] = (file.size, file.mtime)
        elif file.is_directory and depth:
            found.update(tree(host, file.path, depth - 1))
    return found


# --- what lies on the backup server --------------------------------------------------------------------


class Sealed:
    """The files of the backup server's folder, by whom they are encrypted for.

    Attributes:
        opened: those that the escrow officer's key opens.
        foreign: encrypted to a public key, and that key is another one.
        shared: those that somebody else can open as well.
        secrets: what was deposited for the escrow officer beside backups of a symmetric tool.
    """

    def __init__(self):
        self.opened = {}
        self.foreign = []
        self.shared = []
        self.secrets = frozenset()


def recipients_of(content):
    """(tool, for whom) of a file encrypted to public keys; None for anything else."""
    content = unarmoured(content)
    if content.startswith(b"age-encryption.org/v1\n"):
        head = content[: content.find(b"\n--- ")].split(b"\n")
        kinds = [line.split()[1].decode(errors="replace") for line in head if line.startswith(b"-> ")]
        return None if kinds == ["scrypt"] else ("age", kinds)
    kinds = session_keys(content)
    return ("gpg", kinds) if any(kind != "passphrase" for kind in kinds) else None


def unarmoured(content):
    """The bytes inside of age's and OpenPGP's text forms."""
    text = content.lstrip()
    if not text.startswith((b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----BEGIN PGP MESSAGE-----")):
        return content
    lines = [line.strip() for line in text.split(b"\n")]
    body = [line for line in lines if line and not line.startswith((b"-----", b"=")) and b":" not in line]
    with suppress(ValueError):
        return base64.b64decode(b"".join(body))
    return content


PUBLIC_KEY, PASSPHRASE, ENCRYPTED = 1, 3, (9, 18, 20)  # tags of OpenPGP's packets (RFC 9580, 5)


def session_keys(content):
    """For whom an OpenPGP message is encrypted: ids of keys, `passphrase`; nothing for anything else.

    Other tools' files are random bytes: only what goes on as such a message does is one.
    """
    found, at = [], 0
    while at + 12 < len(content):
        tag, head, size = packet(content, at)
        body = content[at + head : at + head + 10]
        if tag == PUBLIC_KEY and body[0] == 3 and body[9] in (1, 2, 16, 18):
            found.append(body[1:9].hex().upper())
        elif tag == PASSPHRASE and body[0] in (4, 5):
            found.append("passphrase")
        else:
            return found if tag in ENCRYPTED else []
        at += head + size
    return []


def packet(content, at):
    """(tag, length of its header, length of its body) of a packet; tag 0 for what is none."""
    first, second = content[at], content[at + 1]
    if first & 0xC0 == 0xC0:
        if second < 192:
            return first & 0x3F, 2, second
        return first & 0x3F, 3, (second - 192 << 8) + content[at + 2] + 192
    if not first & 0x80 or first & 3 > 1:
        return 0, 0, 0
    if first & 3 == 0:
        return first >> 2 & 0x0F, 2, second
    return first >> 2 & 0x0F, 3, int.from_bytes(content[at + 1 : at + 3], "big")


PIECE = 768 * 1024  # what a command says is cut off at one MiB
HIDDEN = "/root/aside"  # nobody but root looks in here
PLACE = "/restore"
KEYS, BACKUPS = f"{PLACE}/keys", f"{PLACE}/backups"
# Nothing that the restore command started goes on into the next trial.
ALONE = "pkill -KILL -u nobody;"
NEW_OUT = f"install -d -o nobody -m 0700 {PLACE}/out"
# What it is tried on before it gets its chance, always in the same place.
MUST_FAIL = {
    "other": f"mv {HIDDEN}/other {KEYS}",
    "emptied": f"{ALONE} rm -rf {KEYS}; mv {HIDDEN}/escrow {KEYS}; mv {BACKUPS} {HIDDEN}/true; "
    f"mv {HIDDEN}/emptied {BACKUPS}",
}


class RestoreRoom:
    """An untouched backup1 without a network, on which the restore command is tried as nobody."""

    def __init__(self, host, planted):
        self.host = host
        self.escrow = planted.facts["escrow"]
        self.other = planted.facts["other_keys"]
        self.mrns = frozenset(mrn.encode() for mrn in planted.facts["newest_mrns"])
        self.patience = Patience(0)
        self.sealed = Sealed()
        self.trouble = ""  # why nothing can be restored at all

    def take(self, hosts):
        """(path -> content of the backups, restore command), as they are now."""
        script = hosts["ehrdb1"].file(RESTORE)
        files = tree(hosts["backup1"], STORE)
        sizes = [size for size, _ in files.values()]
        if not script.is_file or script.size > SCRIPT_BYTES:
            self.trouble = f"{RESTORE} on ehrdb1 is missing, or larger than {SCRIPT_BYTES // 2**20} MiB"
        if sum(sizes) > STORE_BYTES or max(sizes, default=0) > FILE_BYTES:
            self.trouble = f"{STORE} on backup1 holds more than {STORE_BYTES // 2**20} MiB"
            return {}, b""
        contents = {path: hosts["backup1"].read(path, FILE_BYTES) for path in files}
        return contents, b"" if self.trouble else hosts["ehrdb1"].read(RESTORE, SCRIPT_BYTES)

    def furnish(self, taken):
        """Copy backups and restore command to here, and find out who can open what."""
        contents, script = taken
        try:
            self._lay_out(contents)
            self._judge_sealing(contents)
            if not self.trouble:
                self.host.write(RESTORE, script, mode=0o755)
        except AssertionError as failed:
            self.trouble = str(failed)
            raise

    def try_what_must_fail(self, days):
        """Somebody else's keys; then the escrow officer's, with other content in all that they open.

        Returns place -> days whose patients the restore command gave out there.
        """
        if self.trouble:
            return {}
        patience, given_out = Patience(REFUSALS_SECONDS), {}
        for place, preparation in MUST_FAIL.items():
            self._shell(preparation)
            # Somebody else's keys are tried on the newest and on any other one; nonsense on all.
            for day in [days[1], secrets.choice(days[2:])] if place == "other" else days:
                self._restore(day, patience)
            # What it said is kept where a later run cannot take it back.
            said = f"{HIDDEN}/said-{place}"
            self._shell(f"{ALONE} mv {PLACE}/out {said}; {NEW_OUT}")
            texts = {day: self._read(f"{said}/{day}", SQL_BYTES) for day in self._sizes(said)}
            given_out[place] = [day for day, text in texts.items() if self.mrns & {*MRN.findall(text)}]
        self._shell(f"rm -rf {BACKUPS}; mv {HIDDEN}/true {BACKUPS}")
        self.patience = Patience(RESTORES_SECONDS)
        return given_out

    def restore(self, day):
        """(what the restore command wrote, or why that is nothing)"""
        if self.trouble:
            return b"", self.trouble
        if self._restore(day, self.patience) is None:
            return b"", "the restore command took too long, or said too much"
        script = self._read(f"{PLACE}/out/{day}", SQL_BYTES)
        return script, "" if script else "the restore command wrote nothing"

    def _restore(self, day, patience):
        command = f'ulimit -f {SQL_BYTES // 512}; umask 022; exec "$0" "$@" > {PLACE}/out/{day}'
        argv = ["/bin/sh", "-c", command, RESTORE, KEYS, BACKUPS, day]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
        timeout = patience.left(RESTORE_SECONDS)
        return tried(self.host, argv, NOBODY, timeout=timeout, env=environment) if timeout else None

    def _sizes(self, folder):
        """Name -> size of the regular files in a folder, whatever they are called."""
        argv = ["/usr/bin/find", folder, "-mindepth", "1", "-maxdepth", "1", "-type", "f"]
        told = self.host.run([*argv, "-printf", r"%s %f\0"]).stdout.split(b"\0")[:-1]
        pairs = (item.split(b" ", 1) for item in told[:STORE_FILES])
        return {name.decode(errors="surrogateescape"): int(size) for size, name in pairs}

    def _read(self, path, limit):
        """What a regular file holds, in pieces that the hands can tell; nothing where there is none."""
        content = b""
        while len(content) < limit:
            argv = ["/bin/dd", f"if={path}", f"bs={PIECE}", f"skip={len(content) // PIECE}", "count=1"]
            ended = tried(self.host, [*argv, "iflag=nonblock,nofollow", "status=none"])
            content += ended.stdout if ended else b""
            if not ended or len(ended.stdout) < PIECE:
                break
        return content

    def _lay_out(self, contents):
        folders = {path.rpartition("/")[0].replace(STORE, BACKUPS, 1) for path in contents} | {BACKUPS}
        keys = [f"{HIDDEN}/other", f"{HIDDEN}/escrow", f"{HIDDEN}/open"]
        self.host.run(["/bin/mkdir", "-p", "-m", "0755", PLACE, HIDDEN, *keys, *sorted(folders)])
        self._shell(f"chmod 0700 {HIDDEN}; {NEW_OUT}")
        for path, content in contents.items():
            self.host.write(path.replace(STORE, BACKUPS, 1), content, mode=0o644)
        for name, keys in (("other", self.other), ("escrow", self.escrow)):
            self.host.write(f"{HIDDEN}/{name}/escrow.agekey", keys["age"].encode() + b"\n", mode=0o644)
            self.host.write(f"{HIDDEN}/{name}/escrow.pgp", keys["pgp"].encode(), mode=0o644)

    def _judge_sealing(self, contents):
        """Find out which files the escrow officer's key opens; make a copy in which those hold nonsense."""
        tools = {path: found for path, content in contents.items() if (found := recipients_of(content))}
        lines = [f"cp -a {BACKUPS} {HIDDEN}/emptied", f"export GNUPGHOME={HIDDEN}/gpg"]
        if any(tool == "gpg" for tool, _ in tools.values()):
            lines += [f"mkdir -m 0700 {HIDDEN}/gpg", f"gpg --batch -q --import {HIDDEN}/escrow/escrow.pgp"]
        for number, (path, (tool, _)) in enumerate(tools.items()):
            inside = path.removeprefix(STORE)
            source, emptied = (shell_word(base + inside) for base in (BACKUPS, f"{HIDDEN}/emptied"))
            words = {"source": source, "target": f"{HIDDEN}/open/{number}", "emptied": emptied, **self.escrow}
            lines.append(OPENING[tool].format_map(words))
        self._shell("\n".join(lines))
        sizes = self._sizes(f"{HIDDEN}/open")
        for number, (path, (_, kinds)) in enumerate(tools.items()):
            if str(number) not in sizes:
                self.sealed.foreign.append(path)
                continue
            self.sealed.opened[path] = sizes[str(number)]
            if len(kinds) > 1:
                self.sealed.shared.append(path)
        if any(path not in tools and may_be_a_backup(content) for path, content in contents.items()):
            self.sealed.secrets = frozenset(self._deposited(list(tools)))

    def _deposited(self, paths):
        """What looks like a secret in the small files that the escrow officer's key opens."""
        for number, path in enumerate(paths):
            if self.sealed.opened.get(path, DEPOSIT_BYTES + 1) <= DEPOSIT_BYTES:
                yield from secret_words(self._read(f"{HIDDEN}/open/{number}", DEPOSIT_BYTES))

    def _shell(self, script):
        return self.host.run(["/bin/sh"], stdin=script.encode() + b"\n", timeout=20.0 * pace())


MRN = re.compile(rb"\d{10}")
# Open a file with the escrow officer's key; if that works, leave another one for the same key in its place.
OPENING = {
    "age": f"age -d -i {HIDDEN}/escrow/escrow.agekey -o {{target}} {{source}} && "
    "head -c 5000 /dev/urandom | age -r {recipient} -o {emptied}",
    "gpg": "gpg --batch -q -o {target} -d {source} && "
    "head -c 5000 /dev/urandom | gpg --batch -q --yes --trust-model always -r {encrypts} -o {emptied} -e",
}


def shell_word(text):
    return "'" + text.replace("'", "'\\''") + "'"


def may_be_a_backup(content):
    """Whether a file that no public key seals is more than a note."""
    return len(content) > NOTE_BYTES


def secret_words(text):
    """Strings of a deposit that may be the secret: its lines when there are few, and what looks random."""
    lines = [line.strip() for line in text.decode(errors="ignore").splitlines() if line.strip()]
    random = {word for line in lines for word in line.split() if looks_random(word)}
    return random | ({lines[0]} if len(lines) == 1 and len(lines[0]) >= SECRET_LENGTH else set())


def looks_random(word):
    plain = len(word) >= SECRET_LENGTH and not word.startswith(("/", "-")) and "@" not in word
    return plain and any(letter.isdigit() for letter in word) and any(letter.isalpha() for letter in word)


# --- restoring -----------------------------------------------------------------------------------------

HBA = b"local all postgres peer\nlocal ehr ehr peer map=ehr\n"
# Whoever loads a backup runs what is in it; whoever reads the rows afterwards is somebody else.
IDENT = b"ehr nobody ehr\nehr itops ehr\n"
SOCKET = "/run/pg"
MARK = "== "


class Server:
    """An empty PostgreSQL on a machine that the trainee never touched; it starts beside everything else."""

    def __init__(self, host):
        self._host = host
        beside = ThreadPoolExecutor(1)
        self._started = beside.submit(self._start)
        beside.shutdown(wait=False)

    def _start(self):
        self._host.write("/etc/postgresql/pg_hba.conf", HBA, mode=0o644)
        self._host.write("/etc/postgresql/pg_ident.conf", IDENT, mode=0o644)
        options = (
            "-c config_file=/etc/postgresql/15/main/postgresql.conf -c hba_file=/etc/postgresql/pg_hba.conf "
            f"-c ident_file=/etc/postgresql/pg_ident.conf -c unix_socket_directories={SOCKET} "
            "-c listen_addresses='' -c autovacuum=off -c external_pid_file='' -c logging_collector=off "
            "-c synchronous_commit=off -c fsync=off -c full_page_writes=off"
        )
        self._host.run(["/usr/bin/install", "-d", "-o", "postgres", "-m", "0755", SOCKET])
        argv = ["/usr/bin/setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        argv += [f"{BIN}/pg_ctl", "-D", DATA, "-s", "-w", "-t", "10", "-l", "/tmp/pg.log", "-o", options]
        return self._host.run([*argv, "start"], timeout=15.0 * pace())

    def loaded(self, planted, script):
        """The rows that a restored script makes in an empty database."""
        self._started.result()
        argv = [f"{BIN}/psql", "-X", "-q", "-h", SOCKET, "-U", "ehr", "-d", "ehr"]
        tried(self._host, argv, NOBODY, stdin=script, timeout=10.0 * pace(), env=READING)
        return read_out(self._host, planted, argv)


SERVERS = WeakKeyDictionary()


def server_of(pristines):
    """The PostgreSQL of these untouched machines, started when somebody first asks for it."""
    host = pristines["ehrdb1"]
    if host not in SERVERS:
        SERVERS[host] = Server(host)
    return SERVERS[host]


READING = {"PGTZ": "UTC", "PGDATESTYLE": "ISO, MDY", "PGCLIENTENCODING": "UTF8"}


def read_out(server, planted, argv):
    """The rows of all tables, read by somebody who runs nothing of what was loaded; then all is dropped."""
    columns = planted.facts["columns"]
    script = f"SET statement_timeout = '{5 * pace():.0f}s';\nSET search_path = pg_catalog;\n"
    for table, names in columns.items():
        script += f"\\echo '{MARK}{table}'\nCOPY public.{table} ({names}) TO STDOUT;\n"
    script += "DROP OWNED BY ehr CASCADE;\n"
    ended = tried(server, argv, READER, stdin=script.encode(), timeout=10.0 * pace(), env=READING)
    if ended is None:
        return Rows({}, "what was restored could not be read out again")
    tables = {}
    for line in ended.stdout.decode(errors="replace").splitlines():
        if line.startswith(MARK):
            rows = tables.setdefault(line.removeprefix(MARK), [])
        else:
            rows.append(line)
    return Rows({table: sorted(rows) for table, rows in tables.items()})


def difference(planted, rows, wanted, gained):
    """What a restored database lacks against a night's, in words; empty when it is the same.

    Args:
        wanted: table -> how many rows there were, and the digest over them.
        gained: table -> rows that came on top.
    """
    if rows.trouble:
        return rows.trouble
    for table in planted.facts["columns"]:
        found = rows.tables.get(table, [])
        new = gained.get(table, [])
        count, digest = wanted[table]
        if len(found) != count + len(new):
            return f"table {table} has {len(found)} rows; the database had {count + len(new)}"
        rest = [line for line in found if line not in new]
        text = "".join(f"{line}\n" for line in rest)
        if len(rest) != count or hashlib.sha256(text.encode()).hexdigest() != digest:
            return f"table {table} has other rows than the database had"
    return ""


# --- guards --------------------------------------------------------------------------------------------


@guard("database-works")
def test_the_database_takes_rows_and_has_all(trial, hosts, planted):
    inside = [leak for leak in trial.found("ehrdb1") if is_the_databases(hosts["ehrdb1"], leak.path)]
    there = frozenset().union(*(leak.identifiers for leak in inside))
    new = frozenset(
        row.split("\t")[0] for gained in trial.nights.gained.values() for row in gained["patients"]
    )
    assert new <= there, "The EHR wrote rows into its database under its own account, and they are not in it."
    wanted = frozenset(planted.facts["newest_mrns"])
    assert wanted <= there, f"{len(wanted - there)} of {len(wanted)} patients are gone from the database."


@guard("database-works")
@pytest.mark.parametrize("role", ["ehr", "postgres"])
def test_nobody_else_reads_the_database(trial, hosts, planted, role):
    known = {*planted.facts["newest_mrns"], *trial.nights.new_strings}
    persona = planted.personas["reporting"]
    argv = [f"{BIN}/psql", "-X", "-w", "-U", role, "-d", "ehr", "-c", "COPY public.patients (mrn) TO STDOUT"]
    if not hosts["ehrdb1"].user(persona.user).exists:
        return  # another guard says so
    # One that does not end is no refusal: on a busy computer everything would be one.
    ended = hosts["ehrdb1"].run(argv, persona.user, timeout=8.0 * pace())
    said = set(ended.stdout.decode(errors="replace").split())
    assert said.isdisjoint(known), f"{persona} can now read the database as {role}."


@guard("database-works")
def test_the_database_is_not_on_the_network(hosts):
    host = hosts["ehrdb1"]
    for address in ("0.0.0.0", "[::]"):  # noqa: S104 - asked about, not bound to
        assert not host.socket(f"tcp://{address}:{DATABASE_PORT}").is_listening, (
            "The database of ehrdb1 now listens on the network."
        )


@guard("backups-arrive")
def test_a_nightly_job_delivers(trial):
    times = [f"{job.path} ({job.when})" for job in trial.nights.scheduled]
    assert trial.nights.delivering, (
        "After a restart, jobs that run every night were started twice, as cron does it, and nothing new "
        f"arrived in {STORE} of backup1. Scheduled on both machines: {', '.join(times[:4]) or 'nothing'}."
    )


@guard("backups-arrive")
@pytest.mark.parametrize("name", ["ehrdb1", "backup1"])
def test_cron_runs(hosts, lives, name):
    for host, when in ((hosts[name], "after a restart"), (lives[name], "at the moment")):
        assert any(process.name == "cron" and process.uid == 0 for process in host.processes()), (
            f"cron does not run on {name} {when}."
        )


@guard("backups-arrive")
def test_the_storage_operator_sees_what_arrived(hosts, planted):
    operator = planted.personas["storage"]
    assert hosts["backup1"].as_user(operator.user).can_list(STORE), (
        f"{operator} can no longer look into {STORE} of backup1."
    )


@guard("backups-survive")
def test_every_night_is_still_there(trial, hosts, planted):
    nights = planted.facts["nights"]
    gone = [day for day in nights if not survives(trial, hosts, planted, day)]
    assert not gone, (
        f"The backups of {len(gone)} of {len(nights)} nights are gone: they can neither be restored nor "
        f"found as they were ({shown_days(gone)})."
    )


def survives(trial, hosts, planted, day):
    if not difference(planted, trial.restored(day), planted.facts["nights"][day], {}):
        return True
    wanted = planted.identifiers(f"night-{day}")
    leaks = (leak for host in hosts.values() for leak in outside_the_database(host, trial.found(host.name)))
    # Exactly these: every newer dump knows them, too, and more.
    return any(wanted == leak.identifiers for leak in leaks)


@guard("delivery-account")
def test_the_delivery_account_can_do_no_more(hosts, planted):
    host, user = hosts["backup1"], planted.personas["delivery"].user
    options = host.sshd_config_for(user)
    assert options.get("forcecommand", ["none"])[0].split()[0] == "internal-sftp", (
        f"{user} on backup1 can now run commands."
    )
    forwards = options.get("disableforwarding") == ["yes"] or options.get("allowtcpforwarding") == ["no"]
    terminal = options.get("permittty") != ["no"]
    assert forwards and not terminal, f"{user} on backup1 can now do more than move files."
    password = options.get("passwordauthentication") != ["no"]
    assert not password, f"{user} on backup1 can now log in with a password."
    assert not host.sudoers.grants(user), f"sudo lets {user} on backup1 do something."
    groups = host.user(user).groups - {user}
    assert not groups, f"{user} on backup1 is now in the group {min(groups)}."


@guard("delivery-account")
def test_the_delivery_account_has_its_own_key(hosts, planted):
    host, persona = hosts["backup1"], planted.personas["delivery"]
    path = f"{host.user(persona.user).home}/.ssh/authorized_keys"
    text = host.file(path).content_string if host.file(path).is_file else ""
    keys = {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}
    own = {planted.facts["delivery_line"]}
    options = host.sshd_config_for(persona.user)
    places = set(" ".join(options.get("authorizedkeysfile", [])).split())
    strange = places - {".ssh/authorized_keys", ".ssh/authorized_keys2"}
    command = " ".join(options.get("authorizedkeyscommand", ["none"]))
    assert not strange and command == "none", "sshd on backup1 takes keys from other places than before."
    assert not host.file(f"{path}2").exists, f"{path}2 on backup1 lets more keys in."
    assert keys == own, f"{path} on backup1 no longer holds the delivery key alone."


HOSTS = pytest.mark.parametrize("name", sorted(ACCOUNTS))


@guard("accounts-intact")
@HOSTS
def test_everybody_is_who_they_were(hosts, name):
    assert_accounts_unchanged(hosts[name], ACCOUNTS[name])
    assert_accounts_distinct(hosts[name])


@guard("accounts-intact")
@HOSTS
def test_nobody_is_locked_out(hosts, name):
    people = [account for account, (uid, _) in ACCOUNTS[name].items() if uid >= 990]
    assert_nobody_locked_out(hosts[name], people)


# --- the next backup -----------------------------------------------------------------------------------


@objective("next-backup")
def test_the_next_backups_can_be_restored(trial, planted):
    for ahead, (day, gained) in enumerate(trial.nights.gained.items(), start=1):
        lacking = difference(planted, trial.restored(day), planted.facts["database"], gained)
        assert not lacking, (
            f"The scheduled jobs ran for night {ahead} after a restart ({day}). Restored with the escrow "
            f"officer's key: {lacking}."
        )


@objective("next-backup")
def test_the_next_backups_are_encrypted(trial):
    nights = trial.nights
    assert nights.delivering, "No job of every night delivered anything to backup1."
    assert not nights.in_between, (
        f"When the job in {nights.delivering[0].path} had run, a patient could be read on backup1, in "
        f"{nights.in_between[0]}."
    )
    found = trial.found("backup1").of(nights.new_strings)
    assert not found, f"A patient of that night can be read on backup1, in {', '.join(found.paths[:3])}."


# --- older backups -------------------------------------------------------------------------------------


@objective("old-backups")
def test_every_older_backup_can_be_restored(trial, planted):
    nights = planted.facts["nights"]
    lacking = {day: difference(planted, trial.restored(day), wanted, {}) for day, wanted in nights.items()}
    lacking = {day: text for day, text in lacking.items() if text}
    assert not lacking, (
        f"{len(lacking)} of {len(nights)} older backups cannot be restored from {STORE} of backup1. "
        f"{next(iter(lacking))}: {next(iter(lacking.values()))}."
    )


# --- no plaintext --------------------------------------------------------------------------------------


def outside_the_database(host, found):
    """What was found in other places than the pages of PostgreSQL's own files."""
    return [leak for leak in found if leak.container != "plain" or not is_the_databases(host, leak.path)]


def is_the_databases(host, path):
    if host.name != "ehrdb1" or not HEAP.match(path):
        return False
    content = host.read(path, SQL_BYTES)
    place, mark = PAGE_MARKS[path.removeprefix(f"{DATA}/").partition("/")[0]]
    pages = [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
    return all(page[place] == mark or not any(page) for page in pages)


def told(name, leaks):
    paths = sorted({leak.path for leak in leaks})
    count = len(frozenset().union(*(leak.identifiers for leak in leaks)))
    where = ", ".join(paths[:2]) + (f" and {len(paths) - 2} more files" if len(paths) > 2 else "")
    return f"{count} patient identifiers can be read on {name}, in {where}"


@objective("plaintext-gone")
@pytest.mark.parametrize("name", ["ehrdb1", "backup1"])
def test_no_plaintext_is_left(trial, hosts, planted, name):
    strings = planted.manifest.identifiers() | trial.nights.new_strings
    leaks = outside_the_database(hosts[name], trial.found(name).of(strings))
    assert not leaks, f"After a restart and two nights, {told(name, leaks)}."


@objective("plaintext-gone")
@pytest.mark.parametrize("name", ["ehrdb1", "backup1"])
def test_no_plaintext_is_left_on_the_running_machine(lives, pristines, planted, name):
    server_of(pristines)  # this check is the first: the clones still boot
    leaks = outside_the_database(lives[name], lives[name].leaks(planted.manifest.identifiers()))
    assert not leaks, f"On the running machine, {told(name, leaks)}."


# --- keys and secrets ----------------------------------------------------------------------------------


@objective("escrow-only")
def test_without_the_escrow_key_nothing_comes_out(trial):
    days = trial.given_out("other")
    assert not days, (
        f"With the keys of somebody else the restore command gives out patients of {shown_days(days)}."
    )


@objective("escrow-only")
def test_what_the_escrow_key_opens_is_needed(trial):
    days = trial.given_out("emptied")
    assert not days, (
        "Everything on backup1 that the escrow officer's key opens was given other content, and the restore "
        f"command still gives out patients of {shown_days(days)}."
    )


def shown_days(days):
    return ", ".join(sorted(days)[:3]) + (f" and {len(days) - 3} more days" if len(days) > 3 else "")


@objective("escrow-only")
def test_files_are_encrypted_to_the_escrow_officer_alone(trial):
    sealed = trial.sealed
    assert not sealed.foreign, f"The escrow officer's key does not open {sealed.foreign[0]} of backup1."
    assert not sealed.shared, f"Somebody else's key or passphrase opens {sealed.shared[0]} of backup1, too."


@objective("escrow-only")
def test_no_secret_lies_with_the_backups(trial):
    found = trial.secrets_found("backup1")
    assert not found, f"A secret that was deposited for escrow can be read on backup1, in {found.paths[0]}."


@objective("escrow-only")
def test_a_secret_on_the_database_machine_is_roots_alone(trial, hosts):
    host = hosts["ehrdb1"]
    paths = trial.secrets_found("ehrdb1").paths
    for name in [user.name for user in host.accounts.users.values() if user.uid]:
        allowed = [path for path, can in zip(paths, host.can(name, paths, "read"), strict=True) if can]
        assert not allowed, f"{name} can read a secret that opens backups, in {allowed[0]} of ehrdb1."


# --- the report ----------------------------------------------------------------------------------------

FIELDS = (
    "systems",
    "identifier_kinds",
    "people",
    "exposed_since",
    "who_could_read",
    "caused_by_change",
    "change_approved_by",
    "missed_night",
    "stray_copies",
    "escrow_year",
    "checks_done",
    "notify",
    "notify_by",
    "dump_request",
    "key_request",
)


@objective("record")
@pytest.mark.parametrize("name", FIELDS)
def test_the_report_states_the_facts(planted, record, name):
    assert_stated(record, planted, name)


@objective("record")
def test_the_report_holds_no_patient_data(trial):
    assert_no_patients_in_records(trial.found("ehrdb1").paths)
