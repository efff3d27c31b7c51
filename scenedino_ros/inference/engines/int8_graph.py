# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The graph for OpenVINO in int8, and what it must achieve before ``auto`` takes it."""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reading import read_json
from scenedino_ros.inference.engines.graph_folder import CARD
from scenedino_ros.inference.engines.openvino_graph import OPENVINO_IMAGE
from scenedino_ros.inference.engines.packages import require, require_openvino

# What follows the fingerprint in the folder's name.
INT8 = ".int8"
# Least agreement with float32 at which auto may take int8: voxels that differ are then few beside
# those that float32 itself gets wrong. bfloat16 has 0.995 and 0.98 on a KITTI-360 drive.
LEAST_IOU, LEAST_MIOU = 0.95, 0.90
# Operations that stay float32, by parts of their names: they cost most accuracy for their time.
KEPT_FLOAT32 = (".mlp.fc2/", ".patch_embed.proj/", ".decoder.project/", ".network.tail")

_PURPOSE = "calibrating int8"


@dataclass(frozen=True)
class Agreement:
    """How far the answers of int8 are from those of float32, on images it was not calibrated on.

    Attributes:
        iou: Intersection over union of occupied voxels, 0 to 1.
        miou: Mean IoU of the classes of occupied voxels, of those that are not rare.
        depth_abs_rel: Mean relative difference of rendered depth.
    """

    iou: float
    miou: float
    depth_abs_rel: float

    @property
    def is_enough(self) -> bool:
        """Whether auto may take the graph."""
        return self.iou >= LEAST_IOU and self.miou >= LEAST_MIOU

    def describe(self) -> str:
        """Return the figures in one line."""
        return (
            f"IoU {self.iou:.3f}, mIoU {self.miou:.3f}, depth abs rel {self.depth_abs_rel:.4f} "
            f"against float32 (auto takes int8 from IoU {LEAST_IOU:g} and mIoU {LEAST_MIOU:g} on)"
        )


def read_agreement(folder: Path) -> Agreement | None:
    """Return the agreement on the card of a calibrated graph; None: there is no such card."""
    try:
        values = read_json(folder / CARD)["agreement"]
        names = ("iou", "miou", "depth_abs_rel")
        return Agreement(*(float(values[name]) for name in names))
    except Exception:  # whatever is damaged, there is no agreement to trust
        return None


def require_nncf() -> ModuleType:
    """Import NNCF, which calibrates and is not needed otherwise.

    Raises:
        InputError: If it is not installed.
    """
    require_openvino(_PURPOSE)  # without its telemetry, which NNCF would use too
    return require("nncf", _PURPOSE)


def quantize(source: Path, images: Sequence[np.ndarray], folder: Path) -> None:
    """Write a graph in int8.

    Args:
        source: Folder with the float32 graph for OpenVINO.
        images: (1, 3, h, w) float32 images after `Encoder.normalise`.
        folder: Existing folder for the result.

    Raises:
        InputError: If NNCF is not installed.
    """
    nncf, ov = require_nncf(), require_openvino(_PURPOSE)
    nncf.set_log_level(logging.ERROR)
    graph = ov.Core().read_model(source / OPENVINO_IMAGE)
    with contextlib.redirect_stdout(io.StringIO()):  # bars of its own
        result = nncf.quantize(
            graph,
            nncf.Dataset(list(images)),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(names=kept_float32(graph), validate=False),
        )
    ov.save_model(result, folder / OPENVINO_IMAGE, compress_to_fp16=False)


def kept_float32(graph: object) -> list[str]:
    """Return the names of the products and convolutions of a graph that stay float32.

    Raises:
        InputError: If a part that should stay has none.
    """
    names = [
        operation.get_friendly_name()
        for operation in graph.get_ordered_ops()  # type: ignore[attr-defined]
        if operation.get_type_name() in ("MatMul", "Convolution")
    ]
    kept = [name for name in names if any(part in name for part in KEPT_FLOAT32)]
    for part in KEPT_FLOAT32:
        if not any(part in name for name in kept):
            raise InputError(f"the graph must have operations named *{part}*, got none")
    return kept
