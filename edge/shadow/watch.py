"""A line held against what its engines did in the shadow: leaving that range is no noise, and takes them back.

Each share (of every verdict and class, of escalated parts, of frames darker or brighter than usual) has an exact
binomial interval from the shadow run. Windows of live parts are tested against its ends. The probability of one false
alarm in the whole life of a watch is bounded: half of it is for the intervals, the other half is spent over all looks,
look ``j`` getting its ``1 / (j (j + 1))``, and within a look shared by all tests.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from edge.errors import ConfigError
from edge.shadow.agreement import outcome
from edge.shadow.candidate import Opinion
from edge.shadow.report import ShadowReport
from engines.bounds import binomial_cdf, upper_bound

LEAST = 100
"""Parts of a shadow run that a range can be made of."""
ESCALATED, LIGHT, ELSE = "escalated", "unusual brightness", "any other outcome"
_LONG = 10
"""Windows that are looked at together as well: what is too small for one shows in ten."""


@dataclass(frozen=True)
class Allowed:
    """One share."""

    low: float
    high: float


@dataclass(frozen=True)
class Left:
    """A share that left its range."""

    what: str
    count: int
    parts: int
    low: float
    high: float

    def in_words(self) -> str:
        """One sentence."""
        return (
            f"{self.what}: {self.count} of {self.parts} parts ({100 * self.count / self.parts:.1f} %); allowed by the "
            f"shadow run {100 * self.low:.1f} to {100 * self.high:.1f} %"
        )


class CertifiedRange:
    """What is allowed of each share."""

    def __init__(self, report: ShadowReport, false_alarm: float) -> None:
        """Raises ConfigError: too few parts."""
        if report.parts < LEAST or report.brightness_range is None:
            raise ConfigError(
                f"the shadow run compared {report.parts} parts; expected at least {LEAST}: run it longer"
            )
        said = {name: count for name, count in report.said_by_candidate.items() if name != ESCALATED}
        counts = {
            **said,
            ELSE: 0,
            ESCALATED: report.said_by_candidate.get(ESCALATED, 0),
            LIGHT: report.brightness_outside,
        }
        self.tests = 2 * len(counts)
        sure = 1 - false_alarm / 2 / self.tests
        n = report.parts
        self.shares = {
            name: Allowed(1 - upper_bound(n - k, n, sure), upper_bound(k, n, sure))
            for name, k in counts.items()
        }
        self._known = set(said)
        self._light = report.brightness_range

    def names(self, said: Opinion, brightness: float) -> Iterable[str]:
        """The shares that a part counts for."""
        found = outcome(said)
        yield found if found in self._known else ELSE
        if said.escalated:
            yield ESCALATED
        if not self._light[0] <= brightness <= self._light[1]:
            yield LIGHT


class Watch:
    """Fed with the parts that the line's engines judged."""

    def __init__(self, allowed: CertifiedRange, *, window: int, false_alarm: float) -> None:
        self._allowed, self._window, self._alarm = allowed, window, false_alarm
        self._short: Counter[str] = Counter()
        self._long: Counter[str] = Counter()
        self.parts = 0
        self.looks = 0

    def add(self, said: Opinion, brightness: float) -> tuple[Left, ...]:
        """What has left its range, known at the end of a window."""
        self._short.update(self._allowed.names(said, brightness))
        self.parts += 1
        if self.parts % self._window:
            return ()
        left = self._look(self._short, self._window)
        self._long += self._short
        self._short.clear()
        if self.parts % (self._window * _LONG) == 0:
            left += self._look(self._long, self._window * _LONG)
            self._long.clear()
        return left

    def _look(self, counts: Counter[str], parts: int) -> tuple[Left, ...]:
        self.looks += 1
        level = self._alarm / 2 / (self.looks * (self.looks + 1)) / self._allowed.tests
        found = []
        for name, share in self._allowed.shares.items():
            count = counts[name]
            too_many = binomial_cdf(parts - count, parts, 1 - share.high)  # P(X ≥ count)
            too_few = binomial_cdf(count, parts, share.low)
            if min(too_many, too_few) < level:
                found.append(Left(name, count, parts, share.low, share.high))
        return tuple(found)
