"""The actuation process: triggers and verdicts in, verdict records and ejector pulses out. Single-threaded.

Order of the work when several things are due: verdict records first (they have a deadline of milliseconds), the
ejector coil before and between them (a request takes a fraction of a millisecond, a pulse has centimetres to
spare), then the heartbeat, then polling, which gives way to every event that is due within 2 ms.
"""

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge._core import (
    CoreError,
    PlcResult,
    Reason,
    RecordRing,
    Region,
    Verdict,
    VerdictEntry,
    now_ns,
    set_fifo_priority,
)
from edge.conveyor.doubt import Doubt
from edge.conveyor.speed import EncoderBelt, FixedBelt
from edge.conveyor.tracking import Nozzle, Part, ShiftRegister
from edge.errors import EdgeError, RegionError
from edge.plc.connect import address_of, make_link
from edge.plc.ejector import EjectorCoil
from edge.plc.handshake import Handshake
from edge.plc.heartbeat import Heartbeat
from edge.plc.registers import CONTROL, PLC, STATUS, FaultCode, decode
from edge.plc.revoke import Revocations
from edge.plc.settings import ActuationConfig, EjectorSettings, SorterSettings
from edge.plc.writer import Decision, Outcome, VerdictWriter

log = logging.getLogger("edge.plc")

MEASURED_WRITES = 1100
MEASURE_LIMIT_NS = 2_000_000_000
MEASURE_SLICE_NS = 5_000_000
POLL_GAP_NS = 2_000_000
LONGEST_WAIT_NS = 50_000_000
REHEARSE_NS = 100_000
"""How often the request is rehearsed while a verdict is due: the inference beside it empties the caches."""
REVOKE_AGAIN_NS = 5_000_000
LOOK_FOR_OTHERS_NS = 200_000_000
FOREIGN_NS = 2_000_000_000
"""For so long after the last trace of a second master the line is not ready."""


