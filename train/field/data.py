# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The items of a stage-1 run as tensors, drawn by step and place in the batch alone.

`train.field.items` says which images an item has. This module holds, in the order of the published
recipe: what an item, a batch and its augmentation are; how images, intrinsics and poses are
loaded; how an item gets its ray patches; and the drives of a run, from which items are drawn.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.choice import DriveViews, ItemChoice
from train.field.class_maps import ClassMaps, ClassTensors, class_tensors
from train.field.depth_hints import DepthHints
from train.field.feature_cache import FeatureCache
from train.field.items import (
    Item,
    NearbyViews,
    RenderGroup,
    View,
    check_rig,
    encoder_cameras,
    published_keyframes,
)
from train.field.rays import PatchDraws, draw_patches
from train.field.setting_groups import RaySettings
from train.field.settings import FieldSettings
from train.field.views import Augmentation, Views, load_views, read_image
from train.runs.nested import staged, to_device
from train.runs.stores import open_store, store_paths


@dataclass(frozen=True)
class GroupTensors:
    """Target views, their source views, and the rays that are rendered.

    Attributes:
        targets: The L target views.
        sources: The source views.
        draws: P ray patches in the target views.
        jitter: (P, p, p, K) position of each sample in its interval, in [0, 1).
        tokens: (L, C, rows, columns) cached tokens of the target views; NaN where there are none;
            empty without a cache.
        hints: (L, h, w) depth hints of the target views: distances along the rays, metres; 0 where
            there is none; empty without hints.
    """

    targets: Views
    sources: Views
    draws: PatchDraws
    jitter: torch.Tensor
    tokens: torch.Tensor
    hints: torch.Tensor


@dataclass(frozen=True)
class ItemTensors:
    """One item.

    Attributes:
        image: (3, H, W) encoded RGB image in [-1, 1].
        K_norm: (3, 3) its intrinsics.
        taps: (4, C, rows, columns) cached taps of the encoded image; empty without a cache.
        shift: Pixels by which target images move down and right under the token grid.
        flipped: () bool, whether the encoder sees the image flipped and its map is flipped back.
        groups: What is rendered.
        depth: (H, W) ground-truth depth of the encoded image along the optical axis, metres; 0
            where unknown; empty where the drive has none. For validation alone.
        classes: What classes are rendered of; empty unless a loss reads them, or if no view has a
            class map.
    """

    image: torch.Tensor
    K_norm: torch.Tensor
    taps: torch.Tensor
    shift: tuple[int, int]
    flipped: torch.Tensor
    groups: tuple[GroupTensors, ...]
    depth: torch.Tensor
    classes: tuple[ClassTensors, ...] = ()


class FieldBatch:
    """The items of a step that belong to this process.

    Not a dataclass: Fabric would copy one field by field and cast it.

    Attributes:
        items: The items.
        phase: Number of the training phase that the step belongs to.
    """

    def __init__(self, items: list[ItemTensors], phase: int) -> None:
        self.items, self.phase = items, phase

    @property
    def contents(self) -> list[ItemTensors]:
        """What is saved if a loss is not finite."""
        return self.items

    def staged(self, device: torch.device) -> "FieldBatch":
        """Return the batch in memory from which a device copies in the background."""
        return FieldBatch([staged(item, device) for item in self.items], self.phase)

    def to(self, device: torch.device, **_: object) -> "FieldBatch":
        """Return the batch with all its tensors on a device."""
        return FieldBatch([to_device(item, device) for item in self.items], self.phase)


@dataclass(frozen=True)
class Drive:
    """A frame store with what training needs of it.

    Attributes:
        store: Images, poses and cameras.
        encoded: The views around which items are built.
        cached: The views whose features are cached; the encoded ones are among them.
        nearby: Chooses the other views of an item.
        features: Cached features; None if the encoder is trained.
        hints: Depth hints; None if no loss reads them.
        class_maps: Class maps; None if no loss reads them.
    """

    store: FrameStore
    encoded: tuple[View, ...]
    cached: tuple[View, ...]
    nearby: NearbyViews
    features: FeatureCache | None
    hints: DepthHints | None
    class_maps: ClassMaps | None = None


