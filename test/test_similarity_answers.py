# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""When and from which image the node answers a point; test_node_process.py has the topics."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from models import lively_checkpoint, noise_image, street_camera  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from scenedino_ros.core.config import GridSettings  # noqa: E402
from scenedino_ros.core.errors import TransformError  # noqa: E402
from scenedino_ros.inference.predictor import Predictor  # noqa: E402
from scenedino_ros.inference.query import VoxelQuery  # noqa: E402
from scenedino_ros.node import similarity  # noqa: E402
from scenedino_ros.node.placement import GridPlacement  # noqa: E402
from scenedino_ros.node.point_topics import Point  # noqa: E402
from scenedino_ros.node.similarity import SimilarityAnswers  # noqa: E402
from scenedino_ros.node.to_msg import SIMILARITY_DTYPE  # noqa: E402

pytestmark = pytest.mark.ros

SETTINGS = GridSettings(origin=(-4.0, -2.0, 1.0), shape=(20, 10, 20), voxel_size=0.4)
AHEAD = np.array([0.03, 0.05, 6.02])  # nearer to one voxel than to all others


class Scene:
    """A network, an image, and what was published and logged."""

    def __init__(self):
        self.predictor = Predictor(lively_checkpoint(), device="cpu")
        self.encoded = self.predictor.encode(noise_image(), street_camera())
        self.query, self.clouds, self.warnings = VoxelQuery(0.2), [], []
        self.answers = SimilarityAnswers(
            self.predictor,
            GridPlacement(SETTINGS),
            None,
            lambda: self.query,
            lambda name, message: self.clouds.append((name, message)),
            self.warnings.append,
        )

    def image(self, seconds):
        header = Header(frame_id="camera")
        header.stamp.sec = seconds
        self.answers.remember(self.encoded, header)


class Lookups:
    """Stands in for TF: does not know a frame before some second."""

    def __init__(self, since):
        self.since, self.asked = since, []

    def lookup(self, target, source, stamp):
        self.asked.append((target, source, stamp.sec))
        if stamp.sec < self.since:
            raise TransformError(f"no transform from {source!r} to {target!r}")
        T = np.eye(4)
        T[:3, 3] = AHEAD
        return T


def nearest_point(cloud, position):
    points = np.frombuffer(cloud.data, SIMILARITY_DTYPE)
    at = np.stack([points["x"], points["y"], points["z"]], axis=-1)
    return points[np.linalg.norm(at - position, axis=1).argmin()]


def test_the_newest_point_is_answered_from_the_latest_image():
    scene = Scene()
    scene.answers.ask(Point("", AHEAD + 99.0, None))
    scene.answers.ask(Point("", AHEAD, None))
    scene.answers.answer()
    assert scene.answers.waiting
    assert not scene.clouds
    scene.image(3)
    scene.image(4)
    scene.answers.answer()
    scene.answers.answer()
    ((name, cloud),) = scene.clouds
    assert (name, cloud.header.stamp.sec, cloud.header.frame_id) == ("similarity", 4, "camera")
    assert nearest_point(cloud, AHEAD)["intensity"] == pytest.approx(1, abs=1e-5)
    assert not scene.answers.waiting
    scene.answers.forget()
    scene.answers.ask(Point("", AHEAD, None))
    scene.answers.answer()
    assert len(scene.clouds) == 1
    assert not scene.warnings


def test_a_point_in_another_frame_waits_for_one_image_that_tf_knows():
    scene, tf = Scene(), Lookups(since=5)
    scene.image(4)
    scene.answers.ask(Point("map", np.zeros(3), tf, again=True))
    scene.answers.answer()
    assert scene.answers.waiting
    scene.image(5)
    scene.answers.answer()
    assert tf.asked == [("camera", "map", 4), ("camera", "map", 5)]
    assert nearest_point(scene.clouds[0][1], AHEAD)["intensity"] == pytest.approx(1, abs=1e-5)
    assert not scene.warnings
    unknown = Lookups(since=99)
    scene.answers.ask(Point("map", np.zeros(3), unknown, again=True))
    scene.answers.answer()
    scene.answers.answer()
    scene.answers.answer()
    assert len(unknown.asked) == 2
    expected = "no similarity to the point: no transform from 'map' to 'camera'"
    assert scene.warnings == [expected]


def test_a_point_whose_transform_is_late_is_asked_again_until_its_deadline():
    scene, tf = Scene(), Lookups(since=5)
    scene.image(4)
    scene.answers.ask(Point("map", np.zeros(3), tf, deadline=time.monotonic() + 60.0))
    assert scene.answers.answer()
    assert scene.answers.answer()
    assert scene.answers.waiting
    tf.since = 4
    assert not scene.answers.answer()
    assert len(scene.clouds) == 1
    tf.since = 5
    scene.answers.ask(Point("map\n\x1b[2J", np.zeros(3), tf, deadline=time.monotonic()))
    assert not scene.answers.answer()
    (warning,) = scene.warnings
    assert warning == r"no similarity to the point: no transform from 'map\n\x1b[2J' to 'camera'"


def test_a_newer_point_replaces_one_that_waits_for_its_transform():
    scene, tf = Scene(), Lookups(since=9)
    scene.image(4)
    scene.answers.ask(Point("map", np.zeros(3), tf, deadline=time.monotonic() + 60.0))
    assert scene.answers.answer()
    scene.answers.ask(Point("", AHEAD, None))
    assert not scene.answers.answer()
    assert not scene.answers.waiting
    assert len(scene.clouds) == 1
    assert len(tf.asked) == 1


def test_exhausted_memory_costs_one_answer(monkeypatch):
    scene = Scene()
    scene.image(4)
    scene.answers.ask(Point("", AHEAD, None))
    with monkeypatch.context() as patch:
        patch.setattr(similarity, "VoxelFeatures", lambda *_: np.empty(1 << 50))
        assert not scene.answers.answer()
    (warning,) = scene.warnings
    assert warning.startswith("no similarity to the point: Unable to allocate 8.00 PiB")
    scene.answers.ask(Point("", AHEAD, None))
    scene.answers.answer()
    assert len(scene.clouds) == 1


@pytest.mark.parametrize(
    ("point", "query", "sentence"),
    [
        (Point("map", AHEAD, None), VoxelQuery(0.2), "map is not camera, and TF cannot be read"),
        (Point("", AHEAD, None), VoxelQuery(1e9), "needs occupied voxels, got none"),
        (Point("", -AHEAD, None), VoxelQuery(0.2), "must be within 2 m, and is"),
        (Point("", np.full(3, np.nan), None), VoxelQuery(0.2), "coordinates must be finite"),
    ],
)
def test_a_point_without_an_answer_is_explained_once(point, query, sentence):
    scene = Scene()
    scene.query = query
    scene.image(4)
    scene.answers.ask(point)
    scene.answers.answer()
    scene.answers.answer()
    assert not scene.clouds
    (warning,) = scene.warnings
    assert warning.startswith("no similarity to the point: ")
    assert sentence in warning
