"""A strict reader of JUnit XML.

JUnit never had a schema of its own. This reader accepts only what both schemas in common use accept: that of
Ant, which insists on every attribute and on their order, and that of the Jenkins xunit plugin, which knows no
other attribute. Written from their descriptions; nothing of either is here.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass

_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")
_DECIMAL = re.compile(r"\d+\.\d+")
_WHOLE = re.compile(r"\d+")
_SUITE = {
    "name": re.compile(r"(?s).+"),
    "package": re.compile(r"(?s).+"),
    "id": _WHOLE,
    "timestamp": _TIMESTAMP,
    "hostname": re.compile(r".+"),
    "tests": _WHOLE,
    "failures": _WHOLE,
    "errors": _WHOLE,
    "skipped": _WHOLE,
    "time": _DECIMAL,
}
_CASE = {"name": re.compile(r"(?s).+"), "classname": re.compile(r"(?s).+"), "time": _DECIMAL}


@dataclass(frozen=True)
class ReadCase:
    """A test case as a reader sees it; ``outcome`` is passed, failure or skipped."""

    suite: str
    name: str
    classname: str
    outcome: str
    message: str
    text: str


def read_junit(text: str) -> list[ReadCase]:
    """Every case; AssertionError where either schema would refuse the file."""
    root = ET.fromstring(text)  # noqa: S314 - made by our own program
    assert root.tag == "testsuites"
    assert not root.attrib
    found = []
    for number, suite in enumerate(root):
        assert suite.tag == "testsuite"
        _attributes(suite, _SUITE)
        assert suite.get("id") == str(number)
        cases = _cases_of(suite)
        found += cases
        counted = Counter(case.outcome for case in cases)
        told = {key: int(suite.get(key, "")) for key in ("tests", "failures", "errors", "skipped")}
        assert told == {
            "tests": len(cases),
            "failures": counted["failure"],
            "errors": 0,
            "skipped": counted["skipped"],
        }
    return found


def properties(text: str) -> list[dict[str, str]]:
    """The properties of each suite."""
    root = ET.fromstring(text)  # noqa: S314 - made by our own program
    return [{item.attrib["name"]: item.attrib["value"] for item in suite[0]} for suite in root]


def _cases_of(suite: ET.Element) -> list[ReadCase]:
    first, *middle, out, err = list(suite)
    assert [first.tag, out.tag, err.tag] == ["properties", "system-out", "system-err"]
    for item in first:
        assert item.tag == "property"
        assert set(item.attrib) == {"name", "value"}
    return [_case(suite, element) for element in middle]


def _case(suite: ET.Element, element: ET.Element) -> ReadCase:
    assert element.tag == "testcase"
    _attributes(element, _CASE)
    assert len(element) <= 1
    outcome, message, text = "passed", "", ""
    for child in element:
        outcome, message, text = child.tag, child.get("message", ""), child.text or ""
        assert outcome in {"failure", "skipped"}
        assert set(child.attrib) == ({"message", "type"} if outcome == "failure" else {"message"})
    return ReadCase(
        suite.attrib["name"], element.attrib["name"], element.attrib["classname"], outcome, message, text
    )


def _attributes(element: ET.Element, known: dict[str, re.Pattern[str]]) -> None:
    assert set(element.attrib) == set(known)
    for name, pattern in known.items():
        assert pattern.fullmatch(element.attrib[name]), (element.tag, name, element.attrib[name])
