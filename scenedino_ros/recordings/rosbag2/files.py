# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Finds the storage files of a recording, and opens each with its reader."""

import itertools
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import yaml

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.files import replacing
from scenedino_ros.core.reading import open_file, reading
from scenedino_ros.recordings.rosbag2.decompression import ZSTD_MAGIC, decompress_file
from scenedino_ros.recordings.rosbag2.mcap_reader import McapFile
from scenedino_ros.recordings.rosbag2.mcap_records import MAGIC
from scenedino_ros.recordings.rosbag2.metadata import BagMetadata, read_metadata
from scenedino_ros.recordings.rosbag2.sqlite_file import SqliteFile
from scenedino_ros.recordings.rosbag2.sqlite_prefix import SqlitePrefix, is_cut_off

METADATA = "metadata.yaml"
StorageFile = McapFile | SqliteFile | SqlitePrefix
_SUFFIXES = (".mcap", ".db3")
_COMPRESSED = ".zstd"
_MARKS = {MAGIC: ".mcap", b"SQLite format 3\0": ".db3", ZSTD_MAGIC: _COMPRESSED}
_RECORDING_NAME = re.compile(r"metadata\.yaml|.*\.(mcap|db3)(\.zstd|-shm|-wal|-journal)?")


def storage_files(path: Path, problems: list[str]) -> tuple[BagMetadata | None, list[Path]]:
    """Find the storage files of a recording.

    Args:
        path: A folder, with or without metadata.yaml, or one storage file.
        problems: Sentences on what is missing or cannot be read are added here.

    Returns:
        What metadata.yaml says, None where there is none or it cannot be read; and the files.

    Raises:
        BagError: If there is no recording.
    """
    if path.is_file():
        return None, [path]
    if not path.is_dir():
        raise BagError(f"there is no recording at {path}")
    metadata = None
    if (path / METADATA).exists():
        try:
            metadata = read_metadata(path / METADATA)
        except BagError as error:
            problems.append(f"{error}; the recording is read without it")
    files = _storage_files_in(path)
    if metadata is not None:
        files = _named_files(path, metadata.files, files, problems)
    if not files:
        raise BagError(f"there is no recording in {path}: no .mcap and no .db3 file")
    return metadata, files


def open_storage(path: Path, stack: ExitStack, problems: list[str]) -> StorageFile:
    """Open a storage file; one that rosbag2 compressed is decompressed first.

    Args:
        path: The file.
        stack: Removes the decompressed copy in the end.
        problems: A sentence is added here where the file cannot be decompressed to its end.

    Raises:
        BagError: If it cannot be read.
    """
    with reading(str(path), BagError):
        kind = _kind(path)
        if kind not in (*_SUFFIXES, _COMPRESSED):
            raise BagError(f"a recording must be an .mcap or .db3 file or a folder, got {path}")
        if kind == _COMPRESSED:
            unpacked = _decompressed(path, stack, problems)
            kind, path = _mark(unpacked) or Path(path.stem).suffix.lower(), unpacked
        if kind == ".mcap":
            return McapFile(path)
        return SqlitePrefix(path) if is_cut_off(path) else SqliteFile(path)


def is_recording_folder(path: Path) -> bool:
    """Return whether a folder holds nothing but the files of recordings."""
    return path.is_dir() and all(_RECORDING_NAME.fullmatch(f.name) for f in path.iterdir())


def write_metadata(folder: Path, metadata: dict[str, object]) -> None:
    """Write a recording's metadata.yaml, see `metadata.metadata_map`."""
    text = yaml.safe_dump({"rosbag2_bagfile_information": metadata}, sort_keys=False)
    write_whole(folder / METADATA, text)


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that it is either complete and on disk, or as it was before."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def new_folder(path: Path, suffix: str = ".partial") -> Path:
    """Create a folder beside `path`; one that an interrupted recording left is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = path.with_name(f"{path.name}{suffix}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        break
    return folder


def _decompressed(path: Path, stack: ExitStack, problems: list[str]) -> Path:
    """Decompress a file into a temporary folder and return its path there."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="scenedino_bag_"))
    target = Path(folder, path.stem)
    problem = decompress_file(path, target)
    if problem:
        problems.append(f"{path.name} cannot be decompressed to its end: {problem}")
    return target


