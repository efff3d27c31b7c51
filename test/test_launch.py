# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What the launch file asks for; with the real launch system, that the node really starts."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

from scenedino_ros.core.outputs import OUTPUTS

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "launch" / "scenedino.launch.py"
PROMISED = {
    "namespace",
    "params_file",
    "use_sim_time",
    "image_topic",
    "camera_info_topic",
    "image_transport",
    "rectified",
    "checkpoint",
    "device",
    "rviz",
    "bag",
    "log_level",
    "autostart",
    "node_name",
    "bag_rate",
    "bag_loop",
    "respawn",
    "cameras",
}
CLOSED = {
    "use_sim_time",
    "image_transport",
    "rectified",
    "device",
    "rviz",
    "log_level",
    "autostart",
    "bag_loop",
    "respawn",
}
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
DEADLINE = 120.0


class Asked:
    """Something of the launch system that the file made, with what it asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    @property
    def name(self) -> str:
        return self.args[0]

    @property
    def default_value(self) -> list[Any]:
        """The default as the launch system keeps it: a list of parts to be performed."""
        text = self.kwargs["default_value"]
        return [types.SimpleNamespace(perform=lambda context: text)]

    def perform(self, context: Any) -> str:
        return context.launch_configurations[self.name]


def recording_modules() -> dict[str, types.ModuleType]:
    """Return modules in place of launch and launch_ros whose classes only remember."""
    contents = {
        "launch": ["LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"],
        "launch.actions": [
            "DeclareLaunchArgument",
            "ExecuteProcess",
            "GroupAction",
            "IncludeLaunchDescription",
            "OpaqueFunction",
            "RegisterEventHandler",
            "SetEnvironmentVariable",
        ],
        "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
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
    context = types.SimpleNamespace(launch_configurations={**defaults, **given}, argv=[])
    found: dict[str, list[Asked]] = {}
    for action in launch_file.perform(context):
        found.setdefault(type(action).__name__, []).append(action)
    return found


def node_of(launch_file: Any, **given: str) -> dict[str, Any]:
    (node,) = start(launch_file, **given)["LifecycleNode"]
    return node.kwargs


def overrides_of(launch_file: Any, **given: str) -> dict[str, Any]:
    _, *rest = node_of(launch_file, **given)["parameters"]
    values = rest[0] if rest else {}
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
    assert entities[-1].kwargs["function"] is launch_file.perform


def test_the_default_start_repeats_no_default_of_the_node(launch_file):
    node = node_of(launch_file)
    assert (node["package"], node["executable"]) == ("scenedino_ros", "scenedino_node")
    assert (node["name"], node["namespace"]) == ("scenedino", "")
    assert [Path(file) for file in node["parameters"]] == [ROOT / "config" / "scenedino.yaml"]
    assert node["respawn"] is False
    assert node["arguments"] == ["--ros-args", "--log-level", "info"]
    assert set(start(launch_file)) == {"LifecycleNode"}


def test_arguments_become_parameters(launch_file):
    given = {"checkpoint": "12", "device": "cpu", "image_transport": "compressed"}
    assert overrides_of(launch_file, **given, rectified="true", autostart="false") == {
        "model.checkpoint": "12",
        "model.device": "cpu",
        "input.transport": "compressed",
        "input.rectified": True,
        "autostart": False,
    }
    checkpoint = node_of(launch_file, **given)["parameters"][1]["model.checkpoint"]
    assert checkpoint.kwargs == {"value_type": str}


def test_overridden_parameters_exist(launch_file):
    known = yaml.safe_load((ROOT / "config" / "scenedino.yaml").read_text())["/**"]
    given = {"checkpoint": "x", "device": "cpu", "image_transport": "raw"}
    switches = {"rectified": "false", "autostart": "true"}
    for name in set(overrides_of(launch_file, **given, **switches)) - {"use_sim_time"}:
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
    assert node["parameters"][1:] == []


def test_several_cameras_read_topics_below_their_names(launch_file):
    node = node_of(launch_file, cameras="front, left_2")
    assert node["parameters"][1:] == [{"input.cameras": ["front", "left_2"]}]
    assert dict(node["remappings"]) == {
        "front/image": "front/image",
        "front/image/compressed": "front/image/compressed",
        "front/camera_info": "front/camera_info",
        "left_2/image": "left_2/image",
        "left_2/image/compressed": "left_2/image/compressed",
        "left_2/camera_info": "left_2/camera_info",
    }
    assert node_of(launch_file, cameras=" front left_2 ")["remappings"] == node["remappings"]


@pytest.mark.parametrize(
    ("topic", "front", "left"),
    [
        ("/{camera}/image_raw", "/front/image_raw", "/left/image_raw"),
        ("/car/{camera}_cam/{camera}", "/car/front_cam/front", "/car/left_cam/left"),
        ("image_raw", "front/image_raw", "left/image_raw"),
        ("{camera}", "front", "left"),
        ("/car/a, /b", "/car/a", "/b"),
        ("a b", "a", "b"),
    ],
)
def test_one_argument_names_the_topics_of_all_cameras(launch_file, topic, front, left):
    given = {"cameras": "front,left", "image_topic": topic, "camera_info_topic": topic}
    remappings = dict(node_of(launch_file, **given)["remappings"])
    for kind in ("image", "camera_info"):
        assert (remappings[f"front/{kind}"], remappings[f"left/{kind}"]) == (front, left)
    assert remappings["left/image/compressed"] == f"{left}/compressed"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"cameras": "front front"}, "cameras: the cameras' names must be distinct"),
        ({"cameras": "front/left"}, "cameras: a camera's name must be letters"),
        ({"cameras": "depth"}, "cameras: a camera's name must differ from the node's own topics"),
        (
            {"image_topic": "/{camera}/image"},
            "image_topic '/{camera}/image' has {camera}, but the argument cameras names none",
        ),
        (
            {"cameras": "a b c", "camera_info_topic": "/x /y"},
            "camera_info_topic must be one topic with {camera} or 3 topics, one for each camera, "
            "got '/x /y'",
        ),
        (
            {"cameras": "a b", "image_topic": "/camera/image_raw"},
            "image_topic must give every camera a topic of its own, such as /{camera}/image_raw, "
            "but 2 cameras would read '/camera/image_raw'",
        ),
        (
            {"cameras": "a b c", "image_topic": "/x,/y,/x"},
            "but 2 cameras would read '/x'",
        ),
        ({"cameras": "a b", "image_topic": " "}, "image_topic must be one topic with {camera} or"),
    ],
)
def test_topics_that_do_not_fit_the_cameras_stop_the_start(launch_file, given, sentence):
    with pytest.raises(RuntimeError, match=re.escape(sentence)):
        start(launch_file, **given)


def test_rviz_shows_the_first_of_several_cameras(launch_file):
    given = {"rviz": "true", "cameras": "front left", "image_topic": "/car/{camera}/image"}
    remappings = dict(start(launch_file, **given)["Node"][0].kwargs["remappings"])
    assert remappings.pop("/image") == "/car/front/image"
    assert "/scenedino/label_info" not in remappings  # all cameras share it
    per_camera = [output for output in OUTPUTS if not output.shared]
    assert remappings == {
        f"/scenedino/{output.name}": f"/scenedino/front/{output.name}" for output in per_camera
    }


@pytest.mark.parametrize(
    ("bag", "use_sim_time", "expected"),
    [(False, "", None), (False, "true", True), (True, "", True), (True, "false", False)],
)
def test_time_is_set_by_its_argument_or_a_bag_alone(
    launch_file, tmp_path, bag, use_sim_time, expected
):
    given = {"bag": str(tmp_path) if bag else "", "use_sim_time": use_sim_time}
    assert overrides_of(launch_file, **given).get("use_sim_time") is expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"params_file": "absent.yaml"}, "params_file: there is no file 'absent.yaml'"),
        ({"bag": "absent"}, "bag: there is no recording 'absent'"),
        ({"bag_rate": "fast"}, "bag_rate must be a number above 0, got 'fast'"),
        ({"bag_rate": "0"}, "bag_rate must be a number above 0, got '0'"),
        ({"bag_rate": "nan"}, "bag_rate must be a number above 0, got 'nan'"),
    ],
)
def test_what_cannot_work_stops_before_anything_is_started(launch_file, given, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        start(launch_file, **given)


def test_an_include_inherits_nothing_from_the_one_before_it(launch_file):
    defaults = {a.name: a.kwargs["default_value"] for a in launch_file.ARGUMENTS}
    values = {**defaults, "namespace": "left", "device": "cpu", "log_level": "debug"}
    context = types.SimpleNamespace(launch_configurations=values, argv=["log_level:=debug", "-n"])
    (first,) = launch_file.perform(context)
    assert first.kwargs["namespace"] == "left"
    assert values["namespace"] == "left"  # for whoever reads it later in the same file
    values["namespace"] = "right"
    (second,) = launch_file.perform(context)
    assert second.kwargs["namespace"] == "right"
    assert second.kwargs["parameters"][1:] == []
    assert second.kwargs["arguments"][-1] == "debug"  # of the command line, for all


def test_a_node_of_another_name_starts_again(launch_file):
    node = node_of(launch_file, node_name="hind", respawn="true")
    assert (node["name"], node["respawn"]) == ("hind", True)
    assert node["respawn_delay"] > 0


def test_a_bag_is_played_once_the_node_is_active(launch_file, tmp_path):
    bag = str(tmp_path)
    asked = start(launch_file, bag=bag, bag_rate="0.5", bag_loop="true")
    handler = asked["RegisterEventHandler"][0].args[0].kwargs
    assert handler["target_lifecycle_node"] is asked["LifecycleNode"][0]
    assert (handler["goal_state"], handler["handle_once"]) == ("active", True)
    (player,) = handler["entities"]
    command = ["ros2", "bag", "play", bag, "--clock", "--rate", "0.5", "--loop"]
    assert player.kwargs["cmd"] == command


def test_rviz_shows_the_topics_of_this_node_in_a_frame_that_needs_no_tf(launch_file):
    asked = start(launch_file, rviz="true")
    rviz, node = asked["Node"][0].kwargs, asked["LifecycleNode"][0].kwargs
    assert (rviz["package"], rviz["executable"]) == ("rviz2", "rviz2")
    shown = ["-d", str(ROOT / "config" / "scenedino.rviz"), "-f", "scenedino_view"]
    assert rviz["arguments"] == shown
    assert rviz["remappings"] == []
    assert node["parameters"][1]["grid.view_frame"].args == ("scenedino_view",)


def test_rviz_follows_name_namespace_and_clock_of_the_node(launch_file, tmp_path):
    given = {"rviz": "true", "namespace": "/front/", "node_name": "eye", "bag": str(tmp_path)}
    asked = start(launch_file, **given, image_topic="image_raw")
    rviz = asked["Node"][0].kwargs
    remappings = dict(rviz["remappings"])
    assert remappings["/image"] == "/front/image_raw"
    for output in OUTPUTS:
        assert remappings[f"/scenedino/{output.name}"] == f"/front/eye/{output.name}"
    assert rviz["arguments"][-2:] == ["-f", "front/eye_view"]
    assert rviz["parameters"][1] == {"use_sim_time": True}
    asked = start(launch_file, **given, rviz_frame="odom")
    assert asked["Node"][0].kwargs["arguments"][-2:] == ["-f", "odom"]
    assert "grid.view_frame" not in asked["LifecycleNode"][0].kwargs["parameters"][1]


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_large_messages_get_a_transport_profile(launch_file, monkeypatch, distribution, expected):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    (action,) = launch_file.profile_actions()
    assert action.name == expected
    assert Path(action.args[1]).parent == ROOT / "config"
    assert Path(action.args[1]).is_file()


@pytest.mark.parametrize("name", PROFILES)
def test_the_users_own_transport_profile_stays(launch_file, monkeypatch, name):
    monkeypatch.setenv(name, "/their/profile.xml")
    assert launch_file.profile_actions() == []


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
            "from scenedino_ros.node.main import main\nsys.exit(main())\n"
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

    from scenedino_ros.checkpoints.checkpoint import save_checkpoint
    from scenedino_ros.demo.domains import reserve_domain

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
    command += [f"checkpoint:={tmp_path / 'tiny.safetensors'}", "device:=cpu", f"bag:={tmp_path}"]
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
    assert arguments == ["bag", "play", str(tmp_path), "--clock", "--rate", "1.0"]
    (profile,) = profiles
    assert Path(profile).parent == prefix / "share/scenedino_ros/config"


TWICE = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import SetParameter

def camera(**arguments):
    source = PythonLaunchDescriptionSource(sys.argv[1])
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())

service = LaunchService(argv=["log_level:=warn"])
service.include_launch_description(
    LaunchDescription(
        [
            SetParameter("use_sim_time", True),
            camera(namespace="left", image_topic="/a", checkpoint="a.safetensors", device="cpu"),
            camera(namespace="right", node_name="eye"),
            camera(namespace="all", cameras="yes, b", image_topic="/{camera}/raw"),
        ]
    )
)
sys.exit(service.run())
"""
NOTES = """
import json, pathlib, sys
words = sys.argv[1:]
files = [words[i + 1] for i, word in enumerate(words) if word == "--params-file"]
name = next(word for word in words if word.startswith("__ns:=")).rpartition("/")[2]
text = "\\n".join(pathlib.Path(file).read_text() for file in files)
pathlib.Path({folder!r}, name + ".json").write_text(json.dumps([words, text]))
"""


