# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

r"""Stage 2: learn a semantic head on the frozen field of stage 1, without labels.

    python -m train.train_semantics --config train/configs/semantics_dino_vitb8.yaml \
        --checkpoint runs/field/field.safetensors --output runs/semantics

A step takes a few images. It compares the features of 3D crops around their surfaces with each
other, and distils a code that makes the comparisons clearer. Clusters of codes and of features
become the classes; labels only name them. Linear (or MLP) probes learn from labels too; they
change neither features nor code.

The folder of the run gets ``stage1.safetensors``, a copy of the network of stage 1;
``semantics.safetensors``, a checkpoint of the whole network; and ``semantics_best.safetensors``,
the checkpoint with the best clusters on validation drives.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from scenedino_ros.checkpoints.checkpoint import (
    Checkpoint,
    build_model,
    save_checkpoint,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.network.model import SceneDino
from scenedino_ros.terminal.progress import counting
from train.runs.launch import exit_code, launch, local_items, reduce_losses, stop_signals
from train.runs.network import network_of_run
from train.runs.prefetch import prefetch
from train.runs.randomness import item_generator
from train.runs.run import RunFolder
from train.runs.settings import Command, parse_command
from train.semantics.clustering import start_whitened
from train.semantics.data import ImageBatch, SemanticsData, labelled_views
from train.semantics.frozen_field import FrozenField
from train.semantics.frozen_tokens import FrozenTokens
from train.semantics.model import (
    SemanticTraining,
    head_config,
    learning_groups,
    learning_rates,
    whole_checkpoint,
    without_head,
)
from train.semantics.rendered_pixels import (
    RenderedPixels,
    choose_views,
    random_pixels,
    regular_pixels,
)
from train.semantics.scores import Scored, find_clusters, full_features, name_and_score
from train.semantics.settings import SemanticsSettings
from train.semantics.step_features import gather_rows, render_features

NAME = "python -m train.train_semantics"
_STAGE1 = "stage1.safetensors"  # a copy of the network of stage 1
_PICTURES = 2  # validation images per picture


def fit(command: Command[SemanticsSettings]) -> None:
    """Train until the last step, or until asked to stop."""
    settings, fabric = command.settings, launch(command.settings.run)
    with RunFolder(command.output, settings, fabric, resume=command.resume) as run:
        stage1 = without_head(_stage1(run, settings))
        network = build_model(stage1).to(fabric.device)
        config = head_config(stage1.config, settings)
        data = SemanticsData(settings, config)
        field, expansion = _frozen(network, settings)
        labelled, sample = _rendered_pixels(field, data, network, settings, fabric)
        training = SemanticTraining(settings, config)
        optimizer = torch.optim.Adam(learning_groups(training, settings))
        model, adam = fabric.setup(training, optimizer)
        parts = ({"model": training}, {"adam": optimizer})
        places = local_items(fabric, settings.run.batch_size)
        first, extra = run.restore(*parts)
        best = extra.get("best", -1.0)
        if not first:
            begin(training, sample, expansion, settings)
            if fabric.is_global_zero:
                save_checkpoint(run.path / _STAGE1, stage1)
        with (
            stop_signals() as stop,
            run.progress(first) as show,
            prefetch(
                lambda step: ImageBatch([data.item(step, place) for place in places]).staged(
                    fabric.device
                ),
                run.steps(first),
                workers=settings.run.workers,
                depth=settings.run.prefetch,
            ) as batches,
        ):
            for step, batch in batches:
                batch = fabric.to_device(batch)
                seen = render_features(field, expansion, batch.items, settings, fabric)
                crops = training.compared(seen.crops)
                training.remember(gather_rows(fabric, crops, seen.crops.order))
                losses = model(seen)
                fabric.backward(losses["total"])
                reduced = reduce_losses(fabric, losses, stop=stop.requested)
                run.check_finite(step, reduced.values, batch.items)
                for parameter in training.unused_parameters(seen.weights):
                    parameter.grad = None
                adam.step()
                adam.zero_grad()
                run.log(step, reduced.values | learning_rates(optimizer))
                show(step, reduced.values)
                if run.is_due(step, settings.naming.every):
                    scored = validate(training, labelled, sample, expansion, settings, step)
                    run.log_validation(step, scored.scores)
                    if run.is_due(step, settings.run.picture_every):
                        for name, picture in class_pictures(labelled, scored).items():
                            run.picture(step, name, picture)
                    if fabric.is_global_zero:
                        checkpoint = whole_checkpoint(
                            stage1, config, training, settings.features, step + 1
                        )
                        save_checkpoint(run.path / "semantics.safetensors", checkpoint)
                        if scored.best > best:
                            save_checkpoint(run.path / "semantics_best.safetensors", checkpoint)
                    best = max(best, scored.best)
                if run.is_due(step, settings.run.save_every) or reduced.stop:
                    run.save(step + 1, *parts, {"best": best})
                if reduced.stop:
                    raise run.stopped(step + 1)


def _stage1(run: RunFolder, settings: SemanticsSettings) -> Checkpoint:
    """Return the network of stage 1.

    Raises:
        InputError: If no checkpoint is named, or it has no features.
        CheckpointError: If it cannot be read.
    """
    checkpoint = network_of_run(run, _STAGE1, settings.checkpoint, "the network of stage 1")
    if checkpoint.config.classes_in_field:
        raise InputError(
            "--checkpoint must name a network of SceneDINO, whose field has features, got one of "
            "S4C (heads: field)"
        )
    return checkpoint


def _frozen(
    network: SceneDino, settings: SemanticsSettings
) -> tuple[FrozenField | FrozenTokens, nn.Module]:
    """Return where features come from, and what lifts them to full features."""
    if settings.features == "image":
        return FrozenTokens(network, settings.data.cache_mb), nn.Identity()
    return FrozenField(network, settings.data.cache_mb), network.expansion


def begin(
    training: SemanticTraining,
    sample: RenderedPixels | None,
    expansion: nn.Module,
    settings: SemanticsSettings,
) -> None:
    """Set the initial values that come from features instead of random draws."""
    if sample is None:
        return
    features = full_features(sample, expansion)
    if settings.crops.centred:
        training.mean.copy_(features.mean(dim=0))
    if settings.head.start == "whitened":
        start_whitened(training.head.stego_head, features)


def validate(
    training: SemanticTraining,
    labelled: RenderedPixels,
    sample: RenderedPixels | None,
    expansion: nn.Module,
    settings: SemanticsSettings,
    step: int,
) -> Scored:
    """Compute cluster centres where settings ask for it, then name and score the clusters.

    Every process computes the same result.
    """
    if settings.head.cluster_by == "kmeans" and sample is not None:
        generator = item_generator(settings.run.seed, step, settings.run.batch_size)
        find_clusters(training.head, sample, expansion, generator)
    return name_and_score(training.head, labelled, sample, expansion, settings.naming)


def class_pictures(labelled: RenderedPixels, scored: Scored) -> dict[str, np.ndarray]:
    """Return pictures of some images, their classes by clusters, and their labels."""
    palette = torch.from_numpy(CITYSCAPES19.palette)
    pictures = {}
    for i in range(min(_PICTURES, len(labelled.label))):
        parts = (labelled.picture[i], palette[scored.classes[i]], palette[labelled.label[i]])
        pictures[f"classes_{i}"] = torch.cat(
            [part.view(*labelled.size, 3) for part in parts]
        ).numpy()
    return pictures


def _rendered_pixels(
    field: FrozenField | FrozenTokens,
    data: SemanticsData,
    network: SceneDino,
    settings: SemanticsSettings,
    fabric: Fabric,
) -> tuple[RenderedPixels, RenderedPixels | None]:
    """Render the images that clusters are named on and, where needed, found on."""
    generator = torch.Generator().manual_seed(settings.run.seed)
    views = labelled_views(settings, network.config.image_size)
    named = choose_views(views, settings.naming.images, generator)
    found = choose_views(data.training_views, settings.sample.images, generator)
    total = len(named) + (len(found) if settings.needs_sample else 0)
    with counting("rendering image") as count:
        labelled = regular_pixels(
            field, named, settings, fabric.device, lambda done: count(done, total)
        )
        if not settings.needs_sample:
            return labelled, None
        return labelled, random_pixels(
            field, found, settings, fabric.device, lambda done: count(len(named) + done, total)
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return exit_code(NAME, lambda: fit(parse_command(argv, SemanticsSettings(), NAME, __doc__)))


if __name__ == "__main__":
    sys.exit(main())
