# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Optical flow between two frames: by RAFT, exact from depth and pose, or by DIS."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.models.optical_flow import Raft_Large_Weights, raft_large

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints.pretrained import read_weights
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.evaluation.depth.lidar_depth import pixel_directions
from scenedino_ros.inference.device import choose_device

# From the first (h, w, 3) uint8 image to the second: (2, h, w) float32, x and y, pixels.
Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]


def raft_weights(file: Path | None) -> Path | None:
    """Return the file of RAFT's weights: the one given, or the one torchvision has fetched."""
    if file is not None:
        return file
    name = Path(Raft_Large_Weights.DEFAULT.url).name
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    return cached if cached.is_file() else None


def raft_flow(file: Path, device: str) -> Flow:
    """Build RAFT large.

    Args:
        file: torchvision's weights, ``.pth`` or ``.safetensors``.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        CheckpointError: If the weights cannot be read or do not fit.

    Source: Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, 2020.
    """
    where = choose_device(device)
    network = raft_large(weights=None)
    try:
        network.load_state_dict(read_weights(file))
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        raise CheckpointError(f"{file} does not hold weights of RAFT large: {reason}") from error
    network.eval().to(where)

    @torch.inference_mode()
    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape[:2]
        if height % 8 or width % 8 or min(height, width) < 128:
            raise InputError(
                f"RAFT needs sides of at least 128 px in steps of 8, got {width} x {height} px"
            )
        pair = (image_tensor(image, where) for image in (first, second))
        return network(*pair)[-1][0].cpu().numpy()

    return flow


def dis_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return OpenCV's DIS flow.

    Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016.
    """
    one, other = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second))
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.moveaxis(method.calc(one, other, None), -1, 0)


def exact_flow(depth: np.ndarray, camera: PinholeCamera, T_second_first: np.ndarray) -> np.ndarray:
    """Return the flow of a static scene.

    Args:
        depth: (h, w) z-depth of the first frame, metres; 0 where unknown.
        camera: Camera of both frames, h x w pixels.
        T_second_first: (4, 4) camera of the first frame to that of the second.

    Returns:
        (2, h, w) float32, x and y, pixels; not a number where depth is unknown or the point is
        behind the second camera.
    """
    points = pixel_directions(camera) * depth[..., None].astype(np.float64)
    points = points @ T_second_first[:3, :3].T + T_second_first[:3, 3]
    known = (depth > 0) & (points[..., 2] > 0)
    uv = camera.project(np.where(known[..., None], points, 1.0))
    v, u = np.mgrid[: camera.height, : camera.width]
    # A pixel stands for positions from its index to the next one: its middle is at + 0.5.
    flow = uv - np.stack([u, v], axis=-1) - 0.5
    flow[~known] = np.nan
    return np.moveaxis(flow, -1, 0).astype(np.float32)


@dataclass(frozen=True)
class FlowChoice:
    """Which flow is used.

    Attributes:
        name: ``raft``, ``exact`` or ``dis``.
        weights: File of RAFT's weights.
    """

    name: str
    weights: Path | None = None

    @property
    def words(self) -> str:
        """What it is, for the report."""
        return {
            "raft": f"RAFT large of torchvision ({self.weights and self.weights.name})",
            "exact": "exact flow of the static scene, from the depth and the poses of the data",
            "dis": "OpenCV's DIS flow (no weights of RAFT were found)",
        }[self.name]

    def open(self, device: str) -> Flow:
        """Build what estimates the flow between two images.

        Raises:
            CheckpointError: If weights of RAFT cannot be read.
        """
        if self.name == "raft" and self.weights is not None:
            return raft_flow(self.weights, device)
        return dis_flow


def choose_flow(name: str, weights: Path | None, *, has_depth: bool) -> FlowChoice:
    """Return the flow of that name; ``auto`` takes the first available of exact, RAFT and DIS.

    Args:
        name: ``auto``, ``raft``, ``exact`` or ``dis``.
        weights: File of RAFT's weights, None: where torchvision keeps them.
        has_depth: Whether the data has depth and poses of both frames.

    Raises:
        InputError: If the data or the weights for this flow are missing.
    """
    found = raft_weights(weights)
    if name == "auto":
        name = "exact" if has_depth else "raft" if found else "dis"
    if name == "exact" and not has_depth:
        raise InputError("exact flow needs depth and poses for all frames; this data has none")
    if name == "raft" and found is None:
        raise InputError("RAFT needs its weights: give the file with --raft-weights")
    return FlowChoice(name, found if name == "raft" else None)
