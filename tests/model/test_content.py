"""Finding labs, rendering briefs, organisations, citations, schemas, wording."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from phi_labs.errors import UserError
from phi_labs.model import schema
from phi_labs.model.brief import render_brief, render_debrief
from phi_labs.model.citations import all_citations, citation
from phi_labs.model.content import all_labs, content_folder, find_lab, lab_folder, lab_ids
from phi_labs.model.entity import parse_entity
from phi_labs.model.lab import Lab
from phi_labs.model.organisation import load_organisation
from phi_labs.model.wording import forbidden_phrases

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_ORGANISATION = ROOT / "checker/phi_labs/model/organisations/mercy-valley.yml"


def test_labs_are_listed_by_id_and_a_broken_one_hides_no_other(content: Path) -> None:
    for name in ("zebra", "alpha", ".hidden"):
        (content / "labs" / name).mkdir()
        (content / "labs" / name / "lab.yml").write_text("- not a lab\n")
    (content / "labs" / "no-lab").mkdir()
    assert lab_ids(content) == ("alpha", "small", "zebra")
    listing = all_labs(content)
    assert [lab.id for lab in listing.labs] == ["small"]
    assert [broken.id for broken in listing.broken] == ["alpha", "zebra"]
    assert "alpha/lab.yml:1: is not a mapping" in listing.broken[0].error.message


def test_a_lab_is_found_by_its_id(content: Path) -> None:
    assert find_lab("small", content).folder == content / "labs" / "small"


@pytest.mark.parametrize("name", ["smal", "Small", "../labs/small", "small/", "", "."])
def test_an_unknown_lab_names_the_nearest_and_all(content: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        lab_folder(name, content)
    assert caught.value.hint.endswith("labs: small")
    if name == "smal":
        assert caught.value.hint == "did you mean small? labs: small"


def test_without_labs_the_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no labs"):
        lab_ids(tmp_path)
    (tmp_path / "labs").mkdir()
    with pytest.raises(UserError) as caught:
        lab_folder("log-access", tmp_path)
    assert caught.value.hint == "there are no labs"


def test_a_checkout_wins_over_the_installed_copy(tmp_path: Path) -> None:
    package = tmp_path / "checker" / "phi_labs"
    (package / "content" / "labs").mkdir(parents=True)
    assert content_folder(package=package) == package / "content"
    (tmp_path / "labs").mkdir()
    assert content_folder(package=package) == package / "content"  # site-packages may have a labs/ beside it
    (tmp_path / "pyproject.toml").touch()
    assert content_folder(package=package) == tmp_path


def test_a_brief_speaks_of_the_trainees_own_employer(lab: Lab) -> None:
    (lab.folder / "brief.md").write_text(
        "# {{ lab.title }}\n"
        "{% if entity == 'ba' %}\nBA {{ party.name }}\n{% else %}\nCE {{ party.name }}\n{% endif %}\n"
        "{{ policy }} keeps {{ retention_days }} days; "
        "tell {{ notify.name }} in {{ notify_hours }} h; {{ extract }}\n"
    )
    organisation = load_organisation()
    text = render_brief(lab, organisation, "ba", {"extract": "/srv/x & <y>"})
    assert text == (
        "# A small lab\nBA Corvid Clinical Hosting\n"
        "IT-07 keeps 30 days; tell Tomas Lindqvist in 24 h; /srv/x & <y>\n"
    )
    assert "CE Mercy Valley Health" in render_brief(lab, organisation, "ce", {"extract": ""})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{{ patiant }}\n", r"brief\.md:2: 'patiant' is undefined"),
        ("a\nb\n{% if %}\n", r"brief\.md:3: "),
        ("{{ lab.titel }}", r"brief\.md:1: .*'titel'"),
        ("a\n{{ ''.__class__.__mro__ }}", r"brief\.md:2: "),
        ("{{ 1 / 0 }}", r"brief\.md:1: division by zero"),
        ("{{ lab.minutes + lab.title }}", r"brief\.md:1: unsupported operand"),
        ("{% include '/etc/passwd' %}", r"brief\.md:1: "),
    ],
)
def test_a_brief_that_does_not_render_is_told_with_its_line(lab: Lab, source: str, message: str) -> None:
    (lab.folder / "brief.md").write_text(source)
    with pytest.raises(UserError, match=message):
        render_brief(lab, load_organisation(), "ce")


def test_a_missing_or_unreadable_debrief_is_a_user_error(lab: Lab) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        render_debrief(lab, load_organisation(), "ce")
    (lab.folder / "debrief.md").write_bytes(b"\xff")
    with pytest.raises(UserError, match="cannot be read"):
        render_debrief(lab, load_organisation(), "ce")


def test_a_planted_variable_cannot_take_a_word_of_the_brief(lab: Lab) -> None:
    with pytest.raises(UserError, match="policy"):
        render_brief(lab, load_organisation(), "ce", {"policy": "XX-1"})


def test_the_default_organisation_cannot_be_real() -> None:
    text = DEFAULT_ORGANISATION.read_text()
    organisation = load_organisation()
    assert organisation.covered_entity.name == "Mercy Valley Health"
    assert organisation.business_associate.name == "Corvid Clinical Hosting"
    assert organisation.retention_days == 30
    domains = re.findall(r"^[^#]*?(?:domain: |@)(\S+)$", text, re.MULTILINE)
    assert len(domains) == 5
    assert all(domain.endswith(".example.org") for domain in domains)
    phones = re.findall(r"phone: (\S+)", text)
    assert len(phones) == 3
    assert all(re.fullmatch(r"\d{3}-555-01\d\d", phone) for phone in phones)


def test_whom_to_notify_depends_on_the_entity() -> None:
    organisation = load_organisation()
    assert organisation.notify("ce") == organisation.covered_entity.privacy_officer
    assert organisation.notify("ba") == organisation.covered_entity.associates_contact
    assert organisation.party("ba") == organisation.business_associate


def test_a_hospital_prints_its_own_policy_numbers(tmp_path: Path) -> None:
    path = tmp_path / "ours.yml"
    path.write_text(DEFAULT_ORGANISATION.read_text().replace("policy_prefix: IT", "policy_prefix: MVH-SEC"))
    assert load_organisation(path).policy("IT-07") == "MVH-SEC-07"
    path.write_text(path.read_text().replace("retention_days: 30", "retention: 30"))
    with pytest.raises(
        UserError, match=r"ours\.yml:\d+: retention: unknown key; did you mean retention_days"
    ):
        load_organisation(path)


def test_an_entity_is_ce_or_ba() -> None:
    assert (parse_entity("ce"), parse_entity(" BA ")) == ("ce", "ba")
    with pytest.raises(UserError, match="unknown entity 'patient'"):
        parse_entity("patient")


# What the labs planned so far cite, in the short form people use (R, A, S: required, addressable, standard).
PLANNED = """
308(a)(4)(ii)(B)A 308(a)(4)(ii)(C)A 312(a)(1)S 312(b)S 502(b)S
308(a)(7)(ii)(A)R 312(a)(2)(iv)A
312(a)(2)(i)R 312(d)S 308(a)(5)(ii)(D)A
310(d)(2)(i)R 308(a)(3)(ii)(C)A 308(a)(4)S
312(a)(2)(ii)R 312(e)(1)S 312(e)(2)(i)A 312(e)(2)(ii)A
312(a)(2)(iii)A 308(a)(5)(ii)(C)A 308(a)(1)(ii)(B)R 312(c)(1)S 308(a)(1)(ii)(D)R
308(a)(6)(ii)R 414(b)S 402S 404S 406S 408S 410S 412S
310(d)(2)(ii)R 310(d)(2)(iii)A 504(e)(2)(ii)(J)S
308(a)(7)(ii)(B)R 308(a)(7)(ii)(D)A 308(a)(7)(ii)(E)A
308(b)S 314(a)R 504(e)S 502(a)(3)S 504(e)(2)S
514(d)S 530(c)S 312(e)S 308(a)(5)(ii)(A)A 308(a)(5)(ii)(B)A 308(a)(1)(ii)(A)R
308(a)(3)(ii)(A)A 308(a)(3)(ii)(B)A 308(a)(7)(ii)(C)R 514(h)S 530(d)S
308(a)(5)(i)S 530(b)S 316(b)(2)(i)R 530(j)S
"""
LETTERS = {"R": "required", "A": "addressable", "S": "standard"}


@pytest.mark.parametrize("entry", PLANNED.split())
def test_every_citation_of_the_planned_labs_is_in_the_table(entry: str) -> None:
    assert citation(f"164.{entry[:-1]}").status == LETTERS[entry[-1]]


def test_citations_read_as_in_the_regulation() -> None:
    assert str(citation("164.312(a)(1)")) == "45 CFR 164.312(a)(1) Access control (standard)"
    assert citation("164.308(a)(4)").id == "164.308(a)(4)(i)"
    assert str(citation("proposed-mfa")).endswith("(proposed, not law as of 2026-11-21)")


def test_only_proposed_rules_carry_a_date_and_none_looks_like_law() -> None:
    for item in all_citations():
        proposed = item.status == "proposed"
        assert item.rule_status_as_of == ("2026-11-21" if proposed else "")
        assert bool(re.fullmatch(r"164\.[3-5]\d\d(\([A-Za-z0-9]+\))*", item.id)) != proposed


def test_an_unknown_citation_names_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        citation("164.312(a)(l)")
    assert "164.312(a)(1)" in caught.value.hint


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_the_schemas_in_the_repository_are_current(name: str) -> None:
    stored = (ROOT / "docs" / "schema" / name).read_text()
    assert stored == schema.schema_text(name), "run: python -m phi_labs.model.schema"


def test_the_schemas_accept_what_loads(lab: Lab, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")  # has no type stubs here
    files = {
        "lab.json": lab.folder / "lab.yml",
        "verdicts.json": lab.folder / "attempts" / "verdicts.yml",
        "organisation.json": DEFAULT_ORGANISATION,
        "scenario.json": ROOT / "scenarios" / "ce-it-foundations.yml",
    }
    for written in schema.write_schemas(tmp_path / "schema"):
        if written.name == "results.json":  # nobody writes it by hand; tests of the exports validate it
            continue
        validator = jsonschema.Draft202012Validator(json.loads(written.read_text()))
        validator.validate(yaml.safe_load(files[written.name].read_text()))
        assert not validator.is_valid({"unknown": 1})


@pytest.mark.parametrize(
    "text",
    [
        "We are HIPAA certified.",
        "hipaa-compliant",
        "HIPAA\n  compliant",
        "**HIPAA** compliant",
        "an OCR\u2011approved lab",
    ],
)
def test_a_forbidden_phrase_is_found(text: str) -> None:
    (finding,) = forbidden_phrases(f"one\n{text}")
    assert finding.line == 2


@pytest.mark.parametrize(
    "text", ["supports evidence of training", "HIPAA does not certify", "OCR", "HIPAA labs"]
)
def test_permitted_wording_is_left_alone(text: str) -> None:
    assert forbidden_phrases(text) == []


def test_no_text_of_ours_claims_what_it_must_not() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for folder in ("labs", "scenarios"):
        texts += [
            path
            for path in (ROOT / folder).rglob("*")
            if path.suffix in {".md", ".yml", ".yaml", ".py", ".sh"}
        ]
    found = {
        str(path.relative_to(ROOT)): [str(item) for item in items]
        for path in texts
        if (items := forbidden_phrases(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_fast_paths_load_neither_pydantic_nor_yaml_nor_jinja() -> None:
    code = (
        "import sys, phi_labs.model.content as content\n"
        "import phi_labs.model.run, phi_labs.model.scorecard, phi_labs.model.trainee\n"
        "content.lab_ids()\n"
        "print(sorted({'pydantic', 'yaml', 'jinja2', 'difflib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=ROOT / "checker",
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.strip() == "[]"
