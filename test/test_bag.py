# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recordings: what is written is read, also by others, and what others write."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs the rosbags package")
pytest.importorskip("mcap", reason="needs the mcap package")

import yaml  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from mcap.writer import CompressionType  # noqa: E402
from mcap.writer import Writer as PlainMcapWriter  # noqa: E402
from recorded_bags import (  # noqa: E402
    LATCHED,
    RECORDED,
    SECOND,
    START,
    STORE,
    STRING,
    both,
    contents,
    record,
    text,
)
from rosbags.interfaces import (  # noqa: E402
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import (  # noqa: E402
    CompressionFormat,
    CompressionMode,
    Reader,
    StoragePlugin,
    Writer,
)

from scenedino_ros.cameras.from_msg import rgb_from_image, stamp_ns  # noqa: E402
from scenedino_ros.core.errors import BagError  # noqa: E402
from scenedino_ros.recordings.rosbag2.metadata import (  # noqa: E402
    TopicQos,
    parse_qos,
    qos_text,
)
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter

suffixes = pytest.mark.parametrize(("storage", "suffix"), [("mcap", "mcap"), ("sqlite3", "db3")])


# What is written is read


@both
def test_round_trip(tmp_path, storage):
    written = record(tmp_path / "drive", storage)
    assert contents(tmp_path / "drive") == written
    with BagReader(str(tmp_path / "drive")) as bag:
        assert bag.problems == []
        assert bag.message_count == 41
        assert (bag.start_ns, bag.end_ns) == (START, START + 29 * SECOND // 10)
        assert {name: (t.type, t.count) for name, t in bag.topics.items()} == {
            "/chatter": (STRING, 10),
            "/image": ("sensor_msgs/msg/Image", 30),
            "/tf_static": (STRING, 1),
        }
        assert bag.topics["/tf_static"].qos == LATCHED
        assert bag.topics["/image"].qos == TopicQos(reliable=False, depth=5)
        assert bag.topics["/image"].type_hash.startswith("RIHS01_")
        assert "MSG: std_msgs/Header" in bag.topics["/image"].definition


@both
def test_decoded_messages_go_through_from_msg(tmp_path, storage):
    record(tmp_path / "drive", storage, count=3)
    with BagReader(tmp_path / "drive") as bag:
        pictures = [m.message for m in bag.messages(["/image"])]
        words = [m.message.data for m in bag.messages(["/chatter", "/tf_static"])]
    assert [rgb_from_image(p)[2, 3].tolist() for p in pictures] == [[i] * 3 for i in range(3)]
    assert stamp_ns(pictures[2].header) == 1_700_000_002 * SECOND + 5
    assert words == ["latched", "word 0"]


@suffixes
def test_a_storage_file_is_read_without_its_folder(tmp_path, storage, suffix):
    written = record(tmp_path / "drive", storage)
    assert contents(tmp_path / "drive" / f"drive_0.{suffix}") == written


@both
def test_topics_and_times_are_selected(tmp_path, storage):
    written = record(tmp_path / "drive", storage)
    path = tmp_path / "drive"
    low, high = START + SECOND, START + 2 * SECOND
    assert contents(path, topics=["/chatter"]) == [e for e in written if e[0] == "/chatter"]
    assert contents(path, start=low) == [e for e in written if e[1] >= low]
    assert contents(path, stop=high) == [e for e in written if e[1] < high]
    last = written[-1][1]
    assert contents(path, start=last) == written[-1:]
    assert contents(path, stop=last) == written[:-1]
    assert contents(path, topics={"/image"}, start=low, stop=high) == [
        e for e in written if e[0] == "/image" and low <= e[1] < high
    ]
    assert contents(path, topics=[]) == []
    assert contents(path, start=high, stop=low) == []


@both
def test_messages_are_found_again_at_their_places(tmp_path, storage):
    written = record(tmp_path / "drive", storage)
    with BagReader(tmp_path / "drive") as bag:
        found = list(bag.messages(raw=True))
        for message in reversed(found):
            assert bag.message_at(message.place, raw=True) == message
        assert rgb_from_image(bag.message_at(found[3].place).message)[0, 0, 0] == 1
        assert [(m.topic, m.time_ns, m.message) for m in found] == written
        with pytest.raises(BagError, match="has 1 files, got file 1"):
            bag.message_at(found[0].place._replace(file=1))
        with pytest.raises(BagError, match="no message"):
            bag.message_at(found[0].place._replace(group=10**9))


@both
def test_messages_come_by_time_even_if_recorded_in_another_order(tmp_path, storage):
    times = np.random.default_rng(0).permutation(2000).tolist()
    with BagWriter(tmp_path / "bag", storage) as writer:
        writer.add_topic("/a", STRING)
        for index, time_ns in enumerate(times):
            writer.write("/a", time_ns, text(f"at {time_ns} " + "x" * 2000))
            if index % 100 == 0:
                writer.flush()  # many chunks, each over all of the time
    with BagReader(tmp_path / "bag") as bag:
        words = [(m.time_ns, m.message.data.split()[1]) for m in bag.messages()]
    assert words == [(t, str(t)) for t in range(2000)]


@both
def test_empty_recording(tmp_path, storage):
    with BagWriter(tmp_path / "bag", storage) as writer:
        writer.add_topic("/a", STRING)
    with BagReader(tmp_path / "bag") as bag:
        assert list(bag.messages()) == []
        assert (bag.message_count, bag.start_ns, bag.end_ns) == (0, 0, 0)
        assert list(bag.topics) == ["/a"]
        assert bag.problems == []
    with BagWriter(tmp_path / "nothing", storage):
        pass
    assert contents(tmp_path / "nothing") == []


# Others read what we write


@both
def test_rosbags_reads_it(tmp_path, storage):
    written = record(tmp_path / "drive", storage)
    with Reader(tmp_path / "drive") as reader:
        read = [(c.topic, t, bytes(d)) for c, t, d in reader.messages()]
        assert sorted(read) == sorted(written)
        assert reader.message_count == len(written)
        static = next(c for c in reader.connections if c.topic == "/tf_static")
        (profile,) = static.ext.offered_qos_profiles
        assert profile.durability == QosDurability.TRANSIENT_LOCAL
        assert static.digest == STORE.hash_rihs01(STRING)


def test_the_mcap_package_reads_it_with_checksums(tmp_path):
    written = record(tmp_path / "drive")
    with (tmp_path / "drive" / "drive_0.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        read = [(c.topic, m.log_time, m.data) for _, c, m in reader.iter_messages()]
        assert read == written
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        assert summary.statistics.message_count == len(written)
        assert {c.compression for c in summary.chunk_indexes} == {"zstd"}
        assert {s.encoding for s in summary.schemas.values()} == {"ros2msg"}
        assert {c.message_encoding for c in summary.channels.values()} == {"cdr"}
        schema = next(s for s in summary.schemas.values() if s.name == "sensor_msgs/msg/Image")
        for part in (b"MSG: std_msgs/Header", b"MSG: builtin_interfaces/Time"):
            assert part in schema.data
        (record_,) = list(reader.iter_metadata())
        assert yaml.safe_load(record_.metadata["serialized_metadata"])["message_count"] == 41


@both
def test_metadata_is_what_rosbag2_expects(tmp_path, storage):
    record(tmp_path / "drive", storage)
    document = yaml.safe_load((tmp_path / "drive" / "metadata.yaml").read_text())
    info = document["rosbag2_bagfile_information"]
    assert info["storage_identifier"] == storage
    assert info["message_count"] == 41
    assert info["starting_time"]["nanoseconds_since_epoch"] == START
    assert info["duration"]["nanoseconds"] == 29 * SECOND // 10
    assert info["relative_file_paths"] == [info["files"][0]["path"]]
    topics = [entry["topic_metadata"] for entry in info["topics_with_message_count"]]
    assert all(isinstance(topic["offered_qos_profiles"], str) for topic in topics)
    assert isinstance(info["custom_data"], dict)  # a null stops rosbag2


def test_the_summary_has_its_checksum(tmp_path):
    record(tmp_path / "drive")
    data = (tmp_path / "drive" / "drive_0.mcap").read_bytes()
    summary, _, checksum = struct.unpack("<QQI", data[-28:-8])
    assert zlib.crc32(data[summary:-12]) == checksum


def test_qos_text_round_trip():
    for qos in (TopicQos(), LATCHED, TopicQos(False, False, 1), TopicQos(True, False, 0)):
        assert parse_qos(qos_text(qos)) == qos
    words = [{"depth": 3, "reliability": "best_effort", "durability": "transient_local"}]
    assert parse_qos(words) == TopicQos(False, True, 3)
    for nothing in ("", [], None, "- {", "[3]", 7):
        assert parse_qos(nothing) == TopicQos()


# We read what others write


def rosbags_bag(path: Path, plugin: StoragePlugin, mode: CompressionMode) -> list[bytes]:
    qos = Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        *(QosTime(0, 0), QosTime(0, 0)),
        QosLiveliness.AUTOMATIC,
        QosTime(0, 0),
        False,
    )
    messages = [text(f"number {i} " * 20) for i in range(50)]
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        topic = writer.add_connection("/a", STRING, typestore=STORE, offered_qos_profiles=[qos])
        for index, message in enumerate(messages):
            writer.write(topic, index * SECOND, message)
    return messages


@pytest.mark.parametrize("with_metadata", [True, False])
@pytest.mark.parametrize(
    "mode", [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE]
)
@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_recordings_and_compressions_of_rosbag2(tmp_path, plugin, mode, with_metadata):
    messages = rosbags_bag(tmp_path / "bag", plugin, mode)
    if not with_metadata:
        (tmp_path / "bag" / "metadata.yaml").unlink()
    with BagReader(tmp_path / "bag") as bag:
        assert [m.message for m in bag.messages(raw=True)] == messages
        assert bag.topics["/a"].qos.transient_local
        assert bag.problems == []


def test_decompressed_copies_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    rosbags_bag(tmp_path / "bag", StoragePlugin.MCAP, CompressionMode.FILE)
    with BagReader(tmp_path / "bag"):
        assert list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "temporary").iterdir())


