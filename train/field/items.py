# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which images make up an item of stage 1, and which of them are targets and which are sources.

One image of an item is encoded into a field. The field is rendered into target views, whose images
are compared with the rendering; the colours of the rendering are taken from source views.

This module holds, in the order of the published recipe: the keyframes around which items are
built; the eight images of a published item, with their frame offsets; the split into target and
source views. The published item needs the rig of KITTI-360. `NearbyViews` chooses items for any
other rig, from a single moving camera to one with side views.
"""

from dataclasses import dataclass

import numpy as np
import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import FrameStore

FISHEYE_OFFSETS = (10, 40)  # frames the side cameras are ahead, both bounds included
_PUBLISHED_CAMERAS = ("camera_00", "camera_01", "camera_02", "camera_03")
_TARGET_FIRST = 2 / 3  # published probability that the earlier image of a pair is the target view

_STANDING = 0.1  # metres per frame; a vehicle that moves less stands
_FORWARD = 0.7  # least cosine between the axis of an encoded camera and the driving direction

# Nearby views: metres and cosines between optical axes, relative to the encoded view.
_BEHIND = -2.5  # least position along the optical axis of another view in the same direction
_AHEAD_SIDE = (2.0, 26.0)  # the same for views to the side, which see the scene obliquely
_LATERAL = 8.0
_REACH = 34.0  # along the drive
_SAME_DIRECTION, _NOT_BACKWARDS = 0.8, -0.5
_SOURCE_BASELINE = (0.15, 4.5)  # between a target view and its source views
_SOURCE_DIRECTION = 0.9


@dataclass(frozen=True)
class View:
    """One image of a drive: camera and index of the frame."""

    camera: str
    frame: int


@dataclass(frozen=True)
class RenderGroup:
    """Target views, and the source views that their colours are taken from."""

    targets: tuple[View, ...]
    sources: tuple[View, ...]


@dataclass(frozen=True)
class Item:
    """One training item.

    Attributes:
        encoder: The image that is encoded into a field.
        groups: What is rendered from the field.
    """

    encoder: View
    groups: tuple[RenderGroup, ...]

    @property
    def views(self) -> tuple[View, ...]:
        """All images of the item, each once, the encoded one first."""
        others = (view for group in self.groups for view in (*group.targets, *group.sources))
        return tuple(dict.fromkeys((self.encoder, *others)))


def encoder_cameras(store: FrameStore, wanted: tuple[str, ...]) -> list[str]:
    """Return the cameras of a drive whose images are encoded.

    Args:
        store: The drive.
        wanted: Their names; empty: the cameras that look in the driving direction, or all cameras
            if none does.

    Raises:
        InputError: If the drive has none of those wanted.
    """
    if wanted:
        found = [name for name in wanted if name in store.cameras]
        if not found:
            raise InputError(
                f"{store.path} must have a camera of --data.encoder_cameras, "
                f"{', '.join(wanted)}; its cameras are {', '.join(store.cameras)}"
            )
        return found
    # Displacements are summed in the frame of the body, so turns of the drive do not matter.
    T = store.T_world_body
    steps = np.einsum("nji,nj->ni", T[:-1, :3, :3], np.diff(T[:, :3, 3], axis=0))
    steps[store.breaks()[1:]] = 0
    forward = steps.sum(axis=0)
    length = np.linalg.norm(forward)
    if length < _STANDING:
        return list(store.cameras)
    axes = {name: camera.T_body_cam[:3, 2] for name, camera in store.cameras.items()}
    ahead = [name for name, axis in axes.items() if axis @ forward > _FORWARD * length]
    return ahead or list(store.cameras)


def check_rig(store: FrameStore) -> None:
    """Refuse a drive without the four cameras of the published item.

    Raises:
        InputError: Naming the cameras that are missing.
    """
    missing = [name for name in _PUBLISHED_CAMERAS if name not in store.cameras]
    if missing:
        raise InputError(
            f"published items need the cameras {', '.join(_PUBLISHED_CAMERAS)}; "
            f"{store.path} lacks {', '.join(missing)}"
        )


def published_keyframes(store: FrameStore) -> np.ndarray:
    """Return the frames around which a published item can be built.

    All frames that the item may draw exist, no pose jump lies between them, and the vehicle moves.
    The published code keeps the other items too, with the same image twice or wrong poses.
    """
    ahead = FISHEYE_OFFSETS[1] + 1
    part = np.cumsum(store.breaks())
    n = max(len(store) - ahead, 0)
    moves = np.diff(store.travelled())[:n] > _STANDING
    return np.flatnonzero((part[ahead:] == part[:n]) & moves)


def published_item(
    n_frames: int, encoder: View, generator: torch.Generator, *, validation: bool = False
) -> Item:
    """Return the published item around a keyframe of the left or right rectified camera.

    Args:
        n_frames: Frames of the drive, which has the whole rig.
        encoder: The keyframe.
        generator: Source of the draws.
        validation: Use the smallest offset of the side cameras instead of a random one.
    """
    low, high = FISHEYE_OFFSETS
    offset = low if validation else int(torch.randint(low, high + 1, (), generator=generator))
    images = item_views(encoder.frame, encoder.camera == "camera_01", offset, n_frames)
    first = torch.rand(len(images) // 2, generator=generator) < _TARGET_FIRST
    targets, sources = split_views(first)
    group = RenderGroup(
        tuple(images[i] for i in targets.tolist()), tuple(images[i] for i in sources.tolist())
    )
    return Item(encoder, (group,))


def item_views(
    keyframe: int, is_right: bool, fisheye_offset: int, n_frames: int
) -> tuple[View, ...]:
    """Return the eight images of the published item; the first one is encoded.

    These are frames i and i + 1 of both rectified cameras, and frames i + o and i + o + 1 of both
    side cameras.

    Args:
        keyframe: Index i of the frame.
        is_right: Whether the right camera is encoded; left and right then swap throughout.
        fisheye_offset: How many frames o the side cameras are ahead.
        n_frames: Frames of the drive. Indices beyond the last frame repeat it;
            `published_keyframes` leaves such items out.

    Source: the published KITTI-360 item.
    """
    first, ahead = keyframe, keyframe + fisheye_offset
    indices = [first, first + 1] * 2 + [ahead, ahead + 1] * 2
    cameras = (1, 1, 0, 0, 3, 3, 2, 2) if is_right else (0, 0, 1, 1, 2, 2, 3, 3)
    return tuple(
        View(_PUBLISHED_CAMERAS[camera], min(max(index, 0), n_frames - 1))
        for camera, index in zip(cameras, indices, strict=True)
    )


def split_views(earlier_is_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split consecutive pairs of images into target and source views.

    Args:
        earlier_is_target: (pairs,) bool; True: the first image of the pair is the target view.

    Returns:
        (pairs,) indices of target views and of source views. The other image of each pair, its
        temporal neighbour, is always among the sources.
    """
    first = 2 * torch.arange(len(earlier_is_target))
    second = first + 1
    targets = torch.where(earlier_is_target, first, second)
    return targets, first + second - targets


