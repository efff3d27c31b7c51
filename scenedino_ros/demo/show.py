# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pictures, animation and PLY file of a run, from its recording."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.demo.drives import Drive
from scenedino_ros.demo.recording import (
    Measurements,
    classes_of_cloud,
    frames,
    voxels_from_cloud,
)
from scenedino_ros.viewing.pictures import panel, write_animation, write_png
from scenedino_ros.viewing.voxel_files import write_ply

MOST_ANIMATED = 80  # frames; longer drives are thinned out
_RATE_LIMITS_HZ = (2.0, 10.0)


@dataclass(frozen=True)
class Shown:
    """What was drawn.

    Attributes:
        pictures: PNG files.
        animation: Animated file, or None without frames.
        mesh: PLY file, or None without frames.
        voxels: Numbers of published voxels of the frames drawn.
    """

    pictures: tuple[Path, ...]
    animation: Path | None
    mesh: Path | None
    voxels: tuple[int, ...]


def draw_run(
    run: Path,
    recording: Path,
    drive: Drive,
    measured: Measurements,
    grid: VoxelGrid,
    pictures: int,
    progress: Callable[[int, int], None],
) -> Shown:
    """Draw a panel per frame; write some as PNG, all as an animation, one frame's voxels as PLY.

    Args:
        run: Folder of the run.
        recording: Its recording.
        drive: What was played.
        measured: What the recording shows.
        grid: The node's grid.
        pictures: How many PNG files.
        progress: Called with how many panels are done, and how many there are.

    Raises:
        BagError: If the recording cannot be read.
        InputError: If a message in it is not what the node publishes.
    """
    chosen = evenly(sorted(set(measured.cloud_stamps)), MOST_ANIMATED)
    played = sorted(measured.image_stamps)
    kept = set(evenly(chosen, pictures))
    middle = chosen[len(chosen) // 2] if chosen else None
    drawn: list[np.ndarray] = []
    counts: list[int] = []
    files: list[Path] = []
    mesh = None
    (run / "pictures").mkdir(exist_ok=True)
    found = frames(
        recording, drive.image_topic, drive.info_topic, set(chosen), rectified=drive.rectified
    )
    for frame in found:
        if frame.rgb is None or frame.cloud is None:
            continue  # the image or its answer was not recorded
        number = played.index(frame.stamp_ns) + 1
        voxels, classes = voxels_from_cloud(frame.cloud, grid), classes_of_cloud(frame.cloud)
        counts.append(len(voxels))
        drawn.append(
            panel(
                frame.rgb,
                SimpleNamespace(depth=frame.depth, label=frame.label, camera=frame.view_camera),
                voxels,
                classes,
                T_grid_cam=frame.T_grid_cam,
                camera=frame.camera,
                title=f"{drive.name}: image {number} of {len(played)}",
                weights=measured.weights,
            )
        )
        if frame.stamp_ns in kept:
            files.append(run / "pictures" / f"image_{number:05d}.png")
            write_png(files[-1], drawn[-1])
        if frame.stamp_ns == middle:
            mesh = run / "voxels.ply"
            write_ply(mesh, voxels, classes, frame=frame.frame_id)
        progress(len(drawn), len(chosen))
    animation = run / "animation.webp" if drawn else None
    if animation:
        rate = min(max(drive.rate_hz, _RATE_LIMITS_HZ[0]), _RATE_LIMITS_HZ[1])
        write_animation(animation, drawn, rate_hz=rate)
    return Shown(tuple(files), animation, mesh, tuple(counts))


def evenly(items: list[int], count: int) -> list[int]:
    """Return at most so many of the items, evenly spread, first and last among them."""
    if len(items) <= count:
        return list(items)
    positions = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[position] for position in positions]
