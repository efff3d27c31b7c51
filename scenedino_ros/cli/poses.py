# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Estimate the poses of a drive from the images of a calibrated stereo pair.

The source is a rosbag2 recording, or the folder of a KITTI drive. Corners are followed from a
keyframe to later frames, their distances come from matching the two images, and the motion is the
one that explains where they are seen (visual odometry with OpenCV: semi-global matching,
Lucas-Kanade tracking, PnP with RANSAC, refinement). A frame whose motion is not certain is refused
with the reason, and gets no pose.

The result is a trajectory of the left camera (of camera 0 for KITTI), which 'scenedino
folder-to-bag', 'kitti-to-bag' and 'index' take, or, with --format recording, a copy of the
recording with the poses on /tf. --compare shows errors relative to another trajectory: from frame
to frame, and drift over 100 m.
"""

import argparse
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from scenedino_ros.core.disk_space import bytes_on_disk, check_space
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_output
from scenedino_ros.terminal.progress import counting
from scenedino_ros.terminal.tables import print_whole
from scenedino_ros.terminal.values import name_list, numbers, positive

if TYPE_CHECKING:
    from scenedino_ros.recordings.odometry.stereo_sequence import StereoSequence
    from scenedino_ros.recordings.odometry.stereo_trajectory import StereoTrajectory
    from scenedino_ros.recordings.recording import Recording

_EPILOG = """\
examples:
  scenedino poses drive -o drive_with_poses --format recording
  scenedino poses drive -o poses.tum --cameras camera/infra1,camera/infra2 \\
      --body-frame camera_link
  scenedino poses kitti_odometry/sequences/06 -o 06.tum --report 06.csv
  scenedino poses kitti_odometry/sequences/06 --compare kitti_odometry/poses/06.txt
"""
_FORMATS = ("tum", "kitti", "recording")
_RECORDED = "recorded"
_SHOWN = 5  # refused frames that are described
_MOST_OFFSET_PX = 0.2
_REPORTED = (
    "frame",
    "time_s",
    "posed",
    "points",
    "inliers",
    "reprojection_px",
    "sigma_m",
    "sigma_deg",
    "offset_px",
    "reason",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("source", type=Path, help="recording, or folder of a KITTI drive")
    add_output(parser, "trajectory file, or folder of the new recording", required=False)
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="tum",
        help="of the output; kitti needs a pose of every frame (default: %(default)s)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="CSV file with a line for each frame"
    )
    parser.add_argument(
        "--compare",
        metavar="TRAJECTORY",
        help=f"TUM or KITTI file with poses of the same frame, or '{_RECORDED}': the source's own",
    )
    cameras = parser.add_argument_group("cameras")
    cameras.add_argument(
        "--cameras",
        type=name_list,
        default=(),
        metavar="LEFT,RIGHT",
        help="default: the best pair",
    )
    cameras.add_argument(
        "--baseline",
        type=positive,
        metavar="METRES",
        help="between the cameras of a rectified pair (default: what TF or CameraInfo states)",
    )
    cameras.add_argument(
        "--disparity-offset",
        type=numbers("px"),
        default=(0.0,),
        metavar="PX",
        help="add this to all disparities, where the calibration is not quite that of the images "
        "(default: 0)",
    )
    frames = parser.add_argument_group("frames of a recording")
    frames.add_argument(
        "--body-frame",
        default="base_link",
        metavar="FRAME",
        help="frame of the vehicle, x forward, y left, z up (default: %(default)s)",
    )
    frames.add_argument(
        "--poses-of",
        choices=("camera", "body"),
        default="camera",
        help="whose poses a trajectory file holds: the left camera's optical frame, or the "
        "body's (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Estimate, report, compare and write."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.recordings.datasets.kitti import is_kitti_drive, read_kitti_drive
    from scenedino_ros.recordings.odometry.stereo_sequence import (
        sequence_of_drive,
        sequence_of_recording,
    )
    from scenedino_ros.recordings.recording import Recording

    _check(options)
    if is_kitti_drive(options.source):
        if options.format == "recording":
            raise InputError("--format recording needs a recording; see scenedino kitti-to-bag")
        return _run(sequence_of_drive(read_kitti_drive(options.source), options.cameras), options)
    with counting("messages") as progress:
        recording = Recording(options.source, progress=progress)
    with recording:
        sequence = sequence_of_recording(
            recording,
            options.cameras,
            body_frame=options.body_frame,
            baseline=options.baseline,
            poses_of_body=options.poses_of == "body",
        )
        return _run(sequence, options, recording)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is computed.

    Raises:
        InputError: Saying what is needed.
    """
    if options.output is None and options.report is None and options.compare is None:
        raise InputError("one of --output, --report and --compare is needed, got none")
    if options.output is not None and options.output.exists():
        raise InputError(f"{options.output} exists already")


