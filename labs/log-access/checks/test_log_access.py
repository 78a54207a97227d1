"""The checks of log-access: one rebooted clone (host), on which everything is tried once, and the live lab.

The property counts, not the recipe: no check asks for a mode, an owner, a path or a tool. Where a look-up
lands is found by looking for a patient whom nobody has looked up before; who can read it, the kernel says.
"""

import fnmatch
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

import pytest

from phi_labs.checks import (
    assert_accounts_distinct,
    assert_accounts_unchanged,
    assert_has_read,
    assert_homes_closed,
    assert_keys_only,
    assert_let_in,
    assert_no_lent_rights,
    assert_no_patients_in_records,
    assert_nobody_locked_out,
    assert_nobody_new_has_a_password,
    assert_only_ssh_listens,
    assert_own_groups_only,
    assert_own_keys_only,
    assert_stated,
    assert_sudo_protects,
    guard,
    keys_of,
    new_accounts,
    objective,
    run_as_cron,
    strange_processes,
    text_of,
    told_processes,
    within_reach,
)

LOOK_UP = "/usr/local/bin/ehr-lookup"
RSYSLOG = "/usr/sbin/rsyslogd"
LOOK_UP_CHAIN = (LOOK_UP, "/usr/local/sbin/ehrd", RSYSLOG)
UNLOCK = "/usr/local/sbin/ehr-unlock"
UNLOCKED = "/var/lib/ehr-desk/unlocked"
LOGS = ("today", "yesterday", "compressed")
# Held-back patients, by the moment at which the wards look them up.
BEFORE, ROTATED, RECREATED = "before", "rotated", "recreated"
PATIENTS = {BEFORE: (0,), ROTATED: (1, 2, 3), RECREATED: (4, 5, 6)}
REOPENING_SECONDS = 0.1
LANDING_SECONDS = 4.0
# Nobody waits long again for a log that got nothing the first time, or for a look-up that was refused.
LITTLE_HOPE_SECONDS = 0.5
SWEEP_AFTER_SECONDS = 0.3
JOBS = 20
JOB_SECONDS = 5.0
JOBS_SECONDS = 12.0
SERVICES = ("/usr/local/sbin/ehrd",)
# Gone after a restart: nothing there is kept, and what is open there is open.
VOLATILE = ("/run", "/dev/shm")
# Root runs what is here, or reads it to decide who may do what.
ROOTS_OWN = ("/etc/", "/usr/", "/root/", "/var/spool/cron/", "/opt/")

# Who must stay who: uid and shell of every account with a job.
ACCOUNTS = {
    "root": (0, "/bin/bash"),
    "itops": (1000, "/bin/bash"),
    "jbaker": (1001, "/bin/bash"),
    "oyusuf": (1002, "/bin/bash"),
    "mrivera": (1003, "/bin/bash"),
    "lchen": (1004, "/bin/bash"),
    "wardapp": (1005, "/bin/bash"),
    "ehr": (980, "/usr/sbin/nologin"),
}


# --- who can read what ---------------------------------------------------------------------------------


class Door(NamedTuple):
    """A file that somebody can open whom the policy keeps out."""

    user: str
    name: str
    path: str
    identifiers: frozenset[str]


def outsiders(host, planted):
    """(account, what to call it) of everybody the policy keeps out: personas, and accounts made since."""
    named = {persona.user: f"{persona.user} ({persona.job})" for persona in planted.personas}
    strangers = {name: name for name in new_accounts(host)}
    readers = {persona.user for persona in planted.personas if persona.reads_logs}
    return [(user, name) for user, name in {**strangers, **named}.items() if user not in readers]


def open_doors(host, planted, strings):
    """Every file with any of these strings that somebody else can open."""
    database = planted.facts["database"]
    own = {persona.user for persona in planted.personas if "reads-database" in persona.traits}
    return [
        Door(user, name, leak.path, leak.identifiers)
        for user, name in outsiders(host, planted)
        for leak in host.leaks(strings, readable_by=user, volatile=True)
        if not (leak.path == database and user in own)
    ]


