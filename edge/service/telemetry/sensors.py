"""What the kernel tells of power, heat and clocks, from sysfs alone: no service, no group, no library.

Layout of a Jetson Orin (L4T 36): INA3221 monitors as hwmon devices whose channels carry a label, millivolts and
milliamperes; thermal zones in thousandths of a degree; the GPU's load in tenths of a per cent and its clock as a
devfreq device; over-current events counted by the soctherm hwmon device. On an x86 bench RAPL counts microjoules.
"""

import time
from pathlib import Path

from edge.service.telemetry.clocks import Clocks
from edge.service.telemetry.rails import Ina3221, Rapl
from edge.service.telemetry.reading import Reading
from edge.service.telemetry.sysfs import by_name, glob, number, text


class Sensors:
    """Finds what there is once; ``read`` then opens a few small files."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._ina, self._rapl, self._clocks = Ina3221(root), Rapl(root), Clocks(root)
        self._zones = by_name(
            (text(zone / "type") or zone.name, zone.name.removeprefix("thermal_zone"), zone / "temp")
            for zone in glob(root, "class/thermal/thermal_zone*")
        )
        self.read()  # counters need a first value

    @property
    def known(self) -> bool:
        """Whether this machine tells its power to this user."""
        return bool(self._ina.read()) or self._rapl.known

    @property
    def why_unknown(self) -> str:
        """What there is to do about it."""
        if self._rapl.locked:
            return (
                f"{self._rapl.locked[0]} is for root only; let this user read it: "
                "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj (until the next start of the machine)"
            )
        return "no INA3221 monitor under /sys/class/hwmon and no RAPL counter under /sys/class/powercap"

    def read(self) -> Reading:
        """Never raises: a file that cannot be read is not there."""
        now = time.monotonic_ns()
        clocks = self._clocks
        zones = {name: number(path, 1e3) for name, path in self._zones.items()}
        return Reading(
            at_ns=now,
            power_w=self._ina.read() | self._rapl.read(now),
            temperature_c={name: celsius for name, celsius in zones.items() if celsius is not None},
            gpu_load=clocks.gpu_load(),
            gpu_mhz=clocks.gpu_mhz(),
            cpu_mhz=clocks.cpu_mhz(),
            throttled=clocks.held(),
            limits=clocks.limits(),
        )
