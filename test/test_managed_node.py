# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node inside this process: what must not get lost, and what must not stay."""

import dataclasses
import threading
import time
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

import numpy as np  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PointStamped  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from models import lively_checkpoint  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from ros_rig import DEADLINE, wait_for  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera  # noqa: E402
from scenedino_ros.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from scenedino_ros.core.config import ModelSettings, NodeSettings  # noqa: E402
from scenedino_ros.core.errors import (  # noqa: E402
    CheckpointError,
    InputError,
    TransformError,
)
from scenedino_ros.core.labels import CITYSCAPES19  # noqa: E402
from scenedino_ros.core.outputs import BY_NAME, SERVICES  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node import (  # noqa: E402
    camera_input,
    inputs,
    outputs,
    pipeline,
    processor,
)
from scenedino_ros.node.managed_node import SceneDinoNode  # noqa: E402
from scenedino_ros.node.pipeline import Pipeline  # noqa: E402
from scenedino_ros.node.tf_message_type import TF_STATIC_QOS, tf_message_class  # noqa: E402
from scenedino_ros.node.view_frame import ViewFrame  # noqa: E402
from scenedino_ros.node.worker import FrameWorker  # noqa: E402
from scenedino_ros.recordings.tf_cdr import transforms_from_cdr  # noqa: E402
from scenedino_ros.recordings.transforms import matrix_from_rotation  # noqa: E402

pytestmark = pytest.mark.ros

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class IdleNetwork:
    """Stands in for a `Predictor` where no image is processed."""

    classes, weights, device, image_size = CITYSCAPES19, "no weights", "cpu", (64, 160)
    engine = "none"

    def device_memory(self):
        return {}

    def close(self):
        pass


class FakeMap:
    """Stands in for a `NodeMap`; notes in which thread it is asked."""

    def __init__(self, note):
        self._note = note

    def reset(self):
        return self._note("reset")

    def save(self):
        return self._note("saved")


@pytest.fixture(scope="module")
def context():
    context = Context()
    rclpy.init(context=context, domain_id=reserve_domain())
    yield context
    context.shutdown()


@pytest.fixture
def make_node(context, monkeypatch):
    """Return a function that makes a node that loads a network that idles."""
    nodes = []

    def make(**parameters):
        monkeypatch.setattr(processor, "load_predictor", lambda *_: IdleNetwork())
        cli_args = ["--ros-args"]
        for name, value in parameters.items():
            if name == "__ns":
                cli_args += ["-r", f"__ns:={value}"]
            else:
                cli_args += ["-p", f"{name.replace('__', '.')}:={value}"]
        node = SceneDinoNode(context=context, cli_args=cli_args)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        assert node.close(DEADLINE)
        node.destroy_node()


def test_a_network_that_cannot_be_loaded_fails_the_configuration(make_node, monkeypatch, capfd):
    node = make_node()

    def load(*_):
        raise CheckpointError("the weights are damaged")

    monkeypatch.setattr(processor, "load_predictor", load)
    assert node.trigger_configure() == FAILURE
    assert "cannot configure: the weights are damaged" in capfd.readouterr().err
    assert not node.autostart()
    node.raise_failure()
    node.raise_bug()


def test_one_thread_loads_the_network_processes_frames_and_asks_the_map(make_node, monkeypatch):
    """Tensors computed in another thread would have OpenMP threads of their own."""
    threads = []

    def note(answer):
        threads.append(threading.current_thread())
        return answer

    node = make_node()
    monkeypatch.setattr(processor, "load_predictor", lambda *_: note(IdleNetwork()))
    monkeypatch.setattr(processor.FrameProcessor, "process", lambda *_, **__: note(None))
    monkeypatch.setattr(pipeline.Pipeline, "_the_map", lambda _: FakeMap(note))
    assert node.autostart()
    node._cameras[0]._on_info(CameraInfo())
    node._cameras[0]._on_image(Image())
    wait_for(lambda: len(threads) == 2)
    assert node._pipeline._reset_map() == "reset"
    assert node._pipeline._save_map() == "saved"
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_settings_that_do_not_fit_the_network_fail_the_configuration(make_node, capfd):
    node = make_node(voxels__hidden_classes="[dog]")
    assert node.trigger_configure() == FAILURE
    assert "unknown class 'dog'" in capfd.readouterr().err


