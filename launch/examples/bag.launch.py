# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Play a recording through the node, on the recording's clock, and show the results in RViz.

Arguments of scenedino.launch.py, such as image_topic:=..., work here too.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from scenedino_ros.node.ament_packages import package_share

SCENEDINO = str(Path(__file__).parents[1] / "scenedino.launch.py")
ARGUMENTS = (
    DeclareLaunchArgument("bag", description="Folder or file of the recording"),
    DeclareLaunchArgument("rviz", default_value="true", description="Show everything in RViz"),
)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros bag.launch.py bag:=FOLDER` does."""
    given = {argument.name: LaunchConfiguration(argument.name) for argument in ARGUMENTS}
    scenedino = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(SCENEDINO), launch_arguments=given.items()
    )
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=check), scenedino])


def check(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Refuse to start where what plays or shows the recording is not installed."""
    package_share("ros2bag")
    if LaunchConfiguration("rviz").perform(context) == "true":
        package_share("rviz2")
    return []
