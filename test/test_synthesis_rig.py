# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The synthetic car's cameras and voxels, held to geometry that can be computed by hand."""

import numpy as np
import pytest
from exact_grid import exact_virtual_grid, rays_of_pixels
from models import same_camera

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.fisheye import virtual_rotation
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.streets.scene.materials import Plain
from scenedino_ros.streets.scene.scene import Lighting, Part, Scene, sun_direction
from scenedino_ros.streets.scene.shapes import box, cylinder, leaves, merged

pytest.importorskip("open3d", reason="Open3D cannot be imported")
rig = pytest.importorskip("scenedino_ros.streets.rig")
raycast = pytest.importorskip("scenedino_ros.streets.raycast")
voxels = pytest.importorskip("scenedino_ros.streets.voxels")
pixel_rays = pytest.importorskip("scenedino_ros.streets.pixel_rays").pixel_rays

ROAD, BUILDING, POLE, VEGETATION, TERRAIN, CAR = CITYSCAPES19.ids(
    ("road", "building", "pole", "vegetation", "terrain", "car")
)
GRAY = Plain((0.3, 0.3, 0.3))
RIG = rig.RigSettings(width=352, fisheye_width=200).rig()
T_ON_ROAD = np.eye(4)  # base_link in the world, at its height above the road
T_ON_ROAD[2, 3] = rig.BASE_HEIGHT


def solid(class_name, mesh):
    return Part(class_name, mesh, GRAY, solid=True)


def scene(*parts):
    return Scene(parts, Lighting(sun_direction(40.0, 50.0)))


def street():
    """A road, a house to either side and a car ahead, all of boxes that touch the ground."""
    return scene(
        solid("road", box((-40, -60, -0.5), (90, 60, 0))),
        solid("building", box((2, 9, 0), (30, 16, 7))),
        solid("building", box((-3, -15, 0), (22, -8, 6))),
        solid("car", box((14, -1.2, 0.2), (18, 0.6, 1.6))),
        solid("pole", cylinder((9, 5, 0), (9, 5, 4), 0.04, 0.04)),
    )


def in_frame(T_frame_points, points):
    return points @ T_frame_points[:3, :3].T + T_frame_points[:3, 3]


def test_the_pair_is_kitti360s_and_its_pose_that_of_the_benchmark():
    left, right = (rig.RigSettings(width=1408).rig()[f"camera_0{i}"] for i in (0, 1))
    assert same_camera(left.lens, ssc.CAMERA)
    shift = np.linalg.inv(left.T_base_cam) @ right.T_base_cam
    expected = np.eye(4)
    expected[0, 3] = 0.594
    np.testing.assert_allclose(shift, expected, atol=1e-12)
    T_velo_cam = np.linalg.inv(rig.T_BASE_VELO) @ left.T_base_cam
    np.testing.assert_allclose(T_velo_cam, ssc.T_VELO_CAM, atol=1e-9)
    forward = left.T_base_cam[:3, 2]
    assert np.degrees(np.arcsin(-forward[2])) == pytest.approx(rig.CAMERA_PITCH_DEG, abs=0.02)
    assert left.T_base_cam[2, 3] + rig.BASE_HEIGHT == pytest.approx(rig.CAMERA_HEIGHT)


def test_the_road_lies_in_the_benchmarks_second_layer_under_the_car():
    below = in_frame(np.linalg.inv(T_ON_ROAD @ rig.T_BASE_VELO), np.array([[5.0, 0.0, 0.0]]))
    assert np.floor((below[0, 2] - ssc.GRID.origin[2]) / ssc.GRID.voxel_size) == 1


