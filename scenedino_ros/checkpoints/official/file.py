# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads the file of a training run: finds the network in it and gives its tensors plain names.

The pickle is read with weights_only. Unknown classes, such as those of an optimiser's or a
trainer's settings, are neither imported nor called: an empty object replaces each of them.
"""

import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from scenedino_ros.checkpoints.card import FORMAT
from scenedino_ros.checkpoints.weights_file import SAFETENSORS, check_expansion, weights_format
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.reading import reading

State = dict[str, torch.Tensor]

NET = "renderer.net."
# Names that identify a network, whatever their prefix: the backbone, or else the field.
_MARKS = (
    "encoder.encoder.model.vit.patch_embed.proj.weight",
    "encoder.encoder.model.vit.pos_embed",
    "encoder.dim_reduction.linear_in.weight",
    "heads.normal_head.lin_in.weight",
)
# Parts of names that come from DistributedDataParallel and AveragedModel, torch.compile, FSDP,
# activation checkpoints and Lightning Fabric.
_WRAPPERS = {
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
}
_COPY = re.compile(
    "ema|teacher|target|averag|swa", re.IGNORECASE
)  # names of averaged or target copies
_DEEPEST = 4  # nested dictionaries in which a state dict is looked for


@dataclass(frozen=True)
class OfficialState:
    """What a file holds.

    Attributes:
        tensors: The tensors of the network and all others beside it, by names without the
            prefixes of training tools.
        others: Names of entries beside them that are no tensor or belong to another network.
    """

    tensors: State
    others: tuple[str, ...]


def read_official_state(path: Path) -> OfficialState:
    """Return the tensors of a training run's file, without executing anything in it.

    Args:
        path: PyTorch file, or safetensors file, with tensors at its top, or in a dictionary of
            an optimiser, a trainer and the like.

    Raises:
        CheckpointError: If the file cannot be read, or holds no state dict.
    """
    if weights_format(path) == SAFETENSORS:
        content: object = _read_safetensors(path)
    else:
        content = _read_pickle(path)
    found = list(_state_dicts(content, "", _DEEPEST))
    if not found:
        raise CheckpointError(
            f"{path} must hold a state dict, or a dictionary with one such as "
            f"{{'model': state dict}}; got {_described(content)}"
        )
    networks = dict((place, values) for place, values in found if _network_prefixes(values))
    if networks:
        values = networks.pop(_preferred(networks))
    else:
        values = max((values for _, values in found), key=len)
    check_expansion(path, (t for t in values.values() if isinstance(t, torch.Tensor)))
    tensors, others = _plain_names(path, values)
    others += [f"{name}.{key}" for name, copy in networks.items() for key in copy]
    return OfficialState(tensors, tuple(others))


def _read_safetensors(path: Path) -> State:
    with (
        reading(f"checkpoint {path}", CheckpointError),
        safe_open(str(path), framework="pt") as file,
    ):
        if (file.metadata() or {}).get("format") == FORMAT:
            raise CheckpointError(f"{path} is a converted checkpoint already")
        return {key: file.get_tensor(key) for key in file.keys()}


def _read_pickle(path: Path) -> object:
    stand_ins: list[object] = []
    try:
        if zipfile.is_zipfile(path):
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(path)
            stand_ins = [(_stand_in(name), name) for name in unknown]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except Exception as error:  # a damaged pickle can raise any error
        raise CheckpointError(
            f"checkpoint {path} cannot be read as a PyTorch file: it is cut off or damaged, or "
            f"holds objects that would run code when loaded ({_reason(error)})"
        ) from error


class _Nothing:
    """Replaces an object of an unknown class; accepts any arguments and does nothing."""

    def __new__(cls, *_: object) -> "_Nothing":
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Dictionary:
    """Replaces an unknown kind of dictionary by a plain one."""

    def __new__(cls, *_: object) -> OrderedDict:  # type: ignore[misc]
        return OrderedDict()


def _stand_in(name: str) -> type:
    """Return a new class for a name: the reader knows each class by one name."""
    base = _Dictionary if name.lower().endswith("dict") else _Nothing
    return type(name.rsplit(".", 1)[-1], (base,), {"__slots__": ()})


def _state_dicts(
    content: object, place: str, depth: int
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the place and content of each dictionary that holds tensors by name."""
    if not isinstance(content, Mapping) or depth == 0:
        return
    if any(isinstance(v, torch.Tensor) and isinstance(k, str) for k, v in content.items()):
        yield place, content
    for key, value in content.items():
        yield from _state_dicts(value, f"{place}.{key}" if place else str(key), depth - 1)


def _bare(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def _network_prefixes(values: Mapping[str, object]) -> list[str]:
    """Return the prefix of each network among the tensors."""
    bare = [_bare(key) for key in values if isinstance(key, str)]
    for mark in _MARKS:
        found = [key.removesuffix(mark) for key in bare if f".{key}".endswith(f".{mark}")]
        if found:
            return found
    return []


def _preferred(places: Iterable[str]) -> str:
    """Return the place of the network itself rather than that of an averaged copy."""
    return min(places, key=lambda place: bool(_COPY.search(place)))  # the first of the best


def _plain_names(path: Path, values: Mapping[str, object]) -> tuple[State, list[str]]:
    """Return the tensors by their plain names, and the names of other entries."""
    prefixes = _network_prefixes(values)
    inner = _preferred(prefixes) if prefixes else NET
    outer = inner.removesuffix(NET)
    tensors: State = {}
    others: list[str] = []
    for key, value in values.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            others.append(str(key))
            continue
        name = _bare(key)
        name = (
            NET + name.removeprefix(inner) if name.startswith(inner) else name.removeprefix(outer)
        )
        if name in tensors and not _same(tensors[name], value):
            raise CheckpointError(f"{path} holds two different tensors {name}, one as {key}")
        tensors[name] = value.detach()
    return tensors, others


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def _described(content: object) -> str:
    if isinstance(content, Mapping):
        keys = ", ".join(str(key) for key in list(content)[:5])
        return f"a dictionary without tensors (keys: {keys or 'none'})"
    if isinstance(content, _Nothing):
        return f"an object of class {type(content).__name__}"
    return f"{type(content).__name__}"


def _reason(error: BaseException) -> str:
    """Return the informative sentence of an error; PyTorch puts advice before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Weights only load failed"):
        marked = [line for line in lines if "WeightsUnpickler error: " in line]
        lines = marked or lines[1:] or lines
    if not lines:
        return type(error).__name__
    return lines[0].split("WeightsUnpickler error: ")[-1].split(". ")[0].rstrip(".")