def of(doors, strings):
    """Only the doors to these strings."""
    kept = (door._replace(identifiers=door.identifiers & strings) for door in doors)
    return [door for door in kept if door.identifiers]


def opened_since(doors, earlier):
    """The doors through which somebody reads what that account could read nowhere before."""
    known = {(door.user, identifier) for door in earlier for identifier in door.identifiers}
    return [door for door in doors if any((door.user, found) not in known for found in door.identifiers)]


ASIDE = ".aside"


def told(doors):
    """Who can read how much, and where, in one line."""
    names = list(dict.fromkeys(door.name for door in doors))
    if len(names) > 2:
        names = list(dict.fromkeys(door.user for door in doors))
    who = ", ".join(names[:4]) + (f" and {len(names) - 4} more accounts" if len(names) > 4 else "")
    # A check may have moved a file aside; the trainee knows it by its own name.
    paths = sorted({door.path.removesuffix(ASIDE) for door in doors})
    where = paths[0] + (f" and {len(paths) - 1} more files" if len(paths) > 1 else "")
    count = len(frozenset().union(*(door.identifiers for door in doors)))
    return f"{who} can read {count} patient identifiers in {where}"


def of_sites(planted, *sites):
    """Identifiers of several sites."""
    return frozenset().union(*(planted.identifiers(site) for site in sites))


def canary(planted, number):
    """What gives a held-back patient away: record number and name."""
    patient = planted.facts["canaries"][number]
    return frozenset((patient["mrn"], patient["display"]))


# --- everything that is tried on the clone, once -------------------------------------------------------


@dataclass
class Trial:
    """A rotation and a missing log, each with a look-up before and after.

    Rotation comes before the missing file, so that a file which only one of the two programs leaves open is
    held against that program alone.
    """

    doors_before: list[Door]
    login: object
    doors_after: list[Door] = field(default_factory=list)
    landed: dict[str, frozenset[str]] = field(default_factory=dict)
    patient: dict[str, int] = field(default_factory=dict)
    rotated: frozenset[str] = frozenset()
    aside: frozenset[str] = frozenset()
    after: object = None
    doors_after_jobs: list[Door] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)
    strange: list[object] = field(default_factory=list)


TRIALS = WeakKeyDictionary()


def trial_of(host, planted):
    """The trial of this clone; made when the first check asks."""
    if host not in TRIALS:
        TRIALS[host] = made_trial(host, planted)
    return TRIALS[host]


def made_trial(host, planted):
    known = planted.manifest.identifiers()
    reviewer = planted.personas["reviewer"]
    doors = open_doors(host, planted, known)
    trial = Trial(doors, login_of(host, reviewer))
    likely = with_newest(host, files_with(host, planted, planted.identifiers("today")))
    look_up_anew(host, planted, trial, BEFORE, likely, lambda _landed: False)
    # Tomorrow: with dated names a second rotation on one day would be passed over.
    host.run(["/usr/sbin/logrotate", "--force", "/etc/logrotate.conf"], timeout=20.0, clock="+1d")
    first = planted.facts["canaries"][PATIENTS[BEFORE][0]]["mrn"]
    look_up_anew(
        host,
        planted,
        trial,
        ROTATED,
        trial.landed[BEFORE],
        lambda landed: all(first in text_of(host, path) for path in landed),
    )
    for path in sorted(trial.landed[ROTATED]):
        host.run(["/bin/mv", path, f"{path}{ASIDE}"])
    trial.aside = frozenset(f"{path}{ASIDE}" for path in trial.landed[ROTATED])
    host.run(["/etc/init.d/rsyslog", "rotate"])
    likely = trial.landed[ROTATED] | trial.aside
    look_up_anew(host, planted, trial, RECREATED, likely, lambda landed: landed <= trial.aside)
    everything = known.union(*(canary(planted, number) for tried in PATIENTS.values() for number in tried))
    trial.after = host.find(everything, volatile=True).outside(*VOLATILE)
    trial.rotated = files_with(host, planted, of_stage(trial, planted, BEFORE))
    trial.doors_after = open_doors(host, planted, everything)
    run_jobs(host, trial)
    trial.doors_after_jobs = open_doors(host, planted, everything)
    trial.strange = strange_processes(host, SERVICES)
    return trial


