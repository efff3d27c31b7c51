# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts how alike the features of the same surface are in two frames, pair by pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

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
from scenedino_ros.evaluation.consistency.scores import Features, compare, valid_pixels, warp
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.settings import ConsistencySettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import color_scale, spread, tile_rows
from scenedino_ros.inference.network_choice import NetworkChoice

MEAN_FRAMES = 8  # frames that the common mean is taken from
# The features as they are, and with their common mean removed.
VERSIONS = {"plain": "", "centred": ", common mean removed"}


@dataclass(frozen=True)
class ConsistencyEvaluation:
    """Features of pairs of frames, aligned by flow.

    Attributes:
        data: Pairs of frames.
        network: The network whose field is rendered.
        flow: How frames are aligned.
        tokens: 2D backbones to compare with, those of the choices.
        choices: What is scored, and how.
    """

    data: PairData
    network: NetworkChoice
    flow: FlowChoice
    tokens: tuple[TokenChoice, ...] = ()
    choices: ConsistencySettings = ConsistencySettings()

    kind = "consistency"
    title = "Consistency of features between frames"
    unit = "pair"

    @property
    def dataset(self) -> str:
        """Name of the data."""
        return self.data.name

    def settings(self) -> dict[str, Any]:
        """Return everything that the counts depend on."""
        return {
            "data": self.data.settings(),
            "network": self.network.settings(),
            "flow": [self.flow.name, self.flow.weights and file_sha256(self.flow.weights)],
            "tokens": [choice.settings() for choice in self.tokens],
            "n_samples": self.choices.n_samples,
        }

    def items(self) -> list[str]:
        """Return the pairs."""
        return self.data.items()

    def files(self, item: str) -> Sequence[Path]:
        """Return the files of a pair."""
        return self.data.files(item)

    def unnamed(self) -> dict[str, str]:
        """Return nothing: every frame has a file that names it."""
        return {}

    def open(self, watch: Stopwatch) -> "ConsistencyWork":
        """Build the networks."""
        return ConsistencyWork(self, watch)

    def features(self) -> dict[str, str]:
        """Return the features that are compared, in the order of the counts: keys and names."""
        names = [tokens.name for tokens in self.tokens]
        return {"field": FieldSource.name, **dict(zip(self.choices.features, names, strict=True))}


@dataclass(frozen=True, eq=False)
class _Pair:
    """Network input images of two frames, the flow between them and where it is reliable."""

    images: tuple[ModelImage, ModelImage]
    flow: torch.Tensor
    valid: torch.Tensor


class ConsistencyWork:
    """Counts and draws pairs, in the process that holds the networks."""

    def __init__(self, evaluation: ConsistencyEvaluation, watch: Stopwatch) -> None:
        """Build the networks; compute the common means."""
        network, self._watch = evaluation.network, watch
        self._evaluation, self._data = evaluation, evaluation.data
        predictor = network.predictor()
        self._prepare = ImagePreprocessor(predictor.image_size, network.fit)
        self._flow = evaluation.flow.open(network.device)
        self._sources: list[FeatureSource] = [
            FieldSource(predictor, evaluation.choices.n_samples),
            *(TokenSource(c, predictor.image_size, network.device) for c in evaluation.tokens),
        ]
        # A frame is the second of one pair and the first of another.
        self._features = lru_cache(maxsize=4)(self._compute_features)
        frames = [self._image(name) for name in spread(self._data.items(), MEAN_FRAMES)]
        self._means = []
        for source in self._sources:
            means = [source.means(f.rgb, CalibratedCamera(f.camera)) for f in frames]
            self._means.append([torch.stack(m).mean(dim=0) for m in zip(*means, strict=True)])

    def count(self, item: str) -> Counts:
        """Compare the features of a pair.

        Returns:
            ``pixels`` (3,) int64: how many pixels are compared, how many there are, and 1 if any
            is compared; ``sums`` (V, F, 2, 3) float64: for each of the V `VERSIONS` and of the F
            `ConsistencyEvaluation.features`, the sum over pixels and the mean of the pair, of each
            of `CONSISTENCY_MEASURES`.
        """
        pair = self._pair(item)
        valid = int(pair.valid.sum())
        sums = self._compared(item, pair).sum(dim=-1).cpu().numpy()
        return {
            "pixels": np.array([valid, pair.valid.numel(), valid > 0], np.int64),
            "sums": np.stack([sums, sums / max(valid, 1)], axis=-2),
        }

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of a pair: both frames, the aligned pixels, and the cosines."""
        pair = self._pair(item)
        first, second = (image.rgb for image in pair.images)
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
        mask, cosines = pair.valid.cpu().numpy(), self._compared(item, pair)[:, :, 2].cpu().numpy()
        for index, name in enumerate(self._evaluation.features().values()):
            tiles = []
            for words, values in zip(VERSIONS.values(), cosines[:, index], strict=True):
                picture = np.full(mask.shape, np.nan)
                picture[mask] = values
                tiles.append(
                    (f"Cosine, {name}{words}", color_scale(picture, (0.0, 1.0), "viridis"))
                )
            rows.append(tiles)
        return tile_rows(f"Pair {item}; cosines from 0 (blue) to 1 (yellow)", rows, 640)

    def _compared(self, item: str, pair: _Pair) -> torch.Tensor:
        """Return the (V, F, 3, N) measures of the N pixels that are compared."""
        second = self._data.second(item)
        by_source = [
            compare(
                self._features(index, item),
                self._features(index, second),
                pair.flow,
                pair.valid,
            )
            for index in range(len(self._sources))
        ]
        return torch.stack(by_source, dim=1)

    def _compute_features(self, index: int, name: str) -> list[Features]:
        with self._watch.predicting():
            image = self._image(name)
            camera = CalibratedCamera(image.camera)
            return self._sources[index].features(image.rgb, camera, self._means[index])

    def _image(self, name: str) -> ModelImage:
        return self._prepare(*self._data.frame(name))

    def _pair(self, item: str) -> _Pair:
        first, second = (self._image(n) for n in (item, self._data.second(item)))
        geometry = self._data.geometry(item) if self._evaluation.flow.name == "exact" else None
        if geometry is None:
            flows = self._flow(first.rgb, second.rgb), self._flow(second.rgb, first.rgb)
        else:
            there, back = geometry.T_second_first, np.linalg.inv(geometry.T_second_first)
            camera = CalibratedCamera(geometry.camera)
            depths = [self._prepare.nearest(depth, camera) for depth in geometry.depths]
            flows = (
                exact_flow(depths[0], first.camera, there),
                exact_flow(depths[1], first.camera, back),
            )
        device = self._means[0][0].device
        forward, backward = (torch.from_numpy(flow).float().to(device) for flow in flows)
        return _Pair((first, second), forward, valid_pixels(forward, backward))


def _flow_picture(flow: np.ndarray) -> np.ndarray:
    return color_scale(np.linalg.norm(flow, axis=0), (0.0, 60.0), "magma")
