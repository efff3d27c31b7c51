"""The same network with less work: exact algebra on the trained weights.

Five identities, each exact up to rounding:

* a 1x1 convolution commutes with bilinear upsampling, so it runs on the small map;
* the decoder's last convolution, the bilinear lookup (its weights sum to one) and the first
  layer of the point MLP are all linear, so the map can hold that layer's output directly;
* a transposed convolution of stride 2 followed by a 3x3 one is four 2x2 convolutions of the
  small map, one for each parity of row and column;
* blending along a ray is linear, so hidden activations are blended and the last layer of the MLP
  runs once per ray instead of once per sample;
* with h the hidden layer of the expansion, the full feature is (W h + b) / |W h + b|, and the norm
  follows from the small Gram matrix W^T W, so the head's first layers act on h directly and the
  C-wide feature is never formed.
"""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.model import SceneDino


class FoldedSceneDino(nn.Module):
    """A network folded for inference. It shares encoder, decoder and head with the plain one."""

    def __init__(self, model: SceneDino, mode: str) -> None:
        """Fold a trained network; it must not be trained afterwards.

        Args:
            model: The plain network.
            mode: The prediction mode the head is folded for.
        """
        super().__init__()
        self.plain = model
        self.head = FoldedHead(model, mode) if model.config.has_semantics else None
        lin_in = model.field.lin_in
        channels = model.config.decoder_width
        self.tail = FoldedTail(
            model.decoder.output_head.head_modules, lin_in.weight[:, :channels], lin_in.bias
        )
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
        return self.tail(decoder.project(running))

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


