# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Make labelled frame stores of a few images with areas drawn by hand.

    python -m train.draw_labels train/configs/drawn_default.yaml --stores stores -o drawn

Stage 2 names its clusters by the labels of validation drives. Real drives seldom have any; a few
areas drawn by hand are enough. The file holds, for each frame store and frame, polygons by class
name; the result is a store of these frames for each, with labels inside the polygons only. A name
like ``drive:camera_02`` says which camera they are drawn in, where it is not that of ``--camera``;
a drive drawn in several cameras gets a store for each, named after both.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.reading import read_yaml, reading
from scenedino_ros.recordings.frame_store.store import NO_LABEL, FrameStore, file_stem
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter
from train.runs.launch import exit_code

NAME = "python -m train.draw_labels"


def drawn_label(areas: Any, image_size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) uint8 train ids of drawn areas; later areas cover earlier ones.

    Args:
        areas: Lists of polygons x, y, x, y, ... in pixels, by class name.
        image_size: (height, width) pixels.

    Raises:
        InputError: If a class is unknown, or a polygon is none or outside the image.
    """
    if not isinstance(areas, Mapping) or not areas:
        raise InputError(f"areas must be lists of polygons by class name, got {areas}")
    label = np.full(image_size, NO_LABEL, np.uint8)
    for name, polygons in areas.items():
        (train_id,) = CITYSCAPES19.ids((name,))
        if not isinstance(polygons, list):
            raise InputError(f"areas of {name} must be a list of polygons, got {polygons}")
        for polygon in polygons:
            cv2.fillPoly(label, [_corners(name, polygon, image_size)], train_id)
    return label


def _corners(name: str, polygon: Any, image_size: tuple[int, int]) -> np.ndarray:
    """Return the (n, 1, 2) int32 corners of a polygon."""
    is_numbers = isinstance(polygon, list) and all(
        isinstance(number, int | float) and math.isfinite(number) for number in polygon
    )
    if not is_numbers or len(polygon) < 6 or len(polygon) % 2:
        raise InputError(
            f"a polygon of {name} must be x, y of three corners or more, got {polygon}"
        )
    corners = np.array(polygon).round().astype(np.int32).reshape(-1, 1, 2)
    if (corners.max(axis=0) < 0).any() or (corners.min(axis=0) >= image_size[::-1]).any():
        raise InputError(
            f"a polygon of {name} lies outside the image of {image_size[0]} x {image_size[1]} px: "
            f"{polygon}"
        )
    return corners


@dataclass(frozen=True)
class Drawn:
    """Labels of some frames of one camera of a drive.

    Attributes:
        source: The drive.
        camera: The camera.
        labels: (H, W) uint8 train ids by frame.
        path: Folder of the store that they get.
    """

    source: FrameStore
    camera: str
    labels: dict[int, np.ndarray]
    path: Path

    def write(self) -> None:
        """Write the store of the frames with their labels.

        Raises:
            InputError: If it cannot be written.
        """
        source, camera = self.source, self.camera
        cameras = {camera: source.cameras[camera]}
        origin = {"drawn": str(source.path.name), "frames": list(self.labels)}
        size, count = source.image_size, len(self.labels)
        T_cam_body = np.linalg.inv(source.cameras[camera].T_body_cam)
        with FrameStoreWriter(self.path, size, cameras, count, origin, labels=(camera,)) as writer:
            for index, (frame, label) in enumerate(self.labels.items()):
                # Of a camera that is not triggered with the others, the body's pose at its image.
                T_world_body = source.T_world_cam(camera, frame) @ T_cam_body
                writer.frame(index, int(source.stamps_ns[frame]), T_world_body)
                writer.put("image", camera, index, source.image(camera, frame))
                writer.put("label", camera, index, label)


def read_drawn(name: str, frames: Any, stores: Path, camera: str, output: Path) -> Drawn:
    """Return what is drawn of one drive.

    Args:
        name: The drive, ``drive`` or ``drive:camera``.
        frames: Areas by frame.
        stores: Folder of the frame stores.
        camera: Camera whose images they are drawn in, where the name has none.
        output: Folder of the new stores.

    Raises:
        InputError: If a frame or the camera is not in the drive, or an area is none.
    """
    drive, _, its_camera = name.partition(":")
    source, camera = FrameStore(stores / drive), its_camera or camera
    if camera not in source.cameras:
        raise InputError(f"{source.path} has cameras {', '.join(source.cameras)}, not {camera}")
    if not isinstance(frames, Mapping) or not frames:
        raise InputError(f"{name} must have areas by frame, got {frames}")
    labels = {}
    for frame, areas in frames.items():
        if not isinstance(frame, int) or not 0 <= frame < len(source):
            raise InputError(f"{source.path} has frames 0 to {len(source) - 1}, not {frame}")
        try:
            labels[frame] = drawn_label(areas, source.image_size)
        except InputError as error:
            raise InputError(f"{name}, frame {frame}: {error}") from error
    return Drawn(source, camera, dict(sorted(labels.items())), output / drive)


def draw(file: Path, stores: Path, camera: str, output: Path) -> None:
    """Read a file of areas and write a store for each drive in it.

    Raises:
        InputError: If the file cannot be read or does not fit the drives, before anything is
            written; or if a store is there already.
    """
    with reading(str(file)):
        drives = read_yaml(file)
    if not isinstance(drives, Mapping):
        raise InputError(f"{file} must have frames by drive, got {drives}")
    found = [read_drawn(str(d), frames, stores, camera, output) for d, frames in drives.items()]
    of_drive = Counter(drawn.path for drawn in found)
    for drawn in found:
        if of_drive[drawn.path] > 1:  # drawn in several cameras
            drawn = replace(drawn, path=Path(f"{drawn.path}_{file_stem(drawn.camera)}"))
        drawn.write()
        print(f"{drawn.path}: {len(drawn.labels)} frames")


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
