# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The images of a stage-2 run, with all draws of a step, by step and place in the batch alone."""

from dataclasses import dataclass

import numpy as np
import torch

from scenedino_ros.core.backbones import backbone_spec
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.recordings.frame_store.store import NO_LABEL, FrameStore
from train.field.items import View
from train.field.views import read_image
from train.runs.nested import staged, to_device
from train.runs.randomness import item_generator
from train.runs.stores import open_store, store_paths
from train.semantics.crops import N_BINS, OVERSAMPLING, BallDraws
from train.semantics.distillation import kept_channels
from train.semantics.settings import SemanticsSettings

NO_CLASS = -1
_SIDE_ITEM = 1  # added to the batch size: the place of draws that a whole batch shares


@dataclass(frozen=True)
class CropDraws:
    """Random draws of the crops of one image, one row for each distance bin.

    Attributes:
        pick: (bins,) which pixel, as a fraction of those in the bin.
        ball: Points around the surface point.
        feature_keep: (bins, C) dropout factors of feature channels.
        code_keep: (bins, 3, 2, code_dim) dropout factors of the codes; see `PartnerDraws`.
        neighbour: (bins,) which of the nearest crops.
        random: (bins,) which stored crop, as a fraction of their number.
    """

    pick: torch.Tensor
    ball: BallDraws
    feature_keep: torch.Tensor
    code_keep: torch.Tensor
    neighbour: torch.Tensor
    random: torch.Tensor


@dataclass(frozen=True)
class ImageItem:
    """One image with the draws of its step.

    Attributes:
        key: Drive, camera and frame: the same for the same image.
        image: (3, H, W) RGB in [-1, 1].
        K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
        label: (H, W) int64 classes, -1 where unknown; -1 everywhere without labels.
        distance_jitter: (rays, K) jitter of the samples whose distances choose crops.
        pixel: (n,) row-major pixels that clusters and probes learn from.
        pixel_jitter: (n, K) jitter of their samples.
        pixel_keep: (C,) dropout factors of the channels of their features.
        crops: Draws of the crops.
    """

    key: tuple[str, str, int]
    image: torch.Tensor
    K_norm: torch.Tensor
    label: torch.Tensor
    distance_jitter: torch.Tensor
    pixel: torch.Tensor
    pixel_jitter: torch.Tensor
    pixel_keep: torch.Tensor
    crops: CropDraws


Views = tuple[tuple[FrameStore, View], ...]


@dataclass(frozen=True)
class _Pool:
    """Views of all drives from which one is drawn uniformly."""

    views: Views
    labelled: bool


