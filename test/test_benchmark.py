"""The benchmark measures two ways to the same answer."""

import json
from pathlib import Path

import numpy as np
from models import TINY, lively_checkpoint, noise_image, street_camera

from scenedino_ros.benchmark.plain import PlainPredictor
from scenedino_ros.cli.main import main
from scenedino_ros.core.checkpoint import save_checkpoint
from scenedino_ros.core.predictor import Predictor, VoxelQuery
from scenedino_ros.core.voxels import VoxelGrid


def test_plain_and_folded_give_the_same_voxels() -> None:
    grid = VoxelGrid((-3.0, -2.0, 1.0), (20, 14, 24), 0.3)
    query = VoxelQuery(grow=True)
    answers = []
    for predictor in (
        PlainPredictor(lively_checkpoint(), "cpu", "stego_linear"),
        Predictor(lively_checkpoint(), device="cpu", mode="stego_linear"),
    ):
        encoded = predictor.encode(noise_image(), street_camera())
        answers.append(predictor.voxels(encoded, grid, np.eye(4), query))
    plain, folded = answers
    assert 0.05 < (plain >= 0).mean() < 0.95
    ours = np.where(folded.occupied(), folded.label_grid(empty=0).astype(int), -1)
    assert (ours == plain).mean() > 0.999


def test_command_prints_and_saves_both(tmp_path: Path, capsys) -> None:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint(TINY))
    output = tmp_path / "figures" / "benchmark.json"
    arguments = ["--checkpoint", str(path), "--grid", "camera", "--voxel-size", "0.8"]
    assert main(["benchmark", *arguments, "--repeats", "1", "-o", str(output)]) == 0
    figures = json.loads(output.read_text())
    results = figures["results"]
    assert set(results) == {"plain", "folded"}
    occupied = results["plain"]["occupied voxels"], results["folded"]["occupied voxels"]
    assert abs(occupied[0] - occupied[1]) <= 0.01 * occupied[1]
    for row in ("encode p50 [ms]", "voxels p95 [ms]", "frame p50 [ms]", "peak memory [MiB]"):
        assert results["plain"][row] > 0
        assert results["folded"][row] > 0
    printed = capsys.readouterr().out
    assert "plain / folded" in printed
    assert "frame p50 [ms]" in printed
    assert results["plain"]["peak memory [MiB]"] != results["folded"]["peak memory [MiB]"]
    assert "untrained weights" in printed
    assert 0 < results["folded"]["of it beyond imports [MiB]"] < 1000
    same = figures["folded against plain"]
    assert 0.99 < same["IoU"] <= 1
    assert 0.9 < same["mIoU"] <= 1
    assert f"IoU {same['IoU']:.4f}" in printed.replace("\n", " ")
