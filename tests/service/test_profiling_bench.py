import numpy as np
import pytest

from benchmarks.profiling import EDGE_NS, TURN_NS, Turns, figures


def parts_of(turns: Turns, cost: float, drift: float = 0.0) -> list[tuple[int, int]]:
    """A part every 20 ms, 5 ms ± 10 %; ``cost``: what is added while the process runs; ``drift``: by the end."""
    rng = np.random.default_rng(3)
    end = turns.times_ns[-1] + TURN_NS
    found = []
    for at_ns in range(turns.times_ns[0], end, 20_000_000):
        place = turns.side(at_ns)
        slower = 1 + drift * at_ns / end + (cost if place and place[1] else 0.0)
        found.append((at_ns, round(5e6 * slower * rng.uniform(0.9, 1.1))))
    return found


TURNS = Turns([number * TURN_NS for number in range(30)])


@pytest.mark.parametrize("cost", [0.0, 0.05])
def test_a_cost_is_found_under_a_drift_that_is_ten_times_as_large(cost):
    found = figures(parts_of(TURNS, cost, drift=0.5), TURNS)
    assert found["pairs"] == 29
    low, high = found["p50"]["interval"]
    assert low <= 1 + cost / 1.25 <= high + 0.01
    assert found["p50"]["ratio"] == pytest.approx(1 + cost / 1.25, abs=0.012)


def test_parts_near_a_change_belong_to_neither_side():
    assert TURNS.side(TURN_NS - EDGE_NS + 1) is None
    assert TURNS.side(TURN_NS + EDGE_NS - 1) is None
    assert TURNS.side(TURN_NS + EDGE_NS) == (1, False)
    assert TURNS.side(2 * TURN_NS + EDGE_NS) == (2, True)
    assert TURNS.side(-1) is None
