# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A synthetic drive as a rosbag2 recording: ``python -m scenedino_ros.streets.record``."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.rosbag2.split_writer import SplitBagWriter
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.raycast import RenderedFrame
from scenedino_ros.streets.render import RenderSettings, render_drive
from scenedino_ros.streets.rig import RigSettings, static_transforms

MAX_DEPTH = 65.535  # metres: what 16 bits of millimetres hold
CHUNK_BYTES = 16 << 20  # after each of which an interrupted recording can resume


class DriveRecorder:
    """Records the frames of one drive in order; a context manager.

    Frames are ``map`` (the street: x along it, z = 0 on the road) -> ``base_link`` -> ``imu`` ->
    the cameras and, under ``camera_00``, ``velodyne``. Images are PNG; classes come with all
    cameras, depth along the optical axis with the rectified ones, 0 in the sky and beyond
    65.535 m. An interrupted recording resumes after its last complete file.

    Attributes:
        done: Frames that an earlier, interrupted recording has already.
    """

    def __init__(self, path: Path, drive: StreetDrive, settings: RenderSettings) -> None:
        """Begin a recording, or resume one.

        Args:
            path: Folder of the recording; must not exist.
            drive: What is recorded.
            settings: How it is rendered.

        Raises:
            BagError: If something is at `path`, or an unfinished recording of something else.
        """
        self._drive, self._rig = drive, settings.rig.rig()
        bag = SplitBagWriter(path, _source(drive, settings), split_bytes=CHUNK_BYTES)
        cameras = [
            RecordedCamera(f"/{name}", camera.frame, camera.calibrated)
            for name, camera in self._rig.items()
        ]
        self._bag, self._writer, self.done = bag, DriveWriter(bag, cameras), bag.done
        self._written = bag.done

    def __enter__(self) -> "DriveRecorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._writer.__exit__(kind)

    def write(self, frames: Mapping[str, RenderedFrame]) -> None:
        """Write what the cameras saw at the next frame."""
        writer, ns = self._writer, self._drive.stamp_ns(self._written)
        if self._written == 0:
            writer.static_transforms(static_transforms(self._rig), ns)
        T_map_base = self._drive.T_world_base(self._written)
        writer.transforms({("map", "base_link"): T_map_base}, ns)
        for name, frame in frames.items():
            writer.label(f"/{name}", frame.label, ns)
            if not self._rig[name].is_fisheye:
                near = np.where(frame.depth <= MAX_DEPTH, frame.depth, np.inf)
                writer.depth(f"/{name}", near, ns)
            writer.image(f"/{name}", frame.rgb, ns)
        self._written += 1
        self._bag.checkpoint(self._written)


def recorded_frames(path: Path, drive: StreetDrive, settings: RenderSettings) -> int:
    """Return how many frames of a drive need not be recorded again.

    Raises:
        BagError: If there is an unfinished recording that cannot be resumed.
    """
    if path.exists():
        return drive.frames
    if not path.with_name(f"{path.name}.partial").exists():
        return 0
    bag = SplitBagWriter(path, _source(drive, settings), split_bytes=CHUNK_BYTES)
    bag.abandon()
    return bag.done


def _source(drive: StreetDrive, settings: RenderSettings) -> dict[str, object]:
    return {**dataclasses.asdict(drive), **dataclasses.asdict(settings)}


def main(argv: list[str] | None = None) -> int:
    """Render and record what the left camera sees; return the exit code, 0 or 2."""
    defaults = StreetDrive()
    parser = argparse.ArgumentParser(
        prog="python -m scenedino_ros.streets.record",
        description="Render a drive down a procedural street into a rosbag2 recording.",
        epilog="example: python -m scenedino_ros.streets.record --seed 3 --output street3",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the recording")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="which street")
    parser.add_argument("--frames", type=int, default=defaults.frames, help="number of images")
    parser.add_argument("--width", type=int, default=RigSettings.width, help="image columns")
    parser.add_argument("--workers", type=int, default=0, help="processes (0: one per core)")
    args = parser.parse_args(argv)
    try:
        drive = StreetDrive(args.seed, args.frames)
        settings = RenderSettings(RigSettings(("camera_00",), args.width))
        with DriveRecorder(args.output, drive, settings) as recorder:
            views = render_drive(drive, settings, args.workers, first=recorder.done)
            for number, frames in enumerate(views, start=recorder.done + 1):
                recorder.write(frames)
                sys.stdout.write(json.dumps({"done": number, "total": drive.frames}) + "\n")
                sys.stdout.flush()
    except SceneDinoError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
