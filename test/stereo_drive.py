# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A stereo drive through a painted corridor with exact poses, in KITTI's odometry layout."""

import functools
from pathlib import Path

import cv2
import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.recordings.transforms import matrix_from_rotation

CAMERA = PinholeCamera.from_focal(200.0, 200.0, 159.5, 55.5, 320, 112)
BASELINE = 0.5  # metres
STEP = 0.4  # metres per frame
_LOW, _HIGH = np.array([-4.0, -3.0, -5.0]), np.array([4.0, 1.5, 30.0])  # of the corridor, metres
_TEXEL = 0.12  # metres
_RAYS = 2  # per pixel and axis


def T_world_cam(frame: float) -> np.ndarray:
    """Return the pose of the left camera: ahead, turning left, nodding a little."""
    yaw, pitch = -0.01 * frame, 0.004 * np.sin(frame)
    turn = np.array([np.sin(pitch / 2), np.sin(yaw / 2), 0.0])
    return matrix_from_rotation(
        (0.02 * frame, 0.01 * np.sin(frame), STEP * frame),
        (*turn, np.sqrt(1 - turn @ turn)),
    )


def picture(T: np.ndarray) -> np.ndarray:
    """Return the (H, W) uint8 grey image of a camera at a pose."""
    height, width, fine = CAMERA.height, CAMERA.width, _RAYS
    u = (np.arange(width * fine) + 0.5) / fine - 0.5
    v = (np.arange(height * fine) + 0.5) / fine - 0.5
    rays = np.stack(
        np.broadcast_arrays(
            (u[None] - CAMERA.K[0, 2]) / CAMERA.K[0, 0],
            (v[:, None] - CAMERA.K[1, 2]) / CAMERA.K[1, 1],
            np.ones((len(v), len(u))),
        ),
        axis=-1,
    )
    rays, origin = rays @ T[:3, :3].T, T[:3, 3]
    walls = np.where(rays > 0, _HIGH - origin, _LOW - origin) / np.where(rays == 0, 1e-9, rays)
    axis = walls.argmin(axis=-1)
    points = origin + rays * walls.min(axis=-1)[..., None]
    texture = _texture()
    image = np.zeros(axis.shape, np.float32)
    for wall in range(3):
        first, second = (points[..., (wall + k) % 3] / _TEXEL + 97.0 * wall for k in (1, 2))
        painted = cv2.remap(
            texture,
            np.mod(first, len(texture)).astype(np.float32),
            np.mod(second, len(texture)).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        image = np.where(axis == wall, painted, image)
    small = image.reshape(height, fine, width, fine).mean(axis=(1, 3))
    return np.rint(small).astype(np.uint8)


@functools.cache
def stereo_picture(frame: int, x: float) -> np.ndarray:
    """Return `picture` of a camera that is `x` metres to the right of the left one."""
    T_left_cam = np.eye(4)
    T_left_cam[0, 3] = x
    return picture(T_world_cam(frame) @ T_left_cam)


def write_stereo_drive(
    root: Path, frames: int = 8, *, name: str = "00", dark: tuple[int, ...] = ()
) -> Path:
    """Write a drive with its poses; return its folder.

    Args:
        root: Folder of the data set.
        frames: Number of frames, at 10 Hz.
        name: Of the sequence.
        dark: Frames whose images show nothing.
    """
    folder = root / "sequences" / name
    for camera, x in (("image_0", 0.0), ("image_1", BASELINE)):
        (folder / camera).mkdir(parents=True)
        for frame in range(frames):
            image = stereo_picture(frame, x) * (frame not in dark)
            cv2.imwrite(str(folder / camera / f"{frame:06d}.png"), image)
    P = np.column_stack([CAMERA.K, np.zeros(3)])
    lines = []
    for number, x in enumerate((0.0, BASELINE)):
        P[0, 3] = -x * CAMERA.K[0, 0]
        lines.append(f"P{number}: " + " ".join(f"{value:.12e}" for value in P.reshape(-1)))
    (folder / "calib.txt").write_text("\n".join(lines) + "\n")
    (folder / "times.txt").write_text("".join(f"{0.1 * n:e}\n" for n in range(frames)))
    (root / "poses").mkdir(exist_ok=True)
    rows = [T_world_cam(frame)[:3].reshape(-1) for frame in range(frames)]
    text = "\n".join(" ".join(f"{value:.12e}" for value in row) for row in rows)
    (root / "poses" / f"{name}.txt").write_text(text + "\n")
    return folder


@functools.cache
def _texture() -> np.ndarray:
    """Return (256, 256) float32 paint in patches of several sizes that repeats in both axes."""
    rng = np.random.default_rng(5)
    texture = np.zeros((256, 256), np.float32)
    for cells, strength in ((256, 25.0), (128, 35.0), (64, 45.0)):
        coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        texture += strength * coarse.repeat(256 // cells, 0).repeat(256 // cells, 1)
    return np.clip(texture + 128, 0, 255)
