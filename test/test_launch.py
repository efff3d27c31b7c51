"""What the launch file asks for; with the real launch system, that the node really starts."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "launch" / "scenedino.launch.py"
PROMISED = {
    "namespace",
    "params_file",
    "use_sim_time",
    "image_topic",
    "camera_info_topic",
    "image_transport",
    "checkpoint",
    "device",
    "rviz",
    "bag",
    "log_level",
    "autostart",
}
CLOSED = {"use_sim_time", "image_transport", "device", "rviz", "log_level", "autostart"}
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
DEADLINE = 120.0


class Asked:
    """Something of the launch system that the file made, with what it asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    @property
    def name(self) -> str:
        return self.args[0]

    def perform(self, context: dict[str, str]) -> str:
        return context[self.name]


def recording_modules() -> dict[str, types.ModuleType]:
    """Return modules in place of launch and launch_ros whose classes only remember."""
    contents = {
        "launch": ["LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"],
        "launch.actions": [
            "DeclareLaunchArgument",
            "ExecuteProcess",
            "OpaqueFunction",
            "RegisterEventHandler",
            "SetEnvironmentVariable",
        ],
        "launch.substitutions": ["LaunchConfiguration"],
        "launch_ros": [],
        "launch_ros.actions": ["LifecycleNode", "Node"],
        "launch_ros.event_handlers": ["OnStateTransition"],
        "launch_ros.parameter_descriptions": ["ParameterValue"],
    }
    modules = {}
    for name, classes in contents.items():
        modules[name] = types.ModuleType(name)
        for class_name in classes:
            setattr(modules[name], class_name, type(class_name, (Asked,), {}))
    return modules


