# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Cars, vans, trucks and buses: parts in a frame with x forward, wheels on z = 0."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.streets.scene.materials import Plain
from scenedino_ros.streets.scene.palette import (
    CAR_COLORS,
    DARK_PLASTIC,
    GLASS,
    HEAD_LIGHT,
    RIM,
    RUBBER,
    SHEET_COLORS,
    SIGNAL_COLORS,
    TAIL_LIGHT,
    WHITE_PAINT,
    pick,
)
from scenedino_ros.streets.scene.scene import Part
from scenedino_ros.streets.scene.shapes import Mesh, box, cylinder, loft, merged, prism
from scenedino_ros.streets.scene.wall_materials import Sheet


@dataclass(frozen=True)
class _CarShape:
    """Sizes of a kind of car: ranges in metres; places along x relative to half the length."""

    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]
    belt: float
    cabin: tuple[float, float, float, float]  # rear glass, roof's rear, roof's front, windscreen
    hood: float  # height of the bonnet's front relative to the belt


_CAR_SHAPES = (
    _CarShape((3.6, 4.2), (1.66, 1.78), (1.45, 1.54), 0.92, (-0.95, -0.78, 0.08, 0.50), 0.80),
    _CarShape((4.4, 4.8), (1.76, 1.84), (1.40, 1.46), 0.90, (-0.72, -0.42, 0.06, 0.44), 0.80),
    _CarShape((4.4, 4.8), (1.76, 1.84), (1.44, 1.52), 0.92, (-0.97, -0.84, 0.06, 0.44), 0.80),
    _CarShape((4.3, 4.7), (1.80, 1.90), (1.62, 1.74), 1.04, (-0.96, -0.86, 0.10, 0.46), 0.85),
    _CarShape((4.9, 5.6), (1.90, 2.02), (1.95, 2.55), 1.18, (-0.99, -0.97, 0.42, 0.72), 0.78),
)
_CAR_SHARES = (0.36, 0.18, 0.20, 0.16, 0.10)


def car(rng: np.random.Generator) -> list[Part]:
    """Return a small car, saloon, estate, off-roader or van, 3.6 to 5.6 m long."""
    shape = _CAR_SHAPES[rng.choice(len(_CAR_SHAPES), p=_CAR_SHARES)]
    half, side = rng.uniform(*shape.length) / 2, rng.uniform(*shape.width) / 2
    height, belt = rng.uniform(*shape.height), shape.belt
    hood = shape.hood * belt
    body = _body(half, side, belt, hood)
    glass, shell = _cabin(half, side, belt, height, np.array(shape.cabin))
    paint = Plain(pick(rng, CAR_COLORS), contrast=0.05, texel=0.03, gloss=0.18)
    if height > 1.9 and rng.random() < 0.6:  # a van without windows in the back
        shell.append(box((-0.97 * half, 0.06 - side, belt), (0.12 * half, side - 0.06, height)))
    axles = (-0.62 * half, 0.63 * half)
    radius = 0.315 if height < 1.6 else 0.345
    tyres, rims = zip(*(_wheel(x, y, radius) for x in axles for y in (-side, side)), strict=True)
    arches = [
        cylinder((x, -side - 0.006, radius), (x, side + 0.006, radius), 1.18 * radius,
                 1.18 * radius, 16)
        for x in axles
    ]  # fmt: skip
    seams = [
        box((x - 0.005, -side - 0.001, 0.36), (x + 0.005, side + 0.001, belt - 0.1))
        for x in (-0.34 * half, 0.06 * half, 0.42 * half)
    ]
    bumpers = [
        box((-half - 0.02, -0.8 * side, 0.30), (-half + 0.25, 0.8 * side, 0.44)),
        box((half - 0.25, -0.62 * side, 0.32), (half + 0.01, 0.62 * side, 0.50)),
        box((-half + 0.3, -side + 0.12, 0.15), (half - 0.3, side - 0.12, 0.24)),
    ]
    front = [
        box((0.9 * half, y - 0.14, hood - 0.23), (0.985 * half, y + 0.14, hood - 0.11))
        for y in (-0.58 * side, 0.58 * side)
    ]
    plates = [
        box((-half - 0.03, -0.26, 0.48), (-half + 0.05, 0.26, 0.59)),
        box((half - 0.05, -0.26, 0.40), (half + 0.03, 0.26, 0.51)),
    ]
    mirrors = [
        box((0.36 * half, y - 0.09, belt), (0.41 * half, y + 0.09, belt + 0.13))
        for y in (-side - 0.06, side + 0.06)
    ]
    back = [
        box((-0.982 * half, y - 0.12, belt - 0.28), (-0.90 * half, y + 0.12, belt - 0.07))
        for y in (-0.78 * side, 0.78 * side)
    ]
    return [
        Part("car", merged([body, *shell, *mirrors]), paint, solid=True),
        Part("car", glass, GLASS, solid=True),
        Part("car", merged([*arches, *seams, *bumpers, *tyres]), RUBBER, solid=True),
        Part("car", merged(rims), RIM, solid=True),
        Part("car", merged([*front, *plates]), HEAD_LIGHT, solid=True),
        Part("car", merged(back), TAIL_LIGHT, solid=True),
    ]


