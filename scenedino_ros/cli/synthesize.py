# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Render synthetic drives down procedural streets, with ground truth.

Every seed is another street. The car has KITTI-360's cameras: a rectified pair ahead and a fisheye
to each side. A drive becomes a rosbag2 recording with images, calibration, poses, classes
(Cityscapes train ids) and depth, or the folders of KITTI-360 and SSCBench-KITTI-360 with images,
label ids, poses and, at every 5th frame, voxels, including occluded ones. The same command resumes
an interrupted run.
"""

import argparse
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scenedino_ros.core.disk_space import bytes_in_words, check_space, free_bytes
from scenedino_ros.terminal.arguments import add_workers
from scenedino_ros.terminal.progress import about, counting, seconds_ahead
from scenedino_ros.terminal.values import NUMBER_RANGES, count, number_ranges, positive

if TYPE_CHECKING:
    from scenedino_ros.streets.dataset import SyntheticDataset

_EPILOG = """\
examples:
  scenedino synthesize streets --seeds 0-9
  scenedino synthesize streets --seeds 0-9 --fisheye-crop --rays 2
  scenedino synthesize streets --seeds 900-903 --frames 50 --write bags folders
  scenedino synthesize traffic --seeds 2000,2001 --moving-cars 4 --write folders
"""
_WORTH_TRYING = 100  # frames per process, to render two of them only to see how long it takes
_CAMERAS = ("camera_00", "camera_01", "camera_02", "camera_03")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "output", type=Path, help="folder of the drives; an interrupted run is resumed"
    )
    parser.add_argument(
        "--seeds",
        type=number_ranges,
        default=(0,),
        metavar=NUMBER_RANGES,
        help="seeds of the streets (default: 0)",
    )
    parser.add_argument(
        "--frames",
        type=count,
        default=100,
        metavar="N",
        help="number of frames per drive (default: %(default)s)",
    )
    parser.add_argument(
        "--rate", type=positive, default=10.0, metavar="HZ", help="default: %(default)s"
    )
    parser.add_argument(
        "--speed", type=positive, default=8.0, metavar="M/S", help="default: %(default)s"
    )
    parser.add_argument(
        "--moving-cars",
        type=count,
        default=0,
        metavar="N",
        help="cars that drive along the lanes, on which nothing else stands then "
        "(default: nothing moves)",
    )
    parser.add_argument(
        "--write",
        nargs="+",
        choices=("bags", "folders"),
        default=("bags",),
        help="recordings, or the folders of KITTI-360 and SSCBench with voxels (default: bags)",
    )
    parser.add_argument(
        "--no-voxels", action="store_true", help="leave the voxels out of the folders"
    )
    group = parser.add_argument_group("cameras")
    group.add_argument(
        "--cameras", nargs="+", choices=_CAMERAS, default=_CAMERAS, help="default: all four"
    )
    group.add_argument(
        "--width",
        type=count,
        default=704,
        metavar="PX",
        help="columns of the rectified images; KITTI-360 has 1408 (default: %(default)s)",
    )
    group.add_argument(
        "--fisheye-width",
        type=count,
        default=700,
        metavar="PX",
        help="columns and rows of the fisheye images; KITTI-360 has 1400 (default: %(default)s)",
    )
    group.add_argument(
        "--fisheye-crop",
        action="store_true",
        help="render only the part of fisheye images that training uses; the rest is black",
    )
    group.add_argument(
        "--rays",
        type=int,
        choices=(1, 2, 4),
        default=4,
        help="per pixel; fewer are faster, but edges are less smooth (default: %(default)s)",
    )
    add_workers(parser, "processes (default: one per core, at most 4)", default=0)


def run(arguments: argparse.Namespace) -> int:
    """Make the drives; return the exit code."""
    from scenedino_ros.streets.dataset import DatasetSettings, SyntheticDataset
    from scenedino_ros.streets.render import RenderSettings
    from scenedino_ros.streets.rig import RigSettings

    rig = RigSettings(tuple(arguments.cameras), arguments.width, arguments.fisheye_width)
    render = RenderSettings(rig, arguments.rays, arguments.fisheye_crop)
    settings = DatasetSettings(
        arguments.frames, arguments.rate, arguments.speed, render, arguments.moving_cars
    )
    dataset = SyntheticDataset(arguments.output, settings)
    _check_disk(dataset, arguments)
    start = time.perf_counter()
    with counting("rendering", "frames") as progress:
        rendered = dataset.make(
            arguments.seeds,
            arguments.write,
            voxels=not arguments.no_voxels,
            workers=arguments.workers,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    print(f"{len(arguments.seeds)} drives of {arguments.frames} frames in {arguments.output}")
    if rendered:
        print(f"rendered {rendered} frames in {seconds:.0f} s, {rendered / seconds:.2f} frames/s")
    return 0


def _check_disk(dataset: "SyntheticDataset", arguments: argparse.Namespace) -> None:
    """Report the size of the drives, and refuse them if the disk has no room."""
    from scenedino_ros.streets.size_on_disk import rendered_bytes

    voxels = not arguments.no_voxels
    missing = dataset.missing(arguments.seeds, arguments.write, voxels=voxels)
    needed = rendered_bytes(
        dataset.settings.render,
        arguments.write,
        missing,
        voxels=voxels,
        moving=dataset.settings.moving_cars > 0,
    )
    frames = sum(map(len, missing))
    free, seconds = free_bytes(dataset.path), 0.0
    if needed <= free:
        seconds = _seconds(dataset, frames, arguments)
    print(
        f"{frames} frames to render, about {bytes_in_words(needed)}{about(seconds)}; "
        f"{bytes_in_words(free)} free in {dataset.path}",
        flush=True,
    )
    remedy = "choose another folder, fewer seeds or --frames, or a smaller --width"
    check_space(dataset.path, needed, "the drives", remedy)


def _seconds(dataset: "SyntheticDataset", frames: int, arguments: argparse.Namespace) -> float:
    """Return about how many seconds frames will take; 0 for few frames, where it is not tried."""
    from scenedino_ros.streets.drive_folders import VOXEL_STRIDE
    from scenedino_ros.streets.render import usual_workers

    # More processes than cores are not faster.
    at_once = min(arguments.workers or usual_workers(), os.cpu_count() or 1)
    per_process, seed = math.ceil(frames / at_once), arguments.seeds[0]
    if per_process < _WORTH_TRYING:
        return 0.0
    seconds = seconds_ahead(
        per_process, lambda numbers: dataset.render_some(seed, numbers, arguments.write)
    )
    if "folders" in arguments.write and not arguments.no_voxels:
        grids = per_process // VOXEL_STRIDE
        seconds += seconds_ahead(grids, lambda numbers: dataset.fill_some(seed, numbers))
    return seconds
