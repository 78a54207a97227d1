"""Plants the shared account's key, password and rules, people's own keys, and what tickets tell."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from phi_fixtures import EPOCH

if TYPE_CHECKING:
    import random

    from phi_fixtures.people import Patient
    from phi_labs.lifecycle.plant import Planting

HOST = "app1"
SHARED = "ehradm"
HOME = "/var/lib/ehr"
PEOPLE = {
    "pnovak": "P. Novak",
    "smensah": "S. Mensah",
    "jtanaka": "J. Tanaka",
    "rdiaz": "R. Diaz",
    "klind": "K. Lind",
    "tbauer": "T. Bauer",
}
DUTIES = ("on-call", "accounts", "reports", "deputy")
# Passwords that people choose, and their hashes as crypt(3) makes them.
PASSWORDS = {
    "Herbst2024-Visite": "$6$Hkq7RtW$Deuwhjn3TTZ7pXCnFojHkgSL2cn0fexTw8nt00oMM9aKi1DXYb3uqeZI9nxGr2IpD7SisnumPZ1T3MtKxSi/v1",  # noqa: E501
    "Mercy!EHR-night7": "$6$Mkq7RtW$m2qgiGvU1UQXY3l7fT8FF4Ja9L6/v4RNCL8v6iZHI/fiagvJJj1/qRlwj0IZkh7mXBD7ky9E0LgJFqNwKYWNN/",  # noqa: E501
    "ehradm#Rounds22": "$6$ekq7RtW$G6ARXV0ruSb6mFGa2.cAn/dwa.sP9YByKDtpBD5xuEqnqi9guslG/mqYnnXhfFqG6TJVkN6yKIAX1C3WdqU3L1",  # noqa: E501
    "Valley-Ward-0417": "$6$Vkq7RtW$LuaG2iTsN4KhiJhjmK25rzSaWg.UYl0rZbRz0iaWkUfsW3Gce2P5nSa4N2ciAzyIwmEx1Qicae1.cuBe1WuSR.",  # noqa: E501
    "app1-Go-Live-88": "$6$akq7RtW$kBBmQhC/PK.VSXbx/XqqhysiuEnTqyKfhFWTKXQPcNA/XI0eOGeGxblUnVcTVIJsv8UCmoQHnSK70cDBhlx870",  # noqa: E501
    "Bleak.Morning.31": "$6$Bkq7RtW$LEVwxKGLcsegSGFHKTydzyENB6P5vA.TAq2fFEuLnfv5P9sUlxhhMrDA/TNKdFhHtM64g7.SckJewPy5.Nqy.0",  # noqa: E501
}
KNEW = "Key and password handed over on a slip of paper."
KNEW_NOT = "No key and no password until the new list is approved; works beside a colleague until then."
FIRST_KEY_FILE = f"{HOME}/.ssh/authorized_keys"
# Where somebody put the shared key a second time, and what sshd was told for it.
SECOND_KEY_FILES = (
    "/root/.ssh/authorized_keys",
    f"{HOME}/.ssh/authorized_keys2",
    "/etc/ssh/admin-keys/ehradm",
)
PRIVATE_COPIES = (
    "/usr/local/share/support/ehradm.key",
    "/root/ehradm_ed25519",
    "/var/backups/ehr/id_ed25519",
)
LOGGED_DAYS = 21
TEST_MRN = "0000000000"
CANARIES = 3  # patients whom the checks look up
PLANTED = Path(__file__).parent / "planted"  # the tickets and the empty form, with blanks for the story


@dataclass(frozen=True)
class Story:
    """What differs between trainees: who has which duty, what stands where, tickets and days."""

    duties: dict[str, str]
    leaver: str
    supplier: str
    password: str
    second_key_file: str
    private_copy: str
    change: int
    incident: int
    request: int
    request_kind: str
    approver: str
    owner: str
    shared_since: date
    unlogged_since: date
    discovered: datetime
    patients: int
    fourth_knew: bool

    @property
    def admins(self) -> list[str]:
        """The four on the authorisation list."""
        return list(self.duties)

    @property
    def known_to(self) -> list[str]:
        """Everybody who was given the shared password or key."""
        knew = self.admins if self.fourth_knew else self.admins[:3]
        return sorted([*knew, *self.outsiders])

    @property
    def outsiders(self) -> list[str]:
        """Those whose key lies there and who get no account."""
        return [self.leaver, self.supplier]


def plant(p: Planting) -> None:
    """Everything of this lab, from the seed alone."""
    story = _story(p)
    _plant_patients(p, story)
    _plant_password(p, story)
    _plant_keys(p, story)
    _plant_rules(p, story)
    _plant_jobs(p)
    unattributed = _plant_auth_logs(p, story)
    _plant_tickets(p, story)
    _plant_form(p, story, unattributed)
    _note_for_checks(p, story)
    _note_for_brief(p, story)


def _story(p: Planting) -> Story:
    rng = p.rng("story")
    people = rng.sample(sorted(PEOPLE), len(PEOPLE))
    return Story(
        duties=dict(zip(people[:4], DUTIES, strict=True)),
        leaver=people[4],
        supplier=people[5],
        password=rng.choice(list(PASSWORDS)),
        second_key_file=rng.choice(SECOND_KEY_FILES),
        private_copy=rng.choice(PRIVATE_COPIES),
        change=rng.randrange(1200, 1900),
        incident=rng.randrange(4100, 9800),
        request=rng.randrange(510, 890),
        request_kind=rng.choice(("password", "account")),
        approver=f"E-{rng.randrange(1020, 1980)}",
        owner=f"E-{rng.randrange(2020, 2980)}",
        shared_since=(EPOCH - timedelta(days=rng.randrange(310, 690))).date(),
        unlogged_since=(EPOCH - timedelta(days=rng.randrange(4, 13))).date(),
        discovered=EPOCH + timedelta(hours=rng.randrange(9, 16), minutes=rng.randrange(5, 55)),
        patients=rng.randrange(38, 67),
        fourth_knew=rng.random() < 0.5,
    )


# --- the application and its data ----------------------------------------------------------------------


def _plant_patients(p: Planting, story: Story) -> None:
    patients = [p.hospital.patient(number) for number in range(story.patients)]
    canaries = [p.hospital.patient(story.patients + number) for number in range(CANARIES)]
    rows = [f"{TEST_MRN}\tZZTEST\tHeartbeat\t1900-01-01\n", *map(_row, [*patients, *canaries])]
    path = f"{HOME}/patients.tsv"
    p.file(path, "".join(sorted(rows)), owner=SHARED, group=SHARED, mode=0o600)
    p.planted("database", path, [*patients, *canaries], ("mrn", "display", "dob"))
    p.fact("database", path)
    p.fact("database_sha256", hashlib.sha256("".join(sorted(rows)).encode()).hexdigest())
    p.fact("canaries", [patient.mrn for patient in canaries])


def _row(patient: Patient) -> str:
    return f"{patient.mrn}\t{patient.family.upper()}\t{patient.given}\t{patient.dob.isoformat()}\n"


def _plant_jobs(p: Planting) -> None:
    p.file(
        "/etc/cron.d/ehr-report",
        """\
