# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""cv_bridge converts images where it is installed and right; the pixels are ours either way."""

import array
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scenedino_ros.cameras.encodings import LAYOUTS, PackedLayout
from scenedino_ros.cameras.from_msg import rgb_from_image
from scenedino_ros.core.errors import InputError
from scenedino_ros.node import image_reader
from scenedino_ros.node.image_reader import ImageReader, is_convertible, right_encodings

CONVERTED = (
    {f"{order}16" for order in ("rgb", "bgr", "rgba", "bgra", "mono")}
    | {f"bayer_{name}{bits}" for name in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
    | {"uyvy", "yuyv", "yuv422", "yuv422_yuy2"}
)
# A stand-in for the package. Each way of failing is one that an installed cv_bridge has.
PACKAGE = """
import os
import numpy as np
from scenedino_ros.cameras.from_msg import rgb_from_image

{first}

class CvBridge:
    def imgmsg_to_cv2(self, msg, desired_encoding):
        assert desired_encoding == "rgb8"
        if msg.encoding in ("yuyv", "uyvy"):
            raise RuntimeError("Unrecognized image encoding [" + msg.encoding + "]")
        rgb = np.array(rgb_from_image(msg))
        return rgb[..., ::-1] if msg.encoding == "rgba16" else rgb
"""


def image(encoding: str, *, padding: int = 0, big: bool | None = None, seed: int = 5):
    """Return an image of noise; `padding` pixels of rubbish follow every row."""
    layout = LAYOUTS[encoding]
    assert isinstance(layout, PackedLayout)
    height, width = 6, 10
    step = (width + padding) * layout.channels * layout.item_bytes
    data = np.random.default_rng(seed).integers(0, 256, height * step, np.uint8).tobytes()
    big = sys.byteorder == "big" if big is None else big
    return SimpleNamespace(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=int(big), data=data
    )


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what installs a stand-in."""

    def install(first: str = "") -> None:
        (tmp_path / "cv_bridge.py").write_text(PACKAGE.format(first=first))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)

    yield install
    sys.modules.pop("cv_bridge", None)


@pytest.mark.parametrize("encoding", sorted(LAYOUTS))
def test_what_is_converted(encoding):
    if isinstance(LAYOUTS[encoding], PackedLayout):
        assert is_convertible(image(encoding, padding=1)) == (encoding in CONVERTED)


def test_what_cv_bridge_would_misread_is_not_left_to_it():
    good = image("rgb16")
    assert is_convertible(good)
    assert not is_convertible(image("rgb16", big=sys.byteorder == "little"))
    for change in (
        {"step": good.step + 2},
        {"data": good.data[:-1]},
        {"data": good.data + b"0"},
        {"height": 0},
        {"encoding": "32FC1"},
    ):
        assert not is_convertible(SimpleNamespace(**{**vars(good), **change})), change


def test_the_installed_one_converts_what_it_gets_right(install):
    install()
    told: list[str] = []
    read = ImageReader(told.append)
    for encoding in sorted(CONVERTED):
        msg = image(encoding, padding=2)
        rgb = read(msg)
        np.testing.assert_array_equal(rgb, rgb_from_image(msg))
        assert not rgb.flags.writeable
    right = CONVERTED - {"yuyv", "uyvy", "rgba16"}  # which the stand-in does not know, or mixes up
    assert told == [f"cv_bridge converts images in {', '.join(sorted(right))}"]


def test_its_pixels_are_those_that_are_used(install, monkeypatch):
    install()
    read = ImageReader(lambda _: None)
    read(image("mono16"))
    blank = np.full((6, 10, 3), 7, np.uint8)
    monkeypatch.setattr(read, "_convert", lambda msg, encoding: blank)
    assert read(image("bayer_rggb8")) is blank
    assert read(image("rgba16")) is not blank


def test_colours_that_need_no_conversion_stay_views_of_the_message(install):
    install("os.abort()")
    told: list[str] = []
    read = ImageReader(told.append)
    for encoding in ("rgb8", "bgr8", "rgba8", "bgra8", "mono8"):
        msg = image(encoding)
        assert np.shares_memory(read(msg), np.frombuffer(msg.data, np.uint8))
    assert told == []  # it was not even tried


@pytest.mark.parametrize(
    "first",
    [
        "os.abort()",
        "raise ImportError('numpy.core.multiarray failed to import')",
        "print('hello')",
    ],
)
def test_one_that_cannot_be_used_does_no_harm(install, first):
    install(first)
    told: list[str] = []
    read = ImageReader(told.append)
    for _ in range(2):
        msg = image("bayer_gbrg16")
        np.testing.assert_array_equal(read(msg), rgb_from_image(msg))
    assert len(told) == 1
    if not first.startswith("print"):
        start = "images are converted without cv_bridge, which cannot be used: "
        assert told[0].startswith(start)
        assert ("multiarray failed" in told[0]) == ("multiarray" in first)


def test_one_that_is_right_nowhere_is_told(install):
    install("rgb_from_image = lambda msg: 1 / 0")
    told: list[str] = []
    msg = image("mono16")
    np.testing.assert_array_equal(ImageReader(told.append)(msg), rgb_from_image(msg))
    assert told == [
        "images are converted without cv_bridge, which cannot be used: it gets no encoding right"
    ]


def test_without_one_ours_converts():
    if image_reader.importlib.util.find_spec("cv_bridge"):
        pytest.skip("cv_bridge is here")
    told: list[str] = []
    msg = image("yuv422")
    np.testing.assert_array_equal(ImageReader(told.append)(msg), rgb_from_image(msg))
    assert told == []


def test_errors_are_those_of_our_reader(install):
    install()
    msg = image("mono16")
    msg.data = msg.data[:-4]
    with pytest.raises(InputError, match="image data must be 120 bytes"):
        ImageReader(lambda _: None)(msg)


def test_the_real_cv_bridge_gives_our_pixels():
    cv_bridge = pytest.importorskip("cv_bridge", reason="the ROS 2 package cv_bridge is not here")
    sensor_msgs = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not here")
    convert = cv_bridge.CvBridge().imgmsg_to_cv2
    assert {"mono16", "bayer_rggb8", "rgb16", "yuv422"} <= set(right_encodings(convert))
    for encoding in ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", *sorted(CONVERTED)):
        plain = image(encoding, padding=3)
        msg = sensor_msgs.Image(**{**vars(plain), "data": array.array("B", plain.data)})
        np.testing.assert_array_equal(ImageReader(lambda _: None)(msg), rgb_from_image(plain))
