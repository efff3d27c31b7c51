# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Start the node and, where the arguments ask for it, RViz and a recording.

The recording plays once the node is active.
"""

import os
import re
from collections import Counter
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

from scenedino_ros.core.camera_names import camera_path, check_camera_names
from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.outputs import NODE, OUTPUTS
from scenedino_ros.core.parameter_tree import walk_settings
from scenedino_ros.node.shared_memory import PROFILE_VARIABLES, profile_name, profile_variable

CONFIG = Path(__file__).parent.parent / "config"
RESPAWN_DELAY = 2.0  # seconds
CAMERA = "{camera}"  # in a topic: the camera's name

# Parameters that an argument replaces where it is not empty: words, and switches.
PARAMETERS = {
    "image_transport": "input.transport",
    "checkpoint": "model.checkpoint",
    "device": "model.device",
}
SWITCHES = {"rectified": "input.rectified", "autostart": "autostart"}
CHOICES = {setting.name: setting.metadata["choices"] for setting in walk_settings(NodeSettings())}
AS_IN_FILE = "empty: as in params_file"
SWITCH = ["true", "false"]
ARGUMENTS = (
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node"),
    DeclareLaunchArgument(
        "node_name", default_value=NODE, description="Name of the node, and of its topics"
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "scenedino.yaml"),
        description="Parameters of the node",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", *SWITCH],
        description="Follow the topic /clock; empty: where a bag is played, else "
        "as in params_file or around the include",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Names of several cameras, with commas or spaces between them; "
        "empty: one camera, or as in params_file",
    ),
    DeclareLaunchArgument(
        "image_topic",
        default_value="image",
        description="Topic of the images; of several cameras, one topic in which {camera} stands "
        "for the name (without it: below the name), or a list with a topic for each camera",
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="camera_info",
        description="Topic of the camera's calibration; of several cameras, as for image_topic",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", *CHOICES[PARAMETERS["image_transport"]]],
        description="compressed: read <image_topic>/compressed; " + AS_IN_FILE,
    ),
    DeclareLaunchArgument(
        "rectified",
        default_value="",
        choices=["", *SWITCH],
        description="true: the images are rectified, as those of image_rect; " + AS_IN_FILE,
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value="",
        description="Checkpoint file, or name of a published one; " + AS_IN_FILE,
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        choices=["", *CHOICES[PARAMETERS["device"]]],
        description="Device of the network; " + AS_IN_FILE,
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=SWITCH, description="Show everything in RViz"
    ),
    DeclareLaunchArgument(
        "rviz_frame",
        default_value="",
        description="Fixed frame of RViz; empty: one of the node's own, x ahead and z up, that "
        "needs no TF",
    ),
    DeclareLaunchArgument(
        "bag",
        default_value="",
        description="Recording to play as soon as the node is active; empty: none",
    ),
    DeclareLaunchArgument(
        "bag_rate", default_value="1.0", description="Speed of the recording, 1.0: as recorded"
    ),
    DeclareLaunchArgument(
        "bag_loop",
        default_value="false",
        choices=SWITCH,
        description="Play the recording again and again",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=SWITCH,
        description="Start the node again when its process has ended",
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


class Taken(str):
    """The value of an argument that an include before this one was given."""

    # Read instead of the class: every include runs this file and makes a class of its own.
    taken = True


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch scenedino_ros scenedino.launch.py` does."""
    return LaunchDescription([*ARGUMENTS, *profile_actions(), OpaqueFunction(function=perform)])


def profile_actions() -> list[LaunchDescriptionEntity]:
    """Return what sets the transport profile, unless the user has set one."""
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return []
    profile = str(CONFIG / profile_name())
    return [SetEnvironmentVariable(profile_variable(os.environ), profile)]


