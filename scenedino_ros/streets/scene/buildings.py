# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Houses, town houses and halls, in world axes: their windows are counted from their corners."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.streets.scene.ground_materials import Paving
from scenedino_ros.streets.scene.materials import Color, Plain
from scenedino_ros.streets.scene.palette import (
    BRICK_COLORS,
    CONCRETE,
    DARK_PLASTIC,
    IRON,
    PLASTER_COLORS,
    ROOF_COLORS,
    SHEET_COLORS,
    SHUTTER_COLORS,
    pick,
    shaded,
)
from scenedino_ros.streets.scene.scene import Part
from scenedino_ros.streets.scene.shapes import Mesh, box, loft, merged, plate, prism
from scenedino_ros.streets.scene.wall_materials import Facade, Sheet, Tiles

_OVERHANG = 0.4  # of roofs, metres
_NO_SHUTTERS = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Footprint:
    """The rectangle a building stands on.

    Attributes:
        x: Where it begins along the street, metres.
        front: Distance of its front from the middle of the road, metres.
        side: 1: left of the road; -1: right.
        width: Extent along the street, metres.
        depth: Extent away from the street, metres.
    """

    x: float
    front: float
    side: int
    width: float
    depth: float

    @property
    def corner(self) -> tuple[float, float]:
        """The corner with the smallest coordinates."""
        return (self.x, self.front if self.side > 0 else -self.front - self.depth)

    @property
    def x_range(self) -> tuple[float, float]:
        """Where it begins and ends along x."""
        return (self.x, self.x + self.width)

    @property
    def y_range(self) -> tuple[float, float]:
        """Where it begins and ends along y."""
        return (self.corner[1], self.corner[1] + self.depth)

    def block(
        self, x: tuple[float, float], away: tuple[float, float], z: tuple[float, float]
    ) -> Mesh:
        """Return a box given from the building's beginning, from its front, and by height."""
        y = sorted(self.side * (self.front + reach) for reach in away)
        return box((self.x + x[0], y[0], z[0]), (self.x + x[1], y[1], z[1]))


def house(rng: np.random.Generator, x: float, front: float, side: int) -> tuple[list[Part], float]:
    """Return a detached house and its width along the street.

    Args:
        rng: Source of randomness.
        x: Where it begins along the street, metres.
        front: Distance of its front from the middle of the road, metres.
        side: 1: left of the road; -1: right.
    """
    bay, storey = rng.uniform(2.3, 3.3), rng.uniform(2.6, 2.9)
    place = Footprint(x, front, side, int(rng.integers(3, 6)) * bay, int(rng.integers(3, 5)) * bay)
    storeys = int(rng.choice([1, 2, 3], p=[0.3, 0.55, 0.15]))
    facade = _facade(rng, place, bay, storey, storeys, shops=False)
    eaves = 0.1 + storeys * storey + rng.uniform(0.1, 0.6)
    parts = _walls_and_roof(rng, place, facade, eaves, flat=rng.random() < 0.12)
    if storeys > 1 and rng.random() < 0.5:
        parts += _balcony(rng, place, 0.1 + storey)
    steps = place.block((0.45 * place.width, 0.45 * place.width + 1.6), (-0.9, 0.0), (0.0, 0.3))
    parts.append(Part("building", steps, CONCRETE, solid=True))
    if rng.random() < 0.4:
        parts += _garage(rng, place)
        return parts, place.width + 3.2
    return parts, place.width


