# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which calibration an image gets, and that a slot between two threads keeps the newest."""

import random
import threading
import time

import pytest

from scenedino_ros.node.cadence import Cadence
from scenedino_ros.node.mailbox import Mailbox
from scenedino_ros.node.pairing import Paired, Pairing
from scenedino_ros.node.statistics import Reason

SECOND = 1_000_000_000


def reasons(paired: Paired) -> list[Reason]:
    return [drop.reason for drop in paired.drops]


def names(paired: Paired) -> tuple[str, str] | None:
    return (paired.frame.image, paired.frame.info) if paired.frame else None


# Exact.


@pytest.mark.parametrize("info_first", [True, False])
def test_exact_pairs_equal_stamps_in_either_order(info_first):
    pairing = Pairing("exact")
    if info_first:
        assert pairing.add_info(7, "info") == Paired()
        paired = pairing.add_image(7, "image", 1.5)
    else:
        assert pairing.add_image(7, "image", 1.5) == Paired()
        paired = pairing.add_info(7, "info")
    assert names(paired) == ("image", "info")
    assert (paired.frame.stamp_ns, paired.frame.arrival) == (7, 1.5)
    assert pairing.add_info(7, "again") == Paired()


def test_exact_gives_up_images_older_than_a_pair():
    pairing = Pairing("exact")
    pairing.add_image(1, "lonely", 0.0)
    pairing.add_image(2, "image", 0.0)
    paired = pairing.add_info(2, "info")
    assert names(paired) == ("image", "info")
    assert reasons(paired) == [Reason.NO_INFO]


def test_exact_keeps_a_bounded_number_of_images():
    pairing = Pairing("exact")
    given_up = [reasons(pairing.add_image(i, "image", 0.0)) for i in range(15)]
    assert given_up == [[]] * 10 + [[Reason.NO_INFO]] * 5
    assert pairing.add_info(4, "info").frame is None
    assert names(pairing.add_info(5, "info")) == ("image", "info")


def test_exact_keeps_a_bounded_number_of_calibrations():
    pairing = Pairing("exact")
    for i in range(15):
        pairing.add_info(i, i)
    assert pairing.add_image(4, "image", 0.0).frame is None
    assert names(pairing.add_image(5, "image", 0.0)) == ("image", 5)


def test_exact_explains_which_stamps_differ():
    pairing = Pairing("exact")
    pairing.add_info(3 * SECOND, "info")
    pairing.add_image(2 * SECOND, "image", 0.0)
    pairing.add_image(4 * SECOND, "image", 0.0)
    paired = pairing.add_info(4 * SECOND, "info")
    assert "2.000000 s; the last one has 4.000000 s" in paired.drops[0].sentence


# Latest.


def test_latest_takes_the_last_calibration_and_changes_at_once():
    pairing = Pairing("latest")
    pairing.add_info(1 * SECOND, "first")
    assert names(pairing.add_image(2 * SECOND, "a", 0.0)) == ("a", "first")
    assert names(pairing.add_image(3 * SECOND, "b", 0.0)) == ("b", "first")
    pairing.add_info(3 * SECOND, "second")
    assert names(pairing.add_image(4 * SECOND, "c", 0.0)) == ("c", "second")


def test_latest_keeps_one_image_until_the_first_calibration():
    pairing = Pairing("latest")
    assert reasons(pairing.add_image(1, "old", 0.0)) == []
    paired = pairing.add_image(2, "new", 0.0)
    assert reasons(paired) == [Reason.NO_INFO]
    assert "no camera_info has come" in paired.drops[0].sentence
    assert names(pairing.add_info(2, "info")) == ("new", "info")


@pytest.mark.parametrize("stamp", [0, SECOND, 10_000_000 * SECOND])
def test_latest_takes_a_calibration_of_any_stamp(stamp):
    pairing = Pairing("latest")
    pairing.add_info(stamp, "once")
    for number in (5, 6, 7_000_000):
        assert names(pairing.add_image(number * SECOND, "image", 0.0)) == ("image", "once")


def test_images_without_stamps_are_paired_one_after_another():
    pairing = Pairing("latest")
    pairing.add_info(0, "info")
    for image in "abc":
        assert names(pairing.add_image(0, image, 0.0)) == (image, "info")


def test_latest_takes_a_calibration_that_is_newer_than_the_image():
    pairing = Pairing("latest")
    pairing.add_info(100 * SECOND, "info")
    assert names(pairing.add_image(SECOND, "image", 0.0)) == ("image", "info")


# Both.


@pytest.mark.parametrize("mode", ["exact", "latest"])
def test_time_that_runs_backwards_voids_what_waits_but_no_calibration_that_holds(mode):
    pairing = Pairing(mode)
    pairing.add_image(9 * SECOND, "before", 0.0)
    pairing.add_info(8 * SECOND, "before")
    paired = pairing.add_image(SECOND, "jump", 0.0)
    assert paired.jumped_back
    assert reasons(paired)[0] == Reason.TIME_BACKWARDS
    assert "8.000 s before" in paired.drops[0].sentence
    after = pairing.add_image(8 * SECOND, "after", 0.0)
    if mode == "latest":
        assert names(after) == ("after", "before")
    else:
        assert after.frame is None
        assert names(pairing.add_info(8 * SECOND, "after")) == ("after", "after")


