# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pictures and files of voxels: the right colours at the right places, and files others read."""

import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.voxels import GRID_PRESETS, SemanticVoxels, VoxelGrid
from scenedino_ros.viewing.cubes import NORMALS, exposed_faces
from scenedino_ros.viewing.pictures import (
    UNKNOWN_COLOR,
    _with_outline,
    color_depth,
    color_labels,
    depth_palette,
    panel,
    write_animation,
    write_png,
)
from scenedino_ros.viewing.voxel_files import OPTICAL_AXES, read_npz, write_npz, write_ply
from scenedino_ros.viewing.voxel_view import Viewpoint, chase_view, draw_voxels

CAR, ROAD, TREE = CITYSCAPES19.ids(("car", "road", "vegetation"))


def voxels_at(cells, label=CAR, grid=None):
    """Return voxels at (M, 3) cells, in ascending order, of one class or of M classes."""
    grid = grid or VoxelGrid((0.0, 0.0, 0.0), (6, 5, 4), 0.5)
    index = np.ravel_multi_index(np.asarray(cells).T, grid.shape)
    order = np.argsort(index)
    label = np.broadcast_to(np.asarray(label, dtype=np.uint8), index.shape)[order]
    ones = np.ones(len(index), dtype=np.float32)
    return SemanticVoxels(grid, index[order], label, ones, ones)


def test_a_lone_cube_has_six_faces_that_look_outwards():
    faces = exposed_faces(voxels_at([(2, 3, 1)]))
    assert sorted(faces.side) == [0, 1, 2, 3, 4, 5]
    center = np.array([2.5, 3.5, 1.5]) * 0.5
    for corners, side in zip(faces.corners.astype(np.float64), faces.side, strict=True):
        outwards = corners.mean(axis=0) - center
        np.testing.assert_allclose(outwards, 0.25 * NORMALS[side])
        turn = np.cross(corners[1] - corners[0], corners[2] - corners[1])
        np.testing.assert_allclose(turn, 0.25 * NORMALS[side], atol=1e-7)
    assert (faces.cover == 0).all()


def test_faces_between_cubes_are_left_out():
    rng = np.random.default_rng(0)
    occupied = rng.random((6, 5, 4)) < 0.4
    faces = exposed_faces(voxels_at(np.argwhere(occupied)))
    expected = 0
    for i, j, k in np.argwhere(occupied):  # a plain loop as the slow twin
        for normal in NORMALS:
            cell = np.array([i, j, k]) + normal
            outside = (cell < 0).any() or (cell >= occupied.shape).any()
            expected += outside or not occupied[tuple(cell)]
    assert len(faces) == expected


def test_cover_counts_the_neighbours_in_front_of_a_face():
    faces = exposed_faces(voxels_at([(1, 1, 0), (2, 1, 1), (0, 2, 1)]))
    top = faces.cover[(faces.side == 5) & (faces.owner == 1)]  # voxel (1, 1, 0) comes second
    assert top.tolist() == [2]


def test_no_voxels_have_no_faces():
    empty = np.zeros((0, 3), dtype=np.int64)
    assert len(exposed_faces(voxels_at(empty))) == 0


def test_ply_holds_the_surface_in_class_colors(tmp_path):
    path = tmp_path / "voxels.ply"
    voxels = voxels_at([(0, 0, 0), (3, 3, 3)], [ROAD, TREE])
    write_ply(path, voxels, CITYSCAPES19, frame="map", axes=OPTICAL_AXES)
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert "comment frame map" in lines
    assert f"comment axes {OPTICAL_AXES}" in lines
    assert "comment units metres" in lines
    assert any(line.startswith("comment labels 0 road, 1 sidewalk,") for line in lines)
    assert "element vertex 48" in lines
    assert "element face 24" in lines
    vertex = np.dtype("<f4,<f4,<f4,u1,u1,u1")
    vertices = np.frombuffer(body, vertex, 48)
    triangles = np.frombuffer(body, np.dtype("u1,<i4,<i4,<i4,u1"), 24, 48 * vertex.itemsize)
    assert len(body) == 48 * vertex.itemsize + 24 * 14
    colors = {(int(v[3]), int(v[4]), int(v[5])) for v in vertices}
    assert colors == {CITYSCAPES19.colors[ROAD], CITYSCAPES19.colors[TREE]}
    points = np.array([[v[0], v[1], v[2]] for v in vertices])
    corner_ids = np.array([[t[1], t[2], t[3]] for t in triangles])
    a, b, c = points[corner_ids].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    assert area.sum() == pytest.approx(2 * 6 * 0.25)
    assert {int(t[4]) for t in triangles} == {ROAD, TREE}
    assert list(tmp_path.iterdir()) == [path]


