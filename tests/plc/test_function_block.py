"""The Structured Text that we hand over does what the twin PLC does, part by part."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.plc.registers import HANDSHAKE, STATUS, VERDICT, HandshakeBit, PlcMode, StatusBit, WordOrder, encode
from tests.peers.structured_text import FunctionBlock
from tests.plc.line_rig import make_world
from tools.twin.plc import BELT_START_NS, EJECTOR_COIL, HANDSHAKE_BASE, STATUS_BASE, VERDICT_BASE, TwinPlc
from tools.twin.world import BIN_GOOD, BIN_REJECT, World

FILE = Path(__file__).parents[2] / "docs" / "plc" / "InspectGate.st"
MS = 1_000_000
T0 = 10_000 * MS
PERIOD_NS = 50 * MS
LAG_NS = 8 * MS
PARTS = 36
PASS, REJECT, EMPTY = 1, 2, 3


@dataclass(frozen=True)
class Write:
    """A block at an address, or the coil."""

    ns: int
    address: int
    words: tuple[int, ...] = ()
    coil: bool | None = None


def block(name: str, **changes: int) -> dict[str, int]:
    layout = {"status": STATUS, "verdict": VERDICT, "handshake": HANDSHAKE}[name]
    return dict.fromkeys((register.name for register in layout.registers), 0) | changes


def beats(world: World, silent: range, leap_at: int) -> Iterator[Write]:
    """Every 50 ms, but for the parts of ``silent``; before the part ``leap_at`` a second master's comes between."""
    value = 1
    first_ns, last_ns = (crossing_ns(world, part) - 30 * MS for part in (silent.start, silent.stop))
    for ns in range(T0, crossing_ns(world, PARTS) + 100 * MS, PERIOD_NS):
        if first_ns <= ns < last_ns:
            continue
        value += 1
        leapt = leap_at and 0 <= ns - (crossing_ns(world, leap_at) - 30 * MS) < PERIOD_NS
        values = block(
            "status",
            protocol_version=1,
            heartbeat=value + (1000 if leapt else 0) & 0xFFFF,
            heartbeat_period_ms=50,
            status_bits=StatusBit.READY,
        )
        yield Write(ns, STATUS_BASE, tuple(encode(STATUS, values)))


def verdicts(world: World) -> Iterator[Write]:
    """What a part gets follows from its number; 10 ms after its trigger, a second record 15 ms later."""
    for part in range(1, PARTS + 1):
        ns = trigger_ns(world, part) + 10 * MS
        records: tuple[tuple[int, bool, bool], ...] = {
            1: ((REJECT, False, False),),
            2: (),
            3: ((PASS, True, False),),  # void already
            4: ((PASS, False, True),),  # torn
            5: ((PASS, False, False), (REJECT, False, False)),  # taken back
            6: ((REJECT, False, False), (PASS, False, False)),
            7: ((EMPTY, False, False),),
        }.get(part % 12, ((PASS, False, False),))
        for number, (verdict, void, torn) in enumerate(records):
            at_ns = ns + number * 15 * MS
            count = world.encoder_count(at_ns)
            values = block(
                "verdict",
                sequence=part,
                commit=part ^ (1 if torn else 0),
                verdict=verdict,
                encoder_count=world.encoder_count(trigger_ns(world, part)),
                valid_until=count - 1 if void else count + 180,
            )
            yield Write(at_ns, VERDICT_BASE, tuple(encode(VERDICT, values)))


def pulses(world: World, lost_from: int) -> Iterator[Write]:
    """Mode pulse: the coil for every third part, and a lease every period; from one part on neither is written."""
    end_ns = crossing_ns(world, lost_from) - 40 * MS
    for part in range(3, PARTS + 1, 3):
        for on, ns in ((True, -20 * MS), (False, 20 * MS)):
            at_ns = crossing_ns(world, part) - LAG_NS + ns
            if at_ns < end_ns:
                yield Write(at_ns, EJECTOR_COIL, coil=on)
    for ns in range(T0 + 10 * MS, end_ns, PERIOD_NS):
        lease = block(
            "handshake",
            handshake_bits=HandshakeBit.LEASE,
            clear_until=world.encoder_count(min(ns + 2 * PERIOD_NS, end_ns)),
        )
        yield Write(ns, HANDSHAKE_BASE, tuple(encode(HANDSHAKE, lease)))


def trigger_ns(world: World, part: int) -> int:
    return world.time_at_ns(float(world.parts["position_mm"][part - 1]))


def crossing_ns(world: World, part: int) -> int:
    return world.time_at_ns(float(world.parts["position_mm"][part - 1]) + world.camera_to_ejector_mm)


def started(folder: Path) -> World:
    world = make_world(folder, PARTS)
    world.start(T0 + PERIOD_NS + BELT_START_NS)
    return world


def twin_bins(world: World, mode: PlcMode, writes: list[Write]) -> list[int]:
    plc = TwinPlc(world, mode, LAG_NS / MS, T0)
    scan_ns = T0
    for write in writes:
        while scan_ns < write.ns:
            plc.scan(scan_ns)
            scan_ns += 5 * MS
        if write.coil is not None:
            plc.coils[write.address] = write.coil
            plc.wrote_coils(write.ns)
        else:
            plc.registers[write.address : write.address + len(write.words)] = write.words
            plc.wrote_registers(write.address, len(write.words), write.ns)
    plc.scan(crossing_ns(world, PARTS) + 5 * MS)
    return [int(part["bin"]) for part in world.parts]


