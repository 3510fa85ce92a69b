"""The runner, the inspector's reading and the driver probe, without a GPU."""

import json
import subprocess
import sys

import numpy as np
import pytest
from double import VERSIONS
from scenes import ENGINE, SHAPES, HostMemory, make_runner_double

from engines.errors import BuildError, DeviceError, RunError
from engines.loaded import LoadedEngine
from engines.store.offer import head_of
from engines.tensorrt.driver import driver_version, find_device, jetpack_release
from engines.tensorrt.layers import head_precision, not_honoured, read_layers
from engines.tensorrt.runner import TensorRtEngine
from tests.engines.small_net import small_net


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_goes_from_the_input_buffer_to_the_output_buffer(version: str) -> None:
    memory = HostMemory()
    engine = TensorRtEngine(make_runner_double(version).module, ENGINE, memory)
    assert sorted(memory.allocated) == sorted(SHAPES.values())
    engine.input[:] = 0.5
    engine.run()
    assert engine.output[0, 0] == 0.5 * np.prod(SHAPES["picture"])
    assert engine.memory_bytes == 0 and engine.information() == "{}"


@pytest.mark.parametrize("version", VERSIONS)
def test_host_code_is_allowed_only_on_demand(version: str) -> None:
    for wanted in (False, True):
        double = make_runner_double(version)
        TensorRtEngine(double.module, ENGINE, HostMemory(), host_code=wanted)
        knows = "engine_host_code_allowed" in double.facts["Runtime"]
        assert ("Runtime.engine_host_code_allowed", True) in double.writes or not (wanted and knows)
        assert wanted or double.writes == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_truncated_engine_says_what_to_do(version: str) -> None:
    with pytest.raises(
        BuildError, match=r"Magic tag does not match; it is truncated.*run 'edge engines build'"
    ):
        TensorRtEngine(make_runner_double(version).module, ENGINE[:-4], HostMemory())


@pytest.mark.parametrize("version", VERSIONS)
def test_failures_of_the_run_are_errors(version: str) -> None:
    with pytest.raises(RunError, match="free GPU memory"):
        TensorRtEngine(make_runner_double(version, no_context=True).module, ENGINE, HostMemory())
    with pytest.raises(RunError, match="refuses its address"):
        TensorRtEngine(make_runner_double(version, refuses_address=True).module, ENGINE, HostMemory())
    with pytest.raises(RunError, match="did not start"):
        TensorRtEngine(make_runner_double(version, fails=True).module, ENGINE, HostMemory()).run()
    with pytest.raises(RunError, match=r"took longer than 0\.5 s"):
        TensorRtEngine(make_runner_double(version).module, ENGINE, HostMemory(busy=True)).run(0.5)


@pytest.mark.parametrize("version", VERSIONS)
def test_engines_that_do_not_fit_the_loop_are_refused(version: str) -> None:
    half = make_runner_double(version)
    with pytest.raises(BuildError, match="expected float32"):
        dtype = half.module.DataType.HALF
        TensorRtEngine(make_runner_double(version, dtype=None).module, ENGINE, HostMemory())
        half.behaviours["ICudaEngine.get_tensor_dtype"] = lambda _e, _n: dtype
        TensorRtEngine(half.module, ENGINE, HostMemory())
    dynamic = {**SHAPES, "picture": (-1, 3, 8, 8)}
    with pytest.raises(BuildError, match="batch size 1"):
        TensorRtEngine(make_runner_double(version, shapes=dynamic).module, ENGINE, HostMemory())
    with pytest.raises(BuildError, match="expected one of each"):
        names = ["picture", "scores", "scores"]
        TensorRtEngine(make_runner_double(version, names=names).module, ENGINE, HostMemory())


