"""The double must be able to fail: deliberate misuse of every kind, on every release."""

from typing import Any

import pytest
from double import VERSIONS, Double, Signature


@pytest.fixture(params=VERSIONS)
def double(request: Any) -> Double:
    return Double(request.param)


def _builder(double: Double) -> Any:
    trt = double.module
    return trt.Builder(trt.Logger())


def test_every_signature_of_every_release_can_be_read(double: Double) -> None:
    texts = [
        text
        for name, members in double.facts.items()
        if isinstance(members, dict)
        for kind in members.values()
        if isinstance(kind, list)
        for text in kind
        if "->" in text
    ]
    assert len(texts) > 500
    for text in texts:
        for parameter in Signature.parse(text).parameters:
            assert parameter.name.isidentifier() or parameter.name.startswith("*"), text


def test_unknown_attributes_fail(double: Double) -> None:
    trt, builder = double.module, _builder(double)
    for owner in (trt, builder, trt.BuilderFlag, builder.create_builder_config()):
        with pytest.raises(AttributeError):
            _ = owner.no_such_thing


def test_attributes_of_other_releases_fail() -> None:
    old, new = Double("8.5.2.2").module, Double("11.4.0.106").module
    assert hasattr(old.BuilderFlag, "INT8") and not hasattr(new.BuilderFlag, "INT8")
    assert hasattr(old, "IInt8EntropyCalibrator2") and not hasattr(new, "IInt8EntropyCalibrator2")
    assert not hasattr(old, "IProgressMonitor") and hasattr(new, "IProgressMonitor")
    config = _builder(Double("11.4.0.106")).create_builder_config()
    with pytest.raises(AttributeError, match="int8_calibrator"):
        config.int8_calibrator = object()
    with pytest.raises(AttributeError, match="max_workspace_size"):
        config.max_workspace_size = 1


def test_writes_to_read_only_and_unknown_properties_fail(double: Double) -> None:
    builder = _builder(double)
    with pytest.raises(AttributeError):
        builder.num_DLA_cores = 2
    with pytest.raises(AttributeError, match="no attribute"):
        builder.workspace = 1


def test_wrong_arguments_fail(double: Double) -> None:
    trt, builder = double.module, _builder(double)
    config = builder.create_builder_config()
    wrong: tuple[tuple[Any, tuple[Any, ...], dict[str, Any]], ...] = (
        (builder.create_network, ("0",), {}),
        (builder.create_network, (0, 0), {}),
        (builder.create_network, (), {"flag": 0}),
        (builder.create_network, (True,), {}),
        (config.set_flag, (3,), {}),
        (config.set_flag, (), {}),
        (config.set_memory_pool_limit, (trt.MemoryPoolType.WORKSPACE, 1.5), {}),
        (config.set_memory_pool_limit, (trt.BuilderFlag.TF32, 1), {}),
        (config.set_timing_cache, (b"", False), {}),
        (builder.build_serialized_network, (config, builder.create_network()), {}),
        (trt.Builder, (), {}),
        (trt.Runtime, ("logger",), {}),
        (trt.IBuilderConfig, (), {}),
    )
    for function, args, kwargs in wrong:
        with pytest.raises(TypeError):
            function(*args, **kwargs)


def test_a_property_of_the_wrong_type_fails(double: Double) -> None:
    trt, config = double.module, _builder(double).create_builder_config()
    with pytest.raises(TypeError):
        config.default_device_type = trt.EngineCapability.STANDARD
    with pytest.raises(TypeError):
        config.profiling_verbosity = 2


def test_enum_values_do_no_arithmetic(double: Double) -> None:
    flag = double.module.BuilderFlag.TF32
    assert 1 << int(flag) > 0 and flag.name == "TF32"
    with pytest.raises(TypeError):
        flag + 1
    with pytest.raises(TypeError):
        _ = flag < double.module.BuilderFlag.DEBUG


def test_a_subclass_must_call_the_constructor_of_its_base(double: Double) -> None:
    class Silent(double.module.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            pass

        def log(self, severity: Any, msg: str) -> None: ...

    with pytest.raises(TypeError, match="__init__"):
        Silent()


def test_an_overridden_method_of_another_arity_fails(double: Double) -> None:
    trt = double.module

    class Odd(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any) -> None: ...

    with pytest.raises(TypeError):
        double.call_back(Odd(), "log", trt.ILogger.Severity.ERROR, "text")


def test_a_behaviour_of_the_wrong_kind_or_of_no_method_fails(double: Double) -> None:
    double.behaviours["Builder.is_network_supported"] = lambda _b, _n, _c: "yes"
    builder = _builder(double)
    with pytest.raises(TypeError, match="result"):
        builder.is_network_supported(builder.create_network(), builder.create_builder_config())
    with pytest.raises(AssertionError, match="does not have"):
        Double("10.3.0", {"Builder.build_engine": lambda *_: None})
