"""Parity of the stage-1 training arithmetic with the published one, gradients included.

Random draws are stored in the golden files, so nothing depends on a generator.
"""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from golden_arrays import Arrays, close, relative_error
from torch import nn

import train.sparse_map
from scenedino_ros.core.field import Expansion, PointField, PositionalCode
from scenedino_ros.core.render import composite, pixel_rays, sample_distances
from train.downsampler import PatchSalience
from train.fast_step import render_patches_fast
from train.field_step import (
    EncoderView,
    RenderedPatches,
    SourceViews,
    field_losses,
    project_world,
    render_patches,
)
from train.losses import (
    depth_roughness,
    edge_aware_roughness,
    feature_loss,
    feature_roughness,
    invalid_pixels,
    photometric_error,
    structural_error,
    unseen_share,
)
from train.rays import PatchDraws, patch_colors, patch_rays, shift_image
from train.views import item_views, relative_poses, split_views


def test_photometric_error(golden) -> None:
    a = golden("photometric")
    prediction = a["pred"].requires_grad_()
    close(structural_error(prediction, a["target"]), a["ssim_error"], atol=2e-6)
    error = photometric_error(prediction, a["target"])
    close(error, a["error"], atol=2e-6)
    error.mean().backward()
    close(prediction.grad, a["grad_pred_of_mean"], atol=1e-4)


def test_edge_aware_roughness(golden) -> None:
    a = golden("edge_smoothness")
    for key, tag, temperature in (("depth_like", "t1", 1.0), ("features", "t25", 25.0)):
        values = a[key].requires_grad_()
        error = edge_aware_roughness(values, a["image"], temperature)
        close(error, a[f"error_{tag}"])
        error.mean().backward()
        close(values.grad, a[f"grad_{tag}_of_mean"])


@pytest.mark.parametrize("n", [1, 2])
def test_roughness_pairs_patches_with_their_own_images(golden, n: int) -> None:
    a = golden("smoothness_regularisers")
    image = a[f"n{n}_rgb"].flatten(0, 1)
    depth = a[f"n{n}_depth"].requires_grad_()
    loss = depth_roughness(depth.flatten(0, 1), image)
    close(loss, a[f"n{n}_depth_reg_matched"])
    loss.backward()
    close(depth.grad, a[f"n{n}_grad_depth_matched"])
    feature = a[f"n{n}_features"].flatten(0, 1).squeeze(3)
    close(feature_roughness(feature, image), a[f"n{n}_feature_reg"])


def test_feature_loss(golden) -> None:
    a = golden("feature_cosine")
    prediction = a["pred"].squeeze(2).requires_grad_()
    artifact = a["artifact"].requires_grad_()
    close(feature_loss(prediction, a["target"]), a["mean_temp5"])
    loss = feature_loss(prediction + artifact, a["target"])
    close(loss, a["mean_artifact_temp5"])
    loss.backward()
    close(prediction.grad, a["grad_pred_artifact"].squeeze(2))
    close(artifact.grad, a["grad_artifact"])


def test_invalid_pixels(golden) -> None:
    a = golden("invalid_policy")
    ours = invalid_pixels(unseen_share(a["invalid"], a["weights"]))
    assert torch.equal(ours, a["weight_guided"].squeeze(-1))
    assert 0 < ours.float().mean() < 1


def salience(a: Arrays, prefix: str = "") -> PatchSalience:
    """Build the downsampler with golden weights."""
    module = PatchSalience(a[f"{prefix}conv_weight"].shape[1], len(a[f"{prefix}patch_weight"]))
    with torch.no_grad():
        module.conv.weight.copy_(a[f"{prefix}conv_weight"])
        module.conv.bias.copy_(a[f"{prefix}conv_bias"])
        module.patch_weight.copy_(a[f"{prefix}patch_weight"])
        module.patch_bias.copy_(a[f"{prefix}patch_bias"])
    return module