def load_item(
    drive: Drive,
    item: Item,
    augmentation: Augmentation,
    rays: RaySettings,
    token_grid: tuple[int, int],
    generator: torch.Generator,
) -> ItemTensors:
    """Load the images of an item and draw its rays.

    Args:
        drive: The drive.
        item: Its views.
        augmentation: How images are changed and sampled.
        rays: How rays are chosen.
        token_grid: (rows, columns) of the target tokens.
        generator: Source of the draws.
    """
    store, features, hints = drive.store, drive.features, drive.hints
    view, nothing = item.encoder, torch.zeros(0)
    T_world_item = store.T_world_cam(view.camera, view.frame)

    def mirrored(pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flip(-1) if augmentation.mirrored else pixels

    def group_of(group: RenderGroup, n_patches: int) -> GroupTensors:
        targets = load_views(store, group.targets, T_world_item, augmentation)
        n_views, _, height, width = targets.images.shape
        # Patches that are not aligned start at any pixel from which the whole patch fits.
        window = augmentation.copy.window(height, width, rays.patch)
        draws = draw_patches(
            n_patches,
            n_views,
            token_grid if rays.aligned else (window.rows, window.columns),
            shifted=augmentation.shift != (0, 0),
            generator=generator,
            first=(0, 0) if rays.aligned else (window.top, window.left),
        )
        shape = (n_patches, rays.patch, rays.patch, augmentation.samples)
        tokens = nothing
        if features and not drive.class_maps:  # a field of classes has no features to compare
            tokens = features.tokens(group.targets, token_grid)
        at = (augmentation.level, augmentation.mirrored)
        distances = hints.distances(group.targets, *at) if hints else nothing
        return GroupTensors(
            targets,
            load_views(store, group.sources, T_world_item, augmentation),
            draws,
            jitter=torch.rand(shape, generator=generator),
            tokens=mirrored(tokens),
            hints=distances,
        )

    K_norm = torch.from_numpy(store.cameras[view.camera].K_norm).float()
    depth = store.depth(view.camera, view.frame)
    per_group = rays.patches // len(item.groups)
    return ItemTensors(
        image=augmentation.copy.image(read_image(store, view)),
        K_norm=augmentation.copy.K_norm(K_norm),
        taps=features.taps(view, augmentation.copy) if features else nothing,
        shift=augmentation.shift,
        flipped=torch.tensor(augmentation.flipped),
        groups=tuple(group_of(group, per_group) for group in item.groups),
        depth=nothing if depth is None else mirrored(torch.from_numpy(np.array(depth)).float()),
        classes=class_tensors(
            drive.class_maps, item.views, T_world_item, augmentation, rays, generator
        )
        if drive.class_maps
        else (),
    )


class FieldData:
    """The drives of a run, and the items that are drawn from them.

    Attributes:
        settings: The run.
        drives: The drives.
        choice: Draws items from them.
    """

    def __init__(
        self,
        settings: FieldSettings,
        stores: tuple[str, ...],
        cache: tuple[Path, str] | None,
        hints: Path | None = None,
        *,
        validation: bool = False,
    ) -> None:
        """Open the drives.

        Args:
            settings: The run.
            stores: Frame stores, as paths or patterns.
            cache: Folder and encoder key of cached features; None if the encoder is trained.
            hints: Folder of depth hints; None if no loss reads them.
            validation: Whether these are the drives of ``data.validation``: ``data.shares``, and
                ``data.every`` for each entry, are for those that are learned from.

        Raises:
            InputError: If there is no store, or one does not fit the settings.
        """
        self.settings, self._cache, self._hints = settings, cache, hints
        self.drives: list[Drive] = []
        weights: list[float] = []
        data = settings.data
        if validation:
            data = replace(data, shares=(), every=data.every if len(data.every) == 1 else (1,))
        for number, pattern in enumerate(stores):
            every = data.every[number % len(data.every)]
            drives = [self._open(path, every) for path in store_paths(pattern)]
            frames = [len(drive.encoded) for drive in drives]
            weight = data.shares[number] if data.shares else sum(frames)
            self.drives += drives
            weights += [weight * n / sum(frames) for n in frames]
        if not self.drives:
            raise InputError("a run needs at least one frame store in data.stores, got none")
        views = [DriveViews(d.encoded, d.nearby, len(d.store)) for d in self.drives]
        self.choice = ItemChoice(settings, views, weights)

    def _open(self, path: Path, every: int) -> Drive:
        data, model = self.settings.data, self.settings.model
        store = open_store(path, model.image_size)
        cameras = encoder_cameras(store, data.encoder_cameras)
        keyframes = np.arange(len(store))
        if data.views == "published":
            check_rig(store)
            keyframes = published_keyframes(store)
        frames = keyframes[::every].tolist()
        if not frames:
            raise InputError(
                f"{path} must have frames that an item can be built around, got none of "
                f"{len(store)}; data.views is {data.views}"
            )
        encoded = tuple(View(camera, frame) for camera in cameras for frame in frames)
        nearby = NearbyViews(store, data.ahead)
        if data.views == "nearby":
            self._check_nearby(path, encoded, nearby)
        features = hints = None
        if self._cache is not None:
            width = backbone_spec(model.backbone).width
            features = FeatureCache(self._cache[0], store, self._cache[1], width)
        if self._hints is not None:
            hints = DepthHints(self._hints, store, model.depth_range)
        class_maps = None
        if self.settings.losses.classes:
            class_maps = ClassMaps(store, Path(data.class_maps) if data.class_maps else None)
        return Drive(
            store,
            encoded=encoded,
            cached=tuple(View(camera, frame) for camera in store.cameras for frame in frames),
            nearby=nearby,
            features=features,
            hints=hints,
            class_maps=class_maps,
        )

    def _check_nearby(self, path: Path, encoded: tuple[View, ...], nearby: NearbyViews) -> None:
        """Refuse a drive in which no item can be built, before one is sought for ever."""
        data, draws = self.settings.data, torch.Generator().manual_seed(0)
        for view in encoded:
            if nearby.item(view, data.loss_views, data.sources, draws) is not None:
                return
        raise InputError(
            f"{path} must have views that see one place from different sides, from two cameras or "
            f"one that moves, and has none: {len(encoded)} views are encoded"
        )

    def item(self, step: int, place: int, *, validation: bool = False) -> ItemTensors:
        """Return one item of a batch.

        Args:
            step: Number of the step.
            place: Place in the batch over all processes.
            validation: Without flip, copies, grid shift and coarse pyramid levels.
        """
        settings = self.settings
        chosen = self.choice.draw(step, place, validation=validation)
        return load_item(
            self.drives[chosen.drive],
            chosen.item,
            chosen.augmentation,
            settings.rays,
            patch_grid(settings.target_backbone, settings.model.image_size),
            chosen.generator,
        )

    def batch(self, step: int, places: range) -> FieldBatch:
        """Return the items of a step at some places of its batch."""
        items = [self.item(step, place) for place in places]
        return FieldBatch(items, self.settings.phase(step))
