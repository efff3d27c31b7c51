# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Predictions for frames of SSCBench-KITTI-360, before any threshold, and their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import replacing
from scenedino_ros.core.reading import read_arrays, reading
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.evaluation.run_folder import begin_predictions, check_files
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage

LOWEST_DENSITY = 1e-3  # 1/m; anything below is stored as 0


@dataclass(frozen=True, eq=False)
class SscPrediction:
    """What a network predicts for the voxels that are scored.

    Attributes:
        label: (256, 256, 32) uint8 class ids; 0 where `density` is below the lowest threshold,
            and everywhere if the network has no semantic head.
        density: (256, 256, 32) float32 grown densities, 1/m; 0 where not scored.
    """

    label: np.ndarray
    density: np.ndarray


def predict(
    predictor: Predictor,
    rgb: np.ndarray,
    view: np.ndarray,
    refinement: int,
    lowest: float,
    *,
    stretched: bool = False,
) -> SscPrediction:
    """Predict one frame by the rules of the benchmark.

    Args:
        predictor: The network.
        rgb: (h, w, 3) uint8 image of the benchmark's camera, 1408 x 376 pixels or scaled.
        view: (256, 256, 32) bool, the voxels that are scored.
        refinement: Samples along each edge of a voxel.
        lowest: Smallest threshold that will be scored, 1/m; only voxels that reach it get classes.
        stretched: Whether the image is the whole view of the camera in another aspect ratio.

    Raises:
        InputError: If the image has another aspect ratio and is not stretched.
    """
    encoded = predictor.encode(rgb, camera_of(rgb, stretched=stretched))
    density = np.zeros(ssc.GRID.shape, np.float32)
    for offset in sample_offsets(refinement):
        samples = predictor.densities(encoded, _shifted(offset), ssc.T_VELO_CAM)
        np.maximum(density, samples, out=density)
    density = ssc.grow_densities(density)
    density[~view | (density < LOWEST_DENSITY)] = 0
    chosen = np.flatnonzero(density >= lowest)
    label = np.zeros(ssc.GRID.size, np.uint8)
    if predictor.config.has_semantics:
        label[chosen] = _labels(predictor, encoded, chosen, refinement)
    return SscPrediction(label.reshape(ssc.GRID.shape), density)


def camera_of(rgb: np.ndarray, *, stretched: bool = False) -> CalibratedCamera:
    """Return the benchmark's camera for an image of its own or of a scaled size.

    Raises:
        InputError: If the image has another aspect ratio and is not stretched.
    """
    height, width = rgb.shape[:2]
    rows = width * ssc.CAMERA.height / ssc.CAMERA.width  # rounded to whole ones, in small images
    if not stretched and abs(height - rows) > max(0.5, 0.01 * rows):
        raise InputError(
            f"images must be {ssc.CAMERA.width} x {ssc.CAMERA.height} px or scaled, "
            f"got {width} x {height}"
        )
    return CalibratedCamera(ssc.CAMERA.resized(width, height))


def sample_offsets(refinement: int) -> np.ndarray:
    """Return the (r^3, 3) positions of a voxel's samples from its centre, metres, z fastest."""
    steps = ((np.arange(refinement) + 0.5) / refinement - 0.5) * ssc.GRID.voxel_size
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)


def _shifted(offset: np.ndarray) -> VoxelGrid:
    x, y, z = (np.asarray(ssc.GRID.origin) + offset).tolist()
    return VoxelGrid((x, y, z), ssc.GRID.shape, ssc.GRID.voxel_size)


def _labels(
    predictor: Predictor, encoded: EncodedImage, chosen: np.ndarray, refinement: int
) -> np.ndarray:
    """Return the (N,) class ids of voxels given by their flat index."""
    index = np.stack(np.unravel_index(chosen, ssc.GRID.shape), axis=-1)
    T_cam_grid = np.linalg.inv(ssc.T_VELO_CAM)
    densities, labels = [], []
    for offset in sample_offsets(refinement):
        origin = np.asarray(_shifted(offset).origin, np.float32)
        centers = origin + np.float32(ssc.GRID.voxel_size) * (index.astype(np.float32) + 0.5)
        points = centers.astype(np.float64) @ T_cam_grid[:3, :3].T + T_cam_grid[:3, 3]
        density, label = predictor.at_points(encoded, points.astype(np.float32))
        densities.append(density)
        labels.append(label)
    spacing = ssc.GRID.voxel_size / refinement
    return ssc.combine_samples(np.stack(labels, axis=1), np.stack(densities, axis=1), spacing)[0]


class PredictionFiles:
    """A folder of predictions, written once and scored many times, a file per frame.

    ``predictions.json`` holds the settings they were made with, ``files.json`` the state of the
    images; ``SEQUENCE/NNNNNN.npz`` holds ``label`` and ``density`` as in `SscPrediction`, about
    5 MB.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], digests: Mapping[str, str]
    ) -> None:
        """Open or begin a folder.

        Args:
            path: The folder.
            settings: What predictions depend on, and ``lowest``, the density from which there
                are classes.
            digests: The `files_digest` of the image of each frame that will be asked for.

        Raises:
            InputError: If the folder's predictions were made with other settings, or of other
                images.
        """
        self.path = Path(path)
        current, stored = begin_predictions(self.path, settings)
        lowest = stored.pop("lowest", np.inf)
        if current.pop("lowest") < lowest:
            raise InputError(
                f"{path} has classes from density {lowest:g} on; give no lower threshold, or "
                "another folder"
            )
        different = [key for key in {**stored, **current} if stored.get(key) != current.get(key)]
        if different:
            raise InputError(
                f"{path} holds predictions with another {', '.join(different)}; "
                "give another folder"
            )
        check_files(self.path, lambda frame: self._file(frame).exists(), digests)

    def read(self, frame: str) -> SscPrediction | None:
        """Return the prediction of a frame, or None if there is none yet.

        Raises:
            InputError: If its file is damaged.
        """
        path = self._file(frame)
        if not path.exists():
            return None
        with reading(f"prediction {path}"):
            data = read_arrays(path)
            prediction = SscPrediction(data["label"], data["density"])
        for name, grid in (("label", prediction.label), ("density", prediction.density)):
            if grid.shape != ssc.GRID.shape:
                raise InputError(
                    f"prediction {path} must have a {name} grid of {ssc.GRID.shape}, "
                    f"got {grid.shape}"
                )
        return prediction

    def write(self, frame: str, prediction: SscPrediction) -> None:
        """Keep the prediction of a frame; its file is whole or not there."""
        path = self._file(frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, label=prediction.label, density=prediction.density)

    def _file(self, frame: str) -> Path:
        return self.path / f"{frame}.npz"
