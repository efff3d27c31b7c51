# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""`scenedino poses`: which lines are of which frames, what is refused first, and what is kept."""

import csv
import shutil
from pathlib import Path

import pytest
from stereo_drive import write_stereo_drive

from scenedino_ros.cli.main import main
from scenedino_ros.recordings.odometry import stereo_trajectory
from scenedino_ros.recordings.poses import read_tum_trajectory


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    status = main(["poses", *map(str, words)])
    output = capsys.readouterr()
    return status, output.out + output.err


@pytest.fixture
def drive(tmp_path, monkeypatch) -> Path:
    """Return the folder of a drive of three frames, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_stereo_drive(Path("kitti"), 3)


@pytest.fixture
def nothing_is_estimated(monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("poses were estimated")

    monkeypatch.setattr(stereo_trajectory, "stereo_trajectory", refuse)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def position_error_cm(output: str) -> float:
    (line,) = (line for line in output.splitlines() if "position from frame to frame" in line)
    return float(line.split()[-2])


@pytest.mark.parametrize("removed", [(0, 1, 2), (1, 3, 6)])
def test_frames_keep_their_numbers(tmp_path, capsys, removed):
    folder = write_stereo_drive(tmp_path, 7, dark=(5,))
    for number in removed:
        for camera in ("image_0", "image_1"):
            (folder / camera / f"{number:06d}.png").unlink()
    # Frame 0 is elsewhere, so taking the lines of other frames would be an error of metres.
    truth = tmp_path / "poses/00.txt"
    lines = truth.read_text().splitlines()
    lines[0] = "1 0 0 0 0 1 0 0 0 0 1 -50"
    if 0 in removed:
        truth.write_text("\n".join(lines) + "\n")
    report = tmp_path / "report.csv"
    status, output = run(capsys, folder, "--compare", truth, "--report", report)
    assert status == 0, output
    assert position_error_cm(output) < 2
    assert "refused: frame 5: 0 points are followed" in output
    left = [number for number in range(7) if number not in removed]
    assert [int(row["frame"]) for row in rows_of(report)] == left


def test_kitti_lines_are_refused_for_frames_with_other_numbers(
    drive, capsys, nothing_is_estimated
):
    for camera in ("image_0", "image_1"):
        (drive / camera / "000000.png").unlink()
    status, output = run(capsys, drive, "-o", "poses.txt", "--format", "kitti")
    assert status == 2
    assert (
        "--format kitti needs frames 0 to 1, because line i is frame i; got 2 frames from 1 to 2; "
        "choose --format tum"
    ) in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--compare none.txt", "none.txt cannot be read: No such file or directory"),
        ("--compare recorded", "--compare recorded: kitti/sequences/00 has no poses of its own"),
        (
            "--compare late.tum",
            "no image has a pose: images are taken from 0.000 to 0.200 s, poses in late.tum go "
            "from 9.000 to 9.100 s",
        ),
        ("-o none/x", "none/x must be in a folder that exists, got none at none"),
        ("-o none/x --format kitti", "none/x must be in a folder that exists, got none at none"),
        ("--report none/x", "none/x must be in a folder that exists, got none at none"),
        ("-o y --report y", "--report must be another file than --output, got y"),
        ("--report kitti", "--report must name a file, got the folder kitti"),
        ("-o x --format kitti", "x.tum exists already"),
        (
            "-o y --baseline 1",
            "--baseline must go with a recording, got the KITTI drive kitti/sequences/00",
        ),
        (
            "-o y --body-frame car --poses-of body",
            "--body-frame, --poses-of must go with a recording, got the KITTI drive",
        ),
    ],
)
def test_mistakes_are_seen_before_the_work(drive, capsys, nothing_is_estimated, options, message):
    shutil.rmtree("kitti/poses")
    Path("x.tum").touch()
    Path("late.tum").write_text("9 0 0 0 0 0 0 1\n9.1 0 0 0 0 0 0 1\n")
    status, output = run(capsys, drive, *options.split())
    assert status == 2
    assert message in output


def test_poses_and_report_are_kept_where_the_comparison_fails(drive, capsys):
    Path("early.tum").write_text("0 0 0 0 0 0 0 1\n0.05 0 0 1 0 0 0 1\n")
    words = ("-o", "poses.tum", "--report", "report.csv", "--compare", "early.tum")
    status, output = run(capsys, drive, *words)
    assert status == 2
    assert "trajectories must have two times in common or more, got 1 of 3" in output
    assert len(read_tum_trajectory(Path("poses.tum"))) == 3
    assert len(rows_of(Path("report.csv"))) == 3


def test_poses_that_kittis_format_cannot_hold_are_kept(tmp_path, capsys):
    folder = write_stereo_drive(tmp_path, 4, dark=(2,))
    out, report = tmp_path / "poses.txt", tmp_path / "report.csv"
    status, output = run(capsys, folder, "-o", out, "--format", "kitti", "--report", report)
    assert status == 2
    assert (
        "--format kitti needs a pose of each of 4 frames, got 3; the poses are in "
        f"{out}.tum, in TUM's format"
    ) in output
    assert not out.exists()
    assert len(read_tum_trajectory(tmp_path / "poses.txt.tum")) == 3
    assert len(rows_of(report)) == 4
