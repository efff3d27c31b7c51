# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The readers of files and of arguments, each with a sound file."""

import argparse
import functools
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from message_readers import GRID, HEIGHT, SECOND, START, WIDTH, camera_of, info, predictor
from models import lively_checkpoint
from promise import Reader, check_sentence
from recorded_rig import write_rig

from scenedino_ros.cameras.camera_file import baseline_from_yaml, camera_from_yaml
from scenedino_ros.cameras.fisheye import MeiCamera
from scenedino_ros.checkpoints.card import read_card
from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.checkpoints.official.file import read_official_state
from scenedino_ros.checkpoints.official.training_config import OfficialConfig
from scenedino_ros.checkpoints.pretrained import read_weights
from scenedino_ros.core.costs import ClassCosts
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.recordings.datasets.colmap import read_colmap_camera, read_colmap_images
from scenedino_ros.recordings.datasets.image_times import read_image_times
from scenedino_ros.recordings.datasets.kitti360 import read_poses
from scenedino_ros.recordings.frame_store.build import build_frame_store
from scenedino_ros.recordings.frame_store.settings import StoreSettings
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.trajectory_files import read_trajectory
from scenedino_ros.terminal import values
from scenedino_ros.viewing.voxel_files import read_npz, write_npz
from train.field.settings import FieldSettings
from train.runs.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]

_SCRATCH = tempfile.TemporaryDirectory(prefix="readers")


def scratch() -> Path:
    """Return an empty folder for the files of one case; those of the last case are gone."""
    folder = Path(_SCRATCH.name) / str(os.getpid())  # a process that was forked has its own
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    def read_bytes(content: bytes) -> Any:
        path = scratch() / name
        path.write_bytes(content)
        return read(path)

    return read_bytes


def _document(
    name: str, dump: Callable[[Any], str], read: Callable[[Path], Any]
) -> Callable[[Any], Any]:
    def read_document(value: Any) -> Any:
        path = scratch() / name
        path.write_text(dump(value), encoding="utf-8")
        return read(path)

    return read_document


def _yaml(value: Any) -> str:
    return yaml.safe_dump(_plain(value), allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


_CALIBRATION = {
    "image_width": 640,
    "image_height": 400,
    "camera_name": "front",
    "camera_matrix": {
        "rows": 3,
        "cols": 3,
        "data": [431.5, 0.0, 318.0, 0.0, 433.0, 201.5, 0, 0, 1],
    },
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [-0.21, 0.05, 0.001, 0.0, 0.0]},
    "rectification_matrix": {"rows": 3, "cols": 3, "data": [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]},
    "projection_matrix": {
        "rows": 3,
        "cols": 4,
        "data": [430.0, 0, 318.0, -43.0, 0, 430.0, 201.5, 0, 0, 0, 1.0, 0],
    },
}
_OPENCV = b"""%YAML:1.0
---
image_width: 640
image_height: 400
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 431.5, 0., 318., 0., 433.25, 201.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.21, 0.05, 0.0011, -0.0007, 0. ]
"""
_KALIBR = {
    "cam0": {
        "camera_model": "pinhole",
        "intrinsics": [431.5, 433.25, 318.0, 201.5],
        "distortion_model": "radtan",
        "distortion_coeffs": [-0.21, 0.05, 0.0011, -0.0007],
        "resolution": [640, 400],
    }
}
_MEI = {
    "image_width": 1400,
    "image_height": 1400,
    "mirror_parameters": {"xi": 2.2},
    "distortion_parameters": {"k1": 0.016, "k2": 1.65, "p1": 4e-4, "p2": -2e-4},
    "projection_parameters": {"gamma1": 1336.0, "gamma2": 1335.0, "u0": 716.0, "v0": 705.0},
}
_TUM = "".join(f"{1.7e9 + i / 10:.6f} {i}.0 0.1 0.2 0 0 0 1\n" for i in range(6)).encode()
_KITTI = "".join(f"1 0 0 {i} 0 1 0 0 0 0 1 0\n" for i in range(6)).encode()
_KITTI360 = "".join(f"{i} 1 0 0 {i} 0 1 0 0 0 0 1 0\n" for i in range(6)).encode()
_COLMAP_IMAGES = b"# poses\n1 1 0 0 0 0.5 0 0 1 a.png\n\n2 1 0 0 0 1.5 0 0 1 b.png\n3 4 -1\n"
_COLMAP_CAMERAS = b"# cameras\n1 OPENCV 640 400 431 433 318 201 0.01 0.02 0 0\n"
_TIMES = b"1.5 a.png\n1.6 b.png\n1.7 c.png\n"


def _camera_parts(camera: Any) -> list[Any]:
    return [camera.pinhole.K, camera.D, camera.skew]


