# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Data sets as recordings: exact frames, stamps and bytes; and what is refused."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from models import same_camera
from tf_messages import stamped_from_message
from velodyne import velodyne_pose

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.from_msg import camera_from_info, rgb_from_compressed, stamp_ns
from scenedino_ros.cameras.image_folder import image_files, read_image_folder, read_rgb
from scenedino_ros.core.errors import BagError, InputError
from scenedino_ros.recordings.datasets.conversion import (
    bag_from_dgp,
    bag_from_images,
    bag_from_kitti360,
)
from scenedino_ros.recordings.datasets.dgp import read_dgp
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.datasets.kitti360 import read_drive, read_poses, read_scan
from scenedino_ros.recordings.datasets.kitti360_calibration import read_calibration
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.recordings.transforms import inverse, matrix_from_rotation

SECOND = 1_000_000_000

# A rig with easily followed numbers: camera 00 looks along the vehicle's x axis from (1, 2, 3)
# (x forward, y right, z down), the Velodyne stands 0.5 m behind it, and rectifying turns the
# camera by 90 degrees about its optical axis.
PERSPECTIVE = """calib_time: today
S_rect_00: 64 32
R_rect_00: 0 -1 0 1 0 0 0 0 1
P_rect_00: 50 0 31.5 0 0 50 15.5 0 0 0 1 0
"""
CAM_TO_POSE = "image_00: 0 0 1 1 1 0 0 2 0 1 0 3\nimage_01: 0 0 1 1 1 0 0 2.6 0 1 0 3\n"
CAM_TO_VELO = "0 0 1 0.5 -1 0 0 0 0 -1 0 0"


def write_kitti360(folder: Path, frames=(7, 8, 9), poses="poses.txt", skip_pose=()) -> None:
    """Write a drive in one folder that moves 2 m per frame along the vehicle's x."""
    (folder / "image_00/data_rect").mkdir(parents=True)
    (folder / "calibration").mkdir()
    (folder / "calibration/perspective.txt").write_text(PERSPECTIVE)
    (folder / "calibration/calib_cam_to_pose.txt").write_text(CAM_TO_POSE)
    (folder / "calibration/calib_cam_to_velo.txt").write_text(CAM_TO_VELO)
    lines = []
    for number in frames:
        rgb = np.full((32, 64, 3), number, dtype=np.uint8)
        cv2.imwrite(str(folder / f"image_00/data_rect/{number:010d}.png"), rgb)
        T = np.eye(4)[:3].copy()
        T[0, 3] = 2.0 * number
        if number not in skip_pose:
            lines.append(f"{number} " + " ".join(map(str, T.reshape(-1))))
    (folder / poses).write_text("\n".join(lines) + "\n")


def tree_of(bag: Path) -> TransformTree:
    tree = TransformTree(horizon=1e9)
    with BagReader(bag) as reader:
        for message in reader.messages(["/tf_static", "/tf"]):
            for transform in message.message.transforms:
                tree.add(stamped_from_message(transform), static=message.topic == "/tf_static")
    return tree


def test_kitti360_frames_follow_from_the_calibration(tmp_path):
    write_kitti360(tmp_path / "drive")
    drive = read_drive(tmp_path / "drive")
    bag_from_kitti360(drive, tmp_path / "bag")
    tree = tree_of(tmp_path / "bag")
    stamp = drive.stamps_ns[9]
    # What lies 10 m ahead of camera 00, in the frame of the camera's images: rectifying maps the
    # camera's x onto the image's y and its y onto minus x.
    for frame, point in {
        "camera_00": (0.3, 0.4, 10.0),
        "camera_00_rect": (-0.4, 0.3, 10.0),
        "imu": (11.0, 2.3, 3.4),
        "base_link": (11.0, -2.3, -3.4),
        "velodyne": (10.5, -0.3, -0.4),
        "map": (15.0, -2.3, -3.4),
    }.items():
        T = tree.lookup("camera_00", frame, stamp)
        np.testing.assert_allclose(T @ [*point, 1.0], [0.3, 0.4, 10.0, 1.0], atol=1e-9)


