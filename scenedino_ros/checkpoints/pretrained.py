# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pretrained weights for the image encoder, and the frozen encoder that training imitates."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from scenedino_ros.checkpoints.card import FORMAT
from scenedino_ros.checkpoints.checkpoint import load_checkpoint, resize_checkpoint
from scenedino_ros.checkpoints.weights_file import SAFETENSORS, check_expansion, weights_format
from scenedino_ros.core.backbones import BACKBONES, BackboneSpec, backbone_spec
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.reading import reading
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.network.resnet import ConvEncoder
from scenedino_ros.network.transformer import resample_positions

# Sources of weights that are named by one word instead of a file.
TIMM, FIT3D = "timm", "fit3d"
RANDOM = "random"  # leaves an encoder as it is, for tests and benchmarks
_FIT3D_REPO = "yuanwenyue/FiT3D"
# Versions of the hub's client use different HTTP libraries; the base of their errors is a base of
# HfHubHTTPError.
_DOWNLOAD_ERRORS = (OSError, RuntimeError, *HfHubHTTPError.__bases__)

Weights = dict[str, torch.Tensor]


def load_backbone(encoder: Encoder | ConvEncoder, source: str | Path) -> None:
    """Fill an encoder with pretrained weights.

    Position embeddings are resampled to the encoder's patch grid as timm does when it loads
    weights, see `resample_positions`.

    Args:
        encoder: Any encoder; its weights are replaced in place, as float32.
        source: ``timm`` for the backbone's own weights, ``fit3d`` for those fine-tuned with 3D
            features (both are downloaded now), or a file: a checkpoint of ours, whose
            encoder is taken, or safetensors or a PyTorch state dict with the names of timm or the
            original ones of DINO and DINOv2. ``random`` leaves the encoder as it was built.

    Raises:
        CheckpointError: If the weights cannot be fetched or read, or do not fit.
        InputError: If there is no FiT3D version of the backbone.

    Source: Yue et al., Improving 2D Feature Representations by 3D-Aware Fine-Tuning (FiT3D),
        arXiv:2407.20229, publishes state dicts of timm's DINOv2 models.
    """
    if str(source) == RANDOM:
        return
    if str(source) == TIMM:
        weights = _from_timm(encoder.spec.timm_name)
    elif str(source) == FIT3D:
        weights = read_weights(_fetch_fit3d(encoder.spec))
    elif _is_checkpoint(Path(source)):
        weights = _from_checkpoint(Path(source), encoder)
    else:
        weights = read_weights(Path(source))
    weights = _with_timm_names(weights)
    if not encoder.spec.is_convolutional:
        _resample_positions(weights, encoder.spec, encoder.grid)
    network = getattr(encoder, encoder.part)
    _check_fit(network, weights, source)
    network.load_state_dict(
        {key: t.float() if t.is_floating_point() else t for key, t in weights.items()}
    )


def _is_checkpoint(path: Path) -> bool:
    """Return whether a file is one of our checkpoints.

    Raises:
        CheckpointError: If it cannot be read.
    """
    if weights_format(path, "weights") != SAFETENSORS:
        return False
    with (
        reading(f"weights {path}", CheckpointError),
        safe_open(str(path), framework="pt") as file,
    ):
        return (file.metadata() or {}).get("format") == FORMAT


def _from_checkpoint(path: Path, encoder: Encoder | ConvEncoder) -> Weights:
    """Return the encoder of a checkpoint, its positions for the encoder's image size."""
    checkpoint = load_checkpoint(path)
    found = backbone_spec(checkpoint.config.backbone)
    if found != encoder.spec:
        raise CheckpointError(
            f"weights {path} must be of the backbone {encoder.spec.timm_name}, got a checkpoint "
            f"with {found.timm_name}"
        )
    state = resize_checkpoint(checkpoint, encoder.image_size).state
    prefix = f"encoder.{encoder.part}."
    return {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}


def read_weights(path: Path) -> Weights:
    """Return the tensors of a safetensors file or of a PyTorch state dict, on the CPU.

    Raises:
        CheckpointError: If the file cannot be read or holds something else.
    """
    stored = weights_format(path, "weights")
    try:
        if stored == SAFETENSORS:
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise any error
        reason = " ".join(str(error).split("\n", 1)[0].split()) or type(error).__name__
        raise CheckpointError(f"weights {path} cannot be read: {reason}") from error
    tensors = isinstance(content, dict) and all(
        isinstance(value, torch.Tensor) for value in content.values()
    )
    if not tensors:
        raise CheckpointError(f"weights {path} must be a state dict: tensors by their names")
    check_expansion(path, content.values())
    return dict(content)


