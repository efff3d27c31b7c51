# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""/tf and /tf_static between real nodes and processes, with tf2 or without any package of it."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from builtin_interfaces.msg import Time  # noqa: E402
from rclpy.node import Node  # noqa: E402

from scenedino_ros.core.errors import TransformError  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node import tf_message_type, tf_type_support, transform_source  # noqa: E402
from scenedino_ros.node.failures import Failures  # noqa: E402
from scenedino_ros.node.tf_message_type import (  # noqa: E402
    TF_QOS,
    TF_STATIC_QOS,
    tf_message_class,
)
from scenedino_ros.node.transform_source import TransformSource  # noqa: E402
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms  # noqa: E402
from scenedino_ros.recordings.transform_tree import TransformTooOldError  # noqa: E402
from scenedino_ros.recordings.transforms import StampedTransform, matrix_from_rotation  # noqa: E402

pytestmark = pytest.mark.ros

DEADLINE = 30.0  # seconds that a loaded machine may take for anything below
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
TYPE_HASH = "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
STATIC = StampedTransform("base", "camera", 0, (0.5, 0.0, 1.2), (-0.5, 0.5, -0.5, 0.5))


def moving(stamp_ns: int) -> StampedTransform:
    """The robot drives along x at 2 m/s."""
    x = 2.0 * (stamp_ns - START) / SECOND
    return StampedTransform("odom", "base", stamp_ns, (x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def stamp_message(stamp_ns: int):
    return rclpy.time.Time(nanoseconds=stamp_ns).to_msg()


class Broadcaster:
    """Publishes transforms the way the player of a recording does: as bytes."""

    def __init__(self, node: Node) -> None:
        self._moving = node.create_publisher(tf_message_class(), "/tf", TF_QOS)
        self._static = node.create_publisher(tf_message_class(), "/tf_static", TF_STATIC_QOS)

    def send(self, *transforms: StampedTransform) -> None:
        self._moving.publish(cdr_from_transforms(transforms))

    def send_static(self, *transforms: StampedTransform) -> None:
        self._static.publish(cdr_from_transforms(transforms))

    def wait_for_listener(self) -> None:
        wait_until(lambda: self._moving.get_subscription_count() > 0)


def broadcast_until_stopped() -> None:
    """What the other process does: the static transform once, then the drive until its end."""
    rclpy.init()
    broadcaster = Broadcaster(Node("driver"))
    broadcaster.send_static(STATIC)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    step = 0
    while os.getppid() != 1:
        broadcaster.send(moving(START + step % 100 * SECOND // 20))  # a bag that plays in a loop
        step += 1
        time.sleep(0.01)


def fail_without_closing() -> None:
    """What a process must survive: an error ends it while a source still listens."""
    rclpy.init()
    TransformSource(Node("listener"), Failures(print)).lookup("map", "base", stamp_message(START))


def start_process(function, **streams) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, __file__, function.__name__]
    return subprocess.Popen(command, env=environment, text=True, **streams)


def wait_until(happened) -> None:
    deadline = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < deadline, "nothing happened before the deadline"
        time.sleep(0.01)


def is_known(source: TransformSource, target: str, frame: str, stamp) -> bool:
    try:
        source.lookup(target, frame, stamp)
    except TransformError:
        return False
    return True


def found(source: TransformSource, target: str, frame: str, stamp) -> np.ndarray:
    """Return a transform as soon as it is known."""
    wait_until(lambda: is_known(source, target, frame, stamp))
    return source.lookup(target, frame, stamp)


@pytest.fixture
def domain(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    number = reserve_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    return number


@pytest.fixture
def context(domain):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    yield context
    context.try_shutdown()


@pytest.fixture
def node(context):
    node = Node("listener", context=context)
    yield node
    node.destroy_node()


@pytest.fixture(params=["tree", "tf2"])
def store(request, monkeypatch):
    """Run with our tree, and again with tf2's buffer where that is installed."""
    if request.param == "tf2":
        pytest.importorskip("tf2_ros", reason="tf2_ros comes with a full ROS installation")
    else:
        monkeypatch.setattr(transform_source, "tf2_ros", None)
    return request.param


@pytest.fixture
def source(node, store):
    source = TransformSource(node, Failures(print))
    yield source
    source.close()


@pytest.fixture
def driver(domain):
    process = start_process(broadcast_until_stopped, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_transforms_come_from_another_process(driver, node, source):
    # The static one was sent before we were there, the listener's node is never spun by us.
    T_base_camera = found(source, "base", "camera", stamp_message(START))
    expected = matrix_from_rotation(STATIC.translation, STATIC.rotation)
    np.testing.assert_allclose(T_base_camera, expected, atol=1e-12)
    # We may have come in the middle of a round, so the time asked for may come with the next one.
    between = stamp_message(START + SECOND + SECOND // 40)
    wait_until(lambda: is_known(source, "odom", "camera", between))
    T_odom_camera = source.lookup("odom", "camera", between)
    expected[:3, 3] += [2.05, 0, 0]  # between two stamps, 50 ms apart
    np.testing.assert_allclose(T_odom_camera, expected, atol=1e-9)

    types = dict(node.get_topic_names_and_types())
    assert types["/tf"] == types["/tf_static"] == ["tf2_msgs/msg/TFMessage"]
    wait_until(lambda: node.get_publishers_info_by_topic("/tf"))
    for topic in ("/tf", "/tf_static"):
        ends = [
            *node.get_publishers_info_by_topic(topic),
            *node.get_subscriptions_info_by_topic(topic),
        ]
        assert {end.topic_type for end in ends} == {"tf2_msgs/msg/TFMessage"}
        if hasattr(ends[0], "topic_type_hash"):  # since Iron
            assert {str(end.topic_type_hash) for end in ends} == {TYPE_HASH}


def test_what_is_not_known_is_refused(node, store):
    source = TransformSource(node, Failures(print))
    try:
        broadcaster = Broadcaster(node)
        broadcaster.wait_for_listener()
        broadcaster.send(moving(START))
        wait_until(lambda: is_known(source, "odom", "base", stamp_message(START)))
        head = "no transform from 'base' to 'odom' at 1700000001.000000000 s: "
        with pytest.raises(TransformError, match=head):
            source.lookup("odom", "base", stamp_message(START + SECOND))
        with pytest.raises(TransformError, match="no transform from 'cam' to 'odom'.*cam"):
            source.lookup("odom", "cam", stamp_message(START))
        with pytest.raises(TransformError, match="stamp 0 is none|into the past"):
            source.lookup("odom", "base", stamp_message(0))
        broadcaster.send_static(StampedTransform("base", "lens", 0, (1.0, 0.0, 2.0), (0, 0, 0, 1)))
        wait_until(lambda: is_known(source, "base", "lens", stamp_message(0)))
        np.testing.assert_allclose(
            source.lookup("base", "lens", stamp_message(0))[:3, 3], [1.0, 0.0, 2.0]
        )
    finally:
        source.close()


def test_what_may_still_come_and_what_is_past_are_different_errors(node, source):
    broadcaster = Broadcaster(node)
    broadcaster.wait_for_listener()
    broadcaster.send(moving(START), moving(START + SECOND))
    found(source, "odom", "base", stamp_message(START + SECOND))
    with pytest.raises(TransformTooOldError, match="at 1699999999"):
        source.lookup("odom", "base", stamp_message(START - SECOND))
    with pytest.raises(TransformTooOldError, match="must be >= 0"):
        source.lookup("odom", "base", Time(sec=-1))
    with pytest.raises(TransformError) as late:
        source.lookup("odom", "base", stamp_message(START + 2 * SECOND))
    assert not isinstance(late.value, TransformTooOldError)


def test_a_clock_that_jumps_back_is_forgotten_on_request(node, source):
    broadcaster = Broadcaster(node)
    broadcaster.wait_for_listener()
    broadcaster.send_static(STATIC)
    broadcaster.send(moving(START + 1000 * SECOND))
    found(source, "odom", "camera", stamp_message(START + 1000 * SECOND))
    source.clear()
    broadcaster.send(moving(START))
    assert found(source, "odom", "camera", stamp_message(START))[0, 3] == pytest.approx(0.5)


def test_closing_leaves_nothing_behind_and_may_come_twice(node, source):
    assert source.is_alive()
    source.close()
    source.close()
    assert source.is_alive()  # as far as anybody who watches it has to know
    assert not source._thread.is_alive()
    wait_until(lambda: "listener_tf" not in node.get_node_names())


def test_an_exception_in_a_message_is_noted_and_the_next_one_taken_in(node, monkeypatch):
    monkeypatch.setattr(transform_source, "tf2_ros", None)
    failures = Failures(print)
    source = TransformSource(node, failures)
    try:
        broadcaster = Broadcaster(node)
        broadcaster.wait_for_listener()
        with monkeypatch.context() as patch:
            patch.setattr(transform_source, "transforms_from_cdr", lambda data: 1 / 0)
            broadcaster.send(moving(START))
            wait_until(lambda: failures.counted()[0] == 1)
        assert "a message of TF: ZeroDivisionError" in failures.counted()[1]
        broadcaster.send(moving(START))
        found(source, "odom", "base", stamp_message(START))
        assert source.is_alive()
    finally:
        source.close()


def test_a_context_that_is_shut_down_ends_the_thread(context, node, source):
    context.shutdown()
    source._thread.join(DEADLINE)
    assert not source._thread.is_alive()


def test_an_error_that_ends_the_process_is_not_a_crash(domain):
    process = start_process(fail_without_closing, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, errors
    assert "no transform from 'base' to 'map'" in errors


def test_damaged_messages_are_skipped(node, monkeypatch):
    monkeypatch.setattr(transform_source, "tf2_ros", None)
    source = TransformSource(node, Failures(print))
    try:
        broadcaster = Broadcaster(node)
        broadcaster.wait_for_listener()
        good = cdr_from_transforms([moving(START)])
        broadcaster._moving.publish(good[:50])
        broadcaster.send(moving(START)._replace(rotation=(0.0, 0.0, 0.0, 0.0)), moving(START))
        assert found(source, "odom", "base", stamp_message(START))[0, 3] == 0
    finally:
        source.close()


def test_tf2_forgets_a_transform_from_the_future_and_refuses_absurd_ones(monkeypatch):
    """With a stand-in for tf2_ros, so that it runs where that is not installed."""
    calls, lines = [], []
    move = SimpleNamespace(x=1e39, y=0.0, z=0.0)
    turn = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    buffer = SimpleNamespace(
        clear=lambda: calls.append("clear"),
        set_transform=lambda transform, authority: calls.append(transform.header.stamp.sec),
        lookup_transform=lambda *_: SimpleNamespace(
            transform=SimpleNamespace(translation=move, rotation=turn)
        ),
    )
    tf2_ros = SimpleNamespace(
        Buffer=lambda cache_time: buffer,
        TransformListener=lambda buffer, node, spin_thread: None,
        TransformException=RuntimeError,
    )
    monkeypatch.setattr(transform_source, "tf2_ros", tf2_ros)
    logger = SimpleNamespace(warning=lambda text, throttle_duration_sec: lines.append(text))
    store = transform_source._Tf2Store(SimpleNamespace(get_logger=lambda: logger))
    for second in (100, 900, 101, 102, 103, 104):
        stamp = SimpleNamespace(sec=second, nanosec=0)
        transform = SimpleNamespace(header=SimpleNamespace(stamp=stamp), child_frame_id="base")
        store.set_transform(transform, "somebody")
    assert calls == [100, 900, 101, 102, "clear", 103, 104]
    assert [line.partition(":")[0] for line in lines] == [
        "a transform is left out",
        "a transform is left out",
        "the transforms of 'base' start anew",
    ]
    with pytest.raises(TransformError, match="expected a translation within"):
        store.lookup("odom", "base", START)


def test_remappings_of_the_process_hold(domain, store):
    context = rclpy.Context()
    remapped = ["--ros-args", "-r", "__node:=robot", "-r", "/tf:=/robot/tf", "-r", "__ns:=/east"]
    rclpy.init(args=remapped, context=context, domain_id=domain)
    node = Node("listener", context=context)
    source = TransformSource(node, Failures(print))
    try:
        names = [("robot", "/east"), ("robot_tf", "/east")]
        wait_until(lambda: sorted(node.get_node_names_and_namespaces()) == names)
        wait_until(lambda: node.count_subscribers("/robot/tf") == 1)
        assert node.count_subscribers("/tf_static") == 1
    finally:
        source.close()
        node.destroy_node()
        context.try_shutdown()


# --- the stand-in for tf2_msgs.msg.TFMessage -----------------------------------------------------


@pytest.fixture
def make_stand_in():
    return (
        tf_type_support.assembled_message_class.__wrapped__
    )  # without its cache, and also where tf2_msgs is


def refusal() -> str:
    try:
        tf_type_support._check_versions()
    except TransformError as error:
        return str(error)
    return ""


# Where tf2_msgs is installed, the stand-in is not needed and another middleware is fine.
needs_layout = pytest.mark.skipif(
    bool(refusal()) and tf_message_type.TFMessage is not None, reason=refusal()
)


@needs_layout
def test_many_threads_may_make_publishers_at_once(context, make_stand_in):
    # The middleware's lock and the interpreter's must not wait for each other.
    message_class = make_stand_in()
    nodes = [Node(f"node_{index}", context=context) for index in range(2)]

    def create_and_destroy(node: Node) -> None:
        for step in range(20):
            publisher = node.create_publisher(message_class, f"/tf_{step % 3}", 10)
            node.create_subscription(message_class, f"/tf_{step % 3}", print, 10, raw=True)
            node.destroy_publisher(publisher)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=create_and_destroy, args=(node,), daemon=True)
            for node in nodes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads)
    for node in nodes:
        node.destroy_node()


@needs_layout
def test_the_stand_in_has_no_instances(make_stand_in):
    with pytest.raises(TypeError, match="publish bytes"):
        make_stand_in()()


@needs_layout
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("get_rmw_implementation_identifier", lambda: "rmw_other", "the middleware is rmw_other"),
        ("LAYOUT_VERSIONS", ("0.1",), r"expected 0\.1\.x"),
        ("_NESTED_TYPE_LIST", 146, "the hash of the message is"),
        ("_TYPE_HASH", bytes(33), "the hash of the message is"),
    ],
)
def test_an_unknown_installation_is_refused(make_stand_in, monkeypatch, name, value, message):
    monkeypatch.setattr(tf_type_support, name, value)
    with pytest.raises(TransformError, match=message) as caught:
        make_stand_in()
    assert "grid.static_transform" in str(caught.value)


@needs_layout
def test_borrowed_parts_that_are_not_as_expected_are_refused(make_stand_in, monkeypatch):
    from geometry_msgs.msg import PoseArray

    monkeypatch.setattr(tf_type_support, "Polygon", PoseArray)
    with pytest.raises(TransformError, match="Polygon's name is b'PoseArray'"):
        make_stand_in()


@needs_layout
def test_memory_that_is_not_there_is_an_error_and_no_crash(monkeypatch):
    with pytest.raises(OSError, match="error"):
        tf_type_support._readable(4096, tf_type_support.TypeSupport)
    with pytest.raises(TransformError, match="there is no"):
        tf_type_support._readable(None, tf_type_support.TypeSupport)


def test_an_installation_with_tf2_msgs_never_loads_the_assembled_type(tmp_path):
    package = tmp_path / "tf2_msgs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "msg.py").write_text("class TFMessage:\n    pass\n")
    code = """
        import sys
        from scenedino_ros.demo import player, recorder
        from scenedino_ros.node import managed_node
        from scenedino_ros.node.message_types import message_class
        from scenedino_ros.node.tf_message_type import tf_message_class
        from tf2_msgs.msg import TFMessage

        assert tf_message_class() is message_class("tf2_msgs/msg/TFMessage") is TFMessage
        assert "scenedino_ros.node.tf_type_support" not in sys.modules
    """
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


if __name__ == "__main__":
    globals()[sys.argv[1]]()
