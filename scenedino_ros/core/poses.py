# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a pose must be, wherever it comes from."""

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import DISTANCE


def check_pose(T: np.ndarray, name: str) -> None:
    """Refuse what is no pose.

    Args:
        T: (4, 4) rigid transform, metres.
        name: What it is, for the error.

    Raises:
        InputError: If it is not finite and rigid, or places something beyond all robots.
    """
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise InputError(f"{name} must be (4, 4) and finite, got {np.asarray(T).tolist()}")
    if np.abs(T[:3, 3]).max() > DISTANCE:
        raise InputError(
            f"{name} must be within {DISTANCE:g} m of the origin, got {T[:3, 3].tolist()}"
        )
    R = T[:3, :3]
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise InputError(f"{name} must hold a rotation, got {R.tolist()}")
