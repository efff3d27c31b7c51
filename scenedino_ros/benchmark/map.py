# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the rolling map over the size of its box, and watches its memory over many images."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.benchmark.bench import percentiles, timed
from scenedino_ros.benchmark.job import machine_facts
from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core.config import MapSettings
from scenedino_ros.core.costs import ClassCosts
from scenedino_ros.core.memory import MIB, resident_memory, return_freed_memory
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.query import EncodedImage
from scenedino_ros.mapping.ground import find_ground, occupancy_values
from scenedino_ros.mapping.rolling_map import Field, RollingMap
from scenedino_ros.viewing.plots import bar_plot

_ASKED = ("density", "surfaces", "classes")  # what the network answers while an image is fused
STEPS = ("fuse", *_ASKED, "rest", "voxels", "grid")
_PERIOD_NS = 100_000_000  # 10 Hz
_STEP = 0.8  # metres from one image to the next: 8 m/s
_TURN = np.radians(0.2)  # from one image to the next
_CAMERA_HEIGHT = 1.55  # metres above the road
_BELOW = 2.4  # metres that the box reaches below the camera
_PUBLISHED_EVERY = 10  # images: once a second, as the node does
# Optical axes (x right, y down, z forward) in the map's frame (x forward, y left, z up).
_R_MAP_CAM = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True)
class MapJob:
    """What is measured.

    Attributes:
        network: The network.
        sizes: Lengths of the box along x, y and z, metres.
        voxel_size: Edge length of the voxels, metres.
        frames: Images that are fused, after one that is not counted.
        image: Picture as KITTI-360's cameras take it; empty: noise of that size.
        road_only: Let a flat road, which costs nearly nothing, answer instead of the network.
    """

    network: NetworkChoice
    sizes: tuple[tuple[float, float, float], ...]
    voxel_size: float
    frames: int
    image: str = ""
    road_only: bool = False


