"""The shared region: frame ring, triggers, verdicts."""

from pathlib import Path

import numpy as np
import pytest

from edge import _core


@pytest.fixture
def region(tmp_path: Path) -> _core.Region:
    return _core.Region.create(str(tmp_path / "region"), frame_slots=4, slot_bytes=64)


def publish(region: _core.Region, trigger_id: int, grey: int = 7) -> bool:
    slot = region.claim_slot()
    if slot is None:
        return False
    slot.pixels[:] = grey
    slot.publish(
        frame_id=trigger_id,
        trigger_id=trigger_id,
        encoder_count=-5,
        exposure_end_ns=1,
        width=8,
        height=8,
        stride=8,
        pixel_format=_core.PixelFormat.MONO8,
    )
    return True


def test_a_published_frame_can_be_copied_until_its_slot_is_reused(region: _core.Region) -> None:
    publish(region, 41, grey=99)
    copy = region.copy_frame(41)
    assert copy is not None
    assert (copy.trigger_id, copy.encoder_count, copy.width) == (41, -5, 8)
    assert np.all(copy.pixels == 99) and copy.pixels.size == 64
    assert region.copy_frame(42) is None


def test_a_full_ring_drops_the_frame_and_counts_it(region: _core.Region) -> None:
    assert [publish(region, i) for i in range(6)] == [True] * 4 + [False] * 2
    assert region.status.frames_dropped == 2
    assert region.status.frames_published == 4


def test_a_slot_is_given_up_once(region: _core.Region) -> None:
    slot = region.claim_slot()
    assert slot is not None
    slot.drop()
    with pytest.raises(_core.CoreError, match="given up"):
        _ = slot.pixels


def test_every_reader_sees_every_trigger(region: _core.Region, tmp_path: Path) -> None:
    other = _core.Region.attach(str(tmp_path / "region"))
    readers = [region.trigger_reader(), other.trigger_reader()]
    for i in range(100):
        region.push_trigger(i, 10 * i, i + 1)
    for reader in readers:
        assert [reader.read() for _ in range(101)] == [(i, 10 * i, i + 1) for i in range(100)] + [None]


def test_a_slow_reader_is_told_what_it_lost(region: _core.Region) -> None:
    reader = region.trigger_reader()
    for i in range(1500):
        region.push_trigger(i, 0, 0)
    first = reader.read()
    assert first is not None and first[0] == 1500 - 1024
    assert reader.lost == 1500 - 1024


def test_waiting_is_bounded_and_a_ring_in_between_is_not_lost(region: _core.Region) -> None:
    seen = region.actuation_bell()
    region.push_trigger(1, 0, 0)
    region.wait_actuation(seen, _core.now_ns() + 60_000_000_000)  # would be a minute if the ring were lost
    seen = region.actuation_bell()
    before = _core.now_ns()
    region.wait_actuation(seen, before + 5_000_000)
    assert _core.now_ns() >= before + 5_000_000


def test_status_fields_are_shared_and_typos_are_errors(region: _core.Region, tmp_path: Path) -> None:
    region.status.speed_um_per_s = 1_200_000
    assert _core.Region.attach(str(tmp_path / "region")).status.speed_um_per_s == 1_200_000
    with pytest.raises(AttributeError):
        region.status.sped = 1  # type: ignore[attr-defined]


def test_a_second_creation_is_refused(region: _core.Region, tmp_path: Path) -> None:
    with pytest.raises(_core.CoreError, match="another line may be running"):
        _core.Region.create(str(tmp_path / "region"), frame_slots=4, slot_bytes=64)


def test_foreign_and_truncated_regions_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(bytes(1 << 20))
    with pytest.raises(_core.CoreError, match="not the shared region"):
        _core.Region.attach(str(foreign))
    short = tmp_path / "short"
    short.write_bytes(b"EDGE")
    with pytest.raises(_core.CoreError, match="truncated"):
        _core.Region.attach(str(short))
    with pytest.raises(_core.CoreError, match="cannot be opened"):
        _core.Region.attach(str(tmp_path / "nowhere"))


def test_a_spin_ends_with_the_ring_or_with_its_time(region: _core.Region) -> None:
    before = region.actuation_bell()
    region.spin_actuation(before, _core.now_ns() + 1_000_000)
    assert region.actuation_bell() == before
    region.push_trigger(1, 0, _core.now_ns())
    region.spin_actuation(before, _core.now_ns() + 3_600_000_000_000)
    assert region.actuation_bell() == before + 1
