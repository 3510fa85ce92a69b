"""Recipes that a watch took back, as events."""

from edge._core import Region
from edge.report.taken_back import TakenBackEvents


def test_each_is_noted_once(tmp_path):
    status = Region.create(str(tmp_path / "region"), frame_slots=2, slot_bytes=4096).status
    noted = []
    events = TakenBackEvents(status, (7, 12, 3), lambda kind, text: noted.append((kind, text.split(":")[0])))
    events.tick(1)
    assert noted == []
    status.rolled_back, status.rollback_refused = 2, 4
    status.last_trigger_id = 40  # parts that no camera saw have no trigger, but a number
    events.tick(2)
    events.tick(3)
    assert noted == [
        ("recipe", "12 left its range and was taken back, about part 40"),
        ("recipe", "3 left its range and cannot be taken back, about part 40"),
    ]
