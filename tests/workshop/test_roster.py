"""Rosters: every encoding and separator that a spreadsheet writes, and every problem told at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.workshop.keys import ed25519

from phi_labs.errors import UserError
from phi_labs.model.cohort import Learner
from phi_labs.workshop.roster import Roster, RosterError, check_roster, read_roster
from phi_labs.workshop.roster_table import read_table

HEADER = "name,full_name,email,public_key,role,entity,employment,hired,access_since,role_changed,manager"


def row(number: int = 1, **changed: str) -> str:
    cells = {
        "name": f"learner{number}",
        "full_name": f"Learner {number}",
        "email": f"learner{number}@mercyvalley.example.org",
        "public_key": ed25519(number),
        "role": "System administrator",
        "entity": "CE",
        "employment": "employee",
        "hired": "2024-02-29",
        "access_since": "",
        "role_changed": "",
        "manager": "Ana Ruiz",
        **changed,
    }
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells.values())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "roster.csv"


def written(file: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    file.write_bytes("\r\n".join([header, *rows, ""]).encode(encoding))
    return file


def problems(file: Path) -> list[str]:
    return [str(problem) for problem in check_roster(file).problems]


def test_a_sound_roster_is_read_whole(file: Path) -> None:
    roster = read_roster(written(file, row(1, full_name="Zoë Łuczak"), row(2, entity="business associate")))
    first, second = roster.learners
    assert first == Learner(
        name="learner1",
        full_name="Zoë Łuczak",
        email="learner1@mercyvalley.example.org",
        entity="ce",
        role="System administrator",
        employment="employee",
        manager="Ana Ruiz",
        hired="2024-02-29",
        public_key=ed25519(1),
    )
    assert second.entity == "ba"
    assert roster.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("encoding", "told"), [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8 with BOM"), ("cp1252", "CP1252")]
)
def test_encodings_that_spreadsheets_write_are_read(file: Path, encoding: str, told: str) -> None:
    roster = read_roster(written(file, row(full_name="Zoë Müller"), encoding=encoding))
    assert (roster.learners[0].full_name, roster.encoding) == ("Zoë Müller", told)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("said", [False, True])
def test_separators_are_found_out_or_read(file: Path, separator: str, said: bool) -> None:
    lines = ["Name;Full Name;E-Mail;CE/BA", "alice;Alice, the second;alice@a.example.org;ba"]
    lines = [line.replace(";", separator).replace("Alice, the", '"Alice, the') for line in lines]
    lines[1] = lines[1].replace("second", 'second"')
    first = [f"sep={separator}"] if said else []
    file.write_text("\n".join([*first, *lines]))
    (alice,) = read_roster(file).learners
    assert (alice.full_name, alice.entity) == ("Alice, the second", "ba")


def test_headings_may_be_other_words_in_any_case(file: Path) -> None:
    header = (
        "LOGIN,Display name,Mail,SSH key,Job title,Entity,Contract,Hire date,Access date,"
        "Role change,Supervisor,Badge"
    )
    roster = read_roster(written(file, row() + ",4711", header=header))
    assert roster.learners[0].hired == "2024-02-29"
    assert roster.ignored == ("Badge",)


def test_every_problem_is_told_with_row_and_column(file: Path) -> None:
    written(
        file,
        row(1, name="Alice", email="nobody", hired="29/02/2024"),
        row(2, entity="clinic", role_changed="2026-02-30"),
        "",
        row(4, public_key="ssh-ed25519", full_name=""),
    )
    said = problems(file)
    assert len(said) == 7
    assert said[0].startswith("row 2, column name: 'Alice' cannot be logged in with")
    assert said[0].endswith("such as alice")
    assert any(text.startswith("row 2, column email: 'nobody' is no e-mail") for text in said)
    assert any(text.startswith("row 2, column hired: '29/02/2024' is no date") for text in said)
    assert any("row 3, column entity: 'clinic' is neither" in text for text in said)
    assert any(
        "row 3, column role_changed: '2026-02-30' is a day that does not exist" in text for text in said
    )
    assert any("row 5, column public_key: ends after its type" in text for text in said)
    assert any("row 5, column full_name: is empty" in text for text in said)


@pytest.mark.parametrize("column", ["name", "email", "public_key"])
def test_nobody_shares(file: Path, column: str) -> None:
    shared = {"name": "alice", "email": "A@a.example.org", "public_key": ed25519(9, "one")}[column]
    other = {"name": "alice", "email": "a@A.example.org", "public_key": ed25519(9, "two")}[column]
    (said,) = problems(written(file, row(1, **{column: shared}), row(2), row(3, **{column: other})))
    assert said.startswith(f"row 4, column {column}:")
    assert "already in row 2" in said
    assert ed25519(9).split()[1] not in said


def test_learners_without_a_key_share_nothing(file: Path) -> None:
    assert len(read_roster(written(file, row(1, public_key=""), row(2, public_key=""))).learners) == 2


def test_missing_columns_are_told_with_what_may_be_meant(file: Path) -> None:
    said = problems(written(file, "alice,Alice,alice@a.example.org", header="name,ful_name,mail"))
    assert said == [
        "row 1: the column full_name is missing; is 'ful_name' meant?",
        "row 1: the column entity (CE or BA) is missing; it may be only if the scenario is for one of them: "
        "--entity",
    ]


def test_the_scenarios_entity_fills_and_limits_the_column(file: Path) -> None:
    written(file, "alice,Alice,alice@a.example.org", header="name,full_name,mail")
    assert read_roster(file, "ba").learners[0].entity == "ba"
    written(file, row(1))
    with pytest.raises(RosterError, match="row 2, column entity: is CE, but the scenario is for BA"):
        read_roster(file, "ba")


def test_a_column_that_stands_there_twice_is_told(file: Path) -> None:
    (said,) = problems(written(file, row() + ",other@a.example.org", header=HEADER + ",E-mail"))
    assert said == "row 1, column E-mail: means email, as 'email' does; remove one of the two"


def test_a_row_with_too_many_cells_is_told(file: Path) -> None:
    (said,) = problems(written(file, row(1), "bob,Bob, the builder," + "x," * 20 + "y"))
    assert said.startswith("row 3: has 24 cells under 11 headings")


def test_a_quotation_mark_that_stays_open_is_told_where_it_begins(file: Path) -> None:
    said = problems(written(file, row(1), 'bob,"Bob,bob@a.example.org', row(3)))
    assert "row 3: a quotation mark is not closed" in said[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n  \n", "the file is empty"),
        (HEADER.encode(), "nobody on the roster"),
        ("name,email".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04rest", "a spreadsheet, not CSV"),
        (b"name\nJos\x81\n", "line 2 is neither UTF-8 nor CP1252"),
        (b"name\x00", "no text at all"),
        (
            "name\nZo\xeb\n".encode() + "J\xf6rg\n".encode("cp1252"),
            "two encodings are mixed: line 2 is UTF-8",
        ),
    ],
)
def test_a_file_that_is_no_roster_is_told(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    assert any(message in text for text in problems(file))


def test_invisible_characters_are_refused(file: Path) -> None:
    said = problems(written(file, row(1, full_name="Ana\u202eziuR"), row(2, role="two\nlines")))
    assert [text.split(": ")[0] for text in said] == ["row 2, column full_name", "row 3, column role"]


def test_a_pasted_private_key_is_told_for_what_it_is(file: Path) -> None:
    pasted = (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----"
    )
    (said,) = problems(written(file, row(1, public_key=pasted)))
    assert said.startswith("row 2, column public_key: is a private key")
    assert "b3Blb" not in said


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("Zoë Łuczak", ""),
        ("Zoë Müller", "zoe-muller"),
        ("ana@hospital.example.org", "ana"),
        ("=alice", "alice"),
        ("1st", ""),
    ],
)
def test_a_login_name_that_could_be_meant_is_offered(file: Path, name: str, offered: str) -> None:
    (said,) = problems(written(file, row(1, name=name)))
    assert said.endswith(f"a letter first{f', such as {offered}' if offered else ''}")


def test_names_of_any_script_are_taken(file: Path) -> None:
    arabic, persian = "\u0645\u062d\u0645\u062f", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    names = [arabic, persian, "李小龍", "Nguyễn Thị", "O'Brien-Smith Jr.", "=SUM(A1)"]
    rows = [row(number, full_name=name) for number, name in enumerate(names)]
    assert [item.full_name for item in read_roster(written(file, *rows)).learners] == names


def test_a_long_list_of_problems_is_cut_and_counted(file: Path) -> None:
    written(file, *(row(number, email="x") for number in range(100)))
    with pytest.raises(RosterError) as caught:
        read_roster(file)
    assert len(caught.value.problems) == 100
    assert caught.value.message.count("\n") == 41
    assert "100 problems, nothing was started" in caught.value.message
    assert caught.value.message.endswith("... and 60 more")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_roster(tmp_path / "none.csv")


@given(st.binary(max_size=400))
def test_any_bytes_are_a_table_or_a_problem(content: bytes) -> None:
    table = read_table(content)
    assert table.problems or table.headings


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_what_is_taken_into_a_name_can_be_shown_on_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    file = written(tmp_path_factory.mktemp("odd") / "r.csv", row(full_name=name))
    found = check_roster(file)
    if not found.problems:
        (learner,) = Roster(found.roster.learners, "").learners
        assert learner.full_name == name.strip()
        assert len(learner.full_name.splitlines()) == 1
