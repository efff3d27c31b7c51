# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a step of stage 2 learns from: features of 3D crops and pixels of the frozen field."""

from dataclasses import dataclass, fields

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from train.semantics.crops import N_BINS, ball_points, solid_points, surface_points
from train.semantics.data import ImageItem
from train.semantics.frozen_field import FieldView, FrozenField, grid_positions
from train.semantics.frozen_tokens import FrozenTokens, TokenView
from train.semantics.settings import SemanticsSettings


@dataclass(frozen=True)
class Crops:
    """3D crops around surface points, up to one for each distance bin of an image.

    Attributes:
        order: (crops,) number of the crop among all possible ones of all processes.
        feature: (crops, points, C) unit features.
        feature_keep: (crops, C) dropout factors of their channels.
        code_keep: (crops, 3, 2, code_dim) dropout factors of the codes; see `PartnerDraws`.
        neighbour: (crops,) which of the nearest crops is the partner.
        random: (crops,) which stored crop is the random partner, as a fraction of their number.
    """

    order: torch.Tensor
    feature: torch.Tensor
    feature_keep: torch.Tensor
    code_keep: torch.Tensor
    neighbour: torch.Tensor
    random: torch.Tensor

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.feature)


@dataclass(frozen=True)
class ProcessWeights:
    """Weights that make losses independent of how data are distributed over processes.

    A mean over the crops or pixels of one process is multiplied with its weight; the average over
    the processes is then the mean over all crops or pixels.

    Attributes:
        n_crops: Crops of all processes.
        n_labels: Labelled pixels of all processes.
        crops: Crops of this process, divided by the mean number per process.
        labels: Labelled pixels of this process, divided by the mean number per process.
    """

    n_crops: int
    n_labels: int
    crops: float
    labels: float


class StepFeatures:
    """The features of the images of a process in a step; all have unit length.

    Not a dataclass: Fabric would copy one field by field.

    Attributes:
        crops: Crops of these images.
        pixels: (images, n, C) features of pixels.
        pixel_keep: (images, 1, C) dropout factors of their channels.
        label: (images, n) classes, -1 where unknown.
        weights: How much the crops and labels of this process count.
    """

    def __init__(
        self,
        crops: Crops,
        pixels: torch.Tensor,
        pixel_keep: torch.Tensor,
        label: torch.Tensor,
        fabric: Fabric,
    ) -> None:
        self.crops, self.pixels, self.pixel_keep, self.label = crops, pixels, pixel_keep, label
        own = torch.stack([torch.tensor(len(crops), device=label.device), (label >= 0).sum()])
        means: torch.Tensor = fabric.all_reduce(own.double(), reduce_op="mean")
        mean_crops, mean_labels = means.tolist()
        n_crops, n_labels = own.tolist()
        self.weights = ProcessWeights(
            round(mean_crops * fabric.world_size),
            round(mean_labels * fabric.world_size),
            n_crops / mean_crops if mean_crops else 0.0,
            n_labels / mean_labels if mean_labels else 0.0,
        )


@torch.no_grad()
def render_features(
    field: FrozenField | FrozenTokens,
    expansion: nn.Module,
    items: list[ImageItem],
    settings: SemanticsSettings,
    fabric: Fabric,
) -> StepFeatures:
    """Render the crops and pixels of the images of a step.

    Args:
        field: The frozen field, or the tokens of images.
        expansion: From rendered to full features.
        items: This process's images with their draws.
        settings: The run.
        fabric: The processes.
    """
    crops: list[Crops] = []
    pixels, labels = [], []
    for i, item in enumerate(items):
        view = field.view(item.key, item.image, item.K_norm)
        if settings.head.distil:
            place = i * fabric.world_size + fabric.global_rank
            if isinstance(view, TokenView):
                crops += _windows(view, item, settings, place * N_BINS)
            else:
                crops += _crops(view, expansion, item, settings, place * N_BINS)
        position = grid_positions(*item.image.shape[-2:]).to(item.pixel.device)[item.pixel]
        pixels.append(expansion(view.rendered(position, item.pixel_jitter)[1]))
        labels.append(item.label.flatten()[item.pixel])
    return StepFeatures(
        _join(crops, pixels[0].shape[-1], settings, fabric.device),
        torch.stack(pixels),
        torch.stack([item.pixel_keep for item in items]).unsqueeze(1),
        torch.stack(labels),
        fabric,
    )


