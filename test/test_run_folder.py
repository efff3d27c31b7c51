# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs on disk: taken up again, shared among processes, and never taken for what they are not."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.files import files_digest
from scenedino_ros.evaluation.result import (
    Figure,
    RunResult,
    Table,
    markdown,
    read_result,
    write_result,
)
from scenedino_ros.evaluation.run_folder import Counts, RunFolder, begun_settings
from scenedino_ros.evaluation.speed import ItemTime, Speed, Stopwatch
from scenedino_ros.evaluation.workers import run_items

ITEMS = [f"drive/{number:03d}" for number in range(7)]


def count(item: str) -> Counts:
    """Count something that depends on the item; one of them cannot be counted."""
    number = int(item[-3:])
    if number == 3:
        raise InputError(f"image of {item} is missing")
    rng = np.random.default_rng(number)
    return {"n": rng.integers(0, 1 << 40, 4), "x": rng.normal(size=2)}


class Work:
    """Counts as if it predicted; the prediction of one item is stored."""

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch

    def count(self, item: str) -> Counts:
        if item == ITEMS[0]:
            return count(item)
        with self._watch.predicting():
            return count(item)


def open_broken(watch: Stopwatch) -> Work:
    raise CheckpointError("the checkpoint is damaged")


def run(
    folder: RunFolder, workers: int = 1, open_work: Callable[[Stopwatch], Work] = Work
) -> list[str]:
    done: list[str] = []
    run_items(folder, ITEMS, open_work, workers=workers, done=done.append)
    return done


def test_a_run_counts_and_names_what_is_missing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "test", {"a": 1})
    assert run(folder) == ITEMS
    assert folder.missing(ITEMS) == {"drive/003": "image of drive/003 is missing"}
    expected = sum(count(item)["n"] for item in ITEMS if item != "drive/003")
    np.testing.assert_array_equal(folder.total(ITEMS)["n"], expected)
    assert folder.total(ITEMS)["n"].dtype == np.int64


def test_a_stopped_run_is_taken_up(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(item: str) -> None:
        if item == ITEMS[1]:
            raise StoppedError

    folder = RunFolder(tmp_path, "test", {})
    with pytest.raises(StoppedError):
        run_items(folder, ITEMS, Work, workers=1, done=stop)
    again = RunFolder(tmp_path, "test", {})
    assert again.unfinished(ITEMS) == ITEMS[2:]
    assert again.missing(ITEMS)[ITEMS[5]] == "not done yet"
    assert run(again) == ITEMS[2:]
    assert run(again) == ["drive/003"]  # what failed is tried again


def test_an_item_that_failed_may_succeed_later(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "test", {})
    folder.fail(ITEMS[0], "no image")
    folder.finish(ITEMS[0], {"n": np.array(1)}, ItemTime(1, 1, 1))
    assert folder.missing(ITEMS[:1]) == {}
    assert not list(tmp_path.rglob("*.failed"))


def test_workers_change_no_digit(tmp_path: Path) -> None:
    one, two = (RunFolder(tmp_path / name, "test", {}) for name in ("one", "two"))
    run(one)
    assert sorted(run(two, workers=2)) == ITEMS
    assert one.missing(ITEMS) == two.missing(ITEMS)
    first, second = one.total(ITEMS), two.total(ITEMS)
    for name in first:
        assert first[name].tobytes() == second[name].tobytes()
    assert list(first) == ["n", "x"]  # and not what it took


class Interruptible:
    """Counts whether Ctrl-C can reach the process, which it does at every time or never."""

    def __init__(self, watch: Stopwatch) -> None:
        pass

    def count(self, item: str) -> Counts:
        held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return {"reached": np.array(int(signal.SIGINT not in held))}


def test_ctrl_c_reaches_no_worker_while_it_starts(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "test", {})
    run(folder, 2, open_work=Interruptible)
    assert folder.total(ITEMS)["reached"] == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_ctrl_c_comes_when_all_workers_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, submitted = ProcessPoolExecutor.submit, []

    def interrupted(pool: ProcessPoolExecutor, *arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        submitted.append(arguments)
        return submit(pool, *arguments)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    folder = RunFolder(tmp_path, "test", {})
    with pytest.raises(KeyboardInterrupt):
        run(folder, 2)
    assert len(submitted) == len(ITEMS)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_item_knows_what_it_took(tmp_path: Path, workers: int) -> None:
    folder = RunFolder(tmp_path, "test", {})
    run(folder, workers)
    times = list(folder.times(ITEMS))
    assert len(times) == len(ITEMS) - 1
    assert [time.prediction > 0 for time in times] == [False] + 5 * [True]
    assert all(time.scoring > 0 for time in times)
    assert {time.processes for time in times} == {workers}


def test_an_error_of_the_whole_run_ends_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "test", {})
    with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
        run(folder, open_work=open_broken)


def test_files_are_known_by_name_size_and_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    first.write_bytes(b"12")
    shutil.copy2(first, second)
    digests = [
        files_digest(files) for files in ([first], [second], [first, second], [], [tmp_path / "c"])
    ]
    assert len(set(digests)) == 5
    (tmp_path / "moved").mkdir()
    assert files_digest([Path(shutil.copy2(first, tmp_path / "moved"))]) == digests[0]
    first.write_bytes(b"123")
    assert files_digest([first]) != digests[0]
    first.unlink()
    assert files_digest([first]) not in digests


def test_counts_of_other_files_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "test", {})
    folder.check_files({"a": "1", "b": "1"})
    folder.finish("a", {"n": np.array(1)}, ItemTime(1, 1, 1))
    folder.fail("b", "no image")
    folder.check_files({"a": "1", "b": "2"})  # what failed has been mended
    folder.finish("b", {"n": np.array(1)}, ItemTime(1, 1, 1))
    folder.check_files({"b": "2"})
    folder.check_files({"a": "1"})
    for other in ({"a": "1", "b": "1"}, {"b": "3"}):
        with pytest.raises(
            InputError,
            match="run was begun with other data: names, sizes or times of the files of b were "
            "others; choose another folder",
        ):
            folder.check_files(other)
    (tmp_path / "run" / "files.json").write_text("[")
    with pytest.raises(InputError, match=r"files\.json cannot be read"):
        folder.check_files({"a": "1"})


