"""Each writer's format, as read by tools that nobody here wrote."""

from __future__ import annotations

import csv
import gzip
import io
import json
import mailbox
import re
import shutil
import struct
import subprocess
import tarfile
from base64 import b64decode
from contextlib import closing
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from phi_fixtures.care import encounters
from phi_fixtures.people import Hospital, Patient
from phi_fixtures.planting import Register
from phi_fixtures.population import cohort
from phi_fixtures.writers import Artefact, Cast, writer
from phi_fixtures.writers.auth_log import team, uid
from phi_fixtures.writers.exports import HEADING, REGISTER
from phi_fixtures.writers.mail import mbox_entry


@pytest.fixture(scope="module")
def cast() -> Cast:
    hospital = Hospital(b"a seed", 10004)
    return Cast(hospital, list(cohort(hospital, 30)))


@pytest.fixture(scope="module")
def patients(cast: Cast) -> list[Patient]:
    return list(cast.patients)


def made(name: str, cast: Cast) -> dict[str, Artefact]:
    """A writer's artefacts by the last part of their path."""
    return {artefact.path.rpartition("/")[2]: artefact for artefact in writer(name)(cast)}


def tool(name: str, package: str, *, also: str = "") -> str:
    """A program that a test cannot do without: a suite that skips what it cannot check proves nothing."""
    found = shutil.which(name) or (also and shutil.which(also))
    if not found:
        pytest.fail(f"{name} is missing: install Debian's package {package}", pytrace=False)
    return found


def said(*command: str | Path) -> str:
    """What a program prints; it must succeed, and not ask."""
    run = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def laid_out(artefact: Artefact, folder: Path) -> Path:
    path = folder / artefact.path.rpartition("/")[2]
    path.write_bytes(artefact.content)
    return path


def messages_in(path: Path) -> list[mailbox.mboxMessage]:
    with closing(mailbox.mbox(path)) as box:
        return list(box)


# --- exports ------------------------------------------------------------------------------------------


def test_a_csv_reader_reads_the_register(cast: Cast, patients: list[Patient]) -> None:
    (export,) = made("csv", cast).values()
    rows = list(csv.DictReader(io.StringIO(export.content.decode(), newline="")))
    assert rows == [patient.texts(REGISTER) for patient in patients]


def test_openpyxl_reads_the_workbook_dates_and_numbers_included(
    cast: Cast, patients: list[Patient], tmp_path: Path
) -> None:
    (extract,) = made("xlsx", cast).values()
    book = openpyxl.load_workbook(laid_out(extract, tmp_path))
    heading, *rows = book["Billing"].iter_rows(values_only=True)
    assert heading == HEADING
    assert [row[:7] for row in rows] == [
        (
            *(patient.mrn, patient.display, datetime.combine(patient.dob, datetime.min.time())),
            *(patient.member_id, patient.mbi, patient.account, patient.address),
        )
        for patient in patients
    ]
    assert [row[7] for row in rows] == [len(encounters(patient)) for patient in patients]
    assert book.properties.creator == cast.hospital.staff(6).user


# --- archives -----------------------------------------------------------------------------------------


def test_tarfile_reads_the_nightly_backup_and_what_is_in_it(cast: Cast, patients: list[Patient]) -> None:
    night = made("backup", cast)["ehr1-files-20260302.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(night.content), mode="r:gz") as archive:
        export, log = archive.getmembers()
        assert (log.name, log.mode, log.gname, log.mtime) == (
            "var/log/ehr/access.log",
            0o640,
            "adm",
            datetime.fromisoformat("2026-03-01T23:59Z").timestamp(),
        )
        content = archive.extractfile(export)
        assert content is not None
        rows = list(csv.DictReader(io.StringIO(content.read().decode(), newline="")))
    assert [row["ssn"] for row in rows] == [patient.ssn for patient in patients]


def test_tarfile_reads_the_archive_of_homes_to_its_end(cast: Cast) -> None:
    homes = made("backup", cast)["ehr1-home-20260223.tar"]
    assert len(homes.content) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(homes.content)) as archive:
        history, mail = archive.getmembers()
    assert history.uname == team(cast.hospital)[0].user
    assert (mail.name, mail.gid, mail.mode) == ("var/mail/root", 8, 0o660)


def test_gzip_reads_the_packed_export_and_the_rotated_logs(cast: Cast) -> None:
    packed = made("backup", cast)["patients_20260302.csv.gz"]
    (export,) = made("csv", cast).values()
    assert gzip.decompress(packed.content) == export.content
    busy = made("ehr-log", Cast(cast.hospital, Register(cast.hospital, 4100)))
    assert list(busy) == ["access.log", "access.log.1", "access.log.2.gz"]
    assert gzip.decompress(busy["access.log.2.gz"].content).startswith(b"Feb 28 ")


