# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Folders of exported graphs: written atomically, identified by a fingerprint of the network."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from scenedino_ros.core.cache_folder import cache_folder
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.files import file_sha256, replacing_folder
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.reading import read_json, reason_of
from scenedino_ros.core.reporting import Report
from scenedino_ros.inference.engines.graph_engine import GraphEngine
from scenedino_ros.inference.engines.graph_export import (
    CLASSES,
    IMAGE,
    POINTS,
    map_size,
    write_graphs,
)
from scenedino_ros.inference.engines.onnx_graph import OnnxGraph, onnxruntime_version
from scenedino_ros.inference.engines.parity import compare
from scenedino_ros.inference.engines.tensorrt_graph import TensorRtGraph, build, engine_path
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.model import SceneDino

CARD = "card.json"
LIMIT = 1e-4  # largest relative deviation of ONNX Runtime and OpenVINO from PyTorch

_FORMAT = "scenedino_ros graphs/2"
_CPU = torch.device("cpu")


def fingerprint(model: SceneDino, mode: str) -> str:
    """Return what identifies the graphs of a network: 64 hexadecimal digits.

    Args:
        model: The network, on the CPU.
        mode: Which head names the classes.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([_FORMAT, mode, model.config.to_dict()]).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().data)
    return digest.hexdigest()


def cached_folder(identity: str, kind: str = "") -> Path:
    """Return where the node keeps the graphs of a fingerprint.

    Args:
        identity: The fingerprint.
        kind: What follows the fingerprint in the name, for other graphs than the ONNX ones.
    """
    return cache_folder() / "graphs" / f"{identity[:16]}{kind}"


def write_card(folder: Path, identity: str, values: dict[str, Any]) -> dict[str, Any]:
    """Write the card of a folder of graphs: what they were made from, and their checksums.

    Args:
        folder: Holds the graphs.
        identity: The fingerprint of their network.
        values: Everything else.

    Returns:
        The whole card.
    """
    files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    card = {"format": _FORMAT, "fingerprint": identity, **values, "files": files}
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def export_graphs(model: SceneDino, mode: str, folder: Path, report: Report) -> dict[str, Any]:
    """Write the graphs of a network, and verify them against PyTorch in ONNX Runtime.

    Args:
        model: The network, on the CPU.
        mode: Which head names the classes.
        folder: Folder to create; an existing one is replaced.
        report: Receives a few words on each long step.

    Returns:
        The card written beside the graphs.

    Raises:
        InputError: If the packages for it are not installed.
        SceneDinoError: If the answers of ONNX Runtime differ from those of PyTorch.
    """
    version = onnxruntime_version()  # refuses early if it is not installed
    identity = fingerprint(model, mode)
    reference = TorchEngine(model, _CPU, "float32", mode)
    with replacing_folder(folder) as partial:
        report("writing the ONNX graphs")
        write_graphs(reference.network, partial)
        report("verifying the ONNX graphs against PyTorch")
        engine = onnx_engine(partial, model.config, _CPU)
        deviation = compare(reference, engine, model.config, model.code)
        deviation.check(LIMIT)
        values = {
            "mode": mode,
            "config": model.config.to_dict(),
            "map_size": list(map_size(model.config)),
            "torch": str(torch.__version__),
            "onnxruntime": version,
            "deviation": deviation.to_dict(),
        }
        card = write_card(partial, identity, values)
    report(f"{folder}: {deviation.describe()}")
    return card


def onnx_engine(folder: Path, config: ModelConfig, device: torch.device) -> GraphEngine:
    """Return the engine that runs exported graphs in ONNX Runtime.

    Args:
        folder: Holds the graphs.
        config: Architecture of their network.
        device: Where they run.

    Raises:
        InputError: If ONNX Runtime is not installed, or not for this device.
    """
    graphs = [OnnxGraph(path, device) for path in _graph_files(folder, config)]
    words = f"ONNX Runtime {onnxruntime_version()}, float32"
    return GraphEngine(graphs, config, map_size(config), device, words)


def tensorrt_engine(
    folder: Path, config: ModelConfig, device: torch.device, report: Report
) -> GraphEngine:
    """Return the engine that runs exported graphs in TensorRT, built on first use.

    Args:
        folder: Holds the graphs, and the built engines.
        config: Architecture of their network.
        device: The GPU.
        report: Receives a few words on each long step.

    Raises:
        InputError: If TensorRT is not installed.
        SceneDinoError: If TensorRT cannot build or load an engine.
    """
    files = _graph_files(folder, config)
    for path in files:
        if not engine_path(path).exists():
            report(f"building the TensorRT engine of {path}; this takes minutes, once")
            build(path)
    graphs = [TensorRtGraph(path, device) for path in files]
    return GraphEngine(graphs, config, map_size(config), device, "TensorRT")


def _graph_files(folder: Path, config: ModelConfig) -> list[Path]:
    names = (IMAGE, POINTS, CLASSES) if config.has_semantics else (IMAGE, POINTS)
    return [folder / name for name in names]


def check_exported(folder: Path, identity: str) -> None:
    """Verify a folder of graphs against its card.

    Raises:
        CheckpointError: If it is not the one that was written for this network.
    """
    try:
        card = read_json(folder / CARD)
        sums = {name: file_sha256(folder / name) for name in card["files"]}
        whole = (card["fingerprint"], card["files"]) == (identity, sums)
    except Exception as error:  # values of any type may stand anywhere
        raise CheckpointError(
            f"exported graphs in {folder} cannot be read ({reason_of(error)}); delete the folder"
        ) from error
    if not whole:
        raise CheckpointError(
            f"exported graphs in {folder} are not those that were written for this network; "
            "delete the folder"
        )
