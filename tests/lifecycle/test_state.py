"""The state directory: whole files, private, the same answers after a restart and between processes."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from phi_fixtures.manifest import Manifest
from phi_labs.errors import UserError
from phi_labs.lifecycle.state import State, default_state_folder
from phi_labs.model.run import Run

fork = multiprocessing.get_context("fork")


def a_run(trainee: str = "Ada Okafor", lab: str = "small") -> Run:
    return Run(
        id="abc",
        lab=lab,
        trainee=trainee,
        entity="ce",
        retry=0,
        block=7,
        created_at="2026-03-02T00:00:00+00:00",
    )


def every_path(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def test_everything_is_private_whatever_the_umask(state: State) -> None:
    before = os.umask(0)
    try:
        state.save_run(a_run(), Manifest(), {"id_ed25519": "secret"})
        state.take_hint("ada", "small", 0, "todays-log")
        state.block_of("ada", "small", 0)
        attempt = state.new_attempt("ada", "small")
        state.write(attempt.scorecard, "{}")
        state.keep_attempt("ada", "small", attempt, lambda number: "{}")
    finally:
        os.umask(before)
    wide = [
        path for path in every_path(state.root) if path.stat().st_mode & 0o077 and "locks" not in path.parts
    ]
    assert wide == []
    assert stat.S_IMODE((state.root / "locks").stat().st_mode) == 0o700


def test_the_installation_keeps_its_identity(state: State) -> None:
    again = State(state.root)
    assert again.install == state.install
    assert again.seed("ada", "small", 0) == state.seed("ada", "small", 0)


def test_seeds_differ_by_trainee_lab_retry_and_installation(state: State, tmp_path: Path) -> None:
    other = State(tmp_path / "other")
    seeds = {
        state.seed("ada", "small", 0),
        state.seed("ada", "small", 1),
        state.seed("ada", "large", 0),
        state.seed("bob", "small", 0),
        other.seed("ada", "small", 0),
    }
    assert len(seeds) == 5


def test_blocks_are_disjoint_and_stay(state: State) -> None:
    keys = [
        (f"trainee {number}", lab, retry) for number in range(5) for lab in ("a", "b") for retry in (0, 1)
    ]
    first = [state.block_of(*key) for key in keys]
    assert len(set(first)) == len(keys)
    assert [State(state.root).block_of(*key) for key in reversed(keys)] == first[::-1]


def _take_blocks(root: Path, start: int) -> None:
    state = State(root)
    for number in range(start, start + 10):
        state.block_of(f"t{number}", "small", 0)


def test_blocks_stay_disjoint_between_processes(state: State) -> None:
    workers = [fork.Process(target=_take_blocks, args=(state.root, start)) for start in (0, 5, 10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    blocks = [state.block_of(f"t{number}", "small", 0) for number in range(20)]
    assert len(set(blocks)) == 20


def test_a_write_that_fails_leaves_the_old_file(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    path = state.root / "file"
    state.write(path, "old")

    def no_space(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(UserError, match="No space left") as caught:
        state.write(path, "new")
    assert "PHI_LABS_STATE" in caught.value.hint
    assert path.read_text() == "old"
    assert [item.name for item in state.root.iterdir() if item.name.startswith(".file")] == []


def test_a_state_directory_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="state directory") as caught:
        State(tmp_path / "file" / "state")
    assert "PHI_LABS_STATE" in caught.value.hint


def test_a_read_only_state_directory_is_the_users_to_mend(tmp_path: Path) -> None:
    # /proc takes no new directories, not even from root.
    with pytest.raises(UserError, match="cannot use the state directory"):
        State(Path("/proc") / "phi-labs" / tmp_path.name)


def test_a_damaged_identity_is_told_with_its_path(state: State) -> None:
    (state.root / "install.json").write_text("{")
    with pytest.raises(UserError, match=r"install\.json"):
        State(state.root)


def test_a_run_comes_back_as_it_was_saved(state: State) -> None:
    run = a_run()
    folder = state.save_run(run, Manifest(seed="00", block=7), {"known_hosts": "line\n"})
    assert state.load_run(run.trainee, run.lab) == run
    assert state.load_manifest(run.trainee, run.lab) == Manifest(seed="00", block=7)
    assert folder.known_hosts.read_text() == "line\n"
    assert state.runs() == [run]


def test_forgetting_a_run_keeps_attempts_and_hints(state: State) -> None:
    run = a_run()
    state.save_run(run, Manifest(), {})
    state.keep_attempt(run.trainee, run.lab, state.new_attempt(run.trainee, run.lab), lambda number: "{}")
    state.take_hint(run.trainee, run.lab, 0, "record")
    state.forget_run(run.trainee, run.lab)
    assert state.load_run(run.trainee, run.lab) is None
    assert [item.number for item in state.attempts(run.trainee, run.lab)] == [1]
    assert state.hints(run.trainee, run.lab, 0) == {"record": 1}


def test_flags_last_until_the_run_is_made_anew(state: State) -> None:
    run = a_run()
    state.save_run(run, Manifest(), {})
    state.flag(run.trainee, run.lab, "rescue")
    assert State(state.root).flags(run.trainee, run.lab) == {"rescue": True}
    state.save_run(run, Manifest(), {})
    assert state.flags(run.trainee, run.lab) == {}


def test_names_of_trainees_never_leave_the_state_directory(state: State) -> None:
    for name in ("../../etc", "a/b", ".", "..", "ünï cøde", "x" * 90):
        path = state.run_folder(name, "small").path
        assert path.resolve().is_relative_to(state.root / "runs")
        assert path.parent.parent == state.root / "runs"


def test_a_folder_that_was_dropped_never_counts(state: State) -> None:
    attempt = state.new_attempt("ada", "small")
    state.drop_attempt(attempt)
    assert state.attempts("ada", "small") == []
    assert (
        state.keep_attempt("ada", "small", state.new_attempt("ada", "small"), lambda number: "{}").number == 1
    )


def test_folders_of_killed_gradings_go_and_those_of_running_ones_stay(state: State) -> None:
    old, running = state.new_attempt("ada", "small"), state.new_attempt("ada", "small")
    kept = state.keep_attempt("ada", "small", state.new_attempt("ada", "small"), lambda number: "{}")
    for attempt in (old, kept):
        os.utime(attempt.path, (0, 0))
    state.drop_abandoned_attempts(3600)
    assert not old.path.exists()
    assert running.path.exists()
    assert kept.path.exists()


def _keep_attempts(root: Path) -> None:
    state = State(root)
    for _ in range(5):
        state.keep_attempt("ada", "small", state.new_attempt("ada", "small"), lambda number: "{}")


def test_attempts_are_numbered_without_gaps_between_processes(state: State) -> None:
    workers = [fork.Process(target=_keep_attempts, args=(state.root,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [item.number for item in state.attempts("ada", "small")] == list(range(1, 16))


def test_hints_are_counted_per_seed_and_survive(state: State) -> None:
    state.take_hint("ada", "small", 0, "record")
    state.take_hint("ada", "small", 0, "record")
    state.take_hint("ada", "small", 1, "record")
    again = State(state.root)
    assert again.hints("ada", "small", 0) == {"record": 2}
    assert again.hints("ada", "small", 1) == {"record": 1}


def test_a_retry_moves_on_and_stays(state: State) -> None:
    assert state.retry_of("ada", "small") == 0
    assert state.next_retry("ada", "small") == 1
    assert State(state.root).retry_of("ada", "small") == 1


def test_a_lock_is_held_once(state: State) -> None:
    with state.lock("grade", wait=False) as first, State(state.root).lock("grade", wait=False) as second:
        assert (first, second) == (True, False)
    with state.lock("grade", wait=False) as free:
        assert free


def test_a_lock_file_that_was_removed_meanwhile_locks_nobody_in(state: State) -> None:
    with state.lock("grade"):
        state.lock_file("grade").unlink()
        with state.lock("grade", wait=False) as free:
            assert free
            with State(state.root).lock("grade", wait=False) as other:
                assert not other


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PHI_LABS_STATE": "/a/b", "XDG_STATE_HOME": "/c"}, "/a/b"),
        ({"XDG_STATE_HOME": "/c"}, "/c/phi-labs"),
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/phi-labs"),
    ],
)
def test_the_state_directory_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("PHI_LABS_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_state_folder() == Path(expected)
