# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Stage 1 with all images on the device: the step equals that of loaded items; runs resume."""

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_fields import NEARBY, with_store, write_drives

from scenedino_ros.network.encoder import Encoder
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.chosen_views import ChosenBatches
from train.field.copies import WHOLE, ImageCopy
from train.field.data import FieldData, ItemTensors
from train.field.frame_arrays import FrameArray, array_name, drive_key
from train.field.items import View
from train.field.model import PatchBatch
from train.field.resident import ResidentFrames
from train.field.resident_step import DrawnRays, ResidentTraining
from train.field.settings import FieldSettings

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
    hints = FrameArray(folder / f"hints_{drive_key(store)}", array_name("camera_00"), len(store))
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


def test_the_step_equals_that_of_loaded_items(settings: FieldSettings, folder: Path) -> None:
    torch.manual_seed(0)
    training = ResidentTraining(settings, None)
    data = FieldData(settings, settings.data.stores, None, folder)
    frames = ResidentFrames(data, training.network.encoder, torch.device("cpu"))
    batches = ChosenBatches(
        data.choice, frames.first, range(N_ITEMS), (2, 3), settings.model.image_size, 8
    )
    views = batches[0]
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
