# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What stage 1 computes once before its first step: encoder features and depth hints on disk."""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from scenedino_ros.core.disk_space import bytes_in_words, check_space, free_bytes
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.terminal.progress import about, counting, seconds_ahead
from train.field.copies import WHOLE, ImageCopy
from train.field.data import FieldData
from train.field.depth_hints import DepthHints
from train.field.feature_cache import BATCH, Encode, FeatureCache, cache_bytes
from train.field.items import View


def missing_features(
    data: FieldData,
) -> list[tuple[FeatureCache, list[tuple[View, ImageCopy]]]]:
    """Return the caches that lack features, with the views and copies that each lacks.

    Features of the whole images of all views are targets; those of copies are for encoded views.
    """
    found = []
    for drive in data.drives:
        if drive.features is None:
            continue
        wanted = [(view, WHOLE) for view in drive.cached]
        for view in drive.encoded:
            wanted += [(view, copy) for copy in data.choice.copies(view) if copy != WHOLE]
        missing = drive.features.missing(wanted)
        if missing:
            found.append((drive.features, missing))
    return found


def compute_features(data: FieldData, encode: Encode) -> Iterator[int]:
    """Compute what the feature caches lack; yields the number of images after each batch."""
    for cache, missing in missing_features(data):
        yield from cache.fill(missing, encode)


def missing_hints(data: FieldData) -> list[tuple[DepthHints, str, list[int]]]:
    """Return the encoded frames of each camera that has some without hints.

    Side cameras see the same surfaces, but cost as much to match.
    """
    found = []
    for drive in data.drives:
        for camera in dict.fromkeys(view.camera for view in drive.encoded):
            frames = [view.frame for view in drive.encoded if view.camera == camera]
            if drive.hints and drive.hints.missing(camera, frames):
                found.append((drive.hints, camera, frames))
    return found


def compute_hints(data: FieldData) -> Iterator[int]:
    """Compute the missing hints; yields the number of images after each step."""
    for hints, camera, frames in missing_hints(data):
        yield from hints.fill(camera, frames)


def fill_hints(data: FieldData, folder: Path) -> None:
    """Compute the missing depth hints, with the time left.

    Args:
        data: The drives.
        folder: Holds the hints.

    Raises:
        InputError: If the disk has no room for them.
    """
    missing = missing_hints(data)
    jobs = [
        (hints, camera, frame)
        for hints, camera, frames in missing
        for frame in hints.missing(camera, frames)
    ]
    if not jobs:
        return
    needed = sum(hints.missing_bytes(camera, frames) for hints, camera, frames in missing)

    def match(numbers: range) -> None:
        for hints, camera, frame in jobs[numbers.start : numbers.stop]:
            hints.match_once(camera, frame)

    seconds = seconds_ahead(len(jobs), match)
    _check_disk(f"depth hints of {len(jobs)} images", folder, needed, "--data.hints", seconds)
    with counting("matched", "images") as count:
        for done, _ in enumerate(compute_hints(data), start=1):
            count(done, len(jobs))


def fill_features(data: FieldData, encoder: Encoder, folder: Path) -> None:
    """Compute the missing encoder features in the precision of the run, with the time left.

    Args:
        data: The drives.
        encoder: The frozen encoder, on its device.
        folder: Holds the caches.

    Raises:
        InputError: If the disk has no room for them.
    """
    missing = missing_features(data)
    total = sum(len(wanted) for _, wanted in missing)
    if not total:
        return
    settings = data.settings
    needed = cache_bytes(settings.model.backbone, settings.model.image_size, total)
    device = encoder.mean.device
    encoder.eval()
    mixed = settings.run.precision == "bf16-mixed"

    def encode(images: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            return encoder(images.to(device))

    cache, wanted = max(missing, key=lambda part: len(part[1]))

    def encode_some(numbers: range) -> None:
        cache.taps_of([wanted[number % len(wanted)] for number in numbers], encode)

    seconds = seconds_ahead(total, encode_some, few=BATCH)
    what = f"encoder features of {total} images"
    _check_disk(what, folder, needed, "--encoder.cache", seconds)
    with counting("encoded", "images") as count:
        done = 0
        for new in compute_features(data, encode):
            done += new
            count(done, total)


def _check_disk(what: str, folder: Path, needed: int, setting: str, seconds: float) -> None:
    """Report what is written before the first step, and refuse it if the disk has no room."""
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
