"""Calibration of one model: its set, its histograms, and the method that measurement prefers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from edge._core import CalibrationHistogram
from engines.calibration_set import EXPOSURE_SHARE, Choice, Coverage, PictureSet, choose_pictures
from engines.entropy import METHODS, Method
from engines.judge import Answers, Drop, Judge
from engines.parity import Parity, compare, outputs
from engines.precision import PrecisionPlan
from engines.quantize import GRAPHS, int8_graphs
from engines.scales import Observed, observe
from tools.quantise.data import Candidates, Say, Sets, all_of
from tools.quantise.subject import Subject, float_answers


@dataclass(frozen=True)
class Calibrated:
    """What one set showed the model."""

    observed: Observed
    coverage: Coverage
    seconds: float
    """From the first picture read or rendered to the last histogram."""


@dataclass(frozen=True)
class Exam:
    """Pictures, what the float model says of them, and which answers count."""

    pictures: PictureSet
    inputs: Sequence[NDArray[np.float32]]
    judge: Judge

    @property
    def reference(self) -> Answers:
        """Of the float model."""
        return self.judge.reference


@dataclass(frozen=True)
class Tried:
    """One method on the pictures that plans are chosen by."""

    method: Method
    graph: str
    """Of the two INT8 graphs the one that loses more; what follows is its."""
    drop: Drop
    parity: Parity


def calibrated(
    subject: Subject,
    data: Sets,
    say: Say,
    *,
    pictures: int,
    seed: int,
    exposure_share: float = EXPOSURE_SHARE,
) -> Calibrated:
    """Chooses, loads and observes. Raises CalibrationError: a class or an exposure band is missing."""
    began = time.monotonic()
    source = data.calibration
    choices = choose_pictures(
        source.labels,
        source.exposure_ev,
        len(source.classes),
        pictures=pictures,
        seed=seed,
        exposure_share=exposure_share,
    )
    chosen = source.load(choices, subject.spec, say)
    coverage = Coverage.of(chosen)
    coverage.require_complete(bands=exposure_share > 0)
    inputs = chosen.inputs(subject.spec.mean, subject.spec.std)
    observed = observe(
        subject.model, inputs, CalibrationHistogram, lambda done: say("calibrate", done / len(inputs))
    )
    return Calibrated(observed, coverage, time.monotonic() - began)


def exam_of(subject: Subject, candidates: Candidates, choices: Sequence[Choice], say: Say) -> Exam:
    """Loads pictures and asks the float model. Raises CalibrationError: it guesses, or gives NaN."""
    pictures = candidates.load(choices, subject.spec, say)
    inputs = pictures.inputs(subject.spec.mean, subject.spec.std)
    reference = float_answers(subject, inputs)
    judge = subject.judge(reference, pictures.labels, len(candidates.classes))
    subject.require_learnt(judge, candidates.classes)
    return Exam(pictures, inputs, judge)


def choice_exam(subject: Subject, data: Sets, count: int, seed: int, say: Say) -> Exam:
    """By these pictures methods and plans are chosen."""
    return exam_of(subject, data.choice, all_of(data.choice, count, seed), say)


def compare_methods(
    subject: Subject, plan: PrecisionPlan, observed: Observed, exam: Exam, say: Say
) -> list[Tried]:
    """Every method by the worse of the two graphs that it makes; the best first: fewest lost pictures, then cosine."""
    tried = []
    for index, method in enumerate(METHODS):
        graphs = int8_graphs(subject.model, plan, observed.scales(method))
        both = [_try(method, name, getattr(graphs, name), exam) for name in GRAPHS]
        tried.append(max(both, key=_badness))
        say("compare methods", (index + 1) / len(METHODS))
    return sorted(tried, key=_badness)


def _try(method: Method, name: str, graph: onnx.ModelProto, exam: Exam) -> Tried:
    answers = outputs(graph, exam.inputs)
    before, after = exam.judge.right(exam.reference), exam.judge.right(answers)
    return Tried(method, name, Drop.between(before, after), parity_of(exam.judge, answers))


def parity_of(judge: Judge, answers: Answers) -> Parity:
    """Of the outputs; flips are of the scores that a detector's decoder makes of them."""
    return replace(compare(judge.reference, answers), label_flips=judge.flips(answers))


def _badness(tried: Tried) -> tuple[float, float]:
    return tried.drop.points, -tried.parity.cosine
