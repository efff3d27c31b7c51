# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A 2D segmentation network of the user, given as ONNX or TorchScript."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.engines.openvino_graph import openvino_core
from scenedino_ros.inference.engines.packages import require_openvino

ONNX, TORCHSCRIPT = ".onnx", (".pt", ".pth", ".ts", ".torchscript")
Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class SegmentationInput:
    """What a segmentation network takes, and what its classes are.

    Attributes:
        size: (height, width) to which images are resized, pixels; None: they keep their size.
        mean: Mean of RGB in [0, 1] that is subtracted.
        std: Standard deviation by which is divided then.
        ids: Train id of each class of the network, 255 for none; empty: class k has train id k.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # of ImageNet
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: If a mean or a standard deviation is not one of RGB in 0 to 1.
        """
        if not all(0 <= v <= 1 for v in self.mean) or not all(0 < v <= 1 for v in self.std):
            raise InputError(
                "mean and std must be those of RGB in 0 to 1 (divide those of 0 to 255 by 255), "
                f"got {self.mean} and {self.std}"
            )


class SegmentationNetwork:
    """Names the class of every pixel of an image."""

    def __init__(
        self, path: Path, form: SegmentationInput, n_classes: int, device: str = "auto"
    ) -> None:
        """Load a network.

        Args:
            path: An ONNX file, which OpenVINO runs on the processor, or a TorchScript archive.
                Neither holds Python code, but an archive has operations that write files: it is
                as trusted as a program.
            form: What it takes.
            n_classes: Number of classes of the maps; a train id beyond them is 255.
            device: ``auto``, ``cpu`` or ``cuda``, of TorchScript.

        Raises:
            InputError: If the file is neither, or cannot be read.
        """
        self._form = form
        self._device = torch.device("cpu")
        if path.suffix == ONNX:
            self._run = _onnx(path)
        elif path.suffix in TORCHSCRIPT:
            self._device = choose_device(device)
            self._run = _torchscript(path, self._device)
        else:
            known = ", ".join((ONNX, *TORCHSCRIPT))
            raise InputError(f"a segmentation network must end with one of {known}, got {path}")
        ids = np.full(1 << 16, IGNORE, np.uint8)
        named = form.ids or tuple(range(n_classes))
        ids[: len(named)] = [i if i < n_classes else IGNORE for i in named]
        self._ids = torch.from_numpy(ids)

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W) uint8 train ids of an (H, W, 3) uint8 image, 255 for no class.

        Scores are enlarged to the image before the best is taken.

        Raises:
            InputError: If the network fails, or answers with something that is no class map.
        """
        image = torch.from_numpy(np.array(rgb)).to(self._device)
        x = image.permute(2, 0, 1)[None].float() / 255
        if self._form.size is not None and tuple(x.shape[-2:]) != self._form.size:
            x = functional.interpolate(
                x, self._form.size, mode="bilinear", antialias=True, align_corners=False
            )
        mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (self._form.mean, self._form.std))
        scores = self._run((x - mean) / std)
        if scores.ndim != 4 or len(scores) != 1 or not 2 <= scores.shape[1] <= len(self._ids):
            raise InputError(
                "a segmentation network must answer with scores of shape (1, classes, height, "
                f"width), got {tuple(scores.shape)}"
            )
        if self._form.ids and len(self._form.ids) != scores.shape[1]:
            raise InputError(
                f"there must be one train id for each of the network's {scores.shape[1]} classes, "
                f"got {len(self._form.ids)}"
            )
        if scores.isnan().any():
            raise InputError("the segmentation network answers with scores that are no numbers")
        scores = functional.interpolate(
            scores.float(), rgb.shape[:2], mode="bilinear", align_corners=False
        )
        best: np.ndarray = self._ids[scores[0].argmax(dim=0).cpu()].numpy()
        return best


def _onnx(path: Path) -> Run:
    ov = require_openvino("a segmentation network in ONNX")
    try:
        network = openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as ONNX: {_first_line(error)}") from error

    shape, kind = network.inputs[0].partial_shape, network.inputs[0].element_type
    if len(network.inputs) != 1 or not kind.is_real():
        given = network.inputs
        got = ", ".join(f"{i.element_type.get_type_name()} {i.partial_shape}" for i in given)
        raise InputError(f"{path} must take one image of floating point numbers, got {got}")

    def run(x: torch.Tensor) -> torch.Tensor:
        if not shape.compatible(ov.PartialShape(list(x.shape))):
            raise InputError(
                f"{path} takes images of shape {shape}, got {tuple(x.shape)}; --input-size "
                "resizes images"
            )
        try:
            return torch.from_numpy(network(x.contiguous().numpy())[0].copy())
        except RuntimeError as error:
            raise InputError(f"{path} failed on {tuple(x.shape)}: {_first_line(error)}") from error

    return run


def _torchscript(path: Path, device: torch.device) -> Run:
    try:
        with warnings.catch_warnings():
            # Deprecated by PyTorch, but what people have of their segmentation networks.
            warnings.simplefilter("ignore", FutureWarning)
            network = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as TorchScript (weights alone are no network; torch.jit.trace "
            f"makes one): {_first_line(error)}"
        ) from error

    def run(x: torch.Tensor) -> torch.Tensor:
        try:
            answer = network(x)
        except RuntimeError as error:
            raise InputError(
                f"{path} failed on {tuple(x.shape)}; if it was traced for another size, give that "
                f"as --input-size: {_first_line(error)}"
            ) from error
        if not isinstance(answer, torch.Tensor):
            raise InputError(f"{path} must answer with one tensor, got {type(answer).__name__}")
        return answer

    return run


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