class TargetEncoder(nn.Module):
    """Frozen backbone whose final tokens are what features are compared with."""

    def __init__(
        self,
        backbone: str,
        image_size: tuple[int, int],
        sources: str | Path | Sequence[str | Path],
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Build and fill the backbone.

        Args:
            backbone: A key of ``backbones.BACKBONES``.
            image_size: (height, width) of the images, pixels; a whole patch grid.
            sources: What `load_backbone` takes. Of several sources the unit tokens stand side by
                side: ``("timm", "fit3d")`` is FiT3D's concatenation with what it was tuned from.
            precision: Type the transformer computes in; normalisation and result are float32.

        Raises:
            CheckpointError: If weights cannot be fetched or read, or do not fit.
            InputError: If the backbone is unknown, the image is no whole patch grid, or there is
                no source.
        """
        super().__init__()
        sources = [sources] if isinstance(sources, str | Path) else list(sources)
        if not sources:
            raise InputError("a target encoder needs at least one source of weights, got none")
        self.encoders = nn.ModuleList(Encoder(backbone, image_size) for _ in sources)
        for encoder, source in zip(self.encoders, sources, strict=True):
            load_backbone(encoder, source)
        self.precision = precision
        self.width = len(sources) * self.encoders[0].spec.width
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "TargetEncoder":
        """Stay in evaluation mode, also as a part of a network in training."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the final tokens of images.

        Args:
            image: (B, 3, H, W) RGB in [-1, 1] of exactly `image_size`.

        Returns:
            (B, C, rows, columns) float32; each source's part has unit length.

        Raises:
            InputError: If the image has another size.
        """
        with torch.autocast(
            image.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            tokens = [encoder(image)[-1] for encoder in self.encoders]
        return torch.cat(
            [functional.normalize(part.float(), dim=1, eps=1e-12) for part in tokens], dim=1
        )


def _from_timm(name: str) -> Weights:
    import timm

    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except _DOWNLOAD_ERRORS as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"weights {name} cannot be fetched by timm: {reason}; without the network, name a file"
        ) from error
    return dict(model.state_dict())


def _fetch_fit3d(spec: BackboneSpec) -> Path:
    name = spec.fit3d_file
    if not name:
        published = [row.timm_name for row in BACKBONES.values() if row.fit3d_file]
        raise InputError(f"FiT3D is published for {', '.join(published)}, got {spec.timm_name}")
    try:
        return Path(hf_hub_download(_FIT3D_REPO, name))
    except _DOWNLOAD_ERRORS as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{name} of {_FIT3D_REPO} cannot be fetched: {reason}") from error


def _with_timm_names(weights: Weights) -> Weights:
    """Return the weights under timm's names; timm adds no position to class and register token."""
    # Neither masked patches nor the classifier of a ResNet are used.
    unused = ("mask_token", "fc.weight", "fc.bias")
    weights = {key: value for key, value in weights.items() if key not in unused}
    if "register_tokens" in weights:
        positions = weights["pos_embed"]
        weights["reg_token"] = weights.pop("register_tokens")
        weights["cls_token"] = weights["cls_token"] + positions[:, :1]
        weights["pos_embed"] = positions[:, 1:]
    return weights


def _resample_positions(weights: Weights, spec: BackboneSpec, grid: tuple[int, int]) -> None:
    """Resample the position embedding of a square patch grid to another grid.

    Pretrained embeddings are square; another count is that of the grid itself.
    """
    prefix = spec.prefix_positions
    positions = weights.get("pos_embed")
    if positions is None or positions.ndim != 3:
        return  # refused with everything else that does not fit
    count = positions.shape[1] - prefix
    edge = math.isqrt(max(count, 0))
    if edge * edge == count and grid != (edge, edge):
        weights["pos_embed"] = resample_positions(positions, prefix, (edge, edge), grid)


def _check_fit(vit: nn.Module, weights: Weights, source: str | Path) -> None:
    """Refuse weights with other names or shapes than the transformer's, naming the first."""
    expected = {key: tuple(value.shape) for key, value in vit.state_dict().items()}
    got = {key: tuple(value.shape) for key, value in weights.items()}
    differ = [key for key in {**expected, **got} if expected.get(key) != got.get(key)]
    if differ:
        key = differ[0]
        raise CheckpointError(
            f"weights {source} do not fit the backbone in {len(differ)} tensors: {key} must be "
            f"{expected.get(key, 'absent')}, got {got.get(key, 'none')}"
        )
