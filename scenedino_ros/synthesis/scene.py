"""What a synthetic scene is made of, apart from how it is drawn."""

from dataclasses import dataclass, field

import numpy as np

from scenedino_ros.synthesis.materials import Color, Material
from scenedino_ros.synthesis.shapes import Mesh


@dataclass(frozen=True, eq=False)
class Part:
    """One piece of an object: a mesh in the world frame with one material and one class.

    Attributes:
        class_name: Name of the class, as in the class table.
        mesh: Triangles in the world frame (x along the street, y left, z up), metres.
        material: Colour of the surface.
        foliage: Whether light shines through, as through leaves.
    """

    class_name: str
    mesh: Mesh
    material: Material
    foliage: bool = False


@dataclass(frozen=True)
class Lighting:
    """Sun and sky; colours are linear RGB.

    Attributes:
        sun_direction: (3,) unit vector towards the sun.
        sun: Light of the sun on a surface that faces it.
        zenith: Colour of the sky straight up; also the light that falls into shadows.
        horizon: Colour of the sky at the horizon and of distant haze.
        haze_distance: Distance over which 63 % of a colour turns into haze, metres.
        exposure: Factor from light to picture.
    """

    sun_direction: tuple[float, float, float]
    sun: Color = (2.5, 2.25, 1.85)
    zenith: Color = (0.30, 0.48, 0.80)
    horizon: Color = (0.85, 0.90, 0.95)
    haze_distance: float = 450.0
    exposure: float = 0.82


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that stands in the world, and its light.

    Attributes:
        parts: The pieces.
        lighting: Sun and sky.
    """

    parts: tuple[Part, ...]
    lighting: Lighting


def sun_direction(azimuth_deg: float, elevation_deg: float) -> tuple[float, float, float]:
    """Return the unit vector towards a sun at an azimuth (from x to y) and an elevation."""
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    return (
        float(np.cos(elevation) * np.cos(azimuth)),
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
    )


@dataclass(eq=False)
class SceneBuilder:
    """Collects parts while a scene is laid out."""

    parts: list[Part] = field(default_factory=list)

    def add(self, parts: list[Part], T_world_object: np.ndarray) -> None:
        """Add an object's parts, moved from the object's frame into the world."""
        for part in parts:
            mesh = part.mesh.moved(T_world_object)
            self.parts.append(Part(part.class_name, mesh, part.material, part.foliage))
