# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads files that may be damaged or hostile: in bounded memory, and with errors of this package.

`reading` is the one place where the exceptions of libraries become ours. The functions below it
read whole files of common formats; readers of large files open them with `open_file`.
"""

import errno
import functools
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

import numpy as np
import yaml

from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.file_limits import (
    ARRAYS,
    ARRAYS_BYTES,
    JSON_BYTES,
    TEXT_BYTES,
    YAML_BYTES,
    YAML_DEPTH,
    YAML_NODES,
    YAML_NUMBER,
    decompression_bound,
    expansion_refused,
)
from scenedino_ros.core.printable import printable

P = ParamSpec("P")
Result = TypeVar("Result")

_LONGEST = 300  # characters of a library's message
# Exceptions whose text means nothing without their name, such as KeyError 'data'.
_NAMED = (LookupError, AssertionError)


class UnreadableError(ValueError):
    """Says why a file is not read; `reading` makes a sentence about the file of it."""


@contextmanager
def reading(
    what: str, kind: type[SceneDinoError] = InputError, failure: str = "cannot be read"
) -> Iterator[None]:
    """Turn every exception of a library into one of ours, for the boundary of a reader.

    Args:
        what: Subject of the sentence, such as ``label file classes.yaml``.
        kind: Class of the error.
        failure: What happened to it.

    Raises:
        SceneDinoError: Of that class: ``WHAT cannot be read: REASON``. Errors that are ours
            already pass.
    """
    try:
        yield
    except SceneDinoError:
        raise
    except Exception as error:  # a damaged file makes a library raise anything
        raise kind(f"{what} {failure}: {reason_of(error)}") from error


@contextmanager
def writing(what: str, kind: type[SceneDinoError] = InputError) -> Iterator[None]:
    """Turn every exception of a library into one of ours, for what writes a file.

    Args:
        what: Subject of the sentence, such as ``recording drive``.
        kind: Class of the error.

    Raises:
        SceneDinoError: Of that class: ``WHAT cannot be written: REASON``.
    """
    with reading(what, kind, "cannot be written"):
        yield


def reads(what: str) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
    """Decorate a function that reads the path in its first argument, as `reading` does a block.

    Args:
        what: What is at the path, such as ``calibration file``; empty: the path says it.
    """

    def decorate(read: Callable[P, Result]) -> Callable[P, Result]:
        @functools.wraps(read)
        def read_or_refuse(*args: P.args, **options: P.kwargs) -> Result:
            path = next(iter((*args, *options.values())))
            with reading(f"{what} {path}".lstrip()):
                return read(*args, **options)

        return read_or_refuse

    return decorate


def reason_of(error: BaseException) -> str:
    """Return in one line of bounded length what an exception says."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror, _LONGEST)
    text = " ".join(str(error).split())
    if not text or isinstance(error, _NAMED):
        text = f"{type(error).__name__} {text}".rstrip()
    return printable(text, _LONGEST)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    A pipe would block until somebody writes, and a device may never end.

    Raises:
        OSError: If it cannot be opened, or is no regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _require_file(os.fstat(handle), path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def require_file(path: Path) -> None:
    """Refuse a path that a library will open if it is no regular file.

    Raises:
        OSError: If there is nothing there, or no regular file.
    """
    _require_file(os.stat(path), path)


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a file.

    Args:
        path: The file.
        most: Bound of its size, bytes.

    Raises:
        OSError: If it cannot be read.
        UnreadableError: If it is larger.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > most else file.read(most + 1)
    if max(size, len(content)) > most:
        raise UnreadableError(f"it must have at most {most} bytes, got {max(size, len(content))}")
    return content


def read_text(path: Path, most: int = TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file without its byte order mark, if any; as `read_bytes`.

    Raises:
        UnicodeDecodeError: If it is no UTF-8.
    """
    return read_bytes(path, most).decode("utf-8-sig")


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; as `read_text`.

    Raises:
        ValueError: If it is no JSON.
        RecursionError: If it is nested too deeply.
    """
    return json.loads(read_text(path, JSON_BYTES))


def read_yaml(path: Path) -> Any:
    """Return the value in a YAML file; as `read_text` and `parse_yaml`."""
    return parse_yaml(read_text(path, YAML_BYTES))


class BoundedLoader(yaml.SafeLoader):
    """The safe loader of PyYAML, for documents of bounded depth and size.

    It refuses an alias bomb: a document whose few bytes stand for millions of values.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # of nodes, by identity: an alias returns the same node

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        """Compose a node; refuse too deep and too large ones."""
        self._depth += 1
        if self._depth > YAML_DEPTH:
            raise yaml.YAMLError(f"it nests more than {YAML_DEPTH} lists and mappings")
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias and node is not None:
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:
            raise yaml.YAMLError("a list or mapping in it contains itself")
        return node

    def _size(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            if node.tag.endswith(("int", "long", "float")) and len(node.value) > YAML_NUMBER:
                raise yaml.YAMLError(f"a number has more than {YAML_NUMBER} digits")
            return 1
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        size = 1 + sum(self._sizes[id(part)] for part in parts)
        if size > YAML_NODES:
            raise yaml.YAMLError(f"it stands for more than {YAML_NODES} values")
        return size


def parse_yaml(
    text: str, loader: type[BoundedLoader] = BoundedLoader, *, first: bool = False
) -> Any:
    """Return the value of the YAML document in a text, None if there is none.

    Args:
        text: The text.
        loader: The loader.
        first: Ignore what follows the first document.

    Raises:
        UnreadableError: If it is too long.
        yaml.YAMLError: If it is no YAML, several documents, nested too deeply, or stands for too
            many values.
        ValueError: If a value is none, such as a date of month 13.
    """
    if len(text) > YAML_BYTES:
        raise UnreadableError(f"it must have at most {YAML_BYTES} characters, got {len(text)}")
    reader = loader(text)
    try:
        if first:
            return reader.get_data() if reader.check_data() else None
        return reader.get_single_data()
    finally:
        reader.dispose()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an NPZ file by name; as `open_file`.

    Raises:
        UnreadableError: If they are more or larger than a file of its size may hold, or one holds
            Python objects.
        zipfile.BadZipFile: And other errors of zipfile, if it is damaged.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        bound = decompression_bound(size, ARRAYS_BYTES)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > ARRAYS:
                raise UnreadableError(f"it must hold at most {ARRAYS} arrays, got {len(members)}")
            if sum(member.file_size for member in members) > bound:
                raise UnreadableError(expansion_refused(size, bound))
            # A member gives no more bytes than it states.
            return {
                member.filename.removesuffix(".npy"): _array_in(archive.read(member))
                for member in members
            }


def read_array(path: Path) -> np.ndarray:
    """Return the array in an NPY file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no array, shorter than its header says, or holds Python objects.
    """
    require_file(path)
    # Unlike a plain load, a map reserves no memory for what a damaged header promises.
    return np.array(np.lib.format.open_memmap(path, mode="r"))


def _array_in(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise UnreadableError(f"it has an array of the unknown format {version}")
    shape, in_columns, dtype = read(stream)
    if dtype.hasobject:
        raise UnreadableError("it holds Python objects, which are not loaded")
    count = 1
    for edge in shape:
        count *= edge
    rest = len(content) - stream.tell()
    if count < 0 or count * dtype.itemsize != rest:
        raise UnreadableError(
            f"an array of {shape} {dtype} must have {count * dtype.itemsize} bytes, got {rest}"
        )
    values = np.frombuffer(content, dtype, count, stream.tell()) if rest else np.empty(0, dtype)
    return values.reshape(shape, order="F" if in_columns else "C").copy()


def _require_file(state: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(state.st_mode):
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        kind = "a pipe" if stat.S_ISFIFO(state.st_mode) else "a device or socket"
        raise OSError(errno.EINVAL, f"it must be a file, got {kind}", str(path))
