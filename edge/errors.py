"""The one exception tree. A message says what was found, where, what was expected and how to mend it."""


class EdgeError(Exception):
    """Base of every error that the runtime raises on purpose; its text is shown to the user as it is."""


class ConfigError(EdgeError):
    """A line file, a recipe or a command line that cannot be used."""


class CameraError(EdgeError):
    """A frame source that cannot be opened or has gone."""


class CameraHungError(CameraError):
    """Opening or closing a camera never ended; only a new process helps."""


class EngineError(EdgeError):
    """A model file, manifest or engine that cannot be loaded, or does not fit the line."""


class InstallError(EdgeError):
    """Files of the services that cannot be put or taken away."""


class PlcError(EdgeError):
    """The PLC link or the register map."""


class RecordError(EdgeError):
    """The ring file, a recording or a report."""


class JournalDiskError(RecordError):
    """A journal that is there, and cannot be opened now: its disk is full, read-only or failing. It may pass."""


class RecipeError(EdgeError):
    """A recipe bundle: its signature, a file of it, or what it cannot be used for."""


class RegionError(EdgeError):
    """The shared-memory region between the processes of a line."""


class TwinError(EdgeError):
    """A twin process that cannot start or has stopped."""
