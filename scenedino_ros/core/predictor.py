"""Arrays in, semantic voxels and rendered views out; computes only what is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.core.camera import CalibratedCamera
from scenedino_ros.core.checkpoint import Checkpoint, build_model
from scenedino_ros.core.config import PREDICTION_MODES
from scenedino_ros.core.device import MIB, Chunks, choose_device, device_memory
from scenedino_ros.core.errors import CheckpointError, DeviceMemoryError, InputError
from scenedino_ros.core.feature_colors import FeatureColors
from scenedino_ros.core.field import project
from scenedino_ros.core.folded import FoldedSceneDino, bilinear_taps
from scenedino_ros.core.grid_view import GridView, ViewRequest, max_3x3x3, view_grid
from scenedino_ros.core.image import ImagePreprocessor, image_tensor
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.query import EncodedImage, RenderedView, VoxelQuery
from scenedino_ros.core.render import composite, pixel_rays, sample_distances
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid

# Cosines become probabilities by a softmax at this temperature; it only scales the confidence.
_COSINE_TEMPERATURE = 0.1


class Predictor:
    """A network on a device, with the caches that make repeated queries cheap."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        precision: str = "float32",
        mode: str = "stego_kmeans",
        fit: str = "auto",
        memory_budget: int = 512,
    ) -> None:
        """Build the network and move it to its device.

        Args:
            checkpoint: Weights, configuration and classes.
            device: ``auto``, ``cpu`` or ``cuda``.
            precision: ``float32`` or ``bfloat16`` for encoder and decoder; point queries are
                always float32.
            mode: Which head names the classes.
            fit: How images of another aspect ratio fill the picture, see `ImagePreprocessor`.
            memory_budget: Working memory of point queries, MiB.

        Raises:
            CheckpointError: If the weights do not fit their configuration.
            InputError: If a setting is unknown or the device is not there.
        """
        if mode not in PREDICTION_MODES:
            raise InputError(f"mode must be one of {', '.join(PREDICTION_MODES)}, got '{mode}'")
        if precision not in ("float32", "bfloat16"):
            raise InputError(f"precision must be float32 or bfloat16, got '{precision}'")
        self._device = choose_device(device)
        model = build_model(checkpoint)
        for name, value in model.named_parameters():
            if not torch.isfinite(value).all():
                raise CheckpointError(f"the weights of {name} are not all finite numbers")
        self._network = FoldedSceneDino(model, mode).to(self._device)
        self.config = checkpoint.config
        self.classes = checkpoint.classes
        self.image_size = checkpoint.config.image_size
        self.weights = checkpoint.provenance.get("weights", "weights of unknown origin")
        self.mode = mode
        self._preprocess = ImagePreprocessor(self.image_size, fit)
        self._precision = precision
        self._budget = memory_budget * MIB
        self._chunks = Chunks(self._device, self._budget)
        self._view_key: tuple[object, ...] | None = None
        self._view: GridView | None = None
        self._feature_colors: FeatureColors | None = None

    @property
    def device(self) -> str:
        """Name of the device the network is on."""
        if self._device.type == "cuda":
            return f"cuda ({torch.cuda.get_device_name(self._device)})"
        return "cpu"

    def warm_up(self) -> None:
        """Run one empty image through the network, so that the first real one is not slow."""
        height, width = self.image_size
        self._hidden_rows(np.zeros((height, width, 3), np.uint8))

    def encode(self, rgb: np.ndarray, camera: CalibratedCamera) -> EncodedImage:
        """Run encoder and decoder on an image.

        Args:
            rgb: (h, w, 3) uint8 RGB as the camera took it.
            camera: Its calibration.

        Raises:
            InputError: If image and calibration do not fit each other.
            DeviceMemoryError: If the image does not fit into the device's memory.
        """
        picture = self._preprocess(rgb, camera)
        with self._memory_errors("encoding an image"):
            rows, map_size = self._hidden_rows(picture.rgb)
        return EncodedImage(picture.rgb, picture.camera, rows, map_size)

    @torch.inference_mode()
    def _hidden_rows(self, rgb: np.ndarray) -> tuple[torch.Tensor, tuple[int, int]]:
        image = image_tensor(rgb, self._device)
        low = self._precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=low):
            hidden = self._network.hidden_map(image)[0]
        return hidden.flatten(0, 1), (hidden.shape[0], hidden.shape[1])

    @torch.inference_mode()
    def voxels(
        self,
        encoded: EncodedImage,
        grid: VoxelGrid,
        T_grid_cam: np.ndarray | None = None,
        query: VoxelQuery = VoxelQuery(),  # noqa: B008 (frozen)
    ) -> SemanticVoxels:
        """Find the occupied voxels of a grid and their classes.

        Args:
            encoded: The encoded image.
            grid: Where to look.
            T_grid_cam: (4, 4) camera pose in the grid frame, metres; None: the grid lies in the
                optical frame.
            query: What counts as occupied.

        Returns:
            The occupied voxels; class 255 where the network has no semantic head.

        Raises:
            InputError: If the pose is not a rigid transform.
            DeviceMemoryError: If even the smallest chunk does not fit.
        """
        with self._memory_errors("querying voxels"):
            return self._voxels(encoded, grid, T_grid_cam, query)

    def _voxels(
        self,
        encoded: EncodedImage,
        grid: VoxelGrid,
        T_grid_cam: np.ndarray | None,
        query: VoxelQuery,
    ) -> SemanticVoxels:
        T_grid_cam = np.eye(4) if T_grid_cam is None else np.asarray(T_grid_cam, np.float64)
        view = self._grid_view(encoded, grid, T_grid_cam, query)
        density = self._chunks.fill(
            len(view),
            self._bytes_per_point(),
            lambda part: self._network.density(self._hidden(encoded, view, part)),
        )
        grown = density
        if query.grow:
            grown = self._grow(density, view, grid.shape)
        occupied = grown >= query.density_threshold
        if view.visible is not None:
            occupied &= view.visible
        chosen = occupied.nonzero().squeeze(1)
        label, confidence = self._classify(encoded, view, chosen)
        own = density[chosen]
        if query.grow:
            label[torch.exp(-grid.voxel_size * own) == 1] = 0
        keep = torch.ones_like(label, dtype=torch.bool)
        for hidden in query.hidden:
            keep &= label != hidden
        index = chosen if view.index is None else view.index[chosen]
        return SemanticVoxels(
            grid,
            index[keep].cpu().numpy(),
            label[keep].cpu().numpy(),
            confidence[keep].cpu().numpy(),
            grown[chosen][keep].cpu().numpy(),
        )

    def _grow(
        self, density: torch.Tensor, view: GridView, shape: tuple[int, int, int]
    ) -> torch.Tensor:
        if view.index is None:
            return max_3x3x3(density, shape)
        full = density.new_zeros(int(np.prod(shape)))
        full[view.index] = density
        return max_3x3x3(full, shape)[view.index]

    def _grid_view(
        self, encoded: EncodedImage, grid: VoxelGrid, T_grid_cam: np.ndarray, query: VoxelQuery
    ) -> GridView:
        camera = encoded.camera
        key = (
            camera.K.tobytes(),
            grid,
            T_grid_cam.tobytes(),
            query.out_of_view,
            query.grow,
            encoded.map_size,
        )
        if key != self._view_key or self._view is None:
            self._view = self._view_key = None  # frees the old one before the new one is made
            self._view = view_grid(
                grid,
                T_grid_cam,
                camera,
                encoded.map_size,
                ViewRequest(query.out_of_view, query.grow),
                self._network.plain.code,
                device=self._device,
                code_budget=self._budget,
            )
            self._view_key = key
        return self._view

    def _hidden(
        self, encoded: EncodedImage, view: GridView, part: slice | torch.Tensor
    ) -> torch.Tensor:
        if view.code is not None:
            code = view.code[part]
        else:
            code = self._network.plain.code(view.uv_norm[part], view.depth[part])
        return self._network.hidden(encoded.rows, view.taps[part], view.weights[part], code)

    def _classify(
        self, encoded: EncodedImage, view: GridView, chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.config.has_semantics:
            label = torch.full_like(chosen, IGNORE, dtype=torch.uint8)
            return label, torch.zeros_like(chosen, dtype=torch.float32)

        def classify(part: slice) -> torch.Tensor:
            hidden = self._hidden(encoded, view, chosen[part])
            return torch.stack(self._label(self._network.feature(hidden)), dim=-1)

        width = self._network.plain.encoder.spec.width
        both = self._chunks.fill(len(chosen), 16 * width + self._bytes_per_point(), classify, 2)
        return both[:, 0].to(torch.uint8), both[:, 1]

    def _label(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        label, scores = self._network.head.classify(feature)
        temperature = _COSINE_TEMPERATURE if self.mode.endswith("kmeans") else 1.0
        confidence = functional.softmax(scores / temperature, dim=-1).amax(dim=-1)
        return label.to(confidence.dtype), confidence

    def _bytes_per_point(self) -> int:
        # Positional code, sampled map and hidden layer, each with one temporary copy.
        return 8 * (self._network.plain.code.channels + 2 * self.config.hidden_dim)

    @torch.inference_mode()
    def render(
        self,
        encoded: EncodedImage,
        *,
        downscale: int = 4,
        n_samples: int = 32,
        depth: bool = True,
        semantic: bool = False,
        features: bool = False,
    ) -> RenderedView:
        """Render the field into the camera.

        Args:
            encoded: The encoded image.
            downscale: The rendered images are the picture's size divided by this.
            n_samples: Samples per ray, uniform in inverse depth.
            depth: Whether depth is wanted.
            semantic: Whether classes are wanted.
            features: Whether feature colours are wanted.

        Returns:
            The images asked for.

        Raises:
            InputError: If there is no picture left after scaling down.
            DeviceMemoryError: If even the smallest chunk does not fit.
        """
        height, width = self.image_size[0] // downscale, self.image_size[1] // downscale
        if height < 1 or width < 1:
            raise InputError(f"downscale {downscale} leaves nothing of {self.image_size} px")
        camera = encoded.camera.resized(width, height)
        K_norm = torch.from_numpy(encoded.camera.K_norm).float().to(self._device)
        rays = pixel_rays(K_norm, height, width).view(-1, 3)
        near, far = self.config.depth_range
        distances = sample_distances(near, far, n_samples).to(self._device)
        wants_feature = (semantic and self.config.has_semantics) or features
        with self._memory_errors("rendering a view"):
            blended = self._render_rays(encoded, rays, distances, K_norm, wants_feature)
        z, feature = blended[:, 0], blended[:, 1:]
        shape = (height, width)
        label = None
        if semantic and self.config.has_semantics:
            columns = self._chunks.fill(
                len(feature),
                16 * self._network.plain.encoder.spec.width,
                lambda part: self._label(feature[part])[0],
            )
            label = columns.to(torch.uint8).view(shape).cpu().numpy()
        elif semantic:
            label = np.full(shape, IGNORE, np.uint8)
        return RenderedView(
            camera,
            z.view(shape).cpu().numpy() if depth else None,
            label,
            self._colors(feature).view(*shape, 3).cpu().numpy() if features else None,
        )

    def _render_rays(
        self,
        encoded: EncodedImage,
        rays: torch.Tensor,
        distances: torch.Tensor,
        K_norm: torch.Tensor,
        wants_feature: bool,
    ) -> torch.Tensor:
        """Return (R, 1) depths, or (R, 1 + F) depths and blended features."""
        n_samples = len(distances)

        def render(part: slice) -> torch.Tensor:
            points = rays[part].unsqueeze(1) * distances.unsqueeze(-1)  # (R, S, 3)
            found = project(points.view(1, -1, 3), K_norm.unsqueeze(0))
            uv_norm, depth = found.uv_norm[0], found.depth[0]
            hidden = self._network.hidden(
                encoded.rows,
                *bilinear_taps(uv_norm, *encoded.map_size),
                self._network.plain.code(uv_norm, depth),
            ).view(-1, n_samples, self.config.hidden_dim)
            ray = composite(self._network.density(hidden), distances.expand(len(points), -1))
            z = (ray.distance * rays[part, 2]).unsqueeze(1)
            if not wants_feature:
                return z
            total = ray.weights.sum(dim=-1)
            return torch.cat([z, self._network.feature(ray.blend(hidden), total)], dim=1)

        columns = 1 + (self.config.feature_dim if wants_feature else 0)
        return self._chunks.fill(len(rays), n_samples * self._bytes_per_point(), render, columns)

    def _colors(self, feature: torch.Tensor) -> torch.Tensor:
        if self._feature_colors is None:
            self._feature_colors = FeatureColors(feature)
        return self._feature_colors(feature)

    @contextmanager
    def _memory_errors(self, work: str) -> Iterator[None]:
        """Turn a full device into an error that names the work, and free what can be freed."""
        try:
            yield
        except (torch.OutOfMemoryError, DeviceMemoryError) as error:
            self._drop_caches()
            raise DeviceMemoryError(f"{work}: {error}") from error

    def device_memory(self) -> dict[str, float]:
        """Return the device's memory in MiB: allocated now, and the peak; empty on the CPU."""
        return device_memory(self._device)

    def _drop_caches(self) -> None:
        self._view = self._view_key = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Free the device; the predictor cannot be used afterwards."""
        del self._network
        self._feature_colors = None
        self._drop_caches()
