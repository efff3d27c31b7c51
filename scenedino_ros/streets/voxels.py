# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Ground truth of the benchmark's grid: the class of every filled voxel, visible or occluded.

Solids are filled inside: rays along the grid's z axis, several per column of voxels, find where
each solid begins and ends. Objects thinner than the distance of the rays, and surfaces without a
volume, such as leaves, count by points on their surface. So all that a camera sees is in a filled
voxel.

Moving cars fill voxels where they are at the frame's time. SSCBench accumulates scans instead, so
that a car which drives away leaves a trace there; for measuring such traces in a prediction, the
ground truth must have none.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import open3d
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.evaluation.ssc.rules import GRID
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.rig import T_BASE_VELO
from scenedino_ros.streets.scene.scene import Scene
from scenedino_ros.streets.scene.shapes import Mesh, merged

EMPTY = 255
COLUMN_RAYS = 3  # per voxel along x and along y
_REACH = 10.0  # metres below the grid's bottom at which rays begin, under all solids
# Of surfaces in the very same place a ray finds but one. So solids that touch are moved apart,
# each by its own small part of this length.
_APART = 1e-3  # metres
_THIN = 0.25  # metres: solids of a smaller mean thickness count by their surface, too
_POINT_AREA = 0.01  # square metres of surface for each of its points
_POINT_DISTANCE = 0.1  # metres of a slim triangle's length for each of its points
_POINT_FRACTION = 0.01  # of a voxel that a point on a surface stands for
_LEAST_FRACTION = 0.02  # of a voxel that solids must fill: slivers do not count
# Multiples of these, without their whole part, are spread most evenly over a line and a square.
_GOLDEN = 0.6180339887498949
_SPREAD = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True, eq=False)
class FrameVoxels:
    """The benchmark's grid at one frame.

    Attributes:
        labels: (X, Y, Z) uint8 class ids, 255 where it is empty.
        moving: (X, Y, Z) bool, where a moving car is; None: the drive has none.
    """

    labels: np.ndarray
    moving: np.ndarray | None = None


