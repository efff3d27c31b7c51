# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Flow, alignment, LiDAR depth images and the dense CRF, against answers worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import softmax
from torchvision.models.optical_flow import raft_large

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.evaluation.consistency.feature_sources import TokenChoice
from scenedino_ros.evaluation.consistency.flow import FlowChoice, choose_flow, dis_flow, exact_flow
from scenedino_ros.evaluation.consistency.scores import (
    Features,
    compare,
    token_features,
    valid_pixels,
)
from scenedino_ros.evaluation.depth.evaluation import DepthEvaluation, mean_depth_image
from scenedino_ros.evaluation.depth.lidar_depth import Road, lidar_depth, pixel_directions
from scenedino_ros.evaluation.depth.scores import depth_scores
from scenedino_ros.evaluation.segmentation.crf import CrfSettings, refine_labels
from scenedino_ros.evaluation.segmentation.permutohedral import GaussianFilter
from scenedino_ros.evaluation.segmentation.scores import pixel_confusion, segmentation_scores
from scenedino_ros.evaluation.settings import DepthSettings
from scenedino_ros.evaluation.speed import Stopwatch

CAMERA = PinholeCamera.from_focal(50.0, 50.0, 40.0, 24.0, 80, 48)


# Depth


def test_scores_of_depth_worked_out_by_hand() -> None:
    truth, prediction = np.array([[0.0, 10.0, 20.0]]), np.array([[5.0, 12.0, 20.0]])
    scores = depth_scores(truth, prediction)
    assert scores is not None
    expected = [0.1, 0.2, 2**0.5, np.log(1.2) / 2**0.5, 1, 1, 1]
    np.testing.assert_allclose(scores, expected)
    half = depth_scores(truth, prediction / 2, "median")
    np.testing.assert_allclose(half, depth_scores(truth, prediction * 15 / 16), rtol=1e-12)
    exact = depth_scores(truth, 2 * truth + 3, "least squares")
    np.testing.assert_allclose(exact, [0, 0, 0, 0, 1, 1, 1], atol=1e-12)
    assert depth_scores(np.zeros((2, 2)), np.ones((2, 2))) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(2), np.ones(3)), r"\(2,\) and predicted \(3,\) must agree"),
        ((np.ones(2), np.ones(2), "mean"), "scaling must be one of none, median"),
    ],
)
def test_impossible_depth_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        depth_scores(*arguments)


def test_lidar_keeps_the_nearest_return_and_drops_what_is_seen_through() -> None:
    # Two returns on one pixel, one three pixels beside them but behind, one far from both.
    points = np.array([[0.0, 0, 10], [0.0, 0, 12], [1.3, 0, 20], [6.0, 0, 20], [0, 0, 60]])
    depth = lidar_depth(points, CAMERA)
    assert depth[24, 40] == 10
    assert depth[24, 43] == 0
    assert depth[24, 55] == 20
    assert (depth > 0).sum() == 2


def test_a_point_comes_back_to_the_pixel_it_falls_on() -> None:
    truth = np.random.default_rng(0).uniform(5, 6, (48, 80))
    points = (pixel_directions(CAMERA) * truth[..., None]).reshape(-1, 3)
    np.testing.assert_allclose(lidar_depth(points, CAMERA), truth, rtol=1e-6)


def test_a_road_is_a_plane() -> None:
    road = Road((0.0, 2.0, 0.0), 1.5)
    depth = road.depth(CAMERA)
    assert depth[47, 0] == pytest.approx(1.5 * 50 / 23.5)
    assert (depth[:24] == 80).all()
    np.testing.assert_allclose(road.height_above(CAMERA, depth)[34:], 0, atol=1e-5)
    with pytest.raises(InputError, match="normal that is not 0 and a height > 0 m"):
        Road((0.0, 0.0, 0.0), 1.0)


