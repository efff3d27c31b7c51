# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Where every voxel of a grid falls in the image; depends on calibration and grid only."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.poses import check_pose
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.coarse_grid import lattice_index, on_lattice
from scenedino_ros.inference.engines.engine import Points
from scenedino_ros.network.field import PositionalCode, project
from scenedino_ros.network.folded import bilinear_taps

_CHUNK = 1 << 17  # voxels projected at a time while a view is prepared
_TILES = 64, 256  # rows and columns of tiles over the image; their number fits 16 bits
# Every third frequency by the sine itself: each doubling between doubles the rounding error.
_SINE_EVERY = 3


@dataclass(frozen=True)
class ViewRequest:
    """Which voxels of a grid are to be queried.

    Attributes:
        out_of_view: All of them, not only those in view.
        grow: Those in view and their neighbours, whose density may grow into the view.
        coarse: Coarse to fine.
    """

    out_of_view: bool
    grow: bool
    coarse: bool = False


@dataclass(frozen=True, eq=False)
class GridView:
    """The queried voxels of a grid, N of them.

    Attributes:
        index: (N,) int64 flat index in the grid; None if every voxel is queried, in the order
            of the grid. Otherwise they are in `image_order`, those on the lattice first.
        visible: (N,) bool, centre inside the view; None if all are.
        uv_norm: (N, 2) position in the image.
        depth: (N,) depth, metres.
        code: The positional code of the camera.
        points: What the engine takes, or None where it would not fit the memory budget.
        lattice: (C,) int64 `lattice_index` of the first C voxels, which are asked before the
            others; None where all are asked at once.
    """

    index: torch.Tensor | None
    visible: torch.Tensor | None
    uv_norm: torch.Tensor
    depth: torch.Tensor
    code: PositionalCode
    points: Points | None
    lattice: torch.Tensor | None = None

    def __len__(self) -> int:
        """Return the number of queried voxels."""
        return len(self.depth)


def camera_points(grid: VoxelGrid, T_grid_cam: np.ndarray) -> np.ndarray:
    """Return the voxel centres in the camera's optical frame.

    Centres are float32, the rigid transform is float64 and its result float32, as in the
    published evaluation.

    Args:
        grid: The grid.
        T_grid_cam: (4, 4) camera pose in the grid frame, metres.

    Returns:
        (X * Y * Z, 3) float32 points, metres.

    Raises:
        InputError: If the pose is not a rigid transform within the bound of distances.
    """
    T_grid_cam = np.asarray(T_grid_cam, dtype=np.float64)
    check_pose(T_grid_cam, "T_grid_cam")
    T_cam_grid = np.linalg.inv(T_grid_cam)
    centers = grid.centers().reshape(-1, 3)
    points = np.empty_like(centers)
    for start in range(0, len(centers), _CHUNK):
        part = centers[start : start + _CHUNK].astype(np.float64)
        points[start : start + _CHUNK] = part @ T_cam_grid[:3, :3].T + T_cam_grid[:3, 3]
    return points


def view_grid(
    grid: VoxelGrid,
    T_grid_cam: np.ndarray,
    camera: PinholeCamera,
    map_size: tuple[int, int],
    request: ViewRequest,
    code: PositionalCode,
    *,
    device: torch.device,
    budget: int,
) -> GridView:
    """Project a grid into the image.

    Args:
        grid: The grid.
        T_grid_cam: (4, 4) camera pose in the grid frame, metres.
        camera: Camera of the network input image.
        map_size: (H', W') of the feature map.
        request: Which voxels to query.
        code: The network's positional code.
        device: Where the result lives.
        budget: Bytes the view's points may take; beyond it they are not kept.

    Returns:
        The queried voxels.
    """
    points = torch.from_numpy(camera_points(grid, T_grid_cam))
    K_norm = torch.from_numpy(camera.K_norm).float()
    parts = [project(part.unsqueeze(0), K_norm) for part in points.split(_CHUNK)]
    visible = torch.cat([part.visible[0] for part in parts])
    uv_norm = torch.cat([part.uv_norm[0] for part in parts])
    depth = torch.cat([part.depth[0] for part in parts])
    del points, parts
    index, lattice = None, None
    if request.coarse or not request.out_of_view:
        wanted = dilate(visible, grid.shape) if request.grow else visible
        index = torch.arange(grid.size) if request.out_of_view else wanted.nonzero().squeeze(1)
        index = index[image_order(uv_norm[index])]
        if request.coarse:
            first = on_lattice(index, grid.shape)
            lattice = lattice_index(index[first], grid.shape).to(device)
            index = torch.cat([index[first], index[~first]])
        uv_norm, depth, visible = uv_norm[index], depth[index], visible[index]
    fits = len(depth) * (code.channels + 8) * 4 <= budget
    uv_norm, depth = uv_norm.to(device), depth.to(device)
    code = code.for_camera(K_norm.to(device))
    return GridView(
        index=None if index is None else index.to(device),
        visible=visible.to(device) if request.grow and not request.out_of_view else None,
        uv_norm=uv_norm,
        depth=depth,
        code=code,
        points=_all_points(uv_norm, depth, map_size, code) if fits else None,
        lattice=lattice,
    )


