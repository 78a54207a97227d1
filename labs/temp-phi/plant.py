"""Plants the help desk's reports, the script that makes them, what was left lying about, and the tickets."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from phi_fixtures import EPOCH
from phi_fixtures.people import Hospital, Patient
from phi_fixtures.planting import plant as put
from phi_fixtures.writers import Cast, writer
from phi_fixtures.writers.decoys import engulfing, lot_number, order_number, serial_number
from phi_fixtures.writers.mail import DOMAIN, mail_date, mbox_entry, plain_message
from phi_fixtures.writers.vim_swap import swap_file

if TYPE_CHECKING:
    import random

    from phi_labs.lifecycle.plant import Planting

HOST = "desk1"
REGISTER = "/var/lib/ehr/appointments.tsv"
REPORTS = "/srv/reports/callbacks"
HOLDS, APPROVED = "/srv/legal-hold", "/srv/approved"
RECORDS = "/srv/records"
PLANTED = Path(__file__).parent / "planted"  # script, tickets and the empty form, with blanks for the story
CLINICS = ("cardio", "derma", "neuro", "ortho", "renal", "pulmo", "endo", "ophtha")
EXTRACTED = ("mrn", "family", "given", "display", "dob", "ssn", "phone")  # what one row of an EHR list says
NOTED = ("mrn", "display", "dob", "ssn", "phone")
MAILED = ("mrn", "display")
LISTED = ("mrn", "display", "phone")
TRIALS = ("term", "error", "kill", "run")  # each has patients whom only the checks put into the register
TEST_MRN = "0000000000"
TAKE_OVER = EPOCH + timedelta(hours=17)


@dataclass(frozen=True)
class Story:
    """What differs between trainees beside the people: names, numbers, places, and who left what behind."""

    script: str
    clinics: tuple[str, ...]
    change: int
    approver: str
    incident: int
    ticket: int
    request: int
    hold: str
    held_file: str
    need: str
    needed_file: str
    reader: str
    lapsed: str
    lapsed_reader: str
    vartmp: str
    editor: str
    core: str
    spool: str
    mails_out: bool
    discovered: datetime
    ages: dict[str, int]

    @property
    def path(self) -> str:
        """Where the script is."""
        return f"/usr/local/bin/{self.script}"

    @property
    def scheduled(self) -> tuple[str, ...]:
        """The clinics whose report cron makes; the help desk makes the others' when it needs them."""
        return self.clinics[:2]


def plant(p: Planting) -> None:
    """Everything of this lab, from the seed alone."""
    story = _story(p)
    people = _People(p.hospital)
    purged = _plant_leftovers(p, story, people)
    _plant_kept(p, story, people)
    purged = sorted([*purged, *_plant_clinics(p, story, people)])
    _plant_script(p, story)
    _plant_others_files(p, story, people)
    _plant_tickets(p, story)
    _plant_form(p, story, people, purged)


def _story(p: Planting) -> Story:
    rng = p.rng("story")
    incident = rng.randrange(4100, 9800)
    ticket = incident - rng.randrange(60, 300)
    hold = f"LH-2026-{rng.randrange(11, 90)}"
    need = rng.randrange(210, 880)
    reader, lapsed_reader = rng.sample(("mrivera", "sokafor"), 2)
    sites = ("vartmp", "lapsed", "editor", "psql", "core", "held", "needed")
    return Story(
        script=rng.choice(("callback-list", "recall-list", "phone-list", "followup-list")),
        clinics=tuple(rng.sample(CLINICS, 5)),
        change=rng.randrange(2100, 2900),
        approver=f"E-{rng.randrange(1020, 1980)}",
        incident=incident,
        ticket=ticket,
        request=rng.randrange(510, 890),
        hold=hold,
        held_file=rng.choice(
            ("/var/tmp/complaint-{0}.csv", "/home/jbaker/complaint-{0}.csv", "/tmp/for-legal-{0}.csv")
        ).format(rng.randrange(100, 999)),
        need=f"DAR-{need}",
        needed_file=rng.choice(
            ("/tmp/{1}-sample.csv", "/var/tmp/{0}/sample.csv", "/home/{0}/sample.csv")
        ).format(reader, reader[1:]),
        reader=reader,
        lapsed=f"DAR-{need - rng.randrange(20, 90)}",
        lapsed_reader=lapsed_reader,
        vartmp=rng.choice(
            ("/var/tmp/INC-{0}/patients.csv.gz", "/var/tmp/inc{0}-patients.csv.gz", "/srv/INC-{0}.csv.gz")
        ).format(ticket),
        editor=rng.choice(("jbaker", "oyusuf")),
        core=rng.choice(("/var/lib/ehr/core.28114", "/var/tmp/core.28114", "/core.28114")),
        spool=rng.choice(("/tmp/labelq-{:04x}", "/tmp/.labelq-{:04x}", "/var/tmp/labelq-{:04x}")).format(
            rng.randrange(1 << 16)
        ),
        mails_out=rng.random() < 0.5,
        discovered=EPOCH + timedelta(hours=rng.randrange(9, 16), minutes=rng.randrange(5, 55)),
        ages={
            **dict(zip(sites, rng.sample(range(3, 40), len(sites)), strict=True)),
            "tmp": rng.randrange(12, 40),
        },
    )