def test_images_that_waited_are_counted_when_time_runs_backwards():
    pairing = Pairing("exact")
    for i in range(4):
        pairing.add_image(10 * SECOND + i, "image", 0.0)
    paired = pairing.add_image(1, "jump", 0.0)
    assert reasons(paired) == [Reason.TIME_BACKWARDS] * 5


@pytest.mark.parametrize("mode", ["exact", "latest"])
def test_an_image_out_of_order_is_dropped_alone(mode):
    pairing = Pairing(mode)
    pairing.add_image(9 * SECOND, "waits", 0.0)
    late = pairing.add_image(9 * SECOND - 42_000_000, "late", 0.0)
    assert (reasons(late), late.jumped_back) == ([Reason.TIME_BACKWARDS], False)
    assert "0.042 s before" in late.drops[0].sentence
    assert names(pairing.add_info(9 * SECOND, "info")) == ("waits", "info")
    pairing.add_image(10 * SECOND, "next", 0.0)
    assert not pairing.add_image(10 * SECOND - 1, "late again", 0.0).jumped_back


def test_a_second_image_out_of_order_confirms_a_short_jump():
    pairing = Pairing("latest")
    pairing.add_info(1, "info")
    pairing.add_image(9 * SECOND, "before", 0.0)
    assert not pairing.add_image(9 * SECOND - 800_000_000, "jump", 0.0).jumped_back
    assert pairing.add_image(9 * SECOND - 700_000_000, "after", 0.0).jumped_back
    assert names(pairing.add_image(9 * SECOND - 600_000_000, "on", 0.0)) == ("on", "info")


def test_an_image_with_the_stamp_of_the_last_one_is_no_jump():
    pairing = Pairing("latest")
    pairing.add_info(1, "info")
    assert names(pairing.add_image(1, "a", 0.0)) == ("a", "info")
    assert names(pairing.add_image(1, "b", 0.0)) == ("b", "info")


@pytest.mark.parametrize("mode", ["exact", "latest"])
def test_every_image_is_paired_or_given_up_or_waits(mode):
    rng = random.Random(3)
    pairing = Pairing(mode)
    images = paired_images = dropped = 0
    for step in range(2000):
        stamp = step + rng.randint(-30, 30) if rng.random() < 0.02 else step
        if rng.random() < 0.6:
            images += 1
            result = pairing.add_image(max(stamp, 0), "image", 0.0)
        else:
            result = pairing.add_info(step - rng.randint(0, 3), "info")
        paired_images += result.frame is not None
        dropped += len(result.drops)
        waiting = images - paired_images - dropped
        assert 0 <= waiting <= (10 if mode == "exact" else 1)
    assert paired_images > 100


# The slot between the threads.


def test_the_newest_item_wins():
    box = Mailbox()
    assert box.put("front", "first") is None
    assert box.put("front", "second") == "first"
    assert box.take() == ("front", "second")
    assert box.put("front", "third") is None


def test_a_closed_slot_stays_empty():
    box = Mailbox()
    box.put("front", "waits")
    box.close()
    box.put("front", "too late")
    assert "front" not in box
    assert box.take() is None


def test_clearing_returns_whose_items_waited():
    box = Mailbox()
    for sender in ("front", "left", "front"):
        box.put(sender, "image")
    assert box.clear() == ["front", "left"]
    assert box.clear() == []
    box.put("left", "newer")
    assert box.take() == ("left", "newer")


def test_an_item_that_waits_alone_can_be_looked_at():
    box = Mailbox()
    assert box.only() is None
    box.put("front", "waits")
    assert box.only() == box.only() == ("front", "waits")
    box.put("left", "waits, too")
    assert box.only() is None
    assert box.take() == ("front", "waits")


# When the next image is due.


def test_the_next_image_of_a_regular_camera_is_due_a_period_after_the_last():
    cadence = Cadence()
    arrivals = [10.0, 10.1, 10.21, 10.3, 10.4]
    assert [cadence.add(arrival) for arrival in arrivals[:4]] == [None] * 4
    expected = cadence.add(arrivals[4])
    assert expected == pytest.approx((10.5, 10.525), abs=1e-6)


def test_nothing_is_expected_of_an_irregular_camera():
    cadence = Cadence()
    for arrival in (0.0, 0.1, 0.2, 0.3, 0.4):
        expected = cadence.add(arrival)
    assert expected
    assert cadence.add(0.6) is None  # one is missing
    later = [cadence.add(0.6 + 0.1 * step) for step in range(1, 9)]
    assert later[:7] == [None] * 7  # until that step is forgotten
    assert later[7]
    assert not any(Cadence().add(0.0) for _ in range(9))
    same = Cadence()
    assert not any(same.add(5.0) for _ in range(9))


def test_no_item_is_lost_between_threads():
    box = Mailbox()
    taken = []

    def empty():
        while 5000 not in taken and time.monotonic() < deadline:
            if (item := box.take()) is not None:
                taken.append(item[1])

    deadline = time.monotonic() + 30
    thread = threading.Thread(target=empty)
    thread.start()
    replaced = [old for i in range(1, 5001) if (old := box.put("front", i)) is not None]
    thread.join(30)
    assert sorted(taken + replaced) == list(range(1, 5001))
    assert taken == sorted(taken)
