"""Runs ``edge demo`` several times and prints medians over the runs: ``python -m benchmarks.demo``."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

FIGURES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # what, keys of the report, wanted
    ("latency p50 ms", ("latency_ms", "p50"), "<= 8"),
    ("latency p99 ms", ("latency_ms", "p99"), "<= 15"),
    ("latency p99.9 ms", ("latency_ms", "p99_9"), ""),
    ("latency max ms", ("latency_ms", "max"), ""),
    ("runtime tax p50 ms", ("runtime_tax_ms", "p50"), "<= 0.5"),
    ("runtime tax p99 ms", ("runtime_tax_ms", "p99"), ""),
    ("engines p50 ms", ("engine_ms", "p50"), ""),
    ("engines p99 ms", ("engine_ms", "p99"), ""),
    ("trigger to ack p50 ms", ("trigger_to_ack_ms", "p50"), ""),
    ("gate share", ("gate_share",), ""),
    ("overruns", ("overruns",), ""),
    ("escapes", ("truth", "escapes"), ""),
    ("overkills", ("truth", "overkills"), ""),
    ("defective", ("truth", "defective"), ""),
    ("bins.missed", ("bins", "missed"), "= 0"),
    ("bins.wrong", ("bins", "wrong"), ""),
    ("lost_records", ("lost_records",), "= 0"),
    ("plc.unconfirmed", ("plc", "unconfirmed"), ""),
)


def run_demo(parts: int, speed: float, seed: int) -> dict[str, Any]:
    """One run in real time; the report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [sys.executable, "-m", "edge.cli", "demo", "--parts", str(parts), "--speed", f"{speed:g}"]
        subprocess.run([*command, "--seed", str(seed), "--report", str(path)], check=True, stdout=sys.stderr)
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    verdicts = sum(report["verdicts"].values())
    if verdicts != parts or report["parts"] != parts or report["duplicate_verdicts"]:
        raise SystemExit(f"{parts} parts, but {report['parts']} triggers and {verdicts} verdicts")
    return report


def value(report: dict[str, Any], keys: tuple[str, ...]) -> float:
    """A figure of the report by its path."""
    found: Any = report
    for key in keys:
        found = found[key]
    return float("nan") if found is None else float(found)


def main() -> None:
    """Prints one row per figure, then memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--parts", type=int, default=2000)
    parser.add_argument("--speed", type=float, default=1.2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reports = []
    for run in range(options.runs):
        print(f"run {run + 1} of {options.runs}", file=sys.stderr)
        reports.append(run_demo(options.parts, options.speed, options.seed + run))
    print(f"\nedge demo --parts {options.parts} --speed {options.speed:g}, {options.runs} runs")
    print(f"{'figure':24} {'min':>10} {'median':>10} {'max':>10}  wanted")
    for what, keys, wanted in FIGURES:
        values = [value(report, keys) for report in reports]
        print(f"{what:24} {min(values):10.3f} {median(values):10.3f} {max(values):10.3f}  {wanted}")
    print("\nresident memory, MiB: second quarter of the run → last quarter")
    for name in reports[-1]["memory_mib"]:
        change = [r["memory_mib"][name] for r in reports if name in r["memory_mib"]]
        print(
            f"{name:24} {median(c['early'] for c in change):10.2f} → {median(c['late'] for c in change):.2f}"
        )


if __name__ == "__main__":
    main()
