# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Semantic voxels seen from behind and above the camera, drawn without a window or a GPU."""

from dataclasses import dataclass

import cv2
import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.labels import IGNORE, ClassTable
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.viewing.cubes import NORMALS, CubeFaces, exposed_faces

SKY_COLOR = np.array([(206, 222, 238), (247, 248, 250)], dtype=np.float32)  # top, bottom
HAZE_DISTANCE = 120.0  # metres at which 63 % of a colour is haze
NEAR = 0.3  # metres in front of the viewpoint
EDGE_SIZE_PX = 5.0  # cubes whose sides are longer than this get an outline
_FRUSTUM_DEPTH = 1.5  # metres
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """The pose of the virtual viewer.

    Attributes:
        T_view_grid: (4, 4) grid frame to the viewpoint's optical frame.
        up: (3,) direction of up in the grid frame.
    """

    T_view_grid: np.ndarray
    up: np.ndarray

    @property
    def eye(self) -> np.ndarray:
        """(3,) position of the viewpoint in the grid frame, metres."""
        return -self.T_view_grid[:3, :3].T @ self.T_view_grid[:3, 3]


def chase_view(
    T_grid_cam: np.ndarray,
    *,
    back: float = 9.5,
    above: float = 6.5,
    aside: float = 1.5,
    ahead: float = 11.0,
) -> Viewpoint:
    """Return a viewpoint behind and above the camera that looks in its direction.

    Up is the grid axis closest to the camera's own up.

    Args:
        T_grid_cam: (4, 4) camera (optical frame) to grid frame.
        back: Metres behind the camera.
        above: Metres above the camera.
        aside: Metres to the right of the camera.
        ahead: Metres in front of the camera, at road height, where the picture is centred.
    """
    cam_up, cam_forward, position = -T_grid_cam[:3, 1], T_grid_cam[:3, 2], T_grid_cam[:3, 3]
    axis = int(np.argmax(np.abs(cam_up)))
    up = np.zeros(3)
    up[axis] = np.sign(cam_up[axis])
    forward = cam_forward - up * (up @ cam_forward)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    eye = position - back * forward + above * up + aside * right
    target = position + ahead * forward - 1.6 * up
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    T_view_grid = np.eye(4)
    T_view_grid[:3, :3] = np.stack([x, np.cross(z, x), z])
    T_view_grid[:3, 3] = -T_view_grid[:3, :3] @ eye
    return Viewpoint(T_view_grid, up)