def test_ply_opens_in_open3d(tmp_path):
    open3d = pytest.importorskip("open3d", reason="Open3D cannot be imported")
    path = tmp_path / "voxels.ply"
    write_ply(path, voxels_at([(0, 0, 0)]), CITYSCAPES19)
    mesh = open3d.io.read_triangle_mesh(str(path))
    np.testing.assert_allclose(mesh.get_max_bound(), [0.5, 0.5, 0.5])
    color = np.asarray(mesh.vertex_colors)[0] * 255
    np.testing.assert_allclose(color, CITYSCAPES19.colors[CAR], atol=0.5)


def test_npz_round_trip(tmp_path):
    voxels = voxels_at([(0, 0, 0), (5, 4, 3)], [ROAD, TREE])
    path = tmp_path / "voxels.npz"
    write_npz(path, voxels, CITYSCAPES19, weights="untrained, seed 0", T_grid_cam=np.eye(4))
    again = read_npz(path)
    assert again.grid == voxels.grid
    for name in ("index", "label", "confidence", "density"):
        np.testing.assert_array_equal(getattr(again, name), getattr(voxels, name))
    with np.load(path) as data:
        assert str(data["weights"]) == "untrained, seed 0"
        np.testing.assert_array_equal(data["T_grid_cam"], np.eye(4))
        assert data["class_names"][CAR] == "car"


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_npz_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_npz(path)


def test_depth_colors_run_from_near_to_far_and_unknown_is_grey():
    depth = np.array([[0.5, 2.0, 12.65, 80.0, 500.0, np.nan, np.inf, 0.0, -1.0]], dtype=np.float32)
    colors, palette = color_depth(depth), depth_palette()
    assert colors.dtype == np.uint8
    np.testing.assert_array_equal(colors[0, :2], palette[[0, 0]])
    np.testing.assert_array_equal(colors[0, 3:5], palette[[255, 255]])
    assert np.abs(colors[0, 2].astype(int) - palette[127]).max() <= 4  # halfway of the logarithm
    assert (colors[0, 5:] == UNKNOWN_COLOR).all()
    near, far = palette[20].astype(int), palette[235].astype(int)
    assert near[0] > near[2]
    assert far[2] > far[0]


def test_label_colors_are_those_of_the_classes():
    label = np.array([[ROAD, CAR], [TREE, 255]], dtype=np.uint8)
    colors = color_labels(label, CITYSCAPES19)
    assert tuple(colors[0, 1]) == CITYSCAPES19.colors[CAR]
    assert tuple(colors[1, 1]) == UNKNOWN_COLOR
    with pytest.raises(InputError, match="uint8"):
        color_labels(label.astype(np.int64), CITYSCAPES19)


def test_depth_of_wrong_shape_is_refused():
    with pytest.raises(InputError, match="shape"):
        color_depth(np.zeros((2, 2, 1)))


def straight_down(x, y, height):
    """Return a viewpoint that looks down the grid's -z, with x to the right of the picture."""
    T_view_grid = np.diag([1.0, -1.0, -1.0, 1.0])
    T_view_grid[:3, 3] = (-x, y, height)
    return Viewpoint(T_view_grid, np.array([0.0, 0.0, 1.0]))


