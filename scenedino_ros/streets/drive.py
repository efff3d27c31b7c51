# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The drive of a car down a synthetic street: its pose at every frame."""

import functools
from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.streets.rig import BASE_HEIGHT, CENTER_Y, pitched_down, turned_left
from scenedino_ros.streets.scene.plan import plan_street
from scenedino_ros.streets.scene.scene import Scene
from scenedino_ros.streets.scene.street import make_street

START_STAMP_NS = 1_000_000_000


@dataclass(frozen=True)
class StreetDrive:
    """The parameters of a drive.

    Attributes:
        seed: Decides the street and the driver's small movements.
        frames: Number of moments at which pictures are taken.
        rate_hz: Frames per second.
        speed: Metres per second along the street.
        moving_cars: Number of cars that move along the lanes.
    """

    seed: int = 0
    frames: int = 40
    rate_hz: float = 10.0
    speed: float = 8.0
    moving_cars: int = 0

    def __post_init__(self) -> None:
        """Refuse a drive without frames, or with an invalid rate, speed, seed or number of cars.

        Raises:
            InputError: Naming the values and their ranges.
        """
        if self.frames < 1:
            raise InputError(f"a drive needs at least 1 frame, got {self.frames}")
        if not (self.rate_hz > 0 and self.speed >= 0 and self.seed >= 0):
            raise InputError(
                "a drive needs a rate > 0 Hz, a speed >= 0 m/s and a seed >= 0, "
                f"got {self.rate_hz:g}, {self.speed:g} and {self.seed}"
            )
        if self.moving_cars < 0:
            raise InputError(f"a drive needs >= 0 moving cars, got {self.moving_cars}")

    @property
    def scene(self) -> Scene:
        """The street, as long as the drive, with its moving cars."""
        length = self.frames * self.speed / self.rate_hz
        return _street(self.seed, length, self.moving_cars, self.speed)

    def scene_at(self, frame: int) -> Scene:
        """Return all that is there at a frame, as a scene in which nothing moves."""
        return self.scene.at(frame / self.rate_hz)

    def stamp_ns(self, frame: int) -> int:
        """Return the time of a frame, nanoseconds."""
        return START_STAMP_NS + round(frame * 1e9 / self.rate_hz)

    def T_world_base(self, frame: int) -> np.ndarray:
        """Return the (4, 4) pose of base_link at a frame: down the lane, weaving a little.

        The world's x runs along the street, z = 0 is the road.
        """
        x = frame * self.speed / self.rate_hz
        phase = 0.7 * self.seed
        y = plan_street(self.seed).lane_y - CENTER_Y + 0.12 * np.sin(x / 9.0 + phase)
        yaw = np.arctan(0.12 / 9.0 * np.cos(x / 9.0 + phase))
        nod = np.radians(0.15) * np.sin(1.7 * x + phase)
        T = np.eye(4)
        T[:3, :3] = turned_left(yaw) @ pitched_down(nod)
        T[:3, 3] = (x, y, BASE_HEIGHT)
        return T


@functools.lru_cache(maxsize=2)
def _street(seed: int, length: float, cars: int, speed: float) -> Scene:
    return make_street(seed, length, cars, speed)
