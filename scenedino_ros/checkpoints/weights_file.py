# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a file given as weights really is, by its first bytes."""

import json
import mmap
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.file_limits import ARCHIVE_MEMBERS, HEADER_BYTES
from scenedino_ros.core.reading import open_file, reading, reason_of

SAFETENSORS, PYTORCH = "safetensors", "pytorch"
_HEAD = 1024  # bytes that show what a file is; a Git LFS pointer is shorter
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_ZIP, _PICKLE, _PROTOCOLS = b"PK\x03\x04", b"\x80", b"\2\3\4\5"
# The only value that an unpickler without code makes as large as a file says: bytearray(10**10).
_BYTEARRAY = b"bytearray"
_MOST_EXPANSION = 4  # tensors that share their memory are stored once


def weights_format(path: Path, what: str = "checkpoint") -> str:
    """Return how a file stores weights, read from its first bytes.

    After a failed download, a Git LFS pointer, a web page or a part of the file has the right
    name; each is recognised before a parser fails on it.

    Args:
        path: The file.
        what: What it is to hold, for the message.

    Returns:
        `SAFETENSORS` or `PYTORCH`.

    Raises:
        CheckpointError: If the file is missing, unreadable, cut off or of another kind; the
            message names the kind.
    """
    with reading(f"{what} {path}", CheckpointError):
        with open_file(path) as file:
            head = file.read(_HEAD)
        size = path.stat().st_size
        found = _format(head)
        if found == SAFETENSORS:
            problem = _safetensors_problem(path, size)
        elif found == PYTORCH:
            problem = _pytorch_problem(path, head, size)
        else:
            problem = _other_content(head)
    if problem:
        raise CheckpointError(f"{what} {path} cannot be read: it {problem}")
    return found


def require_safetensors(path: Path, what: str = "checkpoint") -> None:
    """Refuse a file that is no complete safetensors file.

    Raises:
        CheckpointError: As `weights_format`; also if it is a file of PyTorch.
    """
    if weights_format(path, what) != SAFETENSORS:
        raise CheckpointError(
            f"{what} {path} cannot be read: it is a PyTorch file, not a .safetensors file; "
            "'scenedino convert' turns an official checkpoint into one"
        )


def check_expansion(path: Path, tensors: Iterable[Any]) -> None:
    """Refuse tensors that have many times the bytes of their file, before anything copies them.

    A tensor of PyTorch may repeat one stored number a billion times.

    Raises:
        CheckpointError: If they have.
    """
    size = path.stat().st_size
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if total > _MOST_EXPANSION * size:
        raise CheckpointError(
            f"the tensors in {path} must have about the bytes of the file, {_bytes(size)}, "
            f"got {_bytes(total)}"
        )


def why_no_text(path: Path) -> str:
    """Return in words why a file does not hold the expected text, empty if it may.

    Raises:
        OSError: If it cannot be read.
    """
    with open_file(path) as file:
        return _empty_or_pointer(file.read(_HEAD))


def _empty_or_pointer(head: bytes) -> str:
    if not head:
        return "is empty (0 bytes)"
    if head.startswith(_LFS_POINTER):
        size = re.search(rb"^size (\d+)$", head, re.MULTILINE)
        of = f" of a file of {_bytes(int(size[1]))}" if size else ""
        return f"is a Git LFS pointer{of}, not the file itself; 'git lfs pull' fetches it"
    if re.match(rb"\s*<(!doctype html|html|head)\b", head, re.IGNORECASE):
        return "is a web page (HTML) that was saved under this name; download the file itself"
    return ""


def _format(head: bytes) -> str:
    """Return the format that a file's first bytes announce, empty if it holds no weights."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= HEADER_BYTES:
        return SAFETENSORS
    pickled = head[:1] == _PICKLE and head[1:2] in _PROTOCOLS
    return PYTORCH if pickled or head.startswith(_ZIP) else ""


def _other_content(head: bytes) -> str:
    """Return in words what a file of another format is."""
    problem = _empty_or_pointer(head)
    if problem:
        return problem
    if not any(head):
        return "begins with nothing but zeros; its download was not finished"
    text = _readable(head)
    if text:
        return f"is a text file that begins with '{text}', not a file of weights"
    return (
        "is neither a safetensors nor a PyTorch file, or is cut off within its first bytes: it "
        f"begins with {head[:9].hex(' ')}"
    )


def _readable(head: bytes) -> str:
    """Return the beginning of a text, empty for bytes that are no text."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return ""
        text = head[: error.start].decode("utf-8")  # the last character is cut in two
    if not all(character.isprintable() or character.isspace() for character in text):
        return ""
    first = " ".join(text.split())
    return first if len(first) <= 40 else f"{first[:40]}..."


def _pytorch_problem(path: Path, head: bytes, size: int) -> str:
    """Return in words what a PyTorch file lacks; only reading shows it of the old format."""
    if not head.startswith(_ZIP):
        return _bytearray_problem(path)
    if not zipfile.is_zipfile(path):
        return (
            f"is a PyTorch file that is cut off: after {_bytes(size)} the table at its end is "
            "missing; fetch or copy it again"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # a damaged table can raise anything
        return f"is a PyTorch file with a damaged table of contents ({reason_of(error)})"
    if len(members) > ARCHIVE_MEMBERS:
        return f"must have at most {ARCHIVE_MEMBERS} parts, got {len(members)}"
    # PyTorch compresses nothing; what is compressed might become larger than memory.
    packed = [m for m in members if m.compress_type or m.file_size > m.compress_size]
    if packed:
        return (
            f"must hold its parts uncompressed, as PyTorch writes them, got {packed[0].filename}"
        )
    if sum(member.file_size for member in members) > size:
        return "is a PyTorch file whose parts overlap"
    return _bytearray_problem(path)


def _bytearray_problem(path: Path) -> str:
    with open_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(_BYTEARRAY) >= 0
    return "holds a bytearray, which no checkpoint needs" if found else ""


def _safetensors_problem(path: Path, size: int) -> str:
    """Return in words what a safetensors file lacks, empty if it has the length of its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    if len(header) < length:
        return (
            f"is a safetensors file that is cut off inside its header: it has {_bytes(size)}; "
            "fetch or copy it again"
        )
    try:
        entries = json.loads(header)
        ends = [e["data_offsets"][1] for key, e in entries.items() if key != "__metadata__"]
        if not all(isinstance(end, int) and 0 <= end < 1 << 63 for end in ends):
            raise ValueError("offsets must be whole numbers")
        whole = 8 + length + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "is a safetensors file with a damaged header"
    if size == whole:
        return ""
    state = "cut off" if size < whole else "damaged"
    return (
        f"is a safetensors file that is {state}: its header describes {_bytes(whole)}, it has "
        f"{_bytes(size)}; fetch or copy it again"
    )


def _bytes(count: int) -> str:
    """Return a size in megabytes, small ones in bytes."""
    return f"{count / 1e6:.1f} MB" if count >= 10_000_000 else f"{count} bytes"
