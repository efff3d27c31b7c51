# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Damaged and hostile files of common formats: refused in bounded memory, with our errors."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scenedino_ros.cameras.camera_file import camera_from_yaml
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core import file_limits, reading
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.recordings.datasets.image_times import read_image_times
from scenedino_ros.recordings.datasets.kitti360 import read_poses
from scenedino_ros.recordings.datasets.numbered_files import (
    numbered_files,
    read_stamps,
    read_times,
)
from scenedino_ros.recordings.poses import read_tum_trajectory
from scenedino_ros.recordings.trajectory_files import read_kitti_poses
from scenedino_ros.viewing.voxel_files import read_npz


def refusal(read, path: Path) -> str:
    """Return the sentence with which a reader refuses a file."""
    with pytest.raises(InputError) as caught:
        read(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert len(sentence) < 1000
    return sentence


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def npz(path: Path, arrays: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


READERS = (ClassTable.from_yaml, read_npz, read_rgb, reading.reads("file")(reading.read_array))


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_is_refused_at_once(tmp_path: Path, read):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert refusal(read, path).endswith("it must be a file, got a pipe")


@pytest.mark.parametrize("read", READERS)
def test_a_device_and_a_folder_are_refused(tmp_path: Path, read):
    assert "got a device" in refusal(read, Path("/dev/zero"))
    assert refusal(read, tmp_path).endswith("Is a directory")


def test_an_archive_is_no_array(tmp_path: Path):
    path = npz(tmp_path / "a.npy", {"a": npy(np.arange(3))})
    refusal(reading.reads("file")(reading.read_array), path)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole
    assert f"at most {file_limits.YAML_BYTES} bytes, got {1 << 40}" in refusal(
        ClassTable.from_yaml, path
    )
    assert "cannot be read: it must have at most" in refusal(read_rgb, path)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "it stands for more than 1000000 values"),
        ("[" * 30_000, "it nests more than 50 lists and mappings"),
        ("a: &a [1, *a]", "a list or mapping in it contains itself"),
        ("a: &a\n  b: *a", "a list or mapping in it contains itself"),
        (f"classes: {'9' * 5000}", "a number has more than 400 digits"),
        (f"classes: {'1:' * 500}1", "a number has more than 400 digits"),
        ("classes: 2001-13-45", "month must be in 1..12"),
        ("\x00", "special characters are not allowed"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        (b"\xff\xfe\x00", "'utf-8' codec can't decode"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text, why: str):
    path = written(tmp_path / "a.yaml", text)
    assert why in refusal(ClassTable.from_yaml, path)


def test_a_calibration_may_not_be_a_bomb_either(tmp_path: Path):
    assert "stands for more" in refusal(
        lambda path: camera_from_yaml(path, rectified=False), written(tmp_path / "a.yaml", BOMB)
    )


def test_aliases_that_stand_for_little_are_kept():
    shared = reading.parse_yaml("a: &a [1, 2]\nb: *a\nc: {d: *a, <<: {e: 3}}")
    assert shared == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2], "e": 3}}


@pytest.mark.parametrize(
    ("text", "why"),
    [("[" * 30_000, "it is nested too deeply"), ("{", "Expecting property name")],
)
def test_hostile_json_is_refused(tmp_path: Path, text: str, why: str):
    path = written(tmp_path / "a.json", text)
    assert why in refusal(reading.reads("file")(reading.read_json), path)


def test_arrays_come_back_as_they_were_written(tmp_path: Path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.zeros((0, 3))}
    arrays["d"] = np.asfortranarray(arrays["a"])
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = reading.read_arrays(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_an_npz_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(file_limits, "ALWAYS", 10_000)
    path = npz(tmp_path / "bomb.npz", {"a": npy(np.zeros(1 << 20, np.uint8))})
    sentence = refusal(read_npz, path)
    assert "are more than" in sentence
    assert "at most 200 times the size" in sentence


def test_an_array_that_promises_more_than_its_bytes_is_refused(tmp_path: Path):
    head = npy(np.zeros(8))[:-64].replace(b"(8,), }", b"(10000000000000,), }")
    short = head.replace(b" " * 13 + b"\n", b"\n")  # the header keeps its length
    assert len(short) == 128
    content = short + bytes(64)
    path = npz(tmp_path / "a.npz", {"origin": content})
    assert "must have 80000000000000 bytes, got 64" in refusal(read_npz, path)
    path = written(tmp_path / "a.npy", content)
    assert "greater than file size" in refusal(reading.reads("file")(reading.read_array), path)


def test_objects_and_too_many_arrays_are_refused(tmp_path: Path):
    path = npz(tmp_path / "a.npz", {"origin": npy(np.array([{}, None], object))})
    assert "it holds Python objects, which are not loaded" in refusal(read_npz, path)
    path = npz(tmp_path / "b.npz", {str(n): b"" for n in range(file_limits.ARRAYS + 1)})
    assert "at most 1000 arrays, got 1001" in refusal(read_npz, path)


def test_voxels_must_lie_in_their_grid(tmp_path: Path):
    values = {
        "origin": np.zeros(3),
        "shape": np.array([2, 2, 2]),
        "voxel_size": np.array(0.2),
        "index": np.array([1, 8]),
        "label": np.zeros(2, np.uint8),
        "confidence": np.ones(2, np.float32),
        "density": np.ones(2, np.float32),
    }
    path = npz(tmp_path / "a.npz", {name: npy(value) for name, value in values.items()})
    assert "index must be places in a grid of (2, 2, 2) voxels" in refusal(read_npz, path)
    values |= {"index": np.array([1, 7]), "label": np.zeros(1, np.uint8)}
    path = npz(tmp_path / "a.npz", {name: npy(value) for name, value in values.items()})
    assert "must be as many as index, 2" in refusal(read_npz, path)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyError("data"), "KeyError 'data'"),
        (AssertionError(), "AssertionError"),
        (MemoryError(), "it needs more memory than there is"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (OSError(28, "No space left on device", "x"), "No space left on device"),
        (ValueError("two\nlines \x1b[31m"), r"two lines \x1b[31m"),
    ],
)
def test_errors_of_libraries_become_ours(error: Exception, why: str):
    with (
        pytest.raises(CheckpointError) as caught,
        reading.reading("checkpoint a", CheckpointError),
    ):
        raise error
    assert str(caught.value) == f"checkpoint a cannot be read: {why}"
    assert caught.value.__cause__ is error


