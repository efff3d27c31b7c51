# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The predictor against the plain network: the same answers, only the wanted ones computed."""

import dataclasses
import functools
import threading

import numpy as np
import pytest
import torch
from models import TINY, lively_checkpoint, noise_image, street_camera

from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints.card import DENSITY_THRESHOLD
from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model
from scenedino_ros.core.errors import CheckpointError, DeviceMemoryError, InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.model_config import PREDICTION_MODES
from scenedino_ros.core.ray_spacing import INVERSE, LOGARITHMIC
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.inference import grid_view, point_queries, view_renderer
from scenedino_ros.inference.device import Chunks, choose_device
from scenedino_ros.inference.grid_view import camera_points, encode_positions
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.network.field import PositionalCode
from scenedino_ros.network.render import pixel_rays, render_rays, sample_distances
from train.semantics.model import without_head

# Reaches beside, above and behind the camera, whose pose in the grid is T_GRID_CAM.
GRID = VoxelGrid((-2.0, -4.0, -2.0), (40, 36, 12), 0.4)
T_GRID_CAM = np.array(
    [[0.0, 0.0, 1.0, 0.3], [-1.0, 0.0, 0.0, 0.1], [0.0, -1.0, 0.0, 0.2], [0.0, 0.0, 0.0, 1.0]]
)


