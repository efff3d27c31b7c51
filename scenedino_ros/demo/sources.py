# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""From the arguments to a drive that can be played; data sets become recordings first."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.camera_file import camera_from_yaml
from scenedino_ros.cameras.from_msg import rgb_from_compressed, rgb_from_image
from scenedino_ros.cameras.image_folder import ImageFolder, read_image_folder
from scenedino_ros.cameras.plausibility import camera_from_intrinsics
from scenedino_ros.checkpoints.names import DEFAULT, PUBLISHED, UNTRAINED
from scenedino_ros.core.cache_folder import cache_folder, make_cache_folder
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.voxels import OPTICAL_FRAME_PRESETS
from scenedino_ros.demo.arguments import DGP_CAMERA
from scenedino_ros.demo.drives import DEFAULT_RATE_HZ, Drive, find_drive
from scenedino_ros.recordings.datasets.conversion import (
    bag_from_dgp,
    bag_from_images,
    bag_from_kitti360,
)
from scenedino_ros.recordings.datasets.dgp import read_dgp
from scenedino_ros.recordings.datasets.drive_writer import camera_info_cdr
from scenedino_ros.recordings.datasets.kitti360 import read_drive
from scenedino_ros.recordings.rosbag2.reader import BagReader

Progress = Callable[[str, int, int], None]  # what, done, in all
GROUND_HEIGHT = -0.90  # metres in base_link of KITTI-360's car, which the synthetic one copies
DRIVE_VERSION = 2  # raise when the synthetic street looks different
INPUT = "input"  # folder of the run's own recording of the input


def make_drive(args: argparse.Namespace, run: Path, progress: Progress) -> Drive:
    """Return the drive that the arguments ask for.

    Args:
        args: Parsed arguments.
        run: Folder of the run; data sets are converted into it.
        progress: Called with the progress of a conversion.

    Raises:
        InputError: If the arguments contradict each other, or the data cannot be used.
        BagError: If a recording cannot be read.
    """
    if args.camera and not args.dgp:
        raise InputError("--camera needs --dgp")
    if args.bag:
        return find_drive(
            args.bag,
            image_topic=args.image_topic,
            info_topic=args.camera_info_topic,
            has_calibration=bool(args.intrinsics or args.camera_info),
            rectified=args.rectified,
        )
    if args.image_topic or args.camera_info_topic:
        raise InputError("--image-topic and --camera-info-topic need --bag")
    if args.images:
        return _from_images(args, run, progress)
    if args.intrinsics or args.camera_info:
        raise InputError("--intrinsics and --camera-info need --images or --bag")
    if args.kitti360:
        kitti = read_drive(args.kitti360, ("image_00",)).posed()
        bag_from_kitti360(kitti, run / INPUT, progress=_named(progress, "converting KITTI-360"))
        return find_drive(
            run / INPUT,
            name=f"KITTI-360 {kitti.name}",
            rectified=True,
            body_frame="velodyne",
            ground_height=GROUND_HEIGHT,
        )
    if args.dgp:
        dgp = read_dgp(args.dgp, args.camera or DGP_CAMERA)
        bag_from_dgp([dgp], run / INPUT, progress=_named(progress, "converting DGP scene"))
        name = f"DGP {dgp.name} {dgp.camera_name}"
        return find_drive(run / INPUT, name=name, rectified=True, body_frame="base_link")
    bag = synthetic_street(args.seed, progress)
    name = f"synthetic street, seed {args.seed}"
    return find_drive(
        bag, name=name, rectified=True, body_frame="velodyne", ground_height=GROUND_HEIGHT
    )


def checkpoint_argument(text: str) -> str:
    """Return the checkpoint as the node's parameter: a published name, or a file's full path.

    Raises:
        InputError: If it is neither.
    """
    names = (DEFAULT, UNTRAINED, *PUBLISHED)
    if not text or text in names:
        return text
    path = Path(os.path.expanduser(text))
    if not path.is_file():
        raise InputError(f"checkpoint '{text}' is neither a file nor a name ({', '.join(names)})")
    return str(path.resolve())


