"""The files that make a line a service of the system: which, where, and with what in them."""

from dataclasses import dataclass
from pathlib import Path

from edge.config import LineConfig, anchored, load_line
from edge.errors import ConfigError, InstallError
from edge.yaml_file import load_yaml

UNIT_FOLDER = Path("etc/systemd/system")
_PLACES = {
    "*.service": UNIT_FOLDER,
    "*.target": UNIT_FOLDER,
    "*.sysusers.conf": Path("etc/sysusers.d"),
    "*.tmpfiles.conf": Path("etc/tmpfiles.d"),
}
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  (named, not used)


@dataclass(frozen=True)
class UnitFile:
    """One file of an installation; ``path`` is relative to the root of the system."""

    path: Path
    content: str


def source_folder() -> Path:
    """``systemd/`` of a checkout, or installed. Raises InstallError."""
    here = Path(__file__).parents[1]
    for folder in (here.parent / "systemd", here / "systemd"):
        if (folder / "edge@.target").is_file():
            return folder
    raise InstallError("systemd/ is missing from this installation; install the package again")


def units(edge: Path) -> list[UnitFile]:
    """Units, user and folders; ``edge``: the command that the units start."""
    made = []
    for pattern, place in _PLACES.items():
        for source in sorted(source_folder().glob(pattern)):
            name = source.name.replace(".sysusers", "").replace(".tmpfiles", "")
            content = source.read_text(encoding="utf-8").replace("@BIN@", str(edge.parent))
            made.append(UnitFile(place / name, content))
    return made


def line_file(line: Path) -> UnitFile:
    """The line file where its services read it. Raises ConfigError: bad, or it would mean something else there."""
    config = load_line(line)
    target = Path("etc/edge") / f"{config.name}.yaml"
    raw = load_yaml(line, LineConfig)
    there, here = anchored(raw, Path("/") / target.parent), anchored(raw, line.parent)
    moved = [name for name in LineConfig.model_fields if getattr(there, name) != getattr(here, name)]
    if moved and line.parent.resolve() != Path("/") / target.parent:
        raise ConfigError(
            f"{line}: {', '.join(moved)}: found a path relative to {line.parent}, expected absolute paths: its "
            f"services read this file as /{target}"
        )
    return UnitFile(target, line.read_text(encoding="utf-8"))


def hidden(path: Path) -> str:
    """The folder that hides a program from services, where it lies or where its link leads; empty: none."""
    places = (path.absolute(), path.resolve())
    return next((folder for folder in _HIDDEN if any(place.is_relative_to(folder) for place in places)), "")


def reachable(edge: Path) -> Path:
    """The command, as a service can see it. Raises InstallError."""
    for path in (edge, edge.with_name("python")):
        if folder := hidden(path):
            raise InstallError(
                f"{path} is {path.resolve()}: services see nothing below {folder} (ProtectHome, PrivateTmp); expected "
                "the system's Python and a virtual environment such as /opt/edge: /usr/bin/python3 -m venv /opt/edge "
                "&& /opt/edge/bin/pip install ..., then /opt/edge/bin/edge install"
            )
    if not edge.is_file():
        raise InstallError(f"{edge}: is not there; expected the edge command that the units shall start")
    return edge
