# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Poses by stereo visual odometry, against a drive whose poses are exact."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from installed import scenedino
from stereo_drive import BASELINE, CAMERA, T_world_cam, picture, stereo_picture, write_stereo_drive

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.conversion import bag_from_drive
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.datasets.kitti import read_kitti_drive
from scenedino_ros.recordings.odometry.stereo_motion import stereo_motion
from scenedino_ros.recordings.odometry.stereo_odometry import StereoOdometry
from scenedino_ros.recordings.odometry.stereo_points import find_points, track_points
from scenedino_ros.recordings.odometry.stereo_rig import RectifiedPair, StereoRig
from scenedino_ros.recordings.odometry.stereo_sequence import sequence_of_drive
from scenedino_ros.recordings.odometry.stereo_trajectory import stereo_trajectory
from scenedino_ros.recordings.odometry.trajectory_error import trajectory_error
from scenedino_ros.recordings.pose_source import PoseSource, find_poses
from scenedino_ros.recordings.poses import PoseTrack, read_tum_trajectory
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.trajectory_files import (
    read_trajectory,
    write_kitti_trajectory,
    write_tum_trajectory,
)
from scenedino_ros.recordings.transforms import inverse

PERIOD = 100_000_000
PAIR = RectifiedPair(CAMERA.K, BASELINE)
STEP_M, STEP_DEG = 0.01, 0.03  # what an error from frame to frame may be


def exact(frames: int) -> PoseTrack:
    """Return the poses of the left camera."""
    stamps = np.maximum(np.arange(frames) * PERIOD, 1)
    return PoseTrack(stamps, np.stack([T_world_cam(frame) for frame in range(frames)]))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    status = main(["poses", *map(str, words)])
    output = capsys.readouterr()
    return status, output.out + output.err


def test_a_drive_is_followed_within_a_centimetre_per_frame(tmp_path):
    folder = write_stereo_drive(tmp_path, 8)
    trajectory = stereo_trajectory(sequence_of_drive(read_kitti_drive(folder, poses="none")))
    errors = trajectory_error(trajectory.track(np.eye(4)), exact(8))
    assert len(errors.step_m) == 7
    assert errors.step_m.max() < STEP_M
    assert errors.step_deg.max() < STEP_DEG
    assert errors.drift_m.max() < STEP_M
    # The uncertainty is neither far too small nor meaningless.
    for frame in trajectory.measured:
        assert 0.0005 < frame.sigma_m < 0.02
        assert 0.002 < frame.sigma_deg < 0.06
        assert frame.inliers > 0.9 * frame.points
    assert abs(trajectory.offset_px) < 0.2


def test_the_uncertainty_is_that_of_the_noise():
    rng = np.random.default_rng(0)
    points = rng.uniform((-4, -2, 4), (4, 1.5, 30), (400, 3))
    T = inverse(T_world_cam(1))
    old, new = PAIR.positions(points), PAIR.positions(points @ T[:3, :3].T + T[:3, 3])
    shift, turn, sigma = [], [], []
    for _ in range(60):
        noisy = []
        for position in (old, new):
            left, right = rng.normal(0, 0.3, (2, len(points), 2))
            moved = position + np.column_stack([left, left[:, 0] - right[:, 0]])
            noisy.append(moved)
        motion = stereo_motion(PAIR, *noisy)
        assert motion is not None
        difference = motion.T_new_old @ inverse(T)
        shift.append(difference[:3, 3])
        turn.append(cv2.Rodrigues(difference[:3, :3])[0][:, 0])
        sigma.append((motion.sigma_m, np.radians(motion.sigma_deg)))
    found = [np.sqrt((np.square(errors)).sum(axis=1).mean()) for errors in (shift, turn)]
    assert np.mean(sigma, axis=0) == pytest.approx(found, rel=0.35)


