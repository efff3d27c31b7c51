# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The command line: what it writes, what it prints, what it refuses, and how fast it helps."""

import json
import os
import re
import shlex
import subprocess
import sys
from ctypes.util import find_library
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from official_files import small_state, training_config, write_folder

from scenedino_ros import __version__
from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.camera_file import camera_from_yaml
from scenedino_ros.checkpoints.checkpoint import (
    load_checkpoint,
    save_checkpoint,
    untrained_checkpoint,
)
from scenedino_ros.cli.main import SUBCOMMANDS, build_parser, main
from scenedino_ros.cli.results import result_folders
from scenedino_ros.cli.view import has_display
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.viewing.voxel_files import read_npz
from scenedino_ros.viewing.voxel_view import draw_voxels

ROOT = Path(__file__).parent.parent
INTRINSICS = "60,62,47.5,25"
GRID = ["--origin", "-4,-2,1", "--shape", "8,4,8", "--voxel-size", "1.0"]
RESULTS = ["classes.png", "depth.png", "input.png", "panel.png", "voxels.npz", "voxels.ply"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ModelConfig(
        backbone="dinov2_vits14",
        image_size=(32, 64),
        decoder_width=8,
        upsample_tail=False,
        hidden_dim=16,
        n_classes=19,
        n_clusters=19,
    )
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, untrained_checkpoint(config, seed=3))
    return path


def twin(checkpoint: Path, folder: Path) -> Path:
    """Write a checkpoint of other weights and the same provenance."""
    loaded = load_checkpoint(checkpoint)
    name = "field.lin_out.bias"
    state = {**loaded.state, name: loaded.state[name] + 0.1}
    save_checkpoint(folder / "twin.safetensors", replace(loaded, state=state))
    return folder / "twin.safetensors"


def state_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written again."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def picture(seed: int, size: tuple[int, int] = (50, 96)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    cv2.imwrite(str(path), picture(1))
    return path


def predict(images: Path, checkpoint: Path, output: Path, *more: str) -> int:
    arguments = ["predict", str(images), "--checkpoint", str(checkpoint), "-o", str(output)]
    if "--camera-info" not in more and "--intrinsics" not in more:
        arguments += ["--intrinsics", INTRINSICS]
    return main([*arguments, *GRID, "--device", "cpu", *more])


def test_predict_writes_what_the_predictor_finds(image, checkpoint, tmp_path: Path, capsys):
    assert predict(image, checkpoint, tmp_path / "out", "--threshold", "0.5") == 0
    folder = tmp_path / "out" / "street"
    assert sorted(path.name for path in folder.iterdir()) == RESULTS
    camera = CalibratedCamera(PinholeCamera.from_focal(60, 62, 47.5, 25, 96, 50))
    predictor = Predictor(load_checkpoint(checkpoint), device="cpu")
    encoded = predictor.encode(picture(1)[..., ::-1], camera)
    hidden = predictor.classes.ids(("sky",))
    expected = predictor.voxels(
        encoded, VoxelGrid((-4, -2, 1), (8, 4, 8), 1.0), None, VoxelQuery(0.5, hidden=hidden)
    )
    assert len(expected) > 0
    found = read_npz(folder / "voxels.npz")
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_allclose(found.density, expected.density, rtol=1e-4)
    with np.load(folder / "voxels.npz") as data:
        np.testing.assert_array_equal(data["K"], camera.pinhole.K)
        assert data["rendered_depth"].shape == (16, 32)
        assert str(data["weights"]) == predictor.weights
        about = json.loads(str(data["about"]))
        assert set(about) == set(data.files)
        for name, text in about.items():  # each begins with the shape, one size a dimension
            shape = text[1 : text.index(")")].split(",")
            assert len([size for size in shape if size.strip()]) == data[name].ndim, name
            kind = {"f": "float", "i": "int", "u": "uint", "U": "text"}[data[name].dtype.kind]
            words = "text" if kind == "text" else f"{kind}{8 * data[name].dtype.itemsize}"
            assert f"{words}:" in text, name
    out = capsys.readouterr().out
    assert f"weights: {predictor.weights}" in out
    assert f"{folder}: {len(expected)} voxels in" in out


