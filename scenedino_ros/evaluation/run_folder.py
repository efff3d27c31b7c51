"""A run on disk: its settings, and one small file of counts per item that is finished.

Each item (a frame, an image, a pair of frames) leaves its own counts, so a run can be interrupted
at any time and taken up again, any number of processes can share it, and its sum is the same
whoever did which item and in which order. What an item took lies beside its counts and is no part
of the sum.

A folder holds ``run.json`` (what it is), ``counts/ITEM.npz`` or ``counts/ITEM.failed`` (one
sentence), and at the end what `result.write_result` leaves.
"""

import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import partial_path, write_atomically
from scenedino_ros.evaluation.speed import ItemTime

Counts = dict[str, np.ndarray]
_RUN = "run.json"
_TIME = "time"  # in a file of counts: the fields of `ItemTime`


class RunFolder:
    """A run, new or begun.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, kind: str, settings: Mapping[str, Any]) -> None:
        """Begin a run, or take up one that was begun with the same settings.

        Args:
            path: Folder; made if it is not there.
            kind: Which evaluation, such as ``ssc``.
            settings: All that the counts depend on, as plain values.

        Raises:
            InputError: If the folder holds a run of something else, or other files.
        """
        self.path = Path(path)
        current = json.loads(json.dumps({"kind": kind, "settings": dict(settings)}))
        file = self.path / _RUN
        if file.exists():
            _check_same(self.path, _read_json(file), current)
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise InputError(f"{path} holds files of something else; choose another folder")
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(file, (json.dumps(current, indent=2) + "\n").encode())

    def unfinished(self, items: Iterable[str]) -> list[str]:
        """Return the items without counts, in order; those that failed are among them."""
        return [item for item in items if not self._counts(item).exists()]

    def finish(self, item: str, counts: Mapping[str, np.ndarray], time: ItemTime) -> None:
        """Keep the counts of an item.

        Args:
            item: Its name; slashes make folders.
            counts: Arrays to be summed over items, int64 or float64.
            time: What it took.
        """
        file = self._counts(item)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(file)
        arrays: dict[str, Any] = {**counts, _TIME: np.array(time)}
        with partial.open("wb") as stream:
            np.savez(stream, **arrays)
        os.replace(partial, file)
        self._failure(item).unlink(missing_ok=True)

    def fail(self, item: str, reason: str) -> None:
        """Keep in one sentence why an item could not be done; a later run tries it again."""
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
        """Yield what the finished items among these took, in their order.

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
            try:
                with np.load(file, allow_pickle=False) as arrays:
                    found = {name: arrays[name] for name in ([only] if only else arrays.files)}
            except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
                raise InputError(f"{file} is damaged, delete it and run again: {error}") from error
            yield item, found

    def total(self, items: Iterable[str]) -> Counts:
        """Return the sum of the finished items' counts, empty where there is none."""
        total: Counts = {}
        for _, counts in self.counts(items):
            for name, value in counts.items():
                total[name] = total[name] + value if name in total else value
        return total

    def missing(self, items: Sequence[str]) -> dict[str, str]:
        """Return the items without counts, with what is known about why."""
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
        InputError: If its file is damaged.
    """
    file = Path(path) / _RUN
    return _read_json(file).get("settings", {}) if file.exists() else None


def _check_same(path: Path, stored: dict[str, Any], current: dict[str, Any]) -> None:
    if stored.get("kind") != current["kind"]:
        raise InputError(f"{path} holds a run of {stored.get('kind')}, not of {current['kind']}")
    old, new = stored.get("settings", {}), current["settings"]
    different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if different:
        raise InputError(
            f"{path} was begun with another {', '.join(different)}; choose another folder"
        )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    return values
