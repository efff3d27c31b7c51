# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Averages the weights of runs that started from one another, often better than each of them.

    python -m train.average runs/1/field.safetensors runs/2/field.safetensors -o mean.safetensors
    python -m train.average runs/3/snapshots/*.safetensors -o mean.safetensors

The average of networks that were trained independently is useless. Verify the average on
validation drives.

Source: Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time, ICML 2022.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scenedino_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from scenedino_ros.core.errors import InputError
from train.runs.launch import exit_code

NAME = "python -m train.average"


def averaged(
    checkpoints: Sequence[Checkpoint],
    shares: Sequence[float],
    canonical_focal: float | None = None,
) -> Checkpoint:
    """Return the weighted mean of networks of one kind; everything else is from the first.

    Args:
        checkpoints: At least one.
        shares: Positive weights of the checkpoints; only their ratios matter.
        canonical_focal: That of the result, px, whatever those of the checkpoints are;
            None: theirs, which must be equal.

    Raises:
        InputError: If networks differ in more than their weights, or there is not one positive
            share for each.
    """
    if len(shares) != len(checkpoints) or not all(0 < share < math.inf for share in shares):
        raise InputError(
            f"shares must be {len(checkpoints)} positive numbers, one for each checkpoint, "
            f"got {list(shares)}"
        )
    if canonical_focal is not None:
        checkpoints = [
            replace(each, config=replace(each.config, canonical_focal=canonical_focal))
            for each in checkpoints
        ]
    first = checkpoints[0]
    for number, other in enumerate(checkpoints[1:], start=2):
        if other.config != first.config or other.state.keys() != first.state.keys():
            raise InputError(
                "checkpoints must be of the same network to be averaged, got another "
                f"configuration or other tensors in number {number}"
            )
    total = sum(shares)
    state = {}
    for name, value in first.state.items():
        if value.is_floating_point():
            parts = [
                share / total * checkpoint.state[name].double()
                for share, checkpoint in zip(shares, checkpoints, strict=True)
            ]
            value = torch.stack(parts).sum(dim=0).to(value.dtype)
        state[name] = value
    return replace(first, state=state)


def _shares(text: str) -> list[float]:
    """Parse numbers separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers A,B, got '{text}'") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--shares",
        type=_shares,
        metavar="A,B",
        help="weights of the checkpoints (default: all equal)",
    )
    parser.add_argument(
        "--canonical-focal",
        type=float,
        metavar="PX",
        help="canonical focal length of the result, px (default: theirs, which must be equal)",
    )
    options = parser.parse_args(argv)

    def body() -> None:
        checkpoints = [load_checkpoint(path) for path in options.checkpoints]
        shares = options.shares or [1.0] * len(checkpoints)
        result = averaged(checkpoints, shares, options.canonical_focal)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(options.output, result)
        print(f"{options.output}: the average of {len(checkpoints)} checkpoints")

    return exit_code(NAME, body)


if __name__ == "__main__":
    sys.exit(main())