class _People:
    """Hands out the hospital's patients; no two sites share a name, so that a name found tells its site."""

    def __init__(self, hospital: Hospital) -> None:
        self.hospital = hospital
        self.exposed: set[str] = set()
        self.kinds: set[str] = set()
        self.oldest = EPOCH
        self._names: set[str] = set()
        self._next = 0

    def draw(self, count: int) -> list[Patient]:
        """The next patients whose name nobody else drawn has."""
        chosen: list[Patient] = []
        while len(chosen) < count:
            patient = self.hospital.patient(self._next)
            self._next += 1
            if patient.display not in self._names:
                self._names.add(patient.display)
                chosen.append(patient)
        return chosen

    def expose(self, patients: Iterable[Patient], fields: Iterable[str], when: datetime) -> None:
        """Note what the record asks about files that lie where they should not."""
        self.exposed.update(patient.mrn for patient in patients)
        self.kinds.update(KINDS[name] for name in fields)
        self.oldest = min(self.oldest, when)

    @property
    def test_patient(self) -> Patient:
        """The monitoring's own patient, who is nobody."""
        anybody = self.hospital.patient(0)
        return replace(
            anybody, mrn=TEST_MRN, family="Zztest", given="Heartbeat", dob=date(1900, 1, 1), ssn="", phone=""
        )


KINDS = {
    "mrn": "mrn",
    "family": "name",
    "given": "name",
    "display": "name",
    "dob": "birth-date",
    "ssn": "ssn",
    "phone": "phone",
    "email": "email",
    "member_id": "member-id",
}


def _days_ago(days: int, hour: int = 6, minute: int = 12) -> datetime:
    return EPOCH - timedelta(days=days) + timedelta(hours=hour, minutes=minute)


# --- what the policy lets go ---------------------------------------------------------------------------


def _plant_leftovers(p: Planting, story: Story, people: _People) -> list[str]:
    """Extracts and traces that nobody has a right to keep; returns their paths."""
    rng = p.rng("rows")
    shared = people.draw(3)  # people with several files: counting rows or files counts them twice
    paths = [*_plant_script_leftovers(p, story, people, rng, shared)]
    paths.append(_plant_ticket_extract(p, story, people, rng, shared))
    paths.append(_plant_lapsed(p, story, people, rng))
    paths += _plant_editor_files(p, story, people, shared)
    for site, name, path, who in (
        ("psql", "psql-history", "/home/dnovak/.psql_history", "dnovak"),
        ("core", "core-dump", story.core, "ehr"),
    ):
        patients = people.draw(5)
        when = _days_ago(story.ages[site], 3, 12)
        (artefact,) = writer(name)(Cast(p.hospital, patients, HOST))
        put(p, site, artefact, path=path, owner=who, group=who, mode=0o644, mtime=when)
        people.expose(patients, artefact.fields, when)
        paths.append(path)
    paths.append(_plant_mail(p, story, people))
    return paths


def _rows(rng: random.Random, patients: Iterable[Patient], status: str = "") -> list[str]:
    """Rows as the EHR gives them out, by time."""
    rows = []
    for patient in patients:
        when = f"{rng.randrange(8, 17):02d}:{rng.choice((0, 10, 20, 30, 40, 50)):02d}"
        state = status or rng.choice(("callback", "callback", "arrived", "cancelled"))
        rows.append(
            f"{when},{patient.mrn},{patient.family},{patient.given},{patient.dob},{patient.ssn},"
            f"{patient.phone},{state}"
        )
    return sorted(rows)


