# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads the demo's own recording: the frames to draw, and what can be measured in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.from_msg import (
    camera_from_info,
    rgb_from_compressed,
    rgb_from_image,
    stamp_ns,
)
from scenedino_ros.core.errors import BagError, InputError, SceneDinoError
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable
from scenedino_ros.core.outputs import BY_NAME, NODE, OUTPUTS
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.demo.stamps import header_frame, header_stamp_ns
from scenedino_ros.recordings.rosbag2.reader import BagMessage, BagReader
from scenedino_ros.recordings.tf_cdr import transforms_from_cdr
from scenedino_ros.recordings.transform_tree import TransformTree

VOXELS = BY_NAME["voxels"].topic()
DEPTH = BY_NAME["depth/image"].topic()
DEPTH_INFO = BY_NAME["depth/camera_info"].topic()
SEMANTIC = BY_NAME["semantic/image"].topic()
DIAGNOSTICS = "/diagnostics"

_OVERLAP = 4  # frames whose messages may be mixed in the recording
_HORIZON = 1e9  # seconds: keep the transforms of the whole recording
_WITHOUT_HEADER = (
    *("/tf", "/tf_static", "/rosout"),
    *(output.topic() for output in OUTPUTS if not output.has_stamp),
)
_NUMPY_TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 8: "<f8"}


@dataclass(eq=False)
class Frame:
    """Everything of one image; parts that were not recorded stay None.

    Attributes:
        stamp_ns: Its stamp.
        rgb: (H, W, 3) uint8 input image.
        depth: (h, w) float32 rendered depth, metres.
        label: (h, w) uint8 rendered classes.
        cloud: The message on ~/voxels.
        camera: Calibration of the input image.
        view_camera: Camera of the rendered images.
        T_grid_cam: (4, 4) camera to grid frame; None: the grid lies in the camera's frame.
        frame_id: Frame of the voxels.
    """

    stamp_ns: int
    rgb: np.ndarray | None = None
    depth: np.ndarray | None = None
    label: np.ndarray | None = None
    cloud: Any = None
    camera: PinholeCamera | None = None
    view_camera: PinholeCamera | None = None
    T_grid_cam: np.ndarray | None = None
    frame_id: str = ""


@dataclass(eq=False)
class Measurements:
    """What the recording shows about the run.

    Attributes:
        counts: Messages by topic.
        arrival_ms: Time from the stamp to the arrival at the recorder, by topic, milliseconds.
        cloud_stamps: Stamps of the clouds, in order of arrival, nanoseconds.
        image_stamps: Stamps of the input images.
        seconds: From the first input image to the last output.
        reports: Values of the node's last report on /diagnostics, by its part (frames, latency,
            network).
        problems: Sentences on what is wrong with the recording.
        camera_frame: Optical frame of the input images.
        frames: Names of the frames in TF.
    """

    counts: dict[str, int] = field(default_factory=dict)
    arrival_ms: dict[str, list[float]] = field(default_factory=dict)
    cloud_stamps: list[int] = field(default_factory=list)
    image_stamps: list[int] = field(default_factory=list)
    seconds: float = 0.0
    reports: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    camera_frame: str = ""
    frames: list[str] = field(default_factory=list)

    @property
    def weights(self) -> str:
        """The node's description of the weights, one sentence."""
        return self.reports.get("network", {}).get("weights", "unknown weights")


