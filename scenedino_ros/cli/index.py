# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Check recordings, and convert them into frame stores, which training reads.

A recording is any rosbag2 recording, also a split, compressed or cut off one, with camera images,
CameraInfo, the poses of the cameras on the vehicle (/tf_static) and the motion of the vehicle
(/tf, odometry or a pose file). The command reports what is missing or left out; with --check it
does nothing else. The same command resumes an interrupted run. With several recordings, each gets
a store of its name; the command names those that cannot be used, and continues with the others
(exit code 1).
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from scenedino_ros.core.disk_space import bytes_in_words, check_space, free_bytes
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.printable import printable
from scenedino_ros.terminal.arguments import add_output, add_workers
from scenedino_ros.terminal.network_arguments import add_fit
from scenedino_ros.terminal.progress import about, counting, reporting, seconds_ahead
from scenedino_ros.terminal.tables import print_whole
from scenedino_ros.terminal.values import (
    NUMBER_RANGES,
    image_size,
    name_list,
    not_negative,
    number_ranges,
    numbers,
    positive,
)

if TYPE_CHECKING:
    from scenedino_ros.recordings.frame_store.settings import StoreSettings
    from scenedino_ros.recordings.frame_store.store import FrameStore
    from scenedino_ros.recordings.recording import Recording

_EPILOG = """\
examples:
  scenedino index drive --check
  scenedino index drive -o drive.store
  scenedino index bags/* -o stores
  scenedino index drive -o drive.store --cameras front,left --body-frame base_footprint
  scenedino index drive -o drive.store --poses orbslam3 --pose-file poses.txt --pose-frame imu
"""
_REMEDY = "choose another folder, a smaller --image-size, fewer --cameras or --frames"
_POSES = ("auto", "tf", "odometry", "kitti360", "orbslam3", "tum")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "recordings", nargs="+", type=Path, metavar="RECORDING", help="folder, .mcap or .db3 file"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    add_output(
        target,
        "folder of the frame store; with several recordings, the folder of all stores",
        required=False,
    )
    target.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if there are problems"
    )
    _add_image_arguments(parser)
    _add_pose_arguments(parser)


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images")
    group.add_argument(
        "--cameras",
        type=name_list,
        default=(),
        metavar="A,B",
        help="cameras; the images of the first one define the frames (default: all)",
    )
    group.add_argument(
        "--image-size",
        type=image_size,
        default=(192, 640),
        metavar="HEIGHTxWIDTH",
        help="of the network input, pixels (default: 192x640)",
    )
    add_fit(group)
    group.add_argument(
        "--fisheye-rotation",
        type=numbers("y,x"),
        default=(0.0, -15.0),
        metavar="y,x",
        help="rotation of the virtual camera in MEI fisheyes, degrees (default: 0,-15)",
    )
    group.add_argument(
        "--tolerance",
        type=not_negative,
        metavar="SECONDS",
        help="between the images of a frame (default: half a frame period, at most 0.05)",
    )
    group.add_argument(
        "--frames",
        type=number_ranges,
        metavar=NUMBER_RANGES,
        help="store these only, numbered from 0 (default: all)",
    )
    add_workers(group, "threads that decode (default: one per core)", default=os.cpu_count() or 1)


