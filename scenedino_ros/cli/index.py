"""Check a recording and make it ready for training: a frame store that is read at once.

Any rosbag2 recording will do, also split, compressed or broken off, if it has camera images,
CameraInfo, where the cameras are mounted (/tf_static) and how the vehicle moves: /tf, odometry or
a pose file. What is missing or left out is told; with --check that is all that happens. An
interrupted run is taken up by the same command.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from scenedino_ros.cli.progress import counting, telling
from scenedino_ros.cli.values import image_size, not_negative, numbers, positive

if TYPE_CHECKING:
    from scenedino_ros.recordings.frame_store import FrameStore
    from scenedino_ros.recordings.recording import Recording

_EPILOG = """\
examples:
  scenedino index drive --check
  scenedino index drive -o drive.store
  scenedino index drive -o drive.store --cameras front,left --body-frame base_footprint
  scenedino index drive -o drive.store --poses orbslam3 --pose-file poses.txt --pose-frame imu
"""
_POSES = ("auto", "tf", "odometry", "kitti360", "orbslam3", "tum")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("recording", type=Path, help="folder, .mcap or .db3 file")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("-o", "--output", type=Path, help="folder of the frame store")
    target.add_argument(
        "--check", action="store_true", help="only tell what there is; exit code 1 on problems"
    )
    _add_picture_arguments(parser)
    _add_pose_arguments(parser)


def _add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pictures")
    group.add_argument(
        "--cameras", default="", metavar="A,B", help="which, the first leads (default: all)"
    )
    group.add_argument(
        "--image-size",
        type=image_size,
        default=(192, 640),
        metavar="HEIGHTxWIDTH",
        help="of the network's pictures, pixels (default: 192x640)",
    )
    group.add_argument("--fit", choices=("auto", "stretch", "crop"), default="auto")
    group.add_argument(
        "--fisheye-rotation",
        type=numbers("y,x"),
        default=(0.0, -15.0),
        metavar="y,x",
        help="how virtual cameras are turned in MEI fisheyes, degrees (default: 0,-15)",
    )
    group.add_argument(
        "--tolerance",
        type=not_negative,
        metavar="SECONDS",
        help="between images of one frame (default: half a frame, 0.05 at most)",
    )
    group.add_argument(
        "--frames",
        type=_range,
        metavar="FIRST-LAST",
        help="store these only, numbered from 0 (default: all)",
    )
    group.add_argument(
        "--workers",
        type=_count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="threads that decode (default: one per core)",
    )


def _add_pose_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("poses")
    group.add_argument(
        "--poses",
        choices=_POSES,
        default="auto",
        help="transforms, odometry or a file (default: transforms, else odometry)",
    )
    group.add_argument("--pose-file", type=Path, help="for kitti360, orbslam3 and tum")
    group.add_argument(
        "--pose-frame", default="", help="frame whose poses the file holds (default: the body)"
    )
    group.add_argument(
        "--first-frame",
        type=int,
        default=0,
        metavar="NUMBER",
        help="of the first image, where a pose file has frame numbers (default: %(default)s)",
    )
    group.add_argument("--odometry-topic", default="", help="where there are several")
    group.add_argument(
        "--body-frame",
        default="base_link",
        help="the vehicle, x forward, y left, z up (default: %(default)s)",
    )
    group.add_argument("--world-frame", default="", help="default: the topmost above the body")
    group.add_argument(
        "--max-pose-gap",
        type=positive,
        default=0.3,
        metavar="SECONDS",
        help="between poses that are interpolated (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Tell what the recording holds, and write the frame store."""
    with telling("loading"):
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.recordings.build import build_frame_store
        from scenedino_ros.recordings.frames import common_frames
        from scenedino_ros.recordings.pose_source import PoseSource, find_poses
        from scenedino_ros.recordings.recording import Recording
    poses = PoseSource(
        options.poses,
        world_frame=options.world_frame,
        topic=options.odometry_topic,
        file=options.pose_file,
        file_frame=options.pose_frame,
        first_frame=options.first_frame,
        max_gap_s=options.max_pose_gap,
    )
    names = [name for name in options.cameras.split(",") if name]
    with counting("messages") as progress:
        recording = Recording(options.recording, progress=progress)
    with recording:
        _print_cameras(recording)
        track, origin = find_poses(recording, poses, options.body_frame)
        cameras = [recording.camera(name) for name in names or recording.cameras]
        frames = common_frames(cameras, track, options.tolerance)
        print(f"poses: {len(track)} from {origin}")
        print(f"frames with all cameras and a pose: {len(frames)}")
        problems = [*recording.problems, *frames.left_out]
        print("\n".join(f"problem: {problem}" for problem in problems) or "no problems")
        if options.check:
            return 1 if problems else 0
        with counting("frames") as progress:
            store = build_frame_store(
                recording,
                options.output,
                options.image_size,
                cameras=names,
                poses=poses,
                body_frame=options.body_frame,
                tolerance_s=options.tolerance,
                fisheye_rotation_deg=options.fisheye_rotation,
                fit=options.fit,
                part=options.frames,
                workers=options.workers,
                progress=progress,
            )
    _print_store(store)
    return 0


def _print_cameras(recording: "Recording") -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("camera", "images", "rate", "size", "calibration", "maps"):
        table.add_column(heading)
    for name, camera in recording.cameras.items():
        pinhole, period = camera.calibration.pinhole, camera.images.period_ns
        maps = {"labels": camera.labels, "depth": camera.depths}
        table.add_row(
            name,
            str(len(camera.images)),
            f"{1e9 / period:.2f} Hz" if period else "",
            f"{pinhole.width} x {pinhole.height}",
            camera.calibration.distortion_model or "rectified",
            ", ".join(word for word, stream in maps.items() if stream is not None),
        )
    Console(highlight=False, markup=False).print(table)


def _print_store(store: "FrameStore") -> None:
    megabytes = sum(file.stat().st_size for file in store.path.iterdir()) / 1e6
    breaks = int(store.breaks()[1:].sum())
    print(
        f"{store.path}: {len(store)} frames of {len(store.cameras)} cameras, "
        f"{store.travelled()[-1]:.1f} m, {breaks} breaks, {megabytes:.1f} MB"
    )
    print("\n".join(f"dropped: {reason}" for reason in store.source["dropped"]), end="")


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (dash and first.isdigit() and last.isdigit()):
        raise argparse.ArgumentTypeError(f"must be two numbers such as 0-23, got '{text}'")
    return int(first), int(last)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a count >= 1, got '{text}'")
    return int(text)
