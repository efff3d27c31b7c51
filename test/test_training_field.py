# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A step of stage 1: training against reference step, gradients, precision, validation."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from golden_arrays import relative_error
from lightning_fabric import Fabric
from small_fields import (
    COARSE_WIDE,
    MODEL,
    NEARBY,
    PUBLISHED,
    WIDE,
    Tokens,
    batch_of,
    with_store,
    write_drives,
)

import train.field.step
from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.core.errors import InputError
from train.field.data import FieldData
from train.field.encoded_view import DepthErrors, render_encoded
from train.field.learning_rates import learning_groups
from train.field.losses import feature_loss, mean_photometric_loss, metre_opacity
from train.field.model import FieldTraining
from train.field.pictures import field_pictures
from train.field.reference_step import ReferenceTraining
from train.field.step import is_wide
from train.field.views import Views
from train.runs.launch import launch
from train.runs.settings import RunSettings
from train.train_field import validate

STRAIGHT, FLIPPED = 3, 1  # steps whose encoder sees its images as they are, and mirrored


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_drives(tmp_path_factory.mktemp("drives"))


@pytest.fixture(scope="module")
def published(drives: dict[str, Path]) -> FieldTraining:
    """Return a small step of the published configuration, on the long drive."""
    torch.manual_seed(0)
    return FieldTraining(with_store(PUBLISHED, drives["long"]), Tokens())