def _run(
    sequence: "StereoSequence", options: argparse.Namespace, recording: "Recording | None" = None
) -> int:
    from scenedino_ros.recordings.odometry.stereo_trajectory import stereo_trajectory

    if recording is not None and options.format == "recording" and options.output is not None:
        _check_free(recording, sequence, options.body_frame)
        source = options.source
        size = bytes_on_disk(source) if source.is_dir() else source.stat().st_size
        check_space(options.output, size, "the recording", "choose another folder")
    left, right = sequence.left, sequence.right
    pinhole = left.camera.pinhole
    baseline = float(np.linalg.norm(sequence.T_left_right[:3, 3]))
    print(
        f"{len(sequence.stamps_ns)} frames of {left.name} and {right.name}, "
        f"{pinhole.width} x {pinhole.height} px, {baseline:.3f} m apart",
        flush=True,
    )
    with counting("poses", "frames") as progress:
        trajectory = stereo_trajectory(
            sequence, offset_px=options.disparity_offset[0], progress=progress
        )
    _print_certainty(trajectory)
    if options.compare is not None:
        _print_errors(trajectory, sequence, options)
    if options.report is not None:
        _write_report(options.report, trajectory)
    if options.output is not None:
        _write(trajectory, sequence, options, recording)
        print(f"written to {options.output}")
    return 0


def _check_free(recording: "Recording", sequence: "StereoSequence", body_frame: str) -> None:
    """Refuse to add poses of a body whose place is in the recording already.

    Raises:
        InputError: Saying what there is.
    """
    parent = recording.index.parents.get(body_frame)
    if parent is not None or sequence.track is not None:
        there = f"a transform from '{body_frame}' to '{parent}'" if parent else "odometry"
        raise InputError(
            f"{recording.path} must not say where '{body_frame}' is, got {there}; write a file "
            "(--format tum) and give it to scenedino index --poses tum --pose-file"
        )


def _print_certainty(trajectory: "StereoTrajectory") -> None:
    """Report how certain the poses are, and which frames have none."""
    frames, measured = trajectory.frames, trajectory.measured
    print(f"{len(trajectory.posed)} of {len(frames)} frames have a pose")
    table = Table("of a frame", "median", "95 % of frames", "worst", box=None)
    for name, values, unit, worst_is_least in (
        ("points followed", [f.points for f in measured], "", True),
        ("points that agree", [f.inliers for f in measured], "", True),
        ("reprojection error", [f.error_px for f in measured], " px", False),
        ("uncertainty of the position", [f.sigma_m * 100 for f in measured], " cm", False),
        ("uncertainty of the rotation", [f.sigma_deg for f in measured], " deg", False),
    ):
        shown = np.percentile(values, [50, 5, 0] if worst_is_least else [50, 95, 100])
        table.add_row(name, *(f"{value:.3g}{unit}" for value in shown))
    print_whole(table)
    refused = sorted((n, why) for why, numbers in trajectory.refused().items() for n in numbers)
    for number, reason in refused[:_SHOWN]:
        print(f"refused: frame {number}: {reason}")
    if len(refused) > _SHOWN:
        print(f"refused: {len(refused) - _SHOWN} more frames; --report FILE lists all")
    offset = trajectory.offset_px
    if abs(offset) > _MOST_OFFSET_PX:
        print(
            f"warning: the motion suggests that all disparities are {abs(offset):.2f} px too "
            f"{'small' if offset > 0 else 'large'}, so the calibration may not be that of these "
            f"images; distances would be wrong, and the length of the drive. Compare with "
            f"--disparity-offset {offset:.2f}, and repeat until this warning is gone"
        )


