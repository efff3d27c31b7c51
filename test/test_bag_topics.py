# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recordings with topics of any encoding, schema and type."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="needs the rosbags package")
pytest.importorskip("mcap", reason="needs the mcap package")

from mcap.reader import make_reader  # noqa: E402
from mcap.writer import Writer as PlainMcapWriter  # noqa: E402
from recorded_bags import RECORDED, STRING, TYPES, both, contents, image, readable, record, text  # noqa: E402

from scenedino_ros.core.errors import BagError  # noqa: E402
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter


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
