# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The images or maps of one topic of a recording: their times, places and gaps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.rosbag2.reader import MessagePlace

_MISSING_FROM = 1.5  # periods between two stamps, from which on a frame is missing
_SHOWN = 5  # gaps that are described one by one
_CAMERA_LOST = "other topics were recorded meanwhile, so the camera or the way from it lost them"
_NOTHING_THERE = "nothing else was recorded either, so the recorder paused or that part is lost"


@dataclass(frozen=True, eq=False)
class Stream:
    """Frames of one topic in the order of their stamps.

    Attributes:
        topic: Name of the topic.
        frame_id: Optical frame of the images.
        stamps_ns: (N,) int64 stamps, strictly ascending, nanoseconds.
        recorded_ns: (N,) int64 times at which they were recorded, nanoseconds.
        places: Where the messages lie in the recording.
    """

    topic: str
    frame_id: str
    stamps_ns: np.ndarray
    recorded_ns: np.ndarray
    places: tuple[MessagePlace, ...]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def period_ns(self) -> int:
        """Usual time between two frames, nanoseconds; 0 where there are less than two."""
        return int(np.median(np.diff(self.stamps_ns))) if len(self) > 1 else 0

    def nearest(self, stamp_ns: int, tolerance_ns: int) -> int | None:
        """Return the index of the frame nearest to a time, None if it is further away."""
        place = int(np.searchsorted(self.stamps_ns, stamp_ns))
        around = [i for i in (place - 1, place) if 0 <= i < len(self)]
        best = min(around, key=lambda i: abs(int(self.stamps_ns[i]) - stamp_ns), default=None)
        if best is None or abs(int(self.stamps_ns[best]) - stamp_ns) > tolerance_ns:
            return None
        return best

    def numbers(self, first: int) -> list[int]:
        """Return the frames' numbers where each missing frame counts too.

        Args:
            first: Number of the first frame.
        """
        if not self.period_ns:
            return [first] * len(self)
        steps = np.rint(np.diff(self.stamps_ns) / self.period_ns).astype(int)
        return (first + np.concatenate([[0], np.cumsum(np.maximum(steps, 1))])).tolist()

    def strays(self, maps: "Stream") -> list[str]:
        """Describe the maps of another stream whose stamps no image of this one has."""
        count = int((~np.isin(maps.stamps_ns, self.stamps_ns)).sum())
        sentence = f"{count} of {len(maps)} maps of {maps.topic} belong to no image"
        return [sentence] if count else []

    def gaps(self, others_in: Callable[[int, int], bool]) -> list[str]:
        """Describe where frames are missing, and the likely reason.

        Args:
            others_in: Returns whether other topics were recorded between two times, nanoseconds.

        Returns:
            A sentence on each of the first gaps, and one on the rest.
        """
        period = self.period_ns
        steps = np.diff(self.stamps_ns)
        wide = np.flatnonzero(steps > _MISSING_FROM * period) if period else np.zeros(0, int)
        missing = [round(int(step) / period) - 1 for step in steps[wide]]
        sentences = []
        for index, count in list(zip(wide.tolist(), missing, strict=True))[:_SHOWN]:
            margin = period // 2
            recording_went_on = others_in(
                int(self.recorded_ns[index]) + margin, int(self.recorded_ns[index + 1]) - margin
            )
            start, end = self.stamps_ns[index : index + 2].tolist()
            sentences.append(
                f"{self.topic}: {count} frames are missing between {start / 1e9:.3f} and "
                f"{end / 1e9:.3f} s; {_CAMERA_LOST if recording_went_on else _NOTHING_THERE}"
            )
        if len(missing) > _SHOWN:
            sentences.append(
                f"{self.topic}: {sum(missing[_SHOWN:])} frames are missing in "
                f"{len(missing) - _SHOWN} further gaps"
            )
        return sentences


@dataclass
class StreamIndex:
    """Collects the frames of a topic during the pass over a recording."""

    topic: str
    frame_ids: set[str] = field(default_factory=set)
    _frames: list[tuple[int, int, MessagePlace]] = field(default_factory=list)

    def add(self, stamp_ns: int, frame_id: str, recorded_ns: int, place: MessagePlace) -> None:
        """Take in one message."""
        self.frame_ids.add(frame_id)
        self._frames.append((stamp_ns, recorded_ns, place))

    def stream(self, problems: list[str]) -> Stream:
        """Return the frames in order; those that repeat a stamp or have none are left out.

        Args:
            problems: A sentence is added here for each kind of wrong stamp.

        Raises:
            InputError: If images of one topic name several frames.
        """
        if len(self.frame_ids) > 1:
            raise InputError(
                f"messages of {self.topic} must be of one frame, got {sorted(self.frame_ids)}"
            )
        stamped = [f for f in self._frames if f[0] > 0]
        backwards = sum(b[0] < a[0] for a, b in pairwise(stamped))
        # Of equal stamps the first one recorded stays: sorting keeps their order.
        first: dict[int, tuple[int, int, MessagePlace]] = {}
        for frame in sorted(stamped, key=lambda f: f[0]):
            first.setdefault(frame[0], frame)
        kept = list(first.values())
        for bad, of, sentence in (
            (len(self._frames) - len(stamped), self._frames, "have no stamp and are left out"),
            (backwards, stamped, "have a stamp before that of the one recorded before"),
            (len(stamped) - len(kept), stamped, "repeat a stamp and are left out"),
        ):
            if bad:
                problems.append(f"{bad} of {len(of)} messages of {self.topic} {sentence}")
        return Stream(
            self.topic,
            next(iter(self.frame_ids), ""),
            np.array([f[0] for f in kept], dtype=np.int64),
            np.array([f[1] for f in kept], dtype=np.int64),
            tuple(f[2] for f in kept),
        )
