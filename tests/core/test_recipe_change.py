"""Changing the recipe of a running loop: from which part on, what is refused, and what a new loop goes on with."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge import _core
from edge._core import Reason, Verdict
from tests.core.test_loop import Rig, acknowledge, wait_for

FIRST, SECOND = 3, 4


class Engine:
    """Says ``scores``; fails while there are none."""

    def __init__(self, scores: list[float] | None) -> None:
        self.scores = scores
        self.runs = 0
        self._image, self._out = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 4), np.float32)
        self.slot = _core.EngineSlot(
            preprocess=_core.Preprocess(out_width=8, out_height=8),
            input=self._image,
            output=self._out,
            run=self._run,
        )

    def _run(self) -> None:
        if self.scores is None:
            raise RuntimeError("engine")
        self.runs += 1
        self._out[0] = self.scores


def recipe(rig: Rig, number: int) -> _core.RecipeSettings:
    settings = _core.RecipeSettings()
    settings.number, settings.routing = number, rig.settings.routing
    return settings


class Line:
    """The rig's loop as recipe 3, which passes, and recipe 4, whose gate says ``other.scores``."""

    def __init__(self, rig: Rig, scores: list[float] | None) -> None:
        self.rig, self.other = rig, Engine(scores)
        self.first = Engine([0.0, 1.0, 0.0, 0.0])
        self.reader = rig.records.reader()
        rig.settings.number, rig.settings.change_pause_ns = FIRST, 0
        self.start()

    def start(self) -> None:
        rig = self.rig
        rig.loop = _core.InspectionLoop(rig.region, rig.records, rig.settings, self.first.slot, None)
        rig.loop.add_recipe(recipe(rig, SECOND), self.other.slot, None)
        rig.loop.start()
        wait_for(lambda: rig.region.status.loop_state == _core.LoopState.READY)

    def want(self, number: int) -> None:
        self.rig.region.status.recipe_wanted = number
        self.rig.region.ring_loop()

    def records(self) -> list[np.void]:
        return list(self.reader.read(64))

    def acknowledge(self, entry: _core.VerdictEntry) -> None:
        acknowledge(self.rig.records, entry)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    if rig.loop is not None:
        rig.loop.stop()


REJECTS = [0.0, 0.0, 1.0, 0.0]


def test_parts_seen_before_the_change_keep_their_recipe(rig: Rig) -> None:
    rig.settings.frame_timeout_ns = 10_000_000_000
    line, status = Line(rig, REJECTS), rig.region.status
    rig.region.push_trigger(1, 0, _core.now_ns())
    line.want(SECOND)
    wait_for(lambda: status.recipe_active == SECOND)
    rig.region.push_trigger(2, 0, _core.now_ns())
    for part in (2, 1):
        rig.frame(part)
    entries = {entry.part_id: entry for entry in (rig.verdict(), rig.verdict())}
    assert (entries[1].verdict, entries[2].verdict) == (Verdict.PASS, Verdict.REJECT)
    for entry in entries.values():
        line.acknowledge(entry)
    assert {int(r["part_id"]): int(r["recipe"]) for r in line.records()} == {1: FIRST, 2: SECOND}


def test_the_frames_of_one_part_are_judged_by_one_recipe(rig: Rig) -> None:
    rig.settings.frame_timeout_ns = 10_000_000_000
    rig.settings.frames_per_part = 2
    line = Line(rig, REJECTS)
    rig.region.push_trigger(1, 0, _core.now_ns())
    before = line.first.runs
    rig.frame(1)
    wait_for(lambda: line.first.runs > before)
    line.want(SECOND)
    wait_for(lambda: rig.region.status.recipe_active == SECOND)
    rig.frame(1)
    assert rig.verdict().verdict is Verdict.PASS


def test_a_part_without_a_frame_is_told_with_the_recipe_of_its_trigger(rig: Rig) -> None:
    rig.settings.frame_timeout_ns = 300_000_000
    line = Line(rig, REJECTS)
    rig.region.push_trigger(1, 0, _core.now_ns())
    line.want(SECOND)
    entry = rig.verdict()
    assert entry.reason is Reason.FRAME_LOST
    line.acknowledge(entry)
    assert [int(r["recipe"]) for r in line.records()] == [FIRST]
    assert rig.region.status.recipe_active == SECOND


def test_an_unknown_number_is_refused_and_the_recipe_stays(rig: Rig) -> None:
    line, status = Line(rig, REJECTS), rig.region.status
    line.want(9)
    wait_for(lambda: status.recipe_refused == 9)
    assert status.recipe_active == FIRST
    assert rig.part(1).verdict is Verdict.PASS
    line.want(SECOND)
    wait_for(lambda: status.recipe_active == SECOND)


