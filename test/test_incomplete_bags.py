# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recordings that are cut off, damaged or renamed: what is left is read."""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs the rosbags package")
pytest.importorskip("mcap", reason="needs the mcap package")

import zstandard  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from mcap.writer import CompressionType  # noqa: E402
from mcap.writer import Writer as PlainMcapWriter  # noqa: E402
from recorded_bags import RECORDED, STRING, both, contents, readable, record, text  # noqa: E402

from scenedino_ros.core.errors import BagError  # noqa: E402
from scenedino_ros.recordings.rosbag2.metadata import TopicQos  # noqa: E402
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.split_writer import SplitBagWriter  # noqa: E402
from scenedino_ros.recordings.rosbag2.writer import BagWriter


def write_in_chunks(path: Path, chunks: int, compressed: bool = True) -> list[tuple]:
    """Write an MCAP file of 10 incompressible messages per chunk."""
    rng = np.random.default_rng(0)
    written = []
    with path.open("wb") as file:
        kind = CompressionType.ZSTD if compressed else CompressionType.NONE
        writer = PlainMcapWriter(file, chunk_size=30_000, compression=kind)
        writer.start(profile="ros2", library="test")
        schema = writer.register_schema(STRING, "ros2msg", b"string data")
        channel = writer.register_channel("/a", "cdr", schema)
        for index in range(10 * chunks):
            written.append(("/a", index, text(rng.bytes(1600).hex())))
            writer.add_message(channel, index, written[-1][2], index)
        writer.finish()
    return written


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
def test_mcap_that_breaks_off_gives_what_is_before_the_break(tmp_path, keep, compressed):
    path = tmp_path / "file.mcap"
    written = write_in_chunks(path, 6, compressed)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    messages, problems = readable(path)
    assert messages == written[: len(messages)]
    # Every complete chunk, and uncompressed of the last one every complete message.
    slack = 10 if compressed else 2
    assert keep * len(written) - slack <= len(messages) < len(written)
    assert len(problems) == 1
    assert f"file.mcap is cut off: of its {int(len(data) * keep)} bytes" in problems[0]
    assert f"{len(messages)} messages could" in problems[0]


def test_part_of_a_compressed_chunk_is_read(tmp_path):
    path = tmp_path / "file.mcap"
    with path.open("wb") as file:
        writer = PlainMcapWriter(file, chunk_size=1 << 24, compression=CompressionType.ZSTD)
        writer.start(profile="ros2", library="test")
        schema = writer.register_schema(STRING, "ros2msg", b"string data")
        channel = writer.register_channel("/a", "cdr", schema)
        rng = np.random.default_rng(0)
        for index in range(1000):
            writer.add_message(channel, index, text(rng.bytes(1000).hex()), index)
        writer.finish()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    messages, problems = readable(path)
    assert 300 < len(messages) <= 510
    assert [m[1] for m in messages] == list(range(len(messages)))
    assert problems


def test_mcap_without_its_footer_is_read_whole(tmp_path):
    path = tmp_path / "file.mcap"
    written = write_in_chunks(path, 3)
    data = path.read_bytes()
    with path.open("rb") as file:
        last = make_reader(file).get_summary().chunk_indexes[-1]
        end = last.chunk_start_offset + last.chunk_length + last.message_index_length
    path.write_bytes(data[:end])
    messages, problems = readable(path)
    assert messages == written
    assert problems == [
        f"file.mcap was not closed by its recorder; {len(written)} messages could be read"
    ]


def test_zeros_after_a_crash_end_the_recording(tmp_path):
    path = tmp_path / "file.mcap"
    written = write_in_chunks(path, 6)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    messages, problems = readable(path)
    assert messages == written[: len(messages)]
    assert len(messages) >= 20
    # The chunk that the zeros begin in is of full length, but damaged.
    end = int(re.search(r"from byte (\d+) on", " ".join(problems))[1])
    assert end < len(data) // 2 + 40_000