def _all_points(
    uv_norm: torch.Tensor, depth: torch.Tensor, map_size: tuple[int, int], code: PositionalCode
) -> Points:
    """Return the points of many positions, filled chunk by chunk to keep the peak low."""
    count, device = len(depth), depth.device
    result = Points(
        torch.empty(count, 4, dtype=torch.int32, device=device),
        torch.empty(count, 4, device=device),
        torch.empty(count, code.channels, device=device),
    )
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        found = points_at(uv_norm[part], depth[part], map_size, code)
        for column, values in zip(result, found, strict=True):
            column[part] = values
    return result


def image_order(uv_norm: torch.Tensor) -> torch.Tensor:
    """Return the (N,) int64 order of (N, 2) positions in the image, tile by tile.

    Points that follow each other then read the same cells of the feature map, which a near cache
    still holds. In the order of the grid they do not.
    """
    rows, columns = _TILES
    u, v = uv_norm.clamp(-1, 1).T
    row, column = ((v + 1) * (rows / 2)).int(), ((u + 1) * (columns / 2)).int()
    tile = row.clamp_(max=rows - 1) * columns + column.clamp_(max=columns - 1)
    # NumPy sorts 16-bit integers by their digits, without comparing them.
    order = np.argsort(tile.to(torch.int16).numpy(), kind="stable")
    return torch.from_numpy(order)


def points_at(
    uv_norm: torch.Tensor, depth: torch.Tensor, map_size: tuple[int, int], code: PositionalCode
) -> Points:
    """Return the points at positions in the image.

    Args:
        uv_norm: (N, 2) clamped image position.
        depth: (N,) depth, metres.
        map_size: (H', W') of the feature map.
        code: The positional code of the camera, from `PositionalCode.for_camera`.
    """
    index, weight = bilinear_taps(uv_norm, *map_size)
    return Points(index, weight, encode_positions(code, uv_norm, depth))


def bytes_per_point(config: ModelConfig) -> int:
    """Return how much working memory it takes to evaluate a point."""
    # Positional code, sampled map and hidden layer, each with one temporary copy.
    return 8 * (3 + 6 * config.n_frequencies + 2 * config.hidden_dim)


def bytes_per_class(config: ModelConfig) -> int:
    """Return how much working memory it takes to classify a feature."""
    return 16 * backbone_spec(config.backbone).width


def encode_positions(
    code: PositionalCode, uv_norm: torch.Tensor, depth: torch.Tensor
) -> torch.Tensor:
    """Return the (N, K) positional code of (N, 2) image positions and (N,) depths.

    It equals what the code's `forward` returns, but it is laid out by channel: a wave of all
    points is one run of memory, which takes half the time. Frequencies double, so for u and v two
    waves of three follow from the wave below: sin 2x = 2 sin x cos x, cos 2x = 1 - 2 sin^2 x.
    Not for the depth: its code is in the thousands right at the camera.
    """
    result = torch.empty(code.channels, len(depth), device=depth.device)
    position = result[:3]
    position[:2] = uv_norm.T
    position[2] = code.depth_coordinate(depth)
    waves = result[3:].view(-1, 2, 3, len(depth))  # frequency, sine or cosine, coordinate, point
    _sines(position[2:], code.frequencies, waves[:, :, 2:])
    plane = waves[:, :, :2]
    _sines(position[:2], code.frequencies[::_SINE_EVERY], plane[::_SINE_EVERY])
    for step in range(1, _SINE_EVERY):
        wave = plane[step::_SINE_EVERY]
        lower = plane[step - 1 :: _SINE_EVERY][: len(wave)]
        torch.mul(lower[:, 0], lower[:, 1], out=wave[:, 0]).mul_(2)
        torch.square(lower[:, 0], out=wave[:, 1]).mul_(-2).add_(1)
    return result.T


def encode_depths(code: PositionalCode, depth: torch.Tensor) -> torch.Tensor:
    """Return the (N, K / 3) depth's part of the positional code of (N,) depths."""
    result = torch.empty(code.channels // 3, len(depth), device=depth.device)
    result[0] = code.depth_coordinate(depth)
    waves = result[1:].view(-1, 2, 1, len(depth))  # frequency, sine or cosine, coordinate, point
    _sines(result[:1], code.frequencies, waves)
    return result.T


def _sines(position: torch.Tensor, frequencies: torch.Tensor, waves: torch.Tensor) -> None:
    """Write sines and cosines (F, 2, C, N) of (C, N) coordinates at (F,) frequencies."""
    phases = position * frequencies.view(-1, 1, 1)
    torch.sin(phases, out=waves[:, 0])
    torch.sin(phases.add_(math.pi / 2), out=waves[:, 1])


def dilate(mask: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Return the flat bool mask that is True where any of the 27 neighbours is True."""
    return max_3x3x3(mask.float(), shape) > 0


def max_3x3x3(values: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Return the flat maximum over the 3x3x3 neighbourhood of each voxel of a flat grid."""
    volume = values.view(shape).clone()
    scratch = torch.empty_like(values)
    for axis, length in enumerate(shape):
        lower, upper = volume.narrow(axis, 0, length - 1), volume.narrow(axis, 1, length - 1)
        pairs = scratch[: lower.numel()].view(lower.shape)
        torch.maximum(lower, upper, out=pairs)
        lower.copy_(pairs)
        torch.maximum(upper, pairs, out=upper)
    return volume.flatten()