def test_downsampler(golden) -> None:
    a = golden("downsampler")
    module = salience(a)
    feature = a["patch_in"].requires_grad_()
    out = module(feature.squeeze(4).flatten(0, 1))
    close(out, a["patch_out"].squeeze(2).flatten(0, 1))
    (out * a["probe"].squeeze(2).flatten(0, 1)).sum().backward()
    close(feature.grad, a["grad_in"])
    close(module.conv.weight.grad, a["grad_conv_weight"])
    close(module.patch_weight.grad, a["grad_patch_weight"])
    close(module.patch_bias.grad, a["grad_patch_bias"])
    for view in range(2):
        close(module.tiles(a["image_in"][0, view, :, :, 0]), a["image_out"][0, view, :, :, 0])


def expansion(w1, b1, w2, b2) -> Expansion:
    """Build the expansion with golden weights."""
    module = Expansion(w1.shape[1], w1.shape[0], w2.shape[0])
    state = {
        "linear_in.weight": w1,
        "linear_in.bias": b1,
        "linear_out.weight": w2,
        "linear_out.bias": b2,
    }
    module.load_state_dict(state)
    return module


def test_expansion(golden) -> None:
    a = golden("downsampler")
    module = expansion(a["expand_w1"], a["expand_b1"], a["expand_w2"], a["expand_b2"])
    close(module(a["expand_in"]), a["expand_out"])


def test_renderer(golden) -> None:
    a = golden("renderer")
    distances = sample_distances(3.0, 80.0, 32, a["jitter_u"])
    close(distances, a["z"], rtol=2e-6, atol=0)
    sigma, colors, features = (a[k].requires_grad_() for k in ("sigma", "colors", "features"))
    result = composite(sigma, a["z"], opaque_end=True)
    close(result.alpha, a["alphas"])
    close(result.weights, a["weights"])
    close(result.distance, a["depth"])
    rgb = result.blend(colors.flatten(-2)).unflatten(-1, (4, 3))
    close(rgb, a["rgb"])
    feature = result.blend(features)
    close(feature, a["rendered_features"])
    total = (result.distance * a["probe_depth"]).sum() + (rgb * a["probe_rgb"]).sum()
    (total + (feature * a["probe_features"]).sum()).backward()
    for ours, key in ((sigma, "sigma"), (colors, "colors"), (features, "features")):
        expected = a[f"grad_{key}"]
        close(ours.grad, expected, atol=1e-5 * float(expected.abs().max()))
    assert (sigma.grad[0, 0] == 0).all()


def test_renderer_without_an_opaque_end(golden) -> None:
    a = golden("renderer_variants")
    result = composite(golden("renderer")["sigma"], a["nocap_z"])
    close(result.alpha, a["nocap_alphas"])
    close(result.weights, a["nocap_weights"])
    close(result.distance, a["nocap_depth"])


def draws_of(drawn: torch.Tensor) -> PatchDraws:
    """Return one item's stored draws."""
    return PatchDraws(*drawn.unbind(-1))


@pytest.mark.parametrize("tag", ["none", "pos", "neg", "mixed"])
def test_ray_patches(golden, tag: str) -> None:
    a = golden("rays")
    patch, shift = int(a["patch_size"]), a.get(f"{tag}_shift", torch.zeros(2, dtype=torch.int64))
    size = tuple(a["images"].shape[-2:])
    for item in range(2):
        rays = patch_rays(
            draws_of(a[f"{tag}_drawn_v_row_col"][item]),
            a["Ks"][item],
            a["poses"][item],
            size,
            patch,
            tuple(shift.tolist()),
        )
        expected = a[f"{tag}_rays"][item].view(-1, patch, patch, 11)
        close(rays.origins[:, None, None].expand_as(rays.directions), expected[..., :3])
        close(rays.directions, expected[..., 3:6], rtol=0, atol=1e-6)
        close(rays.uv_norm, expected[..., 9:11], rtol=0, atol=1e-6)
        assert torch.equal(a["image_ids"][rays.view].float(), expected[:, 0, 0, 8])
        colors = patch_colors(a["images"][item], rays)
        assert torch.equal(colors, a[f"{tag}_rgb"][item].view_as(colors))
        token = a["feature_grid"][item][rays.view, :, rays.token[:, 0], rays.token[:, 1]]
        assert torch.equal(token, a[f"{tag}_features"][item])


