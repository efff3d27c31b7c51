# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Writes frame stores frame by frame, in any order, and resumes after an interruption."""

import json
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.disk_space import reserve
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import require_own_folder, write_atomically
from scenedino_ros.core.reading import writing
from scenedino_ros.recordings.frame_store.store import (
    FORMAT,
    INDEX,
    KINDS,
    NO_LABEL,
    POSES,
    POSES_OF,
    StoredCamera,
    file_stem,
)

# In the unfinished folder only.
_PLAN, _STATES, _REASONS = "plan.json", "states.npy", "dropped.txt"
_TODO, _STORED, _DROPPED = 0, 1, 2
_HELD = 1 << 26  # bytes that are written before their pages of memory are given back


def store_bytes(
    image_size: tuple[int, int], n_frames: int, images: int, labels: int = 0, depths: int = 0
) -> int:
    """Return how many bytes a store's maps take.

    Args:
        image_size: (height, width) of all images, pixels.
        n_frames: Number of frames.
        images: Number of cameras.
        labels: Number of cameras with label maps.
        depths: Number of cameras with depth maps.
    """
    counts = {"image": images, "label": labels, "depth": depths}
    values = {kind: (np.dtype(dtype).itemsize, n or 1) for kind, (dtype, n) in KINDS.items()}
    per_pixel = sum(count * np.prod(values[kind]) for kind, count in counts.items())
    return int(per_pixel) * image_size[0] * image_size[1] * n_frames


def partial_store(path: Path) -> Path:
    """Return the hidden folder in which a store grows."""
    return path.with_name(f".{path.name}.partial")


def frames_done(path: Path) -> int:
    """Return how many frames an interrupted writer of a store has done."""
    try:
        return int(np.count_nonzero(np.load(partial_store(path) / _STATES) != _TODO))
    except (OSError, ValueError, EOFError):
        return 0


