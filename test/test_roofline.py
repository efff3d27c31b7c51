# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The roofline: operations as PyTorch counts them, what an engine is asked, and the bounds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import TINY, lively_checkpoint, noise_image, street_camera
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scenedino_ros.benchmark.counting import Asked, CountingEngine, Record
from scenedino_ros.benchmark.peaks import Peaks, measure_peaks
from scenedino_ros.benchmark.roofline import (
    Layers,
    Work,
    class_layers,
    decoder_layers,
    density_layers,
    feature_layers,
    image_precision,
    on_ray_layers,
    ray_layers,
    roofline,
    tail_layers,
    transformer_layers,
    works,
)
from scenedino_ros.checkpoints.checkpoint import build_model, untrained_checkpoint
from scenedino_ros.core.model_config import PREDICTION_MODES, ModelConfig
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.network.folded import FoldedSceneDino
from scenedino_ros.network.folded_head import FoldedHead
from scenedino_ros.network.model import SceneDino

COARSE = replace(TINY, upsample_fusion=False)
# An odd patch grid, a tail that doubles, channels that are clipped, probes with a hidden layer.
OTHER = replace(
    TINY,
    backbone="dino_vits16",
    image_size=(48, 80),
    upsample_tail=True,
    decoder_width=72,
    n_clusters=13,
    mlp_probe=True,
)
PEAKS = Peaks({"float32": 1e9, "bfloat16": 4e9}, 1e6, 1, 1)
MODE = "stego_kmeans"
IMAGE_PARTS = {"encoder", "fuse"}


def addmm_(_: object, a: torch.Size, b: torch.Size, **__: object) -> int:
    return 2 * a[0] * a[1] * b[1]


def mv(a: torch.Size, _: object, **__: object) -> int:
    return 2 * a[0] * a[1]


def counted(run: Callable[..., object], *arguments: torch.Tensor) -> int:
    """Return the operations that PyTorch counts; two of its products it does not know."""
    aten = torch.ops.aten
    mapping = {aten.addmm_: addmm_, aten.mv: mv}
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=mapping) as mode:
        run(*arguments)
    return mode.get_total_flops()


def operations(layers: Layers) -> int:
    return sum(2 * products for _, products in layers)


def weights(layers: Layers) -> int:
    return sum(count for count, _ in layers)


def matrices(module: nn.Module) -> int:
    """Return the number of weights of linear layers and convolutions."""
    named = module.named_parameters()
    return sum(p.numel() for name, p in named if name.endswith("weight") and p.ndim > 1)


# --- operations -------------------------------------------------------------------------------


NARROW = replace(TINY, hidden_dim=16)


@pytest.mark.parametrize(
    "config", [TINY, COARSE, NARROW, OTHER], ids=["tiny", "coarse", "narrow", "other"]
)
def test_operations_are_those_that_pytorch_counts(config: ModelConfig) -> None:
    model = build_model(untrained_checkpoint(config))
    network = FoldedSceneDino(model, MODE)
    check_image_part(config, network, model)
    check_points(config, network)
    feature = torch.zeros(5, config.feature_dim)
    for mode in PREDICTION_MODES:
        head = FoldedHead(model, mode)
        found = class_layers(config, mode, needs_norm=head.needs_norm)
        assert operations(found) * 5 == counted(head.name_classes, feature)
    second = model.semantics.stego_head.nonlinear_path[2]
    second.weight = torch.nn.Parameter(torch.zeros_like(second.weight))
    head = FoldedHead(model, MODE)
    linear = class_layers(config, MODE, head.code_units, head.needs_norm)
    assert operations(linear) * 5 == counted(head.name_classes, feature)


def check_image_part(config: ModelConfig, network: FoldedSceneDino, model: SceneDino) -> None:
    image = torch.zeros(1, 3, *config.image_size)
    encoder, fused = counted(model.encoder, image), counted(network.fuse, image)
    assert operations(transformer_layers(config)) == encoder
    assert operations(decoder_layers(config)) == fused - encoder
    for hidden_map in (network.hidden_map, network.hidden_map_in_strips):
        assert operations(tail_layers(config)) == counted(hidden_map, image) - fused
    decoder = model.decoder
    head, project = matrices(decoder.output_head), matrices(decoder.project)
    assert weights(transformer_layers(config)) == matrices(model.encoder)
    assert weights(decoder_layers(config)) == matrices(decoder) - head - project
    last = matrices(network.tail.last) if network.tail.last is not None else 0
    tail = network.tail.weight.numel() + matrices(network.tail.first) + last + project
    assert weights(tail_layers(config)) == tail


