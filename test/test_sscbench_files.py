# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Files in the layout of SSCBench-KITTI-360: what is found, and what is refused in which words."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from ssc_folder import NAME, write_ssc_folder

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import EVAL16, ssc20_labels
from scenedino_ros.evaluation.ssc.data import SscBench, frame_numbers
from scenedino_ros.evaluation.ssc.prediction import camera_of
from scenedino_ros.recordings.datasets.kitti360_folders import sequence_name

FRAME = "seq_b/000005"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "blocks"
    write_ssc_folder(root, {"train": {"seq_a": 1}, "test": {"seq_b": 2}})
    return root


def voxel_file(root: Path, suffix: str) -> Path:
    return root / "data_2d_raw" / "seq_b" / "voxels" / f"000005.{suffix}"


def with_file(path: Path, content: bytes | None) -> bytes:
    """Put other content into a file, None removes it; return what was there."""
    before = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    return before


def test_frames_of_a_split(root: Path) -> None:
    data = SscBench(root)
    assert data.frames == ["seq_b/000000", "seq_b/000005"]
    assert data.name == f"{NAME}, test"
    assert not data.is_benchmark
    assert data.unknown_frames() == {}
    assert data.check() == []
    assert SscBench(root, "train").frames == ["seq_a/000000"]
    with pytest.raises(InputError, match="has no split 'val'"):
        SscBench(root, "val").frames  # noqa: B018


def test_image_and_target(root: Path) -> None:
    data = SscBench(root)
    assert data.image(FRAME).shape == (94, 352, 3)
    target = data.target(FRAME)
    # Road, car and house where they were put; what no ray has seen, and what lies below, is 255.
    names = EVAL16.names
    assert names[target[60, 100, 1]] == "road"
    assert names[target[30, 125, 4]] == "car"
    assert names[target[30, 171, 10]] == "building"
    assert target[30, 125, 0] == 255
    assert target[30, 200, 20] == 255
    assert target[30, 100, 20] == 0


def test_the_official_test_split_has_2566_frames(tmp_path: Path) -> None:
    write_ssc_folder(tmp_path, {"test": {sequence_name(9): 1}}, card=False)
    data = SscBench(tmp_path)
    assert data.is_benchmark
    assert len(data.frames) == 2566
    assert data.frames[-1] == f"{sequence_name(9)}/012825"
    with pytest.raises(InputError, match=r"012825\.label is missing"):
        data.target(data.frames[-1])


def test_frames_that_no_file_names_are_missing(tmp_path: Path) -> None:
    write_ssc_folder(tmp_path, {"val": {sequence_name(6): 2}}, card=False)
    data = SscBench(tmp_path, "val")
    assert len(data.frames) == 2
    assert len(data.unknown_frames()) == 1810
    assert "val has 1812 frames" in next(iter(data.unknown_frames().values()))


def test_grids_and_own_files_agree(root: Path, tmp_path: Path) -> None:
    raw, invalid = (voxel_file(root, suffix) for suffix in ("label", "invalid"))
    labels = ssc20_labels(
        np.fromfile(raw, "<u2").reshape(ssc.GRID.shape),
        np.fromfile(invalid, "u1").reshape(ssc.GRID.shape),
    )
    (tmp_path / "seq_b").mkdir()
    np.save(tmp_path / FRAME.replace("000005", "000005_1_1.npy"), labels.astype(np.float32))
    data = SscBench(root, labels=tmp_path)
    np.testing.assert_array_equal(data.target(FRAME), SscBench(root).target(FRAME))
    assert data.check() == []


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (np.zeros((4, 4, 4), np.float32), r"grid of \(256, 256, 32\), got \(4, 4, 4\)"),
        (np.full(ssc.GRID.shape, 0.5, np.float32), "whole numbers 0..255"),
        (np.full(ssc.GRID.shape, 77, np.float32), r"must be 0..19 or 255, got \[77\]"),
    ],
)
def test_damaged_grids_are_refused(
    root: Path, tmp_path: Path, grid: np.ndarray, message: str
) -> None:
    (tmp_path / "seq_b").mkdir()
    np.save(tmp_path / "seq_b" / "000005_1_1.npy", grid)
    with pytest.raises(InputError, match=f"000005_1_1.npy: .*{message}"):
        SscBench(root, labels=tmp_path).target(FRAME)


