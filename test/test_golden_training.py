# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Parity of the parts of a stage-1 step with the published ones, gradients included.

Random draws are stored in the golden files, so nothing depends on a generator.
"""

import pytest
import torch
from conditioning import UNIT, undecided
from golden_arrays import close
from golden_parts import CODE, draws_of, expansion, point_field, salience

from scenedino_ros.network.render import composite, pixel_rays, sample_distances
from train.field.items import item_views, split_views
from train.field.losses import (
    depth_roughness,
    edge_aware_roughness,
    feature_loss,
    feature_roughness,
    invalid_pixels,
    photometric_error,
    structural_error,
    unseen_weight,
)
from train.field.rays import patch_colors, patch_rays, shift_image
from train.field.step import project_world
from train.field.views import relative_poses

pytestmark = pytest.mark.parity


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
    share = unseen_weight(a["invalid"], a["weights"])
    ours = invalid_pixels(share)
    # A sum of K numbers up to 1 is off by at most K roundings.
    decided = ((share - 0.9).abs() > a["weights"].shape[-1] * UNIT).all(-1)
    assert decided.float().mean() > 0.9
    assert torch.equal(ours[decided], a["weight_guided"].squeeze(-1)[decided])
    assert 0 < ours.float().mean() < 1


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
    images, expected = (a[key].squeeze(4).flatten(0, 1) for key in ("image_in", "image_out"))
    edge = len(module.patch_weight)
    for image, tokens in zip(images, expected, strict=True):  # whole images, cut into patches
        patches = image.unfold(0, edge, edge).unfold(1, edge, edge).permute(0, 1, 3, 4, 2)
        close(module(patches.flatten(0, 1)).view_as(tokens), tokens)


def test_expansion(golden) -> None:
    a = golden("downsampler")
    close(expansion(a)(a["expand_in"]), a["expand_out"])


def test_renderer(golden) -> None:
    a = golden("renderer")
    near, far = a["rays"][0, 0, 6:8].tolist()
    distances = sample_distances(near, far, a["z"].shape[-1], a["jitter_u"])
    close(distances, a["z"], rtol=2e-6, atol=0)
    sigma, colors, features = (a[k].requires_grad_() for k in ("sigma", "colors", "features"))
    # The published renderer rectifies densities, with a slope of 0 at 0. Ours takes no negative
    # ones, and its slope there is that of any other density.
    result = composite(torch.relu(sigma), a["z"], opaque_end=True)
    close(result.alpha, a["alphas"])
    close(result.weights, a["weights"])
    close(result.distance, a["depth"])
    rgb = result.blend(colors.flatten(-2)).unflatten(-1, colors.shape[-2:])
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


@pytest.mark.parametrize("tag", ["none", "pos", "neg", "mixed"])
def test_ray_patches(golden, tag: str) -> None:
    a = golden("rays")
    patch, shift = int(a["patch_size"]), a.get(f"{tag}_shift", torch.zeros(2, dtype=torch.int64))
    size = tuple(a["images"].shape[-2:])
    for item in range(len(a["images"])):
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
    directions = pixel_rays(a["Ks"][0, 0], *a["images"].shape[-2:]) @ a["poses"][0, 0, :3, :3].T
    close(directions, a["full_rays_view0"][0, ..., 3:6], rtol=0, atol=1e-6)


def test_target_shift(golden) -> None:
    a = golden("target_shift")
    for i in range(sum(key.startswith("shift") for key in a)):
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
    for i, index in enumerate(a["datapoint_index"].tolist()):
        views = item_views(
            index,
            bool(a["datapoint_is_right"][i]),
            int(a["fisheye_offset"][i]),
            len(a["frame_numbers"]),
        )
        cameras = [int(view.camera.removeprefix("camera_")) for view in views]
        frames = [view.frame for view in views]
        assert cameras == a["camera"][i].tolist()
        assert a["frame_numbers"][frames].tolist() == a["frame_number"][i].tolist()
        T_world_cam = a["body_to_world"][frames] @ to_body[cameras]
        close(T_world_cam, a["poses_c2w"][i], atol=1e-5)
        T_item_cam = relative_poses(T_world_cam.numpy(), T_world_cam[0].numpy())
        close(T_item_cam, a["poses_rel"][i], atol=1e-4)


def test_point_queries(golden) -> None:
    a = golden("point_query")
    field = point_field(a)
    for b, points in enumerate(a["points"]):
        sources = a["src_K"][b], a["src_w2c"][b]
        seen = project_world(points, a["feat_K"][b], a["feat_w2c"][b])
        found = project_world(points, *sources)
        unclear = undecided(points[None], a["feat_K"][b], torch.linalg.inv(a["feat_w2c"][b]))[0]
        views = len(sources[0])
        unclear_source = undecided(
            points.expand(views, -1, -1), sources[0], torch.linalg.inv(sources[1])
        )
        assert unclear.float().mean() < 0.1
        assert torch.equal(~seen.visible[0, ~unclear], a["feat_invalid"][b, ~unclear, 0])
        invalid = ~(found.visible & seen.visible)
        decided = ~(unclear_source | unclear)
        assert torch.equal(invalid[decided].float(), a["invalid"][b].T[decided])
        stored = a["mlp_input"][b, :, 0]
        image, code = stored.split([stored.shape[-1] - CODE.channels, CODE.channels], dim=-1)
        ours = CODE(seen.uv_norm[0], seen.depth[0])
        in_front = seen.depth[0] > 0.5
        close(ours[in_front], code[in_front], atol=1e-4)
        logit, feature = field(image, code)
        close(torch.nn.functional.softplus(logit), a["sigma"][b, :, 0])
        close(feature, a["features"][b], atol=1e-4)
