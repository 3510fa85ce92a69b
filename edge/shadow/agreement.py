"""Line and candidate on the same parts: how often they agree, and whether so much may be claimed of the candidate."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from edge._core import Verdict
from edge.shadow.candidate import Opinion
from engines.bounds import trials_needed, upper_bound


class Kind(Enum):
    """How two opinions about a part differ; the value is what a file name says."""

    SAME = "same"
    OTHER = "other-name"
    """Same verdict, another class."""
    HARDER = "harder"
    """The candidate rejects what the line lets through: overkill, or an escape of the line found."""
    SOFTER = "softer"
    """The candidate lets through what the line rejects: an escape, or overkill of the line cured."""


@dataclass(frozen=True)
class Claim:
    """What a candidate must keep to pass: shares of all compared parts, shown at ``confidence``."""

    softer: float = 0.01
    harder: float = 0.05
    confidence: float = 0.95

    @property
    def needed(self) -> int:
        """Parts without which nothing can be shown."""
        return max(trials_needed(share, self.confidence) for share in (self.softer, self.harder))


def kind_of(line: Opinion, candidate: Opinion) -> Kind:
    """A part that is none (``no_part``) is let through."""
    rejects = line.verdict is Verdict.REJECT, candidate.verdict is Verdict.REJECT
    if rejects == (True, False):
        return Kind.SOFTER
    if rejects == (False, True):
        return Kind.HARDER
    return Kind.SAME if line.label == candidate.label else Kind.OTHER


@dataclass
class Agreement:
    """Counts of compared parts."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    table: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(line, candidate), each ``verdict class``."""
    candidate: Counter[str] = field(default_factory=Counter)
    """Parts by the candidate's ``verdict class``, and ``escalated``."""
    line: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    """Parts about which the candidate's engines said NaN."""

    @property
    def parts(self) -> int:
        """Compared so far."""
        return self.kinds.total()

    def add(self, line: Opinion, candidate: Opinion) -> Kind:
        """One part."""
        kind = kind_of(line, candidate)
        self.kinds[kind] += 1
        self.table[outcome(line), outcome(candidate)] += 1
        self.invalid += not candidate.valid
        for counter, opinion in ((self.line, line), (self.candidate, candidate)):
            counter[outcome(opinion)] += 1
            counter["escalated"] += opinion.escalated
        return kind

    def refused(self, claim: Claim) -> tuple[str, ...]:
        """Why the candidate does not pass; empty: it does."""
        if self.parts < claim.needed:
            return (self._too_few(claim),)
        found = []
        for kind, allowed in ((Kind.SOFTER, claim.softer), (Kind.HARDER, claim.harder)):
            count = self.kinds[kind]
            bound = upper_bound(count, self.parts, claim.confidence)
            if bound > allowed:
                found.append(
                    f"{kind.value}: {count} of {self.parts} parts, at most {100 * bound:.2f} % at "
                    f"{100 * claim.confidence:g} % confidence; allowed {100 * allowed:g} %: look at the pictures, run "
                    f"longer, or allow more (--{kind.value})"
                )
        if self.invalid:
            found.append(f"the engines gave no valid scores for {self.invalid} parts; expected none")
        return tuple(found)

    def _too_few(self, claim: Claim) -> str:
        supported = upper_bound(self.kinds[Kind.SOFTER], self.parts, claim.confidence)
        return (
            f"{self.parts} parts compared; at least {claim.needed} are needed to show --softer {claim.softer:g} and "
            f"--harder {claim.harder:g} at {100 * claim.confidence:g} % confidence: run it longer. These support: "
            f"--softer {supported:.4f}"
        )


def outcome(opinion: Opinion) -> str:
    """``reject crack``, ``pass flawless`` …"""
    return f"{opinion.verdict.name.lower()} {opinion.label}"
