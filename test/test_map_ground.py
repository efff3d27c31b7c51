# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The ground of a map, its occupancy grid, its obstacles, and its files."""

import json

import numpy as np
import pytest

from scenedino_ros.core.costs import ClassCosts
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE, UNNAMED_COLOR
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.mapping.ground import (
    UNKNOWN,
    Ground,
    find_ground,
    ground_mask,
    obstacle_mask,
    occupancy_values,
)
from scenedino_ros.mapping.map_file import save_map
from scenedino_ros.mapping.map_voxels import MapVolume, MapVoxels
from scenedino_ros.viewing.voxel_files import read_npz
from scenedino_ros.viewing.window import mesh_of_file

COSTS = ClassCosts.of(CITYSCAPES19)
ROAD, TERRAIN, BUILDING, VEGETATION, CAR = CITYSCAPES19.ids(
    ("road", "terrain", "building", "vegetation", "car")
)
HEIGHTS = (0.3, 2.0)
GRID = VoxelGrid((-4.0, -4.0, -1.0), (40, 40, 20), 0.2)


class Scene:
    """A map made by hand; everything that is not filled is free."""

    def __init__(self, altitude: float = 0.0) -> None:
        x, y, z = GRID.origin
        self.grid = VoxelGrid((x, y, z + altitude), GRID.shape, GRID.voxel_size)
        self.occupied = np.zeros(GRID.shape, bool)
        self.free = np.ones(GRID.shape, bool)
        self.label = np.full(GRID.shape, IGNORE, np.uint8)

    def fill(self, x, y, z, label) -> "Scene":
        """Fill metres (low, high) along each axis with a class."""
        place = tuple(
            slice(round((low - start) / 0.2), round((high - start) / 0.2))
            for (low, high), start in zip((x, y, z), GRID.origin, strict=True)
        )
        self.occupied[place], self.free[place], self.label[place] = True, False, label
        return self

    def volume(self) -> MapVolume:
        return MapVolume(self.grid, self.occupied, self.free, self.label)

    def voxels(self) -> MapVoxels:
        index = self.occupied.ravel().nonzero()[0]
        ones = np.ones(len(index), np.float32)
        return MapVoxels(self.grid, index, self.label.ravel()[index], ones, ones, 0 * ones)


def street(altitude: float = 0.0) -> Scene:
    return Scene(altitude).fill((-4, 4), (-4, 4), (-0.4, 0), ROAD)


def value_at(values: np.ndarray, x: float, y: float) -> int:
    return int(values[int((x + 4) / 0.2), int((y + 4) / 0.2)])


def test_grid_has_road_obstacles_and_what_hangs_above_the_robot():
    scene = street().fill((2, 3), (-1, 1), (0, 1.4), CAR)
    scene.fill((-3, -2), (-1, 1), (2.2, 2.8), VEGETATION)  # a branch above 2 m
    scene.fill((0, 4), (2, 4), (-0.4, 0), TERRAIN)
    volume = scene.volume()
    ground = find_ground(volume, COSTS, np.zeros(3))
    values = occupancy_values(volume, ground, COSTS, HEIGHTS)
    assert np.abs(ground.height).max() < 1e-6
    assert value_at(values, 2.5, 0) == 100
    assert value_at(values, -2.5, 0) == 0
    assert value_at(values, 1.5, 3) == COSTS.cost[TERRAIN] > 0
    assert (values >= 0).all()


def test_unknown_columns_stay_unknown():
    scene = street()
    scene.occupied[:, :10], scene.free[:, :10] = False, False
    volume = scene.volume()
    values = occupancy_values(volume, find_ground(volume, COSTS, np.zeros(3)), COSTS, HEIGHTS)
    assert (values[:, :10] == UNKNOWN).all()
    assert (values[:, 10:] == 0).all()


def test_column_of_free_air_without_ground_is_free():
    scene = street()
    scene.occupied[5:8, 5:8] = False
    volume = scene.volume()
    ground = find_ground(volume, COSTS, np.zeros(3))
    assert (ground.layer[5:8, 5:8] == -1).all()
    assert np.abs(ground.height[5:8, 5:8]).max() < 1e-6
    assert (occupancy_values(volume, ground, COSTS, HEIGHTS)[5:8, 5:8] == 0).all()


def test_ground_follows_a_slope():
    scene = Scene()
    for i in range(40):
        top = 0.2 * round(0.12 * (i - 20) / 2)
        scene.fill((-4 + 0.2 * i, -3.8 + 0.2 * i), (-4, 4), (-1, top), ROAD)
    scene.fill((3, 3.6), (-0.6, 0.6), (0.4, 1.4), CAR)
    volume = scene.volume()
    ground = find_ground(volume, COSTS, np.zeros(3))
    assert ground.height.max() - ground.height.min() == pytest.approx(0.4, abs=1e-5)
    values = occupancy_values(volume, ground, COSTS, HEIGHTS)
    assert value_at(values, 3.3, 0) == 100
    assert (values[:30] == 0).all()


def test_roof_of_a_drivable_class_is_not_the_ground():
    scene = street().fill((-4, 4), (-4, 4), (1.8, 2.2), ROAD)  # a bridge
    ground = find_ground(scene.volume(), COSTS, np.zeros(3))
    assert np.abs(ground.height).max() < 1e-6


