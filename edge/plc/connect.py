"""The link that the settings ask for."""

from edge._core import PlcResult
from edge.plc.failover import FailoverLink
from edge.plc.link import Link, ModbusTcpLink, NoLink, Reply
from edge.plc.serial_link import ModbusRtuLink
from edge.plc.settings import PlcSettings


def make_link(plc: PlcSettings) -> Link:
    """Not opened yet. Raises PlcError when an address cannot be used at all."""
    link = _plain(plc)
    return SwappedBytes(link) if plc.byte_order == "little" else link


def address_of(plc: PlcSettings) -> str:
    """Where the PLC is, for people."""
    if plc.kind == "none":
        return "nowhere"
    if plc.kind == "rtu" and plc.serial is not None:
        return f"{plc.serial.port} at {plc.serial.baud} Bd, unit {plc.unit_id}"
    standby = f", standby {plc.standby.host}:{plc.standby.port}" if plc.standby else ""
    return f"{plc.host}:{plc.port}, unit {plc.unit_id}{standby}"


def _plain(plc: PlcSettings) -> Link:
    if plc.kind == "none":
        return NoLink()
    if plc.kind == "rtu":
        return ModbusRtuLink(plc)
    if plc.standby is None:
        return ModbusTcpLink(plc)
    second = plc.model_copy(update={**plc.standby.model_dump(), "standby": None})
    return FailoverLink(ModbusTcpLink(plc), ModbusTcpLink(second))


class SwappedBytes:
    """A Link whose registers travel with their bytes exchanged."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def is_open(self) -> bool:
        """As the link says."""
        return self._link.is_open

    @property
    def opened(self) -> int:
        """As the link says."""
        return self._link.opened

    @property
    def last_error(self) -> str:
        """As the link says."""
        return self._link.last_error

    def service(self, now_ns: int) -> int:
        """As the link does."""
        return self._link.service(now_ns)

    def confirm(self) -> None:
        """As the link does."""
        self._link.confirm()

    def rehearse(self, address: int, values: list[int]) -> None:
        """As the link does."""
        self._link.rehearse(address, _swapped(values))

    def write_registers(self, address: int, values: list[int], deadline_ns: int) -> Reply:
        """With the bytes exchanged."""
        return self._link.write_registers(address, _swapped(values), deadline_ns)

    def read_registers(self, address: int, count: int, deadline_ns: int) -> Reply:
        """With the bytes exchanged."""
        reply = self._link.read_registers(address, count, deadline_ns)
        if reply.result is not PlcResult.ACKED:
            return reply
        return Reply(reply.result, reply.sent_ns, reply.ack_ns, tuple(_swapped(list(reply.registers))))

    def write_coil(self, address: int, on: bool, deadline_ns: int) -> Reply:
        """A coil has no bytes."""
        return self._link.write_coil(address, on, deadline_ns)

    def read_coils(self, address: int, count: int, deadline_ns: int) -> Reply:
        """A coil has no bytes."""
        return self._link.read_coils(address, count, deadline_ns)

    def close(self, reason: str = "closed by us") -> None:
        """As the link does."""
        self._link.close(reason)


def _swapped(values: list[int]) -> list[int]:
    return [(value & 0xFF) << 8 | value >> 8 for value in values]