@pytest.fixture
def launch_file(monkeypatch):
    """Return the launch file as a module, with the recording classes around it."""
    for name, module in recording_modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in (*PROFILES, "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("scenedino_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(launch_file: Any, **given: str) -> dict[str, list[Asked]]:
    """Return what is started for some arguments, by kind."""
    defaults = {a.name: a.kwargs["default_value"] for a in launch_file.ARGUMENTS}
    assert set(given) <= set(defaults)
    found: dict[str, list[Asked]] = {}
    for action in launch_file.start({**defaults, **given}):
        found.setdefault(type(action).__name__, []).append(action)
    return found


def node_of(launch_file: Any, **given: str) -> dict[str, Any]:
    (node,) = start(launch_file, **given)["LifecycleNode"]
    return node.kwargs


def overrides_of(launch_file: Any, **given: str) -> dict[str, Any]:
    _, values = node_of(launch_file, **given)["parameters"]
    return {k: v.args[0] if isinstance(v, Asked) else v for k, v in values.items()}


def test_all_promised_arguments_are_declared_and_described(launch_file):
    (entities,) = launch_file.generate_launch_description().args
    declared = {e.name: e.kwargs for e in entities if type(e).__name__ == "DeclareLaunchArgument"}
    assert set(declared) >= PROMISED
    for name, argument in declared.items():
        assert argument["description"], name
        assert isinstance(argument["default_value"], str)
    for name in CLOSED:
        assert declared[name]["default_value"] in declared[name]["choices"]
    assert entities[-1].kwargs["function"] is launch_file.start


def test_the_default_start_repeats_no_default_of_the_node(launch_file):
    node = node_of(launch_file)
    assert (node["package"], node["executable"]) == ("scenedino_ros", "scenedino_node")
    assert (node["name"], node["namespace"]) == ("scenedino", "")
    assert Path(node["parameters"][0]) == ROOT / "config" / "scenedino.yaml"
    assert Path(node["parameters"][0]).is_file()
    assert node["parameters"][1] == {"use_sim_time": False}
    assert node["arguments"] == ["--ros-args", "--log-level", "info"]
    assert set(start(launch_file)) == {"LifecycleNode"}


def test_arguments_become_parameters(launch_file):
    given = {"checkpoint": "12", "device": "cpu", "image_transport": "compressed"}
    assert overrides_of(launch_file, **given, autostart="false") == {
        "use_sim_time": False,
        "model.checkpoint": "12",
        "model.device": "cpu",
        "input.transport": "compressed",
        "autostart": False,
    }
    checkpoint = node_of(launch_file, **given)["parameters"][1]["model.checkpoint"]
    assert checkpoint.kwargs == {"value_type": str}


def test_overridden_parameters_exist(launch_file):
    known = yaml.safe_load((ROOT / "config" / "scenedino.yaml").read_text())["/**"]
    given = {"checkpoint": "x", "device": "cpu", "image_transport": "raw", "autostart": "true"}
    for name in set(overrides_of(launch_file, **given)) - {"use_sim_time"}:
        values = known["ros__parameters"]
        for part in name.split("."):
            values = values[part]


def test_topic_arguments_only_remap(launch_file):
    node = node_of(launch_file, image_topic="cam/image_raw", camera_info_topic="cam/info")
    assert dict(node["remappings"]) == {
        "image": "cam/image_raw",
        "image/compressed": "cam/image_raw/compressed",
        "camera_info": "cam/info",
    }
    assert node["parameters"][1] == {"use_sim_time": False}


@pytest.mark.parametrize(
    ("bag", "use_sim_time", "expected"),
    [("", "", False), ("", "true", True), ("/b", "", True), ("/b", "false", False)],
)
def test_a_played_bag_brings_its_own_time(launch_file, bag, use_sim_time, expected):
    values = overrides_of(launch_file, bag=bag, use_sim_time=use_sim_time)
    assert values["use_sim_time"] is expected


def test_a_bag_is_played_once_the_node_is_active(launch_file):
    asked = start(launch_file, bag="/data/drive")
    handler = asked["RegisterEventHandler"][0].args[0].kwargs
    assert handler["target_lifecycle_node"] is asked["LifecycleNode"][0]
    assert (handler["goal_state"], handler["handle_once"]) == ("active", True)
    (player,) = handler["entities"]
    assert player.kwargs["cmd"] == ["ros2", "bag", "play", "/data/drive", "--clock"]


def test_rviz_shows_the_topics_of_this_node(launch_file):
    (rviz,) = start(launch_file, rviz="true")["Node"]
    assert (rviz.kwargs["package"], rviz.kwargs["executable"]) == ("rviz2", "rviz2")
    assert rviz.kwargs["arguments"] == ["-d", str(ROOT / "config" / "scenedino.rviz")]
    assert rviz.kwargs["remappings"] == []
    (rviz,) = start(
        launch_file,
        rviz="true",
        namespace="/front/",
        image_topic="image_raw",
        rviz_frame="odom",
        bag="/b",
    )["Node"]
    remappings = dict(rviz.kwargs["remappings"])
    assert remappings["/image"] == "/front/image_raw"
    assert remappings["/scenedino/voxels"] == "/front/scenedino/voxels"
    assert rviz.kwargs["arguments"][-2:] == ["-f", "odom"]
    assert rviz.kwargs["parameters"] == [{"use_sim_time": True}]


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("humble", ["FASTRTPS_DEFAULT_PROFILES_FILE"]),
        ("jazzy", ["FASTRTPS_DEFAULT_PROFILES_FILE"]),
        ("kilted", ["FASTDDS_DEFAULT_PROFILES_FILE"]),
        (None, list(PROFILES)),
    ],
)
def test_large_messages_get_a_transport_profile(launch_file, monkeypatch, distribution, expected):
    if distribution:
        monkeypatch.setenv("ROS_DISTRO", distribution)
    actions = launch_file.profile_actions()
    assert [action.name for action in actions] == expected
    assert {Path(action.args[1]) for action in actions} == {ROOT / "config" / "fastdds.xml"}


@pytest.mark.parametrize("name", PROFILES)
def test_the_users_own_transport_profile_stays(launch_file, monkeypatch, name):
    monkeypatch.setenv(name, "/their/profile.xml")
    assert launch_file.profile_actions() == []


# What the launch file points at.


def test_the_transport_profile_has_room_for_large_messages():
    root = ElementTree.parse(ROOT / "config" / "fastdds.xml").getroot()
    values = {e.tag.rpartition("}")[2]: e.text for e in root.iter()}
    assert int(values["segment_size"]) == 64 << 20
    assert int(values["maxMessageSize"]) == 16 << 20
    assert values["useBuiltinTransports"] == "false"
    types_ = [e.text for e in root.iter() if e.tag.endswith("}type")]
    assert types_ == ["SHM", "UDPv4"]


