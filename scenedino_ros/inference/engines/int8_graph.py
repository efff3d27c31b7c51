# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The graph for OpenVINO in int8, and what it must achieve before ``auto`` takes it.

The weights of linear layers are rounded to int8 once, in groups of inputs with a scale each.
OpenVINO rounds what such a layer reads in groups, too, with scales of the image at hand: nothing
needs to be calibrated. The tokens are rotated first (`network.rotated`), so that no channel is
much larger than those that share its scale. Convolutions stay float32.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scenedino_ros.checkpoints.names import DEFAULT_FILE
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.reading import read_json
from scenedino_ros.inference.engines.graph_folder import CARD, write_card
from scenedino_ros.inference.engines.openvino_graph import (
    ROUNDED_TOGETHER,
    image_graph,
    openvino_version,
    write_graph,
)
from scenedino_ros.inference.engines.packages import require_openvino
from scenedino_ros.inference.engines.shared_weights import shared_copy
from scenedino_ros.network.folded import FoldedSceneDino
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.rotated import rotate

# What follows the fingerprint in the folder's name.
INT8 = ".int8"
# Least agreement with float32 at which auto may take int8: voxels that differ are then few beside
# those that float32 itself gets wrong. bfloat16 has 0.995 and 0.98 on a KITTI-360 drive.
LEAST_IOU, LEAST_MIOU = 0.95, 0.90
# Agreement of the default model, as `scenedino export --int8` found it.
DEFAULT_CARD = DEFAULT_FILE.with_name("default_int8.json")

_LARGEST = 127
# The layer that writes the map, which all points read, and the one that rotates the last tap
# back: both are cheap.
_KEPT_FLOAT32 = (".network.tail", ".vit.norm")


@dataclass(frozen=True)
class Agreement:
    """How far the answers of int8 are from those of float32, on some images.

    Attributes:
        images: Number of images.
        iou: Intersection over union of occupied voxels, 0 to 1.
        miou: Mean IoU of the classes of occupied voxels, of those that are not rare.
        depth_abs_rel: Mean relative difference of rendered depth.
    """

    images: int
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
    """Return the agreement on the card of a graph in int8; None: there is no such card."""
    return _agreement_on(folder / CARD)


def known_agreement(identity: str) -> Agreement | None:
    """Return the agreement that the package states for a network.

    Args:
        identity: The network's fingerprint.

    Returns:
        That of the default model; None for any other network.
    """
    return _agreement_on(DEFAULT_CARD, identity)


def _agreement_on(card: Path, identity: str = "") -> Agreement | None:
    try:
        values = read_json(card)
        if identity and values["fingerprint"] != identity:
            return None
        found = values["agreement"]
        names = ("iou", "miou", "depth_abs_rel")
        return Agreement(int(found["images"]), *(float(found[name]) for name in names))
    except Exception:  # whatever is damaged, there is no agreement to trust
        return None


def write_int8(model: SceneDino, mode: str, folder: Path) -> None:
    """Write the image part of a network for OpenVINO, with the weights of linear layers in int8.

    Args:
        model: The network, on the CPU.
        mode: Which head names the classes.
        folder: Existing folder for the result.

    Raises:
        InputError: If OpenVINO is not installed.
    """
    ov = require_openvino("engine openvino in int8")
    rotated = shared_copy(model)
    rotate(rotated, ROUNDED_TOGETHER)
    graph = image_graph(FoldedSceneDino(rotated, mode))
    for operation in graph.get_ordered_ops():
        name = operation.get_friendly_name()
        if operation.get_type_name() != "MatMul" or any(kept in name for kept in _KEPT_FLOAT32):
            continue
        weights = operation.input_value(1).get_node()
        # A product of two computed matrices, as in attention, has no weights.
        if weights.get_type_name() == "Constant" and weights.shape[1] % ROUNDED_TOGETHER == 0:
            operation.input(1).replace_source_output(_rounded(ov, weights.data))
    graph.validate_nodes_and_infer_types()
    write_graph(graph, folder)


def write_int8_card(
    folder: Path, config: ModelConfig, mode: str, identity: str, agreement: Agreement | None
) -> dict[str, Any]:
    """Write the card of a graph in int8, and return it.

    Args:
        folder: Holds the graph.
        config: Architecture of its network.
        mode: Which head names the classes.
        identity: The network's fingerprint.
        agreement: With float32; None: nobody knows, and auto does not take it.
    """
    values = {"mode": mode, "config": config.to_dict(), "openvino": openvino_version()}
    if agreement is not None:
        values["agreement"] = asdict(agreement)
    return write_card(folder, identity, values)


def _rounded(ov: ModuleType, weights: np.ndarray) -> Any:
    """Return (outputs, inputs) weights in int8 as an operation of a graph, which restores them."""
    groups = weights.astype(np.float32).reshape(len(weights), -1, ROUNDED_TOGETHER)
    scale = np.abs(groups).max(axis=-1, keepdims=True) / _LARGEST
    scale[scale == 0] = 1
    op = ov.opset13
    small = op.convert(op.constant(np.round(groups / scale).astype(np.int8)), "f32")
    restored = op.multiply(small, op.constant(scale))
    shape = op.constant(np.array(weights.shape, np.int64))
    return op.reshape(restored, shape, False).output(0)
