# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Parity of the network with the published one, on weights made from a recipe."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pytest
import torch
from conditioning import (
    TOLERANCE,
    ExactField,
    Rounding,
    Values,
    spread,
    undecided,
)
from golden_arrays import agree, close
from golden_weights import load_case, model_of
from torch.nn import functional

from scenedino_ros.core.model_config import PREDICTION_MODES
from scenedino_ros.network.field import Projection, project, sample_map
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import composite, pixel_rays, render_rays, sample_distances

pytestmark = pytest.mark.parity

ON_BORDER = 3  # the kind of point that was put on the borders of the view
CLEAR_MARGIN = 1e-3  # of the best class over the second, from which labels have to agree


@dataclass
class PointCase:
    """One golden case and what our network makes of it, computed once.

    Attributes:
        arrays: The golden file.
        model: The network.
        taps: Of the encoder.
        feature_map: Of the decoder.
        K: (B, 3, 3) normalised intrinsics.
        T_world_cam: (B, 4, 4) camera poses.
        seen: Where the points fall in the image.
        ours: What the network makes of the points.
    """

    arrays: dict[str, np.ndarray]
    model: SceneDino
    taps: list[torch.Tensor]
    feature_map: torch.Tensor
    K: torch.Tensor
    T_world_cam: torch.Tensor
    seen: Projection
    ours: Values

    @cached_property
    def spread(self) -> Values:
        """How far rounding of the points' positions moves each value of `ours`."""
        exact = ExactField(self.model, self.feature_map, self.K, self.T_world_cam)
        heads = copy.deepcopy(self.model).double()
        points = torch.from_numpy(self.arrays["points"])
        return spread(lambda rounding: described(heads, exact(points, rounding)))


@torch.inference_mode()
def run_case(arrays: dict[str, np.ndarray], model: SceneDino, device: str = "cpu") -> PointCase:
    """Run a network on the inputs of a golden case; what it returns is on the CPU."""
    image = torch.from_numpy(arrays["image_u8"]).float() / 255 * 2 - 1
    K = torch.from_numpy(arrays["K"][:, 0])
    T_world_cam = torch.from_numpy(arrays["pose_c2w"][:, 0])
    T_cam_world = torch.linalg.inv(T_world_cam)
    points = torch.from_numpy(arrays["points"])
    points_cam = points @ T_cam_world[:, :3, :3].transpose(1, 2) + T_cam_world[:, None, :3, 3]
    run, there, K_there = copy.deepcopy(model).to(device), points_cam.to(device), K.to(device)
    # Else a GPU rounds the factors of convolutions to ten bits.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        taps = run.encoder(image.to(device))
        feature_map = run.decoder(taps)
        seen = project(there, K_there)
        density, feature, _ = run.query(feature_map, there, K_there)
        field = {
            "sampled": sample_map(feature_map, seen.uv_norm),
            "code": run.code(seen.uv_norm, seen.depth),
            "density": density,
            "feature": feature,
        }
        ours = {name: value.cpu() for name, value in described(run, field).items()}
    seen = Projection(seen.uv_norm.cpu(), seen.depth.cpu(), seen.visible.cpu())
    taps = [tap.cpu() for tap in taps]
    return PointCase(arrays, model, taps, feature_map.cpu(), K, T_world_cam, seen, ours)


def described(model: SceneDino, field: Values) -> Values:
    """Return what a golden file holds of points, given the field there."""
    full = model.expansion(field["feature"])
    heads = model.semantics
    unit = functional.normalize(full, dim=-1, eps=1e-10)
    code = heads.stego_head(unit)
    return {
        "sampled_feat": field["sampled"][:, ::8, ::16],
        "pos_code": field["code"][:, ::4],
        "sigma": field["density"],
        "feature": field["feature"],
        "feat64": field["feature"][:, ::4],
        "feat_full": full[:, ::8, ::12],
        "stego_code": code[:, ::4],
        "stego_kmeans": heads.stego_cluster_head(code),
        "stego_linear": heads.stego_linear_head(code),
        "direct_kmeans": heads.direct_cluster_head(unit),
        "direct_linear": heads.direct_linear_head(unit),
    }