def _print_errors(
    trajectory: "StereoTrajectory", sequence: "StereoSequence", options: argparse.Namespace
) -> None:
    """Report errors relative to another trajectory."""
    from scenedino_ros.recordings.odometry.trajectory_error import trajectory_error
    from scenedino_ros.recordings.trajectory_files import read_trajectory

    if options.compare == _RECORDED:
        if sequence.track is None:
            raise InputError(f"--compare {_RECORDED}: {options.source} has no poses of its own")
        reference = sequence.track.of_frame(sequence.T_base_file)
    else:
        reference = read_trajectory(Path(options.compare), dict(enumerate(sequence.stamps_ns)))
    errors = trajectory_error(trajectory.track(sequence.T_left_file), reference)
    print(
        f"compared with {options.compare}: {len(errors.step_m)} steps, "
        f"{np.median(errors.step_length):.2f} m each (median), {errors.length:.1f} m in all"
    )
    table = Table("error", "median", "RMS", "95 %", box=None)
    _add_errors(table, "position from frame to frame", errors.step_m * 100, "cm")
    _add_errors(table, "rotation from frame to frame", errors.step_deg, "deg")
    what = f"over {errors.drift_length:.0f} m"
    _add_errors(table, f"position {what}", errors.drift_m, "m")
    _add_errors(table, f"position {what}", errors.drift_m / errors.drift_length * 100, "%")
    _add_errors(table, f"rotation {what}", errors.drift_deg, "deg")
    print_whole(table)


def _add_errors(table: Table, name: str, values: np.ndarray, unit: str) -> None:
    if values.size:
        shown = (np.median(values), np.sqrt((values**2).mean()), np.percentile(values, 95))
        table.add_row(name, *(f"{value:.3g} {unit}" for value in shown))


def _write_report(path: Path, trajectory: "StereoTrajectory") -> None:
    """Write a line for each frame."""
    from scenedino_ros.core.files import write_atomically

    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(_REPORTED)
    for number, frame in enumerate(trajectory.frames):
        rows.writerow(
            (
                number,
                f"{frame.stamp_ns / 1e9:.9f}",
                int(frame.T_world_cam is not None),
                frame.points,
                frame.inliers,
                f"{frame.error_px:.4f}",
                f"{frame.sigma_m:.6f}",
                f"{frame.sigma_deg:.6f}",
                f"{frame.offset_px:.4f}",
                frame.reason,
            )
        )
    write_atomically(path, table.getvalue().encode())


def _write(
    trajectory: "StereoTrajectory",
    sequence: "StereoSequence",
    options: argparse.Namespace,
    recording: "Recording | None",
) -> None:
    from scenedino_ros.recordings.posed_copy import copy_with_poses
    from scenedino_ros.recordings.trajectory_files import (
        write_kitti_trajectory,
        write_tum_trajectory,
    )

    if options.format == "recording":
        assert recording is not None
        images = recording.camera(sequence.left.name).images
        with counting("messages") as progress:
            copy_with_poses(
                options.source,
                options.output,
                trajectory.track(sequence.T_left_base),
                options.body_frame,
                recorded_ns=dict(
                    zip(images.stamps_ns.tolist(), images.recorded_ns.tolist(), strict=True)
                ),
                static=_missing_transforms(recording, sequence, options.body_frame),
                progress=progress,
            )
        return
    track = trajectory.track(sequence.T_left_file)
    if options.format == "tum":
        write_tum_trajectory(options.output, track.stamps_ns.tolist(), track.T_world_body)
        return
    if len(track) != len(sequence.stamps_ns):
        raise InputError(
            f"--format kitti needs a pose of each of {len(sequence.stamps_ns)} frames, got "
            f"{len(track)}; choose --format tum"
        )
    write_kitti_trajectory(options.output, track.T_world_body)


def _missing_transforms(
    recording: "Recording", sequence: "StereoSequence", body_frame: str
) -> dict[tuple[str, str], np.ndarray]:
    """Return T_parent_child of the cameras that the recording has no transform of."""
    known = recording.index.tree.frames()
    left, right = sequence.left.frame, sequence.right.frame
    missing = {} if sequence.is_mounted else {(body_frame, left): sequence.T_base_left}
    if right not in known and right != left:
        missing[left, right] = sequence.T_left_right
    return missing
