# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Synthetic drives on disk: recordings and folders, read back; stopped, killed and finished."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from plain_street import plain_street
from velodyne import velodyne_pose

from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import BagError, InputError
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE, kitti360_train_ids
from scenedino_ros.demo.drives import find_drive
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import ssc20_labels
from scenedino_ros.evaluation.ssc.data import SscBench
from scenedino_ros.recordings.datasets.kitti360 import read_drive, read_labels, read_scan
from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS, read_calibration
from scenedino_ros.recordings.datasets.kitti360_folders import sequence_name
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.tf_cdr import transforms_from_cdr
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.streets.scene.street import make_street

pytest.importorskip("open3d", reason="Open3D cannot be imported")
dataset = pytest.importorskip("scenedino_ros.streets.dataset")
drive = pytest.importorskip("scenedino_ros.streets.drive")
drive_folders = pytest.importorskip("scenedino_ros.streets.drive_folders")
lidar = pytest.importorskip("scenedino_ros.streets.lidar")
raycast = pytest.importorskip("scenedino_ros.streets.raycast")
record = pytest.importorskip("scenedino_ros.streets.record")
render = pytest.importorskip("scenedino_ros.streets.render")
rig = pytest.importorskip("scenedino_ros.streets.rig")
size_on_disk = pytest.importorskip("scenedino_ros.streets.size_on_disk")
voxels = pytest.importorskip("scenedino_ros.streets.voxels")

SMALL = render.RenderSettings(rig.RigSettings(width=96, fisheye_width=96), rays_per_pixel=1)
SETTINGS = dataset.DatasetSettings(frames=6, render=SMALL)
DRIVE = sequence_name(3)
ROAD, BUILDING = CITYSCAPES19.ids(("road", "building"))
TRUTH = dict(zip(CAMERAS, rig.CAMERAS, strict=True))


@pytest.fixture(autouse=True)
def _plain_streets(monkeypatch):
    """Replace the costly streets in this process by plain ones."""
    monkeypatch.setattr(drive, "make_street", plain_street)
    caches = (drive._street, render._renderer, voxels.static_voxels)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One drive as recording and as folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive, "make_street", plain_street)
        data = dataset.SyntheticDataset(tmp_path_factory.mktemp("streets"), SETTINGS)
        assert data.make([3], ("bags", "folders"), workers=1) == 6
    return data


def contents(bag: Path) -> list:
    with BagReader(bag) as reader:
        messages = [(m.topic, m.time_ns, m.message) for m in reader.messages(raw=True)]
        assert reader.problems == []
    return messages


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_recording_has_what_the_cameras_saw(made):
    street = SETTINGS.drive(3)
    with Recording(made.bag(3)) as recording:
        assert recording.problems == []
        assert list(recording.cameras) == list(rig.CAMERAS)
        for number in (0, 4):
            truth = render.render_frame(street, SMALL, number)
            for name, frame in truth.items():
                camera = recording.camera(name)
                stamp = street.stamp_ns(number)
                assert camera.images.nearest(stamp, 0) == number
                np.testing.assert_array_equal(recording.image(name, number), frame.rgb)
                np.testing.assert_array_equal(recording.label(name, number), frame.label)
        depth = recording.depth("camera_00", 4)
        near = truth["camera_00"].depth <= record.MAX_DEPTH
        np.testing.assert_allclose(depth[near], truth["camera_00"].depth[near], atol=6e-4)
        assert (depth[~near] == 0).all()
        assert (~near).any()
        assert recording.camera("camera_02").depths is None
        for name, camera in SMALL.rig.rig().items():
            assert recording.camera(name).calibration.key() == camera.calibrated.key()


def test_transforms_of_a_recording_lead_from_the_map_to_every_image(made):
    tree = TransformTree(horizon=1e9)
    with BagReader(made.bag(3)) as reader:
        for topic in ("/tf_static", "/tf"):
            for message in reader.messages([topic], raw=True):
                for transform in transforms_from_cdr(message.message):
                    tree.add(transform, static=topic == "/tf_static")
    street = SETTINGS.drive(3)
    for name, camera in SMALL.rig.rig().items():
        found = tree.lookup("map", camera.frame, street.stamp_ns(2))
        expected = street.T_world_base(2) @ camera.T_base_cam
        np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=name)
    T_velo_cam = tree.lookup("velodyne", "camera_00_rect", street.stamp_ns(2))
    np.testing.assert_allclose(T_velo_cam, ssc.T_VELO_CAM, atol=1e-9)