@functools.cache
def plain_answer(mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate every voxel with the plain network: density, class, and whether it is in view."""
    checkpoint = lively_checkpoint()
    model, predictor = build_model(checkpoint), predictor_of(mode)
    encoded = predictor.encode(noise_image(), street_camera())
    points = torch.from_numpy(camera_points(GRID, T_GRID_CAM))[None]
    K = torch.from_numpy(encoded.camera.K_norm).float()[None]
    with torch.inference_mode():
        feature_map = model.encode(image_tensor(encoded.rgb))
        density, feature, visible = model.query(feature_map, points, K)
        label, _ = model.classify(feature, mode)
    return tuple(part.numpy().reshape(GRID.shape) for part in (density, label, visible))


@functools.cache
def predictor_of(mode: str = "stego_kmeans") -> Predictor:
    """Return a predictor that tests share; what it caches must not change its answers."""
    return Predictor(lively_checkpoint(), device="cpu", mode=mode)


def dense_answer(mode: str, query: VoxelQuery) -> dict[str, np.ndarray]:
    """Apply the rules of a query to the plain answer, one after the other."""
    density, label, visible = plain_answer(mode)
    grown = density
    if query.grow:
        padded = np.pad(density, 1, constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3))
        grown = windows.max(axis=(3, 4, 5))
        label = np.where(np.exp(-np.float32(GRID.voxel_size) * density) == 1, 0, label)
    occupied = grown >= query.threshold(DENSITY_THRESHOLD)
    if not query.out_of_view:
        occupied = occupied & visible
    occupied = occupied & ~np.isin(label, query.hidden)
    return {"occupied": occupied, "label": label, "density": grown}


@pytest.mark.parametrize("mode", PREDICTION_MODES)
@pytest.mark.parametrize(
    "query",
    [
        VoxelQuery(),
        VoxelQuery(grow=True),
        VoxelQuery(out_of_view=True),
        VoxelQuery(0.3, grow=True, out_of_view=True, hidden=(0, 10)),
    ],
    ids=["plain", "grow", "all", "grow all hidden"],
)
def test_equals_the_plain_evaluation_of_every_voxel(mode: str, query: VoxelQuery) -> None:
    predictor = predictor_of(mode)
    golden = dense_answer(mode, query)
    voxels = predictor.voxels(
        predictor.encode(noise_image(), street_camera()), GRID, T_GRID_CAM, query
    )
    assert 0.02 < golden["occupied"].mean() < 0.98
    near = np.abs(golden["density"] - query.threshold(DENSITY_THRESHOLD)) < 1e-5
    np.testing.assert_array_equal(voxels.occupied()[~near], golden["occupied"][~near])
    at = np.unravel_index(voxels.index, GRID.shape)
    np.testing.assert_allclose(voxels.density, golden["density"][at], rtol=1e-4, atol=1e-5)
    assert (voxels.label == golden["label"][at]).mean() > 0.999
    assert len(np.unique(voxels.label)) > 3


@pytest.mark.parity
def test_results_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = lively_checkpoint()
    query = VoxelQuery(grow=True)
    answers = []
    for budget, chunk in ((512, 1 << 17), (0, 999)):
        monkeypatch.setattr(grid_view, "_CHUNK", chunk)
        predictor = Predictor(checkpoint, device="cpu", memory_budget=budget)
        encoded = predictor.encode(noise_image(), street_camera())
        view = predictor.render(encoded, semantic=True, features=True)
        answers.append((predictor.voxels(encoded, GRID, T_GRID_CAM, query), view))
    (whole, whole_view), (parts, parts_view) = answers
    np.testing.assert_array_equal(whole.index, parts.index)
    np.testing.assert_array_equal(whole.label, parts.label)
    np.testing.assert_allclose(whole.density, parts.density, rtol=1e-5)
    np.testing.assert_allclose(whole_view.depth, parts_view.depth, rtol=1e-5)
    np.testing.assert_array_equal(whole_view.label, parts_view.label)


@pytest.mark.parity
def test_each_thread_of_a_processor_fills_chunks_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads_of_pytorch = torch.get_num_threads
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    seen: set[tuple[bool, int, bool]] = set()
    sizes = []

    def compute(part: slice) -> torch.Tensor:
        sizes.append(part.stop - part.start)
        in_pool = threading.current_thread() is not threading.main_thread()
        seen.add((in_pool, threads_of_pytorch(), torch.is_inference_mode_enabled()))
        return torch.arange(part.start, part.stop)

    expected = torch.arange(10_000).float()
    alone = threads_of_pytorch()
    with torch.inference_mode():
        assert torch.equal(
            Chunks(torch.device("cpu"), 4096, concurrent=True).fill(10_000, 1, compute), expected
        )
        assert seen == {(True, 1, True)}
        assert sizes == [1000] * 10  # five each, none longer than another
        seen.clear()
        assert torch.equal(Chunks(torch.device("cpu"), 4096).fill(10_000, 1, compute), expected)
        assert seen == {(False, alone, True)}
    assert threads_of_pytorch() == alone

    def fail(part: slice) -> torch.Tensor:
        raise ZeroDivisionError("in a thread")

    with pytest.raises(ZeroDivisionError, match="in a thread"):
        Chunks(torch.device("cpu"), 4096, concurrent=True).fill(10_000, 1, fail)


def test_positions_are_encoded_as_the_network_does() -> None:
    code = PositionalCode(6, 1.5, (3.0, 80.0))
    generator = torch.Generator().manual_seed(2)
    uv_norm = torch.rand(1000, 2, generator=generator) * 2 - 1
    depth = torch.rand(1000, generator=generator) * 100 - 5  # behind the camera as well
    found, wanted = encode_positions(code, uv_norm, depth), code(uv_norm, depth)
    torch.testing.assert_close(found[:, 2::3], wanted[:, 2::3], rtol=0, atol=1e-6)  # of depth
    # The network itself adds pi / 2 to phases of 48 for a cosine: that rounds by 2e-6.
    torch.testing.assert_close(found, wanted, rtol=0, atol=5e-6)


def test_hidden_classes_are_left_out() -> None:
    predictor = predictor_of()
    encoded = predictor.encode(noise_image(), street_camera())
    everything = predictor.voxels(encoded, GRID, T_GRID_CAM)
    hidden = int(np.bincount(everything.label).argmax())
    rest = predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(hidden=(hidden,)))
    assert hidden not in rest.label
    assert len(rest) == (everything.label != hidden).sum()


def test_voxels_outside_the_view_are_not_reported() -> None:
    predictor = predictor_of()
    encoded = predictor.encode(noise_image(), street_camera())
    voxels = predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(0.0))
    points = (voxels.centers() - T_GRID_CAM[:3, 3]) @ T_GRID_CAM[:3, :3]
    uv = encoded.camera.project(points)
    assert (points[:, 2] > 0).all()
    assert uv.min() >= -1e-3
    assert (uv <= np.array([160, 64]) + 1e-3).all()
    everything = predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(0.0, out_of_view=True))
    assert len(everything) == GRID.size > len(voxels)


def test_the_checkpoint_says_what_is_occupied_where_nobody_else_does() -> None:
    checkpoint = dataclasses.replace(lively_checkpoint(), density_threshold=0.35)
    predictor = Predictor(checkpoint, device="cpu")
    encoded = predictor.encode(noise_image(), street_camera())
    found = predictor.voxels(encoded, GRID, T_GRID_CAM)
    expected = predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(0.35))
    np.testing.assert_array_equal(found.index, expected.index)
    assert 0 < len(found) < len(predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(0.2)))


def test_a_new_calibration_replaces_the_cached_projection() -> None:
    predictor = Predictor(lively_checkpoint(), device="cpu")
    fresh = Predictor(lively_checkpoint(), device="cpu")
    first = predictor.voxels(predictor.encode(noise_image(), street_camera()), GRID, T_GRID_CAM)
    camera = street_camera(480, 96)
    image = noise_image(480, 96)
    second = predictor.voxels(predictor.encode(image, camera), GRID, T_GRID_CAM)
    alone = fresh.voxels(fresh.encode(image, camera), GRID, T_GRID_CAM)
    np.testing.assert_array_equal(second.index, alone.index)
    assert not np.array_equal(first.index, second.index)


def count_views(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that gets one entry for each grid view that is made."""
    made: list[object] = []

    def remember(*args, **options):
        made.append(grid_view.view_grid(*args, **options))
        return made[-1]

    monkeypatch.setattr(point_queries, "view_grid", remember)
    return made


@pytest.mark.parametrize(("n_cameras", "expected"), [(3, 3), (4, 3), (2, 12), (1, 12)])
def test_cameras_that_take_turns_keep_their_grid_views(
    n_cameras: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_views(monkeypatch)
    poses = [T_GRID_CAM.copy() for _ in range(3)]
    for side, pose in enumerate(poses):
        pose[1, 3] = side
    predictor = Predictor(lively_checkpoint(), device="cpu", n_cameras=n_cameras)
    encoded = predictor.encode(noise_image(), street_camera())
    found = [len(predictor.voxels(encoded, GRID, pose)) for _ in range(4) for pose in poses]
    assert found == found[:3] * 4
    assert len(made) == expected
    alone = [len(predictor_of().voxels(encoded, GRID, pose)) for pose in poses]
    assert found[:3] == alone


def test_a_view_that_is_used_again_is_answered_by_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    captured, replayed = [], []

    class Graph:
        def __init__(self, function, device):
            captured.append(device)
            self._function = function

        def __call__(self, rows):
            replayed.append(rows)
            return self._function(rows)

    monkeypatch.setattr(point_queries, "CudaGraph", Graph)
    predictor = Predictor(lively_checkpoint(), device="cpu")
    monkeypatch.setattr(predictor._queries, "_captures", True)
    images = [predictor.encode(noise_image(seed=seed), street_camera()) for seed in range(3)]
    found = [predictor.voxels(image, GRID, T_GRID_CAM) for image in images]
    assert len(captured) == 1
    assert all(rows is image.rows for rows, image in zip(replayed, images[1:], strict=True))
    for image, voxels in zip(images, found, strict=True):
        alone = Predictor(lively_checkpoint(), device="cpu").voxels(image, GRID, T_GRID_CAM)
        np.testing.assert_array_equal(voxels.index, alone.index)
        np.testing.assert_array_equal(voxels.label, alone.label)
    # A grid that moves has a new view for each image, and none of them is worth a graph.
    for step in range(1, 4):
        pose = T_GRID_CAM.copy()
        pose[0, 3] += step
        predictor.voxels(images[0], GRID, pose)
    assert len(captured) == 1
    assert not predictor._queries._graphs


def test_a_moving_camera_does_not_push_out_the_views_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = count_views(monkeypatch)
    predictor = Predictor(lively_checkpoint(), device="cpu", n_cameras=2)
    encoded = predictor.encode(noise_image(), street_camera())
    moving = T_GRID_CAM.copy()
    for _ in range(4):
        moving[0, 3] += 0.1
        predictor.voxels(encoded, GRID, moving)
        predictor.voxels(encoded, GRID, T_GRID_CAM)
    assert len(made) == 4 + 1


@pytest.mark.parity
@pytest.mark.parametrize("spacing", [INVERSE, LOGARITHMIC])
def test_render_equals_the_plain_rendering(spacing: str) -> None:
    checkpoint = lively_checkpoint()
    predictor = predictor_of("direct_linear")
    encoded = predictor.encode(noise_image(), street_camera())
    view = predictor.render(encoded, downscale=4, n_samples=24, spacing=spacing, semantic=True)
    model = build_model(checkpoint)
    K = torch.from_numpy(encoded.camera.K_norm).float()
    rays = pixel_rays(K, 16, 40)
    with torch.inference_mode():
        feature_map = model.encode(image_tensor(encoded.rgb))

        def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            density, feature, _ = model.query(feature_map, points[None], K[None])
            return density[0], feature[0]

        distances = sample_distances(3.0, 80.0, 24, spacing=spacing)
        result, feature = render_rays(field, torch.zeros(3), rays.view(-1, 3), distances)
        label, scores = model.classify(feature, "direct_linear")
    depth = result.distance.view(16, 40) * rays[..., 2]
    np.testing.assert_allclose(view.depth, depth.numpy(), rtol=1e-4)
    best = scores.topk(2, dim=-1).values
    clear = (best[:, 0] - best[:, 1] > 1e-4).view(16, 40).numpy()
    np.testing.assert_array_equal(view.label[clear], label.view(16, 40).numpy()[clear])
    assert (view.camera.width, view.camera.height) == (40, 16)
    assert view.colors is None


def test_rays_are_cast_once_for_each_camera_that_takes_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def count(*args):
        made.append(args)
        return grid_view.encode_depths(*args)

    monkeypatch.setattr(view_renderer, "encode_depths", count)
    views = [(noise_image(), street_camera()), (noise_image(480, 96), street_camera(480, 96))]

    def depths(n_cameras: int, rounds: int) -> list[np.ndarray]:
        predictor = Predictor(lively_checkpoint(), device="cpu", n_cameras=n_cameras)
        encoded = [predictor.encode(*view) for view in views]
        made.clear()
        return [predictor.render(e, n_samples=8).depth for _ in range(rounds) for e in encoded]

    alone = depths(2, 1)
    assert not np.array_equal(*alone)
    for n_cameras, expected in ((2, 2), (1, 6)):
        np.testing.assert_array_equal(depths(n_cameras, 3), alone * 3)
        assert len(made) == expected
    # Samples that are drawn anew, and other numbers of them, are other rays.
    predictor = Predictor(lively_checkpoint(), device="cpu")
    encoded = predictor.encode(*views[0])
    drawn = [predictor.render(encoded, n_samples=8, jitter_seed=s).depth for s in (0, 1, 0)]
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert predictor.render(encoded, n_samples=9).depth.shape == alone[0].shape
    np.testing.assert_array_equal(predictor.render(encoded, n_samples=8).depth, alone[0])


def test_an_empty_grid_knows_the_highest_density_in_view() -> None:
    predictor = predictor_of()
    encoded = predictor.encode(noise_image(), street_camera())
    density, _, visible = plain_answer("stego_kmeans")
    for grow in (False, True):
        dense = VoxelQuery(1e9, grow=grow)
        found = predictor.voxels(encoded, GRID, T_GRID_CAM, dense)
        assert len(found) == 0
        if not grow:
            assert found.highest_density == pytest.approx(density[visible].max(), rel=1e-4)
        assert found.highest_density >= density[visible].max() * (1 - 1e-4)
    everything = tuple(range(19))
    hidden = predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(1e-9, hidden=everything))
    assert (len(hidden), hidden.highest_density) == (
        0,
        pytest.approx(density[visible].max(), 1e-4),
    )
    assert predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(1e-9)).highest_density is None
    behind = VoxelGrid((-9.0, -1.0, -1.0), (4, 4, 4), 0.4)
    assert predictor.voxels(encoded, behind, T_GRID_CAM, dense).highest_density is None


