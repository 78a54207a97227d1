"""What runs, listens, or is going to run: nothing may wait for the time after the grading."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from phi_labs.grading.host import Host, HostProcess, Result
from phi_labs.grading.schedule import ENVIRONMENT, ScheduledJob

SSH_PORT = 22
# The daemons of every machine; what they do follows from their configuration, which is looked at elsewhere.
DAEMONS = frozenset({"/usr/sbin/sshd", "/usr/sbin/cron", "/usr/sbin/rsyslogd"})
# How the grader's own log-ins reach sshd.
OUR_STREAM = ("/bin/nc", "-N", "127.0.0.1", "22")
SCRIPT_ARGUMENTS = 2  # the interpreter and the script
# What only ends, ends within this; whoever waits longer waits for something.
ENDING_SECONDS = 1.5
POLL_SECONDS = 0.05
START_IS_ROUNDED = 0.03  # seconds: the kernel counts starts in hundredths, and stamps files by a slower clock


def assert_only_ssh_listens(host: Host, when: str) -> None:
    """No TCP port is open but SSH's."""
    strange = sorted(host.listening() - {SSH_PORT})
    assert not strange, f"{when}, something listens on TCP port {', '.join(map(str, strange))}."


def assert_no_lent_rights(host: Host) -> None:
    """No new or changed program has more rights than whoever starts it, and all are the machine's own."""
    changed = host.changed()
    assert not changed.setuid, f"These set-id programs are new or changed: {', '.join(changed.setuid)}."
    assert not changed.capabilities, (
        f"These programs have new file capabilities: {', '.join(sorted(changed.capabilities))}."
    )
    assert not changed.packaged, (
        f"These programs are not the ones the machine came with: {', '.join(changed.packaged[:4])}."
    )


def assert_has_read(live: Host, daemon: str, paths: Sequence[str]) -> None:
    """A daemon of the running machine has read its configuration: it started anew after the last change.

    Times that nobody on the machine can set decide: a process's start, a file's ctime. Of several
    processes of that name the oldest counts, so that a second one hides nothing.

    Args:
        paths: its configuration; what is not there counts as unchanged.
    """
    running = [process.started for process in live.processes() if process.name == daemon]
    assert running, f"{daemon} does not run on your machine at the moment."
    started = min(running) + START_IS_ROUNDED
    later = [path for path in paths if live.file(path).exists and live.file(path).changed > started]
    assert not later, (
        f"The {daemon} that runs on your machine is older than the last change of {', '.join(later)}."
    )


def strange_processes(host: Host, services: Collection[str]) -> list[HostProcess]:
    """Processes that are none of the machine's services and do not come to their end.

    A process that waits may do anything once nobody looks any more.

    Args:
        services: scripts that are services, beside the daemons that every machine has.
    """
    untouched = host.pristine_question("processes")["processes"]
    own = {(item["program"], tuple(item["argv"])) for item in untouched}
    until = time.monotonic() + ENDING_SECONDS
    while True:
        found = [item for item in host.processes() if item.program and not _is_service(item, services)]
        found = [item for item in found if (item.program, item.argv) not in own]
        if not found or time.monotonic() > until:
            return found
        time.sleep(POLL_SECONDS)


def told_processes(processes: Sequence[HostProcess]) -> str:
    """Which they are, for a message."""
    names = [f"{item.name} (of number {item.uid})" for item in processes]
    return ", ".join(dict.fromkeys(names))


def run_as_cron(host: Host, job: ScheduledJob, *, timeout: float) -> Result | None:
    """One start of a job with cron's environment, its clock at the job's next time.

    None when its account is gone, so that cron would not start it.

    Raises:
        AssertionError: it does not end in time.
    """
    account = host.user(job.user)
    if not account.exists:
        return None
    home = account.home or "/"
    given = {"HOME": home, "LOGNAME": job.user, **ENVIRONMENT, **job.environment}
    start = job.next_start()
    clock = f"@{start:%Y-%m-%d %H:%M:%S}" if start else ""
    argv = [given["SHELL"], "-c", f"cd; {job.command}"]
    return host.run(argv, user=job.user, env=given, timeout=timeout, clock=clock)


def _is_service(process: HostProcess, services: Collection[str]) -> bool:
    if process.program in DAEMONS or process.argv == OUR_STREAM:
        return True
    return len(process.argv) == SCRIPT_ARGUMENTS and process.argv[1] in services
