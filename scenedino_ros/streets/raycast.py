# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Renders what a camera sees of a scene by ray casting: image, exact depth, exact classes."""

from dataclasses import dataclass

import numpy as np
import open3d

from scenedino_ros.core.labels import CITYSCAPES19, IGNORE, SKY
from scenedino_ros.streets.pixel_rays import PixelRays
from scenedino_ros.streets.scene.materials import noise
from scenedino_ros.streets.scene.scene import Scene

# Directions in which each ray of a pixel looks for objects that occlude the sky, and how far.
_OCCLUDER_DIRECTIONS = np.array(
    [[0.6, 0.3, 0.74], [-0.6, 0.3, 0.74], [-0.25, -0.65, 0.72], [0.35, -0.45, 0.82]]
)
_OCCLUDER_DISTANCE = 2.5  # metres
_SURFACE_OFFSET = 0.01  # metres: rays that leave a surface start this far above it
_SRGB_STEPS = 1 << 14
_LINEAR = np.linspace(0.0, 1.0, _SRGB_STEPS)
_ENCODED = np.where(_LINEAR <= 0.0031308, 12.92 * _LINEAR, 1.055 * _LINEAR ** (1 / 2.4) - 0.055)
_SRGB = (255 * _ENCODED + 0.5).astype(np.uint8)  # 8-bit value by step of linear light


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One view of a scene.

    Attributes:
        rgb: (H, W, 3) uint8; black outside a fisheye's lens circle.
        depth: (H, W) float32 of the ray through the pixel's centre, metres: along the optical
            axis of a pinhole camera, along the ray of a fisheye camera. Infinite in the sky, 0
            where nothing is rendered.
        label: (H, W) uint8 class id of the same ray; 255 where nothing is rendered.
    """

    rgb: np.ndarray
    depth: np.ndarray
    label: np.ndarray


class SceneRenderer:
    """Casts rays into one scene. Building it is the costly part; views are cheap."""

    def __init__(self, scene: Scene, *, threads: int = 0) -> None:
        """Gather all triangles of the scene.

        Args:
            scene: The scene.
            threads: Threads that cast rays; 0: one per core.
        """
        self._scene = scene
        meshes = [part.mesh for part in scene.parts]
        starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
        vertices = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32)
        triangles = np.concatenate(
            [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]
        ).astype(np.uint32)
        sizes = [len(mesh.triangles) for mesh in meshes]
        labels = CITYSCAPES19.ids(tuple(part.class_name for part in scene.parts))
        numbers = {part.material: 0 for part in scene.parts}
        self._materials = list(numbers)
        numbers.update({material: i for i, material in enumerate(self._materials)})
        material = [numbers[part.material] for part in scene.parts]
        # Per triangle; few distinct materials in a short type are sorted fast.
        self._label = np.repeat(np.array(labels, dtype=np.uint8), sizes)
        self._foliage = np.repeat([part.foliage for part in scene.parts], sizes)
        self._material = np.repeat(np.array(material, dtype=np.uint16), sizes)
        self._sky = CITYSCAPES19.ids((SKY,))[0]
        self._rays = open3d.t.geometry.RaycastingScene(nthreads=threads)
        self._rays.add_triangles(
            open3d.core.Tensor(vertices), open3d.core.Tensor(np.ascontiguousarray(triangles))
        )

    def render(self, view: PixelRays, T_world_cam: np.ndarray) -> RenderedFrame:
        """Return what a camera sees.

        Args:
            view: The camera's rays.
            T_world_cam: (4, 4) camera (optical frame) to world, metres.
        """
        light = np.zeros((len(view.pixels), 3), dtype=np.float32)
        occluders = _OCCLUDER_DIRECTIONS[: len(view.samples)]
        for directions, occluder in zip(view.samples, occluders, strict=True):
            rays = rays_in_world(directions, T_world_cam)
            light += self._light(rays, view.spread, occluder) / len(view.samples)
        depth, label = self.measure(view, T_world_cam)
        light *= self._scene.lighting.exposure
        light /= 1 + np.float32(0.16) * light  # bright surfaces keep their contrast
        return RenderedFrame(view.image(_display(light), 0), depth, label)

    def measure(self, view: PixelRays, T_world_cam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the (H, W) float32 depth and (H, W) uint8 class of the pixels' centres."""
        rays = rays_in_world(view.centers, T_world_cam)
        hits = self._rays.cast_rays(open3d.core.Tensor(rays))
        depth = hits["t_hit"].numpy()
        seen = np.isfinite(depth)
        label = np.full(len(rays), self._sky, dtype=np.uint8)
        label[seen] = self._label[hits["primitive_ids"].numpy()[seen]]
        if view.along_axis:
            depth = depth * view.centers[:, 2]
        return view.image(depth, 0.0), view.image(label, IGNORE)

    def ranges(self, rays: np.ndarray) -> np.ndarray:
        """Return the (N,) float32 distances to what (N, 6) rays meet first; infinite: nothing."""
        distance: np.ndarray = self._rays.cast_rays(open3d.core.Tensor(rays))["t_hit"].numpy()
        return distance

    def _light(self, rays: np.ndarray, spread: np.ndarray, occluder: np.ndarray) -> np.ndarray:
        """Return the (N, 3) linear light that arrives along rays.

        Args:
            rays: (N, 6) float32 origins and unit directions.
            spread: (N,) width of their pixels, radians.
            occluder: (3,) direction in which to look for objects that occlude the sky.
        """
        hits = self._rays.cast_rays(open3d.core.Tensor(rays))
        distance = hits["t_hit"].numpy()
        seen = np.isfinite(distance)
        light = np.empty((len(rays), 3), dtype=np.float32)
        light[~seen] = self._clouded_sky(rays[~seen, 3:])
        triangle = hits["primitive_ids"].numpy()[seen]
        normals = hits["primitive_normals"].numpy()[seen]
        origin, direction, distance = rays[seen, :3], rays[seen, 3:], distance[seen]
        facing = -_dot(normals, direction)
        normals *= np.where(facing < 0, np.float32(-1), np.float32(1))[:, None]
        facing = np.abs(facing)
        points = origin + distance[:, None] * direction
        footprint = distance * spread[seen] / np.maximum(facing, np.float32(0.08))
        albedo, gloss = self._albedo(points, normals, footprint, self._material[triangle])
        color = albedo * self._irradiance(points, normals, self._foliage[triangle], occluder)
        color += self._reflection(direction, normals, facing, gloss)
        haze = 1 - np.exp(distance / np.float32(-self._scene.lighting.haze_distance))[:, None]
        light[seen] = (
            color * (1 - haze) + np.array(self._scene.lighting.horizon, np.float32) * haze
        )
        return light

    def _albedo(
        self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray, material: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        albedo = np.empty(points.shape, dtype=np.float32)
        gloss = np.zeros(len(points), dtype=np.float32)
        order = np.argsort(material, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(material[order])) + 1):
            if len(rows):
                surface = self._materials[material[rows[0]]]
                albedo[rows] = surface.albedo(points[rows], normals[rows], footprint[rows])
                gloss[rows] = getattr(surface, "gloss", 0.0)
        return albedo, gloss

    def _reflection(
        self, direction: np.ndarray, normals: np.ndarray, facing: np.ndarray, gloss: np.ndarray
    ) -> np.ndarray:
        """Return the (N, 3) light of the sky that glossy surfaces mirror."""
        light = np.zeros(direction.shape, dtype=np.float32)
        rows = np.flatnonzero(gloss)
        facing = facing[rows]
        mirrored = direction[rows] + 2 * facing[:, None] * normals[rows]
        fresnel = gloss[rows] * (0.25 + 0.75 * (1 - facing) ** 3)
        visible = np.where(mirrored[:, 2] > 0, np.float32(1.0), np.float32(0.35))
        light[rows] = (fresnel * visible)[:, None] * self._sky_light(mirrored)
        return light

    def _irradiance(
        self, points: np.ndarray, normals: np.ndarray, foliage: np.ndarray, occluder: np.ndarray
    ) -> np.ndarray:
        lighting = self._scene.lighting
        sun = np.array(lighting.sun_direction, np.float32)
        start = points + np.float32(_SURFACE_OFFSET) * normals
        facing_sun = normals @ sun
        lit = np.where(foliage, 0.30 + 0.45 * np.abs(facing_sun), np.maximum(facing_sun, 0))
        bright = np.flatnonzero(lit)
        lit[bright] *= ~self._occluded(start[bright], sun, np.inf)
        toward_sky = normals + np.float32(occluder)
        toward_sky /= np.sqrt(_dot(toward_sky, toward_sky))[:, None]
        occluded = self._occluded(start, toward_sky, _OCCLUDER_DISTANCE)
        open_sky = np.where(occluded, np.float32(0.35), np.float32(1.0))
        upward = 0.5 + 0.5 * normals[:, 2]
        ambient = (0.16 + 0.34 * upward) * open_sky
        sky = 0.55 * np.array(lighting.zenith, np.float32) + 0.45 * np.array(
            lighting.horizon, np.float32
        )
        bounce = np.array((0.16, 0.15, 0.13), np.float32) * ((1 - upward) * open_sky)[:, None]
        return np.array(lighting.sun, np.float32) * lit[:, None] + sky * ambient[:, None] + bounce

    def _occluded(self, start: np.ndarray, direction: np.ndarray, reach: float) -> np.ndarray:
        rays = np.empty((len(start), 6), dtype=np.float32)
        rays[:, :3] = start
        rays[:, 3:] = direction
        return self._rays.test_occlusions(open3d.core.Tensor(rays), tfar=reach).numpy()

    def _sky_light(self, direction: np.ndarray) -> np.ndarray:
        lighting = self._scene.lighting
        up = np.maximum(direction[:, 2], 0.0)
        blend = (1 - np.exp(-3.2 * up))[:, None].astype(np.float32)
        color = (
            np.array(lighting.horizon, np.float32) * (1 - blend)
            + np.array(lighting.zenith, np.float32) * blend
        )
        glow = np.maximum(direction @ np.array(lighting.sun_direction, np.float32), 0) ** 24
        return color + 0.4 * glow[:, None] * np.array(lighting.sun, np.float32)

    def _clouded_sky(self, direction: np.ndarray) -> np.ndarray:
        color = self._sky_light(direction)
        up = np.maximum(direction[:, 2], 0.0)
        ceiling = direction[:, :2] / np.maximum(up, 0.03)[:, None]
        cover = _smooth_noise(ceiling * 0.8 + 7.0, 0.01, seed=77)
        cloud = np.clip(0.5 * cover - 0.1, 0, 0.75) * np.clip(up * 6, 0, 1)
        return color + cloud[:, None].astype(np.float32) * (np.float32(1.1) - color)


