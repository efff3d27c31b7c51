# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The worker inside this process: frames that must not get lost, failures that must not end it."""

import threading
import time
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from ros_rig import DEADLINE, wait_for  # noqa: E402

from scenedino_ros.node.compute_thread import ComputeThread  # noqa: E402
from scenedino_ros.node.failures import Failures  # noqa: E402
from scenedino_ros.node.pairing import Frame  # noqa: E402
from scenedino_ros.node.skip_log import SkipLog  # noqa: E402
from scenedino_ros.node.statistics import (  # noqa: E402
    FrameNotReadyError,
    FrameSkippedError,
    FrameStatistics,
    Reason,
    Stage,
)
from scenedino_ros.node.worker import FrameWorker  # noqa: E402

pytestmark = pytest.mark.ros

FRAME = Frame("image", "info", 0, 0.0)


class ListLogger:
    """Keeps what a logger is told."""

    def __init__(self):
        self.lines = []

    def warning(self, line):
        self.lines.append(line)


class CountingCamera:
    """What a worker needs of a camera."""

    def __init__(self):
        self.statistics, self.logger = FrameStatistics(), ListLogger()
        self.skips = SkipLog(self.statistics, self.logger.warning)


class Steps:
    """What a worker does with frames, as a `FrameProcessor` would."""

    def __init__(self, process, between=lambda: False, is_ready=lambda frame: True):
        self._process, self.between, self._is_ready = process, between, is_ready

    def process(self, frame, camera, *, may_wait):
        if may_wait and not self._is_ready(frame):
            raise FrameNotReadyError("not yet")
        self._process(frame)


@pytest.fixture
def make_worker():
    workers = []

    def make(process, *others, patience=0.0, failures=None):
        failures = failures or Failures(print)
        worker = FrameWorker(ComputeThread(), Steps(process, *others), failures, patience)
        workers.append(worker)
        return worker, CountingCamera()

    yield make
    for worker in workers:
        assert worker.stop(DEADLINE)


def test_a_frame_that_cannot_be_used_is_counted_and_the_next_one_processed(make_worker):
    done = []

    def process(frame):
        if frame.image == "bad":
            raise FrameSkippedError(Reason.BAD_IMAGE, "it is bad")
        done.append(frame.image)

    worker, camera = make_worker(process)
    statistics, logger = camera.statistics, camera.logger
    for turn in range(3):
        worker.offer(camera, Frame("bad", "info", turn, 0.0))
        wait_for(lambda n=turn: statistics.snapshot().drops.get(Reason.BAD_IMAGE) == n + 1)
    worker.offer(camera, Frame("good", "info", 9, 0.0))
    wait_for(lambda: done == ["good"])
    assert logger.lines == ["image skipped, bad image: it is bad"]
    assert statistics.snapshot().last_problem == "it is bad"
    worker.raise_failure()


def test_a_slow_frame_delays_only_itself(make_worker):
    at_work, go_on, done = threading.Event(), threading.Event(), []

    def process(frame):
        at_work.set()
        go_on.wait(DEADLINE)
        done.append(frame.stamp_ns)

    worker, camera = make_worker(process)
    statistics, logger = camera.statistics, camera.logger
    worker.offer(camera, Frame("image", "info", 0, 0.0))
    at_work.wait(DEADLINE)
    for stamp_ns in range(1, 6):
        worker.offer(camera, Frame("image", "info", stamp_ns, 0.0))
    assert statistics.snapshot().busy_since is not None
    assert not worker.stop(0.01)
    go_on.set()
    assert worker.stop(DEADLINE)
    assert done == [0]
    now = statistics.snapshot()
    assert now.drops == {Reason.REPLACED: 4}
    assert now.busy_since is None
    assert Stage.WAIT in now.latencies
    assert logger.lines == []


@pytest.mark.parametrize(
    ("free_at", "done"),
    [
        (4.45, [0, 4]),  # the next one is due in 0.55 s, and this one has waited for 0.45 s
        (4.55, [0, 5]),  # 0.45 s, 0.55 s
        (5.3, [0, 4]),  # it was due too long ago
    ],
)
def test_a_frame_is_left_for_a_next_one_that_is_nearer(make_worker, monkeypatch, free_at, done):
    at_work, go_on, processed, now = threading.Event(), threading.Event(), [], [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep)
    monkeypatch.setattr("scenedino_ros.node.worker.time", clock)

    def process(frame):
        processed.append(frame.stamp_ns)
        at_work.set()
        go_on.wait(DEADLINE)

    worker, camera = make_worker(process)
    worker.offer(camera, Frame("image", "info", 0, 0.0))
    at_work.wait(DEADLINE)
    for second in range(1, 5):  # one image a second
        worker.offer(camera, Frame("image", "info", second, float(second)))
    now[0] = free_at
    go_on.set()
    if done[-1] == 5:
        wait_for(lambda: camera.statistics.snapshot().busy_since is None)
        time.sleep(0.05)  # some of its looks
        assert processed == [0]
        now[0] = 5.0
        worker.offer(camera, Frame("image", "info", 5, 5.0))
    wait_for(lambda: processed == done)


