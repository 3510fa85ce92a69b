"""A link for one person at a bench: opened with a limit, and what it says comes as an error, not as a state."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.config import LineConfig, load_line
from edge.errors import PlcError
from edge.plc.connect import address_of, make_link
from edge.plc.link import Link, Reply
from edge.plc.registers import STATUS, decode
from edge.plc.settings import PlcSettings

OPEN_LIMIT_S = 3.0
ANSWER_LIMIT_NS = 1_000_000_000
HEARTBEATS_WATCHED = 3
KEEP_ALIVE_S = 0.1
OFF_LIMIT_S = 3.0


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


def pulse(link: Link, plc: PlcSettings, pulse_ms: float) -> float:
    """One pulse of the ejector; returns for how many ms the coil was on.

    It is switched off whatever happens in between, over a new connection when this one is lost. Raises PlcError when an
    edge was not acknowledged.
    """
    coil = plc.ejector.coil
    try:
        on = link.write_coil(coil, True, time.monotonic_ns() + ANSWER_LIMIT_NS)
        end = time.monotonic() + pulse_ms / 1000
        while on.acked and (left_s := end - time.monotonic()) > 0:
            time.sleep(min(KEEP_ALIVE_S, left_s))
            if left_s > KEEP_ALIVE_S:  # some PLCs hang up while nobody asks them anything
                link.read_registers(plc.plc_base, 1, time.monotonic_ns() + ANSWER_LIMIT_NS)
    finally:
        off = _switch_off(link, coil)
    if not (on.acked and off.acked):
        raise PlcError(
            f"coil {coil} was not acknowledged ({on.result.name}, then {off.result.name}): {link.last_error}; "
            "look whether it is off"
        )
    return (off.ack_ns - on.ack_ns) / 1e6


def _switch_off(link: Link, coil: int) -> Reply:
    end = time.monotonic() + OFF_LIMIT_S
    while True:
        reply = link.write_coil(coil, False, time.monotonic_ns() + ANSWER_LIMIT_NS)
        if reply.acked or time.monotonic() > end:
            return reply
        link.service(time.monotonic_ns())
        time.sleep(0.002)


def _status(link: Link, plc: PlcSettings) -> dict[str, int]:
    return decode(STATUS, read(link, plc.status_base, STATUS.words), plc.word_order)
