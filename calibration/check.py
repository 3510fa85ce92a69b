"""Are the pictures fit to teach from? Findings that name the picture, what was found and what to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.bank import Bank, hash_distance
from calibration.errors import CalibrationError
from engines.manifest import EngineManifest

SAME_BITS = 3
"""Of 256: the same picture, perhaps stored again."""
NEAR_BITS = 12
"""The same part seen again."""
_SURE = 0.95
_MARGIN = 0.08


@dataclass(frozen=True)
class Finding:
    """``drop``: this picture is not used. ``stop``: nothing can be taught before it is mended."""

    kind: str
    path: str
    text: str
    drop: bool = False
    stop: bool = False


def check(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    """All that is wrong with ``new``, the pictures of ``name``, beside the pictures of the old classes."""
    found: list[Finding] = []
    for rule in _RULES:
        found += rule(new, old, manifest, name)
    kept = len(new) - len({f.path for f in found if f.drop})
    if kept < 2:
        found.append(
            Finding(
                "too few",
                "",
                f"{kept} usable picture(s) of {len(new)}; expected at least 2 different parts, better 10: add pictures",
                stop=True,
            )
        )
    return found


def refuse_bad(found: Sequence[Finding]) -> None:
    """Raises CalibrationError with every finding that stops."""
    stops = [f"{f.kind}: {f.path + ': ' if f.path else ''}{f.text}" for f in found if f.stop]
    if stops:
        raise CalibrationError("\n".join(stops))


def _small(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    need = manifest.input.height // 2, manifest.input.width // 2
    return [
        Finding(
            "small",
            str(path),
            f"{w}×{h} pixels, expected {need[1]}×{need[0]}",
            drop=True,
        )
        for path, (h, w) in zip(new.paths, new.sizes, strict=True)
        if h < need[0] or w < need[1]
    ]


def _camera(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    known = {tuple(size) for size in old.sizes.tolist()}
    shares = [h / w for h, w in known]
    found = []
    for path, (h, w) in zip(new.paths, new.sizes.tolist(), strict=True):
        if not any(abs(h / w / share - 1) < 0.02 for share in shares) and len(known) <= 3:
            usual = sorted(known)[0]
            text = f"{w}×{h} pixels, the others {usual[1]}×{usual[0]}: another camera or a cut-out; take whole frames"
            found.append(Finding("another camera", str(path), text, drop=True))
    return found


def _light(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    low, high = float(old.brightness.min()), float(old.brightness.max())
    room = _MARGIN * 255
    black, white = float(old.dark.max()) + _MARGIN, float(old.bright.max()) + _MARGIN
    found = []
    for path, mean, dark, bright in zip(new.paths, new.brightness, new.dark, new.bright, strict=True):
        if not low - room <= mean <= high + room or dark > black or bright > white:
            text = (
                f"mean grey level {mean:.0f}, the old pictures have {low:.0f} to {high:.0f}; {100 * dark:.0f} % black, "
                f"{100 * bright:.0f} % white: expose it as the line does"
            )
            found.append(Finding("exposure", str(path), text, drop=True))
    return found


def _blur(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    known = old.sharpness[old.sharpness >= 0]
    if not len(known):
        return []
    least = 0.5 * float(np.quantile(known, 0.001))
    return [
        Finding("blurred", str(path), f"sharpness {value:.4f}, the others have {2 * least:.4f}+: focus", drop=True)
        for path, value in zip(new.paths, new.sharpness, strict=True)
        if 0 <= value < least
    ]  # fmt: skip


def _twice(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    apart = hash_distance(new.hashes, new.hashes)
    likeness = _likeness(new, new)
    found = []
    for i in range(len(new)):
        same = [j for j in range(i) if apart[i, j] <= SAME_BITS and likeness[i, j] > 0.999]
        if same:
            found.append(
                Finding("duplicate", str(new.paths[i]), f"is {new.paths[same[0]]} again: left out", drop=True)
            )
    return found


def _conflict(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    apart, likeness = hash_distance(new.hashes, old.hashes), _likeness(new, old)
    found = []
    for i in range(len(new)):
        same = np.flatnonzero((apart[i] <= SAME_BITS) & (likeness[i] > 0.9995))
        if len(same):
            label = old.classes[int(old.labels[same[0]])]
            text = f"is also {old.paths[same[0]]}, labelled '{label}': it cannot be both; take it out of one"
            found.append(Finding("label conflict", str(new.paths[i]), text, drop=True))
    return found


def _wrong_folder(new: Bank, old: Bank, manifest: EngineManifest, name: str) -> list[Finding]:
    e = np.exp(new.logits - new.logits.max(1, keepdims=True))
    scores = e / e.sum(1, keepdims=True)
    seen, sure = scores.argmax(1), scores.max(1) >= _SURE
    counts = np.bincount(seen[sure], minlength=scores.shape[1])
    top = int(counts.argmax())
    label = manifest.classes[top]
    if counts[top] < max(3, 0.9 * len(new)) or not _typical(new, old, top):
        return []
    text = (
        f"{counts[top]} of {len(new)} pictures are surely '{label}' to the engine and look like it: is this the right "
        f"folder? If '{name}' really looks like that, it is no class of its own"
    )
    return [
        Finding("wrong folder", "", text)
    ]  # the proof decides: a class that cannot be told is refused there


def _typical(new: Bank, old: Bank, label: int) -> bool:
    """Are the new pictures as near to the old ones of this class as those are to each other?"""
    own = old.taps[old.labels == label]
    if len(own) < 8:
        return False
    spread = own.std(0) + 1e-3
    every = np.abs((own - own.mean(0)) / spread).mean(1)
    mine = np.abs((new.taps - own.mean(0)) / spread).mean(1)
    return bool(np.median(mine) < np.quantile(every, 0.75))


def _likeness(a: Bank, b: Bank) -> np.ndarray:
    """Cosine of the features."""
    x = a.taps / np.maximum(np.linalg.norm(a.taps, axis=1, keepdims=True), 1e-9)
    y = b.taps / np.maximum(np.linalg.norm(b.taps, axis=1, keepdims=True), 1e-9)
    return np.asarray(x @ y.T)


_RULES: tuple[Callable[[Bank, Bank, EngineManifest, str], list[Finding]], ...] = (
    _small,
    _camera,
    _light,
    _blur,
    _twice,
    _conflict,
    _wrong_folder,
)


def same_parts(bank: Bank) -> list[str]:
    """A group for each picture: those that show the same part again get the group of the first."""
    apart = hash_distance(bank.hashes, bank.hashes)
    likeness = _likeness(bank, bank)
    groups = list(map(str, bank.groups))
    for i in range(len(bank)):
        near = [j for j in range(i) if apart[i, j] <= NEAR_BITS and likeness[i, j] > 0.999]
        if near:
            groups[i] = groups[near[0]]
    return groups
