"""The things that stand along a street, each as parts in its own frame (x forward, z up)."""

import numpy as np

from scenedino_ros.synthesis.materials import (
    Color,
    Facade,
    Paving,
    Plain,
    Tiles,
    linear_from_srgb,
)
from scenedino_ros.synthesis.scene import Part
from scenedino_ros.synthesis.shapes import (
    Mesh,
    box,
    cylinder,
    disc,
    leaves,
    merged,
    points_in_ellipsoid,
    prism,
)

CAR_COLORS = tuple(
    linear_from_srgb(*color)
    for color in (
        (28, 30, 34), (190, 194, 198), (206, 207, 205), (120, 16, 20), (24, 48, 110),
        (86, 92, 98), (46, 82, 60), (60, 64, 72), (150, 120, 70),
    )
)  # fmt: skip
PLASTER_COLORS = tuple(
    linear_from_srgb(*color)
    for color in (
        (232, 226, 208), (214, 196, 158), (222, 222, 220), (196, 150, 120), (206, 208, 180),
        (180, 168, 160), (226, 204, 180),
    )
)  # fmt: skip
ROOF_COLORS = tuple(
    linear_from_srgb(*color) for color in ((140, 70, 52), (96, 62, 54), (88, 86, 88))
)
LEAF_COLORS = tuple(
    linear_from_srgb(*color)
    for color in ((84, 118, 42), (64, 100, 44), (104, 128, 50), (58, 86, 50), (112, 72, 60))
)

_GLASS = Plain((0.02, 0.025, 0.03), contrast=0.02, gloss=0.55)
_RUBBER = Plain((0.02, 0.02, 0.02), contrast=0.1)
_RIM = Plain((0.32, 0.33, 0.35), contrast=0.2, gloss=0.2)
_LAMP = Plain((0.75, 0.76, 0.72), contrast=0.05, gloss=0.3)
_TAIL_LIGHT = Plain((0.45, 0.02, 0.02), contrast=0.05, gloss=0.2)
_STEEL = Plain(linear_from_srgb(142, 148, 150), contrast=0.12, texel=0.01)
_BARK = Plain(linear_from_srgb(92, 76, 60), contrast=0.35, texel=0.012)


def car(rng: np.random.Generator, color: Color) -> list[Part]:
    """Return a parked car, 4.0 to 4.6 m long, centred at the origin, wheels on z = 0."""
    length, width = rng.uniform(4.0, 4.6), rng.uniform(1.70, 1.82)
    height, rear = rng.uniform(1.44, 1.58), rng.uniform(-0.49, -0.36)
    half, side = length / 2, width / 2
    belt = 0.92
    lower = np.array(
        [[-half, 0.30], [-half + 0.03, 0.80], [-half + 0.16, belt], [0.30 * length, belt - 0.04],
         [half - 0.14, 0.72], [half, 0.56], [half - 0.02, 0.26], [half - 0.3, 0.20],
         [-half + 0.3, 0.20]]
    )  # fmt: skip
    cabin = np.array(
        [[rear * length, belt - 0.02], [(rear + 0.10) * length, height - 0.04],
         [(rear + 0.18) * length, height], [0.06 * length, height - 0.01],
         [0.24 * length, belt - 0.05]]
    )  # fmt: skip
    roof = cabin * (1, 1)
    roof[[0, 4], 1] = height - 0.14
    roof[0, 0] = np.interp(roof[0, 1], cabin[:2, 1], cabin[:2, 0]) - 0.01
    roof[4, 0] = np.interp(roof[4, 1], cabin[[4, 3], 1], cabin[[4, 3], 0]) + 0.01
    paint = Plain(color, contrast=0.03, gloss=0.25)
    axles = (-0.31 * length, 0.31 * length)
    pillar_x = 0.02 - 0.12 * length
    body = merged(
        [
            prism(lower, -side, side, taper=0.05),
            prism(roof, -side + 0.14, side - 0.14, taper=0.05),
            prism(
                np.array([[pillar_x - 0.05, belt - 0.02], [pillar_x - 0.03, height - 0.1],
                          [pillar_x + 0.03, height - 0.1], [pillar_x + 0.05, belt - 0.02]]),
                -side + 0.065, side - 0.065, taper=0.12,
            ),
        ]
    )  # fmt: skip
    wheels = [_wheel(x, y) for x in axles for y in (-side + 0.09, side - 0.09)]
    front = [
        box((half - 0.16, y - 0.2, 0.55), (half - 0.02, y + 0.2, 0.68)) for y in (-0.58, 0.58)
    ]
    back = [box((-half, y - 0.14, 0.62), (-half + 0.1, y + 0.14, 0.86)) for y in (-0.66, 0.66)]
    plates = [box((x - 0.012, -0.26, 0.40), (x + 0.012, 0.26, 0.51)) for x in (-half, half - 0.01)]
    arches = [
        cylinder((x, -side - 0.004, 0.31), (x, side + 0.004, 0.31), 0.36, 0.36, 18) for x in axles
    ]
    underside = box((-half + 0.3, -side + 0.1, 0.16), (half - 0.3, side - 0.1, 0.22))
    return [
        Part("car", body, paint),
        Part("car", prism(cabin, -side + 0.07, side - 0.07, taper=0.13), _GLASS),
        Part("car", merged([*arches, underside, *(tyre for tyre, _ in wheels)]), _RUBBER),
        Part("car", merged([rim for _, rim in wheels]), _RIM),
        Part("car", merged([*front, *plates]), _LAMP),
        Part("car", merged(back), _TAIL_LIGHT),
    ]


