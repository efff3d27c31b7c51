# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which settings of stage 1 contradict each other, by what they are about."""

from typing import TYPE_CHECKING

from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.errors import InputError

if TYPE_CHECKING:
    from train.field.settings import FieldSettings


def check_rays(settings: "FieldSettings") -> None:
    """Refuse patches that do not fit the images, and phases that do not divide the run.

    Raises:
        InputError: Naming the settings, what was expected and what came.
    """
    rays, size = settings.rays, settings.model.image_size
    targets = 1 if settings.data.views == "published" else settings.data.loss_views
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


def check_resident(settings: "FieldSettings") -> None:
    """Refuse what items of images in the memory of the device cannot have; errors as above."""
    model = settings.model
    if not settings.data.resident:
        return
    wanted = {
        "encoder.trainable false": not settings.encoder.trainable,
        "data.views nearby": settings.data.views == "nearby",
        "rays.aligned false": not settings.rays.aligned,
        "heads other than [field]": not model.classes_in_field,
        "model.decoder_width <= model.hidden_dim": model.decoder_width <= model.hidden_dim,
        "level 1 in rays.levels": 1 in settings.rays.levels,
    }
    missing = [name for name, holds in wanted.items() if not holds]
    if missing:
        raise InputError(f"data.resident needs {', '.join(missing)}")


def check_classes(settings: "FieldSettings") -> None:
    """Refuse losses that the field of the model does not have; errors as above."""
    losses, n_classes = settings.losses, settings.model.n_classes
    if not settings.model.classes_in_field:
        if losses.classes:
            raise InputError(
                "losses.classes needs model.heads [field], "
                f"got {losses.classes:g} and {list(settings.model.heads)}"
            )
        return
    if any(losses.feature) or losses.feature_roughness or losses.artifacts:
        raise InputError(
            "model.heads [field] has no features: losses.feature and "
            "losses.feature_roughness must be 0 and losses.artifacts false, got "
            f"{list(losses.feature)}, {losses.feature_roughness:g} and {losses.artifacts}"
        )
    if losses.downsampler != "mean" or settings.rays.aligned:
        raise InputError(
            "model.heads [field] needs losses.downsampler mean and rays.aligned false, got "
            f"{losses.downsampler} and {settings.rays.aligned}"
        )
    if backbone_spec(settings.model.backbone).is_convolutional and (
        not settings.encoder.trainable or set(settings.encoder.tap_scales) != {1.0}
    ):
        raise InputError(
            f"model.backbone {settings.model.backbone} needs encoder.trainable true and "
            "encoder.tap_scales of 1, got "
            f"{settings.encoder.trainable} and {list(settings.encoder.tap_scales)}"
        )
    if len(losses.class_weights) not in (0, n_classes):
        raise InputError(
            f"losses.class_weights must have {n_classes} numbers, one for each class, or "
            f"none, got {len(losses.class_weights)}"
        )