def _body(half: float, side: float, belt: float, hood: float) -> Mesh:
    """Return the body below the windows, rounded in plan and in section."""
    stations = np.array(  # x / half, half width / side, bottom, top
        [[-1.00, 0.82, 0.36, belt - 0.20], [-0.975, 0.92, 0.28, belt - 0.06],
         [-0.86, 0.985, 0.22, belt], [-0.30, 1.0, 0.20, belt], [0.30, 1.0, 0.20, belt - 0.01],
         [0.52, 0.995, 0.20, belt - 0.04], [0.82, 0.96, 0.21, hood + 0.02],
         [0.95, 0.86, 0.24, hood - 0.06], [1.0, 0.72, 0.34, hood - 0.2]]
    )  # fmt: skip
    outline = np.array(  # y / half width, height / body height: up the right side
        [[-0.86, 0.0], [-0.97, 0.14], [-1.0, 0.45], [-0.985, 0.72], [-0.94, 0.93], [-0.72, 1.0],
         [0.0, 1.03]]
    )  # fmt: skip
    outline = np.concatenate([outline, (outline * (-1, 1))[-2::-1]])
    rings = np.empty((len(stations), len(outline), 3))
    rings[..., 0] = stations[:, None, 0] * half
    rings[..., 1] = outline[:, 0] * stations[:, None, 1] * side
    low, high = stations[:, 2:3], stations[:, 3:4]
    rings[..., 2] = low + outline[:, 1] * (high - low)
    return loft(rings)


def _cabin(
    half: float, side: float, belt: float, height: float, places: np.ndarray
) -> tuple[Mesh, list[Mesh]]:
    """Return the glass, and the roof and pillars around it."""
    rear, roof_rear, roof_front, screen = places * half
    low, high = side - 0.09, side - 0.09 - 0.20 * (height - belt) / 0.55
    if height > 1.9:
        high = low - 0.06
    profile = np.array(
        [[rear, belt - 0.04], [roof_rear, height - 0.05], [roof_front, height - 0.05],
         [screen, belt - 0.06]]
    )  # fmt: skip
    glass = prism(profile, -low, low, taper=low - high)
    outline = np.array([[-1.02, -0.12], [-1.0, -0.05], [-0.72, 0.0], [0.0, 0.025]])
    outline = np.concatenate([outline, (outline * (-1, 1))[-2::-1]])
    x = np.array([roof_rear - 0.03, roof_rear + 0.2, roof_front - 0.25, roof_front + 0.06])
    drop = np.array([0.05, 0.0, 0.0, 0.045])
    rings = np.empty((4, len(outline), 3))
    rings[..., 0] = x[:, None]
    rings[..., 1] = outline[:, 0] * high
    rings[..., 2] = height + outline[:, 1] - drop[:, None]
    shell = [loft(rings)]
    middle = 0.5 * (roof_rear + roof_front) + 0.04 * half
    for y in (-1, 1):
        shell += [
            cylinder((screen, y * low, belt - 0.06), (roof_front, y * high, height - 0.07), 0.05,
                     0.04, 5),
            cylinder((middle, y * low, belt - 0.06), (middle, y * high, height - 0.07), 0.05,
                     0.045, 5),
            cylinder((rear, y * low, belt - 0.06), (roof_rear, y * high, height - 0.07), 0.09,
                     0.08, 5),
        ]  # fmt: skip
    return glass, shell


def _wheel(x: float, y: float, radius: float) -> tuple[Mesh, Mesh]:
    """Return tyre and rim of a wheel whose outer face is 1 cm outside y."""
    outside = np.sign(y)
    face = y + outside * 0.01
    low, high = sorted((face, face - outside * 0.21))
    tyre = cylinder((x, low, radius), (x, high, radius), radius, radius, 16)
    rim = cylinder(
        (x, face - outside * 0.05, radius), (x, face + outside * 0.012, radius), 0.66 * radius,
        0.6 * radius, 10,
    )  # fmt: skip
    return tyre, rim


