# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""scenedino evaluate segmentation, probe, consistency and depth, on made-up data sets."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from image_folders import (
    CAMERA,
    DRIVE,
    label_ids,
    write_bdd100k,
    write_cityscapes,
    write_kitti360,
    write_realestate,
    write_store,
)
from models import TINY, lively_checkpoint
from other_data import check_other_data, written_later

from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.config import EVALUATION_FIT
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.metrics import merge_clusters
from scenedino_ros.core.ray_spacing import INVERSE, LOGARITHMIC
from scenedino_ros.evaluation.consistency.data import (
    DrivePairs,
    RealEstatePairs,
    StorePairs,
    open_pairs,
)
from scenedino_ros.evaluation.consistency.evaluation import ConsistencyEvaluation
from scenedino_ros.evaluation.consistency.flow import FlowChoice
from scenedino_ros.evaluation.depth import scores as depth_scoring
from scenedino_ros.evaluation.depth.data import open_depth
from scenedino_ros.evaluation.depth.evaluation import DepthEvaluation
from scenedino_ros.evaluation.depth.scores import depth_scores
from scenedino_ros.evaluation.probe.data import open_split
from scenedino_ros.evaluation.probe.fit import PROBES, ProbeSamples, fit_probes, probe_inputs
from scenedino_ros.evaluation.result import RunResult, read_result
from scenedino_ros.evaluation.run_folder import RunFolder
from scenedino_ros.evaluation.segmentation.cluster_maps import LabelFiles, stored_assignment
from scenedino_ros.evaluation.segmentation.data import (
    Bdd100kImages,
    CityscapesImages,
    Kitti360Images,
    open_images,
)
from scenedino_ros.evaluation.segmentation.evaluation import SegmentationEvaluation
from scenedino_ros.evaluation.segmentation.images import StoreImages, Together
from scenedino_ros.evaluation.segmentation.scores import pixel_confusion
from scenedino_ros.evaluation.settings import (
    ConsistencySettings,
    DepthSettings,
    FitSettings,
    ProbeSettings,
    SegmentationSettings,
)
from scenedino_ros.evaluation.speed import ItemTime, Stopwatch
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.token_classes import TokenClasses
from scenedino_ros.inference.view_renderer import ViewRenderer
from scenedino_ros.reproduction.measures import TABLES

SIZE = TINY.image_size
FRAMES = (4, 7, 8, 9, 12)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_kitti360(root / "kitti360", FRAMES, unlabelled=(9,))
    write_cityscapes(root / "cityscapes", ("aachen/aachen_0_0", "bochum/bochum_0_1"))
    write_bdd100k(root / "bdd100k", ("a", "b"))
    write_realestate(root / "realestate", "abc", tuple(range(0, 600, 100)))
    write_store(root / "wall", 5)
    write_store(root / "second", 3)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint())
    return str(path)


def evaluate(kind: str, folder: Path, output: Path, *more: str, code: int = 0) -> RunResult:
    command = ["evaluate", kind, str(folder), "-o", str(output), "--workers", "1"]
    command += [*more, *(() if "--panels" in more else ("--panels", "0"))]
    assert main(command) == code
    assert (output / "report.md").is_file()
    assert all((output / figure.file).is_file() for figure in read_result(output).figures)
    return read_result(output)


def row(result: RunResult, start: str, table: int = 0) -> list:
    (found,) = [r for r in result.tables[table].rows if r[0].startswith(start)]
    return list(found[1:])


# Data sets


def test_kitti360_takes_rows_with_labels_there_and_on_the_next_row(data: Path) -> None:
    images = Kitti360Images(data / "kitti360", 3)
    # Row 0 (frame 4) never counts, 8 lacks the next row's labels, 9 its own.
    assert images.items() == ["0000000007", "0000000012"]
    image = images.load("0000000007", SIZE)
    assert image.rgb.shape == (*SIZE, 3)
    # The stretched camera has the same normalised intrinsics as the original.
    K_norm = image.camera.pinhole.K_norm
    np.testing.assert_allclose(K_norm[0, 0], 2 * 552.554261 / 1408)
    np.testing.assert_allclose(K_norm[1, 2], 2 * 238.769549 / 376 - 1)
    assert {-1, 0, 10, 13} == set(np.unique(image.target))
    assert images.published is None