def test_predict_draws_the_voxels_at_several_thresholds(image, checkpoint, tmp_path: Path):
    arguments = (image, checkpoint, tmp_path / "out", "--exposed-only", "--threshold", "0")
    assert predict(*arguments, "--thresholds", "0.9,0.3,0.5") == 0
    folder = tmp_path / "out" / "street"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*RESULTS, "thresholds.png"])
    found = cv2.imread(str(folder / "thresholds.png"))[..., ::-1]
    predictor = Predictor(load_checkpoint(checkpoint), device="cpu")
    camera = CalibratedCamera(PinholeCamera.from_focal(60, 62, 47.5, 25, 96, 50))
    encoded = predictor.encode(picture(1)[..., ::-1], camera)
    hidden = predictor.classes.ids(("sky",))
    # A column is what is drawn of the voxels that this threshold alone gives.
    pictures = [found[:, start : start + 440] for start in (12 + n * 452 for n in range(4))]
    grid, counts = VoxelGrid((-4, -2, 1), (8, 4, 8), 1.0), []
    for column, threshold in zip(pictures[1:], (0.3, 0.5, 0.9), strict=True):
        voxels = predictor.voxels(encoded, grid, None, VoxelQuery(threshold, hidden=hidden))
        drawing = draw_voxels(voxels, predictor.classes, camera=encoded.camera, size=(330, 440))
        np.testing.assert_array_equal(column[56 : 56 + 330], drawing)
        counts.append(len(voxels))
    assert counts[0] > counts[1] > counts[2] > 0
    complete, surface = (
        predictor.voxels(encoded, grid, None, VoxelQuery(0, hidden=hidden, exposed_only=only))
        for only in (False, True)
    )
    np.testing.assert_array_equal(read_npz(folder / "voxels.npz").index, surface.index)
    assert len(surface) < len(complete)
    assert predict(*arguments, "--thresholds", "0.9,0.3,0.5") == 0  # nothing to do
    assert predict(*arguments, "--thresholds", "0.9") == 2


def test_predict_takes_the_threshold_of_the_checkpoint(image, checkpoint, tmp_path: Path):
    dense = tmp_path / "dense.safetensors"
    save_checkpoint(dense, replace(load_checkpoint(checkpoint), density_threshold=0.6))
    found = {}
    for name, path, more in (("own", dense, ()), ("given", checkpoint, ("--threshold", "0.6"))):
        assert predict(image, path, tmp_path / name, *more) == 0
        found[name] = read_npz(tmp_path / name / "street" / "voxels.npz")
    np.testing.assert_array_equal(found["own"].index, found["given"].index)
    assert found["own"].density.min() >= 0.6
    assert predict(image, checkpoint, tmp_path / "published") == 0
    assert len(read_npz(tmp_path / "published/street/voxels.npz")) > len(found["own"]) > 0
    # Asked for by name it is the same, so there is nothing to do.
    assert predict(image, dense, tmp_path / "own", "--threshold", "0.6") == 0
    assert predict(image, dense, tmp_path / "own", "--threshold", "0.2") == 2


def test_an_empty_result_and_an_odd_camera_are_explained(
    image, checkpoint, tmp_path: Path, capsys
):
    dense = ("--threshold", "1e9", "--intrinsics", "20,20,48,25")
    assert predict(image, checkpoint, tmp_path / "out", *dense) == 0
    said = capsys.readouterr()
    pattern = r"street: 0 voxels in .* s: the highest density in view .* the threshold of 1e.09"
    assert re.search(pattern, said.out)
    assert re.search(r"warning: focal lengths of 20 and 20 px .* 135 x 103 degrees", said.err)
    normalised = ("--intrinsics", "0.6,0.6,0.5,0.5")
    assert predict(image, checkpoint, tmp_path / "bad", *normalised) == 2
    assert "must be in pixels of the image of 96 x 50 px" in capsys.readouterr().err


