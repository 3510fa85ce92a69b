"""What a line needs before its services start: region, ring and the configuration of each process."""

import hashlib
from datetime import datetime, timezone
from pathlib import Path

from pydantic import ValidationError

from edge.camera.settings import TwinSettings
from edge.config import LineConfig, load_line
from edge.errors import ConfigError, RegionError
from edge.records.journal.settings import JournalSettings
from edge.roles import ROLES, Meeting, gate_manifest, role_settings
from edge.service.lock import is_locked, own_folder, take_lock
from edge.service.machine import CpuPlan
from edge.settings import Settings
from edge.version import __version__
from engines.whole_file import write_whole


class Prepared(Settings):
    """``line.json`` in a line's folder: from what its processes were configured."""

    name: str
    line_file: Path
    files: dict[str, str]
    """Path → SHA-256: the line file, and its recipe if that is a file of its own."""
    commands: dict[str, list[str]]
    """Role → arguments of Python."""
    version: str
    prepared_at: str
    """UTC."""

    @classmethod
    def load(cls, folder: Path) -> "Prepared":
        """Raises RegionError when no line was prepared there."""
        path = folder / "line.json"
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise RegionError(
                f"{path}: no line was prepared there ({error}); start edge-line@{folder.name}.service, "
                f"or run: edge service prepare /etc/edge/{folder.name}.yaml"
            ) from error

    def changed_files(self) -> tuple[str, ...]:
        """What has changed on disk since: the line still runs with what it was started with."""
        return tuple(path for path, digest in self.files.items() if _sha256(Path(path)) != digest)


def prepare(line_file: Path, folder: Path) -> Prepared:
    """Checks the line file and makes everything that the line's processes attach to.

    Raises ConfigError, EngineError or RegionError before anything was written: the file is bad, an engine is not
    there, or processes of this line are running.
    """
    config = _with_journal(load_line(line_file))
    _fit_for_services(config, line_file, folder)
    gate_manifest(config)
    own_folder(folder)
    mend = f"stop it first: systemctl stop edge@{config.name}.target"
    with take_lock(folder / "prepare.lock", f"edge service prepare for line '{config.name}'", mend):
        running = [role for role in ROLES if is_locked(folder / f"{role}.lock")]
        if running:
            raise RegionError(f"line '{config.name}' is running already ({', '.join(running)}); {mend}")
        meeting = Meeting.of(config, folder)
        cpus = CpuPlan.for_this_machine(config.realtime.loop_cpu)
        told = role_settings(config, meeting, cpus)
        meeting.create(config)
        meeting.write_told(told)
        prepared = _facts(config, line_file, meeting)
        write_whole(folder / "line.json", prepared.model_dump_json(indent=1))
    return prepared


def _with_journal(config: LineConfig) -> LineConfig:
    """A service keeps a journal even where the line file does not speak of one."""
    records = config.records
    if records.journal is not None:
        return config
    return config.model_copy(update={"records": records.model_copy(update={"journal": JournalSettings()})})


def _fit_for_services(config: LineConfig, line_file: Path, folder: Path) -> None:
    if config.name != folder.name:
        raise ConfigError(
            f"{line_file}: name: found '{config.name}', expected '{folder.name}' as its unit and folder; "
            f"rename the line, or the file to {config.name}.yaml"
        )
    drives_a_real_line(line_file, config)


def drives_a_real_line(line_file: Path, config: LineConfig) -> None:
    """Raises ConfigError: it speaks of a twin, which no service starts."""
    if config.plc.kind == "twin":
        raise ConfigError(
            f"{line_file}: plc.kind: found 'twin', expected tcp or rtu: services drive a real PLC; "
            "the twin belongs to edge demo and edge run"
        )
    if isinstance(config.camera, TwinSettings) and config.camera.socket is None:
        raise ConfigError(
            f"{line_file}: camera.kind: found 'twin' without a socket, expected a camera, or camera.socket of a twin "
            "that runs beside the services"
        )


def _facts(config: LineConfig, line_file: Path, meeting: Meeting) -> Prepared:
    files = [line_file.resolve()]
    if config.recipe is not None and (recipe := line_file.parent / config.recipe).is_file():
        files.append(recipe.resolve())
    return Prepared(
        name=config.name,
        line_file=line_file.resolve(),
        files={str(path): _sha256(path) for path in files},
        commands={role: meeting.command(role) for role in ROLES},
        version=__version__,
        prepared_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"
