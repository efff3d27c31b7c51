# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Subscriptions to input topics, and why nothing comes on one, as far as other topics show."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.core.camera_names import camera_path
from scenedino_ros.core.errors import InputError
from scenedino_ros.node.rclpy_private import parameter_overrides
from scenedino_ros.recordings.image_topics import image_word

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

INPUT_QOS_OVERRIDES = QoSOverridingOptions(
    policy_kinds=(
        QoSPolicyKind.HISTORY,
        QoSPolicyKind.DEPTH,
        QoSPolicyKind.RELIABILITY,
        QoSPolicyKind.DURABILITY,
    )
)
_SUFFIX = "/compressed"
_MOST_NAMED = 3

Topics = Mapping[str, Iterable[str]]  # names, with the types that are published there


def image_hint(topic: str, transport: str, topics: Topics, camera: str = "") -> str:
    """Return a sentence on which other topic has the images; empty if none seems to.

    Args:
        topic: Full name of the topic that is subscribed to.
        transport: Parameter ``input.transport``.
        topics: What is published.
        camera: Name of the camera, or empty.
    """
    if transport == "raw":
        if COMPRESSED in topics.get(topic + _SUFFIX, ()):
            return (
                f"{topic}{_SUFFIX} is published: set input.transport (image_transport of the "
                "launch file) to compressed"
            )
        if COMPRESSED in topics.get(topic, ()):
            base = topic.removesuffix(_SUFFIX)
            return (
                f"{topic} has compressed images: set input.transport (image_transport of the "
                f"launch file) to compressed, and {camera_path(camera, 'image')} to {base}"
            )
        return _others(topic, RAW, topics)
    base = topic.removesuffix(_SUFFIX)
    if RAW in topics.get(base, ()):
        return (
            f"{base} is published: set input.transport (image_transport of the launch file) to raw"
        )
    if COMPRESSED in topics.get(base, ()):
        return (
            f"{base} has compressed images: with the compressed transport, the name of the image "
            f"topic is {base.removesuffix(_SUFFIX)}"
        )
    others = _others(topic, COMPRESSED, topics)
    remapped = camera_path(camera, "image" + _SUFFIX)
    return others and f"{others}; remap {remapped}, which image_topic of the launch file does"


def info_hint(topic: str, image_topic: str, topics: Topics, camera: str = "") -> str:
    """Return a sentence on which other topic has the calibration; empty if none seems to.

    Args:
        topic: Full name of the topic that is subscribed to.
        image_topic: Full name of the image topic: one beside it comes first.
        topics: What is published.
        camera: Name of the camera, or empty.
    """
    beside = image_topic.removesuffix(_SUFFIX).rpartition("/")[0] + "/camera_info"
    if beside != topic and INFO in topics.get(beside, ()):
        remapped = camera_path(camera, "camera_info")
        return f"{beside} is published: remap {remapped} (camera_info_topic of the launch file)"
    return _others(topic, INFO, topics)


def naming_warnings(
    topic: str, camera: CalibratedCamera, frame: str, frames: tuple[str, str]
) -> dict[str, str]:
    """Return what the names of images say against their use, by its kind.

    Args:
        topic: Full name of the image topic.
        camera: The calibration that they are used with.
        frame: Frame of the outputs.
        frames: Frames of the images and of their calibration.
    """
    found = {}
    if all(frames) and frames[0] != frames[1]:
        found["another camera"] = (
            f"the images on {topic} are of the frame {frames[0]!r}, their calibration is of "
            f"{frames[1]!r}: is it another camera's?"
        )
    if camera.is_distorted and "rect" in image_word(topic):
        found["rectified"] = (
            f"{topic} has the name of rectified images, but they are undistorted as raw ones: set "
            "input.rectified (rectified of the launch file) if they are rectified"
        )
    if not frame:
        found["frame"] = (
            "the images have no frame_id, so nothing can show where the voxels are: set that of "
            "the camera's driver, or grid.frame"
        )
    return found


def mismatch(topic: str, wanted_type: str, quality: QoSProfile, publishers: Iterable[Any]) -> str:
    """Return why what is published on a topic cannot arrive; empty if it can.

    Args:
        topic: Full name of the topic.
        wanted_type: Type of the subscription.
        quality: Its quality of service.
        publishers: As `rclpy.node.Node.get_publishers_info_by_topic` returns them.
    """
    reasons = set()
    for publisher in publishers:
        if publisher.topic_type != wanted_type:
            reasons.add(f"{topic} has the type {publisher.topic_type}, not {wanted_type}")
            continue
        compatibility, reason = qos_check_compatible(publisher.qos_profile, quality)
        if compatibility != QoSCompatibility.ERROR:
            return ""
        is_reliable = quality.reliability == ReliabilityPolicy.RELIABLE and wanted_type != INFO
        remedy = "input.reliable to false or " if is_reliable else ""
        reasons.add(
            f"the quality of service of {topic} does not fit ({reason.strip().rstrip('; ')}): set "
            f"{remedy}qos_overrides.{topic}.subscription"
        )
    return "; ".join(sorted(reasons))


