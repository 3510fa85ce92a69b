"""Writes the published JSON schemas: ``python -m tools.schemas``."""

import json
from pathlib import Path

from edge.config import LineConfig
from edge.report.schema import RunReport

DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    """Line files and run reports, into docs/."""
    for name, model in (("line.schema.json", LineConfig), ("report.schema.json", RunReport)):
        (DOCS / name).write_text(json.dumps(model.model_json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