@both
def test_split_recordings_are_merged_by_time(tmp_path, storage):
    folder = tmp_path / "split"
    folder.mkdir()
    for part in (*range(3), 10):
        with BagWriter(tmp_path / "part", storage, overwrite=True) as writer:
            writer.add_topic("/a", STRING)
            for step in range(5):  # overlaps with the next file
                writer.write("/a", (3 * part + step) * SECOND + part, text(f"{part} {step}"))
        (file,) = [f for f in (tmp_path / "part").iterdir() if f.name != "metadata.yaml"]
        file.rename(folder / f"split_{part}{file.suffix}")
    with BagReader(folder) as bag:
        messages = list(bag.messages())
        assert len(messages) == bag.message_count == 20
        times = [m.time_ns for m in messages]
        assert times == sorted(times)
        assert (bag.start_ns, bag.end_ns) == (times[0], times[-1])
        assert [f.path.stem for f in bag._files] == [f"split_{part}" for part in (0, 1, 2, 10)]


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("options", [{}, {"use_chunking": False}, {"repeat_channels": False}])
def test_mcap_files_of_every_making(tmp_path, compression, options):
    """Other writers leave out chunks, or the index, or parts of it."""
    expected = []
    with (tmp_path / "file.mcap").open("wb") as file:
        writer = PlainMcapWriter(file, compression=compression, chunk_size=1000, **options)
        writer.start(profile="", library="test")
        schema = writer.register_schema(STRING, "ros2msg", b"string data")
        channel = writer.register_channel("/a", "cdr", schema)
        for index in range(100):
            expected.append((index * 7) % 100)
            message = text(f"number {expected[-1]} " + "-" * 50)
            writer.add_message(channel, expected[-1], message, expected[-1])
        writer.finish()
    with BagReader(tmp_path / "file.mcap") as bag:
        messages = list(bag.messages())
        assert [m.time_ns for m in messages] == sorted(expected)
        assert all(m.message.data.startswith(f"number {m.time_ns} ") for m in messages)
        assert bag.message_count == 100
        assert bag.problems == []


