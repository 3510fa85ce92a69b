"""Writes the published JSON schemas: ``python -m tools.schemas``."""

import json
from pathlib import Path

from pydantic import BaseModel

from edge.config import LineConfig
from edge.energy.report import EnergyReport
from edge.profile.report import ProfileReport
from edge.report.schema import RunReport
from edge.service.doctor.finding import DoctorReport

DOCS = Path(__file__).parent.parent / "docs"
PUBLISHED: dict[str, type[BaseModel]] = {
    "line.schema.json": LineConfig,
    "report.schema.json": RunReport,
    "doctor.schema.json": DoctorReport,
    "profile.schema.json": ProfileReport,
    "energy.schema.json": EnergyReport,
}


def main() -> None:
    """Line files, run reports and doctor reports, into docs/."""
    for name, model in PUBLISHED.items():
        (DOCS / name).write_text(json.dumps(model.model_json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
