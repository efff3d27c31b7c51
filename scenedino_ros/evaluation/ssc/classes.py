# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The label files of SSCBench-KITTI-360, and the classes that are scored."""

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE, ClassTable

# Name, colour (RGB), percentage of the voxels: the weights of the weighted mean.
_EVAL16 = (
    ("empty", (70, 130, 180), 0.0),
    ("car", (0, 0, 142), 2.85),
    ("bicycle", (119, 11, 32), 0.01),
    ("motorcycle", (0, 0, 230), 0.01),
    ("truck", (0, 0, 70), 0.16),
    ("other-vehicle", (0, 60, 100), 5.75),
    ("person", (220, 20, 60), 0.02),
    ("road", (128, 64, 128), 14.98),
    ("sidewalk", (244, 35, 232), 6.43),
    ("building", (90, 90, 90), 20.0),
    ("fence", (190, 153, 153), 0.96),
    ("vegetation", (107, 142, 35), 41.99),
    ("terrain", (152, 251, 152), 9.15),
    ("pole", (153, 153, 153), 0.22),
    ("traffic-sign", (220, 220, 0), 0.06),
    ("other-object", (250, 170, 30), 0.28),
)
EVAL16 = ClassTable(
    names=tuple(row[0] for row in _EVAL16),
    colors=tuple(row[1] for row in _EVAL16),
    ssc_ids=tuple(range(len(_EVAL16))),
)
CLASS_WEIGHTS = np.array([row[2] for row in _EVAL16[1:]])

# Ids of the benchmark's own files with one of the 18 classes; every other id but 0 is dropped.
_SSC20_OF_RAW = {
    **{10: 1, 252: 1, 11: 2, 15: 3, 18: 4, 258: 4, 30: 6, 254: 6},
    **{13: 5, 16: 5, 20: 5, 256: 5, 257: 5, 259: 5},
    **{40: 7, 60: 7, 44: 8, 48: 9, 49: 10, 50: 11, 51: 12, 70: 13, 72: 14, 80: 15, 81: 16},
    **{52: 17, 99: 18},
}


def ssc20_labels(raw: np.ndarray, invalid: np.ndarray) -> np.ndarray:
    """Turn the benchmark's own files into its classes.

    Args:
        raw: (X, Y, Z) uint16 label ids.
        invalid: (X, Y, Z) uint8, 1 where no LiDAR ray has been.

    Returns:
        (X, Y, Z) uint8 in 0..18, or 255 where the id is dropped, or nothing is labelled and no ray
        has been.
    """
    lookup = np.full(1 << 16, IGNORE, np.uint8)
    lookup[0] = 0
    for raw_id, label in _SSC20_OF_RAW.items():
        lookup[raw_id] = label
    labels = lookup[raw]
    labels[(raw == 0) & (invalid == 1)] = IGNORE
    return labels


def read_label_volume(content: bytes, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """Return the bytes of a ``.label`` (``<u2``) or ``.invalid`` (``u1``) file as a volume.

    Raises:
        InputError: If there are more or fewer bytes than voxels need.
    """
    expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(content) != expected:
        packed = "; SemanticKITTI packs bits, this benchmark does not"
        hint = packed if len(content) * 8 == expected else ""
        raise InputError(f"must be {expected} bytes, got {len(content)}{hint}")
    return np.frombuffer(content, dtype).reshape(shape)
