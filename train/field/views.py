"""Which images make up one training item, and which of them explain which."""

from dataclasses import dataclass

import numpy as np
import torch

FISHEYE_OFFSETS = (10, 40)  # frames the side cameras are ahead, both bounds included


@dataclass(frozen=True)
class ItemViews:
    """The eight images of an item; the first is the one that is encoded.

    Attributes:
        camera: (8,) camera numbers 0 .. 3 (left, right, left fisheye, right fisheye).
        index: (8,) indices into the pose list.
    """

    camera: tuple[int, ...]
    index: tuple[int, ...]


def item_views(keyframe: int, is_right: bool, fisheye_offset: int, n_poses: int) -> ItemViews:
    """Return the images of the item around a keyframe.

    Args:
        keyframe: Index into the pose list.
        is_right: Whether the right camera is encoded; then left and right swap throughout.
        fisheye_offset: How many frames the side cameras are ahead.
        n_poses: Length of the pose list; indices beyond it repeat its last pose, and whoever
            builds a training index leaves such items out.

    Source: the published KITTI-360 item, frames i and i + 1 of the stereo pair and i + o and
        i + o + 1 of both side cameras.
    """
    first, ahead = keyframe, keyframe + fisheye_offset
    indices = [first, first + 1] * 2 + [ahead, ahead + 1] * 2
    cameras = (1, 1, 0, 0, 3, 3, 2, 2) if is_right else (0, 0, 1, 1, 2, 2, 3, 3)
    clamped = np.clip(indices, 0, n_poses - 1)
    return ItemViews(cameras, tuple(int(i) for i in clamped))


def split_views(earlier_is_loss: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split consecutive pairs of images into loss and source views.

    Args:
        earlier_is_loss: (pairs,) bool; True: the pair's first image is the loss view.

    Returns:
        (pairs,) indices of loss views and of source views; the other image of each pair, its
        neighbour in time, is always among the sources.
    """
    first = 2 * torch.arange(len(earlier_is_loss))
    second = first + 1
    loss = torch.where(earlier_is_loss, first, second)
    return loss, first + second - loss


def relative_poses(T_world_cam: np.ndarray, T_world_first: np.ndarray) -> torch.Tensor:
    """Return (V, 4, 4) float32 poses in the frame of an item's first camera.

    Args:
        T_world_cam: (V, 4, 4) camera poses, metres.
        T_world_first: (4, 4) pose of the camera that is encoded.
    """
    T = np.linalg.inv(np.float64(T_world_first)) @ np.float64(T_world_cam)
    return torch.from_numpy(T).float()
