# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Start several USB cameras (usb_cam) and one node that serves them all.

Arguments of scenedino.launch.py, such as rviz:=true, work here too.
"""

import re
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from scenedino_ros.node.ament_packages import package_share

SCENEDINO = str(Path(__file__).parents[1] / "scenedino.launch.py")
ARGUMENTS = (
    DeclareLaunchArgument(
        "cameras",
        default_value="front,left,right",
        description="Names of the cameras, with commas between them",
    ),
    DeclareLaunchArgument(
        "video_devices",
        default_value="/dev/video0,/dev/video2,/dev/video4",
        description="Devices of the cameras in the same order",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros several_cameras.launch.py` does."""
    given = {
        "cameras": LaunchConfiguration("cameras"),
        "image_topic": "/{camera}/image_raw",
        "camera_info_topic": "/{camera}/camera_info",
    }
    scenedino = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(SCENEDINO), launch_arguments=given.items()
    )
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=drivers), scenedino])


def drivers(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return a driver for each camera.

    Raises:
        RuntimeError: If the driver is not installed, or there is not one device for each camera.
    """
    package_share("usb_cam")
    names, devices = (
        re.findall(r"[^\s,]+", str(LaunchConfiguration(argument.name).perform(context)))
        for argument in ARGUMENTS
    )
    if len(devices) != len(names):
        raise RuntimeError(
            f"video_devices must have {len(names)} devices, one for each of the cameras "
            f"{', '.join(names)}, got {len(devices)}"
        )
    return [driver(name, device) for name, device in zip(names, devices, strict=True)]


def driver(name: str, device: str) -> Node:
    """Return the driver of one camera, whose calibration is ~/.ros/camera_info/<name>.yaml."""
    parameters = {
        "video_device": device,
        "pixel_format": "mjpeg2rgb",
        "camera_name": name,
        "frame_id": f"{name}_optical_frame",
    }
    return Node(
        package="usb_cam",
        executable="usb_cam_node_exe",
        name="usb_cam",
        namespace=name,
        parameters=[parameters],
        output="screen",
    )
