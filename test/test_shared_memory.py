# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The transport profile fits the shared memory, and log files the folders there are."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from scenedino_ros.demo.domains import reserve_domain
from scenedino_ros.node import log_files
from scenedino_ros.node.shared_memory import (
    PROFILE,
    PROFILE_VARIABLES,
    SMALL_PROFILE,
    profile_name,
    profile_variable,
    shortage,
)

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config"
MIB = 1 << 20
DEADLINE = 120.0


@pytest.fixture
def with_free(monkeypatch):
    def pretend(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))

    return pretend


@pytest.mark.parametrize(
    ("mib", "expected"), [(63, SMALL_PROFILE), (255, SMALL_PROFILE), (2000, PROFILE)]
)
def test_the_profile_leaves_room_for_other_processes(with_free, mib, expected):
    with_free(mib * MIB)
    assert profile_name() == expected


def test_without_shared_memory_the_small_profile_is_taken(tmp_path):
    assert profile_name(tmp_path / "absent") == SMALL_PROFILE
    assert shortage({PROFILE_VARIABLES[0]: str(CONFIG / PROFILE)}, tmp_path / "absent") == ""


def test_a_segment_that_finds_no_room_is_told_with_what_to_do(with_free, tmp_path):
    with_free(50 * MIB)
    said = shortage({PROFILE_VARIABLES[1]: str(CONFIG / PROFILE)})
    assert "50 MiB left, and this process takes 64 MiB" in said
    assert "--shm-size=1g or --ipc=host" in said
    assert shortage({PROFILE_VARIABLES[0]: str(CONFIG / SMALL_PROFILE)}) == ""
    assert shortage({}) == ""
    (tmp_path / "broken.xml").write_text("<profiles>")
    assert shortage({PROFILE_VARIABLES[0]: str(tmp_path / "broken.xml")}) == ""


@pytest.mark.parametrize(
    ("distribution", "number"), [("humble", 1), ("jazzy", 1), ("kilted", 0), ("lyrical", 0)]
)
def test_each_distribution_has_its_variable(distribution, number):
    assert profile_variable({"ROS_DISTRO": distribution}) == PROFILE_VARIABLES[number]


@pytest.mark.parametrize(("name", "mib"), [(PROFILE, 64), (SMALL_PROFILE, 8)])
def test_a_profile_has_shared_memory_and_udp(name, mib):
    root = ElementTree.parse(CONFIG / name).getroot()
    values = {e.tag.rpartition("}")[2]: e.text for e in root.iter()}
    assert int(values["segment_size"]) == mib * MIB
    assert int(values["maxMessageSize"]) <= mib * MIB
    assert values["useBuiltinTransports"] == "false"
    assert [e.text for e in root.iter() if e.tag.endswith("}type")] == ["SHM", "UDPv4"]


# Real messages through the 64 MB of a container.

RECEIVER = """
import sys, time, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Empty
rclpy.init()
node, got = rclpy.create_node("receiver"), []
best_effort = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
node.create_subscription(Image, "/image", lambda m: got.append(m.header.stamp.sec), best_effort)
over = []
node.create_subscription(Empty, "/over", over.append, 1)
end = time.monotonic() + 60
while not over and time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
print(len(set(got)))
"""
SENDER = """
import sys, time, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Empty
rclpy.init()
node = rclpy.create_node("sender")
best_effort = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
images, over = node.create_publisher(Image, "/image", best_effort), node.create_publisher(
    Empty, "/over", 1
)
end = time.monotonic() + 60
while not (images.get_subscription_count() and over.get_subscription_count()):
    assert time.monotonic() < end
    time.sleep(0.05)
time.sleep(0.5)
message = Image(height=400, width=1350, step=4050, encoding="rgb8", data=bytes(400 * 4050))
for number in range(int(sys.argv[1])):
    message.header.stamp.sec = number
    images.publish(message)
    time.sleep(0.1)
over.publish(Empty())
over.wait_for_all_acked()
time.sleep(0.2)
"""
SENT = 20


def in_a_container(code: str) -> list[str]:
    """Return a command that runs shell code with a /dev/shm of 64 MB of its own."""
    inside = f"mount -t tmpfs -o size=64m tmpfs /dev/shm && {code}"
    return ["unshare", "--mount", "sh", "-c", inside]


@pytest.mark.ros
def test_images_pass_through_the_shared_memory_of_a_container(tmp_path):
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    able = shutil.which("unshare") and subprocess.run(in_a_container("true"), capture_output=True)
    if not able or able.returncode:
        pytest.skip("no right to mount a shared memory of 64 MB")
    (tmp_path / "receiver.py").write_text(RECEIVER)
    (tmp_path / "sender.py").write_text(SENDER)
    code = (
        'export $1=$2/$("$0" -c "from scenedino_ros.node.shared_memory import profile_name;'
        'print(profile_name())") && '
        f'{{ "$0" {tmp_path}/receiver.py & "$0" {tmp_path}/sender.py {SENT}; wait; }}'
    )
    environment = {name: v for name, v in os.environ.items() if name not in PROFILE_VARIABLES}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "ROS_DOMAIN_ID": str(reserve_domain()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    done = subprocess.run(
        [*in_a_container(code), sys.executable, profile_variable(os.environ), str(CONFIG)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    # A machine that stalls for long may lose a few, not the half, as where no memory is shared.
    assert int(done.stdout) >= SENT - 4, done.stdout + done.stderr


# Log files.


def test_a_folder_for_log_files_is_found_by_the_rules_of_ros(tmp_path):
    (tmp_path / "file").touch()
    assert log_files.obstacle({"HOME": str(tmp_path)}) == ""
    assert (tmp_path / ".ros" / "log").is_dir()
    assert log_files.obstacle({"ROS_HOME": str(tmp_path / "ros")}) == ""
    assert (tmp_path / "ros" / "log").is_dir()
    assert log_files.obstacle({"ROS_LOG_DIR": "~/logs", "HOME": str(tmp_path)}) == ""
    assert (tmp_path / "logs").is_dir()
    for environment in ({}, {"ROS_LOG_DIR": "~/logs"}):
        said = log_files.obstacle(environment)
        assert "HOME is not set; set ROS_LOG_DIR" in said
    said = log_files.obstacle({"ROS_LOG_DIR": str(tmp_path / "file"), "HOME": str(tmp_path)})
    assert f"{tmp_path / 'file'} cannot be used" in said
    assert "set ROS_LOG_DIR" in said


@pytest.mark.ros
def test_a_node_without_a_folder_for_log_files_starts_and_says_so(tmp_path):
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    (tmp_path / "file").touch()
    environment = {
        **os.environ,
        "ROS_LOG_DIR": str(tmp_path / "file" / "log"),
        "ROS_DOMAIN_ID": str(reserve_domain()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "scenedino_ros.node.main"]
    with (tmp_path / "said.txt").open("w") as file:
        process = subprocess.Popen(
            [*command, "--ros-args", "-p", "autostart:=false", "-p", "diagnostics.period:=0.2"],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + DEADLINE
        while "the node is unconfigured, not active" not in (tmp_path / "said.txt").read_text():
            assert time.monotonic() < deadline, (tmp_path / "said.txt").read_text()
            assert process.poll() is None, (tmp_path / "said.txt").read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "said.txt").read_text()
    assert said.count("no log files are written") == 1
    assert "set ROS_LOG_DIR" in said