@pytest.mark.parametrize("grow", [False, True])
def test_a_network_without_a_head_names_no_voxel(grow: bool) -> None:
    predictor = Predictor(without_head(lively_checkpoint()), device="cpu")
    encoded = predictor.encode(noise_image(), street_camera())
    found = predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(0.3, grow=grow))
    assert len(found)
    assert set(found.label.tolist()) == {IGNORE}


def test_depth_of_the_sky_and_of_thin_air_is_infinite() -> None:
    checkpoint = lively_checkpoint()
    predictor = predictor_of("direct_linear")
    encoded = predictor.encode(noise_image(), street_camera())
    asked = {"downscale": 4, "n_samples": 24}
    expected = predictor.render(encoded, **asked, semantic=True)
    # What is called sky is what the picture shows most of.
    ids, counts = np.unique(expected.label, return_counts=True)
    sky = int(ids[counts.argmax()])
    names = [f"class {i}" for i in range(len(checkpoint.classes))]
    names[sky] = "sky"
    classes = dataclasses.replace(checkpoint.classes, names=tuple(names))
    skyward = Predictor(
        dataclasses.replace(checkpoint, classes=classes), device="cpu", mode="direct_linear"
    )
    view = skyward.render(skyward.encode(noise_image(), street_camera()), **asked, unbounded=True)
    assert view.label is None
    # The light that passes the far end of the depth range, 80 m, sample by sample.
    model = build_model(checkpoint)
    K = torch.from_numpy(encoded.camera.K_norm).float()
    distances = sample_distances(3.0, 80.0, 24, spacing=LOGARITHMIC)
    with torch.inference_mode():
        points = pixel_rays(K, 16, 40).view(-1, 1, 3) * distances[:, None]
        feature_map = model.encode(image_tensor(encoded.rgb))
        density = model.query(feature_map, points.view(1, -1, 3), K[None])[0].view(-1, 24)
    passed = np.ones(16 * 40)
    ends = [*distances[1:].tolist(), 80.0]
    for sample, (start, end) in enumerate(zip(distances.tolist(), ends, strict=True)):
        passed *= np.exp(-(end - start) * density[:, sample].double().numpy())
    open_air = passed.reshape(16, 40) > 0.5
    clear = np.abs(passed.reshape(16, 40) - 0.5) > 1e-4
    infinite = np.isposinf(view.depth)
    np.testing.assert_array_equal(infinite[clear], (open_air | (expected.label == sky))[clear])
    assert infinite.any()
    assert not infinite.all()
    np.testing.assert_array_equal(view.depth[~infinite], expected.depth[~infinite])
    assert np.isfinite(expected.depth).all()


