# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Start the node and the bridge that Foxglove connects to (foxglove_bridge).

Arguments of scenedino.launch.py, such as image_topic:=..., work here too.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from scenedino_ros.node.ament_packages import package_share

SCENEDINO = str(Path(__file__).parents[1] / "scenedino.launch.py")
ARGUMENTS = (
    DeclareLaunchArgument(
        "address",
        default_value="127.0.0.1",
        description="Address to listen at; 0.0.0.0: let every computer of the network connect, "
        "without a password",
    ),
    DeclareLaunchArgument("port", default_value="8765", description="Port to listen at"),
)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros foxglove.launch.py` does."""
    scenedino = IncludeLaunchDescription(PythonLaunchDescriptionSource(SCENEDINO))
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bridge), scenedino])


def bridge(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the bridge.

    Raises:
        RuntimeError: If it is not installed.
    """
    package_share("foxglove_bridge")
    types = {"address": str, "port": int}
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
    }
    return [
        Node(
            package="foxglove_bridge",
            executable="foxglove_bridge",
            name="foxglove_bridge",
            parameters=[parameters],
            output="screen",
        )
    ]
