# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checks that poses are plausible: in metres, and of what carried the camera."""

import cv2
import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.frames import FrameList
from scenedino_ros.recordings.recording import Recording

MAX_SPEED = 100.0  # metres per second, 360 km/h
MIN_SPEED = 0.01  # metres per second: below it, images do not change because of the motion
_THUMBNAIL = (64, 48)  # width, height
_CHANGE = 12  # grey levels of 255 by which a pixel differs that does not show the same
_CHANGED = 0.25  # of the pixels: traffic before a standing camera changes fewer
_TURN = 0.02  # radians: turning in place changes images as well
_COMPARED = 5  # images over the drive


def speed_problem(stamps_ns: np.ndarray, T_world_body: np.ndarray) -> str:
    """Describe steps that are too long for anything that carries a camera; empty: they are not.

    Args:
        stamps_ns: (N,) ascending times, nanoseconds.
        T_world_body: (N, 4, 4) poses, metres.
    """
    if len(stamps_ns) < 2:
        return ""
    steps = np.linalg.norm(np.diff(T_world_body[:, :3, 3], axis=0), axis=1)
    speed = float(np.median(steps / (np.diff(stamps_ns) / 1e9)))
    if speed <= MAX_SPEED:
        return ""
    return (
        f"the body moves {np.median(steps):.4g} m from frame to frame ({speed:.4g} m/s), and no "
        f"vehicle or hand is faster than {MAX_SPEED:g} m/s; positions must be in metres"
    )


def motion_problems(recording: Recording, camera: str, frames: FrameList) -> list[str]:
    """Return sentences on a motion that is implausible, or that the images contradict.

    Args:
        recording: The recording.
        camera: Name of the camera whose images are compared.
        frames: The frames.
    """
    poses = frames.T_world_body[camera]
    problem = speed_problem(frames.stamps_ns, poses)
    if problem or len(frames) < 2:
        return [problem] if problem else []
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    seconds = (frames.stamps_ns[-1] - frames.stamps_ns[0]) / 1e9
    speed = float(steps.sum() / seconds)
    if speed >= MIN_SPEED:
        return []
    last, changed = _most_changed(recording, camera, frames)
    if changed < _CHANGED:
        return []
    return [
        f"the body moves {steps.mean():.2g} m from frame to frame ({speed:.2g} m/s), but "
        f"{changed:.0%} of the pixels of {camera} change from frame 0 to {last}; positions must "
        "be in metres and of the vehicle that carries the camera"
    ]


def _most_changed(recording: Recording, camera: str, frames: FrameList) -> tuple[int, float]:
    """Return the frame that differs most from the first without being turned, and how much."""
    images, poses = frames.images[camera], frames.T_world_body[camera]
    best, first = (0, 0.0), _thumbnail(recording, camera, int(images[0]))
    for frame in np.linspace(0, len(frames) - 1, _COMPARED).astype(int)[1:].tolist():
        turn, _ = cv2.Rodrigues(poses[0, :3, :3].T @ poses[frame, :3, :3])
        if np.linalg.norm(turn) > _TURN:
            continue
        other = _thumbnail(recording, camera, int(images[frame]))
        if first is None or other is None:
            continue
        changed = float((np.abs(other - first) > _CHANGE).mean())
        best = max(best, (frame, changed), key=lambda pair: pair[1])
    return best


def _thumbnail(recording: Recording, camera: str, image: int) -> np.ndarray | None:
    """Return a small grey image without its mean, so that exposure does not count."""
    try:
        rgb = recording.image(camera, image)
    except InputError:  # reported where the frame is stored
        return None
    small = cv2.resize(np.ascontiguousarray(rgb), _THUMBNAIL, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey - grey.mean()