def test_cityscapes_is_squashed_and_cut_in_the_middle(data: Path) -> None:
    images = CityscapesImages(data / "cityscapes")
    assert images.items() == ["aachen/aachen_0_0", "bochum/bochum_0_1"]
    assert (images.unnamed(), images.published) == (498, "Cityscapes val")
    image = images.load("aachen/aachen_0_0", SIZE)
    np.testing.assert_allclose(image.camera.pinhole.K_norm, np.eye(3))
    # 160 x 80, rows 8 to 71: the horizon at row 40 comes to row 32.
    assert (image.target[31, 150], image.target[32, 150]) == (10, 0)
    true = CityscapesImages(data / "cityscapes", true_camera=True)
    camera = true.load("aachen/aachen_0_0", SIZE).camera.pinhole
    np.testing.assert_allclose(camera.K[:2, 2], [130 * 160 / 256, 60 * 80 / 128 - 8])


def test_bdd100k_reads_the_first_channel(data: Path) -> None:
    images = Bdd100kImages(data / "bdd100k")
    assert (images.items(), images.unnamed()) == (["a", "b"], 998)
    assert set(np.unique(images.load("a", SIZE).target)) == {0, 10, 13}


def test_ids_outside_the_table_are_counted_and_not_scored(data: Path, tmp_path: Path) -> None:
    write_cityscapes(tmp_path, ("city/city_0",))
    ids = label_ids(256, 128)
    ids[:, 200:] = 77
    ids[0, 0] = 255  # stands for -1, which the table has
    cv2.imwrite(str(tmp_path / "gtFine" / "val" / "city" / "city_0_gtFine_labelIds.png"), ids)
    image = CityscapesImages(tmp_path).load("city/city_0", SIZE)
    assert image.unknown == 128 * 56
    assert (image.target[:, 130:] == -1).all()


def test_several_sets_are_one(data: Path) -> None:
    both = Together((StoreImages(data / "wall"), StoreImages(data / "second", every=2)))
    assert both.items() == [f"0/{n:06d}" for n in range(5)] + ["1/000000", "1/000002"]
    np.testing.assert_array_equal(
        both.load("1/000002", SIZE).rgb, both.members[1].load("000002", SIZE).rgb
    )


def test_pairs_of_frames(data: Path, tmp_path: Path) -> None:
    drive = DrivePairs(data / "kitti360" / "data_2d_raw" / DRIVE)
    assert [(item, drive.second(item)) for item in drive.items()] == [
        ("0000000004", "0000000009"),
        ("0000000007", "0000000012"),
    ]
    videos = RealEstatePairs(data / "realestate")
    assert videos.items() == ["abc/0", "abc/100", "abc/200"]
    assert videos.second("abc/200") == "abc/500"
    camera = videos.frame("abc/0")[1].pinhole
    np.testing.assert_allclose(camera.K[:2, 2], [80, 48])
    write_store(tmp_path / "gap", 6, pause=2)
    assert StorePairs(tmp_path / "gap", stride=2).items() == ["000000", "000003"]
    geometry = StorePairs(data / "wall", stride=2).geometry("000001")
    assert geometry is not None
    np.testing.assert_allclose(geometry.T_second_first[:3, 3], [-0.5, 0, 0])


# Segmentation