def grid_frame(preset: str, wanted: str, drive: Drive) -> str:
    """Return the frame of a grid: the one that is wanted, or what fits its preset.

    Args:
        preset: A key of ``GRID_PRESETS``.
        wanted: A frame of the drive's TF, or empty.
        drive: Knows its body frame, or not.

    Returns:
        The frame; empty: the camera's.

    Raises:
        InputError: If the preset needs a frame, and none is known.
    """
    if wanted or preset in OPTICAL_FRAME_PRESETS:
        return wanted
    if not drive.body_frame:
        raise InputError(f"--grid {preset} needs --grid-frame, a frame of the drive's TF")
    return drive.body_frame


def write_calibration(args: argparse.Namespace, drive: Drive, folder: Path) -> str:
    """Write the calibration that the arguments give for a recording, as a serialized CameraInfo.

    Returns:
        The file; empty: the arguments give none.

    Raises:
        InputError: If it is not for images of this size.
    """
    if not (args.bag and (args.intrinsics or args.camera_info)):
        return ""
    with BagReader(drive.bag) as reader:
        message = next(reader.messages([drive.image_topic])).message
    rgb = rgb_from_compressed(message) if drive.compressed else rgb_from_image(message)
    camera = _calibration(args, rgb.shape[1], rgb.shape[0])
    path = folder / "camera_info.cdr"
    path.write_bytes(camera_info_cdr(camera, message.header.frame_id, 0))
    return str(path)


def synthetic_street(seed: int, progress: Progress) -> Path:
    """Return the recording of a synthetic drive, rendered on first use by a process of its own.

    Rendering that was interrupted resumes.

    Raises:
        InputError: If it cannot be rendered.
    """
    key = hashlib.sha256(json.dumps([DRIVE_VERSION, seed]).encode()).hexdigest()[:8]
    bag = cache_folder() / "streets" / f"street_{seed}_{key}"
    if bag.is_dir():
        return bag
    make_cache_folder("streets")
    command = [sys.executable, "-m", "scenedino_ros.streets.record"]
    command += ["--seed", str(seed), "--output", str(bag)]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        for line in process.stdout or ():
            if line.startswith("{"):  # a library may print other lines
                frames = json.loads(line)
                progress("rendering the street", frames["done"], frames["total"])
        said = process.stderr.read() if process.stderr else ""
        if process.wait() != 0:
            reason = said.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            raise InputError(f"the synthetic street cannot be rendered: {reason[0]}")
    finally:
        process.terminate()
        process.wait()
    return bag


def _from_images(args: argparse.Namespace, run: Path, progress: Progress) -> Drive:
    folder: ImageFolder = read_image_folder(args.images)
    camera = _calibration(args, folder.width, folder.height)
    left_out = bag_from_images(
        folder,
        camera,
        run / INPUT,
        rate_hz=args.rate or DEFAULT_RATE_HZ,
        progress=_named(progress, "converting images"),
    )
    for sentence in left_out:
        print(sentence, file=sys.stderr)
    if left_out:
        print(f"{len(left_out)} of {len(folder.paths)} images are left out", file=sys.stderr)
    drive = find_drive(run / INPUT, name=args.images.name)
    return replace(drive, left_out=len(left_out))


def _calibration(args: argparse.Namespace, width: int, height: int) -> CalibratedCamera:
    if args.intrinsics:
        return camera_from_intrinsics(args.intrinsics, width, height)
    if not args.camera_info:
        raise InputError(
            "images need a calibration: --intrinsics fx,fy,cx,cy or --camera-info file.yaml"
        )
    camera = camera_from_yaml(args.camera_info, rectified=bool(args.rectified))
    size = camera.pinhole.width, camera.pinhole.height
    if size != (width, height):
        raise InputError(
            f"{args.camera_info} is for images of {size[0]} x {size[1]}, "
            f"but these have {width} x {height}"
        )
    return camera


def _named(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)
