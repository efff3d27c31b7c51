"""Unsupervised segmentation of images: clusters matched to classes, with and without a CRF."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.config import ModelConfig
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.core.metrics import assign_clusters, class_iou, merge_clusters
from scenedino_ros.evaluation.published import SEGMENTATION
from scenedino_ros.evaluation.result import Figure, RunResult, Table, coverage
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.segmentation.cluster_maps import (
    ClusterMaps,
    LabelFiles,
    stored_assignment,
)
from scenedino_ros.evaluation.segmentation.crf import refine_labels
from scenedino_ros.evaluation.segmentation.images import LabelledData, missing_images
from scenedino_ros.evaluation.segmentation.scores import pixel_confusion, segmentation_scores
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import tile_rows, write_panels
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.viewing.pictures import color_labels
from scenedino_ros.viewing.plots import class_figures

_CLASSES = len(CITYSCAPES19)


@dataclass(frozen=True)
class SegmentationEvaluation:
    """One network on one set of images.

    Attributes:
        data: Images with labels.
        network: What predicts.
        crf: Whether predictions are scored after a dense CRF, too.
        jitter: Whether the samples along rays are jittered, as published.
        n_samples: Samples along each ray.
        predictions: Folder of predictions, read where it has them and written where not, or None.
        panels: Pictures of single items in the report.
    """

    data: LabelledData
    network: NetworkChoice
    crf: bool = True
    jitter: bool = True
    n_samples: int = 32
    predictions: Path | None = None
    panels: int = 4

    kind = "segmentation"

    def settings(self) -> dict[str, Any]:
        """Return all that the counts depend on."""
        return {
            "data": self.data.settings(),
            "network": self.network.settings(),
            "crf": self.crf,
            "jitter": self.jitter,
            "n_samples": self.n_samples,
        }

    def items(self) -> list[str]:
        """Return the names of the images."""
        return self.data.items()

    def open(self, watch: Stopwatch) -> Callable[[str], Counts]:
        """Return the function that counts one image."""
        return SegmentationWork(self, watch).count

    @cached_property
    def config(self) -> ModelConfig:
        """Architecture of the network."""
        return self.network.config

    @property
    def has_clusters(self) -> bool:
        """Whether predictions are pseudo classes, which have to be matched to classes."""
        return self.network.mode.endswith("kmeans")

    @property
    def n_predicted(self) -> int:
        """How many pseudo classes, or classes, there are to predict."""
        return self.config.n_clusters if self.has_clusters else self.config.n_classes

    def image_size(self) -> tuple[int, int]:
        """Return the (height, width) at which images are predicted and scored."""
        height, width = self.network.image_size or self.config.image_size
        return height, width

    def maps(self, watch: Stopwatch) -> ClusterMaps:
        """Return what predicts images, or reads predictions."""
        files = None
        if self.predictions is not None:
            settings = {key: value for key, value in self.settings().items() if key != "crf"}
            files = LabelFiles(self.predictions, settings)
        return ClusterMaps(self.network, self.n_samples, files, watch, jitter=self.jitter)

    def summarise(self, folder: RunFolder, tell: Callable[[str], None]) -> RunResult:
        """Return tables, plots and panels of the images that are done."""
        items = self.items()
        expected, missing = missing_images(self.data, folder)
        scope = coverage(expected - len(missing), expected, "images")
        total = folder.total(items)
        scored = self._scored(total) if total else {}
        figures = []
        if scored:
            tell("drawing panels")
            done = [item for item in items if item not in missing]
            figures = self._figures(folder.path, scored, done)
        return RunResult(
            kind=self.kind,
            title="Segmentation of images",
            dataset=self.data.name,
            checkpoint=self.network.describe(),
            settings=self.settings(),
            items=expected,
            unit="images",
            missing=missing,
            tables=self._tables(scored, total, scope) if scored else [],
            notes=self._notes(total),
            figures=figures,
            counts=total,
        )

    def _scored(self, total: Counts) -> dict[str, np.ndarray]:
        """Return by name the (19, 19) counts of each way to score."""
        plain = total["plain"]
        scored = {}
        if self.has_clusters:
            scored["clusters matched to classes"] = _matched(plain)
            scored["classes as stored"] = merge_clusters(plain, stored_assignment(self.network))
        else:
            scored["classes of the probe"] = plain
        if self.crf:
            if self.has_clusters:
                scored["matched, after CRF"] = _matched(total["crf"])
            name = "classes as stored, after CRF" if self.has_clusters else "after CRF"
            scored[name] = total["crf"]
        return scored

    def _tables(self, scored: dict[str, np.ndarray], total: Counts, scope: str) -> list[Table]:
        rows: list[list[str | float | None]] = []
        for name, confusion in scored.items():
            scores = segmentation_scores(confusion)
            rows.append([f"{name} ({scope})", *(100 * score for score in scores)])
        for row in SEGMENTATION.get(self.data.published or "", ()):
            rows.append([f"published, after CRF: {row.method}", row.accuracy, row.miou, None])
        classes: list[list[str | float]] = [
            [name, *(float(100 * class_iou(c)[i]) for c in scored.values())]
            for i, name in enumerate(CITYSCAPES19.names)
        ]
        tables = [
            Table("Accuracy and mean IoU, %", ["", "Acc", "mIoU", "weighted mIoU"], rows),
            Table(f"IoU of each class, % ({scope})", ["", *scored], classes),
        ]
        if self.has_clusters:
            tables.append(self._assignment_table(total["plain"]))
        return tables

    def _assignment_table(self, plain: np.ndarray) -> Table:
        fitted, stored = assign_clusters(plain), stored_assignment(self.network)
        names = CITYSCAPES19.names
        rows = [
            [f"cluster {i}", names[fitted[i]], names[stored[i]], int(plain[:, i].sum())]
            for i in range(len(fitted))
        ]
        return Table("Class of each cluster", ["", "matched here", "as stored", "pixels"], rows)

    def _notes(self, total: Counts) -> list[str]:
        notes = [
            "Pixels are summed over all images before anything is divided; the mean IoU is over "
            "19 classes, of which absent ones count as 0.",
        ]
        if self.has_clusters:
            notes.append(
                "*Matched*: each cluster takes the class that makes the number of right pixels "
                "largest, every class having at least one cluster; fitted on these images "
                "themselves, as the published numbers are. After the CRF it is fitted again. "
                "*As stored*: the classes in the checkpoint, fitted elsewhere."
            )
        if total and total["unknown"]:
            notes.append(
                f"{int(total['unknown'])} pixels of label files had an id that is in no table; "
                "they were not scored."
            )
        return notes

    def _figures(self, path: Path, scored: dict[str, np.ndarray], done: list[str]) -> list[Figure]:
        figures = [Figure(*plot) for plot in class_figures(path, scored)]
        return figures + write_panels(
            path, done, self.panels, "image", lambda: SegmentationWork(self, Stopwatch())
        )


class SegmentationWork:
    """Does images, in the process that holds the network."""

    def __init__(self, evaluation: SegmentationEvaluation, watch: Stopwatch) -> None:
        """Open what predicts."""
        self._evaluation = evaluation
        self._maps = evaluation.maps(watch)
        self._size = evaluation.image_size()
        self._assignment = np.arange(_CLASSES)
        if evaluation.has_clusters:
            self._assignment = stored_assignment(evaluation.network)

    def count(self, item: str) -> Counts:
        """Return the counts of an image: pseudo classes, and classes after the CRF.

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
        if self._evaluation.crf:
            refined = refine_labels(self._classes(predicted), image.rgb)
            counts["crf"] = pixel_confusion(image.target, refined, (_CLASSES, _CLASSES))
        return counts

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of an image: input, truth and prediction, before and after the CRF."""
        image = self._evaluation.data.load(item, self._size)
        classes = self._classes(self._maps(item, image))
        truth = np.where(image.target < 0, IGNORE, image.target).astype(np.uint8)
        tiles = [("Predicted", color_labels(classes, CITYSCAPES19))]
        if self._evaluation.crf:
            refined = refine_labels(classes, image.rgb)
            tiles.append(("After the CRF", color_labels(refined, CITYSCAPES19)))
        first = [("Input", image.rgb), ("Labels", color_labels(truth, CITYSCAPES19))]
        return tile_rows(item, [first, tiles], 640)

    def _classes(self, predicted: np.ndarray) -> np.ndarray:
        return self._assignment[predicted].astype(np.uint8)


def _matched(confusion: np.ndarray) -> np.ndarray:
    return merge_clusters(confusion, assign_clusters(confusion))
