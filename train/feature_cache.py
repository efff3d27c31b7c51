"""What a frozen encoder says about the frames of a drive, computed once and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from scenedino_ros.recordings.frame_store import FrameStore
from train.field_items import View

Encode = Callable[[torch.Tensor], list[torch.Tensor]]
_BATCH = 4


class FeatureCache:
    """The four taps of every frame that was asked for, as half-precision files."""

    def __init__(self, folder: Path, store: FrameStore, encoder_key: str, width: int) -> None:
        """Open or begin the cache of one drive and encoder.

        Args:
            folder: Holds the caches of all drives and encoders.
            store: The drive.
            encoder_key: Tells encoders apart, from `encoder_key`.
            width: Channels C of the taps.
        """
        self.width = width
        index = (store.path / "store.json").read_bytes()
        drive = hashlib.sha256(index).hexdigest()[:16]
        self._folder = Path(folder) / f"{encoder_key}_{drive}"
        self._store = store
        self._arrays: dict[tuple[str, bool], tuple[np.ndarray, np.ndarray]] = {}

    def has(self, view: View, mirrored: bool = False) -> bool:
        """Return whether the taps of a view are there."""
        arrays = self._open((view.camera, mirrored))
        return arrays is not None and bool(arrays[1][view.frame])

    def taps(self, view: View, mirrored: bool = False) -> torch.Tensor:
        """Return the (4, C, rows, columns) half-precision taps of a view."""
        arrays = self._open((view.camera, mirrored))
        if arrays is None or not arrays[1][view.frame]:
            raise KeyError(f"{view} is not cached")
        return torch.from_numpy(np.array(arrays[0][view.frame]))

    def missing(self, views: Iterable[View], mirrored: bool = False) -> list[View]:
        """Return the views whose taps are not there yet."""
        return [view for view in views if not self.has(view, mirrored)]

    def fill(self, views: list[View], mirrored: bool, encode: Encode) -> Iterable[int]:
        """Compute the taps of views that are missing; yields how many after each batch.

        Each is marked only once it is written, so an interrupted call can be repeated.
        """
        for start in range(0, len(views), _BATCH):
            batch = views[start : start + _BATCH]
            images = np.stack([self._store.image(v.camera, v.frame) for v in batch])
            tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
            if mirrored:
                tensor = tensor.flip(-1)
            taps = torch.stack(encode(tensor), dim=1).half().cpu().numpy()
            for view, values in zip(batch, taps, strict=True):
                key = (view.camera, mirrored)
                self._make(key, values.shape)
                arrays = self._open(key)
                assert arrays is not None
                arrays[0][view.frame] = values
                arrays[1][view.frame] = 1
            yield len(batch)

    def _open(self, key: tuple[str, bool]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the taps of a camera's frames and which are there; None before the first."""
        if key not in self._arrays:
            values, done = self._files(key)
            if not done.exists():
                return None
            self._arrays[key] = (np.load(values, mmap_mode="r+"), np.load(done, mmap_mode="r+"))
        return self._arrays[key]

    def _make(self, key: tuple[str, bool], shape: tuple[int, ...]) -> None:
        """Begin the files of a camera whose taps have a shape."""
        values, done = self._files(key)
        if done.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        n = len(self._store)
        np.lib.format.open_memmap(values, "w+", np.float16, (n, *shape)).flush()
        np.lib.format.open_memmap(done, "w+", np.uint8, (n,)).flush()

    def _files(self, key: tuple[str, bool]) -> tuple[Path, Path]:
        name = f"{key[0]}{'_mirrored' if key[1] else ''}"
        return self._folder / f"{name}.npy", self._folder / f"{name}_done.npy"


def encoder_key(backbone: str, image_size: tuple[int, int], state: dict[str, torch.Tensor]) -> str:
    """Return a name that differs for encoders that give different features."""
    digest = hashlib.sha256(json.dumps([backbone, list(image_size)]).encode())
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return f"{backbone}_{digest.hexdigest()[:16]}"
