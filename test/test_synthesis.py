# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The synthetic street: exact where it can be computed by hand, and the same for the same seed."""

import numpy as np
import pytest

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.pixel_rays import pixel_rays
from scenedino_ros.streets.rig import CAMERA_HEIGHT, RigSettings
from scenedino_ros.streets.scene.ground_materials import Asphalt, Meadow, Paving
from scenedino_ros.streets.scene.materials import Foliage, Plain, linear_from_srgb
from scenedino_ros.streets.scene.scene import Lighting, Part, Scene, sun_direction
from scenedino_ros.streets.scene.shapes import (
    Mesh,
    box,
    cylinder,
    ellipsoid,
    leaves,
    merged,
    placed,
    plate,
    prism,
    wheel_ring,
)
from scenedino_ros.streets.scene.wall_materials import Facade, Sheet, Tiles

pytest.importorskip("open3d", reason="Open3D cannot be imported")
raycast = pytest.importorskip("scenedino_ros.streets.raycast")
render = pytest.importorskip("scenedino_ros.streets.render")

ROAD, BUILDING, SKY, CAR = CITYSCAPES19.ids(("road", "building", "sky", "car"))
OVERHEAD = Lighting(sun_direction(0.0, 89.9))
# Optical axes (x right, y down, z forward) of a camera that looks along the world's x.
T_FORWARD = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])
CAMERA = PinholeCamera.from_focal(60, 60, 39.5, 19.5, 80, 40)
SETTINGS = render.RenderSettings(RigSettings(cameras=("camera_00",), width=160))
FRONT = SETTINGS.rig.rig()["camera_00"]


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def edge_balance(mesh: Mesh) -> int:
    """Return how many edges of a closed surface do not meet one of the opposite direction."""
    edges = mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    return len(set(map(tuple, edges)) ^ {(b, a) for a, b in edges})


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (box((0, 0, 0), (1, 2, 3)), 6.0),
        (cylinder((0, 0, 0), (0, 0, 2), 0.5, 0.5, 200), np.pi / 2),
        (cylinder((1, 2, 3), (4, 3, 2), 0.3, 0.3, 200), 0.09 * np.pi * np.sqrt(11)),
        (prism(np.array([[0, 0], [0, 1], [2, 1], [2, 0.0]]), -1, 2), 6.0),
        (prism(np.array([[0, 0], [0, 1], [2, 1], [2, 0.0]]), -1, 2, taper=0.5), 5.0),
        (plate(np.array([[0, 0], [2, 0], [0, 1.0]]), -1, 2), 3.0),
        (ellipsoid((5, 0, 0), (1, 2, 3), 200), 8 * np.pi),
        # Pappus: a hexagon of (2 * 0.8 * 0.1) x 0.1 m and its two ends, round a circle.
        (wheel_ring((0, 0, 1), 1.0, 0.1, 400), 2 * np.pi * 0.9 * 0.024),
    ],
)
def test_solids_are_closed_and_have_their_volume(mesh, expected):
    assert edge_balance(mesh) == 0
    assert volume(mesh) == pytest.approx(expected, rel=1e-3)


def test_moving_and_merging_keep_the_volume():
    turned = box((0, 0, 0), (1, 2, 3)).moved(placed(5, -3, 1, yaw=0.7))
    both = merged([turned, box((-2, 0, 0), (-1, 1, 1))])
    assert volume(both) == pytest.approx(7.0)


def test_leaves_stay_near_their_centres():
    centers = np.random.default_rng(0).uniform(-5, 5, (300, 3))
    corners = leaves(np.random.default_rng(1), centers, size=0.2).vertices.reshape(-1, 4, 3)
    np.testing.assert_allclose(corners.mean(axis=1), centers, atol=1e-9)
    assert np.linalg.norm(corners - centers[:, None], axis=2).max() < 0.2


