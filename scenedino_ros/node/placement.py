# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The voxel grid for one image: its geometry, its frame, and the camera's pose in it."""

from typing import Any, Protocol, cast

import numpy as np

from scenedino_ros.core.config import GridSettings
from scenedino_ros.core.errors import InputError, TransformError
from scenedino_ros.core.voxels import GRID_PRESETS, OPTICAL_FRAME_PRESETS, VoxelGrid
from scenedino_ros.recordings.transforms import frame_name, matrix_from_numbers


class Lookup(Protocol):
    """Looks up transforms at a stamp, as `TransformSource` does."""

    def lookup(self, target_frame: str, source_frame: str, stamp: Any) -> np.ndarray:
        """Return (4, 4) T_target_source, metres."""


class GridPlacement:
    """The grid that the parameters describe.

    Attributes:
        grid: Its geometry.
        needs_transforms: Whether the camera's pose in it has to be looked up.
    """

    def __init__(self, settings: GridSettings) -> None:
        """Take the preset, and replace the parts that the settings give.

        Raises:
            InputError: If the settings contradict each other.
        """
        preset = GRID_PRESETS[settings.preset]
        self.grid = VoxelGrid(  # which refuses other lengths than three
            cast("tuple[float, float, float]", settings.origin or preset.origin),
            cast("tuple[int, int, int]", settings.shape or preset.shape),
            settings.voxel_size or preset.voxel_size,
        )
        self._frame = settings.frame
        self._T_grid_cam: np.ndarray | None = None
        if settings.static_transform:
            if not settings.frame:
                raise InputError(
                    "grid.static_transform places the camera in the frame grid.frame, "
                    "but grid.frame is empty"
                )
            try:
                self._T_grid_cam = matrix_from_numbers(settings.static_transform)
            except InputError as error:
                raise InputError(f"grid.static_transform: {error}") from error
        if not settings.frame and settings.preset not in OPTICAL_FRAME_PRESETS:
            raise InputError(
                f"grid.preset {settings.preset} has the axes of a body frame (x forward, y left, "
                "z up), so grid.frame must name one; empty means the camera's optical frame"
            )
        self.needs_transforms = bool(settings.frame) and self._T_grid_cam is None

    def frame(self, camera_frame: str) -> str:
        """Return the frame of the grid, as tf2 writes it, for an image of ``camera_frame``."""
        return frame_name(self._frame or camera_frame)

    def T_grid_cam(self, header: Any, transforms: Lookup | None) -> np.ndarray | None:
        """Return the camera's pose in the grid when an image was taken.

        Args:
            header: Header of the image: its optical frame and stamp.
            transforms: Looks the pose up where `needs_transforms`.

        Returns:
            (4, 4) float64, metres; None where the grid lies in the optical frame itself.

        Raises:
            TransformError: If the pose is not known at that stamp.
        """
        if not self.needs_transforms:
            return self._T_grid_cam
        if transforms is None:
            raise TransformError(f"the camera's pose in {self._frame} needs TF, which is not read")
        return transforms.lookup(self._frame, header.frame_id, header.stamp)
