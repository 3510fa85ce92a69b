"""The twin camera on a GigE Vision link: triggers by the part sensor's socket, frames by the network.

The part sensor tells the runtime of a part (as the twin camera does) and fires the device, whose frame shows the part.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from tools.twin import camera
from tools.twin.camera_faults import CameraFaults
from tools.twin.gige.program import GigeDevice
from tools.twin.render import CameraModel
from tools.twin.render_pool import SLOTS, RenderPool
from tools.twin.world import World

log = logging.getLogger("twin.gige")


class GigeCamera(camera.Device):
    """The part sensor, wired to the input of a GigE Vision device."""

    def __init__(self, world: World, pool: RenderPool, path: Path, faults: CameraFaults) -> None:
        model = CameraModel()
        self._device = GigeDevice((pool.descriptor, SLOTS, model.width, model.height))
        super().__init__(world, pool, path, faults)

    def close(self) -> None:
        """Hangs up and switches the device off."""
        super().close()
        self._device.close()

    def _transfer_ns(self) -> int:
        return 0  # the link is real

    def _send_frame(self, index: int) -> None:
        """Returns when the device has exposed: the renderer may then use the picture's memory again."""
        exposed_ns = int(self._world.parts["trigger_ns"][index]) + camera.EXPOSURE_NS
        if self._device.ask(f"show {index} {index + 1} {exposed_ns}") == "idle":
            self.lost_frames += 1


def main(argv: Sequence[str]) -> int:
    """``python -m tools.twin gige``: takes the arguments of ``camera``."""
    return camera.main(argv, GigeCamera)