def draw_voxels(
    voxels: SemanticVoxels,
    colors: ClassTable | np.ndarray,
    *,
    T_grid_cam: np.ndarray | None = None,
    camera: PinholeCamera | None = None,
    size: tuple[int, int] = (540, 960),
    viewpoint: Viewpoint | None = None,
    field_of_view_deg: float = 62.0,
) -> np.ndarray:
    """Draw the voxels as shaded cubes, in the colours of their classes or in given ones.

    Cubes are painted from far to near. For cubes of a grid the number of cells between a cube
    and the eye, summed over the axes, is an exact order: a cube can only hide cubes with a
    larger sum.

    Args:
        voxels: M occupied voxels.
        colors: Class table that gives the colours, with which voxels without any label (all 255)
            show their height; or the (M, 3) uint8 RGB colours of the voxels.
        T_grid_cam: (4, 4) camera to grid frame; None: the grid lies in the camera's frame.
        camera: Camera whose field of view is drawn as lines, or None.
        size: (height, width) of the picture, pixels.
        viewpoint: Where to look from; None: `chase_view` of the camera.
        field_of_view_deg: Horizontal opening angle of the picture.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    T_grid_cam = np.eye(4) if T_grid_cam is None else np.asarray(T_grid_cam, dtype=np.float64)
    viewpoint = chase_view(T_grid_cam) if viewpoint is None else viewpoint
    height, width = 2 * size[0], 2 * size[1]  # drawn at twice the size, then averaged
    focal = 0.5 * width / np.tan(np.radians(field_of_view_deg) / 2)
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    picture = _backdrop(height, width)
    faces = exposed_faces(voxels)
    if len(faces):
        _paint(
            picture, faces, _face_colors(faces, voxels, colors, viewpoint), voxels, viewpoint, K
        )
    if camera is not None:
        _draw_frustum(picture, camera, T_grid_cam, viewpoint, K)
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def _backdrop(height: int, width: int) -> np.ndarray:
    blend = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    column = SKY_COLOR[0] * (1 - blend) + SKY_COLOR[1] * blend
    return np.ascontiguousarray(
        np.broadcast_to(column[:, None], (height, width, 3)).astype(np.uint8)
    )


def _face_colors(
    faces: CubeFaces,
    voxels: SemanticVoxels,
    given: ClassTable | np.ndarray,
    viewpoint: Viewpoint,
) -> np.ndarray:
    if isinstance(given, np.ndarray):
        colors = given[faces.owner].astype(np.float32)  # (F, 3)
    elif (voxels.label == IGNORE).all():
        height = faces.corners.mean(axis=1) @ viewpoint.up.astype(np.float32)
        low, high = np.percentile(height, (2, 98))
        scaled = np.clip((height - low) / max(high - low, 1e-3), 0, 1)
        table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)
        colors = table[:, 0, ::-1][(scaled * 255).astype(np.uint8)].astype(np.float32)
    else:
        colors = given.voxel_palette[voxels.label[faces.owner]].astype(np.float32)
        colors = 0.80 * colors + 0.20 * 200  # dark classes would be black in the shade
    towards_up = NORMALS @ viewpoint.up
    towards_eye = NORMALS @ (viewpoint.T_view_grid[:3, :3].T @ np.array([1.0, 0.0, -0.35]))
    light = np.clip(0.70 + 0.30 * towards_up + 0.12 * towards_eye, 0.35, 1.0)  # per side
    grain = 1.0 + 0.05 * (((voxels.index[faces.owner] * 2654435761) >> 13) % 256 / 255.0 - 0.5)
    shade = light[faces.side] * (1.0 - 0.055 * faces.cover) * grain
    return colors * shade[:, None].astype(np.float32)


def _paint(
    picture: np.ndarray,
    faces: CubeFaces,
    colors: np.ndarray,
    voxels: SemanticVoxels,
    viewpoint: Viewpoint,
    K: np.ndarray,
) -> None:
    grid, T = voxels.grid, viewpoint.T_view_grid
    to_eye = viewpoint.eye - faces.corners.mean(axis=1)
    points = faces.corners @ T[:3, :3].T + T[:3, 3]  # (F, 4, 3) in the viewpoint's frame
    seen = (np.einsum("fc,fc->f", to_eye, NORMALS[faces.side]) > 0) & (
        points[..., 2].min(axis=1) > NEAR
    )
    uv = points[..., :2] / np.maximum(points[..., 2:], NEAR) * np.diag(K)[:2] + K[:2, 2]
    limit = np.array([picture.shape[1], picture.shape[0]])
    seen &= ((uv.max(axis=1) > 0) & (uv.min(axis=1) < limit)).all(axis=1)
    seen_faces = np.flatnonzero(seen)
    eye_cell = np.floor((viewpoint.eye - np.asarray(grid.origin)) / grid.voxel_size)
    ijk = np.stack(np.unravel_index(voxels.index[faces.owner[seen_faces]], grid.shape), axis=-1)
    order = seen_faces[np.argsort(-np.abs(ijk - eye_cell).sum(axis=1), kind="stable")]

    haze = 1 - np.exp(-np.linalg.norm(to_eye[order], axis=1) / HAZE_DISTANCE)[:, None]
    fill = np.clip(colors[order] * (1 - haze) + SKY_COLOR.mean(axis=0) * haze, 0, 255)
    uv = uv[order]
    longest = np.abs(uv - np.roll(uv, 1, axis=1)).max(axis=(1, 2))
    polygons = np.round(uv * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    outlined = longest > EDGE_SIZE_PX
    fills, lines = fill.tolist(), (fill * 0.80).tolist()
    for polygon, color, line, outline in zip(polygons, fills, lines, outlined, strict=True):
        cv2.fillConvexPoly(picture, polygon, color, cv2.LINE_8, _SUBPIXEL_BITS)
        if outline:
            cv2.polylines(picture, [polygon], True, line, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_frustum(
    picture: np.ndarray,
    camera: PinholeCamera,
    T_grid_cam: np.ndarray,
    viewpoint: Viewpoint,
    K: np.ndarray,
) -> None:
    pixels = np.array(
        [[0, 0, 1], [camera.width, 0, 1], [camera.width, camera.height, 1], [0, camera.height, 1]]
    )
    corners_cam = np.vstack([np.zeros(3), _FRUSTUM_DEPTH * (pixels @ np.linalg.inv(camera.K).T)])
    T_view_cam = viewpoint.T_view_grid @ T_grid_cam
    points = corners_cam @ T_view_cam[:3, :3].T + T_view_cam[:3, 3]
    if points[:, 2].min() < NEAR:
        return
    uv = points[:, :2] / points[:, 2:] * np.diag(K)[:2] + K[:2, 2]
    uv = np.round(uv * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    outline = [uv[[0, 1, 2]], uv[[0, 2, 3]], uv[[0, 3, 4]], uv[[0, 4, 1]]]
    cv2.polylines(picture, outline, True, (200, 30, 30), 3, cv2.LINE_AA, _SUBPIXEL_BITS)