def look_up_anew(host, planted, trial, stage, likely, is_old):  # noqa: PLR0913, PLR0917 - one step of the trial
    """A look-up at this stage of the trial.

    A signal to reopen files takes a moment: while a look-up still lands in an old file, another patient is
    looked up, a few times.
    """
    for number in PATIENTS[stage]:
        trial.patient[stage] = number
        trial.landed[stage] = look_up(host, planted, number, likely)
        if not trial.landed[stage] or not is_old(trial.landed[stage]):
            return
        time.sleep(REOPENING_SECONDS)


def of_stage(trial, planted, stage):
    """What gives the patient away who was looked up at a stage of the trial."""
    return canary(planted, trial.patient[stage])


def run_jobs(host, trial):
    """Every scheduled job that the machine did not come with, once; and those that these have made."""
    ran = set()
    until = time.monotonic() + JOBS_SECONDS
    while jobs := [job for job in host.jobs()[:JOBS] if (job.path, job.when, job.command) not in ran]:
        for job in jobs:
            ran.add((job.path, job.when, job.command))
            try:
                run_as_cron(host, job, timeout=max(min(JOB_SECONDS, until - time.monotonic()), 0.1))
            except AssertionError:
                trial.unended.append(job.path)


def login_of(host, persona):
    """The persona's login, under way; or why it cannot be trusted."""
    try:
        return host.begin_login(persona.user, key=persona.private_key)
    except AssertionError as refused:
        return Refused(refused)


class Refused:
    """A login that was not even tried."""

    def __init__(self, why):
        self.why = why

    def wait(self):
        raise self.why


def look_up(host, planted, number, likely):
    """The wards look up a patient nobody knows yet; the files that the look-up arrived in, if any.

    The likely files are read again and again; a sweep of the machine costs a hundred times as much.
    """
    patient = planted.facts["canaries"][number]
    request = [LOOK_UP, patient["mrn"], "--user", "rn.ward", "--reason", "chart-review"]
    answered = host.run(request, user="wardapp", timeout=15.0).exit_code == 0
    limit = LANDING_SECONDS if answered and likely else LITTLE_HOPE_SECONDS
    start = time.monotonic()
    while (waited := time.monotonic() - start) < limit:
        landed = frozenset(path for path in likely if patient["mrn"] in text_of(host, path))
        if not landed and waited > SWEEP_AFTER_SECONDS:
            landed = files_with(host, planted, {patient["mrn"]})
        if landed:
            return landed
        host.forget()
        time.sleep(0.005)
    return frozenset()


def files_with(host, planted, strings):
    """Paths of all files that hold any of these strings, but for the EHR's own database."""
    return frozenset(leak.path for leak in host.find(strings)) - {planted.facts["database"]}


def with_newest(host, paths):
    """These files, and the last one written in each of their folders: a trainee may have rotated the log."""
    newest = set(paths)
    for folder in {path.rpartition("/")[0] for path in paths}:
        files = [host.file(f"{folder}/{name}") for name in host.listing(folder)[:50]]
        files = [file for file in files if file.is_file]
        newest.update(file.path for file in sorted(files, key=lambda file: file.mtime)[-1:])
    return frozenset(newest)


# --- the logs that are there ---------------------------------------------------------------------------


@objective("todays-log")
def test_nobody_else_reads_todays_log(host, planted):
    doors = of(trial_of(host, planted).doors_before, planted.identifiers("today"))
    assert not doors, f"After a restart, {told(doors)}."


@objective("todays-log")
def test_nobody_else_reads_todays_log_on_the_running_machine(live, planted):
    doors = of(open_doors(live, planted, planted.manifest.identifiers()), planted.identifiers("today"))
    assert not doors, f"On the running machine, {told(doors)}."


