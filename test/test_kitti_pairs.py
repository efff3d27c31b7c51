# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Single frames of KITTI's object benchmark as recordings that keep them apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from stereo_drive import BASELINE, stereo_picture

from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.kitti import read_kitti_drives
from scenedino_ros.recordings.frame_store.store import FrameStore

FOCAL = {3: 200.0, 5: 200.0, 8: 210.0}  # by frame: two calibrations


def write_pairs(folder: Path) -> Path:
    """Write three stereo pairs with a calibration each, in the layout of the benchmark."""
    for name in ("calib", "image_2", "image_3"):
        (folder / name).mkdir(parents=True)
    for frame, focal in FOCAL.items():
        rows = {2: 0.0, 3: -focal * BASELINE}
        lines = [f"P{n}: {focal} 0 159.5 {tx} 0 {focal} 55.5 0 0 0 1 0" for n, tx in rows.items()]
        (folder / f"calib/{frame:06d}.txt").write_text("\n".join([*lines, "R0_rect: 1"]) + "\n")
        for number, x in ((2, 0.0), (3, BASELINE)):
            picture = cv2.cvtColor(stereo_picture(frame, x), cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(folder / f"image_{number}/{frame:06d}.png"), picture)
    return folder


def test_frames_of_one_calibration_are_a_recording_far_apart(tmp_path, capsys):
    folder = write_pairs(tmp_path / "object/training")
    bags, stores = tmp_path / "bags", tmp_path / "stores"
    assert main(["kitti-to-bag", str(tmp_path / "object"), "-o", str(bags)]) == 0
    assert sorted(path.name for path in bags.iterdir()) == ["training_000003", "training_000008"]
    capsys.readouterr()
    index = ["index", *map(str, sorted(bags.iterdir())), "--image-size", "112x320"]
    assert main([*index, "-o", str(stores)]) == 0
    assert "problem:" not in capsys.readouterr().out
    store, other = (FrameStore(stores / name) for name in ("training_000003", "training_000008"))
    assert (len(store), len(other)) == (2, 1)
    # No view is taken from another frame, however views are chosen.
    assert store.breaks().all()
    assert store.cameras["camera_02"].K_norm[0, 0] == pytest.approx(200 / 160)
    assert other.cameras["camera_02"].K_norm[0, 0] == pytest.approx(210 / 160)
    for name, image in (("camera_02", "image_2"), ("camera_03", "image_3")):
        pixels = cv2.imread(str(folder / image / "000005.png"))
        np.testing.assert_array_equal(store.image(name, 1), pixels[..., ::-1])
    T_left, T_right = (store.T_world_cam(name, 1) for name in ("camera_02", "camera_03"))
    assert np.linalg.norm(T_right[:3, 3] - T_left[:3, 3]) == pytest.approx(BASELINE)
    apart = T_left[:3, 3] - store.T_world_cam("camera_02", 0)[:3, 3]
    np.testing.assert_allclose(apart, (1000, 0, 0), atol=1e-6)


def test_what_single_frames_lack_is_named(tmp_path):
    folder = write_pairs(tmp_path / "training")
    drives = read_kitti_drives(folder, poses="none")
    assert [drive.track for drive in drives] == [None, None]
    with pytest.raises(InputError, match="--poses is for a drive, but .*training has single"):
        read_kitti_drives(folder, poses="00.txt")
    (folder / "image_3/000005.png").unlink()
    with pytest.raises(InputError, match="every camera for frame 5, found none of 03"):
        read_kitti_drives(folder)
    assert [len(drive.frames) for drive in read_kitti_drives(folder, ("02",))] == [2, 1]
    (folder / "calib/000008.txt").write_text("P3: 1 2 3\n")
    with pytest.raises(InputError, match="000008.txt has no entry P2"):
        read_kitti_drives(folder, ("02",))
    (folder / "calib/000008.txt").unlink()
    with pytest.raises(InputError, match="000008.txt"):
        read_kitti_drives(folder, ("02",))
    (folder / "image_2/000003.png").write_bytes(b"")
    with pytest.raises(InputError, match="000003.png of 0 bytes must be a picture"):
        read_kitti_drives(folder, ("02",))
