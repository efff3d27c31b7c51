# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The ground of a street: road, kerbs, sidewalks, gardens, and the side streets through them."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.streets.scene.ground_materials import Asphalt, Meadow, Paving
from scenedino_ros.streets.scene.materials import Material, linear_from_srgb
from scenedino_ros.streets.scene.plan import LEFT, RIGHT, StreetPlan
from scenedino_ros.streets.scene.scene import Part
from scenedino_ros.streets.scene.shapes import box

FAR = 120.0  # metres: where the ground ends at both sides
_BOTTOM = -0.5
_KERB_WIDTH = 0.14
_SIDE_SIDEWALK = 1.6  # width of the sidewalks along side streets, metres
_KERB_STONE = Paving(linear_from_srgb(165, 163, 158), slab=(1.0, 0.2))


@dataclass(frozen=True)
class Crossing:
    """A side street, along y.

    Attributes:
        x: Its middle, metres.
        width: Metres.
        sides: Where it leads: 1 left, -1 right.
        signals: Whether there are traffic lights.
        zebra: Whether a zebra crossing lies before it.
    """

    x: float
    width: float
    sides: tuple[int, ...]
    signals: bool
    zebra: bool

    @property
    def zebra_x(self) -> float:
        """Where the zebra crossing begins, metres."""
        return self.x - self.width / 2 - 5.0


@dataclass(frozen=True)
class Block:
    """What lies between two side streets at one side, without the sidewalks around it.

    Attributes:
        side: 1: left; -1: right.
        start: Where it begins along x, metres.
        end: Where it ends along x, metres.
    """

    side: int
    start: float
    end: float


def draw_crossings(
    rng: np.random.Generator, plan: StreetPlan, start: float, end: float
) -> list[Crossing]:
    """Return the side streets between two places along the street, metres."""
    crossings = []
    x = start + rng.uniform(0.2, 1.0) * plan.crossing_distance
    while x < end - 15:
        sides = ((LEFT,), (RIGHT,), (LEFT, RIGHT))[rng.choice(3, p=[0.28, 0.27, 0.45])]
        signals = plan.signals and (len(sides) == 2 or rng.random() < 0.4)
        zebra = signals or rng.random() < 0.2
        crossings.append(Crossing(x, rng.uniform(4.5, 8.0), sides, signals, zebra))
        x += rng.uniform(0.7, 1.4) * plan.crossing_distance + 15
    return crossings


def blocks(crossings: list[Crossing], side: int, start: float, end: float) -> list[Block]:
    """Return what the side streets leave at one side."""
    cuts = [
        (c.x - c.width / 2 - _SIDE_SIDEWALK, c.x + c.width / 2 + _SIDE_SIDEWALK)
        for c in crossings
        if side in c.sides
    ]
    starts = [start, *(high for _, high in cuts)]
    ends = [*(low for low, _ in cuts), end]
    return [
        Block(side, low, high) for low, high in zip(starts, ends, strict=True) if high - low > 1
    ]


def lay_ground(
    rng: np.random.Generator,
    plan: StreetPlan,
    crossings: list[Crossing],
    start: float,
    end: float,
) -> list[Part]:
    """Return the ground as boxes that touch and do not overlap.

    Args:
        rng: Source of randomness.
        plan: Widths.
        crossings: The side streets.
        start: Where the street begins along x, metres.
        end: Where it ends in a street across, metres.
    """
    seed = int(rng.integers(50))
    left, right = plan.kerb(LEFT), plan.kerb(RIGHT)
    grass = _meadow(rng)
    parts = [_slab("road", (start, end), (-right, left), 0.0, _road(plan, crossings, seed))]
    cross = Asphalt(plan.asphalt, axis=1, lanes=(end, end + 7.0), cracks=plan.cracks, seed=seed)
    parts.append(_slab("road", (end, end + 7.0), (-FAR, FAR), 0.0, cross))
    walk = _pavement(rng)
    high = plan.kerb_height
    parts.append(_slab("sidewalk", (end + 7.0, end + 9.0), (-FAR, FAR), high, walk))
    parts.append(_slab("terrain", (end + 9.0, end + 90.0), (-FAR, FAR), high, grass))
    parts.append(_slab("terrain", (start - 60.0, start), (-FAR, FAR), -0.02, grass))
    for side in (LEFT, RIGHT):
        parts += _lay_side(rng, plan, blocks(crossings, side, start, end), grass, walk)
        for crossing in crossings:
            if side in crossing.sides:
                parts += _lay_side_street(plan, crossing, side, seed, walk)
    return parts