@pytest.fixture(scope="module")
def point_case(request: pytest.FixtureRequest) -> PointCase:
    """Run the network on one golden case."""
    arrays = load_case(request.param)
    return run_case(arrays, model_of(arrays), request.config.getoption("--device"))


def check_encoder_taps(case: PointCase) -> None:
    step = case.taps[0].shape[1] // 8
    for i, tap in enumerate(case.taps):
        golden = case.arrays[f"enc_feat_{i}"]
        agree(tap[:, ::step] / np.abs(golden).max(), golden / np.abs(golden).max())


def check_decoder_map_and_its_borders(case: PointCase) -> None:
    arrays, feature_map = case.arrays, case.feature_map
    scale = float(arrays["dec_stats"][2])
    s0, s1, s2 = arrays["dec_step"]
    assert tuple(feature_map.shape) == tuple(arrays["dec_shape"])
    agree(feature_map[:, ::s0, ::s1, ::s2] / scale, arrays["dec_feat"] / scale)
    agree(feature_map[:, ::64, 0, ::4] / scale, arrays["dec_top"] / scale)
    agree(feature_map[:, ::64, -1, ::4] / scale, arrays["dec_bottom"] / scale)
    agree(feature_map[:, ::64, ::4, 0] / scale, arrays["dec_left"] / scale)
    agree(feature_map[:, ::64, ::4, -1] / scale, arrays["dec_right"] / scale)


def check_field_of_view(case: PointCase) -> None:
    points = torch.from_numpy(case.arrays["points"])
    decided = ~undecided(points, case.K, case.T_world_cam).numpy()
    ordinary = case.arrays["point_kind"] != ON_BORDER
    assert decided[ordinary].mean() > 0.99
    np.testing.assert_array_equal(
        ~case.seen.visible.numpy()[decided], case.arrays["invalid"][decided]
    )


def check_values(case: PointCase, names: tuple[str, ...]) -> None:
    """Compare values of points."""
    for name in names:
        agree(case.ours[name], case.arrays[name], case.spread[name])


def check_classes(case: PointCase, mode: str) -> None:
    with torch.inference_mode():
        label, scores = case.model.classify(case.ours["feature"], mode)
    agree(scores[:, ::16], case.arrays[f"scores_{mode}"], case.spread[mode][:, ::16])
    same_where_clear(
        label, case.arrays[f"seg_{mode}"], case.arrays[f"margin_{mode}"], case.spread[mode]
    )


def same_where_clear(
    label: torch.Tensor, golden: np.ndarray, margin: np.ndarray, spread: torch.Tensor
) -> None:
    """Compare classes where rounding cannot make up for the margin of the best class."""
    clear = margin > CLEAR_MARGIN + 2 * spread.amax(-1).numpy()
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(label.numpy()[clear], golden[clear])


def check_ray_directions(case: PointCase) -> None:
    arrays, image = case.arrays, case.arrays["image_u8"]
    height, width = image.shape[-2:]
    rows, columns = arrays["ray_pixel"].T
    for b, golden in enumerate(arrays["rays"]):
        rays = pixel_rays(case.K[b], height, width)[rows, columns]
        agree(rays @ case.T_world_cam[b, :3, :3].T, golden[:, 3:6], tolerance=1e-5)


