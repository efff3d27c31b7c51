# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pictures of a map: the right colours at the right places, over the whole drive."""

import io

import numpy as np
import pytest
from PIL import Image

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.viewing.drive_map import UNKNOWN, DriveMap, Extent, topmost
from scenedino_ros.viewing.map_panel import grid_panel, growing_panel, map_panel
from scenedino_ros.viewing.map_view import (
    FREE_COLOR,
    OCCUPIED_COLOR,
    UNKNOWN_COLOR,
    draw_occupancy_grid,
    draw_top_down,
    grid_palette,
    voxel_palette,
)
from scenedino_ros.viewing.pictures import write_animation

CAR, ROAD = CITYSCAPES19.ids(("car", "road"))


def box_at(x: float, y: float = -2.0) -> VoxelGrid:
    return VoxelGrid((x, y, -1.0), (8, 8, 4), 0.5)


def voxels_at(grid: VoxelGrid, cells, label) -> SemanticVoxels:
    """Return voxels at (M, 3) cells of one class or of M classes."""
    index = np.ravel_multi_index(np.reshape(cells, (-1, 3)).astype(int).T, grid.shape)
    order = np.argsort(index)
    label = np.broadcast_to(np.asarray(label, dtype=np.uint8), index.shape)[order]
    ones = np.ones(len(index), dtype=np.float32)
    return SemanticVoxels(grid, index[order], label, ones, ones)