def test_two_cameras_in_the_real_launch_system_share_only_what_is_around_them(tmp_path):
    pytest.importorskip("launch_ros", reason="needs the ROS package launch_ros")
    prefix = tmp_path / "install"
    make_prefix(prefix)
    node = prefix / "lib/scenedino_ros/scenedino_node"
    node.write_text(f"#!{sys.executable}\n" + NOTES.format(folder=str(tmp_path)))
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": f"{prefix}{os.pathsep}{os.environ.get('AMENT_PREFIX_PATH', '')}",
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }
    command = [sys.executable, "-c", TWICE]
    command += [str(prefix / "share/scenedino_ros/launch/scenedino.launch.py")]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words, text = json.loads((tmp_path / "left.json").read_text())
    assert "image:=/a" in words
    assert "a.safetensors" in text
    words, text = json.loads((tmp_path / "all.json").read_text())
    assert {"yes/image:=/yes/raw", "b/image:=/b/raw", "b/camera_info:=b/camera_info"} <= set(words)
    assert re.search(r"input\.cameras:.*\n    - 'yes'\n    - b\n", text)
    words, text = json.loads((tmp_path / "right.json").read_text())
    assert {"image:=image", "__node:=eye", "warn"} <= set(words)
    assert "a.safetensors" not in text
    assert "model.device" not in text
    assert "use_sim_time:=True" in words  # nothing of ours comes after it
    assert "use_sim_time" not in text
