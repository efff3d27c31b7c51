# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How far two correct float32 implementations may be apart, by the conditioning of each quantity.

Rounding depends on the processor: on the width of its vectors, fused multiply-adds, the order of
sums. What rounding does to a quantity depends on the quantity: half a metre from the camera a
depth that is off by its last bit turns the fastest sine of the positional code by a thousandth.
So every value has a tolerance of its own, that of the golden vectors plus four standard
deviations over some draws, computed in float64, in which each intermediate position is moved by
what its float32 roundings amount to. A flag is undecided where a border is nearer than that.

Source: Parker, Monte Carlo Arithmetic, 1997. n roundings in a row amount to about the root of n
of them (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019), relative
to the sum of the terms' magnitudes.
"""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.network.field import MIN_DEPTH
from scenedino_ros.network.folded import bilinear_taps
from scenedino_ros.network.model import SceneDino

TOLERANCE = 1e-4  # absolute and relative; what the golden vectors suggest for the network
UNIT = torch.finfo(torch.float32).eps / 2  # a rounding is at most this, relative to its result
# Roundings in a row.
_POINT = 2  # origin + distance * direction, where the point is on a ray
_POSE = 4 + 4  # the pose's inverse, and the product with a homogeneous point
_INTRINSICS = 3 + 1  # the product with K, and the division by depth
_PIXEL = 3  # from [-1, 1] to pixels of the map: sum, product, sum
_PHASE = 3  # frequency times coordinate, shifted by a quarter turn, and the sine itself
_DEPTH_CODE = 5  # inverse, difference, quotient, product, difference
DRAWS = 8
DEVIATIONS = 4  # standard deviations; among a million values one is beyond 4.9


def rounded(steps: int) -> float:
    """Return what a number of roundings in each of two implementations may amount to."""
    return UNIT * math.sqrt(2 * steps)


class Rounding:
    """What rounding adds in one draw, or nothing."""

    def __init__(self, seed: int | None) -> None:
        self._generator = None if seed is None else torch.Generator().manual_seed(seed)

    def of(self, size: torch.Tensor) -> torch.Tensor:
        if self._generator is None:
            return torch.zeros_like(size)
        return size * torch.randn(size.shape, generator=self._generator, dtype=size.dtype)


Values = dict[str, torch.Tensor]


@torch.inference_mode()
def spread(evaluate: Callable[[Rounding], Values], draws: int = DRAWS) -> Values:
    """Return how far rounding may move each value, element by element.

    Args:
        evaluate: Computes the values in float64 under one draw of rounding.
        draws: How many draws the standard deviation is taken over.
    """
    exact = evaluate(Rounding(None))
    squares = {name: torch.zeros_like(value) for name, value in exact.items()}
    for seed in range(draws):
        for name, value in evaluate(Rounding(seed)).items():
            squares[name] += (value - exact[name]) ** 2
    return {name: DEVIATIONS * (total / draws).sqrt() for name, total in squares.items()}


def camera_points(
    points: torch.Tensor, T_world_cam: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B, N, 3) points in the frames of (B, 4, 4) cameras, and what each may be off by."""
    points, T_world_cam = points.double(), T_world_cam.double()
    T = torch.linalg.inv(T_world_cam)
    R, t = T[:, :3, :3], T[:, None, :3, 3]
    exact = points @ R.transpose(1, 2) + t
    magnitude = points.abs() + T_world_cam[:, None, :3, 3].abs()
    return exact, rounded(_POINT + _POSE) * (magnitude @ R.abs().transpose(1, 2))


def undecided(
    points: torch.Tensor, K_norm: torch.Tensor, T_world_cam: torch.Tensor
) -> torch.Tensor:
    """Return (B, N) bool: within rounding of a border of the view, either answer is right.

    Args:
        points: (B, N, 3) world points, metres.
        K_norm: (B, 3, 3) intrinsics for coordinates in [-1, 1].
        T_world_cam: (B, 4, 4) camera poses.
    """
    cam, off = camera_points(points, T_world_cam)
    K = K_norm.double().transpose(1, 2)
    q, off = cam @ K, off @ K.abs() + rounded(_INTRINSICS) * (cam.abs() @ K.abs())
    off = DEVIATIONS * off
    depth, depth_off = q[..., 2:], off[..., 2:]
    at_side = ((q[..., :2].abs() - depth).abs() <= off[..., :2] + depth_off).any(-1)
    return at_side | ((depth - MIN_DEPTH).abs() <= depth_off)[..., 0]