class NearbyViews:
    """Chooses items of one drive by where its cameras were."""

    def __init__(self, store: FrameStore, ahead: float) -> None:
        """Gather the poses.

        Args:
            store: The drive.
            ahead: How far ahead of the encoded view other views in its direction may be, metres.
        """
        self._names = tuple(store.cameras)
        self._travelled, self._ahead = store.travelled(), ahead
        self._part = np.cumsum(store.breaks())  # poses are not comparable across a pose jump
        self._T = np.array(
            [[store.T_world_cam(name, i) for name in self._names] for i in range(len(store))]
        )  # (N, cameras, 4, 4)

    def item(
        self, encoder: View, n_targets: int, n_sources: int, generator: torch.Generator
    ) -> Item | None:
        """Choose the views of an item.

        Args:
            encoder: The view that is encoded; it is the first target view too.
            n_targets: Target views.
            n_sources: Most source views of one target view.
            generator: Source of the draws.

        Returns:
            The item; None where no view but the encoded one sees the place.
        """
        frames = self._frames_near(encoder.frame)
        E = self._T[encoder.frame, self._names.index(encoder.camera)]
        position, direction = self._relative(E, frames)
        ahead, lateral = position[..., 2], np.abs(position[..., 0])
        same = direction > _SAME_DIRECTION
        near_same = same & _within(ahead, (_BEHIND, self._ahead))
        near_side = ~same & (direction > _NOT_BACKWARDS) & _within(ahead, _AHEAD_SIDE)
        near_side &= lateral < _LATERAL
        itself = frames == encoder.frame
        near_same[itself, self._names.index(encoder.camera)] = False
        pools = [self._views(near_same, frames), self._views(near_side, frames)]
        targets = [encoder]
        turn = int(torch.randint(2, (), generator=generator))
        while len(targets) < n_targets and (pools[0] or pools[1]):
            pool = pools[turn % 2] or pools[(turn + 1) % 2]
            targets.append(pool.pop(int(torch.randint(len(pool), (), generator=generator))))
            turn += 1
        groups = []
        for view in targets:
            sources = self._sources(view, frames, n_sources, generator)
            if sources:
                groups.append(RenderGroup((view,), sources))
        return Item(encoder, tuple(groups)) if groups else None

    def _frames_near(self, frame: int) -> np.ndarray:
        near = np.abs(self._travelled - self._travelled[frame]) <= _REACH
        return np.flatnonzero(near & (self._part == self._part[frame]))

    def _relative(self, T_world_view: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return (n, cameras, 3) positions in the frame of a view and (n, cameras) cosines."""
        T = np.linalg.inv(T_world_view) @ self._T[frames]
        return T[..., :3, 3], T[..., 2, 2]

    def _views(self, mask: np.ndarray, frames: np.ndarray) -> list[View]:
        return [
            View(self._names[c], int(frames[f])) for f, c in zip(*np.nonzero(mask), strict=True)
        ]

    def _sources(
        self, view: View, frames: np.ndarray, n_sources: int, generator: torch.Generator
    ) -> tuple[View, ...]:
        """Choose source views: one of the same frame, an earlier one, a later one, any other."""
        T = self._T[view.frame, self._names.index(view.camera)]
        position, direction = self._relative(T, frames)
        baseline = np.linalg.norm(position, axis=-1)
        usable = (direction > _SOURCE_DIRECTION) & _within(baseline, _SOURCE_BASELINE)
        before, after, beside = (
            self._views(usable & (side[:, None]), frames)
            for side in (frames < view.frame, frames > view.frame, frames == view.frame)
        )
        chosen: list[View] = []
        # The stereo partner shows what forward motion cannot: depth at the focus of expansion.
        for pool in (beside, before, after, [*before, *after]):
            pool = [v for v in pool if v not in chosen]
            if pool and len(chosen) < n_sources:
                chosen.append(pool[int(torch.randint(len(pool), (), generator=generator))])
        return tuple(chosen)


def _within(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (values >= bounds[0]) & (values <= bounds[1])
