"""Parity of the network with the published one, on weights made from a recipe."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from golden_arrays import remember
from golden_weights import golden_model
from torch.nn import functional

from scenedino_ros.core import ssc
from scenedino_ros.core.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.core.checkpoint import Checkpoint
from scenedino_ros.core.config import PREDICTION_MODES
from scenedino_ros.core.field import project, sample_map
from scenedino_ros.core.grid_view import camera_points
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.metrics import confusion_matrix, hungarian_columns
from scenedino_ros.core.model import SceneDino
from scenedino_ros.core.predictor import Predictor, VoxelQuery
from scenedino_ros.core.render import composite, pixel_rays, render_rays, sample_distances
from scenedino_ros.core.voxels import SemanticVoxels

TOLERANCE = 1e-4
# Behind the camera and within 0.5 m the code's sines have huge arguments: two correct float32
# implementations differ there.
UNSTABLE_KINDS = (2, 4)


@dataclass
class PointCase:
    """One golden case and what our network makes of it, computed once."""

    arrays: dict[str, np.ndarray]
    model: SceneDino
    taps: list[torch.Tensor]
    feature_map: torch.Tensor
    K: torch.Tensor
    T_cam_world: torch.Tensor
    points_cam: torch.Tensor
    density: torch.Tensor
    feature: torch.Tensor
    stable: np.ndarray


def backbone_name(meta: dict, arrays: dict[str, np.ndarray]) -> str:
    """Translate the golden files' names of backbones; DINO's patches follow from the grid."""
    family = {"v1": "dino", "v2": "dinov2", "reg": "dinov2reg"}[meta["version"].split("_")[0]]
    patch = 14
    if family == "dino":
        patch = (
            meta["image_size"][0] // int(arrays["patch_grid"][0]) if "patch_grid" in arrays else 8
        )
    return f"{family}_{meta['backbone'].replace('-', '')}{patch}"


def close(ours: torch.Tensor, golden: np.ndarray, tolerance: float = TOLERANCE) -> None:
    """Compare within atol = rtol."""
    remember(ours.numpy(), golden)
    np.testing.assert_allclose(ours.numpy(), golden, rtol=tolerance, atol=tolerance)


def close_depth(ours: torch.Tensor, golden: np.ndarray) -> None:
    """Compare distances in metres, relative to each."""
    remember(ours.numpy(), golden)
    np.testing.assert_allclose(ours.numpy(), golden, rtol=TOLERANCE)


@pytest.fixture(scope="module")
def point_case(request: pytest.FixtureRequest) -> PointCase:
    """Run the network on one golden case."""
    with np.load(request.param) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays["meta"]))
    model = golden_model(backbone_name(meta, arrays), tuple(meta["image_size"]))
    image = torch.from_numpy(arrays["image_u8"]).float() / 255 * 2 - 1
    K = torch.from_numpy(arrays["K"][:, 0])
    T_cam_world = torch.linalg.inv(torch.from_numpy(arrays["pose_c2w"][:, 0]))
    points = torch.from_numpy(arrays["points"])
    points_cam = points @ T_cam_world[:, :3, :3].transpose(1, 2) + T_cam_world[:, None, :3, 3]
    with torch.inference_mode():
        taps = model.encoder(image)
        feature_map = model.decoder(taps)
        density, feature, _ = model.query(feature_map, points_cam, K)
    stable = ~np.isin(arrays["point_kind"], UNSTABLE_KINDS)
    return PointCase(
        arrays, model, taps, feature_map, K, T_cam_world, points_cam, density, feature, stable
    )


def test_encoder_taps(point_case: PointCase) -> None:
    step = point_case.taps[0].shape[1] // 8
    for i, tap in enumerate(point_case.taps):
        golden = point_case.arrays[f"enc_feat_{i}"]
        close(tap[:, ::step] / np.abs(golden).max(), golden / np.abs(golden).max())


def test_decoder_map_and_its_borders(point_case: PointCase) -> None:
    arrays, feature_map = point_case.arrays, point_case.feature_map
    scale = float(arrays["dec_stats"][2])
    s0, s1, s2 = arrays["dec_step"]
    assert tuple(feature_map.shape) == tuple(arrays["dec_shape"])
    close(feature_map[:, ::s0, ::s1, ::s2] / scale, arrays["dec_feat"] / scale)
    close(feature_map[:, ::64, 0, ::4] / scale, arrays["dec_top"] / scale)
    close(feature_map[:, ::64, -1, ::4] / scale, arrays["dec_bottom"] / scale)
    close(feature_map[:, ::64, ::4, 0] / scale, arrays["dec_left"] / scale)
    close(feature_map[:, ::64, ::4, -1] / scale, arrays["dec_right"] / scale)


def test_projection_lookup_and_code(point_case: PointCase) -> None:
    arrays = point_case.arrays
    found = project(point_case.points_cam, point_case.K)
    borderline = arrays["point_kind"] == 3
    np.testing.assert_array_equal(
        ~found.visible.numpy()[~borderline], arrays["invalid"][~borderline]
    )
    assert np.mean(~found.visible.numpy() == arrays["invalid"]) > 0.999
    sampled = sample_map(point_case.feature_map, found.uv_norm)[:, ::8, ::16]
    scale = np.abs(arrays["sampled_feat"]).max()
    close(sampled / scale, arrays["sampled_feat"] / scale)
    code = point_case.model.code(found.uv_norm, found.depth)[:, ::4]
    stable = point_case.stable[:, ::4]
    close(code[stable], arrays["pos_code"][stable])


def test_density_and_feature(point_case: PointCase) -> None:
    arrays, stable = point_case.arrays, point_case.stable
    close(point_case.density[stable], arrays["sigma"][stable])
    close(point_case.feature[:, ::4][stable[:, ::4]], arrays["feat64"][stable[:, ::4]])
    unstable = ~stable
    np.testing.assert_allclose(
        point_case.density[unstable].numpy(), arrays["sigma"][unstable], rtol=5e-2, atol=5e-2
    )


def test_expanded_feature_and_code(point_case: PointCase) -> None:
    arrays, model = point_case.arrays, point_case.model
    with torch.inference_mode():
        full = model.expansion(point_case.feature)
        stego = model.semantics.stego_head(functional.normalize(full, dim=-1, eps=1e-10))
    stable = point_case.stable
    close(full[:, ::8, ::12][stable[:, ::8]], arrays["feat_full"][stable[:, ::8]])
    close(stego[:, ::4][stable[:, ::4]], arrays["stego_code"][stable[:, ::4]])


@pytest.mark.parametrize("mode", PREDICTION_MODES)
def test_classes(point_case: PointCase, mode: str) -> None:
    arrays, stable = point_case.arrays, point_case.stable
    with torch.inference_mode():
        label, scores = point_case.model.classify(point_case.feature, mode)
    close(scores[:, ::16][stable[:, ::16]], arrays[f"scores_{mode}"][stable[:, ::16]])
    clear = stable & (arrays[f"margin_{mode}"] > 1e-3)
    np.testing.assert_array_equal(label.numpy()[clear], arrays[f"seg_{mode}"][clear])


def test_ray_directions(point_case: PointCase) -> None:
    arrays, image = point_case.arrays, point_case.arrays["image_u8"]
    height, width = image.shape[-2:]
    rows, columns = arrays["ray_pixel"].T
    for b, golden in enumerate(arrays["rays"]):
        rays = pixel_rays(point_case.K[b], height, width)[rows, columns]
        R_world_cam = torch.from_numpy(arrays["pose_c2w"][b, 0, :3, :3])
        close(rays @ R_world_cam.T, golden[:, 3:6], tolerance=1e-5)


def render_case(case: PointCase, distances: torch.Tensor, opaque_end: bool = False):
    """Render the golden rays of every image of the batch with our own code."""
    results = []
    for b, golden in enumerate(torch.from_numpy(case.arrays["rays"])):
        T = case.T_cam_world[b]

        def field(points, b=b, T=T):
            density, feature, _ = case.model.query(
                case.feature_map[b : b + 1],
                (points @ T[:3, :3].T + T[:3, 3])[None],
                case.K[b : b + 1],
            )
            return density[0], feature[0]

        with torch.inference_mode():
            results.append(
                render_rays(
                    field,
                    golden[:, :3],
                    golden[:, 3:6],
                    distances if distances.ndim == 1 else distances[b],
                    opaque_end=opaque_end,
                )
            )
    return results


def test_rendering_between_sample_bounds(point_case: PointCase) -> None:
    arrays = point_case.arrays
    meta = json.loads(str(arrays["meta"]))
    distances = sample_distances(meta["z_near"], meta["z_far"], meta["n_coarse"])
    for b, (result, feature) in enumerate(render_case(point_case, distances)):
        close(distances.expand(len(feature), -1), arrays["render_mid_z"][b])
        close(result.weights, arrays["render_mid_weights"][b])
        close(result.alpha, arrays["render_mid_alphas"][b])
        close_depth(result.distance, arrays["render_mid_depth"][b])
        close(feature, arrays["render_mid_feat64"][b])
        with torch.inference_mode():
            close(point_case.model.expansion(feature)[:, ::12], arrays["render_mid_feat_full"][b])
        for mode in PREDICTION_MODES:
            with torch.inference_mode():
                label, _ = point_case.model.classify(feature, mode)
            clear = arrays[f"render_mid_margin_{mode}"][b] > 1e-3
            np.testing.assert_array_equal(
                label.numpy()[clear], arrays[f"render_mid_seg_{mode}"][b][clear]
            )


def test_rendering_with_an_opaque_end(point_case: PointCase) -> None:
    distances = torch.from_numpy(point_case.arrays["render_midcap_z"])
    for b, (result, _) in enumerate(render_case(point_case, distances, opaque_end=True)):
        close_depth(result.distance, point_case.arrays["render_midcap_depth"][b])


def test_rendering_jittered_samples(point_case: PointCase) -> None:
    distances = torch.from_numpy(point_case.arrays["render_jit_z"])
    for b, (result, _) in enumerate(render_case(point_case, distances)):
        close(result.weights, point_case.arrays["render_jit_weights"][b])
        close_depth(result.distance, point_case.arrays["render_jit_depth"][b])


def test_composite_of_nothing_is_nothing() -> None:
    distances = sample_distances(3.0, 80.0, 8)
    assert composite(torch.zeros(8), distances).weights.sum() == 0


@dataclass
class VoxelCase:
    """One golden benchmark frame, the plain network on it, and the predictor's answer."""

    arrays: dict[str, np.ndarray]
    mode: str
    model: SceneDino
    image: torch.Tensor
    voxels: SemanticVoxels
    fov: np.ndarray

    @property
    def prediction(self) -> np.ndarray:
        """Benchmark classes of the predictor's voxels, (X, Y, Z)."""
        occupied = self.voxels.occupied()
        return np.where(
            occupied, CITYSCAPES19.ssc_lookup[self.voxels.label_grid(empty=10)], 0
        ).astype(np.uint8)