def test_kitti360_poses_of_the_rectified_camera_give_the_same_map(tmp_path):
    write_kitti360(tmp_path / "body")
    by_body = read_drive(tmp_path / "body")
    rig = by_body.calibration
    T_imu_rect = rig.T_imu_cam["image_00"] @ rig.T_cam_image("image_00")
    lines = []
    for number in (7, 8, 9):
        T_world_imu = np.eye(4)
        T_world_imu[0, 3] = 2.0 * number
        T = T_world_imu @ T_imu_rect
        lines.append(f"{number} " + " ".join(f"{value:.12g}" for value in T.reshape(-1)))
    write_kitti360(tmp_path / "cam", poses="poses.txt")
    (tmp_path / "cam/poses.txt").unlink()
    (tmp_path / "cam/cam0_to_world.txt").write_text("\n".join(lines))
    by_camera = read_drive(tmp_path / "cam")
    for number in (7, 8, 9):
        expected = np.eye(4)
        expected[0, 3] = 2.0 * (number - 7)
        np.testing.assert_allclose(by_body.T_map_base[number], expected, atol=1e-12)
        np.testing.assert_allclose(by_camera.T_map_base[number], expected, atol=1e-9)


def test_kitti360_images_go_in_unchanged_with_calibration_and_stamps(tmp_path):
    write_kitti360(tmp_path / "drive")
    told = []
    bag_from_kitti360(
        read_drive(tmp_path / "drive"), tmp_path / "bag", progress=lambda *x: told.append(x)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    with BagReader(tmp_path / "bag") as reader:
        images = [m.message for m in reader.messages(["/camera_00/image_rect/compressed"])]
        infos = [m.message for m in reader.messages(["/camera_00/camera_info"])]
    assert len(images) == len(infos) == 3
    for number, image, info in zip((7, 8, 9), images, infos, strict=True):
        file = tmp_path / f"drive/image_00/data_rect/{number:010d}.png"
        assert bytes(image.data) == file.read_bytes()
        assert image.format == "png"
        assert image.header.frame_id == info.header.frame_id == "camera_00_rect"
        assert stamp_ns(image.header) == stamp_ns(info.header) == SECOND + number * SECOND // 10
        for rectified in (True, False):
            camera = camera_from_info(info, rectified=rectified)
            assert not camera.is_distorted
            assert same_camera(
                camera.pinhole, PinholeCamera.from_focal(50, 50, 31.5, 15.5, 64, 32)
            )


def test_kitti360_time_stamps_are_exact_where_they_are_given(tmp_path):
    write_kitti360(tmp_path / "drive", frames=(0, 2))
    lines = [
        "2013-05-28 08:46:02.904000123",
        "2013-05-28 08:46:03.008",
        "2013-05-28 08:46:03.112999999",
    ]
    (tmp_path / "drive/image_00/timestamps.txt").write_text("\n".join(lines))
    stamps = read_drive(tmp_path / "drive").stamps_ns
    assert stamps == {0: 1369730762904000123, 2: 1369730763112999999}
    (tmp_path / "drive/image_00/timestamps.txt").write_text("\n".join(lines[:2]))
    with pytest.raises(InputError, match="2 lines, too few for the image of frame 2"):
        read_drive(tmp_path / "drive")
    (tmp_path / "drive/image_00/timestamps.txt").write_text("yesterday\n\n\n")
    with pytest.raises(InputError, match="'yesterday' is not a time"):
        read_drive(tmp_path / "drive")


def test_kitti360_official_layout_is_read(tmp_path):
    root, name = tmp_path / "KITTI-360", "2013_05_28_drive_0000_sync"
    write_kitti360(root / "data_2d_raw" / name)
    drive_folder = root / "data_2d_raw" / name
    os.rename(drive_folder / "calibration", root / "calibration")
    (root / "data_poses" / name).mkdir(parents=True)
    os.rename(drive_folder / "poses.txt", root / "data_poses" / name / "poses.txt")
    scans = root / "data_3d_raw" / name / "velodyne_points/data"
    scans.mkdir(parents=True)
    np.zeros((5, 4), dtype="<f4").tofile(scans / "0000000008.bin")
    drive = read_drive(drive_folder)
    assert drive.name == name
    assert list(drive.images) == [7, 8, 9]
    assert list(drive.T_map_base) == [7, 8, 9]
    assert list(drive.scans) == [8]


def test_kitti360_images_without_a_pose_are_kept_and_named(tmp_path):
    write_kitti360(tmp_path / "drive", skip_pose=(8,))
    drive = read_drive(tmp_path / "drive")
    assert drive.frames == [7, 8, 9]
    assert drive.lacking() == {"pose": [8]}
    assert drive.posed().frames == [7, 9]


def test_kitti360_without_poses_has_no_map(tmp_path):
    write_kitti360(tmp_path / "drive")
    (tmp_path / "drive/poses.txt").unlink()
    bag_from_kitti360(read_drive(tmp_path / "drive"), tmp_path / "bag")
    with BagReader(tmp_path / "bag") as reader:
        assert "/tf" not in reader.topics
        assert reader.topics["/camera_00/image_rect/compressed"].count == 3


def test_kitti360_scans_are_recorded_as_they_are(tmp_path):
    write_kitti360(tmp_path / "drive")
    scans = tmp_path / "drive/velodyne_points/data"
    scans.mkdir(parents=True)
    points = np.random.default_rng(0).random((50, 4)).astype("<f4")
    points.tofile(scans / "0000000008.bin")
    bag_from_kitti360(read_drive(tmp_path / "drive"), tmp_path / "bag", scans=True)
    with BagReader(tmp_path / "bag") as reader:
        (message,) = (m.message for m in reader.messages(["/velodyne_points"]))
    assert [field.name for field in message.fields] == ["x", "y", "z", "intensity"]
    assert message.header.frame_id == "velodyne"
    np.testing.assert_array_equal(np.asarray(message.data).view("<f4").reshape(-1, 4), points)
    (scans / "0000000008.bin").write_bytes(bytes(17))
    with pytest.raises(InputError, match="points of 16 bytes, got 17"):
        read_scan(scans / "0000000008.bin")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("perspective.txt", "S_rect_00: 64 32\n", "no entry P_rect_00"),
        ("perspective.txt", PERSPECTIVE.replace("31.5", "x"), "could not convert"),
        ("perspective.txt", PERSPECTIVE.replace("31.5", "1e300"), "image_00: the principal point"),
        ("perspective.txt", PERSPECTIVE.replace("31.5 0", "31.5"), "must have 12 numbers, got 11"),
        ("calib_cam_to_velo.txt", "1 2 3", "12 numbers, got 3"),
        ("calib_cam_to_velo.txt", None, "cannot be read"),
    ],
)
def test_kitti360_broken_calibration_is_refused(tmp_path, file, content, message):
    write_kitti360(tmp_path)
    path = tmp_path / "calibration" / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_calibration(tmp_path / "calibration")


