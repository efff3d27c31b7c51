# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""KITTI-360's folders as recordings: contents, frames, gaps, interruptions, and a real drive."""

import filecmp
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from tf_messages import stamped_from_message
from velodyne import velodyne_pose

from scenedino_ros.cameras.fisheye import MeiCamera
from scenedino_ros.cameras.from_msg import camera_from_info, rgb_from_compressed, stamp_ns
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import BagError, InputError
from scenedino_ros.recordings.datasets.conversion import bag_from_kitti360, kitti360_source
from scenedino_ros.recordings.datasets.kitti360 import read_drive, read_labels
from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS, read_calibration
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.split_writer import SplitBagWriter
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.recordings.transforms import inverse

ROOT = Path(__file__).resolve().parents[1]
DRIVE = "2013_05_28_drive_0000_sync"
FRAMES = range(3, 9)
SECOND = 1_000_000_000

PERSPECTIVE = """calib_time: today
S_rect_00: 64.0 32.0
R_rect_00: 0 -1 0 1 0 0 0 0 1
P_rect_00: 50 0 31.5 0 0 50 15.5 0 0 0 1 0
S_rect_01: 64.0 32.0
R_rect_01: 1 0 0 0 0 -1 0 1 0
P_rect_01: 50 0 31.5 -30 0 50 15.5 0 0 0 1 0
"""
CAM_TO_POSE = """image_00: 0 0 1 1 1 0 0 2 0 1 0 3
image_01: 0 0 1 1 1 0 0 2.6 0 1 0 3
image_02: 1 0 0 0.5 0 0 -1 1 0 1 0 2
image_03: -1 0 0 0.5 0 0 1 3 0 1 0 2
"""
CAM_TO_VELO = "0 0 1 0.5 -1 0 0 0 0 -1 0 0"
FISHEYE = """%YAML:1.0
model_type: MEI
image_width: 40
image_height: 40
mirror_parameters:
   xi: 2.2e+00
distortion_parameters:
   k1: 1.7e-02
   k2: 1.6
   p1: 4.2e-04
   p2: 4.3e-04
projection_parameters:
   gamma1: 38.0
   gamma2: 38.1
   u0: 20.5
   v0: 19.5
"""
TOPICS = {
    "/tf_static": 1,
    "/tf": 5,
    "/camera_00/image_rect/compressed": 6,
    "/camera_00/camera_info": 6,
    "/camera_00/label/compressed": 2,
    "/camera_01/image_rect/compressed": 6,
    "/camera_01/camera_info": 6,
    "/camera_02/image_raw/compressed": 6,
    "/camera_02/camera_info": 6,
    "/camera_03/image_raw/compressed": 5,
    "/camera_03/camera_info": 5,
    "/velodyne_points": 1,
}


def write_official(root: Path, name: str = DRIVE) -> Path:
    """Write a small drive in the official layout.

    It moves 2 m per frame along the vehicle's x. Frame 5 has no pose, frame 6 no image of camera
    03, frames 4 and 5 class maps, frame 8 a scan. The vehicle's ORB-SLAM3 poses move 3 m.
    """
    calibration = root / "calibration"
    calibration.mkdir(parents=True, exist_ok=True)
    (calibration / "perspective.txt").write_text(PERSPECTIVE)
    (calibration / "calib_cam_to_pose.txt").write_text(CAM_TO_POSE)
    (calibration / "calib_cam_to_velo.txt").write_text(CAM_TO_VELO)
    for camera in ("image_02", "image_03"):
        (calibration / f"{camera}.yaml").write_text(FISHEYE)
    raw = root / "data_2d_raw" / name
    rng = np.random.default_rng(0)
    for camera, folder, size in (
        ("image_00", "data_rect", (32, 64)),
        ("image_01", "data_rect", (32, 64)),
        ("image_02", "data_rgb", (40, 40)),
        ("image_03", "data_rgb", (40, 40)),
    ):
        (raw / camera / folder).mkdir(parents=True)
        for number in FRAMES:
            if (camera, number) != ("image_03", 6):
                bgr = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
                cv2.imwrite(str(raw / camera / folder / f"{number:010d}.png"), bgr)
    lines = [f"2013-05-28 08:46:{second:02d}.904000123" for second in range(9)]
    (raw / "image_00/timestamps.txt").write_text("\n".join(lines) + "\n")
    for folder, step, skipped in (
        (f"data_poses/{name}", 2.0, 5),
        ("orb_slam_poses/0000", 3.0, -1),
    ):
        (root / folder).mkdir(parents=True)
        poses = [f"{n} 1 0 0 {step * n} 0 1 0 0 0 0 1 0" for n in FRAMES if n != skipped]
        (root / folder / "poses.txt").write_text("\n".join(poses) + "\n")
    semantic = root / "data_2d_semantics/train" / name / "image_00/semantic"
    semantic.mkdir(parents=True)
    for number in (4, 5):
        ids = np.repeat(np.array([[7, 26, 34, 0, 44, 255, 21, 8]], np.uint8), 32, 0)
        cv2.imwrite(str(semantic / f"{number:010d}.png"), np.repeat(ids, 8, 1))
    scans = root / "data_3d_raw" / name / "velodyne_points/data"
    scans.mkdir(parents=True)
    rng.random((50, 4)).astype("<f4").tofile(scans / "0000000008.bin")
    return raw


