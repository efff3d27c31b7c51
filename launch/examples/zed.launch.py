# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Start a ZED camera (zed_wrapper) and the node on its rectified left image.

Arguments of scenedino.launch.py and of zed_camera.launch.py work here too.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource

from scenedino_ros.node.ament_packages import package_share

SCENEDINO = str(Path(__file__).parents[1] / "scenedino.launch.py")
REMEDY = "build https://github.com/stereolabs/zed-ros2-wrapper in your workspace"
NAMES = {"camera_name": "zed", "node_name": "zed_node"}
TOPICS = "/{camera_name}/{node_name}/rgb/color/rect".format(**NAMES)
ARGUMENTS = (DeclareLaunchArgument("camera_model", description="Model, such as zed2i or zedx"),)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros zed.launch.py camera_model:=zed2i` does."""
    topics = {
        "image_topic": f"{TOPICS}/image",
        "camera_info_topic": f"{TOPICS}/camera_info",
    }
    scenedino = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(SCENEDINO), launch_arguments=topics.items()
    )
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=driver), scenedino])


def driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the camera's driver, in a group that keeps its launch arguments to itself.

    Raises:
        RuntimeError: If it is not installed.
    """
    file = package_share("zed_wrapper", REMEDY) / "launch" / "zed_camera.launch.py"
    source = PythonLaunchDescriptionSource(str(file))
    return [GroupAction([IncludeLaunchDescription(source, launch_arguments=NAMES.items())])]
