"""The actuation process: ``python -m edge.plc.process --region PATH --records PATH --config FILE.json``."""

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path

from edge._core import CoreError, RecordRing, Region, set_fifo_priority
from edge.errors import EdgeError, RegionError
from edge.plc.actuation import Actuation
from edge.plc.settings import ActuationConfig
from edge.service.notify import Notifier

log = logging.getLogger("edge.plc")


def set_up_real_time(config: ActuationConfig) -> None:
    """As far as the system permits: own processors, SCHED_FIFO, no garbage collection."""
    if config.cpus:
        try:
            os.sched_setaffinity(0, config.cpus)
        except OSError as error:
            log.warning("processors %s cannot be had (%s); running on any", config.cpus, error.strerror)
    if config.fifo_priority and not set_fifo_priority(config.fifo_priority):
        log.info("SCHED_FIFO is not permitted; running at normal priority")
    gc.collect()
    gc.freeze()
    gc.disable()


def main(arguments: list[str] | None = None) -> int:
    """Runs one line's actuation until SIGTERM, SIGINT or the line's stop."""
    parser = argparse.ArgumentParser(prog="edge.plc.process", description=__doc__)
    for name in ("region", "records", "config"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        config = ActuationConfig.load(options.config)
        actuation = _attach(config, options.region, options.records)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: actuation.stop())
    set_up_real_time(config)
    actuation.run(Notifier.from_environment())
    return 0


def _attach(config: ActuationConfig, region: Path, records: Path) -> Actuation:
    try:
        return Actuation(config, Region.attach(str(region)), RecordRing.attach(str(records)))
    except CoreError as error:
        raise RegionError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
