# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Nested settings as a flat list of parameters with full names, and back."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """One parameter.

    Attributes:
        name: Full name with its groups as prefixes, such as ``grid.voxel_size``.
        type: Type as annotated: bool, int, float, str, or ``tuple[float, ...]`` and its like.
        value: The value.
        metadata: What `scenedino_ros.core.config.setting` stored: doc, unit, range, live.
    """

    name: str
    type: Any
    value: Any
    metadata: Mapping[str, Any]


def walk_settings(settings: Any, prefix: str = "") -> Iterator[Setting]:
    """Yield every parameter of a settings dataclass, in declaration order.

    Args:
        settings: An instance such as `NodeSettings()`.
        prefix: Put before every name.
    """
    hints = typing.get_type_hints(type(settings))
    for item in dataclasses.fields(settings):
        name = f"{prefix}{item.name}"
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            yield from walk_settings(value, f"{name}.")
        else:
            yield Setting(name, hints[item.name], value, item.metadata)


def named_values(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the plain values in settings read from a file, nested mappings, with full names."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from named_values(value, f"{name}.{key}".lstrip("."))
    else:
        yield name, values


def replace_settings(settings: Any, values: dict[str, Any], prefix: str = "") -> Any:
    """Return a copy of a settings dataclass with some parameters replaced.

    Args:
        settings: An instance such as `NodeSettings()`.
        values: New values by full name; names of other settings are ignored.
        prefix: Put before every name, as in `walk_settings`.
    """
    changes = {}
    for item in dataclasses.fields(settings):
        name = f"{prefix}{item.name}"
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            changes[item.name] = replace_settings(value, values, f"{name}.")
        elif name in values:
            changes[item.name] = values[name]
    return dataclasses.replace(settings, **changes)
