# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node's rolling map: fuses the images of all cameras, and publishes, resets and saves it."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from std_msgs.msg import Header

from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.costs import ClassCosts
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.memory import MIB, is_out_of_memory, return_freed_memory
from scenedino_ros.core.outputs import MAP, OUTPUTS
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import writing
from scenedino_ros.inference.device import memory_error
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage
from scenedino_ros.mapping.ground import (
    find_ground,
    ground_mask,
    obstacle_mask,
    occupancy_values,
)
from scenedino_ros.mapping.map_file import save_map
from scenedino_ros.mapping.pose_guard import Restart
from scenedino_ros.mapping.rolling_map import RollingMap
from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.health import Level, Verdict
from scenedino_ros.node.marker_cdr import MarkerSerializer
from scenedino_ros.node.outputs import Outputs
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.params import LiveSettings, hidden_ids
from scenedino_ros.node.placement import Lookup
from scenedino_ros.node.statistics import Reason, Stage, memory_reason
from scenedino_ros.node.to_msg import cloud_from_map, occupancy_grid_from_values
from scenedino_ros.recordings.transforms import frame_name

_WARNING_PERIOD = 10.0  # seconds between two warnings about the same thing
# Why an image is not fused.
_REASONS = (
    *("no transform", "bad pose"),
    *(reason.value for reason in (Reason.DEVICE_MEMORY, Reason.MEMORY, Reason.FAILED)),
)


class MapPoses(NamedTuple):
    """Where camera and robot were when an image was taken.

    Attributes:
        T_map_cam: (4, 4) pose of the camera in the fixed frame, metres.
        T_map_robot: (4, 4) pose of the robot in it.
    """

    T_map_cam: np.ndarray
    T_map_robot: np.ndarray


