# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Rates of a run: what is prediction, what is scoring, and what is neither."""

import pytest

from scenedino_ros.evaluation.speed import ItemTime, Speed, Stopwatch, speed_of


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stopwatch_tells_prediction_from_scoring() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    clock.now += 50
    watch.start()
    clock.now += 1
    with watch.pausing():
        clock.now += 30
    for _ in range(2):
        with watch.predicting():
            clock.now += 4
    clock.now += 2
    assert watch.read() == (8, 3)
    watch.start()
    clock.now += 1
    assert watch.read() == (0, 1)


def test_a_failed_prediction_is_no_part_of_the_next_item() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def fail() -> None:
        clock.now += 5
        raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"), watch.predicting():
        fail()
    assert watch.read() == (5, 0)
    watch.start()
    assert watch.read() == (0, 0)


def test_rates_are_those_of_one_process() -> None:
    speed = speed_of([ItemTime(4, 0.5, 2), ItemTime(0, 0.25, 2), ItemTime(6, 0.75, 2)])
    assert speed == Speed(prediction=0.2, scoring=2, predicted=2, scored=3, processes=(2, 2))
    assert speed.line("frames") == (
        "0.2 frames/s of prediction (of 2 frames), 2 frames/s of scoring alone, "
        "in each of 2 processes"
    )


def test_rates_of_scoring_alone_and_of_nothing() -> None:
    speed = speed_of([ItemTime(0, 0.5, 1), ItemTime(0, 0.5, 1)])
    assert speed is not None
    assert speed.prediction is None
    assert speed.line("images") == (
        "2 images/s of scoring alone, in one process; no prediction, all were stored"
    )
    mixed = speed_of([ItemTime(1, 1, 1), ItemTime(1, 1, 8)])
    assert mixed is not None
    assert mixed.line("pairs").endswith("in each of 1 to 8 processes")
    assert speed_of([]) is None
