"""Errors of the calibration tool: what was found, where, what was expected, how to mend it."""


class CalibrationError(Exception):
    """Data, engines or a wish that cannot be calibrated or certified."""