def test_tf_that_cannot_be_read_fails_the_activation_and_leaves_no_topic(make_node, monkeypatch):
    def refuse(node, failures):
        raise TransformError("/tf cannot be used")

    monkeypatch.setattr(pipeline, "TransformSource", refuse)
    node = make_node(grid__frame="base")
    assert node.trigger_configure() == SUCCESS
    before = {publisher.topic_name for publisher in node.publishers}
    assert node.trigger_activate() == FAILURE
    assert {publisher.topic_name for publisher in node.publishers} == before


def test_an_activation_that_fails_at_its_end_undoes_everything(make_node, monkeypatch):
    def refuse(*_):
        raise TransformError("no topic of images")

    node = make_node(grid__frame="base")
    assert node.trigger_configure() == SUCCESS
    publishers = {publisher.topic_name for publisher in node.publishers}
    subscriptions = {subscription.topic_name for subscription in node.subscriptions}
    threads = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(camera_input, "subscribe_counting_losses", refuse)
        assert node.trigger_activate() == FAILURE
    assert {publisher.topic_name for publisher in node.publishers} == publishers
    assert {subscription.topic_name for subscription in node.subscriptions} == subscriptions
    wait_for(lambda: set(threading.enumerate()) <= threads)  # of the worker and of TF
    assert node.trigger_activate() == SUCCESS


def test_a_bug_in_a_transition_is_logged_and_the_node_can_start_again(
    make_node, monkeypatch, capfd
):
    node = make_node()
    assert node.trigger_configure() == SUCCESS

    def break_down(self):
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(outputs.Outputs, "open", break_down)
        assert node.trigger_activate() != SUCCESS
    assert node._state_label() == "unconfigured"
    assert "the transition (activate) failed, and the node goes on" in capfd.readouterr().err
    node.raise_failure()
    with pytest.raises(ZeroDivisionError, match="a bug"):  # a start by itself ends with it
        node.raise_bug()
    assert node.autostart()


def test_a_manager_is_answered_whatever_a_transition_raises(make_node):
    node, response = make_node(), ChangeState.Response(success=True)
    answer = node._change_state(lambda *_: 1 / 0, ChangeState.Request(), response)
    assert answer is response
    assert not answer.success
    assert node.failures.counted() == (1, "a transition: ZeroDivisionError: division by zero")


def test_quality_of_service_can_be_overridden(make_node):
    node = make_node(
        **{
            "qos_overrides./image.subscription.reliability": "reliable",
            "qos_overrides./image.subscription.depth": 4,
            "qos_overrides./image.subscription.durability": "transient_local",
        }
    )
    for _ in range(2):  # the parameters are declared by the first activation, found by the second
        assert node.trigger_configure() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        (image,) = [s for s in node.subscriptions if s.topic_name == "/image"]
        assert image.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert image.qos_profile.depth == 4
        assert image.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS


@pytest.mark.parametrize(
    ("policy", "value", "words"),
    [
        ("reliability", "foo", "reliability 'foo': reliability is reliable or best_effort"),
        ("depth", -5, "depth -5"),
        ("depth", "a", "depth 'a'"),
    ],
)
@pytest.mark.parametrize("topic", ["/image", "/camera_info"])
def test_an_impossible_quality_of_service_is_refused_in_a_sentence(
    make_node, capfd, topic, policy, value, words
):
    node = make_node(**{f"qos_overrides.{topic}.subscription.{policy}": value})
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == FAILURE
    err = capfd.readouterr().err
    assert f"cannot activate: qos_overrides.{topic}.subscription cannot be used, got" in err
    assert words in err
    assert "Traceback" not in err


