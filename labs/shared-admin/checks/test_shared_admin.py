"""The checks of shared-admin: one rebooted clone (host), where everybody logs in and works, and the live lab.

The property counts, not the recipe: who gets in is tried over SSH with people's own keys, what sudo allows is
read by the pristine machine's own parser, and who did something is looked for in whatever grew meanwhile.
"""

import base64
import contextlib
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import pytest

from phi_labs.checks import (
    PRIVATE_KEY_MARKS,
    UNKNOWN_KEY,
    above,
    assert_accounts_unchanged,
    assert_keys_only,
    assert_let_in,
    assert_no_lent_rights,
    assert_no_patients_in_records,
    assert_only_ssh_listens,
    assert_own_groups_only,
    assert_sshd_has_read,
    assert_stated,
    assert_sudo_protects,
    barred,
    guard,
    key_files,
    keys_of,
    new_accounts,
    objective,
    option_word,
    options_for,
    password_hashes,
    private_keys,
    run_as_cron,
    shadow_of,
    sometimes,
    strange_processes,
    text_of,
    told_processes,
    within_reach,
)

SHARED = "ehradm"
SHARED_ID = 980
DATA = "/var/lib/ehr"
DAEMON = "ehrappd"
APP_LOG = "/var/log/ehr/app.log"
LOOK_UP = "/usr/local/bin/ehr-lookup"
SERVICE = "/usr/sbin/service"
UNLOCK = "/usr/local/sbin/ehr-unlock"
REPORT = "/usr/local/bin/ehr-report"
TOUCH = "/usr/bin/touch"
DESK = "/var/lib/ehr-desk"
INBOX, DONE = "/var/spool/ehr/inbox", "/var/spool/ehr/done"
REPORTS = f"{DATA}/reports"
FIRST_PASSWORD = "/root/first-password"  # noqa: S105 - a path
SHORTEST_PASSWORD = 12
OTHER_LOGINS = ("akessler", "jbaker", "labfeed")
LOG_SECONDS = 1.5
JOBS = 20
SERVICES = ("/usr/local/sbin/ehrappd",)
JOBS_SECONDS = 15.0
COMMAND_SECONDS = 6.0
# Root or ehradm run what is here, or read it to decide who may do what.
THEIR_OWN = (
    "/etc/",
    "/usr/",
    "/root",
    "/opt/",
    "/home/akessler",
    "/var/spool/cron/",
    "/var/lib/ehr",
    "/var/spool/ehr/done",
)
# Groups that the kernel or a daemon takes for root's, or nearly; docker and lxd only where somebody made one.
GROUPS_LIKE_ROOT = ("root", "disk", "kmem", "shadow", "docker", "lxd", SHARED)

# Who must stay who: uid, and shell where people log in.
ACCOUNTS = {
    "root": (0, "/bin/bash"),
    "akessler": (1000, "/bin/bash"),
    "jbaker": (1001, "/bin/bash"),
    "labfeed": (1002, "/bin/bash"),
    "wardapp": (981, "/usr/sbin/nologin"),
    SHARED: (SHARED_ID, None),
}


# --- everything that is tried on the clone, once -------------------------------------------------------


@dataclass
class Session:
    """How somebody's log-in went: ``refused`` says why there was none."""

    refused: str = ""
    done: bool = False


@dataclass
class Trial:
    """Everybody at work: log-ins, duties, orders, the morning report."""

    token: str
    daemon_before: frozenset
    sessions: dict = field(default_factory=dict)
    old_key: Session = field(default_factory=Session)
    daemon_after: frozenset = frozenset()
    records: dict = field(default_factory=dict)
    made_for: str = ""
    looked_up: bool = False
    filed: dict = field(default_factory=dict)
    reported: object = None
    report_owner: int = -1
    old_password: object = None
    unended: list = field(default_factory=list)
    strange: list = field(default_factory=list)


TRIALS = WeakKeyDictionary()


def trial_of(host, planted):
    """The trial of this clone; made when the first check asks."""
    if host not in TRIALS:
        TRIALS[host] = made_trial(host, planted)
    return TRIALS[host]


def made_trial(host, planted):
    trial = Trial(secrets.token_hex(5), daemons(host))
    sizes, jobs = sizes_of(host), host.jobs()[:JOBS]  # together: each look at all that changed takes a walk
    under_way = begin_sessions(host, planted, trial)
    old_key = begun(host, SHARED, shared_key(planted))
    greeting = trial.token.encode()
    trial.sessions = {
        user: ended(login, user, b"" if user == "labfeed" else greeting) for user, login in under_way.items()
    }
    trial.old_key = ended(old_key)
    host.forget()
    trial.daemon_after = daemons(host)
    trial.made_for = text_of(host, f"{REPORTS}/runs.txt")
    work(host, planted, trial, jobs)
    trial.records = records_since(host, planted, sizes, trial)
    trial.strange = strange_processes(host, SERVICES)
    return trial


