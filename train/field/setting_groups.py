# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The settings of stage 1 by what they are about. The defaults are the published configuration."""

from dataclasses import dataclass

from scenedino_ros.core.ray_spacing import INVERSE, LOGARITHMIC
from scenedino_ros.core.setting import setting


@dataclass(frozen=True)
class DataSettings:
    """The drives of a run, and the views of an item."""

    stores: tuple[str, ...] = setting((), "Frame stores to learn from: paths, or patterns with *")
    shares: tuple[float, ...] = setting(
        (),
        "Relative number of items from each entry of data.stores; empty: in proportion to "
        "their frames",
        low=0.0,
    )
    validation: tuple[str, ...] = setting((), "Frame stores for validation; never learned from")
    validation_items: int = setting(
        128,
        "Items of a validation; rounded up to the same number in every process",
        low=1,
        live=True,
    )
    encoder_cameras: tuple[str, ...] = setting(
        (),
        "Cameras whose images are encoded, where a drive has them; empty: those within 45 "
        "degrees of the driving direction, or all if there is none",
    )
    every: tuple[int, ...] = setting(
        (1,),
        "Encode every n-th frame: one number for all, or one for each entry of data.stores",
        low=1,
    )
    views: str = setting(
        "published",
        "Views of an item: the eight of a published KITTI-360 item, or nearby ones of any rig",
        choices=("published", "nearby"),
    )
    loss_views: int = setting(4, "Target views of a nearby item", low=1)
    sources: int = setting(3, "Most source views of a target view of a nearby item", low=1)
    ahead: float = setting(
        9.0,
        "How far ahead of the encoded view the target views of a nearby item may be; views "
        "far ahead see what is distant or occluded in the encoded view",
        unit="m",
        low=0.0,
    )
    crops: int = setting(
        0,
        "Cropped copies of each encoded image, half of them without colours; an item encodes the "
        "image or one of its copies, each as often",
        low=0,
    )
    zoom: float = setting(
        2.0, "Largest focal length of a cropped copy, relative to that of the image", low=1.0
    )
    resident: bool = setting(
        False,
        "Keep all images in the memory of the device, and render all items of a step at once: for "
        "GPUs, with a frozen encoder, which sees a new crop in every item",
    )
    hints: str = setting("", "Folder of depth hints; empty: in the folder of the run", live=True)
    class_maps: str = setting(
        "",
        "Folder of class maps for losses.classes, as `scenedino label-images` writes them; empty: "
        "the labels of the frame stores",
        live=True,
    )


@dataclass(frozen=True)
class EncoderSettings:
    """The image encoder, and the frozen backbone of the target features."""

    weights: str = setting(
        "timm",
        "Weights the encoder starts from: timm, fit3d, a file (a checkpoint of this package, "
        "or weights alone), default or a published name for the encoder of that checkpoint, "
        "or random",
    )
    trainable: bool = setting(
        True, "Whether the encoder is trained; if not, its features are computed once and cached"
    )
    learning_rate: float = setting(1e-5, "Learning rate of the encoder", low=0.0)
    target: str = setting("", "Backbone of the target features; empty: that of the encoder")
    target_weights: tuple[str, ...] = setting(
        (),
        "Weights of the target backbone; features of several are concatenated; empty: as the "
        "encoder",
    )
    tap_scales: tuple[float, float, float, float] = setting(
        (1.0, 1.0, 1.0, 1.0),
        "Factors on the taps before the decoder; saved models have them in the weights of the "
        "decoder",
    )
    cache: str = setting(
        "", "Folder of cached features; empty: in the folder of the run", live=True
    )


@dataclass(frozen=True)
class RaySettings:
    """Which rays are rendered."""

    patches: int = setting(32, "Ray patches of an item", low=1)
    patch: int = setting(8, "Edge of a ray patch", unit="px", low=2)
    samples: tuple[int, ...] = setting(
        (32,), "Samples per ray: one number, or one for each phase", low=2
    )
    spacing: str = setting(
        INVERSE,
        "Samples are equally spaced in inverse distance, or in the logarithm of distance, "
        "which is finer beyond 10 m",
        choices=(INVERSE, LOGARITHMIC),
    )
    min_depth: float = setting(
        1e-3,
        "Least depth of points in the encoded camera; points nearer than this, or behind the "
        "camera, get this depth. At the published 1 mm their depth code is in the thousands, "
        "and gradients explode",
        unit="m",
        low=1e-3,
    )
    aligned: bool = setting(
        True, "Place patches on the grid of target tokens, shifted with it; if not, anywhere"
    )
    levels: tuple[int, ...] = setting(
        (1,), "Factors of the image pyramid that patches come from", low=1
    )
    phases: tuple[float, ...] = setting(
        (1.0,), "Ends of the training phases, as fractions of the run", low=0.0
    )
    level_shares: tuple[float, ...] = setting(
        (1.0,), "Fractions of the items at each pyramid level, one phase after the other", low=0.0
    )


@dataclass(frozen=True)
class LossSettings:
    """Weights and kinds of the losses."""

    photometric: str = setting(
        "minimum",
        "Colour error against the best source view, or the mean over the source views that "
        "see a pixel",
        choices=("minimum", "mean"),
    )
    feature: tuple[float, ...] = setting(
        (0.2,), "Weight of the feature loss: one number, or one for each phase", low=0.0
    )
    feature_shapes: bool = setting(
        True,
        "Whether the feature loss moves densities too; if not, features only fit the geometry, "
        "and a large weight does not spoil it",
    )
    hint: float = setting(
        0.0,
        "Weight of the distance from depth hints, which are matched from the images of the drive",
        low=0.0,
    )
    behind: float = setting(
        0.0,
        "Weight of the opacity of space from 4 m behind depth hints on; where another view "
        "sees a surface there, the losses of that view oppose it",
        low=0.0,
    )
    classes: float = setting(
        0.0,
        "Weight of the cross entropy between rendered classes and class maps, for models whose "
        "heads are [field] (S4C)",
        low=0.0,
    )
    class_weights: tuple[float, ...] = setting(
        (), "Weight of each class in losses.classes; empty: all alike", low=0.0
    )
    depth_roughness: float = setting(
        0.001, "Weight of edge-aware smoothness of inverse distance", low=0.0
    )
    feature_roughness: float = setting(
        0.25, "Weight of edge-aware smoothness of features", low=0.0
    )
    filled: tuple[float, ...] = setting(
        (0.0,),
        "Weight of the opacity of all space: one number, or one for each phase; it keeps "
        "space empty that no view shows",
        low=0.0,
    )
    downsampler: str = setting(
        "salience",
        "How the features of a patch become one token: learned weights, or the mean",
        choices=("salience", "mean"),
    )
    artifacts: bool = setting(
        True,
        "Learn the position-dependent artefacts of the target backbone separately from the field",
    )


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights are updated."""

    learning_rate: float = setting(1e-4, "Learning rate of everything but the encoder", low=0.0)
    warmup: int = setting(0, "Steps over which the learning rate rises", low=0)
    drops: tuple[float, ...] = setting(
        (50_000, 100_000, 150_000),
        "Steps at which the learning rate drops; values below 1 are fractions of the run",
        low=0.0,
    )
    factor: float = setting(0.1, "Factor on the learning rate at a drop", low=0.0, high=1.0)
    clip: float = setting(0.0, "Largest norm of the gradient; 0: no clipping", low=0.0)
    density_bias: float = setting(0.0, "Initial bias of the density")
