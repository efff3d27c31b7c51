# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Processes one frame, from messages to published results; computes only what is subscribed to."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rclpy.clock import Clock
from std_msgs.msg import Header

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.from_msg import (
    camera_from_info,
    rgb_from_compressed,
    size_of_compressed,
)
from scenedino_ros.cameras.image import check_fits
from scenedino_ros.cameras.plausibility import camera_warnings
from scenedino_ros.core.config import NodeSettings, RenderSettings
from scenedino_ros.core.errors import (
    OutOfMemoryError,
    SceneDinoError,
    TransformError,
)
from scenedino_ros.core.memory import is_out_of_memory, return_freed_memory
from scenedino_ros.core.outputs import RENDERED, VOXELS, Output
from scenedino_ros.inference.device import memory_error
from scenedino_ros.inference.empty_grid import why_empty
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage, VoxelQuery
from scenedino_ros.inference.warm_up import warm_up
from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.image_reader import ImageReader
from scenedino_ros.node.inputs import naming_warnings
from scenedino_ros.node.marker_cdr import MarkerSerializer
from scenedino_ros.node.node_map import MapPoses, NodeMap
from scenedino_ros.node.outputs import Outputs
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.params import LiveSettings, hidden_ids
from scenedino_ros.node.placement import GridPlacement, Lookup
from scenedino_ros.node.similarity import SimilarityAnswers
from scenedino_ros.node.statistics import (
    FrameNotReadyError,
    FrameSkippedError,
    Reason,
    Stage,
    memory_reason,
)
from scenedino_ros.node.to_msg import (
    camera_info_from_pinhole,
    cloud_from_voxels,
    image_from_array,
    label_info_from_classes,
)
from scenedino_ros.recordings.transform_tree import TransformTooOldError


def load_predictor(
    settings: NodeSettings,
    report: Callable[[str], None],
    warn: Callable[[str], None] | None = None,
    mark: Callable[[str], None] = lambda _: None,
) -> Predictor:
    """Load a network, move it to its device, and run it once.

    Args:
        settings: Name the checkpoint, the device and the arithmetic.
        report: Called with a few words on each step.
        warn: Called with a sentence on an engine that cannot be used; by default, ``report``.
        mark: Told the name of each step when it ends.

    Raises:
        CheckpointError: If the weights are missing, damaged or cannot be fetched.
        SceneDinoError: If the checkpoint has no head for the mode, or the device is not there.
        OutOfMemoryError: If the network does not fit into memory.
    """
    network = NetworkChoice.from_settings(settings)
    network.find(report)
    network.check_mode()
    checkpoint = network.load(report)
    mark("weights")
    predictor = network.predictor(checkpoint, report, warn)
    mark("engine and precision")
    report(f"network on {predictor.device}, {predictor.engine}: {predictor.weights}")
    warm_up(predictor)
    mark("first pass")
    gc.collect()  # networks hold themselves, and the mapped file of their checkpoint, in cycles
    return_freed_memory()  # of the checkpoint, and of engines that were slower
    return predictor


