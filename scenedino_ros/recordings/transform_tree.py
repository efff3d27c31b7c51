# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Keeps the recent transforms between the frames of a robot, and looks them up, as tf2 does."""

import bisect
import threading
from collections.abc import Callable

import numpy as np

from scenedino_ros.core.errors import InputError, TransformError
from scenedino_ros.core.limits import FRAMES
from scenedino_ros.recordings.transform_ages import Age, TransformAges
from scenedino_ros.recordings.transforms import (
    Quaternion,
    StampedTransform,
    Vector,
    checked,
    frame_name,
    inverse,
    matrix_from_rotation,
    slerp,
)

_DEEPEST = 1000  # frames above another one: tf2's MAX_GRAPH_DEPTH


class TransformTooOldError(TransformError):
    """The time asked for is before what is still kept: waiting longer cannot help."""


class TransformTree:
    """Transforms of the last seconds, with interpolation in time and composition along the tree.

    Follows tf2's rules: every frame has one parent at a time; static transforms hold at all times;
    dynamic ones are interpolated between two stamps and never extrapolated; a frame that changes
    its parent keeps the old one until the new stamp. Methods may be called from any thread.
    Beyond tf2: a frame whose transforms are too old several times in a row starts anew, see
    `TransformAges`; and the number of frames is bounded.

    Source:
        geometry2, `tf2::BufferCore` and `tf2::TimeCache`: their behaviour, in our own code.
    """

    def __init__(
        self, horizon: float = 10.0, report: Callable[[Age, str], None] = lambda age, text: None
    ) -> None:
        """Start without any frame.

        Args:
            horizon: Largest age of a dynamic transform against the newest of its frame, seconds.
            report: Receives what is too old, and a sentence: a transform that is left out, or
                one that makes its frame start anew.

        Raises:
            InputError: If the horizon is not a positive finite number.
        """
        if not 0 < horizon < float("inf"):
            raise InputError(f"the horizon of the transforms must be > 0 s, got {horizon}")
        self._horizon_ns = int(horizon * 1e9)
        self._ages, self._report = TransformAges(self._horizon_ns), report
        self._links: dict[str, _StaticLink | _MovingLink] = {}
        self._names: set[str] = set()  # of children and parents, also of former ones
        self._lock = threading.Lock()

    def add(self, transform: StampedTransform, static: bool = False) -> bool:
        """Take in one transform.

        Args:
            transform: Child, parent, stamp, translation (metres) and quaternion.
            static: It holds at every time; its stamp is ignored.

        Returns:
            False if it is older than the horizon and was left out, else True.

        Raises:
            TransformError: If names or numbers cannot be those of a rigid transform, or there are
                too many frames.
        """
        transform = checked(transform)
        child, stamp_ns = transform.child, transform.stamp_ns
        with self._lock:
            link = self._links.get(child)
            new = {child, transform.parent} - self._names
            if len(self._names) + len(new) > FRAMES:
                raise TransformError(f"at most {FRAMES} frames are kept, so {child!r} is not")
            self._names |= new
            if static:
                self._links[child] = _StaticLink(transform)
                return True
            newest = self._ages.newest(child)
            age = self._ages.judge(child, stamp_ns)
            if age is not Age.OLD:
                if not isinstance(link, _MovingLink):
                    link = self._links[child] = _MovingLink(child)
                if age is Age.RESTART:
                    link.clear()
                link.add(transform, self._horizon_ns)
        if age is not Age.FRESH:
            self._report(age, old_sentence(child, stamp_ns, newest, age))
        return age is not Age.OLD

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """Return the transform between two frames at one time.

        Args:
            target: Frame to express points in.
            source: Frame the points are in.
            stamp_ns: Time, nanoseconds; 0 is an image without a stamp, which only static
                transforms place.

        Returns:
            (4, 4) float64 T_target_source, metres.

        Raises:
            TransformTooOldError: If that time is before what is kept.
            TransformError: If a frame is unknown, the two are not connected, the tree has a loop,
                or the newest transform is older than that time.
        """
        target, source = frame_name(target), frame_name(source)
        head = f"no transform from {source!r} to {target!r} at {seconds(stamp_ns)} s"
        if stamp_ns < 0:
            raise TransformError(f"{head}: the time must be >= 0")
        if target == source:
            return np.eye(4)
        with self._lock:
            for name in (target, source):
                self._check_known(name, head)
            try:
                return self._matrix(target, source, stamp_ns)
            except TransformTooOldError as error:
                raise TransformTooOldError(f"{head}: {error}") from None
            except TransformError as error:
                raise TransformError(f"{head}: {error}") from None

    def frames(self) -> list[str]:
        """Return the names of all frames, sorted."""
        with self._lock:
            return self._frames()

    def clear(self) -> None:
        """Forget the dynamic transforms, when time jumps back; static ones stay, as in tf2."""
        with self._lock:
            self._ages.clear()
            for link in self._links.values():
                link.clear()

    def _frames(self) -> list[str]:
        return sorted(self._names)

    def _check_known(self, name: str, head: str) -> None:
        if name in self._links:
            return
        known = self._frames()
        if not known:
            raise TransformError(f"{head}: no transform has been received")
        if name not in known:
            shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
            raise TransformError(f"{head}: frame {name!r} is unknown, there are {shown}")

    def _matrix(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        above_source, stop_source = self._walk(source, stamp_ns)
        above_target, stop_target = self._walk(target, stamp_ns)
        common = next((name for name in above_source if name in above_target), None)
        if common is None:
            stop = stop_source or stop_target
            if stop is not None:
                raise stop
            raise TransformError(
                f"they are in separate trees, below {list(above_source)[-1]!r} and "
                f"{list(above_target)[-1]!r}"
            )
        return inverse(above_target[common]) @ above_source[common]

    def _walk(
        self, frame: str, stamp_ns: int
    ) -> tuple[dict[str, np.ndarray], TransformError | None]:
        """Return T_ancestor_frame of all ancestors, nearest first, and what ended the way up."""
        T_ancestor_frame = np.eye(4)
        ancestors = {frame: T_ancestor_frame}
        name = frame
        while name in self._links:
            try:
                parent, T_parent_name = self._links[name].at(stamp_ns)
            except TransformError as error:
                return ancestors, error
            if parent in ancestors:
                loop = " -> ".join([*ancestors, parent])
                raise TransformError(f"the frames form a loop: {loop}")
            if len(ancestors) > _DEEPEST:
                above = f"more than {_DEEPEST} frames are above {frame!r}"
                return ancestors, TransformError(above)
            T_ancestor_frame = T_parent_name @ T_ancestor_frame
            ancestors[parent] = T_ancestor_frame
            name = parent
        return ancestors, None


class _StaticLink:
    def __init__(self, transform: StampedTransform) -> None:
        self._parent = transform.parent
        self._T_parent_child = matrix_from_rotation(transform.translation, transform.rotation)

    def at(self, stamp_ns: int) -> tuple[str, np.ndarray]:
        return self._parent, self._T_parent_child

    def clear(self) -> None:
        pass


class _MovingLink:
    def __init__(self, child: str) -> None:
        self._child = child
        self._stamps: list[int] = []  # ascending, as many as samples
        self._samples: list[tuple[str, Vector, Quaternion]] = []

    def add(self, transform: StampedTransform, horizon_ns: int) -> None:
        stamp = transform.stamp_ns
        sample = (transform.parent, transform.translation, transform.rotation)
        place = bisect.bisect_left(self._stamps, stamp)
        if place < len(self._stamps) and self._stamps[place] == stamp:
            self._samples[place] = sample
            return
        self._stamps.insert(place, stamp)
        self._samples.insert(place, sample)
        expired = bisect.bisect_left(self._stamps, self._stamps[-1] - horizon_ns)
        del self._stamps[:expired], self._samples[:expired]

    def at(self, stamp_ns: int) -> tuple[str, np.ndarray]:
        if not self._stamps:
            raise TransformError(f"there is none of {self._child!r} since the clock jumped back")
        if stamp_ns == 0:
            raise TransformTooOldError(
                f"{self._child!r} moves, and the stamp 0 is none: only static transforms hold"
            )
        first, last = self._stamps[0], self._stamps[-1]
        if stamp_ns > last:
            raise TransformError(
                f"the newest of {self._child!r} is at {seconds(last)} s, "
                f"{(stamp_ns - last) / 1e9:.3f} s too early"
            )
        if stamp_ns < first:
            raise TransformTooOldError(
                f"the oldest of {self._child!r} is at {seconds(first)} s, "
                f"{(first - stamp_ns) / 1e9:.3f} s too late"
            )
        place = bisect.bisect_right(self._stamps, stamp_ns) - 1
        parent, move, turn = self._samples[place]
        if self._stamps[place] != stamp_ns and self._samples[place + 1][0] == parent:
            start, end = self._stamps[place], self._stamps[place + 1]
            ratio = (stamp_ns - start) / (end - start)
            _, next_move, next_turn = self._samples[place + 1]
            x, y, z = (a + ratio * (b - a) for a, b in zip(move, next_move, strict=True))
            move, turn = (x, y, z), slerp(turn, next_turn, ratio)
        return parent, matrix_from_rotation(move, turn)

    def clear(self) -> None:
        self._stamps.clear()
        self._samples.clear()


def old_sentence(child: str, stamp_ns: int, newest_ns: int, age: Age) -> str:
    """Return what is done with a transform that is older than all that is kept.

    Args:
        child: The frame that it places.
        stamp_ns: Its stamp, nanoseconds.
        newest_ns: The newest stamp of that frame, nanoseconds.
        age: What it is.
    """
    gap = (newest_ns - stamp_ns) / 1e9
    late = f"{seconds(stamp_ns)} s is {gap:.3f} s before the newest one of {child!r}"
    if age is Age.OLD:
        return f"a transform is left out: {late}"
    return (
        f"the transforms of {child!r} start anew: {late}, as the two before it; time jumped back, "
        "or the newest one was stamped ahead of time"
    )


def seconds(stamp_ns: int) -> str:
    """Return nanoseconds as seconds with all nine decimals, which a float would round."""
    whole, rest = divmod(stamp_ns, 1_000_000_000)
    return f"{whole}.{rest:09d}"
