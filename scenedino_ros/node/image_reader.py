# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads images as RGB: with cv_bridge where that is installed and correct, else without it.

Both readers convert with OpenCV and give the same pixels. cv_bridge converts 16 bits, Bayer
mosaics and YUV. Images of 8 bits in other encodings are views of the message's data.

An installed cv_bridge may still fail: built for another NumPy it ends the process that uses it,
and not every release knows every encoding. So a separate process tries it first, on images whose
pixels are known, and the node uses it only for the encodings that it converts correctly.
"""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from scenedino_ros.cameras.encodings import LAYOUTS, PackedLayout
from scenedino_ros.cameras.from_msg import rgb_from_image

# Run with the search path of this process, as its only argument.
_TRIAL = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from scenedino_ros.node.image_reader import print_right_encodings
print_right_encodings()
"""
_DEADLINE = 60.0  # seconds for the trial; it takes half of one
_SIZE = (48, 136)  # of the images of the trial, pixels: large enough for vector units

_Convert = Callable[[Any, str], np.ndarray]


class ImageReader:
    """Reads sensor_msgs/Image as RGB."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """Read without cv_bridge, until an image comes that it could convert.

        Args:
            report: Called once with a sentence that says what cv_bridge is used for.
        """
        self._report = report
        self._convert: _Convert | None = None
        self._right: frozenset[str] | None = None

    def __call__(self, msg: Any) -> np.ndarray:
        """Return an image as RGB; argument, result and errors are those of `rgb_from_image`."""
        if not is_convertible(msg):
            return rgb_from_image(msg)
        if self._right is None:
            self._right = self._open()
        if self._convert is None or msg.encoding not in self._right:
            return rgb_from_image(msg)
        try:
            rgb = self._convert(msg, "rgb8")
        except Exception:  # our reader converts the image, or says what is wrong with it
            return rgb_from_image(msg)
        rgb.flags.writeable = False
        return rgb

    def _open(self) -> frozenset[str]:
        """Try cv_bridge and load it; return the encodings that it converts."""
        if importlib.util.find_spec("cv_bridge") is None:
            return frozenset()
        try:
            trial = subprocess.run(
                [sys.executable, "-c", _TRIAL, json.dumps(sys.path)],
                capture_output=True,
                text=True,
                timeout=_DEADLINE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return self._without(str(error))
        if trial.returncode:
            lines = trial.stderr.strip().splitlines() or [f"it ends with {trial.returncode}"]
            return self._without(lines[-1])
        try:
            right = frozenset(json.loads(trial.stdout.splitlines()[-1]))
            self._convert = _installed_converter() if right else None
        except Exception as error:  # whatever is installed under that name
            return self._without(str(error))
        if not right:
            return self._without("it gets no encoding right")
        self._report(f"cv_bridge converts images in {', '.join(sorted(right))}")
        return right

    def _without(self, reason: str) -> frozenset[str]:
        self._report(f"images are converted without cv_bridge, which cannot be used: {reason}")
        return frozenset()


def is_convertible(msg: Any) -> bool:
    """Return whether an image needs a conversion and has a layout that cv_bridge understands.

    cv_bridge expects rows of a whole number of pixels, does not check how much data there is, and
    swaps bytes with a method that NumPy 2 no longer has.
    """
    layout = LAYOUTS.get(msg.encoding)
    if not isinstance(layout, PackedLayout) or msg.encoding[0].isdigit():  # bare OpenCV types
        return False
    if layout.item_bytes == 1 and layout.bayer is None and layout.yuv is None:
        return False
    pixel_bytes = layout.channels * layout.item_bytes
    return (
        msg.width > 0
        and msg.height > 0
        and msg.step % pixel_bytes == 0
        and msg.step >= msg.width * pixel_bytes
        and len(msg.data) == msg.step * msg.height
        and (layout.yuv is None or msg.width % 2 == 0)
        and (layout.item_bytes == 1 or bool(msg.is_bigendian) == (sys.byteorder == "big"))
    )


def right_encodings(convert: _Convert) -> list[str]:
    """Return the encodings in which a converter gives the pixels of `rgb_from_image`.

    The rows of the images have padding.

    Args:
        convert: Takes a message and the encoding of the result, as cv_bridge does.
    """
    return [name for name in LAYOUTS if _is_right(convert, name)]


def _is_right(convert: _Convert, encoding: str) -> bool:
    layout = LAYOUTS[encoding]
    if not isinstance(layout, PackedLayout):
        return False
    height, width = _SIZE
    step = (width + 2) * layout.channels * layout.item_bytes
    msg = SimpleNamespace(encoding=encoding, height=height, width=width, step=step)
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.data = np.random.default_rng(0).integers(0, 256, height * step, np.uint8).tobytes()
    if not is_convertible(msg):
        return False
    try:
        found = convert(msg, "rgb8")
    except Exception:  # whatever it raises, it does not convert this
        return False
    return np.array_equal(found, rgb_from_image(msg))


def print_right_encodings() -> None:
    """Print the encodings that the installed cv_bridge converts correctly, as a line of JSON."""
    sys.stdout.write(json.dumps(right_encodings(_installed_converter())) + "\n")


def _installed_converter() -> _Convert:
    convert: _Convert = importlib.import_module("cv_bridge").CvBridge().imgmsg_to_cv2
    return convert
