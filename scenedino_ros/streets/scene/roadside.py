# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The land beside a street: gardens with houses, closed rows, yards with halls, open country."""

import numpy as np

from scenedino_ros.streets.scene.buildings import hall, house, town_house
from scenedino_ros.streets.scene.ground import FAR, Block
from scenedino_ros.streets.scene.plan import StreetPlan
from scenedino_ros.streets.scene.plants import bush, hedge, thicket, tree
from scenedino_ros.streets.scene.scene import Part, SceneBuilder
from scenedino_ros.streets.scene.shapes import placed
from scenedino_ros.streets.scene.street_furniture import fence, garden_wall
from scenedino_ros.streets.scene.vehicles import car, truck

_DEPTH = 30.0  # of the plots beside side streets, metres


def fill_block(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block
) -> None:
    """Build and plant what lies between two side streets."""
    fill = {"suburb": _suburb, "town": _town, "industry": _industry, "green": _green}
    fill[plan.side(block.side).use](builder, rng, plan, block)


def _suburb(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block
) -> None:
    """Build detached houses in gardens, closed off by hedges, fences and walls."""
    plots, planting = plan.plots(block.side), plan.side(block.side).planting
    x = block.start
    while x < block.end - 7:
        setback = rng.uniform(2.5, 8.0)
        parts, width = house(rng, x + rng.uniform(1.5, 4.0), plots + setback, block.side)
        lot = min(x + width + rng.uniform(4.0, 9.0), block.end)
        if x + width + 5 < block.end:
            builder.add(parts, np.eye(4))
        _border(builder, rng, plan, Block(block.side, x, lot))
        _garden(builder, rng, plan, Block(block.side, x + 0.8, lot - 0.8), setback)
        if rng.random() < 0.2 + 0.6 * planting:
            side_hedge = hedge(rng, rng.uniform(8, 20), rng.uniform(1.2, 2.4), 0.7)
            yaw = np.pi / 2 if block.side > 0 else -np.pi / 2
            T = placed(lot - 0.4, block.side * (plots + 1.0), plan.kerb_height, yaw)
            builder.add(side_hedge, T)
        x = lot
    _second_row(builder, rng, plan, block)


def _border(builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, lot: Block) -> None:
    """Close a garden off from the sidewalk, but for a drive."""
    planting = plan.side(lot.side).planting
    length = lot.end - lot.start
    gap = rng.uniform(1.2, 4.0)
    length -= gap
    if length < 1.5 or rng.random() < 0.12:
        return
    start = lot.start + (gap if rng.random() < 0.3 else 0.0)
    kind = rng.random()
    depth = 0.3
    if kind < 0.3 + 0.35 * planting:
        depth = rng.uniform(0.6, 1.1)
        border = hedge(rng, length, rng.uniform(0.7, 2.6), depth)
    elif kind < 0.8:
        border = fence(rng, length)
    else:
        border = garden_wall(rng, length)
    y = lot.side * (plan.plots(lot.side) + 0.05) - (0.0 if lot.side > 0 else depth)
    builder.add(border, placed(start, y, plan.kerb_height - 0.02))


def _garden(
    builder: SceneBuilder,
    rng: np.random.Generator,
    plan: StreetPlan,
    lot: Block,
    setback: float,
) -> None:
    plots, planting = plan.plots(lot.side), plan.side(lot.side).planting
    z = plan.kerb_height - 0.02
    for _ in range(rng.poisson(2 + 5 * planting)):
        radius = rng.uniform(0.35, 1.3)
        away = radius + 0.9 + rng.uniform(0, max(setback - 2.0, 0.5))
        spot = (rng.uniform(lot.start, lot.end), lot.side * (plots + away))
        builder.add(bush(rng, radius), placed(*spot, z))
    for _ in range(rng.poisson(0.8 + 2.6 * planting)):
        away = rng.uniform(1.5, max(setback, 3.0)) if rng.random() < 0.6 else rng.uniform(14, 24)
        spot = (rng.uniform(lot.start, lot.end), lot.side * (plots + away))
        height = rng.uniform(4.0, 9.0 + 6 * planting)
        builder.add(tree(rng, height), placed(*spot, z, rng.uniform(0, 6)))
    if rng.random() < 0.25:
        spot = (lot.end - 1.6, lot.side * (plots + rng.uniform(3.2, 6.0)))
        builder.add(car(rng), placed(*spot, z, rng.choice([-1, 1]) * np.pi / 2))


def _second_row(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block
) -> None:
    """Build houses behind the gardens, which close side streets and gaps."""
    x = block.start + rng.uniform(0, 10)
    while x < block.end - 14:
        front = plan.plots(block.side) + rng.uniform(24, 32)
        if rng.random() < 0.7:
            parts, width = house(rng, x, front, block.side)
            builder.add(parts, np.eye(4))
            x += width
        x += rng.uniform(5, 14)


