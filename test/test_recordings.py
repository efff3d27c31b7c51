# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recordings with cameras: random access, what is told about gaps and damage, and poses."""

import cv2
import numpy as np
import pytest
from recorded_rig import (
    CAMERAS,
    PERIOD,
    SECOND,
    START,
    T_BODY_IMU,
    T_world_body,
    stamp,
    write_rig,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from scenedino_ros.core.errors import BagError, InputError, TransformError
from scenedino_ros.recordings.camera_topics import find_cameras
from scenedino_ros.recordings.header_cdr import header_from_cdr, without_stamp
from scenedino_ros.recordings.maps import depth_from_message, label_from_message
from scenedino_ros.recordings.pose_source import PoseSource, find_poses
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.metadata import BagTopic
from scenedino_ros.recordings.rosbag2.reader import BagReader, MessagePlace
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.streams import Stream
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms, transforms_from_cdr
from scenedino_ros.recordings.transforms import StampedTransform

STORE = get_typestore(Stores.ROS2_JAZZY)
both = pytest.mark.parametrize("storage", ["mcap", "sqlite3"])


# Random access


@both
def test_images_are_found_by_camera_and_index_or_time(tmp_path, storage):
    write_rig(tmp_path / "bag", storage=storage)
    with Recording(tmp_path / "bag") as recording:
        assert recording.problems == []
        assert recording.lost == {}
        assert {n: len(c.images) for n, c in recording.cameras.items()} == {
            "left": 12,
            "right": 12,
        }
        for index in (7, 0, 11, 3):
            rgb = recording.image("right", index)
            assert rgb.shape == (32, 64, 3)
            assert (rgb == (index, 10, 0)).all()
        with pytest.raises(InputError, match="has 12 messages, got index 12"):
            recording.image("left", 12)
        with pytest.raises(InputError, match="has no camera 'front'; it has left, right"):
            recording.image("front", 0)


def test_calibration_and_mounting_are_those_recorded(tmp_path):
    write_rig(tmp_path / "bag", cameras=("left", "side_left"))
    with Recording(tmp_path / "bag") as recording:
        for name in ("left", "side_left"):
            camera, T_body_cam = CAMERAS[name]
            assert recording.camera(name).calibration.key() == camera.key()
            np.testing.assert_allclose(
                recording.T_body_cam(name, "base_link"), T_body_cam, atol=1e-12
            )
        with pytest.raises(
            InputError, match="left must be fixed to 'map', but 'left_optical' moves"
        ):
            recording.T_body_cam("left", "map")
        with pytest.raises(TransformError, match="frame 'wheel' is unknown"):
            recording.T_body_cam("left", "wheel")


def test_maps_belong_to_images(tmp_path):
    write_rig(tmp_path / "bag", 3, with_maps=True)
    with Recording(tmp_path / "bag") as recording:
        assert recording.label("left", 2)[0].tolist() == [2] * 32 + [3] * 32
        np.testing.assert_array_equal(recording.depth("right", 1), np.full((32, 64), 3.0))
    rewritten(
        tmp_path / "bag",
        tmp_path / "strays",
        lambda m: None if "image" in m.topic and m.time_ns == stamp(1) else m.message,
    )
    with Recording(tmp_path / "strays") as recording:
        told = [problem for problem in recording.problems if "belong to no image" in problem]
        assert told[0] == "1 of 3 maps of /left/label/compressed belong to no image"
        assert len(told) == 4
    write_rig(tmp_path / "plain", 3)
    with Recording(tmp_path / "plain") as recording:
        with pytest.raises(InputError, match="has no label maps of left"):
            recording.label("left", 0)
        with pytest.raises(InputError, match="has no depth maps of left"):
            recording.depth("left", 0)


def test_progress_counts_all_messages(tmp_path):
    write_rig(tmp_path / "bag", 40)
    told = []
    Recording(tmp_path / "bag", progress=lambda *counts: told.append(counts)).close()
    assert told == [(64, 201), (128, 201), (192, 201), (201, 201)]


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_compressed_recordings_of_other_writers(tmp_path, plugin, mode):
    write_rig(tmp_path / "plain", 5)
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with BagReader(tmp_path / "plain") as reader, writer:
        connections = {
            topic.name: writer.add_connection(topic.name, topic.type, typestore=STORE)
            for topic in reader.topics.values()
        }
        for message in reader.messages(raw=True):
            writer.write(connections[message.topic], message.time_ns, message.message)
    with Recording(tmp_path / "bag") as recording:
        assert recording.problems == []
        assert [len(c.images) for c in recording.cameras.values()] == [5, 5]
        assert recording.image("right", 3)[0, 0].tolist() == [3, 10, 0]
        track, _ = find_poses(recording, PoseSource(), "base_link")
        assert_is_the_drive(track, 5)


@both
def test_split_recordings_and_missing_parts(tmp_path, storage):
    """Three files; without the second, its frames are a gap of known size."""
    write_rig(tmp_path / "plain", 30)
    folder = tmp_path / "bag"
    for part in range(3):
        with (
            BagReader(tmp_path / "plain") as reader,
            BagWriter(tmp_path / f"{part}", storage) as w,
        ):
            for topic in reader.topics.values():
                w.add_topic(topic.name, topic.type, topic.qos)
            limits = [None, stamp(10), stamp(20), None][part : part + 2]
            for message in reader.messages(None, *limits, raw=True):
                w.write(message.topic, message.time_ns, message.message)
        folder.mkdir(exist_ok=True)
        (file,) = (tmp_path / f"{part}").glob(f"{part}_0.*")
        file.rename(folder / f"bag_{part}{file.suffix}")
    with Recording(folder) as recording:
        assert recording.problems == []
        assert [int(recording.image("left", n)[0, 0, 0]) for n in (29, 0, 15)] == [29, 0, 15]
    (file,) = folder.glob("bag_1.*")
    file.unlink()
    with Recording(folder) as recording:
        assert recording.image("left", 10)[0, 0, 0] == 20
        told = [problem for problem in recording.problems if problem.startswith("/left/")]
        assert len(told) == 1
        assert "10 frames are missing" in told[0]
        assert "so the recorder paused or that part is lost" in told[0]


# What is told about gaps, stamps and damage


def test_gaps_are_counted_and_explained(tmp_path):
    write_rig(tmp_path / "bag", 30, without={"right": {5, 6, 20}, "left": {20}, "poses": {20}})
    with Recording(tmp_path / "bag") as recording:
        right = [problem for problem in recording.problems if problem.startswith("/right/")]
        left = [problem for problem in recording.problems if problem.startswith("/left/")]
    assert len(right) == 2
    assert "2 frames are missing between 1700000000.400 and 1700000000.700 s; other" in right[0]
    assert "so the camera or the way from it lost them" in right[0]
    assert "1 frames are missing between" in right[1]
    assert "so the recorder paused or that part is lost" in right[1]
    assert len(left) == 1


def test_many_gaps_are_summed_up(tmp_path):
    write_rig(tmp_path / "bag", 40, without={"left": set(range(1, 40, 5)) | {3}})
    with Recording(tmp_path / "bag") as recording:
        told = [problem for problem in recording.problems if problem.startswith("/left/")]
    assert len(told) == 6
    assert "4 frames are missing in 4 further gaps" in told[5]


@pytest.mark.parametrize(("storage", "keep"), [("mcap", 0.2), ("sqlite3", 0.6)])
def test_a_recording_that_breaks_off_gives_its_first_part(tmp_path, storage, keep):
    write_rig(tmp_path / "bag", 400, storage=storage)
    (file,) = [f for f in (tmp_path / "bag").iterdir() if f.suffix != ".yaml"]
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])
    with Recording(tmp_path / "bag") as recording:
        images = recording.camera("right").images
        n = len(images)
        assert 50 < n < 300
        assert images.stamps_ns.tolist() == [stamp(i) for i in range(n)]
        assert recording.image("right", n - 1)[0, 0].tolist() == [(n - 1) % 256, 10, 0]
        assert recording.lost[images.topic] == 400 - n
        assert f"{n} of 400 messages of {images.topic} can be read" in recording.problems
        assert any("cut off" in p for p in recording.problems)


