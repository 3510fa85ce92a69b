"""The inspection loop with engines that say what the test wants."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge import _core
from edge._core import FrameStatus, Reason, Route, Verdict

EMPTY, GOOD, CRACK, STAIN = range(4)
SIZE = 32


class Rig:
    """A region, a ring file and a loop whose gate and classifier answer with ``gate_scores`` and ``second_scores``."""

    def __init__(self, folder: Path) -> None:
        self.region = _core.Region.create(str(folder / "region"), frame_slots=8, slot_bytes=SIZE * SIZE)
        self.records = _core.RecordRing.create(str(folder / "ring"), capacity=256)
        self.verdicts = self.region.verdict_reader()
        self.gate_scores = [0.0, 1.0, 0.0, 0.0]
        self.second_scores = [0.0, 1.0, 0.0, 0.0]
        self.before_gate: Callable[[], None] = lambda: None
        self.next_second: Callable[[], list[float]] = lambda: self.second_scores
        self.looked_at = 0
        self.pixels: np.ndarray | None = None
        self.settings = _core.LoopSettings()
        self.settings.routing = [
            _core.RoutingRow(
                speed_um_per_s=1_000_000, gate_good=0.9, gate_defect=0.8, gate_empty=0.9, classifier_good=0.7
            ),
            _core.RoutingRow(
                speed_um_per_s=2_000_000, gate_good=0.99, gate_defect=0.5, gate_empty=0.9, classifier_good=0.9
            ),
        ]
        self.settings.budget_cap_ns = 2_000_000_000  # the clock of a busy test machine must not decide
        self.settings.window_um = 10_000_000
        self.settings.frame_timeout_ns = 50_000_000
        self.settings.warmup_runs = 5
        self.settings.keep_warm_ns = 0
        self.loop: _core.InspectionLoop | None = None
        self.read = 0

    def start(self, classifier: bool = True) -> None:
        first, second = self.engines(classifier)
        self.loop = _core.InspectionLoop(self.region, self.records, self.settings, first, second)
        self.loop.start()
        wait_for(lambda: self.region.status.loop_state in (_core.LoopState.READY, _core.LoopState.FAULT))
        self.looked_at = 0

    def engines(self, classifier: bool) -> tuple[_core.EngineSlot, _core.EngineSlot | None]:
        second = self._engine(lambda: self.next_second(), lambda: None) if classifier else None
        return self._engine(lambda: self.gate_scores, self._gate_runs), second

    def _gate_runs(self) -> None:
        self.before_gate()
        self.looked_at += 1

    def _engine(self, scores: Callable[[], list[float]], before: Callable[[], None]) -> _core.EngineSlot:
        image, out = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 4), np.float32)

        def run() -> None:
            before()
            out[0] = scores()

        return _core.EngineSlot(
            preprocess=_core.Preprocess(out_width=8, out_height=8), input=image, output=out, run=run
        )

    def wait_until_looked_at(self, frames: int) -> None:
        wait_for(lambda: self.looked_at >= frames)

    def at_speed(self, um_per_s: int) -> None:
        self.region.status.speed_um_per_s = um_per_s
        self.region.status.speed_stamp_ns = _core.now_ns()

    def frame(
        self, part: int, grey: int = 100, status: FrameStatus = FrameStatus.OK, exposed_ns: int | None = None
    ) -> None:
        slot = self.region.claim_slot()
        assert slot is not None
        slot.pixels[:] = grey if self.pixels is None else self.pixels
        slot.publish(
            frame_id=part,
            trigger_id=part,
            encoder_count=part * 10,
            exposure_end_ns=_core.now_ns() if exposed_ns is None else exposed_ns,
            width=SIZE,
            height=SIZE,
            stride=SIZE,
            pixel_format=_core.PixelFormat.MONO8,
            status=status,
        )

    def part(self, part: int, **frame: object) -> _core.VerdictEntry:
        self.region.push_trigger(part, part * 10, _core.now_ns())
        self.frame(part, **frame)  # type: ignore[arg-type]
        return self.verdict()

    def verdict(self) -> _core.VerdictEntry:
        self.read += 1
        wait_for(lambda: self.region.status.parts_decided >= self.read)
        entry = self.verdicts.read()
        assert entry is not None
        return entry


def acknowledge(records: _core.RecordRing, entry: _core.VerdictEntry) -> None:
    """As actuation does when the PLC has the verdict: the record is finished and can be read."""
    records.acknowledge(
        entry.record_index,
        verdict=entry.verdict,
        reason=entry.reason,
        result=_core.PlcResult.ACKED,
        queued_ns=1,
        sent_ns=1,
        ack_ns=1,
    )


def want_two_looks(rig: Rig) -> None:
    rig.settings.routing = [
        _core.RoutingRow(
            speed_um_per_s=1_000_000,
            gate_good=0.9,
            gate_defect=0.8,
            gate_empty=0.9,
            classifier_good=0.7,
            retest_good=0.5,
        )
    ]
    rig.settings.second_view = _core.SecondView.MIRRORED


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.001)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    if rig.loop is not None:
        rig.loop.stop()


def outcome(entry: _core.VerdictEntry) -> tuple[Verdict, Reason, Route, int]:
    return entry.verdict, entry.reason, entry.route, entry.class_id


@pytest.mark.parametrize(
    ("gate", "second", "expected"),
    [
        ([0, 0.95, 0.05, 0], [0, 0, 1, 0], (Verdict.PASS, Reason.NONE, Route.GATE, GOOD)),
        ([0, 0.1, 0.3, 0.6], [0, 1, 0, 0], (Verdict.REJECT, Reason.DEFECT, Route.GATE, STAIN)),
        ([0.95, 0.05, 0, 0], [0, 1, 0, 0], (Verdict.NO_PART, Reason.NONE, Route.GATE, EMPTY)),
        ([0, 0.6, 0.4, 0], [0, 0.7, 0.3, 0], (Verdict.PASS, Reason.NONE, Route.CLASSIFIER, GOOD)),
        ([0, 0.6, 0.4, 0], [0, 0.3, 0.7, 0], (Verdict.REJECT, Reason.DEFECT, Route.CLASSIFIER, CRACK)),
        ([0, 0.6, 0.4, 0], [0, 0.6, 0.3, 0.1], (Verdict.REJECT, Reason.UNCERTAIN, Route.CLASSIFIER, CRACK)),
        ([0, 0.6, float("nan"), 0], [0, 1, 0, 0], (Verdict.REJECT, Reason.ENGINE, Route.GATE, GOOD)),
        ([0, 0.6, 0.4, 0], [0, float("nan"), 0, 0], (Verdict.REJECT, Reason.ENGINE, Route.CLASSIFIER, EMPTY)),
    ],
)
def test_scores_become_verdicts(
    rig: Rig, gate: list[float], second: list[float], expected: tuple[object, ...]
) -> None:
    rig.settings.max_speed_um_per_s = 1_000_000
    rig.start()
    rig.gate_scores, rig.second_scores = gate, second
    assert outcome(rig.part(1)) == expected


def test_thresholds_follow_the_line_speed(rig: Rig) -> None:
    rig.start()
    rig.gate_scores, rig.second_scores = [0, 0.95, 0.05, 0], [0, 0.95, 0.05, 0]
    routes = []
    for part, speed in enumerate((-800_000, 800_000, 1_500_000), 1):
        rig.at_speed(speed)
        routes.append(rig.part(part).route)
    assert routes == [Route.GATE, Route.GATE, Route.CLASSIFIER]


def test_a_belt_faster_than_the_table_passes_nothing(rig: Rig) -> None:
    rig.start()
    rig.at_speed(2_000_001)
    assert outcome(rig.part(1))[:2] == (Verdict.REJECT, Reason.SPEED)
    assert rig.region.status.speed_outside_table == 1


def test_a_slower_row_is_taken_only_when_the_belt_is_clearly_slower(rig: Rig) -> None:
    rig.settings.routing_hysteresis, rig.settings.braking_um_per_s2 = 0.05, 0
    rig.start()
    rig.gate_scores, rig.second_scores = [0, 0.95, 0.05, 0], [0, 0.95, 0.05, 0]
    routes = []
    for part, speed in enumerate((990_000, 1_010_000, 990_000, 951_000, 949_000, 990_000), 1):
        rig.at_speed(speed)
        routes.append(rig.part(part).route.name)
    assert routes == ["GATE", "CLASSIFIER", "CLASSIFIER", "CLASSIFIER", "GATE", "GATE"]


def test_a_reading_that_drops_faster_than_a_belt_brakes_gives_no_longer_budget(rig: Rig) -> None:
    rig.settings.budget_cap_ns, rig.settings.window_um = 15_000_000, 18_000
    rig.settings.braking_um_per_s2 = 1_000  # within this test nothing
    rig.start()
    budgets = []
    for part, speed in enumerate((1_800_000, 100_000, -50_000), 1):
        rig.at_speed(speed)
        entry = rig.part(part)
        budgets.append(round((entry.deadline_ns - entry.received_ns) / 1e6, 1))
    assert budgets == [10.0, 10.0, 10.0]


def test_without_a_classifier_uncertain_parts_are_rejected(rig: Rig) -> None:
    rig.start(classifier=False)
    rig.gate_scores = [0, 0.6, 0.4, 0]
    assert outcome(rig.part(1))[:2] == (Verdict.REJECT, Reason.UNCERTAIN)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"grey": 3}, Reason.UNDEREXPOSED),
        ({"grey": 254}, Reason.OVEREXPOSED),
        ({"status": FrameStatus.INCOMPLETE}, Reason.FRAME_TORN),
        ({"status": FrameStatus.CORRUPT}, Reason.FRAME_CORRUPT),
        ({"status": FrameStatus.OVERSIZE}, Reason.FRAME_OVERSIZE),
        ({"exposed_ns": 1}, Reason.FRAME_STALE),
    ],
)
def test_a_frame_that_cannot_be_judged_is_rejected_with_its_reason(
    rig: Rig, frame: dict[str, object], reason: Reason
) -> None:
    rig.start()
    assert outcome(rig.part(1, **frame))[:2] == (Verdict.REJECT, reason)


def test_the_light_of_every_frame_that_was_looked_at_is_told(rig: Rig) -> None:
    rig.pixels = np.full(SIZE * SIZE, 100, np.uint8)
    rig.start()
    for part in range(1, 4):
        rig.part(part)
    rig.part(4, status=FrameStatus.CORRUPT)
    assert rig.region.status.light_frames == 3
    assert rig.region.status.light_sum_milli == pytest.approx(300_000, abs=3000)


def test_a_part_without_a_frame_is_rejected_and_its_late_frame_is_not_judged(rig: Rig) -> None:
    rig.start()
    rig.region.push_trigger(1, 0, _core.now_ns())
    assert outcome(rig.verdict())[:2] == (Verdict.REJECT, Reason.FRAME_LOST)
    rig.frame(1)
    wait_for(lambda: rig.region.status.frames_orphaned == 1)
    assert rig.part(2).part_id == 2
    assert rig.verdicts.read() is None


def test_a_late_verdict_is_a_reject_and_what_the_engines_said_is_kept(rig: Rig) -> None:
    rig.settings.budget_cap_ns = 20_000_000
    rig.start(classifier=False)
    rig.before_gate = lambda: time.sleep(0.03)
    entry = rig.part(1)
    assert outcome(entry)[:2] == (Verdict.REJECT, Reason.OVERRUN)
    reader_record = _read_back(rig, entry)
    assert reader_record["judged_verdict"] == Verdict.PASS


def _read_back(rig: Rig, entry: _core.VerdictEntry) -> np.void:
    # The reader of the fixture's ring begins at its head, so a new part is read instead.
    reader = rig.records.reader()
    acknowledge(rig.records, rig.part(entry.part_id + 1))
    return reader.read()[0]


def test_no_time_for_the_classifier_means_reject(rig: Rig) -> None:
    rig.settings.budget_cap_ns = 500_000_000
    rig.start()
    rig.region.status.plc_write_p999_ns = 400_000_000
    rig.before_gate = lambda: time.sleep(0.15)
    rig.gate_scores = [0, 0.6, 0.4, 0]
    assert outcome(rig.part(1))[:2] == (Verdict.REJECT, Reason.NO_TIME)


def test_a_classifier_that_was_held_up_once_is_asked_again_when_fresh_runs_are_fast(rig: Rig) -> None:
    rig.settings.budget_cap_ns = 400_000_000
    rig.settings.keep_warm_ns = 8_000_000
    runs = 0

    def held_up_once() -> list[float]:
        nonlocal runs
        runs += 1
        if runs == rig.settings.warmup_runs:
            time.sleep(0.6)
        return rig.second_scores

    rig.next_second = held_up_once
    rig.gate_scores = [0, 0.6, 0.4, 0]
    rig.start()
    assert outcome(rig.part(1))[:2] == (Verdict.REJECT, Reason.NO_TIME)
    end = time.monotonic() + 30
    # The belt never rests: between two parts there is time for what a run usually takes, not for the worst one.
    for part in itertools.count(2):
        time.sleep(0.02)
        if outcome(rig.part(part))[:3] == (Verdict.PASS, Reason.NONE, Route.CLASSIFIER):
            break
        assert time.monotonic() < end, f"{runs} runs"


def test_a_plc_whose_tail_alone_leaves_no_time_is_doubted(rig: Rig) -> None:
    rig.settings.budget_cap_ns = 2_000_000_000
    rig.gate_scores = [0, 0.6, 0.4, 0]
    rig.start()
    status = rig.region.status
    status.plc_write_p50_ns, status.plc_write_p999_ns = 1_000_000, 3_000_000_000
    assert outcome(rig.part(1))[:2] == (Verdict.REJECT, Reason.NO_TIME)
    assert status.plc_tail_doubts == 1
    status.plc_write_p50_ns = 3_000_000_000  # usually so slow: no reason for doubt
    assert outcome(rig.part(2))[:2] == (Verdict.REJECT, Reason.NO_TIME)
    assert status.plc_tail_doubts == 1


def test_no_time_for_the_second_look_means_reject(rig: Rig) -> None:
    rig.settings.max_speed_um_per_s = 1_000_000
    rig.settings.budget_cap_ns = 500_000_000
    want_two_looks(rig)
    rig.start()
    rig.region.status.plc_write_p999_ns = 300_000_000
    rig.gate_scores = [0, 0.6, 0.4, 0]

    def slow() -> list[float]:
        time.sleep(0.25)
        return [0, 0.99, 0.01, 0]

    rig.next_second = slow
    assert outcome(rig.part(1))[:3] == (Verdict.REJECT, Reason.NO_TIME, Route.CLASSIFIER)


def test_the_budget_shrinks_with_the_speed(rig: Rig) -> None:
    rig.settings.budget_cap_ns, rig.settings.window_um = 15_000_000, 18_000
    rig.start()
    budgets = []
    for part, speed in enumerate((0, 600_000, 1_200_000, 2_400_000), 1):
        rig.region.status.speed_um_per_s = speed
        rig.region.status.speed_stamp_ns = _core.now_ns()
        entry = rig.part(part)
        budgets.append(entry.deadline_ns - entry.received_ns)
    assert budgets == [15_000_000, 15_000_000, 15_000_000, 7_500_000]


def test_an_unknown_speed_counts_as_the_highest(rig: Rig) -> None:
    rig.settings.budget_cap_ns, rig.settings.window_um = 15_000_000, 18_000
    rig.settings.max_speed_um_per_s = 3_000_000
    rig.start()
    entry = rig.part(1)
    assert entry.deadline_ns - entry.received_ns == 6_000_000


def test_a_failing_engine_rejects_and_ends_ready_until_it_works_again(rig: Rig) -> None:
    rig.start(classifier=False)

    def fail() -> None:
        raise RuntimeError("engine")

    rig.before_gate = fail
    for part in range(1, 6):
        assert outcome(rig.part(part))[:2] == (Verdict.REJECT, Reason.ENGINE)
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.FAULT)
    assert rig.region.status.engine_faults == 5
    rig.before_gate = lambda: None
    assert rig.part(6).verdict is Verdict.PASS
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.READY)


def test_scores_that_are_not_numbers_end_ready_like_a_failing_engine(rig: Rig) -> None:
    rig.start(classifier=False)
    rig.gate_scores = [0, float("nan"), 0, 0]
    for part in range(1, 6):
        assert outcome(rig.part(part))[:2] == (Verdict.REJECT, Reason.ENGINE)
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.FAULT)


def test_a_failing_classifier_ends_ready_though_the_gate_works(rig: Rig) -> None:
    rig.start()
    rig.gate_scores, rig.second_scores = [0, 0.6, 0.4, 0], [0, float("nan"), 0, 0]
    for part in range(1, 6):
        assert outcome(rig.part(part))[1:3] == (Reason.ENGINE, Route.CLASSIFIER)
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.FAULT)
    rig.second_scores = [0, 0.9, 0.1, 0]
    assert rig.part(6).verdict is Verdict.PASS
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.READY)


def test_a_loop_that_waits_awake_judges_as_ever(rig: Rig) -> None:
    rig.settings.anticipate = True
    rig.start()
    for part in range(1, 8):
        rig.gate_scores = [0, 0.95, 0.05, 0] if part % 2 else [0, 0.1, 0.3, 0.6]
        entry = rig.part(part, grey=60 + 20 * part)
        assert entry.part_id == part
        assert entry.verdict is (Verdict.PASS if part % 2 else Verdict.REJECT)
    # It was told of before it came.
    status = rig.region.status
    assert 0 < status.verdict_from_ns < entry.decided_ns


def test_the_loop_beats_without_parts_and_stops(rig: Rig) -> None:
    rig.start()
    first = rig.region.status.loop_beat_ns
    wait_for(lambda: rig.region.status.loop_beat_ns > first)
    assert rig.loop is not None
    rig.loop.stop()
    assert not rig.loop.running
    assert rig.region.status.loop_state == _core.LoopState.STOPPED


def test_no_part_passes_the_classifier_on_one_look_where_two_are_wanted(rig: Rig) -> None:
    rig.settings.max_speed_um_per_s = 1_000_000
    want_two_looks(rig)
    rig.start()
    rig.gate_scores = [0, 0.6, 0.4, 0]
    outcomes = []
    cases = [(0.6, 0.9), (0.95, 0.3), (0.6, 0.7), (0.4, 1.0), (0.6, float("nan"))]
    for part, looks in enumerate(cases, 1):
        coming = iter(looks)
        rig.next_second = lambda coming=coming: [0, (good := next(coming)), 1 - good, 0]
        entry = rig.part(part)
        outcomes.append((entry.verdict.name, entry.reason.name, len(list(coming))))
    assert outcomes == [
        ("PASS", "NONE", 0),
        ("REJECT", "UNCERTAIN", 0),
        ("REJECT", "UNCERTAIN", 0),
        ("REJECT", "DEFECT", 1),  # not doubtful: the second score was never asked for
        ("REJECT", "ENGINE", 0),
    ]


def test_the_frames_of_a_part_become_one_verdict(rig: Rig) -> None:
    rig.settings.frames_per_part = 3
    rig.start(classifier=False)
    good, bad = [0, 1.0, 0, 0], [0, 0, 0, 1.0]
    outcomes = []
    for part, frames in enumerate(([good, good, good], [good, bad, good], [[1.0, 0, 0, 0]] * 3), 1):
        rig.region.push_trigger(part, part * 10, _core.now_ns())
        for number, scores in enumerate(frames, 1):
            rig.gate_scores = scores
            rig.frame(part)
            rig.wait_until_looked_at(number)
        rig.looked_at = 0
        entry = rig.verdict()
        outcomes.append((entry.verdict.name, entry.reason.name, entry.class_id))
    assert outcomes == [("PASS", "NONE", GOOD), ("REJECT", "DEFECT", STAIN), ("NO_PART", "NONE", EMPTY)]


def test_a_majority_may_outvote_one_frame_but_not_a_tie(rig: Rig) -> None:
    rig.settings.frames_per_part, rig.settings.fusion = 2, _core.Fusion.MAJORITY
    rig.start(classifier=False)
    rig.region.push_trigger(1, 10, _core.now_ns())
    for number, scores in enumerate(([0, 1.0, 0, 0], [0, 0, 1.0, 0]), 1):
        rig.gate_scores = scores
        rig.frame(1)
        rig.wait_until_looked_at(number)
    assert outcome(rig.verdict())[:2] == (Verdict.REJECT, Reason.DEFECT)


def test_a_part_of_which_a_frame_is_missing_is_rejected_in_time(rig: Rig) -> None:
    rig.settings.frames_per_part = 2
    rig.settings.frame_timeout_ns = 10_000_000_000
    rig.settings.budget_cap_ns = 60_000_000
    rig.start(classifier=False)
    entry = rig.part(1)
    assert outcome(entry)[:2] == (Verdict.REJECT, Reason.FRAME_LOST)


def test_rules_decide_what_becomes_of_a_defect(rig: Rig) -> None:
    rig.settings.rules = [
        _core.Rule(class_id=STAIN, action=_core.Action.PASS),
        _core.Rule(class_id=CRACK, min_score=0.99, action=_core.Action.HOLD_LINE, bin=2),
        _core.Rule(class_id=CRACK, action=_core.Action.REWORK, bin=1),
    ]
    rig.start(classifier=False)
    decided = []
    for part, scores in enumerate(([0, 0, 0, 1.0], [0, 0.1, 0.9, 0], [0, 0, 1.0, 0]), 1):
        rig.gate_scores = scores
        entry = rig.part(part)
        decided.append((entry.verdict.name, entry.action.name, entry.bin))
    assert decided == [("PASS", "PASS", 0), ("REJECT", "REWORK", 1), ("REJECT", "HOLD_LINE", 2)]
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.HELD)
    rig.region.status.holds_released = rig.region.status.holds_wanted
    wait_for(lambda: rig.region.status.loop_state == _core.LoopState.READY)


def test_a_class_at_its_own_limit_never_passes(rig: Rig) -> None:
    rig.settings.classes = _core.ClassRoles(good=GOOD, empty=EMPTY, limits=[2, 2, 0.02, 2])
    rig.start()
    rig.gate_scores, rig.second_scores = [0, 0.99, 0.01, 0], [0, 0.97, 0.03, 0]
    assert outcome(rig.part(1))[::2] == (Verdict.PASS, Route.GATE)
    rig.gate_scores = [0, 0.97, 0.03, 0]
    assert outcome(rig.part(2)) == (Verdict.REJECT, Reason.DEFECT, Route.CLASSIFIER, CRACK)


def test_a_blurred_frame_is_not_judged(rig: Rig) -> None:
    rig.settings.min_sharpness = 5.0
    rig.start()
    rng = np.random.default_rng(1)
    rig.pixels = rng.integers(20, 230, SIZE * SIZE, dtype=np.uint8)
    assert outcome(rig.part(1))[0] is Verdict.PASS
    ramp = np.tile(np.linspace(60, 180, SIZE), SIZE)
    rig.pixels = ramp.astype(np.uint8)
    assert outcome(rig.part(2))[:2] == (Verdict.REJECT, Reason.BLURRED)


def test_a_frame_that_waited_too_long_is_stale(rig: Rig) -> None:
    rig.settings.max_frame_age_ns = 1
    rig.start()
    assert outcome(rig.part(1))[:2] == (Verdict.REJECT, Reason.FRAME_STALE)


def test_calibrated_scores_are_compared_and_raw_ones_are_kept(rig: Rig) -> None:
    # log-odds of 0.6 are 0.405; times 6 that is 0.919 as a probability
    rig.settings.gate_scores = _core.ScoreCalibration(good=_core.ScoreMap(gain=6.0))
    rig.settings.max_speed_um_per_s = 1_000_000
    rig.start(classifier=False)
    rig.gate_scores = [0, 0.6, 0.4, 0]
    assert outcome(rig.part(1))[0] is Verdict.PASS
    record = _read_back(rig, rig.part(2))
    assert record["gate_raw_good"] == pytest.approx(0.6)
    assert record["gate_good"] == pytest.approx(0.919, abs=1e-3)
    assert (record["limit_gate_good"], record["row_um_per_s"]) == (pytest.approx(0.9), 1_000_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": [_core.Rule(class_id=4)]}, "names a class or a zone"),
        ({"rules": [_core.Rule(zone=0)]}, "names a class or a zone"),
        ({"classes": _core.ClassRoles(good=4, empty=0)}, "no output for the good"),
    ],
)
def test_settings_that_do_not_fit_the_engines_are_refused(
    rig: Rig, change: dict[str, object], message: str
) -> None:
    for name, value in change.items():
        setattr(rig.settings, name, value)
    with pytest.raises(_core.CoreError, match=message):
        rig.start()


def test_a_threshold_that_is_no_number_is_refused(rig: Rig) -> None:
    row = _core.RoutingRow(
        speed_um_per_s=1, gate_good=float("nan"), gate_defect=1, gate_empty=1, classifier_good=1
    )
    rig.settings.routing = [row]
    with pytest.raises(_core.CoreError, match="no number"):
        rig.start()


def test_an_empty_routing_table_is_refused(rig: Rig) -> None:
    rig.settings.routing = []
    with pytest.raises(_core.CoreError, match="routing table is empty"):
        rig.start()
