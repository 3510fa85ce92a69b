"""``python -m tools.twin shown RECORDING``: which part does each frame of a recorded demo really show?

The twin's pictures are a pure function of the plan, so every recorded frame is compared byte by byte with the picture
of its part. Then the parts that escaped are listed: with frames that are theirs an escape is the engines'. Exit code 1:
a frame shows another part.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge._core import Verdict
from edge.errors import EdgeError
from edge.records.recorded import STORED, RecordedLine, RecordedPart
from tools.twin.gige.program import STAMPED
from tools.twin.parts import CLASSES, PartSpec
from tools.twin.render import CameraModel, render
from tools.twin.render_pool import Plan

NEIGHBOURS = 4
"""A wrong frame is looked for among so many parts before and behind."""


@dataclass(frozen=True)
class Shown:
    """One stored frame: ``shows`` is the part in the picture, None: none of the parts around it."""

    part_id: int
    shows: int | None


def identify(recorded: RecordedLine, specs: Sequence[PartSpec]) -> list[Shown]:
    """Every frame that was stored, in the order of the parts. Raises RecordError: a damaged picture."""
    return [
        Shown(part.part_id, _find(recorded.pixels(part), part.part_id, specs))
        for part in recorded.parts
        if part.frame.state == STORED
    ]


def _find(pixels: NDArray[np.uint8], part_id: int, specs: Sequence[PartSpec]) -> int | None:
    near = sorted(range(part_id - NEIGHBOURS, part_id + NEIGHBOURS + 1), key=lambda n: abs(n - part_id))
    return next((n for n in near if 1 <= n <= len(specs) and _is(pixels, specs[n - 1])), None)


def _is(pixels: NDArray[np.uint8], spec: PartSpec) -> bool:
    drawn = render(spec, CameraModel()).pixels
    return drawn.shape == pixels.shape and np.array_equal(drawn.flat[STAMPED:], pixels.flat[STAMPED:])


def escaped(recorded: RecordedLine, specs: Sequence[PartSpec]) -> list[RecordedPart]:
    """Defective parts that were not rejected."""
    return [
        part
        for part in recorded.parts
        if specs[part.part_id - 1].defective and part.fields["verdict"] != int(Verdict.REJECT.value)
    ]


def main(argv: Sequence[str]) -> int:
    """Compares, and tells."""
    parser = argparse.ArgumentParser(prog="tools.twin shown", description=__doc__)
    parser.add_argument("recording", type=Path, help="folder of edge demo --record")
    parser.add_argument("--seed", type=int, default=1, help="of the demo")
    parser.add_argument("--speed", default="1.2", help="of the demo")
    options = parser.parse_args(argv)
    try:
        recorded = RecordedLine.load(options.recording)
        count = max((part.part_id for part in recorded.parts), default=0)
        specs = Plan(count, options.seed, speed=options.speed).specs() if count else []
        frames = identify(recorded, specs)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 2
    wrong = [frame for frame in frames if frame.shows != frame.part_id]
    print(f"{count} parts, {len(frames)} frames compared, {len(wrong)} that do not show their part")
    for frame in wrong:
        what = "no part near it" if frame.shows is None else f"part {frame.shows}"
        print(f"  the frame of part {frame.part_id} shows {what}")
    for part in escaped(recorded, specs):
        spec, fields = specs[part.part_id - 1], part.fields
        print(
            f"  part {part.part_id} escaped: {CLASSES[spec.class_id]}, severity {spec.severity:.3f}, gate "
            f"{fields['gate_good']:.5f} good (limit {fields['limit_gate_good']:.5f})"
        )
    return int(bool(wrong))
