"""Where might the defect be? Proposals from the backbone's own maps: places that no good part has, without labels.

A class activation map (Zhou et al., CVPR 2016) needs a class that the head knows; before it is taught, the place is
the one whose features lie farthest from those of the old pictures at the same resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.augment import Box
from calibration.pictures import Picture, as_bgr, read_frame
from calibration.taps import Backbone, preprocess_of, session_of

_STAGE = -2
"""The last but one: fine enough to point, coarse enough to know."""
_SHARE = 0.35
"""Of the peak: what belongs to the proposal."""


@dataclass(frozen=True)
class Proposal:
    """A box in pixels of the frame, and how far from anything known its peak is (spreads)."""

    path: str
    box: Box
    distance: float


class Assistant:
    """Knows how old pictures look, place by place of the maps."""

    def __init__(self, backbone: Backbone, known: Sequence[Picture]) -> None:

        model = onnx.ModelProto()
        model.CopyFrom(backbone.tapped)
        self._name = backbone.stages[_STAGE if len(backbone.stages) > 1 else -1][0]
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(self._name, onnx.TensorProto.FLOAT, None)
        )
        self._session = session_of(model)
        self._preprocess = preprocess_of(backbone.manifest)
        maps = np.stack([self._maps(picture)[0] for picture in known])
        self._mean = maps.mean(0)
        self._spread = maps.std(0) + 0.1 * maps.std() + 1e-6

    def _maps(self, picture: Picture) -> tuple[NDArray[np.float32], tuple[int, int]]:
        pixels, pixel_format = read_frame(picture)
        height, width = pixels.shape[:2]
        buffer = np.empty(self._preprocess.shape, np.float32)
        flat = np.ascontiguousarray(pixels).reshape(-1)
        self._preprocess.into(flat, width, height, flat.size // height, pixel_format, buffer)
        name = self._session.get_inputs()[0].name
        return self._session.run([self._name], {name: buffer})[0][0], (height, width)

    def propose(self, picture: Picture) -> Proposal:
        """The strangest place of a picture. Raises CalibrationError: not a picture."""
        maps, (height, width) = self._maps(picture)
        heat = np.sqrt((((maps - self._mean) / self._spread) ** 2).mean(0))
        heat = heat - np.median(heat)
        peak = np.unravel_index(int(heat.argmax()), heat.shape)
        inside = _connected(heat >= _SHARE * heat[peak], (int(peak[0]), int(peak[1])))
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        dy, dx = height / heat.shape[0], width / heat.shape[1]
        box = (columns[0] * dx, rows[0] * dy, (columns[-1] + 1) * dx, (rows[-1] + 1) * dy)
        return Proposal(str(picture.path), box, float(heat[peak]))


def _connected(mask: NDArray[np.bool_], seed: tuple[int, int]) -> NDArray[np.bool_]:
    import cv2

    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return np.asarray(labels == labels[seed], np.bool_)


def drawn(picture: Picture, proposal: Proposal) -> NDArray[np.uint8]:
    """The picture with its proposal, BGR."""
    import cv2

    shown: NDArray[np.uint8] = as_bgr(*read_frame(picture)).copy()
    x1, y1, x2, y2 = (round(value) for value in proposal.box)
    cv2.rectangle(shown, (x1, y1), (x2, y2), (0, 0, 255), 2)
    return shown
