# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Drives with poses and occupancy grids, and the voxels that moving cars filled.

A drive is one of `geometry.data`, with the poses that `datasets.kitti360.read_drive` finds. Where
it has ``voxels/NNNNNN.moving`` beside the labels (256 x 256 x 32 bytes, 1 where a moving car is at
the frame's time), ghosts can be measured.

The map's frame is ``base_link`` (x forward, y left, z up) at the first frame with a pose.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import files_digest
from scenedino_ros.core.reading import read_bytes, reading
from scenedino_ros.evaluation.geometry.data import OccupancyDrive
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import read_label_volume
from scenedino_ros.recordings.datasets.kitti360 import find_drives
from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS
from scenedino_ros.recordings.transforms import inverse

_SAME_TIME_NS = 10_000_000  # how far apart stamps may be that mean the same moment


class MapDrive(OccupancyDrive):
    """A drive whose images can be fused."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.resolve().name

    @cached_property
    def images(self) -> list[int]:
        """The numbers of the images with a pose, ascending.

        Raises:
            InputError: If the drive has no poses.
        """
        if self.drive.pose_file is None:
            raise InputError(
                f"{self.folder} must have poses to fuse its images, such as cam0_to_world.txt, "
                "found none"
            )
        return [number for number in self.drive.images if number in self.drive.T_map_base]

    @cached_property
    def view(self) -> np.ndarray:
        """The (256, 256, 32) bool voxels of a frame's grid that its camera sees."""
        return ssc.view_mask(ssc.GRID, self.T_grid_cam, self.camera.pinhole)

    @cached_property
    def poses_digest(self) -> str:
        """What changes with the file of the poses."""
        return files_digest([self.drive.pose_file] if self.drive.pose_file else [])

    def stamp_ns(self, number: int) -> int:
        """Return the time of a frame, nanoseconds."""
        return self.drive.stamps_ns[number]

    def T_map_cam(self, number: int) -> np.ndarray:
        """Return the (4, 4) pose of the rectified camera in the map's frame, metres.

        Raises:
            InputError: If the frame has no pose.
        """
        if number not in self.drive.T_map_base:
            raise InputError(f"{self.drive.pose_file} has no pose of frame {number}")
        return self.drive.T_map_base[number] @ self.drive.calibration.T_base_image(CAMERAS[0])

    def T_map_grid(self, number: int) -> np.ndarray:
        """Return the (4, 4) pose of a frame's grid in the map's frame, metres.

        Raises:
            InputError: If the frame has no pose.
        """
        return self.T_map_cam(number) @ inverse(self.T_grid_cam)

    def earlier(self, number: int, seconds: float) -> int | None:
        """Return the frame whose time was some seconds before that of another, or None."""
        wanted = self.stamp_ns(number) - round(seconds * 1e9)
        found = (n for n in self.images if abs(self.stamp_ns(n) - wanted) <= _SAME_TIME_NS)
        return next(found, None)

    def moving_path(self, number: int) -> Path:
        """Return where the voxels that moving cars fill would lie."""
        return self.folder / "voxels" / f"{number:06d}.moving"

    def moving(self, number: int) -> np.ndarray | None:
        """Return the (256, 256, 32) bool voxels that moving cars fill; None: it is not known.

        Raises:
            InputError: If the file is damaged.
        """
        path = self.moving_path(number)
        if not path.is_file():
            return None
        with reading(str(path)):
            content = read_bytes(path, 1 << 24)
        try:
            return read_label_volume(content, ssc.GRID.shape, "u1") > 0
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def open_map_drives(folder: Path | str) -> list[MapDrive]:
    """Return the drives in a folder: a drive, or a data set of drives.

    Raises:
        InputError: If there is none, or one has no poses or no grids.
    """
    drives = [MapDrive(path) for path in find_drives(Path(folder))]
    for drive in drives:
        _ = drive.images, drive.frames()
    return drives


def drive_by_name(drives: Sequence[MapDrive], name: str) -> MapDrive:
    """Return the drive with a name."""
    return next(drive for drive in drives if drive.name == name)
