"""The checks a lab has are known from their source, before any of them runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny_lab import CHECKS, write_tiny_lab

from phi_labs.errors import UserError
from phi_labs.grading.expected import expected_checks


def test_every_check_is_known_with_its_target_and_fixtures(tmp_path: Path) -> None:
    found = {check.id: check for check in expected_checks(write_tiny_lab(tmp_path))}
    assert len(found) == 5
    closed = found["test_tiny.py::test_only_the_reviewer_reads"]
    assert (closed.target, closed.fixtures, closed.uses_live) == ("closed", ("host", "planted"), False)
    assert found["test_tiny.py::test_the_flag_is_up_now"].uses_live


def test_knowing_them_runs_nothing_of_the_file(tmp_path: Path) -> None:
    assert expected_checks(write_tiny_lab(tmp_path, checks=CHECKS + "\nraise SystemExit(9)\n"))


def test_other_functions_are_no_checks(tmp_path: Path) -> None:
    lab = write_tiny_lab(tmp_path, checks=CHECKS + "\ndef outsiders(host):\n    return []\n")
    assert len(expected_checks(lab)) == 5


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("def test_for_nobody(host):\n    pass\n", "says neither @objective"),
        ("@objective('closd')\ndef test_x(host):\n    pass\n", "speaks for 'closd'"),
        ("@objective(NAME)\ndef test_x(host):\n    pass\n", "says neither @objective"),
        ("def broken(:\n", "cannot be read"),
    ],
)
def test_a_check_file_that_is_wrong_is_told_with_its_place(tmp_path: Path, more: str, complaint: str) -> None:
    lab = write_tiny_lab(tmp_path, checks=CHECKS + "\n" + more)
    with pytest.raises(UserError, match=complaint) as caught:
        expected_checks(lab)
    assert "checks" in caught.value.message


def test_an_objective_that_no_check_speaks_for_is_told(tmp_path: Path) -> None:
    lab = write_tiny_lab(tmp_path, checks=CHECKS.replace('@guard("kept")', '@objective("flag")'))
    with pytest.raises(UserError, match="no check speaks for kept"):
        expected_checks(lab)


def test_two_checks_of_one_name_are_refused(tmp_path: Path) -> None:
    double = "\n@objective('closed')\ndef test_only_the_reviewer_reads(host):\n    pass\n"
    with pytest.raises(UserError, match="twice"):
        expected_checks(write_tiny_lab(tmp_path, checks=CHECKS + double))


def test_checks_that_would_hide_in_a_class_or_a_condition_are_refused(tmp_path: Path) -> None:
    for hidden in (
        "class TestMore:\n    def test_x(self):\n        pass\n",
        "if 1:\n    def test_y():\n        pass\n",
    ):
        with pytest.raises(UserError, match="top level"):
            expected_checks(write_tiny_lab(tmp_path, checks=CHECKS + "\n" + hidden))
