# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Command line of the demo."""

import argparse
from pathlib import Path

from scenedino_ros.core.config import GridSettings, ModelSettings
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.terminal.arguments import add_calibration, add_node_voxels
from scenedino_ros.terminal.network_arguments import add_checkpoint, add_runtime
from scenedino_ros.terminal.values import count, positive, whole

DGP_CAMERA = "CAMERA_01"
_LAST_DOMAIN = 232
_DESCRIPTION = """\
Plays a drive through the node, as separate processes that talk over DDS (player, node, recorder),
and leaves in one folder: a rosbag2 recording that Foxglove opens with the layout beside it,
pictures and an animation, the voxels of one frame as PLY, the map of the drive with its occupancy
grid, and a table of rates, drops and latencies. Without arguments the drive is a synthetic street,
rendered once.
"""
_EPILOG = """\
examples:
  demo.sh
  demo.sh --kitti360 data_2d_raw/2013_05_28_drive_0000_sync --frames 100 --grid sscbench
  demo.sh --bag my_drive --image-topic /camera/image_raw --realtime
  demo.sh --images holiday/ --intrinsics 1450,1450,960,540 --rate 5
  demo.sh --images dashcam/ --camera-info calibration.yaml
  demo.sh --dgp scene_02 --camera CAMERA_05
  demo.sh --checkpoint ssc-kitti-360-dino --device cuda --realtime --loop 5

Each image is played when the node is done with the one before it, so every image is processed
whatever the machine; --realtime keeps the pace of the recording instead, and the node drops what
it cannot keep up with.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the demo's arguments."""
    parser = argparse.ArgumentParser(
        prog="demo.sh",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="folder in which every run gets a folder of its own (default: %(default)s)",
    )
    add_drive(parser, "a synthetic street")
    parser.set_defaults(seed=0)
    _add_play(parser.add_argument_group("playing"))
    _add_node(parser.add_argument_group("node"))
    results = parser.add_argument_group("results")
    results.add_argument(
        "--pictures",
        type=whole,
        default=6,
        metavar="N",
        help="PNG pictures, evenly over the drive; 0: nothing is drawn, and no voxels.ply "
        "written (default: %(default)s)",
    )
    results.add_argument(
        "--domain-id",
        type=_domain,
        default=-1,
        metavar="N",
        help="DDS domain, to watch the run with ROS tools (default: a random one)",
    )
    return parser


def _domain(text: str) -> int:
    """Parse the number of a DDS domain; those above 232 have no ports."""
    if not text.isdecimal() or int(text) > _LAST_DOMAIN:
        raise argparse.ArgumentTypeError(f"must be in 0 to {_LAST_DOMAIN}, got '{text}'")
    return int(text)


def add_drive(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare what is played.

    Args:
        parser: Gets the arguments that `make_drive` reads.
        default: What is played without them.
    """
    group = parser.add_argument_group(f"drive (default: {default})")
    source = group.add_mutually_exclusive_group()
    source.add_argument("--bag", type=Path, metavar="PATH", help="rosbag2 recording")
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of images")
    source.add_argument("--kitti360", type=Path, metavar="DIR", help="drive of KITTI-360")
    source.add_argument("--dgp", type=Path, metavar="DIR", help="DGP scene")
    source.add_argument("--seed", type=int, metavar="N", help="a synthetic street, by its number")
    group.add_argument(
        "--camera", default="", help=f"camera of the DGP scene (default: {DGP_CAMERA})"
    )
    group.add_argument("--image-topic", default="", metavar="TOPIC", help="images in the bag")
    group.add_argument("--camera-info-topic", default="", metavar="TOPIC", help="their CameraInfo")
    add_calibration(group)
    group.add_argument(
        "--rectified",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the images are rectified: use P, not K and D (default: if their topic says so)",
    )


def _add_play(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rate",
        type=positive,
        metavar="HZ",
        help="images per second (default: as recorded; image folders: 10)",
    )
    group.add_argument(
        "--frames",
        type=count,
        default=0,
        metavar="N",
        help="play only so many images in all, counted over all loops",
    )
    group.add_argument(
        "--loop",
        type=count,
        default=1,
        metavar="N",
        help="play the drive so many times, or until there were --frames images "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--realtime",
        action="store_true",
        help="keep the pace even where the node cannot, and let it drop images",
    )


def _add_node(group: argparse._ArgumentGroup) -> None:
    add_checkpoint(group)
    add_runtime(group, ModelSettings.precision, ModelSettings.engine)
    group.add_argument(
        "--grid",
        choices=tuple(GRID_PRESETS),
        default=GridSettings.preset,
        help="preset of the voxel grid (default: %(default)s)",
    )
    add_node_voxels(group)
    group.add_argument(
        "--map",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fuse the images in a map, where the drive has poses (default: %(default)s)",
    )
