"""A part on the belt as the camera delivers it: a BayerRG8 mosaic, with the truth beside it."""

from collections.abc import Callable

from tools.twin.frame import CameraModel, Rendered
from tools.twin.metal.scene import render_metal, warm_up_metal
from tools.twin.parts import METAL, PLAIN, PartSpec
from tools.twin.plain import render_plain, warm_up_plain
from tools.twin.surface import bank

__all__ = ["CameraModel", "Rendered", "render", "warm_up"]

_LOOKS: dict[str, Callable[[PartSpec, CameraModel], Rendered]] = {PLAIN: render_plain, METAL: render_metal}


def render(spec: PartSpec, camera: CameraModel) -> Rendered:
    """Draws one frame in the look of the spec. A pure function of spec and camera.

    Masks of the defects come from ``render_metal(…, with_mask=True)``.

    Raises TwinError for a sensor with odd sides (a mosaic has whole 2×2 cells) or another pixel format.
    """
    camera.check()
    return _LOOKS[spec.look](spec, camera)


def warm_up(camera: CameraModel) -> None:
    """Makes the banks of both looks now (about two seconds), so that the first part is not late."""
    for name in ("belt", "sensor"):
        bank(name)
    warm_up_plain(camera)
    warm_up_metal(camera)
