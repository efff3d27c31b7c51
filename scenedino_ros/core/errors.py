# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The exceptions of this package; each says what was expected and what came."""

import difflib
from collections.abc import Iterable

from scenedino_ros.core.printable import printable

_LISTED = 20  # most known names in a message
_LONGEST = 4000  # characters of a message, which may list many keys of a checkpoint


class SceneDinoError(Exception):
    """Base of every error this package raises on purpose.

    Its text may quote messages and files; see `printable` for what becomes of control characters.
    """

    def __str__(self) -> str:
        """Return the message, safe for a terminal and of bounded length."""
        return printable(super().__str__(), _LONGEST, keep_lines=True)


class InputError(SceneDinoError, ValueError):
    """An image, a calibration, a grid or a parameter cannot be used."""


class CheckpointError(SceneDinoError):
    """A checkpoint is missing, damaged, or does not fit its configuration."""


class TransformError(SceneDinoError):
    """A transform between two frames is not known at the requested time."""


class BagError(SceneDinoError):
    """A recording cannot be read, or does not contain what was requested."""


class OutOfMemoryError(SceneDinoError):
    """There is not enough memory for a piece of work that cannot be made smaller."""


class DeviceMemoryError(OutOfMemoryError):
    """It is the memory of the GPU that is not enough."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error about a name that does not exist.

    Args:
        kind: What the name should name, such as ``parameter``.
        name: The name that came.
        known: The names that exist. The error proposes the closest one; without a close one it
            lists them all, unless they are many.
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        hint = f"; did you mean '{close[0]}'?"
    else:
        hint = f"; known: {', '.join(names)}" if len(names) <= _LISTED else ""
    return InputError(f"unknown {kind} '{name}'{hint}")