def pose(x: float, y: float, yaw: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[:2, 3] = x, y
    return T


def pixel(picture: np.ndarray, extent: Extent, x: float, y: float) -> tuple[int, ...]:
    """Return the colour at a point of the fixed frame in a picture that shows an extent."""
    height, width = picture.shape[:2]
    column = (x - extent.x_low) / (extent.x_high - extent.x_low) * width
    row = (extent.y_high - y) / (extent.y_high - extent.y_low) * height
    return tuple(picture[int(row), int(column)].tolist())


def test_the_topmost_voxel_of_each_column_counts():
    rng = np.random.default_rng(0)
    grid = box_at(3.0)
    occupied = rng.random(grid.shape) < 0.3
    cells = np.argwhere(occupied)
    labels = rng.integers(0, 19, len(cells))
    label, height = topmost(voxels_at(grid, cells, labels))
    for i, j in np.ndindex(8, 8):
        levels = np.flatnonzero(occupied[i, j])
        if not len(levels):
            assert label[i, j] == IGNORE
            assert np.isnan(height[i, j])
            continue
        row = np.flatnonzero((cells == [i, j, levels[-1]]).all(axis=1))
        assert label[i, j] == labels[row]
        assert height[i, j] == pytest.approx(-1.0 + 0.5 * (levels[-1] + 1))


def test_the_drive_keeps_what_leaves_the_box_and_replaces_what_is_in_it():
    first, second = box_at(0.0), box_at(2.0)
    drive = DriveMap([second, first])
    assert drive.extent == (0.0, -2.0, 6.0, 2.0)
    cost = np.zeros((8, 8), dtype=np.int8)
    drive.update(voxels_at(first, [(0, 0, 1), (6, 0, 1)], CAR), cost)
    drive.update(voxels_at(second, [(7, 7, 2)], ROAD))
    assert drive.label[0, 0] == CAR  # left the box
    assert drive.label[6, 0] == IGNORE  # cleared in the box
    assert drive.label[11, 7] == ROAD
    assert drive.height[11, 7] == pytest.approx(0.5)
    assert (drive.cost[:4] == 0).all()
    assert (drive.cost[4:] == UNKNOWN).all()
    assert (drive.inside.any(axis=1) == (np.arange(12) >= 4)).all()


def test_what_is_known_is_shown_with_the_robot():
    drive = DriveMap([box_at(0.0), box_at(20.0)])
    assert drive.known() == drive.extent
    drive.update(voxels_at(box_at(0.0), [(2, 3, 0)], CAR))
    assert drive.known() == pytest.approx((1.0, -0.5, 1.5, 0.0))
    assert drive.known([pose(5.0, 0.0)]) == pytest.approx((1.0, -2.0, 7.0, 2.0))


def test_columns_have_the_colours_of_their_classes_at_their_places():
    grid = box_at(0.0)
    drive = DriveMap([grid])
    drive.update(voxels_at(grid, [(6, 1, 2), (1, 6, 2), (4, 4, 2)], [CAR, ROAD, IGNORE]))
    picture = draw_top_down(drive, CITYSCAPES19, shown=drive.extent, size=(400, 400))
    assert picture.shape == (400, 400, 3)
    assert pixel(picture, drive.extent, 2.25, -1.25) == UNKNOWN_COLOR
    for (x, y), label in (((3.25, -1.25), CAR), ((0.75, 1.25), ROAD), ((2.25, 0.25), IGNORE)):
        shown = np.array(pixel(picture, drive.extent, x, y), dtype=float)
        expected = voxel_palette(CITYSCAPES19)[label].astype(float)
        assert np.abs(shown / expected - np.mean(shown / expected)).max() < 0.05
        assert 0.7 < np.mean(shown / expected) < 1.3


def test_what_left_the_box_is_faded():
    drive = DriveMap([box_at(0.0), box_at(4.0)])
    drive.update(voxels_at(box_at(0.0), [(4, 4, 1)], CAR), np.zeros((8, 8), np.int8))
    drive.update(voxels_at(box_at(4.0), [(4, 4, 1)], CAR), np.zeros((8, 8), np.int8))
    shown, size = drive.extent, (800, 400)
    above = draw_top_down(drive, CITYSCAPES19, shown=shown, size=size)
    old, new = (np.array(pixel(above, shown, x, 0.25), float) for x in (2.25, 6.25))
    assert np.linalg.norm(old - UNKNOWN_COLOR) < 0.6 * np.linalg.norm(new - UNKNOWN_COLOR)
    grid = draw_occupancy_grid(drive, shown=shown, size=size)
    assert pixel(grid, shown, 6.25, 0.25) == FREE_COLOR
    assert UNKNOWN_COLOR < pixel(grid, shown, 2.25, 0.25) < FREE_COLOR


def test_the_occupancy_grid_shows_free_occupied_costs_and_unknown():
    grid = box_at(0.0)
    drive = DriveMap([grid])
    cost = np.full((8, 8), UNKNOWN, dtype=np.int8)
    cost[6, 1], cost[1, 6], cost[4, 4], cost[5, 4] = 0, 100, 30, 60
    drive.update(voxels_at(grid, [], CAR), cost)
    picture = draw_occupancy_grid(drive, shown=drive.extent, size=(400, 400))
    assert pixel(picture, drive.extent, 3.25, -1.25) == FREE_COLOR
    assert pixel(picture, drive.extent, 0.75, 1.25) == OCCUPIED_COLOR
    assert pixel(picture, drive.extent, 2.25, 1.25) == UNKNOWN_COLOR
    low, high = (pixel(picture, drive.extent, x, 0.25) for x in (2.25, 2.75))
    assert low == tuple(grid_palette()[30])
    assert high == tuple(grid_palette()[60])
    assert low[1] > high[1]  # from yellow to red


@pytest.mark.parametrize(("yaw", "ahead"), [(0.0, (1, 0)), (np.pi / 2, (0, 1)), (np.pi, (-1, 0))])
def test_the_arrow_points_where_the_robot_looks(yaw, ahead):
    drive = DriveMap([box_at(0.0)])
    track = [pose(2.0, 0.0, yaw)]
    shown = drive.extent
    without = draw_occupancy_grid(drive, shown=shown, size=(200, 200))
    red = draw_occupancy_grid(drive, track, shown=shown, size=(200, 200)).astype(int)
    changed = (red != without).any(axis=-1) & (red[..., 0] - red[..., 1] > 100)
    rows, columns = np.nonzero(changed)
    x, y = columns / 50, 2 - rows / 50  # metres
    along = (x - 2.0) * ahead[0] + y * ahead[1]
    assert 1.2 < along.max() < 1.7  # the tip
    assert -1.2 < along.min() < -0.7
    across = (x - 2.0) * -ahead[1] + y * ahead[0]
    assert across.max() == pytest.approx(-across.min(), abs=0.15)


def test_a_picture_wider_than_what_is_shown_has_it_in_the_middle():
    grid = box_at(0.0)
    drive = DriveMap([grid])
    drive.update(voxels_at(grid, [], CAR), np.zeros((8, 8), np.int8))
    picture = draw_occupancy_grid(drive, shown=drive.extent, size=(600, 200))
    free = (picture[50] == FREE_COLOR).all(axis=-1)
    assert free[205:395].all()
    assert not free[:195].any()
    assert not free[405:].any()


def test_panels_of_one_drive_have_one_size_and_become_a_small_animation(tmp_path):
    boxes = [box_at(float(x)) for x in range(4)]
    drive, track, frames = DriveMap(boxes), [], []
    camera = PinholeCamera.from_focal(80, 80, 79.5, 31.5, 160, 64)
    rng = np.random.default_rng(0)
    for grid in boxes:
        voxels = voxels_at(grid, np.argwhere(rng.random(grid.shape) < 0.5), CAR)
        drive.update(voxels, rng.integers(-1, 101, (8, 8)).astype(np.int8))
        track.append(pose(grid.origin[0] + 2.0, 0.0))
        frames.append(growing_panel(drive, CITYSCAPES19, track, drive.extent))
    assert len({frame.shape for frame in frames}) == 1
    assert all((a != b).any() for a, b in zip(frames[:-1], frames[1:], strict=True))
    path = tmp_path / "map.webp"
    write_animation(path, frames, rate_hz=5)
    large = path.stat().st_size
    write_animation(path, frames, rate_hz=5, most_bytes=large // 3)
    assert path.stat().st_size <= large // 3
    with Image.open(io.BytesIO(path.read_bytes())) as animation:
        assert animation.n_frames == 4
    T_map_cam = track[-1] @ [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]]
    whole = map_panel(drive, voxels, CITYSCAPES19, track, T_map_cam=T_map_cam, camera=camera)
    alone = grid_panel(drive, track, title="a drive", weights="untrained weights")
    assert whole.shape[2] == alone.shape[2] == 3
    assert (whole[60:-80, 720:-20] != whole[60, 720]).any()
