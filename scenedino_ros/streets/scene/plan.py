# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Draws the kind of street of a seed: its widths, its sides, its weather."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.streets.scene.materials import Color
from scenedino_ros.streets.scene.scene import Lighting, sun_direction

LEFT, RIGHT = 1, -1
_PARKING_WIDTHS = {"none": 0.0, "parallel": 2.1, "half": 1.0, "across": 5.0}


@dataclass(frozen=True)
class Roadside:
    """One side of a street, from the lanes outwards; widths in metres.

    Attributes:
        bicycles: Width of the lane for bicycles; 0: there is none.
        parking: ``none``, ``parallel``, ``half`` (two wheels on the sidewalk) or ``across``.
        parked: Share of the parking places that is taken.
        verge: Width of the strip of grass between kerb and sidewalk.
        sidewalk: Width of the sidewalk.
        use: ``suburb``, ``town``, ``industry`` or ``green``.
        planting: How densely plants grow, 0 to 1.
    """

    bicycles: float
    parking: str
    parked: float
    verge: float
    sidewalk: float
    use: str
    planting: float

    @property
    def parking_width(self) -> float:
        """How much of the road cars are parked on, metres."""
        return _PARKING_WIDTHS[self.parking]


@dataclass(frozen=True)
class StreetPlan:
    """A street along x; traffic keeps to the right, and y = 0 divides the directions.

    Attributes:
        lane_width: Metres.
        forward: Lanes along x, at y < 0; the rightmost one is driven.
        oncoming: Lanes against x, at y > 0.
        sides: The roadsides at the left and at the right.
        kerb_height: Metres.
        crossing_distance: Typical distance between side streets, metres.
        signals: Whether the crossings have traffic lights.
        marked: Whether lanes are marked.
        asphalt: Linear albedo of the road.
        cracks: How many cracks of the road have been tarred, 0 to 1.
        traffic: Vehicles on the other lanes, per 100 m of a lane.
        people: People on the sidewalks, per 100 m of a sidewalk.
        lighting: Sun and sky.
    """

    lane_width: float
    forward: int
    oncoming: int
    sides: tuple[Roadside, Roadside]
    kerb_height: float
    crossing_distance: float
    signals: bool
    marked: bool
    asphalt: Color
    cracks: float
    traffic: float
    people: float
    lighting: Lighting

    @property
    def lane_y(self) -> float:
        """Middle of the lane that is driven, metres."""
        return -(self.forward - 0.5) * self.lane_width

    def side(self, side: int) -> Roadside:
        """Return the roadside at the left (1) or at the right (-1)."""
        return self.sides[0 if side == LEFT else 1]

    def lanes_end(self, side: int) -> float:
        """Return the distance of the outermost lane's edge from y = 0, metres."""
        return (self.oncoming if side == LEFT else self.forward) * self.lane_width

    def kerb(self, side: int) -> float:
        """Return the distance of the kerb from y = 0, metres."""
        roadside = self.side(side)
        return self.lanes_end(side) + roadside.bicycles + roadside.parking_width

    def sidewalk(self, side: int) -> float:
        """Return the distance of the sidewalk's beginning from y = 0, metres."""
        return self.kerb(side) + 0.14 + self.side(side).verge

    def plots(self, side: int) -> float:
        """Return the distance from y = 0 at which gardens and buildings begin, metres."""
        return self.sidewalk(side) + self.side(side).sidewalk


def plan_street(seed: int) -> StreetPlan:
    """Return the kind of street of a seed; cheap to call."""
    rng = np.random.default_rng([seed, 1])
    use = str(rng.choice(["suburb", "town", "industry", "green"], p=[0.56, 0.2, 0.1, 0.14]))
    other = str(rng.choice(["suburb", "town", "green"], p=[0.5, 0.2, 0.3]))
    uses = (use, other if rng.random() < 0.3 else use)
    uses = uses if rng.random() < 0.5 else uses[::-1]
    forward, oncoming = 1, 1
    lane_width = rng.uniform(2.9, 3.5)
    if use in ("town", "industry") and rng.random() < 0.35:
        forward, oncoming = 2, int(rng.integers(1, 3))
    elif rng.random() < 0.15:  # one way
        oncoming, lane_width = 0, rng.uniform(3.5, 4.3)
    busy = use in ("town", "industry")
    marked = busy or rng.random() < 0.3
    tone = rng.uniform(0.09, 0.24)
    return StreetPlan(
        lane_width=lane_width,
        forward=forward,
        oncoming=oncoming,
        sides=(_roadside(rng, uses[0]), _roadside(rng, uses[1])),
        kerb_height=rng.uniform(0.05, 0.15),
        crossing_distance=rng.uniform(35, 90),
        signals=rng.random() < (0.75 if busy else 0.25),
        marked=marked,
        asphalt=(tone, tone * rng.uniform(0.95, 0.99), tone * rng.uniform(0.82, 0.97)),
        cracks=rng.uniform(0, 1),
        traffic=rng.uniform(0.3, 5.0 if busy else 3.0),
        people=rng.uniform(3.0, 15.0 if busy else 11.0),
        lighting=_weather(rng),
    )


def _roadside(rng: np.random.Generator, use: str) -> Roadside:
    shares = {
        "suburb": [0.25, 0.50, 0.18, 0.07],
        "town": [0.15, 0.60, 0.05, 0.20],
        "industry": [0.35, 0.45, 0.0, 0.20],
        "green": [0.60, 0.30, 0.05, 0.05],
    }[use]
    return Roadside(
        bicycles=1.4 if rng.random() < 0.18 else 0.0,
        parking=str(rng.choice(list(_PARKING_WIDTHS), p=shares)),
        parked=rng.uniform(0.2, 0.95),
        verge=rng.uniform(1.2, 2.6) if rng.random() < 0.25 else 0.0,
        sidewalk=rng.uniform(2.0, 4.0) if use == "town" else rng.uniform(1.2, 2.4),
        use=use,
        planting=rng.uniform(0.3, 1.0),
    )


def _weather(rng: np.random.Generator) -> Lighting:
    """Return the light of a clear, hazy or overcast day, well or badly exposed."""
    elevation, azimuth = rng.uniform(18, 62), rng.uniform(0, 360)
    toward_sun = sun_direction(azimuth, elevation)
    exposure = rng.uniform(0.5, 0.85)
    if rng.random() < 0.25:
        gray = rng.uniform(0.95, 1.35)
        return Lighting(
            toward_sun,
            sun=(0.25, 0.24, 0.22),
            zenith=(0.95 * gray, gray, 1.06 * gray),
            horizon=(0.90 * gray, 0.93 * gray, 0.96 * gray),
            haze_distance=rng.uniform(250, 700),
            exposure=exposure,
        )
    sun = rng.uniform(2.8, 4.2)
    warmth = rng.uniform(0.0, 1.0) * (62 - elevation) / 44
    blue = rng.uniform(0.6, 1.1)
    bright = rng.uniform(0.95, 1.5)
    return Lighting(
        toward_sun,
        sun=(sun, (0.93 - 0.06 * warmth) * sun, (0.80 - 0.18 * warmth) * sun),
        zenith=(0.30 * blue, 0.52 * blue, 0.92 * blue),
        horizon=(0.84 * bright, 0.95 * bright, bright),
        haze_distance=rng.uniform(500, 1500),
        exposure=exposure,
    )
