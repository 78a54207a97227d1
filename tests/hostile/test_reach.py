"""Ways out of the lab, ways to be somebody else, and ways not to be graded at all."""

from __future__ import annotations

import json
import platform
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.hostile.conftest import ALL, NOTHING, Fort
from tests.machines.conftest import HERE as MACHINES

from phi_labs.engine.docker import Engine
from phi_labs.grading import clone

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("plain_asserts")]


@pytest.fixture
def service() -> Iterator[int]:
    """A port at which this machine answers on every address (the kernel greets, nobody need accept)."""
    with socket.create_server(("", 0)) as server:
        yield int(server.getsockname()[1])


REACH = """
import json, os, socket, sys
os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"
port, found = int(sys.argv[1]), []
addresses = ("172.17.0.1", "172.18.0.1", "10.0.0.1", "192.168.0.1", "1.1.1.1", "169.254.169.254")
for address in (*addresses, *sys.argv[2:]):
    for number in (port, 22, 53, 80, 2375, 2376):
        try: found.append([socket.create_connection((address, number), 0.3).getpeername()])
        except OSError: pass
for name in ("debian.org", "host.docker.internal", "gateway.docker.internal", "docker"):
    try: found.append([name, socket.getaddrinfo(name, 80)[0][4][0]])
    except OSError: pass
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
    if os.path.exists(path): found.append(path)
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/release_agent",
        "/dev/mem", "/dev/sda", "/dev/vda", "/proc/kcore", "/sys/kernel/uevent_helper"):
    try: os.close(os.open(path, os.O_RDWR)); found.append(path)
    except OSError: pass
others = [name for name in os.listdir("/proc") if name.isdigit()]
found += [name for name in others if b"docker" in open(f"/proc/{name}/cmdline", "rb").read().split(b"\\0")[0]
    and b"docker-init" not in open(f"/proc/{name}/cmdline", "rb").read()]
print(json.dumps(found))
"""
BREAK_OUT = """
import ctypes, os
libc, found = ctypes.CDLL(None, use_errno=True), []
def tried(name, code):
    if code == 0: found.append(name)
tried("mount", libc.mount(b"none", b"/mnt", b"tmpfs", 0, None))
tried("unshare user", libc.unshare(0x10000000)); tried("unshare mount", libc.unshare(0x20000))
tried("umount", libc.umount2(b"/etc/hosts", 2)); tried("sethostname", libc.sethostname(b"other", 5))
tried("set time", libc.clock_settime(0, b"\\1" * 16))
tried("reboot", libc.reboot(0)); tried("module", libc.syscall(175, b"x", 1, b""))
os.mknod("/root/disk", 0o60600, os.makedev(8, 0)); os.mknod("/root/mem", 0o20600, os.makedev(1, 1))
for name in ("disk", "mem"):
    try: os.close(os.open("/root/" + name, os.O_RDWR)); found.append(name)
    except OSError: pass
import socket
try: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); found.append("raw socket")
except OSError: pass
print(found)
"""


def test_nothing_outside_of_the_lab_is_in_reach(fort: Fort, bystander: Fort, service: int) -> None:
    """The engine, another run, services of this machine, the internet, DNS; mounts, time, devices."""
    rows = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    own = {str(row[4][0]) for row in rows if not str(row[4][0]).startswith("127.")}
    said = fort.box.run("/usr/bin/python3", "-I", "-c", REACH, str(service), *own)
    assert json.loads(said.stdout) == [], said.stderr
    tried = fort.box.run("/usr/bin/python3", "-I", "-c", BREAK_OUT)
    assert tried.stdout == b"[]\n", tried.stdout + tried.stderr
    fort.fix()
    fort.graded().expect(ALL)


def test_another_run_cannot_be_seen_or_signalled(fort: Fort, bystander: Fort) -> None:
    theirs = bystander.box.pid
    said = fort.box.run("/bin/sh", "-c", f"ls -d /proc/{theirs}/root; kill -0 {theirs}; kill -KILL -1; true")
    assert b"/root\n" not in said.stdout
    assert bystander.box.sh("cat /run/flag.state") == "up"


LOCKED = "rm -rf /home/*/.ssh; for u in itops intern reviewer; do usermod -L -e 1 $u; done"
REPLACED = "ssh-keygen -q -t ed25519 -N '' -f /root/k; cp /root/k.pub /home/reviewer/.ssh/authorized_keys"
MOVED = "echo 'Port 2222' > /etc/ssh/sshd_config.d/20-port.conf; service ssh restart"
WITHOUT = "service ssh stop; update-rc.d ssh disable; rm /etc/init.d/ssh"
ENORMOUS = "yes 'ssh-ed25519 AAAA x' | head -c 2M > /home/reviewer/.ssh/authorized_keys"
ANY_KEY = """
printf '#!/bin/sh\\necho "$2 $3"\\n' > /usr/local/bin/any; chmod 755 /usr/local/bin/any
printf 'AuthorizedKeysCommand /usr/local/bin/any %%u %%t %%k\\nAuthorizedKeysCommandUser root\\n' \\
    > /etc/ssh/sshd_config.d/00-any.conf
echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/00-root.conf
"""


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (LOCKED, "reviewer cannot log in"),
        (REPLACED, "reviewer cannot log in"),
        (MOVED, "something else listens"),
        (WITHOUT, "reviewer cannot log in"),
        (ENORMOUS, "reviewer cannot log in"),
        (ANY_KEY, "root may log in"),
    ],
    ids=["locked out", "replaced", "moved", "without", "enormous", "any key"],
)
def test_whoever_spoils_logins_is_graded_all_the_same(fort: Fort, script: str, told: str) -> None:
    """Grading needs no login of the trainee's."""
    fort.fix()
    fort.box.sh(script)
    verdict = fort.graded()
    verdict.expect(ALL - {"login"})
    assert told in verdict.says("login"), verdict.says("login")


