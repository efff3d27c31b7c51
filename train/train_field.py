# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Stage 1: learn geometry and features of the field from recorded drives.

    python -m train.train_field --config train/configs/field_dino_vitb8.yaml --output runs/field

Each item encodes one image and compares renderings of the field with other images of the same
place. The folder of the run gets ``field.safetensors``, a checkpoint, with every saved state, and
``field_best.safetensors``, the checkpoint with the best validation.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from scenedino_ros.checkpoints.checkpoint import save_checkpoint
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.network.encoder import Encoder
from train.field.batches import loaded_batches, resident_batches
from train.field.data import FieldBatch, FieldData
from train.field.encoded_view import DepthErrors
from train.field.feature_cache import encoder_key
from train.field.frame_arrays import filling
from train.field.learning_rates import learning_groups, learning_rates
from train.field.model import FieldTraining, load_encoder, target_encoder
from train.field.pictures import field_pictures
from train.field.precompute import fill_features, fill_hints
from train.field.resident_step import ResidentTraining
from train.field.settings import FieldSettings
from train.runs.launch import exit_code, launch, local_items, reduce_losses, stop_signals
from train.runs.run import RunFolder
from train.runs.settings import Command, parse_command

NAME = "python -m train.train_field"


def fit(command: Command[FieldSettings]) -> None:
    """Train until the last step, or until asked to stop."""
    settings, fabric = command.settings, launch(command.settings.run)
    with RunFolder(command.output, settings, fabric, resume=command.resume) as run:
        training = _build(settings, stored=run.has_state)
        optimizer = torch.optim.Adam(learning_groups(training))
        rates = [group["lr"] for group in optimizer.param_groups]
        model, adam = fabric.setup(training, optimizer)
        parts = ({"model": training}, {"adam": optimizer})
        first, extra = run.restore(*parts)  # the key of cached features depends on the weights
        places = local_items(fabric, settings.run.batch_size)
        data, validation = _open_data(settings, training.network.encoder, run.path, fabric)
        batches_of = resident_batches if settings.data.resident else loaded_batches
        best = extra.get("best", float("inf"))
        with (
            stop_signals() as stop,
            batches_of(data, training, run.steps(first), places, fabric) as batches,
            run.progress(first) as show,
        ):
            for step, batch in batches:
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * settings.rate(step)
                losses = model(batch)
                fabric.backward(losses["total"])
                # Clip before the check: the norm is checked too.
                most = settings.optimiser.clip or math.inf
                losses["gradient_norm"] = fabric.clip_gradients(
                    model, adam, max_norm=most, error_if_nonfinite=False
                )
                reduced = reduce_losses(fabric, losses, stop=stop.requested)
                run.check_finite(step, reduced.values, batch.contents)
                adam.step()
                adam.zero_grad()
                run.log(step, reduced.values | learning_rates(optimizer))
                show(step, reduced.values)
                if run.is_due(step, settings.run.picture_every):
                    _show(run, step, training, data.batch(step, places[:1]).to(fabric.device))
                if validation and run.is_due(step, settings.validate_every):
                    scores = validate(training, validation, settings, fabric)
                    run.log_validation(step, scores)
                    if scores[settings.best] < best:
                        best = scores[settings.best]
                        _save_model(training, run, "field_best", step + 1, fabric)
                if run.is_due(step, settings.run.save_every) or reduced.stop:
                    # The state last: a run that is killed between repeats the steps before.
                    _save_model(training, run, "field", step + 1, fabric)
                    _keep_snapshot(training, run, step + 1, settings.keep, fabric)
                    run.save(step + 1, *parts, {"best": best})
                if reduced.stop:
                    raise run.stopped(step + 1)


