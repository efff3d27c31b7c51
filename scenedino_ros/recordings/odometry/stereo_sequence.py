# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The stereo frames of a drive, from its image files or from a recording."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core.errors import InputError, TransformError
from scenedino_ros.recordings.datasets.drive import T_BASE_AHEAD, Drive
from scenedino_ros.recordings.odometry.stereo_rig import StereoRig
from scenedino_ros.recordings.pose_source import PoseSource, find_poses
from scenedino_ros.recordings.poses import PoseTrack
from scenedino_ros.recordings.recording import BagCamera, Recording
from scenedino_ros.recordings.transforms import inverse

TOLERANCE_NS = 5_000_000  # between the two images of a frame


@dataclass(frozen=True, eq=False)
class StereoCamera:
    """One of the two cameras.

    Attributes:
        name: Its name.
        frame: Its optical frame.
        camera: Its calibration.
    """

    name: str
    frame: str
    camera: CalibratedCamera


@dataclass(frozen=True, eq=False)
class StereoSequence:
    """Stereo frames in the order of time.

    Attributes:
        left: The left camera.
        right: The right camera.
        T_left_right: (4, 4) right optical frame to left optical frame, metres.
        T_base_left: (4, 4) left optical frame to the body, metres.
        is_mounted: Whether the drive says where the left camera is on the body; if not,
            `T_base_left` is that of a camera that looks ahead.
        T_base_file: (4, 4) frame whose poses a file of this drive holds to the body, metres.
        frames: Numbers of the frames: those of a drive's files; in a recording they count from 0.
        stamps_ns: Times of the left images, nanoseconds.
        images: Returns the (H, W, 3) uint8 RGB images of the frame at an index, left and right;
            raises `InputError` if one is missing or broken.
        track: The drive's own poses of the body; None: it has none.
    """

    left: StereoCamera
    right: StereoCamera
    T_left_right: np.ndarray
    T_base_left: np.ndarray
    is_mounted: bool
    T_base_file: np.ndarray
    frames: Sequence[int]
    stamps_ns: Sequence[int]
    images: Callable[[int], tuple[np.ndarray, np.ndarray]]
    track: PoseTrack | None

    @property
    def T_left_base(self) -> np.ndarray:
        """(4, 4) body to left optical frame, metres."""
        return inverse(self.T_base_left)

    @property
    def T_left_file(self) -> np.ndarray:
        """(4, 4) frame whose poses a file holds to left optical frame, metres."""
        return self.T_left_base @ self.T_base_file


def sequence_of_drive(drive: Drive, cameras: Sequence[str] = ()) -> StereoSequence:
    """Return the stereo frames of image files.

    Args:
        drive: The drive.
        cameras: Left and right camera; none: the best pair.

    Raises:
        InputError: If there is no such pair.
    """
    left, right = (
        StereoCamera(name, name, drive.cameras[name])
        for name in _pair(cameras, drive.cameras, lambda a, b: _between(drive, a, b))
    )
    frames = [frame for frame in drive.frames if frame in drive.images[left.name]]

    def images(index: int) -> tuple[np.ndarray, np.ndarray]:
        paths = [drive.images[camera.name].get(frames[index]) for camera in (left, right)]
        if paths[0] is None or paths[1] is None:
            raise InputError(f"frame {frames[index]} has no image of {right.name}")
        return read_rgb(paths[0]), read_rgb(paths[1])

    return StereoSequence(
        left,
        right,
        _between(drive, left.name, right.name),
        drive.T_base_cam[left.name],
        True,
        drive.T_base_file,
        frames,
        [drive.stamps_ns[frame] for frame in frames],
        images,
        drive.track,
    )