@objective("old-logs")
def test_nobody_else_reads_older_logs(host, planted):
    doors = of(trial_of(host, planted).doors_before, of_sites(planted, "yesterday", "compressed"))
    assert not doors, f"After a restart, {told(doors)}."


@objective("old-logs")
def test_nobody_else_reads_older_logs_on_the_running_machine(live, planted):
    older = of_sites(planted, "yesterday", "compressed")
    doors = of(open_doors(live, planted, planted.manifest.identifiers()), older)
    assert not doors, f"On the running machine, {told(doors)}."


# --- the logs that come next ---------------------------------------------------------------------------


@objective("next-logrotate-file")
def test_the_next_rotation_leaves_nothing_open(host, planted):
    trial = trial_of(host, planted)
    assert trial.landed[BEFORE], "A look-up reached no log before the rotation, so nothing could be rotated."
    assert trial.landed[ROTATED], "After a forced rotation a look-up no longer reaches any log."
    kept = trial.rotated & (trial.landed[ROTATED] | trial.aside)
    assert not kept, (
        "After a forced rotation look-ups still go to the file that the earlier ones are in: "
        f"{', '.join(sorted(trial.landed[ROTATED]))}."
    )
    doors = of(trial.doors_after, of_stage(trial, planted, ROTATED))
    assert not doors, f"After a forced rotation, {told(doors)}."
    # What was open before is held against todays-log and old-logs.
    opened = opened_since(of(trial.doors_after, of_sites(planted, *LOGS)), trial.doors_before)
    assert not opened, f"The rotation opened an older log: {told(opened)}."


@objective("next-logrotate-file")
def test_logs_are_kept_as_long_as_the_policy_says(host, planted):
    landed = trial_of(host, planted).landed[BEFORE]
    rotations = [item for item in host.logrotate() if any(covers(host, item, path) for path in landed)]
    assert rotations, "logrotate does not rotate the file that look-ups go to."
    for rotation in rotations:
        days = kept_days(rotation)
        assert days is not None, (
            f"logrotate rotates by '{rotation.interval}', so nobody can say for how many days logs are kept."
        )
        assert days >= planted.organisation.retention_days, (
            f"logrotate keeps the access log for about {days:g} days."
        )


def covers(host, rotation, path):
    """Whether one of the rotation's patterns means this file, whatever symbolic links lie between."""
    return any(fnmatch.fnmatch(path, real_path(host, pattern)) for pattern in rotation.patterns)


def real_path(host, path):
    """The path with its symbolic links followed, as far as it exists; a pattern's last part stays."""
    done, todo = "", [part for part in path.split("/") if part not in ("", ".")]
    for _ in range(100):
        if not todo:
            break
        part = todo.pop(0)
        file = host.file(f"{done}/{part}")
        if part == "..":
            done = done.rpartition("/")[0]
        elif file.is_symlink:
            done = "" if file.linked_to.startswith("/") else done
            todo = [piece for piece in file.linked_to.split("/") if piece not in ("", ".")] + todo
        else:
            done = f"{done}/{part}"
    return done or "/"


DAYS = {"hour": 1 / 24, "dai": 1, "day": 1, "week": 7, "month": 30, "year": 365}


def kept_days(rotation):
    """For how many days a rotation keeps logs; None when it does not go by time."""
    if rotation.rotations < 0:
        return float("inf")
    number = re.match(r"\d+", rotation.interval)
    every = next((days for word, days in DAYS.items() if word in rotation.interval), None)
    return None if every is None else rotation.rotations * every * (int(number[0]) if number else 1)


@objective("next-rsyslog-file")
def test_a_missing_log_is_created_closed(host, planted):
    trial = trial_of(host, planted)
    assert trial.landed[ROTATED], "A look-up reached no log, so the logging service creates none."
    assert trial.landed[RECREATED] - trial.aside, (
        "The log was moved away and rsyslog told to reopen its files; a look-up then reached no new file."
    )
    doors = of(trial.doors_after, of_stage(trial, planted, RECREATED))
    assert not doors, f"When rsyslog had to create the log anew, {told(doors)}."


