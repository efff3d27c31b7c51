# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Make labelled frame stores of a few images with areas drawn by hand.

    python -m train.draw_labels train/configs/drawn_default.yaml --stores stores -o drawn

Stage 2 names its clusters by the labels of validation drives. Real drives seldom have any; a few
areas drawn by hand are enough. The file holds, for each frame store and frame, polygons by class
name; the result is a store of these frames for each, with labels inside the polygons only. A name
like ``drive:camera_02`` says which camera they are drawn in, where it is not that of ``--camera``.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.reading import read_yaml, reading
from scenedino_ros.recordings.frame_store.store import NO_LABEL, FrameStore
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter
from train.runs.launch import exit_code

NAME = "python -m train.draw_labels"


def drawn_label(areas: Mapping[str, Any], image_size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) uint8 train ids of drawn areas; later areas cover earlier ones.

    Args:
        areas: Polygons x, y, x, y, ... in pixels, by class name.
        image_size: (height, width) pixels.

    Raises:
        InputError: If a class is unknown or a polygon is none.
    """
    label = np.full(image_size, NO_LABEL, np.uint8)
    for name, polygons in areas.items():
        (train_id,) = CITYSCAPES19.ids((name,))
        for polygon in polygons:
            if len(polygon) < 6 or len(polygon) % 2:
                raise InputError(
                    f"a polygon of {name} must be x, y of three corners or more, got {polygon}"
                )
            corners = np.array(polygon, np.int32).reshape(-1, 1, 2)
            cv2.fillPoly(label, [corners], train_id)
    return label


def write_drawn(source: FrameStore, frames: Mapping[int, Any], camera: str, path: Path) -> None:
    """Write a store of some frames of one camera with drawn labels.

    Args:
        source: The drive.
        frames: Areas by frame.
        camera: Camera whose images they are drawn in.
        path: Folder of the new store.

    Raises:
        InputError: If a frame or the camera is not in the drive, or an area is none.
    """
    if camera not in source.cameras:
        raise InputError(f"{source.path} has cameras {', '.join(source.cameras)}, not {camera}")
    chosen = sorted(frames)
    beyond = [frame for frame in chosen if not 0 <= frame < len(source)]
    if beyond:
        raise InputError(f"{source.path} has frames 0 to {len(source) - 1}, not {beyond[0]}")
    cameras = {camera: source.cameras[camera]}
    origin = {"drawn": str(source.path.name), "frames": chosen}
    size = source.image_size
    with FrameStoreWriter(path, size, cameras, len(chosen), origin, labels=(camera,)) as writer:
        for index, frame in enumerate(chosen):
            writer.frame(index, int(source.stamps_ns[frame]), source.T_world_body[frame])
            writer.put("image", camera, index, source.image(camera, frame))
            writer.put("label", camera, index, drawn_label(frames[frame], size))


def draw(file: Path, stores: Path, camera: str, output: Path) -> None:
    """Read a file of areas and write a store for each drive in it.

    Raises:
        InputError: If the file cannot be read, or does not fit the drives.
    """
    with reading(str(file)):
        drives = {str(name): dict(frames) for name, frames in read_yaml(file).items()}
    for name, frames in drives.items():
        drive, _, its_camera = name.partition(":")
        write_drawn(FrameStore(stores / drive), frames, its_camera or camera, output / drive)
        print(f"{output / drive}: {len(frames)} frames")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=NAME, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="YAML file with the areas")
    parser.add_argument("--stores", type=Path, required=True, help="folder of the frame stores")
    parser.add_argument("--camera", default="camera_00", help="default: camera_00")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of new stores")
    options = parser.parse_args(argv)
    return exit_code(
        NAME, lambda: draw(options.file, options.stores, options.camera, options.output)
    )


if __name__ == "__main__":
    sys.exit(main())
