# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts predicted occupancy on a drive with occupancy grids, beside grids without an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.evaluation.geometry.data import OccupancyDrive
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.settings import GeometrySettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.baselines import Frequency, RoadPlane, fit_road, mean_road
from scenedino_ros.evaluation.ssc.ranges import range_confusions
from scenedino_ros.evaluation.voxel_panel import occupied_voxels, voxel_panel
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor

ABOVE_ROAD = 0.4  # metres; half of what a LiDAR hits is road, and a plane predicts that
REGIONS = ("all", "above")  # all known voxels in view, those well above the road
BASELINES = ("full", "road", "majority", "frequency")


@dataclass(frozen=True)
class GeometryEvaluation:
    """One network on one drive.

    Attributes:
        data: The drive.
        network: The network.
        choices: What is scored, and how.
    """

    data: OccupancyDrive
    network: NetworkChoice
    choices: GeometrySettings = GeometrySettings()

    kind = "geometry"
    unit = "frame"

    @property
    def title(self) -> str:
        """Heading of the report."""
        return f"Occupancy on {self.dataset}"

    @property
    def dataset(self) -> str:
        """Name of the drive."""
        return self.data.folder.resolve().name

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Densities from which a voxel is occupied, 1/m."""
        return self.choices.thresholds or (self.network.density_threshold,)

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on."""
        return {
            "data": self.dataset,
            "calibration": self.data.drive.calibration.digest,
            "grids": self.data.grids_digest,  # the baselines are made of all of them
            "network": self.network.settings(),
            "thresholds": list(self.thresholds),
            "grow": self.choices.grow,
            "frames": list(self.choices.frames),
        }

    def items(self) -> list[str]:
        """Return the names of the frames to score.

        Raises:
            InputError: If a chosen frame has no grid.
        """
        names = {int(name): name for name in self.data.frames()}
        chosen = self.choices.frames
        without = sorted(set(chosen) - set(names))
        if without:
            raise InputError(f"{self.data.folder} has no grid of frame {without[0]}")
        return [name for number, name in names.items() if not chosen or number in chosen]

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of a frame."""
        return self.data.files(item)

    def unnamed(self) -> dict[str, str]:
        """Return nothing: every frame has a file that names it."""
        return {}

    def open(self, watch: Stopwatch) -> "GeometryWork":
        """Build the network."""
        return GeometryWork(self, watch)


class GeometryWork:
    """Counts and draws frames; holds what is made once: network, view, and sums over all grids."""

    def __init__(self, evaluation: GeometryEvaluation, watch: Stopwatch) -> None:
        """Build the network, and read all grids of the drive."""
        self._evaluation, self._drive, self._watch = evaluation, evaluation.data, watch
        self._predictor: Predictor = evaluation.network.predictor()
        self._view = ssc.view_mask(ssc.GRID, self._drive.T_grid_cam, self._drive.camera.pinhole)
        self._frequency = Frequency()
        self._roads: dict[str, RoadPlane] = {}
        for frame in self._drive.frames():
            try:
                grid = self._drive.grid(frame)
                self._roads[frame] = fit_road(grid == 1)
            except InputError:
                continue  # raised again, and kept, when this frame is counted
            self._frequency.add(grid)

    def count(self, frame: str) -> Counts:
        """Count one frame.

        Returns:
            ``voxels`` (R, T + 4, 3, 2, 2) int64: for each of the R `REGIONS`, of the T thresholds
            and then of the four `BASELINES`, and of the three ranges, the confusion of free and
            occupied.

        Raises:
            InputError: If grid or image are missing or damaged.
        """
        target = self._drive.grid(frame)
        scored = self._view & (target != IGNORE)
        above = scored & (fit_road(target == 1).heights() > ABOVE_ROAD)
        grids = [*self._predictions(frame), *self._baselines(frame, target)]
        counts = [
            [range_confusions(target, grid, mask, 2) for grid in grids] for mask in (scored, above)
        ]
        return {"voxels": np.array(counts)}

    def panel(self, frame: str) -> np.ndarray:
        """Return a picture of a frame: input, prediction and ground truth."""
        return voxel_panel(
            self._drive.image(frame),
            occupied_voxels(self._view & (self._predictions(frame)[0] > 0)),
            occupied_voxels(self._view & (self._drive.grid(frame) == 1)),
            title=frame,
            weights=self._evaluation.network.describe(),
        )

    def _predictions(self, frame: str) -> list[np.ndarray]:
        """Return the (256, 256, 32) uint8 occupancy at each threshold."""
        with self._watch.predicting():
            encoded = self._predictor.encode(self._drive.image(frame), self._drive.camera)
            density = self._predictor.densities(encoded, ssc.GRID, self._drive.T_grid_cam)
            if self._evaluation.choices.grow:
                density = ssc.grow_densities(density)
        return [(density >= t).astype(np.uint8) for t in self._evaluation.thresholds]

    def _baselines(self, frame: str, target: np.ndarray) -> list[np.ndarray]:
        others = [road for name, road in self._roads.items() if name != frame]
        if not others:
            raise InputError("baselines need grids of at least two frames, got one")
        frequency = self._frequency.without(target)
        grids = {
            "full": np.ones_like(self._view),
            "road": mean_road(others).occupied(),
            "majority": frequency.majority(),
            "frequency": frequency.smoothed(),
        }
        return [grids[name].astype(np.uint8) for name in BASELINES]
