# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Published checkpoints: fetched from a hub on loopback, converted once, verified ever after."""

import json
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from loopback_hub import COMMIT, LoopbackHub, running_hub
from official_files import small_state, training_config, write_folder

from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.checkpoints.download import content_checksum, fetch_files
from scenedino_ros.checkpoints.hub import fetch_published, locate
from scenedino_ros.checkpoints.names import PUBLISHED, cached_file
from scenedino_ros.core.cache_folder import cache_folder
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.inference.network_choice import NetworkChoice

NAME = "ssc-kitti-360-dinov2"
FOLDER = "seg-best-dinov2"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official") / FOLDER
    # Training keeps the perceptual network of its loss inside what it saves.
    loss = {f"lpips.lin{i}.model.1.weight": torch.ones(1, 64, 1, 1) for i in range(5)}
    folder = write_folder(folder, {**small_state(), **loss}, training_config((32, 64)))
    with (folder / "training_config.yaml").open("a") as file:
        file.write("data_path: !!python/object/apply:pathlib.PosixPath [/, data]\n")
    return folder


@pytest.fixture
def hub(official: Path):
    with running_hub(official, FOLDER) as hub:
        yield hub


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_first_use_fetches_converts_and_records(hub: LoopbackHub, cache: Path, official: Path):
    told: list[str] = []
    path = fetch_published(NAME, told.append, endpoint=hub.endpoint)
    assert path == cache / f"{NAME}.safetensors"
    checkpoint = load_checkpoint(path)
    state = torch.load(official / "checkpoint.pt", weights_only=True)
    key = "renderer.net.heads.normal_head.lin_out.weight"
    assert torch.equal(build_model(checkpoint).state_dict()["field.lin_out.weight"], state[key])
    assert checkpoint.provenance["weights"] == PUBLISHED[NAME].weights
    assert checkpoint.provenance["source_sha256"] == file_sha256(official / "checkpoint.pt")
    assert COMMIT in checkpoint.provenance["source"]
    assert "KITTI-360" in checkpoint.provenance["license"]
    record = json.loads((cache / f"{NAME}.json").read_text())
    assert record["sha256"] == file_sha256(path)
    assert not (cache / "download" / NAME).exists()
    assert any(re.search(r"downloading .*checkpoint.pt", line) for line in told)
    assert any(re.fullmatch(r"left out .* 5 of a perceptual loss, .*", line) for line in told)
    assert "5 of a perceptual loss" in checkpoint.provenance["left_out"]


def test_second_use_needs_no_network(hub: LoopbackHub):
    fetch_published(NAME, endpoint=hub.endpoint)
    asked = len(hub.requests)
    again = fetch_published(NAME, endpoint=closed_port())
    assert NetworkChoice(NAME).load().config.image_size == (32, 64)
    assert locate(NAME, fetch=False) == again
    assert len(hub.requests) == asked


def test_broken_transfers_are_resumed_where_they_stopped(hub: LoopbackHub, official: Path):
    hub.breaks = 2
    path = fetch_published(NAME, endpoint=hub.endpoint)
    first, *resumed = hub.transfers()
    assert first == ""
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked).group(1)) for asked in resumed]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1]
    assert load_checkpoint(path).provenance["source_sha256"] == file_sha256(
        official / "checkpoint.pt"
    )


