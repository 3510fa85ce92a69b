"""Millimetres per pixel from targets whose scale is known, and pictures that must be refused."""

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.camera.commands import app
from edge.camera.scale import Target, measure
from edge.errors import CameraError

BOARD = Target("chessboard", 9, 6, 5.0)
DOTS = Target("dots", 10, 7, 4.0)
SIZE = (900, 700)
FINE = 4
"""Targets are drawn so many times larger and then reduced: edges between pixels."""


def chessboard(target, pitch_px):
    side = round(pitch_px * FINE)
    squares = (np.indices((target.rows + 1, target.columns + 1)).sum(0) % 2 * 255).astype(np.uint8)
    return np.kron(squares, np.ones((side, side), np.uint8))


def dots(target, pitch_px):
    side = round(pitch_px * FINE)
    picture = np.full((side * (target.rows + 1), side * (target.columns + 1)), 255, np.uint8)
    for y in range(1, target.rows + 1):
        for x in range(1, target.columns + 1):
            cv2.circle(picture, (x * side, y * side), side // 4, 0, -1, cv2.LINE_AA)
    return picture


def scene(drawing, *, degrees=0.0, tilt=0.0, noise=2.0):
    """The drawing in the middle of a light frame: turned, in perspective, noisy."""
    height, width = drawing.shape
    wide = np.array([SIZE[0] / 2, SIZE[1] / 2])
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1 / FINE)
    turn[:, 2] += wide - (width / 2, height / 2)
    plane = np.vstack([turn, [0, 0, 1]])
    plane = np.array([[1, 0, 0], [0, 1, 0], [0, tilt, 1 - tilt * wide[1]]]) @ plane
    flags = cv2.INTER_AREA if tilt == degrees == 0 else cv2.INTER_LINEAR
    soft = cv2.GaussianBlur(drawing, (0, 0), FINE / 2)
    frame = cv2.warpPerspective(soft, plane, SIZE, flags=flags, borderValue=235).astype(np.float32)
    frame = frame * 0.8 + 20 + np.random.default_rng(3).normal(0, noise, frame.shape)
    return np.clip(frame, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("degrees", [0.0, 7.0])
@pytest.mark.parametrize(("target", "draw"), [(BOARD, chessboard), (DOTS, dots)])
@pytest.mark.parametrize("pitch_px", [40.0, 55.25])
def test_the_scale_of_a_target_is_found_within_its_uncertainty(target, draw, pitch_px, degrees):
    found = measure(scene(draw(target, pitch_px), degrees=degrees), target)
    true = target.pitch_mm / (round(pitch_px * FINE) / FINE)
    assert found.mm_per_pixel == pytest.approx(true, rel=2e-3)
    assert abs(found.mm_per_pixel - true) < 5 * found.uncertainty_mm_per_pixel
    assert found.residual_px < 0.3


def test_light_dots_on_dark_are_found_too():
    found = measure(255 - scene(dots(DOTS, 40)), DOTS)
    assert found.mm_per_pixel == pytest.approx(0.1, rel=2e-3)


def test_what_tells_no_single_scale_is_refused():
    board = chessboard(BOARD, 40)
    with pytest.raises(CameraError, match=r"no chessboard of 9 x 6 inner corners .* Count columns and rows"):
        measure(np.full((300, 400), 128, np.uint8), BOARD)
    with pytest.raises(CameraError, match=r"scale differs by .* tilted"):
        measure(scene(board, tilt=4e-4), BOARD)
    with pytest.raises(CameraError, match=r"from an even plane"):
        measure(bent(scene(board)), BOARD)


def bent(frame):
    """As a lens with strong barrel distortion shows it."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    u, v = x / SIZE[0] - 0.5, y / SIZE[1] - 0.5
    by = 1 + 0.5 * (u * u + v * v)
    return cv2.remap(
        frame, (u * by + 0.5) * SIZE[0], (v * by + 0.5) * SIZE[1], cv2.INTER_LINEAR, borderValue=208
    )


def test_the_command_writes_what_the_line_file_wants_and_what_was_found(tmp_path):
    (tmp_path / "parts").mkdir()
    cv2.imwrite(str(tmp_path / "parts" / "0.png"), scene(chessboard(BOARD, 40)))
    line = tmp_path / "line.yaml"
    line.write_text(
        "name: t\ncamera: {kind: replay, path: parts, pixel_format: mono8}\nengines: {gate: 'shipped:gate'}\n"
        "routing: [{up_to_m_per_s: 3.0, gate_good: 0.96, gate_defect: 0.9, classifier_good: 0.95}]\nplc: {kind: twin}\n"
    )
    words = ["scale", str(line), "--target", "chessboard", "--columns", "9", "--rows", "6", "--pitch-mm", "5"]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "found.png")])
    assert result.exit_code == 0, result.output
    value = float(result.stdout.split("mm_per_pixel: ")[1].split("}")[0])
    assert value == pytest.approx(0.125, rel=2e-3)
    assert cv2.imread(str(tmp_path / "found.png")).shape == (SIZE[1], SIZE[0], 3)