class FrameStoreWriter:
    """Writes a store; a context manager. The store appears complete or not at all.

    Where the process is stopped or killed, what was stored stays in a hidden folder beside the
    target, and the next writer of the very same store resumes it, also where the disk is full at
    the end; after any other error it is removed. Different frames may be written by different
    threads.

    Attributes:
        path: Folder the store will have.
    """

    def __init__(
        self,
        path: Path,
        image_size: tuple[int, int],
        cameras: Mapping[str, StoredCamera],
        n_frames: int,
        source: Mapping[str, object],
        *,
        labels: tuple[str, ...] = (),
        depths: tuple[str, ...] = (),
    ) -> None:
        """Begin a store, or resume one that was interrupted.

        Args:
            path: Folder of the store; must not exist.
            image_size: (height, width) of all images, pixels.
            cameras: Cameras by name.
            n_frames: Number of frames.
            source: What the frames come from; kept in the store.
            labels: Cameras with label maps.
            depths: Cameras with depth maps.

        Raises:
            InputError: If something is at `path` already, or the disk has no room for the store.
        """
        self.path = Path(path)
        if self.path.exists():
            raise InputError(f"{path} exists already")
        self._index: dict[str, Any] = {
            "format": FORMAT,
            "image_size": list(image_size),
            "source": source,
            "stamps_ns": [0] * n_frames,
            "cameras": {
                name: {"K_norm": c.K_norm.tolist(), "T_body_cam": c.T_body_cam.tolist()}
                for name, c in cameras.items()
            },
        }
        self._poses = np.full((n_frames, 4, 4), np.nan)
        self._camera_poses: dict[str, np.ndarray] = {}
        self._partial = partial_store(self.path)
        shapes = {
            (kind, name): (n_frames, *image_size, *((KINDS[kind][1],) if KINDS[kind][1] else ()))
            for kind, names in (("image", cameras), ("label", labels), ("depth", depths))
            for name in names
        }
        plan = json.dumps([self._index, [[*key, *shape] for key, shape in shapes.items()]])
        if self._partial.exists() or self._partial.is_symlink():
            require_own_folder(self._partial)
        with writing(f"the frame store {path}"):
            if not self._resumes(plan):
                self._begin(plan, shapes)
            self._states = np.load(self._partial / _STATES, mmap_mode="r+")
            self._arrays = {key: np.load(self._file(*key), mmap_mode="r+") for key in shapes}
        self._held = 0

    def __enter__(self) -> "FrameStoreWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            reasons = self._reasons()  # discards a store that cannot be used
            with writing(f"the frame store {self.path}"):
                self._finish(reasons)
        elif issubclass(kind, Exception):
            self._discard()

    def todo(self) -> list[int]:
        """Return the frames that are neither stored nor dropped, ascending."""
        return np.flatnonzero(self._states == _TODO).tolist()

    def frame(self, index: int, stamp_ns: int, T_world_body: np.ndarray) -> None:
        """Set time (nanoseconds) and (4, 4) pose of a frame; needed for every frame each time."""
        self._index["stamps_ns"][index], self._poses[index] = int(stamp_ns), T_world_body

    def camera_poses(self, camera: str, T_world_body: np.ndarray) -> None:
        """Set the (N, 4, 4) body poses at the times of one camera's images, if they differ."""
        self._camera_poses[camera] = np.asarray(T_world_body)

    def put(self, kind: str, camera: str, index: int, values: np.ndarray) -> None:
        """Set the ``image``, ``label`` or ``depth`` map of a camera at a frame."""
        place = self._arrays[kind, camera][index]
        place[...] = values
        self._held += place.nbytes
        if self._held > _HELD:
            self._held = 0
            for array in self._arrays.values():
                _give_back(array)

    def stored(self, index: int) -> None:
        """Declare that a frame is complete."""
        self._states[index] = _STORED

    def drop(self, index: int, reason: str) -> None:
        """Leave a frame out of the store; the reason is kept in ``source["dropped"]``."""
        with (self._partial / _REASONS).open("a", encoding="utf-8") as file:
            file.write(f"{reason}\n")
        self._states[index] = _DROPPED

    def _discard(self) -> None:
        self._arrays.clear()
        shutil.rmtree(self._partial, ignore_errors=True)

    def _file(self, kind: str, camera: str) -> Path:
        return self._partial / f"{kind}_{file_stem(camera)}.npy"

    def _resumes(self, plan: str) -> bool:
        try:
            return (self._partial / _PLAN).read_text(encoding="utf-8") == plan
        except (OSError, UnicodeDecodeError):
            return False

    def _begin(self, plan: str, shapes: dict[tuple[str, str], tuple[int, ...]]) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        try:
            self._create(plan, shapes)
        except OSError:
            shutil.rmtree(self._partial, ignore_errors=True)
            raise

    def _create(self, plan: str, shapes: dict[tuple[str, str], tuple[int, ...]]) -> None:
        for (kind, camera), shape in shapes.items():
            array = _new_array(self._file(kind, camera), KINDS[kind][0], shape)
            if kind == "label":
                for part in _parts(array):
                    array[part] = NO_LABEL
                    _give_back(array)
        np.save(self._partial / _STATES, np.zeros(len(self._poses), np.uint8))
        (self._partial / _REASONS).touch()
        # Last: a folder with a plan has everything else.
        write_atomically(self._partial / _PLAN, plan.encode())

    def _reasons(self) -> list[str]:
        """Return why frames were dropped.

        Raises:
            InputError: If no frame is left, or one has no pose; the store is removed.
        """
        reasons = (self._partial / _REASONS).read_text(encoding="utf-8").splitlines()
        kept = self._states != _DROPPED
        missing = int((~np.isfinite(self._poses[kept]).all(axis=(1, 2))).sum())
        if kept.any() and not missing:
            return reasons
        self._discard()
        if missing:
            raise InputError(f"{missing} of {kept.sum()} frames of {self.path} have no pose")
        raise InputError(f"{self.path} would have no frame; the first: {reasons[:1]}")

    def _finish(self, reasons: list[str]) -> None:
        kept = np.flatnonzero(self._states != _DROPPED)
        for key, array in list(self._arrays.items()):
            array.flush()
            if kept.size < len(array):
                self._keep(self._file(*key), array, kept)
        self._arrays.clear()
        np.save(self._partial / POSES, self._poses[kept])
        for camera, poses in self._camera_poses.items():
            np.save(self._partial / POSES_OF.format(file_stem(camera)), poses[kept])
        self._index["stamps_ns"] = [self._index["stamps_ns"][i] for i in kept.tolist()]
        self._index["source"]["dropped"] = reasons
        content = (json.dumps(self._index, indent=1) + "\n").encode()
        write_atomically(self._partial / INDEX, content)
        for name in (_PLAN, _STATES, _REASONS):
            (self._partial / name).unlink()
        os.replace(self._partial, self.path)

    def _keep(self, path: Path, array: np.ndarray, kept: np.ndarray) -> None:
        """Write some of an array's frames in its place."""
        smaller = path.with_suffix(".kept")
        shape = (kept.size, *array.shape[1:])
        copy = _new_array(smaller, array.dtype, shape)
        for part in _parts(copy):
            copy[part] = array[kept[part]]
            for each in (array, copy):
                _give_back(each)
        copy.flush()
        os.replace(smaller, path)


def _parts(array: np.ndarray) -> Iterator[slice]:
    """Return the frames of an array in parts that may be held in memory."""
    step = max(1, _HELD * len(array) // max(1, array.nbytes))
    return (slice(start, start + step) for start in range(0, len(array), step))


def _give_back(array: np.ndarray) -> None:
    """Give back the memory of an array on disk; what was written is kept."""
    pages: Any = array.base  # not a mapped file where the array is empty
    if isinstance(pages, mmap.mmap):
        pages.madvise(mmap.MADV_DONTNEED)


def _new_array(path: Path, dtype: type | np.dtype, shape: tuple[int, ...]) -> np.memmap:
    """Create an array on disk, with the space that it needs.

    Raises:
        OSError: If the disk has no room for it.
    """
    array: np.memmap = np.lib.format.open_memmap(path, "w+", dtype, shape)
    try:
        reserve(path, 0, path.stat().st_size)
    except OSError:
        path.unlink()
        raise
    return array
