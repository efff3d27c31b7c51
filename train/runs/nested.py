# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Tensors in nested dataclasses, mappings and sequences: listed by name, or moved to a device."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch


def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the tensors and plain values of nested containers with names such as ``batch.x.0``."""
    if dataclasses.is_dataclass(value):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(f"{name}.{key}", part)
    else:
        yield name, value


def staged(value: Any, device: torch.device) -> Any:
    """Return nested dataclasses and tuples from which a device copies in the background.

    A GPU copies so from pinned memory alone. PyTorch keeps that, and gives it to other tensors
    only after the copy.
    """
    return _mapped(value, torch.Tensor.pin_memory) if device.type == "cuda" else value


def to_device(value: Any, device: torch.device) -> Any:
    """Return a copy of nested dataclasses and tuples with their tensors on a device."""
    return _mapped(value, lambda tensor: tensor.to(device, non_blocking=True))


def _mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(part, change) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        return dataclasses.replace(
            value, **{name: _mapped(getattr(value, name), change) for name in names}
        )
    return value
