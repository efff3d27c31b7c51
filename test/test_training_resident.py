# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Stage 1 with all images on the device: the step equals that of loaded items; runs resume."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_fields import NEARBY, with_store, write_drives

from scenedino_ros.core.errors import InputError
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.recordings.frame_store.store import FrameStore
from train import train_field
from train.field.batches import chosen_batches
from train.field.chosen_views import drawn_ahead
from train.field.copies import WHOLE, ImageCopy
from train.field.data import FieldData, ItemTensors
from train.field.depth_hints import DepthHints
from train.field.items import View
from train.field.resident import ResidentFrames
from train.field.resident_step import DrawnRays, ResidentTraining, draw_rays
from train.field.settings import FieldSettings
from train.field.step import PatchBatch
from train.runs.settings import write_settings

N_ITEMS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resident")


@pytest.fixture(scope="module")
def settings(folder: Path) -> FieldSettings:
    """Return small settings whose items have mirrored crops, levels, and hints."""
    path = write_drives(folder / "drives")["short"]
    small = with_store(NEARBY, path)
    store, rng = FrameStore(path), np.random.default_rng(1)
    hints = DepthHints(folder, store, small.model.depth_range)._array("camera_00")
    for frame in range(0, len(store), 2):  # the others have none
        hints.write(frame, rng.uniform(3, 30, small.model.image_size))
    return replace(
        small,
        run=replace(small.run, batch_size=N_ITEMS),
        data=replace(small.data, crops=3, resident=True, loss_views=2),
        rays=replace(small.rays, levels=(2, 1), level_shares=(0.5, 0.5)),
        losses=replace(small.losses, hint=1.0, behind=0.2),
        mirror=True,
    )


@pytest.fixture(scope="module")
def training(settings: FieldSettings) -> ResidentTraining:
    torch.manual_seed(0)
    return ResidentTraining(settings, None)


@pytest.fixture
def data(settings: FieldSettings, folder: Path) -> FieldData:
    return FieldData(settings, settings.data.stores, None, folder)


@pytest.fixture
def frames(data: FieldData, training: ResidentTraining) -> ResidentFrames:
    return ResidentFrames(data, training.network.encoder, torch.device("cpu"))


class LiveFeatures:
    """Stands for cached features: encodes the copies of a drive that are asked for."""

    def __init__(self, store: FrameStore, encoder: Encoder) -> None:
        self._store, self._encoder = store, encoder

    @torch.no_grad()
    def taps(self, view: View, copy: ImageCopy = WHOLE) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(self._store.image(view.camera, view.frame)))
        image = copy.image(pixels.permute(2, 0, 1).float() / 127.5 - 1)
        return torch.stack(self._encoder(image[None]), dim=1)[0]

    def tokens(self, views: list[View], token_grid: tuple[int, int]) -> torch.Tensor:
        return torch.stack([self.taps(view)[3].half().float() for view in views])


def drawn_alike(items: list[ItemTensors]) -> DrawnRays:
    """Return the rays of loaded items as those of images on the device."""
    rows = [torch.cat([group.draws.row for group in item.groups]) for item in items]
    columns = [torch.cat([group.draws.column for group in item.groups]) for item in items]
    jitter = [torch.cat([group.jitter for group in item.groups]) for item in items]
    groups = [
        torch.cat([torch.full_like(g.draws.row, n) for n, g in enumerate(item.groups)])
        for item in items
    ]
    return DrawnRays(*(torch.stack(part) for part in (groups, rows, columns, jitter)))


def test_the_step_equals_that_of_loaded_items(
    training: ResidentTraining, data: FieldData, frames: ResidentFrames
) -> None:
    views = chosen_batches(data, frames, range(N_ITEMS))[0]
    features = LiveFeatures(data.drives[0].store, training.network.encoder)
    data.drives[0] = replace(data.drives[0], features=features)
    items = data.batch(0, range(N_ITEMS)).items
    # What is to be compared occurs.
    assert set(views.level.tolist()) == {1, 2}
    assert set(views.mirrored.tolist()) == {True, False}
    assert set(views.gray.tolist()) == {True, False}
    assert views.zoom.amax() > 1.2
    assert (views.sources < 0).any()
    assert all(len(item.groups) == 2 for item in items)

    got = training.render_drawn(frames, views, drawn_alike(items))
    expected = training.render(items)
    assert expected.hint_error.any()
    assert expected.behind.any()
    for name, ours, theirs in pairs(got, expected):
        # Target tokens are blended in half precision, which rounds numbers below 1 by 2^-12.
        atol = 2**-11 if name == "target" else 2e-5
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=atol, msg=partial(_named, name))
    ours = gradients(training, got)
    theirs = gradients(training, expected)
    for name, gradient in theirs.items():
        torch.testing.assert_close(
            ours[name], gradient, rtol=1e-3, atol=1e-6, msg=partial(_named, name)
        )