def convert(root: Path, output: Path, *options: str) -> int:
    return main(["kitti360-to-bag", str(root), "-o", str(output), *options])


def messages(bag: Path, topic: str):
    with BagReader(bag) as reader:
        yield from (m.message for m in reader.messages([topic]))


def tree_of(bag: Path) -> TransformTree:
    tree = TransformTree(horizon=1e9)
    with BagReader(bag) as reader:
        for message in reader.messages(["/tf_static", "/tf"]):
            for transform in message.message.transforms:
                tree.add(stamped_from_message(transform), static=message.topic == "/tf_static")
    return tree


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("official") / "KITTI-360"
    write_official(root)
    return root


@pytest.fixture(scope="module")
def bag(official, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("bags")
    assert convert(official, output) == 0
    return output / DRIVE


def test_everything_there_is_goes_onto_its_topic(bag):
    with BagReader(bag) as reader:
        assert {name: topic.count for name, topic in reader.topics.items()} == TOPICS
        assert reader.problems == []


def test_images_go_in_unchanged_with_calibration_frame_and_stamp(official, bag):
    frames = {"00": "camera_00_rect", "01": "camera_01_rect", "02": "camera_02", "03": "camera_03"}
    for number, frame in frames.items():
        rectified = frame.endswith("rect")
        kind, folder = ("image_rect", "data_rect") if rectified else ("image_raw", "data_rgb")
        pairs = zip(
            messages(bag, f"/camera_{number}/{kind}/compressed"),
            messages(bag, f"/camera_{number}/camera_info"),
            strict=True,
        )
        seen = []
        for image, info in pairs:
            stamp = stamp_ns(image.header)
            seen.append(round((stamp - 904000123) / SECOND) - 1369730760)
            assert stamp_ns(info.header) == stamp
            assert stamp % SECOND == 904000123
            assert image.header.frame_id == info.header.frame_id == frame
            file = f"data_2d_raw/{DRIVE}/image_{number}/{folder}/{seen[-1]:010d}.png"
            assert bytes(image.data) == (official / file).read_bytes()
            camera = camera_from_info(info, rectified=rectified)
            if rectified:
                assert camera.pinhole.K.tolist() == [[50, 0, 31.5], [0, 50, 15.5], [0, 0, 1]]
            else:
                mei = MeiCamera.from_calibrated(camera)
                assert mei == MeiCamera.from_yaml(official / f"calibration/image_{number}.yaml")
                with pytest.raises(InputError, match="not calibrated"):
                    camera_from_info(info, rectified=True)
        assert seen == [n for n in FRAMES if (number, n) != ("03", 6)]


def test_frames_follow_from_the_calibration(bag):
    tree = tree_of(bag)
    stamp = (1369730760 + 8) * SECOND + 904000123
    # What lies 10 m ahead of camera 00, in the frame of every sensor. Rectifying maps the x of
    # camera 00 onto the image's y; for camera 01 it maps y onto the image's z.
    for frame, point in {
        "camera_00_rect": (-0.4, 0.3, 10.0),
        "imu": (11.0, 2.3, 3.4),
        "base_link": (11.0, -2.3, -3.4),
        "velodyne": (10.5, -0.3, -0.4),
        "map": (21.0, -2.3, -3.4),
        "camera_01": (-0.3, 0.4, 10.0),
        "camera_01_rect": (-0.3, -10.0, 0.4),
        "camera_02": (10.5, 1.4, -1.3),
        "camera_03": (-10.5, 1.4, -0.7),
    }.items():
        T = tree.lookup("camera_00", frame, stamp)
        np.testing.assert_allclose(T @ [*point, 1.0], [0.3, 0.4, 10.0, 1.0], atol=1e-9)


def test_class_maps_are_train_ids_of_the_images_stamps(bag):
    maps = list(messages(bag, "/camera_00/label/compressed"))
    images = {stamp_ns(m.header) for m in messages(bag, "/camera_00/image_rect/compressed")}
    for message in maps:
        labels = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8
        assert labels[0, ::8].tolist() == [0, 13, 2, 255, 255, 255, 8, 1]
        assert message.header.frame_id == "camera_00_rect"
        assert stamp_ns(message.header) in images


def test_scans_are_in_the_velodynes_frame(official, bag):
    (message,) = messages(bag, "/velodyne_points")
    assert message.header.frame_id == "velodyne"
    file = official / "data_3d_raw" / DRIVE / "velodyne_points/data/0000000008.bin"
    assert bytes(np.asarray(message.data)) == file.read_bytes()


def test_gaps_are_told(official, tmp_path, capsys):
    assert convert(official, tmp_path) == 0
    told = capsys.readouterr().out
    assert "23 images of frames 3-8" in told
    assert "1 of 6 frames have no image of image_03: 6" in told
    assert "4 of 6 frames have no class map of image_00: 3,6-8" in told
    assert "5 of 6 frames have no scan: 3-7" in told
    assert "1 of 6 frames have no pose: 5" in told
    assert f"data_poses/{DRIVE}/poses.txt" in told


def test_parts_can_be_left_out(official, tmp_path):
    options = ("--cameras", "00,03", "--no-labels", "--no-scans", "--poses", "none")
    assert convert(official, tmp_path, *options, "--no-timestamps") == 0
    with BagReader(tmp_path / DRIVE) as reader:
        assert set(reader.topics) == {
            "/tf_static",
            *(
                t
                for t in TOPICS
                if t.startswith(("/camera_00/", "/camera_03/")) and "label" not in t
            ),
        }
        assert reader.start_ns == SECOND + 3 * SECOND // 10


@pytest.mark.parametrize("poses", ["orb-slam", "a file"])
def test_other_poses_replace_the_official_ones(official, tmp_path, poses):
    if poses == "a file":
        poses = str(tmp_path / "mine.txt")
        shutil.copy(official / "orb_slam_poses/0000/poses.txt", poses)
    assert convert(official, tmp_path, "--poses", poses) == 0
    tree = tree_of(tmp_path / DRIVE)
    T = tree.lookup("map", "base_link", (1369730760 + 5) * SECOND + 904000123)
    np.testing.assert_allclose(T[:3, 3], (6, 0, 0), atol=1e-9)


def test_drives_are_chosen_by_name_or_number_and_done_ones_skipped(tmp_path, capsys):
    root, other = tmp_path / "KITTI-360", DRIVE.replace("0000", "0002")
    write_official(root)
    (root / "orb_slam_poses/0000").rename(root / "orb_slam_poses/away")
    shutil.copytree(root / "data_2d_raw" / DRIVE, root / "data_2d_raw" / other)
    assert convert(root, tmp_path / "bags", "--drive", "2-2") == 0
    assert [path.name for path in (tmp_path / "bags").iterdir()] == [other]
    assert "none, so there will be no map -> base_link" in capsys.readouterr().out
    assert convert(root, tmp_path / "bags") == 0
    assert f"{other} is complete already" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "bags").iterdir()) == [DRIVE, other]
    assert convert(root, tmp_path / "bags", "--drive", "0,2-3") == 2
    told = capsys.readouterr().err
    assert f"--drive must name one of {DRIVE}, {other}, got '0003'" in told
    assert convert(root, tmp_path / "bags", "--no-scans") == 2
    told = capsys.readouterr().err
    assert "exists already, with" in told
    assert "scans 1 of 8-8 instead of None" in told


