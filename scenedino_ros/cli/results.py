# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Folders of results: how they are named, written atomically, and recognised later."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import replacing_folder
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.reading import read_arrays
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.inference.query import EncodedImage, RenderedView
from scenedino_ros.viewing.pictures import color_depth, color_labels, panel, write_png
from scenedino_ros.viewing.voxel_files import OPTICAL_AXES, write_npz, write_ply

VOXEL_FILE = "voxels.npz"
_BODY_AXES = "those of the frame that --camera-pose is given in; x forward, y left, z up by habit"
# What the NPZ file holds beside the voxels.
_ABOUT = {
    "settings": "() text: what the result was made with, as JSON",
    "K": "(3, 3) float64: intrinsics of the image as it was taken, with its skew, pixels",
    "D": "(n,) float64: its distortion coefficients",
    "distortion_model": "() text: what they mean, as in a CameraInfo",
    "image_size": "(2,) int64: rows and columns of the image as it was taken",
    "T_grid_cam": "(4, 4) float64: camera (optical frame: x right, y down, z forward) to grid "
    "frame, metres; the identity where the grid lies in the optical frame",
    "rendered_depth": "(h, w) float32: depth along the optical axis, metres, from the density "
    "field, +Inf where a ray meets no surface; no threshold is involved",
    "rendered_label": "(h, w) uint8: class of each pixel; 255: the network names no classes",
    "rendered_K": "(3, 3) float64: intrinsics of the two rendered images, pixels",
}


@dataclass(frozen=True, eq=False)
class Prediction:
    """The result of one image.

    Attributes:
        rgb: (h, w, 3) uint8, the image as it was taken.
        camera: Calibration of the image as it was taken.
        encoded: The network input image and its camera.
        voxels: Occupied voxels of the grid.
        view: The field rendered into the camera.
        T_grid_cam: (4, 4) camera pose in the grid's frame; None: the grid is the camera's.
        pictures: Further (H, W, 3) uint8 RGB pictures by file name.
    """

    rgb: np.ndarray
    camera: CalibratedCamera
    encoded: EncodedImage
    voxels: SemanticVoxels
    view: RenderedView
    T_grid_cam: np.ndarray | None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


def result_folders(images: list[Path], output: Path) -> dict[Path, Path]:
    """Return the folder of each image's results: named like the image, without its suffix.

    Images whose names differ only in the suffix keep it, as in ``a_png`` and ``a_jpg``.

    Raises:
        InputError: If the results of two images would have one folder.
    """
    stems = [image.stem for image in images]
    folders = {
        image: output
        / (image.stem if stems.count(image.stem) == 1 else image.name.replace(".", "_"))
        for image in images
    }
    owners: dict[Path, Path] = {}
    for image, folder in folders.items():
        other = owners.setdefault(folder, image)
        if other is not image:
            raise InputError(
                f"the results of {other.name} and {image.name} would both be in {folder}; rename "
                "one of the images"
            )
    return folders


def why_not_finished(folder: Path, settings: dict[str, Any]) -> str:
    """Return in a sentence why a folder is not the finished result, empty if it is.

    Args:
        folder: An existing folder.
        settings: What a result would depend on now.
    """
    hint = "choose another --output, or --force to replace it"
    try:
        stored = dict(json.loads(str(read_arrays(folder / VOXEL_FILE)["settings"])))
    except Exception:  # whatever is damaged, it is no result
        return f"{folder} exists and is not a result of predict; {hint}"
    current = json.loads(json.dumps(settings))
    different = [key for key in current if stored.get(key) != current[key]]
    if not different:
        return ""
    return f"{folder} was made with another {', '.join(different)}; {hint}"


def write_results(
    folder: Path,
    prediction: Prediction,
    classes: ClassTable,
    *,
    title: str,
    weights: str,
    settings: dict[str, Any],
) -> None:
    """Write all files of one image; the folder appears, or is replaced, when they are complete.

    Args:
        folder: The image's folder.
        prediction: What was found.
        classes: Class table of voxels and rendered classes.
        title: Name of the image.
        weights: One sentence on the weights.
        settings: What the result depends on; stored to recognise it.
    """
    with replacing_folder(folder) as partial:
        _write_pictures(partial, prediction, classes, title, weights)
        axes = OPTICAL_AXES if prediction.T_grid_cam is None else _BODY_AXES
        write_ply(partial / "voxels.ply", prediction.voxels, classes, axes=axes)
        write_npz(
            partial / VOXEL_FILE,
            prediction.voxels,
            classes,
            weights=weights,
            about=_ABOUT,
            settings=np.array(json.dumps(settings)),
            **_arrays(prediction),
        )


def _write_pictures(
    folder: Path, prediction: Prediction, classes: ClassTable, title: str, weights: str
) -> None:
    view, rgb, camera = prediction.view, prediction.rgb, prediction.camera.pinhole
    assert view.depth is not None
    assert view.label is not None
    if prediction.camera.is_distorted:  # the part that is seen has no straight outline in it
        rgb, camera = prediction.encoded.rgb, prediction.encoded.camera
    write_png(folder / "input.png", prediction.encoded.rgb)
    write_png(folder / "depth.png", color_depth(view.depth))
    write_png(folder / "classes.png", color_labels(view.label, classes))
    drawing = panel(
        rgb,
        view,
        prediction.voxels,
        classes,
        T_grid_cam=prediction.T_grid_cam,
        camera=camera,
        title=title,
        weights=weights,
    )
    write_png(folder / "panel.png", drawing)
    for name, picture in prediction.pictures.items():
        write_png(folder / name, picture)


def _arrays(prediction: Prediction) -> dict[str, np.ndarray]:
    """Return what the NPZ file holds beside the voxels: cameras, pose and rendered images."""
    camera, view = prediction.camera, prediction.view
    assert view.depth is not None
    assert view.label is not None
    T_grid_cam = prediction.T_grid_cam
    return {
        "K": camera.K,
        "D": camera.D,
        "distortion_model": np.array(camera.distortion_model),
        "image_size": np.array([camera.pinhole.height, camera.pinhole.width]),
        "T_grid_cam": np.eye(4) if T_grid_cam is None else T_grid_cam,
        "rendered_depth": view.depth,
        "rendered_label": view.label,
        "rendered_K": view.camera.K,
    }