def test_recordings_without_index_and_metadata_are_read(tmp_path):
    write_rig(tmp_path / "bag")
    (tmp_path / "bag/metadata.yaml").unlink()
    file = tmp_path / "bag/bag_0.mcap"
    with BagReader(file) as reader:
        assert reader.problems == []
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"\x89MCAP0\r\n") - 30])
    with Recording(file) as recording:
        assert [len(c.images) for c in recording.cameras.values()] == [12, 12]
        assert (recording.image("left", 5)[0, 0] == (5, 0, 0)).all()
        assert recording.problems == []  # nothing is lost


def rewritten(source, target, change):
    """Copy a recording, with each message changed or left out (None)."""
    with BagReader(source) as reader, BagWriter(target) as writer:
        for topic in reader.topics.values():
            writer.add_topic(topic.name, topic.type, topic.qos)
        for message in reader.messages(raw=True):
            data = change(message)
            if data is not None:
                writer.write(message.topic, message.time_ns, data)


def restamped(data: bytes, ns: int) -> bytes:
    sec, nanosec = divmod(ns, SECOND)
    return data[:4] + sec.to_bytes(4, "little") + nanosec.to_bytes(4, "little") + data[12:]


def test_wrong_stamps_are_counted(tmp_path):
    write_rig(tmp_path / "good", cameras=("left",))
    wrong = {3: stamp(2), 5: 0, 7: stamp(7.5), 8: stamp(7.2)}

    def change(message):
        frame = round((message.time_ns - START) / PERIOD)
        if "image" in message.topic and frame in wrong:
            return restamped(message.message, wrong[frame])
        return message.message

    rewritten(tmp_path / "good", tmp_path / "bag", change)
    with Recording(tmp_path / "bag") as recording:
        told = "\n".join(recording.problems)
        images = recording.camera("left").images
        assert "1 of 12 messages of /left/image_rect/compressed have no stamp" in told
        assert "1 of 11 messages of /left/image_rect/compressed repeat a stamp" in told
        assert "1 of 11 messages of /left/image_rect/compressed have a stamp before" in told
        assert len(images) == 10
        assert (np.diff(images.stamps_ns) > 0).all()
        assert recording.image("left", images.nearest(stamp(7.2), 0))[0, 0, 0] == 8


