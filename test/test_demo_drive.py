# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What the demo plays: stamps, the choice of topics, and frames for the map."""

from pathlib import Path

import numpy as np
import pytest
from demo_drives import SECOND, write_drive

from scenedino_ros.core.errors import BagError, InputError
from scenedino_ros.demo.arguments import make_parser
from scenedino_ros.demo.drives import find_drive
from scenedino_ros.demo.map_frames import find_map_frames
from scenedino_ros.demo.play_clock import PlayClock, PlayedTransforms, needed_from
from scenedino_ros.demo.sources import GROUND_HEIGHT, checkpoint_argument, make_drive
from scenedino_ros.demo.stamps import header_frame, header_stamp_ns, restamped
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms, transforms_from_cdr
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.recordings.transforms import StampedTransform
from scenedino_ros.streets.rig import BASE_HEIGHT

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


@pytest.mark.parametrize("name", ["", "default", "untrained", "ssc-kitti-360-dino"])
def test_names_of_checkpoints_are_passed_on_as_the_node_takes_them(name):
    assert checkpoint_argument(name) == name


def test_a_checkpoint_that_is_not_there_and_a_domain_without_ports_are_refused(capsys):
    with pytest.raises(InputError, match=r"'nowhere' is neither a file nor a name \(default, "):
        checkpoint_argument("nowhere")
    with pytest.raises(SystemExit, match="2"):
        make_parser().parse_args(["--domain-id", "300"])
    assert "must be in 0 to 232, got '300'" in capsys.readouterr().err
    assert make_parser().parse_args(["--domain-id", "232"]).domain_id == 232


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
        (["--camera", "CAMERA_05"], "^--camera needs --dgp$"),
        (["--camera", "CAMERA_05", "--bag", "{folder}"], "^--camera needs --dgp$"),
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
