"""Flat-field and dark correction: the native one against a float reference, and the maps on disk."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge._core import CoreError, FlatField, PixelFormat, Preprocess
from edge.camera.flat_field import FlatFieldMap, load_map, make_map
from edge.errors import CameraError

BYTES = {PixelFormat.MONO8: 1, PixelFormat.BAYER_RG8: 1, PixelFormat.BGR8: 3, PixelFormat.BGRA8: 4}


def maps(rng, shape):
    return rng.integers(0, 8000, shape, np.uint16), rng.integers(4096, 65535, shape, np.uint16)


def reference(pixels, dark, gain):
    return np.clip((pixels.astype(np.float64) - dark / 256) * gain / 16384, 0, 255)


def grey(pixels, form, width, **options):
    preprocess = Preprocess(**options)
    out = np.empty(preprocess.shape, np.float32)
    height, stride = pixels.shape
    preprocess.into(pixels.reshape(-1), width, height, stride, form, out)
    return out[0] * 255


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(list(BYTES)),
    seed=st.integers(0, 999),
    padding=st.integers(0, 5),
    resize=st.sampled_from(["area", "bilinear"]),
    roi=st.sampled_from([None, (5, 3, 20, 17), (0, 0, 31, 40)]),
)
def test_as_if_the_corrected_frame_had_come(form, seed, padding, resize, roi):
    """Against the float reference, rounded, through the same preprocess: within one grey level."""
    rng = np.random.default_rng(seed)
    width, height, samples = 37, 41, BYTES[form]
    pixels = rng.integers(0, 256, (height, width * samples + padding), np.uint8)
    shape = (height, width) if samples == 1 else (height, width, samples)
    dark, gain = maps(rng, shape)
    seen = pixels[:, : width * samples].reshape(shape)
    flat = np.rint(reference(seen, dark, gain)).astype(np.uint8).reshape(height, -1)
    options = {"out_width": 16, "out_height": 12, "resize": resize, "roi": roi}
    found = grey(pixels, form, width, flat_field=FlatField(dark=dark, gain=gain), **options)
    assert np.abs(found - grey(flat, form, width, **options)).max() <= 1


def test_every_value_within_one_grey_level_of_float():
    values = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    dark, gain = maps(np.random.default_rng(1), values.shape)
    options = {"out_width": 256, "out_height": 256, "channels": 1}
    found = grey(values, PixelFormat.MONO8, 256, flat_field=FlatField(dark=dark, gain=gain), **options)
    assert np.abs(found[0] - reference(values, dark, gain)).max() <= 1


def test_frames_of_another_size_are_refused():
    field = FlatField(dark=np.zeros((8, 8), np.uint16), gain=np.full((8, 8), 16384, np.uint16))
    with pytest.raises(CoreError, match=r"frame of 9 x 8 .* map is of 8 x 8 .* edge camera flatfield"):
        grey(np.zeros((8, 9), np.uint8), PixelFormat.MONO8, 9, out_width=4, out_height=4, flat_field=field)
    with pytest.raises(CoreError, match="dark"):
        FlatField(dark=np.zeros((8, 8), np.uint16), gain=np.zeros((8, 9), np.uint16))


@pytest.mark.parametrize("mosaic", [False, True])
def test_a_map_makes_vignetting_even_and_keeps_the_colours(mosaic):
    rng = np.random.default_rng(5)
    y, x = np.mgrid[-1:1:48j, -1:1:64j]
    light = 1 - 0.4 * (x**2 + y**2) / 2
    colour = np.full((48, 64), 150.0)
    if mosaic:
        colour[1::2, 1::2] = 90.0
    noisy = lambda level: np.clip(np.rint(level + rng.normal(0, 1.5, light.shape)), 0, 255).astype(np.uint8)  # noqa: E731
    dark = [noisy(10 + 3 * x) for _ in range(32)]
    flat = [noisy(10 + 3 * x + colour * light) for _ in range(32)]
    made = make_map(dark, flat, mosaic=mosaic)
    scene = 10 + 3 * x + 0.5 * colour * light
    even = reference(scene, made.dark, made.gain)
    sites = even[1::2, 1::2], even[::2, ::2]
    assert all(site.std() / site.mean() < 0.01 for site in sites)
    assert sites[0].mean() / sites[1].mean() == pytest.approx(0.6 if mosaic else 1.0, rel=0.01)


def test_bad_frames_make_no_map():
    even = [np.full((4, 4), 120, np.uint8)]
    dark = [np.full((4, 4), 10, np.uint8)]
    with pytest.raises(CameraError, match="of one size"):
        make_map(dark, [np.full((4, 5), 120, np.uint8)], mosaic=False)
    with pytest.raises(CameraError, match="grey level 15"):
        make_map(dark, [np.full((4, 4), 15, np.uint8)], mosaic=False)
    half = [np.where(np.arange(16).reshape(4, 4) < 4, 12, 200).astype(np.uint8)]
    with pytest.raises(CameraError, match="need a gain outside"):
        make_map(dark, half, mosaic=False)
    assert (make_map(dark, even, mosaic=False).gain == 16384).all()


def test_maps_as_png_hold_the_same_numbers(tmp_path):
    for shape in ((6, 8), (6, 8, 3)):
        made = FlatFieldMap(*maps(np.random.default_rng(4), shape), camera="A1")
        made.export_png(tmp_path / "map.npz")
        for name, values in (("dark", made.dark), ("gain", made.gain)):
            assert np.array_equal(cv2.imread(str(tmp_path / f"map.{name}.png"), cv2.IMREAD_UNCHANGED), values)


def test_a_map_on_disk_is_for_its_camera_and_whole(tmp_path):
    made = FlatFieldMap(*maps(np.random.default_rng(2), (6, 8)), camera="A1")
    path = tmp_path / "flat.npz"
    made.save(path)
    found = load_map(path, "A1")
    assert np.array_equal(found.gain, made.gain) and found.sha256 == made.sha256
    with pytest.raises(CameraError, match="made for camera A1, the line has B2"):
        load_map(path, "B2")
    np.savez(path, dark=made.dark, gain=made.gain + 1, camera="A1", sha256=made.sha256)
    with pytest.raises(CameraError, match="its own hash"):
        load_map(path)
    path.write_bytes(b"PK")
    with pytest.raises(CameraError, match="not a flat-field map"):
        load_map(path)
