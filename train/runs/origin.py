# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The origin of a run: commit, versions and command line."""

import json
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.reading import read_json, reading

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "lightning-fabric", "safetensors")


def add_start(path: Path, first: int, seed: int, processes: int) -> None:
    """Add a start of a run to a JSON file: code, packages, seed and command line.

    Args:
        path: The file.
        first: The step that comes next, counted from 0.
        seed: Seed of the run.
        processes: Number of processes.

    Raises:
        InputError: If the file is damaged.
    """
    with reading(str(path)):
        starts = list(read_json(path)["starts"]) if path.exists() else []
    starts.append(
        {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "first_step": first,
            "seed": seed,
            "processes": processes,
            "commit": _git("rev-parse", "HEAD") or "unknown",
            "changed_files": (_git("status", "--porcelain") or "").splitlines(),
            "command": sys.argv,
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
        }
    )
    write_atomically(path, (json.dumps({"starts": starts}, indent=1) + "\n").encode())


def _git(*arguments: str) -> str | None:
    """Return the output of git for this code, or None where it is no git checkout."""
    command = ["git", "-C", str(_ROOT), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.rstrip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
