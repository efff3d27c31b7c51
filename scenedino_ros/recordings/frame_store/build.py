# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Turns a recording into a frame store: synchronised cameras, poses, network input images."""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from scenedino_ros.core.disk_space import bytes_on_disk, check_space
from scenedino_ros.core.errors import InputError
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
from scenedino_ros.recordings.frame_store.settings import StoreSettings
from scenedino_ros.recordings.frame_store.store import FrameStore, StoredCamera
from scenedino_ros.recordings.frame_store.writer import (
    FrameStoreWriter,
    partial_store,
    store_bytes,
)
from scenedino_ros.recordings.image_topics import look_at_images
from scenedino_ros.recordings.pose_source import find_poses
from scenedino_ros.recordings.recording import BagCamera, Recording
from scenedino_ros.recordings.rosbag2.reader import BagReader


def build_frame_store(
    recording: Recording,
    path: Path,
    settings: StoreSettings,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> FrameStore:
    """Decode and resample a recording once.

    A frame is a time at which all cameras have an image and the body has a pose; one with an
    image that cannot be decoded is dropped. After an interruption, the same call resumes.

    Args:
        recording: The recording.
        path: Folder of the store; must not exist.
        settings: How it is made.
        workers: Threads that decode.
        progress: Called with the number of frames done and their number in all.

    Returns:
        The store.

    Raises:
        InputError: If something is at `path`, cameras or poses cannot be used, or the disk has
            no room for the store.
        TransformError: If the transforms do not contain the pose of a camera on the body.
    """
    chosen = [recording.camera(name) for name in settings.cameras or recording.cameras]
    track, origin = find_poses(recording, settings.poses, settings.body_frame)
    frames = common_frames(chosen, track, settings.tolerance_s)
    if settings.part is not None:
        frames = frames.part(settings.part)
    mounted = _mounted(recording, chosen, settings.body_frame)
    resamplers = _resamplers(chosen, mounted, settings)
    stored = {
        name: StoredCamera(name, made.K_norm, _turned(mounted[name], made.R_cam_input))
        for name, made in resamplers.items()
    }
    source = {
        **_made_from(recording.path, settings),
        "poses": origin,
        "left_out": frames.left_out,
        "problems": [*recording.problems, *motion_problems(recording, chosen[0].name, frames)],
    }
    check_space(
        path.parent,
        planned_bytes(chosen, len(frames), settings.image_size)
        - bytes_on_disk(partial_store(path)),
        f"the frame store {path}",
        "choose another folder, a smaller image size, fewer cameras or fewer frames",
    )
    with FrameStoreWriter(
        path,
        settings.image_size,
        stored,
        len(frames),
        source,
        labels=tuple(c.name for c in chosen if c.labels),
        depths=_with_depth(chosen),
    ) as writer:
        _fill(writer, recording, frames, resamplers, workers, progress)
    return FrameStore(path)


def frames_in_memory(
    recording: Recording, frames: FrameList, settings: StoreSettings, workers: int = 1
) -> Callable[[range], None]:
    """Return a function that makes input images of some frames and keeps none, to measure time.

    Args:
        recording: The recording.
        frames: Its frames; the function takes their numbers.
        settings: As for `build_frame_store`.
        workers: Threads that decode.

    Raises:
        InputError: If a camera cannot be used.
        TransformError: If the transforms do not contain the pose of a camera on the body.
    """
    chosen = [recording.camera(name) for name in frames.images]
    mounted = _mounted(recording, chosen, settings.body_frame)
    resamplers = _resamplers(chosen, mounted, settings)

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


def expected_store(path: Path, settings: StoreSettings) -> tuple[int, int]:
    """Return how many frames and bytes a recording's store has at most, without reading it.

    Args:
        path: The recording.
        settings: As for `build_frame_store`.

    Raises:
        BagError: If the recording cannot be opened.
    """
    cameras, part = settings.cameras, settings.part
    with BagReader(path) as reader:
        found = find_cameras(reader.topics, look_at_images(reader))
        chosen = [c for name, c in found.items() if c.info and (not cameras or name in cameras)]
        frames = min((reader.topics[camera.image].count for camera in chosen), default=0)
    if part is not None:
        frames = sum(number < frames for number in part)
    labels, depths = sum(bool(c.label) for c in chosen), sum(bool(c.depth) for c in chosen)
    return frames, store_bytes(settings.image_size, frames, len(chosen), labels, depths)


def is_store_of(path: Path, recording: Path, settings: StoreSettings) -> bool:
    """Return whether a complete store is what `build_frame_store` would make of a recording.

    Args:
        path: Folder of the store.
        recording: The recording.
        settings: How it would be made.
    """
    try:
        store = FrameStore(path)
    except InputError:
        return False
    wanted = _made_from(recording, settings)
    return all(store.source.get(key) == value for key, value in wanted.items())


def _made_from(recording: Path, settings: StoreSettings) -> dict[str, object]:
    """Return what a store depends on, as its index holds it."""
    return {"recording": recording.name, **_state_of(recording), "settings": settings.plain()}


def _mounted(
    recording: Recording, cameras: Sequence[BagCamera], body_frame: str
) -> dict[str, np.ndarray]:
    return {camera.name: recording.T_body_cam(camera.name, body_frame) for camera in cameras}


def _with_depth(cameras: Sequence[BagCamera]) -> tuple[str, ...]:
    return tuple(c.name for c in cameras if c.depths and not is_fisheye(c.calibration))


def _resamplers(
    cameras: Sequence[BagCamera],
    mounted: dict[str, np.ndarray],
    settings: StoreSettings,
) -> dict[str, CameraResampler]:
    """Return the resampler of each camera; fisheyes take K from the first pinhole camera."""
    image_size = settings.image_size
    resamplers: dict[str, CameraResampler] = {
        camera.name: PinholeResampler(camera.calibration, image_size, settings.fit)
        for camera in cameras
        if not is_fisheye(camera.calibration)
    }
    fisheyes = [camera for camera in cameras if is_fisheye(camera.calibration)]
    if fisheyes and not resamplers:
        raise InputError(
            "fisheye cameras take their intrinsics from a pinhole camera, but there are "
            f"only {', '.join(camera.name for camera in fisheyes)}"
        )
    about_y, about_x = settings.fisheye_rotation_deg
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