def test_the_wrong_release_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "seq_b").mkdir()
    grid = np.full(ssc.GRID.shape, 10, np.float32)
    np.save(tmp_path / "seq_b" / "000005_1_1.npy", grid)
    with pytest.raises(InputError, match="no class over 10 in 1 grids: this is the first release"):
        SscBench(root, labels=tmp_path).check()


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        ("label", b"\0" * 100, r"000005.label: must be 4194304 bytes, got 100$"),
        ("invalid", b"\0" * 262144, "000005.invalid must be 2097152 bytes.*SemanticKITTI packs"),
        ("invalid", b"\2" * 2097152, "000005.invalid must hold 0 and 1, got 2"),
        ("invalid", None, r"000005.invalid is missing"),
        ("label", None, r"000005.label is missing"),
    ],
)
def test_damaged_label_files_name_themselves(
    root: Path, suffix: str, content: bytes | None, message: str
) -> None:
    before = with_file(voxel_file(root, suffix), content)
    try:
        with pytest.raises(InputError, match=message):
            SscBench(root).target(FRAME)
        SscBench(root).target("seq_b/000000")
    finally:
        voxel_file(root, suffix).write_bytes(before)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold a folder data_2d_raw"):
        SscBench(tmp_path).frames  # noqa: B018
    (tmp_path / "data_2d_raw").mkdir()
    with pytest.raises(InputError, match="no frames of the split 'train'"):
        SscBench(tmp_path, "train").frames  # noqa: B018
    (tmp_path / "dataset.json").write_text('{"name": "x"}')
    with pytest.raises(InputError, match="must be JSON with 'name' and 'splits'"):
        SscBench(tmp_path).frames  # noqa: B018


def test_too_few_poses_are_told(tmp_path: Path) -> None:
    write_ssc_folder(tmp_path, {"test": {"seq_b": 2}})
    poses = tmp_path / "data_2d_raw" / "seq_b" / "pose.txt"
    poses.write_text("1 0 0 0\n" * 6)
    assert SscBench(tmp_path).check() == []
    poses.write_text("1 0 0 0\n" * 5)
    assert SscBench(tmp_path).check() == ["seq_b/pose.txt has 5 rows, frame 5 needs one too"]


def write_poses(folder: Path, sequence: str, numbers: list[int]) -> None:
    path = folder / "data_poses" / sequence / "poses.txt"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{n} " + "0 " * 12 + "\n" for n in numbers))


def test_images_of_kitti360_are_found_by_pose_row(tmp_path: Path) -> None:
    write_ssc_folder(tmp_path / "a", {"test": {"seq_b": 2}})
    write_poses(tmp_path / "k", "seq_b", [1, 80, 83, 85, 87, 91])
    data = SscBench(tmp_path / "a", kitti360=tmp_path / "k")
    assert data.image_path(FRAME).name == "0000000091.png"
    with pytest.raises(InputError, match="has 6 rows, none for seq_b/000010"):
        data.image_path("seq_b/000010")


def test_other_pose_files_are_refused(tmp_path: Path) -> None:
    write_poses(tmp_path, sequence_name(9), list(range(13247)))
    with pytest.raises(InputError, match=re.escape("got 13247 rows that begin with [0, 1, 2,")):
        frame_numbers(tmp_path, sequence_name(9))
    with pytest.raises(InputError, match="cannot be read"):
        frame_numbers(tmp_path, sequence_name(8))