def _wheel(x: float, y: float) -> tuple[Mesh, Mesh]:
    outside = np.sign(y)
    tyre = cylinder((x, y - 0.1, 0.31), (x, y + 0.1, 0.31), 0.31, 0.31, 18)
    face = y + outside * 0.1
    return tyre, cylinder((x, face, 0.31), (x, face + outside * 0.012, 0.31), 0.20, 0.19, 12)


def tree(rng: np.random.Generator, height: float) -> list[Part]:
    """Return a broad-leaved tree at the origin."""
    stem = 0.32 * height
    radius = 0.022 * height
    wood = [cylinder((0, 0, 0), (0, 0, 0.62 * height), radius, 0.4 * radius, 9)]
    crown = [rng.uniform(0.20, 0.26) * height, rng.uniform(0.20, 0.26) * height, 0.36 * height]
    clusters = []
    for _ in range(7):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.75)
        tip = np.array(
            [reach * crown[0] * np.cos(angle), reach * crown[1] * np.sin(angle),
             rng.uniform(0.45, 0.85) * height]
        )  # fmt: skip
        wood.append(cylinder((0, 0, rng.uniform(0.8, 1.4) * stem), tip, 0.35 * radius, 0.02, 6))
        clusters.append(tip + points_in_ellipsoid(rng, 420, np.array(crown) * 0.55))
    clusters.append((0, 0, 0.66 * height) + points_in_ellipsoid(rng, 900, crown, 0.5))
    canopy = leaves(rng, np.concatenate(clusters), size=0.034 * height)
    color = LEAF_COLORS[rng.integers(len(LEAF_COLORS))]
    return [
        Part("vegetation", merged(wood), _BARK),
        Part("vegetation", canopy, Plain(color, contrast=0.3, texel=0.03), foliage=True),
    ]


def hedge(rng: np.random.Generator, length: float, height: float) -> list[Part]:
    """Return a trimmed hedge from the origin along x, 0.8 m deep towards +y."""
    core = box((0, 0.08, 0), (length, 0.72, height - 0.08))
    area = length * (2 * height + 0.8)
    count = int(110 * area)
    points = rng.uniform((0, 0, 0), (length, 0.8, height), (count, 3))
    face = rng.uniform(0, 2 * height + 0.8, count)
    points[face < height, 1] = 0.04
    points[(face >= height) & (face < 2 * height), 1] = 0.76
    points[face >= 2 * height, 2] = height - 0.04
    points += rng.normal(scale=0.035, size=points.shape)
    color = LEAF_COLORS[rng.integers(4)]
    dark = (0.45 * color[0], 0.45 * color[1], 0.45 * color[2])
    return [
        Part("vegetation", core, Plain(dark, contrast=0.3, texel=0.03)),
        Part("vegetation", leaves(rng, points, 0.15), Plain(color, 0.35, 0.03), foliage=True),
    ]


def bush(rng: np.random.Generator, radius: float) -> list[Part]:
    """Return a round bush at the origin."""
    points = points_in_ellipsoid(rng, int(900 * radius**2) + 150, (radius, radius, 0.8 * radius))
    points[:, 2] = np.abs(points[:, 2] + 0.6 * radius)
    color = LEAF_COLORS[rng.integers(len(LEAF_COLORS))]
    return [Part("vegetation", leaves(rng, points, 0.16), Plain(color, 0.35, 0.03), foliage=True)]


def house(
    rng: np.random.Generator, corner: tuple[float, float], bays: tuple[int, int], storeys: int
) -> list[Part]:
    """Return a plastered house with a gable roof, in world axes.

    Args:
        rng: Source of randomness.
        corner: (x, y) of its corner with the smallest coordinates, metres.
        bays: Numbers of windows along x and y.
        storeys: Number of storeys below the roof.
    """
    bay, storey = rng.uniform(2.5, 3.0), rng.uniform(2.65, 2.9)
    base = 0.12
    width, depth, eaves = bays[0] * bay, bays[1] * bay, base + storeys * storey + 0.35
    ridge = eaves + depth * rng.uniform(0.33, 0.45)
    (x, y), over = corner, 0.35
    slope = (ridge - eaves) / (depth / 2)
    facade = Facade(
        color=PLASTER_COLORS[rng.integers(len(PLASTER_COLORS))],
        corner=corner,
        base=base,
        storey=storey,
        bay=bay,
        top=storeys * storey,
        shutter=linear_from_srgb(*rng.integers((50, 60, 40), (130, 110, 90))),
        seed=int(rng.integers(1, 9)) * 3,
    )
    walls = box((x, y, 0), (x + width, y + depth, eaves))
    gable = _ridge_prism(x, x + width, y, y + depth, eaves, ridge)
    roof = [
        _roof_slab(x - over, x + width + over, y + depth / 2, side, depth / 2 + over, ridge, slope)
        for side in (-1, 1)
    ]
    chimney = box(
        (x + 0.3 * width, y + 0.42 * depth, eaves),
        (x + 0.3 * width + 0.6, y + 0.42 * depth + 0.6, ridge + 0.8),
    )
    brick = Paving(linear_from_srgb(150, 90, 72), slab=(0.25, 0.08))
    roof_color = ROOF_COLORS[rng.integers(len(ROOF_COLORS))]
    return [
        Part("building", merged([walls, gable]), facade),
        Part("building", merged(roof), Tiles(roof_color)),
        Part("building", chimney, brick),
    ]


