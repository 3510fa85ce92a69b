"""What actuation does: triggers and verdicts in, verdict records and ejector pulses out. Single-threaded.

Order of the work when several things are due: verdict records first (they have a deadline of milliseconds), the
ejector coil before and between them (a request takes a fraction of a millisecond, a pulse has centimetres to
spare), then the heartbeat, then one question to the PLC.
"""

import logging
from dataclasses import replace
from functools import partial

from edge._core import (
    PlcResult,
    Reason,
    RecordRing,
    Region,
    Verdict,
    VerdictEntry,
    now_ns,
    sleep_until_ns,
)
from edge.conveyor.doubt import Doubt
from edge.conveyor.serial_counter import SerialCounter
from edge.conveyor.speed import EncoderBelt, FixedBelt
from edge.conveyor.tracking import Nozzle, Part, ShiftRegister
from edge.plc.changeover import Changeover
from edge.plc.connect import make_link
from edge.plc.contact import Contact
from edge.plc.ejector import EjectorCoil
from edge.plc.handshake import Handshake
from edge.plc.heartbeat import Heartbeat
from edge.plc.link import Reply
from edge.plc.questions import Asked, Questions, publish_speed
from edge.plc.registers import FaultCode
from edge.plc.revoke import Revocations
from edge.plc.settings import ActuationConfig, EjectorSettings, SorterSettings
from edge.plc.told import ToldParts
from edge.plc.writer import Decision, Outcome, VerdictWriter
from edge.service.notify import Notifier

log = logging.getLogger("edge.plc")

