# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Writes synthetic drives into the folders of KITTI-360 and SSCBench-KITTI-360.

Below one root: ``calibration``, ``data_poses``, and per drive, with frames numbered from 0,

- ``data_2d_raw/<drive>/image_0N/data_rect`` (``data_rgb`` for fisheyes)``/NNNNNNNNNN.png``, times,
  ``pose.txt`` and ``cam0_to_world.txt``;
- ``data_2d_raw/<drive>/voxels/NNNNNN.label`` and ``.invalid`` of every 5th frame, with raw ids;
  where cars move, also ``.moving``: 1 where one is at that frame's time, else 0;
- ``preprocess/labels/<drive>/NNNNNN_1_1.npy``, the same in the benchmark's classes;
- ``data_2d_semantics/train/<drive>/image_0N/semantic/NNNNNNNNNN.png``, KITTI-360's label ids;
- ``data_3d_raw/<drive>/velodyne_points/data/NNNNNNNNNN.bin``, scans, and their times.

A drive is called ``2013_05_28_drive_NNNN_sync``. There are poses for some frames after the
last image, as in KITTI-360: published readers need one for the frame after a labelled one, too.
``dataset.json`` names the complete drives. No voxel is invalid: the ground truth of all is known.
"""

import datetime
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.image_file import encode_png
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.labels import CITYSCAPES19, kitti360_train_ids
from scenedino_ros.core.reading import read_json, reading
from scenedino_ros.evaluation.ssc.classes import ssc20_labels
from scenedino_ros.recordings.datasets.kitti360_calibration import T_BASE_IMU
from scenedino_ros.streets.calibration_files import row, write_calibration
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.raycast import RenderedFrame
from scenedino_ros.streets.rig import KITTI360_FISHEYES, T_BASE_CAM, RigSettings
from scenedino_ros.streets.voxels import FrameVoxels

VOXEL_STRIDE = 5  # frames from one with voxels to the next, as in the benchmark
POSES_BEYOND = 5  # frames after the last one that have a pose
NAME = "synthetic streets"
_CARD = "dataset.json"
_SPLIT = "test"
# The benchmark's raw ids of the classes; it drops riders, and has none for the sky.
_RAW_IDS = {
    "road": 40, "sidewalk": 48, "building": 50, "wall": 52, "fence": 51, "pole": 80,
    "traffic light": 99, "traffic sign": 81, "vegetation": 70, "terrain": 72, "sky": 0,
    "person": 30, "rider": 31, "car": 10, "truck": 18, "bus": 13, "train": 16, "motorcycle": 15,
    "bicycle": 11,
}  # fmt: skip


def raw_ids(labels: np.ndarray) -> np.ndarray:
    """Return the benchmark's raw ids, uint16, of class ids; 0 where they are 255 (empty)."""
    lookup = np.zeros(256, dtype="<u2")
    lookup[: len(CITYSCAPES19)] = [_RAW_IDS[name] for name in CITYSCAPES19.names]
    return lookup[labels]


def kitti360_ids(labels: np.ndarray) -> np.ndarray:
    """Return KITTI-360's label ids, uint8, of class ids; 0 (unlabeled) where they are 255."""
    lookup = np.zeros(256, dtype=np.uint8)
    train_ids = kitti360_train_ids(np.arange(34))  # ids from 34 on, such as garage, say more
    known = np.flatnonzero(train_ids >= 0)
    lookup[train_ids[known]] = known
    return lookup[labels]


