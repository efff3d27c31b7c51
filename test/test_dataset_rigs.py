# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Data sets of several cameras become one recording, and that a frame store."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.argoverse import read_argoverse_stereo
from scenedino_ros.recordings.datasets.conversion import bag_from_argoverse, bag_from_dgp
from scenedino_ros.recordings.datasets.dgp import dgp_cameras, read_dgp
from scenedino_ros.recordings.frame_store.build import build_frame_store
from scenedino_ros.recordings.frame_store.settings import StoreSettings
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.transforms import inverse, matrix_from_rotation

NAMES = ("FRONT", "LEFT")
UNIT_NS = 100


def pose(T: np.ndarray) -> dict[str, dict[str, float]]:
    """Return a pose turned about z, as DGP writes it."""
    angle = np.arctan2(T[1, 0], T[0, 0])
    return {
        "rotation": {"qx": 0, "qy": 0, "qz": np.sin(angle / 2), "qw": np.cos(angle / 2)},
        "translation": dict(zip("xyz", T[:3, 3].tolist(), strict=True)),
    }


def turned(angle: float, *position: float) -> np.ndarray:
    return matrix_from_rotation(position, (0, 0, np.sin(angle / 2), np.cos(angle / 2)))


T_BASE_CAM = {"FRONT": turned(0.0, 1.5, 0, 1), "LEFT": turned(1.2, 0.5, 0.4, 1)}


def write_dgp(folder: Path, late: int = 0) -> None:
    """Write a scene of two cameras; the second is `late` (in 100 ns) behind the first."""
    (folder / "calibration").mkdir(parents=True)
    data = []
    for number, name in enumerate(NAMES):
        (folder / "rgb" / name).mkdir(parents=True)
        for index in range(3):
            file = f"rgb/{name}/{15616458249936530 + index * 10**6 + number * late}.png"
            cv2.imwrite(str(folder / file), np.full((20, 30, 3), 10 * number + index, np.uint8))
            when = index + number * late / 10**6
            T_world_cam = turned(0.1 * when, 100 + when, 50, 2) @ T_BASE_CAM[name]
            image = {"filename": file, "width": 30, "height": 20, "pose": pose(T_world_cam)}
            data.append({"id": {"name": name}, "datum": {"image": image}})
    data.append({"id": {"name": "LIDAR"}, "datum": {"point_cloud": {}}})
    (folder / "scene_abc.json").write_text(json.dumps({"data": data}))
    intrinsics = [{"fx": 40.0 + n, "fy": 41.0, "cx": 15.0, "cy": 10.0} for n in range(2)]
    calibration = {
        "names": list(NAMES),
        "intrinsics": intrinsics,
        "extrinsics": [pose(T_BASE_CAM[name]) for name in NAMES],
    }
    (folder / "calibration/abc.json").write_text(json.dumps(calibration))


@pytest.mark.parametrize("late", [0, 200_000])
def test_all_cameras_of_a_dgp_scene_are_one_recording(tmp_path, late):
    write_dgp(tmp_path / "scene", late)
    assert dgp_cameras(tmp_path / "scene") == NAMES
    drives = [read_dgp(tmp_path / "scene", name) for name in NAMES]
    told = []
    bag_from_dgp(drives, tmp_path / "bag", progress=lambda *counts: told.append(counts))
    assert told == [(n, 6) for n in range(1, 7)]
    with Recording(tmp_path / "bag") as recording:
        assert recording.problems == []
        store = build_frame_store(recording, tmp_path / "store", StoreSettings((20, 30)))
    assert len(store) == 3
    T_first = turned(0, 100, 50, 2)
    for index in range(3):
        for number, name in enumerate(NAMES):
            assert (store.image(name.lower(), index) == 10 * number + index).all()
            expected = inverse(T_first) @ drives[number].images[index].T_world_cam
            np.testing.assert_allclose(store.T_world_cam(name.lower(), index), expected, atol=1e-9)
    (tmp_path / "scene/scene_abc.json").write_text("{}")
    with pytest.raises(InputError, match="not as specified by DGP: KeyError 'data'"):
        dgp_cameras(tmp_path / "scene")


