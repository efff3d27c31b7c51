# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Triangle meshes of simple solids, the bricks of a synthetic street."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Vector = Sequence[float] | np.ndarray

_BOX_TRIANGLES = np.array(
    [
        [0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4],
        [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5],
    ],
    dtype=np.int64,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in some frame.

    Attributes:
        vertices: (V, 3) float64, metres.
        triangles: (T, 3) int64 rows of ``vertices``, counter-clockwise seen from outside.
    """

    vertices: np.ndarray
    triangles: np.ndarray

    def moved(self, T_target_mesh: np.ndarray) -> "Mesh":
        """Return the mesh in another frame, given the (4, 4) affine transform into it."""
        vertices = self.vertices @ T_target_mesh[:3, :3].T + T_target_mesh[:3, 3]
        return Mesh(vertices, self.triangles)


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """Return one mesh with the triangles of all."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate(
            [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]
        ),
    )


def placed(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    """Return the (4, 4) transform that turns about z by ``yaw`` (radians), then shifts."""
    T = np.eye(4)
    cos, sin = np.cos(yaw), np.sin(yaw)
    T[:2, :2] = [[cos, -sin], [sin, cos]]
    T[:3, 3] = (x, y, z)
    return T


def box(low: Vector, high: Vector) -> Mesh:
    """Return the axis-aligned box between two corners, metres."""
    corners = np.array((low, high), dtype=np.float64)
    bits = np.array([[(i >> axis) & 1 for axis in range(3)] for i in range(8)])
    return Mesh(corners[bits, np.arange(3)], _BOX_TRIANGLES)


def prism(profile: np.ndarray, low: float, high: float, taper: float = 0.0) -> Mesh:
    """Return a convex profile in the x-z plane, extruded along y.

    Args:
        profile: (P, 2) convex corners (x, z), clockwise seen along +y (from the right side).
        low: y of one end, metres.
        high: y of the other end, metres.
        taper: How much narrower each end is at the profile's highest point, metres.
    """
    count = len(profile)
    x, z = profile[:, 0], profile[:, 1]
    inset = taper * (z - z.min()) / max(z.max() - z.min(), 1e-9)
    vertices = np.concatenate(
        [np.stack([x, low + inset, z], axis=1), np.stack([x, high - inset, z], axis=1)]
    )
    fan = np.array([[0, i + 1, i] for i in range(1, count - 1)])
    i = np.arange(count)
    j = (i + 1) % count
    sides = np.concatenate(
        [np.stack([i, j, i + count], 1), np.stack([j, j + count, i + count], 1)]
    )
    return Mesh(vertices, np.concatenate([fan, fan[:, ::-1] + count, sides]))


def cylinder(
    start: Vector, end: Vector, radius: float, end_radius: float, sides: int = 10
) -> Mesh:
    """Return a closed, possibly conical cylinder between two points, metres."""
    ends = np.array((start, end), dtype=np.float64)
    axis = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    helper = np.eye(3)[np.argmin(np.abs(axis))]
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    vertices = np.concatenate([ends[0] + radius * ring, ends[1] + end_radius * ring, ends])
    i = np.arange(sides)
    j = (i + 1) % sides
    bottom, top = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    triangles = [
        np.stack([i, j, j + sides], 1),
        np.stack([i, j + sides, i + sides], 1),
        np.stack([bottom, j, i], 1),
        np.stack([top, i + sides, j + sides], 1),
    ]
    return Mesh(vertices, np.concatenate(triangles))


def disc(center: Vector, normal: Vector, radius: float, sides: int = 20) -> Mesh:
    """Return a thin round plate, metres."""
    end = np.asarray(center) + 0.02 * np.asarray(normal)
    return cylinder(center, end, radius, radius, sides)


def leaves(rng: np.random.Generator, centers: np.ndarray, size: float) -> Mesh:
    """Return one randomly turned kite of two triangles per centre, as foliage.

    Args:
        rng: Source of randomness.
        centers: (N, 3) middle of each leaf or cluster of leaves, metres.
        size: Typical length, metres; lengths vary by 40 percent.
    """
    count = len(centers)
    along = rng.normal(size=(count, 3))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, rng.normal(size=(count, 3)))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    half = 0.5 * size * (1 + 0.4 * rng.uniform(-1, 1, (count, 1)))
    along, across = along * half, across * half * 0.62
    corners = [centers - along, centers + across, centers + along, centers - across]
    vertices = np.stack(corners, axis=1).reshape(-1, 3)
    first = 4 * np.arange(count)[:, None]
    triangles = np.concatenate([first + (0, 1, 2), first + (0, 2, 3)])
    return Mesh(vertices, triangles)


