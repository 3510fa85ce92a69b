"""What can go wrong between a model file and an engine; a message says how to mend it."""


class EnginesError(Exception):
    """Base of every error that this package raises on purpose; its text is shown to the user as it is."""


class ManifestError(EnginesError):
    """A manifest, or the model beside it, that cannot be used."""


class PlanError(EnginesError):
    """A precision plan that cannot be read or does not fit its model."""


class CalibrationError(EnginesError):
    """A calibration set, a range or a cache that must not be used."""


class GraphError(EnginesError):
    """An ONNX file that no engine can be made of."""


class DeviceError(EnginesError):
    """No NVIDIA driver, no GPU, or not the one that an engine was built for."""


class BuildError(EnginesError):
    """TensorRT is missing, or refuses to build or to load an engine."""


class RunError(EnginesError):
    """An engine that was loaded and does not run."""


class StoreError(EnginesError):
    """The engine store: an entry, a signature, a key or the disk below it."""