def _town(builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block) -> None:
    """Build closed rows along the street, and around the corners along the side streets."""
    front = plan.plots(block.side) + rng.choice([0.0, 0.0, 1.5])
    x = block.start
    while block.end - x > 6:
        if rng.random() < 0.08:
            gap = min(rng.uniform(4, 9), block.end - x)
            y = block.side * (front + 0.3) - (0.0 if block.side > 0 else 0.3)
            builder.add(garden_wall(rng, gap), placed(x, y, 0.0))
            spot = placed(x + gap / 2, block.side * (front + 6.0), 0.0)
            builder.add(tree(rng, rng.uniform(6, 12)), spot)
            x += gap
            continue
        parts, width = town_house(rng, x, front, block.side)
        if x + width > block.end + 0.5:
            break
        builder.add(parts, np.eye(4))
        x += width
    while block.end - x > 4:
        length = min(block.end - x, 7.0)
        builder.add(
            hedge(rng, length, 1.4, 0.8), placed(x, block.side * (front + 1.0) - 0.4, 0.05)
        )
        x += length
    for _ in range(2):
        x, behind = rng.uniform(block.start, block.end), front + rng.uniform(16, 30)
        parts, width = town_house(rng, x, behind, block.side)
        if x + width < block.end:
            builder.add(parts, np.eye(4))


def _industry(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block
) -> None:
    """Build halls behind yards with parked lorries and fences."""
    plots = plan.plots(block.side)
    x = block.start + 2
    while x < block.end - 20:
        setback = rng.uniform(4, 13)
        parts, width = hall(rng, x, plots + setback, block.side)
        if x + width > block.end:
            break
        builder.add(parts, np.eye(4))
        z = plan.kerb_height
        for u in np.arange(3.0, width - 4, 4.5).tolist():
            if rng.random() < 0.35 and setback > 9:
                vehicle = truck(rng) if rng.random() < 0.5 else car(rng)
                T = placed(x + u, block.side * (plots + setback - 5), z, np.pi / 2)
                builder.add(vehicle, T)
        if rng.random() < 0.6:
            gate = rng.uniform(4, 8)
            builder.add(fence(rng, width - gate), placed(x, block.side * (plots + 0.3), z))
        x += width + rng.uniform(4, 12)
    _thickets(builder, rng, plan, block, 0.3)


def _green(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block
) -> None:
    """Leave a field, with trees, thickets, sometimes a fence or a wall along the sidewalk."""
    plots, planting = plan.plots(block.side), plan.side(block.side).planting
    z = plan.kerb_height - 0.02
    kind = rng.random()
    if kind < 0.35:
        for x in np.arange(block.start, block.end - 8, 8.0).tolist():
            border = fence(rng, 7.9) if kind < 0.22 else garden_wall(rng, 8.0)
            builder.add(border, placed(x, block.side * (plots + 0.4), z))
    elif kind < 0.6:
        x = block.start
        while x < block.end - 5:
            length = min(rng.uniform(5, 16), block.end - x)
            y = block.side * (plots + 0.7) - 0.5
            builder.add(hedge(rng, length, rng.uniform(0.8, 2.4), 1.0), placed(x, y, z))
            x += length + rng.uniform(0, 4)
    if rng.random() < 0.5:
        for x in np.arange(block.start + 4, block.end - 3, rng.uniform(7, 13)).tolist():
            spot = (x, block.side * (plots + rng.uniform(2.5, 3.5)))
            builder.add(tree(rng, rng.uniform(6, 13)), placed(*spot, z, rng.uniform(0, 6)))
    _thickets(builder, rng, plan, block, planting)


def _thickets(
    builder: SceneBuilder,
    rng: np.random.Generator,
    plan: StreetPlan,
    block: Block,
    planting: float,
) -> None:
    plots, length = plan.plots(block.side), block.end - block.start
    for _ in range(rng.poisson(0.16 * length * (0.2 + planting))):
        away = 5.0 + rng.uniform(0, 1) ** 2 * _DEPTH
        spot = (rng.uniform(block.start, block.end), block.side * (plots + away))
        plant = tree(rng, rng.uniform(5, 14)) if rng.random() < 0.5 else bush(rng, 1.5)
        builder.add(plant, placed(*spot, plan.kerb_height, rng.uniform(0, 6)))


def close_horizon(
    builder: SceneBuilder, rng: np.random.Generator, side: int, start: float, end: float
) -> None:
    """Plant woods far from the street, coarse ones, so that gaps do not show a bare horizon."""
    x = start
    while x < end:
        width = rng.uniform(12, 30)
        away = rng.uniform(0.45, 0.75) * FAR
        if rng.random() < 0.75:
            wood: list[Part] = thicket(rng, width, rng.uniform(6, 15))
            builder.add(wood, placed(x, side * away, 0.0))
        x += 0.8 * width
