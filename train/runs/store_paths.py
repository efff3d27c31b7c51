"""Which frame stores a setting of paths and patterns names."""

import glob
from pathlib import Path

from scenedino_ros.core.errors import InputError


def store_paths(pattern: str) -> list[Path]:
    """Return the folders that a path or a pattern with ``*`` stands for, sorted.

    Raises:
        InputError: If nothing is there.
    """
    found = [Path(path) for path in sorted(glob.glob(pattern))]
    if not found:
        raise InputError(f"no frame store is at '{pattern}', looked for from {Path.cwd()}")
    return found
