"""Errors of the detector's tools; their messages say how to mend them."""

from edge.errors import EdgeError


class DetectorError(EdgeError):
    """Data, checkpoint or loss that training cannot go on with."""
