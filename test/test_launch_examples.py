# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What the launch files in launch/examples ask for, and what they refuse."""

import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_launch import DEADLINE, RUN, Asked, make_prefix, recording_modules

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "launch" / "examples"
SCENEDINO = str(ROOT / "launch" / "scenedino.launch.py")
# The packages that an example starts or loads, and arguments that it cannot do without.
NEEDS = {
    "usb_cam": ("usb_cam",),
    "realsense": ("realsense2_camera",),
    "zed": ("zed_wrapper",),
    "several_cameras": ("usb_cam",),
    "foxglove": ("foxglove_bridge",),
    "bag": ("ros2bag", "rviz2"),
    "nav2": ("nav2_bringup",),
}
REQUIRED = {"zed": {"camera_model": "zed2i"}, "bag": {"bag": "recording"}}
# What the public source of each driver publishes (docs/examples.md names versions and files).
TOPICS = {
    "usb_cam": ("/usb_cam/image_raw", "/usb_cam/camera_info"),
    "realsense": ("/camera/camera/color/image_raw", "/camera/camera/color/camera_info"),
    "zed": ("/zed/zed_node/rgb/color/rect/image", "/zed/zed_node/rgb/color/rect/camera_info"),
}


def add_package(prefix: Path, name: str) -> Path:
    """Install an empty ROS package, and return its share folder."""
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True, exist_ok=True)
    (index / name).touch()
    (prefix / "share" / name).mkdir(exist_ok=True)
    return prefix / "share" / name


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """Return a workspace without packages, the only one that is sourced."""
    folder = tmp_path / "install"
    folder.mkdir()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{folder}{os.pathsep}/absent")
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    return folder


@pytest.fixture
def load(monkeypatch):
    """Return a function that loads an example with the recording classes around it."""
    for name, module in recording_modules().items():
        monkeypatch.setitem(sys.modules, name, module)

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.launch.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def start(module: Any, **given: str) -> list[Asked]:
    """Return what an example starts, in order, with the node's launch file as an include."""
    (entities,) = module.generate_launch_description().args
    values = {a.name: a.kwargs.get("default_value") for a in declared(entities)}
    assert set(given) <= set(values)
    context = types.SimpleNamespace(launch_configurations=values | given)
    started = []
    for entity in entities:
        if type(entity).__name__ == "OpaqueFunction":
            started += entity.kwargs["function"](context)
        elif type(entity).__name__ != "DeclareLaunchArgument":
            started.append(entity)
    return started


def declared(entities: list[Asked]) -> list[Asked]:
    return [e for e in entities if type(e).__name__ == "DeclareLaunchArgument"]


