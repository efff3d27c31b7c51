# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Vehicles and people on a street."""

import numpy as np

from scenedino_ros.streets.scene.cycles import bicycle, motorcycle
from scenedino_ros.streets.scene.ground import Block, Crossing
from scenedino_ros.streets.scene.people import cyclist, group, motorcyclist, person
from scenedino_ros.streets.scene.plan import LEFT, RIGHT, StreetPlan
from scenedino_ros.streets.scene.scene import MovingCar, Part, SceneBuilder
from scenedino_ros.streets.scene.shapes import placed
from scenedino_ros.streets.scene.vehicles import bus, car, truck

_SPACE = {"none": 0.0, "parallel": 6.3, "half": 6.3, "across": 2.8}  # along the kerb, metres
_LEAST_PACE = 5.0  # m/s of moving cars, also where the camera stands


def park(builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block) -> None:
    """Park cars, some lorries and cycles at the kerb."""
    side, roadside = block.side, plan.side(block.side)
    if roadside.parking == "none":
        return
    middle = plan.lanes_end(side) + roadside.bicycles + roadside.parking_width / 2 + 0.1
    if roadside.parking == "half":
        middle += 0.55
    forward = 0.0 if side == RIGHT else np.pi
    x = block.start + rng.uniform(2.5, 5.0)
    while x < block.end - 4:
        y = side * (middle + rng.uniform(-0.08, 0.08))
        if rng.random() < roadside.parked:
            yaw = forward + rng.normal(0, 0.015)
            z = 0.5 * plan.kerb_height if roadside.parking == "half" else 0.0
            kind = rng.random()
            if roadside.parking == "across":
                yaw = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.03)
                builder.add(car(rng), placed(x, y, z, yaw))
            elif kind < 0.08:
                for u in np.arange(-1.8, 1.9, 0.9).tolist():
                    parts = motorcycle(rng) if rng.random() < 0.6 else bicycle(rng)
                    builder.add(parts, placed(x + u, y, 0.0, yaw + 1.2))
            elif kind < 0.10 and roadside.parking == "parallel":
                builder.add(truck(rng), placed(x + 1.6, y + side * 0.2, 0.0, yaw))
                x += 3.2
            else:
                builder.add(car(rng), placed(x, y, z, yaw))
        x += _SPACE[roadside.parking] * rng.uniform(0.93, 1.1)


def drive(
    builder: SceneBuilder,
    rng: np.random.Generator,
    plan: StreetPlan,
    x_range: tuple[float, float],
    free_end: float,
) -> None:
    """Put vehicles on the lanes that are not driven, and on the driven one beyond its end.

    Args:
        builder: Takes the vehicles.
        rng: Source of randomness.
        plan: The lanes.
        x_range: Where the street begins and ends, metres.
        free_end: Where the driven lane need not be free any more, metres.
    """
    start, end = x_range
    for lane in range(-plan.forward, plan.oncoming):
        driven = lane == -plan.forward
        y = (lane + 0.5) * plan.lane_width
        x = free_end + rng.uniform(4, 18) if driven else start + rng.uniform(0, 30)
        yaw = 0.0 if lane < 0 else np.pi
        while x < end - 4:
            traveller, room = _traveller(rng)
            shift = rng.normal(0, 0.15)
            T = placed(x + room / 2, y + shift, 0.0, yaw + rng.normal(0, 0.01))
            builder.add(traveller, T)
            x += room + 3 + rng.exponential(100 / plan.traffic)


def moving_cars(
    rng: np.random.Generator,
    plan: StreetPlan,
    count: int,
    speed: float,
    road: tuple[float, float],
) -> tuple[MovingCar, ...]:
    """Return cars that move along the lanes: towards the camera's car, ahead of it, past it.

    Cars of one lane have one speed, so they never meet. Those ahead are at least as fast as the
    camera's car.

    Args:
        rng: Source of randomness.
        plan: The lanes.
        count: Number of cars; the lanes take turns.
        speed: Of the camera's car, which starts at x = 0, m/s.
        road: Where the street begins and ends along x, metres.
    """
    pace = max(speed, _LEAST_PACE)
    velocity, places = {}, {}
    for lane in range(-plan.forward, plan.oncoming):
        driven = lane == -plan.forward
        factor = rng.uniform(1.0, 1.3) if driven else rng.uniform(0.8, 1.4)
        velocity[lane] = pace * factor * (1 if lane < 0 else -1)
        places[lane] = rng.uniform(12, 20) if driven or lane >= 0 else rng.uniform(-15, 5)
    lanes = [*range(plan.oncoming), *range(-plan.forward, 0)]
    cars = []
    for lane in (lanes[number % len(lanes)] for number in range(count)):
        y = (lane + 0.5) * plan.lane_width + rng.normal(0, 0.1)
        cars.append(MovingCar(tuple(car(rng)), places[lane], y, velocity[lane], road))
        places[lane] += rng.uniform(10, 28)
    return tuple(cars)