def test_a_recipe_whose_engine_fails_is_refused_until_it_works(rig: Rig) -> None:
    rig.settings.keep_warm_ns = 1_000_000
    line, status = Line(rig, None), rig.region.status
    assert status.loop_state == _core.LoopState.READY
    line.want(SECOND)
    wait_for(lambda: status.recipe_refused == SECOND)
    assert rig.part(1).verdict is Verdict.PASS
    line.other.scores = REJECTS
    wait_for(lambda: line.other.runs > 0)  # kept warm, though it does not run
    status.recipe_refused = 0
    wait_for(lambda: status.recipe_active == SECOND)
    assert rig.part(2).verdict is Verdict.REJECT


def test_a_loop_that_follows_a_killed_one_goes_on_with_its_recipe(rig: Rig) -> None:
    line, status = Line(rig, REJECTS), rig.region.status
    line.want(SECOND)
    wait_for(lambda: status.recipe_active == SECOND)
    assert rig.loop is not None
    rig.loop.stop()
    line.want(9)  # refused: the one that ran stays
    line.start()
    assert status.recipe_active == SECOND
    assert rig.part(1).verdict is Verdict.REJECT


def test_recipes_are_bounded_in_number_and_each_number_is_one(rig: Rig) -> None:
    rig.settings.number = FIRST
    rig.loop = _core.InspectionLoop(rig.region, rig.records, rig.settings, Engine(REJECTS).slot, None)
    with pytest.raises(_core.CoreError, match="two recipes have the number 3"):
        rig.loop.add_recipe(recipe(rig, FIRST), Engine(REJECTS).slot, None)
    for number in range(10, 25):
        rig.loop.add_recipe(recipe(rig, number), Engine(REJECTS).slot, None)
    with pytest.raises(_core.CoreError, match="more than 16 recipes"):
        rig.loop.add_recipe(recipe(rig, 30), Engine(REJECTS).slot, None)


def stand_by(line: Line, scores: list[float] | None) -> Engine:
    """A new loop in which one that says ``scores`` stands by for the first recipe."""
    rig = line.rig
    assert rig.loop is not None
    rig.loop.stop()
    before = Engine(scores)

    def start() -> None:
        rig.loop = _core.InspectionLoop(rig.region, rig.records, rig.settings, line.first.slot, None)
        rig.loop.add_recipe(recipe(rig, SECOND), line.other.slot, None)
        settings = recipe(rig, FIRST)
        settings.earlier = True
        rig.loop.add_recipe(settings, before.slot, None)
        rig.loop.start()
        wait_for(lambda: rig.region.status.loop_state == _core.LoopState.READY)

    line.start = start  # type: ignore[method-assign]
    start()
    return before


def test_a_recipe_that_is_taken_back_gives_way_between_two_parts_and_for_good(rig: Rig) -> None:
    rig.settings.frame_timeout_ns = 10_000_000_000
    line, status = Line(rig, REJECTS), rig.region.status
    stand_by(line, REJECTS)
    rig.region.push_trigger(1, 0, _core.now_ns())
    status.rollback_wanted = 1
    rig.region.ring_loop()
    wait_for(lambda: status.rolled_back == 1)
    rig.region.push_trigger(2, 0, _core.now_ns())
    for part in (2, 1):
        rig.frame(part)
    entries = {entry.part_id: entry for entry in (rig.verdict(), rig.verdict())}
    assert (entries[1].verdict, entries[2].verdict) == (Verdict.PASS, Verdict.REJECT)
    for entry in entries.values():
        line.acknowledge(entry)
    by = {int(r["part_id"]): (int(r["recipe"]), int(r["recipe_earlier"])) for r in line.records()}
    assert by == {1: (FIRST, 0), 2: (FIRST, 1)}
    assert rig.loop is not None
    rig.loop.stop()  # killed: its successor does not go back to what was taken back
    line.start()
    assert rig.part(3).verdict is Verdict.REJECT
    for number in (SECOND, FIRST):
        line.want(number)
        wait_for(lambda number=number: status.recipe_active == number)  # type: ignore[misc]
    assert rig.part(4).verdict is Verdict.REJECT


@pytest.mark.parametrize("bit", [1, 2], ids=["its engines fail", "nothing stands by"])
def test_what_cannot_be_taken_back_is_refused_and_judges_on(rig: Rig, bit: int) -> None:
    line, status = Line(rig, REJECTS), rig.region.status
    stand_by(line, None)
    status.rollback_wanted = bit
    rig.region.ring_loop()
    wait_for(lambda: status.rollback_refused == bit)
    assert status.rolled_back == 0
    assert rig.part(1).verdict is Verdict.PASS


def test_only_one_stands_by_for_a_recipe_that_there_is(rig: Rig) -> None:
    line = Line(rig, REJECTS)
    stand_by(line, REJECTS)
    assert rig.loop is not None
    rig.loop.stop()
    settings = recipe(rig, FIRST)
    settings.earlier = True
    for number in (FIRST, 9):
        settings.number = number
        with pytest.raises(_core.CoreError, match=f"no recipe, or two earlier ones, of the number {number}"):
            rig.loop.add_recipe(settings, Engine(REJECTS).slot, None)
