# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The clock of the player, linear between pauses, and transforms that stay right over pauses."""

from scenedino_ros.recordings.tf_cdr import cdr_from_transforms, transforms_from_cdr
from scenedino_ros.recordings.transforms import StampedTransform

_LONGEST_MARGIN_NS = 100_000_000


class PlayClock:
    """Maps recorded stamps to the time of playing: linear between pauses.

    Within a stretch without a pause, the distances of all stamps are kept (or scaled), so
    transforms interpolate exactly as in the recording.
    """

    def __init__(self, scale: float) -> None:
        """Start without a recorded time that belongs to a time of playing.

        Args:
            scale: Seconds of playing per recorded second.
        """
        self._scale = scale
        self._recorded_ns = 0
        self._played_ns = 0

    def meet(self, recorded_ns: int, played_ns: int) -> None:
        """Relate a recorded time to a time of playing, from now on."""
        self._recorded_ns, self._played_ns = recorded_ns, played_ns

    def play_ns(self, recorded_ns: int) -> int:
        """Return when something recorded is played, nanoseconds."""
        return self._played_ns + self.scaled(recorded_ns - self._recorded_ns)

    def scaled(self, recorded_ns: int) -> int:
        """Return how long something of a recorded duration is played, nanoseconds."""
        return round(recorded_ns * self._scale)


class PlayedTransforms:
    """Gives recorded transforms the stamps of playing.

    Images wait for the node, so the clock stops at times. Transforms that had been played before
    a pause would then be too early for the images after it, and the way between two of them
    would be stretched over the pause. So those that an image needs are played again after it.
    """

    def __init__(self, clock: PlayClock) -> None:
        """Begin without transforms.

        Args:
            clock: Relates the two times.
        """
        self._clock = clock
        self._recent: list[StampedTransform] = []
        self._newest_play_ns = 0

    def forget(self) -> None:
        """Forget the recorded ones: the recording begins anew."""
        self._recent.clear()

    def remember(self, data: bytes) -> None:
        """Take in a serialized TFMessage that is not played yet."""
        self._recent += transforms_from_cdr(data)

    def played(self, data: bytes) -> bytes:
        """Take in a serialized TFMessage; return it with the stamps of playing."""
        transforms = transforms_from_cdr(data)
        self._recent += transforms
        return self._moved(transforms)

    def earliest_restart(self, recorded_ns: int) -> int:
        """Return when the clock may resume with an image, so that only its own transforms count.

        Args:
            recorded_ns: Stamp of the image in the recording.

        Returns:
            A time of playing, nanoseconds: none of the transforms played before may come between
            the two around the image.
        """
        before = [t.stamp_ns for t in needed_from(self._recent, recorded_ns)]
        reach = recorded_ns - min(before, default=recorded_ns)
        # One that comes seldom hardly moves in a pause, and need not be waited for.
        margin = min(self._clock.scaled(max(reach, 0)), _LONGEST_MARGIN_NS)
        return self._newest_play_ns + margin + 1

    def again(self, recorded_ns: int) -> bytes:
        """Return the transforms around an image and after it, with the clock's stamps of now.

        Args:
            recorded_ns: Stamp of the image in the recording.

        Returns:
            A serialized TFMessage; empty: there are none.
        """
        self.trim(recorded_ns)
        return self._moved(self._recent) if self._recent else b""

    def trim(self, recorded_ns: int) -> None:
        """Forget what no image from this stamp on needs."""
        self._recent = needed_from(self._recent, recorded_ns)

    def _moved(self, transforms: list[StampedTransform]) -> bytes:
        moved = [t._replace(stamp_ns=self._clock.play_ns(t.stamp_ns)) for t in transforms]
        self._newest_play_ns = max([self._newest_play_ns, *(t.stamp_ns for t in moved)])
        return cdr_from_transforms(moved)


def needed_from(transforms: list[StampedTransform], recorded_ns: int) -> list[StampedTransform]:
    """Return what is needed to interpolate from a time on, in the order of the stamps.

    Args:
        transforms: In any order.
        recorded_ns: The time, nanoseconds.

    Returns:
        For each frame its last transform at or before that time, and all later ones.
    """
    ordered = sorted(transforms, key=lambda transform: transform.stamp_ns)
    last_before = {t.child: t for t in ordered if t.stamp_ns <= recorded_ns}
    later = [t for t in ordered if t.stamp_ns > recorded_ns]
    return [*sorted(last_before.values(), key=lambda t: t.stamp_ns), *later]
