# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Class maps from a user's segmentation network: `scenedino label-images`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_fields import write_drives
from torch import nn

from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.inference.segmentation_network import SegmentationInput, SegmentationNetwork
from scenedino_ros.recordings.frame_store.class_maps import ClassMapFolder
from scenedino_ros.recordings.frame_store.store import FrameStore

PLAIN = SegmentationInput(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Brightest(nn.Module):
    """Scores each pixel by its colours: class 0 where red is brightest, 1 green, 2 blue."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(image, 2)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the network in both formats."""
    folder, example = tmp_path_factory.mktemp("networks"), torch.zeros(1, 3, 64, 160)
    found = {"torchscript": folder / "brightest.pt", "onnx": folder / "brightest.onnx"}
    torch.jit.trace(Brightest(), example).save(str(found["torchscript"]))
    torch.onnx.export(Brightest(), (example,), found["onnx"], dynamo=True, verbose=False)
    return found


def quarters() -> np.ndarray:
    """Return an image that is red, green and blue from left to right."""
    image = np.zeros((64, 160, 3), np.uint8)
    for channel in range(3):
        image[:, 48 * channel : 48 * (channel + 1) + 16, channel] = 100 + 50 * channel
    return image


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_names_the_class_of_every_pixel(networks: dict[str, Path], kind: str) -> None:
    image = quarters()
    label = SegmentationNetwork(networks[kind], PLAIN, 19)(image)
    expected = image.argmax(axis=-1)
    # Scores come at half the size, so borders between classes may move by a pixel.
    assert (label == expected)[:, np.r_[0:46, 50:94, 98:158]].all()
    renamed = SegmentationInput(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), ids=(11, 77, 13))
    label = SegmentationNetwork(networks[kind], renamed, 19)(image)
    assert (label[0, 5], label[0, 70], label[0, 120]) == (11, IGNORE, 13)


def test_normalises_and_resizes_as_stated(networks: dict[str, Path]) -> None:
    form = SegmentationInput(size=(64, 160), mean=(0.4, 0.0, 0.0), std=(0.1, 1.0, 1.0))
    image = np.full((32, 80, 3), 120, np.uint8)  # red is brightest after it is stretched
    label = SegmentationNetwork(networks["torchscript"], form, 19)(image)
    assert label.shape == (32, 80)
    assert (label == 0).all()


def test_command_labels_what_has_no_map_yet(
    networks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive, maps = write_drives(tmp_path)["short"], tmp_path / "maps"
    words = ["label-images", str(drive), "--network", str(networks["torchscript"])]
    words += ["-o", str(maps), "--cameras", "camera_00,camera_02"]
    assert main(words) == 0
    store = FrameStore(drive)
    folder = ClassMapFolder(maps, store)
    label = folder.read("camera_02", 1)
    assert label is not None
    assert label.shape == store.image_size
    assert set(np.unique(label)) == {0, 1, 2}
    assert folder.read("camera_01", 1) is None
    first = folder.path("camera_02", 1)
    first.unlink()
    before = folder.path("camera_00", 1).stat().st_mtime_ns
    capsys.readouterr()
    assert main(words) == 0
    assert f"1 class maps written, {2 * len(store) - 1} were there" in capsys.readouterr().out
    assert first.exists()
    assert folder.path("camera_00", 1).stat().st_mtime_ns == before
    assert main([*words, "--ids", "0,1,255"]) == 2
    assert "made with another network or other settings" in capsys.readouterr().err


def test_refuses_what_is_no_segmentation_network(tmp_path: Path) -> None:
    class Flat(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.mean(dim=(2, 3))

    torch.jit.trace(Flat(), torch.zeros(1, 3, 8, 8)).save(str(tmp_path / "flat.pt"))
    network = SegmentationNetwork(tmp_path / "flat.pt", PLAIN, 19)
    with pytest.raises(InputError, match=r"scores of shape .*, got \(1, 3\)"):
        network(np.zeros((8, 8, 3), np.uint8))
    for name, sentence in (("a.onnx", "cannot be read as ONNX"), ("a.pt", "as TorchScript")):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(InputError, match=sentence):
            SegmentationNetwork(tmp_path / name, PLAIN, 19)
    with pytest.raises(InputError, match="must end with one of"):
        SegmentationNetwork(tmp_path / "a.h5", PLAIN, 19)


def test_a_failed_try_leaves_the_folder_free(networks: dict[str, Path], tmp_path: Path) -> None:
    drive, maps = write_drives(tmp_path)["short"], tmp_path / "maps"
    words = ["label-images", str(drive), "--network", str(networks["onnx"]), "-o", str(maps)]
    height, width = FrameStore(drive).image_size
    if (height, width) != (64, 160):
        assert main(words) == 2
    assert main([*words, "--ids", "0,1"]) == 2
    assert main([*words, "--input-size", "64x160"]) == 0


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_refuses_answers_that_would_teach_nonsense(tmp_path: Path, kind: str) -> None:
    class Undefined(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return nn.functional.avg_pool2d(image, 2) * torch.nan

    path, example = tmp_path / "network", torch.zeros(1, 3, 64, 160)
    if kind == "onnx":
        path = path.with_suffix(".onnx")
        torch.onnx.export(Undefined(), (example,), path, dynamo=True, verbose=False)
    else:
        path = path.with_suffix(".pt")
        torch.jit.trace(Undefined(), example).save(str(path))
    with pytest.raises(InputError, match="scores that are no numbers"):
        SegmentationNetwork(path, PLAIN, 19)(quarters())


def test_refuses_values_that_do_not_fit(networks: dict[str, Path]) -> None:
    for mean, std in (((123.0, 117.0, 104.0), (1.0, 1.0, 1.0)), ((0.5,) * 3, (0.0, 1.0, 1.0))):
        with pytest.raises(InputError, match="mean and std must be those of RGB in 0 to 1"):
            SegmentationInput(mean=mean, std=std)
    few = SegmentationInput(ids=(0, 1))
    with pytest.raises(InputError, match="for each of the network's 3 classes, got 2"):
        SegmentationNetwork(networks["torchscript"], few, 19)(quarters())
    other = np.zeros((32, 80, 3), np.uint8)
    with pytest.raises(InputError, match=r"takes images of shape .*, got .*; --input-size"):
        SegmentationNetwork(networks["onnx"], PLAIN, 19)(other)
