# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Calibration files of ROS, OpenCV and Kalibr give one and the same camera."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from scenedino_ros.cameras.camera_file import camera_from_yaml
from scenedino_ros.core.errors import InputError

FX, FY, CX, CY, WIDTH, HEIGHT = 431.5, 433.25, 318.0, 201.5, 640, 400
K = [[FX, 0.0, CX], [0.0, FY, CY], [0.0, 0.0, 1.0]]
D = [-0.21, 0.05, 0.0011, -0.0007]


def opencv(
    path: Path, *, K_name="camera_matrix", D_name="distortion_coefficients", **fields
) -> None:
    """Write a file as OpenCV's own FileStorage writes it: XML, YAML or JSON by its suffix."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write(K_name, np.array(K))
    storage.write(D_name, np.array([fields.pop("D", D)]).T)
    for name, value in fields.items():
        storage.write(name, value)
    storage.release()


def kalibr(**changes) -> dict:
    camera = {
        "camera_model": "pinhole",
        "intrinsics": [FX, FY, CX, CY],
        "distortion_model": "radtan",
        "distortion_coeffs": D,
        "resolution": [WIDTH, HEIGHT],
        "rostopic": "/cam0/image_raw",
        "T_cam_imu": np.eye(4).tolist(),
    }
    return {key: value for key, value in {**camera, **changes}.items() if value is not None}


def check(path: Path, model: str = "plumb_bob", coefficients=(*D, 0.0)) -> None:
    camera = camera_from_yaml(path, rectified=False)
    np.testing.assert_array_equal(camera.K, K)
    assert (camera.pinhole.width, camera.pinhole.height) == (WIDTH, HEIGHT)
    assert (camera.distortion_model, camera.D.tolist()) == (model, list(coefficients))


@pytest.mark.parametrize("suffix", [".yml", ".xml", ".json"])
def test_file_storages_of_opencv_are_read(tmp_path, suffix):
    path = tmp_path / f"camera{suffix}"
    opencv(path, image_width=WIDTH, image_height=HEIGHT, flags=0)
    check(path)
    opencv(
        path, K_name="cameraMatrix", D_name="distCoeffs", image_Width=WIDTH, image_Height=HEIGHT
    )
    check(path)
    opencv(
        path, K_name="K", D_name="D", D=[*D, 0.0, 0.3, 0.0, 0.0], imageSize=np.array([640, 400])
    )
    check(path, "rational_polynomial", [*D, 0.0, 0.3, 0.0, 0.0])
    opencv(path, image_width=WIDTH, image_height=HEIGHT, fisheye_model=1)
    check(path, "equidistant", D)


@pytest.mark.parametrize(
    ("model", "expected", "coefficients"),
    [("radtan", "plumb_bob", (*D, 0.0)), ("equi", "equidistant", D), ("equidistant",) * 2 + (D,)],
)
@pytest.mark.parametrize("chain", [True, False])
def test_a_camchain_of_kalibr_is_read(tmp_path, model, expected, coefficients, chain):
    path = tmp_path / "camchain.yaml"
    camera = kalibr(distortion_model=model)
    path.write_text(yaml.safe_dump({"cam0": camera} if chain else camera))
    check(path, expected, coefficients)


def test_a_camchain_without_distortion_is_read(tmp_path):
    path = tmp_path / "camchain.yaml"
    path.write_text(
        yaml.safe_dump({"cam2": kalibr(distortion_model="none", distortion_coeffs=[])})
    )
    check(path, "", ())


@pytest.mark.parametrize("rows", [True, False])
def test_capital_letters_and_rows_are_read(tmp_path, rows):
    path = tmp_path / "camera.json"
    fields = {"Width": WIDTH, "Height": HEIGHT, "D": D, "Distortion_Model": "Plumb Bob"}
    fields["K"] = K if rows else sum(K, [])
    fields["P"] = np.hstack([np.array(K) + [[9, 0, 0], [0, 9, 0], [0, 0, 0]], np.zeros((3, 1))])
    fields["P"] = fields["P"].tolist()
    path.write_text(json.dumps(fields))
    check(path)
    assert camera_from_yaml(path, rectified=True).pinhole.K[0, 0] == FX + 9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cam0": kalibr(resolution=None)}, "read as Kalibr camchain: image_width is missing"),
        ({"cam0": kalibr(intrinsics=None)}, "read as Kalibr camchain: intrinsics is missing"),
        ({"cam0": kalibr(intrinsics=[1.8, 5, 5, 3, 2])}, "must be fx, fy, cx, cy, got .1.8, 5"),
        ({"cam0": kalibr(camera_model="omni")}, "camera_model must be pinhole, got omni"),
        ({"cam0": kalibr(camera_model="ds")}, "Kalibr.*camera_model must be pinhole, got ds"),
        ({"cam0": kalibr(distortion_model="fov")}, "unknown distortion model 'fov'.*; known: "),
        ({"cam0": kalibr(), "cam1": kalibr()}, "must hold one camera, got cam0, cam1"),
        ({"cam0": kalibr(resolution=[640])}, r"must be width and height, got \[640.0\]"),
        ({"K": K, "D": D, "height": 400}, "read as ROS calibration: image_width is missing"),
        ({"k": "abc", "width": 9, "height": 9}, "camera_matrix must be numbers, got abc"),
        ({"k": K, "width": 9.5, "height": 9}, "image_width must be a whole number, got 9.5"),
        ({"k": K, "width": 9, "height": 9, "roi": [0]}, "roi must have x_offset, .*got .0."),
        ({"k": K, "width": 640, "height": 400, "d": D}, "that has some, got ''"),
    ],
)
def test_what_a_file_lacks_is_said_with_its_format(tmp_path, fields, message):
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(InputError, match=message):
        camera_from_yaml(path, rectified=False)


def test_files_without_a_rectified_camera_are_refused_for_rectified_images(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump({"cam0": kalibr()}))
    with pytest.raises(InputError, match="Kalibr camchain: projection_matrix is missing"):
        camera_from_yaml(path, rectified=True)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".xml", '<?xml version="1.0"?>\n<opencv_storage><a'),
        (".yml", "%YAML:1.0\nk: !!opencv-matrix"),
    ],
)
def test_a_damaged_file_storage_is_refused(tmp_path, suffix, content, capfd):
    path = tmp_path / f"camera{suffix}"
    path.write_text(content)
    with pytest.raises(InputError, match=f"calibration file .*camera{suffix}"):
        camera_from_yaml(path, rectified=False)


def test_an_opencv_file_without_a_size_says_so(tmp_path):
    path = tmp_path / "camera.yml"
    opencv(path)
    with pytest.raises(InputError, match="read as OpenCV FileStorage: image_width is missing"):
        camera_from_yaml(path, rectified=False)


STORAGE = """<?xml version="1.0"?>
<opencv_storage>
<image_width>640</image_width>
<image_height>480</image_height>
<camera_matrix type_id="opencv-matrix">
  <rows>3</rows><cols>3</cols><dt>d</dt>
  <data>500. 0. 320. 0. 500. 240. 0. 0. 1.</data></camera_matrix>
<distortion_coefficients type_id="opencv-matrix">
  <rows>1</rows><cols>5</cols><dt>d</dt><data>0.1 0. 0. 0. 0.</data></distortion_coefficients>
</opencv_storage>
"""


@pytest.mark.parametrize(
    ("damage", "by", "why"),
    [
        ("<?xml version", "<?xml '", "XML declaration not well-formed"),
        ("0. 0. 1.</data>", "0. 0. x</data>", "could not convert string to float: 'x'"),
        ("<opencv_storage>", '<!DOCTYPE a [<!ENTITY b "c">]><opencv_storage>', "document type"),
        ("</opencv_storage>", "", "no element found"),
    ],
)
def test_damaged_xml_is_refused_without_opencv_which_it_may_crash(
    tmp_path: Path, damage: str, by: str, why: str
):
    path = tmp_path / "camera.xml"
    path.write_text(STORAGE)
    assert camera_from_yaml(path, rectified=False).K[0, 0] == 500
    path.write_text(STORAGE.replace(damage, by))
    with pytest.raises(InputError, match=why):
        camera_from_yaml(path, rectified=False)
