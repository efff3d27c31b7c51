# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts what probes of a frozen network predict, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.core.ray_spacing import INVERSE
from scenedino_ros.evaluation.probe.fit import PROBES, ProbeSamples, fit_probes, probe_inputs
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.runner import RunOptions, begin_run, count_items
from scenedino_ros.evaluation.segmentation.images import (
    LabelledData,
    LabelledImage,
    unnamed_images,
)
from scenedino_ros.evaluation.segmentation.scores import pixel_confusion
from scenedino_ros.evaluation.settings import FitSettings, ProbeSettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import tile_rows
from scenedino_ros.evaluation.workers import rank, wait_for_ranks
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.viewing.pictures import color_labels

CHECKPOINT = "probe.safetensors"  # in the folder of the run
NAMES = {"stego": "probe on the distilled code", "direct": "probe on the full feature"}
_CHUNK = 8192  # pixels classified at once


@dataclass(frozen=True)
class ProbeEvaluation:
    """Probes of a frozen network, fitted on some images and scored on others.

    Attributes:
        data: Images to score on.
        training: Images to fit on.
        network: The network whose features are probed.
        output: Folder of the run; the fitted network is written into it.
        choices: How probes are fitted, what is scored, and how.
    """

    data: LabelledData
    training: LabelledData
    network: NetworkChoice
    output: Path
    choices: ProbeSettings = ProbeSettings()

    kind = "probe"
    unit = "image"

    @property
    def title(self) -> str:
        """Heading of the report."""
        return f"{'MLP' if self.choices.hidden else 'Linear'} probes on images"

    @property
    def dataset(self) -> str:
        """Name of the data."""
        return self.data.name

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on."""
        samples = self.samples.settings()
        return {
            "data": self.data.settings(),
            "training": samples["data"],
            "network": samples["network"],
            "fit": {item.name: getattr(self.choices, item.name) for item in fields(FitSettings)},
            "n_samples": self.choices.n_samples,
        }

    @property
    def samples(self) -> ProbeSamples:
        """What the probes are fitted to."""
        return ProbeSamples(self.training, self.network, self.choices.pixels)

    @property
    def checkpoint(self) -> Path:
        """File of the network with fitted probes."""
        return self.output / CHECKPOINT

    def items(self) -> list[str]:
        """Return the names of the images to score on."""
        return self.data.items()

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of an image."""
        return self.data.files(item)

    def unnamed(self) -> dict[str, str]:
        """Return the images that the data lacks without a file that names them."""
        return unnamed_images(self.data)

    def open(self, watch: Stopwatch) -> "ProbeWork":
        """Load the network with fitted probes."""
        return ProbeWork(self, watch)


class ProbeWork:
    """Counts and draws images, in the process that holds the network."""

    def __init__(self, evaluation: ProbeEvaluation, watch: Stopwatch) -> None:
        """Load the network with fitted probes."""
        checkpoint = load_checkpoint(evaluation.checkpoint)
        network = evaluation.network
        self._evaluation, self._watch = evaluation, watch
        self._predictor = network.predictor(checkpoint)
        self._model = build_model(checkpoint).to(choose_device(network.device))
        self._shape = (len(checkpoint.classes),) * 2

    def count(self, item: str) -> Counts:
        """Count the pixels of an image.

        Returns:
            For each of `PROBES` a (19, 19) int64 array, classes by predicted classes.

        Raises:
            InputError: If a file is missing or damaged.
        """
        image = self._load(item)
        with self._watch.predicting():
            found = self._predict(image)
        return {
            name: pixel_confusion(image.target, predicted, self._shape)
            for name, predicted in found.items()
        }

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of an image: input, labels and the classes of both probes."""
        image = self._load(item)
        labels = np.where(image.target < 0, IGNORE, image.target).astype(np.uint8)
        tiles = [
            (NAMES[name].capitalize(), color_labels(predicted, CITYSCAPES19))
            for name, predicted in self._predict(image).items()
        ]
        first = [("Input", image.rgb), ("Labels", color_labels(labels, CITYSCAPES19))]
        return tile_rows(item, [first, tiles], 640)

    def _load(self, item: str) -> LabelledImage:
        return self._evaluation.data.load(item, self._predictor.image_size)

    @torch.inference_mode()
    def _predict(self, image: LabelledImage) -> dict[str, np.ndarray]:
        encoded = self._predictor.encode(image.rgb, image.camera)
        rendered = self._predictor.rendered_features(
            encoded, n_samples=self._evaluation.choices.n_samples, spacing=INVERSE
        )
        parts: dict[str, list[torch.Tensor]] = {name: [] for name in PROBES}
        for chunk in rendered.flatten(0, 1).split(_CHUNK):
            inputs = probe_inputs(self._model, chunk)
            for name in PROBES:
                head = getattr(self._model.semantics, f"{name}_linear_head")
                parts[name].append(head(inputs[name]).argmax(dim=-1))
        return {
            name: torch.cat(labels).to(torch.uint8).view(image.target.shape).cpu().numpy()
            for name, labels in parts.items()
        }


def fit(evaluation: ProbeEvaluation, run: RunOptions) -> None:
    """Take the missing samples, fit the probes and keep them, unless that is done.

    Raises:
        InputError: If a training image cannot be read, no probe can be fitted, or the folder has
            probes that were fitted to other images.
    """
    path, items = evaluation.output / "samples", evaluation.samples.items()
    if rank() == 0:
        RunFolder(evaluation.output, evaluation.kind, evaluation.settings())
        if evaluation.checkpoint.exists():
            begin_run(evaluation.samples, path, items)  # refuses other training images
    wait_for_ranks()
    if evaluation.checkpoint.exists():
        return
    samples = count_items(evaluation.samples, path, run)
    missing = samples.missing(items)
    if missing:
        item, why = next(iter(missing.items()))
        raise InputError(
            f"{len(missing)} of {len(items)} training images cannot be read, such as {item}: {why}"
        )
    if rank() == 0:
        run.report("fitting the probes")
        checkpoint = evaluation.network.load()
        fitted = fit_probes(checkpoint, samples, items, evaluation.choices, run.report)
        save_checkpoint(evaluation.checkpoint, fitted)
    wait_for_ranks()
