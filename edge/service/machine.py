"""Who may use which CPU."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class CpuPlan:
    """The loop has a CPU of its own where there is more than one; everything else keeps off it."""

    loop: int | None
    others: tuple[int, ...]

    @classmethod
    def for_this_machine(cls, wanted_loop: int | None) -> "CpuPlan":
        """``wanted_loop`` None: the last CPU that this process may use."""
        cpus = sorted(os.sched_getaffinity(0))
        if wanted_loop is None:
            if len(cpus) < 2:
                return cls(None, ())
            wanted_loop = cpus[-1]
        return cls(wanted_loop, tuple(cpu for cpu in cpus if cpu != wanted_loop))
