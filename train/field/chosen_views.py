# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The views of a batch as numbers, for images that are on the device already."""

import signal
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from scenedino_ros.core.spawning import WorkerContext
from train.field.choice import ChosenItem, ItemChoice
from train.field.items import RenderGroup, View
from train.runs.prefetch import in_order

_AHEAD = 8  # batches of each process


@dataclass(frozen=True)
class ChosenViews:
    """What a batch of B items consists of; views are numbers of `ResidentFrames`.

    Attributes:
        encoder: (B,) encoded views.
        targets: (B, T) target views; those of an item are repeated where it has fewer.
        sources: (B, T, S) source views of the target views; -1 where there is none.
        mirrored: (B,) bool, whether the item is mirrored.
        gray: (B,) bool, whether the encoder sees no colours.
        center: (B, 2) centre of the crop that the encoder sees, in [-1, 1].
        zoom: (B, 2) factors by which that crop is enlarged.
        level: (B,) factor by which target and source images are averaged down.
        window: (B, 4) first row, first column, rows and columns at which patches may begin.
        samples: () samples per ray.
    """

    encoder: torch.Tensor
    targets: torch.Tensor
    sources: torch.Tensor
    mirrored: torch.Tensor
    gray: torch.Tensor
    center: torch.Tensor
    zoom: torch.Tensor
    level: torch.Tensor
    window: torch.Tensor
    samples: int

    @classmethod
    def of_arrays(cls, values: Mapping[str, Any]) -> "ChosenViews":
        """Return views whose tensors are given as arrays, by name."""
        return cls(
            **{
                name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
                for name, value in values.items()
            }
        )

    def to(self, device: torch.device) -> "ChosenViews":
        """Return a copy on a device."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                values[name] = value.to(device, non_blocking=True)
        return ChosenViews(**values)


class ChosenBatches:
    """The views of each step; worker processes draw them."""

    def __init__(
        self,
        choice: ItemChoice,
        first: list[dict[str, int]],
        places: range,
        shape: tuple[int, int],
        image_size: tuple[int, int],
        patch: int,
    ) -> None:
        """Gather what a process needs.

        Args:
            choice: Draws items.
            first: Number of the first view of each camera, for each drive.
            places: Places of this process in the batch.
            shape: Target views T of an item, and source views S of each.
            image_size: (H, W) pixels.
            patch: Edge of a patch, pixels.
        """
        self._choice, self._first, self._places = choice, first, places
        self._shape, self._size, self._patch = shape, image_size, patch

    def __getitem__(self, step: int) -> ChosenViews:
        """Return the views of a step."""
        chosen = [self._choice.draw(step, place) for place in self._places]
        copies = [item.augmentation.copy for item in chosen]
        windows = []
        for item, copy in zip(chosen, copies, strict=True):
            height, width = (edge // item.augmentation.level for edge in self._size)
            window = copy.window(height, width, self._patch)
            windows.append([window.top, window.left, window.rows, window.columns])
        return ChosenViews(
            encoder=torch.tensor(
                [
                    self._first[i.drive][i.item.encoder.camera] + i.item.encoder.frame
                    for i in chosen
                ]
            ),
            targets=torch.tensor([self._targets(item) for item in chosen]),
            sources=torch.tensor([self._sources(item) for item in chosen]),
            mirrored=torch.tensor([copy.mirrored for copy in copies]),
            gray=torch.tensor([copy.gray for copy in copies]),
            center=torch.tensor([copy.center for copy in copies]),
            zoom=torch.tensor([copy.zoom for copy in copies]),
            level=torch.tensor([item.augmentation.level for item in chosen]),
            window=torch.tensor(windows),
            samples=chosen[0].augmentation.samples,
        )

    def _groups(self, chosen: ChosenItem) -> list[RenderGroup]:
        groups = chosen.item.groups
        return [groups[number % len(groups)] for number in range(self._shape[0])]

    def _targets(self, chosen: ChosenItem) -> list[int]:
        return [self._number(chosen, group.targets[0]) for group in self._groups(chosen)]

    def _sources(self, chosen: ChosenItem) -> list[list[int]]:
        most = self._shape[1]
        found = [[self._number(chosen, v) for v in g.sources] for g in self._groups(chosen)]
        return [views + [-1] * (most - len(views)) for views in found]

    def _number(self, chosen: ChosenItem, view: View) -> int:
        return self._first[chosen.drive][view.camera] + view.frame


_drawn_from: ChosenBatches | None = None  # of a worker process


def _begin(batches: ChosenBatches) -> None:
    """Prepare a worker process."""
    global _drawn_from  # noqa: PLW0603 - sent once, not with every step
    _drawn_from = batches
    # A terminal sends Ctrl-C to all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _draw(step: int) -> dict[str, Any]:
    """Return the views of a step as arrays: tensors would travel through shared memory."""
    assert _drawn_from is not None
    views = _drawn_from[step]
    return {item.name: _array(getattr(views, item.name)) for item in fields(views)}


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value


@contextmanager
def drawn_ahead(
    batches: ChosenBatches, steps: Iterable[int], *, workers: int
) -> Iterator[Iterator[tuple[int, ChosenViews]]]:
    """Draw the views of some steps in processes ahead of their use, and yield them in order.

    Args:
        batches: Draws them.
        steps: Numbers of the steps.
        workers: Number of processes.

    Yields:
        An iterator over pairs of step and views. When the block ends, no process is left.
    """
    executor = ProcessPoolExecutor(
        workers, mp_context=WorkerContext(), initializer=_begin, initargs=(batches,)
    )
    try:
        drawn = in_order(executor, _draw, iter(steps), _AHEAD * workers)
        yield ((step, ChosenViews.of_arrays(values)) for step, values in drawn)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
