# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What each evaluation lets its caller choose: the only home of these defaults.

The functions `evaluate_ssc` and its like take these objects; the options of ``scenedino evaluate``
take their defaults, allowed values and help from them. Nothing here needs PyTorch.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scenedino_ros.core.config import MapSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.ray_spacing import INVERSE, LOGARITHMIC
from scenedino_ros.core.setting import check_value, setting
from scenedino_ros.evaluation.depth.lidar_depth import KITTI360_ROAD, Road

_RULES = ("low", "high", "choices")


def _camera() -> Any:
    return setting("camera_00", "Camera of a frame store")


def _n_samples() -> Any:
    return setting(32, "Samples along each ray", low=1, high=4096)


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What all evaluations have in common."""

    panels: int = setting(4, "Pictures of single items in the report", low=0, high=100)

    def __post_init__(self) -> None:
        """Refuse values outside their range or set.

        Raises:
            InputError: Naming the setting, the range and the value.
        """
        for item in fields(self):
            value, rules = getattr(self, item.name), item.metadata
            is_limited = any(rules.get(rule) not in (None, ()) for rule in _RULES)
            if is_limited and value is not None:
                check_value(item.name, value, rules)


@dataclass(frozen=True, kw_only=True)
class SscSettings(EvaluationSettings):
    """Semantic scene completion on SSCBench-KITTI-360, or on drives in its layout."""

    split: str = setting("test", "Part of the data set", choices=("train", "val", "test"))
    labels: Path | None = setting(
        None,
        "Folder of the labels: grids SEQUENCE/NNNNNN_1_1.npy, or a release of the benchmark "
        "(default: the data set's .label files, else its preprocess/labels)",
    )
    kitti360: Path | None = setting(
        None, "Folder of KITTI-360 itself, to take the images from by the rows of its pose files"
    )
    every: int = setting(1, "Score only every n-th labelled frame", low=1)
    baseline: str | None = setting(
        None,
        "Also score a constant grid made of the labels of this split, which looks at no image",
        choices=("train", "val", "test"),
    )
    baseline_root: Path | None = setting(
        None,
        "Folder of that split, with a data_2d_raw of its own (default: the data set itself)",
    )
    thresholds: tuple[float, ...] = setting(
        (),
        "Densities from which a voxel is occupied; the first is the main one (default: the "
        "checkpoint's, which is 0.2 for the published ones)",
        unit="1/m",
        low=0,
    )
    refinement: int = setting(
        1, "Samples along each edge of a voxel: 1 as released, 2 as in the paper", low=1
    )
    keep_empty: bool = setting(
        False, "Match empty voxels to empty ones, which the published matching does not force"
    )
    predictions: Path | None = setting(
        None,
        "Folder that keeps the predictions, some 5 MB per frame; those of the same checkpoint and "
        "settings that it already has are not made again",
    )


@dataclass(frozen=True, kw_only=True)
class GeometrySettings(EvaluationSettings):
    """Occupied or free, on a drive with occupancy grids."""

    thresholds: tuple[float, ...] = setting(
        (),
        "Densities from which a voxel is occupied; each is scored (default: the checkpoint's)",
        unit="1/m",
        low=0,
    )
    grow: bool = setting(
        False, "Take the largest density of 3x3x3 voxels for each voxel, as SSCBench does"
    )
    frames: tuple[int, ...] = setting(
        (),
        "Score only these frames; the averaged grids are made of all frames (default: all)",
    )


@dataclass(frozen=True, kw_only=True)
class MapEvaluationSettings(EvaluationSettings):
    """One image against the rolling map, on drives with poses and occupancy grids."""

    every: int = setting(1, "Score only every n-th frame with a grid", low=1)
    images: int = setting(
        0, "Fuse only so many images, the last ones up to the scored frame (default: all)", low=0
    )
    least_images: int = setting(
        8, "Score only frames up to which there are so many images, itself included", low=1
    )
    thresholds: tuple[float, ...] = setting(
        (0.0, -3.0, -2.0, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 2.0, 3.0),
        "Log-odds above which a voxel that the map knows is occupied; the first is the main one "
        "(default: 0 and 10 others from -3 to 3)",
    )
    densities: tuple[float, ...] = setting(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 3.0),
        "Densities from which a voxel of one image is occupied, of which the best is compared "
        "with the map; the checkpoint's is always among them (default: 12 from 0.1 to 3)",
        unit="1/m",
        low=0,
    )
    position_noise: tuple[float, ...] = setting(
        (0.01, 0.03, 0.1),
        "Also fuse at poses with errors of these standard deviations along each axis; 0: without "
        "errors only (default: 0.01,0.03,0.1)",
        unit="m",
        low=0,
        high=10,
    )
    rotation_noise: tuple[float, ...] = setting(
        (0.1, 0.5, 1.0),
        "Also fuse at poses with errors of these standard deviations about each axis; 0: without "
        "errors only (default: 0.1,0.5,1)",
        unit="deg",
        low=0,
        high=90,
    )
    seed: int = setting(0, "Seed of the errors of the poses", low=0)
    size: tuple[float, ...] = setting(
        (64.0, 64.0, 8.0),
        "Lengths of the map's box along x, y and z, around the middle of the benchmark's grid "
        "(default: 64,64,8)",
        unit="m",
        low=0.2,
        high=1000,
    )
    voxel_size: float = setting(
        MapSettings.voxel_size, "Edge length of the map's voxels", unit="m", low=0.02, high=5
    )
    map_density: float = setting(
        MapSettings.density_threshold,
        "Density that speaks neither for nor against occupied; 0: that of the checkpoint",
        unit="1/m",
        low=0,
    )
    half_life: float = setting(
        MapSettings.half_life, "Time in which the evidence of a voxel halves", unit="s", low=0.1
    )


@dataclass(frozen=True, kw_only=True)
class ImageSettings(EvaluationSettings):
    """Which images with labels are scored."""

    camera: str = _camera()
    drives: tuple[int, ...] = setting(
        (), "Drives of KITTI-360 (default: 9; all, where a dataset.json names other drives)"
    )
    split: str = setting("val", "Part of Cityscapes or BDD100K", choices=("val", "train"))
    true_camera: bool = setting(
        False,
        "Use the calibrated intrinsics of Cityscapes; the published evaluation uses those of a "
        "pyramid of 90 degrees both ways",
    )
    every: int = setting(1, "Score only every n-th image", low=1)
    n_samples: int = _n_samples()


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings(ImageSettings):
    """Unsupervised segmentation of images."""

    features: str = setting(
        "field",
        "What is classified: features rendered from the field, or, as STEGO does, the tokens of "
        "the encoder in the image, by a head that was trained on them",
        choices=("field", "image"),
    )
    crf: bool = setting(True, "Score the predictions after a dense CRF, too")
    jitter: bool = setting(
        True, "Sample at random within each interval along a ray, as the published evaluation does"
    )
    predictions: Path | None = setting(
        None,
        "Folder that keeps the cluster maps; those that it already has are not made again",
    )


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How probes are fitted to the features of a frozen network."""

    hidden: bool = setting(
        False, "Give the probe a hidden layer of twice the width of its input: an MLP probe"
    )
    pixels: int = setting(2048, "Labelled pixels taken from each training image", low=1)
    epochs: int = setting(10, "Passes over all pixels", low=1)
    batch: int = setting(4096, "Pixels per step", low=1)
    rate: float = setting(5e-3, "Learning rate of Adam", low=0)
    seed: int = setting(0, "Seed of the weights and of the order of the pixels")


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(ImageSettings, FitSettings):
    """Probes of a frozen network, fitted on some images and scored on others."""

    train: tuple[Path, ...] = setting(
        (), "Folders of images to fit on (default: the training part of the data set itself)"
    )
    train_drives: tuple[int, ...] = setting(
        (),
        "Drives of KITTI-360 to fit on (default: the training drives of SSCBench); of a data set "
        "with a dataset.json, all other drives are then scored",
    )
    train_every: int = setting(1, "Fit only on every n-th training image", low=1)