def _csv(rows: Iterable[str], heading: str = "") -> bytes:
    return "".join(f"{row}\n" for row in ([heading] if heading else []) + list(rows)).encode()


HEADING = "time,mrn,family,given,dob,ssn,phone,status"


def _plant_script_leftovers(
    p: Planting, story: Story, people: _People, rng: random.Random, shared: list[Patient]
) -> list[str]:
    """What the script left of a list that the help desk once asked for."""
    patients = [*shared, *people.draw(7)]
    rows = _rows(rng, patients, "callback")
    test = f"23:59,{TEST_MRN},Zztest,Heartbeat,1900-01-01,,,arrived"
    return _left_by_script(
        p, story, people, "tmp", patients, [*rows, test], _days_ago(story.ages["tmp"], 13, 5)
    )


def _left_by_script(  # noqa: PLR0913, PLR0917 - the facts of one run
    p: Planting,
    story: Story,
    people: _People,
    site: str,
    patients: list[Patient],
    rows: list[str],
    when: datetime,
) -> list[str]:
    """The EHR's rows and the list made of them, as the script leaves them for a clinic."""
    clinic = story.clinics[2] if site == "tmp" else story.clinics[when.minute % 10]
    lines = report_lines(rows)
    listed = [patient for patient in patients if patient.mrn in "".join(lines)]
    paths = []
    for kind, content, those, fields in (
        ("rows", _csv(rows), patients, EXTRACTED),
        ("list", _csv(lines), listed, LISTED),
    ):
        path = f"/tmp/{story.script}-{clinic}.{kind}"
        p.file(path, content, owner="reports", group="reports", mode=0o644, mtime=when)
        p.planted(site, path, those, fields)
        people.expose(those, fields, when)
        paths.append(path)
    return paths


def _plant_ticket_extract(
    p: Planting, story: Story, people: _People, rng: random.Random, shared: list[Patient]
) -> str:
    """What a colleague put aside for a ticket, packed."""
    patients = [*shared[:2], *people.draw(6)]
    when = _days_ago(story.ages["vartmp"], 15, 40)
    folder = str(Path(story.vartmp).parent)
    if folder.endswith(str(story.ticket)):
        p.directory(folder, owner="dnovak", group="dnovak", mtime=when)
    content = gzip.compress(_csv(_rows(rng, patients), HEADING), mtime=0)
    p.file(story.vartmp, content, owner="dnovak", group="dnovak", mtime=when)
    p.planted("vartmp", story.vartmp, patients, EXTRACTED)
    people.expose(patients, EXTRACTED, when)
    return story.vartmp


def _plant_lapsed(p: Planting, story: Story, people: _People, rng: random.Random) -> str:
    """An extract whose approval is over."""
    patients = people.draw(6)
    when = _days_ago(story.ages["lapsed"], 10, 5)
    who = story.lapsed_reader
    folder = f"/home/{who}/projects"
    p.directory(folder, owner=who, group=who, mtime=when)
    path = f"{folder}/{story.lapsed.lower()}.csv"
    p.file(path, _csv(_rows(rng, patients), HEADING), owner=who, group=who, mtime=when)
    p.planted("lapsed", path, patients, EXTRACTED)
    people.expose(patients, EXTRACTED, when)
    return path


def _plant_editor_files(p: Planting, story: Story, people: _People, shared: list[Patient]) -> list[str]:
    """vim's swap file and the backup of a list that somebody worked on; the list itself is gone."""
    patients = [shared[2], *people.draw(5)]
    who, when = story.editor, _days_ago(story.ages["editor"], 14, 31)
    lines = [
        "# to call back, delete when done",
        *("|".join(str(text) for text in patient.texts(NOTED).values()) for patient in patients),
    ]
    edited = f"/home/{who}/notes/calls.txt"
    p.directory(f"/home/{who}/notes", owner=who, group=who, mtime=when)
    swap = b"".join(swap_file(lines, edited, user=who, host=HOST, when=when))
    paths = []
    for path, content, mode in (
        (f"/home/{who}/notes/.calls.txt.swp", swap, 0o600),
        (f"{edited}~", _csv(lines), 0o644),
    ):
        p.file(path, content, owner=who, group=who, mode=mode, mtime=when)
        p.planted("editor", path, patients, NOTED)
        paths.append(path)
    people.expose(patients, NOTED, when)
    return paths


