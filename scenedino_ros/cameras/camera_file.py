# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Calibration files of the usual tools: ROS, OpenCV and Kalibr."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import yaml

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.from_msg import camera_from_info
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import YAML_BYTES
from scenedino_ros.core.reading import BoundedLoader, parse_yaml, read_text, reading, reads

ROS, OPENCV, KALIBR = "ROS calibration", "OpenCV FileStorage", "Kalibr camchain"

# Names of each field in the tools' files. Messages use the first; the others are compared without
# separators and in lower case.
_NAMES = {
    "width": ("image_width", "imagewidth", "width"),
    "height": ("image_height", "imageheight", "height"),
    "size": ("image_size", "imagesize", "resolution"),
    "k": ("camera_matrix", "cameramatrix", "k"),
    "d": (
        "distortion_coefficients",
        "distortioncoefficients",
        "distortioncoeffs",
        "distcoeffs",
        "d",
    ),
    "p": ("projection_matrix", "projectionmatrix", "p"),
    "distortion_model": ("distortion_model", "distortionmodel"),
    "camera_model": ("camera_model", "cameramodel"),
    "intrinsics": ("intrinsics", "intrinsics"),
    "fisheye": ("fisheye_model", "fisheyemodel"),
    "binning_x": ("binning_x", "binningx"),
    "binning_y": ("binning_y", "binningy"),
    "roi": ("roi", "roi"),
}
_REGION = ("x_offset", "y_offset", "width", "height")


class _Calibration(NamedTuple):
    """The fields of a file under their normalised names, and the format of the file."""

    format: str
    fields: dict[str, object]


@reads("calibration file")
def camera_from_yaml(path: Path, *, rectified: bool) -> CalibratedCamera:
    """Read a calibration file.

    Args:
        path: YAML as camera_calibration writes it (``image_width``, ``camera_matrix``, ...), one
            message as ``ros2 topic echo --once`` prints it (``width``, ``k``, ...), XML, YAML or
            JSON of OpenCV's FileStorage, or the camchain of Kalibr with one pinhole camera.
        rectified: Whether the images are rectified: take P and no distortion instead of K and D.

    Returns:
        The camera of the images, after region of interest and binning where they are stated.

    Raises:
        InputError: If the file cannot be read, lacks a field, or is no usable calibration.
    """
    calibration = _read(path)
    try:
        return camera_from_info(_info(calibration, rectified=rectified), rectified=rectified)
    except InputError as error:
        raise InputError(
            f"calibration file {path}, read as {calibration.format}: {error}"
        ) from error


@reads("calibration file")
def baseline_from_yaml(path: Path) -> float:
    """Return how far the right camera of a rectified pair is to the right of the left one, metres.

    That is -P[0, 3] / P[0, 0] of the right camera's calibration file.

    Args:
        path: As for `camera_from_yaml`.

    Raises:
        InputError: If the file cannot be read, or P states no baseline.
    """
    calibration = _read(path)
    try:
        P = _numbers(calibration.fields, "p")
        if len(P) != 12 or not P[0] > 0 or not -P[3] / P[0] > 0:
            raise InputError(
                "projection_matrix must have 12 numbers with P[0, 3] < 0, as that of a right "
                f"camera has, got {P}"
            )
    except InputError as error:
        raise InputError(
            f"calibration file {path}, read as {calibration.format}: {error}"
        ) from error
    return -P[3] / P[0]


def _read(path: Path) -> _Calibration:
    with reading(f"calibration file {path}"):
        text = read_text(path, YAML_BYTES)
        if text.startswith(("<?xml", "<opencv_storage")):
            return _Calibration(OPENCV, _named(_xml_fields(text)))
        # ros2 topic echo ends a message with '---': only the first document counts.
        lines = "\n".join(line for line in text.split("\n") if not line.startswith("%YAML"))
        fields = parse_yaml(lines, _StorageLoader, first=True)
    if not isinstance(fields, dict):
        raise InputError(f"calibration file {path} must hold fields such as camera_matrix")
    cameras = [key for key in fields if re.fullmatch(r"cam[0-9]+", str(key))]
    if len(cameras) > 1:
        raise InputError(
            f"calibration file {path}, read as {KALIBR}, must hold one camera, got "
            f"{', '.join(cameras)}: keep the one that took the images"
        )
    if cameras and isinstance(fields[cameras[0]], dict):
        return _Calibration(KALIBR, _named(fields[cameras[0]]))
    named = _named(fields)
    if "intrinsics" in named and "camera_model" in named:
        return _Calibration(KALIBR, named)
    stored = any(isinstance(value, dict) and "type_id" in value for value in fields.values())
    stored = stored or text.startswith("%YAML") or "!!opencv-matrix" in text
    return _Calibration(OPENCV if stored else ROS, named)


class _StorageLoader(BoundedLoader):
    """The loader, which takes a matrix of OpenCV as the mapping that it is written as."""

    def construct_matrix(self, _: str, node: yaml.MappingNode) -> dict[Any, Any]:
        """Return the size, dt and data of a matrix, which may have any number of axes."""
        return self.construct_mapping(node, deep=True)


