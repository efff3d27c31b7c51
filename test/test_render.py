# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Volume rendering against closed forms."""

import math

import numpy as np
import pytest
import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.ray_spacing import LOGARITHMIC
from scenedino_ros.network.render import (
    composite,
    opacity_up_to,
    pixel_rays,
    render_rays,
    sample_distances,
)


def test_a_slab_of_constant_density_has_the_closed_form_opacity() -> None:
    distances = torch.linspace(3.0, 13.0, 1001)
    density = torch.full((1001,), 0.7)
    density[-1] = 0.0
    total = composite(density, distances).weights.sum()
    assert float(total) == pytest.approx(1 - math.exp(-0.7 * 10.0), abs=1e-4)


def test_an_opaque_wall_is_seen_at_its_distance() -> None:
    distances = sample_distances(3.0, 80.0, 4096)
    density = torch.where(distances > 20.0, 1e4, 0.0)
    assert float(composite(density, distances).distance) == pytest.approx(20.0, rel=5e-3)


def test_an_opaque_end_makes_weights_sum_to_one() -> None:
    distances = sample_distances(3.0, 80.0, 16)
    density = torch.rand(50, 16, generator=torch.Generator().manual_seed(0)) * 0.1
    weights = composite(density, distances, opaque_end=True).weights
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)


def test_samples_are_uniform_in_inverse_depth() -> None:
    distances = sample_distances(3.0, 80.0, 32)
    inverse = 1 / distances
    np.testing.assert_allclose(inverse.diff(), (1 / 80 - 1 / 3) / 32, rtol=1e-4)
    assert float(inverse[0]) == pytest.approx(1 / 3 + (1 / 80 - 1 / 3) / 64)
    jitter = torch.rand(5, 32, generator=torch.Generator().manual_seed(0))
    jittered = sample_distances(3.0, 80.0, 32, jitter)
    assert jittered.shape == (5, 32)
    assert (jittered.diff() > 0).all()


def test_logarithmic_samples_are_as_far_apart_as_they_are_far() -> None:
    distances = sample_distances(3.0, 80.0, 32, spacing=LOGARITHMIC)
    np.testing.assert_allclose(distances[1:] / distances[:-1], (80 / 3) ** (1 / 32), rtol=1e-5)
    assert float(distances[0]) == pytest.approx(3.0 * (80 / 3) ** (1 / 64), rel=1e-5)


def test_gradients_reach_density_and_feature() -> None:
    density = torch.rand(4, 8, requires_grad=True)
    feature = torch.rand(4, 8, 3, requires_grad=True)
    result = composite(density, sample_distances(3.0, 80.0, 8).expand(4, -1))
    (result.distance.sum() + result.blend(feature).sum()).backward()
    assert (density.grad != 0).any()
    assert (feature.grad != 0).all()


@pytest.mark.parametrize("opaque_end", [False, True])
def test_gradients_are_those_of_the_product_of_transmittances(opaque_end: bool) -> None:
    draws = torch.Generator().manual_seed(0)
    distances = sample_distances(3.0, 80.0, 32, torch.rand(20, 32, generator=draws)).double()
    density = torch.rand(20, 32, generator=draws).double().requires_grad_()
    towards = torch.randn(20, 32, generator=draws).double()

    ray = composite(density, distances, opaque_end=opaque_end)
    (found,) = torch.autograd.grad((ray.weights * towards).sum() + ray.distance.sum(), density)

    length = torch.diff(distances, append=distances.new_full((20, 1), 1e10))
    alpha = 1 - torch.exp(-length * density)
    if opaque_end:
        alpha = torch.cat([alpha[:, :-1], torch.ones(20, 1)], dim=-1)
    through = torch.cat([torch.ones(20, 1), (1 - alpha)[:, :-1]], dim=-1).cumprod(dim=-1)
    weights = alpha * through
    loss = (weights * towards).sum() + (weights * distances).sum()
    (expected,) = torch.autograd.grad(loss, density)
    torch.testing.assert_close(ray.weights, weights, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_many_thin_samples_still_let_light_through() -> None:
    # Each segment absorbs 1e-8 of the light, which 1 - alpha loses in float32.
    distances = torch.linspace(0.0, 10.0, 100_001)
    density = torch.full((100_001,), 1e-4)
    density[-1] = 0.0
    total = composite(density, distances).weights.double().sum()
    assert float(total) == pytest.approx(1 - math.exp(-1e-3), rel=1e-3)


@pytest.mark.parametrize("shape", [(8,), (3, 8)])
def test_negative_densities_and_unsorted_distances_are_refused(shape: tuple[int, ...]) -> None:
    distances = sample_distances(3.0, 80.0, 8)
    density = torch.ones(shape)
    density.view(-1)[-2] = -0.5
    for function in (composite, lambda *a: opacity_up_to(*a, 80.0)):
        with pytest.raises(InputError, match="density must be >= 0 1/m, got -0.5"):
            function(density, distances)
        with pytest.raises(InputError, match="must ascend up to .* m, got a step of -2"):
            function(density.abs(), torch.tensor([1.0, 2, 3, 4, 5, 6, 4, 8]))
    with pytest.raises(InputError, match="up to 20 m, got a step of -"):
        opacity_up_to(density.abs(), distances, 20.0)
    assert composite(density.abs(), torch.ones(8)).distance.isfinite().all()  # empty segments
    rounded = torch.tensor([3.0, 4.0, 50.0, 50.0 - 4e-6, 60.0, 70.0, 75.0, 80.0 + 8e-6])
    assert (opacity_up_to(density.abs(), rounded, 80.0) <= 1).all()


def test_the_middle_ray_looks_along_the_axis() -> None:
    K = torch.eye(3)
    rays = pixel_rays(K, 3, 5)
    np.testing.assert_allclose(rays[1, 2], [0, 0, 1], atol=1e-7)
    np.testing.assert_allclose(rays.norm(dim=-1), 1, atol=1e-6)
    np.testing.assert_allclose(rays[1, 4] / rays[1, 4, 2], [0.8, 0, 1], atol=1e-6)


def test_rendered_sphere_has_its_depth() -> None:
    centre, radius = torch.tensor([0.0, 0.0, 15.0]), 4.0

    def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = (points - centre).norm(dim=-1) < radius
        return inside.float() * 1e4, points

    rays = pixel_rays(torch.eye(3) * torch.tensor([4.0, 4.0, 1.0]), 9, 9).view(-1, 3)
    distances = sample_distances(3.0, 80.0, 2048)
    result, feature = render_rays(field, torch.zeros(3), rays, distances)
    assert float(result.distance[40]) == pytest.approx(11.0, rel=2e-3)
    np.testing.assert_allclose(feature[40], [0, 0, 11.0], rtol=2e-3, atol=1e-4)
