# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""KITTI's odometry and raw drives as recordings: files, frames, poses, and what is refused."""

import filecmp
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from installed import scenedino
from stereo_drive import BASELINE, CAMERA, T_world_cam, write_stereo_drive

from scenedino_ros.cameras.from_msg import stamp_ns
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import BagError, InputError
from scenedino_ros.recordings.datasets.conversion import bag_from_drive, drive_source
from scenedino_ros.recordings.datasets.drive import T_BASE_AHEAD
from scenedino_ros.recordings.datasets.kitti import find_kitti_drives, read_kitti_drive
from scenedino_ros.recordings.datasets.kitti_oxts import read_oxts
from scenedino_ros.recordings.frame_store.build import build_frame_store
from scenedino_ros.recordings.frame_store.settings import StoreSettings
from scenedino_ros.recordings.pose_source import PoseSource, find_poses
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.split_writer import is_recorded
from scenedino_ros.recordings.transforms import inverse

DATE = "2011_09_26"
RAW = f"{DATE}_drive_0001_sync"
# The IMU is 1 m behind and 0.5 m below the Velodyne; camera 0 is 0.3 m ahead of that, and
# rectifying turns it by 90 degrees about its optical axis.
CAM_TO_CAM = """calib_time: 09-Jan-2012 13:57:47
S_rect_00: 6.400000e+01 3.200000e+01
R_rect_00: 0 -1 0 1 0 0 0 0 1
P_rect_00: 50 0 31.5 0 0 50 15.5 0 0 0 1 0
S_rect_02: 6.400000e+01 3.200000e+01
P_rect_02: 50 0 31.5 5 0 50 15.5 0 0 0 1 0
"""
VELO_TO_CAM = "calib_time: today\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 -0.3\ndelta_f: 0 0\n"
IMU_TO_VELO = "calib_time: today\nR: 1 0 0 0 1 0 0 0 1\nT: -1 0 -0.5\n"
EQUATOR_M = 6378137.0  # of the Earth


def write_raw(root: Path, frames: tuple[int, ...] = (0, 1, 2), *, cameras=("00", "02")) -> Path:
    """Write a raw drive on the equator that heads north and moves 2 m east per frame."""
    date = root / DATE
    drive = date / RAW
    (drive / "oxts/data").mkdir(parents=True)
    (date / "calib_cam_to_cam.txt").write_text(CAM_TO_CAM)
    (date / "calib_velo_to_cam.txt").write_text(VELO_TO_CAM)
    (date / "calib_imu_to_velo.txt").write_text(IMU_TO_VELO)
    for camera in cameras:
        (drive / f"image_{camera}/data").mkdir(parents=True)
        times = [f"2011-09-26 13:02:25.{n}51199337" for n in range(max(frames) + 1)]
        (drive / f"image_{camera}/timestamps.txt").write_text("\n".join(times) + "\n")
        for number in frames:
            shape = (32, 64) if camera == "00" else (32, 64, 3)
            pixels = np.random.default_rng(number).integers(0, 255, shape, dtype=np.uint8)
            cv2.imwrite(str(drive / f"image_{camera}/data/{number:010d}.png"), pixels)
    for number in frames:
        longitude = np.degrees(2.0 * number / EQUATOR_M)
        packet = [0.0, longitude, 30.0 + 0.1 * number, 0.0, 0.0, np.pi / 2, *[0.0] * 24]
        text = " ".join(f"{value:.15g}" for value in packet)
        (drive / f"oxts/data/{number:010d}.txt").write_text(text + "\n")
    return drive


def test_odometry_drive_is_recorded_with_its_files_times_and_poses(tmp_path):
    folder = write_stereo_drive(tmp_path / "kitti", 4)
    assert main(["kitti-to-bag", str(tmp_path / "kitti"), "-o", str(tmp_path / "bags")]) == 0
    with BagReader(tmp_path / "bags/00") as reader:
        images = [m.message for m in reader.messages(["/camera_01/image_rect/compressed"])]
    assert [stamp_ns(image.header) for image in images] == [1, 10**8, 2 * 10**8, 3 * 10**8]
    for number, image in enumerate(images):
        assert bytes(image.data) == (folder / f"image_1/{number:06d}.png").read_bytes()
    with Recording(tmp_path / "bags/00") as recording:
        assert recording.problems == []
        camera = recording.cameras["camera_01"].calibration.pinhole
        np.testing.assert_allclose(camera.K, CAMERA.K)
        T_base_right = recording.T_body_cam("camera_01", "base_link")
        np.testing.assert_allclose(T_base_right[:3, 3], (0, -BASELINE, 0), atol=1e-9)
        track, _ = find_poses(recording, PoseSource(), "base_link")
    for frame, T_map_base in enumerate(track.T_world_body):
        moved = inverse(T_world_cam(0)) @ T_world_cam(frame)
        expected = T_BASE_AHEAD @ moved @ inverse(T_BASE_AHEAD)
        np.testing.assert_allclose(T_map_base, expected, atol=1e-6)


