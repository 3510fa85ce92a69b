"""Errors of the calibration tool: what was found, where, what was expected, how to mend it."""

from edge.errors import EdgeError


class CalibrationError(EdgeError):
    """Data, engines or a wish that cannot be calibrated or certified."""
