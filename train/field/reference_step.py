"""The straightforward step of stage 1, kept as the definition the fast one is held to."""

import torch

from train.field.data import GroupTensors, ItemTensors
from train.field.model import FieldTraining, rendered_views
from train.field.rays import RayPatches
from train.field.shared_step import RenderedPatches, render_patches


class PlainTraining(FieldTraining):
    """Same parameters and losses as `FieldTraining`, none of its savings.

    Frozen encoder and target backbone run at every step, the decoder's map is made to its end and
    read by ``grid_sample``, and the point MLP runs to its end at every sample.
    """

    def maps(self, items: list[ItemTensors]) -> torch.Tensor:
        """Return the (B, D, H', W') maps of the items as `SceneDino.query` reads them."""
        images = torch.stack([item.image for item in items])
        flipped = torch.stack([item.flipped for item in items])[:, None, None, None]
        taps = self.network.encoder(torch.where(flipped, images.flip(-1), images))
        scales = self.settings.encoder.tap_scales
        maps = self.network.decoder([t * s for t, s in zip(taps, scales, strict=True)])
        return torch.where(flipped, maps.flip(-1), maps)

    def render_rays(
        self, feature_map: torch.Tensor, item: ItemTensors, group: GroupTensors, rays: RayPatches
    ) -> RenderedPatches:
        """Render patches as specified."""
        views = rendered_views(feature_map, item, group, self.settings.rays.min_depth)
        return render_patches(self.network, *views, rays, self.distances(group.jitter))

    def tokens(self, group: GroupTensors, shift: tuple[int, int]) -> torch.Tensor:
        """Run the target backbone; views that have no cached tokens where others do get none."""
        tokens = self.computed_tokens(group.targets.images, shift)
        return tokens.where(group.tokens.isfinite(), torch.nan) if group.tokens.numel() else tokens
