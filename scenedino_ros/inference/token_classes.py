# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Classes of an image from a checkpoint's encoder and semantic head alone, without its field."""

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model
from scenedino_ros.core.errors import InputError
from scenedino_ros.inference.device import choose_device


class TokenClasses:
    """Names the class of every pixel by the tokens of the image, as STEGO does.

    The semantic head should be one that was trained on tokens (``features: image`` of stage 2).
    """

    def __init__(self, checkpoint: Checkpoint, mode: str, device: str = "auto") -> None:
        """Build encoder and head.

        Args:
            checkpoint: A network with a semantic head.
            mode: Which head names the classes.
            device: ``auto``, ``cpu`` or ``cuda``.

        Raises:
            InputError: If there is no such head.
        """
        config = checkpoint.config
        config.check_mode(mode)
        if not config.has_semantics or config.classes_in_field:
            raise InputError(
                "classes of tokens need a checkpoint with a semantic head, this one has none"
            )
        self._mode, self._size = mode, config.image_size
        self._device = choose_device(device)
        model = build_model(checkpoint)
        self._encoder, self._head = (
            model.encoder.to(self._device),
            model.semantics.to(self._device),
        )

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W) uint8 classes of an (H, W, 3) uint8 image.

        Scores are enlarged to the image before the best is taken.
        """
        x = image_tensor(np.array(rgb), self._device)
        if tuple(x.shape[-2:]) != tuple(self._size):
            x = functional.interpolate(
                x, self._size, mode="bilinear", antialias=True, align_corners=False
            )
        tokens = self._encoder(x)[-1][0].movedim(0, -1)
        scores = self._head.scores(tokens, self._mode).movedim(-1, 0)[None]
        enlarged = functional.interpolate(
            scores, rgb.shape[:2], mode="bilinear", align_corners=False
        )
        label = self._head.labels(enlarged[0].movedim(0, -1), self._mode)
        classes: np.ndarray = label.to(torch.uint8).cpu().numpy()
        return classes
