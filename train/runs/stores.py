# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The frame stores that settings name by paths and patterns."""

import glob
from pathlib import Path

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import FrameStore


def store_paths(pattern: str) -> list[Path]:
    """Return the folders that a path or a pattern with ``*`` stands for, sorted.

    Raises:
        InputError: If no folder matches.
    """
    found = [Path(path) for path in sorted(glob.glob(pattern))]
    if not found:
        raise InputError(f"no frame store is at '{pattern}', looked for from {Path.cwd()}")
    return found


def open_store(path: Path, image_size: tuple[int, int]) -> FrameStore:
    """Open a frame store for a network.

    Args:
        path: The store.
        image_size: (height, width) of the network input image, pixels.

    Raises:
        InputError: If the store cannot be opened or its images have another size.
    """
    store = FrameStore(path)
    if store.image_size != tuple(image_size):
        raise InputError(
            f"{path} must have images of {image_size[0]} x {image_size[1]} px, "
            f"got {store.image_size[0]} x {store.image_size[1]}"
        )
    return store