def test_fisheyes_look_to_the_sides_and_not_up():
    for name, side in (("camera_02", 1.0), ("camera_03", -1.0)):
        R = RIG[name].T_base_cam[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert R[1, 2] * side > 0.99  # the optical axis
        assert R[2, 1] < -0.99  # the image's downward axis
    positions = [RIG[name].T_base_cam[1, 3] for name in ("camera_02", "camera_03")]
    assert np.mean(positions) == pytest.approx(rig.CENTER_Y, abs=0.01)


def test_transforms_place_every_image_frame_once():
    transforms = rig.static_transforms(RIG)
    children = [child for _, child in transforms]
    assert len(set(children)) == len(children)
    frames = {camera.frame for camera in RIG.values()}
    assert frames == {"camera_00_rect", "camera_01_rect", "camera_02", "camera_03"}
    assert frames | {"velodyne", "imu"} <= set(children)
    T_base_imu, T_imu_cam = transforms["base_link", "imu"], transforms["imu", "camera_03"]
    np.testing.assert_allclose(T_base_imu @ T_imu_cam, RIG["camera_03"].T_base_cam, atol=1e-12)


def test_disparity_of_the_pair_agrees_with_the_depth():
    renderer = raycast.SceneRenderer(street(), threads=1)
    views = {n: pixel_rays(RIG[n].lens, 1) for n in ("camera_00", "camera_01")}
    (left, classes), (right, _) = (
        renderer.measure(views[name], T_ON_ROAD @ RIG[name].T_base_cam) for name in views
    )
    v, u = np.nonzero(np.isfinite(left))
    disparity = RIG["camera_00"].lens.K[0, 0] * rig.BASELINE / left[v, u]
    moved = np.rint(u - disparity).astype(int)
    inside = moved >= 0
    seen = right[v[inside], moved[inside]]
    error = np.abs(seen / left[v[inside], u[inside]] - 1)
    assert inside.sum() > 15000
    assert (error < 0.02).mean() > 0.93  # the rest is hidden from the right camera
    assert {ROAD, BUILDING, CAR} <= set(classes.ravel())


@pytest.mark.parametrize("name", ["camera_02", "camera_03"])
def test_what_a_fisheye_sees_projects_onto_its_pixels(name):
    renderer = raycast.SceneRenderer(street(), threads=1)
    camera = RIG[name]
    view = pixel_rays(camera.lens, 1)
    distance, label = renderer.measure(view, T_ON_ROAD @ camera.T_base_cam)
    points = view.centers * distance.reshape(-1)[view.pixels][:, None]
    seen = np.isfinite(points).all(axis=1)
    uv = camera.lens.project(points[seen])
    rows, columns = np.divmod(view.pixels[seen], view.width)
    np.testing.assert_allclose(uv, np.stack([columns, rows], axis=1), atol=2e-3)
    # Along the ray, not along the axis: what is seen lies on the road or on a house's front.
    world = in_frame(T_ON_ROAD @ camera.T_base_cam, points[seen])
    classes = label.reshape(-1)[view.pixels[seen]]
    assert np.abs(world[classes == ROAD, 2]).max() < 1e-3
    front = 9.0 if name == "camera_02" else -8.0
    on_front = np.abs(world[classes == BUILDING, 1] - front) < 1e-3
    assert on_front.mean() > 0.7
    assert (classes == BUILDING).sum() > 1000


def test_outside_the_lens_circle_a_fisheye_shows_nothing():
    camera = RIG["camera_02"]
    frame = raycast.SceneRenderer(street(), threads=1).render(
        camera.rays(1), T_ON_ROAD @ camera.T_base_cam
    )
    _, inside = rays_of_pixels(camera.lens)
    assert 0.6 < inside.mean() < 0.85
    assert (frame.rgb[~inside] == 0).all()
    assert (frame.label[~inside] == IGNORE).all()
    assert (frame.depth[~inside] == 0).all()
    assert (frame.label[inside] != IGNORE).all()


def test_the_crop_holds_all_that_the_virtual_camera_looks_up():
    camera = RIG["camera_03"]
    shown = rig.seen_by_virtual_camera(camera.lens)
    R = virtual_rotation(0.0, -15.0)
    grid = exact_virtual_grid(camera.lens, ssc.CAMERA.K_norm, (48, 160), R)
    x = (grid[..., 0] + 1) / 2 * (camera.lens.width - 1)
    y = (grid[..., 1] + 1) / 2 * (camera.lens.height - 1)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):  # neighbours of a bilinear lookup
        assert shown[np.floor(y).astype(int) + row, np.floor(x).astype(int) + column].all()
    assert shown.mean() < 0.2
    T = T_ON_ROAD @ camera.T_base_cam
    renderer = raycast.SceneRenderer(street(), threads=1)
    whole, cropped = (renderer.render(camera.rays(1, crop=crop), T) for crop in (False, True))
    np.testing.assert_array_equal(cropped.rgb[shown], whole.rgb[shown])
    assert (cropped.rgb[~shown] == 0).all()


