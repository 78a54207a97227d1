"""lab.yml and verdicts.yml: what is accepted, and how each mistake is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from phi_labs.errors import UserError
from phi_labs.model.content import all_labs
from phi_labs.model.lab import BUILT_IN_GUARDS, DEFAULT_CAPABILITIES, Lab, load_lab, load_verdicts

Spoil = Callable[[str, str], Path]


def test_a_lab_knows_its_folder_and_its_defaults(lab: Lab, folder: Path) -> None:
    host = lab.host("ehr1")
    assert lab.folder == folder
    assert lab.context("ehr1") == folder / "ehr1"
    assert lab.entities == ("ce", "ba")
    assert (host.memory_bytes, host.pids, host.cpus) == (128 * 2**20, 200, 1.0)
    assert host.capabilities == DEFAULT_CAPABILITIES
    assert "NET_RAW" not in DEFAULT_CAPABILITIES
    assert "SYS_TIME" not in DEFAULT_CAPABILITIES


def test_guards_name_what_they_protect(lab: Lab) -> None:
    everything = ("todays-log", "older-logs", "record")
    assert lab.protected_by("reviewer-reads") == ("todays-log", "older-logs")
    assert lab.protected_by("ehr-still-logs") == everything
    for guard in BUILT_IN_GUARDS:
        assert lab.protected_by(guard.id) == everything


def test_citations_are_resolved(lab: Lab) -> None:
    assert [str(source) for source in lab.objective("record").sources] == [
        "45 CFR 164.308(a)(6)(ii) Response and reporting (required)"
    ]


def test_a_lab_is_frozen(lab: Lab) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        lab.title = "another"


def test_an_unknown_part_names_the_nearest(lab: Lab) -> None:
    with pytest.raises(UserError) as caught:
        lab.objective("todays-logs")
    assert caught.value.hint.startswith("did you mean todays-log")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("minutes: 45", "minuts: 45", 5, "minuts: unknown key; did you mean minutes?"),
        ("minutes: 45\n", "", 1, "minutes: is missing"),
        ("minutes: 45", "minutes: '45 min'", 5, "minutes: must be a whole number"),
        ("minutes: 45", "minutes: true", 5, "minutes: must be a whole number"),
        ("id: small", "id: large", 1, "id: 'large' is not the name of its folder, 'small'"),
        ("id: small", "id: Small lab", 1, "id: must be lower-case letters, digits and hyphens"),
        ("title: A small lab", "title: 1", 2, "title: must be text (put it in quotes)"),
        ("title: A small lab", "title: ''", 2, "title: must not be empty"),
        ("title: A small lab", 'title: "a\\nb"', 2, "title: must be one line of text"),
        ("policy: IT-07", "policy: seven", 4, "policy: 'seven' does not match"),
        ("minutes: 45", "entities: [ce, patient]\nminutes: 45", 5, "entities[1]: must be 'ce' or 'ba'"),
        ("minutes: 45", "entities: []\nminutes: 45", 5, "entities: must not be empty"),
        ("minutes: 45", "entities: [ce, ce]\nminutes: 45", 5, "entities: names an entity twice"),
        ("/srv/records/", "/etc/", 6, "record: '/etc/exposure-report.yml' does not match"),
        ("record: /srv/records/exposure-report.yml\n", "", 1, "record: the key `record` and an objective"),
        ("name: ehr1", "name: ehr2", 8, "hosts[0].name: there is no ehr2/Dockerfile beside lab.yml"),
        ("name: ehr1", "name: attempts", 8, "hosts[0].name: 'attempts' is a folder with another meaning"),
        ("login: itops", "login: yes", 9, "hosts[0].login: must be text (put it in quotes)"),
        (
            "login: itops",
            "login: itops\n    memory: 3t",
            10,
            "hosts[0].memory: must be a number and k, m or g",
        ),
        ("login: itops", "login: itops\n    memory: 64g", 10, "hosts[0].memory: must be between 16m and 4g"),
        (
            "login: itops",
            "login: itops\n    memori: 64m",
            10,
            "hosts[0].memori: unknown key; did you mean memory?",
        ),
        ("login: itops", "login: itops\n    pids: 1", 10, "hosts[0].pids: must be at least 16"),
        (
            "login: itops",
            "login: itops\n    capabilities: [NET_RAW]",
            10,
            "hosts[0].capabilities[0]: must be 'CHOWN'",
        ),
        (
            "    login: itops",
            "    login: itops\n  - name: ehr1\n    login: x",
            10,
            "hosts[1].name: 'ehr1' is used twice",
        ),
        ("points: 45", "points: 40", 14, "objectives: points add up to 95, not 100"),
        ("points: 45", "points: 0", 17, "objectives[0].points: must be at least 1"),
        ("id: older-logs", "id: todays-log", 23, "objectives[1].id: 'todays-log' is used twice"),
        ('["164.312(a)(1)"]', "[164.402]", 18, "objectives[0].citations[0]: must be text (put it in quotes)"),
        ('["164.312(a)(1)"]', "[]", 18, "objectives[0].citations: must not be empty"),
        ('["164.312(a)(1)"]', '["164.312(a)(9)"]', 18, "objectives[0].citations[0]: unknown citation"),
        ("cost: 0", "cost: 1", 21, "objectives[0].hints[0].cost: the first hint is free: cost must be 0"),
        ("cost: 10", "cost: 23", 20, "objectives[0].hints: hints cost 23, more than half of the 45 points"),
        ("cost: 10", "cots: 10", 22, "objectives[0].hints[1].cots: unknown key; did you mean cost?"),
        (
            "[todays-log, older-logs]",
            "[todays-logs]",
            36,
            "guards[0].protects[0]: 'todays-logs' is no objective",
        ),
        (
            "[todays-log, older-logs]",
            "[record, record]",
            36,
            "guards[0].protects[1]: 'record' is named twice",
        ),
        ("[todays-log, older-logs]", "[]", 36, "guards[0].protects: protects nothing"),
        ("[todays-log, older-logs]", "some", 36, "guards[0].protects: must be 'all'"),
        ('["164.312(b)"]', '["164.312(z)"]', 37, "guards[0].citations[0]: unknown citation"),
        ("id: ehr-still-logs", "id: reviewer-reads", 38, "guards[1].id: 'reviewer-reads' is used twice"),
        ("id: ehr-still-logs", "id: captured-whole", 38, "guards[1].id: 'captured-whole' is already"),
        ("id: ehr-still-logs", "id: record", 38, "guards[1].id: 'record' is already an objective"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(
    spoil_lab: Spoil, old: str, new: str, line: int, message: str
) -> None:
    folder = spoil_lab(old, new)
    with pytest.raises(UserError) as caught:
        load_lab(folder)
    assert f"{folder}/lab.yml:{line}: {message}" in caught.value.message
    assert caught.value.hint


def test_all_mistakes_are_told_at_once_and_no_more(spoil_lab: Spoil) -> None:
    spoil_lab("minutes: 45", "minuts: 45")
    folder = spoil_lab("login: itops", "login: 7")
    with pytest.raises(UserError) as caught:
        load_lab(folder)
    assert len(caught.value.message.splitlines()) == 3  # missing, unknown, not text


def test_a_folder_without_lab_yml_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_lab(tmp_path)


def test_verdicts_say_what_is_earned_and_withheld(lab: Lab) -> None:
    verdicts = load_verdicts(lab)
    assert verdicts.names == ("untouched", "reference", "wrong-live-only")
    assert verdicts["reference"].full_score(lab)
    assert verdicts["wrong-live-only"].earned(lab) == {"todays-log", "record"}
    assert verdicts["wrong-live-only"].applies_to("ba")
    assert not verdicts["untouched"].earned(lab)


def test_a_failing_guard_withholds_what_it_protects(lab: Lab, spoil_verdicts: Spoil) -> None:
    spoil_verdicts("guards_fail: []\n", "guards_fail: [reviewer-reads]\n  entities: [ba]\n")
    verdict = load_verdicts(lab)["wrong-live-only"]
    assert verdict.withheld(lab) == {"todays-log"}
    assert not verdict.applies_to("ce")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("untouched: {earns: [], guards_fail: []}\n", "", 1, "untouched is missing"),
        ("wrong-live-only:", "wrong-live:", 1, "attempts/wrong-live-only.sh has no verdict here"),
        ("wrong-live-only:", "wrong-live:", 3, "wrong-live: there is no attempts/wrong-live.sh"),
        ("[todays-log, record]", "[today-log]", 5, "wrong-live-only.earns[0]: 'today-log' is no objective"),
        ("[todays-log, record]", "all", 3, "wrong-live-only: must not reach full score"),
        ("earns: all", "earns: [record]", 2, "reference: must reach full score"),
        ("earns: [], guards_fail: []", "earns: all, guards_fail: []", 1, "untouched: must not reach full"),
        ("  why: Older logs stay open.\n", "", 3, "wrong-live-only.why: is missing"),
        ("  why:", "  wy:", 4, "wrong-live-only.wy: unknown key; did you mean why?"),
        (
            "guards_fail: []\n",
            "guards_fail: [reader]\n",
            6,
            "wrong-live-only.guards_fail[0]: 'reader' is no guard",
        ),
        (
            "guards_fail: []\n",
            "guards_fail: [reviewer-reads]\n  entities: [xx]\n",
            7,
            "wrong-live-only.entities[0]",
        ),
        ("wrong-live-only:", "Wrong Live:", 3, "Wrong Live: must be lower-case"),
    ],
)
def test_a_mistake_in_verdicts_is_told_with_file_line_and_key(
    spoil_verdicts: Spoil, old: str, new: str, line: int, message: str
) -> None:
    folder = spoil_verdicts(old, new)
    lab = load_lab(folder)
    with pytest.raises(UserError) as caught:
        load_verdicts(lab)
    assert f"{folder}/attempts/verdicts.yml:{line}: {message}" in caught.value.message


def test_a_lab_without_verdicts_is_a_user_error(lab: Lab) -> None:
    (lab.folder / "attempts" / "verdicts.yml").unlink()
    with pytest.raises(UserError, match=r"verdicts\.yml: cannot be read"):
        load_verdicts(lab)


def test_the_real_labs_load_with_their_verdicts() -> None:
    listing = all_labs()
    assert not listing.broken, [broken.error.message for broken in listing.broken]
    for lab in listing.labs:
        assert load_verdicts(lab)["reference"].full_score(lab)


@pytest.mark.parametrize("name", ["generated-emptied", "generated-moved"])
def test_attempts_that_the_harness_makes_have_a_verdict_and_no_script(folder: Path, name: str) -> None:
    path = folder / "attempts" / "verdicts.yml"
    text = path.read_text()
    path.write_text(f"{text}{name}: {{why: It is gone., earns: [record], guards_fail: []}}\n")
    assert load_verdicts(load_lab(folder))[name].earned(load_lab(folder)) == {"record"}
    path.write_text(f"{text}{name}: {{earns: [record], guards_fail: []}}\n")
    with pytest.raises(UserError, match="say what is wrong"):
        load_verdicts(load_lab(folder))
    path.write_text(f"{text}{name}: {{why: It is gone., earns: all, guards_fail: []}}\n")
    with pytest.raises(UserError, match="must not reach full score"):
        load_verdicts(load_lab(folder))
    path.write_text(f"{text}{name}: {{why: It is gone., earns: [record], guards_fail: []}}\n")
    (folder / "attempts" / f"{name}.sh").write_text("true\n")
    with pytest.raises(UserError, match="rename it"):
        load_verdicts(load_lab(folder))
