# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The batches of the steps of stage 1, made ahead and on the device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric

from train.field.chosen_views import ChosenBatches, ChosenViews, drawn_ahead
from train.field.data import FieldBatch, FieldData
from train.field.model import FieldTraining
from train.field.resident import ResidentBatch, ResidentFrames
from train.runs.prefetch import prefetch
from train.runs.randomness import ray_seed


@contextmanager
def loaded_batches(
    data: FieldData, training: FieldTraining, steps: Sequence[int], places: range, fabric: Fabric
) -> Iterator[Iterator[tuple[int, FieldBatch]]]:
    """Load the images of each batch ahead in threads.

    Args:
        data: The drives.
        training: What is trained.
        steps: Numbers of the steps.
        places: Places of this process in the batch.
        fabric: The processes.

    Yields:
        An iterator over pairs of step and batch.
    """
    run, device = training.settings.run, fabric.device
    with prefetch(
        lambda step: data.batch(step, places).staged(device),
        steps,
        workers=run.workers,
        depth=run.prefetch,
    ) as batches:
        yield ((step, batch.to(device)) for step, batch in batches)


@contextmanager
def resident_batches(
    data: FieldData, training: FieldTraining, steps: Sequence[int], places: range, fabric: Fabric
) -> Iterator[Iterator[tuple[int, ResidentBatch]]]:
    """Load all images of the drives first; batches are then drawn ahead in processes.

    Arguments and result are those of `loaded_batches`.
    """
    settings, device = training.settings, fabric.device
    frames = ResidentFrames(data, training.network.encoder, device)
    batches = chosen_batches(data, frames, places)
    generator = torch.Generator(device)

    def on_device(drawn: Iterator[tuple[int, ChosenViews]]) -> Iterator[tuple[int, ResidentBatch]]:
        for step, views in drawn:
            generator.manual_seed(ray_seed(settings.run.seed, step, fabric.global_rank))
            phase = settings.phase(step)
            yield step, ResidentBatch(frames, views.to(device), phase, generator)

    with drawn_ahead(batches, steps, workers=settings.run.workers) as drawn:
        yield on_device(drawn)


def chosen_batches(data: FieldData, frames: ResidentFrames, places: range) -> ChosenBatches:
    """Return what draws the views of the batches of a run.

    Args:
        data: The drives.
        frames: Their images.
        places: Places of this process in the batch.
    """
    settings = data.settings
    return ChosenBatches(
        data.choice,
        frames.first,
        places,
        (settings.data.loss_views, settings.data.sources),
        settings.model.image_size,
        settings.rays.patch,
    )
