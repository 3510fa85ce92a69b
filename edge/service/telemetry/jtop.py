"""jetson-stats: its service (jtop) is asked for what sysfs does not tell; optional, and only in the reporting process.

The service is a program of its own under its own licence (AGPL). Its client library waits without a bound, so it has a
thread that nobody waits for; a reading older than ``STALE_NS`` is none.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from edge._core import now_ns
from edge.service.telemetry.reading import Reading
from edge.service.telemetry.sink import Source

log = logging.getLogger("edge.report")

PERIOD_S = 1.0
"""The service's own usual pace; who connects first sets it for all."""
STALE_NS = 3_000_000_000
PAUSES_S = (5.0, 10.0, 30.0, 60.0)
"""Between attempts; each starts programs of the library, so they become rare."""
_OFFLINE_C = -256

Client = Any
Connect = Callable[[float], Client]
"""Period, s → a client to be entered as a context."""


class Jtop:
    """Follows the service in a thread that ends with the process."""

    def __init__(self, connect: Connect | None = None) -> None:
        """``connect`` None: with the library, if it is installed; where it is not, one warning says so."""
        self._connect = connect or _library()
        self._latest: Reading | None = None
        self._told = ""
        if self._connect is not None:
            threading.Thread(target=self._follow, name="jtop", daemon=True).start()

    def reading(self, at_ns: int) -> Reading | None:
        """The latest; None: none, or it is too old."""
        latest = self._latest
        return latest if latest is not None and at_ns - latest.at_ns <= STALE_NS else None

    def _follow(self) -> None:
        pause = threading.Event()
        attempt = 0
        while True:
            try:
                with self._connect(PERIOD_S) as client:  # type: ignore[misc]
                    while client.ok():
                        self._latest = reading_of(client, now_ns())
                        attempt, self._told = 0, ""
                self._tell("its service answers no more")
            except Exception as error:  # another's library: whatever it raises must not end the thread
                self._tell(str(error) or type(error).__name__)
            pause.wait(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
            attempt += 1

    def _tell(self, trouble: str) -> None:
        if trouble != self._told:
            self._told = trouble
            log.warning("jetson-stats: %s; sysfs alone is read until it answers", " ".join(trouble.split()))


class SensorsAndJtop:
    """What sysfs tells, and where it says nothing, what the service does."""

    def __init__(self, sensors: Source, jtop: Jtop) -> None:
        self._sensors, self._jtop = sensors, jtop

    @property
    def known(self) -> bool:
        """Whether this machine tells its power, by now."""
        latest = self._jtop.reading(now_ns())
        return self._sensors.known or bool(latest and latest.power_w)

    @property
    def why_unknown(self) -> str:
        """What there is to do about it."""
        return f"{self._sensors.why_unknown}; jetson-stats is asked"

    def read(self) -> Reading:
        """Of sysfs five times a second; what the service adds is up to a second old."""
        found = self._sensors.read()
        more = self._jtop.reading(found.at_ns)
        if more is None:
            return found
        return replace(
            found,
            power_w=found.power_w or more.power_w,  # never mixed: two names of one rail would be added up
            temperature_c=found.temperature_c or more.temperature_c,
            gpu_load=more.gpu_load if found.gpu_load is None else found.gpu_load,
            gpu_mhz=more.gpu_mhz if found.gpu_mhz is None else found.gpu_mhz,
            power_mode=more.power_mode,
            clocks_locked=more.clocks_locked,
        )


def reading_of(client: Client, at_ns: int) -> Reading:
    """Milliwatts, degrees, per cent and kHz of jetson-stats 4 to 7 → a reading."""
    gpus = [gpu for _, gpu in client.gpu.items()]
    loads = [gpu["status"]["load"] / 100 for gpu in gpus if "load" in gpu.get("status", {})]
    clocks = [gpu["freq"]["cur"] / 1e3 for gpu in gpus if "cur" in gpu.get("freq", {})]
    mode, locked = client.nvpmodel, client.jetson_clocks
    return Reading(
        at_ns=at_ns,
        power_w=_rails(client.power),
        temperature_c={
            name: float(zone["temp"])
            for name, zone in client.temperature.items()
            if zone.get("online", True) and zone["temp"] != _OFFLINE_C
        },
        gpu_load=max(loads, default=None),
        gpu_mhz=max(clocks, default=None),
        power_mode=str(mode.name) if mode is not None else None,
        clocks_locked=bool(locked) if locked is not None else None,
    )


def _rails(power: Mapping[str, Any]) -> dict[str, float]:
    """The rail that feeds the others is kept by the service as the total, with its name."""
    rails = {
        name: rail["power"] / 1e3 for name, rail in power.get("rail", {}).items() if rail.get("online", True)
    }
    total = power.get("tot", {})
    if "name" in total:
        rails[total["name"]] = total["power"] / 1e3
    return rails


def _library() -> Connect | None:
    try:
        connect: Connect = import_module("jtop").jtop
    except Exception as error:  # not there, or broken: its import alone runs much
        log.warning(
            "report.jtop is set, but jetson-stats cannot be used here (%s); expected it installed: "
            "pip install 'edge-inspection[jetson]', or take report.jtop out of the line file",
            error,
        )
        return None
    return connect
