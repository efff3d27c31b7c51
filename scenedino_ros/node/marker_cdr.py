# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""MarkerArray of many cubes as serialized bytes, without an object per cube.

An ordinary message holds a Python object per cube; building and serializing them takes longer
than the network does. Here the markers are serialized with one recognisable cube each, and the
bytes of NumPy's centres take its place. A publisher sends such bytes as they are.
"""

import logging
import struct

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.node.to_msg import cube_groups, marker_skeletons, markers_from_voxels

# In plain CDR (XCDR version 1) a marker holds: ..., pose and scale (float64), color (four
# float32), lifetime (int32, uint32), frame_locked (bool), points (uint32 count, then three float64
# each), ... Every value is aligned to its own size. After the float64 of the scale all distances
# are fixed: 8 bytes of lifetime, 1 and 3 of padding, 4 of the count, and the first cube is at a
# multiple of 8. A cube has 24 bytes, so what follows keeps its padding when cubes are put in.
_ENCAPSULATION = b"\x00\x01\x00\x00"  # plain CDR, little-endian
_LIFETIME = (0x5CE9ED19, 0x0D1A0CBE)  # found again by its bytes; no name or number looks so
_MARK = struct.pack("<iI", *_LIFETIME)
_COUNT_OFFSET = 12  # from the lifetime to the number of cubes
_POINTS_OFFSET = 16  # from the lifetime to the first cube
_CUBE_BYTES = 24

_logger = logging.getLogger(__name__)


class MarkerSerializer:
    """Serializes the markers of voxels fast, or slowly where the fast way would be wrong.

    On its first use it compares what it made with the ordinary message; where they differ
    (another middleware, another version of the message) it serializes ordinary messages from
    then on.

    Attributes:
        is_fast: None before the first use, then whether the comparison succeeded.
    """

    def __init__(self) -> None:
        self.is_fast: bool | None = None

    def serialize(
        self, voxels: SemanticVoxels, classes: ClassTable, header: Header, *, max_cubes: int
    ) -> tuple[bytes, int]:
        """Return the bytes of the MarkerArray, and the number of voxels left out.

        Arguments and result mean what they mean for `to_msg.markers_from_voxels`.
        """
        if self.is_fast is None:
            self.is_fast = _check(classes, header, voxels.grid.voxel_size)
        if not self.is_fast:
            markers, left_out = markers_from_voxels(voxels, classes, header, max_cubes=max_cubes)
            return serialize_message(markers), left_out
        groups, left_out = cube_groups(voxels, classes, max_cubes)
        return _splice(groups, classes, header, voxels), left_out


def _check(classes: ClassTable, header: Header, voxel_size: float) -> bool:
    """Return whether both ways give the same message, for 0, 1 or 2 cubes of every class."""
    labels = [label for label in range(len(classes) + 1) for _ in range(label % 3)]
    count = len(labels)
    sample = SemanticVoxels(
        VoxelGrid((-1.5, 0.25, 3.0), (count, 2, 2), voxel_size),
        np.arange(count, dtype=np.int64) * 3,
        np.array(labels, np.uint8),
        np.ones(count, np.float32),
        np.ones(count, np.float32),
    )
    markers, _ = markers_from_voxels(sample, classes, header, max_cubes=count)
    groups, _ = cube_groups(sample, classes, count)
    ordinary = serialize_message(markers)
    try:
        spliced = _splice(groups, classes, header, sample)
    except ValueError:
        spliced = b""
    # The padding is whatever was in memory, so the bytes themselves need not be equal.
    same = len(spliced) == len(ordinary) and (
        deserialize_message(spliced, MarkerArray) == deserialize_message(ordinary, MarkerArray)
    )
    if not same:
        _logger.warning("markers are serialized the slow way: the layout of MarkerArray differs")
    return same


def _splice(
    groups: list[np.ndarray], classes: ClassTable, header: Header, voxels: SemanticVoxels
) -> bytes:
    """Return the bytes of the markers with the (n, 3) float64 centres of each group put in.

    Raises:
        ValueError: If the serialized markers do not look as expected.
    """
    markers = marker_skeletons([len(points) for points in groups], classes, header, voxels)
    for marker in markers:
        if marker.action == Marker.ADD:
            marker.lifetime = Duration(sec=_LIFETIME[0], nanosec=_LIFETIME[1])
            marker.points = [Point()]
    template = serialize_message(MarkerArray(markers=markers))
    if not template.startswith(_ENCAPSULATION):
        raise ValueError("not plain little-endian CDR")
    pieces: list[bytes | memoryview] = []
    done = 0
    for points in groups:
        if not len(points):
            continue
        lifetime = template.index(_MARK, done)
        pieces += (
            template[done:lifetime],
            bytes(len(_MARK)),
            template[lifetime + len(_MARK) : lifetime + _COUNT_OFFSET],
            struct.pack("<I", len(points)),
            np.ascontiguousarray(points, "<f8").data.cast("B"),
        )
        done = lifetime + _POINTS_OFFSET + _CUBE_BYTES
    return b"".join([*pieces, template[done:]])