@objective("next-rsyslog-file")
def test_the_running_rsyslog_has_read_its_configuration(live):
    included = [f"/etc/rsyslog.d/{name}" for name in live.listing("/etc/rsyslog.d") if name.endswith(".conf")]
    assert_has_read(live, "rsyslogd", ["/etc/rsyslog.conf", *included])


# --- ways round ----------------------------------------------------------------------------------------


@objective("no-side-door")
def test_no_copy_of_the_log_is_open(host, planted):
    doors = of(trial_of(host, planted).doors_before, planted.identifiers("copy"))
    assert not doors, f"There is a copy of an access log that others can open: {told(doors)}."


@objective("no-side-door")
def test_no_copy_of_the_log_is_open_on_the_running_machine(live, planted):
    doors = of(open_doors(live, planted, planted.manifest.identifiers()), planted.identifiers("copy"))
    assert not doors, f"There is a copy of an access log that others can open: {told(doors)}."


@objective("no-side-door")
def test_nobody_else_opens_what_cannot_be_looked_into(host, planted):
    trial_of(host, planted)  # first: what comes next counts as well
    assert_looked_into(host, planted, "After a restart")


@objective("no-side-door")
def test_nobody_else_opens_what_cannot_be_looked_into_on_the_running_machine(live, planted):
    assert_looked_into(live, planted, "On the running machine")


def assert_looked_into(host, planted, when):
    """No file that an outsider can open may hide a copy of the log."""
    unread = host.find(planted.manifest.identifiers(), volatile=True).unread
    for user, name in outsiders(host, planted):
        opened = [path for path, can in zip(unread, host.can(user, unread, "read"), strict=True) if can]
        assert not opened, (
            f"{when}, {name} can open {opened[0]}, which nobody can look into to its end: it is encrypted, "
            "damaged or packed too deep."
        )


@objective("no-side-door")
def test_no_pipe_hands_the_log_on(host, planted):
    pipes = [change.path for change in host.changed().changes if stat.S_ISFIFO(change.mode)]
    for user, name in outsiders(host, planted):
        opened = [path for path, can in zip(pipes, host.can(user, pipes, "hear"), strict=True) if can]
        assert not opened, f"{name} can read what comes out of the pipe {opened[0]}."


@objective("no-side-door")
def test_sudo_gives_the_help_desk_its_job_and_nobody_more(host, planted):
    assert host.sudoers.valid, "The sudo rules have an error in them; sudo refuses to work with such rules."
    helpdesk = {persona.user for persona in planted.personas.having("helpdesk")}
    for user, name in [*outsiders(host, planted), *readers(planted)]:
        if user == "itops":
            continue
        allowed = {UNLOCK} if user in helpdesk else set()
        for grant in host.sudoers.grants(user):
            beyond = [command for command in grant.commands if command.split()[0] not in allowed]
            assert not beyond, f"sudo lets {name} run {', '.join(beyond)} as {', '.join(grant.run_as)}."
            assert not grant.setenv, f"sudo lets {name} choose the environment of what root runs."
            assert not grant.chroot, f"sudo runs {name}'s command inside of {grant.chroot}."


@objective("no-side-door")
def test_sudo_protects_what_it_runs(host, planted):
    people = [user for user, _ in [*outsiders(host, planted), *readers(planted)]]
    assert_sudo_protects(host, people)


def readers(planted):
    """(account, what to call it) of those who may read the log."""
    return [(persona.user, str(persona)) for persona in planted.personas if persona.reads_logs]