def test_maps_of_classes_and_depth_are_not_taken_for_images(made):
    topic = "/camera_00/image_rect/compressed"
    assert find_drive(made.bag(3), image_topic=topic).images == 6
    with pytest.raises(InputError, match="several image topics") as refused:
        find_drive(made.bag(3))
    assert "label" not in str(refused.value)
    assert "depth" not in str(refused.value)


def test_scans_and_voxels_are_weighed_as_they_are_written(made):
    """Those of the first frame and the sixth, however few frames there are."""
    sizes = {file: len(content) for file, content in files(made.kitti360).items()}
    scans = [size for file, size in sizes.items() if file.endswith(".bin")]
    grids = sum(s for f, s in sizes.items() if f.endswith((".label", ".invalid", ".npy")))
    told = [
        size_on_disk.rendered_bytes(SMALL, ("folders",), [numbers], voxels=with_voxels)
        for numbers in (range(1), range(6))
        for with_voxels in (False, True)
    ]
    assert told[1] - told[0] == pytest.approx(grids / 2, rel=1e-3)  # but for headers
    assert told[3] - told[2] == pytest.approx(grids, rel=1e-3)
    # The sky is wider over this plain street than over others: fewer beams return.
    assert np.mean(scans) < size_on_disk._SCAN < lidar.BEAMS * lidar.COLUMNS * 16


def test_folders_are_read_as_a_drive_of_kitti360(made):
    street = SETTINGS.drive(3)
    found = read_drive(made.kitti360 / "data_2d_raw" / DRIVE)
    assert found.frames == list(range(6))
    assert found.lacking() == {}
    assert list(found.stamps_ns.values()) == [street.stamp_ns(i) for i in range(6)]
    first = np.linalg.inv(street.T_world_base(0))
    for i in range(6):
        expected = first @ street.T_world_base(i)
        np.testing.assert_allclose(found.T_map_base[i], expected, atol=1e-9)
    truth = render.render_frame(street, SMALL, 5)
    for image, camera in TRUTH.items():
        rgb = cv2.imread(str(found.camera_images[image][5]))[..., ::-1]
        np.testing.assert_array_equal(rgb, truth[camera].rgb)
        labels = read_labels(found.labels[image][5])
        np.testing.assert_array_equal(labels, truth[camera].label)


def test_the_cameras_own_poses_are_those_of_the_body(made):
    """Both pose files give the same drive."""
    folder = made.kitti360 / "data_2d_raw" / DRIVE
    rows = np.loadtxt(folder / "cam0_to_world.txt")
    T = rows[:, 1:].reshape(-1, 4, 4)
    street = SETTINGS.drive(3)
    beyond = drive_folders.POSES_BEYOND
    expected = [street.T_world_base(i) @ rig.T_BASE_CAM for i in range(6 + beyond)]
    np.testing.assert_allclose(T, expected, atol=1e-12)
    assert rows[:, 0].tolist() == list(range(6 + beyond))
    assert np.loadtxt(folder / "pose.txt").shape == (6 + beyond, 12)


def test_scans_lie_on_what_the_camera_sees(made):
    """From the camera a return is where a ray ends, or hidden behind something; none floats."""
    street = SETTINGS.drive(3)
    found = read_drive(made.kitti360 / "data_2d_raw" / DRIVE)
    assert list(found.scans) == list(range(6))
    points = read_scan(found.scans[4])[:, :3]
    assert np.linalg.norm(points, axis=1).max() <= lidar.MAX_RANGE
    T_rect_velo = np.linalg.inv(found.calibration.T_velo_rect)
    points = points @ T_rect_velo[:3, :3].T + T_rect_velo[:3, 3]
    distance = np.linalg.norm(points, axis=1)
    directions = (points / distance[:, None]).astype(np.float32)
    T_world_cam = street.T_world_base(4) @ rig.T_BASE_CAM
    rays = raycast.rays_in_world(directions, T_world_cam)
    seen = render.drive_renderer(street, 4).ranges(rays)
    assert len(points) > 10_000
    # Rays to returns at the very edge of something may slip past it: one of a row at most.
    assert (seen <= distance + 0.01).mean() > 1 - 1 / 64
    assert (np.abs(seen - distance) < 0.01).mean() > 0.8


def test_calibration_files_give_the_rig_back(made):
    found = read_calibration(made.kitti360 / "calibration")
    for image, camera in TRUTH.items():
        expected = SMALL.rig.rig()[camera]
        assert found.cameras[image].key() == expected.calibrated.key()
        np.testing.assert_allclose(found.T_base_image(image), expected.T_base_cam, atol=1e-12)
    np.testing.assert_allclose(found.T_velo_rect, ssc.T_VELO_CAM)
    np.testing.assert_allclose(velodyne_pose(found), rig.T_BASE_VELO, atol=1e-9)


