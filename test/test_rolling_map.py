# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The rolling map: equal to a slow reference that keeps all images, and its rules."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.config import MapSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.mapping import rolling_map
from scenedino_ros.mapping.box import TILE, RollingBox
from scenedino_ros.mapping.in_view import voxels_in_view
from scenedino_ros.mapping.pose_guard import PoseGuard, Restart
from scenedino_ros.mapping.rolling_map import LEAST_EVIDENCE, MOST_EVIDENCE, RollingMap

CPU = torch.device("cpu")
CAMERA = PinholeCamera.from_focal(30.0, 32.0, 24.0, 15.0, 50, 30)
# Optical axes (x right, y down, z forward) in a frame with x forward, y left, z up.
R_BODY_CAM = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
SECOND = 1_000_000_000


def pose(x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    """Return the pose of a camera that looks along x, turned left by yaw and down by pitch."""
    turn = np.array(
        [[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]]
    )
    tip = np.array(
        [[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]]
    )
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = turn @ tip @ R_BODY_CAM, (x, y, z)
    return T


@dataclass
class Waves:
    """A field whose answers depend on image position, depth and a number of the image."""

    density_threshold: float = 0.6

    def densities_in_view(self, encoded, uv_norm, depth):
        phase = 3 * uv_norm[:, 0] + 5 * uv_norm[:, 1] + 0.7 * depth + encoded.number
        return torch.exp(2 * torch.sin(phase)) * 0.6

    def classes_in_view(self, encoded, uv_norm, depth):
        value = torch.sin(2 * uv_norm[:, 0] + depth + encoded.number)
        return ((value + 1) * 1.5).to(torch.uint8), value.abs()

    def rendered_depth(self, encoded, *, downscale):
        return torch.arange(1, 13).float().view(3, 4) / 2 + encoded.number % 3


@dataclass
class Constant:
    """A field with one density and class everywhere."""

    density: float
    label: int = 2
    density_threshold: float = 0.6
    surface: float = 1e6

    def densities_in_view(self, encoded, uv_norm, depth):
        return torch.full_like(depth, self.density)

    def classes_in_view(self, encoded, uv_norm, depth):
        return torch.full_like(depth, self.label).to(torch.uint8), torch.ones_like(depth)

    def rendered_depth(self, encoded, *, downscale):
        return torch.full((3, 4), self.surface)


def image(number: int = 0) -> SimpleNamespace:
    return SimpleNamespace(camera=CAMERA, number=number)


def settings(**changed) -> MapSettings:
    values = {"frame": "odom", "size": (8.0, 8.0, 2.0), "voxel_size": 0.5, "below": 1.0}
    return MapSettings(**{**values, **changed})


class SlowMap:
    """The same map as a dictionary from voxels to all that was ever said of them."""

    def __init__(self, chosen: MapSettings) -> None:
        self.settings, self.box = chosen, RollingBox(chosen.size, chosen.voxel_size, chosen.below)
        self.said: dict[tuple[int, ...], list[tuple[float, float]]] = {}

    def fuse(self, field, encoded, T_map_cam, seconds, turn):
        list(self.box.move(T_map_cam[:3, 3]))
        inside = {tuple(v) for v in self._voxels()}
        self.said = {voxel: said for voxel, said in self.said.items() if voxel in inside}
        edge = self.settings.voxel_size
        T_cam_map = np.linalg.inv(T_map_cam)
        for voxel in sorted(inside):
            q = CAMERA.K_norm @ (
                T_cam_map[:3, :3] @ ((np.array(voxel) + 0.5) * edge) + T_cam_map[:3, 3]
            )
            if q[2] <= 1e-3 or abs(q[0]) > q[2] or abs(q[1]) > q[2]:
                continue
            uv = torch.tensor([[q[0] / q[2], q[1] / q[2]]], dtype=torch.float32)
            depth = torch.tensor([q[2]], dtype=torch.float32)
            density = float(field.densities_in_view(encoded, uv, depth))
            weight = min(1.0, rolling_map._FULL_WEIGHT / q[2]) ** 6
            threshold = math.expm1(self.settings.density_threshold * edge)
            threshold *= min(1.0, rolling_map._FULL_THRESHOLD / q[2]) ** 0.8
            said = math.log(math.expm1(density * edge) / threshold)
            said = max(-rolling_map._CLIP, min(rolling_map._CLIP, said))
            surface = field.rendered_depth(encoded, downscale=1)
            row = min(2, int((q[1] / q[2] + 1) / 2 * 3))
            column = min(3, int((q[0] / q[2] + 1) / 2 * 4))
            if q[2] > surface[row, column] * 1.05 + 2 * edge:
                said = max(0.0, said)
            self.said.setdefault(voxel, []).append((seconds, weight * said))

    def evidence(self, seconds: float) -> dict[tuple[int, ...], float]:
        result = {}
        for voxel, all_said in self.said.items():
            total, last = 0.0, seconds
            for when, said in all_said:
                total *= 0.5 ** (max(0.0, when - last) / self.settings.half_life)
                total = max(-MOST_EVIDENCE, min(MOST_EVIDENCE, total + said))
                last = when
            result[voxel] = total * 0.5 ** ((seconds - last) / self.settings.half_life)
        return result

    def _voxels(self):
        index = np.indices(self.box.shape).reshape(3, -1).T
        return index + self.box.low


@pytest.mark.parametrize("seed", range(6))
def test_map_equals_a_reference_that_keeps_all_images(seed, monkeypatch):
    monkeypatch.setattr(rolling_map, "_ASKED_IN_EVERY_IMAGE", math.inf)
    monkeypatch.setattr(rolling_map, "_BEHIND_EVERY", 1)
    monkeypatch.setattr(rolling_map, "_FULL_WEIGHT", 3.0)
    monkeypatch.setattr(rolling_map, "_FULL_THRESHOLD", 2.0)
    rng = np.random.default_rng(seed)
    chosen = settings(
        size=tuple(rng.uniform(4.0, 9.0, 2).tolist() + [float(rng.uniform(2.0, 4.0))]),
        below=float(rng.uniform(0, 1)),
        half_life=float(rng.uniform(0.5, 20)),
    )
    fast, slow = RollingMap(chosen), SlowMap(chosen)
    at, seconds = rng.uniform(-500, 500, 3), 0.0
    for number in range(8):
        at = at + rng.normal(0, 1.0, 3)  # in any direction
        seconds += float(rng.uniform(0.05, 2.0))
        T = pose(*at, yaw=rng.uniform(-3, 3), pitch=rng.uniform(-1, 1))
        fast._guard.forget()  # these poses are no robot's
        fast.fuse(Waves(), image(number), T, round(seconds * SECOND))
        slow.fuse(Waves(), image(number), T, seconds, number)
    expected = slow.evidence(seconds)
    got = fast.evidence()
    shape, low = fast.box.shape, fast.box.low
    reference = np.zeros(shape, np.float32)
    for voxel, value in expected.items():
        reference[tuple(np.array(voxel) - low)] = value
    # A centre on the very border of the view may fall on either side of it.
    differs = np.abs(got - reference) > 2e-3
    assert differs.sum() <= 2
    assert (reference != 0).sum() > 20


def test_box_moves_by_whole_tiles_and_clears_only_what_enters():
    box = RollingBox((8.0, 8.0, 2.0), 0.5, 1.0)
    marked = np.zeros(box.shape, bool)
    marked[:] = True
    for axis, slots in box.move(np.array([TILE * 0.5 + 0.1, 0.0, 0.5])):
        marked[(slice(None),) * axis + (slots,)] = False
    assert box.low.tolist() == [-8 + TILE, -8, -1]
    assert (~marked).sum() == TILE * 16 * 4 + 16 * 16 - TILE * 16
    assert not list(box.move(np.array([TILE * 0.5 + 0.1, 0.0, 0.5])))


def test_voxel_keeps_its_slot_and_leaves_it_only_with_the_box():
    chosen = settings()
    fused = RollingMap(chosen)
    point = np.array([[2.2, 0.1, 0.2]])
    fused.fuse(Constant(5.0), image(), pose(0, 0, 0), 0)
    assert fused.log_odds_at(point)[0] > 1
    for step in range(1, 5):
        fused.fuse(Constant(5.0), image(), pose(step, 0, 0), step * SECOND)
    assert fused.log_odds_at(point)[0] > 1  # behind the camera now
    fused.fuse(Constant(5.0), image(), pose(7, 0, 0), 5 * SECOND)
    assert fused.log_odds_at(point)[0] == 0


def test_nearest_of_the_unnamed_voxels_is_named_first(monkeypatch):
    monkeypatch.setattr(rolling_map, "_NAMED_PER_IMAGE", 20)
    fused = RollingMap(settings())
    fused.fuse(Constant(5.0), image(), pose(0, 0, 0), 0)
    found = fused.occupied(exposed_only=True)
    named, ahead = found.label != IGNORE, found.centers()[:, 0]
    assert named.sum() == 20
    assert ahead[named].max() <= np.sort(ahead)[19] + 1e-6


def test_lowest_layer_of_a_solid_is_not_exposed_from_below():
    fused = RollingMap(settings())
    for number in range(3):
        fused.fuse(Constant(5.0), image(), pose(0, 0, 0.4), number * SECOND // 10)
    solid = fused.evidence() >= LEAST_EVIDENCE
    inside = np.zeros_like(solid)
    inside[1:-1, 1:-1, 0] = (
        solid[1:-1, 1:-1, 0]
        & solid[1:-1, 1:-1, 1]
        & solid[:-2, 1:-1, 0]
        & solid[2:, 1:-1, 0]
        & solid[1:-1, :-2, 0]
        & solid[1:-1, 2:, 0]
    )
    assert inside.any()
    published = fused.occupied(exposed_only=True).index
    assert not set(inside.ravel().nonzero()[0].tolist()) & set(published.tolist())


@pytest.mark.parametrize("seed", range(4))
def test_voxels_in_view_are_those_that_a_projection_finds(seed):
    rng = np.random.default_rng(seed)
    box = RollingBox((9.0, 7.0, 3.0), 0.25, 1.0)
    list(box.move(rng.uniform(-1e4, 1e4, 3)))
    center = (box.low + np.array(box.shape) / 2) * box.voxel_size
    T = pose(*(center + rng.normal(0, 1, 3)), *rng.uniform(-3, 3, 2))
    found = voxels_in_view(box, T, CAMERA, CPU)
    centers = (np.indices(box.shape).reshape(3, -1).T + box.low + 0.5) * box.voxel_size
    q = (centers - T[:3, 3]) @ T[:3, :3] @ CAMERA.K_norm.T
    margin = np.minimum(q[:, 2] - np.abs(q[:, 0]), q[:, 2] - np.abs(q[:, 1]))
    slots, inside = box.slots(centers)
    assert inside.all()
    got = set(found.slot.tolist())
    assert got >= set(slots[margin > 1e-4].tolist())
    assert got <= set(slots[margin > -1e-4].tolist())
    row = {slot: i for i, slot in enumerate(found.slot.tolist())}
    which = np.array([row[slot] for slot in slots[margin > 1e-4].tolist()])
    np.testing.assert_allclose(found.depth[which], q[margin > 1e-4, 2], atol=1e-4)


def test_far_tiles_take_turns_and_all_of_them_come():
    box = RollingBox((40.0, 20.0, 2.0), 0.5, 1.0)
    T = pose(-18.0, 0, 0)
    whole = voxels_in_view(box, T, CAMERA, CPU)
    turns = [voxels_in_view(box, T, CAMERA, CPU, turn, 10.0) for turn in range(6)]
    assert set(torch.cat([found.slot for found in turns]).tolist()) == set(whole.slot.tolist())
    near = set(whole.slot[whole.depth < 6].tolist())
    assert all(near <= set(found.slot.tolist()) for found in turns)
    assert max(len(found.slot) for found in turns) < 0.8 * len(whole.slot)


def test_free_space_clears_and_unknown_stays_unknown():
    fused = RollingMap(settings())
    for number in range(3):
        fused.fuse(Constant(5.0), image(), pose(0, 0, 0), number * SECOND // 10)
    full = len(fused.occupied())
    assert full > 100
    assert (fused.occupied().label == 2).any()
    for number in range(3, 9):
        fused.fuse(Constant(0.01), image(), pose(0, 0, 0), number * SECOND // 10)
    assert len(fused.occupied()) == 0
    evidence = fused.evidence()
    assert (evidence < -LEAST_EVIDENCE).sum() == full
    assert (evidence == 0).sum() == evidence.size - full


def test_what_lies_behind_a_surface_is_not_seen_to_be_free():
    fused = RollingMap(settings(size=(16.0, 8.0, 2.0)))
    for number in range(3):
        fused.fuse(Constant(0.01, surface=2.0), image(), pose(-3, 0, 0), number * SECOND // 10)
    evidence = fused.evidence()
    centers = fused.box.grid().centers()[..., 0] + 3  # depths
    assert (evidence[centers < 2] < -LEAST_EVIDENCE).any()
    assert not evidence[centers > 2 * 1.05 + 1].any()
    for number in range(8):
        fused.fuse(Constant(5.0, surface=2.0), image(), pose(-3, 0, 0), SECOND + number)
    seen = fused.evidence()[centers > 3.5]
    assert (seen[seen != 0] >= LEAST_EVIDENCE).all()  # the field sees behind it
    whole = voxels_in_view(fused.box, pose(-3, 0, 0), CAMERA, CPU)
    assert (fused._evidence.view(-1)[whole.slot] != 0).all()  # all have had their turn


def test_age_is_the_time_since_a_voxel_was_not_hidden():
    fused = RollingMap(settings(size=(16.0, 8.0, 2.0)))
    for number in range(4):
        fused.fuse(Constant(5.0), image(), pose(-3, 0, 0), number)
    for number in range(4):
        fused.fuse(Constant(0.3, surface=2.0), image(), pose(-3, 0, 0), SECOND + number)
    found = fused.occupied()
    depth = found.centers()[:, 0] + 3
    assert found.age[depth < 2].max() < 1e-6
    assert found.age[depth > 2 * 1.05 + 1] == pytest.approx(1.0, abs=1e-5)


def test_class_of_a_voxel_that_became_free_is_forgotten():
    fused = RollingMap(settings())
    for number, (density, label) in enumerate([(5, 2), (0.01, 2), (0.01, 2), (5, 1), (5, 1)]):
        fused.fuse(Constant(density, label), image(), pose(0, 0, 0), number * SECOND // 10)
    labels = fused.occupied(exposed_only=True).label
    assert len(labels)
    assert set(labels.tolist()) == {1}


def test_class_of_a_voxel_that_faded_is_forgotten():
    fused = RollingMap(settings(half_life=1.0))
    for number in range(8):
        fused.fuse(Constant(5.0, label=13), image(), pose(0, 0, 0), number * SECOND // 10)
    fused.fuse(Constant(5.0, label=1), image(), pose(0, 0, 0), 100 * SECOND)
    labels = fused.occupied(exposed_only=True).label
    assert set(labels.tolist()) == {1}


def test_evidence_halves_with_the_half_life():
    fused = RollingMap(settings(half_life=2.0))
    fused.fuse(Constant(0.8), image(), pose(0, 0, 0), 0)
    before = fused.evidence()
    fused.fuse(Constant(0.8), image(), pose(0, 0, 0, yaw=math.pi), 2 * SECOND)  # looks away
    both = (before != 0) & (np.abs(fused.evidence() - before / 2) < 1e-6)
    assert both.sum() == (before != 0).sum()


def test_class_is_the_one_that_leads():
    fused = RollingMap(settings())
    labels = (3, 3, 1, 3, 1)
    for number, label in enumerate(labels):
        fused.fuse(Constant(5.0, label), image(), pose(0, 0, 0), number * SECOND // 10)
    found = fused.occupied(exposed_only=True)
    named = found.label != IGNORE
    assert set(found.label[named].tolist()) == {3}
    np.testing.assert_allclose(found.confidence[named], 1 / 5, atol=1e-5)


def test_voxels_with_the_fewest_votes_are_named_first(monkeypatch):
    monkeypatch.setattr(rolling_map, "_NAMED_PER_IMAGE", 40)
    fused = RollingMap(settings())
    named = []
    for number in range(4):
        done = fused.fuse(Constant(5.0), image(), pose(0, 0, 0), number * SECOND // 10)
        assert done.named == 40
        named.append(int((fused.occupied(exposed_only=True).label != IGNORE).sum()))
    every = len(fused.occupied(exposed_only=True))
    assert named == [40, 80, 120, min(160, every)]


def test_map_starts_anew_after_a_jump_and_when_time_runs_backwards():
    fused = RollingMap(settings())
    field = Constant(5.0)
    assert fused.fuse(field, image(), pose(0, 0, 0), 10 * SECOND).restart is None
    assert fused.fuse(field, image(), pose(0.3, 0, 0), 10 * SECOND + 10**8).restart is None
    jumped = fused.fuse(field, image(), pose(100, 0, 0), 10 * SECOND + 2 * 10**8)
    assert jumped.restart == Restart.JUMP
    assert fused.images == 1
    assert "moved by 99.70 m" in jumped.reason
    assert fused.log_odds_at(np.array([[2.2, 0.1, 0.2]]))[0] == 0
    back = fused.fuse(field, image(), pose(100, 0, 0), 3 * SECOND)
    assert back.restart == Restart.TIME_BACKWARDS
    assert "7.20 s before" in back.reason
    late = fused.fuse(field, image(), pose(100, 0, 0), 3 * SECOND - 10**8)  # of another camera
    assert late.restart is None


def test_map_that_was_reset_takes_earlier_stamps():
    fused = RollingMap(settings())
    fused.fuse(Constant(5.0), image(), pose(0, 0, 0), 1000 * SECOND)
    before = fused.evidence()
    fused.reset()
    assert not fused.evidence().any()
    assert fused.fuse(Constant(5.0), image(), pose(0, 0, 0), SECOND).restart is None
    np.testing.assert_array_equal(fused.evidence(), before)


def test_image_that_comes_late_makes_no_voxel_older():
    fused = RollingMap(settings(half_life=1.0))
    fused.fuse(Constant(0.8), image(), pose(0, 0, 0), SECOND)
    fused.fuse(Constant(0.8), image(), pose(0, 0, 0), SECOND // 2)  # of another camera
    assert (fused.occupied().age == 0).all()


def test_clocks_of_two_cameras_may_differ():
    fused = RollingMap(settings())
    for number in range(6):
        stamp = (100 + number) * SECOND
        for camera, late in (("front", 0), ("rear", 12 * SECOND // 10)):
            T = pose(0, 0, 0)
            done = fused.fuse(Constant(0.8), image(), T, stamp - late, camera=camera)
            assert done.restart is None
    again = [
        fused.fuse(Constant(0.8), image(), pose(0, 0, 0), 50 * SECOND, camera=camera).restart
        for camera in ("rear", "front")
    ]
    assert again == [Restart.TIME_BACKWARDS, None]  # a recording that begins again


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_far_voxels_are_asked_whatever_the_number_of_cameras(count, monkeypatch):
    monkeypatch.setattr(rolling_map, "_ASKED_IN_EVERY_IMAGE", 4.0)
    monkeypatch.setattr(rolling_map, "_FULL_WEIGHT", 100.0)
    fused = RollingMap(settings(size=(32.0, 32.0, 2.0)))
    in_view = np.zeros(fused.box.shape, bool).ravel()
    for number in range(12):
        for camera in range(count):
            T = pose(0, 0, 0, yaw=2 * math.pi * camera / count)
            robot = np.eye(4)
            fused.fuse(Constant(5.0), image(), T, number * SECOND // 10, robot, str(camera))
            in_view[voxels_in_view(fused.box, T, CAMERA, CPU).slot] = True
    asked = fused._evidence.view(-1).numpy() > 0
    np.testing.assert_array_equal(asked, in_view)


def test_evidence_fades_after_a_leap_of_the_stamps():
    fused = RollingMap(settings(half_life=10.0))
    fused.fuse(Constant(5.0), image(), pose(0, 0, 0), 0)
    start = 1_790_000_000 * SECOND
    assert fused.fuse(Constant(0.8), image(), pose(0, 0, 0), start).restart is None
    once = fused.evidence()
    for seconds in (10, 20):  # looks away
        away = pose(0, 0, 0, yaw=math.pi)
        fused.fuse(Constant(0.8), image(), away, start + seconds * SECOND)
    np.testing.assert_allclose(fused.evidence()[once > 0], once[once > 0] / 4, rtol=1e-4)


def test_hidden_voxels_cover_nothing():
    fused = RollingMap(settings())
    fused.fuse(Constant(5.0), image(), pose(0, 0, 0), 0)
    fused._evidence.fill_(MOST_EVIDENCE)
    fused._seen.fill_(0)
    fused._label.fill_(1)
    covered = len(fused.occupied(exposed_only=True))
    slots, _ = fused.box.slots(np.array([[0.25, 0.25, -0.25]]))  # two layers below the top
    fused._label.view(-1)[slots] = 2
    assert len(fused.occupied(exposed_only=True)) == covered
    assert len(fused.occupied(exposed_only=True, hidden=(2,))) == covered + 6


def test_an_image_that_comes_late_keeps_what_is_ahead():
    fused = RollingMap(settings(size=(32.0, 32.0, 2.0)))
    for number in range(5):
        fused.fuse(Constant(0.8), image(), pose(2 * number, 0, 0), number * SECOND // 10)
    ahead = fused.evidence()
    fused.fuse(Constant(0.8), image(), pose(4, 0, 0), 2 * SECOND // 10, camera="late")
    after = fused.evidence()
    assert after.shape == ahead.shape
    assert (after >= ahead).all()


def test_guard_allows_what_the_robot_can_do():
    guard = PoseGuard(max_speed=10.0, max_turn=1.0)
    assert guard.check(pose(0, 0, 0), 0) is None
    assert guard.check(pose(9.9, 0, 0, yaw=0.9), SECOND) is None
    restart, sentence = guard.check(pose(9.9, 0, 0, yaw=2.6), 2 * SECOND)
    assert restart == Restart.JUMP
    assert "97.4 degrees" in sentence


def test_an_older_image_does_not_undo_a_jump():
    fused = RollingMap(settings())
    field = Constant(5.0)
    assert fused.fuse(field, image(), pose(0, 0, 0), 10 * SECOND).restart is None
    jumped = fused.fuse(field, image(), pose(9, 0, 0), 10 * SECOND + 10**8)
    assert jumped.restart == Restart.JUMP
    before = fused.evidence()
    with pytest.raises(InputError, match=r"an older image cannot be joined.*moved by 9\.00 m"):
        fused.fuse(field, image(), pose(0, 0, 0), 10 * SECOND + 5 * 10**7)  # of another camera
    np.testing.assert_array_equal(fused.evidence(), before)
    assert fused.fuse(field, image(), pose(9, 0, 0), 10 * SECOND + 2 * 10**8).restart is None


def test_an_older_pose_is_nothing_to_compare_the_next_one_with():
    guard = PoseGuard(max_speed=10.0, max_turn=1.0)
    assert guard.check(pose(0, 0, 0), 0, "front") is None
    assert guard.check(pose(10, 0, 0), SECOND, "front") is None
    assert guard.check(pose(0.6, 0, 0), SECOND // 10, "rear") is None
    assert guard.check(pose(10.7, 0, 0), SECOND + SECOND // 25, "front") is None


def test_a_network_that_names_no_class_casts_no_votes():
    fused = RollingMap(settings())
    for number in range(3):
        field = Constant(5.0, label=IGNORE)
        fused.fuse(field, image(), pose(0, 0, 0), number * SECOND // 10)
    found = fused.occupied()
    assert len(found)
    assert not found.confidence.any()


@pytest.mark.parametrize(("column", "entry"), [(0, np.nan), (0, 5.0), (3, 1e39), (3, -2e9)])
def test_nothing_is_fused_at_what_is_no_pose(column, entry):
    fused = RollingMap(settings())
    T = pose(0, 0, 0)
    T[0, column] = entry
    with pytest.raises(InputError, match="the camera.s pose must"):
        fused.fuse(Constant(5.0), image(), T, 0)
    assert not fused.evidence().any()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"size": (8.0, 8.0)}, "map.size must be three lengths"),
        ({"below": 3.0}, r"map.below must be in 0 to map.size\[2\], 2 m, got 3"),
        ({"size": (900.0, 900.0, 90.0), "voxel_size": 0.1}, "a map has at most"),
    ],
)
def test_impossible_box_is_refused(changed, sentence):
    with pytest.raises(InputError, match=sentence):
        RollingMap(settings(**changed))
