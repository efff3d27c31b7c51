# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Densities and classes of the field at points: at the voxels of a grid, or anywhere."""

from collections import OrderedDict

import numpy as np
import torch

from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.memory import return_freed_memory
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.inference.coarse_grid import settled
from scenedino_ros.inference.device import Chunks, to_numpy
from scenedino_ros.inference.engines.cuda_graphs import CudaGraph
from scenedino_ros.inference.engines.engine import Engine, Points
from scenedino_ros.inference.engines.torch_engine import can_be_captured
from scenedino_ros.inference.exposed import exposed
from scenedino_ros.inference.grid_view import (
    GridView,
    ViewRequest,
    bytes_per_class,
    bytes_per_point,
    max_3x3x3,
    points_at,
    view_grid,
)
from scenedino_ros.inference.query import EncodedImage, VoxelQuery
from scenedino_ros.network.field import PositionalCode, project


class PointQueries:
    """Asks the field at points; remembers where the voxels of the last grids fall in the image.

    Large arrays are read and written by `index_select` and `index_copy_`, which take a third of
    the time of indexing by a tensor.
    """

    def __init__(
        self,
        engine: Engine,
        code: PositionalCode,
        config: ModelConfig,
        chunks: Chunks,
        n_views: int = 1,
    ) -> None:
        """Set what is asked, and in how much memory.

        Args:
            engine: The network.
            code: Its positional code.
            config: Its configuration.
            chunks: Splits the points so that they fit.
            n_views: Number of grid views that are remembered, one for each camera that takes its
                turn. A view takes at most 21 bytes per queried voxel and the memory budget.
        """
        self._engine, self._code, self._config, self._chunks = engine, code, config, chunks
        self._n_views = n_views
        self._captures = can_be_captured(engine, chunks.device)
        # By what they depend on; the one that was used last comes last.
        self._views: OrderedDict[tuple[object, ...], GridView] = OrderedDict()
        # On a GPU, the densities of views that were used before, as a function of the map.
        self._graphs: dict[GridView, CudaGraph] = {}

    def voxels(
        self,
        encoded: EncodedImage,
        grid: VoxelGrid,
        T_grid_cam: np.ndarray,
        query: VoxelQuery,
        threshold: float,
    ) -> SemanticVoxels:
        """Find the occupied voxels of a grid and their classes.

        Args:
            encoded: The encoded image.
            grid: Where to look.
            T_grid_cam: (4, 4) float64 camera pose in the grid frame, metres.
            query: Which voxels are wanted.
            threshold: Density from which on a voxel is occupied, 1/m.
        """
        view = self._grid_view(encoded, grid, T_grid_cam, query)
        if view.lattice is not None:
            density = self._coarse_to_fine(encoded, view, grid.shape, query, threshold)
        else:
            density = self._densities(encoded, view)
        grown = self._grow(density, view, grid.shape) if query.grow else density
        occupied = grown >= threshold
        if view.visible is not None:
            occupied &= view.visible
        if query.exposed_only:
            occupied = self._exposed(occupied, view, grid.shape)
        chosen = places_of(occupied)
        label, confidence = self._classify(encoded, view, chosen)
        if view.lattice is not None:
            not_asked = chosen[density.index_select(0, chosen).isinf()]
            density.index_copy_(0, not_asked, self._densities_at(encoded, view, not_asked))
        if query.grow and self._config.has_semantics:
            label.masked_fill_(torch.exp(-grid.voxel_size * density[chosen]) == 1, 0)
        index = chosen if view.index is None else view.index[chosen]
        # On a GPU this is the second and last time to wait; the first was to count the occupied.
        columns = to_numpy(index, label, confidence, grown[chosen])
        keep = np.argsort(columns[0])
        keep = keep[~np.isin(columns[1][keep], query.hidden)]
        highest = None
        if not len(keep):
            in_view = grown if view.visible is None else grown[view.visible]
            known = in_view[in_view.isfinite()]
            highest = known.max().item() if known.numel() else None
        index, label, confidence, found = (column[keep] for column in columns)
        return SemanticVoxels(grid, index, label, confidence, found, highest)

    def densities(
        self, encoded: EncodedImage, grid: VoxelGrid, T_grid_cam: np.ndarray
    ) -> np.ndarray:
        """Return the (X, Y, Z) float32 densities of a grid, 1/m; arguments as for `voxels`."""
        view = self._grid_view(encoded, grid, T_grid_cam, VoxelQuery(out_of_view=True))
        return self._densities(encoded, view).view(grid.shape).cpu().numpy()

    def at_points(
        self, encoded: EncodedImage, points_cam: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (N,) densities, 1/m, and (N,) classes at (N, 3) points in the optical frame."""
        uv_norm, depth = self._located(encoded, points_cam)
        both = self._chunks.fill(
            len(depth),
            self._bytes_per_classified(),
            lambda part: self._classified(encoded, uv_norm[part], depth[part]),
            3,
        )
        return both[:, 0].cpu().numpy(), both[:, 1].to(torch.uint8).cpu().numpy()

    def features_at(self, encoded: EncodedImage, points_cam: np.ndarray) -> torch.Tensor:
        """Return the (N, F) features at (N, 3) points in the optical frame, on the device."""
        uv_norm, depth = self._located(encoded, points_cam)
        return self._chunks.fill(
            len(depth),
            bytes_per_point(self._config),
            lambda part: self._engine.feature(
                self._samples(encoded, uv_norm[part], depth[part])[1]
            ),
            self._config.feature_dim,
        )

    def densities_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> torch.Tensor:
        """Return (N,) densities, 1/m, at (N, 2) positions in the image and (N,) depths."""
        code = self._code_of(encoded)
        return self._chunks.fill(
            len(depth),
            bytes_per_point(self._config),
            lambda part: self._engine.density(
                encoded.rows, points_at(uv_norm[part], depth[part], encoded.map_size, code)
            ),
        )

    def classes_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) uint8 classes and (N,) confidences; arguments as `densities_in_view`."""
        columns = self._chunks.fill(
            len(depth),
            self._bytes_per_classified(),
            lambda part: self._classified(encoded, uv_norm[part], depth[part]),
            3,
        )
        return columns[:, 1].to(torch.uint8), columns[:, 2]

    def _located(
        self, encoded: EncodedImage, points_cam: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, 2) positions in the image and (N,) depths of points, on the device."""
        points = torch.from_numpy(points_cam).to(encoded.rows.device).unsqueeze(0)
        found = project(points, _K_norm(encoded).unsqueeze(0))
        return found.uv_norm[0], found.depth[0]

    def _code_of(self, encoded: EncodedImage) -> PositionalCode:
        """Return the positional code of the camera of an image."""
        return self._code.for_camera(_K_norm(encoded))

    def _samples(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        where = points_at(uv_norm, depth, encoded.map_size, self._code_of(encoded))
        return self._engine.samples(encoded.rows, where)

    def _classified(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> torch.Tensor:
        """Return (N, 3): density, class and confidence of each point."""
        density, blended = self._samples(encoded, uv_norm, depth)
        label, confidence = torch.full_like(depth, IGNORE), torch.zeros_like(depth)
        if self._config.has_semantics:
            label, confidence = self._engine.classify(self._engine.feature(blended))
        return torch.stack([density, label.float(), confidence], dim=-1)

    def forget(self) -> None:
        """Free what is remembered of the last grids."""
        self._views.clear()
        self._graphs.clear()

    def _densities(self, encoded: EncodedImage, view: GridView) -> torch.Tensor:
        graph = self._graphs.get(view)
        if graph:
            return graph(encoded.rows)
        return self._answers(encoded.rows, encoded.map_size, view, len(view))

    def _answers(
        self, rows: torch.Tensor, map_size: tuple[int, int], view: GridView, count: int
    ) -> torch.Tensor:
        """Return the densities of a view's first voxels in a (H' * W', hidden) map of (H', W')."""
        return self._chunks.fill(
            count,
            bytes_per_point(self._config),
            lambda part: self._engine.density(rows, self._points(map_size, view, part)),
        )

    def _coarse_to_fine(
        self,
        encoded: EncodedImage,
        view: GridView,
        shape: tuple[int, int, int],
        query: VoxelQuery,
        threshold: float,
    ) -> torch.Tensor:
        """Return the (N,) densities of a view, most of which are not computed.

        Those of voxels that the lattice shows to be empty are 0; where only exposed voxels are
        wanted, those of voxels that it shows to be occupied are infinite.
        """
        assert view.lattice is not None
        assert view.index is not None
        count = len(view.lattice)
        of_lattice = self._answers(encoded.rows, encoded.map_size, view, count)
        known = settled(of_lattice, view.lattice, shape, threshold)
        empty, occupied = (grid.index_select(0, view.index) for grid in known)
        density = torch.zeros_like(view.depth)
        if query.exposed_only:
            density.masked_fill_(occupied, torch.inf)
            empty |= occupied
        empty[:count] = True  # those are known
        density[:count] = of_lattice
        open_ = places_of(empty.logical_not_())
        return density.index_copy_(0, open_, self._densities_at(encoded, view, open_))

    def _densities_at(
        self, encoded: EncodedImage, view: GridView, places: torch.Tensor
    ) -> torch.Tensor:
        """Return the (M,) densities of some voxels of a view."""
        return self._chunks.fill(
            len(places),
            bytes_per_point(self._config),
            lambda part: self._engine.density(
                encoded.rows, self._points(encoded.map_size, view, places[part])
            ),
        )

    def _grow(
        self, density: torch.Tensor, view: GridView, shape: tuple[int, int, int]
    ) -> torch.Tensor:
        if view.index is None:
            return max_3x3x3(density, shape)
        full = density.new_zeros(int(np.prod(shape)))
        full.index_copy_(0, view.index, density)
        return max_3x3x3(full, shape).index_select(0, view.index)

    def _exposed(
        self, occupied: torch.Tensor, view: GridView, shape: tuple[int, int, int]
    ) -> torch.Tensor:
        if view.index is None:
            return exposed(occupied.view(shape)).flatten()
        full = occupied.new_zeros(int(np.prod(shape)))
        full.index_copy_(0, view.index, occupied)
        return exposed(full.view(shape)).flatten().index_select(0, view.index)

    def _grid_view(
        self, encoded: EncodedImage, grid: VoxelGrid, T_grid_cam: np.ndarray, query: VoxelQuery
    ) -> GridView:
        camera = encoded.camera
        # A GPU would wait for the lattice, and its graphs have a fixed number of points.
        coarse = query.coarse_to_fine and not query.grow and self._chunks.device.type == "cpu"
        key = (
            camera.K.tobytes(),
            grid,
            T_grid_cam.tobytes(),
            query.out_of_view,
            query.grow,
            coarse,
            encoded.map_size,
        )
        view = self._views.get(key)
        if view is not None:
            # Not at the first use: a grid that moves has a view of its own for each image.
            if self._captures and view.points is not None and view not in self._graphs:
                size = encoded.map_size
                self._graphs[view] = CudaGraph(
                    lambda rows: self._answers(rows, size, view, len(view)), self._chunks.device
                )
        else:
            while len(self._views) >= self._n_views:
                # Frees an old one before the new one is made.
                self._graphs.pop(self._views.popitem(last=False)[1], None)
            self._views[key] = view_grid(
                grid,
                T_grid_cam,
                camera,
                encoded.map_size,
                ViewRequest(query.out_of_view, query.grow, coarse),
                self._code,
                device=self._chunks.device,
                budget=self._chunks.budget,
            )
            return_freed_memory()
        self._views.move_to_end(key)
        return self._views[key]

    def _points(
        self, map_size: tuple[int, int], view: GridView, part: slice | torch.Tensor
    ) -> Points:
        if view.points is not None:
            if isinstance(part, slice):
                return Points(*(column[part] for column in view.points))
            return Points(*(column.index_select(0, part) for column in view.points))
        return points_at(view.uv_norm[part], view.depth[part], map_size, view.code)

    def _classify(
        self, encoded: EncodedImage, view: GridView, chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self._config.has_semantics:
            label = torch.full_like(chosen, IGNORE, dtype=torch.uint8)
            return label, torch.zeros_like(chosen, dtype=torch.float32)

        def classify(part: slice) -> torch.Tensor:
            _, blended = self._engine.samples(
                encoded.rows, self._points(encoded.map_size, view, chosen[part])
            )
            label, confidence = self._engine.classify(self._engine.feature(blended))
            return torch.stack([label.float(), confidence], dim=-1)

        both = self._chunks.fill(len(chosen), self._bytes_per_classified(), classify, 2)
        return both[:, 0].to(torch.uint8), both[:, 1]

    def _bytes_per_classified(self) -> int:
        return bytes_per_class(self._config) + bytes_per_point(self._config)


def places_of(mask: torch.Tensor) -> torch.Tensor:
    """Return the int64 places of a (N,) mask; NumPy finds them in a third of PyTorch's time."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().squeeze(1)


def _K_norm(encoded: EncodedImage) -> torch.Tensor:
    """Return the (3, 3) intrinsics of an image for coordinates in [-1, 1], on its device."""
    return torch.from_numpy(encoded.camera.K_norm).float().to(encoded.rows.device)
