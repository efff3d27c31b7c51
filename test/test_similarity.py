# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Voxels and pixels compared by their features: from Python, and drawn by `scenedino predict`."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from models import lively_checkpoint, noise_image, street_camera

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image import ImagePreprocessor, image_tensor
from scenedino_ros.checkpoints.checkpoint import build_model, save_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.grid_view import camera_points
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.inference.similarity import VoxelFeatures
from scenedino_ros.viewing.heat_colors import brightness, color_similarity

GRID = VoxelGrid((0.0, -4.0, -2.0), (24, 20, 10), 0.4)
T_GRID_CAM = np.array(
    [[0.0, 0.0, 1.0, 0.3], [-1.0, 0.0, 0.0, 0.1], [0.0, -1.0, 0.0, 0.2], [0.0, 0.0, 0.0, 1.0]]
)


def test_similarity_equals_the_plain_networks() -> None:
    checkpoint = lively_checkpoint()
    predictor, model = Predictor(checkpoint, device="cpu"), build_model(checkpoint)
    encoded = predictor.encode(noise_image(), street_camera())
    voxels = predictor.voxels(encoded, GRID, T_GRID_CAM)
    features = VoxelFeatures(predictor, encoded, voxels, T_GRID_CAM)
    points = torch.from_numpy(camera_points(GRID, T_GRID_CAM)[voxels.index])[None]
    K = torch.from_numpy(encoded.camera.K_norm).float()[None]
    with torch.inference_mode():
        expected = model.query(model.encode(image_tensor(encoded.rgb)), points, K)[1][0].numpy()
    assert len(expected) == len(voxels) > 100
    np.testing.assert_allclose(features.feature.numpy(), expected, rtol=1e-3, atol=1e-4)
    centred = (expected - expected.mean(axis=0)).astype(np.float64)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    similarity = features.similarity(features.feature[7])
    np.testing.assert_allclose(similarity, centred @ centred[7], atol=1e-3)
    assert similarity[7] == pytest.approx(1, abs=1e-5)
    assert similarity.argmax() == 7
    rendered = predictor.rendered_features(encoded, downscale=4)
    of_pixels = features.similarity(rendered[3, 5], rendered)
    assert of_pixels.shape == (16, 40)
    assert of_pixels[3, 5] == pytest.approx(1, abs=1e-5)


def test_the_nearest_voxel_is_found_with_its_distance() -> None:
    predictor = Predictor(lively_checkpoint(), device="cpu")
    encoded = predictor.encode(noise_image(), street_camera())
    features = VoxelFeatures(predictor, encoded, predictor.voxels(encoded, GRID, T_GRID_CAM))
    center = features.voxels.centers()[11]
    row, distance = features.nearest(center + np.array([0.05, -0.12, 0.0]))
    assert (row, distance) == (11, pytest.approx(0.13, abs=1e-5))
    nothing = predictor.voxels(encoded, GRID, T_GRID_CAM, VoxelQuery(1e9))
    with pytest.raises(InputError, match="needs occupied voxels, got none"):
        VoxelFeatures(predictor, encoded, nothing, T_GRID_CAM)


@pytest.mark.parametrize(
    ("camera", "fit", "pixel", "place"),
    [
        (
            CalibratedCamera(PinholeCamera.from_focal(60, 60, 48, 25, 96, 50)),
            "stretch",
            (0, 0),
            (0, 0),
        ),
        (
            CalibratedCamera(PinholeCamera.from_focal(60, 60, 48, 25, 96, 50)),
            "stretch",
            (95, 49),
            (63, 31),
        ),
        (
            CalibratedCamera(PinholeCamera.from_focal(60, 60, 48, 25, 96, 50)),
            "stretch",
            (48, 25),
            (32, 16),
        ),
        (
            CalibratedCamera(PinholeCamera.from_focal(60, 60, 100, 25, 200, 50)),
            "crop",
            (100, 25),
            (32, 16),
        ),
        (
            CalibratedCamera(
                PinholeCamera.from_focal(60, 60, 48, 25, 96, 50),
                "plumb_bob",
                np.array([-0.2, 0, 0, 0, 0]),
            ),
            "stretch",
            (48, 25),
            (32, 16),
        ),
    ],
)
def test_a_pixel_is_found_in_the_network_input_image(camera, fit, pixel, place) -> None:
    column, row = ImagePreprocessor((32, 64), fit).locate(camera, pixel)
    assert abs(column - place[0]) <= 1
    assert abs(row - place[1]) <= 1


