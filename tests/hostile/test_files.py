"""Files made to be missed, to block, to mislead or to fill the grader."""

# ruff: noqa: S108 - the paths are the lab's

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hostile.conftest import ALL, NOTHING, Fort

from phi_labs.grading.host import sweeps

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("plain_asserts")]

# Everything at once that is odd and harmless: a right fix beside it is still right.
NOISE = """
mkdir /srv/odd; cd /srv/odd
mkfifo -m 666 fifo /srv/records/fifo; mknod -m 666 zero c 1 5; mknod -m 666 disk b 7 0
truncate -s 20G sparse; ln -s loop2 loop1; ln -s loop1 loop2; ln -s . here; ln -s / root; ln -s ../../../.. up
ln -s /proc/self/root/etc/shadow magic; ln -s /etc/shadow shadow; ln -s /dev/tcp/x dangling
python3 - <<'END'
import os, socket
for name in (b"new\\nline", b"\\xff\\xfe", b"tab\\t", b" ", b"-rf", b"\\\\", b"\\"", b"%s%n", b"\\x1b[2J",
        b"x" * 255, "\\u202e".encode()):
    open(b"/srv/odd/" + name, "w").close(); os.mkdir(b"/srv/odd/d" + name[:254])
os.chdir("/srv/odd")
server = socket.socket(socket.AF_UNIX); server.bind("/srv/odd/socket")
for number in range(2000): os.link("sparse", f"link{number}")
for _ in range(30): os.mkdir("d" * 200); os.chdir("d" * 200)
open("file", "w").close()
os.chdir("/srv/odd")
for _ in range(700): os.mkdir("e"); os.chdir("e")
open("/srv/odd/attributes", "w").close()
for number in range(40): os.setxattr("/srv/odd/attributes", f"user.n{number}", b"x" * 50)
os.system("touch acl; setfacl -m " + ",".join(f"u:{n}:r" for n in range(5000, 5300)) + " /srv/odd/acl")
os.utime("/srv/odd/attributes", ns=(2**62, 2**62)); os.utime("/srv/odd/sparse", ns=(-1, -1))
END
"""


def test_odd_names_links_devices_and_holes_neither_block_nor_tear_anything(fort: Fort) -> None:
    fort.fix()
    fort.box.sh(NOISE)
    verdict = fort.graded()
    verdict.expect(ALL)
    assert verdict.seconds < 20


@pytest.mark.slow
def test_a_hundred_thousand_files_beside_a_right_fix_are_still_a_pass(fort: Fort) -> None:
    fort.fix()
    make = (
        "import os\nos.mkdir('/srv/m')\nfor n in range(100000): os.close(os.open(f'/srv/m/{n}', os.O_CREAT))"
    )
    fort.box.run("/usr/bin/python3", "-c", make)
    verdict = fort.graded()
    verdict.expect(ALL)
    assert verdict.seconds < 180


DEEP = """
import os
os.chdir("/srv")
for _ in range(1200): os.mkdir("d" * 250); os.chdir("d" * 250)
for number in range(2000): os.close(os.open(str(number), os.O_CREAT))
"""


def test_paths_of_a_third_of_a_megabyte_are_too_much_and_told_in_short(fort: Fort) -> None:
    fort.fix()
    fort.box.run("/usr/bin/python3", "-c", DEEP)
    verdict = fort.graded()
    assert verdict.passed == NOTHING
    assert verdict.guards == {"captured-whole", "kept"} or verdict.guards >= {"captured-whole"}
    assert len(verdict.card.to_json()) < 50_000
    assert verdict.seconds < 60


COPIES = {
    "a path over 4096 bytes": """
os.chdir("/srv")
for _ in range(30): os.mkdir("d" * 200); os.chdir("d" * 200)
open("copy", "wb").write(secret)
""",
    "a name that is no text": r"open(b'/srv/\xff\n\x1b[2J', 'wb').write(secret)",
    "behind a directory that is a link": """
os.system("mv /srv/records /srv/r2; ln -s /srv/r2 /srv/records")
open("/srv/records/copy", "wb").write(secret)
""",
    "behind 20 GB of nothing": "f = open('/srv/copy', 'wb'); f.seek(20 << 30); f.write(secret)",
    "a hard link in another folder": "os.link('/srv/secret.txt', '/srv/link'); os.chmod('/srv/link', 0o444)",
    "packed three times": """
import gzip, bz2, lzma
open("/srv/copy", "wb").write(gzip.compress(bz2.compress(lzma.compress(secret))))
""",
    "an access list": """
os.system("cp -a /srv/secret.txt /srv/copy; chmod 400 /srv/copy; setfacl -m u:intern:r /srv/copy")
""",
}
READ_IT = "import os\nsecret = open('/srv/secret.txt', 'rb').read()\n"


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_found_wherever_it_hides(fort: Fort, copy: str) -> None:
    fort.fix()
    said = fort.box.run("/usr/bin/python3", "-c", READ_IT + COPIES[copy])
    assert said.exit_code == 0, said.stderr
    verdict = fort.graded()
    verdict.expect(ALL - {"closed"})
    assert "reads /" in verdict.says("closed")


