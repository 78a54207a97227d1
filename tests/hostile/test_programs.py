"""Programs, libraries and settings of the lab that lie: no verdict rests on any of them."""

from __future__ import annotations

import base64
import platform

import pytest
from tests.hostile.conftest import ALL, NOTHING, Fort
from tests.hostile.shared_object import shared_object

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("plain_asserts")]

FAKES = """
printf '#!/bin/dash\\necho all is well; exit 0\\n' > /root/liar; chmod 755 /root/liar
for name in stat ls cat sudo find id getent sha256sum visudo cvtsudoers logrotate; do
    for place in /bin /sbin /usr/bin /usr/sbin; do
        [ ! -e "$place/$name" ] || { /bin/rm -f "$place/$name"; /bin/cp /root/liar "$place/$name"; }
    done
done
"""
FAKE_LOGIN = """
cp /bin/true /root/true; for name in /usr/sbin/sshd /bin/nc.openbsd; do rm $name; cp /root/true $name; done
"""


def test_fake_stat_ls_cat_and_sudo_earn_nothing(fort: Fort) -> None:
    fort.box.sh(FAKES)
    fort.graded().expect(NOTHING)


def test_fake_tools_take_away_only_what_needs_them(fort: Fort) -> None:
    fort.fix()
    fort.box.sh(FAKES)
    verdict = fort.graded()
    verdict.expect(ALL - {"flag", "login"})
    assert verdict.says("flag") == "the flag is down after a restart"


def test_a_fake_sshd_or_nc_answers_no_login(fort: Fort) -> None:
    fort.fix()
    fort.box.sh(FAKE_LOGIN)
    verdict = fort.graded()
    verdict.expect(ALL - {"login"})
    assert "logins cannot be trusted" in verdict.says("login")


REPLACED = """
cp /usr/local/bin/nightly /root/; cp /bin/dash /root/dash
printf '#!/root/dash\\necho 3 > /var/lib/nightly/report\\nexec /root/dash "$@"\\n' > /root/sh
chmod 755 /root /root/*
rm /usr/bin/python3.11; cp /root/sh /usr/bin/python3.11; rm -f /usr/bin/python3; cp /root/sh /usr/bin/python3
rm /bin/sh; cp /root/sh /bin/sh
"""


def test_a_replaced_shell_and_python_change_no_answer(fort: Fort) -> None:
    """What the false shell writes is an effect, as any program's: it does the nightly job's work."""
    fort.box.sh(REPLACED)
    fort.graded().expect(NOTHING)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_preloaded_library_deceives_the_lab_only(fort: Fort, fixed: bool) -> None:
    """With it every stat() of the lab sees nothing, every access is granted, every password is right."""
    if fixed:
        fort.fix()
    functions = {"statx": 0, "access": 0, "faccessat": 0, "pam_authenticate": 0, "pam_acct_mgmt": 0}
    library = base64.b64encode(shared_object(functions, platform.machine())).decode()
    fort.box.sh(f"echo {library} | base64 -d > /srv/lie.so; echo /srv/lie.so > /etc/ld.so.preload")
    assert " 0 root" in fort.box.sh("stat -c '%a %s %U' /srv/secret.txt"), "the library does not lie"
    verdict = fort.graded()
    verdict.expect(ALL - {"login"} if fixed else NOTHING)
    assert "/etc/ld.so.preload" in verdict.says("login")


NAME_SERVICE = """
cd /usr/lib/*-linux-gnu
cp libutil.so.1 libnss_lies.so.2
sed -i 's/^\\(passwd\\|group\\|shadow\\):.*/\\1: lies files/' /etc/nsswitch.conf
"""
PAM = """
cd /usr/lib/*-linux-gnu/security
cp -f pam_permit.so pam_unix.so
"""


def test_a_replaced_name_service_is_told_and_believed_nowhere(fort: Fort) -> None:
    fort.fix()
    fort.box.sh(NAME_SERVICE)
    verdict = fort.graded()
    assert verdict.passed <= {"flag", "record"}
    assert "/etc/nsswitch.conf" in verdict.says("rights")


def test_replaced_pam_modules_spoil_logins_only(fort: Fort) -> None:
    fort.fix()
    fort.box.sh(PAM)
    verdict = fort.graded()
    verdict.expect(ALL - {"login"})
    assert "pam_unix.so" in verdict.says("login")


ENVIRONMENT = """
mkdir /srv/bin; printf '#!/bin/sh\\nexit 0\\n' > /srv/bin/wc; chmod 755 /srv/bin/wc
for file in /etc/profile /etc/bash.bashrc /etc/environment /home/reviewer/.bashrc /home/reviewer/.profile; do
    echo 'PATH=/srv/bin:$PATH' >> $file; echo 'export BASH_ENV=/srv/lies' >> $file
done
printf 'PATH=/srv/bin\\nBASH_ENV=/srv/lies\\nENV=/srv/lies\\nLD_PRELOAD=/srv/none.so\\n' >> /etc/environment
echo 'cat() { echo lies; }; exit 0' > /srv/lies
echo 'PYTHONPATH=/srv' >> /etc/environment; echo 'raise SystemExit' > /srv/sitecustomize.py
"""


def test_path_bash_env_and_profile_tricks_earn_nothing_and_spoil_the_reviewers_shell(fort: Fort) -> None:
    fort.box.sh(ENVIRONMENT)
    fort.graded().expect(NOTHING)
    fort.fix()
    fort.graded().expect(ALL - {"login"})
