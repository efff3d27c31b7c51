# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images of every kind that cameras send."""

import array
import io
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from scenedino_ros.cameras.encodings import LAYOUTS, eight_bit
from scenedino_ros.cameras.from_msg import (
    rgb_from_compressed,
    rgb_from_image,
    stamp_ns,
)
from scenedino_ros.core.errors import InputError

WIDTH, HEIGHT = 12, 8
RGB = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
BAYER_COLORS = {"rggb": "RGGB", "bggr": "BGGR", "gbrg": "GBRG", "grbg": "GRBG"}


def image_msg(rows: np.ndarray, encoding: str, width: int, *, height=0, padding=0, big=False):
    """Return an image of (R, N) uint8 rows; `padding` bytes of rubbish follow every row."""
    rubbish = np.full((len(rows), padding), 0xA5, np.uint8)
    padded = np.concatenate([rows, rubbish], axis=1)
    return SimpleNamespace(
        encoding=encoding,
        width=width,
        height=height or len(rows),
        step=padded.shape[1],
        is_bigendian=int(big),
        data=padded.tobytes(),
    )


def byte_rows(pixels: np.ndarray, *, big=False) -> np.ndarray:
    """Return the bytes of (H, ...) pixels as (H, N) rows."""
    order = pixels.dtype.newbyteorder(">" if big else "<")
    return np.ascontiguousarray(pixels, order).reshape(len(pixels), -1).view(np.uint8)


def deepened(values: np.ndarray) -> np.ndarray:
    """Return 16-bit values whose nearest 8-bit ones are `values`, their two bytes unequal."""
    noise = np.random.default_rng(8).integers(-128, 129, values.shape)
    return np.clip(values.astype(np.int64) * 257 + noise, 0, 65535).astype(np.uint16)