def begin_sessions(host, planted, trial):
    """Everybody's log-in, under way at once, each with something to do."""
    duties = planted.facts["duties"]
    found = {
        user: begun(
            host,
            user,
            planted.personas[user].private_key,
            duty_of(duties[user], user, trial.token),
            first_password(host).encode() + b"\n" if duties[user] == "deputy" else b"",
        )
        for user in duties
        if host.user(user).exists
    }
    feed = planted.personas["labfeed"]
    found["labfeed"] = begun(host, "labfeed", feed.private_key, f"CHK-{trial.token}", b"CBC, fasting\n")
    return found


def duty_of(duty, user, token):
    """A command line: the person's duty, and something that is beyond it."""
    beyond = f"echo {token}; sudo -n {TOUCH} {DESK}/beyond-{user}-{token} </dev/null; "
    return (
        beyond
        + {
            "on-call": f"sudo -n {SERVICE} ehr status; sudo -n {SERVICE} ehr restart",
            "accounts": f"sudo -n {UNLOCK} dr.{user}-{token}",
            "reports": f"sudo -n -u {SHARED} {REPORT}",
            "deputy": f"sudo -k -S -p '' {TOUCH} {DESK}/deputy-{token}",
        }[duty]
    )


RECORDED = {
    "on-call": f"{SERVICE} ehr restart",
    "accounts": f"{UNLOCK} dr.",
    "reports": REPORT,
    "deputy": f"{TOUCH} {DESK}/deputy-",
}


def begun(host, user, key, command="true", stdin=b""):
    """A log-in under way; or why it was not even tried."""
    try:
        return host.begin_login(user, key=key, command=command, stdin=stdin)
    except AssertionError as refused:
        return refused


def ended(login, user="", greeting=b""):
    """How it went; a command that hangs has been begun, which is what the effects tell more of."""
    if isinstance(login, AssertionError):
        return Session(str(login))
    try:
        said = login.wait().stdout
    except AssertionError as refused:
        return Session(str(refused))
    except TimeoutError:
        return Session(done=True)
    return (
        Session(done=True) if greeting in said else Session(f"{user} logs in over SSH, but can run nothing")
    )


def shared_key(planted):
    return planted.facts["shared_key"]["private"]


def first_password(host):
    """The deputy's first password; empty when there is none where the policy wants it."""
    return text_of(host, FIRST_PASSWORD).strip().split("\n")[0].strip()


def daemons(host):
    """(pid, uid) of the EHR's processes."""
    return frozenset((process.pid, process.uid) for process in host.processes() if process.name == DAEMON)


def work(host, planted, trial, jobs):
    """The wards look somebody up, an account is unlocked, orders are filed, the report is made."""
    tried(host, ["/usr/bin/sudo", "-n", UNLOCK, f"dr.jbaker-{trial.token}"], user="jbaker")
    mrn = planted.facts["canaries"][0]
    tried(host, [LOOK_UP, mrn, "--user", "rn.ward", "--reason", "chart-review"], user="wardapp")
    trial.looked_up = f"lookup user=rn.ward mrn={mrn} reason=chart-review" in text_of(host, APP_LOG)
    order = f"DIR-{trial.token}"
    if host.file(INBOX).is_directory:
        host.write(f"{INBOX}/{order}.ord", b"CBC, fasting\n", mode=0o644)
    started = [job for job in jobs if cron_runs(host, job)]
    daily = [job for job in started if job.days_apart == 1]
    run_jobs(host, daily, trial)
    if order not in text_of(host, f"{REPORTS}/orders.txt"):  # the report may have come before the filing
        run_jobs(host, daily, trial)
    for name in (order, f"CHK-{trial.token}"):
        filed = host.file(f"{DONE}/{name}.ord")
        trial.filed[name] = filed.uid if filed.exists else None
    report = host.file(f"{REPORTS}/orders.txt")
    trial.report_owner = report.uid if report.exists else -1
    trial.reported = order in text_of(host, f"{REPORTS}/orders.txt")
    # What others do is no part of the services, but of the machine that is looked at.
    run_jobs(host, [job for job in started if job not in daily], trial)
    try:
        trial.old_password = opened_by(host, planted.facts["shared_password"], password_hashes(host))
    except AssertionError as spoiled:
        trial.old_password = spoiled


def run_jobs(host, jobs, trial):
    until = time.monotonic() + JOBS_SECONDS
    for job in jobs:
        try:
            run_as_cron(host, job, timeout=max(min(COMMAND_SECONDS, until - time.monotonic()), 0.1))
        except AssertionError:
            trial.unended.append(job.path)


def tried(host, argv, **options):
    """Run something; what hangs, or whose account is gone, has no effect, and effects are what counts."""
    with contextlib.suppress(AssertionError):
        host.run(argv, timeout=COMMAND_SECONDS, **options)


