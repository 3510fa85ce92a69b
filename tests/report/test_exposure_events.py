"""Changes of the exposure as events."""

from edge._core import Region
from edge.report.exposure import ExposureEvents
from edge.report.process import make_sinks
from edge.report.settings import ReportConfig
from tests.records.finished_parts import FACTS, SETTINGS, Source


def test_each_change_is_noted_once(tmp_path):
    status = Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096).status
    status.camera_exposure_ns = 200_000
    noted = []
    events = ExposureEvents(status, lambda kind, text: noted.append((kind, text)))
    events.tick(1)
    assert noted == []
    status.camera_exposure_ns, status.camera_exposure_changes, status.last_trigger_id = 190_000, 1, 40
    events.tick(2)
    events.tick(3)
    assert noted == [("exposure", "200.0 → 190.0 µs by auto-exposure, about part 40")]


def test_a_line_with_a_journal_alone_has_them_there(tmp_path):
    region = Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096)
    source = Source(tmp_path)
    config = ReportConfig(
        line="x",
        classes=FACTS.classes,
        config_sha256="a",
        journal=SETTINGS,
        journal_path=tmp_path / "journal" / "x.db",
        live_path=tmp_path / "live.json",
    )
    sinks = make_sinks(config, region, source.ring)
    for sink in sinks:
        sink.close()
    assert "exposure" in [sink.name for sink in sinks]
