# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Start a USB camera (usb_cam) and the node on its images.

Arguments of scenedino.launch.py, such as rviz:=true, work here too.
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
        "video_device", default_value="/dev/video0", description="Device of the camera"
    ),
    DeclareLaunchArgument(
        "pixel_format",
        default_value="mjpeg2rgb",
        description="Format of the camera that usb_cam reads, such as mjpeg2rgb or yuyv2rgb",
    ),
    DeclareLaunchArgument(
        "camera_info_url",
        default_value="",
        description="Calibration, such as package://my_robot/config/camera.yaml; empty: "
        "~/.ros/camera_info/usb_cam.yaml, where camera_calibration writes it",
    ),
    DeclareLaunchArgument(
        "optical_frame",
        default_value="usb_cam_optical_frame",
        description="Frame of the images: x right, y down, z forward",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros usb_cam.launch.py` does."""
    topics = {
        "image_topic": "/usb_cam/image_raw",
        "camera_info_topic": "/usb_cam/camera_info",
    }
    scenedino = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(SCENEDINO), launch_arguments=topics.items()
    )
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=driver), scenedino])


def driver(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the camera's driver.

    Raises:
        RuntimeError: If it is not installed.
    """
    package_share("usb_cam")
    given = {name: LaunchConfiguration(name) for name in ("video_device", "pixel_format")}
    given |= {
        "camera_name": "usb_cam",
        "camera_info_url": LaunchConfiguration("camera_info_url"),
        "frame_id": LaunchConfiguration("optical_frame"),
    }
    parameters = {name: ParameterValue(value, value_type=str) for name, value in given.items()}
    return [
        Node(
            package="usb_cam",
            executable="usb_cam_node_exe",
            name="usb_cam",
            namespace="usb_cam",
            parameters=[parameters],
            output="screen",
        )
    ]
