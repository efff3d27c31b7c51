# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The acts of faults: what is done to a node, its processes, its limits and its topics."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fault_table import Act
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_rig import ISOLATED, ROOT, as_stamp, info_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from scenedino_ros.core.outputs import OUTPUTS

_CAMERA_PROCESS = """
import time, rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("second_camera")
publisher = node.create_publisher(Image, "/image", QoSProfile(depth=1))
while publisher.get_subscription_count() == 0:
    time.sleep(0.05)
print("matched", flush=True)
time.sleep(1000)
"""
_MESSAGES = {"sensor_msgs/msg/PointCloud2": PointCloud2, "sensor_msgs/msg/Image": Image}


class Injector:
    """Does the acts of faults to one node.

    Attributes:
        refusals: The sentences with which services and parameters refused.
    """

    def __init__(self, stage: Any) -> None:
        """Work on the node of a stage."""
        self._stage, self._rig = stage, stage.rig
        self.refusals: list[str] = []
        self._busy: list[subprocess.Popen[bytes]] = []
        self._features: Any = None
        self._latched: Any = None

    def act(self, act: Act) -> None:
        """Do one act."""
        getattr(self, act.verb)(**act.arguments)

    @property
    def _pid(self) -> int:
        return int(self._stage.process.process.pid)

    # Memory.

    def reset_peak_memory(self) -> float:
        """Let the peak of the resident memory begin anew; return it, MiB."""
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")
        return self.peak_memory()

    def peak_memory(self) -> float:
        """Return the peak of the resident memory of the node, MiB."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def limit_memory(self, mib: float | None) -> None:
        """Let the address space grow by no more than some MiB; None: without limit."""
        most = resource.RLIM_INFINITY
        if mib is not None:
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + round(mib * (1 << 20))
        _, hard = resource.prlimit(self._pid, resource.RLIMIT_AS)
        resource.prlimit(self._pid, resource.RLIMIT_AS, (most, hard))

    def limit_files(self, full: bool) -> None:
        """Let no file of the node grow, as on a full disk; False: let them grow again."""
        _, hard = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
        most = 0 if full else resource.RLIM_INFINITY
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (most, hard))

    def remove_shared_memory(self) -> None:
        """Remove the files of shared memory that the node has mapped."""
        maps = Path(f"/proc/{self._pid}/maps").read_text()
        for name in set(re.findall(r"/dev/shm/\S+", maps)):
            Path(name).unlink(missing_ok=True)

    # Processes.

    def stopped_for_frames(self, count: int) -> None:
        """Stop the node's process, send frames, and let it continue."""
        self._stage.process.interrupt(signal.SIGSTOP)
        for _ in range(count):
            self._stage.send()
            self._rig.spin_for(0.02)
        self._stage.process.interrupt(signal.SIGCONT)
        self._rig.spin_for(0.2)

    def kill_and_start(self) -> None:
        """Kill the node's process, and start it again."""
        self._stage.process.kill()
        self._rig.status.clear()
        self._stage.start()
        self._rig.wait_active()

    def starve(self) -> None:
        """Let four processes compute where the node does."""
        processor = min(os.sched_getaffinity(self._pid))
        for thread in Path(f"/proc/{self._pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {processor})
            os.setpriority(os.PRIO_PROCESS, int(thread.name), 10)
        command = [sys.executable, "-c", "while True: pass"]
        self._busy = [subprocess.Popen(command) for _ in range(4)]
        for process in self._busy:
            os.sched_setaffinity(process.pid, {processor})

    def feed(self) -> None:
        """End what `starve` began."""
        for process in self._busy:
            process.kill()
            process.wait()
        for thread in Path(f"/proc/{self._pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), range(os.cpu_count() or 1))

    def camera_process_killed(self) -> None:
        """Start a camera as a process, and kill it once the node knows it."""
        process = subprocess.Popen(
            [sys.executable, "-c", _CAMERA_PROCESS],
            cwd=ROOT,
            env={**os.environ, "ROS_DOMAIN_ID": str(self._stage.domain), **ISOLATED},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"matched\n"
        finally:
            process.kill()
            process.wait()

    # Topics.

    def close_camera(self) -> None:
        """Close the camera's publisher."""
        self._rig.close_camera()

    def open_camera(self) -> None:
        """Open it again, and wait until the node has found it."""
        self._rig.open_camera(self._stage.message_type)
        publisher = self._rig._camera
        self._rig.spin_until(lambda: publisher.get_subscription_count() > 0, "a node that listens")

    def latch_info(self) -> None:
        """Let the only CameraInfo be a latched one."""
        quality = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._latched = self._rig.node.create_publisher(CameraInfo, "/camera_info", quality)
        self._latched.publish(info_message(as_stamp(time.time_ns())))

    def unlatch_info(self) -> None:
        """Close the publisher of `latch_info`."""
        self._rig.node.destroy_publisher(self._latched)

    def unsubscribe(self) -> None:
        """Close the only subscription to an output."""
        self._stage.clouds.close()
        self._rig.spin_until(
            lambda: self._rig.node.count_subscribers("/scenedino/voxels") == 0, "no subscriber"
        )

    def subscribe(self) -> None:
        """Open it again."""
        self._stage.subscribe()

    def subscribe_anew(self) -> None:
        """Close it and open it."""
        self.unsubscribe()
        self.subscribe()

    def subscribe_features(self) -> None:
        """Subscribe to the rendered features."""
        self._features = self._rig.subscribe("/scenedino/features/image", Image)

    def unsubscribe_features(self) -> None:
        """Close the subscription to the features."""
        self._features.close()

    def subscribers_come_and_go(self, count: int) -> None:
        """Open subscriptions to all outputs, and close them at once."""
        outputs = [output for output in OUTPUTS if output.type in _MESSAGES]
        opened = []
        for number in range(count):
            output = outputs[number % len(outputs)]
            opened.append(
                self._rig.node.create_subscription(
                    _MESSAGES[output.type], output.topic(), lambda _: None, 1
                )
            )
        self._rig.spin_for(0.05)
        for subscription in opened:
            self._rig.node.destroy_subscription(subscription)

    # Services.

    def configure_anew(self) -> None:
        """Take the node to the unconfigured state and back, so that it has no calibration."""
        for transition in (
            Transition.TRANSITION_DEACTIVATE,
            Transition.TRANSITION_CLEANUP,
            Transition.TRANSITION_CONFIGURE,
            Transition.TRANSITION_ACTIVATE,
        ):
            assert self._rig.change_state(transition)
        self._rig.wait_active()

    def parameter(self, name: str, value: Any) -> None:
        """Change a parameter."""
        assert self._rig.set_parameter(name, value) == (True, "")

    def parameters_change(self, count: int) -> None:
        """Change parameters, one after another."""
        for number in range(count):
            names = ("voxels.density_threshold", "voxels.max_cubes", "render.n_samples")
            values: tuple[Any, ...] = (1e-9 * (1 + number), 10 + number, 2 + number)
            self.parameter(names[number % 3], values[number % 3])

    def wrong_parameters(self, count: int) -> None:
        """Change parameters to values that are out of range."""
        for number in range(count):
            accepted, reason = self._rig.set_parameter("voxels.density_threshold", -1.0 - number)
            assert not accepted
            self.refusals.append(reason)

    def unknown_transition(self, label: str) -> None:
        """Ask for a transition by a label that no transition has."""
        request = ChangeState.Request(transition=Transition(label=label))
        assert not self._rig.call(ChangeState, "/scenedino/change_state", request).success

    def save_map(self) -> None:
        """Ask for the map to be saved."""
        answer = self._rig.call(Trigger, "/scenedino/save_map", Trigger.Request())
        if not answer.success:
            self.refusals.append(answer.message)
