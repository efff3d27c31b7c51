# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Coarsened networks: maps of half the resolution that answer as before."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import TINY, lively_checkpoint
from small_fields import write_drives

from scenedino_ros.checkpoints.checkpoint import (
    build_model,
    load_checkpoint,
    save_checkpoint,
    untrained_checkpoint,
)
from train import coarsen
from train.coarsen import Rays, Tail, losses
from train.runs.launch import Stopped

TRAINED = ("decoder.project.", "decoder.output_head.")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drives(tmp_path_factory.mktemp("drives"))["long"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "fine.safetensors"
    save_checkpoint(path, lively_checkpoint())
    return path


def command(network: Path, drive: Path, output: Path, **settings: object) -> list[str]:
    values = {
        "checkpoint": network,
        "stores": drive,
        "images": 4,
        "rays": 100,
        "samples": 8,
        "run.steps": 6,
        "run.device": "cpu",
        **settings,
    }
    return [
        *(part for name, value in values.items() for part in (f"--{name}", str(value))),
        "--output",
        str(output),
    ]


def test_a_coarse_network_answers_nearly_as_before(
    network: Path, drive: Path, tmp_path: Path
) -> None:
    assert coarsen.main(command(network, drive, tmp_path / "run", **{"run.steps": 60})) == 0
    fine, coarse = (load_checkpoint(p) for p in (network, tmp_path / "run" / "coarse.safetensors"))
    assert coarse.config == replace(fine.config, upsample_fusion=False)
    changed = {n for n, values in fine.state.items() if not torch.equal(values, coarse.state[n])}
    assert changed == {name for name in fine.state if name.startswith(TRAINED)}
    before, after = build_model(fine), build_model(coarse)
    draws = torch.Generator().manual_seed(5)
    image = torch.rand(1, 3, 8, 20, generator=draws) * 2 - 1  # smooth, unlike the drive's noise
    image = torch.nn.functional.interpolate(image, TINY.image_size, mode="bicubic")
    rays = Rays(before, (1, 2000, 8), draws)
    with torch.inference_mode():
        network_map, small = before.encode(image), after.encode(image)
        assert [2 * side for side in small.shape[2:]] == list(network_map.shape[2:])
        weight = before.field.lin_in.weight[:, : TINY.decoder_width, None, None]
        wanted, found = (
            rays.answers(torch.nn.functional.conv2d(m, weight, before.field.lin_in.bias))
            for m in (network_map, small)
        )
        start = Tail(before.decoder, before.field.lin_in)(after.decoder.fuse(after.encoder(image)))
        untrained = losses(rays.answers(start), wanted)
        trained = losses(found, wanted)
    assert trained["hidden"] < 0.5 * untrained["hidden"]
    assert trained["weights"] < untrained["weights"]


def test_before_the_first_step_a_map_without_detail_gets_the_same_answer() -> None:
    model = build_model(lively_checkpoint())
    tail = Tail(model.decoder, model.field.lin_in)
    small = torch.rand(1, TINY.decoder_width, 1, 1).expand(-1, -1, 8, 8)
    weight = model.field.lin_in.weight[:, : TINY.decoder_width, None, None]
    with torch.inference_mode():
        wide = model.decoder.output_head(model.decoder.project(small))
        expected = torch.nn.functional.conv2d(wide, weight, model.field.lin_in.bias)
        found = tail(small)
    # Zeros beyond the border reach three pixels far.
    torch.testing.assert_close(found[..., 3:5, 3:5], expected[..., 3:5, 3:5], rtol=1e-4, atol=1e-4)


def test_an_interrupted_run_ends_as_if_it_had_not_been(
    network: Path, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert coarsen.main(command(network, drive, tmp_path / "whole")) == 0
    steps = []

    def stop_at_the_fourth(*arguments: object) -> dict[str, torch.Tensor]:
        steps.append(1)
        if len(steps) == 4:
            raise Stopped("stopped on request")
        return losses(*arguments)

    parts = command(network, drive, tmp_path / "parts", **{"run.save_every": 2})
    with monkeypatch.context() as patch:
        patch.setattr(coarsen, "losses", stop_at_the_fourth)
        assert coarsen.main(parts) == 130
    assert not (tmp_path / "parts" / "coarse.safetensors").exists()
    assert coarsen.main(["--resume", "--output", str(tmp_path / "parts")]) == 0
    whole, resumed = (
        load_checkpoint(tmp_path / name / "coarse.safetensors").state
        for name in ("whole", "parts")
    )
    assert all(torch.equal(values, resumed[name]) for name, values in whole.items())
    made = load_checkpoint(tmp_path / "parts" / "coarse.safetensors").provenance
    assert made["map"] == "train.coarsen, 6 steps"


def test_what_cannot_be_coarsened_is_refused_in_a_sentence(
    network: Path, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    coarse = tmp_path / "coarse.safetensors"
    save_checkpoint(coarse, lively_checkpoint(replace(TINY, upsample_fusion=False)))
    s4c = tmp_path / "s4c.safetensors"
    of_classes = replace(TINY, heads=("field",), n_clusters=0, feature_dim=TINY.n_classes)
    save_checkpoint(s4c, untrained_checkpoint(of_classes))
    cases = {
        "must have a decoder whose last fusion block doubles": command(
            coarse, drive, tmp_path / "a"
        ),
        "no frame store is at": command(network, tmp_path / "none", tmp_path / "b"),
        "needs an image of a frame store in stores, got none": command(
            network, "[]", tmp_path / "c"
        ),
        "a network is coarsened by one process, got 2": command(
            network, drive, tmp_path / "d", **{"run.devices": 2}
        ),
        "a network is coarsened by one process, got 3": command(
            network, drive, tmp_path / "d", **{"run.nodes": 3}
        ),
        "must name the network to coarsen, got none": command("", drive, tmp_path / "e"),
        "must be one of SceneDINO, and": command(s4c, drive, tmp_path / "f"),
    }
    for message, arguments in cases.items():
        assert coarsen.main(arguments) == 2
        assert message in capsys.readouterr().err
