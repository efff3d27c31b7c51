# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Features that are compared between frames: those of the rendered field and of 2D backbones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints.hub import locate_backbone
from scenedino_ros.checkpoints.pretrained import FIT3D, TIMM, load_backbone
from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.ray_spacing import INVERSE
from scenedino_ros.evaluation.consistency.scores import Features, token_features
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.network.encoder import Encoder

_MEAN_DOWNSCALE = 4  # of the rendered views that the common mean is taken from


@dataclass(frozen=True)
class TokenChoice:
    """A frozen 2D backbone.

    Attributes:
        backbone: A key of ``backbones.BACKBONES``.
        weights: Sources that `load_backbone` takes; of several the features stand side by side.
    """

    backbone: str
    weights: tuple[str, ...] = (TIMM,)

    @classmethod
    def parse(cls, text: str) -> "TokenChoice":
        """Read ``BACKBONE``, ``BACKBONE:WEIGHTS`` or ``BACKBONE:WEIGHTS+WEIGHTS``.

        Raises:
            InputError: If the backbone is unknown or a weight is empty.
            CheckpointError: If a checkpoint that is named is damaged or cannot be fetched.
        """
        backbone, _, weights = text.partition(":")
        backbone_spec(backbone)
        sources = tuple(weights.split("+")) if weights else (TIMM,)
        if not all(sources):
            raise InputError(f"features must be BACKBONE:WEIGHTS[+WEIGHTS], got '{text}'")
        return cls(backbone, tuple(map(locate_backbone, sources)))

    @property
    def name(self) -> str:
        """What it is called in tables."""
        words = [Path(w).stem if Path(w).is_file() else w for w in self.weights]
        return f"2D {self.backbone} ({' + '.join(words)})"

    def settings(self) -> dict[str, Any]:
        """Return the backbone and its weights; files by their content."""
        weights = [w if w in (TIMM, FIT3D) else file_sha256(Path(w)) for w in self.weights]
        return {"backbone": self.backbone, "weights": weights}


class FeatureSource(Protocol):
    """Computes the features of a frame; of several parts side by side, each has unit length."""

    name: str

    def features(
        self, rgb: np.ndarray, camera: CalibratedCamera, common: Sequence[torch.Tensor]
    ) -> list[Features]:
        """Return the parts of the features of an image, given the common vector of each."""

    def means(self, rgb: np.ndarray, camera: CalibratedCamera) -> list[torch.Tensor]:
        """Return the mean vector of each part over an image."""


class FieldSource:
    """The rendered field of a network, each frame from its own image."""

    name = "rendered field"

    def __init__(self, predictor: Predictor, n_samples: int) -> None:
        """Render with so many samples per ray.

        Raises:
            InputError: If the network has classes in place of features.
        """
        if predictor.config.classes_in_field:
            raise InputError(
                "features need a network that renders them, but the field of this checkpoint "
                "renders classes (heads: field)"
            )
        self._predictor, self._n_samples = predictor, n_samples

    def features(
        self, rgb: np.ndarray, camera: CalibratedCamera, common: Sequence[torch.Tensor]
    ) -> list[Features]:
        """Return the full feature of every pixel of the network input image."""
        return [self._features(rgb, camera, 1, common[0])]

    def means(self, rgb: np.ndarray, camera: CalibratedCamera) -> list[torch.Tensor]:
        """Return the mean over a view, rendered at a lower resolution."""
        return [self._features(rgb, camera, _MEAN_DOWNSCALE, None).mean()]

    @torch.inference_mode()
    def _features(
        self,
        rgb: np.ndarray,
        camera: CalibratedCamera,
        downscale: int,
        common: torch.Tensor | None,
    ) -> Features:
        encoded = self._predictor.encode(rgb, camera)
        rendered = self._predictor.rendered_features(
            encoded, downscale=downscale, n_samples=self._n_samples, spacing=INVERSE
        )
        expansion = self._predictor.expansion
        hidden = functional.relu(expansion.linear_in(rendered)).movedim(-1, 0)  # (E, h, w)
        weight, bias = expansion.linear_out.weight, expansion.linear_out.bias

        def raw(part: slice) -> torch.Tensor:
            return torch.einsum("ce,ehw->chw", weight[part], hidden) + bias[part, None, None]

        return Features(len(bias), raw, common)


class TokenSource:
    """The final patch tokens of a 2D backbone, enlarged to the image size."""

    def __init__(self, choice: TokenChoice, image_size: tuple[int, int], device: str) -> None:
        """Build the backbones and load their weights.

        Raises:
            CheckpointError: If weights cannot be fetched or read, or do not fit.
            InputError: If the image size is not a whole patch grid.
        """
        self.name = choice.name
        self._size, self._device = image_size, choose_device(device)
        self._encoders = []
        for weights in choice.weights:
            encoder = Encoder(choice.backbone, image_size)
            load_backbone(encoder, weights)
            self._encoders.append(encoder.eval().requires_grad_(False).to(self._device))

    def features(
        self, rgb: np.ndarray, camera: CalibratedCamera, common: Sequence[torch.Tensor]
    ) -> list[Features]:
        """Return the enlarged tokens of each backbone for a network input image."""
        return [
            token_features(tokens, self._size, mean)
            for tokens, mean in zip(self._tokens(rgb), common, strict=True)
        ]

    def means(self, rgb: np.ndarray, camera: CalibratedCamera) -> list[torch.Tensor]:
        """Return the mean of each backbone's unit tokens."""
        return [functional.normalize(t, dim=0).mean(dim=(1, 2)) for t in self._tokens(rgb)]

    @torch.inference_mode()
    def _tokens(self, rgb: np.ndarray) -> list[torch.Tensor]:
        image = image_tensor(rgb, self._device)
        tokens = []
        for encoder in self._encoders:
            final, _ = encoder.vit(encoder.normalise(image))
            patches = final[0, encoder.spec.prefix_tokens :].T  # (C, N)
            rows = self._size[0] // encoder.spec.external_patch
            tokens.append(patches.unflatten(1, (rows, -1)))
        return tokens
