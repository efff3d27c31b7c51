# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What long work tells before and while it runs: bytes, room on the disk, time left."""

import itertools
import re
import shutil
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from recorded_rig import PERIOD, START, T_world_body, write_rig
from test_kitti360_to_bag import write_official

from scenedino_ros.cli import drive_conversion, index, synthesize
from scenedino_ros.cli.main import main
from scenedino_ros.core import disk_space
from scenedino_ros.core.disk_space import bytes_in_words, bytes_on_disk, check_space, free_bytes
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.conversion import kitti360_bytes
from scenedino_ros.recordings.datasets.kitti360 import find_drives, read_drive
from scenedino_ros.recordings.frame_store.build import build_frame_store
from scenedino_ros.recordings.frame_store.motion import speed_problem
from scenedino_ros.recordings.frame_store.settings import StoreSettings
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter, frames_done, store_bytes
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.transforms import matrix_from_rotation
from scenedino_ros.streets import dataset
from scenedino_ros.streets.dataset import DatasetSettings, SyntheticDataset
from scenedino_ros.terminal import progress
from train.field.frame_arrays import FrameArray, array_name

SIZE = ["--image-size", "16x48"]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def small_disk(monkeypatch):
    """Leave a number of bytes free everywhere."""

    def leave(count: int) -> None:
        monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: Usage(0, 0, count))

    return leave


# Words and room


def test_numbers_in_words():
    counts = (0, 999, 1000, 2_345_678, 999_960, 430e9, 1.25e12)
    told = ["0 bytes", "999 bytes", "1.0 kB", "2.3 MB", "1.0 MB", "430.0 GB", "1.2 TB"]
    assert [bytes_in_words(count) for count in counts] == told
    times = [progress.time_in_words(seconds) for seconds in (3, 89, 90, 5399, 5400, 97_200)]
    assert times == ["3 s", "89 s", "2 min", "90 min", "1.5 h", "27.0 h"]


def test_the_disk_is_asked_where_the_folder_will_be(tmp_path, small_disk):
    folder = tmp_path / "not" / "there"
    assert 0 < free_bytes(folder) <= shutil.disk_usage(tmp_path).total
    assert bytes_on_disk(folder) == 0
    small_disk(5_000_000)
    check_space(folder, 5_000_000, "it", "wait")
    with pytest.raises(
        InputError, match=r"it will take about 6\.1 MB, but only 5\.0 MB are free in .*there; wait"
    ):
        check_space(folder, 6_100_000, "it", "wait")


def test_sizes_of_stores(tmp_path):
    """The numbers of a large data set, and those of a small one as they are on disk."""
    assert store_bytes((192, 640), 76_000, 4) == 76_000 * 4 * 192 * 640 * 3
    write_rig(tmp_path / "bag", 5, with_maps=True)
    with Recording(tmp_path / "bag") as recording:
        store = build_frame_store(recording, tmp_path / "store", StoreSettings((16, 48)))
    arrays = [np.load(f) for k in ("image", "label", "depth") for f in store.path.glob(f"{k}_*")]
    assert len(arrays) == 6
    assert store_bytes((16, 48), 5, 2, 2, 2) == sum(array.nbytes for array in arrays)


# The time before the start


def test_the_time_ahead_is_that_of_a_few_items_times_their_number(monkeypatch):
    now, tried = [0.0], []

    def attempt(numbers: range) -> None:
        tried.append(numbers)
        now[0] += 2.0 * len(numbers)

    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert progress.about(progress.seconds_ahead(76_000, attempt)) == ", about 42.2 h"
    assert tried == [range(38_000, 38_001), range(38_001, 38_002)]
    assert progress.about(progress.seconds_ahead(900, attempt, few=8)) == ", about 30 min"
    assert [len(numbers) for numbers in tried[2:]] == [8, 8]
    # Never more than there are, and none where it would be over as soon.
    assert progress.seconds_ahead(20, attempt, few=64) == 40.0
    assert tried[-1] == range(15, 20)
    del tried[:]
    assert progress.seconds_ahead(19, attempt) == progress.seconds_ahead(0, attempt) == 0.0
    assert tried == []
    assert progress.about(0.0) == ""
    assert progress.about(0.2) == ", about 1 s"


