# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What runs on a GPU, held without one: no tensor is left on another device."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from absent_gpu import DEVICE, absent_gpu, backward
from models import TINY, lively_checkpoint, noise_image, street_camera
from small_fields import MODEL, NEARBY, PUBLISHED, WIDE, Tokens, batch_of, with_store, write_drives

from scenedino_ros.checkpoints.checkpoint import build_model
from scenedino_ros.core.memory import MIB
from scenedino_ros.core.model_config import PREDICTION_MODES
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.device import chunk_bytes
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.inference.warm_up import warm_up
from train.field.batches import chosen_batches
from train.field.data import FieldData
from train.field.learning_rates import learning_groups
from train.field.model import FieldTraining
from train.field.reference_step import ReferenceTraining
from train.field.resident import ResidentBatch, ResidentFrames
from train.field.resident_step import ResidentTraining
from train.runs.settings import RunSettings
from train.semantics.data import ImageBatch, SemanticsData
from train.semantics.frozen_field import FrozenField
from train.semantics.model import SemanticTraining, head_config, without_head
from train.semantics.model import learning_groups as semantic_groups
from train.semantics.settings import (
    CropSettings,
    HeadSettings,
    ImageSettings,
    SemanticsSettings,
)
from train.semantics.step_features import gather_rows, render_features

GRID = VoxelGrid((-3.0, -1.0, 0.0), (10, 5, 12), 0.5)
PRECISIONS = ("float32", "bfloat16")
CHECKPOINT = lively_checkpoint()  # made where tensors have values: others use the same one
# How Fabric calls the model of a run in each precision.
MIXED = {"float32": False, "bf16-mixed": True}


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_drives(tmp_path_factory.mktemp("drives"))


def predictor_on(gpu, precision: str, mode: str) -> Predictor:
    checkpoint = gpu.checkpoint(CHECKPOINT)
    return Predictor(checkpoint, device="cuda", precision=precision, mode=mode)


