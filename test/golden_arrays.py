"""Golden vectors of the training arithmetic as tensors, and how to compare with them."""

from pathlib import Path

import numpy as np
import pytest
import torch

Arrays = dict[str, torch.Tensor]


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
    torch.testing.assert_close(ours.detach(), expected, rtol=rtol, atol=atol, check_dtype=False)


def relative_error(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm."""
    return float((ours - expected).detach().norm() / expected.norm())
