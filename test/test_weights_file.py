# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Files that are no checkpoints: every command that takes one says what they are."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from models import lively_checkpoint
from safetensors import safe_open
from safetensors.torch import save_file

from scenedino_ros.checkpoints.card import read_card
from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.checkpoints.official.file import read_official_state
from scenedino_ros.checkpoints.pretrained import load_backbone, read_weights
from scenedino_ros.checkpoints.weights_file import PYTORCH, SAFETENSORS, weights_format
from scenedino_ros.cli.main import main
from scenedino_ros.core.config import ModelSettings, NodeSettings
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.network.folded_head import FoldedHead
from scenedino_ros.node.processor import load_predictor
from train import train_field, train_semantics

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 87654321\n" % 7
PAGE = b"\n  <!DOCTYPE html>\n<html lang=en><title>Not found</title></html>"


def safetensors_bytes(tmp_path: Path, n: int = 300) -> bytes:
    save_file({"weight": torch.arange(float(n))}, tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


def pytorch_bytes(tmp_path: Path, *, zipped: bool = True) -> bytes:
    state = {"weight": torch.arange(300.0)}
    torch.save(state, tmp_path / "whole", _use_new_zipfile_serialization=zipped)
    return (tmp_path / "whole").read_bytes()


def test_whole_files_are_told_apart_by_content(tmp_path: Path):
    path = tmp_path / "x.pt"
    # A header of 128 bytes begins as a pickle does.
    for n in range(1, 200):
        path.write_bytes(safetensors_bytes(tmp_path, n))
        assert weights_format(path) == SAFETENSORS
    for zipped in (True, False):
        path.write_bytes(pytorch_bytes(tmp_path, zipped=zipped))
        assert weights_format(path) == PYTORCH
        assert read_weights(path)["weight"][7] == 7
        with pytest.raises(
            CheckpointError, match=r"is a PyTorch file, not .* 'scenedino convert'"
        ):
            read_card(path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (POINTER, "it is a Git LFS pointer of a file of 87.7 MB, .*'git lfs pull' fetches it"),
        (PAGE, "it is a web page"),
        (b"", r"it is empty \(0 bytes\)"),
        (bytes(5000), "begins with nothing but zeros; its download was not finished"),
        (b'{"error": "no such file"}', 'text file that begins with \'{"error": "no such file"}\''),
        ("Größe".encode() * 400, "it is a text file that begins with 'GrößeGröße"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "neither a safetensors nor a PyTorch file"),
        (b"\x40\0\0", "neither a safetensors nor a PyTorch file, or is cut off"),
    ],
)
def test_other_content_is_named(tmp_path: Path, suffix: str, content: bytes, sentence: str):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    for read in (load_checkpoint, read_card, read_weights):
        with pytest.raises(CheckpointError, match=f"x.{suffix} cannot be read: .*{sentence}"):
            read(path)


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        (-1, r"it is a safetensors file that is cut off: its header describes \d+ bytes, it has"),
        (-900, "it is a safetensors file that is cut off: its header describes"),
        (40, "it is a safetensors file that is cut off inside its header: it has 40 bytes"),
    ],
)
def test_cut_off_safetensors(tmp_path: Path, keep: int, sentence: str):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(safetensors_bytes(tmp_path)[:keep])
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(path)


def test_safetensors_with_more_than_their_header_says(tmp_path: Path):
    path = tmp_path / "long.safetensors"
    path.write_bytes(safetensors_bytes(tmp_path) + b"rest")
    with pytest.raises(CheckpointError, match="safetensors file that is damaged: its header"):
        load_checkpoint(path)
    path.write_bytes((60).to_bytes(8, "little") + b"{" + bytes(300))
    with pytest.raises(CheckpointError, match="safetensors file with a damaged header"):
        load_checkpoint(path)


