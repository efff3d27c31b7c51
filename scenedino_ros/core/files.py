"""Files that are written whole: under another name first, then renamed."""

import os
from pathlib import Path


def partial_path(path: Path) -> Path:
    """Return the name under which a file is written before it takes its own name."""
    path = Path(path)
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either complete or not there."""
    partial = partial_path(path)
    partial.write_bytes(content)
    os.replace(partial, path)
