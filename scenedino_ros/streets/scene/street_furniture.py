# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Poles, signs, traffic lights, walls and fences, in a frame with z up."""

import numpy as np

from scenedino_ros.streets.scene.ground_materials import Paving
from scenedino_ros.streets.scene.materials import Plain, linear_from_srgb
from scenedino_ros.streets.scene.palette import (
    BARK,
    BRICK_COLORS,
    CONCRETE,
    DARK_PLASTIC,
    IRON,
    PLASTER_COLORS,
    STEEL,
    WHITE_PAINT,
    pick,
)
from scenedino_ros.streets.scene.scene import Part
from scenedino_ros.streets.scene.shapes import (
    Mesh,
    box,
    cylinder,
    disc,
    ellipsoid,
    merged,
    plate,
)
from scenedino_ros.streets.scene.wall_materials import Sheet

_RED = Plain((0.50, 0.02, 0.03), 0.03)
_BLUE = Plain((0.02, 0.09, 0.40), 0.03)
_YELLOW = Plain((0.80, 0.55, 0.03), 0.03)


def street_lamp(rng: np.random.Generator) -> list[Part]:
    """Return a lamp post at the origin whose arm points along +y, or a low lamp without arm."""
    if rng.random() < 0.3:
        height = rng.uniform(3.5, 4.5)
        post = cylinder((0, 0, 0), (0, 0, height), 0.07, 0.05, 10)
        head = [ellipsoid((0, 0, height + 0.15), (0.2, 0.2, 0.22), 10)]
    else:
        height = rng.uniform(5.5, 8.0)
        post = cylinder((0, 0, 0), (0, 0, height), 0.09, 0.05, 10)
        head = [
            cylinder((0, 0, height - 0.1), (0, 1.1, height + 0.1), 0.04, 0.035, 8),
            box((-0.13, 0.9, height + 0.04), (0.13, 1.5, height + 0.16)),
        ]
    paint = STEEL if rng.random() < 0.65 else IRON
    return [Part("pole", merged([post, *head]), paint, solid=True)]


def wooden_pole(rng: np.random.Generator) -> list[Part]:
    """Return a pole of an overhead line at the origin, its cross arm along y."""
    height = rng.uniform(7.0, 9.0)
    wood = [
        cylinder((0, 0, 0), (0, 0, height), 0.14, 0.10, 9),
        box((-0.06, -0.9, height - 0.5), (0.06, 0.9, height - 0.36)),
    ]
    return [Part("pole", merged(wood), BARK, solid=True)]


def bollards(rng: np.random.Generator, length: float) -> list[Part]:
    """Return a row of bollards from the origin along x."""
    height = rng.uniform(0.8, 1.0)
    posts = [
        cylinder((x, 0, 0), (x, 0, height), 0.06, 0.055, 8)
        for x in np.arange(0, length, 1.6).tolist()
    ]
    paint = WHITE_PAINT if rng.random() < 0.3 else IRON
    return [Part("pole", merged(posts), paint, solid=True)]


def traffic_sign(rng: np.random.Generator) -> list[Part]:
    """Return signs on a post at the origin, seen by who drives along +x."""
    height = rng.uniform(2.3, 2.9)
    post = cylinder((0, 0, 0), (0, 0, height), 0.032, 0.032, 8)
    parts = [Part("pole", post, STEEL, solid=True), *_plate(rng, height - 0.35)]
    if rng.random() < 0.3:
        small = box((-0.06, -0.3, height - 0.98), (-0.035, 0.3, height - 0.74))
        parts.append(Part("traffic sign", small, WHITE_PAINT, solid=True))
    return parts


