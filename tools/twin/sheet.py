"""A contact sheet of twin parts: one row per class, subtle on the left, obvious on the right, boxes drawn."""

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.twin.parts import CLASSES, DEFAULT_LOOK, DEFECTS, METAL, PLAIN, plan_parts
from tools.twin.render import CameraModel, render

_BOX_COLOUR = (40, 220, 255)
_PART_COLOUR = (120, 200, 60)


def picture(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mosaic as a BGR picture for people."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BayerBG2BGR), np.uint8)


def contact_sheet(
    columns: int, seed: int, camera: CameraModel, tile_width: int = 320, look: str = DEFAULT_LOOK
) -> NDArray[np.uint8]:
    """BGR picture of six rows; severity grows from left to right."""
    tile_height = round(tile_width * camera.height / camera.width)
    rows = []
    for class_id, name in enumerate(CLASSES):
        tiles = []
        for column, spec in enumerate(plan_parts(columns, seed + class_id, namespace="sheet", look=look)):
            severity = column / max(1, columns - 1)
            more = spec.more_defects if class_id in DEFECTS else ()
            shown = replace(spec, class_id=class_id, severity=severity, more_defects=more)
            rendered = render(shown, camera)
            tile = picture(rendered.pixels)
            if rendered.part_box:
                _frame(tile, rendered.part_box, _PART_COLOUR)
            for _, *box in rendered.boxes:
                _frame(tile, (box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4), _BOX_COLOUR)
            label = f"{name} {severity:.1f} {spec.finish}"
            cv2.putText(tile, label, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
            tiles.append(cv2.resize(tile, (tile_width, tile_height), interpolation=cv2.INTER_AREA))
        rows.append(np.hstack(tiles))
    return np.asarray(np.vstack(rows), np.uint8)


def _frame(
    tile: NDArray[np.uint8], box: tuple[float, float, float, float], colour: tuple[int, int, int]
) -> None:
    x1, y1, x2, y2 = (round(v) for v in box)
    cv2.rectangle(tile, (x1, y1), (x2, y2), colour, 1)


def main() -> None:
    """``python -m tools.twin.sheet sheet.png``."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tile-width", type=int, default=320)
    parser.add_argument("--look", choices=(PLAIN, METAL), default=DEFAULT_LOOK)
    options = parser.parse_args()
    sheet = contact_sheet(options.columns, options.seed, CameraModel(), options.tile_width, options.look)
    cv2.imwrite(str(options.out), sheet)
    print(f"{options.out}: {sheet.shape[1]}x{sheet.shape[0]}, {len(CLASSES)} classes")


if __name__ == "__main__":
    main()
