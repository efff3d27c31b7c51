# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Whole training steps of both stages against the published ones, through the code of a run.

The golden arrays become the items of a batch, and `FieldTraining`, `ReferenceTraining` and
`SemanticTraining` make of them what they make of a run's.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from conditioning import DEVIATIONS, DRAWS, UNIT
from golden_arrays import Arrays, close, close_norm, same_winner
from golden_parts import draws_of, expansion, point_field, salience
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

import train.field.sparse_decoder
from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.labels import kitti360_train_ids
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.network.semantics import SemanticHead
from train.field.data import FieldBatch, GroupTensors, ItemTensors
from train.field.model import FieldTraining
from train.field.rays import shift_image
from train.field.reference_step import ReferenceTraining
from train.field.setting_groups import RaySettings
from train.field.settings import FieldSettings
from train.field.step import is_wide
from train.field.views import Views, relative_poses
from train.runs.launch import launch
from train.runs.settings import RunSettings
from train.semantics.distillation import CropMemory, correlate, describe_crops
from train.semantics.model import SemanticTraining
from train.semantics.settings import CropSettings, SemanticsSettings
from train.semantics.step_features import Crops, StepFeatures

pytestmark = pytest.mark.parity

LAST_KITTI_ID = 44
BACKBONES = ("dino_vits8", "dinov2_vits14")


class StoredTokens(nn.Module):
    """Stands for the target backbone: knows the tokens of the golden images alone."""

    def __init__(self, a: Arrays) -> None:
        super().__init__()
        self._a = a

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        shift = tuple(self._a["shift"].tolist())
        images = self._a["images"][:, self._a["ids_loss"]]
        stored = zip(images, self._a["target_features"], strict=True)
        (tokens,) = (t for i, t in stored if torch.equal(2 * shift_image(i, shift) - 1, image))
        return tokens


def field_training(a: Arrays, kind: type[FieldTraining]) -> FieldTraining:
    """Return the published run's step with golden weights behind the decoder."""
    patch = int(a["patch_size"])
    (backbone,) = (name for name in BACKBONES if backbone_spec(name).external_patch == patch)
    hidden, feature = a["param_w_in"].shape[0], a["param_w_out"].shape[0] - 1
    height, width = a["images"].shape[-2:]
    model = ModelConfig(
        backbone=backbone,
        image_size=(height, width),
        decoder_width=a["param_grid"].shape[2],
        hidden_dim=hidden,
        feature_dim=feature,
    )
    settings = FieldSettings(model=model, rays=RaySettings(patch=patch))
    with torch.device("meta"):  # what is not replaced is not there
        training = kind(settings, StoredTokens(a))
    training.network.field = point_field(a, "param_")
    training.network.expansion = expansion(a, "param_")
    training.downsampler = salience(a, "param_ds_")
    training.artifact = nn.Parameter(a["param_artifact_field"])
    return training


def items_of(a: Arrays) -> list[ItemTensors]:
    """Return the golden items as a run's data loader would."""
    patch, loss, source = int(a["patch_size"]), a["ids_loss"], a["ids_source"]
    items = []
    for b, images in enumerate(a["images"]):
        poses = relative_poses(a["poses_c2w"][b].numpy(), a["poses_c2w"][b, 0].numpy())

        def views(ids: torch.Tensor, b: int = b, poses: torch.Tensor = poses) -> Views:
            return Views(a["images"][b, ids], a["Ks"][b, ids], poses[ids])

        draws = draws_of(a["drawn_v_row_col"][b])
        jitter = a["jitter_u"][b].unflatten(0, (-1, patch, patch))
        group = GroupTensors(
            views(loss), views(source), draws, jitter, a["target_features"][b], torch.zeros(0)
        )
        items.append(
            ItemTensors(
                image=2 * images[0] - 1,
                K_norm=a["Ks"][b, 0],
                taps=torch.zeros(0),
                shift=tuple(a["shift"].tolist()),
                flipped=torch.tensor(False),
                groups=(group,),
                depth=torch.zeros(0),
            )
        )
    return items


