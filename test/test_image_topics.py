# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which image topics of a recording are cameras, which are depth, and which are neither."""

import struct

import cv2
import numpy as np
import pytest
from recorded_rig import CAMERAS, PINHOLE, STORE, T_world_body, stamp

from scenedino_ros.core.errors import InputError
from scenedino_ros.demo.drives import find_drive
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, camera_info_cdr
from scenedino_ros.recordings.frame_store.build import build_frame_store
from scenedino_ros.recordings.frame_store.settings import StoreSettings
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.recordings.maps import depth_from_message
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.writer import BagWriter

T = STORE.types
RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"
FRAMES = 4
HEIGHT, WIDTH = 32, 64


def header(frame: int, frame_id: str):
    seconds, nanoseconds = divmod(stamp(frame), 1_000_000_000)
    return T["std_msgs/msg/Header"](
        T["builtin_interfaces/msg/Time"](seconds, nanoseconds), frame_id
    )


def raw(encoding: str, values: np.ndarray, frame: int, frame_id: str):
    height, width = values.shape[:2]
    data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    return T[RAW](header(frame, frame_id), height, width, encoding, 0, len(data) // height, data)


def compressed(form: str, data: bytes, frame: int, frame_id: str):
    return T[COMPRESSED](header(frame, frame_id), form, np.frombuffer(data, np.uint8))


def png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def grey(frame: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), 40 + frame, np.uint8)


def millimetres(frame: int, shape=(HEIGHT, WIDTH)) -> np.ndarray:
    return np.full(shape, 1500 + 100 * frame, np.uint16)


def write(path, topics) -> None:
    """Record a drive.

    Args:
        path: Folder of the recording.
        topics: By name, what makes the message of a frame, or the frame of a CameraInfo.
    """
    mounted = {
        ("base_link", "color_optical"): CAMERAS["left"][1],
        ("base_link", "depth_optical"): CAMERAS["right"][1],
    }
    bag = BagWriter(path)
    with DriveWriter(bag, []) as drive:
        drive.static_transforms(mounted, stamp(0))
        for frame in range(FRAMES):
            ns = stamp(frame)
            drive.transforms({("map", "base_link"): T_world_body(frame)}, ns)
            for name, make in topics.items():
                if isinstance(make, str):
                    kind, data = INFO, camera_info_cdr(PINHOLE, make, ns)
                else:
                    message = make(frame)
                    kind = message.__msgtype__
                    data = bytes(STORE.serialize_cdr(message, kind))
                if frame == 0:
                    bag.add_topic(name, kind)
                bag.write(name, ns, data)


def color(frame: int):
    rgb = np.stack([grey(frame), grey(0), grey(0)], axis=-1)
    return raw("rgb8", rgb, frame, "color_optical")


def depth_camera(**more):
    """Return the topics of a depth camera with a colour camera, as drivers publish them."""
    return {
        "/cam/color/image_raw": color,
        "/cam/color/camera_info": "color_optical",
        "/cam/aligned_depth_to_color/image_raw": lambda n: raw(
            "16UC1", millimetres(n), n, "color_optical"
        ),
        "/cam/aligned_depth_to_color/camera_info": "color_optical",
        "/cam/depth/image_rect_raw": lambda n: raw("16UC1", millimetres(n), n, "depth_optical"),
        "/cam/depth/camera_info": "depth_optical",
        **more,
    }


def test_depth_goes_to_the_camera_whose_pixels_it_has(tmp_path):
    write(tmp_path / "bag", depth_camera())
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["cam/color"]
        assert recording.problems == []
        assert recording.not_read == [
            "/cam/depth/image_rect_raw (depth of no camera: frame 'depth_optical', 64 x 32 px, "
            "16UC1)"
        ]
        np.testing.assert_allclose(recording.depth("cam/color", 3), 1.8)
        store = build_frame_store(recording, tmp_path / "store", StoreSettings((16, 48)))
    assert sorted(file.name for file in store.path.glob("*cam*")) == [
        "depth_cam%2Fcolor.npy",
        "image_cam%2Fcolor.npy",
    ]
    store = FrameStore(store.path)
    np.testing.assert_allclose(store.depth("cam/color", 2), 1.7, rtol=1e-3)
    assert store.image("cam/color", 2)[0, 0].tolist() == [42, 40, 40]
    # Another size is another picture, whatever the frame.
    small = {
        "/cam/aligned_depth_to_color/image_raw": lambda n: raw(
            "16UC1", millimetres(n, (16, 32)), n, "color_optical"
        )
    }
    write(tmp_path / "small", depth_camera(**small))
    with Recording(tmp_path / "small") as recording:
        assert recording.cameras["cam/color"].depths is None
        assert len(recording.not_read) == 2


