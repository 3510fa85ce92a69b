"""The ``plc`` section of a line file, and what the actuation process is started with."""

from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge.conveyor.settings import ConveyorSettings
from edge.errors import ConfigError
from edge.plc.registers import BLOCKS, HANDSHAKE_BLOCKS, WordOrder
from edge.settings import Settings


class EjectorSettings(Settings):
    """Where the ejector sits and how long it takes. Distances are along the belt."""

    camera_to_ejector_mm: float = Field(default=400.0, gt=0, le=100_000)
    """From the centre of a part at its trigger to the nozzle."""
    pulse_mm: float = Field(default=50.0, gt=0, le=1_000)
    """Belt travel during one pulse, centred on the part; less than the pitch of the parts."""
    lead_ms: float = Field(default=8.0, ge=0, le=1_000)
    """From writing the coil to air at the nozzle."""
    coil: int = Field(default=0, ge=0, le=65535)
    min_pulse_mm: float = Field(default=10.0, gt=0, le=1_000)
    """A pulse is cut at the middle to a passing neighbour, but not below this: nearer parts are both ejected."""


class SorterSettings(EjectorSettings):
    """A further ejector upstream of the main one: a bin for some classes of rejects. Pulse mode."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    classes: tuple[int, ...] = ()
    """Rejects of these classes, unless a rule gave them a bin; class ids as in the verdict record."""
    bins: tuple[int, ...] = ()
    """Rejects that a rule sent to one of these bins."""

    @model_validator(mode="after")
    def _takes_something(self) -> "SorterSettings":
        if not self.classes and not self.bins:
            raise ValueError(f"sorter {self.name} takes no part: give it classes or bins")
        return self


class ConfirmationSettings(Settings):
    """The sensor in the reject chute, counted by the PLC in ``rejects_seen``; needs ``plc.handshake``."""

    within_ms: float = Field(default=500.0, gt=0, le=60_000)
    """From the nozzle to the sensor, at most."""
    stop_line: bool = False
    """READY drops at the first reject that was not seen, until the PLC sets RESET_ERROR."""


class SerialSettings(Settings):
    """A serial line with one Modbus RTU slave; 8 data bits."""

    port: str
    """Device, such as /dev/ttyUSB0 or, better, a name of /dev/serial/by-id that survives replugging."""
    baud: int = Field(default=115_200, ge=1_200, le=4_000_000)
    """A verdict takes 40 characters both ways: 3.5 ms at 115,200 Bd, 42 ms at 9,600."""
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    rts: Literal["none", "rs485", "toggle"] = "none"
    """Who switches the driver of the line: the adapter; the kernel (RS-485 mode); we, by RTS."""
    echo: bool = False
    """The adapter hears what it sends."""
    silence_ms: float = Field(default=60.0, gt=0, le=10_000)
    """The longest time that the slave may take to answer; the line is quiet for so long after a loss."""


class StandbySettings(Settings):
    """A second address of the PLC: its other network interface, or the other half of a redundant pair."""

    host: str
    port: int = Field(default=502, ge=1, le=65535)
    unit_id: int = Field(default=1, ge=0, le=255)


class PlcSettings(Settings):
    """The Modbus link to the PLC. ``twin`` is ``tcp`` to a PLC that the runtime starts itself."""

    kind: Literal["tcp", "rtu", "twin", "none"] = "twin"
    serial: SerialSettings | None = None
    """For ``rtu``."""
    standby: StandbySettings | None = None
    """For ``tcp``: taken when the first address is lost; the one that works is kept."""
    host: str = "127.0.0.1"
    port: int = Field(default=502, ge=1, le=65535)
    unit_id: int = Field(default=1, ge=0, le=255)
    word_order: WordOrder = "big"
    byte_order: Literal["big", "little"] = "big"
    """Bytes of a register on the wire; Modbus says big, some gateways swap them."""
    read_function: Literal[3, 4] = 3
    """4 for a PLC that offers its block as input registers."""
    write_function: Literal[16, 6] = 16
    """6 for a PLC that takes only one register a request: a verdict takes twelve then, ``commit`` last."""
    coil_function: Literal[5, 15, 16] = 5
    """16 for a PLC without coils: each ejector is a holding register at the address ``coil``, 1 on and 0 off."""
    status_base: int = Field(default=0, ge=0, le=65535)
    verdict_base: int = Field(default=32, ge=0, le=65535)
    plc_base: int = Field(default=64, ge=0, le=65535)
    handshake: bool = False
    """Whether the PLC has the blocks ``handshake`` and ``control``; without it neither is touched."""
    handshake_base: int = Field(default=16, ge=0, le=65535)
    control_base: int = Field(default=72, ge=0, le=65535)
    confirmation: ConfirmationSettings | None = None
    read_back: bool = True
    """In pulse mode the coil is read back at every poll; one that somebody else changed is a second master."""
    mode: Literal["pulse", "tracked"] = "pulse"
    heartbeat_period_ms: int = Field(default=50, ge=10, le=1_000)
    poll_period_ms: int = Field(default=40, ge=5, le=1_000)
    """How often speed and encoder are read while nothing is due."""
    timeout_ms: float = Field(default=20.0, gt=0, le=1_000)
    """Bound of every request that has no deadline of its own."""
    connect_timeout_ms: float = Field(default=200.0, gt=0, le=10_000)
    reconnect_max_ms: float = Field(default=200.0, gt=0, le=10_000)
    """The pause between two attempts doubles from 10 ms up to this."""
    ejector: EjectorSettings = EjectorSettings()
    sorters: tuple[SorterSettings, ...] = ()

    @model_validator(mode="after")
    def _blocks_are_apart(self) -> "PlcSettings":
        blocks = (*BLOCKS, *(HANDSHAKE_BLOCKS if self.handshake else ()))
        spans = sorted((getattr(self, block.setting), block.words, block.setting) for block in blocks)
        for (base, words, setting), (next_base, _, next_setting) in pairwise(spans):
            if next_base < base + words:
                raise ValueError(
                    f"{next_setting} is {next_base}, inside the {words} registers from {setting} {base}; "
                    f"expected {base + words} or more"
                )
        if spans[-1][0] + spans[-1][1] > 65536:
            raise ValueError(f"{spans[-1][2]} is {spans[-1][0]}: its block would end after register 65535")
        return self

    @model_validator(mode="after")
    def _ejectors_fit(self) -> "PlcSettings":
        coils = [self.ejector.coil, *(sorter.coil for sorter in self.sorters)]
        if len(set(coils)) < len(coils):
            raise ValueError(f"two ejectors share a coil: {coils}")
        for sorter in self.sorters:
            if sorter.camera_to_ejector_mm >= self.ejector.camera_to_ejector_mm:
                raise ValueError(
                    f"sorter {sorter.name} at {sorter.camera_to_ejector_mm:g} mm is not upstream of the ejector at "
                    f"{self.ejector.camera_to_ejector_mm:g} mm; the main ejector is the last and takes all rejects"
                )
        if self.confirmation is not None and not self.handshake:
            raise ValueError(
                "confirmation needs handshake: true; the PLC tells rejects_seen in its control block"
            )
        return self

    @model_validator(mode="after")
    def _habits_fit(self) -> "PlcSettings":
        if self.write_function == 6 and self.handshake:
            raise ValueError(
                "handshake is true, but write_function 6 writes one register at a time: a PLC could meet a lease "
                "(clear_until) of which one half is old; expected handshake: false, or write_function: 16"
            )
        if self.write_function == 6 and self.mode == "pulse":
            raise ValueError(
                "mode is 'pulse', but write_function 6 allows no lease: a pulse that is due when the link is lost "
                "would be missing until the watchdog runs out; expected mode: tracked, or write_function: 16"
            )
        if self.coil_function == 16:
            blocks = (*BLOCKS, *(HANDSHAKE_BLOCKS if self.handshake else ()))
            for ejector in (self.ejector, *self.sorters):
                for block in blocks:
                    base = getattr(self, block.setting)
                    if base <= ejector.coil < base + block.words:
                        raise ValueError(
                            f"coil_function 16 makes ejector coil {ejector.coil} a register, and that one is in block "
                            f"{block.name} ({base} to {base + block.words - 1}); expected a register of its own"
                        )
        return self

    @model_validator(mode="after")
    def _serial_line_is_known(self) -> "PlcSettings":
        if self.kind == "rtu" and self.serial is None:
            raise ValueError(
                "kind is 'rtu', so serial is needed; expected at least serial: {port: /dev/ttyUSB0}"
            )
        if self.standby is not None and self.kind != "tcp":
            raise ValueError(f"standby is for kind 'tcp'; found kind '{self.kind}'")
        return self


class ActuationConfig(Settings):
    """Everything that the actuation process is told, as JSON."""

    plc: PlcSettings = PlcSettings()
    conveyor: ConveyorSettings = ConveyorSettings()
    verdict_timeout_ms: float = Field(default=100.0, gt=0, le=60_000)
    """From the trigger of a part; without a verdict by then it is rejected."""
    recipes: tuple[int, ...] = ()
    """Numbers that the PLC may ask for."""
    camera_latches_encoder: bool = True
    """Whether a trigger carries the count of the PLC's encoder; else its place is known by its time."""
    cpus: tuple[int, ...] = ()
    """Processors to run on; empty: any."""
    fifo_priority: int = Field(default=60, ge=0, le=99)
    """SCHED_FIFO priority if the system permits it; 0: none."""

    @classmethod
    def load(cls, path: Path) -> "ActuationConfig":
        """Raises ConfigError when the file cannot be read or does not fit."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: the configuration of the actuation process: {error}") from error
