# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Arrays in, semantic voxels and rendered views out; computes only what is asked for."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image import ImagePreprocessor, image_tensor
from scenedino_ros.cameras.plausibility import training_rig
from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model
from scenedino_ros.core.config import (
    REPRODUCIBLE_PRECISION,
    InputSettings,
    ModelSettings,
    RenderSettings,
)
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.labels import IGNORE, SKY
from scenedino_ros.core.memory import is_out_of_memory
from scenedino_ros.core.ray_spacing import LOGARITHMIC
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.inference.device import (
    Chunks,
    choose_device,
    chunk_bytes,
    device_memory,
    device_name,
    memory_error,
    return_unused_memory,
)
from scenedino_ros.inference.engines.engine import MakeEngine
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.inference.feature_colors import FeatureColors
from scenedino_ros.inference.grid_view import bytes_per_class
from scenedino_ros.inference.point_queries import PointQueries
from scenedino_ros.inference.query import EncodedImage, RenderedView, VoxelQuery
from scenedino_ros.inference.view_renderer import Sampling, ViewRenderer

# A ray of which less than half is stopped within the depth range meets no surface there.
_LEAST_OPACITY = 0.5


class Predictor:
    """A network on a device, with the caches that make repeated queries cheap."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = ModelSettings.device,
        precision: str = REPRODUCIBLE_PRECISION,
        mode: str = ModelSettings.mode,
        fit: str = InputSettings.fit,
        memory_budget: int = ModelSettings.memory_budget,
        n_cameras: int = 1,
        make_engine: MakeEngine = TorchEngine,
    ) -> None:
        """Build the network and move it to its device.

        Args:
            checkpoint: Weights, configuration and classes.
            device: ``auto``, ``cpu`` or ``cuda``.
            precision: ``float32`` or ``bfloat16``, see `TorchEngine`.
            mode: Which head names the classes.
            fit: How images of another aspect ratio are fitted, see `ImagePreprocessor`.
            memory_budget: Working memory of point queries, MiB; 0: see `chunk_bytes`.
            n_cameras: Number of cameras that take turns; see `PointQueries`.
            make_engine: Makes what runs the network.

        Raises:
            CheckpointError: If the weights do not fit their configuration.
            InputError: If a setting is unknown or the device is not there.
        """
        checkpoint.config.check_mode(mode)
        self._device = choose_device(device)
        model = build_model(checkpoint)
        for name, value in model.named_parameters():
            if not torch.isfinite(value).all():
                raise CheckpointError(f"the weights of {name} are not all finite numbers")
        self._engine = make_engine(model, self._device, precision, mode)
        # From rendered to full features; a copy, since the original holds the checkpoint's file.
        self.expansion = copy.deepcopy(model.expansion).to(self._device)
        self.config = checkpoint.config
        self.classes = checkpoint.classes
        self.density_threshold = checkpoint.density_threshold
        self.image_size = checkpoint.config.image_size
        self.weights = checkpoint.weights
        self.mode = mode
        self.training_rig = training_rig(checkpoint.provenance)
        self._preprocess = ImagePreprocessor(self.image_size, fit, n_cameras)
        budget = chunk_bytes(memory_budget, self._device)
        self._chunks = Chunks(self._device, budget, concurrent=self._engine.concurrent)
        field = self._engine, model.code.to(self._device), self.config, self._chunks
        self._queries = PointQueries(*field, n_cameras)
        self._renderer = ViewRenderer(*field, n_cameras)
        self._feature_colors: FeatureColors | None = None

    @property
    def torch_device(self) -> torch.device:
        """The device the network is on, and where answers are that stay on it."""
        return self._device

    @property
    def device(self) -> str:
        """Name of the device the network is on."""
        return device_name(self._device)

    @property
    def engine(self) -> str:
        """A few words on what runs the network."""
        return self._engine.describe()

    def encode(self, rgb: np.ndarray, camera: CalibratedCamera) -> EncodedImage:
        """Run encoder and decoder on an image.

        Args:
            rgb: (h, w, 3) uint8 RGB as the camera took it.
            camera: Its calibration.

        Raises:
            InputError: If image and calibration do not fit each other.
            OutOfMemoryError: If the image does not fit into memory.
        """
        with self._memory_errors("encoding an image"):
            picture = self._preprocess(rgb, camera)
            rows, map_size = self._hidden_rows(picture.rgb)
        return EncodedImage(picture.rgb, picture.camera, rows, map_size, picture.kept)

    @torch.inference_mode()
    def _hidden_rows(self, rgb: np.ndarray) -> tuple[torch.Tensor, tuple[int, int]]:
        hidden = self._engine.hidden_map(image_tensor(rgb, self._device))
        return hidden.flatten(0, 1), (hidden.shape[0], hidden.shape[1])

    @torch.inference_mode()
    def voxels(
        self,
        encoded: EncodedImage,
        grid: VoxelGrid,
        T_grid_cam: np.ndarray | None = None,
        query: VoxelQuery | None = None,
    ) -> SemanticVoxels:
        """Find the occupied voxels of a grid and their classes.

        Args:
            encoded: The encoded image.
            grid: Where to look.
            T_grid_cam: (4, 4) camera pose in the grid frame, metres; None: the grid lies in the
                optical frame.
            query: What counts as occupied; None: voxels from the checkpoint's threshold on.

        Returns:
            The occupied voxels; class 255 where the network has no semantic head.

        Raises:
            InputError: If the pose is not a rigid transform.
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        query = query or VoxelQuery()
        threshold = query.threshold(self.density_threshold)
        with self._memory_errors("querying voxels"):
            return self._queries.voxels(encoded, grid, _pose(T_grid_cam), query, threshold)

    @torch.inference_mode()
    def densities(
        self, encoded: EncodedImage, grid: VoxelGrid, T_grid_cam: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the density at every voxel centre of a grid, also out of view.

        Args:
            encoded: The encoded image.
            grid: Where to look.
            T_grid_cam: (4, 4) camera pose in the grid frame, metres; None: the grid lies in the
                optical frame.

        Returns:
            (X, Y, Z) float32 densities, 1/m. What the camera does not see continues the border
            of the image.

        Raises:
            InputError: If the pose is not a rigid transform.
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        with self._memory_errors("querying densities"):
            return self._queries.densities(encoded, grid, _pose(T_grid_cam))

    @torch.inference_mode()
    def at_points(
        self, encoded: EncodedImage, points_cam: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return density and class at points, whether the camera sees them or not.

        Args:
            encoded: The encoded image.
            points_cam: (N, 3) float32 points in the optical frame, metres.

        Returns:
            (N,) float32 densities, 1/m, and (N,) uint8 class ids; class 255 where the network has
            no semantic head.

        Raises:
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        with self._memory_errors("querying points"):
            return self._queries.at_points(encoded, points_cam)

    @torch.inference_mode()
    def features_at(self, encoded: EncodedImage, points_cam: np.ndarray) -> torch.Tensor:
        """Return the features at points; arguments and errors as for `at_points`.

        Returns:
            (N, F) float32 features on the device; `expansion` lifts them to full features.
        """
        with self._memory_errors("querying features"):
            return self._queries.features_at(encoded, points_cam)

    @torch.inference_mode()
    def densities_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> torch.Tensor:
        """Return the density at positions in the image, on the device.

        Args:
            encoded: The encoded image.
            uv_norm: (N, 2) float32 positions in [-1, 1] over the network input image.
            depth: (N,) float32 depths along the optical axis, metres.

        Returns:
            (N,) float32 densities, 1/m.

        Raises:
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        with self._memory_errors("querying densities"):
            return self._queries.densities_in_view(encoded, uv_norm, depth)

    @torch.inference_mode()
    def classes_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the class at positions in the image; arguments as for `densities_in_view`.

        Returns:
            (N,) uint8 class ids, 255 where the network has no semantic head, and (N,) float32
            confidences in [0, 1], on the device.

        Raises:
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        with self._memory_errors("querying classes"):
            return self._queries.classes_in_view(encoded, uv_norm, depth)

    @torch.inference_mode()
    def render(
        self,
        encoded: EncodedImage,
        *,
        downscale: int = RenderSettings.downscale,
        n_samples: int = RenderSettings.n_samples,
        spacing: str = LOGARITHMIC,
        depth: bool = True,
        unbounded: bool = False,
        semantic: bool = False,
        features: bool = False,
        jitter_seed: int | None = None,
    ) -> RenderedView:
        """Render the field into the camera.

        Args:
            encoded: The encoded image.
            downscale: Rendered images have the size of the network input image divided by this.
            n_samples: Samples per ray.
            spacing: How they are spaced, see `network.render.sample_distances`. The published
                evaluations space them in inverse depth.
            depth: Whether to render depth.
            unbounded: Whether depth is +Inf where a ray meets no surface (REP 117): where less
                than half of it is stopped within the network's depth range, or its class is sky.
                Otherwise it is the expected depth everywhere, as the benchmarks measure it.
            semantic: Whether to render classes.
            features: Whether to render feature colours.
            jitter_seed: Seed of the samples' positions within their intervals, as the published
                evaluation draws them; None: the middles.

        Returns:
            The images asked for.

        Raises:
            InputError: If the rendered image would have no pixel.
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        unbounded = unbounded and depth
        sky = self.classes.ids((SKY,)) if SKY in self.classes.names else ()
        wants_class = self.config.has_semantics and (semantic or (unbounded and bool(sky)))
        sampling = Sampling(n_samples, spacing, jitter_seed)
        camera, blended = self._rendered(encoded, downscale, sampling, wants_class or features)
        z, opacity, feature = blended[:, 0], blended[:, 1], blended[:, 2:]
        shape = (camera.height, camera.width)
        label = None
        if wants_class:
            columns = self._chunks.fill(
                len(feature),
                bytes_per_class(self.config),
                lambda part: self._engine.classify(feature[part])[0].float(),
            )
            label = columns.to(torch.uint8).view(shape).cpu().numpy()
        elif semantic:
            label = np.full(shape, IGNORE, np.uint8)
        z_depth = z.view(shape).cpu().numpy()
        if unbounded:
            nothing = (opacity < _LEAST_OPACITY).view(shape).cpu().numpy()
            if label is not None:
                nothing |= np.isin(label, sky)
            z_depth[nothing] = np.inf
        return RenderedView(
            camera,
            z_depth if depth else None,
            label if semantic else None,
            self._colors(feature).view(*shape, 3).cpu().numpy() if features else None,
        )

    @torch.inference_mode()
    def rendered_depth(
        self, encoded: EncodedImage, *, downscale: int = RenderSettings.downscale
    ) -> torch.Tensor:
        """Return the (h, w) expected depths of a view, metres, on the device, as `render` does."""
        sampling = Sampling(RenderSettings.n_samples, LOGARITHMIC, None)
        camera, blended = self._rendered(encoded, downscale, sampling, False)
        return blended[:, 0].view(camera.height, camera.width)

    @torch.inference_mode()
    def rendered_features(
        self,
        encoded: EncodedImage,
        *,
        downscale: int = 1,
        n_samples: int = RenderSettings.n_samples,
        spacing: str = LOGARITHMIC,
    ) -> torch.Tensor:
        """Return the (h, w, F) rendered features of a view; arguments and errors as for `render`.

        `expansion` lifts them to full features.
        """
        sampling = Sampling(n_samples, spacing, None)
        camera, blended = self._rendered(encoded, downscale, sampling, True)
        return blended[:, 2:].view(camera.height, camera.width, -1)

    def _rendered(
        self, encoded: EncodedImage, downscale: int, sampling: Sampling, wants_feature: bool
    ) -> tuple[PinholeCamera, torch.Tensor]:
        """Return the camera of a view, and what `ViewRenderer` blends in it."""
        height, width = self.image_size[0] // downscale, self.image_size[1] // downscale
        if height < 1 or width < 1:
            raise InputError(f"downscale {downscale} leaves nothing of {self.image_size} px")
        camera = encoded.camera.resized(width, height)
        with self._memory_errors("rendering a view"):
            return camera, self._renderer.blend(encoded, camera, sampling, wants_feature)

    def _colors(self, feature: torch.Tensor) -> torch.Tensor:
        if self._feature_colors is None:
            self._feature_colors = FeatureColors(feature)
        return self._feature_colors(feature)

    @contextmanager
    def _memory_errors(self, work: str) -> Iterator[None]:
        """Turn an error of exhausted memory into one that names the work; free the caches."""
        try:
            yield
        except Exception as error:  # exhausted memory comes as many types
            if not is_out_of_memory(error):
                raise
            self.forget()
            return_unused_memory(self._device)
            raise memory_error(work, error) from error

    def forget(self) -> None:
        """Free what is remembered of the last grids and views."""
        self._queries.forget()
        self._renderer.forget()

    def device_memory(self) -> dict[str, float]:
        """Return the device's memory in MiB, see `inference.device.device_memory`."""
        return device_memory(self._device)

    def close(self) -> None:
        """Free the device; the predictor cannot be used afterwards."""
        del self._engine, self._queries, self._renderer
        self._feature_colors = None
        return_unused_memory(self._device)


def _pose(T_grid_cam: np.ndarray | None) -> np.ndarray:
    return np.eye(4) if T_grid_cam is None else np.asarray(T_grid_cam, np.float64)
