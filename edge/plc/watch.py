"""What stands in the registers of a PLC now, for the one who commissions it. Only reads."""

from enum import IntEnum, IntFlag

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from edge._core import Reason, Verdict
from edge.plc.connect import address_of
from edge.plc.link import Link
from edge.plc.probe import read
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
    decode,
)
from edge.plc.settings import PlcSettings

NAMES: dict[str, type[IntEnum]] = {
    "fault_code": FaultCode,
    "error_code": FaultCode,
    "verdict": Verdict,
    "reason": Reason,
    "state": PlcState,
    "mode": PlcMode,
}
BITS: dict[str, type[IntFlag]] = {
    "status_bits": StatusBit,
    "handshake_bits": HandshakeBit,
    "control_bits": ControlBit,
}


class Watch:
    """Reads the blocks and remembers what changed since the last look."""

    def __init__(self, link: Link, plc: PlcSettings) -> None:
        self._link = link
        self._plc = plc
        self._last: dict[str, dict[str, int]] = {}

    def look(self) -> RenderableType:
        """The registers now; what changed is bright. Raises PlcError when they cannot be read."""
        rows = (BLOCKS, HANDSHAKE_BLOCKS) if self._plc.handshake else (BLOCKS,)
        grid = Table.grid(padding=(0, 1))
        for blocks in rows:
            grid.add_row(*map(self._table, blocks))
        return Panel(Group(grid), title=f"PLC at {address_of(self._plc)}", width=120)

    def _table(self, block: Block) -> Table:
        base: int = getattr(self._plc, block.setting)
        values = decode(block, read(self._link, base, block.words), self._plc.word_order)
        last = self._last.get(block.name, values)
        table = Table(title=f"{block.name} ({block.direction})", box=None, header_style="dim")
        for column in ("reg", "name", "value"):
            table.add_column(column, justify="right" if column == "reg" else "left", no_wrap=True)
        for register in block.registers:
            value = values[register.name]
            style = "bold yellow" if value != last[register.name] else ""
            table.add_row(
                str(base + register.offset), register.name, text_of(register.name, value), style=style
            )
        self._last[block.name] = values
        return table


def text_of(name: str, value: int) -> str:
    """A register's value as a person reads it."""
    if name in BITS:
        # One a line: side by side they would push the other columns off the screen.
        return "\n".join([str(value), *(bit.name or "" for bit in BITS[name] if value & bit)])
    known = {member.value: member.name for member in NAMES.get(name, ())}
    return f"{value} {known[value]}" if value in known else str(value)