def pairs(got: PatchBatch, expected: PatchBatch) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Return all tensors of two batches by name."""
    found = []
    for item in fields(PatchBatch):
        ours, theirs = getattr(got, item.name), getattr(expected, item.name)
        if item.name == "token":  # of aligned rays alone
            continue
        if item.name == "rendered":
            found += [
                (f.name, getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(ours)
            ]
        elif ours is not None:
            found.append((item.name, ours, theirs))
    return found


def _named(name: str, message: str) -> str:
    return f"{name}: {message}"


def gradients(training: ResidentTraining, patches: PatchBatch) -> dict[str, torch.Tensor]:
    """Return the gradients of all trained weights."""
    training.zero_grad()
    training.losses(patches, 0)["total"].backward()
    named = training.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def test_patches_lie_in_their_windows_and_in_every_target_view(
    settings: FieldSettings, data: FieldData, frames: ResidentFrames
) -> None:
    views = chosen_batches(data, frames, range(N_ITEMS))[0]
    many = replace(settings.rays, patches=500)
    rays = draw_rays(views, many, torch.Generator().manual_seed(0))
    top, left, rows, columns = views.window.unsqueeze(-1).unbind(1)
    for first, begin, count in ((rays.row, top, rows), (rays.column, left, columns)):
        assert ((first >= begin) & (first < begin + count)).all()
        spread = (first.amax(1) - first.amin(1) + 1) / count.squeeze(-1)
        assert spread.min() > 0.9
    assert set(rays.group[0].tolist()) == {0, 1}
    assert rays.jitter.shape == (N_ITEMS, 500, 8, 8, 8)


def test_processes_draw_the_same_views_in_the_order_of_the_steps(
    data: FieldData, frames: ResidentFrames
) -> None:
    batches = chosen_batches(data, frames, range(N_ITEMS))
    with drawn_ahead(batches, range(3, 9), workers=1) as drawn:
        found = [next(drawn) for _ in range(4)]  # and leaves two that nobody takes
    assert [step for step, _ in found] == [3, 4, 5, 6]
    assert not multiprocessing.active_children()
    for step, views in found:
        for name, value in vars(batches[step]).items():
            assert torch.equal(torch.as_tensor(getattr(views, name)), torch.as_tensor(value)), name


@pytest.mark.parametrize("resident", [True, False])
def test_every_resident_item_gets_a_crop_of_its_own(
    settings: FieldSettings, folder: Path, *, resident: bool
) -> None:
    changed = replace(settings, data=replace(settings.data, resident=resident))
    choice = FieldData(changed, changed.data.stores, None, folder).choice
    places = [(step, place) for step in range(100) for place in range(N_ITEMS)]
    zooms = {choice.draw(*place).augmentation.copy.zoom for place in places}
    # Three of five copies are crops; otherwise each of at most 32 images has three.
    assert (len(zooms) > 300) if resident else (10 < len(zooms) <= 97)


@pytest.fixture(scope="module")
def words(settings: FieldSettings, folder: Path) -> list[str]:
    """Return the words of a run of four steps."""
    run = replace(settings.run, batch_size=2, steps=4, save_every=2, workers=1, device="cpu")
    encoder = replace(settings.encoder, weights="random")
    data = replace(settings.data, hints=str(folder / "of_the_run"))
    write_settings(
        folder / "run.yaml",
        replace(settings, run=run, encoder=encoder, data=data, losses=NEARBY.losses),
    )
    return ["--config", str(folder / "run.yaml")]


def test_a_resumed_run_ends_as_if_nothing_happened(words: list[str], tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train_field.main([*words, "--output", str(whole)]) == 0
    assert train_field.main([*words, "--output", str(halves), "--run.steps", "2"]) == 0
    assert train_field.main(["--output", str(halves), "--resume", "--run.steps", "4"]) == 0
    assert (whole / "metrics.jsonl").read_bytes() == (halves / "metrics.jsonl").read_bytes()
    assert len((whole / "metrics.jsonl").read_text().splitlines()) == 4
    found = load_file(halves / "field.safetensors")
    for name, tensor in load_file(whole / "field.safetensors").items():
        assert torch.equal(found[name], tensor), name
    assert (whole / "pictures" / "depth_0000003.png").is_file()


def test_ctrl_c_in_a_terminal_saves_the_run(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train.train_field", *words, "--run.steps", "100000"]
    command += ["--run.log_every", "1", "--output", str(tmp_path / "run")]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stderr
    said = ""
    for line in run.stderr:
        if line.startswith("step") and "step" not in said:
            os.killpg(run.pid, signal.SIGINT)  # to the processes that draw, too
        said += line
    assert run.wait() == 130, said
    assert "saved in" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert (tmp_path / "run" / "state.safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "--rays.aligned true --rays.levels 1 --rays.level_shares 1 --rays.patch 16",
            "rays.aligned false",
        ),
        ("--data.views published", "data.views nearby"),
        ("--encoder.trainable true", "encoder.trainable false"),
        ("--rays.levels 4,2", "level 1 in rays.levels"),
        ("--model.decoder_width 4096", "model.decoder_width <= model.hidden_dim"),
    ],
)
def test_what_resident_images_cannot_do_is_refused(
    words: list[str],
    change: str,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [*words, *change.split(), "--data.crops", "0", "--output", str(tmp_path / "run")]
    assert train_field.main(arguments) == 2
    assert re.search(rf"data.resident needs .*{re.escape(sentence)}", capsys.readouterr().err)


def test_too_many_images_for_a_gpu_are_refused(
    training: ResidentTraining, data: FieldData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000_000, 2_000_000))
    with pytest.raises(
        InputError, match=r"data.resident needs .* of GPU memory for 32 images .* 1.0 MB free"
    ):
        ResidentFrames(data, training.network.encoder, torch.device("cuda:0"))