def test_grey_images_reach_the_frame_store_in_three_equal_channels(tmp_path):
    folder = write_stereo_drive(tmp_path / "kitti", 2)
    bag_from_drive(read_kitti_drive(folder), tmp_path / "bag")
    with Recording(tmp_path / "bag") as recording:
        store = build_frame_store(recording, tmp_path / "store", StoreSettings((112, 320)))
    rgb = store.image("camera_00", 1)
    grey = cv2.imread(str(folder / "image_0/000001.png"), cv2.IMREAD_UNCHANGED)
    for channel in range(3):
        np.testing.assert_array_equal(rgb[..., channel], grey)


def test_raw_drive_follows_its_imu_east_north_and_up(tmp_path):
    drive = read_kitti_drive(write_raw(tmp_path))
    assert list(drive.images) == ["camera_00", "camera_02"]
    assert drive.stamps_ns[1] - drive.stamps_ns[0] == 10**8
    assert drive.track is not None
    for number, T_map_base in enumerate(drive.track.T_world_body):
        np.testing.assert_allclose(T_map_base[:3, 3], (2 * number, 0, 0.1 * number), atol=1e-6)
        np.testing.assert_allclose(T_map_base[:3, 0], (0, 1, 0), atol=1e-12)  # ahead is north
    # 10 m ahead of rectified camera 0, 0.4 m below; the image's x is the camera's minus y.
    point = drive.T_base_cam["camera_00"] @ [0.4, 0.0, 10.0, 1.0]
    np.testing.assert_allclose(point[:3], (10 + 0.3 + 1.0, 0.0, 0.4 + 0.5), atol=1e-9)
    T_cam0_cam2 = inverse(drive.T_base_cam["camera_00"]) @ drive.T_base_cam["camera_02"]
    np.testing.assert_allclose(T_cam0_cam2[:3, 3], (-0.1, 0, 0), atol=1e-12)


def test_a_car_whose_nose_is_up_has_a_negative_pitch(tmp_path):
    # dataformat.txt of KITTI: "positive = front down".
    values = [49.0, 8.4, 110.0, 0.0, -0.1, np.pi / 2, *[0.0] * 24]
    (tmp_path / "0000000000.txt").write_text(" ".join(map(str, values)))
    ahead = read_oxts(tmp_path)[0][:3, 0]
    np.testing.assert_allclose(ahead, (0, np.cos(0.1), np.sin(0.1)), atol=1e-12)


def test_raw_drive_without_a_calibrated_imu_has_images_alone(tmp_path):
    drive = write_raw(tmp_path, cameras=("00",))
    (tmp_path / DATE / "calib_imu_to_velo.txt").unlink()
    with pytest.raises(InputError, match=r"need calib_imu_to_velo.txt .*--poses none"):
        read_kitti_drive(drive)
    found = read_kitti_drive(drive, poses="none")
    assert found.track is None
    np.testing.assert_array_equal(found.T_base_cam["camera_00"], T_BASE_AHEAD)


def test_drives_are_found_at_every_level(tmp_path):
    drive = write_raw(tmp_path / "raw")
    sequence = write_stereo_drive(tmp_path / "odometry", 1)
    for place in (tmp_path / "raw", tmp_path / "raw" / DATE, drive):
        assert find_kitti_drives(place) == [drive]
    for place in (tmp_path / "odometry", tmp_path / "odometry/sequences", sequence):
        assert find_kitti_drives(place) == [sequence]
    with pytest.raises(InputError, match="must hold sequences/NN/image_N, DATE/"):
        find_kitti_drives(tmp_path)


def test_a_drive_that_is_a_link_has_the_calibration_beside_the_link(tmp_path):
    drive = write_raw(tmp_path / "raw")
    elsewhere = tmp_path / "disk" / "drive"
    elsewhere.parent.mkdir()
    drive.rename(elsewhere)
    drive.symlink_to(elsewhere)
    assert find_kitti_drives(tmp_path / "raw") == [drive]
    assert read_kitti_drive(drive).name == RAW


