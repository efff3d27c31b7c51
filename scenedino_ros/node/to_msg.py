# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Voxels, rendered images, cameras and class tables to ROS messages."""

import array
from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.mapping.map_voxels import MapVoxels
from scenedino_ros.viewing.heat_colors import color_similarity

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # not part of every installation, and not among the wheels
    LabelInfo = VisionClass = None

# One point of a cloud, little-endian without padding: all fields are aligned to 4 bytes.
# rgb is 0x00RRGGBB in the bits of a float32, which RViz, PCL and Foxglove read; label is uint32
# because that is the type PCL's labelled points have.
_POINT = {
    "x": "<f4",
    "y": "<f4",
    "z": "<f4",
    "rgb": "<u4",
    "label": "<u4",
    "confidence": "<f4",
}
POINT_DTYPE = np.dtype([*_POINT.items(), ("density", "<f4")])
MAP_POINT_DTYPE = np.dtype([*_POINT.items(), ("occupancy", "<f4"), ("age", "<f4")])
SIMILARITY_DTYPE = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "intensity")] + [("rgb", "<u4"), ("label", "<u4")]
)
UNLABELLED = "unlabelled"  # marker namespace of ids the class table does not have

# Encodings of the images the package publishes: dtype and channels.
_IMAGE_LAYOUTS = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "mono8": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}


def cloud_from_voxels(voxels: SemanticVoxels, classes: ClassTable, header: Header) -> PointCloud2:
    """Return one point per occupied voxel.

    Args:
        voxels: The voxels, M of them; none make a valid cloud of width 0.
        classes: Gives the colours.
        header: Stamp of the image, frame of the grid.

    Returns:
        A dense, unorganised cloud (height 1) with the fields of `POINT_DTYPE`.
    """
    points = np.empty(len(voxels), POINT_DTYPE)
    points["confidence"], points["density"] = voxels.confidence, voxels.density
    return _cloud(points, voxels, classes.voxel_palette[voxels.label], header)


def cloud_from_map(voxels: MapVoxels, classes: ClassTable, header: Header) -> PointCloud2:
    """Return one point per voxel of a map, with the fields of `MAP_POINT_DTYPE`.

    Args:
        voxels: The voxels, M of them.
        classes: Gives the colours.
        header: Stamp of the newest image, fixed frame of the map.
    """
    points = np.empty(len(voxels), MAP_POINT_DTYPE)
    points["confidence"] = voxels.confidence
    points["occupancy"], points["age"] = voxels.occupancy, voxels.age
    return _cloud(points, voxels, classes.voxel_palette[voxels.label], header)


def cloud_from_similarity(
    voxels: SemanticVoxels, similarity: np.ndarray, header: Header
) -> PointCloud2:
    """Return one point per voxel with its similarity as intensity and as a colour.

    Args:
        voxels: The voxels, M of them.
        similarity: (M,) float32, -1 to 1.
        header: Stamp of the image, frame of the grid.

    Returns:
        A dense, unorganised cloud (height 1) with the fields of `SIMILARITY_DTYPE`.
    """
    points = np.empty(len(voxels), SIMILARITY_DTYPE)
    points["intensity"] = similarity
    return _cloud(points, voxels, color_similarity(similarity), header)


def _cloud(
    points: np.ndarray, voxels: SemanticVoxels | MapVoxels, colors: np.ndarray, header: Header
) -> PointCloud2:
    """Write positions, labels and (N, 3) uint8 colours into points; return the cloud of them."""
    points["x"], points["y"], points["z"] = voxels.centers().T
    points["label"] = voxels.label
    red, green, blue = colors.astype(np.uint32).T
    points["rgb"] = (red << 16) | (green << 8) | blue
    fields = [
        PointField(
            name=name,
            offset=place[1],
            datatype=PointField.UINT32 if name == "label" else PointField.FLOAT32,
            count=1,
        )
        for name, place in (points.dtype.fields or {}).items()
    ]
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=points.dtype.itemsize,
        row_step=points.dtype.itemsize * len(points),
        data=_bytes(points),
        is_dense=True,
    )


def occupancy_grid_from_values(
    values: np.ndarray, grid: VoxelGrid, height: float, header: Header
) -> OccupancyGrid:
    """Return an occupancy grid.

    Args:
        values: (X, Y) int8, -1 for unknown, or 0 to 100.
        grid: The map's box, whose columns the values belong to.
        height: Height of the grid in the fixed frame, metres.
        header: Stamp of the newest image, fixed frame of the map.
    """
    message = OccupancyGrid(header=header)
    message.info.map_load_time = header.stamp
    message.info.resolution = float(grid.voxel_size)
    message.info.width, message.info.height = values.shape
    origin = message.info.origin
    origin.position.x, origin.position.y, _ = grid.origin
    origin.position.z, origin.orientation.w = float(height), 1.0
    data = array.array("b")
    data.frombytes(np.ascontiguousarray(values.T).tobytes())  # row by row, x runs fastest
    message.data = data
    return message


def markers_from_voxels(
    voxels: SemanticVoxels, classes: ClassTable, header: Header, *, max_cubes: int
) -> tuple[MarkerArray, int]:
    """Return a CUBE_LIST per class.

    The array always names every class: those with voxels are added, those without are deleted.
    So each message replaces all of the one before, without DELETEALL, after which RViz would
    build every object anew. Nothing piles up and nothing flickers.

    Args:
        voxels: The voxels; those whose label the table does not have are in ``unlabelled``.
        classes: Gives namespaces (class names) and colours.
        header: Stamp of the image, frame of the grid.
        max_cubes: Largest number of cubes; beyond it every class keeps the same fraction of its
            cubes, its densest voxels.

    Returns:
        The markers, and the number of voxels that were left out.
    """
    groups, left_out = cube_groups(voxels, classes, max_cubes)
    markers = MarkerArray(
        markers=marker_skeletons([len(points) for points in groups], classes, header, voxels)
    )
    for marker, points in zip(markers.markers, groups, strict=True):
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in points.tolist()]
    return markers, left_out


