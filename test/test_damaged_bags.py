# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recordings made to fill memory or the disk, to run for ever, or to reach other files."""

import os
import sqlite3
import struct
import tempfile
import tracemalloc
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from recorded_bags import SECOND, STRING, text

from scenedino_ros.core import file_limits
from scenedino_ros.core.errors import BagError
from scenedino_ros.recordings.image_topics import BROKEN, look_at_images
from scenedino_ros.recordings.rosbag2 import mcap_reader, sqlite_guard
from scenedino_ros.recordings.rosbag2.decompression import decompress_lz4, decompress_zstd
from scenedino_ros.recordings.rosbag2.message_types import MessageTypes
from scenedino_ros.recordings.rosbag2.metadata import BagTopic, parse_qos, read_metadata
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter

MOST = 1 << 30


def bag(path: Path, storage: str = "mcap", count: int = 3, size: int = 10) -> Path:
    """Write a recording of strings and return its storage file."""
    with BagWriter(path, storage) as writer:
        writer.add_topic("/a", STRING)
        for number in range(count):
            writer.write("/a", (number + 1) * SECOND, text(f"{number}" * size))
            writer.flush()
    (file,) = (f for f in path.iterdir() if f.suffix in (".mcap", ".db3"))
    (path / "metadata.yaml").unlink()
    return file