@pytest.fixture
def slow_clock(monkeypatch):
    """Let a minute pass from each look at the clock to the next, while a few items are tried."""
    ticks = itertools.count(0, 60)
    clock = SimpleNamespace(monotonic=lambda: next(ticks))

    def timed(*arguments, **words):
        with monkeypatch.context() as patch:
            patch.setattr(progress, "time", clock)
            return progress.seconds_ahead(*arguments, **words)

    for command in (index, drive_conversion, synthesize):
        monkeypatch.setattr(command, "seconds_ahead", timed)


def test_index_tells_the_time(tmp_path, capsys, slow_clock):
    for name, frames in (("one", 24), ("two", 6), ("three", 30)):
        write_rig(tmp_path / name, frames, with_maps=True)
    output = ["-o", str(tmp_path / "one.store"), "--workers", "4", *SIZE]
    assert main(["index", str(tmp_path / "one"), *output]) == 0
    # Four frames take a minute.
    told = r"store: 24 frames of 2 cameras at 16x48, [0-9.]+ kB, about 6 min; [0-9.]+ GB free\n"
    assert re.search(told, capsys.readouterr().out)
    assert main(["index", str(tmp_path / "one"), "--check", *SIZE]) == 0
    assert "about" not in capsys.readouterr().out  # nothing will be done
    # Of several, the time of all that are left is told, too; they are read before.
    paths = [str(tmp_path / name) for name in ("one", "two", "three")]
    assert main(["index", *paths, "-o", str(tmp_path / "stores"), *output[2:]]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r", about \d+ min; ", out)) == 2  # six frames are done at once
    assert re.findall(r"with the recordings after it, about (\d+) min", out) == ["15"]


def test_the_time_is_that_of_the_frames_an_interrupted_store_lacks(
    tmp_path, capsys, slow_clock, monkeypatch
):
    write_rig(tmp_path / "bag", 30)
    stored, store = FrameStoreWriter.stored, tmp_path / "store"

    def stop(writer: FrameStoreWriter, frame: int) -> None:
        if frame >= 6:
            raise KeyboardInterrupt
        stored(writer, frame)

    with monkeypatch.context() as patch, Recording(tmp_path / "bag") as recording:
        patch.setattr(FrameStoreWriter, "stored", stop)
        with pytest.raises(KeyboardInterrupt):
            build_frame_store(recording, store, StoreSettings((16, 48)))
    assert frames_done(store) == 6
    assert frames_done(tmp_path / "other") == 0
    arguments = ["index", str(tmp_path / "bag"), "-o", str(store), "--workers", "4", *SIZE]
    assert main(arguments) == 0
    assert ", about 6 min; " in capsys.readouterr().out  # 24 frames, four a minute


