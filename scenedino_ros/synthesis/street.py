"""A straight residential street, laid out at random but always the same for one seed."""

import numpy as np

from scenedino_ros.synthesis.materials import Asphalt, Paving, Plain, linear_from_srgb
from scenedino_ros.synthesis.objects import (
    CAR_COLORS,
    bush,
    car,
    fence,
    garden_wall,
    hedge,
    house,
    street_lamp,
    traffic_sign,
    tree,
)
from scenedino_ros.synthesis.scene import Lighting, Part, Scene, SceneBuilder, sun_direction
from scenedino_ros.synthesis.shapes import box, placed

LANE_WIDTH = 3.1  # metres; the right lane is driven, its middle at y = -LANE_WIDTH / 2
PARKING_WIDTH = 2.0
SIDEWALK_WIDTH = 2.0
CURB_HEIGHT = 0.12
KERB = LANE_WIDTH + PARKING_WIDTH  # distance of the curb from the middle of the road
GARDEN = KERB + SIDEWALK_WIDTH  # where the front gardens begin
BEHIND = 30.0  # metres of street behind the start
AHEAD = 150.0  # metres of street beyond the end of the drive


def make_street(seed: int, length: float) -> Scene:
    """Return a street along x whose cars, houses and plants are drawn from the seed.

    Args:
        seed: Decides everything.
        length: How far the camera drives, from x = 0, metres.
    """
    rng = np.random.default_rng(seed)
    start, end = -BEHIND, length + AHEAD
    builder = SceneBuilder(parts=_ground(rng, start, end))
    for side in (-1, 1):
        _park_cars(builder, rng, side, start, end)
        _build_houses(builder, rng, side, start, end)
        _plant_gardens(builder, rng, side, start, end)
        _set_posts(builder, rng, side, start, end)
    for y in np.arange(-70.0, 71.0, 6.0):  # woods that close the street
        x = end + rng.uniform(2, 12)
        builder.add(tree(rng, rng.uniform(9, 15)), placed(x, y, 0, rng.uniform(0, 6)))
    azimuth = rng.uniform(20, 70) * (1 if rng.random() < 0.5 else -1)
    lighting = Lighting(sun_direction(azimuth, rng.uniform(35, 55)))
    return Scene(tuple(builder.parts), lighting)


def _ground(rng: np.random.Generator, start: float, end: float) -> list[Part]:
    gray = linear_from_srgb(150, 147, 140)
    slabs = Paving(gray, slab=(0.5, 0.5), seed=int(rng.integers(50)))
    stone = Paving(linear_from_srgb(165, 163, 158), slab=(1.0, 0.2))
    soil = Plain(linear_from_srgb(96, 122, 52), contrast=0.32, texel=0.03)
    parts = [
        Part("road", box((start, -KERB, -0.5), (end, KERB, 0)), Asphalt(LANE_WIDTH)),
        Part("terrain", box((start - 60, -120, -0.6), (end + 90, 120, -0.02)), soil),
    ]
    for side in (-1, 1):
        edges = sorted((side * KERB, side * (KERB + 0.14)))
        parts.append(
            Part("sidewalk", box((start, edges[0], -0.4), (end, edges[1], CURB_HEIGHT)), stone)
        )
        edges = sorted((side * (KERB + 0.14), side * GARDEN))
        parts.append(
            Part("sidewalk", box((start, edges[0], -0.4), (end, edges[1], CURB_HEIGHT)), slabs)
        )
        edges = sorted((side * GARDEN, side * 120.0))
        parts.append(
            Part(
                "terrain", box((start, edges[0], -0.4), (end, edges[1], CURB_HEIGHT - 0.02)), soil
            )
        )
    return parts


def _park_cars(
    builder: SceneBuilder, rng: np.random.Generator, side: int, start: float, end: float
) -> None:
    x = start + rng.uniform(2, 6)
    while x < end - 4:
        if rng.random() < 0.52:
            y = side * (KERB - 1.02 + rng.uniform(-0.08, 0.08))
            yaw = rng.normal(0, 0.015) + (0 if side < 0 else np.pi)
            color = CAR_COLORS[rng.integers(len(CAR_COLORS))]
            builder.add(car(rng, color), placed(x, y, 0, yaw))
        x += rng.uniform(5.3, 7.2)


def _build_houses(
    builder: SceneBuilder, rng: np.random.Generator, side: int, start: float, end: float
) -> None:
    x = start - rng.uniform(0, 6)
    while x < end:
        bays = (int(rng.integers(3, 7)), int(rng.integers(3, 5)))
        setback = GARDEN + rng.uniform(2.8, 6.0)
        depth = 2.75 * bays[1]
        y = setback if side > 0 else -setback - depth
        parts = house(rng, (x, y), bays, int(rng.integers(2, 4)))
        builder.add(parts, np.eye(4))
        x += max(part.mesh.vertices[:, 0].max() for part in parts) - x + rng.uniform(2.0, 7.0)


def _plant_gardens(
    builder: SceneBuilder, rng: np.random.Generator, side: int, start: float, end: float
) -> None:
    x = start
    while x < end - 6:
        length = rng.uniform(6, 14)
        y = side * (GARDEN + 0.05)
        kind = rng.random()
        if kind < 0.45:
            border = hedge(rng, length - 1.2, rng.uniform(1.0, 2.1))
        elif kind < 0.70:
            border = fence(rng, length - 1.2)
        else:
            border = garden_wall(rng, length - 1.2)
        shift = 0.0 if side > 0 else -0.8
        builder.add(border, placed(x, y + shift, CURB_HEIGHT - 0.02))
        for _ in range(int(rng.integers(1, 4))):
            spot = (x + rng.uniform(0, length), side * (GARDEN + rng.uniform(1.4, 2.6)))
            builder.add(bush(rng, rng.uniform(0.5, 0.95)), placed(*spot, CURB_HEIGHT))
        if rng.random() < 0.55:
            spot = (x + rng.uniform(1, length), side * (GARDEN + rng.uniform(1.2, 2.4)))
            parts = tree(rng, rng.uniform(5.5, 10.5))
            builder.add(parts, placed(*spot, CURB_HEIGHT, rng.uniform(0, 6)))
        x += length


def _set_posts(
    builder: SceneBuilder, rng: np.random.Generator, side: int, start: float, end: float
) -> None:
    y = side * (KERB + 0.4)
    first = start + (rng.uniform(5, 15) if side > 0 else rng.uniform(18, 28))
    for x in np.arange(first, end, 28.0):
        builder.add(street_lamp(), placed(x, y, CURB_HEIGHT, 0 if side < 0 else np.pi))
    for x in np.arange(first + rng.uniform(4, 10), end, 37.0):
        if side < 0:
            builder.add(traffic_sign(rng), placed(x, y, CURB_HEIGHT))
