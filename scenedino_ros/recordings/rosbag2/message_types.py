# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Decodes messages and finds their definitions without a ROS installation."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import (
    Stores,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.file_limits import DEFINITION_BYTES, DEFINITION_ELEMENTS
from scenedino_ros.core.reading import reason_of
from scenedino_ros.recordings.rosbag2.metadata import BagTopic

_DISTRIBUTION = Stores.ROS2_JAZZY  # whose definitions count where a recording holds none
_IDL_SEPARATOR = "=" * 80 + "\n"


class MessageTypes:
    """Finds message definitions and decodes messages.

    A recording's own definitions count before those of the distribution: the messages were
    serialized by them. Where a message does not fit them, the distribution's are tried.
    """

    def __init__(self) -> None:
        self._known: Typestore | None = None
        self._recorded: dict[tuple[str, str], Typestore | BagError] = {}

    def decode(self, topic: BagTopic, data: bytes) -> Any:
        """Return a message as an object with the fields as attributes, arrays as numpy.

        Raises:
            BagError: If the type is not known, or the data does not fit it.
        """
        known = self._distribution()
        is_known = topic.type in known.types
        if topic.definition:
            try:
                return _deserialize(self._recorded_store(topic), topic, data)
            except BagError:
                # Some recorders cut definitions short; the distribution's may fit then.
                if not is_known:
                    raise
        elif not is_known:
            raise BagError(
                f"messages of {topic.name} cannot be decoded: type '{topic.type}' is unknown and "
                "the recording does not hold its definition"
            )
        return _deserialize(known, topic, data)

    def describe(self, topic: BagTopic) -> BagTopic:
        """Return the topic with definition and hash of its type filled in, where they are known.

        Sought in this order: what the topic holds already, the distribution, the .msg files of
        installed ROS packages. What is found nowhere stays empty; such a topic is recorded all
        the same, but not every program will read it.
        """
        if topic.definition:
            return topic
        store = self._distribution()
        if topic.type not in store.types and not _register_installed(store, topic.type):
            return topic
        definition, _ = store.generate_msgdef(topic.type, ros_version=2)
        return replace(
            topic,
            definition=definition,
            definition_format="ros2msg",
            type_hash=topic.type_hash or store.hash_rihs01(topic.type),
        )

    def _distribution(self) -> Typestore:
        if self._known is None:
            self._known = get_typestore(_DISTRIBUTION)
        return self._known

    def _recorded_store(self, topic: BagTopic) -> Typestore:
        key = (topic.type, topic.definition)
        if key not in self._recorded:
            self._recorded[key] = _registered(topic)
        found = self._recorded[key]
        if isinstance(found, BagError):
            raise found
        return found


def _registered(topic: BagTopic) -> Typestore | BagError:
    """Return a store with the types of a recorded definition, or why it cannot be used."""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(_parse(topic))
    except Exception as error:  # a damaged definition can raise anything
        return BagError(
            f"the recorded definition of '{topic.type}' cannot be understood: {reason_of(error)}"
        )
    return store


def _deserialize(store: Typestore, topic: BagTopic, data: bytes) -> Any:
    try:
        return store.deserialize_cdr(data, topic.type)
    except KeyError as error:
        raise BagError(
            f"messages of {topic.name} cannot be decoded: '{topic.type}' contains the unknown "
            f"type {error}"
        ) from error
    except Exception as error:  # damaged bytes, or a hostile definition, can raise anything
        raise BagError(
            f"a message of {topic.name} with {len(data)} bytes is no '{topic.type}': "
            f"{reason_of(error)}"
        ) from error


def _parse(topic: BagTopic) -> Any:
    """Return the types that a topic's recorded definition describes.

    Raises:
        ValueError: If it is longer, or its arrays are, than a decoder is generated for.
    """
    size = len(topic.definition)
    if size > DEFINITION_BYTES:
        raise ValueError(f"it must have at most {DEFINITION_BYTES} characters, got {size}")
    types = _parsed_types(topic)
    elements = sum(_elements(field) for _, fields in types.values() for _, field in fields)
    if elements > DEFINITION_ELEMENTS:
        raise ValueError(
            f"its arrays of fixed length must have at most {DEFINITION_ELEMENTS} elements, "
            f"got {elements}"
        )
    return types


def _elements(field: Any) -> int:
    """Return for how many elements one by one the rosbags package decodes a field."""
    kind, inner = field
    if kind != Nodetype.ARRAY or (inner[0][0] == Nodetype.BASE and inner[0][1][0] != "string"):
        return 0
    return int(inner[1])


def _parsed_types(topic: BagTopic) -> Any:
    if topic.definition_format == "ros2msg":
        return get_types_from_msg(topic.definition, topic.type)
    types: dict[str, Any] = {}
    for section in topic.definition.split(_IDL_SEPARATOR):
        header, _, body = section.partition("\n")
        text = body if header.startswith("IDL: ") else section
        if text.strip():
            types.update(get_types_from_idl(text))
    return types


def _register_installed(store: Typestore, type_name: str) -> bool:
    """Add a type, and those it contains, from the .msg files of installed ROS packages."""
    found: dict[str, Any] = {}
    wanted = [type_name]
    while wanted:
        name = wanted.pop()
        if name in found or name in store.types:
            continue
        text = _installed_definition(name)
        if text is None:
            return False
        types = get_types_from_msg(text, name)
        found.update(types)
        for _, fields in types.values():
            wanted += [inner for _, field in fields for inner in _message_names(field)]
    store.register(found)
    return True


def _message_names(field: Any) -> list[str]:
    """Return the message types inside a parsed field description of the rosbags package."""
    if isinstance(field, str):
        return [field] if "/" in field else []
    if isinstance(field, tuple):
        return [name for part in field for name in _message_names(part)]
    return []


def _installed_definition(type_name: str) -> str | None:
    """Return the text of an installed package's .msg file, or None."""
    package, _, name = type_name.partition("/msg/")
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        path = Path(prefix, "share", package, "msg", f"{name}.msg")
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None
