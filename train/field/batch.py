"""Items of stage 1 as tensors: images, cameras and the draws of one step."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.recordings.frame_store import FrameStore
from train.field.depth_hints import DepthHints
from train.field.feature_cache import FeatureCache
from train.field.items import Item, RenderGroup, View
from train.field.rays import PatchDraws, draw_patches
from train.field.settings import RaySettings
from train.field.views import relative_poses

_MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))


@dataclass(frozen=True)
class Views:
    """Some views of an item.

    Attributes:
        images: (V, 3, h, w) in [0, 1], at the item's pyramid level.
        K_norm: (V, 3, 3) intrinsics for coordinates in [-1, 1].
        T_item_cam: (V, 4, 4) camera poses in the frame of the encoded view, metres.
    """

    images: torch.Tensor
    K_norm: torch.Tensor
    T_item_cam: torch.Tensor


@dataclass(frozen=True)
class GroupTensors:
    """Rendered views, the views that explain them, and which rays are looked along.

    Attributes:
        loss: The rendered views.
        sources: What their colours are explained from.
        draws: P patches in the rendered views.
        jitter: (P, p, p, K) position of each sample in its interval.
        targets: (L, C, rows, columns) cached tokens of the rendered views; NaN where there are
            none; empty without a cache.
        hints: (L, h, w) distances along the rays of the rendered views, metres; 0 where there is
            none; empty without hints.
    """

    loss: Views
    sources: Views
    draws: PatchDraws
    jitter: torch.Tensor
    targets: torch.Tensor
    hints: torch.Tensor


@dataclass(frozen=True)
class ItemTensors:
    """One item.

    Attributes:
        image: (3, H, W) encoded image in [-1, 1].
        K_norm: (3, 3) its intrinsics.
        taps: (4, C, rows, columns) cached taps of the encoded image; empty without a cache.
        shift: (2,) pixels the target's image is moved down and right.
        flipped: Whether the encoder sees the image mirrored.
        groups: What is rendered.
        depth: (H, W) known depth of the encoded image along its optical axis, metres; 0 where it
            is not known; empty where the drive has none. Nothing is learned from it.
    """

    image: torch.Tensor
    K_norm: torch.Tensor
    taps: torch.Tensor
    shift: torch.Tensor
    flipped: torch.Tensor
    groups: tuple[GroupTensors, ...]
    depth: torch.Tensor


@dataclass(frozen=True)
class Detail:
    """How finely an item is looked at.

    Attributes:
        level: Factor by which images are averaged down.
        samples: Samples per ray.
    """

    level: int
    samples: int


def draw_detail(rays: RaySettings, phase: int, generator: torch.Generator) -> Detail:
    """Return the detail of an item in a phase of the run."""
    n = len(rays.levels)
    shares = torch.tensor(rays.level_shares[phase * n : (phase + 1) * n])
    level = rays.levels[int(torch.multinomial(shares, 1, generator=generator))]
    return Detail(level, rays.samples[phase % len(rays.samples)])


def load_item(
    store: FrameStore,
    item: Item,
    rays: RaySettings,
    *,
    detail: Detail,
    shift: tuple[int, int],
    token_grid: tuple[int, int],
    flipped: bool,
    mirrored: bool,
    cache: FeatureCache | None,
    hints: DepthHints | None,
    generator: torch.Generator,
) -> ItemTensors:
    """Gather the tensors of an item.

    Args:
        store: The drive.
        item: Its views.
        rays: How rays are chosen.
        detail: Pyramid level and samples per ray.
        shift: Pixels the target's image is moved, down and right; zero unless aligned.
        token_grid: (rows, columns) of the target's tokens.
        flipped: Whether the encoder sees its image mirrored.
        mirrored: Whether the whole item is mirrored, poses included.
        cache: Cached features of the drive, if the encoder is frozen.
        hints: Depth hints of the drive, if there is a loss on them.
        generator: Source of the draws.
    """
    T_world_item = store.T_world_cam(item.encoder.camera, item.encoder.frame)

    def views_of(views: tuple[View, ...]) -> Views:
        images = np.stack([store.image(v.camera, v.frame) for v in views])
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        K = np.stack([store.cameras[v.camera].K_norm for v in views])
        T_world_cam = np.stack([store.T_world_cam(v.camera, v.frame) for v in views])
        T_item_cam = relative_poses(T_world_cam, T_world_item)
        if mirrored:
            pixels = pixels.flip(-1)
            K = K.copy()
            K[:, 0, 2] *= -1
            T_item_cam = _MIRROR @ T_item_cam @ _MIRROR
        if detail.level > 1:
            pixels = functional.avg_pool2d(pixels, detail.level)
        return Views(pixels, torch.from_numpy(K).float(), T_item_cam)

    def group_of(group: RenderGroup, n_patches: int) -> GroupTensors:
        loss = views_of(group.loss)
        draws = _draws(n_patches, loss, rays, token_grid, shift, generator)
        shape = (n_patches, rays.patch, rays.patch, detail.samples)
        jitter = torch.rand(shape, generator=generator)
        targets = _targets(cache, group.loss, mirrored, token_grid)
        known = _hints(hints, group.loss, mirrored, detail.level)
        return GroupTensors(loss, views_of(group.sources), draws, jitter, targets, known)

    encoded = torch.from_numpy(np.array(store.image(item.encoder.camera, item.encoder.frame)))
    K_norm = torch.from_numpy(store.cameras[item.encoder.camera].K_norm).float().clone()
    image = encoded.permute(2, 0, 1).float() / 127.5 - 1
    if mirrored:
        image = image.flip(-1)
        K_norm[0, 2] *= -1
    depth = _depth(store, item.encoder)
    per_group = rays.patches // len(item.groups)
    return ItemTensors(
        image=image,
        K_norm=K_norm,
        taps=torch.zeros(0) if cache is None else cache.taps(item.encoder, mirrored),
        shift=torch.tensor(shift),
        flipped=torch.tensor(flipped),
        groups=tuple(group_of(group, per_group) for group in item.groups),
        depth=depth.flip(-1) if mirrored else depth,
    )


def _draws(
    n_patches: int,
    loss: Views,
    rays: RaySettings,
    token_grid: tuple[int, int],
    shift: tuple[int, int],
    generator: torch.Generator,
) -> PatchDraws:
    n_views, _, height, width = loss.images.shape
    if rays.aligned:
        return draw_patches(
            n_patches, n_views, token_grid, shifted=shift != (0, 0), generator=generator
        )
    # Anywhere: a grid of single pixels on which the patch still fits.
    anywhere = (height - rays.patch + 1, width - rays.patch + 1)
    return draw_patches(n_patches, n_views, anywhere, shifted=False, generator=generator)


def _targets(
    cache: FeatureCache | None,
    views: tuple[View, ...],
    mirrored: bool,
    token_grid: tuple[int, int],
) -> torch.Tensor:
    """Return cached tokens; those of a mirrored image are taken as the mirrored tokens."""
    if cache is None:
        return torch.zeros(0)
    blank = torch.full((cache.width, *token_grid), torch.nan)
    tokens = torch.stack([cache.taps(v)[3].float() if cache.has(v) else blank for v in views])
    return tokens.flip(-1) if mirrored else tokens


def _depth(store: FrameStore, view: View) -> torch.Tensor:
    """Return what a drive knows of the depth of a view, in float32; empty where it has none."""
    depth = store.depth(view.camera, view.frame)
    return torch.zeros(0) if depth is None else torch.from_numpy(np.array(depth)).float()


def _hints(
    hints: DepthHints | None, views: tuple[View, ...], mirrored: bool, level: int
) -> torch.Tensor:
    """Return the hints in the middle of a pyramid level's pixels: means would mix surfaces."""
    if hints is None:
        return torch.zeros(0)
    distances = torch.from_numpy(np.stack([hints.distance(view) for view in views])).float()
    if mirrored:
        distances = distances.flip(-1)
    height, width = (edge // level for edge in distances.shape[-2:])
    return distances[:, level // 2 :: level, level // 2 :: level][:, :height, :width]


class FieldBatch:
    """The items of a step that belong to this process.

    Not a dataclass: Fabric would copy one field by field and cast it.

    Attributes:
        items: The items.
        phase: Number of the run's phase the step belongs to.
    """

    def __init__(self, items: list[ItemTensors], phase: int) -> None:
        self.items, self.phase = items, phase

    def to(self, device: torch.device, **_: object) -> "FieldBatch":
        """Return the batch with all its tensors on a device."""
        return FieldBatch([_item_to(item, device) for item in self.items], self.phase)


def _item_to(item: ItemTensors, device: torch.device) -> ItemTensors:
    groups = tuple(
        GroupTensors(
            _views_to(g.loss, device),
            _views_to(g.sources, device),
            PatchDraws(*(getattr(g.draws, f.name).to(device) for f in fields(PatchDraws))),
            g.jitter.to(device),
            g.targets.to(device),
            g.hints.to(device),
        )
        for g in item.groups
    )
    names = ("image", "K_norm", "taps", "flipped", "depth")
    moved = {name: getattr(item, name).to(device, non_blocking=True) for name in names}
    return replace(item, groups=groups, **moved)


def _views_to(views: Views, device: torch.device) -> Views:
    return Views(*(getattr(views, f.name).to(device, non_blocking=True) for f in fields(Views)))
