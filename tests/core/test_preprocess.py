"""The native preprocess against OpenCV: formats, sizes, regions, resizes, types; and what it refuses."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge._core import CoreError, PixelFormat, Preprocess

SAMPLES = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 1, PixelFormat.BGR8: 3, PixelFormat.BGRA8: 4}
INTERPOLATION = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
FORMATS = list(SAMPLES)


def frame(pixel_format, width, height, kind="noise", seed=0, padding=0):
    """Rows of ``width`` pixels and ``padding`` bytes; the padding is white, so that reading it would be seen."""
    rng = np.random.default_rng(seed)
    size = (height, width * SAMPLES[pixel_format])
    if kind == "noise":
        pixels = rng.integers(0, 256, size, dtype=np.uint8)
    elif kind == "checks":  # the hardest edges: every pixel black or white
        pixels = rng.integers(0, 2, size, dtype=np.uint8) * np.uint8(255)
    else:
        walk = np.cumsum(rng.integers(-9, 10, size), axis=1) + 128
        pixels = np.clip(walk, 0, 255).astype(np.uint8)
    return np.pad(pixels, ((0, 0), (0, padding)), constant_values=255)


def rgb(pixels, pixel_format, width):
    """The whole frame in RGB as OpenCV converts it."""
    samples = SAMPLES[pixel_format]
    picture = np.ascontiguousarray(pixels[:, : width * samples])
    if pixel_format is PixelFormat.BAYER_RG8:
        # GenICam names a mosaic by its first row, OpenCV's old names (BayerBG) by the second.
        return cv2.cvtColor(picture, cv2.COLOR_BayerRGGB2RGB)
    picture = picture.reshape(len(picture), width, samples)
    return np.repeat(picture, 3, axis=2) if samples == 1 else np.ascontiguousarray(picture[..., 2::-1])


def expected(pixels, pixel_format, width, out_size, resize, roi=None):
    """OpenCV's chain, grey levels, 3 x height x width."""
    picture = rgb(pixels, pixel_format, width)
    if roi is not None:
        x, y, roi_width, roi_height = roi
        picture = np.ascontiguousarray(picture[y : y + roi_height, x : x + roi_width])
    return cv2.resize(picture, out_size, interpolation=INTERPOLATION[resize]).transpose(2, 0, 1)


def run(pixels, pixel_format, width, **options):
    preprocess = Preprocess(**options)
    out = np.full(preprocess.shape, 99, np.int8 if options.get("dtype") == "int8" else np.float32)
    stats = preprocess.into(pixels.reshape(-1), width, len(pixels), pixels.shape[1], pixel_format, out)
    return out[0], stats


def worst(grey, reference):
    return np.abs(np.rint(grey) - reference.astype(np.float32)).max()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_within_one_grey_level_of_opencv(data):
    pixel_format = data.draw(st.sampled_from(FORMATS))
    # OpenCV leaves mosaics narrower than three black; ours have a test of their own.
    least = 3 if pixel_format is PixelFormat.BAYER_RG8 else 1
    width, height = (data.draw(st.integers(least, 150)) for _ in range(2))
    out_size = tuple(data.draw(st.integers(1, 90)) for _ in range(2))
    roi = None
    if data.draw(st.booleans()):
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        roi = (x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    resize = data.draw(st.sampled_from(sorted(INTERPOLATION)))
    kind = data.draw(st.sampled_from(["noise", "checks", "smooth"]))
    pixels = frame(
        pixel_format, width, height, kind, data.draw(st.integers(0, 99)), data.draw(st.integers(0, 5))
    )
    out, _ = run(
        pixels, pixel_format, width, out_width=out_size[0], out_height=out_size[1], resize=resize, roi=roi
    )
    assert worst(out * 255, expected(pixels, pixel_format, width, out_size, resize, roi)) <= 1


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("resize", sorted(INTERPOLATION))
@pytest.mark.parametrize(
    ("width", "height", "side"),
    [
        (1920, 1200, 224),
        (1919, 1201, 224),
        (640, 480, 128),
        (640, 480, 160),
        (448, 448, 224),
        (224, 224, 224),
    ],
)
def test_camera_sizes(pixel_format, resize, width, height, side):
    pixels = frame(pixel_format, width, height, "checks")
    out, _ = run(pixels, pixel_format, width, out_width=side, out_height=side, resize=resize)
    assert worst(out * 255, expected(pixels, pixel_format, width, (side, side), resize)) <= 1


def test_cells_of_very_many_rows():
    pixels = frame(PixelFormat.BAYER_RG8, 1200, 2001, "checks")
    out, _ = run(pixels, PixelFormat.BAYER_RG8, 1200, out_width=3, out_height=5)
    assert worst(out * 255, expected(pixels, PixelFormat.BAYER_RG8, 1200, (3, 5), "area")) <= 1


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (9, 2)])
def test_a_mosaic_of_two_rows_or_columns_keeps_its_colours(size):
    width, height = size
    mosaic = np.zeros((height, width), np.uint8)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2], mosaic[1::2, 0::2], mosaic[1::2, 1::2] = 200, 100, 100, 40
    out, _ = run(mosaic, PixelFormat.BAYER_RG8, width, out_width=4, out_height=4)
    assert np.allclose(out.mean(axis=(1, 2)) * 255, (200, 100, 40), atol=0.5)