def _plate(rng: np.random.Generator, z: float) -> list[Part]:
    """Return one of the usual plates, its middle at a height; it faces -x."""

    def part(mesh: Mesh, paint: Plain) -> Part:
        return Part("traffic sign", mesh, paint, solid=True)

    def shape(turn_deg: float, corners: int, radius: float, paint: Plain, layer: int) -> Part:
        turn = np.radians(turn_deg) + 2 * np.pi * np.arange(corners) / corners
        outline = np.column_stack([radius * np.cos(turn), z + radius * np.sin(turn)])
        return part(plate(outline, -0.05 - 0.012 * layer, -0.035), paint)

    bar = box((-0.075, -0.21, z - 0.04), (-0.05, 0.21, z + 0.04))
    upright = box((-0.075, -0.03, z - 0.12), (-0.05, 0.03, z + 0.2))
    kind = int(rng.integers(8))
    if kind == 0:  # no entry
        return [part(disc((-0.04, 0, z), (-1, 0, 0), 0.31), _RED), part(bar, WHITE_PAINT)]
    if kind == 1:  # speed limit
        digits = box((-0.08, -0.12, z - 0.1), (-0.06, 0.12, z + 0.1))
        ring = [shape(0, 20, 0.31, _RED, 0), shape(0, 20, 0.23, WHITE_PAINT, 1)]
        return [*ring, part(digits, DARK_PLASTIC)]
    if kind == 2:  # mandatory
        return [shape(0, 20, 0.31, _BLUE, 0), part(upright, WHITE_PAINT)]
    if kind == 3:  # danger
        return [shape(90, 3, 0.46, _RED, 0), shape(90, 3, 0.30, WHITE_PAINT, 1)]
    if kind == 4:  # give way
        return [shape(-90, 3, 0.46, _RED, 0), shape(-90, 3, 0.30, WHITE_PAINT, 1)]
    if kind == 5:  # priority road
        return [shape(0, 4, 0.40, WHITE_PAINT, 0), shape(0, 4, 0.30, _YELLOW, 1)]
    if kind == 6:  # stop
        return [shape(22.5, 8, 0.40, _RED, 0), part(bar, WHITE_PAINT)]
    square = box((-0.05, -0.30, z - 0.30), (-0.035, 0.30, z + 0.30))  # parking, crossing
    return [part(square, _BLUE), part(upright, WHITE_PAINT)]


def direction_sign(rng: np.random.Generator) -> list[Part]:
    """Return a large board on two posts at the origin, seen by who drives along +x."""
    width, height = rng.uniform(1.4, 2.4), rng.uniform(0.7, 1.4)
    posts = [cylinder((0.05, y, 0), (0.05, y, 2.2 + height), 0.045, 0.045, 8)
             for y in (-0.35 * width, 0.35 * width)]  # fmt: skip
    board = box((-0.03, -width / 2, 2.1), (0.0, width / 2, 2.1 + height))
    lines = [box((-0.045, -0.4 * width, z), (-0.03, 0.25 * width, z + 0.12))
             for z in np.arange(2.25, 2.0 + height, 0.3).tolist()]  # fmt: skip
    paint = _YELLOW if rng.random() < 0.7 else _BLUE
    return [
        Part("pole", merged(posts), STEEL, solid=True),
        Part("traffic sign", board, paint, solid=True),
        Part("traffic sign", merged(lines), DARK_PLASTIC, solid=True),
    ]


def traffic_light(rng: np.random.Generator, arm: float = 0.0) -> list[Part]:
    """Return a traffic light at the origin, seen by who drives along +x.

    Args:
        rng: Source of randomness: which lamp shines.
        arm: How far a second head hangs out along +y, metres; 0: there is none.
    """
    heads = [(0.0, 2.5)]
    poles = [cylinder((0, 0, 0), (0, 0, 3.4 if arm == 0 else 5.6), 0.07, 0.06, 10)]
    if arm > 0:
        poles.append(cylinder((0, 0, 5.5), (0, arm, 5.6), 0.06, 0.04, 8))
        heads.append((arm, 4.75))
    shines = int(rng.choice([0, 2]))
    colors = ((0.85, 0.03, 0.02), (0.75, 0.4, 0.02), (0.03, 0.75, 0.3))
    cases = [box((-0.22, y - 0.15, z), (-0.08, y + 0.15, z + 0.9)) for y, z in heads]
    boards = [box((-0.08, y - 0.22, z - 0.07), (-0.06, y + 0.22, z + 0.97)) for y, z in heads]
    parts = [
        Part("pole", merged(poles), STEEL, solid=True),
        Part("traffic light", merged(cases), DARK_PLASTIC, solid=True),
        Part("traffic light", merged(boards), IRON, solid=True),
    ]
    for lamp, color in enumerate(colors):
        discs = [disc((-0.22, y, z + 0.75 - 0.3 * lamp), (-1, 0, 0), 0.1, 12) for y, z in heads]
        dimmed = color if lamp == shines else (0.1 * color[0], 0.1 * color[1], 0.1 * color[2])
        parts.append(Part("traffic light", merged(discs), Plain(dimmed, 0.02), solid=True))
    return parts


