"""Plants the EHR's patients and access logs, what leaves them open, and the tickets that tell the story."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from phi_fixtures import EPOCH
from phi_fixtures.people import Hospital, Patient
from phi_fixtures.writers.ehr_log import lookup_line, write_log

if TYPE_CHECKING:
    from phi_labs.lifecycle.plant import Planting

HOST = "ehr1"
OLD_HOST = "ehr0"
LOG = "/var/log/ehr/access.log"
TAKE_OVER = EPOCH + timedelta(hours=17)  # planted lines end here: the moment the trainee gets the machine
LOGGED = ("mrn", "display", "dob")  # what one line of the log says about a patient
PER_DAY = {"today": 12, "yesterday": 9, "compressed": 6, "copy": 8}  # patients in one day's log
CANARIES = 8  # patients whom nobody looked up yet: the checks do
TEST_MRN = "0000000000"
PLANTED = Path(__file__).parent / "planted"  # the tickets and the empty form, with blanks for the story


@dataclass(frozen=True)
class Story:
    """What differs between trainees beside the people: tickets, days, and who left what behind."""

    change: int
    incident: int
    request: int
    approver: str
    opened: date
    days: int
    discovered: datetime
    copy: str
    sudo_user: str
    sudo_command: str


def plant(p: Planting) -> None:
    """Everything of this lab, from the seed alone."""
    story = _story(p)
    people = _People(p.hospital)
    _plant_logs(p, story, people)
    _plant_database(p, people)
    _plant_generators(p, story)
    _plant_sudo_rule(p, story)
    _plant_tickets(p, story)
    _plant_form(p, story, people)


def _story(p: Planting) -> Story:
    rng = p.rng("story")
    incident = rng.randrange(4100, 9800)
    return Story(
        change=rng.randrange(2100, 2900),
        incident=incident,
        request=rng.randrange(510, 890),
        approver=f"E-{rng.randrange(1020, 1980)}",
        opened=(EPOCH - timedelta(days=rng.randrange(3, 7))).date(),
        days=min(rng.randrange(8, 11), max(p.organisation.retention_days - 1, 2)),
        discovered=EPOCH + timedelta(hours=rng.randrange(9, 16), minutes=rng.randrange(5, 55)),
        copy=rng.choice(
            (
                f"/srv/support/INC-{incident}/ehr-access.log",
                f"/var/tmp/INC-{incident}.access.log.bak",
                f"/usr/local/share/inc-{incident}/access.log.gz",
            )
        ),
        sudo_user=rng.choice(("jbaker", "oyusuf")),
        sudo_command=rng.choice(
            (
                "/usr/bin/less /var/log/ehr/*",
                "/usr/bin/tail -n * /var/log/ehr/*",
                "/usr/bin/zcat -f /var/log/ehr/*",
            )
        ),
    )


class _People:
    """Hands out the hospital's patients, each to one site: a name found tells where it came from."""

    def __init__(self, hospital: Hospital) -> None:
        self.hospital = hospital
        self.drawn: list[Patient] = []
        self.logged: set[str] = set()
        self.lines: list[str] = []
        self._site_of: dict[str, str] = {}
        self._next = 0

    def draw(self, site: str, count: int) -> list[Patient]:
        """The next patients whose name no other site has; within a site namesakes stay."""
        chosen: list[Patient] = []
        while len(chosen) < count:
            patient = self.hospital.patient(self._next)
            self._next += 1
            if self._site_of.setdefault(patient.display, site) == site:
                chosen.append(patient)
        self.drawn += chosen
        return chosen

    @property
    def test_patient(self) -> Patient:
        """The monitoring's own patient, who is nobody."""
        anybody = self.hospital.patient(0)
        return replace(anybody, mrn=TEST_MRN, family="Zztest", given="Heartbeat", dob=date(1900, 1, 1))


# --- logs ----------------------------------------------------------------------------------------------


