"""What the benches share: the line that they run, percentiles, and how a report is told."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edge.config import LineConfig, example_path, load_line


def demo_line(folder: Path, **changes: Any) -> LineConfig:
    """The demo under a name of its own, written into ``folder``; ``changes`` replace whole sections."""
    line = yaml.safe_load(example_path("demo.yaml").read_text(encoding="utf-8"))
    line |= {"name": f"bench{os.getpid()}", **changes}
    path = folder / "line.yaml"
    path.write_text(yaml.safe_dump(line), encoding="utf-8")
    return load_line(path)


def percentiles(values: list[float], *shares: float) -> dict[str, float]:
    """p50 and so on, and the maximum."""
    return {f"p{100 * share:g}": round(float(np.quantile(values, share)), 4) for share in shares} | {
        "max": round(max(values), 4)
    }


def tell(report: dict[str, Any], file: Path | None) -> None:
    """Prints one JSON object, and writes it where a file is named."""
    text = json.dumps(report, indent=1)
    print(text)
    if file is not None:
        file.write_text(text + "\n", encoding="utf-8")