def test_the_command_records_a_scene_or_a_pair(tmp_path, capsys):
    write_dgp(tmp_path / "scene", 0)
    write_argoverse(tmp_path / "pair")
    scene, pair = (["dataset-to-bag", kind] for kind in ("dgp", "argoverse"))
    assert main([*scene, str(tmp_path / "scene"), "-o", str(tmp_path / "all")]) == 0
    one = [*scene, str(tmp_path / "scene"), "-o", str(tmp_path / "one"), "--cameras", NAMES[1]]
    assert main(one) == 0
    assert main([*pair, str(tmp_path / "pair"), "-o", str(tmp_path / "stereo")]) == 0
    assert f"written to {tmp_path / 'stereo'}" in capsys.readouterr().out
    expected = {"all": NAMES, "one": NAMES[1:2], "stereo": ("camera_00", "camera_01")}
    for name, cameras in expected.items():
        with Recording(tmp_path / name) as recording:
            assert list(recording.cameras) == [camera.lower() for camera in cameras]
    wrong = [*pair, str(tmp_path / "pair"), "-o", str(tmp_path / "no"), "--cameras", "left"]
    assert main(wrong) == 2
    assert "--cameras is for a DGP scene" in capsys.readouterr().err


def write_argoverse(folder: Path, size: tuple[int, int] = (40, 60)) -> None:
    """Write a pair whose cameras are 0.3 m apart, turned by rectification to face that way."""
    folder.mkdir()
    c = np.sqrt(0.5)
    optical = {"coefficients": [0.5, -0.5, 0.5, -0.5]}  # w x y z: z ahead, x to the right
    rectify = {"coefficients": [c, 0.0, c, 0.0]}  # a quarter turn about y
    entries = []
    for side, y in (("left", 0.15), ("right", -0.15)):
        cv2.imwrite(str(folder / f"{side}_rect.jpg"), np.full((*size, 3), 90, np.uint8))
        mounted = {"rotation": optical, "translation": [1.6, y, 1.3]}
        turn = {"rotation": rectify, "translation": [0, 0, 0]}
        intrinsics = {
            "focal_length_x_px_": 50.0,
            "focal_length_y_px_": 51.0,
            "focal_center_x_px_": 30.0,
            "focal_center_y_px_": 20.0,
        }
        key = f"image_raw_stereo_front_{side}"
        entries.append({"key": key, "value": {"vehicle_SE3_camera_": mounted}})
        entries.append(
            {"key": f"{key}_rect", "value": {"vehicle_SE3_camera_": turn, **intrinsics}}
        )
    calibration = json.dumps({"camera_data_": entries})
    (folder / "vehicle_calibration_stereo_info.json").write_text(calibration)
    disparity = np.zeros(size, np.uint16)
    disparity[10, 20], disparity[11, 21] = 3 * 256, 1  # 5 m, and too far for the recording
    cv2.imwrite(str(folder / "left_disparity_gt.png"), disparity)


def test_an_argoverse_pair_becomes_a_frame_with_depth(tmp_path):
    write_argoverse(tmp_path / "pair")
    stereo = read_argoverse_stereo(tmp_path / "pair")
    assert stereo.depth[10, 20] == pytest.approx(50 * 0.3 / 3)
    assert stereo.depth[11, 21] == pytest.approx(50 * 0.3 * 256)
    # Turned about the camera's y axis, its optical axis points to the vehicle's right.
    np.testing.assert_allclose(stereo.T_base_cam["left"][:3, 2], (0, -1, 0), atol=1e-12)
    bag_from_argoverse(stereo, tmp_path / "bag")
    with Recording(tmp_path / "bag") as recording:
        assert recording.problems == []
        store = build_frame_store(recording, tmp_path / "store", StoreSettings((40, 60)))
    assert (len(store), list(store.cameras)) == (1, ["camera_00", "camera_01"])
    expected = np.zeros((40, 60), np.float16)
    expected[10, 20] = 5
    np.testing.assert_array_equal(store.depth("camera_00", 0), expected)
    assert store.depth("camera_01", 0) is None
    for side, camera in (("left", "camera_00"), ("right", "camera_01")):
        T = stereo.T_base_cam[side]
        np.testing.assert_allclose(store.T_world_cam(camera, 0), T, atol=1e-12)


