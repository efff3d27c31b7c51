# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The parts of a synthetic scene and its light, independent of the renderer."""

from dataclasses import dataclass, field, replace

import numpy as np

from scenedino_ros.streets.scene.materials import Color, Material
from scenedino_ros.streets.scene.shapes import Mesh, placed


@dataclass(frozen=True, eq=False)
class Part:
    """One piece of an object: a mesh in the world frame with one material and one class.

    Attributes:
        class_name: Name of the class, as in the class table.
        mesh: Triangles in the world frame (x along the street, y left, z up), metres.
        material: Colour of the surface.
        foliage: Whether light shines through, as through leaves.
        solid: Whether the mesh bounds matter: one or several closed surfaces, which may overlap;
            what lies inside any of them is filled.
        volume: Such closed surfaces that stand for the part where space is filled, instead of the
            mesh; for crowns and hedges, whose mesh is a cloud of leaves.
    """

    class_name: str
    mesh: Mesh
    material: Material
    foliage: bool = False
    solid: bool = False
    volume: Mesh | None = None

    def moved(self, T_target_part: np.ndarray) -> "Part":
        """Return the part in another frame, given the (4, 4) affine transform into it."""
        volume = None if self.volume is None else self.volume.moved(T_target_part)
        return replace(self, mesh=self.mesh.moved(T_target_part), volume=volume)


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
class MovingCar:
    """A car that moves along x at constant speed.

    Attributes:
        parts: The pieces in the car's frame (x forward, wheels on z = 0).
        start: Its x at time 0, metres.
        y: Middle of the car, metres.
        velocity: Along x, m/s; a car with a negative one faces backwards.
        road: Where its road begins and ends along x, metres; elsewhere the car is not there.
    """

    parts: tuple[Part, ...]
    start: float
    y: float
    velocity: float
    road: tuple[float, float]

    def placed(self, seconds: float) -> list[Part]:
        """Return the pieces in the world at a time; none before or beyond the road."""
        x = self.start + self.velocity * seconds
        if not self.road[0] < x < self.road[1]:
            return []
        T_world_car = placed(x, self.y, 0.0, 0.0 if self.velocity > 0 else np.pi)
        return [part.moved(T_world_car) for part in self.parts]


@dataclass(frozen=True, eq=False)
class Scene:
    """All objects of the world, and its light.

    Attributes:
        parts: The pieces that stand still.
        lighting: Sun and sky.
        lane_y: Middle of the lane along x that is free to be driven, metres.
        cars: What moves.
    """

    parts: tuple[Part, ...]
    lighting: Lighting
    lane_y: float = 0.0
    cars: tuple[MovingCar, ...] = ()

    def at(self, seconds: float) -> "Scene":
        """Return all that is there at a time as a scene in which nothing moves."""
        return replace(self, parts=(*self.parts, *self.moving_parts(seconds)), cars=())

    def moving_parts(self, seconds: float) -> tuple[Part, ...]:
        """Return the pieces of the moving cars in the world at a time."""
        return tuple(part for car in self.cars for part in car.placed(seconds))


def sun_direction(azimuth_deg: float, elevation_deg: float) -> tuple[float, float, float]:
    """Return the unit vector towards a sun at an azimuth (from x to y) and an elevation."""
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    return (
        float(np.cos(elevation) * np.cos(azimuth)),
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
    )


@dataclass(frozen=True)
class Corridor:
    """A region of the world that must stay free.

    Attributes:
        x: Where it begins and ends, metres.
        y: Where it begins and ends, metres.
        height: Up to where it reaches from the ground, metres.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    height: float

    def meets(self, mesh: Mesh) -> bool:
        """Return whether a corner of a mesh lies inside."""
        x, y, z = mesh.vertices.T
        inside = (x > self.x[0]) & (x < self.x[1]) & (y > self.y[0]) & (y < self.y[1])
        return bool((inside & (z < self.height)).any())


@dataclass(eq=False)
class SceneBuilder:
    """Collects parts while a scene is laid out.

    Attributes:
        free: Where nothing may stand.
        parts: The pieces so far.
    """

    free: Corridor
    parts: list[Part] = field(default_factory=list)

    def add(self, parts: list[Part], T_world_object: np.ndarray) -> None:
        """Add an object, moved from its frame into the world, unless it meets the corridor."""
        moved = [part.moved(T_world_object) for part in parts]
        if not any(self.free.meets(part.mesh) for part in moved):
            self.parts.extend(moved)
