# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts classes and clusters of the pixels of images, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.files import files_digest
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.segmentation.cluster_maps import (
    ClusterMaps,
    LabelFiles,
    stored_assignment,
)
from scenedino_ros.evaluation.segmentation.crf import refine_labels
from scenedino_ros.evaluation.segmentation.images import LabelledData, unnamed_images
from scenedino_ros.evaluation.segmentation.scores import pixel_confusion
from scenedino_ros.evaluation.settings import SegmentationSettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import tile_rows
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.viewing.pictures import color_labels

_CLASSES = len(CITYSCAPES19)


@dataclass(frozen=True)
class SegmentationEvaluation:
    """One network on one set of images.

    Attributes:
        data: Images with labels.
        network: The network.
        choices: What is scored, and how.
    """

    data: LabelledData
    network: NetworkChoice
    choices: SegmentationSettings = SegmentationSettings()

    kind = "segmentation"
    title = "Segmentation of images"
    unit = "image"

    @property
    def dataset(self) -> str:
        """Name of the data."""
        return self.data.name

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on."""
        return {**self._map_settings(), "crf": self.choices.crf}

    def _map_settings(self) -> dict[str, Any]:
        """Return everything that the cluster maps depend on."""
        return {
            "data": self.data.settings(),
            "network": self.network.settings(),
            "features": self.choices.features,
            "jitter": self.choices.jitter,
            "n_samples": self.choices.n_samples,
        }

    def items(self) -> list[str]:
        """Return the names of the images."""
        return self.data.items()

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of an image."""
        return self.data.files(item)

    def unnamed(self) -> dict[str, str]:
        """Return the images that the data lacks without a file that names them."""
        return unnamed_images(self.data)

    def open(self, watch: Stopwatch) -> "SegmentationWork":
        """Build what predicts."""
        return SegmentationWork(self, watch)

    @cached_property
    def config(self) -> ModelConfig:
        """Architecture of the network."""
        return self.network.config

    @property
    def has_clusters(self) -> bool:
        """Whether predictions are pseudo classes, which have to be matched to classes."""
        return self.config.naming(self.network.mode).endswith("kmeans")

    @property
    def n_predicted(self) -> int:
        """How many pseudo classes, or classes, there are to predict."""
        return self.config.n_clusters if self.has_clusters else self.config.n_classes

    def image_size(self) -> tuple[int, int]:
        """Return the (height, width) at which images are predicted and scored."""
        height, width = self.network.image_size or self.config.image_size
        return height, width

    def label_files(self) -> LabelFiles | None:
        """Open the folder of cluster maps, if there is to be one."""
        folder = self.choices.predictions
        if folder is None:
            return None
        return LabelFiles(folder, self._map_settings(), self._image_digests)

    @cached_property
    def _image_digests(self) -> dict[str, str]:
        """What the cluster map of each image depends on beside the settings: its file."""
        return {item: files_digest(self.data.files(item)[:1]) for item in self.items()}


class SegmentationWork:
    """Counts and draws images, in the process that holds the network."""

    def __init__(self, evaluation: SegmentationEvaluation, watch: Stopwatch) -> None:
        """Open the stored maps; the network waits until a map is not there."""
        self._evaluation, choices = evaluation, evaluation.choices
        self._maps = ClusterMaps(evaluation.network, choices, evaluation.label_files(), watch)
        self._size = evaluation.image_size()
        self._assignment = np.arange(_CLASSES)
        if evaluation.has_clusters:
            self._assignment = stored_assignment(evaluation.network)

    def count(self, item: str) -> Counts:
        """Count the pixels of an image.

        Returns:
            int64 arrays: ``plain`` (19, n), classes by pseudo classes; ``crf`` (19, 19), if there
            is a CRF, classes by classes after it; ``unknown`` (), pixels whose label is in no
            table.

        Raises:
            InputError: If a file is missing or damaged.
        """
        image = self._evaluation.data.load(item, self._size)
        predicted = self._maps(item, image)
        shape = (_CLASSES, self._evaluation.n_predicted)
        counts: Counts = {
            "plain": pixel_confusion(image.target, predicted, shape),
            "unknown": np.array(image.unknown, np.int64),
        }
        if self._evaluation.choices.crf:
            refined = refine_labels(self._classes(predicted), image.rgb)
            counts["crf"] = pixel_confusion(image.target, refined, (_CLASSES, _CLASSES))
        return counts

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of an image: input, labels and prediction, before and after the CRF."""
        image = self._evaluation.data.load(item, self._size)
        classes = self._classes(self._maps(item, image))
        labels = np.where(image.target < 0, IGNORE, image.target).astype(np.uint8)
        tiles = [("Predicted", color_labels(classes, CITYSCAPES19))]
        if self._evaluation.choices.crf:
            refined = refine_labels(classes, image.rgb)
            tiles.append(("After the CRF", color_labels(refined, CITYSCAPES19)))
        first = [("Input", image.rgb), ("Labels", color_labels(labels, CITYSCAPES19))]
        return tile_rows(item, [first, tiles], 640)

    def _classes(self, predicted: np.ndarray) -> np.ndarray:
        return self._assignment[predicted].astype(np.uint8)
