# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Start Nav2 so that it drives by the map of the node, which runs already.

Nav2's own parameters stay, but for the two costmaps and for what config/nav2/navigation.yaml sets.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from scenedino_ros.node.ament_packages import package_share

CONFIG = Path(__file__).parents[2] / "config" / "nav2"
# Packages of the layers that Nav2 does not have itself.
PACKAGES = {
    "stvl": ("spatio_temporal_voxel_layer", ""),
    "semantic_layer": (
        "semantic_segmentation_layer",
        "build https://github.com/kiwicampus/semantic_segmentation_layer in your workspace",
    ),
}
ARGUMENTS = (
    DeclareLaunchArgument(
        "local_costmap",
        default_value="obstacle_layer",
        choices=["obstacle_layer", "voxel_layer", *PACKAGES],
        description="Layer of the local costmap: the file config/nav2/local_<this>.yaml",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="Parameters of Nav2 for your robot; empty: those of nav2_bringup",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Follow the topic /clock",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros nav2.launch.py` does."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=navigation)])


def navigation(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return Nav2 with the merged parameters.

    Raises:
        RuntimeError: If a package or the file of parameters is not there.
    """
    given = {a.name: str(LaunchConfiguration(a.name).perform(context)) for a in ARGUMENTS}
    bringup = package_share("nav2_bringup")
    layer = given["local_costmap"]
    if layer in PACKAGES:
        package_share(*PACKAGES[layer])
    base = Path(given["params_file"] or bringup / "params" / "nav2_params.yaml")
    if not base.is_file():
        raise RuntimeError(f"params_file: there is no file {str(base)!r}")
    values = read(base)
    for name in (f"local_{layer}.yaml", "global_costmap.yaml"):
        values |= read(CONFIG / name)  # whole costmaps, because layers may have any name
    merge(values, read(CONFIG / "navigation.yaml"))
    clock = {"use_sim_time": given["use_sim_time"] == "true"}
    for name in ("local_costmap", "global_costmap"):
        # Nav2 of Humble hands the argument on only where the file has the parameter.
        merge(values, {name: {name: {"ros__parameters": clock}}})
    source = PythonLaunchDescriptionSource(str(bringup / "launch" / "navigation_launch.py"))
    arguments = {"params_file": write(values), "use_sim_time": given["use_sim_time"]}
    return [IncludeLaunchDescription(source, launch_arguments=arguments.items())]


def read(path: Path) -> dict[str, Any]:
    """Return the parameters in a file."""
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def merge(values: dict[str, Any], changes: dict[str, Any]) -> None:
    """Write changes into nested parameters, and keep what they do not name."""
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            merge(values[name], value)
        else:
            values[name] = value


def write(values: dict[str, Any]) -> str:
    """Write parameters to a temporary file and return its path."""
    handle, path = tempfile.mkstemp(prefix="scenedino_nav2_", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        yaml.safe_dump(values, file)
    return path
