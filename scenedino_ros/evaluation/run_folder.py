# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A run on disk: its settings, and one small file of counts per item that is finished.

Each item (a frame, an image, a pair of frames) has counts of its own, so a run can be interrupted
at any time and resumed, any number of processes can share it, and its sum does not depend on which
process counted which item, or in which order. The time of an item lies beside its counts and is no
part of the sum.

A folder holds ``run.json`` (what it is), ``files.json`` (which state of its files each item was
counted from), ``counts/ITEM.npz`` or ``counts/ITEM.failed`` (one sentence), and at the end what
`result.write_result` leaves.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import replacing, write_atomically
from scenedino_ros.core.reading import read_arrays, read_json, reading
from scenedino_ros.evaluation.speed import ItemTime

# Arrays by identifiers; the docstring of what counts them, such as `ssc.scores.count_frame`, names
# their axes.
Counts = dict[str, np.ndarray]
FORMAT = 2  # of run folders and results: grows when counts or scores change their names or axes
_RUN, _FILES = "run.json", "files.json"
_TIME = "time"  # in a file of counts: the fields of `ItemTime`


class RunFolder:
    """A run, new or begun.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, kind: str, settings: Mapping[str, Any]) -> None:
        """Begin a run, or resume one that was begun with the same settings.

        Args:
            path: Folder; created if it does not exist.
            kind: Which evaluation, such as ``ssc``.
            settings: Everything that the counts depend on, as plain values.

        Raises:
            InputError: If the folder holds another run, or other files.
        """
        self.path = Path(path)
        run = {"format": FORMAT, "kind": kind, "settings": dict(settings)}
        current = json.loads(json.dumps(run))
        stored = _read_run(self.path)
        if stored is not None:
            _check_same(self.path, stored, current)
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise InputError(f"{path} holds files of something else; choose another folder")
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / _RUN, (json.dumps(current, indent=2) + "\n").encode())

    def check_files(self, digests: Mapping[str, str]) -> None:
        """Refuse a run of other data, in whose counts the items' files had another state.

        The files of an item without counts may change: one that was missing or damaged is counted
        when it is mended.

        Args:
            digests: The `files_digest` of the files of each item.

        Raises:
            InputError: Naming the first such item.
        """
        check_files(self.path, lambda item: self._counts(item).exists(), digests)

    def unfinished(self, items: Iterable[str]) -> list[str]:
        """Return the items without counts, in order; those that failed are among them."""
        return [item for item in items if not self._counts(item).exists()]

    def finish(self, item: str, counts: Mapping[str, np.ndarray], time: ItemTime) -> None:
        """Keep the counts of an item.

        Args:
            item: Its name; slashes make folders.
            counts: Arrays to be summed over items, int64 or float64.
            time: The time it took.
        """
        file = self._counts(item)
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {**counts, _TIME: np.array(time)}
        with replacing(file) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)
        self._failure(item).unlink(missing_ok=True)

    def fail(self, item: str, reason: str) -> None:
        """Keep one sentence on why an item could not be counted; a resumed run tries it again."""
        file = self._failure(item)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, reason.encode())

    def counts(self, items: Iterable[str]) -> Iterator[tuple[str, Counts]]:
        """Yield the counts of the finished items among these, in their order.

        Raises:
            InputError: If a file of counts is damaged.
        """
        for item, arrays in self._arrays(items):
            yield item, {name: arrays[name] for name in arrays if name != _TIME}

    def times(self, items: Iterable[str]) -> Iterator[ItemTime]:
        """Yield the times of the finished items among these, in their order.

        Raises:
            InputError: If a file of counts is damaged.
        """
        for _, arrays in self._arrays(items, only=_TIME):
            prediction, scoring, processes = arrays[_TIME].tolist()
            yield ItemTime(prediction, scoring, int(processes))

    def _arrays(
        self, items: Iterable[str], only: str | None = None
    ) -> Iterator[tuple[str, Counts]]:
        for item in items:
            file = self._counts(item)
            if not file.exists():
                continue
            with reading(str(file), failure="is damaged, delete it and run again"):
                arrays = read_arrays(file)
                found = {name: arrays[name] for name in ([only] if only else arrays)}
            yield item, found

    def total(self, items: Iterable[str]) -> Counts:
        """Return the sum of the finished items' counts, empty where there is none."""
        total: Counts = {}
        for _, counts in self.counts(items):
            for name, value in counts.items():
                total[name] = total[name] + value if name in total else value
        return total

    def missing(self, items: Sequence[str]) -> dict[str, str]:
        """Return the items without counts, with the reason if it is known."""
        reasons = {}
        for item in self.unfinished(items):
            file = self._failure(item)
            reasons[item] = file.read_text("utf-8") if file.exists() else "not done yet"
        return reasons

    def _counts(self, item: str) -> Path:
        return self.path / "counts" / f"{item}.npz"

    def _failure(self, item: str) -> Path:
        return self.path / "counts" / f"{item}.failed"


