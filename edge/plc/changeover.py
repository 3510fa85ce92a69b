"""The recipe that the PLC wants, handed to the loop, and what became of it."""

import logging
from collections.abc import Sequence

from edge._core import Region
from edge.plc.registers import FaultCode

log = logging.getLogger("edge.plc")


class Changeover:
    """Between the PLC's ``recipe_request`` and the loop, through the status of the region.

    The loop changes between two parts; until then, and while a request stands that was refused, READY is down: the
    parts that the PLC is about to send would be judged by another recipe than it believes.

    A recipe that a watch takes back is no wish of the PLC's: its number stays, the one before it answers to it, and the
    PLC gets an alarm. Where nothing can take its place, nobody vouches for what is judged now: READY is down.
    """

    def __init__(self, region: Region, known: Sequence[int]) -> None:
        """``known``: the line's own number first; where a number stands is its bit in the words of the rollback."""
        self._region = region
        self._status = region.status
        self._known = frozenset(known) - {0}
        self._bits = {number: 1 << i for i, number in enumerate(known)}
        self._told = (self.active, 0)
        self._alarms_seen = 0
        self.wanted = 0
        """As the PLC said last; 0: nothing."""

    def request(self, number: int) -> None:
        """A reading of ``recipe_request``; only a change of it is news."""
        if number == self.wanted:
            return
        self.wanted = number
        if number not in self._known:
            if number:
                log.error("the PLC asks for recipe %d, which is none of %s", number, sorted(self._known))
            return
        self._status.recipe_refused = 0
        self._status.recipe_wanted = number
        self._region.ring_loop()

    @property
    def active(self) -> int:
        """Number of the recipe of the parts to come."""
        return self._status.recipe_active

    @property
    def fault(self) -> FaultCode:
        """RECIPE while a request stands that cannot be fulfilled, or while the recipe that runs should not."""
        if self._status.rollback_refused & self._bit:
            return FaultCode.RECIPE
        if self.wanted and self.wanted != self.active:
            refused = self.wanted not in self._known or self._status.recipe_refused == self.wanted
            return FaultCode.RECIPE if refused else FaultCode.NONE
        return FaultCode.NONE

    @property
    def under_way(self) -> bool:
        """Asked for and not yet answered."""
        status = self._status
        taking_back = status.rollback_wanted & ~(status.rolled_back | status.rollback_refused) & self._bit
        return bool(taking_back) or (self.wanted not in {0, self.active} and self.fault is FaultCode.NONE)

    @property
    def taken_back(self) -> bool:
        """Whether the one before it judges in place of the active recipe."""
        return bool(self._status.rolled_back & self._bit)

    @property
    def alarm(self) -> FaultCode:
        """Something was taken back since the last ``reset``; READY does not hang on it."""
        news = self._status.rolled_back & ~self._alarms_seen
        return FaultCode.RECIPE_TAKEN_BACK if news else FaultCode.NONE

    def reset(self) -> None:
        """The PLC has seen the alarm."""
        self._alarms_seen = self._status.rolled_back

    def news(self) -> bool:
        """Whether something was answered since the last call: the PLC should hear of it at once."""
        answer = self.active if self.fault is FaultCode.NONE else -self.wanted
        told, self._told = self._told, (answer, self._status.rolled_back | self._status.rollback_refused)
        return told != self._told

    @property
    def _bit(self) -> int:
        return self._bits.get(self.active, 0)
