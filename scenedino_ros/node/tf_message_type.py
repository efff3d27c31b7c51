# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The message class and the quality of service of /tf and /tf_static."""

from rclpy.qos import DurabilityPolicy, QoSProfile

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # rclpy from wheels
    TFMessage = None

# What tf2_ros uses, so that both ends match.
TF_QOS = QoSProfile(depth=100)
TF_STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def tf_message_class() -> type:
    """Return the class to make publishers and subscriptions of /tf and /tf_static with.

    It is `tf2_msgs.msg.TFMessage` where that is installed. Otherwise it is an assembled class with
    the same name, type and hash on the wire, good for `create_subscription(..., raw=True)` and for
    publishing bytes (see `recordings/tf_cdr.py`), and for nothing else: it has no fields and no
    instances.

    Returns:
        The class; the same one at every call.

    Raises:
        TransformError: If there is no tf2_msgs, and the middleware or its version is not one the
            assembled class is known to work with.
    """
    if TFMessage is not None:
        found: type = TFMessage
        return found
    # Here and not above, so that an installation that has tf2_msgs never loads it.
    from scenedino_ros.node.tf_type_support import assembled_message_class

    return assembled_message_class()
