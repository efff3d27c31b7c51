"""Triangle meshes of simple solids, the bricks of a synthetic street."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        """Return the mesh in another frame, given the (4, 4) rigid transform into it."""
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


def box(low: Sequence[float], high: Sequence[float]) -> Mesh:
    """Return the axis-aligned box between two corners, metres."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    bits = np.array([[(i >> axis) & 1 for axis in range(3)] for i in range(8)])
    return Mesh(low + bits * (high - low), _BOX_TRIANGLES)


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
    start: Sequence[float], end: Sequence[float], radius: float, end_radius: float, sides: int = 10
) -> Mesh:
    """Return a closed, possibly conical cylinder between two points, metres."""
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    axis = (end - start) / np.linalg.norm(end - start)
    helper = np.eye(3)[np.argmin(np.abs(axis))]
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    vertices = np.concatenate([start + radius * ring, end + end_radius * ring, [start], [end]])
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


def disc(center: Sequence[float], normal: Sequence[float], radius: float, sides: int = 20) -> Mesh:
    """Return a thin round plate, metres."""
    center, normal = np.asarray(center, dtype=np.float64), np.asarray(normal, dtype=np.float64)
    return cylinder(center, center + 0.02 * normal, radius, radius, sides)


def leaves(
    rng: np.random.Generator, centers: np.ndarray, size: float, spread: float = 0.4
) -> Mesh:
    """Return one randomly turned triangle per centre, as foliage.

    Args:
        rng: Source of randomness.
        centers: (N, 3) middle of each leaf cluster, metres.
        size: Typical edge length, metres.
        spread: Relative variation of the size.
    """
    count = len(centers)
    corners = rng.normal(size=(count, 3, 3))
    corners -= corners.mean(axis=1, keepdims=True)
    corners /= np.linalg.norm(corners, axis=2).max(axis=1)[:, None, None]
    corners *= 0.6 * size * (1 + spread * rng.uniform(-1, 1, (count, 1, 1)))
    vertices = (centers[:, None, :] + corners).reshape(-1, 3)
    return Mesh(vertices, np.arange(3 * count).reshape(-1, 3))


def points_in_ellipsoid(
    rng: np.random.Generator, count: int, radii: Sequence[float], hollow: float = 0.6
) -> np.ndarray:
    """Return (count, 3) points in an ellipsoid at the origin, few of them near its centre."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    distance = hollow + (1 - hollow) * rng.uniform(0, 1, (count, 1)) ** 0.6
    return direction * distance * np.asarray(radii)
