# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The demo: stamps, choice of topics, real processes over DDS, and a whole run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from models import lively_checkpoint

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.from_msg import stamp_ns
from scenedino_ros.checkpoints.checkpoint import save_checkpoint
from scenedino_ros.core.errors import BagError, InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.demo.arguments import make_parser
from scenedino_ros.demo.domains import reserve_domain
from scenedino_ros.demo.drives import find_drive
from scenedino_ros.demo.folders import new_run_folder, point_latest_to, shipped_file
from scenedino_ros.demo.map_frames import MapFrames, find_map_frames
from scenedino_ros.demo.map_recording import map_moments, map_stamps
from scenedino_ros.demo.play_clock import PlayClock, PlayedTransforms, needed_from
from scenedino_ros.demo.processes import (
    Child,
    ProcessError,
    child_environment,
)
from scenedino_ros.demo.recording import (
    Measurements,
    classes_of_cloud,
    frames,
    measure,
    voxels_from_cloud,
)
from scenedino_ros.demo.report import Report, write_report
from scenedino_ros.demo.settings import (
    PlayerSettings,
    PlayResult,
    Progress,
    RecorderSettings,
    read_settings,
    write_settings,
)
from scenedino_ros.demo.sources import GROUND_HEIGHT, make_drive
from scenedino_ros.demo.stamps import header_frame, header_stamp_ns, restamped
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms, transforms_from_cdr
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.recordings.transforms import StampedTransform
from scenedino_ros.streets.rig import BASE_HEIGHT

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 120.0  # seconds that a loaded machine may take for anything
WIDTH, HEIGHT = 160, 64
SECOND = 1_000_000_000
CAMERA = CalibratedCamera(PinholeCamera.from_focal(80, 80, 79.5, 31.5, WIDTH, HEIGHT))
CAMERA_IN_BASE = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def write_drive(
    path: Path, count: int, period_ns: int = SECOND // 10, *, ends_with_pose: bool = False
) -> None:
    """Record images every period, with transforms before, at and between their stamps."""
    with DriveWriter(BagWriter(path), [RecordedCamera("/cam", "cam", CAMERA)]) as writer:
        writer.static_transforms({("base_link", "cam"): CAMERA_IN_BASE}, SECOND)
        for i in range(count):
            ns = SECOND + i * period_ns
            writer.transforms({("map", "base_link"): pose_at(ns)}, ns - period_ns // 3)
            writer.image("/cam", picture(i), ns)
        if ends_with_pose:
            writer.transforms({("map", "base_link"): pose_at(ns)}, ns + period_ns)


def pose_at(ns: int) -> np.ndarray:
    T = np.eye(4)
    T[0, 3] = ns / SECOND
    return T


# --- stamps -------------------------------------------------------------------------------------


def recorded_messages(tmp_path, count=2):
    write_drive(tmp_path / "drive", count)
    with BagReader(tmp_path / "drive") as reader:
        return list(reader.messages(raw=True))


def test_restamping_changes_the_stamp_and_nothing_else(tmp_path):
    for message in recorded_messages(tmp_path):
        if message.topic in ("/tf", "/tf_static"):
            continue
        assert header_stamp_ns(message.message) == message.time_ns
        assert header_frame(message.message) == "cam"
        moved = restamped(message.message, 1_700_000_000_123_456_789)
        assert header_stamp_ns(moved) == 1_700_000_000_123_456_789
        assert restamped(moved, message.time_ns) == message.message


def test_big_endian_messages_are_restamped():
    data = b"\x00\x00\x00\x00" + (5).to_bytes(4, "big") + (7).to_bytes(4, "big") + b"rest"
    assert header_stamp_ns(data) == 5 * SECOND + 7
    assert restamped(data, 9 * SECOND + 1)[4:12].hex() == "0000000900000001"
    assert restamped(data, 9 * SECOND + 1)[12:] == b"rest"


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x00\x00\x01", b"\x01\x01" + bytes(20)])
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(InputError, match="header"):
        header_stamp_ns(data)


def test_play_clock_keeps_distances_and_jumps_only_when_told():
    clock = PlayClock(1.0)
    clock.meet(10 * SECOND, 1000 * SECOND)
    assert clock.play_ns(10 * SECOND + 5) == 1000 * SECOND + 5
    assert clock.play_ns(9 * SECOND) == 999 * SECOND
    clock.meet(11 * SECOND, 1010 * SECOND)
    assert clock.play_ns(12 * SECOND) == 1011 * SECOND
    slow = PlayClock(4.0)
    slow.meet(0, 0)
    assert slow.play_ns(SECOND) == 4 * SECOND


def transform_at(ns: int, child: str = "base") -> StampedTransform:
    return StampedTransform("map", child, ns, (ns / SECOND, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def test_needed_transforms_are_the_last_before_of_each_frame_and_all_later_ones():
    a = [transform_at(ns, "a") for ns in (1, 3, 5, 7)]
    b = [transform_at(ns, "b") for ns in (2, 9)]
    assert needed_from([*reversed(a), *b], 5) == [b[0], a[2], a[3], b[1]]
    assert needed_from(a, 0) == a
    assert needed_from([], 5) == []


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("delay_ms", [0, 7, 30, 64])
def test_images_find_their_exact_pose_whatever_the_pauses(scale, delay_ms):
    """Transforms at 100 Hz, images at 10 Hz that were recorded after a delay, random pauses."""
    rng = np.random.default_rng(0)
    delay = delay_ms * 1_000_000
    recorded = [(ns, "tf", ns) for ns in range(0, 3 * SECOND, SECOND // 100)]
    stamps = range(SECOND // 20 + 1234, 5 * SECOND // 2, SECOND // 10)
    recorded += [(ns + delay, "image", ns) for ns in stamps]
    clock = PlayClock(scale)
    transforms = PlayedTransforms(clock)
    tree = TransformTree(horizon=1e6)
    played, now, running = [], 1000 * SECOND, False
    for _, kind, ns in sorted(recorded):
        if kind == "tf":
            data = cdr_from_transforms([transform_at(ns)])
            if not running:
                transforms.remember(data)
                continue
            published = transforms.played(data)
        else:
            now = max(now, clock.play_ns(ns)) if running else now
            if not running or rng.random() < 0.5:
                now += int(rng.choice([1, 12, 150]) * 1_000_000)
                now = max(now, transforms.earliest_restart(ns))
                clock.meet(ns, now)
                published = transforms.again(ns)
                running = True
            else:
                published = b""
            transforms.trim(ns)
            played.append((ns, clock.play_ns(ns)))
        for transform in transforms_from_cdr(published) if published else ():
            tree.add(transform)
    assert len(played) == 25
    for ns, play_ns in played:
        x = tree.lookup("map", "base", play_ns)[0, 3]
        assert x == pytest.approx(ns / SECOND, abs=1e-6)


# --- choice of topics ---------------------------------------------------------------------------


def bag_with(path: Path, topics: dict[str, str]) -> Path:
    """Write a recording with one empty message on each topic."""
    with BagWriter(path) as writer:
        for name, kind in topics.items():
            writer.add_topic(name, f"sensor_msgs/msg/{kind}")
            writer.write(name, SECOND, bytes([0, 1, 0, 0]) + bytes(64))
    return path


def test_the_only_camera_is_found(tmp_path):
    write_drive(tmp_path / "drive", 5)
    drive = find_drive(tmp_path / "drive")
    assert drive.image_topic == "/cam/image_rect/compressed"
    assert drive.info_topic == "/cam/camera_info"
    assert (drive.compressed, drive.rectified, drive.images) == (True, True, 5)
    assert drive.rate_hz == pytest.approx(10.0)
    assert find_drive(tmp_path / "drive", rectified=False).rectified is False


def test_compressed_images_are_preferred_to_the_same_raw_ones(tmp_path):
    topics = {
        "/cam/image_raw": "Image",
        "/cam/image_raw/compressed": "CompressedImage",
        "/cam/camera_info": "CameraInfo",
    }
    drive = find_drive(bag_with(tmp_path / "bag", topics))
    assert (drive.image_topic, drive.compressed) == ("/cam/image_raw/compressed", True)
    assert drive.rectified is False
    raw = find_drive(tmp_path / "bag", image_topic="/cam/image_raw")
    assert (raw.image_topic, raw.compressed) == ("/cam/image_raw", False)


def test_a_single_camera_info_elsewhere_is_taken(tmp_path):
    topics = {"/a/image_raw": "Image", "/b/info": "CameraInfo"}
    assert find_drive(bag_with(tmp_path / "bag", topics)).info_topic == "/b/info"


@pytest.mark.parametrize(
    ("topics", "arguments", "message"),
    [
        ({"/a/image": "Image", "/b/image": "Image"}, {}, "several image topics.*/a/image, /b/im"),
        ({"/a/camera_info": "CameraInfo"}, {}, "has no images"),
        ({"/a/image": "Image"}, {}, "no CameraInfo beside"),
        ({"/a/image": "Image"}, {"image_topic": "/b"}, "no images on '/b'"),
        ({"/a/image": "Image"}, {"info_topic": "/b"}, "no CameraInfo on '/b'"),
        (
            {"/a/image": "Image", "/b/i": "CameraInfo", "/c/i": "CameraInfo"},
            {},
            "choose with --camera-info-topic from /b/i, /c/i",
        ),
    ],
)
def test_topics_that_cannot_be_told_are_named(tmp_path, topics, arguments, message):
    bag = bag_with(tmp_path / "bag", topics)
    with pytest.raises(InputError, match=message):
        find_drive(bag, **arguments)


def test_a_recording_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BagError, match="no recording"):
        find_drive(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-topic", "/x"], "need --bag"),
        (["--intrinsics", "1,1,1,1"], "need --images or --bag"),
        (["--images", "{folder}"], "no images"),
        (["--kitti360", "{folder}"], "needs images"),
        (["--dgp", "{folder}"], "needs one file"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    words = [word.format(folder=tmp_path / "empty") for word in arguments]
    with pytest.raises(InputError, match=message):
        make_drive(make_parser().parse_args(words), tmp_path, lambda *_: None)


STATIC = [("base_link", "cam")]


@pytest.mark.parametrize(
    ("moving", "static", "frames"),
    [
        ([("map", "base_link")], STATIC, ("map", "base_link")),
        ([("map", "odom"), ("odom", "base_link")], STATIC, ("odom", "base_link")),
        ([("world", "rig"), ("rig", "gimbal")], [("gimbal", "cam")], ("world", "gimbal")),
        (
            [("earth", "/odom"), ("odom", "/base_link"), ("base_link", "arm")],
            [("arm", "cam")],
            ("odom", "base_link"),
        ),
        ([("map", "cam")], [], ("map", "cam")),
        ([], STATIC, None),
        ([("map", "other")], STATIC, None),
        ([("cam", "base_link")], STATIC, None),
        ([], [], None),
    ],
)
def test_the_map_lies_in_the_fixed_frame_and_moves_with_the_robot(
    tmp_path, moving, static, frames
):
    with BagWriter(tmp_path / "bag") as writer:
        for topic, pairs in (("/tf", moving), ("/tf_static", static)):
            if pairs:
                writer.add_topic(topic, "tf2_msgs/msg/TFMessage")
                transforms = [transform_at(SECOND)._replace(parent=a, child=b) for a, b in pairs]
                writer.write(topic, SECOND, cdr_from_transforms(transforms))
    with BagReader(tmp_path / "bag") as reader:
        assert find_map_frames(reader, "cam") == frames


def test_the_ground_is_where_the_synthetic_car_stands():
    assert GROUND_HEIGHT == -BASE_HEIGHT


# --- folders ------------------------------------------------------------------------------------


def test_every_run_has_its_own_folder_and_latest_follows(tmp_path):
    first = new_run_folder(tmp_path / "out")
    point_latest_to(first)
    second = new_run_folder(tmp_path / "out")
    assert (first.name, second.name) == ("run_001", "run_002")
    assert (tmp_path / "out/latest").resolve() == first
    point_latest_to(second)
    assert (tmp_path / "out/latest").resolve() == second
    first.rmdir()
    assert new_run_folder(tmp_path / "out").name == "run_003"


def test_something_of_the_users_called_latest_is_left_alone(tmp_path):
    (tmp_path / "latest").mkdir()
    point_latest_to(new_run_folder(tmp_path))
    assert not (tmp_path / "latest").is_symlink()


def test_an_output_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be used"):
        new_run_folder(tmp_path / "file")


# --- recording and report -----------------------------------------------------------------------


def test_a_cloud_becomes_the_voxels_it_was_made_from():
    to_msg = pytest.importorskip("scenedino_ros.node.to_msg")
    header_type = pytest.importorskip("std_msgs.msg").Header
    rng = np.random.default_rng(0)
    grid = VoxelGrid((-3.0, 1.0, 0.5), (30, 20, 10), 0.2)
    index = np.sort(rng.choice(grid.size, 500, replace=False))
    voxels = SemanticVoxels(
        grid,
        index,
        rng.integers(0, 19, 500).astype(np.uint8),
        rng.random(500).astype(np.float32),
        rng.random(500).astype(np.float32),
    )
    cloud = to_msg.cloud_from_voxels(voxels, CITYSCAPES19, header_type())
    again = voxels_from_cloud(cloud, grid)
    for name in ("index", "label", "confidence", "density"):
        np.testing.assert_array_equal(getattr(again, name), getattr(voxels, name))
    assert classes_of_cloud(cloud) is CITYSCAPES19
    with pytest.raises(InputError, match="outside the grid"):
        voxels_from_cloud(cloud, VoxelGrid(grid.origin, (5, 5, 5), 0.2))


def test_an_empty_cloud_has_no_voxels():
    to_msg = pytest.importorskip("scenedino_ros.node.to_msg")
    header_type = pytest.importorskip("std_msgs.msg").Header
    grid = VoxelGrid((0.0, 0.0, 0.0), (3, 3, 3), 1.0)
    none = np.zeros(0)
    empty = SemanticVoxels(
        grid,
        none.astype(np.int64),
        none.astype(np.uint8),
        none.astype(np.float32),
        none.astype(np.float32),
    )
    cloud = to_msg.cloud_from_voxels(empty, CITYSCAPES19, header_type())
    assert len(voxels_from_cloud(cloud, grid)) == 0
    assert classes_of_cloud(cloud) is CITYSCAPES19


def some_measurements() -> Measurements:
    return Measurements(
        counts={"/scenedino/voxels": 3, "/cam/image": 5},
        arrival_ms={"/scenedino/voxels": [10.0, 20.0, 30.0]},
        cloud_stamps=[1, 2, 3],
        image_stamps=[1, 2, 3, 4, 5],
        seconds=1.5,
        reports={
            "frames": {
                "images in": "5",
                "images out": "3",
                "dropped: replaced by a newer image": "2",
                "dropped: bad image": "0",
            },
            "latency": {"encode p50 [ms]": "12.50", "encode p95 [ms]": "20.00", "message": "x"},
            "network": {
                "weights": "untrained weights, seed 0",
                "untrained weights": "true",
                "device": "cpu",
            },
        },
    )


def test_the_report_holds_what_was_measured(tmp_path):
    played = PlayResult(sent=5, seconds=2.5, pauses=0, paused_seconds=0.0, unanswered=0)
    report = Report(
        facts={"drive": "a | b"},
        measured=some_measurements(),
        played=played,
        realtime=True,
        problems=["something"],
        files={"recording": "recording"},
    )
    write_report(report, tmp_path)
    values = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert values["images"]["played"] == 5
    assert values["images"]["processed"] == 3
    assert values["drops"] == {"replaced by a newer image": 2}
    assert values["rate_hz"]["images_out"] == pytest.approx(2.0)
    assert values["latency_ms"] == {"encode": {"p50": 12.5, "p95": 20.0}}
    arrival = values["stamp_to_arrival_ms"]["/scenedino/voxels"]
    assert arrival == {"p50": 20.0, "p95": pytest.approx(29.0), "max": 30.0}
    assert values["untrained_weights"] is True
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "untrained weights" in text
    assert "| drive | a \\| b |" in text
    assert "| encode | 12.5 | 20.0 | nan |" in text
    assert "- something" in text


# --- processes ----------------------------------------------------------------------------------


def child_of(tmp_path: Path, name: str, code: str) -> Child:
    (tmp_path / f"{name}_module.py").write_text(textwrap.dedent(code), encoding="utf-8")
    env = child_environment(reserve_domain(), None)
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    return Child(name, f"{name}_module", [], tmp_path / f"{name}.log", env)


def test_a_death_is_reported_with_the_last_words(tmp_path):
    child = child_of(tmp_path, "thing", "print('first')\nraise SystemExit('out of luck')")
    assert child.wait(DEADLINE)
    with pytest.raises(ProcessError, match="the thing ended .exit code 1.*\n.*first\n.*luck"):
        child.check()
    assert child.stop(1.0)


def test_a_child_that_does_not_end_is_killed(tmp_path):
    code = """
        import signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(1000)
    """
    child = child_of(tmp_path, "deaf", code)
    end = time.monotonic() + DEADLINE
    while child.last_lines() != ["deaf"] and time.monotonic() < end:
        time.sleep(0.02)
    child.check()
    assert not child.stop(0.3)
    assert child.returncode == -signal.SIGKILL


# Stands in for the node: answers each image after a while with a message on the last of its
# topics, and writes down when it was idle.
STAND_IN = """
    import sys, time
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CompressedImage, Image, PointCloud2
    from scenedino_ros.node.interrupt import Interrupt
    from rclpy.signals import SignalHandlerOptions

    interrupt = Interrupt()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("scenedino")
    clouds = node.create_publisher(PointCloud2, "/scenedino/voxels", 2)
    views = node.create_publisher(Image, "/scenedino/features/image", 2)

    def answer(message):
        print("got", message.header.stamp.sec * 10**9 + message.header.stamp.nanosec, flush=True)
        time.sleep(0.15)
        clouds.publish(PointCloud2(header=message.header))
        done = time.time_ns()
        views.publish(Image(header=message.header))
        print("done", done, flush=True)

    quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(CompressedImage, "/cam/image_rect/compressed", answer, quality)
    while not interrupt.requested:
        rclpy.spin_once(node, timeout_sec=0.05)
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Play four images twice through a stand-in for the node, waiting for its answers."""
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    folder = tmp_path_factory.mktemp("played")
    write_drive(folder / "prompt", 4, period_ns=SECOND // 20)
    with BagReader(folder / "prompt") as reader, BagWriter(folder / "drive") as writer:
        for topic in reader.topics.values():
            writer.add_topic(topic.name, topic.type, topic.qos)
        for message in reader.messages(raw=True):  # cameras take time: recorded after the stamp
            late = 0 if message.topic.startswith("/tf") else SECOND // 25
            writer.write(message.topic, message.time_ns + late, message.message)
    topics = ("/cam/image_rect/compressed", "/cam/camera_info", "/tf", "/tf_static")
    recorder_settings = RecorderSettings(str(folder / "recording"), ("/scenedino/",), topics)
    player_settings = PlayerSettings(
        bag=str(folder / "drive"),
        image_topic=topics[0],
        info_topic=topics[1],
        info_file="",
        compressed=True,
        rate_hz=0.0,
        frames=7,
        loops=2,
        wait=True,
        done_topic="/scenedino/features/image",
        done_type="sensor_msgs/msg/Image",
        recorded=(),
        progress=str(folder / "progress.json"),
        result=str(folder / "result.json"),
    )
    write_settings(folder / "recorder.json", recorder_settings)
    write_settings(folder / "player.json", player_settings)
    env = child_environment(reserve_domain(), shipped_file("fastdds.xml"))
    env["PYTHONPATH"] = os.pathsep.join([str(folder), env["PYTHONPATH"]])
    (folder / "stand_in.py").write_text(textwrap.dedent(STAND_IN), encoding="utf-8")
    children = [
        Child("node", "stand_in", [], folder / "node.log", env),
        Child(
            "recorder",
            "scenedino_ros.demo.recorder",
            [str(folder / "recorder.json")],
            folder / "recorder.log",
            env,
        ),
        Child(
            "player",
            "scenedino_ros.demo.player",
            [str(folder / "player.json")],
            folder / "player.log",
            env,
        ),
    ]
    player_ended = children[2].wait(DEADLINE)
    said = {child.name: child.last_lines(100) for child in children}
    willing = [child.stop(DEADLINE) for child in reversed(children)]
    assert player_ended, said
    assert all(willing), said
    assert [child.returncode for child in children] == [0, 0, 0], said
    result = read_settings(folder / "result.json", PlayResult)
    return SimpleNamespace(folder=folder, said=said, result=result)


def test_every_image_is_played_answered_and_recorded(played):
    assert played.result.sent == 7
    assert played.result.unanswered == 0
    measured = measure(played.folder / "recording", "/cam/image_rect/compressed")
    assert len(measured.image_stamps) == 7
    assert measured.cloud_stamps == measured.image_stamps
    assert measured.counts["/cam/camera_info"] == 7
    assert measured.counts["/tf_static"] == 2  # once per time that the drive is played
    assert measured.problems == []
    assert min(measured.arrival_ms["/scenedino/voxels"]) >= 150
    progress = read_settings(played.folder / "progress.json", Progress)
    assert (progress.sent, progress.total) == (7, 7)


def test_no_image_is_played_before_the_last_one_is_done(played):
    got = [int(line.split()[1]) for line in played.said["node"] if line.startswith("got")]
    done = [int(line.split()[1]) for line in played.said["node"] if line.startswith("done")]
    assert len(got) == len(done) == 7
    # Stamps are the times of publishing, so each comes after the answer to the image before.
    assert all(stamp > answer for stamp, answer in zip(got[1:], done[:-1], strict=True))
    assert played.result.pauses == 5  # not counted: the beginnings of the two loops


def test_images_are_the_recorded_ones_with_their_calibration(played):
    with BagReader(played.folder / "recording") as reader:
        images = [m.message for m in reader.messages(["/cam/image_rect/compressed"])]
        infos = [m.message for m in reader.messages(["/cam/camera_info"])]
    for i, (image, info) in enumerate(zip(images, infos, strict=True)):
        assert stamp_ns(image.header) == stamp_ns(info.header)
        assert image.header.frame_id == info.header.frame_id == "cam"
        rgb = cv2.imdecode(np.asarray(image.data), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(rgb, picture(i % 4))
        np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), CAMERA.pinhole.K)


def test_poses_fit_the_images_across_pauses(played):
    """At each image's stamp, the played transforms give the pose that the drive has there."""
    stamps = measure(played.folder / "recording", "/cam/image_rect/compressed").image_stamps
    moving: list[StampedTransform] = []
    with BagReader(played.folder / "recording") as reader:
        for message in reader.messages(["/tf"], raw=True):
            moving += transforms_from_cdr(message.message)
    moving.sort(key=lambda transform: transform.stamp_ns)
    times = np.array([transform.stamp_ns for transform in moving])
    x = [transform.translation[0] for transform in moving]
    period = SECOND // 20
    for i in (0, 1, 2, 4, 5):  # after the last image of a loop there is no further transform
        recorded = SECOND + (i % 4) * period
        after = np.searchsorted(times, stamps[i])
        span = times[after] - times[after - 1]
        assert span == pytest.approx(period, abs=10)
        fraction = (stamps[i] - times[after - 1]) / span
        here = x[after - 1] + fraction * (x[after] - x[after - 1])
        # The pose stamped a third of a period before an image is that of the image's stamp.
        assert here == pytest.approx((recorded + period / 3) / SECOND, abs=1e-6)


def test_frames_are_put_together_from_the_recording(played):
    recording = played.folder / "recording"
    stamps = measure(recording, "/cam/image_rect/compressed").image_stamps
    found = list(
        frames(
            recording,
            "/cam/image_rect/compressed",
            "/cam/camera_info",
            {stamps[1], stamps[5]},
            rectified=True,
        )
    )
    assert [frame.stamp_ns for frame in found] == [stamps[1], stamps[5]]
    for frame, number in zip(found, (1, 1), strict=True):
        np.testing.assert_array_equal(frame.rgb, picture(number))
        np.testing.assert_array_equal(frame.camera.K, CAMERA.pinhole.K)
        assert frame.cloud is not None
        assert frame.depth is None


# --- the whole demo -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder with images and a checkpoint of a very small network."""
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    folder = tmp_path_factory.mktemp("material")
    (folder / "images").mkdir()
    for number in range(3):
        path = folder / "images" / f"{number:04d}.png"
        cv2.imwrite(str(path), picture(number)[..., ::-1])
    save_checkpoint(folder / "tiny.safetensors", lively_checkpoint())
    return folder


def start_demo(
    material: Path, output: Path, *arguments: str, bag: Path | None = None
) -> subprocess.Popen:
    """Play a recording or, without one, the images of the material."""
    command = [sys.executable, "-m", "scenedino_ros.demo", "--output", str(output)]
    if bag:
        command += ["--bag", str(bag)]
    else:
        command += ["--images", str(material / "images"), "--intrinsics", "80,80,79.5,31.5"]
    return subprocess.Popen(
        [*command, "--device", "cpu", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.ros
@pytest.mark.slow
def test_a_run_leaves_everything_in_its_folder(material, tmp_path):
    write_drive(tmp_path / "drive", 3, ends_with_pose=True)
    options = ("--checkpoint", str(material / "tiny.safetensors"), "--pictures", "2")
    demo = start_demo(material, tmp_path / "out", *options, bag=tmp_path / "drive")
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 0, out + errors
    run = tmp_path / "out" / "latest"
    assert run.resolve().name == "run_001"
    values = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert values["problems"] == []
    assert values["images"] == {
        "played": 3,
        "recorded": 3,
        "arrived_at_node": 3,
        "processed": 3,
        "clouds_recorded": 3,
    }
    assert values["drops"] == {}
    stages = {"encode", "voxels", "render", "map", "map messages", "stamp to publish"}
    assert stages <= set(values["latency_ms"])
    stamp_to_publish = values["latency_ms"]["stamp to publish"]
    assert 0 < stamp_to_publish["p50"] <= stamp_to_publish["p95"]
    assert values["untrained_weights"] is True
    assert "untrained weights" in out
    assert len(values["occupied_voxels"]) == 3
    assert min(values["occupied_voxels"]) > 0
    assert len(list((run / "pictures").glob("*.png"))) == 2
    assert (run / "voxels.ply").read_bytes().startswith(b"ply\n")
    assert (run / "animation.webp").stat().st_size > 1000
    assert values["facts"]["map"].startswith("in map, moving with base_link, ")
    voxels = int(values["facts"]["map"].split()[5])
    for name in ("map.png", "occupancy_grid.png", "map.webp"):
        assert (run / name).stat().st_size > 1000
        assert f"]({name})" in (run / "report.md").read_text(encoding="utf-8")
    layout = (run / "foxglove_layout.json").read_text(encoding="utf-8")
    assert '"/cam/image_rect/compressed"' in layout
    with BagReader(run / "recording") as reader:
        counts = {topic.name: topic.count for topic in reader.topics.values()}
        described = all(topic.definition for topic in reader.topics.values())
    assert described
    for topic in ("voxels", "depth/image", "semantic/image", "features/image"):
        assert counts[f"/scenedino/{topic}"] == 3
    assert counts["/scenedino/markers"] >= 3
    for topic in ("map/voxels", "map/markers", "occupancy_grid", "obstacles", "ground"):
        assert 1 <= counts[f"/scenedino/{topic}"] <= 4  # at a rate of its own; markers also clear
    stamps = map_stamps(run / "recording")
    frames_of_map = MapFrames("map", "base_link")
    moments = list(map_moments(run / "recording", frames_of_map, "cam", set(stamps)))
    assert [moment.stamp_ns for moment in moments] == stamps
    last = moments[-1]
    assert len(last.voxels) == voxels > 0
    assert last.voxels.grid.shape[:2] == last.cost.shape == (320, 320)
    assert set(np.unique(last.cost)) <= set(range(-1, 101))
    np.testing.assert_allclose(last.T_map_cam, last.T_map_robot @ CAMERA_IN_BASE, atol=1e-9)
    assert last.T_map_robot[0, 3] > 0.5
    assert counts["/diagnostics"] >= 2


@pytest.mark.ros
@pytest.mark.slow
def test_images_that_are_left_out_are_told_at_the_end(material, tmp_path):
    """The others are played all the same."""
    shutil.copytree(material / "images", tmp_path / "images")
    (tmp_path / "images" / "0001b.png").write_bytes(b"no picture")
    images = ("--images", str(tmp_path / "images"), "--pictures", "0")
    checkpoint = ("--checkpoint", str(material / "tiny.safetensors"))
    demo = start_demo(material, tmp_path / "out", *checkpoint, *images)
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 1, out + errors
    assert "0001b.png" in errors
    assert out.splitlines()[-1] == "error: 1 of 4 images are left out"
    values = json.loads((tmp_path / "out/latest/report.json").read_text(encoding="utf-8"))
    assert (values["images"]["processed"], values["problems"]) == (3, [])
    assert values["facts"]["map"] == "none: the drive's TF has no moving frame above the camera"


@pytest.mark.ros
@pytest.mark.slow
def test_ctrl_c_keeps_what_was_recorded_and_leaves_no_process(material, tmp_path):
    arguments = ("--checkpoint", str(material / "tiny.safetensors"), "--loop", "1000")
    demo = start_demo(material, tmp_path / "out", *arguments)
    progress = tmp_path / "out/run_001/logs/progress.json"
    end = time.monotonic() + 2 * DEADLINE
    while demo.poll() is None and time.monotonic() < end:
        if progress.is_file() and read_settings(progress, Progress).sent >= 3:
            break
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    out, errors = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == 130, out + errors
    assert "Traceback" not in out + errors
    run = tmp_path / "out" / "run_001"
    values = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert values["problems"] == ["the run was interrupted"]
    assert values["images"]["clouds_recorded"] >= 2
    assert (run / "recording" / "metadata.yaml").is_file()
    assert processes_with(str(run)) == []


@pytest.mark.ros
@pytest.mark.slow
def test_a_node_that_dies_is_reported_with_its_last_words(material, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no checkpoint")
    demo = start_demo(material, tmp_path / "out", "--checkpoint", str(broken))
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 1, out + errors
    assert "the node ended (exit code 1)" in out
    assert "broken.safetensors" in out
    assert "Traceback" not in out + errors
    assert processes_with(str(tmp_path / "out")) == []


@pytest.mark.ros
@pytest.mark.slow
def test_a_run_without_a_single_answer_is_an_error(material, tmp_path):
    checkpoint = str(material / "tiny.safetensors")
    nowhere = ("--grid", "sscbench", "--grid-frame", "nowhere")
    demo = start_demo(material, tmp_path / "out", "--checkpoint", checkpoint, *nowhere)
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 1, out + errors
    said = " ".join(out.split())
    assert "error: the node answered none of 3 images that were played: no transform" in said
    assert "Traceback" not in out + errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "no-such-model"], "neither a file nor a published name"),
        (["--bag", "no_such_bag"], "no recording"),
        (["--grid", "sscbench"], "needs --grid-frame"),
        (["--rate", "0"], "must be > 0"),
    ],
)
def test_wrong_arguments_end_with_one_sentence_and_code_2(tmp_path, material, arguments, message):
    command = [sys.executable, "-m", "scenedino_ros.demo", "--output", str(tmp_path / "out")]
    if "--grid" in arguments:
        images = ["--images", str(material / "images"), "--intrinsics", "80,80,79.5,31.5"]
        arguments = [*arguments, *images]
    result = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "out").glob("run_*"))


def processes_with(text: str) -> list[str]:
    """Return the command lines of processes that name a path."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