_StorageLoader.add_multi_constructor("tag:yaml.org,2002:opencv-", _StorageLoader.construct_matrix)


def _xml_fields(text: str) -> dict[str, object]:
    """Return the top-level numbers, strings, lists and matrices of an OpenCV FileStorage in XML.

    OpenCV's own reader writes beyond its memory when a file is damaged, and ends the process.
    """
    if "<!" in text:
        raise ValueError("it must hold no document type, entities and comments")
    root = ElementTree.fromstring(text)
    fields: dict[str, object] = {}
    for child in root:
        data = child.find("data")
        parts = [part.text or "" for part in child] if len(child) else None
        if data is not None:
            fields[child.tag] = {"data": [float(word) for word in (data.text or "").split()]}
        elif parts is None:
            fields[child.tag] = _plain(child.text or "")
        elif all(part.tag == "_" for part in child):  # a list
            fields[child.tag] = [_plain(part) for part in parts]
    return fields


def _plain(text: str) -> object:
    """Return the number, the list of numbers, or the string that a text stands for."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return text.strip().strip('"')
    return numbers[0] if len(numbers) == 1 else numbers


def _named(fields: dict[str, object]) -> dict[str, object]:
    """Return the known fields under their normalised names; others are ignored."""
    plain = {re.sub("[^a-z0-9]", "", str(key).lower()): value for key, value in fields.items()}
    return {
        name: plain[key]
        for name, (_, *keys) in _NAMES.items()
        for key in reversed(keys)
        if plain.get(key) is not None
    }


def _info(calibration: _Calibration, *, rectified: bool) -> SimpleNamespace:
    """Return the fields under the names of sensor_msgs/CameraInfo."""
    kind, fields = calibration
    if "size" in fields:
        size = _numbers(fields, "size")
        if len(size) != 2:
            raise InputError(f"image_size must be width and height, got {size}")
        fields = {"width": size[0], "height": size[1], **fields}
    region = fields.get("roi") or {}
    if not isinstance(region, dict):
        raise InputError(f"roi must have {', '.join(_REGION)}, got {region}")
    info = SimpleNamespace(
        width=_whole(fields, "width"),
        height=_whole(fields, "height"),
        distortion_model=str(fields.get("distortion_model", "")),
        binning_x=_whole({"binning_x": 0, **fields}, "binning_x"),
        binning_y=_whole({"binning_y": 0, **fields}, "binning_y"),
        roi=SimpleNamespace(**{name: _whole({name: 0, **region}, name) for name in _REGION}),
        k=[],
        d=[],
        p=[],
    )
    if kind == KALIBR:
        fields = _kalibr_fields(fields)
    if kind == OPENCV and not info.distortion_model:
        info.distortion_model = "fisheye" if fields.get("fisheye") else "plumb_bob"
    if rectified:
        info.p = _numbers(fields, "p")
        info.k = _numbers(fields, "k") if "k" in fields else []
        return info
    info.k = _numbers(fields, "k")
    info.p = _numbers(fields, "p") if "p" in fields else []
    # A file without a model may omit the coefficients; a file with one must have them.
    needed = bool(info.distortion_model) and kind != KALIBR
    info.d = _numbers(fields, "d") if needed or "d" in fields else []
    return info


def _kalibr_fields(fields: dict[str, object]) -> dict[str, object]:
    model = fields.get("camera_model")
    if model != "pinhole":
        raise InputError(f"camera_model must be pinhole, got {model}")
    values = _numbers(fields, "intrinsics")
    if len(values) != 4:
        raise InputError(f"intrinsics must be fx, fy, cx, cy, got {values}")
    fx, fy, cx, cy = values
    return {**fields, "k": [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]}


def _numbers(fields: dict[str, object], name: str) -> list[float]:
    """Return a field as a flat list; it may be flat, nested, or the ``data`` of a matrix."""
    shown, value = _NAMES[name][0], _field(fields, name)
    if isinstance(value, dict):
        if "data" not in value:
            raise InputError(f"{shown} must have data, got {', '.join(map(str, value))}")
        value = value["data"]
    try:
        numbers: list[float] = np.array(value, dtype=np.float64).reshape(-1).tolist()
    except (TypeError, ValueError) as error:
        raise InputError(f"{shown} must be numbers, got {value}") from error
    return numbers


def _whole(fields: dict[str, object], name: str) -> int:
    value = _field(fields, name)
    try:
        whole = int(value)
        if whole == float(value) and whole >= 0:
            return whole
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"{_shown(name)} must be a whole number, got {value!r}")


def _field(fields: dict[str, object], name: str) -> Any:
    if name not in fields:
        raise InputError(f"{_shown(name)} is missing")
    return fields[name]


def _shown(name: str) -> str:
    return _NAMES[name][0] if name in _NAMES else name