def test_feature_colours_do_not_change_with_the_next_image() -> None:
    predictor = Predictor(lively_checkpoint(), device="cpu")
    first = predictor.encode(noise_image(seed=1), street_camera())
    other = predictor.encode(noise_image(seed=2), street_camera())
    before = predictor.render(first, features=True).colors
    predictor.render(other, features=True)
    np.testing.assert_array_equal(predictor.render(first, features=True).colors, before)
    assert before.std() > 10


def test_without_semantic_head_voxels_are_unlabelled() -> None:
    config = dataclasses.replace(TINY, n_classes=0, n_clusters=0)
    predictor = Predictor(lively_checkpoint(config), device="cpu")
    encoded = predictor.encode(noise_image(), street_camera())
    voxels = predictor.voxels(encoded, GRID, T_GRID_CAM)
    assert set(voxels.label) == {255}
    assert (predictor.render(encoded, semantic=True).label == 255).all()


def test_bfloat16_stays_close() -> None:
    checkpoint = lively_checkpoint()
    densities = []
    for precision in ("float32", "bfloat16"):
        predictor = Predictor(checkpoint, device="cpu", precision=precision)
        encoded = predictor.encode(noise_image(), street_camera())
        query = VoxelQuery(0.0)
        densities.append(predictor.voxels(encoded, GRID, T_GRID_CAM, query).density)
    error = np.abs(densities[0] - densities[1])
    assert 0 < error.mean() < 0.05 * densities[0].mean()


