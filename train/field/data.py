"""The drives of a stage-1 run: which items there are, and any of them as tensors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store import FrameStore
from train.field.batch import ItemTensors, draw_detail, load_item
from train.field.depth_hints import DepthHints
from train.field.feature_cache import Encode, FeatureCache
from train.field.items import Item, NearbyViews, View, check_rig, published_item
from train.field.settings import FieldSettings
from train.field.views import FISHEYE_OFFSETS
from train.runs.randomness import item_generator
from train.runs.store_paths import store_paths

_STANDING = 0.1  # metres per frame
_AHEAD = 0.7  # cosine between a camera's axis and where the drive goes


@dataclass(frozen=True)
class _Drive:
    store: FrameStore
    encoders: tuple[View, ...]
    targets: tuple[View, ...]  # views whose features are cached, the encoded ones among them
    nearby: NearbyViews
    cache: FeatureCache | None
    hints: DepthHints | None


class FieldData:
    """Items of stage 1, drawn by step and place in the batch alone."""

    def __init__(
        self,
        settings: FieldSettings,
        stores: tuple[str, ...],
        cache: tuple[Path, str] | None,
        hints: Path | None = None,
    ) -> None:
        """Open the drives.

        Args:
            settings: The run.
            stores: Frame stores, as paths or patterns.
            cache: Folder and encoder key of cached features; None: the encoder is trained.
            hints: Folder of depth hints; None: no loss reads them.

        Raises:
            InputError: If there is no store, or one does not fit the settings.
        """
        self._settings, self._hints = settings, hints
        self._drives: list[_Drive] = []
        self._shares: list[float] = []
        for number, pattern in enumerate(stores):
            paths = store_paths(pattern)
            every = settings.data.every[number % len(settings.data.every)]
            drives = [self._open(path, every, cache) for path in paths]
            frames = [len(drive.encoders) for drive in drives]
            share = settings.data.shares[number] if settings.data.shares else sum(frames)
            self._drives += drives
            self._shares += [share * n / sum(frames) for n in frames]
        if not self._drives:
            raise InputError("a run needs at least one frame store in data.stores, got none")

    def _open(self, path: Path, every: int, cache: tuple[Path, str] | None) -> _Drive:
        store, settings = FrameStore(path), self._settings
        if store.image_size != tuple(settings.model.image_size):
            raise InputError(
                f"{path} must have images of {settings.model.image_size}, got {store.image_size}"
            )
        cameras = encoder_cameras(store, settings.data.encoder_cameras)
        frames = np.arange(len(store))
        if settings.data.views == "published":
            check_rig(store)
            frames = published_keyframes(store)
        frames = frames[::every].tolist()
        encoders = tuple(View(camera, frame) for camera in cameras for frame in frames)
        targets = tuple(View(camera, frame) for camera in store.cameras for frame in frames)
        if not encoders:
            raise InputError(
                f"{path} must have frames that an item can be built around, got none of "
                f"{len(store)}; data.views is {settings.data.views}"
            )
        found = None
        if cache is not None:
            width = backbone_spec(settings.model.backbone).width
            found = FeatureCache(cache[0], store, cache[1], width)
        nearby = NearbyViews(store, ahead=settings.data.ahead)
        hints = None
        if self._hints is not None:
            hints = DepthHints(self._hints, store, settings.model.depth_range)
        return _Drive(store, encoders, targets, nearby, found, hints)

    def uncached(self) -> list[tuple[FeatureCache, list[View], bool]]:
        """Return what is missing in the caches: cache, views and whether they are mirrored."""
        found = []
        for drive in self._drives:
            if drive.cache is None:
                continue
            wanted = {False: drive.targets}
            if self._settings.mirror:
                wanted[True] = drive.encoders
            for mirrored, views in wanted.items():
                missing = drive.cache.missing(views, mirrored)
                if missing:
                    found.append((drive.cache, missing, mirrored))
        return found

    def fill_caches(self, encode: Encode) -> Iterator[int]:
        """Compute what is missing; yields how many images each batch had."""
        for cache, views, mirrored in self.uncached():
            yield from cache.fill(views, mirrored, encode)

    def missing_hints(self) -> list[tuple[DepthHints, str, int]]:
        """Return which cameras have how many hints missing; only those that are encoded have any.

        Side cameras see the same surfaces, but cost as much to match.
        """
        found = []
        for drive in self._drives:
            for camera in dict.fromkeys(view.camera for view in drive.encoders):
                n_missing = len(drive.hints.missing(camera)) if drive.hints else 0
                if drive.hints and n_missing:
                    found.append((drive.hints, camera, n_missing))
        return found

    def fill_hints(self) -> Iterator[int]:
        """Compute what is missing of the hints; yields how many frames each step had."""
        for hints, camera, _ in self.missing_hints():
            yield from hints.fill(camera)

    def phase(self, step: int) -> int:
        """Return the number of the run's phase a step belongs to."""
        return self._settings.phase(step)

    def item(self, step: int, place: int, *, validation: bool = False) -> ItemTensors:
        """Return one item of a step's batch.

        Args:
            step: Number of the step.
            place: Place in the batch over all processes.
            validation: Without flip, mirroring, grid shift and coarse levels.
        """
        settings = self._settings
        generator = item_generator(settings.run.seed, step, place)
        drive, item = self._choose(generator, validation=validation)
        grid = patch_grid(settings.target_backbone, settings.model.image_size)
        # One shift and one flip for the whole batch, as published.
        shared = item_generator(settings.run.seed, step, settings.run.batch_size)
        half = settings.rays.patch // 2
        drawn = torch.randint(-half, half, (2,), generator=shared)
        flipped = bool(torch.rand((), generator=shared) < 0.5)
        mirrored = bool(torch.rand((), generator=generator) < 0.5)
        moves = settings.rays.aligned and drive.cache is None and not validation
        phase = settings.phase(settings.run.steps if validation else step)
        return load_item(
            drive.store,
            item,
            settings.rays,
            detail=draw_detail(settings.rays, phase, generator),
            shift=(int(drawn[0]), int(drawn[1])) if moves else (0, 0),
            token_grid=grid,
            flipped=settings.flip and flipped and not validation,
            mirrored=settings.mirror and mirrored and not validation,
            cache=drive.cache,
            hints=drive.hints,
            generator=generator,
        )

    def _choose(self, generator: torch.Generator, *, validation: bool) -> tuple[_Drive, Item]:
        data = self._settings.data
        shares = torch.tensor(self._shares, dtype=torch.float64)
        while True:
            drive = self._drives[int(torch.multinomial(shares, 1, generator=generator))]
            chosen = int(torch.randint(len(drive.encoders), (), generator=generator))
            encoder = drive.encoders[chosen]
            if data.views == "published":
                item = published_item(drive.store, encoder, generator, validation=validation)
                return drive, item
            found = drive.nearby.item(encoder, data.loss_views, data.sources, generator)
            if found is not None:
                return drive, found


