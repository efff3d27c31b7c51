"""Whether features of the same surface stay the same from one frame to another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure as Plot

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image import ImagePreprocessor, ModelImage
from scenedino_ros.core.files import file_sha256
from scenedino_ros.evaluation.consistency.data import PairData
from scenedino_ros.evaluation.consistency.feature_sources import (
    FeatureSource,
    FieldSource,
    TokenChoice,
    TokenSource,
)
from scenedino_ros.evaluation.consistency.flow import FlowChoice, exact_flow
from scenedino_ros.evaluation.consistency.scores import (
    CONSISTENCY_MEASURES,
    Features,
    compare,
    valid_pixels,
    warp,
)
from scenedino_ros.evaluation.published import CONSISTENCY
from scenedino_ros.evaluation.result import Figure, RunResult, Table, coverage
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import color_scale, save_plot, spread, tile_rows, write_panels
from scenedino_ros.inference.network_choice import NetworkChoice

_MEAN_FRAMES = 8  # frames that the common mean is taken from
_CENTRED = ", common mean removed"


@dataclass(frozen=True)
class ConsistencyEvaluation:
    """Features of pairs of frames, aligned by flow.

    Attributes:
        data: Pairs of frames.
        network: The network whose field is rendered.
        flow: How frames are aligned.
        tokens: 2D backbones to compare with.
        n_samples: Samples along each ray.
        panels: Pictures of single items in the report.
    """

    data: PairData
    network: NetworkChoice
    flow: FlowChoice
    tokens: tuple[TokenChoice, ...] = ()
    n_samples: int = 32
    panels: int = 4

    kind: str = field(default="consistency", init=False)

    def settings(self) -> dict[str, Any]:
        """Return all that the counts depend on."""
        return {
            "data": self.data.settings(),
            "network": self.network.settings(),
            "flow": [self.flow.name, self.flow.weights and file_sha256(self.flow.weights)],
            "tokens": [choice.settings() for choice in self.tokens],
            "n_samples": self.n_samples,
        }

    def items(self) -> list[str]:
        """Return the pairs."""
        return self.data.items()

    def open(self, watch: Stopwatch) -> Callable[[str], Counts]:
        """Build the networks."""
        return ConsistencyWork(self, watch).count

    def names(self) -> list[str]:
        """Return what is compared, in the order of the tables."""
        plain = [FieldSource.name, *(choice.name for choice in self.tokens)]
        return plain + [name + _CENTRED for name in plain]

    def summarise(self, folder: RunFolder, tell: Callable[[str], None]) -> RunResult:
        """Return tables of means over pixels and over pairs, a plot and panels."""
        items = self.items()
        total = folder.total(items)
        missing = folder.missing(items)
        scope = coverage(len(items) - len(missing), len(items), "pairs")
        figures = []
        if total:
            figures.append(self._plot(folder.path, total))
            tell("drawing panels")
            done = [item for item in items if item not in missing]
            figures += write_panels(
                folder.path, done, self.panels, "pair", lambda: ConsistencyWork(self, Stopwatch())
            )
        return RunResult(
            kind=self.kind,
            title="Consistency of features between frames",
            dataset=self.data.describe(),
            checkpoint=self.network.describe(),
            settings=self.settings(),
            items=len(items),
            unit="pairs",
            missing=missing,
            tables=self._tables(total, scope) if total else [],
            notes=self._notes(total),
            figures=figures,
            counts=total,
        )

    def _tables(self, total: Counts, scope: str) -> list[Table]:
        valid, _, pairs = (int(count) for count in total["pixels"])
        rows: list[list[str | float]] = []
        for name in self.names():
            sums = total[f"sums.{name}"]
            means = sums[0] / valid if valid else np.full(3, np.nan)
            pair_means = sums[1] / pairs if pairs else np.full(3, np.nan)
            rows.append([f"{name} ({scope})", *map(float, means), *map(float, pair_means)])
        per_pair = [f"{measure}, mean of pairs" for measure in CONSISTENCY_MEASURES]
        columns = ["", *CONSISTENCY_MEASURES, *per_pair]
        ours = Table("L1 and L2 (lower is better), cosine (higher is better)", columns, rows)
        published = [
            Table(
                f"Published, {name} (RAFT large, test split)",
                ["", *CONSISTENCY_MEASURES],
                rows,
            )
            for name, rows in CONSISTENCY.items()
            if self.data.describe().startswith(name)
        ]
        return [ours, *published]

    def _notes(self, total: Counts) -> list[str]:
        notes = [
            f"Flow: {self.flow.words}.",
            "Per pixel, features have length 1; L1 is the sum of |difference| over channels, L2 "
            "the root of the sum of squares. Pixels count where the flow stays inside the image "
            "and forward and backward flow agree (Sundaram et al., 2010).",
            "A constant feature is perfectly consistent. With the common mean removed (the mean "
            f"over at most {_MEAN_FRAMES} frames) and lengths made 1 again, only what differs "
            "between places counts.",
        ]
        if total:
            valid, pixels, pairs = (int(count) for count in total["pixels"])
            notes.append(
                f"{valid} of {pixels} pixels ({100 * valid / pixels:.1f} %) of {pairs} pairs "
                "could be compared."
            )
        return notes

    def _plot(self, path: Path, total: Counts) -> Figure:
        names = self.names()[::-1]
        valid = max(int(total["pixels"][0]), 1)
        plot = Plot(figsize=(8, 0.7 + 0.35 * len(names)), layout="constrained")
        axes = plot.subplots()
        axes.barh(names, [total[f"sums.{name}"][0][2] / valid for name in names], color="#4c72b0")
        axes.set(xlabel="cosine after alignment", xlim=(min(0, axes.get_xlim()[0]), 1))
        axes.grid(axis="x", alpha=0.3)
        save_plot(path / "cosine.png", plot)
        return Figure("cosine.png", "Mean cosine of aligned features")


@dataclass(frozen=True, eq=False)
class _Pair:
    """Pictures of two frames, the flow between them and where it can be trusted."""

    pictures: tuple[ModelImage, ModelImage]
    flow: torch.Tensor
    valid: torch.Tensor


class ConsistencyWork:
    """Does pairs, in the process that holds the networks."""

    def __init__(self, evaluation: ConsistencyEvaluation, watch: Stopwatch) -> None:
        """Build the networks; take the common means."""
        network, self._watch = evaluation.network, watch
        self._evaluation, self._data = evaluation, evaluation.data
        predictor = network.predictor()
        self._prepare = ImagePreprocessor(predictor.image_size, network.fit)
        self._flow = evaluation.flow.open(network.device)
        self._sources: list[FeatureSource] = [
            FieldSource(predictor, evaluation.n_samples),
            *(TokenSource(c, predictor.image_size, network.device) for c in evaluation.tokens),
        ]
        # A frame is the second of one pair and the first of another.
        self._features = lru_cache(maxsize=4)(self._compute_features)
        frames = [self._picture(name) for name in spread(self._data.items(), _MEAN_FRAMES)]
        self._means = []
        for source in self._sources:
            means = [source.means(p.rgb, CalibratedCamera(p.camera)) for p in frames]
            self._means.append([torch.stack(m).mean(dim=0) for m in zip(*means, strict=True)])

    def count(self, item: str) -> Counts:
        """Return the sums of a pair, over its pixels and of its own means."""
        pair = self._pair(item)
        valid = int(pair.valid.sum())
        counts: Counts = {"pixels": np.array([valid, pair.valid.numel(), valid > 0], np.int64)}
        for name, values in self._compared(item, pair):
            sums = values.sum(dim=1).cpu().numpy()
            counts[f"sums.{name}"] = np.stack([sums, sums / max(valid, 1)])
        return counts

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of a pair: both frames, what could be aligned, and the cosines."""
        pair = self._pair(item)
        first, second = (picture.rgb for picture in pair.pictures)
        pixels = torch.from_numpy(second).permute(2, 0, 1).float()
        aligned = warp(pixels, torch.where(pair.valid, pair.flow, 0).cpu())
        aligned = torch.where(pair.valid.cpu(), aligned, 120).permute(1, 2, 0)
        rows = [
            [("First frame", first), ("Second frame", second)],
            [
                ("Second frame aligned; grey: not compared", aligned.numpy().astype(np.uint8)),
                ("Length of the flow, 0 to 60 px", _flow_picture(pair.flow.cpu().numpy())),
            ],
        ]
        tiles = []
        for name, values in self._compared(item, pair):
            picture = np.full(pair.valid.shape, np.nan)
            picture[pair.valid.cpu().numpy()] = values[2].cpu().numpy()
            tiles.append((f"Cosine, {name}", color_scale(picture, (0.0, 1.0), "viridis")))
        half = len(tiles) // 2
        rows += [[tiles[i], tiles[i + half]] for i in range(half)]
        return tile_rows(f"Pair {item}; cosines from 0 (blue) to 1 (yellow)", rows, 640)

    def _compared(self, item: str, pair: _Pair) -> list[tuple[str, torch.Tensor]]:
        """Return by name the (3, N) measures of the valid pixels."""
        plain, centred = [], []
        for index, source in enumerate(self._sources):
            first = self._features(index, item)
            second = self._features(index, self._data.second(item))
            both = compare(first, second, pair.flow, pair.valid)
            plain.append((source.name, both[0]))
            centred.append((source.name + _CENTRED, both[1]))
        return plain + centred

    def _compute_features(self, index: int, name: str) -> list[Features]:
        with self._watch.predicting():
            picture = self._picture(name)
            camera = CalibratedCamera(picture.camera)
            return self._sources[index].features(picture.rgb, camera, self._means[index])

    def _picture(self, name: str) -> ModelImage:
        return self._prepare(*self._data.frame(name))

    def _pair(self, item: str) -> _Pair:
        first, second = (self._picture(n) for n in (item, self._data.second(item)))
        geometry = self._data.geometry(item) if self._evaluation.flow.name == "exact" else None
        if geometry is None:
            flows = self._flow(first.rgb, second.rgb), self._flow(second.rgb, first.rgb)
        else:
            there, back = geometry.T_second_first, np.linalg.inv(geometry.T_second_first)
            flows = (
                exact_flow(geometry.depths[0], geometry.camera, there),
                exact_flow(geometry.depths[1], geometry.camera, back),
            )
        device = self._means[0][0].device
        forward, backward = (torch.from_numpy(flow).float().to(device) for flow in flows)
        return _Pair((first, second), forward, valid_pixels(forward, backward))


def _flow_picture(flow: np.ndarray) -> np.ndarray:
    return color_scale(np.linalg.norm(flow, axis=0), (0.0, 60.0), "magma")