@pytest.mark.parametrize(
    ("line", "message"),
    [("3 1 2", "line 1: expected a frame number"), ("3" + " 1" * 12 + "\n3" + " 1" * 12, "twice")],
)
def test_broken_pose_files_are_refused(tmp_path, line, message):
    (tmp_path / "poses.txt").write_text(line)
    with pytest.raises(InputError, match=message):
        read_poses(tmp_path / "poses.txt")


def test_kitti360_folders_without_images_or_calibration_are_refused(tmp_path):
    with pytest.raises(InputError, match="needs images"):
        read_drive(tmp_path)
    write_kitti360(tmp_path / "drive")
    for path in (tmp_path / "drive/calibration").iterdir():
        path.unlink()
    (tmp_path / "drive/calibration").rmdir()
    with pytest.raises(InputError, match="no calibration folder"):
        read_drive(tmp_path / "drive")


# --- DGP ----------------------------------------------------------------------------------------


def rotation(angle: float) -> dict[str, float]:
    return {"qx": 0.0, "qy": 0.0, "qz": float(np.sin(angle / 2)), "qw": float(np.cos(angle / 2))}


def write_dgp(folder: Path, skew: float = 0.0) -> None:
    """Write two images of camera FRONT; the car turns left by 0.2 rad and drives 1 m."""
    (folder / "calibration").mkdir(parents=True)
    (folder / "rgb/FRONT").mkdir(parents=True)
    data = []
    for i, name in enumerate(("15616458250936520", "15616458249936530")):  # not in order
        cv2.imwrite(str(folder / f"rgb/FRONT/{name}.jpg"), np.full((20, 30, 3), 100, np.uint8))
        turn, x = (0.2, 101.0) if i == 0 else (0.0, 100.0)
        pose = {
            "rotation": rotation(turn),
            "translation": {"x": x + 1.5 * np.cos(turn), "y": 50.0 + 1.5 * np.sin(turn), "z": 1.0},
        }
        image = {"filename": f"rgb/FRONT/{name}.jpg", "width": 30, "height": 20, "pose": pose}
        data.append({"id": {"name": "FRONT"}, "datum": {"image": image}})
    data.append({"id": {"name": "LIDAR"}, "datum": {"point_cloud": {}}})
    (folder / "scene_abc.json").write_text(json.dumps({"data": data}))
    calibration = {
        "names": ["LIDAR", "FRONT"],
        "intrinsics": [{}, {"fx": 40.0, "fy": 41.0, "cx": 15.0, "cy": 10.0, "skew": skew}],
        "extrinsics": [
            {},
            {"rotation": rotation(0.0), "translation": {"x": 1.5, "y": 0.0, "z": 1.0}},
        ],
    }
    (folder / "calibration/abc.json").write_text(json.dumps(calibration))