def test_depth_is_scored_along_axis_and_ray_everywhere_and_above_the_road() -> None:
    road = Road((0.0, 1.0, 0.0), 1.5)
    truth = np.zeros((48, 80))
    truth[:10] = 8  # 2.3 m above the camera and more
    truth[40:] = road.depth(CAMERA)[40:]
    predictor = SimpleNamespace(
        encode=lambda rgb, camera: SimpleNamespace(rgb=rgb, camera=camera),
        render=lambda encoded, **how: SimpleNamespace(depth=truth + 1),
    )
    data = SimpleNamespace(image=lambda item: (None, CAMERA), truth=lambda item, camera: truth)
    network = SimpleNamespace(predictor=lambda: predictor)
    evaluation = DepthEvaluation(data, network, DepthSettings(road=road, above=0.4))
    counts = evaluation.open(Stopwatch()).count("0")
    assert counts["pixels"].tolist() == [18 * 80, 10 * 80]
    per_metre = np.linalg.norm(pixel_directions(CAMERA), axis=-1)[truth > 0]
    along_ray = np.sqrt((per_metre**2).mean())
    rmse = counts["scores"][:, 0, 0, 2]
    np.testing.assert_allclose(rmse, [1, along_ray], rtol=1e-6)


def test_mean_depth_fills_what_no_frame_knows() -> None:
    first, second = np.zeros((40, 40)), np.zeros((40, 40))
    first[:, :10], second[:, :10] = 4, 6
    mean = mean_depth_image(iter([first, second]), (40, 40))
    np.testing.assert_allclose(mean, 5, rtol=1e-6)
    assert (mean_depth_image(iter([]), (2, 2)) == 80).all()


# Flow and alignment


def test_exact_flow_of_a_sideways_step() -> None:
    depth = np.full((48, 80), 10.0)
    depth[0] = 0
    T_second_first = np.eye(4)
    T_second_first[0, 3] = -1.0
    flow = exact_flow(depth, CAMERA, T_second_first)
    assert np.isnan(flow[:, 0]).all()
    np.testing.assert_allclose(flow[0, 1:], -5, atol=1e-5)
    np.testing.assert_allclose(flow[1, 1:], 0, atol=1e-5)
    T_second_first[2, 3] = -11.0  # everything is behind the second camera
    assert np.isnan(exact_flow(depth, CAMERA, T_second_first)).all()


def test_dis_flow_finds_a_shift() -> None:
    wide = np.kron(np.random.default_rng(0).integers(0, 256, (16, 40, 3)), np.ones((8, 8, 1)))
    wide = wide.astype(np.uint8)
    flow = dis_flow(wide[:, 10:210], wide[:, 14:214])
    assert np.median(flow[0]) == pytest.approx(-4, abs=0.2)


def test_flow_is_chosen_by_what_is_at_hand(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert choose_flow("auto", None, has_depth=True).name == "exact"
    dis = choose_flow("auto", None, has_depth=False)
    assert dis.name == "dis"
    assert "DIS" in dis.words
    raft = choose_flow("auto", tmp_path / "raft.pth", has_depth=False)
    assert (raft.name, raft.weights) == ("raft", tmp_path / "raft.pth")
    assert "raft.pth" in raft.words
    with pytest.raises(InputError, match="RAFT needs its weights"):
        choose_flow("raft", None, has_depth=False)
    with pytest.raises(InputError, match="exact flow needs depth"):
        choose_flow("exact", None, has_depth=False)


def test_raft_runs_with_weights_from_a_file(tmp_path) -> None:
    torch.manual_seed(0)
    save_file(raft_large(weights=None).state_dict(), tmp_path / "raft.safetensors")
    flow = FlowChoice("raft", tmp_path / "raft.safetensors").open("cpu")
    picture = np.random.default_rng(0).integers(0, 256, (128, 136, 3), dtype=np.uint8)
    found = flow(picture, picture)
    assert found.shape == (2, 128, 136)
    assert np.isfinite(found).all()
    with pytest.raises(InputError, match="at least 128 px in steps of 8, got 136 x 120 px"):
        flow(picture[:120], picture[:120])
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="does not hold weights of RAFT large"):
        FlowChoice("raft", tmp_path / "other.safetensors").open("cpu")


