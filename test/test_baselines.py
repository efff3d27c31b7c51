# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Answers that look at no image, and occupancy of drives held against them."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.metrics import geometry_scores
from scenedino_ros.evaluation.geometry.data import OccupancyDrive
from scenedino_ros.evaluation.geometry.evaluation import GeometryEvaluation
from scenedino_ros.evaluation.settings import GeometrySettings
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.baselines import (
    ConstantGrid,
    Frequency,
    RoadPlane,
    fit_road,
    mean_road,
)
from scenedino_ros.evaluation.ssc.ranges import range_confusions
from scenedino_ros.inference.network_choice import NetworkChoice

DRIVE = Path(os.environ.get("SCENEDINO_TEST_DATA", "")) / "kitti360_sequence"
needs_drive = pytest.mark.skipif(
    not (DRIVE / "occupancy").is_dir(), reason="SCENEDINO_TEST_DATA has no kitti360_sequence"
)


def test_a_road_is_found_under_a_car_and_a_hole() -> None:
    plane = RoadPlane(0.01, -0.02, -1.5)
    occupied = plane.occupied()
    occupied[30:50, 120:135, 5:9] = True
    occupied[30:50, 120:135, :4] = False  # nothing but the car is seen there
    found = fit_road(occupied)
    # Two or three voxels are within 0.2 m; the lowest lies about 0.1 m below the plane.
    assert found.slope_x == pytest.approx(0.01, abs=0.005)
    assert found.slope_y == pytest.approx(-0.02, abs=0.005)
    assert found.height == pytest.approx(-1.6, abs=0.06)
    with pytest.raises(InputError, match="100 occupied columns ahead of the car, got 0"):
        fit_road(np.zeros(ssc.GRID.shape, bool))


def test_heights_are_above_the_road() -> None:
    heights = RoadPlane(0.1, 0.0, -1.0).heights()
    assert heights[0, 0, 0] == pytest.approx(-1.9 + 1.0 - 0.01, abs=1e-5)
    assert mean_road([RoadPlane(0, 0, 1), RoadPlane(0.2, 0.4, 2)]) == RoadPlane(0.1, 0.2, 1.5)


def test_frequencies_know_what_most_frames_had() -> None:
    free, wall = np.zeros(ssc.GRID.shape, np.uint8), np.zeros(ssc.GRID.shape, np.uint8)
    wall[100] = 9
    unseen = np.full(ssc.GRID.shape, 255, np.uint8)
    frequency = Frequency()
    for grid in (wall, free, unseen):
        frequency.add(grid)
    assert frequency.majority()[100].all()  # half of those that knew it
    assert not frequency.majority()[:100].any()
    assert not frequency.without(wall).majority().any()
    assert not frequency.smoothed().any()  # blurred, a thin wall in half of the frames is none
    frequency = frequency.without(free)
    assert frequency.frames == 2
    wide = Frequency()
    wall[95:106] = 9
    wide.add(wall)
    assert wide.smoothed()[96:105].all()
    assert not wide.smoothed()[:94].any()
    nothing = Frequency()
    nothing.add(unseen)
    assert not nothing.majority().any()
    assert not nothing.smoothed().any()


def test_the_constant_grid_knows_classes_by_height() -> None:
    target = np.full(ssc.GRID.shape, 255, np.uint8)
    target[:, :, 2] = 7
    target[:, :20, 4] = 1
    target[:, 20:, 4] = 9
    grid = ConstantGrid()
    grid.add(target)
    by_height = grid.class_of_height()
    assert (by_height[2], by_height[4]) == (7, 9)
    assert grid.occupied()[:, :, 2].all()


def percent(prediction: np.ndarray, target: np.ndarray, scored: np.ndarray) -> list[float]:
    confusions = range_confusions(target, prediction.astype(np.uint8), scored, 2)
    return [round(100 * geometry_scores(confusion).iou, 1) for confusion in confusions]


