"""JSON Schemas of formats that others own, written from their specifications: no key but theirs.

CTRF: ctrf.io, specification 0.0. Gradescope: its documentation of autograders.
"""

from __future__ import annotations

from typing import Any

_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_TEXT: dict[str, Any] = {"type": "string"}
_OBJECT: dict[str, Any] = {"type": "object"}


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


_TEST = _closed(
    {
        "name": {"type": "string", "minLength": 1},
        "status": {"enum": ["passed", "failed", "skipped", "pending", "other"]},
        "duration": {"type": "integer", "minimum": 0},
        "start": _COUNT,
        "stop": _COUNT,
        "suite": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        "message": _TEXT,
        "trace": _TEXT,
        "rawStatus": _TEXT,
        "tags": {"type": "array", "items": _TEXT},
        "type": _TEXT,
        "retries": _COUNT,
        "flaky": {"type": "boolean"},
        "parameters": _OBJECT,
        "extra": _OBJECT,
    },
    ["name", "status", "duration"],
)
_SUMMARY_NEEDS = ["tests", "passed", "failed", "pending", "skipped", "other", "flaky", "start", "stop"]
_SUMMARY = _closed(
    {**dict.fromkeys(_SUMMARY_NEEDS, _COUNT), "suites": _COUNT, "extra": _OBJECT}, _SUMMARY_NEEDS
)
CTRF = _closed(
    {
        "reportFormat": {"const": "CTRF"},
        "specVersion": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
        "reportId": {"type": "string", "format": "uuid"},
        "timestamp": {"type": "string", "format": "date-time"},
        "generatedBy": _TEXT,
        "extra": _OBJECT,
        "results": _closed(
            {
                "tool": _closed({"name": _TEXT, "version": _TEXT, "extra": _OBJECT}, ["name"]),
                "summary": _SUMMARY,
                "tests": {"type": "array", "items": _TEST},
                "environment": _OBJECT,
                "extra": _OBJECT,
            },
            ["tool", "summary", "tests"],
        ),
    },
    ["reportFormat", "specVersion", "results"],
)
_VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
_FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
# Gradescope's results.json, from its autograder documentation.
GRADESCOPE = _closed(
    {
        "score": {"type": "number", "minimum": 0},
        "execution_time": {"type": "number"},
        "output": _TEXT,
        "output_format": _FORMAT,
        "test_output_format": _FORMAT,
        "test_name_format": _FORMAT,
        "visibility": _VISIBILITY,
        "stdout_visibility": _VISIBILITY,
        "extra_data": _OBJECT,
        "tests": {
            "type": "array",
            "items": _closed(
                {
                    "score": {"type": "number", "minimum": 0},
                    "max_score": {"type": "number", "minimum": 0},
                    "status": {"enum": ["passed", "failed"]},
                    "name": _TEXT,
                    "name_format": _FORMAT,
                    "number": _TEXT,
                    "output": _TEXT,
                    "output_format": _FORMAT,
                    "tags": {"type": "array", "items": _TEXT},
                    "visibility": _VISIBILITY,
                    "extra_data": _OBJECT,
                },
                [],
            ),
        },
        "leaderboard": {"type": "array"},
    },
    ["tests"],
)