def test_of_two_surfaces_the_one_nearer_to_the_robots_height_is_the_ground():
    scene = street().fill((2, 4), (-4, 4), (0.4, 0.6), TERRAIN)  # within the band
    volume = scene.volume()
    ground = find_ground(volume, COSTS, np.zeros(3))
    assert np.abs(ground.height).max() < 1e-6
    assert (find_ground(volume, COSTS, np.array([0, 0, 0.6])).height[35:, :] > 0.5).all()


def test_without_any_ground_the_plane_under_the_robot_serves():
    scene = Scene().fill((2, 3), (-1, 1), (0, 1.4), BUILDING)
    ground = find_ground(scene.volume(), COSTS, np.array([0, 0, -0.5]))
    assert (ground.height == -0.5).all()
    assert (ground.layer == -1).all()


def test_obstacles_and_ground_are_parts_of_the_voxels():
    scene = street().fill((2, 3), (-1, 1), (0, 3), CAR)
    volume, voxels = scene.volume(), scene.voxels()
    ground = find_ground(volume, COSTS, np.zeros(3))
    obstacles = voxels.select(obstacle_mask(voxels, ground, COSTS, HEIGHTS))
    assert set(obstacles.label.tolist()) == {CAR}
    assert len(obstacles) == 5 * 10 * 9  # centres from 0.3 to 1.9 m
    surface = voxels.select(ground_mask(voxels, ground))
    assert len(surface) == 40 * 40 - 5 * 10
    assert surface.centers()[:, 2] == pytest.approx(-0.1)


def test_a_map_may_be_longer_than_wide():
    grid = VoxelGrid((-4.0, -2.0, -1.0), (40, 20, 20), 0.2)
    label = np.full(grid.shape, ROAD, np.uint8)
    occupied = np.zeros(grid.shape, bool)
    x = np.abs(grid.origin[0] + 0.2 * (np.arange(40) + 0.5))
    for i in range(40):  # rises by 0.3 m a metre, ahead and behind
        occupied[i, :, : 5 + round(0.3 * x[i] / 0.2)] = True
    ground = find_ground(MapVolume(grid, occupied, ~occupied, label), COSTS, np.zeros(3))
    reach = 0.6 / (0.3 - 0.15)  # where the slope leaves the band
    known = ground.layer >= 0
    assert known[x < reach - 0.4].all()
    beside = VoxelGrid((-2.0, -4.0, -1.0), (20, 40, 20), 0.2)
    turned = MapVolume(
        beside, *(values.transpose(1, 0, 2) for values in (occupied, ~occupied, label))
    )
    np.testing.assert_array_equal(find_ground(turned, COSTS, np.zeros(3)).layer.T, ground.layer)


def test_columns_need_half_of_what_is_known_to_be_free():
    scene = Scene()
    scene.free[:] = False
    scene.fill((-4, 4), (-4, 4), (0.4, 1.4), ROAD)  # drivable, and no ground: out of the band
    scene.free[:, :, 12:15] = True  # 1.4 to 2 m: three of eight layers
    plane = Ground(np.zeros(GRID.shape[:2]), np.full(GRID.shape[:2], -1))
    assert (occupancy_values(scene.volume(), plane, COSTS, HEIGHTS) == UNKNOWN).all()
    scene.free[:, :, 5:7] = True
    scene.occupied[:, :, 9:] = False
    assert (occupancy_values(scene.volume(), plane, COSTS, HEIGHTS) == 0).all()


@pytest.mark.parametrize("altitude", [2240.0, 3000.2, 4000.4, 8000.6])
def test_obstacles_are_as_high_on_a_mountain(altitude):
    scene = street(altitude).fill((2, 3), (-1, 1), (0, 0.4), CAR)
    volume, voxels = scene.volume(), scene.voxels()
    ground = find_ground(volume, COSTS, np.array([0.0, 0.0, altitude]))
    assert value_at(occupancy_values(volume, ground, COSTS, HEIGHTS), 2.5, 0) == 100
    assert obstacle_mask(voxels, ground, COSTS, HEIGHTS).sum() == 5 * 10


def test_saved_map_is_read_again(tmp_path):
    voxels = street().fill((0, 0.2), (0, 0.2), (2, 2.2), IGNORE).voxels()
    ply, npz = save_map(
        tmp_path / "maps", voxels, CITYSCAPES19, frame="odom", stamp_ns=12_000_000_345, weights="w"
    )
    assert ply.name == "map_12_000000345.ply"
    assert b"comment frame odom" in ply.read_bytes()[:400]
    again = read_npz(npz)
    assert (again.index == voxels.index).all()
    with np.load(npz) as data:
        assert str(data["frame"]) == "odom"
        assert (data["age"] == 0).all()
        assert "none was named yet" in json.loads(str(data["about"]))["label"]
    colors = np.asarray(mesh_of_file(npz).vertex_colors)
    assert (np.round(colors * 255) == UNNAMED_COLOR).all(
        axis=1
    ).sum() == 6 * 4  # a cube in the air
    assert (np.asarray(mesh_of_file(ply).vertex_colors) == colors).all()
    assert sorted(path.name for path in npz.parent.iterdir()) == [npz.name, ply.name]
