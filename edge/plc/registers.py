"""The register map: one table, from which encoding, decoding and the tables of docs/plc.md come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Literal

from edge.errors import PlcError

PROTOCOL_VERSION = 1

WordOrder = Literal["big", "little"]


class StatusBit(IntFlag):
    """Bits of ``status_bits``; the PLC lets the belt run only while READY is set and the heartbeat lives."""

    READY = 1
    FAULT = 2
    CAMERA_READY = 4
    INSPECTION_READY = 8
    TRACKED_MODE = 16


class HandshakeBit(IntFlag):
    """Bits of ``handshake_bits``; the block is written only with ``plc.handshake: true``."""

    TRIGGER_READY = 1
    TRIGGER_MISSED = 2
    RESULTS_VALID = 4
    RESULTS_OVERRUN = 8
    ERROR = 16
    LEASE = 32


class ControlBit(IntFlag):
    """Bits of ``control_bits``, from the PLC."""

    RESET_ERROR = 1


class FaultCode(IntEnum):
    """Why FAULT is set."""

    NONE = 0
    INSPECTION_FAULT = 1
    INSPECTION_SILENT = 2
    CAMERA_NOT_READY = 3
    CAMERA_SILENT = 4
    TRACKING_LOST = 5
    FOREIGN_MASTER = 6
    REJECTS_UNCONFIRMED = 7
    RECIPE = 8
    RECIPE_TAKEN_BACK = 9


class PlcState(IntEnum):
    """What the PLC says about itself."""

    STARTING = 0
    RUNNING = 1
    DIVERTING = 2


class PlcMode(IntEnum):
    """Who fires the ejector."""

    PULSE = 0
    TRACKED = 1


@dataclass(frozen=True, slots=True)
class Register:
    """One value in a block; two words make an unsigned 32-bit number."""

    name: str
    offset: int
    words: int
    unit: str
    meaning: str


@dataclass(frozen=True)
class Block:
    """Registers that travel in one request."""

    name: str
    setting: str
    """Name of its base address in the ``plc`` section of a line file."""
    direction: Literal["runtime → PLC", "PLC → runtime"]
    registers: tuple[Register, ...]

    @property
    def words(self) -> int:
        """Length of the request in 16-bit registers."""
        return self.registers[-1].offset + self.registers[-1].words


def _block(
    name: str,
    setting: str,
    direction: Literal["runtime → PLC", "PLC → runtime"],
    rows: Sequence[tuple[str, int, str, str]],
) -> Block:
    registers: list[Register] = []
    offset = 0
    for register, words, unit, meaning in rows:
        registers.append(Register(register, offset, words, unit, meaning))
        offset += words
    return Block(name, setting, direction, tuple(registers))


STATUS = _block(
    "status",
    "status_base",
    "runtime → PLC",
    [
        ("protocol_version", 1, "", f"{PROTOCOL_VERSION}; refuse what you do not know"),
        ("heartbeat", 1, "", "changes with every status write; wraps"),
        ("heartbeat_period_ms", 1, "ms", "unchanged for two periods: divert everything"),
        ("status_bits", 1, "", "see the table of bits"),
        ("fault_code", 1, "", "see the table of fault codes; 0: none"),
        ("recipe_id", 1, "", "the active recipe"),
        ("parts", 2, "", "parts whose verdict is final, since the start of the runtime"),
        ("passes", 2, "", "of these passed"),
        ("rejects", 2, "", "of these rejected"),
        ("overruns", 2, "", "of these rejected because the verdict was late"),
        ("unconfirmed", 2, "", "of these not acknowledged by the PLC in time"),
    ],
)

VERDICT = _block(
    "verdict",
    "verdict_base",
    "runtime → PLC",
    [
        ("sequence", 2, "", "id of the part, counted by its trigger: 1, 2, 3 …"),
        ("encoder_count", 2, "counts", "encoder at the trigger of the part"),
        ("verdict", 1, "", "see the table of verdicts"),
        (
            "class_id",
            1,
            "",
            "low byte: class of the decision; high byte: bin of a reject, 0 unless a rule says so",
        ),
        ("confidence", 1, "0.01 %", "0 … 10000"),
        ("reason", 1, "", "see the table of reasons"),
        ("valid_until", 2, "counts", "encoder count after which the record must be taken for a reject"),
        ("latency", 1, "10 µs", "frame received to record written; 65535: more"),
        ("commit", 1, "", "low word of ``sequence``; the record is whole when both agree"),
    ],
)

PLC = _block(
    "plc",
    "plc_base",
    "PLC → runtime",
    [
        ("plc_heartbeat", 1, "", "changes with every scan of the PLC; wraps"),
        ("state", 1, "", "see the table of PLC states"),
        ("mode", 1, "", "0 pulse, 1 tracked"),
        ("speed", 1, "mm/s", "belt speed; 0: standing still"),
        ("encoder", 2, "counts", "belt encoder, unsigned, wraps"),
        ("last_sequence", 2, "", "sequence of the last verdict record taken"),
    ],
)

HANDSHAKE = _block(
    "handshake",
    "handshake_base",
    "runtime → PLC",
    [
        ("handshake_bits", 1, "", "see the table of bits"),
        ("error_code", 1, "", "as ``fault_code``, kept until RESET_ERROR; 0: none"),
        ("trigger_ack", 2, "", "id of the last trigger taken"),
        ("missed_triggers", 2, "", "parts that the PLC counted at its sensor and the runtime did not"),
        ("inspection_id", 2, "", "sequence of the last part whose result is final"),
        (
            "results_overrun",
            1,
            "",
            "results that were final before ``results_ack`` had come up to the one before",
        ),
        ("recipe_active", 1, "", "recipe in use; answers ``recipe_request``"),
        (
            "clear_until",
            2,
            "counts",
            "lease: beyond this encoder count the PLC holds the coil on by itself",
        ),
        ("unconfirmed_rejects", 2, "", "rejects that the sensor in the reject chute did not see"),
        (
            "revoked",
            2,
            "",
            "rejects told afterwards: passes taken back (acknowledgement lost or late), parts a restart left open",
        ),
    ],
)

CONTROL = _block(
    "control",
    "control_base",
    "PLC → runtime",
    [
        ("control_bits", 1, "", "see the table of bits"),
        ("recipe_request", 1, "", "recipe that the PLC wants; 0: none"),
        ("results_ack", 2, "", "``inspection_id`` that the PLC has worked off; 0: it does not use this"),
        ("rejects_seen", 2, "", "parts that the sensor in the reject chute has seen; wraps"),
        ("triggers_seen", 2, "", "parts that the PLC saw at the camera; 0: it does not count"),
    ],
)

BLOCKS = (STATUS, VERDICT, PLC)
"""Always in use."""

HANDSHAKE_BLOCKS = (HANDSHAKE, CONTROL)
"""In use with ``plc.handshake: true``."""

U32_MASK = 0xFFFFFFFF


def encode(block: Block, values: Mapping[str, int], word_order: WordOrder = "big") -> list[int]:
    """Registers of a whole block. Raises PlcError for a missing value or one that does not fit."""
    words: list[int] = []
    for register in block.registers:
        value = values.get(register.name)
        if value is None or not 0 <= value < 1 << 16 * register.words:
            raise PlcError(
                f"{block.name}.{register.name} is {value}: expected 0 to {(1 << 16 * register.words) - 1}"
            )
        if register.words == 1:
            words.append(value)
        else:
            words += split_u32(value, word_order)
    return words


def decode(block: Block, words: Sequence[int], word_order: WordOrder = "big") -> dict[str, int]:
    """Values of a whole block by name. Raises PlcError when there are not as many words as the block has."""
    if len(words) != block.words:
        raise PlcError(f"{block.name}: found {len(words)} registers, expected {block.words}")
    values: dict[str, int] = {}
    for register in block.registers:
        pair = words[register.offset : register.offset + register.words]
        values[register.name] = pair[0] if register.words == 1 else join_u32(pair[0], pair[1], word_order)
    return values


def split_u32(value: int, word_order: WordOrder) -> tuple[int, int]:
    """Two registers; "big" sends the high word first."""
    high, low = value >> 16, value & 0xFFFF
    return (high, low) if word_order == "big" else (low, high)


def join_u32(first: int, second: int, word_order: WordOrder) -> int:
    """The number that two registers hold."""
    return first << 16 | second if word_order == "big" else second << 16 | first


def signed_distance(later: int, earlier: int) -> int:
    """``later - earlier`` of two wrapping 32-bit counts, -2³¹ … 2³¹-1."""
    return (later - earlier + 0x80000000 & U32_MASK) - 0x80000000


def closing_words(status_base: int, verdict_base: int) -> frozenset[int]:
    """Addresses of the words that make a block whole: what a PLC meets before them is not to be acted on."""
    bases = ((STATUS, "heartbeat", status_base), (VERDICT, "commit", verdict_base))
    return frozenset(
        base + register.offset
        for block, name, base in bases
        for register in block.registers
        if register.name == name
    )
