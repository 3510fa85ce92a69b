"""Native core of the runtime. Times are CLOCK_MONOTONIC nanoseconds; every wait is bounded and drops the GIL."""

import enum
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

class CoreError(Exception): ...

# --- clock and real time ---------------------------------------------------------------------------

def now_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds."""

def sleep_until_ns(deadline_ns: int) -> None:
    """Sleeps until an absolute CLOCK_MONOTONIC time; returns at once when it is past."""

def set_fifo_priority(priority: int) -> bool:
    """SCHED_FIFO for the calling thread (1..99); False where the system does not permit it."""

def lock_memory() -> bool:
    """mlockall(current and future); False where the system does not permit it."""

# --- enumerations (the PLC sees these numbers: never renumber) -----------------------------------------

class PixelFormat(enum.IntEnum):
    MONO8 = 1
    BAYER_RG8 = 2  # GenICam naming: first row R G; OpenCV calls the same mosaic BayerBG
    BGR8 = 3
    BGRA8 = 4

class FrameStatus(enum.IntEnum):
    OK = 0
    INCOMPLETE = 1  # packets missing
    CORRUPT = 2  # could not be decoded
    OVERSIZE = 3  # larger than a ring slot
    STALE = 4  # exposed before the camera was opened (again)
    UNLIT = 5  # the light controller did not have its values

class Verdict(enum.IntEnum):
    NONE = 0
    PASS = 1
    REJECT = 2
    NO_PART = 3

class Reason(enum.IntEnum):
    NONE = 0  # passes only
    DEFECT = 1
    UNCERTAIN = 2  # the classifier did not reach its threshold either
    NO_TIME = 3  # uncertain, and the classifier no longer fitted the budget
    OVERRUN = 4  # the verdict would be, or was, late
    FRAME_LOST = 5
    FRAME_TORN = 6
    FRAME_CORRUPT = 7
    FRAME_OVERSIZE = 8
    FRAME_STALE = 9
    UNDEREXPOSED = 10
    OVEREXPOSED = 11
    ENGINE = 12  # engine error or NaN
    NO_VERDICT = 13  # inspection gave none in time (dead, hung)
    PLC_SILENT = 14  # the PLC did not acknowledge before the deadline
    BLURRED = 15
    SPEED = 16  # faster than the routing table reaches
    TRACKING = 17  # nobody knows where on the belt the part is

class Route(enum.IntEnum):
    NONE = 0
    GATE = 1
    CLASSIFIER = 2

class PlcResult(enum.IntEnum):
    PENDING = 0
    ACKED = 1
    LATE = 2  # acknowledged after the deadline
    TIMEOUT = 3
    REFUSED = 4  # exception reply
    DISCONNECTED = 5
    SUPERSEDED = 6  # the part had already been rejected for want of a verdict

class LoopState(enum.IntEnum):
    STARTING = 0
    READY = 1
    FAULT = 2
    STOPPED = 3
    HELD = 4  # a decision rule holds the line

class JournalState(enum.IntEnum):
    """What becomes of the records of the ring."""

    NONE = 0
    WRITTEN = 1
    PAUSED = 2

class Action(enum.IntEnum):
    """What the decision rules want of a part in which a defect was found."""

    NONE = 0  # no rule was asked
    PASS = 1
    REJECT = 2
    REWORK = 3
    HOLD_LINE = 4

# --- preprocess ------------------------------------------------------------------------------------

class FrameStats:
    """Brightness of the region of interest, seen on the output grid."""

    @property
    def mean(self) -> float:
        """Mean grey level, 0..255."""
    @property
    def dark_share(self) -> float:
        """Share of pixels at or below 4."""
    @property
    def bright_share(self) -> float:
        """Share of pixels at or above 251."""

class FlatField:
    """Correction of each sample before anything else: ``(value − dark / 256) × gain / 16384``, within 0..255."""

    def __init__(self, *, dark: NDArray[np.uint16], gain: NDArray[np.uint16]) -> None:
        """Both height × width, or height × width × bytes per pixel. Raises CoreError when they differ."""
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def samples(self) -> int:
        """Bytes per pixel."""

class Preprocess:
    """Debayer, region of interest, resize, normalise to NCHW in one pass.

    ``value = (grey / 255 - mean[c]) / std[c]`` as float32, or ``round(value / int8_scale)`` clipped to int8.
    Channel order is RGB. One channel from a colour frame is the luma 0.299 R + 0.587 G + 0.114 B; a mono frame
    fills every channel. ``resize`` is "bilinear" (OpenCV INTER_LINEAR) or "area" (INTER_AREA, which is bilinear
    where the picture grows). ``roi`` is (x, y, width, height) in frame pixels, clipped to the frame; None: all.
    ``flat_field`` fits frames of its own size and bytes per pixel only.
    """

    def __init__(
        self,
        *,
        out_width: int,
        out_height: int,
        channels: int = 3,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        resize: str = "area",
        roi: tuple[int, int, int, int] | None = None,
        dtype: str = "float32",
        int8_scale: float = 1.0,
        flat_field: FlatField | None = None,
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, channels, out_height, out_width)."""
    def into(
        self,
        pixels: NDArray[np.uint8],
        width: int,
        height: int,
        stride: int,
        pixel_format: PixelFormat,
        out: NDArray[np.float32] | NDArray[np.int8],
    ) -> FrameStats:
        """Fills ``out``; ``pixels`` is the flat frame, ``stride`` in bytes. Raises CoreError when sizes do not fit."""

