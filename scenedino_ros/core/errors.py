"""The exceptions a user of the package may meet, each saying what was expected and what came."""


class SceneDinoError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(SceneDinoError, ValueError):
    """An image, a calibration, a grid or a parameter cannot be used."""


class CheckpointError(SceneDinoError):
    """A checkpoint is missing, damaged, or does not fit its configuration."""


class TransformError(SceneDinoError):
    """A transform between two frames is not known at the time it is asked for."""


class BagError(SceneDinoError):
    """A recording cannot be read, or does not hold what is asked for."""


class DeviceMemoryError(SceneDinoError):
    """The device has not enough memory even for the smallest piece of work."""