class UnchangedEnd(nn.Module):
    """The end of a wide decoder, which changes nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, self.project, last = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        for convolution in (first, self.project, last):
            nn.init.dirac_(convolution.weight)
            nn.init.zeros_(convolution.bias)
        self.output_head = nn.Module()
        self.output_head.head_modules = nn.ModuleList([first, nn.Identity(), last])


@pytest.fixture(params=["reference", "training, narrow", "training, wide"])
def step(
    golden, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Arrays, FieldTraining, torch.Tensor]:
    """Return golden arrays, a run's step, and the leaf that stands for the decoder's maps."""
    a = golden("mini_step")
    training = field_training(
        a, ReferenceTraining if request.param == "reference" else FieldTraining
    )
    grid = a["param_grid"].squeeze(1).requires_grad_()
    seen = grid
    network, width = training.network, grid.shape[1]
    if request.param == "training, narrow":
        network.config = SimpleNamespace(
            decoder_width=width, hidden_dim=width, classes_in_field=False
        )
    if request.param == "training, wide":
        network.config = SimpleNamespace(
            decoder_width=width, hidden_dim=0, classes_in_field=False, upsample_fusion=True
        )
        network.decoder = UnchangedEnd(width)
        # The stored maps are no doubled ones: reading a half finds the whole it was cut from.
        seen = grid[..., ::2, ::2]

        def doubled(half: torch.Tensor) -> train.field.sparse_decoder.LazyMap:
            (whole,) = (w for w in grid if torch.equal(half, w[:, ::2, ::2]))
            rows = whole.flatten(1).T
            return lambda at: rows[at]

        monkeypatch.setattr(train.field.sparse_decoder, "_doubled", doubled)
    if request.param != "reference":
        assert is_wide(network) == (request.param == "training, wide")
    monkeypatch.setattr(training, "maps", lambda items: seen)
    return a, training, grid


def parameters_of(training: FieldTraining, grid: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what a step learns, by its golden name."""
    field, expanded = training.network.field, training.network.expansion
    return {
        "grid": grid,
        "artifact_field": training.artifact,
        "w_in": field.lin_in.weight,
        "b_in": field.lin_in.bias,
        "w_out": field.lin_out.weight,
        "b_out": field.lin_out.bias,
        "expand_w1": expanded.linear_in.weight,
        "expand_b1": expanded.linear_in.bias,
        "expand_w2": expanded.linear_out.weight,
        "expand_b2": expanded.linear_out.bias,
        "ds_conv_weight": training.downsampler.conv.weight,
        "ds_conv_bias": training.downsampler.conv.bias,
        "ds_patch_weight": training.downsampler.patch_weight,
        "ds_patch_bias": training.downsampler.patch_bias,
    }


@pytest.fixture(scope="module")
def spread(golden) -> dict[str, float]:
    """Return how far rounding may move each gradient, as a norm.

    Sums that all but cancel round by more than their size tells: the bias before a softmax. The
    reference step runs on parameters that differ in their last bits, which rounds everything anew.
    """
    a = golden("mini_step")
    found: dict[str, list[torch.Tensor]] = {}
    generator = torch.Generator().manual_seed(0)
    for _ in range(DRAWS):
        moved = {
            key: value * (1 + UNIT * torch.randn(value.shape, generator=generator))
            if key.startswith("param_")
            else value
            for key, value in a.items()
        }
        training = field_training(moved, ReferenceTraining)
        grid = moved["param_grid"].squeeze(1).detach().requires_grad_()
        training.maps = lambda items, grid=grid: grid
        training(FieldBatch(items_of(moved), phase=0))["total"].backward()
        for key, parameter in parameters_of(training, grid).items():
            found.setdefault(key, []).append(parameter.grad)
    gradients = {key: torch.stack(values) for key, values in found.items()}
    return {
        key: DEVIATIONS * float((g - g.mean(0)).norm()) / (DRAWS - 1) ** 0.5
        for key, g in gradients.items()
    }


def test_stage_1(
    step: tuple[Arrays, FieldTraining, torch.Tensor], spread: dict[str, float]
) -> None:
    a, training, grid = step
    batch = FieldBatch(items_of(a), phase=0)
    with torch.no_grad():
        shown = training.render(batch.items)
    for name, key in (("distance", "depth"), ("weights", "weights"), ("colors", "rgb")):
        close(getattr(shown.rendered, name), a[key].flatten(0, 1))
    close(shown.rendered.feature, a["features_low"].flatten(0, 1).squeeze(3), atol=1e-4)
    assert torch.equal(shown.target, a["dino_gt"].flatten(0, 1))
    assert torch.equal(shown.colors, a["rgb_gt"].flatten(0, 1))
    losses = training(batch)
    golden = {
        "photometric": "loss_rgb",
        "feature": "loss_feature",
        "depth_roughness": "reg_depth_matched",
        "feature_roughness": "reg_feature",
        "total": "total_matched",
    }
    assert set(losses) == set(golden)
    for name, key in golden.items():
        close(losses[name], a[key])
    losses["total"].backward()
    learned = parameters_of(training, grid)
    assert {f"param_{key}" for key in learned} == {key for key in a if key.startswith("param_")}
    for key, parameter in learned.items():
        expected = a[f"grad_{key}"].view_as(parameter)
        close_norm(parameter.grad, expected, rtol=1e-3, name=key, spread=spread[key])


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with torch.random.fork_rng(devices=[]):
        yield launch(RunSettings(device="cpu"))