@pytest.mark.parametrize("kind", ["image", "label", "scan"])
def test_other_files_of_the_same_names_are_another_drive(tmp_path, kind):
    drive = read_drive(write_official(tmp_path / "KITTI-360"))
    source = functools.partial(kitti360_source, drive)
    everything, images = source(labels=True, scans=True), source(labels=False, scans=False)
    files = {"image": drive.images, "label": drive.labels["image_00"], "scan": drive.scans}[kind]
    path = next(iter(files.values()))
    path.write_bytes(path.read_bytes() + bytes(16))
    assert source(labels=True, scans=True) != everything
    assert (source(labels=False, scans=False) != images) == (kind == "image")


def test_a_drive_may_be_a_link(tmp_path):
    root = tmp_path / "KITTI-360"
    write_official(root)
    drive = root / "data_2d_raw" / DRIVE
    drive.rename(tmp_path / "disk")
    drive.symlink_to(tmp_path / "disk")
    assert convert(root, tmp_path / "bags") == 0
    assert [path.name for path in (tmp_path / "bags").iterdir()] == [DRIVE]


def test_what_cannot_be_used_is_refused(official, tmp_path, capsys):
    broken = tmp_path / "KITTI-360"
    shutil.copytree(official, broken)
    shutil.rmtree(broken / "orb_slam_poses")
    with pytest.raises(InputError, match="no orb-slam poses .*; looked for .*orb_slam_poses"):
        read_drive(broken / "data_2d_raw" / DRIVE, poses="orb-slam")
    (broken / "calibration/image_02.yaml").unlink()
    with pytest.raises(InputError, match="images of image_02, but no calibration for it"):
        read_drive(broken / "data_2d_raw" / DRIVE)
    with pytest.raises(InputError, match=r"needs images .*image_04/data_rgb.* found none"):
        read_drive(official / "data_2d_raw" / DRIVE, ("image_00", "image_04"))
    stamps = broken / "data_2d_raw" / DRIVE / "image_00/timestamps.txt"
    stamps.write_text("2013-05-28 08:46:02.9\n" * 9)
    with pytest.raises(InputError, match="frame 4 must be later than frame 3"):
        read_drive(broken / "data_2d_raw" / DRIVE, ("image_00",))
    colour = tmp_path / "colour.png"
    cv2.imwrite(str(colour), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"grey 8-bit image of label ids, got \(4, 4, 3\)"):
        read_labels(colour)
    (tmp_path / "other").mkdir()
    assert main(["kitti360-to-bag", str(tmp_path / "other"), "-o", str(tmp_path / "bags")]) == 2
    assert "must have data_2d_raw/<drive>/image_00" in capsys.readouterr().err


