# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Score the classes of a checkpoint on CamVid, beside k-means of its 2D backbone.

    python scripts/camvid.py camvid_val --checkpoint default

The folder holds ``image/NAME.jpg`` and ``label/NAME.png`` with the 11 classes of SegNet's version
of CamVid (Badrinarayanan et al., 2017). CamVid gives no calibration; the focal length is taken as
1.1 image widths. Rows of the table:

* own names: the rendered classes, by the names that the checkpoint has;
* best names: the same clusters, each named after the class it shows most in these images;
* 2D k-means: clusters of the backbone's tokens in these images, as many, named in the same way.

The last two know the labels of the images that they are scored on; the first does not.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model, resize_checkpoint
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.metrics import class_iou
from scenedino_ros.core.ray_spacing import INVERSE
from scenedino_ros.evaluation.segmentation.data import read_ids
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from train.semantics.clustering import name_clusters, spherical_kmeans

CAMVID = {
    "sky": ("sky",),
    "building": ("building", "wall"),
    "pole": ("pole",),
    "road": ("road",),
    "pavement": ("sidewalk",),
    "tree": ("vegetation", "terrain"),
    "sign": ("traffic sign", "traffic light"),
    "fence": ("fence",),
    "car": ("car", "truck", "bus", "train"),
    "pedestrian": ("person",),
    "bicyclist": ("bicycle", "rider", "motorcycle"),
}
VOID = len(CAMVID)
FOCAL = 1.1  # image widths; a guess
KMEANS_TOKENS = 40_000
ASSIGNMENT = "semantics.stego_cluster_head.pseudo_assignment"


def camera_of(rgb: np.ndarray) -> CalibratedCamera:
    """Return the assumed camera of an image."""
    height, width = rgb.shape[:2]
    focal = FOCAL * width
    return CalibratedCamera(
        PinholeCamera.from_focal(focal, focal, width / 2, height / 2, width, height)
    )


def with_clusters(checkpoint: Checkpoint) -> tuple[Checkpoint, np.ndarray]:
    """Return a checkpoint that predicts its clusters, and the CamVid class of each."""
    names = [
        next((i for i, ours in enumerate(CAMVID.values()) if name in ours), VOID)
        for name in checkpoint.classes.names
    ]
    assignment = checkpoint.state[ASSIGNMENT]
    state = {**checkpoint.state, ASSIGNMENT: torch.arange(len(assignment))}
    return replace(checkpoint, state=state), np.array(names)[assignment.numpy()]


def rendered_clusters(predictor: Predictor, rgb: np.ndarray) -> np.ndarray:
    """Return the (h, w) clusters of an image, at the size of the image."""
    encoded = predictor.encode(rgb, camera_of(rgb))
    view = predictor.render(
        encoded, downscale=1, n_samples=64, spacing=INVERSE, depth=False, semantic=True
    )
    assert view.label is not None
    return cv2.resize(view.label, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)


class BackboneClusters:
    """Spherical k-means of the tokens of a backbone, without their mean."""

    def __init__(self, checkpoint: Checkpoint, images: list[np.ndarray], n_clusters: int) -> None:
        """Find the clusters of some images."""
        self._encoder = build_model(checkpoint).encoder
        self._tokens = [self._of(image) for image in images]  # (C, rows, columns) each
        flat = torch.cat([tokens.flatten(1).T for tokens in self._tokens])
        self._mean = flat.mean(dim=0)
        generator = torch.Generator().manual_seed(0)
        some = flat[torch.randperm(len(flat), generator=generator)[:KMEANS_TOKENS]]
        self._centers = spherical_kmeans(
            functional.normalize(some - self._mean, dim=1), n_clusters, generator
        )

    def _of(self, rgb: np.ndarray) -> torch.Tensor:
        height, width = self._encoder.image_size
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        image = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            return self._encoder(image)[3][0]

    def map(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """Return the (height, width) clusters of an image, its tokens blended between patches."""
        tokens = self._tokens[index] - self._mean[:, None, None]
        fine = functional.interpolate(tokens[None], size, mode="bilinear")[0]
        return torch.einsum("chw,nc->nhw", fine, self._centers).argmax(dim=0).numpy()


def counted(labels: list[np.ndarray], clusters: list[np.ndarray], n: int) -> np.ndarray:
    """Return (11, n) counts of pixels by class and cluster, without those that are void."""
    total = np.zeros((VOID, n), np.int64)
    for label, cluster in zip(labels, clusters, strict=True):
        known = label < VOID
        pairs = label[known].astype(np.int64) * n + cluster[known]
        total += np.bincount(pairs, minlength=VOID * n).reshape(VOID, n)
    return total


def scored(counts: np.ndarray, names: np.ndarray) -> tuple[float, np.ndarray]:
    """Return accuracy and (11,) IoU of clusters with names; `VOID` is always wrong."""
    confusion = np.zeros((VOID + 1, VOID + 1), np.int64)
    for cluster, name in enumerate(names):
        confusion[:VOID, name] += counts[:, cluster]
    return float(np.trace(confusion) / confusion.sum()), class_iou(confusion)[:VOID]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", default="", help="file or name (default: the default one)")
    parser.add_argument("--every", type=int, default=1, help="score every n-th image")
    parser.add_argument(
        "--image-size", type=int, nargs=2, default=(288, 384), metavar=("H", "W"), help="288 384"
    )
    options = parser.parse_args()
    files = sorted((options.folder / "image").glob("*.jpg"))[:: options.every]
    if not files:
        raise InputError(f"{options.folder} must hold image/*.jpg, and does not")
    images = [read_rgb(file) for file in files]
    labels = [read_ids(options.folder / "label" / f"{file.stem}.png") for file in files]
    network = NetworkChoice(
        options.checkpoint, image_size=tuple(options.image_size), fit="stretch"
    )
    checkpoint = resize_checkpoint(network.load(), tuple(options.image_size))
    clustered, own = with_clusters(checkpoint)
    predictor = network.predictor(clustered)
    maps = [rendered_clusters(predictor, image) for image in images]
    counts = counted(labels, maps, len(own))
    backbone = BackboneClusters(checkpoint, images, len(own))
    flat = [backbone.map(i, label.shape) for i, label in enumerate(labels)]
    flat_counts = counted(labels, flat, len(own))
    rows = {
        "own names": scored(counts, own),
        "best names": scored(counts, name_clusters(counts, "none")),
        "2D k-means": scored(flat_counts, name_clusters(flat_counts, "none")),
    }
    print(f"{len(images)} images, {len(own)} clusters; %")
    print("".join(f"{name:>12}" for name in ("", "accuracy", "mIoU", *CAMVID)))
    for name, (accuracy, iou) in rows.items():
        values = (accuracy, iou.mean(), *iou)
        print(f"{name:>12}" + "".join(f"{100 * value:12.1f}" for value in values))


if __name__ == "__main__":
    main()
