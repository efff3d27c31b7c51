# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts semantic scene completion on SSCBench-KITTI-360, frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import files_digest
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.settings import SscSettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.baselines import ConstantGrid
from scenedino_ros.evaluation.ssc.data import SscBench
from scenedino_ros.evaluation.ssc.prediction import PredictionFiles, SscPrediction, predict
from scenedino_ros.evaluation.ssc.scores import count_frame, semantic_counts
from scenedino_ros.evaluation.voxel_panel import class_voxels, occupied_voxels, voxel_panel
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor

_BASELINE_FRAMES = 200  # most frames that the constant grid is made of


@dataclass(frozen=True)
class SscEvaluation:
    """One network on one split.

    Attributes:
        data: The data set.
        network: The network.
        choices: What is scored, and how.
        baseline: Frames of other drives that a constant grid is made of, or None.
    """

    data: SscBench
    network: NetworkChoice
    choices: SscSettings = SscSettings()
    baseline: SscBench | None = None

    kind = "ssc"
    title = "Semantic scene completion"
    unit = "frame"

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Densities from which a voxel is occupied, 1/m; the first is the main one."""
        return self.choices.thresholds or (self.network.density_threshold,)

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on; not the matching, which is made of them."""
        return {
            "data": self.dataset,
            "network": self.network.settings(),
            "refinement": self.choices.refinement,
            "thresholds": list(self.thresholds),
            "baseline": self.baseline.name if self.baseline else None,
            "baseline_files": self._baseline_digest,
        }

    def items(self) -> list[str]:
        """Return the names of the frames, ``SEQUENCE/NNNNNN``."""
        return self.data.frames[:: self.choices.every]

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of a frame."""
        return self.data.files(item)

    def unnamed(self) -> dict[str, str]:
        """Return the frames that the split lacks without a file that names them."""
        return self.data.unknown_frames() if self.choices.every == 1 else {}

    def open(self, watch: Stopwatch) -> "SscWork":
        """Open predictions and baseline; the network is built when it is needed."""
        return SscWork(self, watch)

    @property
    def dataset(self) -> str:
        """Name of the data."""
        every = self.choices.every
        return self.data.name + (f", one frame in {every}" if every > 1 else "")

    @property
    def is_benchmark(self) -> bool:
        """Whether the published tables are about the same frames."""
        return self.data.is_benchmark and self.choices.every == 1

    @cached_property
    def has_semantics(self) -> bool:
        """Whether the network names classes; without them geometry alone is scored."""
        return self.network.config.has_semantics

    def baselines(self) -> dict[str, str]:
        """Return the grids behind ``baselines`` in the counts, in their order: keys and names."""
        if self.baseline is None:
            return {}
        names = {"constant": f"constant grid of {self.baseline.name}, class by height"}
        if self.has_semantics:
            names["class_by_height"] = "network's occupancy, class by height"
        return names

    def prediction_files(self) -> PredictionFiles | None:
        """Open the folder of predictions, if there is to be one."""
        if self.choices.predictions is None:
            return None
        settings = {**self.network.settings(), "refinement": self.choices.refinement}
        lowest = min(self.thresholds)
        folder = self.choices.predictions
        return PredictionFiles(folder, {**settings, "lowest": lowest}, self._image_digests)

    @cached_property
    def _image_digests(self) -> dict[str, str]:
        """What the prediction of each frame depends on beside the settings: its image."""
        return {frame: files_digest(self.data.image_files(frame)) for frame in self.items()}

    @cached_property
    def _baseline_frames(self) -> list[str]:
        """The frames that the constant grid is made of, spread over the baseline."""
        frames = self.baseline.frames if self.baseline else []
        return frames[:: max(1, -(-len(frames) // _BASELINE_FRAMES))]

    @cached_property
    def _baseline_digest(self) -> str | None:
        data = self.baseline
        if data is None:
            return None
        return files_digest(path for f in self._baseline_frames for path in data.label_paths(f))

    def constant_grid(self) -> ConstantGrid | None:
        """Return the constant grid of the baseline's frames, if there is to be one.

        Raises:
            InputError: If none of them can be read, or they are those that are scored.
        """
        data = self.baseline
        if data is None:
            return None
        if (data.root.resolve(), data.split) == (self.data.root.resolve(), self.data.split):
            raise InputError(f"the baseline must be made of other frames than {self.data.name}")
        grid = ConstantGrid()
        for frame in self._baseline_frames:
            try:
                grid.add(data.target(frame))
            except InputError:
                continue  # one of many: it is enough that some can be read
        if not grid.frequency.frames:
            raise InputError(f"no label file of {data.name} in {data.root} can be read")
        return grid


class SscPredictor:
    """Predictions of frames: from their folder, or from the network, which then is built."""

    def __init__(self, evaluation: SscEvaluation, watch: Stopwatch) -> None:
        """Open the folder; the network waits until a prediction is not there."""
        self._evaluation, self._watch = evaluation, watch
        self._files = evaluation.prediction_files()
        self.view = ssc.view_mask()

    @cached_property
    def _network(self) -> Predictor:
        return self._evaluation.network.predictor()

    def __call__(self, frame: str) -> SscPrediction:
        """Return the prediction of a frame.

        Raises:
            InputError: If the image, or the file of the prediction, is missing or damaged.
        """
        stored = self._files.read(frame) if self._files else None
        if stored is not None:
            return stored
        with self._watch.pausing():
            network = self._network
        evaluation = self._evaluation
        with self._watch.predicting():
            rgb = evaluation.data.image(frame)
            prediction = predict(
                network,
                rgb,
                self.view,
                evaluation.choices.refinement,
                min(evaluation.thresholds),
                stretched=evaluation.data.is_preprocessed(frame),
            )
            if self._files:
                self._files.write(frame, prediction)
        return prediction


class SscWork:
    """Counts and draws frames; holds what is made once."""

    def __init__(self, evaluation: SscEvaluation, watch: Stopwatch) -> None:
        """Open predictions and baseline."""
        self._evaluation = evaluation
        self._predict = SscPredictor(evaluation, watch)
        self._classes = evaluation.network.classes
        self._constant: np.ndarray | None = None
        constant = evaluation.constant_grid()
        if constant:
            self._by_height = constant.class_of_height()
            self._constant = np.where(constant.occupied(), self._by_height, 0)

    def count(self, frame: str) -> Counts:
        """Count one frame.

        Returns:
            The arrays of `count_frame`; with a baseline also ``baselines`` (B, 3, 16, 16) int64,
            the confusion of each of the B `SscEvaluation.baselines` at the three ranges.

        Raises:
            InputError: If label or image are missing or damaged.
        """
        target = self._evaluation.data.target(frame)  # first: without it nothing is predicted
        prediction, view = self._predict(frame), self._predict.view
        thresholds = self._evaluation.thresholds
        counts = count_frame(target, prediction, view, self._classes, thresholds)
        if self._constant is not None:
            grids = [self._constant]
            if self._evaluation.has_semantics:
                occupied = prediction.density >= thresholds[0]
                grids.append(np.where(occupied, self._by_height, 0))
            counts["baselines"] = semantic_counts(target, grids, view)
        return counts

    def panel(self, frame: str) -> np.ndarray:
        """Return a picture of a frame: input, prediction and ground truth.

        Raises:
            InputError: If label or image are missing or damaged.
        """
        evaluation, view = self._evaluation, self._predict.view
        prediction, rgb = self._predict(frame), evaluation.data.image(frame)
        target, threshold = evaluation.data.target(frame), evaluation.thresholds[0]
        if evaluation.has_semantics:
            label, density = prediction.label, prediction.density
            grid = ssc.evaluated_prediction(label, density, self._classes, threshold)
            found = class_voxels(grid, view)
        else:
            found = occupied_voxels(view & (prediction.density >= threshold))
        return voxel_panel(
            rgb,
            found,
            class_voxels(target, view),
            title=frame,
            weights=evaluation.network.describe(),
        )
