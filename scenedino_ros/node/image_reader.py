"""How the node reads images: by cv_bridge what that converts, where it is installed and right.

Both readers convert by OpenCV and give the same pixels. cv_bridge is asked for what has to be
converted: 16 bits, Bayer mosaics and YUV. Other colours and grey are views of the message's data.

An installed cv_bridge may still not do: built for another NumPy it ends the process that uses it,
and not every release knows every encoding. So a process of its own tries it first, on pictures
whose pixels are known, and only the encodings it gets right are left to it.
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
from scenedino_ros.node.image_reader import tell_right_encodings
tell_right_encodings()
"""
_DEADLINE = 60.0  # seconds for the trial; it takes half of one
_SIZE = (48, 136)  # of the pictures it is tried on: large enough for vector units

_Convert = Callable[[Any, str], np.ndarray]


class ImageReader:
    """Reads sensor_msgs/Image as RGB."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Read without cv_bridge, until an image comes that it could convert.

        Args:
            tell: Told once, in words, what cv_bridge is used for.
        """
        self._tell = tell
        self._convert: _Convert | None = None
        self._right: frozenset[str] | None = None

    def __call__(self, msg: Any) -> np.ndarray:
        """Return the picture of an image; argument, result and errors as of `rgb_from_image`."""
        if not is_convertible(msg):
            return rgb_from_image(msg)
        if self._right is None:
            self._right = self._open()
        if self._convert is None or msg.encoding not in self._right:
            return rgb_from_image(msg)
        rgb = self._convert(msg, "rgb8")
        rgb.flags.writeable = False
        return rgb

    def _open(self) -> frozenset[str]:
        """Try cv_bridge and load it; return the encodings that are left to it."""
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
        right = frozenset(json.loads(trial.stdout.splitlines()[-1]))
        if not right:
            return self._without("it gets no encoding right")
        self._convert = _installed_converter()
        self._tell(f"cv_bridge converts images in {', '.join(sorted(right))}")
        return right

    def _without(self, reason: str) -> frozenset[str]:
        self._tell(f"images are converted without cv_bridge, which cannot be used: {reason}")
        return frozenset()


def is_convertible(msg: Any) -> bool:
    """Tell whether an image needs a conversion, and is laid out as cv_bridge understands it.

    It takes rows to be a whole number of pixels, does not check how much data there is, and swaps
    bytes by a method that NumPy 2 no longer has.
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
    """Return the encodings in which a converter gives our pixels, rows with padding included.

    Args:
        convert: Makes an image of the encoding it is given of a message: cv_bridge's way.
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


def tell_right_encodings() -> None:
    """Write out the encodings that the installed cv_bridge gets right, as a line of JSON."""
    sys.stdout.write(json.dumps(right_encodings(_installed_converter())) + "\n")


def _installed_converter() -> _Convert:
    convert: _Convert = importlib.import_module("cv_bridge").CvBridge().imgmsg_to_cv2
    return convert
