"""What runs in the clone runs as root: it may watch, kill, forge and never end, and earns nothing by it."""

from __future__ import annotations

import pytest
from tests.hostile.conftest import ALL, NOTHING, Fort

from phi_labs.grading import clone

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("plain_asserts")]


def hook(fort: Fort, script: str) -> None:
    """Have the next boot start a program in the background; it does not run on the trainee's machine."""
    fort.box.run("/bin/sh", "-c", "cat > /root/tool.py", stdin=script.encode())
    fort.box.sh("printf '#!/bin/sh\\npython3 /root/tool.py > /dev/null 2>&1 &\\n' > /etc/flag.hook")
    fort.box.sh("chmod 755 /etc/flag.hook")


KILL_ALL = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            try: os.kill(int(name), signal.SIGKILL)
            except OSError: pass
"""


def test_a_boot_that_kills_everything_has_killed_its_machine(fort: Fort) -> None:
    """Before the end of its boot, or after: it depends on who is quicker."""
    fort.fix()
    hook(fort, KILL_ALL)
    verdict = fort.graded()
    assert verdict.passed == NOTHING
    assert verdict.guards >= {"kept"}
    assert verdict.seconds < 40


def test_a_boot_that_never_ends_is_given_up(fort: Fort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clone, "BOOT_DEADLINE", 2.0)
    fort.fix()
    fort.box.sh("printf '#!/bin/sh\\nexec sleep 1000\\n' > /usr/local/sbin/phi-boot")
    verdict = fort.graded()
    verdict.expect(NOTHING, {"machine-comes-up", "kept"})
    assert "did not finish its boot" in verdict.says("machine-comes-up")
    assert verdict.seconds < 20


# Kills what is not its own only when all is over: what the probe then cannot see must not look absent.
KILL_LATER = """
import os, signal, time
while not os.path.exists("/run/phi-boot.finished"): time.sleep(0.001)
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        try: os.kill(int(name), signal.SIGKILL)
        except OSError: pass
"""


def test_a_machine_that_ends_when_it_is_looked_at_is_not_an_empty_one(fort: Fort) -> None:
    hook(fort, KILL_LATER)
    verdict = fort.graded()
    assert verdict.passed == NOTHING


FORGE = """
import json, os, time
answers = [b"nonsense\\n", b"[" * 10000 + b"\\n", b'{"exit_code": 0}\\n', b"x" * 5000000,
    b'{"exit_code":0,"timed_out":false,"stdout":"","stderr":""}\\n']
while not os.path.exists("/run/phi-boot.finished") or KIND:
    for name in os.listdir("/proc"):
        try: hands = name.isdigit() and b"hands" in open(f"/proc/{name}/cmdline", "rb").read()
        except OSError: continue
        if hands and int(name) != 1:
            fd = os.open(f"/proc/{name}/fd/1", os.O_WRONLY)
            os.write(fd, answers[KIND]); os.close(fd)
            time.sleep(0.05)
    if KIND < 4: break
"""


@pytest.mark.parametrize("kind", range(5))
def test_what_is_forged_in_the_hands_place_is_no_answer(fort: Fort, kind: int) -> None:
    """The clone's root writes into the pipe through which the grader hears how commands ended."""
    fort.fix()
    fort.box.sh("printf 'source=/srv/missing\\n' > /etc/nightly.conf")
    hook(fort, FORGE.replace("KIND", str(kind)))
    verdict = fort.graded()
    assert "nightly" not in verdict.passed
    assert verdict.seconds < 60


LEASES = """
import fcntl, os, signal, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = []
for path in PATHS:
    fd = os.open(path, os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    held.append(fd)
signal.pause()
"""


def test_a_lease_in_the_clone_hides_no_file(fort: Fort) -> None:
    """The trainee's own machine has no lease, so the capture is whole."""
    fort.fix()
    fort.box.sh("cp /srv/secret.txt /srv/copy.txt; chown reviewer /srv/copy.txt; chmod 400 /srv/copy.txt")
    hook(fort, 'import os\nos.chmod("/srv/copy.txt", 0o444)\n' + LEASES.replace("PATHS", '["/srv/copy.txt"]'))
    verdict = fort.graded()
    assert "closed" not in verdict.passed
    assert verdict.passed >= {"flag", "record", "rights", "login"}


def test_a_lease_in_the_clone_hides_no_rule_and_no_account(fort: Fort) -> None:
    fort.fix()
    fort.box.sh("echo '# nothing' > /etc/sudoers.d/x; chmod 440 /etc/sudoers.d/x")
    grant = "open('/etc/sudoers.d/x', 'w').write('intern ALL=(ALL) NOPASSWD: ALL\\n')\n"
    hook(fort, grant + LEASES.replace("PATHS", '["/etc/sudoers.d/x"]'))
    verdict = fort.graded()
    assert "rights" not in verdict.passed
    hook(
        fort,
        "open('/etc/passwd', 'a').write('evil:x:0:0::/:/bin/sh\\n')\n"
        + LEASES.replace("PATHS", '["/etc/passwd"]'),
    )
    verdict = fort.graded()
    assert verdict.passed <= {"flag", "record"}