def test_points_of_something_that_moves_are_no_part_of_the_motion():
    rng = np.random.default_rng(1)
    points = rng.uniform((-4, -2, 4), (4, 1.5, 30), (300, 3))
    T = inverse(T_world_cam(2))
    moved = points @ T[:3, :3].T + T[:3, 3]
    moved[:100, 0] += 0.8  # a bus that crosses
    new = PAIR.positions(moved)
    new[::3, 2] = np.nan  # not seen in the right image
    motion = stereo_motion(PAIR, PAIR.positions(points), new)
    assert motion is not None
    np.testing.assert_allclose(motion.T_new_old, T, atol=1e-6)
    assert motion.inliers[100:].all()
    assert motion.inliers[:100].sum() < 10


def test_a_wrong_calibration_is_noticed_and_can_be_corrected(tmp_path, capsys):
    folder = write_stereo_drive(tmp_path, 5)
    for path in (folder / "image_1").iterdir():
        shown = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.roll(shown, 1, axis=1))
    truth = tmp_path / "poses/00.txt"
    status, output = run(capsys, folder, "--compare", truth, "--report", tmp_path / "a.csv")
    assert status == 0
    assert "all disparities are" in output
    offsets = [float(row["offset_px"]) for row in rows_of(tmp_path / "a.csv")[1:]]
    assert np.median(offsets) == pytest.approx(1.0, abs=0.35)
    status, output = run(capsys, folder, "--compare", truth, "--disparity-offset", "1")
    assert status == 0
    assert "warning" not in output
    drive = read_kitti_drive(folder)
    wrong, right = (
        trajectory_error(
            stereo_trajectory(sequence_of_drive(drive), offset_px=px).track(np.eye(4)), exact(5)
        ).step_m.max()
        for px in (0.0, 1.0)
    )
    assert right < STEP_M < wrong


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_frame_that_shows_nothing_is_refused_and_the_drive_goes_on(tmp_path, capsys):
    folder = write_stereo_drive(tmp_path, 7, dark=(3,))
    (folder / "image_1/000005.png").unlink()
    out, report = tmp_path / "poses.tum", tmp_path / "report.csv"
    status, output = run(capsys, folder, "-o", out, "--report", report)
    assert status == 0
    assert "5 of 7 frames have a pose" in output
    assert "refused: frame 3: 0 points are followed, 20 are needed" in output
    assert "refused: frame 5: frame 5 has no image of camera_01" in output
    assert [int(row["posed"]) for row in rows_of(report)] == [1, 1, 1, 0, 1, 0, 1]
    track = read_tum_trajectory(out)
    assert track.stamps_ns.tolist() == [1, PERIOD, 2 * PERIOD, 4 * PERIOD, 6 * PERIOD]
    assert trajectory_error(track, exact(7)).step_m.max() < 2 * STEP_M


def test_a_camera_that_stands_still_does_not_drift():
    odometry = StereoOdometry(PAIR)
    for number in range(4):
        rng = np.random.default_rng(number)
        images = [
            (stereo_picture(0, x) + rng.normal(0, 2, (CAMERA.height, CAMERA.width)))
            .clip(0, 255)
            .astype(np.uint8)
            for x in (0.0, BASELINE)
        ]
        found = odometry.add(*images, number * PERIOD)
        assert found.T_world_cam is not None, found.reason
        np.testing.assert_allclose(found.T_world_cam, np.eye(4), atol=0.003)
        assert number == 0 or np.isnan(found.offset_px)
    exactly = [stereo_picture(0, x) for x in (0.0, BASELINE)]
    still = StereoOdometry(PAIR)
    still.add(*exactly, 0)
    again = still.add(*exactly, PERIOD)
    np.testing.assert_allclose(again.T_world_cam, np.eye(4), atol=1e-4)


def test_a_track_that_does_not_lead_back_is_none():
    points = find_points(stereo_picture(0, 0.0), stereo_picture(0, BASELINE))
    image = stereo_picture(1, 0.0).copy()
    half = CAMERA.width // 2
    image[:, :half] = np.random.default_rng(0).integers(0, 255, (CAMERA.height, half))
    moved = points.positions.copy()
    T = inverse(T_world_cam(1))
    expected = PAIR.positions(PAIR.points(moved) @ T[:3, :3].T + T[:3, 3])
    found = track_points(points, image, expected[:, :2])
    seen = ~np.isnan(found[:, 0])
    hidden = expected[:, 0] < half - 10
    assert hidden.sum() > 100
    assert seen[hidden].mean() < 0.1
    shown = (expected[:, 0] > half + 10) & (expected[:, 0] < CAMERA.width - 10)
    shown &= (expected[:, 1] > 10) & (expected[:, 1] < CAMERA.height - 10)
    assert seen[shown].mean() > 0.8
    errors = np.linalg.norm(found[shown & seen] - expected[shown & seen, :2], axis=1)
    assert np.median(errors) < 0.2


