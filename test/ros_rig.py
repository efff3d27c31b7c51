# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A camera, a set of subscribers and a lifecycle manager for a node that runs in a process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scenedino_ros.node.tf_message_type import TF_QOS, tf_message_class
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms
from scenedino_ros.recordings.transforms import StampedTransform

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 90.0  # seconds that a loaded machine may take for anything
WIDTH, HEIGHT = 160, 64
SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
CAMERA_FRAME, GRID_FRAME = "camera_optical", "base"
# The camera looks along x of the base, 1.5 m above its origin.
BASE_CAMERA = ((0.0, 0.0, 1.5), (-0.5, 0.5, -0.5, 0.5))


ISOLATED = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "OMP_NUM_THREADS": "1"}


def wait_for(happened: Callable[[], object]) -> None:
    assert any(happened() or time.sleep(0.01) for _ in range(int(DEADLINE * 100)))


class NodeProcess:
    """The node, started as its users start it, with its log in a file."""

    def __init__(self, domain: int, log: Path, parameters: dict[str, Any]) -> None:
        self.domain, self.log = domain, log
        command = [sys.executable, "-m", "scenedino_ros.node.main", "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "ROS_DOMAIN_ID": str(domain), **ISOLATED},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def wait(self) -> tuple[int, float]:
        """Return the exit code and how long the process took to end, seconds."""
        start = time.monotonic()
        return self.process.wait(DEADLINE), time.monotonic() - start

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(status[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Rig:
    """The other side of the node's topics and services."""

    def __init__(self, domain: int) -> None:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("rig", context=self._context, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.status: dict[str, Any] = {}
        self.reports = 0
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, 10)
        self._info = self.node.create_publisher(CameraInfo, "/camera_info", 10)
        self._tf = self.node.create_publisher(tf_message_class(), "/tf", TF_QOS)
        self._clients: dict[str, Any] = {}
        self._camera: Any = None

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.shutdown()

    # Waiting.

    def spin_until(self, happened, what: str, timeout: float = DEADLINE) -> None:
        deadline = time.monotonic() + timeout
        while not happened():
            assert time.monotonic() < deadline, f"waited in vain for: {what}; {self.status}"
            self._executor.spin_once(timeout_sec=0.05)

    def spin_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.02)

    # Diagnostics.

    def _on_report(self, array: DiagnosticArray) -> None:
        self.reports += 1
        for status in array.status:
            task = status.name.partition(": ")[2]
            values = {pair.key: pair.value for pair in status.values}
            self.status[task] = (status.level[0], status.message, values)

    def wait_active(self, camera: str = "") -> None:
        self.spin_until(lambda: self.values(camera)["state"] == "active", "the active node")

    def values(self, camera: str = "") -> dict[str, str]:
        return self._frames(camera)[2]

    def count(self, name: str, camera: str = "") -> int:
        return int(self.values(camera).get(name, 0))

    def verdict(self, camera: str = "") -> tuple[int, str]:
        return self._frames(camera)[:2]

    def _frames(self, camera: str) -> tuple[int, str, dict[str, str]]:
        unheard = (-1, "not heard of", {"state": "not heard of"})
        return self.status.get(f"frames {camera}".strip(), unheard)

    # The camera.

    def open_camera(self, message_type: type = Image) -> None:
        topic = "/image" if message_type is Image else "/image/compressed"
        self._camera = self.node.create_publisher(message_type, topic, 10)

    def close_camera(self) -> None:
        self.node.destroy_publisher(self._camera)

    def send_image(self, stamp_ns: int, **changes: Any) -> None:
        self._camera.publish(image_message(as_stamp(stamp_ns), **changes))

    def send_jpeg(self, stamp_ns: int, data: bytes) -> None:
        message = CompressedImage(format="jpeg", data=data)
        message.header.stamp, message.header.frame_id = as_stamp(stamp_ns), CAMERA_FRAME
        self._camera.publish(message)

    def send_info(self, stamp_ns: int, **changes: Any) -> None:
        self._info.publish(info_message(as_stamp(stamp_ns), **changes))

    def send_tf(self, stamp_ns: int) -> None:
        transform = StampedTransform(GRID_FRAME, CAMERA_FRAME, stamp_ns, *BASE_CAMERA)
        self._tf.publish(cdr_from_transforms([transform]))

    def send(self, stamp_ns: int | None = None, info: Any = None, **changes: Any) -> int:
        """Send transform, calibration and image of one moment; return its stamp, nanoseconds."""
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        self.send_tf(stamp_ns)
        self.send_info(stamp_ns, **(info or {}))
        self.send_image(stamp_ns, **changes)
        return stamp_ns

    def send_until_counted(self, name: str, send=None) -> None:
        """Send frames, a few per second, until one more is counted under a name."""
        before = self.count(name)
        deadline = time.monotonic() + DEADLINE
        while self.count(name) == before:
            assert time.monotonic() < deadline, f"never counted: {name}; {self.status}"
            (send or self.send)()
            patience = time.monotonic() + 0.3
            while self.count(name) == before and time.monotonic() < patience:
                self._executor.spin_once(timeout_sec=0.02)

    # Subscribers.

    def subscribe(self, topic: str, message_type: type) -> "Inbox":
        return Inbox(self, topic, message_type)

    # Services.

    def call(self, service_type: type, name: str, request: Any) -> Any:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.node.create_client(service_type, name)
        self.spin_until(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.spin_until(future.done, f"answer of {name}")
        return future.result()

    def change_state(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, "/scenedino/change_state", request).success

    def state(self) -> str:
        return self.call(GetState, "/scenedino/get_state", GetState.Request()).current_state.label

    def set_parameter(self, name: str, value: Any) -> tuple[bool, str]:
        request = SetParameters.Request(parameters=[Parameter(name=name, value=as_value(value))])
        result = self.call(SetParameters, "/scenedino/set_parameters", request).results[0]
        return result.successful, result.reason

    def get_parameter(self, name: str) -> Any:
        request = GetParameters.Request(names=[name])
        found = self.call(GetParameters, "/scenedino/get_parameters", request).values[0]
        return rclpy.parameter.parameter_value_to_python(found)

    def describe(self, name: str) -> Any:
        request = DescribeParameters.Request(names=[name])
        answer = self.call(DescribeParameters, "/scenedino/describe_parameters", request)
        return answer.descriptors[0]


class Inbox:
    """What came on one topic since it was opened."""

    def __init__(self, rig: Rig, topic: str, message_type: type) -> None:
        self._rig, self._topic = rig, topic
        self.messages: list[Any] = []
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        self._subscription = rig.node.create_subscription(
            message_type, topic, self.messages.append, qos
        )
        rig.spin_until(lambda: rig.node.count_publishers(topic) > 0, f"publisher of {topic}")

    def next(self, what: str = "a message") -> Any:
        """Wait for a message and return it."""
        self._rig.spin_until(lambda: bool(self.messages), f"{what} on {self._topic}")
        return self.messages.pop(0)

    def close(self) -> None:
        self._rig.node.destroy_subscription(self._subscription)

    def __enter__(self) -> "Inbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_stamp(stamp_ns: int) -> Any:
    return rclpy.time.Time(nanoseconds=stamp_ns).to_msg()


def picture() -> np.ndarray:
    """Return a (HEIGHT, WIDTH, 3) uint8 picture with structure in it."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def image_message(stamp: Any, **changes: Any) -> Image:
    message = Image(
        height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=picture().tobytes()
    )
    message.header.stamp, message.header.frame_id = stamp, CAMERA_FRAME
    message.header.frame_id = changes.pop("frame_id", CAMERA_FRAME)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def info_message(stamp: Any, focal: float = 90.0, **changes: Any) -> CameraInfo:
    message = CameraInfo(height=HEIGHT, width=WIDTH, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header.stamp, message.header.frame_id = stamp, CAMERA_FRAME
    cx, cy = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    message.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def as_value(value: Any) -> ParameterValue:
    if isinstance(value, bool):
        return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
    if isinstance(value, int):
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    if isinstance(value, float):
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    if isinstance(value, str):
        return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    return ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=value)
