"""JUnit XML: a suite for each learner and lab, a case for each objective. Of people: login names."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from phi_labs.model.cohort import Cohort
from phi_labs.workshop.exports.cases import Case, Outcome, Suite, suites

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def junit(cohort: Cohort) -> str:
    """The cohort's counted attempts; where nothing counts, the lab is one skipped case."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for number, suite in enumerate(suites(cohort)):
        lines += _suite(cohort.workshop, number, suite)
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(workshop: str, number: int, suite: Suite) -> list[str]:
    attributes = {
        "name": f"{suite.lab}, {suite.learner}",
        "package": workshop,
        "id": str(number),
        "timestamp": suite.graded_at[:19] or "1970-01-01T00:00:00",  # an attribute that readers insist on
        "hostname": "localhost",
        "tests": str(len(suite.cases)),
        "failures": str(sum(case.outcome is Outcome.FAILED for case in suite.cases)),
        "errors": "0",
        "skipped": str(sum(case.outcome is Outcome.SKIPPED for case in suite.cases)),
        "time": f"{sum(case.seconds for case in suite.cases):.3f}",
    }
    properties = [
        f"      <property{_attributes({'name': name, 'value': value})}/>" for name, value in suite.facts
    ]
    cases = [line for case in suite.cases for line in _case(suite, case)]
    head = [f"  <testsuite{_attributes(attributes)}>", "    <properties>", *properties, "    </properties>"]
    return [*head, *cases, "    <system-out/>", "    <system-err/>", "  </testsuite>"]


def _case(suite: Suite, case: Case) -> list[str]:
    attributes = {
        "name": case.name,
        "classname": f"{suite.lab}.{suite.learner}",
        "time": f"{case.seconds:.3f}",
    }
    opening = f"    <testcase{_attributes(attributes)}"
    if case.outcome is Outcome.PASSED:
        return [f"{opening}/>"]
    if case.outcome is Outcome.SKIPPED:
        return [f"{opening}>", f"      <skipped{_attributes({'message': case.message})}/>", "    </testcase>"]
    short = case.message.partition("\n")[0]
    about = _attributes({"message": short, "type": "objective"})
    return [f"{opening}>", f"      <failure{about}>{_text(case.message)}</failure>", "    </testcase>"]


def _attributes(values: dict[str, str]) -> str:
    return "".join(f' {name}="{escape(_allowed(value), _ENTITIES)}"' for name, value in values.items())


def _text(value: str) -> str:
    return escape(_allowed(value), {"\r": "&#13;"})


def _allowed(value: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return _NOT_XML.sub("\ufffd", value)
