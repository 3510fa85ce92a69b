"""Figures of a detector gate on unseen twin parts: ``python -m tools.detector.evaluate GATE.yaml --report r.json``."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

from edge.errors import EdgeError
from engines.errors import ManifestError
from engines.manifest import load_manifest
from engines.whole_file import write_whole
from tools.dataset import TEST
from tools.detector.errors import DetectorError
from tools.detector.measure import latencies_ms, measure
from tools.detector.sets import twin_set
from tools.twin.parts import DEFAULT_LOOK, METAL, PLAIN


def main(arguments: list[str] | None = None) -> None:
    """Command line; errors that a user can mend end with their message and status 1."""
    parser = ArgumentParser(prog="python -m tools.detector.evaluate", description=__doc__)
    parser.add_argument("manifest", type=Path, help="of a detector that was trained on twin parts")
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK, help="of the twin's parts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="JSON")
    parser.add_argument("--work", type=Path, help="keeps the rendered set here")
    options = parser.parse_args(arguments)
    try:
        manifest = load_manifest(options.manifest)
        if manifest.decoder is None:
            raise DetectorError(f"{options.manifest}: has no 'decoder'; expected a detector")
        size = (manifest.input.width, manifest.input.height)
        test = twin_set(TEST, options.parts, options.seed, size, options.work, look=options.look)
        measured = measure(manifest, test)
        report = measured.report() | {"latency_ms": round(latencies_ms([manifest])[0], 3)}
        if options.report:
            write_whole(options.report, json.dumps(report, indent=2))
    except (EdgeError, ManifestError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    print(measured.card)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
