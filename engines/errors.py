"""What can go wrong between a model file and an engine; a message says how to mend it."""


class ManifestError(Exception):
    """A manifest, or the model beside it, that cannot be used."""


class QuantizeError(Exception):
    """A graph that cannot be quantised, or a calibration set that is empty."""