def test_parts_that_are_not_connected_are_not_joined():
    odometry, frames = StereoOdometry(PAIR), []
    black = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    for number in range(12):
        dark = 3 <= number < 9
        images = [black if dark else stereo_picture(number, x) for x in (0.0, BASELINE)]
        frames.append(odometry.add(*images, number * PERIOD))
    assert [frame.part for frame in frames if not frame.reason] == [1, 1, 1, 2, 2, 2]
    assert frames[8].reason == "0 points have a disparity, 20 are needed"


def test_two_views_of_different_places_are_refused():
    odometry = StereoOdometry(PAIR)
    images = [stereo_picture(0, x) for x in (0.0, BASELINE)]
    odometry.add(*images, 0)
    found = odometry.add(*(image[::-1].copy() for image in images), PERIOD)
    assert found.T_world_cam is None
    assert found.reason
    # The same images a microsecond later would be a motion too fast for anything.
    fast = odometry.add(*(stereo_picture(2, x) for x in (0.0, BASELINE)), 1000)
    assert "m/s, 100 m/s are allowed" in fast.reason


def test_cameras_that_are_not_parallel_are_rectified():
    T_left_right = np.eye(4)
    T_left_right[:3, :3], _ = cv2.Rodrigues(np.array([0.01, -0.03, 0.008]))
    T_left_right[:3, 3] = (BASELINE, 0.02, -0.01)
    camera = CalibratedCamera(CAMERA)
    rig = StereoRig(camera, camera, T_left_right)
    assert rig.pair.baseline == pytest.approx(np.linalg.norm(T_left_right[:3, 3]))
    odometry, poses = StereoOdometry(rig.pair), []
    for frame in range(3):
        T = T_world_cam(frame)
        images = (
            np.broadcast_to(picture(T @ T_cam)[..., None], (CAMERA.height, CAMERA.width, 3))
            for T_cam in (np.eye(4), T_left_right)
        )
        found = odometry.add(*rig.rectified(*images), frame * PERIOD).T_world_cam
        assert found is not None
        poses.append(found)
    track = PoseTrack(exact(3).stamps_ns, np.stack(poses)).of_frame(inverse(rig.T_left_rect))
    errors = trajectory_error(track, exact(3))
    assert errors.step_m.max() < STEP_M
    assert errors.step_deg.max() < STEP_DEG


@pytest.mark.parametrize(
    ("model", "D"),
    [("plumb_bob", (-0.2, 0.05, 0.001, 0.002, 0)), ("equidistant", (-0.1, 0.02, 0.0, 0.0))],
)
def test_lenses_are_undistorted(model, D):
    camera = CalibratedCamera(CAMERA, model, np.array(D))
    T_left_right = np.eye(4)
    T_left_right[0, 3] = BASELINE
    rig = StereoRig(camera, camera, T_left_right)
    ray = np.array([[[0.35, -0.12, 1.0]]])
    zero = np.zeros(3)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    (u, v) = project(ray, zero, zero, camera.K, np.array(D))[0].reshape(2)
    # A smooth blob where the lens shows the ray.
    y, x = np.mgrid[: CAMERA.height, : CAMERA.width]
    blob = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 18)
    rgb = np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2)
    left, _ = rig.rectified(rgb, rgb)
    weights = left.astype(float)
    centre = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
    expected = rig.pair.K @ (rig.T_left_rect[:3, :3].T @ ray[0, 0])
    np.testing.assert_allclose(centre, expected[:2] / expected[2], atol=0.25)


