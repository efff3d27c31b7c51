# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The rays of a training step: square patches, aligned with the target tokens or anywhere."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from scenedino_ros.network.field import sample_map
from scenedino_ros.network.render import ray_directions


@dataclass(frozen=True)
class PatchDraws:
    """Patches drawn for one item.

    Attributes:
        view: (P,) index into the target views.
        row: (P,) row of the token grid.
        column: (P,) column of the token grid.
    """

    view: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor


@dataclass(frozen=True)
class RayPatches:
    """Rays of P patches of p x p pixels, in the frame of the poses.

    Attributes:
        origins: (P, 3) camera centres, metres.
        directions: (P, p, p, 3) unit vectors.
        view: (P,) index into the target views.
        pixel: (P, 2) row and column of each patch's first pixel.
        token: (P, 2) row and column of its target token.
        uv_norm: (P, p, p, 2) image position in [-1, 1].
    """

    origins: torch.Tensor
    directions: torch.Tensor
    view: torch.Tensor
    pixel: torch.Tensor
    token: torch.Tensor
    uv_norm: torch.Tensor


def draw_patches(
    n_patches: int,
    n_views: int,
    token_grid: tuple[int, int],
    *,
    shifted: bool,
    generator: torch.Generator,
    first: tuple[int, int] = (0, 0),
) -> PatchDraws:
    """Draw patches uniformly over views and token grid.

    Args:
        n_patches: Patches P per item.
        n_views: Target views.
        token_grid: (rows, columns) of target tokens.
        shifted: Whether targets are shifted; then the last row and column are left out, so that
            patches stay inside the image.
        generator: Source of the draws.
        first: Row and column of the first patch.
    """
    rows, columns = (size - 1 if shifted else size for size in token_grid)
    view, row, column = (
        torch.randint(high, (n_patches,), generator=generator) for high in (n_views, rows, columns)
    )
    return PatchDraws(view, row + first[0], column + first[1])


def patch_rays(
    draws: PatchDraws,
    K_norm: torch.Tensor,
    T_world_cam: torch.Tensor,
    image_size: tuple[int, int] | tuple[torch.Tensor, torch.Tensor],
    patch: int,
    shift: tuple[int, int] = (0, 0),
    *,
    aligned: bool = True,
) -> RayPatches:
    """Return the rays of drawn patches.

    Args:
        draws: The patches.
        K_norm: (V, 3, 3) intrinsics of the target views for coordinates in [-1, 1].
        T_world_cam: (V, 4, 4) camera poses, metres.
        image_size: (H, W) pixels, numbers or (P, 1, 1) tensors.
        patch: Edge p of a patch, pixels; equals the edge of a target token.
        shift: (down, right) pixels by which the image under the target tokens was moved.
        aligned: Rows and columns of the draws count tokens; if not, pixels.
    """
    height, width = image_size
    offset = torch.tensor(shift, device=draws.row.device)
    grid = torch.stack([draws.row, draws.column], dim=-1)  # (P, 2)
    pixel = offset % patch + patch * grid if aligned else grid
    token = grid + (offset < 0)
    rows, columns = patch_pixels(pixel, patch)
    x = -1 + (2 * columns + 1) / width
    y = -1 + (2 * rows + 1) / height
    uv_norm = torch.stack(torch.broadcast_tensors(x, y), dim=-1)  # (P, p, p, 2)
    rays = ray_directions(K_norm[draws.view, None, None], uv_norm)
    R_world_cam = T_world_cam[draws.view, None, None, :3, :3]
    return RayPatches(
        origins=T_world_cam[draws.view, :3, 3],
        directions=(R_world_cam @ rays.unsqueeze(-1)).squeeze(-1),
        view=draws.view,
        pixel=pixel,
        token=token,
        uv_norm=uv_norm,
    )


def patch_pixels(pixel: torch.Tensor, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (P, p, 1) rows and (P, 1, p) columns of patches."""
    steps = torch.arange(patch, device=pixel.device)
    return pixel[:, 0, None, None] + steps[:, None], pixel[:, 1, None, None] + steps


def patch_colors(images: torch.Tensor, rays: RayPatches) -> torch.Tensor:
    """Return the (P, p, p, 3) colours under the patches of (V, 3, H, W) images."""
    rows, columns = patch_pixels(rays.pixel, rays.directions.shape[1])
    return images[rays.view[:, None, None], :, rows, columns]


def patch_mean(tokens: torch.Tensor, rays: RayPatches) -> torch.Tensor:
    """Return the (P, C) unit mean over each patch of tokens sampled at its pixels."""
    means = sample_map(tokens[rays.view], rays.uv_norm.flatten(1, 2)).mean(dim=1)
    return functional.normalize(means, dim=-1)


def shift_image(image: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """Move an image under the target tokens, repeating its edge.

    Args:
        image: (..., H, W) image.
        shift: (down, right): output pixel (r, c) is input pixel (r + down, c + right), clamped.
    """
    height, width = image.shape[-2:]
    rows = (torch.arange(height, device=image.device) + shift[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=image.device) + shift[1]).clamp(0, width - 1)
    return image[..., rows[:, None], columns]
