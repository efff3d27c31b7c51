# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The readers of data sets and of the cache, each with a sound file."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from file_readers import scratch
from promise import Reader

from scenedino_ros.core.reporting import silent
from scenedino_ros.inference.engines.remembered import Timings, recall, remember, situation
from scenedino_ros.recordings.datasets.dgp import read_dgp
from scenedino_ros.recordings.datasets.kitti_oxts import read_oxts
from scenedino_ros.recordings.datasets.kitti_rig import odometry_rig
from scenedino_ros.recordings.datasets.numbered_files import read_stamps, read_times

_SECONDS = b"0.0\n1.036e-01\n2.07e-01\n"
_DATES = b"2011-09-26 13:02:25.964389445\n2011-09-26 13:02:26.07\n2011-09-26 13:02:26.2\n"
_CALIBRATION = b"P0: 700 0 600 0 0 700 180 0 0 0 1 0\nP1: 700 0 600 -380 0 700 180 0 0 0 1 0\n"
_IMAGE = cv2.imencode(".png", np.zeros((375, 1242), np.uint8))[1].tobytes()
_OXTS = b"49.01 8.43 116.4 0.03 0.01 -0.4 " + b"0.5 " * 24
_ENGINES = [("openvino", "float32"), ("torch", "float32")]


def _in_folder(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """Return a reader of the folder that holds one file."""

    def read_bytes(content: bytes) -> Any:
        folder = scratch()
        (folder / name).write_bytes(content)
        return read(folder)

    return read_bytes


def _stamps(stamps: dict[int, int]) -> list[float]:
    return [float(stamp) for stamp in stamps.values()]


def _rig(folder: Path) -> list[Any]:
    image = folder / "000000.png"
    image.write_bytes(_IMAGE)
    rig = odometry_rig(folder / "calib.txt", {"00": image, "01": image})
    return [*(camera.pinhole.K for camera in rig.cameras.values()), *rig.T_cam0_cam.values()]


def _pose() -> dict[str, Any]:
    return {
        "translation": {"x": 1.5, "y": 0.25, "z": 1.0},
        "rotation": {"qx": 0.0, "qy": 0.0, "qz": 0.0, "qw": 1.0},
    }


def _scene() -> dict[str, Any]:
    image = {"filename": "rgb/FRONT/15616458249936530.jpg", "width": 30, "height": 20}
    datum = {"id": {"name": "FRONT"}, "datum": {"image": {**image, "pose": _pose()}}}
    intrinsics = {"fx": 40.0, "fy": 41.0, "cx": 15.0, "cy": 10.0, "skew": 0.0}
    calibration = {"names": ["FRONT"], "intrinsics": [intrinsics], "extrinsics": [_pose()]}
    return {"scene": {"data": [datum]}, "calibration": calibration}


def _read_scene(value: dict[str, Any]) -> list[Any]:
    folder = scratch()
    (folder / "calibration").mkdir()
    (folder / "scene_a.json").write_text(json.dumps(value["scene"]))
    (folder / "calibration" / "a.json").write_text(json.dumps(value["calibration"]))
    drive = read_dgp(folder, "FRONT")
    return [drive.camera.K, drive.T_base_cam, *(image.T_world_cam for image in drive.images)]


def _situation() -> dict[str, Any]:
    return situation("0" * 64, _ENGINES, torch.device("cpu"))


@functools.cache
def _timings() -> bytes:
    folder = scratch()
    with patch.dict(os.environ, SCENEDINO_CACHE=str(folder)):
        remember(_situation(), Timings({_ENGINES[0]: 0.002, _ENGINES[1]: 0.004}, _ENGINES[0]))
    (path,) = (folder / "engines").iterdir()
    return path.read_bytes()


def _read_timings(content: bytes) -> list[float]:
    folder = scratch()
    with patch.dict(os.environ, SCENEDINO_CACHE=str(folder)):
        remember(_situation(), Timings({}, _ENGINES[0]))  # which names the file
        (path,) = (folder / "engines").iterdir()
        path.write_bytes(content)
        found = recall(_situation(), silent)
    return [] if found is None else list(found.seconds.values())


DATASETS = (
    Reader(
        "KITTI times",
        lambda: _SECONDS,
        _in_folder("times.txt", lambda f: _stamps(read_times(f / "times.txt", [0, 1, 2]))),
        15,
    ),
    Reader(
        "KITTI dates",
        lambda: _DATES,
        _in_folder("timestamps.txt", lambda f: _stamps(read_stamps(f, [""], [0, 1, 2]))),
        15,
    ),
    Reader("KITTI calibration", lambda: _CALIBRATION, _in_folder("calib.txt", _rig), 8),
    Reader(
        "KITTI oxts",
        lambda: _OXTS,
        _in_folder("0000000000.txt", lambda f: list(read_oxts(f).values())),
        8,
    ),
    Reader("DGP scene", _scene, _read_scene, 8),
    Reader("engine timings", _timings, _read_timings, 8),
)
