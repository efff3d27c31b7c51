# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Features of a frozen encoder for the frames of a drive, computed once and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.copies import WHOLE, ImageCopy
from train.field.frame_arrays import FrameArray, array_name, drive_key
from train.field.items import View
from train.field.views import read_image

Encode = Callable[[torch.Tensor], list[torch.Tensor]]
BATCH = 4


class FeatureCache:
    """The four taps of encoded frames, in half precision on disk."""

    def __init__(self, folder: Path, store: FrameStore, encoder_key: str, width: int) -> None:
        """Open or create the cache of one drive and encoder.

        Args:
            folder: Holds the caches of all drives and encoders.
            store: The drive.
            encoder_key: Identifies the encoder, from `encoder_key`.
            width: Channels C of the taps.
        """
        self.width = width
        self._folder = Path(folder) / f"{encoder_key}_{drive_key(store)}"
        self._store = store
        self._arrays: dict[str, FrameArray] = {}

    def has(self, view: View, copy: ImageCopy = WHOLE) -> bool:
        """Return whether the cache has the taps of a copy of a view."""
        return self._array(view, copy).has(view.frame)

    def taps(self, view: View, copy: ImageCopy = WHOLE) -> torch.Tensor:
        """Return the (4, C, rows, columns) half-precision taps of a copy of a view."""
        return torch.from_numpy(self._array(view, copy).read(view.frame))

    def tokens(self, views: Sequence[View], token_grid: tuple[int, int]) -> torch.Tensor:
        """Return the (V, C, rows, columns) float32 last taps of views; NaN where there are none.

        Args:
            views: The views.
            token_grid: (rows, columns) of the taps.
        """
        unknown = torch.full((self.width, *token_grid), torch.nan)
        return torch.stack(
            [self.taps(view)[3].float() if self.has(view) else unknown for view in views]
        )

    def missing(self, wanted: Iterable[tuple[View, ImageCopy]]) -> list[tuple[View, ImageCopy]]:
        """Return those of some copies of views whose taps the cache lacks."""
        return [(view, copy) for view, copy in wanted if not self.has(view, copy)]

    def fill(self, wanted: list[tuple[View, ImageCopy]], encode: Encode) -> Iterable[int]:
        """Compute the taps of copies of views; yields the number of images after each batch."""
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            for (view, copy), values in zip(batch, self.taps_of(batch, encode), strict=True):
                self._array(view, copy).write(view.frame, values)
            yield len(batch)

    def taps_of(self, wanted: list[tuple[View, ImageCopy]], encode: Encode) -> np.ndarray:
        """Return the (N, 4, C, rows, columns) float16 taps of copies, without keeping them."""
        images = [copy.image(read_image(self._store, view)) for view, copy in wanted]
        return torch.stack(encode(torch.stack(images)), dim=1).half().cpu().numpy()

    def _array(self, view: View, copy: ImageCopy) -> FrameArray:
        name = array_name(view.camera, copy.ending)
        if name not in self._arrays:
            self._arrays[name] = FrameArray(self._folder, name, len(self._store))
        return self._arrays[name]


def cache_bytes(backbone: str, image_size: tuple[int, int], n_images: int) -> int:
    """Return how many bytes the taps of some images take.

    Args:
        backbone: The encoder's.
        image_size: (height, width) of the images, pixels.
        n_images: Number of images, mirrored ones counted on their own.
    """
    rows, columns = patch_grid(backbone, image_size)
    spec = backbone_spec(backbone)
    n_taps = len(spec.tapped_blocks) + 1  # and the final tokens
    per_image = n_taps * spec.width * rows * columns
    return per_image * np.dtype(np.float16).itemsize * n_images


def encoder_key(
    backbone: str, image_size: tuple[int, int], precision: str, state: dict[str, torch.Tensor]
) -> str:
    """Return a name that differs for encoders that give different features."""
    digest = hashlib.sha256(json.dumps([backbone, list(image_size), precision]).encode())
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return f"{backbone}_{digest.hexdigest()[:16]}"
