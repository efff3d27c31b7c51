# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node keeps its promises under the faults of the table; the suite runs a part of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from fault_runner import Stages, table  # noqa: E402
from fault_table import BY_NAME, FAULTS, OWN, SUITE, Fault  # noqa: E402

IN_SUITE = {name: BY_NAME[name] for name in SUITE}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    kinds = {fault.node for fault in IN_SUITE.values()}
    assert OWN not in kinds  # a node takes seconds to start
    stages = Stages(tmp_path_factory.mktemp("faults"), kinds)
    yield stages
    stages.close()


@pytest.mark.ros
@pytest.mark.parametrize("fault", IN_SUITE.values(), ids=IN_SUITE)
def test_answers_come_again_after_a_fault(fault: Fault, shared: Stages) -> None:
    shared.run(fault)


def test_the_documented_table_is_that_of_the_code() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "faults.md").read_text("utf-8")
    assert f"\n{table()}\n" in text


def test_every_kind_of_fault_is_in_the_suite() -> None:
    slow = {"memory", "disk"}  # each needs a node of its own
    assert {fault.kind for fault in IN_SUITE.values()} | slow == {fault.kind for fault in FAULTS}
