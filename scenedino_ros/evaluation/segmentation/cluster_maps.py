# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Maps of pseudo classes: predicted by a network, kept as PNG files, read again."""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.ray_spacing import INVERSE
from scenedino_ros.evaluation.run_folder import begin_predictions, check_files
from scenedino_ros.evaluation.segmentation.data import read_ids
from scenedino_ros.evaluation.segmentation.images import LabelledImage
from scenedino_ros.evaluation.settings import SegmentationSettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.token_classes import TokenClasses


class ClusterPredictor:
    """Predicts the pseudo class of each pixel, before any class is assigned to it.

    In the linear modes, which know no pseudo classes, it is the class itself.
    """

    def __init__(self, network: NetworkChoice, choices: SegmentationSettings) -> None:
        """Build the network.

        Args:
            network: The network.
            choices: What of it is classified, and how it is rendered.

        Raises:
            InputError: If the network has no semantic head.
        """
        checkpoint = network.load()
        if not checkpoint.config.has_semantics:
            raise InputError("the checkpoint has no semantic head, so there is nothing to score")
        state = dict(checkpoint.state)
        for key in state:
            if key.endswith("pseudo_assignment"):
                state[key] = torch.arange(len(state[key]))
        checkpoint = replace(checkpoint, state=state)
        self._choices = choices
        self._in_image = choices.features == "image"
        if self._in_image:
            self._tokens = TokenClasses(checkpoint, network.mode, network.device)
        else:
            self._predictor = network.predictor(checkpoint)

    def __call__(self, item: str, image: LabelledImage) -> np.ndarray:
        """Return the (H, W) uint8 pseudo classes of an image of the network's size."""
        if self._in_image:
            return self._tokens(image.rgb)
        # Jitter is of the image's own seed, so that it does not depend on other images.
        seed = zlib.crc32(item.encode()) if self._choices.jitter else None
        encoded = self._predictor.encode(image.rgb, image.camera)
        view = self._predictor.render(
            encoded,
            downscale=1,
            n_samples=self._choices.n_samples,
            spacing=INVERSE,
            depth=False,
            semantic=True,
            jitter_seed=seed,
        )
        assert view.label is not None
        return view.label


def stored_assignment(network: NetworkChoice) -> np.ndarray:
    """Return the class of each pseudo class, as the checkpoint has it."""
    source = network.mode.split("_")[0]
    key = f"semantics.{source}_cluster_head.pseudo_assignment"
    return network.load().state[key].numpy()


class LabelFiles:
    """A folder of maps as ``ITEM.png``, with the settings they were made with."""

    def __init__(
        self, path: Path, settings: Mapping[str, Any], digests: Mapping[str, str]
    ) -> None:
        """Begin a folder, or open one that was made with the same settings.

        Args:
            path: The folder.
            settings: What the maps depend on, as plain values.
            digests: The `files_digest` of the file of each image that will be asked for.

        Raises:
            InputError: If the maps of the folder were made with other settings, or of other
                images.
        """
        self._path = Path(path)
        current, stored = begin_predictions(self._path, settings)
        if stored != current:
            raise InputError(f"{path} holds predictions made with other settings")
        check_files(self._path, lambda item: self._file(item).exists(), digests)

    def read(self, item: str) -> np.ndarray | None:
        """Return the (H, W) uint8 map of an item, None if it is not there.

        Raises:
            InputError: If the file is damaged.
        """
        file = self._file(item)
        return read_ids(file) if file.exists() else None

    def write(self, item: str, labels: np.ndarray) -> None:
        """Keep a map."""
        file = self._file(item)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, cv2.imencode(".png", labels)[1].tobytes())

    def _file(self, item: str) -> Path:
        return self._path / f"{item}.png"


class ClusterMaps:
    """Maps from a folder where it has them, else from the network, which is then built."""

    def __init__(
        self,
        network: NetworkChoice,
        choices: SegmentationSettings,
        files: LabelFiles | None,
        watch: Stopwatch,
    ) -> None:
        """Open; arguments as for `ClusterPredictor`, and what times it."""
        self._make = lambda: ClusterPredictor(network, choices)
        self._files, self._watch = files, watch

    @cached_property
    def _predict(self) -> ClusterPredictor:
        return self._make()

    def __call__(self, item: str, image: LabelledImage) -> np.ndarray:
        """Return the (H, W) uint8 pseudo classes of an image.

        Raises:
            InputError: If a stored map is damaged or of another size.
        """
        found = self._files.read(item) if self._files else None
        if found is None:
            with self._watch.pausing():
                predict = self._predict
            with self._watch.predicting():
                found = predict(item, image)
                if self._files:
                    self._files.write(item, found)
        if found.shape != image.target.shape:
            raise InputError(
                f"the prediction of {item} must be {image.target.shape}, got {found.shape}"
            )
        return found
