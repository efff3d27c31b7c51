"""Calibration files: those of camera_calibration, and CameraInfo as ros2 topic echo prints it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from scenedino_ros.core.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.ros.from_msg import camera_from_info

# Fields of sensor_msgs/CameraInfo, and what the calibration tools call them.
_SIZES = {"width": "image_width", "height": "image_height"}
_MATRICES = {"k": "camera_matrix", "d": "distortion_coefficients", "p": "projection_matrix"}
_REGION = ("x_offset", "y_offset", "width", "height")


def camera_from_yaml(path: Path, *, rectified: bool) -> CalibratedCamera:
    """Read a calibration file.

    Args:
        path: YAML as camera_calibration writes it (``image_width``, ``camera_matrix``, ...), or
            one message as ``ros2 topic echo --once`` prints it (``width``, ``k``, ...).
        rectified: Whether the images are rectified: take P and no distortion instead of K and D.

    Returns:
        The camera of the images, after region of interest and binning where they are stated.

    Raises:
        InputError: If the file cannot be read, lacks a field, or is no usable calibration.
    """
    try:
        # ros2 topic echo ends a message with '---': only the first document counts.
        fields = next(iter(yaml.safe_load_all(path.read_text(encoding="utf-8"))), None)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"calibration file {path} cannot be read: {reason}") from error
    if not isinstance(fields, dict):
        raise InputError(f"calibration file {path} must hold fields such as camera_matrix")
    try:
        return camera_from_info(_info(fields, rectified=rectified), rectified=rectified)
    except (InputError, ValueError, TypeError) as error:
        raise InputError(f"calibration file {path}: {error}") from error


def _info(fields: dict[str, Any], *, rectified: bool) -> SimpleNamespace:
    """Return the fields under the names of sensor_msgs/CameraInfo."""
    info = SimpleNamespace(
        distortion_model=fields.get("distortion_model") or "",
        binning_x=fields.get("binning_x", 0),
        binning_y=fields.get("binning_y", 0),
        k=[],
        d=[],
        p=[],
    )
    region = fields.get("roi") or {}
    info.roi = SimpleNamespace(**{name: region.get(name, 0) for name in _REGION})
    for name, long_name in _SIZES.items():
        setattr(info, name, _field(fields, name, long_name))
    for name in ("p",) if rectified else ("k", "d"):
        optional = name == "d" and not info.distortion_model
        value = _field(fields, name, _MATRICES[name], optional=optional)
        setattr(info, name, value["data"] if isinstance(value, dict) else value)
    return info


def _field(fields: dict[str, Any], name: str, long_name: str, *, optional: bool = False) -> Any:
    for key in (long_name, name):
        value = fields.get(key)
        if isinstance(value, dict) and "data" not in value:
            raise InputError(f"{key} must have data, got {', '.join(map(str, value))}")
        if value is not None:
            return value
    if optional:
        return []
    raise InputError(f"{long_name} is missing")