@pytest.fixture(scope="module")
def voxel_case(request: pytest.FixtureRequest) -> VoxelCase:
    """Run the predictor on one golden benchmark frame."""
    with np.load(request.param) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays["meta"]))
    height, width = meta["image_size"]
    backbone = backbone_name(meta, arrays)
    model = golden_model(backbone, (height, width), meta["density_bias_shift"])
    checkpoint = Checkpoint(model.config, CITYSCAPES19, model.state_dict())
    K = arrays["K"].astype(np.float64)
    K[0] *= width / 2
    K[1] *= height / 2
    K[:2, 2] += (width / 2, height / 2)
    camera = CalibratedCamera(PinholeCamera(K, width, height))
    predictor = Predictor(checkpoint, device="cpu", mode=meta["mode"])
    encoded = predictor.encode(arrays["image_u8"][0].transpose(1, 2, 0), camera)
    query = VoxelQuery(meta["sigma_cutoff"], grow=True, out_of_view=True)
    voxels = predictor.voxels(encoded, ssc.GRID, ssc.T_VELO_CAM, query)
    fov = np.unpackbits(arrays["fov_mask_bits"]).astype(bool).reshape(ssc.GRID.shape)
    image = torch.from_numpy(arrays["image_u8"]).float() / 255 * 2 - 1
    return VoxelCase(arrays, meta["mode"], model, image, voxels, fov)


