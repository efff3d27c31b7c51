# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Atomic writing (files and folders are made under another name first), and checksums."""

import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reading import open_file

_PARTIAL = ".partial"


def partial_path(path: Path) -> Path:
    """Create an empty file beside `path`, under a name nobody can guess, and return its path.

    Whoever may write to the same folder can neither have put a link there, nor a file.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_PARTIAL}")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    return partial


def require_own_folder(folder: Path) -> None:
    """Refuse a folder for unfinished work that another user has put in its place.

    Its name must be known to whoever resumes the work, so in a shared folder somebody else may
    make it first, as a link to a place of their choice.

    Raises:
        InputError: If it is a link, no folder, or of another user.
    """
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise InputError(f"{folder} must be a folder of yours, not a link or another user's")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of an empty file beside `path`, which takes its name when the block ends.

    After an exception, such as that of a full disk, the file is removed, and what was at `path`
    stays. An `OSError` names `path` then: a failing write names nothing.

    A library may put a file of its own in place of the empty one, as safetensors does. It is
    readable as the user allows new files to be, even where the library makes it for its owner
    alone.
    """
    path = Path(path)
    try:
        partial = partial_path(path)
        mode = stat.S_IMODE(partial.stat().st_mode)
        try:
            yield partial
            partial.chmod(mode)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno and str(error.filename or _PARTIAL).endswith(_PARTIAL):
            error.filename = str(path)
        raise


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which takes its name when the block ends well.

    What was there stays until then, and is removed last: whenever the process is killed, the old
    folder or the new one is there, if under a hidden name.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield partial
        partial.chmod(0o755)
        if folder.exists():
            old = partial.with_name(f"{partial.name}.old")
            os.replace(folder, old)
            os.replace(partial, folder)
            shutil.rmtree(old)
        else:
            os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either complete or absent."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open_file(path) as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files_digest(files: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits that differ where files have other names, sizes or times.

    Contents are not read. Folders do not count, so that data may be moved; a copy has to keep the
    times of the files. A file that is not there counts as such.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            state = file.stat()
            found = [state.st_size, state.st_mtime_ns]
        except OSError:
            found = []
        digest.update(json.dumps([file.name, found]).encode())
    return digest.hexdigest()[:16]
