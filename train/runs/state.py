# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Saves the state of a run in one safetensors file, and restores it bit by bit.

Tensors carry names: ``network/field.lin_in.weight`` of a module, and
``adam/network.field.lin_in.weight/exp_avg`` of an optimiser, by the parameter it belongs to.
Everything else is JSON in the metadata of the file, so tensors and numbers always belong to the
same step.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.wrappers import is_wrapped
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer

from scenedino_ros.checkpoints.weights_file import require_safetensors
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.files import replacing
from scenedino_ros.core.reading import reading, writing

FORMAT = "scenedino_ros training state 1"
_SHOWN = 5  # differing tensors named in a message


def save_state(
    path: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the state of a run; an earlier file stays until the new one is complete.

    Args:
        path: File to write.
        step: Number of steps done.
        modules: Modules by name, bare or set up by Fabric.
        optimizers: Optimisers by name, bare or set up by Fabric; of parameters of the modules.
        extra: Further plain values, such as the best score so far.

    Raises:
        CheckpointError: If an optimiser has a parameter that no module has, or the file cannot be
            written, such as on a full disk.
    """
    names = _parameter_names(modules)
    tensors = _module_tensors(modules)
    metadata: dict[str, Any] = {"step": step, "extra": dict(extra or {}), "optimizers": {}}
    for name, optimizer in optimizers.items():
        values, groups = _optimizer_values(name, _bare(optimizer), names)
        metadata["optimizers"][name] = groups
        tensors |= values
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(f"state {path}", CheckpointError), replacing(path) as partial:
        save_file(tensors, partial, {"format": FORMAT, "state": json.dumps(metadata)})
        _to_disk(partial)


def load_state(
    path: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> tuple[int, dict[str, Any]]:
    """Load a stored state into modules and optimisers.

    Args:
        path: File that `save_state` wrote.
        modules: The modules by the same names.
        optimizers: The optimisers by the same names.

    Returns:
        The number of steps done, and the further values.

    Raises:
        CheckpointError: If the file cannot be read, or tensors are missing, left over or of
            another shape or type; nothing is changed then.
    """
    try:
        require_safetensors(Path(path), "state")
    except CheckpointError as error:
        raise CheckpointError(f"{error}; the networks beside it can still be used") from error
    names = _parameter_names(modules)
    with reading(f"state {path}", CheckpointError):  # values of any type may stand anywhere
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{path} must be a {FORMAT}, got {metadata.get('format')}")
        state = json.loads(metadata["state"])
        step, extra = int(state["step"]), dict(state["extra"])
        _check(path, tensors, state["optimizers"], _module_tensors(modules), optimizers, names)
    with torch.no_grad():
        for key, target in _module_tensors(modules).items():
            target.copy_(tensors[key])
    for name, optimizer in optimizers.items():
        _restore_optimizer(name, _bare(optimizer), state["optimizers"][name], tensors)
    return step, extra


def _bare(wrapped: Any) -> Any:
    """Return the module or optimiser inside a wrapper of Fabric, or the argument itself."""
    if not is_wrapped(wrapped):
        return wrapped
    return wrapped.module if isinstance(wrapped, nn.Module) else wrapped.optimizer


def _module_tensors(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    return {
        f"{name}/{key}": tensor
        for name, module in modules.items()
        for key, tensor in _bare(module).state_dict().items()
    }


def _parameter_names(modules: Mapping[str, nn.Module]) -> dict[int, str]:
    """Return names such as ``model.field.lin_in.weight`` by the parameter's identity."""
    return {
        id(parameter): f"{name}.{key}"
        for name, module in modules.items()
        for key, parameter in _bare(module).named_parameters()
    }


def _group_names(name: str, optimizer: Optimizer, names: Mapping[int, str]) -> list[list[str]]:
    """Return the names of an optimiser's parameters, group by group."""
    groups = [[names.get(id(p), "") for p in group["params"]] for group in optimizer.param_groups]
    if any("" in group for group in groups):
        raise CheckpointError(f"optimiser {name} has a parameter that no stored module has")
    return groups


def _optimizer_values(
    name: str, optimizer: Optimizer, names: Mapping[int, str]
) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Return an optimiser's tensors by name, and its groups as plain values."""
    tensors = {
        f"{name}/{names[id(parameter)]}/{key}": value
        for parameter, values in optimizer.state.items()
        for key, value in values.items()
    }
    groups = [
        {"parameters": parameters, "options": {k: v for k, v in group.items() if k != "params"}}
        for parameters, group in zip(
            _group_names(name, optimizer, names), optimizer.param_groups, strict=True
        )
    ]
    return tensors, groups


def _restore_optimizer(
    name: str,
    optimizer: Optimizer,
    groups: list[dict[str, Any]],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    parameters = [parameter for group in groups for parameter in group["parameters"]]
    number = {parameter: i for i, parameter in enumerate(parameters)}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for full, tensor in tensors.items():
        owner, parameter, *key = full.split("/")
        if owner == name and key:
            state.setdefault(number[parameter], {})[key[0]] = tensor
    optimizer.load_state_dict(
        {
            "state": state,
            "param_groups": [
                {
                    **{k: tuple(v) if isinstance(v, list) else v for k, v in g["options"].items()},
                    "params": [number[parameter] for parameter in g["parameters"]],
                }
                for g in groups
            ],
        }
    )


def _check(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    groups: Mapping[str, list[dict[str, Any]]],
    expected: Mapping[str, torch.Tensor],
    optimizers: Mapping[str, Optimizer],
    names: Mapping[int, str],
) -> None:
    """Refuse a state of other modules or optimisers.

    Raises:
        CheckpointError: Naming some of what differs.
    """
    stored = {key: value for key, value in tensors.items() if key.count("/") == 1}
    problems = [f"{key} is missing" for key in expected if key not in stored]
    problems += [f"{key} is not part of this run" for key in stored if key not in expected]
    problems += [
        f"{key} must be {_kind(expected[key])}, got {_kind(value)}"
        for key, value in stored.items()
        if key in expected and _kind(value) != _kind(expected[key])
    ]
    problems += _differences("optimiser", optimizers, groups)
    for name, optimizer in optimizers.items():
        now = _group_names(name, _bare(optimizer), names)
        if name in groups and now != [group["parameters"] for group in groups[name]]:
            problems.append(f"optimiser {name} has other parameters or groups")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"state {path} does not fit this run: {'; '.join(problems[:_SHOWN])}{more}"
        )


def _differences(what: str, now: Iterable[str], stored: Iterable[str]) -> list[str]:
    return [f"{what} {name} is missing" for name in now if name not in stored] + [
        f"{what} {name} is not part of this run" for name in stored if name not in now
    ]


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk, so that its name never stands for less than all of it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
