# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The network folded: the same result from less work, by algebra on the trained weights.

Six identities hold exactly, up to rounding:

* a 1x1 convolution commutes with bilinear upsampling, so it runs on the small map;
* the decoder's last convolution, the bilinear lookup (its weights sum to one) and the first
  layer of the point MLP are all linear, so the map can hold that layer's output directly; where
  that layer is wide, convolution and layer run one after the other on the map;
* a transposed convolution of stride 2 followed by a 3x3 one is four 2x2 convolutions of the
  small map, one for each parity of row and column;
* the points of a ray from the camera fall on one pixel, so everything but the depth's part of that
  first layer is computed once per ray;
* blending along a ray is linear, so hidden activations are blended and the last layer of the MLP
  runs once per ray instead of once per sample;
* with h the hidden layer of the expansion, the full feature is (W h + b) / |W h + b|, and the norm
  is |R h|, with W = Q R and b as a column of W, so the head's first layers act on h directly and
  the C-wide feature is never formed.
"""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.memory import return_freed_memory
from scenedino_ros.network.decoder import doubled
from scenedino_ros.network.folded_head import FieldHead, FoldedHead, linear_as
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.resnet import SkipDecoder, reflected
from scenedino_ros.network.strips import convolved, doubled_rows, padded_windows

# Channels added, of which the first is all ones: as many as a vector unit processes at a time.
_ONES = 16
# Bytes of a strip of the doubled map: small against the caches, large against a call's overhead.
_STRIP_BYTES = 1 << 20
# Bytes. Returning freed memory takes a tenth of a small frame, so only large maps do it.
_LARGE_MAP = 1 << 26


class FoldedSceneDino(nn.Module):
    """A network folded for inference; it shares encoder, decoder and head with the plain one."""

    def __init__(self, model: SceneDino, mode: str) -> None:
        """Fold a trained network; it must not be trained afterwards.

        Args:
            model: The plain network.
            mode: The prediction mode the head is folded for.
        """
        super().__init__()
        self.plain = model
        self.head: FoldedHead | FieldHead | None = None
        if model.config.has_semantics:
            model.config.check_mode(mode)
            self.head = FieldHead() if model.config.classes_in_field else FoldedHead(model, mode)
        lin_in = model.field.lin_in
        channels = model.config.decoder_width
        to_hidden = lin_in.weight[:, :channels], lin_in.bias
        self.tail: FoldedTail | FoldedConvTail
        if isinstance(model.decoder, SkipDecoder):
            self.tail = FoldedConvTail(model.decoder.last, *to_hidden)
        else:
            self.tail = FoldedTail(model.decoder.output_head.head_modules, *to_hidden)
        self.register_buffer("code_weight", lin_in.weight[:, channels:].T.contiguous())
        self.requires_grad_(False)

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Encode images up to the hidden layer of the point MLP, without the positional code.

        Args:
            image: (B, 3, H, W) RGB in [-1, 1].

        Returns:
            (B, H', W', hidden) map, channels last, in the precision of its last layer.
        """
        return self.upsampled(self.fuse(image))

    def upsampled(self, small: torch.Tensor) -> torch.Tensor:
        """Return what `hidden_map` returns, of what `fuse` returns."""
        if isinstance(self.tail, FoldedConvTail):
            return self.tail(small)
        wide = doubled(small) if self.plain.config.upsample_fusion else small
        return self.tail(self.plain.decoder.project(wide))

    def hidden_map_in_strips(
        self, image: torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Return what `hidden_map` returns, in less memory: only the last map exists as a whole.

        Args:
            image: (B, 3, H, W) RGB in [-1, 1].
            dtype: Type of the map, in which points are evaluated.
        """
        if isinstance(self.tail, FoldedConvTail):
            return self.hidden_map(image).to(dtype)
        small = self.fuse(image)
        batch, channels, height, width = small.shape
        doubles = self.plain.config.upsample_fusion
        between = 2 if doubles else 1
        scale = between * (2 if self.tail.upsamples else 1)
        size = (batch, scale * height, scale * width, len(self.tail.bias))
        result = torch.empty(size, dtype=dtype, device=small.device)
        is_large = result.nbytes >= _LARGE_MAP
        if is_large:
            return_freed_memory()  # of encoder and decoder, before the map is filled
        rows = max(2, _STRIP_BYTES // (4 * batch * channels * between * width))
        strips = doubled_rows(small, rows) if doubles else iter(small.split(rows, dim=2))
        for conv in (self.plain.decoder.project, self.tail.first):
            strips = convolved(strips, conv)
        row = 0
        for window in padded_windows(strips):
            part = self.tail.finish(window)
            result[:, row : row + part.shape[1]] = part
            row += part.shape[1]
        if is_large:
            return_freed_memory()
        return result

    def fuse(self, image: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) images up to the last map of the decoder that is still small.

        That of S4C's decoder has the size of the image.
        """
        return self.fuse_taps(self.plain.encoder(image))

    def fuse_taps(self, taps: list[torch.Tensor]) -> torch.Tensor:
        """Return what `fuse` returns, of what the encoder returns."""
        decoder = self.plain.decoder
        if isinstance(decoder, SkipDecoder):
            return decoder.fuse(taps)
        maps = decoder.reassemble_blocks(taps)
        running = None
        for block, conv in zip(decoder.fusion_blocks, reversed(decoder.convs), strict=True):
            merged = conv(maps.pop().contiguous(memory_format=torch.channels_last))
            if running is not None:
                # Refining the finer map before doubling the running one lowers the peak of memory.
                height, width = running.shape[-2:]
                merged = block.refine(merged, (2 * height, 2 * width))
                merged = merged + doubled(running)
            running = block.project(block.res_conv_unit2(merged))
        return running

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
        return self._hidden_sum(rows, index, weight, code).clamp_(min=0)

    def hidden_on_rays(
        self,
        rows: torch.Tensor,
        index: torch.Tensor,
        weight: torch.Tensor,
        code: torch.Tensor,
        depth_code: torch.Tensor,
    ) -> torch.Tensor:
        """Return the activations of points on rays from the position of the source camera.

        The points of a ray fall on one position in the image, so that only the depth's part of
        the sum before the activation differs among them.

        Args:
            rows: (H' * W', hidden) map of one image.
            index: (R, 4) int32 rows of the four neighbours of each ray.
            weight: (R, 4) their bilinear weights.
            code: (R, 3 + 6 F) positional code of a point of each ray.
            depth_code: (R, S, 1 + 2 F) depth's part of the code of each point.

        Returns:
            (R, S, hidden) activations.
        """
        of_rays = code.clone()
        of_rays[:, 2::3] = 0
        base = self._hidden_sum(rows, index, weight, of_rays)
        to_hidden = self.code_weight[2::3].to(rows.dtype)
        return (depth_code.to(rows.dtype) @ to_hidden).add_(base.unsqueeze(1)).clamp_(min=0)

    def _hidden_sum(
        self, rows: torch.Tensor, index: torch.Tensor, weight: torch.Tensor, code: torch.Tensor
    ) -> torch.Tensor:
        """Return what `hidden` returns, before the activation."""
        dtype = rows.dtype
        sampled = functional.embedding_bag(
            index, rows, per_sample_weights=weight.to(dtype), mode="sum"
        )
        return sampled.addmm_(code.to(dtype), self.code_weight.to(dtype))

    def density(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return (...) densities, 1/m, of (..., hidden) activations."""
        lin_out = self.plain.field.lin_out
        logit = hidden @ lin_out.weight[0].to(hidden.dtype)
        return functional.softplus(logit.float() + lin_out.bias[0])

    def blendable(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return (..., P) values of (..., hidden) activations that `feature` takes blended.

        They are the activations themselves, since the feature is linear in them; class
        probabilities are not, so those are computed before they are blended.
        """
        if not self.plain.config.classes_in_field:
            return hidden
        lin_out = self.plain.field.lin_out
        return linear_as(hidden, lin_out.weight[1:], lin_out.bias[1:]).float().softmax(dim=-1)

    def feature(self, hidden: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
        """Return (..., F) features of (..., P) values from `blendable`.

        Args:
            hidden: Those of points, or blended along rays.
            total: (...) sum of the blending weights; None for points.
        """
        if self.plain.config.classes_in_field:
            return hidden
        lin_out = self.plain.field.lin_out
        bias = lin_out.bias[1:]
        if total is None:
            return linear_as(hidden, lin_out.weight[1:], bias)
        return linear_as(hidden, lin_out.weight[1:]) + total.unsqueeze(-1) * bias


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
        first, double, last = head
        self.upsamples = isinstance(double, nn.ConvTranspose2d)
        self.last: nn.Conv2d | None = None
        if not self.upsamples and is_cheaper_apart(last, len(to_hidden)):
            self.first, self.last = first, last
            self.register_buffer("weight", to_hidden.detach().clone())
            self.register_buffer("bias", hidden_bias.detach().clone())
            return
        with torch.no_grad():
            to_hidden = to_hidden.double()
            weight = torch.einsum("hc,cmyx->hmyx", to_hidden, last.weight.double())
            bias = to_hidden @ last.bias.double() + hidden_bias.double()
            if self.upsamples:
                first = _with_ones(first)
                # The bias of the doubling ends at the map's border, as a channel of ones does.
                up = double.weight.double()  # (C, M, 2, 2)
                up_bias = up.new_zeros(_ONES, *up.shape[1:])
                up_bias[0] = double.bias.double().view(-1, 1, 1)
                weight = phase_kernels(weight, torch.cat([up, up_bias]))
        self.first = first
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", bias.float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, 2H, 2W, hidden), or (B, H, W, hidden) without upsampling."""
        return self.finish(functional.pad(self.first(x), (1, 1, 1, 1)))

    def finish(self, padded: torch.Tensor) -> torch.Tensor:
        """Map (B, C', H + 2, W + 2), the first layer's output, to what `forward` returns."""
        if self.last is not None:
            final = functional.conv2d(padded, self.last.weight, self.last.bias)
            return functional.linear(final.permute(0, 2, 3, 1), self.weight, self.bias)
        if not self.upsamples:
            hidden = functional.conv2d(padded, self.weight, self.bias)
            return hidden.permute(0, 2, 3, 1).contiguous()
        height, width = padded.shape[-2] - 1, padded.shape[-1] - 1
        phases = [
            functional.conv2d(
                padded[..., row : row + height, column : column + width],
                self.weight[row, column],
                self.bias,
            )
            for row in (0, 1)
            for column in (0, 1)
        ]
        stacked = torch.stack(phases).unflatten(0, (2, 2))  # (2, 2, B, hidden, H, W)
        return stacked.permute(2, 4, 0, 5, 1, 3).flatten(3, 4).flatten(1, 2)


def is_cheaper_apart(last: nn.Conv2d, hidden: int) -> bool:
    """Return whether a convolution and a layer of more units cost less one after the other."""
    taps = last.kernel_size[0] * last.kernel_size[1] * last.in_channels
    return taps * last.out_channels + last.out_channels * hidden < taps * hidden


class FoldedConvTail(nn.Module):
    """The last layer of S4C's decoder and the image part of the point MLPs' first layers."""

    def __init__(
        self, last: nn.Conv2d, to_hidden: torch.Tensor, hidden_bias: torch.Tensor
    ) -> None:
        """Multiply the layers into each other; arguments as for `FoldedTail`."""
        super().__init__()
        self.first = nn.Identity()
        with torch.no_grad():
            wide = to_hidden.double()
            weight = torch.einsum("hc,cmyx->hmyx", wide, last.weight.double())
            bias = wide @ last.bias.double() + hidden_bias.double()
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", bias.float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, H, W, hidden)."""
        hidden = functional.conv2d(reflected(x), self.weight, self.bias)
        return hidden.permute(0, 2, 3, 1).contiguous()


def _with_ones(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution with an additional output channel of ones, padded with zeros."""
    wider = nn.Conv2d(
        conv.in_channels, conv.out_channels + _ONES, 3, padding=1, device=conv.weight.device
    )
    for values in (wider.weight, wider.bias):
        values.zero_()
    wider.weight[: conv.out_channels] = conv.weight
    wider.bias[: conv.out_channels] = conv.bias
    wider.bias[conv.out_channels] = 1
    return wider


def phase_kernels(last: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
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


def bilinear_taps(
    uv_norm: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the four neighbours of positions in a map; positions outside get the border.

    Equals ``grid_sample`` with bilinear mode, border padding and ``align_corners=False``.

    Args:
        uv_norm: (N, 2) positions in [-1, 1] over the map.
        height: Rows of the map.
        width: Columns of the map.

    Returns:
        (N, 4) int32 flat indices and (N, 4) float32 weights that sum to one.
    """
    u, v = (((uv_norm.T[axis] + 1) * size - 1) / 2 for axis, size in enumerate((width, height)))
    u, v = u.clamp_(0, width - 1), v.clamp_(0, height - 1)
    x, y = u.int(), v.int()  # not negative, so this rounds down
    right, below = (x < width - 1).int(), (y < height - 1).int() * width
    index = torch.empty(len(uv_norm), 4, dtype=torch.int32, device=uv_norm.device)
    index[:, 0] = y * width + x
    torch.add(index[:, 0], right, out=index[:, 1])
    torch.add(index[:, 0], below, out=index[:, 2])
    torch.add(index[:, 1], below, out=index[:, 3])
    fx, fy = u - x, v - y
    weight = torch.empty(len(uv_norm), 4, dtype=uv_norm.dtype, device=uv_norm.device)
    both = torch.mul(fx, fy, out=weight[:, 3])
    torch.sub(fy, both, out=weight[:, 2])
    torch.sub(fx, both, out=weight[:, 1])
    torch.sub(1 - fx, weight[:, 2], out=weight[:, 0])
    return index, weight