def test_rays_for_colour_surround_the_pixels_centre():
    lens = PinholeCamera.from_focal(50, 60, 20, 10, 40, 20)
    view = pixel_rays(lens, 4)
    uv = lens.project(view.samples.astype(np.float64))
    rows, columns = np.divmod(view.pixels, 40)
    offsets = uv - np.stack([columns, rows], axis=1)
    expected = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]])
    np.testing.assert_allclose(
        offsets, np.broadcast_to(expected[:, None], offsets.shape), atol=0.01
    )
    assert view.spread[view.pixels == 10 * 40 + 20] == pytest.approx(1 / 50, rel=0.01)


def test_settings_that_no_car_can_have_are_refused():
    with pytest.raises(InputError, match="cameras must be some of"):
        rig.RigSettings(cameras=("camera_00", "camera_07"))
    with pytest.raises(InputError, match="each once, got none"):
        rig.RigSettings(cameras=())
    with pytest.raises(InputError, match="at least 16 px wide, got 704 and, for fisheyes, 8"):
        rig.RigSettings(fisheye_width=8)
    with pytest.raises(InputError, match="rays per pixel must be one of"):
        pixel_rays(RIG["camera_00"].lens, 3)
    nowhere = np.zeros((20, 40), dtype=bool)
    with pytest.raises(InputError, match="at least 1 pixel"):
        pixel_rays(PinholeCamera.from_focal(50, 60, 20, 10, 40, 20), 1, nowhere)


GRID = VoxelGrid((0.0, 0.0, 0.0), (10, 10, 10), 0.2)


def test_solids_fill_the_voxels_inside_them_and_no_others():
    block = solid("building", box((0.4, 0.6, 0.2), (1.0, 1.6, 1.4)))
    labels = voxels.SceneVoxels(scene(block)).labels(np.eye(4), GRID)
    expected = np.full(GRID.shape, voxels.EMPTY)
    expected[2:5, 3:8, 1:7] = BUILDING
    np.testing.assert_array_equal(labels, expected)


def test_solids_that_touch_or_overlap_fill_both_their_insides():
    low = solid("building", merged([box((0, 0, 0), (1, 1, 1)), box((0, 0, 1), (1, 1, 1.4))]))
    high = solid("car", box((0, 0, 1.4), (1, 1, 2.0)))
    over = solid("building", merged([box((1, 0, 0), (1.6, 2, 2)), box((1.2, 0, 0), (2, 2, 2))]))
    labels = voxels.SceneVoxels(scene(low, high, over)).labels(np.eye(4), GRID)
    assert (labels[:5, :5, :7] == BUILDING).all()
    assert (labels[:5, :5, 7:] == CAR).all()
    assert (labels[5:] == BUILDING).all()
    assert (labels[:5, 5:] == voxels.EMPTY).all()


def test_a_voxel_has_the_class_that_fills_most_of_it():
    ground = solid("terrain", box((-9, -9, -1), (9, 9, 0.55)))
    road = solid("road", box((-9, -9, 0.55), (9, 9, 0.85)))
    sliver = solid("car", box((0, 0, 1.199), (2, 2, 2)))
    labels = voxels.SceneVoxels(scene(ground, road, sliver)).labels(np.eye(4), GRID)
    for layer, label in enumerate((TERRAIN, TERRAIN, TERRAIN, ROAD, ROAD)):
        assert (labels[..., layer] == label).all()
    assert (labels[..., 5] == voxels.EMPTY).all()  # a thousandth of it is filled
    assert (labels[..., 6] == CAR).all()


def test_thin_things_and_leaves_fill_the_voxels_they_pass_through():
    pole = solid("pole", cylinder((0.53, 0.47, -1), (0.53, 0.47, 3), 0.01, 0.01))
    twigs = leaves(np.random.default_rng(0), np.array([[1.5, 1.5, 1.5]]), size=0.03)
    tree = Part("vegetation", twigs, GRAY, foliage=True)
    labels = voxels.SceneVoxels(scene(pole, tree)).labels(np.eye(4), GRID)
    assert (labels[2, 2] == POLE).all()
    assert labels[7, 7, 7] == VEGETATION
    assert (labels != voxels.EMPTY).sum() == 11


