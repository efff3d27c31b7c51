# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recordings: read whatever state they are in, written so that nothing is lost."""

import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs the rosbags package")
pytest.importorskip("mcap", reason="needs the mcap package")

import yaml  # noqa: E402
import zstandard  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from mcap.writer import CompressionType  # noqa: E402
from mcap.writer import Writer as PlainMcapWriter  # noqa: E402
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
from rosbags.typesys import Stores, get_typestore  # noqa: E402

from scenedino_ros.cameras.from_msg import rgb_from_image, stamp_ns  # noqa: E402
from scenedino_ros.core.errors import BagError  # noqa: E402
from scenedino_ros.recordings.rosbag2.metadata import (  # noqa: E402
    TopicQos,  # noqa: E402
    parse_qos,
    qos_text,
)
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.split_writer import SplitBagWriter  # noqa: E402
from scenedino_ros.recordings.rosbag2.writer import BagWriter

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
RECORDED = Path(__file__).parent / "data" / "bags"  # of rosbag2's own tests, see its README
STRING = "std_msgs/msg/String"
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
LATCHED = TopicQos(reliable=True, transient_local=True, depth=1)


def text(content: str) -> bytes:
    """Return a serialized std_msgs/String."""
    return bytes(STORE.serialize_cdr(TYPES[STRING](data=content), STRING))


def image(index: int) -> bytes:
    """Return a serialized picture whose pixels are all `index`."""
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=1_700_000_000 + index, nanosec=5)
    message = TYPES["sensor_msgs/msg/Image"](
        header=TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id="camera"),
        height=4,
        width=6,
        encoding="rgb8",
        is_bigendian=0,
        step=18,
        data=np.full(72, index, np.uint8),
    )
    return bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/Image"))


def record(path: Path, storage: str = "mcap", count: int = 30) -> list[tuple[str, int, bytes]]:
    """Record pictures at 10 Hz, a word after each third, and one latched word."""
    written = [("/tf_static", START, text("latched"))]
    for index in range(count):
        time_ns = START + index * SECOND // 10
        written.append(("/image", time_ns, image(index % 256)))
        if index % 3 == 0:
            written.append(("/chatter", time_ns + 1, text(f"word {index}")))
    with BagWriter(path, storage) as writer:
        writer.add_topic("/tf_static", STRING, LATCHED)
        writer.add_topic("/image", "sensor_msgs/msg/Image", TopicQos(reliable=False, depth=5))
        writer.add_topic("/chatter", STRING)
        for entry in written:
            writer.write(*entry)
    return written


def contents(path: Path, **arguments) -> list[tuple[str, int, bytes]]:
    with BagReader(path) as bag:
        return [(m.topic, m.time_ns, m.message) for m in bag.messages(raw=True, **arguments)]


both = pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
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


def write_channels(path: Path, channels: list[tuple[str, str, str, str]]) -> None:
    """Write an MCAP file with three messages on each (topic, encoding, type, schema encoding)."""
    with path.open("wb") as file:
        writer = PlainMcapWriter(file)
        writer.start(profile="", library="several loggers")
        numbers = []
        for topic, encoding, kind, form in channels:
            schema = writer.register_schema(kind, form, b"{}") if form else 0
            numbers.append(writer.register_channel(topic, encoding, schema))
        for second in range(3):
            for number, (_, encoding, _, _) in zip(numbers, channels, strict=True):
                data = text(f"{second}") if encoding == "cdr" else b'{"volts": 11.9}'
                writer.add_message(number, second, data, second)
        writer.finish()


def test_topics_of_other_encodings_and_schemas_hide_nothing(tmp_path):
    """Also where a topic of the same name carries the messages that are read."""
    others = [
        ("/wheel", "protobuf", "robot.Wheel", "protobuf"),
        ("/plan", "flatbuffer", "Plan", "flatbuffer"),
        ("/old", "ros1", "std_msgs/String", "ros1msg"),
        ("/raw", "", "", ""),
        ("/words", "json", "Words", "jsonschema"),
    ]
    foreign = ("/foreign", "cdr", "std_msgs::msg::Thing", "omgidl")
    bare = ("/bare", "cdr", "", "")
    words = ("/words", "cdr", STRING, "something new")
    write_channels(tmp_path / "drive.mcap", [*others, foreign, bare, words])
    with BagReader(tmp_path / "drive.mcap") as bag:
        assert list(bag.topics) == ["/bare", "/foreign", "/words"]
        assert bag.problems == []
        assert bag.not_read == [
            "/old (3 messages serialized as 'ros1')",
            "/plan (3 messages serialized as 'flatbuffer')",
            "/raw (3 messages serialized as '')",
            "/wheel (3 messages serialized as 'protobuf')",
            "/words (3 messages serialized as 'json')",
        ]
        assert [m.message.data for m in bag.messages(["/words"])] == ["0", "1", "2"]
        assert len(list(bag.messages(raw=True))) == 9
    write_channels(tmp_path / "none.mcap", others)
    with pytest.raises(
        BagError, match=r"something else: /old \(3 messages serialized as 'ros1'\)"
    ):
        BagReader(tmp_path / "none.mcap")


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("std_msgs/String", "ros2msg"),
        ("std_msgs::msg::String", "omgidl"),
        ("std_msgs::msg::dds_::String_", "omgidl"),
    ],
)
def test_types_are_known_by_their_other_names(tmp_path, kind, form):
    write_channels(tmp_path / "drive.mcap", [("/words", "cdr", kind, form)])
    with BagReader(tmp_path / "drive.mcap") as bag:
        assert bag.topics["/words"].type == STRING
        assert [m.message.data for m in bag.messages()] == ["0", "1", "2"]