def _trajectory(path: Path) -> list[Any]:
    track = read_trajectory(path, {frame: START + frame * SECOND // 10 for frame in range(4)})
    return [track.T_world_body]


def _colmap(path: Path) -> list[Any]:
    return [image.T_world_cam for image in read_colmap_images(path.parent)]


def _times(path: Path) -> list[Any]:
    return [float(t) for t in read_image_times(path, [Path(f"{c}.png") for c in "abc"])]


_ARGUMENTS = (
    values.numbers("fx,fy,cx,cy"),
    values.counts("x,y"),
    values.positive,
    values.not_negative,
    values.image_size,
    values.densities,
    values.count,
    values.number_ranges,
)


def _read_arguments(data: bytes) -> list[Any]:
    text, found, refusal = data.decode(errors="surrogateescape"), [], None
    for parse in _ARGUMENTS:
        try:
            found.append(list(np.atleast_1d(np.asarray(parse(text), float))))
        except argparse.ArgumentTypeError as error:
            refusal = error
    if refusal is not None and not found:
        raise refusal
    return found


@functools.cache
def _checkpoint() -> bytes:
    """Return a checkpoint file with a sound header and next to no tensors."""
    path = scratch() / "tiny.safetensors"
    save_checkpoint(path, replace(lively_checkpoint(), state={"a": torch.ones(2, 3)}))
    header, tensors = _header_and_tensors(path.read_bytes())
    text = json.dumps(header, sort_keys=True).encode()  # the library's order is another every time
    return len(text).to_bytes(8, "little") + text + tensors


def _header_and_tensors(content: bytes) -> tuple[Any, bytes]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


@functools.cache
def _pytorch() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}}, buffer)
    return buffer.getvalue()


@functools.cache
def _old_pytorch() -> bytes:
    buffer = io.BytesIO()
    state = {"a.weight": torch.ones(2, 3)}
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    # The name of a storage is its address, which is another every time.
    return re.sub(rb"X.\0\0\0[0-9]{8,}", b"X\x01\0\0\x001", buffer.getvalue(), flags=re.DOTALL)


