# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Maps of the latest images, in half precision, as many as fit a memory budget."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch


class MapCache:
    """Computes maps of images, and keeps those of the latest images."""

    def __init__(self, megabytes: int) -> None:
        """Set the memory of the device for cached maps, MiB; 0: nothing is kept or rounded."""
        self._budget = megabytes << 20
        self._maps: OrderedDict[Hashable, torch.Tensor] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return the float32 map of an image, the same whether it was cached or not.

        Args:
            key: The same for the same image.
            compute: Returns the map; all maps have one size.
        """
        found = self._maps.pop(key, None)
        if found is None:
            found = compute()
            if self._budget:
                found = found.half()
        self._maps[key] = found
        size = found.numel() * found.element_size()
        while self._maps and len(self._maps) * size > self._budget:
            self._maps.popitem(last=False)
        return found.float()
