# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The script that measures memory over the length of a drive."""

import sys
from pathlib import Path

import pytest
from documented import ROOT
from test_documented_commands import understand
from test_model_scripts import script

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.recordings.frame_store.store import FrameStore


def test_a_drive_is_written_and_its_index_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_drives = script("long_drives")
    words = long_drives.commands(tmp_path, 5)
    monkeypatch.setattr(long_drives, "commands", lambda *_: {"index": words["index"]})
    costs = long_drives.measure(tmp_path, 5)
    assert costs["index"].peak_mib > 50  # an interpreter with NumPy
    assert costs["index"].seconds > 0
    store = FrameStore(tmp_path / "store")
    assert len(store) == 5
    assert set(store.cameras) == {"camera_00", "camera_01"}
    assert (tmp_path / "costs.json").exists()
    # What is done is not done again.
    monkeypatch.setattr(long_drives, "run", None)
    assert long_drives.measure(tmp_path, 5) == costs


def test_a_command_that_fails_says_how_it_ended(tmp_path: Path) -> None:
    fail = [sys.executable, "-c", "import sys; sys.exit('no such drive')"]
    with pytest.raises(SceneDinoError, match=r"ended with 1: \['no such drive'\]"):
        script("long_drives").run(fail, tmp_path / "log")


def test_its_commands_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for words in script("long_drives").commands(tmp_path, 1000).values():
        assert understand(["python", *words[1:]])