def _ridge_prism(x0: float, x1: float, y0: float, y1: float, low: float, high: float) -> Mesh:
    middle = (y0 + y1) / 2
    vertices = np.array(
        [[x, y, z] for x in (x0, x1) for y, z in ((y0, low), (y1, low), (middle, high))]
    )
    return Mesh(vertices, np.array([[0, 2, 1], [3, 4, 5]]))


def _roof_slab(
    x0: float, x1: float, ridge_y: float, side: int, reach: float, ridge: float, slope: float
) -> Mesh:
    y1, z1 = ridge_y + side * reach, ridge - slope * reach
    thickness = 0.16
    vertices = np.array(
        [
            [x, y, z + lift]
            for lift in (0.0, thickness)
            for x in (x0, x1)
            for y, z in ((ridge_y, ridge), (y1, z1))
        ]
    )
    order = box((0, 0, 0), (1, 1, 1)).triangles
    corners = vertices[[0, 2, 1, 3, 4, 6, 5, 7]]
    return Mesh(corners, order if side > 0 else order[:, ::-1])


def garden_wall(rng: np.random.Generator, length: float) -> list[Part]:
    """Return a low wall with a cap from the origin along x, 0.3 m deep towards +y."""
    height = rng.uniform(0.8, 1.3)
    stone = Paving(linear_from_srgb(168, 156, 138), slab=(0.42, 0.2), seed=int(rng.integers(40)))
    cap = Plain(linear_from_srgb(182, 178, 170))
    return [
        Part("wall", box((0, 0, 0), (length, 0.3, height)), stone),
        Part("wall", box((0, -0.04, height), (length, 0.34, height + 0.07)), cap),
    ]


def fence(rng: np.random.Generator, length: float) -> list[Part]:
    """Return a picket fence from the origin along x."""
    height = rng.uniform(0.9, 1.15)
    starts = np.arange(0.0, length - 0.08, 0.15)
    pickets = [box((x, 0, 0.06), (x + 0.085, 0.025, height)) for x in starts]
    rails = [box((0, 0.025, z), (length, 0.06, z + 0.07)) for z in (0.25, height - 0.25)]
    tone = rng.uniform(0.55, 1.0)
    warm = rng.uniform(0.0, 1.0)  # white paint to bare wood
    color = tuple(
        float(tone**2 * value) for value in (0.68, 0.68 - 0.28 * warm, 0.65 - 0.43 * warm)
    )
    paint = Plain((color[0], color[1], color[2]), contrast=0.2, texel=0.01)
    return [Part("fence", merged(pickets + rails), paint)]


def street_lamp(height: float = 6.2) -> list[Part]:
    """Return a lamp post at the origin whose arm points along +y."""
    post = cylinder((0, 0, 0), (0, 0, height), 0.085, 0.05, 10)
    arm = cylinder((0, 0, height - 0.1), (0, 1.1, height + 0.1), 0.04, 0.035, 8)
    head = box((-0.13, 0.9, height + 0.04), (0.13, 1.5, height + 0.16))
    return [Part("pole", merged([post, arm, head]), _STEEL)]


def traffic_sign(rng: np.random.Generator) -> list[Part]:
    """Return a sign on a post at the origin, seen by who drives along +x."""
    post = cylinder((0, 0, 0), (0, 0, 2.75), 0.03, 0.03, 8)
    center = np.array([-0.04, 0, 2.4])
    red, white = Plain((0.50, 0.02, 0.03), 0.03), Plain((0.78, 0.78, 0.76), 0.03)
    blue = Plain((0.02, 0.09, 0.40), 0.03)
    kind = int(rng.integers(3))
    plates = [Part("traffic sign", disc(center, (-1, 0, 0), 0.31), blue if kind == 1 else red)]
    if kind == 0:
        plates.append(Part("traffic sign", disc(center - (0.012, 0, 0), (-1, 0, 0), 0.22), white))
    if kind == 2:
        bar = box(center + (-0.034, -0.22, -0.045), center + (-0.015, 0.22, 0.045))
        plates.append(Part("traffic sign", bar, white))
    return [Part("pole", post, _STEEL), *plates]
