"""What no text of a lab may say (CURRICULUM: the wording rules), sentence by sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from phi_labs.authoring.lint_subject import Finding, Subject
from phi_labs.errors import UserError
from phi_labs.model.citations import citation
from phi_labs.model.wording import forbidden_phrases

_NEW_BLOCK = re.compile(r"^\s*(\||#|[-*] |\d+\.|[\w-]+:( |$)|\{%|```)")
_LAW = r"\b(HIPAA|Security Rule|Privacy Rule|45 CFR|the law|the rule|OCR|HHS)\b"
_DEMANDS = r"\b(requires?|required|must|mandatory|mandates?|obliges?|obligatory)\b"
_ITEMS = (
    r"\b(MFA|multi-?factor|two-factor|72[ -]hours?|48[ -]hours?|15[ -]days?|30[ -]days?|network map|"
    r"technology asset inventory|network segmentation)\b"
)
_NPRM = r"\b(NPRM|90 FR 898|0945-AA22|312\(f\)\(2\))"
_UNDECIDED = r"\b(whether|if|not|never|decides?|decided|may|might|could|would|question|who says)\b"
_STATUS = ("required", "addressable", "standard", "proposed")
_CITATION = re.compile(r"\b164\.\d{3}(?:\([0-9A-Za-z]+\))*")


@dataclass(frozen=True)
class Rule:
    """A sentence that has ``says`` and lacks ``unless`` is wrong."""

    says: str
    unless: str
    what: str
    mend: str
    serious: bool = True


_RULES = (
    Rule(
        r"\b(HIPAA|HHS|OCR)[\s-]+(certificat|accredit|endorse)|\b(HHS|OCR)[\s-]+(certified|endorsed)",
        r"\b(no|not|never|nobody)\b",
        "claims a certificate or an approval that nobody gives",
        "say 'supports evidence of training'",
    ),
    Rule(
        r"(?=.*\baddressable\b)(?=.*\b(optional|voluntary|nice to have|may be skipped|can be ignored)\b)",
        r"\b(not|never|isn't|no) (\w+ )?(optional|voluntary|nice to have)\b|\bnot\b",
        "calls an addressable specification optional",
        "addressable: implement it, or document an equivalent measure",
    ),
    Rule(
        rf"(?=.*{_LAW})(?=.*{_DEMANDS})(?=.*{_ITEMS})",
        r"\b(propos\w+|not|no|does not|would)\b",
        "states something from the proposed rule as if it were law",
        "say that it is proposed, and as of which day; or that the policy asks for it",
    ),
    Rule(
        _NPRM,
        r"\bpropos\w+",
        "names the proposed rule without saying that it is proposed",
        "add 'proposed'; rule_status_as_of is in citations.yml",
    ),
    Rule(
        r"\b(is|was|are|were|constitutes?|counts? as|amounts? to) "
        r"((clearly|obviously|therefore|thus|definitely) )?(a|an|the|no) "
        r"((reportable|data|HIPAA|notifiable) )*breach\b",
        _UNDECIDED,
        "decides that something is, or is no, breach",
        "state the facts; whether it is a breach is decided elsewhere",
    ),
    Rule(
        r"\b(60|sixty) days\b",
        r"\b(outer|latest|limit|unreasonable delay|at most|retention|keep|kept|rotat\w+|logs?)\b",
        "gives 60 days as if they were a period to use up",
        "say that 60 days after discovery is an outer limit (164.404)",
        serious=False,
    ),
    Rule(
        r"(?=.*\b(six|6)[ -]years?\b)(?=.*\blogs?\b)(?=.*\b(HIPAA|rule|law|164|must|required?)\b)",
        r"\b(not|documentation)\b",
        "applies the six years of required documentation to logs",
        "retention of logs is the policy's own figure",
        serious=False,
    ),
    Rule(
        r"\bannual (refresher|training)s? (is|are) (required|mandatory|codified)\b",
        r"\bnot\b",
        "states that annual training is codified",
        "it is best practice today",
    ),
    Rule(
        r"\b(industry )?best practices?\b",
        r"\b(not|no|vague|never|today)\b",
        "refers to best practice",
        "a lab grades against its written policy; name the policy's section",
        serious=False,
    ),
)
_COMPILED = tuple(
    (rule, re.compile(rule.says, re.IGNORECASE), re.compile(rule.unless, re.IGNORECASE)) for rule in _RULES
)


def findings(subject: Subject) -> Iterator[Finding]:
    """Everything that a text of the lab may not say."""
    for path in subject.texts():
        text = path.read_text(encoding="utf-8", errors="replace")
        for phrase in forbidden_phrases(text):
            what = f"says {phrase.phrase!r}"
            yield subject.error(path, phrase.line, "wording", what, f"say {phrase.instead!r}")
        for line, sentence in sentences(text):
            for rule in wrong_in(sentence):
                tell = subject.error if rule.serious else subject.advice
                what = f"{rule.what}: {_short(sentence)}"
                yield tell(path, line, "wording", what, rule.mend)
            for what in _wrong_status(sentence):
                mend = "take title and status from checker/phi_labs/model/citations.yml"
                yield subject.error(path, line, "citation-status", what, mend)


@lru_cache(maxsize=4096)
def wrong_in(sentence: str) -> list[Rule]:
    """The rules that a sentence breaks."""
    return [rule for rule, says, unless in _COMPILED if says.search(sentence) and not unless.search(sentence)]


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each sentence; a row of a table, an item or a key begins a new one."""
    block: list[str] = []
    begins = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if block and (not line.strip() or _NEW_BLOCK.match(line) or block[-1].lstrip().startswith("|")):
            yield from _in_block(begins, block)
            block = []
        if line.strip():
            begins = begins if block else number
            block.append(line)


def _in_block(begins: int, block: list[str]) -> Iterator[tuple[int, str]]:
    text = "\n".join(block)
    if text.lstrip().startswith("|"):  # a row is one thought, its status included
        yield begins, re.sub(r"[\s*_`]+", " ", text).strip()
        return
    at = 0
    for piece in re.split(r"(?<=[.!?;])[\"')\]]*\s+", text):
        start = text.index(piece, at)
        at = start + len(piece)
        yield begins + text.count("\n", 0, start), re.sub(r"[\s*_`]+", " ", piece).strip()


def _wrong_status(row: str) -> Iterator[str]:
    """A table's row with a citation and a status that is not the citation's."""
    if not row.startswith("|"):
        return
    cells = {cell.strip().lower() for cell in row.split("|")}
    told = cells & set(_STATUS)
    for written in _CITATION.findall(row) if told else ():
        try:
            known = citation(written)
        except UserError:
            continue
        if known.status not in told:
            yield f"calls {known.id} {', '.join(sorted(told))}; it is {known.status}"


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= 90 else f"{sentence[:87]}..."