def rays_in_world(directions: np.ndarray, T_world_cam: np.ndarray) -> np.ndarray:
    """Return the (N, 6) float32 origins and directions in the world of (N, 3) rays of a camera."""
    rays = np.empty((len(directions), 6), dtype=np.float32)
    rays[:, :3] = T_world_cam[:3, 3]
    rays[:, 3:] = directions @ T_world_cam[:3, :3].T.astype(np.float32)
    return rays


def _smooth_noise(uv: np.ndarray, texel: float, seed: int) -> np.ndarray:
    """Return `noise` at (N, 2) positions without steps between its grains."""
    sharp = np.zeros(len(uv), dtype=np.float32)
    x, y = np.moveaxis(uv / texel % 1.0, -1, 0)
    return sum(
        weight * noise(uv + (i * texel, j * texel), texel, sharp, seed)
        for i, j, weight in (
            (0, 0, (1 - x) * (1 - y)),
            (1, 0, x * (1 - y)),
            (0, 1, (1 - x) * y),
            (1, 1, x * y),
        )
    )


def _display(light: np.ndarray) -> np.ndarray:
    """Return linear light as 8-bit sRGB values."""
    steps = np.float32(_SRGB_STEPS - 1) * np.clip(light, 0, 1)
    return _SRGB[(steps + np.float32(0.5)).astype(np.uint16)]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", a, b)