def loft(rings: np.ndarray) -> Mesh:
    """Return the closed skin over a row of cross sections.

    Args:
        rings: (S, R, 3) corners of S sections in order, counter-clockwise seen along the row,
            metres.
    """
    sections, corners = rings.shape[:2]
    middles = rings[[0, -1]].mean(axis=1)
    vertices = np.concatenate([rings.reshape(-1, 3), middles])
    i, j = np.arange(corners), (np.arange(corners) + 1) % corners
    first = corners * np.arange(sections - 1)[:, None]
    last = corners * (sections - 1)
    a, b = (first + i).ravel(), (first + j).ravel()
    caps = np.full(corners, sections * corners)
    triangles = [
        np.stack([a, a + corners, b], 1),
        np.stack([b, a + corners, b + corners], 1),
        np.stack([caps, i, j], 1),
        np.stack([caps + 1, last + j, last + i], 1),
    ]
    return Mesh(vertices, np.concatenate(triangles))


def ellipsoid(center: Vector, radii: Vector, sides: int = 10) -> Mesh:
    """Return a closed ellipsoid along the axes, metres."""
    stacks = max(sides // 2, 3)
    up = np.linspace(-1, 1, stacks + 1) * np.pi / 2
    up[[0, -1]] *= 0.97  # small caps instead of poles
    around = -2 * np.pi * np.arange(sides) / sides
    rings = np.stack(
        np.broadcast_arrays(
            np.cos(up)[:, None] * np.cos(around),
            np.cos(up)[:, None] * np.sin(around),
            np.sin(up)[:, None],
        ),
        axis=-1,
    )
    return loft(np.asarray(center) + rings * np.asarray(radii))


def wheel_ring(center: Vector, radius: float, tube: float, sides: int = 18) -> Mesh:
    """Return a closed ring (a tyre) that rolls along x, metres; its axis is y."""
    turn = 2 * np.pi * np.arange(sides) / sides
    across = np.array([[-1, -0.5], [-1, 0.5], [0, 1], [1, 0.5], [1, -0.5], [0, -1]])  # y, outwards
    corners = len(across)
    reach = radius - tube + tube * across[:, 1]
    y = np.broadcast_to(0.8 * tube * across[:, 0], (sides, corners))
    rings = np.stack([np.cos(turn)[:, None] * reach, y, np.sin(turn)[:, None] * reach], axis=-1)
    i, k = np.meshgrid(np.arange(sides), np.arange(corners), indexing="ij")
    a, b = i * corners + k, i * corners + (k + 1) % corners
    c, d = (i + 1) % sides * corners + k, (i + 1) % sides * corners + (k + 1) % corners
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
    )
    return Mesh(np.asarray(center) + rings.reshape(-1, 3), triangles)


def plate(outline: np.ndarray, low: float, high: float) -> Mesh:
    """Return a convex outline in the y-z plane, extruded along x.

    Args:
        outline: (P, 2) corners (y, z), counter-clockwise seen from x > 0.
        low: x of one end, metres.
        high: x of the other end, metres.
    """
    rings = [np.column_stack([np.full(len(outline), x), outline]) for x in (high, low)]
    return loft(np.stack(rings))
