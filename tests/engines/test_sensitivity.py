import numpy as np
import pytest

from edge._core import CalibrationHistogram
from engines.graph import load_simplified
from engines.judge import Drop, Judge
from engines.parity import outputs
from engines.precision import PrecisionPlan
from engines.scales import observe
from engines.sensitivity import Exam, Layer, lifted_plan, measure_layers, propose, sqnr_db
from tests.engines.small_net import pictures, save, small_net


@pytest.fixture(name="model")
def _model(tmp_path):
    """Its second convolution has one weight that is a hundred times all others of its channel: INT8 loses those."""
    net = small_net()
    weights = next(item for item in net.graph.initializer if item.name == "w2")
    values = np.frombuffer(weights.raw_data, np.float32).copy().reshape(8, 8, 3, 3)
    values[:, 0, 0, 0] *= 100
    weights.raw_data = values.tobytes()
    return load_simplified(save(net, tmp_path / "m.onnx"))


def exam(model, max_drop):
    inputs = pictures(60, seed=4)
    reference = outputs(model, inputs)
    judge = Judge("agreement", np.zeros(len(inputs), np.int64), reference)
    return Exam(inputs, judge, max_drop)


def test_the_layer_that_suffers_is_found_and_lifted(model):
    scales = observe(model, pictures(30), CalibrationHistogram).scales("minmax")
    base = PrecisionPlan(calibration="minmax")
    seen = []
    layers = measure_layers(
        model, base.resolve(model), scales, pictures(20, seed=3), lambda _phase, share: seen.append(share)
    )
    assert [layer.name for layer in layers] == ["block", "stem"]
    assert layers[0].sqnr_db < layers[1].sqnr_db - 6
    assert seen == [0.5, 1.0]
    wanted = exam(model, -1.0)  # cannot be reached: everything that may be tried is tried
    proposal = propose(model, base, scales, layers, exam=wanted)
    assert [step.lifted for step in proposal.steps] == [0, 1]
    assert not proposal.reached
    lifted = propose(model, base, scales, layers, exam=exam(model, 100.0))
    assert lifted.reached
    assert lifted.plan == base  # no layer is lifted without need
    assert propose(model, base, scales, layers, exam=wanted).plan.resolve(model)["stem"] == "int8"


def test_a_group_must_be_right_for_itself(model):
    """Two of ten dark pictures lost is 2 points of a hundred, and too much for the dark ones."""
    reference = np.tile(np.array([[1.0, 0.0]], np.float32), (100, 1))
    judge, dark = Judge("agreement", np.zeros(100, np.int64), reference), np.arange(100) < 10
    answers = reference.copy()
    answers[:2] = [0.0, 1.0]
    whole = Exam([], judge, 2.0)
    assert whole.excess(whole.drops(answers)) == 0
    split = Exam([], judge, 2.0, {"dark": dark, "nobody": np.zeros(100, bool)})
    drops = split.drops(answers)
    assert drops["dark"].points == 20
    assert split.excess(drops) == pytest.approx(20 - 10.05)
    answers[1] = [1.0, 0.0]
    assert split.excess(split.drops(answers)) == 0  # a single picture proves nothing


def test_a_lifted_layer_is_named_exactly(model):
    for node in model.graph.node:
        if node.name == "block":
            node.name = "block[0]*"
    plan = lifted_plan(PrecisionPlan(), [Layer("block[0]*", (8, 8, 3, 3), 12.3)])
    assert [name for name, kind in plan.resolve(model).items() if kind == "fp16"] == [
        "block[0]*",
        "fc",
        "softmax",
    ]
    assert "12.3 dB" in plan.rules[0].why


def test_decibels():
    signal = np.ones((4, 10), np.float32)
    assert sqnr_db(signal, signal) == 120
    assert sqnr_db(signal, signal * 0.9) == pytest.approx(20, abs=0.01)


def test_a_drop_is_paired_and_its_interval_holds_what_is_known():
    before = np.ones(1000, bool)
    after = before.copy()
    after[:10] = False
    drop = Drop.between(before, after)
    assert drop.points == pytest.approx(1.0)
    assert 0.3 < drop.low < 1 < drop.high < 1.8
    same = Drop.between(before, before)
    assert same.points == 0
    assert same.low < 0 < same.high < 0.5
    assert Drop.between(after, before).points == pytest.approx(-1.0)


def test_intervals_cover_what_they_say():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        fate = rng.random(600)
        before, after = fate > 0.03, (fate > 0.05) | (fate < 0.01)  # loses 2 points, wins 1
        drop = Drop.between(before, after)
        held += drop.low <= 1.0 <= drop.high
    assert held / 400 > 0.92


def test_what_counts_as_right():
    reference = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    labels = np.array([0, 0])
    answers = np.array([[0.6, 0.4], [np.nan, 0.5]], np.float32)
    assert Judge("accuracy", labels, reference).right(reference).tolist() == [True, False]
    assert Judge("agreement", labels, reference).right(reference).tolist() == [True, True]
    assert Judge("agreement", labels, reference).right(answers).tolist() == [True, False]
    turned = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    assert Judge("fidelity", labels, reference).right(turned).tolist() == [True, False]
    swapped = Judge("accuracy", labels, reference, lambda a: a[:, ::-1])
    assert swapped.right(reference).tolist() == [False, True]
    assert swapped.flips(turned) == Judge("agreement", labels, reference).flips(turned) == 1
    assert Judge("fidelity", labels, reference).flips(turned) == 0