def measure_map(job: MapJob, report: Callable[[str], None]) -> dict[str, Any]:
    """Fuse one image again and again while the camera drives along a wide curve.

    Args:
        job: What to measure.
        report: Called with a few words on each step.

    Returns:
        Plain values: machine, job, the milliseconds of encoding the image, and per size of the
        box: its voxels, the voxels asked in an image and published in the end, the p50 and p95 of
        each of the `STEPS` in milliseconds (``density``, ``surfaces`` and ``classes`` are the
        network's part of ``fuse``, ``rest`` the map's; ``voxels`` and ``grid`` are computed for
        the messages of the map), the p50 of ``fuse`` over the first and the last tenth of the
        images, the MiB of the map, and the resident MiB of the process after the first and after
        the last tenth.

    Raises:
        InputError: If a size or the image cannot be used.
    """
    report("building the network")
    predictor = job.network.predictor()
    shape = (ssc.CAMERA.height, ssc.CAMERA.width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rgb = read_rgb(Path(job.image)) if job.image else noise
    camera = CalibratedCamera(ssc.CAMERA.resized(rgb.shape[1], rgb.shape[0]))
    predictor.encode(rgb, camera)
    start = time.perf_counter()
    encoded = predictor.encode(rgb, camera)
    encode = time.perf_counter() - start
    answers: Field = Road() if job.road_only else predictor
    device, costs = choose_device(job.network.device), ClassCosts.of(predictor.classes)
    results = []
    for size in job.sizes:
        settings = MapSettings(
            frame="map", size=size, voxel_size=job.voxel_size, below=min(size[2], _BELOW)
        )
        bench = _MapBench(RollingMap(settings, device), answers, encoded, costs)
        name = " x ".join(f"{length:g}" for length in size)
        results.append({"size [m]": list(size), **bench.measure(job.frames, name, report)})
    return {
        "machine": machine_facts(job.network.device),
        "weights": "a flat road, no network" if job.road_only else predictor.weights,
        "job": asdict(job),
        "encode [ms]": 1000 * encode,
        "results": results,
    }


def plot_map(path: Path, figures: dict[str, Any]) -> None:
    """Write the p50 of each step over the sizes, the figures of `measure_map`."""
    names = ["x".join(f"{each:g}" for each in row["size [m]"]) for row in figures["results"]]
    series = {step: [row[f"{step} p50 [ms]"] for row in figures["results"]] for step in STEPS}
    bar_plot(path, [f"{name} m" for name in names], series, unit="p50 [ms]")


class Road:
    """A field that knows the camera's height above a flat road, and nothing else."""

    density_threshold = 0.5

    def densities_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> torch.Tensor:
        """Return (N,) densities, 1/m: 2 below the road, else 0.1."""
        K = encoded.camera.K_norm
        below = (uv_norm[:, 1] - float(K[1, 2])) / float(K[1, 1]) * depth
        return torch.where(below > _CAMERA_HEIGHT, 2.0, 0.1)

    def classes_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class 0, which is road, and full confidence."""
        return torch.zeros_like(depth, dtype=torch.uint8), torch.ones_like(depth)

    def rendered_depth(self, encoded: EncodedImage, *, downscale: int) -> torch.Tensor:
        """Return the (h, w) depths of the road, metres; above the horizon they are infinite."""
        K, camera = encoded.camera.K_norm, encoded.camera
        height, width = camera.height // downscale, camera.width // downscale
        row = (torch.arange(height) + 0.5) / height * 2 - 1
        slope = (row - float(K[1, 2])) / float(K[1, 1])
        depth = torch.where(slope > 0, _CAMERA_HEIGHT / slope, torch.inf)
        return depth[:, None].expand(height, width)


@dataclass
class _Timed:
    """Times the answers of a field.

    Attributes:
        answers: The field.
        seconds: By step, since the last time that it was cleared.
    """

    answers: Field
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def density_threshold(self) -> float:
        return self.answers.density_threshold

    def densities_in_view(self, *arguments: Any) -> torch.Tensor:
        with timed(self.seconds, "density"):
            return self.answers.densities_in_view(*arguments)

    def classes_in_view(self, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        with timed(self.seconds, "classes"):
            return self.answers.classes_in_view(*arguments)

    def rendered_depth(self, encoded: EncodedImage, *, downscale: int) -> torch.Tensor:
        with timed(self.seconds, "surfaces"):
            return self.answers.rendered_depth(encoded, downscale=downscale)


class _MapBench:
    """One map that is driven through, with the time of every step."""

    def __init__(
        self, fused: RollingMap, answers: Field, encoded: EncodedImage, costs: ClassCosts
    ) -> None:
        self._map, self._field, self._encoded, self._costs = fused, _Timed(answers), encoded, costs

    def measure(self, frames: int, name: str, report: Callable[[str], None]) -> dict[str, Any]:
        """Fuse so many images; return the figures of `measure_map` for one size."""
        fusing, publishing, resident = [], [], [0.0, 0.0]
        tenth = max(1, frames // 10)
        for number in range(frames + 1):
            if number % tenth == 0:
                report(f"{name} m, image {number} of {frames}")
            asked, seconds = self._fuse(number)
            if number:  # the first image is not counted
                fusing.append(seconds)
            if number % _PUBLISHED_EVERY == 0 or number == frames:
                published, seconds = self._publish()
                publishing.append(seconds)
            if number in (tenth, frames):
                return_freed_memory()
                resident[number == frames] = resident_memory()
        first, last = fusing[:tenth], fusing[-tenth:]
        return {
            "voxels": int(np.prod(self._map.box.shape)),
            "voxels asked": asked,
            "voxels published": published,
            **percentiles(fusing),
            **percentiles(publishing),
            "fuse p50, first tenth [ms]": percentiles(first)["fuse p50 [ms]"],
            "fuse p50, last tenth [ms]": percentiles(last)["fuse p50 [ms]"],
            "map [MiB]": self._map.memory() / MIB,
            "resident, first tenth [MiB]": resident[0],
            "resident, end [MiB]": resident[1],
        }

    def _fuse(self, number: int) -> tuple[int, dict[str, float]]:
        """Return the number of voxels that were asked, and the seconds of each step."""
        spent = dict.fromkeys(_ASKED, 0.0)
        self._field.seconds = spent
        T = T_map_cam(number)
        self._under_camera = T[:3, 3] - (0.0, 0.0, _CAMERA_HEIGHT)
        with timed(spent, "fuse"):
            fusion = self._map.fuse(self._field, self._encoded, T, number * _PERIOD_NS)
        spent["rest"] = spent["fuse"] - sum(spent[step] for step in _ASKED)
        return fusion.asked, spent

    def _publish(self) -> tuple[int, dict[str, float]]:
        """Return the number of voxels for the messages, and the seconds of each step."""
        settings, spent = MapSettings(), dict[str, float]()
        with timed(spent, "voxels"):
            voxels = self._map.occupied(exposed_only=settings.exposed_only)
        with timed(spent, "grid"):
            volume = self._map.volume()
            ground = find_ground(volume, self._costs, self._under_camera)
            occupancy_values(volume, ground, self._costs, settings.obstacle_heights)
        return len(voxels), spent


def T_map_cam(number: int) -> np.ndarray:
    """Return the (4, 4) pose of the camera at an image: along a circle of 230 m, level."""
    yaw, radius = number * _TURN, _STEP / _TURN
    cos, sin = np.cos(yaw), np.sin(yaw)
    T = np.eye(4)
    T[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ _R_MAP_CAM
    T[:3, 3] = (radius * sin, radius * (1 - cos), 0.0)
    return T