def test_pixels_count_where_flow_comes_back() -> None:
    forward, backward = torch.zeros(2, 4, 6), torch.zeros(2, 4, 6)
    forward[0] = 1
    backward[0] = -1
    backward[0, 0] = -3  # comes back elsewhere
    forward[0, 1] = torch.nan
    valid = valid_pixels(forward, backward)
    assert not valid[:2].any()
    assert valid[2:, :5].all()
    assert not valid[:, 5].any()  # leaves the image


def test_the_same_features_moved_are_consistent() -> None:
    wide = torch.randn(70, 8, 13, generator=torch.Generator().manual_seed(0))
    first, second = (Features(70, lambda part, x=x: wide[part, :, x : x + 10]) for x in (0, 3))
    flow = torch.zeros(2, 8, 10)
    flow[0] = -3
    valid = torch.zeros(8, 10, dtype=torch.bool)
    valid[:, 3:] = True
    l1, l2, cosine = compare([first], [second], flow, valid)[0]
    np.testing.assert_allclose(l1, 0, atol=2e-5)
    np.testing.assert_allclose(l2, 0, atol=2e-6)
    np.testing.assert_allclose(cosine, 1, atol=1e-6)


def test_features_side_by_side_add_up() -> None:
    draws = torch.Generator().manual_seed(0)
    a, b, c, d = (torch.randn(5, 4, 4, generator=draws) for _ in range(4))
    one, two, three, four = (Features(5, lambda part, v=v: v[part]) for v in (a, b, c, d))
    flow, valid = torch.zeros(2, 4, 4), torch.ones(4, 4, dtype=torch.bool)
    left, right = compare([one], [two], flow, valid)[0], compare([three], [four], flow, valid)[0]
    both = compare([one, three], [two, four], flow, valid)[0]
    torch.testing.assert_close(both[0], left[0] + right[0])
    torch.testing.assert_close(both[1], (left[1] ** 2 + right[1] ** 2).sqrt())
    torch.testing.assert_close(both[2], (left[2] + right[2]) / 2)


def test_the_common_mean_is_taken_off() -> None:
    values = torch.randn(100, 6, 7, generator=torch.Generator().manual_seed(1)) + 2
    common = Features(100, lambda part: values[part]).mean()
    unit = values / values.norm(dim=0)
    torch.testing.assert_close(common, unit.mean(dim=(1, 2)))
    parts = Features(100, lambda part: values[part], common).parts()
    plain, centred = torch.cat(list(parts), dim=1)
    torch.testing.assert_close(plain, unit)
    expected = unit - common[:, None, None]
    torch.testing.assert_close(centred, expected / expected.norm(dim=0), rtol=1e-4, atol=1e-5)


def test_tokens_are_enlarged_around_their_middles() -> None:
    tokens = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # two channels, one row of two tokens
    (enlarged,) = token_features(tokens, (1, 4)).parts()
    expected = torch.tensor([1.0, 0.75, 0.25, 0.0])
    length = (expected**2 + (1 - expected) ** 2).sqrt()
    torch.testing.assert_close(enlarged[0, 0, 0], expected / length)


def test_backbones_are_named() -> None:
    assert TokenChoice.parse("dino_vitb8").weights == ("timm",)
    assert TokenChoice.parse("dinov2_vitb14:timm+fit3d").name == "2D dinov2_vitb14 (timm + fit3d)"
    with pytest.raises(InputError, match="unknown backbone 'resnet'"):
        TokenChoice.parse("resnet")
    with pytest.raises(InputError, match=r"BACKBONE:WEIGHTS\[\+WEIGHTS\]"):
        TokenChoice.parse("dino_vitb8:timm+")


