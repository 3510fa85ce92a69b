"""A process that gives way: it runs when nobody else wants the processor, and within a limit of memory."""

import contextlib
import os
import resource

from engines.errors import EnginesError

DEFAULT_MEMORY_MIB = 3072


def give_way(memory_mib: int = DEFAULT_MEMORY_MIB, *, idle: bool = True) -> None:
    """Idle scheduling (else the lowest priority) and a limit of address space for this process and its children.

    On a machine whose processors are all taken, idle means waiting; without ``idle`` it has the lowest usual priority.
    Raises EnginesError: a limit below what it needs to start.
    """
    if memory_mib < 512:
        raise EnginesError(f"--memory-mib {memory_mib}: expected at least 512")
    os.nice(19)
    if idle:
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_mib << 20
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
