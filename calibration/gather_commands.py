"""``edge calibrate collect``, ``feed``, ``queue`` and ``relabel``: from the line to a data set, with its origin."""

import argparse
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.errors import CalibrationError

if TYPE_CHECKING:
    from calibration.collect import Found
    from edge.config import LineConfig

_SOURCES = ("archive", "line", "camera", "folder")


def _collect(options: argparse.Namespace) -> int:
    from calibration.collect import take
    from engines.audit import who

    given = [name for name in _SOURCES if getattr(options, name) is not None]
    if len(given) != 1:
        raise CalibrationError(
            f"{len(given)} sources given ({', '.join(given) or 'none'}); expected one of --archive, --line, --camera, "
            "--folder"
        )
    offers = _OFFERS[given[0]](options)
    taken = take(options.into, options.name, options.by or who(), offers, options.parts)
    print(f"{taken.added} pictures added, {taken.known} were there: {options.into}")
    print(f"then: edge calibrate new-defect {options.name} --images {options.into} --data OLD.csv")
    return 0


def _of_archive(options: argparse.Namespace) -> "Iterable[Found]":
    from calibration.sources import from_archive
    from edge.config import load_line
    from edge.records.archive.commands import Wanted
    from edge.records.archive.settings import archive_folder

    path: Path = options.archive
    config = None if path.is_dir() else load_line(path)
    folder = path if config is None else archive_folder(config.name, config.records.archive)
    since = None if options.hours is None else time.time_ns() - int(options.hours * 3600e9)
    wanted = Wanted(since_ns=since, reason=options.reason, label=options.called, part=options.part)
    return from_archive(folder, wanted, options.format or _raw(config))


def _raw(config: "LineConfig | None") -> str:
    """``bayer_rg8`` where the line file says that its camera sends mosaics."""
    if config is None:
        return ""
    text = str(getattr(config.camera, "pixel_format", "")).lower().replace("_", "")
    return "bayer_rg8" if text == "bayerrg8" or config.camera.kind == "twin" else ""


def _of_line(options: argparse.Namespace) -> "Iterable[Found]":
    from calibration.sources import from_line
    from edge.shadow.follow import Followed

    return from_line(Followed.attach(options.line), options.line, options.minutes * 60)


def _of_camera(options: argparse.Namespace) -> "Iterable[Found]":
    from calibration.sources import from_camera
    from edge.config import load_line

    config = load_line(options.camera)
    return from_camera(config.camera, config.name, options.parts, options.minutes * 60)


def _of_folder(options: argparse.Namespace) -> "Iterable[Found]":
    from calibration.pictures import SUFFIXES
    from calibration.sources import from_folder

    return from_folder(options.folder, SUFFIXES)


_OFFERS = {"archive": _of_archive, "line": _of_line, "camera": _of_camera, "folder": _of_folder}


def _feed(options: argparse.Namespace) -> int:
    from calibration.bank import Bank
    from calibration.feed import Eye, Feed, follow
    from calibration.queue import Queue
    from edge.shadow.follow import Followed, keep_off
    from engines.give_way import give_way

    if not 0 < options.share <= 1 or options.window < 20 or options.keep < 1:
        raise CalibrationError(
            f"--share {options.share:g} --window {options.window} --keep {options.keep}: expected above 0 to 1, at "
            "least 20, and at least 1"
        )
    line = Followed.attach(options.line)
    eye = Eye(line, Bank.load(options.bank), options.window) if options.bank else None
    if eye is None:
        print("no --bank: nothing is said about drift and novelty", flush=True)
    give_way(options.memory_mib, idle=options.priority == "idle")
    keep_off(line.config.loop_cpu)
    feed = Feed(line, options.out, eye, Queue(options.out / "queue", options.keep))
    ended, end_s = threading.Event(), time.monotonic() + options.minutes * 60
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    follow(line, feed, share=options.share, over=lambda _: ended.is_set() or time.monotonic() > end_s)
    seen = feed.seen
    print(
        f"{seen.parts} parts judged, {seen.looked_at} looked at, {seen.queued} queued, {seen.missed} missed; "
        f"{seen.drifted} of {seen.windows} windows drifted; {time.process_time():.1f} s of one processor: {options.out}"
    )
    return 3 if seen.drifted else 0


