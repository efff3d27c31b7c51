# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Poses over time: exact between samples, refused in gaps, and read from every kind of file."""

import numpy as np
import pytest

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.poses import (
    PoseTrack,
    pose_jumps,
    read_numbered_poses,
    read_tum_trajectory,
)
from scenedino_ros.recordings.transforms import inverse, matrix_from_rotation

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def turned(angle: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Return a pose turned about z by an angle in radians."""
    return matrix_from_rotation((x, y, 0.0), (0, 0, np.sin(angle / 2), np.cos(angle / 2)))


def straight(n: int, step: float = 0.8, period: int = SECOND // 10) -> tuple[np.ndarray, ...]:
    """Return stamps and poses of a drive along x."""
    return START + period * np.arange(n), np.stack([turned(0, step * i) for i in range(n)])


def test_positions_are_linear_and_rotations_spherical():
    track = PoseTrack([START, START + SECOND // 5], np.stack([turned(0.2), turned(1.0, 2, -4)]))
    assert len(track) == 2
    np.testing.assert_allclose(track.at(START + SECOND // 20), turned(0.4, 0.5, -1), atol=1e-12)
    np.testing.assert_array_equal(track.at(START + SECOND // 5), track.T_world_body[1])


def test_interpolated_poses_are_rigid_and_take_the_shorter_way():
    rng = np.random.default_rng(3)
    turns = rng.normal(size=(6, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    poses = np.stack([matrix_from_rotation(rng.normal(size=3), q) for q in turns])
    track = PoseTrack(np.arange(1, 7) * SECOND // 10, poses)
    for stamp in np.linspace(SECOND // 10, 6 * SECOND // 10, 41).astype(int):
        R = track.at(int(stamp))[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    half = PoseTrack([1, 101], np.stack([turned(3.0), turned(-3.0)])).at(51)
    np.testing.assert_allclose(half, turned(np.pi), atol=1e-12)


def test_times_outside_and_gaps_are_refused():
    stamps, poses = straight(10)
    keep = [0, 1, 2, 3, 7, 8, 9]
    track = PoseTrack(stamps[keep], poses[keep])
    with pytest.raises(InputError, match=r"are 0\.400 s apart, and may be 0\.300 s apart at most"):
        track.at(int(stamps[5]))
    with pytest.raises(InputError, match=r"poses begin at 1700000000\.000 s, 0\.500 s after"):
        track.at(START - SECOND // 2)
    with pytest.raises(InputError, match=r"poses end at 1700000000\.900 s, 0\.100 s before"):
        track.at(START + SECOND)
    np.testing.assert_array_equal(track.at(int(stamps[7])), poses[7])  # beside a gap
    wider = PoseTrack(stamps[keep], poses[keep], max_gap_s=0.4)
    np.testing.assert_allclose(wider.at(int(stamps[5])), poses[5], atol=1e-12)


@pytest.mark.parametrize(
    ("stamps", "poses", "message"),
    [
        ([], np.zeros((0, 4, 4)), "at least one pose"),
        ([1, 2], np.eye(4)[None], r"poses must be \(2, 4, 4\)"),
        ([2, 2], np.stack([np.eye(4)] * 2), "times of poses must ascend, got 2 ns after 2 ns"),
        ([1], np.diag([2.0, 1, 1, 1])[None], "must be rigid"),
    ],
)
def test_what_is_no_track_is_refused(stamps, poses, message):
    with pytest.raises(InputError, match=message):
        PoseTrack(stamps, poses)
    with pytest.raises(InputError, match="longest gap between poses must be > 0 s"):
        PoseTrack([1], np.eye(4)[None], max_gap_s=0)


def test_poses_of_a_frame_on_the_body():
    stamps, poses = straight(3)
    T_body_frame = turned(0.3, 1.5, 0.2)
    track = PoseTrack(stamps, poses, max_gap_s=2).of_frame(T_body_frame)
    np.testing.assert_allclose(track.at(int(stamps[2])), poses[2] @ T_body_frame)
    assert track.max_gap_ns == 2 * SECOND


def test_jumps_are_found_and_nothing_else():
    stamps, poses = straight(60)
    assert not pose_jumps(stamps, poses).any()
    poses[20:, 1, 3] += 10.4  # a relocalisation between frames 19 and 20
    np.testing.assert_array_equal(np.flatnonzero(pose_jumps(stamps, poses)), [19])
    keep = np.r_[0:30, 35:60]  # missing frames make a long step, but no jump
    np.testing.assert_array_equal(np.flatnonzero(pose_jumps(stamps[keep], poses[keep])), [19])


def test_jumps_are_judged_by_the_speed_around_them():
    stamps, _ = straight(80)
    position = np.cumsum(np.r_[0, np.full(39, 0.1), np.full(40, 1.2)])  # slow, then fast
    poses = np.stack([turned(0, x) for x in position])
    slow, fast = poses.copy(), poses.copy()
    slow[10:, 1, 3] += 1.5
    fast[70:, 1, 3] += 1.5
    assert pose_jumps(stamps, slow)[9]
    assert not pose_jumps(stamps, fast)[69]


def test_setting_off_is_no_jump():
    stamps, _ = straight(60)
    position = np.cumsum(np.r_[np.zeros(40), np.full(20, 0.2)])  # 2 m/s
    assert not pose_jumps(stamps, np.stack([turned(0, x) for x in position])).any()


def test_standing_still_with_noise_is_no_jump():
    stamps, poses = straight(40, step=0.0)
    poses[:, :2, 3] += np.random.default_rng(0).normal(0, 0.01, (40, 2))
    assert not pose_jumps(stamps, poses).any()
    assert pose_jumps(stamps[:1], poses[:1]).shape == (0,)


def test_pose_files_with_frame_numbers(tmp_path):
    path = tmp_path / "poses.txt"
    poses = {n: turned(0.1 * n, n) for n in (4391, 4392, 4395)}
    path.write_text(
        "\n".join(
            f"{n} " + " ".join(map(repr, T[:3].reshape(-1).tolist())) for n, T in poses.items()
        )
    )
    stamps = {n: START + n * SECOND // 10 for n in range(4390, 4396)}
    track = read_numbered_poses(path, stamps)
    assert track.stamps_ns.tolist() == [stamps[n] for n in poses]
    np.testing.assert_array_equal(track.T_world_body[2], poses[4395])
    np.testing.assert_allclose(track.at(stamps[4394])[0, 3], 4394, atol=1e-9)
    with pytest.raises(InputError, match=r"poses of frames 0 to 31, got those of 4391 to 4395"):
        read_numbered_poses(path, dict.fromkeys(range(32), 1))
    path.write_text("1 2 3")
    with pytest.raises(InputError, match="expected a frame number and 12 or 16 numbers"):
        read_numbered_poses(path, stamps)


def test_tum_trajectories_keep_every_nanosecond(tmp_path):
    path = tmp_path / "trajectory.txt"
    path.write_text(
        "# time x y z qx qy qz qw\n"
        "1403636580.838555649 1 2 3 0 0 0 1\n\n"
        "1403636580.938555651 1.5 2 3 0 0 0.7071067811865476 0.7071067811865476\n"
    )
    track = read_tum_trajectory(path)
    assert track.stamps_ns.tolist() == [1403636580838555649, 1403636580938555651]
    np.testing.assert_allclose(track.T_world_body[1][:3, 3], (1.5, 2, 3))
    np.testing.assert_allclose(
        track.T_world_body[1][:3, :3], turned(np.pi / 2)[:3, :3], atol=1e-12
    )
    path.write_text("1403636580838555648.000000 1 2 3 0 0 0 1\n")  # as ORB-SLAM3 writes it
    assert read_tum_trajectory(path).stamps_ns.tolist() == [1403636580838555648]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# nothing\n", "holds no poses"),
        ("1 2 3\n", "line 1: expected time x y z qx qy qz qw, got 3 values"),
        ("1 0 0 0 0 0 0 2\n", "line 1: expected a quaternion of length 1"),
        ("soon 0 0 0 0 0 0 1\n", "line 1"),
        ("nan 0 0 0 0 0 0 1\n", "line 1"),
        ("2 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1\n", "times of poses must ascend"),
    ],
)
def test_broken_trajectories_are_refused(tmp_path, content, message):
    path = tmp_path / "trajectory.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_tum_trajectory(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_tum_trajectory(tmp_path / "none.txt")


def test_a_moved_frame_and_its_inverse_cancel():
    stamps, poses = straight(4)
    T = turned(0.7, 0.3, -1)
    back = PoseTrack(stamps, poses).of_frame(T).of_frame(inverse(T))
    np.testing.assert_allclose(back.T_world_body, poses, atol=1e-12)