def subscribe_counting_losses(
    node: Node,
    message_type: type,
    topic: str,
    callback: Callable[[Any], None],
    quality: QoSProfile,
    lost: Callable[[int], None],
) -> Subscription:
    """Subscribe to a topic whose quality of service the user may override.

    Args:
        node: The node.
        message_type: Type of the messages.
        topic: Name of the topic.
        callback: Called with each message.
        quality: Quality of service where the user gives none.
        lost: Called with the number of messages that were lost on the way, where the middleware
            reports it. Messages that a newer one replaced in the queue do not count.
    """
    events = SubscriptionEventCallbacks(message_lost=lambda event: lost(event.total_count_change))
    try:
        return subscribe(node, message_type, topic, callback, quality, event_callbacks=events)
    except UnsupportedEventTypeError:
        return subscribe(node, message_type, topic, callback, quality)


def subscribe(
    node: Node,
    message_type: type,
    topic: str,
    callback: Callable[[Any], None],
    quality: QoSProfile,
    **options: Any,
) -> Subscription:
    """Subscribe to a topic; arguments as of `subscribe_counting_losses`, and rclpy's options.

    Raises:
        InputError: If the user's quality of service is none.
    """
    try:
        return node.create_subscription(
            message_type,
            topic,
            callback,
            quality,
            qos_overriding_options=INPUT_QOS_OVERRIDES,
            **options,
        )
    except UnsupportedEventTypeError:
        raise
    except Exception as error:  # KeyError, RCLError, ParameterException: of no common class
        prefix = f"qos_overrides.{node.resolve_topic_name(topic)}.subscription"
        given = {
            name.rpartition(".")[2]: parameter.value
            for name, parameter in sorted(parameter_overrides(node).items())
            if name.startswith(prefix)
        }
        if not given:
            raise
        words = ", ".join(f"{name} {value!r}" for name, value in given.items())
        raise InputError(
            f"{prefix} cannot be used, got {words}: reliability is reliable or best_effort, "
            "durability volatile or transient_local, history keep_last or keep_all, depth a "
            "whole number >= 0"
        ) from error


def idle_overrides(node: Node) -> list[str]:
    """Return the parameters for the quality of service of topics that the node does not read."""
    topics = {subscription.topic_name for subscription in node.subscriptions}
    return [
        name
        for name in sorted(parameter_overrides(node))
        if name.startswith("qos_overrides.")
        and not any(name.startswith(f"qos_overrides.{topic}.subscription.") for topic in topics)
    ]


def published(node: Node) -> dict[str, set[str]]:
    """Return the topics of images and calibrations that other nodes publish, with their types."""
    own = f"{node.get_fully_qualified_name()}/"
    found = {}
    for name, types in node.get_topic_names_and_types():
        if name.startswith(own) or not {RAW, COMPRESSED, INFO}.intersection(types):
            continue
        # Types of mere subscribers are among the others.
        kinds = {publisher.topic_type for publisher in node.get_publishers_info_by_topic(name)}
        if kinds:
            found[name] = kinds
    return found


def hints(
    node: Node, transport: str, image: Subscription, info: Subscription, camera: str = ""
) -> tuple[str, str]:
    """Return why no image and no calibration comes, as far as the published topics show.

    Args:
        node: The node.
        transport: Parameter ``input.transport``.
        image: Subscription to the images.
        info: Subscription to the calibrations.
        camera: Name of the camera, or empty.
    """
    topics = published(node)
    image_type = RAW if transport == "raw" else COMPRESSED
    return (
        _mismatch(node, image, image_type)
        or image_hint(image.topic_name, transport, topics, camera),
        _mismatch(node, info, INFO)
        or info_hint(info.topic_name, image.topic_name, topics, camera),
    )


def _mismatch(node: Node, subscription: Subscription, kind: str) -> str:
    topic = subscription.topic_name
    publishers = node.get_publishers_info_by_topic(topic)
    return mismatch(topic, kind, subscription.qos_profile, publishers)


def _others(topic: str, kind: str, topics: Topics) -> str:
    found = sorted(name for name, types in topics.items() if kind in types and name != topic)
    if not found:
        return ""
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"topics of that type: {', '.join(found[:_MOST_NAMED])}{more}"
