"""All checks, in the order in which they are told."""

import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from edge.camera.network import camera_network
from edge.service.doctor import line as of_line
from edge.service.doctor import processor, surroundings
from edge.service.doctor.finding import DoctorReport, Finding, bad, worst
from edge.service.doctor.host import Host
from edge.version import __version__

CHECKS: tuple[Callable[[Host], Iterator[Finding]], ...] = (
    processor.clock_source,
    processor.governor,
    processor.power_mode,
    processor.real_time,
    processor.memory_lock,
    processor.processors,
    processor.swap,
    surroundings.network_cards,
    camera_network,
    surroundings.disk,
    surroundings.time_sync,
    surroundings.gpu,
    surroundings.ports,
    surroundings.versions,
)


def examine(host: Host, line: Path | None, told: Callable[[str], None] = lambda _name: None) -> DoctorReport:
    """Asks everything; ``told`` hears the name of each check before it runs. A check that breaks is a finding."""
    findings: list[Finding] = []
    for check in CHECKS:
        told(check.__name__)
        try:
            findings += check(host)
        except Exception as error:
            text = f"the check itself failed: {type(error).__name__}: {error}"
            findings.append(bad(check.__name__, text, "an answer", "report this with the output of --json"))
    config = None
    if line is not None:
        told("line")
        config, more = of_line.look_at(line)
        findings += more
    return DoctorReport(
        version=__version__,
        host=platform.node(),
        line=config.name if config else None,
        worst=worst(findings),
        findings=tuple(findings),
    )
