"""The report of a run. Its JSON schema is published as docs/report.schema.json."""

from pydantic import Field

from edge.settings import Settings


class Percentiles(Settings):
    """Milliseconds; null where nothing was measured. Quantiles are within 1 %, the maximum is exact."""

    p50: float | None = None
    p99: float | None = None
    p99_9: float | None = None
    max: float | None = None


class Span(Settings):
    """Smallest and largest value that was in force, ms."""

    min: float | None = None
    max: float | None = None


class VerdictCounts(Settings):
    """What finally held for the parts."""

    pass_: int = Field(0, alias="pass")
    reject: int = 0
    no_part: int = 0


class Truth(Settings):
    """Against the truth, where it is known. An escape is a defective part that was not rejected."""

    known: bool = False
    defective: int = 0
    good: int = 0
    escapes: int = 0
    overkills: int = 0


class PlcCounts(Settings):
    """Verdict writes, those not acknowledged in time, and new connections after the first.

    Twin only: ``twice`` and ``never`` count the parts for which the PLC itself got more than one verdict, or none.
    """

    writes: int = 0
    unconfirmed: int = 0
    reconnects: int = 0
    twice: int = 0
    never: int = 0


class Bins(Settings):
    """Twin only. right: fell where its final verdict said; wrong: passed but fell into the reject bin;
    missed: rejected but fell into the good bin; unknown: never reached the ejector."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    unknown: int = 0


class ProcessMemory(Settings):
    """Resident memory of one process, MiB, at the first and last quarter of the run."""

    early: float
    late: float


class Drift(Settings):
    """Light and focus against the first 50 parts of the run; null where too few were seen or it is not measured."""

    brightness_first: float | None = Field(None, description="Mean grey level of the first parts.")
    brightness_now: float | None = None
    drift_ev: float | None = Field(None, description="log2(now / first).")
    furthest_ev: float | None = Field(None, description="The drift that was furthest from 0.")
    sharpness_ratio: float | None = Field(None, description="Now / first.")
    sharpness_lowest_ratio: float | None = None


class CameraDelay(Settings):
    """Milliseconds; null where the camera gives no stamps of its own."""

    p50: float | None = None
    p99: float | None = None


class CameraCounts(Settings):
    """What became of the camera's frames. Cameras without frame ids of their own report zeros but for reconnects."""

    frames: int = Field(0, description="Delivered by the camera, whole or not.")
    incomplete: int = Field(0, description="Of these with packets missing: flagged, never judged.")
    lost: int = Field(0, description="Never came; their parts were rejected as frame_lost.")
    lost_unnoticed: int = Field(0, description="Never came, and no part was announced for them; must be 0.")
    late: int = Field(
        0, description="Came when their part was no longer waited for; it was rejected as frame_lost."
    )
    unmatched: int = Field(
        0, description="Nobody could say whose part they show; that part was rejected as frame_lost."
    )
    reconnects: int = 0
    resent_packets: int = 0
    clock_jumps: int = 0
    drift_ppm: float | None = Field(
        None, description="Of the camera's clock against ours; null: not measured."
    )
    device_to_slot_ms: CameraDelay = Field(CameraDelay(), description="The camera's stamp to slot ready.")
    exposure_us: float | None = Field(None, description="As auto-exposure left it; null: it is off.")
    exposure_changes: int = Field(0, description="By auto-exposure.")
    copies_per_frame: float = Field(
        0.0, description="In our code: 0, drivers fill the slots of the frame ring."
    )


class RunReport(Settings):
    """Everything a run says about itself."""

    line: str
    version: str
    seconds: float
    parts: int = Field(description="Triggers of the part sensor.")
    verdicts: VerdictCounts
    reasons: dict[str, int]
    truth: Truth
    latency_ms: Percentiles = Field(description="Frame received to PLC acknowledgement.")
    trigger_to_ack_ms: Percentiles
    engine_ms: Percentiles
    runtime_tax_ms: Percentiles = Field(description="latency minus engine time")
    budget_ms: Span
    overruns: int
    gate_share: float | None = Field(description="Share of the judged parts that the gate settled alone.")
    drift: Drift = Drift()
    certificate: str = Field(
        "none", description="Of the escape rate: none, holds, or what in engines or recipe does not match it."
    )
    speed_outside_table: int = Field(
        0, description="Parts rejected because the routing table ends below their speed."
    )
    stage_ms: dict[str, Percentiles]
    plc: PlcCounts
    bins: Bins
    lost_records: int
    duplicate_verdicts: int = Field(description="Parts with more than one record.")
    frames_dropped: int
    camera: CameraCounts = CameraCounts()
    restarts: dict[str, int]
    memory_mib: dict[str, ProcessMemory]