# --- calibration -------------------------------------------------------------------------------------

class CalibrationHistogram:
    """Counts of |x| over a stream, in 2,048 equal bins whose range doubles when needed; exact zeros are not counted."""

    def __init__(self) -> None: ...
    def add(self, values: NDArray[np.float32]) -> None:
        """Contiguous float32 of any shape; without the GIL. Raises CoreError, and counts nothing: NaN or infinity."""
    @property
    def counts(self) -> NDArray[np.int64]:
        """(2048,), a copy."""
    @property
    def width(self) -> float:
        """Of one bin; 0: only zeros so far."""
    @property
    def low(self) -> float:
        """Lowest value seen, at most 0."""
    @property
    def high(self) -> float:
        """Highest value seen, at least 0."""

# --- shared region ---------------------------------------------------------------------------------

class FrameSlot:
    """A ring slot that the camera is filling. Publish it or drop it; both give it up."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The slot's bytes in place, flat, ``slot_bytes`` long; writable."""
    def publish(
        self,
        *,
        frame_id: int,
        trigger_id: int,
        encoder_count: int,
        exposure_end_ns: int,
        width: int,
        height: int,
        stride: int,
        pixel_format: PixelFormat,
        status: FrameStatus = FrameStatus.OK,
    ) -> None:
        """Stamps the received time (now) and hands the frame to the loop."""
    def drop(self) -> None: ...

class FrameView:
    """A copy of a frame taken out of the ring by the recorder."""

    frame_id: int
    trigger_id: int
    encoder_count: int
    exposure_end_ns: int
    received_ns: int
    width: int
    height: int
    stride: int
    pixel_format: PixelFormat
    status: FrameStatus
    pixels: NDArray[np.uint8]

class TriggerReader:
    """An own cursor into the broadcast ring of triggers."""

    def read(self) -> tuple[int, int, int] | None:
        """(trigger_id, encoder_count, stamp_ns) of the next trigger, or None."""
    @property
    def lost(self) -> int: ...

class VerdictEntry:
    """What the loop decided about one part; plain values."""

    part_id: int
    encoder_count: int
    verdict: Verdict
    reason: Reason
    route: Route
    class_id: int
    action: Action
    bin: int
    confidence: float
    triggered_ns: int
    received_ns: int
    decided_ns: int
    deadline_ns: int
    record_index: int

class VerdictReader:
    def read(self) -> VerdictEntry | None: ...
    @property
    def lost(self) -> int: ...

