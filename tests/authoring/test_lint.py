"""Lint: every rule says what is wrong with a spoilt lab, where, and nothing about a sound one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.authoring.conftest import Spoil

from phi_labs.authoring.lint import Finding, has_errors, lint
from phi_labs.authoring.lint_wording import sentences, wrong_in
from phi_labs.model.content import content_folder, lab_ids

CHECKS = "checks/test_small.py"
REFERENCE = "attempts/reference.sh"
VERDICTS = "attempts/verdicts.yml"


def told(folder: Path, rule: str) -> list[Finding]:
    return [finding for finding in lint(folder) if finding.rule == rule]


def test_a_sound_lab_has_no_findings(folder: Path) -> None:
    assert lint(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("lab", lab_ids())
def test_the_labs_that_came_along_have_no_errors_and_are_proofs(lab: str) -> None:
    found = lint(content_folder() / "labs" / lab)
    serious = [item for item in found if item.severity == "error" or item.rule == "attempt-count"]
    assert [f"{item.where}: {item.what}" for item in serious] == []


def test_everything_is_told_at_once_and_errors_first(folder: Path, spoil: Spoil) -> None:
    spoil("lab.yml", r"points: 40", "points: 30")
    spoil("lab.yml", r'\["164.502\(b\)"\]', '["164.999(z)"]')
    spoil(REFERENCE, r"set -eu", "set -u")
    spoil(CHECKS, "import datetime", "import datetime\nimport requests")
    (folder / "attempts" / "wrong-root-only.sh").unlink()
    found = lint(folder)
    rules = {finding.rule for finding in found}
    assert {"lab.yml", "verdicts.yml", "attempt-set-eu", "check-import"} <= rules
    severities = [finding.severity for finding in found]
    assert severities == sorted(severities, key=lambda word: word != "error")


# rule, file, pattern, replacement, whether it is told of just that line, what is told, severity
SPOILT = [
    ("lab.yml", "lab.yml", r"points: 40", "points: 39", False, "add up to 99", "error"),
    ("lab.yml", "lab.yml", r'"164.502\(b\)"', '"164.502(bb)"', True, "unknown citation", "error"),
    ("lab.yml", "lab.yml", "cost: 5", "cost: 25", False, "more than half", "error"),
    ("lab.yml", "lab.yml", "cost: 0", "cost: 1", True, "first hint is free", "error"),
    (
        "lab.yml",
        "lab.yml",
        r"protects: \[exports-closed",
        "protects: [export-closed",
        False,
        "no objective",
        "error",
    ),
    ("lab.yml", "lab.yml", "minutes: 20", "minutes: often", True, "whole number", "error"),
    ("verdicts.yml", VERDICTS, r"  why: Billing is locked out\.\n", "", False, "why: is missing", "error"),
    ("verdicts.yml", VERDICTS, r"right-acl: .*?\n", "", False, "right-acl.sh has no verdict", "error"),
    (
        "verdicts.yml",
        VERDICTS,
        r"wrong-root-only:",
        "wrong-roots-only:",
        False,
        "no attempts/wrong-roots-only",
        "error",
    ),
    (
        "verdicts.yml",
        VERDICTS,
        r"reference: \{earns: all",
        "reference: {earns: [records]",
        False,
        "'records' is no",
        "error",
    ),
    ("record", "lab.yml", r"points: 40(.*)points: 20", "points: 40", False, "", "error"),
    ("hint-price", "lab.yml", "cost: 5", "cost: 0", False, "has no price", "error"),
    (
        "hint-missing",
        "lab.yml",
        r"    hints:\n      - text: Every.*?cost: 0\n",
        "",
        False,
        "no hint",
        "advice",
    ),
    (
        "hint-gives-away",
        "lab.yml",
        "Ask the machine,",
        "Try `chmod 0640 FILE`. Ask the machine,",
        False,
        "gives a step",
        "error",
    ),
    ("hint-gives-away", "lab.yml", "Run the job yourself", "It wants MODE=0640", False, "MODE=0640", "error"),
    (
        "hint-gives-away",
        "lab.yml",
        "The job reads",
        "chgrp billing /srv/exports; the job reads",
        False,
        "whole command",
        "advice",
    ),
    (
        "expected-names-recipe",
        "lab.yml",
        "Of all accounts",
        "Run chmod 0640. Of all",
        False,
        "recipe",
        "error",
    ),
    (
        "check-names-fix",
        CHECKS,
        "no new export was",
        "chgrp billing /srv/exports",
        False,
        "names the fix",
        "error",
    ),
    (
        "brief-names-solution",
        "brief.md",
        "Tickets and",
        "`sudo setfacl -m u:billing:r,g::-,o::- FILE` helps. Tickets and",
        False,
        "setfacl",
        "error",
    ),
    (
        "brief-names-solution",
        "brief.md",
        "Tickets and",
        "Use `setfacl`. Tickets and",
        False,
        "only the solution needs",
        "advice",
    ),
    (
        "brief-names-solution",
        "brief.md",
        "Tickets and",
        "It must say MODE=0640. Tickets and",
        False,
        "MODE=0640",
        "advice",
    ),
    (
        "brief",
        "brief.md",
        r"\{% for guard in lab.guards %\}.*?\{% endfor %\}",
        "",
        False,
        "everything that is graded",
        "error",
    ),
    ("brief", "brief.md", r"\{\{ lab.record \}\}", "the form", False, "the record's form", "error"),
    (
        "brief",
        "brief.md",
        r"- Everything on it can be copied for grading",
        "",
        False,
        "captured-whole",
        "advice",
    ),
    (
        "debrief",
        "debrief.md",
        r"\| 45 CFR 164.502\(b\).*?\n",
        "",
        False,
        "never explains 164.502(b)",
        "advice",
    ),
    ("text", "brief.md", r"\{\{ lab.title \}\}", "{{ lab.name.first }}", True, "name", "error"),
    ("text", "debrief.md", r"\{% endif %\}", "", False, "", "error"),
    ("entities", "lab.yml", r"entities: \[ce, ba\]", "entities: [ce]", True, "as ce only", "advice"),
    (
        "wording",
        "debrief.md",
        "An export is",
        "This makes you HIPAA\ncompliant. An export is",
        True,
        "HIPAA compliant",
        "error",
    ),
    ("wording", "brief.md", "Tickets and", "This was a breach. Tickets and", False, "decides that", "error"),
    (
        "wording",
        "planted/incident.txt",
        "Should that work",
        "The Security Rule requires MFA",
        True,
        "proposed rule",
        "error",
    ),
    (
        "citation-status",
        "debrief.md",
        r"modification \| addressable",
        "modification | required",
        False,
        "it is addressable",
        "error",
    ),
    ("attempt-syntax", REFERENCE, "done >", "end >", False, "bash refuses it", "error"),
    ("attempt-set-eu", REFERENCE, "set -eu", "set -e", False, "set -eu", "error"),
    ("attempt-directive", REFERENCE, "#!/usr/bin/env bash", "# phi-labs: host db7", True, "no host", "error"),
    ("attempt-directive", REFERENCE, "set -eu\n", "set -eu\n# phi-labs: user\n", False, "first 3", "error"),
    ("attempt-directive", REFERENCE, r"\*\.csv\n", "*.csv  # phi-labs: unnoticed\n", True, "reason", "error"),
    ("attempt-directive", REFERENCE, "#!/usr/bin/env bash", "# phi-labs: usr", True, "no word", "error"),
    (
        "generated-verdict",
        VERDICTS,
        r"generated-moved:.*?\n\n",
        "",
        False,
        "generated-moved has no verdict",
        "error",
    ),
    (
        "generated-verdict",
        VERDICTS,
        r"guards_fail: \[billing-reads, exports-survive\]",
        "guards_fail: []",
        False,
        "keeps points",
        "advice",
    ),
    (
        "check-target",
        CHECKS,
        r'@objective\("next-export"\)',
        '@objective("nxt-export")',
        False,
        "speaks for 'nxt-export'",
        "error",
    ),
    ("check-target", CHECKS, r'@guard\("exports-survive"\)', "", False, "neither @objective", "error"),
    (
        "check-skip",
        CHECKS,
        r'@guard\("exports-survive"\)',
        '@guard("exports-survive")\n@pytest.mark.skip',
        False,
        "skip",
        "error",
    ),
    (
        "check-import",
        CHECKS,
        "import pytest",
        "import pytest\nfrom phi_labs.grading import host",
        False,
        "phi_labs.grading",
        "error",
    ),
    (
        "check-import",
        CHECKS,
        "import pytest",
        "import pytest\nimport subprocess",
        False,
        "own machine",
        "advice",
    ),
    ("check-message", CHECKS, r'assert landed, ".*?"', "assert landed", True, "without a message", "error"),
    ("check-leak", CHECKS, r"\{len\(missing\)\}", "{planted.identifiers('exports')}", False, "", "error"),
    ("check-leak", CHECKS, r"\{record.error\}", "{planted.answers[name]}", False, "answers", "error"),
    (
        "check-leak",
        CHECKS,
        r"assert not missing, f.*?\n",
        'assert not missing, ", ".join(planted.facts)\n',
        False,
        "facts",
        "error",
    ),
    (
        "check-recipe",
        CHECKS,
        r"assert landed,",
        'assert host.file("/srv").mode == 0o755, "no"\n    assert landed,',
        True,
        "recipe",
        "advice",
    ),
    ("plant", "plant.py", r"rng.randrange\(2100, 2900\)", "1 // 0", False, "ZeroDivisionError", "error"),
    ("plant", "plant.py", r'p.rng\("story"\)', "__import__('random').Random()", False, "same seed", "error"),
    ("plant", "plant.py", r"    p.planted\(site, path, people, FIELDS\)\n", "", False, "p.planted", "error"),
    ("plant", "plant.py", 'f"REQ-{request}"', "patients[0].mrn", False, "planted identifier", "error"),
    (
        "plant-portable",
        "plant.py",
        r'p.rng\("story"\)',
        "__import__('random').Random(1)",
        False,
        "can be copied",
        "error",
    ),
    (
        "record-form",
        "plant.py",
        '"/srv/records/exposure-report.yml"',
        '"/srv/records/report.yml"',
        False,
        "does not plant",
        "error",
    ),
    (
        "record-form",
        "planted/exposure-report.yml",
        "\npeople:",
        "\npeople:\nremarks:",
        False,
        "`remarks`",
        "advice",
    ),
    ("record-form", "planted/exposure-report.yml", "\npeople:", "\npeople: [", False, "no YAML", "error"),
]


@pytest.mark.parametrize(
    ("rule", "name", "old", "new", "there", "what", "severity"),
    SPOILT,
    ids=[f"{number}-{row[0]}" for number, row in enumerate(SPOILT)],
)
def test_what_is_spoilt_is_told_with_its_place(  # noqa: PLR0917 - a table's row
    folder: Path,
    spoil: Spoil,
    rule: str,
    name: str,
    old: str,
    new: str,
    there: bool,
    what: str,
    severity: str,
) -> None:
    line = spoil(name, old, new)
    found = [item for item in told(folder, rule) if what in item.what and item.severity == severity]
    assert found, [(item.rule, item.severity, item.where, item.what) for item in lint(folder)]
    assert all(item.mend for item in found)
    if there:
        assert line in [item.line for item in found], [item.where for item in found]


def test_every_rule_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "authoring.md").read_text()
    documented = set(re.findall(r"`([a-z.-]+)`", page.split("## What lint looks at")[1]))
    assert {row[0] for row in SPOILT} | {"never-fails", "attempt-double", "check-name"} <= documented


def test_advice_is_no_error(folder: Path, spoil: Spoil) -> None:
    spoil("lab.yml", r"entities: \[ce, ba\]", "entities: [ce]")
    found = lint(folder)
    assert found
    assert not has_errors(found)


def test_a_lab_without_its_files_is_told_file_by_file(folder: Path) -> None:
    (folder / "brief.md").unlink()
    shutil.rmtree(folder / "checks")
    (folder / VERDICTS).unlink()
    rules = {finding.rule for finding in lint(folder)}
    assert {"text", "no-checks", "verdicts.yml"} <= rules


@pytest.mark.parametrize("name", ["brief.md", "debrief.md", "planted/exposure-report.yml", REFERENCE, CHECKS])
def test_an_empty_file_is_told(folder: Path, name: str) -> None:
    (folder / name).write_text("")
    assert has_errors(lint(folder))


@pytest.mark.parametrize("name", ["brief.md", "plant.py", REFERENCE, CHECKS, VERDICTS, "lab.yml"])
def test_what_is_no_file_is_told(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)
    found = lint(folder)
    assert any(finding.severity == "error" and str(finding.path).endswith(name) for finding in found)


def test_a_lab_that_is_no_yaml_is_one_finding(folder: Path) -> None:
    (folder / "lab.yml").write_text("id: [")
    (finding,) = lint(folder)
    assert (finding.rule, finding.severity, finding.path.name) == ("lab.yml", "error", "lab.yml")


def test_a_guard_or_objective_that_nobody_fails_is_told(folder: Path) -> None:
    text = (folder / VERDICTS).read_text()
    (folder / VERDICTS).write_text(text.replace(", exports-survive]", "]"))
    what = " ".join(finding.what for finding in told(folder, "never-fails"))
    assert "guard exports-survive" in what
    assert "guard billing-reads" not in what


def test_few_attempts_are_advised_against(folder: Path) -> None:
    blocks = (folder / VERDICTS).read_text().split("\n\n")
    kept = [block for block in blocks if "wrong-" not in block or "wrong-files-only" in block]
    (folder / VERDICTS).write_text("\n\n".join(kept) + "\n")
    found = told(folder, "attempt-count")
    assert {finding.severity for finding in found} == {"advice"}
    assert "1 wrong way(s)" in " ".join(finding.what for finding in found)


def test_two_scripts_that_do_the_same_are_told(folder: Path) -> None:
    text = (folder / REFERENCE).read_text().replace("# Mode", "# In other words: mode")
    (folder / "attempts" / "right-acl.sh").write_text(text)
    assert "reference does" in told(folder, "attempt-double")[0].what


LEAKING = [
    ("wanted = planted.identifiers('exports')\n    assert not 1, f'{wanted} is open'", "identifiers"),
    ("wanted = planted.answers['people']\n    other = wanted\n    assert not 1, f'not {other}'", "answers"),
    ("assert not 1, ', '.join(sorted(planted.identifiers()))", "identifiers"),
    ("assert not 1, told(planted)", "mrn"),
    ("assert not 1, 'it said ' + str(host.run(['/bin/true']).stdout)", "stdout"),
    ("assert not 1, 'not %s' % planted.answers['people']", "answers"),
    ("pytest.fail(f'{host.run([JOB]).stdout!r}')", "stdout"),
    ("raise AssertionError(f'{host.file(JOB).content_string}')", "content_string"),
]
TELLING = [
    "wanted = planted.identifiers('exports')\n    assert not 1, f'{len(wanted)} are open'",
    "found = host.leaks(planted.identifiers())\n    assert not found, f'{found.summary()} and {found.paths}'",
    "assert not 1, counted(planted)",
    "value = record.field('people')\n    assert value == planted.answers['people'], f'it says {value}'",
]
HELPERS = """
def told(planted):
    return f"{planted.manifest.mrn} is open"


