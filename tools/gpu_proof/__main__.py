"""``python -m tools.gpu_proof``: what only a machine with an NVIDIA GPU can show, in one command of ten minutes.

Without a GPU it does everything up to the driver call and says what stays unproven. Exit code 1: a step failed.
"""

import argparse
import datetime
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from engines.console import console, progress
from engines.errors import DeviceError
from engines.tensorrt.driver import Device, find_device
from engines.tensorrt.module import load_tensorrt
from engines.whole_file import write_whole
from tools.gpu_proof import device as on_gpu
from tools.gpu_proof import prepare
from tools.gpu_proof.outcome import Figure, NotHereError, Outcome, Step, run_step

NEVER_SHOWN = (
    "a Jetson: memory without copies, the deep-learning accelerator, its clocks and its power",
    "a whole line with engines on the GPU: camera, PLC and loop together, for hours",
)
_COLOURS = {"shown": "green", "failed": "red", "not shown": "yellow"}


class Proof:
    """The steps share a device, models and artifacts; each asks for what it needs and says what is missing."""

    def __init__(self, options: argparse.Namespace, folder: Path, say: prepare.Say) -> None:
        self._options, self._folder, self._say = options, folder, say
        self.artifacts: list[prepare.Artifact] = []
        self._gpu: on_gpu.Gpu | None = None
        self.device: Device | None = None
        self.missing = ""
        try:
            self.device = find_device()
        except DeviceError as error:
            self.missing = str(error)

    def steps(self) -> list[Step]:
        """In their order: without a driver first."""
        sm = self.device.sm if self.device else None
        return [
            Step(
                "kernel, as C++",
                "the preprocess kernel computes what the native preprocess does",
                prepare.kernel_arithmetic,
            ),
            Step("kernel, as PTX", "NVIDIA's compiler takes the kernel", partial(prepare.kernel_ptx, sm)),
            Step("artifacts", "plan, calibration, Q/DQ graph and cache of both models", self._artifacts),
            Step("driver", "there is a GPU", self._driver),
            Step(
                "launches",
                "native code launches CUDA graphs without the GIL, within 20 µs",
                self._needs(on_gpu.launches),
            ),
            Step(
                "kernel, on the GPU",
                "the kernel runs, within one grey level, from a captured graph",
                self._needs(on_gpu.preprocess),
            ),
            Step(
                "frames in place",
                "the kernel reads a frame in the ring's slot, without a copy",
                self._needs(on_gpu.ring),
            ),
            Step("torch", "a torch model runs from a graph of ours", self._needs(on_gpu.torch_graph)),
            Step(
                "TensorRT",
                "it builds our artifacts, they answer as planned, in the line's loop too, and INT8 is faster",
                self._tensorrt,
            ),
        ]

    def _artifacts(self) -> Sequence[Figure]:
        figures: list[Figure] = []
        for name, path, trained in prepare.make_models(self._folder, self._options.model):
            made = prepare.make_artifact(
                name, path, trained=trained, pictures=self._options.pictures, say=self._say
            )
            self.artifacts.append(made)
            figures += prepare.artifact_figures(made)
        return figures

    def _driver(self) -> Sequence[Figure]:
        return [Figure("device", self._need_device().describe())]

    def _need_device(self) -> Device:
        if self.device is None:
            raise NotHereError(self.missing)
        return self.device

    def _needs(self, step: Callable[[on_gpu.Gpu], Sequence[Figure]]) -> Callable[[], Sequence[Figure]]:
        return lambda: step(self._need_gpu())

    def _need_gpu(self) -> on_gpu.Gpu:
        if self._gpu is None:
            self._gpu = on_gpu.open_gpu(self._need_device())
        return self._gpu

    def _tensorrt(self) -> Sequence[Figure]:
        gpu = self._need_gpu()
        if not self.artifacts:
            raise NotHereError("there are no artifacts to build; see that step")
        trt: Any = load_tensorrt()[0]
        figures = [Figure("TensorRT", str(trt.__version__))]
        for artifact in self.artifacts:
            self._say(f"build {artifact.name}", 0.0)
            figures += on_gpu.tensorrt(gpu, trt, artifact)
        return figures


def main(arguments: list[str] | None = None) -> None:
    """Runs every step, prints the tables, writes the report."""
    options = _parser().parse_args(arguments)
    deadline = time.monotonic() + 60 * options.minutes
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder, progress() as say:
        proof = Proof(options, Path(folder), say)
        steps = proof.steps()
        for index, step in enumerate(steps):
            outcomes.append(run_step(step, deadline))
            say("steps", (index + 1) / len(steps))
    device = proof.device.describe() if proof.device else "no GPU"
    tell(outcomes, device)
    if options.out:
        facts = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "device": device,
            "machine": platform.platform(),
            "steps": [asdict(item) for item in outcomes],
            "never_shown": NEVER_SHOWN,
        }
        write_whole(options.out, json.dumps(facts, indent=1) + "\n")
    sys.exit(any(item.state == "failed" for item in outcomes))


def tell(outcomes: Sequence[Outcome], device: str) -> None:
    """Steps and figures, then plainly what is not proven."""
    now = datetime.datetime.now(datetime.timezone.utc)
    table = Table("step", "state", "figure", "value", "promised", title=f"{device}, {now:%Y-%m-%d}")
    for item in outcomes:
        state = f"[{_COLOURS[item.state]}]{item.state}[/]"
        for index, figure in enumerate(item.figures or (Figure("", ""),)):
            mark = {None: "", True: " ✓", False: " ✗"}[figure.reached]
            first = (item.name, state) if index == 0 else ("", "")
            table.add_row(*first, figure.name, figure.value, figure.target + mark)
    console.print(table)
    for item in outcomes:
        if item.state == "failed":
            console.print(f"[red]failed[/] {item.name}: {item.why}", highlight=False)
    console.print("Not proven by this run:")
    by_why: dict[str, list[str]] = {}
    for item in outcomes:
        if item.state != "shown":
            by_why.setdefault(item.why, []).append(item.claim)
    for why, claims in by_why.items():
        console.print(f"- {'; '.join(claims)}. Why: {why}", highlight=False)
    for claim in NEVER_SHOWN:
        console.print(f"- {claim}", highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_proof", description=__doc__)
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        help="float ONNX of tools.train; may be repeated; none: ResNet50 and gate with random weights",
    )
    parser.add_argument(
        "--pictures", type=int, default=60, help="that calibrate, and that answers are compared on"
    )
    parser.add_argument("--minutes", type=float, default=10, help="no step begins later")
    parser.add_argument("--out", type=Path, help="report as JSON")
    return parser


if __name__ == "__main__":
    main()