INFORMATION = json.dumps(
    {
        "Layers": [
            {
                "Name": "conv1.weight + /conv1/QuantizeLinear + /conv1/Conv + PWN(/relu/Relu)",
                "LayerType": "CaskConvolution",
                "Inputs": [
                    {"Name": "a", "Format/Datatype": "Four wide channel vectorized row major Int8 format"}
                ],
                "Outputs": [
                    {
                        "Name": "b",
                        "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
                    }
                ],
            },
            {
                "Name": "__myl_Conv_myl0_3",
                "LayerType": "kgen",
                "Inputs": [{"Name": "b", "Format/Datatype": "Row major linear FP16 format"}],
                "Outputs": [{"Name": "c", "Format/Datatype": "Row major linear FP32"}],
                "Metadata": "[ONNX Layer: /layer2/Conv]\u001e[ONNX Layer: /layer2/Add]",
            },
            {"Name": "reformat", "LayerType": "NoOp"},
        ],
        "Bindings": ["a", "c"],
    }
)


def test_layers_are_read_with_the_precision_that_was_chosen() -> None:
    first, second, third = read_layers(INFORMATION)
    assert (first.reads, first.writes) == ("int8", "int8") and "/conv1/Conv" in first.nodes
    assert (second.reads, second.writes) == ("fp16", "fp32") and "/layer2/Conv" in second.nodes
    assert third.reads == "-"


def test_a_plan_that_was_not_honoured_is_seen() -> None:
    layers = read_layers(INFORMATION)
    assert not_honoured(layers, {"/conv1/Conv": "int8", "/layer2/Conv": "fp16"}) == []
    assert not_honoured(layers, {"/layer2/Conv": "int8", "/fc/Gemm": "fp16"}) == [
        "/layer2/Conv: planned int8, layer '__myl_Conv_myl0_3' computes in fp16",
        "/fc/Gemm: planned fp16, no layer names it",
    ]


def test_the_head_of_a_built_engine_is_what_the_engine_says() -> None:
    layers = read_layers(INFORMATION)
    assert head_precision(layers, {"/layer2/Conv"}) == "float16"
    assert head_precision(layers, {"/conv1/Conv"}) == "int8"
    assert head_precision(layers, {"/conv1/Conv", "/layer2/Conv"}) == "mixed"
    assert head_precision(layers, {"/fc/Gemm"}) == "unknown"


def test_the_manifest_gets_the_precision_of_the_head_that_was_built() -> None:
    named = INFORMATION.replace("/layer2/Conv", "fc")
    image, scores = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 4), np.float32)
    artifact = small_net().SerializeToString()
    for said, expected in ((named, "float16"), (INFORMATION, "unknown"), ("{}", "unknown")):
        double = make_runner_double("10.3.0", information=said)
        gpu = TensorRtEngine(double.module, ENGINE, HostMemory())
        assert head_of(LoadedEngine(None, image, scores, gpu.run, gpu=gpu), artifact) == expected


@pytest.mark.parametrize("text", ["", "{}", '{"Layers": ["only a name"]}'])
def test_an_engine_without_details_says_so(text: str) -> None:
    with pytest.raises(BuildError, match="build it"):
        read_layers(text)


def test_versions_of_driver_and_jetpack_are_read_from_their_files() -> None:
    module = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build"
    assert driver_version(module) == "540.4.0"
    assert (
        driver_version("NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16") == "560.35.03"
    )
    assert driver_version("") == ""
    assert jetpack_release("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic") == "R36.4.3"
    assert jetpack_release("nothing") == ""


def test_a_machine_without_a_driver_is_told_so() -> None:
    with pytest.raises(
        DeviceError, match=r"libnone\.so\.1: cannot be loaded .* or use the ONNX Runtime engines"
    ):
        find_device(library="libnone.so.1")
    with pytest.raises(DeviceError, match="has no cuInit; expected NVIDIA's driver library"):
        find_device(library="libc.so.6")


def test_tensorrt_is_not_imported_before_the_driver_answers() -> None:
    code = (
        "import sys, engines.tensorrt.module as m, engines.tensorrt.driver as d\n"
        "d.find_device.__defaults__ = (0, 'libnone.so.1')\n"
        "try: m.load_tensorrt()\n"
        "except Exception as error: print(type(error).__name__, 'tensorrt' in sys.modules, 'pycuda' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DeviceError", "False", "False"]
