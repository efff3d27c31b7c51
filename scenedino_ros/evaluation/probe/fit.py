# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Fits a probe, linear or with one hidden layer, to features that a frozen network renders."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import PREDICTION_MODES
from scenedino_ros.core.ray_spacing import INVERSE
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.segmentation.images import LabelledData
from scenedino_ros.evaluation.settings import FitSettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.semantics import LinearHead

PROBES = ("stego", "direct")  # on the distilled code, and on the full feature
_DOWNSCALE = 4  # of the rendered views that samples are taken from
_N_SAMPLES = 32  # along each ray
_FILES_AT_ONCE = 64


@dataclass(frozen=True)
class ProbeSamples:
    """Rendered features of some labelled pixels of each training image.

    Attributes:
        data: The training images.
        network: The network.
        pixels: Most pixels of one image.
    """

    data: LabelledData
    network: NetworkChoice
    pixels: int

    kind = "probe samples"

    def settings(self) -> dict[str, Any]:
        """Return all that the samples depend on."""
        network = {k: v for k, v in self.network.settings().items() if k != "mode"}
        return {"data": self.data.settings(), "network": network, "pixels": self.pixels}

    def items(self) -> list[str]:
        """Return the names of the training images."""
        return self.data.items()

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of a training image."""
        return self.data.files(item)

    def open(self, watch: Stopwatch) -> "SampleWork":
        """Build the network."""
        return SampleWork(self, watch)


class SampleWork:
    """Takes samples, in the process that holds the network."""

    def __init__(self, samples: ProbeSamples, watch: Stopwatch) -> None:
        """Build the network."""
        self._samples, self._watch = samples, watch
        self._predictor = samples.network.predictor()

    def count(self, item: str) -> Counts:
        """Take the samples of an image.

        Returns:
            ``features`` (N, F) float16 and ``target`` (N,) uint8 of N labelled pixels.

        Raises:
            InputError: If a file is missing or damaged.
        """
        image = self._samples.data.load(item, self._predictor.image_size)
        with self._watch.predicting():
            encoded = self._predictor.encode(image.rgb, image.camera)
            rendered = self._predictor.rendered_features(
                encoded, downscale=_DOWNSCALE, n_samples=_N_SAMPLES, spacing=INVERSE
            )
        middle = slice(_DOWNSCALE // 2, None, _DOWNSCALE)
        target = image.target[middle, middle][: rendered.shape[0], : rendered.shape[1]]
        labelled = np.flatnonzero(target.ravel() >= 0)
        draws = np.random.default_rng(zlib.crc32(item.encode()))
        chosen = np.sort(draws.permutation(labelled)[: self._samples.pixels])
        features = rendered.flatten(0, 1)[torch.from_numpy(chosen).to(rendered.device)]
        return {
            "features": features.half().cpu().numpy(),
            "target": target.ravel()[chosen].astype(np.uint8),
        }


def fit_probes(
    checkpoint: Checkpoint,
    samples: RunFolder,
    items: list[str],
    settings: FitSettings,
    report: Callable[[str], None],
) -> Checkpoint:
    """Return the checkpoint with both probes fitted anew, everything else unchanged.

    Args:
        checkpoint: A network with a semantic head.
        samples: Run of `ProbeSamples`.
        items: Its items; those that are missing are left out.
        settings: How to fit.
        report: Gets what is going on, in words.

    Raises:
        InputError: If there is no semantic head or no code in it, or no sample.
    """
    if not checkpoint.config.has_semantics:
        raise InputError("a probe needs a checkpoint with a semantic head, this one has none")
    if not any(head.startswith("stego") for head in checkpoint.config.heads):
        raise InputError(
            "probes read the code and the full feature, but this checkpoint has no code: its "
            f"heads are {', '.join(checkpoint.config.heads)}"
        )
    done = [item for item, counts in samples.counts(items) if len(counts["target"])]
    if not done:
        raise InputError("no training image has a labelled pixel, so no probe can be fitted")
    model = build_model(checkpoint)
    code_dim, width = checkpoint.config.code_dim, model.encoder.spec.width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        probes = nn.ModuleDict(
            {
                name: LinearHead(size, checkpoint.config.n_classes, settings.hidden)
                for name, size in zip(PROBES, (code_dim, width), strict=True)
            }
        )
    optimizer = torch.optim.Adam(probes.parameters(), lr=settings.rate)
    order = np.random.default_rng(settings.seed)
    for epoch in range(settings.epochs):
        losses: list[list[float]] = []
        for feature, target in _batches(samples, done, settings.batch, order):
            inputs = probe_inputs(model, feature)
            each = [functional.cross_entropy(probes[n](inputs[n]), target) for n in PROBES]
            optimizer.zero_grad()
            torch.stack(each).sum().backward()
            optimizer.step()
            losses.append([loss.item() for loss in each])
        means = ", ".join(f"{n} {m:.3f}" for n, m in zip(PROBES, np.mean(losses, 0), strict=True))
        report(f"fitting the probes: pass {epoch + 1} of {settings.epochs}, loss {means}")
    return _with_probes(checkpoint, probes, settings, len(done))


@torch.no_grad()
def probe_inputs(model: SceneDino, feature: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what the probes read of (N, F) rendered features: code and full feature."""
    full = model.expansion(feature)
    return {"stego": model.semantics.stego_head(full), "direct": full}


def _batches(
    samples: RunFolder, items: list[str], size: int, order: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield all samples in random order, from some files at a time."""
    shuffled = [items[i] for i in order.permutation(len(items))]
    for start in range(0, len(shuffled), _FILES_AT_ONCE):
        counts = [c for _, c in samples.counts(shuffled[start : start + _FILES_AT_ONCE])]
        features = np.concatenate([c["features"] for c in counts])
        target = np.concatenate([c["target"] for c in counts])
        mixed = order.permutation(len(target))
        for place in range(0, len(mixed), size):
            part = mixed[place : place + size]
            yield (
                torch.from_numpy(features[part]).float(),
                torch.from_numpy(target[part]).long(),
            )


def _with_probes(
    checkpoint: Checkpoint, probes: nn.ModuleDict, settings: FitSettings, n_images: int
) -> Checkpoint:
    state = {k: v for k, v in checkpoint.state.items() if "_linear_head." not in k}
    for name in PROBES:
        for key, value in probes[name].state_dict().items():
            state[f"semantics.{name}_linear_head.{key}"] = value.detach()
    kind = "MLP" if settings.hidden else "linear"
    provenance = {
        **checkpoint.provenance,
        "weights": f"{checkpoint.weights}; {kind} probes fitted to labels",
    }
    provenance["probe_images"] = str(n_images)
    heads = {*checkpoint.config.heads, *(f"{name}_linear" for name in PROBES)}
    config = replace(
        checkpoint.config,
        mlp_probe=settings.hidden,
        heads=tuple(mode for mode in PREDICTION_MODES if mode in heads),
    )
    return replace(checkpoint, config=config, state=state, provenance=provenance)
