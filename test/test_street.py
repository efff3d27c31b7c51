# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What procedural streets consist of: every class, closed solids, a free lane, near neighbours."""

import dataclasses
import functools

import numpy as np
import pytest

from scenedino_ros.core.labels import CITYSCAPES19, SKY
from scenedino_ros.streets.scene.ground import Crossing, blocks
from scenedino_ros.streets.scene.plan import LEFT, RIGHT, plan_street
from scenedino_ros.streets.scene.scene import Corridor, SceneBuilder
from scenedino_ros.streets.scene.shapes import Mesh, box, placed
from scenedino_ros.streets.scene.street import make_street

LENGTH = 60.0
SEEDS = range(4)
ABSENT = {SKY, "train"}


@functools.cache
def street(seed):
    return make_street(seed, LENGTH)


def edge_balance(mesh: Mesh) -> int:
    """Return how many edges of a closed surface do not meet one of the opposite direction."""
    edges = mesh.triangles[:, [0, 1, 1, 2, 2, 0]]
    forward = edges.reshape(-1, 2) @ (len(mesh.vertices), 1)
    backward = edges.reshape(-1, 2) @ (1, len(mesh.vertices))
    return len(np.setxor1d(forward, backward))


def volume(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices - mesh.vertices.mean(axis=0))[mesh.triangles].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_every_class_but_trains_occurs():
    found = [{part.class_name for part in street(seed).parts} for seed in range(12)]
    assert set.union(*found) == set(CITYSCAPES19.names) - ABSENT
    everywhere = {"road", "sidewalk", "terrain", "vegetation", "pole", "traffic sign", "car"}
    for names in found:
        assert everywhere | {"person"} <= names


@pytest.mark.parametrize("seed", SEEDS)
def test_solids_and_volumes_are_closed_and_not_inside_out(seed):
    for part in street(seed).parts:
        for mesh in [part.mesh] * part.solid + [part.volume] * (part.volume is not None):
            assert edge_balance(mesh) == 0, part.class_name
            assert volume(mesh) > 0, part.class_name


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_no_solid_has_a_volume_around_it(seed):
    parts = street(seed).parts
    for part, following in zip(parts[:-1], parts[1:], strict=True):
        if not part.solid and part.volume is None:  # the core of a crown; its leaves follow
            hull = following.volume if following.volume is not None else part.mesh
            assert part.class_name == "vegetation"
            assert (part.mesh.vertices.min(axis=0) > hull.vertices.min(axis=0) - 0.5).all()
            assert (part.mesh.vertices.max(axis=0) < hull.vertices.max(axis=0) + 0.5).all()


@pytest.mark.parametrize("seed", range(8))
def test_the_lane_is_free_for_the_car(seed):
    """No triangle crosses the car's way: not even large ones without a corner in it."""
    scene = street(seed)
    low = np.array([-5.0, scene.lane_y - 1.2, 0.03])
    high = np.array([LENGTH + 5.0, scene.lane_y + 1.2, 2.3])
    for part in scene.parts:
        corners = part.mesh.vertices[part.mesh.triangles]
        meets = (corners.min(axis=1) < high).all(axis=1) & (corners.max(axis=1) > low).all(axis=1)
        assert not meets.any(), part.class_name


def test_the_lane_lies_where_the_plan_says():
    for seed in range(40):
        plan = plan_street(seed)
        assert -plan.lanes_end(RIGHT) < plan.lane_y < plan.lanes_end(LEFT)
        assert plan.lane_y + plan.lanes_end(RIGHT) == pytest.approx(plan.lane_width / 2)
        for side in (LEFT, RIGHT):
            reached = [plan.lanes_end(side), plan.kerb(side), plan.sidewalk(side)]
            assert reached == sorted(reached)
            assert plan.plots(side) - plan.sidewalk(side) >= 1.2
    assert street(3).lane_y == plan_street(3).lane_y


def test_plans_differ():
    plans = [plan_street(seed) for seed in range(60)]
    uses = {roadside.use for plan in plans for roadside in plan.sides}
    assert uses == {"suburb", "town", "industry", "green"}
    assert {roadside.parking for plan in plans for roadside in plan.sides} == {
        "none",
        "parallel",
        "half",
        "across",
    }
    assert {(plan.forward, plan.oncoming) for plan in plans} >= {(1, 0), (1, 1), (2, 1), (2, 2)}


def test_the_same_seed_gives_the_same_street_and_another_another():
    first, again, other = street(2), make_street(2, LENGTH), street(1)
    assert first.lighting == again.lighting
    for mine, theirs in zip(first.parts, again.parts, strict=True):
        np.testing.assert_array_equal(mine.mesh.vertices, theirs.mesh.vertices)
        assert (mine.class_name, mine.material) == (theirs.class_name, theirs.material)
    assert len(first.parts) != len(other.parts)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ground_is_closed_and_its_boxes_do_not_overlap(seed):
    """Every place near the street lies on exactly one box of road, sidewalk or terrain."""
    ground = []
    for part in street(seed).parts:
        low, high = part.mesh.vertices.min(axis=0), part.mesh.vertices.max(axis=0)
        if part.class_name in ("road", "sidewalk", "terrain") and low[2] == -0.5:
            ground.append((low, high))
    spots = np.random.default_rng(0).uniform((-29, -40), (LENGTH + 100, 40), (3000, 2))
    on = sum(
        ((spots > low[:2]) & (spots < high[:2])).all(axis=1).astype(int) for low, high in ground
    )
    assert (on == 1).all()


def test_blocks_leave_room_for_side_streets():
    crossing = Crossing(x=50.0, width=6.0, sides=(LEFT,), signals=False, zebra=True)
    left = [(block.start, block.end) for block in blocks([crossing], LEFT, 0.0, 100.0)]
    assert left == [(0.0, pytest.approx(45.4)), (pytest.approx(54.6), 100.0)]
    assert [(b.start, b.end) for b in blocks([crossing], RIGHT, 0.0, 100.0)] == [(0.0, 100.0)]


def test_nothing_is_put_in_the_way():
    builder = SceneBuilder(Corridor(x=(0.0, 10.0), y=(-1.0, 1.0), height=3.0))
    part = street(0).parts[0]
    brick = [dataclasses.replace(part, mesh=box((-0.1, -0.1, 0), (0.1, 0.1, 0.2)))]
    for x, y, z in ((5.0, 0.0, 0.0), (0.05, 0.95, 2.9)):
        builder.add(brick, placed(x, y, z))
    assert builder.parts == []
    for x, y, z in ((5.0, 1.2, 0.0), (-0.2, 0.0, 0.0), (5.0, 0.0, 3.1)):
        builder.add(brick, placed(x, y, z))
    assert len(builder.parts) == 3


def test_cars_and_people_are_near_in_many_views():
    """Within 3 to 15 m of the camera, in the front camera's field of view."""
    seen = {"car": 0, "person": 0}
    views = 0
    for seed in range(12):
        middles = {
            name: [
                part.mesh.vertices.mean(axis=0)[:2]
                for part in street(seed).parts
                if part.class_name == name
            ]
            for name in seen
        }
        for x in np.arange(0.0, LENGTH, 6.0):
            views += 1
            for name, places in middles.items():
                ahead = np.array(places) - (x + 1.6, street(seed).lane_y)
                inside = (np.abs(ahead[:, 1]) < ahead[:, 0]) & (ahead[:, 0] > 3)
                seen[name] += bool((inside & (np.hypot(*ahead.T) < 15)).any())
    assert seen["car"] > 0.7 * views
    assert seen["person"] > 0.4 * views
