# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The map scored beside one image: counts by hand, on a toy grid and on a synthetic street."""

import functools
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from other_data import check_other_data, written_later

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.geometry.data import open_drive
from scenedino_ros.evaluation.geometry.evaluation import GeometryEvaluation
from scenedino_ros.evaluation.map.data import open_map_drives
from scenedino_ros.evaluation.map.evaluation import MapEvaluation
from scenedino_ros.evaluation.map.fusion import FusedDrive, PoseNoise, noises
from scenedino_ros.evaluation.map.report import map_summary
from scenedino_ros.evaluation.map.scores import Answer, beside_free, corridor, resampled
from scenedino_ros.evaluation.result import REPORT_FILE, RunResult
from scenedino_ros.evaluation.runner import RunOptions, run_evaluation
from scenedino_ros.evaluation.settings import MapEvaluationSettings
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.ranges import range_confusions
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.recordings.transforms import inverse
from scenedino_ros.streets.calibration_files import row, write_calibration
from scenedino_ros.streets.rig import T_BASE_CAM, T_BASE_VELO, RigSettings

SHAPE = ssc.GRID.shape
STEP = 2.0  # metres from one frame to the next, which is a second later
CHOSEN = MapEvaluationSettings(
    panels=0,
    least_images=3,
    size=(60.0, 56.0, 8.0),
    voxel_size=0.8,
    densities=(0.3,),
    thresholds=(0.0, -0.5),
    position_noise=(0.0,),
    rotation_noise=(0.0,),
)
SMALL = replace(CHOSEN, size=(24.0, 16.0, 6.4), voxel_size=0.4, position_noise=(0.05,))


class Waves:
    """A field whose densities depend on image position, depth and the image's brightness."""

    device = "cpu"
    density_threshold = 0.5

    def encode(self, rgb, camera):
        return SimpleNamespace(camera=camera.pinhole, number=float(rgb.mean()))

    def densities_in_view(self, encoded, uv_norm, depth):
        phase = 3 * uv_norm[:, 0] + 5 * uv_norm[:, 1] + 0.7 * depth + encoded.number
        return torch.exp(2 * torch.sin(phase)) * 0.5

    def classes_in_view(self, encoded, uv_norm, depth):
        return torch.zeros_like(depth, dtype=torch.uint8), torch.ones_like(depth)

    def rendered_depth(self, encoded, *, downscale):
        return torch.full((1, 1), 1e6)


@dataclass(frozen=True)
class Network:
    """What an evaluation asks of a `NetworkChoice`."""

    density_threshold = Waves.density_threshold
    device = "cpu"

    def predictor(self) -> Any:
        return Waves()

    def settings(self) -> dict[str, Any]:
        return {}

    def describe(self) -> str:
        return "waves"


def T_world_base(frame: int) -> np.ndarray:
    T = np.eye(4)
    T[:3, 3] = (STEP * frame, 0.0, 0.9)
    return T


