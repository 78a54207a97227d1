"""Plants the EHR's database, its plaintext dumps on two machines, the escrow keys, and the tickets."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from phi_fixtures import EPOCH
from phi_fixtures.people import Patient
from phi_fixtures.writers import Cast, writer
from phi_fixtures.writers.ehr_database import TABLES, copy_lines

if TYPE_CHECKING:
    from phi_labs.lifecycle.plant import Planting

DATABASE_HOST = "ehrdb1"
BACKUP_HOST = "backup1"
STORE = "/srv/backups/ehr"
MOVED = "/var/lib/postgresql/moved.sql"  # loaded once, when the database first starts
DELIVERY_KEY = "/root/.ssh/id_ehrbackup"
TAKE_OVER = EPOCH + timedelta(hours=17)
LAST_NIGHT = EPOCH.date()
SWEPT = (
    "mrn",
    "ssn",
)  # two of each patient: one of them stands in every useful extract
ADMITTED = 225  # patients on the first night
PER_NIGHT = 4  # new ones every day
MOVED_AWAY = 11  # in the dump from before the move only: people whom the database no longer knows
PLANTED = Path(__file__).parent / "planted"  # tickets, form, job and keys' notes, with blanks for the story


@dataclass(frozen=True)
class Story:
    """What differs between trainees beside the people."""

    change: int
    incident: int
    request: int
    key_request: int
    approver: str
    nights: tuple[date, ...]
    packed: int
    """How many of the first nights are in pg_dump's custom format."""
    missed: date
    discovered: datetime
    local: str
    job: str
    table: str
    minute: int
    support_copy: str
    restore_test: str
    year: int
    """Of the escrow keys that are in force."""
    withdrawn: int

    @property
    def exposed(self) -> date:
        """The day of the first dump that reached the backup server."""
        return self.nights[0]


def plant(p: Planting) -> None:
    """Everything of this lab, from the seed alone."""
    story = _story(p)
    people = [p.hospital.patient(number) for number in range(ADMITTED + PER_NIGHT * (len(story.nights) - 1))]
    _plant_database(p, people)
    _plant_nights(p, story, people)
    strays = _plant_strays(p, story, people)
    _plant_job(p, story)
    _plant_escrow(p, story)
    _plant_tickets(p, story)
    _plant_form(p, story, len(people) + MOVED_AWAY, strays)


def _story(p: Planting) -> Story:
    rng = p.rng("story")
    count = rng.choice((4, 5))
    nights = tuple(LAST_NIGHT - timedelta(days=back) for back in reversed(range(count)))
    # Sometimes the newer ones are those that were withdrawn: only the README tells.
    year, withdrawn = rng.choice(((2026, 2024), (2025, 2026)))
    incident = rng.randrange(4100, 9800)
    request = rng.randrange(510, 890)
    return Story(
        change=rng.randrange(2100, 2900),
        incident=incident,
        request=request,
        key_request=request + rng.randrange(2, 9),
        approver=f"E-{rng.randrange(1020, 1980)}",
        nights=nights,
        packed=rng.choice((1, 2)),
        missed=nights[rng.randrange(2, count - 1)],
        discovered=EPOCH + timedelta(hours=rng.randrange(9, 16), minutes=rng.randrange(5, 55)),
        local=rng.choice(("/var/backups/ehr", "/var/lib/ehr-dumps", "/srv/dumps")),
        job=rng.choice(("/usr/local/sbin/ehr-nightly", "/usr/local/sbin/dump-ehr", "/opt/ehr/nightly-dump")),
        table=rng.choice(("/etc/cron.d/ehr-nightly", "/etc/cron.d/ehr-dump", "/etc/cron.d/backup1")),
        minute=rng.randrange(5, 55),
        support_copy=rng.choice(
            (
                f"/srv/support/INC-{incident}/ehr-before-move.dump",
                f"/var/tmp/INC-{incident}-ehr.sql.gz",
                f"/opt/inc-{incident}/ehr.sql",
            )
        ),
        restore_test=rng.choice(
            (
                "/home/rhale/restore-test/ehr.sql",
                "/var/tmp/restore-test/ehr.sql.gz",
                "/srv/restore-test/ehr.dump",
            )
        ),
        year=year,
        withdrawn=withdrawn,
    )


