# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recordings are written so that nothing is lost."""

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="needs the rosbags package")
pytest.importorskip("mcap", reason="needs the mcap package")

import zstandard  # noqa: E402
from recorded_bags import STRING, both, contents, readable, record, text  # noqa: E402

from scenedino_ros.core.errors import BagError  # noqa: E402
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter


@both
def test_nothing_is_replaced_unless_asked_for(tmp_path, storage):
    written = record(tmp_path / "drive", storage, count=3)
    with pytest.raises(BagError, match="drive exists already"):
        BagWriter(tmp_path / "drive", storage)
    writer = BagWriter(tmp_path / "drive", storage, overwrite=True)
    assert contents(tmp_path / "drive") == written  # until the new one is complete
    writer.close()
    assert contents(tmp_path / "drive") == []
    assert [f.name for f in tmp_path.iterdir()] == ["drive"]
    (tmp_path / "drive" / "notes.txt").write_text("keep me")
    with pytest.raises(BagError, match="is not replaced, because it is not just a recording"):
        BagWriter(tmp_path / "drive", storage, overwrite=True)


def test_a_target_that_appears_meanwhile_is_kept(tmp_path):
    writer = BagWriter(tmp_path / "drive")
    writer.add_topic("/a", STRING)
    writer.write("/a", 1, text("x"))
    (tmp_path / "drive").mkdir()
    with pytest.raises(BagError, match="exists already; the new recording is in .*drive.partial"):
        writer.close()
    assert contents(tmp_path / "drive.partial") == [("/a", 1, text("x"))]


@both
def test_an_exception_keeps_what_was_written(tmp_path, storage):
    def interrupted() -> None:
        with BagWriter(tmp_path / "drive", storage) as writer:
            writer.add_topic("/a", STRING)
            writer.write("/a", 1, text("x"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    messages, problems = readable(tmp_path / "drive")
    assert messages == [("/a", 1, text("x"))]
    assert problems == []


@both
def test_a_killed_recorder_loses_nothing_that_was_flushed(tmp_path, storage):
    script = (
        "import os, sys, time\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from scenedino_ros.recordings.rosbag2.writer import BagWriter\n"
        "writer = BagWriter(sys.argv[1], sys.argv[2])\n"
        "writer.add_topic('/a', 'std_msgs/msg/String')\n"
        "for i in range(40):\n"
        "    writer.write('/a', i, b'\\0\\1\\0\\0\\1\\0\\0\\0\\0')\n"
        "    if i % 8 == 7: writer.flush()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", script, str(tmp_path / "drive"), storage, root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "drive").exists()
    messages, _ = readable(tmp_path / "drive.partial")
    assert [m[1] for m in messages] == list(range(40))
    # The next recording does not touch what is left.
    record(tmp_path / "drive", storage, count=1)
    assert len(readable(tmp_path / "drive.partial")[0]) == 40


def test_writing_flushes_by_itself(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    writer = BagWriter(tmp_path / "drive")
    writer.add_topic("/a", STRING)
    for index in range(3):
        now[0] = index * 0.6
        writer.write("/a", index, text("x"))
    assert len(readable(writer.partial_path)[0]) == 3
    writer.close()


def test_large_messages_and_many_small_ones(tmp_path):
    big = struct.pack("<4sI", b"\0\1\0\0", 1) + os.urandom(3 << 20)
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/big", "std_msgs/msg/ByteMultiArray")
        writer.add_topic("/small", STRING)
        for index in range(3):
            writer.write("/big", index * 10_000, memoryview(big))
            for step in range(3000):
                writer.write("/small", index * 10_000 + step, text("x"))
    with BagReader(tmp_path / "bag") as bag:
        assert bag.message_count == 9003
        assert [m.message == big for m in bag.messages(["/big"], raw=True)] == [True] * 3
        assert sum(1 for _ in bag.messages(["/small"], raw=True)) == 9000


def test_misuse_of_the_writer_is_refused(tmp_path):
    with pytest.raises(BagError, match="storage must be mcap or sqlite3, got 'rosbag1'"):
        BagWriter(tmp_path / "bag", "rosbag1")
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/a", STRING)
        with pytest.raises(BagError, match="topic /a was added to .* already"):
            writer.add_topic("/a", STRING)
        with pytest.raises(BagError, match="topic /b was not added"):
            writer.write("/b", 1, b"")
    with pytest.raises(BagError, match="the recording .* is closed"):
        writer.write("/a", 1, b"")
    writer.close()  # again: nothing happens


def test_message_compression_that_cannot_be_undone_is_named(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/a", STRING)
        writer.write("/a", 1, zstandard.compress(text("x" * 500))[:4] + b"rubbish")
    with (
        BagReader(tmp_path / "bag") as bag,
        pytest.raises(BagError, match="cannot be decompressed"),
    ):
        list(bag.messages(raw=True))