def test_voxels_are_drawn_where_they_are():
    grid = VoxelGrid((0.0, 0.0, 0.0), (20, 20, 4), 1.0)
    voxels = voxels_at([(15, 4, 0)], TREE, grid)
    view = straight_down(10.0, 10.0, 20.0)
    picture = draw_voxels(
        voxels, CITYSCAPES19, viewpoint=view, size=(200, 200), field_of_view_deg=60
    )
    empty = draw_voxels(
        voxels_at(np.zeros((0, 3), int), TREE, grid), CITYSCAPES19, viewpoint=view, size=(200, 200)
    )
    rows, columns = np.nonzero(np.abs(picture.astype(int) - empty).max(axis=2) > 40)
    focal = 100 / np.tan(np.radians(30))
    # The top face of the cube, 19 m below the eye: x 15 to 16, y 4 to 5.
    assert columns.min() == pytest.approx(100 + focal * 5 / 20, abs=2)
    assert columns.max() == pytest.approx(100 + focal * 6 / 19, abs=2)
    assert rows.max() == pytest.approx(100 + focal * 6 / 19, abs=2)
    assert rows.min() == pytest.approx(100 + focal * 5 / 20, abs=2)


def test_near_cubes_hide_far_ones():
    grid = VoxelGrid((0.0, 0.0, 0.0), (21, 21, 6), 1.0)
    plate = [(i, j, 0) for i in range(21) for j in range(21)]
    lid = [(i, j, 4) for i in range(5, 16) for j in range(5, 16)]
    label = [ROAD] * len(plate) + [TREE] * len(lid)
    picture = draw_voxels(
        voxels_at(plate + lid, np.array(label), grid),
        CITYSCAPES19,
        viewpoint=straight_down(10.5, 10.5, 25.0),
        size=(100, 100),
        field_of_view_deg=50,
    ).astype(int)
    center, rim = picture[40:60, 40:60], picture[48:52, 6:16]
    assert (center[..., 1] > center[..., 0]).all()  # green: only the lid
    assert (rim[..., 0] > rim[..., 1]).all()  # road is violet


