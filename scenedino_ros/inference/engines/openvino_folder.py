# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Folders with the image part as a graph of OpenVINO."""

from pathlib import Path

import torch

from scenedino_ros.core.files import replacing_folder
from scenedino_ros.core.reporting import Report
from scenedino_ros.inference.engines.graph_folder import LIMIT, write_card
from scenedino_ros.inference.engines.openvino_engine import OpenVinoEngine
from scenedino_ros.inference.engines.openvino_graph import (
    image_graph,
    openvino_version,
    write_graph,
)
from scenedino_ros.inference.engines.parity import compare
from scenedino_ros.inference.engines.shared_weights import shared_copy
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.model import SceneDino

# What follows the fingerprint in the folder's name.
FLOAT = ".openvino"

_CPU = torch.device("cpu")


def export_openvino(
    model: SceneDino, mode: str, identity: str, folder: Path, report: Report
) -> None:
    """Write the image part of a network for OpenVINO, and verify it against PyTorch.

    Args:
        model: The network, on the CPU.
        mode: Which head names the classes.
        identity: The network's fingerprint.
        folder: Folder to create; an existing one is replaced.
        report: Receives a few words on each long step.

    Raises:
        InputError: If OpenVINO is not installed.
        SceneDinoError: If the answers of OpenVINO differ from those of PyTorch.
    """
    version = openvino_version()  # refuses early if it is not installed
    reference = TorchEngine(shared_copy(model), _CPU, "float32", mode)
    with replacing_folder(folder) as partial:
        report("converting the image part for OpenVINO, once")
        write_graph(image_graph(reference.network), partial)
        engine = OpenVinoEngine(shared_copy(model), _CPU, "float32", mode, partial)
        deviation = compare(reference, engine, model.config, model.code)
        deviation.check(LIMIT)
        values = {
            "mode": mode,
            "config": model.config.to_dict(),
            "openvino": version,
            "deviation": deviation.to_dict(),
        }
        write_card(partial, identity, values)
