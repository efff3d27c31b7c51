# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

r"""Halve the resolution of a trained network's feature map, with the answers it has learned.

    python -m train.coarsen --checkpoint runs/field/field.safetensors --stores 'stores/*' \
        --output runs/coarse

The last fusion block of the decoder then no longer doubles the resolution, and the three
convolutions after it, which are linear, cost a quarter. They learn to give on each ray what the
network gave before: where light ends, with which feature. Nothing else changes, so a semantic head
stays valid. Images are all it needs, neither poses nor labels. Evaluate the result before you use
it: it suits networks whose map changes little from pixel to pixel, such as those with few tokens.

The folder of the run gets ``before.safetensors``, a copy of the network, and
``coarse.safetensors``.
"""

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints.checkpoint import (
    Checkpoint,
    build_model,
    save_checkpoint,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.ray_spacing import LOGARITHMIC
from scenedino_ros.core.setting import setting
from scenedino_ros.network.decoder import Decoder
from scenedino_ros.network.field import sample_map
from scenedino_ros.network.folded import FoldedSceneDino
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import composite, sample_distances
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.terminal.progress import counting
from train.runs.launch import exit_code, launch, reduce_losses, stop_signals
from train.runs.network import network_of_run
from train.runs.randomness import item_generator
from train.runs.run import RunFolder
from train.runs.settings import Command, RunSettings, parse_command
from train.runs.stores import open_store, store_paths

NAME = "python -m train.coarsen"
_RESULT = "coarse.safetensors"
_BEFORE = "before.safetensors"  # a copy of the network to coarsen


@dataclass(frozen=True)
class Settings:
    """Settings of a run."""

    checkpoint: str = setting("", "Network to coarsen, a file or a name such as default")
    stores: tuple[str, ...] = setting((), "Frame stores, as paths or patterns")
    images: int = setting(24, "Images drawn from the stores of each path or pattern", low=1)
    rays: int = setting(500, "Rays of an image in a step", low=1)
    samples: int = setting(24, "Samples of a ray", low=2)
    learning_rate: float = setting(1e-3, "Step size of Adam, which falls to 0 by a cosine", low=0)
    run: RunSettings = field(
        default_factory=partial(RunSettings, steps=3000, batch_size=3, save_every=100)
    )


class Tail(nn.Module):
    """The linear end of a decoder, and the image part of the first layer of the point MLP."""

    def __init__(self, decoder: Decoder, field_layer: nn.Linear) -> None:
        """Copy the convolutions; the layer of the MLP is not trained."""
        super().__init__()
        self.project = copy.deepcopy(decoder.project)
        self.output_head = copy.deepcopy(decoder.output_head)
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                # On the coarser grid the neighbours are further away; to begin with, each kernel
                # answers a map without detail as it did.
                whole = conv.weight.data.sum(dim=(2, 3))
                conv.weight.data = torch.zeros_like(conv.weight)
                conv.weight.data[:, :, 1, 1] = whole
        self.requires_grad_(True)
        width = decoder.project.out_channels
        self.register_buffer("to_hidden", field_layer.weight[:, :width].detach(), persistent=False)
        self.register_buffer("hidden_bias", field_layer.bias.detach(), persistent=False)

    def forward(self, small: torch.Tensor) -> torch.Tensor:
        """Map (B, C, h, w) to (B, hidden, H', W')."""
        wide = self.output_head(self.project(small))
        return functional.conv2d(wide, self.to_hidden[:, :, None, None], self.hidden_bias)


@dataclass(frozen=True)
class OnRays:
    """What a network answers on R rays of each of B images.

    Attributes:
        before: (B, R, hidden) image part of the hidden layer.
        weights: (B, R, S) fraction of the light that ends at each sample.
        feature: (B, R, F) blended feature.
    """

    before: torch.Tensor
    weights: torch.Tensor
    feature: torch.Tensor


class Rays:
    """Random rays through images, and the samples on them, of the camera the code is made for."""

    def __init__(
        self, model: SceneDino, shape: tuple[int, int, int], draws: torch.Generator
    ) -> None:
        """Draw the rays.

        Args:
            model: The network whose answers are wanted.
            shape: Images, rays of each, and samples of each ray.
            draws: Where they are drawn from.
        """
        near, far = model.config.depth_range
        device = model.field.lin_in.weight.device
        self.uv_norm = (torch.rand(*shape[:2], 2, generator=draws) * 2 - 1).to(device)
        jitter = torch.rand(shape, generator=draws).to(device)
        self.depth = sample_distances(near, far, shape[2], jitter, LOGARITHMIC)
        uv_norm = self.uv_norm.unsqueeze(2).expand(*shape, 2)
        width = model.config.decoder_width
        weight = model.field.lin_in.weight[:, width:]
        self._of_code = functional.linear(model.code(uv_norm, self.depth), weight)
        self._out = model.field.lin_out

    def answers(self, before: torch.Tensor) -> OnRays:
        """Return what the network answers, of the (B, hidden, H', W') image part of the map."""
        at = sample_map(before, self.uv_norm)
        hidden = functional.relu(at.unsqueeze(2) + self._of_code)
        out = functional.linear(hidden, self._out.weight, self._out.bias)
        weights = composite(functional.softplus(out[..., 0]), self.depth).weights
        return OnRays(at, weights, (weights.unsqueeze(-1) * out[..., 1:]).sum(dim=2))


def losses(found: OnRays, wanted: OnRays) -> dict[str, torch.Tensor]:
    """Return how far answers are from those wanted: each term, and their sum ``total``."""
    centred = wanted.before - wanted.before.mean(dim=(0, 1))
    terms = {
        "weights": (found.weights - wanted.weights).abs().sum(dim=-1).mean(),
        "feature": (
            (found.feature - wanted.feature).norm(dim=-1)
            / wanted.feature.norm(dim=-1).clamp(min=1e-3)
        ).mean(),
        "hidden": (found.before - wanted.before).square().sum() / centred.square().sum(),
    }
    return {"total": torch.stack(list(terms.values())).sum(), **terms}


def coarsened(checkpoint: Checkpoint, tail: Tail, steps: int) -> Checkpoint:
    """Return the network with a tail that was trained for some steps instead of its own."""
    config = replace(checkpoint.config, upsample_fusion=False)
    trained = {f"decoder.{name}": values for name, values in tail.state_dict().items()}
    state = {
        name: trained[name].to(values.dtype) if name in trained else values
        for name, values in checkpoint.state.items()
    }
    provenance = {**checkpoint.provenance, "map": f"train.coarsen, {steps} steps"}
    return replace(checkpoint, config=config, state=state, provenance=provenance)


def small_maps(network: FoldedSceneDino, settings: Settings) -> torch.Tensor:
    """Return the (N, C, h, w) float16 maps before the tail of images drawn from the stores.

    Raises:
        InputError: If there is no image.
    """
    draws = torch.Generator().manual_seed(settings.run.seed)
    chosen: list[tuple[FrameStore, str, int]] = []
    for pattern in settings.stores:
        stores = [
            open_store(path, network.plain.config.image_size) for path in store_paths(pattern)
        ]
        views = [
            (s, camera, frame) for s in stores for camera in s.cameras for frame in range(len(s))
        ]
        numbers = torch.randperm(len(views), generator=draws)[: settings.images]
        chosen += [views[number] for number in numbers.tolist()]
    if not chosen:
        raise InputError("a run needs an image of a frame store in stores, got none")
    maps = []
    with counting("encoding images", "images") as count, torch.inference_mode():
        for done, (store, camera, frame) in enumerate(chosen):
            rgb = np.array(store.image(camera, frame))  # a copy of what is mapped for reading only
            image = image_tensor(rgb, network.tail.bias.device)
            maps.append(network.fuse(image)[0].half().cpu())
            count(done + 1, len(chosen))
    return torch.stack(maps)


def fit(command: Command[Settings]) -> None:
    """Train until the last step, or until asked to stop."""
    settings = command.settings
    processes = settings.run.devices * settings.run.nodes
    if processes > 1:
        raise InputError(f"a network is coarsened by one process, got {processes}")
    fabric = launch(settings.run)
    if fabric.world_size > 1:
        raise InputError(f"a network is coarsened by one process, got {fabric.world_size}")
    with RunFolder(command.output, settings, fabric, resume=command.resume) as run:
        checkpoint = _to_coarsen(run, settings)
        model = build_model(checkpoint).to(fabric.device)
        assert isinstance(model.decoder, Decoder)
        network = FoldedSceneDino(model, checkpoint.config.heads[0])
        maps = small_maps(network, settings)
        tail = Tail(model.decoder, model.field.lin_in)
        adam = torch.optim.Adam(tail.parameters(), settings.learning_rate, betas=(0.9, 0.98))
        parts = ({"tail": tail}, {"adam": adam})
        first, _ = run.restore(*parts)
        if not first:
            save_checkpoint(run.path / _BEFORE, checkpoint)
        shape = settings.run.batch_size, settings.rays, settings.samples
        with stop_signals() as stop, run.progress(first) as show:
            for step in run.steps(first):
                for group in adam.param_groups:
                    fallen = 0.5 + 0.5 * math.cos(math.pi * step / settings.run.steps)
                    group["lr"] = settings.learning_rate * fallen
                draws = item_generator(settings.run.seed, step, 0)
                chosen = torch.randint(len(maps), shape[:1], generator=draws)
                small = maps[chosen].to(fabric.device).float()
                with torch.no_grad():
                    rays = Rays(model, shape, draws)
                    wanted = rays.answers(network.upsampled(small).permute(0, 3, 1, 2))
                found = losses(rays.answers(tail(small)), wanted)
                found["total"].backward()
                reduced = reduce_losses(fabric, found, stop=stop.requested)
                run.check_finite(step, reduced.values, small)
                adam.step()
                adam.zero_grad()
                run.log(step, reduced.values)
                show(step, reduced.values)
                if run.is_due(step, settings.run.save_every) or reduced.stop:
                    run.save(step + 1, *parts)
                if reduced.stop:
                    raise run.stopped(step + 1)
        save_checkpoint(run.path / _RESULT, coarsened(checkpoint, tail, settings.run.steps))


def _to_coarsen(run: RunFolder, settings: Settings) -> Checkpoint:
    """Return the network of a run.

    Raises:
        InputError: If none is named, or it cannot be made coarser.
        CheckpointError: If it cannot be read.
    """
    checkpoint = network_of_run(run, _BEFORE, settings.checkpoint, "the network to coarsen")
    config = checkpoint.config
    if config.classes_in_field:
        raise InputError(
            f"a network to coarsen must be one of SceneDINO, and {settings.checkpoint} is one of "
            "S4C (heads: field)"
        )
    if not config.upsample_fusion:
        raise InputError(
            "a network to coarsen must have a decoder whose last fusion block doubles the "
            f"resolution, and {settings.checkpoint} has none"
        )
    return checkpoint


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return exit_code(NAME, lambda: fit(parse_command(argv, Settings(), NAME, __doc__)))


if __name__ == "__main__":
    sys.exit(main())
