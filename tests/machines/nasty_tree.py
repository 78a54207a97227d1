"""Runs inside a machine, as root: leaves behind everything that is awkward to copy. Standard library only."""
# Names are bytes that pathlib cannot hold, and the modes are meant to be odd:
# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH108, PTH123, PTH211, S103

import os
import shutil
import socket
import stat
import subprocess
import sys

HOME = "/srv/nasty"


def write(path: str | bytes, data: bytes = b"data\n", mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    with open(path, "wb") as file:
        file.write(data)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def names() -> None:
    os.mkdir("names")
    odd = [
        b"\xff\xfe", b"\xed\xa0\x80", b"new\nline", b"tab\tbell\a", b" leading", b"trailing ", b"-rf", b"...",
        b"quote'\"`$x", b"back\\slash", b"*?[a]", "ünï→漢字".encode(), "u\u0308".encode(), "\u00fc".encode(),
        b"n" * 255, b"\xc3\xa9" * 127, b"{}", b"\x01\x7f", b"~", b"#hash", b"%41", b"nul",
    ]  # fmt: skip
    for name in odd:
        write(b"names/" + name, name)
    os.mkdir(b"names/dir\n\xff")
    write(b"names/dir\n\xff/inner\xfe", b"x")
    os.symlink(b"dir\n\xff/inner\xfe", b"names/link\xfd")
    os.symlink("t" * 4000, "names/long-target")


def descend(parts: list[bytes]) -> None:
    fd = os.open(".", os.O_RDONLY)
    for part in parts:
        os.mkdir(part, 0o750, dir_fd=fd)
        inner = os.open(part, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    file = os.open("bottom", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd)
    os.write(file, b"at the bottom of %d" % len(parts))
    os.close(file)
    os.link("bottom", "bottom-again", src_dir_fd=fd, dst_dir_fd=fd)
    os.symlink("bottom", "bottom-link", dir_fd=fd)
    os.utime("bottom", ns=(1, 1_234_567_891), dir_fd=fd)
    os.close(fd)


def attributes() -> None:
    os.mkdir("acl")
    write("acl/named", mode=0o640)
    run("setfacl", "-m", "u:intern:r--,g:adm:rw-,m::r--", "acl/named")
    os.mkdir("acl/default", 0o2770)
    run("setfacl", "-m", "d:u:intern:rwx,d:g:adm:r-x,d:o::---,u:reviewer:r-x", "acl/default")
    write("acl/default/inherits")
    os.mkdir("acl/default/sub")
    write("acl/unnamed-uid")
    run("setfacl", "-m", "u:54321:rw", "acl/unnamed-uid")
    write("acl/narrow", mode=0o000)
    run("setfacl", "-m", "u:intern:r", "acl/narrow")
    run("setfacl", "-m", "u:intern:r--", "/etc/shadow")  # of the image
    run("setfacl", "-m", "d:u:intern:r-x", "/var/log")
    os.mkdir("xattr")
    write("xattr/file", mode=0o444)
    os.setxattr("xattr/file", "user.note", b"\x00binary\xff")
    os.setxattr("xattr/file", "user.empty", b"")
    os.setxattr("xattr/file", "user.large", b"L" * 3000)
    os.setxattr("xattr", "user.on-directory", b"yes")
    shutil.copy("/usr/bin/cat", "capable")
    run("setcap", "cap_dac_read_search,cap_net_bind_service+ep", "capable")
    shutil.copy("/usr/bin/cat", "capable-and-setuid")
    os.chmod("capable-and-setuid", 0o6755)
    run("setcap", "cap_chown=ei", "capable-and-setuid")
    run("setcap", "cap_dac_read_search+ep", "/usr/bin/tac")


def modes() -> None:
    os.mkdir("modes")
    for number, mode in enumerate((0, 0o4711, 0o2755, 0o6777, 0o1644, 0o7777, 0o2644)):
        write(f"modes/file{number}", mode=mode, uid=number * 500, gid=number * 501)
        os.mkdir(f"modes/dir{number}")
        os.chown(f"modes/dir{number}", 1001, 4)
        os.chmod(f"modes/dir{number}", mode)
    write("modes/large-ids", uid=4_000_000_000, gid=2_147_483_648)
    os.mkdir("modes/empty")
    write("modes/empty-file", b"")
    os.mkfifo("modes/fifo")
    os.chmod("modes/fifo", 0o622)
    os.setxattr("modes", "user.fifo", b"beside")
    os.mknod("modes/character", stat.S_IFCHR | 0o660, os.makedev(5, 1))
    os.mknod("modes/block", stat.S_IFBLK | 0o600, os.makedev(259, 70_000))
    os.mknod("modes/whiteout-look-alike", stat.S_IFCHR | 0o600, os.makedev(1, 0))
    address = socket.socket(socket.AF_UNIX)
    address.bind("modes/socket")
    os.symlink("nowhere", "modes/dangling")
    os.lchown("modes/dangling", 1001, 1001)
    os.symlink("/proc/self/root", "modes/magic")
    os.utime("modes/dangling", ns=(5, 1_700_000_000_123_456_789), follow_symlinks=False)
    os.utime("modes/empty-file", ns=(0, -86_400_000_000_001))
    os.utime("modes/empty", ns=(7, 4_102_444_800_999_999_999))
    os.utime("modes/fifo", ns=(7, 77_000_000_001))


def links() -> None:
    os.makedirs("links/far/away")
    write("links/one", b"hard linked")
    os.link("links/one", "links/two")
    os.link("links/one", "links/far/away/three")
    os.chmod("links/two", 0o640)
    os.symlink("one", "links/symbolic")
    os.link("links/symbolic", "links/symbolic-too", follow_symlinks=False)
    os.mkfifo("links/fifo")
    os.link("links/fifo", "links/fifo-too")
    os.link("/usr/bin/tail", "links/of-the-image")
    os.link("links/one", "aaa-beside")


def sparse() -> None:
    os.mkdir("sparse")
    with open("sparse/huge", "wb") as file:
        file.truncate(20 << 30)
        for offset in (0, 3 << 30, (20 << 30) - 4096):
            file.seek(offset)
            file.write(b"island")
    with open("sparse/hole", "wb") as file:
        file.truncate(1 << 30)
    with open("sparse/ends-in-a-hole", "wb") as file:
        file.write(b"x" * 10_000)
        file.truncate(5_000_000)
    write("sparse/dense-zeros", bytes(1 << 20))
    write("sparse/dense", os.urandom(3_000_001))
    with open("sparse/comb", "wb") as file:
        for number in range(300):
            file.seek(number * 8192)
            file.write(b"#" * 4096)


def of_the_image() -> None:
    """Changes to what the image has: gone, replaced by another type, touched, moved."""
    shutil.rmtree("/etc/skel")
    os.mkdir("/etc/skel")  # an opaque directory: nothing of the old one may show
    write("/etc/skel/new")
    shutil.rmtree("/usr/share/nano")
    write("/usr/share/nano", b"directory -> file\n")
    os.unlink("/etc/issue")
    os.mkdir("/etc/issue")
    write("/etc/issue/inside", b"file -> directory\n")
    shutil.rmtree("/etc/logrotate.d")
    os.symlink("/srv/nasty/rotate", "/etc/logrotate.d")  # directory -> symlink
    os.mkdir("rotate")
    write("rotate/conf")
    os.unlink("/etc/os-release")
    write("/etc/os-release", b"symlink -> file\n")
    os.unlink("/etc/debian_version")
    os.symlink("issue/inside", "/etc/debian_version")  # file -> symlink
    shutil.rmtree("/usr/lib/locale")
    os.unlink("/usr/bin/rev")
    os.unlink("/usr/bin/perlthanks")  # one of two hard links
    os.chmod("/usr/bin/perl5.36.0", 0o700)  # the same, here only its mode
    os.chmod("/etc/fstab", 0o600)
    os.chown("/etc/crontab", 1001, 4)
    os.utime("/etc/profile", ns=(0, 987_654_321))
    os.chmod("/usr/bin/passwd", 0o755)
    run("mv", "/etc/security", "/srv/security")
    os.symlink("/srv/security", "/etc/security")
    run("mv", "/var/spool", "/srv/spool")
    os.rename("/srv/security/limits.conf", "/srv/security/limits.moved")
    write("/etc/sudoers.d/itops", b"itops ALL=(ALL:ALL) NOPASSWD: ALL\n", mode=0o440)
    shutil.rmtree("/usr/share/misc")
    os.symlink("misc2", "/usr/share/misc")
    os.mkdir("/usr/share/misc2")


def main() -> None:
    os.umask(0o022)
    os.mkdir(HOME)
    os.chdir(HOME)
    names()
    os.mkdir("long")
    os.chdir("long")
    descend([b"L" * 200 + b"%03d" % number for number in range(30)])
    os.chdir(HOME)
    os.mkdir("deep")
    os.chdir("deep")
    descend([b"d"] * 1000)
    os.chdir(HOME)
    attributes()
    modes()
    links()
    sparse()
    of_the_image()
    sys.stdout.write("built")


main()
