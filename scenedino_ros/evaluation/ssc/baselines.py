# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Baselines that look at no image.

On one street a grid that was averaged from other frames is hard to beat: it knows where the road
is and how high the hedge. A network that does not beat it has shown little about seeing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.evaluation.ssc import rules as ssc

SMOOTHING = (2.0, 2.0, 0.5)  # sigma along x, y, z, voxels
_SEEN = 1e-3  # frames that a smoothed voxel must at least have been seen in to be more than empty
_CORRIDOR = (25.0, 4.0)  # where the road is looked for: metres ahead and to both sides
_ROAD_TOLERANCE = 0.2  # metres around the plane that count as road


@dataclass(frozen=True)
class RoadPlane:
    """The road: z = slope_x x + slope_y y + height in the grid's frame, metres."""

    slope_x: float
    slope_y: float
    height: float

    def heights(self) -> np.ndarray:
        """Return how far above the road each voxel centre of the benchmark's grid is, metres."""
        x, y, z = np.moveaxis(ssc.GRID.centers().astype(np.float64), -1, 0)
        return z - (self.slope_x * x + self.slope_y * y + self.height)

    def occupied(self) -> np.ndarray:
        """Return the grid in which the road alone is occupied."""
        return np.abs(self.heights()) <= _ROAD_TOLERANCE


def fit_road(occupied: np.ndarray) -> RoadPlane:
    """Fit a plane through the lowest occupied voxels ahead of the car.

    Args:
        occupied: (256, 256, 32) bool grid.

    Raises:
        InputError: If hardly anything is occupied there.
    """
    lowest = occupied.argmax(axis=-1)
    i, j = np.nonzero(occupied.any(axis=-1))
    x, y, z = ssc.GRID.centers()[i, j, lowest[i, j]].astype(np.float64).T
    near = (x < _CORRIDOR[0]) & (np.abs(y) < _CORRIDOR[1])
    x, y, z = x[near], y[near], z[near]
    if len(z) < 100:
        raise InputError(f"a road needs 100 occupied columns ahead of the car, got {len(z)}")
    terms = np.stack([x, y, np.ones_like(x)], axis=1)
    keep = np.abs(z - np.median(z)) < 0.5
    for _ in range(10):  # with what is far from the plane left out, until that settles
        plane = np.linalg.lstsq(terms[keep], z[keep], rcond=None)[0]
        keep = np.abs(terms @ plane - z) < _ROAD_TOLERANCE
    return RoadPlane(*plane.tolist())


def mean_road(roads: Sequence[RoadPlane]) -> RoadPlane:
    """Return the plane whose coefficients are the means of these."""
    mean = np.mean([[r.slope_x, r.slope_y, r.height] for r in roads], axis=0)
    return RoadPlane(*mean.tolist())


@dataclass
class Frequency:
    """How often each voxel was occupied, and in how many frames it was known.

    Attributes:
        occupied: (256, 256, 32) number of frames.
        known: (256, 256, 32) number of frames.
        frames: How many were added.
    """

    occupied: np.ndarray = field(default_factory=lambda: np.zeros(ssc.GRID.shape, np.int32))
    known: np.ndarray = field(default_factory=lambda: np.zeros(ssc.GRID.shape, np.int32))
    frames: int = 0

    def add(self, target: np.ndarray) -> None:
        """Count a frame; 0 is free, 255 unknown and anything else occupied."""
        self.occupied += (target != 0) & (target != IGNORE)
        self.known += target != IGNORE
        self.frames += 1

    def without(self, target: np.ndarray) -> "Frequency":
        """Return the frequencies of all frames but this one."""
        return Frequency(
            self.occupied - ((target != 0) & (target != IGNORE)),
            self.known - (target != IGNORE),
            self.frames - 1,
        )

    def majority(self) -> np.ndarray:
        """Return where a voxel was occupied in at least half of the frames that knew it."""
        return (self.known > 0) & (2 * self.occupied >= self.known)

    def smoothed(self) -> np.ndarray:
        """Return the same after both counts were blurred, which fills what few frames knew."""
        occupied = gaussian_filter(self.occupied.astype(np.float64), SMOOTHING)
        known = gaussian_filter(self.known.astype(np.float64), SMOOTHING)
        return 2 * occupied >= known + 2 * _SEEN


@dataclass
class ConstantGrid:
    """One semantic grid for all frames, made of labelled frames of other drives.

    Attributes:
        frequency: Where something is.
        heights: (32, 16) how often each class is met at each height.
    """

    frequency: Frequency = field(default_factory=Frequency)
    heights: np.ndarray = field(default_factory=lambda: np.zeros((32, 16), np.int64))

    def add(self, target: np.ndarray) -> None:
        """Count a frame of scored classes 0..15, or 255."""
        self.frequency.add(target)
        for z in range(self.heights.shape[0]):
            self.heights[z] += np.bincount(target[..., z].reshape(-1), minlength=256)[:16]

    def class_of_height(self) -> np.ndarray:
        """Return the (32,) most frequent occupied class at each height."""
        return (self.heights[:, 1:].argmax(axis=1) + 1).astype(np.uint8)

    def occupied(self) -> np.ndarray:
        """Return the (256, 256, 32) bool grid of where something mostly is."""
        return self.frequency.smoothed()
