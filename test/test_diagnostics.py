# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts, latencies, and the sentence that says why nothing comes out."""

import dataclasses
import mmap
import threading
import time

import numpy as np
import pytest

from scenedino_ros.core.memory import resident_memory
from scenedino_ros.node.health import Level, Situation, judge
from scenedino_ros.node.stamp_gaps import StampGaps
from scenedino_ros.node.start_times import StartTimes, process_age
from scenedino_ros.node.statistics import FrameStatistics, Reason, Stage

STEPS = ("PyTorch", "waiting for an image", "first image")
NOW = 1000.0
EMPTY = dataclasses.replace(FrameStatistics().snapshot(), time=NOW)


def situation(before=None, *, now=None, **changes) -> Situation:
    """Return a node that has been active for 100 s and last reported 1 s ago."""
    snapshot = dataclasses.replace(EMPTY, **(now or {}))
    earlier = dataclasses.replace(EMPTY, time=NOW - 1.0, **(before or {}))
    values = {
        "before": earlier,
        "now": snapshot,
        "active_since": NOW - 100.0,
        "paused_since": None,
        "state": "active",
        "image_topic": "/image",
        "info_topic": "/camera_info",
        "image_publishers": 1,
        "info_publishers": 1,
        "subscribed": True,
        "waits": False,
        "stale_after": 2.0,
        "is_calibrated": True,
    }
    return Situation(**{**values, **changes})


RUNNING = {"images": 10, "infos": 10, "last_image": NOW - 0.1, "last_done": NOW - 0.1, "done": 10}
STARVED = {"images": 10, "infos": 10, "last_image": NOW - 0.1, "last_done": NOW - 50.0, "done": 1}
PROBLEM = {"last_problem": "the reason", "last_problem_time": NOW - 0.2}