def test_folders_are_read_as_the_benchmark(made):
    bench = SscBench(made.kitti360)
    assert bench.frames == [f"{DRIVE}/000000", f"{DRIVE}/000005"]
    assert bench.check() == []
    assert not bench.is_benchmark
    assert bench.image(bench.frames[1]).shape == (26, 96, 3)
    target = bench.target(bench.frames[1])
    truth = voxels.drive_voxels(SETTINGS.drive(3), 5).labels
    expected = np.append(CITYSCAPES19.ssc_ids, np.zeros(256 - len(CITYSCAPES19)))[truth]
    scored = target != IGNORE  # empty voxels under everything are not
    np.testing.assert_array_equal(target[scored], expected[scored])
    assert (expected[~scored] == 0).all()
    assert {7, 9} <= set(target[ssc.view_mask()].tolist())
    grid = np.load(made.kitti360 / "preprocess/labels" / DRIVE / "000005_1_1.npy")
    assert grid.dtype == np.float32
    np.testing.assert_array_equal(ssc.evaluated_target(grid), target)


def test_raw_ids_lead_to_the_classes_that_are_scored():
    classes = np.arange(len(CITYSCAPES19), dtype=np.uint8)
    raw = drive_folders.raw_ids(classes)
    assert raw.dtype == np.dtype("<u2")
    ssc20 = ssc20_labels(raw, np.zeros(len(raw), np.uint8))
    scored = ssc.evaluated_target(ssc20.reshape(-1, 1, 1)).reshape(-1)
    rider, sky = CITYSCAPES19.ids(("rider", "sky"))
    expected = np.array(CITYSCAPES19.ssc_ids)
    expected[[rider, sky]] = IGNORE  # a dropped class; empty, with nothing below
    np.testing.assert_array_equal(scored, expected)
    assert drive_folders.raw_ids(np.array([IGNORE], np.uint8)) == 0


def test_label_ids_are_kitti360s():
    classes = np.arange(len(CITYSCAPES19), dtype=np.uint8)
    np.testing.assert_array_equal(kitti360_train_ids(drive_folders.kitti360_ids(classes)), classes)
    assert drive_folders.kitti360_ids(np.array([ROAD, BUILDING, IGNORE], np.uint8)).tolist() == [
        7,
        11,
        0,
    ]


def test_made_again_nothing_is_rendered(made):
    before = files(made.path)
    assert made.make([3], ("bags", "folders"), workers=1) == 0
    assert files(made.path) == before


class StoppedError(Exception):
    """Ends a run from within."""


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(made, tmp_path, monkeypatch):
    whole = dataset.SyntheticDataset(tmp_path / "whole", SETTINGS)
    parts = dataset.SyntheticDataset(tmp_path / "parts", SETTINGS)
    monkeypatch.setattr(record, "CHUNK_BYTES", 30_000)
    whole.make([3], workers=1)

    def stop_at_four(done, total):
        if done == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        parts.make([3], ("bags", "folders"), workers=1, progress=stop_at_four)
    assert not parts.bag(3).exists()
    assert not (parts.kitti360 / "dataset.json").exists()
    told = []
    rendered = parts.make([3], ("bags", "folders"), workers=1, progress=lambda *n: told.append(n))
    assert 2 <= rendered < 6
    assert told == [(i, 6) for i in range(7 - rendered, 7)]
    assert contents(parts.bag(3)) == contents(whole.bag(3)) == contents(made.bag(3))
    assert files(parts.kitti360) == files(made.kitti360)


def test_more_drives_are_added_and_listed(tmp_path):
    settings = dataset.DatasetSettings(
        frames=1, render=render.RenderSettings(rig.RigSettings(("camera_00",), width=32))
    )
    data = dataset.SyntheticDataset(tmp_path, settings)
    data.make([1], ("folders",), voxels=False, workers=1)
    data.make([2, 1], ("folders",), voxels=False, workers=1)
    card = json.loads((data.kitti360 / "dataset.json").read_text())
    assert card["splits"]["test"] == [sequence_name(1), sequence_name(2)]
    assert not (data.kitti360 / "preprocess").exists()
    assert data.make([1], ("folders",), workers=1) == 1  # now with its voxels
    assert (data.kitti360 / f"preprocess/labels/{sequence_name(1)}/000000_1_1.npy").exists()


def test_other_settings_are_refused(made):
    other = dataset.DatasetSettings(frames=6, render=render.RenderSettings(SMALL.rig, 2))
    with pytest.raises(InputError, match=r"made with render.rays_per_pixel 1, got 2; choose"):
        dataset.SyntheticDataset(made.path, other)
    (made.path / "broken").mkdir(exist_ok=True)
    (made.path / "broken" / dataset.SETTINGS_FILE).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        dataset.SyntheticDataset(made.path / "broken", SETTINGS)