def _traveller(rng: np.random.Generator) -> tuple[list[Part], float]:
    """Return a vehicle in motion and the length of lane it takes, metres."""
    kind = rng.random()
    if kind < 0.58:
        return car(rng), 6.0
    if kind < 0.65:
        return truck(rng), 10.5
    if kind < 0.75:
        return bus(rng), 14.0
    return (cyclist(rng) if kind < 0.87 else motorcyclist(rng)), 3.0


def wait_at_crossings(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, crossings: list[Crossing]
) -> None:
    """Put vehicles into the side streets and people before the zebra crossings."""
    for crossing in crossings:
        for side in crossing.sides:
            inwards = -side * np.pi / 2
            x = crossing.x - side * crossing.width / 4
            y = side * (plan.kerb(side) + 4.5)
            if rng.random() < 0.45:
                parts, room = _traveller(rng)
                builder.add(parts, placed(x, y + side * room / 4, 0.0, inwards))
            spots = [(crossing.x + crossing.width / 2 - 1.1, side * rng.uniform(14, 30))]
            if crossing.width > 6.5:
                spots.append((crossing.x - crossing.width / 2 + 1.1, side * rng.uniform(14, 40)))
            for spot in spots:
                if rng.random() < 0.5:
                    away = spot[1] + side * plan.kerb(side)
                    builder.add(car(rng), placed(spot[0], away, 0.0, inwards))
        if crossing.zebra:
            for side in (LEFT, RIGHT):
                y = side * (plan.kerb(side) + 0.5)
                T = placed(crossing.zebra_x + rng.uniform(0, 3), y, plan.kerb_height, 1.5)
                builder.add(group(rng, int(rng.integers(1, 4))), T)
            if plan.oncoming:
                T = placed(crossing.zebra_x + 1.5, rng.uniform(0.6, 2.4), 0.0, 1.5)
                builder.add(person(rng), T)


def populate(
    builder: SceneBuilder, rng: np.random.Generator, plan: StreetPlan, block: Block
) -> None:
    """Let people walk, stand and ride beside the road, and lean bicycles there."""
    side, roadside = block.side, plan.side(block.side)
    low, high = plan.sidewalk(side) + 0.35, plan.plots(side) - 0.35
    length = block.end - block.start
    for _ in range(rng.poisson(plan.people * length / 100)):
        x, y = rng.uniform(block.start, block.end), side * rng.uniform(low, high)
        yaw = rng.choice([0.0, np.pi]) + rng.normal(0, 0.3)
        kind = rng.random()
        if kind < 0.2:
            parts = group(rng, int(rng.integers(2, 4)))
        elif kind < 0.30:
            parts = cyclist(rng)
        else:
            parts = person(rng)
        builder.add(parts, placed(x, y, plan.kerb_height, yaw))
        if kind > 0.85:  # a companion
            builder.add(person(rng), placed(x, y + 0.6, plan.kerb_height, yaw))
    for _ in range(rng.poisson(0.25 * plan.people * length / 100)):  # at the edge of the road
        y = side * (plan.kerb(side) - rng.uniform(0.0, 0.4))
        yaw = side * np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, 0.5)
        builder.add(person(rng), placed(rng.uniform(block.start, block.end), y, 0.0, yaw))
    if roadside.bicycles:
        y = side * (plan.lanes_end(side) + roadside.bicycles / 2)
        for x in np.arange(
            block.start + rng.uniform(0, 20), block.end, rng.uniform(12, 30)
        ).tolist():
            builder.add(cyclist(rng), placed(x, y, 0.0, 0.0 if side == RIGHT else np.pi))
    for _ in range(rng.poisson(length / 45)):
        x, y = rng.uniform(block.start, block.end), side * (high + 0.1)
        for u in np.arange(0, 0.7 * rng.integers(1, 6), 0.7).tolist():
            parts = bicycle(rng)
            yaw = rng.choice([0.0, np.pi]) + rng.normal(0, 0.1) + 0.6
            builder.add(parts, placed(x + u, y - side * 0.3, plan.kerb_height, yaw))
