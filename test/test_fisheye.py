# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Fisheye cameras: projection, its inverse, published resampling, and a real one's picture."""

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from exact_grid import exact_virtual_grid, rays_of_pixels
from golden_arrays import close

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.fisheye import (
    LENS_ANGLE_DEG,
    PUBLISHED_ROTATION_DEG,
    MeiCamera,
    resample,
    virtual_grid,
    virtual_rotation,
)
from scenedino_ros.cameras.image import ImagePreprocessor
from scenedino_ros.core.errors import InputError

# KITTI-360's left side camera, rounded.
LEFT = MeiCamera(2.2134, 0.0168, 1.6549, 4.2e-4, 4.2e-4, 1336.3, 1335.8, 716.9, 705.8, 1400, 1400)
K_NORM = np.array([[0.785, 0.0, -0.031], [0.0, 2.939, 0.270], [0.0, 0.0, 1.0]])
CAMERAS = ("02", "03")


@pytest.fixture
def calibration(request) -> Path:
    folder = request.config.getoption("--golden") / "training" / "calibration"
    if not folder.is_dir():
        pytest.skip("the golden folder has no calibration")
    return folder


@pytest.mark.parity
@pytest.mark.parametrize("name", CAMERAS)
def test_published_grid_and_picture(golden, calibration, name):
    a = golden("fisheye")
    camera = MeiCamera.from_yaml(calibration / f"image_{name}.yaml")
    about_y, about_x = a["rotation_deg"].tolist()
    R = virtual_rotation(about_y if name == "02" else -about_y, about_x)
    close(torch.from_numpy(R), a[f"R_{name}"], rtol=0, atol=1e-6)
    K = a["K"].numpy()
    grid = virtual_grid(camera, K, tuple(a["target_size"].tolist()), R)
    close(torch.from_numpy(grid), a[f"grid_{name}"], rtol=0, atol=2e-6)
    rows, columns = a[f"full_grid_{name}_every8"].shape[:2]
    full = virtual_grid(camera, K, (8 * rows, 8 * columns), R)[::8, ::8].copy()
    close(torch.from_numpy(full), a[f"full_grid_{name}_every8"], rtol=0, atol=2e-6)
    image = a["fisheye_image_u8"].permute(1, 2, 0).numpy().astype(np.float32) / 255
    picture = resample(image, grid)
    close(torch.from_numpy(picture).permute(2, 0, 1), a[f"pinhole_{name}"], rtol=0, atol=1e-4)


def test_published_rotation_looks_down():
    forward = virtual_rotation(*PUBLISHED_ROTATION_DEG) @ (0, 0, 1)
    down = np.sin(np.radians(15))
    np.testing.assert_allclose(forward, (0, down, np.sqrt(1 - down**2)), atol=1e-12)


def test_rotation_is_about_x_first():
    np.testing.assert_allclose(virtual_rotation(90, 90) @ (0, 1, 0), (1, 0, 0), atol=1e-12)


@pytest.mark.parametrize("xi", [0.0, 0.7, 1.0, 2.2134])
def test_rays_invert_the_projection(xi):
    # A perspective projection (xi 0) has no pixel at a right angle; the others reach beyond it.
    widest = 60 if xi == 0 else 92
    camera = dataclasses.replace(LEFT, xi=xi, k2=1.6 if xi > 2 else 0.0)
    angles = np.radians(np.linspace(0, widest, 40))[:, None]
    turns = np.radians(np.arange(0, 360, 20))
    points = np.stack(
        np.broadcast_arrays(
            np.sin(angles) * np.cos(turns), np.sin(angles) * np.sin(turns), np.cos(angles)
        ),
        axis=-1,
    )
    uv = camera.project(7.0 * points)
    rays, inside = camera.rays(uv)
    assert inside.all()
    np.testing.assert_allclose(rays, points, atol=1e-9)
    np.testing.assert_allclose(camera.project(rays), uv, atol=1e-7)


def test_projection_without_mirror_and_distortion_is_a_pinhole():
    camera = MeiCamera(0, 0, 0, 0, 0, 400, 410, 320, 240, 640, 480)
    points = np.random.default_rng(1).uniform((-2, -2, 1), (2, 2, 9), (50, 3))
    expected = PinholeCamera.from_focal(400, 410, 320, 240, 640, 480).project(points)
    np.testing.assert_allclose(camera.project(points), expected)


def test_distortion_is_that_of_opencv():
    # On the mirror's plane the lens distorts as a plumb bob does.
    camera = dataclasses.replace(LEFT, xi=0.0, p1=0.01, p2=-0.02, k2=0.3)
    points = np.random.default_rng(2).uniform((-1, -1, 2), (1, 1, 4), (50, 3))
    D = np.array([camera.k1, camera.k2, camera.p1, camera.p2])
    zero = np.zeros(3)
    expected, _ = cv2.projectPoints(points, zero, zero, camera.calibrated.pinhole.K, D)
    np.testing.assert_allclose(camera.project(points), expected[:, 0], atol=1e-9)