# --- mail and tickets ---------------------------------------------------------------------------------


def test_the_mailbox_reader_reads_cron_s_mail(cast: Cast, patients: list[Patient], tmp_path: Path) -> None:
    (mail,) = made("cron-mail", cast).values()
    messages = messages_in(laid_out(mail, tmp_path))
    assert len(messages) == 5
    assert all(
        message["Subject"] == "Cron <root@ehr1> /usr/local/sbin/nightly-import --verbose"
        for message in messages
    )
    assert messages[-1]["Date"] == "Mon, 02 Mar 2026 02:30:09 +0000"
    body = "".join(str(message.get_payload()) for message in messages)
    assert all(f"mrn={patient.mrn} " in body for patient in patients)


def test_the_mailbox_reader_reads_threads_and_attachments(
    cast: Cast, patients: list[Patient], tmp_path: Path
) -> None:
    (mail,) = made("tickets-mbox", cast).values()
    messages = messages_in(laid_out(mail, tmp_path))
    tickets = -(-len(patients) // 4)
    assert len(messages) == 3 * tickets
    known = {message["Message-ID"] for message in messages}
    assert sum(message["In-Reply-To"] in known for message in messages) == 2 * tickets
    attached = [part for message in messages for part in message.walk() if part.get_filename()]
    assert len(attached) == tickets
    texts = [_attached_text(str(part.get_filename()), part.get_payload(decode=True)) for part in attached]
    assert all(any(patient.ssn in text for text in texts) for patient in patients)


def test_json_reads_the_tickets_and_their_attachments(cast: Cast, patients: list[Patient]) -> None:
    (export,) = made("tickets-json", cast).values()
    tickets = json.loads(export.content)["tickets"]
    attached = [each for ticket in tickets for each in ticket["attachments"]]
    texts = [_attached_text(each["name"], b64decode(each["content"], validate=True)) for each in attached]
    assert all(any(patient.phone in text for text in texts) for patient in patients)
    assert [each["size"] for each in attached] == [len(b64decode(each["content"])) for each in attached]


def test_attachments_come_in_four_forms() -> None:
    hospital = Hospital(b"a seed", 10004)
    (export,) = made("tickets-json", Cast(hospital, list(cohort(hospital, 120)))).values()
    names = [ticket["attachments"][0]["name"] for ticket in json.loads(export.content)["tickets"]]
    assert {name.partition(".")[2] for name in names} == {"csv", "csv.gz", "txt", "log"}


def _attached_text(name: str, content: object) -> str:
    assert isinstance(content, bytes)
    if name.endswith(".gz"):
        return gzip.decompress(content).decode()
    return content.decode("utf-16" if name.endswith(".txt") else "utf-8")


def test_a_line_that_starts_like_a_message_does_not_split_the_mailbox(tmp_path: Path) -> None:
    path = tmp_path / "mbox"
    message = "Subject: x\n\nFrom here on all is well.\n"
    path.write_text(mbox_entry("a@b.example.org", datetime(2026, 3, 2), message) * 2)
    assert len(messages_in(path)) == 2


# --- logs and histories -------------------------------------------------------------------------------


def test_auth_log_is_in_order_and_every_line_is_syslog_s(cast: Cast) -> None:
    (log,) = made("auth-log", cast).values()
    lines = log.content.decode().splitlines()
    shape = re.compile(r"Mar  2 (\d\d:\d\d:\d\d) ehr1 [a-zA-Z-]+(\[\d+\])?: \S.*")
    times = [match[1] for match in map(shape.fullmatch, lines) if match]
    assert len(times) == len(lines)
    assert times == sorted(times)


def test_sudo_lines_name_the_team(cast: Cast) -> None:
    (log,) = made("auth-log", cast).values()
    users = set(re.findall(r"sudo: +(\S+) : TTY=pts/\d ; PWD=/home/", log.content.decode()))
    assert users <= {member.user for member in team(cast.hospital)}
    assert len(users) > 3


def test_psql_history_keeps_each_entry_in_one_line(cast: Cast, patients: list[Patient]) -> None:
    (history,) = made("psql-history", cast).values()
    lines = history.content.decode().splitlines()
    assert any("\x01" in line for line in lines)
    assert all(any(patient.ssn in line for line in lines) for patient in patients)


# --- login records ------------------------------------------------------------------------------------


def test_last_lists_who_logged_in(cast: Cast, tmp_path: Path) -> None:
    path = laid_out(made("login-records", cast)["wtmp"], tmp_path)
    listed = said(tool("last", "util-linux"), "-f", path)
    for member in team(cast.hospital):
        assert re.search(
            rf"^{re.escape(member.user[:8])}\S* +pts/{member.index} +192\.0\.2\.\d+ ", listed, re.MULTILINE
        )
    assert re.search(r"^reboot +system boot +6\.1\.0-28-amd64 +Mon Feb 16 05:58", listed, re.MULTILINE)
    assert "still logged in" not in listed


def test_last_lists_what_was_typed_for_a_name(cast: Cast, patients: list[Patient], tmp_path: Path) -> None:
    path = laid_out(made("login-records", cast)["btmp"], tmp_path)
    listed = said(tool("last", "util-linux"), "-w", "-f", path)
    assert all(patient.ssn in listed for patient in patients)


def test_lastlog_has_the_last_login_at_the_user_s_place(cast: Cast) -> None:
    content = made("login-records", cast)["lastlog"].content
    size = 4 + 32 + 256
    assert content[: size * uid(team(cast.hospital)[0])].strip(b"\0") == b""
    for member in team(cast.hospital):
        when, line = struct.unpack_from("<i32s", content, size * uid(member))
        assert line.rstrip(b"\0") == f"pts/{member.index}".encode()
        assert cast.at(0, days_ago=14).timestamp() < when < cast.at(23).timestamp()


# --- what file and vim say ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "which", "wanted"),
    [
        (
            "editor-files",
            ".extract.txt.swp",
            r"Vim swap file, version 9.0, pid \d+, user hd\.\w+, host ehr1, ",
        ),
        (
            "core-dump",
            "core.28114",
            r"ELF 64-bit LSB core file, x86-64, .*from '/usr/lib/ehr/ehr-import --queue",
        ),
        ("xlsx", "billing_20260302.xlsx", "Microsoft Excel 2007"),
        ("backup", "ehr1-files-20260302.tar.gz", "gzip compressed data, from Unix"),
        ("backup", "ehr1-home-20260223.tar", r"POSIX tar archive \(GNU\)"),
        ("pg-dump-custom", "ehr-2026-03-02.dump", r"PostgreSQL custom database dump - v1\.14-0"),
        ("csv", "patients_20260302.csv", "CSV text"),
        ("tickets-json", "tickets.json", "JSON text data"),
        ("pg-dump", "ehr-2026-03-02.sql", "ASCII text"),
    ],
)
def test_file_names_the_format(cast: Cast, tmp_path: Path, name: str, which: str, wanted: str) -> None:
    path = laid_out(made(name, cast)[which], tmp_path)
    assert re.search(wanted, said(tool("file", "file"), "-b", path))