class SceneVoxels:
    """Fills grids with one scene's solids and surfaces. Building it is the costly part."""

    def __init__(self, scene: Scene, *, threads: int = 0) -> None:
        """Gather solids and points on surfaces.

        Args:
            scene: The scene.
            threads: Threads that cast rays; 0: one per core.
        """
        labels = CITYSCAPES19.ids(tuple(part.class_name for part in scene.parts))
        solids: list[tuple[int, Mesh]] = []
        surfaces: list[tuple[int, Mesh]] = []
        for label, part in zip(labels, scene.parts, strict=True):
            solid = part.volume or (part.mesh if part.solid else None)
            if solid is not None:
                solids.append((label, solid))
            if solid is not part.mesh or mean_thickness(part.mesh) < _THIN:
                surfaces.append((label, part.mesh))
        mesh, self._triangle_label = _joined(solids)
        mesh = _moved_apart(mesh)
        self._triangle_normal = np.cross(*_edges(mesh))  # (T, 3), outwards
        self._rays = open3d.t.geometry.RaycastingScene(nthreads=threads)
        self._rays.add_triangles(
            open3d.core.Tensor(mesh.vertices.astype(np.float32)),
            open3d.core.Tensor(mesh.triangles.astype(np.uint32)),
        )
        self._points, self._point_label = _surface_points(*_joined(surfaces))

    def labels(self, T_world_grid: np.ndarray, grid: VoxelGrid = GRID) -> np.ndarray:
        """Return the (X, Y, Z) uint8 class ids of a grid, 255 where it is empty.

        A voxel is filled where solids of a class fill 2 % of it, or where thin things or leaves
        pass through it; its class is the one that fills most, the lowest of several.

        Args:
            T_world_grid: (4, 4) the grid's frame in the world, metres.
            grid: The grid.
        """
        hits = self._solid_ends(T_world_grid, grid)
        points = self._points_inside(T_world_grid, grid)
        best = np.zeros(grid.shape, dtype=np.float32)
        labels = np.full(grid.shape, EMPTY, dtype=np.uint8)
        for label in np.union1d(np.unique(hits[2]), np.unique(points[1])):
            fraction = _filled_fraction(hits, label, grid)
            fraction[fraction < _LEAST_FRACTION] = 0
            voxels = points[0][points[1] == label]
            fraction += _POINT_FRACTION * np.bincount(voxels, minlength=grid.size).reshape(
                grid.shape
            )
            more = fraction > best
            labels[more] = label
            best[more] = fraction[more]
        return labels

    def _solid_ends(
        self, T_world_grid: np.ndarray, grid: VoxelGrid
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return where rays along the grid's z axis pass through surfaces of solids.

        Returns:
            (N,) each: number of the ray, C order over x and y; height in voxels above the grid's
            bottom; class; 1 where a solid begins, -1 where one ends.
        """
        x, y = (_column_positions(grid, axis) for axis in (0, 1))
        columns = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        starts = np.column_stack([columns, np.full(len(columns), grid.origin[2] - _REACH)])
        rays = np.empty((len(starts), 6), dtype=np.float32)
        rays[:, :3] = starts @ T_world_grid[:3, :3].T + T_world_grid[:3, 3]
        rays[:, 3:] = T_world_grid[:3, 2]
        hits = self._rays.list_intersections(open3d.core.Tensor(rays))
        triangle = hits["primitive_ids"].numpy()
        height = (hits["t_hit"].numpy() - np.float32(_REACH)) / np.float32(grid.voxel_size)
        begins = self._triangle_normal[triangle] @ T_world_grid[:3, 2] < 0
        sign = np.where(begins, np.int8(1), np.int8(-1))
        return hits["ray_ids"].numpy(), height, self._triangle_label[triangle], sign

    def _points_inside(
        self, T_world_grid: np.ndarray, grid: VoxelGrid
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the (N,) flat index of the voxels of points on surfaces, and their (N,) class."""
        T_grid_world = np.linalg.inv(T_world_grid).astype(np.float32)
        points = self._points @ T_grid_world[:3, :3].T + T_grid_world[:3, 3]
        voxel = np.floor(
            (points - np.array(grid.origin, np.float32)) / np.float32(grid.voxel_size)
        )
        inside = ((voxel >= 0) & (voxel < grid.shape)).all(axis=1)
        index = np.ravel_multi_index(tuple(voxel[inside].astype(np.int64).T), grid.shape)
        return index, self._point_label[inside]


def drive_voxels(drive: StreetDrive, frame: int) -> FrameVoxels:
    """Return the benchmark's grid of a drive at a frame; the static scene is kept.

    What stands still takes a voxel that it shares with a moving car, as the road under a tyre.
    """
    T_world_velo = drive.T_world_base(frame) @ T_BASE_VELO
    labels = static_voxels(drive).labels(T_world_velo)
    if not drive.moving_cars:
        return FrameVoxels(labels)
    scene = drive.scene
    cars = replace(scene, parts=scene.moving_parts(frame / drive.rate_hz))
    moving = SceneVoxels(cars, threads=1).labels(T_world_velo)
    return FrameVoxels(np.where(labels == EMPTY, moving, labels), moving != EMPTY)


@functools.lru_cache(maxsize=1)
def static_voxels(drive: StreetDrive) -> SceneVoxels:
    """Return what fills grids with the static scene of a drive; the last one is kept."""
    return SceneVoxels(drive.scene, threads=1)


def mean_thickness(mesh: Mesh) -> float:
    """Return twice the volume over the area of closed surfaces: a plate's thickness, metres."""
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a) / 2
    area = np.linalg.norm(normals, axis=1).sum()
    # From the middle, so that the volume of a surface with holes is small, too.
    volume = ((a - mesh.vertices.mean(axis=0)) * normals).sum() / 3
    return float(2 * abs(volume) / max(area, 1e-12))