def test_dgp_images_are_in_order_with_poses_and_stamps_in_units_of_100_ns(tmp_path):
    write_dgp(tmp_path / "scene")
    drive = read_dgp(tmp_path / "scene", "FRONT")
    assert [image.stamp_ns for image in drive.images] == [1561645824993653000, 1561645825093652000]
    assert same_camera(drive.camera, PinholeCamera.from_focal(40, 41, 15, 10, 30, 20))
    bag_from_dgp([drive], tmp_path / "bag")
    tree = tree_of(tmp_path / "bag")
    T = tree.lookup("map", "base_link", drive.images[1].stamp_ns)
    expected = matrix_from_rotation((1.0, 0.0, 0.0), (0, 0, np.sin(0.1), np.cos(0.1)))
    np.testing.assert_allclose(T, expected, atol=1e-9)
    T = tree.lookup("base_link", "front", drive.images[0].stamp_ns)
    np.testing.assert_allclose(T[:3, 3], (1.5, 0, 1))
    with BagReader(tmp_path / "bag") as reader:
        image = next(reader.messages(["/front/image_rect/compressed"])).message
    assert image.format == "jpeg"
    assert bytes(image.data) == drive.images[0].path.read_bytes()
    assert image.header.frame_id == "front"


def test_dgp_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="needs one file .*scene_"):
        read_dgp(tmp_path, "FRONT")
    write_dgp(tmp_path / "scene")
    with pytest.raises(InputError, match="no camera 'BACK'; it has FRONT"):
        read_dgp(tmp_path / "scene", "BACK")
    (tmp_path / "scene/calibration/abc.json").write_text('{"names": ["FRONT"]}')
    with pytest.raises(InputError, match="not as specified by DGP: KeyError 'intrinsics'"):
        read_dgp(tmp_path / "scene", "FRONT")
    (tmp_path / "scene/scene_abc.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_dgp(tmp_path / "scene", "FRONT")
    write_dgp(tmp_path / "skewed", skew=0.5)
    with pytest.raises(InputError, match="skew 0.5"):
        read_dgp(tmp_path / "skewed", "FRONT")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("calibration/abc.json", "40.0", "1e154", "focal lengths must be in"),
        ("scene_abc.json", "15616458250936520", "9" * 20, "must be a time before 2038"),
        ("scene_abc.json", '"y": 50.0', '"y": 1e39', "a translation within 1e"),
        ("scene_abc.json", '"z": 1.0', '"z": Infinity', "expected finite numbers"),
    ],
)
def test_dgp_numbers_beyond_all_measure_are_refused(tmp_path, file, old, new, message):
    write_dgp(tmp_path / "scene")
    path = tmp_path / "scene" / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        read_dgp(tmp_path / "scene", "FRONT")


# --- image folders and the writer ---------------------------------------------------------------


def write_images(folder: Path, suffixes=(".png", ".jpg", ".bmp"), size=(20, 30)) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("not an image")
    for i, suffix in enumerate(suffixes):
        rgb = np.random.default_rng(i).integers(0, 255, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i:03d}{suffix}"), rgb)


def test_image_folders_are_recorded_in_order_at_the_rate(tmp_path):
    write_images(tmp_path / "images")
    folder = read_image_folder(tmp_path / "images")
    assert (len(folder.paths), folder.width, folder.height) == (3, 30, 20)
    D = np.array([0.1, -0.05, 0.001, 0.002, 0.0])
    camera = CalibratedCamera(PinholeCamera.from_focal(25, 26, 15, 10, 30, 20), "plumb_bob", D)
    bag_from_images(folder, camera, tmp_path / "bag", rate_hz=4)
    with BagReader(tmp_path / "bag") as reader:
        images = [m.message for m in reader.messages(["/camera/image_raw/compressed"])]
        info = next(reader.messages(["/camera/camera_info"])).message
    assert [image.format for image in images] == ["png", "jpeg", "png"]  # BMP becomes PNG
    assert [stamp_ns(image.header) for image in images] == [
        SECOND,
        SECOND + SECOND // 4,
        SECOND + SECOND // 2,
    ]
    for image, path in zip(images, folder.paths, strict=True):
        np.testing.assert_array_equal(rgb_from_compressed(image), read_rgb(path))
    again = camera_from_info(info, rectified=False)
    assert again.key() == camera.key()


