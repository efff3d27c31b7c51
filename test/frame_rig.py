# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The worker and the processor of the node inside this process, fed with real messages."""

import time
from types import SimpleNamespace
from typing import Any

from models import lively_checkpoint
from rclpy.clock import Clock
from rclpy.logging import get_logger
from ros_rig import (
    BASE_CAMERA,
    CAMERA_FRAME,
    DEADLINE,
    GRID_FRAME,
    SECOND,
    START_NS,
    as_stamp,
    image_message,
    info_message,
)

from scenedino_ros.core.config import (
    GridSettings,
    InputSettings,
    MapSettings,
    NodeSettings,
    VoxelSettings,
)
from scenedino_ros.core.outputs import OUTPUTS
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.node.compute_thread import ComputeThread
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.placement import GridPlacement
from scenedino_ros.node.processor import FrameProcessor
from scenedino_ros.node.skip_log import SkipLog
from scenedino_ros.node.statistics import FrameStatistics
from scenedino_ros.node.worker import FrameWorker
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.recordings.transforms import StampedTransform, nanoseconds


class FakeOutputs:
    """Somebody subscribes to some outputs; keeps what is published."""

    def __init__(self, names):
        self.names, self.published = names, {}

    def __contains__(self, name):
        return name in self.names

    def wanted(self):
        return tuple(o for o in OUTPUTS if o.needs and o.name in self.names)

    def publish(self, name, message):
        self.published[name] = message


class FakeCamera:
    """What processor and worker need of a `CameraInput`."""

    def __init__(self, outputs=("voxels", "markers", "depth/image"), name=""):
        self.name, self.lines = name, []
        self.topics = "/image", "/camera_info"
        self.outputs, self.statistics = FakeOutputs(outputs), FrameStatistics()
        self.logger = SimpleNamespace(warning=self.lines.append)
        self.skips = SkipLog(self.statistics, self.lines.append)


class FrameRig:
    """Feeds frames to a worker, and says what became of each."""

    def __init__(self, *, transport="raw", patience=0.0, with_map=False):
        grid = GridSettings(frame=GRID_FRAME, preset="sscbench", shape=(16, 16, 4), voxel_size=0.8)
        of_map = MapSettings(
            frame="odom", robot_frame=GRID_FRAME, size=(16.0, 16.0, 4.0), below=1.0, rate=100.0
        )
        self.settings = NodeSettings(
            input=InputSettings(transport=transport),
            grid=grid,
            voxels=VoxelSettings(out_of_view=True),
            map=of_map if with_map else MapSettings(),
        )
        self.log: list[str] = []
        self.failures = Failures(self.log.append)
        self.predictor = Predictor(lively_checkpoint(), device="cpu")
        self.tree, self.camera = TransformTree(), FakeCamera()
        shared = ["map/voxels", "map/markers", "occupancy_grid"] if with_map else []
        self.shared = FakeOutputs(shared)
        self.processor = FrameProcessor(
            self.predictor,
            live=SimpleNamespace(current=self.settings),
            placement=GridPlacement(grid),
            transforms=self,
            shared=self.shared,
            clock=Clock(),
            logger=get_logger("test"),
            failures=self.failures,
        )
        self.worker = FrameWorker(ComputeThread(), self.processor, self.failures, patience)
        self._stamp_ns = START_NS

    def lookup(self, target: str, source: str, stamp: Any):
        return self.tree.lookup(target, source, nanoseconds(stamp))

    def close(self) -> None:
        assert self.worker.stop(DEADLINE)

    def next_stamp(self) -> int:
        """Return the next second, for which TF knows where the robot and the camera are."""
        self._stamp_ns += SECOND
        stamp, upright = self._stamp_ns, (0.0, 0.0, 0.0, 1.0)
        self.tree.add(StampedTransform(GRID_FRAME, CAMERA_FRAME, stamp, *BASE_CAMERA))
        self.tree.add(StampedTransform("odom", GRID_FRAME, stamp, (0.0, 0.0, 0.0), upright))
        return stamp

    def send(self, image: Any = None, info: Any = None) -> str:
        """Process an image and its calibration; return the key of what became of it."""
        stamp_ns = self.next_stamp()
        stamp = as_stamp(stamp_ns)
        image, info = image or image_message(stamp), info or info_message(stamp)
        image.header.stamp, image.header.frame_id = stamp, CAMERA_FRAME
        before = self._outcomes()
        self.worker.offer(self.camera, Frame(image, info, stamp_ns, time.monotonic()))
        deadline = time.monotonic() + DEADLINE
        while self._outcomes() == before or self.camera.statistics.snapshot().busy_since:
            assert time.monotonic() < deadline, "no outcome"
            time.sleep(0.001)
        after = self._outcomes()
        (outcome,) = (key for key in after if after[key] != before.get(key, 0))
        return outcome

    def problem(self) -> str:
        return self.camera.statistics.snapshot().last_problem

    def _outcomes(self) -> dict[str, int]:
        now = self.camera.statistics.snapshot()
        return {"done": now.done, **{reason.value: n for reason, n in now.drops.items()}}
