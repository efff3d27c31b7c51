# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The readers of messages, each with a sound message."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from models import lively_checkpoint
from promise import Reader

from scenedino_ros.cameras.encodings import LAYOUTS
from scenedino_ros.cameras.from_msg import (
    camera_from_info,
    rgb_from_compressed,
    rgb_from_image,
)
from scenedino_ros.cameras.image import ImagePreprocessor
from scenedino_ros.cameras.plausibility import KITTI_360, camera_warnings
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.recordings.header_cdr import header_from_cdr
from scenedino_ros.recordings.maps import depth_from_message, label_from_message
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms, transforms_from_cdr
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.recordings.transforms import StampedTransform

WIDTH, HEIGHT = 20, 8
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def namespace(value: Any) -> Any:
    """Return a nested dictionary as a message that is read by attribute."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: namespace(part) for key, part in value.items()})
    return value


def _header() -> dict[str, Any]:
    return {"stamp": {"sec": 1_700_000_000, "nanosec": 5}, "frame_id": "camera"}


def _image(encoding: str = "rgb8") -> dict[str, Any]:
    step = WIDTH * 3
    data = (np.arange(step * HEIGHT) % 251).astype(np.uint8).tobytes()
    return {
        "header": _header(),
        "height": HEIGHT,
        "width": WIDTH,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": step,
        "data": data,
    }


def info() -> dict[str, Any]:
    fx, cx, cy = 12.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    return {
        "header": _header(),
        "height": HEIGHT,
        "width": WIDTH,
        "distortion_model": "plumb_bob",
        "d": [0.01, -0.02, 0.001, 0.0, 0.0],
        "k": [fx, 0.0, cx, 0.0, fx, cy, 0.0, 0.0, 1.0],
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [fx, 0.0, cx, 0.0, 0.0, fx, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
    }


def _read_image(value: dict[str, Any]) -> np.ndarray:
    return rgb_from_image(namespace(value))


def _read_images(value: dict[str, Any]) -> list[np.ndarray]:
    """Read images, leaving out those that are refused."""
    found, refusal = [], None
    for part in value.values():
        try:
            found.append(_read_image(part))
        except SceneDinoError as error:
            refusal = error
    if refusal is not None and not found:
        raise refusal
    return found


def _encoded_images() -> Iterator[dict[str, Any]]:
    for encoding, layout in LAYOUTS.items():
        bytes_of_pixel = getattr(layout, "channels", 1) * getattr(layout, "item_bytes", 1)
        step = WIDTH * bytes_of_pixel
        rows = HEIGHT + int(HEIGHT * getattr(layout, "chroma_rows", 0))
        yield _image(encoding) | {"step": step, "data": bytes(range(160)) * (step * rows // 160)}


def _compressed(suffix: str) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        pixels = (np.arange(HEIGHT * WIDTH * 3) % 200).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
        data = cv2.imencode(suffix, pixels)[1].tobytes()
        return {"header": _header(), "format": suffix[1:], "data": data}

    return make


def camera_of(value: dict[str, Any], rectified: bool = False) -> Any:
    return camera_from_info(namespace(value), rectified=rectified)


def _read_info(value: dict[str, Any]) -> list[Any]:
    """Follow a calibration as far as the node does, with an image of its size if that is small."""
    found: list[Any] = []
    for rectified in (False, True):
        camera = camera_of(value, rectified)
        pinhole = camera.pinhole
        found += [pinhole.K, pinhole.K_norm, camera.D, camera.skew]
        if pinhole.width * pinhole.height > 1 << 22:
            continue
        rgb = np.zeros((pinhole.height, pinhole.width, 3), np.uint8)
        for fit in ("auto", "crop"):
            picture = ImagePreprocessor((8, 20), fit)(rgb, camera)
            found += [picture.camera.K, picture.kept]
            camera_warnings(camera, picture, KITTI_360, GRID, np.eye(4))
    return found


def _read_frame(value: dict[str, Any]) -> list[Any]:
    rgb = rgb_from_image(namespace(value["image"]))
    camera = camera_of(value["info"])
    picture = ImagePreprocessor((8, 20))(rgb, camera)
    return [picture.camera.K, picture.kept]


GRID = VoxelGrid((0.0, -3.2, -2.0), (8, 8, 4), 0.8)
_BASE_CAMERA = [0.0, 0.0, 1.5, -0.5, 0.5, -0.5, 0.5]


@functools.cache
def predictor() -> Predictor:
    return Predictor(lively_checkpoint(), device="cpu")


def _read_voxels(value: dict[str, Any]) -> list[Any]:
    """Predict voxels for a calibration and a transform, as the node does for every frame."""
    camera = camera_of(value["info"])
    pinhole = camera.pinhole
    if pinhole.width * pinhole.height > 1 << 20:
        return []
    tree = TransformTree(10.0)
    _add(tree, value["transform"], static=True)
    T = tree.lookup("base", "camera", START)
    network = predictor()
    encoded = network.encode(np.zeros((pinhole.height, pinhole.width, 3), np.uint8), camera)
    query = VoxelQuery(1e-9, out_of_view=bool(value["out_of_view"]))
    voxels = network.voxels(encoded, GRID, T, query)
    return [T, voxels.confidence, voxels.density, voxels.centers()]


def _transform(parent: str = "base", child: str = "camera", at: int = START) -> dict[str, Any]:
    return {"parent": parent, "child": child, "stamp": at, "numbers": list(_BASE_CAMERA)}


def _add(tree: TransformTree, value: dict[str, Any], *, static: bool = False) -> None:
    numbers = value["numbers"]
    stamp = int(value["stamp"])
    parent, child = value["parent"], value["child"]
    tree.add(
        StampedTransform(parent, child, stamp, tuple(numbers[:3]), tuple(numbers[3:])), static
    )


def _read_transforms(value: dict[str, Any]) -> list[np.ndarray]:
    """Fill a tree with transforms, leaving out those that it refuses, and look up both ways."""
    tree, found, refusal = TransformTree(10.0), [], None
    for static, transforms in ((True, value["static"]), (False, value["moving"])):
        for transform in transforms:
            try:
                _add(tree, transform, static=static)
            except SceneDinoError as error:
                refusal = error
    for target, source in (("map", "camera"), ("camera", "map")):
        for when in (START, START + SECOND // 2, value["when"]):
            try:
                found.append(tree.lookup(target, source, when))
            except SceneDinoError as error:
                refusal = error
    if refusal is not None and not found:
        raise refusal
    return found


def _transforms() -> dict[str, Any]:
    moving = [_transform("odom", "base", START + step * SECOND // 4) for step in range(5)]
    return {
        "static": [_transform("map", "odom"), _transform()],
        "moving": moving,
        "when": START + SECOND,
    }


def _tf_bytes() -> bytes:
    numbers = (*_BASE_CAMERA,)
    return cdr_from_transforms(
        [StampedTransform("map", c, START, numbers[:3], numbers[3:]) for c in ("base", "camera")]
    )


def _read_tf_bytes(data: bytes) -> list[Any]:
    tree = TransformTree(10.0)
    for transform in transforms_from_cdr(data):
        tree.add(transform)
    return [tree.lookup("map", "camera", START)]


_READERS = (
    Reader("image", _image, _read_image, 50),
    Reader(
        "images of all encodings",
        lambda: {str(number): image for number, image in enumerate(_encoded_images())},
        _read_images,
        8,
    ),
    Reader("jpeg", _compressed(".jpg"), lambda v: rgb_from_compressed(namespace(v)), 30),
    Reader("png", _compressed(".png"), lambda v: rgb_from_compressed(namespace(v)), 30),
    Reader(
        "label map",
        lambda: _image("mono8") | {"width": 3 * WIDTH},
        lambda value: label_from_message(namespace(value)),
        20,
    ),
    Reader(
        "depth map",
        lambda: _image("16UC1") | {"width": WIDTH, "step": 3 * WIDTH},
        lambda value: depth_from_message(namespace(value)),
        20,
    ),
    Reader("camera_info", info, _read_info, 40),
    Reader("frame", lambda: {"image": _image(), "info": info()}, _read_frame, 40),
    Reader("transforms", _transforms, _read_transforms, 40),
    Reader("tf bytes", _tf_bytes, _read_tf_bytes, 50),
    Reader("header bytes", lambda: _tf_bytes()[:40], lambda data: [header_from_cdr(data)[1]], 40),
    Reader(
        "voxels",
        lambda: {"info": info(), "transform": _transform(), "out_of_view": False},
        _read_voxels,
        3,
    ),
)
MESSAGES = tuple(replace(reader, typed=True) for reader in _READERS)
