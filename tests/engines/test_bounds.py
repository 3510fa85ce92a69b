"""Exact bounds against closed forms, tabled values and their own definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.bounds import binomial_cdf, p_value, trials_needed, upper_bound


def test_the_rule_of_three_and_what_the_claim_needs() -> None:
    assert trials_needed(0.001, 0.95) == 2995
    assert upper_bound(0, 2995) <= 0.001 < upper_bound(0, 2994)
    assert trials_needed(0.05, 0.95) == 59


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    # One-sided 95 %: from the quantiles of the beta distribution, Beta(k + 1, n - k).
    [(0, 10, 0.258866), (1, 10, 0.394163), (5, 10, 0.777559), (9, 10, 0.994884), (10, 10, 1.0), (0, 0, 1.0)],
)
def test_tabled_values(successes: int, trials: int, expected: float) -> None:
    assert upper_bound(successes, trials) == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_the_bound_is_where_the_data_become_unlikely(pair: tuple[int, int]) -> None:
    successes, trials = pair
    bound = upper_bound(successes, trials, 0.95)
    assert bound > successes / trials
    assert p_value(successes, trials, bound) == pytest.approx(0.05, rel=1e-6)


def test_the_distribution_sums_terms_as_written_down() -> None:
    exact = sum(math.comb(30, k) * 0.1**k * 0.9 ** (30 - k) for k in range(4))
    assert binomial_cdf(3, 30, 0.1) == pytest.approx(exact, rel=1e-12)
    assert binomial_cdf(30, 30, 0.1) == 1.0


@pytest.mark.parametrize("pair", [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 to 3"):
        upper_bound(*pair)