class FoldedTail(nn.Module):
    """The decoder's output head and the image part of the point MLP's first layer."""

    def __init__(
        self, head: nn.Sequential, to_hidden: torch.Tensor, hidden_bias: torch.Tensor
    ) -> None:
        """Multiply the linear layers into each other.

        Args:
            head: 3x3 convolution, transposed convolution or identity, 3x3 convolution.
            to_hidden: (hidden, C) part of the MLP's first layer that reads the map.
            hidden_bias: (hidden,) its bias.
        """
        super().__init__()
        self.first = head[0]
        last = head[2]
        with torch.no_grad():
            to_hidden = to_hidden.double()
            weight = torch.einsum("hc,cmyx->hmyx", to_hidden, last.weight.double())
            bias = to_hidden @ last.bias.double() + hidden_bias.double()
            self.upsamples = isinstance(head[1], nn.ConvTranspose2d)
            if self.upsamples:
                up_bias = torch.einsum("hmyx,m->hyx", weight, head[1].bias.double())
                bias = bias + up_bias.sum(dim=(1, 2))
                # What the last convolution's zero padding must not see of the upsampling's bias.
                self.register_buffer("up_bias", up_bias.float())
                weight = _phase_kernels(weight, head[1].weight.double())
            self.register_buffer("weight", weight.float())
            self.register_buffer("bias", bias.float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, 2H, 2W, hidden), or (B, H, W, hidden) without upsampling."""
        x = self.first(x)
        if not self.upsamples:
            hidden = functional.conv2d(x, self.weight, self.bias, padding=1)
            return hidden.float().permute(0, 2, 3, 1).contiguous()
        batch, _, height, width = x.shape
        out = x.new_empty(batch, 2 * height, 2 * width, len(self.bias), dtype=torch.float32)
        padded = functional.pad(x, (1, 1, 1, 1))
        for row in (0, 1):
            for column in (0, 1):
                part = padded[..., row : row + height + 1, column : column + width + 1]
                phase = functional.conv2d(part, self.weight[row, column], self.bias)
                out[:, row::2, column::2] = phase.permute(0, 2, 3, 1)
        up_bias = self.up_bias
        out[:, 0] -= up_bias[:, 0].sum(dim=1)
        out[:, -1] -= up_bias[:, 2].sum(dim=1)
        out[:, :, 0] -= up_bias[:, :, 0].sum(dim=1)
        out[:, :, -1] -= up_bias[:, :, 2].sum(dim=1)
        for row in (0, -1):
            for column in (0, -1):
                out[:, row, column] += up_bias[:, -row * 2, -column * 2]
        return out


def _phase_kernels(last: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Return the (2, 2, hidden, C, 2, 2) kernels of the four output parities.

    Output row 2 i + a reads rows 2 i + a + d, d = -1, 0, 1, of the doubled map, that is row
    floor((a + d) / 2) relative to i of the small map, in its parity (a + d) mod 2.

    Args:
        last: (hidden, M, 3, 3) convolution on the doubled map.
        up: (C, M, 2, 2) transposed convolution that doubles it.
    """
    kernels = last.new_zeros(2, 2, last.shape[0], up.shape[0], 2, 2)
    taps = [(a, d) for a in (0, 1) for d in (0, 1, 2)]
    for a, dy in taps:
        for b, dx in taps:
            product = torch.einsum(
                "hm,cm->hc", last[:, :, dy, dx], up[:, :, (a + dy - 1) % 2, (b + dx - 1) % 2]
            )
            # Rows are counted from the first one the phase reads: i - 1 for a = 0, i for a = 1.
            kernels[a, b, :, :, (a + dy - 1) // 2 + 1 - a, (b + dx - 1) // 2 + 1 - b] += product
    return kernels


class FoldedHead(nn.Module):
    """Expansion and semantic head in one, for one prediction mode."""

    def __init__(self, model: SceneDino, mode: str) -> None:
        """Multiply the head's first layers into the expansion's last one.

        Args:
            model: The plain network, with a semantic head.
            mode: One of ``config.PREDICTION_MODES``.
        """
        super().__init__()
        self.mode = mode
        self.expansion, self.semantics = model.expansion, model.semantics
        weight, bias = self.first_layers()
        with torch.no_grad():
            W, b = (
                self.expansion.linear_out.weight.double(),
                self.expansion.linear_out.bias.double(),
            )
            self.register_buffer("weight", (weight.double() @ W).T.float().contiguous())
            self.register_buffer("shift", (weight.double() @ b).float())
            self.register_buffer("bias", bias.float())
            self.register_buffer("gram", (W.T @ W).float())
            self.register_buffer("cross", (2 * W.T @ b).float())
            self.register_buffer("constant", (b @ b).float())

    def first_layers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (n, C) and bias (n,) of all layers that read the full feature."""
        head = self.semantics
        if self.mode.startswith("stego"):
            layers = [head.stego_head.linear_path[0], head.stego_head.nonlinear_path[0]]
            weight = torch.cat([layer.weight.flatten(1) for layer in layers])
            return weight, torch.cat([layer.bias for layer in layers])
        if self.mode == "direct_kmeans":
            centers = functional.normalize(head.direct_cluster_head.cluster_centers, dim=-1)
            return centers, centers.new_zeros(len(centers))
        probe = head.direct_linear_head.linear
        first = probe[0] if isinstance(probe, nn.Sequential) else probe
        return first.weight, first.bias

    def scores(self, feature: torch.Tensor) -> torch.Tensor:
        """Return the (N, n) scores of (N, F) point features, as `SemanticHead.scores` does."""
        h = functional.relu(self.expansion.linear_in(feature))
        square = ((h @ self.gram + self.cross) * h).sum(dim=-1, keepdim=True) + self.constant
        norm = square.clamp(min=1e-24).sqrt()
        first = torch.addmm(self.shift, h, self.weight).div_(norm).add_(self.bias)
        head = self.semantics
        if self.mode == "direct_kmeans":
            return first
        if self.mode == "direct_linear":
            probe = head.direct_linear_head.linear
            return probe[1:](first) if isinstance(probe, nn.Sequential) else first
        second = head.stego_head.nonlinear_path[2]
        code_dim = len(second.bias)
        activation = first[:, code_dim:].relu_()
        code = first[:, :code_dim] + activation @ second.weight.flatten(1).T + second.bias
        code = functional.normalize(code, dim=-1, eps=1e-10)
        cluster = self.mode.endswith("kmeans")
        return (head.stego_cluster_head if cluster else head.stego_linear_head)(code)

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) int64 labels and (N, n) scores of (N, F) point features."""
        scores = self.scores(feature)
        return self.semantics.labels(scores, self.mode), scores


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