def test_a_damaged_chunk_is_left_out_and_the_loss_is_counted(tmp_path):
    path = tmp_path / "file.mcap"
    written = write_in_chunks(path, 6)
    with path.open("rb") as file:
        chunk = make_reader(file).get_summary().chunk_indexes[2]
    data = bytearray(path.read_bytes())
    middle = chunk.chunk_start_offset + chunk.chunk_length // 2
    data[middle : middle + 8] = bytes(b ^ 255 for b in data[middle : middle + 8])
    path.write_bytes(data)
    messages, problems = readable(path)
    lost = len(written) - len(messages)
    assert 5 <= lost <= 15
    assert set(messages) < set(written)
    assert any(f"chunk at byte {chunk.chunk_start_offset} is left out" in p for p in problems)
    assert f"{len(messages)} of {len(written)} messages of /a can be read" in problems


def test_metadata_that_promises_more_is_not_believed(tmp_path):
    written = record(tmp_path / "drive")
    path = tmp_path / "drive" / "metadata.yaml"
    path.write_text(path.read_text().replace("message_count: 30", "message_count: 33"))
    messages, problems = readable(tmp_path / "drive")
    assert messages == written
    assert problems == ["30 of 33 messages of /image can be read"]


def test_nothing_where_there_should_be_messages_is_an_error(tmp_path):
    record(tmp_path / "drive", "sqlite3")
    database = sqlite3.connect(tmp_path / "drive" / "drive_0.db3")
    database.execute("DELETE FROM messages")
    database.commit()
    database.close()
    with BagReader(tmp_path / "drive") as bag:
        with pytest.raises(BagError, match="none of the 41 messages .* should hold can be read"):
            list(bag.messages())


@pytest.mark.parametrize(("count", "size"), [(6000, 60), (300, 5000)])  # rows in one page, in two
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_sqlite_that_is_cut_off_gives_what_is_before_the_break(tmp_path, keep, count, size):
    words = [text(chr(65 + n % 26) * size) for n in range(count)]
    written = [("/a" if n % 3 else "/c", n, word) for n, word in enumerate(words)]
    with BagWriter(tmp_path / "bag", "sqlite3") as writer:
        writer.add_topic("/a", STRING)
        writer.add_topic("/c", STRING)
        for entry in written:
            writer.write(*entry)
    path = tmp_path / "bag" / "bag_0.db3"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    messages, problems = readable(tmp_path / "bag")
    assert messages == written[: len(messages)]
    assert 0.7 * keep < len(messages) / count < 1.1 * keep
    told = "; ".join(problems)
    assert f"bag_0.db3 is cut off: it must have {len(data)} bytes" in told
    (lost,) = re.findall(rf"{len(messages)} messages can be read, by the size about (\d+)", told)
    assert int(lost) == pytest.approx(len(messages) * (1 / keep - 1), abs=2)
    of_a = sum(topic == "/a" for topic, _, _ in messages)
    assert f"{of_a} of {2 * count // 3} messages of /a can be read" in problems
    with BagReader(tmp_path / "bag") as bag:
        places = [m.place for m in bag.messages(["/c"], raw=True)]
        assert [bag.message_at(p, raw=True)[:4:3] for p in places[::-7]] == [
            (topic, data) for topic, _, data in messages if topic == "/c"
        ][::-7]
        with pytest.raises(BagError, match="no message in row 10000"):
            bag.message_at(places[0]._replace(group=10_000))


@pytest.mark.parametrize("keep", [0.1, 0.001])
def test_sqlite_that_lost_nearly_all_is_refused(tmp_path, keep):
    record(tmp_path / "drive", "sqlite3")
    path = tmp_path / "drive" / "drive_0.db3"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(BagError, match="without the list of its topics|it is no SQLite file"):
        BagReader(tmp_path / "drive")