def test_preprocessed_images_come_with_their_calibration(official, tmp_path):
    """What `data_192x640` of a camera shows lies where its calibration says, fisheyes as well."""
    root = tmp_path / "KITTI-360"
    shutil.copytree(official, root)
    drive = root / "data_2d_raw" / DRIVE
    full = read_drive(drive)
    for camera, folder, new in (
        ("image_00", "data_rect", "data_24x80"),
        ("image_01", "data_rect", "data_24x80"),
        ("image_02", "data_rgb", "data_24x80_0x-15"),
        ("image_03", "data_rgb", "data_24x80_0x-15"),
    ):
        (drive / camera / folder).rename(drive / camera / new)
        for path in (drive / camera / new).iterdir():
            cv2.imwrite(str(path), np.zeros((24, 80, 3), np.uint8))
    found = read_drive(drive)
    assert found.frames == full.frames
    assert {name: list(images) for name, images in found.camera_images.items()} == {
        name: list(images) for name, images in full.camera_images.items()
    }
    K_norm = full.calibration.camera.K_norm
    for name in CAMERAS:
        camera = found.calibration.cameras[name]
        assert not camera.is_distorted
        assert (camera.pinhole.width, camera.pinhole.height) == (80, 24)
        np.testing.assert_allclose(camera.pinhole.K_norm, K_norm)
    # The virtual camera of a fisheye sits where it does, and looks 15 degrees further down.
    for name in CAMERAS[2:]:
        T_full, T = (d.calibration.T_base_image(name) for d in (full, found))
        np.testing.assert_allclose(T[:3, 3], T_full[:3, 3])
        np.testing.assert_allclose(T[:3, 0], T_full[:3, 0], atol=1e-12)
        down = np.cos(np.radians(15)) * T_full[:3, 2] + np.sin(np.radians(15)) * T_full[:3, 1]
        np.testing.assert_allclose(T[:3, 2], down, atol=1e-12)
    assert convert(root, tmp_path / "bags") == 0
    with Recording(tmp_path / "bags" / DRIVE) as recording:
        assert len(recording.cameras) == 4
        label = recording.label("camera_00", 0)  # of frame 4
        assert label is not None
        assert label.shape == recording.image("camera_00", 1).shape[:2] == (24, 80)