def test_image_folders_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="no images"):
        read_image_folder(tmp_path)
    write_images(tmp_path / "images")
    folder = read_image_folder(tmp_path / "images")
    wrong = CalibratedCamera(PinholeCamera.from_focal(25, 25, 15, 10, 31, 20))
    with pytest.raises(InputError, match="for images of 31 x 20, but these have 30 x 20"):
        bag_from_images(folder, wrong, tmp_path / "bag")
    right = CalibratedCamera(PinholeCamera.from_focal(25, 25, 15, 10, 30, 20))
    with pytest.raises(InputError, match="> 0 Hz"):
        bag_from_images(folder, right, tmp_path / "bag", rate_hz=0)
    assert not list(tmp_path.glob("bag*"))


def test_broken_images_are_named_and_left_out_and_the_rest_keeps_its_time(tmp_path):
    write_images(tmp_path / "images", (".png", ".jpg", ".bmp", ".png", ".png"))
    (tmp_path / "images/000.png").write_bytes(b"broken")
    cv2.imwrite(str(tmp_path / "images/003.png"), np.zeros((9, 9, 3), np.uint8))
    camera = CalibratedCamera(PinholeCamera.from_focal(25, 25, 15, 10, 30, 20))
    folder = read_image_folder(tmp_path / "images")
    left_out = bag_from_images(folder, camera, tmp_path / "bag", rate_hz=2)
    assert [("000.png" in left_out[0]), ("003.png" in left_out[1]), len(left_out)] == [
        True,
        True,
        2,
    ]
    with BagReader(tmp_path / "bag") as reader:
        images = [m.message for m in reader.messages(["/camera/image_rect/compressed"])]
    assert [stamp_ns(image.header) for image in images] == [
        SECOND + SECOND // 2,
        2 * SECOND,
        3 * SECOND,
    ]


def test_a_folder_of_broken_images_leaves_no_half_recording(tmp_path):
    write_images(tmp_path / "images", (".png",))
    camera = CalibratedCamera(PinholeCamera.from_focal(25, 25, 15, 10, 30, 20))
    folder = read_image_folder(tmp_path / "images")
    folder.paths[0].write_bytes(b"broken")
    with pytest.raises(InputError, match=r"none of 1 images can be used; .*000\.png.*decoded"):
        bag_from_images(folder, camera, tmp_path / "bag")
    assert not list(tmp_path.glob("bag*"))
    with pytest.raises(InputError, match=r"none of 1 images can be read; .*000\.png.*decoded"):
        read_image_folder(tmp_path / "images")


def test_images_are_in_natural_order_without_hidden_ones(tmp_path):
    names = ["img_10.PNG", "img_9.png", "img_0009.png", "a2b10.jpg", "a2b9.jpg", "²x.png"]
    for name in (*names, "._img_9.png", ".hidden.jpg", "b.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    found = [path.name for path in image_files(tmp_path)]
    assert found == ["a2b9.jpg", "a2b10.jpg", "img_0009.png", "img_9.png", "img_10.PNG", "²x.png"]


def test_the_writer_refuses_other_sizes_time_running_back_and_existing_folders(tmp_path):
    camera = CalibratedCamera(PinholeCamera.from_focal(25, 25, 15, 10, 30, 20))
    rgb = np.zeros((20, 30, 3), dtype=np.uint8)
    rig = [RecordedCamera("/cam", "cam", camera)]
    with DriveWriter(BagWriter(tmp_path / "bag"), rig) as writer:
        writer.image("/cam", rgb, SECOND)
        with pytest.raises(InputError, match="follow each other in time"):
            writer.image("/cam", rgb, SECOND)
        with pytest.raises(InputError, match="size 30 x 20, got 20 x 30"):
            writer.image("/cam", rgb.transpose(1, 0, 2), 2 * SECOND)
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "bag")


# --- the real drive -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_drive():
    folder = Path(os.environ.get("SCENEDINO_TEST_DATA", "no data"), "kitti360_sequence")
    if not folder.is_dir():
        pytest.skip("SCENEDINO_TEST_DATA names no folder with kitti360_sequence")
    return folder