def test_a_recording_gets_its_poses_and_keeps_its_messages(tmp_path, capsys):
    folder = write_stereo_drive(tmp_path, 5)
    bag_from_drive(read_kitti_drive(folder, poses="none"), tmp_path / "bag")
    words = (tmp_path / "bag", "-o", tmp_path / "posed", "--format", "recording")
    assert run(capsys, *words)[0] == 0
    with BagReader(tmp_path / "bag") as old, BagReader(tmp_path / "posed") as new:
        for topic in old.topics:
            messages = [[m[:4] for m in bag.messages([topic], raw=True)] for bag in (old, new)]
            assert messages[0] == messages[1]
        assert new.topics["/tf"].count == 5
        times = [
            [m.time_ns for m in new.messages([topic])]
            for topic in ("/tf", "/camera_00/image_rect/compressed")
        ]
        assert times[0] == times[1]
        assert set(new.topics) == {*old.topics, "/tf"}
    with Recording(tmp_path / "posed") as recording:
        track, origin = find_poses(recording, PoseSource(), "base_link")
        T_base_left = recording.T_body_cam("camera_00", "base_link")
    assert origin == "transforms from base_link to map"
    errors = trajectory_error(track.of_frame(T_base_left), exact(5))
    assert errors.step_m.max() < STEP_M
    status, output = run(capsys, tmp_path / "posed", "--compare", "recorded")
    assert status == 0
    assert "compared with recorded: 4 steps" in output
    again = (tmp_path / "posed", "-o", tmp_path / "again", "--format", "recording")
    status, output = run(capsys, *again)
    assert status == 2
    assert "got a transform from 'base_link' to 'map'; write a file (--format tum)" in output
    assert not (tmp_path / "again").exists()


def test_a_recording_without_transforms_gets_those_of_its_cameras(tmp_path, capsys):
    cameras = [
        RecordedCamera(f"/rig/{name}", f"{name}_optical", CalibratedCamera(CAMERA))
        for name in ("left", "right")
    ]
    with DriveWriter(BagWriter(tmp_path / "bag"), cameras) as writer:
        for frame in range(3):
            for camera, x in zip(cameras, (0.0, BASELINE), strict=True):
                rgb = np.repeat(stereo_picture(frame, x)[..., None], 3, axis=2)
                writer.image(camera.topic, rgb, 7 * 10**9 + frame * PERIOD)
    bag, posed = tmp_path / "bag", tmp_path / "posed"
    status, output = run(capsys, bag, "-o", posed, "--format", "recording")
    assert status == 2
    assert "must be a transform from 'right_optical' to 'left_optical', or P[0, 3] < 0" in output
    words = (bag, "-o", posed, "--format", "recording", "--baseline", BASELINE)
    assert run(capsys, *words)[0] == 0
    with Recording(posed) as recording:
        assert recording.problems == []
        T_left, T_right = (
            recording.T_body_cam(f"rig/{name}", "base_link") for name in ("left", "right")
        )
        np.testing.assert_allclose(T_left[:3, :3] @ [0, 0, 1], (1, 0, 0), atol=1e-12)
        np.testing.assert_allclose(
            (inverse(T_left) @ T_right)[:3, 3], (BASELINE, 0, 0), atol=1e-12
        )
        track, _ = find_poses(recording, PoseSource(), "base_link")
    assert track.T_world_body[2][0, 3] == pytest.approx(0.8, abs=0.02)