@torch.inference_mode()
def rendered(case: PointCase, distances: torch.Tensor, opaque_end: bool = False):
    """Render the golden rays with our own code, and say how far rounding moves the result.

    Args:
        case: The case.
        distances: (B, R, S) of the samples, metres.
        opaque_end: See `composite`.
    """
    rays = torch.from_numpy(case.arrays["rays"])
    results = []
    for b, golden in enumerate(rays):
        T = torch.linalg.inv(case.T_world_cam[b])

        def field(points, b=b, T=T):
            density, feature, _ = case.model.query(
                case.feature_map[b : b + 1],
                (points @ T[:3, :3].T + T[:3, 3])[None],
                case.K[b : b + 1],
            )
            return density[0], feature[0]

        results.append(
            render_rays(field, golden[:, :3], golden[:, 3:6], distances[b], opaque_end=opaque_end)
        )
    shown = {
        name: torch.stack([getattr(result, name) for result, _ in results])
        for name in ("weights", "alpha", "distance")
    }
    shown["feature"] = torch.stack([feature for _, feature in results])
    exact = ExactField(case.model, case.feature_map, case.K, case.T_world_cam)
    heads = copy.deepcopy(case.model).double()
    along = rays[:, :, None, :3] + rays[:, :, None, 3:6] * distances.unsqueeze(-1)

    def evaluate(rounding: Rounding) -> Values:
        field = exact(along.flatten(1, 2), rounding)
        density = field["density"].view(distances.shape)
        result = composite(density, distances.double(), opaque_end=opaque_end)
        feature = result.blend(field["feature"].view(*distances.shape, -1))
        return composited(heads, vars(result) | {"feature": feature})

    return composited(case.model, shown), spread(evaluate)


def composited(model: SceneDino, shown: Values) -> Values:
    """Return what a golden file holds of rays, given what they show."""
    full = model.expansion(shown["feature"])
    return {
        "weights": shown["weights"],
        "alphas": shown["alpha"],
        "depth": shown["distance"],
        "feat64": shown["feature"],
        "feat_full": full[..., ::12],
        **{mode: model.semantics.scores(full, mode) for mode in PREDICTION_MODES},
    }


def check_rays(
    case: PointCase, kind: str, names: tuple[str, ...], *, opaque_end: bool = False
) -> tuple[Values, Values]:
    """Compare what rays show; return it, and how far rounding moves it."""
    distances = torch.from_numpy(case.arrays[f"render_{kind}_z"])
    ours, widest = rendered(case, distances, opaque_end)
    for name in names:
        atol = 0.0 if name == "depth" else TOLERANCE  # of distances, relative to each
        close(ours[name], case.arrays[f"render_{kind}_{name}"], TOLERANCE, atol, widest[name])
    return ours, widest


def check_rendering_between_sample_bounds(case: PointCase) -> None:
    arrays = case.arrays
    meta = json.loads(str(arrays["meta"]))
    distances = sample_distances(meta["z_near"], meta["z_far"], meta["n_coarse"])
    agree(distances.expand(arrays["render_mid_z"].shape), arrays["render_mid_z"])
    names = ("weights", "alphas", "depth", "feat64", "feat_full")
    ours, widest = check_rays(case, "mid", names)
    for mode in PREDICTION_MODES:
        label = case.model.semantics.labels(ours[mode], mode)
        golden, margin = arrays[f"render_mid_seg_{mode}"], arrays[f"render_mid_margin_{mode}"]
        same_where_clear(label, golden, margin, widest[mode])


def check_rendering_with_an_opaque_end(case: PointCase) -> None:
    check_rays(case, "midcap", ("depth",), opaque_end=True)


def check_rendering_jittered_samples(case: PointCase) -> None:
    check_rays(case, "jit", ("weights", "depth"))


CHECKS: dict[str, Callable[[PointCase], None]] = {
    "encoder": check_encoder_taps,
    "decoder": check_decoder_map_and_its_borders,
    "field of view": check_field_of_view,
    "lookup and code": partial(check_values, names=("sampled_feat", "pos_code")),
    "density and feature": partial(check_values, names=("sigma", "feat64")),
    "expansion and code": partial(check_values, names=("feat_full", "stego_code")),
    **{mode: partial(check_classes, mode=mode) for mode in PREDICTION_MODES},
    "ray directions": check_ray_directions,
    "rays": check_rendering_between_sample_bounds,
    "rays with an opaque end": check_rendering_with_an_opaque_end,
    "jittered rays": check_rendering_jittered_samples,
}


@pytest.mark.parametrize("check", CHECKS)
def test_network(point_case: PointCase, check: str) -> None:
    CHECKS[check](point_case)


def test_composite_of_nothing_is_nothing() -> None:
    distances = sample_distances(3.0, 80.0, 8)
    assert composite(torch.zeros(8), distances).weights.sum() == 0