# --- the database and its dumps ------------------------------------------------------------------------


def _plant_database(p: Planting, people: list[Patient]) -> None:
    cast = Cast(p.hospital, people, host=DATABASE_HOST, day=LAST_NIGHT)
    p.file(MOVED, _dump("pg-dump", cast), owner="postgres", group="postgres", mode=0o600)
    p.fact("columns", {table.name: table.column_list for table in TABLES})
    p.fact("database", _digests(cast))
    p.fact("newest_mrns", [patient.mrn for patient in people])


def _dump(kind: str, cast: Cast) -> bytes:
    (artefact,) = writer(kind)(cast)
    return artefact.content


def _digests(cast: Cast) -> dict[str, list[object]]:
    """Table -> how many rows, and a digest over them in order: what a restored database is held against."""
    digests: dict[str, list[object]] = {}
    for table in TABLES:
        lines = sorted(copy_lines(table, cast))
        digests[table.name] = [len(lines), hashlib.sha256("".join(lines).encode()).hexdigest()]
    return digests


def _plant_nights(p: Planting, story: Story, people: list[Patient]) -> None:
    """A dump for every night: on the database's machine, and all but the missed one on the backup server."""
    nights = {}
    p.directory(story.local, mode=0o755)
    for number, night in enumerate(story.nights):
        cast = Cast(p.hospital, people[: ADMITTED + PER_NIGHT * number], host=DATABASE_HOST, day=night)
        nights[night.isoformat()] = _digests(cast)
        content, ending = _written(cast, story, number)
        name = f"ehr-{night.isoformat()}.{ending}"
        made = cast.at(1, story.minute, 20)
        site = f"night-{night.isoformat()}"
        p.file(f"{story.local}/{name}", content, mode=0o644, mtime=made)
        p.planted(site, f"{story.local}/{name}", cast.patients, SWEPT)
        if night != story.missed:
            owner = {"owner": "ehrbackup", "group": "storage"}
            p.file(f"{STORE}/{name}", content, mode=0o644, mtime=made, host=BACKUP_HOST, **owner)
            p.planted(site, f"{STORE}/{name}", cast.patients, SWEPT, host=BACKUP_HOST)
    p.fact("nights", nights)


def _written(cast: Cast, story: Story, number: int) -> tuple[bytes, str]:
    """A night's dump as the job of that time wrote it: archives at first, later scripts, packed next day."""
    if number < story.packed:
        return _dump("pg-dump-custom", cast), "dump"
    if number < len(story.nights) - 1:
        return gzip.compress(_dump("pg-dump", cast), mtime=0), "sql.gz"
    return _dump("pg-dump", cast), "sql"


def _plant_strays(p: Planting, story: Story, people: list[Patient]) -> list[str]:
    """Two copies that nobody needs any more: from before the move to ehrdb1, and from a restore test."""
    gone = [p.hospital.patient(1000 + number) for number in range(MOVED_AWAY)]
    before = [*people[:40], *gone]
    old = LAST_NIGHT - timedelta(days=41)
    _plant_stray(p, story.support_copy, before, old, DATABASE_HOST)
    _plant_stray(p, story.restore_test, people[:180], LAST_NIGHT - timedelta(days=17), BACKUP_HOST)
    return [f"{DATABASE_HOST}:{story.support_copy}", f"{BACKUP_HOST}:{story.restore_test}"]


def _plant_stray(p: Planting, path: str, patients: list[Patient], day: date, host: str) -> None:
    cast = Cast(p.hospital, patients, host=DATABASE_HOST, day=day)
    content = _dump("pg-dump-custom" if path.endswith(".dump") else "pg-dump", cast)
    content = gzip.compress(content, mtime=0) if path.endswith(".gz") else content
    mine = {"owner": "rhale", "group": "rhale"} if host == BACKUP_HOST else {}
    folder = str(Path(path).parent)
    if folder != "/var/tmp":
        p.directory(folder, host=host, mtime=cast.at(15), **mine)
    p.file(path, content, host=host, mtime=cast.at(15, 42), **mine)
    p.planted("stray", path, patients, SWEPT, host=host)


