# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Describes the tensors of an official checkpoint that the network does not need."""

import re
from collections import Counter
from collections.abc import Iterable

# Kind, and what the name of a tensor of that kind matches; the first one counts.
_KINDS = (
    ("of another copy of the network", r"\.renderer\.net\."),
    ("of the target encoder", r"gt_encoder|gt_wrapper|gt_model|target_encoder|teacher"),
    ("of a perceptual loss", r"lpips|perceptual|\bvgg\d*\b|\bssim\b"),
    ("of a downsampler or upsampler", r"down_?sampl|up_?sampl"),
    ("of the backbone's own head or mask token", r"vit\.(mask_token|head|fc_norm|attn_pool)"),
    ("of a criterion", r"criteri(on|a)|(^|[._])loss(es)?\b"),
    ("of a ray sampler", r"(ray|point|patch)_?sampler|(^|\.)samplers?\."),
    ("that are constants of the positional code", r"code_xyz\."),
    (
        "that are buffers of training or visualisation",
        r"artifact_field|iter_idx|last_sched|num_batches_tracked|n_averaged|(^|[._])(buffer|"
        r"queue|memory|pca|vis|visuali[sz]\w*|colou?rs?|colou?r_?map|palette|knn|ema)s?(\b|_)",
    ),
    ("of heads that nothing reads", r"downstream_head\."),
)
_NAMED = 5  # unknown names in the line


def describe_left_out(names: Iterable[str]) -> str:
    """Return in one line how many tensors of which kinds are left out, empty for none.

    Args:
        names: Their plain official names.
    """
    names = list(names)
    if not names:
        return ""
    counts: Counter[str] = Counter()
    unknown = []
    for name in names:
        kind = next((kind for kind, pattern in _KINDS if re.search(pattern, name, re.I)), None)
        if kind is None:
            unknown.append(name)
        else:
            counts[kind] += 1
    parts = [f"{count} {kind}" for kind, count in counts.most_common()]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        parts.append(f"{len(unknown)} of unknown kinds: {', '.join(unknown[:_NAMED])}{more}")
    tensors = "tensor" if len(names) == 1 else "tensors"
    return f"{len(names)} {tensors} the network does not need: {', '.join(parts)}"