@pytest.mark.parametrize(
    ("given", "level", "words"),
    [
        ({"active_since": None, "state": "inactive"}, Level.WARN, "the node is inactive, not act"),
        ({"active_since": NOW - 1.0}, Level.OK, "waiting for the first image"),
        ({"paused_since": NOW - 7.0}, Level.OK, "paused for 7.0 s: images are dropped until"),
        ({"now": STARVED, "paused_since": NOW - 7.0}, Level.OK, "paused for 7.0 s"),
        (
            {"active_since": None, "state": "inactive", "paused_since": NOW},
            Level.WARN,
            "not active",
        ),
        ({"now": {**RUNNING, "drops": {Reason.PAUSED: 5}}}, Level.OK, "10.0 images/s"),
        ({"image_publishers": 0}, Level.STALE, "nobody publishes /image"),
        ({}, Level.STALE, "no image on /image for 100.0 s, although it has 1 publisher"),
        ({"now": RUNNING}, Level.OK, "10.0 images/s"),
        ({"now": RUNNING, "before": {"done": 10}}, Level.OK, "running"),
        ({"now": {**RUNNING, "drops": {Reason.REPLACED: 5}}}, Level.OK, "10.0 images/s"),
        ({"now": {**RUNNING, "found_nothing": "0 voxels: why"}}, Level.WARN, "0 voxels: why"),
        (
            {"now": {**RUNNING, **PROBLEM, "drops": {Reason.BAD_IMAGE: 1}}},
            Level.WARN,
            "1 image was skipped: the reason",
        ),
        (
            {
                "now": {**RUNNING, **PROBLEM, "drops": {Reason.BAD_IMAGE: 3}},
                "before": {"drops": {Reason.BAD_IMAGE: 1}},
            },
            Level.WARN,
            "2 images were skipped: the reason",
        ),
        (
            {"now": {**RUNNING, "missing": 5, "lost": 5}},
            Level.WARN,
            "5 of 15 images did not arrive, by the stamps of the others: the middleware lost",
        ),
        (
            {"now": {**RUNNING, "missing": 6}, "before": {"missing": 2}},
            Level.WARN,
            "4 of 14 images did not arrive, by the stamps of the others: the camera left them",
        ),
        ({"now": {**RUNNING, "missing": 2}}, Level.OK, "10.0 images/s"),
        (
            {"image_publishers": 0, "image_hint": "/image/compressed is published"},
            Level.STALE,
            "nobody publishes /image; /image/compressed is published",
        ),
        (
            {
                "now": STARVED,
                "is_calibrated": False,
                "info_hint": "/left/camera_info is published",
            },
            Level.ERROR,
            "no camera_info has come on /camera_info; /left/camera_info is published",
        ),
        ({"now": {**RUNNING, "clock_offset": 3600.0}}, Level.WARN, "3600.0 s behind the node's"),
        (
            {"now": {**RUNNING, "clock_offset": -5.0}},
            Level.WARN,
            "5.0 s ahead of the node's clock: the clocks of camera and node differ, or use_sim",
        ),
        (
            {"now": {"lost": 7}, "image_hint": "look there"},
            Level.STALE,
            "although it has 1 publisher(s): the middleware lost them",
        ),
        (
            {"now": {"images": 9, "last_image": NOW - 50.0}, "image_hint": "look there"},
            Level.STALE,
            "1 publisher(s): the camera has stopped, or large best-effort messages are lost on "
            "the way, or it is slower than diagnostics.stale_after; or look there",
        ),
        (
            {
                "now": {**STARVED, "last_unwanted": NOW - 0.1},
                "before": {"done": 1},
                "subscribed": False,
            },
            Level.OK,
            "nobody subscribes",
        ),
        ({"now": STARVED, "subscribed": False}, Level.OK, "nobody subscribes"),
        (
            {"now": STARVED, "is_calibrated": False, "info_publishers": 0},
            Level.ERROR,
            "images arrive, but nobody publishes /camera_info",
        ),
        (
            {"now": STARVED, "is_calibrated": False},
            Level.ERROR,
            "images arrive, but no camera_info has come on /camera_info",
        ),
        ({"now": {**STARVED, **PROBLEM}}, Level.ERROR, "no image can be used: the reason"),
        (
            {"now": {**STARVED, "busy_since": NOW - 4.0}},
            Level.WARN,
            "one image has been worked on for 4.0 s",
        ),
        (
            {
                "now": {
                    **STARVED,
                    "busy_since": NOW - 30.0,
                    "busy_stamp_ns": 7_250_000_000,
                    "busy_stage": "encode",
                },
                "image_publishers": 0,
                "paused_since": NOW - 7.0,
            },
            Level.ERROR,
            "the image with the stamp 7.250000 s has been worked on for 30.0 s, in the stage enc",
        ),
        (
            {"now": {**STARVED, "busy_since": NOW - 30.0}},
            Level.ERROR,
            "the image with the stamp 0.000000 s has been worked on for 30.0 s",
        ),
        (
            {
                "now": {**RUNNING, **PROBLEM, "drops": {Reason.FAILED: 3}},
                "before": {"drops": {Reason.FAILED: 1}},
            },
            Level.ERROR,
            "2 images failed, see the log; last problem: the reason",
        ),
        (
            {"now": STARVED, "waits": True},
            Level.WARN,
            "images have waited for 50.0 s while other cameras' were worked on",
        ),
        ({"now": STARVED}, Level.ERROR, "none has its camera_info"),
        (
            {"now": {**STARVED, "last_image": NOW - 40.0}},
            Level.STALE,
            "no image on /image for 40.0 s",
        ),
    ],
)
def test_the_verdict_names_the_reason(given, level, words):
    verdict = judge(situation(**given))
    assert verdict.level == level
    assert words in verdict.message


def test_an_old_problem_is_not_todays_reason():
    old = {**STARVED, "last_problem": "the reason", "last_problem_time": NOW - 60.0}
    assert "the reason" not in judge(situation(now=old)).message


