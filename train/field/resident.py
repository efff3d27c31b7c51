# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""All images of a run in the memory of its device, and the batches that are cut from them there.

A GPU computes an item of a small network in about a millisecond; loading its images, some sixteen,
takes a processor ten times as long. Here a batch comes as a few numbers that say which images it
has, and the images wait where they are needed. The encoder sees a new crop in every item.
"""

import math

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.core.disk_space import bytes_in_words
from scenedino_ros.core.errors import InputError
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.network.folded import bilinear_taps
from scenedino_ros.terminal.progress import counting
from train.field.chosen_views import ChosenViews
from train.field.copies import GRAY
from train.field.data import Drive, FieldData
from train.field.items import View

_LOADED_AT_ONCE = 32  # images
_LARGEST_SHARE = 0.6  # of a GPU's free memory; the steps need the rest


class ResidentFrames:
    """All images of some drives with their cameras, on one device.

    Attributes:
        first: Number of the first view of each camera, for each drive; the views of a camera
            follow each other by frame.
        image_size: (H, W) pixels.
        K_norm: (V, 3, 3) intrinsics for coordinates in [-1, 1].
        T_world_cam: (V, 4, 4) float64 camera poses, metres.
    """

    def __init__(self, data: FieldData, encoder: Encoder, device: torch.device) -> None:
        """Load images, cameras and depth hints, and encode all images for their target tokens.

        Args:
            data: The drives.
            encoder: The frozen encoder, on the device.
            device: Where everything is kept.

        Raises:
            InputError: If a GPU has too little memory.
        """
        settings = data.settings
        self.image_size = settings.model.image_size
        self.first: list[dict[str, int]] = []
        self._levels = settings.rays.levels
        self._grid = encoder.grid
        cameras, n_views = [], 0
        for drive in data.drives:
            self.first.append({})
            for camera in drive.store.cameras:
                self.first[-1][camera] = n_views
                cameras.append((drive, camera))
                n_views += len(drive.store)
        self._check_room(
            n_views, encoder.spec.width, device, hints=data.drives[0].hints is not None
        )
        K_norm, T_world_cam = [], []
        for drive, camera in cameras:
            store = drive.store
            K_norm += [store.cameras[camera].K_norm] * len(store)
            T_world_cam += [store.T_world_cam(camera, frame) for frame in range(len(store))]
        self.K_norm = torch.from_numpy(np.stack(K_norm)).float().to(device)
        self.T_world_cam = torch.from_numpy(np.stack(T_world_cam)).double().to(device)
        self._allocate(n_views, encoder.spec.width, device)
        mixed = settings.run.precision == "bf16-mixed"
        done = 0
        with counting("loaded", "images") as count, torch.no_grad():
            for drive, camera in cameras:
                for start in range(0, len(drive.store), _LOADED_AT_ONCE):
                    frames = range(start, min(start + _LOADED_AT_ONCE, len(drive.store)))
                    images = np.stack([drive.store.image(camera, frame) for frame in frames])
                    pixels = torch.from_numpy(images).to(device)
                    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                        tokens = encoder(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)[3]
                    self._keep(done, pixels, tokens)
                    done += len(frames)
                    count(done, n_views)
        self._load_hints(cameras, device)

    def _check_room(self, n_views: int, width: int, device: torch.device, *, hints: bool) -> None:
        """Refuse more images than a GPU has memory for."""
        rows, columns = self._grid
        halves = width * rows * columns + hints * math.prod(self.image_size)  # of one image
        needed = 3 * self._n_pixels(n_views) + 2 * halves * n_views
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
        if needed > _LARGEST_SHARE * free:
            raise InputError(
                f"data.resident needs {bytes_in_words(needed)} of GPU memory for {n_views} images "
                f"beside that of the steps, got {bytes_in_words(free)} free"
            )

    def _n_pixels(self, n_views: int) -> int:
        height, width = self.image_size
        return sum(n_views * (height // level) * (width // level) for level in self._levels)

    def _allocate(self, n_views: int, width: int, device: torch.device) -> None:
        rows, columns = self._grid
        self._pixels = torch.empty(self._n_pixels(n_views), 3, dtype=torch.uint8, device=device)
        self._tokens = torch.empty(
            n_views, rows * columns, width, dtype=torch.float16, device=device
        )
        # Where the images of a level begin, by the number of the level.
        self._begin = torch.zeros(max(self._levels) + 1, dtype=torch.int64, device=device)
        self._pyramid: dict[int, torch.Tensor] = {}
        begin, (height, columns) = 0, self.image_size
        for level in self._levels:
            size = (height // level, columns // level)
            count = n_views * size[0] * size[1]
            self._begin[level] = begin
            self._pyramid[level] = self._pixels[begin : begin + count].view(n_views, *size, 3)
            begin += count

    def _keep(self, first: int, pixels: torch.Tensor, tokens: torch.Tensor) -> None:
        """Store (N, H, W, 3) uint8 images and their (N, C, rows, columns) tokens."""
        views = slice(first, first + len(pixels))
        self._tokens[views] = tokens.flatten(2).transpose(1, 2).half()
        whole = pixels.permute(0, 3, 1, 2).float()
        for level, images in self._pyramid.items():
            averaged = functional.avg_pool2d(whole, level) if level > 1 else whole
            images[views] = averaged.round().to(torch.uint8).permute(0, 2, 3, 1)

    def _load_hints(self, cameras: list[tuple[Drive, str]], device: torch.device) -> None:
        """Load the depth hints there are."""
        self._hint_of = torch.full((len(self.K_norm),), -1, dtype=torch.int64)
        found: list[np.ndarray] = []
        view = 0
        for drive, camera in cameras:
            frames = range(len(drive.store))
            known = set(frames)
            if drive.hints:
                known -= set(drive.hints.missing(camera, frames))
                for frame in sorted(known):
                    self._hint_of[view + frame] = len(found)
                    found.append(drive.hints.distance(View(camera, frame)))
            view += len(drive.store)
        self._hint_of = self._hint_of.to(device)
        found = found or [np.zeros(self.image_size, np.float16)]
        self._hints = torch.from_numpy(np.stack(found)).flatten().to(device)

    def copies(self, views: ChosenViews) -> torch.Tensor:
        """Return the (B, 3, H, W) images in [-1, 1] that the encoder sees."""
        images = self._pyramid[1][views.encoder].permute(0, 3, 1, 2).float() / 127.5 - 1
        sign = torch.where(views.mirrored, -1.0, 1.0)
        crop = torch.zeros(len(images), 2, 3, device=images.device)
        crop[:, 0, 0], crop[:, 0, 2] = sign / views.zoom[:, 0], sign * views.center[:, 0]
        crop[:, 1, 1], crop[:, 1, 2] = 1 / views.zoom[:, 1], views.center[:, 1]
        grid = functional.affine_grid(crop, list(images.shape), align_corners=False)
        seen = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        gray = (seen * seen.new_tensor(GRAY).view(3, 1, 1)).sum(dim=1, keepdim=True)
        return torch.where(views.gray[:, None, None, None], gray, seen)

    def sizes(self, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the heights and widths of images at (...) levels of the pyramid."""
        height, width = self.image_size
        return height // level, width // level

    def colors(
        self, view: torch.Tensor, level: torch.Tensor, row: torch.Tensor, column: torch.Tensor
    ) -> torch.Tensor:
        """Return the (..., 3) colours in [0, 1] of pixels; the arguments broadcast to (...)."""
        height, width = self.sizes(level)
        index = self._begin[level] + view * (height * width) + row * width + column
        return self._pixels[index].float() / 255

    def blended_colors(
        self, view: torch.Tensor, level: torch.Tensor, uv_norm: torch.Tensor
    ) -> torch.Tensor:
        """Return the (N, M, 3) colours in [0, 1] at image positions, bilinearly.

        Args:
            view: (N,) views.
            level: (N,) levels of the pyramid.
            uv_norm: (N, M, 2) positions in [-1, 1]; those outside get the border.
        """
        height, width = (size.unsqueeze(-1) for size in self.sizes(level))
        u = (((uv_norm[..., 0] + 1) * width - 1) / 2).clamp(min=0).minimum(width - 1)
        v = (((uv_norm[..., 1] + 1) * height - 1) / 2).clamp(min=0).minimum(height - 1)
        x, y = u.long(), v.long()
        right, below = (x < width - 1).long(), (y < height - 1) * width
        first = (self._begin[level] + view * (height * width).squeeze(-1)).unsqueeze(-1)
        index = first + y * width + x
        fx, fy = (u - x).unsqueeze(-1), (v - y).unsqueeze(-1)
        total = torch.zeros(*index.shape, 3, device=index.device)
        for offset, weight in (
            (0, (1 - fx) * (1 - fy)),
            (right, fx * (1 - fy)),
            (below, (1 - fx) * fy),
            (right + below, fx * fy),
        ):
            total += self._pixels[index + offset] * weight
        return total / 255

    def hint(
        self,
        view: torch.Tensor,
        level: torch.Tensor,
        row: torch.Tensor,
        column: torch.Tensor,
        mirrored: torch.Tensor,
    ) -> torch.Tensor:
        """Return the distances of pixels, metres; 0 where there is no hint. All broadcast.

        Args:
            view: Views.
            level: Levels of the pyramid; a pixel gets the hint at its centre.
            row: Rows at the level.
            column: Columns at the level, of the mirrored image where it is mirrored.
            mirrored: bool.
        """
        height, width = self.image_size
        y, x = row * level + level // 2, column * level + level // 2
        x = torch.where(mirrored, width - 1 - x, x)
        number = self._hint_of[view]
        found = self._hints[number.clamp(min=0) * (height * width) + y * width + x].float()
        return torch.where(number >= 0, found, 0)

    def tokens(self, view: torch.Tensor, uv_norm: torch.Tensor) -> torch.Tensor:
        """Return the (N, C) unit means of target tokens at (N, M, 2) positions of (N,) views."""
        rows, columns = self._grid
        index, fraction = bilinear_taps(uv_norm.view(-1, 2), rows, columns)
        first = view * (rows * columns)
        index = index.view(len(view), -1) + first.unsqueeze(-1)
        means = functional.embedding_bag(
            index,
            self._tokens.flatten(0, 1),
            per_sample_weights=(fraction.view(len(view), -1) / uv_norm.shape[1]).half(),
            mode="sum",
        )
        return functional.normalize(means.float(), dim=-1)


class ResidentBatch:
    """A batch whose images are on the device.

    Attributes:
        frames: The images.
        views: What the batch consists of, on the device of the frames.
        phase: Number of the training phase that the step belongs to.
        generator: Source of the draws of rays, on the device.
    """

    def __init__(
        self, frames: ResidentFrames, views: ChosenViews, phase: int, generator: torch.Generator
    ) -> None:
        self.frames, self.views, self.phase, self.generator = frames, views, phase, generator

    @property
    def contents(self) -> ChosenViews:
        """What is saved if a loss is not finite."""
        return self.views