@objective("no-side-door")
def test_nobody_can_rewrite_what_root_runs_or_reads(host, planted):
    changes = (change for change in host.changed().changes if not stat.S_ISLNK(change.mode))
    paths = [UNLOCK, *(change.path for change in changes if change.path.startswith(ROOTS_OWN))]
    for user, name in [*outsiders(host, planted), *readers(planted)]:
        allowed = [path for path, can in zip(paths, host.can(user, paths, "write"), strict=True) if can]
        assert not allowed, f"{name} can change {', '.join(allowed[:3])}, which is root's business."
        assert not host.as_user(user).can_read("/etc/shadow"), f"{name} can read /etc/shadow."


@objective("no-side-door")
def test_no_scheduled_job_opens_a_log(host, planted):
    trial = trial_of(host, planted)
    opened = opened_since(trial.doors_after_jobs, trial.doors_after)
    assert not opened, f"After the new scheduled jobs have run once, {told(opened)}."
    assert not trial.unended, (
        f"A job in {trial.unended[0]} had not come to its end after {JOB_SECONDS:g} seconds; what it does "
        "then, nobody can see."
    )


@objective("no-side-door")
def test_nothing_waits_for_a_later_hour(host, planted):
    strange = trial_of(host, planted).strange
    assert not strange, (
        f"After a restart, {told_processes(strange)} goes on running and is none of the machine's services: "
        "what it does later, nobody can see."
    )


@objective("no-side-door")
def test_nothing_else_listens(host):
    assert_only_ssh_listens(host, "After a restart")


@objective("no-side-door")
def test_nothing_else_listens_on_the_running_machine(live):
    assert_only_ssh_listens(live, "On the running machine")


@objective("no-side-door")
def test_no_group_is_anybody_elses_to_open(host):
    assert_own_groups_only(host)


@objective("no-side-door")
def test_nobody_can_become_somebody_else_by_password(host):
    assert_nobody_new_has_a_password(host)


@objective("no-side-door")
def test_no_program_lends_its_rights(host):
    assert_no_lent_rights(host)


@objective("no-side-door")
def test_no_foreign_key_opens_the_reviewers_account_or_root(host, planted):
    reviewer = planted.personas["reviewer"]
    for user, own in ((reviewer.user, {reviewer.public_key.split()[1]}), ("root", set())):
        foreign = {path for path, key in keys_of(host, user) if key not in own}
        assert not foreign, f"{', '.join(sorted(foreign))}: not every key in it is {user}'s own."


@objective("no-side-door")
def test_sshd_takes_keys_from_their_owners_only(host, planted):
    assert_keys_only(host, [*(persona.user for persona in planted.personas), "root"])


@objective("no-side-door")
def test_nobody_gets_in_with_another_persons_key(host, planted):
    assert_own_keys_only(host, planted)


@objective("no-side-door")
def test_nobody_decides_what_others_do_at_a_log_in(host, planted):
    owners = [planted.personas["reviewer"].user, "itops", "root"]
    assert_homes_closed(host, owners, [user for user, _ in outsiders(host, planted)])


@objective("no-side-door")
def test_nobody_else_can_change_or_remove_records(host, planted):
    found = trial_of(host, planted).after.outside("/srv/records", planted.facts["database"])
    logs = sorted({place for path in found.paths for place in (path, path.rpartition("/")[0])})
    places = [path for path in logs if not (host.file(path).exists and host.file(path).mode & stat.S_ISVTX)]
    for user, name in outsiders(host, planted):
        allowed = within_reach(host, user, places)
        assert not allowed, f"{name} can change {allowed[0]}, where look-ups are on record."


# --- guards --------------------------------------------------------------------------------------------


@guard("ehr-still-logs")
def test_a_look_up_is_logged_in_full(host, planted):
    patient = planted.facts["canaries"][PATIENTS[BEFORE][0]]
    trial = trial_of(host, planted)
    assert trial.landed[BEFORE], "The wards looked a patient up, and no log says so."
    replaced = [path for path in host.changed().packaged if path in LOOK_UP_CHAIN]
    assert not replaced, f"{', '.join(replaced)} is not the program that the machine came with."
    line = re.compile(
        rf'lookup user=rn\.ward mrn={patient["mrn"]} name="{re.escape(patient["display"])}" '
        rf"dob={patient['dob']} reason=chart-review"
    )
    assert any(line.search(text_of(host, path)) for path in trial.rotated), (
        "The wards looked a patient up, and the log does not say in full who looked, at whom and why."
    )


