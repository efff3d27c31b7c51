# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Bounds of what cameras, calibrations, poses and settings may be, and the reason of each.

A number can be finite and still absurd. Beyond these bounds no real camera or robot is known, and
arithmetic in float32, OpenCV's 16-bit map of pixels or the memory of a computer would fail later,
where the cause can no longer be named. The node, the commands and the readers of recordings share
them.
"""

from scenedino_ros.core.errors import InputError

# Pixels along one side of an image. OpenCV's remap indexes pixels by int16.
IMAGE_SIDE = 32_766
# Pixels of one image: an 8K video frame has 33 million. Decoded, with four channels of 16 bits,
# so many take 0.8 GB.
IMAGE_PIXELS = 100_000_000

# Pixels. A 2 m telescope with pixels of 2 um has 1e6; an image of 1 px that is 170 degrees wide
# has 0.04. Squares and products of such numbers stay exact enough in float64.
FOCAL_LENGTHS = (1e-2, 1e7)
# Of a distortion's coefficients. They multiply up to the sixth power of a small angle's tangent,
# so those of long lenses are large; beyond this, that power overflows float32.
DISTORTION = 1e12
# Coefficients; the largest model has 14, and zeros may follow.
COEFFICIENTS = 100

# Metres from the origin of a frame. The Earth's centre is 6.4e6 m from a robot (REP 105), and
# northings of UTM reach 1e7 m. The squares of coordinates overflow float32 from 1e19 m on.
DISTANCE = 1e9

# Nanoseconds of a stamp. ROS counts its seconds in 32 bits, which end in 2038.
STAMPS_END = 2**31 * 10**9

# Voxels of one grid or map: 268 million take 1 GiB in float32.
VOXELS = 1 << 28
# Cubes in one marker message: at 28 bytes each, 28 MB. RViz shows fewer in a second.
CUBES = 1_000_000

# Coordinate frames that are known by name at a time; a large robot has a few hundred.
FRAMES = 10_000


def check_image_size(width: int, height: int, name: str) -> None:
    """Refuse the size of an image that is empty, or larger than the bounds.

    Args:
        width: Columns.
        height: Rows.
        name: What has this size, such as ``image``.

    Raises:
        InputError: If it is.
    """
    if width < 1 or height < 1:
        raise InputError(f"{name} size must be positive, got {width} x {height} px")
    if max(width, height) > IMAGE_SIDE or width * height > IMAGE_PIXELS:
        raise InputError(
            f"{name} size must be at most {IMAGE_SIDE} px along a side and {IMAGE_PIXELS} px in "
            f"all, got {width} x {height} px"
        )
