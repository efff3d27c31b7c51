# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A street that is made in no time, in place of the costly ones."""

from scenedino_ros.streets.scene.materials import Plain
from scenedino_ros.streets.scene.scene import Lighting, Part, Scene, sun_direction
from scenedino_ros.streets.scene.shapes import box


def plain_street(seed: int, length: float) -> Scene:
    """Return a road and a row of houses, whose depth the seed decides."""
    gray = Plain((0.3, 0.3, 0.3))
    houses = [box((x, 8, 0), (x + 6, 12 + seed, 6)) for x in range(-20, 90, 10)]
    parts = [Part("building", house, gray, solid=True) for house in houses]
    parts.append(Part("road", box((-60, -60, -0.5), (120, 60, 0)), gray, solid=True))
    return Scene(tuple(parts), Lighting(sun_direction(40.0, 50.0)))
