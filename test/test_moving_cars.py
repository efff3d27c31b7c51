# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Cars that move along synthetic streets: where they are at each frame, in all ground truth."""

import json

import numpy as np
import pytest
from plain_street import CAR_START, CAR_VELOCITY, plain_street

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.recordings.datasets.kitti360_folders import sequence_name
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.scene.plan import LEFT, RIGHT, plan_street
from scenedino_ros.streets.scene.street import make_street

pytest.importorskip("open3d", reason="Open3D cannot be imported")
dataset = pytest.importorskip("scenedino_ros.streets.dataset")
drive_module = pytest.importorskip("scenedino_ros.streets.drive")
render = pytest.importorskip("scenedino_ros.streets.render")
rig = pytest.importorskip("scenedino_ros.streets.rig")
voxels = pytest.importorskip("scenedino_ros.streets.voxels")

ROAD, CAR = CITYSCAPES19.ids(("road", "car"))
SMALL = render.RenderSettings(rig.RigSettings(("camera_00",), width=96), rays_per_pixel=1)
SPEED, LENGTH = 8.0, 24.0


@pytest.fixture
def _plain_streets(monkeypatch):
    monkeypatch.setattr(drive_module, "make_street", plain_street)
    caches = (drive_module._street, render._renderer, voxels.static_voxels)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def centers(parts) -> set:
    return {tuple(part.mesh.vertices.mean(axis=0)) for part in parts}


@pytest.mark.parametrize(
    ("seed", "parts", "triangles", "total"),
    [(0, 544, 726316, 93127250.70112894), (2000, 753, 531564, 69295424.61791846)],
)
def test_a_street_without_moving_cars_is_the_one_it_always_was(seed, parts, triangles, total):
    """Counts and sums of coordinates, of the streets before cars could move."""
    scene = make_street(seed, LENGTH)
    assert scene.cars == ()
    assert scene.at(3.0).parts == scene.parts
    assert len(scene.parts) == parts
    assert sum(len(part.mesh.triangles) for part in scene.parts) == triangles
    found = sum(np.abs(part.mesh.vertices).sum() for part in scene.parts)
    assert found == pytest.approx(total, rel=1e-9)


def test_moving_cars_only_clear_the_lanes():
    still, moving = make_street(2000, LENGTH), make_street(2000, LENGTH, 4, SPEED)
    kept, plan = centers(moving.parts), plan_street(2000)
    assert kept < centers(still.parts)
    for part in still.parts:
        if tuple(part.mesh.vertices.mean(axis=0)) not in kept:
            y = part.mesh.vertices[:, 1]
            assert y.max() > -plan.lanes_end(RIGHT)
            assert y.min() < plan.lanes_end(LEFT)


@pytest.mark.parametrize("seed", range(2000, 2004))
def test_cars_move_at_constant_speed_and_never_meet(seed):
    scene = make_street(seed, LENGTH, 6, SPEED)
    plan = plan_street(seed)
    assert len(scene.cars) == 6
    for seconds in (0.0, 1.5, 3.0):
        boxes = []
        for car in scene.cars:
            parts = car.placed(seconds)
            if not parts:
                continue
            vertices = np.concatenate([part.mesh.vertices for part in parts])
            x = car.start + car.velocity * seconds
            assert abs((vertices[:, 0].min() + vertices[:, 0].max()) / 2 - x) < 0.1
            assert vertices[:, 2].min() == pytest.approx(0, abs=0.1)
            boxes.append((vertices.min(axis=0), vertices.max(axis=0)))
            if car.y == pytest.approx(plan.lane_y, abs=1.0):  # our own lane: ahead, not slower
                assert vertices[:, 0].min() > SPEED * seconds + 6.0
        for i, (low, high) in enumerate(boxes):
            for other_low, other_high in boxes[:i]:
                assert (low > other_high).any() or (high < other_low).any()


@pytest.mark.usefixtures("_plain_streets")
def test_all_ground_truth_shows_a_car_where_it_is_at_the_frames_time():
    street = StreetDrive(3, 6, 10.0, SPEED, moving_cars=1)
    grid = VoxelGrid((0.0, -25.6, -2.0), (256, 256, 32), 0.2)
    for frame in (0, 5):
        filled = voxels.drive_voxels(street, frame)
        T_world_velo = street.T_world_base(frame) @ rig.T_BASE_VELO
        world = grid.centers().reshape(-1, 3) @ T_world_velo[:3, :3].T + T_world_velo[:3, 3]
        x = CAR_START + CAR_VELOCITY * frame / 10
        inside = (np.abs(world - (x, 4.0, 0.9)) < (2 - 0.2, 1 - 0.2, 0.6 - 0.2)).all(axis=1)
        outside = (np.abs(world - (x, 4.0, 0.9)) > (2 + 0.2, 1 + 0.2, 0.6 + 0.2)).any(axis=1)
        assert inside.sum() > 500
        assert filled.moving.reshape(-1)[inside].all()
        assert not filled.moving.reshape(-1)[outside].any()
        assert (filled.labels[filled.moving] == CAR).all()
        image = render.render_frame(street, SMALL, frame)["camera_00"]
        front = image.depth[image.label == CAR].min()
        camera_x = (street.T_world_base(frame) @ rig.T_BASE_CAM)[0, 3]
        assert front == pytest.approx(x - 2 - camera_x, abs=0.5)
    without = voxels.drive_voxels(StreetDrive(3, 6, 10.0, SPEED), 0)
    assert without.moving is None
    assert not (without.labels == CAR).any()
    assert (without.labels == ROAD).any()


@pytest.mark.usefixtures("_plain_streets")
def test_folders_have_the_voxels_of_moving_cars(tmp_path):
    settings = dataset.DatasetSettings(1, render=SMALL, moving_cars=2)
    data = dataset.SyntheticDataset(tmp_path, settings)
    data.make([3], ("folders",), workers=1)
    folder = data.kitti360 / "data_2d_raw" / sequence_name(3) / "voxels"
    moving = np.fromfile(folder / "000000.moving", np.uint8).reshape(256, 256, 32)
    expected = voxels.drive_voxels(settings.drive(3), 0)
    np.testing.assert_array_equal(moving, expected.moving)
    label = np.fromfile(folder / "000000.label", "<u2").reshape(256, 256, 32)
    assert (label[expected.moving] == 10).all()  # the benchmark's raw id of cars
    with pytest.raises(InputError, match="made with moving_cars 2, got 0"):
        dataset.SyntheticDataset(tmp_path, dataset.DatasetSettings(1, render=SMALL))


def test_drives_from_before_cars_could_move_are_continued(tmp_path):
    settings = dataset.DatasetSettings(1, render=SMALL)
    file = dataset.SyntheticDataset(tmp_path, settings).path / dataset.SETTINGS_FILE
    values = json.loads(file.read_text())
    del values["moving_cars"]
    file.write_text(json.dumps(values))
    dataset.SyntheticDataset(tmp_path, settings)
    with pytest.raises(InputError, match="made with moving_cars 0, got 1"):
        dataset.SyntheticDataset(tmp_path, dataset.DatasetSettings(1, render=SMALL, moving_cars=1))


def test_a_negative_number_of_cars_is_refused():
    with pytest.raises(InputError, match="a drive needs >= 0 moving cars, got -1"):
        StreetDrive(moving_cars=-1)
