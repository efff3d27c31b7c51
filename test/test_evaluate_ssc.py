# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""scenedino evaluate ssc and report, on made-up drives: scores, files, interruptions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conditioning import grown_points, undecided_voxels
from models import TINY, lively_checkpoint
from other_data import check_other_data, written_later
from ssc_folder import write_ssc_folder

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.checkpoints.checkpoint import build_model, save_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.config import EVALUATION_FIT
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.evaluation.result import read_result
from scenedino_ros.evaluation.settings import SscSettings
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import EVAL16
from scenedino_ros.evaluation.ssc.data import SscBench, open_sscbench
from scenedino_ros.evaluation.ssc.evaluation import SscEvaluation
from scenedino_ros.evaluation.ssc.prediction import PredictionFiles, SscPrediction, predict
from scenedino_ros.evaluation.ssc.scores import SWEEP, count_frame
from scenedino_ros.inference.grid_view import camera_points
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery

N_FRAMES = 3
# A class that is called what each scored class is; the first that maps to it.
TO_CITYSCAPES = np.array([10, *(CITYSCAPES19.ssc_ids.index(c) for c in range(1, 16))], np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint())
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "blocks"
    write_ssc_folder(root, {"train": {"seq_a": 2}, "test": {"seq_b": N_FRAMES}})
    return root


def perfect(target: np.ndarray) -> SscPrediction:
    """Return the prediction that is right wherever anything is scored."""
    classes = np.where(target == 255, 0, target)
    return SscPrediction(TO_CITYSCAPES[classes], (classes > 0).astype(np.float32))