@needs_drive
def test_known_scores_of_a_real_drive() -> None:
    drive = OccupancyDrive(DRIVE)
    assert drive.frames() == [f"{number:010d}" for number in (3000, 3008, 3016, 3024)]
    frequency = Frequency()
    for frame in drive.frames()[:3]:
        frequency.add(drive.grid(frame))
    target = drive.grid("0000003024")
    scored = (target != 255) & ssc.view_mask(ssc.GRID, drive.T_grid_cam, drive.camera.pinhole)
    assert percent(np.ones_like(scored), target, scored) == [13.2, 14.9, 13.7]
    assert percent(frequency.majority(), target, scored) == [52.1, 43.3, 35.0]
    smoothed = frequency.smoothed()
    assert percent(smoothed, target, scored) == pytest.approx([67.3, 51.2, 39.5], abs=0.2)
    above = scored & (fit_road(target == 1).heights() > 0.4)
    assert percent(smoothed, target, above) == pytest.approx([42.2, 28.1, 21.5], abs=0.3)


def test_baselines_of_a_frame_come_from_the_other_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    view = np.ones(ssc.GRID.shape, bool)
    monkeypatch.setattr(ssc, "view_mask", lambda *_: view)
    grids = {
        name: RoadPlane(0.0, 0.0, height).occupied().astype(np.uint8)
        for name, height in (("here", -1.5), ("there", -0.5))
    }
    drive = SimpleNamespace(
        T_grid_cam=ssc.T_VELO_CAM,
        camera=SimpleNamespace(pinhole=ssc.CAMERA),
        frames=lambda: list(grids),
        grid=grids.get,
        image=lambda frame: None,
    )
    predictor = SimpleNamespace(
        encode=lambda rgb, camera: None,
        densities=lambda encoded, grid, T_grid_cam: np.zeros(grid.shape, np.float32),
    )
    network = SimpleNamespace(density_threshold=0.5, predictor=lambda: predictor)
    work = GeometryEvaluation(drive, network, GeometrySettings()).open(Stopwatch())
    by_plane, by_majority = work.count("here")["voxels"][0, 2:4]
    other = fit_road(grids["there"] == 1).occupied().astype(np.uint8)
    np.testing.assert_array_equal(by_plane, range_confusions(grids["here"], other, view, 2))
    np.testing.assert_array_equal(
        by_majority, range_confusions(grids["here"], grids["there"], view, 2)
    )


@needs_drive
def test_frames_are_chosen_by_number() -> None:
    network = NetworkChoice("untrained")
    drive = OccupancyDrive(DRIVE)
    settings = GeometrySettings(frames=(3024,))
    assert GeometryEvaluation(drive, network, settings).items() == ["0000003024"]
    with pytest.raises(InputError, match="has no grid of frame 7"):
        GeometryEvaluation(drive, network, GeometrySettings(frames=(7,))).items()


def test_damaged_grids_name_their_file(tmp_path: Path) -> None:
    drive = OccupancyDrive(tmp_path)
    with pytest.raises(
        InputError, match="has no grids: neither occupancy/NNNNNNNNNN.npz nor voxels/"
    ):
        drive.frames()
    folder = tmp_path / "occupancy"
    folder.mkdir()

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=f"5.npz {message}"):
            drive.grid("5")

    (folder / "5.npz").write_bytes(b"PK")
    refused("cannot be read")
    values = {"occupancy": np.zeros((4, 4, 4), np.uint8), "voxel_size": 0.2}
    np.savez(folder / "5.npz", origin=ssc.GRID.origin, **values)
    refused(r"must be \(256, 256, 32\) voxels of 0.2 m")
    values["occupancy"] = np.zeros(ssc.GRID.shape, np.uint8)
    np.savez(folder / "5.npz", origin=(0, 0, 0), **values)
    refused("must be")
    values["occupancy"][0, 0, 0] = 7
    np.savez(folder / "5.npz", origin=ssc.GRID.origin, **values)
    refused(r"must hold 0, 1 and 255, got \[0, 7\]")
