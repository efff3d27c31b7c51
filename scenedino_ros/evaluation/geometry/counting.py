"""Scores predicted occupancy on a drive with occupancy grids, next to answers without an image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.metrics import geometry_scores
from scenedino_ros.evaluation.geometry.data import OccupancyDrive
from scenedino_ros.evaluation.result import Figure, RunResult, Table
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.baselines import Frequency, RoadPlane, fit_road, mean_road
from scenedino_ros.evaluation.ssc.ranges import (
    geometry_columns,
    geometry_row,
    range_confusions,
)
from scenedino_ros.evaluation.tiles import spread
from scenedino_ros.evaluation.voxel_panel import occupied_voxels, voxel_panel
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.viewing.pictures import write_png
from scenedino_ros.viewing.plots import bar_plot

_PANELS = 4
ABOVE_ROAD = 0.4  # metres; half of what a LiDAR hits is road, and a plane predicts that
BASELINES = (
    "everything occupied",
    "road plane, 0.2 m around it",
    "majority of the other frames",
    "smoothed frequency of the other frames",
)


@dataclass(frozen=True)
class GeometryEvaluation:
    """One network on one drive.

    Attributes:
        folder: The drive, see `geometry.data`.
        network: What predicts.
        thresholds: Densities from which a voxel counts as occupied, 1/m; each is a row.
        grow: Whether densities take the maximum of their 3x3x3 neighbourhood first.
        frames: Numbers of the frames to score; empty: all. The others' grids still count for the
            answers that look at no image.
    """

    folder: Path
    network: NetworkChoice
    thresholds: tuple[float, ...]
    grow: bool
    frames: tuple[int, ...] = ()

    kind = "geometry"

    @cached_property
    def drive(self) -> OccupancyDrive:
        """The drive on disk."""
        return OccupancyDrive(self.folder)

    def settings(self) -> dict[str, object]:
        """Return all that the counts depend on."""
        return {
            "drive": self.folder.resolve().name,
            **self.network.settings(),
            "thresholds": list(self.thresholds),
            "grow": self.grow,
            "frames": list(self.frames),
        }

    def items(self) -> list[str]:
        """Return the names of the frames to score.

        Raises:
            InputError: If one that is asked for has no grid.
        """
        names = {int(name): name for name in self.drive.frames()}
        without = sorted(set(self.frames) - set(names))
        if without:
            raise InputError(f"{self.folder} has no grid of frame {without[0]}")
        return [name for number, name in names.items() if not self.frames or number in self.frames]

    def open(self, watch: Stopwatch) -> Callable[[str], Counts]:
        """Return the function that counts one frame."""
        return _Counter(self, watch)

    def rows(self) -> list[str]:
        """Return what is scored, in the order of the counts."""
        grown = ", grown" if self.grow else ""
        return [f"network, density >= {t:g}{grown}" for t in self.thresholds] + list(BASELINES)

    def summarise(self, folder: RunFolder, tell: Callable[[str], None]) -> RunResult:
        """Return the tables: all known voxels in view, and those well above the road."""
        items, missing = self.items(), folder.missing(self.items())
        total = folder.total(items)
        tables = [
            Table(
                title,
                ["", *geometry_columns()],
                [
                    geometry_row(name, confusions)
                    for name, confusions in zip(self.rows(), total[key], strict=True)
                ],
            )
            for key, title in (
                ("all", "Known voxels in view, %"),
                ("above", f"Only those more than {ABOVE_ROAD} m above the road, %"),
            )
            if total
        ]
        return RunResult(
            kind=self.kind,
            title=f"Occupancy on {self.folder.resolve().name}",
            dataset=self.folder.resolve().name,
            checkpoint=self.network.describe(),
            settings=self.settings(),
            items=len(items),
            unit="frames",
            missing=missing,
            tables=tables,
            notes=_NOTES,
            figures=self._figures(folder, total) if total else [],
            counts=total,
        )

    def _figures(self, folder: RunFolder, total: Counts) -> list[Figure]:
        series = {
            name: [100 * geometry_scores(confusion).iou for confusion in confusions]
            for name, confusions in zip(self.rows(), total["all"], strict=True)
        }
        names = [f"{metres:g} m" for metres in ssc.RANGES]
        bar_plot(folder.path / "iou.png", names, series, unit="IoU of known voxels in view, %")
        figures = [Figure("iou.png", "IoU at the three ranges, with and without an image")]
        counter, drive = _Counter(self, Stopwatch()), self.drive
        for frame, _ in folder.counts(spread(self.items(), _PANELS)):
            drawing = voxel_panel(
                drive.image(frame),
                occupied_voxels(counter.view & (counter.predictions(frame)[0] > 0)),
                occupied_voxels(counter.view & (drive.grid(frame) == 1)),
                title=frame,
                weights=self.network.describe(),
            )
            write_png(folder.path / f"panel_{frame}.png", drawing)
            figures.append(
                Figure(f"panel_{frame}.png", f"Input, prediction and ground truth of {frame}")
            )
        return figures


_NOTES = (
    "Counts are summed over the frames before anything is divided. Voxels that are unknown, or "
    "whose centre the camera does not see, are not scored.",
    "The rows below the network look at no image. Majority and smoothed frequency are made of the "
    "grids of the other frames of the same drive, so they know its street: a network that does "
    "not beat them has shown little about seeing.",
    "What lies on the road plane is most of what is known; the second table leaves it out.",
)


class _Counter:
    """Counts frames; holds what is made once: network, view, and sums over all grids."""

    def __init__(self, evaluation: GeometryEvaluation, watch: Stopwatch) -> None:
        self._evaluation, self._drive, self._watch = evaluation, evaluation.drive, watch
        self._predictor: Predictor = evaluation.network.predictor()
        self.view = ssc.view_mask(ssc.GRID, self._drive.T_grid_cam, self._drive.camera.pinhole)
        self._frequency = Frequency()
        self._roads: dict[str, RoadPlane] = {}
        for frame in self._drive.frames():
            try:
                grid = self._drive.grid(frame)
                self._roads[frame] = fit_road(grid == 1)
            except InputError:
                continue  # said again, and kept, when this frame's turn comes
            self._frequency.add(grid)

    def __call__(self, frame: str) -> Counts:
        """Count one frame: (rows, 3, 2, 2) for all scored voxels, and for those above the road.

        Raises:
            InputError: If grid or image are missing or damaged.
        """
        target = self._drive.grid(frame)
        scored = self.view & (target != IGNORE)
        above = scored & (fit_road(target == 1).heights() > ABOVE_ROAD)
        predictions = [*self.predictions(frame), *self._baselines(frame, target)]
        return {
            key: np.stack([range_confusions(target, p, mask, 2) for p in predictions])
            for key, mask in (("all", scored), ("above", above))
        }

    def predictions(self, frame: str) -> list[np.ndarray]:
        """Return the (256, 256, 32) uint8 occupancy at each threshold."""
        with self._watch.predicting():
            encoded = self._predictor.encode(self._drive.image(frame), self._drive.camera)
            density = self._predictor.densities(encoded, ssc.GRID, self._drive.T_grid_cam)
            if self._evaluation.grow:
                density = ssc.grow_densities(density)
        return [(density >= t).astype(np.uint8) for t in self._evaluation.thresholds]

    def _baselines(self, frame: str, target: np.ndarray) -> list[np.ndarray]:
        others = [road for name, road in self._roads.items() if name != frame]
        if not others:
            raise InputError("baselines need grids of at least two frames, got one")
        frequency = self._frequency.without(target)
        road = mean_road(others)
        grids = (
            np.ones_like(self.view),
            road.occupied(),
            frequency.majority(),
            frequency.smoothed(),
        )
        return [grid.astype(np.uint8) for grid in grids]
