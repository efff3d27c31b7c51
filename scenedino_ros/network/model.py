# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The network: from an image to a feature map, from points to density, feature and class.

Source: Jevtic, Reich et al., Feed-Forward SceneDINO for Unsupervised Semantic Scene Completion,
ICCV 2025. This module is the definition; tests verify the faster paths against it.

A configuration whose ``heads`` are ``(field,)`` is a network of S4C (Hayler et al.,
Self-Supervised Semantic Scene Completion with Neural Fields, 3DV 2024) instead: a second point
MLP maps the same inputs to class probabilities, which stand where SceneDINO has its feature.
"""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.network.decoder import Decoder
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.network.field import Expansion, PointField, PositionalCode, project, sample_map
from scenedino_ros.network.resnet import ConvEncoder, SkipDecoder
from scenedino_ros.network.semantics import SemanticHead


class SceneDino(nn.Module):
    """Encoder, decoder, field and, where configured, the semantic head."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network with random weights.

        Raises:
            InputError: If the image is not a whole patch grid.
        """
        super().__init__()
        self.config = config
        width = backbone_spec(config.backbone).width
        self.encoder: Encoder | ConvEncoder
        self.decoder: Decoder | SkipDecoder
        if backbone_spec(config.backbone).is_convolutional:
            self.encoder = ConvEncoder(config.backbone, config.image_size)
            self.decoder = SkipDecoder(config.decoder_width)
        else:
            self.encoder = Encoder(config.backbone, config.image_size)
            self.decoder = Decoder(
                width,
                config.decoder_width,
                config.reassemble_channels,
                config.upsample_fusion,
                config.upsample_tail,
            )
        self.code = PositionalCode(
            config.n_frequencies,
            config.frequency_factor,
            config.depth_range,
            2 * config.canonical_focal / config.image_size[0],
        )
        self.field = PointField(
            config.decoder_width,
            self.code.channels,
            config.hidden_dim,
            config.feature_dim,
            apart=config.classes_in_field,
        )
        self.expansion: Expansion | nn.Identity = nn.Identity()
        if not config.classes_in_field:
            self.expansion = Expansion(config.feature_dim, config.expansion_dim, width)
        if config.has_semantics and not config.classes_in_field:
            self.semantics = SemanticHead(
                width,
                config.code_dim,
                config.n_clusters,
                config.n_classes,
                config.mlp_probe,
                config.heads,
            )

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (B, decoder_width, H', W') feature map of (B, 3, H, W) RGB in [-1, 1]."""
        return self.decoder(self.encoder(image))

    def query(
        self, feature_map: torch.Tensor, points_cam: torch.Tensor, K_norm: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Evaluate the field.

        Args:
            feature_map: (B, D, H', W') from `encode`.
            points_cam: (B, N, 3) points in the optical frame of the encoded image, metres.
            K_norm: (B, 3, 3) intrinsics for coordinates in [-1, 1].

        Returns:
            density: (B, N) in 1/m. Points outside the view get the value of the map's border, as
                published.
            feature: (B, N, F) rendered feature, not normalised; for S4C class probabilities.
            visible: (B, N) bool, inside the view.
        """
        projection = project(points_cam, K_norm)
        code = self.code.for_camera(K_norm)(projection.uv_norm, projection.depth)
        logit, feature = self.field(sample_map(feature_map, projection.uv_norm), code)
        if self.config.classes_in_field:
            feature = feature.softmax(dim=-1)
        return functional.softplus(logit), feature, projection.visible

    def classify(self, feature: torch.Tensor, mode: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (...) int64 labels and (..., n) scores of (..., F) point features."""
        if self.config.classes_in_field:
            return feature.argmax(dim=-1), feature
        scores = self.semantics.scores(self.expansion(feature), mode)
        return self.semantics.labels(scores, mode), scores