LONGEST_WAIT_NS = 50_000_000
FIRST_OPEN_NS = 100_000_000
REHEARSE_NS = 200_000
"""How often the request is rehearsed while a verdict is due: the inference beside it empties the caches. A verdict that
comes meanwhile waits, so a rehearsal (20 µs, cold 60) must be the smaller part of it."""
REVOKE_AGAIN_NS = 5_000_000
SUPERSEDED = Outcome(Verdict.REJECT, Reason.NO_VERDICT, PlcResult.SUPERSEDED, 0, 0)
"""Of a verdict for a part that had one already."""
SILENT_NS, SILENT_PERIODS = 100_000_000, 4
"""A PLC that answers, but has not told where the belt is for so long (whichever is longer), tells nothing any more."""


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
        self._encoder = self._encoder_belt()
        self._belt = self._encoder or FixedBelt(config.conveyor)
        self._counter = self._serial_counter()
        sorters = tuple(_nozzle(sorter) for sorter in plc.sorters)
        self._register = ShiftRegister(self._belt, _nozzle(plc.ejector), sorters=sorters)
        self._writer = VerdictWriter(self._link, plc, self._belt, config.conveyor.counts_per_mm)
        self._coil = EjectorCoil(self._link, plc, plc.ejector, self._register.ejector_on)
        self._sorters = [
            EjectorCoil(self._link, plc, sorter, partial(self._register.sorter_on, i))
            for i, sorter in enumerate(plc.sorters)
        ]
        self._revocations = Revocations(self._writer, active=plc.mode == "tracked")
        self._changeover = Changeover(region, config.recipes)
        self._handshake = (
            Handshake(plc, self._register, self._belt, self._changeover) if plc.handshake else None
        )
        self._heartbeat = Heartbeat(self._link, plc, self._status, self._changeover, self._handshake)
        coils = (self._coil, *self._sorters)
        self._contact = Contact(
            self._link, plc, self._status, coils=coils, heartbeat=self._heartbeat, writer=self._writer
        )
        asked = Asked(
            self._register,
            self._coil,
            self._writer,
            self._heartbeat,
            self._handshake,
            None if self._counter else self._encoder,
        )
        self._questions = Questions(self._link, plc, self._status, asked)
        self._timeout_ns = int(config.verdict_timeout_ms * 1e6)
        self._silent_ns = max(SILENT_NS, SILENT_PERIODS * plc.poll_period_ms * 1_000_000)
        self._last_part_id = 0
        # Triggers before our time: this process was restarted, and parts it never saw are on the belt.
        self._restarted = self._status.triggers_pushed > 0
        self._told = ToldParts()
        self._finished_early: set[int] = set()
        if self._restarted:
            self._register.start_blind(now_ns())
            self._finish_what_was_left()
        # A processor of its own beside the loop's: else waiting awake would hold up the very verdict.
        self._anticipates = bool(config.cpus)
        self._told_doubt = Doubt.NONE
        self._stopping = False

    def _encoder_belt(self) -> EncoderBelt | None:
        config = self._config
        source = config.conveyor.speed_source
        if source == "fixed" or (source == "plc" and config.plc.kind == "none"):
            return None
        of_plc = source == "plc"
        latched = of_plc and config.camera_latches_encoder
        return EncoderBelt(config.conveyor, now_ns(), latched=latched, plc_counts=of_plc)

    def _serial_counter(self) -> SerialCounter | None:
        settings = self._config.conveyor.counter  # there is one where it is the source, and only there
        if self._encoder is None or settings is None:
            return None
        return SerialCounter(settings, self._encoder, self._config.conveyor.counts_per_mm)

    def stop(self) -> None:
        """Ends ``run`` at its next turn."""
        self._stopping = True

    def run(self, notifier: Notifier | None = None) -> None:
        """Until somebody says stop; then the PLC is told that the line is not ready and the coil is off.

        ``notifier`` hears of every turn. It is ready without a PLC: to reject what cannot be told is its work.
        """
        notifier = notifier or Notifier()
        self._status.actuation_ready = 1
        self._open_first()
        while not (self._stopping or self._status.stop):
            bell = self._region.actuation_bell()
            due_ns = self._turn()
            if notifier.follow(self._status.actuation_beat_ns):
                notifier.say("PLC connected" if self._link.is_open else "no PLC: every part is a reject")
            self._rest(bell, due_ns)
        notifier.stopping()
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

    def _open_first(self) -> None:
        """Before the first verdict: one that was queued while nobody was here is not lost to a link still opening."""
        until_ns = now_ns() + FIRST_OPEN_NS
        while not self._link.is_open and now_ns() < until_ns and not (self._stopping or self._status.stop):
            if (due_ns := self._link.service(now_ns())) >= until_ns or self._link.last_error:
                return
            sleep_until_ns(min(due_ns, until_ns))

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
            self._stand_by(bell, min(due_ns, until_ns))

    def _stand_by(self, bell: int, until_ns: int) -> None:
        """Awake until the bell rings; then the verdict goes out before anything else is looked at."""
        while (now := now_ns()) < until_ns:
            self._take_triggers()
            self._steer()
            self._writer.rehearse(now)
            self._region.spin_actuation(bell, min(until_ns, now + REHEARSE_NS))
            if self._region.actuation_bell() != bell:
                self._take_triggers()
                self._take_verdicts()
                return

    def _turn(self) -> int:
        """Does everything that is due; returns when to look again."""
        link_due_ns = self._link.service(now_ns())
        self._contact.watch(self._connected)
        counter_due_ns = self._read_counter()
        self._watch_encoder(now_ns())
        self._take_triggers()
        self._steer()  # the counter or the PLC may have taken their time
        self._take_verdicts()
        self._reject_unjudged(now_ns())
        self._watch_camera(now_ns())
        self._beat()
        self._questions.ask(self._see_to_parts())
        event_ns = self._steer()
        self._retire(now_ns())
        self._publish()
        now = now_ns()
        due = [
            event_ns,
            link_due_ns,
            counter_due_ns,
            self._beat_due_ns(),
            self._coil.next_retry_ns(event_ns),
            now + LONGEST_WAIT_NS,
        ]
        if self._link.is_open:
            due.append(self._questions.next_ns(now))
        return min(due)

    def _take_triggers(self) -> None:
        while (trigger := self._triggers.read()) is not None:
            part_id, encoder_count, stamp_ns = trigger
            self._enter(part_id, encoder_count, stamp_ns)

    def _enter(self, part_id: int, encoder_count: int, stamp_ns: int) -> Part | None:
        part = self._register.enter(part_id, encoder_count, stamp_ns)
        if part is not None and not part.final and (part_id, stamp_ns) in self._told:
            # Told twice, or it came while we looked at what was left: whatever the PLC heard, it is rejected here.
            self._register.settle(part, Verdict.REJECT, Reason.PLC_SILENT)
        if self._handshake and part_id > self._last_part_id:
            self._handshake.trigger(part_id)
        self._last_part_id = max(self._last_part_id, part_id)
        if part is None:
            log.error("the shift register is full at part %d: does the belt move?", part_id)
        return part

    def _take_verdicts(self) -> None:
        while (entry := self._verdicts.read()) is not None:
            self._judge(entry)
            self._take_triggers()  # verdicts may queue up behind a slow PLC for longer than a part is under way
            self._steer()

    def _judge(self, entry: VerdictEntry) -> None:
        queued_ns = now_ns()
        if entry.record_index in self._finished_early:
            return
        part = self._register.get(entry.part_id)
        if part is None and (entry.part_id, entry.triggered_ns) not in self._told:
            # Its trigger was overwritten before we saw it, or came while nobody was here.
            part = self._enter(entry.part_id, entry.encoder_count, entry.triggered_ns)
        if part is None or part.final:
            self._acknowledge(entry.record_index, SUPERSEDED, queued_ns)
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
                recipe=self._changeover.active,
                recipe_earlier=self._changeover.taken_back,
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
        self._told.add((part.part_id, part.triggered_ns))
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

    def _see_to_parts(self) -> int:
        """Whatever came while an answer was awaited, so that a verdict never waits for two requests that can wait.

        Until nothing rings meanwhile; returns when the next edge is due.
        """
        while True:
            bell = self._region.actuation_bell()
            self._take_triggers()
            self._take_verdicts()
            event_ns = self._steer()
            if self._region.actuation_bell() == bell:
                return event_ns

    def _beat_due_ns(self) -> int:
        """A quarter of a period is left to a verdict that is awaited: it must not wait for the beat's answer."""
        due_ns = self._heartbeat.due_ns
        if self._register.awaits_verdict:
            due_ns += self._config.plc.heartbeat_period_ms * 1_000_000 // 4
        return min(due_ns, self._heartbeat.must_tell_ns(due_ns))

    def _beat(self) -> None:
        if self._changeover.news():
            self._heartbeat.due_ns = min(self._heartbeat.due_ns, now_ns())
        if now_ns() < self._beat_due_ns():
            return
        # The lease speaks for every part that has passed the sensor by now.
        self._see_to_parts()
        if (now := now_ns()) < self._beat_due_ns():
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
        if not self._contact.measured and self._link.is_open:
            self._contact.measure(now, self._heard)
            return
        ready = self._heartbeat.ready(now)
        reply = self._heartbeat.write(now, ready=ready)
        self._heard(reply)
        self._contact.publish_round_trip()
        self._status.line_ready = int(ready and (reply.acked or self._config.plc.kind == "none"))
        if self._encoder is None:
            publish_speed(self._status, self._belt.speed_m_per_s, now)

    def _heard(self, reply: Reply) -> None:
        first = self._contact.heard(reply)
        if first and self._contact.connections == 1 and self._restarted:
            # Again: how far the belt has moved while there was no PLC to ask is only known from here on.
            self._register.start_blind(now_ns())

    def _connected(self, now: int) -> None:
        if self._handshake or (self._encoder and self._counter is None):
            # Where the belt is and which recipe is wanted, before anything is said about parts.
            self._questions.read_plc(now)

    def _read_counter(self) -> int:
        """The belt by a counter of its own; returns when to look again."""
        now = now_ns()
        if self._counter is None:
            return now + LONGEST_WAIT_NS
        due_ns = self._counter.service(now)
        if self._counter.read_ns:
            publish_speed(self._status, self._belt.speed_m_per_s, self._counter.read_ns)
        return due_ns

    def _watch_encoder(self, now: int) -> None:
        """A belt that is carried on at its last speed is soon elsewhere, and the heartbeat would vouch for it."""
        encoder = self._encoder
        if encoder is None or self._counter or not self._link.is_open or encoder.doubt is not Doubt.NONE:
            return
        if now - encoder.read_ns <= self._silent_ns:
            return
        self._questions.read_plc(now)
        if self._link.is_open and now_ns() - encoder.read_ns > self._silent_ns:
            encoder.silent()

    def _line_fault(self, now: int) -> FaultCode:
        if self._questions.foreign(now):
            return FaultCode.FOREIGN_MASTER
        doubt = self._belt.doubt
        if doubt not in {Doubt.NONE, self._told_doubt}:
            log.error("nobody knows where the parts are, everything is rejected: %s", doubt.value)
        self._told_doubt = doubt
        if doubt is Doubt.SILENT:
            return FaultCode.TRACKING_LOST
        # On a belt that stands READY stays: it must be allowed to move before it can be believed again.
        if self._belt.speed_m_per_s > 0 and doubt in {Doubt.MISMATCH, Doubt.IMPOSSIBLE_SPEED}:
            return FaultCode.TRACKING_LOST
        return self._handshake.line_fault if self._handshake else self._changeover.fault

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
        """Parts whose verdict the process before us may have written or not: rejects, and told to the PLC as such."""
        now = now_ns()
        records = self._records.newest()
        self._told.update(
            (part_id, triggered_ns) for _, part_id, _, triggered_ns, finished in records if finished
        )
        for index, part_id, encoder_count, triggered_ns, finished in records:
            if finished:
                continue
            self._finished_early.add(index)
            if (part_id, triggered_ns) in self._told:
                self._acknowledge(index, SUPERSEDED, now)
                continue
            self._told.add((part_id, triggered_ns))
            outcome = Outcome(Verdict.REJECT, Reason.PLC_SILENT, PlcResult.TIMEOUT, 0, 0)
            self._acknowledge(index, outcome, now)
            self._last_part_id = max(self._last_part_id, part_id)
            position_mm = self._belt.trigger_position_mm(encoder_count, now)
            self._revocations.add(Part(part_id, encoder_count, now, position_mm), Reason.PLC_SILENT, now)
        if self._finished_early:
            log.warning("%d parts that the process before left open are rejects", len(self._finished_early))

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