def test_a_trajectory_goes_from_poses_to_a_recording(tmp_path):
    folder = write_stereo_drive(tmp_path / "kitti", 4)
    shutil.rmtree(tmp_path / "kitti/poses")
    ran = scenedino("poses", folder, "-o", tmp_path / "00.tum")
    assert ran.returncode == 0, ran.stderr
    assert "poses 4 of 4 frames" in ran.stderr
    words = ["kitti-to-bag", folder, "-o", tmp_path / "bags", "--poses", tmp_path / "00.tum"]
    assert main([*map(str, words)]) == 0
    with Recording(tmp_path / "bags/00") as recording:
        track, _ = find_poses(recording, PoseSource(), "base_link")
        T_base_left = recording.T_body_cam("camera_00", "base_link")
    assert trajectory_error(track.of_frame(T_base_left), exact(4)).step_m.max() < STEP_M


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "one of --output, --report and --compare is needed, got none"),
        ("-o kitti", "kitti exists already"),
        ("-o x --format recording", "--format recording needs a recording"),
        ("-o x --cameras camera_00", "a stereo pair has two cameras, got 1: camera_00"),
        ("-o x --cameras front,left", "there is no camera 'front'; known: camera_00, camera_01"),
        (
            "-o x --cameras camera_01,camera_00",
            "camera_01 and camera_00: the right camera of a stereo pair must be to the right",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    write_stereo_drive(Path("kitti"), 2)
    status, output = run(capsys, "kitti/sequences/00", *options.split())
    assert status == 2
    assert message in output
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("right", "x", "message"),
    [
        (CAMERA, 0.0, "must be 0.01 m apart or more, got 0 m"),
        (PinholeCamera.from_focal(99, 99, 50, 50, 100, 100), 0.5, "got 320 x 112 and 100 x 100"),
    ],
)
def test_other_cameras_are_no_stereo_pair(right, x, message):
    T_left_right = np.eye(4)
    T_left_right[0, 3] = x
    with pytest.raises(InputError, match=message):
        StereoRig(CalibratedCamera(CAMERA), CalibratedCamera(right), T_left_right)


def test_errors_of_trajectories_are_relative():
    stamps = np.arange(301) * PERIOD
    poses = np.tile(np.eye(4), (301, 1, 1))
    poses[:, 2, 3] = np.arange(301.0)
    reference = PoseTrack(stamps, poses)
    moved = PoseTrack(stamps, T_world_cam(5) @ poses)
    same = trajectory_error(moved, reference)
    assert max(same.step_m.max(), same.step_deg.max(), same.drift_m.max()) < 1e-6
    scaled = poses.copy()
    scaled[:, 2, 3] *= 1.01
    errors = trajectory_error(PoseTrack(stamps, scaled), reference)
    np.testing.assert_allclose(errors.step_m, 0.01)
    assert errors.drift_length == 100
    np.testing.assert_allclose(errors.drift_m, 1.0)
    turned = poses.copy()
    for frame in range(301):
        turned[frame, :3, :3], _ = cv2.Rodrigues(np.radians([0, 0, 0.02 * frame]))
    errors = trajectory_error(PoseTrack(stamps, turned), reference)
    np.testing.assert_allclose(errors.step_deg, 0.02, rtol=1e-6)
    np.testing.assert_allclose(errors.drift_deg, 2.0, rtol=1e-6)


@pytest.mark.parametrize("write_rows", ["tum", "kitti"])
def test_a_byte_order_mark_and_comments_are_no_poses(tmp_path, write_rows):
    track, path = exact(2), tmp_path / "poses.txt"
    if write_rows == "tum":
        write_tum_trajectory(path, track.stamps_ns.tolist(), track.T_world_body)
    else:
        write_kitti_trajectory(path, track.T_world_body)
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join(["\ufeff" + first, "# a comment", "", *others]))
    stamps = dict(enumerate(track.stamps_ns.tolist()))
    again = read_trajectory(path, stamps)
    np.testing.assert_allclose(again.T_world_body, track.T_world_body, atol=1e-8)
    path.write_text("\n".join(["\ufeff  # a comment of many words", first, *others]))
    assert len(read_trajectory(path, stamps)) == 2


def test_trajectories_are_read_as_they_were_written(tmp_path):
    track = exact(5)
    stamps = track.stamps_ns + 1_403_636_579_763_555_584
    write_tum_trajectory(tmp_path / "a", stamps.tolist(), track.T_world_body)
    write_kitti_trajectory(tmp_path / "b", track.T_world_body)
    for name in "ab":
        again = read_trajectory(tmp_path / name, dict(enumerate(stamps.tolist())))
        assert again.stamps_ns.tolist() == stamps.tolist()
        np.testing.assert_allclose(again.T_world_body, track.T_world_body, atol=1e-8)
