# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

r"""Writes a trained model for others: half the size, the same predictions, with its origin.

    python -m train.release runs/semantics/semantics.safetensors \
        -o scenedino_ros/weights/default.safetensors --weights "..." --license "..." \
        --density-threshold 1.0

The weights of the encoder are stored in half precision, all others as they were trained. Voxels
are occupied from the density threshold on, unless a user gives another; find it on validation
drives (`scenedino evaluate geometry --thresholds`).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scenedino_ros.checkpoints.checkpoint import (
    Checkpoint,
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from train.runs.launch import exit_code

NAME = "python -m train.release"
_ENCODER = "encoder."


def released(
    checkpoint: Checkpoint, provenance: dict[str, str], density_threshold: float | None = None
) -> Checkpoint:
    """Return a checkpoint with its encoder in half precision and its origin.

    Args:
        checkpoint: The trained network.
        provenance: Its origin; replaces the entries of the checkpoint with these keys.
        density_threshold: From which density on a voxel is occupied, 1/m; None: as it was.

    Raises:
        InputError: If the threshold is negative or not finite.
    """
    state = {
        name: value.half() if name.startswith(_ENCODER) and value.is_floating_point() else value
        for name, value in checkpoint.state.items()
    }
    if density_threshold is None:
        density_threshold = checkpoint.density_threshold
    return replace(
        checkpoint,
        state=state,
        provenance={**checkpoint.provenance, **provenance},
        density_threshold=density_threshold,
    )


@torch.no_grad()
def deviation(before: Checkpoint, after: Checkpoint) -> float:
    """Return the relative difference of the feature maps of an image of noise."""
    height, width = before.config.image_size
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    a, b = (build_model(checkpoint).encode(image) for checkpoint in (before, after))
    return float((a - b).norm() / a.norm())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--weights", required=True, help="one sentence on what they are")
    parser.add_argument("--license", required=True, help="what may be done with them")
    parser.add_argument(
        "--density-threshold",
        type=float,
        metavar="DENSITY",
        help="voxels are occupied from this density on, 1/m (default: that of the checkpoint)",
    )
    options = parser.parse_args(argv)

    def body() -> None:
        before = load_checkpoint(options.checkpoint)
        provenance = {"weights": options.weights, "license": options.license}
        after = released(before, provenance, options.density_threshold)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(options.output, after)
        size = options.output.stat().st_size / 1e6
        print(f"{options.output}: {size:.1f} MB; maps differ by {deviation(before, after):.1e}")

    return exit_code(NAME, body)


if __name__ == "__main__":
    sys.exit(main())