# The morning report of filed orders, for the laboratory's front desk.
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
30 5 * * *   root   su - ehradm -c /usr/local/bin/ehr-report
""",
    )
    p.file(
        f"/var/spool/cron/crontabs/{SHARED}",
        """\
# The laboratory's orders, every ten minutes.
*/10 * * * * /usr/local/bin/ehr-queue
""",
        owner=SHARED,
        group="crontab",
        mode=0o600,
    )
    orders = [f"LAB-{p.rng('orders').randrange(10000, 90000) + number}" for number in range(4)]
    for order in orders:
        path = f"/var/spool/ehr/done/{order}.ord"
        p.file(path, f"{order} CBC, fasting\n", owner=SHARED, group=SHARED, mode=0o640)
    p.file(
        f"{HOME}/reports/orders.txt",
        "".join(f"{order}\n" for order in sorted(orders)),
        owner=SHARED,
        group=SHARED,
        mode=0o640,
    )
    p.fact("orders", orders)


# --- the shared credential -----------------------------------------------------------------------------


def _plant_password(p: Planting, story: Story) -> None:
    """The shared account's password, the same that everybody has been told."""
    rows = [
        f"{name}:{PASSWORDS[story.password] if name == SHARED else '*'}:20000:0:99999:7:::\n"
        for name in p.accounts[HOST].users
    ]
    p.file("/etc/shadow", "".join(rows), group="shadow", mode=0o640)


