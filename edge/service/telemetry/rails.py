"""Where the kernel tells power: INA3221 monitors of a Jetson, RAPL counters of a PC."""

from collections.abc import Iterator
from pathlib import Path

from edge.service.telemetry.sysfs import by_name, glob, number, text

_NOT_CONNECTED = "NC"
_WITHIN_PACKAGE = ("core", "uncore")
"""RAPL subzones that the package has counted already; ``dram`` it has not (Linux, power/powercap/powercap.rst)."""
_PLATFORM = "psys"
"""Left out: boards that do not wire it show zero or nonsense."""


class Ina3221:
    """Channels with a label, millivolts and milliamperes."""

    def __init__(self, root: Path) -> None:
        self._rails = by_name(_channels(root))

    def read(self) -> dict[str, float]:
        """Rail → watts."""
        watts = {name: _watts(*files) for name, files in self._rails.items()}
        return {name: value for name, value in watts.items() if value is not None}


class Rapl:
    """Energy counters in microjoules; a reading is the mean power since the one before."""

    def __init__(self, root: Path) -> None:
        self._zones = by_name(_zones(root))
        self._before: dict[str, tuple[int, float]] = {}
        self.locked = tuple(
            path for path in self._zones.values() if path.exists() and number(path, 1e6) is None
        )
        """Counters that this user may not read."""

    @property
    def known(self) -> bool:
        """Whether one of them can be read."""
        return any(number(path, 1e6) is not None for path in self._zones.values())

    def read(self, now_ns: int) -> dict[str, float]:
        """Zone → watts; the first look gives nothing."""
        found = {}
        for name, path in self._zones.items():
            joules, before = number(path, 1e6), self._before.get(name)
            if joules is None:
                continue
            self._before[name] = (now_ns, joules)
            if before is None or now_ns <= before[0]:
                continue
            grown = joules - before[1]
            if grown < 0:
                wraps_at = number(path.parent / "max_energy_range_uj", 1e6)
                if wraps_at is None:
                    continue
                grown += wraps_at
            found[name] = grown * 1e9 / (now_ns - before[0])
        return found


def _channels(root: Path) -> Iterator[tuple[str, str, tuple[Path, Path]]]:
    for device in glob(root, "class/hwmon/hwmon*"):
        if text(device / "name") != "ina3221":
            continue
        # The bus address, such as 1-0041, stays the same over restarts; the number of the hwmon device does not.
        place = (device / "device").resolve().name if (device / "device").exists() else device.name
        for label in sorted(device.glob("in*_label")):
            channel = label.name.removeprefix("in").removesuffix("_label")
            name = text(label) or label.name
            current = device / f"curr{channel}_input"
            if current.exists() and name != _NOT_CONNECTED:
                yield name, place, (device / f"in{channel}_input", current)


def _zones(root: Path) -> Iterator[tuple[str, str, Path]]:
    for zone in glob(root, "class/powercap/intel-rapl:*"):
        name = text(zone / "name") or zone.name
        within = zone.name.count(":") > 1
        if name == _PLATFORM or (within and name.startswith(_WITHIN_PACKAGE)):
            continue
        yield name, zone.name.removeprefix("intel-rapl:"), zone / "energy_uj"


def _watts(millivolts: Path, milliamperes: Path) -> float | None:
    volts, amperes = number(millivolts, 1e3), number(milliamperes, 1e3)
    return None if volts is None or amperes is None else volts * amperes
