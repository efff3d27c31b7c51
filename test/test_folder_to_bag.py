# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Folders of images as recordings: times, calibrations, trajectories, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from installed import scenedino
from recorded_rig import STORE

from scenedino_ros.cameras.image_folder import read_image_folder
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.colmap import read_colmap_camera, read_colmap_images
from scenedino_ros.recordings.datasets.drive import T_BASE_AHEAD
from scenedino_ros.recordings.datasets.folder import colmap_calibration
from scenedino_ros.recordings.datasets.image_times import read_image_times, times_of_names
from scenedino_ros.recordings.pose_source import PoseSource, find_poses
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.transforms import (
    inverse,
    matrix_from_numbers,
    matrix_from_rotation,
    numbers_from_matrix,
)

SECOND = 1_000_000_000
COUNT = 4
YAML = """\
image_width: 40
image_height: 30
camera_matrix: {data: [50, 0, 20, 0, 50, 15, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {data: [-0.1, 0, 0, 0, 0]}
projection_matrix: {data: [48, 0, 19, TX, 0, 48, 14, 0, 0, 0, 1, 0]}
"""


def write_images(folder: Path, names=None, shape=(30, 40)) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(names or [f"frame_{n}.png" for n in range(COUNT)]):
        pixels = np.random.default_rng(number).integers(0, 255, shape, dtype=np.uint8)
        cv2.imwrite(str(folder / name), pixels)
    return folder


def T_world_cam(number: int) -> np.ndarray:
    """Return poses in a world with z up, that begin anywhere."""
    half = 0.05 * number
    turn = matrix_from_rotation((0, 0, 0), (0, 0, np.sin(half), np.cos(half)))
    T = matrix_from_rotation((5.0 + number, 2.0, 1.0 + 0.1 * number), (0, 0, 0, 1))
    return T @ turn @ T_BASE_AHEAD


def tum_lines(times: list[str], T_cam_frame: np.ndarray, scale: float = 1.0) -> str:
    lines = ["# time x y z qx qy qz qw"]
    for number, time in enumerate(times):
        values = np.array(numbers_from_matrix(T_world_cam(number) @ T_cam_frame))
        values[:3] /= scale
        lines.append(f"{time} " + " ".join(f"{value:.12f}" for value in values))
    return "\n".join(lines) + "\n"


def convert(folder: Path, output: Path, *options: object) -> int:
    camera = [] if "--camera-info" in options else ["--intrinsics", "50,50,20,15"]
    arguments = [str(word) for word in (folder, "-o", output, *camera, *options)]
    return main(["folder-to-bag", *arguments])