def block_bins(
    world: World, mode: PlcMode, writes: list[Write], scan_ms: int, order: WordOrder = "big", offset: int = 0
) -> list[int]:
    """The function block scanned in a fixed cycle; ``offset``: where its encoder begins."""
    gate = FunctionBlock(FILE)
    gate.Tracked, gate.HighWordFirst = mode is PlcMode.TRACKED, order == "big"
    triggers = [trigger_ns(world, part) for part in range(1, PARTS + 1)]
    bins = [0] * PARTS
    blows: dict[int, bool] = {}
    coming = iter([*writes, Write(2**62, 0)])
    write = next(coming)
    for ns in range(T0, crossing_ns(world, PARTS) + 10 * MS, scan_ms * MS):
        while write.ns <= ns:
            if write.coil is not None:
                gate.Coil = write.coil
            for at, word in enumerate(write.words):
                gate.Registers[write.address + at] = word
            write = next(coming)
        gate.Encoder = world.encoder_count(ns) + offset & 0xFFFFFFFF
        gate.SpeedMmPerS = round(world.speed_m_per_s(ns) * 1000)
        gate.NowMs = ns // MS & 0xFFFFFFFF
        gate.PartAtCamera = any(0 <= ns - at < 20 * MS for at in triggers)
        gate()
        blows[ns] = gate.Valve
        for part in range(1, PARTS + 1):
            if not bins[part - 1] and crossing_ns(world, part) <= ns:
                air = blows.get(ns - -(-LAG_NS // (scan_ms * MS)) * scan_ms * MS, False)
                bins[part - 1] = BIN_REJECT if air or not gate.Diverter else BIN_GOOD
    return bins


def moved(writes: list[Write], offset: int, order: WordOrder) -> list[Write]:
    """The same for an encoder that begins elsewhere, and for the other order of words."""
    counts = {VERDICT_BASE: (VERDICT, (2, 8)), HANDSHAKE_BASE: (HANDSHAKE, (10,)), STATUS_BASE: (STATUS, ())}
    found = []
    for write in writes:
        if write.coil is not None:
            found.append(write)
            continue
        layout, fields = counts[write.address]
        words = list(write.words)
        for at in fields:
            value = (words[at] << 16 | words[at + 1]) + offset & 0xFFFFFFFF
            words[at : at + 2] = [value >> 16, value & 0xFFFF]
        if order == "little":
            for register in layout.registers:
                if register.words == 2:
                    at = register.offset
                    words[at], words[at + 1] = words[at + 1], words[at]
        found.append(Write(write.ns, write.address, tuple(words)))
    return found


def of_mode(world: World, mode: PlcMode) -> list[Write]:
    writes = [*beats(world, range(20, 24), leap_at=30), *verdicts(world)]
    if mode is PlcMode.PULSE:
        writes += pulses(world, lost_from=18)
    return sorted(writes, key=lambda write: write.ns)


@pytest.mark.parametrize("scan_ms", [2, 5])
@pytest.mark.parametrize("mode", [PlcMode.TRACKED, PlcMode.PULSE])
def test_every_part_falls_where_the_twin_drops_it(tmp_path, mode, scan_ms):
    world = started(tmp_path)
    writes = of_mode(world, mode)
    expected = twin_bins(world, mode, writes)
    assert {BIN_GOOD, BIN_REJECT} == set(expected[:17])
    assert block_bins(world, mode, writes, scan_ms) == expected


@pytest.mark.parametrize("order", ["big", "little"])
def test_encoder_that_wraps_and_other_words_change_nothing(tmp_path, order):
    world = started(tmp_path)
    writes = of_mode(world, PlcMode.TRACKED)
    expected = twin_bins(world, PlcMode.TRACKED, writes)
    offset = 2**32 - 15_000
    assert block_bins(world, PlcMode.TRACKED, moved(writes, offset, order), 2, order, offset) == expected


def test_full_register_rejects_until_it_is_empty_again():
    gate = FunctionBlock(FILE)
    values = block("status", protocol_version=1, heartbeat_period_ms=50, status_bits=StatusBit.READY)

    def scan(ms: int, *, at_camera: bool, encoder: int) -> None:
        if ms % 50 == 0:
            values["heartbeat"] += 1
            gate.Registers[1] = values["heartbeat"]
        gate.NowMs, gate.PartAtCamera, gate.Encoder = ms, at_camera, encoder
        gate()

    for at, word in enumerate(encode(STATUS, values)):
        gate.Registers[at] = word
    for ms in range(0, 400):
        scan(ms, at_camera=ms >= 100 and ms % 2 == 0, encoder=ms)
        assert gate.Diverter == (50 <= ms < 100 + 2 * 128)
    for ms in range(400, 500):
        scan(ms, at_camera=False, encoder=ms + 10_000)
    assert gate.Diverter
    assert not gate.Overflow
