# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checks whether a calibration fits its images, and whether a camera resembles the trained one."""

import json
from typing import NamedTuple, Protocol

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.distortion import EQUIDISTANT, MEI, distortion
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import FOCAL_LENGTHS, check_image_size
from scenedino_ros.core.voxels import VoxelGrid

# Degrees. No lens draws straight lines straight beyond the first; the others are rare in cameras.
_WIDEST, _WIDEST_FISHEYE = 170.0, 360.0
_USUAL = (15.0, 120.0)
_OFF_CENTER = 0.2  # of the size; the principal point of a calibration for half the size is at 0.25
_MUCH_KEPT = 0.75  # of an image's area; undistortion and other aspect ratios usually leave more
_OTHER_ASPECT = 1.8  # fx against fy; a calibration scaled along one axis alone has 2

# How far a camera may differ from the trained one without a warning.
_FOCAL_FACTOR = 1.5
_HEIGHTS = (1 / 3, 3.0)  # times the trained one, above the floor of the grid, not above the road
_PITCH_DEG = 10.0


class Picture(Protocol):
    """A network input image: its camera, and the fraction of the source image that it shows."""

    @property
    def camera(self) -> PinholeCamera:
        """Camera of the network input image."""

    @property
    def kept(self) -> float:
        """Fraction of the source image's area, 0 to 1."""


class TrainingRig(NamedTuple):
    """The camera that weights were trained on.

    Attributes:
        focal: Focal lengths along x and y for image coordinates in [-1, 1].
        height: Metres above the road.
        pitch_deg: How far it looks down, degrees.
    """

    focal: tuple[float, float]
    height: float
    pitch_deg: float


# Its left perspective camera (Liao, Xie and Geiger, KITTI-360, 2022): 552.55 px in 1408 x 376.
KITTI_360 = TrainingRig((0.785, 2.939), 1.55, 5.0)


def training_rig(provenance: dict[str, str]) -> TrainingRig | None:
    """Return the camera that weights were trained on, None if their provenance does not state it.

    Args:
        provenance: Of the checkpoint. ``training_rig`` holds JSON with the fields of
            `TrainingRig`; without it, weights whose ``weights`` name KITTI-360 are taken as
            trained there.

    Raises:
        InputError: If ``training_rig`` is damaged.
    """
    text = provenance.get("training_rig")
    if text is None:
        return KITTI_360 if "KITTI-360" in provenance.get("weights", "") else None
    try:
        fields = json.loads(text)
        x, y = (float(number) for number in fields["focal"])
        rig = TrainingRig((x, y), float(fields["height"]), float(fields["pitch_deg"]))
        if not (min(rig.focal) > 0 and np.isfinite((x, y, rig.height, rig.pitch_deg)).all()):
            raise ValueError("no camera has these numbers")
    except Exception as error:  # values of any type may stand anywhere
        raise InputError(
            "training_rig must hold focal (two numbers > 0), height and pitch_deg, all finite, "
            f"got {text}"
        ) from error
    return rig


def field_of_view(pinhole: PinholeCamera) -> tuple[float, float]:
    """Return the horizontal and the vertical field of view of a pinhole camera, degrees."""
    angles = []
    for axis, size in enumerate((pinhole.width, pinhole.height)):
        focal, center = pinhole.K[axis, axis], pinhole.K[axis, 2]
        edges = np.arctan([(center + 0.5) / focal, (size - 0.5 - center) / focal])
        angles.append(float(np.degrees(edges.sum())))
    return angles[0], angles[1]


def refuse_impossible(pinhole: PinholeCamera, model: str = "", coefficients: object = ()) -> None:
    """Refuse intrinsics that are impossible for a sensor of this size.

    Args:
        pinhole: Intrinsics and size of the full sensor, before any region of interest.
        model: Distortion model, as for `distortion`.
        coefficients: Its coefficients.

    Raises:
        InputError: If the image is too large, a focal length is absurd, the principal point lies
            outside the image, or the field of view is wider than a lens of that model can have.
    """
    width, height = pinhole.width, pinhole.height
    check_image_size(width, height, "camera")
    (fx, fy), (cx, cy) = pinhole.K.diagonal()[:2], pinhole.K[:2, 2]
    low, high = FOCAL_LENGTHS
    if not (low <= fx <= high and low <= fy <= high):
        raise InputError(
            f"the focal lengths must be in {low:g} to {high:g} px, got fx {fx:g}, fy {fy:g}"
        )
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5):
        raise InputError(
            f"the principal point must lie in the image of {width} x {height} px, got "
            f"({cx:g}, {cy:g}): the calibration is that of another size, or not in pixels"
        )
    lens = distortion(model, coefficients).model
    if lens == MEI:
        return
    if lens == EQUIDISTANT:
        widest, seen = _WIDEST_FISHEYE, (np.degrees(width / fx), np.degrees(height / fy))
    else:
        # As if the principal point were in the middle: normalised intrinsics have it in a corner.
        widest = _WIDEST
        halves = np.degrees(np.arctan([width / fx / 2, height / fy / 2]))
        seen = (2 * halves[0], 2 * halves[1])
    if max(seen) >= widest:
        raise InputError(
            f"the focal lengths must be in pixels of the image of {width} x {height} px, got "
            f"fx {fx:g}, fy {fy:g}: the field of view would be {seen[0]:.1f} x {seen[1]:.1f} "
            f"degrees, and that of a lens of this kind is less than {widest:g}"
        )