def _add_pose_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("poses")
    group.add_argument(
        "--poses",
        choices=_POSES,
        default="auto",
        help="transforms, odometry, or format of --pose-file (default: transforms, else odometry)",
    )
    group.add_argument(
        "--pose-file", type=Path, metavar="FILE", help="with --poses kitti360, orbslam3 or tum"
    )
    group.add_argument(
        "--pose-frame",
        default="",
        metavar="FRAME",
        help="frame of the poses in the file (default: --body-frame)",
    )
    group.add_argument(
        "--first-frame",
        type=int,
        default=0,
        metavar="NUMBER",
        help="of the first image, in a pose file with frame numbers (default: %(default)s)",
    )
    group.add_argument(
        "--odometry-topic", default="", metavar="TOPIC", help="needed where there are several"
    )
    group.add_argument(
        "--body-frame",
        default="base_link",
        metavar="FRAME",
        help="frame of the vehicle, x forward, y left, z up (default: %(default)s)",
    )
    group.add_argument(
        "--world-frame",
        default="",
        metavar="FRAME",
        help="default: the root of the body frame's tree",
    )
    group.add_argument(
        "--max-pose-gap",
        type=positive,
        default=0.3,
        metavar="SECONDS",
        help="between two poses to interpolate between (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Report what the recordings contain, and write the frame stores."""
    with reporting("loading"):
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.recordings.frame_store.settings import StoreSettings
        from scenedino_ros.recordings.pose_source import PoseSource
    poses = PoseSource(
        options.poses,
        world_frame=options.world_frame,
        topic=options.odometry_topic,
        file=options.pose_file,
        file_frame=options.pose_frame,
        first_frame=options.first_frame,
        max_gap_s=options.max_pose_gap,
    )
    settings = StoreSettings(
        options.image_size,
        cameras=options.cameras,
        poses=poses,
        body_frame=options.body_frame,
        tolerance_s=options.tolerance,
        fisheye_rotation_deg=options.fisheye_rotation,
        fit=options.fit,
        part=options.frames,
    )
    if len(options.recordings) == 1:
        return _index(options.recordings[0], options.output, settings, options.workers)
    targets = _targets(options.recordings, options.output)
    left = {} if options.check else _report_sum(targets, options.output, settings)
    failed = []
    incomplete = False
    for recording, store in targets.items():
        print(f"{recording}:", flush=True)
        try:
            if store is not None and _is_done(recording, store, settings):
                print(f"{store} is complete already")
                continue
            frames_left = sum(left.values())
            incomplete |= bool(_index(recording, store, settings, options.workers, frames_left))
        except (SceneDinoError, OSError) as error:
            failed.append(recording)
            where = "" if str(recording) in str(error) else f"{recording}: "
            print(f"scenedino index: {where}{error}", file=sys.stderr, flush=True)
        finally:
            left.pop(recording, None)
    names = f": {', '.join(map(str, failed))}" if failed else ""
    print(f"{len(failed)} of {len(targets)} recordings cannot be used{names}")
    return 1 if failed or incomplete else 0


def _targets(recordings: list[Path], output: Path | None) -> dict[Path, Path | None]:
    """Return the store of each recording, None where none is wanted."""
    targets: dict[Path, Path | None] = {}
    for recording in recordings:
        name = recording.resolve().name.removesuffix(".zstd")
        if not recording.is_dir():
            name = re.sub(r"\.(mcap|db3)$", "", name)
        store = None if output is None else output / name
        same = [other for other, taken in targets.items() if taken == store and store]
        if same:
            raise InputError(
                f"recordings must have different names for their stores, got {same[0]} and "
                f"{recording}; index one of them on its own"
            )
        targets[recording] = store
    return targets


def _is_done(recording: Path, store: Path, settings: "StoreSettings") -> bool:
    """Return whether a store is complete.

    Raises:
        InputError: If it is, but was made of something else or with other settings.
    """
    from scenedino_ros.recordings.frame_store.build import is_store_of

    if not store.exists():
        return False
    if is_store_of(store, recording, settings):
        return True
    raise InputError(
        f"{store} exists already, and is not the store of this recording as it is now and with "
        "these settings; remove it, or choose another folder"
    )


def _report_sum(
    targets: dict[Path, Path | None], output: Path, settings: "StoreSettings"
) -> dict[Path, int]:
    """Report the size of all stores at most, and refuse it if the disk has no room.

    Returns:
        Up to how many frames the store of each recording will get.
    """
    from scenedino_ros.recordings.frame_store.build import expected_store

    frames, needed = dict.fromkeys(targets, 0), 0
    with counting("recordings looked at") as progress:
        for done, (recording, store) in enumerate(targets.items(), start=1):
            if store is not None and not store.exists():
                try:
                    found = expected_store(recording, settings)
                except (SceneDinoError, OSError):  # reported at its turn
                    found = (0, 0)
                frames[recording], needed = found[0], needed + found[1]
            progress(done, len(targets))
    print(
        f"up to {sum(frames.values())} frames of {len(targets)} recordings, "
        f"{bytes_in_words(needed)} at {_size(settings)}; "
        f"{bytes_in_words(free_bytes(output))} free in {output}",
        flush=True,
    )
    check_space(output, needed, "the frame stores", _REMEDY)
    return frames


def _index(
    path: Path,
    output: Path | None,
    settings: "StoreSettings",
    workers: int,
    frames_left: int = 0,
) -> int:
    """Report what a recording contains, and write its frame store; return the exit code.

    Given the number of frames of this recording and those after it, report their time, too.
    """
    from scenedino_ros.recordings.frame_store.build import (
        build_frame_store,
        frames_in_memory,
        planned_bytes,
    )
    from scenedino_ros.recordings.frame_store.frames import common_frames
    from scenedino_ros.recordings.frame_store.motion import motion_problems
    from scenedino_ros.recordings.frame_store.writer import frames_done
    from scenedino_ros.recordings.pose_source import find_poses
    from scenedino_ros.recordings.recording import Recording

    start = time.monotonic()
    with counting("messages") as progress:
        recording = Recording(path, progress=progress)
    reading_s = time.monotonic() - start
    with recording:
        _print_cameras(recording)
        print("".join(f"not read: {printable(topic)}\n" for topic in recording.not_read), end="")
        track, origin = find_poses(recording, settings.poses, settings.body_frame)
        cameras = [recording.camera(name) for name in settings.cameras or recording.cameras]
        frames = common_frames(cameras, track, settings.tolerance_s)
        print(f"poses: {len(track)} from {origin}")
        print(f"frames with all cameras and a pose: {len(frames)}")
        problems = [*recording.problems, *frames.left_out]
        problems += motion_problems(recording, cameras[0].name, frames)
        print("\n".join(f"problem: {printable(problem)}" for problem in problems) or "no problems")
        if settings.part is not None:
            frames = frames.part(settings.part)
        needed = planned_bytes(cameras, len(frames), settings.image_size)
        to_do, seconds, free = 0, 0.0, ""
        if output is not None:
            to_do = len(frames) - frames_done(output)
            seconds = seconds_ahead(
                to_do,
                frames_in_memory(recording, frames, settings, workers),
                few=max(workers, 4),
            )
            free = f"{about(seconds)}; {bytes_in_words(free_bytes(output))} free"
        print(
            f"store: {len(frames)} frames of {len(cameras)} cameras at {_size(settings)}, "
            f"{bytes_in_words(needed)}{free}",
            flush=True,
        )
        others = frames_left - len(frames)
        if seconds and others > 0:
            per_frame = seconds / to_do + reading_s / len(frames)
            print(f"with the recordings after it{about(seconds + others * per_frame)}", flush=True)
        if output is None:
            return 1 if problems else 0
        with counting("frames") as progress:
            store = build_frame_store(
                recording,
                output,
                settings,
                workers=workers,
                progress=progress,
            )
    _print_store(store)
    return 0


def _size(settings: "StoreSettings") -> str:
    height, width = settings.image_size
    return f"{height}x{width}"


def _print_cameras(recording: "Recording") -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("camera", "images", "rate", "size", "calibration", "maps"):
        table.add_column(heading, no_wrap=True)
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
    print_whole(table)


def _print_store(store: "FrameStore") -> None:
    size = bytes_in_words(sum(file.stat().st_size for file in store.path.iterdir()))
    breaks = int(store.breaks()[1:].sum())
    print(
        f"{store.path}: {len(store)} frames of {len(store.cameras)} cameras, "
        f"{store.travelled()[-1]:.1f} m, {breaks} breaks, {size}"
    )
    print("".join(f"dropped: {printable(reason)}\n" for reason in store.source["dropped"]), end="")
