# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pixels that are rendered once in a run, to find, name, score and show clusters.

The field is frozen: only the classification of their features changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.items import View
from train.field.views import read_image
from train.semantics.data import NO_CLASS, Views, read_intrinsics, read_label
from train.semantics.frozen_field import FieldView, FrozenField, grid_positions
from train.semantics.frozen_tokens import FrozenTokens
from train.semantics.settings import SemanticsSettings


@dataclass(frozen=True)
class RenderedPixels:
    """Rendered pixels of n images.

    Attributes:
        size: (rows, columns) of the pixels of each image; random ones stand in one row.
        feature: (n, pixels, F) rendered features.
        label: (n, pixels) int64 classes, -1 where unknown.
        drive: (n,) number of the drive of each image.
        picture: (n, pixels, 3) uint8 RGB.
    """

    size: tuple[int, int]
    feature: torch.Tensor
    label: torch.Tensor
    drive: torch.Tensor
    picture: torch.Tensor


def choose_views(views: Views, number: int, generator: torch.Generator) -> Views:
    """Return some views, drawn without repetition; all of them if there are no more."""
    chosen = torch.randperm(len(views), generator=generator)[:number]
    return tuple(views[i] for i in sorted(chosen.tolist()))


def regular_pixels(
    field: FrozenField | FrozenTokens,
    views: Views,
    settings: SemanticsSettings,
    device: torch.device,
    report: Callable[[int], None],
) -> RenderedPixels:
    """Render every n-th pixel of images, n being ``naming.stride``.

    Args:
        field: The frozen field.
        views: Drives and views, at least one.
        settings: The run.
        device: Where the network is and the features shall be.
        report: Called with the number of images that are done.

    Raises:
        InputError: If features are not finite.
    """
    stride = settings.naming.stride
    height, width = views[0][0].image_size
    rows, columns = (torch.arange(stride // 2, edge, stride) for edge in (height, width))
    pixel = (rows[:, None] * width + columns).flatten()
    size = (len(rows), len(columns))
    return _render(field, views, [pixel] * len(views), size, settings, device, report)


def random_pixels(
    field: FrozenField | FrozenTokens,
    views: Views,
    settings: SemanticsSettings,
    device: torch.device,
    report: Callable[[int], None],
) -> RenderedPixels:
    """Render random pixels of images, ``sample.pixels`` together; arguments as above."""
    generator = torch.Generator().manual_seed(settings.run.seed)
    height, width = views[0][0].image_size
    each = max(1, settings.sample.pixels // len(views))
    pixels = [torch.randint(height * width, (each,), generator=generator) for _ in views]
    return _render(field, views, pixels, (1, each), settings, device, report)


def _render(
    field: FrozenField | FrozenTokens,
    views: Views,
    pixels: list[torch.Tensor],
    size: tuple[int, int],
    settings: SemanticsSettings,
    device: torch.device,
    report: Callable[[int], None],
) -> RenderedPixels:
    generator = torch.Generator().manual_seed(settings.run.seed)
    drives = list(dict.fromkeys(store.path for store, _ in views))
    features, labels, pictures = [], [], []
    for (store, view), pixel in zip(views, pixels, strict=True):
        image, label = read_image(store, view), read_label(store, view)
        shown = _view(field, store, view, image, device)
        position = grid_positions(*store.image_size)[pixel].to(device)
        jitter = torch.rand(len(pixel), settings.crops.samples, generator=generator)
        features.append(shown.rendered(position, jitter.to(device))[1])
        unknown = torch.full_like(pixel, NO_CLASS)
        labels.append(unknown if label is None else label.flatten()[pixel])
        rgb = np.array(store.image(view.camera, view.frame)).reshape(-1, 3)
        pictures.append(torch.from_numpy(rgb)[pixel])
        report(len(features))
    feature = torch.stack(features)
    if not feature.isfinite().all():
        raise InputError(f"features of the field must be finite, got others in {drives[0]}")
    return RenderedPixels(
        size,
        feature,
        torch.stack(labels),
        torch.tensor([drives.index(store.path) for store, _ in views]),
        torch.stack(pictures),
    )


def _view(
    field: FrozenField | FrozenTokens,
    store: FrameStore,
    view: View,
    image: torch.Tensor,
    device: torch.device,
) -> FieldView:
    key = (str(store.path), view.camera, view.frame)
    return field.view(key, image.to(device), read_intrinsics(store, view).to(device))
