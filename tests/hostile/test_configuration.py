"""Configuration made to be read wrongly: what cannot be read whole is never taken for harmless."""

from __future__ import annotations

import pytest
from tests.hostile.conftest import Fort

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("plain_asserts")]

GRANT = "printf 'intern ALL=(ALL) NOPASSWD: ALL\\n'"
# Each lends the intern all rights with sudo, or sudo's own rules another meaning.
SUDO = {
    "the parser itself is included": (
        "printf '#!/bin/dash\\necho {}\\n' > /srv/parser; chmod 755 /srv/parser\n"
        "cp /srv/parser /usr/bin/cvtsudoers; cp /srv/parser /usr/sbin/visudo\n"
        f"{GRANT} > /etc/sudoers.d/x\n"
        "printf '@include %s\\n' /usr/bin/cvtsudoers /usr/sbin/visudo >> /etc/sudoers.d/x",
        "no place for configuration",
    ),
    "the parser hides behind a link": (
        f"{GRANT} > /etc/sudoers.d/x; cp /bin/true /usr/bin/cvtsudoers; cp /bin/true /usr/sbin/visudo\n"
        "ln -s /usr/bin/cvtsudoers /etc/sudoers.d/y; ln -s /usr/sbin/visudo /etc/sudoers.d/z",
        "no place for configuration",
    ),
    "a library is included": (
        "cp /bin/true /srv/lib; ln -s /srv/lib /etc/ld.so.preload\n"
        "echo '@include /etc/ld.so.preload' > /etc/sudoers.d/x",
        "no place for configuration",
    ),
    "a syntax error before": (
        f"echo 'intern ALL = (' > /etc/sudoers.d/a; {GRANT} > /etc/sudoers.d/b",
        "not valid",
    ),
    "an include that includes itself": (
        "echo '@include /etc/sudoers.d/x' > /etc/sudoers.d/x",
        "not valid",
    ),
    "behind nine folders": (
        'for n in {1..9}; do mkdir /srv/d$n; echo "@includedir /srv/d$((n + 1))" > /srv/d$n/x; done\n'
        f"mkdir /srv/d10; {GRANT} > /srv/d10/x; echo '@includedir /srv/d1' > /etc/sudoers.d/x",
        "nested too deeply",
    ),
    "in a folder with a blank": (
        f"mkdir '/srv/d d'; {GRANT} > '/srv/d d/x'; echo '@includedir /srv/d\\ d' > /etc/sudoers.d/x",
        "unusual name",
    ),
    "behind two thousand files": (
        "mkdir /srv/many /srv/last; cd /srv/many; touch {1..2000}; echo '@includedir /srv/last' > zz\n"
        f"{GRANT} > /srv/last/x; echo '@includedir /srv/many' > /etc/sudoers.d/x",
        "too many files",
    ),
    "behind 300 KB of comments": (
        "yes '# nothing' | head -c 300000 > /etc/sudoers.d/x; echo '@includedir /srv/d' >> /etc/sudoers.d/x\n"
        f"mkdir /srv/d; {GRANT} > /srv/d/x",
        "too large",
    ),
    "in another file altogether": (
        "echo 'Plugin sudoers_policy sudoers.so sudoers_file=/srv/rules' > /etc/sudo.conf\n"
        f"{GRANT} > /srv/rules; chmod 440 /srv/rules",
        "/etc/sudo.conf differs",
    ),
    "an endless file": ("mkfifo /srv/fifo; echo '@include /srv/fifo' > /etc/sudoers.d/x", "no regular file"),
    "a sparse file of 20 GB": (
        "truncate -s 20G /srv/sparse; echo '@include /srv/sparse' > /etc/sudoers.d/x",
        "too large",
    ),
}


@pytest.mark.parametrize(("script", "told"), SUDO.values(), ids=SUDO)
def test_rights_hidden_in_sudos_rules_are_never_none(fort: Fort, script: str, told: str) -> None:
    fort.fix()
    fort.box.sh(script + "\nchmod 440 /etc/sudoers.d/* || true")
    verdict = fort.graded()
    assert "rights" not in verdict.passed
    assert told in verdict.says("rights"), verdict.says("rights")
    assert verdict.passed >= {"closed", "nightly", "flag", "record"}
    assert verdict.seconds < 45


OPEN = "PermitRootLogin yes"
SSHD = {
    "options of its own": (
        "echo 'SSHD_OPTS=\"-o PermitRootLogin=yes\"' > /etc/default/ssh",
        "options of its own",
    ),
    "another file": (
        f"echo '{OPEN}' > /srv/open; echo 'SSHD_OPTS=\"-f /srv/open\"' > /etc/default/ssh",
        "options of its own",
    ),
    "an include of itself": (
        "echo 'Include /etc/ssh/sshd_config' > /etc/ssh/sshd_config.d/00-loop.conf",
        "refuses its configuration",
    ),
    "the parser is included": (
        "cp /bin/true /usr/bin/sshd; echo 'Include /usr/bin/[s]shd' > /etc/ssh/sshd_config.d/00-x.conf",
        "no place for configuration",
    ),
    "a quoted include": (
        f"mkdir '/srv/d d'; echo '{OPEN}' > '/srv/d d/x'\n"
        'echo \'"Include" "/srv/d d/*"\' > /etc/ssh/sshd_config.d/00-x.conf',
        "root may log in",
    ),
    "for root only": (
        f"printf 'Match User root\\n{OPEN}\\n' > /etc/ssh/sshd_config.d/00-x.conf",
        "after all",
    ),
    "a condition that runs something": (
        f"printf 'Match exec \"/bin/touch /srv/ran\"\\n{OPEN}\\n' > /etc/ssh/sshd_config.d/00-x.conf",
        "refuses its configuration",
    ),
}


@pytest.mark.parametrize(("script", "told"), SSHD.values(), ids=SSHD)
def test_a_way_in_hidden_from_sshds_configuration_is_never_none(fort: Fort, script: str, told: str) -> None:
    fort.fix()
    fort.box.sh(script)
    verdict = fort.graded()
    assert verdict.passed >= {"closed", "rights", "nightly", "flag", "record"}
    assert "login" not in verdict.passed
    assert told in verdict.says("login"), verdict.says("login")
