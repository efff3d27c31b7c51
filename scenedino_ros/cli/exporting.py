# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Prepares the engines of a network, for ``scenedino export``."""

from pathlib import Path
from typing import Any

from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reporting import Report
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.engines.graph_folder import (
    CARD,
    cached_folder,
    check_exported,
    export_graphs,
    fingerprint,
)
from scenedino_ros.inference.engines.int8_graph import INT8, read_agreement
from scenedino_ros.inference.engines.openvino_folder import FLOAT, export_openvino
from scenedino_ros.inference.engines.selection import fastest_engine
from scenedino_ros.inference.engines.tensorrt_graph import build_where_possible
from scenedino_ros.inference.int8_check import export_int8
from scenedino_ros.inference.network_choice import NetworkChoice

# A line of the result: what, and its value.
Row = tuple[str, str]


def export(
    network: NetworkChoice,
    output: Path | None,
    int8_images: Path | None,
    force: bool,
    report: Report,
) -> list[Row]:
    """Export a network, and return what was written.

    Args:
        network: The network.
        output: Folder for ONNX graphs; None: everything goes to the cache, and the engines are
            timed.
        int8_images: Folder of images for int8; None: ONNX graphs are written.
        force: Whether an earlier export is replaced.
        report: Receives a few words on each long step.

    Raises:
        InputError: If there is an earlier export or a package is not installed.
        SceneDinoError: If the answers of an engine differ from those of PyTorch.
    """
    checkpoint = network.load(report)
    identity = fingerprint(build_model(checkpoint), network.mode)
    folder = output or cached_folder(identity, INT8 if int8_images else "")
    # The node writes int8 too, for a network whose agreement nobody knows.
    is_compared = int8_images is None or read_agreement(folder) is not None
    if folder.exists() and is_compared and not force:
        raise InputError(f"{folder} exists; --force replaces it")
    if folder.exists() and not (folder / CARD).is_file():
        raise InputError(f"{folder} is not an earlier export and is not replaced")
    rows = [("folder", str(folder))]
    if int8_images is None:
        card = export_graphs(build_model(checkpoint), network.mode, folder, report)
        rows += [*_sizes(folder, card), *_deviations(card)]
        rows.append(("TensorRT", build_where_possible(folder, report)))
    else:
        # Its export verifies that OpenVINO computes the network as PyTorch does.
        source = cached_folder(identity, FLOAT)
        if force or not source.exists():
            export_openvino(build_model(checkpoint), network.mode, identity, source, report)
        check_exported(source, identity)
        card = export_int8(checkpoint, network.mode, int8_images, folder, identity, report)
        rows += [*_sizes(folder, card), *_agreement(folder)]
    if output is None:
        rows += _times(network, checkpoint, report)
    return rows


def _sizes(folder: Path, card: dict[str, Any]) -> list[Row]:
    return [(name, f"{(folder / name).stat().st_size / 1e6:.1f} MB") for name in card["files"]]


def _deviations(card: dict[str, Any]) -> list[Row]:
    deviation = card["deviation"]
    return [
        *(
            (f"{name} deviation", f"{deviation[name]:.1e} of the largest value")
            for name in ("map", "density", "feature")
        ),
        ("other classes", f"{deviation['labels']} of {deviation['points']} points"),
    ]


def _agreement(folder: Path) -> list[Row]:
    agreement = read_agreement(folder)
    assert agreement is not None  # it was written just now
    verdict = "auto may take it" if agreement.is_enough else "auto does not take it"
    return [
        ("compared", f"{agreement.images} images: {agreement.describe()}"),
        ("int8", f"{verdict}; model.precision: int8 does"),
    ]


def _times(network: NetworkChoice, checkpoint: Checkpoint, report: Report) -> list[Row]:
    """Measure the engines as the node would at its first start."""
    lines: list[str] = []

    def note(text: str) -> None:
        report(text)
        lines.append(text)

    model, device = build_model(checkpoint), choose_device(network.device)
    found = fastest_engine("auto", model, device, "auto", network.mode, note, again=True)
    measured = [line for line in lines if " takes " in line or " is left out: " in line]
    return [
        ("engines", "\n".join(measured)),
        ("fastest", f"{found.name} in {found.precision}"),
    ]