def garden_wall(rng: np.random.Generator, length: float) -> list[Part]:
    """Return a wall from the origin along x, 0.3 m deep towards +y."""
    height = rng.uniform(0.5, 1.2) if rng.random() < 0.7 else rng.uniform(1.6, 2.3)
    kind = rng.random()
    if kind < 0.4:
        stone = Paving(linear_from_srgb(168, 156, 138), (0.42, 0.2), 0.16, int(rng.integers(40)))
    elif kind < 0.7:
        stone = Paving(pick(rng, BRICK_COLORS), (0.25, 0.08), 0.14, int(rng.integers(40)))
    else:
        stone = Paving(pick(rng, PLASTER_COLORS), (2.4, 3.0), 0.03, int(rng.integers(40)))
    cap = box((0, -0.04, height), (length, 0.34, height + 0.07))
    return [
        Part("wall", box((0, 0, 0), (length, 0.3, height)), stone, solid=True),
        Part("wall", cap, CONCRETE, solid=True),
    ]


def fence(rng: np.random.Generator, length: float) -> list[Part]:
    """Return a fence of pickets, metal bars or boards from the origin along x."""
    kind = rng.random()
    if kind < 0.35:
        return [Part("fence", _pickets(rng.uniform(0.9, 1.2), length, 0.085, 0.15, 0.025),
                     _wood(rng), solid=True)]  # fmt: skip
    if kind < 0.75:
        paint = (IRON, STEEL, WHITE_PAINT)[rng.integers(3)]
        bars = _pickets(rng.uniform(0.9, 1.5), length, 0.03, 0.13, 0.02)
        base = box((0, -0.1, 0), (length, 0.15, rng.uniform(0.1, 0.4)))
        return [
            Part("fence", bars, paint, solid=True),
            Part("wall", base, CONCRETE, solid=True),
        ]
    height = rng.uniform(1.2, 1.9)
    posts = [
        box((x, 0.03, 0), (x + 0.09, 0.12, height + 0.1))
        for x in np.arange(0, length - 0.1, 2).tolist()
    ]
    boards = box((0, 0, 0.05), (length, 0.03, height))
    paint = _wood(rng)
    planks = Sheet(paint.color, rib=0.12, contrast=0.6, seed=int(rng.integers(40)))
    return [
        Part("fence", boards, planks, solid=True),
        Part("fence", merged(posts), paint, solid=True),
    ]


def _pickets(height: float, length: float, width: float, step: float, depth: float) -> Mesh:
    pickets = [
        box((x, 0, 0.06), (x + width, depth, height))
        for x in np.arange(0.0, max(length - width, step), step).tolist()
    ]
    rails = [box((0, depth, z), (length, depth + 0.035, z + 0.06)) for z in (0.25, height - 0.2)]
    posts = [
        box((x, depth, 0), (x + 0.08, depth + 0.08, height + 0.05))
        for x in np.arange(0, length, 2.5).tolist()
    ]
    return merged(pickets + rails + posts)


def _wood(rng: np.random.Generator) -> Plain:
    """Return white paint to bare wood."""
    tone, warm = rng.uniform(0.45, 1.0) ** 2, rng.uniform(0.0, 1.0)
    color = (0.68 * tone, (0.68 - 0.28 * warm) * tone, (0.65 - 0.43 * warm) * tone)
    return Plain(color, contrast=0.2, texel=0.01)
