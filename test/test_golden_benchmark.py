# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Parity of the network and the predictor on a frame of SSCBench, weights made from a recipe."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conditioning import ExactField, grown_points, spread, undecided_pixels, undecided_voxels
from golden_arrays import agree
from golden_weights import load_case, model_of

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.metrics import confusion_matrix, hungarian_columns
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.grid_view import camera_points
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.network.model import SceneDino

pytestmark = pytest.mark.parity


@dataclass
class VoxelCase:
    """One golden benchmark frame, the plain network on it, and the predictor's answer."""

    arrays: dict[str, np.ndarray]
    meta: dict
    model: SceneDino
    feature_map: torch.Tensor
    voxels: SemanticVoxels
    fov: np.ndarray

    @property
    def prediction(self) -> np.ndarray:
        """Benchmark classes of the predictor's voxels, (X, Y, Z)."""
        occupied = self.voxels.occupied()
        return np.where(
            occupied, CITYSCAPES19.ssc_lookup[self.voxels.label_grid(empty=10)], 0
        ).astype(np.uint8)

    def undecided(self, points_cam: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return where two classes, and filled and empty, are both right; see `conditioning`."""
        K, meta = torch.from_numpy(self.arrays["K"]), self.meta
        return undecided_voxels(
            self.model, self.feature_map, K, points_cam, meta["mode"], meta["sigma_cutoff"]
        )


@pytest.fixture(scope="module")
def voxel_case(request: pytest.FixtureRequest) -> VoxelCase:
    """Run the predictor on one golden benchmark frame."""
    arrays = load_case(request.param)
    meta = json.loads(str(arrays["meta"]))
    height, width = meta["image_size"]
    model = model_of(arrays)
    checkpoint = Checkpoint(model.config, CITYSCAPES19, model.state_dict())
    K = arrays["K"].astype(np.float64)
    K[0] *= width / 2
    K[1] *= height / 2
    K[:2, 2] += (width / 2, height / 2)
    camera = CalibratedCamera(PinholeCamera(K, width, height))
    predictor = Predictor(checkpoint, device="cpu", mode=meta["mode"])
    encoded = predictor.encode(arrays["image_u8"][0].transpose(1, 2, 0), camera)
    query = VoxelQuery(meta["sigma_cutoff"], grow=True, out_of_view=True)
    voxels = predictor.voxels(encoded, ssc.GRID, ssc.T_VELO_CAM, query)
    fov = np.unpackbits(arrays["fov_mask_bits"]).astype(bool).reshape(ssc.GRID.shape)
    image = torch.from_numpy(arrays["image_u8"]).float() / 255 * 2 - 1
    with torch.inference_mode():
        feature_map = model.encode(image)
    return VoxelCase(arrays, meta, model, feature_map, voxels, fov)


def test_benchmark_field_of_view(voxel_case: VoxelCase) -> None:
    centers = camera_points(ssc.GRID, ssc.T_VELO_CAM).astype(np.float64)
    decided = ~undecided_pixels(centers, ssc.CAMERA).reshape(ssc.GRID.shape)
    assert decided.mean() > 0.999
    np.testing.assert_array_equal(ssc.view_mask()[decided], voxel_case.fov[decided])


def test_benchmark_density_and_class_of_the_plain_network(voxel_case: VoxelCase) -> None:
    arrays, model = voxel_case.arrays, voxel_case.model
    grid = camera_points(ssc.GRID, ssc.T_VELO_CAM).reshape(*ssc.GRID.shape, 3)
    np.testing.assert_allclose(grid[::51, ::51, ::15], arrays["grid_probe"], atol=1e-4)
    fov = voxel_case.fov[::4, ::4, ::2]
    points = torch.from_numpy(grid[::4, ::4, ::2][fov])[None]
    K = torch.from_numpy(arrays["K"])[None]
    with torch.inference_mode():
        density, feature, _ = model.query(voxel_case.feature_map, points, K)
        label, _ = model.classify(feature, voxel_case.meta["mode"])
    exact = ExactField(model, voxel_case.feature_map, K, torch.eye(4)[None])
    widest = spread(lambda rounding: {"density": exact(points, rounding)["density"]}, draws=4)
    agree(density, arrays["sigma_sub"][fov][None], widest["density"])
    other = label[0] != torch.from_numpy(arrays["seg19_sub"][fov])
    assert other.float().mean() < 1e-3
    assert voxel_case.undecided(points[0, other, None])[0].all()


def test_benchmark_voxels_of_the_predictor(voxel_case: VoxelCase) -> None:
    arrays, fov = voxel_case.arrays, voxel_case.fov
    occupied = np.unpackbits(arrays["occ_bits"]).astype(bool).reshape(ssc.GRID.shape)
    other_density = (voxel_case.voxels.occupied() != occupied) & fov
    other_label = (voxel_case.prediction != arrays["final_label"]) & fov
    other = other_density | other_label
    assert other.sum() < 1e-3 * fov.sum()
    grid = camera_points(ssc.GRID, ssc.T_VELO_CAM).reshape(*ssc.GRID.shape, 3)
    tie, at_threshold = voxel_case.undecided(grown_points(grid, other))
    assert at_threshold[other_density[other]].all()
    assert (tie | at_threshold)[other_label[other]].all()


def test_benchmark_counts(voxel_case: VoxelCase) -> None:
    arrays = voxel_case.arrays
    raw = arrays["target_coarse"].repeat(8, 0).repeat(8, 1).repeat(4, 2)
    target = ssc.evaluated_target(raw)
    plain = ssc.evaluated_target(np.full_like(raw, 7))
    assert (plain == 7).all()
    newly_ignored = (target == 255) & (raw != 255)
    assert newly_ignored.sum() == arrays["additional_invalid_count"]
    for metres in ssc.RANGES:
        crop = ssc.range_crop(metres)
        scored = (target[crop] != 255) & voxel_case.fov[crop]
        # The stored prediction: what the predictor's may differ in is held above.
        prediction = arrays["final_label"][crop][scored]
        golden = arrays[f"metrics_{metres}_confusion"]
        np.testing.assert_array_equal(
            confusion_matrix(target[crop][scored], prediction, 16), golden
        )
    # The stored permutation runs from predicted to target classes, ours the other way round.
    np.testing.assert_array_equal(np.argsort(hungarian_columns(golden)), arrays["hungarian_col"])
