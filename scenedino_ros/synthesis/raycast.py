"""What a camera sees of a scene: picture, exact depth and exact classes, by ray casting."""

from dataclasses import dataclass

import numpy as np
import open3d

from scenedino_ros.core.camera import PinholeCamera
from scenedino_ros.core.labels import CITYSCAPES19, SKY, ClassTable
from scenedino_ros.synthesis.materials import noise
from scenedino_ros.synthesis.scene import Scene

_SUBPIXELS = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]])
# Directions in which each subpixel looks for things that keep the sky's light away, and how far.
_OCCLUDER_DIRECTIONS = np.array(
    [[0.6, 0.3, 0.74], [-0.6, 0.3, 0.74], [-0.25, -0.65, 0.72], [0.35, -0.45, 0.82]]
)
_OCCLUDER_DISTANCE = 2.5  # metres
_SURFACE_OFFSET = 0.01  # metres: rays that leave a surface start this far above it


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One view of a scene.

    Attributes:
        rgb: (H, W, 3) uint8, four rays per pixel.
        depth: (H, W) float32 along the optical axis of the ray through the pixel's centre,
            metres; infinite in the sky.
        label: (H, W) uint8 class id of the same ray.
    """

    rgb: np.ndarray
    depth: np.ndarray
    label: np.ndarray


class SceneRenderer:
    """Casts rays into one scene. Building it is the costly part; views are cheap."""

    def __init__(
        self, scene: Scene, classes: ClassTable = CITYSCAPES19, *, threads: int = 0
    ) -> None:
        """Gather all triangles of the scene.

        Args:
            scene: The scene.
            classes: Class table that has all class names of the scene.
            threads: Threads that cast rays; 0: one per core.
        """
        self._scene = scene
        meshes = [part.mesh for part in scene.parts]
        starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
        vertices = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32)
        triangles = np.concatenate(
            [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]
        ).astype(np.uint32)
        self._part = np.repeat(np.arange(len(meshes)), [len(mesh.triangles) for mesh in meshes])
        self._label = np.array(classes.ids(tuple(part.class_name for part in scene.parts)))
        self._foliage = np.array([part.foliage for part in scene.parts])
        self._sky = classes.ids((SKY,))[0]
        self._rays = open3d.t.geometry.RaycastingScene(nthreads=threads)
        self._rays.add_triangles(
            open3d.core.Tensor(vertices), open3d.core.Tensor(np.ascontiguousarray(triangles))
        )

    def render(self, camera: PinholeCamera, T_world_cam: np.ndarray) -> RenderedFrame:
        """Return what the camera sees.

        Args:
            camera: Intrinsics and size.
            T_world_cam: (4, 4) camera (optical frame) to world, metres.
        """
        light = np.zeros((camera.height * camera.width, 3), dtype=np.float32)
        for offset, occluder in zip(_SUBPIXELS, _OCCLUDER_DIRECTIONS, strict=True):
            rays = camera_rays(camera, T_world_cam, offset)
            light += self._light(rays, camera, occluder) / len(_SUBPIXELS)
        depth, label = self.measure(camera, T_world_cam)
        light *= self._scene.lighting.exposure
        light = light / (1 + 0.16 * light)  # bright surfaces keep their drawing
        rgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        rgb = (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
        return RenderedFrame(rgb.reshape(camera.height, camera.width, 3), depth, label)

    def measure(
        self, camera: PinholeCamera, T_world_cam: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the (H, W) float32 depth and (H, W) uint8 class of the pixels' centres."""
        rays = camera_rays(camera, T_world_cam, np.zeros(2))
        hits = self._rays.cast_rays(open3d.core.Tensor(rays))
        distance = hits["t_hit"].numpy()
        along_axis = rays[:, 3:] @ T_world_cam[:3, 2].astype(np.float32)
        seen = np.isfinite(distance)
        label = np.full(len(rays), self._sky, dtype=np.uint8)
        label[seen] = self._label[self._part[hits["primitive_ids"].numpy()[seen]]]
        shape = (camera.height, camera.width)
        return (distance * along_axis).reshape(shape), label.reshape(shape)

    def _light(self, rays: np.ndarray, camera: PinholeCamera, occluder: np.ndarray) -> np.ndarray:
        """Return the (N, 3) linear light that arrives along rays."""
        hits = self._rays.cast_rays(open3d.core.Tensor(rays))
        distance = hits["t_hit"].numpy()
        direction = rays[:, 3:]
        seen = np.isfinite(distance)
        light = self._clouded_sky(direction)
        if not seen.any():
            return light
        part = self._part[hits["primitive_ids"].numpy()[seen]]
        normals = hits["primitive_normals"].numpy()[seen]
        direction, distance = direction[seen], distance[seen]
        normals *= np.where((normals * direction).sum(axis=1) > 0, -1, 1)[:, None]
        points = rays[seen, :3] + distance[:, None] * direction
        facing = -(normals * direction).sum(axis=1)
        footprint = distance / (camera.K[0, 0] * np.maximum(facing, 0.08))
        albedo, gloss = self._albedo(points, normals, footprint, part)
        color = albedo * self._irradiance(points, normals, part, occluder)
        mirrored = direction + 2 * facing[:, None] * normals
        fresnel = gloss * (0.25 + 0.75 * (1 - facing) ** 3)
        color += (
            fresnel[:, None] * self._sky_light(mirrored) * (0.35 + 0.65 * (mirrored[:, 2:] > 0))
        )
        haze = 1 - np.exp(-distance / self._scene.lighting.haze_distance)[:, None]
        light[seen] = color * (1 - haze) + np.float32(self._scene.lighting.horizon) * haze
        return light

    def _albedo(
        self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray, part: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        albedo = np.empty(points.shape, dtype=np.float32)
        gloss = np.zeros(len(points), dtype=np.float32)
        order = np.argsort(part, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            material = self._scene.parts[part[rows[0]]].material
            albedo[rows] = material.albedo(points[rows], normals[rows], footprint[rows])
            gloss[rows] = getattr(material, "gloss", 0.0)
        return albedo, gloss

    def _irradiance(
        self, points: np.ndarray, normals: np.ndarray, part: np.ndarray, occluder: np.ndarray
    ) -> np.ndarray:
        lighting = self._scene.lighting
        sun = np.float32(lighting.sun_direction)
        start = points + _SURFACE_OFFSET * normals
        facing_sun = normals @ sun
        foliage = self._foliage[part]
        lit = np.where(foliage, 0.30 + 0.45 * np.abs(facing_sun), np.maximum(facing_sun, 0))
        lit *= ~self._occluded(start, sun, np.inf)
        toward_sky = normals + np.float32(occluder)
        toward_sky /= np.linalg.norm(toward_sky, axis=1, keepdims=True)
        open_sky = np.where(self._occluded(start, toward_sky, _OCCLUDER_DISTANCE), 0.35, 1.0)
        upward = 0.5 + 0.5 * normals[:, 2]
        ambient = (0.16 + 0.34 * upward) * open_sky
        sky = 0.55 * np.float32(lighting.zenith) + 0.45 * np.float32(lighting.horizon)
        bounce = np.float32((0.16, 0.15, 0.13)) * ((1 - upward) * open_sky)[:, None]
        return np.float32(lighting.sun) * lit[:, None] + sky * ambient[:, None] + bounce

    def _occluded(self, start: np.ndarray, direction: np.ndarray, reach: float) -> np.ndarray:
        rays = np.empty((len(start), 6), dtype=np.float32)
        rays[:, :3] = start
        rays[:, 3:] = direction
        return self._rays.test_occlusions(open3d.core.Tensor(rays), tfar=reach).numpy()

    def _sky_light(self, direction: np.ndarray) -> np.ndarray:
        lighting = self._scene.lighting
        up = np.maximum(direction[:, 2], 0.0)
        blend = (1 - np.exp(-3.2 * up))[:, None].astype(np.float32)
        color = np.float32(lighting.horizon) * (1 - blend) + np.float32(lighting.zenith) * blend
        glow = np.maximum(direction @ np.float32(lighting.sun_direction), 0) ** 24
        return color + 0.4 * glow[:, None] * np.float32(lighting.sun)

    def _clouded_sky(self, direction: np.ndarray) -> np.ndarray:
        color = self._sky_light(direction)
        up = np.maximum(direction[:, 2], 0.0)
        ceiling = direction[:, :2] / np.maximum(up, 0.03)[:, None]
        cover = noise(ceiling * 0.8 + 7.0, 0.01, np.zeros(len(ceiling)), seed=77)
        cloud = np.clip(0.5 * cover - 0.1, 0, 0.75) * np.clip(up * 6, 0, 1)
        return color + cloud[:, None].astype(np.float32) * (np.float32(1.1) - color)


def camera_rays(camera: PinholeCamera, T_world_cam: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the (H * W, 6) float32 origins and unit directions of a camera's rays.

    Args:
        camera: Intrinsics and size; integer pixel coordinates are pixel centres.
        T_world_cam: (4, 4) camera to world.
        offset: (2,) shift of all rays from the pixels' centres, pixels.
    """
    K, R = camera.K, T_world_cam[:3, :3].astype(np.float32)
    x = ((np.arange(camera.width) + offset[0] - K[0, 2]) / K[0, 0]).astype(np.float32)
    y = ((np.arange(camera.height) + offset[1] - K[1, 2]) / K[1, 1]).astype(np.float32)
    length = np.sqrt(1 + x[None] ** 2 + y[:, None] ** 2)  # (H, W)
    direction = x[None, :, None] * R[:, 0] + y[:, None, None] * R[:, 1] + R[:, 2]  # (H, W, 3)
    rays = np.empty((length.size, 6), dtype=np.float32)
    rays[:, :3] = T_world_cam[:3, 3]
    rays[:, 3:] = (direction / length[..., None]).reshape(-1, 3)
    return rays
