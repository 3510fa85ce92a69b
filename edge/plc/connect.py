"""The link that the settings ask for."""

from edge.plc.failover import FailoverLink
from edge.plc.link import Link, ModbusTcpLink, NoLink
from edge.plc.link_filter import CoilsInRegisters, SingleWrites, SwappedBytes
from edge.plc.registers import closing_words
from edge.plc.serial_link import ModbusRtuLink
from edge.plc.settings import PlcSettings


def make_link(plc: PlcSettings) -> Link:
    """Not opened yet. Raises PlcError when an address cannot be used at all."""
    link = _plain(plc)
    if plc.byte_order == "little":
        link = SwappedBytes(link)
    if plc.write_function == 6:
        link = SingleWrites(link, closing_words(plc.status_base, plc.verdict_base))
    return CoilsInRegisters(link) if plc.coil_function == 16 else link


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
