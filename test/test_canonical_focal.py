# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Networks with a canonical focal length: depth in the code follows the lens, on every path."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import TINY, lively_checkpoint, noise_image, street_camera

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.checkpoints.checkpoint import build_model, resize_checkpoint
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.ray_spacing import LOGARITHMIC
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.network.field import PositionalCode
from scenedino_ros.network.render import pixel_rays, render_rays, sample_distances
from train.semantics.frozen_field import FrozenField, grid_positions

CANONICAL = replace(TINY, canonical_focal=64.0)  # px; the street camera's is 94


def longer(camera: CalibratedCamera, factor: float) -> CalibratedCamera:
    """Return the camera with a lens that is `factor` times as long."""
    K = camera.pinhole.K.copy()
    K[:2, :2] *= factor
    return CalibratedCamera(PinholeCamera(K, camera.pinhole.width, camera.pinhole.height))


def K_norm_of(camera: CalibratedCamera) -> torch.Tensor:
    return torch.from_numpy(camera.pinhole.K_norm).float()


def test_a_published_code_is_that_of_every_camera() -> None:
    code = PositionalCode(6, 1.5, (3.0, 80.0))
    assert code.for_camera(K_norm_of(street_camera())) is code


def test_what_looks_alike_has_one_code() -> None:
    code = PositionalCode(6, 1.5, (3.0, 80.0), canonical_focal=2.0)
    K_norm = K_norm_of(street_camera())
    twice = K_norm_of(longer(street_camera(), 2.0))
    uv_norm, depth = torch.rand(50, 2) * 2 - 1, torch.rand(50) * 30 + 3
    near, far = code.for_camera(K_norm)(uv_norm, depth), code.for_camera(twice)(uv_norm, 2 * depth)
    torch.testing.assert_close(near, far)
    as_taken = code.for_camera(2.0 / K_norm[1, 1] * K_norm)(uv_norm, depth)
    torch.testing.assert_close(as_taken, code(uv_norm, depth))
    both = code.for_camera(torch.stack([K_norm, twice]))
    batch = both(uv_norm.expand(2, -1, -1), torch.stack([depth, 2 * depth]))
    torch.testing.assert_close(batch, torch.stack([near, far]))


def test_a_longer_lens_moves_the_scene_away() -> None:
    model = build_model(lively_checkpoint(CANONICAL))
    camera = street_camera(160, 64)
    image = torch.rand(1, 3, 64, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1
    points = torch.rand(1, 300, 3) * torch.tensor([8.0, 3.0, 30.0]) + torch.tensor([-4, -1, 2.0])
    away = points * torch.tensor([1, 1, 1.5])
    with torch.no_grad():
        encoded = model.encode(image)
        near = model.query(encoded, points, K_norm_of(camera)[None])
        far = model.query(encoded, away, K_norm_of(longer(camera, 1.5))[None])
    assert near[2].any()
    for a, b in zip(near, far, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_every_path_of_inference_agrees_with_the_plain_network() -> None:
    checkpoint = lively_checkpoint(CANONICAL)
    predictor = Predictor(checkpoint, device="cpu", precision="float32")
    encoded = predictor.encode(noise_image(160, 64), street_camera(160, 64))
    model = build_model(checkpoint)
    image = torch.from_numpy(noise_image(160, 64)).permute(2, 0, 1)[None] / 127.5 - 1
    K_norm = K_norm_of(street_camera(160, 64))
    grid = VoxelGrid(origin=(-4.0, -1.0, 3.0), shape=(20, 8, 30), voxel_size=0.4)
    with torch.no_grad():
        feature_map = model.encode(image)

        def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            density, feature, _ = model.query(feature_map, points[None], K_norm[None])
            return density[0], feature[0]

        centers = torch.from_numpy(grid.centers().reshape(-1, 3)).float()
        density = field(centers)[0].view(grid.shape).numpy()
        rays = pixel_rays(K_norm, 64, 160)[::8, ::8].reshape(-1, 3)
        samples = sample_distances(*CANONICAL.depth_range, 16, spacing=LOGARITHMIC)
        ray, _ = render_rays(field, torch.zeros(3), rays, samples)
        depth = (ray.distance * rays[:, 2]).view(8, 20).numpy()
    found = predictor.densities(encoded, grid, np.eye(4))
    np.testing.assert_allclose(found, density, rtol=1e-3, atol=1e-4)
    points = centers[::7].numpy()
    at_points, _ = predictor.at_points(encoded, points)
    np.testing.assert_allclose(at_points, density.reshape(-1)[::7], rtol=1e-3, atol=1e-4)
    view = predictor.render(encoded, downscale=1, n_samples=16, depth=True)
    np.testing.assert_allclose(view.depth[::8, ::8], depth, rtol=1e-3)
    lens = predictor.encode(noise_image(160, 64), longer(street_camera(160, 64), 1.5))
    assert np.abs(predictor.densities(lens, grid, np.eye(4)) - found).max() > 0.01


def test_a_resized_network_keeps_its_lens() -> None:
    checkpoint = lively_checkpoint(CANONICAL)
    before, resized = build_model(checkpoint), resize_checkpoint(checkpoint, (128, 320))
    assert resized.config.canonical_focal == 2 * CANONICAL.canonical_focal
    assert build_model(resized).code.canonical_focal == before.code.canonical_focal


def test_stage_2_reads_the_plain_network() -> None:
    model = build_model(lively_checkpoint(CANONICAL))
    image, K_norm = torch.rand(3, 64, 160) * 2 - 1, K_norm_of(street_camera(160, 64))
    view = FrozenField(model, 0).view(("drive", "camera_00", 0), image, K_norm)
    jitter = torch.full((45, 16), 0.5)
    with torch.no_grad():
        feature_map = model.encode(image[None])

        def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            found = model.query(feature_map, points[None], K_norm[None])
            return found[0][0], found[1][0]

        positions = grid_positions(5, 9)
        samples = sample_distances(*CANONICAL.depth_range, 16, jitter)
        rays = view.rays(positions)
        ray, feature = render_rays(field, torch.zeros(3), rays, samples, opaque_end=True)
    distance, found = view.rendered(positions, jitter)
    torch.testing.assert_close(distance, ray.distance, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found, feature, rtol=1e-4, atol=1e-4)
    points = torch.rand(50, 3) * 8 + 2
    with torch.no_grad():
        torch.testing.assert_close(view.points(points)[0], field(points)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_an_impossible_focal_length_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=f"canonical_focal must be >= 0 and finite, got {value}"):
        ModelConfig(canonical_focal=value)