def check_points(config: ModelConfig, network: FoldedSceneDino) -> None:
    count, channels = 5, network.code_weight.shape[0]
    taps = torch.zeros(count, 4, dtype=torch.int32), torch.ones(count, 4)
    where = torch.zeros(6, config.hidden_dim), *taps, torch.zeros(count, channels)
    hidden = torch.zeros(count, config.hidden_dim)
    density = counted(network.hidden, *where) + counted(network.density, hidden)
    assert operations(density_layers(config)) * count == density
    assert operations(feature_layers(config)) * count == counted(network.feature, hidden)
    depth_code = torch.zeros(count, 4, channels // 3)
    on_rays = counted(network.hidden_on_rays, *where, depth_code)
    on_rays += counted(network.density, torch.zeros(count, 4, config.hidden_dim))
    asked = 4 * operations(on_ray_layers(config)) + operations(ray_layers(config))
    assert asked * count == on_rays


# --- what is asked ----------------------------------------------------------------------------


def test_the_engine_counts_what_it_is_asked_and_changes_nothing() -> None:
    engines = []

    def make(*arguments) -> CountingEngine:
        engines.append(CountingEngine(TorchEngine(*arguments)))
        return engines[-1]

    grid = VoxelGrid((-3.0, -2.0, 1.0), (20, 14, 24), 0.3)
    own = Predictor(lively_checkpoint(), device="cpu")
    predictor = Predictor(lively_checkpoint(), device="cpu", make_engine=make)
    (engine,) = engines
    assert predictor.engine == own.engine
    assert engine.network is engine.engine.network  # what the protocol does not name
    records = {stage: Record() for stage in ("encode", "voxels", "render")}
    with engine.counting(records["encode"]):
        encoded = predictor.encode(noise_image(), street_camera())
    with engine.counting(records["voxels"]):
        voxels = predictor.voxels(encoded, grid)
    with engine.counting(records["render"]):
        view = predictor.render(encoded, downscale=4, n_samples=16, semantic=True)
    before = repr(records)
    theirs = own.encode(noise_image(), street_camera())
    np.testing.assert_array_equal(voxels.label, own.voxels(theirs, grid).label)
    np.testing.assert_array_equal(
        view.label, own.render(theirs, downscale=4, n_samples=16, semantic=True).label
    )
    predictor.voxels(encoded, grid)
    assert repr(records) == before  # counted only while it is asked to
    height, width = TINY.image_size
    asked = records["encode"]
    assert set(asked) == {"hidden_map", "stage"} | IMAGE_PARTS
    assert asked["hidden_map"].bytes_in == 3 * height * width * 4
    assert asked["hidden_map"].bytes_out == encoded.rows.nbytes
    # The transformer is a part of the image part, which is a part of the stage.
    ends = [asked[name].seconds for name in ("encoder", "fuse", "hidden_map", "stage")]
    assert ends == sorted(ends)
    asked = records["voxels"]
    in_view = len(own.voxels(theirs, grid, None, VoxelQuery(0.0)).index)
    assert asked["density"].count == in_view
    assert asked["density"].bytes_in == in_view * (4 + 4 + 3 + 6 * TINY.n_frequencies) * 4
    assert asked["density"].bytes_out == in_view * 4
    assert {asked[name].count for name in ("samples", "feature", "classify")} == {len(voxels)}
    asked = records["render"]
    dense, sampled = asked["ray_density"], asked["ray_samples"]
    assert dense.count + sampled.count >= 16 * view.label.size
    assert dense.lookups + sampled.lookups >= view.label.size
    assert asked["classify"].count == view.label.size == (height // 4) * (width // 4)


def test_a_map_is_read_once_or_four_rows_for_each_point() -> None:
    assert Asked(lookups=3, map_bytes=10_000, row_bytes=128).map_bytes_read == 3 * 4 * 128
    assert Asked(lookups=300, map_bytes=10_000, row_bytes=128).map_bytes_read == 10_000


# --- bounds -----------------------------------------------------------------------------------


def test_the_bound_is_the_larger_of_operations_and_bytes() -> None:
    assert Work(1, {"float32": 2_000_000}, 1_000).bound(PEAKS) == pytest.approx(2e-3)
    assert Work(1, {"bfloat16": 2_000_000}, 1_000).bound(PEAKS) == pytest.approx(1e-3)
    mixed = Work(1, {"bfloat16": 2_000_000, "float32": 1_000_000}, 1_000)
    assert mixed.bound(PEAKS) == pytest.approx(1.5e-3)
    assert Work(1, {"int8": 10**12}, 1_000).bound(PEAKS) == pytest.approx(1e-3)  # rate unknown


def asked(count: int, seconds: float, precision: str = "float32", **values: int) -> Asked:
    return Asked(
        count, count, precision=precision, seconds=seconds, processor_seconds=2 * seconds, **values
    )


def test_the_work_of_points_is_that_of_what_was_asked() -> None:
    voxels = Record()
    voxels["density"] = asked(3000, 0.004, bytes_in=500, bytes_out=50, map_bytes=7, row_bytes=9)
    voxels["samples"] = asked(10, 0.001, bytes_in=5, bytes_out=3, map_bytes=7, row_bytes=9)
    voxels["feature"] = asked(10, 0.001, bytes_in=1 << 40, bytes_out=1 << 40)  # passed on
    voxels["classify"] = asked(10, 0.002, bytes_in=1 << 40, bytes_out=2)
    voxels["stage"] = asked(0, 0.009)
    density, feature, head = density_layers(TINY), feature_layers(TINY), class_layers(TINY, MODE)
    work = works(TINY, MODE, "bfloat16", {"voxels": voxels})  # holds for the head
    assert work["voxels", "density"] == Work(
        3000, {"float32": 3000 * operations(density)}, 557 + 4 * weights(density)
    )
    points = density + feature
    assert work["voxels", "classes"] == Work(
        10,
        {"float32": 10 * operations(points), "bfloat16": 10 * operations(head)},
        5 + 3 + 7 + 2 + 4 * weights(points) + 2 * weights(head),
    )
    rows = roofline(TINY, MODE, "bfloat16", [{"voxels": voxels}] * 3, PEAKS)
    assert [(row["stage"], row["part"]) for row in rows] == [
        ("voxels", part) for part in ("density", "classes", "rest", "")
    ]
    times = [row["p50 [ms]"] for row in rows]
    assert times == pytest.approx([4, 4, 1, 9])
    assert [row["processor p50 [ms]"] for row in rows] == pytest.approx([8, 8, 2, 18])
    bounds = [1000 * one.bound(PEAKS) for one in work.values()]
    assert [row["bound [ms]"] for row in rows] == [*bounds, None, sum(bounds)]
    assert rows[0]["p50 / bound"] == pytest.approx(4 / bounds[0])
    assert [row["bound by"] for row in rows] == ["operations", "bytes", None, None]
    assert rows[1]["precision"] == "float32, bfloat16"


def test_an_image_part_that_runs_as_one_has_bounds_but_no_times_of_its_parts() -> None:
    encode = Record()
    encode["hidden_map"] = asked(1, 0.05, bytes_in=100, bytes_out=200)
    encode["stage"] = asked(0, 0.06)
    rows = roofline(TINY, MODE, "float32", [{"encode": encode}], PEAKS)
    assert [row["part"] for row in rows] == ["transformer", "decoder", "tail", "rest", ""]
    assert [row["p50 [ms]"] for row in rows] == [None, None, None, *map(pytest.approx, (10, 60))]
    assert min(row["bound [ms]"] for row in rows if row["part"] != "rest") > 0
    low = roofline(TINY, MODE, "bfloat16", [{"encode": encode}], PEAKS)
    assert low[0]["bytes"] - 100 == (rows[0]["bytes"] - 100) / 2  # but for the image


def test_the_precision_of_an_image_part_is_what_its_engine_says() -> None:
    assert image_precision("PyTorch 2.9, float32", PEAKS) == "float32"
    assert image_precision("PyTorch 2.9, bfloat16", PEAKS) == "bfloat16"
    gpu = Peaks({**PEAKS.rates, "tf32": 8e9}, 1e6, 1, 1)
    assert image_precision("PyTorch 2.9, float32", gpu) == "tf32"


def test_peaks_are_measured(quick_peaks) -> None:
    peaks = measure_peaks(torch.device("cpu"))
    assert set(peaks.rates) == {"float32", "bfloat16"}
    assert min(*peaks.rates.values(), peaks.bandwidth) > 0
    assert peaks.array_bytes == quick_peaks