def begun_settings(path: Path) -> dict[str, Any] | None:
    """Return the settings of the run that a folder holds, None if it holds none yet.

    Raises:
        InputError: If its file is damaged, or of another format.
    """
    stored = _read_run(Path(path))
    return None if stored is None else stored.get("settings", {})


def check_files(folder: Path, is_kept: Callable[[str], bool], digests: Mapping[str, str]) -> None:
    """Refuse a folder that keeps an item made of other files; note the files of all others.

    Args:
        folder: The folder.
        is_kept: Returns whether it keeps an item.
        digests: The `files_digest` of the files of each item.

    Raises:
        InputError: Naming the first such item.
    """
    file = folder / _FILES
    noted: dict[str, str] = {}
    if file.exists():
        with reading(str(file)):
            noted = dict(read_json(file))
    changed = [item for item, digest in digests.items() if noted.get(item) != digest]
    kept = next(filter(is_kept, changed), None)
    if kept is not None:
        why = f"with other data: names, sizes or times of the files of {kept} were others"
        if not noted:
            why = f"by an earlier version, which did not note the files of {kept}"
        raise InputError(f"{folder} was begun {why}; choose another folder")
    if changed:
        content = json.dumps({**noted, **digests}, indent=1) + "\n"
        write_atomically(file, content.encode())


def begin_predictions(
    path: Path, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Begin a folder that keeps predictions, or open one.

    Args:
        path: Folder; created if it does not exist.
        settings: Everything that the predictions depend on, as plain values.

    Returns:
        These settings as JSON has them, and those that the folder's predictions were made with.

    Raises:
        InputError: If the file of its settings is damaged.
    """
    current: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    file = path / "predictions.json"
    if not file.exists():
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(file, (json.dumps(current, indent=2) + "\n").encode())
        return current, dict(current)
    with reading(str(path), failure="is not a folder of predictions"):
        return current, dict(read_json(file))


def check_format(where: Path, found: object) -> None:
    """Refuse a run folder, or its result, that another version of this package has written.

    Raises:
        InputError: Naming both formats.
    """
    if found != FORMAT:
        raise InputError(
            f"{where} must have run format {FORMAT}, got {1 if found is None else found}: another "
            "version of this package has written it; evaluate again into another folder"
        )


def _check_same(path: Path, stored: dict[str, Any], current: dict[str, Any]) -> None:
    if stored.get("kind") != current["kind"]:
        raise InputError(f"{path} holds a run of {stored.get('kind')}, not of {current['kind']}")
    old, new = stored.get("settings", {}), current["settings"]
    different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if different:
        raise InputError(
            f"{path} was begun with another {', '.join(different)}; choose another folder"
        )


def _read_run(path: Path) -> dict[str, Any] | None:
    """Return format, kind and settings of a run, None if there is none."""
    file = path / _RUN
    if not file.exists():
        return None
    with reading(str(file)):
        values: dict[str, Any] = read_json(file)
        found = values.get("format")
    check_format(file, found)
    return values