def test_benchmark_field_of_view(voxel_case: VoxelCase) -> None:
    np.testing.assert_array_equal(ssc.view_mask(), voxel_case.fov)


def test_benchmark_density_and_class_of_the_plain_network(voxel_case: VoxelCase) -> None:
    arrays = voxel_case.arrays
    points = camera_points(ssc.GRID, ssc.T_VELO_CAM).reshape(*ssc.GRID.shape, 3)
    np.testing.assert_allclose(points[::51, ::51, ::15], arrays["grid_probe"], atol=1e-4)
    with torch.inference_mode():
        density, feature, _ = voxel_case.model.query(
            voxel_case.model.encode(voxel_case.image),
            torch.from_numpy(points[::4, ::4, ::2].reshape(1, -1, 3).copy()),
            torch.from_numpy(arrays["K"])[None],
        )
        label, _ = voxel_case.model.classify(feature, voxel_case.mode)
    shape = arrays["sigma_sub"].shape
    fov = voxel_case.fov[::4, ::4, ::2]
    ours = density.numpy().reshape(shape)[fov]
    remember(ours, arrays["sigma_sub"][fov])
    np.testing.assert_allclose(ours, arrays["sigma_sub"][fov], atol=5e-4)
    same = label.numpy().reshape(shape)[fov] == arrays["seg19_sub"][fov]
    assert same.mean() >= 0.999


