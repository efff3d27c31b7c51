# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Features as colours: three principal components shown as RGB."""

import torch


class FeatureColors:
    """A projection of features to RGB that stays the same from view to view.

    The first view fixes it: colours that are fitted to every image would flicker.
    """

    def __init__(self, feature: torch.Tensor) -> None:
        """Fit the projection.

        Args:
            feature: (N, F) features of one view.
        """
        self.mean = feature.mean(dim=0)
        centred = (feature - self.mean).double()
        vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors
        self.axes = vectors[:, -3:].flip(1).float()
        values = (feature - self.mean) @ self.axes
        self.low, self.high = values.quantile(values.new_tensor([0.02, 0.98]), dim=0)

    def __call__(self, feature: torch.Tensor) -> torch.Tensor:
        """Return (N, 3) uint8 colours of (N, F) features."""
        values = (feature - self.mean) @ self.axes
        unit = (values - self.low) / (self.high - self.low).clamp(min=1e-12)
        return (unit.clamp(0, 1) * 255).to(torch.uint8)
