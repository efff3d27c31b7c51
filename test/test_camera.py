# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Cameras and the preprocessing: whatever is cut or scaled, projections follow."""

import math

import cv2
import numpy as np
import pytest

from scenedino_ros.cameras import image as image_module
from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image import (
    ImagePreprocessor,
    image_tensor,
    undistorted_camera,
    undistortion_maps,
)
from scenedino_ros.core.errors import InputError

KITTI = PinholeCamera.from_focal(552.554261, 552.554261, 682.049453, 238.769549, 1408, 376)
DISTORTIONS = {
    "plumb_bob": [-0.28, 0.07, 0.0002, 0.0003, 0.0],
    "rational_polynomial": [0.6, -0.1, 0.0002, -0.0001, 0.02, 0.9, 0.05, 0.03],
    "equidistant": [-0.02, 0.003, -0.001, 0.0002],
    "fisheye": [0.01, -0.002, 0.0, 0.0],
}


def points_in_front(n: int = 200, seed: int = 0) -> np.ndarray:
    """Return (n, 3) points of the optical frame within some 40 degrees of the axis."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(2, 50, n)
    return np.stack([z * rng.uniform(-0.8, 0.8, n), z * rng.uniform(-0.2, 0.2, n), z], axis=1)


def test_a_point_on_the_axis_lands_on_the_principal_point() -> None:
    np.testing.assert_allclose(KITTI.project([0.0, 0.0, 7.0]), [682.049453, 238.769549])


def test_normalised_intrinsics_of_kitti_360() -> None:
    K = KITTI.K_norm
    values = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    np.testing.assert_allclose(values, [0.7848782, 2.9391184, -0.0311798, 0.2700508], atol=1e-6)


@pytest.mark.parametrize("size", [(640, 192), (704, 188), (100, 1000)])
def test_resize_then_project_is_project_then_scale(size: tuple[int, int]) -> None:
    scale = np.array(size) / (1408, 376)
    points = points_in_front()
    resized = KITTI.resized(*size)
    np.testing.assert_allclose(resized.project(points), KITTI.project(points) * scale)
    np.testing.assert_allclose(resized.K_norm, KITTI.K_norm)


def test_crop_then_project_is_project_then_shift() -> None:
    points = points_in_front()
    cropped = KITTI.cropped(104, 30, 1200, 300)
    np.testing.assert_allclose(cropped.project(points), KITTI.project(points) - (104, 30))


@pytest.mark.parametrize("fit", ["auto", "stretch", "crop"])
@pytest.mark.parametrize("size", [(1408, 376), (1936, 1216), (640, 192), (300, 900), (641, 191)])
def test_preprocessing_keeps_picture_and_camera_together(fit: str, size: tuple[int, int]) -> None:
    # A picture whose colour is the viewing ray: red from X/Z, green from Y/Z.
    width, height = size
    camera = PinholeCamera.from_focal(700.0, 690.0, width * 0.48, height * 0.55, width, height)
    v, u = np.mgrid[:height, :width].astype(np.float64)
    x, y = (u - camera.K[0, 2]) / camera.K[0, 0], (v - camera.K[1, 2]) / camera.K[1, 1]
    rgb = np.stack([127 + 80 * x, 127 + 80 * y, 0 * x], axis=-1).clip(0, 255).astype(np.uint8)
    picture = ImagePreprocessor((192, 640), fit)(rgb, CalibratedCamera(camera))
    assert picture.rgb.shape == (192, 640, 3)
    v, u = np.mgrid[8:184, 8:632]
    K = picture.camera.K
    x = (u + 0.5 - K[0, 2]) / K[0, 0]
    y = (v + 0.5 - K[1, 2]) / K[1, 1]
    expected = np.stack([127 + 80 * x, 127 + 80 * y], axis=-1).clip(0, 255)
    error = np.abs(picture.rgb[8:184, 8:632, :2] - expected)
    assert error.mean() < 1.0
    assert error.max() < 4.0


def test_auto_stretches_a_little_and_crops_a_lot() -> None:
    prepare = ImagePreprocessor((192, 640))
    kitti = prepare(np.zeros((376, 1408, 3), np.uint8), CalibratedCamera(KITTI))
    np.testing.assert_allclose(kitti.camera.K_norm, KITTI.K_norm)
    square = PinholeCamera.from_focal(800.0, 800.0, 500.0, 500.0, 1000, 1000)
    cropped = prepare(np.zeros((1000, 1000, 3), np.uint8), CalibratedCamera(square)).camera
    assert cropped.K[0, 0] == pytest.approx(cropped.K[1, 1])


@pytest.mark.parametrize("model", DISTORTIONS)
def test_undistorted_pictures_obey_the_pinhole_model(model: str) -> None:
    # Dots drawn by OpenCV's own lens model must reappear where the pinhole camera says.
    pinhole = PinholeCamera.from_focal(600.0, 610.0, 655.0, 350.0, 1280, 720)
    camera = CalibratedCamera(pinhole, model, DISTORTIONS[model])
    project = cv2.fisheye.projectPoints if model in ("equidistant", "fisheye") else None
    prepare = ImagePreprocessor((360, 640), "stretch")
    for point in ([0.0, 0.0, 5.0], [1.5, 0.6, 5.0], [-2.0, -0.8, 5.0], [0.4, 1.2, 5.0]):
        xyz = np.array([[point]])
        if project is not None:
            uv, _ = project(xyz, np.zeros(3), np.zeros(3), pinhole.K, camera.D)
        else:
            uv, _ = cv2.projectPoints(xyz, np.zeros(3), np.zeros(3), pinhole.K, camera.D)
        image = np.zeros((720, 1280, 3), np.uint8)
        cv2.circle(image, tuple(np.rint(uv.ravel()).astype(int)), 6, (255, 255, 255), -1)
        picture = prepare(image, camera)
        rows, columns = np.nonzero(picture.rgb[..., 0] > 128)
        assert len(rows) > 0
        found = np.array([columns.mean(), rows.mean()])
        np.testing.assert_allclose(found, picture.camera.project(point), atol=1.5)


@pytest.mark.parametrize("skew", [0.0, 31.0, -31.0])
@pytest.mark.parametrize("model", ["", *DISTORTIONS])
def test_every_pixel_is_looked_up_where_the_lens_and_the_skew_put_its_ray(
    model: str, skew: float
) -> None:
    pinhole = PinholeCamera.from_focal(600.0, 610.0, 655.0, 350.0, 1280, 720)
    camera = CalibratedCamera(pinhole, model, DISTORTIONS.get(model, []), skew)
    target = undistorted_camera(camera).resized(64, 40)
    if not camera.is_distorted:
        np.testing.assert_array_equal(undistorted_camera(camera).K, pinhole.K)
    v, u = np.mgrid[:40, :64]
    K = target.K
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones((40, 64))], axis=-1)
    # The lens bends rays on the plane z = 1; the matrix with its skew then makes pixels of them.
    still = (np.zeros(3), np.zeros(3), np.eye(3))
    if model in ("equidistant", "fisheye"):
        plane, _ = cv2.fisheye.projectPoints(rays.reshape(-1, 1, 3), *still, camera.D)
    else:
        plane, _ = cv2.projectPoints(rays.reshape(-1, 1, 3), *still, camera.D)
    plane = np.concatenate([plane[:, 0], np.ones((len(plane), 1))], axis=1)
    expected = (plane @ camera.K.T)[:, :2].reshape(40, 64, 2)
    x, y = cv2.convertMaps(*undistortion_maps(camera, target), cv2.CV_32FC1)
    # The maps are in steps of 1/32 px.
    np.testing.assert_allclose(np.stack([x, y], axis=-1), expected, atol=1 / 32)


@pytest.mark.parametrize("degrees", [152, 165, 177, 180, 183, 220])
@pytest.mark.parametrize("first", [0.01, 1e-9, -0.05])
def test_a_wide_fisheye_is_shown_straight_ahead(degrees: int, first: float) -> None:
    focal = 1280 / math.radians(degrees)
    pinhole = PinholeCamera.from_focal(focal, focal, 652.3, 394.8, 1280, 800)
    camera = CalibratedCamera(pinhole, "equidistant", [first, -0.004, 0.001, -0.0001])
    view = undistorted_camera(camera)
    np.testing.assert_array_equal(view.K, pinhole.K)
    x, y = cv2.convertMaps(*undistortion_maps(camera, view), cv2.CV_32FC1)
    assert (x.min(), y.min()) > (0, 0)
    assert (x.max(), y.max()) < (1280, 800)


def test_a_wide_lens_that_magnifies_its_rim_is_refused() -> None:
    pinhole = PinholeCamera.from_focal(300.0, 300.0, 640.0, 400.0, 1280, 800)
    camera = CalibratedCamera(pinhole, "equidistant", [0.6, 0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="focal lengths 300 and 300 px that reaches beyond it"):
        undistorted_camera(camera)


def test_a_skew_that_moves_no_pixel_is_none() -> None:
    assert not CalibratedCamera(KITTI, skew=1e-9).is_distorted
    assert CalibratedCamera(KITTI, skew=0.35).key() != CalibratedCamera(KITTI).key()
    # 0.02 px of skew move the uppermost row by 0.1 px, whatever the focal length along x.
    tall = PinholeCamera.from_focal(1e4, 10.0, 50.0, 50.0, 100, 100)
    assert CalibratedCamera(tall, skew=0.02).skew == 0.02
    with pytest.raises(InputError, match="distortion model mei has no skew, got 3 px"):
        CalibratedCamera(KITTI, "mei", [0.1, 0, 0, 0, 1.5], 3.0)
    with pytest.raises(
        InputError, match="skew must leave columns of 1408 px, got one of 500000 px"
    ):
        undistorted_camera(CalibratedCamera(KITTI, skew=5e5))


@pytest.mark.parametrize(("skew", "left", "right"), [(20.0, 16, 4), (-20.0, 4, 16)])
def test_a_skew_costs_each_side_the_columns_that_it_moves_out(
    skew: float, left: int, right: int
) -> None:
    # Rays of the uppermost row have y = -0.8, those of the lowest one y = 0.2.
    pinhole = PinholeCamera.from_focal(100.0, 100.0, 50.0, 80.0, 100, 101)
    view = undistorted_camera(CalibratedCamera(pinhole, skew=skew))
    assert (view.width, view.K[0, 2]) == (100 - left - right, 50.0 - left)


@pytest.mark.parametrize("skew", [0.0, 31.0])
@pytest.mark.parametrize("model", ["", *DISTORTIONS])
def test_undistorted_pictures_show_only_what_the_lens_saw(model: str, skew: float) -> None:
    pinhole = PinholeCamera.from_focal(600.0, 610.0, 655.0, 350.0, 1280, 720)
    camera = CalibratedCamera(pinhole, model, DISTORTIONS.get(model, []), skew)
    white = np.full((720, 1280, 3), 255, np.uint8)
    picture = ImagePreprocessor((360, 640), "stretch")(white, camera)
    assert (picture.rgb > 250).mean() > 0.995
    assert undistorted_camera(camera).K[0, 0] > 0


def test_cameras_that_take_turns_keep_their_undistortion(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    maps = image_module.undistortion_maps
    monkeypatch.setattr(
        image_module, "undistortion_maps", lambda *args: made.append(args) or maps(*args)
    )
    D = np.array([-0.2, 0.05, 0.0, 0.0, 0.0])
    cameras = [
        CalibratedCamera(PinholeCamera.from_focal(f, f, 80, 40, 160, 80), "plumb_bob", D)
        for f in (100.0, 110.0, 120.0)
    ]
    image = np.random.default_rng(0).integers(0, 256, (80, 160, 3), dtype=np.uint8)
    for n_cameras, expected in ((3, 3), (1, 12)):
        prepare = ImagePreprocessor((40, 80), n_cameras=n_cameras)
        made.clear()
        pictures = [prepare(image, camera).rgb for _ in range(4) for camera in cameras]
        assert len(made) == expected
        for i, picture in enumerate(pictures):
            np.testing.assert_array_equal(picture, pictures[i % 3])
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_bgr_view_gives_the_same_picture() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (376, 1408, 3), dtype=np.uint8)
    prepare = ImagePreprocessor((192, 640))
    plain = prepare(rgb, CalibratedCamera(KITTI)).rgb
    view = np.ascontiguousarray(rgb[..., ::-1])[..., ::-1]
    np.testing.assert_array_equal(prepare(view, CalibratedCamera(KITTI)).rgb, plain)


def test_stretching_is_opencv_bilinear_without_antialias() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (376, 1408, 3), dtype=np.uint8)
    picture = ImagePreprocessor((192, 640))(rgb, CalibratedCamera(KITTI)).rgb
    expected = cv2.resize(rgb, (640, 192), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(picture, expected)
    tensor = image_tensor(picture)
    assert tensor.shape == (1, 3, 192, 640)
    np.testing.assert_allclose(tensor[0, 2, 5, 7], picture[5, 7, 2] / 255 * 2 - 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (np.zeros((3, 3)), "not calibrated: focal lengths must be > 0 px, got fx 0, fy 0"),
        (np.full((3, 3), np.nan), "K must be \\(3, 3\\) and finite"),
        (np.eye(4), "K must be \\(3, 3\\) and finite"),
        (np.array([[5.0, 0.1, 1], [0, 5, 1], [0, 0, 1]]), "K must be \\[fx 0 cx"),
    ],
)
def test_impossible_intrinsics_are_refused(K: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PinholeCamera(K, 640, 480)


def test_other_refusals() -> None:
    with pytest.raises(InputError, match="image size must be positive, got 0 x 5"):
        PinholeCamera.from_focal(1.0, 1.0, 0.0, 0.0, 0, 5)
    with pytest.raises(InputError, match="unknown distortion model 'lens' .*; known: plumb_bob"):
        CalibratedCamera(KITTI, "lens", [0.1])
    with pytest.raises(InputError, match="plumb_bob takes 4 or 5 or .* got 2"):
        CalibratedCamera(KITTI, "plumb_bob", [0.1, 0.2])
    with pytest.raises(InputError, match="distortion coefficients must be finite"):
        CalibratedCamera(KITTI, "plumb_bob", [np.nan] * 5)
    with pytest.raises(InputError, match="fit must be auto, stretch or crop, got 'zoom'"):
        ImagePreprocessor((192, 640), "zoom")
    prepare = ImagePreprocessor((192, 640))
    with pytest.raises(InputError, match="image is 640 x 480 px, but its calibration is for 1408"):
        prepare(np.zeros((480, 640, 3), np.uint8), CalibratedCamera(KITTI))
    with pytest.raises(InputError, match=r"image must be \(h, w, 3\) uint8, got \(376, 1408\)"):
        prepare(np.zeros((376, 1408), np.uint8), CalibratedCamera(KITTI))
    with pytest.raises(ValueError, match="read-only"):
        KITTI.K[0, 0] = 1.0
