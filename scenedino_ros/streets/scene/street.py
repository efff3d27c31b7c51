# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Lays out a straight street at random; the same seed gives the same street."""

import numpy as np

from scenedino_ros.streets.scene.buildings import house
from scenedino_ros.streets.scene.ground import Block, Crossing, blocks, draw_crossings, lay_ground
from scenedino_ros.streets.scene.plan import LEFT, RIGHT, StreetPlan, plan_street
from scenedino_ros.streets.scene.plants import bush, thicket, tree
from scenedino_ros.streets.scene.roadside import close_horizon, fill_block
from scenedino_ros.streets.scene.scene import Corridor, Scene, SceneBuilder
from scenedino_ros.streets.scene.shapes import placed
from scenedino_ros.streets.scene.street_furniture import (
    bollards,
    direction_sign,
    street_lamp,
    traffic_light,
    traffic_sign,
    wooden_pole,
)
from scenedino_ros.streets.scene.traffic import (
    drive,
    moving_cars,
    park,
    populate,
    wait_at_crossings,
)

BEHIND = 30.0  # metres of street behind the start
_FREE_BEHIND, _FREE_AHEAD = 6.0, 6.0  # metres of free lane around the drive
_FREE_WIDTH, _FREE_HEIGHT = 2.5, 3.0  # metres


def make_street(seed: int, length: float, cars: int = 0, speed: float = 0.0) -> Scene:
    """Return a street along x with all its objects, drawn from the seed.

    Args:
        seed: Decides everything.
        length: How far the camera drives, from x = 0, metres. The lane around
            `Scene.lane_y` is free from 6 m before to 6 m beyond.
        cars: Number of moving cars. If there are any, nothing else stands on the lanes.
        speed: Of the camera, which the moving cars' speeds go by, m/s.
    """
    plan = plan_street(seed)
    rng = np.random.default_rng([seed, 2])
    start, end = -BEHIND, length + rng.uniform(25, 130)
    crossings = draw_crossings(rng, plan, start + 10, end)
    free = Corridor(
        x=(-_FREE_BEHIND, length + _FREE_AHEAD),
        y=(plan.lane_y - _FREE_WIDTH / 2, plan.lane_y + _FREE_WIDTH / 2),
        height=_FREE_HEIGHT,
    )
    if cars:
        lanes = (-plan.lanes_end(RIGHT), plan.lanes_end(LEFT))
        free = Corridor((start, end), lanes, _FREE_HEIGHT)
    builder = SceneBuilder(free, lay_ground(rng, plan, crossings, start, end))
    for side in (LEFT, RIGHT):
        for block in blocks(crossings, side, start, end):
            fill_block(builder, rng, plan, block)
            park(builder, rng, plan, block)
            populate(builder, rng, plan, block)
            _set_posts(builder, rng, plan, block)
        close_horizon(builder, rng, side, start - 40, end + 40)
    drive(builder, rng, plan, (start, end), length + _FREE_AHEAD)
    wait_at_crossings(builder, rng, plan, crossings)
    _set_signals(builder, rng, plan, crossings)
    _close_end(builder, rng, plan, end)
    moving = moving_cars(np.random.default_rng([seed, 3]), plan, cars, speed, (start, end))
    return Scene(tuple(builder.parts), plan.lighting, plan.lane_y, moving)


def _set_posts(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block
) -> None:
    """Set lamps, signs, bollards and street trees along the kerb."""
    side, z = block.side, plan.kerb_height
    y = side * (plan.kerb(side) + 0.4)
    wired = plan.side(side).use != "town" and rng.random() < 0.2
    for x in np.arange(block.start + rng.uniform(2, 14), block.end, rng.uniform(18, 32)).tolist():
        if wired:
            builder.add(wooden_pole(rng), placed(x, y, z))
        elif rng.random() < 0.8:
            builder.add(street_lamp(rng), placed(x, y, z, 0 if side < 0 else np.pi))
    for x in np.arange(block.start + rng.uniform(1, 20), block.end, rng.uniform(14, 30)).tolist():
        yaw = (0.0 if side == RIGHT else np.pi) + rng.normal(0, 0.15)
        board = direction_sign(rng) if rng.random() < 0.1 else traffic_sign(rng)
        builder.add(board, placed(x, y + side * 0.1, z, yaw))
    if rng.random() < 0.15:
        builder.add(bollards(rng, rng.uniform(5, 20)), placed(block.start + 2, y, z))
    if plan.side(side).verge:
        y = side * (plan.kerb(side) + 0.14 + plan.side(side).verge / 2)
        for x in np.arange(block.start + 5, block.end - 3, rng.uniform(8, 16)).tolist():
            parts = tree(rng, rng.uniform(5, 10))
            builder.add(parts, placed(x, y, z, rng.uniform(0, 6)))


def _set_signals(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, crossings: list[Crossing]
) -> None:
    """Set traffic lights at the crossings that have them, for both directions."""
    for crossing in crossings:
        if not crossing.signals:
            continue
        arm = plan.lanes_end(RIGHT) if rng.random() < 0.5 else 0.0
        y, z = plan.kerb(RIGHT) + 0.5, plan.kerb_height
        builder.add(traffic_light(rng, arm), placed(crossing.zebra_x - 0.4, -y, z))
        y = plan.kerb(LEFT) + 0.5
        beyond = crossing.x + crossing.width / 2 + 2.5
        builder.add(traffic_light(rng), placed(beyond, y, z, np.pi))
        builder.add(traffic_light(rng), placed(crossing.zebra_x - 0.4, y, z))


def _close_end(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, end: float
) -> None:
    """Close the view beyond the street across the end: houses or trees, and a wood behind."""
    built = plan.side(RIGHT).use != "green" and rng.random() < 0.7
    y = -45.0
    while y < 45.0:
        x = end + rng.uniform(12, 20)
        if built and rng.random() < 0.7:
            parts, _ = house(rng, x, y, LEFT)
            builder.add(parts, np.eye(4))
            y += 14.0
        else:
            plant = tree(rng, rng.uniform(5, 13)) if rng.random() < 0.6 else bush(rng, 2.0)
            builder.add(plant, placed(x, y, plan.kerb_height, rng.uniform(0, 6)))
            y += rng.uniform(3, 8)
    wood = thicket(rng, 110.0, rng.uniform(8, 14))
    builder.add(wood, placed(end + 40.0, -55.0, 0.0, np.pi / 2))
