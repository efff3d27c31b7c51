# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Message classes by the names of their types."""

import importlib

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.node.tf_message_type import tf_message_class

_TF = "tf2_msgs/msg/TFMessage"


class MissingMessageTypeError(SceneDinoError):
    """The package of a message type is not installed."""


def message_class(type_name: str) -> type:
    """Return the class of a message type, such as ``sensor_msgs/msg/Image``.

    Raises:
        MissingMessageTypeError: If its package is not installed.
        TransformError: If it is the type of /tf, and no class for it can be had here.
    """
    if type_name == _TF:
        return tf_message_class()
    package, _, name = type_name.partition("/msg/")
    try:
        found: type = getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise MissingMessageTypeError(f"message type {type_name} is not installed here") from error
    return found