def town_house(
    rng: np.random.Generator, x: float, front: float, side: int
) -> tuple[list[Part], float]:
    """Return a house of a closed row, 3 to 5 storeys high, and its width; see `house`."""
    bay, storey = rng.uniform(2.1, 3.0), rng.uniform(2.9, 3.4)
    place = Footprint(x, front, side, int(rng.integers(3, 7)) * bay, 4 * bay)
    storeys = int(rng.integers(3, 6))
    facade = _facade(rng, place, bay, storey, storeys, shops=rng.random() < 0.5)
    eaves = 0.1 + storeys * storey + 0.4
    parts = _walls_and_roof(rng, place, facade, eaves, flat=rng.random() < 0.25, across=False)
    cornice = [
        place.block((0, place.width), (-0.12, 0.0), (z, z + 0.18))
        for z in (0.1 + storey, eaves - 0.2)
    ]
    parts.append(Part("building", merged(cornice), CONCRETE, solid=True))
    if facade.shops and rng.random() < 0.6:
        awning = place.block((0.8, place.width - 0.8), (-1.2, 0.0), (2.75, 2.9))
        cloth = Sheet(pick(rng, SHUTTER_COLORS), rib=0.35, contrast=-0.5)
        parts.append(Part("building", awning, cloth, solid=True))
    elif rng.random() < 0.5:
        for level in range(1, storeys):
            parts += _balcony(rng, place, 0.1 + level * storey)
    return parts, place.width


def hall(rng: np.random.Generator, x: float, front: float, side: int) -> tuple[list[Part], float]:
    """Return a workshop or supermarket and its width; see `house`."""
    place = Footprint(x, front, side, rng.uniform(16, 34), rng.uniform(14, 24))
    height = rng.uniform(4.5, 9.0)
    if rng.random() < 0.6:
        wall = Sheet(pick(rng, SHEET_COLORS), rib=rng.uniform(0.2, 0.5), contrast=0.3)
        walls = Part("building", place.block(*_whole(place), (0.0, height)), wall, solid=True)
    else:
        facade = _facade(rng, place, place.width / 8, height / 2 - 0.1, 2, shops=False)
        walls = Part("building", place.block(*_whole(place), (0.0, height)), facade, solid=True)
    rim = place.block((-0.15, place.width + 0.15), (-0.15, 0.1), (height - 0.4, height + 0.3))
    gates = [
        place.block((u, u + 3.4), (-0.03, 0.05), (0.0, 3.6))
        for u in np.arange(1.5, place.width - 5, rng.uniform(5, 11)).tolist()
    ]
    band = place.block((1.0, place.width - 1.0), (-0.02, 0.05), (height - 1.7, height - 0.9))
    gate = Sheet(pick(rng, SHEET_COLORS), rib=0.25, contrast=0.5)
    sign = place.block((2.0, 2.0 + rng.uniform(3, 7)), (-0.2, 0.0), (height - 1.0, height + 0.8))
    return [
        walls,
        Part("building", rim, Plain(pick(rng, ROOF_COLORS), 0.15), solid=True),
        Part("building", merged(gates), gate, solid=True),
        Part("building", band, DARK_PLASTIC, solid=True),
        Part("building", sign, Plain(pick(rng, SHUTTER_COLORS), 0.1), solid=True),
    ], place.width


def _whole(place: Footprint) -> tuple[tuple[float, float], tuple[float, float]]:
    return (0.0, place.width), (0.0, place.depth)


def _facade(
    rng: np.random.Generator,
    place: Footprint,
    bay: float,
    storey: float,
    storeys: int,
    shops: bool,
) -> Facade:
    brick = rng.random() < 0.2
    return Facade(
        color=pick(rng, BRICK_COLORS if brick else PLASTER_COLORS),
        corner=place.corner,
        base=0.1,
        storey=storey,
        bay=bay,
        top=storeys * storey,
        window=(rng.uniform(0.36, 0.62) * bay, rng.uniform(1.2, 1.7)),
        shutter=pick(rng, SHUTTER_COLORS) if rng.random() < 0.35 and not brick else _NO_SHUTTERS,
        frame=shaded((0.62, 0.62, 0.6), 0.2 if rng.random() < 0.2 else 1.0),
        plinth=rng.uniform(0.2, 0.8),
        brick=brick,
        shops=shops,
        seed=int(rng.integers(1, 30)) * 3,
    )