def test_finished_images_are_skipped_and_never_replaced_silently(
    image, checkpoint, tmp_path: Path, capsys
):
    output = tmp_path / "out"
    assert predict(image, checkpoint, output) == 0
    result = output / "street" / "voxels.npz"
    written = state_of(result)
    assert predict(image, checkpoint, output) == 0
    assert "nothing to do: 1 finished" in capsys.readouterr().out
    assert state_of(result) == written
    assert predict(image, checkpoint, output, "--threshold", "0.9") == 2
    assert "street was made with another density_threshold; choose" in capsys.readouterr().err
    # Other weights that say the same about themselves, as two runs of equal settings do.
    assert predict(image, twin(checkpoint, tmp_path), output) == 2
    assert "street was made with another checkpoint; choose" in capsys.readouterr().err
    assert state_of(result) == written
    cv2.imwrite(str(image), picture(2))
    assert predict(image, checkpoint, output) == 2
    assert "was made with another image" in capsys.readouterr().err
    assert predict(image, checkpoint, output, "--force") == 0
    assert state_of(result) != written
    assert [path.name for path in output.iterdir()] == ["street"]


def test_an_output_that_is_a_file_is_refused_at_once(image, checkpoint, tmp_path: Path, capsys):
    (tmp_path / "file").touch()
    assert predict(image, checkpoint, tmp_path / "file") == 2
    assert (
        f"--output must be a folder, got the file {tmp_path / 'file'}" in capsys.readouterr().err
    )


def test_a_folder_that_is_no_result_is_left_alone(image, checkpoint, tmp_path: Path, capsys):
    mine = tmp_path / "out" / "street" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert predict(image, checkpoint, tmp_path / "out") == 2
    assert "exists and is not a result of predict" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_bad_images_of_a_folder_are_named_and_the_rest_is_done(checkpoint, tmp_path: Path, capsys):
    drive = tmp_path / "drive"
    drive.mkdir()
    (drive / "a.png").write_bytes(b"not a picture")
    cv2.imwrite(str(drive / "b.png"), picture(1))
    cv2.imwrite(str(drive / "c.png"), picture(1, (40, 96)))
    cv2.imwrite(str(drive / "d.jpg"), picture(2))
    (drive / "notes.txt").write_text("no image")
    assert predict(drive, checkpoint, tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert re.search(r"image .*a\.png: .*decoded", err)
    assert re.search(r"image .*c\.png: .*96 x 40", err)
    assert "2 of 4 images failed" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b", "d"]
    assert predict(drive / "a.png", checkpoint, tmp_path / "out") == 2
    assert re.search(r"^scenedino predict: image .*a\.png: ", capsys.readouterr().err)


def test_names_that_differ_in_the_suffix_only_do_not_collide(tmp_path: Path):
    images = [tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "b.png"]
    names = [folder.name for folder in result_folders(images, tmp_path).values()]
    assert names == ["a_png", "a_jpg", "b"]
    with pytest.raises(InputError, match=r"of a.png and a_png.png would both be in .*/a_png; re"):
        result_folders([*images, tmp_path / "a_png.png"], tmp_path)


def calibration(**changes: object) -> dict:
    matrices = {
        "camera_matrix": [60.0, 0, 47.5, 0, 62, 25, 0, 0, 1],
        "distortion_coefficients": [0.0, 0, 0, 0, 0],
        "projection_matrix": [50.0, 0, 40, 0, 0, 50, 20, 0, 0, 0, 1, 0],
    }
    return {
        "image_width": 96,
        "image_height": 50,
        "camera_name": "front",
        "distortion_model": "plumb_bob",
        **{name: {"rows": 1, "cols": len(data), "data": data} for name, data in matrices.items()},
        **changes,
    }


def test_calibration_file_and_intrinsics_give_the_same_voxels(image, checkpoint, tmp_path: Path):
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump(calibration()))
    assert predict(image, checkpoint, tmp_path / "a") == 0
    info = ("--camera-info", str(tmp_path / "camera.yaml"))
    assert predict(image, checkpoint, tmp_path / "b", *info) == 0
    a, b = (read_npz(tmp_path / name / "street" / "voxels.npz") for name in "ab")
    np.testing.assert_array_equal(a.index, b.index)
    np.testing.assert_array_equal(a.density, b.density)