def cron_runs(host, job):
    """Whether cron would start this job at its time: it passes over foreign tables and closed accounts."""
    table, owner = host.file(job.path), host.user(job.user)
    if not owner.exists or barred(host, job.user):
        return False
    if job.path.startswith("/var/spool/cron/"):
        return table.uid == owner.uid and not table.mode & 0o077
    return table.uid == 0


# --- what sudo wrote down ------------------------------------------------------------------------------


def sizes_of(host):
    """Size of every regular file that is not as in the image."""
    return {change.path: change.size for change in host.changed().changes if stat.S_ISREG(change.mode)}


def records_since(host, planted, sizes, trial):
    """User -> files in which a record of that person's command stands that was not there before."""
    wanted = {user: RECORDED[duty] for user, duty in planted.facts["duties"].items()}
    ran = {user for user, session in trial.sessions.items() if session.done}
    wanted = {user: command for user, command in wanted.items() if user in ran}
    wanted["jbaker"] = f"{UNLOCK} dr."
    until = time.monotonic() + LOG_SECONDS
    while True:
        grown = grown_texts(host, sizes)
        found = {
            user: [path for path, text in grown.items() if names(text, user, command)]
            for user, command in wanted.items()
        }
        if all(found.values()) or time.monotonic() > until:
            return found
        time.sleep(0.05)
        host.forget()


def grown_texts(host, sizes):
    """Path -> what files have gained; lines that sudo broke are whole again."""
    return {
        path: re.sub(r"\n[ \t]+", " ", text_of(host, path)[sizes.get(path, 0) :])
        for path, size in sizes_of(host).items()
        if size > sizes.get(path, 0) and not path.startswith((DATA, DESK, "/var/spool/"))
    }


def names(text, user, command):
    """Whether a record of sudo says that this user ran that: a line, an I/O log, or JSON."""
    who, what, program = re.escape(user), re.escape(command), re.escape(command.split()[0])
    patterns = (
        rf":\s+{who} : (?:[^\n]*; )?USER=[^\n]*COMMAND={what}",
        rf"\A[\d.]+:{who}:[^\n]*\n[^\n]*\n{what}",
        rf'"submituser":\s*"{who}"(?:(?!"submituser").){{0,3000}}?"command":\s*"{program}"',
        rf'"command":\s*"{program}"(?:(?!"command":).){{0,3000}}?"submituser":\s*"{who}"',
    )
    refused = r"(?:command not allowed|a password is required|incorrect password)"
    return any(
        not re.search(refused, match[0])
        for pattern in patterns
        for match in re.finditer(pattern, text, re.DOTALL if '"' in pattern else 0)
    )


# --- keys and passwords --------------------------------------------------------------------------------


def own_keys(planted):
    """Account -> the one key that may open it."""
    people = [*planted.facts["duties"], "labfeed"]
    found = {user: planted.personas[user].public_key.split()[1] for user in people}
    found["jbaker"] = planted.personas["helpdesk"].public_key.split()[1]
    found["akessler"] = planted.facts["trainee_key"]
    return found


def opened_by(host, password, hashes):
    """Names whose hash this password fits, as crypt says while it is the image's own."""
    asked = {name: hashed for name, hashed in hashes.items() if hashed}
    if not asked:
        return []
    changed = host.changed()
    spoiled = [*changed.login_path, *(path for path in changed.packaged if "perl" in path)]
    assert not spoiled, f"Passwords cannot be tried while {spoiled[0]} is not as the machine came with it."
    script = "my $p = shift; print crypt($p, $_) eq $_ ? 1 : 0, qq(\\n) for @ARGV"
    ran = host.run(["/usr/bin/perl", "-e", script, "--", password, *asked.values()], user=65534)
    return [name for name, fits in zip(asked, ran.stdout.split(), strict=True) if fits == b"1"]


# --- named people --------------------------------------------------------------------------------------


@objective("named-people")
def test_each_administrator_has_an_account_of_their_own(host, planted):
    for user in planted.facts["duties"]:
        account = host.user(user)
        assert account.exists, f"{user}, who is on the authorisation list, has no account."
        assert account.uid, f"The account {user} is root: its number is 0."
    assert not host.accounts.duplicates, f"{'; '.join(host.accounts.duplicates)}."


@objective("named-people")
def test_each_administrator_logs_in_with_their_own_key(host, planted):
    trial = trial_of(host, planted)
    for user in planted.facts["duties"]:
        session = trial.sessions.get(user)
        assert session, f"{user} has no account to log in to."
        assert not session.refused, f"With their own key: {session.refused}."


@objective("named-people")
def test_an_account_opens_with_its_owners_key_only(host, planted):
    trial_of(host, planted)  # first: what a scheduled job changes counts as well
    for user, own in own_keys(planted).items():
        foreign = {path for path, key in keys_of(host, user) if key != own}
        assert not foreign, f"{', '.join(sorted(foreign))}: not every key in it is {user}'s own."


