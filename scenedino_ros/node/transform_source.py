# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Transforms between frames at an image's stamp, from the topics /tf and /tf_static."""

import threading
from functools import partial
from typing import Any, Protocol

import numpy as np
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time

from scenedino_ros.core.errors import InputError, TransformError
from scenedino_ros.core.printable import printable
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.tf_message_type import TF_QOS, TF_STATIC_QOS, tf_message_class
from scenedino_ros.recordings.tf_cdr import transforms_from_cdr
from scenedino_ros.recordings.transform_ages import Age, TransformAges
from scenedino_ros.recordings.transform_tree import (
    TransformTooOldError,
    TransformTree,
    old_sentence,
    seconds,
)
from scenedino_ros.recordings.transforms import frame_name, matrix_from_message, nanoseconds

try:
    import tf2_ros
except ImportError:
    tf2_ros = None


_HORIZON = 10.0  # seconds that dynamic transforms are kept
_WARNING_PERIOD = 5.0  # seconds between two warnings of a kind
_PAUSE = 0.01  # seconds after a failure, so that one that lasts does not take a processor


class TransformStore(Protocol):
    """Stores the transforms: tf2's buffer where it is installed, else our `TransformTree`."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """Return (4, 4) T_target_source, or raise a `TransformError`."""

    def clear(self) -> None:
        """Forget the dynamic transforms."""


class TransformSource:
    """Listens to /tf and /tf_static, and looks up transforms at a stamp.

    It has a small node, an executor and a thread of its own, so transforms arrive whatever the
    caller's node does. Remappings of /tf apply to it, too.
    """

    def __init__(self, node: Node, failures: Failures) -> None:
        """Start to listen.

        Args:
            node: Whose context, namespace and name the listening node shares.
            failures: Counts exceptions that nobody foresaw.

        Raises:
            TransformError: If /tf cannot be read in this installation.
        """
        self._failures = failures
        self._closing = threading.Event()
        name = f"{node.get_name()}_tf"
        self._node = Node(
            name,
            # The process may have been started with `-r __node:=NAME`, which is not for this node.
            cli_args=["--ros-args", "-r", f"__node:={name}"],
            context=node.context,
            namespace=node.get_namespace(),
            enable_rosout=False,
            start_parameter_services=False,
            # rclpy leaks some 100 KB with each of these services, one per activation.
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        try:
            store = _TreeStore if tf2_ros is None else _Tf2Store
            self._store: TransformStore = store(self._node)
        except TransformError:
            self._node.destroy_node()
            raise
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name=name)
        self._thread.start()

    def lookup(self, target_frame: str, source_frame: str, stamp: Any) -> np.ndarray:
        """Return the transform between two frames at a stamp, as far as it is known by now.

        Args:
            target_frame: Frame the points shall be in.
            source_frame: Frame the points are in.
            stamp: `builtin_interfaces/Time` of the image; zero is no time: it is
                answered where only static transforms lie between the frames.

        Returns:
            (4, 4) float64 T_target_source, metres.

        Raises:
            TransformTooOldError: If it is not known at that time, and never will be.
            TransformError: If it is not known at that time, and may still come.
        """
        stamp_ns = nanoseconds(stamp)
        target, source = frame_name(target_frame), frame_name(source_frame)
        if stamp_ns < 0:
            raise TransformTooOldError(f"{_head(target, source, stamp_ns)}: the time must be >= 0")
        return self._store.lookup(target, source, stamp_ns)

    def is_alive(self) -> bool:
        """Return whether it still listens, unless it was closed."""
        return self._thread.is_alive() or self._closing.is_set()

    def clear(self) -> None:
        """Forget the dynamic transforms, when time has jumped back; static ones stay."""
        self._store.clear()

    def close(self) -> None:
        """Stop listening; calling it again does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _spin(self) -> None:
        # A daemon thread would still be in rclpy when an unhandled error ends the interpreter, and
        # that aborts the process. So it is none, and leaves once the main thread is gone.
        main = threading.main_thread()
        while not self._closing.is_set() and self._node.context.ok() and main.is_alive():
            try:
                self._executor.spin_once(timeout_sec=0.2)
            except ExternalShutdownException:
                return
            except Exception as error:
                # rclpy's errors from waiting on a context that was just shut down are of no use.
                if self._closing.is_set() or not self._node.context.ok():
                    return
                self._failures.note("a message of TF", error)
                self._closing.wait(_PAUSE)


class _TreeStore:
    def __init__(self, node: Node) -> None:
        self._logger = node.get_logger()
        self._tree = TransformTree(_HORIZON, partial(_warn, self._logger))
        self.lookup, self.clear = self._tree.lookup, self._tree.clear
        message_class = tf_message_class()
        node.create_subscription(message_class, "/tf", self._on_moving, TF_QOS, raw=True)
        node.create_subscription(
            message_class, "/tf_static", self._on_static, TF_STATIC_QOS, raw=True
        )

    def _on_moving(self, data: bytes) -> None:
        self._add(data, static=False)

    def _on_static(self, data: bytes) -> None:
        self._add(data, static=True)

    def _add(self, data: bytes, static: bool) -> None:
        try:
            transforms = transforms_from_cdr(data)
        except InputError as error:
            self._logger.warning(
                printable(f"ignored: {error}"), throttle_duration_sec=_WARNING_PERIOD
            )
            return
        for transform in transforms:
            try:
                self._tree.add(transform, static)
            except TransformError as error:
                self._logger.warning(
                    printable(f"ignored: {error}"), throttle_duration_sec=_WARNING_PERIOD
                )


class _Tf2Store:
    def __init__(self, node: Node) -> None:
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=_HORIZON))
        self._ages, self._logger = TransformAges(int(_HORIZON * 1e9)), node.get_logger()
        # It hands its transforms to us.
        self._listener = tf2_ros.TransformListener(self, node, spin_thread=False)

    def clear(self) -> None:
        self._ages.clear()
        self._buffer.clear()

    def set_transform(self, transform: Any, authority: str) -> None:
        child, stamp_ns = transform.child_frame_id, nanoseconds(transform.header.stamp)
        newest = self._ages.newest(child)
        age = self._ages.judge(child, stamp_ns)
        if age is Age.RESTART:
            self._buffer.clear()  # of all frames, for it has no way to forget one
        if age is not Age.FRESH:
            _warn(self._logger, age, old_sentence(child, stamp_ns, newest, age))
        self._buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: Any, authority: str) -> None:
        self._buffer.set_transform_static(transform, authority)

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        stamp = Time(nanoseconds=max(stamp_ns, 1))  # 0 means "latest" to tf2
        try:
            # Without tf2_ros's own timeout, which waits by a clock that may be a simulated one.
            found = self._buffer.lookup_transform(target, source, stamp)
        except tf2_ros.TransformException as error:
            sentence = f"{_head(target, source, stamp_ns)}: {error}"
            if "into the past" in str(error):
                raise TransformTooOldError(sentence) from None
            raise TransformError(sentence) from None
        try:
            return matrix_from_message(found.transform)
        except InputError as error:
            raise TransformError(f"{_head(target, source, stamp_ns)}: {error}") from None


def _warn(logger: Any, age: Age, sentence: str) -> None:
    """Log a warning; rclpy throttles each line of code on its own."""
    text = printable(sentence)
    if age is Age.OLD:
        logger.warning(text, throttle_duration_sec=_WARNING_PERIOD)
    else:
        logger.warning(text, throttle_duration_sec=_WARNING_PERIOD)


def _head(target: str, source: str, stamp_ns: int) -> str:
    return f"no transform from {source!r} to {target!r} at {seconds(stamp_ns)} s"
