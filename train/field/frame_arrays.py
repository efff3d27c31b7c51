# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Arrays on disk with one entry for each frame of a drive."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from scenedino_ros.core.disk_space import reserve
from scenedino_ros.recordings.frame_store.store import INDEX, FrameStore, file_stem

_DONE = "_done"


class FrameArray:
    """An array with one entry for each frame, filled entry by entry.

    An entry is marked after it is written, so filling the array can be interrupted and resumed.
    """

    def __init__(self, folder: Path, name: str, n_frames: int) -> None:
        """Open the array, or create it at the first `write`.

        Args:
            folder: Holds the files.
            name: Of the files, from `array_name`.
            n_frames: Frames of the drive.
        """
        self._values_path = Path(folder) / f"{name}.npy"
        self._done_path = Path(folder) / f"{name}{_DONE}.npy"
        self._n_frames = n_frames
        self._opened: tuple[np.memmap, np.memmap] | None = None

    def has(self, frame: int) -> bool:
        """Return whether the array has the entry of a frame."""
        arrays = self._open()
        return arrays is not None and bool(arrays[1][frame])

    def read(self, frame: int) -> np.ndarray:
        """Return a copy of the entry of a frame.

        Raises:
            KeyError: If there is none.
        """
        arrays = self._open()
        if arrays is None or not arrays[1][frame]:
            raise KeyError(f"{self._values_path} has no entry for frame {frame}")
        return np.array(arrays[0][frame])

    def write(self, frame: int, values: np.ndarray) -> None:
        """Write the entry of a frame; all have the shape and half precision of the first.

        Raises:
            OSError: If the disk is full; what was written before stays.
        """
        if not self._done_path.exists():
            self._values_path.parent.mkdir(parents=True, exist_ok=True)
            for path, dtype, shape in (
                (self._values_path, np.float16, values.shape),
                (self._done_path, np.uint8, ()),
            ):
                np.lib.format.open_memmap(path, "w+", dtype, (self._n_frames, *shape)).flush()
            reserve(self._done_path, 0, self._done_path.stat().st_size)
        arrays = self._open()
        assert arrays is not None
        entry = arrays[0][frame].nbytes
        # The file of values has holes for frames that are never asked for.
        reserve(self._values_path, arrays[0].offset + frame * entry, entry)
        arrays[0][frame] = values
        arrays[1][frame] = 1

    def _open(self) -> tuple[np.memmap, np.memmap] | None:
        if self._opened is None and self._done_path.exists():
            paths = (self._values_path, self._done_path)
            values, done = (np.load(path, mmap_mode="r+") for path in paths)
            self._opened = (values, done)
        return self._opened


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Keep other runs from filling arrays below a folder; waits while another one does.

    What that one has filled is there when the block begins.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    lock = FileLock(Path(folder) / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another run that fills {folder}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def array_name(camera: str, ending: str = "") -> str:
    """Return a name for an array of a camera, different for different cameras and endings.

    Args:
        camera: Name of the camera.
        ending: What else the array is of, such as ``_mirrored``; empty: nothing.
    """
    stem = file_stem(camera)
    for taken in (_DONE, "_mirrored", "_raw"):  # the name of a camera may end like that
        if stem.endswith(taken):
            stem = f"{stem.removesuffix(taken)}%5F{taken[1:]}"
    return stem + ending


def drive_key(store: FrameStore) -> str:
    """Return a name that differs for drives that were indexed differently."""
    return hashlib.sha256((store.path / INDEX).read_bytes()).hexdigest()[:16]