@objective("named-people")
def test_nobody_else_has_been_given_a_way_in(host, planted):
    passwd = host.pristine_question("read", path="/etc/passwd", limit=1 << 16)["data"]
    known = {line.partition(":")[0] for line in base64.b64decode(passwd).decode().splitlines()}
    allowed = {*planted.facts["duties"], *OTHER_LOGINS}
    for user in host.accounts.users:
        if user in allowed:
            continue
        assert user not in planted.facts["outsiders"], f"{user} has an account, and is not on the list."
        if user != SHARED:  # its keys are the shared credential's matter
            keys = {path for path, _ in keys_of(host, user)}
            assert not keys or user == "root", f"Keys in {', '.join(sorted(keys))} open the account {user}."
        if user not in known:
            shell = host.user(user).shell
            assert shell.endswith(("/nologin", "/false")), (
                f"The account {user} is new, and is not on the list."
            )


@objective("named-people")
def test_sshd_takes_nothing_but_keys_from_their_owners(host, planted):
    assert_keys_only(host, [*planted.facts["duties"], *OTHER_LOGINS, SHARED, "root"])


@objective("named-people")
def test_nobody_can_add_a_key_for_somebody_else(host, planted):
    owners = [*planted.facts["duties"], *OTHER_LOGINS]
    files = {(user, path) for user in owners if host.user(user).exists for path in key_files(host, user)}
    places = sorted({(user, place) for user, path in files for place in above(path)})
    for other in people(host, planted):
        theirs = sorted({place for user, place in places if user != other})
        allowed = within_reach(host, other, theirs)
        assert not allowed, (
            f"{other} can change {', '.join(allowed[:3])}, and with it who gets in as somebody else."
        )


@objective("named-people")
def test_nothing_else_listens(host):
    assert_only_ssh_listens(host, "After a restart")


@objective("named-people")
def test_nothing_else_listens_on_the_running_machine(live):
    assert_only_ssh_listens(live, "On the running machine")


@objective("named-people")
def test_nothing_waits_for_a_later_hour(host, planted):
    trial = trial_of(host, planted)
    assert not trial.strange, (
        f"After a restart, {told_processes(trial.strange)} goes on running and is none of the machine's "
        "services: what it does later, nobody can see."
    )
    assert not trial.unended, (
        f"A job in {trial.unended[0]} had not come to its end after {COMMAND_SECONDS:g} seconds; what it "
        "does then, nobody can see."
    )


# --- the shared credential -----------------------------------------------------------------------------


@objective("shared-credential")
def test_the_old_key_opens_nothing(host, planted):
    blob = planted.facts["shared_key"]["blob"]
    for user in host.accounts.users:
        files = {path for path, key in keys_of(host, user) if key == blob}
        assert not files, f"The shared key still stands in {', '.join(sorted(files))}."
    refused = trial_of(host, planted).old_key.refused
    assert refused, f"Somebody with the shared key can log in as {SHARED}."
    # Nothing was tried where no log-in can be trusted.
    assert "cannot log in" in refused, f"Whether the shared key opens anything could not be tried: {refused}."


@objective("shared-credential")
def test_no_copy_of_the_private_half_is_left(host, planted):
    trial_of(host, planted)  # first: what a scheduled job changes counts as well
    secret = secret_of(planted)
    # Together with what other checks look for: a sweep costs more than a string.
    swept = host.find({secret, *PRIVATE_KEY_MARKS, *planted.manifest.identifiers()})
    found = swept.of({secret})
    assert not found, f"The private half of the shared key still lies in {', '.join(found.paths)}."
    keys = private_keys(host, swept.of(PRIVATE_KEY_MARKS))
    converted = [path for path, public in keys.items() if planted.facts["shared_key"]["blob"] in public]
    assert not converted, f"The private half of the shared key still lies, converted, in {converted[0]}."
    hidden = [path for path, public in keys.items() if UNKNOWN_KEY in public]
    assert not hidden, f"{hidden[0]} holds a private key of which nobody can see whose it is."


@objective("shared-credential")
def test_no_copy_of_the_private_half_is_left_on_the_running_machine(live, planted):
    secret = secret_of(planted)
    found = live.find({secret})
    assert not found, f"The private half of the shared key still lies in {', '.join(found.paths)}."
    agents = [process for process in live.processes() if process.program == "/usr/bin/ssh-agent"]
    assert not agents, (
        f"An ssh-agent of number {agents[0].uid} runs on your machine; which keys it holds, nobody can see."
    )


def secret_of(planted):
    """A line of the private half that stands in no other key: the secret itself begins with the fourth."""
    return shared_key(planted).splitlines()[4]


