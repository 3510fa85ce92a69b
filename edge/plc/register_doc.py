"""The tables of docs/plc.md, from the register map and the settings' defaults."""

from collections.abc import Sequence
from enum import IntEnum

from edge._core import Reason, Verdict
from edge.plc.registers import BLOCKS, Block, FaultCode, PlcMode, PlcState, StatusBit
from edge.plc.settings import PlcSettings


def markdown() -> str:
    """Everything between the markers of docs/plc.md."""
    settings = PlcSettings()
    parts = [_block(block, getattr(settings, block.setting)) for block in BLOCKS]
    bits = [(f"bit {bit.value.bit_length() - 1}", bit.name or "") for bit in StatusBit]
    parts.append(_table("Bits of `status_bits`", ("bit", "meaning when set"), bits))
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


def _block(block: Block, base: int) -> str:
    title = f"Block `{block.name}`: {block.direction}, {block.words} registers from `plc.{block.setting}` = {base}"
    rows = [
        (
            str(base + register.offset),
            f"`{register.name}`",
            "u32" if register.words == 2 else "u16",
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