def encoder_cameras(store: FrameStore, wanted: tuple[str, ...]) -> list[str]:
    """Return the cameras of a drive whose images are encoded.

    Args:
        store: The drive.
        wanted: Their names; empty: those that look where the drive goes, or all if none does.

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
    # Displacements in the body's own frame, so that a drive may turn as it likes.
    T = store.T_world_body
    steps = np.einsum("nji,nj->ni", T[:-1, :3, :3], np.diff(T[:, :3, 3], axis=0))
    steps[store.breaks()[1:]] = 0
    forward = steps.sum(axis=0)
    length = np.linalg.norm(forward)
    if length < _STANDING:
        return list(store.cameras)
    axes = {name: camera.T_body_cam[:3, 2] for name, camera in store.cameras.items()}
    ahead = [name for name, axis in axes.items() if axis @ forward > _AHEAD * length]
    return ahead or list(store.cameras)


def published_keyframes(store: FrameStore) -> np.ndarray:
    """Return the frames that a published item can be built around.

    All frames it may draw exist, no break lies between them, and the vehicle moves; the published
    code keeps the other items too, with the same image twice or poses that contradict it.
    """
    ahead = FISHEYE_OFFSETS[1] + 1
    part = np.cumsum(store.breaks())
    n = max(len(store) - ahead, 0)
    moves = np.diff(store.travelled())[:n] > _STANDING
    return np.flatnonzero((part[ahead:] == part[:n]) & moves)