def perform(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the processes for the arguments that were given."""
    given = take_arguments(context)
    outer = context.launch_configurations.get("ros_namespace", "")  # PushRosNamespace
    return start(given, outer)


def take_arguments(context: LaunchContext) -> dict[str, str]:
    """Return the arguments of this include, and mark them, so that no other one inherits them.

    What an include is given stays in the launch system for all that follows in the same file. A
    value on the command line is meant for every include.
    """
    values = context.launch_configurations
    on_command_line = dict(word.split(":=", 1) for word in context.argv if ":=" in word)
    given = {}
    for argument in ARGUMENTS:
        name = argument.name
        given[name] = str(LaunchConfiguration(name).perform(context))
        if getattr(values[name], "taken", False):
            default = "".join(part.perform(context) for part in argument.default_value)
            given[name] = on_command_line.get(name, default)
        values[name] = Taken(given[name])
    return given


def start(given: dict[str, str], outer: str = "") -> list[LaunchDescriptionEntity]:
    """Return the processes for some arguments, all of which are there, in an outer namespace.

    Raises:
        RuntimeError: If a file is not there, a number is none, or a camera's name or topic
            cannot be.
    """
    check(given)
    cameras = camera_names(given)
    image_topics = topics_of(given, "image_topic", cameras)
    info_topics = topics_of(given, "camera_info_topic", cameras)
    absolute = given["namespace"].startswith("/")
    namespace = given["namespace"] if absolute else f"{outer}/{given['namespace']}"
    full_name = "/".join(filter(None, [*namespace.split("/"), given["node_name"]]))
    values = overrides(given, cameras)
    frame = given["rviz_frame"] or f"{full_name}_view"
    if given["rviz"] == "true" and not given["rviz_frame"]:
        values["grid.view_frame"] = ParameterValue(frame, value_type=str)
    node = LifecycleNode(
        package="scenedino_ros",
        executable="scenedino_node",
        name=given["node_name"],
        namespace=given["namespace"],
        parameters=[given["params_file"], *([values] if values else [])],
        remappings=[
            remapping
            for camera in cameras or [""]
            for remapping in (
                (camera_path(camera, "image"), image_topics[camera]),
                (camera_path(camera, "image/compressed"), f"{image_topics[camera]}/compressed"),
                (camera_path(camera, "camera_info"), info_topics[camera]),
            )
        ],
        arguments=["--ros-args", "--log-level", given["log_level"]],
        respawn=given["respawn"] == "true",
        respawn_delay=RESPAWN_DELAY,
        output="screen",
    )
    actions: list[LaunchDescriptionEntity] = []
    if given["bag"]:
        # Not at once: a short recording would be over before the network is loaded.
        actions.append(
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    goal_state="active",
                    entities=[player(given)],
                    handle_once=True,
                )
            )
        )
    actions.append(node)
    if given["rviz"] == "true":
        shown = cameras[0] if cameras else ""
        actions.append(rviz(given, full_name, frame, shown, image_topics[shown]))
    return actions


def check(given: dict[str, str]) -> None:
    """Refuse arguments that cannot work before anything is started."""
    if not Path(given["params_file"]).is_file():
        raise RuntimeError(f"params_file: there is no file {given['params_file']!r}")
    if given["bag"] and not Path(given["bag"]).exists():
        raise RuntimeError(f"bag: there is no recording {given['bag']!r}")
    try:
        rate = float(given["bag_rate"])
    except ValueError:
        rate = 0.0
    if not 0.0 < rate < float("inf"):
        raise RuntimeError(f"bag_rate must be a number above 0, got {given['bag_rate']!r}")


def words(text: str) -> list[str]:
    """Return the words of a list with commas or spaces between them."""
    return re.findall(r"[^\s,]+", text)


def camera_names(given: dict[str, str]) -> list[str]:
    """Return the names of several cameras; none: one camera without a name."""
    names = words(given["cameras"])
    try:
        check_camera_names(names)
    except InputError as error:
        raise RuntimeError(f"cameras: {error}") from error
    return names


def topics_of(given: dict[str, str], argument: str, cameras: list[str]) -> dict[str, str]:
    """Return a topic by the name of the camera.

    Raises:
        RuntimeError: If topics and cameras do not fit each other.
    """
    text = given[argument]
    if not cameras:
        if CAMERA in text:
            raise RuntimeError(
                f"{argument} {text!r} has {CAMERA}, but the argument cameras names none"
            )
        return {"": text}
    topics = words(text)
    if len(topics) == 1:
        (pattern,) = topics
        if CAMERA not in pattern and not pattern.startswith("/"):
            pattern = f"{CAMERA}/{pattern}"
        topics = [pattern] * len(cameras)
    if len(topics) != len(cameras):
        raise RuntimeError(
            f"{argument} must be one topic with {CAMERA} or {len(cameras)} topics, one for each "
            f"camera, got {text!r}"
        )
    found = {
        camera: topic.replace(CAMERA, camera)
        for camera, topic in zip(cameras, topics, strict=True)
    }
    topic, count = Counter(found.values()).most_common(1)[0]
    if count > 1:
        raise RuntimeError(
            f"{argument} must give every camera a topic of its own, such as /{CAMERA}/image_raw, "
            f"but {count} cameras would read {topic!r}"
        )
    return found


def use_sim_time(given: dict[str, str]) -> dict[str, bool]:
    """Return the parameter use_sim_time where something asks for it.

    Without the argument, a file of parameters or a SetParameter around the include decides.
    """
    if given["use_sim_time"]:
        return {"use_sim_time": given["use_sim_time"] == "true"}
    return {"use_sim_time": True} if given["bag"] else {}


def overrides(given: dict[str, str], cameras: list[str]) -> dict[str, object]:
    """Return the parameters that arguments replace."""
    values: dict[str, object] = {**use_sim_time(given)}
    if cameras:
        values["input.cameras"] = cameras
    for argument, parameter in PARAMETERS.items():
        if given[argument]:
            values[parameter] = ParameterValue(given[argument], value_type=str)
    for argument, parameter in SWITCHES.items():
        if given[argument]:
            values[parameter] = given[argument] == "true"
    return values


def player(given: dict[str, str]) -> ExecuteProcess:
    """Return what plays the recording."""
    command = ["ros2", "bag", "play", given["bag"], "--clock", "--rate", given["bag_rate"]]
    loop = ["--loop"] if given["bag_loop"] == "true" else []
    return ExecuteProcess(cmd=[*command, *loop], name="bag", output="screen")


def rviz(given: dict[str, str], full_name: str, frame: str, camera: str, image: str) -> Node:
    """Return RViz, showing the topics of one camera of the node of that name in a frame."""
    prefix = f"/{full_name}"
    absolute = image if image.startswith("/") else f"{prefix.rpartition('/')[0]}/{image}"
    remappings = [("/image", absolute)]
    remappings += [(output.topic(), output.topic(full_name, camera)) for output in OUTPUTS]
    clock = use_sim_time(given)
    return Node(
        package="rviz2",
        executable="rviz2",
        name=f"{given['node_name']}_rviz",
        namespace=given["namespace"],
        arguments=["-d", str(CONFIG / "scenedino.rviz"), "-f", frame],
        # The file may set use_sim_time; RViz ignores parameters that it does not know.
        parameters=[given["params_file"], *([clock] if clock else [])],
        remappings=[(old, new) for old, new in remappings if old != new],
        output="screen",
    )
