# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts one image and the map of all images up to it against the ground truth of a frame."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.core.labels import IGNORE
from scenedino_ros.evaluation.geometry.evaluation import ABOVE_ROAD
from scenedino_ros.evaluation.map.data import MapDrive, drive_by_name
from scenedino_ros.evaluation.map.fusion import (
    READINGS,
    FusedDrive,
    PoseNoise,
    device_of,
    noises,
)
from scenedino_ros.evaluation.map.scores import Answer, beside_free, corridor, resampled
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.settings import MapEvaluationSettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.baselines import fit_road
from scenedino_ros.evaluation.voxel_panel import occupied_voxels, voxel_panel
from scenedino_ros.inference.grid_view import camera_points
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage
from scenedino_ros.network.field import MIN_DEPTH
from scenedino_ros.recordings.transforms import inverse

# All known voxels in view; those without the inside of solids; those well above the road; and
# all known voxels of the grid.
REGIONS = ("view", "surface", "above", "grid")
GHOST_SECONDS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class MapEvaluation:
    """One network and the map made of it, on some drives.

    Attributes:
        folder: Where the drives are.
        drives: The drives.
        network: The network.
        choices: What is fused and scored, and how.
    """

    folder: Path
    drives: Sequence[MapDrive]
    network: NetworkChoice
    choices: MapEvaluationSettings = MapEvaluationSettings()

    kind = "map"
    unit = "frame"

    @property
    def title(self) -> str:
        """Heading of the report."""
        return f"One image against the map, on {self.dataset}"

    @property
    def dataset(self) -> str:
        """Name of the data."""
        return self.folder.resolve().name

    @property
    def densities(self) -> tuple[float, ...]:
        """Densities from which one image's voxel is occupied, ascending, 1/m."""
        return tuple(sorted({*self.choices.densities, self.network.density_threshold}))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Log-odds above which a voxel of the map is occupied, ascending."""
        return tuple(sorted(self.choices.thresholds))

    def rows(self) -> list[str]:
        """Return the keys of the readings of the maps, in the order of the counts.

        Without noise they are the `READINGS`, else such as ``0.03m`` or ``0.5deg``.
        """
        return [*READINGS, *(noise.key for noise in noises(self.choices)[1:])]

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on."""
        choices = {key: value for key, value in asdict(self.choices).items() if key != "panels"}
        return {
            "data": self.dataset,
            "drives": [drive.name for drive in self.drives],
            "calibration": [drive.drive.calibration.digest for drive in self.drives],
            "poses": [drive.poses_digest for drive in self.drives],
            "network": self.network.settings(),
            **choices,
            "densities": list(self.densities),
        }

    def items(self) -> list[str]:
        """Return the frames to score, as DRIVE/FRAME."""
        chosen = []
        for drive in self.drives:
            first = drive.images[: self.choices.least_images][-1]
            frames = [frame for frame in drive.frames() if int(frame) >= first]
            chosen += [f"{drive.name}/{frame}" for frame in frames[:: self.choices.every]]
        return chosen

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of a frame itself; those of the images before it are not among them."""
        drive, number = self.place(item)
        return [*drive.files(item.split("/")[1]), drive.moving_path(number)]

    def place(self, item: str) -> tuple[MapDrive, int]:
        """Return the drive of an item and the number of its frame."""
        name, frame = item.split("/")
        return drive_by_name(self.drives, name), int(frame)

    def unnamed(self) -> dict[str, str]:
        """Return nothing: every frame has a file that names it."""
        return {}

    def open(self, watch: Stopwatch) -> "MapWork":
        """Build the network."""
        return MapWork(self, watch)


class MapWork:
    """Counts and draws frames; holds the network, and the maps up to the last frame."""

    def __init__(self, evaluation: MapEvaluation, watch: Stopwatch) -> None:
        """Build the network."""
        self._evaluation, self._watch = evaluation, watch
        self._predictor: Predictor = evaluation.network.predictor()
        self._device = device_of(self._predictor)
        self._fused: FusedDrive | None = None
        self._drawn: FusedDrive | None = None

    def count(self, item: str) -> Counts:
        """Count one frame.

        Returns:
            With S densities and M thresholds, the N `MapEvaluation.rows`, the R `REGIONS` and
            the G `GHOST_SECONDS`, int64: ``single`` and, asked at the centres of the map's
            voxels, ``single_in_map`` (R, S, 3, 2, 2), and ``map`` (R, N, M, 3, 2, 2), the
            confusions of free and occupied at the three ranges; ``single_corridor``
            (S, 3) and ``map_corridor`` (N, M, 3), the `STATES` of free voxels that the robot's
            body sweeps later; ``single_ghosts`` (G, S, 3) and ``map_ghosts`` (G, N, M, 3), those
            of free voxels that a moving car filled so long ago.

        Raises:
            InputError: If grid, image or pose is missing or damaged.
        """
        drive, number = self._evaluation.place(item)
        target = drive.grid(item.split("/")[1])
        known = target != IGNORE
        heights = fit_road(target == 1).heights()
        view = drive.view
        self._fused = self._following(self._fused, drive, noises(self._evaluation.choices))
        with self._watch.predicting():
            encoded = self._fused.advance(number)
            centers = camera_points(ssc.GRID, drive.T_grid_cam)[view.reshape(-1)]
            places = (centers, self._in_map(drive, number))
            density, in_map = (self._density(encoded, points, view) for points in places)
            log_odds = self._log_odds(self._fused, number, known)
        thresholds = self._evaluation.thresholds
        single, coarse = (
            Answer.of_image(values, view, self._evaluation.densities)
            for values in (density, in_map)
        )
        maps = [Answer.of_map(values, thresholds) for values in log_odds]
        in_view = known & view
        surface = in_view & beside_free(target == 0)
        regions = (in_view, surface, in_view & (heights > ABOVE_ROAD), known)
        swept = (target == 0) & corridor(self._path(drive, number), heights)
        ghosts = [
            (target == 0) & self._filled(drive, number, seconds) for seconds in GHOST_SECONDS
        ]
        return {
            "single": np.array([single.confusions(target, region) for region in regions]),
            "single_in_map": np.array([coarse.confusions(target, region) for region in regions]),
            "map": np.array([[m.confusions(target, region) for m in maps] for region in regions]),
            "single_corridor": single.states(swept),
            "map_corridor": np.array([m.states(swept) for m in maps]),
            "single_ghosts": np.array([single.states(ghost) for ghost in ghosts]),
            "map_ghosts": np.array([[m.states(ghost) for m in maps] for ghost in ghosts]),
        }

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of a frame: input image, the map in view, and ground truth."""
        drive, number = self._evaluation.place(item)
        self._drawn = self._following(self._drawn, drive, [PoseNoise()])
        self._drawn.advance(number)
        frame = item.split("/")[1]
        view = drive.view
        log_odds = self._log_odds(self._drawn, number, view)[0]
        return voxel_panel(
            drive.image(frame),
            occupied_voxels(view & (log_odds > self._evaluation.choices.thresholds[0])),
            occupied_voxels(view & (drive.grid(frame) == 1)),
            title=item,
            weights=self._evaluation.network.describe(),
        )

    def _following(
        self, fused: FusedDrive | None, drive: MapDrive, noise: Sequence[PoseNoise]
    ) -> FusedDrive:
        """Return the maps of a drive: those that there are, if they are this drive's."""
        if fused is not None and fused.drive == drive:
            return fused
        return FusedDrive(drive, self._predictor, self._evaluation.choices, noise)

    def _density(self, encoded: EncodedImage, points: np.ndarray, view: np.ndarray) -> np.ndarray:
        """Return (256, 256, 32) densities: of the voxels in view at (N, 3) points, 0 elsewhere.

        Args:
            encoded: The image.
            points: (N, 3) points in the camera's frame, metres, one for each voxel in view.
            view: (256, 256, 32) bool, N of them True.
        """
        points = points.astype(np.float32)
        depth = np.maximum(points[:, 2:], np.float32(MIN_DEPTH))
        position = points @ encoded.camera.K_norm.T.astype(np.float32)
        found = self._predictor.densities_in_view(
            encoded,
            torch.from_numpy(np.clip(position[:, :2] / depth, -1, 1)).to(self._device),
            torch.from_numpy(depth[:, 0]).to(self._device),
        )
        density = np.zeros(view.shape, np.float32)
        density[view] = found.cpu().numpy()
        return density

    def _in_map(self, drive: MapDrive, number: int) -> np.ndarray:
        """Return the (N, 3) centres of the map's voxels that hold the centres of those in view.

        They are in the camera's frame, metres.
        """
        edge, T_map_grid = self._evaluation.choices.voxel_size, drive.T_map_grid(number)
        centers = ssc.GRID.centers()[drive.view].astype(np.float64)
        points = centers @ T_map_grid[:3, :3].T + T_map_grid[:3, 3]
        T_cam_map = inverse(drive.T_map_cam(number))
        return (np.floor(points / edge) + 0.5) * edge @ T_cam_map[:3, :3].T + T_cam_map[:3, 3]

    @staticmethod
    def _log_odds(fused: FusedDrive, number: int, chosen: np.ndarray) -> list[np.ndarray]:
        """Return the (256, 256, 32) readings of the maps at a frame's chosen voxels, 0 elsewhere.

        Args:
            fused: The maps.
            number: The frame.
            chosen: (256, 256, 32) bool.
        """
        T_map_grid = fused.drive.T_map_grid(number)
        centers = ssc.GRID.centers()[chosen].astype(np.float64)
        readings = []
        for values in fused.log_odds(centers @ T_map_grid[:3, :3].T + T_map_grid[:3, 3]):
            readings.append(np.zeros(chosen.shape, np.float32))
            readings[-1][chosen] = values
        return readings

    @staticmethod
    def _path(drive: MapDrive, number: int) -> np.ndarray:
        """Return the (K, 2) later path of the camera in the grid's x-y plane, metres."""
        T_grid_map = inverse(drive.T_map_grid(number))
        later = [n for n in drive.images if n >= number]
        return np.array([(T_grid_map @ drive.T_map_cam(n))[:2, 3] for n in later])

    @staticmethod
    def _filled(drive: MapDrive, number: int, seconds: float) -> np.ndarray:
        """Return the voxels that a moving car filled some time ago, where that is known."""
        before = drive.earlier(number, seconds)
        moving = None if before is None else drive.moving(before)
        if before is None or moving is None:
            return np.zeros(ssc.GRID.shape, bool)
        T_before_now = inverse(drive.T_map_grid(before)) @ drive.T_map_grid(number)
        return resampled(moving, T_before_now)