class FrameProcessor:
    """Turns frames into published messages. Belongs to one thread."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        live: LiveSettings,
        placement: GridPlacement,
        transforms: Lookup | None,
        shared: Outputs,
        clock: Clock,
        logger: Any,
        failures: Failures,
    ) -> None:
        """Use a network, and what is around it.

        Args:
            predictor: The network.
            live: Settings that may change between frames.
            placement: The grid.
            transforms: TF, or None where the placement needs none.
            shared: Open publishers of what all cameras share.
            clock: The node's clock.
            logger: The node's logger.
            failures: Counts exceptions that nobody foresaw.
        """
        self._predictor = predictor
        self._live = live
        self._placement = placement
        self._transforms = transforms
        self._shared = shared
        self._clock = clock
        # Of each camera, the calibration that was judged last and the kinds of warnings about it.
        self._warned: dict[str, tuple[tuple[object, bool], set[str]]] = {}
        self._latest: CameraInput  # that took the latest image that was encoded
        self._markers = MarkerSerializer()
        self.map = (
            NodeMap(
                predictor,
                live=live,
                transforms=transforms,
                shared=shared,
                logger=logger.get_child("map"),
                failures=failures,
            )
            if live.current.map.frame and transforms is not None
            else None
        )
        self._rgb_from_image = ImageReader(logger.get_child("images").info)
        self.similarity = SimilarityAnswers(
            predictor,
            placement,
            transforms,
            lambda: self._query(live.current),
            self._publish_answer,
            logger.get_child("similarity").warning,
        )

    def publish_classes(self) -> None:
        """Publish the class table, latched, where its message exists."""
        if "label_info" in self._shared:
            header = Header(stamp=self._clock.now().to_msg())
            # A voxel is published however sure its class is, so the smallest confidence is 0.
            message = label_info_from_classes(self._predictor.classes, header, threshold=0.0)
            self._shared.publish("label_info", message)

    def between(self) -> bool:
        """Answer a point that waits; return whether it still waits for a transform."""
        return self.similarity.answer()

    def process(self, frame: Frame, camera: CameraInput, *, may_wait: bool = False) -> None:
        """Publish the results of one frame that have subscribers.

        Args:
            frame: Image and calibration.
            camera: The camera that took it: its outputs, and where everything is counted.
            may_wait: Whether the frame may wait for a transform that is late.

        Raises:
            FrameNotReadyError: If it shall wait; nothing has been done.
            FrameSkippedError: If the frame cannot be used.
        """
        try:
            self._process(frame, camera, may_wait)
        except Exception as error:  # exhausted memory comes as many types
            if not is_out_of_memory(error):
                raise
            raise _without_memory(memory_error("processing an image", error)) from error

    def _process(self, frame: Frame, camera: CameraInput, may_wait: bool) -> None:
        wanted, settings = camera.outputs.wanted(), self._live.current
        of_map = self.map if self.map is not None and self.map.is_wanted() else None
        if not wanted and of_map is None and not self.similarity.waiting:
            self.similarity.forget()
            camera.statistics.unwanted()
            return
        needed = not wanted and not self.similarity.waiting
        poses = _map_poses(of_map, frame, camera, needed=needed, may_wait=may_wait)
        of_grid = [output.name for output in wanted if output.needs == VOXELS]
        views = [output for output in wanted if output.needs in RENDERED]
        # Before the image is encoded: where the pose is unknown, most of the work is saved.
        T_grid_cam = self._pose(frame, camera, may_wait) if of_grid else None
        encoded = self._encode(frame, camera, settings, T_grid_cam)
        self.similarity.remember(encoded, frame.image.header)
        self._latest = camera
        if of_grid:
            self._publish_grid(encoded, frame, camera, of_grid, settings, T_grid_cam)
        if views:
            self._publish_views(encoded, frame, camera, views, settings.render)
        if wanted:  # the image is answered; its latency has nothing to do with the map
            self._done(frame, camera)
        if of_map is not None and poses is not None:
            of_map.fuse(encoded, frame, camera, poses)
        if not wanted:
            self._done(frame, camera)

    def _publish_answer(self, name: str, message: object) -> None:
        """Publish what was made of the latest image for all cameras, counted with its camera."""
        self._shared.publish(name, message)
        self._latest.statistics.published(name)

    def _done(self, frame: Frame, camera: CameraInput) -> None:
        since_stamp = (self._clock.now().nanoseconds - frame.stamp_ns) / 1e9
        camera.statistics.done(frame.arrival, since_stamp if frame.stamp_ns else None)

    def _pose(self, frame: Frame, camera: CameraInput, may_wait: bool) -> np.ndarray | None:
        header = frame.image.header
        if not self._placement.needs_transforms:
            return self._placement.T_grid_cam(header, None)
        try:
            with camera.statistics.timed(Stage.TRANSFORM):
                return self._placement.T_grid_cam(header, self._transforms)
        except TransformError as error:
            _wait_if_late(error, may_wait)
            raise FrameSkippedError(Reason.NO_TRANSFORM, str(error)) from error

    def _encode(
        self,
        frame: Frame,
        camera: CameraInput,
        settings: NodeSettings,
        T_grid_cam: np.ndarray | None,
    ) -> EncodedImage:
        compressed, image = settings.input.transport == "compressed", frame.image
        with _step(camera, None, Reason.BAD_INFO):
            calibrated = camera_from_info(frame.info, rectified=settings.input.rectified)
        # Before anything is decoded: a small message may stand for a huge image.
        with _step(camera, None, Reason.BAD_IMAGE):
            size = size_of_compressed(image) if compressed else (image.width, image.height)
        with _step(camera, None, Reason.MISMATCH):
            check_fits(size, calibrated)
        with _step(camera, Stage.DECODE, Reason.BAD_IMAGE):
            rgb = (rgb_from_compressed if compressed else self._rgb_from_image)(image)
        with _step(camera, Stage.ENCODE, Reason.MISMATCH):
            encoded = self._predictor.encode(rgb, calibrated)
        camera.statistics.encoded()
        self._warn_about(camera, calibrated, encoded, T_grid_cam, frame)
        return encoded

    def _warn_about(
        self,
        camera: CameraInput,
        calibrated: CalibratedCamera,
        encoded: EncodedImage,
        T_grid_cam: np.ndarray | None,
        frame: Frame,
    ) -> None:
        """Warn of what looks wrong about a camera, once for each calibration and kind."""
        known, kinds = self._warned.get(camera.name, ((None, False), set()))
        # Where no output needs the grid, the camera's pose in it is not looked up.
        key = (calibrated.key(), T_grid_cam is None)
        if key == known:
            return
        rig, grid = self._predictor.training_rig, self._placement.grid
        warnings = camera_warnings(calibrated, encoded, rig, grid, T_grid_cam)
        frames = (frame.image.header.frame_id, frame.info.header.frame_id)
        outputs = self._placement.frame(frames[0])
        warnings |= naming_warnings(camera.topics[0], calibrated, outputs, frames)
        # Those that stay the same from one calibration to the next are not repeated.
        for kind in warnings.keys() - kinds:
            camera.logger.warning(warnings[kind])
        self._warned[camera.name] = key, set(warnings) | (kinds if known[0] == key[0] else set())

    def _query(self, settings: NodeSettings) -> VoxelQuery:
        chosen = settings.voxels
        hidden = hidden_ids(self._predictor.classes, chosen.hidden_classes)
        threshold = chosen.density_threshold or None  # 0.0 stands for the checkpoint's
        return VoxelQuery(
            threshold,
            chosen.grow,
            chosen.out_of_view,
            hidden,
            chosen.exposed_only,
            chosen.coarse_to_fine,
        )

    def _publish_grid(
        self,
        encoded: EncodedImage,
        frame: Frame,
        camera: CameraInput,
        names: list[str],
        settings: NodeSettings,
        T_grid_cam: np.ndarray | None,
    ) -> None:
        with _step(camera, Stage.VOXELS, Reason.MISMATCH):
            query = self._query(settings)
            voxels = self._predictor.voxels(encoded, self._placement.grid, T_grid_cam, query)
        threshold = query.threshold(self._predictor.density_threshold)
        why = "" if len(voxels) else f"0 voxels: {why_empty(voxels, threshold, T_grid_cam)}"
        camera.statistics.found_nothing(why)
        source, classes = frame.image.header, self._predictor.classes
        header = Header(stamp=source.stamp, frame_id=self._placement.frame(source.frame_id))
        with camera.statistics.timed(Stage.GRID_MESSAGES):
            if "voxels" in names:
                _publish(camera, "voxels", cloud_from_voxels(voxels, classes, header))
            if "markers" in names:
                markers, left_out = self._markers.serialize(
                    voxels, classes, header, max_cubes=settings.voxels.max_cubes
                )
                camera.statistics.cubes_left_out(left_out)
                _publish(camera, "markers", markers)

    def _publish_views(
        self,
        encoded: EncodedImage,
        frame: Frame,
        camera: CameraInput,
        views: list[Output],
        render: RenderSettings,
    ) -> None:
        needs = {output.needs for output in views}
        with _step(camera, Stage.RENDER, Reason.MISMATCH):
            view = self._predictor.render(
                encoded,
                downscale=render.downscale,
                n_samples=render.n_samples,
                unbounded=True,
                **{name: name in needs for name in RENDERED},
            )
        header = frame.image.header
        with camera.statistics.timed(Stage.VIEW_MESSAGES):
            for output in views:
                message = (
                    image_from_array(getattr(view, output.array), output.encoding, header)
                    if output.array
                    else camera_info_from_pinhole(view.camera, header)
                )
                _publish(camera, output.name, message)


def _publish(camera: CameraInput, name: str, message: object) -> None:
    camera.outputs.publish(name, message)
    camera.statistics.published(name)


@contextmanager
def _step(camera: CameraInput, stage: Stage | None, reason: Reason) -> Iterator[None]:
    """Time a stage; if it refuses its input, skip the frame and count it under the reason."""
    try:
        if stage is None:
            yield
        else:
            with camera.statistics.timed(stage):
                yield
    except OutOfMemoryError as error:
        raise _without_memory(error) from error
    except SceneDinoError as error:
        raise FrameSkippedError(reason, str(error)) from error


def _without_memory(error: OutOfMemoryError) -> FrameSkippedError:
    """Return freed memory to the system, and the error that skips a frame for want of it."""
    return_freed_memory()
    return FrameSkippedError(memory_reason(error), str(error))


def _wait_if_late(error: TransformError, may_wait: bool) -> None:
    if may_wait and not isinstance(error, TransformTooOldError):
        raise FrameNotReadyError(str(error)) from error


def _map_poses(
    of_map: NodeMap | None, frame: Frame, camera: CameraInput, *, needed: bool, may_wait: bool
) -> MapPoses | None:
    """Return the poses for the map; None without a map, or where TF does not know them.

    Raises:
        FrameNotReadyError: If TF may know them in a moment, and the frame may wait.
        FrameSkippedError: If TF does not know poses that are needed.
    """
    if of_map is None:
        return None
    try:
        with camera.statistics.timed(Stage.TRANSFORM):
            return of_map.poses(frame)
    except TransformError as error:
        _wait_if_late(error, may_wait)
        of_map.refuse("no transform", str(error))
        if needed:
            raise FrameSkippedError(Reason.NO_TRANSFORM, str(error)) from error
        return None
