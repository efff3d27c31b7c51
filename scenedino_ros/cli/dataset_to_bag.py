# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Convert a scene of DGP (DDAD) or a stereo pair of Argoverse into a rosbag2 recording.

A DGP folder contains scene_*.json, calibration and rgb; an
Argoverse folder contains left_rect.jpg, right_rect.jpg, left_disparity_gt.png and
vehicle_calibration_stereo_info.json. Images are recorded unchanged, with calibration and poses.
"""

import argparse
from pathlib import Path

from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_output
from scenedino_ros.terminal.progress import counting
from scenedino_ros.terminal.values import name_list

_EPILOG = """\
examples:
  scenedino dataset-to-bag dgp ddad_scene -o bags/ddad --cameras CAMERA_01,CAMERA_05,CAMERA_06
  scenedino dataset-to-bag argoverse argoverse_stereo -o bags/argoverse
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("kind", choices=("dgp", "argoverse"), help="format of the folder")
    parser.add_argument("source", type=Path, help="folder of the scene or pair")
    add_output(parser, "the recording; must not exist")
    parser.add_argument(
        "--cameras",
        type=name_list,
        default=(),
        metavar="A,B",
        help="of a DGP scene (default: all)",
    )


def run(options: argparse.Namespace) -> int:
    """Convert one folder."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.recordings.datasets.argoverse import read_argoverse_stereo
    from scenedino_ros.recordings.datasets.conversion import bag_from_argoverse, bag_from_dgp
    from scenedino_ros.recordings.datasets.dgp import dgp_cameras, read_dgp

    if options.kind == "argoverse":
        if options.cameras:
            raise InputError("--cameras is for a DGP scene; an Argoverse pair has two cameras")
        bag_from_argoverse(read_argoverse_stereo(options.source), options.output)
    else:
        cameras = options.cameras or dgp_cameras(options.source)
        drives = [read_dgp(options.source, name) for name in cameras]
        with counting(options.source.name) as progress:
            bag_from_dgp(drives, options.output, progress=progress)
    print(f"written to {options.output}")
    return 0