def measure(recording: Path, image_topic: str) -> Measurements:
    """Read all messages once and count, without decoding more than the reports.

    Raises:
        BagError: If the recording cannot be read.
    """
    measured = Measurements()
    first, last = None, None
    with BagReader(recording) as reader:
        for message in reader.messages(raw=True):
            measured.counts[message.topic] = measured.counts.get(message.topic, 0) + 1
            if message.topic in _WITHOUT_HEADER or message.topic == DIAGNOSTICS:
                continue
            try:
                stamp = header_stamp_ns(message.message)
            except InputError:
                continue
            if message.topic == image_topic:
                measured.image_stamps.append(stamp)
                measured.camera_frame = header_frame(message.message)
                first = message.time_ns if first is None else first
            elif message.topic.startswith(f"/{NODE}/"):
                delay = (message.time_ns - stamp) / 1e6
                measured.arrival_ms.setdefault(message.topic, []).append(delay)
                last = message.time_ns
            if message.topic == VOXELS:
                measured.cloud_stamps.append(stamp)
        if DIAGNOSTICS in reader.topics:
            for message in reader.messages([DIAGNOSTICS]):
                measured.reports.update(_report(message.message))
        measured.frames = recorded_transforms(reader).frames()
        measured.problems = reader.problems
    if first is not None and last is not None:
        measured.seconds = (last - first) / 1e9
    return measured


def frames(
    recording: Path, image_topic: str, info_topic: str, stamps: set[int], *, rectified: bool
) -> Iterator[Frame]:
    """Yield the frames with the given stamps, in order, one at a time.

    Args:
        recording: The demo's recording.
        image_topic: Topic of the input images.
        info_topic: Topic of their calibration.
        stamps: Stamps of the frames, nanoseconds.
        rectified: Whether the images are rectified.

    Raises:
        BagError: If the recording cannot be read.
    """
    pending: dict[int, Frame] = {}
    with BagReader(recording) as reader:
        tree = recorded_transforms(reader)
        wanted = (image_topic, info_topic, VOXELS, DEPTH, DEPTH_INFO, SEMANTIC)
        topics = [topic for topic in wanted if topic in reader.topics]
        camera_frame = ""
        for message in reader.messages(topics):
            stamp = stamp_ns(message.message.header)
            if stamp not in stamps:
                continue
            frame = pending.setdefault(stamp, Frame(stamp))
            _take(frame, message, image_topic, info_topic, rectified=rectified)
            if message.topic == image_topic:
                camera_frame = message.message.header.frame_id
            elif message.topic == VOXELS:
                frame.frame_id = message.message.header.frame_id
                if frame.frame_id != camera_frame:
                    frame.T_grid_cam = recorded_pose(tree, frame.frame_id, camera_frame, stamp)
            if len(pending) > _OVERLAP:
                yield pending.pop(min(pending))
    yield from (pending[stamp] for stamp in sorted(pending))


def input_camera(recording: Path, info_topic: str, *, rectified: bool) -> PinholeCamera | None:
    """Return the camera of the first calibration on a topic, or None without one.

    Raises:
        BagError: If the recording cannot be read.
    """
    with BagReader(recording) as reader:
        if info_topic not in reader.topics:
            return None
        for message in reader.messages([info_topic]):
            return camera_from_info(message.message, rectified=rectified).pinhole
    return None


def voxels_from_cloud(cloud: Any, grid: VoxelGrid, density: str = "density") -> SemanticVoxels:
    """Return the voxels of a message on ~/voxels or ~/map/voxels.

    Args:
        cloud: A PointCloud2 with x, y, z, label, confidence and density.
        grid: The grid that the voxels are of.
        density: Name of the field that takes the place of the density.

    Raises:
        InputError: If a field is missing, or a point is outside the grid.
    """
    points = points_of_cloud(cloud)
    for name in ("x", "y", "z", "label", "confidence", density):
        if name not in (points.dtype.names or ()):
            raise InputError(f"a cloud of voxels needs a field '{name}'")
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=-1).astype(np.float64)
    ijk = np.floor((xyz - np.asarray(grid.origin)) / grid.voxel_size).astype(np.int64)
    if len(ijk) and ((ijk < 0).any() or (ijk >= grid.shape).any()):
        raise InputError("a point of the cloud lies outside the grid")
    index = np.ravel_multi_index(tuple(ijk.T), grid.shape) if len(ijk) else ijk[:, 0]
    order = np.argsort(index, kind="stable")
    return SemanticVoxels(
        grid,
        index[order],
        points["label"][order].astype(np.uint8),
        points["confidence"][order].astype(np.float32),
        points[density][order].astype(np.float32),
    )


