"""A detector as the loop takes it: its manifest → the native decoder."""

from edge import _core
from engines.errors import ManifestError
from engines.manifest import DecoderSpec, EngineManifest

_KINDS = {
    "nanodet_plus": _core.DetectorKind.NANODET_PLUS,
    "yolov5": _core.DetectorKind.YOLOV5,
    "yolox": _core.DetectorKind.YOLOX,
}
_NOTHING = -1


def detector(manifest: EngineManifest, spec: DecoderSpec) -> _core.Detector:
    """Raw output → boxes."""
    return _core.Detector(
        kind=_KINDS[spec.kind],
        input_width=manifest.input.width,
        input_height=manifest.input.height,
        classes=len(spec.box_classes),
        strides=list(spec.strides),
        reg_max=spec.reg_max,
        anchors_per_cell=spec.anchors_per_cell,
        min_score=spec.min_score,
        nms_iou=spec.nms_iou,
    )


def box_scores(manifest: EngineManifest) -> _core.BoxScores:
    """Raw output → boxes → scores of the classes. Raises ManifestError: no decoder, or one that cannot be."""
    spec = manifest.decoder
    if spec is None:
        raise ManifestError(f"{manifest.model_path}: its manifest has no 'decoder'; expected a detector")
    names = [item.name for item in spec.box_classes]

    def counts_as(index: int) -> int:
        item = spec.box_classes[index]
        if item.ignored or item.name == spec.part_class:
            return _NOTHING
        return manifest.classes.index(item.engine_class)

    try:
        return _core.BoxScores(
            detector=detector(manifest, spec),
            classes=[(counts_as(i), item.gain, item.bias) for i, item in enumerate(spec.box_classes)],
            part_class=_NOTHING if spec.part_class is None else names.index(spec.part_class),
            scores=len(manifest.classes),
            good=manifest.classes.index(manifest.good_class),
            empty=manifest.classes.index(manifest.empty_class),
        )
    except _core.CoreError as error:
        raise ManifestError(f"{manifest.model_path}: decoder: {error}; mend it in the manifest") from error
