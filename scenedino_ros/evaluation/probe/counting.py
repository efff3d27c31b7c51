"""What the features of a frozen network know about classes: probes fitted to labels, scored."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.core.metrics import class_iou
from scenedino_ros.evaluation.probe.fit import PROBES, FitSettings, ProbeSamples, probe_inputs
from scenedino_ros.evaluation.result import Figure, RunResult, Table, coverage
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.segmentation.images import (
    LabelledData,
    LabelledImage,
    missing_images,
)
from scenedino_ros.evaluation.segmentation.scores import pixel_confusion, segmentation_scores
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import tile_rows, write_panels
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.viewing.pictures import color_labels
from scenedino_ros.viewing.plots import class_figures

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
        fit: How the probes are fitted.
        output: Folder of the run; the fitted network is written into it.
        n_samples: Samples along each ray.
        panels: Pictures of single items in the report.
    """

    data: LabelledData
    training: LabelledData
    network: NetworkChoice
    fit: FitSettings
    output: Path
    n_samples: int = 32
    panels: int = 4

    kind = "probe"

    def settings(self) -> dict[str, Any]:
        """Return all that the counts depend on."""
        samples = self.samples.settings()
        return {
            "data": self.data.settings(),
            "training": samples["data"],
            "network": samples["network"],
            "fit": asdict(self.fit),
            "n_samples": self.n_samples,
        }

    @property
    def samples(self) -> ProbeSamples:
        """What the probes are fitted to."""
        return ProbeSamples(self.training, self.network, self.fit.pixels)

    @property
    def checkpoint(self) -> Path:
        """File of the network with fitted probes."""
        return self.output / CHECKPOINT

    def items(self) -> list[str]:
        """Return the names of the images to score on."""
        return self.data.items()

    def open(self, watch: Stopwatch) -> Callable[[str], Counts]:
        """Return the function that counts one image."""
        return ProbeWork(self, watch).count

    def summarise(self, folder: RunFolder, tell: Callable[[str], None]) -> RunResult:
        """Return tables, plots and panels of the images that are done."""
        items = self.items()
        expected, missing = missing_images(self.data, folder)
        scope = coverage(expected - len(missing), expected, "images")
        total = folder.total(items)
        figures = []
        if total:
            tell("drawing panels")
            done = [item for item in items if item not in missing]
            figures = self._figures(folder.path, total, done)
        return RunResult(
            kind=self.kind,
            title=f"{'MLP' if self.fit.hidden else 'Linear'} probes on images",
            dataset=self.data.name,
            checkpoint=self.network.describe(),
            settings=self.settings(),
            items=expected,
            unit="images",
            missing=missing,
            tables=_tables(total, scope) if total else [],
            notes=[
                f"Fitted on {self.training.name} by cross-entropy on rendered features; the "
                "network itself is frozen. Classes are learned from labels, so nothing is "
                "matched.",
                f"{CHECKPOINT} holds the network with these probes: 'scenedino evaluate ssc "
                "--mode stego_linear' (or direct_linear) scores them in 3D.",
            ],
            figures=figures,
            counts=total,
        )

    def _figures(self, path: Path, total: Counts, done: list[str]) -> list[Figure]:
        scored = {NAMES[key]: total[key] for key in PROBES}
        figures = [Figure(*plot) for plot in class_figures(path, scored)]
        return figures + write_panels(
            path, done, self.panels, "image", lambda: ProbeWork(self, Stopwatch())
        )


class ProbeWork:
    """Does images, in the process that holds the network."""

    def __init__(self, evaluation: ProbeEvaluation, watch: Stopwatch) -> None:
        """Load the network with fitted probes."""
        checkpoint = load_checkpoint(evaluation.checkpoint)
        network = evaluation.network
        self._evaluation, self._watch = evaluation, watch
        self._predictor = network.predictor(checkpoint)
        self._model = build_model(checkpoint).to(choose_device(network.device))
        self._shape = (len(checkpoint.classes),) * 2

    def count(self, item: str) -> Counts:
        """Return the counts of an image for each probe.

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
        """Return a picture of an image: input, truth and the classes of both probes."""
        image = self._load(item)
        truth = np.where(image.target < 0, IGNORE, image.target).astype(np.uint8)
        tiles = [
            (NAMES[name].capitalize(), color_labels(predicted, CITYSCAPES19))
            for name, predicted in self._predict(image).items()
        ]
        first = [("Input", image.rgb), ("Labels", color_labels(truth, CITYSCAPES19))]
        return tile_rows(item, [first, tiles], 640)

    def _load(self, item: str) -> LabelledImage:
        return self._evaluation.data.load(item, self._predictor.image_size)

    @torch.inference_mode()
    def _predict(self, image: LabelledImage) -> dict[str, np.ndarray]:
        encoded = self._predictor.encode(image.rgb, image.camera)
        rendered = self._predictor.rendered_features(encoded, n_samples=self._evaluation.n_samples)
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


def _tables(total: Counts, scope: str) -> list[Table]:
    rows: list[list[str | float]] = []
    for name in PROBES:
        scores = segmentation_scores(total[name])
        rows.append([f"{NAMES[name]} ({scope})", *(100 * score for score in scores)])
    classes: list[list[str | float]] = [
        [name, *(float(100 * class_iou(total[key])[i]) for key in PROBES)]
        for i, name in enumerate(CITYSCAPES19.names)
    ]
    heads = [NAMES[key] for key in PROBES]
    return [
        Table("Accuracy and mean IoU, %", ["", "Acc", "mIoU", "weighted mIoU"], rows),
        Table(f"IoU of each class, % ({scope})", ["", *heads], classes),
    ]