def test_a_crowns_volume_is_filled_though_it_consists_of_leaves():
    twigs = leaves(np.random.default_rng(0), np.array([[0.1, 0.1, 0.1]]), size=0.03)
    crown = Part("vegetation", twigs, GRAY, volume=box((0.4, 0.4, 0.4), (1.6, 1.6, 1.6)))
    labels = voxels.SceneVoxels(scene(crown)).labels(np.eye(4), GRID)
    assert (labels[2:8, 2:8, 2:8] == VEGETATION).all()
    assert labels[0, 0, 0] == VEGETATION
    assert (labels != voxels.EMPTY).sum() == 6**3 + 1


def test_an_open_surface_spoils_nothing_but_itself():
    opened = box((0, 0, 1), (2, 2, 2))
    opened = type(opened)(opened.vertices, opened.triangles[2:])  # without its bottom
    parts = solid("building", opened), solid("road", box((0, 0, 0), (2, 2, 0.6)))
    labels = voxels.SceneVoxels(scene(*parts)).labels(np.eye(4), GRID)
    assert (labels[..., :3] == ROAD).all()
    assert (labels[1:9, 1:9, 3:9] == voxels.EMPTY).all()


def test_mean_thickness_of_plates_and_rods():
    assert voxels.mean_thickness(box((0, 0, 0), (5, 5, 0.1))) == pytest.approx(0.1, rel=0.05)
    rod = cylinder((0, 0, 0), (0, 0, 50), 0.1, 0.1, 60)
    assert voxels.mean_thickness(rod) == pytest.approx(0.1, rel=0.01)


@pytest.fixture(scope="module")
def street_voxels():
    return voxels.SceneVoxels(street(), threads=1).labels(T_ON_ROAD @ rig.T_BASE_VELO)


def test_hidden_space_behind_and_inside_things_is_filled(street_voxels):
    T_velo_world = np.linalg.inv(T_ON_ROAD @ rig.T_BASE_VELO)
    centers = in_frame(np.linalg.inv(T_velo_world), ssc.GRID.centers().reshape(-1, 3))
    inside = {
        BUILDING: ((2, 9, 0), (30, 16, 7)),
        CAR: ((14, -1.2, 0.2), (18, 0.6, 1.6)),
        ROAD: ((-40, -60, -0.5), (90, 60, 0)),
    }
    labels = street_voxels.reshape(-1)
    for label, (low, high) in inside.items():
        deep = ((centers > np.array(low) + 0.2) & (centers < np.array(high) - 0.2)).all(axis=1)
        assert (labels[deep] == label).all()
        assert deep.sum() > 300
    free = ((centers > (20, -7, 0.4)) & (centers < (60, 8, 3))).all(axis=1)
    assert (labels[free] == voxels.EMPTY).all()  # behind the car


@pytest.mark.parametrize("name", ["camera_00", "camera_02"])
def test_every_point_that_is_seen_lies_in_or_beside_a_filled_voxel(street_voxels, name):
    camera = RIG[name]
    view = pixel_rays(camera.lens, 1)
    renderer = raycast.SceneRenderer(street(), threads=1)
    depth, label = renderer.measure(view, T_ON_ROAD @ camera.T_base_cam)
    along = depth.reshape(-1)[view.pixels]
    along = along / view.centers[:, 2] if view.along_axis else along
    seen = np.isfinite(along)
    points = view.centers[seen] * along[seen, None]
    points = in_frame(np.linalg.inv(rig.T_BASE_VELO) @ camera.T_base_cam, points)
    ijk = np.floor((points - ssc.GRID.origin) / ssc.GRID.voxel_size).astype(int)
    inside = ((ijk >= 1) & (ijk < np.array(ssc.GRID.shape) - 1)).all(axis=1)
    ijk, classes = ijk[inside], label.reshape(-1)[view.pixels[seen]][inside]
    around = np.stack([ijk + np.array(offset) - 1 for offset in np.ndindex(3, 3, 3)])
    found = street_voxels[tuple(np.moveaxis(around, -1, 0))]  # (27, N)
    assert inside.sum() > 5000
    assert (found != voxels.EMPTY).any(axis=0).all()
    own = found[13]
    assert (own != voxels.EMPTY).mean() > 0.8
    assert (own == classes)[own != voxels.EMPTY].mean() > 0.95