def test_after_a_shutdown_the_node_is_finalized(make_node):
    node = make_node()
    assert node.trigger_configure() == SUCCESS
    assert node._state_label() == "inactive"
    assert node.trigger_shutdown() == SUCCESS
    assert node._state_label() == "finalized"


def test_names_that_contradict_the_use_of_the_images_are_told():
    pinhole = PinholeCamera.from_focal(100.0, 100.0, 80.0, 40.0, 160, 80)
    raw = CalibratedCamera(pinhole, "plumb_bob", [-0.3, 0.1, 0.0, 0.0, 0.0])
    same = ("front", "front")
    found = inputs.naming_warnings("/front/image_rect/compressed", raw, "front", same)
    assert "input.rectified" in found["rectified"]
    found = inputs.naming_warnings("/front/image_rect", raw, "", ("", "front"))
    assert set(found) == {"rectified", "frame"}
    assert not inputs.naming_warnings("/front/image_raw", raw, "front", same)
    straight = CalibratedCamera(pinhole)
    assert not inputs.naming_warnings("/front/image_rect", straight, "front", same)
    found = inputs.naming_warnings("/left/image_raw", raw, "left", ("left", "right"))
    assert "of the frame 'left', their calibration is of 'right'" in found["another camera"]


@pytest.mark.parametrize(
    ("reliable", "expected"), [("true", "RELIABLE"), ("false", "BEST_EFFORT")]
)
def test_images_come_with_the_reliability_asked_for(make_node, reliable, expected):
    node = make_node(input__reliable=reliable)
    assert node.autostart()
    (image,) = [s for s in node.subscriptions if s.topic_name == "/image"]
    assert image.qos_profile.reliability == ReliabilityPolicy[expected]
    assert image.qos_profile.depth == 1


def test_the_class_table_is_latched_where_its_message_exists(make_node, context, monkeypatch):
    # vision_msgs is not everywhere; any message serves to see when and how it is published.
    with_string = dataclasses.replace(BY_NAME["label_info"], type="std_msgs/msg/String")
    monkeypatch.setattr(outputs, "OUTPUTS", (with_string, BY_NAME["voxels"]))
    monkeypatch.setattr(
        processor,
        "label_info_from_classes",
        lambda classes, header, threshold: String(data=f"{len(classes)} classes, {threshold}"),
    )
    node = make_node()
    assert node.autostart()
    listener = rclpy.create_node("listener", context=context)
    heard = []
    quality = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener.create_subscription(String, "/scenedino/label_info", heard.append, quality)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(listener)
    wait_for(lambda: heard or executor.spin_once(timeout_sec=0.05))
    assert heard[0].data == "19 classes, 0.0"
    executor.shutdown()
    listener.destroy_node()


def test_nothing_is_published_about_classes_without_the_message(make_node, monkeypatch):
    absent = dataclasses.replace(BY_NAME["label_info"], type="absent_msgs/msg/LabelInfo")
    monkeypatch.setattr(outputs, "OUTPUTS", (absent, BY_NAME["voxels"]))
    node = make_node()
    assert node.autostart()
    topics = [publisher.topic_name for publisher in node.publishers]
    assert "/scenedino/voxels" in topics
    assert "/scenedino/label_info" not in topics
    assert node.trigger_deactivate() == SUCCESS
    required = dataclasses.replace(absent, optional=False)
    monkeypatch.setattr(outputs, "OUTPUTS", (required,))
    assert node.trigger_activate() == FAILURE


def open_topics(endpoints):
    return {endpoint.topic_name for endpoint in endpoints} - {"/rosout", "/parameter_events"}