def _plant_keys(p: Planting, story: Story) -> None:
    shared = p.key_pair("shared administrator key")
    line = f"{_blob(shared.public)} ehr-admins@{HOST}\n"
    p.directory(f"{HOME}/.ssh", owner=SHARED, group=SHARED, mode=0o700)
    p.file(FIRST_KEY_FILE, line, owner=SHARED, group=SHARED, mode=0o600)
    p.file(f"{HOME}/.ssh/id_ed25519", shared.private, owner=SHARED, group=SHARED, mode=0o600)
    p.file(f"{HOME}/.ssh/id_ed25519.pub", line, owner=SHARED, group=SHARED, mode=0o644)
    _plant_second_key_file(p, story, line)
    if not story.private_copy.startswith("/root/"):
        p.directory(str(Path(story.private_copy).parent))
    p.file(story.private_copy, shared.private, mode=0o600)
    p.directory("/srv/records/keys")
    number = p.rng("workstations").randrange(1010, 1900)
    for index, user in enumerate(sorted(PEOPLE)):
        at = "halden-laptop" if user == story.supplier else f"ws-{number + 7 * index}"
        p.file(f"/srv/records/keys/{user}.pub", f"{_blob(p.public_key(user))} {user}@{at}\n")
    # The laboratory's analyser has a key of its own that can do one thing.
    feed = f'command="/usr/local/bin/lab-drop",restrict {_blob(p.public_key("labfeed"))} analyser-2\n'
    p.file("/home/labfeed/.ssh/authorized_keys", feed, owner="labfeed", group="labfeed", mode=0o600)
    p.fact("shared_key", {"private": shared.private, "blob": shared.public.split()[1]})


def _plant_second_key_file(p: Planting, story: Story, line: str) -> None:
    path = story.second_key_file
    owner = SHARED if path.startswith(HOME) else "root"
    if owner == "root":
        p.directory(str(Path(path).parent), mode=0o700 if path.startswith("/root/") else 0o755)
    p.file(path, line, owner=owner, group=owner, mode=0o644 if path.startswith("/etc/") else 0o600)


def _blob(public: str) -> str:
    """Kind and key, without the comment."""
    return " ".join(public.split()[:2])


def _plant_rules(p: Planting, story: Story) -> None:
    changed = datetime(
        story.unlogged_since.year,
        story.unlogged_since.month,
        story.unlogged_since.day,
        11,
        5,
        tzinfo=EPOCH.tzinfo,
    )
    p.file(
        "/etc/sudoers.d/ehr-admins",
        f"""\
# CHG-{story.change}: EHR administrators. The password was in the way at night.
{SHARED} ALL=(ALL:ALL) NOPASSWD: ALL
""",
        mode=0o440,
    )
    p.file(
        "/etc/sudoers.d/05-quiet",
        f"""\
# CHG-{story.change + 61}: sudo fills auth.log, and every line says {SHARED} anyway.
Defaults !syslog
""",
        mode=0o440,
        mtime=changed,
    )
    places = ""
    if story.second_key_file.startswith("/etc/"):
        places = "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/admin-keys/%u\n"
    rules = f"""\
# CHG-{story.change}: whoever has not got the key with them uses the password.
PasswordAuthentication yes
{places}"""
    p.file("/etc/ssh/sshd_config.d/05-admins.conf", rules)
    p.fact("sshd_rules", {"/etc/ssh/sshd_config.d/05-admins.conf": rules})


