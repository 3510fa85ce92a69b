"""Pictures of the parts on which line and candidate disagree: bounded; the dangerous ones displace the others."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from edge._core import FrameView
from edge.errors import RecordError
from edge.records.recording import encode
from edge.shadow.agreement import Kind
from engines.whole_file import write_whole

INDEX = "disagreements.json"
_RANK = {Kind.OTHER: 0, Kind.HARDER: 1, Kind.SOFTER: 2}


@dataclass(frozen=True)
class Disagreement:
    """One part; ``picture`` as the camera gave it, a file beside the index."""

    part_id: int
    kind: str
    line: str
    candidate: str
    picture: str


class Kept:
    """At most ``most`` pictures in a folder of its own."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._held: list[tuple[Kind, Disagreement]] = []
        self.left_out: Counter[str] = Counter()
        """By kind: seen, and without a picture."""

    @property
    def held(self) -> list[Disagreement]:
        """The dangerous first."""
        return [item for _, item in sorted(self._held, key=lambda one: (-_RANK[one[0]], one[1].part_id))]

    def add(self, kind: Kind, part_id: int, line: str, candidate: str, frame: FrameView) -> None:
        """Raises RecordError: no room on the disk."""
        if kind is Kind.SAME:
            return
        if not self._make_room(kind):
            self.left_out[kind.value] += 1
            return
        name = f"{kind.value}-{part_id:08d}.png"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / name, encode(frame))
        except OSError as error:
            raise RecordError(
                f"{self._folder / name}: cannot be written ({error.strerror or error}); make room; the line goes on"
            ) from error
        self._held.append((kind, Disagreement(part_id, kind.value, line, candidate, name)))

    def write_index(self) -> None:
        """Raises OSError."""
        if self._held:
            text = json.dumps([asdict(item) for item in self.held], indent=1)
            write_whole(self._folder / INDEX, text)

    def _make_room(self, kind: Kind) -> bool:
        if len(self._held) < self._most:
            return True
        least = min(range(len(self._held)), key=lambda i: _RANK[self._held[i][0]], default=None)
        if least is None or _RANK[self._held[least][0]] >= _RANK[kind]:
            return False
        gone, item = self._held.pop(least)
        self.left_out[gone.value] += 1
        (self._folder / item.picture).unlink(missing_ok=True)
        return True
