"""The forked worker: whatever a check does, its answer is told, and nothing of the surroundings is read."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from phi_labs.grading import reporter
from phi_labs.grading.expected import Check
from phi_labs.grading.worker import TOOK_TOO_LONG, Answers, start_checks
from phi_labs.model.scorecard import CheckStatus

pytestmark = pytest.mark.usefixtures("plain_asserts")

PASSED, FAILED, ERROR, SKIPPED = (
    CheckStatus.PASSED,
    CheckStatus.FAILED,
    CheckStatus.ERROR,
    CheckStatus.SKIPPED,
)

MANY = """
import os, sys, time
import pytest

def test_passes(planted):
    assert planted == "planted"

def test_fails(planted):
    print("a trainee's text must not reach the terminal")
    assert not planted, "the intern reads 3 files"

def test_fails_without_a_word():
    assert 1 == 2

def test_says_fail():
    pytest.fail("seen this")

def test_errs():
    raise KeyError("secret detail")

def test_is_skipped():
    pytest.skip("no time")

def test_leaves():
    sys.exit(0)

def test_hangs():
    while True:
        time.sleep(1)

def test_swallows_everything():
    try:
        while True:
            time.sleep(1)
    except Exception:
        pass

@pytest.mark.parametrize("case", ["a", "b"])
def test_has_cases(case):
    assert case == "a", "case b is open"

@pytest.fixture
def broken():
    raise ValueError("set-up")

def test_with_broken_fixture(broken):
    pass

@pytest.fixture
def untidy():
    yield
    raise ValueError("tear-down")

def test_with_untidy_fixture(untidy):
    pass

def test_after_all_that():
    pass
"""


def run_checks(
    folder: Path,
    source: str,
    *,
    fixtures: Callable[[str], Any] = str,
    only: Sequence[str] = (),
    check_deadline: float = 0.6,
    overall: float = 20.0,
    named: Sequence[str] = (),
) -> Answers:
    folder.mkdir(exist_ok=True)
    (folder / "test_it.py").write_text(textwrap.dedent(source))
    names = named or [
        line.split("(")[0].removeprefix("def ")
        for line in source.splitlines()
        if line.startswith("def test_")
    ]
    checks = [Check(f"test_it.py::{name}", "closed", ("planted",)) for name in names]
    under_way = start_checks(folder, checks, fixtures, only=only, check_deadline=check_deadline)
    under_way.release()
    return under_way.finish(overall)


def statuses(answers: Answers) -> dict[str, CheckStatus]:
    return {item.outcome.check.removeprefix("test_it.py::"): item.outcome.status for item in answers.answers}


def messages(answers: Answers) -> dict[str, str]:
    return {item.outcome.check.removeprefix("test_it.py::"): item.outcome.message for item in answers.answers}


@pytest.fixture(scope="module")
def many(plain_asserts: None, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """One worker that has seen everything."""
    return run_checks(tmp_path_factory.mktemp("many") / "checks", MANY)


def test_every_way_to_end_is_told_apart(many: Answers) -> None:
    found = statuses(many)
    assert found.pop("test_with_untidy_fixture") is ERROR  # and a second answer, which scoring counts as none
    assert found == {
        "test_passes": PASSED,
        "test_fails": FAILED,
        "test_fails_without_a_word": FAILED,
        "test_says_fail": FAILED,
        "test_errs": ERROR,
        "test_is_skipped": SKIPPED,
        "test_leaves": ERROR,
        "test_hangs": ERROR,
        "test_swallows_everything": ERROR,
        "test_has_cases[a]": PASSED,
        "test_has_cases[b]": FAILED,
        "test_with_broken_fixture": ERROR,
        "test_after_all_that": PASSED,
    }


def test_a_failure_carries_the_message_of_its_assertion_and_no_more(many: Answers) -> None:
    told = messages(many)
    assert told["test_fails"] == "the intern reads 3 files"
    assert told["test_says_fail"] == "seen this"
    assert told["test_has_cases[b]"] == "case b is open"


def test_an_error_is_kept_from_the_trainee_and_told_to_us(many: Answers) -> None:
    assert messages(many)["test_errs"] == ""
    assert "secret detail" in many.detail("test_it.py::test_errs")
    assert many.detail("test_it.py::test_hangs") == TOOK_TOO_LONG


def test_what_erred_is_unsettled_and_what_failed_is_not(many: Answers) -> None:
    unsettled = {name.removeprefix("test_it.py::") for name in many.unsettled}
    assert unsettled == {
        "test_errs",
        "test_leaves",
        "test_hangs",
        "test_swallows_everything",
        "test_with_broken_fixture",
        "test_with_untidy_fixture",
    }


def test_a_check_that_kills_its_worker_leaves_the_rest_unsettled(tmp_path: Path) -> None:
    answers = run_checks(
        tmp_path / "checks",
        """
        import os
        def test_first(): pass
        def test_second(): os._exit(0)
        def test_third(): pass
        """,
        named=["test_first", "test_second", "test_third"],
    )
    assert statuses(answers) == {"test_first": PASSED}
    assert answers.unsettled == ["test_it.py::test_second", "test_it.py::test_third"]


def test_an_interrupt_raised_by_a_check_leaves_the_rest_unsettled(tmp_path: Path) -> None:
    source = """
    def test_first(): raise KeyboardInterrupt
    def test_second(): pass
    """
    answers = run_checks(tmp_path / "checks", source, named=["test_first", "test_second"])
    assert answers.unsettled == ["test_it.py::test_first", "test_it.py::test_second"]


def test_a_file_that_does_not_import_leaves_all_its_checks_unsettled(tmp_path: Path) -> None:
    answers = run_checks(tmp_path / "checks", "import nothing_of_that_name\ndef test_first():\n    pass\n")
    assert answers.unsettled == ["test_it.py::test_first"]
    assert answers.collected == {"test_it.py::test_first": "closed"}


def test_the_overall_deadline_ends_a_worker_that_ignores_its_own(tmp_path: Path) -> None:
    source = """
    import signal, time
    def test_stubborn():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    """
    before = time.monotonic()
    answers = run_checks(tmp_path / "checks", source, overall=0.5, named=["test_stubborn"])
    assert answers.unsettled == ["test_it.py::test_stubborn"]
    assert time.monotonic() - before < 10


@pytest.mark.parametrize(("slower", "status"), [(1.0, ERROR), (40.0, PASSED)])
def test_a_check_has_more_time_on_a_busy_computer(
    slower: float, status: CheckStatus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
    import time
    def test_waits():
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            time.sleep(0.01)
    """
    monkeypatch.setattr(reporter, "pace", lambda: slower)
    answers = run_checks(tmp_path / "checks", source, check_deadline=0.2, named=["test_waits"])
    assert statuses(answers) == {"test_waits": status}


