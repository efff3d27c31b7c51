# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Averages of networks: what they are, and what cannot be averaged."""

import contextlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import lively_checkpoint

from scenedino_ros.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from scenedino_ros.core.errors import InputError
from train import average

NAME = "field.lin_in.weight"


def test_an_average_lies_between_its_parts(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first = lively_checkpoint()
    moved = {**first.state, NAME: first.state[NAME] + 1.0}
    second = replace(first, state=moved)
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, checkpoint in zip(paths, (first, second), strict=True):
        save_checkpoint(path, checkpoint)
    output = tmp_path / "c.safetensors"
    assert average.main([*map(str, paths), "-o", str(output), "--shares", "3,1"]) == 0
    assert "the average of 2 checkpoints" in capsys.readouterr().out
    found = load_checkpoint(output)
    torch.testing.assert_close(found.state[NAME], first.state[NAME] + 0.25)
    for name, value in first.state.items():
        if name != NAME:
            assert torch.equal(found.state[name], value), name
    assert found.config == first.config
    assert found.provenance == first.provenance


@pytest.mark.parametrize("shares", ["nan,1", "inf,1", "0,1", "a,1"])
def test_shares_are_positive_numbers(
    shares: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "one.safetensors"
    save_checkpoint(path, lively_checkpoint())
    command = [str(path), str(path), "-o", str(tmp_path / "mean.safetensors"), "--shares", shares]
    with contextlib.suppress(SystemExit):  # of argparse
        assert average.main(command) == 2
    assert re.search(r"must be (2 positive )?numbers", capsys.readouterr().err)
    assert not (tmp_path / "mean.safetensors").exists()


def test_what_differs_in_kind_has_no_average() -> None:
    first = lively_checkpoint()
    other = replace(first, config=replace(first.config, depth_range=(2.0, 80.0)))
    with pytest.raises(InputError, match="must be of the same network .* number 2"):
        average.averaged([first, other], [1, 1])
    longer = replace(first, config=replace(first.config, canonical_focal=300.0))
    with pytest.raises(InputError, match="another configuration"):
        average.averaged([first, longer], [1, 1])
    assert average.averaged([first, longer], [1, 1], 282.0).config.canonical_focal == 282.0
    for shares in ([1.0], [1.0, 0.0]):
        with pytest.raises(InputError, match="shares must be 2 positive numbers"):
            average.averaged([first, first], shares)