def cube_groups(
    voxels: SemanticVoxels, classes: ClassTable, max_cubes: int
) -> tuple[list[np.ndarray], int]:
    """Return the cubes of each class, and the number of voxels beyond `max_cubes`.

    Returns:
        L + 1 arrays (n, 3) float64 of centres in the grid frame, metres, in the order of the
        class table and then the unlabelled; and the number left out.

    Raises:
        InputError: If max_cubes is negative.
    """
    if max_cubes < 0:
        raise InputError(f"max_cubes must be >= 0, got {max_cubes}")
    group = np.minimum(voxels.label, len(classes)).astype(np.uint8)
    kept = np.argsort(group, kind="stable")  # voxels by group, in their own order within each
    counts = np.bincount(group, minlength=len(classes) + 1)
    left_out = max(0, len(voxels) - max_cubes)
    if left_out:
        shares = _shares(counts, max_cubes)
        pieces = np.split(kept, np.cumsum(counts)[:-1])
        kept = np.concatenate(
            [
                _densest(piece, voxels.density, share)
                for piece, share in zip(pieces, shares, strict=True)
            ]
        )
        counts = shares
    centers = voxels.select(kept).centers()
    return np.split(centers, np.cumsum(counts)[:-1]), left_out


def marker_skeletons(
    counts: list[int], classes: ClassTable, header: Header, voxels: SemanticVoxels
) -> list[Marker]:
    """Return the markers of `markers_from_voxels`, still without their points.

    Args:
        counts: Number of cubes per class, then of the unlabelled; where it is 0 the marker
            deletes.
        classes: The class table.
        header: Header of every marker.
        voxels: Gives the size of the cubes.
    """
    size = float(voxels.grid.voxel_size)
    palette = (classes.voxel_palette / 255.0).tolist()
    markers = []
    for index, name in enumerate((*classes.names, UNLABELLED)):
        marker = Marker(header=header, ns=name, id=0, type=Marker.CUBE_LIST)
        marker.action = Marker.ADD if counts[index] else Marker.DELETE
        marker.pose.orientation.w = 1.0
        marker.scale.x = marker.scale.y = marker.scale.z = size
        red, green, blue = palette[index]
        marker.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        markers.append(marker)
    return markers


def clearing_markers(header: Header) -> MarkerArray:
    """Return the message that removes every marker of the topic, also those of another publisher.

    For the moments when the class table may have changed or no more voxels will come: activation
    and deactivation.
    """
    return MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])


def image_from_array(values: np.ndarray, encoding: str, header: Header) -> Image:
    """Return an image message.

    Args:
        values: (H, W) or (H, W, C) array of the encoding's type, with any strides.
        encoding: rgb8, bgr8, mono8, mono16 or 32FC1 (metres along the optical axis, REP 118).
        header: Stamp of the input, frame of the camera.

    Raises:
        InputError: If the encoding is another, or the array does not have its type and shape.
    """
    if encoding not in _IMAGE_LAYOUTS:
        raise InputError(f"encoding must be one of {', '.join(_IMAGE_LAYOUTS)}, got '{encoding}'")
    dtype, channels = _IMAGE_LAYOUTS[encoding]
    shape = values.shape if channels > 1 else (*values.shape, 1)
    matches = values.dtype.newbyteorder("=") == dtype
    if not matches or len(shape) != 3 or shape[2] != channels:
        raise InputError(
            f"a {encoding} image needs {np.dtype(dtype).name} values in {channels} channel(s), "
            f"got {values.dtype.name} of shape {values.shape}"
        )
    packed = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    height, width = packed.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=packed.nbytes // max(height, 1),
        data=_bytes(packed),
    )


def camera_info_from_pinhole(camera: PinholeCamera, header: Header) -> CameraInfo:
    """Return the calibration of an image without distortion: K, P = [K | 0], R = identity."""
    P = np.zeros((3, 4))
    P[:, :3] = camera.K
    return CameraInfo(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=camera.K.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=P.reshape(-1),
    )


def label_info_from_classes(classes: ClassTable, header: Header, threshold: float) -> Any:
    """Return the class table as vision_msgs/LabelInfo.

    Args:
        classes: Ids and names.
        header: Header of the message.
        threshold: Smallest confidence of a label that is published.

    Raises:
        SceneDinoError: If the package vision_msgs is not installed (`LabelInfo` is None then).
    """
    if LabelInfo is None:
        raise SceneDinoError("LabelInfo needs the ROS package vision_msgs, which is not installed")
    class_map = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(classes.names)]
    return LabelInfo(header=header, class_map=class_map, threshold=float(threshold))


def _bytes(values: np.ndarray) -> array.array:
    """Return an array's bytes as array.array, the one type message fields take without a loop."""
    data = array.array("B")
    data.frombytes(values.reshape(-1).view(np.uint8).data)
    return data


def _shares(counts: np.ndarray, total: int) -> np.ndarray:
    """Return how many of `total` each group may keep: its proportion, largest remainders first."""
    exact = counts * (total / counts.sum())
    shares = np.floor(exact).astype(np.int64)
    missing = total - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares


def _densest(indices: np.ndarray, density: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` of the voxel indices with the highest density, in their own order."""
    if count == len(indices):
        return indices
    order = np.argpartition(-density[indices], count)[:count]
    return indices[np.sort(order)]