HOSTILE = {
    "conftest.py": "raise SystemExit('conftest was read')",
    "sitecustomize.py": "raise SystemExit('sitecustomize was read')",
    "pyproject.toml": "[tool.pytest.ini_options]\npython_functions = 'nothing_*'\n",
    "pytest.ini": "[pytest]\npython_functions = nothing_*\n",
    "tox.ini": "[pytest]\npython_functions = nothing_*\n",
}


def test_configuration_lying_about_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cwd = tmp_path / "checks", tmp_path / "cwd"
    for place in (folder, cwd, tmp_path):
        place.mkdir(exist_ok=True)
        for name, text in HOSTILE.items():
            (place / name).write_text(text)
    monkeypatch.chdir(cwd)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    assert statuses(run_checks(folder, "def test_first():\n    pass\n")) == {"test_first": PASSED}


def test_only_the_named_checks_run(tmp_path: Path) -> None:
    source = "def test_first():\n    pass\ndef test_second():\n    pass\n"
    answers = run_checks(tmp_path / "checks", source, only=["test_it.py::test_second"])
    assert statuses(answers) == {"test_second": PASSED}


def test_what_needs_no_clone_goes_first_and_the_rest_waits_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "test_it.py").write_text(
        f"""
def test_of_the_clone(host):
    with open({str(tmp_path / "log")!r}, "a") as log: log.write("clone ")
def test_of_the_running_machine(live):
    with open({str(tmp_path / "log")!r}, "a") as log: log.write("live ")
"""
    )
    checks = [
        Check("test_it.py::test_of_the_clone", "closed", ("host",)),
        Check("test_it.py::test_of_the_running_machine", "closed", ("live",)),
    ]
    under_way = start_checks(folder, checks, str, check_deadline=5)
    log = tmp_path / "log"
    until = time.monotonic() + 10
    while not log.exists() or not log.read_text():
        assert time.monotonic() < until
        time.sleep(0.005)
    assert log.read_text() == "live "
    under_way.release()
    answers = under_way.finish()
    assert log.read_text() == "live clone "
    assert set(statuses(answers).values()) == {PASSED}


def test_a_worker_that_is_given_up_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "test_it.py").write_text("def test_waits(host):\n    pass\n")
    under_way = start_checks(folder, [Check("test_it.py::test_waits", "closed", ("host",))], str)
    child = under_way._child
    under_way.abort()
    under_way.abort()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_fixture_that_cannot_be_made_is_an_error_not_a_failure(tmp_path: Path) -> None:
    def refuse(name: str) -> object:
        raise AssertionError(f"no {name}")

    answers = run_checks(tmp_path / "checks", "def test_x(planted):\n    pass\n", fixtures=refuse)
    assert statuses(answers) == {"test_x": ERROR}


def test_what_a_check_prints_goes_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = "import os\ndef test_x():\n    print('loud'); os.write(1, b'louder'); os.write(2, b'loudest')\n"
    run_checks(tmp_path / "checks", source)
    assert capfd.readouterr() == ("", "")
