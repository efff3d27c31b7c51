# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What an official ``training_config.yaml`` says about the network, and checks of it."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from scenedino_ros.checkpoints.weights_file import why_no_text
from scenedino_ros.core.backbones import BACKBONES
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.file_limits import YAML_BYTES
from scenedino_ros.core.reading import BoundedLoader, parse_yaml, read_text, reason_of

# Settings of the published model that change what it computes but leave no trace in the tensors:
# section, key, the only value our network implements.
_FIXED = (
    ("model", "inv_z", True),
    ("model", "learn_empty", False),
    ("model", "code_mode", "z"),
    ("model", "key_features", False),
)
_PYTHON = "tag:yaml.org,2002:python/"
# Tags of Python values that plain YAML has as well.
_PLAIN_TAGS = {
    _PYTHON + name: f"tag:yaml.org,2002:{plain}"
    for name, plain in (
        ("none", "null"),
        ("bool", "bool"),
        ("int", "int"),
        ("long", "int"),
        ("float", "float"),
        ("str", "str"),
        ("unicode", "str"),
        ("bytes", "binary"),
    )
}


class _PlainLoader(BoundedLoader):
    """The loader, but it ignores unknown tags and keeps the values below them.

    A tagged path becomes text, a tuple a list, an object the dictionary of its fields. No class
    is looked up and no function called.
    """

    def construct_tagged(self, node: yaml.Node) -> object:
        """Return the plain value of a node whose tag plain YAML does not have."""
        plain = _PLAIN_TAGS.get(node.tag)
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            values = self.construct_sequence(node, deep=True)
            if node.tag.rsplit(":", 1)[-1].startswith("pathlib."):
                return posixpath.join(*map(str, values)) if values else ""
            return values
        if plain is not None:
            return self.yaml_constructors[plain](self, node)
        # A name without a value, such as that of a function, stands in the tag alone.
        return node.value or node.tag.removeprefix(_PYTHON).rsplit(":", 1)[-1]


_PlainLoader.add_constructor(None, _PlainLoader.construct_tagged)


@dataclass(frozen=True)
class OfficialConfig:
    """The fields of a training configuration that inference can use, at any depth.

    Published configurations nest differently, so a field is looked up by its name anywhere in its
    section, and every place that states it must agree.

    Attributes:
        path: Where it was read from, None if there is no file.
        values: The file's content, empty if there is no file.
    """

    path: Path | None
    values: dict[str, object]

    @classmethod
    def read(cls, path: Path | None) -> "OfficialConfig":
        """Read a YAML file as plain values; tags of Python objects are text, never executed.

        Args:
            path: The file; None stands for a checkpoint that came without one.

        Raises:
            CheckpointError: If the file cannot be read or does not hold sections.
        """
        if path is None:
            return cls(None, {})
        try:
            problem = why_no_text(path)
            if problem:
                raise CheckpointError(f"configuration {path} cannot be read: it {problem}")
            values = parse_yaml(read_text(path, YAML_BYTES), _PlainLoader)
        except CheckpointError:
            raise
        except Exception as error:  # damaged text can raise anything
            raise CheckpointError(f"{path} cannot be read as YAML: {reason_of(error)}") from error
        if not isinstance(values, dict):
            raise CheckpointError(
                f"{path} must hold sections such as model and dataset, got {type(values).__name__}"
            )
        return cls(path, values)

    def find(self, section: str, key: str) -> list[tuple[str, object]]:
        """Return every (dotted place, value) of a key inside a section.

        Interpolations such as ``${dataset.image_size}`` are left out: they only repeat.
        """
        found = _walk(self.values.get(section), section)
        return [
            (place, value)
            for place, value in found
            if place.rsplit(".", 1)[-1] == key and not _is_interpolation(value)
        ]

    def image_sizes(self) -> list[tuple[str, tuple[int, int]]]:
        """Return every (dotted place, (height, width)) stated for the network input image.

        Raises:
            CheckpointError: If a stated size is not two positive integers.
        """
        sizes = []
        for section in ("model", "dataset"):
            for place, value in self.find(section, "image_size"):
                if not (
                    isinstance(value, list)
                    and len(value) == 2
                    and all(isinstance(edge, int) and edge > 0 for edge in value)
                ):
                    raise CheckpointError(
                        f"{self.path}: {place} must be [height, width] in pixels, got {value}"
                    )
                sizes.append((place, (value[0], value[1])))
        return sizes

    def depth_range(self, default: tuple[float, float]) -> tuple[float, float]:
        """Return (near, far) of the depth code, metres.

        Args:
            default: Taken where the file does not state them, as in the published ones.

        Raises:
            CheckpointError: If they are not numbers with 0 < near < far.
        """
        bounds = list(default)
        for i, key in enumerate(("z_near", "z_far")):
            for place, value in self.find("model", key):
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise CheckpointError(f"{self.path}: {place} must be metres, got {value}")
                bounds[i] = float(value)
        if not 0 < bounds[0] < bounds[1]:
            raise CheckpointError(
                f"{self.path}: depths must be 0 < z_near < z_far metres, "
                f"got {bounds[0]:g} and {bounds[1]:g}"
            )
        return bounds[0], bounds[1]

    def check(self, backbone: str, widths: dict[tuple[str, str], object]) -> None:
        """Refuse a configuration that contradicts the tensors or asks for another computation.

        Args:
            backbone: Key of `BACKBONES` that the tensors stand for.
            widths: What the tensors say, by (section, key) of the file.

        Raises:
            CheckpointError: Naming the place in the file and both values.
        """
        for (section, key), expected in widths.items():
            for place, value in self.find(section, key):
                if value != expected:
                    raise CheckpointError(
                        f"{self.path} says {place} {value}, but the tensors say {expected}"
                    )
        for section, key, expected in _FIXED:
            for place, value in self.find(section, key):
                if value != expected:
                    raise CheckpointError(
                        f"{self.path} says {place} {value}; only {expected} is supported"
                    )
        self._check_backbone(backbone)
        tapped = list(BACKBONES[backbone].tapped_blocks)
        for place, value in _walk(self.values.get("model"), "model"):
            taps = "intermediate" in place.rsplit(".", 1)[-1] and isinstance(value, list)
            if taps and value != tapped:
                raise CheckpointError(
                    f"{self.path} says {place} {value}; only {tapped} is supported"
                )

    def _check_backbone(self, backbone: str) -> None:
        spec = BACKBONES[backbone]
        for place, value in self.find("model", "version"):
            version = str(value).split("_")[0]
            known = any(version == row.official_version for row in BACKBONES.values())
            if known and version != spec.official_version:
                raise CheckpointError(
                    f"{self.path} says {place} {value}, but the tensors are those of {backbone}"
                )
        for place, value in self.find("model", "backbone"):
            known = any(value == row.official_size for row in BACKBONES.values())
            if known and value != spec.official_size:
                raise CheckpointError(
                    f"{self.path} says {place} {value}, but the tensors are those of {backbone}"
                )


def _walk(node: object, place: str) -> Iterator[tuple[str, object]]:
    """Yield (dotted place, value) of everything below a node, lists included as a whole."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{place}.{key}", value
            yield from _walk(value, f"{place}.{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _walk(value, f"{place}.{i}")


def _is_interpolation(value: object) -> bool:
    return isinstance(value, str) and "${" in value