def test_a_worker_that_is_woken_replaces_no_frame(make_worker):
    at_work, go_on, log = threading.Event(), threading.Event(), []

    def process(frame):
        at_work.set()
        go_on.wait(DEADLINE)
        log.append(frame.stamp_ns)

    worker, camera = make_worker(process, lambda: log.append("between"))
    worker.wake()
    wait_for(lambda: log == ["between"])
    worker.offer(camera, Frame("image", "info", 1, 0.0))
    at_work.wait(DEADLINE)
    worker.wake()
    worker.offer(camera, Frame("image", "info", 2, 0.0))
    worker.wake()
    go_on.set()
    wait_for(lambda: log == ["between", 1, "between", "between", 2, "between"])
    assert worker.stop(DEADLINE)
    assert not camera.statistics.snapshot().drops


def test_cameras_take_turns_and_each_counts_its_own_frames(make_worker):
    at_work, go_on, done = threading.Event(), threading.Event(), []

    def process(frame):
        at_work.set()
        go_on.wait(DEADLINE)
        done.append(frame.image)

    worker, fast = make_worker(process)
    slow, silent = CountingCamera(), CountingCamera()
    worker.offer(fast, Frame("fast 0", "info", 0, 0.0))
    at_work.wait(DEADLINE)
    worker.offer(fast, Frame("fast 1", "info", 1, 0.0))
    worker.offer(slow, Frame("slow 0", "info", 0, 0.0))
    for number in range(2, 6):
        worker.offer(fast, Frame(f"fast {number}", "info", number, 0.0))
    assert [worker.waits(camera) for camera in (fast, slow, silent)] == [True, True, False]
    go_on.set()
    wait_for(lambda: len(done) == 3)
    assert done == ["fast 0", "fast 5", "slow 0"]
    assert fast.statistics.snapshot().drops == {Reason.REPLACED: 4}
    assert slow.statistics.snapshot().drops == {}
    assert not worker.waits(slow)


def test_frames_that_wait_when_a_pause_begins_are_counted_as_paused(make_worker):
    at_work, go_on, done = threading.Event(), threading.Event(), []

    def process(frame):
        at_work.set()
        go_on.wait(DEADLINE)
        done.append(frame.image)

    worker, front = make_worker(process)
    left = CountingCamera()
    worker.offer(front, Frame("front 0", "info", 0, 0.0))
    at_work.wait(DEADLINE)
    worker.offer(front, Frame("front 1", "info", 1, 0.0))
    worker.offer(left, Frame("left 0", "info", 0, 0.0))
    worker.discard(Reason.PAUSED, "the node is paused")
    go_on.set()
    assert worker.stop(DEADLINE)
    assert done == ["front 0"]
    for camera in (front, left):
        now = camera.statistics.snapshot()
        assert (now.drops, now.last_problem) == ({Reason.PAUSED: 1}, "")
        assert camera.logger.lines == []


def test_whatever_one_frame_raises_the_next_one_is_answered(make_worker):
    done, log = [], []

    def process(frame):
        if frame.image == "bad":
            raise ZeroDivisionError("a bug \x1b[2J" + "x" * 10_000)
        done.append(frame.image)

    failures = Failures(log.append)
    worker, camera = make_worker(process, failures=failures)
    for turn in range(3):
        worker.offer(camera, Frame("bad", "info", turn, 0.0))
        wait_for(lambda n=turn: camera.statistics.snapshot().drops.get(Reason.FAILED) == n + 1)
    worker.offer(camera, Frame("good", "info", 9, 0.0))
    wait_for(lambda: done == ["good"])
    worker.raise_failure()
    (trace,) = log  # the cause is the same three times
    assert "an image failed, and the node goes on" in trace
    assert "in process" in trace
    assert failures.counted()[0] == 3
    problem = camera.statistics.snapshot().last_problem
    assert problem.startswith(r"ZeroDivisionError: a bug \x1b[2Jxxx")
    assert len(problem) < 400
    (warning,) = camera.logger.lines
    assert warning.startswith("image skipped, failed: ZeroDivisionError")