def test_golden_transforms_and_intrinsics(golden, request):
    folder = request.config.getoption("--golden") / "training/calibration"
    expected = {key: value.numpy() for key, value in golden("fisheye").items()}
    rig = read_calibration(folder)
    np.testing.assert_allclose(rig.camera.K_norm, expected["K"], atol=1e-6)
    np.testing.assert_array_equal([rig.camera.height, rig.camera.width], expected["im_size"])
    # There, the body's y points right and z down, as in the files.
    T_imu_base = np.diag([1.0, -1.0, -1.0, 1.0])
    for name in ("00", "01"):
        image = f"image_{name}"
        T = T_imu_base @ rig.T_base_image(image)
        np.testing.assert_allclose(T, expected[f"T_cam{name}_to_body"], atol=1e-6)
        T = inverse(rig.T_base_image(image)) @ velodyne_pose(rig)
        np.testing.assert_allclose(T, expected[f"T_velo_to_cam{name}"], atol=1e-6)
    T = T_imu_base @ velodyne_pose(rig)
    np.testing.assert_allclose(T, expected["T_velo_to_body"], atol=1e-6)
    for name in ("02", "03"):
        T = T_imu_base @ rig.T_base_image(f"image_{name}")
        T[:3, :3] @= expected[f"R_{name}"]
        np.testing.assert_allclose(T, expected[f"T_cam{name}_to_body"], atol=1e-6)


# --- interruptions ------------------------------------------------------------------------------

SMALL_SPLIT = 2 * 20_000  # bytes: two frames


# The command, in a process that reads a pipe to its end before it opens one image. It asks again
# and again: a signal that comes just before a read that blocks would wait as long as that does.
WAITING = """
import os, sys, time
from scenedino_ros.cli.main import main
open_file = os.open
def wait_and_open(path, *arguments, **options):
    if str(path) == {image!r}:
        with open({pipe!r}, "rb", buffering=0) as pipe:
            os.set_blocking(pipe.fileno(), False)
            while pipe.read() is None:
                time.sleep(0.01)
    return open_file(path, *arguments, **options)
os.open = wait_and_open
sys.exit(main())
"""


@contextmanager
def paused(official: Path, tmp_path: Path, number: int) -> Iterator[subprocess.Popen]:
    """Start a conversion that waits where it opens the image of a frame.

    Yields:
        The process, when it has come to that image; it goes on waiting until the block ends.
    """
    root, pipe = tmp_path / "KITTI-360", tmp_path / "pipe"
    shutil.copytree(official, root)
    os.mkfifo(pipe)
    image = root / f"data_2d_raw/{DRIVE}/image_02/data_rgb/{number:010d}.png"
    code = WAITING.format(image=str(image), pipe=str(pipe))
    command = [sys.executable, "-c", code, "kitti360-to-bag", str(root)]
    command += ["-o", str(tmp_path / "bags"), "--split-size", str(SMALL_SPLIT / 10**9)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.02)
            continue
        try:
            yield process
        finally:
            os.close(writer)
        return
    process.kill()
    pytest.fail(f"the conversion never came to {image}: {process.communicate()}")


def test_a_killed_conversion_goes_on_and_ends_like_an_undisturbed_one(official, tmp_path):
    drive = read_drive(official / "data_2d_raw" / DRIVE)
    whole = tmp_path / "whole" / DRIVE
    bag_from_kitti360(drive, whole, labels=True, scans=True, split_bytes=SMALL_SPLIT)
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) > 3
    for number in (3, 8):
        folder = tmp_path / str(number)
        folder.mkdir()
        with paused(official, folder, number) as process:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (folder / "bags" / DRIVE).exists()
        done = [p for p in (folder / "bags" / f"{DRIVE}.partial").glob("*_[0-9].mcap")]
        assert len(done) > (number - 3) // 3
        assert convert(folder / "KITTI-360", folder / "bags", "--split-size", size()) == 0
        assert [path.name for path in (folder / "bags").iterdir()] == [DRIVE]
        _, different, missing = filecmp.cmpfiles(whole, folder / "bags" / DRIVE, names, False)
        assert (different, missing) == ([], [])


