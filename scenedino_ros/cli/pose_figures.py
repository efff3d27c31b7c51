# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What ``scenedino poses`` says of its trajectory: how certain it is, its errors, a report."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from scenedino_ros.core.files import write_atomically
from scenedino_ros.terminal.tables import print_whole

if TYPE_CHECKING:
    from scenedino_ros.recordings.odometry.stereo_sequence import StereoSequence
    from scenedino_ros.recordings.odometry.stereo_trajectory import StereoTrajectory
    from scenedino_ros.recordings.poses import PoseTrack

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


def print_certainty(trajectory: "StereoTrajectory", sequence: "StereoSequence") -> None:
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
    refused = sorted((n, why) for why, indices in trajectory.refused().items() for n in indices)
    for index, reason in refused[:_SHOWN]:
        print(f"refused: frame {sequence.frames[index]}: {reason}")
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


def print_errors(estimated: "PoseTrack", reference: "PoseTrack", name: str) -> None:
    """Report errors relative to another trajectory."""
    from scenedino_ros.recordings.odometry.trajectory_error import trajectory_error

    errors = trajectory_error(estimated, reference)
    print(
        f"compared with {name}: {len(errors.step_m)} steps, "
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


def write_report(path: Path, trajectory: "StereoTrajectory", sequence: "StereoSequence") -> None:
    """Write a line for each frame."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(_REPORTED)
    for number, frame in zip(sequence.frames, trajectory.frames, strict=True):
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