@pytest.fixture(scope="module")
def predictions(root: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of perfect predictions, as if the checkpoint had made them."""
    folder = tmp_path_factory.mktemp("predictions") / "grids"
    settings = SscSettings(predictions=folder)
    evaluation = SscEvaluation(
        SscBench(root), NetworkChoice(str(checkpoint), fit=EVALUATION_FIT), settings
    )
    files = evaluation.prediction_files()
    for frame in evaluation.items():
        files.write(frame, perfect(evaluation.data.target(frame)))
    return folder


def evaluate(root: Path, checkpoint: Path, predictions: Path, output: Path, *more: str) -> int:
    where = ("--predictions", str(predictions), "--checkpoint", str(checkpoint))
    return main(
        [
            "evaluate",
            "ssc",
            str(root),
            "-o",
            str(output),
            "--workers",
            "1",
            "--panels",
            "1",
            *where,
            *more,
        ]
    )


def test_a_perfect_prediction_has_perfect_scores(
    root: Path, checkpoint: Path, predictions: Path, tmp_path: Path
) -> None:
    assert evaluate(root, checkpoint, predictions, tmp_path, "--baseline", "train") == 0
    result = read_result(tmp_path)
    assert result.complete
    assert result.coverage == f"{N_FRAMES} frames"
    main_table, geometry, classes = result.tables[:3]
    ours = {row[0]: row[1:] for row in main_table.rows}
    present = 5  # classes there are; the others count as 0
    direct = ours[f"this run, density >= 0.2, direct ({N_FRAMES} frames)"]
    assert direct[2] == pytest.approx(100 * present / 15)
    assert direct[3:] == [100] * 9
    assert ours["published: SceneDINO, DINO"][:3] == [10.76, 10.01, 8.0]
    assert "cannot be compared" in main_table.notes[0]
    constant = ours[f"constant grid of blocks, train, class by height ({N_FRAMES} frames)"]
    assert 50 < constant[5] < 100
    network, baseline = result.scores["network"]["0.2"], result.scores["baselines"]["constant"]
    assert 100 * network["direct"]["miou"]["51.2"] == pytest.approx(direct[2])
    assert (
        network["hungarian"]["class_iou"]["car"]["12.8"] == network["geometry"]["iou"]["25.6"] == 1
    )
    assert 100 * baseline["iou"]["51.2"] == pytest.approx(constant[5])
    assert all(row[1:] == [100] * 9 for row in geometry.rows)
    ious = {row[0]: row[3] for row in classes.rows}
    assert ious["car"] == ious["road"] == 100
    assert ious["bicycle"] == 0
    for figure in result.figures:
        assert (tmp_path / figure.file).read_bytes().startswith(b"\x89PNG")
    assert sum(f.file.startswith("panel_") for f in result.figures) == 1
    report = (tmp_path / "report.md").read_text()
    assert "| this run, density >= 0.2, Hungarian (3 frames) |" in report


def test_missing_files_are_named_and_the_rest_is_scored(
    root: Path,
    checkpoint: Path,
    predictions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    label = root / "data_2d_raw" / "seq_b" / "voxels" / "000005.label"
    hidden = label.rename(tmp_path / "hidden")
    output = tmp_path / "run"
    assert evaluate(root, checkpoint, predictions, output) == 1
    told = capsys.readouterr()
    assert str(label) in told.err
    assert "PARTIAL: 2 of 3 frames" in told.out
    result = read_result(output)
    assert list(result.missing) == ["seq_b/000005"]
    for table in (result.tables[0], result.tables[1]):
        for row in table.rows:
            assert row[0].startswith("published") or "PARTIAL: 2 of 3 frames" in row[0]
    done = output / "counts" / "seq_b" / "000000.npz"
    before = done.stat().st_mtime_ns
    hidden.rename(label)
    assert evaluate(root, checkpoint, predictions, output) == 0
    assert read_result(output).complete
    assert done.stat().st_mtime_ns == before
    assert evaluate(root, checkpoint, predictions, output, "--thresholds", "0.3") == 2
    assert "begun with another thresholds" in capsys.readouterr().err


def test_nothing_to_score_is_no_table(checkpoint: Path, tmp_path: Path) -> None:
    write_ssc_folder(tmp_path / "data", {"test": {"seq_b": 1}})
    for file in (tmp_path / "data").rglob("*.label"):
        file.write_bytes(b"")
    assert evaluate(tmp_path / "data", checkpoint, tmp_path / "grids", tmp_path / "run") == 1
    result = read_result(tmp_path / "run")
    assert result.coverage == "PARTIAL: 0 of 1 frames"
    assert result.tables == []


def test_several_runs_make_one_page(
    root: Path, checkpoint: Path, predictions: Path, tmp_path: Path
) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for run in runs:
        evaluate(root, checkpoint, predictions, run, "--every", "2")
    page = tmp_path / "pages" / "report.html"
    assert main(["report", *map(str, runs), "-o", str(page), "--title", "Two < three"]) == 0
    text = page.read_text()
    assert "<h1>Two &lt; three</h1>" in text
    assert text.count("<h2") == 2
    assert text.count('src="data:image/png;base64,') == sum(
        len(read_result(run).figures) for run in runs
    )
    assert "http" not in text
    assert "one frame in 2" in text
    (runs[0] / "range.png").unlink()
    assert main(["report", *map(str, runs), "-o", str(page)]) == 1
    assert page.read_text().count("<h2") == 1


def test_predictions_are_read_and_guarded(
    root: Path, checkpoint: Path, predictions: Path, tmp_path: Path
) -> None:
    network = NetworkChoice(str(checkpoint), fit=EVALUATION_FIT)
    data = SscBench(root)

    def files(network: NetworkChoice, **settings: object) -> PredictionFiles:
        choices = SscSettings(predictions=predictions, **settings)
        return SscEvaluation(data, network, choices).prediction_files()

    assert files(network, thresholds=(0.3, 0.25)).read("seq_b/000000") is not None
    assert files(network).read("seq_b/000099") is None
    with pytest.raises(InputError, match=r"has classes from density 0\.2 on"):
        files(network, thresholds=(0.3, 0.1))
    with pytest.raises(InputError, match="predictions with another refinement"):
        files(network, refinement=2)
    with pytest.raises(InputError, match="predictions with another checkpoint"):
        files(NetworkChoice("untrained"))
    other = PredictionFiles(tmp_path, {"lowest": 0.2}, {})
    (tmp_path / "frame.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"frame\.npz cannot be read"):
        other.read("frame")
    np.savez(tmp_path / "frame.npz", label=np.zeros(3), density=np.zeros(3))
    with pytest.raises(InputError, match=r"must have a label grid of \(256, 256, 32\)"):
        other.read("frame")


def test_another_benchmark_of_the_same_names_is_not_the_same_run(
    root: Path, tmp_path: Path
) -> None:
    def opened(root: Path) -> SscEvaluation:
        data, baseline = open_sscbench(root, SscSettings(baseline="train"))
        return SscEvaluation(data, NetworkChoice("untrained"), baseline=baseline)

    root = shutil.copytree(root, tmp_path / "blocks")
    before = opened(root).settings()
    check_other_data(opened, root, {"000000.png", "000000.label", "000000.invalid"})
    root = tmp_path / "elsewhere" / "blocks"
    assert opened(root).settings() == before
    with written_later(root / "data_2d_raw" / "seq_a" / "voxels" / "000005.label"):
        assert opened(root).settings() != before


def test_predictions_of_other_images_are_refused(
    root: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grids, other = tmp_path / "grids", shutil.copytree(root, tmp_path / "other" / root.name)
    assert evaluate(root, checkpoint, grids, tmp_path / "run", "--every", "3") == 0
    raw = other / "data_2d_raw" / "seq_b"
    with written_later(raw / "voxels" / "000000.label"):
        assert evaluate(other, checkpoint, grids, tmp_path / "labels", "--every", "3") == 0
    with written_later(raw / "image_00" / "data_rect" / "000000.png"):
        assert evaluate(other, checkpoint, grids, tmp_path / "images", "--every", "3") == 2
    assert "grids was begun with other data" in capsys.readouterr().err
    assert not (tmp_path / "images").exists()


def test_without_thresholds_the_checkpoint_s_is_scored(
    root: Path, predictions: Path, tmp_path: Path
) -> None:
    path = tmp_path / "dense.safetensors"
    save_checkpoint(path, replace(lively_checkpoint(), density_threshold=0.5))
    assert evaluate(root, path, tmp_path / "grids", tmp_path / "run", "--every", "3") == 0
    result = read_result(tmp_path / "run")
    assert result.settings["thresholds"] == [0.5]
    assert result.tables[0].rows[0][0].startswith("this run, density >= 0.5, direct")
    assert result.speed is not None
    assert (result.speed.predicted, result.speed.scored) == (1, 1)
    # From kept predictions only scoring is left to be timed.
    assert evaluate(root, path, tmp_path / "grids", tmp_path / "again", "--every", "3") == 0
    again = read_result(tmp_path / "again")
    assert again.speed is not None
    assert (again.speed.predicted, again.speed.scored) == (0, 1)
    for name, counts in result.counts.items():
        np.testing.assert_array_equal(counts, again.counts[name])


def test_a_checkpoint_without_classes_is_scored_by_geometry(root: Path, tmp_path: Path) -> None:
    config = TINY.__class__(**{**TINY.__dict__, "n_classes": 0, "n_clusters": 0})
    path = tmp_path / "field.safetensors"
    save_checkpoint(path, lively_checkpoint(config))
    run = tmp_path / "run"
    evaluation = SscEvaluation(SscBench(root), NetworkChoice(str(path), fit=EVALUATION_FIT))
    assert not evaluation.has_semantics
    where = ["--checkpoint", str(path), "-o", str(run), "--workers", "1", "--panels", "1"]
    assert main(["evaluate", "ssc", str(root), "--every", str(N_FRAMES), *where]) == 0
    titles = [table.title for table in read_result(run).tables]
    assert not any("Hungarian" in title or "mIoU" in title for title in titles)
    assert titles[0] == "Geometry, and the effect of sky, %"
    counts = json.loads((run / "result.json").read_text())["counts"]
    assert np.array(counts["geometry"]).sum() > 0


@pytest.fixture(scope="module")
def network() -> Predictor:
    return Predictor(lively_checkpoint(), device="cpu", fit="stretch")


def test_prediction_by_the_rules_is_that_of_the_predictor(network: Predictor, root: Path) -> None:
    rgb = SscBench(root).image("seq_b/000000")
    view = ssc.view_mask()
    found = predict(network, rgb, view, refinement=1, lowest=0.2)
    encoded = network.encode(rgb, CalibratedCamera(ssc.CAMERA.resized(352, 94)))
    query = VoxelQuery(0.2, grow=True, out_of_view=True)
    voxels = network.voxels(encoded, ssc.GRID, ssc.T_VELO_CAM, query)
    occupied = voxels.occupied() & view
    # They sum in another order: where that decides, either is right.
    other_density = (found.density >= 0.2) != occupied
    other_label = occupied & (found.label != voxels.label_grid(0))
    other = other_density | other_label
    assert other.sum() < 1e-3 * occupied.sum()
    model = build_model(lively_checkpoint())
    with torch.inference_mode():
        image = torch.from_numpy(encoded.rgb.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        feature_map = model.encode(image)
    grid = camera_points(ssc.GRID, ssc.T_VELO_CAM).reshape(*ssc.GRID.shape, 3)
    K_norm = torch.from_numpy(encoded.camera.K_norm).float()
    tie, at_threshold = undecided_voxels(
        model, feature_map, K_norm, grown_points(grid, other), network.mode, 0.2
    )
    assert at_threshold[other_density[other]].all()
    assert (tie | at_threshold)[other_label[other]].all()
    assert len(np.unique(found.label[occupied])) > 3
    assert (found.density[~view] == 0).all()


def test_images_of_another_shape_are_refused(network: Predictor) -> None:
    with pytest.raises(InputError, match="must be 1408 x 376 px or scaled, got 320 x 192"):
        predict(network, np.zeros((192, 320, 3), np.uint8), ssc.view_mask(), 1, 0.2)


def test_sky_counts_in_geometry_alone_only() -> None:
    target = np.zeros(ssc.GRID.shape, np.uint8)
    target[:, :, 5] = EVAL16.names.index("building")
    label = np.full(ssc.GRID.shape, 2, np.uint8)
    label[:128] = CITYSCAPES19.names.index("sky")
    density = np.where(target > 0, np.float32(0.3), np.float32(0))
    everywhere = np.ones(ssc.GRID.shape, bool)
    counts = count_frame(
        target, SscPrediction(label, density), everywhere, CITYSCAPES19, [0.2, 0.5]
    )
    building = 9
    assert counts["semantic"][0, 2, building].tolist() == [128 * 256] + 8 * [0] + [128 * 256] + (
        6 * [0]
    )
    assert counts["geometry"][0, 2].tolist() == [[256 * 256 * 31, 0], [0, 256 * 256]]
    assert counts["geometry"][1, 2].tolist() == [[256 * 256 * 31, 0], [256 * 256, 0]]
    assert counts["slabs"][:, 1, 1].tolist() == 8 * [0] + 8 * [16 * 256]
    for number, threshold in enumerate(SWEEP):
        reached = 256 * 256 if threshold <= 0.3 else 0
        assert counts["sweep"][number, 1].tolist() == [256 * 256 - reached, reached]
