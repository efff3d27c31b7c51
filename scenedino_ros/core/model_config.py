# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The architecture of a network, as every checkpoint stores it."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.errors import InputError, unknown_name

PREDICTION_MODES = ("stego_kmeans", "stego_linear", "direct_kmeans", "direct_linear")
# In place of the heads of S4C's networks, whose point network predicts the classes itself.
FIELD_MODE = "field"
_MOST_CHANNELS = 1 << 16  # of any layer, and most frequencies; more is no network but damage


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of the network; the defaults are the published DINO variant.

    Stored in every checkpoint.

    Source: the published configuration of SceneDINO (Jevtic, Reich et al., ICCV 2025).
    """

    backbone: str = "dino_vitb8"  # a key of BACKBONES
    image_size: tuple[int, int] = (192, 640)  # (height, width) the network sees, pixels
    decoder_width: int = 256  # channels of the decoder and of its feature map
    reassemble_channels: tuple[int, int, int, int] = (64, 64, 128, 256)  # clipped to the width
    upsample_fusion: bool = True  # the x2 of the last fusion block; without it the map is halved
    upsample_tail: bool = True  # the last x2; without it the map is halved
    hidden_dim: int = 128  # width of the point MLP
    feature_dim: int = 64  # rendered feature
    expansion_dim: int = 128  # hidden width between rendered and full feature
    depth_range: tuple[float, float] = (3.0, 80.0)  # near and far of depth code and rays, metres
    n_frequencies: int = 6  # of the positional code
    frequency_factor: float = 1.5
    # Vertical focal length, pixels of the network input image, at which depths enter the
    # positional code unchanged; those of other cameras are scaled. 0, as published: none is.
    canonical_focal: float = 0.0
    n_classes: int = 0  # classes the head predicts, 0: no semantic head
    n_clusters: int = 0  # pseudo classes of the cluster heads; 0 where the field has the classes
    code_dim: int = 64  # distilled code of the semantic head
    mlp_probe: bool = False  # probes with one hidden layer instead of linear ones
    heads: tuple[str, ...] = PREDICTION_MODES  # those the semantic head has, or (field,)

    def __post_init__(self) -> None:
        """Refuse an unknown backbone, and sizes that no network can have."""
        backbone_spec(self.backbone)
        counts = (
            "decoder_width",
            "hidden_dim",
            "feature_dim",
            "expansion_dim",
            "n_frequencies",
            "code_dim",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise InputError(f"model config {name} must be >= 1, got {getattr(self, name)}")
            if getattr(self, name) > _MOST_CHANNELS:
                raise InputError(
                    f"model config {name} must be <= {_MOST_CHANNELS}, got {getattr(self, name)}"
                )
        for name in ("n_classes", "n_clusters"):
            if not 0 <= getattr(self, name) <= _MOST_CHANNELS:
                raise InputError(
                    f"model config {name} must be in 0 to {_MOST_CHANNELS}, got "
                    f"{getattr(self, name)}"
                )
        near, far = self.depth_range
        if not 0 < near < far < math.inf:
            raise InputError(
                f"model config depth_range must be 0 < near < far < inf, got {near}, {far}"
            )
        if not 0 <= self.canonical_focal < math.inf:
            raise InputError(
                f"model config canonical_focal must be >= 0 and finite, got {self.canonical_focal}"
            )
        if not 0 < self.frequency_factor < math.inf:
            raise InputError(
                "model config frequency_factor must be > 0 and finite, got "
                f"{self.frequency_factor}"
            )
        if self.classes_in_field:
            if (self.n_clusters, self.n_classes) != (0, self.feature_dim) or self.hidden_dim % 2:
                raise InputError(
                    "model config heads [field] needs n_clusters 0, n_classes equal to "
                    "feature_dim and an even hidden_dim, "
                    f"got {self.n_clusters}, {self.n_classes} and {self.feature_dim}, "
                    f"and {self.hidden_dim}"
                )
            return
        if backbone_spec(self.backbone).is_convolutional:
            raise InputError(
                f"model config backbone {self.backbone} needs heads [field], "
                f"got {', '.join(self.heads)}"
            )
        if (self.n_classes > 0) != (self.n_clusters > 0):
            raise InputError(
                "model config n_classes and n_clusters must both be 0 or both be positive, "
                f"got {self.n_classes} and {self.n_clusters}"
            )
        if not self.heads or not set(self.heads) <= set(PREDICTION_MODES):
            raise InputError(
                f"model config heads must be some of {', '.join(PREDICTION_MODES)}, got "
                f"{', '.join(self.heads) or 'none'}"
            )

    @property
    def has_semantics(self) -> bool:
        """Whether the network predicts classes."""
        return self.n_classes > 0

    @property
    def classes_in_field(self) -> bool:
        """Whether the point network itself predicts classes, as that of S4C does."""
        return self.heads == (FIELD_MODE,)

    def check_mode(self, mode: str) -> None:
        """Refuse an unknown prediction mode, and one whose head the network does not have.

        Args:
            mode: One of `PREDICTION_MODES`. A network without a semantic head accepts all of
                them.

        Raises:
            InputError: Naming the available modes.
        """
        if mode not in PREDICTION_MODES:
            raise InputError(f"mode must be one of {', '.join(PREDICTION_MODES)}, got '{mode}'")
        if self.has_semantics and not self.classes_in_field and mode not in self.heads:
            raise InputError(
                f"the checkpoint has no head for mode '{mode}'; it has {', '.join(self.heads)}"
            )

    def naming(self, mode: str) -> str:
        """Return what names the classes in a prediction mode: the mode's head, or the field."""
        return FIELD_MODE if self.classes_in_field else mode

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain values that JSON and YAML can hold."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """Build the configuration from plain values.

        Raises:
            InputError: If a key is unknown, or a value of another kind than its default. Missing
                keys take their default.
        """
        known = [item.name for item in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("model config key", name, known)
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        default = cls()
        for name, value in plain.items():
            if not _is_like(value, getattr(default, name)):
                raise InputError(
                    f"model config {name} must be like {getattr(default, name)!r}, got {value!r}"
                )
        return cls(**plain)


def _is_like(value: object, default: object) -> bool:
    """Return whether a stored value is of the default's kind; lists of words may be shorter."""
    if isinstance(default, tuple):
        return (
            isinstance(value, tuple)
            and (len(value) == len(default) or isinstance(default[0], str))
            and all(_is_like(part, default[0]) for part in value)
        )
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    return type(value) in kinds
