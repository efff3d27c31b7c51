# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads voxel files as Open3D meshes, and shows them in a window."""

import time
from pathlib import Path

import numpy as np
import open3d

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import UNNAMED_COLOR
from scenedino_ros.core.reading import read_arrays, reading
from scenedino_ros.viewing.cubes import exposed_faces
from scenedino_ros.viewing.voxel_files import voxels_of

_SIZE = (1280, 800)  # width and height of the window, pixels
_FRAME = 1 / 60  # seconds


def mesh_of_file(path: Path) -> open3d.geometry.TriangleMesh:
    """Return the coloured surface of the voxels in a file.

    Args:
        path: ``.npz`` or ``.ply`` as 'scenedino predict' writes them.

    Raises:
        InputError: If the file cannot be read or holds no voxels.
    """
    if path.suffix == ".npz":
        mesh = _mesh_of_npz(path)
    else:
        with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
            mesh = open3d.io.read_triangle_mesh(str(path))
    if not mesh.has_triangles():
        raise InputError(f"{path} holds no voxels")
    mesh.compute_triangle_normals()
    return mesh


def show_mesh(mesh: open3d.geometry.TriangleMesh, *, title: str) -> bool:
    """Show a mesh until its window is closed, and return whether a window could be opened."""
    window = open3d.visualization.Visualizer()
    if not window.create_window(title, *_SIZE):
        return False
    window.add_geometry(mesh)
    window.get_render_option().mesh_show_back_face = True
    while window.poll_events():  # a loop of ours ends at Ctrl-C, the window's own does not
        window.update_renderer()
        time.sleep(_FRAME)
    window.destroy_window()
    return True


def _mesh_of_npz(path: Path) -> open3d.geometry.TriangleMesh:
    with reading(f"voxel file {path}"):
        arrays = read_arrays(path)
        voxels = voxels_of(arrays)
        colors = np.full((256, 3), np.array(UNNAMED_COLOR) / 255.0)
        colors[: len(arrays["class_colors"])] = arrays["class_colors"] / 255.0
    faces = exposed_faces(voxels)
    corners = faces.corners.reshape(-1, 3).astype(np.float64)
    first = 4 * np.arange(len(faces))[:, None, None]
    triangles = (first + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(corners), open3d.utility.Vector3iVector(triangles)
    )
    shades = np.repeat(colors[voxels.label[faces.owner]], 4, axis=0)
    mesh.vertex_colors = open3d.utility.Vector3dVector(shades)
    return mesh
