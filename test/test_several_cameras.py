# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Several cameras at one node: their names, and whose turn it is."""

import numpy as np
import pytest

from scenedino_ros.core.camera_names import check_camera_names
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.outputs import OUTPUTS, SERVICES
from scenedino_ros.node.mailbox import Mailbox

# Names.


def test_good_names_pass():
    check_camera_names(())
    check_camera_names(["front", "left_2", "Left_2", "depth_left", "voxels2"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["front/left", "front_left"], "underscores after a letter, got 'front/left'"),
        (["2nd"], "got '2nd'"),
        (["_hidden"], "got '_hidden'"),
        ([""], "got ''"),
        (["front "], "got 'front '"),
        (["front\n"], "got 'front\n'"),
        (["vorne_ä"], "got 'vorne_ä'"),
        (["a", "b", "a"], "the cameras' names must be distinct, got 'a' twice"),
    ],
)
def test_names_that_cannot_be_topics_are_refused(names, words):
    with pytest.raises(InputError, match=words):
        check_camera_names(names)


@pytest.mark.parametrize("own", [*(output.name for output in OUTPUTS), *SERVICES])
def test_a_camera_is_not_named_like_a_topic_of_the_node(own):
    first = own.partition("/")[0]
    with pytest.raises(InputError, match=f"the node's own topics, got '{first}'"):
        check_camera_names(["front", first])


# Turns.


@pytest.mark.parametrize("seed", range(20))
def test_a_camera_with_a_waiting_frame_has_its_turn_within_n_takes(seed):
    """Whatever the pattern of arrivals; checked against a record of what came."""
    rng = np.random.default_rng(seed)
    n_cameras = int(rng.integers(1, 6))
    cameras = [f"camera{number}" for number in range(n_cameras)]
    # From one camera that sends nearly all frames to all of them alike.
    rates = rng.dirichlet(np.full(n_cameras, rng.choice([0.05, 1.0, 100.0])))
    box, newest, waited = Mailbox(), {}, {}
    for frame in range(1000):
        if rng.random() < rng.choice([0.2, 0.5, 0.95]) or not newest:
            camera = str(rng.choice(cameras, p=rates))
            assert box.put(camera, frame) == newest.get(camera)
            newest[camera] = frame
            waited.setdefault(camera, 0)
            assert camera in box
            continue
        camera, taken = box.take()
        assert taken == newest.pop(camera)
        assert camera not in box
        del waited[camera]
        waited = {other: turns + 1 for other, turns in waited.items()}
        assert max(waited.values(), default=0) < n_cameras
