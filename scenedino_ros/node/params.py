# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The settings of core/config as ROS parameters: declared, read, and changed while running."""

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.errors import InputError, unknown_name
from scenedino_ros.core.labels import SKY, ClassTable
from scenedino_ros.core.parameter_tree import Setting, replace_settings, walk_settings
from scenedino_ros.core.printable import printable
from scenedino_ros.core.setting import check_value
from scenedino_ros.mapping.box import RollingBox
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.inputs import INPUT_QOS_OVERRIDES
from scenedino_ros.node.rclpy_private import parameter_overrides

_TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    tuple[int, ...]: Parameter.Type.INTEGER_ARRAY,
    tuple[float, ...]: Parameter.Type.DOUBLE_ARRAY,
    tuple[str, ...]: Parameter.Type.STRING_ARRAY,
}
_ARRAYS = (
    Parameter.Type.INTEGER_ARRAY,
    Parameter.Type.DOUBLE_ARRAY,
    Parameter.Type.STRING_ARRAY,
)
# An array without elements has no type of its own: a file's [] comes as NOT_SET, that of
# `ros2 param set` as BOOL_ARRAY, Python's as BYTE_ARRAY.
_EMPTY_ARRAY = (
    Parameter.Type.NOT_SET,
    Parameter.Type.BOOL_ARRAY,
    Parameter.Type.BYTE_ARRAY,
    *_ARRAYS,
)
# Before Iron, rclpy checks the type of a new value before it calls a callback, unless the
# parameter may change its type.
_CAN_CONVERT = hasattr(Node, "add_pre_set_parameters_callback")
_QOS_POLICIES = [kind.name.lower() for kind in INPUT_QOS_OVERRIDES.policy_kinds]
_ROUNDING = 1e-6  # metres
_QOS_PREFIX = "qos_overrides."  # declared by rclpy together with the topic they belong to


class LiveSettings:
    """The settings of a running node: one frozen object, replaced as a whole when one changes.

    Attributes:
        current: The settings now. A caller that needs several of them reads this object once, so
            that they belong together; any thread may read it.
    """

    def __init__(
        self, node: Node, check: Callable[[NodeSettings], None], failures: Failures
    ) -> None:
        """Declare all parameters on a node, with the values that the user gave, and watch them.

        Args:
            node: The node; it has none of our parameters yet.
            check: Called with new settings before they apply; raises `InputError` to refuse them.
            failures: Counts exceptions that nobody foresaw.

        Raises:
            InputError: If a parameter is unknown, of the wrong type, or out of range.
        """
        overrides = parameter_overrides(node)
        defaults = list(walk_settings(NodeSettings()))
        _refuse_unknown(node, overrides, [setting.name for setting in defaults])
        values = {
            setting.name: _value_from_override(setting, overrides[setting.name])
            for setting in defaults
            if setting.name in overrides
        }
        self.current: NodeSettings = replace_settings(NodeSettings(), values)
        self._check, self._failures = check, failures
        for setting in walk_settings(self.current):
            check_value(setting.name, setting.value, setting.metadata)
        check(self.current)
        for setting in walk_settings(self.current):
            _declare(node, setting)
        self._live = {s.name: s for s in defaults if s.metadata["live"]}
        if _CAN_CONVERT:
            node.add_pre_set_parameters_callback(self._converted)
        node.add_on_set_parameters_callback(self._on_set)

    def _converted(self, parameters: list[Parameter]) -> list[Parameter]:
        """Return new values of live parameters in their types: 1 as 1.0, [] as an empty array."""
        return [self._converted_one(parameter) for parameter in parameters]

    def _converted_one(self, parameter: Parameter) -> Parameter:
        setting = self._live.get(parameter.name)
        if setting is None or parameter.type_ == Parameter.Type.NOT_SET:  # a deletion
            return parameter
        try:
            value = _value_from_override(setting, parameter)
        except InputError:
            return parameter  # refused when it is to be set, with the reason
        value = list(value) if isinstance(value, tuple) else value
        return Parameter(parameter.name, _TYPES[setting.type], value)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        """Apply new values of live parameters, all of them or none."""
        values = {}
        try:
            for parameter in parameters:
                setting = self._live.get(parameter.name)
                if setting is not None:
                    if parameter.type_ == Parameter.Type.NOT_SET:
                        raise InputError(f"{parameter.name} cannot be deleted")
                    value = _value_from_override(setting, parameter)
                    check_value(setting.name, value, setting.metadata)
                    values[setting.name] = value
            changed = replace_settings(self.current, values)
            self._check(changed)
        except InputError as error:
            return SetParametersResult(successful=False, reason=printable(error))
        except Exception as error:  # nothing that comes may end the node
            reason = self._failures.note("setting a parameter", error)
            return SetParametersResult(successful=False, reason=f"failed, see the log: {reason}")
        self.current = changed
        return SetParametersResult(successful=True)