@objective("shared-credential")
def test_no_password_opens_anything_over_ssh(host, planted):
    for user in (*planted.facts["duties"], *OTHER_LOGINS, SHARED, "root"):
        options = options_for(host, user)
        for name in ("passwordauthentication", "kbdinteractiveauthentication"):
            assert option_word(options, name, "no") == "no", (
                f"sshd takes passwords from {user} ({name} is not no)."
            )
    for name in ("passwordauthentication", "kbdinteractiveauthentication", "challengeresponseauthentication"):
        values = {value.lower() for value in sometimes(host, name)}
        assert "yes" not in values, f"sshd takes passwords under some condition ({name})."


@objective("shared-credential")
def test_the_old_password_fits_no_account(host, planted):
    fits = trial_of(host, planted).old_password
    assert not isinstance(fits, AssertionError), str(fits)
    assert not fits, f"The old password opens the account {', '.join(fits)}."


@objective("shared-credential")
def test_nobody_can_log_in_as_the_service_account_or_root(host, planted):
    trial_of(host, planted)  # first: what a scheduled job changes counts as well
    for user in (SHARED, "root"):
        assert user not in password_hashes(host), f"The account {user} has a password."
    files = {path for path, _ in keys_of(host, SHARED)}
    assert not files, f"Keys in {', '.join(sorted(files))} open the account {SHARED}."
    files = {path for path, _ in keys_of(host, "root")}
    closed = option_word(options_for(host, "root"), "permitrootlogin") == "no"
    assert not files or closed, f"Keys in {', '.join(sorted(files))} open the account root."


@objective("shared-credential")
def test_the_running_sshd_has_read_its_configuration(live, planted):
    assert_sshd_has_read(live, planted.facts["sshd_rules"])


@objective("shared-credential")
def test_the_running_sshd_lets_nobody_in_by_what_was_shared(live, planted):
    """What stands on disk lets nobody out: the sshd that runs is asked as whoever holds key and password."""
    options = live.sshd_config  # one that was started with options of its own is told here
    assert options, "The configuration of sshd on your machine cannot be read."
    knocks = {user: begun(live, user, shared_key(planted)) for user in (SHARED, "root")}
    methods = live.login_methods(SHARED)
    by_password = methods & {"password", "keyboard-interactive"}
    assert not by_password, f"The sshd that runs on your machine takes passwords ({', '.join(by_password)})."
    for user, knock in knocks.items():
        refused = ended(knock).refused
        assert refused, f"On the running machine somebody with the shared key can log in as {user}."
        assert "cannot log in" in refused, (
            f"Whether the shared key opens anything now could not be tried: {refused}."
        )


# --- what sudo allows ----------------------------------------------------------------------------------

AS_ROOT, AS_SHARED = {"root", "#0"}, {SHARED, f"#{SHARED_ID}"}
STARTERS = {SERVICE: "ehr {}", "/etc/init.d/ehr": "{}", "/usr/local/bin/systemctl": "{} ehr"}


def within(duty, command):
    """Whether a command of sudoers is part of a duty, and nothing more."""
    program, _, arguments = command.partition(" ")
    if duty == "on-call" and program in STARTERS:
        wanted = {STARTERS[program].format(verb) for verb in ("restart", "status")}
        return bool(arguments) and alternatives(arguments) <= wanted
    if duty == "reports":
        return program == REPORT
    return duty == "accounts" and program == UNLOCK


def alternatives(arguments):
    """What the arguments of a rule can be: a regular expression of plain choices is written out."""
    if not (arguments.startswith("^") and arguments.endswith("$")):
        return {arguments}
    texts, rest = {""}, arguments[1:-1]
    for plain, choice in re.findall(r"([^()]+)|\(([^()]*)\)", rest):
        texts = {text + piece for text in texts for piece in (choice.split("|") if choice else [plain])}
    return texts


def shown_commands(commands):
    return ", ".join(commands[:3]) + (" and more" if len(commands) > 3 else "")


@objective("sudo-duties")
@pytest.mark.parametrize("duty", ["on-call", "accounts", "reports"])
def test_sudo_gives_a_duty_and_no_more(host, planted, duty):
    assert host.sudoers.valid, "The sudo rules have an error in them; sudo refuses to work with such rules."
    trial_of(host, planted)  # first: what a scheduled job changes counts as well
    user = who_has(planted, duty)
    assert host.user(user).exists, f"{user} has no account, so nothing can be allowed."
    run_as = AS_SHARED if duty == "reports" else AS_ROOT
    for grant in host.sudoers.grants(user):
        commands = [command for command in grant.commands if not command.startswith("!")]
        beyond = [command for command in commands if not within(duty, command)]
        assert not beyond, f"sudo lets {user} ({duty}) run {shown_commands(beyond)}."
        others = set(grant.run_as) - run_as if commands else set()
        assert not others, (
            f"sudo lets {user} ({duty}) run {shown_commands(commands)} as {', '.join(sorted(others))}."
        )
        assert not grant.setenv, f"sudo lets {user} choose the environment of what runs as somebody else."
        assert not grant.chroot, f"sudo runs {user}'s commands inside of {grant.chroot}."


