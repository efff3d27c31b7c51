# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Fuses the images of a drive in order: one map without, and several with noise of the pose."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from scenedino_ros.core.config import MapSettings
from scenedino_ros.evaluation.map.data import MapDrive
from scenedino_ros.evaluation.settings import MapEvaluationSettings
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage
from scenedino_ros.mapping.rolling_map import RollingMap

# How the map is read at a point: the voxel that holds it, or linearly between voxel centres.
READINGS = ("nearest", "linear")
_MIDDLE = (25.6, 0.0, 1.2)  # of the benchmark's grid, around which the map's box lies, metres


@dataclass(frozen=True)
class PoseNoise:
    """Normally distributed errors of the camera's pose, independent in each frame.

    Attributes:
        position: Standard deviation along each axis of the camera, metres.
        rotation_deg: Standard deviation about each axis of the camera, degrees.
    """

    position: float = 0.0
    rotation_deg: float = 0.0

    @property
    def key(self) -> str:
        """Its name for programs, such as ``0.03m`` or ``0.5deg``; ``none`` without noise."""
        parts = [f"{self.position:g}m"] * (self.position > 0)
        parts += [f"{self.rotation_deg:g}deg"] * (self.rotation_deg > 0)
        return "_".join(parts) or "none"

    def T_cam_noisy(self, seed: int, drive: str, number: int) -> np.ndarray:
        """Return the (4, 4) error of one frame; noise of any strength has the same direction."""
        rng = np.random.default_rng([seed, zlib.crc32(drive.encode()), number])
        shift, turn = rng.standard_normal((2, 3))
        T = np.eye(4)
        T[:3, :3] = Rotation.from_rotvec(np.radians(self.rotation_deg) * turn).as_matrix()
        T[:3, 3] = self.position * shift
        return T


def noises(choices: MapEvaluationSettings) -> list[PoseNoise]:
    """Return what is scored: no noise, then each noise of the position, then of the rotation."""
    positions = [PoseNoise(position=value) for value in choices.position_noise if value]
    rotations = [PoseNoise(rotation_deg=value) for value in choices.rotation_noise if value]
    return [PoseNoise(), *positions, *rotations]


def map_settings(choices: MapEvaluationSettings) -> MapSettings:
    """Return the settings of the maps; the box reaches as far below its middle as above."""
    return MapSettings(
        frame="map",
        size=choices.size,
        voxel_size=choices.voxel_size,
        below=choices.size[2] / 2,
        density_threshold=choices.map_density,
        half_life=choices.half_life,
    )


def device_of(predictor: Predictor) -> torch.device:
    """Return the device that a network is on."""
    return torch.device(predictor.device.split()[0])


class FusedDrive:
    """Maps of a drive up to some frame.

    Attributes:
        drive: The drive.
        maps: One map for each noise.
    """

    def __init__(
        self,
        drive: MapDrive,
        predictor: Predictor,
        choices: MapEvaluationSettings,
        noise: Sequence[PoseNoise],
    ) -> None:
        """Begin with empty maps."""
        self.drive, self._predictor, self._choices = drive, predictor, choices
        self._noise = noise
        self._begin_anew()

    def advance(self, number: int) -> EncodedImage:
        """Fuse the images up to a frame that are not fused yet; return that frame's.

        Maps that already have a later frame, or an image that is too old for the number of images
        that were asked for, begin anew.

        Raises:
            InputError: If the frame has no pose or no image, or an image is damaged.
        """
        self.drive.T_map_cam(number)  # refuses a frame without a pose
        images = [n for n in self.drive.images if n <= number][-self._choices.images :]
        if self._fused != images[: len(self._fused)] or self._fused == images:
            self._begin_anew()
        for image in images[len(self._fused) :]:
            encoded = self._fuse(image)
        return encoded

    def _begin_anew(self) -> None:
        settings, device = map_settings(self._choices), device_of(self._predictor)
        self.maps = [RollingMap(settings, device) for _ in self._noise]
        self._fused: list[int] = []

    def log_odds(self, points: np.ndarray) -> list[np.ndarray]:
        """Return what the maps say at (N, 3) points of the map's frame, metres.

        Returns:
            (N,) float32 log-odds, 0 where a map knows nothing: of the map without noise by each
            of the `READINGS`, then of the others in the voxel that holds the point.
        """
        nearest = [each.log_odds_at(points) for each in self.maps]
        grid = self.maps[0].box.grid()
        place = (points - grid.origin).T / grid.voxel_size - 0.5
        evidence = self.maps[0].evidence()
        linear = map_coordinates(evidence, place, order=1, mode="grid-constant")
        return [nearest[0], linear, *nearest[1:]]

    def _fuse(self, number: int) -> EncodedImage:
        drive = self.drive
        encoded = self._predictor.encode(drive.image(f"{number:010d}"), drive.camera)
        T_map_cam, stamp_ns = drive.T_map_cam(number), drive.stamp_ns(number)
        T_map_box = drive.T_map_grid(number)
        T_map_box[:3, 3] += T_map_box[:3, :3] @ _MIDDLE
        for each, noise in zip(self.maps, self._noise, strict=True):
            T_cam_noisy = noise.T_cam_noisy(self._choices.seed, drive.name, number)
            each.fuse(self._predictor, encoded, T_map_cam @ T_cam_noisy, stamp_ns, T_map_box)
        self._fused.append(number)
        return encoded
