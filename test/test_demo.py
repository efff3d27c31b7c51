# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The demo: folders, recording and report, and a whole run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from demo_drives import (
    CAMERA_IN_BASE,
    picture,
    write_drive,
)
from models import lively_checkpoint

from scenedino_ros.checkpoints.checkpoint import save_checkpoint
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.demo.folders import new_run_folder, point_latest_to
from scenedino_ros.demo.map_frames import MapFrames
from scenedino_ros.demo.map_recording import map_moments, map_stamps
from scenedino_ros.demo.recording import (
    Measurements,
    classes_of_cloud,
    voxels_from_cloud,
)
from scenedino_ros.demo.report import Report, write_report
from scenedino_ros.demo.settings import (
    PlayResult,
    Progress,
    read_settings,
)
from scenedino_ros.recordings.rosbag2.reader import BagReader

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 120.0  # seconds that a loaded machine may take for anything


# --- folders ------------------------------------------------------------------------------------


def test_every_run_has_its_own_folder_and_latest_follows(tmp_path):
    first = new_run_folder(tmp_path / "out")
    point_latest_to(first)
    second = new_run_folder(tmp_path / "out")
    assert (first.name, second.name) == ("run_001", "run_002")
    assert (tmp_path / "out/latest").resolve() == first
    point_latest_to(second)
    assert (tmp_path / "out/latest").resolve() == second
    first.rmdir()
    assert new_run_folder(tmp_path / "out").name == "run_003"


def test_something_of_the_users_called_latest_is_left_alone(tmp_path):
    (tmp_path / "latest").mkdir()
    point_latest_to(new_run_folder(tmp_path))
    assert not (tmp_path / "latest").is_symlink()


def test_an_output_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be used"):
        new_run_folder(tmp_path / "file")


# --- recording and report -----------------------------------------------------------------------


def test_a_cloud_becomes_the_voxels_it_was_made_from():
    to_msg = pytest.importorskip("scenedino_ros.node.to_msg")
    header_type = pytest.importorskip("std_msgs.msg").Header
    rng = np.random.default_rng(0)
    grid = VoxelGrid((-3.0, 1.0, 0.5), (30, 20, 10), 0.2)
    index = np.sort(rng.choice(grid.size, 500, replace=False))
    voxels = SemanticVoxels(
        grid,
        index,
        rng.integers(0, 19, 500).astype(np.uint8),
        rng.random(500).astype(np.float32),
        rng.random(500).astype(np.float32),
    )
    cloud = to_msg.cloud_from_voxels(voxels, CITYSCAPES19, header_type())
    again = voxels_from_cloud(cloud, grid)
    for name in ("index", "label", "confidence", "density"):
        np.testing.assert_array_equal(getattr(again, name), getattr(voxels, name))
    assert classes_of_cloud(cloud) is CITYSCAPES19
    with pytest.raises(InputError, match="outside the grid"):
        voxels_from_cloud(cloud, VoxelGrid(grid.origin, (5, 5, 5), 0.2))


def test_an_empty_cloud_has_no_voxels():
    to_msg = pytest.importorskip("scenedino_ros.node.to_msg")
    header_type = pytest.importorskip("std_msgs.msg").Header
    grid = VoxelGrid((0.0, 0.0, 0.0), (3, 3, 3), 1.0)
    none = np.zeros(0)
    empty = SemanticVoxels(
        grid,
        none.astype(np.int64),
        none.astype(np.uint8),
        none.astype(np.float32),
        none.astype(np.float32),
    )
    cloud = to_msg.cloud_from_voxels(empty, CITYSCAPES19, header_type())
    assert len(voxels_from_cloud(cloud, grid)) == 0
    assert classes_of_cloud(cloud) is CITYSCAPES19


def some_measurements() -> Measurements:
    return Measurements(
        counts={"/scenedino/voxels": 3, "/cam/image": 5},
        arrival_ms={"/scenedino/voxels": [10.0, 20.0, 30.0]},
        cloud_stamps=[1, 2, 3],
        image_stamps=[1, 2, 3, 4, 5],
        seconds=1.5,
        reports={
            "frames": {
                "images in": "5",
                "images out": "3",
                "dropped: replaced by a newer image": "2",
                "dropped: bad image": "0",
            },
            "latency": {"encode p50 [ms]": "12.50", "encode p95 [ms]": "20.00", "message": "x"},
            "network": {
                "weights": "untrained weights, seed 0",
                "untrained weights": "true",
                "device": "cpu",
            },
        },
    )