def test_both_kinds_of_calibration_files_are_read(tmp_path: Path):
    path = tmp_path / "camera.yaml"
    D = {"rows": 1, "cols": 5, "data": [0.1, -0.2, 0.0, 0.0, 0.01]}
    path.write_text(yaml.safe_dump(calibration(distortion_coefficients=D)))
    raw = camera_from_yaml(path, rectified=False)
    assert raw.distortion_model == "plumb_bob"
    assert raw.D.tolist() == D["data"]
    assert (raw.pinhole.width, raw.pinhole.height, raw.pinhole.K[1, 1]) == (96, 50, 62.0)
    rectified = camera_from_yaml(path, rectified=True)
    assert not rectified.is_distorted
    assert rectified.pinhole.K[0].tolist() == [50, 0, 40]
    echo = {
        "header": {"frame_id": "camera"},
        "height": 100,
        "width": 192,
        "distortion_model": "",
        "d": [],
        "k": [120.0, 0, 95, 0, 124, 50, 0, 0, 1],
        "binning_x": 2,
        "binning_y": 2,
        "roi": {"x_offset": 10, "y_offset": 0, "height": 100, "width": 100, "do_rectify": False},
    }
    path.write_text(yaml.safe_dump(echo) + "---\n")
    binned = camera_from_yaml(path, rectified=False).pinhole
    assert (binned.width, binned.height, binned.K[0, 0], binned.K[0, 2]) == (50, 50, 60, 42.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "cannot be read"),
        ("- 1", "must hold fields"),
        (yaml.safe_dump(calibration(camera_matrix=None)), "camera_matrix is missing"),
        (yaml.safe_dump(calibration(camera_matrix={"rows": 3})), "must have data, got rows"),
        (yaml.safe_dump(calibration(image_width=None)), "image_width is missing"),
        (yaml.safe_dump(calibration(image_width="wide")), "image_width must be a whole number, g"),
        (yaml.safe_dump(calibration(camera_matrix={"data": [0.0] * 9})), "not calibrated"),
        (
            yaml.safe_dump(
                calibration(distortion_model="odd", distortion_coefficients={"data": [1.0]})
            ),
            "odd",
        ),
    ],
)
def test_unusable_calibration_files_are_refused(content: str, message: str, tmp_path: Path):
    path = tmp_path / "camera.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=f"camera.yaml.*{message}"):
        camera_from_yaml(path, rectified=False)


def test_body_frame_grids_need_the_camera_pose(image, checkpoint, tmp_path: Path, capsys):
    sscbench = ("--grid", "sscbench_near")
    assert predict(image, checkpoint, tmp_path / "out", *sscbench) == 2
    assert "give the camera's pose in it with --camera-pose" in capsys.readouterr().err
    bent = ("--camera-pose", "0,0,0,1,1,1,1")
    assert predict(image, checkpoint, tmp_path / "out", *sscbench, *bent) == 2
    assert "of length 1, got [1.0, 1.0, 1.0, 1.0]" in capsys.readouterr().err
    # Forward, left, up of the body are z, -x, -y of the optical frame.
    pose = ("--camera-pose", "-0.5,0,1.5,-0.5,0.5,-0.5,0.5")
    forward = ("--origin", "1,-4,-2", *sscbench)
    assert predict(image, checkpoint, tmp_path / "out", *forward, *pose, "--grow") == 0
    file = tmp_path / "out" / "street" / "voxels.npz"
    with np.load(file) as data:
        T_grid_cam = data["T_grid_cam"]
    np.testing.assert_allclose(T_grid_cam @ [0, 0, 2, 1], [1.5, 0, 1.5, 1], atol=1e-9)
    found, predictor = read_npz(file), Predictor(load_checkpoint(checkpoint), device="cpu")
    camera = CalibratedCamera(PinholeCamera.from_focal(60, 62, 47.5, 25, 96, 50))
    query = VoxelQuery(grow=True, hidden=predictor.classes.ids(("sky",)))
    expected = predictor.voxels(
        predictor.encode(picture(1)[..., ::-1], camera), found.grid, T_grid_cam, query
    )
    assert found.grid.origin == (1, -4, -2)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.density, expected.density, rtol=1e-4)


