# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The parity tests are sharp: a network that is broken in one place fails them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import test_golden_model as parity
import torch
from golden_arrays import WORST
from golden_weights import load_case, model_of
from test_golden_model import CHECKS, PointCase, run_case
from torch.nn import functional

import scenedino_ros.network.model
from scenedino_ros.network.field import MIN_DEPTH, Projection, project


@pytest.fixture(scope="module")
def smallest(request: pytest.FixtureRequest) -> PointCase:
    """Return the golden case with the smallest image."""
    folder: Path = request.config.getoption("--golden")
    cases = [load_case(file) for file in sorted(folder.glob("*.npz"))]
    cases = [arrays for arrays in cases if "sigma" in arrays]
    if not cases:
        pytest.skip("the golden folder has no case of points")
    arrays = min(cases, key=lambda arrays: arrays["image_u8"].size)
    return run_case(arrays, model_of(arrays))


@pytest.fixture
def fails(smallest: PointCase) -> Iterator[Callable[[str], bool]]:
    """Return a function that says whether a check fails now, at the tolerances of the intact."""
    shown = dict(WORST)

    def run(check: str) -> bool:
        case = run_case(smallest.arrays, smallest.model)
        case.spread = smallest.spread
        try:
            CHECKS[check](case)
        except AssertionError:
            return True
        return False

    yield run
    assert not run("density and feature")  # what was broken is whole again
    WORST.clear()
    WORST.update(shown)


# A number of one tensor each has its sign changed, and the check that has to see it.
WEIGHTS = {
    "encoder.vit.blocks.0.attn.qkv.weight": "encoder",
    "encoder.vit.blocks.11.mlp.fc2.bias": "encoder",
    "decoder.reassemble_blocks.projects.2.weight": "decoder",
    "field.lin_in.weight": "density and feature",
    "field.lin_out.weight": "density and feature",
    "expansion.linear_out.weight": "expansion and code",
    "semantics.stego_cluster_head.cluster_centers": "stego_kmeans",
    "semantics.direct_linear_head.linear.weight": "direct_linear",
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_one_wrong_number_is_seen(smallest: PointCase, fails, name: str) -> None:
    weight = smallest.model.get_parameter(name).view(-1)
    at = weight.abs().argmax()
    weight[at] *= -1
    try:
        assert fails(WEIGHTS[name])
    finally:
        weight[at] *= -1


@pytest.mark.parametrize(
    ("name", "first", "check"),
    [
        ("encoder.vit.patch_embed.proj.weight", (slice(None), 0), "encoder"),  # red for green
        ("field.lin_out.weight", (1,), "density and feature"),
        ("expansion.linear_out.weight", (0,), "expansion and code"),
        ("semantics.stego_cluster_head.cluster_centers", (0,), "stego_kmeans"),
    ],
)
def test_swapped_channels_are_seen(
    smallest: PointCase, fails, name: str, first: tuple, check: str
) -> None:
    weight = smallest.model.get_parameter(name)
    second = (*first[:-1], first[-1] + 1)

    def swap() -> None:
        weight[first], weight[second] = weight[second].clone(), weight[first].clone()

    swap()
    try:
        assert fails(check)
    finally:
        swap()


def narrow(points_cam: torch.Tensor, K_norm: torch.Tensor) -> Projection:
    """Project, but leave out a hundredth of the image at its borders."""
    found = project(points_cam, K_norm)
    inside = (found.uv_norm.abs() <= 0.99).all(-1)
    return Projection(found.uv_norm, found.depth, found.visible & inside)


def behind(points_cam: torch.Tensor, K_norm: torch.Tensor) -> Projection:
    """Project, but see what is behind the camera."""
    found = project(points_cam, K_norm)
    return Projection(found.uv_norm, found.depth, (found.uv_norm.abs() <= 1).all(-1))


def clamped(points_cam: torch.Tensor, K_norm: torch.Tensor) -> Projection:
    """Project, but clamp to the image instead of twice the image."""
    found = project(points_cam, K_norm)
    return Projection(found.uv_norm.clamp(-1, 1), found.depth, found.visible)


def lookup(padding: str, *, corners: bool) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return another way of looking a map up."""

    def sample(feature_map: torch.Tensor, uv_norm: torch.Tensor) -> torch.Tensor:
        found = functional.grid_sample(
            feature_map, uv_norm.unsqueeze(1), padding_mode=padding, align_corners=corners
        )
        return found.squeeze(2).transpose(1, 2)

    return sample


BORDERS = {
    "narrow": ("project", narrow, "field of view"),
    "behind": ("project", behind, "field of view"),
    "clamped": ("project", clamped, "lookup and code"),
    "zeros": ("sample_map", lookup("zeros", corners=False), "lookup and code"),
    "reflected": ("sample_map", lookup("reflection", corners=False), "lookup and code"),
    "corners": ("sample_map", lookup("border", corners=True), "density and feature"),
}


@pytest.mark.parametrize("rule", BORDERS)
def test_wrong_borders_are_seen(fails, monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    name, wrong, check = BORDERS[rule]
    with monkeypatch.context() as patched:
        for module in (scenedino_ros.network.model, parity):
            patched.setattr(module, name, wrong)
        assert fails(check)


def test_borders_belong_to_the_view() -> None:
    """Where nothing is rounded the rule is exact: the image has its borders, the camera not."""
    below = float(torch.nextafter(torch.tensor(2.0), torch.tensor(0.0)))
    near = float(torch.tensor(MIN_DEPTH))
    points = torch.tensor(
        [[2, 0, 2], [-2, 2, 2], [0, -2, 2], [2, 0, below], [0, 2, below], [0, 0, near]]
    )
    visible = project(points[None], torch.eye(3)[None]).visible[0]
    assert visible.tolist() == [True, True, True, False, False, False]
