# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts frames by outcome and reason, and times their stages.

The keys under which /diagnostics reports the numbers are defined here; programs read them by key.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import numpy as np

from scenedino_ros.core.errors import DeviceMemoryError, OutOfMemoryError, SceneDinoError

_WINDOW = 500  # latest samples of each stage that the percentiles are taken from
PERCENTILES = (50, 95, 99)
IMAGES_IN, IMAGES_OUT = "images in", "images out"  # keys of counts in the diagnostics
UNTRAINED_WEIGHTS = "untrained weights"  # key of true or false in the diagnostics

# Outside of this, in seconds, the stamps come from another clock than the node's. A little below
# zero is possible: a simulated clock moves in steps.
_PLAUSIBLE_LATENCY = (-1.0, 60.0)


class Reason(str, Enum):
    """Why an image was not used; the value is its name for people."""

    REPLACED = "replaced by a newer image"
    NO_INFO = "no camera_info"
    TIME_BACKWARDS = "time ran backwards"
    BAD_IMAGE = "bad image"
    BAD_INFO = "bad camera_info"
    MISMATCH = "image and camera_info do not fit"
    NO_TRANSFORM = "no transform"
    DEVICE_MEMORY = "out of device memory"
    MEMORY = "out of memory"
    FAILED = "failed"  # an exception that nobody foresaw
    PAUSED = "paused"

    @property
    def is_problem(self) -> bool:
        """Whether something is wrong; a newer image is how a slow network keeps up."""
        return self not in (Reason.REPLACED, Reason.PAUSED)

    @property
    def key(self) -> str:
        """Key of the number of such images in the diagnostics."""
        return f"dropped: {self.value}"


def memory_reason(error: OutOfMemoryError) -> Reason:
    """Return the reason that exhausted memory is counted under."""
    return Reason.DEVICE_MEMORY if isinstance(error, DeviceMemoryError) else Reason.MEMORY


class Stage(str, Enum):
    """Where the time of a frame goes; the value is its name for people."""

    WAIT = "wait"  # for the frame before it, and for a transform that is late
    DECODE = "decode"
    TRANSFORM = "transform"
    ENCODE = "encode"
    VOXELS = "voxels"
    RENDER = "render"
    GRID_MESSAGES = "grid messages"  # building and publishing cloud and markers
    VIEW_MESSAGES = "view messages"  # building and publishing the rendered images
    MAP = "map"  # fusing the image
    MAP_MESSAGES = "map messages"  # building and publishing the map, at its own rate
    ARRIVAL_TO_PUBLISH = "arrival to publish"
    STAMP_TO_PUBLISH = "stamp to publish"

    def key(self, percentile: int) -> str:
        """Return the key of one of its `PERCENTILES`, milliseconds, in the diagnostics."""
        return f"{self.value} p{percentile} [ms]"