def test_an_unfinished_recording_of_something_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "CHUNK_BYTES", 1)
    path, street = tmp_path / "bag", SETTINGS.drive(1)
    with contextlib.suppress(StoppedError), record.DriveRecorder(path, street, SMALL) as recorder:
        recorder.write(render.render_frame(street, SMALL, 0))
        raise StoppedError
    assert record.recorded_frames(path, street, SMALL) == 1
    with pytest.raises(BagError, match="unfinished recording of something else: seed 1 instead"):
        record.recorded_frames(path, SETTINGS.drive(2), SMALL)


CLI = ["--frames", "3", "--width", "64", "--fisheye-width", "64", "--rays", "1"]


def test_the_command_makes_drives_and_says_how_fast(tmp_path, capsys):
    arguments = ["synthesize", str(tmp_path), "--seeds", "1,4-5", *CLI, "--workers", "1"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "3 drives of 3 frames" in out
    assert "rendered 9 frames" in out
    assert "frames/s" in out
    bags = sorted(path.name for path in (tmp_path / "bags").iterdir())
    assert bags == ["street_0001", "street_0004", "street_0005"]
    assert main(arguments) == 0
    assert "rendered" not in capsys.readouterr().out
    assert main([*arguments, "--fisheye-crop"]) == 2
    assert "made with render.fisheye_crop False, got True" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--seeds", "3-"], "must be different numbers and ranges such as 0-9,90,91, got '3-'"),
        (["--seeds", "3,2-4"], "must be different numbers and ranges"),
        (["--seeds", "4-2"], "must be different numbers and ranges"),
        (["--seeds", "0-999999999"], "must be different numbers and ranges"),
        (["--frames", "0"], "must be a count >= 1"),
        (["--rays", "3"], "invalid choice"),
        (["--cameras", "camera_07"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, capsys, option, said):
    with pytest.raises(SystemExit):
        main(["synthesize", str(tmp_path / "new"), *option])
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_after_a_kill_what_is_there_stays_and_the_rest_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(drive, "make_street", make_street)  # that of the other process
    options = [str(tmp_path), "--write", "folders", "--no-voxels", "--cameras", "camera_00"]
    options += ["--frames", "40", "--width", "64"]
    command = [sys.executable, "-m", "scenedino_ros.cli", "synthesize", *options]
    images = tmp_path / "kitti360/data_2d_raw" / sequence_name(0) / "image_00/data_rect"
    process = subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.DEVNULL)
    try:
        while len(list(images.glob("0*.png"))) < 3:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    there = {path: path.stat().st_mtime_ns for path in images.glob("0*.png")}
    assert 3 <= len(there) < 40
    assert main(["synthesize", *options, "--workers", "1"]) == 0
    assert len(list(images.glob("0*.png"))) == 40
    assert {path: path.stat().st_mtime_ns for path in there} == there
    settings = render.RenderSettings(rig.RigSettings(("camera_00",), 64))
    frame = render.render_frame(drive.StreetDrive(0, 40), settings, 2)["camera_00"]
    found = cv2.imread(str(images / "0000000002.png"))[..., ::-1]
    np.testing.assert_array_equal(found, frame.rgb)


def test_jobs_come_back_in_order_and_their_errors_too():
    results = list(render.in_processes(math.sqrt, [9, 1, 4, 25], workers=2))
    assert results == [3, 1, 2, 5]
    with pytest.raises(ValueError, match="math domain error|nonnegative"):
        list(render.in_processes(math.sqrt, [9, -1, 4], workers=1))
    with pytest.raises(InputError, match="ended from outside"):
        list(render.in_processes(os._exit, [1, 1], workers=2))


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """A killed run leaves nobody behind, also one that was started without a guard."""
    script = tmp_path / "run.py"
    script.write_text(
        "from scenedino_ros.streets.render import in_processes\n"
        "from work import work\n"
        "list(in_processes(work, [0, 1], workers=2))\n"
    )
    (tmp_path / "work.py").write_text(
        "import os, time\n"
        "def work(job):\n"
        f"    open({str(tmp_path / 'pid')!r} + str(job), 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    process = subprocess.Popen([sys.executable, str(script)], env=env)
    try:
        while not all((tmp_path / f"pid{i}").exists() for i in (0, 1)):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.05)
        pids = [int((tmp_path / f"pid{i}").read_text()) for i in (0, 1)]
    finally:
        process.kill()
        process.wait()
    while any(is_running(pid) for pid in pids):
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
