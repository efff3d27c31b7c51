# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Every evaluation takes the folders of synthetic streets, as README says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import lively_checkpoint
from plain_street import plain_street

from scenedino_ros.checkpoints.checkpoint import save_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.evaluation.result import RunResult, read_result
from scenedino_ros.evaluation.segmentation.data import Kitti360Images
from scenedino_ros.recordings.datasets.kitti360_folders import sequence_name

pytest.importorskip("open3d", reason="Open3D cannot be imported")
dataset = pytest.importorskip("scenedino_ros.streets.dataset")
drive = pytest.importorskip("scenedino_ros.streets.drive")
render = pytest.importorskip("scenedino_ros.streets.render")
rig = pytest.importorskip("scenedino_ros.streets.rig")
voxels = pytest.importorskip("scenedino_ros.streets.voxels")

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "evaluation.md"
FRAMES, SEEDS = 6, (9, 21)  # 9 is a drive of KITTI-360, too, with rules of its own


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = render.RenderSettings(rig.RigSettings(("camera_00",), width=96), 1)
    caches = (drive._street, render._renderer, voxels.static_voxels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive, "make_street", plain_street)
        path = tmp_path_factory.mktemp("streets")
        data = dataset.SyntheticDataset(path, dataset.DatasetSettings(FRAMES, render=settings))
        for cache in caches:
            cache.cache_clear()
        data.make(SEEDS, ("folders",), workers=1)
    for cache in caches:
        cache.cache_clear()
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint())
    return str(path)


def evaluate(kind: str, folder: Path, output: Path, checkpoint: str, *more: str) -> RunResult:
    command = ["evaluate", kind, str(folder), "-o", str(output), "--workers", "1"]
    assert main([*command, "--checkpoint", checkpoint, *more]) == 0
    result = read_result(output)
    assert result.complete
    return result


def test_completion(streets: Path, checkpoint: str, tmp_path: Path) -> None:
    more = ("--panels", "0", "--every", "4")
    result = evaluate("ssc", streets / "kitti360", tmp_path, checkpoint, *more)
    assert result.dataset == "synthetic streets, test, one frame in 4"
    assert not any("pose.txt" in note for note in result.notes)
    titles = [table.title for table in result.tables]
    classes = result.tables[titles.index("IoU of classes, %")]
    assert "Hungarian, by true class, 51.2 m" in classes.columns
    assert "Hungarian, by predicted class (published order), 51.2 m" in classes.columns
    weighted = result.tables[titles.index("Weighted mIoU, in both orders, %")]
    assert [row[0].rpartition(" (")[0] for row in weighted.rows] == [
        "direct",
        "Hungarian, by true class",
        "Hungarian, by predicted class (published order)",
    ]


def test_segmentation_of_all_drives_or_of_one(
    streets: Path, checkpoint: str, tmp_path: Path
) -> None:
    more = ("--panels", "0", "--no-crf")
    result = evaluate("segmentation", streets, tmp_path / "all", checkpoint, *more)
    # As published the first frame is left out, and the last, behind which no label lies.
    assert result.coverage == f"{2 * (FRAMES - 2)} images"
    assert "synthetic streets, drive 0009; synthetic streets, drive 0021" in result.dataset
    more = (*more, "--drive", "21")
    result = evaluate("segmentation", streets / "kitti360", tmp_path / "one", checkpoint, *more)
    assert result.coverage == f"{FRAMES - 2} images"
    assert Kitti360Images(streets / "kitti360", 9).published is None


def test_documented_functions_give_the_numbers_of_the_commands(
    streets: Path,
    checkpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "streets").symlink_to(streets)
    (tmp_path / "model.safetensors").symlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    depth, segmentation = names["depth"], names["segmentation"]
    told = capsys.readouterr()
    n_printed = 2 + len(depth.scores["all"]["axis"]["above"])
    assert (len(told.out.splitlines()), told.err) == (n_printed, "")  # by the example alone
    more = ("--panels", "0")
    by_command = [
        evaluate("depth", Path(names["drive"]), Path("command/depth"), checkpoint, *more),
        evaluate(
            *("segmentation", Path("streets/kitti360"), Path("command/seg"), checkpoint, *more),
            *("--drive", "21", "--no-crf"),
        ),
    ]
    for ours, theirs in zip((depth, segmentation), by_command, strict=True):
        assert ours.scores == theirs.scores
        assert ours.tables == theirs.tables
        assert ours.settings == theirs.settings
    assert depth.scores["all"]["axis"]["all"]["model"]["none"]["abs_rel"] > 0


def test_probe_is_scored_on_the_drives_it_was_not_fitted_on(
    streets: Path, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--train-drives", "9", "--epochs", "1", "--panels", "0")
    result = evaluate("probe", streets / "kitti360", tmp_path / "run", checkpoint, *more)
    assert result.dataset.startswith("synthetic streets, drive 0021")
    for drives in ((), ("--train-drives", "9,21")):
        folder = str(streets / "kitti360")
        command = ["evaluate", "probe", folder, "-o", str(tmp_path / "no"), *drives]
        assert main([*command, "--checkpoint", checkpoint]) == 2
        told = capsys.readouterr().err
        assert "has the drives 9, 21: name some of them, not all, with --train-drives" in told


@pytest.mark.parametrize(
    ("kind", "coverage"),
    [("depth", f"{FRAMES} frames"), ("geometry", "2 frames"), ("consistency", "3 pairs")],
)
def test_one_drive(
    streets: Path,
    checkpoint: str,
    tmp_path: Path,
    kind: str,
    coverage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = streets / "kitti360/data_2d_raw" / sequence_name(21)
    more = () if kind == "geometry" else ("--panels", "0")
    result = evaluate(kind, folder, tmp_path / "run", checkpoint, *more)
    assert result.coverage == coverage
    assert all(np.isfinite(count).all() for count in result.counts.values())
    command = ["evaluate", kind, str(streets / "kitti360"), "-o", str(tmp_path / "no")]
    assert main([*command, "--checkpoint", checkpoint]) == 2
    told = capsys.readouterr().err
    assert "holds 2 drives, name one of them: " in told
    assert str(folder) in told
