# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Where the demo finds the package's files, and where it writes its results."""

import os
import re
import sys
from pathlib import Path

from scenedino_ros.core.errors import InputError

_RUN = re.compile(r"run_(\d+)")
LATEST = "latest"


def shipped_file(name: str) -> Path | None:
    """Return a file of the package's ``config`` folder, from the source tree or installed."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    shares = [Path(prefix, "share", "scenedino_ros") for prefix in prefixes if prefix]
    for root in (Path(__file__).resolve().parents[2], *shares):
        path = root / "config" / name
        if path.is_file():
            return path
    return None


def new_run_folder(output: Path) -> Path:
    """Create the next ``run_NNN`` in the output folder.

    Raises:
        InputError: If the folder cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        matches = (_RUN.fullmatch(path.name) for path in output.iterdir())
        numbers = [int(match[1]) for match in matches if match]
        number = max(numbers, default=0) + 1
        while True:
            folder = output / f"run_{number:03d}"
            try:
                folder.mkdir()
                break
            except FileExistsError:  # another run was faster
                number += 1
    except OSError as error:
        raise InputError(f"output folder {output} cannot be used: {error}") from error
    return folder


def point_latest_to(run: Path) -> None:
    """Let the link ``latest`` beside a run's folder point to it, where links can be made."""
    link = run.parent / LATEST
    if link.exists() and not link.is_symlink():
        return  # a file of the user's
    temporary = link.with_name(f".{LATEST}.{os.getpid()}")
    try:
        temporary.symlink_to(run.name)
        os.replace(temporary, link)
    except OSError:  # a file system without links
        temporary.unlink(missing_ok=True)
