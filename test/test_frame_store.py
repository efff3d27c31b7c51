# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""From a recording to the frame store: which images meet, how they are resampled, what is kept."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from recorded_rig import CAMERAS, PERIOD, STEP, T_world_body, stamp, write_rig

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.fisheye import (
    MeiCamera,
    resample,
    virtual_grid,
    virtual_rotation,
)
from scenedino_ros.cameras.image import ImagePreprocessor
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.conversion import bag_from_kitti360
from scenedino_ros.recordings.datasets.kitti360 import read_drive
from scenedino_ros.recordings.frame_store.build import build_frame_store
from scenedino_ros.recordings.frame_store.resampling import FisheyeResampler, PinholeResampler
from scenedino_ros.recordings.frame_store.settings import StoreSettings
from scenedino_ros.recordings.frame_store.store import FrameStore, StoredCamera
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter
from scenedino_ros.recordings.pose_source import PoseSource
from scenedino_ros.recordings.recording import Recording

SIZE = (16, 48)
RIG = ("left", "right", "side_left", "side_right")


def store_of(path, name="store", workers=1, progress=None, **options) -> FrameStore:
    settings, how = StoreSettings(SIZE, **options), {"workers": workers, "progress": progress}
    with Recording(path / "bag") as recording:
        return build_frame_store(recording, path / name, settings, **how)


# Building


@pytest.mark.parametrize("workers", [1, 3])
def test_every_frame_is_stored_with_its_cameras_maps_and_pose(tmp_path, workers):
    write_rig(tmp_path / "bag", cameras=RIG, with_maps=True)
    told = []
    store = store_of(
        tmp_path, workers=workers, progress=lambda *counts: told.append(counts), fit="stretch"
    )
    assert told == [(n, 12) for n in range(1, 13)]
    assert (len(store), store.image_size, list(store.cameras)) == (12, SIZE, list(RIG))
    assert store.stamps_ns.tolist() == [stamp(n) for n in range(12)]
    for frame in range(12):
        np.testing.assert_allclose(store.T_world_body[frame], T_world_body(frame), atol=1e-9)
        for number, camera in enumerate(RIG):
            # The middle of the pictures: the virtual cameras' edges may be outside the lens.
            middle = store.image(camera, frame)[6:10, 20:28]
            assert (middle == (frame, 10 * number, 0)).all()
        assert store.label("left", frame)[5].tolist() == [frame] * 24 + [frame + 1] * 24
        assert (store.depth("right", frame) == 2 + frame).all()
    assert store.depth("side_left", 0) is None
    assert store.source["poses"] == "transforms from base_link to map"
    assert store.source["problems"] == store.source["left_out"] == store.source["dropped"] == []


def test_geometry_follows_the_calibration(tmp_path):
    write_rig(tmp_path / "bag", 3, cameras=RIG)
    store = store_of(tmp_path, fisheye_rotation_deg=(20.0, -15.0), fit="stretch")
    camera, T_body_cam = CAMERAS["left"]
    np.testing.assert_allclose(store.cameras["left"].K_norm, camera.pinhole.K_norm)
    np.testing.assert_allclose(
        store.T_world_cam("left", 2), T_world_body(2) @ T_body_cam, atol=1e-9
    )
    for name, about_y in (("side_left", 20.0), ("side_right", -20.0)):
        np.testing.assert_allclose(store.cameras[name].K_norm, camera.pinhole.K_norm)
        expected = CAMERAS[name][1].copy()
        expected[:3, :3] = expected[:3, :3] @ virtual_rotation(about_y, -15.0)
        np.testing.assert_allclose(store.cameras[name].T_body_cam, expected, atol=1e-12)
        assert expected[2, 2] < -0.2  # both look down
        assert expected[0, 2] > 0.3  # and ahead


