# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""COLMAP's text model: ``cameras.txt`` and ``images.txt``.

COLMAP puts the centre of the first pixel at (0.5, 0.5), here it is at (0, 0): half a pixel is
taken off principal points. Its unit of length is unknown.

Source: https://colmap.github.io/format.html
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.plausibility import refuse_impossible
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import LONG_TEXT_BYTES
from scenedino_ros.core.reading import reads
from scenedino_ros.recordings.datasets.kitti360_calibration import numbers, read_text
from scenedino_ros.recordings.transforms import inverse, matrix_from_numbers

_HALF_PIXEL = 0.5
# Number of parameters, of focal lengths among them, distortion model, and for each coefficient in
# OpenCV's order its place among the parameters after the principal point; None: it is 0.
_MODELS: dict[str, tuple[int, int, str, tuple[int | None, ...]]] = {
    "SIMPLE_PINHOLE": (3, 1, "", ()),
    "PINHOLE": (4, 2, "", ()),
    "SIMPLE_RADIAL": (4, 1, "plumb_bob", (0, None, None, None, None)),
    "RADIAL": (5, 1, "plumb_bob", (0, 1, None, None, None)),
    "OPENCV": (8, 2, "plumb_bob", (0, 1, 2, 3, None)),
    "FULL_OPENCV": (12, 2, "rational_polynomial", (0, 1, 2, 3, 4, 5, 6, 7)),
    "OPENCV_FISHEYE": (8, 2, "equidistant", (0, 1, 2, 3)),
}


class ColmapImage(NamedTuple):
    """An image of a model.

    Attributes:
        name: Its path below the folder of all images.
        camera: Number of its camera.
        T_world_cam: (4, 4) camera's optical frame to the model's world, in the model's unit.
    """

    name: str
    camera: int
    T_world_cam: np.ndarray


@reads("the COLMAP model in")
def read_colmap_images(folder: Path) -> list[ColmapImage]:
    """Read ``images.txt``.

    Raises:
        InputError: If it cannot be read, or a line is not as specified.
    """
    path = folder / "images.txt"
    # Two lines per image: its pose, and its points, which may be none.
    lines = [
        line for line in read_text(path, LONG_TEXT_BYTES).split("\n") if not line.startswith("#")
    ]
    images = []
    for line in lines[::2]:
        words = line.split(maxsplit=9)
        if not words:
            continue
        if len(words) != 10:
            raise InputError(
                f"{path} must have IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME in every second "
                f"line, got '{line.strip()[:60]}'"
            )
        _, w, x, y, z, tx, ty, tz, camera = numbers(" ".join(words[:9]), path)
        try:
            T_cam_world = matrix_from_numbers((tx, ty, tz, x, y, z, w))
        except InputError as error:
            raise InputError(f"{path}: image {words[9]}: {error}") from error
        images.append(ColmapImage(words[9].strip(), int(camera), inverse(T_cam_world)))
    if not images:
        raise InputError(f"{path} holds no images")
    return images


@reads("the COLMAP model in")
def read_colmap_camera(folder: Path, number: int) -> CalibratedCamera:
    """Read a camera of ``cameras.txt``.

    Raises:
        InputError: If it is missing, or its model is another or has other parameters.
    """
    path = folder / "cameras.txt"
    for line in read_text(path).splitlines():
        words = line.split()
        if line.startswith("#") or len(words) < 4 or words[0] != str(number):
            continue
        model, size, parameters = words[1], words[2:4], numbers(" ".join(words[4:]), path)
        if model not in _MODELS:
            raise InputError(
                f"{path}: the model of camera {number} must be one of {', '.join(_MODELS)}, got "
                f"{model}"
            )
        count, n_focal, distortion, places = _MODELS[model]
        if parameters.size != count:
            raise InputError(
                f"{path}: {model} has {count} parameters, got {parameters.size} of camera {number}"
            )
        fx, fy = parameters[0], parameters[n_focal - 1]
        cx, cy = parameters[n_focal : n_focal + 2] - _HALF_PIXEL
        rest = parameters[n_focal + 2 :]
        D = np.array([0.0 if place is None else rest[place] for place in places])
        width, height = numbers(" ".join(size), path)
        try:
            pinhole = PinholeCamera.from_focal(fx, fy, cx, cy, int(width), int(height))
            refuse_impossible(pinhole, distortion, D)
        except InputError as error:
            raise InputError(f"{path}: camera {number}: {error}") from error
        return CalibratedCamera(pinhole, distortion, D)
    raise InputError(f"{path} has no camera {number}")
