# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts errors of rendered depth, frame by frame, beside baselines that look at no image."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.number_ranges import flat_ranges, ranges_text
from scenedino_ros.evaluation.depth.data import DepthData
from scenedino_ros.evaluation.depth.lidar_depth import pixel_directions
from scenedino_ros.evaluation.depth.scores import DEPTH_KEYS, SCALINGS, depth_scores
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.settings import DepthSettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import color_scale, nearest_values, spread, tile_rows
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.viewing.pictures import color_depth

QUANTITIES = ("axis", "ray")  # depth along the optical axis, distance along the ray
REGIONS = ("all", "above")  # all pixels with ground truth, those above the road
NAMES = {"model": "model", "road": "flat road", "mean": "mean depth image"}  # of predictors
BINS = (1.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 80.0)  # metres, of the error over distance
MEAN_FRAMES = 64  # most training frames that the mean depth image is made of
_MEAN_SIGMA = 2.0  # pixels over which it is smoothed


class DepthRow(NamedTuple):
    """A prediction as it is scored: a key of `NAMES`, and one of `SCALINGS`."""

    predictor: str
    scaling: str


@dataclass(frozen=True)
class DepthEvaluation:
    """Rendered depth, and a flat road and a mean depth image on the same pixels.

    Attributes:
        data: Images with ground truth.
        network: The network.
        choices: What is scored, and how.
    """

    data: DepthData
    network: NetworkChoice
    choices: DepthSettings = DepthSettings()

    kind = "depth"
    title = "Depth"
    unit = "frame"

    @property
    def dataset(self) -> str:
        """Name of the data."""
        return self.data.name

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on."""
        return {
            "data": self.data.settings(),
            "network": self.network.settings(),
            "train_frames": flat_ranges(self.choices.train_frames),
            "road": asdict(self.choices.road),
            "above": self.choices.above,
            "n_samples": self.choices.n_samples,
            "spacing": self.choices.spacing,
        }

    def items(self) -> list[str]:
        """Return the frames with ground truth.

        Raises:
            InputError: If none of them is a frame that training may have used, though some are
                named.
        """
        items = self.data.items()
        if self.choices.train_frames and not any(map(self.is_training, items)):
            raise InputError(
                "train_frames must name frames with ground truth, got "
                f"{ranges_text(self.choices.train_frames)}, "
                f"but there are {items[0]} to {items[-1]}"
            )
        return items

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of a frame."""
        return self.data.files(item)

    def unnamed(self) -> dict[str, str]:
        """Return nothing: every frame has a file that names it."""
        return {}

    def open(self, watch: Stopwatch) -> "DepthWork":
        """Build the network."""
        return DepthWork(self, watch)

    def is_training(self, item: str) -> bool:
        """Return whether a frame is among those that training may have used."""
        return int(item) in self.choices.train_frames

    def predictors(self) -> list[str]:
        """Return the keys of what predicts depth, in the order of the counts."""
        return ["model", "road", *(["mean"] if self.choices.train_frames else [])]

    def rows(self) -> list[DepthRow]:
        """Return what is scored, in the order of the counts; baselines need no scaling."""
        others = [DepthRow(name, "none") for name in self.predictors()[1:]]
        return [*(DepthRow("model", scaling) for scaling in SCALINGS), *others]


@dataclass(frozen=True, eq=False)
class _Depths:
    """One frame: image, its camera, ground truth, and z-depth by predictor, metres."""

    rgb: np.ndarray
    camera: PinholeCamera
    truth: np.ndarray
    predictions: dict[str, np.ndarray]


