from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.errors import TwinError
from tools.twin.parts import CLASSES, DEFECTS, NO_PART, PartSpec, plan_parts
from tools.twin.render import CameraModel, render
from tools.twin.sheet import contact_sheet

CAMERA = CameraModel()


def part(class_id: int, seed: int = 0, severity: float = 0.5) -> PartSpec:
    return replace(plan_parts(1, seed)[0], class_id=class_id, severity=severity)


def test_the_same_spec_gives_the_same_bytes_in_any_order() -> None:
    specs = plan_parts(12, 3, 0.7)
    forward = [render(spec, CAMERA) for spec in specs]
    backward = [render(spec, CAMERA) for spec in reversed(specs)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert one.pixels.tobytes() == other.pixels.tobytes()
        assert one.boxes == other.boxes


def test_another_seed_gives_another_picture() -> None:
    one, other = render(part(1, 0), CAMERA).pixels, render(part(1, 1), CAMERA).pixels
    assert np.mean(one != other) > 0.5


def test_frames_have_the_shape_and_brightness_of_a_usable_exposure() -> None:
    for spec in plan_parts(40, 5, 0.5, ghost_share=0.1):
        pixels = render(spec, CAMERA).pixels
        assert pixels.shape == (480, 640)
        assert pixels.dtype == np.uint8
        assert (pixels <= 4).mean() < 0.05
        assert (pixels >= 251).mean() < 0.05


@pytest.mark.parametrize("severity", [0.0, 1.0])
@pytest.mark.parametrize("class_id", DEFECTS)
def test_a_defect_has_a_box_in_the_picture_and_changes_what_is_in_it(class_id: int, severity: float) -> None:
    for seed in range(15):
        rendered = render(part(class_id, seed, severity), CAMERA)
        assert rendered.part_box is not None
        ((box_class, x1, y1, x2, y2),) = rendered.boxes
        assert box_class == class_id
        assert 0 <= x1 < x2 <= CAMERA.width
        assert 0 <= y1 < y2 <= CAMERA.height
        # Everything but the defect is the same picture.
        change = cv2.absdiff(rendered.pixels, render(part(1, seed), CAMERA).pixels)
        rows, cols = slice(max(0, int(y1) - 8), int(y2) + 9), slice(max(0, int(x1) - 8), int(x2) + 9)
        assert (change[rows, cols] > 10).sum() >= 25, (CLASSES[class_id], seed)
        change[rows, cols] = 0
        assert (change > 25).sum() < 250, (CLASSES[class_id], seed)


def test_good_and_absent_parts_have_no_boxes() -> None:
    good, empty = render(part(1), CAMERA), render(part(NO_PART), CAMERA)
    assert good.boxes == []
    assert good.part_box is not None
    assert empty.boxes == []
    assert empty.part_box is None
    assert good.pixels.mean() > 2 * empty.pixels.mean()


def test_the_mosaic_starts_with_red() -> None:
    """On a champagne part red is the brightest of the three, blue the darkest."""
    for seed in range(200):
        spec = replace(part(1, seed), finish="anodised")
        pixels = render(spec, CAMERA).pixels[160:320, 160:480].astype(float)
        red, blue = pixels[0::2, 0::2].mean(), pixels[1::2, 1::2].mean()
        if red > 1.1 * blue:
            green = (pixels[0::2, 1::2].mean() + pixels[1::2, 0::2].mean()) / 2
            assert red > green > blue
            return
    pytest.fail("no champagne part among 200")


@pytest.mark.parametrize("camera", [CameraModel(width=641), CameraModel(pixel_format="Mono8")])
def test_a_camera_that_is_no_bayer_sensor_is_refused(camera: CameraModel) -> None:
    with pytest.raises(TwinError, match="expected BayerRG8"):
        render(part(1), camera)


def test_the_contact_sheet_has_a_row_per_class() -> None:
    sheet = contact_sheet(2, 0, CAMERA, 160)
    assert sheet.shape == (6 * 120, 2 * 160, 3)
