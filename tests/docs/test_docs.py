"""The documentation is complete and true: what exists is documented, what is documented exists."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from phi_labs import checks
from phi_labs.cli.app import app
from phi_labs.grading.changes import Change, Changes
from phi_labs.grading.files import HostFile
from phi_labs.grading.host import Host, HostGroup, HostProcess, HostUser, Result
from phi_labs.grading.interpreter import Grant, Rotation, Sudoers
from phi_labs.grading.leaks import Leak, Leaks
from phi_labs.grading.planted import Personas, Planted, PlantedPersona
from phi_labs.grading.record import Record
from phi_labs.grading.schedule import ScheduledJob
from phi_labs.lifecycle.accounts import Accounts
from phi_labs.lifecycle.plant import Planting
from phi_labs.model import lab as lab_model
from phi_labs.model import organisation as organisation_model
from phi_labs.model.wording import forbidden_phrases

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted([*PROJECT.glob("*.md"), *DOCS.glob("*.md")])
TEXTS = sorted(
    [*PAGES, *PROJECT.glob("labs/*/*.md"), *PROJECT.glob("labs/*/*.yml"), *PROJECT.glob("scenarios/*.yml")]
)
SCRIPT_COMMANDS = {"setup"}  # of the entry script, not of the program
COMMON = {"--trainee", "--content", "--debug", "--json", "--help", "-h"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def sections(page: str, level: str = "###") -> dict[str, str]:
    """Heading -> what stands under it, until the next heading of the same or a higher level."""
    parts = re.split(rf"^(#{{2,{len(level)}}}) (.+)$", text_of(DOCS / page), flags=re.MULTILINE)
    headed = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    return {title: body for marks, title, body in headed if marks == level}


def words(text: str) -> set[str]:
    """Every name inside code spans, signatures taken apart."""
    return {name for span in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"[A-Za-z_]\w*", span)}


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*(?![\w-])", text))


# --- commands ------------------------------------------------------------------------------------------


def commands() -> dict[str, set[str]]:
    """Command -> its options, hidden ones left out; those of a group with the group's name before theirs."""
    return dict(_commands_of(typer.main.get_command(app)))


