# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Drives with occupancy grids: images, calibration, and free and occupied voxels from LiDAR.

A drive is what `datasets.kitti360.read_drive` reads, with one of these folders beside the images:

- ``occupancy``: ``NNNNNNNNNN.npz`` with ``occupancy`` (X, Y, Z) uint8 (0 free, 1 occupied, 255
  unknown), ``voxel_size`` and ``origin`` in the frame of the Velodyne (x forward, y left, z up);
- ``voxels``: ``NNNNNN.label`` and ``.invalid`` of SSCBench-KITTI-360, whose frames are the images
  of the same numbers. A voxel with any class is occupied.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import files_digest
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.reading import read_arrays, reading
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.data import read_raw_labels
from scenedino_ros.recordings.datasets.kitti360 import Kitti360Drive, only_drive, read_drive
from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS


@dataclass(frozen=True)
class OccupancyDrive:
    """A drive on disk, whose files are read when they are needed."""

    folder: Path

    @cached_property
    def drive(self) -> Kitti360Drive:
        """Images and calibration."""
        return read_drive(self.folder, CAMERAS[:1])

    @property
    def camera(self) -> CalibratedCamera:
        """Camera of the images."""
        return CalibratedCamera(self.drive.calibration.camera)

    @property
    def T_grid_cam(self) -> np.ndarray:
        """(4, 4) rectified camera in the grid's frame, metres."""
        return self.drive.calibration.T_velo_rect

    def frames(self) -> list[str]:
        """Return the names of the grids, ascending.

        Raises:
            InputError: If there is none.
        """
        files = "voxels/*.label" if self._has_labels else "occupancy/*.npz"
        names = sorted(path.stem for path in self.folder.glob(files))
        if not names:
            raise InputError(
                f"{self.folder} has no grids: neither occupancy/NNNNNNNNNN.npz nor "
                "voxels/NNNNNN.label"
            )
        return names

    @cached_property
    def _has_labels(self) -> bool:
        return not (self.folder / "occupancy").is_dir() and (self.folder / "voxels").is_dir()

    def files(self, frame: str) -> tuple[Path, ...]:
        """Return the files of a frame: its grid and, if there is one, its image."""
        image = self.drive.images.get(int(frame))
        return (*self._grid_files(frame), *([image] if image else []))

    @cached_property
    def grids_digest(self) -> str:
        """What changes with any grid of the drive."""
        return files_digest(file for frame in self.frames() for file in self._grid_files(frame))

    def image(self, frame: str) -> np.ndarray:
        """Return the (h, w, 3) uint8 RGB image of a frame.

        Raises:
            InputError: If the image is missing or damaged.
        """
        path = self.drive.images.get(int(frame))
        if path is None:
            raise InputError(f"{self.folder} has a grid but no image of frame {frame}")
        return read_rgb(path)

    def grid(self, frame: str) -> np.ndarray:
        """Return the (256, 256, 32) uint8 grid of a frame: 0 free, 1 occupied, 255 unknown.

        Raises:
            InputError: If the file is missing, damaged, or not of the benchmark's grid.
        """
        if self._has_labels:
            return self._labelled(frame)
        (path,) = self._grid_files(frame)
        expected = ssc.GRID
        with reading(f"grid {path}"):
            data = read_arrays(path)
            grid = data["occupancy"]
            voxel_size, origin = float(data["voxel_size"]), tuple(data["origin"].tolist())
            place = (expected.voxel_size, *expected.origin)
            same_place = np.allclose((voxel_size, *origin), place)
        if grid.shape != expected.shape or not same_place:
            raise InputError(
                f"grid {path} must be {expected.shape} voxels of {expected.voxel_size} m from "
                f"{expected.origin}, got {grid.shape} of {voxel_size} m from {origin}"
            )
        if not np.isin(grid, (0, 1, IGNORE)).all():
            raise InputError(f"grid {path} must hold 0, 1 and 255, got {np.unique(grid).tolist()}")
        return grid

    def _grid_files(self, frame: str) -> tuple[Path, ...]:
        """Return the one (.npz) or two (.label, .invalid) files of a grid."""
        if self._has_labels:
            voxels = self.folder / "voxels"
            return voxels / f"{frame}.label", voxels / f"{frame}.invalid"
        return (self.folder / "occupancy" / f"{frame}.npz",)

    def _labelled(self, frame: str) -> np.ndarray:
        labels = read_raw_labels(*self._grid_files(frame))
        return np.where(labels == IGNORE, IGNORE, labels > 0).astype(np.uint8)


def open_drive(folder: Path | str) -> OccupancyDrive:
    """Return the drive in a folder, which may be a data set with a single drive.

    Raises:
        InputError: If the folder holds several drives.
    """
    return OccupancyDrive(only_drive(Path(folder)))