def test_kitti360_to_bag_tells_the_time(tmp_path, capsys, slow_clock, monkeypatch):
    monkeypatch.setattr(progress, "_WORTH_TRYING", 6)
    write_official(tmp_path / "official")
    arguments = ["kitti360-to-bag", str(tmp_path / "official"), "-o", str(tmp_path / "bags")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert re.search(r"6 frames of 1 drives: about [0-9.]+ kB to write, about 6 min; ", out)
    # What was written to see how long it takes is gone.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bags", "official"]
    assert len(list((tmp_path / "bags").iterdir())) == 1
    assert main(arguments) == 0
    assert "about 0 bytes to write; " in capsys.readouterr().out


@pytest.mark.parametrize(("workers", "minutes"), [(1, 200), (4, 100)])
def test_synthesize_tells_the_time(
    tmp_path, capsys, slow_clock, monkeypatch, workers: int, minutes: int
):
    """By the frames of each process, of which there are two at most on two cores."""
    monkeypatch.setattr(synthesize.os, "cpu_count", lambda: 2)
    tried = []
    for name in ("render_some", "fill_some"):
        monkeypatch.setattr(
            SyntheticDataset, name, lambda *words, name=name: tried.append((name, *words[1:]))
        )
    monkeypatch.setattr(SyntheticDataset, "make", lambda *_, **__: 0)
    arguments = ["synthesize", str(tmp_path), "--seeds", "4,5", "--workers", str(workers)]
    assert main(arguments) == 0
    told = progress.time_in_words(minutes * 60)
    out = capsys.readouterr().out
    assert re.search(rf"200 frames to render, about [0-9.]+ MB, about {told}; ", out)
    assert {(name, seed, outputs) for name, seed, _, outputs in tried} == {
        ("render_some", 4, ("bags",))
    }
    assert main([*arguments, "--write", "folders"]) == 0  # with voxels of every fifth frame
    told = progress.time_in_words(minutes * 60 * 6 / 5)
    assert f", about {told}; " in capsys.readouterr().out
    assert main(["synthesize", str(tmp_path / "few"), "--frames", "99"]) == 0
    assert re.search(r"99 frames to render, about [0-9.]+ MB; ", capsys.readouterr().out)


def test_frames_that_are_tried_are_rendered(tmp_path, monkeypatch):
    """Whole frames, with what the folders get; numbers go round."""
    rendered = []
    monkeypatch.setattr(dataset, "_render", lambda *words: rendered.append(words))
    made = SyntheticDataset(tmp_path, DatasetSettings(frames=4))
    made.render_some(7, range(3, 5), ("folders",))
    made.render_some(7, range(1, 2), ("bags",))
    assert [(scan, job[0].seed, job[1]) for _, scan, _, job in rendered] == [
        (True, 7, 3),
        (True, 7, 0),
        (False, 7, 1),
    ]


# Progress without a terminal


def lines_of(monkeypatch, capsys, seconds_each: float, total: int, first: int = 1) -> list[str]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.counting("things") as count:
        for done in range(first, total + 1):
            count(done, total)
            now[0] += seconds_each
    return capsys.readouterr().err.splitlines()


def test_the_time_left_is_told_after_the_first_few(monkeypatch, capsys):
    lines = lines_of(monkeypatch, capsys, 10.0, 3000)
    assert lines[0] == "things 6 of 3000, about 8.3 h left at the rate of the first 5"
    assert lines[1] == "things 300 of 3000, about 7.5 h left"
    assert lines[-1] == "things 3000 of 3000"
    assert len(lines) == 11
    # Gone on with: what was done before took no time.
    lines = lines_of(monkeypatch, capsys, 10.0, 3000, first=2401)
    assert "things 2406 of 3000, about 1.6 h left at the rate of the first 5" in lines
    # What is done in seconds says so at its tenths only.
    lines = lines_of(monkeypatch, capsys, 0.01, 200)
    assert len(lines) == 10
    assert lines[0] == "things 20 of 200, about 2 s left"


def test_stages_are_counted_one_after_the_other(capsys):
    with progress.counting_stages("starting", "images") as report:
        report("waiting", 0, 0)
        report("waiting", 0, 0)
        for done in (1, 2):
            report("playing", done, 2)
    assert capsys.readouterr().err.splitlines() == [
        "waiting",
        "playing 1 of 2 images",
        "playing 2 of 2 images",
    ]


def test_a_terminal_shows_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then writes as to a terminal
    monkeypatch.setenv("COLUMNS", "80")
    with progress.counting("frames [new]") as count:
        count(3, 7)
    err = capsys.readouterr().err
    assert "frames [new]" in err
    assert "3/7" in err


# Commands


def test_index_refuses_what_the_disk_has_no_room_for(tmp_path, small_disk, capsys):
    write_rig(tmp_path / "bag", 6)
    arguments = ["index", str(tmp_path / "bag"), *SIZE]
    needed = 6 * 2 * 16 * 48 * 3  # 27648 bytes
    small_disk(needed - 1)
    assert main([*arguments, "--check"]) == 0
    assert "store: 6 frames of 2 cameras at 16x48, 27.6 kB\n" in capsys.readouterr().out
    assert main([*arguments, "-o", str(tmp_path / "store")]) == 2
    out, err = capsys.readouterr()
    assert "store: 6 frames of 2 cameras at 16x48, 27.6 kB; 27.6 kB free" in out
    assert "the frame store" in err
    assert "will take about 27.6 kB, but only 27.6 kB are free" in err
    assert "choose another folder, a smaller image size, fewer cameras or fewer frames" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag"]
    small_disk(needed)
    assert main([*arguments, "-o", str(tmp_path / "store")]) == 0


def test_kitti360_drives_are_weighed(tmp_path, small_disk, capsys):
    """Of small pictures much of a recording is not pictures; of real ones nearly nothing."""
    write_official(tmp_path / "official")
    drives = find_drives(tmp_path / "official")
    needed = sum(kitti360_bytes(read_drive(f), labels=True, scans=True) for f in drives)
    small_disk(needed - 1)
    arguments = ["kitti360-to-bag", str(tmp_path / "official"), "-o", str(tmp_path / "bags")]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert f"6 frames of 1 drives: about {bytes_in_words(needed)} to write; " in out
    assert "the recordings will take about" in err
    assert "choose another folder, fewer drives (--drive) or --cameras, or --no-scans" in err
    assert not (tmp_path / "bags").exists()
    small_disk(needed)
    assert main(arguments) == 0
    written = sum(bytes_on_disk(folder) for folder in (tmp_path / "bags").iterdir())
    assert 0.7 * needed < written < 1.5 * needed
    small_disk(0)
    assert main(arguments) == 0  # nothing is left to do
    assert "6 frames of 1 drives: about 0 bytes to write; 0 bytes free" in capsys.readouterr().out


def test_synthetic_drives_are_weighed(tmp_path, small_disk, capsys):
    small_disk(1_000_000)
    arguments = ["synthesize", str(tmp_path / "streets"), "--seeds", "3-4", "--frames", "10"]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert "20 frames to render, about 37.2 MB; 1.0 MB free in" in out
    assert "the drives will take about 37.2 MB, but only 1.0 MB are free" in err
    assert main([*arguments, "--write", "folders"]) == 2
    # Half of it are voxels of every fifth frame, a sixth are scans.
    assert "20 frames to render, about 113.3 MB" in capsys.readouterr().out


def test_several_recordings_are_indexed_in_one_go(tmp_path, capsys, small_disk):
    bags = tmp_path / "bags"
    bags.mkdir()
    for name, frames in (("one", 4), ("two", 5), ("three", 3)):
        write_rig(bags / name, frames)
    (bags / "broken").mkdir()
    (bags / "broken" / "broken_0.mcap").write_bytes(b"nothing")
    (bags / "three" / "three_0.mcap").rename(bags / "three.mcap")
    shutil.rmtree(bags / "three")
    paths = [str(path) for path in sorted(bags.iterdir())]
    output = ["-o", str(tmp_path / "stores"), *SIZE]
    small_disk(12 * 2 * 16 * 48 * 3 - 1)
    assert main(["index", *paths, *output]) == 2
    assert "the frame stores will take about 55.3 kB" in capsys.readouterr().err
    small_disk(12 * 2 * 16 * 48 * 3)
    assert main(["index", *paths, *output]) == 1
    out, err = capsys.readouterr()
    assert "up to 12 frames of 4 recordings, 55.3 kB at 16x48; 55.3 kB free in " in out
    assert f"1 of 4 recordings cannot be used: {bags / 'broken'}" in out
    assert f"scenedino index: {bags / 'broken'}" in err
    assert "broken_0.mcap is not an MCAP file" in err
    stores = sorted((tmp_path / "stores").iterdir())
    assert [(path.name, len(FrameStore(path))) for path in stores] == [
        ("one", 4),
        ("three", 3),
        ("two", 5),
    ]
    # Again: what is there stays, and what is to be made otherwise is refused.
    before = [path.stat().st_mtime_ns for path in stores]
    good = [path for path in paths if "broken" not in path]
    assert main(["index", *good, *output]) == 0
    assert capsys.readouterr().out.count("is complete already") == 3
    assert [path.stat().st_mtime_ns for path in stores] == before
    for other in (
        ("--cameras", "right"),
        ("--fit", "crop"),
        ("--tolerance", "0.02"),
        ("--poses", "tf"),
        ("--fisheye-rotation", "0,-10"),
    ):
        assert main(["index", *good, *output, *other]) == 1
        assert capsys.readouterr().err.count("exists already") == 3
    assert main(["index", *good, "--check"]) == 0


def test_recordings_of_one_name_are_refused(tmp_path, capsys):
    for part in ("a", "b"):
        write_rig(tmp_path / part / "drive", 3)
    paths = [str(tmp_path / part / "drive") for part in ("a", "b")]
    assert main(["index", *paths, "-o", str(tmp_path / "stores"), *SIZE]) == 2
    assert "must have different names for their stores" in capsys.readouterr().err
    assert not (tmp_path / "stores").exists()


def test_names_are_never_cut(tmp_path, capsys, monkeypatch):
    """However narrow the terminal is."""
    monkeypatch.setenv("COLUMNS", "30")
    name = "a_vehicle_with_a_long_name/roof/forward_looking_wide_angle_camera"
    write_rig(tmp_path / "bag", 3, topics={"left": f"/{name}"})
    assert main(["index", str(tmp_path / "bag"), "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{name}  3       10.00 Hz  64 x 32") for line in lines)
    assert main(["index", str(tmp_path / "bag"), "--check", "--cameras", name]) == 0


def test_arrays_of_different_cameras_are_different_files(tmp_path):
    arrays = [
        ("left", ""),
        ("left", "_mirrored"),
        ("left", "_raw"),
        ("left_mirrored", ""),
        ("left_raw", ""),
        ("left_done", ""),
        ("left%5Fraw", ""),
        ("left/b", ""),
        ("left_b", ""),
    ]
    for number, array in enumerate(arrays):
        FrameArray(tmp_path, array_name(*array), 2).write(1, np.full(3, number))
    for number, array in enumerate(arrays):
        assert FrameArray(tmp_path, array_name(*array), 2).read(1).tolist() == [number] * 3
    assert array_name("camera_00", "_mirrored") == "camera_00_mirrored"  # as caches have it


# Motion


def scaled(scale: float, frames: int = 12) -> np.ndarray:
    poses = np.stack([T_world_body(frame) for frame in range(frames)])
    poses[:, :3, 3] *= scale
    return poses


def test_a_motion_faster_than_any_vehicle_is_told():
    stamps = START + PERIOD * np.arange(12)
    assert speed_problem(stamps, scaled(12.0)) == ""  # 97 m/s
    told = speed_problem(stamps, scaled(1000.0))  # millimetres
    assert told.startswith("the body moves 806.2 m from frame to frame (8062 m/s), and no vehicle")
    jump = scaled(1.0)
    jump[6:, 0, 3] += 5000
    assert speed_problem(stamps, jump) == ""  # a single jump is a break of the drive
    assert speed_problem(stamps[:1], scaled(1.0, 1)) == ""


@pytest.fixture
def moving_pictures(monkeypatch):
    """Let pictures show something else at every frame, or one that a tenth moves in."""
    draws = np.random.default_rng(3)
    scenes = draws.integers(0, 256, (40, 32, 64, 3), dtype=np.uint8)

    def show(share: float) -> None:
        def image(self, camera, index):
            rgb = scenes[0].copy()
            rgb[:, : round(64 * share)] = scenes[index][:, : round(64 * share)]
            return rgb

        monkeypatch.setattr(Recording, "image", image)

    return show


def test_poses_that_stand_still_while_pictures_change_are_told(
    tmp_path, moving_pictures, capsys, monkeypatch
):
    for name, scale in (("still", 0.0), ("degrees", 1e-5), ("metres", 1.0)):
        monkeypatch.setattr("recorded_rig.T_world_body", straight(scale))
        write_rig(tmp_path / name, 10)
    moving_pictures(1.0)
    for name, moved in (("still", "0 m"), ("degrees", "8.1e-06 m")):
        assert main(["index", str(tmp_path / name), "--check"]) == 1
        out = capsys.readouterr().out
        assert f"problem: the body moves {moved} from frame to frame (" in out
        assert "% of the pixels of left change from frame 0 to " in out
    assert main(["index", str(tmp_path / "metres"), "--check"]) == 0
    moving_pictures(0.1)  # traffic in front of a vehicle that waits
    assert main(["index", str(tmp_path / "still"), "--check"]) == 0


def test_pictures_may_change_while_a_camera_turns_in_place(tmp_path, moving_pictures, monkeypatch):
    def turning(frame: float) -> np.ndarray:
        return matrix_from_rotation((0, 0, 0), (0, 0, np.sin(0.05 * frame), np.cos(0.05 * frame)))

    monkeypatch.setattr("recorded_rig.T_world_body", turning)
    write_rig(tmp_path / "turning", 10)
    moving_pictures(1.0)
    assert main(["index", str(tmp_path / "turning"), "--check"]) == 0


def straight(scale: float):
    def pose(frame: float) -> np.ndarray:
        T = np.eye(4)
        T[:3, 3] = scale * T_world_body(frame)[:3, 3]
        return T

    return pose


def test_a_store_keeps_what_is_wrong_with_its_motion(tmp_path, monkeypatch):
    def far(frame: float) -> np.ndarray:
        T = T_world_body(frame)
        T[:3, 3] *= 1000
        return T

    monkeypatch.setattr("recorded_rig.T_world_body", far)
    write_rig(tmp_path / "bag", 5)
    with Recording(tmp_path / "bag") as recording:
        store = build_frame_store(recording, tmp_path / "store", StoreSettings((16, 48)))
    assert [p for p in store.source["problems"] if "positions must be in metres" in p]
