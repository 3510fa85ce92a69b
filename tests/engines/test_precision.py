import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge._core import CalibrationHistogram, CoreError
from engines.entropy import BINS, LEVELS, choose_amax, entropy_bins
from engines.errors import CalibrationError, GraphError, PlanError
from engines.graph import load_simplified
from engines.parity import compare, outputs
from engines.precision import PrecisionPlan, Rule, find_head, load_plan, plan_yaml
from engines.qdq import cpu_u8s8, dead_channels, tensorrt_qdq
from engines.scales import Scales, cache_text, observe, parse_cache
from engines.whole_file import write_whole
from tests.engines.small_net import pictures, save, small_net


@pytest.fixture(name="model")
def _model(tmp_path):
    return load_simplified(save(small_net(), tmp_path / "m.onnx"))


def calibrate(model, batches, method):
    return observe(model, batches, CalibrationHistogram).scales(method)


def by_name(model):
    return {node.name: node for node in model.graph.node}


def test_head_is_found_and_a_rule_overrides(model):
    assert find_head(model) == {"fc", "softmax"}
    plan = PrecisionPlan(rules=(Rule(nodes="sto*", precision="fp32"),))
    with pytest.raises(PlanError, match="matches none of"):
        plan.resolve(model)
    chosen = PrecisionPlan(rules=(Rule(nodes="block", precision="fp32"),)).resolve(model)
    assert (chosen["stem"], chosen["block"], chosen["fc"]) == ("int8", "fp32", "fp16")


def test_plan_survives_yaml_and_names_the_wrong_key(tmp_path):
    plan = PrecisionPlan(rules=(Rule(nodes="a*", precision="fp16", why="sensitive"),), head=("x",))
    path = tmp_path / "plan.yaml"
    path.write_text(plan_yaml(plan))
    assert load_plan(path) == plan
    path.write_text("schema: 1\nbackbone: int4\n")
    with pytest.raises(PlanError, match=r"backbone: found 'int4'"):
        load_plan(path)


def test_tensorrt_graph_keeps_the_rules(model):
    scales = calibrate(model, pictures(8), "entropy")
    out = tensorrt_qdq(model, PrecisionPlan().resolve(model), scales)
    nodes = by_name(out)
    assert (out.opset_import[0].version, out.ir_version) == (17, 8)
    assert nodes["stem"].input[0] == "x/dequantised"
    assert nodes["stem_relu"].input[0] == nodes["stem"].output[0]  # nothing between Conv and ReLU
    assert nodes["join"].input[0] == nodes["block"].output[0]
    assert nodes["join"].input[1] == "r1/dequantised" == nodes["block"].input[0]
    assert nodes["stem"].input[2] == "b1"
    constants = {item.name: numpy_helper.to_array(item) for item in out.graph.initializer}
    for name, value in constants.items():
        if name.endswith("/zero_point"):
            assert value.dtype == np.int8 and not value.any()
        if name.endswith("/scale"):
            assert value.dtype == np.float32
    assert constants["w2/scale"].shape == (8,)
    assert constants["wf/fp16"].dtype == np.float16
    assert [item.type.tensor_type.elem_type for item in out.graph.output] == [onnx.TensorProto.FLOAT]


def test_both_graphs_agree_with_float(model):
    scales = calibrate(model, pictures(16), "minmax")
    plan = PrecisionPlan().resolve(model)
    inputs = pictures(20, seed=9)
    expected = outputs(model, inputs)
    for graph in (tensorrt_qdq(model, plan, scales), cpu_u8s8(model, plan, scales)):
        parity = compare(expected, outputs(graph, inputs))
        assert parity.cosine > 0.999
        assert 0 < parity.max_abs < 0.05
        assert parity.label_flips <= 1
    assert compare(expected, outputs(tensorrt_qdq(model, plan, _shrunk(scales)), inputs)).max_abs > 0.05


def _shrunk(scales):
    """The same scales, all a tenth: a parity report must see it."""
    ranges = {name: type(item)(item.low, item.high, item.amax / 10) for name, item in scales.ranges.items()}
    return Scales(scales.method, scales.pictures, ranges)


def test_scales_survive_json_and_the_cache(model):
    scales = calibrate(model, pictures(3), "percentile")
    assert Scales.from_json(scales.to_json()) == scales
    text = cache_text(scales, "8502")
    assert text.startswith("TRT-8502-EntropyCalibration2\n")
    read = parse_cache(text)
    assert set(read) == set(scales.ranges)
    assert read["x"] == pytest.approx(scales.ranges["x"].scale, rel=1e-6)
    with pytest.raises(CalibrationError, match=r"cache:2: found 'x: 12'"):
        parse_cache("TRT-8502-EntropyCalibration2\nx: 12\n")
    with pytest.raises(CalibrationError, match="not positive"):
        Scales.from_json('{"method":"m","pictures":1,"ranges":{"x":{"low":0,"high":0,"amax":0}},"dead":[]}')


def test_known_cache_bits():
    scales = Scales.from_json(
        '{"method":"m","pictures":1,"ranges":{"x":{"low":-127,"high":127,"amax":127}},"dead":[]}'
    )
    assert cache_text(scales, "8502").splitlines()[1] == "x: 3f800000"


def histogram_of(*arrays):
    made = CalibrationHistogram()
    for array in arrays:
        made.add(np.asarray(array, np.float32))
    return made


def test_entropy_clips_a_lone_outlier_but_not_a_uniform():
    rng = np.random.default_rng(3)
    tailed = histogram_of(*(rng.normal(0, 1, 20_000) for _ in range(20)), [60.0])
    assert choose_amax(tailed, "minmax") == 60.0
    assert 2.5 < choose_amax(tailed, "entropy") < 12
    assert choose_amax(tailed, "percentile") < 5
    flat = histogram_of(rng.uniform(-1, 1, 400_000))
    assert choose_amax(flat, "entropy") > 0.9
    assert entropy_bins(np.ones(BINS, np.int64)) == BINS