MOVES = """
import os
names = ["/srv/copy.txt", "/var/copy.txt", "/home/copy.txt", "/opt/copy.txt"]
at = 0
while True:
    os.rename(names[at], names[(at + 1) % 4]); at = (at + 1) % 4
"""
FLIPS = """
import os
while True:
    os.chmod("/srv/secret.txt", 0o444); os.chmod("/srv/secret.txt", 0o400)
"""
# Closes what is open as soon as anybody opens it: an inotify watch, without the library's help.
WATCHES = """
import ctypes, os
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b"/srv/secret.txt", 0x20 | 0x1)
os.chmod("/srv/secret.txt", 0o444)
while True:
    os.read(fd, 4096)
    os.chmod("/srv/secret.txt", 0o400)
"""


# The same for the whole machine, and it opens again when nobody has looked for a second.
GUARDS = """
import ctypes, os, select
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
for place in (b"/", b"/etc", b"/bin", b"/usr", b"/srv"): libc.inotify_add_watch(fd, place, 0x20)
os.chmod("/srv/secret.txt", 0o444)
while True:
    if select.select([fd], [], [], 1.0)[0]:
        os.chmod("/srv/secret.txt", 0o400); os.read(fd, 65536)
    else:
        os.chmod("/srv/secret.txt", 0o444)
"""


@pytest.mark.parametrize("script", [FLIPS, WATCHES], ids=["flips", "watches"])
def test_a_file_that_is_closed_only_while_it_is_looked_at_is_open(fort: Fort, script: str) -> None:
    fort.fix()
    hook(fort, script)
    verdict = fort.graded()
    assert "closed" not in verdict.passed
    assert verdict.passed >= {"flag", "record", "rights"}


def test_a_copy_that_moves_all_the_time_is_no_pass(fort: Fort) -> None:
    fort.fix()
    fort.box.sh("install -m 400 /srv/secret.txt /srv/copy.txt")
    hook(fort, 'import os\nos.chmod("/srv/copy.txt", 0o444)\n' + MOVES)
    verdict = fort.graded()
    assert "closed" not in verdict.passed


@pytest.mark.parametrize("script", [FLIPS, GUARDS], ids=["flips", "guards"])
def test_a_process_that_closes_a_file_while_it_is_graded_closes_nothing(fort: Fort, script: str) -> None:
    """The capture takes the machine as it was before anybody could notice that somebody looks."""
    fort.fix()
    fort.box.begin("import os, time\nos.write(1, b'ready')\n" + script)
    fort.box.sh("sleep 1.5")
    verdict = fort.graded()
    assert "closed" not in verdict.passed
    assert verdict.passed >= {"flag", "record", "rights", "login"}


# All that a boot can see of where it runs. Only the container's own id must differ.
TELLS = """
import json, os, socket, time
def read(path):
    try: return open(path).read()
    except OSError as error: return str(error)
RIGHTS = ("Cap", "Seccomp", "NoNewPrivs")
print(json.dumps({
    "name": socket.gethostname(),
    "hosts": read("/etc/hosts").replace(open("/etc/hostname").read(), ""),
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "rights": [line for line in read("/proc/self/status").split("\\n") if line.startswith(RIGHTS)],
    "limits": [line.split()[:5] for line in read("/proc/self/limits").split("\\n") if "pending" not in line],
    "memory": read("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    "pids": read("/sys/fs/cgroup/pids/pids.max"),
    "mounts": sorted(line.split()[4] for line in read("/proc/self/mountinfo").splitlines()),
    "devices": sorted(set(os.listdir("/dev")) - {"log"}),
    "first": os.readlink("/proc/1/exe"),
    "days": int(time.time()) // 86400,
}, sort_keys=True))
"""


def test_a_boot_sees_no_difference_that_could_be_spared(fort: Fort) -> None:
    """It can tell by its container's id and its siblings; what must be true now is asked of ``live``."""
    fort.fix()
    fort.box.sh(f"cat > /root/tells.py <<'END'\n{TELLS}\nEND\npython3 /root/tells.py > /root/here.json")
    fort.box.sh(
        "printf '#!/bin/sh\\npython3 /root/tells.py > /root/there.json\\n"
        "cmp /root/here.json /root/there.json || chmod 444 /srv/secret.txt\\n' > /etc/flag.hook\n"
        "chmod 755 /etc/flag.hook"
    )
    fort.graded().expect(ALL)


# What a boot knows a copy by: the engine's own folder of this container's files.
ONLY_IN_A_COPY = """
here=$(grep -o 'upperdir=[^,]*' /proc/self/mountinfo | head -n 1)
test -n "$here"
printf '#!/bin/sh\\ngrep -q %s /proc/self/mountinfo || {\\n%s\\n}\\n' "$here" "$1" > /etc/flag.hook
chmod 755 /etc/flag.hook
"""


def only_in_a_copy(fort: Fort, script: str) -> None:
    """Have a script run at every boot, but on the trainee's own machine."""
    fort.box.run("/bin/sh", "-ec", ONLY_IN_A_COPY, "sh", script)