def _plant_mail(p: Planting, story: Story, people: _People) -> str:
    """What cron mailed to the account that runs the script: all that the script said."""
    patients = people.draw(6)
    mailbox, when = "", EPOCH
    for number, clinic in enumerate((*story.scheduled, story.scheduled[0])):
        when = _days_ago(5 - number, 6, 10 + number % 2)  # Wednesday to Friday
        said = [f"no phone number: {who.display} {who.mrn}" for who in patients[number * 2 : number * 2 + 2]]
        headers = (
            ("From", f"root@{DOMAIN} (Cron Daemon)"),
            ("To", f"reports@{DOMAIN}"),
            ("Subject", f"Cron <reports@{HOST}> {story.path} {clinic}"),
            ("Date", mail_date(when)),
        )
        mailbox += mbox_entry(f"root@{DOMAIN}", when, plain_message(headers, "\n".join(said)))
    path = "/var/mail/reports"
    p.file(path, mailbox.encode(), owner="reports", group="mail", mode=0o644, mtime=when)
    p.planted("mail", path, patients, MAILED)
    people.expose(patients, MAILED, when)
    return path


# --- what must stay ------------------------------------------------------------------------------------


def _plant_kept(p: Planting, story: Story, people: _People) -> None:
    """The extract under legal hold, and the one that a colleague has an approval for."""
    rng = p.rng("kept")
    for site, path, who, count in (
        ("held", story.held_file, "jbaker", 8),
        ("needed", story.needed_file, story.reader, 7),
    ):
        patients = people.draw(count)
        when = _days_ago(story.ages[site], 11, 20)
        if str(Path(path).parent) == f"/var/tmp/{who}":
            p.directory(str(Path(path).parent), owner=who, group=who, mtime=when)
        content = _csv(_rows(rng, patients), HEADING)
        p.file(path, content, owner=who, group=who, mode=0o644, mtime=when)
        p.planted(site, path, patients, EXTRACTED)
        people.expose(patients, EXTRACTED, when)
        p.fact(f"{site}_content", content.decode())
        p.fact(f"{site}_path", path)
    p.fact("held_place", f"{HOLDS}/{story.hold}")
    p.fact("needed_place", f"{APPROVED}/{story.need}")
    p.fact("reader", story.reader)


def _plant_others_files(p: Planting, story: Story, people: _People) -> None:
    """What looks like PHI and is not, beside it; and the label queue, which is at work."""
    rng = p.rng("others")
    decoys: dict[str, str] = {}

    def other(path: str, content: bytes, who: str, mode: int = 0o644) -> None:
        p.file(path, content, owner=who, group=who, mode=mode, mtime=_days_ago(rng.randrange(3, 30), 9, 50))
        decoys[path] = content.hex()

    (orders,) = writer("decoys")(Cast(p.hospital, []))
    other("/tmp/device_orders.csv", orders.content, "jbaker")
    rota = [
        f"{day} nights {rng.choice(('Yusuf', 'Baker'))} 000-55-{rng.randrange(9999):04d}" for day in "MTWTF"
    ]
    swap = swap_file(rota, "/home/jbaker/rota.txt", user="jbaker", host=HOST, when=_days_ago(1))
    other("/home/jbaker/rota.txt", _csv(rota[:3]), "jbaker")
    other("/home/jbaker/.rota.txt.swp", b"".join(swap), "jbaker", 0o600)
    samples = [
        f"{number},SAMPLE,Vendor,{lot_number(rng.randrange(10**6))}"
        for number in engulfing(sorted(people.exposed))
    ]
    other("/var/tmp/vendor-samples.csv", _csv(samples[:20]), "dnovak")
    other(
        "/home/dnovak/core.txt", b"core files: see the vendor's page; MRN 12345 is their example\n", "dnovak"
    )

    p.file(
        "/etc/labelq.conf",
        f"# Where the label queue works: its vendor wants it on the same disk.\nspool={story.spool}\n",
    )
    p.directory(story.spool, owner="labelq", group="labelq", mtime=_days_ago(1))
    waiting = [
        f"2026-03-02 {rng.randrange(9, 16):02d}:{rng.randrange(60):02d}:07 w{rng.randrange(1, 7)} "
        f"SPEC {order_number(rng.randrange(10**9))} LOT {lot_number(rng.randrange(10**6))} "
        f"{serial_number(rng.randrange(10**9))}"
        for _ in range(9)
    ]
    p.file(f"{story.spool}/waiting", _csv(sorted(waiting)), owner="labelq", group="labelq", mtime=TAKE_OVER)
    p.fact("decoys", decoys)
    p.fact("spool", story.spool)
    p.fact("waiting", sorted(waiting))


