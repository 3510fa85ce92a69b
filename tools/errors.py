"""What can go wrong on the workstation; a message says how to mend it."""

from edge.errors import EdgeError


class TrainError(EdgeError):
    """A data set, a recipe, a checkpoint or a loss that cannot be used."""


class SystemdCheckError(EdgeError):
    """The units cannot be looked at, or started, on this machine."""