def camera_from_intrinsics(
    intrinsics: tuple[float, float, float, float], width: int, height: int
) -> CalibratedCamera:
    """Return the camera of undistorted images.

    Args:
        intrinsics: fx, fy, cx, cy, pixels.
        width: Columns of the images.
        height: Rows of them.

    Raises:
        InputError: If they are impossible for images of this size.
    """
    pinhole = PinholeCamera.from_focal(*intrinsics, width, height)
    refuse_impossible(pinhole)
    return CalibratedCamera(pinhole)


def camera_warnings(
    camera: CalibratedCamera,
    picture: Picture,
    rig: TrainingRig | None,
    grid: VoxelGrid,
    T_grid_cam: np.ndarray | None,
) -> dict[str, str]:
    """Return warnings about a camera's calibration and its difference from training, by kind.

    Args:
        camera: The camera as it was calibrated.
        picture: The network input image of one of its images.
        rig: The camera that the network was trained on, or None.
        grid: The grid.
        T_grid_cam: As for `training_warnings`.
    """
    warnings = calibration_warnings(camera)
    if picture.kept < _MUCH_KEPT:
        warnings["cropping"] = (
            f"the network sees {100 * picture.kept:.0f} % of each image: the rest is cut off by "
            "its aspect ratio (fit) or by undistortion"
        )
    if rig is not None:
        warnings |= training_warnings(rig, picture.camera, grid, T_grid_cam)
    return warnings


def calibration_warnings(camera: CalibratedCamera) -> dict[str, str]:
    """Return warnings about a suspicious calibration, one sentence by kind."""
    pinhole = camera.pinhole
    size, center = np.array([pinhole.width, pinhole.height]), pinhole.K[:2, 2]
    (fx, fy), (width, height) = pinhole.K.diagonal()[:2], size
    seen = field_of_view(pinhole)
    view = f"with it the field of view is {seen[0]:.0f} x {seen[1]:.0f} degrees"
    warnings = {}
    if (np.abs(center - (size - 1) / 2) > _OFF_CENTER * size).any():
        warnings["principal point"] = (
            f"the principal point ({center[0]:g}, {center[1]:g}) lies far from the middle of the "
            f"image of {width} x {height} px; {view}: is the calibration for images of this size?"
        )
    if not 1 / _OTHER_ASPECT < fx / fy < _OTHER_ASPECT:
        warnings["aspect"] = (
            f"the focal lengths fx {fx:g} and fy {fy:g} px differ by a factor of "
            f"{max(fx / fy, fy / fx):.2f}; {view}: is the calibration for images of this size?"
        )
    low, high = _USUAL
    unbent = camera.distortion_model not in (EQUIDISTANT, MEI)
    if unbent and (max(seen) > high or seen[0] < low):
        warnings["field of view"] = (
            f"focal lengths of {fx:g} and {fy:g} px and images of {width} x {height} px have a "
            f"field of view of {seen[0]:.0f} x {seen[1]:.0f} degrees, which is unusual: is the "
            "calibration for images of this size?"
        )
    return warnings


def training_warnings(
    rig: TrainingRig, camera: PinholeCamera, grid: VoxelGrid, T_grid_cam: np.ndarray | None
) -> dict[str, str]:
    """Return warnings about differences from the trained camera, one sentence by kind.

    Height and pitch are checked only if the z axis of the grid's frame points up, not where the
    camera looks along it, as in an optical frame.

    Args:
        rig: The trained camera.
        camera: Camera of the network input image.
        grid: The grid.
        T_grid_cam: (4, 4) camera pose in the grid's frame, metres; None: in the optical frame.
    """
    warnings = {}
    ratio = np.array([camera.K_norm[0, 0], camera.K_norm[1, 1]]) / rig.focal
    if not ((1 / _FOCAL_FACTOR < ratio) & (ratio < _FOCAL_FACTOR)).all():
        seen = field_of_view(camera)
        known = [np.degrees(2 * np.arctan(1 / focal)) for focal in rig.focal]
        warnings["trained focal length"] = (
            f"the field of view of the network input image is {seen[0]:.0f} x {seen[1]:.0f} "
            f"degrees, but the weights were trained on about {known[0]:.0f} x {known[1]:.0f}: "
            "distances may be wrong"
        )
    if T_grid_cam is None or T_grid_cam[2, 2] > np.sqrt(0.5):
        return warnings
    height = T_grid_cam[2, 3] - grid.origin[2]
    if not rig.height * _HEIGHTS[0] <= height <= rig.height * _HEIGHTS[1]:
        warnings["trained height"] = (
            f"the camera is {height:.2f} m above the floor of the grid, but the weights were "
            f"trained {rig.height:g} m above the road"
        )
    pitch = pitch_down_deg(T_grid_cam)
    if abs(pitch - rig.pitch_deg) > _PITCH_DEG:
        warnings["trained pitch"] = (
            f"the camera looks {pitch:.1f} degrees down, but the weights were trained at "
            f"{rig.pitch_deg:g}"
        )
    return warnings


def pitch_down_deg(T_grid_cam: np.ndarray) -> float:
    """Return how far a camera looks below the horizon of a grid whose z points up, degrees."""
    return float(np.degrees(np.arcsin(np.clip(-T_grid_cam[2, 2], -1, 1))))
