"""What stage 1 computes once before its first step: said in bytes, with the time left."""

import sys
from pathlib import Path

import torch

from scenedino_ros.core.disk_space import bytes_in_words, check_space, free_bytes
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.terminal.progress import about, counting, seconds_ahead
from train.field.data import FieldData
from train.field.feature_cache import BATCH, cache_bytes
from train.field.settings import FieldSettings


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
    jobs = [(h, camera, f) for h, camera, _ in data.missing_hints() for f in h.missing(camera)]

    def match(numbers: range) -> None:
        for hints, camera, frame in jobs[numbers.start : numbers.stop]:
            hints.match_once(camera, frame)

    seconds = seconds_ahead(total, match)
    _check_disk(f"depth hints of {total} images", folder, needed, "--data.hints", seconds)
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
    device = encoder.mean.device
    encoder.eval()
    mixed = settings.run.precision == "bf16-mixed"

    def encode(images: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            return encoder(images.to(device))

    cache, views, mirrored = max(data.uncached(), key=lambda missing: len(missing[1]))

    def encode_some(numbers: range) -> None:
        cache.taps_of([views[number % len(views)] for number in numbers], mirrored, encode)

    seconds = seconds_ahead(total, encode_some, few=BATCH)
    what = f"encoder features of {total} images"
    _check_disk(what, folder, needed, "--encoder.cache", seconds)
    with counting("encoded", "images") as count:
        done = 0
        for new in data.fill_caches(encode):
            done += new
            count(done, total)


def _check_disk(what: str, folder: Path, needed: int, setting: str, seconds: float) -> None:
    """Say what is written before the first step, and refuse where the disk has no room for it."""
    print(
        f"{what}, once: {bytes_in_words(needed)}{about(seconds)}; "
        f"{bytes_in_words(free_bytes(folder))} free in {folder}",
        file=sys.stderr,
        flush=True,
    )
    check_space(
        folder,
        needed,
        what,
        f"choose another folder ({setting}), fewer frames (--data.every) or smaller images",
    )
