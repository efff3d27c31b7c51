# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Messages built the node's way and the ordinary way, with a check that both are the same."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from scenedino_ros.benchmark.messages import MessagesJob
from scenedino_ros.cameras.from_msg import rgb_from_image
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.voxels import GRID_PRESETS, SemanticVoxels
from scenedino_ros.node.marker_cdr import MarkerSerializer
from scenedino_ros.node.to_msg import cloud_from_voxels, image_from_array, markers_from_voxels

Publish = Callable[[str, Any], None]  # name of an output, and a message or its bytes

_GRID = GRID_PRESETS["sscbench"]
_CLOUD_TARGET_MS, _MARKERS_TARGET_MS = 10.0, 20.0
_PAUSE = 0.01  # seconds in which the receiver takes what was published


@dataclass(frozen=True)
class Case:
    """One thing done in two ways.

    Attributes:
        what: In words.
        target_ms: What the fast way should stay below, milliseconds, or None.
        fast: As the node does it.
        ordinary: As it is done without thinking of speed.
        same: Returns whether both ways gave the same.
    """

    what: str
    target_ms: float | None
    fast: Callable[[], Any]
    ordinary: Callable[[], Any]
    same: Callable[[], bool]


def make_cases(job: MessagesJob, publish: Publish) -> list[Case]:
    """Return what is timed.

    Args:
        job: Sizes.
        publish: Publishes on an output of the node.

    Raises:
        InputError: If the benchmark's grid has not so many voxels.
    """
    header = Header(frame_id="velodyne")
    voxels = some_voxels(job.voxels)
    return [
        _cloud_case(voxels, header, publish),
        _marker_case(some_voxels(job.cubes), header, publish),
        _image_case(job.width, job.height, header),
    ]


def some_voxels(count: int) -> SemanticVoxels:
    """Return so many voxels of the benchmark's grid, of all classes.

    Raises:
        InputError: If it has not so many.
    """
    if count > _GRID.size:
        raise InputError(f"voxels and cubes must be at most {_GRID.size}, got {count}")
    draws = np.random.default_rng(0)
    return SemanticVoxels(
        _GRID,
        np.sort(draws.choice(_GRID.size, count, replace=False)),
        draws.integers(0, len(CITYSCAPES19), count).astype(np.uint8),
        draws.random(count, np.float32),
        draws.random(count, np.float32),
    )


def time_case(case: Case, repeats: int) -> dict[str, Any]:
    """Time both ways in turns.

    Args:
        case: The ways.
        repeats: How often each is timed, after once that is not.

    Returns:
        Plain values: ``what``, ``target [ms]``, ``same``, and by way p50 and p95 in milliseconds.
    """
    ways = {"fast": case.fast, "ordinary": case.ordinary}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats + 1):
        for way, do in ways.items():
            start = time.perf_counter()
            do()
            seconds = time.perf_counter() - start
            if repeat:
                taken[way].append(1000 * seconds)
            time.sleep(_PAUSE)
    times = {
        way: {f"p{p} [ms]": float(np.percentile(taken[way], p)) for p in (50, 95)} for way in ways
    }
    return {
        "what": case.what,
        "target [ms]": case.target_ms,
        **times,
        "same": case.same(),
    }


def _cloud_case(voxels: SemanticVoxels, header: Header, publish: Publish) -> Case:
    def fast() -> PointCloud2:
        return cloud_from_voxels(voxels, CITYSCAPES19, header)

    def ordinary() -> PointCloud2:
        cloud = cloud_from_voxels(voxels, CITYSCAPES19, header)
        cloud.data = memoryview(cloud.data).tolist()
        return cloud

    return Case(
        f"label arrays to a published cloud of {len(voxels):,} voxels",
        _CLOUD_TARGET_MS,
        lambda: publish("voxels", fast()),
        lambda: publish("voxels", ordinary()),
        lambda: _travelled(fast()) == _travelled(ordinary()),
    )


def _marker_case(voxels: SemanticVoxels, header: Header, publish: Publish) -> Case:
    serializer, count = MarkerSerializer(), len(voxels)

    def fast() -> bytes:
        return serializer.serialize(voxels, CITYSCAPES19, header, max_cubes=count)[0]

    def ordinary() -> MarkerArray:
        return markers_from_voxels(voxels, CITYSCAPES19, header, max_cubes=count)[0]

    def same() -> bool:
        return bool(serializer.is_fast) and (
            deserialize_message(fast(), MarkerArray) == _travelled(ordinary())
        )

    return Case(
        f"label arrays to published markers of {count:,} cubes",
        _MARKERS_TARGET_MS,
        lambda: publish("markers", fast()),
        lambda: publish("markers", ordinary()),
        same,
    )


def _image_case(width: int, height: int, header: Header) -> Case:
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (height, width, 3), dtype=np.uint8)
    message = _travelled(image_from_array(pixels, "bgr8", header))

    def ordinary() -> np.ndarray:
        rows = np.frombuffer(message.data, np.uint8).reshape(height, message.step)
        return cv2.cvtColor(rows.reshape(height, width, 3), cv2.COLOR_BGR2RGB)

    def same() -> bool:
        rgb, taken = rgb_from_image(message), np.frombuffer(message.data, np.uint8)
        return np.shares_memory(rgb, taken) and np.array_equal(rgb, ordinary())

    return Case(
        f"message to RGB image of {width} x {height}, without a copy",
        None,
        lambda: rgb_from_image(message),
        ordinary,
        same,
    )


def _travelled(message: Any) -> Any:
    """Return a message as it arrives; its bytes differ in the padding, which is never set."""
    return deserialize_message(serialize_message(message), type(message))