def _build(settings: FieldSettings, *, stored: bool) -> FieldTraining:
    """Return what is trained, with its initial weights.

    Args:
        settings: The run.
        stored: All weights will come from the saved state of the run: no other file is read.
    """
    # A frozen encoder gives the targets itself; they are cached.
    # The field of S4C renders classes, which need no target features.
    wants_target = settings.encoder.trainable and not settings.model.classes_in_field
    target = target_encoder(settings, stored=stored) if wants_target else None
    kind = ResidentTraining if settings.data.resident else FieldTraining
    training = kind(settings, target)
    if stored:
        return training
    load_encoder(training, settings)
    if settings.start:
        training.start_from(NetworkChoice(settings.start).load())
    return training


def validate(
    training: FieldTraining, data: FieldData, settings: FieldSettings, fabric: Fabric
) -> dict[str, float]:
    """Return the mean losses of the validation items; the draws are the same at every call.

    Mean errors of depth are among them where encoded images have ground-truth depth.
    """
    per_process = math.ceil(settings.data.validation_items / fabric.world_size)
    places = local_items(fabric, per_process * fabric.world_size)
    found: dict[str, list[torch.Tensor]] = {}
    depth = DepthErrors()
    training.eval()
    with torch.no_grad():
        for place in places:
            items = [data.item(0, place, validation=True)]
            batch = fabric.to_device(FieldBatch(items, settings.phase(settings.run.steps)))
            for name, value in training(batch).items():
                found.setdefault(name, []).append(value)
            depth.add(training, batch.items[0])
    training.train()
    means = {name: torch.stack(values).mean() for name, values in found.items()}
    values = reduce_losses(fabric, means, stop=False).values
    return values | depth.means(fabric)


def _show(run: RunFolder, step: int, training: FieldTraining, batch: FieldBatch) -> None:
    for name, picture in field_pictures(training, batch.items[0]).items():
        run.picture(step, name, picture)


def _open_data(
    settings: FieldSettings, encoder: Encoder, output: Path, fabric: Fabric
) -> tuple[FieldData, FieldData | None]:
    """Open training and validation drives; compute missing features and depth hints."""
    cache = None
    if not settings.encoder.trainable:
        model, precision = settings.model, settings.run.precision
        key = encoder_key(model.backbone, model.image_size, precision, encoder.state_dict())
        cache = (Path(settings.encoder.cache or output / "cache"), key)
    hints = None
    if settings.losses.hint or settings.losses.behind:
        hints = Path(settings.data.hints or output / "hints")
    # The encoder sees new crops of resident images in every item.
    parts = [(settings.data.stores, None if settings.data.resident else cache, False)]
    if settings.data.validation:
        parts.append((settings.data.validation, cache, True))
    opened = []
    with fabric.rank_zero_first():
        for stores, features, validation in parts:
            data = FieldData(settings, stores, features, hints, validation=validation)
            if hints:
                with filling(hints):
                    fill_hints(data, hints)
            if features:
                with filling(features[0]):
                    fill_features(data, encoder.to(fabric.device), features[0])
            opened.append(data)
    return opened[0], opened[1] if settings.data.validation else None


def _save_model(
    training: FieldTraining, run: RunFolder, name: str, steps: int, fabric: Fabric
) -> None:
    """Write the network as a checkpoint that every command and the node take."""
    if fabric.is_global_zero:
        of_s4c = training.network.config.classes_in_field
        what = "and classes (S4C)" if of_s4c else "and features"
        provenance = {"weights": f"geometry {what} after {steps} training steps"}
        save_checkpoint(run.path / f"{name}.safetensors", training.checkpoint(provenance))


def _keep_snapshot(
    training: FieldTraining, run: RunFolder, steps: int, keep: int, fabric: Fabric
) -> None:
    """Save the network among the snapshots, and remove all but the latest of them."""
    if keep and fabric.is_global_zero:
        folder = run.path / "snapshots"
        folder.mkdir(exist_ok=True)
        _save_model(training, run, f"{folder.name}/{steps:07d}", steps, fabric)
        for old in sorted(folder.glob("*.safetensors"))[:-keep]:
            old.unlink()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return exit_code(NAME, lambda: fit(parse_command(argv, FieldSettings(), NAME, __doc__)))


if __name__ == "__main__":
    sys.exit(main())