def test_predict_refuses_what_is_not_there(checkpoint, tmp_path: Path, capsys):
    assert predict(tmp_path / "nothing", checkpoint, tmp_path / "out") == 2
    assert "there is no image or folder at" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert predict(tmp_path / "empty", checkpoint, tmp_path / "out") == 2
    assert "no images" in capsys.readouterr().err
    cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    assert predict(tmp_path / "a.png", tmp_path / "no.safetensors", tmp_path / "out") == 2
    assert "neither a file nor a name" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--intrinsics", "1,2,3"], "must be 4 numbers fx,fy,cx,cy, got '1,2,3'"),
        (["--intrinsics", "1,2,3,inf"], "must be 4 numbers"),
        (["--intrinsics", INTRINSICS, "--camera-info", "c.yaml"], "not allowed with"),
        ([], "one of the arguments --intrinsics --camera-info is required"),
        (["--intrinsics", INTRINSICS, "--shape", "1,2,0"], "must be counts >= 1"),
        (["--intrinsics", INTRINSICS, "--shape", "1,2,-3"], "must be 3 counts X,Y,Z"),
        (["--intrinsics", INTRINSICS, "--voxel-size", "0"], "must be > 0"),
        (["--intrinsics", INTRINSICS, "--threshold", "-1"], "must be >= 0"),
        (["--intrinsics", INTRINSICS, "--grid", "moon"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_explained(arguments, message: str, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["predict", "a.png", "-o", "out", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


NUMBERED = (  # commands, and their options that take numbers of frames, seeds or drives
    ("synthesize streets", "seeds"),
    ("index bag --check", "frames"),
    ("evaluate depth data -o run", "train-frames"),
    ("evaluate geometry data -o run", "frames"),
    ("evaluate segmentation data -o run", "drive"),
    ("evaluate probe data -o run", "train-drives"),
)


def values_of(command: str, option: str, text: str) -> object:
    words = [*command.split(), f"--{option}", text]
    values = vars(build_parser(words).parse_args(words))
    name = option.replace("-", "_")
    return values[name] if name in values else values[f"{name}s"]  # --drive gives drives


@pytest.mark.parametrize(("command", "option"), NUMBERED)
def test_numbers_of_frames_seeds_and_drives_are_written_the_same_way(command, option, capsys):
    assert values_of(command, option, "0-2,90,5") == (0, 1, 2, 90, 5)
    for text in ("", "5-3", "1:2", "1-", "1,,2", "1-2-3", "3,2-4", "-1", "0-9999999", "a"):
        with pytest.raises(SystemExit):
            values_of(command, option, text)
        expected = f"must be different numbers and ranges such as 0-9,90,91, got '{text}'"
        assert expected in capsys.readouterr().err


def test_drives_have_numbers_or_names(capsys):
    command = "kitti360-to-bag data -o bags"
    assert values_of(command, "drive", "0,2-3") == ("0000", "0002", "0003")
    assert values_of(command, "drive", "0009, my_drive") == ("0009", "my_drive")
    with pytest.raises(SystemExit):
        values_of(command, "drive", "3-2")
    assert "must be different numbers and ranges" in capsys.readouterr().err


def test_convert_writes_a_checkpoint_and_prints_its_card(tmp_path: Path, capsys):
    source = write_folder(tmp_path / "seg-mine", small_state(), training_config((32, 64)))
    output = tmp_path / "mine.safetensors"
    arguments = ["convert", str(source), "-o", str(output), "--license", "CC0"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"{output} (" in printed  # in a pipe, no line breaks a value
    assert file_sha256(output) in printed
    out = " ".join(printed.split())
    assert "backbone dinov2_vits14" in out
    assert "image 32 x 64 px" in out
    assert "19: road, sidewalk" in out
    assert load_checkpoint(output).provenance["license"] == "CC0"
    written = state_of(output)
    assert main(arguments) == 2
    assert "exists; --force replaces it" in capsys.readouterr().err
    assert state_of(output) == written
    assert main([*arguments, "--force"]) == 0
    assert state_of(output) != written


def test_convert_takes_a_class_table_and_refuses_wrong_ones(tmp_path: Path, capsys):
    source = write_folder(tmp_path / "seg-mine", small_state(), None)
    table = [
        {"id": i, "name": f"class {i}", "color": [i, i, i], "ssc_id": i % 16} for i in range(19)
    ]
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump({"classes": table}))
    output = tmp_path / "mine.safetensors"
    base = ["convert", str(source), "-o", str(output)]
    assert main([*base, "--classes", str(tmp_path / "classes.yaml")]) == 0
    assert load_checkpoint(output).classes.names[3] == "class 3"
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump({"classes": table[:4]}))
    assert main([*base, "--classes", str(tmp_path / "classes.yaml"), "--force"]) == 2
    assert "has 19 classes, the class table 4" in capsys.readouterr().err
    assert load_checkpoint(output).classes.names[3] == "class 3"


def test_convert_refuses_odd_names_and_missing_sources(tmp_path: Path, capsys):
    assert main(["convert", str(tmp_path), "-o", "out.pt"]) == 2
    assert "must be named *.safetensors" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), "-o", str(tmp_path / "out.safetensors")]) == 2
    assert "has no checkpoint.pt" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