@pytest.mark.parametrize("pixel_format", [PixelFormat.BAYER_RG8, PixelFormat.BGR8, PixelFormat.BGRA8])
def test_one_channel_is_the_luma(pixel_format):
    pixels = frame(pixel_format, 61, 47)
    out, _ = run(pixels, pixel_format, 61, out_width=30, out_height=20, channels=1)
    grey = cv2.cvtColor(
        expected(pixels, pixel_format, 61, (30, 20), "area").transpose(1, 2, 0).copy(), cv2.COLOR_RGB2GRAY
    )
    assert worst(out[0] * 255, grey) <= 1


def test_one_channel_of_a_mono_frame_is_the_frame():
    pixels = frame(PixelFormat.MONO8, 32, 32)
    out, _ = run(pixels, PixelFormat.MONO8, 32, out_width=32, out_height=32, channels=1)
    assert np.allclose(out[0] * 255, pixels, atol=0.01)


def test_normalises_each_channel():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    pixels = frame(PixelFormat.BGR8, 40, 40)
    plain, _ = run(pixels, PixelFormat.BGR8, 40, out_width=20, out_height=20)
    out, _ = run(pixels, PixelFormat.BGR8, 40, out_width=20, out_height=20, mean=mean, std=std)
    channel = (3, 1, 1)
    assert np.allclose(out, (plain - np.reshape(mean, channel)) / np.reshape(std, channel), atol=1e-5)


def test_int8_rounds_and_clips():
    mean, std, scale = (0.5,), (0.1,), 0.02
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256)
    size = {"out_width": 256, "out_height": 1, "channels": 1, "mean": mean, "std": std}
    real, _ = run(ramp, PixelFormat.MONO8, 256, **size)
    out, _ = run(ramp, PixelFormat.MONO8, 256, dtype="int8", int8_scale=scale, **size)
    assert out.min() == -128
    assert out.max() == 127
    assert np.abs(out - np.clip(real / scale, -128, 127)).max() <= 0.501


def test_roi_is_clipped_to_the_frame():
    pixels = frame(PixelFormat.BAYER_RG8, 50, 40)
    over, _ = run(pixels, PixelFormat.BAYER_RG8, 50, out_width=10, out_height=10, roi=(-7, 30, 30, 100))
    inside, _ = run(pixels, PixelFormat.BAYER_RG8, 50, out_width=10, out_height=10, roi=(0, 30, 23, 10))
    assert np.array_equal(over, inside)


def test_brightness_is_seen_on_the_output_grid():
    pixels = np.full((40, 40), 100, np.uint8)
    pixels[:10] = 4
    pixels[10:20] = 251
    _, stats = run(pixels, PixelFormat.MONO8, 40, out_width=20, out_height=20, mean=(9, 9, 9))
    assert stats.mean == pytest.approx(113.75, abs=0.05)
    assert (stats.dark_share, stats.bright_share) == (0.25, 0.25)


def test_brightness_of_a_colour_frame_is_its_luma():
    pixels = frame(PixelFormat.BGR8, 64, 64)
    _, stats = run(pixels, PixelFormat.BGR8, 64, out_width=32, out_height=32)
    grey = cv2.cvtColor(pixels.reshape(64, 64, 3), cv2.COLOR_BGR2GRAY)
    assert stats.mean == pytest.approx(grey.mean(), abs=0.5)


