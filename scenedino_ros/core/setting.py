# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""One setting: a dataclass field that carries its meaning, unit and range; and its check."""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from scenedino_ros.core.errors import InputError


def setting(
    default: object,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare one setting: a dataclass field that carries its own documentation.

    Args:
        default: Default value; its type is the type of the setting. Lists are given as tuples.
        doc: One line: what the setting does.
        unit: Unit of the value, empty for pure numbers and words.
        low: Smallest allowed value, or None.
        high: Largest allowed value, or None.
        choices: The allowed words; empty: any.
        live: Whether the setting may change while the node runs.
    """
    metadata = {
        "doc": doc,
        "unit": unit,
        "low": low,
        "high": high,
        "choices": choices,
        "live": live,
    }
    return field(default=default, metadata=metadata)


def check_value(name: str, value: object, metadata: Mapping[str, Any]) -> None:
    """Refuse one value that is outside its declared range or set.

    Args:
        name: Full name of the parameter, for the message.
        value: The value; numbers inside a tuple or list are each checked.
        metadata: The metadata `setting` stored: ``low``, ``high``, ``choices``, ``unit``.

    Raises:
        InputError: Naming parameter, value and range.
    """
    low, high, choices = metadata["low"], metadata["high"], metadata["choices"]
    if choices and value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got '{value}'")
    numbers = value if isinstance(value, tuple | list) else (value,)
    for number in numbers:
        if isinstance(number, bool | str):
            continue
        too_low = low is not None and number < low
        too_high = high is not None and number > high
        if not math.isfinite(number) or too_low or too_high:
            bounds = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
            unit = f" {metadata['unit']}" if metadata["unit"] else ""
            raise InputError(f"{name} must be in {bounds}{unit}, got {value}")
