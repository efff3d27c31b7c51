# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images, intrinsics and poses of the views of an item, as tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.copies import WHOLE, ImageCopy
from train.field.items import View

_MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))


@dataclass(frozen=True)
class Views:
    """Some views of an item.

    Attributes:
        images: (V, 3, h, w) RGB in [0, 1], at the pyramid level of the item.
        K_norm: (V, 3, 3) intrinsics for coordinates in [-1, 1].
        T_item_cam: (V, 4, 4) camera poses in the frame of the encoded view, metres.
    """

    images: torch.Tensor
    K_norm: torch.Tensor
    T_item_cam: torch.Tensor


@dataclass(frozen=True)
class Augmentation:
    """How the images of an item are changed and sampled.

    Attributes:
        level: Factor by which the images of target and source views are averaged down.
        samples: Samples per ray.
        shift: Pixels by which target images move down and right under the token grid.
        flipped: Whether the encoder sees its image flipped; the geometry stays.
        copy: What the encoder sees of its image. Where the copy is mirrored, so is the whole item,
            poses included; patches are drawn in the part of the images that the copy shows.
    """

    level: int
    samples: int
    shift: tuple[int, int]
    flipped: bool
    copy: ImageCopy = WHOLE

    @property
    def mirrored(self) -> bool:
        """Whether the whole item is mirrored."""
        return self.copy.mirrored


def load_views(
    store: FrameStore,
    views: tuple[View, ...],
    T_world_item: np.ndarray,
    augmentation: Augmentation,
) -> Views:
    """Load images, intrinsics and poses of target or source views.

    Args:
        store: The drive.
        views: The views.
        T_world_item: (4, 4) pose of the encoded camera, metres.
        augmentation: Whether views are mirrored, and at which pyramid level they are.
    """
    images = np.stack([store.image(v.camera, v.frame) for v in views])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    if augmentation.mirrored:
        pixels = pixels.flip(-1)
    if augmentation.level > 1:
        pixels = functional.avg_pool2d(pixels, augmentation.level)
    return Views(pixels, *load_cameras(store, views, T_world_item, mirrored=augmentation.mirrored))


def read_image(store: FrameStore, view: View) -> torch.Tensor:
    """Return the (3, H, W) RGB image of a view in [-1, 1]."""
    return image_tensor(np.array(store.image(view.camera, view.frame)))[0]


def load_cameras(
    store: FrameStore, views: tuple[View, ...], T_world_item: np.ndarray, *, mirrored: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Load the (V, 3, 3) intrinsics and the (V, 4, 4) poses of views, as `Views` has them.

    Args:
        store: The drive.
        views: The views.
        T_world_item: (4, 4) pose of the encoded camera, metres.
        mirrored: Whether the whole item is mirrored.
    """
    K_norm = np.stack([store.cameras[v.camera].K_norm for v in views])
    T_world_cam = np.stack([store.T_world_cam(v.camera, v.frame) for v in views])
    T_item_cam = relative_poses(T_world_cam, T_world_item)
    if mirrored:
        K_norm[:, 0, 2] *= -1
        T_item_cam = _MIRROR @ T_item_cam @ _MIRROR
    return torch.from_numpy(K_norm).float(), T_item_cam


def relative_poses(T_world_cam: np.ndarray, T_world_item: np.ndarray) -> torch.Tensor:
    """Return (V, 4, 4) float32 poses in the frame of the encoded camera of an item.

    Args:
        T_world_cam: (V, 4, 4) camera poses, metres.
        T_world_item: (4, 4) pose of the encoded camera, metres.
    """
    T = np.linalg.inv(np.float64(T_world_item)) @ np.float64(T_world_cam)
    return torch.from_numpy(T).float()
