# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The class maps that rendered classes are compared with: labels of a store, or a folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.class_maps import ClassMapFolder
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.items import View
from train.field.rays import PatchDraws, draw_patches
from train.field.setting_groups import RaySettings
from train.field.views import Augmentation, load_cameras


@dataclass(frozen=True)
class ClassTensors:
    """Views whose class maps are known, and the rays along which classes are rendered.

    Attributes:
        K_norm: (V, 3, 3) intrinsics of the views, for coordinates in [-1, 1].
        T_item_cam: (V, 4, 4) their poses in the frame of the encoded view, metres.
        labels: (V, h, w) uint8 classes, 255 where unknown.
        draws: P ray patches in the views.
        jitter: (P, p, p, K) position of each sample in its interval, in [0, 1).
    """

    K_norm: torch.Tensor
    T_item_cam: torch.Tensor
    labels: torch.Tensor
    draws: PatchDraws
    jitter: torch.Tensor


class ClassMaps:
    """The class maps of a drive.

    Attributes:
        store: The drive.
    """

    def __init__(self, store: FrameStore, folder: Path | None) -> None:
        """Choose where they come from.

        Args:
            store: The drive.
            folder: Holds them, see `ClassMapFolder`; None: the labels of the store.

        Raises:
            InputError: If the drive has none.
        """
        self.store = store
        self._folder = None if folder is None else ClassMapFolder(folder, store)
        if self._folder is not None:
            has_any = self._folder.exists()
            sentence = f"{folder} must hold class maps of {store.path.name}, got none"
        else:
            has_any = any(store.label(camera, 0) is not None for camera in store.cameras)
            sentence = f"{store.path} must have label maps for losses.classes, got none"
        if not has_any:
            raise InputError(f"{sentence}; `scenedino label-images` makes class maps")

    def read(self, view: View) -> np.ndarray | None:
        """Return the (H, W) uint8 classes of a view, 255 where unknown; None without a map."""
        if self._folder is not None:
            return self._folder.read(view.camera, view.frame)
        label = self.store.label(view.camera, view.frame)
        return None if label is None else np.array(label)


def class_tensors(
    maps: ClassMaps,
    views: tuple[View, ...],
    T_world_item: np.ndarray,
    augmentation: Augmentation,
    rays: RaySettings,
    generator: torch.Generator,
) -> tuple[ClassTensors, ...]:
    """Draw ray patches in those views of an item that have class maps.

    S4C draws them apart from those in which colours are compared: from all views, since no other
    view has to see them.

    Args:
        maps: The class maps of the drive.
        views: All views of the item.
        T_world_item: (4, 4) pose of the encoded camera, metres.
        augmentation: How images are changed and sampled.
        rays: How rays are chosen.
        generator: Source of the draws.

    Returns:
        One element; none if no view has a class map.

    Source: Hayler et al., S4C, 3DV 2024, as its code was published.
    """
    labels = {view: maps.read(view) for view in views}
    known = tuple(view for view, label in labels.items() if label is not None)
    if not known:
        return ()
    label = torch.from_numpy(np.stack([found for found in labels.values() if found is not None]))
    if augmentation.mirrored:
        label = label.flip(-1)
    # The pixel in the middle of those that are averaged into one of a coarser image.
    start, step = augmentation.level // 2, augmentation.level
    label = label[:, start::step, start::step]
    window = augmentation.copy.window(label.shape[1], label.shape[2], rays.patch)
    draws = draw_patches(
        rays.patches,
        len(known),
        (window.rows, window.columns),
        shifted=False,
        generator=generator,
        first=(window.top, window.left),
    )
    shape = (rays.patches, rays.patch, rays.patch, augmentation.samples)
    return (
        ClassTensors(
            *load_cameras(maps.store, known, T_world_item, mirrored=augmentation.mirrored),
            label,
            draws,
            jitter=torch.rand(shape, generator=generator),
        ),
    )
