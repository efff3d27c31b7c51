# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Coarse to fine: against a loop over voxels, and against the answer that asks for every voxel."""

import itertools

import numpy as np
import pytest
import torch
from models import lively_checkpoint, noise_image, street_camera

from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.inference.coarse_grid import (
    EMPTY_BELOW,
    OCCUPIED_ABOVE,
    lattice_index,
    on_lattice,
    settled,
)
from scenedino_ros.inference.exposed import exposed
from scenedino_ros.inference.grid_view import ViewRequest, view_grid
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.network.field import PositionalCode

GRID = VoxelGrid((-4.0, -2.0, 0.0), (21, 10, 23), 0.4)


def settled_by_loops(
    density: np.ndarray, queried: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Look at the lattice voxels around each voxel, one after the other."""
    empty, occupied = np.zeros_like(queried), np.zeros_like(queried)
    for at in itertools.product(*map(range, density.shape)):
        around = list(itertools.product(*({i - i % 2, i + i % 2} for i in at)))
        inside = all(
            i < n for corner in around for i, n in zip(corner, density.shape, strict=True)
        )
        if inside and all(queried[corner] for corner in around):
            values = [density[corner] for corner in around]
            empty[at] = max(values) < EMPTY_BELOW * threshold
            occupied[at] = min(values) > OCCUPIED_ABOVE * threshold
    return empty, occupied


@pytest.mark.parametrize("shape", [(6, 5, 7), (3, 3, 3), (1, 4, 5), (4, 1, 1), (1, 1, 1)])
def test_equals_a_loop_over_the_lattice(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(sum(shape))
    density = rng.choice([0.1, 0.45, 0.55, 1.0, 1.45, 1.55, 3.0], shape, p=[0.7, *[0.05] * 6])
    queried = rng.random(shape) < 0.95
    index = torch.from_numpy(np.flatnonzero(queried))
    first = index[on_lattice(index, shape)]
    of_lattice = torch.from_numpy(density.flatten())[first]
    found = settled(of_lattice, lattice_index(first, shape), shape, 1.0)
    for ours, expected in zip(found, settled_by_loops(density, queried, 1.0), strict=True):
        np.testing.assert_array_equal(ours.view(shape).numpy(), expected)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(lively_checkpoint(), device="cpu")


@pytest.mark.parametrize("exposed_only", [False, True])
@pytest.mark.parametrize("out_of_view", [False, True])
def test_what_is_returned_is_exact(
    predictor: Predictor, exposed_only: bool, out_of_view: bool
) -> None:
    encoded = predictor.encode(noise_image(), street_camera())
    density = predictor.densities(encoded, GRID)
    # High enough that the lattice settles voxels on both sides.
    threshold = float(np.quantile(density, 0.7))
    everything = predictor.voxels(encoded, GRID, query=VoxelQuery(0.0, out_of_view=out_of_view))
    queried = everything.occupied()
    empty, occupied = settled_by_loops(density, queried, threshold)
    even = np.zeros_like(queried)
    even[::2, ::2, ::2] = True
    expected = queried & (density >= threshold) & (~empty | even)
    if exposed_only:
        expected |= queried & occupied
        expected = exposed(torch.from_numpy(expected)).numpy()
    query = VoxelQuery(
        threshold, out_of_view=out_of_view, exposed_only=exposed_only, coarse_to_fine=True
    )
    found = predictor.voxels(encoded, GRID, query=query)
    np.testing.assert_array_equal(found.index, np.flatnonzero(expected))
    assert (empty & queried & ~even).any()
    same = everything.select(np.isin(everything.index, found.index))
    np.testing.assert_array_equal(found.label, same.label)
    # Of other chunks of points, and so of other orders of summation.
    np.testing.assert_allclose(found.density, same.density, rtol=1e-5)
    np.testing.assert_allclose(found.confidence, same.confidence, rtol=1e-5)


def test_the_highest_density_is_told_where_nothing_is_occupied(predictor: Predictor) -> None:
    encoded = predictor.encode(noise_image(), street_camera())
    plain, coarse = (
        predictor.voxels(encoded, GRID, query=VoxelQuery(1e6, coarse_to_fine=option))
        for option in (False, True)
    )
    assert len(plain) == len(coarse) == 0
    # Those that are not asked lie between lattice voxels far below the threshold.
    everything = predictor.voxels(encoded, GRID, query=VoxelQuery(0.0))
    first = on_lattice(torch.from_numpy(everything.index), GRID.shape).numpy()
    assert coarse.highest_density >= everything.density[first].max() * (1 - 1e-5)
    assert coarse.highest_density <= plain.highest_density * (1 + 1e-5)


def test_growing_voxels_are_all_asked(predictor: Predictor) -> None:
    encoded = predictor.encode(noise_image(), street_camera())

    def found(coarse_to_fine: bool) -> SemanticVoxels:
        query = VoxelQuery(0.15, grow=True, coarse_to_fine=coarse_to_fine)
        return predictor.voxels(encoded, GRID, query=query)

    np.testing.assert_array_equal(found(True).index, found(False).index)


def test_voxels_are_asked_in_the_order_of_the_image_those_of_the_lattice_first() -> None:
    config = lively_checkpoint().config
    code = PositionalCode(config.n_frequencies, config.frequency_factor, config.depth_range)
    camera = street_camera().pinhole
    view = view_grid(
        GRID,
        np.eye(4),
        camera,
        (24, 80),
        ViewRequest(out_of_view=False, grow=False, coarse=True),
        code,
        device=torch.device("cpu"),
        budget=1 << 30,
    )
    assert view.index is not None
    assert view.lattice is not None
    count = len(view.lattice)
    assert on_lattice(view.index, GRID.shape).tolist() == [i < count for i in range(len(view))]
    assert len(view.index.unique()) == len(view)
    for part in (slice(count), slice(count, None)):
        u, v = view.uv_norm[part].T
        rows = (32 * (v + 1)).floor()
        assert (rows.diff() >= 0).all()
        assert ((128 * (u + 1)).floor().diff()[rows.diff() == 0] >= 0).all()