# Segmentation


def test_scores_of_classes_worked_out_by_hand() -> None:
    target = np.array([0, 0, 1, -1, 13])
    confusion = pixel_confusion(target, np.array([0, 1, 1, 5, 13]), (19, 19))
    assert confusion.sum() == 4
    scores = segmentation_scores(confusion)
    assert scores.accuracy == 0.75
    assert scores.miou == pytest.approx((0.5 + 0.5 + 1) / 19)
    assert scores.weighted_miou == pytest.approx((4 * 0.5 + 2 * 0.5 + 2 * 1) / 27)
    assert np.isnan(segmentation_scores(np.zeros((19, 19), np.int64)).accuracy)


@pytest.mark.parametrize(
    ("target", "prediction", "message"),
    [
        (np.zeros(3, int), np.zeros(2, int), "must agree"),
        (np.array([19]), np.array([0]), r"classes must be 0..18, got 19..19"),
        (np.array([0]), np.array([27]), r"predictions must be 0..26, got 27..27"),
    ],
)
def test_impossible_pixels_are_refused(
    target: np.ndarray, prediction: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        pixel_confusion(target, prediction, (19, 27))


# Dense CRF


def gaussian(points: np.ndarray) -> np.ndarray:
    """Return the symmetrically normalised (N, N) Gaussian kernel."""
    square = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    kernel = np.exp(-0.5 * square)
    scale = 1 / np.sqrt(kernel.sum(axis=1))
    return scale[:, None] * kernel * scale[None]


@pytest.mark.parametrize(("dimensions", "error"), [(1, 0.08), (2, 0.14), (3, 0.3)])
def test_the_lattice_filters_like_a_gaussian(dimensions: int, error: float) -> None:
    rng = np.random.default_rng(dimensions)
    points = 1.5 * rng.normal(size=(400, dimensions))
    values = rng.normal(size=(400, 3)).astype(np.float32)
    expected = gaussian(points) @ values
    found = GaussianFilter(points)(values)
    assert np.linalg.norm(found - expected) < error * np.linalg.norm(expected)


def test_far_points_do_not_mix() -> None:
    points = np.array([[0.0, 0.0], [0.0, 0.0], [50.0, 0.0]])
    found = GaussianFilter(points)(np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(found, [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], atol=1e-6)


def test_the_crf_is_mean_field_inference() -> None:
    """Every step is compared with the sum over all pairs of pixels."""
    rng = np.random.default_rng(0)
    rgb = np.full((12, 16, 3), 60, np.uint8)
    rgb[:, 8:] = 180
    label = np.where(np.arange(16) < 8, 0, 2)[None].repeat(12, axis=0).astype(np.uint8)
    noisy = rng.random(label.shape) < 0.25
    label[noisy] = rng.integers(0, 4, int(noisy.sum()))
    settings = CrfSettings(smooth_weight=1, smooth_xy=2, edge_weight=6, edge_xy=6, edge_rgb=20)
    found = refine_labels(label, rgb, settings)
    position = np.indices(label.shape).reshape(2, -1).T
    edge = np.concatenate([position / 6, rgb.reshape(-1, 3) / 20], axis=1)
    kernel = 1 * gaussian(position / 2) + 6 * gaussian(edge)
    one_hot = np.eye(4)[label.ravel()]
    unary = np.log(softmax(one_hot, axis=1))
    probability = softmax(unary, axis=1)
    for _ in range(settings.iterations):
        probability = softmax(unary + kernel @ probability, axis=1)
    expected = probability.argmax(axis=1).reshape(label.shape)
    assert (expected != label).sum() > 20  # there is something to do
    np.testing.assert_array_equal(found, expected)


def test_the_crf_needs_an_image_of_the_same_size() -> None:
    with pytest.raises(InputError, match="must have one size"):
        refine_labels(np.zeros((4, 4), np.uint8), np.zeros((4, 5, 3), np.uint8))
