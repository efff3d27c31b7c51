"""What stage 2 trains: the semantic head, on what the frozen field shows of single images."""

import torch
from torch import nn

from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.config import ModelConfig
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
from train.semantics.step_features import Crops, Observation, Shares


class SemanticTraining(nn.Module):
    """Observations in, losses out.

    Attributes:
        head: The semantic head.
        memory: The most recent crops of all processes, the same in each.
        mean: (C,) mean feature, taken off before features are compared; zero unless settings ask
            for it.
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

    def forward(self, seen: Observation) -> dict[str, torch.Tensor]:
        """Return the scalar losses of a step; ``total`` is minimised.

        The crops of all processes are in the memory already. A loss that has nothing to learn
        from in any process is 0, and left out of what is told.
        """
        shares = seen.shares
        with torch.autocast(seen.pixels.device.type, enabled=False):
            code = self.head.stego_head(seen.pixels).detach()
            clusters = self._cluster_losses(seen, code)
            probes = self._probe_losses(seen, code)
            distilled = self._distillation_losses(seen.crops, shares.crops)
        terms = {**distilled, **clusters, **probes}
        told = {
            name: value
            for name, value in terms.items()
            if (name not in probes or shares.n_labels)
            and (name not in distilled or shares.n_crops)
        }
        return {"total": torch.stack(list(terms.values())).sum(), **told}

    def compared(self, crops: Crops) -> torch.Tensor:
        """Return the (crops, points, C) features as they are compared: no mean, with dropout."""
        return (crops.feature - self.mean) * crops.feature_keep.unsqueeze(1)

    def remember(self, compared: torch.Tensor) -> None:
        """Put the crops of all processes, as `compared` returns them, into the memory."""
        if len(compared):
            self.memory.write(compared, describe_crops(compared))

    def untaught(self, shares: Shares) -> list[nn.Parameter]:
        """Return the weights a step says nothing about: they must not even drift on."""
        head = self.head
        parts = [head.direct_linear_head, head.stego_linear_head] if not shares.n_labels else []
        parts += [head.stego_head] if not shares.n_crops else []
        return [parameter for part in parts for parameter in part.parameters()]

    def _distillation_losses(self, crops: Crops, share: float) -> dict[str, torch.Tensor]:
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
        return {name: share * value for name, value in terms.items()}

    def _cluster_losses(self, seen: Observation, code: torch.Tensor) -> dict[str, torch.Tensor]:
        head = self.head
        if not head.direct_cluster_head.cluster_centers.requires_grad:
            return {}
        return {
            "direct_clusters": cluster_loss(
                head.direct_cluster_head(seen.pixels * seen.pixel_keep)
            ),
            "code_clusters": cluster_loss(head.stego_cluster_head(code)),
        }

    def _probe_losses(self, seen: Observation, code: torch.Tensor) -> dict[str, torch.Tensor]:
        head, share = self.head, seen.shares.labels
        direct = head.direct_linear_head(seen.pixels * seen.pixel_keep)
        return {
            "direct_probe": share * probe_loss(direct, seen.label),
            "code_probe": share * probe_loss(head.stego_linear_head(code), seen.label),
        }
