# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""People who stand, walk or ride: parts in a frame with x forward, feet on z = 0."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.streets.scene.cycles import (
    BICYCLE_GRIP,
    BICYCLE_PEDAL,
    BICYCLE_SADDLE,
    MOTORCYCLE_GRIP,
    MOTORCYCLE_PEDAL,
    MOTORCYCLE_SADDLE,
    bicycle,
    motorcycle,
)
from scenedino_ros.streets.scene.materials import Color, Plain
from scenedino_ros.streets.scene.palette import (
    CLOTH_COLORS,
    HAIR_COLORS,
    RUBBER,
    SIGNAL_COLORS,
    SKIN_COLORS,
    TROUSER_COLORS,
    pick,
)
from scenedino_ros.streets.scene.scene import Part
from scenedino_ros.streets.scene.shapes import Mesh, cylinder, ellipsoid, loft, merged, placed

_HIP_WIDTH, _SHOULDER_WIDTH = 0.09, 0.19


@dataclass(frozen=True)
class _Pose:
    """Where the ends of a body 1.75 m tall are, metres; left first, then right."""

    hip: tuple[float, float, float]
    shoulder: tuple[float, float, float]
    feet: tuple[tuple[float, float, float], tuple[float, float, float]]
    hands: tuple[tuple[float, float, float], tuple[float, float, float]]
    knee_bend: float = 0.05
    elbow_bend: float = -0.06


def person(rng: np.random.Generator) -> list[Part]:
    """Return somebody who stands or walks along x: a child or an adult, 1.05 to 1.95 m tall."""
    height = rng.uniform(1.05, 1.5) if rng.random() < 0.15 else rng.normal(1.72, 0.09)
    stride = rng.uniform(0.18, 0.34) * rng.choice([-1, 1]) if rng.random() < 0.65 else 0.04
    swing = 0.8 * stride
    spread = rng.uniform(0.20, 0.30)
    pose = _Pose(
        hip=(0.0, 0.0, 0.93 - 0.25 * stride**2),
        shoulder=(0.02, 0.0, 1.43),
        feet=((stride, 0.1, 0.07), (-stride, -0.1, 0.07)),
        hands=((-swing, spread, 0.84), (swing, -spread, 0.84)),
    )
    parts = _figure(rng, "person", pose)
    if rng.random() < 0.35:
        bag = ellipsoid((-0.19, 0, 1.2), (0.10, 0.15, 0.22), 8)
        parts.append(Part("person", bag, Plain(pick(rng, CLOTH_COLORS), 0.12), solid=True))
    elif rng.random() < 0.3:
        skirt = _trunk((0, 0, 0.55), (0, 0, 1.0), ((0, 0.17, 0.2), (1, 0.11, 0.15)))
        parts.append(Part("person", skirt, Plain(pick(rng, CLOTH_COLORS), 0.12), solid=True))
    scale = np.diag([height / 1.75] * 3 + [1.0])
    return [part.moved(scale) for part in parts]


def cyclist(rng: np.random.Generator) -> list[Part]:
    """Return a bicycle and its rider."""
    x, y, z = BICYCLE_PEDAL
    pose = _Pose(
        hip=(BICYCLE_SADDLE[0], 0.0, BICYCLE_SADDLE[2] + 0.08),
        shoulder=(rng.uniform(0.0, 0.12), 0.0, 1.47),
        feet=((x, y, z + 0.06), (x, -y, 0.46)),
        hands=(BICYCLE_GRIP, (BICYCLE_GRIP[0], -BICYCLE_GRIP[1], BICYCLE_GRIP[2])),
        knee_bend=0.24,
    )
    return bicycle(rng) + _figure(rng, "rider", pose, helmet=rng.random() < 0.5)


def motorcyclist(rng: np.random.Generator) -> list[Part]:
    """Return a motorcycle and its rider."""
    (x, y, z), grip = MOTORCYCLE_PEDAL, MOTORCYCLE_GRIP
    pose = _Pose(
        hip=(MOTORCYCLE_SADDLE[0], 0.0, MOTORCYCLE_SADDLE[2] + 0.12),
        shoulder=(-0.12, 0.0, 1.42),
        feet=((x, y, z), (x, -y, z)),
        hands=(grip, (grip[0], -grip[1], grip[2])),
        knee_bend=0.30,
    )
    return motorcycle(rng) + _figure(rng, "rider", pose, helmet=True)


