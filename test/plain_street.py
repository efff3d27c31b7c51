# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A street that is made in no time, in place of the costly ones."""

from scenedino_ros.streets.scene.materials import Plain
from scenedino_ros.streets.scene.scene import Lighting, MovingCar, Part, Scene, sun_direction
from scenedino_ros.streets.scene.shapes import box

CAR_START, CAR_VELOCITY = 30.0, -5.0  # of the first car: x at time 0, metres, and m/s


def plain_street(seed: int, length: float, cars: int = 0, speed: float = 0.0) -> Scene:
    """Return a road, a row of houses, whose depth the seed decides, and boxes that move."""
    gray = Plain((0.3, 0.3, 0.3))
    houses = [box((x, 8, 0), (x + 6, 12 + seed, 6)) for x in range(-20, 90, 10)]
    parts = [Part("building", house, gray, solid=True) for house in houses]
    parts.append(Part("road", box((-60, -60, -0.5), (120, 60, 0)), gray, solid=True))
    body = (Part("car", box((-2, -1, 0.3), (2, 1, 1.5)), gray, solid=True),)
    moving = tuple(
        MovingCar(body, CAR_START + 10 * i, 4.0, CAR_VELOCITY, (-30.0, 120.0)) for i in range(cars)
    )
    return Scene(tuple(parts), Lighting(sun_direction(40.0, 50.0)), 0.0, moving)