def packed(values: np.ndarray, a: float = 0.0, b: float = 0.0) -> bytes:
    return struct.pack("<iff", 0, a, b) + png(values)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("/x/image_raw", lambda n: raw("16UC1", millimetres(n), n, "depth_optical")),
        ("/x/image_raw", lambda n: raw("32FC1", millimetres(n) / np.float32(1e3), n, "x")),
        ("/x/depth_rect", lambda n: raw("mono16", millimetres(n), n, "x")),
        ("/x/image/compressed", lambda n: compressed("16UC1; png compressed ", png(
            millimetres(n)), n, "x")),
        ("/x/depth_map/compressed", lambda n: compressed("png", png(millimetres(n)), n, "x")),
        ("/x/image/compressedDepth", lambda n: compressed("16UC1; compressedDepth png", packed(
            millimetres(n)), n, "x")),
    ],
)  # fmt: skip
def test_depth_is_never_a_grey_camera(tmp_path, name, make):
    others = {"/cam/image_raw": color, "/cam/camera_info": "color_optical"}
    write(tmp_path / "bag", {**others, name: make, "/x/camera_info": "depth_optical"})
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["cam"]
        assert [topic.partition(" (")[0] for topic in recording.not_read] == [name]
    assert find_drive(tmp_path / "bag").image_topic == "/cam/image_raw"
    with pytest.raises(InputError, match=r"must have pictures of a camera, got depth \("):
        find_drive(tmp_path / "bag", image_topic=name)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("/depth_cam/image_raw", lambda n: raw("mono8", grey(n), n, "depth_optical")),
        ("/depth_cam/image/compressed", lambda n: compressed("png", png(grey(n)), n, "o")),
        ("/thermal/image_raw", lambda n: raw("mono16", millimetres(n), n, "o")),
        ("/x/image/compressed", lambda n: compressed("mono16; png compressed ", png(
            millimetres(n)), n, "o")),
    ],
)  # fmt: skip
def test_grey_cameras_stay_cameras(tmp_path, name, make):
    space = name.split("/")[1]
    write(tmp_path / "bag", {name: make, f"/{space}/camera_info": "depth_optical"})
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == [space]
        assert recording.image(space, 1).shape == (HEIGHT, WIDTH, 3)


def test_compressed_depth_is_read():
    """32FC1 is kept as the inverse depth, quantised; 0 stays unknown."""
    metres = np.array([[0.5, 1.25, 7.0, 0.0]], np.float32)
    a, b = 8000.0, 12.0
    with np.errstate(divide="ignore"):
        codes = np.where(metres > 0, np.rint(a / metres + b), 0).astype(np.uint16)
    message = compressed("32FC1; compressedDepth png", packed(codes, a, b), 0, "x")
    # A code is off by half at most: depth ** 2 / a * 0.5.
    assert np.abs(depth_from_message(message) - metres).max() <= 7.0**2 / a * 0.51
    assert depth_from_message(message)[0, 3] == 0
    for form, data in (("16UC1; compressedDepth rvl", b"x" * 40), ("compressedDepth", b"")):
        with pytest.raises(InputError, match="compressed depth must be a 16-bit PNG, got"):
            depth_from_message(compressed(form, data, 0, "x"))


def test_a_camera_that_cannot_be_decoded_hides_no_other(tmp_path):
    topics = {
        "/cam/image_raw": color,
        "/cam/camera_info": "color_optical",
        "/video/image/compressed": lambda n: compressed("h264", b"\0\0\1abc", n, "o"),
        "/video/camera_info": "depth_optical",
        "/cam/label": lambda n: raw("rgb8", np.zeros((HEIGHT, WIDTH, 3), np.uint8), n, "o"),
    }
    write(tmp_path / "bag", topics)
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["cam"]
        assert recording.cameras["cam"].labels is None
        label, video = recording.not_read
        assert label == "/cam/label (a map must have one channel, got encoding 'rgb8')"
        assert video.startswith("/video/image/compressed (compressed image ('h264') of 6 bytes")
    del topics["/cam/image_raw"]
    write(tmp_path / "none", topics)
    with pytest.raises(InputError, match=r"no camera .*; not read: /cam/label .*; not read: /vid"):
        Recording(tmp_path / "none")


def test_what_the_node_rendered_is_no_camera(tmp_path):
    """Its pictures are of the recorded camera's frame, and here of its size too."""
    pixels = np.zeros((HEIGHT, WIDTH), np.float32)
    node = {
        "/front/scenedino/depth/image": lambda n: raw("32FC1", pixels + 4, n, "color_optical"),
        "/front/scenedino/depth/camera_info": "color_optical",
        "/front/scenedino/semantic/image": lambda n: raw("mono8", grey(n), n, "color_optical"),
        "/front/scenedino/features/image": color,
        "/front/scenedino/semantic/camera_info": "color_optical",
        "/front/scenedino/features/camera_info": "color_optical",
    }
    camera = {"/front/image_raw": color, "/front/camera_info": "color_optical"}
    write(tmp_path / "bag", {**camera, **node})
    with Recording(tmp_path / "bag") as recording:
        assert list(recording.cameras) == ["front"]
        assert recording.cameras["front"].depths is None
        assert [topic.split()[0] for topic in recording.not_read] == [
            f"/front/scenedino/{name}/image" for name in ("depth", "features", "semantic")
        ]
    assert find_drive(tmp_path / "bag").image_topic == "/front/image_raw"


def test_names_that_differ_in_slashes_are_different_cameras(tmp_path):
    spaces = {"/a/b": 1, "/a_b": 2, "/camera": 3, "": 4}
    topics = {}
    for space, value in spaces.items():
        topics[f"{space}/image_raw"] = lambda n, value=value: raw(
            "mono8", grey(0) + np.uint8(20 * value), n, "color_optical"
        )
        topics[f"{space}/camera_info"] = "color_optical"
    write(tmp_path / "bag", topics)
    with Recording(tmp_path / "bag") as recording:
        store = build_frame_store(recording, tmp_path / "store", StoreSettings((16, 48)))
    store = FrameStore(store.path)
    shades = {name: int(store.image(name, 1)[0, 0, 0]) for name in store.cameras}
    assert shades == {"/": 120, "a/b": 60, "a_b": 80, "camera": 100}
