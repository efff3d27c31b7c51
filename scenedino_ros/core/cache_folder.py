# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The cache: a folder of files that are downloaded or computed once."""

import os
from pathlib import Path

from scenedino_ros.core.errors import InputError


def cache_folder() -> Path:
    """Return the folder of converted checkpoints, exported graphs and rendered streets.

    ``SCENEDINO_CACHE`` names it; otherwise it is ``scenedino_ros`` in the user's cache
    (``XDG_CACHE_HOME``, by default ``~/.cache``).

    Raises:
        InputError: If none of these names a folder.
    """
    override = os.environ.get("SCENEDINO_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if override:
            return Path(override).expanduser()
        return (Path(base) if base else Path.home() / ".cache") / "scenedino_ros"
    except RuntimeError as error:
        raise InputError(
            "there is no folder for the cache, because HOME is not set and the user is unknown; "
            "set SCENEDINO_CACHE to a folder that is writable"
        ) from error


def make_cache_folder(*parts: str) -> Path:
    """Return the cache folder, or a folder in it, and create it if it does not exist.

    Raises:
        InputError: If it cannot be created or written.
    """
    folder = cache_folder().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable, reason = os.access(folder, os.W_OK | os.X_OK), "it is not writable"
    except OSError as error:
        writable, reason = False, error.strerror or str(error)
    if not writable:
        raise InputError(
            f"the cache {folder} cannot be written ({reason}); set SCENEDINO_CACHE to a folder "
            "that is writable"
        )
    return folder