# --- what the machine has logged -----------------------------------------------------------------------

COMMANDS = (
    "/usr/sbin/service ehr restart",
    "/usr/bin/vi /etc/ehr/app.conf",
    "/usr/bin/bash",
    "/usr/local/sbin/ehr-unlock dr.halloran",
    "/usr/bin/chmod 666 /var/log/ehr/app.log",
    "/usr/bin/less /var/log/syslog",
)
COPIED = "/usr/bin/cp /var/lib/ehr/patients.tsv /tmp/p.tsv"


def _plant_auth_logs(p: Planting, story: Story) -> int:
    """Three weeks of authentication logs; returns how many sudo commands the shared account ran in them."""
    rng = p.rng("auth logs")
    shared = base64.b64decode(p.key_pair("shared administrator key").public.split()[1])
    fingerprint = base64.b64encode(hashlib.sha256(shared).digest()).decode().rstrip("=")
    weeks: dict[str, list[str]] = {"auth.log": [], "auth.log.1": [], "auth.log.2.gz": []}
    unattributed = 0
    for back in range(LOGGED_DAYS, 0, -1):
        day = (EPOCH - timedelta(days=back)).date()
        logged = day < story.unlogged_since
        lines = _logins(rng, fingerprint)
        commands = [(rng.choice(COMMANDS), SHARED) for _ in range(rng.randrange(1, 4))]
        commands += [(COPIED, SHARED)] if back == LOGGED_DAYS - 2 else []
        unlocks = [(f"/usr/local/sbin/ehr-unlock dr.{rng.choice(('moss', 'ferrer', 'adeyemi'))}", "jbaker")]
        for command, who in (commands + unlocks) if logged else []:
            home = HOME if who == SHARED else f"/home/{who}"
            lines.append((_clock(rng), f"sudo: {who:>8} : PWD={home} ; USER=root ; COMMAND={command}"))
            unattributed += who == SHARED
        name = ("auth.log", "auth.log.1", "auth.log.2.gz")[(back - 1) // 7]
        weeks[name] += [f"{day:%b} {day.day:2d} {clock} {HOST} {text}\n" for clock, text in sorted(lines)]
    for name, week in weeks.items():
        text = "".join(week).encode()
        content = gzip.compress(text, mtime=0) if name.endswith(".gz") else text
        p.file(f"/var/log/{name}", content, group="adm", mode=0o640)
    p.fact("auth_lines", [line.rstrip("\n") for week in weeks.values() for line in week])
    return unattributed


def _logins(rng: random.Random, fingerprint: str) -> list[tuple[str, str]]:
    found = []
    for _ in range(rng.randrange(2, 5)):
        how = f"publickey for {SHARED}" if rng.random() < 0.7 else f"password for {SHARED}"
        tail = f": ED25519 SHA256:{fingerprint}" if how.startswith("publickey") else ""
        source = f"192.0.2.{rng.randrange(20, 90)} port {rng.randrange(40000, 60000)} ssh2{tail}"
        found.append((_clock(rng), f"sshd[{rng.randrange(900, 9000)}]: Accepted {how} from {source}"))
    return found


def _clock(rng: random.Random) -> str:
    return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"


# --- tickets and the form ------------------------------------------------------------------------------


def _plant_tickets(p: Planting, story: Story) -> None:
    words = _ticket_words(p, story)
    for kind in ("access", "changes", "handover", "incidents", "requests"):
        folder = f"/srv/records/{kind}"
        p.directory(folder)
        for template in sorted((PLANTED / kind).glob("*.txt")):
            if kind == "requests" and not template.name.endswith(f"-{story.request_kind}.txt"):
                continue
            text = template.read_text(encoding="utf-8").format_map(words)
            name = (
                template.name.replace(f"-{story.request_kind}", "") if kind == "requests" else template.name
            )
            p.file(f"{folder}/{name.format_map(words)}", text)


def _ticket_words(p: Planting, story: Story) -> dict[str, object]:
    first, second, third, fourth = story.admins
    began = story.shared_since

    def day(offset: int) -> str:
        return (began + timedelta(days=offset)).isoformat()

    return {
        "organisation": p.organisation.covered_entity.short_name,
        "party": p.organisation.party(p.entity).short_name,
        "policy": p.organisation.policy(p.lab.policy),
        "change": story.change,
        "change_before": story.change - 19,
        "change_quiet": story.change + 61,
        "change_withdrawn": story.change + 44,
        "incident": story.incident,
        "incident_now": story.incident + 37,
        "request": story.request,
        "approver": story.approver,
        "other_approver": f"E-{int(story.approver[2:]) + 23}",
        "owner": story.owner,
        "asked": day(-6),
        "approved": day(-3),
        "implemented": day(0),
        "before": day(-40),
        "left": day(180),
        "handed": day(71),
        "supplier_day": day(133),
        "quiet": story.unlogged_since.isoformat(),
        "listed": (EPOCH.date() - timedelta(days=3)).isoformat(),
        "list": "\n".join(
            f"{user:<10} {duty:<10} {PEOPLE[user]}" for user, duty in sorted(story.duties.items())
        ),
        "old_list": "\n".join(
            f"{user:<10} {PEOPLE[user]}" for user in sorted((first, second, third, story.leaver))
        ),
        "first": first,
        "second": second,
        "third": third,
        "fourth": fourth,
        "joins": KNEW if story.fourth_knew else KNEW_NOT,
        "leaver": story.leaver,
        "leaver_name": PEOPLE[story.leaver],
        "supplier": story.supplier,
        "supplier_name": PEOPLE[story.supplier],
        "password": story.password,
        "discovered": f"{story.discovered:%Y-%m-%d %H:%M}",
        "today": EPOCH.date().isoformat(),
    }


def _plant_form(p: Planting, story: Story, unattributed: int) -> None:
    text = (
        (PLANTED / "account-report.yml")
        .read_text(encoding="utf-8")
        .format(policy=p.organisation.policy(p.lab.policy), request=f"REQ-{story.request}")
    )
    p.file("/srv/records/account-report.yml", text, owner="akessler", group="akessler")
    deadline = story.discovered + timedelta(hours=p.organisation.notify_hours(p.entity))
    answers = {
        "systems": [HOST],
        "identifier_kinds": ["birth-date", "mrn", "name"],
        "people": story.patients + CANARIES,
        "shared_account": SHARED,
        "shared_since": story.shared_since.isoformat(),
        "caused_by_change": f"CHG-{story.change}",
        "change_approved_by": story.approver,
        "known_to": story.known_to,
        "sudo_unlogged_since": story.unlogged_since.isoformat(),
        "unattributed_commands": unattributed,
        "key_places": [FIRST_KEY_FILE, story.second_key_file],
        "private_copies": [f"{HOME}/.ssh/id_ed25519", story.private_copy],
        "accounts_made": sorted(story.admins),
        "keys_not_used": sorted(story.outsiders),
        "checks_done": ["named-log-ins", "old-key-refused", "old-password-refused", "services-run"],
        "notify": "privacy-officer" if p.entity == "ce" else "covered-entity",
        "notify_by": f"{deadline:%Y-%m-%d %H:%M}",
        "request_decision": "refuse" if story.request_kind == "password" else "escalate",
    }
    for name, value in answers.items():
        p.answer(name, value)


def _note_for_checks(p: Planting, story: Story) -> None:
    p.fact("duties", story.duties)
    p.fact("outsiders", story.outsiders)
    p.fact("shared_password", story.password)
    p.fact("trainee_key", p.trainee_public_key.split()[1])


def _note_for_brief(p: Planting, story: Story) -> None:
    p.variable("admins", [[user, PEOPLE[user], duty] for user, duty in sorted(story.duties.items())])
    p.variable("request_ticket", f"REQ-{story.request}")
    p.variable("incident_ticket", f"INC-{story.incident + 37}")
