"""Message classes by the names of their types."""

import importlib

from scenedino_ros.core.errors import BagError
from scenedino_ros.node.tf_message_type import tf_message_class

_TF = "tf2_msgs/msg/TFMessage"


def message_class(type_name: str) -> type:
    """Return the class of a message type, such as ``sensor_msgs/msg/Image``.

    Raises:
        BagError: If its package is not installed.
    """
    if type_name == _TF:
        return tf_message_class()
    package, _, name = type_name.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(f"message type {type_name} is not installed here") from error