def included(action: Asked) -> tuple[str, dict[str, Any]]:
    """Return file and arguments of an include."""
    return action.args[0].args[0], dict(action.kwargs.get("launch_arguments", ()))


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with the names of launch arguments in place of their values."""
    return {
        n: v.args[0].name if isinstance(v.args[0], Asked) else v.args[0] for n, v in values.items()
    }


def test_every_example_is_tested():
    assert {
        path.name.removesuffix(".launch.py") for path in FOLDER.iterdir() if path.suffix
    } == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_arguments_are_described_and_the_check_comes_first(load, name):
    (entities,) = load(name).generate_launch_description().args
    arguments = declared(entities)
    assert entities[: len(arguments)] == arguments
    assert all(argument.kwargs["description"] for argument in arguments)
    assert type(entities[len(arguments)]).__name__ == "OpaqueFunction"


@pytest.mark.parametrize(
    ("name", "package"), [(name, package) for name, needs in NEEDS.items() for package in needs]
)
def test_an_absent_package_is_named_before_anything_starts(load, prefix, name, package):
    for other in NEEDS[name]:
        if other != package:
            add_package(prefix, other)
    apt = f"sudo apt install ros-kilted-{package.replace('_', '-')}"
    remedy = "build https://github.com/stereolabs/" if name == "zed" else apt
    with pytest.raises(RuntimeError, match=f"the package {package} is not installed: {remedy}"):
        start(load(name), **REQUIRED.get(name, {}))


@pytest.mark.parametrize("name", TOPICS)
def test_the_node_reads_the_drivers_topics(load, prefix, name):
    for package in NEEDS[name]:
        add_package(prefix, package)
    driver, scenedino = start(load(name), **REQUIRED.get(name, {}))
    file, arguments = included(scenedino)
    assert file == SCENEDINO
    assert (arguments["image_topic"], arguments["camera_info_topic"]) == TOPICS[name]
    assert type(driver).__name__ == ("Node" if name == "usb_cam" else "GroupAction")


def test_usb_cam_has_the_frame_and_calibration_asked_for(load, prefix):
    add_package(prefix, "usb_cam")
    driver, _ = start(load("usb_cam"), video_device="/dev/video2")
    node = driver.kwargs
    assert (node["package"], node["executable"]) == ("usb_cam", "usb_cam_node_exe")
    assert node["namespace"] == TOPICS["usb_cam"][0].split("/")[1]
    (parameters,) = node["parameters"]
    assert plain(parameters) == {
        "video_device": "video_device",
        "pixel_format": "pixel_format",
        "camera_name": "usb_cam",
        "camera_info_url": "camera_info_url",
        "frame_id": "optical_frame",
    }


def test_several_cameras_have_a_driver_each_and_one_node(load, prefix):
    add_package(prefix, "usb_cam")
    module = load("several_cameras")
    *drivers, scenedino = start(module, cameras="front,rear", video_devices="/dev/a,/dev/b")
    assert [driver.kwargs["namespace"] for driver in drivers] == ["front", "rear"]
    assert [driver.kwargs["parameters"] for driver in drivers] == [
        [
            {
                "video_device": device,
                "pixel_format": "mjpeg2rgb",
                "camera_name": name,
                "frame_id": f"{name}_optical_frame",
            }
        ]
        for name, device in (("front", "/dev/a"), ("rear", "/dev/b"))
    ]
    file, arguments = included(scenedino)
    assert file == SCENEDINO
    assert arguments.pop("cameras").name == "cameras"
    assert arguments == {
        "image_topic": "/{camera}/image_raw",
        "camera_info_topic": "/{camera}/camera_info",
    }
    message = "video_devices must have 2 devices, .* cameras front, rear, got 3"
    with pytest.raises(RuntimeError, match=message):
        start(module, cameras="front,rear")


@pytest.mark.parametrize(
    ("name", "file", "names"),
    [
        (
            "realsense",
            "realsense2_camera/launch/rs_launch.py",
            {"camera_namespace": "camera", "camera_name": "camera"},
        ),
        (
            "zed",
            "zed_wrapper/launch/zed_camera.launch.py",
            {"camera_name": "zed", "node_name": "zed_node"},
        ),
    ],
)
def test_drivers_are_started_by_their_own_launch_files(load, prefix, name, file, names):
    add_package(prefix, NEEDS[name][0])
    group, _ = start(load(name), **REQUIRED.get(name, {}))
    ((include,),) = group.args
    assert included(include) == (str(prefix / "share" / file), names)


def test_foxglove_listens_on_this_computer_alone(load, prefix):
    add_package(prefix, "foxglove_bridge")
    module = load("foxglove")
    bridge, scenedino = start(module)
    assert included(scenedino) == (SCENEDINO, {})
    assert (bridge.kwargs["package"], bridge.kwargs["executable"]) == ("foxglove_bridge",) * 2
    (parameters,) = bridge.kwargs["parameters"]
    assert plain(parameters) == {"address": "address", "port": "port"}
    assert parameters["port"].kwargs["value_type"] is int
    assert [a.kwargs["default_value"] for a in module.ARGUMENTS] == ["127.0.0.1", "8765"]


def test_a_bag_is_played_by_the_nodes_launch_file(load, prefix):
    add_package(prefix, "ros2bag")
    (scenedino,) = start(load("bag"), bag="my_bag", rviz="false")  # without rviz2
    file, arguments = included(scenedino)
    assert file == SCENEDINO
    assert {name: value.name for name, value in arguments.items()} == {
        "bag": "bag",
        "rviz": "rviz",
    }


NAV2 = {
    "bt_navigator": {"ros__parameters": {"global_frame": "map", "odom_topic": "odom"}},
    "collision_monitor": {
        "ros__parameters": {"FootprintApproach": {"type": "polygon", "min_points": 6}}
    },
    "local_costmap": {
        "local_costmap": {"ros__parameters": {"plugins": ["old"], "old": {"enabled": True}}}
    },
    "planner_server": {"ros__parameters": {"tolerance": 1.0e-10}},
}


@pytest.fixture
def bringup(prefix):
    """Install a nav2_bringup with a few parameters."""
    share = add_package(prefix, "nav2_bringup")
    (share / "params").mkdir()
    (share / "params/nav2_params.yaml").write_text(yaml.safe_dump(NAV2))
    return share


def test_nav2_gets_its_own_parameters_with_our_costmaps(load, bringup, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (action,) = start(load("nav2"), use_sim_time="true")
    file, arguments = included(action)
    assert file == str(bringup / "launch/navigation_launch.py")
    assert arguments["use_sim_time"] == "true"
    values = yaml.safe_load(Path(arguments["params_file"]).read_text())
    assert Path(arguments["params_file"]).parent == tmp_path
    folder = ROOT / "config" / "nav2"
    for name in ("local_obstacle_layer", "global_costmap"):
        for node, content in yaml.safe_load((folder / f"{name}.yaml").read_text()).items():
            assert values[node][node]["ros__parameters"].pop("use_sim_time") is True
            assert values[node] == content  # nothing of the old costmap is left
    navigator = values["bt_navigator"]["ros__parameters"]
    assert (navigator["global_frame"], navigator["odom_topic"]) == ("odom", "odom")
    monitor = values["collision_monitor"]["ros__parameters"]
    assert monitor["FootprintApproach"] == {"type": "polygon", "min_points": 1}
    assert values["planner_server"] == NAV2["planner_server"]


def test_nav2_takes_other_layers_and_parameters(load, prefix, bringup, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("controller_server: {ros__parameters: {speed: 1.0}}")
    module = load("nav2")
    given = {"params_file": str(tmp_path / "mine.yaml"), "local_costmap": "stvl"}
    with pytest.raises(RuntimeError, match="apt install ros-kilted-spatio-temporal-voxel-layer"):
        start(module, **given)
    add_package(prefix, "spatio_temporal_voxel_layer")
    (action,) = start(module, **given)
    values = yaml.safe_load(Path(included(action)[1]["params_file"]).read_text())
    assert values["controller_server"] == {"ros__parameters": {"speed": 1.0}}
    assert (
        values["local_costmap"]["local_costmap"]["ros__parameters"]["plugins"][0] == "stvl_layer"
    )
    with pytest.raises(RuntimeError, match="build https://github.com/kiwicampus/"):
        start(module, local_costmap="semantic_layer")
    with pytest.raises(RuntimeError, match="params_file: there is no file 'absent.yaml'"):
        start(module, params_file="absent.yaml")


def test_the_layers_of_nav2_are_the_files(load):
    (layer, *_) = load("nav2").ARGUMENTS
    files = {path.stem.removeprefix("local_") for path in (ROOT / "config/nav2").glob("local_*")}
    assert set(layer.kwargs["choices"]) == files


# The real launch system, where it is installed, with drivers that only note their call.

NOTE = """
import json, pathlib, sys
words = sys.argv[1:]
files = [words[i + 1] for i, word in enumerate(words) if word == "--params-file"]
text = "\\n".join(pathlib.Path(file).read_text() for file in files)
pathlib.Path({folder!r}, pathlib.Path(sys.argv[0]).name + ".json").write_text(
    json.dumps([words, text])
)
"""
DRIVER = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("log_level", default_value="error"),
        DeclareLaunchArgument("camera_name", default_value="unnamed"),
        Node(package={package!r}, executable="driver", name=LaunchConfiguration("camera_name"),
             arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")]),
    ])
"""


