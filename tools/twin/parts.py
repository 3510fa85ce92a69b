"""What travels on the twin's belt: which part, which defect, where, and in which light."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinError

CLASSES = ("no_part", "flawless", "crack", "stain", "dent", "excess")
"""The index is the class id everywhere: plans, boxes, model outputs."""
NO_PART, FLAWLESS = 0, 1
DEFECTS = tuple(range(2, len(CLASSES)))

FINISHES = ("brushed", "milled", "cast", "anodised")

PART_LENGTH_MM = 60.0
PART_WIDTH_MM = 40.0
FIRST_POSITION_MM = 200.0
MIN_GAP_MM = 12.0
POSITION_JITTER_MM = 3.0

LINE_NAMESPACE = "line"
"""Namespace of demo lines; training and evaluation use others: one number never gives the same part twice."""


Row = NDArray[np.float64]


@dataclass(frozen=True)
class PartSpec:
    """One part, complete: the same spec always renders to the same bytes."""

    index: int
    class_id: int
    severity: float
    """0 (subtle, still visible) .. 1 (obvious)."""
    position_mm: float
    """Centre of the part on the belt."""
    render_seed: int
    finish: str
    offset_mm: tuple[float, float]
    """Part centre from picture centre: trigger jitter along the belt, guide play across."""
    rotation_deg: float
    exposure_ev: float
    light_azimuth_deg: float
    light_gradient: float
    """Relative brightness difference from one side of the picture to the other."""

    @property
    def defective(self) -> bool:
        """True for the four defect classes."""
        return self.class_id in DEFECTS


def plan_parts(
    count: int,
    seed: int,
    defect_share: float = 0.2,
    pitch_mm: float = 80.0,
    *,
    ghost_share: float = 0.0,
    namespace: str = LINE_NAMESPACE,
) -> list[PartSpec]:
    """The parts of one run, in belt order; a longer plan of the same seed begins with the shorter one.

    ``ghost_share`` of the places are left empty (class ``no_part``: the sensor fired, nothing lies there).
    Raises TwinError when the shares are no shares or the parts would come closer than 12 mm.
    """
    _check(count, defect_share, ghost_share, pitch_mm)
    rng = np.random.default_rng([crc32(namespace.encode()), seed])
    # One row per part, so that a part does not depend on how many follow it.
    draws = rng.random((count, 12))
    seeds = np.random.default_rng([crc32(namespace.encode()), seed, 1]).integers(0, 2**63, count)
    drift_phase = 2 * np.pi * np.random.default_rng([seed, 2]).random()
    return [
        _spec(
            index,
            _class_id(row[:3], defect_share, ghost_share),
            row[3:],
            render_seed=int(seeds[index]),
            drift_phase=drift_phase,
            pitch_mm=pitch_mm,
        )
        for index, row in enumerate(draws)
    ]


def _spec(
    index: int, class_id: int, u: Row, *, render_seed: int, drift_phase: float, pitch_mm: float
) -> PartSpec:
    jitter_mm = min(POSITION_JITTER_MM, (pitch_mm - PART_LENGTH_MM - MIN_GAP_MM) / 2)
    # The lamp warms up and the daylight wanders: slow, the same for neighbours.
    drift_ev = 0.15 * np.sin(drift_phase + 2 * np.pi * index / 900)
    return PartSpec(
        index=index,
        class_id=class_id,
        severity=float(u[0]),
        position_mm=FIRST_POSITION_MM + index * pitch_mm + jitter_mm * (1 + _pm(u[1])),
        render_seed=render_seed,
        finish=FINISHES[int(u[2] * len(FINISHES))],
        offset_mm=(1.5 * _pm(u[3]), 3.0 * _pm(u[4])),
        rotation_deg=3.0 * _pm(u[5]),
        exposure_ev=float(drift_ev + 0.25 * _pm(u[6])),
        light_azimuth_deg=225.0 + 25.0 * _pm(u[7]),
        light_gradient=0.05 + 0.2 * float(u[8]),
    )


def _class_id(u: Row, defect_share: float, ghost_share: float) -> int:
    ghost, defective, kind = u
    if ghost < ghost_share:
        return NO_PART
    if defective < defect_share:
        return DEFECTS[int(kind * len(DEFECTS))]
    return FLAWLESS


def _pm(u: float) -> float:
    """0..1 to -1..1."""
    return float(2 * u - 1)


def _check(count: int, defect_share: float, ghost_share: float, pitch_mm: float) -> None:
    if count < 1:
        raise TwinError(f"a plan of {count} parts: expected at least 1")
    for name, share in (("defect_share", defect_share), ("ghost_share", ghost_share)):
        if not 0 <= share <= 1:
            raise TwinError(f"{name} is {share}: expected a share between 0 and 1")
    if pitch_mm < PART_LENGTH_MM + MIN_GAP_MM:
        raise TwinError(
            f"pitch_mm is {pitch_mm:g}: parts of {PART_LENGTH_MM:g} mm need {MIN_GAP_MM:g} mm of gap; "
            f"expected at least {PART_LENGTH_MM + MIN_GAP_MM:g}"
        )
