# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Player, recorder and a stand-in for the node: real processes over DDS."""

import os
import signal
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from demo_drives import CAMERA, SECOND, picture, write_drive

from scenedino_ros.cameras.from_msg import stamp_ns
from scenedino_ros.demo.domains import reserve_domain
from scenedino_ros.demo.folders import shipped_file
from scenedino_ros.demo.processes import (
    Child,
    ProcessError,
    child_environment,
)
from scenedino_ros.demo.recording import (
    frames,
    measure,
)
from scenedino_ros.demo.settings import (
    PlayerSettings,
    PlayResult,
    Progress,
    RecorderSettings,
    read_settings,
    write_settings,
)
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.tf_cdr import transforms_from_cdr
from scenedino_ros.recordings.transforms import StampedTransform

DEADLINE = 120.0  # seconds that a loaded machine may take for anything


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
    assert 0 < played.result.span < played.result.seconds - 0.1  # the last answer takes longer
    measured = measure(played.folder / "recording", "/cam/image_rect/compressed")
    assert len(measured.image_stamps) == 7
    stamps = sorted(measured.image_stamps)
    assert played.result.span == pytest.approx((stamps[-1] - stamps[0]) / 1e9, abs=1e-6)
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