class DepthWork:
    """Counts and draws frames, in the process that holds the network."""

    def __init__(self, evaluation: DepthEvaluation, watch: Stopwatch) -> None:
        """Build the network."""
        self._evaluation, self._watch = evaluation, watch
        self._predictor: Predictor = evaluation.network.predictor()
        self._mean: np.ndarray | None = None

    def count(self, item: str) -> Counts:
        """Return the scores of a frame, which are summed over frames.

        Returns:
            ``pixels`` (R,) int64, how many have ground truth in each of the R `REGIONS`;
            ``scores`` (Q, R, N, 8) float64, for each of the Q `QUANTITIES`, of the regions and of
            the N `DepthEvaluation.rows`: the scores of `depth_scores`, and 1, or zeros where the
            frame has no such pixel; ``bins`` (P, 2, 8) float64, for each of the P predictors:
            sums of the relative error, and numbers of pixels, between the distances `BINS`.
        """
        depths = self._depths(item)
        choices, rows = self._evaluation.choices, self._evaluation.rows()
        high = choices.road.height_above(depths.camera, depths.truth) > choices.above
        truths = (depths.truth, np.where(high, depths.truth, 0))
        to_range = np.linalg.norm(pixel_directions(depths.camera), axis=-1)
        scores = [
            [
                [
                    _with_count(truth * f, depths.predictions[name] * f, scaling, f)
                    for name, scaling in rows
                ]
                for truth in truths
            ]
            for f in (1.0, to_range)
        ]
        predictions = (depths.predictions[name] for name in self._evaluation.predictors())
        return {
            "pixels": np.array([(truth > 0).sum() for truth in truths], np.int64),
            "scores": np.array(scores),
            "bins": np.stack([_error_by_distance(depths.truth, p) for p in predictions]),
        }

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of a frame: input, ground truth, each prediction with its error."""
        depths = self._depths(item)
        known = depths.truth > 0
        thick = np.nan_to_num(nearest_values(np.where(known, depths.truth, np.nan)))
        rows = [[("Input", depths.rgb), ("Ground truth", color_depth(thick))]]
        for key, prediction in depths.predictions.items():
            error = np.abs(prediction - depths.truth) / np.where(known, depths.truth, 1)
            picture = color_scale(
                nearest_values(np.where(known, error, np.nan)), (0.0, 0.5), "magma"
            )
            caption = f"Relative error of the {NAMES[key]}, 0 (black) to 0.5 and more (white)"
            rows.append(
                [(f"Depth of the {NAMES[key]}", color_depth(prediction)), (caption, picture)]
            )
        return tile_rows(f"Depth, frame {item}", rows, 640)

    def _depths(self, item: str) -> _Depths:
        choices, data = self._evaluation.choices, self._evaluation.data
        with self._watch.predicting():
            rgb, camera = data.image(item)
            encoded = self._predictor.encode(rgb, camera)
        truth = data.truth(item, encoded.camera)
        with self._watch.predicting():
            view = self._predictor.render(
                encoded, downscale=1, n_samples=choices.n_samples, spacing=choices.spacing
            )
        assert view.depth is not None
        predictions = {"model": view.depth, "road": choices.road.depth(encoded.camera)}
        if choices.train_frames:
            if self._mean is None:
                self._mean = self._mean_depth(encoded.camera)
            predictions["mean"] = self._mean
        return _Depths(encoded.rgb, encoded.camera, truth, predictions)

    def _mean_depth(self, camera: PinholeCamera) -> np.ndarray:
        items = [i for i in self._evaluation.items() if self._evaluation.is_training(i)]
        images = (self._evaluation.data.truth(i, camera) for i in spread(items, MEAN_FRAMES))
        return mean_depth_image(images, (camera.height, camera.width))


def mean_depth_image(images: Iterator[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Average depth images pixel by pixel, smooth, and fill the rest from the nearest pixel.

    Args:
        images: (h, w) z-depths, metres, 0 where unknown.
        size: (h, w).

    Returns:
        (h, w) float32 metres; 80 m everywhere if nothing is known.
    """
    total, count = np.zeros(size), np.zeros(size)
    for image in images:
        total += image
        count += image > 0
    if not count.any():
        return np.full(size, 80.0, dtype=np.float32)
    weight = gaussian_filter(count, _MEAN_SIGMA, truncate=3)
    mean = gaussian_filter(total, _MEAN_SIGMA, truncate=3) / np.maximum(weight, 1e-9)
    rows, columns = distance_transform_edt(
        weight < 1e-6, return_distances=False, return_indices=True
    )
    return mean[rows, columns].astype(np.float32)


def _with_count(
    truth: np.ndarray, prediction: np.ndarray, scaling: str, per_depth: np.ndarray | float
) -> np.ndarray:
    """Return the (8,) scores of a frame and the number of frames: 1, or 0 without a pixel."""
    scores = depth_scores(truth, prediction, scaling, per_depth)
    return np.zeros(len(DEPTH_KEYS) + 1) if scores is None else np.append(scores, 1.0)


def _error_by_distance(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return (2, bins) sums of the relative error and numbers of pixels, by z-depth."""
    known = truth > 0
    true = truth[known].astype(np.float64)
    error = np.abs(np.clip(prediction[known], 1e-3, 80.0) - true) / true
    counts, _ = np.histogram(true, BINS)
    sums, _ = np.histogram(true, BINS, weights=error)
    return np.stack([sums, counts.astype(np.float64)])
