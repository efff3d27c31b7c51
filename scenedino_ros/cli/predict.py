# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Find semantic voxels in an image, or in every image of a folder.

Each image gets a folder of its own, OUTPUT/<name of the image>, which appears when all files in
it are complete: voxels.npz (voxels, camera, rendered depth and classes, settings), voxels.ply
(coloured cubes), input.png, depth.png, classes.png and panel.png (all of them and the voxels in
3D). Images that have a result of the same settings are skipped.

Without --grid the voxels lie in the camera's optical frame (x right, y down, z forward). The
sscbench grids lie in a body frame (x forward, y left, z up) and need --camera-pose.

With --similar-to there is also similarity.png: how similar all pixels and voxels are to what one
pixel of the image shows, by the features of the network.

With --thresholds there is also thresholds.png: the voxels at each of these densities, from behind
the camera and from above, with their numbers. It helps to choose a threshold without ground
truth: one at which the space above the road is empty and objects still have no holes.

A bad image in a folder is reported, the others are predicted, and the exit code is 1.
"""

import argparse
from pathlib import Path

from scenedino_ros.cameras.image_folder import image_files
from scenedino_ros.core.config import GridSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.voxels import GRID_PRESETS, OPTICAL_FRAME_PRESETS, VoxelGrid
from scenedino_ros.recordings.transforms import matrix_from_numbers
from scenedino_ros.terminal.arguments import (
    add_calibration,
    add_force,
    add_grow,
    add_output,
)
from scenedino_ros.terminal.network_arguments import (
    add_checkpoint,
    add_fit,
    add_image_size,
    add_runtime,
    network_values,
)
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import counts, densities, not_negative, numbers, positive

_EPILOG = """\
examples:
  scenedino predict street.png --intrinsics 552.55,552.55,682.05,238.77 -o out
  scenedino predict street.png --camera-info calibration.yaml -o out --thresholds 0.2,0.5,1,2
  scenedino predict street.png --camera-info calibration.yaml -o out --similar-to 805,205
  scenedino predict drive/ --camera-info calibration.yaml -o out --checkpoint ssc-kitti-360-dino
  scenedino predict street.png --camera-info calibration.yaml --rectified -o out \\
      --grid sscbench --camera-pose 0.804,0.299,-0.177,-0.530,0.513,-0.464,0.491 --grow
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("images", type=Path, help="image file, or folder of image files")
    add_output(parser, "folder for the results")
    add_force(parser, "predict finished images again")
    camera = parser.add_argument_group("camera (one of the first two is needed)")
    add_calibration(camera, required=True)
    camera.add_argument(
        "--rectified", action="store_true", help="the images are rectified: use P, not K and D"
    )
    add_fit(camera)
    network = parser.add_argument_group("network")
    add_checkpoint(network)
    add_image_size(network)
    add_runtime(network)
    parser.add_argument(
        "--similar-to",
        type=numbers("U,V"),
        metavar="U,V",
        help="also draw what is similar to this pixel (column, row) of the image, as it was taken",
    )
    _add_grid_arguments(parser.add_argument_group("voxels"))


def _add_grid_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--grid",
        choices=tuple(GRID_PRESETS),
        default=GridSettings.preset,
        help="preset that the next three replace parts of (default: %(default)s)",
    )
    group.add_argument(
        "--origin", type=numbers("x,y,z"), metavar="x,y,z", help="minimum corner, metres"
    )
    group.add_argument("--shape", type=counts("X,Y,Z"), metavar="X,Y,Z", help="voxel counts")
    group.add_argument("--voxel-size", type=positive, metavar="METRES", help="edge of a voxel")
    group.add_argument(
        "--camera-pose",
        type=numbers("x,y,z,qx,qy,qz,qw"),
        metavar="x,y,z,qx,qy,qz,qw",
        help="pose of the camera's optical frame in the frame of the grid",
    )
    group.add_argument(
        "--threshold",
        type=not_negative,
        metavar="DENSITY",
        help="a voxel is occupied at this density or more, 1/m (default: the checkpoint's)",
    )
    group.add_argument(
        "--thresholds",
        type=densities,
        metavar="DENSITY,...",
        help="also draw the voxels at each of these densities, 1/m, into one picture",
    )
    add_grow(group)
    group.add_argument(
        "--exposed-only",
        action="store_true",
        help="only voxels with a face neighbour that is free or unknown, as the node publishes",
    )


def run(options: argparse.Namespace) -> int:
    """Predict the images that have no result yet, and report each."""
    images = list_images(options.images)
    grid = grid_from(options)
    pose = options.camera_pose
    T_grid_cam = None if pose is None else matrix_from_numbers(pose)
    with reporting("loading PyTorch"):
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.cli.prediction import Job, run_job
        from scenedino_ros.inference.network_choice import NetworkChoice

    job = Job(
        images=images,
        output=options.output,
        intrinsics=options.intrinsics,
        camera_info=options.camera_info,
        rectified=options.rectified,
        network=NetworkChoice(**network_values(options)),
        grid=grid,
        T_grid_cam=T_grid_cam,
        threshold=options.threshold,
        thresholds=options.thresholds,
        grow=options.grow,
        exposed_only=options.exposed_only,
        similar_to=options.similar_to,
        force=options.force,
    )
    return run_job(job, keep_going=options.images.is_dir())


def list_images(path: Path) -> list[Path]:
    """Return the image itself, or the images of a folder in natural order.

    Raises:
        InputError: If there is nothing at the path, or no image in the folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no image or folder at {path}")
    return image_files(path)


def grid_from(options: argparse.Namespace) -> VoxelGrid:
    """Return the grid the arguments describe.

    Raises:
        InputError: If the grid lies in a body frame and the camera's pose in it is not given.
    """
    preset = GRID_PRESETS[options.grid]
    if options.grid not in OPTICAL_FRAME_PRESETS and options.camera_pose is None:
        raise InputError(
            f"grid {options.grid} lies in a body frame (x forward, y left, z up): give the "
            "camera's pose in it with --camera-pose"
        )
    return VoxelGrid(
        options.origin or preset.origin,
        options.shape or preset.shape,
        options.voxel_size or preset.voxel_size,
    )