def truck(rng: np.random.Generator) -> list[Part]:
    """Return a lorry with a box body, 6.5 to 9.5 m long."""
    half, side = rng.uniform(6.5, 9.5) / 2, rng.uniform(1.15, 1.25)
    cab_rear, top = half - rng.uniform(1.7, 2.0), rng.uniform(3.0, 3.6)
    cab_top = rng.uniform(2.4, 2.8)
    cab = prism(
        np.array([[cab_rear, 0.5], [cab_rear, cab_top], [half - 0.35, cab_top], [half - 0.02, 1.5],
                  [half, 0.45]]),
        -side, side, taper=0.08,
    )  # fmt: skip
    screen = prism(
        np.array([[half - 0.4, 1.55], [half - 0.33, cab_top - 0.2], [half - 0.30, cab_top - 0.2],
                  [half + 0.01, 1.55]]),
        -side + 0.14, side - 0.14,
    )  # fmt: skip
    doors = box((cab_rear + 0.75, -side - 0.01, 1.55), (half - 0.5, side + 0.01, cab_top - 0.35))
    cargo = box((-half, -side, 1.0), (cab_rear - 0.2, side, top))
    band = rng.uniform(1.6, 2.2)
    sign = box((-0.85 * half, -side - 0.01, band), (0.2 * half, side + 0.01, band + 0.6))
    axles = [half - 0.85, -0.5 * half, -0.5 * half - 1.2][: int(rng.integers(2, 4))]
    tyres, rims = zip(*(_wheel(x, y, 0.48) for x in axles for y in (-side, side)), strict=True)
    chassis = box((-half + 0.1, -0.5, 0.55), (half - 0.4, 0.5, 1.0))
    guard = box((-half - 0.02, -side + 0.1, 0.5), (-half + 0.1, side - 0.1, 0.62))
    bumper = box((half - 0.2, -side, 0.35), (half + 0.06, side, 0.75))
    rear = [box((-half - 0.03, y - 0.2, 0.75), (-half + 0.05, y + 0.2, 0.9)) for y in (-0.8, 0.8)]
    front = [box((half - 0.1, y - 0.2, 0.82), (half + 0.03, y + 0.2, 1.0)) for y in (-0.85, 0.85)]
    color = pick(rng, SHEET_COLORS if rng.random() < 0.6 else SIGNAL_COLORS)
    return [
        Part("truck", cab, Plain(pick(rng, CAR_COLORS + SIGNAL_COLORS), 0.06), solid=True),
        Part("truck", merged([screen, doors]), GLASS, solid=True),
        Part("truck", cargo, Sheet(color, rib=0.6, contrast=0.25), solid=True),
        Part("truck", sign, Plain(pick(rng, SIGNAL_COLORS), 0.1), solid=True),
        Part("truck", merged([*tyres, chassis, guard, bumper]), RUBBER, solid=True),
        Part("truck", merged([*rims, *front]), RIM, solid=True),
        Part("truck", merged(rear), TAIL_LIGHT, solid=True),
    ]


def bus(rng: np.random.Generator) -> list[Part]:
    """Return a city bus, 10 to 12.5 m long."""
    half, side, top = rng.uniform(10.0, 12.5) / 2, 1.25, rng.uniform(2.95, 3.15)
    body = prism(
        np.array([[-half, 0.35], [-half, top - 0.1], [-half + 0.15, top], [half - 0.25, top],
                  [half - 0.06, top - 0.2], [half, 1.0], [half - 0.05, 0.35]]),
        -side, side, taper=0.06,
    )  # fmt: skip
    windows = [
        box((x, -side - 0.004, 1.25), (x + 1.3, side + 0.004, 2.45))
        for x in np.arange(-half + 0.4, half - 1.7, 1.42).tolist()
    ]
    ends = [
        box((half - 0.12, -side + 0.15, 1.15), (half + 0.012, side - 0.15, 2.55)),
        box((-half - 0.012, -side + 0.2, 1.5), (-half + 0.1, side - 0.2, 2.5)),
    ]
    doors = [
        box((x, -side - 0.012, 0.42), (x + 1.2, -side + 0.1, 2.5)) for x in (half - 1.8, -0.4)
    ]
    display = box((half - 0.2, -0.8, 2.62), (half + 0.01, 0.8, 2.9))
    stripe = box((-half - 0.01, -side - 0.006, 0.75), (half - 0.3, side + 0.006, 1.1))
    axles = (half - 2.6, -half + 3.2)
    tyres, rims = zip(*(_wheel(x, y, 0.48) for x in axles for y in (-side, side)), strict=True)
    arches = [cylinder((x, -side - 0.01, 0.5), (x, side + 0.01, 0.5), 0.6, 0.6, 16) for x in axles]
    rear = [box((-half - 0.02, y - 0.12, 0.8), (-half, y + 0.12, 1.3)) for y in (-1.05, 1.05)]
    front = [box((half - 0.1, y - 0.2, 0.62), (half + 0.02, y + 0.2, 0.82)) for y in (-0.9, 0.9)]
    paint = WHITE_PAINT if rng.random() < 0.4 else Plain(pick(rng, SIGNAL_COLORS), 0.06, gloss=0.1)
    return [
        Part("bus", body, paint, solid=True),
        Part("bus", merged([*windows, *ends, *doors]), GLASS, solid=True),
        Part("bus", stripe, Plain(pick(rng, SIGNAL_COLORS), 0.05), solid=True),
        Part("bus", merged([*tyres, *arches, display]), DARK_PLASTIC, solid=True),
        Part("bus", merged([*rims, *front]), RIM, solid=True),
        Part("bus", merged(rear), TAIL_LIGHT, solid=True),
    ]