@pytest.mark.parametrize("pictures", [2, 40])
def test_of_two_types_on_one_topic_the_pictures_are_read(tmp_path, pictures):
    """However many messages of the other type there are."""
    for part, (kind, count) in enumerate([(STRING, 9), ("sensor_msgs/msg/Image", pictures)]):
        with BagWriter(tmp_path / f"{part}") as writer:
            writer.add_topic("/cam", kind)
            for n in range(count):
                writer.write("/cam", 100 * n + part, text("x") if kind == STRING else image(n))
        (tmp_path / f"{part}" / f"{part}_0.mcap").rename(tmp_path / f"part_{part}.mcap")
        shutil.rmtree(tmp_path / f"{part}")
    with BagReader(tmp_path) as bag:
        assert bag.topics["/cam"].count == pictures
        assert [m.message.data[0] for m in bag.messages()] == list(range(pictures))
        assert bag.not_read == [
            f"/cam (9 messages of type '{STRING}', beside those of 'sensor_msgs/msg/Image')"
        ]


def test_sqlite_topics_of_another_serialization_hide_nothing(tmp_path):
    written = record(tmp_path / "drive", "sqlite3")
    database = sqlite3.connect(tmp_path / "drive" / "drive_0.db3")
    database.execute("UPDATE topics SET serialization_format = 'zenoh' WHERE name = '/chatter'")
    database.commit()
    database.close()
    messages, problems = readable(tmp_path / "drive")
    assert messages == [m for m in written if m[0] != "/chatter"]
    assert problems == []


# Types


@pytest.mark.parametrize("name", ["mcap_cdr_test", "sqlite3_cdr_test"])
def test_types_the_distribution_lacks_come_from_the_recording(name):
    assert "test_msgs/msg/BasicTypes" not in TYPES
    with BagReader(RECORDED / name) as bag:
        assert [m.message.int32_value for m in bag.messages(["/test_topic"])] == [123] * 3
        arrays = [m.message.bool_values.tolist() for m in bag.messages(["/array_topic"])]
        assert arrays == [[True, False, True]] * 4


def test_unknown_types_are_recorded_and_read_raw_but_not_decoded(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/a", "nobody_msgs/msg/Thing")
        writer.write("/a", 5, b"\0\1\0\0\7\0\0\0")
    assert contents(tmp_path / "bag") == [("/a", 5, b"\0\1\0\0\7\0\0\0")]
    with BagReader(tmp_path / "bag") as bag:
        with pytest.raises(BagError, match="/a cannot be decoded: type 'nobody_msgs/msg/Thing'"):
            list(bag.messages())
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as file:
        assert len(list(make_reader(file).iter_messages())) == 1


@both
def test_a_definition_can_be_given(tmp_path, storage):
    with BagWriter(tmp_path / "bag", storage) as writer:
        writer.add_topic("/a", "nobody_msgs/msg/Thing", definition="uint32 number\n")
        writer.write("/a", 5, b"\0\1\0\0\7\0\0\0")
    with BagReader(tmp_path / "bag") as bag:
        assert [m.message.number for m in bag.messages()] == [7]


def test_definitions_of_installed_packages_are_found(tmp_path, monkeypatch):
    folder = tmp_path / "share" / "nobody_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Thing.msg").write_text("std_msgs/Header header\nPart[] parts  # many\n")
    (folder / "Part.msg").write_text("uint8 KIND=1\nfloat32 size 1.5\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere{os.pathsep}{tmp_path}")
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/a", "nobody_msgs/msg/Thing")
        writer.add_topic("/b", "nobody_msgs/msg/Other")
    with BagReader(tmp_path / "bag") as bag:
        definition = bag.topics["/a"].definition
        assert "MSG: nobody_msgs/Part" in definition
        assert "MSG: std_msgs/Header" in definition
        assert bag.topics["/a"].type_hash.startswith("RIHS01_")
        assert bag.topics["/b"].definition == ""


def test_data_that_is_no_message_is_named(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/a", "sensor_msgs/msg/Image")
        writer.write("/a", 5, image(3)[:50])
    with BagReader(tmp_path / "bag") as bag:
        with pytest.raises(BagError, match="message of /a with 50 bytes is no 'sensor_msgs/msg/I"):
            list(bag.messages())


# Damage


def readable(path: Path) -> tuple[list[tuple[str, int, bytes]], list[str]]:
    with BagReader(path) as bag:
        messages = [(m.topic, m.time_ns, m.message) for m in bag.messages(raw=True)]
        return messages, bag.problems


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


# Writing


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
