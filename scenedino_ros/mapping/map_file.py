# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A map as files: PLY for viewers, NPZ for NumPy and `scenedino view`."""

from pathlib import Path

from scenedino_ros.core.labels import ClassTable
from scenedino_ros.mapping.map_voxels import MapVoxels
from scenedino_ros.viewing.voxel_files import write_npz, write_ply

_ABOUT = {
    "label": "(M,) uint8: class of each, a row of class_names; 255: none was named yet",
    "confidence": "(M,) float32: by how much that class leads over the others, 0 to 1",
    "density": "(M,) float32: the same as occupancy; a map has no densities",
    "occupancy": "(M,) float32: probability that the voxel is occupied, 0.5 to 1",
    "age": "(M,) float32: time since a camera last saw the voxel, seconds",
    "frame": "() text: the fixed frame of the grid",
    "stamp_ns": "() int64: stamp of the newest image in the map, nanoseconds",
}


def save_map(
    folder: Path,
    voxels: MapVoxels,
    classes: ClassTable,
    *,
    frame: str,
    stamp_ns: int,
    weights: str,
) -> tuple[Path, Path]:
    """Write a map as ``map_STAMP.ply`` and ``map_STAMP.npz``.

    Args:
        folder: Where; it is made if it is not there.
        voxels: The occupied voxels.
        classes: Their classes.
        frame: Name of the fixed frame.
        stamp_ns: Stamp of the newest image, nanoseconds; part of the names.
        weights: One sentence on the weights that named the classes.

    Returns:
        The two files. Each is complete or absent.

    Raises:
        OSError: If the folder cannot be made, or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"map_{stamp_ns // 10**9}_{stamp_ns % 10**9:09d}"
    ply, npz = folder / f"{name}.ply", folder / f"{name}.npz"
    write_ply(ply, voxels.semantic(), classes, frame=frame)
    write_npz(
        npz,
        voxels.semantic(),
        classes,
        weights=weights,
        about=_ABOUT,
        occupancy=voxels.occupancy,
        age=voxels.age,
        frame=frame,
        stamp_ns=stamp_ns,
    )
    return ply, npz
