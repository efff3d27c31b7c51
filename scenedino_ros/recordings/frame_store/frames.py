# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Groups the images of several cameras into frames, each with the pose of the body."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.number_ranges import ranges_text
from scenedino_ros.recordings.poses import PoseTrack
from scenedino_ros.recordings.recording import BagCamera

_MAX_TOLERANCE_NS = 50_000_000


@dataclass(frozen=True, eq=False)
class FrameList:
    """The frames at which all cameras have an image and the body a pose.

    Attributes:
        stamps_ns: (N,) times of the first camera's images, nanoseconds.
        images: (N,) index of the image, by camera.
        T_world_body: (N, 4, 4) poses of the body at the times of the images by camera, metres.
        left_out: Sentences on images of the first camera that belong to no frame.
    """

    stamps_ns: np.ndarray
    images: dict[str, np.ndarray]
    T_world_body: dict[str, np.ndarray]
    left_out: list[str]

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def part(self, numbers: Collection[int]) -> "FrameList":
        """Return the frames of these numbers, counted from 0, in the order of time.

        Raises:
            InputError: If there are no such frames.
        """
        chosen = sorted(set(numbers))
        if not chosen or chosen[0] < 0 or chosen[-1] >= len(self):
            raise InputError(
                f"frames must lie between 0 and {len(self) - 1}, got {ranges_text(numbers)}"
            )
        return FrameList(
            self.stamps_ns[chosen],
            {name: images[chosen] for name, images in self.images.items()},
            {name: T[chosen] for name, T in self.T_world_body.items()},
            self.left_out,
        )


def common_frames(
    cameras: Sequence[BagCamera], track: PoseTrack, tolerance_s: float | None = None
) -> FrameList:
    """Find the times at which every camera has an image and the body a pose.

    Every image belongs to one frame at most.

    Args:
        cameras: The cameras; the first one's images are the candidates.
        track: Poses of the body.
        tolerance_s: How far images of one frame may be apart; None: half a frame, 50 ms at most.

    Raises:
        InputError: If there is no such time, with the reasons.
    """
    first = cameras[0].images
    if tolerance_s is None:
        tolerance = min(first.period_ns // 2, _MAX_TOLERANCE_NS) or _MAX_TOLERANCE_NS
    else:
        tolerance = round(tolerance_s * 1e9)
    reasons: Counter[str] = Counter()
    rows: list[list[int]] = []  # per frame, the index of each camera's image
    for stamp in first.stamps_ns.tolist():
        row, reason = _row(cameras, track, stamp, tolerance, rows[-1] if rows else None)
        if reason:
            reasons[reason] += 1
        else:
            rows.append(row)
    left_out = [
        f"{count} of {len(first)} images of {cameras[0].name} are left out for lack of {reason}"
        for reason, count in sorted(reasons.items())
    ]
    if not rows:
        raise InputError(f"no frame has all images and a pose: {'; '.join(left_out)}")
    images = {camera.name: np.array(rows)[:, n] for n, camera in enumerate(cameras)}
    stamps = {camera.name: camera.images.stamps_ns[images[camera.name]] for camera in cameras}
    poses = {
        name: np.stack([track.at(stamp) for stamp in times.tolist()])
        for name, times in stamps.items()
    }
    return FrameList(stamps[cameras[0].name], images, poses, left_out)


def _row(
    cameras: Sequence[BagCamera],
    track: PoseTrack,
    stamp_ns: int,
    tolerance_ns: int,
    before: list[int] | None,
) -> tuple[list[int], str]:
    """Return the images of a frame, and what it lacks; empty text: nothing.

    Args:
        cameras: The cameras.
        track: Poses of the body.
        stamp_ns: Time of the frame.
        tolerance_ns: How far images may be from that time.
        before: The images of the frame before, which are taken.
    """
    row: list[int] = []
    for number, camera in enumerate(cameras):
        found = camera.images.nearest(stamp_ns, tolerance_ns)
        if found is None or (before is not None and found <= before[number]):
            return row, f"images of {camera.name}"
        row.append(found)
        if track.problem_at(int(camera.images.stamps_ns[found])):
            return row, "poses"
    return row, ""