def test_each_camera_has_topics_below_its_name_and_one_class_table_serves_all(
    make_node, monkeypatch
):
    table = dataclasses.replace(BY_NAME["label_info"], type="std_msgs/msg/String")
    monkeypatch.setattr(outputs, "OUTPUTS", (table, BY_NAME["voxels"], BY_NAME["depth/image"]))
    monkeypatch.setattr(processor, "label_info_from_classes", lambda *_, **__: String())
    node = make_node(input__cameras="[front, left_2]", __ns="/car")
    before = open_topics(node.publishers), open_topics(node.subscriptions)
    assert node.autostart()
    own = "/car/scenedino"
    assert open_topics(node.publishers) - before[0] == {
        f"{own}/label_info",
        *(f"{own}/{camera}/voxels" for camera in ("front", "left_2")),
        *(f"{own}/{camera}/depth/image" for camera in ("front", "left_2")),
    }
    assert open_topics(node.subscriptions) - before[1] == {
        *(f"/car/{camera}/image" for camera in ("front", "left_2")),
        *(f"/car/{camera}/camera_info" for camera in ("front", "left_2")),
        *("/clicked_point", f"{own}/query"),
    }
    assert {f"~/{name}" for name in SERVICES} <= {s.srv_name for s in node.services}
    assert node.trigger_deactivate() == SUCCESS
    assert (open_topics(node.publishers), open_topics(node.subscriptions)) == before
    assert not {f"~/{name}" for name in SERVICES} & {s.srv_name for s in node.services}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"input__cameras": "[voxels]"}, "input.cameras: a camera's name must differ from the no"),
        ({"input__cameras": "[a, a]"}, "input.cameras: the cameras' names must be distinct"),
        (
            {
                "input__cameras": "[a, b]",
                "grid__frame": "base",
                "grid__static_transform": "[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]",
            },
            "grid.static_transform is the pose of one camera, but input.cameras names 2: publish",
        ),
    ],
)
def test_cameras_that_cannot_be_told_apart_or_placed_are_refused(make_node, parameters, message):
    with pytest.raises(InputError, match=message):
        make_node(**parameters)


def test_one_named_camera_may_have_a_static_transform(make_node):
    pose = "[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]"
    node = make_node(input__cameras="[a]", grid__frame="base", grid__static_transform=pose)
    assert node.autostart()


@pytest.mark.parametrize(
    ("grid", "expected"), [({"grid__frame": "base"}, ["base"]), ({}, ["optical_front"])]
)
def test_several_cameras_have_one_frame_for_viewers(make_node, monkeypatch, grid, expected):
    attached = []
    monkeypatch.setattr(
        ViewFrame, "attach", lambda self, parent, *, optical: attached.append(parent)
    )
    monkeypatch.setattr(FrameWorker, "offer", lambda *_: None)
    node = make_node(input__cameras="[front, left]", **grid)
    assert node.autostart()
    info = CameraInfo()
    for camera in node._cameras[::-1]:
        image = Image()
        image.header.frame_id = f"optical_{camera.name}"
        camera._on_info(info)
        camera._on_image(image)
    assert list(dict.fromkeys(attached)) == expected


def spin(context, *nodes, until):
    executor = SingleThreadedExecutor(context=context)
    for node in nodes:
        executor.add_node(node)
    wait_for(lambda: until() or executor.spin_once(timeout_sec=0.05))
    executor.shutdown()


@pytest.fixture
def neighbour(context):
    """Another node, that publishes and listens."""
    node = rclpy.create_node("neighbour", context=context)
    yield node
    node.destroy_node()


QUICK = {"diagnostics__period": 0.1, "diagnostics__stale_after": 0.3}


def test_the_console_says_once_why_nothing_comes_and_where_it_is(
    make_node, context, neighbour, capfd
):
    node = make_node(**QUICK)
    assert node.autostart()
    reports = []
    neighbour.create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
    said = []

    def heard(sentence):
        said.append(capfd.readouterr().err)
        messages = [array.status[0].message for array in reports]
        return sentence in "".join(said) and sentence in messages

    spin(context, node, neighbour, until=lambda: heard("nobody publishes /image"))
    compressed = neighbour.create_publisher(CompressedImage, "/image/compressed", 1)
    sentence = (
        "nobody publishes /image; /image/compressed is published: set input.transport "
        "(image_transport of the launch file) to compressed"
    )
    spin(context, node, neighbour, until=lambda: heard(sentence))
    reports.clear()
    spin(context, node, neighbour, until=lambda: len(reports) > 5)
    said.append(capfd.readouterr().err)
    assert "".join(said).count(f"nothing comes out: {sentence}") == 1
    assert "".join(said).count("nothing comes out") == 2
    neighbour.destroy_publisher(compressed)


