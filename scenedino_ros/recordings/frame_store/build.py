# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Turns a recording into a frame store: synchronised cameras, poses, network input images."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.fisheye import PUBLISHED_ROTATION_DEG
from scenedino_ros.core.disk_space import bytes_on_disk, check_space
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.number_ranges import flat_ranges
from scenedino_ros.recordings.bag_index import Progress
from scenedino_ros.recordings.camera_topics import find_cameras
from scenedino_ros.recordings.frame_store.frames import FrameList, common_frames
from scenedino_ros.recordings.frame_store.motion import motion_problems
from scenedino_ros.recordings.frame_store.resampling import (
    CameraResampler,
    FisheyeResampler,
    PinholeResampler,
    is_fisheye,
)
from scenedino_ros.recordings.frame_store.store import FrameStore, StoredCamera
from scenedino_ros.recordings.frame_store.writer import (
    FrameStoreWriter,
    partial_store,
    store_bytes,
)
from scenedino_ros.recordings.image_topics import look_at_images
from scenedino_ros.recordings.pose_source import PoseSource, find_poses
from scenedino_ros.recordings.recording import BagCamera, Recording
from scenedino_ros.recordings.rosbag2.reader import BagReader

IMAGE_SIZE = (192, 640)
BODY_FRAME = "base_link"


def build_frame_store(
    recording: Recording,
    path: Path,
    image_size: tuple[int, int] = IMAGE_SIZE,
    *,
    cameras: Sequence[str] = (),
    poses: PoseSource | None = None,
    body_frame: str = BODY_FRAME,
    tolerance_s: float | None = None,
    fisheye_rotation_deg: tuple[float, float] = PUBLISHED_ROTATION_DEG,
    fit: str = "auto",
    part: Collection[int] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> FrameStore:
    """Decode and resample a recording once.

    A frame is a time at which all cameras have an image and the body has a pose; one with an
    image that cannot be decoded is dropped. After an interruption, the same call resumes.

    Args:
        recording: The recording.
        path: Folder of the store; must not exist.
        image_size: (height, width) of the network input images, pixels.
        cameras: Cameras to take; empty: all. The images of the first one are the frames' times.
        poses: Where the poses come from; None: transforms, else odometry.
        body_frame: Frame of the vehicle, x forward, y left, z up.
        tolerance_s: How far images of one frame may be apart; None: half a frame, 50 ms at most.
        fisheye_rotation_deg: How the virtual camera of a MEI fisheye is turned about the
            fisheye's y and x axes; a camera that looks to the right is turned the other way
            about y.
        fit: How images of another aspect ratio fill the input image, as for
            `ImagePreprocessor`.
        part: Numbers of the frames to store, from 0; None: all. What is held out of training is
            left out here.
        workers: Threads that decode.
        progress: Called with the number of frames done and their number in all.

    Returns:
        The store.

    Raises:
        InputError: If something is at `path`, cameras or poses cannot be used, or the disk has
            no room for the store.
        TransformError: If the transforms do not contain the pose of a camera on the body.
    """
    chosen = [recording.camera(name) for name in cameras or recording.cameras]
    track, origin = find_poses(recording, poses or PoseSource(), body_frame)
    frames = common_frames(chosen, track, tolerance_s)
    if part is not None:
        frames = frames.part(part)
    mounted = _mounted(recording, chosen, body_frame)
    resamplers = _resamplers(chosen, mounted, image_size, fit, fisheye_rotation_deg)
    stored = {
        name: StoredCamera(name, made.K_norm, _turned(mounted[name], made.R_cam_input))
        for name, made in resamplers.items()
    }
    settings = (
        image_size,
        cameras,
        poses or PoseSource(),
        body_frame,
        tolerance_s,
        fisheye_rotation_deg,
        fit,
        part,
    )
    source = {
        **_made_from(recording.path, *settings),
        "poses": origin,
        "left_out": frames.left_out,
        "problems": [*recording.problems, *motion_problems(recording, chosen[0].name, frames)],
    }
    check_space(
        path.parent,
        planned_bytes(chosen, len(frames), image_size) - bytes_on_disk(partial_store(path)),
        f"the frame store {path}",
        "choose another folder, a smaller image size, fewer cameras or fewer frames",
    )
    with FrameStoreWriter(
        path,
        image_size,
        stored,
        len(frames),
        source,
        labels=tuple(c.name for c in chosen if c.labels),
        depths=_with_depth(chosen),
    ) as writer:
        _fill(writer, recording, frames, resamplers, workers, progress)
    return FrameStore(path)


def frames_in_memory(
    recording: Recording,
    frames: FrameList,
    image_size: tuple[int, int] = IMAGE_SIZE,
    *,
    body_frame: str = BODY_FRAME,
    fisheye_rotation_deg: tuple[float, float] = PUBLISHED_ROTATION_DEG,
    fit: str = "auto",
    workers: int = 1,
) -> Callable[[range], None]:
    """Return a function that makes input images of some frames and keeps none, to measure time.

    Args:
        recording: The recording.
        frames: Its frames; the function takes their numbers.
        image_size: As the other arguments, for `build_frame_store`.
        body_frame: Frame of the vehicle.
        fisheye_rotation_deg: How virtual cameras are turned in MEI fisheyes.
        fit: How images are fitted.
        workers: Threads that decode.

    Raises:
        InputError: If a camera cannot be used.
        TransformError: If the transforms do not contain the pose of a camera on the body.
    """
    chosen = [recording.camera(name) for name in frames.images]
    mounted = _mounted(recording, chosen, body_frame)
    resamplers = _resamplers(chosen, mounted, image_size, fit, fisheye_rotation_deg)

    def make(frame: int) -> None:
        for name, made in resamplers.items():
            image = int(frames.images[name][frame])
            # One that cannot be decoded is dropped from the store and reported then.
            with contextlib.suppress(InputError):
                _make_maps(lambda *_: None, recording, name, image, made, frame)

    def make_some(numbers: range) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(make, numbers))

    return make_some