def _filled_fraction(
    hits: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], label: int, grid: VoxelGrid
) -> np.ndarray:
    """Return the (X, Y, Z) float32 fraction of each voxel that solids of a class fill."""
    chosen = hits[2] == label
    ray, height, sign = hits[0][chosen], hits[1][chosen], hits[3][chosen]
    # A ray through an edge may meet both triangles, or none; its solid would never end.
    kept = (np.bincount(ray, weights=sign) == 0)[ray]
    ray, height, fraction = ray[kept], height[kept], sign[kept] / np.float32(COLUMN_RAYS**2)
    i, j = np.divmod(ray.astype(np.int64), COLUMN_RAYS * grid.shape[1])
    column = i // COLUMN_RAYS * grid.shape[1] + j // COLUMN_RAYS
    layers = grid.shape[2]
    height = np.clip(height, 0, layers)
    layer = np.minimum(height.astype(np.int64), layers - 1)
    # In its own layer a solid begins or ends within the voxel, in those above it is all or none.
    index = column * (layers + 1) + layer
    shape = (*grid.shape[:2], layers + 1)
    size = int(np.prod(shape))
    within = np.bincount(index, weights=fraction * (layer + 1 - height), minlength=size)
    above = np.bincount(index + 1, weights=fraction, minlength=size)
    total = within.reshape(shape) + np.cumsum(above.reshape(shape), axis=2)
    return total[..., :layers].astype(np.float32)


def _column_positions(grid: VoxelGrid, axis: int) -> np.ndarray:
    step = grid.voxel_size / COLUMN_RAYS
    return grid.origin[axis] + step * (np.arange(COLUMN_RAYS * grid.shape[axis]) + 0.5)


def _joined(meshes: Sequence[tuple[int, Mesh]]) -> tuple[Mesh, np.ndarray]:
    """Return one mesh, and the (T,) uint8 class of its triangles."""
    nothing = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    mesh = merged([nothing, *(mesh for _, mesh in meshes)])
    sizes = [len(mesh.triangles) for _, mesh in meshes]
    return mesh, np.repeat(np.array([label for label, _ in meshes], dtype=np.uint8), sizes)


def _moved_apart(mesh: Mesh) -> Mesh:
    """Return the mesh with each of its closed surfaces raised by its own tiny height."""
    count = len(mesh.vertices)
    start, end = mesh.triangles[:, :2].ravel(), mesh.triangles[:, 1:].ravel()
    links = coo_matrix((np.ones(len(start), dtype=bool), (start, end)), shape=(count, count))
    _, surface = connected_components(links, directed=False)
    heights = _APART * (surface * _GOLDEN % 1.0)
    return Mesh(mesh.vertices + heights[:, None] * (0.0, 0.0, 1.0), mesh.triangles)


def _edges(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2)
    return b - a, c - a


def _surface_points(mesh: Mesh, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 3) float32 points spread evenly over triangles, and their (N,) class."""
    first, second = (edge.astype(np.float32) for edge in _edges(mesh))
    area = np.linalg.norm(np.cross(first, second), axis=1) / 2
    length = np.sqrt(np.maximum((first**2).sum(axis=1), (second**2).sum(axis=1)))
    counts = np.ceil(np.maximum(area / _POINT_AREA, length / _POINT_DISTANCE)).astype(np.int64)
    triangle = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    uv = ((0.5 + number[:, None] * _SPREAD) % 1.0).astype(np.float32)
    uv = np.where(uv.sum(axis=1, keepdims=True) > 1, 1 - uv, uv)
    points = mesh.vertices.astype(np.float32)[mesh.triangles[:, 0]][triangle]
    points += uv[:, :1] * first[triangle]
    points += uv[:, 1:] * second[triangle]
    return points, label[triangle]