@pytest.mark.parity
@pytest.mark.parametrize(
    "model",
    [MODEL, WIDE, COARSE_WIDE, replace(MODEL, canonical_focal=48.0)],
    ids=["narrow", "wide", "wide, coarse", "canonical"],
)
@pytest.mark.parametrize("kind", ["published", "published flipped", "nearby", "fitted"])
def test_the_step_equals_the_reference_step(kind: str, model, drives: dict[str, Path]) -> None:
    settings, drive = (PUBLISHED, "long") if "published" in kind else (NEARBY, "short")
    if kind == "fitted":
        settings = replace(settings, losses=replace(settings.losses, feature_shapes=False))
    settings = with_store(replace(settings, model=model), drives[drive])
    torch.manual_seed(0)
    reference = ReferenceTraining(settings, Tokens())
    training = FieldTraining(settings, Tokens())
    assert is_wide(training.network) == (model.decoder_width == WIDE.decoder_width)
    training.load_state_dict(reference.state_dict())
    batch = batch_of(settings, FLIPPED if kind == "published flipped" else STRAIGHT)
    assert all(bool(item.flipped) == (kind == "published flipped") for item in batch.items)
    losses, got = reference(batch), training(batch)
    assert set(losses) == set(got)
    for name, value in losses.items():
        assert float(got[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4), name
    losses["total"].backward()
    got["total"].backward()
    gradients = {name: p.grad for name, p in reference.named_parameters()}
    learned = 0
    for name, parameter in training.named_parameters():
        if gradients[name] is None:
            assert parameter.grad is None, name
            continue
        learned += 1
        # Rounding turns a few activations on or off, which shows where gradients are tiny.
        expected = gradients[name]
        assert float((parameter.grad - expected).norm()) < 5e-3 * expected.norm() + 1e-7, name
    assert learned > 40


def test_fitted_features_leave_densities_alone(drives: dict[str, Path]) -> None:
    settings = with_store(NEARBY, drives["short"])
    moved = []
    for feature_shapes in (True, False):
        losses = replace(settings.losses, feature_shapes=feature_shapes)
        torch.manual_seed(0)
        training = FieldTraining(replace(settings, losses=losses), Tokens())
        training(batch_of(training.settings, STRAIGHT))["feature"].backward()
        rows = training.network.field.lin_out.weight.grad.abs().amax(dim=1)
        assert rows[1:].max() > 0
        moved.append(bool(rows[0] > 0))  # the first row gives the density
    assert moved == [True, False]


def test_everything_that_learns_gets_a_gradient(published: FieldTraining) -> None:
    published.zero_grad()
    published(batch_of(published.settings, FLIPPED))["total"].backward()
    for name, parameter in published.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    moved = {name for name, p in published.named_parameters() if p.grad.abs().max() > 0}
    assert {"artifact", "downsampler.patch_weight", "network.field.lin_in.weight"} <= moved
    assert "network.encoder.vit.patch_embed.proj.weight" in moved
    others, encoder = learning_groups(published)
    assert (others["lr"], encoder["lr"]) == (1e-4, 1e-5)
    assert len(encoder["params"]) == len(list(published.network.encoder.parameters()))
    assert len(others["params"]) + len(encoder["params"]) == len(list(published.parameters()))


def test_a_frozen_encoder_does_not_learn(drives: dict[str, Path]) -> None:
    training = FieldTraining(with_store(NEARBY, drives["short"]), Tokens())
    training(batch_of(training.settings, STRAIGHT))["total"].backward()
    (group,) = learning_groups(training)
    assert group["lr"] == 1e-4
    assert all(p.grad is not None for p in group["params"])
    assert all(p.grad is None for p in training.network.encoder.parameters())


def test_bfloat16_leaves_cameras_and_rays_in_float32(
    published: FieldTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    projected: dict[str, list[torch.Tensor]] = {"float32": [], "bf16-mixed": []}
    batch = batch_of(published.settings, FLIPPED)
    project_world = train.field.step.project_world
    rendered = {}
    for precision, seen in projected.items():
        settings = replace(published.settings, run=RunSettings(precision=precision))
        monkeypatch.setattr(published, "settings", settings)

        def watched(*cameras: torch.Tensor, seen: list[torch.Tensor] = seen) -> object:
            found = project_world(*cameras)
            seen.extend([found.uv_norm, found.depth])
            return found

        monkeypatch.setattr(train.field.step, "project_world", watched)
        rendered[precision] = published.render(batch.items).rendered
        # Around everything, as Fabric does it.
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
            losses = published(batch)
        assert all(value.dtype == torch.float32 for value in losses.values())
    assert len(projected["float32"]) == len(projected["bf16-mixed"]) > 0
    for exact, mixed in zip(*projected.values(), strict=True):
        assert mixed.dtype == torch.float32
        assert torch.equal(exact, mixed)
    exact, mixed = rendered.values()
    for name in ("distance", "weights", "colors", "unseen"):
        assert getattr(mixed, name).dtype == torch.float32
    assert not torch.equal(exact.distance, mixed.distance)  # the network did compute otherwise
    assert relative_error(mixed.distance, exact.distance) < 0.05


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with torch.random.fork_rng(devices=[]):
        yield launch(RunSettings(device="cpu"))


def test_validation_is_the_same_every_time(published: FieldTraining, fabric: Fabric) -> None:
    settings = published.settings
    settings = replace(settings, data=replace(settings.data, validation_items=2))
    data = FieldData(settings, settings.data.stores, None)
    for place in range(20):
        item = data.item(0, place, validation=True)
        assert item.shift == (0, 0)
        assert not item.flipped
    scores = validate(published, data, settings, fabric)
    assert scores == validate(published, data, settings, fabric)
    assert published.training
    assert set(scores) == {
        "total",
        "photometric",
        "feature",
        "depth_roughness",
        "feature_roughness",
    }


def test_feature_loss_without_any_target_is_zero_and_learns_nothing() -> None:
    prediction = torch.randn(3, 8, requires_grad=True)
    loss = feature_loss(prediction, torch.full((3, 8), torch.nan))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(prediction.grad, torch.zeros(3, 8))


def test_mean_photometric_loss_leaves_out_what_no_view_holds() -> None:
    target = torch.rand(1, 8, 8, 3)
    rendered = target.unsqueeze(-2).repeat(1, 1, 1, 2, 1)
    rendered[..., 1, :] = 0.5  # the second source shows something else
    unseen = torch.zeros(1, 8, 8, 2)
    both = mean_photometric_loss(rendered, target, unseen)
    unseen[..., 1] = 0.6
    assert float(mean_photometric_loss(rendered, target, unseen)) == pytest.approx(0, abs=1e-6)
    assert float(both) > 0.05
    unseen[:] = 1
    assert float(mean_photometric_loss(rendered, target, unseen)) == 0


def test_how_filled_space_is() -> None:
    density = torch.tensor([[0.0, 0.0], [torch.inf, 1.0]])
    expected = torch.tensor([[0.0, 0.0], [1.0, 1 - 1 / torch.e]])
    torch.testing.assert_close(metre_opacity(density), expected)


def test_saved_model_has_the_scales_in_its_decoder(tmp_path: Path, drives) -> None:
    settings = with_store(NEARBY, drives["short"])
    torch.manual_seed(0)
    training = FieldTraining(settings, None)
    item = FieldData(settings, settings.data.stores, None).item(0, 0)
    save_checkpoint(tmp_path / "field.safetensors", training.checkpoint({"weights": "a test"}))
    model = build_model(load_checkpoint(tmp_path / "field.safetensors"))
    with torch.no_grad():
        ours = model.encode(item.image[None])
        assert relative_error(ours, training.whole_map(item)) < 1e-5
    pictures = field_pictures(training, item)
    assert {name: p.shape for name, p in pictures.items()} == {
        "image": (64, 160, 3),
        "depth": (16, 40, 3),
        "features": (16, 40, 3),
        "colors": (16, 2 * 40, 3),
    }


def test_known_depth_is_compared_with_the_rendered_one(drives) -> None:
    settings = with_store(NEARBY, drives["short"])
    training = FieldTraining(settings, None)
    item = FieldData(settings, settings.data.stores, None).item(0, 0)
    fabric = launch(settings.run)
    errors = DepthErrors()
    errors.add(training, item)  # a drive without depth
    assert errors.means(fabric) == {}
    rendered = render_encoded(training, item, 1).depth
    known = torch.rand(rendered.shape) < 0.5
    errors.add(training, replace(item, depth=torch.where(known, rendered, 0)))
    assert errors.means(fabric)["depth_abs_rel"] == pytest.approx(0, abs=1e-5)
    errors.add(training, replace(item, depth=torch.where(known, rendered / 1.5, 0)))
    expected = {"depth_abs_rel": 0.25, "depth_within_1.25": 0.5}  # means of two images
    means = errors.means(fabric)
    assert {name: means[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert means["depth_rmse"] > 0.1
    shown = field_pictures(training, replace(item, depth=rendered))["depth"]
    assert shown.shape == (16, 80, 3)
    assert abs(shown[:, :40].astype(int) - shown[:, 40:]).max() <= 1


def test_rendered_colors_stand_beside_those_seen(drives) -> None:
    settings = with_store(NEARBY, drives["short"])
    training = FieldTraining(settings, None)
    item = FieldData(settings, settings.data.stores, None).item(0, 0)
    # A view explained by itself, from the encoded camera: each pixel gets its own colour.
    own = Views((item.image[None] + 1) / 2, item.K_norm[None], torch.eye(4)[None])
    item = replace(item, groups=(replace(item.groups[0], targets=own, sources=own),))
    shown = field_pictures(training, item)["colors"].astype(int)
    rendered, seen = shown[:, :40], shown[:, 40:]
    small = torch.nn.functional.avg_pool2d(own.images, 4)[0].permute(1, 2, 0)
    assert abs(seen - (small * 255).numpy()).max() <= 0.51
    assert abs(rendered - seen).max() <= 1
    # A source that looks the other way explains nothing.
    away = replace(own, T_item_cam=torch.diag(torch.tensor([-1.0, 1, -1, 1]))[None])
    item = replace(item, groups=(replace(item.groups[0], sources=away),))
    assert (field_pictures(training, item)["colors"][:, :40] == 0).all()


def test_a_run_starts_from_a_saved_model(tmp_path: Path, drives) -> None:
    settings = with_store(NEARBY, drives["short"])
    torch.manual_seed(0)
    before = FieldTraining(settings, None)
    save_checkpoint(tmp_path / "field.safetensors", before.checkpoint({"weights": "a test"}))
    torch.manual_seed(1)
    after = FieldTraining(settings, None)
    after.start_from(load_checkpoint(tmp_path / "field.safetensors"))
    expected = before.network.state_dict()
    learned = [k for k in expected if not k.startswith("encoder.")]
    assert len(learned) > 20
    for name in learned:
        torch.testing.assert_close(after.network.state_dict()[name], expected[name], msg=name)


def test_a_run_does_not_start_from_another_network(drives) -> None:
    settings = with_store(NEARBY, drives["short"])
    other = FieldTraining(replace(settings, model=replace(MODEL, hidden_dim=96)), None)
    sentence = f"start must have the run's model.hidden_dim, {MODEL.hidden_dim}, got 96"
    with pytest.raises(InputError, match=sentence):
        FieldTraining(settings, None).start_from(other.checkpoint({}))


def test_logarithmic_samples_are_finer_far_away(drives) -> None:
    settings = with_store(NEARBY, drives["short"])
    jitter = torch.full((64,), 0.5)
    near, far = settings.model.depth_range
    inverse, logarithmic = (
        FieldTraining(
            replace(settings, rays=replace(settings.rays, spacing=spacing)), None
        ).distances(jitter)
        for spacing in ("inverse", "logarithmic")
    )
    ratios = logarithmic[1:] / logarithmic[:-1]
    torch.testing.assert_close(ratios, torch.full((63,), (far / near) ** (1 / 64)))
    for distances in (inverse, logarithmic):
        assert near < distances[0] < distances[-1] < far
        assert bool((distances.diff() > 0).all())
    assert int((logarithmic > 20).sum()) > 2 * int((inverse > 20).sum())
