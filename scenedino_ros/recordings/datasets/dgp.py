# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""DGP scenes (Dataset Governance Policy, the format of DDAD): the cameras of a rig, with poses.

Frames: ``base_link`` is the scene's vehicle frame (x forward, y left, z up). Times are taken from
the names of the image files, which count 100 ns since 1970; the scene's own time stamps are read
as if they counted microseconds, and end up in another century.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.plausibility import camera_from_intrinsics
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import STAMPS_END
from scenedino_ros.core.reading import read_json, reading, reads
from scenedino_ros.recordings.transforms import inverse, matrix_from_numbers

NAME_UNIT_NS = 100


@dataclass(frozen=True, eq=False)
class DgpImage:
    """One image of the chosen camera.

    Attributes:
        path: Image file.
        stamp_ns: Time, nanoseconds since 1970.
        T_world_cam: (4, 4) camera to the scene's world.
    """

    path: Path
    stamp_ns: int
    T_world_cam: np.ndarray


@dataclass(frozen=True, eq=False)
class DgpDrive:
    """One camera of one scene.

    Attributes:
        name: Name of the scene's folder.
        camera_name: Name of the camera, such as ``CAMERA_01``.
        camera: Intrinsics and size of its images, which are free of distortion.
        T_base_cam: (4, 4) camera to vehicle.
        images: In order of time.
    """

    name: str
    camera_name: str
    camera: PinholeCamera
    T_base_cam: np.ndarray
    images: tuple[DgpImage, ...]

    def T_world_base(self, index: int) -> np.ndarray:
        """Return the (4, 4) vehicle pose of an image in the scene's world."""
        return self.images[index].T_world_cam @ inverse(self.T_base_cam)


@reads("the DGP scene in")
def dgp_cameras(folder: Path) -> tuple[str, ...]:
    """Return the names of the cameras that a scene has images of, sorted.

    Raises:
        InputError: If the scene file cannot be read or is not as specified.
    """
    path = _only(Path(folder).resolve(), "scene_*.json")
    try:
        data = _read_json(path)["data"]
        return tuple(sorted({d["id"]["name"] for d in data if "image" in d["datum"]}))
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not as specified by DGP: {type(error).__name__} {error}"
        ) from error


@reads("the DGP scene in")
def read_dgp(folder: Path, camera_name: str) -> DgpDrive:
    """Read the scene file and calibration of one camera.

    Args:
        folder: Folder with ``scene_*.json``, ``calibration`` and ``rgb``.
        camera_name: Name of the camera.

    Raises:
        InputError: If a file is missing or lacks an entry, or there is no such camera.
    """
    folder = Path(folder).resolve()
    scene_path = _only(folder, "scene_*.json")
    scene = _read_json(scene_path)
    calibration_path = _only(folder / "calibration", "*.json")
    calibration = _read_json(calibration_path)
    try:
        images = [datum for datum in scene["data"] if "image" in datum["datum"]]
        names = sorted({datum["id"]["name"] for datum in images})
        if camera_name not in names:
            raise InputError(
                f"scene {folder.name} has no camera '{camera_name}'; it has {', '.join(names)}"
            )
        if camera_name not in calibration["names"]:
            raise InputError(f"{calibration_path} has no camera '{camera_name}'")
        row = calibration["names"].index(camera_name)
        chosen = [
            datum["datum"]["image"] for datum in images if datum["id"]["name"] == camera_name
        ]
        return DgpDrive(
            folder.name,
            camera_name,
            _camera(calibration["intrinsics"][row], chosen[0]),
            _transform(calibration["extrinsics"][row]),
            tuple(sorted((_image(folder, datum) for datum in chosen), key=lambda i: i.stamp_ns)),
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"{scene_path} or {calibration_path} is not as specified by DGP: "
            f"{type(error).__name__} {error}"
        ) from error


def _camera(intrinsics: dict[str, float], image: dict[str, Any]) -> PinholeCamera:
    if intrinsics.get("skew", 0.0) != 0:
        raise InputError(f"a camera with skew is not supported, got skew {intrinsics['skew']:g}")
    fx, fy, cx, cy = (float(intrinsics[name]) for name in ("fx", "fy", "cx", "cy"))
    size = int(image["width"]), int(image["height"])
    return camera_from_intrinsics((fx, fy, cx, cy), *size).pinhole


def _image(folder: Path, image: dict[str, Any]) -> DgpImage:
    path = folder / image["filename"]
    if not path.stem.isdigit():
        raise InputError(f"the name of an image must be its time in 100 ns, got {path.name}")
    if not int(path.stem) < STAMPS_END // NAME_UNIT_NS:
        raise InputError(f"the name of an image must be a time before 2038, got {path.name}")
    return DgpImage(path, int(path.stem) * NAME_UNIT_NS, _transform(image["pose"]))


def _transform(pose: dict[str, dict[str, float]]) -> np.ndarray:
    move, turn = pose["translation"], pose["rotation"]
    numbers = (*(move[axis] for axis in "xyz"), *(turn[f"q{axis}"] for axis in "xyzw"))
    return matrix_from_numbers([float(number) for number in numbers])


def _only(folder: Path, pattern: str) -> Path:
    paths = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if len(paths) != 1:
        raise InputError(f"a DGP scene needs one file {folder}/{pattern}, found {len(paths)}")
    return paths[0]


def _read_json(path: Path) -> dict[str, Any]:
    with reading(str(path)):
        content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content