def test_poses_may_come_from_a_file_and_frames_without_one_are_named(tmp_path, capsys):
    folder = write_stereo_drive(tmp_path / "kitti", 4)
    tum = tmp_path / "00.tum"
    rows = [f"{0.1 * n:.1f} 0 0 {n} 0 0 0 1" for n in range(3)]
    tum.write_text("\n".join(rows) + "\n")
    arguments = ["kitti-to-bag", str(folder), "-o", str(tmp_path / "bags"), "--poses", str(tum)]
    assert main(arguments) == 0
    assert "1 of 4 frames have no pose: 3" in capsys.readouterr().out
    with Recording(tmp_path / "bags/00") as recording:
        track, _ = find_poses(recording, PoseSource(), "base_link")
    np.testing.assert_allclose(track.T_world_body[:, :3, 3], [(0, 0, 0), (1, 0, 0), (2, 0, 0)])


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            (900.0, 900.1),
            "no image has a pose: images are taken from 0.000 to 0.300 s, poses in .*00.tum go "
            "from 900.000 to 900.100 s$",
        ),
        (
            (-0.05, 0.35),
            "go from -0.050 to 0.350 s; poses around 0.000 s are 0.400 s apart, and may be "
            "0.300 s apart at most$",
        ),
    ],
)
def test_poses_of_no_image_are_refused(tmp_path, times, message):
    folder = write_stereo_drive(tmp_path / "kitti", 4)
    tum = tmp_path / "00.tum"
    tum.write_text("".join(f"{time} 0 0 0 0 0 0 1\n" for time in times))
    with pytest.raises(InputError, match=message):
        read_kitti_drive(folder, poses=tum)


def test_an_interrupted_conversion_resumes(tmp_path):
    drive = read_kitti_drive(write_stereo_drive(tmp_path / "kitti", 6))
    bag_from_drive(drive, tmp_path / "whole" / "00", split_bytes=40_000)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bag_from_drive(drive, tmp_path / "again" / "00", split_bytes=40_000, progress=stop)
    done = []
    bag_from_drive(
        drive, tmp_path / "again" / "00", split_bytes=40_000, progress=lambda n, _: done.append(n)
    )
    assert 1 < done[0] <= 5
    names = sorted(os.listdir(tmp_path / "whole/00"))
    assert len(names) > 3
    _, different, missing = filecmp.cmpfiles(
        tmp_path / "whole/00", tmp_path / "again/00", names, shallow=False
    )
    assert different == missing == []
    for file in (tmp_path / "whole/00").glob("*.mcap"):  # each with the poses of its images
        with BagReader(file) as reader:
            images = reader.topics["/camera_00/image_rect/compressed"]
            assert reader.topics["/tf"].count == images.count


def test_times_may_have_a_byte_order_mark_and_comments(tmp_path):
    folder = write_stereo_drive(tmp_path, 2)
    (folder / "times.txt").write_text("\ufeff0.5\n# seconds\n0.7\n")
    assert read_kitti_drive(folder).stamps_ns == {0: 500_000_000, 1: 700_000_000}


def test_images_of_another_folder_are_not_mixed_into_a_recording(tmp_path):
    folder = write_stereo_drive(tmp_path / "kitti", 6)
    drive = read_kitti_drive(folder)
    shutil.copytree(tmp_path / "kitti", tmp_path / "copy")  # with the times of the files
    other = read_kitti_drive(tmp_path / "copy" / folder.relative_to(tmp_path / "kitti"))
    assert drive_source(other) == drive_source(drive)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bag_from_drive(drive, tmp_path / "bag", split_bytes=40_000, progress=stop)
    image = next(iter(other.images.values()))[3]
    image.write_bytes(image.read_bytes())  # of the same name and size, but later
    with pytest.raises(BagError, match="something else: names, sizes and times of the files"):
        bag_from_drive(other, tmp_path / "bag", split_bytes=40_000)
    bag_from_drive(drive, tmp_path / "bag", split_bytes=40_000)
    with pytest.raises(BagError, match="exists already, with names, sizes and times of the files"):
        is_recorded(tmp_path / "bag", drive_source(other))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("calib.txt", "P1: 1 2 3\n", "has no entry P0"),
        (
            "calib.txt",
            "P0: 1e154 0 1 0 0 100 1 0 0 0 1 0\n" * 2 + "P1: 1 0 1 0 0 1 1 0 0 0 1 0\n",
            "calibration of camera 00: the focal lengths must be in",
        ),
        (
            "calib.txt",
            "P0: 100 0 1 0 0 100 1 0 0 0 1 0\nP1: 100 0 1 1e300 0 100 1 0 0 0 1 0\n",
            "calibration of camera 01: a transform must be within",
        ),
        ("calib.txt", "P0: 1 2 3\n", "P0 in .* must have 12 numbers, got 3"),
        ("times.txt", "0\n0.1\n", "has 2 lines, too few for the image of frame 3"),
        ("times.txt", "0\n0.1\n0.1\n0.3\n", "frame 2 must be later than frame 1"),
        ("times.txt", "0\nsoon\n0.1\n0.3\n", "'soon' is not a number of seconds"),
        ("../../poses/00.txt", "1 0 0 0 0 1 0 0 0 0 1 0\n", "has 1 lines, too few"),
        ("../../poses/00.txt", "1 2 3\n", "must have 8 values per line .*, got 3"),
        ("../../poses/00.txt", "2 0 0 0 0 1 0 0 0 0 1 0\n" * 4, "must be rigid"),
    ],
)
def test_broken_files_of_a_sequence_are_refused(tmp_path, file, text, message):
    folder = write_stereo_drive(tmp_path, 4)
    (folder / file).write_text(text)
    with pytest.raises(InputError, match=message):
        read_kitti_drive(folder)