class NodeMap:
    """The map while the node is active; fused, reset and saved by the compute thread alone."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        live: LiveSettings,
        transforms: Lookup,
        shared: Outputs,
        logger: Any,
        failures: Failures,
    ) -> None:
        """Start with an empty map.

        Args:
            predictor: The network.
            live: Settings that may change between frames.
            transforms: TF.
            shared: Open publishers of what all cameras share.
            logger: Logs what is refused, and when the map starts anew.
            failures: Counts exceptions that nobody foresaw.

        Raises:
            InputError: If the settings of the map contradict each other, or the file of costs
                cannot be used.
        """
        self._predictor, self._live, self._transforms = predictor, live, transforms
        self._shared, self._logger, self._failures = shared, logger, failures
        settings = live.current.map
        self._costs = class_costs(settings.costs, predictor.classes)
        self._map = RollingMap(settings, predictor.torch_device)
        self._markers = MarkerSerializer()
        self._robot_ground = np.zeros(3)
        self._published = -np.inf
        self._stamp: Any = None  # of the last messages
        self._counts: Counter[str] = Counter()
        self._problem, self._problem_time = "", -np.inf
        self._unpublished = ""  # why the last message of the map was not published
        self._fused_time = -np.inf

    def is_wanted(self) -> bool:
        """Return whether images shall be fused."""
        return self._live.current.map.keep_updated or bool(self._shared.wanted())

    def poses(self, frame: Frame) -> MapPoses:
        """Look up where camera and robot were when an image was taken.

        Args:
            frame: The image.

        Raises:
            TransformError: If TF does not know.
        """
        settings, header = self._live.current.map, frame.image.header
        lookup, stamp = self._transforms.lookup, header.stamp
        T_map_cam = lookup(settings.frame, header.frame_id, stamp)
        if not settings.robot_frame:
            return MapPoses(T_map_cam, T_map_cam)
        return MapPoses(T_map_cam, lookup(settings.frame, settings.robot_frame, stamp))

    def refuse(self, reason: str, sentence: str) -> None:
        """Count an image that is not fused, and log why."""
        self._counts[reason] += 1
        self._problem_time = time.monotonic()
        self._note(f"image not fused, {reason}: {sentence}")

    def fuse(
        self, encoded: EncodedImage, frame: Frame, camera: CameraInput, poses: MapPoses
    ) -> None:
        """Fuse an image, and publish the map if that is due.

        What fails here is counted for the map alone: the image itself is answered.

        Args:
            encoded: The image.
            frame: Its message, for the stamp.
            camera: The camera that took it, where times are counted.
            poses: Where it was taken.
        """
        try:
            self._fuse(encoded, frame, camera, poses)
        except InputError as error:
            self.refuse("bad pose", str(error))
            return
        except Exception as error:  # nothing that comes may end the node
            self.refuse(*self._explained(error))
            return
        now = time.monotonic()
        if now - self._published < 1 / self._live.current.map.rate:
            return
        if wanted := self._wanted():
            self._published = now  # also if it fails: the next attempt is due after a period
            self._stamp = frame.image.header.stamp
            with camera.statistics.timed(Stage.MAP_MESSAGES):
                for name in self._publish(wanted):
                    camera.statistics.published(name)

    def _explained(self, error: Exception) -> tuple[str, str]:
        """Return the reason that an exception is counted under, and a sentence."""
        if not is_out_of_memory(error):
            return Reason.FAILED.value, self._failures.note("the map", error)
        return_freed_memory()
        short = memory_error("the map", error)
        return memory_reason(short).value, str(short)

    def _fuse(
        self, encoded: EncodedImage, frame: Frame, camera: CameraInput, poses: MapPoses
    ) -> None:
        with camera.statistics.timed(Stage.MAP):
            done = self._map.fuse(
                self._predictor,
                encoded,
                poses.T_map_cam,
                frame.stamp_ns,
                poses.T_map_robot,
                camera.name,
            )
        self._counts["images fused"] += 1
        self._fused_time = time.monotonic()
        if done.restart:
            self._counts[_restarts(done.restart)] += 1
            self._note(f"the map starts anew, {done.restart.value}: {done.reason}")
        height = self._live.current.map.ground_height
        self._robot_ground = poses.T_map_robot[:3, 3] + (0.0, 0.0, height)

    def _wanted(self) -> set[str]:
        """Return the outputs of the map that have subscribers."""
        return {output.name for output in self._shared.wanted() if output.needs == MAP}

    def _publish(self, names: set[str]) -> list[str]:
        """Publish outputs of the map; return the names of those that were published."""
        published = []
        try:
            self._warn_of_rounding()
            for name, message in self._messages(names):
                self._shared.publish(name, message)
                published.append(name)
            self._unpublished = ""
        except Exception as error:  # nothing that comes may end the node
            reason, sentence = self._explained(error)
            self._counts["messages"] += 1
            self._unpublished = f"the map was not published, {reason}: {sentence}"
            self._note(self._unpublished)
        return published

    def _warn_of_rounding(self) -> None:
        settings, farthest = self._live.current.map, np.abs(self._map.box.grid().origin).max()
        step = float(np.spacing(np.float32(farthest)))  # coordinates in clouds are float32
        if step > settings.voxel_size / 4:
            self._note(
                f"the map is so far from the origin of {settings.frame} that clouds round its "
                f"points to {step:g} m: choose a map.frame with a nearer origin, such as odom"
            )

    def reset(self) -> str:
        """Make everything unknown; return what was done, in words."""
        images = self._map.images
        self._map.reset()
        self._counts[_restarts(Restart.REQUEST)] += 1
        if self._stamp is not None:
            # Whoever subscribes later would still get the map that is gone.
            latched = {output.name for output in OUTPUTS if output.needs == MAP and output.latched}
            self._publish(latched | self._wanted())
        self._published = -np.inf
        return f"the map is empty; it had {images} images"

    def save(self) -> str:
        """Write the map as PLY and NPZ; return the files, in words.

        Raises:
            SceneDinoError: If the map is empty, or the files cannot be written.
        """
        settings = self._live.current
        images, stamp_ns = self._map.images, self._map.newest_ns
        if not images:
            raise SceneDinoError(
                "the map is empty: no image was fused since it started; images are fused "
                "while an output of the map has a subscriber, or with map.keep_updated"
            )
        voxels = self._map.occupied(hidden=self._hidden(settings))
        folder = Path(settings.map.folder or os.curdir).expanduser().resolve()
        with writing(f"the map in {folder} (map.folder)"):
            ply, npz = save_map(
                folder,
                voxels,
                self._predictor.classes,
                frame=settings.map.frame,
                stamp_ns=stamp_ns,
                weights=self._predictor.weights,
            )
        return f"{len(voxels)} voxels of {images} images written to {ply} and {npz.name}"

    def status(self) -> tuple[Verdict, dict[str, str]]:
        """Return the state of the map for the diagnostics."""
        counts, grid = self._counts, self._map.box.grid()
        values = {
            "images fused": str(counts["images fused"]),
            **{f"images not fused: {reason}": str(counts[reason]) for reason in _REASONS},
            "messages not published": str(counts["messages"]),
            **{_restarts(restart): str(counts[_restarts(restart)]) for restart in Restart},
            "frame": self._live.current.map.frame,
            "lowest corner [m]": ", ".join(f"{value:.1f}" for value in grid.origin),
            "voxels": " x ".join(map(str, grid.shape)),
            "memory [MiB]": f"{self._map.memory() / MIB:.0f}",
            "cubes left out": str(counts["cubes left out"]),
            "last problem": self._problem,
        }
        if self._problem_time > self._fused_time:
            return Verdict(Level.ERROR, f"the last image was not fused: {self._problem}"), values
        if self._unpublished:
            return Verdict(Level.ERROR, self._unpublished), values
        if not self._map.images:
            return Verdict(Level.OK, "no image was fused yet"), values
        return Verdict(Level.OK, f"{self._map.images} images in the map"), values

    def _messages(self, wanted: set[str]) -> Iterator[tuple[str, Any]]:
        """Yield the names and messages of the outputs that are wanted, as each is made."""
        settings, classes = self._live.current, self._predictor.classes
        header = Header(stamp=self._stamp, frame_id=frame_name(settings.map.frame))
        hidden = self._hidden(settings)
        if wanted & {"map/voxels", "map/markers"}:
            voxels = self._map.occupied(settings.map.exposed_only, hidden)
        if "map/voxels" in wanted:
            yield "map/voxels", cloud_from_map(voxels, classes, header)
        if "map/markers" in wanted:
            markers, left_out = self._markers.serialize(
                voxels.semantic(), classes, header, max_cubes=settings.voxels.max_cubes
            )
            self._counts["cubes left out"] = left_out
            yield "map/markers", markers
        if not wanted & {"occupancy_grid", "obstacles", "ground"}:
            return
        volume = self._map.volume(hidden)
        ground = find_ground(volume, self._costs, self._robot_ground)
        heights = settings.map.obstacle_heights
        if "occupancy_grid" in wanted:
            values = occupancy_values(volume, ground, self._costs, heights)
            height = float(self._robot_ground[2])
            message = occupancy_grid_from_values(values, volume.grid, height, header)
            yield "occupancy_grid", message
        if wanted & {"obstacles", "ground"}:
            # Also those that are not exposed: each cell of the grid has its points.
            voxels = self._map.occupied(hidden=hidden)
        if "obstacles" in wanted:
            chosen = voxels.select(obstacle_mask(voxels, ground, self._costs, heights))
            yield "obstacles", cloud_from_map(chosen, classes, header)
        if "ground" in wanted:
            chosen = voxels.select(ground_mask(voxels, ground))
            yield "ground", cloud_from_map(chosen, classes, header)

    def _hidden(self, settings: NodeSettings) -> tuple[int, ...]:
        return hidden_ids(self._predictor.classes, settings.voxels.hidden_classes)

    def _note(self, sentence: str) -> None:
        sentence = printable(sentence)
        self._problem = sentence
        self._logger.warning(sentence, throttle_duration_sec=_WARNING_PERIOD)


def class_costs(path: str, classes: ClassTable) -> ClassCosts:
    """Return the costs of a network's classes: those of a file, or the package's.

    Raises:
        InputError: If the file cannot be used.
    """
    if not path:
        return ClassCosts.of(classes)
    try:
        return ClassCosts.from_yaml(Path(path).expanduser(), classes)
    except InputError as error:
        raise InputError(f"map.costs: {error}") from error


def _restarts(restart: Restart) -> str:
    return f"restarts: {restart.value}"
