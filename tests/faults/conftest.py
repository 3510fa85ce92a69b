"""``make faults REPORT=r.json``: the counts of every row, for people and as JSON."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

RESULTS: dict[str, dict[str, Any]] = {}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not RESULTS:
        return
    terminalreporter.section("fault matrix")
    for name, row in RESULTS.items():
        counts = "  ".join(f"{key} {value}" for key, value in row.items() if key != "passed")
        terminalreporter.write_line(f"{'ok  ' if row['passed'] else 'FAIL'} {name:24s} {counts}")
    path = os.environ.get("EDGE_FAULTS_REPORT")
    if path:
        save(Path(path))


def save(path: Path) -> None:
    """Whole or not at all."""
    totals = {
        key: sum(row[key] for row in RESULTS.values()) for key in ("parts", "verdicts", "escapes_caused")
    }
    failed = [name for name, row in RESULTS.items() if not row["passed"]]
    report = {"rows": len(RESULTS), "failed": len(failed), "failed_rows": failed, **totals, "by_row": RESULTS}
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    temporary.rename(path)


@pytest.fixture
def enter_row() -> Any:
    """Takes the counts of a row into the report."""

    def enter(name: str, counts: dict[str, int], passed: bool) -> None:
        RESULTS[name] = {**counts, "passed": passed}

    return enter
