# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What comes over the wire, and bugs anywhere, never end the node: the next frame is answered."""

import threading
import time

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from live_node import LiveNode  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from ros_rig import (  # noqa: E402
    BASE_CAMERA,
    CAMERA_FRAME,
    DEADLINE,
    GRID_FRAME,
    SECOND,
    as_stamp,
    image_message,
    info_message,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from scenedino_ros.node import camera_input, health, pipeline, transform_source  # noqa: E402
from scenedino_ros.node.health import Level  # noqa: E402
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms  # noqa: E402
from scenedino_ros.recordings.transforms import StampedTransform  # noqa: E402

pytestmark = pytest.mark.ros

YEARS = 300_000_000 * SECOND
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
FAILED = "dropped: failed"
TF_TIMEOUT = 1.0  # seconds


@pytest.fixture(scope="module")
def live():
    """A node with one camera and a map, somebody subscribes to its voxels."""
    live = LiveNode(
        map__frame="odom",
        map__robot_frame=GRID_FRAME,
        map__size=[16.0, 16.0, 4.0],
        map__below=1.0,
        voxels__out_of_view=True,
    )
    live.voxels = live.rig.subscribe("/scenedino/voxels", PointCloud2)
    yield live
    live.close()


@pytest.fixture
def rig(live):
    """The rig of that node, with good frames flowing."""
    answered(live.rig)
    live.rig.live = live
    return live.rig


def answered(rig, camera=""):
    """Send frames until one is answered and the diagnostics are well again."""
    rig.send_until_counted("images out")
    rig.spin_until(lambda: rig.verdict(camera)[0] in (Level.OK, Level.WARN), "a node that is well")


def send_transform(rig, stamp_ns, parent=GRID_FRAME, child=CAMERA_FRAME, move=None, turn=None):
    transform = StampedTransform(
        parent, child, stamp_ns, move or BASE_CAMERA[0], turn or BASE_CAMERA[1]
    )
    rig._tf.publish(cdr_from_transforms([transform]))


def wait_for_failure(rig, words):
    rig.spin_until(lambda: words in rig.status["failures"][2]["last failure"], words)


# Messages.


@pytest.mark.parametrize("far", [1e39, float("nan")])
def test_a_transform_that_no_robot_has_is_refused(rig, far):
    """With voxels out of view, squares of such coordinates overflow."""
    settle(rig)
    answers = rig.count("images out")
    for _ in range(3):
        stamp_ns = time.time_ns()
        send_transform(rig, stamp_ns, move=(far, 0.0, 0.0))
        rig.send_info(stamp_ns)
        rig.send_image(stamp_ns)
        rig.spin_for(0.02)
    settle(rig)
    assert rig.count("images out") == answers
    answered(rig)


def settle(rig):
    """Wait until every image that was sent has been answered or dropped, and reported."""
    rig.spin_for(0.15)
    rig.spin_until(lambda: rig.count("images in") == accounted(rig), "all frames accounted for")


def accounted(rig):
    values = rig.values()
    drops = sum(int(value) for key, value in values.items() if key.startswith("dropped: "))
    return drops + rig.count("images out") + rig.count("images nobody wanted")


def test_a_transform_stamped_years_ahead_silences_nobody_for_long(rig, capfd):
    send_transform(rig, time.time_ns() + YEARS)
    refused = "dropped: no transform"
    rig.send_until_counted(refused)
    answered(rig)
    assert "of 'camera_optical' start anew" in capfd.readouterr().err


def test_names_that_control_a_terminal_arrive_nowhere_raw(rig, capfd):
    name = "\x1b[2J\x07front\n[ERROR] forged\u202e" + "x" * 5000
    rig.send_until_counted("dropped: no transform", lambda: rig.send(frame_id=name))
    rig.spin_until(lambda: "forged" in rig.values()["last problem"], "the problem")
    for _, message, values in rig.status.values():
        assert message.isprintable()
        assert len(message) <= 1000
        assert all(value.isprintable() and len(value) <= 1000 for value in values.values())
    answered(rig)
    log = capfd.readouterr().err
    assert "\x07" not in log
    assert "\x1b[2J" not in log
    assert "\n[ERROR] forged" not in log


def test_two_cameras_on_one_topic_are_noticed_until_one_stops(rig):
    turn = 0

    def send():
        nonlocal turn
        turn += 1
        stamp_ns, frame = time.time_ns(), CAMERA_FRAME if turn % 2 else "other_optical"
        for child in (CAMERA_FRAME, "other_optical"):
            send_transform(rig, stamp_ns, child=child)
        rig.send_info(stamp_ns, focal=90.0 if turn % 2 else 120.0)
        rig.send_image(stamp_ns, frame_id=frame)
        rig.spin_for(0.05)

    words = "images of 2 cameras come in turn on /image, in the frames 'camera_optical', 'other_"
    while words not in rig.verdict()[1]:
        send()
    level, sentence = rig.verdict()
    assert level == Level.WARN
    assert "calibrations of 2 cameras come in turn on /camera_info" in sentence
    while "in turn" in rig.verdict()[1]:
        answered(rig)


def test_time_that_goes_back_and_forth_is_survived(rig):
    now = time.time_ns()
    for step in (0, -3600, 0, -5, 2, -(10**6), 0):
        rig.send(now + step * SECOND)
        rig.spin_for(0.02)
    answered(rig)


# Parameters and services.


def test_a_parameter_of_a_type_that_does_not_exist_is_survived(rig):
    value = ParameterValue(type=77)
    request = SetParameters.Request(parameters=[Parameter(name="voxels.grow", value=value)])
    client = rig.node.create_client(SetParameters, "/scenedino/set_parameters")
    rig.spin_until(client.service_is_ready, "the service")
    client.call_async(request)
    rig.spin_for(0.3)
    assert rig.set_parameter("voxels.grow", False) == (True, "")
    answered(rig)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("voxels.max_cubes", 2**62, "voxels.max_cubes"),
        ("voxels.max_cubes", 1_000_001, "voxels.max_cubes"),
        ("voxels.density_threshold", float("nan"), "density_threshold"),
        ("voxels.hidden_classes", ["\x1b[2J" + "x" * 100_000], r"\x1b[2Jxxx"),
    ],
)
def test_an_absurd_parameter_is_refused(rig, name, value, words):
    successful, reason = rig.set_parameter(name, value)
    assert not successful
    assert words in reason
    assert reason.isprintable()
    assert len(reason) <= 1000
    answered(rig)


