"""Make README's picture: a synthetic street with its exact depth, classes and voxels.

Run from the root of the repository: ``python docs/make_street_picture.py``. No network takes part;
the voxels are where the rays of all frames of the drive end.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.labels import CITYSCAPES19, SKY
from scenedino_ros.core.voxels import GRID_PRESETS, SemanticVoxels, VoxelGrid
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.raycast import RenderedFrame
from scenedino_ros.streets.render import RenderSettings, render_drive
from scenedino_ros.streets.rig import RigSettings
from scenedino_ros.viewing.pictures import panel, write_png

SHOWN_FRAME = 8


def frame_points(
    frame: RenderedFrame, camera: PinholeCamera, T_world_cam: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 3) points in the world and their (N,) classes, without the sky."""
    rows, columns = np.nonzero(
        np.isfinite(frame.depth) & (frame.label != CITYSCAPES19.names.index(SKY))
    )
    depth = frame.depth[rows, columns]
    rays = np.stack([columns, rows, np.ones_like(rows)]) * depth
    points = np.linalg.inv(camera.K) @ rays
    world = T_world_cam[:3, :3] @ points + T_world_cam[:3, 3:]
    return world.T, frame.label[rows, columns]


def voxels_of(points: np.ndarray, labels: np.ndarray, grid: VoxelGrid) -> SemanticVoxels:
    """Return the voxels that hold points, each with its most frequent class."""
    ijk = np.floor((points - np.asarray(grid.origin)) / grid.voxel_size).astype(int)
    inside = ((ijk >= 0) & (ijk < grid.shape)).all(axis=1)
    flat = np.ravel_multi_index(tuple(ijk[inside].T), grid.shape)
    index, place = np.unique(flat, return_inverse=True)
    counts = np.zeros((len(index), len(CITYSCAPES19)), np.int64)
    np.add.at(counts, (place, labels[inside]), 1)
    ones = np.ones(len(index), np.float32)
    return SemanticVoxels(grid, index, counts.argmax(axis=1).astype(np.uint8), ones, ones)


def main() -> None:
    """Render the drive, gather its voxels, and write the picture."""
    drive = StreetDrive()
    settings = RenderSettings(RigSettings(("camera_00",)))
    front = settings.rig.rig()["camera_00"]
    camera = front.calibrated.pinhole
    frames = [frame["camera_00"] for frame in render_drive(drive, settings)]
    poses = [drive.T_world_base(i) @ front.T_base_cam for i in range(drive.frames)]
    T_cam_world = np.linalg.inv(poses[SHOWN_FRAME])
    parts = [frame_points(f, camera, T) for f, T in zip(frames, poses, strict=True)]
    world = np.concatenate([points for points, _ in parts])
    points = world @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]
    labels = np.concatenate([label for _, label in parts])
    shown = frames[SHOWN_FRAME]
    picture = panel(
        shown.rgb,
        SimpleNamespace(depth=shown.depth, label=shown.label, camera=camera),
        voxels_of(points, labels, GRID_PRESETS["camera"]),
        CITYSCAPES19,
        camera=camera,
        title="A synthetic street",
        weights="exact depth and classes, no network",
    )
    write_png(Path(__file__).with_name("street.png"), picture)


if __name__ == "__main__":
    main()
