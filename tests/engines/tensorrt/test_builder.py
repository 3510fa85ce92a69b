"""The builder against what seven releases say of their API. A contract, not a build: nothing is computed here."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from double import VERSIONS
from onnx import TensorProto, helper, numpy_helper
from scenes import ENGINE, make_builder_double

from engines.errors import BuildError, CalibrationError
from engines.tensorrt.builder import GraphKind, build
from engines.tensorrt.calibrator import read_cache
from engines.tensorrt.module import cache_version
from engines.tensorrt.options import BuildOptions

CACHE = b"TRT-8502-EntropyCalibration2\npicture: 3c010a14\n"
LEGACY = VERSIONS[:-1]
TYPED = VERSIONS[2:]


def graph(quantised: bool) -> bytes:
    """One convolution, with or without Q/DQ on its input."""
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    constants, nodes, source = [weight], [], "picture"
    if quantised:
        constants += [
            numpy_helper.from_array(np.float32(0.01), "s"),
            numpy_helper.from_array(np.int8(0), "z"),
        ]
        nodes = [
            helper.make_node("QuantizeLinear", ["picture", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        ]
        source = "d"
    nodes.append(helper.make_node("Conv", [source, "w"], ["scores"], name="conv"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, 8, 8))
        for name, channels in (("picture", 3), ("scores", 4))
    ]
    model = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    return bytes(helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


def flags(double: Any) -> set[str]:
    """Builder flags that were set, by name."""
    return {args[0].name for name, args in double.calls if name == "IBuilderConfig.set_flag"}


def network_flags(double: Any) -> list[int]:
    return [args[0] for name, args in double.calls if name == "Builder.create_network"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_artifact_builds_by_the_way_of_each_release(version: str) -> None:
    double = make_builder_double(version)
    seen: list[tuple[str, float]] = []
    built = build(
        double.module,
        graph(True),
        BuildOptions(),
        progress=lambda *phase: seen.append(phase),
        timing_cache=b"t",
    )
    assert built.engine == ENGINE and built.timing_cache == b"timings" and built.notes == ()
    if version in TYPED:
        assert built.route == "typed" and flags(double) == set()
        enum = double.module.NetworkDefinitionCreationFlag
        strongly = 1 << int(enum.STRONGLY_TYPED) if version in LEGACY else 0
        assert network_flags(double) == [strongly]
        assert seen == [("Building", 0.0), ("Building", 0.5), ("Building", 1.0)]
    else:
        assert built.route == "flags" and flags(double) == {"FP16", "INT8"}
        assert network_flags(double) == [1 << int(double.module.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)]
    written = dict(double.writes)
    assert written["IBuilderConfig.profiling_verbosity"].name == "DETAILED"
    limits = [args for name, args in double.calls if name == "IBuilderConfig.set_memory_pool_limit"]
    assert [(pool.name, size) for pool, size in limits] == [("WORKSPACE", 1024 << 20)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_float_graph_is_refused_instead_of_built_as_fp32(version: str) -> None:
    double = make_builder_double(version)
    with pytest.raises(BuildError, match="would build FP32 and not say so"):
        build(double.module, graph(False), BuildOptions())
    assert double.calls == []


@pytest.mark.parametrize("version", VERSIONS)
def test_fp32_for_comparison_is_built_when_it_is_asked_for(version: str) -> None:
    double = make_builder_double(version)
    assert build(double.module, graph(False), BuildOptions(precision="fp32")).engine == ENGINE
    assert flags(double) == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_fp16_by_flag_where_there_is_one(version: str) -> None:
    double = make_builder_double(version)
    if version in LEGACY:
        build(double.module, graph(False), BuildOptions(precision="fp16"))
        assert flags(double) == {"FP16"}
    else:
        with pytest.raises(BuildError, match="backbone: fp16"):
            build(double.module, graph(False), BuildOptions(precision="fp16"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_graph_with_its_own_types_is_no_comparison(version: str) -> None:
    with pytest.raises(BuildError, match="expected the float graph"):
        build(make_builder_double(version).module, graph(True), BuildOptions(precision="fp32"))


@pytest.mark.parametrize("version", TYPED[:-1])
def test_a_strongly_typed_build_that_fails_falls_back_to_flags_and_says_so(version: str) -> None:
    double = make_builder_double(version, failing_attempts=(1,), complaint="no implementation for node conv")
    built = build(double.module, graph(True), BuildOptions())
    assert built.route == "flags" and flags(double) == {"FP16", "INT8"}
    assert "no implementation for node conv" in built.notes[0]


def test_without_flags_to_fall_back_to_the_failure_is_told() -> None:
    double = make_builder_double(
        "11.4.0.106", failing_attempts=(1,), complaint="no implementation for node conv"
    )
    with pytest.raises(BuildError, match="built nothing: no implementation for node conv"):
        build(double.module, graph(True), BuildOptions())


@pytest.mark.parametrize("version", LEGACY)
def test_the_legacy_calibrator_hands_over_our_cache(version: str) -> None:
    read: list[bytes] = []
    double = make_builder_double(version, read=read)
    built = build(double.module, graph(False), BuildOptions(), cache=CACHE)
    assert built.route == "calibrator" and flags(double) == {"FP16", "INT8"} and read == [CACHE]


@pytest.mark.parametrize("version", LEGACY)
def test_a_cache_that_tensorrt_does_not_take_is_an_error(version: str) -> None:
    double = make_builder_double(version, asks_for_pictures=True)
    with pytest.raises(BuildError, match="did not take the calibration cache"):
        build(double.module, graph(False), BuildOptions(), cache=CACHE)


def test_caches_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(BuildError, match="no calibrators"):
        build(make_builder_double("11.4.0.106").module, graph(False), BuildOptions(), cache=CACHE)
    with pytest.raises(BuildError, match="leave the cache out"):
        build(make_builder_double("10.3.0").module, graph(True), BuildOptions(), cache=CACHE)
    with pytest.raises(CalibrationError, match="cache:2"):
        build(make_builder_double("8.6.0").module, graph(False), BuildOptions(), cache=CACHE[:-3])


@pytest.mark.parametrize(
    ("version", "digits"),
    [("8.5.2.2", "8502"), ("8.6.0", "8600"), ("10.3.0", "100300"), ("10.16.1.11", "101601")],
)
def test_the_cache_gets_the_first_line_of_its_release(tmp_path: Path, version: str, digits: str) -> None:
    path = tmp_path / "a.cache"
    path.write_bytes(CACHE)
    assert cache_version(make_builder_double(version).module) == digits
    assert read_cache(path, digits) == CACHE.replace(b"8502", digits.encode())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_option_reaches_the_configuration_or_is_refused(version: str) -> None:
    double = make_builder_double(version, dla=2)
    options = BuildOptions(
        workspace_mib=256,
        optimization_level=4,
        dla_core=1,
        hardware_compatible=True,
        version_compatible=True,
        own_kernels_only=True,
    )
    if version == "8.5.2.2":
        for name in ("optimization_level", "hardware_compatible", "version_compatible"):
            alone = BuildOptions(**{name: options.model_dump()[name]})
            with pytest.raises(BuildError, match=r"expected 8\.6 or newer"):
                build(double.module, graph(True), alone)
        return
    build(double.module, graph(True), options)
    written = dict(double.writes)
    assert written["IBuilderConfig.builder_optimization_level"] == 4
    assert written["IBuilderConfig.hardware_compatibility_level"].name == "AMPERE_PLUS"
    assert written["IBuilderConfig.default_device_type"].name == "DLA"
    assert written["IBuilderConfig.DLA_core"] == 1
    assert {"VERSION_COMPATIBLE", "GPU_FALLBACK"} <= flags(double)
    sources = double.module.TacticSource
    mask = next(args[0] for name, args in double.calls if name == "IBuilderConfig.set_tactic_sources")
    for name in ("CUBLAS", "CUBLAS_LT", "CUDNN"):
        assert not hasattr(sources, name) or not mask & 1 << int(getattr(sources, name))
    assert mask & 1 << int(sources.JIT_CONVOLUTIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_without_that_accelerator_is_refused(version: str) -> None:
    with pytest.raises(BuildError, match="--dla-core 0"):
        build(make_builder_double(version).module, graph(True), BuildOptions(dla_core=0))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_foreign_timing_cache_is_left_out_and_noted(version: str) -> None:
    double = make_builder_double(version, timings_match=False)
    built = build(double.module, graph(True), BuildOptions(), timing_cache=b"of another device")
    assert built.notes == ("the timing cache is of another device or TensorRT and was not used",)
    given = [args[0] for name, args in double.calls if name == "IBuilderConfig.create_timing_cache"]
    assert given == [b"of another device", b""]


@pytest.mark.parametrize("version", VERSIONS)
def test_bad_input_is_told_in_the_words_of_tensorrt(version: str) -> None:
    with pytest.raises(BuildError, match="cannot read the graph: node 0: unsupported operator"):
        build(make_builder_double(version, parses=False).module, graph(True), BuildOptions())
    short = make_builder_double(version, failing_attempts=(1, 2), complaint="Cuda Runtime (out of memory)")
    with pytest.raises(BuildError, match="smaller --workspace-mib than 64"):
        build(short.module, graph(True), BuildOptions(workspace_mib=64))
    with pytest.raises(BuildError, match="not an ONNX model"):
        build(make_builder_double(version).module, b"\x08", BuildOptions())


@pytest.mark.parametrize("version", TYPED)
def test_a_build_can_be_stopped(version: str) -> None:
    double = make_builder_double(version)
    with pytest.raises(BuildError, match="was stopped"):
        build(double.module, graph(True), BuildOptions(), cancelled=lambda: True)


def test_an_fp16_head_alone_is_a_plan_too() -> None:
    model = onnx.load_model_from_string(graph(False))
    model.graph.node[0].output[0] = "high"
    model.graph.node.append(helper.make_node("Cast", ["high"], ["half"], to=TensorProto.FLOAT16))
    model.graph.node.append(helper.make_node("Cast", ["half"], ["scores"], to=TensorProto.FLOAT))
    assert GraphKind.of(model.SerializeToString()) == GraphKind(quantised=False, half=True)