def test_publishers_that_do_not_fit_are_told_apart(make_node, context, neighbour, capfd):
    node = make_node(**QUICK, input__reliable="true")
    assert node.autostart()
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    said = []

    def heard(sentence):
        said.append(capfd.readouterr().err)
        return sentence in "".join(said)

    image = neighbour.create_publisher(Image, "/image", best_effort)
    expected = "/image does not fit"
    spin(context, node, until=lambda: heard(expected))
    remedy = "set input.reliable to false or qos_overrides./image.subscription"
    assert remedy in "".join(said)
    neighbour.destroy_publisher(image)
    other = Context()  # in one and the same, a topic cannot have two types
    rclpy.init(context=other, domain_id=context.get_domain_id())
    stranger = rclpy.create_node("stranger", context=other)
    stranger.create_publisher(String, "/image", 1)
    expected = "/image has the type std_msgs/msg/String, not sensor_msgs/msg/Image"
    try:
        spin(context, node, until=lambda: heard(expected))
    finally:
        stranger.destroy_node()
        other.shutdown()


TOPICS = {
    "/cam/image_raw": {inputs.RAW},
    "/cam/image_raw/compressed": {inputs.COMPRESSED},
    "/cam/camera_info": {inputs.INFO},
    "/other/image": {inputs.RAW},
}


@pytest.mark.parametrize(
    ("topic", "transport", "words"),
    [
        ("/cam/image_raw/compressed", "raw", "to compressed, and image to /cam/image_raw"),
        ("/elsewhere", "raw", "topics of that type: /cam/image_raw, /other/image"),
        ("/other/image/compressed", "compressed", "/other/image is published: set input.transpo"),
        (
            "/cam/image_raw/compressed/compressed",
            "compressed",
            "the name of the image topic is /cam/image_raw",
        ),
        ("/elsewhere/compressed", "compressed", "of that type: /cam/image_raw/compressed"),
    ],
)
def test_the_topic_that_has_the_images_is_named(topic, transport, words):
    assert words in inputs.image_hint(topic, transport, TOPICS)


def test_the_calibration_beside_the_images_is_named():
    for image_topic in ("/cam/image_raw", "/cam/image_raw/compressed"):
        hint = inputs.info_hint("/camera_info", image_topic, TOPICS)
        assert hint.startswith("/cam/camera_info is published: remap camera_info")
    hint = inputs.info_hint("/camera_info", "/other/image", TOPICS)
    assert hint == "topics of that type: /cam/camera_info"
    assert inputs.info_hint("/cam/camera_info", "/cam/image_raw", TOPICS) == ""
    hint = inputs.info_hint("/front/camera_info", "/cam/image_raw", TOPICS, "front")
    assert hint.startswith("/cam/camera_info is published: remap front/camera_info")


def test_two_nodes_have_their_own_names_in_the_diagnostics(context, make_node, neighbour):
    reports = []
    neighbour.create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
    names = set()
    for namespace in ("left", "right"):
        node = make_node(__ns=f"/{namespace}", **QUICK)
        reports.clear()
        spin(context, node, neighbour, until=lambda: reports)
        names.add(reports[0].status[0].name)
    assert names == {"left/scenedino: frames", "right/scenedino: frames"}