def _queue(options: argparse.Namespace) -> int:
    from calibration.queue import Queue

    waiting = Queue(options.folder).waiting()
    for asked in waiting:
        print(f"{asked.worth:.2f}  {asked.why:9s}  part {asked.part}  {asked.picture}")
    print(f"{len(waiting)} parts wait for a label: {options.folder}")
    return 0


def _relabel(options: argparse.Namespace) -> int:
    from calibration.queue import Queue, Relabel, relabel
    from engines.audit import who

    relabel(options.data, Relabel(options.picture, options.label, f"operator {options.by or who()}"))
    shown = options.data.parent / options.picture
    waited = Queue(shown.parent).answered(shown.name)
    print(f"{options.picture}: {options.label}; {options.data}{'; it waits no longer' if waited else ''}")
    return 0


def add_gather_commands(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Their options."""
    from engines.give_way import DEFAULT_MEMORY_MIB

    p = what.add_parser("collect", help="pictures of a defect, for new-defect, from archive, line or camera")
    p.add_argument("name", help="of the class that they show, such as scratch")
    p.add_argument(
        "--into", type=Path, required=True, help="folder that they are added to; the same one goes on"
    )
    p.add_argument("--archive", type=Path, help="line file, or the archive's folder: newest first")
    p.add_argument("--line", help="name or folder of a running line: the parts from now on")
    p.add_argument("--camera", type=Path, help="line file whose camera no line has open")
    p.add_argument("--folder", type=Path, help="any pictures")
    p.add_argument("--parts", type=int, default=40, help="at most")
    p.add_argument(
        "--minutes", type=float, default=10.0, help="of --line, at most; of --camera, without a frame"
    )
    p.add_argument("--reason", help="of --archive: uncertain, defect …")
    p.add_argument("--called", help="of --archive: the class that the line took them for")
    p.add_argument("--part", type=int, help="of --archive: one part")
    p.add_argument("--hours", type=float, help="of --archive: not older")
    p.add_argument(
        "--format", default="", help="of --archive: bayer_rg8, where the line file does not say so"
    )
    p.add_argument("--by", default="", help="whose word it is (default: the user)")
    p.set_defaults(run=_collect)
    p = what.add_parser("feed", help="beside a running line: its drift, and the parts worth a label")
    p.add_argument("--line", required=True, help="name or folder of the running line")
    p.add_argument("--out", type=Path, default=Path("live"), help="folder for drift.json and queue/")
    p.add_argument("--bank", type=Path, help="of the calibration set, by the line's own classifier")
    p.add_argument("--window", type=int, default=300, help="parts that are compared with it together")
    p.add_argument("--keep", type=int, default=500, help="parts in the queue, at most")
    p.add_argument("--share", type=float, default=0.1, help="of one processor, at most")
    p.add_argument("--minutes", type=float, default=1e9, help="at most")
    p.add_argument("--memory-mib", type=int, default=DEFAULT_MEMORY_MIB)
    p.add_argument("--priority", choices=("idle", "low"), default="idle", help="low: also on a busy machine")
    p.set_defaults(run=_feed)
    p = what.add_parser("queue", help="parts that wait for an operator's label, the worthiest first")
    p.add_argument("folder", type=Path, help="of the queue, as 'edge calibrate feed' fills it")
    p.set_defaults(run=_queue)
    p = what.add_parser("relabel", help="an operator's word about a picture, into a data set")
    p.add_argument("data", type=Path, help="CSV manifest, or collected.csv of collect")
    p.add_argument("picture", help="as in its column path; a new one is added")
    p.add_argument("label", help="class that it shows")
    p.add_argument("--by", default="", help="whose word it is (default: the user)")
    p.set_defaults(run=_relabel)
