"""The routing decision: from raw scores to an answer, calibration, table look-up, thresholds and rules included.

``python -m benchmarks.routing [--parts N] [--json FILE]``. Timed part by part inside the native core, with the clock's
own cost in it; no engines run.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from edge import _core


def router(rows: int) -> _core.PartRouter:
    """A table of many rows, all three maps in use, and a rule for every class."""
    score = _core.ScoreMap(gain=1.3, bias=-0.2)
    calibration = _core.ScoreCalibration(good=score, defect=score, empty=score)
    return _core.PartRouter(
        rows=[
            _core.RoutingRow(
                speed_um_per_s=100_000 * (i + 1),
                gate_good=0.97,
                gate_defect=0.9,
                gate_empty=0.99,
                classifier_good=0.95,
                retest_good=0.3,
            )
            for i in range(rows)
        ],
        hysteresis=0.03,
        roles=_core.ClassRoles(good=1, empty=0, limits=[2, 2, 0.2, 0.2, 0.2, 0.2]),
        gate=calibration,
        classifier=calibration,
        rules=_core.RuleBook([_core.Rule(class_id=i, min_score=0.99) for i in range(6)]),
    )


def measure(parts: int, rows: int) -> dict[str, float]:
    """Nanoseconds over random parts, two thirds of them uncertain to the gate, at random speeds."""
    rng = np.random.default_rng(11)

    def scores() -> np.ndarray:
        return rng.dirichlet((0.3, 2.0, 0.3, 0.3, 0.3, 0.3), parts).astype(np.float32)

    out = router(rows).route(
        scores(),
        scores(),
        scores(),
        speeds_um_per_s=rng.integers(-100_000, 100_000 * (rows + 2), parts, np.int64),
        looks_in_time=np.full(parts, 2, np.uint8),
    )
    took = out["took_ns"][parts // 10 :]
    p50, p99, p999 = (float(np.quantile(took, q)) for q in (0.5, 0.99, 0.999))
    return {
        "parts": parts,
        "rows": rows,
        "p50_ns": p50,
        "p99_ns": p99,
        "p999_ns": p999,
        "max_ns": float(took.max()),
    }


def main() -> None:
    """Five runs; prints each, and the median of their p99."""
    parser = argparse.ArgumentParser(description="cost of the routing decision")
    parser.add_argument("--parts", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs = [measure(options.parts, options.rows) for _ in range(5)]
    for run in runs:
        print("  ".join(f"{key} {value:,.0f}" for key, value in run.items()))
    print(f"median of the p99: {np.median([run['p99_ns'] for run in runs]) / 1000:.2f} µs (limit 5 µs)")
    if options.json is not None:
        options.json.write_text(json.dumps(runs, indent=2) + "\n")


if __name__ == "__main__":
    main()