@pytest.mark.parametrize("column", [2, 40])  # columns 50 to 149 are shown
def test_a_pixel_that_is_cropped_is_refused(column: int) -> None:
    wide = CalibratedCamera(PinholeCamera.from_focal(60, 60, 100, 25, 200, 50))
    with pytest.raises(InputError, match=f"does not show the pixel {column}, 25: it is cropped"):
        ImagePreprocessor((32, 64), "crop").locate(wide, (column, 25))


def test_colours_are_spread_over_the_angle() -> None:
    angles = np.radians([0, 15, 30, 45, 60, 90, 180])
    found = brightness(np.cos(angles))
    np.testing.assert_allclose(found, [1, 0.75, 0.5, 0.25, 0, 0, 0], atol=1e-6)
    colors = color_similarity(np.cos(angles)).astype(int).sum(axis=-1)
    assert (np.diff(colors[:5]) < 0).all()
    assert colors[4] == colors[5] == colors[6] < 20


def predict(image: Path, checkpoint: Path, output: Path, pixel: str, *more: str) -> int:
    grid = ["--origin", "-4,-2,1", "--shape", "8,4,8", "--voxel-size", "1.0"]
    options = ["--intrinsics", "60,62,47.5,25", "--device", "cpu", "--checkpoint", str(checkpoint)]
    return main(
        ["predict", str(image), *options, *grid, "-o", str(output), "--similar-to", pixel, *more]
    )


def test_predict_draws_what_is_similar_to_a_pixel(tmp_path: Path, capsys) -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (50, 96, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "street.png"), rgb[..., ::-1])
    checkpoint = lively_checkpoint()
    save_checkpoint(tmp_path / "tiny.safetensors", checkpoint)
    arguments = (tmp_path / "street.png", tmp_path / "tiny.safetensors", tmp_path / "out")
    predictor = Predictor(checkpoint, device="cpu")
    camera = CalibratedCamera(PinholeCamera.from_focal(60, 62, 47.5, 25, 96, 50))
    encoded = predictor.encode(rgb, camera)
    view = predictor.render(encoded, downscale=2, n_samples=32, unbounded=True)
    locate = ImagePreprocessor(predictor.image_size).locate
    places = {(u, 25): locate(camera, (u, 25)) for u in range(0, 96, 5)}
    found = [uv for uv, (x, y) in places.items() if np.isfinite(view.depth[y // 2, x // 2])]
    pixel = f"{found[0][0]},{found[0][1]}"
    assert predict(*arguments, pixel) == 0
    assert "compared with the surface at (" in capsys.readouterr().out
    picture = cv2.imread(str(tmp_path / "out" / "street" / "similarity.png"))[..., ::-1]
    assert picture.shape == (484, 1396, 3)
    tile = picture[12 + 22 + 22 + 176 + 22 :][:176, 12 : 12 + 560]
    brightest = color_similarity(np.array([1.0]))[0]
    assert (abs(tile.astype(int) - brightest).max(axis=-1) < 3).any()
    assert predict(*arguments, pixel) == 0  # nothing to do
    assert predict(*arguments, "1,1") == 2
    assert "made with another similar_to" in capsys.readouterr().err
    for outside in ("96,3", "-1,3", "3,50"):
        assert predict(*arguments, outside) == 2
    assert "--similar-to must be in 0 to 95, 0 to 49 px, got 3, 50" in capsys.readouterr().err


def test_predict_says_where_nothing_can_be_compared(tmp_path: Path, capsys, monkeypatch) -> None:
    cv2.imwrite(str(tmp_path / "street.png"), np.zeros((50, 96, 3), np.uint8))
    save_checkpoint(tmp_path / "tiny.safetensors", lively_checkpoint())
    arguments = (tmp_path / "street.png", tmp_path / "tiny.safetensors")
    assert predict(*arguments, tmp_path / "a", "40,30", "--threshold", "1e9") == 0
    said = capsys.readouterr().err
    assert "street.png, pixel 40, 30: " in said
    assert "no voxel is occupied" in said or "nothing is there" in said
    assert not (tmp_path / "a" / "street" / "similarity.png").exists()
    assert (tmp_path / "a" / "street" / "voxels.npz").exists()
    render = Predictor.render

    def render_sky(*given, **options):
        view = render(*given, **options)
        view.depth[:] = np.inf
        return view

    monkeypatch.setattr(Predictor, "render", render_sky)
    assert predict(*arguments, tmp_path / "b", "40,30") == 0
    assert "nothing is there, the ray meets no surface" in capsys.readouterr().err
    assert not (tmp_path / "b" / "street" / "similarity.png").exists()
