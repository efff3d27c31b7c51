# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Golden vectors as tensors, and how to compare with them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conditioning import TOLERANCE

Arrays = dict[str, torch.Tensor]
# Largest deviation met so far as a share of what is allowed, by the name of the test; shown below
# the results.
WORST: dict[str, float] = {}


def load_arrays(path: Path) -> Arrays:
    """Return the arrays of a golden file; the test is skipped where there is none."""
    if not path.exists():
        pytest.skip(f"the golden folder has no {path.parent.name}/{path.name}")
    with np.load(path) as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}


def close(
    ours: torch.Tensor,
    expected: torch.Tensor | np.ndarray,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    spread: torch.Tensor | float = 0.0,
) -> None:
    """Compare at the tolerance the golden files suggest.

    Args:
        ours: What the package computes.
        expected: What the golden file holds.
        rtol: Allowed relative to each value.
        atol: Allowed in any case.
        spread: What rounding may add to that, from `conditioning.spread`; shaped as the values.
    """
    ours = ours.detach().double()
    expected = torch.as_tensor(expected).double()
    assert ours.shape == expected.shape
    allowed = atol + rtol * expected.abs() + spread
    share = (ours - expected).abs() / allowed
    share = torch.where(ours == expected, 0, share)  # infinities too
    worst = float(share.max()) if share.numel() else 0.0
    keep_worst(worst)
    if not worst <= 1:  # nor NaN
        at = int(share.nan_to_num(torch.inf).argmax())
        raise AssertionError(
            f"{int((~(share <= 1)).sum())} of {share.numel()} values are off, the worst by "
            f"{worst:.3g} times what is allowed: {float(ours.flatten()[at]):.8g}, expected "
            f"{float(expected.flatten()[at]):.8g}"
        )


def agree(
    ours: torch.Tensor,
    golden: np.ndarray,
    spread: torch.Tensor | float = 0.0,
    tolerance: float = TOLERANCE,
) -> None:
    """Compare within atol = rtol, and what rounding of positions adds."""
    close(ours, golden, rtol=tolerance, atol=tolerance, spread=spread)


def relative_error(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm."""
    return float((ours - expected).detach().norm() / expected.norm())


def close_norm(
    ours: torch.Tensor, expected: torch.Tensor, rtol: float, name: str, spread: float = 0.0
) -> None:
    """Compare the norm of the difference with that of the whole array, and what rounding adds."""
    share = float((ours - expected).norm() / (rtol * expected.norm() + spread))
    keep_worst(share)
    assert share <= 1, name


def same_winner(scores: torch.Tensor, golden: torch.Tensor, rtol: float = 1e-4) -> None:
    """Compare winners among (..., n) scores: the golden one is ours, or as good up to rounding."""
    scores = scores.detach()
    best = scores.amax(-1).flatten()
    chosen = scores.flatten(0, -2).gather(1, golden.reshape(-1, 1)).squeeze(1)
    close(chosen, best, rtol=2 * rtol, atol=0)


def keep_worst(share: float) -> None:
    """Note how much of what is allowed the running test has used up."""
    name = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].removesuffix(" (call)")
    test, _, parameters = name.rstrip("]").partition("[")
    if "-" in parameters:  # golden file - what is checked
        test += " " + parameters.split("-", 1)[1]
    WORST[test] = max(WORST.get(test, 0.0), share)
