# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Messages that would end a careless node: each is refused, and the next image is answered."""

import io
import struct
import zlib

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from frame_rig import FrameRig  # noqa: E402
from PIL import Image as Picture  # noqa: E402
from ros_rig import HEIGHT, WIDTH, as_stamp, image_message, info_message, picture  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from scenedino_ros.cameras import image_file  # noqa: E402
from scenedino_ros.core.errors import DeviceMemoryError  # noqa: E402
from scenedino_ros.node import processor  # noqa: E402
from scenedino_ros.node.health import Level  # noqa: E402

pytestmark = pytest.mark.ros

STAMP = as_stamp(0)
FIT = "image and camera_info do not fit"


@pytest.fixture(scope="module")
def raw():
    rig = FrameRig()
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def compressed():
    rig = FrameRig(transport="compressed")
    yield rig
    rig.close()


def calibration(**changes):
    """Return a CameraInfo of which single numbers of K are others: fx, fy, cx, cy or skew."""
    message = info_message(STAMP)
    for name, place in {"fx": 0, "skew": 1, "cx": 2, "fy": 4, "cy": 5}.items():
        if name in changes:
            message.k[place] = changes.pop(name)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def long_image(width, height):
    message = Image(width=width, height=height, encoding="mono8", step=width)
    message.data = bytes(width * height)
    return message


MEI = {"distortion_model": "mei", "d": [0.0, 0.0, 0.0, 0.0, 1.0]}
CALIBRATIONS = {
    "fx 1e154": (calibration(fx=1e154), "must be in 0.01 to 1e+07 px, got fx 1e+154"),
    "fy 1e8": (calibration(fy=1e8), "got fx 90, fy 1e+08"),
    "fx 1e-45": (calibration(fx=1e-45), "got fx 1e-45"),
    "fx 1e-45 of a fisheye": (calibration(fx=1e-45, **MEI), "got fx 1e-45"),
    "cx 1e300": (calibration(cx=1e300), "the principal point must lie in the image"),
    "skew 1e308": (calibration(skew=1e308), "skew must be within +-1e+07 px, got 1e+308"),
    "k3 1e300": (calibration(d=[0.0, 0.0, 0.0, 0.0, 1e300]), "coefficients must be within"),
    "xi 1e200": (calibration(**{**MEI, "d": [0, 0, 0, 0, 1e200]}), "must be within +-1e+12"),
    "a million coefficients": (
        calibration(d=[0.0] * 1_000_000),
        "a distortion takes at most 100 numbers, got 1000000",
    ),
    "4 billion pixels wide": (
        calibration(width=2**32 - 1),
        "CameraInfo size must be at most 32766 px along a side and 100000000 px in all, got 42949",
    ),
    "a long name": (
        calibration(distortion_model="\x1b[2J" + "m" * 100_000, d=[1.0] * 5),
        r"unknown distortion model '\x1b[2Jmmm",
    ),
}


@pytest.mark.parametrize("case", CALIBRATIONS)
def test_an_absurd_calibration_is_refused_and_the_next_image_answered(raw, case):
    info, sentence = CALIBRATIONS[case]
    assert raw.send(info=info) == "bad camera_info"
    assert sentence in raw.problem()
    assert len(raw.problem()) <= 1000
    assert raw.problem().isprintable()
    assert raw.send() == "done"


IMAGES = {
    "40,000 x 1": (long_image(40_000, 1), calibration(), FIT, "image is 40000 x 1 px, but its"),
    "40,000 x 1, as calibrated": (
        long_image(40_000, 1),
        calibration(width=40_000, height=1, cx=0.0, cy=0.0),
        "bad camera_info",
        "CameraInfo size must be at most 32766 px along a side",
    ),
    "1 x 32,767, as calibrated": (
        long_image(1, 32_767),
        calibration(width=1, height=32_767, cx=0.0, cy=0.0),
        "bad camera_info",
        "at most 32766 px along a side",
    ),
    "a name that clears the screen": (
        image_message(STAMP, encoding="\x1b[2J\n\u202e" + "x" * 10_000),
        calibration(),
        "bad image",
        r"got '\x1b[2J\n\u202exxx",
    ),
    "rows beyond 4 GB": (
        image_message(STAMP, step=2**32 - 1),
        calibration(),
        "bad image",
        "image data must be 274877906880 bytes",
    ),
}


@pytest.mark.parametrize("case", IMAGES)
def test_an_absurd_image_is_refused_and_the_next_one_answered(raw, case):
    image, info, reason, sentence = IMAGES[case]
    assert raw.send(image, info) == reason
    assert sentence in raw.problem()
    assert len(raw.problem()) <= 1000
    assert raw.problem().isprintable()
    assert raw.send() == "done"