def test_cropping_changes_the_intrinsics_too(tmp_path):
    write_rig(tmp_path / "bag", 3, cameras=("left",))
    store = store_of(tmp_path, fit="crop")
    pinhole = CAMERAS["left"][0].pinhole
    cropped = pinhole.cropped(0, (32 - 21) // 2, 64, 21)
    np.testing.assert_allclose(store.cameras["left"].K_norm, cropped.K_norm)


def test_frames_lack_nothing(tmp_path):
    without = {"left": {0}, "right": {3, 4}, "poses": {7, 8, 9}}
    write_rig(tmp_path / "bag", 12, without=without)
    store = store_of(tmp_path)
    frames = np.round((store.stamps_ns - stamp(0)) / PERIOD).astype(int).tolist()
    assert frames == [1, 2, 5, 6, 10, 11]  # the gap of 0.4 s in the poses is not interpolated
    assert store.source["left_out"] == [
        "2 of 11 images of left are left out for lack of images of right",
        "3 of 11 images of left are left out for lack of poses",
    ]
    assert store.image("right", 2)[0, 0].tolist() == [5, 10, 0]
    assert store.breaks().tolist() == [True, False, True, False, True, False]
    wider = store_of(tmp_path, "wider", poses=PoseSource(max_gap_s=0.5))
    assert len(wider) == 9
    np.testing.assert_allclose(wider.T_world_body[5, 0, 3], 8 * STEP, atol=1e-6)


def test_an_image_belongs_to_one_frame_at_most(tmp_path):
    write_rig(tmp_path / "bag", 8, without={"right": {1, 3, 5, 7}})
    store = store_of(tmp_path, tolerance_s=0.1)
    assert store.stamps_ns.tolist() == [stamp(frame) for frame in (0, 2, 4, 6)]


def test_cameras_that_are_not_triggered_together_have_poses_of_their_own(tmp_path):
    write_rig(tmp_path / "bag", 8, late={"right": 0.25})
    store = store_of(tmp_path)
    assert len(store) == 7  # the last image of the right camera is after the last pose
    np.testing.assert_allclose(
        store.T_world_cam("right", 3)[:3, 3] - store.T_world_cam("left", 3)[:3, 3],
        (T_world_body(3.25) @ CAMERAS["right"][1])[:3, 3]
        - (T_world_body(3) @ CAMERAS["left"][1])[:3, 3],
        atol=1e-3,
    )
    with pytest.raises(InputError, match="8 of 8 images of left are left out for lack of images"):
        store_of(tmp_path, "strict", tolerance_s=0.01)


def test_cameras_and_body_are_chosen(tmp_path):
    write_rig(tmp_path / "bag", 4)
    store = store_of(tmp_path, cameras=["right"], body_frame="imu")
    assert list(store.cameras) == ["right"]
    np.testing.assert_allclose(
        store.T_world_cam("right", 2), T_world_body(2) @ CAMERAS["right"][1], atol=1e-9
    )
    with pytest.raises(InputError, match="there is nothing|exists already"):
        store_of(tmp_path)
    with pytest.raises(InputError, match="no camera 'front'"):
        store_of(tmp_path, "other", cameras=["front"])
    assert not (tmp_path / "other").exists()


def test_frames_can_be_held_out(tmp_path, capsys):
    write_rig(tmp_path / "bag", 6)
    arguments = ["index", str(tmp_path / "bag"), "--image-size", "16x48"]
    assert main([*arguments, "-o", str(tmp_path / "part"), "--frames", "0-2,4,5"]) == 0
    assert main([*arguments, "-o", str(tmp_path / "all")]) == 0
    part, whole = FrameStore(tmp_path / "part"), FrameStore(tmp_path / "all")
    assert part.stamps_ns.tolist() == np.delete(whole.stamps_ns, 3).tolist()
    assert part.breaks().tolist() == [True, False, False, True, False]
    assert part.source["settings"]["part"] == [0, 2, 4, 5]
    assert np.array_equal(part.image("left", 3), whole.image("left", 4))
    assert np.array_equal(part.T_world_cam("left", 4), whole.T_world_cam("left", 5))
    assert main([*arguments, "-o", str(tmp_path / "none"), "--frames", "4-6"]) == 2
    assert "frames must lie between 0 and 5, got 4-6" in capsys.readouterr().err


def test_fisheyes_alone_have_no_intrinsics_to_take(tmp_path):
    write_rig(tmp_path / "bag", 3, cameras=("side_left",))
    with pytest.raises(InputError, match="but there are only side_left"):
        store_of(tmp_path)


def test_a_frame_with_a_broken_picture_is_dropped_and_told(tmp_path, monkeypatch):
    write_rig(tmp_path / "bag", 6)
    image = Recording.image

    def broken(self, camera, index):
        if (camera, index) == ("right", 2):
            raise InputError("this one is broken")
        return image(self, camera, index)

    monkeypatch.setattr(Recording, "image", broken)
    store = store_of(tmp_path)
    assert store.source["dropped"] == ["this one is broken"]
    assert [int(store.image("left", n)[0, 0, 0]) for n in range(5)] == [0, 1, 3, 4, 5]
    assert store.breaks().tolist() == [True, False, True, False, False]
    monkeypatch.setattr(Recording, "image", lambda *_: broken(None, "right", 2))
    with pytest.raises(
        InputError, match=r"would have no frame; the first: \['this one is broken'\]"
    ):
        store_of(tmp_path, "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "store"]


def test_an_interrupted_build_goes_on(tmp_path, monkeypatch):
    write_rig(tmp_path / "bag", 10)
    read = []
    image = Recording.image

    def watched(self, camera, index):
        read.append((camera, index))
        if len(read) == 9:
            raise KeyboardInterrupt
        return image(self, camera, index)

    monkeypatch.setattr(Recording, "image", watched)
    with pytest.raises(KeyboardInterrupt):
        store_of(tmp_path)
    assert not (tmp_path / "store").exists()
    kept = tmp_path / ".store.partial"
    states = np.load(kept / "states.npy")
    assert states[:4].tolist() == [1] * 4
    first, told = set(read[:8]), []
    read[:] = [None] * 9  # no further interruption
    store = store_of(tmp_path, progress=lambda *counts: told.append(counts))
    assert not first & set(read)
    assert told[0][0] >= 5  # four frames were complete
    assert told[-1] == (10, 10)
    assert [int(store.image("right", n)[0, 0, 0]) for n in range(10)] == list(range(10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "store"]


def test_an_unfinished_store_of_another_recording_is_no_use(tmp_path, monkeypatch):
    write_rig(tmp_path / "bag", 4, cameras=("left",))
    monkeypatch.setattr(
        "scenedino_ros.recordings.frame_store.build.FrameStoreWriter.stored", interrupt
    )
    with pytest.raises(KeyboardInterrupt):
        store_of(tmp_path)
    monkeypatch.undo()
    rgb = np.full((*SIZE, 3), 99, np.uint8)
    images = np.load(tmp_path / ".store.partial/image_left.npy", mmap_mode="r+")
    states = np.load(tmp_path / ".store.partial/states.npy", mmap_mode="r+")
    images[2], states[2] = rgb, 1
    os.utime(tmp_path / "bag/bag_0.mcap", ns=(1, 10**18 * 2))
    assert (store_of(tmp_path).image("left", 2) == (2, 0, 0)).all()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_unfinished_store_of_something_else_is_discarded(tmp_path):
    cameras = {"a": StoredCamera("a", np.eye(3), np.eye(4))}
    for size in ((2, 3), (4, 5)):
        writer = FrameStoreWriter(tmp_path / "store", size, cameras, 2, {})
        assert writer.todo() == [0, 1]
        writer.put("image", "a", 0, np.full((*size, 3), 7, np.uint8))
        writer.stored(0)
    with FrameStoreWriter(tmp_path / "store", (4, 5), cameras, 2, {}) as writer:
        assert writer.todo() == [1]
        for frame in range(2):
            writer.frame(frame, frame + 1, np.eye(4))
    store = FrameStore(tmp_path / "store")
    assert (store.image("a", 0) == 7).all()
    assert store.label("a", 0) is None
    with pytest.raises(InputError, match="exists already"):
        FrameStoreWriter(tmp_path / "store", (4, 5), cameras, 2, {})


def test_what_is_written_does_not_stay_in_memory(tmp_path, monkeypatch):
    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) << 10

    monkeypatch.setattr("scenedino_ros.recordings.frame_store.writer._HELD", 1 << 20)
    shape, frames = (64, 320), 400
    cameras = {"left": StoredCamera("left", np.eye(3), np.eye(4))}
    before, most = mapped(), 0
    path = tmp_path / "store"
    with FrameStoreWriter(path, shape, cameras, frames, {}, labels=("left",)) as store:
        for frame in range(frames):
            store.frame(frame, frame, np.eye(4))
            store.put("image", "left", frame, np.full((*shape, 3), frame % 251, np.uint8))
            store.put("label", "left", frame, np.full(shape, frame % 19, np.uint8))
            store.stored(frame)
            most = max(most, mapped() - before)
    assert most < (64 * 320 * 4 * frames) // 4
    written = FrameStore(path)
    assert (written.image("left", 399) == 399 % 251).all()
    assert (written.label("left", 7) == 7).all()


def test_a_frame_without_pose_is_refused(tmp_path):
    cameras = {"a": StoredCamera("a", np.eye(3), np.eye(4))}
    with pytest.raises(InputError, match="1 of 2 frames of .*store have no pose"):
        with FrameStoreWriter(tmp_path / "store", (2, 3), cameras, 2, {}) as writer:
            writer.frame(0, 1, np.eye(4))
    assert list(tmp_path.iterdir()) == []


def test_damaged_stores_are_refused(tmp_path):
    write_rig(tmp_path / "bag", 3)
    store = store_of(tmp_path)
    np.save(store.path / "image_left.npy", np.zeros((2, *SIZE, 3), np.uint8))
    with pytest.raises(InputError, match=r"must be uint8 of shape \(3, 16, 48, 3\), got uint8 of"):
        FrameStore(store.path).image("left", 0)
    with pytest.raises(InputError, match="has no images of front"):
        store.image("front", 0)
    poses = np.load(store.path / "T_world_body.npy")
    for value in (np.nan, 1e200):
        poses[1, 0, 3] = value
        np.save(store.path / "T_world_body.npy", poses)
        with pytest.raises(InputError, match="T_world_body.npy must hold finite poses of at most"):
            FrameStore(store.path)
    index = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps(index | {"format": 0}))
    with pytest.raises(InputError, match="must be a frame store of format 1, got 0"):
        FrameStore(store.path)
    with pytest.raises(InputError, match="is not a frame store"):
        FrameStore(tmp_path / "bag")


# Pictures


def test_maps_are_picked_where_images_are_sampled():
    """A map and an image of the same stripes agree, whatever is cropped or undistorted."""
    pinhole = PinholeCamera.from_focal(300, 300, 320, 180, 640, 360)
    bent = CalibratedCamera(pinhole, "plumb_bob", np.array([-0.2, 0.05, 0.001, 0.0, 0.0]))
    stripes = (np.arange(640) // 40 * 10).astype(np.uint8)[None].repeat(360, 0)
    for camera, fit in ((CalibratedCamera(pinhole), "stretch"), (bent, "crop")):
        made = PinholeResampler(camera, (96, 320), fit)
        image = made.image(np.stack([stripes] * 3, -1))[..., 0].astype(int)
        label = made.label(stripes)
        assert label.shape == (96, 320)
        assert set(np.unique(label)) <= {*np.unique(stripes).tolist(), 255}
        assert np.mean(np.abs(image - label) <= 5) > 0.98
        np.testing.assert_array_equal(made.depth(stripes.astype(np.float32)), label)
        with pytest.raises(InputError, match="image is 640 x 359 px, but its calibration is for"):
            made.label(stripes[1:])


def test_nearest_takes_the_pixel_at_the_centre():
    values = np.arange(36, dtype=np.uint8).reshape(6, 6)
    camera = CalibratedCamera(PinholeCamera.from_focal(5, 5, 3, 3, 6, 6))
    found = ImagePreprocessor((2, 2)).nearest(values, camera)
    np.testing.assert_array_equal(found, [[7, 10], [25, 28]])


def test_fisheye_pictures_are_those_of_the_published_resampling():
    camera = CAMERAS["side_left"][0]
    rgb = np.random.default_rng(1).integers(0, 255, (80, 80, 3), np.uint8)
    K_norm = CAMERAS["left"][0].pinhole.K_norm
    made = FisheyeResampler(camera, (24, 64), K_norm, (0.0, -15.0))
    R = virtual_rotation(0.0, -15.0)
    grid = virtual_grid(MeiCamera.from_calibrated(camera), K_norm, (24, 64), R)
    np.testing.assert_array_equal(made.image(rgb), resample(rgb, grid))
    stripes = (np.arange(80) // 8 * 20).astype(np.uint8)[None].repeat(80, 0)
    label = made.label(stripes)
    inside = (np.abs(grid) < 1).all(axis=-1)
    near = np.abs(made.image(np.stack([stripes] * 3, -1))[..., 0].astype(int) - label) <= 10
    assert near[inside].all()
    assert (label[(np.abs(grid) > 1.05).any(axis=-1)] == 255).all()
    for read in (made.image, made.label):
        with pytest.raises(InputError, match="its calibration is for 80 x 80 px"):
            read(rgb[1:])
    with pytest.raises(InputError, match="depth maps of fisheye cameras"):
        made.depth(stripes)


# Command line


def test_index_builds_a_store_and_tells_about_it(tmp_path, capsys):
    write_rig(tmp_path / "bag", 12, cameras=RIG, with_maps=True, without={"right": {5}})
    arguments = ["index", str(tmp_path / "bag")]
    assert main([*arguments, "--check"]) == 1
    out = capsys.readouterr().out
    assert "left        12      10.00 Hz  64 x 32  rectified    labels, depth" in out
    assert "side_left   12      10.00 Hz  80 x 80  mei          labels" in out
    assert "problem: /right/image_rect/compressed: 1 frames are missing" in out
    assert "problem: 1 of 12 images of left are left out for lack of images of right" in out
    assert main([*arguments, "-o", str(tmp_path / "store"), "--image-size", "16x48"]) == 0
    out, err = capsys.readouterr()
    assert "11 frames of 4 cameras, 8.9 m, 1 breaks" in out
    assert "frames 11 of 11" in err
    assert len(FrameStore(tmp_path / "store")) == 11
    assert main([*arguments, "-o", str(tmp_path / "store")]) == 2
    assert "store exists already" in capsys.readouterr().err
    assert main([*arguments, "--check", "--cameras", "left,side_right"]) == 1
    assert "frames with all cameras and a pose: 12" in capsys.readouterr().out


# Real data


@pytest.fixture(scope="module")
def real_folder():
    root = os.environ.get("SCENEDINO_TEST_DATA")
    if not root:
        pytest.skip("SCENEDINO_TEST_DATA names no folder of recorded data")
    return root


def test_a_real_drive_becomes_a_store(real_folder, tmp_path):
    drive = read_drive(os.path.join(real_folder, "kitti360_sequence"), ("image_00",)).posed()
    bag_from_kitti360(drive, tmp_path / "bag")
    with Recording(tmp_path / "bag") as recording:
        assert recording.problems == []
        store = build_frame_store(recording, tmp_path / "store", StoreSettings())
    assert len(store) == len(drive.frames)
    assert not store.breaks()[1:].any()
    number = drive.frames[9]
    np.testing.assert_allclose(store.T_world_body[9], drive.T_map_base[number], atol=1e-5)
    rig = drive.calibration
    np.testing.assert_allclose(
        store.cameras["camera_00"].T_body_cam, rig.T_base_image("image_00"), atol=1e-5
    )
    np.testing.assert_allclose(store.cameras["camera_00"].K_norm, rig.camera.K_norm)
    bgr = cv2.imread(str(drive.images[number]))
    expected = cv2.resize(bgr, (640, 192), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    np.testing.assert_array_equal(store.image("camera_00", 9), expected)