@pytest.mark.parametrize(
    "material",
    [
        Plain((0.3, 0.2, 0.1)),
        Foliage((0.2, 0.3, 0.1)),
        Asphalt(dashes=(0.0,), lines=(3.1,), zebras=(4.0,), stops=((2.0, -3.1, 0.0),)),
        Paving((0.4, 0.4, 0.4)),
        Meadow((0.2, 0.3, 0.1), (0.4, 0.3, 0.2)),
        Facade((0.5, 0.5, 0.4), brick=True, shops=True, shutter=(0.1, 0.2, 0.1)),
        Tiles((0.4, 0.2, 0.1)),
        Sheet((0.3, 0.3, 0.4)),
    ],
)
def test_materials_are_fixed_textured_and_not_brighter_than_white(material):
    rng = np.random.default_rng(0)
    points = rng.uniform(-20, 20, (4000, 3))
    normals = np.eye(3)[rng.integers(0, 3, 4000)]
    footprint = np.full(4000, 0.005)
    albedo = material.albedo(points, normals, footprint)
    assert albedo.shape == (4000, 3)
    assert np.isfinite(albedo).all()
    assert albedo.min() >= 0
    assert albedo.mean() < 1
    assert albedo.std() > 0.01
    np.testing.assert_array_equal(albedo, material.albedo(points, normals, footprint))


def test_texture_fades_where_it_is_finer_than_a_pixel():
    points = np.random.default_rng(0).uniform(-20, 20, (4000, 3)) * (1, 1, 0)
    normals = np.tile([0.0, 0.0, 1.0], (4000, 1))
    material = Plain((0.3, 0.3, 0.3), contrast=0.3, texel=0.02)
    near = material.albedo(points, normals, np.full(4000, 0.01)).std()
    far = material.albedo(points, normals, np.full(4000, 10.0)).std()
    assert far < 0.2 * near


def test_an_albedo_above_one_is_refused():
    with pytest.raises(InputError, match="albedo"):
        Plain((0.2, 1.3, 0.1))


def test_srgb_conversion_known_values():
    assert linear_from_srgb(0, 255, 128) == pytest.approx((0.0, 1.0, 0.2158605), abs=1e-6)


def wall_scene():
    """A road at z = 0 and a wall that fills the view from x = 10 m on, up to z = 4 m."""
    road = Part("road", box((-50, -50, -1), (50, 50, 0)), Asphalt())
    wall = Part("building", box((10, -50, 0), (11, 50, 4)), Facade((0.5, 0.5, 0.5)))
    return Scene((road, wall), OVERHEAD)


def test_depth_and_classes_of_a_wall_are_exact():
    depth, label = raycast.SceneRenderer(wall_scene()).measure(pixel_rays(CAMERA), T_FORWARD)
    v = np.arange(40)
    slope = (v - 19.5) / 60  # downwards
    expected = np.full(40, np.inf)
    with np.errstate(divide="ignore"):
        height_at_wall = 1.5 - 10 * slope
        expected[(height_at_wall > 0) & (height_at_wall < 4)] = 10.0
        on_road = height_at_wall <= 0
        expected[on_road] = 1.5 / slope[on_road]
    np.testing.assert_allclose(depth, np.tile(expected[:, None], (1, 80)), rtol=1e-4)
    assert (label[on_road] == ROAD).all()
    assert (label[expected == 10.0] == BUILDING).all()
    assert (label[np.isinf(expected)] == SKY).all()


def test_points_of_the_depth_map_project_back_onto_their_pixels():
    depth, _ = raycast.SceneRenderer(wall_scene()).measure(pixel_rays(CAMERA), T_FORWARD)
    v, u = np.nonzero(np.isfinite(depth))
    rays = pixel_rays(CAMERA).centers.reshape(40, 80, 3)[v, u]
    points_cam = rays / rays[:, 2:] * depth[v, u][:, None]
    np.testing.assert_allclose(CAMERA.project(points_cam), np.stack([u, v], axis=1), atol=1e-3)


def test_things_cast_shadows():
    road = Part("road", box((-50, -50, -1), (50, 50, 0)), Plain((0.3, 0.3, 0.3), contrast=0.0))
    roof = Part("building", box((5, -3, 3), (9, 3, 3.2)), Plain((0.3, 0.3, 0.3)))
    view = pixel_rays(PinholeCamera.from_focal(60, 60, 39.5, 2.0, 80, 30))
    lit = raycast.SceneRenderer(Scene((road,), OVERHEAD)).render(view, T_FORWARD).rgb
    both = raycast.SceneRenderer(Scene((road, roof), OVERHEAD)).render(view, T_FORWARD).rgb
    row = round(2.0 + 60 * 1.5 / 7)  # the road 7 m ahead, below the roof
    assert both[row, 40].mean() < 0.7 * lit[row, 40].mean()
    assert both[28, 40].mean() == pytest.approx(lit[28, 40].mean(), abs=4)  # 3.5 m ahead


