# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Finds the visible faces of occupied voxels: those that no other voxel covers."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.voxels import SemanticVoxels

# Outward normals of a cube's six sides, and the corners of each side in units of the edge
# length, counter-clockwise seen from outside.
NORMALS = np.array(
    [[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], dtype=np.int64
)
_CORNERS = np.array(
    [
        [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]],
        [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]],
        [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]],
        [[0, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 0]],
        [[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]],
        [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]],
    ],
    dtype=np.int64,
)


@dataclass(frozen=True, eq=False)
class CubeFaces:
    """F square faces of M cubes.

    Attributes:
        corners: (F, 4, 3) float32 in the grid frame, metres, counter-clockwise from outside.
        owner: (F,) int64 position of the face's voxel in the `SemanticVoxels`.
        side: (F,) int64 row of `NORMALS`.
        cover: (F,) int64, 0 to 8: occupied voxels around the empty cell in front of the face,
            in the face's plane. Faces in corners and creases have many.
    """

    corners: np.ndarray
    owner: np.ndarray
    side: np.ndarray
    cover: np.ndarray

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.owner)


def exposed_faces(voxels: SemanticVoxels) -> CubeFaces:
    """Return the faces between an occupied and an empty voxel, or on the grid's border.

    Args:
        voxels: M occupied voxels.

    Returns:
        The faces, ordered by side, then by voxel.
    """
    grid = voxels.grid
    padded = np.zeros(tuple(count + 2 for count in grid.shape), dtype=bool)
    padded[1:-1, 1:-1, 1:-1] = voxels.occupied()
    ijk = np.stack(np.unravel_index(voxels.index, grid.shape), axis=-1)  # (M, 3)
    owners, sides, covers = [], [], []
    for number, normal in enumerate(NORMALS):
        front = ijk + 1 + normal
        owner = np.flatnonzero(~padded[tuple(front.T)])
        owners.append(owner)
        sides.append(np.full(len(owner), number, dtype=np.int64))
        covers.append(_cover(padded, front[owner], normal))
    owner = np.concatenate(owners)
    side = np.concatenate(sides)
    origin = np.asarray(grid.origin, dtype=np.float32)
    corners = (ijk[owner][:, None, :] + _CORNERS[side]).astype(np.float32)
    return CubeFaces(
        corners=origin + corners * np.float32(grid.voxel_size),
        owner=owner,
        side=side,
        cover=np.concatenate(covers),
    )


def _cover(padded: np.ndarray, front: np.ndarray, normal: np.ndarray) -> np.ndarray:
    first, second = np.eye(3, dtype=np.int64)[normal == 0]
    limit = np.array(padded.shape) - 1
    cover = np.zeros(len(front), dtype=np.int64)
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            cell = np.clip(front + a * first + b * second, 0, limit)
            cover += padded[tuple(cell.T)]
    return cover