class FrameSkippedError(SceneDinoError):
    """One frame cannot be used, for a reason that is counted."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class FrameNotReadyError(SceneDinoError):
    """One frame cannot be processed yet, but perhaps in a moment."""


@dataclass(frozen=True)
class Snapshot:
    """The statistics at one moment; all times in seconds of `time.monotonic`.

    Attributes:
        time: When it was taken.
        images: Images that arrived.
        infos: CameraInfo messages that arrived.
        encoded: Images that went through the network.
        done: Images of which all that was wanted has been published.
        unwanted: Images that were not processed because no output had a subscriber.
        drops: Images not used, by reason.
        published: Messages by output.
        cubes_left_out: Cubes above the cap, in the last marker message.
        first_image: When the first image arrived, or None.
        first_done: When the first one was finished, or None.
        last_image: When the last image arrived, or None.
        last_done: When the last one was finished, or None.
        last_unwanted: When the last one was not processed for that, or None.
        busy_since: When the image at work was begun, or None.
        busy_stamp_ns: Its stamp, nanoseconds.
        busy_stage: The stage that it is in; empty: in none.
        last_problem: The last reason that is a problem, as a sentence.
        last_problem_time: When that was, or None.
        latencies: (p50, p95, p99) in seconds by stage, where there are samples.
        clock_offset: Newest stamp-to-publish time that is no latency, seconds, or None.
        found_nothing: Why the last grid has no occupied voxel, a sentence; empty: it has some.
        missing: Images that never arrived, by the stamps of those that did.
        lost: Images that the middleware reports as lost.
    """

    time: float
    images: int
    infos: int
    encoded: int
    done: int
    unwanted: int
    drops: dict[Reason, int]
    published: dict[str, int]
    cubes_left_out: int
    first_image: float | None
    first_done: float | None
    last_image: float | None
    last_done: float | None
    last_unwanted: float | None
    busy_since: float | None
    busy_stamp_ns: int
    busy_stage: str
    last_problem: str
    last_problem_time: float | None
    latencies: dict[Stage, tuple[float, ...]]
    clock_offset: float | None
    found_nothing: str
    missing: int
    lost: int


class FrameStatistics:
    """Counts and times, written by the callbacks' thread and the worker's."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._drops: Counter[Reason] = Counter()
        self._published: Counter[str] = Counter()
        self._samples: dict[Stage, deque[float]] = {s: deque(maxlen=_WINDOW) for s in Stage}
        self._times: dict[str, float | None] = dict.fromkeys(
            ("first image", "first done", "image", "done", "unwanted", "busy", "problem")
        )
        self._problem = ""
        self._busy_stamp_ns, self._stage = 0, ""
        self._cubes_left_out = 0
        self._clock_offset: float | None = None
        self._found_nothing = ""

    def image_arrived(self) -> float:
        """Count an image; return the time, seconds of `time.monotonic`."""
        with self._lock:
            self._counts["images"] += 1
            self._times["image"] = now = time.monotonic()
            if self._times["first image"] is None:
                self._times["first image"] = now
        return now

    def info_arrived(self) -> None:
        """Count a CameraInfo."""
        with self._lock:
            self._counts["infos"] += 1

    def missed(self, count: int) -> None:
        """Count images that never arrived, by the stamps of those that did."""
        with self._lock:
            self._counts["missing"] += count

    def lost(self, count: int) -> None:
        """Count images that the middleware reports as lost."""
        with self._lock:
            self._counts["lost"] += count

    def dropped(self, reason: Reason, sentence: str) -> None:
        """Count an image that is not used; the sentence explains it in the diagnostics."""
        with self._lock:
            self._drops[reason] += 1
            if reason.is_problem:
                self._problem, self._times["problem"] = sentence, time.monotonic()

    def begun(self, stamp_ns: int) -> None:
        """Note that the image with a stamp, nanoseconds, is being worked on."""
        with self._lock:
            self._times["busy"], self._busy_stamp_ns = time.monotonic(), stamp_ns

    def ended(self) -> None:
        """Note that nothing is being worked on."""
        with self._lock:
            self._times["busy"] = None

    def unwanted(self) -> None:
        """Count an image that is not processed because no output has a subscriber."""
        with self._lock:
            self._counts["unwanted"] += 1
            self._times["unwanted"] = time.monotonic()

    def encoded(self) -> None:
        """Count an image that went through the network."""
        with self._lock:
            self._counts["encoded"] += 1

    def published(self, output: str) -> None:
        """Count a message of one output."""
        with self._lock:
            self._published[output] += 1

    def cubes_left_out(self, count: int) -> None:
        """Note how many cubes the last marker message had too many."""
        with self._lock:
            self._cubes_left_out = count

    def found_nothing(self, sentence: str) -> None:
        """Note why the newest grid has no occupied voxel; empty: it has some."""
        with self._lock:
            self._found_nothing = sentence

    def done(self, arrival: float, since_stamp: float | None) -> None:
        """Count an image of which all that was wanted has been published.

        Args:
            arrival: When it arrived, seconds of `time.monotonic`.
            since_stamp: Time since its stamp by the node's clock, seconds. Where that cannot be a
                latency (a recording played by another clock), it becomes the clock offset. None:
                the image has no stamp.
        """
        with self._lock:
            now = time.monotonic()
            self._counts["done"] += 1
            self._times["done"] = now
            if self._times["first done"] is None:
                self._times["first done"] = now
            self._samples[Stage.ARRIVAL_TO_PUBLISH].append(now - arrival)
            if since_stamp is None:
                self._clock_offset = None
                return
            low, high = _PLAUSIBLE_LATENCY
            plausible = low <= since_stamp <= high
            self._clock_offset = None if plausible else since_stamp
            if plausible:
                self._samples[Stage.STAMP_TO_PUBLISH].append(since_stamp)

    def took(self, stage: Stage, seconds: float) -> None:
        """Add the time one stage took for one image."""
        with self._lock:
            self._samples[stage].append(seconds)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the time the body takes to a stage, if it ends without an exception."""
        start = time.monotonic()
        self._stage = stage.value
        try:
            yield
        finally:
            self._stage = ""
        self.took(stage, time.monotonic() - start)

    def snapshot(self) -> Snapshot:
        """Return the statistics of this moment."""
        with self._lock:
            return Snapshot(
                time=time.monotonic(),
                images=self._counts["images"],
                infos=self._counts["infos"],
                encoded=self._counts["encoded"],
                done=self._counts["done"],
                unwanted=self._counts["unwanted"],
                drops=dict(self._drops),
                published=dict(self._published),
                cubes_left_out=self._cubes_left_out,
                first_image=self._times["first image"],
                first_done=self._times["first done"],
                last_image=self._times["image"],
                last_done=self._times["done"],
                last_unwanted=self._times["unwanted"],
                busy_since=self._times["busy"],
                busy_stamp_ns=self._busy_stamp_ns,
                busy_stage=self._stage,
                last_problem=self._problem,
                last_problem_time=self._times["problem"],
                latencies={
                    stage: tuple(np.percentile(samples, PERCENTILES).tolist())
                    for stage, samples in self._samples.items()
                    if samples
                },
                clock_offset=self._clock_offset,
                found_nothing=self._found_nothing,
                missing=self._counts["missing"],
                lost=self._counts["lost"],
            )