@objective("sudo-duties")
@pytest.mark.parametrize("duty", ["on-call", "accounts", "reports", "deputy"])
def test_everybody_can_do_their_duty(host, planted, duty):
    user = who_has(planted, duty)
    trial = trial_of(host, planted)
    session = trial.sessions.get(user)
    assert session and session.done, f"{user} ({duty}) cannot log in, so the duty was not done."
    effects = {
        "on-call": lambda: bool(trial.daemon_after - trial.daemon_before) and bool(trial.daemon_after),
        "accounts": lambda: host.file(f"{DESK}/unlocked/dr.{user}-{trial.token}").uid == 0,
        "reports": lambda: f"made for {user}\n" in trial.made_for,
        "deputy": lambda: host.file(f"{DESK}/deputy-{trial.token}").exists,
    }
    told = {
        "on-call": "restarted the EHR without a password, and it did not restart",
        "accounts": "unlocked an account without a password, and no account was unlocked",
        "reports": f"made the report as {SHARED} without a password, and none was made",
        "deputy": f"ran a command as root with the password in {FIRST_PASSWORD}, and it did not run",
    }
    assert effects[duty](), f"Through sudo, {user} {told[duty]}."
    beyond = host.file(f"{DESK}/beyond-{user}-{trial.token}")
    assert not beyond.exists, (
        f"Without a password, {user} ({duty}) ran a command as root that the policy does not allow."
    )


def who_has(planted, duty):
    return next(user for user, theirs in planted.facts["duties"].items() if theirs == duty)


@objective("sudo-duties")
def test_the_deputy_is_asked_for_their_own_password(host, planted):
    user = who_has(planted, "deputy")
    assert host.user(user).exists, f"{user} (deputy) has no account."
    open_ones = [grant for grant in host.sudoers.grants(user) if grant.nopasswd]
    told = shown_commands([command for grant in open_ones for command in grant.commands])
    assert not open_ones, f"sudo lets {user} (deputy) run {told} without asking for a password."
    password = first_password(host)
    assert password, f"There is no first password in {FIRST_PASSWORD}."
    assert len(text_of(host, FIRST_PASSWORD).split()) == 1, (
        f"{FIRST_PASSWORD} is not one line with one password."
    )
    assert len(password) >= SHORTEST_PASSWORD, f"The first password is {len(password)} characters long."
    readers = [name for name in people(host, planted) if host.as_user(name).can_read(FIRST_PASSWORD)]
    assert not readers, f"{', '.join(readers)} can read {FIRST_PASSWORD}."


def people(host, planted):
    """Everybody but root and you who has an account, services included."""
    known = [*planted.facts["duties"], "jbaker", "labfeed", "wardapp", SHARED]
    return [
        name
        for name in dict.fromkeys([*known, *new_accounts(host)])
        if host.user(name).exists and name != "akessler"
    ]


@objective("sudo-duties")
def test_nobody_but_the_deputy_has_a_password(host, planted):
    strange = sorted(set(password_hashes(host)) - {who_has(planted, "deputy")} - {SHARED, "root"})
    assert not strange, f"The account {', '.join(strange)} has a password."


def is_the_help_desks(grant):
    """Whether it is the unlock command, and nothing more."""
    only = all(command.split()[0] == UNLOCK for command in grant.commands)
    return only and not grant.setenv and not grant.chroot


@objective("sudo-duties")
def test_nobody_else_has_sudo(host, planted):
    allowed = {*planted.facts["duties"], "akessler", "root"}
    for user in host.accounts.users:
        if user in allowed:
            continue
        grants = [grant for grant in host.sudoers.grants(user) if grant.commands]
        if user == "jbaker":
            grants = [grant for grant in grants if not is_the_help_desks(grant)]
        commands = [command for grant in grants for command in grant.commands]
        assert not grants, f"sudo lets {user} run {shown_commands(commands)}."


@objective("sudo-duties")
def test_sudo_protects_what_it_runs(host, planted):
    assert_sudo_protects(host, people(host, planted))


@objective("sudo-duties")
def test_nobody_is_in_a_group_that_is_as_good_as_root(host, planted):
    for user in people(host, planted):
        if user in {SHARED, "wardapp"}:
            continue
        # By number as well: a group may have been renamed, or have got root's.
        gids = host.accounts.gids_of(user)
        strong = {host.group(name).gid: name for name in GROUPS_LIKE_ROOT if host.group(name).exists}
        found = sorted(strong[gid] for gid in gids & strong.keys())
        assert not found, f"{user} is in the group {', '.join(found)}."