# --- the EHR's register, the reports, and the script ---------------------------------------------------


def _plant_clinics(p: Planting, story: Story, people: _People) -> list[str]:
    """The register, the reports of today, and what this morning's runs left; returns the paths of that."""
    rng = p.rng("clinics")
    left: list[str] = []
    register: list[str] = []
    reports: dict[str, list[str]] = {}
    for number, clinic in enumerate(story.clinics):
        patients = people.draw(8)
        rows = _rows(rng, patients)
        rows[0] = ",".join([*rows[0].split(",")[:7], "callback"])
        register += [f"{clinic}\t" + row.replace(",", "\t") for row in rows]
        lines = report_lines(rows)
        reports[clinic] = lines
        path = f"{REPORTS}/{clinic}.csv"
        listed = [patient for patient in patients if patient.mrn in "".join(lines)]
        made = _days_ago(0, 6, 10 + number)
        p.file(path, _csv(lines), owner="reports", group="helpdesk", mode=0o640, mtime=made)
        p.planted("register", REGISTER, patients, EXTRACTED)
        p.planted("reports", path, listed, LISTED)
        if clinic in story.scheduled:
            left += _left_by_script(p, story, people, "today", patients, rows, made)
    p.directory(REPORTS, owner="reports", group="helpdesk", mode=0o2750)
    content = "# clinic, time, mrn, family, given, dob, ssn, phone, status\n" + "".join(
        f"{row}\n" for row in register
    )
    p.file(REGISTER, content, owner="ehr", group="ehr", mode=0o600, mtime=_days_ago(0, 5, 30))
    p.fact("register", content)
    p.fact("reports", reports)
    p.fact("clinics", list(story.clinics))
    fresh = {}
    for trial in TRIALS:
        patients = people.draw(4)
        p.planted("fresh", REGISTER, patients, EXTRACTED)
        fresh[trial] = [{name: str(who.text(name)) for name in EXTRACTED} for who in patients]
    p.fact("fresh", fresh)
    return left


def report_lines(rows: Iterable[str]) -> list[str]:
    """The report that belongs to an EHR list."""
    listed = []
    for row in rows:
        when, mrn, family, given, _dob, _ssn, phone, status = row.split(",")
        if status == "callback" and phone:
            listed.append(f"{when};{mrn};{family.upper()}, {given};{phone}")
    return ["time;mrn;name;phone", *sorted(listed)]


def _plant_script(p: Planting, story: Story) -> None:
    changed = _days_ago(story.ages["tmp"] + 1, 14, 20)
    text = (PLANTED / "script.sh").read_text(encoding="utf-8")
    for blank, value in (("@name@", story.script), ("@change@", f"CHG-{story.change}")):
        text = text.replace(blank, value)
    p.file(story.path, text, mode=0o755, mtime=changed)
    lines = [
        "# The help desk's lists for the clinics that want one every day; reports gets what is said.",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "MAILTO=reports",
        *(f"{10 + n} 6 * * 1-5 reports {story.path} {clinic}" for n, clinic in enumerate(story.scheduled)),
    ]
    p.file(f"/etc/cron.d/{story.script}", "\n".join(lines) + "\n", mtime=changed)
    why = "# The help desk makes the list of a clinic when it needs one."
    rule = f"%helpdesk ALL=(reports) NOPASSWD: {story.path}"
    p.file("/etc/sudoers.d/helpdesk", f"{why}\n{rule}\n", mode=0o440, mtime=changed)
    p.fact("script", story.path)
    p.fact("scheduled", list(story.scheduled))
    p.variable("script", story.path)
    p.variable("script_name", story.script)
    p.variable("clinics", list(story.clinics))