def test_damage_inside_sqlite_costs_the_message_it_is_in(tmp_path):
    written = []
    with BagWriter(tmp_path / "bag", "sqlite3") as writer:
        writer.add_topic("/a", STRING)
        for index in range(20):
            written.append(("/a", index, text(f"{index:02d}" * 20_000)))
            writer.write(*written[-1])
    path = tmp_path / "bag" / "bag_0.db3"
    data = bytearray(path.read_bytes())
    page = (data.index(b"12" * 1500) + 8192) // 4096 * 4096  # one in the middle of a message
    data[page : page + 4] = b"\xff" * 4
    path.write_bytes(data)
    messages, problems = readable(tmp_path / "bag")
    assert messages == [entry for entry in written if entry[1] != 12]
    assert "bag_0.db3 is damaged: database disk image is malformed" in problems
    assert "19 of 20 messages of /a can be read" in problems


def test_sqlite_with_a_journal_is_read_and_left_as_it_is(tmp_path):
    """A recorder in WAL mode that is killed leaves messages in the journal only."""
    path = tmp_path / "bag" / "bag_0.db3"
    path.parent.mkdir()
    script = (
        "import os, sqlite3, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from scenedino_ros.recordings.rosbag2.sqlite_file import SqliteWriter\n"
        "from scenedino_ros.recordings.rosbag2.metadata import BagTopic\n"
        "from pathlib import Path\n"
        "writer = SqliteWriter(Path(sys.argv[1]))\n"
        "writer._database.execute('PRAGMA journal_mode=WAL')\n"
        "number = writer.add_topic(BagTopic('/a', 'std_msgs/msg/String'))\n"
        "for i in range(5):\n"
        "    writer.write(number, i, b'\\0\\1\\0\\0\\1\\0\\0\\0\\0')\n"
        "writer.flush()\n"
        "os._exit(9)\n"
    )
    root = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", script, str(path), root], check=False)
    before = {f.name: f.read_bytes() for f in path.parent.iterdir()}
    assert len(before["bag_0.db3-wal"]) > 0
    messages, problems = readable(path.parent)
    assert len(messages) == 5
    assert problems == []
    assert {f.name: f.read_bytes() for f in path.parent.iterdir()} == before


def test_missing_files_are_named_and_the_rest_is_read(tmp_path):
    written = record(tmp_path / "drive")
    path = tmp_path / "drive" / "metadata.yaml"
    text_ = path.read_text().replace("- drive_0.mcap", "- drive_0.mcap\n  - drive_1.mcap")
    path.write_text(text_)
    messages, problems = readable(tmp_path / "drive")
    assert messages == written
    assert problems == ["files of the recording are missing: drive_1.mcap"]


def test_one_unreadable_file_of_several_is_left_out(tmp_path):
    for file in (RECORDED / "mcap_split_without_metadata").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "multiple_files_1.mcap").write_bytes(b"")
    messages, problems = readable(tmp_path)
    assert len(messages) == 1324 + 529
    assert len(problems) == 1
    assert "multiple_files_1.mcap is not an MCAP file" in problems[0]
    for number in (0, 2):
        (tmp_path / f"multiple_files_{number}.mcap").write_bytes(b"")
    with pytest.raises(BagError, match="cannot be read: .*files_0.mcap is not .*files_2.mcap is"):
        BagReader(tmp_path)


def split(folder: Path, parts: int = 3) -> list[tuple[str, int, bytes]]:
    """Record in several files with a metadata.yaml that names them; return the messages."""
    writer = SplitBagWriter(folder, {}, split_bytes=1)
    for part in range(parts):
        writer.add_topic("/chatter", STRING, TopicQos())
        writer.write("/chatter", part, text(f"{part}"))
        writer.checkpoint(part + 1)
    writer.close()
    return contents(folder)


@both
def test_a_renamed_file_is_found(tmp_path, storage):
    written = record(tmp_path / "drive", storage)
    (file,) = (tmp_path / "drive").glob("drive_0.*")
    for name in (f"evening run{file.suffix}", f"evening{file.suffix.upper()}", "evening"):
        file = file.rename(file.with_name(name))
        (tmp_path / "drive" / f"._{name}").write_bytes(b"of another system")
        messages, problems = readable(tmp_path / "drive")
        assert messages == written
        assert len(problems) == 1
        assert problems[0].endswith(f"which is not there; {name} is read in its place")
    assert contents(file) == written


