# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Depth hints: distances from pairs and from a moving camera, against a wall known exactly."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_fields import NEARBY, Tokens, with_store

from scenedino_ros.recordings.frame_store.store import FrameStore, StoredCamera
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter
from train.field import depth_hints
from train.field.data import FieldBatch, FieldData
from train.field.depth_hints import DepthHints
from train.field.items import View
from train.field.losses import hint_error, opacity_behind
from train.field.model import FieldTraining
from train.field.plane_sweep import pixel_directions
from train.field.precompute import compute_hints, missing_hints

SIZE = (64, 160)
K = np.array([[1.2, 0, 0.05], [0, 3.0, -0.1], [0, 0, 1.0]])
RANGE = (3.0, 80.0)
BASELINE, STEP, N_FRAMES = 1.5, 1.0, 9
# The optical frame in a body that looks along x.
T_BODY_CAM = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def wall(x_right: float, z_ahead: float) -> tuple[np.ndarray, np.ndarray]:
    """Return image and z-depth of a textured, slanted wall seen from a place in front of it."""
    directions = pixel_directions(K, *SIZE)
    # The wall is z = 16 + 0.4 x in the frame of the first camera.
    depth = (16 + 0.4 * x_right - z_ahead) / (1 - 0.4 * directions[..., 0])
    right = directions[..., 0] * depth + x_right
    down = directions[..., 1] * depth
    noise = np.random.default_rng(0).random((400, 1600, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2) * 4 - 1.5
    columns, rows = (800 + right * 25).astype(np.float32), (200 + down * 25).astype(np.float32)
    image = cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return (image.clip(0, 1) * 255).astype(np.uint8), depth


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Drive towards the wall, with one camera and with two."""
    folder = tmp_path_factory.mktemp("walls")
    beside = T_BODY_CAM.copy()
    beside[1, 3] = -BASELINE
    rigs = {"mono": {"camera_00": T_BODY_CAM}, "stereo": {"camera_00": T_BODY_CAM}}
    rigs["stereo"]["camera_01"] = beside
    for name, rig in rigs.items():
        cameras = {c: StoredCamera(c, K, T) for c, T in rig.items()}
        with FrameStoreWriter(folder / name, SIZE, cameras, N_FRAMES, {}) as writer:
            for frame in range(N_FRAMES):
                T = np.eye(4)
                T[0, 3] = frame * STEP
                writer.frame(frame, frame * 10**8, T)
                for camera, T_body_cam in rig.items():
                    image, _ = wall(-T_body_cam[1, 3], frame * STEP)
                    writer.put("image", camera, frame, image)
    return {name: folder / name for name in rigs}


@pytest.mark.parametrize(
    ("drive", "camera", "frame", "least_known"),
    [
        ("stereo", "camera_00", 2, 0.7),
        ("stereo", "camera_01", 2, 0.7),
        ("mono", "camera_00", 4, 0.7),
    ],
)
def test_hints_are_the_distance_of_the_wall(
    tmp_path: Path,
    drives: dict[str, Path],
    drive: str,
    camera: str,
    frame: int,
    least_known: float,
) -> None:
    hints = DepthHints(tmp_path, FrameStore(drives[drive]), RANGE)
    for _ in hints.fill(camera, range(N_FRAMES)):
        pass
    found = hints.distance(View(camera, frame)).astype(float)
    _, depth = wall(BASELINE if camera == "camera_01" else 0.0, frame * STEP)
    expected = depth * np.linalg.norm(pixel_directions(K, *SIZE), axis=-1)
    known = found > 0
    assert known.mean() > least_known
    error = np.abs(found - expected)[known] / expected[known]
    assert np.median(error) < 0.02
    assert np.quantile(error, 0.95) < 0.06


def test_a_moving_camera_says_nothing_of_what_it_sees_once(tmp_path: Path, drives) -> None:
    hints = DepthHints(tmp_path, FrameStore(drives["mono"]), RANGE)
    for _ in hints.fill("camera_00", range(N_FRAMES)):
        pass
    first, middle = (hints.distance(View("camera_00", frame)) > 0 for frame in (0, 4))
    # Of all later images none shows the border of the first one, and at most one shows what is
    # 3 m away in its left quarter.
    assert not first[:, :40].any()
    assert not first[0].any()
    assert middle[20:40, 60:100].mean() > 0.9


def test_a_moving_camera_is_not_compared_across_a_pose_jump(
    tmp_path: Path, drives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FrameStore, "breaks", lambda store: np.ones(N_FRAMES, bool))
    hints = DepthHints(tmp_path, FrameStore(drives["mono"]), RANGE)
    assert sum(hints.fill("camera_00", range(N_FRAMES))) == N_FRAMES
    assert not hints.distance(View("camera_00", 4)).any()


@pytest.mark.parametrize("drive", ["stereo", "mono"])
def test_matching_once_does_what_a_hint_takes_and_keeps_nothing(
    tmp_path: Path, drives, drive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = DepthHints(tmp_path, FrameStore(drives[drive]), RANGE)
    done = []
    for name in ("pair_depth", "plane_sweep", "agreeing_depth"):
        work = getattr(depth_hints, name)
        monkeypatch.setattr(depth_hints, name, lambda *a, n=name, w=work: done.append(n) or w(*a))
    hints.match_once("camera_00", 4)
    assert done == {"stereo": ["pair_depth"], "mono": ["plane_sweep", "agreeing_depth"]}[drive]
    assert not list(tmp_path.rglob("*.npy"))
    assert len(hints.missing("camera_00", range(N_FRAMES))) == N_FRAMES


def test_interrupted_hints_are_taken_up(tmp_path: Path, drives) -> None:
    store = FrameStore(drives["stereo"])
    begun = DepthHints(tmp_path, store, RANGE).fill("camera_00", range(N_FRAMES))
    for _ in range(3):
        next(begun)
    again = DepthHints(tmp_path, store, RANGE)
    assert again.missing("camera_00", range(N_FRAMES)) == list(range(3, N_FRAMES))
    kept = again.distance(View("camera_00", 1))
    assert sum(again.fill("camera_00", range(N_FRAMES))) == N_FRAMES - 3
    assert np.array_equal(again.distance(View("camera_00", 1)), kept)
    assert not again.missing("camera_00", range(N_FRAMES))
    assert not again.distance(View("camera_01", 1)).any()
    nearer = DepthHints(tmp_path, store, (3.0, 40.0))  # which searches other distances
    assert nearer.missing("camera_00", range(N_FRAMES)) == list(range(N_FRAMES))


def test_only_chosen_frames_are_swept(tmp_path: Path, drives) -> None:
    hints = DepthHints(tmp_path, FrameStore(drives["mono"]), RANGE)
    chosen = range(0, N_FRAMES, 2)
    assert hints.missing("camera_00", chosen) == list(chosen)
    assert sum(hints.fill("camera_00", chosen)) == len(chosen)
    raw = next(path for path in tmp_path.rglob("*_raw_done.npy"))
    assert np.flatnonzero(np.load(raw)).tolist() == list(chosen)
    assert hints.distance(View("camera_00", 4)).any()
    assert not hints.distance(View("camera_00", 3)).any()


def test_hint_error_counts_weight_away_from_the_hint() -> None:
    distances = torch.tensor([2.0, 4.0, 8.0, 64.0]).expand(2, 1, 2, 4)
    weights = torch.tensor([[0.5, 0.5, 0, 0], [0, 0.5, 0, 0.5]]).repeat(2, 1, 1, 1)
    weights = weights.view(2, 1, 2, 4).clone().requires_grad_()
    hint = torch.tensor([[[4.0, 4.0]], [[0.0, 4.0]]])
    error = hint_error(weights, distances, hint)
    half = 0.5 * np.log(2)
    # A factor of 16 counts as one of e; what has no hint counts as right.
    assert error.tolist() == pytest.approx([(half + 0.5) / 2, 0.5 / 2])
    error.sum().backward()
    assert weights.grad is not None
    assert weights.grad[0, 0, 0].tolist() == pytest.approx([np.log(2) / 2, 0, np.log(2) / 2, 0.5])
    assert not weights.grad[1, 0, 0].any()


def test_only_space_well_behind_a_hint_should_be_empty() -> None:
    distances = torch.tensor([2.0, 7.9, 8.1, 64.0]).expand(2, 1, 1, 4)
    filled = torch.tensor([1.0, 0.9, 0.5, 0.25]).repeat(2, 1, 1, 1)
    # The hint is 4 m; up to 8 m a thing may be solid. The other ray has none.
    found = opacity_behind(filled, distances, torch.tensor([[[4.0]], [[0.0]]]))
    assert found.tolist() == pytest.approx([0.75 / 4, 0])


def test_items_bring_the_hints_of_what_is_rendered(tmp_path: Path, drives) -> None:
    settings = with_store(replace(NEARBY, mirror=True), drives["stereo"])
    settings = replace(settings, losses=replace(settings.losses, hint=0.5))
    data = FieldData(settings, settings.data.stores, None, tmp_path)
    assert sum(len(frames) for _, _, frames in missing_hints(data)) == 2 * N_FRAMES
    assert sum(compute_hints(data)) == 2 * N_FRAMES
    assert missing_hints(data) == []
    still = FieldData(replace(settings, mirror=False), settings.data.stores, None, tmp_path)
    step = next(
        i for i in range(50) if not torch.equal(data.item(i, 0).image, still.item(i, 0).image)
    )
    for mirrored, straight in zip(
        data.item(step, 0).groups, still.item(step, 0).groups, strict=True
    ):
        assert mirrored.hints.shape == (1, *SIZE)
        assert mirrored.hints.any()
        assert torch.equal(mirrored.hints, straight.hints.flip(-1))
    coarse = replace(settings, rays=replace(settings.rays, levels=(4,)), mirror=False)
    small = FieldData(coarse, coarse.data.stores, None, tmp_path).item(0, 0).groups[0]
    assert small.hints.shape[1:] == small.targets.images.shape[2:]
    fine = still.item(0, 0).groups[0].hints
    assert set(small.hints.unique().tolist()) <= set(fine.unique().tolist())


def test_hints_pull_the_surface_to_where_they_say(tmp_path: Path, drives) -> None:
    settings = with_store(NEARBY, drives["stereo"])
    settings = replace(
        settings,
        losses=replace(settings.losses, hint=1.0, filled=(0.0,)),
        rays=replace(settings.rays, samples=(16,), spacing="logarithmic", min_depth=1.0),
    )
    data = FieldData(settings, settings.data.stores, None, tmp_path)
    for _ in compute_hints(data):
        pass
    torch.manual_seed(0)
    training = FieldTraining(settings, Tokens())
    learned = [p for p in training.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=1e-3)
    errors = []
    batch = FieldBatch([data.item(0, 0)], 0)
    for _ in range(40):
        losses = training(batch)
        optimizer.zero_grad()
        losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(learned, 0.3)
        optimizer.step()
        errors.append(float(losses["hint"].detach()))
    assert np.mean(errors[-8:]) < 0.6 * np.mean(errors[:4])