class Actuation:
    """One line's actuation; ``run`` until ``status.stop`` or ``stop()``."""

    def __init__(self, config: ActuationConfig, region: Region, records: RecordRing) -> None:
        plc = config.plc
        self._config = config
        self._region = region
        self._records = records
        self._status = region.status
        self._triggers = region.trigger_reader()
        self._verdicts = region.verdict_reader()
        self._link = make_link(plc)
        self._encoder = EncoderBelt(config.conveyor, now_ns()) if self._polls else None
        self._belt = self._encoder or FixedBelt(config.conveyor)
        sorters = tuple(_nozzle(sorter) for sorter in plc.sorters)
        self._register = ShiftRegister(self._belt, _nozzle(plc.ejector), sorters=sorters)
        self._writer = VerdictWriter(self._link, plc, self._belt, config.conveyor.counts_per_mm)
        self._coil = EjectorCoil(self._link, plc, plc.ejector, self._register.ejector_on)
        self._sorters = [
            EjectorCoil(self._link, plc, sorter, partial(self._register.sorter_on, i))
            for i, sorter in enumerate(plc.sorters)
        ]
        self._revocations = Revocations(self._writer, active=plc.mode == "tracked")
        self._handshake = (
            Handshake(plc, self._register, self._belt, config.recipe_id) if plc.handshake else None
        )
        self._heartbeat = Heartbeat(self._link, plc, self._status, config.recipe_id, self._handshake)
        self._look_due_ns = 0
        self._questions: list[Callable[[int], None]] = []
        self._foreign_until_ns = 0
        self._timeout_ns = int(config.verdict_timeout_ms * 1e6)
        self._poll_due_ns = 0
        self._last_part_id = 0
        # Triggers before our time: this process was restarted, and parts it never saw are on the belt.
        self._restarted = self._status.triggers_pushed > 0
        self._finished_early: set[int] = set()
        if self._restarted:
            self._register.start_blind(now_ns())
            self._finish_what_was_left()
        self._answering = False
        # A processor of its own beside the loop's: else waiting awake would hold up the very verdict.
        self._anticipates = bool(config.cpus)
        self._seen_opened = 0
        self._connections = 0
        self._writes_to_measure = MEASURED_WRITES
        self._measure_until_ns = 0
        self._told_error = ""
        self._told_doubt = Doubt.NONE
        self._stopping = False

    @property
    def _polls(self) -> bool:
        return self._config.plc.kind != "none" and self._config.conveyor.speed_source == "plc"

    def stop(self) -> None:
        """Ends ``run`` at its next turn."""
        self._stopping = True

    def run(self) -> None:
        """Until somebody says stop; then the PLC is told that the line is not ready and the coil is off."""
        self._status.actuation_ready = 1
        while not (self._stopping or self._status.stop):
            bell = self._region.actuation_bell()
            self._rest(bell, self._turn())
        # Parts that inspection will not get to any more: their verdict is ours to give.
        self._take_triggers()
        self._take_verdicts()
        self._reject_unjudged(now_ns() + self._timeout_ns)
        now = now_ns()
        for coil in (self._coil, *self._sorters):
            coil.off(now)
        self._revocations.write(now)
        self._heartbeat.write(now, ready=False)
        self._status.line_ready = 0
        self._status.plc_connected = 0
        self._status.actuation_ready = 0
        self._link.close()

    def _rest(self, bell: int, due_ns: int) -> None:
        """Asleep until something is due, but awake and warm when the loop has announced a verdict."""
        status = self._status
        from_ns, until_ns = (status.verdict_from_ns, status.verdict_until_ns) if self._anticipates else (0, 0)
        now = now_ns()
        if now >= until_ns:
            self._region.wait_actuation(bell, due_ns)
        elif now < from_ns:
            self._region.wait_actuation(bell, min(due_ns, from_ns))
        else:
            self._writer.rehearse(now)
            self._region.spin_actuation(bell, min(due_ns, until_ns, now + REHEARSE_NS))

    def _turn(self) -> int:
        """Does everything that is due; returns when to look again."""
        link_due_ns = self._link.service(now_ns())
        self._watch_link()
        self._take_triggers()
        self._take_verdicts()
        self._reject_unjudged(now_ns())
        self._watch_camera(now_ns())
        self._steer()
        self._beat()
        self._poll(self._steer())
        event_ns = self._steer()
        self._retire(now_ns())
        self._publish()
        now = now_ns()
        due = [
            event_ns,
            link_due_ns,
            self._beat_due_ns(),
            self._coil.next_retry_ns(event_ns),
            now + LONGEST_WAIT_NS,
        ]
        if self._link.is_open:
            next_question_ns = now if self._questions else self._poll_due_ns
            due.append(max(next_question_ns, now + POLL_GAP_NS // 2))
        return min(due)

    def _take_triggers(self) -> None:
        while (trigger := self._triggers.read()) is not None:
            part_id, encoder_count, stamp_ns = trigger
            self._enter(part_id, encoder_count, stamp_ns)

    def _enter(self, part_id: int, encoder_count: int, stamp_ns: int) -> Part | None:
        part = self._register.enter(part_id, encoder_count, stamp_ns)
        if self._handshake and part_id > self._last_part_id:
            self._handshake.trigger(part_id)
        self._last_part_id = max(self._last_part_id, part_id)
        if part is None:
            log.error("the shift register is full at part %d: does the belt move?", part_id)
        return part

    def _take_verdicts(self) -> None:
        while (entry := self._verdicts.read()) is not None:
            self._steer()
            self._judge(entry)

    def _judge(self, entry: VerdictEntry) -> None:
        queued_ns = now_ns()
        if entry.record_index in self._finished_early:
            return
        part = self._register.get(entry.part_id)
        if part is None and entry.part_id > self._last_part_id:
            # Its trigger was overwritten before we saw it.
            part = self._enter(entry.part_id, entry.encoder_count, entry.triggered_ns)
        if part is None or part.final:
            late = Outcome(Verdict.REJECT, Reason.NO_VERDICT, PlcResult.SUPERSEDED, 0, 0)
            self._acknowledge(entry.record_index, late, queued_ns)
            return
        outcome = self._settle(part, Decision.of(entry, queued_ns))
        self._acknowledge(entry.record_index, outcome, queued_ns)

    def _reject_unjudged(self, at_ns: int) -> None:
        for part in self._register.due_for_reject(at_ns, self._timeout_ns):
            queued_ns = now_ns()
            deadline_ns = part.triggered_ns + self._timeout_ns
            index = self._records.append_unjudged(
                part_id=part.part_id,
                encoder_count=part.encoder_count,
                triggered_ns=part.triggered_ns,
                deadline_ns=deadline_ns,
            )
            outcome = self._settle(part, Decision(Verdict.REJECT, Reason.NO_VERDICT, deadline_ns))
            self._acknowledge(index, outcome, queued_ns)
            self._steer()

    def _settle(self, part: Part, decision: Decision) -> Outcome:
        if decision.verdict is not Verdict.REJECT and self._register.blind_for(part):
            decision = replace(decision, verdict=Verdict.REJECT, reason=Reason.TRACKING)
        outcome = self._writer.write(part, decision)
        self._register.settle(
            part, outcome.verdict, outcome.reason, class_id=decision.class_id, bin_id=decision.bin
        )
        self._revocations.settled(part, decision, outcome, now_ns())
        if self._handshake:
            self._handshake.result(part.part_id)
        self._count(outcome)
        return outcome

    def _count(self, outcome: Outcome) -> None:
        counters = self._heartbeat.counters
        counters.parts += 1
        counters.passes += outcome.verdict is Verdict.PASS
        counters.rejects += outcome.verdict is Verdict.REJECT
        counters.overruns += outcome.reason is Reason.OVERRUN
        if outcome.result in {PlcResult.ACKED, PlcResult.LATE}:
            self._status.plc_writes += 1
        elif self._config.plc.kind != "none":
            counters.unconfirmed += 1
            self._status.plc_unconfirmed += 1

    def _acknowledge(self, index: int, outcome: Outcome, queued_ns: int) -> None:
        self._records.acknowledge(
            index,
            verdict=outcome.verdict,
            reason=outcome.reason,
            result=outcome.result,
            queued_ns=queued_ns,
            sent_ns=outcome.sent_ns,
            ack_ns=outcome.ack_ns,
        )

    def _steer(self) -> int:
        """Looks after the coil; returns when the next edge is due, as seen from the very same moment.

        Two readings of the clock would lose an edge that falls between them.
        """
        now = now_ns()
        for sorter in self._sorters:
            sorter.steer(now)
        if self._coil.steer(now) and self._handshake:
            # The lease reaches further now.
            self._heartbeat.due_ns = min(self._heartbeat.due_ns, now)
        return self._register.next_event_ns(now, self._timeout_ns)

    def _beat_due_ns(self) -> int:
        """A quarter of a period is left to a verdict that is awaited: it must not wait for the beat's answer."""
        due_ns = self._heartbeat.due_ns
        if self._register.awaits_verdict:
            due_ns += self._config.plc.heartbeat_period_ms * 1_000_000 // 4
        return min(due_ns, self._heartbeat.must_tell_ns(due_ns))

    def _beat(self) -> None:
        now = now_ns()
        if now < self._beat_due_ns():
            return
        if self._link.is_open and (in_charge_ns := self._in_charge_ns(now)) > now:
            self._status.line_ready = 0
            self._heartbeat.withhold(in_charge_ns)
            return
        if self._link.is_open and self._revocations and not self._revocations.write(now):
            self._status.line_ready = 0
            self._heartbeat.withhold(now_ns() + REVOKE_AGAIN_NS)
            return
        self._heartbeat.line_fault = self._line_fault(now)
        if self._handshake:
            self._handshake.revoked = self._revocations.done
            self._handshake.steered_ns = self._coil.steered_ns
        if self._writes_to_measure and self._link.is_open:
            self._measure(now)
            return
        ready = self._heartbeat.ready(now)
        reply = self._heartbeat.write(now, ready=ready)
        self._answered(reply.acked)
        self._writer.measured(reply)
        self._status.line_ready = int(ready and (reply.acked or self._config.plc.kind == "none"))
        self._publish_round_trip()
        if self._encoder is None:
            self._publish_speed(now)

    def _measure(self, now: int) -> None:
        """At first contact: the round trip by harmless status writes, because the loop plans with its p99.9.

        In slices, so that parts that pass meanwhile are seen to; so many that one disturbed write does not decide.
        """
        self._measure_until_ns = self._measure_until_ns or now + MEASURE_LIMIT_NS
        while self._writes_to_measure and now_ns() < now + MEASURE_SLICE_NS:
            reply = self._heartbeat.write(now_ns(), ready=False)
            if not reply.acked:
                return
            self._writer.measured(reply)
            self._answered(True)
            self._writes_to_measure -= 1
            if now_ns() > self._measure_until_ns:
                self._writes_to_measure = 0
        self._publish_round_trip()
        self._heartbeat.due_ns = now_ns()

    def _publish_round_trip(self) -> None:
        self._status.plc_write_p50_ns = self._writer.p50_ns
        self._status.plc_write_p999_ns = self._writer.p999_ns

    def _poll(self, event_ns: int) -> None:
        """One question at most: a verdict that comes meanwhile waits for its answer."""
        now = now_ns()
        if self._config.plc.kind == "none" or not self._link.is_open:
            return
        period_ns = self._config.plc.poll_period_ms * 1_000_000
        if not self._questions and now >= self._poll_due_ns:
            self._poll_due_ns = now + period_ns
            self._questions = [self._read_plc, self._read_back]
            if now >= self._look_due_ns:
                self._look_due_ns = now + LOOK_FOR_OTHERS_NS
                self._questions.append(self._look_for_others)
        answer_ns = max(POLL_GAP_NS, 2 * self._writer.p50_ns)
        verdict_awaited = self._register.awaits_verdict and now < self._poll_due_ns
        if self._questions and now + answer_ns <= event_ns and not verdict_awaited:
            self._questions.pop(0)(now)
            self._steer()

    def _read_back(self, now: int) -> None:
        if self._coil.read_back(now):
            self._found_foreign("the ejector coil was switched on")

    def _read_plc(self, now: int) -> None:
        """Speed and encoder, and the control block where there is one; in one request if they lie together."""
        plc = self._config.plc
        control: tuple[int, ...] = ()
        deadline_ns = now + int(plc.timeout_ms * 1e6)
        if self._encoder:
            together = self._handshake is not None and plc.control_base == plc.plc_base + PLC.words
            words = PLC.words + (CONTROL.words if together else 0)
            reply = self._link.read_registers(plc.plc_base, words, deadline_ns)
            if not reply.acked:
                return
            control = reply.registers[PLC.words :]
            values = decode(PLC, reply.registers[: PLC.words], plc.word_order)
            if self._encoder.update(values["encoder"], values["speed"], reply.sent_ns, reply.ack_ns):
                self._publish_speed(reply.sent_ns)
        if self._handshake:
            control = (
                control or self._link.read_registers(plc.control_base, CONTROL.words, deadline_ns).registers
            )
            if control:
                self._handshake.control(decode(CONTROL, control, plc.word_order), now)

    def _look_for_others(self, now: int) -> None:
        """Reads our own heartbeat back: nobody else may write it."""
        plc = self._config.plc
        if not plc.read_back or not self._answering:
            return
        beat = next(register for register in STATUS.registers if register.name == "heartbeat")
        deadline_ns = now + int(plc.timeout_ms * 1e6)
        reply = self._link.read_registers(plc.status_base + beat.offset, 1, deadline_ns)
        if reply.acked and not self._heartbeat.is_ours(reply.registers[0]):
            self._found_foreign(f"the heartbeat is {reply.registers[0]}, which we did not write")

    def _found_foreign(self, trace: str) -> None:
        now = now_ns()
        if now > self._foreign_until_ns:
            log.error("a second master writes to the PLC at %s: %s", address_of(self._config.plc), trace)
        self._foreign_until_ns = now + FOREIGN_NS

    def _line_fault(self, now: int) -> FaultCode:
        if now < self._foreign_until_ns:
            return FaultCode.FOREIGN_MASTER
        doubt = self._belt.doubt
        if doubt not in {Doubt.NONE, self._told_doubt}:
            log.error("nobody knows where the parts are, everything is rejected: %s", doubt.value)
        self._told_doubt = doubt
        # On a belt that stands READY stays: it must be allowed to move before it can be believed again.
        if self._belt.speed_m_per_s > 0 and doubt in {Doubt.MISMATCH, Doubt.IMPOSSIBLE_SPEED}:
            return FaultCode.TRACKING_LOST
        return self._handshake.line_fault if self._handshake else FaultCode.NONE

    def _watch_camera(self, now: int) -> None:
        """Parts that pass a camera that is not there have no trigger, and so no place in the shift register."""
        status = self._status
        if not status.triggers_pushed or status.end_of_stream or status.stop:
            return
        if not status.camera_ready or self._heartbeat.camera_silent(now):
            self._register.start_blind(now)

    def _retire(self, now: int) -> None:
        confirmation = self._handshake.confirmation if self._handshake else None
        for part in self._register.retire(now):
            if confirmation and part.verdict is Verdict.REJECT:
                confirmation.rejected(now)

    def _in_charge_ns(self, now: int) -> int:
        return max(coil.in_charge_ns(now) for coil in (self._coil, *self._sorters))

    def _finish_what_was_left(self) -> None:
        """Parts whose verdict the process before us may have written or not: rejects, and taken back in the PLC."""
        now = now_ns()
        for index, part_id, encoder_count in self._records.unfinished():
            outcome = Outcome(Verdict.REJECT, Reason.PLC_SILENT, PlcResult.TIMEOUT, 0, 0)
            self._acknowledge(index, outcome, now)
            self._finished_early.add(index)
            self._last_part_id = max(self._last_part_id, part_id)
            position_mm = self._belt.trigger_position_mm(encoder_count, now)
            self._revocations.add(Part(part_id, encoder_count, now, position_mm), Reason.PLC_SILENT, now)
        if self._finished_early:
            log.warning("%d parts that the process before left open are rejects", len(self._finished_early))

    def _publish_speed(self, stamp_ns: int) -> None:
        self._status.speed_um_per_s = round(self._belt.speed_m_per_s * 1e6)
        self._status.speed_stamp_ns = stamp_ns

    def _answered(self, acked: bool) -> None:
        if not acked or self._answering:
            return
        self._answering = True
        self._connections += 1
        if self._connections == 1 and self._restarted:
            # Again: how far the belt has moved while there was no PLC to ask is only known from here on.
            self._register.start_blind(now_ns())
        self._status.plc_connected = 1
        self._status.plc_reconnects = self._connections - 1
        self._told_error = ""
        self._link.confirm()
        log.warning("the PLC at %s answers", self._address)

    def _watch_link(self) -> None:
        """One log line per change, not per attempt."""
        if self._config.plc.kind == "none" or (self._link.is_open and self._link.opened == self._seen_opened):
            return
        # A connection may be lost and made anew between two looks: that is a loss too.
        self._seen_opened = self._link.opened
        for coil in (self._coil, *self._sorters):
            coil.forget()
        if self._link.is_open and self._encoder:
            # Where the belt is, before anything is said about parts on it.
            self._read_plc(now_ns())
        if self._answering:
            self._answering = False
            self._status.plc_connected = 0
            self._status.line_ready = 0
            log.warning("the PLC at %s was lost: %s", self._address, self._link.last_error)
            self._told_error = self._link.last_error
        elif self._link.last_error and self._link.last_error != self._told_error:
            self._told_error = self._link.last_error
            log.warning("no PLC at %s: %s; trying again", self._address, self._told_error)

    @property
    def _address(self) -> str:
        plc = self._config.plc
        return address_of(plc) if plc.kind == "rtu" or plc.standby else f"{plc.host}:{plc.port}"

    def _publish(self) -> None:
        self._status.parts_tracked = len(self._register)
        self._status.parts_ended = self._register.ended
        self._status.actuation_beat_ns = now_ns()


def _nozzle(ejector: EjectorSettings) -> Nozzle:
    takes = None
    if isinstance(ejector, SorterSettings):
        takes = frozenset([(0, class_id) for class_id in ejector.classes] + [(b, -1) for b in ejector.bins])
    return Nozzle(
        ejector.camera_to_ejector_mm,
        ejector.pulse_mm,
        int(ejector.lead_ms * 1e6),
        ejector.min_pulse_mm,
        takes,
    )


def set_up_real_time(config: ActuationConfig) -> None:
    """As far as the system permits: own processors, SCHED_FIFO, no garbage collection."""
    if config.cpus:
        try:
            os.sched_setaffinity(0, config.cpus)
        except OSError as error:
            log.warning("processors %s cannot be had (%s); running on any", config.cpus, error.strerror)
    if config.fifo_priority and not set_fifo_priority(config.fifo_priority):
        log.info("SCHED_FIFO is not permitted; running at normal priority")
    gc.collect()
    gc.freeze()
    gc.disable()


def main(arguments: list[str] | None = None) -> int:
    """``python -m edge.plc.process --region PATH --records PATH --config FILE.json``."""
    parser = argparse.ArgumentParser(prog="edge.plc.process", description=__doc__)
    for name in ("region", "records", "config"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        config = ActuationConfig.load(options.config)
        actuation = _attach(config, options.region, options.records)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: actuation.stop())
    set_up_real_time(config)
    actuation.run()
    return 0


def _attach(config: ActuationConfig, region: Path, records: Path) -> Actuation:
    try:
        return Actuation(config, Region.attach(str(region)), RecordRing.attach(str(records)))
    except CoreError as error:
        raise RegionError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
