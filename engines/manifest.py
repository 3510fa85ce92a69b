"""The YAML beside every model file: what it takes, what it gives, how it was made and how good it is."""

import datetime
import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engines.errors import ManifestError

Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=8, le=4096)]
PerChannel = tuple[float, float, float]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class InputSpec(_Section):
    """What the preprocess must deliver: float32 NCHW, batch 1, ``(grey / 255 - mean) / std``, RGB."""

    width: Size
    height: Size
    channels: Literal[1, 3]
    mean: PerChannel
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    resize: Literal["area", "bilinear"]


class PrecisionSpec(_Section):
    """Number formats inside the graph."""

    scheme: Literal["u8s8", "tensorrt"]
    """``tensorrt``: a built engine; what it computes in is in its entry of the engine store."""
    head: Literal["float32", "float16", "int8", "mixed", "unknown"]
    """Of the nodes that have weights; of a built engine as TensorRT itself says."""


class BoxClassSpec(_Section):
    """One class of boxes of a detector, and what it counts as: a best score s gives sigmoid(gain · logit(s) + bias)."""

    name: Annotated[str, Field(min_length=1)]
    means: str | None = None
    """Class of the engine; none: the one of the same name."""
    ignored: bool = False
    gain: Annotated[float, Field(gt=0)] = 1.0
    bias: float = 0.0

    @property
    def engine_class(self) -> str:
        """The class that these boxes are evidence of."""
        return self.means or self.name


class DecoderSpec(_Section):
    """The model is a detector: the layout of its raw output, and how boxes become scores of the classes.

    ``nanodet_plus``: 1×N×(classes + 4·(reg_max + 1)), scores after sigmoid, distances as logits. ``yolov5``:
    1×N×(5 + classes), decoded; with ``anchors_per_cell: 1`` also a YOLOX exported with its decoding. ``yolox``:
    1×N×(5 + classes), not decoded.
    """

    kind: Literal["nanodet_plus", "yolov5", "yolox"]
    strides: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)] = (
        8,
        16,
        32,
        64,
    )
    reg_max: Annotated[int, Field(ge=1, le=64)] = 7
    anchors_per_cell: Annotated[int, Field(ge=1, le=16)] = 3
    min_score: Annotated[float, Field(gt=0, lt=1)] = 0.05
    nms_iou: Annotated[float, Field(gt=0, le=1)] = 0.6
    part_class: str | None = None
    """The class of boxes that is the part itself; none: there always is a part."""
    box_classes: Annotated[tuple[BoxClassSpec, ...], Field(min_length=1)]
    """In the order of the outputs."""

    @model_validator(mode="after")
    def _names(self) -> "DecoderSpec":
        names = [item.name for item in self.box_classes]
        if len(set(names)) != len(names):
            raise ValueError(f"box_classes are {names}: expected every name once")
        if self.part_class is not None and self.part_class not in names:
            raise ValueError(f"part_class is '{self.part_class}': expected one of {names}, or nothing")
        return self


class TrainedSpec(_Section):
    """How to make the model again."""

    command: str
    parts: Annotated[int, Field(ge=1)]
    seed: int
    date: datetime.date


class MeasuredSpec(_Section):
    """On unseen parts, one thread."""

    accuracy_fp32: Share
    accuracy_int8: Share
    escape_rate_at_argmax: Share
    """Defective parts whose highest score is the good class."""
    latency_ms_fp32: Annotated[float, Field(gt=0)]
    latency_ms_int8: Annotated[float, Field(gt=0)]
    parts: Annotated[int, Field(ge=1)]
    seed: int


class EngineManifest(_Section):
    """One engine, complete. Paths are resolved by ``load_manifest``."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    role: Literal["gate", "classifier"]
    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    """The model, in the folder of the manifest."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    """In the order of the scores."""
    good_class: str
    empty_class: str
    input: InputSpec
    precision: PrecisionSpec
    trained: TrainedSpec
    measured: MeasuredSpec
    decoder: DecoderSpec | None = None
    """None: the model gives the scores of the classes itself."""
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _known_classes(self) -> "EngineManifest":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes are {list(self.classes)}: expected every name once")
        for key in ("good_class", "empty_class"):
            if getattr(self, key) not in self.classes:
                raise ValueError(f"{key} is '{getattr(self, key)}': expected one of {list(self.classes)}")
        return self

    @model_validator(mode="after")
    def _boxes_mean_defects(self) -> "EngineManifest":
        if self.decoder is None:
            return self
        defects = [name for name in self.classes if name not in (self.good_class, self.empty_class)]
        for item in self.decoder.box_classes:
            if item.ignored or item.name == self.decoder.part_class or item.engine_class in defects:
                continue
            raise ValueError(
                f"decoder: boxes '{item.name}' count as '{item.engine_class}': expected one of {defects}; "
                "give 'means', or 'ignored: true'"
            )
        return self

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.folder / self.file


def load_manifest(path: Path) -> EngineManifest:
    """Reads and checks a manifest, and that the model beside it is the one it describes.

    Raises ManifestError: no such file, bad YAML, wrong keys or values, model missing, SHA-256 that differs.
    """
    manifest = _validate(path, _read_yaml(path))
    model = manifest.model_path
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{path}: file: '{manifest.file}' cannot be read ({error.strerror}); expected the model beside "
            "its manifest; restore it, or make it again with: " + manifest.trained.command
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.sha256:
        raise ManifestError(
            f"{path}: sha256: {model.name} has {found} ({len(content)} bytes), expected {manifest.sha256}; "
            "the model was truncated or replaced; restore the pair, or make it again with: "
            + manifest.trained.command
        )
    return manifest


def write_manifest(manifest: EngineManifest, path: Path) -> None:
    """Writes the YAML in the order of the fields."""
    path.write_text(manifest_yaml(manifest), encoding="utf-8")


def manifest_yaml(manifest: EngineManifest) -> str:
    """The YAML in the order of the fields."""
    data = manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
    return str(yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); expected the manifest of an engine, such as "
            "gate.yaml beside gate.onnx"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: is not YAML: {error}; restore the file from its source") from error
    if not isinstance(data, dict):
        raise ManifestError(
            f"{path}: found {type(data).__name__}, expected keys such as 'schema: 1'; restore the file"
        )
    return data


def _validate(path: Path, data: dict[str, Any]) -> EngineManifest:
    try:
        return EngineManifest.model_validate({**data, "folder": path.parent})
    except ValidationError as error:
        lines = [
            f"{path}: {_key(item)}: found {_found(item)}, expected: {item['msg']}" for item in error.errors()
        ]
        raise ManifestError("\n".join(lines) + "\ncorrect these keys, or make the engine again") from error


def _key(item: Any) -> str:
    return ".".join(map(str, item["loc"])) or "manifest"


def _found(item: Any) -> str:
    return "nothing" if item["type"] == "missing" else repr(item["input"])[:80]
