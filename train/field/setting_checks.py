# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which settings of stage 1 contradict each other, by what they are about."""

from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from train.field.setting_groups import DataSettings, EncoderSettings, LossSettings, RaySettings


def check_rays(rays: RaySettings, data: DataSettings, model: ModelConfig) -> None:
    """Refuse patches that do not fit the images, and phases that do not divide the run.

    Raises:
        InputError: Naming the settings, what was expected and what came.
    """
    size = model.image_size
    targets = 1 if data.views == "published" else data.loss_views
    if rays.patches < targets:
        raise InputError(
            f"rays.patches must be at least data.loss_views, {targets}, one for each target "
            f"view of an item, got {rays.patches}"
        )
    for level in rays.levels:
        if any(edge % level or edge // level < rays.patch for edge in size):
            raise InputError(
                f"rays.levels must divide the image of {size[0]} x {size[1]} px into levels "
                f"of at least rays.patch, {rays.patch} px, got {level}"
            )
    if list(rays.phases) != sorted(rays.phases) or rays.phases[-1] != 1.0:
        raise InputError(f"rays.phases must ascend and end at 1, got {list(rays.phases)}")
    n = len(rays.levels)
    for start in range(0, len(rays.level_shares), n):
        if not sum(rays.level_shares[start : start + n]):
            raise InputError(
                f"rays.level_shares must not all be 0 in a phase, got {list(rays.level_shares)}"
            )


def check_resident(
    data: DataSettings, rays: RaySettings, encoder: EncoderSettings, model: ModelConfig
) -> None:
    """Refuse what items of images in the memory of the device cannot have; errors as above."""
    if not data.resident:
        return
    wanted = {
        "encoder.trainable false": not encoder.trainable,
        "data.views nearby": data.views == "nearby",
        "rays.aligned false": not rays.aligned,
        "heads other than [field]": not model.classes_in_field,
        "model.decoder_width <= model.hidden_dim": model.decoder_width <= model.hidden_dim,
        "level 1 in rays.levels": 1 in rays.levels,
    }
    missing = [name for name, holds in wanted.items() if not holds]
    if missing:
        raise InputError(f"data.resident needs {', '.join(missing)}")


def check_classes(
    losses: LossSettings, rays: RaySettings, encoder: EncoderSettings, model: ModelConfig
) -> None:
    """Refuse losses that the field of the model does not have; errors as above."""
    n_classes = model.n_classes
    if not model.classes_in_field:
        if losses.classes:
            raise InputError(
                "losses.classes needs model.heads [field], "
                f"got {losses.classes:g} and {list(model.heads)}"
            )
        return
    if any(losses.feature) or losses.feature_roughness or losses.artifacts:
        raise InputError(
            "model.heads [field] has no features: losses.feature and "
            "losses.feature_roughness must be 0 and losses.artifacts false, got "
            f"{list(losses.feature)}, {losses.feature_roughness:g} and {losses.artifacts}"
        )
    if losses.downsampler != "mean" or rays.aligned:
        raise InputError(
            "model.heads [field] needs losses.downsampler mean and rays.aligned false, got "
            f"{losses.downsampler} and {rays.aligned}"
        )
    if backbone_spec(model.backbone).is_convolutional and (
        not encoder.trainable or set(encoder.tap_scales) != {1.0}
    ):
        raise InputError(
            f"model.backbone {model.backbone} needs encoder.trainable true and "
            "encoder.tap_scales of 1, got "
            f"{encoder.trainable} and {list(encoder.tap_scales)}"
        )
    if len(losses.class_weights) not in (0, n_classes):
        raise InputError(
            f"losses.class_weights must have {n_classes} numbers, one for each class, or "
            f"none, got {len(losses.class_weights)}"
        )