@pytest.mark.parametrize("keep", [-30, 700, 100])
def test_cut_off_pytorch_files(tmp_path: Path, keep: int):
    path = tmp_path / "cut.pt"
    path.write_bytes(pytorch_bytes(tmp_path)[:keep])
    with pytest.raises(CheckpointError, match=r"it is a PyTorch file that is cut off: after \d+"):
        read_weights(path)
    path.write_bytes(pytorch_bytes(tmp_path, zipped=False)[:keep])
    with pytest.raises(CheckpointError, match=r"cut\.pt cannot be read"):
        read_weights(path)


def test_folders_and_what_is_not_there(tmp_path: Path):
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_card(tmp_path / "none.safetensors")


def node(path: Path) -> None:
    load_predictor(NodeSettings(model=ModelSettings(checkpoint=str(path))), lambda _: None)


def command(*words: str) -> Callable[[Path], None]:
    def start(path: Path) -> None:
        picture = path.with_name("picture.png")
        cv2.imwrite(str(picture), np.zeros((50, 96, 3), np.uint8))
        places = {"FILE": str(path), "PICTURE": str(picture), "OUT": str(path.with_name("out"))}
        assert main([places.get(word, word) for word in words]) == 2
        assert not path.with_name("out").exists()

    return start


CAMERA = ("--intrinsics", "60,62,47.5,25")
COMMANDS = {
    "info": command("info", "FILE"),
    "convert": command("convert", "FILE", "-o", "OUT.safetensors"),
    "predict": command("predict", "PICTURE", *CAMERA, "--checkpoint", "FILE", "-o", "OUT"),
    "export": command("export", "FILE", "-o", "OUT"),
    "benchmark": command("benchmark", "network", "--checkpoint", "FILE"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_the_file_is(name: str, tmp_path: Path, capsys):
    path = tmp_path / "x.safetensors"
    path.write_bytes(POINTER)
    COMMANDS[name](path)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"scenedino {name}: checkpoint {path} cannot be read: it is a Git LFS")


def test_evaluations_training_and_node_say_what_the_file_is(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(POINTER)
    for take in (node, lambda path: NetworkChoice(str(path)).settings()):
        with pytest.raises(CheckpointError, match="it is a Git LFS pointer of a file of 87.7 MB"):
            take(path)
    with pytest.raises(CheckpointError, match="weights .* it is a Git LFS pointer"):
        load_backbone(Encoder("dino_vits8", (32, 64)), path)


@pytest.mark.parametrize(
    ("trainer", "words", "what"),
    [
        (train_semantics, ["--checkpoint", "FILE"], "checkpoint"),
        (train_field, ["--encoder.weights", "random", "--start", "FILE"], "checkpoint"),
        (train_field, ["--encoder.weights", "FILE"], "weights"),
    ],
)
def test_training_says_what_the_file_is(trainer, words, what, tmp_path: Path, capsys):
    path = tmp_path / "x.safetensors"
    path.write_bytes(POINTER)
    words = [word.replace("FILE", str(path)) for word in words]
    # The small backbone is built in a moment.
    small = [] if trainer is train_semantics else ["--model.backbone", "dino_vits8"]
    assert trainer.main([*words, *small, "--output", str(tmp_path / "run")]) == 2
    assert f"{what} {path} cannot be read: it is a Git LFS pointer" in capsys.readouterr().err


@pytest.fixture(scope="module")
def direct_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint whose head has clusters and probe of the full feature alone."""
    whole = lively_checkpoint()
    config = replace(whole.config, heads=("direct_kmeans", "direct_linear"))
    state = {key: value for key, value in whole.state.items() if ".stego_" not in key}
    path = tmp_path_factory.mktemp("heads") / "direct.safetensors"
    save_checkpoint(path, replace(whole, config=config, state=state))
    return path


MISSING_HEAD = (
    "the checkpoint has no head for mode 'stego_kmeans'; it has direct_kmeans, direct_linear"
)


@pytest.mark.parametrize("name", ["predict", "export", "benchmark"])
def test_every_command_says_which_heads_there_are(name: str, direct_only: Path, capsys):
    COMMANDS[name](direct_only)
    assert capsys.readouterr().err.strip().endswith(MISSING_HEAD)


def test_evaluations_and_node_say_which_heads_there_are(direct_only: Path):
    for take in (node, lambda path: NetworkChoice(str(path)).settings()):
        with pytest.raises(InputError, match=MISSING_HEAD):
            take(direct_only)


@pytest.mark.parametrize("mode", ["direct_kmeans", "direct_linear"])
def test_heads_that_are_there_answer_as_in_the_whole_network(direct_only: Path, mode: str):
    whole, part = lively_checkpoint(), load_checkpoint(direct_only)
    assert part.config.heads == ("direct_kmeans", "direct_linear")
    feature = torch.randn(40, whole.config.feature_dim, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = build_model(whole).classify(feature, mode)
        got = build_model(part).classify(feature, mode)
        folded = FoldedHead(build_model(part), mode).classify(feature)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])
    assert torch.equal(folded[0], expected[0])


# Files made to fill memory


def zipped(path: Path, changed: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a PyTorch file again with other parts, or compressed."""
    torch.save({"a": torch.zeros(4)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, changed.get(name.rpartition("/")[2], content))
    return path


@pytest.mark.parametrize("read", [read_official_state, read_weights])
def test_a_pytorch_file_may_not_be_compressed(tmp_path: Path, read):
    path = zipped(tmp_path / "a.pt", {"0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="must hold its parts uncompressed"):
        read(path)


@pytest.mark.parametrize("read", [read_official_state, read_weights])
def test_a_pickle_may_not_ask_for_a_bytearray(tmp_path: Path, read):
    bomb = b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R."  # bytearray(2 GB)
    with pytest.raises(CheckpointError, match="holds a bytearray"):
        read(zipped(tmp_path / "a.pt", {"data.pkl": bomb}))
    (tmp_path / "b.pt").write_bytes(bomb)
    with pytest.raises(CheckpointError, match="holds a bytearray"):
        read(tmp_path / "b.pt")


@pytest.mark.parametrize("read", [read_official_state, read_weights])
def test_a_tensor_may_not_repeat_one_number_a_billion_times(tmp_path: Path, read):
    torch.save({"a": torch.zeros(1).expand(10**12)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="must have about the bytes of the file"):
        read(tmp_path / "a.pt")


def test_a_pipe_is_no_checkpoint(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for read in (load_checkpoint, read_official_state, read_weights):
        with pytest.raises(CheckpointError, match="must be a file, got a pipe"):
            read(tmp_path / "pipe")


@pytest.mark.parametrize("end", ["1e400", '"x"', "-1", "9" * 4000])
def test_offsets_that_are_no_places_are_damage(tmp_path: Path, end: str):
    header = f'{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,{end}]}}}}'.encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match="damaged header"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("config", "[" * 30_000, "it is nested too deeply"),
        (
            "config",
            '{"hidden_dim": "wide"}',
            "hidden_dim must be like 128, got 'wide'",
        ),
        ("config", '{"image_size": [64]}', "image_size must be like"),
        ("config", '{"hidden_dim": 1e9}', "hidden_dim must be like 128, got 1000000000.0"),
        ("config", '{"n_frequencies": 1000000000}', "n_frequencies must be <= 65536"),
        ("config", '{"n_clusters": 2147483648}', "n_clusters must be in 0 to 65536"),
        ("provenance", "[]", "has no attribute 'items'"),
        ("classes", '{"classes": [{"id": Infinity}]}', "OverflowError"),
        ("density_threshold", '"low"', "must be real number, not str"),
    ],
)
def test_a_header_of_other_kinds_is_refused(tmp_path: Path, key: str, value: str, why: str):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, lively_checkpoint())
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file({"a": torch.zeros(1)}, path, {**header, key: value})
    for read in (load_checkpoint, read_card):
        with pytest.raises(CheckpointError, match="has a damaged header") as caught:
            read(path)
        assert why in str(caught.value)


def test_provenance_is_printable(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, replace(lively_checkpoint(), provenance={"weights": "a\x1b[2Jb"}))
    assert read_card(path).weights == r"a\x1b[2Jb"
