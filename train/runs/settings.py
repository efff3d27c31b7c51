# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Settings of a training run: defaults, a YAML file, and ``--name value`` on the command line."""

import argparse
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from scenedino_ros.core.errors import InputError, unknown_name
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.parameter_tree import Setting, replace_settings, walk_settings
from scenedino_ros.core.reading import parse_yaml, read_yaml, reading
from scenedino_ros.core.setting import check_value, setting

T = TypeVar("T")
SETTINGS_FILE = "settings.yaml"  # of a run, in its folder
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class RunSettings:
    """Settings of every training run: the group ``run`` of both stages.

    A setting marked ``live`` may differ when a run is resumed: it does not change what is learned.
    """

    steps: int = setting(100_000, "Total number of steps", low=1, live=True)
    seed: int = setting(0, "Seed of weights, order of items and all draws", low=0)
    batch_size: int = setting(4, "Items of a step, over all processes together", low=1)
    precision: str = setting(
        "float32",
        "Precision of the networks; cameras and losses are always computed in float32",
        choices=("float32", "bf16-mixed"),
    )
    device: str = setting(
        "auto",
        "Device to train on; auto takes a GPU if there is one",
        choices=("auto", "cpu", "cuda"),
        live=True,
    )
    devices: int = setting(1, "Processes on each machine; torchrun overrides it", low=1, live=True)
    nodes: int = setting(1, "Machines; torchrun overrides it", low=1, live=True)
    workers: int = setting(2, "Threads that load items ahead", low=1, high=256, live=True)
    prefetch: int = setting(4, "Most batches that are loaded ahead", low=1, high=256, live=True)
    save_every: int = setting(1000, "Steps between saved states", low=1, live=True)
    log_every: int = setting(
        10,
        "Steps between points in TensorBoard, and between lines of progress without a terminal",
        low=1,
        live=True,
    )
    picture_every: int = setting(1000, "Steps between pictures", low=1, live=True)


@dataclass(frozen=True)
class Command(Generic[T]):
    """A parsed command line of a training script.

    Attributes:
        settings: All settings, resolved.
        output: The run's folder.
        resume: Whether to resume the run in the folder.
    """

    settings: T
    output: Path
    resume: bool


def parse_command(
    argv: Sequence[str] | None, defaults: T, prog: str, about: str | None
) -> Command[T]:
    """Read a training script's command line.

    Args:
        argv: Arguments without the program's name; None takes those of the process.
        defaults: Settings that hold where no others are given.
        prog: What the user types, such as ``python -m train.train_field``.
        about: What the script does, for ``--help``.

    Raises:
        InputError: If a setting is unknown, of the wrong type or out of range, or if there is
            neither a run to resume nor any setting of a new one.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=about,
        epilog=describe_settings(defaults),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder of the run"
    )
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="settings that replace defaults"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume the run in DIR, with its settings where no others are given; begin a run if "
        "there is none",
    )
    options, rest = parser.parse_known_args(argv)
    if options.resume:
        stored = options.output / SETTINGS_FILE
        if stored.exists():
            defaults = apply_settings(defaults, _known(defaults, read_overlay(stored)))
        elif options.config is None and not rest:
            raise InputError(
                f"{options.output} holds no run to resume; --config or settings begin one"
            )
    settings = read_settings(defaults, options.config, rest)
    return Command(settings, options.output, options.resume)


def _known(settings: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of settings that still exist; `changed_settings` reports the others."""
    known = {item.name for item in walk_settings(settings)}
    return {name: value for name, value in values.items() if name in known}


def read_settings(defaults: T, config: Path | None, words: Sequence[str]) -> T:
    """Return settings in which a YAML file, and then ``--name value`` pairs, replace values.

    Args:
        defaults: The settings to start from.
        config: The file; None: no file.
        words: Words of the command line.

    Raises:
        InputError: If a setting is unknown, of the wrong type or out of range.
    """
    values: dict[str, Any] = read_overlay(config) if config else {}
    values |= {name: _Text(text) for name, text in _pairs(words).items()}
    return apply_settings(defaults, values)