def in_channel_order(rgb: np.ndarray, order: str) -> np.ndarray:
    """Return (H, W, C) with the channels that letters such as "bgra" name."""
    opaque = np.full_like(rgb[..., :1], np.iinfo(rgb.dtype).max // 3)
    return np.concatenate([rgb, opaque], axis=2)[..., ["rgba".index(c) for c in order]]


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Return the Bayer mosaic of a picture; `pattern` reads the first 2 x 2 pixels by rows."""
    raw = np.empty(rgb.shape[:2], rgb.dtype)
    for index, color in enumerate(pattern):
        row, column = divmod(index, 2)
        raw[row::2, column::2] = rgb[row::2, column::2, "RGB".index(color)]
    return raw


def rgb_by_formula(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """BT.601 with 16..235, in floating point: the definition, not an implementation."""
    y, u, v = 255 / 219 * (y.astype(float) - 16), u - 128.0, v - 128.0
    red = y + 255 / 224 * 1.402 * v
    green = y - 255 / 224 * (0.344136 * u + 0.714136 * v)
    blue = y + 255 / 224 * 1.772 * u
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("order", ["rgb", "bgr", "rgba", "bgra"])
def test_8_bit_color_is_read_exactly_and_without_a_copy(order, padding):
    rows = byte_rows(in_channel_order(RGB, order))
    msg = image_msg(rows, f"{order}8", WIDTH, padding=padding)
    rgb = rgb_from_image(msg)
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, RGB)
    assert np.shares_memory(rgb, np.frombuffer(msg.data, np.uint8))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("order", ["rgb", "bgr", "rgba", "bgra"])
def test_16_bit_color_is_divided_by_257_in_either_byte_order(order, padding, big):
    deep = deepened(RGB)
    rows = byte_rows(in_channel_order(deep, order), big=big)
    msg = image_msg(rows, f"{order}16", WIDTH, padding=padding, big=big)
    np.testing.assert_array_equal(rgb_from_image(msg), RGB)


def test_16_bit_values_round_to_the_nearest():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    nearest = np.round(np.arange(65536) / 257).reshape(256, 256)
    np.testing.assert_array_equal(eight_bit(values), nearest)
    np.testing.assert_array_equal(eight_bit(values.astype(">u2")), nearest)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_is_repeated_in_three_channels_without_a_copy(encoding):
    msg = image_msg(RGB[..., 0], encoding, WIDTH, padding=4)
    rgb = rgb_from_image(msg)
    np.testing.assert_array_equal(rgb, np.repeat(RGB[..., :1], 3, axis=2))
    assert np.shares_memory(rgb, np.frombuffer(msg.data, np.uint8))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("big", [False, True])
def test_16_bit_grey(encoding, big):
    grey = deepened(RGB[..., 1])
    msg = image_msg(byte_rows(grey, big=big), encoding, WIDTH, padding=1, big=big)
    np.testing.assert_array_equal(rgb_from_image(msg), np.repeat(RGB[..., 1:2], 3, axis=2))


def test_bare_matrix_types_are_bgr():
    np.testing.assert_array_equal(
        rgb_from_image(image_msg(byte_rows(RGB[..., ::-1]), "8UC3", WIDTH)), RGB
    )
    np.testing.assert_array_equal(
        rgb_from_image(image_msg(byte_rows(in_channel_order(RGB, "bgra")), "8UC4", WIDTH)), RGB
    )
    deep = deepened(RGB[..., ::-1])
    np.testing.assert_array_equal(rgb_from_image(image_msg(byte_rows(deep), "16UC3", WIDTH)), RGB)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("pattern", sorted(BAYER_COLORS))
def test_bayer_mosaic_of_one_color_gives_that_color(pattern, padding):
    rgb = np.broadcast_to(np.array([200, 90, 30], np.uint8), (HEIGHT, WIDTH, 3))
    raw = mosaic(rgb, BAYER_COLORS[pattern])
    msg = image_msg(raw, f"bayer_{pattern}8", WIDTH, padding=padding)
    np.testing.assert_array_equal(rgb_from_image(msg), rgb)
    for big in (False, True):
        rows = byte_rows(raw.astype(np.uint16) * 257 + 100, big=big)
        msg = image_msg(rows, f"bayer_{pattern}16", WIDTH, padding=padding, big=big)
        np.testing.assert_array_equal(rgb_from_image(msg), rgb)


@pytest.mark.parametrize(("pattern", "code"), [("rggb", "BG"), ("gbrg", "GR")])
def test_bayer_equals_opencv_on_a_picture(pattern, code):
    raw = mosaic(RGB, BAYER_COLORS[pattern])
    expected = cv2.cvtColor(raw, getattr(cv2, f"COLOR_Bayer{code}2RGB"))
    msg = image_msg(raw, f"bayer_{pattern}8", WIDTH, padding=7)
    np.testing.assert_array_equal(rgb_from_image(msg), expected)


def yuv_planes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Y (H, W) and U, V (H, W) that are equal within 2 x 2 pixels."""
    rng = np.random.default_rng(5)
    y = rng.integers(16, 236, (HEIGHT, WIDTH)).astype(np.uint8)
    small = rng.integers(90, 166, (2, HEIGHT // 2, WIDTH // 2)).astype(np.uint8)
    u, v = small.repeat(2, axis=1).repeat(2, axis=2)
    return y, u, v


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize(
    ("encoding", "layout"),
    [("uyvy", "uyvy"), ("yuv422", "uyvy"), ("yuyv", "yuyv"), ("yuv422_yuy2", "yuyv")],
)
def test_yuv_422(encoding, layout, padding):
    y, u, v = yuv_planes()
    rows = np.empty((HEIGHT, WIDTH, 2), np.uint8)
    luma, chroma = (1, 0) if layout == "uyvy" else (0, 1)
    rows[..., luma] = y
    rows[:, 0::2, chroma], rows[:, 1::2, chroma] = u[:, 0::2], v[:, 0::2]
    msg = image_msg(byte_rows(rows), encoding, WIDTH, padding=padding)
    np.testing.assert_allclose(rgb_from_image(msg), rgb_by_formula(y, u, v), atol=1.5)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_yuv_420_in_two_planes(encoding, padding):
    y, u, v = yuv_planes()
    first, second = (u, v) if encoding == "nv12" else (v, u)
    pairs = np.stack([first[::2, ::2], second[::2, ::2]], axis=-1).reshape(HEIGHT // 2, WIDTH)
    rows = np.concatenate([y, pairs])
    msg = image_msg(rows, encoding, WIDTH, height=HEIGHT, padding=padding)
    np.testing.assert_allclose(rgb_from_image(msg), rgb_by_formula(y, u, v), atol=1.5)


@pytest.mark.parametrize("padding", [0, 5])
def test_yuv_444_in_two_planes(padding):
    rng = np.random.default_rng(6)
    y, u, v = rng.integers(60, 190, (3, HEIGHT, WIDTH)).astype(np.uint8)
    luma = image_msg(y, "nv24", WIDTH, padding=padding)
    pairs = np.stack([u, v], axis=-1).reshape(HEIGHT, 2 * WIDTH)
    chroma = image_msg(pairs, "nv24", WIDTH, padding=2 * padding)
    luma.data += chroma.data
    np.testing.assert_allclose(rgb_from_image(luma), rgb_by_formula(y, u, v), atol=1.5)


@pytest.mark.parametrize(
    "container",
    [
        bytes,
        bytearray,
        memoryview,
        lambda b: array.array("B", b),
        lambda b: np.frombuffer(b, "u1"),
    ],
)
def test_data_may_come_in_any_container(container):
    msg = image_msg(byte_rows(RGB), "rgb8", WIDTH, padding=2)
    msg.data = container(msg.data)
    rgb = rgb_from_image(msg)
    np.testing.assert_array_equal(rgb, RGB)
    assert not rgb.flags.writeable


def test_every_encoding_of_the_table_is_read():
    for encoding in LAYOUTS:
        planes = {"nv12": 1.5, "nv21": 1.5, "nv24": 3}.get(encoding, 1)
        rows = np.full((int(HEIGHT * planes), WIDTH * 8), 128, np.uint8)
        rgb = rgb_from_image(image_msg(rows, encoding, WIDTH, height=HEIGHT))
        assert rgb.shape == (HEIGHT, WIDTH, 3), encoding
        assert rgb.dtype == np.uint8, encoding


def test_views_can_be_resized_by_opencv():
    for encoding, rows in (("bgr8", byte_rows(RGB)), ("mono8", RGB[..., 0])):
        rgb = rgb_from_image(image_msg(rows, encoding, WIDTH, padding=3))
        expected = cv2.resize(np.array(rgb), (6, 4))
        np.testing.assert_array_equal(cv2.resize(rgb, (6, 4)), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "32FC1"}, "must be one of rgb8, .* got '32FC1' .a depth or matrix"),
        ({"encoding": "rgb9"}, "must be one of rgb8, .* got 'rgb9' .unknown"),
        ({"encoding": ""}, "got '' .unknown"),
        ({"width": 0}, "size must be positive, got 0 x 8"),
        ({"height": 0}, "size must be positive, got 12 x 0"),
        ({"step": 35}, "step must be at least 36 bytes .12 px of rgb8., got 35"),
        ({"step": 0}, "step must be at least 36 bytes .* got 0"),
        ({"step": 37}, "data must be 296 bytes .* step 37., got 288"),
        ({"height": 9}, "data must be 324 bytes .* got 288"),
        ({"data": bytes(287)}, "data must be 288 bytes .* got 287"),
        ({"data": b""}, "data must be 288 bytes .* got 0"),
        ({"data": array.array("H", bytes(288))}, "bytes or uint8 values, got format 'H'"),
        ({"data": [0] * 288}, "bytes or uint8 values, got list"),
        ({"encoding": "uyvy", "width": 11}, "even width, got 11"),
        ({"encoding": "nv21", "height": 7}, "nv21 images need an even size, got 12 x 7"),
        ({"encoding": "nv21", "step": 36}, "data must be 432 bytes .* got 288"),
    ],
)
def test_bad_images_are_refused(change, message):
    msg = image_msg(byte_rows(RGB), "rgb8", WIDTH)
    vars(msg).update(change)
    with pytest.raises(InputError, match=message):
        rgb_from_image(msg)


def test_messages_of_rclpy_and_rosbags_are_read_alike():
    sensor_msgs = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not here")
    rosbags = pytest.importorskip("rosbags.typesys", reason="rosbags is not here")
    types = rosbags.get_typestore(rosbags.Stores.ROS2_JAZZY).types
    plain = image_msg(byte_rows(RGB[..., ::-1]), "bgr8", WIDTH, padding=4)
    ros = sensor_msgs.Image(**{**vars(plain), "data": array.array("B", plain.data)})
    ros.header.stamp.sec, ros.header.stamp.nanosec = 12, 345
    stamp = types["builtin_interfaces/msg/Time"](sec=12, nanosec=345)
    recorded = types["sensor_msgs/msg/Image"](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera"),
        **{**vars(plain), "data": np.frombuffer(plain.data, np.uint8)},
    )
    for msg in (ros, recorded):
        np.testing.assert_array_equal(rgb_from_image(msg), RGB)
        assert stamp_ns(msg.header) == 12_000_000_345


# Compressed images

SMOOTH = cv2.resize(RGB[:4, :6], (48, 32), interpolation=cv2.INTER_CUBIC)


def encoded(picture: np.ndarray, extension: str, text: str, quality: int = 98):
    """Return what a publisher sends that hands `picture` to OpenCV's encoder as it is."""
    ok, data = cv2.imencode(extension, picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return SimpleNamespace(format=text, data=data.tobytes())


@pytest.mark.parametrize(
    "text", ["jpeg", "jpg", "", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8"]
)
def test_jpeg(text):
    rgb = rgb_from_compressed(encoded(SMOOTH[..., ::-1], ".jpg", text))
    assert rgb.shape == SMOOTH.shape
    assert np.abs(rgb.astype(int) - SMOOTH).mean() < 4
    exchanged = np.abs(rgb[..., ::-1].astype(int) - SMOOTH).mean()
    assert exchanged > 20


@pytest.mark.parametrize(
    "text", ["png", "rgb8; png compressed bgr8", "bgra8; png compressed bgr8"]
)
def test_png_is_exact(text):
    msg = encoded(RGB[..., ::-1], ".png", text)
    msg.data = array.array("B", msg.data)
    np.testing.assert_array_equal(rgb_from_compressed(msg), RGB)


def test_png_of_16_bits_and_with_alpha():
    deep = deepened(RGB[..., ::-1])
    msg = encoded(deep, ".png", "rgb16; png compressed bgr16")
    np.testing.assert_array_equal(rgb_from_compressed(msg), RGB)
    msg = encoded(in_channel_order(RGB, "bgra"), ".png", "png")
    np.testing.assert_array_equal(rgb_from_compressed(msg), RGB)
    msg = encoded(deepened(RGB[..., 0]), ".png", "mono16; png compressed ")
    np.testing.assert_array_equal(rgb_from_compressed(msg), np.repeat(RGB[..., :1], 3, axis=2))


def test_grey_jpeg_fills_three_channels():
    rgb = rgb_from_compressed(encoded(SMOOTH[..., 0], ".jpg", "mono8; jpeg compressed mono8"))
    assert rgb.shape == SMOOTH.shape
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])
    assert np.abs(rgb[..., 0].astype(int) - SMOOTH[..., 0]).mean() < 2


def test_exchanged_colors_of_old_publishers_are_put_right():
    msg = encoded(RGB, ".png", "rgb8; png compressed rgb8")
    np.testing.assert_array_equal(rgb_from_compressed(msg), RGB)


def test_compressed_mosaic_is_demosaiced_unless_the_publisher_did_it():
    rgb = np.broadcast_to(np.array([200, 90, 30], np.uint8), (HEIGHT, WIDTH, 3))
    raw = mosaic(rgb, "GBRG")
    msg = encoded(raw, ".png", "bayer_gbrg8; png compressed ")
    np.testing.assert_array_equal(rgb_from_compressed(msg), rgb)
    msg = encoded(RGB[..., 0], ".png", "bayer_gbrg8; png compressed mono8")
    np.testing.assert_array_equal(rgb_from_compressed(msg), np.repeat(RGB[..., :1], 3, axis=2))


def app1(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def test_exif_rotation_is_ignored():
    msg = encoded(SMOOTH[..., ::-1], ".jpg", "jpeg")
    plain = rgb_from_compressed(msg)
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # SHORT, one value: rotate by 90 deg
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + orientation + bytes(4)
    msg.data = msg.data[:2] + app1(b"Exif\0\0" + tiff) + msg.data[2:]
    turned = cv2.imdecode(np.frombuffer(msg.data, np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape == (48, 32, 3)  # the tag is one that viewers obey
    np.testing.assert_array_equal(rgb_from_compressed(msg), plain)


def test_tiffs_that_shall_be_turned_are_refused():
    content = io.BytesIO()
    Picture.fromarray(SMOOTH).save(content, "TIFF", tiffinfo={0x0112: 3})  # by 180 degrees
    msg = encoded(SMOOTH[..., ::-1], ".tiff", "tiff")
    np.testing.assert_array_equal(rgb_from_compressed(msg), SMOOTH)
    msg.data = content.getvalue()
    with pytest.raises(InputError, match="must be a TIFF of orientation 1, got 3"):
        rgb_from_compressed(msg)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_cut_off_pngs_are_refused(keep):
    msg = encoded(SMOOTH, ".png", "png")
    msg.data = msg.data[: int(len(msg.data) * keep)]
    with pytest.raises(InputError, match="must be a picture, but is damaged or cut off"):
        rgb_from_compressed(msg)


def jpeg(pixels=None, progressive=0, restart=0):
    """Return the bytes of a JPEG of a busy picture, 120 rows of 152 pixels."""
    if pixels is None:
        pixels = np.random.default_rng(1).integers(0, 256, (30, 38, 3), dtype=np.uint8)
        pixels = cv2.resize(pixels, (152, 120), interpolation=cv2.INTER_CUBIC)
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    return cv2.imencode(".jpg", pixels, flags)[1].tobytes()


JPEGS = {
    "baseline": jpeg(),
    "grey": jpeg(cv2.imdecode(np.frombuffer(jpeg(), np.uint8), cv2.IMREAD_GRAYSCALE)),
    "progressive": jpeg(progressive=1),
    "restarts": jpeg(restart=2),
}
END = b"\xff\xd9"


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("after", [b"", b"\xff", END + bytes(100), END + b"more" + END])
def test_a_jpeg_with_all_its_rows_is_read_whatever_follows_them(kind, after, capfd):
    data = JPEGS[kind]
    assert data.endswith(END)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    rgb = rgb_from_compressed(SimpleNamespace(format="jpeg", data=data[:-2] + after))
    np.testing.assert_array_equal(rgb, expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("end", [b"", END, END + bytes(7)])
@pytest.mark.parametrize("keep", [0.3, 0.8, 0.97])
def test_a_jpeg_without_all_its_rows_is_refused_though_it_ends_with_its_mark(kind, end, keep):
    data = JPEGS[kind][: int(len(JPEGS[kind]) * keep)] + end
    with pytest.raises(
        InputError, match=r"must hold 120 rows of pixels, but is cut off after "
    ) as e:
        rgb_from_compressed(SimpleNamespace(format="jpeg", data=data))
    rows = int(str(e.value).split()[-1])
    assert rows < 120
    if kind == "baseline":
        # Rows take bytes alike, and headers are a few hundred bytes; whole blocks are lost.
        assert abs(rows - keep * 120) < 24


def test_a_grey_corner_alone_is_no_missing_row():
    pixels = np.full((48, 64, 3), 128, np.uint8)
    pixels[:16] = 30
    rgb = rgb_from_compressed(SimpleNamespace(format="jpeg", data=jpeg(pixels)))
    assert (rgb[-1] == 128).all()


def test_a_png_that_lacks_only_its_end_is_read():
    msg = encoded(SMOOTH, ".png", "png")
    expected = rgb_from_compressed(msg)
    msg.data = msg.data[:-12]
    np.testing.assert_array_equal(rgb_from_compressed(msg), expected)


def test_end_mark_of_a_thumbnail_does_not_hide_that_a_jpeg_is_cut_off():
    thumbnail = encoded(SMOOTH[:8, :8], ".jpg", "jpeg").data
    msg = encoded(SMOOTH, ".jpg", "jpeg")
    msg.data = msg.data[:2] + app1(b"Exif\0\0" + thumbnail) + msg.data[2:]
    assert rgb_from_compressed(msg).shape == SMOOTH.shape
    msg.data = msg.data[:-40]
    with pytest.raises(InputError, match="cut off"):
        rgb_from_compressed(msg)


def test_trailing_bytes_after_a_jpeg_do_no_harm():
    msg = encoded(SMOOTH, ".jpg", "jpeg")
    expected = rgb_from_compressed(msg)
    msg.data += bytes(100)
    np.testing.assert_array_equal(rgb_from_compressed(msg), expected)


def test_unusable_compressed_images_are_refused():
    with pytest.raises(InputError, match="empty, got 0 bytes"):
        rgb_from_compressed(SimpleNamespace(format="jpeg", data=b""))
    with pytest.raises(InputError, match=r"'jpeg'\) of 19 bytes must be a picture, but cannot"):
        rgb_from_compressed(SimpleNamespace(format="jpeg", data=b"this is no picture."))
    with pytest.raises(InputError, match="colour or grey one, got '16UC1; compressedDepth png'"):
        rgb_from_compressed(SimpleNamespace(format="16UC1; compressedDepth png", data=b"x"))
    depth = encoded(np.ones((4, 4), np.float32), ".tiff", "32FC1; tiff compressed ")
    with pytest.raises(InputError, match="8 or 16 bits per value, got float32"):
        rgb_from_compressed(depth)
