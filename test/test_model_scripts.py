# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The scripts that score the default model: ends of rays across views, and classes on CamVid."""

import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from documented import ROOT
from models import TINY, lively_checkpoint, noise_image
from small_fields import NEARBY

from scenedino_ros.checkpoints.checkpoint import save_checkpoint
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.benchmark import write_noise_drive


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ends_of_rays_agree_on_one_wall(tmp_path: Path) -> None:
    matched_depth = script("matched_depth")
    write_noise_drive(tmp_path / "drive", NEARBY)
    store = FrameStore(tmp_path / "drive")
    height, width = (edge // 2 for edge in store.image_size)
    wall = np.full((height, width), 20.0, np.float32)
    ahead = np.eye(4)
    ahead[2, 3] = -2.0
    agree, seen = matched_depth.same_ends(wall, wall - 2, ahead, store, "camera_00")
    assert agree == seen > 0.7 * height * width  # the border is out of sight from nearer by
    assert matched_depth.same_ends(wall, wall - 4, ahead, store, "camera_00") == (0, seen)
    near = np.full_like(wall, 2.0)  # not scored
    assert matched_depth.same_ends(near, near, np.eye(4), store, "camera_00") == (0, 0)
    assert matched_depth.next_view(store, 0) in (2, 3)  # 0.8 m a frame
    assert matched_depth.next_view(store, len(store) - 1) is None


def test_camvid_scores_a_model_by_its_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    camvid = script("camvid")
    save_checkpoint(tmp_path / "tiny.safetensors", lively_checkpoint(TINY))
    for folder in ("image", "label"):
        (tmp_path / folder).mkdir()
    network = NetworkChoice(
        str(tmp_path / "tiny.safetensors"), image_size=(96, 128), fit="stretch"
    )
    clustered, own = camvid.with_clusters(network.load())
    predictor = network.predictor(clustered)
    for number in range(2):
        cv2.imwrite(str(tmp_path / "image" / f"{number}.jpg"), noise_image(128, 96, number))
        rgb = camvid.read_rgb(tmp_path / "image" / f"{number}.jpg")
        label = own[camvid.rendered_clusters(predictor, rgb)].astype(np.uint8)
        label[:10] = camvid.VOID
        cv2.imwrite(str(tmp_path / "label" / f"{number}.png"), label)
    arguments = ["camvid", str(tmp_path), "--checkpoint", str(tmp_path / "tiny.safetensors")]
    monkeypatch.setattr("sys.argv", [*arguments, "--image-size", "96", "128"])
    camvid.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:5] == ["2", "images,", "19", "clusters;", "%"]
    rows = {" ".join(words[:2]): [float(word) for word in words[2:]] for words in lines[2:]}
    assert rows["own names"][0] == 100.0  # accuracy: the labels are its own classes
    assert rows["best names"][0] == 100.0
    assert 0 < rows["2D k-means"][0] < 100.0
