# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Start a RealSense camera (realsense2_camera) and the node on its colour images.

Arguments of scenedino.launch.py and of rs_launch.py, such as serial_no:=..., work here too.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource

from scenedino_ros.node.ament_packages import package_share

SCENEDINO = str(Path(__file__).parents[1] / "scenedino.launch.py")
NAMES = {"camera_namespace": "camera", "camera_name": "camera"}
TOPICS = "/{camera_namespace}/{camera_name}/color".format(**NAMES)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros realsense.launch.py` does."""
    topics = {
        "image_topic": f"{TOPICS}/image_raw",
        "camera_info_topic": f"{TOPICS}/camera_info",
    }
    scenedino = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(SCENEDINO), launch_arguments=topics.items()
    )
    return LaunchDescription([OpaqueFunction(function=driver), scenedino])


def driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the camera's driver, in a group that keeps its launch arguments to itself.

    Raises:
        RuntimeError: If it is not installed.
    """
    file = package_share("realsense2_camera") / "launch" / "rs_launch.py"
    source = PythonLaunchDescriptionSource(str(file))
    return [GroupAction([IncludeLaunchDescription(source, launch_arguments=NAMES.items())])]