class ExactField:
    """The field in float64 on a given feature map, at positions as float32 may round them."""

    def __init__(
        self,
        model: SceneDino,
        feature_map: torch.Tensor,
        K_norm: torch.Tensor,
        T_world_cam: torch.Tensor,
    ) -> None:
        """Take the network over.

        Args:
            model: The network.
            feature_map: (B, D, H', W') of its decoder.
            K_norm: (B, 3, 3) intrinsics for coordinates in [-1, 1].
            T_world_cam: (B, 4, 4) camera poses.
        """
        self._field = copy.deepcopy(model.field).double()
        self._code, self._map = model.code, feature_map
        self._K, self._T_world_cam = K_norm.double(), T_world_cam

    def __call__(self, points: torch.Tensor, rounding: Rounding) -> Values:
        """Return what the field is at (B, N, 3) world points.

        Returns:
            ``sampled``, (B, N, D) of the map, ``code``, (B, N, K), ``density``, (B, N), and
            ``feature``, (B, N, F).
        """
        cam, off = camera_points(points, self._T_world_cam)
        cam = cam + rounding.of(off)
        K = self._K.transpose(1, 2)
        depth = cam[..., 2].clamp(min=MIN_DEPTH)
        uv_norm = (cam @ K)[..., :2] / depth.unsqueeze(-1)
        size = (cam.abs() @ K.abs())[..., :2] / depth.unsqueeze(-1)
        uv_norm = (uv_norm + rounding.of(rounded(_INTRINSICS) * size)).clamp(-2, 2)
        # Only outwards: the code clamps depths, and the rounding of a phase must not vanish there.
        outwards = rounding.of(torch.full_like(depth, rounded(_PHASE + _DEPTH_CODE))).abs()
        code = self._code(
            uv_norm + rounding.of(rounded(_PHASE) * (uv_norm.abs() + 1)), depth * (1 + outwards)
        )
        found = uv_norm + rounding.of(rounded(_PIXEL) * (uv_norm.abs() + 1))
        sampled = self._sampled(found)
        logit, feature = self._field(sampled, code)
        density = functional.softplus(logit)
        return {"sampled": sampled, "code": code, "density": density, "feature": feature}

    def _sampled(self, uv_norm: torch.Tensor) -> torch.Tensor:
        sampled = []
        for one_map, positions in zip(self._map, uv_norm, strict=True):
            index, share = bilinear_taps(positions, *one_map.shape[1:])
            rows = one_map.flatten(1)
            taps = (rows[:, i].double() * s for i, s in zip(index.T, share.T, strict=True))
            sampled.append(sum(taps).T)
        return torch.stack(sampled)


@torch.inference_mode()
def undecided_voxels(
    model: SceneDino,
    feature_map: torch.Tensor,
    K_norm: torch.Tensor,
    points_cam: torch.Tensor,
    mode: str,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where either class is right, and where filled and empty are both right, on SSCBench.

    Args:
        model: The network.
        feature_map: (1, D, H', W') of its decoder.
        K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
        points_cam: (N, P, 3) centres of N voxels and of those it may grow from, itself first.
        mode: How classes are told.
        threshold: Density from which a voxel is filled, 1/m.

    Returns:
        (N,) bool, the two best classes are as close as that; (N,) bool, the largest density of
        its points is that close to the threshold.
    """
    exact = ExactField(model, feature_map, K_norm[None], torch.eye(4)[None])
    heads = copy.deepcopy(model).double()

    def evaluate(rounding: Rounding) -> Values:
        field = exact(points_cam.flatten(0, 1)[None], rounding)
        feature = field["feature"][0].unflatten(0, points_cam.shape[:2])
        density = field["density"][0].view(points_cam.shape[:2])
        scores = heads.classify(feature[:, 0], mode)[1]
        return {"score": scores, "density": density.amax(1), "own": density[:, 0]}

    values, widest = evaluate(Rounding(None)), spread(evaluate)
    best, second = values["score"].topk(2, dim=-1).values.T
    tie = best - second <= 2 * (TOLERANCE * (1 + best.abs()) + widest["score"].amax(-1))
    # A voxel whose opacity rounds to nothing gets the first class.
    opacity = values["own"] * ssc.GRID.voxel_size
    tie |= (opacity > UNIT / 4) & (opacity < 4 * UNIT)
    off = TOLERANCE * (1 + threshold) + widest["density"]
    return tie.numpy(), ((values["density"] - threshold).abs() <= off).numpy()


def grown_points(grid: np.ndarray, wanted: np.ndarray) -> torch.Tensor:
    """Return the (N, 27, 3) centres of the N wanted voxels and those they may grow from.

    Args:
        grid: (X, Y, Z, 3) all centres.
        wanted: (X, Y, Z) bool.
    """
    steps = np.stack(np.meshgrid(*[(0, -1, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    near = np.clip(np.argwhere(wanted)[:, None] + steps, 0, np.array(wanted.shape) - 1)
    return torch.from_numpy(grid[tuple(near.transpose(2, 0, 1))])


def undecided_pixels(points_cam: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    """Return (N,) bool: rounding decides whether (N, 3) points, rounded to float32, are seen."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = camera.project(points_cam)
        size = np.abs(points_cam) @ np.abs(camera.K).T / np.abs(points_cam[:, 2:])
    off = 2 * UNIT * size[:, :2]  # one rounding of each coordinate, its own and the depth's
    last = np.array([camera.width, camera.height]) - 0.5
    at_side = (np.abs(pixels + 0.5) <= off) | (np.abs(pixels - last) <= off)
    return at_side.any(axis=1) | (np.abs(points_cam[:, 2]) <= 1e-12)
