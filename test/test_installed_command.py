# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The installed command at its defaults: as many processes as there are cores, and on two."""

import os
from pathlib import Path

import pytest
from installed import scenedino
from models import lively_checkpoint
from ssc_folder import write_ssc_folder

from scenedino_ros.checkpoints.checkpoint import save_checkpoint
from scenedino_ros.evaluation.result import read_result

CORES = len(os.sched_getaffinity(0))


def test_it_makes_streets_in_several_processes(tmp_path: Path) -> None:
    pytest.importorskip("open3d", reason="Open3D cannot be imported")
    options = ["--frames", "3", "--cameras", "camera_00", "--width", "48", "--rays", "1"]
    options += ["--write", "folders", "--no-voxels"]
    made = scenedino("synthesize", tmp_path / "streets", "--seeds", "901", *options)
    assert made.returncode == 0, made.stderr
    assert "rendered 3 frames" in made.stdout
    assert "rendering 3 of 3 frames" in made.stderr
    drive = tmp_path / "streets/kitti360/data_2d_raw/2013_05_28_drive_0901_sync"
    images = sorted(path.name for path in drive.glob("image_00/data_rect/*"))
    assert images == [f"{number:010d}.png" for number in range(3)]


def test_it_scores_in_several_processes(tmp_path: Path) -> None:
    root, checkpoint = tmp_path / "blocks", tmp_path / "tiny.safetensors"
    write_ssc_folder(root, {"test": {"seq": 2}})
    save_checkpoint(checkpoint, lively_checkpoint())
    where = ("-o", tmp_path / "run", "--checkpoint", checkpoint, "--panels", "0")
    done = scenedino("evaluate", "ssc", root, *where)
    assert done.returncode == 0, done.stderr
    assert "Evaluated: 2 frames of blocks, test" in done.stdout
    speed = read_result(tmp_path / "run").speed
    assert speed is not None
    assert speed.processes == (min(CORES, 2),) * 2