def test_a_log_that_cannot_be_written_ends_nothing(make_worker):
    done = []

    def process(frame):
        if frame.image == "bad":
            raise FrameSkippedError(Reason.BAD_IMAGE, "it is bad")
        done.append(frame.image)

    failures = Failures(lambda text: 1 / 0)
    worker, camera = make_worker(process, failures=failures)
    camera.skips._warn = lambda text: 1 / 0
    worker.offer(camera, Frame("bad", "info", 0, 0.0))
    wait_for(lambda: failures.counted()[0] == 1)
    worker.offer(camera, Frame("good", "info", 1, 0.0))
    wait_for(lambda: done == ["good"])
    worker.raise_failure()


def test_tracebacks_of_ever_new_causes_are_bounded(make_worker):
    log = []
    failures = Failures(log.append)
    for number in range(50):
        kind = type(f"Error{number}", (Exception,), {})
        try:
            raise kind("new")
        except Exception as error:
            failures.note("a callback", error)
    assert failures.counted() == (50, "a callback: test_frame_worker.Error49: new")
    assert len(log) == 20


def test_what_fails_between_frames_is_noted_and_the_next_frame_answered(make_worker):
    done, failures = [], Failures(print)
    worker, camera = make_worker(
        lambda frame: done.append(frame.stamp_ns), lambda: 1 / 0, failures=failures
    )
    worker.wake()
    wait_for(lambda: failures.counted()[0] == 1)
    worker.offer(camera, FRAME)
    wait_for(lambda: failures.counted()[0] == 2)
    assert done == [0]
    assert worker.between_since() is None
    assert "the work between two images: ZeroDivisionError" in failures.counted()[1]


def test_what_is_no_exception_ends_the_worker_and_reaches_the_main_thread(make_worker):
    def process(frame):
        raise SystemExit("enough")

    worker, camera = make_worker(process)
    worker.raise_failure()
    worker.offer(camera, FRAME)
    with pytest.raises(SystemExit, match="enough"):
        wait_for(worker.raise_failure)


def test_a_frame_that_is_not_ready_is_held_while_other_cameras_are_answered(make_worker):
    """It keeps its place although newer frames of its camera come, until its time is over."""
    done, ready = [], threading.Event()
    worker, late = make_worker(
        lambda frame: done.append(frame.image),
        lambda: False,
        lambda frame: not frame.image.startswith("late") or ready.is_set(),
        patience=DEADLINE,
    )
    prompt, now = CountingCamera(), time.monotonic()
    worker.offer(late, Frame("late 0", "info", 0, now))
    wait_for(lambda: not worker.waits(late))
    for number in range(3):
        worker.offer(prompt, Frame(f"prompt {number}", "info", number, now))
        wait_for(lambda n=number: len(done) == n + 1)
        worker.offer(late, Frame(f"late {number + 1}", "info", number + 1, now))
    assert done == ["prompt 0", "prompt 1", "prompt 2"]
    ready.set()
    wait_for(lambda: len(done) == 5)
    assert done[3:] == ["late 0", "late 3"]
    assert late.statistics.snapshot().drops == {Reason.REPLACED: 2}


def test_a_frame_is_not_held_longer_than_its_patience(make_worker):
    done = []
    worker, camera = make_worker(
        lambda frame: done.append(frame.image), lambda: False, lambda frame: False, patience=0.05
    )
    worker.offer(camera, Frame("image", "info", 0, time.monotonic()))
    wait_for(lambda: done == ["image"])
    now = camera.statistics.snapshot()
    assert now.latencies[Stage.WAIT][0] >= 0.05


def test_a_held_frame_is_paused_and_stopped_like_one_that_waits(make_worker):
    worker, camera = make_worker(
        lambda frame: None, lambda: False, lambda frame: False, patience=DEADLINE
    )
    worker.offer(camera, Frame("image", "info", 0, time.monotonic()))
    wait_for(lambda: not worker.waits(camera))
    wait_for(lambda: worker._held)
    worker.discard(Reason.PAUSED, "the node is paused")
    assert camera.statistics.snapshot().drops == {Reason.PAUSED: 1}
    worker.offer(camera, Frame("image", "info", 1, time.monotonic()))
    wait_for(lambda: worker._held)
    assert worker.stop(DEADLINE)
    assert not worker._held