# --- tickets and the form ------------------------------------------------------------------------------


def _plant_tickets(p: Planting, story: Story) -> None:
    words = _ticket_words(p, story)
    for kind in ("approvals", "changes", "holds", "incidents", "requests"):
        folder = f"{RECORDS}/{kind}"
        p.directory(folder)
        for template in sorted((PLANTED / kind).glob("*.txt")):
            if template.name.endswith(".mail.txt" if not story.mails_out else ".delete.txt"):
                continue
            name = template.name.format_map(words).replace(".mail.txt", ".txt").replace(".delete.txt", ".txt")
            text = template.read_text(encoding="utf-8").format_map(words)
            p.file(f"{folder}/{name}", text, mtime=EPOCH)


NAMES = {"mrivera": "M. Rivera", "sokafor": "S. Okafor", "jbaker": "J. Baker", "oyusuf": "O. Yusuf"}


def _ticket_words(p: Planting, story: Story) -> dict[str, object]:
    def day(days_ago: int) -> str:
        return (EPOCH.date() - timedelta(days=days_ago)).isoformat()

    introduced = story.ages["tmp"] + 1
    return {
        "organisation": p.organisation.covered_entity.short_name,
        "party": p.organisation.party(p.entity).short_name,
        "policy": p.organisation.policy(p.lab.policy),
        "script": story.script,
        "change": story.change,
        "change_before": story.change - 31,
        "change_later": story.change + 12,
        "approver": story.approver,
        "other_approver": f"E-{int(story.approver[2:]) + 17}",
        "asked": day(introduced + 3),
        "approved": day(introduced + 1),
        "implemented": day(introduced),
        "before": day(introduced + 25),
        "later": day(max(introduced - 2, 1)),
        "incident": story.incident,
        "ticket": story.ticket,
        "ticket_day": day(story.ages["vartmp"]),
        "request": story.request,
        "discovered": f"{story.discovered:%Y-%m-%d %H:%M}",
        "today": EPOCH.date().isoformat(),
        "hold": story.hold,
        "held_name": Path(story.held_file).name,
        "held_day": day(max(story.ages["held"] - 1, 0)),
        "need": story.need,
        "needed_name": Path(story.needed_file).name,
        "needed_day": day(story.ages["needed"]),
        "reader": story.reader,
        "reader_name": NAMES[story.reader],
        "lapsed": story.lapsed,
        "lapsed_reader": story.lapsed_reader,
        "lapsed_name": NAMES[story.lapsed_reader],
        "lapsed_from": day(story.ages["lapsed"] + 30),
        "lapsed_until": day(2),
        "spool": story.spool,
    }


def _plant_form(p: Planting, story: Story, people: _People, purged: list[str]) -> None:
    text = (
        (PLANTED / "exposure-report.yml")
        .read_text(encoding="utf-8")
        .format(
            policy=p.organisation.policy(p.lab.policy),
            request=f"REQ-{story.request}",
            incident=f"INC-{story.incident}",
        )
    )
    p.file(f"{RECORDS}/exposure-report.yml", text, owner="itops", group="itops", mtime=EPOCH)
    deadline = story.discovered + timedelta(hours=p.organisation.notify_hours(p.entity))
    answers = {
        "systems": [HOST],
        "identifier_kinds": sorted(people.kinds),
        "people": len(people.exposed),
        "oldest_file": people.oldest.date().isoformat(),
        "who_could_read": "every-account",
        "caused_by_change": f"CHG-{story.change}",
        "change_approved_by": story.approver,
        "repaired": story.path,
        "purged": purged,
        "hold": story.hold,
        "held_file": story.held_file,
        "approval": story.need,
        "needed_file": story.needed_file,
        "needed_by": story.reader,
        "checks_done": [
            "others-refused",
            "report-delivered",
            "run-error",
            "run-killed",
            "run-normal",
            "run-terminated",
        ],
        "notify": "privacy-officer" if p.entity == "ce" else "covered-entity",
        "notify_by": f"{deadline:%Y-%m-%d %H:%M}",
        "request_decision": "refuse" if story.mails_out else "escalate",
    }
    for name, value in answers.items():
        p.answer(name, value)
    p.variable("request_ticket", f"REQ-{story.request}")
    p.variable("incident_ticket", f"INC-{story.incident}")