def test_all_rays_of_a_view(golden) -> None:
    a = golden("rays")
    directions = pixel_rays(a["Ks"][0, 0], 24, 48) @ a["poses"][0, 0, :3, :3].T
    close(directions, a["full_rays_view0"][0, ..., 3:6], rtol=0, atol=1e-6)


def test_target_shift(golden) -> None:
    a = golden("target_shift")
    for i in range(4):
        ours = shift_image(a["image"], tuple(a[f"shift{i}"].tolist()))
        assert torch.equal(ours, a[f"out{i}"])


def test_view_split(golden) -> None:
    a = golden("view_split")
    for draws, loss, source in zip(
        a["draws_0_to_2"], a["loss_views"], a["source_views"], strict=True
    ):
        ours = split_views(draws != 0)
        assert torch.equal(ours[0], loss)
        assert torch.equal(ours[1], source)


def test_training_items(golden) -> None:
    a = golden("training_item")
    to_body = torch.stack([a[f"T_cam0{i}_to_body"] for i in range(4)])
    for i in range(6):
        views = item_views(
            int(a["datapoint_index"][i]),
            bool(a["datapoint_is_right"][i]),
            int(a["fisheye_offset"][i]),
            len(a["frame_numbers"]),
        )
        assert list(views.camera) == a["camera"][i].tolist()
        assert a["frame_numbers"][list(views.index)].tolist() == a["frame_number"][i].tolist()
        T_world_cam = a["body_to_world"][list(views.index)] @ to_body[list(views.camera)]
        close(T_world_cam, a["poses_c2w"][i], atol=1e-5)
        close(relative_poses(T_world_cam), a["poses_rel"][i], atol=1e-4)


def field_of(a: Arrays, prefix: str = "") -> SimpleNamespace:
    """Build positional code and point MLP with golden weights."""
    hidden, inputs = a[f"{prefix}w_in"].shape
    field = PointField(inputs - 39, 39, hidden, len(a[f"{prefix}b_out"]) - 1)
    with torch.no_grad():
        field.lin_in.weight.copy_(a[f"{prefix}w_in"])
        field.lin_in.bias.copy_(a[f"{prefix}b_in"])
        field.lin_out.weight.copy_(a[f"{prefix}w_out"])
        field.lin_out.bias.copy_(a[f"{prefix}b_out"])
    return SimpleNamespace(code=PositionalCode(6, 1.5, (3.0, 80.0)), field=field)


def test_point_queries(golden) -> None:
    a = golden("point_query")
    network = field_of(a)
    for b in range(2):
        seen = project_world(a["points"][b], a["feat_K"][b], a["feat_w2c"][b])
        assert torch.equal(~seen.visible[0], a["feat_invalid"][b, :, 0])
        found = project_world(a["points"][b], a["src_K"][b], a["src_w2c"][b])
        invalid = ~(found.visible & seen.visible)
        assert torch.equal(invalid.T.float(), a["invalid"][b])
        stored = a["mlp_input"][b, :, 0]
        ours = network.code(seen.uv_norm[0], seen.depth[0])
        stable = seen.depth[0] > 0.5
        close(ours[stable], stored[stable][:, -39:], atol=1e-4)
        logit, feature = network.field(stored[:, :-39], stored[:, -39:])
        close(torch.nn.functional.softplus(logit), a["sigma"][b, :, 0])
        close(feature, a["features"][b], atol=1e-4)


def unchanged(width: int) -> nn.Conv2d:
    """Build a 3x3 convolution that changes nothing."""
    convolution = nn.Conv2d(width, width, 3, padding=1)
    nn.init.dirac_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return convolution


