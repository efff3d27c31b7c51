# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""All settings of a run of stage 1. The defaults are the published configuration."""

from dataclasses import dataclass, field

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.ray_spacing import INVERSE, LOGARITHMIC
from scenedino_ros.core.setting import setting
from train.field.setting_checks import check_classes, check_rays, check_resident
from train.runs.settings import RunSettings


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


@dataclass(frozen=True)
class FieldSettings:
    """A run of stage 1."""

    run: RunSettings = field(default_factory=RunSettings)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataSettings = field(default_factory=DataSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    rays: RaySettings = field(default_factory=RaySettings)
    losses: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    start: str = setting(
        "",
        "Checkpoint whose decoder and point network the run starts from, a file or a name "
        "such as default; empty: random weights",
    )
    flip: bool = setting(
        True, "Flip the input of the encoder, and flip its map back, half of the time"
    )
    mirror: bool = setting(False, "Mirror whole items, poses included, half of the time")
    validate_every: int = setting(5000, "Steps between validations", low=1, live=True)
    best: str = setting(
        "feature",
        "Validation loss that chooses field_best.safetensors",
        choices=("feature", "photometric", "total"),
        live=True,
    )
    keep: int = setting(
        0,
        "Latest saved networks that stay in the folder snapshots, to be averaged",
        low=0,
        live=True,
    )

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            InputError: Naming the settings, what was expected and what came.
        """
        rays = self.rays
        patch_grid(self.target_backbone, self.model.image_size)
        token = backbone_spec(self.target_backbone).external_patch
        if rays.aligned and rays.patch != token:
            raise InputError(
                f"rays.patch must be the edge of a target token, {token} px for "
                f"{self.target_backbone}, got {rays.patch}"
            )
        if rays.aligned and rays.levels != (1,):
            raise InputError(f"aligned rays need rays.levels [1], got {list(rays.levels)}")
        if not rays.aligned and (self.losses.downsampler != "mean" or self.losses.artifacts):
            raise InputError(
                "rays that are not aligned need losses.downsampler mean and losses.artifacts "
                f"false, got {self.losses.downsampler} and {self.losses.artifacts}"
            )
        if rays.aligned and self.data.crops:
            raise InputError(
                f"data.crops needs rays.aligned false, got data.crops {self.data.crops}"
            )
        expected = len(rays.levels) * len(rays.phases)
        if len(rays.level_shares) != expected:
            raise InputError(
                f"rays.level_shares must have {expected} numbers, one for each of "
                f"{len(rays.levels)} levels in {len(rays.phases)} phases, "
                f"got {len(rays.level_shares)}"
            )
        check_rays(self)
        check_classes(self)
        check_resident(self)
        phased = {
            "rays.samples": rays.samples,
            "losses.feature": self.losses.feature,
            "losses.filled": self.losses.filled,
        }
        for name, values in phased.items():
            if len(values) not in (1, len(rays.phases)):
                raise InputError(
                    f"{name} must have one number, or one for each of {len(rays.phases)} phases, "
                    f"got {len(values)}"
                )
        data = self.data
        if data.shares and len(data.shares) != len(data.stores):
            raise InputError(
                f"data.shares must have one number for each of {len(data.stores)} entries of "
                f"data.stores, got {len(data.shares)}"
            )
        if data.shares and not sum(data.shares):
            raise InputError("data.shares must not all be 0")
        if len(data.every) not in (1, len(data.stores)):
            raise InputError(
                f"data.every must have one number, or one for each of {len(data.stores)} entries "
                f"of data.stores, got {len(data.every)}"
            )
        encoder = self.encoder
        if not encoder.trainable and self.flip:
            raise InputError("flip needs an encoder that is trained, got encoder.trainable false")
        if not encoder.trainable and (encoder.target or encoder.target_weights):
            raise InputError(
                "encoder.target and encoder.target_weights need an encoder that is trained; a "
                "frozen one gives the targets itself"
            )

    @property
    def target_backbone(self) -> str:
        """Name of the backbone of the target features."""
        return self.encoder.target or self.model.backbone

    def phase(self, step: int) -> int:
        """Return the number of the phase a step belongs to."""
        ends = [end * self.run.steps for end in self.rays.phases]
        return next((i for i, end in enumerate(ends) if step < end), len(ends) - 1)

    def rate(self, step: int) -> float:
        """Return the factor on all learning rates at a step."""
        rate = min(1.0, (step + 1) / self.optimiser.warmup) if self.optimiser.warmup else 1.0
        for drop in self.optimiser.drops:
            if step >= (drop * self.run.steps if drop < 1 else drop):
                rate *= self.optimiser.factor
        return rate
