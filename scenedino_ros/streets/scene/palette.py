# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Colours and materials that many objects of a street share."""

import numpy as np

from scenedino_ros.streets.scene.materials import Color, Plain, linear_from_srgb


def _colors(*rows: tuple[int, int, int]) -> tuple[Color, ...]:
    return tuple(linear_from_srgb(*row) for row in rows)


CAR_COLORS = _colors(
    (28, 30, 34), (38, 40, 44), (190, 194, 198), (206, 207, 205), (168, 172, 178), (140, 16, 18),
    (24, 48, 110), (86, 92, 98), (118, 124, 130), (46, 82, 60), (60, 64, 72), (150, 120, 70),
    (130, 156, 190), (166, 44, 28), (22, 22, 24), (150, 154, 160), (214, 216, 216),
)  # fmt: skip
PLASTER_COLORS = _colors(
    (236, 232, 222), (226, 218, 196), (214, 196, 158), (228, 228, 226), (206, 160, 128),
    (206, 208, 180), (180, 168, 160), (232, 208, 168), (240, 238, 234), (190, 196, 200),
    (222, 186, 120), (200, 140, 110),
)  # fmt: skip
BRICK_COLORS = _colors((150, 84, 66), (128, 70, 58), (176, 120, 90), (190, 170, 140))
ROOF_COLORS = _colors(
    (150, 74, 52), (168, 86, 58), (110, 66, 54), (92, 84, 82), (70, 70, 74), (130, 88, 68)
)
SHUTTER_COLORS = _colors((52, 84, 56), (110, 74, 44), (70, 60, 56), (140, 50, 44), (60, 80, 110))
SHEET_COLORS = _colors(
    (180, 184, 186), (120, 132, 140), (206, 204, 198), (70, 100, 130), (130, 60, 50), (96, 110, 90)
)
LEAF_COLORS = _colors(
    (112, 146, 48), (88, 124, 44), (126, 148, 58), (78, 108, 56), (98, 130, 40), (70, 98, 46)
)
NEEDLE_COLORS = _colors((58, 80, 50), (50, 72, 54), (74, 92, 54))
COPPER_LEAF = linear_from_srgb(104, 58, 54)
CLOTH_COLORS = _colors(
    (30, 32, 40), (44, 54, 84), (70, 72, 76), (150, 30, 36), (200, 198, 192), (226, 224, 216),
    (60, 84, 60), (196, 160, 60), (110, 70, 50), (60, 110, 150), (180, 90, 120), (96, 60, 110),
)  # fmt: skip
TROUSER_COLORS = _colors((32, 38, 58), (26, 26, 30), (58, 70, 100), (110, 96, 76), (76, 76, 80))
SKIN_COLORS = _colors((222, 176, 148), (204, 158, 128), (150, 104, 78), (100, 68, 52))
HAIR_COLORS = _colors((40, 30, 26), (90, 62, 40), (176, 140, 90), (150, 148, 144), (24, 22, 22))
SIGNAL_COLORS = _colors(
    (196, 40, 30), (230, 190, 30), (40, 90, 170), (40, 130, 70), (230, 120, 30)
)

GLASS = Plain((0.02, 0.025, 0.03), contrast=0.02, gloss=0.3)
RUBBER = Plain((0.02, 0.02, 0.02), contrast=0.1)
DARK_PLASTIC = Plain((0.035, 0.035, 0.038), contrast=0.15)
RIM = Plain((0.32, 0.33, 0.35), contrast=0.2, gloss=0.15)
HEAD_LIGHT = Plain((0.72, 0.73, 0.70), contrast=0.05, gloss=0.3)
TAIL_LIGHT = Plain((0.42, 0.02, 0.02), contrast=0.05, gloss=0.15)
WHITE_PAINT = Plain((0.74, 0.74, 0.72), contrast=0.05)
STEEL = Plain(linear_from_srgb(142, 148, 150), contrast=0.14, texel=0.01)
IRON = Plain(linear_from_srgb(56, 60, 62), contrast=0.15, texel=0.01)
CONCRETE = Plain(linear_from_srgb(176, 172, 162), contrast=0.16, texel=0.02)
BARK = Plain(linear_from_srgb(92, 76, 60), contrast=0.35, texel=0.012)


def pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    """Return one of the colours, its brightness varied a little."""
    red, green, blue = np.clip(
        np.array(colors[rng.integers(len(colors))]) * rng.uniform(0.85, 1.15), 0, 0.85
    )
    return (float(red), float(green), float(blue))


def shaded(color: Color, factor: float) -> Color:
    """Return a colour made darker or brighter."""
    red, green, blue = (min(factor * channel, 1.0) for channel in color)
    return (red, green, blue)