def test_a_transfer_that_never_succeeds_leaves_nothing_that_could_be_used(
    hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    hub.breaks = 1000
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", lambda _: None)  # between the attempts of huggingface_hub
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt cannot be fetched"):
            fetch_published(NAME, endpoint=hub.endpoint)
    hub.breaks = 0
    assert not list(cache.glob("*.safetensors"))
    with pytest.raises(CheckpointError, match="has not been downloaded"):
        locate(NAME, fetch=False)
    assert fetch_published(NAME, endpoint=hub.endpoint).is_file()


@pytest.mark.parametrize("file", ["checkpoint.pt", "training_config.yaml"])
def test_altered_bytes_are_refused_and_not_kept(hub: LoopbackHub, cache: Path, file: str):
    name = f"{FOLDER}/{file}"
    altered = bytearray(hub.files[name])
    altered[len(altered) // 2] ^= 1
    hub.delivered[name] = bytes(altered)
    with pytest.raises(CheckpointError, match=f"{name} arrived damaged and was removed"):
        fetch_published(NAME, endpoint=hub.endpoint)
    assert not list(cache.glob("*.safetensors"))
    kept = [p for p in cache.rglob("*") if p.is_file() and p.stat().st_size == len(altered)]
    assert kept == []
    hub.delivered.clear()
    assert fetch_published(NAME, endpoint=hub.endpoint).is_file()


def test_a_hub_that_states_no_checksum_is_not_trusted(hub: LoopbackHub):
    hub.plain_etags = True
    with pytest.raises(CheckpointError, match="states no commit and checksum"):
        fetch_published(NAME, endpoint=hub.endpoint)


def test_without_network_one_sentence_says_what_to_do(cache: Path):
    with pytest.raises(CheckpointError) as caught:
        fetch_published(NAME, endpoint=closed_port())
    message = str(caught.value)
    assert NAME in message
    assert f"jev-aleks/SceneDINO/resolve/main/{FOLDER}/checkpoint.pt" in message
    assert f"scenedino convert {FOLDER} -o {NAME}.safetensors" in message
    assert "\n" not in message


@pytest.mark.parametrize(("status", "word"), [(500, "500"), (401, "401|exist")])
def test_a_hub_that_refuses_is_reported(hub: LoopbackHub, status: int, word: str):
    hub.status = status
    with pytest.raises(CheckpointError, match=word):
        fetch_published(NAME, endpoint=hub.endpoint)


def test_a_file_that_the_repository_does_not_have(hub: LoopbackHub, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"nothing\.pt does not exist"):
        fetch_files("a/b", ["nothing.pt"], tmp_path, report=lambda _: None, endpoint=hub.endpoint)


def test_a_damaged_cache_is_named(hub: LoopbackHub):
    path = fetch_published(NAME, endpoint=hub.endpoint)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=f"{path} is damaged: its SHA-256 must be"):
        NetworkChoice(NAME).load()
    path.write_bytes(bytes(content[:-1]))
    with pytest.raises(CheckpointError, match=r"got not computed \(\d+ bytes\); delete it"):
        NetworkChoice(NAME).load()
    path.unlink()
    assert fetch_published(NAME, endpoint=hub.endpoint).is_file()
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"\.json is damaged; delete it"):
        NetworkChoice(NAME).load()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch, hub: LoopbackHub):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path / "file" / "cache"))
    expected = "cache .*file/cache cannot be written .*set SCENEDINO_CACHE to a folder"
    with pytest.raises(CheckpointError, match=expected):
        fetch_published(NAME, endpoint=hub.endpoint)


def test_without_a_home_the_variable_to_set_is_named(monkeypatch, hub: LoopbackHub):
    for name in ("SCENEDINO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(CheckpointError, match="HOME is not set .*set SCENEDINO_CACHE"):
        fetch_published(NAME, endpoint=hub.endpoint)


def test_of_two_at_once_only_one_fetches(hub: LoopbackHub):
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: fetch_published(NAME, endpoint=hub.endpoint), range(2)))
    assert paths[0] == paths[1]
    assert len(hub.transfers()) == 1


HOLD_LOCK = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_that_fetches_is_waited_for(hub: LoopbackHub, cache: Path):
    cache.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(cache / f"{NAME}.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    told: list[str] = []

    def report(text: str) -> None:
        told.append(text)
        if "waiting for another process" in text:
            assert hub.requests == []
            holder.communicate(timeout=60)

    assert fetch_published(NAME, report, endpoint=hub.endpoint).is_file()
    assert told[0] == f"waiting for another process that fetches {NAME}"
    assert holder.returncode == 0


def test_checksums_are_those_of_git_and_sha256(tmp_path: Path):
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    assert content_checksum(path, "0" * 40) == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert content_checksum(path, "0" * 64).startswith("5891b5b522d5df086d0ff0b110fbd9d2")


def test_paths_names_and_nothing(tmp_path: Path):
    untrained = NetworkChoice("untrained").load()
    assert "untrained" in untrained.provenance["weights"]
    save_checkpoint(tmp_path / "mine.safetensors", untrained)
    loaded = NetworkChoice(str(tmp_path / "mine.safetensors")).load()
    assert loaded.config == untrained.config
    with pytest.raises(CheckpointError, match="neither a file nor a name.*default, untrained,"):
        NetworkChoice("ssc-kitti").load()
    with pytest.raises(CheckpointError, match="is a folder; 'scenedino convert'"):
        NetworkChoice(str(tmp_path)).load()


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path):
    assert cache_folder() == cache
    monkeypatch.delenv("SCENEDINO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cached_file(NAME) == tmp_path / "scenedino_ros" / f"{NAME}.safetensors"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "scenedino_ros"