def _storage_files_in(folder: Path) -> list[Path]:
    """Return the storage files of a folder in the order of their numbers, whoever named them."""
    found = (f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    files = sorted(found, key=_by_number)
    named = [file for file in files if _suffix(file) in _SUFFIXES]
    named = named or [f for f in files if f.name != METADATA and _mark(f)]
    # A compressed file beside its original is what interrupted compression leaves.
    return [f for f in named if f.suffix != _COMPRESSED or f.with_suffix("") not in named]


def _named_files(
    folder: Path, names: Sequence[str], present: list[Path], problems: list[str]
) -> list[Path]:
    """Return the files that metadata.yaml names; renamed ones are found by what else is there.

    Raises:
        BagError: If no named file is there, and it is unknown which files took their places.
    """
    files = {name: folder / name for name in names if (folder / name).is_file()}
    missing = [name for name in names if name not in files]
    others = [file for file in present if file not in files.values()]
    renamed = _renamed(missing, others)
    problems += [
        f"{METADATA} names {name}, which is not there; {file.name} is read in its place"
        for name, file in renamed.items()
    ]
    missing = [name for name in missing if name not in renamed]
    others = [file for file in others if file not in renamed.values()]
    if missing:
        problems.append(f"files of the recording are missing: {', '.join(missing)}")
    if others:
        found = ", ".join(file.name for file in others)
        if missing and not files and not renamed:
            raise BagError(
                f"{METADATA} in {folder} names {', '.join(missing)}, but {found} are there; open "
                f"one of them, or all of them by removing {METADATA}"
            )
        problems.append(f"{found} is not named in {METADATA} and is left out")
    files |= renamed
    return [files[name] for name in names if name in files]


def _renamed(missing: Sequence[str], others: Sequence[Path]) -> dict[str, Path]:
    """Return which file took the place of which missing one: by number, else by order."""
    if not missing or not others:
        return {}
    by_number: dict[str, list[Path]] = {}
    for file in others:
        by_number.setdefault(_last_number(file.name), []).append(file)
    numbers = [_last_number(name) for name in missing]
    if len(set(numbers)) == len(numbers) and all(
        number and len(by_number.get(number, ())) == 1 for number in numbers
    ):
        return {name: by_number[n][0] for name, n in zip(missing, numbers, strict=True)}
    # Fewer files than names: messages are merged by time, so it does not matter which is which.
    in_order = sorted(missing, key=lambda name: _by_number(Path(name)))
    return dict(zip(in_order, others, strict=False)) if len(others) <= len(missing) else {}


def _last_number(name: str) -> str:
    found = re.findall(r"\d+", name.partition(".")[0])
    return str(int(found[-1])) if found else ""


def _kind(path: Path) -> str:
    """Return .mcap, .db3 or .zstd by a file's first bytes; where they are damaged, by its name."""
    suffix = path.suffix.lower()
    return _mark(path) or (_COMPRESSED if suffix == _COMPRESSED else _suffix(path))


def _mark(path: Path) -> str:
    """Return the kind of a file by its first bytes; empty: unknown."""
    with open_file(path) as file:
        begin = file.read(16)
    return next((kind for mark, kind in _MARKS.items() if begin.startswith(mark)), "")


def _suffix(path: Path) -> str:
    """Return .mcap or .db3, also of a compressed file."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == _COMPRESSED else suffix


def _by_number(path: Path) -> list[object]:
    """Return a sort key by which part_2 comes before part_10."""
    pieces = re.split(r"(\d+)", path.name)
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in pieces]