class DriveFolders:
    """Writes the frames of one drive; a frame that is written again is the same again."""

    def __init__(self, root: Path, name: str, drive: StreetDrive, settings: RigSettings) -> None:
        """Prepare to write a drive.

        Args:
            root: The data set's folder.
            name: The drive's folder.
            drive: The drive.
            settings: Its cameras.
        """
        self._root, self._name, self._drive, self._settings = Path(root), name, drive, settings
        self._raw = self._root / "data_2d_raw" / name
        self._scans = self._root / "data_3d_raw" / name / "velodyne_points"

    def done(self, *, voxels: bool) -> int:
        """Return how many frames, from the first one, are there already.

        Args:
            voxels: Whether a frame lacks something without its voxels.
        """
        numbers = range(self._drive.frames)
        return next((i for i in numbers if not self._is_done(i, voxels)), len(numbers))

    def write(
        self,
        number: int,
        frames: Mapping[str, RenderedFrame],
        scan: np.ndarray,
        voxels: FrameVoxels | None,
    ) -> None:
        """Write a frame; the image of the last camera, which is written last, completes it.

        Args:
            number: Its number.
            frames: What the cameras saw, by name.
            scan: (N, 4) float32 points of the LiDAR: x, y, z in its frame, metres, reflectance.
            voxels: The benchmark's grid; None: there is none.
        """
        _write(self._scans / "data" / f"{number:010d}.bin", scan.astype("<f4").tobytes())
        if voxels is not None:
            self._write_voxels(number, voxels)
        for name in self._settings.cameras:
            frame, image = frames[name], _image(name)
            semantic = self._root / "data_2d_semantics/train" / self._name / image / "semantic"
            _write(semantic / f"{number:010d}.png", encode_png(kitti360_ids(frame.label)))
            _write(self._image_path(name, number), encode_png(frame.rgb[..., ::-1]))

    def close(self) -> None:
        """Write calibration, poses and times, and add the drive to the list of complete ones."""
        write_calibration(self._root / "calibration", self._settings)
        drive = self._drive
        T_map_base = [drive.T_world_base(i) for i in range(drive.frames + POSES_BEYOND)]
        imu = [row(T @ T_BASE_IMU) for T in T_map_base]
        camera = [f"{row(T @ T_BASE_CAM)} 0 0 0 1" for T in T_map_base]
        poses = self._root / "data_poses" / self._name
        _write_lines(poses / "poses.txt", [f"{i} {line}" for i, line in enumerate(imu)])
        for folder in (poses, self._raw):
            path = folder / "cam0_to_world.txt"
            _write_lines(path, [f"{i} {line}" for i, line in enumerate(camera)])
        _write_lines(self._raw / "pose.txt", imu)
        times = [_time(drive.stamp_ns(i)) for i in range(drive.frames)]
        for name in self._settings.cameras:
            _write_lines(self._raw / _image(name) / "timestamps.txt", times)
        _write_lines(self._scans / "timestamps.txt", times)
        self._enter()

    def _is_done(self, number: int, voxels: bool) -> bool:
        if voxels and number % VOXEL_STRIDE == 0 and not self._grid_path(number).exists():
            return False
        return self._image_path(self._settings.cameras[-1], number).exists()

    def _grid_path(self, number: int) -> Path:
        return self._root / "preprocess/labels" / self._name / f"{number:06d}_1_1.npy"

    def _image_path(self, name: str, number: int) -> Path:
        folder = "data_rgb" if name in KITTI360_FISHEYES else "data_rect"
        return self._raw / _image(name) / folder / f"{number:010d}.png"

    def _write_voxels(self, number: int, voxels: FrameVoxels) -> None:
        raw = raw_ids(voxels.labels)
        invalid = np.zeros(raw.shape, dtype=np.uint8)
        _write(self._raw / "voxels" / f"{number:06d}.label", raw.tobytes())
        _write(self._raw / "voxels" / f"{number:06d}.invalid", invalid.tobytes())
        if voxels.moving is not None:
            moving = voxels.moving.astype(np.uint8)
            _write(self._raw / "voxels" / f"{number:06d}.moving", moving.tobytes())
        grid = io.BytesIO()
        np.save(grid, ssc20_labels(raw, invalid).astype(np.float32))
        _write(self._grid_path(number), grid.getvalue())

    def _enter(self) -> None:
        path, names = self._root / _CARD, {self._name}
        if path.exists():
            with reading(str(path)):
                names |= set(map(str, read_json(path)["splits"][_SPLIT]))
        card = {"name": NAME, "splits": {_SPLIT: sorted(names)}}
        _write(path, (json.dumps(card, indent=1) + "\n").encode())


def _image(camera: str) -> str:
    return camera.replace("camera", "image")


def _time(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest:09d}"


def _write_lines(path: Path, lines: list[str]) -> None:
    _write(path, ("\n".join(lines) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