class SemanticsData:
    """The drives of a run, and the images that are drawn from them."""

    def __init__(self, settings: SemanticsSettings, model: ModelConfig) -> None:
        """Open the drives.

        Args:
            settings: The run.
            model: Architecture of the network.

        Raises:
            InputError: If there is no store, or one does not fit the network or the settings.
        """
        self._settings, self._model = settings, model
        data = settings.data
        stores = open_stores(data.stores, model.image_size)
        if not stores:
            raise InputError("a run needs at least one frame store in data.stores, got none")
        self._front = _Pool(views_of(stores, data.cameras, data.every), labelled=True)
        self._side = _Pool(views_of(stores, data.side_cameras, data.every), labelled=False)
        if not self._front.views:
            raise InputError(
                "a drive of data.stores must have a camera of --data.cameras, "
                f"{', '.join(data.cameras)}; their cameras are {_names(stores)}"
            )

    @property
    def training_views(self) -> Views:
        """All training views."""
        return self._front.views + self._side.views

    def item(self, step: int, place: int) -> ImageItem:
        """Return one item of a batch."""
        settings = self._settings
        generator = item_generator(settings.run.seed, step, place)
        pool = self._pool(step)
        number = int(torch.randint(len(pool.views), (), generator=generator))
        store, view = pool.views[number]
        height, width = self._model.image_size
        n_pixels = settings.head.pixels or height * width
        rays = (height // settings.crops.stride) * (width // settings.crops.stride)
        samples = settings.crops.samples
        pixel = (
            torch.randint(height * width, (n_pixels,), generator=generator)
            if settings.head.pixels
            else torch.arange(height * width)
        )
        label = read_label(store, view) if pool.labelled else None
        channels = backbone_spec(self._model.backbone).width
        return ImageItem(
            key=(str(store.path), view.camera, view.frame),
            image=read_image(store, view),
            K_norm=read_intrinsics(store, view),
            label=torch.full((height, width), NO_CLASS) if label is None else label,
            distance_jitter=torch.rand(rays, samples, generator=generator),
            pixel=pixel,
            pixel_jitter=torch.rand(n_pixels, samples, generator=generator),
            pixel_keep=kept_channels((channels,), settings.crops.dropout, generator),
            crops=self._crop_draws(channels, generator),
        )

    def _pool(self, step: int) -> _Pool:
        """Return the views that a step draws from: one kind for the batch, as published."""
        run, share = self._settings.run, self._settings.data.side_share
        if not self._side.views:
            return self._front
        generator = item_generator(run.seed, step, run.batch_size + _SIDE_ITEM)
        return self._side if torch.rand((), generator=generator) < share else self._front

    def _crop_draws(self, channels: int, generator: torch.Generator) -> CropDraws:
        crops, code_dim = self._settings.crops, self._settings.head.code_dim
        candidates = OVERSAMPLING * crops.points
        return CropDraws(
            pick=torch.rand(N_BINS, generator=generator),
            ball=BallDraws(
                torch.randn(N_BINS, candidates, 3, generator=generator),
                torch.rand(N_BINS, candidates, 1, generator=generator),
            ),
            feature_keep=kept_channels((N_BINS, channels), crops.dropout, generator),
            code_keep=kept_channels((N_BINS, 3, 2, code_dim), crops.dropout, generator),
            neighbour=torch.randint(crops.neighbours, (N_BINS,), generator=generator),
            random=torch.rand(N_BINS, generator=generator),
        )


def open_stores(patterns: tuple[str, ...], image_size: tuple[int, int]) -> list[FrameStore]:
    """Open the frame stores that paths or patterns with ``*`` stand for.

    Raises:
        InputError: If one cannot be opened or its images are of another size.
    """
    return [open_store(path, image_size) for pattern in patterns for path in store_paths(pattern)]


def _names(stores: list[FrameStore]) -> str:
    return ", ".join(sorted({name for store in stores for name in store.cameras}))


def views_of(stores: list[FrameStore], cameras: tuple[str, ...], every: int) -> Views:
    """Return every n-th view of some cameras, where a drive has them."""
    return tuple(
        (store, View(camera, frame))
        for store in stores
        for camera in cameras
        if camera in store.cameras
        for frame in range(0, len(store), every)
    )


def labelled_views(settings: SemanticsSettings, image_size: tuple[int, int]) -> Views:
    """Return the views of the validation drives that have labels.

    Raises:
        InputError: If there are none.
    """
    data = settings.data
    stores = open_stores(data.validation, image_size)
    views = tuple(
        (store, view)
        for store, view in views_of(stores, data.cameras, every=1)
        if store.label(view.camera, view.frame) is not None
    )
    if not views:
        got = ", ".join(data.validation) or "none"
        there = f" with the cameras {_names(stores)}" if stores else ""
        raise InputError(
            "clusters get their names from labels: data.validation must name a frame store "
            f"with labels of --data.cameras, {', '.join(data.cameras)}, got {got}{there}"
        )
    return views


def read_intrinsics(store: FrameStore, view: View) -> torch.Tensor:
    """Return the (3, 3) float32 intrinsics of a view for coordinates in [-1, 1]."""
    return torch.from_numpy(store.cameras[view.camera].K_norm).float()


def read_label(store: FrameStore, view: View) -> torch.Tensor | None:
    """Return the (H, W) int64 classes of a view, -1 where unknown; None without labels."""
    label = store.label(view.camera, view.frame)
    if label is None:
        return None
    classes = torch.from_numpy(np.array(label)).long()
    return torch.where(classes == NO_LABEL, NO_CLASS, classes)


class ImageBatch:
    """The items of a step that belong to this process.

    Not a dataclass: Fabric would copy one field by field.

    Attributes:
        items: The items.
    """

    def __init__(self, items: list[ImageItem]) -> None:
        self.items = items

    def staged(self, device: torch.device) -> "ImageBatch":
        """Return the batch in memory from which a device copies in the background."""
        return ImageBatch([staged(item, device) for item in self.items])

    def to(self, device: torch.device, **_: object) -> "ImageBatch":
        """Return the batch with all its tensors on a device."""
        return ImageBatch([to_device(item, device) for item in self.items])