def front_frames(drive: StreetDrive, workers: int) -> list:
    return [views["camera_00"] for views in render.render_drive(drive, SETTINGS, workers)]


@pytest.fixture(scope="module")
def street():
    drive = StreetDrive(seed=4, frames=3)
    return drive, front_frames(drive, workers=1)


def test_the_street_shows_what_a_street_has(street):
    drive, frames = street
    for frame in frames:
        assert frame.rgb.shape == (43, 160, 3)
        assert frame.rgb.dtype == np.uint8
        shown = {CITYSCAPES19.names[i] for i in np.unique(frame.label)}
        assert {"road", "sidewalk", "building", "vegetation", "sky", "car"} <= shown
        assert ((frame.label == SKY) == np.isinf(frame.depth)).all()
        assert (frame.label == ROAD).mean() > 0.12
        assert 30 < frame.rgb.mean() < 200
        assert frame.rgb.std() > 25


def test_the_road_lies_under_the_camera_as_its_pitch_says(street):
    drive, frames = street
    frame, camera = frames[0], FRONT.lens
    v = np.arange(camera.height)
    u = round(camera.K[0, 2])
    rays = np.stack(
        [np.zeros(len(v)), (v - camera.K[1, 2]) / camera.K[1, 1], np.ones(len(v))], axis=1
    )
    down = (drive.T_world_base(0)[:3, :3] @ FRONT.T_base_cam[:3, :3] @ rays.T)[2]
    road = frame.label[:, u] == ROAD
    assert road.sum() > 8
    height = (drive.T_world_base(0) @ FRONT.T_base_cam)[2, 3]
    assert height == pytest.approx(CAMERA_HEIGHT, abs=0.02)
    np.testing.assert_allclose(frame.depth[road, u], -height / down[road], rtol=0.02)


def test_depth_agrees_with_the_next_view(street):
    """Points of one frame, moved by the poses, lie on the surfaces of the next."""
    drive, frames = street
    camera = FRONT.lens
    T_world_cam = [drive.T_world_base(i) @ FRONT.T_base_cam for i in range(3)]
    depth = frames[0].depth
    v, u = np.nonzero(np.isfinite(depth) & (depth < 25))
    rays = np.stack(
        [(u - camera.K[0, 2]) / camera.K[0, 0], (v - camera.K[1, 2]) / camera.K[1, 1], u * 0 + 1],
        axis=1,
    )
    points = np.concatenate([rays * depth[v, u][:, None], np.ones((len(u), 1))], axis=1)
    moved = points @ (np.linalg.inv(T_world_cam[2]) @ T_world_cam[0]).T
    moved = moved[moved[:, 2] > 1]
    uv = np.round(camera.project(moved[:, :3])).astype(int)
    inside = ((uv >= 0) & (uv < [camera.width, camera.height])).all(axis=1)
    seen = frames[2].depth[uv[inside, 1], uv[inside, 0]]
    error = np.abs(seen / moved[inside, 2] - 1)
    assert inside.sum() > 1000
    assert np.median(error) < 0.01
    assert (error < 0.1).mean() > 0.85


def test_the_same_seed_gives_the_same_pictures_in_other_processes(street):
    drive, frames = street
    for mine, theirs in zip(frames, front_frames(drive, workers=2), strict=True):
        np.testing.assert_array_equal(mine.rgb, theirs.rgb)
        np.testing.assert_array_equal(mine.depth, theirs.depth)
        np.testing.assert_array_equal(mine.label, theirs.label)


def test_another_seed_gives_another_street(street):
    drive, frames = street
    (other,) = front_frames(StreetDrive(seed=5, frames=1), workers=1)
    assert (other.label != frames[0].label).mean() > 0.1


def test_poses_move_at_the_speed_asked_for():
    drive = StreetDrive(frames=30, rate_hz=10, speed=8)
    x = [drive.T_world_base(i)[0, 3] for i in range(30)]
    np.testing.assert_allclose(np.diff(x), 0.8)
    assert drive.stamp_ns(10) - drive.stamp_ns(0) == 1_000_000_000
    for i in (0, 17):
        R = drive.T_world_base(i)[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("values", [{"frames": 0}, {"rate_hz": 0}, {"speed": -1}, {"seed": -1}])
def test_impossible_drives_are_refused(values):
    with pytest.raises(InputError, match="a drive needs"):
        StreetDrive(**values)