class LineStatus:
    """Counters and states that the processes of a line share; each is one atomic int64."""

    stop: int  # 1: every process drains and ends
    end_of_stream: int  # 1: the camera has shown its last frame
    loop_state: int  # LoopState
    loop_beat_ns: int  # the loop's real progress
    actuation_beat_ns: int
    camera_beat_ns: int
    camera_ready: int
    actuation_ready: int
    line_ready: int  # what the PLC was told
    plc_connected: int
    plc_writes: int
    plc_unconfirmed: int
    plc_reconnects: int
    plc_write_p50_ns: int  # 0: unknown
    plc_write_p999_ns: int
    plc_tail_doubts: int  # parts without time for the classifier because of plc_write_p999_ns
    speed_um_per_s: int
    speed_stamp_ns: int  # 0: never read
    frames_published: int
    frames_dropped: int  # no free slot
    frames_orphaned: int  # came without a part that still waited for them
    triggers_pushed: int
    last_trigger_id: int  # of the newest; above their number when parts passed that no camera saw
    triggers_lost: int  # overwritten before the loop saw them
    parts_decided: int
    parts_tracked: int  # in the shift register now
    parts_ended: int  # left it
    engine_faults: int
    verdict_from_ns: int  # the next verdict is expected then, and actuation awake
    verdict_until_ns: int
    gate_p999_ns: int
    classifier_p999_ns: int
    speed_outside_table: int  # parts rejected because the routing table does not reach their speed
    holds_wanted: int  # parts for which a rule wanted the line held
    holds_released: int  # of these released again
    recipe_wanted: int  # number that the PLC asks for; 0: none
    recipe_active: int  # of the parts to come
    recipe_refused: int  # the number that the loop does not have or whose engines fail
    rollback_wanted: (
        int  # bit i: the line's recipe i (0: its own) left its range, the one before it shall judge
    )
    rolled_back: int  # of these done
    rollback_refused: int  # of these not: nothing stands by, or its engines fail
    camera_reconnects: int  # times that a camera which had been open was opened again
    camera_stale: int  # frames exposed before the camera was opened (again), rejected
    camera_frames: int  # that the camera delivered, whole or not
    camera_incomplete: int  # of these with packets missing: never judged
    camera_lost: int  # frames that never came; their parts are rejected as frame_lost
    camera_lost_unnoticed: int  # of these without a part that was announced; must stay 0
    camera_resent: int  # packets that the camera sent again
    camera_copies: int  # frames that were not written straight into their slot
    camera_delay_p50_ns: int  # the camera's own stamp → slot ready
    camera_delay_p99_ns: int
    camera_clock_jumps: int  # of the camera's clock
    camera_drift_ppb: int  # of the camera's clock against ours
    camera_unmatched: int  # frames of which nobody could say whose part they show: dropped
    camera_exposure_ns: int  # as auto-exposure has it; 0: not ours to change
    camera_exposure_changes: int  # by auto-exposure
    light_frames: int  # frames whose brightness the loop has looked at
    light_sum_milli: int  # sum of their mean grey levels, 1/1000
    journal_state: int  # JournalState, as the reporting process left it
    journal_waiting: int  # records of the ring that are not in the journal yet
    journal_lost: int  # records that the ring dropped before they could be kept, of this ring

class Region:
    """The one shared-memory region of a line: frame ring, triggers, verdicts, status, doorbells."""

    @staticmethod
    def create(path: str, *, frame_slots: int, slot_bytes: int) -> Region:
        """Raises CoreError when the path exists or memory is short."""
    @staticmethod
    def attach(path: str) -> Region:
        """Raises CoreError when it is not there, of another version, or too short."""
    @property
    def status(self) -> LineStatus: ...
    @property
    def slot_bytes(self) -> int: ...
    def reclaim_slots(self) -> None:
        """Frees what a camera process, now dead, had claimed. For its successor, before it claims anything."""
    def discard_frames(self) -> None:
        """Gives back what waits, unread, in place of a loop: for benchmarks and for looking at a camera alone."""
    def slot_address(self, index: int) -> int:
        """Where the pixels of slot ``index`` lie in this process."""
    def claim_slot(self) -> FrameSlot | None:
        """A free slot, oldest first; None (counted in frames_dropped) while the loop needs them all.

        Several may be held at once; the loop gets them in the order of their publication.
        """
    def copy_frame(self, trigger_id: int) -> FrameView | None:
        """A consistent copy of the frame of this trigger, or None when its slot has been reused."""
    def push_trigger(self, trigger_id: int, encoder_count: int, stamp_ns: int) -> None: ...
    def trigger_reader(self) -> TriggerReader: ...
    def verdict_reader(self) -> VerdictReader: ...
    def push_verdict(
        self,
        *,
        part_id: int,
        encoder_count: int,
        verdict: Verdict,
        reason: Reason,
        route: Route,
        class_id: int,
        confidence: float,
        triggered_ns: int,
        received_ns: int,
        decided_ns: int,
        deadline_ns: int,
        record_index: int,
    ) -> None:
        """What the native loop does for every part; here for tests of the actuation process."""
    def ring_loop(self) -> None:
        """Wakes the loop: there is news for it in the status."""
    def actuation_bell(self) -> int:
        """Rings so far. Note it, look for work, then pass it to wait_actuation: no wake-up is lost."""
    def wait_actuation(self, seen: int, deadline_ns: int) -> None:
        """Waits for a trigger or a verdict after ring ``seen``, or until the absolute time."""
    def spin_actuation(self, seen: int, deadline_ns: int) -> None:
        """The same without giving up the processor: for a verdict that is due within a fraction of a millisecond."""