def test_each_image_has_its_own_number_and_missing_ones_leave_theirs_out():
    stamps = np.array([0, 100, 130, 200, 400])
    stream = Stream("/image", "camera", stamps, stamps, (MessagePlace(0, 0, 0),) * 5)
    assert stream.numbers(first=5) == [5, 6, 7, 8, 10]


def test_a_calibration_that_changes_leaves_its_camera_out(tmp_path):
    write_rig(tmp_path / "good")

    def change(message):
        data = bytearray(message.message)
        if message.topic == "/left/camera_info" and message.time_ns >= stamp(6):
            data[-100] ^= 1
        return bytes(data)

    rewritten(tmp_path / "good", tmp_path / "bag", change)
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["right"]
        assert recording.problems == [
            "camera left is left out: the calibration on /left/camera_info must be the same in "
            "the whole recording, but changes at 1700000000.600 s"
        ]


def test_messages_that_are_damaged_are_counted_and_left_out(tmp_path):
    write_rig(tmp_path / "good", poses="odometry")
    damaged = {
        "/left/image_rect/compressed": {2, 3},
        "/left/camera_info": {0, 5},
        "/right/image_rect/compressed": {7},
        "/odom": {4},
    }

    def change(message):
        frame = round((message.time_ns - START) / PERIOD)
        return message.message[:15] if frame in damaged.get(message.topic, ()) else message.message

    rewritten(tmp_path / "good", tmp_path / "bag", change)
    with Recording(tmp_path / "bag") as recording:
        counts = {name: len(camera.images) for name, camera in recording.cameras.items()}
        assert counts == {"left": 10, "right": 11}
        told = [problem for problem in recording.problems if "are left out: " in problem]
        assert sorted(problem.partition(" are")[0] for problem in told) == [
            "1 of 12 messages of /odom",
            "1 of 12 messages of /right/image_rect/compressed",
            "2 of 12 messages of /left/camera_info",
            "2 of 12 messages of /left/image_rect/compressed",
        ]
        assert len(recording.index.odometry["/odom"]) == 11