@pytest.mark.parametrize("mode", PREDICTION_MODES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_voxels_and_views(precision, mode):
    with absent_gpu() as gpu:
        predictor = predictor_on(gpu, precision, mode)
        encoded = predictor.encode(noise_image(), street_camera())
        assert encoded.rows.device == DEVICE
        assert encoded.rows.dtype == getattr(torch, precision)
        voxels = predictor.voxels(encoded, GRID)
        assert len(voxels.label) > 0
        view = predictor.render(encoded, n_samples=4, semantic=True, features=True, jitter_seed=1)
        assert view.depth.shape == view.label.shape == view.colors.shape[:2] == (16, 40)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_other_queries(precision):
    with absent_gpu() as gpu:
        predictor = predictor_on(gpu, precision, "stego_kmeans")
        warm_up(predictor)
        encoded = predictor.encode(noise_image(), street_camera())
        for query in (VoxelQuery(grow=True), VoxelQuery(grow=True, out_of_view=True)):
            assert len(predictor.voxels(encoded, GRID, query=query).label) > 0
        assert predictor.densities(encoded, GRID).shape == GRID.shape
        density, label = predictor.at_points(encoded, np.ones((7, 3), np.float32))
        assert density.shape == label.shape == (7,)
        view = predictor.render(encoded, n_samples=4)
        assert view.depth.shape == (16, 40)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_plain_network(precision):
    with absent_gpu() as gpu, torch.inference_mode():
        network = build_model(gpu.checkpoint(CHECKPOINT)).to(DEVICE)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
            feature_map = network.encode(torch.zeros(1, 3, *TINY.image_size, device=DEVICE))
            points = torch.zeros(1, 9, 3, device=DEVICE)
            K_norm = torch.zeros(1, 3, 3, device=DEVICE)
            density, feature, visible = network.query(feature_map.float(), points, K_norm)
            labels = [network.classify(feature, mode)[0] for mode in PREDICTION_MODES]
        assert feature_map.dtype == getattr(torch, precision)
        assert {found.device for found in (density, visible, *labels)} == {DEVICE}


@pytest.mark.parametrize(
    ("training", "settings", "model", "drive", "precision"),
    [
        (FieldTraining, PUBLISHED, WIDE, "long", "float32"),
        (FieldTraining, PUBLISHED, WIDE, "long", "bf16-mixed"),
        (ReferenceTraining, PUBLISHED, MODEL, "long", "float32"),
        (ReferenceTraining, PUBLISHED, MODEL, "long", "bf16-mixed"),
        (FieldTraining, NEARBY, MODEL, "short", "bf16-mixed"),
    ],
)
def test_a_step_of_stage_1(training, settings, model, drive, precision, drives):
    settings = with_store(
        replace(settings, model=model, run=replace(settings.run, precision=precision)),
        drives[drive],
    )
    batch = batch_of(settings, 0)
    with absent_gpu():
        module = training(settings, Tokens()).to(DEVICE)
        optimizer = torch.optim.Adam(learning_groups(module))
        batch = batch.staged(DEVICE).to(DEVICE)
        with torch.autocast("cuda", torch.bfloat16, enabled=MIXED[precision]):
            losses = module(batch)
        backward(losses["total"])
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        assert {value.device for value in (norm, *losses.values())} == {DEVICE}
        learned = [p for group in optimizer.param_groups for p in group["params"]]
        assert all(p.grad.device == p.device == DEVICE for p in learned)


@pytest.mark.parametrize("precision", ["float32", "bf16-mixed"])
def test_a_step_of_stage_1_with_resident_images(precision, drives):
    settings = with_store(NEARBY, drives["short"])
    settings = replace(
        settings,
        run=replace(settings.run, precision=precision),
        data=replace(settings.data, resident=True, crops=3),
        mirror=True,
    )
    data = FieldData(settings, settings.data.stores, None)
    with absent_gpu():
        module = ResidentTraining(settings, None).to(DEVICE)
        frames = ResidentFrames(data, module.network.encoder, DEVICE)
    views = chosen_batches(data, frames, range(3))[0]
    with absent_gpu():
        batch = ResidentBatch(frames, views.to(DEVICE), 0, None)  # a generator needs the GPU
        with torch.autocast("cuda", torch.bfloat16, enabled=MIXED[precision]):
            losses = module(batch)
        backward(losses["total"])
        assert {value.device for value in losses.values()} == {DEVICE}
        learned = learning_groups(module)[0]["params"]
        assert all(p.grad.device == p.device == DEVICE for p in learned)


@pytest.mark.parametrize("precision", MIXED)
def test_a_step_of_stage_2(precision, drives):
    settings = SemanticsSettings(
        run=RunSettings(batch_size=2, precision=precision),
        data=ImageSettings(stores=(str(drives["short"]),), cameras=("camera_00",)),
        crops=CropSettings(points=8, memory=16, samples=8),
        head=HeadSettings(code_dim=12, pixels=64),
    )
    stage1 = without_head(CHECKPOINT)
    config = head_config(stage1.config, settings)
    data = SemanticsData(settings, config)
    batch = ImageBatch([data.item(0, place) for place in range(2)])
    fabric = SimpleNamespace(
        world_size=1, global_rank=0, device=DEVICE, all_reduce=lambda tensor, **_: tensor
    )
    with absent_gpu() as gpu:
        network = build_model(gpu.checkpoint(stage1)).to(DEVICE)
        field = FrozenField(network, settings.data.cache_mb)
        training = SemanticTraining(settings, config).to(DEVICE)
        optimizer = torch.optim.Adam(semantic_groups(training, settings))
        items = batch.staged(DEVICE).to(DEVICE).items
        seen = render_features(field, network.expansion, items, settings, fabric)
        assert len(seen.crops) > 0
        crops = training.compared(seen.crops)
        training.remember(gather_rows(fabric, crops, seen.crops.order))
        with torch.autocast("cuda", torch.bfloat16, enabled=MIXED[precision]):
            losses = training(seen)
        assert {"self", "neighbour", "random", "code_clusters", "code_probe"} <= set(losses)
        backward(losses["total"])
        optimizer.step()
        assert {value.device for value in losses.values()} == {DEVICE}


def test_nothing_of_the_first_pass_is_kept():
    with absent_gpu() as gpu:
        predictor = predictor_on(gpu, "float32", "stego_kmeans")
        warm_up(predictor)
        assert not predictor._queries._views
        assert not predictor._renderer._rays


def test_a_chunk_fits_the_device():
    with absent_gpu():
        assert chunk_bytes(0, DEVICE) == 8192 * MIB // 16
        assert chunk_bytes(64, DEVICE) == 64 * MIB
    assert chunk_bytes(0, torch.device("cpu")) == 128 * MIB


def test_a_tensor_that_is_left_on_the_cpu_is_found():
    with absent_gpu() as gpu:
        predictor = predictor_on(gpu, "float32", "stego_kmeans")
        encoded = predictor.encode(noise_image(), street_camera())
        network = predictor._engine.network
        network.code_weight = network.code_weight.cpu()
        with pytest.raises(RuntimeError, match=r"device.*cuda:0.*cpu|device.*cpu.*cuda:0"):
            predictor.voxels(encoded, GRID)
        with pytest.raises(TypeError, match="on cuda:0 cannot become a numpy array"):
            encoded.rows.numpy()


def test_a_gradient_on_the_cpu_is_found():
    class Wanders(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient.cpu()

    with absent_gpu():
        values = torch.ones(3, device=DEVICE, requires_grad=True)
        with pytest.raises(RuntimeError, match="is on cuda:0, got cpu"):
            backward(Wanders.apply(values).sum())


def test_gradients_by_hand_are_those_of_the_engine(drives):
    settings = with_store(replace(PUBLISHED, model=WIDE), drives["long"])
    torch.manual_seed(0)
    training = FieldTraining(settings, Tokens())
    batch = batch_of(settings, 0)
    backward(training(batch)["total"])
    by_hand = {name: p.grad for name, p in training.named_parameters()}
    training.zero_grad()
    training(batch)["total"].backward()
    for name, parameter in training.named_parameters():
        error = (by_hand[name] - parameter.grad).norm()
        assert float(error) <= 1e-4 * float(parameter.grad.norm()) + 1e-9, name