# --- cameras through Aravis ----------------------------------------------------------------------------

def load_aravis(library: str = "libaravis-0.8.so.0") -> None:
    """Finds the library. Raises CoreError naming the package that has it."""

class AravisFound:
    """A camera on the network or on USB."""

    @property
    def id(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def vendor(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def serial(self) -> str: ...
    @property
    def protocol(self) -> str:
        """GigEVision, USB3Vision or Fake."""

class AravisDevice:
    """One camera under our control. Any call may take seconds and raises CoreError; features by GenICam name."""

    @staticmethod
    def list() -> list[AravisFound]:
        """Asks all networks and USB; takes a second."""
    @staticmethod
    def open(id: str) -> AravisDevice: ...
    @staticmethod
    def open_at(interface_ip: str, device_ip: str) -> AravisDevice:
        """Without asking around: a GigE Vision camera whose addresses are known."""
    def close(self) -> None: ...
    @property
    def is_gige(self) -> bool: ...
    @property
    def in_control(self) -> bool:
        """False: somebody else controls the camera, or it has gone. Does not ask the camera."""
    @property
    def interface_ip(self) -> str: ...
    @property
    def device_ip(self) -> str: ...
    @property
    def is_loopback(self) -> bool: ...
    def has(self, feature: str) -> bool: ...
    def text(self, feature: str) -> str: ...
    def set_text(self, feature: str, value: str) -> None: ...
    def integer(self, feature: str) -> int: ...
    def set_integer(self, feature: str, value: int) -> None: ...
    def steps(self, feature: str) -> tuple[int, int, int]:
        """Lowest, highest, step."""
    def choices(self, feature: str) -> Sequence[str]: ...
    def exposure_bounds_us(self) -> tuple[float, float]: ...
    def exposure_us(self) -> float: ...
    def set_exposure_us(self, value: float) -> None: ...
    def gain_bounds(self) -> tuple[float, float]: ...
    def gain(self) -> float: ...
    def set_gain(self, value: float) -> None: ...
    def frame_rate(self) -> float: ...
    def set_frame_rate(self, value: float) -> None: ...
    def set_region(self, x: int, y: int, width: int, height: int) -> None: ...
    def payload(self) -> int:
        """Bytes of a frame."""
    def set_packet_size(self, size_bytes: int) -> None: ...
    def packet_size(self) -> int: ...
    def use_packet_socket(self, wanted: bool) -> None:
        """Before the stream is made."""
    def set_chunks(self, names: str) -> None:
        """Names of ChunkSelector with commas between; empty: no chunks."""
    def set_trigger(self, source: str) -> None: ...
    def clear_trigger(self) -> None: ...
    def software_trigger(self) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...

class CaptureLast:
    """The frame that was published last."""

    @property
    def slot(self) -> int: ...
    @property
    def frame_id(self) -> int: ...
    @property
    def trigger_id(self) -> int: ...
    @property
    def exposed_ns(self) -> int: ...
    @property
    def exposure_ns(self) -> int:
        """How long it was exposed: by its own chunk, else as the camera was told."""
    @property
    def status(self) -> FrameStatus: ...
    @property
    def address(self) -> int:
        """Where the driver wrote its pixels, in this process."""

class AravisCapture:
    """The driver writes into ring slots, a native thread publishes them; meaning of settings in aravis_capture.hpp.

    Counters go to ``Region.status`` (camera_…).
    """

    def __init__(
        self,
        region: Region,
        *,
        part_sensor: bool = False,
        buffers: int = 8,
        frame_timeout_ns: int = 100_000_000,
        lost_after: int = 3,
        silence_ns: int = 0,
        counts_per_ns: float = 0.0,
        belt_start_ns: int = 0,
        utc_stamps: bool = False,
        trigger_lag_ns: int = 15_000_000,
        exposure_ns: int = 0,
        chunk_exposure: bool = False,
        socket_buffer_bytes: int = 4194304,
        resend: bool = True,
        retention_ns: int = 20_000_000,
        fifo_priority: int = 0,
    ) -> None: ...
    def start(self, device: AravisDevice) -> None:
        """Makes a stream of slots; then the device may be started. Raises CoreError."""
    def stop(self) -> None:
        """Ends the stream without asking the camera; nothing is published after it."""
    def expect(self, trigger_id: int, encoder_count: int, stamp_ns: int) -> None:
        """The part sensor fired: pushes the trigger and waits for its frame."""
    def set_exposure_ns(self, value: int) -> None:
        """Frames from here on end so long after their stamp."""
    @property
    def lost(self) -> bool:
        """The camera no longer delivers."""
    @property
    def stale(self) -> int:
        """Frames with an id that was seen already: dropped."""
    @property
    def unmatched(self) -> int:
        """Frames of which nobody could say whose part they show: dropped."""
    @property
    def underruns(self) -> int:
        """Frames for which the driver had no slot."""
    @property
    def cpu_ns(self) -> int:
        """Processor time of the capture thread of this session."""
    @property
    def driver_cpu_ns(self) -> int:
        """Processor time of the library's receiving thread of this session."""
    @property
    def last(self) -> CaptureLast | None: ...

# --- part records ----------------------------------------------------------------------------------

PART_RECORD_DTYPE: np.dtype[np.void]
"""One part: an inspection half and an actuation half, each with its own CRC-32. Fields: see records/schema.py."""

class RecordRing:
    """Memory-mapped ring file of fixed records; survives the processes."""

    @staticmethod
    def create(path: str, *, capacity: int) -> RecordRing:
        """Reserves the whole file at once. Raises CoreError when the disk is full or the path cannot be written."""
    @staticmethod
    def attach(path: str) -> RecordRing:
        """Raises CoreError naming the version found and expected, or the truncated size."""
    @property
    def capacity(self) -> int: ...
    @property
    def head(self) -> int:
        """Index of the next record to be begun; indices never wrap."""
    @property
    def identity(self) -> int:
        """Wall clock at its creation, ns: tells a ring from the one before it at the same path."""
    def acknowledge(
        self,
        index: int,
        *,
        verdict: Verdict,
        reason: Reason,
        result: PlcResult,
        queued_ns: int,
        sent_ns: int,
        ack_ns: int,
    ) -> None:
        """Writes the actuation half of a record: what finally held for the part."""
    def append_unjudged(
        self,
        *,
        part_id: int,
        encoder_count: int,
        triggered_ns: int,
        deadline_ns: int,
        recipe: int = 0,
        recipe_earlier: bool = False,
    ) -> int:
        """Begins a record for a part that inspection gave no verdict; returns its index."""
    def newest(self, limit: int = 4096) -> list[tuple[int, int, int, int, bool]]:
        """(index, part id, encoder count, time of the trigger, finished by actuation), oldest first."""
    def reader(self, *, oldest: bool = False) -> RecordReader:
        """Begins at the next record to come, or at the oldest that the ring still holds."""
    def reader_at(self, index: int) -> RecordReader:
        """Begins at a record; what the ring no longer holds of it counts as lost."""

class RecordReader:
    def read(self, limit: int = 256) -> NDArray[np.void]:
        """The next finished records (both halves), oldest first; stops at the first unfinished one."""
    def read_indexed(self, limit: int = 256) -> tuple[NDArray[np.void], list[int]]:
        """As ``read``, with the index of each record in the ring."""
    @property
    def cursor(self) -> int:
        """Index of the next record that is looked at."""
    @property
    def lost(self) -> int:
        """Records overwritten before they were read, or with a bad CRC."""

# --- latency ---------------------------------------------------------------------------------------

class Histogram:
    """Bounded log-linear histogram of nanoseconds, quantiles within 1 %, exact minimum and maximum."""

    def __init__(self) -> None: ...
    def add(self, value_ns: int) -> None: ...
    def quantile(self, q: float) -> int:
        """Nanoseconds; 0 when empty."""
    def below(self, value_ns: int) -> int:
        """How many values are at most this one, to the width of a bucket."""
    @property
    def count(self) -> int: ...
    @property
    def max(self) -> int: ...

class SlidingQuantile:
    """Quantile over the last ``window`` values; with fewer than 1/(1-q) values it is their maximum."""

    def __init__(self, window: int, q: float) -> None: ...
    def add(self, value_ns: int) -> None: ...
    def value(self) -> int: ...

class TailDoubt:
    """While raised, ``RUNS`` fresh latencies are gathered; they then replace what was known, and it rests."""

    RUNS: ClassVar[int]
    REST_NS: ClassVar[int]
    def __init__(self, window: int) -> None: ...
    @property
    def raised(self) -> bool: ...
    def raise_(self, now_ns: int) -> None: ...
    def ran(self, took_ns: int, now_ns: int, known: SlidingQuantile) -> None: ...

# --- the loop --------------------------------------------------------------------------------------

class DetectorKind(enum.IntEnum):
    NANODET_PLUS = 0
    YOLOV5 = 1
    YOLOX = 2

class Detector:
    """A detector's raw output → boxes. Raises CoreError for bad settings. See engines.manifest.DecoderSpec."""

    def __init__(
        self,
        *,
        kind: DetectorKind,
        input_width: int,
        input_height: int,
        classes: int,
        strides: Sequence[int] = ...,
        reg_max: int = 7,
        anchors_per_cell: int = 3,
        min_score: float = 0.05,
        nms_iou: float = 0.6,
        max_candidates: int = 1000,
        max_detections: int = 100,
    ) -> None: ...
    def decode(self, raw: NDArray[np.float32]) -> bool:
        """``raw``: locations × outputs. False: not finite, or scores outside [0, 1]. Raises CoreError: another size."""

    @property
    def detections(self) -> NDArray[np.float32]:
        """After suppression, best first: n × (x1, y1, x2, y2, score, class), pixels of the input."""

    @property
    def locations(self) -> int: ...
    @property
    def outputs(self) -> int: ...

class BoxScores:
    """Boxes → scores of the engine's classes. ``classes``: per class of boxes (index of score or -1, gain, bias)."""

    def __init__(
        self,
        *,
        detector: Detector,
        classes: Sequence[tuple[int, float, float]],
        part_class: int,
        scores: int,
        good: int,
        empty: int,
    ) -> None: ...
    def decode(self, raw: NDArray[np.float32]) -> bool:
        """As Detector.decode; False fills the scores with NaN."""

    @property
    def shape(self) -> tuple[int, int]:
        """Locations and outputs of the detector."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """(1, scores), a view: every ``decode`` writes into it."""

    @property
    def detections(self) -> NDArray[np.float32]: ...
    @property
    def part(self) -> tuple[float, float, float, float, float, int] | None:
        """x1, y1, x2, y2, score, class of boxes."""

    @property
    def defect(self) -> tuple[float, float, float, float, float, int] | None:
        """The worst defect's box; the last number is the index of its score."""

def cuda_tables(
    preprocess: Preprocess, width: int, height: int, stride: int, pixel_format: PixelFormat
) -> bytes:
    """What the kernel of edge/core/cuda_preprocess.cuh reads beside the frame; ``stride`` 0: rows without padding.

    Raises CoreError like ``into``, and for a flat field, which the kernel does not know.
    """

def cuda_preprocess_on_cpu(
    preprocess: Preprocess,
    pixels: NDArray[np.uint8],
    width: int,
    height: int,
    stride: int,
    pixel_format: PixelFormat,
    out: NDArray[np.float32] | NDArray[np.int8],
) -> FrameStats:
    """The kernel's arithmetic, thread by thread, on a CPU."""

class CudaRing:
    """While this lives, the frame slots of a region are page-locked and mapped for the GPU of ``context`` (a handle).

    Raises CoreError: no driver, or what it says; it refuses a region that is registered already.
    """

    def __init__(self, region: Region, *, context: int, library: str = "libcuda.so.1") -> None: ...
    def device_address(self, index: int) -> int:
        """Where the pixels of slot ``index`` lie for the GPU."""

class CudaFramePath:
    """From a frame in its slot to the scores: ``graph`` is a kernel and the inference behind it.

    ``frame`` and ``stats``: uint64 (2,), mapped memory where the kernel finds its frame and leaves the brightness;
    ``outputs``: pixels of the engine's input. Raises CoreError: the graph is not captured.
    """

    def __init__(
        self,
        *,
        ring: CudaRing,
        graph: CudaGraph,
        frame: NDArray[np.uint64],
        stats: NDArray[np.uint64],
        outputs: int,
    ) -> None: ...
    def open(self, width: int, height: int, pixel_format: PixelFormat) -> None:
        """The kernel's tables are those of such frames: the loop may launch it."""
    def close(self) -> None:
        """The loop prepares frames on the CPU again; waits for the launch under way."""

class CudaGraph:
    """Work of a CUDA stream, captured once and launched by native code. ``context``, ``stream``: the driver's handles.

    Raises CoreError: no driver.
    """

    def __init__(
        self, *, context: int, stream: int, timeout_ns: int, library: str = "libcuda.so.1"
    ) -> None: ...
    def begin_capture(self) -> None: ...
    def end_capture(self) -> None: ...
    @property
    def captured(self) -> bool: ...
    def run(self) -> bool:
        """Launches and waits up to the timeout, without the GIL; False: it failed or is late."""
    def time_runs(self, runs: int) -> list[int]:
        """Nanoseconds of as many runs, measured without the GIL; -1: that run failed."""

class EngineSlot:
    """An engine as the loop sees it: a preprocess, its input and output buffers, and what to call."""

    def __init__(
        self,
        *,
        preprocess: Preprocess,
        input: NDArray[np.float32] | NDArray[np.int8],
        output: NDArray[np.float32],
        run: Callable[[], None],
        boxes: BoxScores | None = None,
        graph: CudaGraph | None = None,
        raw: NDArray[np.float32] | None = None,
        frames: CudaFramePath | None = None,
    ) -> None:
        """With a ``graph`` the loop launches that instead of ``run``, and decodes ``raw`` with ``boxes``; with
        ``frames`` it launches these instead of preprocess and ``graph``, for frames that they are open for."""

class ScoreMap:
    """Platt scaling of one score; identity by default. Raises CoreError for a gain that is not positive."""

    def __init__(self, *, gain: float = 1.0, bias: float = 0.0) -> None: ...
    def __call__(self, p: float) -> float: ...

class ScoreCalibration:
    """How the three sums of one engine become probabilities."""

    def __init__(self, *, good: ScoreMap = ..., defect: ScoreMap = ..., empty: ScoreMap = ...) -> None: ...

class ClassRoles:
    """Which class is which; ``limits`` by class: from this score on no part passes (2: never)."""

    def __init__(self, *, good: int, empty: int, limits: Sequence[float] = ()) -> None: ...

class RoutingRow:
    """Thresholds that hold up to a line speed; see core/routing.hpp."""

    def __init__(
        self,
        *,
        speed_um_per_s: int,
        gate_good: float,
        gate_defect: float,
        gate_empty: float,
        classifier_good: float,
        retest_good: float = 2.0,
    ) -> None: ...

class Zone:
    """A rectangle in shares of the part's box."""

    def __init__(self, x1: float, y1: float, x2: float, y2: float) -> None: ...

class Rule:
    """One decision rule; see core/rules.hpp."""

    def __init__(
        self,
        *,
        class_id: int = -1,
        zone: int = -1,
        min_score: float = 0.0,
        min_size_mm: float = 0.0,
        max_size_mm: float = 1e9,
        action: Action = Action.REJECT,
        bin: int = 0,
    ) -> None: ...

class RuleBook:
    """A fixed list of rules; the first that fits decides."""

    def __init__(self, rules: Sequence[Rule] = (), zones: Sequence[Zone] = ()) -> None: ...
    def decide(
        self, *, class_id: int, score: float, size_mm: float = -1.0, x: float = -1.0, y: float = -1.0
    ) -> tuple[Action, int, int]:
        """(action, bin, number of the rule from 1; 0: none fitted). Negative: unknown."""

class PartRouter:
    """What the loop does with the scores of parts, when they are all known beforehand: same code, no clock."""

    def __init__(
        self,
        *,
        rows: Sequence[RoutingRow],
        hysteresis: float = 0.0,
        roles: ClassRoles,
        gate: ScoreCalibration = ...,
        classifier: ScoreCalibration = ...,
        rules: RuleBook = ...,
    ) -> None:
        """Raises CoreError for an empty table."""
    def route(
        self,
        gate: NDArray[np.float32],
        classifier: NDArray[np.float32] | None,
        again: NDArray[np.float32] | None,
        *,
        speeds_um_per_s: NDArray[np.int64],
        looks_in_time: NDArray[np.uint8],
    ) -> dict[str, NDArray[np.uint8] | NDArray[np.int64]]:
        """Scores are parts × classes as the engines give them; ``looks_in_time``: how often the classifier
        may look at the part before its deadline.

        Returns by part ``verdict``, ``reason``, ``route``, ``class_id``, ``looks`` (uint8) and ``took_ns`` (int64).
        """

class SecondView(enum.IntEnum):
    """Of the frame that is in an engine's input."""

    NONE = 0
    MIRRORED = 1
    EXPOSED = 2  # brightened to a wanted mean

def make_second_view(
    view: SecondView,
    preprocess: Preprocess,
    input: NDArray[np.float32] | NDArray[np.int8],
    *,
    brightness_mean: float,
    brightness_wanted: float,
) -> bool:
    """Changes the input in place; False where this view cannot be made."""

def sharpness(preprocess: Preprocess, input: NDArray[np.float32] | NDArray[np.int8]) -> float:
    """Energy of the Laplacian over the variance on the middle channel; -1: unknown."""

class Fusion(enum.IntEnum):
    """How the frames of one part become one verdict."""

    ANY_REJECT = 0
    MAJORITY = 1

class RecipeSettings:
    """What the loop needs to know of a recipe besides its engines; defaults and meaning in core/recipe.hpp."""

    number: int
    earlier: bool
    min_mean: float
    max_mean: float
    max_dark_share: float
    max_bright_share: float
    min_sharpness: float
    max_frame_age_ns: int
    classes: ClassRoles
    gate_scores: ScoreCalibration
    classifier_scores: ScoreCalibration
    routing: list[RoutingRow]
    second_view: SecondView
    brightness_wanted: float
    rules: list[Rule]
    zones: list[Zone]
    mm_per_pixel: float

class LoopSettings(RecipeSettings):
    """Everything that the loop needs to know before it starts; defaults and meaning in core/loop.hpp."""

    budget_cap_ns: int
    window_um: int
    max_speed_um_per_s: int
    speed_stale_ns: int
    frame_timeout_ns: int
    change_pause_ns: int
    plc_write_assumed_ns: int
    ignore_deadlines: bool
    routing_hysteresis: float
    braking_um_per_s2: int
    frames_per_part: int
    fusion: Fusion
    warmup_runs: int
    warmup_limit_ns: int
    keep_warm_ns: int
    engine_fault_limit: int
    anticipate: bool
    fifo_priority: int
    cpu: int

class InspectionLoop:
    def __init__(
        self,
        region: Region,
        records: RecordRing,
        settings: LoopSettings,
        gate: EngineSlot,
        classifier: EngineSlot | None,
    ) -> None: ...
    def add_recipe(self, settings: RecipeSettings, gate: EngineSlot, classifier: EngineSlot | None) -> None:
        """One more that ``status.recipe_wanted`` may name, or (``earlier``) that stands by for one that is here.

        Raises CoreError: number taken, nothing to stand by for, more than 16, started.
        """
    def start(self) -> None: ...
    def stop(self) -> None:
        """Ends the thread after the part in work."""
    @property
    def running(self) -> bool: ...
    @property
    def frame_shape(self) -> tuple[int, int, PixelFormat] | None:
        """Width, height and format of the last frame that was fit to be judged."""