def test_images_of_several_frames_leave_their_camera_out(tmp_path):
    write_rig(tmp_path / "good")

    def change(message):
        if "left/image" in message.topic and message.time_ns == stamp(4):
            return message.message.replace(b"left_optical", b"gone_optical")
        return message.message

    rewritten(tmp_path / "good", tmp_path / "bag", change)
    write_rig(tmp_path / "mapped", with_maps=True)
    rewritten(
        tmp_path / "mapped",
        tmp_path / "maps",
        lambda m: (
            m.message.replace(b"left_optical", b"gone_optical")
            if "left/depth" in m.topic and m.time_ns == stamp(4)
            else m.message
        ),
    )
    with Recording(tmp_path / "maps") as recording:  # of maps the maps alone
        assert list(recording.cameras) == ["left", "right"]
        assert recording.cameras["left"].depths is None
        assert recording.cameras["left"].labels is not None
        assert "/left/depth/compressed is left out: messages of" in str(recording.problems)
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["right"]
        assert "must be of one frame, got ['gone_optical', 'left_optical']" in str(
            recording.problems
        )


def test_cameras_without_calibration_are_left_out_and_named(tmp_path):
    write_rig(tmp_path / "good")
    rewritten(
        tmp_path / "good",
        tmp_path / "bag",
        lambda m: None if m.topic == "/right/camera_info" else m.message,
    )
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["left"]
        assert "camera right is left out: it has no CameraInfo" in recording.problems
    rewritten(
        tmp_path / "good",
        tmp_path / "none",
        lambda m: None if "camera_info" in m.topic else m.message,
    )
    with pytest.raises(
        InputError, match="no camera with images and CameraInfo; its topics: /left"
    ):
        Recording(tmp_path / "none")
    with pytest.raises(BagError, match="there is no recording"):
        Recording(tmp_path / "nothing")


def test_an_uncalibrated_camera_is_left_out_and_named(tmp_path):
    write_rig(tmp_path / "good")
    focal = np.float64(40).tobytes()
    rewritten(
        tmp_path / "good",
        tmp_path / "bag",
        lambda m: m.message.replace(focal, bytes(8)) if "left/cam" in m.topic else m.message,
    )
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["right"]
        told = [problem for problem in recording.problems if problem.startswith("camera left")]
        assert "left is left out: the camera is not calibrated: CameraInfo P[0]" in told[0]


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    write_rig(tmp_path / "good", cameras=("left",))
    rewritten(
        tmp_path / "good",
        tmp_path / "bag",
        lambda m: m.message.replace(b"IEND", b"IENX") if m.time_ns == stamp(4) else m.message,
    )
    with Recording(tmp_path / "bag") as recording:
        with pytest.raises(
            InputError, match=r"/left/image_rect/compressed at 1700000000\.400 s: "
        ):
            recording.image("left", 4)
        assert recording.image("left", 5)[0, 0, 0] == 5


def test_transforms_that_cannot_be_are_counted(tmp_path):
    write_rig(tmp_path / "good", cameras=("left",))

    def change(message):
        if message.topic == "/tf" and message.time_ns in (stamp(2), stamp(3)):
            return message.message[:-8] + bytes(8)  # w of the quaternion
        return message.message

    rewritten(tmp_path / "good", tmp_path / "bag", change)
    with Recording(tmp_path / "bag") as recording:
        assert sum("transforms are left out: " in problem for problem in recording.problems) == 2


# Topics


def topics(**kinds: str) -> dict[str, BagTopic]:
    names = {name.replace("__", "/"): kind for name, kind in kinds.items()}
    types = {"raw": "Image", "jpeg": "CompressedImage", "info": "CameraInfo"}
    return {
        f"/{name}": BagTopic(f"/{name}", f"sensor_msgs/msg/{types[kind]}", 1)
        for name, kind in names.items()
    }