def _plant_logs(p: Planting, story: Story, people: _People) -> None:
    today = EPOCH.date()
    _plant_log(p, people, "today", LOG, today)
    _plant_log(p, people, "yesterday", f"{LOG}.1", today - timedelta(days=1))
    for number in range(2, story.days + 1):
        _plant_log(p, people, "compressed", f"{LOG}.{number}.gz", today - timedelta(days=number))
    # From the machine before this one: nothing of it is in the logs here.
    if not story.copy.startswith("/var/tmp/"):
        p.directory(str(Path(story.copy).parent))
    _plant_log(p, people, "copy", story.copy, today - timedelta(days=41), host=OLD_HOST, group="root")


def _plant_log(  # noqa: PLR0913 - the facts of one file
    p: Planting, people: _People, site: str, path: str, day: date, *, host: str = HOST, group: str = "adm"
) -> None:
    patients = people.draw(site, PER_DAY[site])
    lines = _lines(people, day, host, patients)
    text = "".join(f"{line}\n" for line in lines).encode()
    seen = [patient for patient in patients if f" mrn={patient.mrn} ".encode() in text]
    people.logged.update(patient.mrn for patient in seen)
    content = gzip.compress(text, mtime=0) if path.endswith(".gz") else text
    end = min(datetime(day.year, day.month, day.day, 23, 59, tzinfo=EPOCH.tzinfo), TAKE_OVER)
    p.file(path, content, owner="root", group=group, mode=0o644, mtime=end)
    p.planted(site, path, seen, LOGGED)
    if site != "copy":
        people.lines += lines


def _lines(people: _People, day: date, host: str, patients: list[Patient]) -> list[str]:
    """One day's lines until the take-over: clinicians' look-ups and the EHR's self-tests, every six hours."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=EPOCH.tzinfo)
    lines = write_log(day, people.hospital, patients, host=host).decode().splitlines()
    lines += [
        lookup_line(
            midnight + timedelta(hours=hour), host, 812, "ehr.selftest", people.test_patient, "selftest"
        )
        for hour in range(0, 24, 6)
    ]
    end = TAKE_OVER.strftime("%H:%M:%S") if day == TAKE_OVER.date() else "24"
    clock = slice(len("Mar  2 "), len("Mar  2 09:14:07"))
    return sorted((line for line in lines if line[clock] < end), key=lambda line: line[clock])


def _plant_database(p: Planting, people: _People) -> None:
    canaries = people.draw("canaries", CANARIES)
    rows = sorted(_row(patient) for patient in [people.test_patient, *people.drawn])
    p.file(
        "/var/lib/ehr/patients.tsv", "".join(rows).encode(), owner="ehr", group="ehr", mode=0o600, mtime=EPOCH
    )
    p.fact("lines", people.lines)
    p.fact("database", "/var/lib/ehr/patients.tsv")
    p.fact(
        "canaries",
        [{"mrn": c.mrn, "display": c.display, "dob": c.dob.isoformat()} for c in canaries],
    )


def _row(patient: Patient) -> str:
    return f"{patient.mrn}\t{patient.family.upper()}\t{patient.given}\t{patient.dob.isoformat()}\n"


# --- what leaves them open -----------------------------------------------------------------------------


def _plant_generators(p: Planting, story: Story) -> None:
    changed = datetime(story.opened.year, story.opened.month, story.opened.day, 14, 20, tzinfo=EPOCH.tzinfo)
    rsyslog = f"""\
# The EHR logs every look-up to facility local3. Nothing of it may go to the general logs.
# CHG-{story.change}: mode opened for the monitoring agent.
local3.* action(type="omfile" file="{LOG}" template="RSYSLOG_TraditionalFileFormat"
                fileOwner="root" fileGroup="adm" fileCreateMode="0644")
