"""Scores of the engines → good, defective, empty, as the routing sums and calibrates them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.scores import PlattMap, fit_platt
from calibration.thresholds import Mask


class Roles(Protocol):
    """Which class is which: an engine's manifest, or what stands for one."""

    @property
    def classes(self) -> Sequence[str]:
        """In the order of the scores."""

    @property
    def good_class(self) -> str:
        """That passes."""

    @property
    def empty_class(self) -> str:
        """Of no part."""


@dataclass(frozen=True)
class ScoreFit:
    """Score maps of one engine, by quantity: good, defect, empty."""

    good: PlattMap
    defect: PlattMap
    empty: PlattMap


def quantities(scores: NDArray[np.float32], roles: Roles) -> dict[str, NDArray[np.float64]]:
    """Raw good, defect and empty score of every part, as core/routing.hpp sums them; ``scores`` N × classes."""
    classes = list(roles.classes)
    good, empty = classes.index(roles.good_class), classes.index(roles.empty_class)
    others = [i for i in range(len(classes)) if i not in (good, empty)]
    return {
        "good": scores[:, good].astype(np.float64),
        "defect": np.minimum(scores[:, others].sum(1, dtype=np.float64), 1.0),
        "empty": scores[:, empty].astype(np.float64),
    }


def truths(class_id: NDArray[np.int64], roles: Roles) -> dict[str, Mask]:
    """Of the same three."""
    classes = list(roles.classes)
    good = class_id == classes.index(roles.good_class)
    empty = class_id == classes.index(roles.empty_class)
    return {"good": good, "defect": ~good & ~empty, "empty": empty}


def fit_scores(class_id: NDArray[np.int64], scores: NDArray[np.float32], roles: Roles) -> ScoreFit:
    """Platt maps of one engine. A quantity of which there are no parts keeps its scores."""
    raw, true = quantities(scores, roles), truths(class_id, roles)
    maps = {
        name: fit_platt(raw[name], true[name]) if 0 < true[name].sum() < len(class_id) else PlattMap()
        for name in raw
    }
    return ScoreFit(**maps)