@pytest.mark.parametrize("preset", ["camera", "sscbench"])
def test_chase_view_is_behind_and_above_and_looks_ahead(preset):
    T_grid_cam = np.eye(4)  # optical frame: y down
    if preset == "sscbench":
        T_grid_cam[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    T_grid_cam[:3, 3] = (1.0, 2.0, 3.0)
    view = chase_view(T_grid_cam)
    eye_cam = T_grid_cam[:3, :3].T @ (view.eye - T_grid_cam[:3, 3])
    assert eye_cam[1] < -3
    assert eye_cam[2] < -5
    ahead = view.T_view_grid @ T_grid_cam @ np.array([0.0, 0.0, 15.0, 1.0])
    assert ahead[2] > 15
    assert abs(ahead[0]) < 5


def test_unlabelled_voxels_are_colored_by_height():
    grid = VoxelGrid((0.0, 0.0, 0.0), (9, 9, 9), 1.0)
    cells = [(i, 4, k) for i in range(9) for k in range(9)]
    picture = draw_voxels(
        voxels_at(cells, 255, grid),
        CITYSCAPES19,
        T_grid_cam=np.array([[0, 0, 1, -12.0], [-1, 0, 0, 4], [0, -1, 0, 3], [0, 0, 0, 1.0]]),
        size=(120, 200),
    )
    assert picture.reshape(-1, 3).std(axis=0).min() > 5


def fake_view():
    depth = np.linspace(2, 80, 48 * 160, dtype=np.float32).reshape(48, 160)
    return SimpleNamespace(
        depth=depth, label=np.full((48, 160), ROAD, dtype=np.uint8), camera=None
    )


@pytest.mark.parametrize("size", [(376, 1408), (1216, 1936), (400, 200)])
def test_panel_has_one_size_for_every_camera(size):
    rgb = np.zeros((*size, 3), dtype=np.uint8)
    camera = PinholeCamera.from_focal(500, 500, size[1] / 2, size[0] / 2, size[1], size[0])
    voxels = voxels_at([(60, 20, 60)], CAR, GRID_PRESETS["camera"])
    picture = panel(rgb, fake_view(), voxels, CITYSCAPES19, camera=camera, title="A drive")
    assert picture.shape == (682, 1396, 3)
    assert picture.dtype == np.uint8


def test_panel_outlines_the_part_that_is_rendered():
    camera = PinholeCamera.from_focal(100, 100, 100, 100, 200, 200)
    view = fake_view()
    voxels = voxels_at([(1, 1, 1)])
    rgb = np.zeros((200, 200, 3), dtype=np.uint8)

    def yellow(part):
        view.camera = part.resized(160, 48)
        tile = panel(rgb, view, voxels, CITYSCAPES19, camera=camera)[56:232, 204:380].astype(int)
        return np.flatnonzero(((tile[..., 0] - tile[..., 2]) > 150).sum(axis=1) > 90)

    rows = yellow(camera.cropped(0, 50, 200, 120))
    assert len(rows) > 0
    assert abs(rows.min() - 50 * 176 / 200) <= 2
    assert abs(rows.max() - 170 * 176 / 200) <= 2
    assert len(yellow(camera)) == 0


def test_the_outlined_part_is_a_share_of_the_image():
    rgb = np.zeros((120, 200, 3), dtype=np.uint8)
    camera = PinholeCamera.from_focal(100, 100, 100, 60, 200, 120)
    for part, share in (
        ((20, 30, 100, 60), 0.25),
        ((0, 0, 200, 60), 0.5),
        ((0, 0, 200, 120), None),
    ):
        outlined, found = _with_outline(rgb, camera, camera.cropped(*part).resized(64, 32))
        # Pixels of the view are 2 to 4 of the image; their outer edges are drawn at centres.
        assert found == (share and pytest.approx(share, abs=0.02))
        assert outlined.any() == (share is not None)


def test_panel_points_out_untrained_weights_in_red():
    rgb = np.full((94, 352, 3), 128, dtype=np.uint8)
    voxels = voxels_at([(1, 1, 1)])
    said = panel(rgb, None, voxels, CITYSCAPES19, weights="untrained weights")
    trained = panel(rgb, None, voxels, CITYSCAPES19, weights="trained weights")
    red = (said[:40, 700:, 0].astype(int) - said[:40, 700:, 1]) > 100
    assert red.sum() > 200
    assert ((trained[:40, 700:, 0].astype(int) - trained[:40, 700:, 1]) > 100).sum() == 0


def test_png_and_animation_open_again(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (60, 100, 3), dtype=np.uint8) for _ in range(3)]
    write_png(tmp_path / "one.png", frames[0])
    again = cv2.imread(str(tmp_path / "one.png"))[..., ::-1]
    np.testing.assert_array_equal(again, frames[0])
    write_animation(tmp_path / "all.webp", frames, rate_hz=5, width=50)
    with Image.open(io.BytesIO((tmp_path / "all.webp").read_bytes())) as animation:
        assert animation.n_frames == 3
        assert animation.size == (50, 30)
    with pytest.raises(InputError, match="cannot be encoded as PNG"):  # so wide a one
        write_png(tmp_path / "none.png", np.zeros((1, 1_000_001, 3), np.uint8))
    with pytest.raises(InputError, match="at least one"):
        write_animation(tmp_path / "none.webp", [], rate_hz=5)
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "all.webp"}


def test_a_full_benchmark_grid_can_be_drawn():
    rng = np.random.default_rng(1)
    height = 3 + 5 * rng.random((256, 256)) ** 4
    cells = np.argwhere(np.arange(32)[None, None] < height[..., None])
    voxels = voxels_at(cells, ROAD, GRID_PRESETS["sscbench"])
    T_velo_cam = np.array([[0, 0, 1, 0.8], [-1, 0, 0, 0.3], [0, -1, 0, -0.2], [0, 0, 0, 1.0]])
    empty = draw_voxels(voxels.select(voxels.density < 0), CITYSCAPES19, T_grid_cam=T_velo_cam)
    full = draw_voxels(voxels, CITYSCAPES19, T_grid_cam=T_velo_cam)
    assert (full != empty).any(axis=-1).mean() > 0.2