def test_other_images_are_refused(tmp_path):
    folder = write_stereo_drive(tmp_path, 2)
    with pytest.raises(InputError, match=r"images of camera 02 .*, found those of 00, 01"):
        read_kitti_drive(folder, ("02",))
    (folder / "image_0/000001.jpg").write_bytes((folder / "image_0/000001.png").read_bytes())
    with pytest.raises(InputError, match=r"one file for frame 1, got 000001.jpg and 000001.png"):
        read_kitti_drive(folder)
    raw = write_raw(tmp_path)
    extract = raw.with_name(raw.name.replace("sync", "extract"))
    raw.rename(extract)
    with pytest.raises(InputError, match=r"must be a rectified drive \(_sync\)"):
        read_kitti_drive(extract)


def test_oxts_packets_must_be_whole(tmp_path):
    drive = write_raw(tmp_path)
    (drive / "oxts/data/0000000001.txt").write_text("49.0 8.4")
    with pytest.raises(InputError, match="must have 30 numbers, got 2"):
        read_kitti_drive(drive)


def test_the_command_chooses_drives_and_refuses_one_pose_file_for_several(tmp_path):
    write_stereo_drive(tmp_path / "kitti", 1, name="00")
    write_stereo_drive(tmp_path / "kitti", 1, name="03")
    kitti, bags = tmp_path / "kitti", tmp_path / "bags"
    ran = scenedino("kitti-to-bag", kitti, "-o", bags, "--drive", "3", "--cameras", "0")
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in bags.iterdir()] == ["03"]
    assert main(["kitti-to-bag", str(kitti), "-o", str(bags), "--poses", "x.txt"]) == 2
    assert main(["kitti-to-bag", str(kitti), "-o", str(bags), "--drive", "7"]) == 2


def test_a_number_of_drives_of_several_dates_names_none(tmp_path, capsys):
    names = [f"2011_09_{day}_drive_0001_sync" for day in (26, 28)]
    for name in names:
        image = tmp_path / "raw" / name[:10] / name / "image_00/data/0000000000.png"
        image.parent.mkdir(parents=True)
        image.touch()
    words = ["kitti-to-bag", str(tmp_path / "raw"), "-o", str(tmp_path / "bags"), "--drive", "1"]
    assert main(words) == 2
    assert (
        f"--drive must name one drive, but '1' belongs to 2: {names[0]}, {names[1]}; give the "
        "whole name"
    ) in capsys.readouterr().err


@pytest.mark.skipif(
    not Path(os.environ.get("SCENEDINO_TEST_DATA", ""), "kitti_odometry/sequences/02").is_dir(),
    reason="SCENEDINO_TEST_DATA names no folder with kitti_odometry",
)
def test_real_sequences_are_read():
    root = Path(os.environ["SCENEDINO_TEST_DATA"], "kitti_odometry")
    drives = {path.name: read_kitti_drive(path) for path in find_kitti_drives(root)}
    assert drives["00"].frames == [*range(200)]
    assert list(drives["02"].images) == ["camera_02", "camera_03"]
    for drive in drives.values():
        assert drive.lacking() == {}
        assert drive.track is not None
        moved = drive.track.T_world_body[5][:3, 3]
        assert moved[0] > 5 * abs(moved[1])  # ahead
        assert moved[0] > 1
