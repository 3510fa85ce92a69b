from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.errors import TwinError
from tools.twin.metal.scene import render_metal
from tools.twin.parts import CLASSES, DEFECTS, METAL, NO_PART, PLAIN, PartSpec, plan_parts
from tools.twin.render import CameraModel, render
from tools.twin.render_pool import Plan
from tools.twin.sheet import contact_sheet

CAMERA = CameraModel()


LOOKS = pytest.mark.parametrize("look", [PLAIN, METAL])


def part(class_id: int, seed: int = 0, severity: float = 0.5, look: str = PLAIN) -> PartSpec:
    """One defect at most."""
    spec = plan_parts(1, seed, look=look)[0]
    return replace(spec, class_id=class_id, severity=severity, more_defects=())


@LOOKS
def test_the_same_spec_gives_the_same_bytes_in_any_order(look: str) -> None:
    specs = plan_parts(12, 3, 0.7, look=look)
    forward = [render(spec, CAMERA) for spec in specs]
    backward = [render(spec, CAMERA) for spec in reversed(specs)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert one.pixels.tobytes() == other.pixels.tobytes()
        assert one.boxes == other.boxes


@LOOKS
def test_another_seed_gives_another_picture(look: str) -> None:
    one, other = (render(part(1, seed, look=look), CAMERA).pixels for seed in (0, 1))
    assert np.mean(one != other) > 0.5


@LOOKS
def test_frames_have_the_shape_and_brightness_of_a_usable_exposure(look: str) -> None:
    for spec in plan_parts(40, 5, 0.5, ghost_share=0.1, look=look):
        pixels = render(spec, CAMERA).pixels
        assert pixels.shape == (480, 640)
        assert pixels.dtype == np.uint8
        assert (pixels <= 4).mean() < 0.05
        assert (pixels >= 251).mean() < 0.05


@pytest.mark.parametrize("severity", [0.0, 1.0])
@pytest.mark.parametrize("class_id", DEFECTS)
@LOOKS
def test_a_defect_has_a_box_in_the_picture_and_changes_what_is_in_it(
    look: str, class_id: int, severity: float
) -> None:
    for seed in range(15):
        rendered = render(part(class_id, seed, severity, look), CAMERA)
        assert rendered.part_box is not None
        ((box_class, x1, y1, x2, y2),) = rendered.boxes
        assert box_class == class_id
        assert 0 <= x1 < x2 <= CAMERA.width
        assert 0 <= y1 < y2 <= CAMERA.height
        # Everything but the defect is the same picture.
        change = cv2.absdiff(rendered.pixels, render(part(1, seed, look=look), CAMERA).pixels)
        rows, cols = slice(max(0, int(y1) - 8), int(y2) + 9), slice(max(0, int(x1) - 8), int(x2) + 9)
        assert (change[rows, cols] > 10).sum() >= 25, (CLASSES[class_id], seed)
        change[rows, cols] = 0
        assert (change > 25).sum() < 250, (CLASSES[class_id], seed)


@LOOKS
def test_good_and_absent_parts_have_no_boxes(look: str) -> None:
    good, empty = (render(part(class_id, look=look), CAMERA) for class_id in (1, NO_PART))
    assert good.boxes == []
    assert good.part_box is not None
    assert empty.boxes == []
    assert empty.part_box is None
    assert good.pixels.mean() > 2 * empty.pixels.mean()


@LOOKS
def test_the_mosaic_starts_with_red(look: str) -> None:
    """On a champagne part red is the brightest of the three, blue the darkest."""
    for seed in range(200):
        spec = replace(part(1, seed, look=look), finish="anodised")
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


def sharpness(spec: PartSpec, along: int) -> float:
    """Mean difference of neighbours of one colour, along x (1) or y (0), inside the part."""
    quiet = CameraModel(read_noise=0, shot_noise=0)
    green = render(replace(spec, rotation_deg=0.0), quiet).pixels[0::2, 1::2].astype(float)[90:150, 100:220]
    return float(np.abs(np.diff(green, axis=along)).mean())


def test_a_faster_belt_smears_along_its_travel_only() -> None:
    spec = replace(part(1, look=METAL), defocus_mm=0.03, finish="cast")
    slow, fast = replace(spec, speed_m_per_s=0.1), replace(spec, speed_m_per_s=4.0)
    assert sharpness(fast, 1) < 0.6 * sharpness(slow, 1)
    assert sharpness(fast, 0) > 0.6 * sharpness(slow, 0)


def test_defocus_takes_the_grain_in_both_directions() -> None:
    spec = replace(part(1, look=METAL), finish="cast")
    for along in (0, 1):
        assert sharpness(replace(spec, defocus_mm=0.4), along) < 0.7 * sharpness(spec, along)


def test_parts_on_the_line_are_smeared_by_the_speed_at_which_they_pass() -> None:
    specs = Plan(200, 1, speed="0:0.5,5:2.0").specs()
    assert specs[0].speed_m_per_s < 0.8
    assert specs[-1].speed_m_per_s == 2.0


def test_several_defects_are_all_told_and_the_gravest_names_the_part() -> None:
    specs = [spec for spec in plan_parts(400, 2, 1.0, look=METAL) if spec.more_defects]
    assert 30 < len(specs) < 100
    for spec in specs[:20]:
        rendered = render(spec, CAMERA)
        assert [box[0] for box in rendered.boxes] == [spec.class_id, *(c for c, _ in spec.more_defects)]
        assert rendered.severities[0] == spec.severity
        assert all(severity <= spec.severity for severity in rendered.severities)


@pytest.mark.parametrize("class_id", DEFECTS)
def test_masks_lie_inside_their_boxes(class_id: int) -> None:
    for seed in range(8):
        spec = part(class_id, seed, look=METAL)
        rendered = render_metal(spec, CAMERA, with_mask=True)
        assert rendered.mask is not None
        assert rendered.pixels.tobytes() == render(spec, CAMERA).pixels.tobytes()
        ((_, x1, y1, x2, y2),) = rendered.boxes
        rows, columns = np.nonzero(rendered.mask)
        assert set(np.unique(rendered.mask)) == {0, class_id}
        assert columns.min() >= x1 - 1.5
        assert columns.max() <= x2 + 1.5
        assert rows.min() >= y1 - 1.5
        assert rows.max() <= y2 + 1.5


def test_an_unknown_look_is_refused() -> None:
    with pytest.raises(TwinError, match="expected plain or metal"):
        plan_parts(1, 0, look="gold")


@LOOKS
def test_the_contact_sheet_has_a_row_per_class(look: str) -> None:
    sheet = contact_sheet(2, 0, CAMERA, 160, look)
    assert sheet.shape == (6 * 120, 2 * 160, 3)