def test_a_bug_in_the_check_of_parameters_is_an_answer(rig, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(rig.live.node._live, "_check", lambda settings: 1 / 0)
        successful, reason = rig.set_parameter("voxels.grow", True)
    assert not successful
    assert reason == "failed, see the log: ZeroDivisionError: division by zero"
    assert rig.set_parameter("voxels.grow", False) == (True, "")


@pytest.mark.parametrize("name", ["reset", "save_map"])
def test_a_service_that_fails_answers_with_a_sentence(rig, monkeypatch, name):
    with monkeypatch.context() as patch:
        patch.setattr(rig.live.pipeline.map, name.removesuffix("_map"), lambda: 1 / 0)
        answer = rig.call(Trigger, f"/scenedino/{name}", Trigger.Request())
    assert (answer.success, answer.message) == (
        False,
        "failed, see the log: ZeroDivisionError: division by zero",
    )
    wait_for_failure(rig, "a service: ZeroDivisionError")
    answered(rig)


def test_exhausted_memory_is_the_answer_of_a_service(rig, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(rig.live.pipeline.map, "save", lambda: bytes(1 << 50))
        answer = rig.call(Trigger, "/scenedino/save_map", Trigger.Request())
    assert not answer.success
    assert answer.message.startswith("there is not enough memory")


# Bugs, hangs, threads that die.


def test_a_bug_where_images_are_taken_in_costs_that_image(rig, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(camera_input, "_kind_of_image", lambda message: 1 / 0)
        rig.send_until_counted(FAILED)
        rig.spin_until(lambda: rig.verdict()[0] == Level.ERROR, "an error")
    assert rig.values()["last problem"] == "ZeroDivisionError: division by zero"
    answered(rig)
    settle(rig)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("camera_info", "taking in a camera_info: ZeroDivisionError"),
        ("report", "a report: ZeroDivisionError"),
        ("timer", "a callback: ZeroDivisionError"),
    ],
)
def test_a_bug_in_a_callback_is_an_error_in_the_diagnostics(rig, monkeypatch, place, words):
    node = rig.live.node
    with monkeypatch.context() as patch:
        if place == "camera_info":
            patch.setattr(camera_input, "_kind_of_info", lambda message: 1 / 0)
        elif place == "report":
            patch.setattr(node, "_state_label", lambda: 1 / 0)
        timer = node.create_timer(0.01, lambda: 1 / 0) if place == "timer" else None
        rig.send()
        rig.spin_until(lambda: rig.status["failures"][0] == Level.ERROR, "an error")
        wait_for_failure(rig, words)
        if timer is not None:
            node.destroy_timer(timer)
    rig.spin_until(lambda: rig.status["failures"][:2] == (Level.OK, "none"), "no more errors")
    answered(rig)


def test_a_frame_that_hangs_is_reported_and_so_is_its_end(rig, monkeypatch, capfd):
    go_on = threading.Event()
    processor = rig.live.pipeline._worker._processor
    decode = processor._rgb_from_image

    def hang(message):
        go_on.wait(DEADLINE)
        return decode(message)

    monkeypatch.setattr(health, "LONG", 0.3)
    with monkeypatch.context() as patch:
        patch.setattr(processor, "_rgb_from_image", hang)
        stamp_ns = rig.send()
        words = f"the image with the stamp {stamp_ns / 1e9:.6f} s has been worked on for "
        rig.spin_until(lambda: words in rig.verdict()[1], "the hang")
    assert rig.verdict()[0] == Level.ERROR
    assert rig.verdict()[1].endswith(", in the stage decode")
    go_on.set()
    answered(rig)
    log = capfd.readouterr().err
    assert f"nothing comes out: {words}" in log
    assert "answers come again" in log


def test_a_service_does_not_wait_for_an_image_that_hangs(rig, monkeypatch):
    go_on, at_work = threading.Event(), threading.Event()
    processor = rig.live.pipeline._worker._processor

    def hang(*_):
        at_work.set()
        go_on.wait(DEADLINE)

    monkeypatch.setattr(pipeline, "_SERVICE_WAIT", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(processor, "_process", hang)
        rig.send()
        rig.spin_until(at_work.is_set, "an image that hangs")
        answer = rig.call(Trigger, "/scenedino/reset", Trigger.Request())
    assert (answer.success, answer.message) == (
        False,
        "no answer within 0.2 s, because images take so long: nothing was done",
    )
    go_on.set()
    answered(rig)
    assert rig.call(Trigger, "/scenedino/reset", Trigger.Request()).success


def test_a_node_that_waits_for_a_hang_before_it_is_deactivated_reports_it(rig, monkeypatch):
    go_on, at_work = threading.Event(), threading.Event()
    processor = rig.live.pipeline._worker._processor

    def hang(*_):
        at_work.set()
        go_on.wait(DEADLINE)

    monkeypatch.setattr(health, "LONG", 0.3)
    with monkeypatch.context() as patch:
        patch.setattr(processor, "_process", hang)
        rig.send()
        rig.spin_until(at_work.is_set, "an image that hangs")
    client = rig.node.create_client(ChangeState, "/scenedino/change_state")
    rig.spin_until(client.service_is_ready, "the service")
    deactivate = Transition(id=Transition.TRANSITION_DEACTIVATE)
    answer = client.call_async(ChangeState.Request(transition=deactivate))
    rig.spin_until(lambda: "has been worked on for" in rig.verdict()[1], "the hang")
    first = rig.reports
    rig.spin_until(lambda: rig.reports > first + 2, "more reports")
    assert not answer.done()
    assert rig.status["failures"][:2] == (Level.OK, "none")
    go_on.set()
    rig.spin_until(answer.done, "the end of the transition")
    assert answer.result().success
    assert rig.change_state(Transition.TRANSITION_ACTIVATE)
    answered(rig)


def test_an_answer_to_a_point_that_hangs_is_reported(rig, monkeypatch):
    worker = rig.live.pipeline._worker
    monkeypatch.setattr(worker, "_between_since", time.monotonic() - 30.0)
    words = "the answer to a point has been worked on for 3"
    rig.spin_until(lambda: words in rig.status["failures"][1], "the hang")
    monkeypatch.setattr(worker, "_between_since", None)
    rig.spin_until(lambda: rig.status["failures"][0] == Level.OK, "its end")


@pytest.mark.parametrize(
    ("thread", "words"),
    [
        ("tf", "the thread that listens to TF has ended: activate the node again"),
        ("compute", "the thread that computes has ended: start the node again"),
    ],
)
def test_a_thread_that_died_is_noticed(rig, monkeypatch, capfd, thread, words):
    dead = threading.Thread(target=lambda: None)
    owner = rig.live.pipeline._transforms if thread == "tf" else rig.live.node._compute
    with monkeypatch.context() as patch:
        patch.setattr(owner, "_thread", dead)
        rig.spin_until(lambda: words in rig.status["failures"][1], "the dead thread")
        assert rig.status["failures"][0] == Level.ERROR
    rig.spin_until(lambda: rig.status["failures"][0] == Level.OK, "the living one")
    assert words in capfd.readouterr().err


def test_a_bug_in_the_thread_of_tf_is_survived(rig, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(transform_source, "transforms_from_cdr", lambda data: 1 / 0)
        rig.send_tf(time.time_ns())
        wait_for_failure(rig, "a message of TF: ZeroDivisionError")
    answered(rig)


def test_a_bug_in_a_pause_is_an_answer(rig, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(rig.live.pipeline, "_dropped", lambda: 1 / 0)
        answer = rig.call(SetBool, "/scenedino/pause", SetBool.Request(data=True))
        assert not answer.success
    rig.call(SetBool, "/scenedino/pause", SetBool.Request(data=False))
    answered(rig)


# Several cameras.


class Pair:
    """A node with two cameras, which are fed one by one."""

    def __init__(self):
        self.live = LiveNode(input__cameras="[front, left]", grid__tf_timeout=TF_TIMEOUT)
        self.rig = self.live.rig
        create = self.rig.node.create_publisher
        self.images = {name: create(Image, f"/{name}/image", 1) for name in ("front", "left")}
        self.infos = {name: create(CameraInfo, f"/{name}/camera_info", 1) for name in self.images}
        self.inboxes = {
            name: self.rig.subscribe(f"/scenedino/{name}/voxels", PointCloud2)
            for name in self.images
        }
        for publisher in (*self.images.values(), *self.infos.values()):
            self.rig.spin_until(lambda p=publisher: p.get_subscription_count(), "the node")

    def send(self, camera, stamp_ns=None, with_tf=True):
        stamp_ns = stamp_ns or time.time_ns()
        if with_tf:
            send_transform(self.rig, stamp_ns, child=f"{camera}_optical")
        self.infos[camera].publish(info_message(as_stamp(stamp_ns)))
        image = image_message(as_stamp(stamp_ns), frame_id=f"{camera}_optical")
        self.images[camera].publish(image)
        self.rig.spin_for(0.05)

    def answer(self, camera, **how):
        before = self.rig.count("images out", camera)
        while self.rig.count("images out", camera) == before:
            self.send(camera, **how)


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.live.close()


def test_a_camera_without_tf_holds_up_no_other(pair):
    """Its images wait for a second; the other camera is answered meanwhile."""
    pair.answer("front")
    start = time.monotonic()
    pair.send("left", with_tf=False)
    held = pair.live.pipeline._worker._held
    pair.rig.spin_until(lambda: bool(held), "an image that is held")
    for _ in range(3):
        pair.answer("front")
    assert held or time.monotonic() - start > TF_TIMEOUT
    refused = "dropped: no transform"
    pair.rig.spin_until(lambda: pair.rig.count(refused, "left") > 0, "its refusal")
    pair.answer("left")


def test_a_late_transform_is_waited_for(pair):
    pair.answer("left")
    stamp_ns, before = time.time_ns(), pair.rig.count("images out", "left")
    pair.send("left", stamp_ns, with_tf=False)
    pair.rig.spin_until(lambda: bool(pair.live.pipeline._worker._held), "an image that is held")
    send_transform(pair.rig, stamp_ns, child="left_optical")
    pair.rig.spin_until(lambda: pair.rig.count("images out", "left") > before, "its answer")


def test_one_cameras_clock_clears_no_transforms_of_the_other(pair, monkeypatch):
    cleared = []
    transforms = pair.live.pipeline._transforms
    clear = transforms.clear
    monkeypatch.setattr(transforms, "clear", lambda: cleared.append(clear()))
    counted = "dropped: time ran backwards"
    pair.answer("left")
    pair.answer("front")
    for camera, clearings in (("left", 0), ("front", 1)):
        before, now = pair.rig.count(counted, camera), time.time_ns() - 3600 * SECOND
        pair.send(camera, now, with_tf=False)
        pair.rig.spin_until(lambda c=camera, b=before: pair.rig.count(counted, c) > b, "a jump")
        assert len(cleared) == clearings  # when time has jumped for both, as in a recording's loop
    pair.answer("left")
    pair.answer("front")
    before = pair.rig.count(counted, "left")
    pair.send("left", time.time_ns() - 3600 * SECOND, with_tf=False)
    pair.rig.spin_until(lambda: pair.rig.count(counted, "left") > before, "a jump")
    pair.answer("front")  # may have been on its way
    assert len(cleared) == 1
    before = pair.rig.count(counted, "front")
    pair.send("front", time.time_ns() - 3600 * SECOND, with_tf=False)
    pair.rig.spin_until(lambda: pair.rig.count(counted, "front") > before, "a jump")
    assert len(cleared) == 2
    pair.answer("left")