def test_what_is_no_argoverse_pair_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"left_rect.jpg cannot be read"):
        read_argoverse_stereo(tmp_path)
    write_argoverse(tmp_path / "pair")
    calibration = tmp_path / "pair/vehicle_calibration_stereo_info.json"
    calibration.write_text('{"camera_data_": []}')
    with pytest.raises(
        InputError, match="not as specified by Argoverse: KeyError 'image_raw_stereo"
    ):
        read_argoverse_stereo(tmp_path / "pair")
    calibration.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_argoverse_stereo(tmp_path / "pair")
    disparity = tmp_path / "pair/left_disparity_gt.png"
    cv2.imwrite(str(disparity), np.zeros((4, 5), np.uint16))
    with pytest.raises(
        InputError, match=r"must have one size, got \(40, 60\), \(40, 60\) and \(4, 5\)"
    ):
        read_argoverse_stereo(tmp_path / "pair")
    cv2.imwrite(str(disparity), np.zeros((4, 5), np.uint8))
    with pytest.raises(InputError, match="must be a 16-bit image, got uint8"):
        read_argoverse_stereo(tmp_path / "pair")
    disparity.unlink()
    with pytest.raises(InputError, match=r"left_disparity_gt.png cannot be read: No such file"):
        read_argoverse_stereo(tmp_path / "pair")


@pytest.fixture(scope="module")
def real_folder():
    root = os.environ.get("SCENEDINO_TEST_DATA")
    if not root or not Path(root, "argoverse_stereo").is_dir():
        pytest.skip("SCENEDINO_TEST_DATA names no folder with argoverse_stereo and dgp_multicam")
    return Path(root)


def test_the_left_images_points_are_found_in_the_right_one(real_folder):
    """Depth, intrinsics and mounting together: a wrong baseline or side makes the greys differ."""
    stereo = read_argoverse_stereo(real_folder / "argoverse_stereo")
    grey = {s: cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for s, p in stereo.images.items()}
    v, u = np.nonzero((stereo.depth > 0) & (stereo.depth < 60))
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(stereo.camera.K).T
    points = rays * stereo.depth[v, u][:, None]
    errors = {}
    for scale in (0.8, 1.0, 1.2):
        T = inverse(stereo.T_base_cam["right"]) @ stereo.T_base_cam["left"]
        found = stereo.camera.project(points @ T[:3, :3].T + scale * T[:3, 3])
        inside = (found >= 0).all(-1) & (found[:, 0] < 2463) & (found[:, 1] < 2055)
        column, row = np.rint(found[inside]).astype(int).T
        difference = grey["left"][v, u][inside].astype(int) - grey["right"][row, column]
        errors[scale] = np.abs(difference).mean()
    assert errors[1.0] < 0.8 * min(errors[0.8], errors[1.2])


def test_a_real_dgp_scene_sees_its_scan_in_every_camera(real_folder, tmp_path):
    folder = real_folder / "dgp_multicam/scene_02"
    drives = [read_dgp(folder, name) for name in dgp_cameras(folder)]
    bag_from_dgp(drives, tmp_path / "bag")
    with Recording(tmp_path / "bag") as recording:
        assert recording.problems == []
        store = build_frame_store(recording, tmp_path / "store", StoreSettings())
    assert (len(store), len(store.cameras)) == (3, 6)
    assert not store.breaks()[1:].any()
    np.testing.assert_allclose(store.travelled(), [0, 1.27, 2.54], atol=0.02)
    ahead = {name: store.T_world_cam(name, 0)[:3, 2] for name in store.cameras}
    assert ahead["camera_01"][0] > 0.99  # front
    assert ahead["camera_09"][0] < -0.99  # rear
    assert ahead["camera_05"][1] > 0.5  # left
    assert ahead["camera_06"][1] < -0.5  # right