def _walls_and_roof(
    rng: np.random.Generator,
    place: Footprint,
    facade: Facade,
    eaves: float,
    flat: bool,
    across: bool | None = None,
) -> list[Part]:
    """Return walls under a flat, hipped or gabled roof.

    Args:
        rng: Source of randomness.
        place: Where the building stands.
        facade: Its walls.
        eaves: Height of the walls, metres.
        flat: Whether the roof is flat.
        across: Whether the ridge runs away from the street; drawn where None.
    """
    walls = place.block(*_whole(place), (0.0, eaves))
    if flat:
        rim = place.block(
            (-0.2, place.width + 0.2), (-0.2, place.depth + 0.2), (eaves, eaves + 0.3)
        )
        gray = Plain(pick(rng, ROOF_COLORS[3:]), 0.15)
        return [
            Part("building", walls, facade, solid=True),
            Part("building", rim, gray, solid=True),
        ]
    across = bool(rng.random() < 0.35) if across is None else across
    span = place.width if across else place.depth
    slope = rng.uniform(0.55, 1.0)
    hipped = rng.random() < 0.25
    tiles = Tiles(pick(rng, ROOF_COLORS), axis=1 if across else 0)
    ridge = eaves + slope * span / 2
    if hipped:
        roof = [_hip_roof(place, eaves - 0.1, ridge, across)]
        bricks = [walls]
    else:
        roof = _roof_slabs(place, eaves, slope, across)
        bricks = [walls, _gable(place, eaves, ridge, across)]
    u, v = rng.uniform(0.25, 0.7) * place.width, rng.uniform(0.35, 0.6) * place.depth
    chimney = place.block((u, u + 0.6), (v, v + 0.6), (eaves, ridge + 0.8))
    brick = Paving(pick(rng, BRICK_COLORS), slab=(0.25, 0.08))
    parts = [
        Part("building", merged(bricks), facade, solid=True),
        Part("building", merged(roof), tiles, solid=True),
        Part("building", chimney, brick, solid=True),
    ]
    if not across and not hipped:
        parts += _on_roof(rng, place, eaves, slope, tiles.color)
    return parts


def _on_roof(
    rng: np.random.Generator, place: Footprint, eaves: float, slope: float, color: Color
) -> list[Part]:
    """Return dormers or solar panels on the slope towards the street."""
    kind = rng.random()
    if kind < 0.35:
        low = eaves + 0.5 * slope
        dormers, panes = [], []
        for u in np.arange(0.2, 0.85, 0.3) * place.width:
            dormers.append(place.block((u, u + 1.5), (0.5, 2.6), (low, low + 1.6)))
            panes.append(place.block((u + 0.25, u + 1.25), (0.47, 0.6), (low + 0.4, low + 1.4)))
        return [
            Part("building", merged(dormers), Plain(shaded(color, 0.7), 0.15), solid=True),
            Part("building", merged(panes), DARK_PLASTIC, solid=True),
        ]
    if kind < 0.5 and place.depth > 6:
        low, high = 1.0, 0.38 * place.depth
        rings = [
            [(x, place.side * (place.front + v), eaves + slope * v + lift) for v, lift in corners]
            for x in (place.x + 0.15 * place.width, place.x + 0.75 * place.width)
            for corners in [((low, 0.2), (high, 0.2), (high, 0.3), (low, 0.3))]
        ]
        panel = loft(np.array(rings) if place.side < 0 else np.array(rings)[:, ::-1])
        return [Part("building", panel, Plain((0.02, 0.03, 0.07), 0.3, 0.3), solid=True)]
    return []


def _gable(place: Footprint, eaves: float, ridge: float, across: bool) -> Mesh:
    """Return the wall under a gabled roof, above the eaves."""
    (x0, x1), (y0, y1) = place.x_range, place.y_range
    if across:
        return prism(np.array([[x0, eaves], [(x0 + x1) / 2, ridge], [x1, eaves]]), y0, y1)
    return plate(np.array([[y0, eaves], [y1, eaves], [(y0 + y1) / 2, ridge]]), x0, x1)