def test_topics_without_messages_are_found_without_an_index(tmp_path):
    with (tmp_path / "file.mcap").open("wb") as file:
        writer = PlainMcapWriter(file, repeat_channels=False, use_chunking=False)
        writer.start(profile="ros2", library="test")
        writer.register_channel("/a", "cdr", writer.register_schema(STRING, "ros2msg", b""))
        writer.finish()
    with BagReader(tmp_path / "file.mcap") as bag:
        assert [(t.name, t.type, t.count) for t in bag.topics.values()] == [("/a", STRING, 0)]


@pytest.mark.parametrize(
    ("name", "count"),
    [("mcap_talker", 20), ("sqlite3_talker", 20), ("mcap_cdr_test", 7), ("sqlite3_cdr_test", 7)],
)
def test_rosbag2s_own_recordings(name, count):
    with BagReader(RECORDED / name) as bag:
        messages = list(bag.messages())
        assert len(messages) == bag.message_count == count
        assert bag.problems == []
        times = [m.time_ns for m in messages]
        assert times == sorted(times)
        assert (bag.start_ns, bag.end_ns) == (times[0], times[-1])
        if "talker" in name:
            words = [m.message.data for m in messages if m.topic == "/topic"]
            assert words == [f"Hello, world! {i}" for i in range(10)]


def test_rosbag2s_recording_in_files_without_metadata():
    with BagReader(RECORDED / "mcap_split_without_metadata") as bag:
        assert bag.message_count == len(list(bag.messages(raw=True))) == 1324 + 1324 + 529
        assert bag.problems == []


def test_rosbag2s_empty_recording_with_leftovers(tmp_path):
    for file in (RECORDED / "sqlite3_empty").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    with BagReader(tmp_path) as bag:
        assert list(bag.messages()) == []
        assert sorted(bag.topics) == ["/parameter_events", "/rosout"]
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["mcap_wrong_format", "sqlite3_wrong_format"])
def test_another_serialization_is_refused(name):
    told = (
        r"serialized as 'cdr', .*: /array_topic \(4 messages serialized as 'wrong_format'\), /test"
    )
    with pytest.raises(BagError, match=told):
        BagReader(RECORDED / name)
