# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What happens to files when the disk is full, or a shared folder holds traps.

A limit on the size of files stands in for the full disk: writing and reserving fail the same way.
"""

import errno
import os
import queue
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from models import lively_checkpoint

from scenedino_ros.checkpoints.checkpoint import save_checkpoint
from scenedino_ros.cli import main as command
from scenedino_ros.cli.subcommands import Subcommand
from scenedino_ros.core.disk_space import reserve
from scenedino_ros.core.errors import BagError, CheckpointError, InputError
from scenedino_ros.core.files import partial_path, replacing, write_atomically
from scenedino_ros.evaluation.page import page
from scenedino_ros.evaluation.result import Figure, RunResult, Table, read_result, write_result
from scenedino_ros.recordings.frame_store.store import FrameStore, StoredCamera
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter, partial_store
from scenedino_ros.recordings.rosbag2.metadata import TopicQos
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.split_writer import SplitBagWriter
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from train.field.frame_arrays import FrameArray
from train.runs.state import save_state

FULL = "File too large"  # what the limit says where a disk says "No space left on device"


@contextmanager
def room(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_training_keeps_its_last_state(tmp_path: Path):
    path, net = tmp_path / "state.safetensors", torch.nn.Linear(30, 30)
    save_state(path, 1, {"net": net}, {})
    before = path.read_bytes()
    with room(1000), pytest.raises(CheckpointError, match=r"state .* cannot be written: .*large"):
        save_state(path, 2, {"net": net}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_names_the_file_and_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_atomically(path, b"old")
    with room(100), pytest.raises(OSError, match=FULL) as caught:
        write_atomically(path, bytes(200))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_are_readable_as_the_user_allows(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_checkpoint_is_readable_as_the_user_allows(tmp_path: Path):
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path / "a", lively_checkpoint())
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_names_of_unfinished_files_cannot_be_guessed(tmp_path: Path):
    first, second = partial_path(tmp_path / "a"), partial_path(tmp_path / "a")
    assert first.name != second.name
    assert first.name.startswith(".a.")
    assert len(first.name) > len(".a..partial") + 12
    with replacing(tmp_path / "b") as partial:
        assert partial.read_bytes() == b""
        assert not (tmp_path / "b").exists()


def test_a_link_in_place_of_a_file_is_replaced_not_followed(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "a").symlink_to(victim)
    write_atomically(tmp_path / "a", b"x")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "a").is_symlink()


CAMERA = StoredCamera("front", np.eye(3), np.eye(4))


def store_writer(path: Path) -> FrameStoreWriter:
    return FrameStoreWriter(path, (8, 16), {"front": CAMERA}, 100, {}, labels=("front",))


def test_a_frame_store_takes_its_space_at_once(tmp_path: Path):
    with room(20_000), pytest.raises(InputError) as caught:
        store_writer(tmp_path / "store")
    assert str(caught.value) == f"the frame store {tmp_path / 'store'} cannot be written: {FULL}"
    assert list(tmp_path.iterdir()) == []
    store_writer(tmp_path / "store")
    for file in partial_store(tmp_path / "store").glob("*_front.npy"):
        assert file.stat().st_blocks * 512 >= file.stat().st_size


def test_a_frame_store_for_whose_end_there_is_no_room_is_resumed(tmp_path: Path, monkeypatch):
    def store() -> list[int]:
        with store_writer(tmp_path / "store") as writer:
            for frame in range(100):
                writer.frame(frame, frame, np.eye(4))
            todo = writer.todo()
            for frame in todo:
                writer.put("image", "front", frame, np.full((8, 16, 3), frame, np.uint8))
                writer.stored(frame) if frame else writer.drop(frame, "broken")
        return todo

    replace, replaced = os.replace, []

    def full(source: Path, target: Path) -> None:
        if replaced:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
        replaced.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)  # at the second array that loses a frame
        with pytest.raises(InputError, match=r"^the frame store .* cannot be written: No space"):
            store()
    assert store() == []
    found = FrameStore(tmp_path / "store")
    assert len(found) == 99
    assert [int(found.image("front", n).mean()) for n in (0, 98)] == [1, 99]


def test_an_entry_of_a_cache_takes_its_space_before_it_is_written(tmp_path: Path, monkeypatch):
    array = FrameArray(tmp_path, "taps", 10)
    array.write(0, np.ones((100, 100)))
    values = tmp_path / "taps.npy"
    assert values.stat().st_blocks * 512 < 50_000  # the other nine are holes

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            array.write(9, np.ones((100, 100)))
    assert caught.value.filename == str(values)
    assert array.has(0)
    assert not array.has(9)
    array.write(9, np.ones((100, 100)))
    assert array.read(9).all()


def test_space_is_reserved_where_it_is_asked_for(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"")
    os.truncate(path, 1 << 20)
    reserve(path, 1 << 19, 4096)
    assert 4096 <= path.stat().st_blocks * 512 < 1 << 17


def fill(writer: BagWriter, content: Callable[[], bytes]) -> None:
    """Write a hundred messages, each at once."""
    for number in range(100):
        writer.write("/a", number + 1, content())
        writer.flush()


def test_of_a_recording_everything_before_the_full_disk_is_kept(tmp_path: Path):
    noise = np.random.default_rng(0)
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/a", "std_msgs/msg/String")
    with room(20_000), pytest.raises(BagError, match=f"cannot be written: {FULL}"):
        fill(writer, lambda: noise.bytes(3000))
    (file,) = writer.partial_path.iterdir()
    with BagReader(file) as reader:
        read = [message.time_ns for message in reader.messages(raw=True)]
        assert "was not closed by its recorder" in reader.problems[0]
    assert read == list(range(1, writer.stored_count + 1))
    assert writer.stored_count == 6
    # Where there is room again, the last message is not lost either.
    writer.close()
    with BagReader(tmp_path / "bag") as reader:
        assert len(list(reader.messages(raw=True))) == 7
        assert reader.problems == []


def test_the_demos_recorder_says_what_is_lost(tmp_path: Path):
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from scenedino_ros.demo.recorder import Recorder

    recorder = Recorder.__new__(Recorder)  # without a node
    recorder.failure, recorder._queue = None, queue.SimpleQueue()
    recorder._writer = BagWriter(tmp_path / "bag")
    recorder._queue.put(("/a", "std_msgs/msg/String", TopicQos()))
    noise = np.random.default_rng(0)
    for number in range(100):  # more than a chunk
        recorder._queue.put(("/a", number + 1, noise.bytes(30_000)))
    recorder._queue.put(None)
    assert recorder.loss() == ""
    with room(2_000_000):
        recorder._write()
    assert recorder.loss() == (
        f"cannot record: {tmp_path / 'bag.partial'} cannot be written: {FULL}; 35 messages are in "
        f"{tmp_path / 'bag.partial'}, about 64 that came before the end are lost"
    )


def test_a_recording_in_sqlite_says_that_the_disk_is_full(tmp_path: Path):
    writer = BagWriter(tmp_path / "bag", "sqlite3")
    writer.add_topic("/a", "std_msgs/msg/String")
    with room(40_000), pytest.raises(BagError, match=r"bag\.partial cannot be written: "):
        fill(writer, lambda: bytes(3000))
    assert 1 <= writer.stored_count < 100
    writer.abandon()


@pytest.mark.parametrize(
    "begin",
    [
        lambda path: BagWriter(path, "mcap"),
        lambda path: BagWriter(path, "sqlite3"),
        lambda path: SplitBagWriter(path, {}),
    ],
)
def test_a_recording_that_is_given_up_keeps_no_file_open(tmp_path: Path, begin):
    writer = begin(tmp_path / "bag")
    writer.add_topic("/a", "std_msgs/msg/String")
    writer.write("/a", 1, b"\0\1\0\0x")
    writer.abandon()
    # What is removed but open still takes its space.
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    open_files = [os.readlink(link) for link in links if os.path.islink(link)]
    assert not [name for name in open_files if str(tmp_path) in name]


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, lively_checkpoint())
    before = path.read_bytes()
    with room(1000), pytest.raises(CheckpointError, match="cannot be written: "):
        save_checkpoint(path, lively_checkpoint(seed=1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("begin", [store_writer, lambda path: SplitBagWriter(path, {})])
def test_a_link_in_place_of_unfinished_work_is_refused(tmp_path: Path, begin):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    for name in (".work.partial", "work.partial"):
        (tmp_path / name).symlink_to(elsewhere)
    with pytest.raises(InputError, match="must be a folder of yours, not a link"):
        begin(tmp_path / "work")
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]


# The page of several runs


def run_with(folder: Path, figure: str, **changes) -> Path:
    table = Table("Scores", ["", "IoU"], [["ours", 12.5]])
    values = {"notes": (), "figures": [Figure(figure, "a figure")], **changes}
    result = RunResult("ssc", "Title", "blocks", "c", {}, 1, "frames", {}, [table], **values)
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "inside.png"), np.zeros((2, 2, 3), np.uint8))
    write_result(folder, result)
    return folder


def test_a_page_embeds_only_figures_of_its_run(tmp_path: Path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"secret")
    run = run_with(tmp_path / "run", "inside.png")
    (run / "link.png").symlink_to(outside)
    (run / "text.txt").write_text("x")
    assert "data:image/png" in page([(run, read_result(run))], "title")
    for figure in (str(outside), "../outside.png", "link.png", "text.txt"):
        run_with(run, figure)
        with pytest.raises(InputError, match="must be a PNG file inside"):
            read_result(run)


def test_a_page_and_a_report_hold_no_control_characters(tmp_path: Path):
    notes = ("a\x1b[31m <script>alert(1)</script>\x00",)
    run = run_with(tmp_path / "run", "inside.png", notes=notes)
    for text in (page([(run, read_result(run))], "t"), (run / "report.md").read_text()):
        assert r"\x1b[31m" in text
        assert "\x1b" not in text
        assert "\x00" not in text
    assert "<script>" not in page([(run, read_result(run))], "t")


# The last resort of the command line


def test_an_unexpected_error_is_one_sentence(capsys, monkeypatch):
    def run(_: object) -> int:
        raise KeyError("\x1b[2Jdata")

    def add(parser, entries: list[Subcommand], **_: object) -> None:
        parser.set_defaults(run=run, subcommand="info")

    monkeypatch.setattr(command, "add_subcommands", add)
    assert command.main([]) == 2
    error = capsys.readouterr().err
    assert error == (
        "scenedino info: unexpected KeyError: KeyError '\\x1b[2Jdata'; set SCENEDINO_TRACEBACK=1 "
        "to see where\n"
    )
    monkeypatch.setenv("SCENEDINO_TRACEBACK", "1")
    with pytest.raises(KeyError):
        command.main([])
