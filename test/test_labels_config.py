# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Class tables and settings: what they hold, and what they refuse."""

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from scenedino_ros.core.config import GridSettings, VoxelSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.setting import check_value


def test_cityscapes_and_its_benchmark_ids() -> None:
    assert len(CITYSCAPES19) == 19
    assert CITYSCAPES19.names[13] == "car"
    assert CITYSCAPES19.palette[13].tolist() == [0, 0, 142]
    assert CITYSCAPES19.palette[255].tolist() == [0, 0, 0]
    golden = [7, 8, 9, 9, 10, 13, 15, 14, 11, 12, 0, 6, 0, 1, 4, 5, 5, 3, 2]
    np.testing.assert_array_equal(CITYSCAPES19.ssc_lookup[:19], golden)
    assert CITYSCAPES19.ssc_lookup[255] == 255


def test_class_table_survives_yaml(tmp_path: Path) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text(yaml.safe_dump(CITYSCAPES19.to_dict()))
    assert ClassTable.from_yaml(path) == CITYSCAPES19


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "a class table needs a list 'classes'"),
        ("classes: [{id: 0, name: a, color: [0, 0, 0]}]", "KeyError: 'ssc_id'"),
        ("classes: [{id: 1, name: a, color: [0, 0, 0], ssc_id: 1}]", "ids must be 0, 1, 2"),
        ("classes: [{id: 0, name: a, color: [0, 300, 0], ssc_id: 1}]", "RGB 0..255"),
        ("classes: [{id: 0, name: a, color: [0, 0, 0], ssc_id: 99}]", "must be 0..15, got 99"),
        ("classes: [}", "cannot be read"),
    ],
)
def test_broken_label_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        ClassTable.from_yaml(path)
    assert "broken.yaml" in str(error.value)


def test_other_refusals_of_class_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.yaml cannot be read"):
        ClassTable.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="unknown class 'dragon'; known: road"):
        CITYSCAPES19.ids(("car", "dragon"))
    with pytest.raises(
        InputError, match=r"unknown class 'vegitation'; did you mean 'vegetation'\?$"
    ):
        CITYSCAPES19.ids(("vegitation",))
    with pytest.raises(InputError, match="class names must differ"):
        ClassTable(("a", "a"), ((0, 0, 0),) * 2, (0, 0))
    with pytest.raises(InputError, match="got 1 names, 2 colours and 1 ids"):
        ClassTable(("a",), ((0, 0, 0),) * 2, (0,))


def test_model_config_round_trip_and_refusals() -> None:
    config = ModelConfig(backbone="dinov2_vits14", n_classes=19, n_clusters=27)
    assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(InputError, match="unknown model config key 'widht'; known: backbone, "):
        ModelConfig.from_dict({"widht": 3})
    with pytest.raises(
        InputError, match=r"unknown backbone 'dino_vitb9'; did you mean 'dino_vitb8'\?"
    ):
        ModelConfig(backbone="dino_vitb9")
    with pytest.raises(InputError, match="decoder_width must be >= 1, got 0"):
        ModelConfig(decoder_width=0)
    with pytest.raises(InputError, match="depth_range must be 0 < near < far"):
        ModelConfig(depth_range=(80.0, 3.0))
    with pytest.raises(InputError, match="depth_range must be 0 < near < far < inf, got 3.0, inf"):
        ModelConfig(depth_range=(3.0, math.inf))
    with pytest.raises(InputError, match="frequency_factor must be > 0 and finite, got nan"):
        ModelConfig(frequency_factor=math.nan)
    with pytest.raises(InputError, match="both be 0 or both be positive, got 19 and 0"):
        ModelConfig(n_classes=19)


@pytest.mark.parametrize(
    ("settings", "name", "value", "message"),
    [
        (VoxelSettings, "density_threshold", -1.0, "density_threshold must be in 0.0 to inf 1/m"),
        (VoxelSettings, "density_threshold", float("nan"), "got nan"),
        (GridSettings, "preset", "moon", "must be one of camera, .* got 'moon'"),
        (GridSettings, "shape", (3, 0, 3), r"must be in 1 to 4096, got \(3, 0, 3\)"),
    ],
)
def test_settings_outside_their_range_are_refused(
    settings: type, name: str, value: object, message: str
) -> None:
    (item,) = (item for item in fields(settings) if item.name == name)
    check_value(name, item.default, item.metadata)
    with pytest.raises(InputError, match=message):
        check_value(name, value, item.metadata)
