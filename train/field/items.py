"""Which views make up one item of stage 1: one is encoded, some are rendered, others explain them.

Two strategies. "published" takes the eight images of SceneDINO's KITTI-360 items. "nearby" looks
at where the cameras were: it works for any rig, from a single camera to one with side views.
"""

from dataclasses import dataclass

import numpy as np
import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store import FrameStore
from train.field.views import FISHEYE_OFFSETS, item_views, split_views

_PUBLISHED_CAMERAS = ("camera_00", "camera_01", "camera_02", "camera_03")
_LOSS_FIRST = 2 / 3  # published chance that the earlier image of a pair is the loss view

# "nearby", metres and cosines between optical axes, relative to the encoded view.
_BEHIND = -2.5  # how far along its axis another view in its direction may be, at least
_AHEAD_SIDE = (2.0, 26.0)  # the same for views to the side, which see what it sees obliquely
_LATERAL = 8.0
_SAME_DIRECTION, _NOT_BACKWARDS = 0.8, -0.5
_SOURCE_BASELINE = (0.15, 4.5)  # between a rendered view and one that explains its colours
_SOURCE_DIRECTION = 0.9


@dataclass(frozen=True)
class View:
    """One image of a drive: camera and index of the frame."""

    camera: str
    frame: int


@dataclass(frozen=True)
class RenderGroup:
    """Views that are rendered, and the views their colours are explained from."""

    loss: tuple[View, ...]
    sources: tuple[View, ...]


@dataclass(frozen=True)
class Item:
    """One training item.

    Attributes:
        encoder: The image the field is made from.
        groups: What is rendered from it.
    """

    encoder: View
    groups: tuple[RenderGroup, ...]


def published_item(
    store: FrameStore, encoder: View, generator: torch.Generator, *, validation: bool = False
) -> Item:
    """Return the published item around a keyframe of the left or right rectified camera.

    Args:
        store: A drive of the whole rig.
        encoder: The keyframe.
        generator: Source of the draws.
        validation: Use the smallest offset of the side cameras instead of a random one.
    """
    low, high = FISHEYE_OFFSETS
    offset = low if validation else int(torch.randint(low, high + 1, (), generator=generator))
    views = item_views(encoder.frame, encoder.camera == "camera_01", offset, len(store))
    images = [
        View(_PUBLISHED_CAMERAS[c], i) for c, i in zip(views.camera, views.index, strict=True)
    ]
    first = torch.rand(len(images) // 2, generator=generator) < _LOSS_FIRST
    loss, sources = split_views(first)
    group = RenderGroup(
        tuple(images[i] for i in loss.tolist()), tuple(images[i] for i in sources.tolist())
    )
    return Item(encoder, (group,))


class NearbyViews:
    """Chooses items of one drive by where its cameras were."""

    def __init__(self, store: FrameStore, *, ahead: float = 9.0, reach: float = 34.0) -> None:
        """Gather the poses.

        Args:
            store: The drive.
            ahead: How far ahead of the encoded view others in its direction may be, metres.
            reach: How far along the drive views of one item may be apart, metres.
        """
        self._names = tuple(store.cameras)
        self._travelled, self._ahead, self._reach = store.travelled(), ahead, reach
        self._part = np.cumsum(store.breaks())  # poses say nothing across a break
        self._T = np.array(
            [[store.T_world_cam(name, i) for name in self._names] for i in range(len(store))]
        )  # (N, cameras, 4, 4)

    def item(
        self, encoder: View, n_loss: int, n_sources: int, generator: torch.Generator
    ) -> Item | None:
        """Choose the views of an item.

        Args:
            encoder: The view that is encoded; it is rendered too.
            n_loss: Rendered views.
            n_sources: Most views that explain one rendered view.
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
        loss = [encoder]
        turn = int(torch.randint(2, (), generator=generator))
        while len(loss) < n_loss and (pools[0] or pools[1]):
            pool = pools[turn % 2] or pools[(turn + 1) % 2]
            loss.append(pool.pop(int(torch.randint(len(pool), (), generator=generator))))
            turn += 1
        groups = []
        for view in loss:
            sources = self._sources(view, frames, n_sources, generator)
            if sources:
                groups.append(RenderGroup((view,), sources))
        return Item(encoder, tuple(groups)) if groups else None

    def _frames_near(self, frame: int) -> np.ndarray:
        near = np.abs(self._travelled - self._travelled[frame]) <= self._reach
        return np.flatnonzero(near & (self._part == self._part[frame]))

    def _relative(self, T_world_view: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return (n, cameras, 3) positions in a view's frame and (n, cameras) axis cosines."""
        T = np.linalg.inv(T_world_view) @ self._T[frames]
        return T[..., :3, 3], T[..., 2, 2]

    def _views(self, mask: np.ndarray, frames: np.ndarray) -> list[View]:
        return [
            View(self._names[c], int(frames[f])) for f, c in zip(*np.nonzero(mask), strict=True)
        ]

    def _sources(
        self, view: View, frames: np.ndarray, n_sources: int, generator: torch.Generator
    ) -> tuple[View, ...]:
        """Choose views for a rendered view: one before, one after, then any other."""
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