def test_the_rviz_configuration_shows_what_the_node_publishes(launch_file):
    view = yaml.safe_load((ROOT / "config" / "scenedino.rviz").read_text())
    manager = view["Visualization Manager"]
    displays = manager["Displays"]
    classes = [display["Class"].removeprefix("rviz_default_plugins/") for display in displays]
    assert {"Grid", "TF", "Image", "PointCloud2", "MarkerArray"} <= set(classes)
    topics = {d["Topic"]["Value"]: d for d in displays if "Topic" in d}
    published = {f"/scenedino/{output}" for output in launch_file.OUTPUTS}
    assert set(topics) <= published | {"/image"}
    for output in ("voxels", "markers", "depth/image", "semantic/image"):
        assert topics[f"/scenedino/{output}"]["Enabled"]
        assert topics[f"/scenedino/{output}"]["Topic"]["Reliability Policy"] == "Reliable"
    assert topics["/scenedino/voxels"]["Color Transformer"] == "RGB8"
    assert topics["/image"]["Topic"]["Reliability Policy"] == "Best Effort"
    assert manager["Global Options"]["Fixed Frame"]


def test_the_launch_file_knows_the_outputs_of_the_node(launch_file):
    outputs = pytest.importorskip("scenedino_ros.ros.outputs", reason="needs ROS messages")
    assert set(launch_file.OUTPUTS) == set(outputs.TYPES)


# The real launch system, where it is installed.

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [tuple(text.split(":=", 1)) for text in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


def make_prefix(root: Path) -> None:
    """Lay the package out as an installation does, with a `ros2` that only notes its call."""
    for folder in ("lib/scenedino_ros", "share/ament_index/resource_index/packages", "bin"):
        (root / folder).mkdir(parents=True)
    (root / "share/ament_index/resource_index/packages/scenedino_ros").touch()
    (root / "share/scenedino_ros").mkdir()
    for folder in ("launch", "config"):
        (root / "share/scenedino_ros" / folder).symlink_to(ROOT / folder)
    programs = {
        "lib/scenedino_ros/scenedino_node": (
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from scenedino_ros.ros.node import main\nsys.exit(main())\n"
        ),
        "bin/ros2": (
            "import json, os, pathlib, sys\n"
            f"names = {PROFILES!r}\n"
            "said = [sys.argv[1:], [os.environ[n] for n in names if n in os.environ]]\n"
            f"pathlib.Path({str(root / 'player.json')!r}).write_text(json.dumps(said))\n"
        ),
    }
    for name, text in programs.items():
        (root / name).write_text(f"#!{sys.executable}\n{text}")
        (root / name).chmod(0o755)


@pytest.mark.ros
def test_the_real_launch_system_starts_the_node_then_the_bag(tmp_path):
    pytest.importorskip("launch_ros", reason="needs the ROS package launch_ros")
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    from models import lively_checkpoint
    from ros_rig import Rig

    from scenedino_ros.core.checkpoint import save_checkpoint
    from scenedino_ros.ros.domains import reserve_domain

    prefix, domain = tmp_path / "install", reserve_domain()
    make_prefix(prefix)
    save_checkpoint(tmp_path / "tiny.safetensors", lively_checkpoint())
    environment = {name: value for name, value in os.environ.items() if name not in PROFILES}
    environment |= {
        "AMENT_PREFIX_PATH": f"{prefix}{os.pathsep}{os.environ.get('AMENT_PREFIX_PATH', '')}",
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }
    command = [sys.executable, "-c", RUN]
    command += [str(prefix / "share/scenedino_ros/launch/scenedino.launch.py")]
    command += [f"checkpoint:={tmp_path / 'tiny.safetensors'}", "device:=cpu", "bag:=/a/drive"]
    with (tmp_path / "output.txt").open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    rig = Rig(domain)
    try:
        rig.wait_active()
        deadline = time.monotonic() + DEADLINE
        while not (prefix / "player.json").exists():
            assert time.monotonic() < deadline, (tmp_path / "output.txt").read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    finally:
        rig.close()
        if process.poll() is None:
            process.kill()
            process.wait()
    text = (tmp_path / "output.txt").read_text()
    assert "active: /image -> /scenedino/voxels" in text
    assert "process has finished cleanly" in text
    assert "Traceback" not in text
    arguments, profiles = json.loads((prefix / "player.json").read_text())
    assert arguments == ["bag", "play", "/a/drive", "--clock"]
    assert set(profiles) == {str(prefix / "share/scenedino_ros/config/fastdds.xml")}
