"""What stage 1 computes once before its first step: said in bytes, with the time left."""

import sys
from pathlib import Path

import torch

from scenedino_ros.cli.progress import counting
from scenedino_ros.core.encoder import Encoder
from scenedino_ros.disk_space import bytes_in_words, check_space, free_bytes
from train.feature_cache import cache_bytes
from train.field_data import FieldData
from train.field_settings import FieldSettings


def fill_hints(data: FieldData, folder: Path) -> None:
    """Compute what is missing of the depth hints.

    Args:
        data: The drives.
        folder: Holds the hints.

    Raises:
        InputError: If the disk has no room for them.
    """
    total = sum(n_missing for _, _, n_missing in data.missing_hints())
    if not total:
        return
    needed = sum(hints.missing_bytes(camera) for hints, camera, _ in data.missing_hints())
    _check_disk(f"depth hints of {total} images", folder, needed, "--data.hints")
    with counting("matched", "images") as count:
        for done, _ in enumerate(data.fill_hints(), start=1):
            count(done, total)


def fill_features(
    data: FieldData, encoder: Encoder, settings: FieldSettings, folder: Path
) -> None:
    """Compute what is missing in the caches, in the run's precision.

    Args:
        data: The drives.
        encoder: The frozen encoder, on its device.
        settings: The run.
        folder: Holds the caches.

    Raises:
        InputError: If the disk has no room for them.
    """
    total = sum(len(views) for _, views, _ in data.uncached())
    if not total:
        return
    needed = cache_bytes(settings.model.backbone, settings.model.image_size, total)
    _check_disk(f"encoder features of {total} images", folder, needed, "--encoder.cache")
    device = encoder.mean.device
    encoder.eval()
    with (
        torch.no_grad(),
        torch.autocast(
            device.type, torch.bfloat16, enabled=settings.run.precision == "bf16-mixed"
        ),
        counting("encoded", "images") as count,
    ):
        done = 0
        for new in data.fill_caches(lambda images: encoder(images.to(device))):
            done += new
            count(done, total)


def _check_disk(what: str, folder: Path, needed: int, setting: str) -> None:
    """Say what is written before the first step, and refuse where the disk has no room for it."""
    print(
        f"{what}, once: {bytes_in_words(needed)}; {bytes_in_words(free_bytes(folder))} free in "
        f"{folder}",
        file=sys.stderr,
        flush=True,
    )
    check_space(
        folder,
        needed,
        what,
        f"choose another folder ({setting}), fewer frames (--data.every) or smaller images",
    )
