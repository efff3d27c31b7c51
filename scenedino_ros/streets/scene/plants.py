# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Trees, hedges, bushes: leaves around dark cores, in a frame with z up."""

import numpy as np

from scenedino_ros.streets.scene.materials import Color, Foliage, Plain
from scenedino_ros.streets.scene.palette import (
    BARK,
    COPPER_LEAF,
    LEAF_COLORS,
    NEEDLE_COLORS,
    SIGNAL_COLORS,
    pick,
    shaded,
)
from scenedino_ros.streets.scene.scene import Part
from scenedino_ros.streets.scene.shapes import Mesh, box, cylinder, ellipsoid, leaves, merged

_CORE_SHADE = 0.5  # a core's albedo relative to its leaves
_CORE_SIZE = 0.80  # and its radius relative to theirs


def tree(rng: np.random.Generator, height: float) -> list[Part]:
    """Return a tree at the origin: broad-leaved, a conifer, or a column such as a poplar."""
    kind = rng.random()
    if kind < 0.62:
        return _broad_tree(rng, height)
    return _conifer(rng, height) if kind < 0.85 else _column(rng, height)


def _broad_tree(rng: np.random.Generator, height: float) -> list[Part]:
    trunk_radius = 0.022 * height
    bare = rng.uniform(0.16, 0.34) * height  # below the lowest leaves
    reach = rng.uniform(0.20, 0.32) * height
    wood = [cylinder((0, 0, 0), (0, 0, 0.7 * height), trunk_radius, 0.35 * trunk_radius, 9)]
    middle = (bare + height) / 2
    clumps = [((0.0, 0.0, middle), (0.75 * reach, 0.75 * reach, 0.46 * (height - bare)))]
    count = 8
    for i in range(count):
        angle = 2 * np.pi * i / count * 2.4 + rng.uniform(-0.4, 0.4)
        z = bare + (0.2 + 0.6 * i / count) * (height - bare)
        away = reach * rng.uniform(0.5, 0.8) * np.sqrt(1 - 0.75 * (i / count) ** 2)
        size = reach * rng.uniform(0.45, 0.62)
        place = (away * np.cos(angle), away * np.sin(angle), z)
        wood.append(cylinder((0, 0, max(0.9 * bare, z - 0.2 * height)), place,
                             0.35 * trunk_radius, 0.03, 6))  # fmt: skip
        clumps.append((place, (size, size, 0.85 * size)))
    copper = rng.random() < 0.1
    color = COPPER_LEAF if copper else pick(rng, LEAF_COLORS)
    crown = _clumps(rng, clumps, color, leaf=rng.uniform(0.13, 0.20), density=20.0)
    return [Part("vegetation", merged(wood), BARK, solid=True), *crown]


def _conifer(rng: np.random.Generator, height: float) -> list[Part]:
    bare, reach = rng.uniform(0.02, 0.12) * height, rng.uniform(0.16, 0.24) * height
    clumps = []
    tiers = 7
    for i in range(tiers):
        t = i / (tiers - 1)
        z = bare + (0.08 + 0.84 * t) * (height - bare)
        size = reach * (1.0 - 0.86 * t)
        shift = rng.normal(scale=0.08, size=2) * size
        clumps.append(((shift[0], shift[1], z), (size, size, 0.11 * (height - bare))))
    trunk = cylinder((0, 0, 0), (0, 0, 0.9 * height), 0.018 * height, 0.02, 8)
    crown = _clumps(rng, clumps, pick(rng, NEEDLE_COLORS), leaf=0.22, density=18.0)
    return [Part("vegetation", trunk, BARK, solid=True), *crown]


def _column(rng: np.random.Generator, height: float) -> list[Part]:
    reach = rng.uniform(0.07, 0.13) * height
    clumps = [
        ((0.0, 0.0, t * height), (s * reach, s * reach, 0.2 * height))
        for t, s in ((0.22, 0.9), (0.45, 1.0), (0.66, 0.85), (0.82, 0.55))
    ]
    trunk = cylinder((0, 0, 0), (0, 0, 0.8 * height), 0.015 * height, 0.02, 8)
    colors = LEAF_COLORS + NEEDLE_COLORS
    crown = _clumps(rng, clumps, pick(rng, colors), leaf=0.18, density=22.0)
    return [Part("vegetation", trunk, BARK, solid=True), *crown]


def bush(rng: np.random.Generator, radius: float) -> list[Part]:
    """Return a bush at the origin, sometimes in blossom."""
    clumps = []
    for _ in range(4):
        away, angle = rng.uniform(0.0, 0.5) * radius, rng.uniform(0, 2 * np.pi)
        size = radius * rng.uniform(0.55, 0.8)
        place = (away * np.cos(angle), away * np.sin(angle), rng.uniform(0.4, 0.9) * radius)
        clumps.append((place, (size, size, 0.9 * size)))
    color = COPPER_LEAF if rng.random() < 0.1 else pick(rng, LEAF_COLORS)
    parts = _clumps(rng, clumps, color, leaf=0.11, density=40.0)
    if rng.random() < 0.2:
        petals = _leaves_on(rng, clumps, 0.07, 10.0)
        blossom = Plain(pick(rng, SIGNAL_COLORS), 0.2)
        parts.append(Part("vegetation", petals, blossom, foliage=True))
    return parts