def test_only_silence_has_a_name():
    assert judge(situation(now=RUNNING)).silence == ""
    assert judge(situation(active_since=NOW - 1.0)).silence == ""
    silent = [
        judge(situation(image_publishers=0)),
        judge(situation(image_publishers=0, image_hint="elsewhere")),
        judge(situation()),
        judge(situation(now=STARVED, subscribed=False)),
        judge(situation(now=STARVED, is_calibrated=False)),
        judge(situation(now={**STARVED, **PROBLEM})),
        judge(situation(now={**STARVED, "busy_since": NOW - 30.0})),
        judge(situation(now=STARVED, waits=True)),
        judge(situation(now=STARVED, paused_since=NOW - 7.0)),
        judge(situation(active_since=None, state="inactive")),
    ]
    assert "" not in {verdict.silence for verdict in silent}
    assert len({verdict.silence for verdict in silent}) == len(silent)
    # A slow network at its ordinary pace is not silent.
    assert judge(situation(now={**STARVED, "busy_since": NOW - 4.0})).silence == ""
    assert judge(situation(now={**STARVED, "last_done": NOW - 4.0}, waits=True)).silence == ""


STEP = 50_000_000  # nanoseconds


def missing_among(stamps, infos=()):
    """Return how many images are found missing, each calibration coming before its image."""
    gaps, missing, waiting = StampGaps(), 0, sorted(infos)
    for stamp in stamps:
        while waiting and waiting[0] <= stamp:
            gaps.add_info(waiting.pop(0))
        missing += gaps.add_image(stamp)
    return missing


