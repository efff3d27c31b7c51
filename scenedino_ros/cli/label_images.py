# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Name the class of every pixel of recorded images with a 2D segmentation network.

The images are those of frame stores ('scenedino index'). The network is an ONNX file or a
TorchScript archive that maps (1, 3, height, width) images to (1, classes, height, width) scores,
or a checkpoint of this package, whose encoder and semantic head name classes without its field: a
head that stage 2 has trained with 'features: image' is STEGO.
Each class map is a grey PNG of train ids, OUTPUT/STORE/CAMERA/FRAME.png, with 255 where the
network names no class of the table. S4C learns from them (setting data.class_maps of stage 1).

The command may be stopped at any time; called again, it labels the images that have no map yet.
"""

import argparse
import glob
import itertools
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.config import DEVICES
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.recordings.frame_store.class_maps import ClassMapFolder
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.terminal.arguments import add_output
from scenedino_ros.terminal.network_arguments import add_mode
from scenedino_ros.terminal.progress import counting
from scenedino_ros.terminal.values import image_size, name_list, numbers

_EPILOG = """\
examples:
  scenedino label-images data/stores/drive --network segmentation.onnx -o maps
  scenedino label-images data/stores/drive --network stego.safetensors --crf -o maps
  scenedino label-images 'stores/*' --network segmentation.pt -o maps --input-size 288x1024 \\
      --cameras camera_00,camera_01
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("stores", nargs="+", help="frame stores: paths, or patterns with *")
    parser.add_argument(
        "--network",
        type=Path,
        required=True,
        metavar="FILE",
        help=".onnx, TorchScript (.pt; it can write files, so only from those you trust) or a "
        "checkpoint of this package (.safetensors)",
    )
    add_output(parser, "folder of the class maps")
    parser.add_argument(
        "--cameras", type=name_list, default=(), metavar="A,B", help="default: all"
    )
    parser.add_argument(
        "--crf",
        action="store_true",
        help="refine each map with a dense CRF, as STEGO is evaluated (slow)",
    )
    parser.add_argument(
        "--input-size",
        type=image_size,
        metavar="HxW",
        help="to which images are resized for the network, pixels (default: as they are)",
    )
    parser.add_argument(
        "--mean",
        type=numbers("r,g,b"),
        metavar="R,G,B",
        help="subtracted from RGB in 0 to 1 (default: that of ImageNet)",
    )
    parser.add_argument(
        "--std",
        type=numbers("r,g,b"),
        metavar="R,G,B",
        help="by which is divided then (default: that of ImageNet)",
    )
    parser.add_argument(
        "--ids",
        type=_ids,
        default=(),
        metavar="ID,ID",
        help="train id of each class of the network, 255 for none (default: class k is train id "
        f"k, those beyond {len(CITYSCAPES19) - 1} are 255)",
    )
    add_mode(parser)
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="of TorchScript; OpenVINO runs ONNX on the processor (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Label the images without a map."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.evaluation.run_folder import begin_predictions

    stores = _open(options.stores)
    if not options.network.is_file():
        raise InputError(f"there is no segmentation network {options.network}")
    label, form = _network(options)
    settings = {"network": file_sha256(options.network), "crf": options.crf, **form}
    jobs = []
    for store in stores:
        maps = ClassMapFolder(options.output, store)
        for camera in _cameras(store, options.cameras):
            jobs += [(maps, camera, frame) for frame in range(len(store))]
    missing = [job for job in jobs if not job[0].path(*job[1:]).exists()]
    answers = (label(maps.store.image(camera, frame)) for maps, camera, frame in missing)
    # A network that fails leaves no folder that refuses the next try with other settings.
    first = [next(answers)] if missing else []
    current, stored = begin_predictions(options.output, settings)
    if stored != current:
        raise InputError(
            f"{options.output} holds class maps made with another network or other settings; "
            "choose another folder"
        )
    with counting("labelled", "images") as count:
        found = zip(missing, itertools.chain(first, answers), strict=True)
        for done, ((maps, camera, frame), labels) in enumerate(found, start=1):
            maps.write(camera, frame, labels)
            count(done, len(missing))
    kept = len(jobs) - len(missing)
    print(f"{options.output}: {len(missing)} class maps written, {kept} were there")
    return 0


def _network(
    options: argparse.Namespace,
) -> tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]]:
    """Return what labels an image, and the settings that its maps depend on.

    Raises:
        InputError: If the network cannot be used, or options do not fit it.
    """
    from scenedino_ros.checkpoints.checkpoint import load_checkpoint
    from scenedino_ros.evaluation.segmentation.crf import refine_labels
    from scenedino_ros.inference.segmentation_network import (
        SegmentationInput,
        SegmentationNetwork,
    )
    from scenedino_ros.inference.token_classes import TokenClasses

    given = {"size": options.input_size, "mean": options.mean, "std": options.std}
    given = {name: value for name, value in given.items() if value is not None}
    label: Callable[[np.ndarray], np.ndarray]
    if options.network.suffix == ".safetensors":
        if given or options.ids:
            raise InputError(
                "--input-size, --mean, --std and --ids are for other networks than checkpoints of "
                "this package"
            )
        checkpoint = load_checkpoint(options.network)
        label = TokenClasses(checkpoint, options.mode, options.device)
        settings: dict[str, Any] = {"mode": options.mode}
    else:
        form = SegmentationInput(**given, ids=options.ids)
        label = SegmentationNetwork(options.network, form, len(CITYSCAPES19), options.device)
        settings = asdict(form)
    if not options.crf:
        return label, settings

    def refine(rgb: np.ndarray) -> np.ndarray:
        found = label(rgb)
        unknown = found == IGNORE
        if unknown.any():  # one class more, not 256 classes
            found = np.where(unknown, len(CITYSCAPES19), found).astype(np.uint8)
        refined = refine_labels(found, rgb)
        refined[refined == len(CITYSCAPES19)] = IGNORE
        return refined

    return refine, settings


def _open(patterns: list[str]) -> list[FrameStore]:
    """Return the stores that paths and patterns name.

    Raises:
        InputError: If a pattern names none, or two stores have one name.
    """
    paths: list[Path] = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern))
        if not found:
            raise InputError(f"no frame store is at '{pattern}'")
        paths += [Path(path) for path in found]
    names = [path.name for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"frame stores must have different names, got twice: {', '.join(twice)}")
    return [FrameStore(path) for path in paths]


def _cameras(store: FrameStore, wanted: tuple[str, ...]) -> list[str]:
    """Return the chosen cameras that a store has.

    Raises:
        InputError: If it has none of them.
    """
    found = [camera for camera in store.cameras if not wanted or camera in wanted]
    if not found:
        raise InputError(
            f"{store.path} must have one of the cameras {', '.join(wanted)}, "
            f"got {', '.join(store.cameras)}"
        )
    return found


def _ids(text: str) -> tuple[int, ...]:
    """Parse train ids separated by commas; they may repeat."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) <= IGNORE for part in parts):
        raise argparse.ArgumentTypeError(f"must be train ids of 0 to {IGNORE}, got '{text}'")
    return tuple(map(int, parts))