def hedge(rng: np.random.Generator, length: float, height: float, depth: float) -> list[Part]:
    """Return a trimmed hedge from the origin along x, to ``depth`` towards +y."""
    color = pick(rng, LEAF_COLORS)
    leaf = rng.uniform(0.07, 0.12)
    hull = box((0, 0, 0), (length, depth, height))
    core = box((0.06, 0.06, 0), (length - 0.06, depth - 0.06, height - 0.06))
    spans = np.array([height, height, depth, depth * height / length])
    count = int((0.75 / leaf**2) ** 0.93 * length * spans.sum())
    points = rng.uniform((0, 0, 0), (length, depth, height), (count, 3))
    face = rng.choice(4, size=count, p=spans / spans.sum())
    points[face == 0, 1] = 0.05
    points[face == 1, 1] = depth - 0.05
    points[face == 2, 2] = height - 0.05
    ends = face == 3
    points[ends, 0] = np.where(points[ends, 0] < length / 2, 0.05, length - 0.05)
    points += rng.normal(scale=0.03, size=points.shape)
    foliage = Foliage(color, leaf=leaf, depth=0.3, seed=int(rng.integers(40)))
    dark = Foliage(shaded(color, _CORE_SHADE), leaf=leaf, depth=0.9, seed=int(rng.integers(40)))
    return [
        Part("vegetation", core, dark),
        Part("vegetation", leaves(rng, points, 1.15 * leaf), foliage, foliage=True, volume=hull),
    ]


def thicket(rng: np.random.Generator, width: float, height: float) -> list[Part]:
    """Return a coarse wood from the origin along x, to be seen from far away."""
    clumps = []
    for x in np.arange(0.0, width, 0.35 * height).tolist():
        size = height * rng.uniform(0.26, 0.42)
        place = (x, rng.uniform(-3, 3), height * rng.uniform(0.35, 0.6))
        clumps.append((place, (size, size, height - place[2])))
        clumps.append(((x + 0.2 * height, place[1] - 1.5, 0.2 * height), (size, size, size)))
    return _clumps(rng, clumps, pick(rng, LEAF_COLORS), leaf=0.6, density=1.5)


_Clump = tuple[tuple[float, float, float], tuple[float, float, float]]  # middle, radii


def _clumps(
    rng: np.random.Generator, clumps: list[_Clump], color: Color, leaf: float, density: float
) -> list[Part]:
    """Return ellipsoids of leaves with dark cores.

    Args:
        rng: Source of randomness.
        clumps: Middles and radii, metres.
        color: Linear albedo of the leaves.
        leaf: Size of a cluster of leaves, metres.
        density: Clusters per square metre of an ellipsoid's surface.
    """
    cores = [_lumpy(rng, middle, np.array(radii) * _CORE_SIZE) for middle, radii in clumps]
    hulls = [ellipsoid(middle, np.array(radii) * 0.95, 10) for middle, radii in clumps]
    cloud = _leaves_on(rng, clumps, leaf, density)
    seed = int(rng.integers(40))
    bright = Foliage(color, leaf=0.5 * leaf, depth=0.4, seed=seed)
    dark = Foliage(shaded(color, _CORE_SHADE), leaf=0.6 * leaf, depth=0.9, seed=seed + 1)
    return [
        Part("vegetation", merged(cores), dark),
        Part("vegetation", cloud, bright, foliage=True, volume=merged(hulls)),
    ]


def _leaves_on(
    rng: np.random.Generator, clumps: list[_Clump], leaf: float, density: float
) -> Mesh:
    clouds = []
    for middle, radii in clumps:
        area = 4 * np.pi * np.mean(radii) ** 2
        direction = rng.normal(size=(int(density * area) + 20, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        away = rng.uniform(0.76, 1.04, (len(direction), 1))
        clouds.append(np.asarray(middle) + away * direction * radii)
    points = np.concatenate(clouds)
    return leaves(rng, points[points[:, 2] > 0.02], leaf)


def _lumpy(
    rng: np.random.Generator, middle: tuple[float, float, float], radii: np.ndarray
) -> Mesh:
    """Return a closed, uneven ellipsoid."""
    mesh = ellipsoid((0, 0, 0), radii, 12)
    vertices = mesh.vertices * rng.uniform(0.86, 1.1, (len(mesh.vertices), 1))
    return Mesh(vertices + np.asarray(middle), mesh.triangles)
