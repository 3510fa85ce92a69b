"""What can go wrong between a model file and an engine; a message says how to mend it."""


class ManifestError(Exception):
    """A manifest, or the model beside it, that cannot be used."""


class QuantizeError(Exception):
    """A graph that cannot be quantised, or a calibration set that is empty."""


class PlanError(Exception):
    """A precision plan that cannot be read or does not fit its model."""


class CalibrationError(Exception):
    """A calibration set, a range or a cache that must not be used."""


class GraphError(Exception):
    """An ONNX file that no engine can be made of."""


class DeviceError(Exception):
    """No NVIDIA driver, no GPU, or not the one that an engine was built for."""


class BuildError(Exception):
    """TensorRT is missing, or refuses to build or to load an engine."""


class RunError(Exception):
    """An engine that was loaded and does not run."""


class StoreError(Exception):
    """The engine store: an entry, a signature, a key or the disk below it."""
