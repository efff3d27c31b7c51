# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which frame the worker takes, by a clock of the test's own."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from frame_rig import FakeCamera  # noqa: E402

from scenedino_ros.node import worker as worker_module  # noqa: E402
from scenedino_ros.node.failures import Failures  # noqa: E402
from scenedino_ros.node.pairing import Frame  # noqa: E402
from scenedino_ros.node.worker import FrameWorker  # noqa: E402

pytestmark = pytest.mark.ros


class Turns:
    """A worker with the frames 0 to 5 of a 10 Hz camera; the next one is due at 0.6 s."""

    def __init__(self, monkeypatch, cameras=1):
        self.now, self.taken, self._turns = 0.0, [], []
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=lambda _: None)
        monkeypatch.setattr(worker_module, "time", clock)
        self._worker = FrameWorker(
            SimpleNamespace(submit=self._turns.append),
            SimpleNamespace(process=self._process, between=lambda: False),
            Failures(self.taken.append),
            patience=0.0,
        )
        for camera in [FakeCamera() for _ in range(cameras)]:
            for number in range(6):
                self._worker.offer(camera, Frame(None, None, number, 0.1 * number))

    def _process(self, frame, camera, *, may_wait):
        self.taken.append(frame.stamp_ns)

    def at(self, now):
        """Let the worker have a turn; return the frames that were taken until then."""
        self.now = now
        self._turns.pop()()
        return self.taken


def test_a_frame_is_taken_while_the_next_one_is_farther(monkeypatch):
    assert Turns(monkeypatch).at(0.549) == [5]


def test_a_frame_is_left_for_a_next_one_that_is_nearer(monkeypatch):
    turns = Turns(monkeypatch)
    assert turns.at(0.551) == []
    assert turns.at(0.6) == []
    assert turns.at(0.63) == [5]  # which does not come


def test_frames_of_several_cameras_are_left_for_none(monkeypatch):
    assert Turns(monkeypatch, cameras=2).at(0.59) == [5]
