# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Gaussian filtering in many dimensions, on the permutohedral lattice.

Source: Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice,
Eurographics 2010. Vertices have d + 1 integer coordinates that sum to zero and are congruent
modulo d + 1; every point lies in a simplex of d + 1 of them.
"""

import numpy as np
from scipy.sparse import csr_array


class GaussianFilter:
    """Weighted sums over all points, by a Gaussian of their distance with unit deviation.

    The weights are normalised symmetrically: K becomes D^-1/2 K D^-1/2, where D holds the sums of
    its rows.
    """

    def __init__(self, points: np.ndarray) -> None:
        """Build the lattice of (N, d) points."""
        vertices, weights = _embed(np.asarray(points, dtype=np.float64))
        codes, index = np.unique(_codes(vertices, vertices), return_inverse=True)
        n_points, corners = weights.shape
        owner = np.repeat(np.arange(n_points), corners)
        shape = (n_points, len(codes))
        entries = (weights.ravel().astype(np.float32), (owner, index.ravel()))
        self._slice = csr_array(entries, shape=shape)
        self._splat = self._slice.T.tocsr()
        first = np.unique(index.ravel(), return_index=True)[1]
        self._blurs = _blurs(vertices.reshape(-1, corners)[first], vertices, codes)
        total = self._filter(np.ones((n_points, 1), dtype=np.float32))
        self._scale = 1 / np.sqrt(total + 1e-20)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the (N, C) filtered values of the points."""
        return self._scale * self._filter(self._scale * values)

    def _filter(self, values: np.ndarray) -> np.ndarray:
        on_lattice = self._splat @ values.astype(np.float32)
        for blur in self._blurs:
            on_lattice = blur @ on_lattice
        return self._slice @ on_lattice


def _embed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (N, d + 1, d + 1) vertices around each point and their (N, d + 1) weights."""
    n_points, d = points.shape
    elevated = _elevate(points)
    # The nearest vertex whose coordinates are multiples of d + 1, by rounding; that may leave the
    # plane of zero sums, and the largest or smallest remainders are rounded the other way.
    base = np.round(elevated / (d + 1)).astype(np.int64) * (d + 1)
    order = np.argsort(-(elevated - base), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(d + 1)[None], axis=1)
    rank += base.sum(axis=1, keepdims=True) // (d + 1)
    base += np.where(rank < 0, d + 1, 0) - np.where(rank > d, d + 1, 0)
    rank %= d + 1
    # Barycentric weights are differences of the sorted remainders.
    remainder = (elevated - base) / (d + 1)
    weights = np.zeros((n_points, d + 2))
    rows = np.arange(n_points)
    for axis in range(d + 1):
        weights[rows, d - rank[:, axis]] += remainder[:, axis]
        weights[rows, d + 1 - rank[:, axis]] -= remainder[:, axis]
    weights[:, 0] += 1 + weights[:, d + 1]
    corner = np.arange(d + 1)[:, None]
    step = np.where(np.arange(d + 1) <= d - corner, corner, corner - (d + 1))  # [corner, rank]
    vertices = base[:, None] + step[:, rank].transpose(1, 0, 2)
    return vertices, weights[:, : d + 1]


def _elevate(points: np.ndarray) -> np.ndarray:
    """Return the (N, d + 1) coordinates in the plane of zero sums, scaled to the blur's width."""
    d = points.shape[1]
    axis = np.arange(1, d + 1)
    scaled = points * np.sqrt(2 / 3) * (d + 1) / np.sqrt(axis * (axis + 1))
    following = np.cumsum(scaled[:, ::-1], axis=1)[:, ::-1]  # sums from each axis to the last
    elevated = np.empty((len(points), d + 1))
    elevated[:, :d] = following
    elevated[:, d] = 0
    elevated[:, 1:] -= axis * scaled
    return elevated


def _codes(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return one number per vertex; the last coordinate follows from the others."""
    d = among.shape[-1] - 1
    among = among.reshape(-1, d + 1)
    low = among.min(axis=0) - (d + 1)
    size = among.max(axis=0) + (d + 1) - low + 1
    code = np.zeros(keys.shape[:-1], dtype=np.int64)
    for axis in range(d):
        code = code * size[axis] + (keys[..., axis] - low[axis])
    return code


def _blurs(keys: np.ndarray, among: np.ndarray, codes: np.ndarray) -> list[csr_array]:
    """Return per direction of the lattice the (M, M) filter 1/2, 1, 1/2 between vertices.

    Args:
        keys: (M, d + 1) vertices in the order of their codes.
        among: All vertices, which the codes are made from.
        codes: (M,) ascending codes.
    """
    n_vertices, corners = keys.shape
    own = np.arange(n_vertices)
    blurs = []
    for direction in range(corners):
        step = np.ones(corners, dtype=np.int64)
        step[direction] = -(corners - 1)
        rows, columns, values = [own], [own], [np.ones(n_vertices, np.float32)]
        for sign in (1, -1):
            wanted = _codes(keys + sign * step, among)
            place = np.searchsorted(codes, wanted).clip(max=n_vertices - 1)
            found = codes[place] == wanted
            rows.append(own[found])
            columns.append(place[found])
            values.append(np.full(int(found.sum()), 0.5, np.float32))
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        blurs.append(csr_array(entries, shape=(n_vertices, n_vertices)))
    return blurs