def size() -> str:
    return str(SMALL_SPLIT / 10**9)


def test_ctrl_c_ends_with_a_sentence(official, tmp_path):
    with paused(official, tmp_path, 6) as process:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.decode().splitlines()[-2:] == [
        "the same command resumes the conversion",
        "scenedino kitti360-to-bag: stopped",
    ]


def test_an_unfinished_recording_of_something_else_is_not_continued(tmp_path):
    def begun(source, split_bytes=10):
        return SplitBagWriter(tmp_path / "bag", source, split_bytes=split_bytes)

    writer = begun({"drive": "a"})
    with pytest.raises(BagError, match=r"bag\.partial is being written by another process"):
        begun({"drive": "a"})
    writer.add_topic("/t", "std_msgs/msg/String")
    writer.write("/t", 5, bytes(20))
    writer.checkpoint(1)
    writer.write("/t", 6, bytes(20))
    writer.abandon()
    with pytest.raises(BagError, match="of something else: drive a instead of b; remove it"):
        begun({"drive": "b"})
    with pytest.raises(BagError, match="split_bytes 10 instead of 11"):
        begun({"drive": "a"}, 11)
    state = tmp_path / "bag.partial/progress.json"
    good = state.read_text()
    state.write_text(good[:-9])
    with pytest.raises(BagError, match="is damaged .*; remove .*partial to begin anew"):
        begun({"drive": "a"})
    state.write_text(good)
    (tmp_path / "bag.partial/bag_0.mcap").rename(tmp_path / "away")
    with pytest.raises(BagError, match=r"files are missing in .*: bag_0\.mcap; remove it"):
        begun({"drive": "a"})
    (tmp_path / "away").rename(tmp_path / "bag.partial/bag_0.mcap")
    writer = begun({"drive": "a"})
    assert writer.done == 1
    writer.write("/t", 7, bytes(20))
    writer.close()
    with BagReader(tmp_path / "bag") as reader:
        assert [message.time_ns for message in reader.messages(raw=True)] == [5, 7]
    with pytest.raises(BagError, match="bag exists already"):
        begun({"drive": "a"})


def test_a_process_that_ends_while_it_finishes_can_finish_again(tmp_path, monkeypatch):
    def write(stop_at: str) -> None:
        writer = SplitBagWriter(tmp_path / "bag", {"drive": "a"}, split_bytes=10)
        for step in range(writer.done, 3):
            writer.add_topic("/t", "std_msgs/msg/String")
            writer.write("/t", step, bytes(4 * step))
            writer.checkpoint(step + 1)
        with monkeypatch.context() as patch:
            if stop_at:
                patch.setattr(SplitBagWriter, stop_at, lambda _: 1 / 0)
            writer.close()

    for stop_at in ("_publish", "_end_file"):
        with pytest.raises(ZeroDivisionError):
            write(stop_at)
    write("")
    with BagReader(tmp_path / "bag") as reader:
        assert [message.time_ns for message in reader.messages(raw=True)] == [0, 1, 2]
    assert sorted(path.suffix for path in (tmp_path / "bag").iterdir())[0] == ".mcap"


# --- the real drive -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_bag(tmp_path_factory) -> Path:
    folder = Path(os.environ.get("SCENEDINO_TEST_DATA", "no data"), "kitti360_sequence")
    if not folder.is_dir():
        pytest.skip("SCENEDINO_TEST_DATA names no folder with kitti360_sequence")
    output = tmp_path_factory.mktemp("real")
    assert convert(folder, output, "--split-size", "0.02") == 0
    return output / "kitti360_sequence"


