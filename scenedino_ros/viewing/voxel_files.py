# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Semantic voxels as files that other programs read: PLY for viewers, NPZ for NumPy.

Both describe their own content; docs/files.md does, too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.files import replacing, write_atomically
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.reading import read_arrays, reading
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.viewing.cubes import exposed_faces

_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)
_TRIANGLE = np.dtype([("count", "u1"), ("vertices", "<i4", (3,)), ("label", "u1")])
OPTICAL_AXES = "x right, y down, z forward"  # of a camera's optical frame
# What the arrays of an NPZ file are; `about` in the file has these sentences, as JSON.
_ABOUT = {
    "about": "() text: these sentences, as JSON",
    "origin": "(3,) float64: minimum corner x, y, z of voxel (0, 0, 0) in the grid frame, metres",
    "shape": "(3,) int64: number of voxels X, Y, Z along x, y, z of the grid frame",
    "voxel_size": "() float64: edge of a voxel, metres",
    "index": "(M,) int64: the M occupied voxels, ascending, as (i * Y + j) * Z + k; the centre of "
    "voxel (i, j, k) is origin + (i + 0.5, j + 0.5, k + 0.5) * voxel_size",
    "label": "(M,) uint8: class of each, a row of class_names; 255: the network names no classes",
    "confidence": "(M,) float32: probability of that class, 0 to 1",
    "density": "(M,) float32: volume density, 1/m",
    "class_names": "(L,) text: names of the classes",
    "class_colors": "(L, 3) uint8: their colours, RGB",
    "weights": "() text: the weights that predicted the voxels",
}


def write_ply(
    path: Path,
    voxels: SemanticVoxels,
    classes: ClassTable,
    *,
    frame: str = "",
    axes: str = "",
) -> None:
    """Write the visible cube faces as a coloured triangle mesh, binary PLY.

    Coordinates are those of the grid's frame, in metres. Every triangle also carries its class
    id as the property ``label``.

    Args:
        path: File to write; replaced at once when complete.
        voxels: M occupied voxels.
        classes: Class table that gives the colours.
        frame: Name of the grid's frame, written into the header as a comment.
        axes: Where its axes point, written likewise, such as `OPTICAL_AXES`.
    """
    faces = exposed_faces(voxels)
    label = voxels.label[faces.owner]  # (F,)
    vertices = np.empty((len(faces), 4), dtype=_VERTEX)
    for axis, name in enumerate("xyz"):
        vertices[name] = faces.corners[..., axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = classes.voxel_palette[label][:, None, channel]
    triangles = np.empty((len(faces), 2), dtype=_TRIANGLE)
    triangles["count"] = 3
    first = 4 * np.arange(len(faces), dtype=np.int32)[:, None, None]
    triangles["vertices"] = first + np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    triangles["label"] = label[:, None]
    names = ", ".join(f"{number} {name}" for number, name in enumerate(classes.names))
    comments = {"frame": frame, "axes": axes, "units": "metres", "labels": names}
    comment = "".join(f"comment {name} {text}\n" for name, text in comments.items() if text)
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"comment scenedino_ros semantic voxels of {voxels.grid.voxel_size:g} m\n{comment}"
        f"element vertex {vertices.size}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {triangles.size}\n"
        "property list uchar int vertex_indices\nproperty uchar label\nend_header\n"
    )
    write_atomically(
        path, header.encode("ascii", "replace") + vertices.tobytes() + triangles.tobytes()
    )


def write_npz(
    path: Path,
    voxels: SemanticVoxels,
    classes: ClassTable,
    *,
    weights: str = "",
    about: Mapping[str, str] | None = None,
    **arrays: Any,
) -> None:
    """Write the voxels, their grid and class names as a compressed NPZ file.

    Keys: those of `_ABOUT`, and the additional arrays under their own names. ``about`` says in
    the file itself what each of them is.

    Args:
        path: File to write; replaced at once when complete.
        voxels: M occupied voxels.
        classes: Class table of the labels.
        weights: One sentence on the weights that predicted the voxels.
        about: What each further array is: shape, type, meaning, unit.
        **arrays: Further arrays, such as ``K=`` or ``T_grid_cam=``.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            origin=np.asarray(voxels.grid.origin, dtype=np.float64),
            shape=np.asarray(voxels.grid.shape, dtype=np.int64),
            voxel_size=np.float64(voxels.grid.voxel_size),
            index=voxels.index,
            label=voxels.label,
            confidence=voxels.confidence,
            density=voxels.density,
            class_names=np.array(classes.names),
            class_colors=np.array(classes.colors, dtype=np.uint8),
            weights=np.array(weights),
            about=np.array(json.dumps({**_ABOUT, **(about or {})}, indent=1)),
            **arrays,
        )


def read_npz(path: Path) -> SemanticVoxels:
    """Read voxels that `write_npz` wrote.

    Raises:
        InputError: If the file cannot be read or lacks a key.
    """
    with reading(f"voxel file {path}"):
        return voxels_of(read_arrays(path))


def voxels_of(arrays: Mapping[str, np.ndarray]) -> SemanticVoxels:
    """Return the voxels in the arrays of a file that `write_npz` wrote.

    Raises:
        Exception: If one is missing or another than written; `read_npz` names the file.
    """
    x, y, z = map(float, arrays["origin"])
    i, j, k = map(int, arrays["shape"])
    grid = VoxelGrid((x, y, z), (i, j, k), float(arrays["voxel_size"]))
    index, label = arrays["index"].astype(np.int64), arrays["label"].astype(np.uint8)
    if index.ndim != 1 or (index.size and not 0 <= index.min() <= index.max() < grid.size):
        raise ValueError(f"index must be places in a grid of {grid.shape} voxels")
    confidence, density = (arrays[name].astype(np.float32) for name in ("confidence", "density"))
    if {label.shape, confidence.shape, density.shape} != {index.shape}:
        raise ValueError(f"label, confidence and density must be as many as index, {index.size}")
    return SemanticVoxels(grid, index, label, confidence, density)
