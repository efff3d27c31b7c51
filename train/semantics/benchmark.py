# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the training step of stage 2 beside the reference step."""

import statistics
import tempfile
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from scenedino_ros.checkpoints.checkpoint import build_model
from scenedino_ros.checkpoints.names import UNTRAINED
from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.memory import MIB
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import ray_directions, render_rays, sample_distances
from train.field.benchmark import write_noise_drive
from train.field.setting_groups import RaySettings
from train.field.settings import FieldSettings
from train.runs.launch import launch
from train.semantics.data import ImageBatch, SemanticsData
from train.semantics.frozen_field import FrozenField, in_chunks
from train.semantics.model import SemanticTraining, head_config, without_head
from train.semantics.settings import SemanticsSettings
from train.semantics.step_features import gather_rows, render_features

_CHUNK_RAYS = 8192
_CACHE_MB = 4000


class ReferenceField:
    """The field as the network defines it: nothing is cached, no work is shared."""

    def __init__(self, model: SceneDino) -> None:
        self._model = model

    @torch.no_grad()
    def view(self, key: Hashable, image: torch.Tensor, K_norm: torch.Tensor) -> "ReferenceView":
        """Return the field of an image; arguments as `FrozenField.view`."""
        return ReferenceView(self._model, self._model.encode(image[None]), K_norm)


class ReferenceView:
    """The reference of `train.semantics.frozen_field.FieldView`."""

    def __init__(self, model: SceneDino, feature_map: torch.Tensor, K_norm: torch.Tensor) -> None:
        self._model, self._map, self._K_norm = model, feature_map, K_norm
        self._whole: tuple[torch.Tensor, torch.Tensor] | None = None

    def rays(self, uv_norm: torch.Tensor) -> torch.Tensor:
        """Return the (R, 3) unit directions of the rays through (R, 2) positions in [-1, 1]."""
        return ray_directions(self._K_norm, uv_norm)

    @torch.no_grad()
    def points(self, points_cam: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) densities, 1/m, and (N, F) features of (N, 3) points."""
        density, feature, _ = self._model.query(self._map, points_cam[None], self._K_norm[None])
        return density[0], feature[0]

    def distances(self, uv_norm: torch.Tensor, jitter: torch.Tensor) -> torch.Tensor:
        """Return the (R,) rendered distances along rays; `rendered` reuses this rendering."""
        self._whole = self.rendered(uv_norm, jitter)
        return self._whole[0]

    @torch.no_grad()
    def rendered(
        self, uv_norm: torch.Tensor, jitter: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (R,) distances along rays, metres, and (R, F) rendered features."""
        if self._whole is not None:
            return self._whole
        near_far = self._model.code.depth_range

        def part(uv_norm: torch.Tensor, jitter: torch.Tensor) -> torch.Tensor:
            samples = sample_distances(*near_far, jitter.shape[-1], jitter)
            origin, rays = uv_norm.new_zeros(3), self.rays(uv_norm)
            ray, feature = render_rays(self.points, origin, rays, samples, opaque_end=True)
            return torch.cat([ray.distance[:, None], feature], dim=1)

        result = in_chunks(part, _CHUNK_RAYS, uv_norm, jitter)
        return result[:, 0], result[:, 1:]


class Variant:
    """One implementation of a step."""

    def __init__(
        self, settings: SemanticsSettings, model: SceneDino, field: FrozenField | ReferenceField
    ) -> None:
        """Build head and data.

        Args:
            settings: The run.
            model: The network of stage 1.
            field: Gives the fields of its images.
        """
        self._settings, self._field, self._expansion = settings, field, model.expansion
        config = head_config(model.config, settings)
        self._data = SemanticsData(settings, config)
        torch.manual_seed(settings.run.seed)
        self.training = SemanticTraining(settings, config)

    def step(self, fabric: Fabric, number: int) -> tuple[float, float]:
        """Run one step; return the seconds of rendering and of learning."""
        training = self.training.to(fabric.device)
        places = range(self._settings.run.batch_size)
        batch = ImageBatch([self._data.item(number, place) for place in places])
        batch = batch.to(fabric.device)
        start = _now(fabric)
        seen = render_features(self._field, self._expansion, batch.items, self._settings, fabric)
        middle = _now(fabric)
        training.remember(gather_rows(fabric, training.compared(seen.crops), seen.crops.order))
        training(seen)["total"].backward()
        training.zero_grad()
        return middle - start, _now(fabric) - middle


def measure(
    settings: SemanticsSettings, repeats: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Time the variants of a step.

    Args:
        settings: The run whose step is timed; without a checkpoint and drives, with an
            untrained default model and images of noise.
        repeats: Steps, after one that is not counted.
        report: Called with a line on what is being done.

    Returns:
        Plain values: machine, and for each variant medians in milliseconds and the size of the
        memory of crops in MiB.
    """
    with tempfile.TemporaryDirectory() as folder:
        fabric = launch(settings.run)
        stage1 = without_head(NetworkChoice(settings.checkpoint or UNTRAINED).load())
        if not settings.data.stores:
            patch = backbone_spec(stage1.config.backbone).external_patch
            drive = FieldSettings(model=stage1.config, rays=RaySettings(patch=patch))
            write_noise_drive(Path(folder) / "noise", drive)
            data = replace(settings.data, stores=(str(Path(folder) / "noise"),))
            settings = replace(settings, data=data)
        model = build_model(stage1).to(fabric.device)
        unreduced = replace(
            settings,
            crops=replace(settings.crops, stride=1, half=False),
            head=replace(settings.head, pixels=0),
        )
        variants = {
            "reference": Variant(unreduced, model, ReferenceField(model)),
            "training, new images": Variant(settings, model, FrozenField(model, 0)),
            "training, known images": Variant(settings, model, FrozenField(model, _CACHE_MB)),
        }
        results = {}
        for name, variant in variants.items():
            seconds = []
            for number in range(repeats + 1):
                report(f"step {number} of {repeats}, {name}")
                if "known" in name:
                    variant.step(fabric, number)
                elapsed = variant.step(fabric, number)
                if number:
                    seconds.append(elapsed)
            results[name] = _summary(seconds, variant.training.memory.crops)
        return {
            "device": str(fabric.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "backbone": stage1.config.backbone,
            "images per step": settings.run.batch_size,
            "results": results,
        }


def _summary(seconds: list[tuple[float, float]], crops: torch.Tensor) -> dict[str, float]:
    rendering, learning = (1000 * statistics.median(part) for part in zip(*seconds, strict=True))
    return {
        "rendering [ms]": rendering,
        "learning [ms]": learning,
        "step [ms]": rendering + learning,
        "crops kept [MiB]": crops.numel() * crops.element_size() / MIB,
    }


def _now(fabric: Fabric) -> float:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)
    return time.perf_counter()
