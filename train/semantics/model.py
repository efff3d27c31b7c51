# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What stage 2 trains: the semantic head, from the features of a step to losses."""

from dataclasses import replace

import torch
from torch import nn

from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.model_config import PREDICTION_MODES, ModelConfig
from scenedino_ros.network.semantics import SemanticHead
from train.semantics.distillation import (
    CropMemory,
    PartnerDraws,
    cluster_loss,
    describe_crops,
    distillation_losses,
    probe_loss,
)
from train.semantics.settings import SemanticsSettings
from train.semantics.step_features import Crops, ProcessWeights, StepFeatures

_HEAD = "semantics."  # begins the names of the weights of the semantic head


class SemanticTraining(nn.Module):
    """Computes losses from the features of a step.

    Attributes:
        head: The semantic head.
        memory: The most recent crops of all processes, the same in each.
        mean: (C,) mean feature, subtracted before features are compared; zero by default.
    """

    def __init__(self, settings: SemanticsSettings, config: ModelConfig) -> None:
        """Build head and memory.

        Args:
            settings: The run.
            config: Architecture of the network with its semantic head.
        """
        super().__init__()
        self._distils = settings.head.distil
        self._n_neighbours = settings.crops.neighbours
        width = backbone_spec(config.backbone).width
        self.head = SemanticHead(
            width, config.code_dim, config.n_clusters, config.n_classes, config.mlp_probe
        )
        self.head.stego_head.requires_grad_(settings.head.distil)
        for clusters in (self.head.direct_cluster_head, self.head.stego_cluster_head):
            clusters.requires_grad_(settings.head.cluster_by == "gradient")
        crops = settings.crops
        dtype = torch.float16 if crops.half else torch.float32
        self.memory = CropMemory(crops.memory, crops.points, width, dtype)
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, seen: StepFeatures) -> dict[str, torch.Tensor]:
        """Return the scalar losses of a step; ``total`` is minimised.

        The memory already has the crops of all processes. A loss without data in every process is
        0 and is not reported.
        """
        weights = seen.weights
        with torch.autocast(seen.pixels.device.type, enabled=False):
            code = self.head.stego_head(seen.pixels).detach()
            clusters = self._cluster_losses(seen, code)
            probes = self._probe_losses(seen, code)
            distilled = self._distillation_losses(seen.crops, weights.crops)
        terms = {**distilled, **clusters, **probes}
        reported = {
            name: value
            for name, value in terms.items()
            if (name not in probes or weights.n_labels)
            and (name not in distilled or weights.n_crops)
        }
        return {"total": torch.stack(list(terms.values())).sum(), **reported}

    def compared(self, crops: Crops) -> torch.Tensor:
        """Return the (crops, points, C) features to compare: without the mean, with dropout."""
        return (crops.feature - self.mean) * crops.feature_keep.unsqueeze(1)

    def remember(self, compared: torch.Tensor) -> None:
        """Store the crops of all processes, as `compared` returns them, in the memory."""
        if len(compared):
            self.memory.write(compared, describe_crops(compared))

    def unused_parameters(self, weights: ProcessWeights) -> list[nn.Parameter]:
        """Return the parameters without data in this step: Adam must not move them either."""
        head = self.head
        parts = [head.direct_linear_head, head.stego_linear_head] if not weights.n_labels else []
        parts += [head.stego_head] if not weights.n_crops else []
        return [parameter for part in parts for parameter in part.parameters()]

    def _distillation_losses(self, crops: Crops, weight: float) -> dict[str, torch.Tensor]:
        if not self._distils:
            return {}
        feature = self.compared(crops)
        losses = distillation_losses(
            self.head.stego_head,
            feature,
            describe_crops(feature),
            self.memory,
            PartnerDraws(
                crops.neighbour, (crops.random * self.memory.filled).long(), crops.code_keep
            ),
            self._n_neighbours,
            self.mean,
        )
        terms = {"self": losses.own, "neighbour": losses.neighbour, "random": losses.random}
        return {name: weight * value for name, value in terms.items()}

    def _cluster_losses(self, seen: StepFeatures, code: torch.Tensor) -> dict[str, torch.Tensor]:
        head = self.head
        if not head.direct_cluster_head.cluster_centers.requires_grad:
            return {}
        return {
            "direct_clusters": cluster_loss(
                head.direct_cluster_head(seen.pixels * seen.pixel_keep)
            ),
            "code_clusters": cluster_loss(head.stego_cluster_head(code)),
        }

    def _probe_losses(self, seen: StepFeatures, code: torch.Tensor) -> dict[str, torch.Tensor]:
        head, weight = self.head, seen.weights.labels
        direct = head.direct_linear_head(seen.pixels * seen.pixel_keep)
        return {
            "direct_probe": weight * probe_loss(direct, seen.label),
            "code_probe": weight * probe_loss(head.stego_linear_head(code), seen.label),
        }


def learning_groups(
    training: SemanticTraining, settings: SemanticsSettings
) -> list[dict[str, object]]:
    """Return two groups with their learning rates: the code head, and all others."""
    code = list(training.head.stego_head.parameters())
    known = {id(parameter) for parameter in code}
    others = [parameter for parameter in training.parameters() if id(parameter) not in known]
    rate = settings.head.learning_rate
    return [
        {"params": code, "lr": rate},
        {"params": others, "lr": rate * settings.head.probe_factor},
    ]


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the learning rates of `learning_groups`, by name."""
    names = ("learning_rate", "learning_rate_probes")
    groups = optimizer.param_groups
    return {name: float(group["lr"]) for name, group in zip(names, groups, strict=True)}


def without_head(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint without its semantic head, if it has one."""
    state = {key: value for key, value in checkpoint.state.items() if not key.startswith(_HEAD)}
    config = replace(checkpoint.config, n_classes=0, n_clusters=0)
    return replace(checkpoint, config=config, classes=CITYSCAPES19, state=state)


def head_config(config: ModelConfig, settings: SemanticsSettings) -> ModelConfig:
    """Return the architecture with the semantic head of a run."""
    head = settings.head
    return replace(
        config,
        n_classes=len(CITYSCAPES19),
        n_clusters=head.clusters,
        code_dim=head.code_dim,
        mlp_probe=head.mlp_probe,
        heads=PREDICTION_MODES,
    )


def whole_checkpoint(
    stage1: Checkpoint,
    config: ModelConfig,
    training: SemanticTraining,
    features: str,
    steps: int,
) -> Checkpoint:
    """Return the checkpoint of stage 1 with the current semantic head.

    Args:
        stage1: The network of stage 1.
        config: Its architecture with the head.
        training: Has the head.
        features: What the head was trained on, ``field`` or ``image``.
        steps: After how many steps.
    """
    state = dict(stage1.state)
    for name, value in training.head.state_dict().items():
        state[f"{_HEAD}{name}"] = value.detach().clone()
    source = f"train.train_semantics on features of the {features}, {steps} steps"
    provenance = {**stage1.provenance, "semantics": source}
    return replace(stage1, config=config, state=state, provenance=provenance)