def times(path: Path) -> list[int]:
    with BagReader(path) as reader:
        return [message.time_ns // SECOND for message in reader.messages(raw=True)]


def refusal(path: Path) -> str:
    with pytest.raises(BagError) as caught:
        times(path)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def sql(path: Path, script: str) -> None:
    database = sqlite3.connect(path)
    database.executescript(script)
    database.close()


# Decompression


@pytest.mark.parametrize("compress", [zstandard.compress, lz4.frame.compress])
def test_decompression_stops_at_the_bound(monkeypatch, compress):
    decompress = decompress_zstd if compress is zstandard.compress else decompress_lz4
    content = bytes(3_000_000)
    assert decompress(compress(content), MOST) == content
    with pytest.raises(ValueError, match=r"are more than 1\.0 MB decompressed"):
        decompress(compress(content), 1_000_000)
    monkeypatch.setattr(file_limits, "ALWAYS", 10_000)
    with pytest.raises(ValueError, match="at most 200 times the size"):
        decompress(compress(content), MOST)


def test_the_size_that_a_frame_states_reserves_no_memory():
    frame = bytearray(zstandard.compress(bytes(100_000)))
    assert struct.unpack_from("<I", frame, 5) == (100_000,)
    struct.pack_into("<I", frame, 5, 0xFFFF_FFFF)
    tracemalloc.start()
    try:
        with pytest.raises(zstandard.ZstdError):
            decompress_zstd(bytes(frame), MOST)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_compressed_file_that_would_fill_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(file_limits, "ALWAYS", 10_000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = tmp_path / "a.mcap.zstd"
    path.write_bytes(zstandard.compress(b"\x89MCAP0\r\n" + bytes(1 << 22)))
    assert f"{path} cannot be read: its " in refusal(path)
    assert "are more than" in refusal(path)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_compressed_message_that_would_fill_memory_is_refused(tmp_path, monkeypatch):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/a", STRING)
        writer.write("/a", SECOND, zstandard.compress(bytes(1 << 22)))
    assert len(times(tmp_path / "bag")) == 1
    monkeypatch.setattr(file_limits, "ALWAYS", 10_000)
    assert "cannot be decompressed: its " in refusal(tmp_path / "bag")


# MCAP


def test_a_flipped_length_of_a_chunk_loses_only_what_follows(tmp_path):
    path = bag(tmp_path / "bag")
    content = bytearray(path.read_bytes())
    chunks = [
        at
        for at in range(len(content))
        if content[at : at + 1] == b"\x06"
        and content[at + 1 : at + 9].endswith(bytes(6))
        and b"zstd" in content[at : at + 60]
    ]
    assert len(chunks) == 3
    content[chunks[1] + 7] = 0x7F  # the length is 2^55 now
    path.write_bytes(content[:-8])  # without the mark at the end there is no index
    with BagReader(path) as reader:
        assert "is cut off" in reader.problems[0]
    assert 1 in times(path)


def test_an_index_whose_chunks_overlap_is_not_trusted(tmp_path):
    path = bag(tmp_path / "bag", count=2)
    content = path.read_bytes()
    starts = []
    for at in range(len(content)):
        opcode, length = content[at], content[at + 1 : at + 9]
        if opcode == 0x08 and 50 < int.from_bytes(length, "little") < 200:
            starts.append(at + 9 + 16)  # of the place of the chunk
    assert len(starts) == 2
    first = content[starts[0] : starts[0] + 16]
    path.write_bytes(content[: starts[1]] + first + content[starts[1] + 16 :])
    assert times(path) == [1, 2]


# SQLite


VIEW = """
DROP TABLE messages;
CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)
SELECT id, 1 AS topic_id, id AS timestamp, 'x' AS data FROM n;
"""


def test_a_view_that_never_ends_is_refused(tmp_path):
    path = bag(tmp_path / "bag", "sqlite3")
    sql(path, VIEW)
    assert refusal(path).endswith("messages must be a plain table")


def test_computed_columns_are_refused(tmp_path):
    path = bag(tmp_path / "bag", "sqlite3")
    sql(path, "ALTER TABLE topics ADD COLUMN x GENERATED ALWAYS AS (hex(zeroblob(1000000)))")
    assert refusal(path).endswith("topics has computed columns")


def test_a_query_may_take_only_so_many_steps(tmp_path, monkeypatch):
    path = bag(tmp_path / "bag", "sqlite3", count=50)
    assert len(times(path)) == 50
    for name, value in (("_STEPS_ALWAYS", 0), ("_STEPS_PER_BYTE", 0), ("_STEPS_PER_CALL", 100)):
        monkeypatch.setattr(sqlite_guard, name, value)
    assert refusal(path).endswith("interrupted")


def test_times_that_are_no_numbers_are_left_out(tmp_path):
    path = bag(tmp_path / "bag", "sqlite3")
    sql(path, "UPDATE messages SET timestamp = 'noon' WHERE id = 2")
    assert times(path) == [1, 3]


def test_names_of_topics_are_printable(tmp_path):
    path = bag(tmp_path / "bag", "sqlite3")
    sql(path, "UPDATE topics SET name = '/a' || char(27) || '[2J'")
    with BagReader(path) as reader:
        assert list(reader.topics) == [r"/a\x1b[2J"]
        assert len(list(reader.messages())) == 3


def test_a_journal_must_not_make_sqlite_delete_another_file(tmp_path):
    path = bag(tmp_path / "bag", "sqlite3")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    name = str(victim).encode()
    checksum = sum(name) & 0xFFFF_FFFF
    journal = path.with_name(f"{path.name}-journal")
    journal.write_bytes(
        b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
        + struct.pack(">IIIII", 0, 0, 1, 512, 4096)
        + bytes(484)
        + struct.pack(">I", 1)
        + name
        + struct.pack(">II", len(name), checksum)
        + b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
    )
    assert "names the journal of several" in refusal(path)
    assert victim.read_text() == "precious"


def test_rows_that_claim_the_same_pages_do_not_fill_memory(tmp_path):
    path = bag(tmp_path / "bag", "sqlite3", count=4, size=82_320)
    content = bytearray(path.read_bytes()[:-4096])
    for page in range(4096, len(content), 4096):
        if content[page] == 0:  # a further page: let it lead to itself
            content[page : page + 4] = struct.pack(">I", page // 4096 + 1)
        if content[page] == 0x0D:  # a page with rows: let all of them be the first one
            (cell,) = struct.unpack_from(">H", content, page + 8)
            content[page + 3 : page + 5] = struct.pack(">H", 200)
            content[page + 8 : page + 408] = struct.pack(">H", cell) * 200
    path.write_bytes(content)
    with BagReader(path) as reader:
        assert "is cut off" in reader.problems[0]
        found = sum(len(message.message) for message in reader.messages(raw=True))
    assert found < 2 * len(content)


@pytest.mark.parametrize(("place", "value"), [(16, b"\0\0"), (16, b"\0\x03"), (20, b"\xff")])
def test_a_header_with_an_impossible_page_is_refused(tmp_path, place, value):
    path = bag(tmp_path / "bag", "sqlite3")
    content = bytearray(path.read_bytes())
    content[place : place + len(value)] = value
    struct.pack_into(">H", content, 16, 512) if place == 20 else None
    path.write_bytes(content)
    assert refusal(path).endswith("its header is damaged")


# Definitions, metadata, and other kinds of files


def topic(kind: str, definition: str) -> BagTopic:
    return BagTopic("/a", kind, definition=definition, definition_format="ros2msg")


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ("string[1000000] names", "must have at most 10000 elements, got 1000000"),
        ("int32 a # " + "x" * 300_000, "at most 131072 characters, got 300010"),
        ("int32", "cannot be understood"),
        ("uint8[99999999999] values", "is no 'my_msgs/msg/A'"),
    ],
)
def test_hostile_definitions_are_refused(definition, why):
    with pytest.raises(BagError, match=why):
        MessageTypes().decode(topic("my_msgs/msg/A", definition), bytes(12))


def test_a_recorded_definition_without_the_fields_of_its_type_breaks_nothing(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        kind = "sensor_msgs/msg/Image"
        writer.add_topic("/camera/image_raw", kind, definition="int32 a\n")
        writer.write("/camera/image_raw", SECOND, b"\0\1\0\0" + bytes(4))
    with BagReader(tmp_path / "bag") as reader:
        shown = look_at_images(reader)["/camera/image_raw"]
    assert shown.kind == BROKEN
    assert "has no attribute" in shown.reason


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        "[" * 30_000,
        "rosbag2_bagfile_information: {topics_with_message_count: [{message_count: .inf, "
        "topic_metadata: {name: a, type: b, serialization_format: cdr}}]}",
        "rosbag2_bagfile_information: 5",
    ],
)
def test_a_recording_is_read_without_its_damaged_metadata(tmp_path, content):
    bag(tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").write_text(content)
    with pytest.raises(BagError):
        read_metadata(tmp_path / "bag" / "metadata.yaml")
    with BagReader(tmp_path / "bag") as reader:
        assert "the recording is read without it" in reader.problems[0]
    assert times(tmp_path / "bag") == [1, 2, 3]


@pytest.mark.parametrize("profiles", [BOMB, "[" * 30_000, "- {depth: 2001-13-45}"])
def test_damaged_profiles_are_the_default(profiles):
    assert parse_qos(profiles) == parse_qos("")


def test_pipes_are_no_recordings(tmp_path):
    path = tmp_path / "a.mcap"
    os.mkfifo(path)
    assert "there is no recording" in refusal(path)
    assert "there is no recording" in refusal(tmp_path)


def test_messages_that_all_wait_for_each_other_do_not_fill_memory(tmp_path, monkeypatch):
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        writer.add_topic("/a", STRING)
        for number in range(6):  # each chunk reaches back to the start
            writer.write("/a", (10 - number) * SECOND, text("x" * 1000))
            writer.write("/a", SECOND, text("x" * 1000))
            writer.flush()
    assert times(path) == [1] * 6 + [5, 6, 7, 8, 9, 10]
    monkeypatch.setattr(mcap_reader, "WAITING_BYTES", 3000)
    with BagReader(path) as reader:
        assert len(list(reader.messages(raw=True))) == 12
        assert any("not in the order of time" in problem for problem in reader.problems)
