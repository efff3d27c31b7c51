# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Costs per class: the shipped file, class tables with other names, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from scenedino_ros.core.costs import CITYSCAPES19_COSTS, OBSTACLE, ClassCosts
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE, ClassTable

FILE = Path(__file__).resolve().parents[1] / "config" / "costs.yaml"


def table(*names: str) -> ClassTable:
    return ClassTable(names, ((0, 0, 0),) * len(names), (0,) * len(names))


def write(folder: Path, text: str) -> Path:
    path = folder / "costs.yaml"
    path.write_text(text)
    return path


def test_the_shipped_file_has_the_costs_of_the_package_for_every_class() -> None:
    assert tuple(CITYSCAPES19_COSTS) == CITYSCAPES19.names
    read, own = ClassCosts.from_yaml(FILE, CITYSCAPES19), ClassCosts.of(CITYSCAPES19)
    np.testing.assert_array_equal(read.drivable, own.drivable)
    np.testing.assert_array_equal(read.cost, own.cost)
    assert (own.drivable.dtype, own.cost.dtype) == (np.bool_, np.int8)
    drivable = [CITYSCAPES19.names[i] for i in np.flatnonzero(own.drivable)]
    assert drivable == ["road", "sidewalk", "terrain"]
    assert own.cost[[0, 1, 9, 10, 13]].tolist() == [0, 30, 60, 0, 100]


def test_what_has_no_cost_is_an_obstacle() -> None:
    costs = ClassCosts.from_yaml(FILE, table("floor", "road", "trailer"))
    assert costs.drivable.shape == costs.cost.shape == (256,)
    assert costs.drivable[:3].tolist() == [False, True, False]
    assert costs.cost[:3].tolist() == [100, 0, 100]
    for ids in (slice(3, None), IGNORE):  # ids without a class
        assert not costs.drivable[ids].any()
        assert (costs.cost[ids] == 100).all()


@pytest.mark.parametrize("name", ["Road", "ROAD", "roda", "raod", "rod", "cra", "Car"])
def test_a_misspelt_class_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown class '{name}'"):
        ClassCosts.of(table("car", "road"), {name: OBSTACLE})


@pytest.mark.parametrize("name", ["trailer", "grass", "bike"])
def test_a_class_of_another_model_is_unused(name: str) -> None:
    assert ClassCosts.of(table("train", "bicycle"), {name: OBSTACLE}).cost[0] == 100


def test_costs_go_by_name_whatever_the_order(tmp_path: Path) -> None:
    text = "classes: {mat: {drivable: true, cost: 7}, floor: {drivable: true, cost: 1}}"
    costs = ClassCosts.from_yaml(write(tmp_path, text), table("wall", "floor", "mat"))
    assert costs.cost[:3].tolist() == [100, 1, 7]
    assert costs.drivable[:3].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", r"must hold one mapping 'classes' .*, got \[1\]"),
        ("", "one mapping 'classes' .*, got None"),
        ("classes: [road]", "one mapping 'classes'"),
        ("{classes: {}, default: 3}", "one mapping 'classes'"),
        ("classes: {road: 3}", "class 'road' must have drivable and cost, got 3"),
        ("classes: {road: {cost: 3}}", "class 'road' must have drivable and cost, got {'cost'"),
        (
            "classes: {road: {drivable: true, cost: 101}}",
            "class 'road': cost must be a whole number in 0 to 100, got 101",
        ),
        ("classes: {road: {drivable: true, cost: -1}}", "in 0 to 100, got -1"),
        ("classes: {road: {drivable: true, cost: 0.5}}", "in 0 to 100, got 0.5"),
        ("classes: {road: {drivable: true, cost: true}}", "in 0 to 100, got True"),
        (
            "classes: {road: {drivable: 1, cost: 1}}",
            "class 'road': drivable must be true or false, got 1",
        ),
        (
            "classes: {vegitation: {drivable: false, cost: 100}}",
            r"unknown class 'vegitation'; did you mean 'vegetation'\?$",
        ),
        ("classes: {", "cannot be read"),
    ],
)
def test_broken_files_of_costs_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        ClassCosts.from_yaml(path, CITYSCAPES19)
    assert str(error.value).startswith(f"file of costs {path}")


def test_an_absent_file_of_costs_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml cannot be read"):
        ClassCosts.from_yaml(tmp_path / "none.yaml", CITYSCAPES19)


def test_a_name_like_that_of_a_class_with_its_own_cost_is_another_class(tmp_path: Path) -> None:
    text = "classes: {walls: {drivable: true, cost: 5}, wall: {drivable: false, cost: 9}}"
    assert ClassCosts.from_yaml(write(tmp_path, text), table("wall")).cost[0] == 9
