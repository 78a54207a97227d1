"""Accounts, readers and jobs that lend somebody what is not his."""

from __future__ import annotations

import pytest
from tests.hostile.conftest import ALL, NOTHING, Fort

from phi_labs.grading import record

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("plain_asserts")]

# What else fails beside the rights when the intern is, in truth, somebody who reads the file.
ACCOUNTS = {
    "another uid behind the name": ("sed -i s/^intern:x:1001/intern:x:0/ /etc/passwd", {"rights", "closed"}),
    "the reviewer's uid behind the name": (
        "sed -i s/^intern:x:1001/intern:x:1002/ /etc/passwd",
        {"rights", "closed"},
    ),
    "a second root behind a form feed": (
        "printf 'evil:x:0:0:a\\014b:/root:/bin/sh\\n' >> /etc/passwd",
        {"rights"},
    ),
    "a second root with a sign": ("echo 'evil:x:+0:0::/root:/bin/sh' >> /etc/passwd", {"rights"}),
    "a second root behind a blank": ("echo ' evil:x:0:0::/root:/bin/sh' >> /etc/passwd", {"rights"}),
    "a second root in a short line": ("echo 'evil:x:0:0' >> /etc/passwd", {"rights"}),
    "a second line of a group": (
        "chgrp adm /srv/secret.txt; chmod 440 /srv/secret.txt; echo 'adm:x:4:intern' >> /etc/group",
        {"rights", "closed"},
    ),
    "a second number of a group": (
        "chgrp 4711 /srv/secret.txt; chmod 440 /srv/secret.txt; echo 'adm:x:4711:intern' >> /etc/group",
        {"rights", "closed"},
    ),
    "names behind a megabyte": (
        "yes '# nothing' | head -c 1100000 >> /etc/passwd; echo 'evil:x:0:0::/root:/bin/sh' >> /etc/passwd",
        {"rights", "closed", "nightly"},
    ),
}