def semantic_training(a: Arrays) -> SemanticTraining:
    """Return a run's step of stage 2 with the golden head and an empty memory."""
    first = a["s0_surface_features"]
    code_dim, width = a["sd_stego_cluster_head.cluster_centers"].shape[1], first.shape[-1]
    clusters = len(a["sd_direct_cluster_head.pseudo_assignment"])
    classes = len(a["sd_direct_linear_head.linear.bias"])
    size, points = int(a["buffer_size"]), first.shape[1]
    crops = CropSettings(points=points, memory=size, half=False, neighbours=int(a["knn"]))
    run = RunSettings(batch_size=len(a["s0_rendered_features"]))
    config = ModelConfig(n_clusters=clusters, n_classes=classes)
    with torch.device("meta"):  # head and memory are replaced by narrower ones
        training = SemanticTraining(SemanticsSettings(run=run, crops=crops), config)
    training.head = SemanticHead(width, code_dim, clusters, classes, mlp_probe=False)
    training.head.load_state_dict({k[3:]: v for k, v in a.items() if k.startswith("sd_")})
    training.memory = CropMemory(size, points, width)
    training.mean = torch.zeros(width)
    return training


def observation(s: SimpleNamespace, filled: int, code_dim: int, fabric: Fabric) -> StepFeatures:
    """Return what a run would see, without dropout."""
    unit = functional.normalize(s.surface_features, dim=-1, eps=1e-10)
    n_crops, _, width = unit.shape
    crops = Crops(
        order=torch.arange(n_crops),
        feature=unit,
        feature_keep=torch.ones(n_crops, width),
        code_keep=torch.ones(n_crops, 3, 2, code_dim),
        neighbour=s.knn_pick,
        random=(s.random_pick + 0.5) / filled,  # a run draws a fraction of what is stored
    )
    pixels = functional.normalize(s.rendered_features.flatten(1, -2), dim=-1, eps=1e-10)
    label = torch.full(pixels.shape[:2], -1)
    if hasattr(s, "target"):
        label = s.target.flatten(1)
    return StepFeatures(crops, pixels, torch.ones(len(pixels), 1, width), label, fabric)


def test_stage_2(golden, fabric: Fabric) -> None:
    a = golden("stage2_head")
    training = semantic_training(a)
    head, memory = training.head, training.memory
    code_dim = head.stego_cluster_head.cluster_centers.shape[1]
    steps = sorted({int(key[1 : key.index("_")]) for key in a if key[1].isdigit()})
    for i in steps:
        arrays = {k.split("_", 1)[1]: v for k, v in a.items() if k.startswith(f"s{i}_")}
        s = SimpleNamespace(**arrays)
        seen = observation(s, int(s.buffer_filled), code_dim, fabric)
        training.zero_grad()
        crops = training.compared(seen.crops)
        training.remember(crops)
        assert int(memory.filled) == int(s.buffer_filled)
        losses = training(seen)
        names = {
            "self": "self",
            "neighbour": "knn",
            "random": "random",
            "direct_clusters": "direct_cluster",
            "code_clusters": "stego_cluster",
            "direct_probe": "direct_linear",
            "code_probe": "stego_linear",
            "total": "total",
        }
        if not hasattr(s, "target"):
            del names["direct_probe"], names["code_probe"]
        assert set(losses) == set(names)
        for name, key in names.items():
            close(losses[name], arrays[f"loss_{key}_loss"])
        descriptors = describe_crops(crops)
        nearest = memory.neighbours(descriptors, int(a["knn"]))
        partners = (
            crops,
            memory.crops[nearest.gather(1, s.knn_pick.unsqueeze(1)).squeeze(1)],
            memory.crops[s.random_pick],
        )
        for name, partner in zip(("self", "nn", "random"), partners, strict=True):
            close(correlate(crops, partner), arrays[f"dino_{name}_corr"])
            codes = head.stego_head(crops), head.stego_head(partner)
            close(correlate(*codes), arrays[f"stego_{name}_corr"])
        code = head.stego_head(seen.pixels)
        same_winner(head.direct_cluster_head(seen.pixels), s.direct_cluster_labels)
        same_winner(head.stego_cluster_head(code), s.stego_cluster_labels)
        if hasattr(s, "target"):
            known = s.segs <= LAST_KITTI_ID  # the reference calls unknown ids road
            ours = torch.from_numpy(kitti360_train_ids(s.segs.numpy()))
            assert torch.equal(ours[known], s.target[known])
            assert (ours[~known] == -1).all()
        losses["total"].backward()
        for name, parameter in head.named_parameters():
            expected = arrays.get(f"grad_{name}")
            if expected is not None and expected.any():
                close_norm(parameter.grad, expected, rtol=1e-3, name=name)
            elif expected is not None:
                assert parameter.grad is None or not parameter.grad.any(), name
    close(memory.descriptors, a["final_gap_buffer"])
    close(memory.crops, a["final_patch_buffer"])