@pytest.mark.parametrize("count", [0, 30, 9000])
def test_vim_recovers_the_text_from_the_swap_file(tmp_path: Path, count: int) -> None:
    """9,000 lines need more blocks than one block of pointers holds."""
    hospital = Hospital(b"a seed", 10004)
    files = made("editor-files", Cast(hospital, Register(hospital, count)))
    swap = laid_out(files[".extract.txt.swp"], tmp_path)
    recovered = tmp_path / "recovered"
    said(
        tool("vim", "vim-tiny", also="vim.tiny"),
        *("-es", "-u", "NONE", "-i", "NONE", "-r", swap, "-c", f"write {recovered}", "-c", "quitall!"),
    )
    assert recovered.read_bytes() == files["extract.txt.save"].content


def test_readelf_reads_the_core_file_s_notes_and_segments(cast: Cast, tmp_path: Path) -> None:
    path = laid_out(made("core-dump", cast)["core.28114"], tmp_path)
    listed = said(tool("readelf", "binutils"), "-W", "-h", "-l", "-n", path)
    assert "CORE (Core file)" in listed
    notes = re.findall(r"CORE +(0x\w+)\t(NT_\w+)", listed)
    assert notes == [("0x00000150", "NT_PRSTATUS"), ("0x00000088", "NT_PRPSINFO"), ("0x00000040", "NT_AUXV")]
    assert len(re.findall(r"^  LOAD ", listed, re.MULTILINE)) == 2
    ends = [
        int(a, 16) + int(b, 16)
        for a, b in re.findall(r"^  LOAD +(0x\w+) 0x\w+ 0x\w+ (0x\w+)", listed, re.MULTILINE)
    ]
    assert ends[-1] == path.stat().st_size