def plain_entropy_bins(counts):
    """As the definition reads, bin by bin."""
    best, least = BINS, np.inf
    for keep in range(LEVELS, BINS + 1, 8):
        inside = counts[:keep].astype(np.float64)
        p = inside.copy()
        p[-1] += counts.sum() - inside.sum()
        occupied, level = p > 0, np.arange(keep) * LEVELS // keep
        mass = np.bincount(level, weights=inside, minlength=LEVELS)
        spread = np.bincount(level, weights=occupied, minlength=LEVELS)
        q = np.where(occupied, mass[level] / np.maximum(spread[level], 1), 0.0)
        if q.sum() == 0:
            continue
        p, q = p[occupied] / counts.sum(), q[occupied] / q.sum()
        divergence = float(np.sum(p * np.log(p / np.maximum(q, 1e-9))))
        if divergence <= least:
            best, least = keep, divergence
    return best


@pytest.mark.parametrize("seed", range(12))
def test_entropy_by_running_sums_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    values = (rng.standard_t(2 + seed % 4, 30_000), rng.gamma(0.5, 1, 30_000))[seed % 2]
    counts = histogram_of(values, [40.0 + 20 * seed]).counts
    counts[rng.random(BINS) < 0.1 * (seed % 3)] = 0  # gaps
    assert entropy_bins(counts) == plain_entropy_bins(counts)


def test_streaming_gives_the_counts_of_all_at_once():
    rng = np.random.default_rng(5)
    parts = [rng.normal(0, sigma, 5000).astype(np.float32) for sigma in (0.1, 3, 1, 20)]
    parts[2][::2] = 0
    streamed = histogram_of(*parts)
    everything = np.concatenate(parts)
    sized = np.abs(everything[everything != 0])
    expected = np.histogram(sized, bins=BINS, range=(0, streamed.width * BINS))[0]
    assert streamed.counts.sum() == sized.size
    assert (streamed.low, streamed.high) == (everything.min(), everything.max())
    assert np.abs(np.cumsum(streamed.counts) - np.cumsum(expected)).max() <= 2  # rounding at a bin's border


@pytest.mark.parametrize("wrong", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_histogram_refuses_what_is_no_number_and_counts_nothing(wrong):
    seen = histogram_of([1.0, -2.0, 0.0])
    with pytest.raises(CoreError, match="NaN or infinite"):
        seen.add(np.array([5.0, wrong], np.float32))
    assert (seen.counts.sum(), seen.low, seen.high) == (2, -2.0, 1.0)
    with pytest.raises(CoreError, match="float32 array, found float64"):
        seen.add(np.zeros(3))


def test_a_histogram_of_zeros_and_of_tiny_numbers():
    assert choose_amax(histogram_of(np.zeros(9), [-0.0]), "entropy") == 0
    tiny = histogram_of([1e-42, 3e-39])
    assert tiny.counts.sum() == 2
    assert 0 < choose_amax(tiny, "entropy") <= 3.1e-39


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"shape": ("n", 3, 16, 16)}, "dynamic"),
        ({"opset": 8}, "opset 8"),
        ({"nan": True}, "weight 'w2' holds 1 of 576"),
    ],
)
def test_bad_graphs_are_refused(tmp_path, change, word):
    path = save(small_net(**change), tmp_path / "bad.onnx")
    with pytest.raises(GraphError, match=word):
        load_simplified(path)


def test_missing_external_data_and_foreign_file(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(small_net(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "m.data").unlink()
    with pytest.raises(GraphError, match="beside the model"):
        load_simplified(path)
    path.write_bytes(b"not a model at all")
    with pytest.raises(GraphError, match="expected an ONNX model"):
        load_simplified(path)


def test_dead_channel_gets_a_scale_that_is_not_zero(tmp_path):
    model = load_simplified(save(small_net(dead=True), tmp_path / "m.onnx"))
    assert dead_channels(model) == {"block": 1}
    out = tensorrt_qdq(model, PrecisionPlan().resolve(model), calibrate(model, pictures(4), "minmax"))
    scale = next(numpy_helper.to_array(i) for i in out.graph.initializer if i.name == "w2/scale")
    assert (scale > 0).all()
    assert np.isfinite(outputs(out, pictures(2))).all()


def test_dark_pictures_leave_dead_tensors_that_are_named(model):
    scales = calibrate(model, [np.zeros((1, 3, 16, 16), np.float32)], "entropy")
    assert "x" in scales.dead
    assert scales.ranges["x"].scale > 0


def test_wrong_picture_and_empty_set(model):
    with pytest.raises(CalibrationError, match=r"picture 0: float32 of shape \(1, 3, 8, 8\)"):
        calibrate(model, [np.zeros((1, 3, 8, 8), np.float32)], "minmax")
    with pytest.raises(CalibrationError, match="no calibration picture"):
        calibrate(model, [], "minmax")
    with pytest.raises(CalibrationError, match="tensor 'x'"):
        calibrate(model, [np.full((1, 3, 16, 16), np.nan, np.float32)], "minmax")


def test_scales_of_another_graph_are_refused(model):
    other = Scales("minmax", 1, {})
    with pytest.raises(PlanError, match="no scale for tensor 'x'"):
        tensorrt_qdq(model, PrecisionPlan().resolve(model), other)


def test_a_file_is_whole_or_absent(tmp_path):
    write_whole(tmp_path / "a", "text")
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
    with pytest.raises(OSError):
        write_whole(tmp_path / "no" / "a", "text")