def test_images_that_never_arrived_are_seen_by_the_stamps_of_the_others():
    stamps = [number * STEP for number in range(60)]
    come = [stamp for stamp in stamps if stamp // STEP not in (20, 30, 31, 45)]
    assert missing_among(stamps) == 0
    assert missing_among(come) == 4
    jitter = np.random.default_rng(0).integers(-STEP // 20, STEP // 20, len(come))
    assert missing_among((np.array(come) + jitter).tolist()) == 4
    third = [stamp for stamp in stamps if stamp // STEP % 3 or stamp // STEP < 12]
    assert missing_among(third) == 16


def test_every_second_image_missing_is_told_by_the_calibrations():
    stamps = [number * STEP for number in range(60)]
    come = stamps[:12] + stamps[12::2]
    after_the_last = 2  # images, which tell of themselves only once others have come
    assert missing_among(come, stamps) >= 24 - after_the_last
    assert missing_among(stamps, stamps) == 0


def test_irregular_cameras_and_those_that_stop_lose_nothing():
    steps = np.random.default_rng(1).uniform(1.0, 2.0, 200) * STEP
    assert missing_among(np.cumsum(steps).astype(int).tolist()) == 0
    stamps = [number * STEP for number in range(20)]
    assert missing_among([*stamps, *(stamp + 1000 * STEP for stamp in stamps)]) == 0
    assert missing_among([*stamps, *stamps]) == 0  # a recording that begins again
    rare = stamps[::10]  # calibrations of their own, slower rate
    assert missing_among(stamps, rare) == 0


def test_outcomes_are_counted_apart():
    statistics = FrameStatistics()
    for _ in range(5):
        statistics.image_arrived()
    statistics.info_arrived()
    statistics.dropped(Reason.BAD_IMAGE, "first")
    statistics.dropped(Reason.BAD_IMAGE, "second")
    statistics.dropped(Reason.REPLACED, "in time")
    statistics.unwanted()
    statistics.encoded()
    statistics.published("voxels")
    statistics.cubes_left_out(4)
    statistics.done(time.monotonic(), 0.2)
    now = statistics.snapshot()
    assert (now.images, now.infos, now.unwanted, now.encoded, now.done) == (5, 1, 1, 1, 1)
    assert now.drops == {Reason.BAD_IMAGE: 2, Reason.REPLACED: 1}
    assert now.images == now.done + now.unwanted + sum(now.drops.values())
    assert (now.published, now.cubes_left_out) == ({"voxels": 1}, 4)
    assert now.last_problem == "second"
    assert now.last_problem_time <= now.last_done <= now.time


def test_percentiles_are_those_of_the_latest_samples():
    statistics = FrameStatistics()
    samples = np.random.default_rng(0).random(700)
    for seconds in samples:
        statistics.took(Stage.ENCODE, seconds)
    expected = np.percentile(samples[-500:], (50, 95, 99))
    latencies = statistics.snapshot().latencies
    assert latencies[Stage.ENCODE] == pytest.approx(expected.tolist())
    assert list(latencies) == [Stage.ENCODE]


def test_a_stage_that_fails_has_no_time():
    statistics = FrameStatistics()
    with pytest.raises(ValueError, match="broken"), statistics.timed(Stage.DECODE):
        raise ValueError("broken")
    with statistics.timed(Stage.RENDER):
        time.sleep(0.01)
    latencies = statistics.snapshot().latencies
    assert list(latencies) == [Stage.RENDER]
    assert latencies[Stage.RENDER][0] >= 0.01


@pytest.mark.parametrize(
    ("since_stamp", "is_latency"), [(0.3, True), (-0.02, True), (1e8, False), (-3600.0, False)]
)
def test_stamps_of_another_clock_are_no_latency(since_stamp, is_latency):
    statistics = FrameStatistics()
    statistics.done(time.monotonic(), since_stamp)
    now = statistics.snapshot()
    assert (Stage.STAMP_TO_PUBLISH in now.latencies) == is_latency
    assert now.clock_offset == (None if is_latency else since_stamp)
    assert Stage.ARRIVAL_TO_PUBLISH in now.latencies


def test_a_clock_that_is_set_right_is_wrong_no_longer():
    statistics = FrameStatistics()
    for since_stamp in (3600.0, 0.3):
        statistics.done(time.monotonic(), since_stamp)
    assert statistics.snapshot().clock_offset is None


def test_images_without_a_stamp_have_no_latency_and_no_wrong_clock():
    statistics = FrameStatistics()
    statistics.done(time.monotonic(), 1e9)
    statistics.done(time.monotonic(), None)
    now = statistics.snapshot()
    assert (now.done, now.clock_offset) == (2, None)
    assert Stage.STAMP_TO_PUBLISH not in now.latencies


def test_two_threads_count_without_losing_any():
    statistics = FrameStatistics()

    def count():
        for _ in range(5000):
            statistics.image_arrived()
            statistics.dropped(Reason.REPLACED, "")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = statistics.snapshot()
    assert (now.images, now.drops[Reason.REPLACED]) == (20000, 20000)


# With messages.


def test_a_report_holds_all_that_was_counted():
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    from scenedino_ros.node.diagnostics import frame_values, latency_values

    now = {
        **RUNNING,
        "drops": {Reason.NO_TRANSFORM: 2},
        "published": {"voxels": 9},
        "latencies": {Stage.ENCODE: (0.001, 0.0025, 0.01)},
    }
    values = frame_values(situation(now=now, before={"images": 5}))
    assert values["images in [1/s]"] == "5.00"
    assert values["images out [1/s]"] == "10.00"
    assert values["dropped: no transform"] == 2
    assert values["dropped: bad image"] == 0
    assert values["published: voxels"] == 9
    assert latency_values(situation(now=now).now) == {
        "encode p50 [ms]": "1.00",
        "encode p95 [ms]": "2.50",
        "encode p99 [ms]": "10.00",
    }


def test_the_first_answer_is_taken_apart():
    born = time.monotonic() - process_age()
    times = StartTimes()
    times.mark("PyTorch")
    times.mark("PyTorch")  # configured again: only the first start counts
    arrived = time.monotonic() + 1.0
    steps = times.answered(arrived, arrived + 0.25)
    total = steps.pop("first answer")
    assert list(steps) == ["interpreter and ROS", *STEPS]
    assert steps["first image"] == pytest.approx(0.25, abs=0.01)
    assert sum(steps.values()) == pytest.approx(total)
    assert total == pytest.approx(arrived + 0.25 - born, abs=0.05)


def test_resident_memory_is_that_of_this_process():
    before = resident_memory()
    # Mapped anew: an array may get memory that the process has long had.
    with mmap.mmap(-1, 64 << 20) as block:
        block.write(b"x" * len(block))
        assert before + 50 < resident_memory() < before + 200