@functools.cache
def _bag(storage: str) -> bytes:
    folder = scratch() / "bag"
    write_rig(folder, 2, storage=storage, cameras=("left",), with_maps=True)
    (file,) = (path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
    return file.read_bytes()


@functools.cache
def _metadata() -> bytes:
    folder = scratch() / "bag"
    write_rig(folder, 2, cameras=("left",))
    return (folder / "metadata.yaml").read_bytes()


def _read_bag(path: Path) -> list[Any]:
    """Read everything in a recording: its messages, then its images, poses and calibrations."""
    with BagReader(path) as reader:
        for _ in reader.messages():
            pass
        problems = list(reader.problems)
    with Recording(path) as recording:
        for name, camera in recording.cameras.items():
            for index in range(min(len(camera.images.stamps_ns), 2)):
                recording.image(name, index)
        problems += recording.problems
    for problem in problems:
        check_sentence(problem)
    return []


def _read_metadata(content: bytes) -> list[Any]:
    folder = scratch() / "bag"
    folder.mkdir()
    (folder / "metadata.yaml").write_bytes(content)
    (folder / "bag_0.mcap").write_bytes(_bag_bytes("mcap"))
    return _read_bag(folder)


_kept: dict[str, bytes] = {}


def _bag_bytes(storage: str) -> bytes:
    if storage not in _kept:
        _kept[storage] = _bag(storage)
    return _kept[storage]


@functools.cache
def _store_files() -> dict[str, bytes]:
    folder = scratch()
    write_rig(folder / "bag", 3, cameras=("left",))
    for path in (folder / "bag").iterdir():
        os.utime(path, (0, 0))  # the store holds the time of its recording
    with Recording(folder / "bag") as recording:
        build_frame_store(recording, folder / "store", StoreSettings((8, 20)))
    here, files = str(folder).encode(), sorted((folder / "store").iterdir())
    return {path.name: path.read_bytes().replace(here, b"drives") for path in files}


def _read_store(files: dict[str, bytes]) -> list[Any]:
    folder = scratch() / "store"
    folder.mkdir()
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
    store = FrameStore(folder)
    found = [store.T_world_body]
    for name in store.cameras:
        found += [store.cameras[name].K_norm, store.T_world_cam(name, 0)]
        for frame in range(min(len(store), 3)):
            found += [store.image(name, frame), store.depth(name, frame)]
    return found + [store.travelled()]


@functools.cache
def _voxel_file() -> bytes:
    path = scratch() / "voxels.npz"
    network, black = predictor(), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    encoded = network.encode(black, camera_of(info()))
    voxels = network.voxels(encoded, GRID, np.eye(4), VoxelQuery(1e-9, out_of_view=True))
    write_npz(path, voxels, network.classes)
    return path.read_bytes()


def _read_voxel_file(path: Path) -> list[Any]:
    voxels = read_npz(path)
    return [voxels.confidence, voxels.density, voxels.centers()]


def _classes() -> Any:
    table = yaml.safe_load((ROOT / "config" / "classes.yaml").read_text(encoding="utf-8"))
    return {"classes": table["classes"][:3]}


def _costs() -> Any:
    return yaml.safe_load((ROOT / "config" / "costs.yaml").read_text(encoding="utf-8"))


def _table() -> ClassTable:
    return ClassTable.from_yaml(ROOT / "config" / "classes.yaml")


def _settings() -> Any:
    text = (ROOT / "train" / "configs" / "field_default.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def _checkpoint_header(value: dict[str, Any]) -> Any:
    """Read a checkpoint whose metadata is edited, with its tensors as they were."""
    header, tensors = _header_and_tensors(_checkpoint())
    header["__metadata__"] = {
        k: v if isinstance(v, str) else json.dumps(v) for k, v in value.items()
    }
    text = json.dumps(header).encode()
    path = scratch() / "tiny.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)
    found = _load(path)
    if value["config"] != _checkpoint_metadata()["config"]:
        build_model(load_checkpoint(path))
    return found


def _checkpoint_metadata() -> dict[str, Any]:
    header, _ = _header_and_tensors(_checkpoint())
    metadata = header["__metadata__"]
    parts = {key: json.loads(text) for key, text in metadata.items() if key != "format"}
    return {"format": metadata["format"], **parts}


def _load(path: Path) -> list[Any]:
    return [read_card(path).weights and 0.0, load_checkpoint(path).density_threshold]


FILES = (
    Reader("arguments", lambda: b"0-9,12", _read_arguments, 20),
    Reader(
        "calibration document",
        lambda: _CALIBRATION,
        _document("c.yaml", _yaml, lambda p: _camera_parts(camera_from_yaml(p, rectified=False))),
        4,
    ),
    Reader(
        "calibration file",
        lambda: _yaml(_CALIBRATION).encode(),
        _file(
            "c.yaml",
            lambda p: [*_camera_parts(camera_from_yaml(p, rectified=True)), baseline_from_yaml(p)],
        ),
        4,
    ),
    Reader(
        "OpenCV calibration",
        lambda: _OPENCV,
        _file("c.yaml", lambda p: _camera_parts(camera_from_yaml(p, rectified=False))),
        8,
    ),
    Reader(
        "Kalibr calibration",
        lambda: _KALIBR,
        _document("c.yaml", _yaml, lambda p: _camera_parts(camera_from_yaml(p, rectified=False))),
        4,
    ),
    Reader(
        "MEI calibration",
        lambda: _MEI,
        _document("c.yaml", _yaml, lambda p: _camera_parts(MeiCamera.from_yaml(p).calibrated)),
        4,
    ),
    Reader(
        "class table",
        _classes,
        _document("l.yaml", _yaml, lambda p: [ClassTable.from_yaml(p).palette.astype(float)]),
        2,
    ),
    Reader(
        "class costs",
        _costs,
        _document("k.yaml", _yaml, lambda p: [ClassCosts.from_yaml(p, _table()).cost]),
        2,
    ),
    Reader(
        "training settings",
        _settings,
        _document("t.yaml", _yaml, lambda p: [read_settings(FieldSettings(), p, []) and 0.0]),
        3,
    ),
    Reader(
        "official configuration",
        lambda: (
            b"model:\n  arch: bts\n  z_near: 3\n  z_far: 80\ndata:\n  image_size: [192, 640]\n"
        ),
        _file("o.yaml", lambda p: [OfficialConfig.read(p).depth_range((3.0, 80.0))]),
        8,
    ),
    Reader("TUM trajectory", lambda: _TUM, _file("t.txt", _trajectory), 15),
    Reader("KITTI trajectory", lambda: _KITTI, _file("t.txt", _trajectory), 15),
    Reader("KITTI-360 poses", lambda: _KITTI360, _file("t.txt", read_poses), 15),
    Reader("COLMAP images", lambda: _COLMAP_IMAGES, _file("images.txt", _colmap), 15),
    Reader(
        "COLMAP cameras",
        lambda: _COLMAP_CAMERAS,
        _file("cameras.txt", lambda p: _camera_parts(read_colmap_camera(p.parent, 1))),
        15,
    ),
    Reader("image times", lambda: _TIMES, _file("times.txt", _times), 15),
    Reader("checkpoint", _checkpoint, _file("m.safetensors", _load), 15),
    Reader("checkpoint metadata", _checkpoint_metadata, _checkpoint_header, 6),
    Reader(
        "PyTorch file", _pytorch, _file("m.pt", lambda p: list(read_official_state(p).tensors)), 10
    ),
    Reader("old PyTorch file", _old_pytorch, _file("m.pt", lambda p: list(read_weights(p))), 8),
    Reader("MCAP", lambda: _bag_bytes("mcap"), _file("bag.mcap", _read_bag), 4),
    Reader("SQLite", lambda: _bag_bytes("sqlite3"), _file("bag.db3", _read_bag), 5),
    Reader("metadata.yaml", _metadata, _read_metadata, 2),
    Reader("frame store", _store_files, _read_store, 12),
    Reader("voxel file", _voxel_file, _file("voxels.npz", _read_voxel_file), 12),
)
