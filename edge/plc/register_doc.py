"""The register map for the PLC programmer: the tables of docs/plc.md, and a CSV to import."""

import csv
import io
from collections.abc import Sequence
from enum import IntEnum, IntFlag

from edge._core import Reason, Verdict
from edge.plc.registers import (
    BLOCKS,
    HANDSHAKE_BLOCKS,
    Block,
    ControlBit,
    FaultCode,
    HandshakeBit,
    PlcMode,
    PlcState,
    StatusBit,
)
from edge.plc.settings import PlcSettings

CSV_HEAD = ("block", "direction", "address", "words", "name", "type", "unit", "word_order", "meaning")


def markdown(settings: PlcSettings | None = None) -> str:
    """Everything between the markers of docs/plc.md; with the addresses of a line when its settings are given."""
    settings = settings or PlcSettings()
    blocks = (*BLOCKS, *HANDSHAKE_BLOCKS)
    parts = [_block(block, getattr(settings, block.setting)) for block in blocks]
    words: tuple[tuple[str, type[IntFlag]], ...] = (
        ("status_bits", StatusBit),
        ("handshake_bits", HandshakeBit),
        ("control_bits", ControlBit),
    )
    for name, flags in words:
        bits = [(f"bit {bit.value.bit_length() - 1}", bit.name or "") for bit in flags]
        parts.append(_table(f"Bits of `{name}`", ("bit", "meaning when set"), bits))
    enums: tuple[tuple[str, type[IntEnum]], ...] = (
        ("Fault codes", FaultCode),
        ("Verdicts", Verdict),
        ("Reasons", Reason),
        ("PLC states", PlcState),
        ("Modes", PlcMode),
    )
    parts += [
        _table(title, ("value", "name"), [(str(m.value), m.name) for m in enum]) for title, enum in enums
    ]
    return "\n".join(parts)


def comma_separated(settings: PlcSettings) -> str:
    """One row for every value, with its address on the wire, and the ejector coil."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for block in (*BLOCKS, *(HANDSHAKE_BLOCKS if settings.handshake else ())):
        base: int = getattr(settings, block.setting)
        for register in block.registers:
            writer.writerow(
                (
                    block.name,
                    block.direction,
                    base + register.offset,
                    register.words,
                    register.name,
                    _type(register.words),
                    register.unit,
                    settings.word_order if register.words == 2 else "",
                    register.meaning.replace("``", ""),
                )
            )
    coils = {"ejector": settings.ejector.coil} | {s.name: s.coil for s in settings.sorters}
    for name, address in coils.items():
        writer.writerow(("coil", "runtime → PLC", address, 0, name, "bool", "", "", "on: air at the nozzle"))
    return text.getvalue()


def _type(words: int) -> str:
    return "u32" if words == 2 else "u16"


def _block(block: Block, base: int) -> str:
    title = f"Block `{block.name}`: {block.direction}, {block.words} registers from `plc.{block.setting}` = {base}"
    rows = [
        (
            str(base + register.offset),
            f"`{register.name}`",
            _type(register.words),
            register.unit,
            register.meaning.replace("``", "`"),
        )
        for register in block.registers
    ]
    return _table(title, ("address", "name", "type", "unit", "meaning"), rows)


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"### {title}", "", _row(head), _row(("---",) * len(head))]
    return "\n".join([*lines, *(_row(row) for row in rows), ""])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
