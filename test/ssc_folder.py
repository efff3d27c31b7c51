# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A made-up data set in the layout of SSCBench-KITTI-360, small but whole."""

import json
from pathlib import Path

import cv2
import numpy as np

from scenedino_ros.evaluation.ssc import rules as ssc

NAME = "blocks"
ROAD, SIDEWALK, BUILDING, CAR, VEGETATION = 40, 48, 50, 10, 70  # raw ids of the label files


def write_ssc_folder(root: Path, splits: dict[str, dict[str, int]], *, card: bool = True) -> None:
    """Write sequences with their numbers of labelled frames, by split.

    The voxels are a road, a house to one side and a car whose place depends on the frame; what
    lies below the road has never been seen.
    """
    if card:
        sequences = {split: list(frames) for split, frames in splits.items()}
        root.mkdir(parents=True, exist_ok=True)
        (root / "dataset.json").write_text(json.dumps({"name": NAME, "splits": sequences}))
    for frames in splits.values():
        for sequence, count in frames.items():
            folder = root / "data_2d_raw" / sequence
            (folder / "image_00" / "data_rect").mkdir(parents=True)
            (folder / "voxels").mkdir()
            for number in range(count):
                write_frame(folder, 5 * number)


def write_frame(folder: Path, number: int) -> None:
    """Write image, labels and invalid voxels of one frame."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (12, 44, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (352, 94), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(folder / "image_00" / "data_rect" / f"{number:06d}.png"), image)
    raw, invalid = street(number)
    raw.tofile(folder / "voxels" / f"{number:06d}.label")
    invalid.tofile(folder / "voxels" / f"{number:06d}.invalid")


def street(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (256, 256, 32) raw labels, uint16, and invalid voxels, uint8."""
    raw = np.zeros(ssc.GRID.shape, np.uint16)
    raw[:96, 50:190, 1] = ROAD
    raw[:96, 150:170, 1] = SIDEWALK
    raw[:96, 170:172, 1:20] = BUILDING
    raw[:96, 80:90, 1:6] = VEGETATION
    x = 20 + number
    raw[x : x + 20, 120:130, 2:9] = CAR
    invalid = np.zeros(ssc.GRID.shape, np.uint8)
    invalid[..., 0] = 1
    invalid[:, 172:] = 1
    invalid[96:] = 1
    return raw, invalid
