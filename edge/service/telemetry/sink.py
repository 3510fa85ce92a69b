"""Telemetry in the reporting process: a look five times a second, an alarm when something holds the clocks down."""

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.service.doctor.finding import Level
from edge.service.doctor.host import Host
from edge.service.doctor.processor import governor, power_mode
from edge.service.telemetry.alarms import Alarms, Note
from edge.service.telemetry.beside import LatencyBeside
from edge.service.telemetry.energy import EnergyMeter
from edge.service.telemetry.reading import Reading

log = logging.getLogger("edge.report")

PERIOD_NS = 200_000_000
WORDS = {
    "throttled": "the clocks are held down: {}",
    "unthrottled": "the clocks are no longer held down by: {}",
}
"""Kind of an event → how the log puts it; the journal keeps the bare cause, which queries lay beside parts."""


CHANGES = {"power_mode": "the power mode is", "clocks_locked": "clocks locked by jetson_clocks:"}
"""Field of a reading → how its change is told."""


class Source(Protocol):
    """Where readings come from."""

    @property
    def known(self) -> bool:
        """Whether this machine tells its power."""

    @property
    def why_unknown(self) -> str:
        """What there is to do about it."""

    def read(self) -> Reading:
        """Never raises, never waits."""


class Telemetry:
    """A sink. ``note`` keeps an alarm where parts are kept (the journal)."""

    def __init__(self, sensors: Source, host: Host, note: Note) -> None:
        self._sensors = sensors
        self._note = note
        self._due_ns = 0
        self._set: dict[str, str | bool] = {}
        self._alarms = Alarms(self._tell)
        self.energy = EnergyMeter()
        self.beside = LatencyBeside(self._alarms.timeline)
        # Whatever the journal believes to hold from before: nobody looked when it ended.
        note("telemetry", "somebody looks at the clocks from here on")
        self.last: Reading = sensors.read()
        for check in (power_mode, governor):
            for finding in check(host):
                if finding.level is not Level.PASS and finding.mend:
                    self._tell(
                        "power",
                        f"{finding.check} is {finding.found}, expected {finding.expected}: {finding.mend}",
                    )
        for limit in self.last.limits:
            self._tell("power", f"{limit}; it stood before the start")
        if not sensors.known:
            log.info("this machine does not tell its power: no energy per part; %s", sensors.why_unknown)

    def add(self, records: NDArray[np.void]) -> None:
        """Parts whose energy is counted at the next look."""
        for record in records:
            self.energy.add(record)
            self.beside.add(record)

    def tick(self, now_ns: int) -> None:
        """Looks when it is due."""
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + PERIOD_NS
        self.last = self._sensors.read()
        self._look_for_changes()
        self.energy.look(self.last)
        self._alarms.look(self.last)
        self.beside.count()

    def _look_for_changes(self) -> None:
        """Somebody set the machine otherwise while the line ran."""
        for field, words in CHANGES.items():
            was, now = self._set.get(field), getattr(self.last, field)
            if now is None:
                continue
            self._set[field] = now
            if was is not None and was != now:
                self._tell("power", f"{words} {now}, was {was}")

    def close(self) -> None:
        """Nothing is held."""

    def _tell(self, kind: str, text: str, at_ns: int | None = None) -> None:
        log.warning("%s", WORDS.get(kind, "{}").format(text))
        self._note(kind, text, at_ns)
