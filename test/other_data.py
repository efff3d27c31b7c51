# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs that are begun again with their data elsewhere, or with other data of the same names."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.run_folder import RunFolder
from scenedino_ros.evaluation.runner import Counting, begin_run
from scenedino_ros.evaluation.speed import ItemTime


@contextmanager
def written_later(file: Path) -> Iterator[None]:
    """Let a file have another time, as one of the same name and size in another data set."""
    state = file.stat()
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    yield
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def check_other_data(open_run: Callable[[Path], Counting], root: Path, files: set[str]) -> None:
    """Check that a run is resumed where its data were moved, and refused for other data.

    Args:
        open_run: Opens an evaluation of the data in a folder.
        root: The folder; it is moved.
        files: Names of the files of the first item that are there.
    """
    run = root.parent / "run"

    def begin(root: Path) -> None:
        counting = open_run(root)
        begin_run(counting, run, counting.items())

    counting = open_run(root)
    first, *_, last = counting.items()
    begin(root)
    RunFolder(run, counting.kind, counting.settings()).finish(first, {}, ItemTime(0, 0, 1))
    (root.parent / "elsewhere").mkdir()
    moved = root.rename(root.parent / "elsewhere" / root.name)
    begin(moved)
    own = [path for path in open_run(moved).files(first) if path.exists()]
    assert {path.name for path in own} == files
    for file in own:
        with (
            written_later(file),
            pytest.raises(InputError, match=f"other data: .* of the files of {first} were others"),
        ):
            begin(moved)
    # What is not counted yet may still be mended.
    mended = next(path for path in open_run(moved).files(last) if path.name not in files)
    with written_later(mended):
        begin(moved)
    begin(moved)