def planned_bytes(cameras: Sequence[BagCamera], n_frames: int, image_size: tuple[int, int]) -> int:
    """Return how many bytes the store of some cameras' frames will take."""
    labels = sum(camera.labels is not None for camera in cameras)
    return store_bytes(image_size, n_frames, len(cameras), labels, len(_with_depth(cameras)))


def expected_store(
    path: Path,
    image_size: tuple[int, int] = IMAGE_SIZE,
    cameras: Sequence[str] = (),
    part: Collection[int] | None = None,
) -> tuple[int, int]:
    """Return how many frames and bytes a recording's store has at most, without reading it.

    Args:
        path: The recording.
        image_size: (height, width) of the network input images, pixels.
        cameras: Cameras to take; empty: all.
        part: Numbers of the frames to store; None: all.

    Raises:
        BagError: If the recording cannot be opened.
    """
    with BagReader(path) as reader:
        found = find_cameras(reader.topics, look_at_images(reader))
        chosen = [c for name, c in found.items() if c.info and (not cameras or name in cameras)]
        frames = min((reader.topics[camera.image].count for camera in chosen), default=0)
    if part is not None:
        frames = sum(number < frames for number in part)
    labels, depths = sum(bool(c.label) for c in chosen), sum(bool(c.depth) for c in chosen)
    return frames, store_bytes(image_size, frames, len(chosen), labels, depths)


def is_store_of(
    path: Path,
    recording: Path,
    image_size: tuple[int, int] = IMAGE_SIZE,
    *,
    cameras: Sequence[str] = (),
    poses: PoseSource | None = None,
    body_frame: str = BODY_FRAME,
    tolerance_s: float | None = None,
    fisheye_rotation_deg: tuple[float, float] = PUBLISHED_ROTATION_DEG,
    fit: str = "auto",
    part: Collection[int] | None = None,
) -> bool:
    """Return whether a complete store is what `build_frame_store` would make of a recording.

    Args:
        path: Folder of the store.
        recording: The recording.
        image_size: As the other arguments, for `build_frame_store`.
        cameras: Cameras to take.
        poses: Where the poses come from.
        body_frame: Frame of the vehicle.
        tolerance_s: How far images of one frame may be apart.
        fisheye_rotation_deg: How virtual cameras are turned in MEI fisheyes.
        fit: How images are fitted.
        part: Numbers of the frames to store.
    """
    try:
        store = FrameStore(path)
    except InputError:
        return False
    wanted = _made_from(
        recording,
        image_size,
        cameras,
        poses or PoseSource(),
        body_frame,
        tolerance_s,
        fisheye_rotation_deg,
        fit,
        part,
    )
    return all(store.source.get(key) == value for key, value in wanted.items())


