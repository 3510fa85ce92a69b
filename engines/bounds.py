"""Exact binomial bounds. Clopper and Pearson, Biometrika 26 (1934); one-sided here."""

import math

_STEPS = 200
"""Bisections; the interval is far below float resolution after 60, and each step is cheap."""


def binomial_cdf(successes: int, trials: int, p: float) -> float:
    """P(X ≤ successes) for X ~ Bin(trials, p), summed exactly."""
    _check(successes, trials)
    if p <= 0 or successes == trials:
        return 1.0
    if p >= 1:
        return 0.0
    log_p, log_q = math.log(p), math.log1p(-p)
    constant = math.lgamma(trials + 1)
    terms = [
        constant - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_p + (trials - k) * log_q
        for k in range(successes + 1)
    ]
    top = max(terms)
    return min(1.0, math.exp(top) * math.fsum(math.exp(term - top) for term in terms))


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """The rate that is not exceeded with this confidence; 1 without trials."""
    _check(successes, trials)
    if trials in (0, successes):
        return 1.0
    delta = 1 - confidence
    if successes == 0:
        return 1 - math.exp(math.log(delta) / trials)
    low, high = successes / trials, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if binomial_cdf(successes, trials, middle) > delta else (low, middle)
    return high


def p_value(successes: int, trials: int, rate: float) -> float:
    """Of the hypothesis that the true rate is ``rate`` or more, having seen so few."""
    return binomial_cdf(successes, trials, rate) if trials else 1.0


def trials_needed(rate: float, confidence: float = 0.95) -> int:
    """Trials without one success that show the rate is not exceeded: 2,995 for 0.1 % at 95 %."""
    if not 0 < rate < 1:
        raise ValueError(f"a rate of {rate}: expected between 0 and 1")
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate))


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials: expected 0 to {trials}")
