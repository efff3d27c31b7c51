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
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenedino_ros.cli.pose_figures import print_certainty, print_errors, write_report
from scenedino_ros.core.disk_space import bytes_on_disk, check_space
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_output
from scenedino_ros.terminal.progress import counting
from scenedino_ros.terminal.values import name_list, numbers, positive

if TYPE_CHECKING:
    from scenedino_ros.recordings.odometry.stereo_sequence import StereoSequence
    from scenedino_ros.recordings.odometry.stereo_trajectory import StereoTrajectory
    from scenedino_ros.recordings.poses import PoseTrack
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
_BODY_FRAME = "base_link"
_WHOSE = ("camera", "body")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("source", type=Path, help="recording, or folder of a KITTI drive")
    add_output(parser, "trajectory file, or folder of the new recording", required=False)
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="tum",
        help="of the output; kitti needs a pose of every frame, and frames that count from 0 "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="CSV file with a line for each frame"
    )
    parser.add_argument(
        "--compare",
        metavar="TRAJECTORY",
        help="TUM or KITTI file (line i is frame i) with poses of the same frame, or "
        f"'{_RECORDED}': the source's own",
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
        default=_BODY_FRAME,
        metavar="FRAME",
        help="frame of the vehicle, x forward, y left, z up (default: %(default)s)",
    )
    frames.add_argument(
        "--poses-of",
        choices=_WHOSE,
        default=_WHOSE[0],
        help="whose poses a trajectory file holds: the left camera's optical frame, or the "
        "body's (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Estimate, write, report and compare."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.recordings.datasets.kitti import is_kitti_drive, read_kitti_drive
    from scenedino_ros.recordings.odometry.stereo_sequence import (
        sequence_of_drive,
        sequence_of_recording,
    )
    from scenedino_ros.recordings.recording import Recording

    _check(options)
    if is_kitti_drive(options.source):
        _check_drive_options(options)
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
    """Refuse options that do not go together, and files that could not be written.

    Raises:
        InputError: Saying what is needed.
    """
    if options.output is None and options.report is None and options.compare is None:
        raise InputError("one of --output, --report and --compare is needed, got none")
    outputs = [] if options.output is None else [options.output]
    if outputs and options.format == "kitti":
        outputs.append(_instead(options.output))
    for path in outputs:
        if path.exists():
            raise InputError(f"{path} exists already")
    files = [] if options.format == "recording" else outputs
    if options.report is not None:
        files = [*files, options.report]
        if options.report in outputs:
            raise InputError(f"--report must be another file than --output, got {options.report}")
        if options.report.is_dir():
            raise InputError(f"--report must name a file, got the folder {options.report}")
    for path in files:
        if not path.parent.is_dir():
            raise InputError(f"{path} must be in a folder that exists, got none at {path.parent}")


def _check_drive_options(options: argparse.Namespace) -> None:
    """Refuse what a KITTI drive cannot be asked for.

    Raises:
        InputError: Naming the options.
    """
    if options.format == "recording":
        raise InputError("--format recording needs a recording; see scenedino kitti-to-bag")
    others = {
        "--baseline": options.baseline is not None,
        "--body-frame": options.body_frame != _BODY_FRAME,
        "--poses-of": options.poses_of != _WHOSE[0],
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise InputError(
            f"{', '.join(given)} must go with a recording, got the KITTI drive {options.source}, "
            "whose calibration says where its cameras are"
        )


def _instead(output: Path) -> Path:
    """Return where poses go that a file in KITTI's format cannot hold."""
    return output.with_name(f"{output.name}.tum")


def _run(
    sequence: "StereoSequence", options: argparse.Namespace, recording: "Recording | None" = None
) -> int:
    from scenedino_ros.recordings.odometry.stereo_trajectory import stereo_trajectory

    if recording is not None and options.format == "recording" and options.output is not None:
        _check_free(recording, sequence, options.body_frame)
        source = options.source
        size = bytes_on_disk(source) if source.is_dir() else source.stat().st_size
        check_space(options.output, size, "the recording", "choose another folder")
    _check_numbers(sequence, options)
    reference = None if options.compare is None else _reference(sequence, options)
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
    print_certainty(trajectory, sequence)
    written = options.output
    if options.output is not None:
        written = _write(trajectory, sequence, options, recording)
        print(f"written to {written}")
    if options.report is not None:
        write_report(options.report, trajectory, sequence)
    if reference is not None:
        print_errors(trajectory.track(sequence.T_left_file), reference, options.compare)
    if written != options.output:
        raise InputError(
            f"--format kitti needs a pose of each of {len(trajectory.frames)} frames, got "
            f"{len(trajectory.posed)}; the poses are in {written}, in TUM's format"
        )
    return 0


def _check_numbers(sequence: "StereoSequence", options: argparse.Namespace) -> None:
    """Refuse KITTI's format, in which line i is frame i, where the frames have other numbers.

    Raises:
        InputError: Naming the numbers.
    """
    frames = list(sequence.frames)
    if options.output is None or options.format != "kitti" or frames == [*range(len(frames))]:
        return
    raise InputError(
        f"--format kitti needs frames 0 to {len(frames) - 1}, because line i is frame i; got "
        f"{len(frames)} frames from {frames[0]} to {frames[-1]}; choose --format tum"
    )


def _reference(sequence: "StereoSequence", options: argparse.Namespace) -> "PoseTrack":
    """Return the trajectory to compare with.

    Raises:
        InputError: If there is none, or it has no pose of any frame.
    """
    from scenedino_ros.recordings.datasets.drive import refuse_without_poses
    from scenedino_ros.recordings.trajectory_files import read_trajectory

    if options.compare == _RECORDED:
        if sequence.track is None:
            raise InputError(f"--compare {_RECORDED}: {options.source} has no poses of its own")
        return sequence.track.of_frame(sequence.T_base_file)
    stamps = dict(zip(sequence.frames, sequence.stamps_ns, strict=True))
    reference = read_trajectory(Path(options.compare), stamps)
    refuse_without_poses(reference, stamps.values(), options.compare)
    return reference


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


def _write(
    trajectory: "StereoTrajectory",
    sequence: "StereoSequence",
    options: argparse.Namespace,
    recording: "Recording | None",
) -> Path:
    """Write the poses; return where they are, which `_instead` says if KITTI's format cannot."""
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
        return Path(options.output)
    track = trajectory.track(sequence.T_left_file)
    is_whole = len(track) == len(sequence.stamps_ns)
    if options.format == "kitti" and is_whole:
        write_kitti_trajectory(options.output, track.T_world_body)
        return Path(options.output)
    path = Path(options.output) if options.format == "tum" else _instead(options.output)
    write_tum_trajectory(path, track.stamps_ns.tolist(), track.T_world_body)
    return path


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
