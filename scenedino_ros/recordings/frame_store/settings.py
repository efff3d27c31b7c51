# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a frame store depends on besides its recording."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from scenedino_ros.cameras.fisheye import PUBLISHED_ROTATION_DEG
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.number_ranges import flat_ranges
from scenedino_ros.recordings.pose_source import PoseSource


@dataclass(frozen=True)
class StoreSettings:
    """How a recording becomes a frame store.

    Attributes:
        image_size: (height, width) of the network input images, pixels.
        cameras: Cameras to take; empty: all. The images of the first one are the frames' times.
        poses: Where the poses come from.
        body_frame: Frame of the vehicle, x forward, y left, z up.
        tolerance_s: How far images of one frame may be apart; None: half a frame, 50 ms at most.
        fisheye_rotation_deg: How the virtual camera of a MEI fisheye is turned about the
            fisheye's y and x axes; a camera that looks to the right is turned the other way
            about y.
        fit: How images of another aspect ratio fill the input image, as for
            `ImagePreprocessor`.
        part: Numbers of the frames to store, from 0; None: all. What is held out of training is
            left out here.
    """

    image_size: tuple[int, int] = (192, 640)
    cameras: tuple[str, ...] = ()
    poses: PoseSource = PoseSource()
    body_frame: str = "base_link"
    tolerance_s: float | None = None
    fisheye_rotation_deg: tuple[float, float] = PUBLISHED_ROTATION_DEG
    fit: str = "auto"
    part: Collection[int] | None = None

    def plain(self) -> dict[str, Any]:
        """Return them as values that JSON has; a file of poses by its content.

        Raises:
            OSError: If the file cannot be read.
        """
        file = self.poses.file
        return {
            **asdict(self),
            "image_size": list(self.image_size),
            "cameras": list(self.cameras),
            "poses": {**asdict(self.poses), "file": None if file is None else file_sha256(file)},
            "fisheye_rotation_deg": list(self.fisheye_rotation_deg),
            "part": None if self.part is None else flat_ranges(self.part),
        }