IMPOSTOR = """
import os, socket, time
while True:
    server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try: server.bind(("", 22)); break
    except OSError: os.system("pkill -x sshd"); time.sleep(0.01)
server.listen()
while True:
    client, _ = server.accept()
    client.sendall(b"SSH-2.0-OpenSSH_9.2p1\\r\\n" + b"\\x00" * 100000 + b"\\x1b[2J" * 1000)
"""


def test_an_impostor_on_port_22_is_told_by_its_name(fort: Fort) -> None:
    fort.fix()
    fort.box.run("/bin/sh", "-c", "cat > /root/impostor.py", stdin=IMPOSTOR.encode())
    fort.box.sh("printf '#!/bin/sh\\npython3 /root/impostor.py &\\nsleep 0.5\\n' > /etc/flag.hook")
    fort.box.sh("chmod 755 /etc/flag.hook")
    verdict = fort.graded()
    verdict.expect(ALL - {"login"})
    assert "answers on port 22" in verdict.says("login")


# -- who is PID 1, and what is its root ------------------------------------------------------------


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the attack is written for x86-64")
def test_a_first_process_moved_to_a_decoy_by_ptrace_is_refused(fort: Fort) -> None:
    """ptrace and chroot of PID 1; every place on which it may stand: tests/machines/test_capture.py."""
    fort.fix()
    assert fort.box.python(MACHINES / "ptrace_chroot.py") == b"chroot: 0"
    verdict = fort.graded()
    verdict.expect(NOTHING, {"captured-whole", "kept"})
    assert "no longer stands in the machine's own root" in verdict.says("captured-whole")


STALLS = {
    "a lease on the engine's own file": (
        "import fcntl, os, signal\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\n"
        "fd = os.open('/etc/hosts', os.O_RDWR)\nfcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
    ),
    "nothing but noise in the engine's own file": "open('/etc/hosts', 'wb').write(os.urandom(300000))\n",
    "no /etc/passwd at all": "os.remove('/etc/passwd')\n",
    "no programs at all": (
        "import shutil\nshutil.rmtree('/usr/bin', True); shutil.rmtree('/usr/sbin', True)\n"
    ),
    "no libraries at all": "import shutil\nshutil.rmtree('/usr/lib', ignore_errors=True)\n",
    "everything gone": "import shutil\nshutil.rmtree('/', ignore_errors=True)\n",
    "all processes stopped": "os.kill(-1, 19)\n",
}


@pytest.mark.parametrize("stall", STALLS)
def test_breaking_the_lab_is_no_way_to_stall(fort: Fort, stall: str) -> None:
    """An attempt is counted, the verdict is what is true of it, and it does not take for ever."""
    box, script = fort.box, STALLS[stall]
    if "stopped" in stall:
        script = "import os\nos.write(1, b'ready')\n" + script
    else:
        script = "import os, signal\n" + script + "os.write(1, b'ready')\nsignal.pause()\n"
    box.begin(script)
    verdict = fort.graded()
    verdict.expect(NOTHING, verdict.guards)
    assert verdict.seconds < 60


def test_the_grader_runs_nothing_as_the_trainees_name(fort: Fort) -> None:
    """Ids are numbers: a reviewer who became root in passwd runs as root in the clone, and is told."""
    fort.fix()
    fort.box.sh("sed -i s/^reviewer:x:1002/reviewer:x:0/ /etc/passwd")
    verdict = fort.graded()
    assert "rights" not in verdict.passed
    assert "reviewer" in verdict.says("rights")


def test_the_engine_answers_while_a_lab_tries_to_block_it(
    fort: Fort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine looks into a container's passwd to start a process there: a FIFO must not hold it up."""
    monkeypatch.setattr(clone, "BOOT_DEADLINE", 3.0)
    fort.box.sh("rm /etc/passwd; mkfifo /etc/passwd")
    engine = Engine()
    errors: list[BaseException] = []

    def start() -> None:
        try:
            engine.exec_stream(fort.run.containers["one"], ["/bin/true"]).close()
        except Exception as error:  # whatever it says, it must say something
            errors.append(error)

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    thread.join(5)
    assert fort.installation.engine.version()
    assert fort.installation.engine.inspect(fort.run.containers["one"]).running
    fort.graded().expect(NOTHING, {"machine-comes-up", "kept"})
    thread.join(20)
    assert not thread.is_alive(), errors