@pytest.mark.parametrize("name", [*TOPICS, "several_cameras"])
def test_the_real_launch_system_starts_driver_and_node(tmp_path, name):
    pytest.importorskip("launch_ros", reason="needs the ROS package launch_ros")
    prefix = tmp_path / "install"
    make_prefix(prefix)
    (package,) = NEEDS[name]
    share = add_package(prefix, package)
    (share / "launch").mkdir()
    for file in ("rs_launch.py", "zed_camera.launch.py"):
        (share / "launch" / file).write_text(DRIVER.format(package=package))
    program = "usb_cam_node_exe" if package == "usb_cam" else "driver"
    for file in (f"{package}/{program}", "scenedino_ros/scenedino_node"):
        path = prefix / "lib" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\n" + NOTE.format(folder=str(tmp_path)))
        path.chmod(0o755)
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": f"{prefix}{os.pathsep}{os.environ.get('AMENT_PREFIX_PATH', '')}",
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }
    file = prefix / f"share/scenedino_ros/launch/examples/{name}.launch.py"
    given = [f"{n}:={v}" for n, v in REQUIRED.get(name, {}).items()]
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(file), "device:=cpu", *given],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words, _ = json.loads((tmp_path / f"{program}.json").read_text())
    names = {"usb_cam": "usb_cam", "realsense2_camera": "camera", "zed_wrapper": "zed"}
    assert f"__node:={names[package]}" in words
    words, text = json.loads((tmp_path / "scenedino_node.json").read_text())
    if name == "several_cameras":
        topics = [f"{camera}/image:=/{camera}/image_raw" for camera in ("front", "left", "right")]
    else:
        topics = [f"image:={TOPICS[name][0]}", f"camera_info:={TOPICS[name][1]}"]
    assert set(topics) <= set(words)
    assert words[words.index("--log-level") + 1] == "info"  # nothing of the driver's leaks
    assert "model.device" in text