SITE_NAMES = {
    "today": "current log of the day you took over",
    "yesterday": "log of the day before",
    "compressed": "compressed logs",
    "new": "log of new look-ups",
}


@guard("reviewer-still-reads")
def test_the_reviewer_reads_old_and_new_logs(host, planted):
    reviewer = planted.personas["reviewer"].user
    trial = trial_of(host, planted)
    assert trial.landed[RECREATED], "A new look-up reaches no log for the reviewer to read."
    new = frozenset().union(*(of_stage(trial, planted, stage) for stage in PATIENTS))
    wanted = {**{site: planted.identifiers(site) for site in LOGS}, "new": new}
    paths = trial.after.paths
    readable = {path for path, can in zip(paths, host.can(reviewer, paths, "read"), strict=True) if can}
    seen = frozenset().union(*(leak.identifiers for leak in trial.after if leak.path in readable))
    for site, strings in wanted.items():
        assert strings <= seen, (
            f"The log reviewer ({reviewer}) cannot open {len(strings - seen)} of {len(strings)} identifiers "
            f"of the {SITE_NAMES[site]}."
        )


@guard("reviewer-still-reads")
def test_the_reviewer_can_log_in(host, planted):
    reviewer = planted.personas["reviewer"]
    assert host.socket("tcp://22").is_listening, "sshd does not listen after a restart."
    keys = {key for _, key in keys_of(host, reviewer.user)}
    assert reviewer.public_key.split()[1] in keys, "The log reviewer's SSH key is gone."
    assert_let_in(host, reviewer.user, "the log reviewer")
    trial_of(host, planted).login.wait()


@guard("records-survive")
def test_every_log_record_is_still_there(host, planted):
    lines = frozenset(planted.facts["lines"])
    found = set()
    for path in trial_of(host, planted).after.paths:
        found.update(text_of(host, path).splitlines())
    if lines - found:  # perhaps in a form that the quick look does not open
        found.update(host.find(lines).identifiers)
    missing = lines - found
    assert not missing, f"{len(missing)} of {len(lines)} log records are gone or no longer what they were."


@guard("helpdesk-job")
@pytest.mark.parametrize("name", ["helpdesk", "helpdesk-night"])
def test_the_help_desk_unlocks_an_account(host, planted, name):
    trial_of(host, planted)  # first: what this leaves in the logs is no part of it
    account = f"dr.{secrets.token_hex(6)}"
    persona = planted.personas[name]
    host.run(["/usr/bin/sudo", "-n", UNLOCK, account], user=persona.user)
    effect = host.file(f"{UNLOCKED}/{account}")
    assert effect.exists, f"{persona} ran the unlock job through sudo, and no account was unlocked."
    assert effect.uid == 0, "The unlock job no longer does its work as root."


@guard("accounts-intact")
def test_everybody_is_who_they_were(host):
    assert_accounts_unchanged(host, ACCOUNTS)
    assert_accounts_distinct(host)


@guard("accounts-intact")
def test_nobody_is_locked_out(host):
    assert_nobody_locked_out(host, ACCOUNTS.keys() - {"root", "ehr"})


# --- the report ----------------------------------------------------------------------------------------

FIELDS = (
    "systems",
    "identifier_kinds",
    "people",
    "exposed_since",
    "who_could_read",
    "caused_by_change",
    "change_approved_by",
    "generators_repaired",
    "stray_copies",
    "sudo_rule_of",
    "checks_done",
    "notify",
    "notify_by",
    "request_decision",
)


@objective("record")
@pytest.mark.parametrize("name", FIELDS)
def test_the_report_states_the_facts(planted, record, name):
    assert_stated(record, planted, name)


@objective("record")
def test_the_report_holds_no_patient_data(host, planted):
    assert_no_patients_in_records(trial_of(host, planted).after.paths)