# --- the job, and the way to the backup server ---------------------------------------------------------


def _plant_job(p: Planting, story: Story) -> None:
    key = p.key_pair("delivery")
    words = {"change": story.change, "local": story.local, "store": STORE, "job": story.job}
    words |= {"minute": story.minute, "policy": p.organisation.policy(p.lab.policy)}
    changed = datetime(story.exposed.year, story.exposed.month, story.exposed.day, tzinfo=EPOCH.tzinfo)
    if story.job.startswith("/opt/"):
        p.directory(str(Path(story.job).parent))
    p.file(story.job, _text("files/job.sh", words), mode=0o755, mtime=changed)
    p.file(story.table, _text("files/cron-table", words), mode=0o644, mtime=changed)
    p.directory("/root/.ssh", mode=0o700)
    p.file(DELIVERY_KEY, key.private, mode=0o600)
    p.file(f"{DELIVERY_KEY}.pub", key.public + "\n")
    p.file("/root/.ssh/known_hosts", f"{BACKUP_HOST} {p.host_public_key(BACKUP_HOST)}\n")
    p.file("/root/.ssh/config", _text("files/ssh-config", {"key": DELIVERY_KEY}), mode=0o600)
    _plant_way_of_itops(p)
    home = "/var/lib/ehrbackup/.ssh"
    mine = {"owner": "ehrbackup", "group": "ehrbackup", "host": BACKUP_HOST}
    line = f"restrict {key.public}\n"
    p.directory(home, mode=0o700, **mine)
    p.file(f"{home}/authorized_keys", line, mode=0o600, **mine)
    p.fact("delivery_line", line.strip())


def _plant_way_of_itops(p: Planting) -> None:
    """IT operations goes from one machine to the other as itself, with a key of its own."""
    hop = p.key_pair("itops on ehrdb1")
    mine = {"owner": "itops", "group": "itops"}
    p.file("/home/itops/.ssh/id_ed25519", hop.private, mode=0o600, **mine)
    p.file("/home/itops/.ssh/known_hosts", f"{BACKUP_HOST} {p.host_public_key(BACKUP_HOST)}\n", **mine)
    keys = f"{p.trainee_public_key}\n{hop.public}\n"
    p.file("/home/itops/.ssh/authorized_keys", keys, mode=0o600, host=BACKUP_HOST, **mine)


def _text(name: str, words: dict[str, object]) -> str:
    return (PLANTED / name).read_text(encoding="utf-8").format_map(words)


def _plant_escrow(p: Planting, story: Story) -> None:
    """The escrow officer's public keys, and those of the predecessor, which are withdrawn."""
    domain = p.organisation.covered_entity.domain
    officer = f"Backup Escrow {story.year} <escrow@{domain}>"
    age, pgp = p.age_key("escrow"), p.pgp_key("escrow", officer)
    old_age = p.age_key("escrow withdrawn")
    old_pgp = p.pgp_key("escrow withdrawn", f"Backup Escrow {story.withdrawn} <escrow@{domain}>")
    for year, recipient, public in (
        (story.year, age.public, pgp.public),
        (story.withdrawn, old_age.public, old_pgp.public),
    ):
        p.directory(f"/etc/escrow/{year}")
        p.file(f"/etc/escrow/{year}/escrow.agepub", recipient + "\n")
        p.file(f"/etc/escrow/{year}/escrow.asc", public)
    words = {"year": story.year, "withdrawn": story.withdrawn, "fingerprint": pgp.fingerprint}
    words |= {"recipient": age.public, "policy": p.organisation.policy(p.lab.policy)}
    p.file("/etc/escrow/README", _text("files/escrow-readme", words))
    facts = {"age": age.private, "pgp": pgp.private, "recipient": age.public, "encrypts": pgp.encrypts}
    p.fact("escrow", facts)
    other_age, other_pgp = p.age_key("somebody else"), p.pgp_key("somebody else", officer)
    p.fact("other_keys", {"age": other_age.private, "pgp": other_pgp.private})


