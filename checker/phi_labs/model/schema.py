"""JSON Schemas of the files that authors write, and of results.json, which others read.

``python -m phi_labs.model.schema`` writes them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from phi_labs.model.lab import Lab, Verdicts
from phi_labs.model.organisation import Organisation
from phi_labs.model.results import Results
from phi_labs.model.scenario import Scenario

SCHEMAS: dict[str, tuple[type[BaseModel], str]] = {
    "lab.json": (Lab, "labs/<id>/lab.yml"),
    "verdicts.json": (Verdicts, "labs/<id>/attempts/verdicts.yml"),
    "organisation.json": (Organisation, "an organisation file"),
    "results.json": (Results, "results.json of an exported workshop"),
    "scenario.json": (Scenario, "scenarios/<id>.yml"),
}
DEFAULT_FOLDER = Path(__file__).resolve().parents[3] / "docs" / "schema"


def schema_text(name: str) -> str:
    """The JSON Schema (draft 2020-12) of that name, as it stands in docs/schema/."""
    model, what = SCHEMAS[name]
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    schema["title"] = what
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCHEMAS:
        (folder / name).write_text(schema_text(name), encoding="utf-8")
    return [folder / name for name in SCHEMAS]


if __name__ == "__main__":
    for written in write_schemas(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER):
        sys.stdout.write(f"{written}\n")