def test_the_report_holds_what_was_measured(tmp_path):
    played = PlayResult(5, seconds=2.5, span=1.6, pauses=0, paused_seconds=0.0, unanswered=0)
    report = Report(
        facts={"drive": "a | b"},
        measured=some_measurements(),
        played=played,
        realtime=True,
        problems=["something"],
        files={"recording": "recording"},
    )
    write_report(report, tmp_path)
    values = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert values["images"]["played"] == 5
    assert values["images"]["processed"] == 3
    assert values["drops"] == {"replaced by a newer image": 2}
    assert values["rate_hz"]["images_out"] == pytest.approx(2.0)
    assert values["latency_ms"] == {"encode": {"p50": 12.5, "p95": 20.0}}
    arrival = values["stamp_to_arrival_ms"]["/scenedino/voxels"]
    assert arrival == {"p50": 20.0, "p95": pytest.approx(29.0), "max": 30.0}
    assert values["untrained_weights"] is True
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "untrained weights" in text
    assert "| drive | a \\| b |" in text
    assert "| encode | 12.5 | 20.0 | nan |" in text
    assert "- something" in text
    assert "| images played | 5 | 2.50 |" in text  # four intervals in 1.6 s
    for changed, row in (
        (replace(report, realtime=False), "| images played | 5 | 2.00 |"),  # five answers in 2.5
        (replace(report, played=replace(played, sent=1, span=0.0)), "| images played | 1 |  |"),
        (replace(report, played=None), "| images played | 5 |  |"),
    ):
        write_report(changed, tmp_path)
        assert row in (tmp_path / "report.md").read_text(encoding="utf-8")


# --- the whole demo -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder with images and a checkpoint of a very small network."""
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    folder = tmp_path_factory.mktemp("material")
    (folder / "images").mkdir()
    for number in range(3):
        path = folder / "images" / f"{number:04d}.png"
        cv2.imwrite(str(path), picture(number)[..., ::-1])
    save_checkpoint(folder / "tiny.safetensors", lively_checkpoint())
    return folder