def test_kitti360s_own_images_are_taken_by_pose_row(tmp_path: Path) -> None:
    """Images with ten digits in the root itself; frames are rows of its pose file."""
    write_ssc_folder(tmp_path, {"val": {sequence_name(6): 2}}, card=False)
    pictures = tmp_path / "data_2d_raw" / sequence_name(6) / "image_00" / "data_rect"
    numbers = [3, 7, 20, 21, 22, 31, 40, 41, 42, 43, 57]
    for old, row in (("000000", 0), ("000005", 5)):
        (pictures / f"{old}.png").rename(pictures / f"{numbers[row]:010d}.png")
    write_poses(tmp_path, sequence_name(6), numbers)
    (pictures / "._0000000003.png").touch()  # what some systems leave beside a file
    data = SscBench(tmp_path, "val")
    assert [data.image_path(frame).name for frame in data.frames] == [
        "0000000003.png",
        "0000000031.png",
    ]
    assert data.image(data.frames[1]).shape == (94, 352, 3)
    (pictures / "0000000057.png").touch()  # row 10: a frame whose labels are not there
    assert len(SscBench(tmp_path, "val").frames) == 3


def test_preprocessed_images_alone_are_enough(tmp_path: Path) -> None:
    write_ssc_folder(tmp_path, {"val": {sequence_name(6): 1}}, card=False)
    camera = tmp_path / "data_2d_raw" / sequence_name(6) / "image_00"
    (camera / "data_192x640").mkdir()
    image = np.random.default_rng(3).integers(0, 255, (192, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(camera / "data_192x640" / "0000000012.png"), image[..., ::-1])
    write_poses(tmp_path, sequence_name(6), [12, 13, 15])
    data = SscBench(tmp_path, "val")
    (frame,) = data.frames
    assert not data.is_preprocessed(frame)  # full-size ones come first
    (camera / "data_rect" / "000000.png").unlink()
    data = SscBench(tmp_path, "val")
    assert data.is_preprocessed(frame)
    np.testing.assert_array_equal(data.image(frame), image)
    # It shows all that the camera sees, in other proportions.
    with pytest.raises(InputError, match="got 640 x 192"):
        camera_of(image)
    found, whole = camera_of(image, stretched=True).pinhole, ssc.CAMERA
    np.testing.assert_allclose(found.K_norm, whole.K_norm)
    assert (found.width, found.height) == (640, 192)


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("grids", "grids"),
        ("labels", "."),
        ("preprocess/labels", "."),
        ("preprocess/labels", "preprocess"),
        ("KITTI-360/preprocess/labels", "."),
        ("sscbench-kitti/preprocess/labels", "."),
    ],
)
def test_labels_lie_where_releases_put_them(
    root: Path, tmp_path: Path, place: str, named: str
) -> None:
    """The folder that is named holds label grids, as they are unpacked, somewhere below."""
    if "/" in place and place[0].isupper() or place.startswith("sscbench"):
        (tmp_path / place.split("/")[0] / "data_2d_raw").mkdir(parents=True)
    grids = tmp_path / place / "seq_b"
    grids.mkdir(parents=True)
    np.save(grids / "000005_1_1.npy", np.full(ssc.GRID.shape, 13, np.float32))
    data = SscBench(root, labels=tmp_path / named)
    assert data.label_paths(FRAME) == (grids / "000005_1_1.npy",)
    assert set(np.unique(data.target(FRAME))) == {11}


@pytest.mark.parametrize("below", ["", "KITTI-360"])
def test_voxels_may_lie_in_a_release_beside_the_images(
    root: Path, tmp_path: Path, below: str
) -> None:
    write_ssc_folder(tmp_path / below, {"test": {"seq_b": 2}})
    data = SscBench(root, labels=tmp_path)
    label, _ = data.label_paths(FRAME)
    assert label == tmp_path / below / "data_2d_raw" / "seq_b" / "voxels" / "000005.label"
    np.testing.assert_array_equal(data.target(FRAME), SscBench(root).target(FRAME))
    assert SscBench(tmp_path).frames == data.frames  # the folder above the data set will do