def test_one_object_follows_the_frame_geometry():
    preprocess = Preprocess(out_width=12, out_height=12)
    out = np.zeros(preprocess.shape, np.float32)
    for pixel_format, width, height in [
        (PixelFormat.BGR8, 33, 21),
        (PixelFormat.MONO8, 1, 1),
        (PixelFormat.BAYER_RG8, 101, 57),
        (PixelFormat.BGRA8, 1, 300),
        (PixelFormat.BGR8, 33, 21),
    ]:
        pixels = frame(pixel_format, width, height)
        preprocess.into(pixels.reshape(-1), width, height, pixels.shape[1], pixel_format, out)
        assert worst(out[0] * 255, expected(pixels, pixel_format, width, (12, 12), "area")) <= 1


BAD_SETTINGS = [
    ({"out_width": 0}, r"output size 0 x 8"),
    ({"channels": 2}, r"channels = 2 found, 1 \(luma\) or 3"),
    ({"mean": (float("nan"), 0, 0)}, "mean must be finite"),
    ({"mean": (0, 0)}, r"mean has 2 values, one per channel \(3\)"),
    ({"mean": (0, 0, 0, 0, 0), "channels": 5}, "mean has 5 values"),
    ({"std": (1, 0, 1)}, "std must be finite and above 0"),
    ({"std": ()}, "std has 0 values"),
    ({"resize": "cubic"}, r'resize = "cubic" found, "area" or "bilinear"'),
    ({"dtype": "float16"}, r'dtype = "float16" found'),
    ({"int8_scale": 0.0}, "int8_scale must be finite and above 0"),
    ({"roi": (0, 0, 0, 0)}, "roi width and height must be above 0"),
]


@pytest.mark.parametrize(("options", "message"), BAD_SETTINGS)
def test_settings_that_cannot_be_used(options, message):
    with pytest.raises(CoreError, match=message):
        Preprocess(**({"out_width": 8, "out_height": 8} | options))


BAD_FRAMES = [
    ({"pixels": np.zeros(99, np.uint8)}, "pixel buffer of 99 bytes found, 100 expected"),
    ({"pixels": np.zeros(100, np.float32)}, "pixels must be a contiguous uint8 array, found float32"),
    ({"pixels": np.zeros(200, np.uint8)[::2]}, "pixels must be a contiguous uint8 array"),
    ({"width": 0}, "frame size 0 x 10 found"),
    ({"height": -1}, "frame size 10 x -1 found"),
    ({"height": 2**40}, "frame size 10 x 1099511627776 found"),
    ({"stride": 9}, "stride 9 found, at least 10 bytes expected"),
    ({"pixel_format": PixelFormat.BGR8}, "stride 10 found, at least 30 bytes expected"),
    ({"pixel_format": PixelFormat.BAYER_RG8, "height": 1}, "frame size 10 x 1 found, 2 to"),
    (
        {"out": np.zeros((1, 3, 8, 9), np.float32)},
        r"out is float32 \(1, 3, 8, 9\), .* \(1, 3, 8, 8\) expected",
    ),
    ({"out": np.zeros((1, 3, 8, 8), np.int8)}, "out is int8 .* float32 .* expected"),
    ({"out": np.zeros((1, 3, 8, 16), np.float32)[..., ::2]}, "contiguous"),
]


@pytest.mark.parametrize(("change", "message"), BAD_FRAMES)
def test_frames_and_outputs_that_do_not_fit(change, message):
    good = {
        "pixels": np.zeros(100, np.uint8),
        "width": 10,
        "height": 10,
        "stride": 10,
        "pixel_format": PixelFormat.MONO8,
        "out": np.zeros((1, 3, 8, 8), np.float32),
    }
    preprocess = Preprocess(out_width=8, out_height=8)
    preprocess.into(**good)
    with pytest.raises(CoreError, match=message):
        preprocess.into(**(good | change))


def test_a_read_only_output_is_refused():
    preprocess = Preprocess(out_width=8, out_height=8)
    out = np.zeros(preprocess.shape, np.float32)
    out.flags.writeable = False
    with pytest.raises(CoreError, match="writable"):
        preprocess.into(np.zeros(100, np.uint8), 10, 10, 10, PixelFormat.MONO8, out)


def test_roi_outside_the_frame_is_refused():
    preprocess = Preprocess(out_width=8, out_height=8, roi=(10, 0, 5, 5))
    out = np.zeros(preprocess.shape, np.float32)
    with pytest.raises(CoreError, match=r"roi \(10, 0, 5, 5\) lies outside the frame of 10 x 10"):
        preprocess.into(np.zeros(100, np.uint8), 10, 10, 10, PixelFormat.MONO8, out)
