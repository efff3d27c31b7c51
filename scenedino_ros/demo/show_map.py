# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pictures and animation of the map of a run, from its recording."""

from dataclasses import dataclass
from pathlib import Path

from scenedino_ros.demo.drives import Drive
from scenedino_ros.demo.map_recording import map_moments, map_stamps
from scenedino_ros.demo.recording import Measurements, input_camera
from scenedino_ros.demo.show import MOST_ANIMATED, evenly
from scenedino_ros.viewing.drive_map import DriveMap
from scenedino_ros.viewing.map_panel import grid_panel, growing_panel, map_panel
from scenedino_ros.viewing.pictures import write_animation, write_png

_MOST_BYTES = 4_000_000  # of the animation
_SECONDS = 8.0  # that the animation takes, as far as its rate stays within the limits
_RATE_LIMITS_HZ = (2.0, 10.0)


@dataclass(frozen=True)
class ShownMap:
    """What was drawn of the map.

    Attributes:
        map: PNG file of the map from above and in 3D.
        grid: PNG file of the occupancy grid.
        animation: Animated file of the map growing.
        voxels: Number of voxels of the last map.
    """

    map: Path
    grid: Path
    animation: Path
    voxels: int


def draw_map(run: Path, recording: Path, drive: Drive, measured: Measurements) -> ShownMap | None:
    """Draw the last map and its occupancy grid, and how they grow; None if there is no map.

    Args:
        run: Folder of the run.
        recording: Its recording.
        drive: What was played.
        measured: What the recording shows.

    Raises:
        BagError: If the recording cannot be read.
        InputError: If a message in it is not what the node publishes.
    """
    if drive.map_frames is None:
        return None
    stamps = set(evenly(map_stamps(recording), MOST_ANIMATED))
    moments = list(map_moments(recording, drive.map_frames, measured.camera_frame, stamps))
    if not moments:
        return None
    whole = DriveMap([moment.voxels.grid for moment in moments])
    for moment in moments:
        whole.update(moment.voxels, moment.cost)
    track = [moment.T_map_robot for moment in moments]
    shown = whole.known(track)
    growing = DriveMap([moment.voxels.grid for moment in moments])
    played = sorted(measured.image_stamps)
    drawn = []
    for count, moment in enumerate(moments, 1):
        growing.update(moment.voxels, moment.cost)
        number = played.index(moment.stamp_ns) + 1
        title = f"{drive.name}: map after image {number} of {len(played)}"
        drawn.append(
            growing_panel(
                growing,
                moment.classes,
                track[:count],
                shown,
                title=title,
                weights=measured.weights,
            )
        )
    last = moments[-1]
    result = ShownMap(
        run / "map.png", run / "occupancy_grid.png", run / "map.webp", len(last.voxels)
    )
    write_png(
        result.map,
        map_panel(
            whole,
            last.voxels,
            last.classes,
            track,
            T_map_cam=last.T_map_cam,
            camera=input_camera(recording, drive.info_topic, rectified=drive.rectified),
            title=title,
            weights=measured.weights,
        ),
    )
    write_png(result.grid, grid_panel(whole, track, title=title, weights=measured.weights))
    rate = min(max(len(drawn) / _SECONDS, _RATE_LIMITS_HZ[0]), _RATE_LIMITS_HZ[1])
    write_animation(result.animation, drawn, rate_hz=rate, most_bytes=_MOST_BYTES)
    return result
