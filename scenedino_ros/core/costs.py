# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What each class costs a ground robot, as tables for the ids of a class table."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError, unknown_name
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.reading import read_yaml, reading

LETHAL = 100  # as in nav_msgs/OccupancyGrid
_SIMILAR = 0.8  # of difflib: one wrong letter, but not train for trailer


@dataclass(frozen=True)
class ClassCost:
    """What one class costs a ground robot.

    Attributes:
        drivable: Whether the class is ground that the robot may drive on.
        cost: Cost of a cell with this class, 0 (free) to 100 (lethal).
    """

    drivable: bool
    cost: int

    def __post_init__(self) -> None:
        """Refuse a cost that is no whole number from 0 to 100."""
        if type(self.drivable) is not bool:
            raise InputError(f"drivable must be true or false, got {self.drivable!r}")
        if type(self.cost) is not int or not 0 <= self.cost <= LETHAL:
            raise InputError(f"cost must be a whole number in 0 to {LETHAL}, got {self.cost!r}")


OBSTACLE = ClassCost(drivable=False, cost=LETHAL)
CITYSCAPES19_COSTS: Mapping[str, ClassCost] = {
    "road": ClassCost(drivable=True, cost=0),
    "sidewalk": ClassCost(drivable=True, cost=30),
    "building": OBSTACLE,
    "wall": OBSTACLE,
    "fence": OBSTACLE,
    "pole": OBSTACLE,
    "traffic light": OBSTACLE,
    "traffic sign": OBSTACLE,
    "vegetation": OBSTACLE,
    "terrain": ClassCost(drivable=True, cost=60),
    "sky": ClassCost(drivable=False, cost=0),  # the node publishes no voxel of it either
    "person": OBSTACLE,
    "rider": OBSTACLE,
    "car": OBSTACLE,
    "truck": OBSTACLE,
    "bus": OBSTACLE,
    "train": OBSTACLE,
    "motorcycle": OBSTACLE,
    "bicycle": OBSTACLE,
}


@dataclass(frozen=True, eq=False)
class ClassCosts:
    """The costs of all classes of a model, as lookup tables by class id.

    An id without a class, such as 255, is an obstacle.

    Attributes:
        drivable: (256,) bool; True: the robot may drive on ground of this class.
        cost: (256,) int8, 0 (free) to 100 (lethal), as in `nav_msgs/OccupancyGrid`.
    """

    drivable: np.ndarray
    cost: np.ndarray

    @classmethod
    def of(
        cls, table: ClassTable, costs: Mapping[str, ClassCost] = CITYSCAPES19_COSTS
    ) -> "ClassCosts":
        """Look up the classes of a table by name; a class without a cost is an obstacle.

        Names that the table does not have stay unused: one set of costs may hold for models with
        different classes.

        Raises:
            InputError: If such a name is nearly that of a class without a cost: it is misspelt.
        """
        without = [name for name in table.names if name not in costs]
        for name in costs:
            if name not in table.names and any(_is_misspelt(name, each) for each in without):
                raise unknown_name("class", name, without)
        rows = [costs.get(name, OBSTACLE) for name in table.names]
        rows += [OBSTACLE] * (256 - len(rows))
        return cls(
            drivable=np.array([row.drivable for row in rows]),
            cost=np.array([row.cost for row in rows], np.int8),
        )

    @classmethod
    def from_yaml(cls, path: Path, table: ClassTable) -> "ClassCosts":
        """Read the costs of a table's classes from a file such as ``config/costs.yaml``.

        Raises:
            InputError: If the file cannot be read, is no file of costs, or misspells a class.
        """
        with reading(f"file of costs {path}"):
            values = read_yaml(path)
        try:
            return cls.of(table, _read(values))
        except InputError as error:
            raise InputError(f"file of costs {path}: {error}") from error


def _is_misspelt(name: str, right: str) -> bool:
    """Return whether a name is nearly another one, or has its letters in another order."""
    name, right = name.casefold(), right.casefold()
    same_letters = sorted(name) == sorted(right)
    return same_letters or bool(difflib.get_close_matches(name, [right], 1, _SIMILAR))


def _read(values: Any) -> dict[str, ClassCost]:
    rows = values.get("classes") if isinstance(values, dict) else None
    if not isinstance(rows, dict) or set(values) != {"classes"}:
        raise InputError(
            "a file of costs must hold one mapping 'classes' from class names to drivable and "
            f"cost, got {values!r:.80}"
        )
    costs = {}
    for name, row in rows.items():
        if not isinstance(row, dict) or set(row) != {"drivable", "cost"}:
            raise InputError(f"class '{name}' must have drivable and cost, got {row!r}")
        try:
            costs[str(name)] = ClassCost(**row)
        except InputError as error:
            raise InputError(f"class '{name}': {error}") from error
    return costs
