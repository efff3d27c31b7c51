# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What cannot be a calibration of the picture, and what a network has not seen."""

import json
import re

import numpy as np
import pytest

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image import ImagePreprocessor
from scenedino_ros.cameras.plausibility import (
    KITTI_360,
    TrainingRig,
    calibration_warnings,
    camera_from_intrinsics,
    field_of_view,
    refuse_impossible,
    training_rig,
    training_warnings,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.voxels import GRID_PRESETS, SemanticVoxels
from scenedino_ros.inference.empty_grid import why_empty

# x forward, y left, z up of the grid, seen from a camera that looks straight ahead.
AHEAD = np.array([[0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, -0.4], [0, 0, 0, 1.0]])
GRID = GRID_PRESETS["sscbench"]


def tilted(down_deg: float, z: float = -0.4) -> np.ndarray:
    c, s = np.cos(np.radians(down_deg)), np.sin(np.radians(down_deg))
    T = AHEAD.copy()
    T[:3, :3] = AHEAD[:3, :3] @ [[1, 0, 0], [0, c, s], [0, -s, c]]
    T[2, 3] = z
    return T


def test_field_of_view_is_that_of_the_outermost_pixel_edges():
    pinhole = PinholeCamera.from_focal(100.0, 50.0, 99.5, 24.5, 200, 100)
    right, below = np.degrees(np.arctan([1.0, 1.5]))
    assert field_of_view(pinhole) == pytest.approx((2 * right, np.degrees(np.arctan(0.5)) + below))


@pytest.mark.parametrize(
    ("intrinsics", "message"),
    [
        ((700, 700, 800, 240), r"must lie in the image of 640 x 480 px, got \(800, 240\)"),
        ((700, 700, 320, -3), "principal point must lie in the image"),
        (
            (0.9, 1.2, 0.5, 0.5),
            "would be 179.7 x 179.4 degrees, and that of a lens of this kind .* 170",
        ),
        ((1.8, 2.4, 319, 239), "got fx 1.8, fy 2.4: the field of view would be"),
        ((4.2, 4.2, 319, 239), "in pixels of the image of 640 x 480 px, got fx 4.2"),
    ],
)
def test_what_cannot_be_true_is_refused(intrinsics, message):
    with pytest.raises(InputError, match=message):
        camera_from_intrinsics(intrinsics, 640, 480)


def test_fisheyes_may_see_more():
    wide = PinholeCamera.from_focal(160, 160, 320, 240, 640, 480)  # 229 degrees if equidistant
    refuse_impossible(wide, "equidistant", [0.01, 0, 0, 0])
    narrow = PinholeCamera.from_focal(27, 27, 320, 240, 640, 480)
    with pytest.raises(InputError, match=r"would be 170.* less than 170"):
        refuse_impossible(narrow, "plumb_bob", [0.1, 0, 0, 0])
    refuse_impossible(narrow, "mei", [0.1, 0, 0, 0, 1.9])
    with pytest.raises(InputError, match="would be 1358.1 x 1018.6 degrees.* less than 360"):
        refuse_impossible(narrow, "fisheye", [0.1, 0, 0, 0])


@pytest.mark.parametrize(
    ("intrinsics", "kinds", "words"),
    [
        ((600, 600, 640, 400), set(), ""),
        ((552, 552, 682, 300), set(), ""),
        ((300, 300, 320, 200), {"principal point"}, "is 120 x 97 degrees: is"),
        ((300, 300, 640, 400), {"field of view"}, "view of 130 x 106 degrees"),
        ((1200, 600, 640, 400), {"aspect"}, "factor of 2.00"),
        ((9000, 9000, 640, 400), {"field of view"}, "view of 8 x 5 degrees"),
    ],
)
def test_what_is_doubtful_is_said_with_the_field_of_view(intrinsics, kinds, words):
    warnings = calibration_warnings(
        CalibratedCamera(PinholeCamera.from_focal(*intrinsics, 1280, 800))
    )
    assert set(warnings) == kinds
    assert all("degrees" in sentence for sentence in warnings.values())
    assert words in " ".join(warnings.values())


def test_the_camera_of_training_is_known_by_its_name_or_written_down():
    assert training_rig({"weights": "ours, trained on KITTI-360"}) == KITTI_360
    assert training_rig({"weights": "ours"}) is None
    written = {"focal": [1.0, 2.0], "height": 2.2, "pitch_deg": 10}
    assert training_rig({"training_rig": json.dumps(written)}) == TrainingRig((1, 2), 2.2, 10)


@pytest.mark.parametrize(
    "damaged",
    [
        *("", "{}", "[1]", "[" * 30_000, '{"focal": [1], "height": 2, "pitch_deg": 1}'),
        *(
            f'{{"focal": [{focal}, 1], "height": 2, "pitch_deg": 1}}'
            for focal in ("0", "-1", "NaN", "1e999", "9" * 400)
        ),
        '{"focal": [1, 1], "height": Infinity, "pitch_deg": 1}',
    ],
)
def test_a_damaged_camera_of_training_is_refused(damaged: str):
    with pytest.raises(InputError, match="training_rig must hold focal"):
        training_rig({"training_rig": damaged})


@pytest.mark.parametrize(
    ("fx", "T_grid_cam", "kinds"),
    [
        (251.0, AHEAD, set()),
        (251.0, tilted(14.0), set()),
        (251.0, None, set()),
        (520.0, None, {"trained focal length"}),
        (251.0, tilted(25.0), {"trained pitch"}),
        (251.0, tilted(-25.0), {"trained pitch"}),
        (251.0, tilted(5.0, z=6.0), {"trained height"}),
        (251.0, tilted(5.0, z=-1.8), {"trained height"}),
        (520.0, np.eye(4), {"trained focal length"}),  # a grid in an optical frame
    ],
)
def test_what_a_network_has_not_seen_is_said(fx, T_grid_cam, kinds):
    camera = PinholeCamera.from_focal(fx, fx * 1.124, 320, 96, 640, 192)
    warnings = training_warnings(KITTI_360, camera, GRID, T_grid_cam)
    assert set(warnings) == kinds


@pytest.mark.parametrize(
    ("size", "fit", "kept"),
    [((376, 1408), "auto", 1.0), ((600, 800), "auto", 240 / 600), ((600, 800), "stretch", 1.0)],
)
def test_the_part_of_an_image_that_is_kept(size, fit, kept):
    camera = CalibratedCamera(
        PinholeCamera.from_focal(600, 600, size[1] / 2, size[0] / 2, size[1], size[0])
    )
    picture = ImagePreprocessor((192, 640), fit)(np.zeros((*size, 3), np.uint8), camera)
    assert picture.kept == pytest.approx(kept, abs=2e-3)


def test_undistortion_leaves_a_part_of_an_image_too():
    pinhole = PinholeCamera.from_focal(400, 400, 399.5, 249.5, 800, 500)
    camera = CalibratedCamera(pinhole, "plumb_bob", [-0.3, 0.06, 0, 0])
    prepare = ImagePreprocessor((250, 400), "stretch")
    # Pictures of the image's own x and y tell where each of their pixels was looked up.
    y, x = np.mgrid[:500, :800]
    rgb = np.stack([x // 4, y // 2, 0 * x], axis=-1).astype(np.uint8)
    picture = prepare(rgb, camera)
    seen = picture.rgb
    columns, rows = 4 * seen[..., 0].astype(float), 2 * seen[..., 1].astype(float)
    du, dv = np.gradient(columns), np.gradient(rows)
    area = np.abs(du[1] * dv[0] - du[0] * dv[1]).sum()  # Jacobian of the lookup, pixel by pixel
    assert picture.kept == pytest.approx(area / (800 * 500), rel=0.03)
    assert picture.kept < 0.97


def no_voxels(highest):
    empty = np.zeros(0)
    return SemanticVoxels(GRID, empty, empty, empty, empty, highest)


@pytest.mark.parametrize(
    ("highest", "T_grid_cam", "message"),
    [
        (0.071, None, "highest density in view is 0.071 1/m, below the threshold of 0.2 1/m; the"),
        (0.5, None, "of hidden classes: the highest density in view is 0.5 1/m, the threshold"),
        (None, None, "no voxel of the grid is in view; the grid lies in the camera's optical"),
        (
            0.071,
            tilted(30.0),
            r"at \(0.50, 0.00, -0.40\) m, 1.60 m above the grid's floor, and looks along "
            r"\(0.87, 0.00, -0.50\), 30.0 degrees down",
        ),
    ],
)
def test_an_empty_grid_tells_density_threshold_and_pose(highest, T_grid_cam, message):
    assert re.search(message, why_empty(no_voxels(highest), 0.2, T_grid_cam))
