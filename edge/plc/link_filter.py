"""Links that change what travels over another one: bytes exchanged, ejectors in registers, single writes."""

from collections.abc import Iterator
from dataclasses import replace

from edge._core import PlcResult
from edge.plc.link import Link, Reply


class LinkFilter:
    """A Link over a Link, which does as that one does. A kind of filter overrides what differs."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def is_open(self) -> bool:
        """True while requests can be sent."""
        return self._link.is_open

    @property
    def opened(self) -> int:
        """How many connections there have been."""
        return self._link.opened

    @property
    def last_error(self) -> str:
        """Why it is not open."""
        return self._link.last_error

    def service(self, now_ns: int) -> int:
        """Opens the connection step by step; returns when it wants to be called again."""
        return self._link.service(now_ns)

    def confirm(self) -> None:
        """The PLC has answered sense."""
        self._link.confirm()

    def rehearse(self, address: int, values: list[int]) -> None:
        """All of ``write_registers`` that leaves nothing on the wire."""
        self._link.rehearse(address, values)

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """Writes holding registers."""
        return self._link.write_registers(address, values, deadline_ns)

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Reads registers."""
        return self._link.read_registers(address, count, deadline_ns)

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """Writes one coil."""
        return self._link.write_coil(address, on, deadline_ns)

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Reads coils; they come as registers, 0 or 1."""
        return self._link.read_coils(address, count, deadline_ns)

    def close(self, reason: str = "closed by us") -> None:
        """Drops the connection."""
        self._link.close(reason)


class SwappedBytes(LinkFilter):
    """Registers travel with their bytes exchanged; a coil has none."""

    def rehearse(self, address: int, values: list[int]) -> None:
        """With the bytes exchanged."""
        super().rehearse(address, _swapped(values))

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """With the bytes exchanged."""
        return super().write_registers(address, _swapped(values), deadline_ns)

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """With the bytes exchanged."""
        reply = super().read_registers(address, count, deadline_ns)
        return replace(reply, registers=tuple(_swapped(list(reply.registers))))


class CoilsInRegisters(LinkFilter):
    """For a PLC without coils: each ejector is a register, 1 on and 0 off."""

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """Writes the register."""
        return self.write_registers(address, [int(on)], deadline_ns)

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """Reads the registers; anything but 0 is on."""
        reply = self.read_registers(address, count, deadline_ns)
        return replace(reply, registers=tuple(int(value != 0) for value in reply.registers))


class SingleWrites(LinkFilter):
    """For a PLC that takes one register a request: a block goes word by word, and its closing word last.

    The PLC meets a block half written. What makes it whole is written last (``closing``: the address of ``commit`` in
    the verdict record, of ``heartbeat`` in the status), so that until then the old one holds, or none.
    """

    def __init__(self, link: Link, closing: frozenset[int]) -> None:
        super().__init__(link)
        self._closing = closing

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """One request a word within the one deadline; the first that fails ends it, and the block is not acknowledged.

        Acknowledged: sent with the first word, acknowledged with the last.
        """
        sent_ns = 0
        reply = Reply(PlcResult.DISCONNECTED, 0)
        for at, value in self._ordered(address, values):
            reply = super().write_registers(at, [value], deadline_ns)
            sent_ns = sent_ns or reply.sent_ns
            if not reply.acked:
                break
        return replace(reply, sent_ns=sent_ns)

    def _ordered(self, address: int, values: list[int]) -> Iterator[tuple[int, int]]:
        words = list(enumerate(values, address))
        return iter(sorted(words, key=lambda word: word[0] in self._closing))


def _swapped(values: list[int]) -> list[int]:
    return [(value & 0xFF) << 8 | value >> 8 for value in values]