def test_the_longest_image_that_opencv_takes_is_answered(raw):
    """With a distortion, its pixels are moved by OpenCV's remap, which counts them in int16."""
    width = 32_766
    info = calibration(
        width=width, height=2, fx=20_000.0, fy=20_000.0, cx=width / 2, cy=0.5, d=[1e-6] * 5
    )
    assert raw.send(long_image(width, 2), info) == "done"


# Compressed images.


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def bomb_png(width, height):
    """Return a PNG of a header and a little data, as if many rows followed."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0))
    content = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + header + content + chunk(b"IEND", b"")


def bomb_jpeg(width, height):
    """Return a JPEG whose header states another size than its pixels."""
    data = bytearray(cv2.imencode(".jpg", picture())[1].tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bomb_tiff(width, height):
    content = io.BytesIO()
    Picture.fromarray(picture()).save(content, "TIFF")
    data = content.getvalue()
    for tag, old, new in ((0x100, WIDTH, width), (0x101, HEIGHT, height)):
        for kind, layout in ((3, "<HHIHH"), (4, "<HHII")):
            values = (old, 0) if kind == 3 else (old,)
            entry = struct.pack(layout, tag, kind, 1, *values)
            if entry in data:
                data = data.replace(entry, struct.pack("<HHII", tag, 4, 1, new))
    assert struct.pack("<HHII", 0x100, 4, 1, width) in data
    return data


def message_of(data):
    return CompressedImage(format="png", data=data)


@pytest.mark.parametrize("bomb", [bomb_png, bomb_jpeg, bomb_tiff])
@pytest.mark.parametrize(
    ("size", "info", "reason", "sentence"),
    [
        ((30_000, 30_000), calibration(), "bad image", "size must be at most "),
        ((8_000, 6_000), calibration(), FIT, "image is 8000 x 6000 px, but its calibration is"),
    ],
)
def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded(
    compressed, monkeypatch, bomb, size, info, reason, sentence
):
    def decode(*_):
        raise AssertionError("decoded")

    with monkeypatch.context() as patch:
        patch.setattr(image_file.cv2, "imdecode", decode)
        assert compressed.send(message_of(bomb(*size)), info) == reason
    assert sentence in compressed.problem()
    good = cv2.imencode(".png", picture())[1].tobytes()
    assert compressed.send(message_of(good)) == "done"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8",
        b"\xff\xd8" + b"\xff" * 50,
        b"\xff\xd8\xff\xda\0\0",
        b"no",
    ],
)
def test_a_file_without_a_header_is_refused(compressed, data):
    assert compressed.send(message_of(data)) == "bad image"
    assert compressed.problem().startswith("compressed image ('png')")


def test_a_chunk_longer_than_its_file_is_refused(compressed, monkeypatch):
    """Decoders reserve the memory of a chunk before they read it."""
    good = cv2.imencode(".png", picture())[1].tobytes()
    place = good.index(b"IDAT") - 4
    lying = good[:place] + struct.pack(">I", 1 << 30) + good[place + 4 :]
    with monkeypatch.context() as patch:
        patch.setattr(image_file.cv2, "imdecode", None)  # is not called
        for data in (lying, good[:-20]):  # the second is cut off
            assert compressed.send(message_of(data)) == "bad image"
            assert "but is damaged or cut off" in compressed.problem()
    assert compressed.send(message_of(good)) == "done"


def test_a_jpeg_whose_header_lies_is_refused(compressed):
    """The calibration fits the header; the pixels end early."""
    info = calibration(width=2 * WIDTH, height=2 * HEIGHT)
    assert compressed.send(message_of(bomb_jpeg(2 * WIDTH, 2 * HEIGHT)), info) == "bad image"


def test_a_decoder_that_reads_another_size_than_the_header_is_refused(compressed, monkeypatch):
    good = cv2.imencode(".png", picture())[1].tobytes()
    with monkeypatch.context() as patch:
        patch.setattr(image_file.cv2, "imdecode", lambda *_: np.zeros((9, 7, 3), np.uint8))
        assert compressed.send(message_of(good)) == "bad image"
    assert "must have the size of its header, 160 x 64 px, got 7 x 9 px" in compressed.problem()


@pytest.mark.parametrize("kind", [".png", ".jpg", ".tiff", ".bmp", ".webp", ".ppm", ".jp2"])
def test_what_opencv_writes_is_answered(compressed, kind):
    data = cv2.imencode(kind, picture())[1].tobytes()
    assert compressed.send(message_of(data)) == "done"


# Memory.


def torch_on_the_processor():
    torch.empty(1 << 50, dtype=torch.uint8)


def numpy_and_python():
    np.empty(1 << 50, np.uint8)


def opencv():
    cv2.copyMakeBorder(np.zeros((1, 1), np.uint8), 0, 2_000_000_000, 0, 2_000_000_000, 0)


def torch_on_the_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory")


def ours():
    raise DeviceMemoryError("no room")


@pytest.mark.parametrize(
    ("exhaust", "reason"),
    [
        (torch_on_the_processor, "out of memory"),
        (numpy_and_python, "out of memory"),
        (opencv, "out of memory"),
        (torch_on_the_gpu, "out of device memory"),
        (ours, "out of device memory"),
    ],
)
@pytest.mark.parametrize("place", ["decoding", "encoding", "querying", "making messages"])
def test_memory_that_is_exhausted_costs_one_image(raw, monkeypatch, exhaust, reason, place):
    def fail(*_, **__):
        exhaust()

    with monkeypatch.context() as patch:
        if place == "decoding":
            patch.setattr(raw.processor, "_rgb_from_image", fail)
        elif place == "encoding":
            patch.setattr(raw.predictor._engine, "hidden_map", fail)
        elif place == "querying":
            patch.setattr(raw.predictor._queries, "voxels", fail)
        else:
            patch.setattr(processor, "cloud_from_voxels", fail)
        assert raw.send() == reason
    assert raw.problem()
    assert raw.send() == "done"
    assert raw.failures.counted()[0] == 0


# Anything else.


@pytest.mark.parametrize("place", ["_pose", "_encode", "_publish_grid", "_publish_views"])
def test_an_exception_that_nobody_foresaw_costs_one_image(raw, monkeypatch, place):
    def fail(*_, **__):
        raise ZeroDivisionError(f"a bug in {place}")

    count = raw.failures.counted()[0]
    with monkeypatch.context() as patch:
        patch.setattr(raw.processor, place, fail)
        assert raw.send() == "failed"
    assert raw.problem() == f"ZeroDivisionError: a bug in {place}"
    assert raw.failures.counted()[0] == count + 1
    assert raw.send() == "done"


# The map.


@pytest.mark.parametrize(
    ("place", "exhaust", "words"),
    [
        ("fuse", torch_on_the_processor, "image not fused, out of memory: the map"),
        ("fuse", lambda: 1 / 0, "image not fused, failed: ZeroDivisionError"),
        ("occupied", torch_on_the_gpu, "the map was not published, out of device memory: the map"),
        ("occupied", lambda: 1 / 0, "the map was not published, failed: ZeroDivisionError"),
    ],
)
def test_what_fails_in_the_map_costs_no_image(monkeypatch, place, exhaust, words):
    rig = FrameRig(with_map=True)
    assert rig.send() == "done"
    of_map = rig.processor.map
    with monkeypatch.context() as patch:
        patch.setattr(of_map._map, place, lambda *_, **__: exhaust())
        patch.setattr(of_map, "_published", 0.0)
        rig.shared.published.clear()
        assert rig.send() == "done"
        rig.close()
    verdict, values = of_map.status()
    assert verdict.level == Level.ERROR
    assert words in verdict.message
    assert not rig.shared.published
    assert values["images fused"] == ("1" if place == "fuse" else "2")


def test_the_map_is_published_again_after_a_failure(monkeypatch):
    rig = FrameRig(with_map=True)
    of_map = rig.processor.map
    with monkeypatch.context() as patch:
        patch.setattr(of_map._map, "occupied", lambda *_, **__: 1 / 0)
        assert rig.send() == "done"
    of_map._published = 0.0
    assert rig.send() == "done"
    rig.close()
    assert set(rig.shared.published) == {"map/voxels", "map/markers", "occupancy_grid"}
    assert of_map.status()[0].level == Level.OK


def test_warnings_about_the_pose_wait_for_an_output_that_needs_it(raw, monkeypatch):
    def warnings(calibrated, encoded, training_rig, grid, T_grid_cam):
        return {"height": "the camera is high"} if T_grid_cam is not None else {}

    monkeypatch.setattr(processor, "camera_warnings", warnings)
    raw.processor._warned.clear()
    raw.camera.lines.clear()
    names = raw.camera.outputs.names
    heard = []
    for wanted in (("depth/image",), ("voxels",), ("depth/image",), ("voxels",)):
        raw.camera.outputs.names = wanted
        assert raw.send() == "done"
        heard.append(list(raw.camera.lines))
    raw.camera.outputs.names = names
    assert heard == [[], *[["the camera is high"]] * 3]


def test_a_warning_comes_again_if_a_good_calibration_was_between(raw, monkeypatch):
    def warnings(calibrated, encoded, training_rig, grid, T_grid_cam):
        return {"focal": "the lens is long"} if calibrated.pinhole.K[0, 0] > 100 else {}

    monkeypatch.setattr(processor, "camera_warnings", warnings)
    raw.processor._warned.clear()
    raw.camera.lines.clear()
    heard = []
    for focal in (120.0, 121.0, 90.0, 120.0):
        assert raw.send(info=calibration(fx=focal)) == "done"
        heard.append(len(raw.camera.lines))
    assert heard == [1, 1, 1, 2]
