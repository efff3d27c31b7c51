# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Several networks on the same weights, and the release of weights that nobody needs."""

import copy

from torch import nn

from scenedino_ros.network.model import SceneDino


def shared_copy(model: SceneDino) -> SceneDino:
    """Return a copy of a network whose tensors occupy the memory of the original's.

    Either may be moved, rounded or taken apart, which gives it tensors of its own; neither may
    be trained.
    """
    memo: dict[int, object] = {
        id(tensor): nn.Parameter(tensor.data, requires_grad=False) for tensor in model.parameters()
    }
    memo.update((id(tensor), tensor.detach()) for tensor in model.buffers())
    return copy.deepcopy(model, memo)


def release_image_part(model: SceneDino) -> None:
    """Drop encoder and decoder; copies of what is left release the checkpoint's file.

    Normalisation of images, positional code and expansion of the network stay usable.
    """
    setattr(model.encoder, model.encoder.part, nn.Identity())
    model.decoder = nn.Identity()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
