"""The files and folders of a recording: which make it up, and how each is opened."""

import itertools
import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
import zstandard

from scenedino_ros.core.errors import BagError
from scenedino_ros.ros.bag_mcap import McapFile
from scenedino_ros.ros.bag_metadata import BagMetadata, read_metadata
from scenedino_ros.ros.bag_sqlite import SqliteFile
from scenedino_ros.ros.bag_sqlite_prefix import SqlitePrefix, is_cut_off

METADATA = "metadata.yaml"
StorageFile = McapFile | SqliteFile | SqlitePrefix
_SUFFIXES = (".mcap", ".db3")
_COMPRESSED = ".zstd"
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
    if metadata is None:
        files = sorted(
            (file for file in path.iterdir() if _kind(file) in _SUFFIXES), key=_by_number
        )
        # A compressed file beside its original is what interrupted compression leaves.
        files = [f for f in files if f.suffix != _COMPRESSED or f.with_suffix("") not in files]
    else:
        files = [path / name for name in metadata.files]
        missing = [file.name for file in files if not file.is_file()]
        files = [file for file in files if file.is_file()]
        if missing:
            problems.append(f"files of the recording are missing: {', '.join(missing)}")
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
    kind = _kind(path)
    if kind not in _SUFFIXES:
        raise BagError(f"a recording must be an .mcap or .db3 file or a folder, got {path}")
    try:
        if path.suffix == _COMPRESSED:
            path = _decompressed(path, stack, problems)
        if kind == ".mcap":
            return McapFile(path)
        return SqlitePrefix(path) if is_cut_off(path) else SqliteFile(path)
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error}") from error


def is_recording_folder(path: Path) -> bool:
    """Return whether a folder holds nothing but the files of recordings."""
    return path.is_dir() and all(_RECORDING_NAME.fullmatch(f.name) for f in path.iterdir())


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Write a recording's metadata.yaml, see `bag_metadata.metadata_map`."""
    text = yaml.safe_dump({"rosbag2_bagfile_information": metadata}, sort_keys=False)
    write_whole(folder / METADATA, text)


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that it is either complete and on disk, or as it was before."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


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
    try:
        with path.open("rb") as source, target.open("wb") as sink:
            zstandard.ZstdDecompressor().copy_stream(source, sink)
    except zstandard.ZstdError as error:
        problems.append(f"{path.name} cannot be decompressed to its end: {error}")
    return target


def _kind(path: Path) -> str:
    """Return .mcap or .db3, also of a compressed file."""
    return path.with_suffix("").suffix if path.suffix == _COMPRESSED else path.suffix


def _by_number(path: Path) -> list[Any]:
    """Return a sort key by which part_2 comes before part_10."""
    pieces = re.split(r"(\d+)", path.name)
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in pieces]