@pytest.fixture(scope="module")
def real_bag(real_drive, tmp_path_factory):
    bag = tmp_path_factory.mktemp("real") / "bag"
    bag_from_kitti360(read_drive(real_drive), bag, scans=True)
    return bag


def test_real_transforms_agree_with_the_velodynes_own_poses(real_drive):
    """Camera poses and rig must move the Velodyne exactly as its own pose file says.

    Without the rectifying rotation they differ by up to 0.1 m over the drive.
    """
    drive = read_drive(real_drive)
    rig = drive.calibration
    T_velo_base = inverse(velodyne_pose(rig))
    velodyne = read_poses(real_drive / "velo_to_world.txt")
    first = min(drive.images)
    for number, T_map_base in drive.T_map_base.items():
        T = T_velo_base @ inverse(drive.T_map_base[first]) @ T_map_base @ inverse(T_velo_base)
        np.testing.assert_allclose(T, inverse(velodyne[first]) @ velodyne[number], atol=1e-4)


def project_scan(bag, tree, from_ns, to_ns, T_extra=None):
    """Return cells (N, 2) of 3 x 3 pixels and depths (N,) of a scan in a later frame's image."""
    with BagReader(bag) as reader:
        clouds = reader.messages(["/velodyne_points"])
        message = next(m.message for m in clouds if stamp_ns(m.message.header) == from_ns)
        info = next(reader.messages(["/camera_00/camera_info"])).message
    points = np.asarray(message.data).view("<f4").reshape(-1, 4)[:, :3].astype(np.float64)
    T_map_velo = tree.lookup("map", "velodyne", from_ns)
    T_cam_map = tree.lookup("camera_00_rect", "map", to_ns)
    T = T_cam_map @ T_map_velo if T_extra is None else T_extra @ T_cam_map @ T_map_velo
    points = points @ T[:3, :3].T + T[:3, 3]
    points = points[points[:, 2] > 3]
    camera = camera_from_info(info, rectified=True).pinhole
    uv = np.floor((camera.project(points) + 0.5) / 3).astype(int)
    size = np.array([camera.width, camera.height]) // 3
    inside = ((uv >= 0) & (uv < size)).all(axis=1)
    return uv[inside], points[inside, 2], (size[1], size[0])


def depth_error(bag, tree, from_ns, to_ns, T_extra=None):
    """Compare a scan moved into a later frame with that frame's own scan.

    Returns:
        Share of cells hit by both whose depths differ by more than 5 %, and their number.
    """
    uv, depth, shape = project_scan(bag, tree, to_ns, to_ns)
    own = np.full(shape, np.inf)
    np.minimum.at(own, (uv[:, 1], uv[:, 0]), depth)
    uv, depth, _ = project_scan(bag, tree, from_ns, to_ns, T_extra)
    there = own[uv[:, 1], uv[:, 0]]
    both = np.isfinite(there)
    return (np.abs(depth[both] / there[both] - 1) > 0.05).mean(), int(both.sum())


def test_real_scans_land_on_the_surfaces_of_later_frames(real_bag):
    tree = tree_of(real_bag)
    stamps = [SECOND + number * SECOND // 10 for number in (3008, 3012, 3016)]
    for later in stamps[1:]:
        error, count = depth_error(real_bag, tree, stamps[0], later)
        assert count > 1000
        assert error < 0.2
    turned = np.eye(4)
    angle = np.radians(1.5)  # a wrong rig of this size must be noticed
    turned[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    worse, _ = depth_error(real_bag, tree, stamps[0], stamps[1], turned)
    assert worse > 2 * depth_error(real_bag, tree, stamps[0], stamps[1])[0]


def test_real_rig_has_the_road_below_the_wheels(real_drive):
    """The vehicle's own frame is level with the road: its points lie at one height."""
    drive = read_drive(real_drive)
    T_base_velo = velodyne_pose(drive.calibration)
    scan = read_scan(drive.scans[3008])[:, :3].astype(np.float64)
    points = scan @ T_base_velo[:3, :3].T + T_base_velo[:3, 3]
    ahead = points[(points[:, 0] > 4) & (points[:, 0] < 12) & (np.abs(points[:, 1]) < 1.5)]
    near, far = ahead[ahead[:, 0] < 7, 2], ahead[ahead[:, 0] > 9, 2]
    assert np.median(near) == pytest.approx(np.median(far), abs=0.1)
    assert -1.2 < np.median(near) < -0.5  # the IMU is that high above the road
