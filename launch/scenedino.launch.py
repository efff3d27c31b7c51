"""Start the node, and where asked RViz and a recording that plays once the node is active."""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = Path(__file__).parent.parent / "config"
NAME = "scenedino"
OUTPUTS = (
    "voxels",
    "markers",
    "depth/image",
    "depth/camera_info",
    "semantic/image",
    "features/image",
)
# Variables that name the transport profile for large messages: Fast DDS knows only the second
# one up to Jazzy, and warns of it from Kilted on.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
OLD_NAME_IN = ("humble", "iron", "jazzy")

AS_IN_FILE = "empty: as in params_file"
SWITCH = ["true", "false"]
ARGUMENTS = (
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node"),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "scenedino.yaml"),
        description="Parameters of the node",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", *SWITCH],
        description="Follow the topic /clock; empty: where a bag is played",
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="Topic of the images"),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="camera_info",
        description="Topic of the camera's calibration",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="compressed: read <image_topic>/compressed; " + AS_IN_FILE,
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value="",
        description="Checkpoint file, or name of a published one; " + AS_IN_FILE,
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        choices=["", "auto", "cpu", "cuda"],
        description="Device of the network; " + AS_IN_FILE,
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=SWITCH, description="Show everything in RViz"
    ),
    DeclareLaunchArgument(
        "rviz_frame",
        default_value="",
        description="Fixed frame of RViz; empty: as in its configuration",
    ),
    DeclareLaunchArgument(
        "bag",
        default_value="",
        description="Recording to play as soon as the node is active; empty: none",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the node logs",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", *SWITCH],
        description="Configure and activate without a lifecycle manager; " + AS_IN_FILE,
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros scenedino.launch.py` does."""
    return LaunchDescription([*ARGUMENTS, *profile_actions(), OpaqueFunction(function=start)])


def profile_actions() -> list[LaunchDescriptionEntity]:
    """Return what sets the transport profile, unless the user has set one."""
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return []
    new, old = PROFILE_VARIABLES
    distribution = os.environ.get("ROS_DISTRO")
    if distribution is None:
        names = [new, old]
    else:
        names = [old if distribution in OLD_NAME_IN else new]
    return [SetEnvironmentVariable(name, str(CONFIG / "fastdds.xml")) for name in names]


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the processes for the arguments that were given."""
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in ARGUMENTS
    }
    use_sim_time = given["use_sim_time"] == "true" or (
        bool(given["bag"]) and given["use_sim_time"] == ""
    )
    node = LifecycleNode(
        package="scenedino_ros",
        executable="scenedino_node",
        name=NAME,
        namespace=given["namespace"],
        parameters=[given["params_file"], overrides(given, use_sim_time)],
        remappings=[
            ("image", given["image_topic"]),
            ("image/compressed", f"{given['image_topic']}/compressed"),
            ("camera_info", given["camera_info_topic"]),
        ],
        arguments=["--ros-args", "--log-level", given["log_level"]],
        output="screen",
    )
    actions: list[LaunchDescriptionEntity] = []
    if given["bag"]:
        player = ExecuteProcess(
            cmd=["ros2", "bag", "play", given["bag"], "--clock"], name="bag", output="screen"
        )
        # Not at once: a short recording would be over before the network is loaded.
        actions.append(
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    goal_state="active",
                    entities=[player],
                    handle_once=True,
                )
            )
        )
    actions.append(node)
    if given["rviz"] == "true":
        actions.append(rviz(given, use_sim_time))
    return actions


def overrides(given: dict[str, str], use_sim_time: bool) -> dict[str, object]:
    """Return the parameters that arguments replace."""
    values: dict[str, object] = {"use_sim_time": use_sim_time}
    for argument, parameter in (
        ("image_transport", "input.transport"),
        ("checkpoint", "model.checkpoint"),
        ("device", "model.device"),
    ):
        if given[argument]:
            values[parameter] = ParameterValue(given[argument], value_type=str)
    if given["autostart"]:
        values["autostart"] = given["autostart"] == "true"
    return values


def rviz(given: dict[str, str], use_sim_time: bool) -> Node:
    """Return RViz, showing the topics of this node."""
    namespace = given["namespace"].strip("/")
    prefix = f"/{namespace}" if namespace else ""
    image = given["image_topic"]
    remappings = [("/image", image if image.startswith("/") else f"{prefix}/{image}")]
    remappings += [(f"/{NAME}/{output}", f"{prefix}/{NAME}/{output}") for output in OUTPUTS]
    frame = ["-f", given["rviz_frame"]] if given["rviz_frame"] else []
    return Node(
        package="rviz2",
        executable="rviz2",
        name=f"{NAME}_rviz",
        arguments=["-d", str(CONFIG / "scenedino.rviz"), *frame],
        parameters=[{"use_sim_time": use_sim_time}],
        remappings=[(old, new) for old, new in remappings if old != new],
        output="screen",
    )
