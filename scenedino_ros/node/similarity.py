# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Compares the voxels of the latest image with a point that is asked for."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from std_msgs.msg import Header

from scenedino_ros.core.errors import InputError, SceneDinoError, TransformError
from scenedino_ros.core.memory import is_out_of_memory
from scenedino_ros.core.printable import printable
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage, VoxelQuery
from scenedino_ros.inference.similarity import VoxelFeatures
from scenedino_ros.node.placement import GridPlacement, Lookup
from scenedino_ros.node.point_topics import Point
from scenedino_ros.node.to_msg import cloud_from_similarity
from scenedino_ros.recordings.transform_tree import TransformTooOldError
from scenedino_ros.recordings.transforms import frame_name

_REACH = 5.0  # edges of a voxel from the point to the centre of the nearest one, at most


class SimilarityAnswers:
    """Remembers the latest image, and compares its voxels with the newest point.

    `ask` may be called in any thread, the other methods belong to the thread of the frames.
    """

    def __init__(
        self,
        predictor: Predictor,
        placement: GridPlacement,
        transforms: Lookup | None,
        voxel_query: Callable[[], VoxelQuery],
        publish: Callable[[str, Any], None],
        warn: Callable[[str], None],
    ) -> None:
        """Use the network and what is around it.

        Args:
            predictor: The network.
            placement: The grid.
            transforms: TF, or None where the placement needs none.
            voxel_query: Called for each answer; returns which voxels are wanted.
            publish: Called with the name of the output and its message.
            warn: Called with a sentence where there is no answer.
        """
        self._predictor, self._placement, self._transforms = predictor, placement, transforms
        self._voxel_query, self._publish, self._warn = voxel_query, publish, warn
        self._points: deque[Point] = deque(maxlen=1)  # the newest one wins
        self._late: Point | None = None  # waits for a transform; any newer one replaces it
        self._latest: tuple[EncodedImage, Header] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a point has no answer yet."""
        return bool(self._points) or self._late is not None

    def ask(self, point: Point) -> None:
        """Compare with this point as soon as an image is there."""
        self._points.append(point)

    def remember(self, encoded: EncodedImage, header: Header) -> None:
        """Answer from this image from now on; a reference is kept, nothing is computed."""
        self._latest = (encoded, header)

    def forget(self) -> None:
        """Drop the image: newer ones came and were not encoded."""
        self._latest = None

    def answer(self) -> bool:
        """Publish the answer for the newest point, if one waits and an image is there.

        Returns:
            Whether the point still waits for a transform that is late.
        """
        if self._latest is None:
            return False
        point = self._points.popleft() if self._points else self._late
        self._late = None
        if point is None:
            return False
        try:
            self._publish("similarity", self._cloud(point, *self._latest))
        except SceneDinoError as error:
            newer = bool(self._points)
            of_tf = isinstance(error, TransformError)
            late = of_tf and not isinstance(error, TransformTooOldError)
            if late and not newer and time.monotonic() < point.deadline:
                self._late = point
                return True
            if of_tf and not newer and point.again:
                self._late = point._replace(again=False)
            else:
                self._refuse(error)
        except Exception as error:  # exhausted memory comes as many types
            if not is_out_of_memory(error):
                raise
            self._refuse(error)
        return False

    def _refuse(self, error: Exception) -> None:
        self._warn(printable(f"no similarity to the point: {error}"))

    def _cloud(self, point: Point, encoded: EncodedImage, header: Header) -> Any:
        frame = frame_name(self._placement.frame(header.frame_id))
        position = point.position
        if not np.isfinite(position).all():
            raise InputError(f"its coordinates must be finite, got {position.tolist()}")
        if point.frame not in ("", frame):
            if point.transforms is None:
                raise TransformError(f"{point.frame} is not {frame}, and TF cannot be read")
            T_grid_point = point.transforms.lookup(frame, point.frame, header.stamp)
            position = T_grid_point[:3, :3] @ position + T_grid_point[:3, 3]
        grid = self._placement.grid
        T_grid_cam = self._placement.T_grid_cam(header, self._transforms)
        voxels = self._predictor.voxels(encoded, grid, T_grid_cam, self._voxel_query())
        features = VoxelFeatures(self._predictor, encoded, voxels, T_grid_cam)
        row, distance = features.nearest(position)
        reach = _REACH * grid.voxel_size
        if distance > reach:
            raise InputError(
                f"the nearest occupied voxel must be within {reach:g} m, and is {distance:.2f} m "
                f"away from ({', '.join(f'{value:.2f}' for value in position)}) m in {frame}"
            )
        return cloud_from_similarity(
            voxels,
            features.similarity(features.feature[row]),
            Header(stamp=header.stamp, frame_id=self._placement.frame(header.frame_id)),
        )
