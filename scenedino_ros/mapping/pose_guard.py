# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The rules for poses and stamps: which are fused, and after which the map starts anew."""

from enum import Enum

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.poses import check_pose

# Images of a camera may come a little out of order, seconds.
_REORDERED = 1.0
# What a good localisation may correct from one image to the next beside the robot's motion.
_CORRECTION, _CORRECTION_ANGLE = 0.5, np.radians(10.0)  # metres, radians


class Restart(str, Enum):
    """Why a map starts anew; the value is its name for people."""

    TIME_BACKWARDS = "time ran backwards"
    JUMP = "the pose jumped"
    REQUEST = "on request"


class PoseGuard:
    """Compares each pose of the robot with the newest one.

    What is in the map was placed by earlier poses. If the pose jumps, as after a loop closure or a
    new localisation, all of it would be at the wrong place, so the map starts anew. The same holds
    if the time of a camera runs backwards, as when a recording begins again. The clocks of two
    cameras may differ.
    """

    def __init__(self, max_speed: float, max_turn: float) -> None:
        """Set what the robot can do.

        Args:
            max_speed: Highest speed, metres per second.
            max_turn: Highest angular speed, radians per second.
        """
        self._max_speed, self._max_turn = max_speed, max_turn
        self.forget()

    def forget(self) -> None:
        """Forget the newest pose: the next one has nothing to be compared with."""
        self._stamp_ns: int | None = None
        self._pose = np.eye(4)
        self._of_camera: dict[str, int] = {}  # stamp of the last image, nanoseconds

    def check(
        self, T_map_robot: np.ndarray, stamp_ns: int, camera: str = ""
    ) -> tuple[Restart, str] | None:
        """Compare a pose with the newest one, and remember it if it is newer.

        Args:
            T_map_robot: (4, 4) pose of the robot in the fixed frame, metres.
            stamp_ns: When the robot was there, nanoseconds.
            camera: Name of the camera whose image that is.

        Returns:
            None if the map goes on; else why it has to start anew, and a sentence.

        Raises:
            InputError: If the pose is not a finite rigid transform, or is that of an older image
                and cannot be joined with the newest one: the map has followed a jump since.
        """
        check_pose(T_map_robot, "the robot's pose")
        before = self._of_camera.get(camera, stamp_ns)
        if stamp_ns < before - _REORDERED * 1e9:
            self.forget()
            self._remember(T_map_robot, stamp_ns, camera)
            back = (before - stamp_ns) / 1e9
            sentence = f"the stamp is {back:.2f} s before that of the image before it"
            return Restart.TIME_BACKWARDS, sentence
        last, pose = self._stamp_ns, self._pose
        self._remember(T_map_robot, stamp_ns, camera)
        if last is None:
            return None
        seconds = (stamp_ns - last) / 1e9
        moved = float(np.linalg.norm(T_map_robot[:3, 3] - pose[:3, 3]))
        turned = _angle(pose[:3, :3].T @ T_map_robot[:3, :3])
        can_move = self._max_speed * abs(seconds) + _CORRECTION
        can_turn = self._max_turn * abs(seconds) + _CORRECTION_ANGLE
        if moved <= can_move and turned <= can_turn:
            return None
        sentence = (
            f"the pose moved by {moved:.2f} m and {np.degrees(turned):.1f} degrees in "
            f"{abs(seconds):.2f} s, at most {can_move:.2f} m and "
            f"{np.degrees(can_turn):.1f} degrees are possible (map.max_speed, map.max_turn)"
        )
        if seconds < 0:
            raise InputError(f"an older image cannot be joined with the newest one: {sentence}")
        return Restart.JUMP, sentence

    def _remember(self, T_map_robot: np.ndarray, stamp_ns: int, camera: str) -> None:
        self._of_camera[camera] = stamp_ns
        if self._stamp_ns is None or stamp_ns >= self._stamp_ns:
            self._stamp_ns, self._pose = stamp_ns, np.array(T_map_robot, np.float64)


def _angle(R: np.ndarray) -> float:
    return float(np.arccos(np.clip((np.trace(R) - 1) / 2, -1.0, 1.0)))
