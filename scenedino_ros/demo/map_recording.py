# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads what the node published of its map from the demo's own recording."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.from_msg import stamp_ns
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.outputs import BY_NAME
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.demo.map_frames import MapFrames
from scenedino_ros.demo.recording import (
    classes_of_cloud,
    points_of_cloud,
    recorded_pose,
    recorded_transforms,
    voxels_from_cloud,
)
from scenedino_ros.demo.stamps import header_stamp_ns
from scenedino_ros.recordings.rosbag2.reader import BagReader

MAP_VOXELS = BY_NAME["map/voxels"].topic()
OCCUPANCY_GRID = BY_NAME["occupancy_grid"].topic()


@dataclass(frozen=True, eq=False)
class MapMoment:
    """What the node published of its map after one image.

    Attributes:
        stamp_ns: Stamp of the image.
        voxels: Occupied voxels; their grid is the map's box.
        classes: Class table of the voxels.
        cost: (X, Y) int8 occupancy grid, first index along x.
        T_map_robot: (4, 4) pose of the robot in the fixed frame, metres.
        T_map_cam: (4, 4) pose of the camera in it.
    """

    stamp_ns: int
    voxels: SemanticVoxels
    classes: ClassTable
    cost: np.ndarray
    T_map_robot: np.ndarray
    T_map_cam: np.ndarray


def map_stamps(recording: Path) -> list[int]:
    """Return the stamps of the recorded occupancy grids, in order, nanoseconds.

    Raises:
        BagError: If the recording cannot be read.
    """
    with BagReader(recording) as reader:
        if OCCUPANCY_GRID not in reader.topics:
            return []
        messages = reader.messages([OCCUPANCY_GRID], raw=True)
        return sorted({header_stamp_ns(message.message) for message in messages})


def map_moments(
    recording: Path, frames: MapFrames, camera_frame: str, stamps: set[int]
) -> Iterator[MapMoment]:
    """Yield what was published with the given stamps, in order, one at a time.

    Args:
        recording: The demo's recording.
        frames: Frames of the map.
        camera_frame: Optical frame of the images.
        stamps: Stamps of the images, nanoseconds. Without voxels and grid there is no moment.

    Raises:
        BagError: If the recording cannot be read, or lacks a pose.
        InputError: If a message in it is not what the node publishes.
    """
    clouds: dict[int, Any] = {}
    with BagReader(recording) as reader:
        tree = recorded_transforms(reader)
        topics = [topic for topic in (MAP_VOXELS, OCCUPANCY_GRID) if topic in reader.topics]
        for message in reader.messages(topics):
            stamp = stamp_ns(message.message.header)
            if stamp not in stamps:
                continue
            if message.topic == MAP_VOXELS:  # the node publishes it before the grid
                clouds = {stamp: message.message}
            elif stamp in clouds:
                cloud, grid = clouds.pop(stamp), message.message
                info = grid.info
                cost = np.asarray(grid.data, dtype=np.int8).reshape(info.height, info.width).T
                yield MapMoment(
                    stamp,
                    voxels_from_cloud(cloud, _box(grid, cloud), "occupancy"),
                    classes_of_cloud(cloud),
                    cost,
                    recorded_pose(tree, frames.fixed, frames.robot, stamp),
                    recorded_pose(tree, frames.fixed, camera_frame, stamp),
                )


def _box(grid: Any, cloud: Any) -> VoxelGrid:
    """Return the columns of an occupancy grid, as high as the voxels reach."""
    # The node makes it from whole voxels; float32 alone would put centres on either side.
    size = round(float(grid.info.resolution), 6)
    levels = np.floor(points_of_cloud(cloud)["z"].astype(np.float64) / size).astype(int)
    low, high = (int(levels.min()), int(levels.max())) if len(levels) else (0, 0)
    corner = grid.info.origin.position
    return VoxelGrid(
        (corner.x, corner.y, low * size), (grid.info.width, grid.info.height, high - low + 1), size
    )