def test_a_renamed_file_is_what_its_first_bytes_say(tmp_path):
    written = record(tmp_path / "drive", "sqlite3")
    folder = tmp_path / "drive"
    packed = zstandard.compress((folder / "drive_0.db3").read_bytes())
    (folder / "drive_0.db3").unlink()
    (folder / "other.mcap").write_bytes(packed)
    messages, problems = readable(folder)
    assert messages == written
    assert problems == [
        "metadata.yaml names drive_0.db3, which is not there; other.mcap is read in its place"
    ]


def test_several_renamed_files_are_found_by_number_and_order(tmp_path):
    written = split(tmp_path / "drive")
    files = sorted((tmp_path / "drive").glob("*.mcap"))
    assert len(files) == 3
    # All of them, two of them swapped.
    for file, number in zip(files, (1, 0, 2), strict=True):
        file.rename(file.with_name(f"run2_{number}.mcap"))
    messages, problems = readable(tmp_path / "drive")
    assert messages == written
    assert len(problems) == 3
    # A further file that has nobody's number is left out, and told.
    (tmp_path / "drive" / "copy.mcap").write_bytes(files[0].with_name("run2_1.mcap").read_bytes())
    messages, problems = readable(tmp_path / "drive")
    assert messages == written
    assert problems[-1] == "copy.mcap is not named in metadata.yaml and is left out"
    # Fewer files than names.
    (tmp_path / "drive" / "copy.mcap").unlink()
    (tmp_path / "drive" / "run2_1.mcap").unlink()
    messages, problems = readable(tmp_path / "drive")
    assert messages == written[1:]
    assert any(problem.startswith("files of the recording are missing") for problem in problems)


def test_files_of_which_none_can_be_the_named_one_are_refused(tmp_path):
    record(tmp_path / "drive")
    file = tmp_path / "drive" / "drive_0.mcap"
    (tmp_path / "drive" / "noon.mcap").write_bytes(file.read_bytes())
    file.rename(file.with_name("night.mcap"))
    with pytest.raises(
        BagError, match=r"names drive_0.mcap, but night.mcap, noon.mcap are there; open one of"
    ):
        BagReader(tmp_path / "drive")
    (tmp_path / "drive" / "metadata.yaml").unlink()
    assert len(readable(tmp_path / "drive")[0]) == 2 * 41


@pytest.mark.parametrize("damage", ["", "}{", "rosbag2_bagfile_information: 7", "a: [1"])
def test_damaged_metadata_is_done_without(tmp_path, damage):
    written = record(tmp_path / "drive")
    (tmp_path / "drive" / "metadata.yaml").write_text(damage)
    messages, problems = readable(tmp_path / "drive")
    assert messages == written
    assert len(problems) == 1
    assert problems[0].endswith("the recording is read without it")


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(BagError, match="no recording at .*missing"):
        BagReader(tmp_path / "missing")
    with pytest.raises(BagError, match=r"no recording in .*: no \.mcap and no \.db3"):
        BagReader(tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(BagError, match=r"must be an \.mcap or \.db3 file or a folder, got"):
        BagReader(tmp_path / "a.txt")
    (tmp_path / "a.mcap").write_text("hello")
    with pytest.raises(BagError, match="not an MCAP file"):
        BagReader(tmp_path / "a.mcap")
    (tmp_path / "a.db3").write_text("hello " * 1000)
    with pytest.raises(BagError, match="cannot be read as a recording: it is no SQLite file"):
        BagReader(tmp_path / "a.db3")
    record(tmp_path / "bag")
    with (
        BagReader(tmp_path / "bag") as bag,
        pytest.raises(BagError, match="'/x' is not in .*; it has /chatter, /im"),
    ):
        list(bag.messages(["/x"]))


def test_unknown_compression_is_refused(tmp_path):
    record(tmp_path / "drive")
    path = tmp_path / "drive" / "metadata.yaml"
    content = path.read_text()
    content = content.replace("compression_format: ''", "compression_format: rar")
    path.write_text(content.replace("compression_mode: ''", "compression_mode: FILE"))
    with BagReader(tmp_path / "drive") as bag:
        assert "compression must be zstd, got 'rar'" in bag.problems[0]
