"""What of the CUDA path can be shown without a GPU: the kernel's arithmetic, and what is said without a driver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import _core
from edge._core import CoreError, PixelFormat, Preprocess

SAMPLES = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 1, PixelFormat.BGR8: 3, PixelFormat.BGRA8: 4}


def both(pixels, width, pixel_format, **options):
    """Native preprocess and kernel on the same frame: outputs and statistics."""
    preprocess = Preprocess(**options)
    dtype = np.int8 if options.get("dtype") == "int8" else np.float32
    native, kernel = np.full(preprocess.shape, 99, dtype), np.full(preprocess.shape, 77, dtype)
    place = (width, len(pixels), pixels.shape[1], pixel_format)
    told = preprocess.into(pixels.reshape(-1), *place, native)
    return native, told, kernel, _core.cuda_preprocess_on_cpu(preprocess, pixels.reshape(-1), *place, kernel)


@settings(max_examples=150, deadline=None)
@given(
    pixel_format=st.sampled_from(list(SAMPLES)),
    size=st.tuples(st.integers(2, 90), st.integers(2, 70)),
    out=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize=st.sampled_from(["area", "bilinear"]),
    channels=st.sampled_from([1, 3]),
    roi=st.none() | st.tuples(st.integers(0, 40), st.integers(0, 30), st.integers(1, 60), st.integers(1, 60)),
    padding=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_the_kernel_is_within_one_grey_level_of_the_native_preprocess(
    pixel_format, size, out, resize, channels, roi, padding, seed
):
    width, height = size
    if roi is not None and (roi[0] >= width or roi[1] >= height):
        roi = None
    pixels = np.random.default_rng(seed).integers(
        0, 256, (height, width * SAMPLES[pixel_format] + padding), dtype=np.uint8
    )
    native, told, kernel, said = both(
        pixels,
        width,
        pixel_format,
        out_width=out[0],
        out_height=out[1],
        resize=resize,
        channels=channels,
        roi=roi,
    )
    assert np.abs(native - kernel).max() * 255 <= 1.0
    assert abs(told.mean - said.mean) <= 1.0


@pytest.mark.parametrize("pixel_format", list(SAMPLES))
@pytest.mark.parametrize("resize", ["area", "bilinear"])
def test_at_the_size_of_a_camera_the_difference_is_rounding(pixel_format, resize):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (1200, 1920 * SAMPLES[pixel_format]), dtype=np.uint8)
    native, told, kernel, said = both(
        pixels,
        1920,
        pixel_format,
        out_width=224,
        out_height=224,
        resize=resize,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    assert np.abs((native - kernel) * np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)).max() * 255 <= 0.2
    for key in ("mean", "dark_share", "bright_share"):
        assert getattr(said, key) == pytest.approx(getattr(told, key), abs=0.1)


def test_int8_is_rounded_alike():
    pixels = np.random.default_rng(5).integers(0, 256, (120, 160), dtype=np.uint8)
    native, _, kernel, _ = both(
        pixels,
        160,
        PixelFormat.MONO8,
        out_width=32,
        out_height=32,
        dtype="int8",
        int8_scale=2 / 127,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    assert np.abs(native.astype(int) - kernel.astype(int)).max() <= 1
    assert (native != kernel).mean() < 0.02


def test_black_and_white_frames_are_counted_like_the_native_ones():
    for level, share in ((0, "dark_share"), (255, "bright_share")):
        pixels = np.full((60, 80), level, np.uint8)
        _, told, _, said = both(pixels, 80, PixelFormat.BAYER_RG8, out_width=16, out_height=16)
        assert getattr(said, share) == getattr(told, share) == 1.0


def test_tables_of_a_geometry_that_does_not_fit_are_refused():
    preprocess = Preprocess(out_width=8, out_height=8, roi=(500, 0, 8, 8))
    with pytest.raises(CoreError, match="outside the frame"):
        _core.cuda_tables(preprocess, 100, 100, 100, PixelFormat.MONO8)
    with pytest.raises(CoreError, match="stride"):
        _core.cuda_tables(Preprocess(out_width=8, out_height=8), 100, 100, 99, PixelFormat.MONO8)


def test_without_a_driver_the_loader_says_what_to_do():
    with pytest.raises(CoreError, match=r"libnone\.so: cannot be loaded .*use ONNX Runtime engines"):
        _core.CudaGraph(context=0, stream=0, timeout_ns=1, library="libnone.so")
    with pytest.raises(CoreError, match=r"libc\.so\.6: has no cuCtxSetCurrent; expected NVIDIA's driver"):
        _core.CudaGraph(context=0, stream=0, timeout_ns=1, library="libc.so.6")
