"""The same network with less work: exact algebra on the trained weights.

Three identities, each exact up to rounding:

* a 1x1 convolution commutes with bilinear upsampling, so it runs on the small map;
* the decoder's last convolution, the bilinear lookup (its weights sum to one) and the first
  layer of the point MLP are all linear, so the map can hold that layer's output directly;
* blending along a ray is linear, so hidden activations are blended and the last layer of the MLP
  runs once per ray instead of once per sample.
"""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.model import SceneDino


class FoldedSceneDino(nn.Module):
    """A network folded for inference. It shares encoder, decoder and head with the plain one."""

    def __init__(self, model: SceneDino) -> None:
        """Fold a trained network; it must not be trained afterwards."""
        super().__init__()
        self.plain = model
        lin_in, last = model.field.lin_in, model.decoder.output_head.head_modules[2]
        channels = model.config.decoder_width
        to_hidden = lin_in.weight[:, :channels]
        self.last = nn.Conv2d(
            channels, lin_in.out_features, last.kernel_size, padding=1, device=last.weight.device
        )
        with torch.no_grad():
            weight = torch.einsum("hc,cixy->hixy", to_hidden.double(), last.weight.double())
            bias = to_hidden.double() @ last.bias.double() + lin_in.bias.double()
            self.last.weight.copy_(weight)
            self.last.bias.copy_(bias)
        self.register_buffer("code_weight", lin_in.weight[:, channels:].T.contiguous())
        self.requires_grad_(False)

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Encode images up to the hidden layer of the point MLP, short of the positional code.

        Args:
            image: (B, 3, H, W) RGB in [-1, 1].

        Returns:
            (B, H', W', hidden) float32 map, channels last.
        """
        decoder = self.plain.decoder
        maps = decoder.reassemble_blocks(self.plain.encoder(image))
        maps = [
            conv(m.contiguous(memory_format=torch.channels_last))
            for conv, m in zip(decoder.convs, maps, strict=True)
        ]
        running, skips = maps[3], [None, *maps[2::-1]]
        for block, skip in zip(decoder.fusion_blocks, skips, strict=True):
            small = block.project(block.merge(running, skip))
            running = functional.interpolate(
                small, scale_factor=2, mode="bilinear", align_corners=True
            )
        head = decoder.output_head.head_modules
        tail = self.last(head[1](head[0](decoder.project(running))))
        return tail.float().permute(0, 2, 3, 1).contiguous()

    def hidden(
        self, rows: torch.Tensor, index: torch.Tensor, weight: torch.Tensor, code: torch.Tensor
    ) -> torch.Tensor:
        """Return the activations of the point MLP's hidden layer.

        Args:
            rows: (H' * W', hidden) map of one image.
            index: (N, 4) int32 rows of the four neighbours of each point.
            weight: (N, 4) their bilinear weights.
            code: (N, 3 + 6 F) positional code.

        Returns:
            (N, hidden) activations.
        """
        sampled = functional.embedding_bag(index, rows, per_sample_weights=weight, mode="sum")
        return torch.relu_(torch.addmm(sampled, code, self.code_weight))

    def density(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return (...) densities, 1/m, of (..., hidden) activations."""
        lin_out = self.plain.field.lin_out
        return functional.softplus(hidden @ lin_out.weight[0] + lin_out.bias[0])

    def feature(self, hidden: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
        """Return (..., F) features of (..., hidden) activations.

        Args:
            hidden: Activations, of points or blended along rays.
            total: (...) sum of the blending weights; None for points.
        """
        lin_out = self.plain.field.lin_out
        bias = lin_out.bias[1:]
        feature = hidden @ lin_out.weight[1:].T
        return feature + (bias if total is None else total.unsqueeze(-1) * bias)


def bilinear_taps(
    uv_norm: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the four neighbours of positions in a map, borders repeated outside.

    Equals ``grid_sample`` with bilinear mode, border padding and ``align_corners=False``.

    Args:
        uv_norm: (N, 2) positions in [-1, 1] over the map.
        height: Rows of the map.
        width: Columns of the map.

    Returns:
        (N, 4) int32 flat indices and (N, 4) float32 weights that sum to one.
    """
    size = uv_norm.new_tensor([width, height])
    position = (((uv_norm + 1) * size - 1) / 2).clamp(min=0).minimum(size - 1)
    low = position.floor()
    fraction = position - low
    low = low.int()
    high = (low + 1).minimum(size.int() - 1)
    x0, y0, x1, y1 = low[:, 0], low[:, 1], high[:, 0], high[:, 1]
    fx, fy = fraction[:, 0], fraction[:, 1]
    index = torch.stack([y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1], 1)
    weight = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], 1)
    return index, weight