def _refuse_unknown(node: Node, overrides: dict[str, Parameter], known: list[str]) -> None:
    for name in sorted(overrides):
        if name in known or node.has_parameter(name):
            continue
        if name.startswith(_QOS_PREFIX):
            if name.rpartition(".")[2] not in _QOS_POLICIES:
                endings = ", ".join(_QOS_POLICIES)
                raise InputError(f"parameter {name} must end with one of {endings}")
            continue
        raise unknown_name("parameter", name, known)


def _value_from_override(setting: Setting, parameter: Parameter) -> Any:
    given, value = parameter.type_, parameter.value
    expected = _TYPES[setting.type]
    if expected in _ARRAYS and given in _EMPTY_ARRAY and not value:
        return ()
    # A whole number is a number: "voxel_size: 1" means 1.0.
    if expected == Parameter.Type.DOUBLE and given == Parameter.Type.INTEGER:
        return float(value)
    if expected == Parameter.Type.DOUBLE_ARRAY and given == Parameter.Type.INTEGER_ARRAY:
        return tuple(float(number) for number in value)
    if given != expected:
        got = "no value" if given == Parameter.Type.NOT_SET else f"{_type_name(given)} {value!r}"
        raise InputError(f"{setting.name} must be of type {_type_name(expected)}, got {got}")
    return tuple(value) if expected in _ARRAYS else value


def _type_name(parameter_type: Parameter.Type) -> str:
    return parameter_type.name.lower().replace("_", " ")


def _declare(node: Node, setting: Setting) -> None:
    parameter_type = _TYPES[setting.type]
    if parameter_type not in _ARRAYS:
        node.declare_parameter(
            setting.name, setting.value, describe(setting), ignore_override=True
        )
        return
    # Declared with a value, an empty array would be taken for one of bytes; so the type is
    # declared first, then the value set, and only then the parameter closed for writing.
    node.declare_parameter(
        setting.name, parameter_type, ParameterDescriptor(), ignore_override=True
    )
    node.set_parameters([Parameter(setting.name, parameter_type, list(setting.value))])
    node.set_descriptor(setting.name, describe(setting))


def describe(setting: Setting) -> ParameterDescriptor:
    """Return the descriptor of a parameter: meaning, unit, range, and whether it may change."""
    metadata = setting.metadata
    unit = f" [{metadata['unit']}]" if metadata["unit"] else ""
    descriptor = ParameterDescriptor(
        name=setting.name,
        type=_TYPES[setting.type].value,
        description=metadata["doc"] + unit,
        additional_constraints=_constraints(metadata),
        read_only=not metadata["live"],
        dynamic_typing=bool(metadata["live"]) and not _CAN_CONVERT,
    )
    low, high = metadata["low"], metadata["high"]
    if low is not None and high is not None:
        if setting.type is float:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        elif setting.type is int:
            descriptor.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=1)
            ]
    return descriptor


def _constraints(metadata: Any) -> str:
    low, high, choices = metadata["low"], metadata["high"], metadata["choices"]
    if choices:
        return f"one of: {', '.join(choices)}"
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"{low} or more"
    return f"{high} or less" if high is not None else ""


def check_map(settings: NodeSettings) -> None:
    """Refuse settings of the map that are wrong together.

    Raises:
        InputError: Naming the parameters.
    """
    chosen = settings.map
    if (
        len(chosen.obstacle_heights) != 2
        or chosen.obstacle_heights[0] >= chosen.obstacle_heights[1]
    ):
        raise InputError(
            "map.obstacle_heights must be two heights, the lower one first, got "
            f"{list(chosen.obstacle_heights)}"
        )
    RollingBox(chosen.size, chosen.voxel_size, chosen.below)
    low, high = -chosen.below, chosen.size[2] - chosen.below
    lowest = chosen.ground_height - chosen.voxel_size  # of the voxel whose top is the ground
    highest = chosen.ground_height + chosen.obstacle_heights[1]
    # Sums such as 2.3 - 0.3 are a little less than they should be.
    if chosen.frame and not low - _ROUNDING <= lowest < highest <= high + _ROUNDING:
        raise InputError(
            f"the map reaches from {low:g} to {high:g} m around the height of the robot's frame "
            f"(map.below, map.size), but ground and obstacles from {lowest:g} to {highest:g} m "
            "(map.ground_height, map.obstacle_heights)"
        )
    if chosen.frame and not chosen.robot_frame and len(settings.input.cameras) > 1:
        raise InputError(
            "map.robot_frame must name the robot's frame, such as base_link, where input.cameras "
            "names several cameras"
        )


def hidden_ids(classes: ClassTable, names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the ids of the classes that are not published: those named, and sky in any case.

    Args:
        classes: The classes of the network.
        names: The parameter ``voxels.hidden_classes``; sky may be among them even where the
            network does not know it.

    Raises:
        InputError: If another name is not in the table.
    """
    named = tuple(name for name in names if name != SKY)
    try:
        return classes.ids((*named, SKY) if SKY in classes.names else named)
    except InputError as error:
        raise InputError(f"voxels.hidden_classes: {error}") from error