def _figure(
    rng: np.random.Generator, class_name: str, pose: _Pose, helmet: bool = False
) -> list[Part]:
    """Return a dressed body in a pose."""
    hip, shoulder = np.array(pose.hip), np.array(pose.shoulder)
    lean = (shoulder - hip)[0]
    head = shoulder + (0.25 * lean + 0.02, 0, 0.21)
    coat = rng.random() < 0.3
    girth = rng.uniform(0.92, 1.2)
    profile = ((-0.28 if coat else -0.08, 0.125, 0.165), (0.12, 0.125, 0.165), (0.4, 0.10, 0.145),
               (0.78, 0.12, 0.185), (0.97, 0.10, 0.195), (1.08, 0.05, 0.08))  # fmt: skip
    tops = [_trunk(hip, shoulder, tuple((t, girth * a, girth * b) for t, a, b in profile))]
    legs: list[Mesh] = []
    skin = [
        cylinder(shoulder, head, 0.055, 0.05, 8),
        ellipsoid(head, (0.095, 0.075, 0.115), 10),
    ]
    shoes: list[Mesh] = []
    bare_arms = rng.random() < 0.4
    for side, foot, hand in zip((1, -1), np.array(pose.feet), np.array(pose.hands), strict=True):
        thigh = hip + (0, side * _HIP_WIDTH, 0)
        knee = (thigh + foot) / 2 + (pose.knee_bend, 0, abs(pose.knee_bend) * 0.4)
        legs += [cylinder(thigh, knee, 0.085, 0.06, 8), cylinder(knee, foot, 0.062, 0.045, 8)]
        shoes.append(ellipsoid(foot + (0.06, 0, -0.02), (0.13, 0.05, 0.05), 8))
        joint = shoulder + (0, side * _SHOULDER_WIDTH, -0.03)
        elbow = (joint + hand) / 2 + (pose.elbow_bend, side * 0.04, -0.02)
        tops.append(cylinder(joint, elbow, 0.058, 0.046, 7))
        (skin if bare_arms else tops).append(cylinder(elbow, hand, 0.043, 0.034, 7))
        skin.append(ellipsoid(hand, (0.045, 0.035, 0.05), 6))
    hair = ellipsoid(head + (-0.02, 0, 0.035), (0.105, 0.088, 0.105), 10)
    on_head = pick(rng, SIGNAL_COLORS + CLOTH_COLORS) if helmet else pick(rng, HAIR_COLORS)
    return [
        _cloth(class_name, tops, pick(rng, CLOTH_COLORS)),
        _cloth(class_name, legs, pick(rng, TROUSER_COLORS)),
        _cloth(class_name, skin, pick(rng, SKIN_COLORS)),
        _cloth(class_name, [hair], on_head),
        Part(class_name, merged(shoes), RUBBER, solid=True),
    ]


def _cloth(class_name: str, meshes: list[Mesh], color: Color) -> Part:
    return Part(class_name, merged(meshes), Plain(color, 0.14, texel=0.015), solid=True)


def _trunk(
    low: np.ndarray | tuple[float, float, float],
    high: np.ndarray | tuple[float, float, float],
    profile: tuple[tuple[float, float, float], ...],
) -> Mesh:
    """Return a closed body between two points.

    Args:
        low: Its lower end, metres.
        high: Its upper end, metres.
        profile: Cross sections: place from ``low`` (0) to ``high`` (1), half depth along x and
            half width along y, metres.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    turn = -2 * np.pi * np.arange(10) / 10
    rings = [
        low + place * (high - low)
        + np.column_stack([depth * np.cos(turn), width * np.sin(turn), np.zeros(10)])
        for place, depth, width in profile
    ]  # fmt: skip
    return loft(np.stack(rings))


def group(rng: np.random.Generator, count: int) -> list[Part]:
    """Return people who stand together around the origin."""
    parts = []
    for place in range(count):
        angle = 2 * np.pi * place / count + rng.uniform(-0.4, 0.4)
        away = rng.uniform(0.4, 0.6)
        T = placed(away * np.cos(angle), away * np.sin(angle), 0.0, angle + np.pi)
        parts += [part.moved(T) for part in person(rng)]
    return parts
