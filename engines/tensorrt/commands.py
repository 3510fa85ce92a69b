"""``edge engines build | inspect | bench | verify``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from engines.console import console, progress
from engines.errors import BuildError
from engines.golden import load_golden
from engines.opened import Opened, open_any
from engines.store.commands import tell_stored
from engines.store.folder import EngineStore
from engines.store.offer import Offer, Recipe, offer_tensorrt
from engines.tensorrt.options import BuildOptions, Precision
from engines.whole_file import write_whole

if TYPE_CHECKING:
    from engines.precision import Precision as Planned
    from engines.tensorrt.builder import Built

ModelFile = Annotated[Path, typer.Argument(help="The ONNX that is built.", metavar="MODEL.onnx")]
EngineText = Annotated[
    str, typer.Argument(help="store:NAME, id of an entry, manifest, .engine or .onnx file.", metavar="ENGINE")
]


def add_device_commands(app: typer.Typer) -> None:
    """Adds the four commands."""
    app.command("build")(build_engine)
    for command in (inspect, bench, verify):
        app.command()(command)


def build_engine(
    model: ModelFile,
    *,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Build into the engine store: its classes and input.", metavar="MANIFEST.yaml"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Build into a file, for a look; no line takes it.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Calibration cache for a float graph (TensorRT up to 10).", metavar="FILE"),
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Precision plan that the graph was made by.")] = None,
    scales: Annotated[Path | None, typer.Option(help="Scales that the graph was made with.")] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Golden set (python -m tools.golden).", metavar="SET.npz")
    ] = None,
    precision: Annotated[str, typer.Option(help="plan, fp16 or fp32.")] = "plan",
    workspace_mib: Annotated[
        int, typer.Option(min=16, max=1 << 20, help="GPU memory that tactics may use.")
    ] = 1024,
    optimization_level: Annotated[int | None, typer.Option(min=0, max=5)] = None,
    dla_core: Annotated[int | None, typer.Option(min=0, max=3, help="Deep-learning accelerator.")] = None,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="For Ampere and later.")
    ] = False,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="For later releases.")
    ] = False,
    own_kernels_only: Annotated[
        bool, typer.Option("--own-kernels-only", help="Without cuBLAS and cuDNN, where they are missing.")
    ] = False,
    timing_cache: Annotated[
        Path | None, typer.Option(help="Kept between builds; makes the next one faster.", metavar="FILE")
    ] = None,
    activate: Annotated[bool, typer.Option("--activate", help="And make it the active one.")] = False,
) -> None:
    """Build a TensorRT engine on this machine, for this machine."""
    if precision not in ("plan", "fp16", "fp32") or (manifest is None) == (out is None):
        raise BuildError(
            f"--precision {precision}, --manifest {manifest}, --out {out}: expected plan, fp16 or fp32, and either a "
            "manifest (into the store) or a file"
        )
    chosen: Precision = precision  # type: ignore[assignment]  # checked above
    options = BuildOptions(
        precision=chosen,
        workspace_mib=workspace_mib,
        optimization_level=optimization_level,
        dla_core=dla_core,
        hardware_compatible=hardware_compatible,
        version_compatible=version_compatible,
        own_kernels_only=own_kernels_only,
    )
    artifact = _read(model)
    with progress() as say:
        make = partial(_build, artifact, options, cache, timing_cache, say)
        if manifest is None:
            built = make()
            assert out is not None
            write_whole(out, built.engine)
            _tell_built(built, str(out))
            return
        store = EngineStore()
        offer = Offer(manifest, load_golden(golden) if golden else None, plan, scales or cache)
        recipe = Recipe(artifact, options.model_dump(exclude_none=True), lambda: _for_store(make()))
        stored = offer_tensorrt(store, offer, recipe, say)
    tell_stored(store, stored, activate)


def inspect(
    engine: EngineText,
    plan: Annotated[
        Path | None, typer.Option(help="Precision plan; says which layers do not honour it.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="The float graph that the plan is for.")] = None,
) -> None:
    """Show the layers of a TensorRT engine with the precisions that were really chosen."""
    if (plan is None) != (model is None):
        raise BuildError(
            f"--plan {plan}, --model {model}: expected both or neither: a plan names the nodes of a graph"
        )
    from engines.tensorrt.layers import not_honoured, read_layers

    opened = open_any(engine)
    if opened.information is None:
        raise BuildError(
            f"{engine}: an engine of ONNX Runtime; expected one of TensorRT, whose layers can be shown"
        )
    layers = read_layers(opened.information())
    table = Table(title=f"{engine}: {len(layers)} layers")
    for title in ("layer", "kind", "computes in", "writes"):
        table.add_column(title, overflow="fold")
    for layer in layers:
        table.add_row(layer.name, layer.kind, layer.reads, layer.writes)
    console.print(table)
    if plan is not None and model is not None:
        said = not_honoured(layers, planned_nodes(model, plan))
        console.print("\n".join(said) or "the plan was honoured")
        if said:
            raise typer.Exit(1)


def bench(
    engine: EngineText,
    runs: Annotated[int, typer.Option(min=10, max=1_000_000, help="Single pictures.")] = 500,
) -> None:
    """Measure the latency of single pictures."""
    opened = open_any(engine)
    with progress() as say:
        times = opened.times_ms(runs, say)
    table = Table("engine", "runs", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
    figures = (*np.percentile(times, [50, 90, 99, 99.9]), times.max())
    table.add_row(engine, str(runs), *(f"{value:.3f}" for value in figures))
    console.print(table)


def verify(
    engine: EngineText,
    *,
    reference: Annotated[
        Path, typer.Option(help="The float graph, run by ONNX Runtime.", metavar="MODEL.onnx")
    ],
    pictures: Annotated[
        Path | None, typer.Option(help="Golden set; left out: noise, which says less.", metavar="SET.npz")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    min_cosine: Annotated[float, typer.Option(min=0, max=1, help="Below: exit code 1.")] = 0.99,
    max_flips: Annotated[
        float, typer.Option(min=0, max=1, help="Share of flipped labels; above: code 1.")
    ] = 0.02,
) -> None:
    """Compare an engine with ONNX Runtime on the same inputs."""
    onnx = _onnx()
    from engines.parity import compare, outputs

    opened = open_any(engine)
    inputs = _inputs(opened, pictures, count)
    wanted = outputs(onnx.load(reference), inputs)
    found = np.stack([opened.answer(picture) for picture in inputs])
    if wanted.shape != found.shape:
        raise BuildError(
            f"{engine}: {found.shape[1]} numbers, {reference} gives {wanted.shape[1]}: not the same model"
        )
    parity = compare(wanted, found)
    flips = parity.label_flips / parity.pictures
    table = Table("engine", "pictures", "cosine", "max |difference|", "label flips")
    table.add_row(
        engine, str(parity.pictures), f"{parity.cosine:.5f}", f"{parity.max_abs:.4g}", f"{parity.label_flips}"
    )
    console.print(table)
    if parity.cosine < min_cosine or flips > max_flips or not np.isfinite(found).all():
        console.print(
            f"[red]not the same: cosine ≥ {min_cosine}, flips ≤ {max_flips:.1%} and no NaN are expected[/]"
        )
        raise typer.Exit(1)


def planned_nodes(path: Path, plan: Path) -> "dict[str, Planned]":
    """Precision of the nodes that have weights. Raises GraphError, PlanError."""
    _onnx()
    from engines.graph import initializers, load_simplified
    from engines.precision import load_plan

    model = load_simplified(path)
    constants, chosen = initializers(model), load_plan(plan).resolve(model)
    weighted = [n.name for n in model.graph.node if n.op_type in ("Conv", "Gemm", "MatMul")]
    named = {n.name: n for n in model.graph.node}
    return {name: chosen[name] for name in weighted if set(named[name].input) & set(constants)}


def _build(
    artifact: bytes,
    options: BuildOptions,
    cache: Path | None,
    timing_cache: Path | None,
    say: Callable[[str, float], None],
) -> "Built":
    _onnx()
    from engines.tensorrt.builder import build
    from engines.tensorrt.calibrator import read_cache
    from engines.tensorrt.module import cache_version, load_tensorrt

    trt, device = load_tensorrt()
    console.print(f"TensorRT {trt.__version__} on {device.describe()}")
    content = read_cache(cache, cache_version(trt)) if cache else None
    timings = timing_cache.read_bytes() if timing_cache is not None and timing_cache.is_file() else b""
    built = build(trt, artifact, options, cache=content, timing_cache=timings, progress=say)
    if timing_cache is not None and built.timing_cache:
        write_whole(timing_cache, built.timing_cache)
    return built


def _for_store(built: "Built") -> tuple[bytes, tuple[str, ...]]:
    return built.engine, (
        f"built by {built.route} in {built.seconds:.0f} s, {built.layers} layers",
        *built.notes,
    )


def _tell_built(built: "Built", where: str) -> None:
    console.print(f"{where}: {len(built.engine) >> 10} KiB, by {built.route} in {built.seconds:.0f} s")
    for note in built.notes:
        console.print(f"[yellow]note: {note}[/]")


def _inputs(opened: Opened, pictures: Path | None, count: int) -> list[Any]:
    if pictures is None:
        rng = np.random.default_rng(0)
        return [rng.normal(size=opened.input.shape).astype(np.float32) for _ in range(count)]
    found = load_golden(pictures).pictures[:count]
    if found.shape[1:] != opened.input.shape[1:]:
        raise BuildError(
            f"{pictures}: pictures of {found.shape[1:]}, the engine takes {opened.input.shape[1:]}"
        )
    return [picture[None] for picture in found]


def _onnx() -> Any:
    """The module, which a line does not need. Raises BuildError."""
    try:
        import onnx
    except ImportError as error:
        raise BuildError(f"onnx is not installed here ({error}); pip install onnx") from error
    return onnx


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path}: cannot be read ({error.strerror}); expected an ONNX file") from error