def apply_settings(defaults: T, values: Mapping[str, Any]) -> T:
    """Return settings with some values replaced, each checked for its name, type and range.

    Args:
        defaults: The settings to start from.
        values: New values by full name, such as ``run.seed``.

    Raises:
        InputError: If a name is unknown, or a value of the wrong type or out of range.
    """
    known = {item.name: item for item in walk_settings(defaults)}
    converted = {}
    for name, value in values.items():
        if name not in known:
            raise unknown_name("setting", name, known)
        converted[name] = _convert(name, known[name].type, value)
    settings: T = replace_settings(defaults, converted)
    for item in walk_settings(settings):
        if "doc" in item.metadata:
            check_value(item.name, item.value, item.metadata)
    return settings


def read_overlay(path: Path) -> dict[str, Any]:
    """Read a YAML file of nested groups as values by full name.

    Raises:
        InputError: If the file cannot be read or is no mapping.
    """
    with reading(f"settings {path}"):
        tree = read_yaml(Path(path))
    if not isinstance(tree, dict):
        raise InputError(f"settings {path} must hold 'name: value' lines, got {tree!r}")
    return _flatten(tree)


def settings_tree(settings: Any) -> dict[str, Any]:
    """Return settings as nested plain values that YAML and JSON can hold."""
    tree: dict[str, Any] = {}
    for item in walk_settings(settings):
        *groups, name = item.name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[name] = list(item.value) if isinstance(item.value, tuple) else item.value
    return tree


def write_settings(path: Path, settings: Any) -> None:
    """Write all settings as a YAML file that `read_overlay` reads."""
    content = yaml.safe_dump(settings_tree(settings), sort_keys=False, allow_unicode=True)
    write_atomically(path, content.encode())


def changed_settings(stored: Mapping[str, Any], settings: Any) -> list[str]:
    """Compare settings with stored ones; those marked ``live`` may differ.

    Args:
        stored: Values by full name, as `read_overlay` returns them.
        settings: The settings now.

    Returns:
        A phrase such as ``run.seed (0 before, 1 now)`` for each that differs.
    """
    now = _flatten(settings_tree(settings))
    live = {item.name for item in walk_settings(settings) if item.metadata.get("live")}
    return [
        f"{name} ({stored.get(name, 'not set')} before, {now.get(name, 'not set')} now)"
        for name in sorted({*stored, *now} - live)
        if name not in stored or name not in now or stored[name] != now[name]
    ]


def describe_settings(settings: Any) -> str:
    """Return one line on each setting: name, default, meaning, unit."""
    lines = ["settings (--name value, or in the YAML file):"]
    for item in walk_settings(settings):
        line = f"  --{item.name} {_shown(item)}"
        if "doc" in item.metadata:
            line += f"  {item.metadata['doc']}"
            line += f" [{item.metadata['unit']}]" if item.metadata["unit"] else ""
            line += f": {', '.join(item.metadata['choices'])}" if item.metadata["choices"] else ""
        lines.append(line)
    return "\n".join(lines)


class _Text(str):
    """A value from the command line, whose type is not yet known."""


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise InputError(f"expected --name value, got '{word}'")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"setting '{name}' must be followed by its value")
            value = rest.pop(0)
        pairs[name] = value
    return pairs


def _flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            values |= _flatten(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


def _convert(name: str, kind: Any, value: Any) -> Any:
    """Return a value as the type of its setting.

    Raises:
        InputError: If it is of another type.
    """
    if typing.get_origin(kind) is tuple:
        return _convert_tuple(name, typing.get_args(kind), value)
    if isinstance(value, _Text):
        value = str(value) if kind is str else _from_yaml(value)
    # YAML 1.1, which PyYAML reads, takes 1e-4 for text.
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    if type(value) is not kind:
        raise InputError(f"{name} must be {_WORDS[kind]}, got {value!r}")
    return value


def _convert_tuple(name: str, kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if isinstance(value, _Text):
        inner = value.strip().removeprefix("[").removesuffix("]")
        value = [_Text(part.strip()) for part in inner.split(",")] if inner.strip() else []
    if not isinstance(value, list | tuple):
        raise InputError(f"{name} must be a list, got {value!r}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise InputError(f"{name} must have {len(kinds)} entries, got {len(value)}")
    return tuple(_convert(name, kind, part) for kind, part in zip(kinds, value, strict=True))


def _from_yaml(text: str) -> Any:
    try:
        return parse_yaml(text)
    except (yaml.YAMLError, ValueError):  # such as a date of month 13
        return str(text)


def _shown(item: Setting) -> str:
    if isinstance(item.value, tuple):
        return f"[{','.join(map(str, item.value))}]"
    return f"{item.value}" if item.value != "" else "''"