@functools.cache
def grid_of(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Return occupied and moving voxels: a road, houses, and a car that drives away at 6 m/s."""
    T = T_world_base(frame) @ T_BASE_VELO
    x, y, z = np.moveaxis(ssc.GRID.centers() @ T[:3, :3].T + T[:3, 3], -1, 0)
    car = (np.abs(x - 8 - 6 * frame) < 2) & (np.abs(y) < 1) & (z > 0.1) & (z < 1.5)
    return (z < 0.1) | (np.abs(y) > 8) | car, car


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two drives of four frames, with grids of the last three of each."""
    root = tmp_path_factory.mktemp("traffic")
    write_calibration(root / "calibration", RigSettings(("camera_00",), width=96))
    for name in ("one", "two"):
        drive = root / "data_2d_raw" / name
        (drive / "image_00" / "data_rect").mkdir(parents=True)
        (drive / "voxels").mkdir()
        for frame in range(4):
            image = np.full((26, 96, 3), 20 * frame, np.uint8)
            cv2.imwrite(str(drive / f"image_00/data_rect/{frame:010d}.png"), image)
        times = "".join(f"2026-01-01 00:00:0{second}.000000000\n" for second in range(4))
        (drive / "image_00" / "timestamps.txt").write_text(times)
        poses = [f"{n} {row(T_world_base(n) @ T_BASE_CAM)} 0 0 0 1\n" for n in range(4)]
        (drive / "cam0_to_world.txt").write_text("".join(poses))
        for frame in (1, 2, 3):
            occupied, moving = grid_of(frame)
            file = drive / "voxels" / f"{frame:06d}"
            file.with_suffix(".label").write_bytes((40 * occupied.astype("<u2")).tobytes())
            file.with_suffix(".invalid").write_bytes(np.zeros(SHAPE, np.uint8).tobytes())
            file.with_suffix(".moving").write_bytes(moving.astype(np.uint8).tobytes())
    return root


def evaluated(folder: Path, output: Path, choices: MapEvaluationSettings) -> RunResult:
    network: Any = Network()
    evaluation = MapEvaluation(folder, open_map_drives(folder), network, choices)
    return run_evaluation(evaluation, map_summary, output, RunOptions(workers=1))


@pytest.fixture(scope="module")
def result(traffic: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return evaluated(traffic, tmp_path_factory.mktemp("runs") / "map", replace(CHOSEN, every=2))


def test_counts_at_many_thresholds_are_those_at_each():
    rng = np.random.default_rng(0)
    target = rng.choice(np.uint8([0, 1, 255]), SHAPE)
    values = rng.normal(size=SHAPE).astype(np.float32).round(1)  # so that some are at thresholds
    view, scored = rng.random(SHAPE) < 0.5, target != 255
    limits = (-0.5, 0.0, 0.3)
    of_image, of_map = Answer.of_image(values, view, limits), Answer.of_map(values, limits)
    image, fused = of_image.confusions(target, scored), of_map.confusions(target, scored)
    for number, limit in enumerate(np.float32(limits)):
        occupied = ((values >= limit) & view).astype(np.uint8)
        expected = range_confusions(target, occupied, scored, 2)
        np.testing.assert_array_equal(image[number], expected)
        occupied = ((values > limit) & (values != 0)).astype(np.uint8)  # 0 is unknown
        expected = range_confusions(target, occupied, scored, 2)
        np.testing.assert_array_equal(fused[number], expected)


def test_states_of_a_few_voxels():
    values = np.zeros(SHAPE, np.float32)
    values[0, 0, :5] = (-2.0, 0.5, 0.5, 3.0, 0.0)
    chosen = np.zeros(SHAPE, bool)
    chosen[0, 0, :6] = True  # the last two are unknown
    states = Answer.of_map(values, (0.0, 1.0)).states(chosen)
    np.testing.assert_array_equal(states, [[1, 3, 2], [3, 1, 2]])


def test_the_corridor_is_as_wide_and_high_as_the_robot():
    heights = np.broadcast_to(ssc.GRID.centers()[..., 2] + 1.73, SHAPE)
    swept = corridor(np.array([[2.0, 0.0], [8.0, 0.0], [8.0, 6.0]]), heights)
    x, y, z = np.moveaxis(ssc.GRID.centers(), -1, 0)
    straight = (x > 2) & (x < 8) & (np.abs(y) < 1)
    turned = (np.abs(x - 8) < 1) & (y > 0) & (y < 6)
    high = (z > -1.73) & (z < 0.07)
    assert swept[(straight | turned) & high].all()
    assert not swept[~high].any()
    near = (x > 1) & (x < 9) & (y > -1) & (y < 7)
    assert not swept[~near].any()
    assert not swept[(x < 6.9) & (y > 1.1)].any()


def test_the_inside_of_solids_is_what_touches_no_free_voxel():
    free = np.ones((7, 7, 7), bool)
    free[1:6, 1:6, 1:6] = False
    expected = np.ones((7, 7, 7), bool)
    expected[2:5, 2:5, 2:5] = False
    np.testing.assert_array_equal(beside_free(free), expected)


def test_voxels_of_an_earlier_frame_are_found_where_they_are_now():
    then = np.zeros(SHAPE, bool)
    then[60:70, 100:110, 9:14] = True
    moved = np.eye(4)
    moved[0, 3] = 2.0  # ten voxels ahead
    now = resampled(then, moved)
    expected = np.zeros(SHAPE, bool)
    expected[50:60, 100:110, 9:14] = True
    np.testing.assert_array_equal(now, expected)
    moved[0, 3] = 60.0
    assert not resampled(np.ones(SHAPE, bool), moved).any()


def test_noise_is_drawn_for_each_frame_by_itself():
    assert (PoseNoise().T_cam_noisy(0, "a", 3) == np.eye(4)).all()
    strong, weak = (PoseNoise(position=m).T_cam_noisy(0, "a", 3)[:3, 3] for m in (0.1, 0.01))
    np.testing.assert_allclose(strong, 10 * weak)
    shifts = [PoseNoise(0.1).T_cam_noisy(0, "a", n)[:3, 3] for n in range(400)]
    assert np.std(shifts, axis=0) == pytest.approx(0.1, rel=0.1)
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.02
    turns = [PoseNoise(0.0, 1.0).T_cam_noisy(0, "a", n) for n in range(400)]
    angles = [np.degrees(np.arccos((np.trace(T[:3, :3]) - 1) / 2)) for T in turns]
    assert np.sqrt(np.mean(np.square(angles))) == pytest.approx(3**0.5, rel=0.1)
    other = PoseNoise(0.1).T_cam_noisy(0, "b", 3)[:3, 3]
    assert not np.allclose(other, strong)
    assert [n.key for n in noises(MapEvaluationSettings(rotation_noise=(0.5,)))] == [
        *("none", "0.01m", "0.03m", "0.1m", "0.5deg")
    ]


def test_a_run_scores_the_frames_with_enough_images(result: RunResult) -> None:
    assert result.complete
    assert result.items == 2  # frame 2 of each drive: 1 has too few images, 3 is the next
    assert set(result.scores) == {"all", "one", "two"}
    view = result.scores["all"]["occupancy"]["view"]
    assert set(view["map"]) == {"nearest", "linear"}
    assert set(view["map"]["nearest"]) == {"-0.5", "0"}
    assert set(view["single"]) == {"0.3", "0.5"}  # the network's own, too
    best = max(view["single"].values(), key=lambda scores: scores["iou"]["25.6"])
    assert view["best_single"]["iou"]["25.6"] == best["iou"]["25.6"]
    counts = result.counts["single"][0, 0, 2]  # the lowest density, in view, up to 51.2 m
    iou = counts[1, 1] / (counts.sum() - counts[0, 0])
    assert view["single"]["0.3"]["iou"]["51.2"] == pytest.approx(iou)
    found = view["map"]["nearest"]["0"]["iou"]["51.2"] - view["best_single"]["iou"]["51.2"]
    (gain,) = (row for row in result.tables[0].rows if row[0] == "map minus best image, points")
    assert gain[3] == pytest.approx(100 * found)


def test_counts_are_those_of_a_plain_way(traffic: Path, result: RunResult) -> None:
    """Of one drive: fuse, ask at the voxels' centres, compare with 0."""
    drive: Any = open_map_drives(traffic)[0]
    field: Any = Waves()
    fused = FusedDrive(drive, field, CHOSEN, [PoseNoise()])
    encoded = fused.advance(2)
    T = drive.T_map_grid(2)
    points = ssc.GRID.centers().reshape(-1, 3).astype(np.float64) @ T[:3, :3].T + T[:3, 3]
    log_odds = fused.maps[0].log_odds_at(points).reshape(SHAPE)
    occupied, car = grid_of(2)
    target = occupied.astype(np.uint8)
    view = ssc.view_mask(ssc.GRID, drive.T_grid_cam, drive.camera.pinhole)
    scores = result.scores["one"]
    for name, scored in (("view", view), ("grid", np.ones_like(view))):
        expected = range_confusions(target, (log_odds > 0).astype(np.uint8), scored, 2)[2]
        iou = expected[1, 1] / (expected.sum() - expected[0, 0])
        found = scores["occupancy"][name]["map"]["nearest"]["0"]["iou"]["51.2"]
        assert found == pytest.approx(iou)
    edge = CHOSEN.voxel_size  # one image: at the voxels' centres, and at those of the map's voxels
    for name, places in (("single", points), ("single_in_map", (points // edge + 0.5) * edge)):
        T_map_cam = drive.T_map_cam(2)
        camera = ((places - T_map_cam[:3, 3]) @ T_map_cam[:3, :3]).reshape(*SHAPE, 3)[view]
        q = torch.from_numpy(camera @ encoded.camera.K_norm.T)
        uv_norm = (q[:, :2] / q[:, 2:]).clamp(-1, 1)
        expected = np.zeros(SHAPE, np.uint8)
        expected[view] = field.densities_in_view(encoded, uv_norm, q[:, 2]) >= 0.5
        confusion = range_confusions(target, expected, view, 2)[2]
        ours = result.counts[name][0, 1, 2] / 2  # of both drives, which are the same
        assert np.abs(confusion - ours).max() <= 5  # but for rounding at the threshold
    # The car filled 4 m of length that are now behind it, 1 s ago 6 m nearer.
    before = resampled(grid_of(1)[1], inverse(drive.T_map_grid(1)) @ T) & ~occupied
    assert before.sum() > 200
    ghosts = scores["ghosts"]["1"]["map"]["nearest"]["0"]
    assert ghosts["voxels"] == before.sum()
    assert ghosts["occupied"] == pytest.approx((log_odds[before] > 0).mean())
    assert scores["ghosts"]["2"]["map"]["nearest"]["0"]["voxels"] == 0  # not known then
    corridor = scores["corridor"]["map"]["nearest"]["0"]
    assert corridor["voxels"] > 0
    assert corridor["free"] + corridor["occupied"] + corridor["unknown"] == pytest.approx(1)


@pytest.mark.parametrize("images", [0, 2])
def test_maps_do_not_depend_on_what_was_scored_before(traffic: Path, images: int) -> None:
    choices, field = replace(SMALL, images=images), Waves()
    drive: Any = open_map_drives(traffic)[0]
    points = np.random.default_rng(0).uniform((14, -7, -1), (36, 7, 4), (2000, 3))
    fused = FusedDrive(drive, field, choices, noises(choices))
    seen: dict[int, list[np.ndarray]] = {}
    for number in (1, 3, 1, 2, 3, 3):
        fused.advance(number)
        assert fused.maps[0].images == (images or number + 1)
        found = fused.log_odds(points)
        assert np.abs(found[0]).max() > 0
        assert not np.array_equal(found[0], found[2])  # with noise
        for ours, before in zip(found, seen.setdefault(number, found), strict=True):
            np.testing.assert_array_equal(ours, before)


def test_maps_lie_around_the_middle_of_the_grid_however_the_car_is_turned(traffic: Path) -> None:
    drive: Any = open_map_drives(traffic)[0]
    back = np.diag([-1.0, -1.0, 1.0, 1.0])
    kept = {name: getattr(drive, name) for name in ("name", "images", "camera", "image")}
    turned: Any = SimpleNamespace(
        **kept,
        stamp_ns=drive.stamp_ns,
        T_map_cam=lambda number: back @ drive.T_map_cam(number),
        T_map_grid=lambda number: back @ drive.T_map_grid(number),
    )
    field: Any = Waves()
    fused = FusedDrive(turned, field, SMALL, [PoseNoise()])
    fused.advance(1)
    grid = fused.maps[0].box.grid()
    middle = grid.origin + grid.voxel_size * np.array(grid.shape) / 2
    expected = turned.T_map_grid(1) @ (25.6, 0.0, 1.2, 1.0)
    np.testing.assert_allclose(middle, expected[:3], atol=SMALL.voxel_size)


def test_a_linear_reading_is_exact_at_centres_and_the_mean_between(traffic: Path) -> None:
    drive: Any = open_map_drives(traffic)[0]
    field: Any = Waves()
    fused = FusedDrive(drive, field, SMALL, [PoseNoise()])
    fused.advance(1)
    index = np.random.default_rng(0).integers((45, -5, 0), (60, 5, 6), (500, 3))
    centers = (index + 0.5) * SMALL.voxel_size
    nearest, linear = fused.log_odds(centers)
    assert (nearest != 0).mean() > 0.5
    np.testing.assert_allclose(linear, nearest, atol=1e-5)
    beyond = centers + (SMALL.voxel_size, 0, 0)
    between = fused.log_odds((centers + beyond) / 2)[1]
    np.testing.assert_allclose(between, (nearest + fused.log_odds(beyond)[0]) / 2, atol=1e-5)


def test_a_frame_without_a_pose_is_listed_and_the_others_are_scored(
    traffic: Path, tmp_path: Path
) -> None:
    source, broken = traffic / "data_2d_raw" / "one", tmp_path / "drive"
    broken.mkdir()
    for name in ("image_00", "voxels"):
        (broken / name).symlink_to(source / name)
    (broken / "calibration").symlink_to(traffic / "calibration")
    with pytest.raises(InputError, match=r"must have poses to fuse its images.* found none"):
        open_map_drives(broken)
    lines = (source / "cam0_to_world.txt").read_text().splitlines()
    (broken / "cam0_to_world.txt").write_text("\n".join(lines[:3]))  # frame 3 has none
    result = evaluated(broken, tmp_path / "run", replace(SMALL, panels=1))
    assert result.items == 2
    assert "has no pose of frame 3" in result.missing["drive/000003"]
    assert "PARTIAL: 1 of 2 frames" in (tmp_path / "run" / REPORT_FILE).read_text()
    assert (tmp_path / "run" / "panel_drive_000002.png").is_file()


def test_other_drives_of_the_same_names_are_not_the_same_run(
    traffic: Path, tmp_path: Path
) -> None:
    def opened(root: Path) -> MapEvaluation:
        choices = MapEvaluationSettings(least_images=2)
        return MapEvaluation(root, open_map_drives(root), NetworkChoice("untrained"), choices)

    root = shutil.copytree(traffic, tmp_path / "traffic")
    before = opened(root).settings()
    grid = {f"000001{suffix}" for suffix in (".label", ".invalid", ".moving")}
    check_other_data(opened, root, {"0000000001.png", *grid})
    root = tmp_path / "elsewhere" / "traffic"
    assert opened(root).settings() == before
    with written_later(root / "data_2d_raw" / "two" / "cam0_to_world.txt"):
        assert opened(root).settings()["poses"] != before["poses"]


def test_another_drive_with_grids_is_not_the_same_run(traffic: Path, tmp_path: Path) -> None:
    def opened(root: Path) -> GeometryEvaluation:
        return GeometryEvaluation(open_drive(root), NetworkChoice("untrained"))

    drive = shutil.copytree(traffic, tmp_path / "traffic") / "data_2d_raw" / "one"
    (drive / "calibration").symlink_to(traffic / "calibration")
    before = opened(drive).settings()
    with written_later(drive / "voxels" / "000003.invalid"):
        assert opened(drive).settings()["grids"] != before["grids"]
    assert opened(drive).settings() == before
    evaluation = opened(drive)
    assert {path.name for path in evaluation.files("000001")} == {
        "0000000001.png",
        "000001.label",
        "000001.invalid",
    }


def test_damaged_voxels_of_moving_cars_are_refused(traffic: Path, tmp_path: Path) -> None:
    (tmp_path / "voxels").mkdir(parents=True)
    (tmp_path / "voxels" / "000005.moving").write_bytes(b"12")
    drive = type(open_map_drives(traffic)[0])(tmp_path)
    with pytest.raises(InputError, match=r"000005.moving: must be 2097152 bytes, got 2"):
        drive.moving(5)
