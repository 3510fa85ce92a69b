"""What is known about the truth of the shown parts: the report counts escapes and overkills by it."""

import json
from dataclasses import dataclass
from pathlib import Path

from edge.errors import CameraError


@dataclass(frozen=True)
class Labels:
    """Class names in the order of the trigger ids, which count from 1; None: not known."""

    names: tuple[str | None, ...]
    repeats: bool = False
    """True: the source begins again after the last one."""

    def of(self, trigger_id: int) -> str | None:
        """The class of one part; None where it is not known."""
        index = trigger_id - 1
        if index < 0 or not self.names or (index >= len(self.names) and not self.repeats):
            return None
        return self.names[index % len(self.names)]

    def save(self, path: Path) -> None:
        """Writes JSON in one step, so that a reader never sees half of it. Raises OSError."""
        part = path.with_name(path.name + ".tmp")
        part.write_text(json.dumps({"repeats": self.repeats, "labels": self.names}), encoding="utf-8")
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Labels":
        """Reads what ``save`` wrote. Raises CameraError when it is not there or something else."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(data["labels"]), bool(data["repeats"]))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CameraError(f"{path}: expected a labels file of the camera process: {error}") from error