@pytest.mark.parametrize("optical", [True, False])
def test_a_frame_for_viewers_stands_upright_without_tf(context, make_node, neighbour, optical):
    node = make_node()
    heard = []
    neighbour.create_subscription(
        tf_message_class(), "/tf_static", heard.append, TF_STATIC_QOS, raw=True
    )
    view = ViewFrame(node, "view")
    view.attach("camera", optical=optical)
    view.attach("camera", optical=optical)
    spin(context, neighbour, until=lambda: heard)
    (transform,) = transforms_from_cdr(heard[0])
    assert (transform.parent, transform.child) == ("camera", "view")
    R = matrix_from_rotation(transform.translation, transform.rotation)[:3, :3]
    ahead, left, up = R.T  # axes of the frame, in its parent
    expected = ([0, 0, 1], [-1, 0, 0], [0, -1, 0]) if optical else np.eye(3).tolist()
    np.testing.assert_allclose((ahead, left, up), expected, atol=1e-12)
    assert len(heard) == 1
    view.close()
    assert not [p for p in node.publishers if p.topic_name == "/tf_static"]


def test_tf_is_opened_for_the_first_point_in_a_frame(context, make_node, neighbour):
    def tf_threads():
        return [thread for thread in threading.enumerate() if thread.name == "scenedino_tf"]

    node = make_node()
    assert node.autostart()
    points = neighbour.create_publisher(PointStamped, "/clicked_point", 1)
    message = PointStamped()

    def ask(frame_id):
        message.header.frame_id = frame_id
        points.publish(message)
        return bool(tf_threads())

    similarity = node._pipeline._worker._processor.similarity
    spin(context, node, neighbour, until=lambda: ask("") or similarity.waiting)
    assert not tf_threads()
    spin(context, node, neighbour, until=lambda: ask("map"))
    assert node.trigger_deactivate() == SUCCESS
    wait_for(lambda: not tf_threads())


def test_no_frame_is_added_unless_it_is_asked_for(make_node):
    node = make_node()
    assert node.autostart()
    assert not [p for p in node.publishers if p.topic_name == "/tf_static"]


def test_the_network_is_built_for_the_image_size_that_is_asked_for(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint())
    told = []
    model = ModelSettings(str(path), device="cpu", engine="torch", image_size=(96, 192))
    predictor = processor.load_predictor(NodeSettings(model=model), told.append)
    assert predictor.image_size == (96, 192)
    assert any("untrained weights" in line for line in told)


def test_a_node_that_was_cleaned_up_has_no_calibration(make_node):
    node = make_node()
    assert node.autostart()
    (camera,) = node._cameras
    camera._on_info(CameraInfo(width=8, height=8))
    assert node._situation(camera, None).is_calibrated
    assert node.trigger_deactivate() == SUCCESS
    assert node._situation(camera, None).is_calibrated
    assert node.trigger_cleanup() == SUCCESS
    assert not node._situation(camera, None).is_calibrated


def test_a_quality_of_service_that_nothing_takes_is_told(make_node, capfd):
    idle = "qos_overrides.camera_info.subscription.reliability"  # without the slash
    node = make_node(
        **{idle: "reliable", "qos_overrides./camera_info.subscription.reliability": "reliable"}
    )
    assert node.autostart()
    said = [line for line in capfd.readouterr().err.splitlines() if "has no effect" in line]
    assert len(said) == 1
    assert f"parameter {idle} has no effect" in said[0]
    assert "such as /image, /camera_info" in said[0]


@pytest.mark.parametrize(
    ("order", "times"),
    [(["front"], 0), (["front", "late left", "left"], 1), (["front", "front", "left"], 1)],
)
def test_tf_is_forgotten_once_the_time_of_all_cameras_jumped(order, times):
    cleared = []

    class Camera:
        last_image = time.monotonic()
        skips = SimpleNamespace(skipped=lambda *reason: None)

    cameras = {"front": Camera(), "left": Camera()}
    open_ = object.__new__(Pipeline)
    open_._cameras, open_._jumped, open_.paused_since = tuple(cameras.values()), {}, 0.0
    open_._transforms = SimpleNamespace(clear=lambda: cleared.append(1))
    for word in order:
        camera = cameras[word.removeprefix("late ")]
        if word.startswith("late "):  # an image of before the jump that was still on its way
            open_._deliver(camera, None)
        else:
            open_._jumped_back(camera)
    assert len(cleared) == times
