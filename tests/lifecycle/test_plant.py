"""Planting: the same seed gives the same archive, byte for byte, and a lab's mistakes are told."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.engine import ACCOUNTS, GROUP
from tests.tiny_lab import PLANT, write_tiny_lab

from phi_labs.errors import UserError
from phi_labs.lifecycle.accounts import parse_accounts
from phi_labs.lifecycle.plant import Planting, plant
from phi_labs.model.lab import Lab
from phi_labs.model.organisation import load_organisation


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return write_tiny_lab(tmp_path)


def planting_of(lab: Lab, seed: bytes = bytes(32), block: int = 7) -> Planting:
    accounts = {host.name: parse_accounts(ACCOUNTS, GROUP) for host in lab.hosts}
    return Planting(lab, "ce", load_organisation(None), seed, block, accounts)


def members(planting: Planting) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(planting.archive("one"))) as tar:
        return {member.name: member for member in tar}


def test_the_same_seed_gives_the_same_bytes(lab: Lab) -> None:
    first, second = planting_of(lab), planting_of(lab)
    plant(first)
    plant(second)
    assert first.archive("one") == second.archive("one")
    assert first.manifest.to_json() == second.manifest.to_json()


def test_another_seed_gives_other_patients_and_other_keys(lab: Lab) -> None:
    first, second = planting_of(lab), planting_of(lab, seed=b"1" * 32, block=8)
    plant(first)
    plant(second)
    assert not first.manifest.identifiers() & second.manifest.identifiers()
    assert first.manifest.personas["intern"]["private"] != second.manifest.personas["intern"]["private"]


def test_access_is_planted_for_the_login_and_for_personas_that_can_log_in(lab: Lab) -> None:
    planting = planting_of(lab)
    plant(planting)
    found = members(planting)
    assert found["home/itops/.ssh/authorized_keys"].uid == 1000
    assert found["home/intern/.ssh/authorized_keys"].uid == 1001
    assert found["etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert "BEGIN OPENSSH PRIVATE KEY" in planting.manifest.personas["intern"]["private"]


def test_a_lab_knows_the_trainees_own_key(lab: Lab) -> None:
    planting = planting_of(lab)
    plant(planting)
    planted = f"{planting.trainee_public_key}\n".encode()
    assert planted in planting.archive("one")
    assert planted.decode().startswith("ssh-ed25519 ")


def test_private_keys_of_people_stay_out_of_the_archive(lab: Lab) -> None:
    planting = planting_of(lab)
    plant(planting)
    archive = planting.archive("one").decode(errors="replace")
    for persona in planting.manifest.personas.values():
        assert persona["private"].splitlines()[2] not in archive


def test_a_persona_without_an_account_or_a_shell_gets_no_key_file(lab: Lab) -> None:
    planting = planting_of(lab)
    plant(planting)
    assert "reviewer" in planting.manifest.personas  # has no account in this fake image
    assert not any("reviewer" in name or "var/lib/ehr" in name for name in members(planting))


def test_owners_modes_and_times_are_as_asked(lab: Lab) -> None:
    planting = planting_of(lab)
    when = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    planting.file("/srv/a", b"x", owner="intern", group="adm", mode=0o4750, mtime=when)
    planting.directory("/srv/d", owner=42, group=43, mode=0o1777)
    planting.symlink("/srv/l", "/srv/a")
    found = members(planting)
    file, directory, link = found["srv/a"], found["srv/d"], found["srv/l"]
    assert (file.uid, file.gid, file.mode, file.mtime) == (1001, 4, 0o4750, when.timestamp())
    assert (directory.uid, directory.gid, directory.mode, directory.isdir()) == (42, 43, 0o1777, True)
    assert (link.linkname, link.issym()) == ("/srv/a", True)


def test_directories_stand_before_what_they_hold(lab: Lab) -> None:
    planting = planting_of(lab)
    planting.file("/srv/d/file", "x")
    planting.directory("/srv/d")
    assert list(members(planting)) == ["srv/d", "srv/d/file"]


def test_a_file_planted_twice_stands_there_once_as_last_said(lab: Lab) -> None:
    planting = planting_of(lab)
    planting.file("/srv/a", "first")
    planting.file("/srv/a", "second")
    assert members(planting)["srv/a"].size == len("second")


@pytest.mark.parametrize("path", ["srv/a", "/srv/../etc/passwd", ""])
def test_a_path_that_is_not_absolute_is_the_authors_mistake(lab: Lab, path: str) -> None:
    with pytest.raises(UserError, match="no absolute path"):
        planting_of(lab).file(path, "x")


def test_an_owner_the_image_does_not_have_is_the_authors_mistake(lab: Lab) -> None:
    with pytest.raises(UserError, match="ghost"):
        planting_of(lab).file("/srv/a", "x", owner="ghost")


def test_random_choices_depend_on_seed_and_label_only(lab: Lab) -> None:
    assert planting_of(lab).rng("a").random() == planting_of(lab).rng("a").random()
    assert planting_of(lab).rng("a").random() != planting_of(lab).rng("b").random()


def test_facts_answers_and_variables_reach_the_manifest(lab: Lab) -> None:
    planting = planting_of(lab)
    plant(planting)
    assert planting.manifest.answers == {"count": 3}
    assert planting.manifest.variables == {"place": "/srv/secret.txt"}
    assert planting.manifest.facts["first"] in planting.manifest.identifiers("secret")


def test_a_plant_without_its_function_is_told_with_its_path(tmp_path: Path) -> None:
    lab = write_tiny_lab(tmp_path, plant="def plants(p): pass\n")
    with pytest.raises(UserError, match=r"plant\.py has no function plant"):
        plant(planting_of(lab))


def test_a_lab_without_a_plant_is_told(lab: Lab) -> None:
    (lab.folder / "plant.py").unlink()
    with pytest.raises(UserError, match=r"has no plant\.py"):
        plant(planting_of(lab))


@pytest.mark.parametrize("text", ["def plant(p:\n", "def plant(p):\n    1 / 0\n"])
def test_a_plant_that_is_broken_is_the_authors_mistake(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"plant\.py"):
        plant(planting_of(write_tiny_lab(tmp_path, plant=text)))


def test_planting_leaves_no_bytecode_in_the_content(lab: Lab) -> None:
    plant(planting_of(lab))
    assert not list(lab.folder.rglob("__pycache__"))
    assert (lab.folder / "plant.py").read_text() == PLANT
