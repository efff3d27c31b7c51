# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The voxels of a box that a camera sees."""

from typing import NamedTuple

import numpy as np
import torch

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.mapping.box import TILE, RollingBox
from scenedino_ros.network.field import MIN_DEPTH


class VoxelsInView(NamedTuple):
    """N voxels of a box, in ascending order of their slots.

    Attributes:
        slot: (N,) int64 flat slot.
        uv_norm: (N, 2) position of the centre in the image, in [-1, 1].
        depth: (N,) depth of the centre along the optical axis, metres.
    """

    slot: torch.Tensor
    uv_norm: torch.Tensor
    depth: torch.Tensor


def voxels_in_view(
    box: RollingBox,
    T_map_cam: np.ndarray,
    camera: PinholeCamera,
    device: torch.device,
    turn: int = 0,
    full_depth: float = np.inf,
) -> VoxelsInView:
    """Return the voxels of a box whose centres a camera sees.

    Args:
        box: The box.
        T_map_cam: (4, 4) camera pose in the box's frame, metres.
        camera: Camera of the network input image.
        device: Where the result lives.
        turn: Number of the image, for tiles that are not asked in every one.
        full_depth: A tile whose depth is n to n + 1 times this is asked in every (n + 1)-th
            image, metres.
    """
    axes = _coordinates(box, T_map_cam, camera, device)
    x, y = _tiles_in_view(box, axes, camera, turn, full_depth)
    inner = torch.arange(TILE, device=device)
    slots_x = (x[:, None] * TILE + inner)[:, :, None, None]
    slots_y = (y[:, None] * TILE + inner)[:, None, :, None]
    by_axis = [axis.T.contiguous() for axis in axes]  # (3, X), (3, Y), (3, Z)
    q = [
        (by_axis[0][row][slots_x] + by_axis[1][row][slots_y]) + by_axis[2][row] for row in range(3)
    ]
    depth = q[2]
    visible = (depth > MIN_DEPTH) & (q[0].abs() <= depth) & (q[1].abs() <= depth)
    chosen = visible.flatten().nonzero().squeeze(1)
    depth = depth.flatten()[chosen]
    uv_norm = torch.empty(len(chosen), 2, device=device)
    for row in (0, 1):
        torch.div(q[row].flatten()[chosen], depth, out=uv_norm[:, row])
    columns = ((slots_x * box.shape[1] + slots_y) * box.shape[2]).flatten()
    height = box.shape[2]
    slot = columns[chosen // height] + chosen % height
    return VoxelsInView(slot, uv_norm, depth)


def _coordinates(
    box: RollingBox, T_map_cam: np.ndarray, camera: PinholeCamera, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (X, 3), (Y, 3) and (Z, 3) whose sums are the centres' homogeneous image positions.

    The camera's position is subtracted in float64, so that a map far from its frame's origin is
    as exact as one around it.
    """
    M = camera.K_norm @ T_map_cam[:3, :3].T
    return tuple(  # type: ignore[return-value]
        torch.from_numpy(
            np.outer(box.centers(axis) - T_map_cam[axis, 3], M[:, axis]).astype(np.float32)
        ).to(device)
        for axis in range(3)
    )


def _tiles_in_view(
    box: RollingBox,
    axes: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    camera: PinholeCamera,
    turn: int,
    full_depth: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices along x and y of tiles that may have a voxel in view.

    A tile is a prism. It is left out if both ends of its axis are farther outside of one side of
    the view than any of its voxels is from that axis.
    """
    along_x = axes[0].view(-1, TILE, 3).mean(dim=1)
    along_y = axes[1].view(-1, TILE, 3).mean(dim=1)
    middle = along_x[:, None] + along_y[None]  # (X / TILE, Y / TILE, 3)
    K = torch.from_numpy(camera.K_norm).float().to(middle.device)
    # Rows a such that a . q >= 0 in view, for the homogeneous image position q.
    sides = torch.tensor(
        [[0.0, 0, 1], [1, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]], device=middle.device
    )
    radius = TILE * box.voxel_size * 2**-0.5
    slack = (sides @ K).norm(dim=1) * radius
    lowest = int(box.low[2] % box.shape[2])
    ends = [middle + axes[2][lowest], middle + axes[2][lowest - 1]]  # -1: the slot of the highest
    inside = torch.maximum(ends[0] @ sides.T, ends[1] @ sides.T) >= -slack
    kept = inside.all(dim=-1)
    if np.isfinite(full_depth):
        depth = torch.minimum(ends[0][..., 2], ends[1][..., 2]).clamp(min=0)
        every = (depth / full_depth).long() + 1
        x = torch.arange(kept.shape[0], device=kept.device)[:, None]
        y = torch.arange(kept.shape[1], device=kept.device)[None]
        kept &= (x + 2 * y + turn) % every == 0
    return tuple(kept.nonzero().T)  # type: ignore[return-value]