def test_info_as_table_and_as_json(checkpoint: Path, capsys):
    assert main(["info", str(checkpoint), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["sha256"] == file_sha256(checkpoint)
    assert values["bytes"] == checkpoint.stat().st_size
    assert values["config"]["image_size"] == [32, 64]
    assert values["density_threshold"] == 0.2
    assert values["values"] == sum(
        tensor.numel() for tensor in load_checkpoint(checkpoint).state.values()
    )
    assert main(["info", str(checkpoint)]) == 0
    out = "".join(capsys.readouterr().out.split())
    assert values["sha256"] in out
    assert "untrainedweights,seed3" in out
    assert "densitythreshold0.21/m" in out


def test_info_lists_published_names(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path))
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ssc-kitti-360-dino",
        "ssc-kitti-360-dino-orb-slam",
        "ssc-kitti-360-dinov2",
    ]
    assert all("not downloaded" in line for line in lines)
    assert main(["info", "--json"]) == 0
    assert [entry["downloaded"] for entry in json.loads(capsys.readouterr().out)] == [False] * 3
    assert main(["info", "ssc-kitti-360-dino"]) == 2
    assert "has not been downloaded" in capsys.readouterr().err
    assert main(["info", str(ROOT / "setup.py")]) == 2
    assert "setup.py cannot be read" in capsys.readouterr().err


@pytest.fixture
def results(image, checkpoint, tmp_path: Path) -> Path:
    assert predict(image, checkpoint, tmp_path / "out") == 0
    return tmp_path / "out" / "street"


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":1")
    monkeypatch.setattr("scenedino_ros.cli.view._x_server_answers", lambda: True)


def test_view_needs_a_display_and_names_the_picture(results: Path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["view", str(results / "voxels.npz")]) == 2
    assert f"no display (DISPLAY is not set); look at the picture {results / 'panel.png'}" in (
        capsys.readouterr().err
    )


@pytest.mark.skipif(not find_library("X11"), reason="needs Xlib")
def test_view_does_not_wait_for_a_display_that_is_gone(results: Path, monkeypatch, capsys):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.setattr("sys.platform", "linux")
    (results / "panel.png").unlink()
    assert main(["view", str(results / "voxels.npz")]) == 2
    err = capsys.readouterr().err
    assert err.endswith("there is no display (DISPLAY :4711 does not answer)\n")


def test_both_voxel_files_show_the_same_surface(results: Path):
    pytest.importorskip("open3d", reason="Open3D is not installed")
    from scenedino_ros.viewing.window import mesh_of_file

    npz, ply = (mesh_of_file(results / f"voxels.{suffix}") for suffix in ("npz", "ply"))
    assert len(npz.triangles) == len(ply.triangles) > 0
    for part in ("vertices", "vertex_colors", "triangles"):
        np.testing.assert_allclose(getattr(npz, part), getattr(ply, part), atol=1e-6)


