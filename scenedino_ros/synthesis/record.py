"""Renders a synthetic drive and records it: ``python -m scenedino_ros.synthesis.record``."""

import argparse
import sys
from pathlib import Path

from scenedino_ros.core.camera import CalibratedCamera
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.datasets.drive_writer import DriveWriter
from scenedino_ros.synthesis.drive import StreetDrive
from scenedino_ros.synthesis.render import render_drive

CAMERA_FRAME = "camera_00_rect"


def record_drive(drive: StreetDrive, path: Path, *, workers: int = 0) -> None:
    """Render a drive and record its images, CameraInfo and transforms.

    Frames: ``map`` -> ``base_link`` (on the road) -> ``camera_00_rect``. One line per frame tells
    the progress.

    Args:
        drive: What to render.
        path: Folder of the recording; must not exist.
        workers: Processes that render; 0: one per core.
    """
    camera = CalibratedCamera(drive.camera)
    with DriveWriter(path, "/camera_00", CAMERA_FRAME, camera) as writer:
        mounting = {("base_link", CAMERA_FRAME): drive.T_base_cam}
        writer.static_transforms(mounting, drive.stamp_ns(0))
        for index, frame in enumerate(render_drive(drive, workers)):
            stamp = drive.stamp_ns(index)
            writer.transforms({("map", "base_link"): drive.T_world_base(index)}, stamp)
            writer.image(frame.rgb, stamp)
            sys.stdout.write(f"frame {index + 1}/{drive.frames}\n")
            sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Render and record a drive; return 0, or 2 if it cannot be."""
    defaults = StreetDrive()
    parser = argparse.ArgumentParser(
        prog="python -m scenedino_ros.synthesis.record",
        description="Render a drive down a procedural street into a rosbag2 recording.",
        epilog="example: python -m scenedino_ros.synthesis.record --seed 3 --output street3",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the recording")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="which street")
    parser.add_argument("--frames", type=int, default=defaults.frames, help="number of images")
    parser.add_argument("--rate", type=float, default=defaults.rate_hz, help="images per second")
    parser.add_argument("--speed", type=float, default=defaults.speed, help="metres per second")
    parser.add_argument("--width", type=int, default=defaults.width, help="columns of the images")
    parser.add_argument("--workers", type=int, default=0, help="processes (0: one per core)")
    args = parser.parse_args(argv)
    try:
        drive = StreetDrive(args.seed, args.frames, args.rate, args.speed, args.width)
        record_drive(drive, args.output, workers=args.workers)
    except SceneDinoError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