@pytest.mark.parametrize(("script", "lost"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_whom_a_name_points_to_is_read_as_the_machine_reads_it(
    fort: Fort, script: str, lost: set[str]
) -> None:
    fort.fix()
    fort.box.sh(script)
    verdict = fort.graded()
    assert ALL - verdict.passed - {"login", "nightly"} == lost - {"nightly"}
    assert verdict.guards <= {"kept"}


LENT = {
    "a set-id copy of cat": "install -m 4755 /bin/cat /usr/local/bin/look",
    "a set-group-id copy of cat": "install -m 2755 -g adm /bin/cat /usr/local/bin/look",
    "a set-id copy in a place of its own": "install -m 4755 /bin/cat /home/intern/look",
    "a capable copy of cat": "cp /bin/cat /srv/look; setcap cap_dac_read_search+ep /srv/look",
    "a program of the image made set-id": "chmod 4755 /usr/bin/less",
    "a set-id program with other content": "cat /bin/cat > /usr/bin/passwd; chmod 4755 /usr/bin/passwd",
    "a job": "echo '* * * * * root cat /srv/secret.txt > /dev/null' > /etc/cron.d/look",
    "a job of the intern's": "echo '* * * * * cat /srv/secret.txt' > /var/spool/cron/crontabs/intern",
    "a job behind a million lines": (
        "yes '# nothing' | head -n 1000000 > /etc/cron.d/look; echo '* * * * * root id' >> /etc/cron.d/look"
    ),
    "jobs in a folder that is a link": (
        "mkdir /srv/jobs; echo '* * * * * root id' > /srv/jobs/look\n"
        "rm -r /etc/cron.d; ln -s /srv/jobs /etc/cron.d"
    ),
    "a job behind another end of a line": "printf '* * * * * root \\302\\205; id\\n' > /etc/cron.d/look",
    "a table of nothing but blanks, then a job": (
        "head -c 200000 /dev/zero | tr '\\0' '\\n' > /etc/crontab; echo '* * * * * root id' >> /etc/crontab"
    ),
}


@pytest.mark.parametrize("lent", LENT)
def test_rights_that_are_lent_are_found(fort: Fort, lent: str) -> None:
    fort.fix()
    fort.box.sh(LENT[lent])
    verdict = fort.graded()
    verdict.expect(ALL - {"rights"})
    assert verdict.seconds < 30


PAIR = """
cp /srv/secret.txt /srv/mine; chmod 666 /srv/mine; chown intern /srv/mine; chmod 0 /srv/mine
"""


def test_an_owner_without_bits_reads_nothing_now_but_is_told_by_the_kernel(fort: Fort) -> None:
    """Who may open the file is asked, not who could make himself able to."""
    fort.fix()
    fort.box.sh(PAIR)
    fort.graded().expect(ALL)


# -- what belongs to somebody else -----------------------------------------------------------------


def test_the_record_and_files_of_another_trainee_earn_nothing(fort: Fort, bystander: Fort) -> None:
    """All that the other one repaired is copied, the record included: canaries tell."""
    packed = bystander.box.run(
        "/bin/tar", "-cpf", "-", "/srv", "/etc/sudoers.d", "/etc/ssh/sshd_config.d", "/etc/flag.conf"
    )
    fort.box.sh("rm -rf /srv/* /etc/sudoers.d/*")
    unpacked = fort.box.run("/bin/tar", "-C", "/", "-xpf", "-", stdin=packed.stdout)
    assert unpacked.exit_code == 0, unpacked.stderr
    fort.box.sh("/etc/init.d/flag restart")
    verdict = fort.graded()
    assert not verdict.passed & {"closed", "record", "nightly", "login"}
    assert verdict.guards == {"kept"}
    assert "not the right one" in verdict.says("record")


RECORDS = {
    "a billion laughs": "a: &a [x, x]\nb: &b [*a, *a]\nticket: *b",
    "deep": "ticket: " + "[" * 30000,
    "wide": "ticket: x\n" + "y: 1\n" * 200000,
    "a number without end": "ticket: 1" + "0" * 60000,
    "minutes without end": "ticket: 1" + ":1" * 30000,
    "a tag": "ticket: !!python/object/apply:os.system ['touch /tmp/ran']",
    "a list of nothing": "- ticket",
    "several documents": "ticket: a\n---\nticket: b",
    "a key that is no key": "? [a, b]\n: c",
    "no text": "\x00\x01",
    "a day that is none": "ticket: 2026-13-45",
    "text that obeys": 'ticket: "\\e[2J\\e]0;x\\a"',
}


def test_a_record_that_is_no_form_is_told_and_costs_nothing(fort: Fort) -> None:
    """Every kind is read by the same code: graded are the heaviest, all are read."""
    for text in RECORDS.values():
        assert record._parsed(text.encode()[: record.SIZE_LIMIT], "x").field("ticket") != fort.ticket
    fort.fix(record=False)
    for text in (RECORDS["a billion laughs"], RECORDS["wide"]):
        fort.box.run("/bin/sh", "-c", "cat > /srv/records/report.yml", stdin=text.encode())
        fort.graded().expect(ALL - {"record"})


PLANTED = """
for place in / /srv /root /home/itops /home/intern /tmp /etc /srv/records; do
    echo 'raise SystemExit(0)' | tee $place/conftest.py $place/sitecustomize.py $place/pytest.py > /dev/null
    printf '[pytest]\\naddopts = --collect-only\\n' > $place/pytest.ini
    echo 'def test_fine(): pass' > $place/test_fort.py
done
mkdir -p /usr/lib/python3/dist-packages/x.dist-info
printf '[pytest11]\\nx = x\\n' > /usr/lib/python3/dist-packages/x.dist-info/entry_points.txt
printf 'import os; os._exit(0)\\n' > /usr/lib/python3/dist-packages/x.py
printf 'import os; os._exit(0)\\n' > /usr/lib/python3/dist-packages/sitecustomize.py
printf 'import x\\n' > /usr/lib/python3/dist-packages/x.pth
"""


def test_tests_settings_and_plugins_planted_in_the_lab_are_never_read(fort: Fort) -> None:
    fort.box.sh(PLANTED)
    fort.graded().expect(NOTHING)
    fort.fix()
    fort.graded().expect(ALL)


def test_names_that_give_orders_to_terminals_reach_nobody(fort: Fort) -> None:
    names = "$'\\e[2J' $'\\e]0;owned\\a' $'a\\rb' $'\\u202e' $'\\xff'"
    fort.box.sh(f'for name in {names}; do cp /srv/secret.txt "/srv/$name"; done')
    verdict = fort.graded()
    verdict.expect(NOTHING)
    for text in (verdict.says("closed"), verdict.card.to_json()):
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