def gather_rows(fabric: Fabric, rows: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Return the rows of all processes, whose numbers may differ between processes.

    Args:
        fabric: The processes.
        rows: (n, ...) rows of this one.
        order: (n,) numbers by which all rows are sorted, >= 0.
    """
    if fabric.world_size == 1:
        return rows
    number = torch.tensor(len(rows), device=rows.device)
    most: torch.Tensor = fabric.all_reduce(number, reduce_op="max")
    missing = int(most) - len(rows)
    blank = (0, 0) * (rows.ndim - 1) + (0, missing)
    padded: torch.Tensor = fabric.all_gather(functional.pad(rows, blank))
    places: torch.Tensor = fabric.all_gather(functional.pad(order, (0, missing), value=-1))
    places = places.flatten()
    chosen = places.argsort()
    return padded.flatten(0, 1)[chosen[places[chosen] >= 0]]


def _crops(
    view: FieldView,
    expansion: nn.Module,
    item: ImageItem,
    settings: SemanticsSettings,
    first: int,
) -> list[Crops]:
    """Return the crops of one image, one by one; their numbers start at `first`."""
    height, width = (edge // settings.crops.stride for edge in item.image.shape[-2:])
    positions = grid_positions(height, width).to(item.image.device)
    distance = view.distances(positions, item.distance_jitter).view(height, width)
    draws = item.crops
    picks = draws.pick.tolist()
    centres = surface_points(
        distance, view.rays(positions), lambda i, n: min(int(picks[i] * n), n - 1)
    )
    crops = []
    for i, centre in centres:
        candidates = ball_points(centre, settings.crops.radius, draws.ball, i)
        kept = solid_points(candidates, view.points, settings.crops.points)
        if kept is not None:
            order = torch.tensor(first + i, device=centre.device)
            parts = (draws.feature_keep, draws.code_keep, draws.neighbour, draws.random)
            crops.append(Crops(order, expansion(kept[1]), *(part[i] for part in parts)))
    return crops


def _windows(
    view: TokenView, item: ImageItem, settings: SemanticsSettings, first: int
) -> list[Crops]:
    """Return the crops of one image where there is no field: square windows of its tokens.

    STEGO takes five windows of an image, too. The draws that choose surface points choose them.
    """
    crops, draws = [], item.crops
    for i in range(N_BINS):
        place = float(draws.pick[i]), float(draws.ball.radius[i, 0])
        feature = view.window(settings.crops.points, settings.crops.window, *place)
        order = torch.tensor(first + i, device=feature.device)
        parts = (draws.feature_keep, draws.code_keep, draws.neighbour, draws.random)
        crops.append(Crops(order, feature, *(part[i] for part in parts)))
    return crops


def _join(
    crops: list[Crops], channels: int, settings: SemanticsSettings, device: torch.device
) -> Crops:
    """Stack crops; none give tensors of length 0."""
    if crops:
        names = [item.name for item in fields(Crops)]
        return Crops(*(torch.stack([getattr(crop, name) for crop in crops]) for name in names))
    return Crops(
        torch.zeros(0, dtype=torch.int64, device=device),
        torch.zeros(0, settings.crops.points, channels, device=device),
        torch.zeros(0, channels, device=device),
        torch.zeros(0, 3, 2, settings.head.code_dim, device=device),
        torch.zeros(0, dtype=torch.int64, device=device),
        torch.zeros(0, device=device),
    )
