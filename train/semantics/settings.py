# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""All settings of a run of stage 2. The defaults are the published recipe.

Three savings, which do not change the expected gradients, are on by default: distances for the
choice of crops are rendered on every fourth pixel, clusters and probes learn from random pixels,
and crops are kept in half precision. ``train/configs/semantics_plain.yaml`` turns them off.
"""

import math
from dataclasses import dataclass, field

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.setting import setting
from train.runs.settings import RunSettings
from train.semantics.crops import N_BINS


@dataclass(frozen=True)
class ImageSettings:
    """The images of a run."""

    stores: tuple[str, ...] = setting((), "Frame stores to learn from: paths, or patterns with *")
    validation: tuple[str, ...] = setting(
        (), "Frame stores with labels that name and score the clusters; never learned from"
    )
    cameras: tuple[str, ...] = setting(
        ("camera_00",), "Cameras whose labels the probes learn from, where a drive has them"
    )
    side_cameras: tuple[str, ...] = setting(
        ("camera_02", "camera_03"), "Cameras whose images are used without labels"
    )
    side_share: float = setting(
        0.5, "Fraction of the steps that use side cameras, if any drive has them", low=0, high=1
    )
    every: int = setting(1, "Use every n-th frame of a drive", low=1)
    cache_mb: int = setting(
        2000,
        "Memory for feature maps of images that may be drawn again, in half precision; 0: none",
        unit="MiB",
        low=0,
    )


@dataclass(frozen=True)
class CropSettings:
    """3D crops around surface points, and how they are compared."""

    stride: int = setting(
        4, "Distances are rendered for every n-th pixel of both axes, to choose crops", low=1
    )
    samples: int = setting(32, "Samples per ray", low=2)
    points: int = setting(576, "Points of a crop", low=1)
    radius: float = setting(0.5, "Radius of a crop", unit="m", low=0.0)
    window: float = setting(
        0.5,
        "Edge of a crop where features is image, as a fraction of the height of the image",
        low=0.05,
        high=1.0,
    )
    memory: int = setting(256, "Crops that are kept to draw partners from", low=6)
    half: bool = setting(True, "Keep these crops in half precision")
    neighbours: int = setting(
        4, "Number of nearest crops from which the neighbour is drawn", low=1
    )
    dropout: float = setting(
        0.1, "Fraction of feature and code channels that dropout removes", low=0.0, high=0.9
    )
    centred: bool = setting(
        False,
        "Subtract the mean feature before features are compared; needed where all features "
        "are similar",
    )


@dataclass(frozen=True)
class HeadSettings:
    """The semantic head, and how it is trained."""

    code_dim: int = setting(64, "Channels of the distilled code", low=1)
    clusters: int = setting(19, "Number of clusters; several may get the same class", low=1)
    mlp_probe: bool = setting(False, "Give the probes a hidden layer")
    start: str = setting(
        "random",
        "Initial code: random, or whitened: principal components of the features without the "
        "direction of their mean, the strongest ones weakened",
        choices=("random", "whitened"),
    )
    distil: bool = setting(
        True, "Train the code by correlation distillation; if not, it stays as it starts"
    )
    cluster_by: str = setting(
        "gradient",
        "Train cluster centres by gradient descent from a random start, or compute them by "
        "spherical k-means whenever clusters are named",
        choices=("gradient", "kmeans"),
    )
    learning_rate: float = setting(5e-4, "Learning rate of the code", low=0.0)
    probe_factor: float = setting(
        10.0, "Learning rate of clusters and probes, divided by that of the code", low=0.0
    )
    pixels: int = setting(
        4096, "Random pixels of an image that clusters and probes learn from; 0: all pixels", low=0
    )


@dataclass(frozen=True)
class NamingSettings:
    """How labels of the validation drives name the clusters."""

    images: int = setting(32, "Labelled images that name clusters, drawn at the start", low=1)
    stride: int = setting(4, "Use every n-th pixel of both axes", low=1)
    every: int = setting(
        100, "Steps between namings, each of which is a validation", low=1, live=True
    )
    cover: str = setting(
        "all",
        "Classes that get at least one cluster: all, as published; labelled, those with "
        "labelled pixels; or none, and each cluster gets the class it shows most",
        choices=("all", "labelled", "none"),
    )
    unseen: bool = setting(
        False, "Name clusters that no labelled drive shows after the most similar labelled cluster"
    )


@dataclass(frozen=True)
class SampleSettings:
    """Training pixels drawn once: for whitening, k-means, the mean feature, unseen clusters."""

    images: int = setting(64, "Images that the pixels come from", low=1)
    pixels: int = setting(20_000, "Number of pixels", low=1)


@dataclass(frozen=True)
class SemanticsSettings:
    """A run of stage 2."""

    checkpoint: str = setting(
        "", "Network of stage 1, a file or a name; its semantic head, if it has one, is replaced"
    )
    features: str = setting(
        "field",
        "What is clustered: features rendered from the field in 3D, or in the image the tokens of "
        "the checkpoint's own encoder, as STEGO does; the class maps of such a head are for S4C",
        choices=("field", "image"),
    )
    run: RunSettings = field(
        default_factory=lambda: RunSettings(steps=1000, save_every=100, picture_every=100)
    )
    data: ImageSettings = field(default_factory=ImageSettings)
    crops: CropSettings = field(default_factory=CropSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    naming: NamingSettings = field(default_factory=NamingSettings)
    sample: SampleSettings = field(default_factory=SampleSettings)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            InputError: Naming the settings, what was expected and what came.
        """
        classes = len(CITYSCAPES19)
        if self.features == "image" and math.isqrt(self.crops.points) ** 2 != self.crops.points:
            raise InputError(
                "crops.points must be a square number where features is image, "
                f"got {self.crops.points}"
            )
        if self.naming.cover == "all" and self.head.clusters < classes:
            raise InputError(
                f"{classes} classes need as many clusters, got {self.head.clusters} in "
                "head.clusters with naming.cover all"
            )
        if self.crops.memory <= self.crops.neighbours:
            raise InputError(
                f"crops.memory must exceed crops.neighbours, {self.crops.neighbours}, "
                f"got {self.crops.memory}"
            )
        most = N_BINS * self.run.batch_size
        if self.crops.memory < most:
            raise InputError(
                f"crops.memory must hold the {most} crops of a step, got {self.crops.memory}"
            )

    @property
    def needs_sample(self) -> bool:
        """Whether anything needs many pixels at a time."""
        head = self.head
        return (
            head.start == "whitened"
            or head.cluster_by == "kmeans"
            or self.crops.centred
            or self.naming.unseen
        )
