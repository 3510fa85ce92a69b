"""Prometheus metrics of the reporting process; on loopback unless the line file says otherwise, off unless it asks."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from edge._core import LineStatus
from edge.errors import ConfigError
from edge.records.journal.writer import JournalWriter
from edge.report.continuous import QUANTILES, ContinuousProfile
from edge.report.settings import MetricsSettings
from edge.service.telemetry.beside import LatencyBeside
from edge.service.telemetry.sink import Telemetry

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25)
STATES = {
    "line_ready": "inspect_ready",
    "camera_ready": "inspect_camera_ready",
    "plc_connected": "inspect_plc_connected",
}
"""Field of the shared status → gauge of 0 or 1."""
COUNTS = {
    "plc_writes": ("inspect_plc_writes", "Verdicts that the PLC acknowledged."),
    "plc_unconfirmed": ("inspect_plc_unconfirmed", "Verdicts that the PLC did not acknowledge in time."),
    "plc_reconnects": ("inspect_plc_reconnects", "Connections to the PLC that were made anew."),
    "frames_published": ("inspect_camera_frames", "Frames handed to the loop."),
    "frames_dropped": ("inspect_camera_frames_dropped", "Frames for which the ring had no slot."),
    "triggers_pushed": ("inspect_triggers", "Parts that the sensor announced."),
    "engine_faults": ("inspect_engine_faults", "Failures of an engine."),
}
"""Field of the shared status → counter and its help; ``_total`` is added."""


class Metrics:
    """Serves what the continuous profile holds. A scrape reads; it never waits for the line."""

    def __init__(
        self,
        settings: MetricsSettings,
        profile: ContinuousProfile,
        status: LineStatus,
        telemetry: Telemetry | None = None,
        journal: JournalWriter | None = None,
    ) -> None:
        """Raises ConfigError: the library is missing, or the port cannot be had."""
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError as error:
            raise ConfigError(
                "report.metrics needs prometheus-client, which is not installed here; "
                "pip install 'edge-inspection[mes]', or take report.metrics out of the line file"
            ) from error
        self._profile = profile
        self._status = status
        self._telemetry = telemetry
        self._journal = journal
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(settings.port, settings.host, registry)
        except OSError as error:
            raise ConfigError(
                f"report.metrics: {settings.host}:{settings.port} cannot be had: {error.strerror}; expected a free "
                f"port of this machine; who has it: ss -ltnp 'sport = :{settings.port}'"
            ) from error
        self.port = int(self._server.server_port)

    def add(self, _records: object) -> None:
        """The profile has them."""

    def tick(self, _now_ns: int) -> None:
        """Nothing is due."""

    def close(self) -> None:
        """Gives the port free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)

    def collect(self) -> "Iterator[Metric]":
        """What a scrape gets."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        profile, status = self._profile, self._status
        yield from self._stages()
        for name, text, label, counter in (
            ("inspect_parts", "Parts by what finally held.", "verdict", profile.verdicts),
            ("inspect_rejects", "Rejected parts by reason.", "reason", profile.reasons),
            ("inspect_overruns", "Late verdicts by the stage that took longest.", "stage", profile.overruns),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for key, value in list(counter.items()):
                family.add_metric([key], value)
            yield family
        for field, name in STATES.items():
            yield GaugeMetricFamily(
                name, f"1: {field.replace('_', ' ')}.", float(bool(getattr(status, field)))
            )
        for field, (name, text) in COUNTS.items():
            yield CounterMetricFamily(name, text, float(getattr(status, field)))
        for name, text, bits in (
            ("inspect_recipes_taken_back", "Recipes that left their range.", status.rolled_back),
            (
                "inspect_recipes_not_taken_back",
                "Of which nothing could take the place.",
                status.rollback_refused,
            ),
        ):
            yield CounterMetricFamily(name, text, float(bits.bit_count()))
        yield GaugeMetricFamily("inspect_belt_speed_m_per_s", "As last read.", status.speed_um_per_s / 1e6)
        if self._telemetry is not None:
            yield from _device(self._telemetry)
        if self._journal is not None:
            yield from _records(self._journal)

    def _stages(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

        histograms = HistogramMetricFamily(
            "inspect_stage_duration_seconds", "Time of a stage.", labels=["stage", "route"]
        )
        quantiles = GaugeMetricFamily(
            "inspect_stage_quantile_seconds",
            "Quantiles since the start, exact to 1 %.",
            labels=["stage", "route", "quantile"],
        )
        for (stage, route), histogram in list(self._profile.stages.items()):
            counts = [(f"{edge:g}", float(histogram.below(round(edge * 1e9)))) for edge in BUCKETS_S]
            total = self._profile.sums_ns[(stage, route)] / 1e9
            histograms.add_metric([stage, route], [*counts, ("+Inf", float(histogram.count))], total)
            for q in QUANTILES:
                quantiles.add_metric([stage, route, f"{q:g}"], histogram.quantile(q) / 1e9)
        yield histograms
        yield quantiles

    def describe(self) -> Iterable[Any]:
        """Asked once by the registry; nothing is promised."""
        return []


def _records(journal: JournalWriter) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily(
        "inspect_journal_paused", "1: its disk is full, read-only or failing.", float(journal.paused)
    )
    yield GaugeMetricFamily(
        "inspect_journal_waiting_records", "In the ring, not in the journal yet.", float(journal.waiting)
    )
    yield CounterMetricFamily(
        "inspect_journal_lost_records", "That the ring dropped before they were kept.", float(journal.lost)
    )


def _beside(beside: LatencyBeside) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    causes = CounterMetricFamily(
        "inspect_parts_throttled", "Parts while something held the clocks down.", labels=["cause"]
    )
    for cause, parts in list(beside.parts.items()):
        causes.add_metric([cause], parts)
    yield causes
    quantiles = GaugeMetricFamily(
        "inspect_latency_quantile_seconds",
        "Of parts whose clocks something held down (throttled 1), and of the others.",
        labels=["throttled", "quantile"],
    )
    for throttled, histogram in beside.latency.items():
        for q in QUANTILES if histogram.count else ():
            quantiles.add_metric([str(int(throttled)), f"{q:g}"], histogram.quantile(q) / 1e9)
    yield quantiles


def _device(telemetry: Telemetry) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    last, energy = telemetry.last, telemetry.energy
    for name, text, label, values in (
        ("inspect_power_watts", "Of a rail.", "rail", last.power_w),
        ("inspect_temperature_celsius", "Of a thermal zone.", "zone", last.temperature_c),
    ):
        family = GaugeMetricFamily(name, text, labels=[label])
        for key, value in values.items():
            family.add_metric([key], value)
        yield family
    yield GaugeMetricFamily(
        "inspect_throttled", "1: something holds the clocks down.", float(bool(last.throttled))
    )
    yield from _beside(telemetry.beside)
    if last.gpu_mhz is not None:
        yield GaugeMetricFamily("inspect_gpu_clock_hertz", "Of the GPU.", last.gpu_mhz * 1e6)
    if last.cpu_mhz is not None:
        yield GaugeMetricFamily("inspect_cpu_clock_hertz", "Of the slowest processor.", last.cpu_mhz * 1e6)
    if last.gpu_load is not None:
        yield GaugeMetricFamily("inspect_gpu_load_ratio", "0 to 1.", last.gpu_load)
    for name, text, counter in (
        ("inspect_engine_energy_joules", "While engines ran, of the whole device.", energy.joules),
        ("inspect_engine_energy_parts", "Parts in that sum.", energy.parts),
    ):
        totals = CounterMetricFamily(name, text, labels=["route"])
        for route, total in list(counter.items()):
            totals.add_metric([route], total)
        yield totals
