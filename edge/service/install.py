"""``edge install`` and ``edge uninstall``: whole files, a list of what was put there, nothing of somebody else's."""

import difflib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from edge.errors import InstallError
from edge.service.unit_files import UnitFile
from edge.settings import Settings
from engines.whole_file import write_whole

MANIFEST = Path("var/lib/edge-install.json")
"""Not in /var/lib/edge: what runs as user edge must not say which files root removes."""


class Manifest(Settings):
    """What an installation put: path relative to the root → SHA-256; and the lines it enabled."""

    files: dict[str, str] = Field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @classmethod
    def load(cls, root: Path) -> "Manifest":
        """Empty where nothing was installed. Raises InstallError when it cannot be read."""
        path = root / MANIFEST
        if not path.exists():
            return cls()
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InstallError(
                f"{path}: cannot be read as the list of installed files ({error}); restore it, or remove the files "
                "by hand (docs/deploy.md lists them) and then this list"
            ) from error


@dataclass(frozen=True)
class Step:
    """What happens to one file."""

    file: UnitFile
    before: str | None
    """Its content now; None: it is not there."""
    ours: bool
    """As the last installation left it."""

    @property
    def action(self) -> str:
        """``add``, ``keep``, ``replace`` or ``refuse``."""
        if self.before is None:
            return "add"
        if self.before == self.file.content:
            return "keep"
        return "replace" if self.ours else "refuse"

    def diff(self) -> str:
        """As ``diff -u`` shows it."""
        name = f"/{self.file.path}"
        return "".join(
            difflib.unified_diff(
                (self.before or "").splitlines(keepends=True),
                self.file.content.splitlines(keepends=True),
                "/dev/null" if self.before is None else name,
                name,
            )
        )


def plan(root: Path, files: Sequence[UnitFile]) -> list[Step]:
    """What an installation would do; touches nothing."""
    known = Manifest.load(root).files
    steps = []
    for file in files:
        path = root / file.path
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
        ours = path.is_file() and known.get(str(file.path)) == _sha256(path)
        steps.append(Step(file, before, ours))
    return steps


def install(root: Path, line: str, steps: Sequence[Step], say: Callable[[str], None]) -> None:
    """Puts the files, makes user and folders, enables the line. Raises InstallError; then nothing was written.

    Only a system that refuses to enable the line leaves the files there; they are in the list for uninstall.
    """
    refused = [f"/{step.file.path}" for step in steps if step.action == "refuse"]
    if refused:
        raise InstallError(
            f"{', '.join(refused)}: changed by hand or not ours, and left alone; put what you changed into a drop-in "
            "(such as edge-inspect@.service.d/local.conf), move the file away and install again"
        )
    _may_write(root)
    old = Manifest.load(root)
    written: list[Step] = []
    try:
        for step in steps:
            if step.action != "keep":
                _put(root / step.file.path, step.file)
                written.append(step)
                say(f"{step.action:8s} /{step.file.path}")
        # A file that somebody else put there, with the same content, stays theirs.
        ours = {str(step.file.path): _sha256(root / step.file.path) for step in steps if step in written}
        lines = tuple(sorted({*old.lines, line}))
        _save(root, Manifest(files={**old.files, **ours}, lines=lines))
    except OSError as error:
        _take_back(root, written)
        raise InstallError(f"{error.filename or root}: {error.strerror}; nothing was installed") from error
    _systemd(root, _AFTER_INSTALL, f"edge@{line}.target", say)


def uninstall(root: Path, say: Callable[[str], None], *, dry_run: bool = False) -> list[str]:
    """Removes exactly what installations put. Returns the files that were changed since, and stay.

    Raises InstallError when nothing is installed, or a line cannot be stopped.
    """
    manifest = Manifest.load(root)
    if not manifest.files:
        raise InstallError(f"{root / MANIFEST}: nothing is installed here; expected what edge install left")
    if not dry_run:
        _may_write(root)
        for line in manifest.lines:
            _systemd(root, _BEFORE_UNINSTALL, f"edge@{line}.target", say)
    kept = []
    for name, digest in manifest.files.items():
        path = root / name
        if not path.exists():
            say(f"gone     /{name}")
        elif _sha256(path) != digest:
            kept.append(name)
            say(f"kept     /{name}: changed since it was installed")
        else:
            say(f"remove   /{name}")
            if not dry_run:
                path.unlink()
    if not dry_run:
        (root / MANIFEST).unlink()
        _systemd(root, _AFTER_UNINSTALL, "", say)
    return kept


_AFTER_INSTALL = (
    ("systemd-sysusers", "edge.conf"),
    ("systemd-tmpfiles", "--create", "edge.conf"),
    ("systemctl", "daemon-reload"),
    ("systemctl", "enable", "@UNIT@"),
)
_BEFORE_UNINSTALL = (("systemctl", "disable", "--now", "@UNIT@"),)
_AFTER_UNINSTALL = (("systemctl", "daemon-reload"),)


def _systemd(root: Path, commands: Sequence[Sequence[str]], unit: str, say: Callable[[str], None]) -> None:
    """On another root only the link of an enabled unit is made or removed: nothing runs there."""
    other = root != Path("/")
    for tool, *arguments in commands:
        words = [word.replace("@UNIT@", unit) for word in arguments if not (other and word == "--now")]
        if other and (tool != "systemctl" or "daemon-reload" in words):
            continue
        command = [tool, *([f"--root={root}"] if other else []), *words]
        say(" ".join(command))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InstallError(
                f"{' '.join(command)}: ended with {done.returncode}: {done.stderr.strip()}; mend that and run it again"
            )


def _may_write(root: Path) -> None:
    if root == Path("/") and os.geteuid() != 0:
        raise InstallError(
            "services belong to root: run this with sudo, look first with --dry-run, or stage with --root DIR"
        )
    if shutil.which("systemctl") is None:
        raise InstallError(
            "systemctl: not found; services need systemd (apt-get install systemd), or use edge run"
        )


def _put(path: Path, file: UnitFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, file.content)
    path.chmod(0o644)  # the folder says who may look at line files


def _take_back(root: Path, written: Sequence[Step]) -> None:
    for step in written:
        path = root / step.file.path
        if step.before is None:
            path.unlink(missing_ok=True)
        else:
            write_whole(path, step.before)


def _save(root: Path, manifest: Manifest) -> None:
    path = root / MANIFEST
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, manifest.model_dump_json(indent=1) + "\n")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