@dataclass(frozen=True, kw_only=True)
class ConsistencySettings(EvaluationSettings):
    """Features of the same surface in two frames of a video."""

    camera: str = _camera()
    stride: int = setting(3, "Frames from the first of a pair to the second", low=1)
    every: int = setting(1, "Compare only every n-th pair", low=1)
    features: tuple[str, ...] = setting(
        (),
        "2D backbones to compare with, such as dino_vitb8 or dino_vitb8:WEIGHTS; WEIGHTS are "
        "timm, fit3d, default (the backbone of the package's model), a file, or two of them "
        "joined by + for features side by side",
    )
    flow: str = setting(
        "auto",
        "How frames are aligned; auto takes exact where the data has depth, else raft where there "
        "are weights, else dis",
        choices=("auto", "raft", "exact", "dis"),
    )
    raft_weights: Path | None = setting(
        None, "torchvision's weights of RAFT large (default: those that torchvision has fetched)"
    )
    n_samples: int = _n_samples()


@dataclass(frozen=True, kw_only=True)
class DepthSettings(EvaluationSettings):
    """Rendered depth against LiDAR scans or exact depth."""

    camera: str = _camera()
    limits: tuple[float, ...] = setting(
        (),
        "Smallest and largest z-depth of the ground truth that is scored (default: 1,50 for "
        "LiDAR, else 0.001,80)",
        unit="m",
        low=0,
    )
    train_frames: tuple[int, ...] = setting(
        (),
        "Frames that training may have used: they are scored separately, and the mean of their "
        "ground truth becomes a baseline",
    )
    road: Road = setting(
        KITTI360_ROAD,
        "Downward normal of the road in the optical frame, and the height of the camera above it, "
        "metres (default: as on KITTI-360)",
    )
    above: float = setting(
        0.4,
        "Pixels that are higher than this above the road are scored separately",
        unit="m",
        low=0,
    )
    n_samples: int = _n_samples()
    spacing: str = setting(
        LOGARITHMIC,
        "How they are spaced; the published evaluations space them in inverse depth",
        choices=(INVERSE, LOGARITHMIC),
    )

    def __post_init__(self) -> None:
        """Refuse values outside their range or set, and limits between which nothing lies.

        Raises:
            InputError: Naming the setting, what was expected and the value.
        """
        super().__post_init__()
        if self.limits and (len(self.limits) != 2 or not self.limits[0] < self.limits[1]):
            raise InputError(
                "limits must be a smallest and a larger z-depth, "
                f"got {','.join(f'{limit:g}' for limit in self.limits)}"
            )
