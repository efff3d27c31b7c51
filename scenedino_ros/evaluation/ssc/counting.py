"""Scores semantic scene completion on SSCBench-KITTI-360, frame by frame."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.result import RunResult
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.baselines import ConstantGrid
from scenedino_ros.evaluation.ssc.data import SscBench
from scenedino_ros.evaluation.ssc.prediction import PredictionFiles, SscPrediction, predict
from scenedino_ros.evaluation.ssc.report import ssc_result
from scenedino_ros.evaluation.ssc.scores import count_frame, semantic_counts
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor

_BASELINE_FRAMES = 200  # most frames that the constant grid is made of


@dataclass(frozen=True)
class SscEvaluation:
    """One network on one split.

    Attributes:
        data: The data set.
        network: What predicts.
        thresholds: Densities from which a voxel is occupied, 1/m; the first is the main one.
        refinement: Samples along each edge of a voxel.
        keep_empty: Whether the matching leaves empty voxels empty.
        predictions: Folder of predictions, read where it has them and written where not, or None.
        baseline: Frames of other drives that a constant grid is made of, or None.
        every: Score only every so manieth frame of the split.
        panels: How many frames are shown as pictures.
    """

    data: SscBench
    network: NetworkChoice
    thresholds: tuple[float, ...] = (ssc.DENSITY_THRESHOLD,)
    refinement: int = 1
    keep_empty: bool = False
    predictions: Path | None = None
    baseline: SscBench | None = None
    every: int = 1
    panels: int = 4

    kind = "ssc"

    def settings(self) -> dict[str, object]:
        """Return all that the counts depend on; not the matching, which is made from them."""
        return {
            "data": self.dataset,
            "network": self.network.settings(),
            "refinement": self.refinement,
            "thresholds": list(self.thresholds),
            "baseline": self.baseline.name if self.baseline else None,
        }

    def items(self) -> list[str]:
        """Return the names of the frames, ``SEQUENCE/NNNNNN``."""
        return self.data.frames[:: self.every]

    def open(self, watch: Stopwatch) -> Callable[[str], Counts]:
        """Return the function that counts one frame."""
        return _Counter(self, watch)

    def summarise(self, folder: RunFolder, tell: Callable[[str], None]) -> RunResult:
        """Return tables, plots and panels of the frames that are done."""
        return ssc_result(self, folder, tell)

    @property
    def dataset(self) -> str:
        """What is evaluated on, in words."""
        part = f", one frame in {self.every}" if self.every > 1 else ""
        return self.data.name + part

    @property
    def is_benchmark(self) -> bool:
        """Whether the published tables are about the same frames."""
        return self.data.is_benchmark and self.every == 1

    @cached_property
    def has_semantics(self) -> bool:
        """Whether the network names classes; without them geometry alone is scored."""
        return self.network.config.has_semantics

    def rows(self) -> list[str]:
        """Return the names of the grids behind ``baselines`` in the counts."""
        if self.baseline is None:
            return []
        names = [f"constant grid of {self.baseline.name}, class by height"]
        return [*names, "network's occupancy, class by height"] if self.has_semantics else names

    def predictor(self, watch: Stopwatch) -> "SscPredictor":
        """Return what predicts frames, or reads predictions."""
        return SscPredictor(self, watch)

    def prediction_files(self) -> PredictionFiles | None:
        """Open the folder of predictions, if there is to be one."""
        if self.predictions is None:
            return None
        settings = {**self.network.settings(), "refinement": self.refinement}
        return PredictionFiles(self.predictions, {**settings, "lowest": min(self.thresholds)})

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
        for frame in data.frames[:: max(1, -(-len(data.frames) // _BASELINE_FRAMES))]:
            try:
                grid.add(data.target(frame))
            except InputError:
                continue  # one of many; what matters is that some can be read
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
                evaluation.refinement,
                min(evaluation.thresholds),
                stretched=evaluation.data.is_preprocessed(frame),
            )
            if self._files:
                self._files.write(frame, prediction)
        return prediction


class _Counter:
    """Counts frames; holds what is made once."""

    def __init__(self, evaluation: SscEvaluation, watch: Stopwatch) -> None:
        self._evaluation = evaluation
        self._predict = evaluation.predictor(watch)
        self._classes = evaluation.network.classes
        self._constant: np.ndarray | None = None
        constant = evaluation.constant_grid()
        if constant:
            self._by_height = constant.class_of_height()
            self._constant = np.where(constant.occupied(), self._by_height, 0)

    def __call__(self, frame: str) -> Counts:
        """Count one frame, see `count_frame`.

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