def test_what_lies_behind_the_lens_has_no_pixel():
    behind = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.2, 0.0, -1.0]])
    assert np.isnan(LEFT.project(behind)).all()
    beside = np.array([[1.0, 0.0, -0.3], [1.0, 0.0, 0.0]])
    assert np.isfinite(LEFT.project(beside)).all()


def test_a_weak_mirror_sees_as_far_back_as_its_own_centre():
    weak = dataclasses.replace(LEFT, xi=0.5)
    c = np.array([-0.51, -0.49])
    uv = weak.project(np.stack([np.sqrt(1 - c**2), 0 * c, c], axis=-1))
    assert np.isfinite(uv).all(axis=1).tolist() == [False, True]


def test_rays_of_pixels_end_at_the_lens_circle():
    small = LEFT.scaled(140, 140)
    rays, inside = rays_of_pixels(small)
    assert rays.shape == (140, 140, 3)
    assert inside.shape == (140, 140)
    assert not inside[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert (rays[~inside] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(rays[inside], axis=-1), 1, atol=1e-12)
    assert rays[inside][:, 2].min() >= np.cos(np.radians(LENS_ANGLE_DEG))
    # The circle covers as much of the picture as a disc of the lens's radius.
    edge = small.project([np.sin(np.radians(LENS_ANGLE_DEG)), 0, np.cos(np.radians(95))])
    disc = np.pi * (edge[0] - small.u0) ** 2
    assert 0.9 * disc < inside.sum() <= disc


def test_scaled_camera_sees_the_same():
    points = np.array([[0.4, -1.0, 0.8], [2.0, 0.1, 0.3]])
    uv = LEFT.scaled(700, 350).project(points)
    np.testing.assert_allclose(uv, LEFT.project(points) * (0.5, 0.25))


def test_camera_info_form_and_back():
    calibrated = LEFT.calibrated
    assert calibrated.distortion_model == "mei"
    assert calibrated.is_distorted
    np.testing.assert_array_equal(calibrated.D, [LEFT.k1, LEFT.k2, LEFT.p1, LEFT.p2, LEFT.xi])
    assert MeiCamera.from_calibrated(calibrated) == LEFT
    with pytest.raises(InputError, match="must be 'mei', got 'plumb_bob'"):
        MeiCamera.from_calibrated(CalibratedCamera(calibrated.pinhole, "plumb_bob", np.ones(5)))
    with pytest.raises(InputError, match="mei takes 5 .* got 4"):
        CalibratedCamera(calibrated.pinhole, "mei", np.ones(4))


def test_impossible_cameras_are_refused():
    with pytest.raises(InputError, match="xi of a MEI camera must be >= 0, got -1"):
        dataclasses.replace(LEFT, xi=-1.0)
    with pytest.raises(InputError, match="focal lengths must be > 0 px"):
        dataclasses.replace(LEFT, gamma2=0.0)
    with pytest.raises(InputError, match="must be finite"):
        dataclasses.replace(LEFT, k1=float("nan"))


def test_calibration_files(calibration, tmp_path):
    camera = MeiCamera.from_yaml(calibration / "image_02.yaml")
    assert (camera.xi, camera.k2, camera.width) == (2.21, 1.65, 1400)
    text = (calibration / "image_02.yaml").read_text()
    broken = tmp_path / "image_02.yaml"
    broken.write_text(text.replace("xi", "zeta"))
    with pytest.raises(InputError, match=r"must hold the numbers of .*KeyError: 'xi'"):
        MeiCamera.from_yaml(broken)
    broken.write_text("a: [")
    with pytest.raises(InputError, match="cannot be read"):
        MeiCamera.from_yaml(broken)


def test_exact_grid_looks_where_the_pixels_are():
    """An image whose colours are rays, seen through the virtual camera, shows its own rays."""
    rays, _ = rays_of_pixels(LEFT.scaled(700, 700))
    R = virtual_rotation(10, -15)
    shown = resample(rays, exact_virtual_grid(LEFT.scaled(700, 700), K_NORM, (24, 80), R))
    xy = np.stack(
        np.meshgrid((2 * np.arange(80) + 1) / 80 - 1, (2 * np.arange(24) + 1) / 24 - 1), axis=-1
    )
    expected = np.concatenate([xy, np.ones((24, 80, 1))], -1) @ (R @ np.linalg.inv(K_NORM)).T
    expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
    np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_published_grid_is_off_by_half_a_pixel_of_both_images():
    R = virtual_rotation(*PUBLISHED_ROTATION_DEG)
    published = 700 * virtual_grid(LEFT, K_NORM, (192, 640), R)
    exact = 700 * exact_virtual_grid(LEFT, K_NORM, (192, 640), R)
    off = np.abs(published - exact)[..., 0]
    step = np.diff(exact[..., 0], axis=1)
    assert off[:, 320].max() < 0.6
    assert off[:, 0].max() > 0.6
    assert (off[:, 0] < 0.5 * step[:, 0] + 0.6).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_resample_is_bilinear_with_black_outside(dtype):
    image = np.array([[[0], [10]], [[20], [30]]], dtype)
    xy = [[-1, -1], [1, 1], [0, 0], [-0.5, -1], [-2, -1], [-7, 0], [9, 9]]
    grid = np.array([xy], np.float32)
    values = resample(image, grid)
    assert values.dtype == dtype
    half = 2 if dtype == np.uint8 else 2.5
    # Half a pixel outside the image, half of its border is left.
    np.testing.assert_array_equal(values[0, :, 0], [0, 30, 15, half, 0, 0, 0])


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_node_pictures_of_a_raw_fisheye_obey_the_pinhole_model(fit):
    """Dots drawn where the fisheye sees points reappear where the picture's camera says."""
    prepare = ImagePreprocessor((96, 320), fit)
    camera = LEFT.scaled(700, 700)
    for point in ([0.0, 0.0, 5.0], [4.0, 0.6, 5.0], [-5.0, -0.8, 5.0], [1.4, 1.2, 5.0]):
        image = np.zeros((700, 700, 3), np.uint8)
        u, v = np.rint(camera.project(point)).astype(int)
        cv2.circle(image, (int(u), int(v)), 5, (255, 255, 255), -1)
        picture = prepare(image, camera.calibrated)
        rows, columns = np.nonzero(picture.rgb[..., 0] > 100)
        expected = picture.camera.project(point)
        np.testing.assert_allclose((columns.mean(), rows.mean()), expected, atol=1.5)


def test_node_pictures_of_a_raw_fisheye_show_its_middle_at_its_scale():
    white = np.full((700, 700, 3), 255, np.uint8)
    camera = LEFT.scaled(700, 700)
    picture = ImagePreprocessor((700, 700))(white, camera.calibrated)
    assert (picture.rgb == 255).all()
    near_axis = np.array([[0.01, 0.02, 1.0], [-0.02, 0.01, 1.0]])
    expected = camera.project(near_axis)
    np.testing.assert_allclose(picture.camera.project(near_axis), expected, atol=0.02)


def test_a_fisheye_without_a_straight_view_is_refused():
    bulging = dataclasses.replace(LEFT, k1=9.0).calibrated
    image = np.zeros((1400, 1400, 3), np.uint8)
    with pytest.raises(InputError, match="with focal lengths 416 and 416 px that reaches beyond"):
        ImagePreprocessor((192, 640))(image, bulging)


@pytest.fixture
def real() -> tuple[MeiCamera, np.ndarray, np.ndarray]:
    """Return a real fisheye camera, its picture and the LiDAR distances that were put into it."""
    data = Path(os.environ.get("SCENEDINO_TEST_DATA", ""))
    folder = data / "kitti360_fisheye"
    if not folder.is_dir():
        pytest.skip("SCENEDINO_TEST_DATA names no folder with kitti360_fisheye")
    camera = MeiCamera.from_yaml(data / "kitti360_sequence/calibration/image_02.yaml")
    rgb = cv2.imread(str(folder / "image_02_fisheye.png"))[..., ::-1]
    distance = cv2.imread(str(folder / "image_02_fisheye_depth.png"), cv2.IMREAD_UNCHANGED)
    given = json.loads((folder / "sample.json").read_text())["cam_params"]
    assert (camera.xi, camera.k1, camera.p2) == (given["xi"], given["k1"], given["p2"])
    return camera, rgb, distance / 256


def test_real_distances_put_the_road_where_it_is(real):
    """The LiDAR's distances along the pixels' rays are a flat road below the camera.

    The camera stands 1.07 m above the IMU, that about 0.95 m above the road.
    """
    camera, _, distance = real
    road = np.zeros(distance.shape, np.uint8)
    outline = np.array([[330, 810], [620, 745], [640, 790], [460, 1090], [380, 1040]])
    cv2.fillPoly(road, [outline], 1)
    v, u = np.nonzero(road * distance)

    def road_plane(camera):
        rays, inside = camera.rays(np.stack([u, v], axis=-1))
        assert inside.all()
        points = rays * distance[v, u][:, None]
        normal = np.linalg.svd(points - np.median(points, axis=0), full_matrices=False)[2][2]
        height = np.median(points @ normal)
        return abs(height), np.median(np.abs(points @ normal - height)), abs(normal[1])

    height, error, upright = road_plane(camera)
    assert height == pytest.approx(2.05, abs=0.08)
    assert error < 0.03
    assert upright > 0.99
    for wrong in ({"xi": 1.8}, {"xi": 2.6}):
        assert abs(road_plane(dataclasses.replace(camera, **wrong))[0] - 2.05) > 0.15