# --- tickets and the form ------------------------------------------------------------------------------


def _plant_tickets(p: Planting, story: Story) -> None:
    words = _ticket_words(p, story)
    for kind in ("changes", "incidents", "requests"):
        folder = f"/srv/records/{kind}"
        p.directory(folder)
        for template in sorted((PLANTED / kind).glob("*.txt")):
            text = template.read_text(encoding="utf-8").format_map(words)
            p.file(f"{folder}/{template.name.format_map(words)}", text)


def _ticket_words(p: Planting, story: Story) -> dict[str, object]:
    def day(offset: int) -> str:
        return (story.exposed + timedelta(days=offset)).isoformat()

    return {
        "organisation": p.organisation.covered_entity.short_name,
        "party": p.organisation.party(p.entity).short_name,
        "policy": p.organisation.policy(p.lab.policy),
        "change": story.change,
        "change_before": story.change - 31,
        "change_later": story.change + 6,
        "change_last": story.change + 12,
        "incident": story.incident,
        "incident_missed": story.incident + 23,
        "incident_now": story.incident + 41,
        "request": story.request,
        "key_request": story.key_request,
        "approver": story.approver,
        "other_approver": f"E-{int(story.approver[2:]) + 17}",
        "asked": day(-5),
        "approved": day(-2),
        "exposed": day(0),
        "exposed_at": f"{day(0)} 00:40",
        "packed": story.nights[story.packed].isoformat(),
        "missed": story.missed.isoformat(),
        "moved": (LAST_NIGHT - timedelta(days=41)).isoformat(),
        "moved_approved": (LAST_NIGHT - timedelta(days=45)).isoformat(),
        "tested": (LAST_NIGHT - timedelta(days=17)).isoformat(),
        "discovered": f"{story.discovered:%Y-%m-%d %H:%M}",
        "today": LAST_NIGHT.isoformat(),
        "store": STORE,
        "local": story.local,
    }


def _plant_form(p: Planting, story: Story, people: int, strays: list[str]) -> None:
    words = {"policy": p.organisation.policy(p.lab.policy), "request": f"REQ-{story.request}"}
    words["key_request"] = f"REQ-{story.key_request}"
    form = _text("exposure-report.yml", dict(words))
    p.file("/srv/records/exposure-report.yml", form, owner="itops", group="itops", mtime=EPOCH)
    deadline = story.discovered + timedelta(hours=p.organisation.notify_hours(p.entity))
    answers: dict[str, object] = {
        "systems": [BACKUP_HOST, DATABASE_HOST],
        "identifier_kinds": [
            *("account", "address", "birth-date", "diagnosis", "email", "fax", "member-id", "mrn", "name"),
            *("phone", "ssn"),
        ],
        "people": people,
        "exposed_since": story.exposed.isoformat(),
        "who_could_read": "every-account",
        "caused_by_change": f"CHG-{story.change}",
        "change_approved_by": story.approver,
        "missed_night": story.missed.isoformat(),
        "stray_copies": strays,
        "escrow_year": story.year,
        "checks_done": ["both-machines-swept", "job-run", "trial-restore"],
        "notify": "privacy-officer" if p.entity == "ce" else "covered-entity",
        "notify_by": f"{deadline:%Y-%m-%d %H:%M}",
        "dump_request": "escalate",
        "key_request": "refuse",
    }
    for name, value in answers.items():
        p.answer(name, value)
    p.variable("request_ticket", f"REQ-{story.request}")
    p.variable("key_request_ticket", f"REQ-{story.key_request}")
    p.variable("incident_ticket", f"INC-{story.incident + 41}")
    p.variable("nights", len(story.nights))
    p.variable("first_night", story.exposed.isoformat())
    p.variable("local", story.local)
