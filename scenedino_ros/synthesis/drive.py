"""A camera's drive down a synthetic street: where it is at every frame."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.camera import PinholeCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.synthesis.street import LANE_WIDTH

# Rectified perspective cameras of KITTI-360: P_rect_00 of its calibration, 1408 x 376 pixels.
KITTI360_CAMERA = PinholeCamera.from_focal(
    552.554261, 552.554261, 682.049453, 238.769549, 1408, 376
)
CAMERA_HEIGHT = 1.55  # metres above the road, as on that car
CAMERA_PITCH_DEG = 5.8  # downwards, as on that car
CAMERA_AHEAD = 1.6  # metres from the vehicle frame's origin to the camera
START_STAMP_NS = 1_000_000_000

_OPTICAL_FROM_BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class StreetDrive:
    """Everything that decides what a drive looks like.

    Attributes:
        seed: Decides the street and the driver's small movements.
        frames: Number of images.
        rate_hz: Images per second.
        speed: Metres per second along the street.
        width: Columns of the images; rows follow from KITTI-360's 1408 x 376.
    """

    seed: int = 0
    frames: int = 40
    rate_hz: float = 10.0
    speed: float = 8.0
    width: int = 704

    def __post_init__(self) -> None:
        """Refuse a drive without frames, time, way or pixels.

        Raises:
            InputError: Naming the first wrong value and its range.
        """
        if self.frames < 1 or self.width < 16:
            raise InputError(
                "a drive needs at least 1 frame and images at least 16 px wide, "
                f"got {self.frames} and {self.width}"
            )
        if self.rate_hz <= 0 or self.speed < 0 or self.seed < 0:
            raise InputError(
                "a drive needs a rate > 0 Hz, a speed >= 0 m/s and a seed >= 0, "
                f"got {self.rate_hz}, {self.speed} and {self.seed}"
            )

    @property
    def camera(self) -> PinholeCamera:
        """The camera: KITTI-360's rectified one, scaled to the width."""
        height = round(KITTI360_CAMERA.height * self.width / KITTI360_CAMERA.width)
        return KITTI360_CAMERA.resized(self.width, height)

    @property
    def T_base_cam(self) -> np.ndarray:
        """(4, 4) camera (optical frame) to vehicle (x forward, y left, z up, on the road)."""
        pitch = np.radians(CAMERA_PITCH_DEG)
        down = np.array(
            [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
        )
        T = np.eye(4)
        T[:3, :3] = down @ _OPTICAL_FROM_BODY.T
        T[:3, 3] = (CAMERA_AHEAD, 0.0, CAMERA_HEIGHT)
        return T

    def stamp_ns(self, frame: int) -> int:
        """Return the time of a frame, nanoseconds."""
        return START_STAMP_NS + round(frame * 1e9 / self.rate_hz)

    def T_world_base(self, frame: int) -> np.ndarray:
        """Return the (4, 4) vehicle pose at a frame: down the right lane, weaving a little."""
        x = frame * self.speed / self.rate_hz
        phase = 0.7 * self.seed
        y = -LANE_WIDTH / 2 + 0.12 * np.sin(x / 9.0 + phase)
        yaw = np.arctan(0.12 / 9.0 * np.cos(x / 9.0 + phase))
        nod = np.radians(0.15) * np.sin(1.7 * x + phase)
        cos, sin = np.cos(yaw), np.sin(yaw)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        dip = np.array([[np.cos(nod), 0, np.sin(nod)], [0, 1, 0], [-np.sin(nod), 0, np.cos(nod)]])
        T = np.eye(4)
        T[:3, :3] = turn @ dip
        T[:3, 3] = (x, y, 0.0)
        return T