& stop
"""
    logrotate = f"""\
{LOG} {{
    daily
    rotate {p.organisation.retention_days}
    compress
    delaycompress
    missingok
    notifempty
    # CHG-{story.change}
    create 0644 root adm
    postrotate
        /usr/lib/rsyslog/rsyslog-rotate
    endscript
}}
"""
    p.file("/etc/rsyslog.d/30-ehr.conf", rsyslog.encode(), mode=0o644, mtime=changed)
    p.file("/etc/logrotate.d/ehr", logrotate.encode(), mode=0o644, mtime=changed)


def _plant_sudo_rule(p: Planting, story: Story) -> None:
    rule = f"""\
# INC-{story.incident}: look at the EHR log while the old server is moved. Remove afterwards.
{story.sudo_user} ALL=(root) NOPASSWD: {story.sudo_command}
"""
    p.file(
        f"/etc/sudoers.d/inc-{story.incident}", rule.encode(), mode=0o440, mtime=EPOCH - timedelta(days=40)
    )


# --- tickets and the form ------------------------------------------------------------------------------


def _plant_tickets(p: Planting, story: Story) -> None:
    words = _ticket_words(p, story)
    for kind in ("changes", "incidents", "requests"):
        folder = f"/srv/records/{kind}"
        p.directory(folder)
        for template in sorted((PLANTED / kind).glob("*.txt")):
            text = template.read_text(encoding="utf-8").format_map(words)
            p.file(f"{folder}/{template.name.format_map(words)}", text.encode(), mode=0o644, mtime=EPOCH)


def _ticket_words(p: Planting, story: Story) -> dict[str, object]:
    def day(offset: int) -> str:
        return (story.opened + timedelta(days=offset)).isoformat()

    go_live = EPOCH.date() - timedelta(days=story.days)
    return {
        "organisation": p.organisation.covered_entity.short_name,
        "party": p.organisation.party(p.entity).short_name,
        "policy": p.organisation.policy(p.lab.policy),
        "change": story.change,
        "change_before": story.change - 23,
        "change_later": story.change + 9,
        "change_last": story.change + 14,
        "incident": story.incident,
        "incident_now": story.incident + 41,
        "request": story.request,
        "approver": story.approver,
        "other_approver": f"E-{int(story.approver[2:]) + 17}",
        "asked": day(-4),
        "approved": day(-2),
        "opened": day(0),
        "day_after": day(1),
        "go_live": go_live.isoformat(),
        "go_live_approved": (go_live - timedelta(days=3)).isoformat(),
        "old_incident_day": (EPOCH.date() - timedelta(days=40)).isoformat(),
        "sudo_user": story.sudo_user,
        "discovered": f"{story.discovered:%Y-%m-%d %H:%M}",
        "today": EPOCH.date().isoformat(),
        "retention_days": p.organisation.retention_days,
    }


def _plant_form(p: Planting, story: Story, people: _People) -> None:
    text = (
        (PLANTED / "exposure-report.yml")
        .read_text(encoding="utf-8")
        .format(policy=p.organisation.policy(p.lab.policy), request=f"REQ-{story.request}")
    )
    p.file("/srv/records/exposure-report.yml", text.encode(), owner="itops", group="itops", mtime=EPOCH)
    deadline = story.discovered + timedelta(hours=p.organisation.notify_hours(p.entity))
    answers = {
        "systems": [HOST],
        "identifier_kinds": ["birth-date", "mrn", "name"],
        "people": len(people.logged),
        "exposed_since": story.opened.isoformat(),
        "who_could_read": "every-account",
        "caused_by_change": f"CHG-{story.change}",
        "change_approved_by": story.approver,
        "generators_repaired": ["logrotate", "rsyslog"],
        "stray_copies": [story.copy],
        "sudo_rule_of": story.sudo_user,
        "checks_done": ["next-files", "others-refused", "reviewer-reads"],
        "notify": "privacy-officer" if p.entity == "ce" else "covered-entity",
        "notify_by": f"{deadline:%Y-%m-%d %H:%M}",
        "request_decision": "escalate",
    }
    for name, value in answers.items():
        p.answer(name, value)
    p.variable("request_ticket", f"REQ-{story.request}")
    p.variable("incident_ticket", f"INC-{story.incident + 41}")