def poses_in(bag: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times and poses of base_link in the map, and the pose of the camera on it."""
    with Recording(bag) as recording:
        assert recording.problems == []
        track, _ = find_poses(recording, PoseSource(), "base_link")
        return track.stamps_ns, track.T_world_body, recording.T_body_cam("camera_00", "base_link")


def check(bag: Path, stamps: list[int], *, keep_world: bool = False) -> None:
    """Compare the poses of the camera in a recording with `T_world_cam`."""
    times, T_map_base, T_base_cam = poses_in(bag)
    assert times.tolist() == stamps
    T_map_world = np.eye(4) if keep_world else T_base_cam @ inverse(T_world_cam(0))
    for number, T in enumerate(T_map_base):
        expected = T_map_world @ T_world_cam(number)
        np.testing.assert_allclose(T @ T_base_cam, expected, atol=1e-8)


RATE = [1, SECOND // 10, 2 * SECOND // 10, 3 * SECOND // 10]


def test_kitti_rows_are_of_the_images_in_their_order(tmp_path):
    images = write_images(tmp_path / "images", [f"frame_{n}.pgm" for n in (9, 10, 11, 100)])
    rows = [" ".join(f"{v:.12f}" for v in T_world_cam(n)[:3].reshape(-1)) for n in range(COUNT)]
    (tmp_path / "poses.txt").write_text("\n".join(rows) + "\n")
    trajectory = ["--rate", 10, "--trajectory", tmp_path / "poses.txt", "--format", "kitti"]
    ran = scenedino(
        "folder-to-bag", images, "-o", tmp_path / "bag", "--intrinsics", "50,50,20,15", *trajectory
    )
    assert ran.returncode == 0, ran.stderr
    assert "kitti trajectory of the camera" in ran.stdout
    check(tmp_path / "bag", RATE)
    with Recording(tmp_path / "bag") as recording:
        expected = cv2.imread(str(images / "frame_100.pgm"), cv2.IMREAD_UNCHANGED)
        rgb = recording.image("camera_00", 3)
        for channel in range(3):
            np.testing.assert_array_equal(rgb[..., channel], expected)


def test_tum_poses_of_the_body_keep_their_world_and_their_times(tmp_path):
    times = ["1305031102.175304", "1305031102.275304", "1305031102.375304", "1305031102.475304"]
    images = write_images(tmp_path / "rgb", [f"{time}.png" for time in times])
    camera_pose = "0.5,0.1,0.2,-0.5,0.5,-0.5,0.5"
    T_base_cam = matrix_from_numbers([float(value) for value in camera_pose.split(",")])
    (tmp_path / "tum.txt").write_text(tum_lines(times, inverse(T_base_cam)))
    body = ["--trajectory", tmp_path / "tum.txt", "--format", "tum", "--poses-of", "body"]
    options = [*body, "--camera-pose", camera_pose, "--times-from-names"]
    assert convert(images, tmp_path / "bag", *options, "--keep-world") == 0
    stamps = [1305031102175304000 + n * SECOND // 10 for n in range(COUNT)]
    check(tmp_path / "bag", stamps, keep_world=True)
    assert convert(images, tmp_path / "begun", *options) == 0
    check(tmp_path / "begun", stamps)
    np.testing.assert_allclose(poses_in(tmp_path / "begun")[1][0], np.eye(4), atol=1e-9)


def test_orb_slam3_times_may_be_nanoseconds_and_its_scale_another(tmp_path):
    times = [f"14036365797{n}5555584" for n in range(COUNT)]
    images = write_images(tmp_path / "cam0", [f"{time}.png" for time in times])
    text = tum_lines([f"{time}.000000" for time in times], np.eye(4), scale=2.5)
    (tmp_path / "KeyFrameTrajectory.txt").write_text(text)
    orb = ["--trajectory", tmp_path / "KeyFrameTrajectory.txt", "--format", "orb-slam3"]
    assert convert(images, tmp_path / "bag", "--times-from-names", *orb, "--scale", 2.5) == 0
    check(tmp_path / "bag", [int(time) for time in times])


def write_colmap(folder: Path, *, prefix: str = "", model: str = "OPENCV") -> None:
    folder.mkdir()
    parameters = "50 51 20.5 15.5 -0.1 0.02 0.001 0.002"
    (folder / "cameras.txt").write_text(f"# cameras\n7 {model} 40 30 {parameters}\n")
    lines = ["# images", "# two lines per image"]
    for number in (2, 0, 3):  # in no order, and without image 1
        T_cam_world = inverse(T_world_cam(number))
        T_cam_world[:3, 3] /= 0.4
        x, y, z, qx, qy, qz, qw = numbers_from_matrix(T_cam_world)
        pose = " ".join(f"{value:.12f}" for value in (qw, qx, qy, qz, x, y, z))
        points = "1.0 2.0 -1" if number else ""
        lines += [f"{number + 1} {pose} 7 {prefix}frame_{number}.png", points]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


def test_colmap_calibrates_and_places_the_images_it_names(tmp_path, capsys):
    images = write_images(tmp_path / "images")
    write_colmap(tmp_path / "sparse")
    model = ["--trajectory", tmp_path / "sparse", "--format", "colmap", "--scale", "0.4"]
    arguments = [images, "-o", tmp_path / "bag", "--rate", "10", *model]
    assert main(["folder-to-bag", *map(str, arguments)]) == 0
    assert "1 unit = 0.4 m" in capsys.readouterr().out
    times, T_map_base, T_base_cam = poses_in(tmp_path / "bag")
    assert times.tolist() == [1, 2 * SECOND // 10, 3 * SECOND // 10]
    for number, T in zip((0, 2, 3), T_map_base, strict=True):
        expected = T_base_cam @ inverse(T_world_cam(0)) @ T_world_cam(number)
        np.testing.assert_allclose(T @ T_base_cam, expected, atol=1e-8)
    with Recording(tmp_path / "bag") as recording:
        camera = recording.cameras["camera_00"].calibration
    np.testing.assert_allclose(camera.K, [[50, 0, 20], [0, 51, 15], [0, 0, 1]])
    np.testing.assert_allclose(camera.D, [-0.1, 0.02, 0.001, 0.002, 0])


def test_colmap_images_of_several_folders_are_told_apart(tmp_path):
    images = write_images(tmp_path / "left")
    write_colmap(tmp_path / "sparse", prefix="left/")
    path = tmp_path / "sparse/images.txt"
    others = path.read_text().replace("left/", "right/").replace(" 7 right", " 8 right")
    path.write_text(path.read_text() + others)
    camera = colmap_calibration(tmp_path / "sparse", read_image_folder(images))
    assert camera.pinhole.width == 40


@pytest.mark.parametrize(
    ("model", "parameters", "K", "D"),
    [
        ("SIMPLE_PINHOLE", "50 20.5 15.5", (50, 50), ()),
        ("PINHOLE", "50 51 20.5 15.5", (50, 51), ()),
        ("SIMPLE_RADIAL", "50 20.5 15.5 0.1", (50, 50), (0.1, 0, 0, 0, 0)),
        ("RADIAL", "50 20.5 15.5 0.1 0.2", (50, 50), (0.1, 0.2, 0, 0, 0)),
        ("OPENCV_FISHEYE", "50 51 20.5 15.5 1 2 3 4", (50, 51), (1, 2, 3, 4)),
        (
            "FULL_OPENCV",
            "50 51 20.5 15.5 1 2 3 4 5 6 7 8",
            (50, 51),
            (1, 2, 3, 4, 5, 6, 7, 8),
        ),
    ],
)
def test_colmap_camera_models(tmp_path, model, parameters, K, D):
    (tmp_path / "cameras.txt").write_text(f"1 {model} 40 30 {parameters}\n")
    camera = read_colmap_camera(tmp_path, 1)
    np.testing.assert_allclose(np.diag(camera.K)[:2], K)
    np.testing.assert_allclose(camera.K[:2, 2], (20, 15))
    np.testing.assert_allclose(camera.D, D)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "cameras.txt",
            "1 THIN_PRISM_FISHEYE 40 30 1 2\n",
            "must be one of SIMPLE_PINHOLE, .*THIN",
        ),
        ("cameras.txt", "1 PINHOLE 40 30 50 51 20\n", "PINHOLE has 4 parameters, got 3"),
        ("cameras.txt", "2 PINHOLE 40 30 50 51 20 15\n", "has no camera 1"),
        ("cameras.txt", "1 PINHOLE 40 30 1e154 51 20 15\n", "camera 1: the focal lengths must"),
        ("cameras.txt", "1 PINHOLE 40 30 50 51 1e300 15\n", "camera 1: the principal point must"),
        ("cameras.txt", "1 PINHOLE 40000 1 50 51 20 0.5\n", "camera 1: camera size must be at"),
        ("images.txt", "1 1 0 0 0 0 0 0 a.png\n\n", "must have IMAGE_ID QW .* got '1 1 0 0 0 0"),
        ("images.txt", "1 2 0 0 0 0 0 0 1 a.png\n\n", "image a.png: .*of length 1"),
        ("images.txt", "# nothing\n", "holds no images"),
    ],
)
def test_broken_colmap_models_are_refused(tmp_path, file, text, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=message):
        read_colmap_images(tmp_path) if file == "images.txt" else read_colmap_camera(tmp_path, 1)


def test_a_stereo_pair_is_recorded_with_the_baseline_of_its_calibration(tmp_path):
    left, right = write_images(tmp_path / "left"), write_images(tmp_path / "right")
    (right / "frame_2.png").unlink()
    (tmp_path / "left.yaml").write_text(YAML.replace("TX", "0"))
    (tmp_path / "right.yaml").write_text(YAML.replace("TX", "-5.76"))
    options = ["--right", right, "--rate", 10, "--camera-info", tmp_path / "left.yaml"]
    options += ["--right-camera-info", tmp_path / "right.yaml"]
    assert convert(left, tmp_path / "bag", *options, "--rectified") == 0
    with Recording(tmp_path / "bag") as recording:
        assert {name: len(c.images) for name, c in recording.cameras.items()} == {
            "camera_00": 4,
            "camera_01": 3,
        }
        np.testing.assert_allclose(
            recording.T_body_cam("camera_01", "base_link")[:3, 3], (0, -0.12, 0), atol=1e-9
        )
        assert recording.cameras["camera_01"].calibration.pinhole.K[0, 0] == 48
    assert convert(left, tmp_path / "none", *options) == 2  # not rectified: no baseline


def test_right_images_without_those_names_are_taken_in_their_order(tmp_path):
    left = write_images(tmp_path / "left")
    right = write_images(tmp_path / "right", [f"r{n}.png" for n in range(COUNT)])
    options = ["--right", right, "--rate", 10, "--baseline", 0.3]
    assert convert(left, tmp_path / "bag", *options) == 0
    with Recording(tmp_path / "bag") as recording:
        assert recording.cameras["camera_01"].images.stamps_ns.tolist() == RATE
    (right / "r3.png").unlink()
    assert convert(left, tmp_path / "other", *options) == 2


def test_times_come_from_names_or_files_in_any_unit(tmp_path):
    images = [tmp_path / f"cam0_{n}00.png" for n in range(3)]
    assert times_of_names(images, "ms") == [1, SECOND // 10, 2 * SECOND // 10]
    with pytest.raises(InputError, match=r"by 1 ms or more, got 100 ns; state the unit"):
        times_of_names(images, "ns")
    file = tmp_path / "times.txt"
    file.write_text(
        "#timestamp [ns],filename\n300000000,cam0_200.png\n0,cam0_000.png\n1e8,cam0_100.png"
    )
    assert read_image_times(file, images, "ns") == [1, 10**8, 3 * 10**8]
    file.write_text("1403636579763555584\n1403636579813555456\n1403636579863555584\n")
    assert read_image_times(file, images)[0] == 1403636579763555584
    file.write_text("\ufeff1\n# a comment\n2\n3\n")
    assert read_image_times(file, images) == [SECOND, 2 * SECOND, 3 * SECOND]
    for text, message in (
        ("1\n2\n", "a line for each of 3 images, got 2"),
        ("1\n2\n2\n", "cam0_200.png must be later than the image before it, got 0 ns"),
        (
            "1 cam0_000.png\n2 cam0_100.png\n1 cam0_200.png\n",
            "cam0_000.png and .*cam0_200.png must have different times, got 1000000000 ns",
        ),
        (
            "1 cam0_000.png\n2 cam0_100.png\n3 cam0_200.png\n4 cam0_100.png\n",
            "must name cam0_100.png once, got the times 2, 4",
        ),
        ("1\nnow\n3\n", "'now' is not a time"),
        ("-1\n0\n1\n", "must be finite and >= 0, got -1"),
        ("1 a.png\n", "has no time of 3 images, such as cam0_000.png"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_image_times(file, images)
    with pytest.raises(InputError, match=r"the name of .*first.png must hold its time"):
        times_of_names([tmp_path / "first.png"])
    with pytest.raises(InputError, match=r"01.png and .*/1.png must have different times, got 1"):
        times_of_names([tmp_path / "1.png", tmp_path / "01.png"])


@pytest.mark.parametrize("source", ["names", "file"])
def test_images_with_times_of_their_own_are_in_the_order_of_time(tmp_path, source):
    names = ["t_0.2.png", "t_0.25.png", "t_0.3.png", "t_0.35.png"]  # by name, 25 is after 3
    left, right = (write_images(tmp_path / side, names) for side in ("left", "right"))
    rows = [" ".join(f"{v:.12f}" for v in T_world_cam(n)[:3].reshape(-1)) for n in range(COUNT)]
    (tmp_path / "poses.txt").write_text("\n".join(rows) + "\n")
    lines = [f"{name[2:-4]} {name}\n" for name in reversed(names)]
    (tmp_path / "times.txt").write_text("".join(lines))
    times = ["--times-from-names"] if source == "names" else ["--times", tmp_path / "times.txt"]
    trajectory = ["--trajectory", tmp_path / "poses.txt", "--format", "kitti"]
    options = [*times, *trajectory, "--baseline", 0.3, "--right"]
    assert convert(left, tmp_path / "bag", *options, right) == 0
    stamps = [200_000_000, 250_000_000, 300_000_000, 350_000_000]
    check(tmp_path / "bag", stamps)
    with Recording(tmp_path / "bag") as recording:
        for camera in ("camera_00", "camera_01"):
            assert recording.cameras[camera].images.stamps_ns.tolist() == stamps
            for number, name in enumerate(names):
                expected = cv2.imread(str(left / name), cv2.IMREAD_UNCHANGED)
                np.testing.assert_array_equal(recording.image(camera, number)[..., 0], expected)


def test_right_images_without_those_names_have_no_place_in_another_order(tmp_path, capsys):
    left = write_images(tmp_path / "left", ["0.25.png", "0.3.png"])
    right = write_images(tmp_path / "right", ["r0.png", "r1.png"])
    options = ["--right", right, "--times-from-names", "--baseline", 0.3]
    assert convert(left, tmp_path / "bag", *options) == 2
    assert "which are not in the order of their times; got others, such as r0.png" in (
        capsys.readouterr().err
    )


def test_associations_of_depth_images_are_times_of_the_colour_images(tmp_path):
    file = tmp_path / "associations.txt"
    file.write_text("1.0 rgb/1.0.png 1.01 depth/1.01.png\n2.0 rgb/2.0.png 2.02 depth/2.02.png\n")
    images = [Path("1.0.png"), Path("2.0.png")]
    assert read_image_times(file, images) == [SECOND, 2 * SECOND]


def test_names_beside_times_may_hold_spaces_and_commas(tmp_path):
    images = [tmp_path / "left eye 1.png", tmp_path / "left, 2.png"]
    file = tmp_path / "times.txt"
    for text in (
        "1.5  left eye 1.png\n2.5\tleft, 2.png\n",
        "1.5, left eye 1.png\n2.5,left, 2.png",
    ):
        file.write_text(text)
        assert read_image_times(file, images) == [1_500_000_000, 2_500_000_000]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--rate 10 --scale 2", "--scale must go with --trajectory, got none"),
        ("--rate 10 --trajectory t.txt", "--trajectory needs --format, one of tum"),
        ("--rate 10 --trajectory t.txt --format tum", "--format tum needs --poses-of"),
        ("--rate 10 --trajectory m --format colmap", "--format colmap needs --scale"),
        (
            "--rate 10 --trajectory m --format colmap --scale 1 --poses-of body",
            "COLMAP's poses are those of the camera, got 'body'",
        ),
        ("--rate 10 --baseline 1", "must go with --right, got none"),
        ("--rate 10 --right images", "--right needs the place of the right camera"),
        ("--rate 10 --trajectory t.txt --format kitti", "a line for each of 4 images, got 1"),
        (
            "--rate 10 --trajectory late.txt --format orb-slam3",
            "no image has a pose: images are taken from 0.000 to 0.300 s, poses in late.txt go "
            "from 9.000 to 9.100 s",
        ),
        ("--rate 10 --camera-info big.yaml", "is for images of 80 x 60, but those in images have"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images")
    Path("t.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")
    Path("late.txt").write_text("9 0 0 0 0 0 0 1\n9.1 0 0 0 0 0 0 1\n")
    big = YAML.replace("TX", "0").replace("40", "80").replace("30", "60")
    Path("big.yaml").write_text(big)
    assert convert(Path("images"), Path("bag"), *options.split()) == 2
    assert message in capsys.readouterr().err
    assert not Path("bag").exists()


def write_grey_pair(path: Path, grey: np.ndarray, frames: tuple[str, str]) -> None:
    """Record raw mono8 images of a rectified pair whose projection matrices are 0.1 m apart."""
    types, writer = STORE.types, BagWriter(path)
    K, distortion = np.array([50.0, 0, 20, 0, 50, 15, 0, 0, 1]), np.zeros(5)
    for number, frame in enumerate(frames):
        header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](5, 0), frame)
        image = types["sensor_msgs/msg/Image"](header, 30, 40, "mono8", 0, 40, grey.reshape(-1))
        P = np.array([50.0, 0, 20, -5 * number, 0, 50, 15, 0, 0, 0, 1, 0])
        region = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        info = types["sensor_msgs/msg/CameraInfo"](
            header, 30, 40, "plumb_bob", distortion, K, np.eye(3).reshape(-1), P, 0, 0, region
        )
        for topic, message in (("image_rect_raw", image), ("camera_info", info)):
            name, kind = f"/infra{number + 1}/{topic}", message.__msgtype__
            writer.add_topic(name, kind)
            writer.write(name, 5 * SECOND, bytes(STORE.serialize_cdr(message, kind)))
    writer.close()


def test_raw_grey_messages_are_images_of_three_equal_channels(tmp_path):
    grey = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40).astype(np.uint8)
    write_grey_pair(tmp_path / "bag", grey, ("left", "right"))
    with Recording(tmp_path / "bag") as recording:
        rgb = recording.image("infra2", 0)
        assert recording.problems == []
        assert [camera.baseline for camera in recording.cameras.values()] == [0.0, 0.1]
    np.testing.assert_array_equal(rgb, np.broadcast_to(grey[..., None], (30, 40, 3)))


def test_a_right_camera_in_the_frame_of_the_left_one_is_a_problem(tmp_path):
    write_grey_pair(tmp_path / "bag", np.zeros((30, 40), np.uint8), ("left", "left"))
    with Recording(tmp_path / "bag") as recording:
        assert recording.problems == [
            "camera infra2 has the frame 'left' of infra1, but its projection matrix says that it "
            "is 0.1 m to the right; transforms place both at one point"
        ]
