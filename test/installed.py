# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The command `scenedino`, started as a user starts it: the file that the environment has."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def scenedino(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command and return what it said."""
    return subprocess.run(
        [_command(), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@functools.cache
def _command() -> Path:
    """Write the command that scripts/environment.sh writes, for this interpreter."""
    folder = Path(tempfile.mkdtemp(prefix="scenedino_command_"))
    script = f"source '{ROOT}/scripts/environment.sh'\ncommand_text scenedino_ros.cli.main"
    written = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "ENVIRONMENT": "PREFIX"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    command = folder / "scenedino"
    # Not every interpreter's prefix has it as bin/python.
    command.write_text(written.replace("PREFIX/bin/python", sys.executable))
    command.chmod(0o755)
    return command
