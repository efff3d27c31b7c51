# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How far the voxels and depths of int8 are from those of float32, on images of a camera."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image_folder import image_files, read_rgb
from scenedino_ros.cameras.plausibility import KITTI_360, TrainingRig, training_rig
from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import replacing_folder
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.metrics import class_iou, confusion_matrix, geometry_scores
from scenedino_ros.core.reporting import Report
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.inference.engines.engine import Engine
from scenedino_ros.inference.engines.int8_graph import Agreement, write_int8, write_int8_card
from scenedino_ros.inference.engines.openvino_engine import OpenVinoEngine
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.network.model import SceneDino

# Images that are compared at most, and at least: fewer do not show what occurs.
MOST_IMAGES, LEAST_IMAGES = 32, 8
# Fraction of the occupied voxels from which on a class counts: the IoU of a few voxels is noise.
LEAST_FRACTION = 0.001

_GRID = GRID_PRESETS["camera"]
_RENDERED = 4  # one ray for so many rows and columns


def compared_images(folder: Path) -> list[Path]:
    """Return the images of a folder that are compared, evenly spaced.

    Raises:
        InputError: If there are too few.
    """
    files = image_files(folder)
    if len(files) < LEAST_IMAGES:
        raise InputError(
            f"comparing int8 needs at least {LEAST_IMAGES} images, got {len(files)} in {folder}"
        )
    count = min(MOST_IMAGES, len(files))
    return [files[number] for number in np.linspace(0, len(files) - 1, count).round().astype(int)]


def export_int8(
    checkpoint: Checkpoint,
    mode: str,
    images: Path,
    folder: Path,
    identity: str,
    report: Report,
) -> dict[str, Any]:
    """Write the image part of a network in int8, and compare it with float32.

    Args:
        checkpoint: The network.
        mode: Which head names the classes.
        images: Folder of images of the user's camera.
        folder: Folder to create; an existing one is replaced.
        identity: The network's fingerprint.
        report: Receives a few words on each long step.

    Returns:
        The card written beside the graph.

    Raises:
        InputError: If there are too few images, or one cannot be read.
    """
    compared = compared_images(images)
    rig = training_rig(checkpoint.provenance) or KITTI_360
    with replacing_folder(folder) as partial:
        write_int8(build_model(checkpoint), mode, partial)
        report(f"comparing int8 with float32 on {len(compared)} images")
        agreement = _agreement(checkpoint, mode, partial, compared, rig)
        return write_int8_card(partial, checkpoint.config, mode, identity, agreement)


def _stand_in(rig: TrainingRig, rgb: np.ndarray) -> CalibratedCamera:
    """Return a camera for an image whose own is unknown: square pixels, the trained focal length.

    Both networks see through the same camera, so that any plausible one serves the comparison.
    """
    height, width = rgb.shape[:2]
    focal = rig.focal[0] * width / 2
    pinhole = PinholeCamera.from_focal(
        focal, focal, (width - 1) / 2, (height - 1) / 2, width, height
    )
    return CalibratedCamera(pinhole)


def _agreement(
    checkpoint: Checkpoint, mode: str, folder: Path, images: Sequence[Path], rig: TrainingRig
) -> Agreement:
    """Compare int8 with float32 on the ``camera`` grid."""

    def in_int8(model: SceneDino, device: torch.device, precision: str, mode: str) -> Engine:
        return OpenVinoEngine(model, device, "int8", mode, folder)

    float32 = Predictor(checkpoint, device="cpu", mode=mode)
    int8 = Predictor(checkpoint, device="cpu", mode=mode, make_engine=in_int8)
    size = len(checkpoint.classes.names) + 1
    confusion = np.zeros((size, size), np.int64)
    differences: list[np.ndarray] = []
    for path in images:
        rgb = read_rgb(path)
        camera = _stand_in(rig, rgb)
        (grid, depth), (grid8, depth8) = (_seen(p, rgb, camera) for p in (float32, int8))
        confusion += confusion_matrix(grid, grid8, size)
        both = np.isfinite(depth) & np.isfinite(depth8)
        differences.append(np.abs(depth8 - depth)[both] / depth[both])
    return Agreement(
        len(images),
        geometry_scores(confusion).iou,
        miou(confusion),
        float(np.concatenate(differences).mean()),
    )


def _seen(
    predictor: Predictor, rgb: np.ndarray, camera: CalibratedCamera
) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of the grid's voxels from 1 on, 0 where they are free, and depths."""
    encoded = predictor.encode(rgb, camera)
    voxels = predictor.voxels(encoded, _GRID)
    grid = np.zeros(_GRID.size, np.int64)
    grid[voxels.index] = np.where(voxels.label == IGNORE, 0, voxels.label).astype(np.int64) + 1
    depth = predictor.render(encoded, downscale=_RENDERED).depth
    assert depth is not None
    return grid, depth


def miou(confusion: np.ndarray) -> float:
    """Return the mean IoU of the classes of occupied voxels, except for those that are rare.

    Args:
        confusion: (L, L) counts of float32 (rows) and int8, class 0 for free voxels.

    Returns:
        The mean; NaN where no voxel is occupied.
    """
    counts = confusion[1:].sum(axis=1)
    if not counts.any():
        return float("nan")
    return float(class_iou(confusion)[1:][counts >= LEAST_FRACTION * counts.sum()].mean())
