# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The matrix of processors: one cell runs here, another one than this machine's own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "parity_matrix.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def few(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of golden vectors with those of training and one small image."""
    golden: Path = request.config.getoption("--golden").resolve()
    folder = tmp_path_factory.mktemp("golden")
    if not (golden / "s8_64x160.npz").exists() or not (golden / "training").is_dir():
        pytest.skip("the golden folder has not all that a cell needs")
    for name in ("s8_64x160.npz", "training"):
        (folder / name).symlink_to(golden / name)
    return folder


# As the oldest processor that runs PyTorch would.
CELL = "default/SSE41/1"


def test_a_cell_passes(few: Path) -> None:
    tests = Path(__file__).parent.glob("test_golden_[mst]*.py")
    done = run(CELL, "--", f"--golden={few}", *map(str, sorted(tests)))
    assert done.returncode == 0, done.stdout + done.stderr
    head, row = done.stdout.splitlines()
    assert head.split()[:3] == ["cell", "passed", "failed"]
    cell, passed, failed = row.split()[:3]
    assert (cell, failed) == (CELL, "0")
    assert int(passed) > 30
    assert "not this cell" not in row


def test_a_failure_fails_the_script(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    image = np.zeros((1, 3, 4, 6), np.float32)
    wrong = {"image": image, "shift0": np.array([1, -1]), "out0": image + 1}
    np.savez(tmp_path / "training/target_shift.npz", **wrong)
    test = Path(__file__).with_name("test_golden_training.py")
    done = run(CELL, "--", f"--golden={tmp_path}", f"{test}::test_target_shift")
    assert done.returncode == 1
    assert "FAILED test/test_golden_training.py::test_target_shift" in done.stdout
    assert done.stdout.splitlines()[-1].split()[:3] == [CELL, "0", "1"]


def test_cells_have_names() -> None:
    done = run("avx2/*/3")
    assert done.returncode == 2
    assert "no cell matches avx2/*/3; there are default/SSE41/1, " in done.stderr
    assert len(done.stderr.split(", ")) == 18