def _made_from(
    recording: Path,
    image_size: tuple[int, int],
    cameras: Sequence[str],
    poses: PoseSource,
    body_frame: str,
    tolerance_s: float | None,
    fisheye_rotation_deg: tuple[float, float],
    fit: str,
    part: Collection[int] | None,
) -> dict[str, object]:
    """Return what a store depends on, as its index holds it."""
    settings = {
        "image_size": list(image_size),
        "cameras": list(cameras),
        "poses": {**asdict(poses), "file": file_sha256(poses.file) if poses.file else None},
        "body_frame": body_frame,
        "tolerance_s": tolerance_s,
        "fisheye_rotation_deg": list(fisheye_rotation_deg),
        "fit": fit,
        "part": None if part is None else flat_ranges(part),
    }
    return {"recording": recording.name, **_state_of(recording), "settings": settings}


def _mounted(
    recording: Recording, cameras: Sequence[BagCamera], body_frame: str
) -> dict[str, np.ndarray]:
    return {camera.name: recording.T_body_cam(camera.name, body_frame) for camera in cameras}


def _with_depth(cameras: Sequence[BagCamera]) -> tuple[str, ...]:
    return tuple(c.name for c in cameras if c.depths and not is_fisheye(c.calibration))


def _resamplers(
    cameras: Sequence[BagCamera],
    mounted: dict[str, np.ndarray],
    image_size: tuple[int, int],
    fit: str,
    fisheye_rotation_deg: tuple[float, float],
) -> dict[str, CameraResampler]:
    """Return the resampler of each camera; fisheyes take K from the first pinhole camera."""
    resamplers: dict[str, CameraResampler] = {
        camera.name: PinholeResampler(camera.calibration, image_size, fit)
        for camera in cameras
        if not is_fisheye(camera.calibration)
    }
    fisheyes = [camera for camera in cameras if is_fisheye(camera.calibration)]
    if fisheyes and not resamplers:
        raise InputError(
            "fisheye cameras take their intrinsics from a pinhole camera, but there are "
            f"only {', '.join(camera.name for camera in fisheyes)}"
        )
    about_y, about_x = fisheye_rotation_deg
    K_norm = next((made.K_norm for made in resamplers.values()), np.eye(3))
    for camera in fisheyes:
        looks_right = mounted[camera.name][1, 2] < 0  # its optical axis in the body's y
        turn = (-about_y if looks_right else about_y, about_x)
        resamplers[camera.name] = FisheyeResampler(camera.calibration, image_size, K_norm, turn)
    return {camera.name: resamplers[camera.name] for camera in cameras}


def _state_of(path: Path) -> dict[str, int]:
    """Return size and time of a recording; a store of another state is not resumed."""
    states = [file.stat() for file in ([path] if path.is_file() else path.iterdir())]
    return {
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max(state.st_mtime_ns for state in states),
    }


def _turned(T_body_cam: np.ndarray, R_cam_input: np.ndarray) -> np.ndarray:
    T_body_input = T_body_cam.copy()
    T_body_input[:3, :3] = T_body_cam[:3, :3] @ R_cam_input
    return T_body_input


def _fill(
    writer: FrameStoreWriter,
    recording: Recording,
    frames: FrameList,
    resamplers: dict[str, CameraResampler],
    workers: int,
    progress: Progress | None,
) -> None:
    """Decode, resample and store all frames, in several threads."""
    first = next(iter(frames.T_world_body.values()))
    for frame, stamp in enumerate(frames.stamps_ns.tolist()):
        writer.frame(frame, stamp, first[frame])
    for name, poses in frames.T_world_body.items():
        if not np.array_equal(poses, first):
            writer.camera_poses(name, poses)

    def store(frame: int) -> None:
        try:
            for name, made in resamplers.items():
                image = int(frames.images[name][frame])
                _make_maps(writer.put, recording, name, image, made, frame)
        except InputError as error:
            writer.drop(frame, str(error))
        else:
            writer.stored(frame)

    todo = writer.todo()
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(store, frame) for frame in todo]
        try:
            for done, future in enumerate(
                as_completed(futures), start=len(frames) - len(todo) + 1
            ):
                future.result()
                if progress:
                    progress(done, len(frames))
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _make_maps(
    put: Callable[[str, str, int, np.ndarray], None],
    recording: Recording,
    name: str,
    image: int,
    made: CameraResampler,
    frame: int,
) -> None:
    camera = recording.camera(name)
    put("image", name, frame, made.image(recording.image(name, image)))
    stamp = int(camera.images.stamps_ns[image])
    if camera.labels is not None:
        found = camera.labels.nearest(stamp, 0)
        if found is not None:
            put("label", name, frame, made.label(recording.label(name, found)))
    if camera.depths is not None and not is_fisheye(camera.calibration):
        found = camera.depths.nearest(stamp, 0)
        if found is not None:
            put("depth", name, frame, made.depth(recording.depth(name, found)))
