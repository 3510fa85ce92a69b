"""Which layers suffer from INT8, and the precision plan that follows."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.graph import initializers
from engines.judge import Answers, Drop, Judge
from engines.parity import outputs
from engines.precision import Precision, PrecisionPlan, Rule
from engines.qdq import tensorrt_qdq
from engines.scales import Scales

_SILENT_DB = 120.0
"""Of a layer whose quantisation changes nothing that float32 could show."""
_MOST_LIFTED = 0.25
"""Share of the layers; a plan that lifts more is no INT8 plan."""
Say = Callable[[str, float], None]


@dataclass(frozen=True)
class Layer:
    """One convolution, quantised alone."""

    name: str
    kernel: tuple[int, ...]
    """Shape of its weights."""
    sqnr_db: float
    """Power of the model's output over that of the error, when only this layer is INT8."""


def quantised_layers(model: onnx.ModelProto, precision: dict[str, Precision]) -> list[onnx.NodeProto]:
    """Convolutions with constant weights that the plan has in INT8."""
    constants = initializers(model)
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in constants and precision[node.name] == "int8"
    ]


def measure_layers(
    model: onnx.ModelProto,
    precision: dict[str, Precision],
    scales: Scales,
    pictures: Sequence[NDArray[np.float32]],
    say: Say = lambda _phase, _share: None,
) -> list[Layer]:
    """Every layer in its turn; the most sensitive first. As many runs of the model as layers × pictures."""
    constants = initializers(model)
    expected = outputs(model, pictures)
    layers = quantised_layers(model, precision)
    found = []
    for index, node in enumerate(layers):
        alone: dict[str, Precision] = {name: "fp32" for name in precision}
        alone[node.name] = "int8"
        answers = outputs(tensorrt_qdq(model, alone, scales), pictures)
        found.append(Layer(node.name, constants[node.input[1]].shape, sqnr_db(expected, answers)))
        say("layer by layer", (index + 1) / len(layers))
    return sorted(found, key=lambda layer: layer.sqnr_db)


def sqnr_db(expected: Answers, found: Answers) -> float:
    """10·log10 of signal over error, both as mean squares, at most 120 dB."""
    signal, error = float(np.square(expected).mean()), float(np.square(expected - found).mean())
    return _SILENT_DB if error <= signal * 10 ** (-_SILENT_DB / 10) else 10 * float(np.log10(signal / error))


@dataclass(frozen=True)
class Step:
    """The plan with so many of the most sensitive layers lifted, and what it cost."""

    lifted: int
    drop: Drop
    groups: dict[str, Drop]
    excess: float
    """Points beyond what was allowed; 0: good enough."""


@dataclass(frozen=True)
class Exam:
    """What a whole plan must get right: ``judge`` speaks of these pictures."""

    pictures: Sequence[NDArray[np.float32]]
    judge: Judge
    max_drop_points: float
    groups: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Pictures that must be right for themselves too, such as the underexposed ones."""

    def drops(self, answers: Answers) -> dict[str, Drop]:
        """Of all pictures (``all``) and of every group that has any."""
        before, after = self.judge.right(self.judge.reference), self.judge.right(answers)
        rows = {"all": np.ones(len(before), np.bool_), **self.groups}
        return {name: Drop.between(before[own], after[own]) for name, own in rows.items() if own.any()}

    def excess(self, drops: Mapping[str, Drop]) -> float:
        """Points beyond what is allowed, of the worst group; one lost picture is no proof of anything."""
        allowed = {
            name: max(self.max_drop_points, 100.5 / own.sum())
            for name, own in self.groups.items()
            if own.any()
        }
        beyond = (drop.points - allowed.get(name, self.max_drop_points) for name, drop in drops.items())
        return float(max(0.0, *beyond))


@dataclass(frozen=True)
class Proposal:
    """The plan with the fewest lifted layers whose measured drop is small enough; else the best that was tried."""

    plan: PrecisionPlan
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    chosen: Step
    reached: bool


def propose(
    model: onnx.ModelProto,
    base: PrecisionPlan,
    scales: Scales,
    layers: Sequence[Layer],
    *,
    exam: Exam,
    say: Say = lambda _phase, _share: None,
) -> Proposal:
    """Lifts 0, 1, 2, 4 … of the most sensitive layers to FP16, at most a quarter of them, until every drop is small."""
    most = max(1, int(len(layers) * _MOST_LIFTED))
    counts = [0, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)]
    steps: list[Step] = []
    for index, count in enumerate(counts):
        graph = tensorrt_qdq(model, lifted_plan(base, layers[:count]).resolve(model), scales)
        drops = exam.drops(outputs(graph, exam.pictures))
        excess = exam.excess(drops)
        steps.append(Step(count, drops.pop("all"), drops, excess))
        say("whole plans", (index + 1) / len(counts))
        if excess == 0:
            break
    chosen = min(steps, key=lambda step: (step.excess, step.lifted))
    return Proposal(
        lifted_plan(base, layers[: chosen.lifted]), tuple(layers), tuple(steps), chosen, chosen.excess == 0
    )


def lifted_plan(base: PrecisionPlan, layers: Sequence[Layer]) -> PrecisionPlan:
    """``base`` with these layers in FP16, each by a rule that says why."""
    rules = tuple(
        Rule(
            nodes=_literal(layer.name),
            precision="fp16",
            why=f"measured: {layer.sqnr_db:.1f} dB of the output are left when only this layer is INT8",
        )
        for layer in layers
    )
    return base.model_copy(update={"rules": (*base.rules, *rules)})


def _literal(name: str) -> str:
    """A shell pattern that matches only this name."""
    return re.sub(r"([*?[])", r"[\1]", name)
