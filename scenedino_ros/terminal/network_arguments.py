# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Arguments that choose the network and how it runs: the same for every command."""

import argparse
from dataclasses import fields
from typing import Any

from scenedino_ros.core.config import (
    REPRODUCIBLE_ENGINE,
    REPRODUCIBLE_PRECISION,
    InputSettings,
    ModelSettings,
)
from scenedino_ros.terminal.values import image_size


def choices(settings: type, name: str) -> tuple[str, ...]:
    """Return the values that a setting may have."""
    (found,) = (item for item in fields(settings) if item.name == name)
    allowed: tuple[str, ...] = found.metadata["choices"]
    return allowed


def add_checkpoint(group: argparse._ActionsContainer) -> None:
    """Declare which weights are used."""
    group.add_argument(
        "--checkpoint",
        default="",
        metavar="NAME|PATH",
        help=".safetensors file or published name (default: the model of the package)",
    )


def add_image_size(group: argparse._ActionsContainer) -> None:
    """Declare the size of the network input image."""
    group.add_argument(
        "--image-size",
        type=image_size,
        metavar="HEIGHTxWIDTH",
        help="of the network input image, a whole patch grid (default: the checkpoint's)",
    )


def add_mode(group: argparse._ActionsContainer) -> None:
    """Declare which head names the classes."""
    group.add_argument(
        "--mode",
        choices=choices(ModelSettings, "mode"),
        default=ModelSettings.mode,
        help="head that predicts the classes (default: %(default)s)",
    )


def add_runtime(
    group: argparse._ActionsContainer,
    precision: str = REPRODUCIBLE_PRECISION,
    engine: str = REPRODUCIBLE_ENGINE,
    more_precisions: tuple[str, ...] = (),
) -> None:
    """Declare head, device, arithmetic and engine, as the node's parameters name them.

    Args:
        group: Where.
        precision: The default. The node takes the faster one; commands whose figures others
            reproduce take float32.
        engine: The default, likewise: the fastest one in the node, PyTorch in those commands.
        more_precisions: What a command accepts beside those of the node.
    """
    add_mode(group)
    group.add_argument(
        "--device", choices=choices(ModelSettings, "device"), default=ModelSettings.device
    )
    group.add_argument(
        "--precision",
        choices=(*choices(ModelSettings, "precision"), *more_precisions),
        default=precision,
        help="of all but positions, densities and scores; auto: the faster one, measured once and "
        "remembered (default: %(default)s)",
    )
    group.add_argument(
        "--engine",
        choices=choices(ModelSettings, "engine"),
        default=engine,
        help="what runs the network; auto: the fastest of torch, openvino and onnx, measured once "
        "and remembered (default: %(default)s)",
    )


def add_fit(group: argparse._ActionsContainer, default: str = InputSettings.fit) -> None:
    """Declare how images of another aspect ratio are fitted."""
    group.add_argument(
        "--fit",
        choices=choices(InputSettings, "fit"),
        default=default,
        help="how images of another aspect ratio fill the network input image "
        "(default: %(default)s)",
    )


def network_values(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the arguments above say, as arguments of `NetworkChoice`.

    The choice itself needs PyTorch, which a command imports when it really runs.
    """
    names = ("checkpoint", "mode", "image_size", "precision", "engine", "device", "fit")
    return {name: value for name, value in vars(options).items() if name in names}