def classes_of_cloud(cloud: Any) -> ClassTable:
    """Return a cloud's class table: Cityscapes' if it has those colours, else one without names.

    Args:
        cloud: A PointCloud2 with label and rgb.
    """
    points = points_of_cloud(cloud)
    if "rgb" not in (points.dtype.names or ()) or not len(points):
        return CITYSCAPES19
    packed = np.ascontiguousarray(points["rgb"]).view(np.uint32)
    colors = np.stack([(packed >> shift) & 255 for shift in (16, 8, 0)], axis=-1)
    label = points["label"].astype(np.int64)
    known = label < 255
    if (CITYSCAPES19.palette[label[known]] == colors[known]).all():
        return CITYSCAPES19
    count = int(label[known].max(initial=0)) + 1
    palette = np.full((count, 3), 160)
    palette[label[known]] = colors[known]
    return ClassTable(
        names=tuple(f"class {i}" for i in range(count)),
        colors=tuple((int(r), int(g), int(b)) for r, g, b in palette),
        ssc_ids=(0,) * count,
    )


def _take(
    frame: Frame, message: BagMessage, image_topic: str, info_topic: str, *, rectified: bool
) -> None:
    content = message.message
    if message.topic == image_topic:
        compressed = message.type.endswith("CompressedImage")
        frame.rgb = rgb_from_compressed(content) if compressed else rgb_from_image(content)
    elif message.topic == info_topic:
        frame.camera = camera_from_info(content, rectified=rectified).pinhole
    elif message.topic == VOXELS:
        frame.cloud = content
    elif message.topic == DEPTH_INFO:
        frame.view_camera = camera_from_info(content, rectified=True).pinhole
    elif message.topic == DEPTH:
        frame.depth = _plane(content, "<f4")
    elif message.topic == SEMANTIC:
        frame.label = _plane(content, "u1")


def recorded_transforms(reader: BagReader) -> TransformTree:
    """Return all transforms of a recording."""
    tree = TransformTree(horizon=_HORIZON)
    for topic in ("/tf_static", "/tf"):
        if topic in reader.topics and reader.topics[topic].count:
            for message in reader.messages([topic], raw=True):
                for transform in transforms_from_cdr(message.message):
                    tree.add(transform, static=topic == "/tf_static")
    return tree


def recorded_pose(tree: TransformTree, target: str, source: str, stamp: int) -> np.ndarray:
    """Return the (4, 4) pose of a frame in another at a stamp.

    Raises:
        BagError: If the recording does not have it.
    """
    try:
        return tree.lookup(target, source, stamp)
    except SceneDinoError as error:
        raise BagError(f"the recording lacks a pose: {error}") from error


def _plane(image: Any, dtype: str) -> np.ndarray:
    item = np.dtype(dtype).itemsize
    rows = np.asarray(image.data).view(np.uint8).reshape(image.height, image.step)
    return np.ascontiguousarray(rows[:, : image.width * item]).view(dtype)


def points_of_cloud(cloud: Any) -> np.ndarray:
    """Return the (N,) points of a PointCloud2 as a structured array."""
    names = [field.name for field in cloud.fields]
    dtype = np.dtype(
        {
            "names": names,
            "formats": [_NUMPY_TYPES[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.asarray(cloud.data).view(np.uint8).reshape(-1).view(dtype)


def _report(array: Any) -> dict[str, dict[str, str]]:
    """Return the values of the node's statuses, by what follows its name."""
    reports = {}
    for status in array.status:
        name, _, part = status.name.partition(": ")
        if name == NODE:
            values = {pair.key: pair.value for pair in status.values}
            reports[part] = {"message": status.message, **values}
    return reports
