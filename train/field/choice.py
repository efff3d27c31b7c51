# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which item a place in the batch of a step gets, and how its images are changed.

Nothing here holds an image, so a choice can be sent to other processes.
"""

from dataclasses import dataclass

import torch

from train.field.copies import MIRRORED, WHOLE, ImageCopy, drawn_copy
from train.field.items import Item, NearbyViews, View, published_item
from train.field.setting_groups import RaySettings
from train.field.settings import FieldSettings
from train.field.views import Augmentation
from train.runs.randomness import item_generator


@dataclass(frozen=True)
class DriveViews:
    """The views of a drive from which items are chosen.

    Attributes:
        encoded: The views around which items are built.
        nearby: Chooses the other views of an item.
        n_frames: Frames of the drive.
    """

    encoded: tuple[View, ...]
    nearby: NearbyViews
    n_frames: int


@dataclass(frozen=True)
class ChosenItem:
    """An item before its images are loaded.

    Attributes:
        drive: Number of its drive.
        item: Its views.
        augmentation: How its images are changed and sampled.
        generator: Source of the draws that are left.
    """

    drive: int
    item: Item
    augmentation: Augmentation
    generator: torch.Generator


class ItemChoice:
    """Draws items by seed, step and place in the batch alone."""

    def __init__(
        self, settings: FieldSettings, drives: list[DriveViews], weights: list[float]
    ) -> None:
        """Gather what items are drawn from.

        Args:
            settings: The run.
            drives: The views of each drive.
            weights: Relative number of items from each drive.
        """
        self._settings, self._drives = settings, drives
        self._weights = torch.tensor(weights, dtype=torch.float64)
        self._moves = settings.rays.aligned and settings.encoder.trainable

    def draw(self, step: int, place: int, *, validation: bool = False) -> ChosenItem:
        """Return one item of a batch.

        Args:
            step: Number of the step.
            place: Place in the batch over all processes.
            validation: Without flip, copies, grid shift and coarse pyramid levels.
        """
        settings, rays = self._settings, self._settings.rays
        generator = item_generator(settings.run.seed, step, place)
        number, item = self._choose(generator, validation=validation)
        # One grid shift and one flip for the whole batch, as published.
        shared = item_generator(settings.run.seed, step, settings.run.batch_size)
        half = rays.patch // 2
        down, right = torch.randint(-half, half, (2,), generator=shared).tolist()
        flipped = bool(torch.rand((), generator=shared) < 0.5)
        unique = step * settings.run.batch_size + place if settings.data.resident else 0
        copies = [WHOLE] if validation else self.copies(item.encoder, unique)
        copy = copies[int(torch.randint(len(copies), (), generator=generator))]
        phase = settings.phase(settings.run.steps if validation else step)
        level, samples = draw_detail(rays, phase, generator)
        augmentation = Augmentation(
            level=1 if validation else level,
            samples=samples,
            shift=(down, right) if self._moves and not validation else (0, 0),
            flipped=settings.flip and flipped and not validation,
            copy=copy,
        )
        return ChosenItem(number, item, augmentation, generator)

    def copies(self, view: View, unique: int = 0) -> list[ImageCopy]:
        """Return the copies of an image of which an item encodes one.

        Args:
            view: The image.
            unique: Differs between items that get crops of their own; 0 where the same crops are
                encoded once.
        """
        data, mirror = self._settings.data, self._settings.mirror
        whole = [WHOLE, MIRRORED] if mirror else [WHOLE]
        first = unique * data.crops
        return whole + [
            drawn_copy(view, number, data.zoom, mirror=mirror)
            for number in range(first, first + data.crops)
        ]

    def _choose(self, generator: torch.Generator, *, validation: bool) -> tuple[int, Item]:
        """Draw a drive and an item that can be built in it."""
        data = self._settings.data
        while True:
            number = int(torch.multinomial(self._weights, 1, generator=generator))
            drive = self._drives[number]
            chosen = int(torch.randint(len(drive.encoded), (), generator=generator))
            encoder = drive.encoded[chosen]
            if data.views == "published":
                return number, published_item(
                    drive.n_frames, encoder, generator, validation=validation
                )
            found = drive.nearby.item(encoder, data.loss_views, data.sources, generator)
            if found is not None:
                return number, found


def draw_detail(rays: RaySettings, phase: int, generator: torch.Generator) -> tuple[int, int]:
    """Return pyramid level and samples per ray of an item in a phase of the run."""
    n = len(rays.levels)
    shares = torch.tensor(rays.level_shares[phase * n : (phase + 1) * n])
    level = rays.levels[int(torch.multinomial(shares, 1, generator=generator))]
    return level, rays.samples[phase % len(rays.samples)]
