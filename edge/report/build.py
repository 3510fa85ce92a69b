"""From a finished run to its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge._core import LineStatus, Verdict
from edge.errors import RecordError
from edge.report.collector import Collector, percentiles
from edge.report.schema import Bins, CameraCounts, CameraDelay, PlcCounts, ProcessMemory, RunReport, Truth
from edge.version import __version__
from engines.whole_file import write_whole

if TYPE_CHECKING:
    from edge.line import RunningLine

GOOD_BIN, REJECT_BIN = 1, 2


def build_report(
    running: "RunningLine",
    labels: Mapping[int, str],
    memory: Mapping[str, ProcessMemory],
) -> RunReport:
    """``labels``: part id → true class name, where known."""
    collector, status = running.collector, running.status
    twin = running.twin.report() if running.twin else None
    if twin is not None:
        labels = {part["id"]: part["class"] for part in twin["parts"]}
    return RunReport(
        line=running.config.name,
        version=__version__,
        seconds=round(running.seconds, 3),
        parts=status.triggers_pushed,
        verdicts=collector.verdict_counts(),
        reasons=dict(collector.reasons),
        truth=_truth(collector, labels, running.manifest.good_class, running.manifest.empty_class),
        latency_ms=percentiles(collector.latency),
        trigger_to_ack_ms=percentiles(collector.trigger_to_ack),
        engine_ms=percentiles(collector.engine),
        runtime_tax_ms=percentiles(collector.tax),
        budget_ms=collector.budget_span(),
        overruns=collector.overruns,
        gate_share=collector.gate_share,
        drift=collector.drift.summary(),
        certificate=running.certificate,
        speed_outside_table=status.speed_outside_table,
        stage_ms={name: percentiles(histogram) for name, histogram in collector.stages.items()},
        plc=_plc(running, twin),
        bins=_bins(collector, twin),
        lost_records=running.lost_records + max(0, status.triggers_pushed - collector.parts),
        duplicate_verdicts=collector.duplicates,
        frames_dropped=status.frames_dropped,
        camera=_camera(status),
        restarts=running.restarts,
        memory_mib=dict(memory),
    )


def _truth(collector: Collector, labels: Mapping[int, str], good: str, empty: str) -> Truth:
    final = {part: collector.final_of(part) for part in labels}
    known = {
        part: label for part, label in labels.items() if label != empty and final[part] is not Verdict.NONE
    }
    if good not in known.values():
        return Truth()  # labels of another vocabulary say nothing about good and bad here
    defective = {part for part, label in known.items() if label != good}
    fine = known.keys() - defective
    return Truth(
        known=True,
        defective=len(defective),
        good=len(fine),
        escapes=sum(final[part] is not Verdict.REJECT for part in defective),
        overkills=sum(final[part] is Verdict.REJECT for part in fine),
    )


def _bins(collector: Collector, twin: Mapping[str, Any] | None) -> Bins:
    counts = {"right": 0, "wrong": 0, "missed": 0, "unknown": 0}
    for part in twin["parts"] if twin else ():
        verdict = collector.final_of(part["id"])
        if part["bin"] not in (GOOD_BIN, REJECT_BIN):
            counts["unknown"] += verdict is not Verdict.NONE
        elif verdict is Verdict.NO_PART or (verdict is not Verdict.PASS) == (part["bin"] == REJECT_BIN):
            counts["right"] += 1  # where there is no part, either bin stays empty
        else:
            counts["wrong" if verdict is Verdict.PASS else "missed"] += 1
    return Bins(**counts)


def _plc(running: "RunningLine", twin: Mapping[str, Any] | None) -> PlcCounts:
    status = running.status
    seen = [part["verdict_count"] for part in twin["parts"][: status.last_trigger_id]] if twin else []
    return PlcCounts(
        writes=status.plc_writes,
        unconfirmed=status.plc_unconfirmed,
        reconnects=status.plc_reconnects,
        twice=sum(count > 1 for count in seen),
        never=sum(count == 0 for count in seen),
    )


def _camera(status: LineStatus) -> CameraCounts:
    p50, p99 = status.camera_delay_p50_ns, status.camera_delay_p99_ns
    drift_ppb = status.camera_drift_ppb
    return CameraCounts(
        frames=status.camera_frames,
        incomplete=status.camera_incomplete,
        lost=status.camera_lost,
        lost_unnoticed=status.camera_lost_unnoticed,
        late=status.frames_orphaned,
        unmatched=status.camera_unmatched,
        reconnects=status.camera_reconnects,
        resent_packets=status.camera_resent,
        clock_jumps=status.camera_clock_jumps,
        drift_ppm=round(drift_ppb / 1000, 3) if drift_ppb else None,
        device_to_slot_ms=CameraDelay(
            p50=round(p50 / 1e6, 4) if p50 else None, p99=round(p99 / 1e6, 4) if p99 else None
        ),
        exposure_us=status.camera_exposure_ns / 1e3 if status.camera_exposure_ns else None,
        exposure_changes=status.camera_exposure_changes,
        copies_per_frame=round(status.camera_copies / max(1, status.camera_frames), 4),
    )


def write_report(report: RunReport, path: Path) -> None:
    """Whole or not at all; raises RecordError."""
    text = report.model_dump_json(indent=2, by_alias=True) + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise RecordError(
            f"{path}: the report cannot be written ({error.strerror}); choose another place"
        ) from error