@objective("sudo-duties")
def test_nobody_can_rewrite_what_root_or_the_service_runs(host, planted):
    changes = (change for change in host.changed().changes if not stat.S_ISLNK(change.mode))
    owners = {change.path: change.uid for change in changes if change.path.startswith(THEIR_OWN)}
    paths = sorted({*owners, *relied_on(host)})
    for user in people(host, planted):
        if user == SHARED:
            continue
        allowed = within_reach(host, user, paths, owners)
        assert not allowed, f"{user} can change {', '.join(allowed[:3])}, which root or {SHARED} relies on."
        assert not host.as_user(user).can_read("/etc/shadow"), f"{user} can read /etc/shadow."


def relied_on(host):
    """Programs, folders and rules that sudo and the jobs of root and of the service take from anywhere."""
    found = set()
    for job in host.jobs():
        if job.user in {"root", SHARED}:
            found.update(re.findall(r"/[\w./-]+", job.command))
            found.update(job.environment.get("PATH", "").split(":"))
    folder = "/etc/sudoers.d"
    for path in ("/etc/sudoers", *(f"{folder}/{name}" for name in host.listing(folder))):
        found.update(
            re.findall(r"^\s*[@#]include(?:dir)?\s+\"?(/[^\"\s]+)", text_of(host, path), re.MULTILINE)
        )
    elsewhere = {path for path in found if path and not path.startswith(("/dev/", "/proc/"))}
    return {place for path in elsewhere for place in above(path)}


@objective("sudo-duties")
def test_the_service_cannot_rewrite_what_root_runs(host):
    changes = (change for change in host.changed().changes if not stat.S_ISLNK(change.mode))
    paths = [
        change.path for change in changes if change.path.startswith(("/etc/", "/usr/", "/root", "/opt/"))
    ]
    allowed = [path for path, can in zip(paths, host.can(SHARED, paths, "write"), strict=True) if can]
    assert not allowed, f"{SHARED} can change {', '.join(allowed[:3])}, which is root's business."


@objective("sudo-duties")
def test_nobody_reads_patients_data_without_sudo(host, planted):
    for user in people(host, planted):
        if user == SHARED:
            continue
        found = host.leaks(planted.manifest.identifiers(), readable_by=user)
        assert not found, f"{user} can read {found.summary()}."


@objective("sudo-duties")
def test_no_group_is_anybody_elses_to_open(host):
    assert_own_groups_only(host, ("root", "akessler"))


@objective("sudo-duties")
def test_no_program_lends_its_rights(host):
    assert_no_lent_rights(host)


# --- on record -----------------------------------------------------------------------------------------


@objective("attributable")
def test_sudo_is_the_machines_own(host):
    spoiled = [path for path in host.changed().packaged if "sudo" in path]
    assert not spoiled, f"{', '.join(spoiled)} is not the program that the machine came with."
    # plugins would decide and log in sudo's place
    mine, theirs = (
        ask("hash", path="/etc/sudo.conf", limit=1 << 20).get("sha256")
        for ask in (host.question, host.pristine_question)
    )
    assert mine == theirs, "/etc/sudo.conf is not as the machine came with it."


@objective("attributable")
def test_sudo_itself_writes_a_record(host):
    said = {}
    for line in host.sudoers.defaults:
        if not line.get("Binding"):
            said.update({name: value for option in line.get("Options", ()) for name, value in option.items()})
    places = [
        said.get("syslog", True),
        *(said.get(name, False) for name in ("logfile", "log_output", "log_input")),
    ]
    assert any(value is not False for value in places), "sudo has been told to write nothing down."


@objective("attributable")
def test_every_command_is_on_record_under_its_persons_name(host, planted):
    trial = trial_of(host, planted)
    for user in (*planted.facts["duties"], "jbaker"):
        session = trial.sessions.get(user, Session())
        assert session.done or user == "jbaker", f"{user} cannot log in by name, so nothing is on record."
        assert trial.records.get(user), (
            f"{user} ran a command through sudo, and nothing on the disk says who it was and what it was."
        )


@objective("attributable")
def test_nobody_can_change_the_record(host, planted):
    trial = trial_of(host, planted)
    files = sorted({path for found in trial.records.values() for path in found})
    assert files, "Nothing is on record."
    places = sorted({part for path in files for part in above(path)})
    for user in people(host, planted):
        allowed = within_reach(host, user, places)
        assert not allowed, f"{user} can change {', '.join(allowed[:3])}, where sudo's record is kept."


# --- guards --------------------------------------------------------------------------------------------


@guard("ehr-runs")
def test_the_ehr_answers_the_wards(host, planted):
    trial = trial_of(host, planted)
    assert trial.daemon_before, "After a restart the EHR does not run."
    assert trial.looked_up, "The wards looked a patient up, and the EHR's log says nothing of it."
    assert_runs_as_itself(trial.daemon_before | trial.daemon_after)