def test_benchmark_voxels_of_the_predictor(voxel_case: VoxelCase) -> None:
    arrays, fov = voxel_case.arrays, voxel_case.fov
    occupied = np.unpackbits(arrays["occ_bits"]).astype(bool).reshape(ssc.GRID.shape)
    assert (voxel_case.voxels.occupied() == occupied)[fov].mean() >= 0.9999
    assert (voxel_case.prediction == arrays["final_label"])[fov].mean() >= 0.999


def test_benchmark_counts(voxel_case: VoxelCase) -> None:
    arrays = voxel_case.arrays
    raw = arrays["target_coarse"].repeat(8, 0).repeat(8, 1).repeat(4, 2)
    target = ssc.evaluated_target(raw)
    plain = ssc.evaluated_target(np.full_like(raw, 7))
    assert (plain == 7).all()
    newly_ignored = (target == 255) & (raw != 255)
    assert newly_ignored.sum() == arrays["additional_invalid_count"]
    for metres in ssc.RANGES:
        crop = ssc.range_crop(metres)
        scored = (target[crop] != 255) & voxel_case.fov[crop]
        ours = confusion_matrix(target[crop][scored], voxel_case.prediction[crop][scored], 16)
        golden = arrays[f"metrics_{metres}_confusion"]
        assert np.abs(ours - golden).sum() <= 1e-3 * golden.sum()
    # The stored permutation runs from predicted to target classes, ours the other way round.
    np.testing.assert_array_equal(np.argsort(hungarian_columns(golden)), arrays["hungarian_col"])
