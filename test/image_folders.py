# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Made-up data sets with labels, depth and motion, in the folders of the official ones."""

import json
from pathlib import Path

import cv2
import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.recordings.frame_store.store import StoredCamera
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter

DRIVE = "2013_05_28_drive_0003_sync"
ROAD_ID, CAR_ID, SKY_ID, VOID_ID = 7, 26, 23, 0  # of Cityscapes and KITTI-360
PERSPECTIVE = """\
S_rect_00: 1408.0 376.0
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_00: 552.554261 0 682.049453 0 0 552.554261 238.769549 0 0 0 1 0
"""
CAM_TO_POSE = "image_00: 0 0 1 1.5 1 0 0 0 0 1 0 -1\n"
CAM_TO_VELO = "0 0 1 0.8 -1 0 0 0.3 0 -1 0 -0.2\n"


def picture(seed: int, width: int, height: int) -> np.ndarray:
    """Return smooth noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 24, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def label_ids(width: int, height: int) -> np.ndarray:
    """Return a sky, a road, a car on it and a stripe without a class."""
    ids = np.full((height, width), SKY_ID, np.uint8)
    ids[height // 2 :] = ROAD_ID
    ids[height // 2 :, width // 4 : width // 2] = CAR_ID
    ids[:, : width // 16] = VOID_ID
    return ids


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def write_kitti360(root: Path, frames: tuple[int, ...], unlabelled: tuple[int, ...] = ()) -> None:
    """Write one drive: images, labels, poses, calibration and a scan of a wall for each frame."""
    for name, text in (
        ("perspective.txt", PERSPECTIVE),
        ("calib_cam_to_pose.txt", CAM_TO_POSE),
        ("calib_cam_to_velo.txt", CAM_TO_VELO),
    ):
        (root / "calibration").mkdir(parents=True, exist_ok=True)
        (root / "calibration" / name).write_text(text)
    poses = root / "data_poses" / DRIVE / "poses.txt"
    poses.parent.mkdir(parents=True)
    poses.write_text("".join(f"{n} 1 0 0 {n} 0 1 0 0 0 0 1 0\n" for n in frames))
    for number in frames:
        raw = root / "data_2d_raw" / DRIVE / "image_00" / "data_rect"
        _write(raw / f"{number:010d}.png", picture(number, 1408, 376))
        if number not in unlabelled:
            folder = root / "data_2d_semantics" / "train" / DRIVE / "image_00" / "semantic"
            _write(folder / f"{number:010d}.png", label_ids(1408, 376))
        scan = root / "data_3d_raw" / DRIVE / "velodyne_points" / "data" / f"{number:010d}.bin"
        scan.parent.mkdir(parents=True, exist_ok=True)
        y, z = np.meshgrid(np.linspace(-8, 8, 80), np.linspace(-1.5, 2, 40))
        wall = np.stack([np.full_like(y, 12.0), y, z, np.zeros_like(y)], axis=-1)
        wall.reshape(-1, 4).astype("<f4").tofile(scan)


def write_cityscapes(root: Path, names: tuple[str, ...]) -> None:
    """Write images of two cities with labels and cameras."""
    for number, name in enumerate(names):
        _write(root / "leftImg8bit" / "val" / f"{name}_leftImg8bit.png", picture(number, 256, 128))
        _write(root / "gtFine" / "val" / f"{name}_gtFine_labelIds.png", label_ids(256, 128))
        camera = root / "camera" / "val" / f"{name}_camera.json"
        camera.parent.mkdir(parents=True, exist_ok=True)
        values = {"fx": 282.0, "fy": 281.0, "u0": 130.0, "v0": 60.0}
        camera.write_text(json.dumps({"intrinsic": values}))


def write_bdd100k(root: Path, names: tuple[str, ...]) -> None:
    """Write images with panoptic labels, whose first channel is the class."""
    for number, name in enumerate(names):
        _write(root / "images" / "10k" / "val" / f"{name}.jpg", picture(number, 128, 72))
        panoptic = np.zeros((72, 128, 4), np.uint8)
        panoptic[..., 2] = 30  # OpenCV keeps red third: sky
        panoptic[36:, :, 2] = 7
        panoptic[36:, :64, 2] = 35
        panoptic[..., 0] = np.arange(128)  # instance numbers that must not be looked at
        path = root / "labels" / "pan_seg" / "bitmasks" / "val" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), panoptic)


def write_realestate(root: Path, video: str, times: tuple[int, ...]) -> None:
    """Write the list and the frames of a video."""
    pose = "1 0 0 0 0 1 0 0 0 0 1 0"
    lines = [f"{time} 0.5 0.9 0.5 0.5 0 0 {pose}" for time in times]
    (root / "test").mkdir(parents=True, exist_ok=True)
    (root / "test" / f"{video}.txt").write_text("\n".join(["https://video", *lines, ""]))
    for time in times:
        _write(root / "frames" / "test" / video / f"{time}.png", picture(7, 160, 96))


CAMERA = PinholeCamera.from_focal(80.0, 80.0, 80.0, 32.0, 160, 64)
DISTANCE = 10.0  # of the wall from the first camera, metres


def write_store(
    path: Path, n_frames: int, step: float = 0.25, *, depth: bool = True, pause: int = 0
) -> None:
    """Write a drive sideways along a painted wall, with labels and exact depth.

    After frame `pause`, if that is not 0, some frames are missing.
    """
    camera = StoredCamera("camera_00", CAMERA.K_norm, np.eye(4))
    kinds = {"labels": ("camera_00",), "depths": ("camera_00",) if depth else ()}
    wall = picture(3, 640, 64)
    with FrameStoreWriter(
        path, (64, 160), {"camera_00": camera}, n_frames, {"made": "up"}, **kinds
    ) as store:
        for frame in range(n_frames):
            T_world_body = np.eye(4)
            T_world_body[0, 3] = step * frame
            number = frame + 10 * (frame > pause > 0)
            store.frame(frame, number * 100_000_000, T_world_body)
            shift = round(80.0 * step * frame / DISTANCE)
            store.put("image", "camera_00", frame, wall[:, shift : shift + 160])
            label = np.full((64, 160), 10, np.uint8)
            label[32:] = 0
            label[32:, 80:] = 13
            label[:4] = 255
            store.put("label", "camera_00", frame, label)
            if depth:
                store.put("depth", "camera_00", frame, np.full((64, 160), DISTANCE))
            store.stored(frame)
