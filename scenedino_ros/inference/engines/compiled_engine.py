# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The folded network compiled by PyTorch: on a GPU one CUDA graph for the image part."""

import numpy as np
import torch

from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.model import SceneDino

_POINTS = 64  # classified once while compiling; other counts may follow


class CompiledEngine(TorchEngine):
    """`TorchEngine` with image part and head compiled; the rest gains nothing by it."""

    concurrent = False  # what is compiled shares its loops among PyTorch's threads

    def __init__(self, model: SceneDino, device: torch.device, precision: str, mode: str) -> None:
        """Fold a network, move it to a device and compile it; it must not be trained afterwards.

        Args:
            model: The plain network.
            device: Where it runs.
            precision: As for `TorchEngine`.
            mode: Which head names the classes.

        Raises:
            InputError: If there is no such precision, or no compiler.
        """
        super().__init__(model, device, precision, mode)
        # CUDA graphs: the launches of some hundred kernels become one.
        how = "reduce-overhead" if device.type == "cuda" else "default"
        head = self.network.head
        try:
            self._image_part = torch.compile(self.network.hidden_map, mode=how)
            if head is not None:
                self._name_classes = torch.compile(head.name_classes, dynamic=True)
            self._run_once(model.config)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # any error of the compiler, whose module writes on import
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"engine compiled could not compile the network: {reason}") from error
        except OSError as error:
            raise InputError(
                f"engine compiled cannot write its files ({error}); set TORCHINDUCTOR_CACHE_DIR "
                "to a folder that is writable"
            ) from error

    @torch.inference_mode()
    def _run_once(self, config: ModelConfig) -> None:
        """Compile now, not at the first image: for its layout, and for both types of features."""
        self.hidden_map(image_tensor(np.zeros((*config.image_size, 3), np.uint8), self._device))
        if self.network.head is not None:
            for dtype in {self._map_type, torch.float32}:  # of points, and blended along rays
                size = (_POINTS, config.feature_dim)
                self.classify(torch.zeros(size, dtype=dtype, device=self._device))

    def describe(self) -> str:
        """Return a few words on what runs the network."""
        return f"compiled {super().describe()}"

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (H', W', hidden) map of a (1, 3, H, W) image in [-1, 1]."""
        torch.compiler.cudagraph_mark_step_begin()
        with self._arithmetic():
            result = self._image_part(image)[0]
        # The next image is written over what a CUDA graph returned.
        return result.to(self._map_type, copy=image.device.type == "cuda")

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) class ids and (N,) confidences in [0, 1] of (N, F) features.

        Raises:
            InputError: If the network has no semantic head.
        """
        if self.network.head is None:
            return super().classify(feature)
        return self._name_classes(feature)