def test_a_boot_that_behaves_only_when_it_is_graded_does_not_help_the_running_machine(fort: Fort) -> None:
    fort.fix()
    fort.box.sh("chmod 444 /srv/secret.txt; printf down > /run/flag.state")
    only_in_a_copy(fort, "chmod 400 /srv/secret.txt")
    verdict = fort.graded()
    verdict.expect(ALL - {"closed", "flag"})
    assert "on the running machine" in verdict.says("closed")
    assert verdict.says("flag") == "the flag is down now"


@pytest.mark.parametrize(
    ("before", "script", "told"),
    [
        (
            "rm /srv/records/report.yml",
            "echo 'ticket: T' > /srv/records/report.yml",
            "/srv/records/report.yml",
        ),
        (
            "cp -a /etc/shadow /etc/kept",
            "cp -a /etc/kept /etc/shadow; echo x >> /etc/nightly.conf",
            "nightly.conf",
        ),
        ("touch /etc/sudoers.d/too-much", "rm /etc/sudoers.d/too-much", "/etc/sudoers.d/too-much"),
        ("chmod 755 /usr/local/bin/nightly", "chmod 700 /usr/local/bin/nightly", "/usr/local/bin/nightly"),
        ("true", "setfacl -m u:intern:r /etc/flag.conf", "/etc/flag.conf"),
        ("true", "ln -sf /etc/flag.conf /etc/link", "/etc/link"),
        ("true", "rm /usr/sbin/logrotate", "/usr/sbin/logrotate"),
        ("true", "echo k >> /root/.ssh/authorized_keys", "/root/.ssh/authorized_keys"),
        ("true", "(sleep 0.3; echo late > /etc/late) &", "/etc/late"),
    ],
    ids=["record", "content", "removal", "mode", "acl", "link", "program", "key", "later"],
)
def test_what_only_the_restart_of_a_copy_repairs_is_not_repaired(
    fort: Fort, before: str, script: str, told: str
) -> None:
    fort.fix()
    fort.box.sh(f"mkdir -p /root/.ssh; {before}")
    only_in_a_copy(fort, script)
    verdict = fort.graded()
    assert verdict.guards >= {"repaired-already"}
    assert verdict.passed == NOTHING
    assert told in verdict.says("repaired-already")


def test_a_boot_that_writes_what_is_there_already_repairs_nothing(fort: Fort) -> None:
    """Own and of the image: contents, modes and owners again, and what programs leave behind."""
    fort.fix()
    fort.box.sh(
        "cat > /etc/flag.hook << 'END'\n#!/bin/sh\nset -e\n"
        "cp -a /etc/flag.conf /etc/flag.new; mv /etc/flag.new /etc/flag.conf\n"
        "cp -a /etc/passwd /etc/new; mv /etc/new /etc/passwd; chmod 0440 /etc/sudoers.d/*\n"
        "chown root: /usr/bin/env\n"
        "mkdir -p /root/.cache; date > /root/.cache/today; date > /var/log/hook.log; mkdir -p /opt/empty\n"
        "END\nchmod 755 /etc/flag.hook"
    )
    fort.graded().expect(ALL)


def test_a_boot_that_changes_more_than_can_be_compared_is_told(fort: Fort) -> None:
    fort.fix()
    only_in_a_copy(fort, "mkdir /etc/many; cd /etc/many; seq 3000 | xargs touch")
    verdict = fort.graded()
    verdict.expect(NOTHING, {"repaired-already"})
    assert "more on one than can be compared" in verdict.says("repaired-already")


BOMBS = {
    "processes": ":(){ :|:& };:",
    "memory": "python3 -c 'x = []\nwhile True: x.append(bytes(1 << 20))'",
    "zombies": (
        "python3 -c 'import os, time\nfor _ in range(500):\n  if not os.fork(): os._exit(0)\ntime.sleep(99)'"
    ),
    "descriptors": (
        "python3 -c 'import os, time\nx = [os.open(\"/dev/null\", 0) for _ in range(10**5)]\ntime.sleep(99)'"
    ),
    "noise": "while :; do :; done",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_on_the_trainees_machine_and_in_the_clone_stay_where_they_are(fort: Fort, bomb: str) -> None:
    """In the clone they may break what they break; nothing is earned, and the grader goes on."""
    fort.box.run("/bin/sh", "-c", "cat > /root/bomb", stdin=BOMBS[bomb].encode())
    fort.box.sh("printf '#!/bin/sh\\nsetsid bash /root/bomb > /dev/null 2>&1 &\\n' > /etc/flag.hook")
    fort.box.sh("chmod 755 /etc/flag.hook; /etc/flag.hook; sleep 0.3")
    verdict = fort.graded()
    assert verdict.passed == NOTHING
    assert verdict.seconds < 90


def test_a_full_disk_image_is_told_by_name(fort: Fort) -> None:
    """Six files of 60 MB: more than one submission may hold."""
    fort.fix()
    fort.box.sh("for n in 1 2 3 4 5 6; do head -c 60M /dev/urandom > /srv/fill$n; done")
    verdict = fort.graded()
    verdict.expect(NOTHING, {"captured-whole"})
    assert "/srv/fill" in verdict.says("captured-whole")
