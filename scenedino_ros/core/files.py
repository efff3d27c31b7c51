# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Atomic writing (a file is written under another name first, then renamed), and checksums."""

import hashlib
import os
from pathlib import Path


def partial_path(path: Path) -> Path:
    """Return the temporary name under which a file is written before it is renamed."""
    path = Path(path)
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either complete or absent."""
    partial = partial_path(path)
    partial.write_bytes(content)
    os.replace(partial, path)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