def counted(planted):
    return f"{len(planted.identifiers())} are open"
"""


@pytest.mark.parametrize(("body", "name"), LEAKING)
def test_messages_that_print_what_they_may_not(folder: Path, body: str, name: str) -> None:
    add_check(folder, body)
    found = told(folder, "check-leak")
    assert [item for item in found if f"`{name}`" in item.what]


@pytest.mark.parametrize("body", TELLING)
def test_messages_that_count_or_name_places(folder: Path, body: str) -> None:
    add_check(folder, body)
    assert not told(folder, "check-leak")


def add_check(folder: Path, body: str) -> None:
    text = (folder / CHECKS).read_text()
    check = f'@guard("billing-reads")\ndef test_more(host, planted, record):\n    {body}\n'
    (folder / CHECKS).write_text(f"{text}\n{HELPERS}\n{check}")


def test_a_check_file_of_another_name_is_told(folder: Path) -> None:
    (folder / CHECKS).rename(folder / "checks" / "test_other.py")
    assert told(folder, "check-name")


@pytest.mark.parametrize(
    ("spoken", "name"),
    [
        ("The machine's own job is `/usr/local/sbin/nightly-export --now tonight`.", "brief.md"),
        ("`systemctl restart cron` restarts a service.", "brief.md"),
        ("Look with `sudo -u clerk head -1 /srv/exports/x.csv` and `ls -l /srv/exports`.", "brief.md"),
        ("The settings say GROUP=root and MODE=0644.", "brief.md"),
        ("`crontab -e` and nano are there.", "brief.md"),
        ("Tools are chmod, `setfacl` and `install`: take what you like.", "brief.md"),
    ],
)
def test_what_only_describes_the_machine_gives_nothing_away(
    folder: Path, spoil: Spoil, spoken: str, name: str
) -> None:
    spoil(name, "Tickets and", f"{spoken} Tickets and")
    assert not told(folder, "brief-names-solution")


@pytest.mark.parametrize(
    "sentence",
    [
        "Addressable means optional.",
        "The encryption is optional because it is addressable.",
        "HIPAA requires MFA for every login.",
        "Under the Security Rule patches must be in place within 15 days.",
        "See 90 FR 898 for the details.",
        "This is clearly a reportable breach.",
        "You get a HIPAA certificate at the end.",
        "Annual training is mandatory.",
        "Patients are told after 60 days.",
        "HIPAA says that logs must stay six years.",
        "Follow industry best practice.",
    ],
)
def test_sentences_that_may_not_be_said(sentence: str) -> None:
    assert wrong_in(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Addressable is not optional.",
        "The proposed rule would require MFA under HIPAA.",
        "The policy requires MFA for every login.",
        "90 FR 898 is proposed, not law.",
        "Whether this is a breach is decided elsewhere.",
        "If it turns out that this is a breach, somebody decides what follows.",
        "The outer limit for telling patients is 60 days after discovery.",
        "Logs are kept for 60 days.",
        "Six years are for required documentation, not for logs.",
        "Training once a year is best practice today.",
        "The firewall was breached.",
        "This supports evidence of training.",
    ],
)
def test_sentences_that_may_be_said(sentence: str) -> None:
    assert not wrong_in(sentence)


@pytest.mark.parametrize(
    "typed",
    ["chmod 640 FILE", "sudo chmod 0640 it", "**chmod** `0640`", "chgrp 'billing' /srv/exports/*.csv"],
)
def test_other_spellings_of_a_step_are_known(folder: Path, spoil: Spoil, typed: str) -> None:
    spoil("lab.yml", "Ask the machine,", f"{typed}. Ask the machine,")
    assert told(folder, "hint-gives-away")


def test_a_row_of_a_table_is_one_thought() -> None:
    text = "| rule | status |\n| 90 FR 898: encryption; copies at most 48 hours old | proposed |\n"
    assert [sentence for _, sentence in sentences(text) if wrong_in(sentence)] == []


def test_a_sentence_has_the_line_on_which_it_begins() -> None:
    text = "# Head\n\nOne goes\nover lines. Two\nends.\n| a | b |\n| c | d |\n- item one\n  goes on. More.\n"
    assert list(sentences(text)) == [
        (1, "# Head"),
        (3, "One goes over lines."),
        (4, "Two ends."),
        (6, "| a | b |"),
        (7, "| c | d |"),
        (8, "- item one goes on."),
        (9, "More."),
    ]
