# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The surface of what is occupied: against a loop over voxels, and as a part of all voxels."""

import itertools

import numpy as np
import pytest
import torch
from models import lively_checkpoint, noise_image, street_camera

from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.exposed import exposed
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery

GRID = VoxelGrid((-4.0, -2.0, 0.0), (20, 10, 24), 0.4)


def exposed_by_loops(occupied: np.ndarray) -> np.ndarray:
    """Look at the six neighbours of each voxel, one after the other."""
    found = np.zeros_like(occupied)
    for at in itertools.product(*map(range, occupied.shape)):
        for axis, step in itertools.product(range(3), (-1, 1)):
            other = list(at)
            other[axis] += step
            outside = not 0 <= other[axis] < occupied.shape[axis]
            if occupied[at] and (outside or not occupied[tuple(other)]):
                found[at] = True
    return found


@pytest.mark.parametrize(
    "shape", [(6, 5, 7), (3, 3, 3), (1, 4, 5), (4, 1, 1), (1, 1, 1), (2, 6, 2)]
)
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.95, 1.0])
def test_equals_a_loop_over_the_neighbours(shape: tuple[int, ...], fraction: float) -> None:
    occupied = np.random.default_rng(sum(shape)).random(shape) < fraction
    given = torch.from_numpy(occupied.copy())
    np.testing.assert_array_equal(exposed(given).numpy(), exposed_by_loops(occupied))
    np.testing.assert_array_equal(given.numpy(), occupied)  # the argument stays as it is


@pytest.mark.parametrize("grow", [False, True])
@pytest.mark.parametrize("out_of_view", [False, True])
def test_exposed_voxels_are_a_part_of_the_complete_answer(grow: bool, out_of_view: bool) -> None:
    predictor = Predictor(lively_checkpoint(), device="cpu")
    encoded = predictor.encode(noise_image(), street_camera())
    complete = predictor.voxels(encoded, GRID, query=VoxelQuery(0.15, grow, out_of_view))
    hidden = int(np.bincount(complete.label).argmax())
    surface = exposed_by_loops(complete.occupied()).flatten()[complete.index]
    for classes in ((), (hidden,)):
        query = VoxelQuery(0.15, grow, out_of_view, classes, exposed_only=True)
        found = predictor.voxels(encoded, GRID, query=query)
        # Hidden voxels are occupied, so what they enclose does not appear.
        expected = complete.select(surface & ~np.isin(complete.label, classes))
        assert 0 < len(found) < len(complete)
        for column in ("index", "label", "confidence", "density"):
            np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