def test_identifiers_in_memory_files_are_found_on_the_running_machine(fort: Fort) -> None:
    fort.fix()
    fort.box.sh(
        "cp /srv/secret.txt /dev/shm/copy; cp /srv/secret.txt /run/copy; chmod 644 /dev/shm/copy /run/copy"
    )
    verdict = fort.graded()
    verdict.expect(ALL - {"closed"})
    assert "/dev/shm/copy" in verdict.says("closed")
    assert "on the running machine" in verdict.says("closed")


BOMBS = """
import gzip, io, zipfile, bz2, lzma
nothing = bytes(1 << 20)
with gzip.open("/srv/bomb.gz", "wb", 9) as f:
    for _ in range(1000): f.write(nothing)
inner = open("/srv/bomb.gz", "rb").read()
for n in range(3): open(f"/srv/bomb{n}.gz.gz", "wb").write(gzip.compress(inner))
open("/srv/bomb.xz", "wb").write(lzma.compress(nothing * 200))
with zipfile.ZipFile("/srv/bomb.zip", "w", zipfile.ZIP_DEFLATED) as z:
    for n in range(200): z.writestr(str(n), nothing * 5)
data = b"x"
for _ in range(40): data = gzip.compress(data)
open("/srv/onion", "wb").write(data)
open("/srv/broken.gz", "wb").write(inner[:-100])
open("/srv/not.zip", "wb").write(b"PK\\3\\4" + b"\\xff" * 5000)
open("/srv/lies.db", "wb").write(b"SQLite format 3\\0" + b"\\xff" * 100000)
open("/srv/dump", "wb").write(b"PGDMP" + b"\\xff" * 100000)
"""


def test_archive_bombs_cost_little_and_hide_nothing_else(fort: Fort) -> None:
    """A right fix beside them is right, and a readable copy beside them is found."""
    fort.box.run("/usr/bin/python3", "-c", BOMBS)
    untouched = fort.graded()
    untouched.expect(NOTHING)
    assert "/srv/secret.txt" in untouched.says("closed")
    assert untouched.seconds < 120
    fort.fix()
    fort.graded().expect(ALL)


def test_a_sweep_that_cannot_end_is_no_pass(fort: Fort, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hides a copy behind more than can be searched hides nothing."""
    monkeypatch.setattr(sweeps, "SWEEP_BYTES", 1 << 20)
    fort.fix()
    fort.box.sh("head -c 3M /dev/urandom > /etc/aaa")
    verdict = fort.graded()
    assert "closed" not in verdict.passed
    assert verdict.passed >= {"flag", "record", "login"}


# -- places outside of the lab --------------------------------------------------------------------


def test_links_to_the_graders_own_files_lead_nowhere(fort: Fort, tmp_path: Path) -> None:
    """Neither is anything of them read into a message, nor do they help as a record."""
    secret = tmp_path / "of-the-grader"
    secret.write_text(f"ticket: {fort.ticket}\n")
    secret.chmod(0o644)
    state = fort.installation.state.root
    fort.fix(record=False)
    fort.box.sh(
        f"ln -s {secret} /srv/records/report.yml; ln -s {state} /srv/state\n"
        f"ln -s /proc/1/root{secret} /srv/x; mkdir -p {secret.parent}; ln -s /proc/1/root{secret} {secret}"
    )
    verdict = fort.graded()
    verdict.expect(ALL - {"record"})
    assert verdict.says("record") in (
        "there is no record at /srv/records/report.yml",
        "/srv/records/report.yml is not a regular file",
    )


def test_a_directory_turned_into_a_link_leads_no_removal_astray(fort: Fort) -> None:
    """In the clone, what is gone below it is removed: never through the link."""
    fort.fix()
    fort.box.sh(
        "mkdir /srv/keep; cp -a /etc/cron.d /etc/init.d /srv/keep/\n"
        "rm -r /etc/cron.d; ln -s /etc/init.d /etc/cron.d\n"
        "cp -a /var/lib/nightly /srv/keep/; rm -r /usr/share/misc; ln -s /etc /usr/share/misc"
    )
    fort.graded().expect(ALL)


def test_a_file_cut_off_or_grown_while_it_is_captured_keeps_the_capture_in_step(fort: Fort) -> None:
    fort.fix()
    fort.box.begin(
        "import os\nos.write(1, b'ready')\n"
        "fd = os.open('/srv/moving', os.O_CREAT | os.O_RDWR)\n"
        "while True: os.ftruncate(fd, 0); os.write(fd, b'x' * 3000000)\n"
    )
    fort.graded().expect(ALL)