def _roof_slabs(place: Footprint, eaves: float, slope: float, across: bool) -> list[Mesh]:
    """Return the two slabs of a gabled roof, which overhang the walls."""
    (x0, x1), (y0, y1) = place.x_range, place.y_range
    low, high = (x0, x1) if across else (y0, y1)
    middle, reach = (low + high) / 2, (high - low) / 2 + _OVERHANG
    ridge = eaves + slope * (high - low) / 2
    foot = ridge - slope * reach
    slabs = []
    for way in (-1, 1):
        outline = np.array(
            [[middle, ridge], [middle, ridge + 0.16], [middle + way * reach, foot + 0.16],
             [middle + way * reach, foot]]
        )  # fmt: skip
        clockwise = outline if way > 0 else outline[::-1]
        if across:
            slabs.append(prism(clockwise, y0 - _OVERHANG, y1 + _OVERHANG))
        else:
            slabs.append(plate(clockwise[::-1], x0 - _OVERHANG, x1 + _OVERHANG))
    return slabs


def _hip_roof(place: Footprint, eaves: float, ridge: float, across: bool) -> Mesh:
    """Return a roof that slopes on all four sides."""
    (x0, x1), (y0, y1) = place.x_range, place.y_range
    x0, x1, y0, y1 = x0 - _OVERHANG, x1 + _OVERHANG, y0 - _OVERHANG, y1 + _OVERHANG
    inset = min(x1 - x0, y1 - y0) / 2
    if across:
        top = [((x0 + x1) / 2, y0 + inset), ((x0 + x1) / 2, y1 - inset)]
        low = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        order = [0, 0, 1, 1]
    else:
        top = [(x0 + inset, (y0 + y1) / 2), (x1 - inset, (y0 + y1) / 2)]
        low = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        order = [0, 1, 1, 0]
    under = [(x, y, eaves) for x, y in low]
    rim = [(x, y, eaves + 0.15) for x, y in low]
    peak = [(*top[i], ridge) for i in order]
    rings = np.array([under, rim, peak])
    return loft(rings[:, ::-1])


def _balcony(rng: np.random.Generator, place: Footprint, z: float) -> list[Part]:
    start, reach = rng.uniform(0.1, 0.4) * place.width, rng.uniform(1.0, 1.4)
    end = start + rng.uniform(0.3, 0.5) * place.width
    slab = place.block((start, end), (-reach, 0.0), (z - 0.1, z + 0.1))
    bars = [
        place.block((u, u + 0.03), (-reach, 0.03 - reach), (z + 0.1, z + 1.05))
        for u in np.arange(start, end - 0.03, 0.14).tolist()
    ]
    rails = [
        place.block((start, end), (-reach - 0.02, 0.05 - reach), (z + 1.0, z + 1.06)),
        place.block((start, start + 0.04), (-reach, 0.0), (z + 0.1, z + 1.05)),
        place.block((end - 0.04, end), (-reach, 0.0), (z + 0.1, z + 1.05)),
    ]
    return [
        Part("building", slab, CONCRETE, solid=True),
        Part("building", merged(bars + rails), IRON, solid=True),
    ]


def _garage(rng: np.random.Generator, place: Footprint) -> list[Part]:
    u, back = place.width, rng.uniform(0.0, 3.0)
    walls = place.block((u, u + 3.2), (back, back + 6.0), (0.0, 2.6))
    gate = place.block((u + 0.4, u + 2.8), (back - 0.03, back + 0.1), (0.1, 2.25))
    rim = place.block((u - 0.05, u + 3.3), (back - 0.1, back + 6.1), (2.6, 2.78))
    return [
        Part("building", walls, Plain(pick(rng, PLASTER_COLORS), 0.1), solid=True),
        Part("building", gate, Sheet(pick(rng, SHEET_COLORS), rib=0.2), solid=True),
        Part("building", rim, CONCRETE, solid=True),
    ]
