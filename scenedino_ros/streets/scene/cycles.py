# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Bicycles and motorcycles: parts in a frame with x forward, wheels on z = 0."""

import numpy as np

from scenedino_ros.streets.scene.materials import Plain
from scenedino_ros.streets.scene.palette import (
    CAR_COLORS,
    CLOTH_COLORS,
    HEAD_LIGHT,
    RIM,
    RUBBER,
    SIGNAL_COLORS,
    TAIL_LIGHT,
    pick,
)
from scenedino_ros.streets.scene.scene import Part
from scenedino_ros.streets.scene.shapes import (
    Mesh,
    box,
    cylinder,
    ellipsoid,
    loft,
    merged,
    wheel_ring,
)

BICYCLE_GRIP = (0.42, 0.27, 1.02)  # of the left hand; the right one mirrors it
BICYCLE_PEDAL = (0.0, 0.12, 0.2)
BICYCLE_SADDLE = (-0.24, 0.0, 0.94)
MOTORCYCLE_GRIP = (0.36, 0.34, 1.0)
MOTORCYCLE_PEDAL = (-0.12, 0.2, 0.34)
MOTORCYCLE_SADDLE = (-0.28, 0.0, 0.82)


def bicycle(rng: np.random.Generator) -> list[Part]:
    """Return a bicycle, 1.75 m long, its frame's middle at the origin."""
    radius, front, rear = 0.34, 0.53, -0.53
    crank, head, seat = (0.0, 0, 0.29), (0.36, 0, 0.86), (-0.20, 0, 0.84)
    step_through = rng.random() < 0.4
    top = ((-0.1, 0, 0.5) if step_through else (-0.17, 0, 0.76), (0.36, 0, 0.78))
    tubes = [
        cylinder(crank, head, 0.022, 0.022, 6), cylinder(*top, 0.020, 0.020, 6),
        cylinder(crank, seat, 0.020, 0.020, 6), cylinder((0.33, 0, 0.96), (front, 0, radius),
                                                         0.022, 0.018, 6),
    ]  # fmt: skip
    for y in (-0.06, 0.06):
        tubes.append(cylinder(crank, (rear, y, radius), 0.014, 0.014, 5))
        tubes.append(cylinder(seat, (rear, y, radius), 0.012, 0.012, 5))
    tyres = [wheel_ring((x, 0, radius), radius, 0.022) for x in (rear, front)]
    spokes = [
        cylinder((x + 0.31 * np.cos(a), 0, radius + 0.31 * np.sin(a)),
                 (x - 0.31 * np.cos(a), 0, radius - 0.31 * np.sin(a)), 0.005, 0.005, 3)
        for x in (rear, front) for a in np.arange(6) * np.pi / 6
    ]  # fmt: skip
    saddle = ellipsoid(BICYCLE_SADDLE, (0.14, 0.08, 0.035), 8)
    bar = [
        cylinder((0.33, 0, 0.95), (0.36, 0, 1.02), 0.015, 0.015, 5),
        cylinder((0.40, -0.29, 1.02), (0.40, 0.29, 1.02), 0.015, 0.015, 6),
    ]
    pedals = [box((x - 0.05, y - 0.04, z - 0.015), (x + 0.05, y + 0.04, z + 0.015))
              for x, y, z in (BICYCLE_PEDAL, (0.0, -0.12, 0.4))]  # fmt: skip
    guards = [box((rear - 0.12, -0.03, 0.69), (rear + 0.14, 0.03, 0.71))]
    steel = [*spokes, *bar]
    if rng.random() < 0.6:
        steel.append(box((rear - 0.2, -0.07, 0.73), (rear + 0.25, 0.07, 0.755)))  # rack
    paint = Plain(pick(rng, CAR_COLORS + CLOTH_COLORS), 0.05)
    parts = [
        Part("bicycle", merged(tubes + guards), paint, solid=True),
        Part("bicycle", merged([*tyres, saddle, *pedals]), RUBBER, solid=True),
        Part("bicycle", merged(steel), RIM, solid=True),
    ]
    if rng.random() < 0.35:
        basket = box((0.42, -0.18, 0.8), (0.74, 0.18, 1.02))
        parts.append(Part("bicycle", basket, Plain((0.2, 0.13, 0.07), 0.4, 0.02), solid=True))
    return parts


def motorcycle(rng: np.random.Generator) -> list[Part]:
    """Return a motorcycle or scooter, 2 m long, its middle at the origin."""
    radius, front, rear = 0.31, 0.70, -0.66
    tyres = [wheel_ring((x, 0, radius), radius, 0.065, 16) for x in (rear, front)]
    rims = [cylinder((x, -0.03, radius), (x, 0.03, radius), 0.2, 0.2, 12) for x in (rear, front)]
    forks = [cylinder((0.40, y, 0.95), (front, y, radius), 0.03, 0.03, 6) for y in (-0.09, 0.09)]
    bar = cylinder((0.36, -0.38, 1.0), (0.36, 0.38, 1.0), 0.018, 0.018, 6)
    engine = box((-0.22, -0.17, 0.22), (0.28, 0.17, 0.58))
    exhaust = cylinder((-0.05, -0.2, 0.3), (-0.85, -0.24, 0.42), 0.05, 0.06, 8)
    seat = _rounded([(-0.82, 0.07, 0.76, 0.86), (-0.45, 0.15, 0.72, 0.84), (0.0, 0.12, 0.70, 0.8)])
    tank = _rounded(
        [(-0.05, 0.10, 0.62, 0.84), (0.12, 0.17, 0.60, 0.96), (0.36, 0.15, 0.60, 0.98),
         (0.48, 0.06, 0.70, 0.90)]
    )  # fmt: skip
    paint = [tank, _rounded([(-0.95, 0.05, 0.62, 0.72), (-0.4, 0.13, 0.50, 0.72)])]
    if rng.random() < 0.5:  # fairing of a scooter or tourer
        paint.append(_rounded([(0.30, 0.22, 0.3, 0.98), (0.50, 0.2, 0.45, 1.2),
                               (0.62, 0.06, 0.6, 1.0)]))  # fmt: skip
        paint.append(box((-0.3, -0.2, 0.24), (0.4, 0.2, 0.34)))
    lamp = ellipsoid((0.60, 0, 0.86), (0.08, 0.09, 0.09), 8)
    tail = box((-0.98, -0.06, 0.66), (-0.92, 0.06, 0.74))
    color = pick(rng, CAR_COLORS + SIGNAL_COLORS)
    parts = [
        Part("motorcycle", merged([*tyres, seat, bar]), RUBBER, solid=True),
        Part("motorcycle", merged(paint), Plain(color, 0.05, gloss=0.15), solid=True),
        Part("motorcycle", merged([*rims, *forks, engine, exhaust, lamp]), RIM, solid=True),
        Part("motorcycle", box((0.62, -0.06, 0.8), (0.69, 0.06, 0.92)), HEAD_LIGHT, solid=True),
        Part("motorcycle", tail, TAIL_LIGHT, solid=True),
    ]
    return parts


def _rounded(stations: list[tuple[float, float, float, float]]) -> Mesh:
    """Return a closed round body over stations (x, half width, bottom, top) along x."""
    turn = 2 * np.pi * np.arange(10) / 10
    x, side, low, high = np.array(stations).T[:, :, None]
    y, z = -side * np.cos(turn), (low + high) / 2 + (high - low) / 2 * np.sin(turn)
    return loft(np.stack(np.broadcast_arrays(x, y, z), axis=-1))