def test_bfloat16_lets_go_of_the_weights_it_was_given() -> None:
    checkpoint = lively_checkpoint()
    given = {value.data_ptr() for value in checkpoint.state.values()}
    predictor = Predictor(checkpoint, device="cpu", precision="bfloat16")
    kept = predictor._engine.network.state_dict()
    assert not given & {value.data_ptr() for value in kept.values()}


def out_of_memory_above(limit: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    """Make the network fail like a full GPU on more points than ``limit``."""
    network = predictor._engine.network
    real = network.hidden
    sizes = []

    def hidden(rows, index, weight, code):
        sizes.append(len(index))
        if len(index) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(rows, index, weight, code)

    monkeypatch.setattr(network, "hidden", hidden)
    return sizes


def test_out_of_memory_halves_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = predictor_of()
    encoded = predictor.encode(noise_image(), street_camera())
    expected = predictor.voxels(encoded, GRID, T_GRID_CAM)
    sizes = out_of_memory_above(3000, predictor, monkeypatch)
    voxels = predictor.voxels(encoded, GRID, T_GRID_CAM)
    assert max(sizes) > 3000
    np.testing.assert_array_equal(voxels.index, expected.index)
    np.testing.assert_array_equal(voxels.label, expected.label)


def test_out_of_memory_at_the_smallest_chunk_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = predictor_of()
    encoded = predictor.encode(noise_image(), street_camera())
    out_of_memory_above(0, predictor, monkeypatch)
    with pytest.raises(DeviceMemoryError, match="need more memory than the device has left"):
        predictor.voxels(encoded, GRID, T_GRID_CAM)


def test_empty_results_are_empty() -> None:
    predictor = predictor_of()
    encoded = predictor.encode(noise_image(), street_camera())
    behind = VoxelGrid((-9.0, -1.0, -1.0), (4, 4, 4), 0.2)
    for grid, threshold in ((GRID, 1e9), (behind, 0.0)):
        voxels = predictor.voxels(encoded, grid, T_GRID_CAM, VoxelQuery(threshold))
        assert isinstance(voxels, SemanticVoxels)
        assert len(voxels) == 0
        assert voxels.centers().shape == (0, 3)


def test_refusals() -> None:
    checkpoint = lively_checkpoint()
    with pytest.raises(InputError, match="mode must be one of stego_kmeans"):
        Predictor(checkpoint, device="cpu", mode="magic")
    with pytest.raises(InputError, match="precision must be float32 or bfloat16, got 'int4'"):
        Predictor(checkpoint, device="cpu", precision="int4")
    with pytest.raises(InputError, match="device must be auto, cpu or cuda, got 'tpu'"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no usable GPU was found"):
            choose_device("cuda")
    broken = dict(checkpoint.state)
    broken["field.lin_in.bias"] = torch.full_like(broken["field.lin_in.bias"], torch.nan)
    with pytest.raises(CheckpointError, match=r"field.lin_in.bias are not all finite"):
        Predictor(Checkpoint(TINY, checkpoint.classes, broken), device="cpu")
    predictor = Predictor(checkpoint, device="cpu")
    encoded = predictor.encode(noise_image(), street_camera())
    with pytest.raises(InputError, match="downscale 100 leaves nothing"):
        predictor.render(encoded, downscale=100)
    with pytest.raises(InputError, match="T_grid_cam must hold a rotation"):
        predictor.voxels(encoded, GRID, np.diag([2.0, 1.0, 1.0, 1.0]))
    far = np.eye(4)
    far[0, 3] = 1e39  # its square overflows
    with pytest.raises(InputError, match=r"T_grid_cam must be within 1e\+09 m of the origin"):
        predictor.voxels(encoded, GRID, far, VoxelQuery(out_of_view=True))
    with pytest.raises(InputError, match=r"T_grid_cam must be \(4, 4\) and finite"):
        predictor.voxels(encoded, GRID, np.full((4, 4), np.nan))