class RealDrive:
    """The scans and pictures of a recording, and what one looks like through the other.

    Attributes:
        tree: The recording's transforms.
        scans: (N, 3) points by stamp.
    """

    def __init__(self, bag: Path) -> None:
        self.tree = tree_of(bag)
        self.images = {
            stamp_ns(m.header): m for m in messages(bag, "/camera_00/image_rect/compressed")
        }
        self.camera = camera_from_info(
            next(messages(bag, "/camera_00/camera_info")), rectified=True
        ).pinhole
        self.scans = {
            stamp_ns(m.header): np.asarray(m.data).view("<f4").reshape(-1, 4)[:, :3]
            for m in messages(bag, "/velodyne_points")
        }
        # Behind the Velodyne the camera sees nothing.
        self.scans = {ns: points[points[:, 0] > 0] for ns, points in self.scans.items()}

    @functools.cache  # noqa: B019, the drive lives as long as its test
    def texture(self, ns: int) -> np.ndarray:
        """Return an image's grey values without their local mean."""
        rgb = np.ascontiguousarray(rgb_from_compressed(self.images[ns]))
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 5)

    def seen(self, points: np.ndarray, T_rect_velo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (N, 2) of points, and which are in view with nothing in front of them."""
        points = points.astype(np.float64) @ T_rect_velo[:3, :3].T + T_rect_velo[:3, 3]
        uv = np.rint(self.camera.project(points)).astype(int)
        size = (self.camera.width, self.camera.height)
        visible = (points[:, 2] > 5) & ((uv >= 0) & (uv < size)).all(axis=1)
        cell = uv[visible] // 4
        nearest = np.full((size[1] // 4, size[0] // 4), np.inf)
        np.minimum.at(nearest, (cell[:, 1], cell[:, 0]), points[visible, 2])
        visible[visible] = points[visible, 2] < 1.05 * nearest[cell[:, 1], cell[:, 0]]
        return uv, visible

    def agreement(self, gap: int, T_rect_velo: np.ndarray, *, backwards: bool = False) -> float:
        """Return how well points have the same texture in two images.

        Args:
            gap: The later image is that many frames after the scan.
            T_rect_velo: Taken for the transform from the Velodyne to the images' frame.
            backwards: Move the camera the wrong way.

        Returns:
            Correlation of the textures at all points that both images see.
        """
        pairs = []
        for ns, points in self.scans.items():
            later = ns + gap * SECOND // 10
            if later not in self.images:
                continue
            T_map_now = self.tree.lookup("map", "camera_00_rect", ns)
            T_map_later = self.tree.lookup("map", "camera_00_rect", later)
            T_later_now = inverse(T_map_later) @ T_map_now
            if backwards:
                T_later_now = inverse(T_later_now)
            now, seen_now = self.seen(points, T_rect_velo)
            then, seen_then = self.seen(points, T_later_now @ T_rect_velo)
            both = seen_now & seen_then
            pairs.append(
                [
                    self.texture(stamp)[uv[both, 1], uv[both, 0]]
                    for stamp, uv in ((ns, now), (later, then))
                ]
            )
        return float(np.corrcoef(np.hstack(pairs))[0, 1])


def test_real_points_look_alike_in_later_frames(real_bag):
    """Scans projected into later images find the texture again, only with the right frames.

    The mix-ups are those that are easily made: taking the calibration of the unrectified camera
    for that of the rectified images (half a degree), moving the wrong way, not moving at all.
    """
    drive = RealDrive(real_bag)
    assert len(drive.scans) == 8
    stamp = next(iter(drive.scans))
    T_rect_velo = drive.tree.lookup("camera_00_rect", "velodyne", stamp)
    T_unrectified = drive.tree.lookup("camera_00", "velodyne", stamp)
    near = drive.agreement(2, T_rect_velo)
    assert near > 0.65
    assert drive.agreement(2, T_rect_velo, backwards=True) < 0.3 * near
    far = drive.agreement(8, T_rect_velo)
    assert far > 0.42
    assert drive.agreement(8, T_unrectified) < 0.95 * far
    assert (
        drive.agreement(8, inverse(T_rect_velo @ inverse(T_unrectified)) @ T_unrectified)
        < 0.9 * far
    )


def test_real_images_are_whole(real_bag):
    with BagReader(real_bag) as reader:
        assert reader.topics["/camera_00/image_rect/compressed"].count == 32
        assert reader.topics["/tf"].count == 32
        assert reader.problems == []
    assert len(list(real_bag.glob("*.mcap"))) > 1
