# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Calibrations of every kind that cameras send."""

import array
from types import SimpleNamespace

import numpy as np
import pytest

from scenedino_ros.cameras.from_msg import (
    camera_from_info,
)
from scenedino_ros.core.errors import InputError

K = [700.0, 0.0, 640.0, 0.0, 710.0, 360.0, 0.0, 0.0, 1.0]
P = [650.0, 0.0, 620.0, -65.0, 0.0, 650.0, 350.0, 0.0, 0.0, 0.0, 1.0, 0.0]
D = [-0.3, 0.1, 0.001, -0.002, 0.0]


def info_msg(**changes):
    roi = dict.fromkeys(("x_offset", "y_offset", "width", "height"), 0)
    roi.update(changes.pop("roi", {}))
    values = {
        "width": 1280,
        "height": 720,
        "distortion_model": "plumb_bob",
        "d": D,
        "k": K,
        "r": [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        "p": P,
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(**roi, do_rectify=False),
    }
    return SimpleNamespace(**{**values, **changes})


def test_raw_images_use_k_and_d():
    camera = camera_from_info(info_msg(), rectified=False)
    np.testing.assert_array_equal(camera.pinhole.K, np.reshape(K, (3, 3)))
    assert (camera.pinhole.width, camera.pinhole.height) == (1280, 720)
    assert camera.distortion_model == "plumb_bob"
    np.testing.assert_array_equal(camera.D, D)


def test_rectified_images_use_p_without_distortion_nor_baseline():
    camera = camera_from_info(info_msg(), rectified=True)
    np.testing.assert_array_equal(camera.pinhole.K, [[650, 0, 620], [0, 650, 350], [0, 0, 1]])
    assert not camera.is_distorted


@pytest.mark.parametrize("rectified", [False, True])
def test_region_then_binning(rectified):
    info = info_msg(
        roi={"x_offset": 100, "y_offset": 40, "width": 801, "height": 600},
        binning_x=2,
        binning_y=4,
    )
    fx, fy, cx, cy = (650, 650, 620, 350) if rectified else (700, 710, 640, 360)
    pinhole = camera_from_info(info, rectified=rectified).pinhole
    expected = [[fx / 2, 0, (cx - 100) / 2], [0, fy / 4, (cy - 40) / 4], [0, 0, 1]]
    np.testing.assert_allclose(pinhole.K, expected, rtol=1e-15)
    assert (pinhole.width, pinhole.height) == (400, 150)


def test_the_message_is_left_as_it_is():
    info = info_msg(k=np.array(K), binning_x=2, roi={"x_offset": 8, "width": 64, "height": 64})
    camera_from_info(info, rectified=False)
    assert info.k.tolist() == K


def test_region_and_binning_move_pixels_as_they_do_the_image():
    roi = {"x_offset": 64, "y_offset": 32, "width": 640, "height": 480}
    points = np.random.default_rng(0).uniform((-3, -2, 2), (3, 2, 20), (50, 3))
    full = camera_from_info(info_msg(), rectified=False).pinhole.project(points)
    part = camera_from_info(info_msg(roi=roi, binning_x=2, binning_y=2), rectified=False)
    np.testing.assert_allclose(part.pinhole.project(points), (full - (64, 32)) / 2, atol=1e-9)


@pytest.mark.parametrize("binning", [0, 1])
def test_binning_of_0_and_1_leave_the_image_as_it_is(binning):
    camera = camera_from_info(info_msg(binning_x=binning, binning_y=binning), rectified=False)
    np.testing.assert_array_equal(camera.pinhole.K, np.reshape(K, (3, 3)))


def test_parity_with_image_geometry():
    geometry = pytest.importorskip("image_geometry", reason="image_geometry is not here")
    sensor_msgs = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not here")
    info = sensor_msgs.CameraInfo(
        width=1280, height=720, distortion_model="plumb_bob", d=D, k=K, p=P, binning_x=2
    )
    info.binning_y = 2
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 64, 32, 640, 480
    model = geometry.PinholeCameraModel()
    model.fromCameraInfo(info)
    pinhole = camera_from_info(info, rectified=True).pinhole
    np.testing.assert_allclose(
        [pinhole.K[0, 0], pinhole.K[1, 1], pinhole.K[0, 2], pinhole.K[1, 2]],
        [model.fx(), model.fy(), model.cx(), model.cy()],
    )


@pytest.mark.parametrize(
    "model", ["", "none", "Plumb Bob", "equidistant", "Inverse Brown-Conrady"]
)
@pytest.mark.parametrize("coefficients", [[], [0.0] * 3, [0.0] * 8])
def test_no_coefficients_or_zeros_mean_no_distortion(model, coefficients):
    camera = camera_from_info(info_msg(distortion_model=model, d=coefficients), rectified=False)
    assert not camera.is_distorted
    assert camera.distortion_model == ""


BROWN = [-0.21, 0.05, 0.0011, -0.0007]


@pytest.mark.parametrize(
    ("model", "coefficients", "expected", "D"),
    [
        ("plumb_bob", BROWN, "plumb_bob", [*BROWN, 0]),
        ("radtan", BROWN, "plumb_bob", [*BROWN, 0]),
        ("PLUMB_BOB", [*BROWN, 0.02, 0, 0], "plumb_bob", [*BROWN, 0.02]),
        ("brown-conrady", [*BROWN, 0.02], "plumb_bob", [*BROWN, 0.02]),
        ("rational_polynomial", [*BROWN, 0], "plumb_bob", [*BROWN, 0]),
        ("plumb_bob", [*BROWN, 0, 0.3, 0, 0], "rational_polynomial", [*BROWN, 0, 0.3, 0, 0]),
        ("rational_polynomial", [*BROWN, 0] + [0] * 9, "plumb_bob", [*BROWN, 0]),
        ("rational_polynomial", [0.1] * 12 + [0, 0], "rational_polynomial", [0.1] * 12),
        ("rational_polynomial", [0.1] * 14, "rational_polynomial", [0.1] * 14),
        ("equidistant", [0.1, 0.0, 0.0, 0.0], "equidistant", [0.1, 0, 0, 0]),
        ("Kannala Brandt", [0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0], "equidistant", [0.1, 0.2, 0.3, 0.4]),
        ("fisheye", [0.1, 0.0, 0.0, -0.01], "equidistant", [0.1, 0, 0, -0.01]),
        ("mei", [0.017, 1.65, 0.0004, 0.0004, 2.2], "mei", [0.017, 1.65, 0.0004, 0.0004, 2.2]),
    ],
)
def test_distortion_is_read_by_meaning(model, coefficients, expected, D):
    info = info_msg(distortion_model=model, d=array.array("d", coefficients))
    camera = camera_from_info(info, rectified=False)
    assert camera.is_distorted
    assert camera.distortion_model == expected
    assert camera.D.tolist() == D


def test_a_last_row_of_zeros_is_that_of_the_definition():
    camera = camera_from_info(info_msg(k=[*K[:6], 0.0, 0.0, 0.0]), rectified=False)
    np.testing.assert_array_equal(camera.K, np.reshape(K, (3, 3)))


@pytest.mark.parametrize("rectified", [False, True])
def test_skew_is_kept_and_binned(rectified):
    skewed = {"k": [K[0], 4.2, *K[2:]], "p": [P[0], 4.2, *P[2:]], "d": []}
    camera = camera_from_info(info_msg(binning_x=2, **skewed), rectified=rectified)
    assert camera.skew == 2.1
    assert camera.K[0, 1] == 2.1
    assert camera.is_distorted


@pytest.mark.parametrize(
    ("changes", "rectified", "message"),
    [
        ({"k": [0.0] * 9}, False, r"not calibrated: CameraInfo K\[0\] .* got 0; P is set"),
        ({"p": [0.0] * 12}, True, r"not calibrated: CameraInfo P\[0\] .* got 0; K is set"),
        ({"k": [float("nan"), *K[1:]]}, False, "K must be 9 finite numbers, got"),
        ({"p": [*P[:3], float("inf"), *P[4:]]}, True, "P must be 12 finite numbers"),
        ({"k": K[:8]}, False, "K must be 9 finite numbers"),
        ({"k": [700.0, 0.0, 640.0, 0.0, 0.0, 360.0, 0.0, 0.0, 1.0]}, False, "fy 0"),
        ({"d": [float("nan")] * 5}, False, "coefficients must be finite"),
        ({"d": [0.1] * 6}, False, "plumb_bob takes 4 or 5 or 8 .* got 6"),
        ({"d": [0.1] * 3}, False, "plumb_bob takes 4 or 5 or 8 .* got 3"),
        (
            {"distortion_model": "", "d": [0.1] * 5},
            False,
            "that has some, got '' .*; known: plumb",
        ),
        ({"distortion_model": "None"}, False, "a distortion model that has some, got 'None'"),
        ({"distortion_model": "pinhole4"}, False, "unknown distortion model 'pinhole4'"),
        ({"distortion_model": "inverse_brown_conrady"}, False, "unknown .*; known: plumb_bob, "),
        ({"distortion_model": "equidistant", "d": [0.1] * 5}, False, "takes 4 .* got 5"),
        ({"distortion_model": "mei", "d": [0.1] * 4}, False, "mei takes 5 .* got 4"),
        ({"width": 0}, False, "the size the camera was calibrated at, got 0 x 720"),
        ({"k": [*K[:8], 2.0]}, False, r"K must be .fx s cx; 0 fy cy; 0 0 1., got"),
        ({"roi": {"x_offset": 700, "width": 600, "height": 720}}, False, "600 x 720 at .700, 0"),
        ({"roi": {"x_offset": 10}}, False, "region of interest must lie within 1280 x 720"),
        ({"binning_x": 2000}, False, "binning must leave pixels .* got 2000 x 1"),
    ],
)
def test_bad_calibrations_are_refused(changes, rectified, message):
    with pytest.raises(InputError, match=message):
        camera_from_info(info_msg(**changes), rectified=rectified)


def test_rectified_images_need_neither_k_nor_d():
    info = info_msg(k=[0.0] * 9, d=[1.0] * 7, distortion_model="unheard of")
    assert camera_from_info(info, rectified=True).pinhole.K[0, 0] == 650