def start_demo(
    material: Path, output: Path, *arguments: str, bag: Path | None = None
) -> subprocess.Popen:
    """Play a recording or, without one, the images of the material."""
    command = [sys.executable, "-m", "scenedino_ros.demo", "--output", str(output)]
    if bag:
        command += ["--bag", str(bag)]
    else:
        command += ["--images", str(material / "images"), "--intrinsics", "80,80,79.5,31.5"]
    return subprocess.Popen(
        [*command, "--device", "cpu", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.ros
@pytest.mark.slow
def test_a_run_leaves_everything_in_its_folder(material, tmp_path):
    write_drive(tmp_path / "drive", 3, ends_with_pose=True)
    options = ("--checkpoint", str(material / "tiny.safetensors"), "--pictures", "2")
    demo = start_demo(material, tmp_path / "out", *options, bag=tmp_path / "drive")
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 0, out + errors
    run = tmp_path / "out" / "latest"
    assert run.resolve().name == "run_001"
    values = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert values["problems"] == []
    assert values["images"] == {
        "played": 3,
        "recorded": 3,
        "arrived_at_node": 3,
        "processed": 3,
        "clouds_recorded": 3,
    }
    assert values["drops"] == {}
    stages = {"encode", "voxels", "render", "map", "map messages", "stamp to publish"}
    assert stages <= set(values["latency_ms"])
    stamp_to_publish = values["latency_ms"]["stamp to publish"]
    assert 0 < stamp_to_publish["p50"] <= stamp_to_publish["p95"]
    assert values["untrained_weights"] is True
    assert "untrained weights" in out
    assert len(values["occupied_voxels"]) == 3
    assert min(values["occupied_voxels"]) > 0
    assert len(list((run / "pictures").glob("*.png"))) == 2
    assert (run / "voxels.ply").read_bytes().startswith(b"ply\n")
    assert (run / "animation.webp").stat().st_size > 1000
    assert values["facts"]["map"].startswith("in map, moving with base_link, ")
    voxels = int(values["facts"]["map"].split()[5])
    for name in ("map.png", "occupancy_grid.png", "map.webp"):
        assert (run / name).stat().st_size > 1000
        assert f"]({name})" in (run / "report.md").read_text(encoding="utf-8")
    layout = (run / "foxglove_layout.json").read_text(encoding="utf-8")
    assert '"/cam/image_rect/compressed"' in layout
    with BagReader(run / "recording") as reader:
        counts = {topic.name: topic.count for topic in reader.topics.values()}
        described = all(topic.definition for topic in reader.topics.values())
    assert described
    for topic in ("voxels", "depth/image", "semantic/image", "features/image"):
        assert counts[f"/scenedino/{topic}"] == 3
    assert counts["/scenedino/markers"] >= 3
    for topic in ("map/voxels", "map/markers", "occupancy_grid", "obstacles", "ground"):
        assert 1 <= counts[f"/scenedino/{topic}"] <= 4  # at a rate of its own; markers also clear
    stamps = map_stamps(run / "recording")
    frames_of_map = MapFrames("map", "base_link")
    moments = list(map_moments(run / "recording", frames_of_map, "cam", set(stamps)))
    assert [moment.stamp_ns for moment in moments] == stamps
    last = moments[-1]
    assert len(last.voxels) == voxels > 0
    assert last.voxels.grid.shape[:2] == last.cost.shape == (320, 320)
    assert set(np.unique(last.cost)) <= set(range(-1, 101))
    np.testing.assert_allclose(last.T_map_cam, last.T_map_robot @ CAMERA_IN_BASE, atol=1e-9)
    assert last.T_map_robot[0, 3] > 0.5
    assert counts["/diagnostics"] >= 2


@pytest.mark.ros
@pytest.mark.slow
def test_images_that_are_left_out_are_told_at_the_end(material, tmp_path):
    """The others are played all the same."""
    shutil.copytree(material / "images", tmp_path / "images")
    (tmp_path / "images" / "0001b.png").write_bytes(b"no picture")
    images = ("--images", str(tmp_path / "images"), "--pictures", "0")
    checkpoint = ("--checkpoint", str(material / "tiny.safetensors"))
    demo = start_demo(material, tmp_path / "out", *checkpoint, *images)
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 1, out + errors
    assert "0001b.png" in errors
    assert out.splitlines()[-1] == "error: 1 of 4 images are left out"
    values = json.loads((tmp_path / "out/latest/report.json").read_text(encoding="utf-8"))
    assert (values["images"]["processed"], values["problems"]) == (3, [])
    assert values["facts"]["map"] == "none: the drive's TF has no moving frame above the camera"


@pytest.mark.ros
@pytest.mark.slow
def test_ctrl_c_keeps_what_was_recorded_and_leaves_no_process(material, tmp_path):
    arguments = ("--checkpoint", str(material / "tiny.safetensors"), "--loop", "1000")
    demo = start_demo(material, tmp_path / "out", *arguments)
    progress = tmp_path / "out/run_001/logs/progress.json"
    end = time.monotonic() + 2 * DEADLINE
    while demo.poll() is None and time.monotonic() < end:
        if progress.is_file() and read_settings(progress, Progress).sent >= 3:
            break
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    out, errors = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == 130, out + errors
    assert "Traceback" not in out + errors
    run = tmp_path / "out" / "run_001"
    values = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert values["problems"] == ["the run was interrupted"]
    assert values["images"]["clouds_recorded"] >= 2
    assert (run / "recording" / "metadata.yaml").is_file()
    assert processes_with(str(run)) == []


@pytest.mark.ros
@pytest.mark.slow
def test_a_node_that_dies_is_reported_with_its_last_words(material, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no checkpoint")
    demo = start_demo(material, tmp_path / "out", "--checkpoint", str(broken))
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 1, out + errors
    assert "the node ended (exit code 1)" in out
    assert "broken.safetensors" in out
    assert "Traceback" not in out + errors
    assert processes_with(str(tmp_path / "out")) == []


@pytest.mark.ros
@pytest.mark.slow
def test_a_run_without_a_single_answer_is_an_error(material, tmp_path):
    checkpoint = str(material / "tiny.safetensors")
    nowhere = ("--grid", "sscbench", "--grid-frame", "nowhere")
    demo = start_demo(material, tmp_path / "out", "--checkpoint", checkpoint, *nowhere)
    out, errors = demo.communicate(timeout=2 * DEADLINE)
    assert demo.returncode == 1, out + errors
    said = " ".join(out.split())
    assert "error: the node answered none of 3 images that were played: no transform" in said
    assert "Traceback" not in out + errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "no-such-model"], "neither a file nor a name (default"),
        (["--bag", "no_such_bag"], "no recording"),
        (["--grid", "sscbench"], "needs --grid-frame"),
        (["--rate", "0"], "must be > 0"),
        (["--pictures", "-1"], "must be a whole number >= 0, got '-1'"),
        (
            ["--frames", "2", "--loop", "3"],
            "--frames counts the images of all loops, so with --loop it must be more than the 3 "
            "images of the drive, got 2",
        ),
    ],
)
def test_wrong_arguments_end_with_one_sentence_and_code_2(tmp_path, material, arguments, message):
    command = [sys.executable, "-m", "scenedino_ros.demo", "--output", str(tmp_path / "out")]
    if "--grid" in arguments or "--loop" in arguments:
        images = ["--images", str(material / "images"), "--intrinsics", "80,80,79.5,31.5"]
        arguments = [*arguments, *images]
    result = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "out").glob("run_*"))


def processes_with(text: str) -> list[str]:
    """Return the command lines of processes that name a path."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
