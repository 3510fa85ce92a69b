"""The twin of a whole line: makes the world, runs camera and PLC as processes of their own, and reports the truth."""

import argparse
import json
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from edge.errors import EdgeError, TwinError
from edge.service.processes import die_with_parent
from engines.whole_file import write_whole
from tools.twin.parts import CLASSES, plan_parts
from tools.twin.world import World

POWER_CYCLE_S = 1.0
READY_LIMIT_S = 60.0


class _StoppedError(Exception):
    """We were told to end before the twin was ready."""


class Child:
    """A twin process that dies with us and says ``ready`` on its standard output."""

    def __init__(self, name: str, arguments: list[str]) -> None:
        self.name = name
        self._arguments = arguments
        self.restarts = 0
        self._start()

    def _start(self) -> None:
        # preexec_fn is safe here: this process has a single thread.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.twin", self.name, *self._arguments],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            # Ctrl-C is for us alone: the PLC must still hear from the line that it ends.
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def restart(self, arguments: list[str]) -> None:
        """A new process in its place."""
        self._arguments = arguments
        self.restarts += 1
        self._start()

    def wait_ready(self, stopping: list[int]) -> str:
        """Its ``ready`` line. Raises TwinError when it ends first or takes too long."""
        assert self._process.stdout is not None
        end = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < end:
            if stopping:
                raise _StoppedError
            if select.select([self._process.stdout], [], [], 0.1)[0]:
                line = self._process.stdout.readline().decode()
                if line.startswith("ready"):
                    return line.strip()
                if not line:
                    raise TwinError(
                        f"the twin's {self.name} ended with {self._process.wait()} before it was ready"
                    )
        raise TwinError(f"the twin's {self.name} was not ready within {READY_LIMIT_S:g} s")

    def end(self) -> None:
        """SIGTERM, and SIGKILL after 2 s."""
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run(options: argparse.Namespace) -> None:
    """Runs until SIGTERM or SIGINT, then writes the report. Raises TwinError when a child cannot go on."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda which, _frame: stopping.append(which))
    specs = plan_parts(options.parts, options.seed, options.defect_share)
    world = World.create(options.world, specs, profile=options.speed)
    children: list[Child] = []
    try:
        plc = Child("plc", _plc_arguments(options, options.plc_port))
        children.append(plc)
        ready = plc.wait_ready(stopping)
        port = int(ready.rpartition("=")[2])
        camera = Child(options.camera, _camera_arguments(options))
        children.append(camera)
        camera.wait_ready(stopping)
        print(f"ready port={port}", flush=True)
        _watch(plc, camera, _plc_arguments(options, port), stopping)
    except _StoppedError:
        pass
    finally:
        for child in children:
            child.end()
        if options.report:
            _write_report(options.report, world, children[0].restarts if children else 0)


def _watch(plc: Child, camera: Child, plc_arguments: list[str], stopping: list[int]) -> None:
    """Switches a dead PLC on again, as a power cycle would."""
    while not stopping:
        time.sleep(0.05)
        if camera.exit_code not in {None, 0}:
            raise TwinError(f"the twin's camera ended with {camera.exit_code}")
        if plc.exit_code is None:
            continue
        print(
            f"the twin's plc ended with {plc.exit_code}; switched on again in 1 s",
            file=sys.stderr,
            flush=True,
        )
        time.sleep(POWER_CYCLE_S)
        plc.restart(plc_arguments)
        plc.wait_ready(stopping)


def _plc_arguments(options: argparse.Namespace, port: int) -> list[str]:
    arguments = ["--port", str(port), "--world", str(options.world), "--mode", options.mode]
    if options.changeovers:
        arguments += ["--changeovers", options.changeovers]
        arguments += ["--changeover-report", str(options.world.with_name("changeovers.json"))]
    return arguments


def _camera_arguments(options: argparse.Namespace) -> list[str]:
    return [
        *("--world", str(options.world), "--socket", str(options.camera_socket)),
        *("--seed", str(options.seed), "--parts", str(options.parts)),
        *("--defect-share", str(options.defect_share)),
        *("--faults", options.camera_faults),
    ]


def _write_report(path: Path, world: World, restarts: int) -> None:
    """Whole or not at all. ``verdict`` and ``bin`` are the numbers of the PLC; ``bin`` 1 is good, 2 reject."""
    parts = [
        {
            "id": index + 1,
            "class": CLASSES[part["class_id"]],
            "severity": round(float(part["severity"]), 4),
            "verdict": int(part["verdict"]),
            "verdict_count": int(part["verdict_count"]),
            "bin": int(part["bin"]),
            "crossing_ns": int(part["crossing_ns"]),
            "late": bool(part["late"]),
        }
        for index, part in enumerate(world.parts)
    ]
    text = json.dumps({"parts": parts, "plc": {"restarts": restarts}}, indent=1)
    try:
        write_whole(path, text + "\n")
    except OSError as error:
        raise TwinError(f"{path}: the twin's report cannot be written: {error.strerror}") from error


def main(arguments: list[str]) -> int:
    """``python -m tools.twin line``."""
    parser = argparse.ArgumentParser(prog="twin line", description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="file to create for belt and parts")
    parser.add_argument("--parts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", default="1.2", help="m/s, or a profile such as 0:1.2,10:0.8 (seconds:m/s)")
    parser.add_argument("--defect-share", type=float, default=0.2)
    parser.add_argument("--plc-port", type=int, default=5020, help="0: any free port")
    parser.add_argument("--mode", choices=["pulse", "tracked"], default="pulse", help="who fires the ejector")
    parser.add_argument("--camera", choices=["camera", "gige"], default="camera", help="gige: on the network")
    parser.add_argument(
        "--camera-faults", default="", help="CameraFaults as JSON, or the path of a JSON file"
    )
    parser.add_argument("--changeovers", default="", help="seconds:number,…: recipes that the PLC asks for")
    parser.add_argument("--camera-socket", type=Path, required=True)
    parser.add_argument("--report", type=Path, help="JSON to write at the end")
    try:
        run(parser.parse_args(arguments))
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