@pytest.mark.usefixtures("display")
@pytest.mark.parametrize(("opens", "status"), [(True, 0), (False, 2)])
def test_view_opens_a_window(results: Path, opens: bool, status: int, monkeypatch, capsys):
    pytest.importorskip("open3d", reason="Open3D is not installed")
    shown = []

    def show_mesh(mesh: object, title: str) -> bool:
        shown.append((len(mesh.triangles), title))
        return opens

    monkeypatch.setattr("scenedino_ros.viewing.window.show_mesh", show_mesh)
    file = results / "voxels.ply"
    assert has_display()
    assert main(["view", str(file)]) == status
    assert shown[0][0] > 0
    assert shown[0][1] == str(file)
    assert ("could not open a window" in capsys.readouterr().err) is not opens


@pytest.mark.usefixtures("display")
def test_view_without_open3d_says_so(results: Path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "open3d", None)
    monkeypatch.delitem(sys.modules, "scenedino_ros.viewing.window", raising=False)
    assert main(["view", str(results / "voxels.ply")]) == 2
    assert re.search(r"no Open3D \(.*panel\.png", capsys.readouterr().err)


@pytest.mark.usefixtures("display")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", "must be .npz or .ply"),
        ("a.npz", "cannot be read"),
        ("a.ply", "holds no voxels"),
        ("b.ply", "there is no file"),
    ],
)
def test_view_refuses_what_is_not_voxels(name: str, message: str, tmp_path: Path, capsys):
    pytest.importorskip("open3d", reason="Open3D is not installed")
    if name.startswith("a"):
        (tmp_path / name).write_text("a")
    assert main(["view", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("entry", SUBCOMMANDS, ids=lambda entry: entry.name)
def test_every_help_has_examples_that_parse(entry, capsys):
    with pytest.raises(SystemExit) as caught:
        main([entry.name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out.split("examples:\n")[1].replace("\\\n", " ")
    commands = [shlex.split(line, comments=True) for line in text.strip().splitlines()]
    assert commands
    for command in commands:
        words = command[: command.index("|")] if "|" in command else command
        assert words[:2] == ["scenedino", entry.name]
        options = build_parser(words[1:]).parse_args(words[1:])
        assert options.subcommand == entry.name


QUICK = """
import sys
from scenedino_ros.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print([name for name in ("torch", "timm", "open3d", "huggingface_hub") if name in sys.modules])
"""


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["view", "--help"]])
def test_help_does_not_wait_for_heavy_packages(arguments: list[str]):
    result = subprocess.run(
        [sys.executable, "-c", QUICK, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"scenedino_ros {__version__}\n"


def test_the_module_runs_as_a_program_and_survives_a_closed_pipe():
    command = [sys.executable, "-m", "scenedino_ros.cli", "info"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stdout.startswith("ssc-kitti-360-dino: ")
    read_end, write_end = os.pipe()
    os.close(read_end)
    closed = subprocess.run(
        command, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE, timeout=120
    )
    os.close(write_end)
    assert closed.stderr == b""


def test_a_folder_that_pytorch_cannot_make_is_named_with_its_variable(tmp_path):
    """Nothing that a user could look for has "Permission denied" as its cause alone."""
    taken = tmp_path / "taken"
    taken.touch()
    done = subprocess.run(
        [sys.executable, "-m", "scenedino_ros.cli", "export", "-o", str(tmp_path / "graphs")],
        cwd=ROOT,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(taken / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"scenedino export: PyTorch cannot be loaded ([Errno 20] Not a directory: "
        f"'{taken / 'cache'}'); set TORCHINDUCTOR_CACHE_DIR or TMPDIR to a folder that is writable"
    )


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "scenedino info: stopped"),
        (PermissionError(13, "Permission denied", "/a/b"), 2, "Permission denied: /a/b"),
        (InputError("no such thing"), 2, "scenedino info: no such thing"),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(
    error: BaseException, status: int, message: str, monkeypatch, capsys
):
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("scenedino_ros.cli.info.run", fail)
    assert main(["info"]) == status
    assert message in capsys.readouterr().err
