# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Rigid transforms as (4, 4) arrays, and the translation and quaternion of ROS messages.

tf_transformations makes matrices of quaternions where it is installed, elsewhere transforms3d, the
library that it wraps: the same arithmetic, to the last bit.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from transforms3d.quaternions import mat2quat, quat2mat

from scenedino_ros.core.errors import InputError, TransformError
from scenedino_ros.core.limits import DISTANCE

try:
    import tf_transformations
except (ImportError, AttributeError):  # an old transforms3d asks NumPy for names it has no more
    tf_transformations = None

# How far a quaternion's squared length may be from 1: tf2's QUATERNION_NORMALIZATION_TOLERANCE.
UNIT_TOLERANCE = 1e-2

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


class StampedTransform(NamedTuple):
    """Where a child frame is in its parent, at one time: `geometry_msgs/TransformStamped`.

    Attributes:
        parent: Name of the frame the numbers are given in.
        child: Name of the frame they place.
        stamp_ns: Time they hold at, nanoseconds since the epoch of the robot's clock.
        translation: Origin of the child in the parent, metres.
        rotation: Unit quaternion x, y, z, w, child to parent.
    """

    parent: str
    child: str
    stamp_ns: int
    translation: Vector
    rotation: Quaternion


def nanoseconds(stamp: Any) -> int:
    """Return a `builtin_interfaces/Time` as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def matrix_from_rotation(translation: Sequence[float], rotation: Sequence[float]) -> np.ndarray:
    """Return the matrix T_parent_child of a translation and a quaternion.

    Args:
        translation: (3,) origin of the child in the parent, metres.
        rotation: (4,) quaternion x, y, z, w, child to parent; normalised here.

    Returns:
        (4, 4) float64, `p_parent = T_parent_child @ p_child`.
    """
    x, y, z, w = rotation
    if tf_transformations is None:
        matrix = np.eye(4)
        matrix[:3, :3] = quat2mat((w, x, y, z))
    else:
        matrix = tf_transformations.quaternion_matrix((x, y, z, w))
    matrix[:3, 3] = translation
    return matrix


def matrix_from_message(transform: Any) -> np.ndarray:
    """Return the matrix of a `geometry_msgs/Transform`.

    Args:
        transform: Message with `translation` (x, y, z, metres) and `rotation` (x, y, z, w).

    Returns:
        (4, 4) float64 T_parent_child.

    Raises:
        InputError: If a number is not finite or the quaternion is not of unit length.
    """
    move, turn = transform.translation, transform.rotation
    return matrix_from_numbers((move.x, move.y, move.z, turn.x, turn.y, turn.z, turn.w))


def matrix_from_numbers(numbers: Sequence[float]) -> np.ndarray:
    """Return the matrix of seven numbers, the form the parameter `grid.static_transform` has.

    Args:
        numbers: x, y, z in metres, then the quaternion x, y, z, w, child to parent.

    Returns:
        (4, 4) float64 T_parent_child.

    Raises:
        InputError: If there are not seven finite numbers, or the quaternion is not of unit length.
    """
    if len(numbers) != 7:
        raise InputError(f"a transform is seven numbers x y z qx qy qz qw, got {len(numbers)}")
    problem = rigid_problem(numbers[:3], numbers[3:])
    if problem:
        raise InputError(problem)
    return matrix_from_rotation(numbers[:3], numbers[3:])


def numbers_from_matrix(matrix: np.ndarray) -> tuple[float, ...]:
    """Return x, y, z, qx, qy, qz, qw of a rigid transform, with qw >= 0.

    Args:
        matrix: (4, 4) rigid transform T_parent_child, metres.

    Returns:
        Seven numbers which `matrix_from_numbers` turns back into the matrix.

    Raises:
        InputError: If the matrix is not (4, 4), finite and rigid, or its translation is absurd.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(f"a transform must be a finite (4, 4) matrix, got shape {matrix.shape}")
    R = matrix[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-4) or np.linalg.det(R) < 0:
        raise InputError(f"a transform must be rigid, got the rotation part {R.tolist()}")
    if np.abs(matrix[:3, 3]).max() > DISTANCE:
        raise InputError(
            f"a transform must be within {DISTANCE:g} m, got {matrix[:3, 3].tolist()}"
        )
    w, x, y, z = mat2quat(R)
    return tuple(float(number) for number in (*matrix[:3, 3], x, y, z, w))


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Return T_child_parent of a rigid (4, 4) T_parent_child, without a general inversion."""
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result


def slerp(first: Quaternion, second: Quaternion, ratio: float) -> Quaternion:
    """Return the rotation between two, at constant angular speed along the shorter way.

    Args:
        first: Unit quaternion x, y, z, w at ratio 0.
        second: Unit quaternion at ratio 1.
        ratio: In [0, 1].

    Returns:
        Unit quaternion x, y, z, w.

    Source:
        Shoemake, "Animating rotation with quaternion curves" (1985).
    """
    if sum(a * b for a, b in zip(first, second, strict=True)) < 0:
        second = (-second[0], -second[1], -second[2], -second[3])
    # acos(dot) loses half of its digits near 1, where most neighbours in time are; atan2 does not.
    difference = math.dist(first, second)
    total = math.hypot(*(a + b for a, b in zip(first, second, strict=True)))
    angle = 2.0 * math.atan2(difference, total)
    if angle < 1e-9:
        return first
    weight_first = math.sin((1.0 - ratio) * angle) / math.sin(angle)
    weight_second = math.sin(ratio * angle) / math.sin(angle)
    x, y, z, w = (weight_first * a + weight_second * b for a, b in zip(first, second, strict=True))
    return (x, y, z, w)


def checked(transform: StampedTransform) -> StampedTransform:
    """Return a transform fit for use: names without a leading slash, quaternion of length 1.

    Args:
        transform: As received.

    Returns:
        The same transform with normalised names and rotation.

    Raises:
        TransformError: If a name is empty, child and parent are one frame, a number is not
            finite, or the quaternion is not of unit length.
    """
    parent, child = frame_name(transform.parent), frame_name(transform.child)
    if not parent or not child:
        raise TransformError(f"a transform needs two frames, got {parent!r} to {child!r}")
    if parent == child:
        raise TransformError(f"frame {child!r} is given as its own parent")
    problem = rigid_problem(transform.translation, transform.rotation)
    if problem:
        raise TransformError(f"transform from {child!r} to {parent!r}: {problem}")
    length = math.hypot(*transform.rotation)
    x, y, z, w = (number / length for number in transform.rotation)
    return transform._replace(parent=parent, child=child, rotation=(x, y, z, w))


def frame_name(name: str) -> str:
    """Return a frame's name as tf2 writes it: without the leading slash that ROS 1 had."""
    return name[1:] if name.startswith("/") else name


def rigid_problem(translation: Sequence[float], rotation: Sequence[float]) -> str:
    """Return what is wrong with a translation and a quaternion; empty if nothing is."""
    if not all(map(math.isfinite, translation)) or not all(map(math.isfinite, rotation)):
        return f"expected finite numbers, got {[*translation, *rotation]}"
    if max(map(abs, translation)) > DISTANCE:
        return f"expected a translation within {DISTANCE:g} m, got {list(translation)}"
    length = math.hypot(*rotation)
    if abs(length * length - 1.0) >= UNIT_TOLERANCE:
        return f"expected a quaternion of length 1, got {list(rotation)} of length {length:.3g}"
    return ""