def test_the_length_of_a_reason_is_bounded_and_our_errors_pass():
    with pytest.raises(InputError) as caught, reading.reading("a"):
        raise ValueError("x" * 10**6)
    assert len(str(caught.value)) < 400
    with pytest.raises(CheckpointError, match="^ours$"), reading.reading("a"):
        raise CheckpointError("ours")


def test_class_names_are_printable(tmp_path: Path):
    rows = [{"id": 0, "name": "road\x1b[2J", "color": [0, 0, 0], "ssc_id": 0}]
    table = ClassTable.from_yaml(written(tmp_path / "a.yaml", json.dumps({"classes": rows})))
    assert table.names == (r"road\x1b[2J",)


@pytest.mark.parametrize(
    ("read", "line", "why"),
    [
        (read_tum_trajectory, "1e1541000 0 0 0 0 0 0 1", "a time must be below 2^63 ns"),
        (read_tum_trajectory, "9223372036854775808 0 0 0 0 0 0 1", "a time must be below 2^63 ns"),
        (read_tum_trajectory, "9300000000 0 0 0 0 0 0 1", "a time must be below 2^63 ns"),
        (read_tum_trajectory, "nan 0 0 0 0 0 0 1", "InvalidOperation"),
        (read_kitti_poses, "1 0 0 nan 0 1 0 0 0 0 1 0", "must hold finite numbers"),
        (read_poses, f"1 1 0 0 {'9' * 400} 0 1 0 0 0 0 1 0", "must hold finite numbers"),
        (read_poses, "1e30 1 0 0 0 0 1 0 0 0 0 1", "12 or 16 numbers"),
    ],
)
def test_numbers_beyond_all_measure_are_refused_at_once(tmp_path: Path, read, line, why):
    assert why in refusal(read, written(tmp_path / "poses.txt", line))


@pytest.mark.parametrize(
    ("unit", "word", "why"),
    [
        ("auto", "1e1541000", "times must be below 2147483648000000000 ns, got 1e1541000"),
        ("s", "1e17", "times must be below 2147483648 s, got 1e17"),
        ("auto", "-1e999990", "times must be finite and >= 0, got -1e999990"),
    ],
)
def test_times_of_images_beyond_all_measure_are_refused_at_once(tmp_path: Path, unit, word, why):
    path = written(tmp_path / "times.txt", f"{word}\n")
    assert why in refusal(lambda p: read_image_times(p, [Path("a.png")], unit), path)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("1e1541000", "times must be below 2147483648 s, got '1e1541000'"),
        ("9e9", "times must be below 2147483648 s, got '9e9'"),
        ("-1e999990", "times must be >= 0 s, got '-1e999990'"),
        ("-1e999999999", "times must be >= 0 s, got '-1e999999999'"),
        ("sNaN", "'sNaN' is not a number of seconds"),
    ],
)
def test_seconds_of_frames_beyond_all_measure_are_refused_at_once(tmp_path: Path, word, why):
    path = written(tmp_path / "times.txt", f"{word}\n")
    assert why in refusal(lambda p: read_times(p, [0]), path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("9999-12-31 23:59:59.9", "times must be from 1970 to 2038"),
        ("0001-01-01 00:00:00.0", "times must be from 1970 to 2038"),
        ("2011-09-26 13:02:25.-1", "a fraction of a second has digits, got -1"),
    ],
)
def test_dates_of_frames_beyond_all_measure_are_refused(tmp_path: Path, line, why):
    path = written(tmp_path / "timestamps.txt", f"{line}\n")
    assert why in refusal(lambda p: read_stamps(p.parent, [""], [0]), path)


def test_a_frame_number_beyond_all_stamps_is_refused(tmp_path: Path):
    path = written(tmp_path / "99999999999999999999.png", "")
    assert "at most 21474836469" in refusal(lambda p: numbered_files(p.parent, ".png"), path)