def _lay_side(
    rng: np.random.Generator, plan: StreetPlan, row: list[Block], grass: Material, walk: Material
) -> list[Part]:
    parts = []
    for block in row:
        side, x = block.side, (block.start, block.end)
        kerb, sidewalk, plots = plan.kerb(side), plan.sidewalk(side), plan.plots(side)
        high = plan.kerb_height
        parts.append(
            _slab("sidewalk", x, (side * kerb, side * (kerb + _KERB_WIDTH)), high, _KERB_STONE)
        )
        if sidewalk > kerb + _KERB_WIDTH:
            verge = (side * (kerb + _KERB_WIDTH), side * sidewalk)
            parts.append(_slab("terrain", x, verge, high, grass))
        parts.append(_slab("sidewalk", x, (side * sidewalk, side * plots), high, walk))
        use = plan.side(side).use
        if use in ("town", "industry"):
            yard = _pavement(rng)
            parts.append(_slab("sidewalk", x, (side * plots, side * (plots + 14)), high, yard))
            plots += 14
        parts.append(_slab("terrain", x, (side * plots, side * FAR), high - 0.02, grass))
    return parts


def _lay_side_street(
    plan: StreetPlan, crossing: Crossing, side: int, seed: int, walk: Material
) -> list[Part]:
    low, high = crossing.x - crossing.width / 2, crossing.x + crossing.width / 2
    y = (side * plan.kerb(side), side * FAR)
    lanes = (low, crossing.x, high)
    stop = side * (plan.kerb(side) + 1.0)
    line = (stop, low, crossing.x) if side > 0 else (stop, crossing.x, high)
    road = Asphalt(
        plan.asphalt, 1, lanes, dashes=(crossing.x,) if plan.marked else (),
        stops=(line,) if plan.marked else (), cracks=plan.cracks, seed=seed + 1,
    )  # fmt: skip
    walks = ((low - _SIDE_SIDEWALK, low), (high, high + _SIDE_SIDEWALK))
    return [
        _slab("road", (low, high), y, 0.0, road),
        *(_slab("sidewalk", x, y, plan.kerb_height, walk) for x in walks),
    ]


def _road(plan: StreetPlan, crossings: list[Crossing], seed: int) -> Asphalt:
    """Return the road's surface with the markings that its plan asks for."""
    width = plan.lane_width
    lanes = tuple(width * lane for lane in range(-plan.forward, plan.oncoming + 1))
    dashes, lines = [], []
    if plan.marked:
        dashes = [*lanes[1:-1]]
    for side in (LEFT, RIGHT):
        edge = side * plan.lanes_end(side)
        roadside = plan.side(side)
        if roadside.bicycles:
            dashes.append(edge)
        if roadside.parking_width or plan.marked:
            lines.append(edge + side * (roadside.bicycles - 0.12))
    low, high = -plan.forward * width, 0.0
    stops = tuple((c.zebra_x - 1.2, low, high) for c in crossings if c.signals)
    zebras = tuple(c.zebra_x for c in crossings if c.zebra)
    return Asphalt(
        plan.asphalt, 0, lanes, tuple(dashes), tuple(lines), zebras, stops, plan.cracks, seed
    )


def _pavement(rng: np.random.Generator) -> Material:
    """Return slabs, bricks, cobbles or asphalt."""
    seed = int(rng.integers(50))
    kind = rng.random()
    tone = int(rng.integers(-28, 14))
    if kind < 0.5:
        edge = float(rng.uniform(0.3, 0.6))
        gray = linear_from_srgb(158 + tone, 153 + tone, 142 + tone)
        return Paving(gray, (edge, edge), seed=seed)
    if kind < 0.7:
        return Paving(linear_from_srgb(158 + tone, 112 + tone, 96 + tone), (0.2, 0.1), 0.14, seed)
    if kind < 0.85:
        return Paving(linear_from_srgb(140 + tone, 136 + tone, 128 + tone), (0.2, 0.2), 0.2, seed)
    gray = linear_from_srgb(128 + tone, 125 + tone, 120 + tone)
    return Asphalt(gray, lanes=(-200.0, -190.0), cracks=0.5, seed=seed)


def _meadow(rng: np.random.Generator) -> Meadow:
    lush = linear_from_srgb(*rng.integers((84, 118, 36), (124, 150, 66)))
    bare = linear_from_srgb(*rng.integers((130, 118, 70), (170, 152, 110)))
    return Meadow(lush, bare, rng.uniform(0.1, 0.6), int(rng.integers(40)))


def _slab(
    class_name: str,
    x: tuple[float, float],
    y: tuple[float, float],
    top: float,
    material: Material,
) -> Part:
    low, high = sorted(y)
    return Part(class_name, box((x[0], low, _BOTTOM), (x[1], high, top)), material, solid=True)