def test_rectified_and_compressed_images_count_first():
    found = find_cameras(
        topics(
            cam__image_raw="raw",
            cam__image_raw__compressed="jpeg",
            cam__image_rect="raw",
            cam__image_rect__compressed="jpeg",
            cam__camera_info="info",
        )
    )
    assert found["cam"].image == "/cam/image_rect/compressed"
    assert found["cam"].rectified
    assert found["cam"].info == "/cam/camera_info"


def test_maps_and_deep_namespaces():
    found = find_cameras(
        topics(
            rig__front__image="raw",
            rig__front__label__compressed="jpeg",
            rig__front__depth="raw",
            rig__front__camera_info="info",
            rig__label="raw",
        )
    )
    assert list(found) == ["rig/front"]
    assert found["rig/front"].label == "/rig/front/label/compressed"
    assert found["rig/front"].depth == "/rig/front/depth"
    assert not found["rig/front"].rectified


# Maps as messages


def plane(encoding: str, values: np.ndarray, pad: int = 0, big: bool = False):
    types = STORE.types
    order = values.astype(values.dtype.newbyteorder(">" if big else "<"))
    rows = np.pad(order.view(np.uint8).reshape(len(values), -1), ((0, 0), (0, pad)))
    return types["sensor_msgs/msg/Image"](
        header=None,
        height=values.shape[0],
        width=values.shape[1],
        encoding=encoding,
        is_bigendian=int(big),
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


def test_raw_maps_with_padding_and_either_byte_order():
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(label_from_message(plane("mono8", ids, pad=3)), ids)
    for big in (False, True):
        depth = depth_from_message(plane("16UC1", ids.astype(np.uint16) * 1000, 2, big))
        np.testing.assert_array_equal(depth, ids.astype(np.float32))
        metres = np.array([[1.5, np.nan], [np.inf, -1]], np.float32)
        depth = depth_from_message(plane("32FC1", metres, big=big))
        np.testing.assert_array_equal(depth, [[1.5, 0], [0, 0]])


def test_maps_of_other_kinds_are_refused():
    ids = np.zeros((3, 4), np.uint8)
    with pytest.raises(InputError, match="one byte per pixel, got uint16"):
        label_from_message(plane("16UC1", ids.astype(np.uint16)))
    with pytest.raises(InputError, match="uint16 millimetres or float32 metres, got uint8"):
        depth_from_message(plane("mono8", ids))
    with pytest.raises(InputError, match="one channel, got encoding 'rgb8'"):
        label_from_message(plane("rgb8", ids))
    short = plane("mono8", ids)
    short.data = short.data[:-1]
    with pytest.raises(InputError, match="must have rows of 4 bytes, got 11 bytes with step 4"):
        label_from_message(short)
    compressed = STORE.types["sensor_msgs/msg/CompressedImage"]
    png = cv2.imencode(".png", np.zeros((3, 4, 3), np.uint8))[1].reshape(-1)
    for data in (png, png[:0]):
        with pytest.raises(InputError, match="image of one channel, got 'png'"):
            label_from_message(compressed(None, "png", data))


# Poses


def poses_of(path, source=None, body="base_link"):
    with Recording(path) as recording:
        return find_poses(recording, source or PoseSource(), body)


def assert_is_the_drive(track, frames=12):
    for frame in (0, 1.25, frames / 2 + 0.5, frames - 1):
        np.testing.assert_allclose(
            track.at(stamp(frame)), T_world_body(frame), atol=2e-4 if frame % 1 else 1e-9
        )


def test_poses_from_transforms(tmp_path):
    write_rig(tmp_path / "bag")
    track, origin = poses_of(tmp_path / "bag")
    assert origin == "transforms from base_link to map"
    assert_is_the_drive(track)
    with pytest.raises(InputError, match="no transforms on /tf that move 'base_link' in 'odom'"):
        poses_of(tmp_path / "bag", PoseSource("tf", world_frame="odom"))


def test_poses_from_the_odometry_of_another_frame(tmp_path):
    write_rig(tmp_path / "bag", poses="odometry")
    track, origin = poses_of(tmp_path / "bag")
    assert origin == "odometry on /odom"
    assert_is_the_drive(track)
    with pytest.raises(InputError, match="has no odometry on '/wheel'; it has /odom"):
        poses_of(tmp_path / "bag", PoseSource("odometry", topic="/wheel"))


def test_poses_from_files(tmp_path):
    write_rig(tmp_path / "bag", poses="")
    imu = [T_world_body(frame) @ T_BODY_IMU for frame in range(12)]
    lines = [
        f"{100 + n} " + " ".join(map(repr, T[:3].reshape(-1).tolist())) for n, T in enumerate(imu)
    ]
    (tmp_path / "poses.txt").write_text("\n".join(lines))
    source = PoseSource("orbslam3", file=tmp_path / "poses.txt", file_frame="imu", first_frame=100)
    track, origin = poses_of(tmp_path / "bag", source)
    assert origin == "orbslam3 file poses.txt"
    assert_is_the_drive(track)
    write_rig(tmp_path / "gap", poses="", without={"left": {4, 5}})
    track, _ = poses_of(tmp_path / "gap", source)
    assert len(track) == 10  # poses of the images that are there, at their times
    assert_is_the_drive(track)
    with pytest.raises(
        InputError, match="does not contain the motion of 'base_link': there is no odometry"
    ):
        poses_of(tmp_path / "bag")
    with pytest.raises(InputError, match="a pose file goes with .* got 'tum' without a file"):
        PoseSource("tum")
    with pytest.raises(InputError, match="poses must be auto, .* got 'gps'"):
        PoseSource("gps")


def test_a_slow_link_above_a_fast_one_is_interpolated(tmp_path):
    """The usual chain map -> odom -> base_link, the first of which is told once a second."""
    write_rig(tmp_path / "good", 31, cameras=("left",))

    def change(message):
        if message.topic != "/tf":
            return message.message
        (fast,) = transforms_from_cdr(message.message)
        transforms = [fast._replace(parent="odom")]
        if (message.time_ns - START) % SECOND == 0:
            seconds = (message.time_ns - START) / SECOND
            slow = StampedTransform("map", "odom", message.time_ns, (0, seconds, 0), (0, 0, 0, 1))
            transforms.append(slow)
        return cdr_from_transforms(transforms)

    rewritten(tmp_path / "good", tmp_path / "bag", change)
    track, origin = poses_of(tmp_path / "bag")
    assert origin == "transforms from base_link to map"
    assert len(track) == 31
    expected = T_world_body(15)
    expected[1, 3] += 1.5
    np.testing.assert_allclose(track.at(stamp(15)), expected, atol=1e-9)


# Headers


def test_headers_are_read_without_the_message():
    types = STORE.types
    for kind, rest in (
        ("sensor_msgs/msg/CompressedImage", {"format": "png", "data": np.zeros(5, np.uint8)}),
        ("geometry_msgs/msg/PointStamped", {"point": types["geometry_msgs/msg/Point"](1, 2, 3)}),
    ):
        header = types["std_msgs/msg/Header"](
            types["builtin_interfaces/msg/Time"](1_700_000_000, 123), "optical/frame"
        )
        message = types[kind](header=header, **rest)
        for little_endian in (True, False):
            data = bytes(STORE.serialize_cdr(message, kind, little_endian=little_endian))
            assert header_from_cdr(data) == (START + 123, "optical/frame")
        header.stamp.nanosec = 7
        other = bytes(STORE.serialize_cdr(message, kind, little_endian=False))
        assert other != data
        assert without_stamp(other) == without_stamp(data)


@pytest.mark.parametrize(
    "data", [b"", b"\0\1\0\0\1\0", b"\0\1\0\0" + b"\1\0\0\0" * 2 + b"\xff" * 4]
)
def test_damaged_headers_are_refused(data):
    with pytest.raises(InputError, match="plain CDR|damaged"):
        header_from_cdr(data)