def test_other_runs_are_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", "ssc", {"threshold": 0.2, "mode": "a"})
    assert begun_settings(tmp_path / "run") == {"threshold": 0.2, "mode": "a"}
    assert begun_settings(tmp_path) is None
    with pytest.raises(InputError, match="begun with another threshold; choose"):
        RunFolder(tmp_path / "run", "ssc", {"threshold": 0.25, "mode": "a"})
    with pytest.raises(InputError, match="begun with another mode, thresholds"):
        RunFolder(tmp_path / "run", "ssc", {"threshold": 0.2, "thresholds": 1})
    with pytest.raises(InputError, match="holds a run of ssc, not of depth"):
        RunFolder(tmp_path / "run", "depth", {})
    with pytest.raises(InputError, match="holds files of something else"):
        RunFolder(tmp_path, "ssc", {})


def test_a_run_of_another_version_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", "ssc", {})
    file = tmp_path / "run" / "run.json"
    stored = json.loads(file.read_text())
    for found, name in ((None, "1"), (99, "99")):
        file.write_text(json.dumps({**stored, "format": found}))
        message = f"run.json must have run format 2, got {name}: another version of this package"
        with pytest.raises(InputError, match=message):
            RunFolder(tmp_path / "run", "ssc", {})
        with pytest.raises(InputError, match=message):
            begun_settings(tmp_path / "run")
    write_result(tmp_path, result({}))
    values = json.loads((tmp_path / "result.json").read_text())
    del values["format"]
    (tmp_path / "result.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="result.json must have run format 2, got 1"):
        read_result(tmp_path)


def test_damaged_counts_name_their_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "test", {})
    run(folder)
    (tmp_path / "counts" / "drive" / "002.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"002\.npz is damaged, delete it and run again"):
        folder.total(ITEMS)


def result(missing: dict[str, str]) -> RunResult:
    return RunResult(
        kind="test",
        title="A | table",
        dataset="blocks, test",
        checkpoint="untrained weights",
        settings={"threshold": 0.2},
        items=3,
        unit="frames",
        missing=missing,
        tables=[
            Table("Scores, %", ["", "a", "b"], [["x|y", 1.234, float("nan")], ["z", 3, None]])
        ],
        notes=["**Bold** words."],
        figures=[Figure("plot.png", "A plot")],
        scores={"network": {"0.2": float("nan")}},
        counts={"n": np.array([[1, 2]])},
        speed=Speed(0.25, 4.0, 3, 3, (2, 2)),
    )


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    write_result(tmp_path, result({}))
    back = read_result(tmp_path)
    assert back.complete
    assert back.tables[0].rows[0] == ["x|y", 1.234, None]
    assert back.scores == {"network": {"0.2": None}}
    assert back.counts["n"].tolist() == [[1, 2]]
    assert back.speed == result({}).speed
    speed = "0.25 frames/s of prediction, 4 frames/s of scoring alone, in each of 2 processes"
    assert f"* Speed: {speed}\n" in markdown(back)
    assert markdown(back) == markdown(result({})) == (tmp_path / "report.md").read_text()
    assert r"| x\|y | 1.23 | – |" in markdown(back)
    assert "PARTIAL" not in markdown(back)


def test_a_partial_result_says_so_first() -> None:
    text = markdown(result({"drive/003": "image is missing"}))
    assert text.index("PARTIAL: 2 of 3 frames") < text.index("Scores")
    assert "No number here is that of the whole set" in text
    assert "* `drive/003`: image is missing" in text
    many = result({str(number): "gone" for number in range(30)})
    assert "* and 10 more, in result.json" in markdown(many)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no result.json: it is not a finished run"):
        read_result(tmp_path)
    for text in ("", "[]", '{"format": 2}'):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(InputError, match="is not the result of a run"):
            read_result(tmp_path)
    with pytest.raises(InputError, match="must have 2 cells in each row, got 1"):
        Table("t", ["a", "b"], [["x"]])