def _commands_of(group: Any, before: str = "") -> Iterator[tuple[str, set[str]]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands_of(command, f"{before}{name} ")
            continue
        shown = (item for item in command.params if not getattr(item, "hidden", False))
        yield before + name, {word for item in shown for word in item.opts if word.startswith("-")}


COMMANDS = commands()
GROUPS = {name.partition(" ")[0] for name in COMMANDS if " " in name}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_documented(name: str) -> None:
    documented = sections("commands.md")
    assert name in documented, f"docs/commands.md has no section on {name}"
    common = next(text for title, text in sections("commands.md", "##").items() if title == "Common options")
    missing = COMMANDS[name] - options_in(documented[name]) - (COMMON & options_in(common))
    assert not missing, f"docs/commands.md, {name}: {sorted(missing)} undocumented"
    if "--json" in COMMANDS[name]:
        assert "--json" in documented[name], f"docs/commands.md, {name}: --json undocumented"


@pytest.mark.parametrize("name", sorted(sections("commands.md")))
def test_every_documented_command_and_option_exists(name: str) -> None:
    assert name in COMMANDS or name in SCRIPT_COMMANDS, f"docs/commands.md documents {name}, which is none"
    table = "\n".join(line for line in sections("commands.md")[name].splitlines() if line.startswith("| `-"))
    unknown = options_in(table) - COMMANDS.get(name, set())
    assert not unknown, f"docs/commands.md, {name}: there is no {sorted(unknown)}"


def test_options_of_the_program_itself_are_documented() -> None:
    root = typer.main.get_command(app)
    wanted = {word for item in root.params for word in item.opts if word.startswith("-")}
    assert wanted <= options_in(text_of(DOCS / "commands.md"))


def command_lines(text: str) -> Iterator[list[str]]:
    """What is typed after ``phi-labs`` in code blocks and code spans."""
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [line.partition(" #")[0] for block in blocks for line in block.splitlines()] + spans:
        for typed in re.split(r"&&|;|\s\|\s", line):
            if match := re.match(r"\s*(?:\./)?phi-labs\s+(.+)", typed):
                yield match[1].partition(" -- ")[0].split()


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_command_line_in_a_text_can_be_typed(page: Path) -> None:
    for typed in command_lines(text_of(page)):
        name = " ".join(itertools.takewhile(lambda word: not word.startswith("-"), typed[:1])) or None
        if name in GROUPS and typed[1:2]:
            name = f"{name} {typed[1]}"
        if name in GROUPS:
            continue
        if name is None or name == "COMMAND" or name in SCRIPT_COMMANDS:
            continue
        assert name in COMMANDS, f"{page.name}: phi-labs {' '.join(typed)}"
        if name != "test":  # whose options are pytest's
            unknown = {word for word in typed if word.startswith("-")} - COMMANDS[name] - COMMON
            assert not unknown, f"{page.name}: phi-labs {' '.join(typed)}: no {sorted(unknown)}"


# --- settings ------------------------------------------------------------------------------------------

_READ = re.compile(r"""environ(?:ment)?(?:\.get\(|\[)"(\w+)"(?!\] =)""")
_OURS = re.compile(r"\bPHI_LABS_[A-Z]+\b")
_SHELL = re.compile(r"\$\{([A-Z][A-Z_]{3,})[-:}]")
NOT_SETTINGS = {"ID_LIKE"}  # of /etc/os-release


def variables() -> set[str]:
    """Environment variables that the program or its entry script reads."""
    script = text_of(PROJECT / "phi-labs")
    sources = [text_of(path) for path in (PROJECT / "checker").rglob("*.py")]
    found = {name for source in sources for name in _READ.findall(source)}
    found |= {name for source in [script, *sources] for name in _OURS.findall(source)}
    return (found | set(_SHELL.findall(script))) - NOT_SETTINGS


def test_every_environment_variable_is_documented() -> None:
    missing = variables() - words(text_of(DOCS / "settings.md"))
    assert not missing, f"docs/settings.md: {sorted(missing)} undocumented"


def test_every_documented_setting_is_read_somewhere() -> None:
    for page in PAGES:
        unknown = set(_OURS.findall(text_of(page))) - variables()
        assert not unknown, f"{page.name}: nothing reads {sorted(unknown)}"


# --- the lab format ------------------------------------------------------------------------------------

MODELS: dict[str, type[BaseModel]] = {
    **{name: getattr(lab_model, name) for name in ("Lab", "Host", "Persona", "Objective", "Hint", "Guard")},
    "verdicts.yml": lab_model.Verdict,
    **{
        name: getattr(organisation_model, name)
        for name in ("Organisation", "CoveredEntity", "BusinessAssociate", "Contact")
    },
}


def keys_of_tables(text: str) -> set[str]:
    """Names in the first cells of tables."""
    rows = re.findall(r"^\| (`[^|]+) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def format_section(title: str) -> str:
    """The first section of that name: of keys; a second one may be of the same-named class."""
    headed = re.split(r"^#{2,3} (.+)$", text_of(DOCS / "lab-format.md"), flags=re.MULTILINE)
    return headed[headed.index(title) + 1]


@pytest.mark.parametrize("title", MODELS)
def test_every_key_is_documented_and_every_documented_key_exists(title: str) -> None:
    documented, known = keys_of_tables(format_section(title)), set(MODELS[title].model_fields)
    assert documented == known, f"docs/lab-format.md, {title}: {sorted(documented ^ known)}"


API: dict[str, tuple[type, ...]] = {
    "Host": (Host,),
    "HostFile": (HostFile,),
    "HostUser": (HostUser,),
    "HostGroup": (HostGroup,),
    "HostProcess": (HostProcess,),
    "Accounts": (Accounts,),
    "Leaks": (Leaks, Leak),
    "Changes": (Changes, Change),
    "ScheduledJob": (ScheduledJob,),
    "Sudoers": (Sudoers, Grant),
    "Rotation": (Rotation,),
    "Result": (Result,),
    "Planted": (Planted, Personas, PlantedPersona),
    "Record": (Record,),
    "Planting": (Planting,),
}


def public(kind: type) -> set[str]:
    """What a class offers, itself or through the facets that it is made of."""
    facets = [base for base in kind.__mro__ if base.__module__.startswith("phi_labs.")]
    own = {name for facet in facets for name in vars(facet) if not name.startswith("_")}
    declared = {item.name for item in fields(kind)} if is_dataclass(kind) else set()
    return own | {name for name in declared if not name.startswith("_")}


@pytest.mark.parametrize("title", API)
def test_every_name_that_checks_and_plant_use_is_documented(title: str) -> None:
    headed = re.split(r"^#{2,3} (.+)$", text_of(DOCS / "lab-format.md"), flags=re.MULTILINE)
    bodies = [body for name, body in zip(headed[1::2], headed[2::2], strict=True) if name == title]
    documented = words(bodies[-1])  # "Host" is also the title of a table of keys, which comes first
    missing = {name for kind in API[title] for name in public(kind)} - documented
    assert not missing, f"docs/lab-format.md, {title}: {sorted(missing)} undocumented"


def test_what_every_lab_asks_is_documented() -> None:
    documented = words(sections("lab-format.md")["What every lab asks"])
    known = {"Host", "Planted", "Record", "objective", "guard"}  # they have sections of their own
    assert set(checks.__all__) - known <= documented


def test_every_documented_method_of_a_host_exists() -> None:
    table = text_of(DOCS / "lab-format.md").split("## Checks")[1].split("### HostFile")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, flags=re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)[`(]", cell)}
    assert documented == public(Host)


# --- links and words -----------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(there), f"{page.name} links to {target}: no such heading"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(PROJECT)))
def test_nothing_is_claimed_that_may_not_be(page: Path) -> None:
    found = [str(finding) for finding in forbidden_phrases(text_of(page))]
    assert not found, f"{page}: {'; '.join(found)}"


def test_pages_that_messages_point_to_exist() -> None:
    sources = [text_of(path) for path in (PROJECT / "checker").rglob("*.py")]
    named = {name for source in sources for name in re.findall(r"\bdocs/[\w-]+\.md\b", source)}
    assert not [name for name in named if not (PROJECT / name).is_file()]
