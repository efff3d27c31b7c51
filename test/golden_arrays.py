"""Golden vectors of the training arithmetic as tensors, and how to compare with them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

Arrays = dict[str, torch.Tensor]
# Largest deviation met so far, by the name of the test; shown below the results.
WORST: dict[str, float] = {}


def load_arrays(path: Path) -> Arrays:
    """Return the arrays of a golden file; the test is skipped where there is none."""
    if not path.exists():
        pytest.skip(f"the golden folder has no {path.parent.name}/{path.name}")
    with np.load(path) as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}


def close(
    ours: torch.Tensor, expected: torch.Tensor, rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Compare at the tolerance the golden files suggest."""
    remember(ours.detach().numpy(), expected.numpy())
    torch.testing.assert_close(ours.detach(), expected, rtol=rtol, atol=atol, check_dtype=False)


def relative_error(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm."""
    error = float((ours - expected).detach().norm() / expected.norm())
    _keep_worst(error)
    return error


def remember(ours: np.ndarray, expected: np.ndarray) -> None:
    """Note how far ours is off, relative to the largest magnitude of the golden array."""
    scale = float(np.abs(expected).max(initial=0)) or 1.0
    difference = np.abs(ours.astype(np.float64) - expected).max(initial=0)
    _keep_worst(float(difference) / scale)


def _keep_worst(error: float) -> None:
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].split("[")[0].split(" ")[0]
    WORST[test] = max(WORST.get(test, 0.0), error)
