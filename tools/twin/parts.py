"""What travels on the twin's belt: which part, which defect, where, and in which light."""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinError

CLASSES = ("no_part", "flawless", "crack", "stain", "dent", "excess")
"""The index is the class id everywhere: plans, boxes, model outputs."""
NO_PART, FLAWLESS = 0, 1
DEFECTS = tuple(range(2, len(CLASSES)))
UNSEEN = ("scratch", "corrosion")
"""Defects that no plan draws and no engine was trained on; their class ids follow those of ``CLASSES``."""

PLAIN, METAL = "plain", "metal"
"""Looks: even light and one defect at most; or machined aluminium with blur, oil and several defects."""
DEFAULT_LOOK = PLAIN
"""What the shipped engines are trained on. It changes only together with them."""

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
    look: str = DEFAULT_LOOK
    more_defects: tuple[tuple[int, float], ...] = ()
    """(class id, severity) of further defects; none is graver than the one that gives the part its class."""
    speed_m_per_s: float = 1.2
    """Of the belt while the shutter is open."""
    defocus_mm: float = 0.0
    """Spread (sigma) that the lens adds, on the part."""

    @property
    def defective(self) -> bool:
        """True for the four defect classes and the unseen ones."""
        return self.class_id in DEFECTS or self.class_id >= len(CLASSES)


def plan_parts(
    count: int,
    seed: int,
    defect_share: float = 0.2,
    pitch_mm: float = 80.0,
    *,
    ghost_share: float = 0.0,
    namespace: str = LINE_NAMESPACE,
    look: str = DEFAULT_LOOK,
) -> list[PartSpec]:
    """The parts of one run, in belt order; a longer plan of the same seed begins with the shorter one.

    ``ghost_share`` of the places are left empty (class ``no_part``: the sensor fired, nothing lies there).
    ``look`` changes what is drawn and adds blur and further defects; all else stays as it is.
    Raises TwinError when the shares are no shares, the parts would come closer than 12 mm, or for an unknown look.
    """
    if look not in (PLAIN, METAL):
        raise TwinError(f"no look is called '{look}': expected {PLAIN} or {METAL}")
    _check(count, defect_share, ghost_share, pitch_mm)
    rng = np.random.default_rng([crc32(namespace.encode()), seed])
    # One row per part, so that a part does not depend on how many follow it.
    draws = rng.random((count, 12))
    seeds = np.random.default_rng([crc32(namespace.encode()), seed, 1]).integers(0, 2**63, count)
    drift_phase = 2 * np.pi * np.random.default_rng([seed, 2]).random()
    specs = [
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
    if look == PLAIN:
        return specs
    more = np.random.default_rng([crc32(namespace.encode()), seed, 4]).random((count, 8))
    return [_as_metal(spec, row) for spec, row in zip(specs, more, strict=True)]


def plan_unseen(count: int, seed: int, name: str, *, namespace: str) -> list[PartSpec]:
    """Parts that all have the defect ``name`` of ``UNSEEN``, in the look ``plain``: what nobody taught the engines.

    Raises TwinError: no such defect.
    """
    if name not in UNSEEN:
        raise TwinError(f"no unseen defect is called '{name}': expected one of {', '.join(UNSEEN)}")
    class_id = len(CLASSES) + UNSEEN.index(name)
    parts = plan_parts(count, seed, 0.0, namespace=f"unseen-{namespace}")
    return [replace(spec, class_id=class_id) for spec in parts]


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


_SEVERAL_SHARE, _OTHER_CLASS_SHARE = 0.15, 0.3
_SPEEDS_M_PER_S = (0.3, 2.4)
_DEFOCUS_MM = (0.03, 0.22)


def _as_metal(spec: PartSpec, u: Row) -> PartSpec:
    return replace(
        spec,
        look=METAL,
        more_defects=_more_defects(spec, u) if spec.defective and u[0] < _SEVERAL_SHARE else (),
        speed_m_per_s=_SPEEDS_M_PER_S[0] + (_SPEEDS_M_PER_S[1] - _SPEEDS_M_PER_S[0]) * float(u[1]),
        # Squared: the lens is mostly well set.
        defocus_mm=_DEFOCUS_MM[0] + (_DEFOCUS_MM[1] - _DEFOCUS_MM[0]) * float(u[2]) ** 2,
    )


def _more_defects(spec: PartSpec, u: Row) -> tuple[tuple[int, float], ...]:
    """One or two more. One of another class is a good deal slighter: the gravest names the part."""
    if spec.severity > 0.5 and u[3] < _OTHER_CLASS_SHARE:
        others = [class_id for class_id in DEFECTS if class_id != spec.class_id]
        return ((others[int(u[4] * len(others))], float(0.35 * spec.severity * u[5])),)
    return tuple((spec.class_id, float(spec.severity * share)) for share in u[6 : 7 + (u[4] < 0.4)])


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