def test_clusters_that_are_the_labels_score_full(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    images = StoreImages(data / "wall")
    settings = SegmentationSettings(predictions=tmp_path / "maps")
    files = SegmentationEvaluation(
        images, NetworkChoice(checkpoint, fit=EVALUATION_FIT), settings
    ).label_files()
    assert files is not None
    permutation = np.random.default_rng(0).permutation(19)
    for item in images.items():
        target = images.load(item, SIZE).target
        files.write(item, permutation[np.maximum(target, 0)].astype(np.uint8))
    more = ("--checkpoint", checkpoint, "--predictions", str(tmp_path / "maps"))
    result = evaluate("segmentation", data / "wall", tmp_path / "run", *more)
    accuracy, miou, _ = row(result, "clusters matched to classes (5 images)")
    assert accuracy == 100
    assert miou == pytest.approx(100 * 3 / 19)  # three classes occur, the others count as 0
    assert result.scores["matched"]["accuracy"] == 1
    assert result.scores["matched"]["iou"]["sky"] == 1
    assert result.counts["plain"].sum() == 5 * 60 * 160  # 4 rows have no label
    table = TABLES["segmentation"]
    assert len(table.read(result.scores, "")) == len(table.columns)
    assert table.read(result.scores, "")[0] == 100
    assert result.speed is not None
    assert (result.speed.predicted, result.speed.prediction, result.speed.scored) == (0, None, 5)
    assert "images/s of scoring alone, in one process" in (tmp_path / "run/report.md").read_text()


def test_classes_of_tokens_in_the_image_are_scored(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    more = ("--checkpoint", checkpoint, "--features", "image", "--no-crf")
    result = evaluate("segmentation", data / "wall", tmp_path, *more)
    weights = load_checkpoint(Path(checkpoint))
    named = TokenClasses(weights, "stego_kmeans")
    expected = np.zeros((19, 19), np.int64)
    images = StoreImages(data / "wall")
    for item in images.items():
        image = images.load(item, SIZE)
        expected += pixel_confusion(image.target, named(image.rgb), (19, 19))
    stored = merge_clusters(
        result.counts["plain"], stored_assignment(NetworkChoice(checkpoint, fit=EVALUATION_FIT))
    )
    np.testing.assert_array_equal(stored, expected)


def test_a_run_is_resumed_and_names_what_is_missing(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    root = shutil.copytree(data / "kitti360", tmp_path / "kitti360")
    image = root / "data_2d_raw" / DRIVE / "image_00" / "data_rect" / "0000000012.png"
    content = image.read_bytes()
    image.write_bytes(content[:100])
    more = ("--checkpoint", checkpoint, "--drive", "3", "--no-crf")
    partial = evaluate("segmentation", root, tmp_path / "run", *more, code=1)
    assert partial.coverage == "PARTIAL: 1 of 2 images"
    assert "0000000012.png" in partial.missing["0000000012"]
    assert row(partial, "clusters matched to classes (PARTIAL: 1 of 2 images)")
    image.write_bytes(content)
    whole = evaluate("segmentation", root, tmp_path / "run", *more)
    at_once = evaluate("segmentation", root, tmp_path / "again", *more)
    assert whole.complete
    np.testing.assert_array_equal(whole.counts["plain"], at_once.counts["plain"])
    assert whole.counts["plain"].dtype == np.int64


def test_a_split_that_is_not_there_in_full_is_called_a_part(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    more = ("--checkpoint", checkpoint, "--no-crf", "--no-jitter")
    result = evaluate("segmentation", data / "cityscapes", tmp_path, *more, code=1)
    assert result.coverage == "PARTIAL: 2 of 500 images"
    assert row(result, "published, after CRF: SceneDINO") == [73.17, 22.81, None]
    text = (tmp_path / "report.md").read_text()
    assert "clusters matched to classes (PARTIAL: 2 of 500 images)" in text


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("kitti360", {"0000000007.png", "perspective.txt"}),
        (
            "cityscapes",
            {
                "aachen_0_0_leftImg8bit.png",
                "aachen_0_0_gtFine_labelIds.png",
                "aachen_0_0_camera.json",
            },
        ),
        ("bdd100k", {"a.jpg", "a.png"}),
    ],
)
def test_other_images_are_not_the_same_run(
    data: Path, tmp_path: Path, name: str, files: set[str]
) -> None:
    def opened(root: Path) -> SegmentationEvaluation:
        images = open_images(root, SegmentationSettings(drives=(3,)))
        return SegmentationEvaluation(images, NetworkChoice("untrained"))

    check_other_data(opened, shutil.copytree(data / name, tmp_path / name), files)


def test_cluster_maps_of_other_images_are_refused(data: Path, tmp_path: Path) -> None:
    root = shutil.copytree(data / "bdd100k", tmp_path / "bdd100k")
    settings = SegmentationSettings(predictions=tmp_path / "maps")

    def maps() -> LabelFiles:
        images = open_images(root, settings)
        files = SegmentationEvaluation(images, NetworkChoice("untrained"), settings).label_files()
        assert files is not None
        return files

    maps().write("a", np.zeros(SIZE, np.uint8))
    maps()
    with written_later(root / "labels" / "pan_seg" / "bitmasks" / "val" / "a.png"):
        maps()  # they do not depend on the labels
    with (
        written_later(root / "images" / "10k" / "val" / "a.jpg"),
        pytest.raises(InputError, match=r"maps was begun with other data: .* files of a were"),
    ):
        maps()


def test_predictions_of_other_settings_are_refused(
    data: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = tmp_path / "maps"
    LabelFiles(maps, {"made": "otherwise"}, {})
    command = ["evaluate", "segmentation", str(data / "second"), "-o", str(tmp_path / "run")]
    command += ["--checkpoint", checkpoint, "--predictions", str(maps), "--workers", "1"]
    assert main(command) == 2 or "other settings" in capsys.readouterr().err


def test_an_unknown_folder_is_refused(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("segmentation", "probe", "consistency", "depth"):
        command = ["evaluate", kind, str(tmp_path), "-o", str(tmp_path / "run")]
        assert main([*command, "--checkpoint", checkpoint]) == 2
        assert str(tmp_path) in capsys.readouterr().err


# Probes


@pytest.mark.parametrize("hidden", [False, True])
def test_probes_learn_classes_that_features_tell_apart(tmp_path: Path, hidden: bool) -> None:
    checkpoint = lively_checkpoint()
    draws = np.random.default_rng(0)
    centers = draws.normal(0, 4, (3, TINY.feature_dim))
    samples = RunFolder(tmp_path, "probe samples", {})
    for item in ("a", "b", "c"):
        target = draws.integers(0, 3, 300)
        features = centers[target] + draws.normal(0, 0.1, (300, TINY.feature_dim))
        samples.finish(
            item,
            {"features": features.astype(np.float16), "target": target.astype(np.uint8)},
            ItemTime(1, 1, 1),
        )
    settings = FitSettings(hidden=hidden, epochs=15, batch=100, rate=0.03)
    fitted = fit_probes(checkpoint, samples, ["a", "b"], settings, lambda _: None)
    assert fitted.config.mlp_probe == hidden
    model = build_model(fitted)
    (_, held_out), *_ = samples.counts(["c"])
    inputs = probe_inputs(model, torch.from_numpy(held_out["features"]).float())
    for name in PROBES:
        scores = getattr(model.semantics, f"{name}_linear_head")(inputs[name])
        right = scores.argmax(dim=-1).numpy() == held_out["target"]
        assert right.mean() > 0.98, name
    again = fit_probes(checkpoint, samples, ["a", "b"], settings, lambda _: None)
    assert all(torch.equal(fitted.state[key], again.state[key]) for key in fitted.state)


def test_a_probe_learns_the_label_in_the_middle_of_what_a_rendered_pixel_covers() -> None:
    target = np.full((16, 24), -1)
    target[2::4, 2::4] = np.arange(24).reshape(4, 6)
    image = SimpleNamespace(rgb=None, camera=None, target=target)
    predictor = SimpleNamespace(
        image_size=target.shape,
        encode=lambda rgb, camera: None,
        rendered_features=lambda encoded, **how: torch.arange(24.0).reshape(4, 6, 1),
    )
    samples = ProbeSamples(
        SimpleNamespace(load=lambda item, size: image),
        SimpleNamespace(predictor=lambda: predictor),
        pixels=100,
    )
    counts = samples.open(Stopwatch()).count("item")
    assert counts["target"].tolist() == counts["features"][:, 0].tolist() == list(range(24))


def test_probes_are_fitted_scored_and_kept(data: Path, checkpoint: str, tmp_path: Path) -> None:
    more = ["--train", str(data / "second"), "--checkpoint", checkpoint, "--epochs", "2"]
    result = evaluate("probe", data / "wall", tmp_path, *more, "--pixels", "200")
    fitted, before = load_checkpoint(tmp_path / "probe.safetensors"), lively_checkpoint().state
    assert "linear probes fitted to labels" in fitted.provenance["weights"]
    changed = [key for key in before if not torch.equal(fitted.state[key], before[key])]
    assert sorted({key.split(".")[1] for key in changed}) == [
        "direct_linear_head",
        "stego_linear_head",
    ]
    for name in ("probe on the distilled code", "probe on the full feature"):
        assert row(result, f"{name} (5 images)")
    assert result.counts["stego"].sum() == result.counts["direct"].sum() == 5 * 60 * 160


def test_probes_of_other_training_images_are_refused(
    data: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(data / "bdd100k", tmp_path / "bdd100k")
    for folder in (root / "images" / "10k", root / "labels" / "pan_seg" / "bitmasks"):
        (folder / "val").rename(folder / "train")
    more = ("--train", str(root), "--checkpoint", checkpoint, "--epochs", "1")
    evaluate("probe", data / "second", tmp_path / "run", *more)
    evaluate("probe", data / "second", tmp_path / "run", *more)
    with written_later(root / "images" / "10k" / "train" / "a.jpg"):
        evaluate("probe", data / "second", tmp_path / "run", *more, code=2)
    assert "samples was begun with other data" in capsys.readouterr().err


def test_probes_are_not_scored_on_what_they_were_fitted_on(
    data: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wall = str(data / "wall")
    command = ["evaluate", "probe", wall, "--train", wall, "-o", str(tmp_path / "run")]
    assert main([*command, "--checkpoint", checkpoint]) == 2
    assert "other images than those" in capsys.readouterr().err


def test_no_training_image_is_scored(data: Path, tmp_path: Path) -> None:
    link, same = tmp_path / "link", {"drives": (3,), "train_drives": (3,)}
    link.symlink_to(data / "kitti360")
    for root, settings, shared in (
        ("kitti360", ProbeSettings(**same, train_every=2), "0000000007.png"),
        ("kitti360", ProbeSettings(**same, every=2), "0000000007.png"),
        ("kitti360", ProbeSettings(**same, train=(link,), every=2), "0000000007.png"),
        ("wall", ProbeSettings(train=(data / "second", data / "wall"), train_every=3), "000000"),
    ):
        with pytest.raises(InputError, match=rf"got \d in both, such as .*{shared}"):
            open_split(data / root, settings)
    scored, training = open_split(data / "wall", ProbeSettings(train=(data / "second",)))
    assert set(training.items()) < set(scored.items())  # of other stores


# Consistency


def test_exact_flow_is_used_where_there_is_depth(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    more = ("--checkpoint", checkpoint, "--stride", "1")
    result = evaluate("consistency", data / "wall", tmp_path, *more)
    assert any(note.startswith("Flow: exact flow of the static scene") for note in result.notes)
    assert result.counts["pixels"].dtype == np.int64
    valid, pixels, pairs = result.counts["pixels"]
    # The wall moves by 2 of 160 px from frame to frame, and nothing is hidden.
    assert (valid, pixels, pairs) == (4 * 64 * 158, 4 * 64 * 160, 4)
    l1, l2, cosine, *_ = row(result, "rendered field (4 pairs)")
    assert 0 < l2 < l1
    assert cosine <= 1
    assert row(result, "rendered field, common mean removed")[2] <= cosine
    values = TABLES["consistency"].read(result.scores, "field")
    assert values[:3] == (l1, l2, cosine)
    assert len(values) == len(TABLES["consistency"].columns)


def test_exact_flow_is_that_of_the_networks_images(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    # The network reads images of another size and aspect ratio than the drive's 64 x 160.
    more = ("--checkpoint", checkpoint, "--stride", "1", "--image-size", "32x64", "--fit", "crop")
    result = evaluate("consistency", data / "wall", tmp_path, *more)
    valid, pixels, pairs = result.counts["pixels"]
    # 128 of the 160 columns are shown: the wall moves by 1 of 64 px from frame to frame.
    assert (valid, pixels, pairs) == (4 * 32 * 63, 4 * 32 * 64, 4)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("kitti360", {"0000000004.png", "0000000009.png"}),
        ("realestate", {"0.png", "300.png", "abc.txt"}),
    ],
)
def test_other_pairs_are_not_the_same_run(
    data: Path, tmp_path: Path, name: str, files: set[str]
) -> None:
    def opened(root: Path) -> ConsistencyEvaluation:
        pairs = open_pairs(root, ConsistencySettings())
        return ConsistencyEvaluation(pairs, NetworkChoice("untrained"), FlowChoice("dis"))

    check_other_data(opened, shutil.copytree(data / name, tmp_path / name), files)


def test_other_flow_is_named(data: Path, checkpoint: str, tmp_path: Path) -> None:
    more = ("--checkpoint", checkpoint)
    result = evaluate("consistency", data / "realestate", tmp_path, *more)
    assert any("DIS" in note or "RAFT" in note for note in result.notes)
    # All frames are one picture: what is rendered from each is the same.
    assert row(result, "rendered field (3 pairs)")[2] == pytest.approx(1, abs=1e-6)
    published = [table for table in result.tables if table.title.startswith("Published")]
    assert "RealEstate10K" in published[0].title


# Depth


def test_depth_against_a_scan_beside_baselines(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    drive = data / "kitti360" / "data_2d_raw" / DRIVE
    more = ("--checkpoint", checkpoint, "--train-frames", "4-8", "--above", "0.1")
    result = evaluate("depth", drive, tmp_path, *more)
    # Every scan is the same wall: the mean of the training frames is right everywhere.
    (table,) = [
        i
        for i, t in enumerate(result.tables)
        if t.title.startswith("Depth") and "other" in t.title
    ]
    abs_rel, *_ = row(result, "mean depth image (2 frames)", table)
    assert abs_rel < 0.01
    assert row(result, "model (2 frames)", table)[0] > 0.01
    assert result.counts["pixels"][0] > 0


def test_training_frames_without_ground_truth_are_refused(
    data: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "depth", str(data / "wall"), "-o", str(tmp_path / "run")]
    command += ["--checkpoint", checkpoint, "--train-frames", "9000-9010"]
    assert main(command) == 2
    assert (
        "train_frames must name frames with ground truth, got 9000-9010, "
        "but there are 000000 to 000004" in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def test_depth_where_nothing_is_seen_is_a_result(
    data: Path, checkpoint: str, tmp_path: Path
) -> None:
    result = evaluate(
        "depth", data / "second", tmp_path, "--checkpoint", checkpoint, "--limits", "60,70"
    )
    assert result.counts["pixels"].tolist() == [0, 0]
    assert result.figures


def test_truth_has_no_error_along_its_rays() -> None:
    truth, lengths = np.array([[70.0, 79.0, 2.0]]), np.array([[1.3, 1.2, 1.0]])
    scores = depth_scores(truth * lengths, truth * lengths, per_depth=lengths)
    np.testing.assert_array_equal(scores, [0, 0, 0, 0, 1, 1, 1])
    far = depth_scores(truth * lengths, 1e3 * truth * lengths, per_depth=lengths)
    clamped = np.full_like(truth, 80.0) * lengths
    np.testing.assert_array_equal(far, depth_scores(truth * lengths, clamped, per_depth=lengths))


def test_predictions_are_clamped_in_depth_also_along_rays(
    data: Path, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth_scoring, "DEPTH_LIMITS", (1e-3, 11.3))  # the wall: 11.2 m
    drive = data / "kitti360" / "data_2d_raw" / DRIVE
    more = ("--checkpoint", checkpoint, "--train-frames", "4-8")
    result = evaluate("depth", drive, tmp_path, *more)
    for quantity in ("axis", "ray"):  # of a wall, which the mean of the training frames is, too
        assert result.scores["other"][quantity]["all"]["mean"]["none"]["abs_rel"] < 0.01


def test_another_drive_of_the_same_name_is_not_the_same_run(data: Path, tmp_path: Path) -> None:
    def opened(root: Path) -> DepthEvaluation:
        depths = open_depth(root, DepthSettings())
        return DepthEvaluation(depths, NetworkChoice("untrained"))

    root = shutil.copytree(data / "kitti360", tmp_path / "kitti360")
    before = opened(root).settings()
    content = (root / "calibration" / "perspective.txt").read_text()
    check_other_data(opened, root, {"0000000004.png", "0000000004.bin"})
    root = tmp_path / "elsewhere" / "kitti360"
    assert opened(root).settings() == before
    (root / "calibration" / "perspective.txt").write_text(
        content.replace("P_rect_00: ", "P_rect_00: 1")
    )
    assert opened(root).settings() != before


def test_exact_depth_of_a_store(data: Path, checkpoint: str, tmp_path: Path) -> None:
    result = evaluate("depth", data / "wall", tmp_path, "--checkpoint", checkpoint)
    assert result.counts["pixels"][0] == 5 * 64 * 160
    scaled = row(result, "model, scaled by least squares (5 frames)")
    assert scaled[2] <= row(result, "model (5 frames)")[2]  # RMSE, which the fit makes least
    assert result.speed is not None
    assert (result.speed.predicted, result.speed.scored) == (5, 5)
    assert result.speed.prediction > 0


@pytest.mark.parametrize(
    ("kind", "more", "sampling"),
    [
        ("segmentation", (), (32, INVERSE)),
        ("probe", ("--train", "second", "--epochs", "1"), (32, INVERSE)),
        ("consistency", (), (32, INVERSE)),
        ("depth", (), (32, LOGARITHMIC)),
        ("depth", ("--samples", "8", "--spacing", "inverse"), (8, INVERSE)),
    ],
)
def test_rays_are_sampled_as_published_or_as_the_node_does(
    data: Path,
    checkpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    more: tuple[str, ...],
    sampling: tuple[int, str],
) -> None:
    asked, blend = set(), ViewRenderer.blend

    def spy(renderer: ViewRenderer, encoded, camera, how, wants_feature):
        asked.add((how.n_samples, how.spacing))
        return blend(renderer, encoded, camera, how, wants_feature)

    monkeypatch.setattr(ViewRenderer, "blend", spy)
    words = [str(data / word) if word == "second" else word for word in more]
    evaluate(kind, data / "wall", tmp_path, "--checkpoint", checkpoint, *words)
    assert asked == {sampling}


def test_a_run_goes_on_with_the_engine_it_was_begun_with(
    data: Path,
    checkpoint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = ("--checkpoint", checkpoint, "--engine", "torch")
    assert evaluate("depth", data / "second", tmp_path, *more).settings["network"]["engine"] == (
        "torch"
    )
    command = ["evaluate", "depth", str(data / "second"), "-o", str(tmp_path), "--workers", "1"]
    command += ["--checkpoint", checkpoint, "--panels", "0", "--engine"]
    assert main([*command, "onnx"]) == 2
    assert "was begun with another network" in capsys.readouterr().err
    assert main([*command, "auto"]) == 0  # nothing is measured
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "many")
    assert main([*command, "auto"]) == 2
    assert "engine must be named under torchrun" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["depth", "segmentation"])
def test_a_network_that_cannot_run_ends_the_run(
    kind: str, data: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", kind, str(data / "second"), "-o", str(tmp_path), "--workers", "1"]
    command += ["--checkpoint", checkpoint, "--engine", "onnx", "--precision", "bfloat16"]
    assert main(command) == 2
    assert "engine onnx runs in precision float32, got 'bfloat16'" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.failed"))


def test_broken_lists_are_refused(tmp_path: Path) -> None:
    write_realestate(tmp_path, "abc", (0, 1))
    (tmp_path / "test" / "abc.txt").write_text("https://video\n0 0.5 0.9\n")
    with pytest.raises(InputError, match="line 2 must have 19 values, got 3"):
        RealEstatePairs(tmp_path).items()


@pytest.mark.parametrize("focal", ["wide", "1e154", "nan"])
def test_a_broken_camera_of_a_list_is_refused(tmp_path: Path, focal: str) -> None:
    write_realestate(tmp_path, "abc", (0, 1))
    path = tmp_path / "test" / "abc.txt"
    header, *lines = path.read_text().splitlines()
    lines = [" ".join([line.split()[0], focal, *line.split()[2:]]) for line in lines]
    path.write_text("\n".join([header, *lines]))
    with pytest.raises(InputError):
        RealEstatePairs(tmp_path).frame("abc/0")


def test_settings_can_be_stored_as_they_are(data: Path, checkpoint: str) -> None:
    evaluation = SegmentationEvaluation(
        StoreImages(data / "wall"), NetworkChoice(checkpoint, fit=EVALUATION_FIT)
    )
    assert json.loads(json.dumps(evaluation.settings())) == evaluation.settings()
    assert CAMERA.width == SIZE[1]
