# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The frozen field of stage 2 against the plain network, ray by ray and point by point."""

import torch
from models import TINY, lively_checkpoint, street_camera

from scenedino_ros.checkpoints.checkpoint import build_model
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import render_rays, sample_distances
from train.semantics.frozen_field import FrozenField, grid_positions, in_chunks

KEY = ("drive", "camera_00", 0)


def network() -> SceneDino:
    return build_model(lively_checkpoint())


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    height, width = TINY.image_size
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    K_norm = torch.from_numpy(street_camera(width, height).pinhole.K_norm).float()
    return image, K_norm


def test_points_are_those_of_the_plain_network():
    model, (image, K_norm) = network(), scene()
    view = FrozenField(model, 0).view(KEY, image, K_norm)
    points = torch.randn(200, 3) * torch.tensor([4.0, 2.0, 10.0]) + torch.tensor([0, 0, 8.0])
    density, feature = view.points(points)
    with torch.no_grad():
        expected = model.query(model.encode(image[None]), points[None], K_norm[None])
    assert not expected[2].all()  # some are behind the camera or beside the image
    torch.testing.assert_close(density, expected[0][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(feature, expected[1][0], rtol=1e-4, atol=1e-4)


def test_rays_are_those_of_the_plain_network():
    model, (image, K_norm) = network(), scene()
    view = FrozenField(model, 0).view(KEY, image, K_norm)
    positions = grid_positions(5, 9)
    jitter = torch.rand(45, 16)
    distance, feature = view.rendered(positions, jitter)
    with torch.no_grad():
        feature_map = model.encode(image[None])

        def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            found = model.query(feature_map, points[None], K_norm[None])
            return found[0][0], found[1][0]

        samples = sample_distances(*TINY.depth_range, 16, jitter)
        rays = view.rays(positions)
        expected = render_rays(field, torch.zeros(3), rays, samples, opaque_end=True)
    torch.testing.assert_close(distance, expected[0].distance, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(feature, expected[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(view.distances(positions, jitter), distance)


def test_an_image_is_encoded_once_while_it_is_remembered():
    image, K_norm = scene()
    field = FrozenField(network(), 1)
    encoded = []
    encode = field._network.hidden_map
    field._network.hidden_map = lambda x: encoded.append(1) or encode(x)
    first = field.view(KEY, image, K_norm).points(torch.ones(3, 3))
    again = field.view(KEY, torch.zeros_like(image), K_norm).points(torch.ones(3, 3))
    assert len(encoded) == 1
    assert torch.equal(first[0], again[0])
    for frame in range(1, 8):  # more than fit: the first is forgotten
        field.view(("drive", "camera_00", frame), image, K_norm)
    field.view(KEY, image, K_norm)
    assert len(encoded) == 9


def test_positions_are_row_by_row_at_cell_centres():
    positions = grid_positions(2, 4)
    assert positions[0].tolist() == [-0.75, -0.5]
    assert positions[5].tolist() == [-0.25, 0.5]


def test_chunks_change_nothing():
    a, b = torch.rand(10, 2), torch.rand(10, 3)
    whole = torch.cat([a, b], dim=1)
    assert torch.equal(in_chunks(lambda x, y: torch.cat([x, y], 1), 3, a, b), whole)
