"""A link for one person at a bench: opened with a limit, and what it says comes as an error, not as a state."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.config import LineConfig, load_line
from edge.errors import PlcError
from edge.plc.connect import address_of, make_link
from edge.plc.link import Link
from edge.plc.registers import STATUS, decode
from edge.plc.settings import PlcSettings

OPEN_LIMIT_S = 3.0
ANSWER_LIMIT_NS = 1_000_000_000
HEARTBEATS_WATCHED = 3


def settings_of(
    line: Path | None, host: str | None, port: int | None, unit: int | None
) -> tuple[PlcSettings, LineConfig | None]:
    """The ``plc`` section of a line file, with what the command line says instead."""
    config = load_line(line) if line else None
    plc = config.plc if config else PlcSettings(kind="tcp")
    given = {"host": host, "port": port, "unit_id": unit}
    changes: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if host or port:
        changes["kind"] = "tcp"
    plc = PlcSettings.model_validate({**plc.model_dump(exclude_unset=True), **changes})
    if plc.kind == "none" or (plc.kind == "twin" and "port" not in plc.model_fields_set):
        raise PlcError(
            f"plc.kind is '{plc.kind}' in {line}: there is no PLC to speak to; give --host and --port "
            "(a simulated one: edge plc sim)"
        )
    if config is None and host is None and port is None:
        raise PlcError("which PLC? Give a line file, or --host and --port")
    return plc, config


@contextmanager
def open_link(plc: PlcSettings) -> Iterator[Link]:
    """Raises PlcError with the reason when nobody answers within 3 s."""
    link = make_link(plc)
    end = time.monotonic() + OPEN_LIMIT_S
    while not link.is_open:
        if time.monotonic() > end:
            raise PlcError(
                f"no PLC at {address_of(plc)}: {link.last_error or 'no answer'}; "
                "check cable, address and that its Modbus server is on"
            )
        link.service(time.monotonic_ns())
        time.sleep(0.002)
    try:
        yield link
    finally:
        link.close()


def read(link: Link, address: int, count: int) -> tuple[int, ...]:
    """Registers. Raises PlcError when they do not come."""
    reply = link.read_registers(address, count, time.monotonic_ns() + ANSWER_LIMIT_NS)
    if not reply.acked:
        why = f"exception {reply.exception_code}" if reply.exception_code else link.last_error
        raise PlcError(
            f"registers {address} to {address + count - 1} could not be read: {why}; "
            "compare the addresses with edge plc map"
        )
    return reply.registers


def refuse_if_driven(link: Link, plc: PlcSettings) -> None:
    """Raises PlcError when a runtime beats into this PLC: two masters at one gate end badly."""
    first = _status(link, plc)
    period_s = max(first["heartbeat_period_ms"], plc.heartbeat_period_ms) / 1000
    for _ in range(HEARTBEATS_WATCHED):
        time.sleep(period_s)
        if _status(link, plc)["heartbeat"] != first["heartbeat"]:
            raise PlcError(
                f"a runtime drives the PLC at {address_of(plc)} now (its heartbeat changes); "
                "stop the line first"
            )


def _status(link: Link, plc: PlcSettings) -> dict[str, int]:
    return decode(STATUS, read(link, plc.status_base, STATUS.words), plc.word_order)