@guard("ehr-runs")
def test_the_ehr_runs_on_the_running_machine(live):
    running = daemons(live)
    assert running, "The EHR does not run on your machine at the moment."
    assert_runs_as_itself(running)


def assert_runs_as_itself(running):
    others = sorted({uid for _, uid in running} - {SHARED_ID})
    assert not others, f"The EHR runs as number {', '.join(map(str, others))}, not as {SHARED}."


@guard("jobs-run")
def test_orders_are_filed_and_reported(host, planted):
    trial = trial_of(host, planted)
    assert any(process.name == "cron" for process in host.processes()), "After a restart cron does not run."
    owner = trial.filed[f"DIR-{trial.token}"]
    assert owner is not None, "What cron runs was run, and an order of the laboratory was not filed."
    assert owner == SHARED_ID, f"An order of the laboratory was filed by number {owner}, not by {SHARED}."
    assert trial.reported, "What cron runs was run, and the morning report was not made."
    assert trial.report_owner == SHARED_ID, f"The morning report belongs to number {trial.report_owner}."


@guard("people-get-in")
def test_the_administrators_get_in(host, planted):
    trial = trial_of(host, planted)
    for user in planted.facts["duties"]:
        # Until an account of their own is there, people get in as they always did.
        session = trial.sessions.get(user) or trial.old_key
        assert not session.refused, f"{user} gets in neither by name nor as before: {session.refused}."


@guard("people-get-in")
def test_the_help_desk_and_the_laboratory_get_in(host, planted):
    trial = trial_of(host, planted)
    assert not trial.sessions["labfeed"].refused, f"{trial.sessions['labfeed'].refused}."
    keys = {key for _, key in keys_of(host, "jbaker")}
    assert own_keys(planted)["jbaker"] in keys, "The help desk's SSH key is gone from jbaker's account."
    assert_let_in(host, "jbaker", "the help desk")
    unlocked = host.file(f"{DESK}/unlocked/dr.jbaker-{trial.token}")
    assert unlocked.exists, "The help desk ran the unlock command through sudo, and no account was unlocked."
    order = f"CHK-{trial.token}"
    arrived = trial.filed[order] is not None or host.file(f"{INBOX}/{order}.ord").exists
    assert arrived, "The laboratory's analyser handed in an order, and it did not arrive."


@guard("people-get-in")
def test_you_get_in(host, planted):
    keys = {key for _, key in keys_of(host, "akessler")}
    assert planted.facts["trainee_key"] in keys, "Your own SSH key is gone from akessler's account."
    assert_let_in(host, "akessler", "you")
    grants = host.sudoers.grants("akessler")
    assert any("ALL" in grant.commands and grant.nopasswd for grant in grants), "You no longer have sudo."


@guard("data-intact")
def test_patients_and_orders_are_unchanged(host, planted):
    patients = host.file(planted.facts["database"])
    assert patients.is_file, "The EHR's patient table is gone."
    assert patients.sha256 == planted.facts["database_sha256"], "The EHR's patient table is not what it was."
    gone = [order for order in planted.facts["orders"] if order not in text_of(host, f"{DONE}/{order}.ord")]
    assert not gone, f"{len(gone)} filed orders of the laboratory are gone or not what they were."


@guard("data-intact")
def test_the_authentication_logs_are_unchanged(host, planted):
    lines = frozenset(planted.facts["auth_lines"])
    found = set()
    for name in host.listing("/var/log"):
        if name.startswith("auth.log") and not name.endswith(".gz"):
            found.update(text_of(host, f"/var/log/{name}").splitlines())
    if lines - found:
        found.update(host.find(lines - found).identifiers)
    missing = lines - found
    assert not missing, (
        f"{len(missing)} of {len(lines)} lines of the authentication logs are gone or changed."
    )


@guard("accounts-intact")
def test_everybody_is_who_they_were(host):
    assert_accounts_unchanged(host, ACCOUNTS)
    assert host.user(SHARED).gid == SHARED_ID, f"The account {SHARED} has another group than before."


@guard("accounts-intact")
def test_nobody_is_locked_out(host):
    for name in (*OTHER_LOGINS, "wardapp"):
        assert shadow_of(host).get(name), f"The account {name} is missing from /etc/shadow."
        assert not barred(host, name), f"The account {name} has expired."


# --- the report ----------------------------------------------------------------------------------------

FIELDS = (
    "systems",
    "identifier_kinds",
    "people",
    "shared_account",
    "shared_since",
    "caused_by_change",
    "change_approved_by",
    "known_to",
    "sudo_unlogged_since",
    "unattributed_commands",
    "key_places",
    "private_copies",
    "accounts_made",
    "keys_not_used",
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
    assert_no_patients_in_records(host.find(planted.manifest.identifiers()).paths)
