# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Class tables: names, colours, and ids in the SSCBench benchmark."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError, unknown_name
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import read_yaml, reading

IGNORE = 255
UNNAMED_COLOR = (160, 160, 160)  # of voxels without a class
SKY = "sky"

# Name, display colour (RGB), id in the 16 evaluated classes of SSCBench-KITTI-360 (0: empty).
# Sources: Cityscapes train ids and colours; the mapping of the benchmark's evaluation.
_CITYSCAPES19 = (
    ("road", (128, 64, 128), 7),
    ("sidewalk", (244, 35, 232), 8),
    ("building", (70, 70, 70), 9),
    ("wall", (102, 102, 156), 9),
    ("fence", (190, 153, 153), 10),
    ("pole", (153, 153, 153), 13),
    ("traffic light", (250, 170, 30), 15),
    ("traffic sign", (220, 220, 0), 14),
    ("vegetation", (107, 142, 35), 11),
    ("terrain", (152, 251, 152), 12),
    ("sky", (70, 130, 180), 0),
    ("person", (220, 20, 60), 6),
    ("rider", (255, 0, 0), 0),
    ("car", (0, 0, 142), 1),
    ("truck", (0, 0, 70), 4),
    ("bus", (0, 60, 100), 5),
    ("train", (0, 80, 100), 5),
    ("motorcycle", (0, 0, 230), 3),
    ("bicycle", (119, 11, 32), 2),
)

# KITTI-360 (and Cityscapes) label ids with a Cityscapes train id; garage (34) counts as building,
# gate (35) as fence, small pole (37) as pole. Every other id is ignored.
_TRAIN_ID_OF_LABEL_ID = {
    **dict(zip((7, 8, 11, 12, 13, 17, 19, 20, 21), range(9), strict=True)),
    **dict(zip((22, 23, 24, 25, 26, 27, 28), range(9, 16), strict=True)),
    **{31: 16, 32: 17, 33: 18, 34: 2, 35: 4, 37: 5},
}


def kitti360_train_ids(label_ids: np.ndarray) -> np.ndarray:
    """Map KITTI-360 label ids to Cityscapes train ids.

    Args:
        label_ids: Integer ids of any shape.

    Returns:
        int64 train ids 0..18 of the same shape; -1 (ignored) for every other id.
    """
    return _train_ids(label_ids, _TRAIN_ID_OF_LABEL_ID)


# Panoptic class ids of BDD100K with a Cityscapes train id. Every other id is ignored.
_TRAIN_ID_OF_BDD100K_ID = {
    **{7: 0, 8: 1, 10: 2, 11: 4, 15: 3, 20: 5, 25: 6, 26: 7, 28: 9, 29: 8, 30: 10},
    **{31: 11, 32: 12, 33: 18, 34: 15, 35: 13, 37: 17, 39: 16, 40: 14},
}


def bdd100k_train_ids(class_ids: np.ndarray) -> np.ndarray:
    """Map BDD100K's panoptic class ids to Cityscapes train ids.

    Args:
        class_ids: Integer ids of any shape.

    Returns:
        int64 train ids 0..18 of the same shape; -1 (ignored) for every other id.
    """
    return _train_ids(class_ids, _TRAIN_ID_OF_BDD100K_ID)


def _train_ids(ids: np.ndarray, table: dict[int, int]) -> np.ndarray:
    ids = np.asarray(ids)
    train_ids = np.full(ids.shape, -1, dtype=np.int64)
    for label_id, train_id in table.items():
        train_ids[ids == label_id] = train_id
    return train_ids


@dataclass(frozen=True)
class ClassTable:
    """Names, colours and benchmark ids of the classes 0 .. L-1.

    Attributes:
        names: L class names.
        colors: L display colours, RGB 0..255.
        ssc_ids: L ids in SSCBench-KITTI-360's 16 evaluated classes; 0 counts as empty.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ssc_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse tables whose columns differ in length or hold values out of range."""
        sizes = (len(self.names), len(self.colors), len(self.ssc_ids))
        if len(set(sizes)) != 1 or not 1 <= sizes[0] <= IGNORE:
            raise InputError(
                "a class table needs 1 to 255 classes with a name, a colour and a benchmark id "
                f"each, got {sizes[0]} names, {sizes[1]} colours and {sizes[2]} ids"
            )
        if len(set(self.names)) != len(self.names):
            raise InputError(f"class names must differ from each other, got {self.names}")
        for name, color, ssc_id in zip(self.names, self.colors, self.ssc_ids, strict=True):
            if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
                raise InputError(f"colour of class '{name}' must be RGB 0..255, got {color}")
            if not 0 <= ssc_id <= 15:
                raise InputError(f"benchmark id of class '{name}' must be 0..15, got {ssc_id}")

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    @property
    def palette(self) -> np.ndarray:
        """The colours as a (256, 3) uint8 lookup table; black for ids without a class."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        return palette

    @property
    def voxel_palette(self) -> np.ndarray:
        """The same for voxels, which are there even without a class: grey instead of black."""
        palette = self.palette
        palette[len(self) :] = UNNAMED_COLOR
        return palette

    @property
    def ssc_lookup(self) -> np.ndarray:
        """The benchmark ids as a (256,) uint8 lookup table; 255 stays 255."""
        lookup = np.zeros(256, np.uint8)
        lookup[: len(self)] = self.ssc_ids
        lookup[IGNORE] = IGNORE
        return lookup

    def ids(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Return the ids of classes given by name.

        Raises:
            InputError: If a name is not in the table.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise unknown_name("class", unknown[0], self.names)
        return tuple(self.names.index(name) for name in names)

    def to_dict(self) -> dict[str, object]:
        """Return the table as plain values that JSON and YAML can hold."""
        return {
            "classes": [
                {"id": i, "name": name, "color": list(color), "ssc_id": ssc_id}
                for i, (name, color, ssc_id) in enumerate(
                    zip(self.names, self.colors, self.ssc_ids, strict=True)
                )
            ]
        }

    @classmethod
    def from_dict(cls, values: Any) -> "ClassTable":
        """Build a table from the values that `to_dict` returns.

        Raises:
            InputError: If a key is missing, or the ids are not 0 .. L-1 in order.
        """
        try:
            rows: list[tuple[int, str, Any, int]] = [
                (int(r["id"]), printable(r["name"]), tuple(map(int, r["color"])), int(r["ssc_id"]))
                for r in values["classes"]
            ]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                "a class table needs a list 'classes' whose entries have id, name, color and "
                f"ssc_id; {type(error).__name__}: {error}"
            ) from error
        if [row[0] for row in rows] != list(range(len(rows))):
            raise InputError(f"class ids must be 0, 1, 2, ..., got {[row[0] for row in rows]}")
        return cls(
            names=tuple(row[1] for row in rows),
            colors=tuple(row[2] for row in rows),
            ssc_ids=tuple(row[3] for row in rows),
        )

    @classmethod
    def from_yaml(cls, path: Path) -> "ClassTable":
        """Read a table from a YAML file such as ``config/classes.yaml``.

        Raises:
            InputError: If the file cannot be read or is not a class table.
        """
        with reading(f"label file {path}"):
            values = read_yaml(path)
        try:
            return cls.from_dict(values)
        except InputError as error:
            raise InputError(f"label file {path}: {error}") from error


CITYSCAPES19 = ClassTable(
    names=tuple(row[0] for row in _CITYSCAPES19),
    colors=tuple(row[1] for row in _CITYSCAPES19),
    ssc_ids=tuple(row[2] for row in _CITYSCAPES19),
)