def sequence_of_recording(
    recording: Recording,
    cameras: Sequence[str] = (),
    *,
    body_frame: str = "base_link",
    baseline: float | None = None,
    poses_of_body: bool = False,
) -> StereoSequence:
    """Return the stereo frames of a recording.

    Where the cameras are to each other comes from TF, or else from the projection matrix of the
    right camera.

    Args:
        recording: The recording.
        cameras: As for `sequence_of_drive`.
        body_frame: Frame of the vehicle. Where the recording has no transforms of the left
            camera, the body is at the left camera, and its x axis is the optical axis.
        baseline: Metres between the cameras of a rectified pair; None: as recorded.
        poses_of_body: Whether files hold poses of the body; otherwise of the left camera.

    Raises:
        InputError: If there is no such pair, or the body is not connected with the left camera.
    """
    calibrations = {name: camera.calibration for name, camera in recording.cameras.items()}
    if baseline is not None and not cameras and len(calibrations) > 2:
        raise InputError(
            f"a baseline is that of two cameras, choose them of {', '.join(calibrations)}"
        )

    def between(left: str, right: str) -> np.ndarray:
        return _recorded_between(recording, left, right, baseline)

    left, right = (recording.cameras[name] for name in _pair(cameras, calibrations, between))
    T_base_left, is_mounted = _mounted(recording, left, body_frame)
    pairs = [right.images.nearest(stamp, TOLERANCE_NS) for stamp in left.images.stamps_ns.tolist()]

    def images(index: int) -> tuple[np.ndarray, np.ndarray]:
        other = pairs[index]
        if other is None:
            raise InputError(f"no image of {right.name} within {TOLERANCE_NS / 1e9:g} s")
        return recording.image(left.name, index), recording.image(right.name, other)

    try:
        track: PoseTrack | None = find_poses(recording, PoseSource(), body_frame)[0]
    except (InputError, TransformError):
        track = None
    return StereoSequence(
        StereoCamera(left.name, left.images.frame_id, left.calibration),
        StereoCamera(right.name, right.images.frame_id, right.calibration),
        between(left.name, right.name),
        T_base_left,
        is_mounted,
        np.eye(4) if poses_of_body else T_base_left,
        range(left.images.stamps_ns.size),
        left.images.stamps_ns.tolist(),
        images,
        track,
    )


def _pair(
    names: Sequence[str],
    calibrations: Mapping[str, CalibratedCamera],
    between: Callable[[str, str], np.ndarray],
) -> tuple[str, str]:
    """Return the left and the right camera.

    Args:
        names: The two; none: the best pair. Rectified pairs are better than others, and those
            with a long baseline better than those with a short one.
        calibrations: All cameras by name.
        between: Returns T_left_right of two cameras.

    Raises:
        InputError: If there is no such pair; with the reason for each.
    """
    for name in names:
        if name not in calibrations:
            raise InputError(f"there is no camera '{name}'; known: {', '.join(calibrations)}")
    if len(names or calibrations) < 2 or len(names) > 2:
        cameras = ", ".join(names or calibrations)
        raise InputError(
            f"a stereo pair has two cameras, got {len(names or calibrations)}: {cameras}"
        )
    found, reasons = [], []
    for left, right in [tuple(names)] if names else permutations(calibrations, 2):
        try:
            rig = StereoRig(calibrations[left], calibrations[right], between(left, right))
            found.append((rig.is_rectified, rig.pair.baseline, left, right))
        except (InputError, TransformError) as error:
            reasons.append(f"{left} and {right}: {error}")
    if not found:
        raise InputError(f"no two of the cameras are a stereo pair: {'; '.join(reasons)}")
    # The first of the best: names break no tie.
    *_, left, right = max(found, key=lambda pair: pair[:2])
    return left, right


def _between(drive: Drive, left: str, right: str) -> np.ndarray:
    return inverse(drive.T_base_cam[left]) @ drive.T_base_cam[right]


def _recorded_between(
    recording: Recording, left: str, right: str, baseline: float | None
) -> np.ndarray:
    """Return T_left_right of a recording.

    Raises:
        InputError: If neither TF nor CameraInfo says it.
    """
    first, second = (recording.cameras[name].images for name in (left, right))
    if baseline is None and first.frame_id != second.frame_id:
        try:
            return recording.index.tree.lookup(
                first.frame_id, second.frame_id, int(first.stamps_ns[0])
            )
        except TransformError:
            pass  # CameraInfo may say it
    T_left_right = np.eye(4)
    T_left_right[0, 3] = recording.cameras[right].baseline if baseline is None else baseline
    if not T_left_right[0, 3] > 0:
        raise InputError(
            f"where {right} is must be a transform from '{second.frame_id}' to "
            f"'{first.frame_id}', or P[0, 3] < 0 in its CameraInfo, got neither"
        )
    return T_left_right


def _mounted(recording: Recording, left: BagCamera, body_frame: str) -> tuple[np.ndarray, bool]:
    """Return the pose of the left camera on the body, and whether the recording has it."""
    frames = recording.index.tree.frames()
    if left.images.frame_id not in frames:
        return T_BASE_AHEAD, False
    try:
        return recording.T_body_cam(left.name, body_frame), True
    except TransformError as error:
        raise InputError(
            f"{recording.path} does not say where {left.name} is on '{body_frame}': choose the "
            f"frame of the vehicle with --body-frame (frames: {', '.join(frames)})"
        ) from error