@pytest.fixture(params=["plain", "fast, narrow", "fast, wide"])
def render(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Return `render_patches`, or the fast one; a wide decoder's end changes nothing here."""
    if request.param == "plain":
        return render_patches

    def fast(network, encoder, sources, rays, distances) -> RenderedPatches:
        grid = encoder.feature_map
        width = grid.shape[1]
        never = torch.tensor(False)
        if request.param == "fast, narrow":
            network.config = SimpleNamespace(decoder_width=width, hidden_dim=width)
            return render_patches_fast(network, encoder, sources, rays, distances, never)
        network.config = SimpleNamespace(decoder_width=width, hidden_dim=0)
        head = SimpleNamespace(head_modules=[unchanged(width), nn.Identity(), unchanged(width)])
        network.decoder = SimpleNamespace(project=unchanged(width), output_head=head)
        rows = grid[0].flatten(1).T
        # The stored map is no doubled one.
        monkeypatch.setattr(train.sparse_map, "_doubled", lambda half: lambda at: rows[at])
        half = replace(encoder, feature_map=grid[..., ::2, ::2])
        return render_patches_fast(network, half, sources, rays, distances, never)

    return fast


def test_a_whole_step_with_all_gradients(golden, render) -> None:
    a = golden("mini_step")
    network = field_of(a, "param_")
    network.expansion = expansion(*(a[f"param_expand_{k}"] for k in ("w1", "b1", "w2", "b2")))
    downsampler = salience(a, "param_ds_")
    grid = a["param_grid"].requires_grad_()
    artifact_field = a["param_artifact_field"].requires_grad_()
    near_far = network.code.depth_range
    patch, loss_ids, source_ids = int(a["patch_size"]), a["ids_loss"], a["ids_source"]
    patches, colors, targets, artifacts = [], [], [], []
    for b in range(2):
        images, K, T_world_cam = a["images"][b], a["Ks"][b], a["poses_c2w"][b]
        T_cam_world = torch.linalg.inv(T_world_cam)
        rays = patch_rays(
            draws_of(a["drawn_v_row_col"][b]),
            K[loss_ids],
            T_world_cam[loss_ids],
            tuple(images.shape[-2:]),
            patch,
            tuple(a["shift"].tolist()),
        )
        rendered = render(
            network,
            EncoderView(grid[b], K[0], T_cam_world[0]),
            SourceViews(images[source_ids], K[source_ids], T_cam_world[source_ids]),
            rays,
            sample_distances(*near_far, 16, a["jitter_u"][b].view(-1, patch, patch, 16)),
        )
        close(rendered.distance, a["depth"][b], rtol=1e-4)
        close(rendered.weights, a["weights"][b])
        close(rendered.colors, a["rgb"][b])
        close(rendered.feature, a["features_low"][b].squeeze(3), atol=1e-4)
        patches.append(rendered)
        colors.append(patch_colors(images[loss_ids], rays))
        rows, columns = rays.token.unbind(-1)
        targets.append(a["target_features"][b][rays.view, :, rows, columns])
        artifacts.append(artifact_field[:, rows, columns].T)
    assert torch.equal(torch.stack(targets), a["dino_gt"])
    batch = type(patches[0])(
        *(
            torch.cat([getattr(p, name) for p in patches])
            for name in ("distance", "filled", "weights", "colors", "unseen", "feature")
        )
    )
    losses = field_losses(
        batch,
        torch.cat(colors),
        torch.cat(targets),
        torch.cat(artifacts),
        network.expansion,
        downsampler,
    )
    close(losses.photometric, a["loss_rgb"])
    close(losses.feature, a["loss_feature"])
    close(losses.depth_roughness, a["reg_depth_matched"])
    close(losses.feature_roughness, a["reg_feature"])
    close(losses.total, a["total_matched"])
    losses.total.backward()
    gradients = {
        "grid": grid.grad,
        "artifact_field": artifact_field.grad,
        "w_in": network.field.lin_in.weight.grad,
        "b_in": network.field.lin_in.bias.grad,
        "w_out": network.field.lin_out.weight.grad,
        "b_out": network.field.lin_out.bias.grad,
        "expand_w1": network.expansion.linear_in.weight.grad,
        "expand_b1": network.expansion.linear_in.bias.grad,
        "expand_w2": network.expansion.linear_out.weight.grad,
        "expand_b2": network.expansion.linear_out.bias.grad,
        "ds_conv_weight": downsampler.conv.weight.grad,
        "ds_conv_bias": downsampler.conv.bias.grad,
        "ds_patch_weight": downsampler.patch_weight.grad,
        "ds_patch_bias": downsampler.patch_bias.grad,
    }
    for key, ours in gradients.items():
        assert relative_error(ours, a[f"grad_{key}"]) < 1e-3, key
